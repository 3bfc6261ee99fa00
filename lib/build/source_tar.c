/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/stat.h>

#include "build/source_tar.h"

/* Entries of a tar stream into the builder. */

struct source {
    struct tar_reader reader;
    rafs_builder *builder;
    const rafs_call *call;
};

/* So many bytes of the stream to the data. */
static int feed_bytes(struct source *source, uint64_t len, rafs_error *err)
{
    while (len > 0) {
        const uint8_t *at;
        size_t got;
        int rc = rafsi_tar_some(&source->reader.stream, len, &at, &got, err);

        if (rc == RAFS_OK && got == 0)
            rc = rafsi_tar_corrupt(&source->reader.stream, err,
                                   source->reader.stream.offset,
                                   "the tar file ends in a file's content: it was cut");
        if (rc == RAFS_OK)
            rc = rafsi_data_add(source->builder->data, at, got, source->call, err);
        if (rc == RAFS_OK)
            rc = rafsi_builder_tick(source->builder, source->call, err);
        if (rc < 0)
            return rc;
        len -= got;
    }
    return RAFS_OK;
}

static int feed_zeros(struct source *source, uint64_t len, rafs_error *err)
{
    return len == 0 ? RAFS_OK
                    : rafsi_data_add_zeros(source->builder->data, len, source->call, err);
}

/* The parts of a sparse file, and what lies between and behind them. */
static int feed_parts(struct source *source, uint64_t size, rafs_error *err)
{
    const struct tar_map *map = &source->reader.map;
    uint64_t at = 0;
    int rc = RAFS_OK;

    for (size_t i = 0; rc == RAFS_OK && i < map->count; i++) {
        const struct tar_extent *extent = &map->extents[i];

        rc = feed_zeros(source, extent->at - at, err);
        if (rc == RAFS_OK)
            rc = feed_bytes(source, extent->len, err);
        at = extent->at + extent->len;
    }
    return rc < 0 ? rc : feed_zeros(source, size - at, err);
}

static int feed(struct source *source, struct build_inode *inode, rafs_error *err)
{
    int rc = rafsi_data_begin(source->builder->data, inode, err);

    if (rc == RAFS_OK)
        rc = source->reader.map.sparse ? feed_parts(source, inode->size, err)
                                       : feed_bytes(source, inode->size, err);
    return rc < 0 ? rc : rafsi_data_end(source->builder->data, source->call, err);
}

/* Entries are left out in silence only if the caller wants that. */
static int refuse(struct source *source, const char *why, rafs_error *err)
{
    if (rafsi_builder_refuse(source->builder, RAFS_E_UNSUPPORTED) == RAFS_OK)
        return RAFS_OK;
    return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                         source->reader.entry.header, "%s", why);
}

/* The inode, if what the entry has is wanted; else NULL. */
static int add_inode(struct source *source, struct build_inode **inode, rafs_error *err)
{
    struct tar_entry *entry = &source->reader.entry;
    bool wanted = true;
    int rc = RAFS_OK;

    entry->as.inode.target = S_ISLNK(entry->as.inode.mode) ? entry->target : NULL;
    if (source->reader.pax.acl_wrong &&
        !(source->builder->options.flags & RAFS_BUILD_NO_XATTRS))
        rc = refuse(source, source->reader.pax.acl_wrong, err);
    if (rc == RAFS_OK)
        rc = rafsi_builder_shape(source->builder, &entry->as, &wanted, err);
    if (rc < 0 || !wanted)
        return rafsi_builder_refuse(source->builder, rc);
    return rafsi_builder_refuse(
        source->builder,
        rafsi_layers_add(source->builder->layers, &entry->as, inode, err));
}

static int add_link(struct source *source, rafs_error *err)
{
    const struct tar_entry *entry = &source->reader.entry;

    if (rafsi_builder_excluded(source->builder, entry->path, entry->path_len))
        return RAFS_OK;
    return rafsi_layers_link(source->builder->layers, entry->path, entry->path_len,
                             entry->target, entry->target_len, err);
}

static int add_entry(struct source *source, rafs_error *err)
{
    const struct tar_entry *entry = &source->reader.entry;
    struct build_inode *inode = NULL;
    char why[64];
    int rc;

    if (entry->as.inode.mode <= 07777) {
        snprintf(why, sizeof(why), "is of type '%c', which has no place in an image",
                 entry->type >= ' ' && entry->type < 0x7f ? entry->type : '?');
        rc = refuse(source, why, err);
    } else if (entry->type == '1') {
        rc = add_link(source, err);
    } else {
        rc = add_inode(source, &inode, err);
    }
    if (rc == RAFS_OK && inode && S_ISREG(inode->mode))
        rc = feed(source, inode, err);
    else if (rc == RAFS_OK)
        rc = rafsi_tar_skip(&source->reader.stream, entry->stored, err);
    if (rc == RAFS_OK)
        rc = rafsi_tar_skip(&source->reader.stream, entry->padding, err);
    return rc < 0 ? rafsi_fail_object(err, rc, "%.*s",
                                      (int)rafsi_min(entry->path_len, 180), entry->path)
                  : RAFS_OK;
}

/* What comes after the end is not looked at, but read: checksums of what was compressed
 * come last, and whoever writes into a pipe is not to be cut off. */
static int drain(struct source *source, rafs_error *err)
{
    size_t got;
    int rc;

    do {
        const uint8_t *at;

        rc = rafsi_tar_some(&source->reader.stream, UINT64_MAX, &at, &got, err);
        if (rc == RAFS_OK)
            rc = rafsi_builder_tick(source->builder, source->call, err);
    } while (rc == RAFS_OK && got != 0);
    return rc;
}

static int add_all(struct source *source, rafs_error *err)
{
    bool end = false;
    int rc = RAFS_OK;

    while (rc == RAFS_OK) {
        rc = rafsi_builder_tick(source->builder, source->call, err);
        if (rc == RAFS_OK)
            rc = rafsi_tar_next(&source->reader, &end, err);
        if (rc < 0 || end)
            break;
        source->builder->entries++;
        rc = add_entry(source, err);
    }
    return rc < 0 ? rc : drain(source, err);
}

int rafsi_source_tar(rafs_builder *builder, rafs_stream_fn read, void *user,
                     const char *name, const rafs_call *call, rafs_error *err)
{
    struct source source = {.builder = builder, .call = call};
    int rc = rafsi_tar_open(&source.reader.stream, &builder->image.env, read, user, name,
                            call, err);

    if (rc == RAFS_OK)
        rc = add_all(&source, err);
    rafsi_tar_free(&source.reader);
    return rc;
}
