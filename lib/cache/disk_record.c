/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/disk_record.h"

#include <zlib.h>

/* "RRDY" on disk. */
static const uint8_t magic[4] = {0x52, 0x52, 0x44, 0x59};

static void give_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static void give_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t crc_of(const uint8_t *bytes)
{
    return (uint32_t)crc32(crc32(0, NULL, 0), bytes, DISK_RECORD_BYTES - 4);
}

void rafsi_disk_record_encode(const struct disk_record *record,
                              uint8_t out[DISK_RECORD_BYTES])
{
    memset(out, 0, DISK_RECORD_BYTES);
    memcpy(out, magic, sizeof(magic));
    out[4] = record->kind;
    if (record->kind == DISK_HEAD) {
        size_t len = strlen(record->id);

        out[6] = (uint8_t)len;
        memcpy(out + 8, record->id, len);
    } else {
        out[5] = record->algorithm;
        out[7] = record->flags;
        give_u64(out + 8, record->offset);
        give_u32(out + 16, record->size);
        memcpy(out + 20, record->digest, sizeof(record->digest));
        memcpy(out + 52, record->boot, sizeof(record->boot));
        give_u64(out + 68, record->about);
    }
    give_u32(out + DISK_RECORD_BYTES - 4, crc_of(out));
}

bool rafsi_disk_record_decode(const uint8_t in[DISK_RECORD_BYTES],
                              struct disk_record *out)
{
    struct cursor c = cursor_of((struct span){in, DISK_RECORD_BYTES, 0});
    uint8_t id_len;

    memset(out, 0, sizeof(*out));
    if (memcmp(take_bytes(&c, sizeof(magic)), magic, sizeof(magic)) != 0)
        return false;
    out->kind = take_u8(&c);
    out->algorithm = take_u8(&c);
    id_len = take_u8(&c);
    out->flags = take_u8(&c);
    if (out->kind < DISK_HEAD || out->kind > DISK_RESET || id_len >= sizeof(out->id))
        return false;
    if (out->kind == DISK_HEAD) {
        take_copy(&c, out->id, id_len);
    } else {
        out->offset = take_u64(&c);
        out->size = take_u32(&c);
        take_copy(&c, out->digest, sizeof(out->digest));
        take_copy(&c, out->boot, sizeof(out->boot));
        out->about = take_u64(&c);
    }
    c.pos = DISK_RECORD_BYTES - 4;
    return take_u32(&c) == crc_of(in) && !c.overrun;
}

bool rafsi_disk_record_next(const uint8_t *bytes, size_t len, size_t *pos, size_t *at,
                            struct disk_record *out)
{
    while (len - *pos >= DISK_RECORD_BYTES) {
        const uint8_t *next;

        if (rafsi_disk_record_decode(bytes + *pos, out)) {
            *at = *pos;
            *pos += DISK_RECORD_BYTES;
            return true;
        }
        /* One behind, or as far as no record can begin. */
        next = memchr(bytes + *pos + 1, magic[0], len - *pos - DISK_RECORD_BYTES);
        *pos = next ? (size_t)(next - bytes) : len - DISK_RECORD_BYTES + 1;
    }
    return false;
}
