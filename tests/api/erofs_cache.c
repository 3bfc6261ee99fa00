/* SPDX-License-Identifier: Apache-2.0 */
/* What a cache keeps of an image that was written as EROFS: with the blobs that are there
 * already, or, where chunks were moved, apart from them, and nothing is fetched twice. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reading.h"
#include "scratch.h"

struct bench {
    char dir[64];
    rafs_cache *cache;
    struct golden golden;
    struct script script;
    struct bytes blobs[GOLDEN_BLOBS_MAX];
    rafs_backend *backend;
    rafs_image *image, *again;
    struct reading reading;
    rafs_erofs_result result;
    int fd;
};

static int take(void *user, const void *data, size_t len, const rafs_call *call,
                rafs_error *err)
{
    const struct bench *bench = user;

    (void)call;
    (void)err;
    NEED(write(bench->fd, data, len) == (ssize_t)len);
    return RAFS_OK;
}

/* An image on a cache, and the same as EROFS. */
static void set_up(struct bench *bench, const char *variant)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;

    memset(bench, 0, sizeof(*bench));
    bench->result.struct_size = sizeof(bench->result);
    strcpy(bench->dir, "/tmp/rafs-erofs-XXXXXX");
    NEED(mkdtemp(bench->dir));
    NEED(rafs_cache_open(bench->dir, NULL, &bench->cache, NULL) == RAFS_OK);
    golden_load(golden_folder(), variant, &bench->golden);
    for (size_t i = 0; i < bench->golden.blob_count; i++)
        bench->blobs[i] = bench->golden.blob[i];
    script_init(&bench->script, bench->blobs, bench->golden.blob_id,
                bench->golden.blob_count, NULL);
    bench->backend = script_backend(&bench->script, NULL);
    options.backends = &bench->backend;
    options.backend_count = 1;
    options.cache = bench->cache;
    options.name = bench->golden.boot_name;
    NEED(rafs_image_open_memory(bench->golden.boot.at, bench->golden.boot.len, &options,
                                &bench->image, NULL, NULL) == RAFS_OK);
    bench->fd = memfd_create("erofs", 0);
    NEED(bench->fd >= 0);
    ck_assert_int_eq(rafs_image_write_erofs(bench->image, NULL, take, bench,
                                            &bench->result, NULL, NULL),
                     RAFS_OK);
    ck_assert_msg(rafs_image_open_erofs(bench->image, bench->fd, 0, NULL, &bench->again,
                                        NULL, &err) == RAFS_OK,
                  "%s", err.text);
}

static void tear_down(struct bench *bench)
{
    rafs_image_close(bench->again);
    rafs_image_close(bench->image);
    rafs_backend_free(bench->backend);
    rafs_cache_close(bench->cache);
    reading_drop(&bench->reading);
    golden_drop(&bench->golden);
    close(bench->fd);
    scratch_remove(bench->dir);
}

/* All files of an image; how many do not read. */
static size_t read_all(const rafs_image *image)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    size_t failed = 0;

    NEED(rafs_walk_open(image, "/", 0, &walk, NULL) == RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry) {
        size_t len = (size_t)entry->attr.size, got = 0;
        uint8_t *buf;

        if (!S_ISREG(entry->attr.mode))
            continue;
        buf = malloc(len + 1);
        NEED(buf);
        failed += rafs_image_read(image, entry->ino, 0, len, buf, &got, NULL, NULL) < 0;
        free(buf);
    }
    NEED(!entry);
    rafs_walk_close(walk);
    return failed;
}

/* Blobs of the cache by name. */
struct list {
    char names[16][80];
    uint32_t flags[16];
    size_t count;
};

static int note(void *user, const rafs_cache_entry *entry)
{
    struct list *list = user;

    if (entry->flags & RAFS_CACHE_ENTRY_DOCUMENT)
        return 0;
    NEED(list->count < 16);
    snprintf(list->names[list->count], sizeof(list->names[0]), "%s", entry->name);
    list->flags[list->count++] = entry->flags;
    return 0;
}

static struct list list_of(const struct bench *bench)
{
    struct list list = {.count = 0};

    NEED(rafs_cache_list(bench->cache, 0, note, &list, NULL) == RAFS_OK);
    return list;
}

static bool has_flag(const struct list *list, const char *name, uint32_t flag)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->names[i], name) == 0)
            return list->flags[i] & flag;
    return false;
}

START_TEST(moved_chunks_are_kept_apart_and_copied_not_fetched)
{
    struct bench bench;
    struct list list;
    size_t reads;

    set_up(&bench, "v5-chunk64k");
    ck_assert_uint_eq(bench.result.flags, 0);
    ck_assert_uint_eq(read_all(bench.image), 0);
    ck_assert_uint_eq(list_of(&bench).count, 1);
    reads = bench.script.reads;
    ck_assert_uint_gt(reads, 0);
    ck_assert_uint_eq(read_all(bench.again), 0);
    ck_assert_uint_eq(bench.script.reads, reads);
    list = list_of(&bench);
    ck_assert_uint_eq(list.count, 2);
    for (size_t i = 0; i < list.count; i++)
        ck_assert_uint_eq(strlen(list.names[i]), 64);
    /* And the other way round: the originals need not be there. */
    rafs_image_close(bench.again);
    bench.again = NULL;
    ck_assert_int_eq(
        rafs_image_open_erofs(bench.image, bench.fd, 0, NULL, &bench.again, NULL, NULL),
        RAFS_OK);
    bench.script.fault = SCRIPT_FAILS;
    bench.script.fault_at = 0;
    bench.script.fault_stays = true;
    ck_assert_uint_eq(read_all(bench.again), 0);
    tear_down(&bench);
}
END_TEST

