/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_CREDENTIALS_H
#define RAFS_CREDENTIALS_H

#include <stdint.h>

#include "env.h"

/**
 * @file
 * Who may read from a registry: what a program is asked, and a helper for programs that
 * find the answer where docker and podman keep theirs.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes in a user name and in a secret, the NUL included. */
#define RAFS_USERNAME_MAX 256
#define RAFS_SECRET_MAX 16384

/** What a credential is. */
enum {
    RAFS_CREDENTIAL_NONE = 0,           /**< nobody knows one: go on as anonymous */
    RAFS_CREDENTIAL_BASIC = 1,          /**< username and password */
    RAFS_CREDENTIAL_IDENTITY_TOKEN = 2, /**< secret is for the token server (OAuth 2
                                             refresh token) */
    RAFS_CREDENTIAL_BEARER = 3          /**< secret is sent to the registry as it is */
};

/** One credential. */
typedef struct rafs_credential {
    uint32_t struct_size;             /**< sizeof(rafs_credential) */
    uint32_t kind;                    /**< RAFS_CREDENTIAL_ */
    char username[RAFS_USERNAME_MAX]; /**< of BASIC; "" else */
    char secret[RAFS_SECRET_MAX];     /**< password or token */
} rafs_credential;

#define RAFS_CREDENTIAL_INIT                                  \
    {                                                         \
        sizeof(rafs_credential), RAFS_CREDENTIAL_NONE, "", "" \
    }

/** Set a credential to NONE, for callers without the macro. @param credential  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_credential_init(rafs_credential *credential);

/**
 * Where credentials come from: a callback of the program.
 *
 * get() is called from any thread that reads, at once, never under a lock of librafs,
 * when a server wants to know who asks. host is that of the image, with its port if it
 * has one
 * ("registry-1.docker.io" for Docker Hub); repo is "library/ubuntu" and the like. attempt
 * is 0 at first, and one more each time the server refused what came before; NONE then
 * ends the asking. out is set to NONE before the call. What it returns other than RAFS_OK
 * ends the request with that code; no secret should be in err.
 */
typedef struct rafs_credentials_source {
    uint32_t struct_size; /**< sizeof(rafs_credentials_source) */
    uint32_t reserved;    /**< 0 */
    /** Fill out. call is never NULL; deadline_ns 0 means none. */
    int (*get)(void *user, const char *host, const char *repo, uint32_t attempt,
               rafs_credential *out, const rafs_call *call, rafs_error *err);
    void *user;                  /**< first argument of the callbacks; borrowed */
    void (*release)(void *user); /**< called exactly once at the end; may be NULL */
} rafs_credentials_source;

#define RAFS_CREDENTIALS_SOURCE_INIT                         \
    {                                                        \
        sizeof(rafs_credentials_source), 0, NULL, NULL, NULL \
    }

/** Set a source to "none", for callers without the macro. @param source  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_credentials_source_init(rafs_credentials_source *source);

/** Bits of rafs_credential_files.flags. */
enum {
    RAFS_CREDENTIALS_HELPERS = 1 /**< run the programs docker-credential-NAME that the
                                      files name; without it they are passed over */
};

/**
 * The files of docker and podman. The library reads no environment variable: a program
 * that wants REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, DOCKER_CONFIG, HOME and PATH to count
 * makes paths of them. Everything is borrowed for the call; NULL: not looked at.
 */
typedef struct rafs_credential_files {
    uint32_t struct_size;      /**< sizeof(rafs_credential_files) */
    uint32_t flags;            /**< RAFS_CREDENTIALS_ */
    const rafs_env *env;       /**< memory, clock, token; NULL: the default environment */
    const char *auth_file;     /**< containers' auth.json, looked at first */
    const char *docker_config; /**< docker's config.json */
    /** Folders where helpers are, with ':' between them, such as the value of PATH; only
     *  absolute ones count. NULL: "/usr/local/bin:/usr/bin:/bin". */
    const char *helper_path;
    /** "NAME=VALUE" texts and a NULL: the environment that helpers get. NULL: PATH alone,
     *  as helper_path says. Most helpers want HOME. */
    const char *const *helper_environment;
} rafs_credential_files;

#define RAFS_CREDENTIAL_FILES_INIT                                     \
    {                                                                  \
        sizeof(rafs_credential_files), 0, NULL, NULL, NULL, NULL, NULL \
    }

/** Set options to "no files", for callers without the macro. @param files  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_credential_files_init(rafs_credential_files *files);

/**
 * Look a credential up in the files of docker and podman.
 *
 * In each file first the helper that it names for the host, then its entries: those of
 * "HOST/NAMESPACE/REPO" before those of "HOST/NAMESPACE" before those of "HOST". A file
 * that does not exist knows nothing. attempt counts through what was found, so that a
 * refused credential is followed by the next one. Made to be called by the get() of a
 * rafs_credentials_source, whose arguments it takes.
 *
 * @param files    which files; not NULL
 * @param host     host of the registry, with its port if it has one
 * @param repo     repository in it
 * @param attempt  how many credentials were refused already
 * @param out      out: the credential; NONE: there is none (any more). Its struct_size
 *                 must be set.
 * @param call     deadline and cancel token, borrowed for the call; NULL: helpers have a
 *                 minute. A helper that is still at work then is killed.
 * @param err      out, optional; never holds anything of a secret
 * @return RAFS_OK
 *         RAFS_E_BADARG   a file is malformed or no ordinary file; err says where
 *         RAFS_E_BACKEND  a file cannot be read, or a helper cannot be run or talks
 *                         nonsense
 *         RAFS_E_LIMIT    a file has more than 1 MiB, a helper's answer more than 64 KiB,
 *                         a user name or secret more than fits
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED   as asked by call
 *         RAFS_E_NOMEM    no memory
 *
 * On failure *out is unchanged. Blocks on storage and on helpers, which are processes of
 * their own and never outlive the call. Any thread. Source: containers-auth.json(5),
 * docker's config.json, docker-credential-helpers. Since: 1.0.
 */
RAFS_API int rafs_credentials_from_files(const rafs_credential_files *files,
                                         const char *host, const char *repo,
                                         uint32_t attempt, rafs_credential *out,
                                         const rafs_call *call, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
