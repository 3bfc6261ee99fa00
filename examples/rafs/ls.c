/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "content.h"
#include "tree.h"

static const char ls_help[] =
    "Usage: rafs ls [OPTION]... IMAGE [PATH]\n"
    "List PATH in IMAGE (default: /), one name a line, in order of their bytes.\n"
    "\n"
    "  -l                   mode, links, owner, group, size or device, time (UTC), name\n"
    "  -R                   all that lies below PATH, by whole paths, PATH included\n"
    "  --json               one JSON object a line; see rafs(1) for its keys\n"
    "  --digest ALGORITHM   read each file, verify it, and show its sha256 or blake3\n"
    "\n"
    "A file that cannot be read is listed with `error` in place of its digest; the\n"
    "listing goes on, and the exit status says it at the end.\n"
    "\n"
    "Example:\n"
    "  rafs ls -R --json --digest sha256 image.boot\n";

struct lister {
    struct command *c;
    bool long_format;
    bool recursive;
    bool json;
    rafs_hash *hash; /* NULL: no digests wanted */
    const char *digest_name;
    struct links links;
    struct json j;
};

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

static void list_one(struct lister *l, const char *path, const char *shown,
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

/* An entry of which not even the attributes could be read. */
static void list_broken(struct lister *l, const char *path, const rafs_error *err)
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

static bool may_go_on(struct lister *l)
{
    return !command_interrupted(l->c) && !command_output_failed();
}

static void list_tree(struct lister *l, const char *start, uint64_t ino)
{
    struct tree_walk *walk = tree_open(l->c->image, start, ino);
    rafs_error err = RAFS_ERROR_INIT;
    struct tree_entry entry;
    int got;

    if (!walk) {
        command_say(l->c, EXIT_SOURCE, "out of memory");
        return;
    }
    while (may_go_on(l) && (got = tree_next(walk, &entry, &err)) != 0) {
        if (got > 0)
            list_one(l, entry.path, entry.path, &entry.attr);
        else
            list_broken(l, entry.path, &err);
    }
    tree_close(walk);
}

static void list_child(struct lister *l, const char *dir_path, const rafs_dirent *entry)
{
    char *path = join_path(dir_path, entry->name, entry->name_len);
    rafs_error err = RAFS_ERROR_INIT;
    rafs_attr attr;

    if (!path) {
        command_say(l->c, EXIT_SOURCE, "out of memory");
        return;
    }
    /* A plain list of names shows no attribute, and needs no look at the inodes. */
    memset(&attr, 0, sizeof attr);
    attr.mode = entry->type;
    if ((l->json || l->long_format || l->hash) &&
        rafs_image_get_attr(l->c->image, entry->ino, &attr, &err) < 0)
        list_broken(l, path, &err);
    else
        list_one(l, path, strrchr(path, '/') + 1, &attr);
    free(path);
}

static void list_directory(struct lister *l, const char *path, uint64_t ino)
{
    rafs_error err = RAFS_ERROR_INIT;
    const rafs_dirent *entry = NULL;
    rafs_dir *dir = NULL;
    int rc = rafs_dir_open(l->c->image, ino, 0, &dir, &err);

    while (rc == RAFS_OK && may_go_on(l)) {
        rc = rafs_dir_next(dir, &entry, &err);
        if (rc < 0 || !entry)
            break;
        list_child(l, path, entry);
    }
    if (rc < 0)
        list_broken(l, path, &err);
    rafs_dir_close(dir);
}

static void list(struct lister *l, const char *given)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_attr attr;
    uint64_t ino = 0;
    char *path = NULL;

    /* As ls(1): a link is shown itself where its attributes are, else followed. */
    if (!find_start(l->c, given, !l->long_format && !l->json, &ino, &path, &attr, &err)) {
        command_failed(l->c, given, &err);
        return;
    }
    if (l->recursive)
        list_tree(l, path, ino);
    else if (is_type(&attr, S_IFDIR))
        list_directory(l, path, ino);
    else
        list_one(l, path, given, &attr);
    free(path);
}

static bool set_digest(struct lister *l, const char *name)
{
    rafs_error err = RAFS_ERROR_INIT;
    uint32_t algorithm;

    if (strcmp(name, "sha256") == 0) {
        algorithm = RAFS_DIGEST_SHA256;
    } else if (strcmp(name, "blake3") == 0) {
        algorithm = RAFS_DIGEST_BLAKE3;
    } else {
        command_usage(l->c, "--digest: '%s' is neither sha256 nor blake3", name);
        return false;
    }
    rafs_hash_free(l->hash);
    l->hash = NULL;
    l->digest_name = rafs_digest_name(algorithm);
    if (rafs_hash_new(algorithm, NULL, &l->hash, &err) < 0) {
        command_failed(l->c, NULL, &err);
        return false;
    }
    return true;
}

/* False: nothing more to do. */
static bool parse(struct lister *l, int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_DIGEST };
    static const struct option longs[] = {COMMON_OPTIONS,
                                          {"json", no_argument, NULL, OPT_JSON},
                                          {"digest", required_argument, NULL, OPT_DIGEST},
                                          {NULL, 0, NULL, 0}};
    int opt;

    while ((opt = command_getopt(l->c, argc, argv, "lR", longs)) != -1) {
        switch (opt) {
        case 'l':
            l->long_format = true;
            break;
        case 'R':
            l->recursive = true;
            break;
        case OPT_JSON:
            l->json = true;
            break;
        case OPT_DIGEST:
            if (!set_digest(l, optarg))
                return false;
            break;
        default:
            return false;
        }
    }
    if (argc - optind < 1 || argc - optind > 2) {
        command_usage(l->c, argc == optind ? "IMAGE is missing" : "too many operands");
        return false;
    }
    return true;
}

int cmd_ls(int argc, char **argv)
{
    struct command c = COMMAND_INIT("ls", ls_help);
    struct lister l = {.c = &c};

    json_begin(&l.j, stdout);
    if (parse(&l, argc, argv) && command_open(&c, argv[optind]))
        list(&l, argc - optind == 2 ? argv[optind + 1] : "/");
    links_free(&l.links);
    rafs_hash_free(l.hash);
    return command_end(&c);
}
