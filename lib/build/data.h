/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_DATA_H
#define RAFSI_BUILD_DATA_H

/*
 * Files' content to chunks to a blob. One thread feeds; workers read (where they can),
 * hash and compress; chunks go into the blob in the order in which they were fed, so that
 * the blob does not depend on the workers. No more than a few chunks a worker are in
 * flight: whoever feeds waits.
 *
 * A chunk whose digest was seen before refers to the first one. Which levels count is
 * rafsi_data_options.dedup; dictionaries are asked before the index.
 *
 * Only the thread that feeds adds to image->chunks and image->blobs, asks struct
 * rafsi_known and writes to the sink, all of it within these calls.
 */

#include "build/image.h"
#include "build/sink.h"

struct rafsi_data;

/* Where chunks lie that need not be stored: dictionaries, an index. Asked in the order of
 * the chunks, once for each that is new to the build. */
struct rafsi_known {
    void *user;
    /* A chunk with that digest and size: its number in image->chunks (which it is added
     * to at first use, with its blob in image->blobs). RAFS_E_NOENT, silently: none. */
    int (*find)(void *user, const uint8_t digest[32], uint32_t size, uint32_t *number,
                rafs_error *err);
};

struct rafsi_data_options {
    uint32_t flags; /* RAFS_BUILD_TOC, _INLINE_BOOTSTRAP, _ALIGNED */
    int32_t level;
    uint32_t batch_size;                  /* 0: none */
    uint32_t dedup;                       /* RAFS_DEDUP_, not _DEFAULT */
    uint32_t threads;                     /* at least 1 */
    const struct rafsi_known *dictionary; /* NULL: none; borrowed */
    const struct rafsi_known *index;      /* NULL: none; borrowed */
};

/* What came of it; each is only ever added to. */
struct rafsi_data_count {
    uint64_t bytes; /* of files, that were hashed */
    uint64_t chunks;
    uint64_t stored; /* bytes given to sinks */
    uint64_t stored_chunks;
    uint64_t same_file_bytes, same_image_bytes, same_dictionary_bytes, same_index_bytes;
    uint64_t same_chunks;
};

/* image and sink are borrowed. compressor, digest, chunk size, version are the image's.
 */
int rafsi_data_new(struct build_image *image, rafs_sink *sink,
                   const struct rafsi_data_options *options, struct rafsi_data **out,
                   rafs_error *err);
/* Gives up what is not ended; ends the threads. */
void rafsi_data_free(struct rafsi_data *data);

/* A file's content, given piece by piece: begin, then exactly inode->size bytes, end.
 * inode->chunks is filled by the time that rafsi_data_flush() returns. Many zeros at once
 * (holes) are hashed once. */
int rafsi_data_begin(struct rafsi_data *data, struct build_inode *inode, rafs_error *err);
int rafsi_data_add(struct rafsi_data *data, const void *bytes, size_t len,
                   const rafs_call *call, rafs_error *err);
int rafsi_data_add_zeros(struct rafsi_data *data, uint64_t len, const rafs_call *call,
                         rafs_error *err);
/* Fewer or more bytes than inode->size: RAFS_E_CORRUPT. */
int rafsi_data_end(struct rafsi_data *data, const rafs_call *call, rafs_error *err);

/* A file that workers read by themselves, any part of it, several at once. */
struct rafsi_content {
    void *user;
    /* Exactly len bytes from offset; anything else is an error with the path in it. */
    int (*read)(void *user, uint64_t offset, void *buf, size_t len, rafs_error *err);
    /* Called once, when nobody needs it any more, from any thread. */
    void (*release)(void *user);
};
/* content is taken, also on failure. */
int rafsi_data_file(struct rafsi_data *data, struct build_inode *inode,
                    const struct rafsi_content *content, const rafs_call *call,
                    rafs_error *err);

/* Wait until all that was fed is in the blob, and every file's chunks are known. */
int rafsi_data_flush(struct rafsi_data *data, const rafs_call *call, rafs_error *err);

/*
 * End the blob that chunks went into: compression information, digests, table of
 * contents. The next chunk begins a new one. *number: in image->blobs; NO_BLOB: there was
 * no chunk to be stored, and there is no blob.
 *
 * boot: NULL, or, with RAFS_BUILD_INLINE_BOOTSTRAP, writes the bootstrap, which becomes a
 * section of the blob (also of one without chunks; then the blob is there, but in no
 * table). It is called once the record of the blob in image->blobs is as the bootstrap is
 * to have it, with the raw id of 64 'x'.
 */
#define NO_BLOB UINT32_MAX
struct rafsi_boot {
    void *user;
    int (*write)(void *user, rafsi_write_fn write, void *write_user,
                 const rafs_call *call, rafs_error *err);
};
int rafsi_data_end_blob(struct rafsi_data *data, uint32_t layer,
                        const struct rafsi_boot *boot, uint32_t *number,
                        const rafs_call *call, rafs_error *err);

void rafsi_data_counted(struct rafsi_data *data, struct rafsi_data_count *out);

#endif
