/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CODEC_H
#define RAFSI_CODEC_H

/*
 * Compressed bytes to raw bytes, into a buffer of exactly the size that the metadata
 * states: more or fewer bytes are corruption. Nothing here says that the bytes are right;
 * that is verify's.
 */

#include "base/base.h"

struct rafsi_decoder; /* scratch memory of the codecs; one thread at a time */

int rafsi_decoder_new(const struct rafsi_env *env, struct rafsi_decoder **out,
                      rafs_error *err);
void rafsi_decoder_free(struct rafsi_decoder *decoder);

/* compressor: RAFS_COMPRESSOR_. RAFS_E_CORRUPT, RAFS_E_NOMEM, RAFS_E_UNSUPPORTED. */
int rafsi_decode(struct rafsi_decoder *decoder, uint32_t compressor, const uint8_t *in,
                 size_t in_len, uint8_t *out, size_t out_len, rafs_error *err);

const char *rafsi_compressor_name(uint32_t compressor);

#endif
