/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FEEDING_H
#define TESTS_FEEDING_H

/*
 * Files made up from numbers, fed to the part of the builder that makes blobs, and a sink
 * in memory that can refuse.
 */

#include "build/data.h"
#include "watch.h"

enum { FEED_OBJECTS_MAX = 16, FEED_FILES_MAX = 400 };

/* A sink that keeps what it is given. */
struct feed_object {
    uint32_t kind;
    uint8_t *at;
    size_t len, room;
    bool committed;
    bool aborted;
    rafs_sink_object what;
};
struct feed_sink {
    rafs_sink sink;
    struct feed_object objects[FEED_OBJECTS_MAX];
    uint32_t count;
    size_t writes;
    size_t fail_at; /* which write is refused, from 0; WATCH_NEVER: none */
    bool failed;
    rafs_cancel *cancel; /* fired by write number cancel_at */
    size_t cancel_at;
};
void feed_sink_init(struct feed_sink *sink);
void feed_sink_drop(struct feed_sink *sink);

/* How a file comes in. */
enum feed_way { FEED_READ, FEED_PIECES, FEED_ZEROS };

/* A file: what is in it follows from seed and size alone. */
struct feed_file {
    uint64_t size;
    uint32_t seed; /* equal ones begin alike; 0: zeros */
    uint64_t tail; /* the last so many bytes are another file's */
    enum feed_way way;
    int fails; /* what reading it says; 0: nothing */
    struct build_inode inode;
    struct feed *feed;
};
void feed_fill(const struct feed_file *file, uint64_t offset, void *buf, size_t len);

/* All of it. */
struct feed {
    struct watch watch;
    struct feed_sink sink;
    struct build_image image;
    struct rafsi_data_options options;
    struct rafsi_data *data;
    struct feed_file files[FEED_FILES_MAX];
    size_t file_count;
    atomic_size_t reads;
    size_t fail_read; /* which read fails, from 0; WATCH_NEVER: none */
    atomic_bool read_failed;
    atomic_size_t released;
    size_t taken; /* contents given away */
    size_t most;  /* of them, not released */
    void (*reading)(struct feed *feed, struct feed_file *file); /* may be NULL */
    uint32_t blob;
    rafs_error err;
};

/* Defaults: v6, zstd, BLAKE3, chunks of 64 KiB, CHUNK, two threads; then change fields
 * before the first feed_all(). */
void feed_init(struct feed *feed);
void feed_add(struct feed *feed, uint64_t size, uint32_t seed, enum feed_way way);
/* Some of each size and kind, with files and chunks that are the same. */
void feed_usual(struct feed *feed);
/* Make the data, feed all files, flush. */
int feed_all(struct feed *feed, const rafs_call *call);
/* ... and end the blob. */
int feed_run(struct feed *feed, const struct rafsi_boot *boot, const rafs_call *call);
/* Everything goes; nothing may be left allocated, and no content not released. */
void feed_drop(struct feed *feed);

/* A program's own bootstrap for the inlined forms: bytes that follow from the size. */
struct feed_boot {
    struct feed *feed;
    size_t size;
    struct blob_record seen; /* when it was written */
};
int feed_boot_write(void *user, rafsi_write_fn write, void *write_user,
                    const rafs_call *call, rafs_error *err);

/* Every chunk of every file decodes from the blob that was written to the bytes of the
 * file, its digest and CRC are theirs; what the blob says of it is the same. */
void feed_check(struct feed *feed);

#endif
