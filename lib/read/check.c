/* SPDX-License-Identifier: Apache-2.0 */
#include "read/check.h"

/*
 * The whole-image check: tree looks at the metadata and hands every file over; each chunk
 * that a file or the v6 chunk table names is fetched once, past the cache.
 */

struct checker {
    struct rafsi_reader *reader;
    const rafs_check_options *options;
    rafs_check_result *result;
    const rafs_call *call;
    uint64_t chunks_total;
    /* Fingerprints of the chunk records seen: open addressing, 0 is a free place. */
    uint64_t *seen;
    uint64_t seen_places; /* a power of two, or 0 */
    uint64_t seen_count;
    uint64_t seed;
};

static void report(void *user, const rafs_error *finding)
{
    struct checker *checker = user;

    switch (finding->code) {
    case RAFS_E_CORRUPT:
        checker->result->corrupt++;
        break;
    case RAFS_E_BACKEND:
    case RAFS_E_TIMEOUT:
        checker->result->unreadable++;
        break;
    case RAFS_E_UNSUPPORTED:
        checker->result->unsupported++;
        break;
    default:
        checker->result->other++;
    }
    if (checker->options->finding)
        checker->options->finding(checker->options->user, finding);
}

static void tell(const struct checker *checker)
{
    const rafs_check_result *result = checker->result;
    rafs_check_progress progress = {
        .inodes_done = result->inodes,
        .inodes_total = checker->reader->tree->super.inodes,
        .chunks_done = result->chunks,
        .chunks_total = checker->chunks_total,
        .bytes_done = result->bytes,
        .findings =
            result->corrupt + result->unreadable + result->unsupported + result->other,
    };

    if (checker->options->progress)
        checker->options->progress(checker->options->user, &progress);
}

static int tick(void *user, uint64_t inodes, rafs_error *err)
{
    struct checker *checker = user;

    checker->result->inodes = inodes;
    tell(checker);
    return rafsi_call_check(&checker->reader->env, checker->call, RAFS_STAGE_CHECK, err);
}

/* Errors that end the check; all others are findings. */
static bool ends_check(int rc)
{
    return rc == RAFS_E_CANCELLED || rc == RAFS_E_TIMEOUT || rc == RAFS_E_NOMEM ||
           rc == RAFS_E_BUG;
}

/* All that makes two chunk records the same work, in 64 bits. */
static uint64_t fingerprint(const struct rafsi_chunk *chunk, uint64_t seed)
{
    const struct chunk_record *record = &chunk->record;
    uint64_t facts[6] = {seed,
                         (uint64_t)record->blob << 32 | record->index,
                         (uint64_t)record->compressed_size << 32 |
                             record->uncompressed_size,
                         record->compressed_offset,
                         record->uncompressed_offset,
                         record->flags};
    uint8_t bytes[sizeof(facts) + RAFSI_DIGEST_BYTES];
    uint8_t digest[RAFSI_DIGEST_BYTES];
    uint64_t print = 0;

    memcpy(bytes, facts, sizeof(facts));
    memcpy(bytes + sizeof(facts), record->digest, RAFSI_DIGEST_BYTES);
    rafsi_blake3(bytes, sizeof(bytes), digest);
    memcpy(&print, digest, sizeof(print));
    return print ? print : 1;
}

/* Put a fingerprint into a table with a free place; false if it is there already. */
static bool insert(uint64_t *table, uint64_t places, uint64_t print)
{
    uint64_t at = print & (places - 1);

    while (table[at] != 0 && table[at] != print)
        at = (at + 1) & (places - 1);
    if (table[at] == print)
        return false;
    table[at] = print;
    return true;
}

static int grow(struct checker *checker, rafs_error *err)
{
    const struct rafsi_env *env = &checker->reader->env;
    uint64_t places = checker->seen_places ? checker->seen_places * 2 : 1024;
    uint64_t *table = rafsi_alloc_zero(env, (size_t)(places * sizeof(*table)));

    if (!table)
        return rafsi_fail_nomem(err, (size_t)(places * sizeof(*table)));
    for (uint64_t i = 0; i < checker->seen_places; i++)
        if (checker->seen[i] != 0)
            insert(table, places, checker->seen[i]);
    rafsi_free(env, checker->seen);
    checker->seen = table;
    checker->seen_places = places;
    return RAFS_OK;
}

/* Is this the first time that the chunk comes by? */
static int first_time(struct checker *checker, const struct rafsi_chunk *chunk,
                      bool *first, rafs_error *err)
{
    int rc = RAFS_OK;

    if (checker->seen_count >= checker->seen_places / 2)
        rc = grow(checker, err);
    if (rc < 0)
        return rc;
    *first =
        insert(checker->seen, checker->seen_places, fingerprint(chunk, checker->seed));
    checker->seen_count += *first;
    return RAFS_OK;
}

