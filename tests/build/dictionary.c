/* SPDX-License-Identifier: Apache-2.0 */
/* Dictionaries: every chunk of the reference builder's images is found by its digest, as
 * it is there, and what does not fit is refused. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build/dictionary.h"
#include "golden.h"
#include "rafs/image.h"
#include "tree_images.h"
#include "watch.h"

#define IMAGES_MAX 64

static struct tree_image images[IMAGES_MAX];
static int image_count;

struct rig {
    struct build_image image;
    struct rafsi_borrow borrow;
};

static void rig_open(struct rig *rig, const struct rafsi_tree *like, const rafs_env *env)
{
    memset(rig, 0, sizeof(*rig));
    NEED(rafsi_env_take(env, &rig->image.env, NULL) == RAFS_OK);
    rig->image.chunks.env = rig->image.blobs.env = &rig->image.env;
    rig->image.version = like->super.version;
    rig->image.chunk_size = like->super.chunk_size;
    rig->image.digest_algorithm = like->super.digest_algorithm;
    rig->image.compressor = like->super.compressor;
    rig->image.layers = 1;
    rafsi_borrow_init(&rig->borrow, &rig->image);
}

static void rig_close(struct rig *rig)
{
    rafsi_borrow_free(&rig->borrow);
    rafsi_chunks_free(&rig->image.chunks);
    rafsi_blobs_free(&rig->image.blobs);
}

static void open_tree(struct opened_tree *opened, const char *path)
{
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_msg(opened_tree_file(opened, path, 1 << 20, &err) == RAFS_OK, "%s: %s",
                  path, err.text);
}

static const struct tree_image *named(const char *name)
{
    const struct tree_image *image = tree_images_named(images, image_count, name);

    NEED(image != NULL);
    return image;
}

/* A chunk of a file: what is found for its digest is its like. */
static void check_hit(struct rig *rig, const struct rafsi_known *known,
                      const struct rafsi_tree *tree, const struct rafsi_chunk *chunk)
{
    rafs_error err = RAFS_ERROR_INIT;
    const struct build_chunk *got;
    uint32_t number;
    int rc = known->find(known->user, chunk->record.digest,
                         chunk->record.uncompressed_size, &number, &err);

    ck_assert_msg(rc == RAFS_OK, "%d %s", rc, err.text);
    got = rafsi_chunks_at(&rig->image.chunks, number);
    ck_assert_mem_eq(got->digest, chunk->record.digest, 32);
    ck_assert_uint_eq(got->uncompressed_size, chunk->record.uncompressed_size);
    if (strcmp(rig->image.blobs.at[got->blob].record.id,
               tree->blobs[chunk->record.blob].id) == 0 &&
        got->index == chunk->record.index) {
        ck_assert_uint_eq(got->compressed_offset, chunk->record.compressed_offset);
        ck_assert_uint_eq(got->compressed_size, chunk->record.compressed_size);
        ck_assert_uint_eq(got->uncompressed_offset, chunk->record.uncompressed_offset);
        ck_assert_uint_eq(got->flags, chunk->record.flags);
        ck_assert_uint_eq(got->crc32, chunk->record.crc32);
    }
    ck_assert_int_eq(known->find(known->user, chunk->record.digest,
                                 chunk->record.uncompressed_size + 1, &number, &err),
                     RAFS_E_NOENT);
}

/* All chunks of all files. */
static uint64_t check_tree(struct rig *rig, const struct rafsi_known *known,
                           const struct rafsi_tree *tree)
{
    const rafs_walk_entry *entry;
    struct rafsi_walk *walk;
    uint64_t chunks = 0;

    ck_assert_int_eq(rafsi_walk_new(tree, "/", &walk, NULL), RAFS_OK);
    while (rafsi_walk_step(walk, &entry, NULL) == RAFS_OK && entry) {
        struct rafsi_node node;
        struct rafsi_chunk chunk;

        ck_assert_int_eq(rafsi_tree_node(tree, entry->ino, &node, NULL), RAFS_OK);
        for (uint64_t at = 0; S_ISREG(entry->attr.mode) && at < entry->attr.size;
             at += chunk.length, chunks++) {
            ck_assert_int_eq(rafsi_tree_chunk(tree, &node, at, &chunk, NULL), RAFS_OK);
            check_hit(rig, known, tree, &chunk);
        }
    }
    rafsi_walk_free(walk);
    return chunks;
}

static bool refers(const struct rafsi_tree *tree)
{
    uint32_t refused = RAFS_BLOB_ENCRYPTED | RAFS_BLOB_EXTERNAL | RAFS_BLOB_TARFS;

    for (uint32_t i = 0; i < tree->super.blob_count; i++)
        if (tree->blobs[i].features & refused)
            return false;
    return tree->super.blob_count > 0 && !(tree->super.flags & SB_TARFS);
}

