/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/disk_known.h"

/*
 * The order of things, which everything rests on:
 *
 *   put     1. write the chunk into the data file
 *           2. append a READY record with the id of this boot
 *   sync    3. note the length L of the journal
 *           4. fdatasync the data file (and the directory after a file was made)
 *           5. append a SYNC record: READY records of this boot before L are durable
 *           6. fdatasync the journal
 *
 *   forget  7. append a BAD or RESET record
 *           8. fdatasync the journal before anything else is written to that place
 *   evict   9. make the journal empty, fsync it, delete the data file, then the journal
 *
 * A killed process leaves both files as it wrote them, since the kernel holds them: a
 * record is there only after its data. A power cut may keep any of the writes since the
 * last sync and lose others; so a READY record counts in the boot that it names, and
 * later only if a SYNC record covers it, which was written after step 4 returned. Syncs
 * run in a thread of their own: 5 s after a chunk was kept, earlier once 64 MiB wait.
 *
 * A record that is durable speaks for a place in a file of that name. So it has to be
 * gone for good before the place (8) or the name (9; RESET for a data file that somebody
 * deleted) can hold something else. tests/cache/powercut.c tries all of it.
 *
 * The journal grows by a record for each chunk, one for each sync, and two for each chunk
 * that turned out to be bad; only eviction makes it smaller.
 *
 * None of this is trusted. A record says where to look; the caller verifies what is
 * there.
 */

static bool same(const struct disk_node *node, const struct rafsi_disk_chunk *chunk)
{
    return node && node->ready && node->size == chunk->size &&
           node->algorithm == chunk->algorithm &&
           memcmp(node->digest, chunk->digest, sizeof(node->digest)) == 0;
}

bool rafsi_disk_usable(const struct rafsi_disk_chunk *chunk)
{
    return chunk->size > 0 && chunk->size <= DISK_CHUNK_MAX &&
           chunk->offset <= DISK_OFFSET_MAX && chunk->algorithm <= RAFSI_SHA256 &&
           !rafsi_all_zero(chunk->digest, sizeof(chunk->digest));
}

/* One more than the place of its record in the journal; 0: it is not ready. */
static uint64_t known(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk)
{
    const struct disk_node *node;
    uint64_t record;

    pthread_mutex_lock(&blob->cache->lock);
    node = rafsi_disk_index_at(&blob->index, chunk->offset);
    record = same(node, chunk) ? node->at + 1 : 0;
    pthread_mutex_unlock(&blob->cache->lock);
    return record;
}

uint64_t rafsi_disk_find(struct rafsi_disk_blob *blob,
                         const struct rafsi_disk_chunk *chunk)
{
    uint64_t record;

    if (!rafsi_disk_usable(chunk) || !rafsi_disk_ensure(blob))
        return 0;
    record = known(blob, chunk);
    if (record > 0)
        return record;
    rafsi_disk_refresh(blob);
    return known(blob, chunk);
}

bool rafsi_disk_has(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk)
{
    return rafsi_disk_find(blob, chunk) > 0;
}

static void record_of(struct disk_record *record, uint8_t kind,
                      const struct rafsi_disk_blob *blob,
                      const struct rafsi_disk_chunk *chunk)
{
    *record = (struct disk_record){.kind = kind,
                                   .algorithm = (uint8_t)chunk->algorithm,
                                   .size = chunk->size,
                                   .offset = chunk->offset};
    memcpy(record->digest, chunk->digest, sizeof(record->digest));
    memcpy(record->boot, blob->cache->boot, sizeof(record->boot));
}

void rafsi_disk_bad(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk)
{
    struct disk_record record;
    struct disk_node *gone = NULL;
    rafs_cache *cache = blob->cache;
    uint64_t about;

    if (!rafsi_disk_usable(chunk) || !rafsi_disk_ensure(blob))
        return;
    /* Somebody else may have found out, and put it anew. */
    rafsi_disk_refresh(blob);
    about = known(blob, chunk);
    if (about == 0 || (chunk->record > 0 && chunk->record != about))
        return;
    record_of(&record, DISK_BAD, blob, chunk);
    record.about = about;
    pthread_mutex_lock(&cache->lock);
    rafsi_disk_index_apply(&blob->index, &record, 0, cache->boot, &gone);
    pthread_mutex_unlock(&cache->lock);
    rafsi_free(&cache->env, gone);
    rafsi_log(&cache->env, RAFS_LOG_WARNING,
              "cache: blob %s has wrong bytes at %llu; they are fetched anew", blob->stem,
              (unsigned long long)chunk->offset);
    /* If this fails, the next process finds out by itself. */
    (void)rafsi_disk_append(blob, &record);
}

