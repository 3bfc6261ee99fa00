/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/disk_known.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/fs.h>
#endif

/*
 * Which blob has a chunk of a digest? Read from all journals of the directory; a guess
 * that the blob's own index confirms. One place for each digest is enough.
 */

enum { SLOTS_MIN = 1024, SLOTS_MAX = 1 << 19, SOURCES = 4 };

/* How often the directory is looked through for what other processes added. */
#define RESCAN_NS ((uint64_t)2 * 1000000000)

struct slot {
    uint64_t key; /* the first bytes of the digest */
    uint64_t offset;
    uint32_t size;
    uint32_t stem; /* one more than its number; 0: free */
};

struct journal {
    char stem[DISK_STEM_BYTES];
    uint64_t read_to;
};

struct disk_known {
    struct slot *slots;
    uint32_t slot_count; /* a power of two, or 0 */
    uint32_t used;
    struct journal *journals;
    uint32_t journal_count, journal_room;
    bool scanning;
    bool scanned;
    uint64_t scan_after;
    struct rafsi_disk_blob *sources[SOURCES]; /* used lately, kept open */
    unsigned next_source;
};

static uint64_t key_of(const uint8_t digest[RAFSI_DIGEST_BYTES])
{
    struct cursor c = cursor_of((struct span){digest, RAFSI_DIGEST_BYTES, 0});

    return take_u64(&c);
}

