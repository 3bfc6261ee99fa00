/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content to blobs: what is written decodes to what was fed, does not depend on threads,
 * and failures end in one error with nothing left behind.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "feeding.h"
#include "golden.h"

static void dump(const struct feed *feed, const char *name)
{
    const char *folder = getenv("RAFS_TEST_DUMP");
    char path[4096];
    FILE *file;

    if (!folder)
        return;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    NEED(file != NULL);
    NEED(fwrite(feed->sink.objects[0].at, 1, feed->sink.objects[0].len, file) ==
         feed->sink.objects[0].len);
    NEED(fclose(file) == 0);
}

/* Every form of blob. */
static const struct {
    const char *name;
    uint32_t version, compressor, digest, chunk_size, flags, batch;
    int32_t level;
    uint32_t features;
} forms[] = {
    {"zstd", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0x40000001},
    {"zstd-1m", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 20, 0, 0, 3, 0x40000001},
    {"zstd-fast", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_SHA256, 1 << 16, 0, 0, -5, 0x40000001},
    {"zstd-19", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 14, 0, 0, 19, 0x40000001},
    {"lz4", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0x40000001},
    {"lz4-hc", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_BLAKE3, 1 << 16, 0, 0, 9, 0x40000001},
    {"none", 6, RAFS_COMPRESSOR_NONE, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0x40000001},
    {"none-batch", 6, RAFS_COMPRESSOR_NONE, RAFSI_BLAKE3, 1 << 16, 0, 1 << 15, 0,
     0x40000001},
    {"4k", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 12, 0, 0, 0, 0x40000001},
    {"toc", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, RAFS_BUILD_TOC, 0, 0,
     0x70000021},
    {"toc-lz4", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_SHA256, 1 << 16, RAFS_BUILD_TOC, 0, 0,
     0x70000021},
    {"toc-none", 6, RAFS_COMPRESSOR_NONE, RAFSI_SHA256, 1 << 16, RAFS_BUILD_TOC, 0, 0,
     0x70000021},
    {"batch", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, 0, 1 << 15, 0, 0x40000085},
    {"batch-large", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 20, 0, 1 << 19, 0,
     0x40000085},
    {"batch-toc-lz4", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_BLAKE3, 1 << 16, RAFS_BUILD_TOC,
     1 << 12, 0, 0x700000a5},
    {"v5", 5, RAFS_COMPRESSOR_ZSTD, RAFSI_SHA256, 1 << 16, 0, 0, 0, 0},
    {"v5-aligned", 5, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, RAFS_BUILD_ALIGNED, 0,
     0, 1},
    {"v5-none", 5, RAFS_COMPRESSOR_NONE, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static void set_form(struct feed *feed, int i, uint32_t threads)
{
    feed_init(feed);
    feed->image.version = forms[i].version;
    feed->image.compressor = forms[i].compressor;
    feed->image.digest_algorithm = forms[i].digest;
    feed->image.chunk_size = forms[i].chunk_size;
    feed->options.flags = forms[i].flags;
    feed->options.batch_size = forms[i].batch;
    feed->options.level = forms[i].level;
    feed->options.threads = threads;
    feed_usual(feed);
}

static void same_chunks(const struct feed *a, const struct feed *b)
{
    ck_assert_uint_eq(a->image.chunks.count, b->image.chunks.count);
    for (uint32_t i = 0; i < a->image.chunks.count; i++)
        ck_assert_mem_eq(rafsi_chunks_at(&a->image.chunks, i),
                         rafsi_chunks_at(&b->image.chunks, i),
                         sizeof(struct build_chunk));
}

START_TEST(blob_decodes_to_what_was_fed_and_does_not_depend_on_threads)
{
    static const uint32_t threads[] = {1, 2, 8};
    static struct feed feeds[3];

    for (size_t i = 0; i < 3; i++) {
        set_form(&feeds[i], _i, threads[i]);
        ck_assert_int_eq(feed_run(&feeds[i], NULL, NULL), RAFS_OK);
        ck_assert_uint_eq(feeds[i].sink.objects[0].len, feeds[0].sink.objects[0].len);
        ck_assert_mem_eq(feeds[i].sink.objects[0].at, feeds[0].sink.objects[0].at,
                         feeds[0].sink.objects[0].len);
        same_chunks(&feeds[i], &feeds[0]);
    }
    ck_assert_uint_eq(feeds[0].image.blobs.at[0].record.features, forms[_i].features);
    feed_check(&feeds[0]);
    dump(&feeds[0], forms[_i].name);
    for (size_t i = 0; i < 3; i++)
        feed_drop(&feeds[i]);
}
END_TEST

/* Section `name` as its entry in the table of contents says, and as tar headers do. */
static void check_section(const struct feed_object *object, struct span toc,
                          const char *name, struct rafsi_decoder *decoder,
                          struct feed *feed, struct bytes *out)
{
    struct toc_entry entry = {0};
    struct tar_section section;
    uint8_t digest[32];
    bool found = false;

    NEED(rafsi_toc_find(toc, object->len, name, &entry, &found, NULL) == RAFS_OK);
    ck_assert_msg(found, "no %s", name);
    out->len = (size_t)entry.uncompressed_size;
    out->at = malloc(out->len);
    ck_assert_int_eq(rafsi_decode(decoder, entry.compressor, object->at + entry.at,
                                  (size_t)entry.stored_size, out->at, out->len, NULL),
                     RAFS_OK);
    NEED(rafsi_hash_bytes(feed->image.hashes, RAFSI_SHA256, out->at, out->len, digest,
                          NULL) == RAFS_OK);
    ck_assert_mem_eq(digest, entry.digest, 32);
    if (strcmp(name, SECTION_META) == 0 || strcmp(name, SECTION_META_HEADER) == 0)
        return;
    entry.at += entry.stored_size;
    ck_assert_int_eq(rafsi_tar_section(
                         (struct span){object->at + entry.at, TAR_HEADER_BYTES, entry.at},
                         &section, NULL),
                     RAFS_OK);
    ck_assert_str_eq(section.name, name);
    ck_assert_uint_eq(section.size, entry.stored_size);
}

/* The last section, which must have that name. */
static struct tar_section last_section(const struct feed_object *object, const char *name)
{
    uint64_t at = object->len - TAR_HEADER_BYTES;
    struct tar_section section;

    ck_assert_int_eq(
        rafsi_tar_section((struct span){object->at + at, TAR_HEADER_BYTES, at}, &section,
                          NULL),
        RAFS_OK);
    ck_assert_str_eq(section.name, name);
    return section;
}

static void check_boot(const struct bytes *got, size_t size)
{
    size_t same = 0;

    ck_assert_uint_eq(got->len, size);
    while (same < size && got->at[same] == (uint8_t)(same % 1000 * (same % 1000) / 7))
        same++;
    ck_assert_uint_eq(same, size);
}

static const struct {
    uint32_t version, flags;
    bool chunks;
    uint32_t features;
} inlined[] = {
    {6, RAFS_BUILD_INLINE_BOOTSTRAP, true, 0x50000003},
    {6, RAFS_BUILD_INLINE_BOOTSTRAP | RAFS_BUILD_TOC, true, 0x70000023},
    {6, RAFS_BUILD_INLINE_BOOTSTRAP, false, 0x50000003},
    {6, RAFS_BUILD_INLINE_BOOTSTRAP | RAFS_BUILD_TOC, false, 0x70000023},
    {5, RAFS_BUILD_INLINE_BOOTSTRAP, true, 2},
};

START_TEST(bootstrap_is_a_section_of_the_blob)
{
    static struct feed feed;
    struct feed_boot boot = {.feed = &feed, .size = 300000};
    const struct rafsi_boot from = {&boot, feed_boot_write};
    struct feed_object *object = &feed.sink.objects[0];
    struct bytes got = {NULL, 0};
    struct rafsi_decoder *decoder;
    char x[65] = "";

    feed_init(&feed);
    feed.image.version = inlined[_i].version;
    feed.options.flags = inlined[_i].flags;
    if (inlined[_i].chunks)
        feed_usual(&feed);
    ck_assert_int_eq(feed_run(&feed, &from, NULL), RAFS_OK);
    ck_assert_uint_ne(feed.blob, NO_BLOB);
    memset(x, 'x', 64);
    ck_assert_str_eq(boot.seen.id, x);
    ck_assert_uint_eq(boot.seen.features, inlined[_i].features);
    NEED(rafsi_decoder_new(&feed.image.env, &decoder, NULL) == RAFS_OK);
    if (inlined[_i].flags & RAFS_BUILD_TOC) {
        struct tar_section toc = last_section(object, SECTION_TOC);

        check_section(object,
                      (struct span){object->at + toc.at, (size_t)toc.size, toc.at},
                      SECTION_BOOT, decoder, &feed, &got);
        check_boot(&got, boot.size);
        free(got.at);
    } else {
        struct tar_section section = last_section(object, SECTION_BOOT);

        got = (struct bytes){object->at + section.at, (size_t)section.size};
        check_boot(&got, boot.size);
        ck_assert_uint_eq(boot.seen.compressed_size, section.at);
    }
    rafsi_decoder_free(decoder);
    feed_check(&feed);
    feed_drop(&feed);
}
END_TEST

START_TEST(table_of_contents_names_what_is_there)
{
    static const char *const sections[] = {SECTION_META, SECTION_META_HEADER,
                                           SECTION_DIGEST};
    static struct feed feed;
    struct feed_object *object = &feed.sink.objects[0];
    const struct blob_record *record;
    struct rafsi_decoder *decoder;
    struct toc_entry data;
    struct span toc;
    uint8_t digest[32];
    bool found;

    feed_init(&feed);
    feed.options.flags = RAFS_BUILD_TOC;
    feed.image.compressor = _i ? RAFS_COMPRESSOR_LZ4_BLOCK : RAFS_COMPRESSOR_ZSTD;
    feed_usual(&feed);
    ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_OK);
    record = &feed.image.blobs.at[feed.blob].record;
    toc = (struct span){object->at + object->len - record->toc_size,
                        record->toc_size - TAR_HEADER_BYTES, 0};
    ck_assert_uint_eq(last_section(object, SECTION_TOC).size, toc.len);
    NEED(rafsi_hash_bytes(feed.image.hashes, RAFSI_SHA256, toc.at, record->toc_size,
                          digest, NULL) == RAFS_OK);
    ck_assert_mem_eq(digest, record->toc_digest, 32);
    NEED(rafsi_decoder_new(&feed.image.env, &decoder, NULL) == RAFS_OK);
    for (size_t i = 0; i < 3; i++) {
        struct bytes got;

        check_section(object, toc, sections[i], decoder, &feed, &got);
        if (i == 2)
            ck_assert_uint_eq(got.len, record->chunk_count * 32);
        free(got.at);
    }
    NEED(rafsi_toc_find(toc, object->len, SECTION_BLOB, &data, &found, NULL) == RAFS_OK);
    ck_assert(found);
    ck_assert_uint_eq(data.stored_size, rafsi_blob_data_bytes(record));
    NEED(rafsi_hash_bytes(feed.image.hashes, RAFSI_SHA256, object->at,
                          (size_t)data.stored_size + TAR_HEADER_BYTES, digest,
                          NULL) == RAFS_OK);
    ck_assert_mem_eq(digest, data.digest, 32);
    rafsi_decoder_free(decoder);
    feed_drop(&feed);
}
END_TEST

enum { CHUNK = 64 << 10 };

/* Three chunks; the same, but for the last one; the same, in a larger file; a file that
 * holds one chunk twice. */
static void feed_alike(struct feed *feed)
{
    feed_init(feed);
    feed_add(feed, 3 * CHUNK, 2, FEED_READ);
    feed_add(feed, 3 * CHUNK, 2, FEED_PIECES);
    feed->files[1].tail = CHUNK;
    feed_add(feed, 3 * CHUNK + 1, 2, FEED_READ);
    feed_add(feed, 2 * CHUNK, 0, FEED_READ);
}

START_TEST(each_level_stores_less_and_says_what_it_saved)
{
    static const struct {
        uint32_t dedup, stored, file, image;
    } levels[] = {{RAFS_DEDUP_NONE, 12, 0, 0},
                  {RAFS_DEDUP_FILE, 10, 2, 0},
                  {RAFS_DEDUP_CHUNK, 6, 2, 4}};
    static struct feed feed;
    struct rafsi_data_count count;

    feed_alike(&feed);
    feed.options.dedup = levels[_i].dedup;
    ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_OK);
    rafsi_data_counted(feed.data, &count);
    ck_assert_uint_eq(count.chunks, 12);
    ck_assert_uint_eq(count.bytes, 11 * CHUNK + 1);
    ck_assert_uint_eq(count.stored_chunks, levels[_i].stored);
    ck_assert_uint_eq(count.same_chunks, 12 - levels[_i].stored);
    ck_assert_uint_eq(count.same_file_bytes, levels[_i].file * CHUNK);
    ck_assert_uint_eq(count.same_image_bytes, levels[_i].image * CHUNK);
    ck_assert_uint_eq(count.stored, feed.sink.objects[0].len);
    feed_check(&feed);
    feed_drop(&feed);
}
END_TEST

