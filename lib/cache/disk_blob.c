/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/disk_impl.h"

/* Last uses are written down this often: one inode update a minute and blob. */
#define TOUCH_NS ((uint64_t)60 * 1000000000)

int rafsi_disk_check_id(const char *blob_id, rafs_error *err)
{
    size_t len = blob_id ? strlen(blob_id) : 0;
    bool good = len > 0 && len < RAFSI_BLOB_ID_BYTES && strcmp(blob_id, ".") != 0 &&
                strcmp(blob_id, "..") != 0;

    for (size_t i = 0; i < len && good; i++)
        good = (uint8_t)blob_id[i] >= 0x20 && blob_id[i] != 0x7f && blob_id[i] != '/';
    return good ? RAFS_OK
                : rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "blob id",
                             "is not 1 to 64 bytes without '/' and control characters");
}

/* An id as the tools make it is its own name, for programs that look for the file; any
 * other one may mean something to a shell or not be text. */
void rafsi_disk_stem(const char *blob_id, char stem[DISK_STEM_BYTES])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789._-";
    uint8_t digest[RAFSI_BLAKE3_BYTES];
    char hex[65];

    if (strspn(blob_id, plain) == strlen(blob_id) && blob_id[0] != '.' &&
        blob_id[0] != '-' && strncmp(blob_id, "h-", 2) != 0) {
        snprintf(stem, DISK_STEM_BYTES, "%s", blob_id);
        return;
    }
    rafsi_blake3(blob_id, strlen(blob_id), digest);
    rafsi_digest_hex(digest, hex);
    snprintf(stem, DISK_STEM_BYTES, "h-%s", hex);
}

/* Locks of the open file, not of the process: they hold between two handles of one
 * process too, closing another descriptor of the file does not lose them, and the death
 * of the process ends them. */
bool rafsi_disk_locked(int fd, int type, uint64_t start, uint64_t len)
{
    struct flock lock = {.l_type = (short)type,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)start,
                         .l_len = (off_t)len};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static void name_of(char name[DISK_NAME_BYTES], const char *stem, const char *suffix)
{
    snprintf(name, DISK_NAME_BYTES, "%s%s", stem, suffix);
}

/* The journal with a lease on the blob. Whoever evicts has the lease for himself while he
 * deletes; so a file that still has a name once we have it will keep it. */
static int open_journal(struct rafsi_disk_blob *blob)
{
    enum { TRIES = 40, PAUSE_MS = 5 };
    char name[DISK_NAME_BYTES];
    int flags = O_RDWR | O_APPEND | (blob->existing ? 0 : O_CREAT);
    int tries;

    pthread_mutex_lock(&blob->cache->lock);
    tries = blob->hasty ? 1 : TRIES;
    pthread_mutex_unlock(&blob->cache->lock);
    name_of(name, blob->stem, ".ready");
    for (int i = 0; i < tries; i++) {
        struct stat st;
        int os_errno, fd = rafsi_disk_file(blob->cache->dir, name, flags);

        if (fd < 0)
            return -1;
        if (rafsi_disk_locked(fd, F_RDLCK, DISK_LEASE_AT, 1)) {
            if (fstat(fd, &st) == 0 && st.st_nlink > 0)
                return fd;
            os_errno = EAGAIN;
        } else {
            os_errno = errno;
        }
        close(fd);
        errno = os_errno;
        if (os_errno != EAGAIN && os_errno != EACCES && os_errno != EINTR)
            return -1;
        if (i + 1 < tries)
            (void)poll(NULL, 0, PAUSE_MS);
    }
    errno = EAGAIN;
    return -1;
}

static bool append_to(int journal, const struct disk_record *record)
{
    uint8_t bytes[DISK_RECORD_BYTES];
    ssize_t n;

    rafsi_disk_record_encode(record, bytes);
    do
        n = write(journal, bytes, sizeof(bytes));
    while (n < 0 && errno == EINTR);
    if (n >= 0 && n != (ssize_t)sizeof(bytes))
        errno = ENOSPC; /* torn; readers step over it */
    return n == (ssize_t)sizeof(bytes);
}

bool rafsi_disk_append(struct rafsi_disk_blob *blob, const struct disk_record *record)
{
    return append_to(blob->journal, record);
}

/* Say whose journal it is. */
static bool begin_journal(const struct rafsi_disk_blob *blob, int journal)
{
    struct disk_record record = {.kind = DISK_HEAD};

    memcpy(record.id, blob->id, sizeof(record.id));
    return append_to(journal, &record);
}

/* The data file is gone: nothing that the journal says counts any more, before there is
 * another one, also after a power cut. size: of the journal before the file was missed,
 * so that nothing is undone that another process puts into the new one meanwhile. */
static bool reset_journal(int journal, uint64_t size)
{
    struct disk_record record = {.kind = DISK_RESET, .offset = size};

    return append_to(journal, &record) && fdatasync(journal) == 0;
}

