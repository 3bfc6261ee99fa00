/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_DATA_IMPL_H
#define RAFSI_BUILD_DATA_IMPL_H

/*
 * How content becomes a blob.
 *
 *   feeder            worker          feeder             worker      feeder
 *   fill → QUEUED → (read) hash → HASHED → decide → DECIDED → compress → PACKED → write
 *   data.c          data_work.c            data_place.c     data_work.c    data_place.c
 *
 * Jobs, each of up to a chunk's size of bytes (or many small chunks), go round in a ring.
 * Whatever depends on the order of chunks (which is the first of its kind, its number,
 * its place, what is in a batch) is done by the feeder, in the order of the ring; workers
 * do what can be done to a job alone. So bytes do not depend on the workers, the tables
 * need no lock, and sinks are called from the thread that lent us its rafs_call, while it
 * is valid. The lock is for the states of the jobs alone.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "build/data.h"
#include "codec/codec.h"

/* Chunks in one job; small files share one until it has PACK_BYTES. */
enum { ITEMS_MAX = 128, PACK_BYTES = 256 << 10 };
/* Files that workers are to read, at once: each may cost a descriptor. */
enum { CONTENTS_MAX = 256 };
/* Of uncompressed offsets. */
enum { BLOB_ALIGNMENT = 4096 };

struct content {
    struct rafsi_content content;
    atomic_uint refs;
    atomic_uint *alive; /* contents in flight */
    const struct rafsi_env *env;
};

/* A chunk of a file. */
struct item {
    struct build_inode *inode;
    struct content *content; /* NULL: the bytes are there already */
    uint64_t offset;         /* in content */
    uint32_t slot;           /* number of the chunk in its file */
    uint32_t size;
    uint32_t at; /* in the job's bytes; of zeros: none */
    bool zeros;
    bool alone; /* the file has no other chunk */
    uint8_t digest[32];
    uint32_t crc32;
};

/* What goes into the blob: a chunk, or a batch of several. */
struct piece {
    const uint8_t *bytes;
    struct rafsi_buffer *batch; /* NULL: a chunk; the bytes are a job's or zeros */
    uint32_t size;
    uint32_t stored_size; /* size: as it is */
    uint32_t index;       /* of the chunk in its blob, of a batch: of the first one */
    uint32_t count;       /* chunks */
};

enum job_state { JOB_FREE, JOB_QUEUED, JOB_HASHED, JOB_DECIDED, JOB_PACKED, JOB_BUSY };

struct job {
    enum job_state state; /* under the lock; the rest belongs to whom the state says */
    uint32_t item_count;
    uint32_t piece_count;
    size_t used; /* of bytes */
    bool last;   /* the blob ends behind it: an open batch is closed */
    struct rafsi_buffer *bytes;
    struct rafsi_buffer *packed; /* the pieces, one behind the other, as stored */
    int rc;
    rafs_error err;
    struct item items[ITEMS_MAX];
    struct piece pieces[2 * ITEMS_MAX + 1];
};

/* data_seen.c. A set of chunks by what they are recognised by, or of numbers. */
struct seen {
    const struct rafsi_env *env;
    const struct build_chunks *chunks;
    uint32_t *slots; /* id + 1; 0: free */
    uint32_t *numbers;
    uint8_t (*keys)[32]; /* NULL: keys are the chunks' digests, ids their numbers */
    bool keyed;
    uint32_t count;
    uint32_t room;
    uint32_t keys_room;
    uint64_t seed;
};
void rafsi_seen_init(struct seen *seen, const struct rafsi_env *env,
                     const struct build_chunks *chunks, bool keyed);
void rafsi_seen_free(struct seen *seen);
bool rafsi_seen_find(const struct seen *seen, const uint8_t key[32], uint32_t size,
                     uint32_t *number);
int rafsi_seen_add(struct seen *seen, const uint8_t key[32], uint32_t number,
                   rafs_error *err);

/* A batch, and where a chunk lies in one: by index of the chunk in the blob. */
struct member {
    uint32_t batch; /* NO_BATCH: in none */
    uint32_t offset;
};
#define NO_BATCH UINT32_MAX

/* The blob that is being written. */
struct blob_out {
    struct rafsi_out out;
    bool open;
    bool batches; /* there may be some */
    uint32_t number;
    uint32_t count;            /* chunks */
    uint32_t room;             /* of the rows by chunk */
    uint32_t *numbers;         /* of the chunks, in image->chunks */
    struct member *members;    /* if batches */
    struct ci_batch *contexts; /* of batches */
    uint32_t context_count;    /* decided; written ones have a size */
    uint32_t context_room;
    uint64_t compressed; /* where the next piece is written */
    uint64_t unwritten;  /* bytes, uncompressed, that were not written yet */
    uint64_t uncompressed;
    struct rafsi_buffer *batch; /* open: chunks that wait for others */
    uint32_t batch_first;
    uint32_t batch_count;
};

