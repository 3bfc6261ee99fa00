/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/codec.h"

#include <limits.h>
#include <lz4.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "rafs/image.h"

struct rafsi_decoder {
    struct rafsi_env env;
    ZSTD_DCtx *zstd; /* made when first wanted */
};

int rafsi_decoder_new(const struct rafsi_env *env, struct rafsi_decoder **out,
                      rafs_error *err)
{
    struct rafsi_decoder *decoder = rafsi_alloc_zero(env, sizeof(*decoder));

    if (!decoder)
        return rafsi_fail_nomem(err, sizeof(*decoder));
    decoder->env = *env;
    *out = decoder;
    return RAFS_OK;
}

void rafsi_decoder_free(struct rafsi_decoder *decoder)
{
    if (!decoder)
        return;
    ZSTD_freeDCtx(decoder->zstd);
    rafsi_free(&decoder->env, decoder);
}

const char *rafsi_compressor_name(uint32_t compressor)
{
    static const char *const names[] = {"none", "lz4_block", "gzip", "zstd"};

    return compressor < sizeof(names) / sizeof(names[0]) ? names[compressor] : "?";
}

static int fail_size(rafs_error *err, uint32_t compressor, uint64_t have, size_t want)
{
    return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_DECODE, NULL,
                      "%s data decodes to %llu bytes, not %zu",
                      rafsi_compressor_name(compressor), (unsigned long long)have, want);
}

static int fail_data(rafs_error *err, uint32_t compressor, const char *reason)
{
    return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_DECODE, NULL,
                      "%s data is malformed: %s", rafsi_compressor_name(compressor),
                      reason);
}

static int decode_none(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len,
                       rafs_error *err)
{
    if (in_len != out_len)
        return fail_size(err, RAFS_COMPRESSOR_NONE, in_len, out_len);
    if (out_len > 0)
        memcpy(out, in, out_len);
    return RAFS_OK;
}

static int decode_lz4(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len,
                      rafs_error *err)
{
    int got;

    if (in_len > INT_MAX || out_len > INT_MAX)
        return fail_data(err, RAFS_COMPRESSOR_LZ4_BLOCK, "too large");
    got = LZ4_decompress_safe((const char *)in, (char *)out, (int)in_len, (int)out_len);
    if (got < 0)
        return fail_data(err, RAFS_COMPRESSOR_LZ4_BLOCK, "not a block of that size");
    if ((size_t)got != out_len)
        return fail_size(err, RAFS_COMPRESSOR_LZ4_BLOCK, (uint64_t)got, out_len);
    return RAFS_OK;
}

/* With the whole output at hand no window is allocated, whatever the frame claims. */
static int decode_zstd(struct rafsi_decoder *decoder, const uint8_t *in, size_t in_len,
                       uint8_t *out, size_t out_len, rafs_error *err)
{
    size_t got;

    if (!decoder->zstd)
        decoder->zstd = ZSTD_createDCtx();
    if (!decoder->zstd)
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_DECODE, NULL,
                          "out of memory: no zstd decoder");
    got = ZSTD_decompressDCtx(decoder->zstd, out, out_len, in, in_len);
    if (ZSTD_isError(got)) {
        if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
            return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_DECODE, NULL,
                              "out of memory in the zstd decoder");
        return fail_data(err, RAFS_COMPRESSOR_ZSTD, ZSTD_getErrorName(got));
    }
    if (got != out_len)
        return fail_size(err, RAFS_COMPRESSOR_ZSTD, got, out_len);
    return RAFS_OK;
}

static void *zlib_alloc(void *env, unsigned items, unsigned size)
{
    return rafsi_alloc(env, (size_t)items * size);
}

static void zlib_free(void *env, void *ptr)
{
    rafsi_free(env, ptr);
}

/* One gzip member; bytes behind it are ignored, for stargz knows sizes only roughly. */
static int decode_gzip(struct rafsi_decoder *decoder, const uint8_t *in, size_t in_len,
                       uint8_t *out, size_t out_len, rafs_error *err)
{
    z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = &decoder->env};
    int status;
    int rc = RAFS_OK;
    Bytef nothing[1];

    if (in_len > UINT_MAX || out_len > UINT_MAX)
        return fail_data(err, RAFS_COMPRESSOR_GZIP, "too large");
    status = inflateInit2(&z, 15 + 16);
    if (status != Z_OK)
        return rafsi_fail_nomem(err, sizeof(z));
    /* zlib's pointer is not const for the sake of old callers; it does not write. */
    z.next_in = (z_const Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)in_len;
    z.next_out = out_len > 0 ? out : nothing;
    z.avail_out = (uInt)out_len;
    status = inflate(&z, Z_FINISH);
    if (status == Z_MEM_ERROR)
        rc = rafsi_fail_nomem(err, 0);
    else if (status == Z_STREAM_END && z.avail_out != 0)
        rc = fail_size(err, RAFS_COMPRESSOR_GZIP, out_len - z.avail_out, out_len);
    else if (status != Z_STREAM_END)
        rc = fail_data(err, RAFS_COMPRESSOR_GZIP,
                       z.avail_out == 0 ? "more bytes than stated"
                                        : (z.msg ? z.msg : "it ends too early"));
    inflateEnd(&z);
    return rc;
}

int rafsi_decode(struct rafsi_decoder *decoder, uint32_t compressor, const uint8_t *in,
                 size_t in_len, uint8_t *out, size_t out_len, rafs_error *err)
{
    switch (compressor) {
    case RAFS_COMPRESSOR_NONE:
        return decode_none(in, in_len, out, out_len, err);
    case RAFS_COMPRESSOR_LZ4_BLOCK:
        return decode_lz4(in, in_len, out, out_len, err);
    case RAFS_COMPRESSOR_GZIP:
        return decode_gzip(decoder, in, in_len, out, out_len, err);
    case RAFS_COMPRESSOR_ZSTD:
        return decode_zstd(decoder, in, in_len, out, out_len, err);
    default:
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_DECODE, NULL,
                          "compressor %u is not known", compressor);
    }
}
