/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "read/reader.h"

/*
 * Digests of chunks that the bootstrap has no record of, out of the blob itself.
 *
 * They are as good as the bootstrap's own: it names the SHA-256 of the blob's table of
 * contents, the table names that of the section with the digests. Where the bootstrap
 * names none (as for the blob that carries it), whoever wrote the blob could have written
 * the digests too, and they prove nothing.
 */

/* How long entries and header are together: as the bootstrap says, else as the header. */
static int toc_length(struct rafsi_reader *reader, uint32_t blob,
                      const struct blob_source *at, const rafs_call *call,
                      uint64_t blob_size, uint64_t *out, rafs_error *err)
{
    uint64_t length = reader->tree->blobs[blob].toc_size;
    uint8_t header[TAR_HEADER_BYTES];
    struct tar_section section;
    uint64_t header_at = blob_size - TAR_HEADER_BYTES;
    int rc;

    if (length == 0 && blob_size >= TAR_HEADER_BYTES) {
        rc = rafsi_blob_fetch(reader, blob, at, RAFS_CAUSE_METADATA, header_at, header,
                              sizeof(header), call, err);
        if (rc == RAFS_OK)
            rc = rafsi_tar_section((struct span){header, sizeof(header), header_at},
                                   &section, err);
        if (rc == RAFS_OK)
            rc = rafsi_toc_section(&section, err);
        if (rc < 0)
            return rc;
        length = section.size + TAR_HEADER_BYTES;
    }
    if (length < TOC_ENTRY_BYTES + TAR_HEADER_BYTES || length > TOC_MAX ||
        length > blob_size)
        return rafsi_corrupt(err, blob_size, "no room for a table of contents of %llu",
                             (unsigned long long)length);
    *out = length;
    return RAFS_OK;
}

/* Builders hash entries and header; the Go converter of OCI references the entries. */
static int prove(struct rafsi_reader *reader, const uint8_t *expected, size_t len,
                 struct blob_toc *toc, rafs_error *err)
{
    uint8_t digest[RAFSI_DIGEST_BYTES];
    int rc = rafsi_hash_bytes(reader->hashes, RAFSI_SHA256, toc->bytes, len, digest, err);

    if (rc < 0)
        return rc;
    toc->proved = rafsi_digest_equal(digest, expected);
    if (toc->proved)
        return RAFS_OK;
    rc = rafsi_hash_bytes(reader->hashes, RAFSI_SHA256, toc->bytes,
                          len - TAR_HEADER_BYTES, digest, err);
    if (rc < 0)
        return rc;
    toc->proved = rafsi_digest_equal(digest, expected);
    return toc->proved ? RAFS_OK
                       : rafsi_corrupt(err, toc->entries.origin,
                                       "the table of contents does not have the digest "
                                       "that the bootstrap names");
}

static int load_toc(struct rafsi_reader *reader, uint32_t blob,
                    const struct blob_source *at, const rafs_call *call, uint64_t len,
                    struct blob_toc *toc, rafs_error *err)
{
    const uint8_t *expected = reader->tree->blobs[blob].toc_digest;
    uint64_t start = toc->blob_size - len;
    size_t entries = (size_t)len - TAR_HEADER_BYTES;
    struct tar_section section;
    int rc;

    toc->bytes = rafsi_alloc(&reader->env, (size_t)len);
    if (!toc->bytes)
        return rafsi_fail_nomem(err, (size_t)len);
    toc->entries = (struct span){toc->bytes, entries, start};
    rc = rafsi_blob_fetch(reader, blob, at, RAFS_CAUSE_METADATA, start, toc->bytes,
                          (size_t)len, call, err);
    if (rc == RAFS_OK && !rafsi_all_zero(expected, RAFSI_DIGEST_BYTES))
        rc = prove(reader, expected, (size_t)len, toc, err);
    if (rc == RAFS_OK)
        rc = rafsi_tar_section(
            (struct span){toc->bytes + entries, TAR_HEADER_BYTES, start + entries},
            &section, err);
    if (rc == RAFS_OK)
        rc = rafsi_toc_section(&section, err);
    if (rc == RAFS_OK && section.size != entries)
        rc = rafsi_corrupt(err, start + entries,
                           "the table of contents is %llu bytes long, not %zu",
                           (unsigned long long)section.size, entries);
    return rc;
}

int rafsi_blob_toc(struct rafsi_reader *reader, uint32_t blob,
                   const struct blob_source *at, const rafs_call *call,
                   struct blob_toc *out, rafs_error *err)
{
    const struct blob_record *record = &reader->tree->blobs[blob];
    struct blob_toc toc = {0};
    uint64_t len = 0;
    int rc = rafsi_backend_size(&at->handle, record->id, call, &toc.blob_size, err);

