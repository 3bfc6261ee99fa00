/* SPDX-License-Identifier: Apache-2.0 */
/* What of an image would have to be fetched. */
#include "read/plan.h"

static int look(const struct plan *plan, rafs_missing *made, size_t room,
                const rafs_call *call, rafs_error *err)
{
    struct rafsi_reader *reader = plan->reader;

    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_entry *entry = &plan->entries[i];
        rafs_missing *blob = entry->blob < room ? &made[entry->blob] : NULL;
        struct rafsi_chunk chunk;
        int rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_METADATA, err);

        if (!blob)
            continue;
        if (rc == RAFS_OK)
            rc = rafsi_plan_chunk(plan, entry, &chunk, err);
        if (rc < 0)
            return rc;
        blob->chunks++;
        blob->bytes += entry->size_flags & PLAN_SIZE;
        /* Without a record nobody knows what the chunk has to be. */
        if (!chunk.no_record && rafsi_kept_open(reader, entry->blob, call) &&
            rafsi_kept_has(reader, &chunk))
            continue;
        blob->chunks_missing++;
        blob->bytes_missing += entry->size_flags & PLAN_SIZE;
    }
    return RAFS_OK;
}

int rafsi_reader_missing(struct rafsi_reader *reader, rafs_missing *out, size_t room,
                         const rafs_call *call, rafs_error *err)
{
    size_t count = (size_t)rafsi_min(room, reader->tree->super.blob_count);
    size_t bytes = count * sizeof(*out);
    rafs_missing *made = rafsi_alloc_zero(&reader->env, bytes ? bytes : 1);
    struct plan plan;
    int rc;

    if (!made)
        return rafsi_fail_nomem(err, bytes);
    rafsi_plan_init(&plan, reader);
    rc = rafsi_plan_path(&plan, "/", call, err);
    if (rc == RAFS_OK)
        rafsi_plan_sort(&plan, 0);
    if (rc == RAFS_OK)
        rc = look(&plan, made, count, call, err);
    for (size_t i = 0; rc == RAFS_OK && i < count; i++)
        rc = rafsi_give_struct(&made[i], sizeof(made[i]), &out[i], "rafs_missing", err);
    rafsi_plan_drop(&plan);
    rafsi_free(&reader->env, made);
    return rc;
}