enum rafsi_disk_from rafsi_disk_get(struct rafsi_disk_blob *blob,
                                    struct rafsi_disk_chunk *chunk, void *room)
{
    chunk->record = rafsi_disk_find(blob, chunk);
    if (chunk->record > 0) {
        if (rafsi_disk_pread(blob->data, room, chunk->size, chunk->offset)) {
            rafsi_disk_touch(blob);
            return RAFSI_DISK_OWN;
        }
        rafsi_disk_bad(blob, chunk);
        chunk->record = 0;
    }
    return rafsi_disk_usable(chunk) && rafsi_disk_share_get(blob, chunk, room)
               ? RAFSI_DISK_OTHER
               : RAFSI_DISK_NOT;
}

bool rafsi_disk_elsewhere(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk)
{
    return rafsi_disk_usable(chunk) && rafsi_disk_share_has(blob, chunk);
}

bool rafsi_disk_conflict(struct rafsi_disk_blob *blob,
                         const struct rafsi_disk_chunk *chunk)
{
    uint64_t end = chunk->offset + chunk->size;
    struct disk_node *node;
    bool found = !rafsi_disk_refresh(blob); /* without memory: any doubt is a yes */

    pthread_mutex_lock(&blob->cache->lock);
    for (node = rafsi_disk_index_from(&blob->index, chunk->offset);
         node && node->offset < end && !found;
         node = rafsi_disk_index_from(&blob->index, node->offset + node->size))
        found = node->ready;
    pthread_mutex_unlock(&blob->cache->lock);
    return found;
}

/* What was said of this place before, and taken back, stays taken back: step 8. */
static bool settle(struct rafsi_disk_blob *blob)
{
    uint64_t revoked, settled;

    pthread_mutex_lock(&blob->cache->lock);
    revoked = blob->index.revoked;
    settled = blob->settled;
    pthread_mutex_unlock(&blob->cache->lock);
    if (revoked <= settled)
        return true;
    if (fdatasync(blob->journal) != 0)
        return false;
    pthread_mutex_lock(&blob->cache->lock);
    blob->settled = blob->settled > revoked ? blob->settled : revoked;
    pthread_mutex_unlock(&blob->cache->lock);
    return true;
}

/* Half a chunk on a full disk would keep it full. But where a kernel reads the file, the
 * chunk may have been there, and may have been wrong for us alone. errno stays. */
static void give_back(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk)
{
#ifdef FALLOC_FL_PUNCH_HOLE
    int os_errno = errno;

    if (!rafsi_disk_held(blob->data))
        (void)fallocate(blob->data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)chunk->offset, (off_t)chunk->size);
    errno = os_errno;
#else
    (void)blob;
    (void)chunk;
#endif
}

/* Is there no room for a record that somebody will read? */
static bool journal_full(const struct rafsi_disk_blob *blob)
{
    struct stat st;

    return fstat(blob->journal, &st) != 0 ||
           (uint64_t)st.st_size + DISK_RECORD_BYTES > DISK_JOURNAL_MAX;
}

bool rafsi_disk_write_chunk(struct rafsi_disk_blob *blob,
                            const struct rafsi_disk_chunk *chunk,
                            const struct verified *good)
{
    rafs_cache *cache = blob->cache;
    struct disk_record record;
    uint32_t shared;
    uint64_t at;

    if (journal_full(blob)) {
        errno = EFBIG;
        return false;
    }
    if (!settle(blob)) {
        rafsi_disk_fault(cache, "making a record durable");
        return false;
    }
    shared = rafsi_disk_share_blocks(blob, chunk, rafsi_verified_bytes(good));
    if (!rafsi_disk_write(blob->data, rafsi_verified_bytes(good) + shared,
                          chunk->size - shared, chunk->offset + shared)) {
        give_back(blob, chunk);
        rafsi_disk_fault(cache, "writing a chunk");
        return false;
    }
    record_of(&record, DISK_READY, blob, chunk);
    if (!rafsi_disk_append(blob, &record)) {
        give_back(blob, chunk);
        rafsi_disk_fault(cache, "writing a record");
        return false;
    }
    rafsi_disk_fine(cache, chunk->size);
    rafsi_disk_refresh(blob);
    at = known(blob, chunk);
    if (at > 0)
        rafsi_disk_known_add(blob, chunk, at - 1);
    rafsi_disk_unsynced(blob, chunk->size);
    return true;
}

bool rafsi_disk_put(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                    const struct rafsi_disk_flight *flight, const struct verified *good)
{
    struct rafsi_disk_flight *own = NULL;
    bool kept = true;

    if (!rafsi_disk_usable(chunk) || rafsi_verified_size(good) != chunk->size)
        return true; /* never to be kept */
    if (rafsi_disk_paused(blob->cache))
        return false;
    if (rafsi_disk_has(blob, chunk))
        return true;
    if (!rafsi_disk_ensure(blob))
        return false;
    if (!flight || !flight->locked) {
        if (flight)
            return false;
        own = rafsi_disk_try(blob, chunk);
        if (!own)
            return true; /* whoever fetches it will keep it */
    }
    if ((own ? own : flight)->locked && !rafsi_disk_conflict(blob, chunk))
        kept = rafsi_disk_room(blob->cache, chunk->size, false) &&
               rafsi_disk_write_chunk(blob, chunk, good);
    rafsi_disk_end(own);
    return kept;
}
