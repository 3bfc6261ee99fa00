/* SPDX-License-Identifier: Apache-2.0 */
#include "build/dictionary.h"

#include <string.h>
#include <sys/stat.h>

#include "rafs/image.h"

/* Where the record of a chunk is: in v6 its number in the chunk table; in v5, which has
 * none, the file and which of its chunks. */
struct entry {
    uint64_t at;
    uint32_t chunk; /* v5 */
    uint32_t print; /* of the digest; 0: the slot is free */
};

struct shelf {
    const struct rafsi_tree *tree;
    uint32_t *blobs; /* its blobs' numbers in the image, NO_BLOB: not there yet */
    struct entry *slots;
    size_t room; /* a power of two, or 0 */
    size_t used;
    uint64_t seed;
};

struct rafsi_dictionary {
    const struct rafsi_env *env;
    struct rafsi_borrow *borrow;
    struct rafsi_known known;
    struct shelf *shelves;
    size_t count;
};

static const char *hash_name(uint32_t algorithm)
{
    return algorithm == RAFSI_SHA256 ? "SHA-256" : "BLAKE3";
}

static const char *compressor_name(uint32_t compressor)
{
    static const char *const names[] = {"nothing", "LZ4", "gzip", "zstd"};

    return compressor < sizeof(names) / sizeof(*names) ? names[compressor] : "?";
}

int rafsi_tree_fits(const struct build_image *image, const struct rafsi_tree *tree,
                    const char *what, rafs_error *err)
{
    const struct rafsi_super *super = &tree->super;

    if (super->version != image->version)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, what,
                          "is of RAFS version %u; version %u is built", super->version,
                          image->version);
    if (super->flags & SB_TARFS)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, what,
                          "refers to plain tars, whose chunks have no digests");
    if (super->chunk_size != image->chunk_size)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, what,
                          "has chunks of %u bytes; chunks of %u bytes are built",
                          super->chunk_size, image->chunk_size);
    if (super->version == 5 && super->digest_algorithm != image->digest_algorithm)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, what,
                          "names chunks by %s; the build by %s",
                          hash_name(super->digest_algorithm),
                          hash_name(image->digest_algorithm));
    if (super->version == 5 && super->compressor != image->compressor)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, what,
                          "is compressed with %s; the build with %s, and an image of "
                          "version 5 has one compressor",
                          compressor_name(super->compressor),
                          compressor_name(image->compressor));
    return RAFS_OK;
}

/* Where a digest belongs, and what tells it from others there. Images say what digests
 * there are, so it depends on all of one and on a seed. */
static uint64_t mix(const struct shelf *shelf, const uint8_t digest[32])
{
    uint64_t mixed = shelf->seed;

    for (size_t i = 0; i < 32; i += 8) {
        uint64_t word;

        memcpy(&word, digest + i, sizeof(word));
        mixed = (mixed ^ word) * 0x9e3779b97f4a7c15u;
        mixed = mixed >> 29 | mixed << 35;
    }
    return mixed;
}

static uint32_t print_of(uint64_t mixed)
{
    return (uint32_t)(mixed >> 32) | 1;
}

static int record_of(const struct shelf *shelf, const struct entry *entry,
                     struct chunk_record *out, rafs_error *err)
{
    const struct rafsi_tree *tree = shelf->tree;
    struct rafsi_node node;
    struct rafsi_chunk chunk;
    int rc;

    if (tree->super.version == 6)
        return rafsi_v6_chunk_at(tree, entry->at, out, err);
    rc = rafsi_tree_node(tree, entry->at, &node, err);
    if (rc == RAFS_OK)
        rc = rafsi_tree_chunk(
            tree, &node, (uint64_t)entry->chunk * tree->super.chunk_size, &chunk, err);
    if (rc == RAFS_OK)
        *out = chunk.record;
    return rc;
}

/* The slot that holds the digest, or a free one. */
static int probe(const struct shelf *shelf, const uint8_t digest[32],
                 struct chunk_record *record, struct entry **out, rafs_error *err)
{
    uint64_t mixed = mix(shelf, digest);
    size_t i = (size_t)mixed & (shelf->room - 1);

    for (;; i = (i + 1) & (shelf->room - 1)) {
        struct entry *entry = &shelf->slots[i];
        int rc;

        *out = entry;
        if (!entry->print)
            return RAFS_OK;
        if (entry->print != print_of(mixed))
            continue;
        rc = record_of(shelf, entry, record, err);
        if (rc < 0)
            return rc;
        if (memcmp(record->digest, digest, sizeof(record->digest)) == 0)
            return RAFS_OK;
    }
}

