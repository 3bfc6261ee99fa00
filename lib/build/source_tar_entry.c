/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "build/source_tar.h"

/* Headers to entries. */

/* Pax records and long names that were read belong to the entry that comes now. */
static void forget(struct tar_reader *reader)
{
    reader->records.set = false;
    reader->records.len = 0;
    reader->long_name.set = false;
    reader->long_target.set = false;
}

/* A header before that of the entry. *special false: it is that of the entry. */
static int take_special(struct tar_reader *reader, const struct tar_header *header,
                        bool *special, rafs_error *err)
{
    struct tar_stream *stream = &reader->stream;
    int rc;

    *special = true;
    switch (header->type) {
    case 'x':
    case 'X':
        return rafsi_tar_text(stream, &reader->records, header->size, err);
    case 'g':
        rc = rafsi_tar_text(stream, &reader->global_records, header->size, err);
        return rc < 0 ? rc
                      : rafsi_tar_pax(stream, &reader->global_records, true,
                                      &reader->global, NULL, err);
    case 'L':
        return rafsi_tar_text(stream, &reader->long_name, header->size, err);
    case 'K':
        return rafsi_tar_text(stream, &reader->long_target, header->size, err);
    case 'V': /* the label of a tape */
        return rafsi_tar_skip(stream, (uint64_t)header->size, err);
    default:
        *special = false;
        return RAFS_OK;
    }
}

/* The next header of an entry. *end: there is none. */
static int next_header(struct tar_reader *reader, uint8_t block[TAR_BLOCK],
                       struct tar_header *header, bool *end, rafs_error *err)
{
    struct tar_stream *stream = &reader->stream;
    bool special = true;

    reader->entry.header = stream->offset;
    for (unsigned i = 0; special; i++) {
        uint64_t at = stream->offset;
        const char *wrong;
        int rc = rafsi_tar_exact(stream, block, TAR_BLOCK, err);

        if (rc == RAFS_OK)
            rc = rafsi_call_check(stream->env, stream->call, RAFS_STAGE_FETCH, err);
        if (rc < 0)
            return rc;
        *end = rafsi_all_zero(block, TAR_BLOCK);
        if (*end)
            return i == 0 ? RAFS_OK
                          : rafsi_tar_corrupt(stream, err, at,
                                              "after an extended header comes no entry");
        wrong = rafsi_tar_decode(block, header);
        if (wrong)
            return rafsi_tar_corrupt(stream, err, at, "%s%s",
                                     at == 0 ? "is no tar file: of its first header, "
                                             : "of a header, ",
                                     wrong);
        if (i == TAR_SPECIALS_MAX)
            return rafsi_tar_corrupt(stream, err, at,
                                     "more than %d extended headers of one entry",
                                     TAR_SPECIALS_MAX);
        rc = take_special(reader, header, &special, err);
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

/* By rising rank: the header, GNU's long names, pax records, the name of a sparse file,
 * whose path is made up. */
static int take_names(struct tar_reader *reader, const struct tar_header *header,
                      rafs_error *err)
{
    const struct tar_pax *pax = &reader->pax;
    struct tar_entry *entry = &reader->entry;

    entry->path = header->name;
    entry->path_len = strlen(header->name);
    entry->target = header->target;
    entry->target_len = strlen(header->target);
    if (reader->long_name.set) {
        entry->path = reader->long_name.at;
        entry->path_len = strlen(entry->path);
    }
    if (reader->long_target.set) {
        entry->target = reader->long_target.at;
        entry->target_len = strlen(entry->target);
    }
    if (pax->path) {
        entry->path = pax->path;
        entry->path_len = pax->path_len;
    }
    if (pax->target) {
        entry->target = pax->target;
        entry->target_len = pax->target_len;
    }
    if (pax->sparse_name) {
        entry->path = pax->sparse_name;
        entry->path_len = pax->sparse_name_len;
    }
    if (memchr(entry->target, '\0', entry->target_len))
        return rafsi_tar_corrupt(&reader->stream, err, entry->header,
                                 "a zero byte lies in the target of a link");
    return RAFS_OK;
}

static uint32_t mode_of(uint8_t type)
{
    switch (type) {
    case '2':
        return S_IFLNK;
    case '3':
        return S_IFCHR;
    case '4':
        return S_IFBLK;
    case '5':
    case 'D':
        return S_IFDIR;
    case '6':
        return S_IFIFO;
    case '0':
    case '1':
    case '7':
    case 'S':
        return S_IFREG;
    default:
        return 0; /* not one that is understood; its content is passed over */
    }
}

static int take_owner(struct tar_reader *reader, int64_t id, bool has_global,
                      int64_t global, bool has, int64_t own, uint32_t *out,
                      rafs_error *err)
{
    id = has_global ? global : id;
    id = has ? own : id;
    *out = (uint32_t)id;
    return id >= 0 && id <= UINT32_MAX
               ? RAFS_OK
               : rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA,
                               reader->stream.name, reader->entry.header,
                               "owner %lld is not of 32 bits", (long long)id);
}

static void take_time(const struct tar_reader *reader, const struct tar_header *header,
                      struct build_inode *inode)
{
    const struct tar_pax *from = reader->pax.has_mtime ? &reader->pax : &reader->global;

