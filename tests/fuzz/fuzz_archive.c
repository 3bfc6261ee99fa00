/* SPDX-License-Identifier: Apache-2.0 */
/* An archive of an OCI layout. Each block is given the checksum that a header of it would
 * need, which no fuzzer guesses. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "oci/archive.h"
#include "oci/oci.h"
#include "oci/tar.h"

static void fix_checksum(uint8_t *block)
{
    unsigned sum = 0;

    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    snprintf((char *)block + 148, 8, "%06o", sum);
}

static void scan(const struct rafsi_env *env, int fd, uint64_t size)
{
    struct oci_archive archive;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call = RAFS_CALL_INIT;
    int rc = rafsi_archive_scan(env, fd, &call, &archive, &err);

    MUST(rc == err.code);
    if (rc < 0)
        return;
    for (size_t i = 0; i < archive.count; i++) {
        const struct archive_blob *blob = &archive.blobs[i];

        MUST(rafsi_within(blob->at, blob->size, size));
        MUST(rafsi_archive_find(&archive, blob->digest) == blob);
        MUST(i == 0 || memcmp(blob[-1].digest, blob->digest, OCI_DIGEST_BYTES) < 0);
    }
    if (archive.index.there)
        MUST(rafsi_within(archive.index.at, archive.index.size, size));
    rafsi_archive_drop(env, &archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool fix = input_number(&in, 1) & 1;
    struct span bytes = input_copy(&in, in.left, 0);
    uint8_t *tar = (uint8_t *)(uintptr_t)bytes.at;
    uint8_t digest[OCI_DIGEST_BYTES];
    struct rafsi_env env;
    int fd = memfd_create("archive", MFD_CLOEXEC);

    MUST(fd >= 0 && rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    for (size_t at = 0; fix && at + TAR_BLOCK <= bytes.len; at += TAR_BLOCK)
        if (tar[at] != '\0')
            fix_checksum(tar + at);
    MUST(pwrite(fd, tar, bytes.len, 0) == (ssize_t)bytes.len);
    scan(&env, fd, bytes.len);
    (void)rafsi_layout_pick(tar, bytes.len, fix ? "v1" : NULL, digest, NULL);
    (void)rafsi_layout_version(tar, bytes.len, NULL);
    close(fd);
    input_free(bytes);
    return 0;
}