/* Its slot, or a free one. There is always a free one. */
static struct slot *probe(struct slot *slots, uint32_t count, uint64_t key, uint32_t size)
{
    uint32_t i = (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (count - 1);

    while (slots[i].stem != 0 && (slots[i].key != key || slots[i].size != size))
        i = (i + 1) & (count - 1);
    return &slots[i];
}

/* Room for one more; the memory is fetched without the lock. */
static bool grow_slots(rafs_cache *cache)
{
    struct disk_known *known = cache->known;
    struct slot *fresh, *old;
    uint32_t had, count;

    pthread_mutex_lock(&cache->lock);
    had = known->slot_count;
    pthread_mutex_unlock(&cache->lock);
    count = had ? had * 2 : SLOTS_MIN;
    fresh =
        count > SLOTS_MAX ? NULL : rafsi_alloc_zero(&cache->env, count * sizeof(*fresh));
    if (!fresh)
        return false;
    pthread_mutex_lock(&cache->lock);
    old = fresh;
    if (known->slot_count == had) {
        old = known->slots;
        for (uint32_t i = 0; i < had; i++)
            if (old[i].stem != 0)
                *probe(fresh, count, old[i].key, old[i].size) = old[i];
        known->slots = fresh;
        known->slot_count = count;
    }
    pthread_mutex_unlock(&cache->lock);
    rafsi_free(&cache->env, old);
    return true;
}

static bool grow_journals(rafs_cache *cache)
{
    struct disk_known *known = cache->known;
    struct journal *fresh, *old;
    uint32_t had, room;

    pthread_mutex_lock(&cache->lock);
    had = known->journal_room;
    pthread_mutex_unlock(&cache->lock);
    room = had ? had * 2 : 32;
    fresh = rafsi_alloc(&cache->env, room * sizeof(*fresh));
    if (!fresh)
        return false;
    pthread_mutex_lock(&cache->lock);
    old = fresh;
    if (known->journal_room == had) {
        old = known->journals;
        if (known->journal_count > 0)
            memcpy(fresh, old, known->journal_count * sizeof(*fresh));
        known->journals = fresh;
        known->journal_room = room;
    }
    pthread_mutex_unlock(&cache->lock);
    rafsi_free(&cache->env, old);
    return true;
}

/* The number of a stem, which it gets if it has none; false: no memory. */
static bool number_of(rafs_cache *cache, const char *stem, uint32_t *number)
{
    struct disk_known *known = cache->known;
    bool found = false, room = true;

    while (!found && room) {
        uint32_t i = 0;

        pthread_mutex_lock(&cache->lock);
        while (i < known->journal_count && strcmp(known->journals[i].stem, stem) != 0)
            i++;
        found = i < known->journal_count || i < known->journal_room;
        if (i == known->journal_count && found) {
            memset(&known->journals[i], 0, sizeof(known->journals[i]));
            memcpy(known->journals[i].stem, stem, strlen(stem));
            known->journal_count++;
        }
        pthread_mutex_unlock(&cache->lock);
        *number = i;
        if (!found)
            room = grow_journals(cache);
    }
    return found;
}

static void add(rafs_cache *cache, uint32_t number, const uint8_t *digest,
                uint64_t offset, uint32_t size)
{
    struct disk_known *known = cache->known;
    bool full;

    pthread_mutex_lock(&cache->lock);
    full = known->used >= known->slot_count / 4 * 3;
    pthread_mutex_unlock(&cache->lock);
    if (full && !grow_slots(cache))
        return;
    pthread_mutex_lock(&cache->lock);
    if (known->used < known->slot_count / 4 * 3) {
        struct slot *slot = probe(known->slots, known->slot_count, key_of(digest), size);

        known->used += slot->stem == 0;
        *slot = (struct slot){key_of(digest), offset, size, number + 1};
    }
    pthread_mutex_unlock(&cache->lock);
}

/* The part of a journal that was not read yet. */
static void read_journal(rafs_cache *cache, const char *name, uint32_t number,
                         uint8_t *bytes, size_t room)
{
    struct disk_known *known = cache->known;
    int fd = rafsi_disk_file(cache->dir, name, O_RDONLY);
    uint64_t from;
    size_t got = room;

    if (fd < 0)
        return;
    while (got == room) {
        struct disk_record record;
        size_t pos = 0, at;
        struct stat st;

        pthread_mutex_lock(&cache->lock);
        from = known->journals[number].read_to;
        pthread_mutex_unlock(&cache->lock);
        if (fstat(fd, &st) == 0 && (uint64_t)st.st_size < from)
            from = 0; /* evicted, and begun anew */
        if (rafsi_file_read(fd, from, bytes, room, &got, NULL) < 0)
            break;
        while (rafsi_disk_record_next(bytes, got, &pos, &at, &record))
            if (record.kind == DISK_READY)
                add(cache, number, record.digest, record.offset, record.size);
        pthread_mutex_lock(&cache->lock);
        known->journals[number].read_to = from + pos;
        pthread_mutex_unlock(&cache->lock);
    }
    close(fd);
}

static void scan(rafs_cache *cache)
{
    static const char suffix[] = ".ready";
    enum { ROOM = 16384 };
    uint8_t *bytes = rafsi_alloc(&cache->env, ROOM);
    DIR *names = bytes ? rafsi_disk_list(cache->dir) : NULL;
    struct dirent *entry;

    while (names && (entry = readdir(names))) {
        size_t len = strlen(entry->d_name);
        char stem[DISK_STEM_BYTES];
        uint32_t number;

        if (!rafsi_disk_ends(entry->d_name, suffix) ||
            len - strlen(suffix) >= sizeof(stem))
            continue;
        len -= strlen(suffix);
        memcpy(stem, entry->d_name, len);
        stem[len] = '\0';
        if (number_of(cache, stem, &number))
            read_journal(cache, entry->d_name, number, bytes, ROOM);
    }
    if (names)
        closedir(names);
    rafsi_free(&cache->env, bytes);
}

void rafsi_disk_known_scan(rafs_cache *cache)
{
    uint64_t now = rafsi_now_ns(&cache->env);
    struct disk_known *known = cache->known;
    bool due;

    pthread_mutex_lock(&cache->lock);
    due = !known->scanning && (!known->scanned || known->scan_after <= now);
    if (due) {
        known->scanning = known->scanned = true;
        known->scan_after = now + RESCAN_NS;
    }
    pthread_mutex_unlock(&cache->lock);
    if (!due)
        return;
    scan(cache);
    pthread_mutex_lock(&cache->lock);
    known->scanning = false;
    pthread_mutex_unlock(&cache->lock);
}

int rafsi_disk_known_new(rafs_cache *cache, rafs_error *err)
{
    cache->known = rafsi_alloc_zero(&cache->env, sizeof(*cache->known));
    return cache->known ? RAFS_OK : rafsi_fail_nomem(err, sizeof(*cache->known));
}

void rafsi_disk_known_release(rafs_cache *cache)
{
    for (unsigned i = 0; i < SOURCES; i++) {
        struct rafsi_disk_blob *source;

        pthread_mutex_lock(&cache->lock);
        source = cache->known->sources[i];
        cache->known->sources[i] = NULL;
        pthread_mutex_unlock(&cache->lock);
        rafsi_disk_close(source);
    }
}

void rafsi_disk_known_free(rafs_cache *cache)
{
    if (!cache->known)
        return;
    rafsi_disk_known_release(cache);
    rafsi_free(&cache->env, cache->known->slots);
    rafsi_free(&cache->env, cache->known->journals);
    rafsi_free(&cache->env, cache->known);
}

void rafsi_disk_known_add(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk)
{
    uint32_t number;

    if (number_of(blob->cache, blob->stem, &number))
        add(blob->cache, number, chunk->digest, chunk->offset, chunk->size);
}

/* Where else the chunk may be. */
static bool look_up(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                    char stem[DISK_STEM_BYTES], struct rafsi_disk_chunk *there)
{
    struct disk_known *known = blob->cache->known;
    const struct slot *slot = NULL;
    bool found;

    *there = *chunk;
    pthread_mutex_lock(&blob->cache->lock);
    if (known->slot_count > 0)
        slot = probe(known->slots, known->slot_count, key_of(chunk->digest), chunk->size);
    found = slot && slot->stem != 0 &&
            strcmp(known->journals[slot->stem - 1].stem, blob->stem) != 0;
    if (found) {
        memcpy(stem, known->journals[slot->stem - 1].stem, DISK_STEM_BYTES);
        there->offset = slot->offset;
    }
    pthread_mutex_unlock(&blob->cache->lock);
    return found;
}

/* The blob to read from, with a use of it; NULL: it is no longer there. */
static struct rafsi_disk_blob *source_of(rafs_cache *cache, const char *stem)
{
    struct disk_known *known = cache->known;
    struct rafsi_disk_blob *source = NULL, *old;

    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; i < SOURCES && !source; i++)
        if (known->sources[i] && strcmp(known->sources[i]->stem, stem) == 0)
            source = known->sources[i];
    if (source)
        source->users++;
    pthread_mutex_unlock(&cache->lock);
    if (source)
        return source;
    source = rafsi_disk_open_stem(cache, stem);
    if (!source)
        return NULL;
    pthread_mutex_lock(&cache->lock);
    old = known->sources[known->next_source];
    known->sources[known->next_source] = source;
    known->next_source = (known->next_source + 1) % SOURCES;
    source->users++;
    pthread_mutex_unlock(&cache->lock);
    rafsi_disk_close(old);
    return source;
}

