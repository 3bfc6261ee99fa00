/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree.h"

static const char stat_help[] =
    "Usage: rafs stat [OPTION]... IMAGE PATH...\n"
    "Show all attributes of files in IMAGE, extended ones included.\n"
    "\n"
    "  -L                   follow a link at the end of PATH\n"
    "  --json               one JSON object a line\n";

struct shown {
    const char *path;
    rafs_attr attr;
    char *target;
    size_t target_len;
    char **xattrs;
    size_t xattr_count;
};

static bool has_rdev(const rafs_attr *attr)
{
    return S_ISCHR(attr->mode) || S_ISBLK(attr->mode);
}

static void put_json(struct command *c, const struct shown *s)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct json j;

    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "blocks");
    json_u64(&j, s->attr.blocks);
    json_key(&j, "gid");
    json_u64(&j, s->attr.gid);
    json_key(&j, "ino");
    json_u64(&j, s->attr.ino);
    json_key(&j, "mode");
    json_u64(&j, s->attr.mode & 07777);
    json_key(&j, "mtime");
    json_i64(&j, s->attr.mtime_sec);
    json_key(&j, "mtime_nsec");
    json_u64(&j, s->attr.mtime_nsec);
    json_key(&j, "nlink");
    json_u64(&j, s->attr.nlink);
    json_key(&j, "path");
    json_bytes(&j, s->path, strlen(s->path));
    if (has_rdev(&s->attr)) {
        json_key(&j, "rdev");
        json_open(&j, '[');
        json_u64(&j, s->attr.rdev_major);
        json_u64(&j, s->attr.rdev_minor);
        json_close(&j, ']');
    }
    json_key(&j, "size");
    json_u64(&j, s->attr.size);
    if (s->target) {
        json_key(&j, "target");
        json_bytes(&j, s->target, s->target_len);
    }
    json_key(&j, "type");
    json_text(&j, type_name(s->attr.mode));
    json_key(&j, "uid");
    json_u64(&j, s->attr.uid);
    json_key(&j, "xattrs");
    json_open(&j, '{');
    for (size_t i = 0; i < s->xattr_count; i++) {
        size_t len = 0;
        char *value = read_xattr(c->image, s->attr.ino, s->xattrs[i], &len, &err);

        if (!value) {
            command_failed(c, s->path, &err);
            continue;
        }
        json_latin1_key(&j, s->xattrs[i]);
        json_hex(&j, value, len);
        free(value);
    }
    json_close(&j, '}');
    json_close(&j, '}');
    json_newline(&j);
}

/* A value as text where all of it is, else in hex, and long ones only in part. */
static void put_value(const char *value, size_t len)
{
    enum { SHOWN = 64 };
    size_t part = len < SHOWN ? len : SHOWN;
    bool text = len > 0;

    for (size_t i = 0; i < len; i++)
        text = text && value[i] >= 0x20 && value[i] < 0x7f && value[i] != '"';
    if (text) {
        printf("\"%.*s\"", (int)part, value);
    } else {
        fputs("0x", stdout);
        put_hex(stdout, value, part);
    }
    if (part < len)
        printf("... (%zu bytes)", len);
}

static void put_text(struct command *c, const struct shown *s)
{
    const rafs_attr *attr = &s->attr;
    rafs_error err = RAFS_ERROR_INIT;
    char mode[11], when[48];

    mode_string(attr->mode, mode);
    time_string(attr->mtime_sec, when, sizeof when);
    fputs("  path: ", stdout);
    put_name(stdout, s->path, strlen(s->path));
    if (s->target) {
        fputs(" -> ", stdout);
        put_name(stdout, s->target, s->target_len);
    }
    printf("\n  type: %s\n  mode: %04" PRIo32 " %s\n owner: %" PRIu32 ":%" PRIu32 "\n",
           type_name(attr->mode), attr->mode & 07777, mode, attr->uid, attr->gid);
    printf("  size: %" PRIu64 "\nblocks: %" PRIu64 "\n links: %" PRIu32 "\n", attr->size,
           attr->blocks, attr->nlink);
    printf(" inode: %" PRIu64 "\n", attr->ino);
    if (has_rdev(attr))
        printf("device: %" PRIu32 ", %" PRIu32 "\n", attr->rdev_major, attr->rdev_minor);
    printf(" mtime: %s.%09" PRIu32 " UTC\n", when, attr->mtime_nsec);
    for (size_t i = 0; i < s->xattr_count; i++) {
        size_t len = 0;
        char *value = read_xattr(c->image, attr->ino, s->xattrs[i], &len, &err);

        if (!value) {
            command_failed(c, s->path, &err);
            continue;
        }
        fputs(" xattr: ", stdout);
        put_name(stdout, s->xattrs[i], strlen(s->xattrs[i]));
        fputs(" = ", stdout);
        put_value(value, len);
        putchar('\n');
        free(value);
    }
}

static void show(struct command *c, const char *given, bool follow, bool json)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct shown s = {.path = given};
    char *path = NULL;
    uint64_t ino = 0;

    if (!find_start(c, given, follow, &ino, &path, &s.attr, &err)) {
        command_failed(c, given, &err);
        return;
    }
    s.path = path;
    if (S_ISLNK(s.attr.mode)) {
        s.target = read_target(c->image, ino, &s.target_len, &err);
        if (!s.target)
            command_failed(c, given, &err);
    }
    s.xattrs = read_xattr_names(c->image, ino, &s.xattr_count, &err);
    if (!s.xattrs)
        command_failed(c, given, &err);
    if (json)
        put_json(c, &s);
    else
        put_text(c, &s);
    free(s.xattrs);
    free(s.target);
    free(path);
}

int cmd_stat(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN };
    static const struct option longs[] = {
        COMMON_OPTIONS, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("stat", stat_help);
    bool follow = false, json = false;
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "L", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&c);
        follow = follow || opt == 'L';
        json = json || opt == OPT_JSON;
    }
    if (argc - optind < 2)
        command_usage(&c, argc == optind ? "IMAGE is missing" : "PATH is missing");
    else if (command_open(&c, argv[optind])) {
        for (int i = optind + 1; i < argc && !command_interrupted(&c); i++)
            show(&c, argv[i], follow, json);
    }
    return command_end(&c);
}
