/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/data_impl.h"
#include "rafs/image.h"

/* The blob that is being written: its rows of chunks and batches, its bytes. */

bool rafsi_blob_plain(const struct rafsi_data *data)
{
    return data->image->version == 6 && data->image->compressor == RAFS_COMPRESSOR_NONE;
}

uint32_t rafsi_blob_room(const struct rafsi_data *data, uint32_t stored_size)
{
    uint32_t mask = rafsi_blob_plain(data) ? BLOB_ALIGNMENT - 1 : 0;

    return (stored_size + mask) & ~mask;
}

int rafsi_blob_open(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    struct blob_out *blob = &data->blob;
    int rc;

    if (blob->open)
        return RAFS_OK;
    rc = rafsi_blobs_add(&data->image->blobs, &blob->number, err);
    if (rc == RAFS_OK)
        rc = rafsi_out_begin(&blob->out, data->sink, data->image->hashes,
                             RAFS_OBJECT_BLOB, call, err);
    if (rc < 0)
        return rc;
    data->image->blobs.at[blob->number].ours = true;
    blob->open = true;
    /* Plain ones have to lie where a device is looked at. */
    blob->batches = data->image->version == 6 && data->options.batch_size > 0 &&
                    !rafsi_blob_plain(data);
    return RAFS_OK;
}

/* A row of twice the room. */
static int grow(const struct rafsi_env *env, void **row, uint32_t count, size_t room,
                size_t each, rafs_error *err)
{
    void *larger = rafsi_alloc(env, room * each);

    if (!larger)
        return rafsi_fail_nomem(err, room * each);
    if (count > 0)
        memcpy(larger, *row, count * each);
    rafsi_free(env, *row);
    *row = larger;
    return RAFS_OK;
}

int rafsi_blob_rows(struct rafsi_data *data, rafs_error *err)
{
    struct blob_out *blob = &data->blob;
    uint32_t room = blob->room ? blob->room * 2 : 256;
    void *numbers = blob->numbers;
    void *members = blob->members;
    int rc;

    if (blob->count < blob->room)
        return RAFS_OK;
    rc = grow(&data->env, &numbers, blob->count, room, sizeof(*blob->numbers), err);
    blob->numbers = numbers;
    if (rc == RAFS_OK && blob->batches) {
        rc = grow(&data->env, &members, blob->count, room, sizeof(*blob->members), err);
        blob->members = members;
    }
    if (rc == RAFS_OK)
        blob->room = room;
    return rc;
}

int rafsi_blob_contexts(struct rafsi_data *data, rafs_error *err)
{
    struct blob_out *blob = &data->blob;
    uint32_t room = blob->context_room ? blob->context_room * 2 : 64;
    void *contexts = blob->contexts;
    int rc;

    if (blob->context_count < blob->context_room)
        return RAFS_OK;
    rc = grow(&data->env, &contexts, blob->context_count, room, sizeof(*blob->contexts),
              err);
    blob->contexts = contexts;
    if (rc == RAFS_OK)
        blob->context_room = room;
    return rc;
}

int rafsi_blob_put(struct rafsi_data *data, const void *bytes, size_t len,
                   const rafs_call *call, rafs_error *err)
{
    int rc = rafsi_out_write(&data->blob.out, bytes, len, call, err);

    if (rc == RAFS_OK)
        data->counted.stored += len;
    return rc;
}

void rafsi_blob_drop(struct rafsi_data *data)
{
    struct blob_out *blob = &data->blob;

    if (blob->open)
        rafsi_out_abort(&blob->out);
    rafsi_buffer_free(blob->batch);
    rafsi_free(&data->env, blob->numbers);
    rafsi_free(&data->env, blob->members);
    rafsi_free(&data->env, blob->contexts);
    memset(blob, 0, sizeof(*blob));
}
