/* SPDX-License-Identifier: Apache-2.0 */
/* What a check of the whole image finds where a blob and its bootstrap disagree. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "rafs/rafs.h"

/* Positions in v6-toc-apart. Source: bootstrap-v6.md, 5 and 9; blob.md, 14. */
enum {
    CHUNK_TABLE_AT = 0x4000,
    RECORD_COMPRESSED_OFFSET = 48,
    RECORD_INDEX = 72,
    TOC_DIGEST_AT = 4096 + 136,
    CI_AT = 11335,
    CI_HEADER_AT = 11437,
    DIGESTS_AT = 16045,
    TOC_AT = 17837 - 1024,
    TOC_BYTES = 1024,
    DIGESTS_ENTRY_AT = TOC_AT + 3 * 128,
    DIGESTS_BYTES = 8 * 32
};

static struct golden golden;

/* The finding that was looked for, and how many others there were. */
struct findings {
    const char *object; /* begins so */
    rafs_error match;   /* the last of them */
    size_t matches, others;
};

static void collect(void *user, const rafs_error *finding)
{
    struct findings *findings = user;

    if (strncmp(finding->object, findings->object, strlen(findings->object)) != 0) {
        findings->others++;
        fprintf(stderr, "also: %s: %s\n", finding->object, finding->text);
        return;
    }
    findings->matches++;
    findings->match = *finding;
}

static void setup(void)
{
    golden_load(golden_folder(), "v6-toc-apart", &golden);
    NEED(golden.blob_count == 1);
    NEED(memcmp(golden.blob[0].at + DIGESTS_ENTRY_AT + 8, "blob.digest", 12) == 0);
}

static void teardown(void)
{
    golden_drop(&golden);
}

static struct findings check(const char *object)
{
    struct findings findings = {object, RAFS_ERROR_INIT, 0, 0};
    rafs_check_options how = RAFS_CHECK_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof(result)};
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend *backend;
    rafs_image *image;

    NEED(rafs_backend_new_memory(NULL, golden.blob[0].at, golden.blob[0].len, NULL,
                                 &backend, NULL) == RAFS_OK);
    options.backends = &backend;
    options.backend_count = 1;
    NEED(rafs_image_open_memory(golden.boot.at, golden.boot.len, &options, &image, NULL,
                                NULL) == RAFS_OK);
    how.user = &findings;
    how.finding = collect;
    ck_assert_int_eq(rafs_image_check(image, &how, &result, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(result.complete, 1);
    ck_assert_uint_eq(result.corrupt, findings.matches + findings.others);
    rafs_image_close(image);
    rafs_backend_free(backend);
    return findings;
}

static void found_once(struct findings findings, uint64_t offset, const char *text)
{
    ck_assert_uint_eq(findings.matches, 1);
    ck_assert_int_eq(findings.match.code, RAFS_E_CORRUPT);
    ck_assert_uint_eq(findings.match.has_offset, 1);
    ck_assert_uint_eq(findings.match.offset, offset);
    ck_assert_ptr_nonnull(strstr(findings.match.object, golden.blob_id[0]));
    ck_assert_msg(strstr(findings.match.text, text) != NULL, "%s", findings.match.text);
}

static void sha256(const uint8_t *bytes, size_t len, uint8_t out[32])
{
    NEED(rafs_digest_bytes(RAFS_DIGEST_SHA256, bytes, len, out) == RAFS_OK);
}

START_TEST(a_good_image_has_no_findings)
{
    struct findings findings = check("");

    ck_assert_uint_eq(findings.matches, 0);
}
END_TEST

START_TEST(toc_that_the_bootstrap_does_not_name_is_found)
{
    golden.blob[0].at[TOC_AT + 100] ^= 1; /* in what an entry reserves */
    found_once(check("table of contents of blob "), TOC_AT, "bootstrap names");
}
END_TEST

static const struct {
    const char *object;
    size_t at; /* of the section */
    size_t bit_at;
} sections[] = {
    /* The header is zeros there, so nothing else notices. */
    {"blob.meta.header of blob ", CI_HEADER_AT, CI_HEADER_AT + 1000},
    {"blob.digest of blob ", DIGESTS_AT, DIGESTS_AT + 33},
};

START_TEST(section_that_is_not_the_tocs_is_found)
{
    struct findings findings;

    golden.blob[0].at[sections[_i].bit_at] ^= 1;
    findings = check(sections[_i].object);
    found_once(findings, sections[_i].at, "table of contents");
    ck_assert_uint_eq(findings.others, 0);
}
END_TEST

/* As in a blob that carries its bootstrap: the TOC proves nothing, but has to be right.
 */
START_TEST(sections_are_compared_without_a_toc_digest_too)
{
    memset(golden.boot.at + TOC_DIGEST_AT, 0, 32);
    ck_assert_uint_eq(check("").matches, 0);
    golden.blob[0].at[DIGESTS_AT] ^= 1;
    found_once(check("blob.digest of blob "), DIGESTS_AT, "table of contents");
}
END_TEST

START_TEST(compression_information_that_does_not_decode_is_found_as_a_section_too)
{
    struct findings findings;

    golden.blob[0].at[CI_AT] ^= 1;
    findings = check("blob.meta of blob ");
    ck_assert_uint_eq(findings.matches, 1);
    ck_assert_uint_ge(findings.others, 1);
}
END_TEST

START_TEST(digest_that_is_not_the_chunk_tables_is_found)
{
    uint8_t *blob = golden.blob[0].at;
    struct findings findings;

    blob[DIGESTS_AT + 3 * 32] ^= 1;
    sha256(blob + DIGESTS_AT, DIGESTS_BYTES, blob + DIGESTS_ENTRY_AT + 24);
    sha256(blob + TOC_AT, TOC_BYTES, golden.boot.at + TOC_DIGEST_AT);
    findings = check("chunk 3 of blob ");
    found_once(findings, DIGESTS_AT + 3 * 32, "blob.digest");
    ck_assert_uint_eq(findings.others, 0);
}
END_TEST

START_TEST(place_that_is_not_the_chunk_tables_is_found)
{
    uint8_t *record = golden.boot.at + CHUNK_TABLE_AT;
    char object[64];
    struct findings findings;

    snprintf(object, sizeof(object), "chunk %u of blob ", record[RECORD_INDEX]);
    record[RECORD_COMPRESSED_OFFSET] ^= 1;
    findings = check(object);
    /* The first is that the chunk cannot be read there. */
    ck_assert_uint_eq(findings.matches, 2);
    ck_assert_uint_eq(findings.match.offset, CI_AT);
    ck_assert_ptr_nonnull(strstr(findings.match.text, "compression information"));
    ck_assert_uint_eq(findings.others, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check_blob");
    TCase *tests = tcase_create("blob against bootstrap");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_good_image_has_no_findings);
    tcase_add_test(tests, toc_that_the_bootstrap_does_not_name_is_found);
    tcase_add_loop_test(tests, section_that_is_not_the_tocs_is_found, 0,
                        sizeof(sections) / sizeof(sections[0]));
    tcase_add_test(tests, sections_are_compared_without_a_toc_digest_too);
    tcase_add_test(
        tests, compression_information_that_does_not_decode_is_found_as_a_section_too);
    tcase_add_test(tests, digest_that_is_not_the_chunk_tables_is_found);
    tcase_add_test(tests, place_that_is_not_the_chunk_tables_is_found);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
