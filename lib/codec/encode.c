/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "codec/codec.h"
#include "rafs/image.h"

enum { ZSTD_LEVEL = 3, LZ4_LEVEL = 1 };

struct rafsi_encoder {
    struct rafsi_env env;
    uint32_t compressor;
    int32_t level;
    ZSTD_CCtx *zstd;
    void *lz4; /* state of either form, by level */
};

static int fail_zstd(rafs_error *err, size_t status)
{
    if (ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation)
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_NONE, NULL,
                          "out of memory in the zstd encoder");
    return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_NONE, NULL, "zstd encoder: %s",
                      ZSTD_getErrorName(status));
}

static int begin_zstd(struct rafsi_encoder *encoder, rafs_error *err)
{
    size_t status;

    encoder->zstd = ZSTD_createCCtx();
    if (!encoder->zstd)
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_NONE, NULL,
                          "out of memory: no zstd encoder");
    if (encoder->level == 0)
        encoder->level = ZSTD_LEVEL;
    status =
        ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, encoder->level);
    return ZSTD_isError(status) ? fail_zstd(err, status) : RAFS_OK;
}

static int begin_lz4(struct rafsi_encoder *encoder, rafs_error *err)
{
    int size;

    if (encoder->level == 0)
        encoder->level = LZ4_LEVEL;
    size = encoder->level == LZ4_LEVEL ? LZ4_sizeofState() : LZ4_sizeofStateHC();
    encoder->lz4 = rafsi_alloc_zero(&encoder->env, (size_t)size);
    return encoder->lz4 ? RAFS_OK : rafsi_fail_nomem(err, (size_t)size);
}

int rafsi_encoder_new(const struct rafsi_env *env, uint32_t compressor, int32_t level,
                      struct rafsi_encoder **out, rafs_error *err)
{
    struct rafsi_encoder *encoder = rafsi_alloc_zero(env, sizeof(*encoder));
    int rc = RAFS_OK;

    if (!encoder)
        return rafsi_fail_nomem(err, sizeof(*encoder));
    encoder->env = *env;
    encoder->compressor = compressor;
    encoder->level = level;
    if (compressor == RAFS_COMPRESSOR_ZSTD)
        rc = begin_zstd(encoder, err);
    else if (compressor == RAFS_COMPRESSOR_LZ4_BLOCK)
        rc = begin_lz4(encoder, err);
    else if (compressor != RAFS_COMPRESSOR_NONE)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_NONE, NULL,
                        "nothing is stored with the compressor %s",
                        rafsi_compressor_name(compressor));
    if (rc < 0)
        rafsi_encoder_free(encoder);
    else
        *out = encoder;
    return rc;
}

void rafsi_encoder_free(struct rafsi_encoder *encoder)
{
    if (!encoder)
        return;
    ZSTD_freeCCtx(encoder->zstd);
    rafsi_free(&encoder->env, encoder->lz4);
    rafsi_free(&encoder->env, encoder);
}

/* The state begins anew each time: what was compressed before must not show. */
static void encode_lz4(struct rafsi_encoder *encoder, const uint8_t *in, size_t in_len,
                       uint8_t *out, size_t *out_len)
{
    const char *from = (const char *)in;
    int room = (int)in_len - 1;
    int made;

    if (encoder->level == LZ4_LEVEL)
        made = LZ4_compress_fast_extState(encoder->lz4, from, (char *)out, (int)in_len,
                                          room, 1);
    else
        made = LZ4_compress_HC_extStateHC(encoder->lz4, from, (char *)out, (int)in_len,
                                          room, encoder->level);
    *out_len = made > 0 ? (size_t)made : 0;
}

static int encode_zstd(struct rafsi_encoder *encoder, const uint8_t *in, size_t in_len,
                       uint8_t *out, size_t *out_len, rafs_error *err)
{
    size_t made = ZSTD_compress2(encoder->zstd, out, in_len - 1, in, in_len);

    if (!ZSTD_isError(made)) {
        *out_len = made;
        return RAFS_OK;
    }
    *out_len = 0;
    if (ZSTD_getErrorCode(made) == ZSTD_error_dstSize_tooSmall)
        return RAFS_OK;
    return fail_zstd(err, made);
}

int rafsi_encode(struct rafsi_encoder *encoder, const uint8_t *in, size_t in_len,
                 uint8_t *out, size_t *out_len, rafs_error *err)
{
    *out_len = 0;
    if (encoder->compressor == RAFS_COMPRESSOR_NONE || in_len < 2)
        return RAFS_OK;
    if (encoder->compressor == RAFS_COMPRESSOR_ZSTD)
        return encode_zstd(encoder, in, in_len, out, out_len, err);
    if (in_len <= LZ4_MAX_INPUT_SIZE)
        encode_lz4(encoder, in, in_len, out, out_len);
    return RAFS_OK;
}

int rafsi_encode_step(struct rafsi_encoder *encoder, struct encode_step *step,
                      rafs_error *err)
{
    ZSTD_inBuffer in = {step->in, step->in_left, 0};
    ZSTD_outBuffer out = {step->out, step->out_left, 0};
    size_t left = ZSTD_compressStream2(encoder->zstd, &out, &in,
                                       step->last ? ZSTD_e_end : ZSTD_e_continue);

    if (ZSTD_isError(left))
        return fail_zstd(err, left);
    step->in += in.pos;
    step->in_left -= in.pos;
    step->out += out.pos;
    step->out_left -= out.pos;
    step->done = step->last && left == 0;
    return RAFS_OK;
}
