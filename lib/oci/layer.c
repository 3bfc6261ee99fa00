/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries before the one that is wanted are skipped whatever they are, so what pax or GNU
 * tar say about them does not matter.
 */
#include "oci/layer.h"

#include <limits.h>
#include <zlib.h>

#include "oci/tar.h"

enum {
    ENTRIES_MAX = 65536,
    BEFORE_MAX = 256 << 20, /* bytes before the bootstrap; gzip makes 1000 of one */
    STEP = 1 << 20          /* bytes between looks at the deadline */
};

/* Bytes of the tar, in order. */
struct tar_stream {
    bool gzip;
    bool ended;
    z_stream z;
    const uint8_t *at; /* of a plain one */
    size_t left;
    const struct rafsi_env *env;
    const rafs_call *call;
};

static int corrupt(rafs_error *err, const char *what)
{
    return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "bootstrap layer", "%s",
                      what);
}

static int take_plain(struct tar_stream *tar, uint8_t *to, size_t len, rafs_error *err)
{
    if (len > tar->left)
        return corrupt(err, "the tar ends too early");
    if (to)
        memcpy(to, tar->at, len);
    tar->at += len;
    tar->left -= len;
    return RAFS_OK;
}

/* len bytes into `to`; NULL throws them away. */
static int take(struct tar_stream *tar, uint8_t *to, uint64_t len, rafs_error *err)
{
    uint8_t waste[4096];

    if (!tar->gzip)
        return len > SIZE_MAX ? corrupt(err, "the tar ends too early")
                              : take_plain(tar, to, (size_t)len, err);
    while (len > 0) {
        uint64_t step = rafsi_min(len, to ? STEP : sizeof(waste));
        int code, rc = rafsi_call_check(tar->env, tar->call, RAFS_STAGE_OPEN, err);

        if (rc < 0)
            return rc;
        tar->z.next_out = to ? to : waste;
        tar->z.avail_out = (uInt)step;
        code = inflate(&tar->z, Z_NO_FLUSH);
        step -= tar->z.avail_out;
        to = to ? to + step : NULL;
        len -= step;
        if (code == Z_MEM_ERROR)
            return rafsi_fail_nomem(err, 0);
        if (len > 0 && (code != Z_OK || (step == 0 && tar->z.avail_in == 0)))
            return corrupt(err, "the gzip stream is broken or ends too early");
    }
    return RAFS_OK;
}

static bool is_bootstrap(const struct tar_header *header)
{
    static const char *const names[] = {"image/image.boot", "./image/image.boot",
                                        "image.boot"};

    if (header->type != '0' || header->has_prefix)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(header->name, names[i]) == 0)
            return true;
    return false;
}

static int find(const struct rafsi_env *env, struct tar_stream *tar, uint64_t limit,
                uint8_t **out, size_t *len, rafs_error *err)
{
    uint8_t block[TAR_BLOCK];
    uint64_t before = BEFORE_MAX;

    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        struct tar_header header;
        uint64_t size, stored;
        int rc = take(tar, block, TAR_BLOCK, err);

        if (rc < 0)
            return rc;
        if (rafsi_all_zero(block, TAR_BLOCK))
            break;
        if (!rafsi_tar_header(block, &header) || !rafsi_tar_stored(header.size, &stored))
            return corrupt(err, "it is no tar: a header is broken");
        size = header.size;
        if (!is_bootstrap(&header)) {
            if (stored > before)
                return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, "bootstrap layer",
                                  "image/image.boot comes after more than %d bytes",
                                  BEFORE_MAX);
            before -= stored;
            rc = take(tar, NULL, stored, err);
            if (rc < 0)
                return rc;
            continue;
        }
        if (size == 0)
            return corrupt(err, "image/image.boot in it is empty");
        if (size > limit || size > SIZE_MAX)
            return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, "bootstrap layer",
                              "image/image.boot has %llu bytes; inlined_bootstrap_bytes "
                              "in rafs_limits allows %llu",
                              (unsigned long long)size, (unsigned long long)limit);
        *out = rafsi_alloc(env, (size_t)size);
        if (!*out)
            return rafsi_fail_nomem(err, (size_t)size);
        *len = (size_t)size;
        rc = take(tar, *out, size, err);
        if (rc < 0) {
            rafsi_free(env, *out);
            *out = NULL;
        }
        return rc;
    }
    return corrupt(err, "there is no image/image.boot in it");
}

static voidpf zlib_alloc(voidpf user, uInt count, uInt size)
{
    uint64_t bytes;

    return rafsi_mul(count, size, &bytes) && bytes > 0 ? rafsi_alloc(user, (size_t)bytes)
                                                       : NULL;
}

static void zlib_free(voidpf user, voidpf at)
{
    rafsi_free(user, at);
}

int rafsi_layer_bootstrap(const struct rafsi_env *env, const uint8_t *bytes, size_t size,
                          uint64_t limit, const rafs_call *call, uint8_t **out,
                          size_t *len, rafs_error *err)
{
    struct tar_stream tar = {.at = bytes, .left = size, .env = env, .call = call};
    struct rafsi_env own = *env;
    uint8_t *found = NULL;
    size_t found_len = 0;
    int rc;

    tar.gzip = size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    if (tar.gzip) {
        if (size > UINT_MAX)
            return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, "bootstrap layer",
                              "is larger than 4 GiB");
        tar.z.zalloc = zlib_alloc;
        tar.z.zfree = zlib_free;
        tar.z.opaque = &own;
        tar.z.next_in = (z_const Bytef *)(uintptr_t)bytes;
        tar.z.avail_in = (uInt)size;
        if (inflateInit2(&tar.z, 16 + MAX_WBITS) != Z_OK)
            return rafsi_fail_nomem(err, 0);
    }
    rc = find(env, &tar, limit, &found, &found_len, err);
    if (tar.gzip)
        inflateEnd(&tar.z);
    if (rc < 0)
        return rc;
    *out = found;
    *len = found_len;
    return RAFS_OK;
}
