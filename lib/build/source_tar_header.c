/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/source_tar.h"

/*
 * The 512 bytes of a header. Source: POSIX pax, "ustar Interchange Format"; GNU tar's
 * tar.h; star's for the third row.
 *
 *   0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 |
 *   148 sum 8 | 156 type 1 | 157 target 100 | 257 magic 8 | 265 names of the owner 64 |
 *   329 major 8 | 337 minor 8 |
 *   345 prefix 155                                  magic "ustar\0"
 *   345 times, sparse map, real size 483            magic "ustar  \0" (GNU)
 *   345 prefix 131 | 476 times | 508 "tar\0"        magic "ustar\0" (star)
 */

enum { NAME = 100, PREFIX_AT = 345, PREFIX = 155, PREFIX_STAR = 131 };

static bool octal(const uint8_t *at, size_t len, int64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;

    while (i < len && at[i] == ' ')
        i++;
    for (; i < len && at[i] >= '0' && at[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(at[i] - '0');
    for (; i < len; i++)
        if (at[i] != ' ' && at[i] != '\0')
            return false;
    *out = (int64_t)value;
    return true; /* 12 digits are 36 bits */
}

/* Two's complement, big endian; the top bit only says that it is so, the next one is the
 * sign. */
bool rafsi_tar_number(const uint8_t *at, size_t len, int64_t *out)
{
    uint8_t sign = at[0] & 0x40 ? 0xff : 0;
    uint64_t value = sign ? UINT64_MAX : 0;

    if ((at[0] & 0x80) == 0)
        return octal(at, len, out);
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = i == 0 ? (uint8_t)(at[0] | (sign ? 0x80 : 0)) : at[i];

        if (i == 0 && !sign)
            byte &= 0x7f;
        if ((uint8_t)(value >> 56) != sign)
            return false;
        value = value << 8 | byte;
    }
    *out = (int64_t)value;
    return (*out < 0) == (sign != 0);
}

/* Some old writers added signed bytes. */
static bool checksum_fits(const uint8_t block[TAR_BLOCK])
{
    int64_t sum = 8 * ' ', signed_sum = 8 * ' ', said;

    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (i < 148 || i >= 156) {
            sum += block[i];
            signed_sum += (int8_t)block[i];
        }
    return octal(block + 148, 8, &said) && (said == sum || said == signed_sum);
}

static size_t copy(char *out, const uint8_t *at, size_t len)
{
    size_t n = strnlen((const char *)at, len);

    memcpy(out, at, n);
    out[n] = '\0';
    return n;
}

static void take_name(const uint8_t block[TAR_BLOCK], struct tar_header *out)
{
    bool posix = memcmp(block + 257, "ustar\0", 6) == 0;
    bool star = memcmp(block + 508, "tar\0", 4) == 0;
    size_t len = 0;

    if (posix)
        len = copy(out->name, block + PREFIX_AT, star ? PREFIX_STAR : PREFIX);
    if (len != 0)
        out->name[len++] = '/';
    copy(out->name + len, block, NAME);
    copy(out->target, block + 157, NAME);
}

const char *rafsi_tar_decode(const uint8_t block[TAR_BLOCK], struct tar_header *out)
{
    *out = (struct tar_header){.type = block[156] ? block[156] : '0'};
    if (!checksum_fits(block))
        return "its checksum is wrong";
    out->gnu = memcmp(block + 257, "ustar  \0", 8) == 0;
    if (!rafsi_tar_number(block + 124, 12, &out->size) || out->size < 0)
        return "its size is no size";
    if (!rafsi_tar_number(block + 100, 8, &out->mode) ||
        !rafsi_tar_number(block + 108, 8, &out->uid) ||
        !rafsi_tar_number(block + 116, 8, &out->gid))
        return "its mode or owner is no number";
    if (!rafsi_tar_number(block + 136, 12, &out->mtime))
        return "its time is no number";
    if ((out->type == '3' || out->type == '4') &&
        (!rafsi_tar_number(block + 329, 8, &out->major) ||
         !rafsi_tar_number(block + 337, 8, &out->minor)))
        return "its device is no number";
    take_name(block, out);
    return NULL;
}