static int open_data(struct rafsi_disk_blob *blob, int journal, uint64_t size)
{
    char name[DISK_NAME_BYTES];
    int dir = blob->cache->dir, fd;

    name_of(name, blob->stem, ".blob.data");
    fd = rafsi_disk_file(dir, name, O_RDWR);
    if (fd >= 0 || errno != ENOENT || blob->existing)
        return fd;
    if (size > 0 && !reset_journal(journal, size))
        return -1;
    fd = rafsi_disk_file(dir, name, O_RDWR | O_CREAT | O_EXCL);
    return fd >= 0 || errno != EEXIST ? fd : rafsi_disk_file(dir, name, O_RDWR);
}

static bool open_files(struct rafsi_disk_blob *blob, int *data, int *journal)
{
    struct stat st;
    int os_errno;
    bool good;

    *data = -1;
    *journal = open_journal(blob);
    if (*journal < 0)
        return false;
    good = fstat(*journal, &st) == 0;
    if (good && st.st_size == 0 && !blob->existing)
        good = begin_journal(blob, *journal);
    if (good)
        *data = open_data(blob, *journal, (uint64_t)st.st_size);
    if (*data >= 0)
        return true;
    os_errno = errno;
    close(*journal);
    errno = os_errno;
    return false;
}

/* Somebody evicts it, and takes his time: he may have been stopped. That is no trouble,
 * but not every chunk is to wait for it. */
static void note_busy(struct rafsi_disk_blob *blob)
{
    pthread_mutex_lock(&blob->cache->lock);
    blob->hasty = true;
    pthread_mutex_unlock(&blob->cache->lock);
}

static bool is_open(struct rafsi_disk_blob *blob)
{
    bool open;

    pthread_mutex_lock(&blob->cache->lock);
    open = blob->journal >= 0;
    pthread_mutex_unlock(&blob->cache->lock);
    return open;
}

int rafsi_disk_ensure_now(struct rafsi_disk_blob *blob)
{
    rafs_cache *cache = blob->cache;
    int data, journal;
    bool open;

    if (is_open(blob))
        return 0;
    if (!open_files(blob, &data, &journal)) {
        int os_errno = errno;

        if (os_errno == EAGAIN)
            note_busy(blob);
        else if (!blob->existing)
            rafsi_disk_trouble(cache, os_errno, "opening a blob's files");
        return os_errno ? os_errno : EIO;
    }
    pthread_mutex_lock(&cache->lock);
    open = blob->journal >= 0;
    if (!open) {
        blob->data = data;
        blob->journal = journal;
    }
    pthread_mutex_unlock(&cache->lock);
    if (open) { /* another thread was first */
        close(data);
        close(journal);
    }
    rafsi_disk_refresh(blob);
    return 0;
}

bool rafsi_disk_ensure(struct rafsi_disk_blob *blob)
{
    if (is_open(blob))
        return true;
    return !rafsi_disk_paused(blob->cache) && rafsi_disk_ensure_now(blob) == 0;
}

static struct rafsi_disk_blob *make_blob(rafs_cache *cache, const char *id,
                                         const char *stem)
{
    struct rafsi_disk_blob *blob = rafsi_alloc_zero(&cache->env, sizeof(*blob));

    if (!blob)
        return NULL;
    blob->cache = cache;
    blob->users = 1;
    blob->data = blob->journal = -1;
    blob->index.random = rafsi_seed();
    blob->existing = id == NULL;
    if (id)
        memcpy(blob->id, id, strlen(id));
    memcpy(blob->stem, stem, DISK_STEM_BYTES);
    return blob;
}

/* The blob that is known by this stem, or the fresh one, which becomes known. One that
 * is only read for others does not serve those who want to write. */
static struct rafsi_disk_blob *enter(rafs_cache *cache, struct rafsi_disk_blob *fresh)
{
    struct rafsi_disk_blob *blob;

    pthread_mutex_lock(&cache->lock);
    for (blob = cache->blobs; blob; blob = blob->next)
        if (strcmp(blob->stem, fresh->stem) == 0 && (!blob->existing || fresh->existing))
            break;
    if (blob) {
        blob->users++;
    } else {
        blob = fresh;
        blob->next = cache->blobs;
        cache->blobs = blob;
    }
    pthread_mutex_unlock(&cache->lock);
    if (blob != fresh)
        rafsi_free(&cache->env, fresh);
    return blob;
}

int rafsi_disk_open(rafs_cache *cache, const char *blob_id, struct rafsi_disk_blob **out,
                    rafs_error *err)
{
    struct rafsi_disk_blob *blob;
    char stem[DISK_STEM_BYTES] = "";
    int rc = rafsi_disk_check_id(blob_id, err);

    if (rc < 0)
        return rc;
    rafsi_disk_stem(blob_id, stem);
    blob = make_blob(cache, blob_id, stem);
    if (!blob)
        return rafsi_fail_nomem(err, sizeof(*blob));
    blob = enter(cache, blob);
    rafsi_disk_ensure(blob);
    rafsi_disk_touch(blob);
    *out = blob;
    return RAFS_OK;
}

