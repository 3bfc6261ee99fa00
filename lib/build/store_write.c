/* SPDX-License-Identifier: Apache-2.0 */
#include "build/store_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "rafs/image.h"

/*
 * Adding to the index: under the lock of the directory, what is there now (another build
 * may have added to it meanwhile) and what is new are merged into a new file, which takes
 * the place of the old one by rename. Whoever has the old one open goes on with it.
 */

enum { ROOM = 64 * 1024, LOCK_SLEEP_MS = 10, TOGETHER = 64 };

struct merge {
    struct rafsi_store_index *index;
    const struct build_image *image;
    const rafs_call *call;
    struct store_file old;
    uint32_t *old_numbers; /* by the old file's: the new one's, or NO_BLOB */
    uint32_t *new_numbers; /* by the image's */
    struct store_blob *blobs;
    uint32_t blob_count;
    const struct build_chunk **fresh; /* sorted by digest */
    uint32_t fresh_count;
    /* the file being written */
    int fd;
    struct rafsi_hash hash;
    uint8_t *room;
    size_t used;
    uint32_t *fan;
    uint32_t chunks;
};

static int fail_os(rafs_error *err, const char *what)
{
    int os_errno = errno;
    char reason[128];

    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_NONE, os_errno,
                         "chunk store index", "%s: %s", what,
                         strerror_r(os_errno, reason, sizeof(reason)));
}