    /* The record leaves out a bootstrap in the blob, and what follows it. */
    if (rc == RAFS_E_UNSUPPORTED && !(record->features & RAFS_BLOB_INLINED_FS_META)) {
        toc.blob_size = record->compressed_size;
        rc = RAFS_OK;
    }
    if (rc == RAFS_OK)
        rc = toc_length(reader, blob, at, call, toc.blob_size, &len, err);
    if (rc == RAFS_OK)
        rc = load_toc(reader, blob, at, call, len, &toc, err);
    if (rc < 0) {
        rafsi_blob_toc_drop(reader, &toc);
        return rc;
    }
    *out = toc;
    return RAFS_OK;
}

void rafsi_blob_toc_drop(struct rafsi_reader *reader, struct blob_toc *toc)
{
    rafsi_free(&reader->env, toc->bytes);
    toc->bytes = NULL;
}

/* Fetch and decode a section into bytes, as many as the entry says. */
static int fetch_section(struct rafsi_reader *reader, uint32_t blob,
                         const struct blob_source *at, const struct toc_entry *entry,
                         const rafs_call *call, uint8_t *bytes, rafs_error *err)
{
    struct worker *worker = NULL;
    int rc;

    if (entry->compressor == RAFS_COMPRESSOR_NONE)
        return rafsi_blob_fetch(reader, blob, at, RAFS_CAUSE_METADATA, entry->at, bytes,
                                (size_t)entry->stored_size, call, err);
    rc = rafsi_worker_take(reader, &worker, err);
    if (rc == RAFS_OK)
        rc = rafsi_worker_room(reader, worker, (size_t)entry->stored_size, err);
    if (rc == RAFS_OK)
        rc = rafsi_blob_fetch(reader, blob, at, RAFS_CAUSE_METADATA, entry->at,
                              worker->stored, (size_t)entry->stored_size, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_decode(worker->decoder, entry->compressor, worker->stored,
                          (size_t)entry->stored_size, bytes,
                          (size_t)entry->uncompressed_size, err);
    rafsi_worker_give(reader, worker);
    return rc;
}

int rafsi_blob_section(struct rafsi_reader *reader, uint32_t blob,
                       const struct blob_source *at, const struct toc_entry *entry,
                       const rafs_call *call, uint8_t **out, rafs_error *err)
{
    const rafs_limits *limits = &reader->tree->limits;
    bool boot = strcmp(entry->name, SECTION_BOOT) == 0;
    uint64_t limit = boot ? limits->inlined_bootstrap_bytes : limits->blob_meta_bytes;
    uint8_t digest[RAFSI_DIGEST_BYTES];
    size_t size = (size_t)entry->uncompressed_size;
    uint8_t *bytes;
    int rc;

    if (entry->uncompressed_size > limit || entry->stored_size > limit)
        return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL, entry->at,
                             "section %s of %llu bytes; %s in rafs_limits allows %llu",
                             entry->name, (unsigned long long)entry->uncompressed_size,
                             boot ? "inlined_bootstrap_bytes" : "blob_meta_bytes",
                             (unsigned long long)limit);
    bytes = rafsi_alloc(&reader->env, size ? size : 1);
    if (!bytes)
        return rafsi_fail_nomem(err, size);
    rc = fetch_section(reader, blob, at, entry, call, bytes, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_bytes(reader->hashes, RAFSI_SHA256, bytes, size, digest, err);
    if (rc == RAFS_OK && !rafsi_digest_equal(digest, entry->digest))
        rc = rafsi_corrupt(err, entry->at,
                           "section %s does not have the digest that the table of "
                           "contents names",
                           entry->name);
    if (rc < 0) {
        rafsi_free(&reader->env, bytes);
        return rc;
    }
    *out = bytes;
    return RAFS_OK;
}

int rafsi_blob_digests_entry(const struct blob_record *record, const struct blob_toc *toc,
                             struct toc_entry *out, rafs_error *err)
{
    bool found = false;
    int rc =
        rafsi_toc_find(toc->entries, toc->blob_size, SECTION_DIGEST, out, &found, err);

    if (rc < 0)
        return rc;
    if (!found)
        return rafsi_corrupt(err, toc->entries.origin,
                             "the table of contents has no " SECTION_DIGEST);
    if (out->uncompressed_size != (uint64_t)record->chunk_count * RAFSI_DIGEST_BYTES)
        return rafsi_corrupt(err, out->at, SECTION_DIGEST " of %llu bytes for %u chunks",
                             (unsigned long long)out->uncompressed_size,
                             record->chunk_count);
    return RAFS_OK;
}

/* The digests at one source, proved. */
static int load_digests(struct rafsi_reader *reader, uint32_t blob, size_t source,
                        const rafs_call *call, uint8_t **out, rafs_error *err)
{
    const struct blob_record *record = &reader->tree->blobs[blob];
    struct blob_source *at;
    struct blob_toc toc = {0};
    struct toc_entry entry;
    int rc = rafsi_blob_open_at(reader, blob, source, call, &at, err);

    if (rc == RAFS_OK)
        rc = rafsi_blob_toc(reader, blob, at, call, &toc, err);
    if (rc < 0)
        return rc;
    if (!toc.proved)
        rc = rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_VERIFY, NULL,
                        "digests were asked of a table of contents without one");
    if (rc == RAFS_OK)
        rc = rafsi_blob_digests_entry(record, &toc, &entry, err);
    if (rc == RAFS_OK)
        rc = rafsi_blob_section(reader, blob, at, &entry, call, out, err);
    rafsi_blob_toc_drop(reader, &toc);
    return rc;
}

