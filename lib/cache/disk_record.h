/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_DISK_RECORD_H
#define RAFSI_CACHE_DISK_RECORD_H

/*
 * The journal of a blob, `<stem>.ready`: records of 80 bytes, little endian, only ever
 * appended, each by one write.
 *
 *    0  u32  magic
 *    4  u8   kind
 *    5  u8   algorithm of the digest (DISK_READY, DISK_BAD)
 *    6  u8   length of the blob id (DISK_HEAD)
 *    7  u8   flags (DISK_RESET)
 *    8  u64  place of the chunk; for DISK_SYNC and DISK_RESET a length of the journal
 *   16  u32  size of the chunk
 *   20  32   its digest
 *   52  16   boot that the record was written in
 *   68  u64  DISK_BAD: one more than the place of the record that it takes back; 0: of
 * any 76  u32  CRC-32 of the 76 bytes before
 *
 * DISK_HEAD has the blob id in the bytes from 8 to 72.
 *
 * A record may be torn (killed process, full disk, power cut). So whoever reads looks for
 * the next one that is whole: nothing depends on records lying at multiples of 80.
 */

#include "base/base.h"

enum { DISK_RECORD_BYTES = 80, DISK_BOOT_BYTES = 16, RAFSI_BLOB_ID_BYTES = 65 };

enum {
    DISK_HEAD = 1,  /* which blob this is */
    DISK_READY = 2, /* the chunk was written, but may not survive a power cut */
    DISK_SYNC = 3,  /* those above `offset` written in `boot` survive it */
    DISK_BAD = 4,   /* the chunk is not what the record said */
    DISK_RESET = 5  /* nothing above `offset` counts */
};

enum { DISK_RESET_PENDING = 1 }; /* only what is not durable */

struct disk_record {
    uint8_t kind, algorithm, flags;
    uint32_t size;
    uint64_t offset;
    uint64_t about;
    uint8_t digest[RAFSI_DIGEST_BYTES];
    uint8_t boot[DISK_BOOT_BYTES];
    char id[RAFSI_BLOB_ID_BYTES];
};

void rafsi_disk_record_encode(const struct disk_record *record,
                              uint8_t out[DISK_RECORD_BYTES]);
/* false: torn, damaged or of a kind that we do not know. */
bool rafsi_disk_record_decode(const uint8_t in[DISK_RECORD_BYTES],
                              struct disk_record *out);
/* Find the next whole record at or behind *pos; *pos ends behind it, or, if there is
 * none, where more bytes would be needed to tell. *at: where it lies. */
bool rafsi_disk_record_next(const uint8_t *bytes, size_t len, size_t *pos, size_t *at,
                            struct disk_record *out);

#endif
