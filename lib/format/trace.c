/* SPDX-License-Identifier: Apache-2.0 */
#include "format/trace.h"

#include "format/format.h"

/*
 * An access trace: which chunks of an image were first used when, so that a later run can
 * fetch them beforehand. All numbers are little endian.
 *
 *   0   8  "RAFSTRC" and a NUL
 *   8   4  version: 1
 *  12   4  flags; bit 0: more was read than is recorded
 *  16  32  SHA-256 of the bootstrap (the uncompressed image.boot) it belongs to
 *  48   4  number of blobs B, as the image has
 *  52   4  number of events E, at most 2^18
 *  56   8  zeros
 *  64  80  each blob: id of 1 to 64 bytes, filled up to 72 with NUL; its stored size, 8
 *   .  48  each event, in the order of time: microseconds since the image was opened, 8;
 *          inode, 8; where the chunk begins in the file, 8; where it is stored in the
 *          blob, 8; its bytes in the file, 4; stored, 4; index of the blob, 4; number of
 *          the chunk in it, 4
 *   .  32  BLAKE3 of all bytes before
 *
 * The digest finds damage; it proves nothing. A trace only says what to fetch early, and
 * what it names is looked up in the image, so that a forged one can cost time, no more.
 * Events that the image has nothing for are left out.
 */

static const uint8_t magic[8] = "RAFSTRC";
enum { VERSION = 1, DIGEST_BYTES = 32 };

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
    return at + 4;
}

static uint8_t *put64(uint8_t *at, uint64_t value)
{
    return put32(put32(at, (uint32_t)value), (uint32_t)(value >> 32));
}

uint64_t rafsi_trace_bytes(const struct trace_header *header)
{
    return TRACE_HEADER_BYTES + (uint64_t)header->blobs * TRACE_BLOB_BYTES +
           (uint64_t)header->events * TRACE_EVENT_BYTES + DIGEST_BYTES;
}

void rafsi_trace_put_header(const struct trace_header *header,
                            uint8_t out[TRACE_HEADER_BYTES])
{
    uint8_t *at = out;

    memcpy(at, magic, sizeof(magic));
    at = put32(at + sizeof(magic), VERSION);
    at = put32(at, header->flags);
    memcpy(at, header->bootstrap, sizeof(header->bootstrap));
    at = put32(at + sizeof(header->bootstrap), header->blobs);
    at = put32(at, header->events);
    put64(at, 0);
}

void rafsi_trace_put_blob(const struct trace_blob *blob, uint8_t out[TRACE_BLOB_BYTES])
{
    memset(out, 0, TRACE_BLOB_BYTES);
    memcpy(out, blob->id, strlen(blob->id));
    put64(out + sizeof(blob->id), blob->size);
}

void rafsi_trace_put_event(const struct trace_event *event,
                           uint8_t out[TRACE_EVENT_BYTES])
{
    uint8_t *at = put64(out, event->time_us);

    at = put64(at, event->ino);
    at = put64(at, event->offset);
    at = put64(at, event->stored);
    at = put32(at, event->length);
    at = put32(at, event->stored_size);
    at = put32(at, event->blob);
    put32(at, event->chunk);
}

void rafsi_trace_seal(uint8_t *bytes, size_t len)
{
    rafsi_blake3(bytes, len - DIGEST_BYTES, bytes + len - DIGEST_BYTES);
}

static int take_header(struct span whole, struct trace_header *out, rafs_error *err)
{
    struct cursor c = cursor_of(whole);
    uint8_t start[sizeof(magic)];
    uint32_t version;
    uint64_t zeros;

    take_copy(&c, start, sizeof(start));
    version = take_u32(&c);
    out->flags = take_u32(&c);
    take_copy(&c, out->bootstrap, sizeof(out->bootstrap));
    out->blobs = take_u32(&c);
    out->events = take_u32(&c);
    zeros = take_u64(&c);
    if (c.overrun || memcmp(start, magic, sizeof(magic)) != 0)
        return rafsi_corrupt(err, 0, "is no trace");
    if (version != VERSION)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, 8,
                             "a trace of version %u", version);
    if ((out->flags & ~(uint32_t)TRACE_INCOMPLETE) != 0 || zeros != 0)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, 12,
                             "a trace with unknown flags");
    if (out->blobs > RAFS_BLOBS_MAX)
        return rafsi_corrupt(err, 48, "%u blobs", out->blobs);
    if (out->events > TRACE_EVENTS_MAX)
        return rafsi_corrupt(err, 52, "%u events", out->events);
    if (rafsi_trace_bytes(out) != whole.len)
        return rafsi_corrupt(err, 48, "a trace of %zu bytes should have %llu", whole.len,
                             (unsigned long long)rafsi_trace_bytes(out));
    return RAFS_OK;
}

