/* SPDX-License-Identifier: Apache-2.0 */
#include "build/data.h"

#include <string.h>

#include "build/data_impl.h"
#include "rafs/image.h"

/* The feeder: files to jobs. */

static void set_sizes(struct rafsi_data *data)
{
    size_t chunk = data->image->chunk_size;

    data->pack_bytes = PACK_BYTES;
    if (data->options.batch_size > data->pack_bytes)
        data->pack_bytes = data->options.batch_size;
    data->job_bytes = chunk > data->pack_bytes ? chunk : data->pack_bytes;
    /* One is filled, one waits for each worker, and one is in its hands. */
    data->ring_size = 2 * (uint64_t)data->options.threads + 1;
}

static bool make_lock(struct rafsi_data *data)
{
    if (!rafsi_lock_new(&data->lock, &data->done))
        return false;
    if (rafsi_cond_new(&data->work)) {
        data->ready = true;
        return true;
    }
    pthread_cond_destroy(&data->done);
    pthread_mutex_destroy(&data->lock);
    return false;
}

static int make(struct rafsi_data *data, rafs_error *err)
{
    size_t ring_bytes = data->ring_size * sizeof(*data->ring);
    size_t worker_bytes = data->options.threads * sizeof(*data->workers);
    int rc = rafsi_pool_new(&data->env, 3 * (size_t)data->options.threads + 2,
                            &data->pool, err);

    if (rc < 0)
        return rc;
    data->ring = rafsi_alloc_zero(&data->env, ring_bytes);
    if (!data->ring)
        return rafsi_fail_nomem(err, ring_bytes);
    if (!make_lock(data))
        return rafsi_fail_nomem(err, sizeof(data->lock));
    data->workers = rafsi_alloc_zero(&data->env, worker_bytes);
    if (!data->workers)
        return rafsi_fail_nomem(err, worker_bytes);
    return rafsi_work_start(data, err);
}

int rafsi_data_new(struct build_image *image, rafs_sink *sink,
                   const struct rafsi_data_options *options, struct rafsi_data **out,
                   rafs_error *err)
{
    struct rafsi_data *data = rafsi_alloc_zero(&image->env, sizeof(*data));
    int rc;

    if (!data)
        return rafsi_fail_nomem(err, sizeof(*data));
    data->env = image->env;
    data->image = image;
    data->sink = sink;
    data->options = *options;
    atomic_init(&data->contents, 0);
    rafsi_seen_init(&data->chunks, &data->env, &image->chunks, false);
    rafsi_seen_init(&data->files, &data->env, &image->chunks, true);
    for (size_t i = 0; i < 2; i++)
        rafsi_seen_init(&data->known[i], &data->env, &image->chunks, false);
    set_sizes(data);
    rc = make(data, err);
    if (rc < 0)
        rafsi_data_free(data);
    else
        *out = data;
    return rc;
}

void rafsi_data_free(struct rafsi_data *data)
{
    if (!data)
        return;
    rafsi_work_stop(data);
    for (uint64_t i = 0; data->ring && i < data->ring_size; i++)
        rafsi_job_clear(&data->ring[i]);
    rafsi_blob_drop(data);
    rafsi_seen_free(&data->chunks);
    rafsi_seen_free(&data->files);
    for (size_t i = 0; i < 2; i++)
        rafsi_seen_free(&data->known[i]);
    if (data->ready) {
        pthread_cond_destroy(&data->work);
        pthread_cond_destroy(&data->done);
        pthread_mutex_destroy(&data->lock);
    }
    rafsi_pool_free(data->pool);
    rafsi_free(&data->env, data->ring);
    rafsi_free(&data->env, data->zeros);
    rafsi_free(&data->env, data);
}

