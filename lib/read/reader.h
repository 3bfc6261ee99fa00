/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_READER_H
#define RAFSI_READER_H

/* What the files of read share; nobody else includes it. */

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache.h"
#include "codec/codec.h"
#include "read/crew.h"
#include "read/flight.h"
#include "read/health.h"
#include "read/race.h"
#include "read/read.h"
#include "read/search.h"
#include "read/stats.h"
#include "verify/verify.h"

enum { WORKERS_IDLE_MAX = 8, BUFFERS_IDLE_MAX = 8, BUFFERS_CACHED_MAX = 2 };

/* The compression information of a blob, as one source told it. Untrusted: what it says
 * is proved by the digests of the chunks that are found with its help. */
struct blob_meta {
    struct ci_header header;
    uint8_t *array;
    uint64_t array_bytes;
};

/* A blob at one source. */
struct blob_source {
    size_t source;
    struct rafsi_blob_handle handle;
    _Atomic(struct blob_meta *) meta; /* NULL until wanted */
};

/* Per blob, made when first read. */
struct blob_state {
    _Atomic(struct blob_source *) at[RAFS_SOURCES_MAX + 1]; /* NULL: not opened */
    atomic_uint strikes[RAFS_SOURCES_MAX + 1]; /* times that it answered wrong bytes */
    /* It said that it has no such blob: it is asked after the others until then. */
    atomic_uint_least64_t absent_until_ns[RAFS_SOURCES_MAX + 1];
    _Atomic(uint8_t *) digests;      /* of all its chunks, proved; NULL until wanted */
    _Atomic(struct unused *) unused; /* NULL until wanted */
};

/* What one thread needs to fetch a chunk; lent out and recycled. */
struct worker {
    struct rafsi_decoder *decoder;
    uint8_t *stored; /* compressed bytes */
    size_t capacity;
    struct worker *next;
};

struct rafsi_reader {
    struct rafsi_env env;
    const struct rafsi_tree *tree;
    struct rafsi_hashes *hashes;
    rafs_backend *sources[RAFS_SOURCES_MAX + 1]; /* [0] is the carrier, or NULL */
    bool carrier_lent;                           /* it is somebody else's */
    size_t source_count;                         /* with [0] */
    struct source_health health[RAFS_SOURCES_MAX + 1];
    struct racers *racers; /* race.c; NULL: nobody is asked beside another */
    atomic_uint_least64_t raced, hedged, hedges_won;
    struct rafsi_pool *pool;
    uint64_t memory_bytes; /* that the chunks in the cache may take */
    struct rafsi_cache *cache;
    struct rafsi_flights *flights;
    const struct rafsi_store *store; /* NULL: chunks are kept in memory alone */
    rafs_cache *shelf;               /* borrowed; of the store */
    char (*apart)[65];               /* what it calls the blobs; NULL: by their own ids */
    _Atomic(struct rafsi_store_blob *) *kept; /* as many as blobs; NULL without store */
    _Atomic(struct rafsi_crew *) crew;        /* NULL until somebody needs it */
    struct rafs_prefetch *prefetches;         /* under worker_lock */
    struct rafs_prefetch *replay;             /* of a kept trace; NULL: none */
    _Atomic(struct tracer *) tracer;          /* NULL: nothing is recorded */
    bool trace_kept; /* what is recorded goes into the cache in the end */
    atomic_uint_least32_t trace_before;  /* events that were kept before */
    _Atomic(uint8_t *) boot_digest;      /* SHA-256 of the bootstrap; NULL until wanted */
    struct ahead *ahead;                 /* NULL: nothing is read ahead */
    struct near *near;                   /* NULL: nothing is guessed */
    _Atomic(struct blob_state *) *blobs; /* as many as the image has */
    pthread_mutex_t worker_lock;
    bool worker_lock_ready;
    struct worker *workers;
    size_t workers_idle;
    struct stats stats;
    /* Stored bytes that reads asked for, and those fetched besides and not yet used. */
    atomic_uint_least64_t wanted, extra;
    /* Traces that are being replayed: they know better than any guess what comes next. */
    atomic_uint following;
};

