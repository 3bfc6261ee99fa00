/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_TEXT_H
#define RAFSI_OCI_TEXT_H

/*
 * What a user writes and what a registry answers → plain structs.
 *
 * Everything here is text from outside, and no function here does I/O but those for
 * credentials. Digests are bytes from here on.
 */

#include "base/base.h"

enum {
    OCI_DIGEST_BYTES = 32,
    OCI_HOST_MAX = 256, /* bytes of a host with its port, NUL included */
    OCI_REPO_MAX = 256,
    OCI_TAG_MAX = 129,
    OCI_JSON_MAX = 4 << 20 /* of a manifest or index, as registries limit it */
};

/* reference.c */

/* "host/repo:tag@digest", as docker reads it. */
struct oci_reference {
    char host[OCI_HOST_MAX]; /* to connect to, with its port if one was given */
    char repo[OCI_REPO_MAX];
    char tag[OCI_TAG_MAX]; /* "" if only a digest was given, else "latest" at least */
    bool has_digest;       /* then the digest decides, and the tag is for people */
    uint8_t digest[OCI_DIGEST_BYTES];
};

/*
 * Read a reference, without "docker://" before it. RAFS_E_BADARG with the position;
 * RAFS_E_UNSUPPORTED for a digest that is not SHA-256. The text itself is not put into
 * err: people paste passwords.
 */
int rafsi_oci_reference_parse(const char *text, struct oci_reference *out,
                              rafs_error *err);

/* "sha256:" and 64 lower-case hex digits. RAFS_E_CORRUPT if malformed,
 * RAFS_E_UNSUPPORTED if it is of another algorithm; err has no object yet. */
int rafsi_oci_digest_parse(const char *text, uint8_t out[OCI_DIGEST_BYTES],
                           rafs_error *err);

enum { OCI_DIGEST_TEXT = 7 + 2 * OCI_DIGEST_BYTES + 1 };
void rafsi_oci_digest_text(const uint8_t digest[OCI_DIGEST_BYTES],
                           char out[OCI_DIGEST_TEXT]);

/* manifest.c, index.c */

#define OCI_BOOTSTRAP_ANNOTATION "containerd.io/snapshot/nydus-bootstrap"
#define OCI_NYDUS_ARTIFACT "application/vnd.nydus.image.manifest.v1+json"
#define OCI_NYDUS_BLOB "application/vnd.oci.image.layer.nydus.blob.v1"
/* What is asked of a registry: value of the Accept header. */
#define OCI_ACCEPT                                           \
    "application/vnd.oci.image.manifest.v1+json, "           \
    "application/vnd.oci.image.index.v1+json, "              \
    "application/vnd.docker.distribution.manifest.v2+json, " \
    "application/vnd.docker.distribution.manifest.list.v2+json"

enum {
    OCI_MEDIA_MAX = 128,
    OCI_LAYERS_MAX = 1024, /* layers of a manifest, manifests of an index */
};

enum oci_kind { OCI_MANIFEST = 1, OCI_INDEX = 2 };

/* Something in the repository, and what it must hash to. */
struct oci_descriptor {
    uint8_t digest[OCI_DIGEST_BYTES];
    uint64_t size;
    char media_type[OCI_MEDIA_MAX]; /* "" if not said */
};

/* Which build of an image; names as Go has them. */
struct oci_platform {
    char os[32];
    char arch[32];
    char variant[32]; /* "" if none */
};

enum oci_compression { OCI_TAR, OCI_TAR_GZIP, OCI_TAR_ZSTD };

/* A data layer of a nydus image. */
struct oci_layer {
    struct oci_descriptor blob;
    bool nydus;     /* by annotation or media type; else an ordinary layer */
    bool encrypted; /* nydus-encrypted-blob */
    bool has_ref; /* a zran image: the data is in the layer `ref`, this holds metadata */
    uint8_t ref[OCI_DIGEST_BYTES];
};

struct oci_manifest {
    struct oci_descriptor config;
    char artifact_type[OCI_MEDIA_MAX]; /* "" if none */
    bool has_subject; /* a referrer: what it hangs on; to be compared by who asked */
    struct oci_descriptor subject;
    /* The last layer, if it carries a bootstrap. */
    bool has_bootstrap;
    struct oci_descriptor bootstrap;
    enum oci_compression bootstrap_compression;
    uint32_t fs_version; /* 5 or 6, what the annotation says (none: 5) */
    /* The other layers, in order. */
    struct oci_layer *layers;
    size_t layer_count;
};