/* Knows one chunk: the second of those files. */
struct known {
    struct feed *feed;
    uint32_t number; /* once it was added */
    uint32_t blob;
    uint32_t asked;
    uint8_t digest[32];
};

static int find_known(void *user, const uint8_t digest[32], uint32_t size,
                      uint32_t *number, rafs_error *err)
{
    struct known *known = user;
    struct build_chunk chunk = {.uncompressed_size = size};

    known->asked++;
    if (memcmp(digest, known->digest, 32) != 0)
        return RAFS_E_NOENT;
    ck_assert_uint_eq(known->number, UINT32_MAX); /* it is asked once only */
    memcpy(chunk.digest, digest, 32);
    ck_assert_int_eq(rafsi_blobs_add(&known->feed->image.blobs, &chunk.blob, err),
                     RAFS_OK);
    known->blob = chunk.blob;
    ck_assert_int_eq(
        rafsi_chunks_add(&known->feed->image.chunks, &chunk, &known->number, err),
        RAFS_OK);
    *number = known->number;
    return RAFS_OK;
}

/* The digest of chunk i of a file. */
static void digest_of(struct feed *feed, size_t file, uint32_t i, uint8_t out[32])
{
    uint8_t *bytes = malloc(CHUNK);

    NEED(bytes != NULL);
    feed_fill(&feed->files[file], (uint64_t)i * CHUNK, bytes, CHUNK);
    NEED(rafsi_hash_bytes(feed->image.hashes, RAFSI_BLAKE3, bytes, CHUNK, out, NULL) ==
         RAFS_OK);
    free(bytes);
}