/* Room for `chunks` of them is made at once: an entry does not know its digest. */
static int shelf_room(const struct rafsi_env *env, struct shelf *shelf, uint64_t chunks,
                      rafs_error *err)
{
    size_t room = 64;

    if (chunks > (uint64_t)1 << 32)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL,
                          "dictionary of more than 2^32 chunks");
    while (room < chunks + chunks / 2)
        room *= 2;
    shelf->slots = rafsi_alloc_zero(env, room * sizeof(*shelf->slots));
    if (!shelf->slots)
        return rafsi_fail_nomem(err, room * sizeof(*shelf->slots));
    shelf->room = room;
    return RAFS_OK;
}

/* May the chunk be referred to? It needs a digest of the build's kind, and a blob that an
 * image can name. */
static bool usable(const struct rafsi_dictionary *dictionary, const struct shelf *shelf,
                   const struct chunk_record *record)
{
    const struct blob_record *blob = &shelf->tree->blobs[record->blob];

    return rafsi_borrow_allowed(dictionary->borrow->image, blob, NULL) == RAFS_OK &&
           (shelf->tree->super.version == 5 ||
            blob->digest_algorithm == dictionary->borrow->image->digest_algorithm) &&
           !rafsi_all_zero(record->digest, sizeof(record->digest));
}

static int put(const struct rafsi_dictionary *dictionary, struct shelf *shelf,
               const struct chunk_record *record, uint64_t at, uint32_t chunk,
               rafs_error *err)
{
    struct chunk_record present;
    struct entry *entry;
    int rc;

    if (record->blob >= shelf->tree->super.blob_count)
        return rafsi_corrupt(err, 0, "chunk in blob %u of %u", record->blob,
                             shelf->tree->super.blob_count);
    if (!usable(dictionary, shelf, record))
        return RAFS_OK;
    if (shelf->used >= shelf->room - shelf->room / 4)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                          "more chunks than were counted");
    rc = probe(shelf, record->digest, &present, &entry, err);
    if (rc < 0 || entry->print)
        return rc;
    *entry = (struct entry){at, chunk, print_of(mix(shelf, record->digest))};
    shelf->used++;
    return RAFS_OK;
}