/* The digests from the first source whose blob is the one that the bootstrap means. */
static int search_digests(struct rafsi_reader *reader, uint32_t blob,
                          const rafs_call *call, uint8_t **out, rafs_error *err)
{
    struct search search;
    const rafs_call *part;
    size_t source;

    rafsi_search_begin(&search, reader, blob, 0, call);
    while (rafsi_search_next(&search, &source, &part)) {
        rafs_error local = RAFS_ERROR_INIT;
        int rc = load_digests(reader, blob, source, part, out, &local);

        if (rc == RAFS_OK)
            return rc;
        if (rc == RAFS_E_CORRUPT)
            rafsi_blob_strike(reader, blob, source, UINT32_MAX, RAFS_CAUSE_METADATA,
                              &local);
        rafsi_search_failed(&search, source, rc, &local);
    }
    return rafsi_search_end(&search, err);
}

/* The digests are the blob's, whatever source they came from: kept once. */
static int get_digests(struct rafsi_reader *reader, uint32_t blob, const rafs_call *call,
                       const uint8_t **out, rafs_error *err)
{
    struct blob_state *state = atomic_load(&reader->blobs[blob]);
    uint8_t *present = state ? atomic_load(&state->digests) : NULL;
    uint8_t *digests = NULL;
    int rc;

    if (present) {
        *out = present;
        return RAFS_OK;
    }
    rc = search_digests(reader, blob, call, &digests, err);
    if (rc < 0)
        return rc;
    state = atomic_load(&reader->blobs[blob]); /* there since a source was opened */
    if (atomic_compare_exchange_strong(&state->digests, &present, digests))
        present = digests;
    else
        rafsi_free(&reader->env, digests);
    *out = present;
    return RAFS_OK;
}

/* Does the bootstrap name what proves the blob's digests? */
static bool provable(const struct blob_record *record)
{
    uint32_t needs = RAFS_BLOB_INLINED_CHUNK_DIGEST | RAFS_BLOB_HAS_TOC;

    return (record->features & needs) == needs && record->chunk_count > 0 &&
           !rafsi_all_zero(record->toc_digest, sizeof(record->toc_digest));
}

int rafsi_digest_find(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const rafs_call *call, struct rafsi_chunk *out, rafs_error *err)
{
    uint32_t blob = chunk->record.blob;
    const struct blob_record *record = &reader->tree->blobs[blob];
    rafs_error local = RAFS_ERROR_INIT;
    const uint8_t *digests = NULL;
    const uint8_t *digest = NULL;
    int rc = rafsi_blob_readable(reader->tree, blob, &local);

    if (rc == RAFS_OK && provable(record))
        rc = get_digests(reader, blob, call, &digests, &local);
    if (rc < 0) {
        rafsi_fail_object(&local, rc, "blob %s", record->id);
        if (err)
            *err = local;
        return rc;
    }
    if (digests && chunk->record.index < record->chunk_count)
        digest = digests + (size_t)chunk->record.index * RAFSI_DIGEST_BYTES;
    if (!digest || rafsi_all_zero(digest, RAFSI_DIGEST_BYTES))
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                          "the image has no digest for chunk %u of blob %s",
                          chunk->record.index, record->id);
    *out = *chunk;
    memcpy(out->record.digest, digest, RAFSI_DIGEST_BYTES);
    return RAFS_OK;
}