START_TEST(chunks_that_are_known_are_referred_to)
{
    static struct feed feed;
    struct known dictionary = {&feed, UINT32_MAX, 0, 0, {0}};
    struct known index = dictionary;
    const struct rafsi_known from[2] = {{&dictionary, find_known}, {&index, find_known}};
    struct rafsi_data_count count;

    feed_alike(&feed);
    digest_of(&feed, 0, 1, dictionary.digest); /* in three files */
    digest_of(&feed, 3, 0, index.digest);      /* twice in one file */
    feed.options.dictionary = &from[0];
    feed.options.index = &from[1];
    ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_OK);
    rafsi_data_counted(feed.data, &count);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(feed.files[i].inode.chunks[1], dictionary.number);
    ck_assert_uint_eq(feed.files[3].inode.chunks[0], index.number);
    ck_assert_uint_eq(feed.files[3].inode.chunks[1], index.number);
    ck_assert_uint_eq(dictionary.asked, 6); /* for each distinct chunk */
    ck_assert_uint_eq(index.asked, 5);
    ck_assert_uint_eq(count.stored_chunks, 4);
    ck_assert_uint_eq(count.same_dictionary_bytes, 3 * CHUNK);
    ck_assert_uint_eq(count.same_index_bytes, 2 * CHUNK);
    ck_assert_uint_eq(count.same_file_bytes, CHUNK);
    ck_assert_uint_eq(count.same_image_bytes, 2 * CHUNK);
    feed_drop(&feed);
}
END_TEST

