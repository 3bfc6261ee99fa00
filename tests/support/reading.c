/* SPDX-License-Identifier: Apache-2.0 */
#include "reading.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct bytes copy_of(struct bytes bytes)
{
    struct bytes copy = {malloc(bytes.len ? bytes.len : 1), bytes.len};

    NEED(copy.at);
    if (bytes.len)
        memcpy(copy.at, bytes.at, bytes.len);
    return copy;
}

void rig_init(struct rig *rig, const struct golden *golden, struct watch *watch)
{
    memset(rig, 0, sizeof(*rig));
    rig->boot = copy_of(golden->boot);
    for (size_t i = 0; i < golden->blob_count; i++)
        rig->blobs[i] = copy_of(golden->blob[i]);
    script_init(&rig->script, rig->blobs, golden->blob_id, golden->blob_count, watch);
    rig->backend = script_backend(&rig->script, watch ? &watch->env : NULL);
}

int rig_open(struct rig *rig, const struct golden *golden, const char *expect,
             uint64_t chunk_cache_bytes, rafs_error *err)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .chunk_cache_bytes = chunk_cache_bytes};

    if (rig->script.watch)
        options.env = &rig->script.watch->env;
    options.expect_digest = expect;
    options.backends = &rig->backend;
    options.backend_count = 1;
    options.limits = &limits;
    options.name = golden->boot_name;
    return rafs_image_open_memory(rig->boot.at, rig->boot.len, &options, &rig->image,
                                  NULL, err);
}

void rig_close(struct rig *rig)
{
    rafs_image_close(rig->image);
    rig->image = NULL;
}

void rig_drop(struct rig *rig)
{
    rig_close(rig);
    rafs_backend_free(rig->backend);
    free(rig->boot.at);
    for (size_t i = 0; i < GOLDEN_BLOBS_MAX; i++)
        free(rig->blobs[i].at);
}

int xattr_digest(const rafs_image *image, uint64_t ino, uint8_t out[RAFS_DIGEST_BYTES])
{
    static const size_t room = 70000;
    char *names = malloc(room);
    uint8_t *value = malloc(room);
    rafs_hash *hash = NULL;
    size_t len = 0;
    size_t value_len = 0;
    int rc;

    NEED(names && value &&
         rafs_hash_new(RAFS_DIGEST_BLAKE3, NULL, &hash, NULL) == RAFS_OK);
    rc = rafs_image_list_xattr(image, ino, names, room, &len, NULL);
    for (size_t pos = 0; rc == RAFS_OK && pos < len; pos += strlen(names + pos) + 1) {
        rc = rafs_image_get_xattr(image, ino, names + pos, value, room, &value_len, NULL);
        if (rc == RAFS_OK)
            rafs_hash_update(hash, value, value_len);
    }
    if (rc == RAFS_OK) {
        rafs_hash_update(hash, names, len);
        rafs_hash_final(hash, out);
    }
    rafs_hash_free(hash);
    free(names);
    free(value);
    return rc;
}

static void take_content(const rafs_image *image, struct item *item)
{
    size_t nread = 0;

    if (S_ISREG(item->attr.mode) || S_ISLNK(item->attr.mode)) {
        item->content.len = (size_t)item->attr.size;
        item->content.at = malloc(item->content.len + 1);
        NEED(item->content.at);
    }
    if (S_ISLNK(item->attr.mode))
        NEED(rafs_image_readlink(image, item->attr.ino, (char *)item->content.at,
                                 item->content.len + 1, &nread, NULL) == RAFS_OK &&
             nread == item->content.len);
    if (S_ISREG(item->attr.mode))
        NEED(rafs_image_read(image, item->attr.ino, 0, item->content.len,
                             item->content.at, &nread, NULL, NULL) == RAFS_OK &&
             nread == item->content.len);
}

/* Which part of its blob a file depends on; all of it if in doubt. */
static void take_range(const rafs_image *image, struct item *item)
{
    rafs_extent extent;
    size_t count = 0;

    item->first_byte = UINT64_MAX;
    for (uint64_t at = 0; S_ISREG(item->attr.mode) && at < item->attr.size;) {
        uint64_t end;

        NEED(rafs_image_get_extents(image, item->attr.ino, at, &extent, 1, &count, NULL,
                                    NULL) == RAFS_OK &&
             count == 1);
        at = extent.file_offset + extent.length;
        if (extent.flags & RAFS_EXTENT_HOLE)
            continue;
        end = extent.compressed_offset + extent.compressed_size;
        if (extent.compressed_offset < item->first_byte)
            item->first_byte = extent.compressed_offset;
        if (end > item->last_byte)
            item->last_byte = end;
    }
}

void reading_take(const rafs_image *image, struct reading *out)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    size_t room = 4096;

    out->count = 0;
    out->items = calloc(room, sizeof(*out->items));
    NEED(out->items && rafs_walk_open(image, "/", 0, &walk, NULL) == RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry) {
        struct item *item = &out->items[out->count++];

        NEED(out->count < room);
        item->path = strdup(entry->path);
        item->attr = entry->attr;
        NEED(item->path && xattr_digest(image, entry->ino, item->xattrs) == RAFS_OK);
        take_content(image, item);
        take_range(image, item);
    }
    NEED(!entry);
    rafs_walk_close(walk);
}