bool rafsi_disk_known_get(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk, void *room)
{
    rafs_cache *cache = blob->cache;
    uint8_t actual[RAFSI_DIGEST_BYTES];
    struct rafsi_disk_chunk there;
    struct rafsi_disk_blob *source;
    char stem[DISK_STEM_BYTES];
    bool good = false;

    rafsi_disk_known_scan(cache);
    if (!look_up(blob, chunk, stem, &there))
        return false;
    source = source_of(cache, stem);
    if (!source)
        return false;
    if (rafsi_disk_has(source, &there)) {
        good = rafsi_disk_pread(source->data, room, there.size, there.offset) &&
               rafsi_hash_bytes(cache->hashes, there.algorithm, room, there.size, actual,
                                NULL) == RAFS_OK;
        if (good && !rafsi_digest_equal(actual, there.digest)) {
            rafsi_disk_bad(source, &there);
            good = false;
        }
    }
    if (good)
        rafsi_disk_touch(source);
    rafsi_disk_close(source);
    return good;
}

#ifdef FICLONERANGE
static uint32_t share_blocks(struct rafsi_disk_blob *blob,
                             const struct rafsi_disk_chunk *chunk,
                             struct rafsi_disk_blob *source, uint64_t from)
{
    struct file_clone_range range = {.src_fd = source->data,
                                     .src_offset = from,
                                     .src_length = chunk->size / 4096 * 4096,
                                     .dest_offset = chunk->offset};

    if (ioctl(blob->data, FICLONERANGE, &range) == 0)
        return (uint32_t)range.src_length;
    pthread_mutex_lock(&blob->cache->lock);
    blob->cache->no_clones = true;
    pthread_mutex_unlock(&blob->cache->lock);
    return 0;
}

uint32_t rafsi_disk_known_clone(struct rafsi_disk_blob *blob,
                                const struct rafsi_disk_chunk *chunk)
{
    struct rafsi_disk_chunk there;
    struct rafsi_disk_blob *source;
    char stem[DISK_STEM_BYTES];
    uint32_t cloned = 0;
    bool no_clones;

    pthread_mutex_lock(&blob->cache->lock);
    no_clones = blob->cache->no_clones;
    pthread_mutex_unlock(&blob->cache->lock);
    if (no_clones || chunk->size < 4096 || chunk->offset % 4096 != 0 ||
        !look_up(blob, chunk, stem, &there) || there.offset % 4096 != 0)
        return 0;
    source = source_of(blob->cache, stem);
    if (!source)
        return 0;
    if (rafsi_disk_has(source, &there))
        cloned = share_blocks(blob, chunk, source, there.offset);
    rafsi_disk_close(source);
    return cloned;
}
#else
uint32_t rafsi_disk_known_clone(struct rafsi_disk_blob *blob,
                                const struct rafsi_disk_chunk *chunk)
{
    (void)blob;
    (void)chunk;
    return 0;
}
#endif
