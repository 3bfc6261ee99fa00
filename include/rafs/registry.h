/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_REGISTRY_H
#define RAFS_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

#include "credentials.h"
#include "http.h"
#include "image.h"

/**
 * @file
 * Images in OCI registries.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of rafs_registry_options.flags. */
enum {
    RAFS_REGISTRY_PLAIN_HTTP = 1, /**< http instead of https; a loopback host is asked
                                       by http without this */
    /** Where the reference leads to an ordinary image, look for a RAFS form that hangs on
     * it (referrers API, or the tag that stands for it). Whoever may push to the
     * repository can attach one, so the digest in the reference does not bind it: the
     * image counts as pinned only by rafs_open_options.expect_digest. */
    RAFS_REGISTRY_REFERRERS = 2,
    /** Fetch the image's config too, and keep it in rafs_open_options.cache beside
     * manifest and bootstrap, as a document "config" under its digest. Without a cache it
     * is not fetched. */
    RAFS_REGISTRY_CONFIG = 4
};

/** Bits of rafs_registry_mirror.flags. Without PULL and RESOLVE, both. */
enum {
    RAFS_MIRROR_PULL = 1,    /**< may give what a digest names: its bytes are compared */
    RAFS_MIRROR_RESOLVE = 2, /**< may say which digest a tag stands for: it is believed */
    RAFS_MIRROR_OVERRIDE_PATH = 4, /**< no "/v2" is added to the path of the URL */
    /** Stands for the registry itself, which is not asked then. Only of the last one. */
    RAFS_MIRROR_SERVER = 8
};

/** Mirrors of one registry. */
#define RAFS_MIRRORS_MAX 15

/** Another server that has the repositories of a registry, as containerd's hosts.toml
 * describes one; zero in a field means the default. */
typedef struct rafs_registry_mirror {
    uint32_t struct_size; /**< sizeof(rafs_registry_mirror) */
    uint32_t flags;       /**< RAFS_MIRROR_ */
    /** "http[s]://HOST[:PORT][/PATH]". A '?ns=REGISTRY' tells it which registry it stands
     * for. Copied. */
    const char *url;
    /** Client with its certificates and headers; borrowed as long as the image lives;
     *  NULL: the registry's. */
    rafs_http *http;
} rafs_registry_mirror;

#define RAFS_REGISTRY_MIRROR_INIT                   \
    {                                               \
        sizeof(rafs_registry_mirror), 0, NULL, NULL \
    }

/** Set a mirror to the defaults, for callers without the macro. @param mirror  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_registry_mirror_init(rafs_registry_mirror *mirror);

/** How a registry is used; zero in a field means the default. */
typedef struct rafs_registry_options {
    uint32_t struct_size; /**< sizeof(rafs_registry_options) */
    uint32_t flags;       /**< RAFS_REGISTRY_ */
    /** Who knows user names and passwords; copied, its user borrowed as long as the
     *  backend or image lives; its release() is called once after that. NULL: nobody. */
    const rafs_credentials_source *credentials;
    /** "os/architecture" or "os/architecture/variant" of the image wanted from an index;
     *  NULL: that of this machine. Copied. */
    const char *platform;
    /** Who is asked before the registry, in this order; those that fail are asked last
     *  for a while, and what one lacks or gives wrong comes from the next. Each is asked
     *  for credentials of its own, by its own host. Copied. NULL: nobody. */
    const rafs_registry_mirror *const *mirrors;
    size_t mirror_count; /**< 0 to RAFS_MIRRORS_MAX */
} rafs_registry_options;