START_TEST(each_blob_holds_what_came_since_the_last)
{
    static struct feed feed;
    uint32_t none = 0;

    feed_alike(&feed);
    feed.options.batch_size = 16384;
    ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafsi_data_end_blob(feed.data, 1, NULL, &none, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(none, NO_BLOB);
    for (size_t i = 0; i < feed.file_count; i++)
        free(feed.files[i].inode.chunks);
    memset(feed.files, 0, sizeof(feed.files));
    feed.file_count = 0;
    feed_add(&feed, 3 * CHUNK, 2, FEED_READ); /* there already */
    feed_add(&feed, 1000, 77, FEED_READ);
    ck_assert_int_eq(feed_all(&feed, NULL), RAFS_OK);
    ck_assert_int_eq(rafsi_data_end_blob(feed.data, 2, NULL, &feed.blob, NULL, &feed.err),
                     RAFS_OK);
    ck_assert_uint_eq(feed.blob, 1);
    ck_assert_uint_eq(feed.image.blobs.at[1].layer, 2);
    ck_assert_uint_eq(feed.image.blobs.at[1].record.chunk_count, 1);
    ck_assert_uint_eq(
        rafsi_chunks_at(&feed.image.chunks, feed.files[0].inode.chunks[2])->blob, 0);
    ck_assert_uint_eq(
        rafsi_chunks_at(&feed.image.chunks, feed.files[1].inode.chunks[0])->blob, 1);
    feed_drop(&feed);
}
END_TEST

START_TEST(plain_v6_blobs_lie_at_their_uncompressed_offsets)
{
    static struct feed feed;

    feed_init(&feed);
    feed.image.compressor = RAFS_COMPRESSOR_NONE;
    feed_usual(&feed);
    ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_OK);
    for (uint32_t i = 0; i < feed.image.chunks.count; i++) {
        const struct build_chunk *chunk = rafsi_chunks_at(&feed.image.chunks, i);
        uint64_t end = chunk->compressed_offset + chunk->compressed_size;

        ck_assert_uint_eq(chunk->compressed_offset, chunk->uncompressed_offset);
        /* What lies up to the next one is zero: a page of a mapped file shows it. */
        ck_assert(rafsi_all_zero(feed.sink.objects[0].at + end, -end % 4096));
    }
    ck_assert_uint_eq(feed.image.blobs.at[0].record.ci_offset,
                      feed.image.blobs.at[0].record.uncompressed_size);
    feed_drop(&feed);
}
END_TEST

