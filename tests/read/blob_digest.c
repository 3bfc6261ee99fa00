/* SPDX-License-Identifier: Apache-2.0 */
/* A v6 image whose chunk table is gone: digests come out of the blob, or not at all. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "rafs/rafs.h"
#include "watch.h"

/* Positions in the bootstrap of v6-toc-apart; of the one blob's record they are counted
 * from its start. Source: bootstrap-v6.md, 3 and 5. */
enum {
    CHUNK_TABLE_SIZE_AT = 1152 + 32,
    BLOB_RECORD_AT = 4096,
    FEATURES = 84,
    TOC_SIZE = 104,
    CI_OFFSET = 112,
    CI_SIZE = 120,
    TOC_DIGEST = 136
};
/* In the blob: the TOC's four entries, the last of which is blob.digest, and a header. */
enum { TOC_BYTES = 1024, ENTRY_BYTES = 128, ENTRIES = 4, CHUNKS = 8, DIGEST_BYTES = 32 };

static const char *const paths[] = {"/noise", "/one", "/text"};
enum { FILES = 3, FILE_MAX = 18000 };

static struct golden golden;
static uint8_t *boot; /* changed by tests, as blob is */
static uint8_t *blob;
static size_t boot_len, blob_len;
static uint8_t content[FILES][FILE_MAX];
static size_t sizes[FILES];

struct opened {
    rafs_backend *backends[2];
    rafs_image *image;
};

static int open_over(const uint8_t *bootstrap, const uint8_t *first,
                     const uint8_t *second, const rafs_limits *limits, struct opened *out)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    const uint8_t *blobs[2] = {first, second};

    memset(out, 0, sizeof(*out));
    for (; options.backend_count < 2 && blobs[options.backend_count];
         options.backend_count++)
        NEED(rafs_backend_new_memory(NULL, blobs[options.backend_count], blob_len, NULL,
                                     &out->backends[options.backend_count],
                                     NULL) == RAFS_OK);
    options.backends = out->backends;
    options.limits = limits;
    return rafs_image_open_memory(bootstrap, boot_len, &options, &out->image, NULL, NULL);
}

static void close_over(struct opened *opened)
{
    rafs_image_close(opened->image);
    rafs_backend_free(opened->backends[0]);
    rafs_backend_free(opened->backends[1]);
}

static int read_file(const struct opened *opened, size_t i, uint8_t *buf, size_t *nread,
                     rafs_error *err)
{
    uint64_t ino;

    NEED(rafs_image_resolve(opened->image, paths[i], 0, &ino, NULL) == RAFS_OK);
    return rafs_image_read(opened->image, ino, 0, FILE_MAX, buf, nread, NULL, err);
}

static uint8_t *copy_of(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.len);

    NEED(copy);
    memcpy(copy, bytes.at, bytes.len);
    return copy;
}

static void setup(void)
{
    struct opened good;

    golden_load(golden_folder(), "v6-toc-apart", &golden);
    NEED(golden.blob_count == 1);
    boot = copy_of(golden.boot);
    blob = copy_of(golden.blob[0]);
    boot_len = golden.boot.len;
    blob_len = golden.blob[0].len;
    NEED(open_over(boot, blob, NULL, NULL, &good) == RAFS_OK);
    for (size_t i = 0; i < FILES; i++)
        NEED(read_file(&good, i, content[i], &sizes[i], NULL) == RAFS_OK && sizes[i] > 0);
    close_over(&good);
    memset(boot + CHUNK_TABLE_SIZE_AT, 0, 8);
}

static void teardown(void)
{
    free(boot);
    free(blob);
    golden_drop(&golden);
}

static uint8_t *record_field(size_t at)
{
    return boot + BLOB_RECORD_AT + at;
}

static uint64_t record_u64(size_t at)
{
    uint64_t value = 0;

    for (size_t i = 8; i > 0; i--)
        value = value << 8 | record_field(at)[i - 1];
    return value;
}

static void sha256(const uint8_t *bytes, size_t len, uint8_t out[DIGEST_BYTES])
{
    NEED(rafs_digest_bytes(RAFS_DIGEST_SHA256, bytes, len, out) == RAFS_OK);
}

