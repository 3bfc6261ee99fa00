/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a blob: a table of contents and the tar header behind it. */
#include "format/format.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {SECTION_BLOB,   SECTION_META, SECTION_META_HEADER,
                                        SECTION_DIGEST, SECTION_BOOT, "",
                                        "nobody"};
    struct input in = {data, size};
    uint64_t blob_size = input_number(&in, 5);
    struct span head = input_copy(&in, TAR_HEADER_BYTES, blob_size);
    struct span toc = input_copy(&in, TOC_MAX, 0);
    struct tar_section section;
    struct toc_entry entry;
    bool found = false;

    if (rafsi_tar_section(head, &section, NULL) == RAFS_OK) {
        MUST(section.at <= head.origin && section.size <= head.origin - section.at);
        MUST(strlen(section.name) < sizeof(section.name));
        (void)rafsi_toc_section(&section, NULL);
    }
    for (uint64_t i = 0; i <= toc.len / TOC_ENTRY_BYTES; i++)
        if (rafsi_toc_entry(toc, i, blob_size, &entry, NULL) == RAFS_OK)
            MUST(entry.at <= blob_size && entry.stored_size <= blob_size - entry.at);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (rafsi_toc_find(toc, blob_size, names[i], &entry, &found, NULL) == RAFS_OK &&
            found)
            MUST(strcmp(entry.name, names[i]) == 0);
    input_free(head);
    input_free(toc);
    return 0;
}