START_TEST(every_chunk_of_an_image_is_found)
{
    struct opened_tree opened;
    const struct rafsi_tree *tree;
    struct rafsi_dictionary *dictionary = NULL;
    uint8_t unknown[32] = {1, 2, 3};
    const struct rafsi_known *known;
    rafs_error err = RAFS_ERROR_INIT;
    struct rig rig;
    uint32_t number;

    if (strstr(images[_i].name, "tarfs")) /* which nobody reads */
        return;
    open_tree(&opened, images[_i].boot);
    tree = opened.tree;
    if (refers(tree)) {
        rig_open(&rig, tree, NULL);
        ck_assert_msg(rafsi_dictionary_new(&rig.borrow, &tree, 1, NULL, &dictionary,
                                           &err) == RAFS_OK,
                      "%s: %s", images[_i].name, err.text);
        /* Nothing is in the image before it is used. */
        ck_assert_uint_eq(rig.image.blobs.count, 0);
        ck_assert_uint_eq(rig.image.chunks.count, 0);
        known = rafsi_dictionary_known(dictionary);
        ck_assert_int_eq(known->find(known->user, unknown, 4096, &number, NULL),
                         RAFS_E_NOENT);
        ck_assert_uint_gt(check_tree(&rig, known, tree), 0);
        for (uint32_t i = 0; i < tree->super.blob_count; i++)
            ck_assert(rafsi_dictionary_has(dictionary, tree->blobs[i].id));
        ck_assert(!rafsi_dictionary_has(dictionary, "another"));
        rafsi_dictionary_free(dictionary);
        rig_close(&rig);
    }
    opened_tree_close(&opened);
}
END_TEST

static int try_kind(const struct rafsi_tree *tree, uint32_t version, uint32_t chunk_size,
                    uint32_t digest, char text[300])
{
    struct rafsi_dictionary *dictionary = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    struct rig rig;
    int rc;

    rig_open(&rig, tree, NULL);
    rig.image.version = version;
    rig.image.chunk_size = chunk_size;
    rig.image.digest_algorithm = digest;
    rc = rafsi_dictionary_new(&rig.borrow, &tree, 1, NULL, &dictionary, &err);
    snprintf(text, 300, "%s", err.text);
    rafsi_dictionary_free(dictionary);
    rig_close(&rig);
    return rc;
}

START_TEST(what_does_not_fit_is_refused)
{
    struct opened_tree opened;
    char text[300];

    open_tree(&opened, named("v5-zstd")->boot);
    ck_assert_int_eq(try_kind(opened.tree, 5, 0x100000, RAFSI_BLAKE3, text), RAFS_OK);
    ck_assert_int_eq(try_kind(opened.tree, 6, 0x100000, RAFSI_BLAKE3, text),
                     RAFS_E_BADARG);
    ck_assert_str_eq(text, "is of RAFS version 5; version 6 is built");
    ck_assert_int_eq(try_kind(opened.tree, 5, 0x10000, RAFSI_BLAKE3, text),
                     RAFS_E_BADARG);
    ck_assert_str_eq(text,
                     "has chunks of 1048576 bytes; chunks of 65536 bytes are built");
    ck_assert_int_eq(try_kind(opened.tree, 5, 0x100000, RAFSI_SHA256, text),
                     RAFS_E_BADARG);
    ck_assert_str_eq(text, "names chunks by BLAKE3; the build by SHA-256");
    opened_tree_close(&opened);
}
END_TEST

/* With the n-th allocation failing: an error, or the right chunk; nothing left behind. */
static bool try_all(struct watch *watch, size_t n, const struct rafsi_tree *tree)
{
    struct rafsi_dictionary *dictionary = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    struct chunk_record record;
    struct rig rig;
    uint32_t number;
    int rc;

    NEED(rafsi_v6_chunk_at(tree, 7, &record, NULL) == RAFS_OK);
    rig_open(&rig, tree, &watch->env);
    watch_fail_at(watch, n);
    rc = rafsi_dictionary_new(&rig.borrow, &tree, 1, NULL, &dictionary, &err);
    if (rc == RAFS_OK) {
        const struct rafsi_known *known = rafsi_dictionary_known(dictionary);

        rc = known->find(known->user, record.digest, record.uncompressed_size, &number,
                         &err);
    }
    rafsi_dictionary_free(dictionary);
    rig_close(&rig);
    ck_assert_uint_eq(watch->live, 0);
    ck_assert_msg(rc == RAFS_OK || rc == RAFS_E_NOMEM, "%d: %s", rc, err.text);
    return rc == RAFS_OK;
}

START_TEST(without_memory_it_says_so)
{
    struct opened_tree opened;
    struct watch watch;
    size_t n = 0;

    watch_init(&watch);
    open_tree(&opened, named("v6-zstd")->boot);
    while (!try_all(&watch, n, opened.tree))
        n++;
    ck_assert_uint_gt(n, 4);
    opened_tree_close(&opened);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dictionary");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    image_count = tree_images_find("v", images, IMAGES_MAX);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_chunk_of_an_image_is_found, 0, image_count);
    tcase_add_test(tcase, what_does_not_fit_is_refused);
    tcase_add_test(tcase, without_memory_it_says_so);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
