/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_REGISTRY_TARGET_H
#define RAFSI_OCI_REGISTRY_TARGET_H

/* What the files that write to registries share; nobody else includes it. */

#include "oci/registry_parts.h"
#include "oci/target.h"

enum { TARGET_ERROR_ROOM = 1024 /* of what a registry says about a refusal */ };

struct registry_target {
    struct oci_registry *registry;
    rafs_backend *blobs; /* to look at what is there */
};

/* A request with what its answer needs: room for what is said, nothing kept of a body. */
struct registry_request {
    struct http_request http;
    char said[TARGET_ERROR_ROOM];
};
void rafsi_target_request(struct registry_request *out, const char *method,
                          const char *url);

/* What to make of an answer that is no success. Nothing that the server says gets into
 * err but the codes that the specification has. */
int rafsi_target_refused(const struct oci_registry *registry,
                         const struct http_answer *answer, const char *said,
                         const char *what, rafs_error *err);

/* "BASE/REPO/" and the rest. */
int rafsi_target_url(const struct oci_registry *registry, char *out, size_t room,
                     rafs_error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

int rafsi_registry_has(rafs_target *target, const uint8_t *digest, uint64_t *size,
                       const rafs_call *call, rafs_error *err);

/* A blob on its way. */
struct registry_upload {
    char *url;     /* NULL: not begun */
    bool away;     /* another server than the registry chose it */
    uint64_t sent; /* bytes that came before those in the buffer */
    size_t at;     /* of the buffer: what came already */
};

/* How a series of tries goes. */
struct tries {
    rafs_call bounded;
    bool own_deadline;
    unsigned idle, soon;
};

/* registry_upload.c */
struct oci_registry *rafsi_upload_registry(const rafs_upload *upload);
/* Ask; *away: as rafsi_site_send() says. */
int rafsi_upload_ask(rafs_upload *upload, struct registry_request *request, bool *away,
                     const rafs_call *call, struct http_answer *answer, rafs_error *err);
/* Begin anew, whatever went before. */
int rafsi_upload_session(rafs_upload *upload, const rafs_call *call, rafs_error *err);
/* All of the buffer, however often it takes. */
int rafsi_upload_send(rafs_upload *upload, const rafs_call *call, rafs_error *err);
void rafsi_upload_tries(rafs_upload *upload, const rafs_call *call, struct tries *tries);
/* After a failure: wait, or say that it is over. err keeps what went wrong. */
int rafsi_upload_wait(rafs_upload *upload, struct tries *tries, int rc,
                      enum http_verdict verdict, uint64_t retry_ms, const rafs_call *call,
                      rafs_error *err);
int rafsi_registry_begin(rafs_upload *upload, const rafs_call *call, rafs_error *err);
int rafsi_registry_part(rafs_upload *upload, const rafs_call *call, rafs_error *err);
/* registry_commit.c */
int rafsi_registry_commit(rafs_upload *upload, const uint8_t *digest,
                          const rafs_call *call, rafs_error *err);
void rafsi_registry_abandon(rafs_upload *upload);
/* Tell the registry that nothing more comes; whether it listens does not matter. */
void rafsi_registry_forget(struct oci_registry *registry, const char *url, bool away);

/* registry_put.c */
int rafsi_registry_put(rafs_target *target, const struct oci_put *put,
                       const rafs_call *call, rafs_error *err);

#endif
