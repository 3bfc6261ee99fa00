/* SPDX-License-Identifier: Apache-2.0 */
#include "read/trace.h"

/* Where a chunk has no record, a source may have to tell which one it is. */
static struct verified *at_hand(struct rafsi_reader *reader,
                                const struct rafsi_chunk *chunk, uint32_t cause,
                                const rafs_call *call)
{
    struct rafsi_cache_key key;
    struct verified *good;

    if (chunk->no_record)
        return NULL;
    key = rafsi_chunk_key(chunk);
    good = rafsi_cache_use(reader->cache, &key);
    if (!good && rafsi_kept_get(reader, chunk, cause, call, &good))
        rafsi_cache_put(reader->cache, &key, good);
    return good;
}

int rafsi_fetch_at_hand(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                        const struct wish *wish, const rafs_call *call,
                        struct verified **out, rafs_error *err)
{
    struct verified *good = at_hand(reader, chunk, wish->cause, call);

    if (!good) {
        rafsi_fail(err, RAFS_E_AGAIN, RAFS_STAGE_FETCH, NULL,
                   "not at hand, and RAFS_CALL_CACHED asks nobody");
        return rafsi_fail_object(err, RAFS_E_AGAIN, "blob %s",
                                 reader->tree->blobs[chunk->record.blob].id);
    }
    rafsi_tracer_note(reader, wish->file, chunk);
    rafsi_fetch_use(reader, chunk, wish);
    *out = good;
    return RAFS_OK;
}
