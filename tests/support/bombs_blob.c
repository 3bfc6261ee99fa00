/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "bombs.h"
#include "format/format.h"
#include "v6_maker.h"

/* The blob with a TOC, and the TOC's entry of the bootstrap in it. */
static struct bytes with_toc(uint8_t **entry)
{
    struct tar_section last;
    struct golden golden;
    struct bytes out;

    golden_load(golden_folder(), "v6-toc", &golden);
    out = golden.boot;
    golden.boot.at = NULL;
    golden_drop(&golden);
    NEED(rafsi_tar_section((struct span){out.at + out.len - TAR_HEADER_BYTES,
                                         TAR_HEADER_BYTES, out.len - TAR_HEADER_BYTES},
                           &last, NULL) == RAFS_OK);
    *entry = NULL;
    for (uint64_t i = 0; i < last.size / TOC_ENTRY_BYTES; i++) {
        uint8_t *at = out.at + last.at + i * TOC_ENTRY_BYTES;

        if (strncmp((char *)at + 8, SECTION_BOOT, 16) == 0)
            *entry = at;
    }
    NEED(*entry);
    return out;
}

/* Where the stored bootstrap begins. */
static uint8_t *stored(struct bytes blob, const uint8_t *entry)
{
    size_t at = 0;

    for (int i = 7; i >= 0; i--)
        at = at << 8 | entry[56 + i];
    return blob.at + at;
}

struct bytes bomb_toc_claims_terabytes(void)
{
    uint8_t *entry;
    struct bytes blob = with_toc(&entry);

    maker_u64(entry + 72, (uint64_t)1 << 40);
    return blob;
}

struct bytes bomb_toc_claims_what_is_allowed(void)
{
    uint8_t *entry;
    struct bytes blob = with_toc(&entry);

    maker_u64(entry + 72, 40 << 20);
    return blob;
}

/* A frame that says how much comes out of it: more than the TOC does. */
struct bytes bomb_zstd_frame_claims_terabytes(void)
{
    uint8_t *entry;
    struct bytes blob = with_toc(&entry);
    uint8_t *frame = stored(blob, entry);

    frame[4] = 0xe0; /* content size of 8 bytes, single segment */
    maker_u64(frame + 5, (uint64_t)1 << 40);
    return blob;
}

/* A frame without a size, whose window would need 2 GiB. */
struct bytes bomb_zstd_window(void)
{
    uint8_t *entry;
    struct bytes blob = with_toc(&entry);
    uint8_t *frame = stored(blob, entry);

    frame[4] = 0x00;
    frame[5] = (31 - 10) << 3;
    return blob;
}

struct bytes bomb_ci_of_2_24_chunks(void)
{
    struct golden golden;
    struct bytes boot;
    uint8_t *record;
    size_t at = 0;

    golden_load(golden_folder(), "v6-zstd", &golden);
    boot = golden.boot;
    golden.boot.at = NULL;
    golden_drop(&golden);
    for (int i = 7; i >= 0; i--)
        at = at << 8 | boot.at[V6_EXT_SUPER_AT + 8 + i];
    record = boot.at + at;
    maker_u32(record + 72, 1 << 24);
    maker_u64(record + 128, (uint64_t)CI_V1_BYTES << 24);
    return boot;
}
