/* SPDX-License-Identifier: Apache-2.0 */
/* Do two files hold the same bytes? */
#include <stdlib.h>
#include <string.h>

#include "diff.h"

enum { EXTENTS = 64, PIECE = 1 << 20 };

/* The extents of a file, some at a time. */
struct extents {
    struct command *c;
    uint64_t ino;
    rafs_extent at[EXTENTS];
    size_t i, count;
    uint64_t next;
};

/* NULL with *err clean: the end. */
static const rafs_extent *next_extent(struct extents *e, bool *good, rafs_error *err)
{
    if (e->i == e->count) {
        e->i = 0;
        *good = rafs_image_get_extents(e->c->image, e->ino, e->next, e->at, EXTENTS,
                                       &e->count, command_call(e->c), err) == RAFS_OK;
        if (!*good || e->count == 0)
            return NULL;
        e->next = e->at[e->count - 1].file_offset + e->at[e->count - 1].length;
    }
    return &e->at[e->i++];
}

/* A hole is as good as a chunk of zeros. */
static bool digest_of(const rafs_extent *extent, uint32_t algorithm,
                      uint8_t out[RAFS_DIGEST_BYTES])
{
    static const char zeros[4096];
    rafs_hash *hash = NULL;
    bool good;

    if (!(extent->flags & RAFS_EXTENT_HOLE)) {
        memcpy(out, extent->digest, RAFS_DIGEST_BYTES);
        return extent->digest_algorithm == algorithm;
    }
    good = rafs_hash_new(algorithm, NULL, &hash, NULL) == RAFS_OK;
    for (uint64_t left = extent->length; good && left > 0;) {
        size_t some = left < sizeof zeros ? (size_t)left : sizeof zeros;

        good = rafs_hash_update(hash, zeros, some) == RAFS_OK;
        left -= some;
    }
    good = good && rafs_hash_final(hash, out) == RAFS_OK;
    rafs_hash_free(hash);
    return good;
}

/* Can be told from digests, and *same says it. */
static bool compare_extents(const rafs_extent *a, const rafs_extent *b, bool *same)
{
    uint8_t x[RAFS_DIGEST_BYTES], y[RAFS_DIGEST_BYTES];
    uint32_t algorithm =
        a->flags & RAFS_EXTENT_HOLE ? b->digest_algorithm : a->digest_algorithm;

    if (a->length != b->length)
        return false;
    if ((a->flags & RAFS_EXTENT_HOLE) && (b->flags & RAFS_EXTENT_HOLE))
        return true;
    if (!digest_of(a, algorithm, x) || !digest_of(b, algorithm, y))
        return false;
    *same = memcmp(x, y, sizeof x) == 0;
    return true;
}

/* *told: the digests were enough. */
static bool by_digests(struct differ *d, const struct tree_entry *old,
                       const struct tree_entry *new, bool *told, bool *same,
                       rafs_error *err)
{
    struct extents *a = calloc(2, sizeof *a), *b = a ? a + 1 : NULL;
    bool good = true;

    *told = *same = true;
    if (!a) {
        rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
        return false;
    }
    *a = (struct extents){.c = d->old.c, .ino = old->ino};
    *b = (struct extents){.c = d->new.c, .ino = new->ino};
    while (good && *told && *same) {
        const rafs_extent *x = next_extent(a, &good, err);
        const rafs_extent *y = x && good ? next_extent(b, &good, err) : NULL;

        if (!x || !y)
            break;
        *told = compare_extents(x, y, same);
    }
    free(a);
    return good;
}

static bool read_piece(struct command *c, uint64_t ino, uint64_t offset, char *buf,
                       size_t *len, rafs_error *err)
{
    return rafs_image_read(c->image, ino, offset, PIECE, buf, len, command_call(c),
                           err) == RAFS_OK;
}

static bool by_bytes(struct differ *d, const struct tree_entry *old,
                     const struct tree_entry *new, bool *same, rafs_error *err)
{
    char *a = malloc(2 * (size_t)PIECE), *b = a ? a + PIECE : NULL;
    size_t len_a = 1, len_b = 0;
    bool good = true;

    if (!a) {
        rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
        return false;
    }
    *same = true;
    for (uint64_t offset = 0; good && *same && len_a > 0; offset += len_a) {
        good = read_piece(d->old.c, old->ino, offset, a, &len_a, err) &&
               read_piece(d->new.c, new->ino, offset, b, &len_b, err);
        *same = good && len_a == len_b && memcmp(a, b, len_a) == 0;
    }
    free(a);
    return good;
}

bool diff_content(struct differ *d, const struct tree_entry *old,
                  const struct tree_entry *new, bool *same, rafs_error *err)
{
    bool told = false;

    if (!by_digests(d, old, new, &told, same, err))
        return false;
    if (told)
        return true;
    if (d->new.no_data) {
        rafs_error_set(err, RAFS_E_UNSUPPORTED, 0, NULL,
                       "its chunks are not cut or named as the image says they are");
        return false;
    }
    return by_bytes(d, old, new, same, err);
}
