/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole image: u8 options, u24 length of the bootstrap, the bootstrap, the blob. Opens
 * it, and asks for everything that the public API can tell, within bounds.
 */
#include <sys/stat.h>

#include "fuzz.h"
#include "rafs/rafs.h"

enum {
    NO_CHUNK_CACHE = 1,
    NO_BLOB = 2,
    CHECK = 4,
    BLOB_TWICE = 8,
    STEPS_MAX = 64,
    READ_MAX = 1 << 16
};

static void one_path(const rafs_image *image, const char *path, uint64_t ino)
{
    char buf[4096];
    uint64_t again = 0;
    size_t len = 0;

    /* It may be another inode: in a directory out of order a search and a walk need not
     * meet the same entry of two with one name. */
    (void)rafs_image_resolve(image, path, RAFS_RESOLVE_NOFOLLOW, &again, NULL);
    (void)rafs_image_get_path(image, ino, buf, sizeof(buf), &len, NULL, NULL);
}

static void one_xattrs(const rafs_image *image, uint64_t ino)
{
    char names[2048];
    uint8_t value[512];
    size_t len = 0;
    size_t value_len;
    int found = 0;

    if (rafs_image_list_xattr(image, ino, names, sizeof(names), &len, NULL) != RAFS_OK)
        return;
    for (size_t pos = 0; pos < len && found < 8; pos += strlen(names + pos) + 1, found++)
        (void)rafs_image_get_xattr(image, ino, names + pos, value, sizeof(value),
                                   &value_len, NULL);
}

static void one_extents(const rafs_image *image, uint64_t ino, uint64_t size)
{
    rafs_extent extents[4];
    uint64_t offset = 0;
    size_t count = 0;

    for (int i = 0; i < 4; i++) {
        if (rafs_image_get_extents(image, ino, offset, extents, 4, &count, NULL, NULL) !=
                RAFS_OK ||
            count == 0)
            return;
        for (size_t j = 0; j < count; j++) {
            MUST(extents[j].file_offset <= offset && extents[j].length > 0);
            offset = extents[j].file_offset + extents[j].length;
            MUST(offset <= size);
        }
    }
}

static void one_content(const rafs_image *image, uint64_t ino, uint64_t size)
{
    static uint8_t buf[READ_MAX];
    rafs_error err = RAFS_ERROR_INIT;
    size_t nread = 1;
    int rc = rafs_image_read(image, ino, 0, READ_MAX, buf, &nread, NULL, &err);

    MUST(rc == err.code);
    MUST(nread == (rc == RAFS_OK ? (size < READ_MAX ? size : READ_MAX) : 0));
    if (size > 100)
        (void)rafs_image_read(image, ino, size - 100, 200, buf, &nread, NULL, NULL);
}

static void walk(const rafs_image *image)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;

    if (rafs_walk_open(image, "/", 0, &walk, NULL) != RAFS_OK)
        return;
    for (int i = 0; i < STEPS_MAX; i++) {
        char target[256];
        size_t len;
        int rc = rafs_walk_next(walk, &entry, NULL);

        if (rc != RAFS_OK)
            continue;
        if (!entry)
            break;
        one_path(image, entry->path, entry->ino);
        one_xattrs(image, entry->ino);
        (void)rafs_image_readlink(image, entry->ino, target, sizeof(target), &len, NULL);
        if (S_ISREG(entry->attr.mode)) {
            one_extents(image, entry->ino, entry->attr.size);
            one_content(image, entry->ino, entry->attr.size);
        }
    }
    rafs_walk_close(walk);
}

static void facts(const rafs_image *image)
{
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_blob_info blob = {.struct_size = sizeof(blob)};
    uint64_t inos[8];
    size_t count = 0;

    MUST(rafs_image_get_info(image, &info, NULL) == RAFS_OK);
    for (uint32_t i = 0; i < info.blob_count && i < 8; i++)
        MUST(rafs_image_get_blob(image, i, &blob, NULL) == RAFS_OK);
    (void)rafs_image_get_prefetch(image, 0, inos, 8, &count, NULL);
    MUST(count <= 8);
}

static void check(const rafs_image *image, uint32_t flags)
{
    rafs_check_options options = RAFS_CHECK_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof(result)};

    options.flags = flags;
    (void)rafs_image_check(image, &options, &result, NULL, NULL);
}

static void use(struct span boot, rafs_backend *const *backends, size_t count,
                unsigned flags)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .inlined_bootstrap_bytes = 1 << 20,
                          .chunk_index_bytes = 1 << 20,
                          .blob_meta_bytes = 1 << 20};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    int rc;

    limits.chunk_cache_bytes = flags & NO_CHUNK_CACHE ? 1 : 0;
    options.limits = &limits;
    options.backends = backends;
    options.backend_count = count;
    options.name = "0123abcd.blob";
    rc = rafs_image_open_memory(boot.at, boot.len, &options, &image, NULL, &err);
    MUST(rc == err.code && (rc == RAFS_OK) == (image != NULL));
    if (rc != RAFS_OK) {
        MUST(err.text[0] != '\0');
        return;
    }
    facts(image);
    walk(image);
    if (flags & CHECK)
        check(image, flags & NO_BLOB ? RAFS_CHECK_METADATA_ONLY : 0);
    rafs_image_close(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned flags = (unsigned)input_number(&in, 1);
    struct span boot = input_copy(&in, (size_t)input_number(&in, 3), 0);
    struct span blob = input_copy(&in, in.left, 0);
    rafs_backend *backends[2] = {NULL, NULL};

    MUST(rafs_backend_new_memory(NULL, blob.at, blob.len, NULL, &backends[0], NULL) ==
         RAFS_OK);
    backends[1] = backends[0];
    use(boot, backends, flags & NO_BLOB ? 0 : flags & BLOB_TWICE ? 2 : 1, flags);
    rafs_backend_free(backends[0]);
    input_free(boot);
    input_free(blob);
    return 0;
}