/* A new chunk of the current file. where: it has bytes, at item->at. */
static int new_item(struct rafsi_data *data, uint32_t size, bool bytes,
                    const rafs_call *call, struct item **out, rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;
    struct job *job = rafsi_ring_job(data);
    struct item *item;
    int rc = RAFS_OK;

    if (data->filling && (job->item_count == ITEMS_MAX || job->used >= data->pack_bytes ||
                          (bytes && size > data->job_bytes - job->used)))
        rc = rafsi_ring_submit(data, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_ring_open(data, call, &job, err);
    if (rc < 0)
        return rc;
    if (bytes && !job->bytes)
        rc = rafsi_pool_take(data->pool, data->job_bytes, &job->bytes, &why);
    if (rc < 0)
        return rafsi_ring_fail(data, rc, &why, err);
    item = &job->items[job->item_count++];
    memset(item, 0, sizeof(*item));
    item->inode = data->file;
    item->slot = data->slot++;
    item->size = size;
    item->alone = data->file->size <= data->image->chunk_size;
    item->zeros = !bytes;
    item->at = (uint32_t)job->used;
    job->used += bytes ? size : 0;
    data->filled = size;
    *out = item;
    return RAFS_OK;
}

/* The item that waits for more bytes; NULL: the last one is full. */
static struct item *partial(struct rafsi_data *data)
{
    struct job *job = rafsi_ring_job(data);
    struct item *item;

    if (!data->filling || job->item_count == 0)
        return NULL;
    item = &job->items[job->item_count - 1];
    return data->filled < item->size ? item : NULL;
}

static uint32_t next_size(const struct rafsi_data *data)
{
    return (uint32_t)rafsi_min(data->file->size - data->fed, data->image->chunk_size);
}

static int check_fed(struct rafsi_data *data, bool good, uint64_t more, rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;

    if (data->failed != RAFS_OK)
        return rafsi_ring_fail(data, data->failed, &data->err, err);
    if (good)
        return RAFS_OK;
    rafsi_fail_at(&why, RAFS_E_CORRUPT, RAFS_STAGE_FETCH, NULL, data->fed,
                  "content of %s bytes than the %llu that its file has",
                  more ? "more" : "fewer", (unsigned long long)data->file->size);
    return rafsi_ring_fail(data, RAFS_E_CORRUPT, &why, err);
}

int rafsi_data_begin(struct rafsi_data *data, struct build_inode *inode, rafs_error *err)
{
    if (data->failed != RAFS_OK)
        return rafsi_ring_fail(data, data->failed, &data->err, err);
    data->file = inode;
    data->fed = 0;
    data->slot = 0;
    return RAFS_OK;
}

/* Bytes, or NULL for zeros, into one chunk: as many as it takes. */
static int feed(struct rafsi_data *data, const uint8_t *bytes, uint64_t len,
                uint64_t *taken, const rafs_call *call, rafs_error *err)
{
    struct item *item = partial(data);
    uint32_t size = next_size(data);
    uint8_t *to;
    int rc = RAFS_OK;

    if (!item && !bytes && len >= size) {
        *taken = size;
        return new_item(data, size, false, call, &item, err);
    }
    if (!item) {
        rc = new_item(data, size, true, call, &item, err);
        data->filled = 0;
    }
    if (rc < 0)
        return rc;
    *taken = rafsi_min(len, item->size - data->filled);
    to = rafsi_ring_job(data)->bytes->at + item->at + data->filled;
    if (bytes)
        memcpy(to, bytes, (size_t)*taken);
    else
        memset(to, 0, (size_t)*taken);
    data->filled += (uint32_t)*taken;
    return RAFS_OK;
}

static int feed_all(struct rafsi_data *data, const uint8_t *bytes, uint64_t len,
                    const rafs_call *call, rafs_error *err)
{
    int rc = check_fed(data, len <= data->file->size - data->fed, 1, err);

    while (rc == RAFS_OK && len > 0) {
        uint64_t taken = 0;

        rc = feed(data, bytes, len, &taken, call, err);
        bytes = bytes ? bytes + taken : NULL;
        len -= taken;
        data->fed += taken;
    }
    return rc;
}

int rafsi_data_add(struct rafsi_data *data, const void *bytes, size_t len,
                   const rafs_call *call, rafs_error *err)
{
    return len == 0 ? RAFS_OK : feed_all(data, bytes, len, call, err);
}

/* Before the first chunk of zeros. Its pages are the kernel's one page of zeros. */
static int make_zeros(struct rafsi_data *data, rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;
    size_t size = data->image->chunk_size;
    int rc;

    if (data->zeros)
        return RAFS_OK;
    data->zeros = rafsi_alloc_zero(&data->env, size);
    if (!data->zeros)
        return rafsi_ring_fail(data, rafsi_fail_nomem(&why, size), &why, err);
    data->zero_crc32 = rafsi_crc32c(data->zeros, size);
    rc = rafsi_hash_bytes(data->image->hashes, data->image->digest_algorithm, data->zeros,
                          size, data->zero_digest, &why);
    return rc < 0 ? rafsi_ring_fail(data, rc, &why, err) : RAFS_OK;
}

int rafsi_data_add_zeros(struct rafsi_data *data, uint64_t len, const rafs_call *call,
                         rafs_error *err)
{
    int rc = make_zeros(data, err);

    return rc < 0 ? rc : feed_all(data, NULL, len, call, err);
}

int rafsi_data_end(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    int rc = check_fed(data, data->fed == data->file->size, 0, err);

    (void)call;
    data->file = NULL;
    return rc;
}

/* Files whose content is not read yet are few. */
static int await_contents(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    int rc =
        data->failed == RAFS_OK ? RAFS_OK : rafsi_ring_fail(data, 0, &data->err, err);

    if (rc == RAFS_OK && atomic_load(&data->contents) >= CONTENTS_MAX)
        rc = rafsi_ring_submit(data, call, err);
    while (rc == RAFS_OK && atomic_load(&data->contents) >= CONTENTS_MAX) {
        rc = rafsi_ring_turn(data, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_ring_await(data, call, err);
    }
    return rc;
}

static int feed_content(struct rafsi_data *data, struct content *content,
                        const rafs_call *call, rafs_error *err)
{
    int rc = rafsi_data_begin(data, data->file, err);

    while (rc == RAFS_OK && data->fed < data->file->size) {
        struct item *item = NULL;
        uint32_t size = next_size(data);

        rc = new_item(data, size, true, call, &item, err);
        if (rc < 0)
            break;
        item->content = content;
        item->offset = data->fed;
        atomic_fetch_add(&content->refs, 1);
        data->fed += size;
    }
    data->file = NULL;
    return rc;
}

int rafsi_data_file(struct rafsi_data *data, struct build_inode *inode,
                    const struct rafsi_content *content, const rafs_call *call,
                    rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;
    struct content *shared;
    int rc = await_contents(data, call, err);

    shared = rc < 0 ? NULL : rafsi_alloc_zero(&data->env, sizeof(*shared));
    if (!shared) {
        if (content->release)
            content->release(content->user);
        if (rc == RAFS_OK)
            rc =
                rafsi_ring_fail(data, rafsi_fail_nomem(&why, sizeof(*shared)), &why, err);
        return rc;
    }
    shared->content = *content;
    shared->env = &data->env;
    shared->alive = &data->contents;
    atomic_init(&shared->refs, 1);
    atomic_fetch_add(&data->contents, 1);
    data->file = inode;
    rc = feed_content(data, shared, call, err);
    rafsi_content_drop(shared);
    return rc;
}

int rafsi_data_flush(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    int rc =
        data->failed == RAFS_OK ? RAFS_OK : rafsi_ring_fail(data, 0, &data->err, err);

    if (rc == RAFS_OK)
        rc = rafsi_ring_submit(data, call, err);
    while (rc == RAFS_OK && data->head != data->tail) {
        rc = rafsi_ring_turn(data, call, err);
        if (rc == RAFS_OK && data->head != data->tail)
            rc = rafsi_ring_await(data, call, err);
    }
    return rc;
}

/* A job that closes the open batch. */
static int close_all(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    struct job *job;
    int rc =
        data->failed == RAFS_OK ? RAFS_OK : rafsi_ring_fail(data, 0, &data->err, err);

    if (rc == RAFS_OK)
        rc = rafsi_ring_open(data, call, &job, err);
    if (rc < 0)
        return rc;
    job->last = true;
    return rafsi_data_flush(data, call, err);
}

/* A blob with the bytes of one that is known is that one: an image names each id once. It
 * is left to no file, and so to no table. */
static void join_equal(struct rafsi_data *data, uint32_t number)
{
    const struct build_chunks *chunks = &data->image->chunks;
    const char *id = data->image->blobs.at[number].record.id;
    uint32_t known = number;

    if (!rafsi_blobs_find(&data->image->blobs, id, &known) || known == number)
        return;
    for (uint32_t i = 0; i < chunks->count; i++) {
        struct build_chunk *chunk = rafsi_chunks_at(chunks, i);

        if (chunk->blob == number)
            chunk->blob = known;
    }
}

int rafsi_data_end_blob(struct rafsi_data *data, uint32_t layer,
                        const struct rafsi_boot *boot, uint32_t *number,
                        const rafs_call *call, rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;
    int rc = close_all(data, call, err);

    if (rc < 0)
        return rc;
    if (!data->blob.open && !boot) {
        *number = NO_BLOB;
        return RAFS_OK;
    }
    rc = rafsi_blob_open(data, call, &why);
    if (rc == RAFS_OK) {
        *number = data->blob.number;
        rc = rafsi_tail_write(data, layer, boot, call, &why);
        if (rc == RAFS_OK && !boot)
            join_equal(data, *number);
    }
    rafsi_blob_drop(data);
    return rc < 0 ? rafsi_ring_fail(data, rc, &why, err) : RAFS_OK;
}

void rafsi_data_counted(struct rafsi_data *data, struct rafsi_data_count *out)
{
    *out = data->counted;
}