static uint8_t *toc(void)
{
    return blob + blob_len - TOC_BYTES;
}

/* The digests lie before their tar header, which lies before the TOC. */
static uint8_t *digests(void)
{
    return toc() - 512 - CHUNKS * DIGEST_BYTES;
}

struct outcome {
    size_t right, refused;
    rafs_error first; /* of those refused */
};

/* Read all files; a wrong byte is the end of the test. */
static struct outcome read_all(const uint8_t *first, const uint8_t *second)
{
    struct outcome outcome = {0, 0, RAFS_ERROR_INIT};
    static uint8_t buf[FILE_MAX];
    struct opened opened;

    ck_assert_int_eq(open_over(boot, first, second, NULL, &opened), RAFS_OK);
    for (size_t i = 0; i < FILES; i++) {
        rafs_error err = RAFS_ERROR_INIT;
        size_t nread = 0;
        int rc = read_file(&opened, i, buf, &nread, &err);

        if (rc == RAFS_OK) {
            ck_assert_uint_eq(nread, sizes[i]);
            ck_assert_mem_eq(buf, content[i], nread);
            outcome.right++;
            continue;
        }
        ck_assert_int_eq(rc, err.code);
        ck_assert_uint_eq(nread, 0);
        if (outcome.refused++ == 0)
            outcome.first = err;
    }
    close_over(&opened);
    return outcome;
}

static void all_refused(const char *text)
{
    struct outcome outcome = read_all(blob, NULL);

    ck_assert_uint_eq(outcome.refused, FILES);
    ck_assert_int_eq(outcome.first.code, RAFS_E_CORRUPT);
    ck_assert_msg(strstr(outcome.first.text, text) != NULL, "%s", outcome.first.text);
}

START_TEST(files_read_without_a_chunk_table)
{
    ck_assert_uint_eq(read_all(blob, NULL).right, FILES);
}
END_TEST