/*
 * Which kind a document is. By its mediaType or, if it has none, by its shape;
 * content_type (NULL: not known) is what the server said. A document that could be taken
 * for both is RAFS_E_CORRUPT: two readers of one digest must not see two images. Schema 1
 * and other things are RAFS_E_UNSUPPORTED.
 */
int rafsi_oci_kind(const void *json, size_t len, const char *content_type,
                   enum oci_kind *out, rafs_error *err);

/* The platform of this program: Linux on the machine it was compiled for. */
void rafsi_oci_platform_host(struct oci_platform *out);
/* "os/arch[/variant]" or "arch", in the spelling of Go or uname. RAFS_E_BADARG. */
int rafsi_oci_platform_parse(const char *text, struct oci_platform *out, rafs_error *err);

/*
 * Choose from an index: the platform's entry, the nydus one before an ordinary one, and
 * the highest variant that the wanted one can run. wanted NULL: the host's. What is
 * chosen may be an index again (by media_type). RAFS_E_NOENT with the platforms that
 * there are.
 */
int rafsi_oci_index_pick(const void *json, size_t len, const struct oci_platform *wanted,
                         struct oci_descriptor *out, rafs_error *err);

/* The same of ordinary images alone: for who makes RAFS forms of them. */
int rafsi_oci_index_pick_plain(const void *json, size_t len,
                               const struct oci_platform *wanted,
                               struct oci_descriptor *out, rafs_error *err);

/* What an index names, in its order; out has room for OCI_LAYERS_MAX. */
struct oci_listed {
    struct oci_descriptor at;
    bool image; /* of some platform; else something that says more about one */
    bool nydus; /* marked as the RAFS form of one */
};
int rafsi_oci_index_list(const void *json, size_t len, struct oci_listed *out,
                         size_t *count, rafs_error *err);

/*
 * Entry i of the answer of the referrers API (or of its tag) that may be a nydus image:
 * those with its artifact type first, then those that say nothing about theirs.
 * RAFS_E_NOENT if there are no more. Nothing in it binds the entry to the image that it
 * claims to belong to: only the `subject` in its verified manifest does.
 */
int rafsi_oci_referrer_pick(const void *json, size_t len, size_t i,
                            struct oci_descriptor *out, rafs_error *err);

/* Read a manifest; layers are freed with rafsi_oci_manifest_drop(). */
int rafsi_oci_manifest_parse(const struct rafsi_env *env, const void *json, size_t len,
                             struct oci_manifest *out, rafs_error *err);
void rafsi_oci_manifest_drop(const struct rafsi_env *env, struct oci_manifest *manifest);
/* RAFS_OK if the manifest is of an image that has a bootstrap; else RAFS_E_UNSUPPORTED
 * with a sentence for people. */
int rafsi_oci_manifest_is_rafs(const struct oci_manifest *manifest, rafs_error *err);

/* challenge.c */

enum {
    OCI_REALM_MAX = 2048,
    OCI_PARAM_MAX = 512,
    OCI_TOKEN_MAX = 65536,     /* bytes of the JSON that a token server answers */
    OCI_TOKEN_LIFE_MAX = 86400 /* seconds that a token is believed to live */
};

/* What a server wants that said 401. Texts have no control characters. */
struct oci_challenge {
    bool bearer;               /* else Basic */
    char realm[OCI_REALM_MAX]; /* Bearer: the http(s) URL of the token server */
    char service[OCI_PARAM_MAX];
    char scope[OCI_PARAM_MAX];
    char error[64]; /* "invalid_token", "insufficient_scope" …; "" if none */
};

/*
 * The challenge to answer among the WWW-Authenticate values of an answer, a line each:
 * Bearer before Basic. Those that are malformed, too long or of other schemes are passed
 * over. RAFS_E_UNSUPPORTED if none is left.
 */
int rafsi_oci_challenge_parse(const char *lines, struct oci_challenge *out,
                              rafs_error *err);

/* URL of a token request by GET; scope is for challenges that name none. RAFS_E_LIMIT if
 * it is longer than the room. */
int rafsi_oci_token_url(const struct oci_challenge *challenge, const char *scope,
                        char *out, size_t room, rafs_error *err);
/* Form of a token request by POST with an identity token. It holds the secret. */
int rafsi_oci_token_form(const struct oci_challenge *challenge, const char *scope,
                         const char *identity_token, char *out, size_t room,
                         rafs_error *err);

/* Take the token out of an answer. *token is env's memory, fit for a header line; life_s
 * is what the server says of it (60 if nothing), at least 1. err tells nothing of it. */
int rafsi_oci_token_parse(const struct rafsi_env *env, const char *json, size_t len,
                          char **token, uint64_t *life_s, rafs_error *err);

#endif