struct worker {
    struct rafsi_data *data;
    struct rafsi_encoder *encoder;
    pthread_t thread;
    bool started;
};

struct rafsi_data {
    struct rafsi_env env;
    struct build_image *image;
    rafs_sink *sink;
    struct rafsi_data_options options;
    struct rafsi_pool *pool;
    size_t job_bytes;        /* room of a job */
    size_t pack_bytes;       /* a job with so many is full enough */
    uint8_t *zeros;          /* a chunk of them; NULL: not needed yet */
    uint8_t zero_digest[32]; /* of a whole chunk of them */
    uint32_t zero_crc32;
    atomic_uint contents; /* in flight */

    /* Of the ring: numbers that only grow; job i is at i % ring_size. */
    struct job *ring;
    uint64_t ring_size;
    uint64_t head;   /* the next to be written */
    uint64_t decide; /* the next to be decided */
    uint64_t tail;   /* the next to be filled */
    bool filling;    /* job tail is being filled */

    pthread_mutex_t lock;
    pthread_cond_t work; /* for workers: a job is QUEUED or DECIDED, or stop */
    pthread_cond_t done; /* for the feeder: a job is HASHED or PACKED */
    uint32_t idle;       /* workers that wait */
    bool waiting;        /* the feeder waits */
    bool stop;
    bool ready; /* lock and conditions were made */
    struct worker *workers;

    /* The file that is being fed. */
    struct build_inode *file;
    uint64_t fed;
    uint32_t slot;
    uint32_t filled; /* of the last item, if it is not full yet */

    /* Of decisions. */
    struct seen chunks;   /* that this build stored, by digest */
    struct seen known[2]; /* that it did not: found in dictionaries, in the index */
    struct seen files;    /* by the beginnings of files */
    uint8_t chain[32];    /* what the current file begins with */
    struct blob_out blob;
    struct rafsi_data_count counted;
    bool halted; /* a job failed: those behind it are not decided */
    int failed;
    rafs_error err;
};

/* data_work.c */
int rafsi_work_start(struct rafsi_data *data, rafs_error *err);
void rafsi_work_stop(struct rafsi_data *data);
void rafsi_content_drop(struct content *content);
/* Give back what a job holds, and make it an empty one. */
void rafsi_job_clear(struct job *job);

/* data_ring.c. The feeder's side of the ring; each gives the first failure, if any. */
int rafsi_ring_fail(struct rafsi_data *data, int rc, const rafs_error *why,
                    rafs_error *err);
/* The job that is being filled, if there is one. */
struct job *rafsi_ring_job(struct rafsi_data *data);
/* ... and there is; waits until it has a place. */
int rafsi_ring_open(struct rafsi_data *data, const rafs_call *call, struct job **out,
                    rafs_error *err);
/* Hand it to the workers. */
int rafsi_ring_submit(struct rafsi_data *data, const rafs_call *call, rafs_error *err);
/* Decide and write what is ready. */
int rafsi_ring_turn(struct rafsi_data *data, const rafs_call *call, rafs_error *err);
/* Sleep until something is. */
int rafsi_ring_await(struct rafsi_data *data, const rafs_call *call, rafs_error *err);

/* data_place.c. Which chunks are new, and where they lie. */
int rafsi_place_decide(struct rafsi_data *data, struct job *job, const rafs_call *call,
                       rafs_error *err);
int rafsi_place_write(struct rafsi_data *data, struct job *job, const rafs_call *call,
                      rafs_error *err);

/* data_blob.c. The blob that is being written. */
int rafsi_blob_open(struct rafsi_data *data, const rafs_call *call, rafs_error *err);
/* Room for the rows of one more chunk, and of one more batch. */
int rafsi_blob_rows(struct rafsi_data *data, rafs_error *err);
int rafsi_blob_contexts(struct rafsi_data *data, rafs_error *err);
int rafsi_blob_put(struct rafsi_data *data, const void *bytes, size_t len,
                   const rafs_call *call, rafs_error *err);
/* Stored at the uncompressed offsets, so that the blob is a device as it is. */
bool rafsi_blob_plain(const struct rafsi_data *data);
/* Bytes of the blob that a stored chunk takes: with zeros up to where the next begins. */
uint32_t rafsi_blob_room(const struct rafsi_data *data, uint32_t stored_size);
/* Free what belongs to it; abort it if it is open. */
void rafsi_blob_drop(struct rafsi_data *data);

/* data_tail.c. All chunks are written: what describes them, and the end. */
int rafsi_tail_write(struct rafsi_data *data, uint32_t layer,
                     const struct rafsi_boot *boot, const rafs_call *call,
                     rafs_error *err);

#endif