static int lock(const struct rafsi_store_index *index, const rafs_call *call, int *out,
                rafs_error *err)
{
    int rc = RAFS_OK;
    int fd = openat(index->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

    if (fd < 0)
        return fail_os(err, "its lock cannot be opened");
    while (rc == RAFS_OK && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            rc = rafsi_call_sleep(index->env, call, LOCK_SLEEP_MS, err);
        else if (errno != EINTR)
            rc = fail_os(err, "cannot be locked");
    }
    if (rc < 0)
        close(fd);
    else
        *out = fd;
    return rc;
}

static void *room_for(struct merge *m, size_t count, size_t size, rafs_error *err)
{
    void *memory = rafsi_alloc_zero(m->index->env, (count + 1) * size);

    if (!memory)
        rafsi_fail_nomem(err, (count + 1) * size);
    return memory;
}

/* The id of a blob that this build wrote is that of its file, also where the record has
 * a placeholder since the blob carries its bootstrap. */
static void describe(const struct build_blob *blob, struct store_blob *out)
{
    *out = (struct store_blob){blob->record, blob->file_size};
    memset(out->record.id, 0, sizeof(out->record.id));
    rafsi_digest_hex(blob->sha256, out->record.id);
    out->record.features &= ~(uint32_t)RAFS_BLOB_INLINED_FS_META;
}

static bool was_gone(const struct rafsi_store_index *index, const char *id)
{
    for (uint32_t i = 0; i < index->file.blob_count; i++)
        if (strcmp(index->file.blobs[i].record.id, id) == 0)
            return index->blobs[i].gone;
    return false;
}

static bool listed(const struct merge *m, const char *id)
{
    for (uint32_t i = 0; i < m->blob_count; i++)
        if (strcmp(m->blobs[i].record.id, id) == 0)
            return true;
    return false;
}

/* Blobs of the new file: the old one's that are still there, and this build's. */
static int number_blobs(struct merge *m, bool *changed, rafs_error *err)
{
    const struct build_blobs *ours = &m->image->blobs;

    m->old_numbers = room_for(m, m->old.blob_count, sizeof(uint32_t), err);
    m->new_numbers = room_for(m, ours->count, sizeof(uint32_t), err);
    m->blobs = room_for(m, m->old.blob_count + ours->count, sizeof(*m->blobs), err);
    if (!m->old_numbers || !m->new_numbers || !m->blobs)
        return RAFS_E_NOMEM;
    for (uint32_t i = 0; i < m->old.blob_count; i++) {
        bool gone = was_gone(m->index, m->old.blobs[i].record.id);

        m->old_numbers[i] = gone ? NO_BLOB : m->blob_count;
        if (!gone)
            m->blobs[m->blob_count++] = m->old.blobs[i];
        *changed = *changed || gone;
    }
    for (uint32_t i = 0; i < ours->count; i++) {
        struct store_blob blob;

        m->new_numbers[i] = NO_BLOB;
        if (!ours->at[i].ours || ours->at[i].record.chunk_count == 0)
            continue;
        describe(&ours->at[i], &blob);
        if (listed(m, blob.record.id))
            continue;
        m->new_numbers[i] = m->blob_count;
        m->blobs[m->blob_count++] = blob;
        *changed = true;
    }
    return RAFS_OK;
}

static int by_digest(const void *a, const void *b)
{
    const struct build_chunk *const *x = a, *const *y = b;
    int order = memcmp((*x)->digest, (*y)->digest, sizeof((*x)->digest));

    if (order == 0 && (*x)->blob != (*y)->blob)
        order = (*x)->blob < (*y)->blob ? -1 : 1;
    if (order == 0 && (*x)->index != (*y)->index)
        order = (*x)->index < (*y)->index ? -1 : 1;
    return order;
}

static int sort_chunks(struct merge *m, rafs_error *err)
{
    const struct build_chunks *chunks = &m->image->chunks;

    m->fresh = room_for(m, chunks->count, sizeof(struct build_chunk *), err);
    if (!m->fresh)
        return RAFS_E_NOMEM;
    for (uint32_t i = 0; i < chunks->count; i++) {
        const struct build_chunk *chunk = rafsi_chunks_at(chunks, i);

        if (m->new_numbers[chunk->blob] != NO_BLOB)
            m->fresh[m->fresh_count++] = chunk;
    }
    qsort(m->fresh, m->fresh_count, sizeof(struct build_chunk *), by_digest);
    return RAFS_OK;
}

static int flush(struct merge *m, rafs_error *err)
{
    const uint8_t *at = m->room;
    int rc = rafsi_call_check(m->index->env, m->call, RAFS_STAGE_NONE, err);

    while (rc == RAFS_OK && m->used > 0) {
        ssize_t n = write(m->fd, at, m->used);

        if (n < 0 && errno != EINTR)
            rc = fail_os(err, "cannot be written");
        if (n > 0) {
            at += n;
            m->used -= (size_t)n;
        }
    }
    return rc;
}

static int put(struct merge *m, const void *data, size_t len, rafs_error *err)
{
    const uint8_t *at = data;
    int rc = rafsi_hash_add(&m->hash, data, len, err);

    while (rc == RAFS_OK && len > 0) {
        size_t some = (size_t)rafsi_min(len, ROOM - m->used);

        memcpy(m->room + m->used, at, some);
        m->used += some;
        at += some;
        len -= some;
        if (m->used == ROOM)
            rc = flush(m, err);
    }
    return rc;
}

static int put_chunk(struct merge *m, const struct chunk_record *chunk, rafs_error *err)
{
    uint8_t bytes[STORE_CHUNK_BYTES];

    if (m->chunks == UINT32_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_NONE, "chunk store index",
                          "more than 2^32 chunks");
    m->chunks++;
    m->fan[(uint32_t)chunk->digest[0] << 8 | chunk->digest[1]]++;
    rafsi_store_put_chunk(chunk, bytes);
    return put(m, bytes, sizeof(bytes), err);
}

static int put_fresh(struct merge *m, const struct build_chunk *chunk, rafs_error *err)
{
    struct chunk_record record = {.blob = m->new_numbers[chunk->blob],
                                  .flags = chunk->flags,
                                  .compressed_size = chunk->compressed_size,
                                  .uncompressed_size = chunk->uncompressed_size,
                                  .compressed_offset = chunk->compressed_offset,
                                  .uncompressed_offset = chunk->uncompressed_offset,
                                  .index = chunk->index,
                                  .crc32 = chunk->crc32};

    memcpy(record.digest, chunk->digest, sizeof(record.digest));
    return put_chunk(m, &record, err);
}

/* The old file's chunks, some at a time. */
struct old_chunks {
    struct chunk_record some[TOGETHER];
    uint32_t at, count, next;
};

/* NULL at the end. */
static int old_chunk(struct merge *m, struct old_chunks *old, struct chunk_record **out,
                     rafs_error *err)
{
    *out = NULL;
    for (;; old->at++) {
        if (old->at == old->count) {
            uint32_t left = m->old.chunks - old->next;
            int rc;

            if (left == 0)
                return RAFS_OK;
            old->at = 0;
            old->count = left < TOGETHER ? left : TOGETHER;
            rc = rafsi_store_chunks(&m->old, old->next, old->count, old->some, err);
            if (rc < 0)
                return rc;
            old->next += old->count;
        }
        if (m->old_numbers[old->some[old->at].blob] != NO_BLOB) {
            *out = &old->some[old->at];
            return RAFS_OK;
        }
    }
}

/* Both in order; of two with one digest the old one stays, and the first of the new. */
static int put_chunks(struct merge *m, rafs_error *err)
{
    struct old_chunks old = {.at = 0};
    uint8_t last[RAFSI_DIGEST_BYTES] = {0};
    uint32_t i = 0;
    int rc = RAFS_OK;

    while (rc == RAFS_OK) {
        const struct build_chunk *fresh = i < m->fresh_count ? m->fresh[i] : NULL;
        struct chunk_record *kept;

        rc = old_chunk(m, &old, &kept, err);
        if (rc < 0 || (!kept && !fresh))
            break;
        if (kept && (!fresh || memcmp(kept->digest, fresh->digest, sizeof(last)) <= 0)) {
            struct chunk_record renumbered = *kept;

            old.at++;
            renumbered.blob = m->old_numbers[kept->blob];
            memcpy(last, kept->digest, sizeof(last));
            rc = put_chunk(m, &renumbered, err);
            continue;
        }
        i++;
        if (m->chunks > 0 && memcmp(last, fresh->digest, sizeof(last)) == 0)
            continue;
        memcpy(last, fresh->digest, sizeof(last));
        rc = put_fresh(m, fresh, err);
    }
    return rc;
}

static int put_tables(struct merge *m, rafs_error *err)
{
    uint32_t sum = 0;
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < m->blob_count; i++) {
        uint8_t bytes[STORE_BLOB_BYTES];

        rafsi_store_put_blob(&m->blobs[i], bytes);
        rc = put(m, bytes, sizeof(bytes), err);
    }
    for (uint32_t i = 0; rc == RAFS_OK && i < STORE_FAN; i++) {
        uint8_t bytes[4];
        struct pen pen = pen_of(bytes, sizeof(bytes));

        sum += m->fan[i];
        put_u32(&pen, sum);
        rc = put(m, bytes, sizeof(bytes), err);
    }
    return rc;
}

