/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HTTP_BLOB_H
#define RAFSI_HTTP_BLOB_H

#include "backend/http.h"

/*
 * Things behind HTTP as a backend's blobs, whatever kind of server it is: redirects are
 * followed and remembered here, so that a presigned URL is asked for once, and dropped
 * when it is refused. Only the origin is sent credentials.
 */
struct http_site {
    rafs_http *http; /* borrowed */
    void *user;
    const char *name; /* its host, for people; copied when the backend is made; NULL:
                         "http" */
    /* The URL of a blob, into out. */
    int (*url)(void *user, const char *blob_id, char *out, size_t room, rafs_error *err);
    /* rafsi_http_do() with what the site needs to let us in; the request's URL is at the
     * site's own origin. */
    int (*ask)(void *user, struct http_request *request, const rafs_call *call,
               struct http_answer *answer, rafs_error *err);
    void (*release)(void *user); /* once, when the backend is freed */
};

/* On failure release() is not called. */
int rafsi_backend_new_site(const struct http_site *site, rafs_backend **out,
                           rafs_error *err);

/* A GET that follows redirects. *where, if not NULL, gets the URL that answered, freed by
 * rafsi_free(), if that was another one. */
int rafsi_site_get(const struct http_site *site, struct http_request *request,
                   const rafs_call *call, struct http_answer *answer, char **where,
                   rafs_error *err);

/* A request with another method, which follows only redirects that keep it (307, 308).
 * *away, in: the URL was chosen by another server than the site, so it gets no
 * credentials; out: such a one answered. */
int rafsi_site_send(const struct http_site *site, struct http_request *request,
                    bool *away, const rafs_call *call, struct http_answer *answer,
                    rafs_error *err);
/* May a server at `from` send us to `to`, which may be NULL? Its origin into out. */
int rafsi_site_may_send(const char *from, const char *to, char *origin, size_t room,
                        rafs_error *err);

/* Add text to the URL of `used` bytes in out: letters, digits and "-_.~" as they are, and
 * those in `keep`, the rest escaped. How much is used then; room: it did not fit. */
size_t rafsi_url_append(char *out, size_t used, size_t room, const char *text,
                        const char *keep);
/* Base, joint and the id of a blob, which an image chose, as a URL. */
int rafsi_url_of_blob(const char *base, const char *joint, const char *blob_id, char *out,
                      size_t room, rafs_error *err);

/* "Authorization: Basic …" of a user and password; freed by rafsi_free(). */
int rafsi_http_basic(const struct rafsi_env *env, const char *user, const char *password,
                     char **out, rafs_error *err);

#endif
