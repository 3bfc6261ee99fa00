/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "codec/codec.h"
#include "format/format.h"
#include "rafs/digest.h"

void need(bool good, const char *what, const char *file, int line)
{
    if (good)
        return;
    fprintf(stderr, "%s:%d: the test itself failed: %s\n", file, line, what);
    abort();
}

bool file_exists(const char *path)
{
    return access(path, R_OK) == 0;
}

struct bytes file_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct bytes out = {0};
    long size;

    if (!file)
        fprintf(stderr, "cannot open %s\n", path);
    NEED(file && fseek(file, 0, SEEK_END) == 0);
    size = ftell(file);
    NEED(size >= 0 && fseek(file, 0, SEEK_SET) == 0);
    out.len = (size_t)size;
    out.at = malloc(out.len ? out.len : 1);
    NEED(out.at && fread(out.at, 1, out.len, file) == out.len);
    fclose(file);
    return out;
}

const char *golden_folder(void)
{
    return RAFS_SOURCE_DIR "/tests/golden";
}

const char *golden_shared_folder(void)
{
    static char path[4096];
    const char *set = getenv("RAFS_TESTDATA");

    snprintf(path, sizeof(path), "%s/golden",
             set ? set : RAFS_SOURCE_DIR "/../shared/testdata");
    return file_exists(path) ? path : NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

size_t golden_list(const char *folder, char names[][64], size_t room)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    size_t count = 0;

    NEED(dir);
    while ((entry = readdir(dir)) && count < room)
        if (strncmp(entry->d_name, "v5-", 3) == 0 ||
            strncmp(entry->d_name, "v6-", 3) == 0)
            snprintf(names[count++], 64, "%.63s", entry->d_name);
    closedir(dir);
    qsort(names, count, 64, by_name);
    return count;
}

void digest_text(const char *prefix, uint32_t algorithm, struct bytes bytes, char out[80])
{
    uint8_t digest[RAFS_DIGEST_BYTES];
    char hex[65];

    NEED(rafs_digest_bytes(algorithm, bytes.at, bytes.len, digest) == RAFS_OK);
    rafsi_digest_hex(digest, hex);
    snprintf(out, 80, "%s:%s", prefix, hex);
}

/* The bootstrap's own digest, where a blob carries it: over its section's bytes if they
 * are stored plain, else as the table of contents says. */
static void inlined_digest(struct golden *golden)
{
    struct span head = {golden->boot.at + golden->boot.len - TAR_HEADER_BYTES,
                        TAR_HEADER_BYTES, golden->boot.len - TAR_HEADER_BYTES};
    struct tar_section last;
    struct toc_entry entry;
    bool found = false;
    char hex[65];

    NEED(rafsi_tar_section(head, &last, NULL) == RAFS_OK);
    if (strcmp(last.name, SECTION_BOOT) == 0) {
        digest_text("sha256", RAFS_DIGEST_SHA256,
                    (struct bytes){golden->boot.at + last.at, last.size}, golden->digest);
        return;
    }
    NEED(rafsi_toc_find((struct span){golden->boot.at + last.at, last.size, last.at},
                        golden->boot.len, SECTION_BOOT, &entry, &found,
                        NULL) == RAFS_OK &&
         found);
    rafsi_digest_hex(entry.digest, hex);
    snprintf(golden->digest, sizeof(golden->digest), "sha256:%s", hex);
}

static void load_blobs(const char *folder, struct golden *out)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char path[4096];

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%.3800s/%.255s", folder, entry->d_name);
        if (out->inlined) {
            out->boot = file_read(path);
            snprintf(out->boot_name, sizeof(out->boot_name), "%.79s", entry->d_name);
            continue;
        }
        NEED(out->blob_count < GOLDEN_BLOBS_MAX);
        snprintf(out->blob_id[out->blob_count], 80, "%.79s", entry->d_name);
        out->blob[out->blob_count++] = file_read(path);
    }
    if (dir)
        closedir(dir);
}

void golden_load(const char *folder, const char *variant, struct golden *out)
{
    char path[4096];

    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "%s", variant);
    snprintf(path, sizeof(path), "%s/%s/image.boot", folder, variant);
    out->inlined = !file_exists(path);
    if (!out->inlined) {
        out->boot = file_read(path);
        snprintf(out->boot_name, sizeof(out->boot_name), "image.boot");
        digest_text("sha256", RAFS_DIGEST_SHA256, out->boot, out->digest);
    }
    snprintf(path, sizeof(path), "%s/%s/blobs", folder, variant);
    load_blobs(path, out);
    NEED(out->boot.at);
    if (out->inlined)
        inlined_digest(out);
}

void golden_drop(struct golden *golden)
{
    free(golden->boot.at);
    for (size_t i = 0; i < golden->blob_count; i++)
        free(golden->blob[i].at);
    memset(golden, 0, sizeof(*golden));
}