START_TEST(the_kept_file_has_the_places_that_the_kernel_is_told)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    struct bench bench;
    struct list list;
    char path[256];
    size_t len, checked = 0;
    FILE *file;

    set_up(&bench, "v5-chunk4k");
    ck_assert_uint_eq(read_all(bench.again), 0);
    list = list_of(&bench);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_str_ne(list.names[0], bench.golden.blob_id[0]);
    NEED(rafs_cache_path(bench.cache, list.names[0], path, sizeof(path), &len, NULL) ==
         RAFS_OK);
    file = fopen(path, "rb");
    NEED(file);
    NEED(rafs_walk_open(bench.again, "/", 0, &walk, NULL) == RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry) {
        rafs_extent extents[64];
        size_t count = 0;

        if (!S_ISREG(entry->attr.mode))
            continue;
        NEED(rafs_image_get_extents(bench.again, entry->ino, 0, extents, 64, &count, NULL,
                                    NULL) == RAFS_OK);
        for (size_t i = 0; i < count; i++) {
            uint8_t bytes[4096], digest[RAFS_DIGEST_BYTES];

            ck_assert_uint_eq(extents[i].uncompressed_offset % 4096, 0);
            NEED(fseek(file, (long)extents[i].uncompressed_offset, SEEK_SET) == 0 &&
                 fread(bytes, 1, (size_t)extents[i].length, file) == extents[i].length);
            NEED(rafs_digest_bytes(extents[i].digest_algorithm, bytes,
                                   (size_t)extents[i].length, digest) == RAFS_OK);
            ck_assert_mem_eq(digest, extents[i].digest, sizeof(digest));
            checked++;
        }
    }
    ck_assert_uint_gt(checked, 20);
    rafs_walk_close(walk);
    fclose(file);
    tear_down(&bench);
}
END_TEST

START_TEST(what_lies_where_it_lay_is_shared)
{
    static const char *const shared[] = {"v5-aligned", "v6-zstd"};
    struct bench bench;
    struct list list;
    size_t reads;

    set_up(&bench, shared[_i]);
    ck_assert_uint_ne(bench.result.flags & RAFS_EROFS_SAME_PLACES, 0);
    ck_assert_uint_eq(read_all(bench.again), 0);
    reads = bench.script.reads;
    ck_assert_uint_eq(read_all(bench.image), 0);
    ck_assert_uint_eq(bench.script.reads, reads);
    list = list_of(&bench);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_str_eq(list.names[0], bench.golden.blob_id[0]);
    tear_down(&bench);
}
END_TEST

START_TEST(pins_are_those_of_the_devices)
{
    struct bench bench;
    struct list list;

    set_up(&bench, "v5-chunk64k");
    ck_assert_uint_eq(read_all(bench.image), 0);
    ck_assert_uint_eq(read_all(bench.again), 0);
    ck_assert_int_eq(rafs_image_pin(bench.again, NULL), RAFS_OK);
    list = list_of(&bench);
    ck_assert(!has_flag(&list, bench.golden.blob_id[0], RAFS_CACHE_ENTRY_PINNED));
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.names[i], bench.golden.blob_id[0]) != 0)
            ck_assert(has_flag(&list, list.names[i], RAFS_CACHE_ENTRY_PINNED));
    ck_assert_int_eq(rafs_image_unpin(bench.again, NULL), RAFS_OK);
    list = list_of(&bench);
    for (size_t i = 0; i < list.count; i++)
        ck_assert(!has_flag(&list, list.names[i], RAFS_CACHE_ENTRY_PINNED));
    tear_down(&bench);
}
END_TEST

/* The metadata by itself, opened by its file: the cache may not mistake its places for
 * those of the blobs. */
START_TEST(opened_by_itself_it_is_kept_apart_too)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_image *alone = NULL;
    struct bench bench;
    struct list list;

    set_up(&bench, "v5-merge");
    options.backends = &bench.backend;
    options.backend_count = 1;
    options.cache = bench.cache;
    ck_assert_int_eq(
        rafs_image_open_fd(bench.fd, 0, bench.result.size, &options, &alone, NULL, NULL),
        RAFS_OK);
    ck_assert_uint_eq(read_all(alone), 0);
    ck_assert_uint_eq(read_all(bench.again), 0);
    list = list_of(&bench);
    ck_assert_uint_eq(list.count, bench.result.devices);
    for (size_t i = 0; i < list.count; i++)
        for (size_t k = 0; k < bench.golden.blob_count; k++)
            ck_assert_str_ne(list.names[i], bench.golden.blob_id[k]);
    rafs_image_close(alone);
    tear_down(&bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("erofs_cache");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, moved_chunks_are_kept_apart_and_copied_not_fetched);
    tcase_add_test(tcase, the_kept_file_has_the_places_that_the_kernel_is_told);
    tcase_add_loop_test(tcase, what_lies_where_it_lay_is_shared, 0, 2);
    tcase_add_test(tcase, pins_are_those_of_the_devices);
    tcase_add_test(tcase, opened_by_itself_it_is_kept_apart_too);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
