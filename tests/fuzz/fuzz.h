/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* What all targets share: the entry point, and taking an input apart. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

/* Up to n bytes from the input as a little-endian number; 0 once it is used up. */
static inline uint64_t input_number(struct input *in, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n && in->left > 0; i++) {
        value |= (uint64_t)*in->at << 8 * i;
        in->at++;
        in->left--;
    }
    return value;
}

/* The next n bytes, or what is left, in a heap block of exactly that size, so that the
 * address checker sees one byte too many. Freed by the caller. */
static inline struct span input_copy(struct input *in, size_t n, uint64_t origin)
{
    size_t len = n < in->left ? n : in->left;
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        abort();
    if (len)
        memcpy(copy, in->at, len);
    in->at += len;
    in->left -= len;
    return (struct span){copy, len, origin};
}

static inline void input_free(struct span span)
{
    free((void *)(uintptr_t)span.at);
}

/* A claim that only a bug can break. */
#define MUST(claim)   \
    do {              \
        if (!(claim)) \
            abort();  \
    } while (0)

#endif
