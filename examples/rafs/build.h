/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_BUILD_H
#define RAFS_COMMAND_BUILD_H

/* What commands that make images share: options, a builder with its sink, a summary. */

#include "command.h"
#include "fetching.h"

struct texts {
    const char **at;
    size_t count, room;
};

struct making {
    struct command *c;
    rafs_build_options options;
    const char *out_dir;   /* -o: image.boot and blobs/ in it */
    const char *bootstrap; /* or here */
    const char *blob_dir;  /* and there */
    char *own_paths[2];    /* of out_dir; to be freed */
    uint32_t sink_flags;
    struct texts prefetch, exclude, dictionaries;
    rafs_id_map *uid_maps, *gid_maps;
    char *prefetch_text;    /* of --prefetch-list */
    struct command *opened; /* the dictionaries */
    size_t opened_count;
    const rafs_image **images;
    bool json; /* the summary */
    enum progress_form form;
    struct progress progress;
    bool progress_running;
    uint64_t began_ns;
    rafs_sink *sink;
    rafs_builder *builder;
};

/* Values of the options below: those of a command begin after MAKING_OPT_END. */
enum {
    MAKING_OPT_FS_VERSION = OPT_OWN,
    MAKING_OPT_COMPRESSOR,
    MAKING_OPT_LEVEL,
    MAKING_OPT_CHUNK_SIZE,
    MAKING_OPT_BATCH_SIZE,
    MAKING_OPT_THREADS,
    MAKING_OPT_DIGEST,
    MAKING_OPT_DEDUP,
    MAKING_OPT_CHUNK_DICT,
    MAKING_OPT_CHUNK_STORE,
    MAKING_OPT_TOC,
    MAKING_OPT_INLINE,
    MAKING_OPT_BLOB_PER_LAYER,
    MAKING_OPT_KEEP_WHITEOUTS,
    MAKING_OPT_ALIGNED,
    MAKING_OPT_OWNER,
    MAKING_OPT_NO_OWNERS,
    MAKING_OPT_UID_MAP,
    MAKING_OPT_GID_MAP,
    MAKING_OPT_MTIME,
    MAKING_OPT_NO_XATTRS,
    MAKING_OPT_SKIP,
    MAKING_OPT_ONE_FS,
    MAKING_OPT_EXCLUDE,
    MAKING_OPT_PREFETCH,
    MAKING_OPT_PREFETCH_LIST,
    MAKING_OPT_BOOTSTRAP,
    MAKING_OPT_FORCE,
    MAKING_OPT_NO_SYNC,
    MAKING_OPT_JSON,
    MAKING_OPT_PROGRESS,
    MAKING_OPT_END
};

/* clang-format off */
/* Of a layer, whatever becomes of it. */
#define MAKING_LAYER_OPTIONS                                                  \
    { "fs-version", required_argument, NULL, MAKING_OPT_FS_VERSION },         \
    { "compressor", required_argument, NULL, MAKING_OPT_COMPRESSOR },         \
    { "level", required_argument, NULL, MAKING_OPT_LEVEL },                   \
    { "chunk-size", required_argument, NULL, MAKING_OPT_CHUNK_SIZE },         \
    { "batch-size", required_argument, NULL, MAKING_OPT_BATCH_SIZE },         \
    { "threads", required_argument, NULL, MAKING_OPT_THREADS },               \
    { "digest", required_argument, NULL, MAKING_OPT_DIGEST },                 \
    { "dedup", required_argument, NULL, MAKING_OPT_DEDUP },                   \
    { "chunk-dict", required_argument, NULL, MAKING_OPT_CHUNK_DICT },         \
    { "chunk-store", required_argument, NULL, MAKING_OPT_CHUNK_STORE },       \
    { "aligned-chunk", no_argument, NULL, MAKING_OPT_ALIGNED },               \
    { "owner", required_argument, NULL, MAKING_OPT_OWNER },                   \
    { "no-owners", no_argument, NULL, MAKING_OPT_NO_OWNERS },                 \
    { "uid-map", required_argument, NULL, MAKING_OPT_UID_MAP },               \
    { "gid-map", required_argument, NULL, MAKING_OPT_GID_MAP },               \
    { "mtime", required_argument, NULL, MAKING_OPT_MTIME },                   \
    { "no-xattrs", no_argument, NULL, MAKING_OPT_NO_XATTRS },                 \
    { "skip-unsupported", no_argument, NULL, MAKING_OPT_SKIP },               \
    { "exclude", required_argument, NULL, MAKING_OPT_EXCLUDE },               \
    { "prefetch", required_argument, NULL, MAKING_OPT_PREFETCH },             \
    { "prefetch-list", required_argument, NULL, MAKING_OPT_PREFETCH_LIST }

#define MAKING_OPTIONS                                                        \
    MAKING_LAYER_OPTIONS,                                                     \
    { "toc", no_argument, NULL, MAKING_OPT_TOC },                             \
    { "inline-bootstrap", no_argument, NULL, MAKING_OPT_INLINE },             \
    { "blob-per-layer", no_argument, NULL, MAKING_OPT_BLOB_PER_LAYER },       \
    { "keep-whiteouts", no_argument, NULL, MAKING_OPT_KEEP_WHITEOUTS },       \
    { "one-file-system", no_argument, NULL, MAKING_OPT_ONE_FS },              \
    { "bootstrap", required_argument, NULL, MAKING_OPT_BOOTSTRAP },           \
    { "output", required_argument, NULL, 'o' },                               \
    { "force", no_argument, NULL, MAKING_OPT_FORCE },                         \
    { "no-sync", no_argument, NULL, MAKING_OPT_NO_SYNC },                     \
    { "json", no_argument, NULL, MAKING_OPT_JSON },                           \
    { "progress", required_argument, NULL, MAKING_OPT_PROGRESS }

/* clang-format on */
extern const char making_help[]; /* of the options above */

/* SOURCE_DATE_EPOCH. False: reported. */
bool making_begin(struct making *m, struct command *c);
/* One of the options above, optarg its argument. False: reported, or not one of them. */
bool making_option(struct making *m, int opt);
/* All options are known: open dictionaries, complete m->options. False: reported. */
bool making_prepare(struct making *m);
/* The same, and make sink and builder. */
bool making_start(struct making *m);
/* Does what is written lie outside of a directory that is read? False: reported.
 * build_apart.c */
bool making_is_apart(struct making *m, const char *source);
/* The next layer, if it is not the first, out of a directory, an archive, or "-". */
bool making_add(struct making *m, const char *source, bool first);
/* Complete the image and tell of it. */
bool making_finish(struct making *m);
/* Milliseconds since it was prepared. */
uint64_t making_ms(const struct making *m);
void making_end(struct making *m);

#endif
