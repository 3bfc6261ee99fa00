/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/tar.h"

/* Octal digits between spaces, ended by a space, a NUL or the field. */
static bool octal(const uint8_t *at, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    size_t digits;

    while (i < len && at[i] == ' ')
        i++;
    digits = i;
    for (; i < len && at[i] >= '0' && at[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(at[i] - '0');
    *out = value;
    return i > digits && (i == len || at[i] == ' ' || at[i] == '\0');
}

/* What octal digits have no room for, big endian after a byte 0x80. */
static bool number(const uint8_t *at, size_t len, uint64_t *out)
{
    uint64_t value = 0;

    if ((at[0] & 0x80) == 0)
        return octal(at, len, out);
    if (at[0] != 0x80 || !rafsi_all_zero(at + 1, len - 9) || (at[len - 8] & 0x80))
        return false;
    for (size_t i = len - 8; i < len; i++)
        value = value << 8 | at[i];
    *out = value;
    return true;
}

static bool checksum_fits(const uint8_t block[TAR_BLOCK])
{
    uint64_t said = 0;
    uint64_t sum = 8 * ' ';

    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (i < 148 || i >= 156)
            sum += block[i];
    return octal(block + 148, 8, &said) && said == sum;
}

bool rafsi_tar_header(const uint8_t block[TAR_BLOCK], struct tar_header *out)
{
    if (!checksum_fits(block) || !number(block + 124, 12, &out->size))
        return false;
    memcpy(out->name, block, TAR_NAME_MAX);
    out->name[TAR_NAME_MAX] = '\0';
    out->has_prefix = block[345] != '\0';
    out->type = block[156] ? (char)block[156] : '0';
    return true;
}

bool rafsi_tar_stored(uint64_t size, uint64_t *out)
{
    return rafsi_round_up(size, TAR_BLOCK, out);
}
