/* SPDX-License-Identifier: Apache-2.0 */
/* One decoder, one to three inputs after each other: u8 compressor, u16 size of the
 * output, u16 size of the input, its bytes. State must not leak from one to the next. */
#include "codec/codec.h"
#include "fuzz.h"

static void decode(struct rafsi_decoder *decoder, struct input *in)
{
    uint32_t compressor = (uint32_t)input_number(in, 1) % 5;
    size_t out_len = (size_t)input_number(in, 2);
    struct span stored = input_copy(in, (size_t)input_number(in, 2), 0);
    uint8_t *out = malloc(out_len ? out_len : 1);
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    MUST(out);
    rc = rafsi_decode(decoder, compressor, stored.at, stored.len, out, out_len, &err);
    MUST(rc == RAFS_OK || rc == RAFS_E_CORRUPT || rc == RAFS_E_UNSUPPORTED);
    MUST(rc == err.code);
    free(out);
    input_free(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct rafsi_decoder *decoder = NULL;
    struct rafsi_env env;

    MUST(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    MUST(rafsi_decoder_new(&env, &decoder, NULL) == RAFS_OK);
    for (int i = 0; i < 3 && in.left > 0; i++)
        decode(decoder, &in);
    rafsi_decoder_free(decoder);
    return 0;
}
