/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs of the reference builder: what they say of themselves is what the bootstrap says.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "rafs/image.h"
#include "tree/tree.h"

#define FOLDERS_MAX 64

static char folders[FOLDERS_MAX][512];
static int folder_count;

static void add_folders(const char *root)
{
    DIR *dir = opendir(root);
    struct dirent *entry;

    if (!dir) {
        fprintf(stderr, "no %s: its images are left out\n", root);
        return;
    }
    while ((entry = readdir(dir)) && folder_count < FOLDERS_MAX)
        if (strncmp(entry->d_name, "v6-", 3) == 0)
            snprintf(folders[folder_count++], sizeof(folders[0]), "%.200s/%.200s", root,
                     entry->d_name);
    closedir(dir);
}

/* A whole file, exactly sized on the heap. */
static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;
    long end;

    if (!file)
        return NULL;
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    end = ftell(file);
    ck_assert_int_gt(end, 0);
    rewind(file);
    bytes = malloc((size_t)end);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)end, file), (size_t)end);
    fclose(file);
    *len = (size_t)end;
    return bytes;
}

/* The uncompressed CI array. */
static uint8_t *unpack(const struct blob_record *blob, const uint8_t *stored)
{
    size_t size = (size_t)blob->ci_uncompressed_size;
    size_t stored_size = (size_t)blob->ci_compressed_size;
    uint8_t *out = malloc(size);

    ck_assert_ptr_nonnull(out);
    if (blob->ci_compressor == RAFS_COMPRESSOR_NONE || stored_size == size)
        memcpy(out, stored, size);
    else if (blob->ci_compressor == RAFS_COMPRESSOR_ZSTD)
        ck_assert_uint_eq(ZSTD_decompress(out, size, stored, stored_size), size);
    else
        ck_assert_int_eq(LZ4_decompress_safe((const char *)stored, (char *)out,
                                             (int)stored_size, (int)size),
                         (int)size);
    return out;
}

/* Entries decode; those of chunks in the chunk table tell the same as it. */
static void compare(const struct rafsi_tree *tree, uint32_t index, struct span array,
                    const struct ci_header *header)
{
    const struct blob_record *blob = &tree->blobs[index];
    struct ci_entry entry;
    struct ci_batch batch;
    rafs_error err;

    for (uint64_t i = 0; i < header->entries; i++) {
        int rc = rafsi_ci_entry(array, header, blob, i, &entry, &err);

        ck_assert_msg(rc == RAFS_OK, "%s", err.text);
        if (entry.flags & CI_BATCH)
            ck_assert_int_eq(rafsi_ci_batch(array, header, blob, &entry, &batch, &err),
                             RAFS_OK);
    }
    for (uint64_t i = 0; i < rafsi_v6_chunk_count(tree); i++) {
        struct chunk_record record;

        ck_assert_int_eq(rafsi_v6_chunk_at(tree, i, &record, &err), RAFS_OK);
        if (record.blob != index)
            continue;
        ck_assert_int_eq(rafsi_ci_entry(array, header, blob, record.index, &entry, &err),
                         RAFS_OK);
        ck_assert_uint_eq(entry.uncompressed_offset, record.uncompressed_offset);
        ck_assert_uint_eq(entry.uncompressed_size, record.uncompressed_size);
        if (entry.flags & CI_BATCH)
            continue;
        ck_assert_uint_eq(entry.compressed_offset, record.compressed_offset);
        ck_assert_uint_eq(entry.compressed_size, record.compressed_size);
        ck_assert_uint_eq(entry.flags & CI_COMPRESSED, record.flags & CHUNK_COMPRESSED);
        if (entry.flags & CI_HAS_CRC32)
            ck_assert_uint_eq(entry.crc32, record.crc32);
    }
}

/* Counts the blobs that were looked at. */
static int compare_blobs(const struct rafsi_tree *tree, const char *folder)
{
    const uint32_t other = RAFS_BLOB_SEPARATE | RAFS_BLOB_ENCRYPTED | RAFS_BLOB_ZRAN;
    int seen = 0;

    for (uint32_t i = 0; i < tree->super.blob_count; i++) {
        const struct blob_record *blob = &tree->blobs[i];
        struct ci_header header;
        uint8_t *bytes, *array;
        uint64_t header_at = blob->ci_offset + blob->ci_compressed_size;
        struct span span;
        char path[700];
        size_t len = 0;
        rafs_error err;

        snprintf(path, sizeof(path), "%s/blobs/%s", folder, blob->id);
        bytes = blob->features & other ? NULL : read_file(path, &len);
        if (!bytes)
            continue; /* a blob of a dictionary lies with the other image */
        ck_assert(rafsi_within(header_at, CI_HEADER_BYTES, len));
        span = (struct span){bytes + header_at, CI_HEADER_BYTES, header_at};
        ck_assert_msg(rafsi_ci_header(span, blob, &header, &err) == RAFS_OK, "%s: %s",
                      path, err.text);
        array = unpack(blob, bytes + blob->ci_offset);
        span = (struct span){array, (size_t)blob->ci_uncompressed_size, 0};
        compare(tree, i, span, &header);
        seen++;
        free(array);
        free(bytes);
    }
    return seen;
}