/* Is a trace being replayed, so that nothing is to be guessed? */
static inline bool rafsi_following(const struct rafsi_reader *reader)
{
    return atomic_load_explicit(&reader->following, memory_order_relaxed) > 0;
}

/* reader.c: the threads of the image, made when first needed. */
int rafsi_reader_crew(struct rafsi_reader *reader, struct rafsi_crew **out,
                      rafs_error *err);

/* kept.c: chunks in the cache that outlives the image. All do nothing without one. */
int rafsi_kept_new(struct rafsi_reader *reader, rafs_cache *cache, rafs_error *err);
void rafsi_kept_free(struct rafsi_reader *reader);
bool rafsi_kept_has(struct rafsi_reader *reader, const struct rafsi_chunk *chunk);
/* Is it in another blob? It need not be fetched then, but copied, as _begin and _try do.
 */
bool rafsi_kept_elsewhere(struct rafsi_reader *reader, const struct rafsi_chunk *chunk);
/* Get it, or the right to fetch it as the only one of all processes: *out, or *flight, or
 * neither where it cannot be kept. */
int rafsi_kept_begin(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     uint32_t cause, const rafs_call *call,
                     struct rafsi_store_flight **flight, struct verified **out,
                     rafs_error *err);
/* The same without waiting; false: another process fetches it. */
bool rafsi_kept_try(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    uint32_t cause, const rafs_call *call,
                    struct rafsi_store_flight **flight, struct verified **out);
/* Only a look at what is kept. */
bool rafsi_kept_get(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    uint32_t cause, const rafs_call *call, struct verified **out);
/* The right to fetch it for a reader that has looked already and does not wait; false: it
 * is there, or another process fetches it. *flight may be NULL. */
bool rafsi_kept_claim(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const rafs_call *call, struct rafsi_store_flight **flight);
/* true: it is there now. */
bool rafsi_kept_put(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    const struct rafsi_store_flight *flight, const struct verified *good,
                    const rafs_call *call);
void rafsi_kept_end(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    struct rafsi_store_flight *flight); /* NULL is fine */

/* The blob in the cache, for rafsi_kept_has(); false: there is no cache, or not now. */
bool rafsi_kept_open(struct rafsi_reader *reader, uint32_t blob, const rafs_call *call);

/* kept_fill.c: the same for those who need chunks in the blob's file, wherever else they
 * are. The blob's files are open, or RAFS_E_UNSUPPORTED, RAFS_E_BACKEND. */
int rafsi_kept_ready(struct rafsi_reader *reader, uint32_t blob, const rafs_call *call,
                     rafs_error *err);
int rafsi_kept_hold(struct rafsi_reader *reader, uint32_t blob, uint64_t size, int *fd,
                    const rafs_call *call, rafs_error *err);
/* *good: it is in the file, whose bytes were compared just now. */
int rafsi_kept_verify(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      uint32_t cause, bool *good, rafs_error *err);
/* The right to write it; waits for whoever has it. *flight NULL: somebody else just wrote
 * it, look again. */
int rafsi_kept_right(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const rafs_call *call, struct rafsi_store_flight **flight,
                     rafs_error *err);
/* From another blob of the cache; NULL: it has none. */
struct verified *rafsi_kept_other(struct rafsi_reader *reader,
                                  const struct rafsi_chunk *chunk, uint32_t cause,
                                  const rafs_call *call);
/* RAFS_OK: it is in the file. */
int rafsi_kept_keep(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    const struct rafsi_store_flight *flight, const struct verified *good,
                    rafs_error *err);
/* kept.c, for kept_fill.c. The blob as the cache has it; NULL: there is no cache, or it
 * cannot be had now. */
struct rafsi_store_blob *rafsi_kept_blob(struct rafsi_reader *reader, uint32_t blob,
                                         const rafs_call *call, rafs_error *err);
struct rafsi_disk_chunk rafsi_kept_place(const struct rafsi_chunk *chunk);

/* worker.c */
int rafsi_worker_take(struct rafsi_reader *reader, struct worker **out, rafs_error *err);
void rafsi_worker_give(struct rafsi_reader *reader, struct worker *worker);
void rafsi_worker_free(struct rafsi_reader *reader, struct worker *worker);
int rafsi_worker_room(struct rafsi_reader *reader, struct worker *worker, size_t size,
                      rafs_error *err);