void reading_drop(struct reading *reading)
{
    for (size_t i = 0; i < reading->count; i++) {
        free(reading->items[i].path);
        free(reading->items[i].content.at);
    }
    free(reading->items);
    *reading = (struct reading){0};
}

static void count(struct tally *tally, int rc, bool same)
{
    if (rc != RAFS_OK)
        tally->refused++;
    else if (same)
        tally->right++;
    else
        tally->wrong++;
}

void reading_compare_item(const rafs_image *image, const struct item *item,
                          struct tally *tally)
{
    size_t len = item->content.len;
    uint8_t *buf;
    size_t nread = 0;
    int rc;

    if (!S_ISREG(item->attr.mode) && !S_ISLNK(item->attr.mode))
        return;
    /* Room for more than there should be: a longer answer is a wrong one. */
    buf = malloc(len + 64);
    NEED(buf);
    if (S_ISREG(item->attr.mode))
        rc = rafs_image_read(image, item->attr.ino, 0, len + 64, buf, &nread, NULL, NULL);
    else
        rc = rafs_image_readlink(image, item->attr.ino, (char *)buf, len + 64, &nread,
                                 NULL);
    count(tally, rc, nread == len && memcmp(buf, item->content.at, len) == 0);
    free(buf);
}

void reading_compare(const rafs_image *image, const struct reading *reading,
                     struct tally *tally)
{
    for (size_t i = 0; i < reading->count; i++) {
        const struct item *item = &reading->items[i];
        uint8_t xattrs[RAFS_DIGEST_BYTES];
        rafs_attr attr;
        uint64_t ino = 0;
        int rc = rafs_image_resolve(image, item->path, RAFS_RESOLVE_NOFOLLOW, &ino, NULL);

        count(tally, rc, ino == item->attr.ino);
        if (rc != RAFS_OK || ino != item->attr.ino)
            continue;
        rc = rafs_image_get_attr(image, ino, &attr, NULL);
        count(tally, rc, rc == RAFS_OK && memcmp(&attr, &item->attr, sizeof(attr)) == 0);
        rc = xattr_digest(image, ino, xattrs);
        count(tally, rc, memcmp(xattrs, item->xattrs, sizeof(xattrs)) == 0);
        reading_compare_item(image, item, tally);
    }
}

enum { EXPLORE_STEPS = 200, EXPLORE_EXTENTS = 16, EXPLORE_ERRORS = 20 };

/* One chunk by itself: what reads has to have the digest that was named. */
static void explore_extent(const rafs_image *image, uint64_t ino,
                           const rafs_extent *extent, struct tally *tally)
{
    size_t len = (size_t)extent->length;
    uint8_t digest[RAFS_DIGEST_BYTES];
    uint8_t *buf;
    size_t nread = 0;
    int rc;

    if (extent->flags & RAFS_EXTENT_HOLE || extent->length > RAFS_CHUNK_SIZE_MAX)
        return;
    buf = malloc(len);
    NEED(buf);
    rc = rafs_image_read(image, ino, extent->file_offset, len, buf, &nread, NULL, NULL);
    NEED(rc != RAFS_OK ||
         rafs_digest_bytes(extent->digest_algorithm, buf, len, digest) == RAFS_OK);
    count(tally, rc, nread == len && memcmp(digest, extent->digest, sizeof(digest)) == 0);
    free(buf);
}

static void explore_file(const rafs_image *image, uint64_t ino, struct tally *tally)
{
    rafs_extent extents[EXPLORE_EXTENTS];
    size_t found = 0;
    int rc = rafs_image_get_extents(image, ino, 0, extents, EXPLORE_EXTENTS, &found, NULL,
                                    NULL);

    if (rc != RAFS_OK)
        tally->refused++;
    for (size_t i = 0; i < found; i++)
        explore_extent(image, ino, &extents[i], tally);
}

void explore(const rafs_image *image, struct tally *tally)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    int errors = 0;

    if (rafs_walk_open(image, "/", 0, &walk, NULL) != RAFS_OK) {
        tally->refused++;
        return;
    }
    for (int i = 0; i < EXPLORE_STEPS && errors < EXPLORE_ERRORS; i++) {
        uint8_t xattrs[RAFS_DIGEST_BYTES];
        char target[4200];
        size_t len;
        uint64_t ino = 0;

        if (rafs_walk_next(walk, &entry, NULL) != RAFS_OK) {
            tally->refused++;
            errors++;
            continue;
        }
        if (!entry)
            break;
        if (xattr_digest(image, entry->ino, xattrs) != RAFS_OK)
            tally->refused++;
        if (rafs_image_resolve(image, entry->path, 0, &ino, NULL) != RAFS_OK)
            tally->refused++;
        if (S_ISLNK(entry->attr.mode))
            (void)rafs_image_readlink(image, entry->ino, target, sizeof(target), &len,
                                      NULL);
        if (S_ISREG(entry->attr.mode))
            explore_file(image, entry->ino, tally);
    }
    rafs_walk_close(walk);
}
