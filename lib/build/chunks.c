/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/image.h"

/* A row of pointers or records with room for one more; it grows by doubling. */
static int grow(const struct rafsi_env *env, void **at, uint32_t *room, size_t each,
                rafs_error *err)
{
    uint32_t wanted = *room ? *room * 2 : 16;
    size_t size = wanted * each;
    void *larger = rafsi_alloc_zero(env, size);

    if (!larger)
        return rafsi_fail_nomem(err, size);
    if (*room > 0)
        memcpy(larger, *at, *room * each);
    rafsi_free(env, *at);
    *at = larger;
    *room = wanted;
    return RAFS_OK;
}

int rafsi_chunks_add(struct build_chunks *chunks, const struct build_chunk *chunk,
                     uint32_t *number, rafs_error *err)
{
    const size_t page_bytes = CHUNK_PAGE * sizeof(struct build_chunk);
    uint32_t page = chunks->count / CHUNK_PAGE;
    int rc;

    if (chunks->count == UINT32_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_NONE, NULL,
                          "an image of more than 2^32 - 1 chunks");
    if (page == chunks->room) {
        void *pages = chunks->pages;

        rc = grow(chunks->env, &pages, &chunks->room, sizeof(*chunks->pages), err);
        if (rc < 0)
            return rc;
        chunks->pages = pages;
    }
    if (!chunks->pages[page])
        chunks->pages[page] = rafsi_alloc(chunks->env, page_bytes);
    if (!chunks->pages[page])
        return rafsi_fail_nomem(err, page_bytes);
    chunks->pages[page][chunks->count % CHUNK_PAGE] = *chunk;
    *number = chunks->count++;
    return RAFS_OK;
}

void rafsi_chunks_free(struct build_chunks *chunks)
{
    for (uint32_t i = 0; i < chunks->room; i++)
        rafsi_free(chunks->env, chunks->pages[i]);
    rafsi_free(chunks->env, chunks->pages);
    chunks->pages = NULL;
    chunks->count = chunks->room = 0;
}

int rafsi_blobs_add(struct build_blobs *blobs, uint32_t *number, rafs_error *err)
{
    int rc;

    if (blobs->count == RAFS_BLOBS_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_NONE, NULL,
                          "an image of more than %d blobs", RAFS_BLOBS_MAX);
    if (blobs->count == blobs->room) {
        void *at = blobs->at;

        rc = grow(blobs->env, &at, &blobs->room, sizeof(*blobs->at), err);
        if (rc < 0)
            return rc;
        blobs->at = at;
    }
    memset(&blobs->at[blobs->count], 0, sizeof(*blobs->at));
    *number = blobs->count++;
    return RAFS_OK;
}

bool rafsi_blobs_find(const struct build_blobs *blobs, const char *id, uint32_t *number)
{
    for (uint32_t i = 0; i < blobs->count; i++) {
        if (strcmp(blobs->at[i].record.id, id) != 0)
            continue;
        *number = i;
        return true;
    }
    return false;
}

void rafsi_blobs_free(struct build_blobs *blobs)
{
    rafsi_free(blobs->env, blobs->at);
    blobs->at = NULL;
    blobs->count = blobs->room = 0;
}
