/* SPDX-License-Identifier: Apache-2.0 */
/* A block of a v6 directory: the input is the block. */
#include "format/format.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct span block = input_copy(&in, V6_BLOCK_BYTES, 8192);
    uint32_t count = 0;

    if (rafsi_v6_dirent_count(block, &count, NULL) == RAFS_OK) {
        MUST(count > 0 && count <= block.len / V6_DIRENT_BYTES);
        for (uint32_t i = 0; i < count; i++) {
            struct v6_dirent entry;

            if (rafsi_v6_dirent(block, count, i, &entry, NULL) != RAFS_OK)
                continue;
            MUST(entry.name >= block.at && entry.name_len <= RAFS_NAME_MAX);
            MUST(entry.name + entry.name_len <= block.at + block.len);
            MUST(!memchr(entry.name, '/', entry.name_len));
            MUST(!memchr(entry.name, '\0', entry.name_len));
        }
    }
    input_free(block);
    return 0;
}