/* Fetch and verify one chunk; what is wrong with it becomes a finding about `path`. */
static int check_chunk(struct checker *checker, const struct rafsi_chunk *chunk,
                       const char *path, rafs_error *err)
{
    struct rafsi_reader *reader = checker->reader;
    rafs_error local = RAFS_ERROR_INIT;
    struct verified *good = NULL;
    struct rafsi_chunk found = *chunk;
    bool first;
    int rc = first_time(checker, chunk, &first, err);

    if (rc < 0 || !first)
        return rc;
    rc = rafsi_call_check(&reader->env, checker->call, RAFS_STAGE_CHECK, err);
    if (rc < 0)
        return rc;
    if (chunk->no_record)
        rc = rafsi_digest_find(reader, chunk, checker->call, &found, &local);
    if (rc == RAFS_OK)
        rc = rafsi_fetch_fresh(reader, &found, RAFS_CAUSE_CHECK, checker->call, &good,
                               &local);
    if (rc == RAFS_OK) {
        checker->result->chunks++;
        checker->result->bytes += rafsi_verified_size(good);
        rafsi_verified_drop(good);
        return RAFS_OK;
    }
    if (ends_check(rc)) {
        if (err)
            *err = local;
        return rc;
    }
    local.object[0] = '\0';
    rafsi_fail_object(&local, rc, "chunk %u of blob %s%s%s", chunk->record.index,
                      reader->tree->blobs[chunk->record.blob].id, path ? " in " : "",
                      path ? path : "");
    report(checker, &local);
    return RAFS_OK;
}

/* May the chunks of this blob be fetched? What may not is said once for each blob. */
static bool readable(const struct checker *checker, uint32_t blob)
{
    return blob < checker->reader->tree->super.blob_count &&
           rafsi_blob_readable(checker->reader->tree, blob, NULL) == RAFS_OK;
}

/* A file of many chunks is looked at with an eye on the clock; one whose map is broken
 * all over is given up: a sparse file of 2^62 bytes could be broken at each of them. */
enum { CHUNKS_PER_TICK = 4096, BROKEN_MAX = 64 };

static int check_file(void *user, const struct rafsi_node *file, const char *path,
                      rafs_error *err)
{
    struct checker *checker = user;
    bool blobs = !(checker->options->flags & RAFS_CHECK_METADATA_ONLY);
    uint64_t offset = 0;
    uint64_t broken = 0;

    for (uint64_t i = 1; offset < file->attr.size && broken < BROKEN_MAX; i++) {
        rafs_error local = RAFS_ERROR_INIT;
        struct rafsi_chunk chunk;
        int rc = rafsi_tree_chunk(checker->reader->tree, file, offset, &chunk, &local);

        if (rc == RAFS_OK && chunk.file_offset != offset)
            rc = rafsi_corrupt(&local, file->at, "chunks overlap at byte %llu",
                               (unsigned long long)offset);
        if (ends_check(rc)) {
            if (err)
                *err = local;
            return rc;
        }
        if (rc < 0) {
            /* The map of the file is broken here; its other chunks may be sound. */
            local.object[0] = '\0';
            rafsi_fail_object(&local, rc, "chunk map of %s", path);
            report(checker, &local);
            broken++;
            offset += checker->reader->tree->super.chunk_size;
            continue;
        }
        if (i % CHUNKS_PER_TICK == 0)
            rc = tick(checker, checker->result->inodes, err);
        if (rc == RAFS_OK && blobs && !chunk.hole && readable(checker, chunk.record.blob))
            rc = check_chunk(checker, &chunk, path, err);
        if (rc < 0)
            return rc;
        offset = chunk.file_offset + chunk.length;
    }
    return RAFS_OK;
}

/* Chunks of the v6 chunk table that no file names are still part of their blobs. */
static int check_table(struct checker *checker, rafs_error *err)
{
    const struct rafsi_tree *tree = checker->reader->tree;
    uint64_t count = rafsi_v6_chunk_count(tree);
    int rc = RAFS_OK;

    for (uint64_t i = 0; rc == RAFS_OK && i < count; i++) {
        rafs_error local = RAFS_ERROR_INIT;
        struct rafsi_chunk chunk = {0};

        rc = rafsi_v6_chunk_at(tree, i, &chunk.record, &local);
        if (rc == RAFS_OK && chunk.record.blob >= tree->super.blob_count)
            rc = rafsi_fail(&local, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL,
                            "names blob %u of %u", chunk.record.blob,
                            tree->super.blob_count);
        if (rc < 0 && !ends_check(rc)) {
            local.object[0] = '\0';
            rafsi_fail_object(&local, rc, "record %llu of the chunk table",
                              (unsigned long long)i);
            report(checker, &local);
            rc = RAFS_OK;
            continue;
        }
        if (rc < 0) {
            if (err)
                *err = local;
            return rc;
        }
        chunk.length = chunk.record.uncompressed_size;
        chunk.digest_algorithm = tree->blobs[chunk.record.blob].digest_algorithm;
        chunk.compressor = tree->blobs[chunk.record.blob].compressor;
        /* External and tar blobs have records without digests; they are not readable. */
        if (readable(checker, chunk.record.blob))
            rc = check_chunk(checker, &chunk, NULL, err);
        if (i % 64 == 0)
            tell(checker);
    }
    return rc;
}

