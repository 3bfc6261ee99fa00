/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree.h"

/* What is shown of one entry besides its attributes. */
struct details {
    const char *path;
    size_t path_len;
    const char *shown; /* name or path */
    const rafs_attr *attr;
    char *target;
    size_t target_len;
    const char *first_link;
    bool has_digest;
    uint8_t digest[RAFS_DIGEST_BYTES];
    const char *failure; /* text of `failed`, or NULL */
    rafs_error failed;
};

static bool is_type(const rafs_attr *attr, uint32_t type)
{
    return (attr->mode & S_IFMT) == type;
}

static void note_failure(struct lister *l, struct details *d)
{
    blame_image(&d->failed);
    command_failed(l->c, d->path, &d->failed);
    if (!d->failure)
        d->failure = d->failed.text[0] ? d->failed.text : rafs_error_name(d->failed.code);
}

static void find_digest(struct lister *l, struct details *d, struct link_group *group)
{
    if (group && group->hashed) {
        memcpy(d->digest, group->digest, sizeof d->digest);
        d->has_digest = true;
        return;
    }
    if (digest_file(l->c, d->attr->ino, l->hash, d->digest, &d->failed) < 0) {
        note_failure(l, d);
        return;
    }
    d->has_digest = true;
    if (group) {
        memcpy(group->digest, d->digest, sizeof d->digest);
        group->hashed = true;
    }
}

static void find_details(struct lister *l, struct details *d)
{
    struct link_group *group = NULL;

    if ((l->long_format || l->json) && is_type(d->attr, S_IFLNK)) {
        d->target = read_target(l->c->image, d->attr->ino, &d->target_len, &d->failed);
        if (!d->target)
            note_failure(l, d);
    }
    if ((l->json || l->hash) && d->attr->nlink > 1 && !is_type(d->attr, S_IFDIR)) {
        group = links_find(&l->links, d->attr->ino, d->path, d->path_len);
        if (!group) {
            rafs_error_set(&d->failed, RAFS_E_NOMEM, 0, NULL, "out of memory");
            note_failure(l, d);
        } else {
            d->first_link = group->path;
        }
    }
    if (l->hash && is_type(d->attr, S_IFREG))
        find_digest(l, d, group);
}

static void put_json_xattrs(struct lister *l, struct details *d, char **names,
                            size_t count)
{
    json_key(&l->j, "xattrs");
    json_open(&l->j, '{');
    for (size_t i = 0; i < count; i++) {
        size_t len = 0;
        char *value = read_xattr(l->c->image, d->attr->ino, names[i], &len, &d->failed);

        if (!value) {
            command_failed(l->c, d->path, &d->failed);
            continue;
        }
        json_latin1_key(&l->j, names[i]);
        json_hex(&l->j, value, len);
        free(value);
    }
    json_close(&l->j, '}');
}

/* Keys in order, as Python's json.dumps(sort_keys=True) has them. */
static void put_json(struct lister *l, struct details *d)
{
    const rafs_attr *attr = d->attr;
    struct json *j = &l->j;
    size_t xattr_count = 0;
    char **xattrs = NULL;

    if (attr->xattr_hint != 0) {
        xattrs = read_xattr_names(l->c->image, attr->ino, &xattr_count, &d->failed);
        if (!xattrs)
            note_failure(l, d);
    }
    json_open(j, '{');
    if (d->has_digest && strcmp(l->digest_name, "blake3") == 0) {
        json_key(j, "blake3");
        json_hex(j, d->digest, sizeof d->digest);
    }
    if (d->failure) {
        json_key(j, "error");
        json_text(j, d->failure);
    }
    json_key(j, "gid");
    json_u64(j, attr->gid);
    if (d->first_link) {
        json_key(j, "hardlink_of");
        json_bytes(j, d->first_link, strlen(d->first_link));
    }
    json_key(j, "mode");
    json_u64(j, attr->mode & 07777);
    if (strcmp(d->path, "/") != 0) {
        json_key(j, "mtime");
        json_i64(j, attr->mtime_sec);
    }
    json_key(j, "nlink");
    json_u64(j, attr->nlink);
    json_key(j, "path");
    json_bytes(j, d->path, d->path_len);
    if (is_type(attr, S_IFCHR) || is_type(attr, S_IFBLK)) {
        json_key(j, "rdev");
        json_open(j, '[');
        json_u64(j, attr->rdev_major);
        json_u64(j, attr->rdev_minor);
        json_close(j, ']');
    }
    if (d->has_digest && strcmp(l->digest_name, "sha256") == 0) {
        json_key(j, "sha256");
        json_hex(j, d->digest, sizeof d->digest);
    }
    if (is_type(attr, S_IFREG) || is_type(attr, S_IFLNK)) {
        json_key(j, "size");
        json_u64(j, attr->size);
    }
    if (d->target) {
        json_key(j, "target");
        json_bytes(j, d->target, d->target_len);
    }
    json_key(j, "type");
    json_text(j, type_name(attr->mode));
    json_key(j, "uid");
    json_u64(j, attr->uid);
    if (xattr_count > 0)
        put_json_xattrs(l, d, xattrs, xattr_count);
    json_close(j, '}');
    json_newline(j);
    free(xattrs);
}

static void put_long(const rafs_attr *attr)
{
    char mode[11], size[48], when[48];

    mode_string(attr->mode, mode);
    time_string(attr->mtime_sec, when, sizeof when);
    if (is_type(attr, S_IFCHR) || is_type(attr, S_IFBLK))
        snprintf(size, sizeof size, "%" PRIu32 ", %" PRIu32, attr->rdev_major,
                 attr->rdev_minor);
    else
        snprintf(size, sizeof size, "%" PRIu64, attr->size);
    printf("%s %3" PRIu32 " %5" PRIu32 " %5" PRIu32 " %10s %s ", mode, attr->nlink,
           attr->uid, attr->gid, size, when);
}

static void put_text(struct lister *l, struct details *d)
{
    if (l->hash) {
        if (d->has_digest)
            put_hex(stdout, d->digest, sizeof d->digest);
        else
            printf("%-64s", d->failure ? "error" : "-");
        fputs("  ", stdout);
    }
    if (l->long_format)
        put_long(d->attr);
    put_name(stdout, d->shown, strlen(d->shown));
    if (l->long_format && d->target) {
        fputs(" -> ", stdout);
        put_name(stdout, d->target, d->target_len);
    }
    putchar('\n');
}

void list_one(struct lister *l, const char *path, const char *shown,
              const rafs_attr *attr)
{
    struct details d = {
        .path = path, .path_len = strlen(path), .shown = shown, .attr = attr};

    find_details(l, &d);
    /* What an interrupt cut short is no finding about the file. */
    if (!command_interrupted(l->c)) {
        if (l->json)
            put_json(l, &d);
        else
            put_text(l, &d);
    }
    free(d.target);
}

void list_broken(struct lister *l, const char *path, const rafs_error *err)
{
    command_failed(l->c, path, err);
    if (!l->json || err->code == RAFS_E_CANCELLED)
        return;
    json_open(&l->j, '{');
    json_key(&l->j, "error");
    json_text(&l->j, err->text[0] ? err->text : rafs_error_name(err->code));
    json_key(&l->j, "path");
    json_bytes(&l->j, path, strlen(path));
    json_close(&l->j, '}');
    json_newline(&l->j);
}
