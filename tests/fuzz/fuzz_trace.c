/* SPDX-License-Identifier: Apache-2.0 */
/* An access trace. The digest at its end is put right first, or nothing behind it would
 * ever be looked at; an odd first byte leaves it as it is. */
#include "format/format.h"
#include "format/trace.h"
#include "fuzz.h"

enum { DIGEST = 32 };

static void look(struct span whole, const struct trace_header *header)
{
    uint64_t before = 0;

    MUST(rafsi_trace_bytes(header) == whole.len);
    for (uint32_t i = 0; i < header->blobs; i++) {
        struct trace_blob blob;

        rafsi_trace_blob(whole, i, &blob);
        MUST(rafsi_check_blob_id((const uint8_t *)blob.id, strlen(blob.id), 0, NULL) ==
             RAFS_OK);
    }
    for (uint32_t i = 0; i < header->events; i++) {
        struct trace_event event;
        struct trace_blob blob;
        uint8_t again[TRACE_EVENT_BYTES];

        rafsi_trace_event(whole, header, i, &event);
        MUST(event.time_us >= before && event.blob < header->blobs);
        before = event.time_us;
        rafsi_trace_blob(whole, event.blob, &blob);
        MUST(blob.size == 0 || (event.stored <= blob.size &&
                                event.stored_size <= blob.size - event.stored));
        rafsi_trace_put_event(&event, again);
        MUST(memcmp(again,
                    whole.at + TRACE_HEADER_BYTES + header->blobs * TRACE_BLOB_BYTES +
                        i * TRACE_EVENT_BYTES,
                    sizeof(again)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool seal = input_number(&in, 1) % 2 == 0;
    struct span whole = input_copy(&in, size, 0);
    struct trace_header header;

    if (seal && whole.len >= DIGEST)
        rafsi_trace_seal((uint8_t *)(uintptr_t)whole.at, whole.len);
    if (rafsi_trace_check(whole, &header, NULL) == RAFS_OK)
        look(whole, &header);
    input_free(whole);
    return 0;
}
