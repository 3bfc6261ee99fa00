/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CODEC_H
#define RAFSI_CODEC_H

/*
 * encode.c: raw bytes to compressed ones. codec.c: compressed bytes to raw bytes, into a
 * buffer of exactly the size that the metadata states: more or fewer bytes are
 * corruption. Nothing here says that the bytes are right; that is verify's.
 */

#include "base/base.h"

struct rafsi_decoder; /* scratch memory of the codecs; one thread at a time */

int rafsi_decoder_new(const struct rafsi_env *env, struct rafsi_decoder **out,
                      rafs_error *err);
void rafsi_decoder_free(struct rafsi_decoder *decoder);

/* compressor: RAFS_COMPRESSOR_. RAFS_E_CORRUPT, RAFS_E_NOMEM, RAFS_E_UNSUPPORTED. */
int rafsi_decode(struct rafsi_decoder *decoder, uint32_t compressor, const uint8_t *in,
                 size_t in_len, uint8_t *out, size_t out_len, rafs_error *err);

/* Contexts and scratch memory of a compressor; one thread at a time. What comes out
 * follows from the bytes, the compressor and the level alone. */
struct rafsi_encoder;

/* compressor: RAFS_COMPRESSOR_NONE, _LZ4_BLOCK or _ZSTD. level: of zstd -7 to 22, 0 is 3;
 * of lz4 1 fast, 2 to 12 high compression, 0 is 1. */
int rafsi_encoder_new(const struct rafsi_env *env, uint32_t compressor, int32_t level,
                      struct rafsi_encoder **out, rafs_error *err);
void rafsi_encoder_free(struct rafsi_encoder *encoder);

/* Compress into less than in_len bytes; out has room for in_len. *out_len 0: it does not
 * get smaller, and is to be stored as it is. len is at most RAFS_CHUNK_SIZE_MAX, or, of
 * metadata, 2 GB. RAFS_E_NOMEM. */
int rafsi_encode(struct rafsi_encoder *encoder, const uint8_t *in, size_t in_len,
                 uint8_t *out, size_t *out_len, rafs_error *err);

/* A stream, zstd only: takes of in, gives to out, as far as either reaches. last: nothing
 * comes after in; *done is set once all is out. Bytes used and made are advanced. */
struct encode_step {
    const uint8_t *in;
    size_t in_left;
    uint8_t *out;
    size_t out_left;
    bool last;
    bool done;
};
int rafsi_encode_step(struct rafsi_encoder *encoder, struct encode_step *step,
                      rafs_error *err);

const char *rafsi_compressor_name(uint32_t compressor);

#endif
