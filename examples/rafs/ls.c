/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "listing.h"
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
        rafs_image_get_attr(l->c->image, entry->ino, &attr, &err) < 0) {
        blame_image(&err);
        list_broken(l, path, &err);
    } else {
        list_one(l, path, strrchr(path, '/') + 1, &attr);
    }
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
    if (rc < 0) {
        blame_image(&err);
        list_broken(l, path, &err);
    }
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
    else if (S_ISDIR(attr.mode))
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
