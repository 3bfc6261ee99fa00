/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FORMAT_TOC_H
#define RAFSI_FORMAT_TOC_H

/*
 * The parts of a blob that describe it: sections, each followed by a tar header, and a
 * table of contents (TOC), the last of them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "rafs/error.h"

#define TAR_HEADER_BYTES 512u
#define TOC_ENTRY_BYTES 128u
#define TOC_MAX 0x10000u /* entries and header */

#define SECTION_BLOB "image.blob"
#define SECTION_META "blob.meta"
#define SECTION_META_HEADER "blob.meta.header"
#define SECTION_DIGEST "blob.digest"
#define SECTION_BOOT "image.boot"
#define SECTION_TOC "rafs.blob.toc"

/* A section that ends where its header begins. */
struct tar_section {
    char name[101]; /* NUL terminated */
    uint64_t at;
    uint64_t size;
};
/* bytes: 512, whose origin is their position in the blob. */
int rafsi_tar_section(struct span bytes, struct tar_section *out, rafs_error *err);

struct toc_entry {
    uint32_t compressor; /* RAFS_COMPRESSOR_ */
    char name[17];       /* NUL terminated */
    uint8_t digest[32];  /* SHA-256 of the uncompressed section */
    uint64_t at;         /* in the blob */
    uint64_t stored_size;
    uint64_t uncompressed_size;
};
/* Entry i of a TOC without its header. blob_size: sections lie within it. */
int rafsi_toc_entry(struct span toc, uint64_t i, uint64_t blob_size,
                    struct toc_entry *out, rafs_error *err);
/* The entry of that name. *found is false if there is none. */
int rafsi_toc_find(struct span toc, uint64_t blob_size, const char *name,
                   struct toc_entry *out, bool *found, rafs_error *err);
/* The way back. name: at most 16 bytes in an entry, 99 in a header. */
void rafsi_tar_section_put(const char *name, uint64_t size,
                           uint8_t out[TAR_HEADER_BYTES]);
void rafsi_toc_entry_put(const struct toc_entry *entry, uint8_t out[TOC_ENTRY_BYTES]);
/* Is that section a TOC that can be one? Its size is checked. */
int rafsi_toc_section(const struct tar_section *section, rafs_error *err);

#endif
