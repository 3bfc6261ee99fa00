/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/data_impl.h"

/*
 * Open addressing over numbers of chunks, at most three quarters full. The keys lie in
 * the chunks themselves; only those that are not a chunk's digest have a row of their
 * own. Whoever writes the input chooses digests, so places depend on a seed, which shows
 * nowhere.
 */

void rafsi_seen_init(struct seen *seen, const struct rafsi_env *env,
                     const struct build_chunks *chunks, bool keyed)
{
    memset(seen, 0, sizeof(*seen));
    seen->env = env;
    seen->chunks = chunks;
    seen->keyed = keyed;
    seen->seed = rafsi_seed();
}

void rafsi_seen_free(struct seen *seen)
{
    rafsi_free(seen->env, seen->slots);
    rafsi_free(seen->env, seen->numbers);
    rafsi_free(seen->env, seen->keys);
    seen->slots = seen->numbers = NULL;
    seen->keys = NULL;
}

static uint64_t place(const struct seen *seen, const uint8_t key[32])
{
    uint64_t low, high;

    memcpy(&low, key, sizeof(low));
    memcpy(&high, key + 8, sizeof(high));
    low = (low ^ seen->seed) * 0x9e3779b97f4a7c15ull;
    low = ((low >> 32 | low << 32) ^ high) * 0xd6e8feb86659fd93ull;
    return low >> 32;
}

static const uint8_t *key_of(const struct seen *seen, uint32_t id)
{
    return seen->keyed ? seen->keys[id] : rafsi_chunks_at(seen->chunks, id)->digest;
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *slot_of(const struct seen *seen, const uint8_t key[32])
{
    uint32_t mask = seen->room - 1;
    uint32_t i = (uint32_t)place(seen, key) & mask;

    while (seen->slots[i] != 0 && memcmp(key_of(seen, seen->slots[i] - 1), key, 32) != 0)
        i = (i + 1) & mask;
    return &seen->slots[i];
}

bool rafsi_seen_find(const struct seen *seen, const uint8_t key[32], uint32_t size,
                     uint32_t *number)
{
    uint32_t id, found;

    if (seen->room == 0)
        return false;
    id = *slot_of(seen, key);
    if (id == 0)
        return false;
    found = seen->keyed ? seen->numbers[id - 1] : id - 1;
    /* Equal digests of different sizes do not happen, and would not be the same. */
    if (rafsi_chunks_at(seen->chunks, found)->uncompressed_size != size)
        return false;
    *number = found;
    return true;
}

static int grow(struct seen *seen, rafs_error *err)
{
    uint32_t room = seen->room ? seen->room * 2 : 1024;
    uint32_t *old = seen->slots;
    uint32_t old_room = seen->room;

    if (room == 0)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_NONE, NULL,
                          "an image of more than 2^31 chunks");
    seen->slots = rafsi_alloc_zero(seen->env, room * sizeof(*seen->slots));
    if (!seen->slots) {
        seen->slots = old;
        return rafsi_fail_nomem(err, room * sizeof(*seen->slots));
    }
    seen->room = room;
    for (uint32_t i = 0; i < old_room; i++)
        if (old[i] != 0)
            *slot_of(seen, key_of(seen, old[i] - 1)) = old[i];
    rafsi_free(seen->env, old);
    return RAFS_OK;
}

static int grow_keys(struct seen *seen, rafs_error *err)
{
    uint32_t room = seen->keys_room ? seen->keys_room * 2 : 256;
    uint8_t(*keys)[32] = rafsi_alloc(seen->env, room * sizeof(*keys));
    uint32_t *numbers = rafsi_alloc(seen->env, room * sizeof(*numbers));

    if (!keys || !numbers) {
        rafsi_free(seen->env, keys);
        rafsi_free(seen->env, numbers);
        return rafsi_fail_nomem(err, room * sizeof(*keys));
    }
    if (seen->count > 0) {
        memcpy(keys, seen->keys, seen->count * sizeof(*keys));
        memcpy(numbers, seen->numbers, seen->count * sizeof(*numbers));
    }
    rafsi_free(seen->env, seen->keys);
    rafsi_free(seen->env, seen->numbers);
    seen->keys = keys;
    seen->numbers = numbers;
    seen->keys_room = room;
    return RAFS_OK;
}

int rafsi_seen_add(struct seen *seen, const uint8_t key[32], uint32_t number,
                   rafs_error *err)
{
    uint32_t *slot;
    int rc = RAFS_OK;

    if (seen->count >= seen->room / 4 * 3)
        rc = grow(seen, err);
    if (rc == RAFS_OK && seen->keyed && seen->count == seen->keys_room)
        rc = grow_keys(seen, err);
    if (rc < 0)
        return rc;
    slot = slot_of(seen, key);
    if (*slot != 0) /* of another size */
        return RAFS_OK;
    if (seen->keyed) {
        memcpy(seen->keys[seen->count], key, 32);
        seen->numbers[seen->count] = number;
        *slot = seen->count + 1;
    } else {
        *slot = number + 1;
    }
    seen->count++;
    return RAFS_OK;
}