/* Its compression information, whose entries have to be sound and as the table has them.
 */
static int check_entries(const struct blob_check *check,
                         const struct blob_digests *digests, rafs_error *err)
{
    struct rafsi_reader *reader = check->reader;
    const struct blob_record *record = &reader->tree->blobs[check->blob];
    const struct blob_meta *meta;
    int rc = rafsi_meta_get(reader, check->blob, check->at, check->call, &meta, err);

    for (uint32_t i = 0; rc == RAFS_OK && i < meta->header.entries; i++) {
        struct ci_entry entry;

        rc = rafsi_ci_entry(rafsi_meta_span(meta), &meta->header, record, i, &entry, err);
    }
    if (rc == RAFS_OK)
        rc = rafsi_check_records(check, meta, digests, err);
    return rc;
}

/* The length of a blob, and what it says of itself, at its first source. */
static int check_blob_at(struct checker *checker, uint32_t blob, struct blob_source *at,
                         rafs_error *err)
{
    struct rafsi_reader *reader = checker->reader;
    const struct blob_record *record = &reader->tree->blobs[blob];
    struct blob_check check = {reader, blob, at, checker->call, checker, report};
    struct blob_digests digests = {NULL, 0};
    uint64_t size;
    int rc = rafsi_backend_size(&at->handle, record->id, checker->call, &size, err);

    if (rc < 0 && rc != RAFS_E_UNSUPPORTED)
        return rc;
    if (rc == RAFS_OK && size < record->compressed_size)
        return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL, size,
                             "has %llu bytes; the image says %llu",
                             (unsigned long long)size,
                             (unsigned long long)record->compressed_size);
    if (reader->tree->super.version != 6 || record->ci_uncompressed_size == 0 ||
        record->chunk_count == 0)
        return RAFS_OK;
    /* A blob of version 5, in a bootstrap that was laid out for the kernel, has none. */
    if (record->ci_compressed_size == 0 && !(record->features & RAFS_BLOB_CAP_TAR_TOC))
        return RAFS_OK;
    rc = rafsi_check_toc(&check, &digests, err);
    if (rc == RAFS_OK)
        rc = check_entries(&check, &digests, err);
    rafsi_free(&reader->env, digests.bytes);
    return rc;
}

static int check_blob(struct checker *checker, uint32_t blob, rafs_error *err)
{
    struct rafsi_reader *reader = checker->reader;
    size_t order[RAFS_SOURCES_MAX + 1];
    size_t count = rafsi_blob_order(reader, blob, order);
    rafs_error local = RAFS_ERROR_INIT;
    int rc = rafsi_blob_readable(reader->tree, blob, &local);

    if (rc == RAFS_OK)
        rc = rafsi_fail(&local, RAFS_E_BACKEND, RAFS_STAGE_CHECK, NULL,
                        count ? "none of the sources has it" : "no source was given");
    for (size_t i = 0; rc != RAFS_E_UNSUPPORTED && i < count; i++) {
        struct blob_source *at;

        rc = rafsi_blob_open_at(reader, blob, order[i], checker->call, &at, &local);
        if (rc == RAFS_OK)
            rc = check_blob_at(checker, blob, at, &local);
        if (rc == RAFS_OK || rc == RAFS_E_CORRUPT || ends_check(rc))
            break;
    }
    if (ends_check(rc)) {
        if (err)
            *err = local;
        return rc;
    }
    if (rc < 0) {
        if (rc == RAFS_E_NOENT)
            local.code = RAFS_E_BACKEND;
        rafsi_fail_object(&local, rc, "blob %s", reader->tree->blobs[blob].id);
        report(checker, &local);
    }
    return RAFS_OK;
}

static int check_blobs(struct checker *checker, rafs_error *err)
{
    const struct rafsi_tree *tree = checker->reader->tree;
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < tree->super.blob_count; i++)
        rc = check_blob(checker, i, err);
    if (rc == RAFS_OK && tree->super.version == 6)
        rc = check_table(checker, err);
    return rc;
}

int rafsi_reader_check(struct rafsi_reader *reader, const rafs_check_options *options,
                       rafs_check_result *result, const rafs_call *call, rafs_error *err)
{
    struct checker checker = {reader, options, result, call, 0, NULL, 0, 0, rafsi_seed()};
    struct rafsi_tree_visitor visitor = {&checker, report, check_file, tick};
    int rc;

    for (uint32_t i = 0; i < reader->tree->super.blob_count; i++)
        checker.chunks_total += reader->tree->blobs[i].chunk_count;
    rc = rafsi_tree_check(reader->tree, reader->hashes, &visitor, err);
    if (rc == RAFS_OK && !(options->flags & RAFS_CHECK_METADATA_ONLY))
        rc = check_blobs(&checker, err);
    tell(&checker);
    result->complete = rc == RAFS_OK;
    rafsi_free(&reader->env, checker.seen);
    return rc;
}
