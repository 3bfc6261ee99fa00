/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_DISK_IMPL_H
#define RAFSI_CACHE_DISK_IMPL_H

/*
 * What the files disk*.c share, and what holds at any time, for any number of threads and
 * processes:
 *
 * - Nothing here is believed. Records say where to look; whoever reads compares digests.
 * - A journal is only appended to, a record by one write, until its blob is evicted.
 *   Whoever reads it gets the same state as all others, less what came after.
 * - What is written where is said in disk_chunk.c; what is durable is right.
 * - Whoever has a blob open has a shared lock on DISK_LEASE_AT of its journal, taken on a
 *   file that still had a name. Only who has that lock for himself, on a file that still
 *   has a name, may delete the blob's files: so names of open blobs never change.
 * - A chunk is written only by who has a lock on its range at DISK_FLIGHT_AT, and who
 *   looked at the journal after he got it. So nobody writes where somebody else has a
 *   chunk that is ready, and nobody fetches what another one fetches.
 * - Whoever lets a kernel read a data file has a shared lock on DISK_LEASE_AT of that,
 *   taken while he had the blob open. It goes with the descriptor to other processes and
 *   outlives the blob's lease; as long as it is there, the file keeps its name, and
 *   nothing that was written into it is taken away.
 * - All these locks are of open files (F_OFD_SETLK): the death of a process ends them, a
 *   child that it forked keeps them, and two handles of one process exclude each other.
 * - An error of fdatasync() is told once to each who had the file open. So it undoes what
 *   was pending for all, by a record, also what others made durable meanwhile.
 * - The lock of a handle is never held during I/O or a callback.
 */

#include <dirent.h>
#include <pthread.h>

#include "cache/disk.h"
#include "cache/disk_index.h"
#include "cache/disk_record.h"

enum { DISK_STEM_BYTES = 68, DISK_NAME_BYTES = 96, DISK_SOURCES = 4 };

/* Byte ranges that are locked in a journal lie far behind its end. */
#define DISK_LEASE_AT ((uint64_t)1 << 62)
#define DISK_FLIGHT_AT ((uint64_t)1 << 61)
/* No chunk ends behind this, so that flights stay below the lease. */
#define DISK_OFFSET_MAX ((uint64_t)1 << 60)
#define DISK_CHUNK_MAX ((uint32_t)1 << 30)
/* No more of a journal is read, and nothing is put into its blob any more: it would cost
 * too much memory and time. Room for 1.6 million chunks. */
#define DISK_JOURNAL_MAX ((uint64_t)1 << 27)

struct rafsi_disk_flight {
    struct rafsi_disk_blob *blob;
    struct rafsi_disk_flight *next;
    uint64_t offset;
    uint32_t size;
    bool listed; /* our threads see it */
    bool locked; /* other processes see it */
};

struct rafsi_disk_blob {
    rafs_cache *cache;
    struct rafsi_disk_blob *next;
    unsigned users;
    char id[RAFSI_BLOB_ID_BYTES];
    char stem[DISK_STEM_BYTES]; /* of its files' names */
    bool existing;              /* do not create the files */
    bool hasty;                 /* do not wait for whoever evicts it */
    bool stopped;               /* somebody who fetches from it seems to be */
    /* -1 until the files could be opened; then fixed until the blob is closed. */
    int data, journal;
    uint64_t read_to; /* of the journal */
    uint64_t settled; /* what was taken back before this place of it, is for good */
    struct disk_index index;
    struct rafsi_disk_flight *flights;
    uint64_t unsynced;    /* bytes put here and not known to be durable */
    uint64_t unsynced_ns; /* since when */
    bool dir_synced;      /* its names survive a power cut */
    uint64_t touched_ns;  /* when its last use was written down */
};

/* A lock guards all that changes, and is never held during I/O or a callback. */
struct rafs_cache {
    struct rafsi_env env;
    struct own *own; /* own.c: callbacks in place of all that follows; NULL: none */
    int dir;         /* the directory */
    int in_use;      /* shared lock on "lock": nobody rebuilds the cache */
    uint8_t boot[DISK_BOOT_BYTES];
    struct rafsi_hashes *hashes;
    struct rafsi_pool *pool;
    uint64_t quota_bytes, free_floor_bytes;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the thread that makes things durable */
    pthread_t syncer;
    bool syncer_runs, closing;
    bool warned;           /* of the trouble that goes on */
    uint64_t owed;         /* bytes to be written before it counts as over */
    bool no_clones;        /* the file system cannot share blocks between files */
    uint64_t paused_until; /* nothing is written before; 0: all is well */
    bool counted, trimming;
    uint64_t used;       /* disk space when it was counted */
    uint64_t grown;      /* what we added since */
    uint64_t full_until; /* nothing can be evicted; looked at again then */
    struct rafsi_disk_blob *blobs;
    struct disk_known *known;                      /* chunks of all blobs by digest */
    struct rafsi_disk_blob *sources[DISK_SOURCES]; /* read for others lately, kept open */
    unsigned next_source;
};

