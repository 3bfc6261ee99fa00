/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_TAR_H
#define RAFSI_OCI_TAR_H

#include "base/base.h"

/*
 * A tar is a row of entries: a header of 512 bytes, then the data, filled up to 512.
 * In the header: name 0-99, size 124-135 (octal digits, or base 256 if the first bit is
 * set), checksum 148-155, type 156 ('0' or NUL: a file), prefix 345-499 (ustar). Source:
 * POSIX.1 pax, ustar; GNU tar for base 256.
 */
enum { TAR_BLOCK = 512, TAR_NAME_MAX = 100 };

struct tar_header {
    char name[TAR_NAME_MAX + 1]; /* without what stands in the prefix */
    bool has_prefix;             /* then the name is longer than any we look for */
    char type;                   /* '0' for a file, also where the header has a NUL */
    uint64_t size;
};

/* False: it is none, or its checksum is wrong. */
bool rafsi_tar_header(const uint8_t block[TAR_BLOCK], struct tar_header *out);

/* Bytes that an entry of this size takes after its header; false if that overflows. */
bool rafsi_tar_stored(uint64_t size, uint64_t *out);

#endif