static int put_footer(struct merge *m, rafs_error *err)
{
    uint8_t bytes[STORE_FOOTER_BYTES];
    uint8_t *digest = bytes + STORE_FOOTER_BYTES - RAFSI_DIGEST_BYTES;
    struct pen pen = pen_of(bytes, sizeof(bytes));
    int rc;

    put_u32(&pen, STORE_LAYOUT);
    put_u32(&pen, m->image->version);
    put_u32(&pen, m->image->digest_algorithm);
    put_u32(&pen, m->image->chunk_size);
    put_u32(&pen, m->blob_count);
    put_u32(&pen, m->chunks);
    rc = put(m, bytes, pen.pos, err);
    if (rc == RAFS_OK)
        rc = flush(m, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&m->hash, digest, err);
    if (rc < 0)
        return rc;
    memcpy(m->room, digest, RAFSI_DIGEST_BYTES);
    m->used = RAFSI_DIGEST_BYTES;
    return flush(m, err);
}

static int write_file(struct merge *m, rafs_error *err)
{
    int rc;

    m->room = rafsi_alloc(m->index->env, ROOM);
    m->fan = room_for(m, STORE_FAN, sizeof(*m->fan), err);
    if (!m->room || !m->fan)
        return rafsi_fail_nomem(err, ROOM);
    rc = rafsi_hash_begin(m->image->hashes, RAFSI_BLAKE3, &m->hash, err);
    if (rc == RAFS_OK)
        rc = put(m, STORE_MAGIC, STORE_HEAD_BYTES, err);
    if (rc == RAFS_OK)
        rc = put_chunks(m, err);
    if (rc == RAFS_OK)
        rc = put_tables(m, err);
    if (rc == RAFS_OK)
        rc = put_footer(m, err);
    rafsi_hash_drop(&m->hash);
    return rc;
}

/* Written beside it, synced, renamed, and the name synced: there is the old file or the
 * new one, whole. The lock makes the temporary name ours; a crash may have left it. */
static int replace_file(struct merge *m, rafs_error *err)
{
    char name[STORE_NAME_BYTES], temporary[STORE_NAME_BYTES + 8];
    int dir = m->index->dir;
    int rc;

    rafsi_store_name(m->image, name);
    snprintf(temporary, sizeof(temporary), ".%s.new", name);
    unlinkat(dir, temporary, 0);
    m->fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   0666);
    if (m->fd < 0)
        return fail_os(err, "no file can be made");
    rc = write_file(m, err);
    if (rc == RAFS_OK && fsync(m->fd) != 0)
        rc = fail_os(err, "cannot be synced");
    if (close(m->fd) != 0 && rc == RAFS_OK)
        rc = fail_os(err, "cannot be written");
    if (rc == RAFS_OK && renameat(dir, temporary, dir, name) != 0)
        rc = fail_os(err, "cannot be replaced");
    if (rc < 0) {
        unlinkat(dir, temporary, 0);
        return rc;
    }
    return fsync(dir) == 0 ? RAFS_OK : fail_os(err, "its directory cannot be synced");
}

static void merge_drop(struct merge *m)
{
    const struct rafsi_env *env = m->index->env;

    rafsi_store_close(&m->old);
    rafsi_free(env, m->old_numbers);
    rafsi_free(env, m->new_numbers);
    rafsi_free(env, m->blobs);
    rafsi_free(env, (void *)m->fresh);
    rafsi_free(env, m->room);
    rafsi_free(env, m->fan);
}

int rafsi_store_index_add(struct rafsi_store_index *index, const rafs_call *call,
                          rafs_error *err)
{
    struct merge m = {.index = index,
                      .image = index->borrow->image,
                      .call = call,
                      .old = {.env = index->env, .fd = -1},
                      .fd = -1};
    bool changed = false;
    int locked = -1;
    int rc = lock(index, call, &locked, err);

    if (rc == RAFS_OK)
        rc = rafsi_store_index_load(index, &m.old, call, err);
    if (rc == RAFS_OK)
        rc = number_blobs(&m, &changed, err);
    if (rc == RAFS_OK && changed)
        rc = sort_chunks(&m, err);
    if (rc == RAFS_OK && changed)
        rc = replace_file(&m, err);
    merge_drop(&m);
    if (locked >= 0)
        close(locked); /* and with it the lock */
    return rc;
}
