/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/disk_known.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Which blobs have a chunk of a digest? Read from all journals of the directory; a guess
 * that the record itself and the blob's own index confirm.
 */

enum {
    SLOTS_MIN = 1024,
    SLOTS_MAX = 1 << 21,
    JOURNALS_MAX = 1 << 13, /* the chunks of others are not shared */
    NAMES = 2 * JOURNALS_MAX
};

/* What one scan reads at most, for somebody may be waiting; the next one goes on. */
#define SCAN_BYTES ((uint64_t)1 << 28)

/* How often the directory is looked through for what other processes added. */
#define RESCAN_NS ((uint64_t)2 * 1000000000)

/* 12 bytes for a chunk, since a cache may have millions. The record has the rest. */
struct slot {
    uint32_t key;
    uint32_t journal; /* one more than its number; 0: free */
    uint32_t at;      /* of the record */
};

struct journal {
    char stem[DISK_STEM_BYTES];
    uint64_t file; /* inode: it may have been deleted and begun anew */
    uint64_t read_to;
};

struct disk_known {
    struct slot *slots;
    uint32_t slot_count; /* a power of two, or 0 */
    uint32_t used;
    uint64_t secret; /* so that nobody can choose chunks that share a slot */
    struct journal *journals;
    uint32_t journal_count, journal_room;
    uint16_t names[NAMES]; /* one more than a journal's number, by its stem; 0: free */
    bool scanning, scanned;
    pthread_cond_t ended; /* the first scan */
    uint64_t scan_after;
};