/* blob.c: one blob at one source. RAFS_E_NOENT if the source does not have it. */
int rafsi_blob_open_at(struct rafsi_reader *reader, uint32_t blob, size_t source,
                       const rafs_call *call, struct blob_source **out, rafs_error *err);
/* Exactly len bytes. cause: RAFS_CAUSE_. */
int rafsi_blob_fetch(struct rafsi_reader *reader, uint32_t blob,
                     const struct blob_source *at, uint32_t cause, uint64_t offset,
                     void *buf, size_t len, const rafs_call *call, rafs_error *err);
/* A source answered wrong bytes for a chunk (UINT32_MAX: for a table of the blob): error
 * says what is wrong with them. */
void rafsi_blob_strike(struct rafsi_reader *reader, uint32_t blob, size_t source,
                       uint32_t chunk, uint32_t cause, const rafs_error *error);
/* The sources in the order in which to ask them, by their health. */
size_t rafsi_blob_order(struct rafsi_reader *reader, uint32_t blob,
                        size_t order[RAFS_SOURCES_MAX + 1]);
void rafsi_blob_states_free(struct rafsi_reader *reader);

/* unused.c: chunks that were fetched before anybody asked, and were not read yet. Set
 * does nothing without memory, or in a blob that does not tell how many chunks it has. */
bool rafsi_unused_set(struct rafsi_reader *reader, const struct rafsi_chunk *chunk);
/* true: it was one of them, and now no more. */
bool rafsi_unused_clear(struct rafsi_reader *reader, const struct rafsi_chunk *chunk);
/* Is it one of them? */
bool rafsi_unused_has(struct rafsi_reader *reader, const struct rafsi_chunk *chunk);
void rafsi_unused_free(struct rafsi_reader *reader, uint32_t blob);

/* meta.c */
int rafsi_meta_get(struct rafsi_reader *reader, uint32_t blob, struct blob_source *at,
                   const rafs_call *call, const struct blob_meta **out, rafs_error *err);
void rafsi_meta_free(struct rafsi_reader *reader, struct blob_meta *meta);
struct span rafsi_meta_span(const struct blob_meta *meta);

/* blob_digest.c: the table of contents of a blob, as one source has it. */
struct blob_toc {
    uint64_t blob_size;
    uint8_t *bytes;
    struct span entries;
    bool proved; /* the bootstrap names its digest */
};
/* RAFS_E_CORRUPT if the bootstrap names another digest. */
int rafsi_blob_toc(struct rafsi_reader *reader, uint32_t blob,
                   const struct blob_source *at, const rafs_call *call,
                   struct blob_toc *out, rafs_error *err);
void rafsi_blob_toc_drop(struct rafsi_reader *reader, struct blob_toc *toc);
/* A section's uncompressed bytes, which have the digest that its entry names; to be freed
 * by rafsi_free(). */
int rafsi_blob_section(struct rafsi_reader *reader, uint32_t blob,
                       const struct blob_source *at, const struct toc_entry *entry,
                       const rafs_call *call, uint8_t **out, rafs_error *err);
/* The entry of the digests of all chunks, of the size that the chunks need. */
int rafsi_blob_digests_entry(const struct blob_record *record, const struct blob_toc *toc,
                             struct toc_entry *out, rafs_error *err);
/* A chunk without a record, with its digest filled in from the blob. RAFS_E_CORRUPT if
 * the bootstrap does not vouch for one. */
int rafsi_digest_find(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const rafs_call *call, struct rafsi_chunk *out, rafs_error *err);

/* What a chunk is wanted for, so that others can be taken along. */
struct wish {
    const struct rafsi_node *file;
    uint64_t until; /* the bytes of the file before this one will be wanted too */
    uint32_t cause; /* RAFS_CAUSE_; but for DEMAND nobody waits for it */
    /* In place of the file: the blob, whose bytes before `until` will be wanted too; the
     * chunk is number `place` of those. */
    const struct v6_places *places;
    uint32_t place;
    /* In place of the file: chunks that are wanted too, in the order of the blob. */
    const struct rafsi_chunk *others;
    size_t other_count;
};

