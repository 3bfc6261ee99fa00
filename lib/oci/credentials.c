/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that docker and podman keep for their user. */
#include "oci/credentials.h"

#include <strings.h>

void rafs_credential_init(rafs_credential *credential)
{
    memset(credential, 0, sizeof(*credential));
    credential->struct_size = sizeof(*credential);
}

void rafs_credentials_source_init(rafs_credentials_source *source)
{
    memset(source, 0, sizeof(*source));
    source->struct_size = sizeof(*source);
}

void rafs_credential_files_init(rafs_credential_files *files)
{
    memset(files, 0, sizeof(*files));
    files->struct_size = sizeof(*files);
}

bool rafsi_credential_host(const char *host, size_t len, char out[OCI_HOST_MAX])
{
    static const char *const hub[] = {CREDENTIAL_HUB, "index.docker.io",
                                      "registry-1.docker.io"};

    if (len == 0 || len >= OCI_HOST_MAX)
        return false;
    memset(out, 0, OCI_HOST_MAX);
    memcpy(out, host, len);
    for (size_t i = 0; i < sizeof(hub) / sizeof(hub[0]); i++)
        if (strcasecmp(out, hub[i]) == 0)
            memcpy(out, CREDENTIAL_HUB, sizeof(CREDENTIAL_HUB));
    return true;
}

int rafsi_credential_put(struct credential_search *search, const char *object,
                         const char *username, size_t username_len, const char *secret,
                         rafs_error *err)
{
    rafs_credential *to = &search->credential;
    bool token = username_len == 7 && memcmp(username, "<token>", 7) == 0;
    size_t secret_len = strlen(secret);

    if (username_len >= sizeof(to->username) || secret_len >= sizeof(to->secret))
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, object,
                          "a user name is longer than %zu bytes or a secret than %zu",
                          sizeof(to->username) - 1, sizeof(to->secret) - 1);
    rafs_credential_init(to);
    to->kind = token ? RAFS_CREDENTIAL_IDENTITY_TOKEN : RAFS_CREDENTIAL_BASIC;
    if (!token)
        memcpy(to->username, username, username_len);
    memcpy(to->secret, secret, secret_len);
    return RAFS_OK;
}

void rafsi_credential_found(struct credential_search *search)
{
    if (search->skip == 0) {
        search->found = true;
        return;
    }
    search->skip--;
    explicit_bzero(&search->credential, sizeof(search->credential));
}

static int search_files(struct credential_search *search, rafs_error *err)
{
    const char *const paths[] = {search->files.auth_file, search->files.docker_config};
    int rc = RAFS_OK;

    for (size_t i = 0; rc == RAFS_OK && !search->found && i < 2; i++) {
        rc = rafsi_call_check(&search->env, &search->call, RAFS_STAGE_FETCH, err);
        if (rc == RAFS_OK && paths[i])
            rc = rafsi_credential_file(search, paths[i], err);
    }
    return rc;
}

static int take_arguments(const char *host, const char *repo, uint32_t attempt,
                          const rafs_call *call, struct credential_search *search,
                          rafs_error *err)
{
    int rc = rafsi_call_take(call, &search->call, err);

    if (rc < 0)
        return rc;
    if (search->files.flags & ~(uint32_t)RAFS_CREDENTIALS_HELPERS)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "credentials",
                          "a flag is not known to this version");
    if (!rafsi_credential_host(host, strnlen(host, OCI_HOST_MAX), search->host) ||
        host[strcspn(host, "/\n\r \t")] != '\0')
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "credentials",
                          "that is no host of a registry");
    search->repo = repo;
    search->skip = attempt;
    return RAFS_OK;
}

int rafs_credentials_from_files(const rafs_credential_files *files, const char *host,
                                const char *repo, uint32_t attempt, rafs_credential *out,
                                const rafs_call *call, rafs_error *err)
{
    struct credential_search *search;
    rafs_credential_files taken;
    struct rafsi_env env;
    int rc;

    if (!files || !host || !repo || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "credentials",
                          "files, host, repo or out is NULL");
    rc = rafsi_take_struct(files, &taken, sizeof(taken), "rafs_credential_files", err);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(taken.env, &env, err);
    if (rc < 0)
        return rc;
    /* Too large for the stack of a small thread. */
    search = rafsi_alloc_zero(&env, sizeof(*search));
    if (!search)
        return rafsi_fail_nomem(err, sizeof(*search));
    search->env = env;
    search->files = taken;
    rc = take_arguments(host, repo, attempt, call, search, err);
    if (rc == RAFS_OK)
        rc = search_files(search, err);
    if (rc == RAFS_OK && !search->found)
        rafs_credential_init(&search->credential);
    if (rc == RAFS_OK)
        rc = rafsi_give_struct(&search->credential, sizeof(search->credential), out,
                               "rafs_credential", err);
    explicit_bzero(search, sizeof(*search));
    rafsi_free(&env, search);
    return rc;
}
