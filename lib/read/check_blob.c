/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "read/check.h"

/*
 * What a blob says of itself, against what the bootstrap says of it: the sections that
 * its table of contents names, the digests and places of its chunks.
 */

/* Failures that say something about the blob are findings, after which the check goes on;
 * the others are the call's or the source's. */
static bool is_finding(int rc)
{
    return rc == RAFS_E_CORRUPT || rc == RAFS_E_UNSUPPORTED || rc == RAFS_E_LIMIT;
}

__attribute__((format(printf, 3, 4))) static void
tell(const struct blob_check *check, rafs_error *finding, const char *format, ...)
{
    char object[sizeof(finding->object)];
    va_list args;

    va_start(args, format);
    vsnprintf(object, sizeof(object), format, args);
    va_end(args);
    finding->object[0] = '\0';
    rafsi_fail_object(finding, finding->code, "%s of blob %s", object,
                      check->reader->tree->blobs[check->blob].id);
    check->finding(check->user, finding);
}

/* One section against its digest in the TOC. *bytes is NULL if there is no such section,
 * or a wrong one. */
static int check_section(const struct blob_check *check, const struct blob_toc *toc,
                         const char *name, struct toc_entry *entry, uint8_t **bytes,
                         rafs_error *err)
{
    rafs_error local = RAFS_ERROR_INIT;
    bool found = false;
    int rc = rafsi_toc_find(toc->entries, toc->blob_size, name, entry, &found, &local);

    *bytes = NULL;
    if (rc == RAFS_OK && found)
        rc = rafsi_blob_section(check->reader, check->blob, check->at, entry, check->call,
                                bytes, &local);
    if (rc == RAFS_OK)
        return rc;
    if (is_finding(rc)) {
        tell(check, &local, "%s", name);
        return RAFS_OK;
    }
    if (err)
        *err = local;
    return rc;
}

/* The digests are there if the blob says so, and as many as its chunks. */
static int check_digests(const struct blob_check *check, const struct blob_toc *toc,
                         struct blob_digests *out, rafs_error *err)
{
    const struct blob_record *record = &check->reader->tree->blobs[check->blob];
    rafs_error local = RAFS_ERROR_INIT;
    struct toc_entry entry;
    int rc;

    if (!(record->features & RAFS_BLOB_INLINED_CHUNK_DIGEST) || record->chunk_count == 0)
        return RAFS_OK;
    rc = rafsi_blob_digests_entry(record, toc, &entry, &local);
    if (rc < 0) {
        tell(check, &local, "%s", SECTION_DIGEST);
        return RAFS_OK;
    }
    rc = check_section(check, toc, SECTION_DIGEST, &entry, &out->bytes, err);
    out->at = entry.at;
    return rc;
}

int rafsi_check_toc(const struct blob_check *check, struct blob_digests *out,
                    rafs_error *err)
{
    static const char *const sections[] = {SECTION_META, SECTION_META_HEADER,
                                           SECTION_BOOT};
    struct rafsi_reader *reader = check->reader;
    rafs_error local = RAFS_ERROR_INIT;
    struct blob_toc toc = {0};
    int rc;

    if (!(reader->tree->blobs[check->blob].features & RAFS_BLOB_HAS_TOC))
        return RAFS_OK;
    rc = rafsi_blob_toc(reader, check->blob, check->at, check->call, &toc, &local);
    if (is_finding(rc)) {
        tell(check, &local, "table of contents");
        return RAFS_OK;
    }
    if (rc < 0 && err)
        *err = local;
    for (size_t i = 0; rc == RAFS_OK && i < sizeof(sections) / sizeof(sections[0]); i++) {
        struct toc_entry entry;
        uint8_t *bytes;

        rc = check_section(check, &toc, sections[i], &entry, &bytes, err);
        if (rc == RAFS_OK)
            rafsi_free(&reader->env, bytes);
    }
    if (rc == RAFS_OK)
        rc = check_digests(check, &toc, out, err);
    rafsi_blob_toc_drop(reader, &toc);
    return rc;
}

/* The blob's idea of a chunk against the record's. */
static void compare_places(const struct blob_check *check, const struct blob_meta *meta,
                           const struct chunk_record *record, uint64_t number)
{
    const struct blob_record *blob = &check->reader->tree->blobs[check->blob];
    rafs_error finding = RAFS_ERROR_INIT;
    struct ci_entry entry;

    if (rafsi_ci_entry(rafsi_meta_span(meta), &meta->header, blob, record->index, &entry,
                       NULL) < 0)
        return; /* said when the entries were looked at */
    if (entry.uncompressed_offset == record->uncompressed_offset &&
        entry.uncompressed_size == record->uncompressed_size &&
        ((entry.flags & CI_BATCH) ||
         (entry.compressed_offset == record->compressed_offset &&
          entry.compressed_size == record->compressed_size)))
        return;
    rafsi_fail_at(&finding, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL, blob->ci_offset,
                  "the compression information has %u bytes at %llu, stored in %u at "
                  "%llu; record %llu of the chunk table has %u at %llu, in %u at %llu",
                  entry.uncompressed_size, (unsigned long long)entry.uncompressed_offset,
                  entry.compressed_size, (unsigned long long)entry.compressed_offset,
                  (unsigned long long)number, record->uncompressed_size,
                  (unsigned long long)record->uncompressed_offset,
                  record->compressed_size, (unsigned long long)record->compressed_offset);
    tell(check, &finding, "chunk %u", record->index);
}

static void compare_digests(const struct blob_check *check,
                            const struct blob_digests *digests,
                            const struct chunk_record *record, uint64_t number)
{
    size_t at = (size_t)record->index * RAFSI_DIGEST_BYTES;
    rafs_error finding = RAFS_ERROR_INIT;

    if (memcmp(digests->bytes + at, record->digest, RAFSI_DIGEST_BYTES) == 0)
        return;
    rafsi_fail_at(&finding, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL, digests->at + at,
                  "its digest in " SECTION_DIGEST " is not that of record %llu of the "
                  "chunk table",
                  (unsigned long long)number);
    tell(check, &finding, "chunk %u", record->index);
}

int rafsi_check_records(const struct blob_check *check, const struct blob_meta *meta,
                        const struct blob_digests *digests, rafs_error *err)
{
    const struct rafsi_tree *tree = check->reader->tree;
    const struct blob_record *blob = &tree->blobs[check->blob];
    int rc = RAFS_OK;

    /* A generated dictionary has records of other images' chunks. */
    if (blob->features & RAFS_BLOB_CHUNKDICT)
        return RAFS_OK;
    for (uint32_t i = 0; rc == RAFS_OK && i < blob->chunk_count; i++) {
        struct chunk_record record;
        uint64_t number = 0;
        bool found = false;

        if (i % 1024 == 0)
            rc =
                rafsi_call_check(&check->reader->env, check->call, RAFS_STAGE_CHECK, err);
        if (rc == RAFS_OK)
            rc = rafsi_v6_chunk_find(tree, check->blob, i, &found, &number, err);
        if (rc < 0 || !found)
            continue;
        rc = rafsi_v6_chunk_at(tree, number, &record, err);
        if (is_finding(rc)) {
            rc = RAFS_OK; /* said when the table is looked at */
            continue;
        }
        if (rc == RAFS_OK && meta)
            compare_places(check, meta, &record, number);
        if (rc == RAFS_OK && digests->bytes)
            compare_digests(check, digests, &record, number);
    }
    return rc;
}
