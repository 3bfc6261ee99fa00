/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_REGISTRY_PARTS_H
#define RAFSI_OCI_REGISTRY_PARTS_H

/* What the files about registries share; nobody else includes it. */

#include <pthread.h>
#include <stdatomic.h>

#include "oci/registry.h"

/* A text that threads use at once, whatever becomes of the one that is handed out next:
 * taking it under a lock needs no memory, so no callback of the caller. */
struct shared_text {
    atomic_uint users;
    char text[];
};

/* How to get in. A whole one replaces the old one; `generation` tells them apart. */
struct pass {
    char *authorization; /* header line; NULL: none is needed as far as known */
    uint64_t generation;
    uint64_t renew_ns; /* when to get another; 0: when it is refused */
};

struct oci_registry {
    struct rafsi_env env;
    atomic_uint users;
    rafs_http *http;
    bool plain;
    bool plain_asked; /* by a flag, not because the host is this machine */
    char name[520];
    char host[256];
    char repo[256];
    char *base;                  /* "https://HOST/v2" */
    char query[3 * 256 + 8];     /* "?ns=…" of a mirror; "": none */
    struct oci_registry *origin; /* of a mirror, whose credentials it uses; NULL: none */
    bool writes;                 /* a token is to allow for pushing */
    rafs_credentials_source credentials;
    pthread_mutex_t lock;
    pthread_cond_t renewed;
    bool lock_ready, cond_ready;
    bool renewing;
    struct pass pass;              /* its line is in `line` */
    struct shared_text *line;      /* NULL: none is needed as far as known */
    struct shared_text *challenge; /* the last one, for renewals before the end */
    char also[256];                /* another repository, to be read; "": none */
    uint64_t failures;             /* to renew it, and how the last of them went */
    rafs_error failure;
};

/* registry.c: one that knows its client and repository; host and the like are to be set.
 */
int rafsi_registry_start(rafs_http *http, const char *repo, struct oci_registry **out,
                         rafs_error *err);
/* Where its URLs begin: path is "/v2" or another one. */
int rafsi_registry_set_base(struct oci_registry *registry, const char *path,
                            rafs_error *err);
/* How it is asked, with what lets us in. */
struct http_site rafsi_registry_site(struct oci_registry *registry);
void rafsi_registry_destroy(struct oci_registry *registry);

/* Free a text after its bytes were overwritten; NULL is fine. */
void rafsi_wipe_free(const struct rafsi_env *env, char *secret);

/* pass.c: is this host, with or without a port, the machine itself? */
bool rafsi_is_loopback(const char *host);
/* What a token is to allow for: what the challenge asks for, and what is going to be
 * done.
 */
enum { OCI_SCOPES_MAX = OCI_PARAM_MAX + 2 * 256 + 64 };
void rafsi_pass_scopes(const struct oci_registry *registry, const char *also,
                       const char *asked, char out[OCI_SCOPES_MAX]);
/* Answer a challenge. `first` is 1 if the credentials were refused before. */
int rafsi_pass_make(struct oci_registry *registry, const char *challenge_text,
                    uint32_t first, const rafs_call *call, struct pass *out,
                    rafs_error *err);

#endif