    inode->mtime_sec = from->has_mtime ? from->mtime_sec : header->mtime;
    inode->mtime_nsec = from->has_mtime ? from->mtime_nsec : 0;
}

static int take_device(struct tar_reader *reader, const struct tar_header *header,
                       uint32_t *out, rafs_error *err)
{
    const struct tar_pax *pax = &reader->pax;
    int64_t major = pax->has_major ? pax->major : header->major;
    int64_t minor = pax->has_minor ? pax->minor : header->minor;

    if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff)
        return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, reader->stream.name,
                             reader->entry.header,
                             "device %lld:%lld is larger than Linux has them",
                             (long long)major, (long long)minor);
    *out = ((uint32_t)minor & 0xff) | (uint32_t)major << 8 |
           ((uint32_t)minor & ~0xffu) << 12;
    return RAFS_OK;
}

/* Content: what is stored, and how large the file is. */
static int take_size(struct tar_reader *reader, const struct tar_header *header,
                     const uint8_t block[TAR_BLOCK], rafs_error *err)
{
    struct tar_stream *stream = &reader->stream;
    struct tar_entry *entry = &reader->entry;
    struct tar_map *map = &reader->map;
    uint64_t stored = (uint64_t)(reader->pax.has_size ? reader->pax.size : header->size);
    uint64_t size, used = 0;
    const char *wrong;
    int rc = RAFS_OK;

    if (stored > INT64_MAX)
        return rafsi_tar_corrupt(stream, err, entry->header, "a size below zero");
    entry->stored = size = stored;
    entry->padding = -stored % TAR_BLOCK;
    if (header->type == 'S' && !header->gnu)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, stream->name,
                             entry->header, "a sparse file that is not GNU tar's");
    if (header->type == 'S')
        rc = rafsi_tar_map_old(stream, block, map, &size, err);
    else if (reader->pax.sparse_v1)
        rc = rafsi_tar_map_lines(stream, map, stored, &used, err);
    if (rc < 0)
        return rc;
    if (header->type != 'S' && map->sparse)
        size = reader->pax.has_real ? (uint64_t)reader->pax.real : stored - used;
    entry->stored -= used;
    entry->as.inode.size = size;
    wrong = map->sparse ? rafsi_tar_map_check(map, entry->stored, size) : NULL;
    return wrong ? rafsi_tar_corrupt(stream, err, entry->header, "%s", wrong) : RAFS_OK;
}

/* Whether a name ends in '/': a directory, as writers before POSIX have it. */
static bool ends_in_slash(const struct tar_entry *entry)
{
    return entry->path_len > 0 && entry->path[entry->path_len - 1] == '/';
}

static int take_entry(struct tar_reader *reader, const struct tar_header *header,
                      const uint8_t block[TAR_BLOCK], rafs_error *err)
{
    struct tar_entry *entry = &reader->entry;
    const struct tar_pax *pax = &reader->pax, *global = &reader->global;
    struct build_inode *inode = &entry->as.inode;
    int rc = take_names(reader, header, err);

    entry->type = header->type;
    inode->mode = mode_of(header->type) | ((uint32_t)header->mode & 07777);
    if (S_ISLNK(inode->mode)) /* Linux has no other */
        inode->mode = S_IFLNK | 0777;
    if (header->type == '0' && ends_in_slash(entry))
        inode->mode = S_IFDIR | ((uint32_t)header->mode & 07777);
    if (rc == RAFS_OK)
        rc = take_owner(reader, header->uid, global->has_uid, global->uid, pax->has_uid,
                        pax->uid, &inode->uid, err);
    if (rc == RAFS_OK)
        rc = take_owner(reader, header->gid, global->has_gid, global->gid, pax->has_gid,
                        pax->gid, &inode->gid, err);
    if (rc == RAFS_OK && (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)))
        rc = take_device(reader, header, &inode->rdev, err);
    take_time(reader, header, inode);
    inode->xattrs = pax->xattrs;
    inode->xattr_count = pax->xattr_count;
    /* What these have no content for some writers give a size nevertheless. */
    if (rc == RAFS_OK && header->type != '1' && !S_ISLNK(inode->mode) &&
        !S_ISCHR(inode->mode) && !S_ISBLK(inode->mode) && !S_ISFIFO(inode->mode) &&
        header->type != '5')
        rc = take_size(reader, header, block, err);
    entry->as.path = entry->path;
    entry->as.path_len = entry->path_len;
    return rc;
}

int rafsi_tar_next(struct tar_reader *reader, bool *end, rafs_error *err)
{
    uint8_t block[TAR_BLOCK];
    int rc;

    forget(reader);
    reader->entry = (struct tar_entry){0};
    rc = next_header(reader, block, &reader->header, end, err);
    if (rc < 0 || *end)
        return rc;
    rc = rafsi_tar_pax(&reader->stream, &reader->records, false, &reader->pax,
                       &reader->map, err);
    if (rc == RAFS_OK)
        rc = take_entry(reader, &reader->header, block, err);
    return rc;
}

void rafsi_tar_free(struct tar_reader *reader)
{
    const struct rafsi_env *env = reader->stream.env;

    if (!env)
        return;
    rafsi_tar_text_free(env, &reader->records);
    rafsi_tar_text_free(env, &reader->global_records);
    rafsi_tar_text_free(env, &reader->long_name);
    rafsi_tar_text_free(env, &reader->long_target);
    for (int i = 0; i < 2; i++) {
        rafsi_tar_text_free(env, &reader->pax.acl[i]);
        rafsi_tar_text_free(env, &reader->global.acl[i]);
    }
    rafsi_free(env, reader->pax.xattrs);
    rafsi_free(env, reader->global.xattrs);
    rafsi_free(env, reader->map.extents);
    rafsi_tar_close(&reader->stream);
}
