/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/source_tar.h"

/*
 * Sparse files of GNU tar: a list of extents, and their bytes without what lies between.
 * Source: GNU tar's manual, "Storing Sparse Files".
 *   old  in the header, four extents at 386, more in blocks of 21 that follow it
 *   0.0  pax records GNU.sparse.offset and .numbytes, a pair for each extent
 *   0.1  pax record GNU.sparse.map, "offset,bytes,offset,bytes"
 *   1.0  before the data: the number of extents, offset and bytes of each, in lines
 */

int rafsi_tar_map_add(const struct rafsi_env *env, struct tar_map *map, uint64_t at,
                      uint64_t len, rafs_error *err)
{
    if (map->count == TAR_EXTENTS_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL,
                          "a sparse file of more than %d parts", TAR_EXTENTS_MAX);
    if (map->count == map->room) {
        size_t room = map->room ? map->room * 2 : 64;
        struct tar_extent *extents = rafsi_alloc(env, room * sizeof(*extents));

        if (!extents)
            return rafsi_fail_nomem(err, room * sizeof(*extents));
        if (map->count != 0)
            memcpy(extents, map->extents, map->count * sizeof(*extents));
        rafsi_free(env, map->extents);
        map->extents = extents;
        map->room = room;
    }
    map->extents[map->count++] = (struct tar_extent){at, len};
    return RAFS_OK;
}

static int add_old(struct tar_stream *stream, const uint8_t *at, unsigned count,
                   struct tar_map *map, rafs_error *err)
{
    for (unsigned i = 0; i < count && at[24 * i] != '\0'; i++) {
        int64_t offset, len;
        int rc;

        if (!rafsi_tar_number(at + 24 * i, 12, &offset) ||
            !rafsi_tar_number(at + 24 * i + 12, 12, &len) || offset < 0 || len < 0)
            return rafsi_tar_corrupt(stream, err, stream->offset,
                                     "the map of a sparse file has no numbers");
        rc = rafsi_tar_map_add(stream->env, map, (uint64_t)offset, (uint64_t)len, err);
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

int rafsi_tar_map_old(struct tar_stream *stream, const uint8_t block[TAR_BLOCK],
                      struct tar_map *map, uint64_t *size, rafs_error *err)
{
    uint8_t more[TAR_BLOCK];
    bool goes_on = block[482] != '\0';
    int64_t real;
    int rc;

    map->sparse = true;
    if (!rafsi_tar_number(block + 483, 12, &real) || real < 0)
        return rafsi_tar_corrupt(stream, err, stream->offset,
                                 "the size of a sparse file is no size");
    *size = (uint64_t)real;
    rc = add_old(stream, block + 386, 4, map, err);
    while (rc == RAFS_OK && goes_on) {
        rc = rafsi_tar_exact(stream, more, sizeof(more), err);
        if (rc == RAFS_OK && more[0] == '\0')
            rc = rafsi_tar_corrupt(stream, err, stream->offset,
                                   "the map of a sparse file goes on with nothing");
        if (rc == RAFS_OK)
            rc = add_old(stream, more, 21, map, err);
        goes_on = more[504] != '\0';
    }
    return rc;
}

/* Digits, at least one; not more than fit. */
static bool take_decimal(const char **at, uint64_t *out)
{
    const char *begin = *at;

    for (*out = 0; **at >= '0' && **at <= '9'; ++*at) {
        if (*out > (INT64_MAX - 9) / 10)
            return false;
        *out = *out * 10 + (uint64_t)(**at - '0');
    }
    return *at != begin;
}

/* "offset,bytes", to the next pair or the end. */
static bool take_pair(const char **at, uint64_t *offset, uint64_t *len)
{
    if (!take_decimal(at, offset) || **at != ',')
        return false;
    ++*at;
    if (!take_decimal(at, len))
        return false;
    return **at == '\0' || (*(*at)++ == ',' && **at != '\0');
}

int rafsi_tar_map_text(struct tar_stream *stream, const char *text, struct tar_map *map,
                       rafs_error *err)
{
    int rc = RAFS_OK;

    map->sparse = true;
    map->count = 0;
    while (rc == RAFS_OK && *text != '\0') {
        uint64_t offset, len;

        if (!take_pair(&text, &offset, &len))
            return rafsi_tar_corrupt(stream, err, stream->offset,
                                     "the map of a sparse file has no numbers");
        rc = rafsi_tar_map_add(stream->env, map, offset, len, err);
    }
    return rc;
}

/* Lines of numbers in blocks. */
struct lines {
    struct tar_stream *stream;
    uint64_t most, used;
    uint8_t block[TAR_BLOCK];
    size_t at;
};

static int next_number(struct lines *lines, uint64_t *out, rafs_error *err)
{
    unsigned digits = 0;

    for (*out = 0;;) {
        uint8_t c;

        if (lines->at == TAR_BLOCK || lines->used == 0) {
            int rc;

            if (lines->most - lines->used < TAR_BLOCK)
                break;
            rc = rafsi_tar_exact(lines->stream, lines->block, TAR_BLOCK, err);
            if (rc < 0)
                return rc;
            lines->used += TAR_BLOCK;
            lines->at = 0;
        }
        c = lines->block[lines->at++];
        if (c == '\n' && digits != 0)
            return RAFS_OK;
        if (c < '0' || c > '9' || ++digits > 18)
            break;
        *out = *out * 10 + (uint64_t)(c - '0');
    }
    return rafsi_tar_corrupt(lines->stream, err, lines->stream->offset,
                             "the map of a sparse file has no numbers");
}

int rafsi_tar_map_lines(struct tar_stream *stream, struct tar_map *map, uint64_t most,
                        uint64_t *used, rafs_error *err)
{
    struct lines lines = {.stream = stream, .most = most};
    uint64_t count, at, len;
    int rc = next_number(&lines, &count, err);

    map->sparse = true;
    map->count = 0;
    for (uint64_t i = 0; rc == RAFS_OK && i < count; i++) {
        rc = next_number(&lines, &at, err);
        if (rc == RAFS_OK)
            rc = next_number(&lines, &len, err);
        if (rc == RAFS_OK)
            rc = rafsi_tar_map_add(stream->env, map, at, len, err);
    }
    *used = lines.used;
    return rc;
}

const char *rafsi_tar_map_check(const struct tar_map *map, uint64_t stored, uint64_t size)
{
    uint64_t end = 0, sum = 0;

    for (size_t i = 0; i < map->count; i++) {
        const struct tar_extent *extent = &map->extents[i];

        if (extent->at < end)
            return "the parts of a sparse file are not in order";
        if (!rafsi_within(extent->at, extent->len, size))
            return "a part of a sparse file lies behind its end";
        end = extent->at + extent->len;
        sum += extent->len; /* at most size */
    }
    return sum == stored ? NULL : "a sparse file has other bytes than its map says";
}