START_TEST(holes_cost_neither_memory_nor_reading)
{
    static struct feed feed;
    struct rafsi_data_count count;
    size_t peak;

    feed_init(&feed);
    feed.image.chunk_size = 1 << 20;
    feed_add(&feed, 8ull << 30 | 4097, 0, FEED_ZEROS);
    ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_OK);
    rafsi_data_counted(feed.data, &count);
    ck_assert_uint_eq(count.stored_chunks, 2);
    ck_assert_uint_eq(count.chunks, 8193);
    peak = atomic_load(&feed.watch.peak_bytes);
    ck_assert_uint_lt(peak, 8 << 20);
    feed_drop(&feed);
}
END_TEST

START_TEST(memory_does_not_grow_with_what_is_fed)
{
    static struct feed feed;
    size_t peak;

    feed_init(&feed);
    feed.image.chunk_size = 1 << 20;
    feed.options.batch_size = _i ? 1 << 20 : 0;
    for (uint32_t i = 0; i < 6; i++) {
        feed_add(&feed, 2 << 20, i * 4 + 2, i % 2 ? FEED_READ : FEED_PIECES);
        for (uint32_t j = 0; j < 10; j++)
            feed_add(&feed, 100000 + j, i * 40 + j * 4 + 3, FEED_READ);
    }
    ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_OK);
    feed_check(&feed);
    /* Three chunks a thread and the one that is filled; batches come on top. */
    peak = atomic_load(&feed.watch.peak_bytes);
    ck_assert_uint_lt(peak, _i ? 17 << 20 : 9 << 20);
    feed_drop(&feed);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, bootstrap_is_a_section_of_the_blob, 0, 5);
    tcase_add_loop_test(tcase, table_of_contents_names_what_is_there, 0, 2);
    tcase_add_loop_test(tcase, each_level_stores_less_and_says_what_it_saved, 0, 3);
    tcase_add_test(tcase, chunks_that_are_known_are_referred_to);
    tcase_add_test(tcase, each_blob_holds_what_came_since_the_last);
    tcase_add_test(tcase, plain_v6_blobs_lie_at_their_uncompressed_offsets);
    tcase_add_test(tcase, holes_cost_neither_memory_nor_reading);
    tcase_add_loop_test(tcase, memory_does_not_grow_with_what_is_fed, 0, 2);
    tcase_add_loop_test(
        tcase, blob_decodes_to_what_was_fed_and_does_not_depend_on_threads, 0, FORMS);
}

int main(void)
{
    Suite *suite = suite_create("data");
    TCase *tcase = tcase_create("data");
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 300);
    add(tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