/* window.c: chunks that lie beside each other, in one request. */
enum { NEAR_GAP = 16 << 10 }; /* bytes between two chunks of a list, for nothing */
struct window;
/* The chunk and what follows it, if that is worth a request: true if it came and is
 * verified. *rest, if not NULL, is to be finished by rafsi_window_finish(): the others
 * verified too, kept, and landed. Whatever is wrong with them is nobody's error. */
bool rafsi_window_fetch(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                        const struct wish *wish, const rafs_call *call,
                        struct verified **out, struct window **rest);
void rafsi_window_finish(struct rafsi_reader *reader, struct window *window,
                         const rafs_call *call);

/* One chunk out of stored bytes that came. */
int rafsi_piece_open(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const uint8_t *from, struct worker *worker, struct verified **out,
                     rafs_error *err);

/* fetch.c: a chunk that is not a hole, from cache or source, with a reference. */
int rafsi_fetch(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                const struct wish *wish, const rafs_call *call, struct verified **out,
                rafs_error *err);
/* RAFS_CALL_CACHED: the chunk if nobody has to be asked for it or waited for, else
 * RAFS_E_AGAIN. */
int rafsi_fetch_at_hand(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                        const struct wish *wish, const rafs_call *call,
                        struct verified **out, rafs_error *err);
/* Fetch a chunk and what lies beside it unless it is there or under way; never waits for
 * another thread. */
int rafsi_fetch_ahead(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const struct wish *wish, const rafs_call *call, rafs_error *err);
/* Remember a chunk that came from a source; in memory too? */
void rafsi_fetch_keep(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const struct rafsi_cache_key *key, uint32_t cause, bool memory,
                      struct verified *good);
/* RAFS_E_UNSUPPORTED if the blob is of a kind that is not read. */
int rafsi_fetch_readable(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                         rafs_error *err);
/* As the one that all others wait for: from the sources, with what lies beside it, which
 * rafsi_window_finish() keeps. */
int rafsi_fetch_lead(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const struct wish *wish, const rafs_call *call,
                     struct verified **good, struct window **rest, rafs_error *err);
/* Somebody uses a chunk that was there or under way. */
void rafsi_fetch_use(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const struct wish *wish);
/* Note a failure that no source is to blame for. */
void rafsi_fetch_blame(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                       uint32_t cause, const rafs_error *error);
/* Whoever is offline wants to know that the cache was looked at. */
void rafsi_fetch_say_not_cached(const struct rafsi_reader *reader, int rc,
                                rafs_error *err);
/* The same from the sources alone, past cache and flights; but for RAFS_CAUSE_CHECK what
 * lies beside it in a batch is put into the cache. err is not NULL. */
int rafsi_fetch_fresh(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      uint32_t cause, const rafs_call *call, struct verified **out,
                      rafs_error *err);
/* Where the chunk lies at a source: its record; with batches, and without a record, the
 * blob's meta. */
struct stored {
    uint64_t offset;
    uint32_t size;       /* bytes to read */
    uint32_t raw_size;   /* bytes that they decode to */
    uint32_t raw_offset; /* where the chunk begins in them; 0 but in batches */
    bool compressed;
    bool batch;
};
int rafsi_locate(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                 struct blob_source *at, const rafs_call *call, struct stored *out,
                 rafs_error *err);
/* Does the bootstrap itself tell the chunk's place in the blob? */
bool rafsi_plainly_placed(const struct rafsi_reader *reader,
                          const struct rafsi_chunk *chunk);
/* Cut a chunk out of a decoded batch, into a buffer of its own. */
int rafsi_batch_cut(struct rafsi_reader *reader, const struct rafsi_buffer *batch,
                    uint32_t offset, uint32_t size, struct rafsi_buffer **out,
                    rafs_error *err);
/* batch.c: verify and cache what lies beside a chunk in the batch that was decoded for
 * it: files that were put together are read together. Whatever fails is left out. */
void rafsi_batch_keep(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      struct blob_source *at, const struct rafsi_buffer *batch);
struct rafsi_cache_key rafsi_chunk_key(const struct rafsi_chunk *chunk);

#endif
