/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.json and config.json:
 *
 *     { "auths": { KEY: { "auth": base64 of "user:password", "username", "password",
 *                         "identitytoken", "registrytoken" } },
 *       "credHelpers": { HOST: NAME }, "credsStore": NAME }
 *
 * KEY is "HOST", "HOST/NAMESPACE/REPO" (containers) or a URL such as
 * "https://index.docker.io/v1/" (docker, old). Source: containers-auth.json(5); docker's
 * documentation of config.json.
 */
#include "oci/credentials.h"

#include <fcntl.h>
#include <strings.h>
#include <unistd.h>

enum { KEY_SCORE_MAX = 2 * OCI_REPO_MAX + 2 };

/* Read a whole file; *out NULL if there is none or it is empty. */
static int slurp(struct credential_search *search, const char *path, char **out,
                 size_t *len, rafs_error *err)
{
    rafs_error local = RAFS_ERROR_INIT;
    uint64_t size = 0;
    char *text = NULL;
    size_t got = 0;
    int fd = -1;
    int rc = rafsi_file_open(AT_FDCWD, path, &fd, &local);

    *out = NULL;
    if (rc == RAFS_E_NOENT)
        return RAFS_OK;
    if (rc == RAFS_OK)
        rc = rafsi_file_size(fd, &size, &local);
    if (rc == RAFS_OK && size > CREDENTIAL_FILE_MAX)
        rc = rafsi_fail(&local, RAFS_E_LIMIT, RAFS_STAGE_FETCH, NULL,
                        "has more than %d bytes", CREDENTIAL_FILE_MAX);
    if (rc == RAFS_OK && size > 0) {
        text = rafsi_alloc(&search->env, (size_t)size);
        rc = text ? rafsi_file_read(fd, 0, text, (size_t)size, &got, &local)
                  : rafsi_fail_nomem(&local, (size_t)size);
    }
    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        rafsi_fail_object(&local, rc, "%s", path);
        if (err)
            *err = local;
        if (text)
            explicit_bzero(text, (size_t)size);
        rafsi_free(&search->env, text);
        return rc;
    }
    *out = text;
    *len = got;
    return RAFS_OK;
}

/* How closely a key speaks of what is searched: 0 not at all, more is closer. */
static int key_score(const struct credential_search *search, const char *key)
{
    bool url = strncmp(key, "https://", 8) == 0 || strncmp(key, "http://", 7) == 0;
    const char *host = url ? strstr(key, "//") + 2 : key;
    size_t host_len = strcspn(host, "/");
    const char *path = host + host_len + (host[host_len] == '/');
    size_t path_len = strlen(path);
    char name[OCI_HOST_MAX];

    if (!rafsi_credential_host(host, host_len, name) ||
        strcasecmp(name, search->host) != 0)
        return 0;
    /* The path of a URL is that of an old API, no namespace. */
    if (url || path_len == 0)
        return url ? 1 : 2;
    if (path[path_len - 1] == '/')
        path_len--;
    if (path_len == 2 && (memcmp(path, "v1", 2) == 0 || memcmp(path, "v2", 2) == 0) &&
        path[2] == '/')
        return 1;
    if (path_len >= OCI_REPO_MAX || strncmp(search->repo, path, path_len) != 0 ||
        (search->repo[path_len] != '\0' && search->repo[path_len] != '/'))
        return 0;
    return (int)(2 + 2 * path_len);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decode into room that the text itself would fill. False if it is no base64. */
static bool base64_decode(const char *text, char *out, size_t *out_len)
{
    size_t len = strlen(text);
    uint32_t bits = 0;
    size_t n = 0;

    if (len % 4 != 0)
        return false;
    while (len > 0 && text[len - 1] == '=' && strlen(text) - len < 2)
        len--;
    for (size_t i = 0; i < len; i++) {
        int value = base64_value(text[i]);

        if (value < 0)
            return false;
        bits = (bits << 6 | (uint32_t)value) & 0xffffff;
        if (i % 4 != 0)
            out[n++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
    }
    *out_len = n;
    return true;
}

/* "user:password" in base64. */
static int take_auth(struct credential_search *search, const char *path, const char *auth,
                     rafs_error *err)
{
    size_t room = strlen(auth) + 1;
    char *text = rafsi_alloc_zero(&search->env, room);
    size_t len = 0;
    char *colon;
    int rc;

    if (!text)
        return rafsi_fail_nomem(err, room);
    colon = base64_decode(auth, text, &len) ? memchr(text, ':', len) : NULL;
    /* Old dockers padded the password with NULs. */
    while (colon && len > 0 && text[len - 1] == '\0')
        len--;
    if (!colon || memchr(text, '\0', len))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, path,
                        "an \"auth\" is not user:password in base64");
    else
        rc = rafsi_credential_put(search, path, text, (size_t)(colon - text), colon + 1,
                                  err);
    explicit_bzero(text, room);
    rafsi_free(&search->env, text);
    return rc;
}

/* The credential of an entry of "auths", if it has one; a logout leaves {} behind. */
static int take_entry(struct credential_search *search, const struct json_place *place,
                      const json_t *entry, bool *known, rafs_error *err)
{
    static const char *const names[] = {"auth", "username", "password", "identitytoken",
                                        "registrytoken"};
    const char *texts[5];
    int rc = RAFS_OK;

    *known = false;
    if (!json_is_object(entry))
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "an entry of \"auths\" is not an object");
    for (size_t i = 0; rc == RAFS_OK && i < 5; i++) {
        rc = rafsi_json_text(place, entry, names[i], &texts[i], err);
        if (rc == RAFS_OK && texts[i] && texts[i][0] == '\0')
            texts[i] = NULL;
    }
    if (rc < 0)
        return rc;
    *known = texts[0] || (texts[1] && texts[2]) || texts[3] || texts[4];
    if (texts[4] || texts[3]) {
        rc = rafsi_credential_put(search, place->what, "<token>", 7,
                                  texts[4] ? texts[4] : texts[3], err);
        if (rc == RAFS_OK && texts[4])
            search->credential.kind = RAFS_CREDENTIAL_BEARER;
        return rc;
    }
    if (texts[0])
        return take_auth(search, place->what, texts[0], err);
    return *known ? rafsi_credential_put(search, place->what, texts[1], strlen(texts[1]),
                                         texts[2], err)
                  : RAFS_OK;
}

