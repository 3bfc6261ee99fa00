/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_CREDENTIALS_H
#define RAFSI_OCI_CREDENTIALS_H

/* What the files that look for credentials share; nobody else includes it. */
#include "oci/json.h"
#include "rafs/credentials.h"

enum { CREDENTIAL_FILE_MAX = 1 << 20, HELPER_ANSWER_MAX = 64 << 10 };

/* One look through the files. */
struct credential_search {
    struct rafsi_env env;
    rafs_credential_files files;
    rafs_call call;
    char host[OCI_HOST_MAX]; /* CREDENTIAL_HUB for each name of Docker Hub */
    const char *repo;
    uint32_t skip; /* finds that were refused already */
    bool found;    /* then `credential` is the answer */
    rafs_credential credential;
};

#define CREDENTIAL_HUB "docker.io"

/* The name that a host of `len` bytes goes by: those of Docker Hub are one. False if it
 * does not fit. */
bool rafsi_credential_host(const char *host, size_t len, char out[OCI_HOST_MAX]);

/* Put two texts into the search's credential: an identity token if the name is "<token>".
 * RAFS_E_LIMIT if they do not fit. */
int rafsi_credential_put(struct credential_search *search, const char *object,
                         const char *username, size_t username_len, const char *secret,
                         rafs_error *err);
/* The search's credential is a find: the answer, or one more that was refused already. */
void rafsi_credential_found(struct credential_search *search);

/* credentials_file.c: look through one file. */
int rafsi_credential_file(struct credential_search *search, const char *path,
                          rafs_error *err);

/* credentials_helper.c: ask docker-credential-NAME. *known: it has put an answer into the
 * search's credential. */
int rafsi_credential_helper(struct credential_search *search, const char *name,
                            bool *known, rafs_error *err);

/* credentials_process.c: run a program, give it a text, and take what it prints. */
struct helper_run {
    const struct rafsi_env *env;
    const rafs_call *call;
    const char *program; /* absolute path */
    const char *object;  /* of errors */
    char *const *environment;
    const char *input; /* at most 4096 bytes, what a pipe holds without a reader */
    char *answer;
    size_t room, len;
    bool failed; /* it ended otherwise than with 0 */
};
int rafsi_helper_run(struct helper_run *run, rafs_error *err);

#endif
