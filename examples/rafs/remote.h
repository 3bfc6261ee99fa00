/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_REMOTE_H
#define RAFS_COMMAND_REMOTE_H

#include "command.h"

/* Images that are no single files here: docker://HOST/REPO:TAG, oci:DIR and the like. */

/* Does IMAGE begin with the name of a kind of source, as in docker://? */
bool remote_is(const char *image);

/* Does it lie in the network, so that a cache is worth it? */
bool remote_is_network(const char *image);

/* Open it with the sources that --blob-dir named before it. False: reported and noted. */
bool remote_open(struct command *c, const char *image, rafs_open_options *options);

/* Is one that --blob-source names in the network? */
bool remote_has_sources(const struct command *c);

/* The sources that --blob-source names, whatever IMAGE is. False: reported and noted. */
bool remote_add_sources(struct command *c);

/* After the image was closed. */
void remote_close(struct command *c);

/* How this user's clients connect; env and p2p are borrowed by options. */
void remote_http_options(const struct command *c, rafs_http_options *options,
                         rafs_env *env, rafs_p2p_options *p2p);

/* After command_failed(): the exit code where opening fails. */
void remote_open_code(struct command *c, const rafs_error *err);

/* Open the object `name` of the last source. False: reported as `shown`, and noted. */
bool remote_open_last(struct command *c, const char *name, const char *shown,
                      rafs_open_options *options);

/* c->http, made when first needed. False: reported and noted. */
bool remote_http(struct command *c);

/* May this URL be asked? Plain http is for this machine, or for who allowed it. False:
 * reported and noted. */
bool remote_may_ask(struct command *c, const char *url);

/* Where the next source is to be put, c->backend_count to be counted up then. NULL: too
 * many; reported and noted. */
rafs_backend **remote_slot(struct command *c);

/* Sources for the blobs of one repository: the registry and its mirrors; of a layout. */
bool remote_add_repository(struct command *c, const char *image);
bool remote_add_layout(struct command *c, const char *image);

/* A source for blobs below a URL. */
bool remote_add_http(struct command *c, const char *source);

/* How registries are asked; files must live as long as registry. */
void remote_registry(struct command *c, rafs_registry_options *registry,
                     rafs_credentials_source *files);

/* The URL without user and password, which are nobody's business. */
void remote_shown(const char *url, char *out, size_t room);

/* layout.c */
bool layout_open(struct command *c, const char *image, rafs_open_options *options);

/* The parts of oci:PATH:NAME; name is NULL, a tag, or sha256:HEX. */
struct layout_name {
    char *path; /* to free() */
    const char *name;
};
bool layout_split(const char *image, struct layout_name *out);

#endif