void rafsi_trace_blob(struct span whole, uint32_t i, struct trace_blob *out)
{
    const uint8_t *at = whole.at + TRACE_HEADER_BYTES + (size_t)i * TRACE_BLOB_BYTES;
    struct cursor c = cursor_of((struct span){at, TRACE_BLOB_BYTES, 0});

    take_copy(&c, out->id, sizeof(out->id));
    out->id[sizeof(out->id) - 1] = '\0';
    out->size = take_u64(&c);
}

void rafsi_trace_event(struct span whole, const struct trace_header *header, uint32_t i,
                       struct trace_event *out)
{
    const uint8_t *at = whole.at + TRACE_HEADER_BYTES +
                        (size_t)header->blobs * TRACE_BLOB_BYTES +
                        (size_t)i * TRACE_EVENT_BYTES;
    struct cursor c = cursor_of((struct span){at, TRACE_EVENT_BYTES, 0});

    out->time_us = take_u64(&c);
    out->ino = take_u64(&c);
    out->offset = take_u64(&c);
    out->stored = take_u64(&c);
    out->length = take_u32(&c);
    out->stored_size = take_u32(&c);
    out->blob = take_u32(&c);
    out->chunk = take_u32(&c);
}

static int check_blobs(struct span whole, const struct trace_header *header,
                       rafs_error *err)
{
    for (uint32_t i = 0; i < header->blobs; i++) {
        uint64_t at = TRACE_HEADER_BYTES + (uint64_t)i * TRACE_BLOB_BYTES;
        struct trace_blob blob;
        size_t len;
        int rc;

        rafsi_trace_blob(whole, i, &blob);
        len = strlen(blob.id);
        rc = rafsi_check_blob_id((const uint8_t *)blob.id, len, at, err);
        if (rc == RAFS_OK &&
            !rafsi_all_zero((const uint8_t *)blob.id + len, sizeof(blob.id) - len))
            rc = rafsi_corrupt(err, at, "bytes behind a blob's id");
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

static int check_events(struct span whole, const struct trace_header *header,
                        rafs_error *err)
{
    uint64_t before = 0;

    for (uint32_t i = 0; i < header->events; i++) {
        uint64_t at = TRACE_HEADER_BYTES + (uint64_t)header->blobs * TRACE_BLOB_BYTES +
                      (uint64_t)i * TRACE_EVENT_BYTES;
        struct trace_event event;
        struct trace_blob blob;

        rafsi_trace_event(whole, header, i, &event);
        if (event.time_us < before)
            return rafsi_corrupt(err, at, "event %u goes back in time", i);
        if (event.blob >= header->blobs)
            return rafsi_corrupt(err, at + 40, "event %u in blob %u of %u", i, event.blob,
                                 header->blobs);
        rafsi_trace_blob(whole, event.blob, &blob);
        if ((event.ino == 0 && event.offset != 0) || event.length == 0 ||
            event.length > RAFS_CHUNK_SIZE_MAX ||
            event.chunk >= RAFS_CHUNKS_PER_BLOB_MAX ||
            event.offset > (uint64_t)INT64_MAX - event.length ||
            event.stored > (uint64_t)INT64_MAX - event.stored_size ||
            (blob.size != 0 && !rafsi_within(event.stored, event.stored_size, blob.size)))
            return rafsi_corrupt(err, at, "event %u names no chunk that can be", i);
        before = event.time_us;
    }
    return RAFS_OK;
}

int rafsi_trace_check(struct span whole, struct trace_header *header, rafs_error *err)
{
    uint8_t digest[DIGEST_BYTES];
    struct trace_header made;
    int rc = take_header(whole, &made, err);

    if (rc < 0)
        return rc;
    rafsi_blake3(whole.at, whole.len - DIGEST_BYTES, digest);
    if (memcmp(digest, whole.at + whole.len - DIGEST_BYTES, DIGEST_BYTES) != 0)
        return rafsi_corrupt(err, whole.len - DIGEST_BYTES,
                             "the digest at the end is not that of the trace");
    rc = check_blobs(whole, &made, err);
    if (rc == RAFS_OK)
        rc = check_events(whole, &made, err);
    if (rc == RAFS_OK)
        *header = made;
    return rc;
}
