/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_ARITH_H
#define RAFSI_ARITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arithmetic that says whether the result fits. */

static inline bool rafsi_add(uint64_t a, uint64_t b, uint64_t *sum)
{
    *sum = a + b;
    return *sum >= a;
}

static inline bool rafsi_mul(uint64_t a, uint64_t b, uint64_t *product)
{
    *product = a * b;
    return a == 0 || *product / a == b;
}

/* Does [offset, offset + len) lie within size bytes? */
static inline bool rafsi_within(uint64_t offset, uint64_t len, uint64_t size)
{
    return offset <= size && len <= size - offset;
}

/* Round up to a multiple of a power of two; false if that does not fit. */
static inline bool rafsi_round_up(uint64_t value, uint64_t power, uint64_t *out)
{
    if (!rafsi_add(value, power - 1, out))
        return false;
    *out &= ~(power - 1);
    return true;
}

static inline bool rafsi_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static inline uint64_t rafsi_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Are all bytes zero? */
static inline bool rafsi_all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t seen = 0;

    for (size_t i = 0; i < len; i++)
        seen |= bytes[i];
    return seen == 0;
}

#endif