static int fill_v6(const struct rafsi_dictionary *dictionary, struct shelf *shelf,
                   const rafs_call *call, rafs_error *err)
{
    uint64_t count = rafsi_v6_chunk_count(shelf->tree);
    int rc = shelf_room(dictionary->env, shelf, count, err);

    for (uint64_t i = 0; rc == RAFS_OK && i < count; i++) {
        struct chunk_record record;

        if (i % 1024 == 0)
            rc = rafsi_call_check(dictionary->env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_v6_chunk_at(shelf->tree, i, &record, err);
        if (rc == RAFS_OK)
            rc = put(dictionary, shelf, &record, i, 0, err);
    }
    return rc;
}

/* Puts in the chunks of all files or, with a count, only counts them. */
static int walk_v5(const struct rafsi_dictionary *dictionary, struct shelf *shelf,
                   uint64_t *count, const rafs_call *call, rafs_error *err)
{
    const struct rafsi_tree *tree = shelf->tree;
    const rafs_walk_entry *entry;
    struct rafsi_walk *walk = NULL;
    int rc = rafsi_walk_new(tree, "/", &walk, err);

    while (rc == RAFS_OK) {
        struct rafsi_node node;
        uint32_t chunks = 0;

        rc = rafsi_call_check(dictionary->env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_walk_step(walk, &entry, err);
        if (rc < 0 || !entry)
            break;
        if (!S_ISREG(entry->attr.mode))
            continue;
        if (!rafsi_chunks_of(entry->attr.size, tree->super.chunk_size, &chunks))
            rc = rafsi_corrupt(err, 0, "file of more than 2^32 chunks");
        if (count) {
            *count += chunks;
            continue;
        }
        if (rc == RAFS_OK)
            rc = rafsi_tree_node(tree, entry->ino, &node, err);
        for (uint32_t i = 0; rc == RAFS_OK && i < chunks; i++) {
            struct rafsi_chunk chunk;

            rc = rafsi_tree_chunk(tree, &node, (uint64_t)i * tree->super.chunk_size,
                                  &chunk, err);
            if (rc == RAFS_OK && !chunk.hole)
                rc = put(dictionary, shelf, &chunk.record, entry->ino, i, err);
        }
    }
    rafsi_walk_free(walk);
    return rc;
}

static int fill(const struct rafsi_dictionary *dictionary, struct shelf *shelf,
                const rafs_call *call, rafs_error *err)
{
    const struct rafsi_super *super = &shelf->tree->super;
    size_t bytes = (super->blob_count + 1) * sizeof(*shelf->blobs);
    uint64_t count = 0;
    int rc;

    shelf->blobs = rafsi_alloc(dictionary->env, bytes);
    if (!shelf->blobs)
        return rafsi_fail_nomem(err, bytes);
    memset(shelf->blobs, 0xff, bytes);
    if (super->version == 6)
        return fill_v6(dictionary, shelf, call, err);
    rc = walk_v5(dictionary, shelf, &count, call, err);
    if (rc == RAFS_OK)
        rc = shelf_room(dictionary->env, shelf, count, err);
    if (rc == RAFS_OK)
        rc = walk_v5(dictionary, shelf, NULL, call, err);
    return rc;
}

static int borrow_from(struct rafsi_dictionary *dictionary, struct shelf *shelf,
                       const struct chunk_record *record, uint32_t *number,
                       rafs_error *err)
{
    uint32_t *blob = &shelf->blobs[record->blob];
    int rc = RAFS_OK;

    if (*blob == NO_BLOB)
        rc = rafsi_borrow_blob(dictionary->borrow, &shelf->tree->blobs[record->blob],
                               dictionary->borrow->image->layers - 1, blob, err);
    if (rc == RAFS_OK)
        rc = rafsi_borrow_chunk(dictionary->borrow, record, *blob, number, err);
    return rc;
}

static int find(void *user, const uint8_t digest[32], uint32_t size, uint32_t *number,
                rafs_error *err)
{
    struct rafsi_dictionary *dictionary = user;

    for (size_t i = 0; i < dictionary->count; i++) {
        struct shelf *shelf = &dictionary->shelves[i];
        struct chunk_record record;
        struct entry *entry;
        int rc = probe(shelf, digest, &record, &entry, err);

        if (rc < 0)
            return rafsi_fail_object(err, rc, "dictionary %zu", i);
        /* Equal digests of different sizes: somebody made the record up. */
        if (!entry->print || record.uncompressed_size != size)
            continue;
        rc = borrow_from(dictionary, shelf, &record, number, err);
        return rc < 0 ? rafsi_fail_object(err, rc, "dictionary %zu", i) : rc;
    }
    return RAFS_E_NOENT;
}

int rafsi_dictionary_new(struct rafsi_borrow *borrow,
                         const struct rafsi_tree *const *trees, size_t count,
                         const rafs_call *call, struct rafsi_dictionary **out,
                         rafs_error *err)
{
    const struct rafsi_env *env = &borrow->image->env;
    struct rafsi_dictionary *dictionary = rafsi_alloc_zero(env, sizeof(*dictionary));
    int rc = RAFS_OK;

    if (!dictionary)
        return rafsi_fail_nomem(err, sizeof(*dictionary));
    dictionary->env = env;
    dictionary->borrow = borrow;
    dictionary->known = (struct rafsi_known){dictionary, find};
    dictionary->shelves = rafsi_alloc_zero(env, (count + 1) * sizeof(struct shelf));
    if (!dictionary->shelves)
        rc = rafsi_fail_nomem(err, (count + 1) * sizeof(struct shelf));
    while (rc == RAFS_OK && dictionary->count < count) {
        struct shelf *shelf = &dictionary->shelves[dictionary->count];

        shelf->tree = trees[dictionary->count++];
        shelf->seed = rafsi_seed();
        rc = rafsi_tree_fits(borrow->image, shelf->tree, "dictionary", err);
        if (rc == RAFS_OK)
            rc = fill(dictionary, shelf, call, err);
        if (rc < 0)
            rafsi_fail_object(err, rc, "dictionary %zu", dictionary->count - 1);
    }
    if (rc < 0)
        rafsi_dictionary_free(dictionary);
    else
        *out = dictionary;
    return rc;
}

void rafsi_dictionary_free(struct rafsi_dictionary *dictionary)
{
    if (!dictionary)
        return;
    for (size_t i = 0; dictionary->shelves && i < dictionary->count; i++) {
        rafsi_free(dictionary->env, dictionary->shelves[i].blobs);
        rafsi_free(dictionary->env, dictionary->shelves[i].slots);
    }
    rafsi_free(dictionary->env, dictionary->shelves);
    rafsi_free(dictionary->env, dictionary);
}

const struct rafsi_known *
rafsi_dictionary_known(const struct rafsi_dictionary *dictionary)
{
    return dictionary ? &dictionary->known : NULL;
}

bool rafsi_dictionary_has(const struct rafsi_dictionary *dictionary, const char *id)
{
    for (size_t i = 0; dictionary && i < dictionary->count; i++) {
        const struct rafsi_tree *tree = dictionary->shelves[i].tree;

        for (uint32_t b = 0; b < tree->super.blob_count; b++)
            if (strcmp(tree->blobs[b].id, id) == 0)
                return true;
    }
    return false;
}