START_TEST(chunk_information_tells_what_the_chunk_table_tells)
{
    rafs_limits limits = {.struct_size = sizeof(limits), .chunk_index_bytes = 1 << 20};
    struct rafsi_source *source;
    struct rafsi_tree *tree = NULL;
    struct rafsi_env env;
    uint8_t *bytes;
    char path[600];
    size_t len;
    int rc;

    snprintf(path, sizeof(path), "%s/image.boot", folders[_i]);
    bytes = read_file(path, &len);
    if (!bytes)
        return; /* the blob carries it */
    ck_assert_int_eq(rafsi_env_take(NULL, &env, NULL), RAFS_OK);
    ck_assert_int_eq(rafsi_source_memory(&env, bytes, len, &source, NULL), RAFS_OK);
    rc = rafsi_v6_open(&env, source, &limits, &tree, NULL);
    ck_assert(rc == RAFS_OK || strstr(folders[_i], "tarfs"));
    if (tree) {
        rc = compare_blobs(tree, folders[_i]);
        ck_assert(rc > 0 || strstr(folders[_i], "encrypted") ||
                  strstr(folders[_i], "tarref") || strstr(folders[_i], "zran"));
        tree->ops->close(tree);
    }
    rafsi_source_free(source);
    free(bytes);
}
END_TEST

/* Sections from the end of the blob to its beginning, and the TOC if it has one. */
static int walk_sections(const uint8_t *bytes, size_t len)
{
    struct tar_section section;
    uint64_t end = len;
    int count = 0;

    while (end != 0) {
        uint64_t at = end - TAR_HEADER_BYTES;
        struct toc_entry boot;
        bool found = false;
        struct span span = {bytes + at, TAR_HEADER_BYTES, at};

        ck_assert_uint_ge(end, TAR_HEADER_BYTES);
        ck_assert_int_eq(rafsi_tar_section(span, &section, NULL), RAFS_OK);
        end = section.at;
        count++;
        if (strcmp(section.name, SECTION_TOC) != 0)
            continue;
        ck_assert_int_eq(rafsi_toc_section(&section, NULL), RAFS_OK);
        span = (struct span){bytes + section.at, (size_t)section.size, section.at};
        for (uint64_t i = 0; i < section.size / TOC_ENTRY_BYTES; i++)
            ck_assert_int_eq(rafsi_toc_entry(span, i, len, &boot, NULL), RAFS_OK);
        ck_assert_int_eq(rafsi_toc_find(span, len, SECTION_BOOT, &boot, &found, NULL),
                         RAFS_OK);
        ck_assert(found);
        ck_assert_uint_eq(boot.compressor, RAFS_COMPRESSOR_ZSTD);
        ck_assert_uint_eq(ZSTD_getFrameContentSize(bytes + boot.at, boot.stored_size),
                          boot.uncompressed_size);
    }
    return count;
}

START_TEST(sections_lead_from_the_end_of_a_blob_to_its_beginning)
{
    static const struct {
        const char *folder;
        int sections;
    } blobs[] = {{"v6-inline", 3}, {"v6-toc", 5}};
    char path[512];

    for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++) {
        struct dirent *entry;
        DIR *dir;

        snprintf(path, sizeof(path), "%s/tests/golden/%s/blobs", RAFS_SOURCE_DIR,
                 blobs[i].folder);
        dir = opendir(path);
        ck_assert_ptr_nonnull(dir);
        while ((entry = readdir(dir))) {
            char file[800];
            uint8_t *bytes;
            size_t len;

            if (entry->d_name[0] == '.')
                continue;
            snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
            bytes = read_file(file, &len);
            ck_assert_ptr_nonnull(bytes);
            ck_assert_int_eq(walk_sections(bytes, len), blobs[i].sections);
            free(bytes);
        }
        closedir(dir);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("v6_blobs");
    TCase *tcase = tcase_create("all");
    const char *outside = getenv("RAFS_TESTDATA");
    SRunner *runner;
    char root[512];
    int failed;

    snprintf(root, sizeof(root), "%.400s/golden",
             outside ? outside : RAFS_SOURCE_DIR "/../shared/testdata");
    add_folders(RAFS_SOURCE_DIR "/tests/golden");
    add_folders(root);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, chunk_information_tells_what_the_chunk_table_tells, 0,
                        folder_count);
    tcase_add_test(tcase, sections_lead_from_the_end_of_a_blob_to_its_beginning);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