/* disk_dir.c: the directory itself. */
int rafsi_disk_dir_open(rafs_cache *cache, const char *path, rafs_error *err);
void rafsi_disk_boot_id(uint8_t boot[DISK_BOOT_BYTES]);
/* Open a file of the cache; -1 with errno, EPERM for a foreign or odd one. */
int rafsi_disk_file(int dir, const char *name, int flags);
/* Its names, to be closed with closedir(); NULL with errno. */
DIR *rafsi_disk_list(int dir);
bool rafsi_disk_ends(const char *name, const char *suffix);
bool rafsi_disk_is_document(const char *name); /* by its name; NULL: no */
bool rafsi_disk_is_temporary(const char *name);
int rafsi_disk_fail(rafs_error *err, int os_errno, const char *object, const char *what);

/* disk.c: when writing fails. */
bool rafsi_disk_paused(rafs_cache *cache);
void rafsi_disk_trouble(rafs_cache *cache, int os_errno, const char *what);
void rafsi_disk_fault(rafs_cache *cache,
                      const char *what);                 /* that of errno, which stays */
void rafsi_disk_fine(rafs_cache *cache, uint64_t bytes); /* so many were written */
bool rafsi_disk_write(int fd, const void *data, size_t len, uint64_t offset);
bool rafsi_disk_pread(int fd, void *room, size_t len, uint64_t offset);

/* disk_blob.c */
int rafsi_disk_check_id(const char *blob_id, rafs_error *err);
void rafsi_disk_stem(const char *blob_id, char stem[DISK_STEM_BYTES]);
/* A blob that is there, by the stem of its files; NULL if it is not. wait: a moment, for
 * whoever evicts it. */
struct rafsi_disk_blob *rafsi_disk_open_stem(rafs_cache *cache, const char *stem,
                                             bool wait);
bool rafsi_disk_ensure(struct rafsi_disk_blob *blob);    /* the files are open */
int rafsi_disk_ensure_now(struct rafsi_disk_blob *blob); /* also in a pause; 0 or errno */
/* Read what was appended to the journal. false: not all of it could be. */
bool rafsi_disk_refresh(struct rafsi_disk_blob *blob);
bool rafsi_disk_append(struct rafsi_disk_blob *blob, const struct disk_record *record);
bool rafsi_disk_locked(int fd, int type, uint64_t start, uint64_t len);
void rafsi_disk_touch(struct rafsi_disk_blob *blob);

/* disk_chunk.c: one more than the place of its record; 0: it is not ready. */
uint64_t rafsi_disk_find(struct rafsi_disk_blob *blob,
                         const struct rafsi_disk_chunk *chunk);
bool rafsi_disk_usable(const struct rafsi_disk_chunk *chunk); /* can it be kept at all? */
/* Does another chunk lie there? */
bool rafsi_disk_conflict(struct rafsi_disk_blob *blob,
                         const struct rafsi_disk_chunk *chunk);
/* Under its flight. false: it could not be written; errno. */
bool rafsi_disk_write_chunk(struct rafsi_disk_blob *blob,
                            const struct rafsi_disk_chunk *chunk,
                            const struct verified *good);

/* disk_gc.c: is there room for so many bytes more? Evicts to make it. urgent: somebody
 * cannot go on without, so it is looked at again even if there was none just now. */
bool rafsi_disk_room(rafs_cache *cache, uint64_t more, bool urgent);

/* disk_fill.c: has somebody else a data file for a kernel to read, on whatever descriptor
 * but this one? Any doubt is a yes. */
bool rafsi_disk_held(int data);
bool rafsi_disk_held_name(int dir, const char *data);

/* disk_sync.c */
void rafsi_disk_unsynced(struct rafsi_disk_blob *blob, uint64_t bytes);
void rafsi_disk_sync(struct rafsi_disk_blob *blob);
void rafsi_disk_syncer_stop(rafs_cache *cache);

#endif