#define RAFS_REGISTRY_OPTIONS_INIT                            \
    {                                                         \
        sizeof(rafs_registry_options), 0, NULL, NULL, NULL, 0 \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_registry_options_init(rafs_registry_options *options);

/**
 * The registry that a reference names, as people and containerd's certs.d call it: for
 * those of Docker Hub not the host that is asked.
 *
 * @param reference  as rafs_image_open_registry()
 * @param host       out: "HOST" or "HOST:PORT" and a NUL
 * @param room       bytes in host; 256 are always enough
 * @param err        out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no reference; RAFS_E_UNSUPPORTED: a digest of another
 *         algorithm; RAFS_E_RANGE: too little room
 *
 * On failure host is unchanged. Never blocks. Any thread. Source: the reference grammar
 * of docker. Since: 1.0.
 */
RAFS_API int rafs_registry_host(const char *reference, char *host, size_t room,
                                rafs_error *err);

/**
 * The blobs of a repository: blob ID is asked for as /v2/REPO/blobs/sha256:ID.
 *
 * @param http        borrowed until the backend is freed
 * @param repository  "HOST/REPO" as docker reads it; a tag or digest after it is ignored;
 *                    copied
 * @param options     NULL: the defaults. No mirrors: each is a source of its own, see
 *                    rafs_backend_new_mirror()
 * @param out         out: the backend, to be freed with rafs_backend_free()
 * @param err         out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no repository; RAFS_E_UNSUPPORTED; RAFS_E_NOMEM
 *
 * On failure *out is unchanged, and release() is not called. Never blocks: the first
 * request is made when a blob is read. Any thread. Source: OCI distribution spec 1.1.
 * Since: 1.0.
 */
RAFS_API int rafs_backend_new_registry(rafs_http *http, const char *repository,
                                       const rafs_registry_options *options,
                                       rafs_backend **out, rafs_error *err);

/**
 * The same blobs at a mirror of the registry.
 *
 * @param http        borrowed until the backend is freed, if the mirror has no client of
 *                    its own
 * @param repository  as rafs_backend_new_registry(): of the registry, not of the mirror
 * @param mirror      who is asked; not NULL; copied
 * @param options, out, err  as rafs_backend_new_registry()
 * @return RAFS_OK; RAFS_E_BADARG: no repository, or no usable URL; RAFS_E_UNSUPPORTED;
 *         RAFS_E_NOMEM
 *
 * On failure *out is unchanged, and release() is not called. Never blocks. Any thread.
 * Source: containerd's hosts.toml. Since: 1.0.
 */
RAFS_API int rafs_backend_new_mirror(rafs_http *http, const char *repository,
                                     const rafs_registry_mirror *mirror,
                                     const rafs_registry_options *options,
                                     rafs_backend **out, rafs_error *err);

/**
 * Open the image that a reference names, in a registry.
 *
 * Fetches the manifest (of an index: that of the platform) and the bootstrap layer; data
 * is fetched when it is read, from the same repository, after rafs_open_options.backends
 * were asked. Manifest and bootstrap are compared with the digests on their way: with a
 * digest in the reference everything follows from it, and the image counts as pinned. A
 * tag is what the registry says it is at this moment.
 *
 * @param http       borrowed until the image is closed
 * @param reference  "HOST/REPO:TAG" or "HOST/REPO@sha256:HEX" as docker reads it, with or
 *                   without "docker://" in front
 * @param registry   how the registry is used; NULL: the defaults
 * @param options    as rafs_image_open_path(); NULL: the defaults
 * @param out        out: the image, to be closed with rafs_image_close()
 * @param call       deadline and cancel token, borrowed for the call; NULL: neither
 * @param err        out, optional
 *
 * @return RAFS_OK
 *         RAFS_E_BADARG       no reference, or an option is wrong
 *         RAFS_E_NOENT        the registry has no such image
 *         RAFS_E_UNSUPPORTED  not an image in a RAFS format, or none for the platform
 *         RAFS_E_CORRUPT      something differs from its digest, or is malformed
 *         RAFS_E_BACKEND      the registry cannot be reached (see os_errno), or refuses
 *                             the credentials (EACCES)
 *         RAFS_E_LIMIT        needs more than options->limits allow
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED   as asked by call
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged, and release() is not called. Blocks on the network. Any
 * thread. Source: OCI image and distribution specs; annotations of nydusify. Since: 1.0.
 */
RAFS_API int rafs_image_open_registry(rafs_http *http, const char *reference,
                                      const rafs_registry_options *registry,
                                      const rafs_open_options *options, rafs_image **out,
                                      const rafs_call *call, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