START_TEST(extents_are_those_that_the_chunk_table_gives)
{
    struct opened with, without;
    rafs_extent a[CHUNKS], b[CHUNKS];
    size_t count_a, count_b;
    uint64_t ino;

    ck_assert_int_eq(open_over(golden.boot.at, blob, NULL, NULL, &with), RAFS_OK);
    ck_assert_int_eq(open_over(boot, blob, NULL, NULL, &without), RAFS_OK);
    for (size_t i = 0; i < FILES; i++) {
        ck_assert_int_eq(rafs_image_resolve(with.image, paths[i], 0, &ino, NULL),
                         RAFS_OK);
        ck_assert_int_eq(
            rafs_image_get_extents(with.image, ino, 0, a, CHUNKS, &count_a, NULL, NULL),
            RAFS_OK);
        ck_assert_int_eq(rafs_image_get_extents(without.image, ino, 0, b, CHUNKS,
                                                &count_b, NULL, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(count_a, count_b);
        ck_assert_uint_gt(count_a, 0);
        ck_assert_mem_eq(a, b, count_a * sizeof(a[0]));
    }
    close_over(&with);
    close_over(&without);
}
END_TEST

/* The digest of the TOC over its entries alone, as the Go converter computes it. */
START_TEST(toc_digest_may_leave_the_tar_header_out)
{
    sha256(toc(), ENTRIES * ENTRY_BYTES, record_field(TOC_DIGEST));
    ck_assert_uint_eq(read_all(blob, NULL).right, FILES);
}
END_TEST

START_TEST(toc_is_found_where_the_bootstrap_names_no_size)
{
    memset(record_field(TOC_SIZE), 0, 4);
    ck_assert_uint_eq(read_all(blob, NULL).right, FILES);
}
END_TEST

START_TEST(one_bit_of_the_toc_refuses_every_file)
{
    for (size_t i = 0; i < TOC_BYTES; i++) {
        toc()[i] ^= (uint8_t)(1 << i % 8);
        all_refused("table of contents");
        toc()[i] ^= (uint8_t)(1 << i % 8);
    }
}
END_TEST

START_TEST(one_bit_of_the_digests_refuses_every_file)
{
    for (size_t i = 0; i < CHUNKS * DIGEST_BYTES; i++) {
        digests()[i] ^= (uint8_t)(1 << i % 8);
        all_refused("blob.digest");
        digests()[i] ^= (uint8_t)(1 << i % 8);
    }
}
END_TEST

/* The header's copy of the features, and contexts of batches, which there are none of. */
static bool header_is_free(size_t at)
{
    return (at >= 4 && at < 8) || at >= 40;
}

/* Compression information is believed only as far as the digests bear it out: a lie gives
 * an error or, in a bit without meaning, the right bytes. */
START_TEST(no_bit_of_the_compression_information_gives_a_wrong_byte)
{
    size_t at = record_u64(CI_OFFSET);
    size_t array = record_u64(CI_SIZE);
    size_t len = array + 64; /* with the header's fields */
    size_t harmless = 0;

    NEED(at + len < blob_len);
    for (size_t i = 0; i < len * 8; i++) {
        struct outcome outcome;

        blob[at + i / 8] ^= (uint8_t)(1 << i % 8);
        outcome = read_all(blob, NULL);
        if (i / 8 < array)
            harmless += outcome.right == FILES;
        else if (!header_is_free(i / 8 - array))
            ck_assert_msg(outcome.refused == FILES, "byte %zu of the header", i / 8);
        if (outcome.refused > 0)
            ck_assert_msg(outcome.first.code == RAFS_E_CORRUPT ||
                              outcome.first.code == RAFS_E_UNSUPPORTED,
                          "bit %zu: %d %s", i, outcome.first.code, outcome.first.text);
        blob[at + i / 8] ^= (uint8_t)(1 << i % 8);
    }
    ck_assert_uint_lt(harmless, array); /* less than one bit of eight */
}
END_TEST

/* What the bootstrap has to say before anything in the blob counts. */
static const struct {
    const char *why;
    size_t at;
    uint8_t clear[DIGEST_BYTES]; /* bits */
    size_t len;
} unproved[] = {
    {"no TOC digest", TOC_DIGEST, {0}, DIGEST_BYTES},
    {"no INLINED_CHUNK_DIGEST", FEATURES, {(uint8_t)~0x20}, 1},
    {"no HAS_TOC", FEATURES + 3, {(uint8_t)~0x20}, 1},
};

START_TEST(digests_that_the_bootstrap_does_not_vouch_for_are_none)
{
    for (size_t i = 0; i < unproved[_i].len; i++)
        record_field(unproved[_i].at)[i] &= unproved[_i].clear[i];
    all_refused("no digest for chunk");
}
END_TEST

/* A blob with other digests whose TOC is right in itself. */
static void seal(void)
{
    uint8_t *entry = toc() + (ENTRIES - 1) * ENTRY_BYTES;

    NEED(strcmp((const char *)entry + 8, "blob.digest") == 0);
    sha256(digests(), CHUNKS * DIGEST_BYTES, entry + 24);
}

START_TEST(toc_that_was_made_anew_is_refused)
{
    digests()[0] ^= 1;
    seal();
    all_refused("table of contents");
}
END_TEST

START_TEST(an_all_zero_digest_is_none)
{
    struct outcome outcome;

    /* Chunk 0 and 1 are the file /noise. */
    memset(digests(), 0, DIGEST_BYTES);
    seal();
    sha256(toc(), TOC_BYTES, record_field(TOC_DIGEST));
    outcome = read_all(blob, NULL);
    ck_assert_uint_eq(outcome.right, FILES - 1);
    ck_assert_int_eq(outcome.first.code, RAFS_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(outcome.first.text, "no digest for chunk 0"));
}
END_TEST

/* Parts of a blob at the first source that are wrong, and right at the second. */
static const char *const lies[] = {"toc", "digests", "compression information", "data"};

START_TEST(a_source_that_lies_is_made_up_for_by_the_next)
{
    uint8_t *lying = copy_of(golden.blob[0]);
    size_t at[] = {blob_len - TOC_BYTES, (size_t)(digests() - blob),
                   record_u64(CI_OFFSET), 100};
    struct outcome outcome;

    lying[at[_i]] ^= 1;
    outcome = read_all(lying, blob);
    free(lying);
    ck_assert_msg(outcome.right == FILES, "%s: %s", lies[_i], outcome.first.text);
}
END_TEST

START_TEST(more_digests_than_the_limit_allows_are_refused_by_its_name)
{
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .blob_meta_bytes = CHUNKS * DIGEST_BYTES - 1};
    rafs_error err = RAFS_ERROR_INIT;
    struct opened opened;
    uint8_t buf[FILE_MAX];
    size_t nread;

    ck_assert_int_eq(open_over(boot, blob, NULL, &limits, &opened), RAFS_OK);
    ck_assert_int_eq(read_file(&opened, 0, buf, &nread, &err), RAFS_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "blob_meta_bytes"));
    close_over(&opened);
}
END_TEST

