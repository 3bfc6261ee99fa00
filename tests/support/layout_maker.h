/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LAYOUT_MAKER_H
#define TESTS_LAYOUT_MAKER_H

#include "golden.h"

/* An OCI layout of a golden image as a tar in a file without a name, made entry by entry
 * so that tests can get each of them wrong. */
struct layout_maker {
    int fd;
    char path[64]; /* by which the library can open it */
};

/* Sizes up to 8 GiB are written in octal digits. */
void layout_maker_init(struct layout_maker *maker);
void layout_maker_drop(struct layout_maker *maker);

void layout_add(struct layout_maker *maker, const char *name, const void *data,
                size_t len);
/* A header alone, with any type and size. */
void layout_add_header(struct layout_maker *maker, const char *name, char type,
                       uint64_t size);
/* Bytes as they are. */
void layout_add_raw(struct layout_maker *maker, const void *data, size_t len);
/* Two blocks of zeros. */
void layout_end(struct layout_maker *maker);

/* "sha256:HEX" of the blob that was added under blobs/sha256/HEX. */
void layout_add_blob(struct layout_maker *maker, const void *data, size_t len,
                     char digest[80]);
/* oci-layout, blobs, a plain tar with the bootstrap, config and manifest; digest is the
 * manifest's. No index.json. */
void layout_add_image(struct layout_maker *maker, const struct golden *golden,
                      char digest[80]);
/* An index of one manifest or index; name NULL: without one. The text is the caller's to
 * free(). */
char *layout_index(const char *digest, size_t size, bool of_index, const char *name);

#endif
