/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "build/builder.h"

void rafs_build_options_init(rafs_build_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

__attribute__((format(printf, 2, 3))) static int wrong(rafs_error *err,
                                                       const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "build options", "%s",
                      text);
}

static uint32_t processors(void)
{
    enum { THREADS_MAX = 64 };
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (uint32_t)n;
}

static void fill(rafs_build_options *o)
{
    if (!o->version)
        o->version = 6;
    if (!o->compressor)
        o->compressor = RAFS_STORE_ZSTD;
    if (!o->digest)
        o->digest = RAFS_HASH_BLAKE3;
    if (!o->chunk_size)
        o->chunk_size = 0x100000;
    if (!o->dedup)
        o->dedup = RAFS_DEDUP_CHUNK;
    if (!o->threads)
        o->threads = processors();
    if (!o->level)
        o->level = o->compressor == RAFS_STORE_ZSTD ? 3 : 1;
}

/* An id that wraps would give a file to somebody else, to root perhaps. */
static bool maps_fit(const rafs_id_map *maps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (maps[i].count > 0 && (maps[i].count - 1 > UINT32_MAX - maps[i].from ||
                                  maps[i].count - 1 > UINT32_MAX - maps[i].to))
            return false;
    return true;
}

static int check_sizes(const rafs_build_options *o, rafs_error *err)
{
    if (!rafsi_is_power_of_two(o->chunk_size) || o->chunk_size < RAFS_CHUNK_SIZE_MIN ||
        o->chunk_size > RAFS_CHUNK_SIZE_MAX)
        return wrong(err, "chunk_size %u is not a power of two from 4 KiB to 16 MiB",
                     o->chunk_size);
    if (o->batch_size == 0)
        return RAFS_OK;
    if (o->version == 5)
        return wrong(err, "batch_size is for version 6");
    if (!rafsi_is_power_of_two(o->batch_size) || o->batch_size < RAFS_CHUNK_SIZE_MIN ||
        o->batch_size > o->chunk_size)
        return wrong(err, "batch_size %u is not a power of two from 4 KiB to chunk_size",
                     o->batch_size);
    if (o->compressor == RAFS_STORE_NONE)
        return wrong(err, "batch_size is for compressed blobs");
    return RAFS_OK;
}

static int check_level(const rafs_build_options *o, rafs_error *err)
{
    int low = o->compressor == RAFS_STORE_ZSTD ? -7 : 1;
    int high = o->compressor == RAFS_STORE_ZSTD ? 22 : 12;

    if (o->compressor != RAFS_STORE_NONE && (o->level < low || o->level > high))
        return wrong(err, "level %d is not in %d to %d", o->level, low, high);
    return RAFS_OK;
}

static int check(const rafs_build_options *o, rafs_error *err)
{
    enum { FLAGS = 2 * RAFS_BUILD_OWNER - 1, THREADS_MAX = 1024, PATHS_MAX = 1 << 20 };

    if (o->flags & ~(uint32_t)FLAGS)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "build options",
                          "a flag is newer than this library");
    if (o->version != 5 && o->version != 6)
        return wrong(err, "version %u is not 5 or 6", o->version);
    if (o->compressor > RAFS_STORE_ZSTD)
        return wrong(err, "compressor %u is not a RAFS_STORE_", o->compressor);
    if (o->digest > RAFS_HASH_SHA256)
        return wrong(err, "digest %u is not a RAFS_HASH_", o->digest);
    if (o->dedup > RAFS_DEDUP_CHUNK)
        return wrong(err, "dedup %u is not a RAFS_DEDUP_", o->dedup);
    if (o->threads > THREADS_MAX)
        return wrong(err, "%u threads are more than %d", o->threads, THREADS_MAX);
    if (o->version == 5 && (o->flags & RAFS_BUILD_TOC))
        return wrong(err, "a table of contents is for version 6");
    if (o->uid_map_count > PATHS_MAX || o->gid_map_count > PATHS_MAX ||
        o->dictionary_count > RAFS_BLOBS_MAX || o->prefetch_count > PATHS_MAX ||
        o->exclude_count > PATHS_MAX)
        return wrong(err, "a list is longer than %d", PATHS_MAX);
    if ((o->uid_map_count && !o->uid_maps) || (o->gid_map_count && !o->gid_maps) ||
        (o->dictionary_count && !o->dictionaries) ||
        (o->prefetch_count && !o->prefetch) || (o->exclude_count && !o->exclude))
        return wrong(err, "a list is NULL and its count is not 0");
    if (!maps_fit(o->uid_maps, o->uid_map_count) ||
        !maps_fit(o->gid_maps, o->gid_map_count))
        return wrong(err, "a map goes beyond the last id, 4294967295");
    if ((o->flags & RAFS_BUILD_NO_OWNERS) &&
        ((o->flags & RAFS_BUILD_OWNER) || o->uid_map_count || o->gid_map_count))
        return wrong(err, "owners are not stored and changed at once");
    if ((o->dictionary_count || o->store_index) && o->dedup != RAFS_DEDUP_CHUNK)
        return wrong(err, "dictionaries and the index need RAFS_DEDUP_CHUNK");
    return RAFS_OK;
}

static const void *copied(struct arena *arena, const void *from, size_t size)
{
    void *to = rafsi_arena_alloc(arena, size ? size : 1);

    if (to && size)
        memcpy(to, from, size);
    return to;
}

static const char *const *copied_texts(struct arena *arena, const char *const *from,
                                       size_t count)
{
    const char **to = rafsi_arena_alloc(arena, (count + 1) * sizeof(*to));

    for (size_t i = 0; to && i < count; i++) {
        to[i] = from[i] ? copied(arena, from[i], strlen(from[i]) + 1) : NULL;
        if (!to[i])
            return NULL;
    }
    return to;
}

static int copy(rafs_build_options *o, struct arena *arena, rafs_error *err)
{
    o->uid_maps = copied(arena, o->uid_maps, o->uid_map_count * sizeof(*o->uid_maps));
    o->gid_maps = copied(arena, o->gid_maps, o->gid_map_count * sizeof(*o->gid_maps));
    o->prefetch = copied_texts(arena, o->prefetch, o->prefetch_count);
    o->exclude = copied_texts(arena, o->exclude, o->exclude_count);
    if (o->store_index)
        o->store_index = copied(arena, o->store_index, strlen(o->store_index) + 1);
    if (!o->uid_maps || !o->gid_maps || !o->prefetch || !o->exclude)
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_ARGUMENT, "build options",
                          "cannot be copied: no memory, or NULL in a list");
    return RAFS_OK;
}

int rafsi_build_options_take(const rafs_build_options *in, struct arena *arena,
                             rafs_build_options *out, rafs_error *err)
{
    int rc = rafsi_take_struct(in, out, sizeof(*out), "rafs_build_options", err);

    if (rc < 0)
        return rc;
    fill(out);
    rc = check(out, err);
    if (rc == RAFS_OK)
        rc = check_sizes(out, err);
    if (rc == RAFS_OK)
        rc = check_level(out, err);
    return rc < 0 ? rc : copy(out, arena, err);
}