static uint32_t key_of(const struct disk_known *known,
                       const uint8_t digest[RAFSI_DIGEST_BYTES])
{
    struct cursor c = cursor_of((struct span){digest, RAFSI_DIGEST_BYTES, 0});
    uint64_t z = take_u64(&c) ^ known->secret;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

/* The first slot at or behind *i that has the key, or the free one that ends the search.
 * There is always a free one. */
static struct slot *probe(struct slot *slots, uint32_t count, uint32_t key, uint32_t *i)
{
    while (slots[*i & (count - 1)].journal != 0 && slots[*i & (count - 1)].key != key)
        ++*i;
    return &slots[*i & (count - 1)];
}

static void move(struct slot *to, uint32_t count, const struct slot *from)
{
    uint32_t i = from->key;

    while (to[i & (count - 1)].journal != 0)
        i++;
    to[i & (count - 1)] = *from;
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
            if (old[i].journal != 0)
                move(fresh, count, &old[i]);
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
    if (room > JOURNALS_MAX)
        return false;
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

/* Where the number of a stem is, or will be. Half of the places are always free. */
static uint16_t *place_of(struct disk_known *known, const char *stem)
{
    uint64_t z = known->secret;
    uint16_t *place;

    for (const char *at = stem; *at; at++)
        z = (z ^ (uint8_t)*at) * 0x100000001b3u;
    z ^= z >> 32;
    for (;; z++) {
        place = &known->names[z % NAMES];
        if (*place == 0 || strcmp(known->journals[*place - 1].stem, stem) == 0)
            return place;
    }
}

/* The number of a stem, which it gets if it has none; false: no room. */
static bool number_of(rafs_cache *cache, const char *stem, uint32_t *number)
{
    struct disk_known *known = cache->known;
    bool found = false, room = true;

    while (!found && room) {
        uint16_t *place;
        uint32_t i;

        pthread_mutex_lock(&cache->lock);
        place = place_of(known, stem);
        i = *place ? *place - 1u : known->journal_count;
        found = i < known->journal_room;
        if (i == known->journal_count && found) {
            memset(&known->journals[i], 0, sizeof(known->journals[i]));
            memcpy(known->journals[i].stem, stem, strlen(stem));
            *place = (uint16_t)++known->journal_count;
        }
        pthread_mutex_unlock(&cache->lock);
        *number = i;
        if (!found)
            room = grow_journals(cache);
    }
    return found;
}

/* Under the lock, with room for one more. A blob has a chunk once, and not too many blobs
 * are remembered for one: the empty page is in all of them. */
static void enter(struct disk_known *known, uint32_t key, uint32_t journal, uint32_t at)
{
    struct slot *slot, *victim = NULL;
    uint32_t i = key, places = 0;

    slot = probe(known->slots, known->slot_count, key, &i);
    while (slot->journal != 0 && slot->journal != journal) {
        if (places++ == at / DISK_RECORD_BYTES % DISK_PLACES)
            victim = slot;
        i++;
        slot = probe(known->slots, known->slot_count, key, &i);
    }
    if (slot->journal == 0 && places >= DISK_PLACES)
        slot = victim;
    known->used += slot->journal == 0;
    *slot = (struct slot){key, journal, at};
}

static void add(rafs_cache *cache, uint32_t number, const uint8_t *digest, uint64_t at)
{
    struct disk_known *known = cache->known;
    bool full;

    if (at > UINT32_MAX)
        return;
    pthread_mutex_lock(&cache->lock);
    full = known->used >= known->slot_count / 4 * 3;
    pthread_mutex_unlock(&cache->lock);
    if (full && !grow_slots(cache))
        return;
    pthread_mutex_lock(&cache->lock);
    if (known->used < known->slot_count / 4 * 3)
        enter(known, key_of(known, digest), number + 1, (uint32_t)at);
    pthread_mutex_unlock(&cache->lock);
}

static uint64_t unread(rafs_cache *cache, int fd, uint32_t number)
{
    struct stat st;
    uint64_t from;

    if (fstat(fd, &st) != 0)
        return UINT64_MAX;
    pthread_mutex_lock(&cache->lock);
    if (cache->known->journals[number].file != (uint64_t)st.st_ino ||
        cache->known->journals[number].read_to > (uint64_t)st.st_size)
        cache->known->journals[number].read_to = 0;
    cache->known->journals[number].file = (uint64_t)st.st_ino;
    from = cache->known->journals[number].read_to;
    pthread_mutex_unlock(&cache->lock);
    return from + DISK_RECORD_BYTES <= (uint64_t)st.st_size && from < DISK_JOURNAL_MAX
               ? from
               : UINT64_MAX;
}

/* The part of a journal that was not read yet. Returns how long it was. */
static uint64_t read_journal(rafs_cache *cache, const char *name, uint32_t number,
                             uint8_t *bytes, size_t room)
{
    int fd = rafsi_disk_file(cache->dir, name, O_RDONLY);
    uint64_t from = fd < 0 ? UINT64_MAX : unread(cache, fd, number);
    uint64_t began = from;
    size_t got = from == UINT64_MAX ? 0 : room;

    while (got == room && from < DISK_JOURNAL_MAX) {
        struct disk_record record;
        size_t pos = 0, at;

        if (rafsi_file_read(fd, from, bytes, room, &got, NULL) < 0)
            break;
        while (rafsi_disk_record_next(bytes, got, &pos, &at, &record))
            if (record.kind == DISK_READY)
                add(cache, number, record.digest, from + at);
        from += pos;
        pthread_mutex_lock(&cache->lock);
        cache->known->journals[number].read_to = from;
        pthread_mutex_unlock(&cache->lock);
    }
    if (fd >= 0)
        close(fd);
    return from - began;
}

static void scan(rafs_cache *cache)
{
    static const char suffix[] = ".ready";
    enum { ROOM = 16384 };
    uint8_t *bytes = rafsi_alloc(&cache->env, ROOM);
    DIR *names = bytes ? rafsi_disk_list(cache->dir) : NULL;
    struct dirent *entry;
    uint64_t done = 0;

    while (names && done < SCAN_BYTES && (entry = readdir(names))) {
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
            done += read_journal(cache, entry->d_name, number, bytes, ROOM);
    }
    if (names)
        closedir(names);
    rafsi_free(&cache->env, bytes);
}

/* The first scan is worth waiting for: what it finds need not be fetched. */
void rafsi_disk_known_scan(rafs_cache *cache)
{
    uint64_t now = rafsi_now_ns(&cache->env);
    struct disk_known *known = cache->known;
    bool due;

    pthread_mutex_lock(&cache->lock);
    while (known->scanning && !known->scanned)
        pthread_cond_wait(&known->ended, &cache->lock);
    due = !known->scanning && (!known->scanned || known->scan_after <= now);
    if (due) {
        known->scanning = true;
        known->scan_after = now + RESCAN_NS;
    }
    pthread_mutex_unlock(&cache->lock);
    if (!due)
        return;
    scan(cache);
    pthread_mutex_lock(&cache->lock);
    known->scanning = false;
    known->scanned = true;
    pthread_cond_broadcast(&known->ended);
    pthread_mutex_unlock(&cache->lock);
}

int rafsi_disk_known_new(rafs_cache *cache, rafs_error *err)
{
    struct disk_known *known = rafsi_alloc_zero(&cache->env, sizeof(*known));

    if (!known)
        return rafsi_fail_nomem(err, sizeof(*known));
    if (pthread_cond_init(&known->ended, NULL) != 0) {
        rafsi_free(&cache->env, known);
        return rafsi_fail_nomem(err, sizeof(known->ended));
    }
    known->secret = rafsi_seed();
    cache->known = known;
    return RAFS_OK;
}

void rafsi_disk_known_free(rafs_cache *cache)
{
    if (!cache->known)
        return;
    pthread_cond_destroy(&cache->known->ended);
    rafsi_free(&cache->env, cache->known->slots);
    rafsi_free(&cache->env, cache->known->journals);
    rafsi_free(&cache->env, cache->known);
}

void rafsi_disk_known_add(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk, uint64_t at)
{
    uint32_t number;

    if (number_of(blob->cache, blob->stem, &number))
        add(blob->cache, number, chunk->digest, at);
}

size_t rafsi_disk_known_places(struct rafsi_disk_blob *blob,
                               const uint8_t digest[RAFSI_DIGEST_BYTES],
                               struct disk_place places[DISK_PLACES])
{
    struct disk_known *known = blob->cache->known;
    size_t count = 0;

    pthread_mutex_lock(&blob->cache->lock);
    if (known->slot_count > 0) {
        uint32_t key = key_of(known, digest), i = key;
        const struct slot *slot = probe(known->slots, known->slot_count, key, &i);

        while (slot->journal != 0 && count < DISK_PLACES) {
            const char *stem = known->journals[slot->journal - 1].stem;

            if (strcmp(stem, blob->stem) != 0) {
                memcpy(places[count].stem, stem, DISK_STEM_BYTES);
                places[count++].at = slot->at;
            }
            i++;
            slot = probe(known->slots, known->slot_count, key, &i);
        }
    }
    pthread_mutex_unlock(&blob->cache->lock);
    return count;
}
