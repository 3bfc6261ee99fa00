/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/v6_place.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* One digit of the block, or the blob as the last one. */
static uint32_t digit_of(const struct v6_place *place, unsigned pass)
{
    return pass < 3 ? place->block >> (DIGIT_BITS * pass) & (DIGITS - 1)
                    : place_blob(place);
}

static void sort_by(const struct v6_place *from, struct v6_place *to, uint32_t count,
                    unsigned pass)
{
    uint32_t at[DIGITS] = {0};
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        at[digit_of(&from[i], pass)]++;
    for (uint32_t i = 0; i < DIGITS; i++) {
        uint32_t here = at[i];

        at[i] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[at[digit_of(&from[i], pass)]++] = from[i];
}

/* By blob and place. An even number of passes: the result is where it was. */
static int sort(const struct rafsi_env *env, struct v6_places *places, rafs_error *err)
{
    size_t bytes = (size_t)places->count * sizeof(places->items[0]);
    struct v6_place *spare;

    if (places->count < 2)
        return RAFS_OK;
    spare = rafsi_alloc(env, bytes);
    if (!spare)
        return rafsi_fail_nomem(err, bytes);
    for (unsigned pass = 0; pass < 4; pass += 2) {
        sort_by(places->items, spare, places->count, pass);
        sort_by(spare, places->items, places->count, pass + 1);
    }
    rafsi_free(env, spare);
    return RAFS_OK;
}

/* Two of one place: are they the same chunk? */
static int same_chunk(const struct v6_tree *tree, const struct v6_place *a,
                      const struct v6_place *b, bool *same, rafs_error *err)
{
    uint8_t digests[2][RAFSI_DIGEST_BYTES];
    const struct v6_place *both[2] = {a, b};

    *same = false;
    if (place_size(a) != place_size(b) || ((a->record | b->record) & PLACE_OVERLAPS))
        return RAFS_OK;
    if ((a->record | b->record) & PLACE_IN_FILE) {
        *same = a->record == b->record;
        return RAFS_OK;
    }
    for (unsigned i = 0; i < 2; i++) {
        int rc = rafsi_source_read(tree->tree.source,
                                   tree->ext.chunks_at +
                                       (uint64_t)both[i]->record * CHUNK_RECORD_BYTES,
                                   sizeof(digests[i]), digests[i], err);

        if (rc < 0)
            return rc;
    }
    *same = rafsi_digest_equal(digests[0], digests[1]);
    return RAFS_OK;
}

/* Of several at one place the largest stays. */
static int join(const struct v6_tree *tree, struct v6_places *places, rafs_error *err)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < places->count; i++) {
        struct v6_place *last = kept > 0 ? &places->items[kept - 1] : NULL;
        struct v6_place *next = &places->items[i];
        bool same;
        int rc;

        if (!last || place_blob(last) != place_blob(next) || last->block != next->block) {
            places->items[kept++] = *next;
            continue;
        }
        rc = same_chunk(tree, last, next, &same, err);
        if (rc < 0)
            return rc;
        if (same)
            continue;
        if (place_size(next) > place_size(last))
            *last = *next;
        last->record |= PLACE_OVERLAPS;
    }
    places->count = kept;
    return RAFS_OK;
}

/* Mark all that share a byte with another one. Whatever overlaps something that begins
 * before it overlaps the one of those that ends last. */
static void mark_overlaps(struct v6_places *places)
{
    struct v6_place *last = NULL; /* that ends last */

    for (uint32_t i = 0; i < places->count; i++) {
        struct v6_place *place = &places->items[i];

        if (last && place_blob(last) == place_blob(place) &&
            place_end(last) > place_start(place)) {
            last->record |= PLACE_OVERLAPS;
            place->record |= PLACE_OVERLAPS;
        }
        if (!last || place_blob(last) != place_blob(place) ||
            place_end(place) > place_end(last))
            last = place;
    }
}

int rafsi_v6_places_arrange(const struct v6_tree *tree, struct v6_places *places,
                            rafs_error *err)
{
    uint32_t i = 0;
    int rc = sort(&tree->tree.env, places, err);

    if (rc == RAFS_OK)
        rc = join(tree, places, err);
    if (rc < 0)
        return rc;
    mark_overlaps(places);
    for (uint32_t blob = 0; blob <= V6_BLOBS_MAX; blob++) {
        while (i < places->count && place_blob(&places->items[i]) < blob)
            i++;
        places->first[blob] = i;
    }
    return RAFS_OK;
}
