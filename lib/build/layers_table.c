/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/layers_impl.h"

/*
 * Names by directory and name. The hash is SipHash-1-3 with a key of our own, for whoever
 * writes a layer chooses the names: with anything weaker a million of them could share a
 * place.
 */

enum { SLOTS_MIN = 1024 };

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static uint64_t hash_of(const uint64_t key[2], const struct build_node *parent,
                        struct name name)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t word = (uint64_t)name.len << 56;

    sip_word(v, (uintptr_t)parent);
    while (name.len >= sizeof(word)) {
        uint64_t part;

        memcpy(&part, name.at, sizeof(part));
        sip_word(v, part);
        name.at += sizeof(part);
        name.len -= sizeof(part);
    }
    if (name.len != 0)
        memcpy(&word, name.at, name.len);
    sip_word(v, word);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool is_named(const struct build_node *node, const struct build_node *parent,
                     struct name name)
{
    return node->parent == parent && node->name_len == name.len &&
           memcmp(node->name, name.at, name.len) == 0;
}

struct build_node **rafsi_table_slot(const struct rafsi_layers *layers,
                                     const struct build_node *parent, struct name name)
{
    size_t i = hash_of(layers->key, parent, name) & (layers->slot_count - 1);

    while (layers->slots[i] && !is_named(layers->slots[i], parent, name))
        i = (i + 1) & (layers->slot_count - 1);
    return &layers->slots[i];
}

struct build_node *rafsi_table_find(const struct rafsi_layers *layers,
                                    const struct build_node *parent, struct name name)
{
    struct build_node *node;

    if (layers->slot_count == 0)
        return NULL;
    node = *rafsi_table_slot(layers, parent, name);
    return node && !(node->flags & NODE_DEAD) ? node : NULL;
}

/* At most three quarters are in use. */
int rafsi_table_room(struct rafsi_layers *layers, rafs_error *err)
{
    const struct rafsi_env *env = &layers->image->env;
    struct build_node **old = layers->slots;
    size_t old_count = layers->slot_count;
    size_t count = old_count ? old_count * 2 : SLOTS_MIN;
    struct build_node **slots;

    if (layers->used < old_count / 4 * 3)
        return RAFS_OK;
    slots = rafsi_alloc_zero(env, count * sizeof(*slots));
    if (!slots)
        return rafsi_fail_nomem(err, count * sizeof(*slots));
    layers->slots = slots;
    layers->slot_count = count;
    for (size_t i = 0; i < old_count; i++)
        if (old[i])
            *rafsi_table_slot(layers, old[i]->parent,
                              (struct name){old[i]->name, old[i]->name_len}) = old[i];
    rafsi_free(env, old);
    return RAFS_OK;
}
