/* SPDX-License-Identifier: Apache-2.0 */

/* What of an entry the options let through: filter, owners, times, attributes. */

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "build/builder.h"

int rafsi_builder_refuse(rafs_builder *builder, int code)
{
    if (code != RAFS_E_UNSUPPORTED ||
        !(builder->options.flags & RAFS_BUILD_SKIP_UNSUPPORTED))
        return code;
    builder->skipped++;
    return RAFS_OK;
}

/* A path as patterns have it: "/a/b", whatever the source made of it ("./a/b", "a//b/").
 */
static size_t tidy(const char *path, size_t len, char *out)
{
    size_t used = 0;

    for (size_t i = 0; i < len;) {
        size_t end = i;

        while (end < len && path[end] != '/')
            end++;
        if (end > i && !(end - i == 1 && path[i] == '.')) {
            out[used++] = '/';
            memcpy(out + used, path + i, end - i);
            used += end - i;
        }
        i = end + 1;
    }
    out[used] = '\0';
    return used;
}

static size_t slashes(const char *text)
{
    size_t count = 0;

    for (; (text = strchr(text, '/')) != NULL; text++)
        count++;
    return count;
}

/* One of the parts of a path, cut behind it; `at` is its '/'. A '/' is matched by itself
 * alone, so a pattern with n of them fits the n-th part or none. */
static bool part_excluded(const rafs_build_options *o, const char *path, const char *at,
                          size_t depth)
{
    for (size_t i = 0; i < o->exclude_count; i++) {
        const char *pattern = o->exclude[i];
        size_t wanted = slashes(pattern);

        if (wanted == 0 ? fnmatch(pattern, at + 1, 0) == 0
                        : wanted == depth && fnmatch(pattern, path, FNM_PATHNAME) == 0)
            return true;
    }
    return false;
}

/* The path and each one above it are compared: a stream may name what is below a
 * directory that is excluded without naming it. A whiteout is none of the names: what it
 * hides is not to come back. */
static bool tidy_excluded(const rafs_builder *builder, char *path, size_t len)
{
    bool whiteouts = !(builder->options.flags & RAFS_BUILD_KEEP_WHITEOUTS);
    size_t depth = 0;

    for (size_t at = 0, end; at < len; at = end) {
        char kept;
        bool excluded;

        end = at + 1 + strcspn(path + at + 1, "/");
        if (whiteouts && strncmp(path + at + 1, ".wh.", 4) == 0)
            return false;
        kept = path[end];
        path[end] = '\0';
        excluded = part_excluded(&builder->options, path, path + at, ++depth);
        path[end] = kept;
        if (excluded)
            return true;
    }
    return false;
}

bool rafsi_builder_excluded(const rafs_builder *builder, const char *path, size_t len)
{
    char *room = builder->path_room;

    if (builder->options.exclude_count == 0 || len > RAFS_PATH_MAX)
        return false; /* longer ones are refused */
    return tidy_excluded(builder, room, tidy(path, len, room));
}

static bool map_id(const rafs_id_map *maps, size_t count, uint32_t *id)
{
    for (size_t i = 0; i < count; i++)
        if (*id >= maps[i].from && *id - maps[i].from < maps[i].count) {
            *id = maps[i].to + (*id - maps[i].from);
            return true;
        }
    return count == 0;
}

static int shape_owner(const rafs_build_options *o, struct layers_entry *entry,
                       rafs_error *err)
{
    struct build_inode *inode = &entry->inode;

    if (o->flags & RAFS_BUILD_NO_OWNERS)
        inode->uid = inode->gid = 0;
    if (!map_id(o->uid_maps, o->uid_map_count, &inode->uid))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "user %u is in none of the maps", inode->uid);
    if (!map_id(o->gid_maps, o->gid_map_count, &inode->gid))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "group %u is in none of the maps", inode->gid);
    if (o->flags & RAFS_BUILD_OWNER) {
        inode->uid = o->owner_uid;
        inode->gid = o->owner_gid;
    }
    return RAFS_OK;
}