/* Entries in the order of how closely they speak of the repository. */
static int search_auths(struct credential_search *search, const struct json_place *place,
                        json_t *auths, rafs_error *err)
{
    int below = KEY_SCORE_MAX;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && !search->found && below > 1) {
        int best = 0;
        const char *key;
        json_t *entry;

        json_object_foreach(auths, key, entry)
        {
            int score = key_score(search, key);

            best = score < below && score > best ? score : best;
        }
        if (best == 0)
            break;
        json_object_foreach(auths, key, entry)
        {
            bool known = false;

            if (rc < 0 || search->found || key_score(search, key) != best)
                continue;
            rc = take_entry(search, place, entry, &known, err);
            if (rc == RAFS_OK && known)
                rafsi_credential_found(search);
        }
        below = best;
    }
    return rc;
}

/* The helper that the file names for the host; NULL: none. */
static int helper_of(const struct credential_search *search,
                     const struct json_place *place, const json_t *root, const char **out,
                     rafs_error *err)
{
    json_t *helpers;
    const char *key;
    json_t *value;
    int best = 0;
    int rc = rafsi_json_child(place, root, "credHelpers", JSON_OBJECT, &helpers, err);

    if (rc == RAFS_OK)
        rc = rafsi_json_text(place, root, "credsStore", out, err);
    if (rc < 0)
        return rc;
    json_object_foreach(helpers, key, value)
    {
        int score = key_score(search, key);

        if (score <= best)
            continue;
        best = score;
        if (!json_is_string(value))
            return rafsi_fail(err, place->code, place->stage, place->what,
                              "a name in \"credHelpers\" is not a text");
        *out = json_string_value(value);
    }
    if (*out && **out == '\0')
        *out = NULL;
    return RAFS_OK;
}

int rafsi_credential_file(struct credential_search *search, const char *path,
                          rafs_error *err)
{
    const struct json_place place = {path, RAFS_E_BADARG, RAFS_STAGE_FETCH,
                                     CREDENTIAL_FILE_MAX};
    const char *helper = NULL;
    json_t *auths = NULL;
    json_t *root = NULL;
    char *text = NULL;
    size_t len = 0;
    bool known = false;
    int rc = slurp(search, path, &text, &len, err);

    if (rc < 0 || !text)
        return rc;
    rc = rafsi_json_load(&place, text, len, &root, err);
    explicit_bzero(text, len);
    rafsi_free(&search->env, text);
    if (rc < 0)
        return rc;
    rc = helper_of(search, &place, root, &helper, err);
    if (rc == RAFS_OK)
        rc = rafsi_json_child(&place, root, "auths", JSON_OBJECT, &auths, err);
    if (rc == RAFS_OK && helper && search->files.flags & RAFS_CREDENTIALS_HELPERS)
        rc = rafsi_credential_helper(search, helper, &known, err);
    if (rc == RAFS_OK && known)
        rafsi_credential_found(search);
    if (rc == RAFS_OK && !search->found && auths)
        rc = search_auths(search, &place, auths, err);
    json_decref(root);
    return rc;
}
