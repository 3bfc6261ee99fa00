/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-credential-NAME get: the server's name goes in, and {"Username", "Secret"} comes
 * out. What it prints when it fails may be anything, so no error repeats it. Source:
 * docker-credential-helpers.
 */
#include "oci/credentials.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELPER_PATH "/usr/local/bin:/usr/bin:/bin"
#define PREFIX "docker-credential-"
/* Printed, and status 1, by a helper that knows nothing of the server. */
#define NOT_FOUND "credentials not found"

enum { HELPER_NAME_MAX = 64, HELPER_TIMEOUT_S = 60 };

static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789._-");

    return len > 0 && len <= HELPER_NAME_MAX && name[len] == '\0';
}

/* Find the program in the folders that were given: posix_spawnp() would look at the
 * PATH of the process. */
static bool find(const char *folders, const char *name, char *out, size_t room)
{
    struct stat st;

    for (const char *at = folders;; at++) {
        size_t len = strcspn(at, ":");
        int bytes = snprintf(out, room, "%.*s/" PREFIX "%s", (int)len, at, name);

        if (*at == '/' && len < room && bytes > 0 && (size_t)bytes < room &&
            stat(out, &st) == 0 && S_ISREG(st.st_mode) && access(out, X_OK) == 0)
            return true;
        at += len;
        if (*at == '\0')
            return false;
    }
}

/* The environment as exec wants it; freed by the caller, together with *path. */
static int make_environment(const struct credential_search *search, const char *folders,
                            char ***out, char **path, rafs_error *err)
{
    const char *const *given = search->files.helper_environment;
    size_t room = strlen(folders) + sizeof("PATH=");
    size_t count = 0;
    char **list;

    while (given && given[count])
        count++;
    list = rafsi_alloc_zero(&search->env, (count + 2) * sizeof(*list));
    *path = given ? NULL : rafsi_alloc(&search->env, room);
    if (!list || (!given && !*path)) {
        rafsi_free(&search->env, list);
        rafsi_free(&search->env, *path);
        return rafsi_fail_nomem(err, (count + 2) * sizeof(*list) + room);
    }
    if (count > 0)
        memcpy(list, given, count * sizeof(*list));
    if (!given) {
        snprintf(*path, room, "PATH=%s", folders);
        list[0] = *path;
    }
    *out = list;
    return RAFS_OK;
}

static int take_answer(struct credential_search *search, const struct helper_run *run,
                       bool *known, rafs_error *err)
{
    const struct json_place place = {run->object, RAFS_E_BACKEND, RAFS_STAGE_FETCH,
                                     HELPER_ANSWER_MAX};
    const char *username = NULL;
    const char *secret = NULL;
    json_t *root = NULL;
    int rc;

    if (run->failed)
        return memmem(run->answer, run->len, NOT_FOUND, strlen(NOT_FOUND))
                   ? RAFS_OK
                   : rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, run->object,
                                "failed; run it by hand to see why");
    rc = rafsi_json_load(&place, run->answer, run->len, &root, err);
    if (rc == RAFS_OK)
        rc = rafsi_json_text(&place, root, "Username", &username, err);
    if (rc == RAFS_OK)
        rc = rafsi_json_text(&place, root, "Secret", &secret, err);
    *known = rc == RAFS_OK && username && secret && (*username || *secret);
    if (*known)
        rc = rafsi_credential_put(search, run->object, username, strlen(username), secret,
                                  err);
    json_decref(root);
    return rc;
}

int rafsi_credential_helper(struct credential_search *search, const char *name,
                            bool *known, rafs_error *err)
{
    const char *folders =
        search->files.helper_path ? search->files.helper_path : HELPER_PATH;
    bool hub = strcmp(search->host, CREDENTIAL_HUB) == 0;
    char object[sizeof(PREFIX) + HELPER_NAME_MAX];
    rafs_call call = search->call;
    char program[4096];
    char **environment = NULL;
    char *path = NULL;
    struct helper_run run = {.env = &search->env, .call = &call, .program = program};
    int rc;

    *known = false;
    if (!is_name(name))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, "credential helper",
                          "its name is malformed: letters, digits, '.', '_' and '-' are "
                          "allowed");
    snprintf(object, sizeof(object), PREFIX "%s", name);
    if (!find(folders, name, program, sizeof(program)))
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, object,
                          "is named as the keeper of credentials but not installed");
    if (call.deadline_ns == 0)
        call.deadline_ns = rafsi_now_ns(&search->env) + HELPER_TIMEOUT_S * 1000000000ull;
    run.answer = rafsi_alloc(&search->env, HELPER_ANSWER_MAX);
    if (!run.answer)
        return rafsi_fail_nomem(err, HELPER_ANSWER_MAX);
    run.room = HELPER_ANSWER_MAX;
    rc = make_environment(search, folders, &environment, &path, err);
    run.object = object;
    run.environment = environment;
    run.input = hub ? "https://index.docker.io/v1/" : search->host;
    if (rc == RAFS_OK) {
        rc = rafsi_helper_run(&run, err);
        rafsi_free(&search->env, environment);
        rafsi_free(&search->env, path);
    }
    if (rc == RAFS_OK)
        rc = take_answer(search, &run, known, err);
    explicit_bzero(run.answer, run.room);
    rafsi_free(&search->env, run.answer);
    return rc;
}