static void shape_time(const rafs_build_options *o, struct build_inode *inode)
{
    bool later = inode->mtime_sec > o->mtime_max ||
                 (inode->mtime_sec == o->mtime_max && inode->mtime_nsec > 0);

    if ((o->flags & RAFS_BUILD_MTIME_ALL) ||
        ((o->flags & RAFS_BUILD_MTIME_MAX) && later)) {
        inode->mtime_sec = o->mtime_max;
        inode->mtime_nsec = 0;
    }
}

/* Namespaces that both formats can hold. */
static bool can_be_held(const struct build_xattr *xattr)
{
    static const char *const prefixes[] = {"user.", "trusted.", "security."};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
        if (strncmp(xattr->name, prefixes[i], strlen(prefixes[i])) == 0)
            return xattr->name_len <= RAFS_XATTR_NAME_MAX && xattr->value_len <= 65535;
    return (strcmp(xattr->name, "system.posix_acl_access") == 0 ||
            strcmp(xattr->name, "system.posix_acl_default") == 0) &&
           xattr->value_len <= 65535;
}

static int keep_room(rafs_builder *builder, uint32_t count, rafs_error *err)
{
    struct build_xattr *kept;

    if (count <= builder->kept_room)
        return RAFS_OK;
    kept = rafsi_alloc(&builder->image.env, count * sizeof(*kept));
    if (!kept)
        return rafsi_fail_nomem(err, count * sizeof(*kept));
    rafsi_free(&builder->image.env, builder->kept_xattrs);
    builder->kept_xattrs = kept;
    builder->kept_room = count;
    return RAFS_OK;
}

static int shape_xattrs(rafs_builder *builder, struct layers_entry *entry,
                        rafs_error *err)
{
    struct build_inode *inode = &entry->inode;
    uint32_t kept = 0;
    int rc;

    if (builder->options.flags & RAFS_BUILD_NO_XATTRS)
        inode->xattr_count = 0;
    if (inode->xattr_count == 0)
        return RAFS_OK;
    rc = keep_room(builder, inode->xattr_count, err);
    for (uint32_t i = 0; rc == RAFS_OK && i < inode->xattr_count; i++) {
        const struct build_xattr *xattr = &inode->xattrs[i];

        if (can_be_held(xattr))
            builder->kept_xattrs[kept++] = *xattr;
        else if (rafsi_builder_refuse(builder, RAFS_E_UNSUPPORTED) < 0)
            rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, NULL,
                            "no image can hold the attribute %.100s of %u bytes",
                            xattr->name, xattr->value_len);
    }
    inode->xattrs = builder->kept_xattrs;
    inode->xattr_count = kept;
    return rc;
}

int rafsi_builder_shape(rafs_builder *builder, struct layers_entry *entry, bool *wanted,
                        rafs_error *err)
{
    int rc;

    *wanted = !rafsi_builder_excluded(builder, entry->path, entry->path_len);
    if (!*wanted)
        return RAFS_OK;
    shape_time(&builder->options, &entry->inode);
    rc = shape_owner(&builder->options, entry, err);
    if (rc == RAFS_OK)
        rc = shape_xattrs(builder, entry, err);
    if (rc < 0)
        return rafsi_fail_object(err, rc, "path %.*s",
                                 (int)rafsi_min(entry->path_len, 180), entry->path);
    return RAFS_OK;
}

int rafsi_builder_tick(rafs_builder *builder, const rafs_call *call, rafs_error *err)
{
    enum { TICK_NS = 100000000 };
    rafs_build_progress progress = {.struct_size = sizeof(progress)};
    struct rafsi_data_count count;
    uint64_t now;
    int rc = rafsi_call_check(&builder->image.env, call, RAFS_STAGE_NONE, err);

    if (rc < 0 || !builder->options.progress)
        return rc;
    now = rafsi_monotonic_ns();
    if (builder->ticked_ns && now - builder->ticked_ns < TICK_NS)
        return RAFS_OK;
    builder->ticked_ns = now;
    rafsi_data_counted(builder->data, &count);
    progress.entries = builder->entries;
    progress.bytes = count.bytes;
    progress.bytes_total = builder->bytes_total;
    progress.stored = count.stored;
    progress.chunks = count.chunks;
    progress.chunks_same = count.same_chunks;
    builder->options.progress(builder->options.progress_user, &progress);
    return RAFS_OK;
}