/* Read /noise with the n-th allocation failing; false when none was left to fail. */
static bool survives_allocation(struct watch *watch, size_t n)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend *backend = NULL;
    rafs_image *image = NULL;
    uint8_t buf[FILE_MAX];
    size_t nread = 0;
    uint64_t ino;
    int rc;

    watch_fail_at(watch, n);
    rc = rafs_backend_new_memory(NULL, blob, blob_len, &watch->env, &backend, NULL);
    options.backends = &backend;
    options.backend_count = 1;
    options.env = &watch->env;
    if (rc == RAFS_OK)
        rc = rafs_image_open_memory(boot, boot_len, &options, &image, NULL, NULL);
    if (rc == RAFS_OK)
        rc = rafs_image_resolve(image, paths[0], 0, &ino, NULL);
    if (rc == RAFS_OK)
        rc = rafs_image_read(image, ino, 0, FILE_MAX, buf, &nread, NULL, NULL);
    ck_assert(rc == RAFS_OK || rc == RAFS_E_NOMEM);
    if (rc == RAFS_OK)
        ck_assert_mem_eq(buf, content[0], sizes[0]);
    rafs_image_close(image);
    rafs_backend_free(backend);
    ck_assert_uint_eq(atomic_load(&watch->live), 0);
    return atomic_load(&watch->failed);
}

START_TEST(every_allocation_may_fail)
{
    struct watch watch;
    size_t n = 0;

    watch_init(&watch);
    while (survives_allocation(&watch, n))
        n++;
    ck_assert_uint_gt(n, 10);
}
END_TEST

START_TEST(without_a_source_the_error_is_the_sources)
{
    struct outcome outcome = read_all(NULL, NULL);

    ck_assert_uint_eq(outcome.refused, FILES);
    ck_assert_int_eq(outcome.first.code, RAFS_E_BACKEND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blob_digest");
    TCase *tests = tcase_create("digests out of a blob");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, files_read_without_a_chunk_table);
    tcase_add_test(tests, extents_are_those_that_the_chunk_table_gives);
    tcase_add_test(tests, toc_digest_may_leave_the_tar_header_out);
    tcase_add_test(tests, toc_is_found_where_the_bootstrap_names_no_size);
    tcase_add_test(tests, one_bit_of_the_toc_refuses_every_file);
    tcase_add_test(tests, one_bit_of_the_digests_refuses_every_file);
    tcase_add_test(tests, no_bit_of_the_compression_information_gives_a_wrong_byte);
    tcase_add_loop_test(tests, digests_that_the_bootstrap_does_not_vouch_for_are_none, 0,
                        sizeof(unproved) / sizeof(unproved[0]));
    tcase_add_test(tests, toc_that_was_made_anew_is_refused);
    tcase_add_test(tests, an_all_zero_digest_is_none);
    tcase_add_loop_test(tests, a_source_that_lies_is_made_up_for_by_the_next, 0,
                        sizeof(lies) / sizeof(lies[0]));
    tcase_add_test(tests, more_digests_than_the_limit_allows_are_refused_by_its_name);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, without_a_source_the_error_is_the_sources);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
