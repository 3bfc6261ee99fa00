/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "build/image.h"

enum { BLOCK_BYTES = 256 << 10, LARGE_BYTES = BLOCK_BYTES / 8 };

struct arena_block {
    struct arena_block *next;
    uint64_t bytes[];
};

void rafsi_arena_init(struct arena *arena, const struct rafsi_env *env)
{
    *arena = (struct arena){.env = env};
}

/* Cleared. A file that says it is huge gets pages as its chunks come, not before: what
 * calloc() maps anew is not touched here. */
static struct arena_block *block_new(struct arena *arena, size_t size)
{
    struct arena_block *block;

    if (size > SIZE_MAX - sizeof(*block))
        return NULL;
    if (rafsi_env_plain_memory(arena->env))
        block = calloc(1, sizeof(*block) + size);
    else
        block = rafsi_alloc_zero(arena->env, sizeof(*block) + size);
    if (!block)
        return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *rafsi_arena_alloc(struct arena *arena, size_t size)
{
    struct arena_block *block;
    uint8_t *at;

    if (size > SIZE_MAX - 7)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    arena->given += size;
    if (size > arena->left) {
        block = block_new(arena, size > LARGE_BYTES ? size : BLOCK_BYTES);
        if (!block)
            return NULL;
        if (size > LARGE_BYTES)
            return block->bytes;
        arena->at = (uint8_t *)block->bytes;
        arena->left = BLOCK_BYTES;
    }
    at = arena->at;
    arena->at += size;
    arena->left -= size;
    return at;
}

void rafsi_arena_free(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;

        arena->blocks = block->next;
        rafsi_free(arena->env, block);
    }
    arena->left = arena->given = 0;
    arena->at = NULL;
}
