/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/disk_list.h"
#include "cache/own.h"

/* One who reads everything once, and how fast he may. */
struct scrub {
    rafs_cache *cache;
    const rafs_call *call;
    rafs_cache_scrub_options options;
    uint64_t began_ns;
    uint64_t total; /* bytes on disk of what is looked at */
    bool left_out;  /* something could not be opened */
    rafs_cache_scrub_result seen;
};

/* The chunk that begins at or behind *at, or ends behind it. */
static bool next_chunk(struct rafsi_disk_blob *blob, uint64_t *at,
                       struct rafsi_disk_chunk *chunk)
{
    const struct disk_node *node;
    bool found = false;

    pthread_mutex_lock(&blob->cache->lock);
    while (!found && (node = rafsi_disk_index_from(&blob->index, *at))) {
        *at = node->offset + node->size;
        found = node->ready;
        *chunk = (struct rafsi_disk_chunk){
            .offset = node->offset, .size = node->size, .algorithm = node->algorithm};
        memcpy(chunk->digest, node->digest, sizeof(chunk->digest));
        chunk->record = node->at + 1;
    }
    pthread_mutex_unlock(&blob->cache->lock);
    return found;
}

static void tell_finding(const struct scrub *scrub, const struct rafsi_disk_blob *blob,
                         const struct rafsi_disk_chunk *chunk, bool readable)
{
    rafs_error found = RAFS_ERROR_INIT;

    if (!scrub->options.finding)
        return;
    rafsi_fail_at(&found, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL, chunk->offset,
                  readable ? "digest mismatch" : "cannot be read");
    rafsi_fail_object(&found, RAFS_E_CORRUPT, "blob %s",
                      blob->id[0] ? blob->id : blob->stem);
    scrub->options.finding(scrub->options.user, &found);
}

static void tell_progress(const struct scrub *scrub)
{
    rafs_cache_scrub_progress now = {scrub->seen.chunks, scrub->seen.bytes, scrub->total,
                                     scrub->seen.bad_chunks};

    if (scrub->options.progress)
        scrub->options.progress(scrub->options.user, &now);
}

static int check_chunk(struct scrub *scrub, struct rafsi_disk_blob *blob,
                       const struct rafsi_disk_chunk *chunk, rafs_error *err)
{
    struct rafsi_buffer *buffer = NULL;
    uint8_t actual[RAFSI_DIGEST_BYTES];
    bool good;
    int rc = rafsi_pool_take(scrub->cache->pool, chunk->size, &buffer, err);

    if (rc < 0)
        return rc;
    good = rafsi_disk_pread(blob->data, buffer->at, chunk->size, chunk->offset);
    if (good)
        rc = rafsi_hash_bytes(scrub->cache->hashes, chunk->algorithm, buffer->at,
                              chunk->size, actual, err);
    rafsi_buffer_free(buffer);
    if (rc < 0)
        return rc;
    scrub->seen.chunks++;
    scrub->seen.bytes += chunk->size;
    if (good && rafsi_digest_equal(actual, chunk->digest))
        return RAFS_OK;
    scrub->seen.bad_chunks++;
    tell_finding(scrub, blob, chunk, good);
    rafsi_disk_bad(blob, chunk);
    return RAFS_OK;
}

/* Wait until as much time has passed as what was read may take. */
static int pace(struct scrub *scrub, rafs_error *err)
{
    enum { SLICE_MS = 20 };
    const struct rafsi_env *env = &scrub->cache->env;
    int rc = rafsi_call_check(env, scrub->call, RAFS_STAGE_CHECK, err);

    while (rc == RAFS_OK && scrub->options.bytes_per_second > 0 &&
           (double)scrub->seen.bytes / (double)scrub->options.bytes_per_second * 1e9 >
               (double)(rafsi_now_ns(env) - scrub->began_ns)) {
        (void)poll(NULL, 0, SLICE_MS);
        rc = rafsi_call_check(env, scrub->call, RAFS_STAGE_CHECK, err);
    }
    return rc;
}