struct rafsi_disk_blob *rafsi_disk_open_stem(rafs_cache *cache, const char *stem,
                                             bool wait)
{
    struct rafsi_disk_blob *blob = make_blob(cache, NULL, stem);

    if (!blob)
        return NULL;
    blob->hasty = !wait;
    blob = enter(cache, blob);
    if (rafsi_disk_ensure(blob))
        return blob;
    rafsi_disk_close(blob);
    return NULL;
}

static void free_nodes(const struct rafsi_env *env, struct disk_node *nodes)
{
    while (nodes) {
        struct disk_node *next = nodes->after;

        rafsi_free(env, nodes);
        nodes = next;
    }
}

static bool leave(struct rafsi_disk_blob *blob)
{
    rafs_cache *cache = blob->cache;
    struct rafsi_disk_blob **at;
    bool last;

    pthread_mutex_lock(&cache->lock);
    last = --blob->users == 0;
    if (last) {
        for (at = &cache->blobs; *at != blob; at = &(*at)->next)
            ;
        *at = blob->next;
    }
    pthread_mutex_unlock(&cache->lock);
    return last;
}

void rafsi_disk_close(struct rafsi_disk_blob *blob)
{
    const struct rafsi_env *env;

    if (!blob)
        return;
    env = &blob->cache->env;
    if (!leave(blob))
        return;
    rafsi_disk_sync(blob);
    if (blob->data >= 0)
        close(blob->data);
    if (blob->journal >= 0)
        close(blob->journal);
    free_nodes(env, rafsi_disk_index_clear(&blob->index));
    rafsi_free(env, blob);
}

/* Last uses are kept as access time, which nothing else of ours changes. */
void rafsi_disk_touch(struct rafsi_disk_blob *blob)
{
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    rafs_cache *cache = blob->cache;
    uint64_t now = rafsi_now_ns(&cache->env);
    int data;

    pthread_mutex_lock(&cache->lock);
    data = blob->data;
    if (data >= 0 && blob->touched_ns != 0 && now - blob->touched_ns < TOUCH_NS)
        data = -1;
    if (data >= 0)
        blob->touched_ns = now ? now : 1;
    pthread_mutex_unlock(&cache->lock);
    if (data >= 0)
        (void)futimens(data, times);
}

/* A piece of the journal, decoded outside the lock. */
struct batch {
    uint8_t bytes[204 * DISK_RECORD_BYTES];
    struct {
        struct disk_record record;
        uint64_t at;
    } records[204];
    size_t count;
    uint64_t from, to;
    struct disk_node *spare;
};

/* false: no memory. */
static bool decode(struct rafsi_disk_blob *blob, struct batch *batch, size_t len)
{
    size_t pos = 0, at;
    struct disk_record record;

    batch->count = 0;
    while (rafsi_disk_record_next(batch->bytes, len, &pos, &at, &record)) {
        batch->records[batch->count].at = batch->from + at;
        batch->records[batch->count++].record = record;
        if (record.kind == DISK_READY) {
            struct disk_node *node = rafsi_alloc(&blob->cache->env, sizeof(*node));

            if (!node)
                return false;
            node->after = batch->spare;
            batch->spare = node;
        }
    }
    batch->to = batch->from + pos;
    return true;
}

/* Two threads may have read the same piece: the second one is not applied. */
static void apply(struct rafsi_disk_blob *blob, struct batch *batch)
{
    rafs_cache *cache = blob->cache;

    pthread_mutex_lock(&cache->lock);
    if (blob->read_to == batch->from) {
        for (size_t i = 0; i < batch->count; i++)
            rafsi_disk_index_apply(&blob->index, &batch->records[i].record,
                                   batch->records[i].at, cache->boot, &batch->spare);
        blob->read_to = batch->to;
    }
    pthread_mutex_unlock(&cache->lock);
}

/* Read what was appended to the journal, by whomever. One piece; *more: there is more.
 * false: it could not be read. */
static bool read_piece(struct rafsi_disk_blob *blob, bool *more)
{
    rafs_cache *cache = blob->cache;
    struct batch *batch;
    struct stat st;
    uint64_t from;
    bool read;
    size_t got;

    *more = false;
    pthread_mutex_lock(&cache->lock);
    from = blob->read_to;
    pthread_mutex_unlock(&cache->lock);
    if (fstat(blob->journal, &st) != 0)
        return false;
    if ((uint64_t)st.st_size < from + DISK_RECORD_BYTES || from >= DISK_JOURNAL_MAX)
        return true;
    batch = rafsi_alloc(&cache->env, sizeof(*batch));
    if (!batch)
        return false;
    batch->spare = NULL;
    batch->from = from;
    read = rafsi_file_read(blob->journal, from, batch->bytes, sizeof(batch->bytes), &got,
                           NULL) == RAFS_OK &&
           decode(blob, batch, got);
    if (read) {
        apply(blob, batch);
        *more = got == sizeof(batch->bytes);
    }
    free_nodes(&cache->env, batch->spare);
    rafsi_free(&cache->env, batch);
    return read;
}

bool rafsi_disk_refresh(struct rafsi_disk_blob *blob)
{
    bool more, read;

    do
        read = read_piece(blob, &more);
    while (more);
    return read;
}
