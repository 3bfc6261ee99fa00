/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_TARGET_H
#define RAFSI_OCI_TARGET_H

#include "oci/registry.h"
#include "oci/where.h"
#include "rafs/target.h"

/*
 * Where images are written to. What is common is in target.c: hashing, parts, what a
 * manifest says; a kind of target does the rest.
 */

enum {
    TARGET_PART_DEFAULT = 4 << 20,
    TARGET_PART_MIN = 64 << 10,
    TARGET_PART_MAX = 64 << 20
};

/* What a manifest says that has to be known to put it somewhere. */
struct oci_put {
    const void *data;
    size_t len;
    const char *media_type;
    const char *tag; /* NULL: by its digest alone; "": without a name */
    uint8_t digest[OCI_DIGEST_BYTES];
    bool has_subject;
    uint8_t subject[OCI_DIGEST_BYTES];
    /* One line of JSON with its annotations or "", and its artifact type or "": as a list
     * of referrers shows them. */
    const char *descriptor;
};

struct oci_target_kind {
    int (*has)(rafs_target *target, const uint8_t *digest, uint64_t *size,
               const rafs_call *call, rafs_error *err);
    /* NULL: it cannot. */
    int (*mount)(rafs_target *target, const uint8_t *digest,
                 const struct oci_reference *from, const rafs_call *call,
                 rafs_error *err);
    int (*begin)(rafs_upload *upload, const rafs_call *call, rafs_error *err);
    /* The whole buffer of a blob that is longer. */
    int (*part)(rafs_upload *upload, const rafs_call *call, rafs_error *err);
    /* The rest of it, and the blob gets its name. */
    int (*commit)(rafs_upload *upload, const uint8_t *digest, const rafs_call *call,
                  rafs_error *err);
    void (*abandon)(rafs_upload *upload); /* frees what begin() made, in any case */
    int (*put)(rafs_target *target, const struct oci_put *put, const rafs_call *call,
               rafs_error *err);
    int (*finish)(rafs_target *target, const rafs_call *call, rafs_error *err); /* NULL */
    void (*close)(rafs_target *target);
};

struct rafs_target {
    struct rafsi_env env;
    struct rafsi_hashes *hashes;
    struct oci_where where;
    const struct oci_target_kind *kind; /* NULL: nothing to close yet */
    void *own;
    size_t part_bytes;
    char name[256]; /* for errors */
};

struct rafs_upload {
    rafs_target *target;
    struct rafsi_hash hash;
    uint64_t size; /* of what was written */
    uint8_t *buffer;
    size_t room, fill;
    bool ended; /* committed, or failed */
    void *own;
};

int rafsi_target_open(const char *where, const rafs_target_options *options,
                      rafs_target **out, const rafs_call *call, rafs_error *err);
void rafsi_target_close(rafs_target *target); /* NULL is fine */
int rafsi_target_mount(rafs_target *target, const uint8_t *digest, const char *from,
                       const rafs_call *call, rafs_error *err);
int rafsi_target_put(rafs_target *target, const void *data, size_t len,
                     const char *media_type, const char *tag, uint8_t *digest,
                     const rafs_call *call, rafs_error *err);
int rafsi_upload_new(rafs_target *target, rafs_upload **out, const rafs_call *call,
                     rafs_error *err);
int rafsi_upload_write(rafs_upload *upload, const void *data, size_t len,
                       const rafs_call *call, rafs_error *err);
int rafsi_upload_commit(rafs_upload *upload, const uint8_t *expect, uint8_t *digest,
                        uint64_t *size, const rafs_call *call, rafs_error *err);
void rafsi_upload_free(rafs_upload *upload);

/* registry_target.c, layout_target.c, archive_target.c: make target->own and kind. */
int rafsi_target_registry(rafs_target *target, const rafs_target_options *options,
                          rafs_error *err);
int rafsi_target_layout(rafs_target *target, const rafs_call *call, rafs_error *err);
int rafsi_target_archive(rafs_target *target, bool replace, const rafs_call *call,
                         rafs_error *err);

/* What target.c found in a document, target_text.c. */
struct oci_facts {
    char media_type[OCI_MEDIA_MAX];
    bool has_subject;
    uint8_t subject[OCI_DIGEST_BYTES];
    char *descriptor; /* of malloc(), given to rafsi_oci_facts_drop() */
};
/* media_type NULL: what the document says. RAFS_E_BADARG if it is no manifest or index.
 */
int rafsi_oci_facts(const void *data, size_t len, const char *media_type,
                    const uint8_t *digest, struct oci_facts *out, rafs_error *err);
void rafsi_oci_facts_drop(struct oci_facts *facts);

/* A list of manifests with one more: old NULL: an empty one. name: the entry is to have
 * it, and no other; NULL: none has to do with a name, and an entry that is there already
 * stays as it is (*same). *out is malloc()'s memory. RAFS_E_CORRUPT if it is no list. */
int rafsi_oci_list_add(const void *old, size_t old_len, const char *descriptor,
                       const char *name, char **out, size_t *len, bool *same,
                       rafs_error *err);

#endif
