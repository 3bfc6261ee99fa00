/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>

#include "tree/tree.h"

/*
 * v6 does not say in which directory a file lies, and whoever reads one gives its number
 * alone; but somebody has just looked it up, or listed it. A small table that forgets,
 * without a lock: the two halves of a slot may come from two lookups, which makes a wrong
 * hint.
 */

enum { SLOT_BITS = 13, SLOTS = 1 << SLOT_BITS };

struct rafsi_homes {
    struct {
        atomic_uint_least64_t ino, dir;
    } at[SLOTS];
};

static size_t slot_of(uint64_t ino)
{
    return (size_t)((ino * 0x9e3779b97f4a7c15u) >> (64 - SLOT_BITS));
}

int rafsi_homes_new(struct rafsi_tree *tree, rafs_error *err)
{
    tree->homes = rafsi_alloc_zero(&tree->env, sizeof(*tree->homes));
    return tree->homes ? RAFS_OK : rafsi_fail_nomem(err, sizeof(*tree->homes));
}

void rafsi_home_note(const struct rafsi_tree *tree, uint64_t dir, uint64_t ino)
{
    struct rafsi_homes *homes = tree->homes;
    size_t i = slot_of(ino);

    /* Most lookups repeat another: they leave the line to whoever shares it. */
    if (!homes || (atomic_load_explicit(&homes->at[i].ino, memory_order_relaxed) == ino &&
                   atomic_load_explicit(&homes->at[i].dir, memory_order_relaxed) == dir))
        return;
    atomic_store_explicit(&homes->at[i].ino, ino, memory_order_relaxed);
    atomic_store_explicit(&homes->at[i].dir, dir, memory_order_relaxed);
}

uint64_t rafsi_home_of(const struct rafsi_tree *tree, uint64_t ino)
{
    const struct rafsi_homes *homes = tree->homes;
    size_t i = slot_of(ino);

    if (!homes || atomic_load_explicit(&homes->at[i].ino, memory_order_relaxed) != ino)
        return 0;
    return atomic_load_explicit(&homes->at[i].dir, memory_order_relaxed);
}