static int scrub_blob(struct scrub *scrub, const char *stem, rafs_error *err)
{
    struct rafsi_disk_blob *blob = rafsi_disk_open_stem(scrub->cache, stem, true);
    struct rafsi_disk_chunk chunk;
    uint64_t at = 0;
    int rc = RAFS_OK;

    if (!blob) { /* evicted meanwhile; or there are no files or memory left to open it */
        char journal[DISK_NAME_BYTES + 16];

        snprintf(journal, sizeof(journal), "%s.ready", stem);
        if (faccessat(scrub->cache->dir, journal, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            scrub->left_out = true;
        return RAFS_OK;
    }
    rafsi_disk_refresh(blob);
    while (rc == RAFS_OK && next_chunk(blob, &at, &chunk)) {
        rc = check_chunk(scrub, blob, &chunk, err);
        if (rc == RAFS_OK) {
            tell_progress(scrub);
            rc = pace(scrub, err);
        }
    }
    scrub->seen.blobs += rc == RAFS_OK;
    rafsi_disk_close(blob);
    return rc;
}

/* Kinds of documents whose digest is the SHA-256 of all their bytes. */
static bool is_content(const char *name)
{
    return strncmp(name, "manifest-", 9) == 0 || strncmp(name, "boot-", 5) == 0 ||
           strncmp(name, "referrers-", 10) == 0;
}

/* *good: it has the digest that its name tells. */
static int check_document(struct scrub *scrub, int fd, const char *name, bool *good,
                          rafs_error *err)
{
    struct rafsi_buffer *buffer = NULL;
    uint8_t actual[RAFSI_DIGEST_BYTES], wanted[RAFSI_DIGEST_BYTES];
    uint64_t size;
    int rc;

    *good = rafsi_file_size(fd, &size, NULL) == RAFS_OK && size <= DISK_CHUNK_MAX &&
            rafsi_digest_parse(strchr(name, '-') + 1, 64, wanted);
    if (!*good)
        return RAFS_OK;
    rc = rafsi_pool_take(scrub->cache->pool, size, &buffer, err);
    if (rc < 0)
        return rc;
    *good = rafsi_disk_pread(fd, buffer->at, size, 0);
    if (*good)
        rc = rafsi_hash_bytes(scrub->cache->hashes, RAFSI_SHA256, buffer->at, size,
                              actual, err);
    *good = *good && rc == RAFS_OK && rafsi_digest_equal(actual, wanted);
    scrub->seen.documents++;
    scrub->seen.bytes += size;
    rafsi_buffer_free(buffer);
    return rc;
}

static int scrub_document(struct scrub *scrub, const char *name, rafs_error *err)
{
    int fd = is_content(name) ? rafsi_disk_file(scrub->cache->dir, name, O_RDONLY) : -1;
    rafs_error found = RAFS_ERROR_INIT;
    bool good;
    int rc;

    if (fd < 0)
        return RAFS_OK;
    rc = check_document(scrub, fd, name, &good, err);
    close(fd);
    if (rc == RAFS_OK && !good) {
        scrub->seen.bad_documents++;
        unlinkat(scrub->cache->dir, name, 0);
        rafsi_fail(&found, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, name, "digest mismatch");
        if (scrub->options.finding)
            scrub->options.finding(scrub->options.user, &found);
    }
    return rc < 0 ? rc : pace(scrub, err);
}

static int scrub_all(struct scrub *scrub, rafs_error *err)
{
    struct disk_items items = {0};
    int rc = rafsi_disk_items(scrub->cache, &items, err);

    scrub->began_ns = rafsi_now_ns(&scrub->cache->env);
    scrub->total = items.disk_bytes;
    for (size_t i = 0; rc == RAFS_OK && i < items.count; i++)
        rc = items.at[i].document ? scrub_document(scrub, items.at[i].stem, err)
                                  : scrub_blob(scrub, items.at[i].stem, err);
    rafsi_disk_items_free(scrub->cache, &items);
    scrub->seen.complete = rc == RAFS_OK && !scrub->left_out;
    return rc;
}

void rafs_cache_scrub_options_init(rafs_cache_scrub_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_cache_scrub(rafs_cache *cache, const rafs_cache_scrub_options *options,
                     rafs_cache_scrub_result *result, const rafs_call *call,
                     rafs_error *err)
{
    struct scrub scrub = {.cache = cache};
    rafs_cache_scrub_result asked;
    rafs_call limits;
    int rc = rafsi_own_refuse(cache, err), given = RAFS_OK;

    if (rc == RAFS_OK)
        rc = rafsi_take_struct(options, &scrub.options, sizeof(scrub.options),
                               "rafs_cache_scrub_options", err);
    if (rc == RAFS_OK && scrub.options.flags != 0)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_cache_scrub_options", "flags %#x are not known",
                        scrub.options.flags);
    if (rc == RAFS_OK)
        rc = rafsi_take_struct(result, &asked, sizeof(asked), "rafs_cache_scrub_result",
                               err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &limits, err);
    if (rc < 0)
        return rc;
    scrub.call = &limits;
    rc = scrub_all(&scrub, err);
    if (result)
        given = rafsi_give_struct(&scrub.seen, sizeof(scrub.seen), result,
                                  "rafs_cache_scrub_result", err);
    return rc < 0 ? rc : given;
}
