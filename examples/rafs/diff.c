/* SPDX-License-Identifier: Apache-2.0 */
/* rafs diff: what is different in a directory, a tar or another image. */
#include "diff.h"

#include <stdlib.h>
#include <string.h>

static const char diff_help[] =
    "Usage: rafs diff [OPTION]... IMAGE SOURCE\n"
    "Show in what SOURCE differs from IMAGE: names, attributes, content.\n"
    "SOURCE is a directory, a tar (plain or compressed; - is standard input), or "
    "another\n"
    "image. Content is compared by the digests of chunks, and blobs are read only if "
    "two\n"
    "images cut or name their chunks differently.\n"
    "\n"
    "  --ignore LIST        leave out: mode, owner, mtime, xattr, links, content;\n"
    "                       separated by commas\n"
    "  --json               one JSON object a line\n"
    "\n"
    "  - PATH               only IMAGE has it\n"
    "  + PATH               only SOURCE has it\n"
    "  ~ PATH: …            both have it, and this is different\n"
    "\n"
    "Exit status 5: there are differences. The time of the root is not compared.\n"
    "\n"
    "Example:\n"
    "  rafs diff --ignore mtime,owner image.boot /srv/tree\n";

static bool take_ignore(struct differ *d, const char *list)
{
    static const struct {
        const char *name;
        unsigned bit;
    } words[] = {{"mode", DIFF_MODE},   {"owner", DIFF_OWNER}, {"mtime", DIFF_MTIME},
                 {"xattr", DIFF_XATTR}, {"links", DIFF_LINKS}, {"content", DIFF_CONTENT}};

    while (*list) {
        size_t len = strcspn(list, ",");
        bool known = false;

        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            if (strlen(words[i].name) == len && memcmp(list, words[i].name, len) == 0) {
                d->ignore |= words[i].bit;
                known = true;
            }
        }
        if (!known) {
            command_usage(d->c,
                          "--ignore: '%.*s' is none of mode, owner, mtime, xattr, "
                          "links, content",
                          (int)len, list);
            return false;
        }
        list += len + (list[len] == ',');
    }
    return true;
}

/* One of two walks in the same order. */
struct steps {
    struct side *side;
    struct tree_walk *walk;
    struct tree_entry entry;
    bool there; /* entry is one that was not compared yet */
};

static bool steps_begin(struct differ *d, struct steps *steps, struct side *side)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_attr attr;
    uint64_t root = 0;
    char *path = NULL;

    steps->side = side;
    if (!find_start(side->c, "/", false, &root, &path, &attr, &err)) {
        command_failed(d->c, "/", &err);
        return false;
    }
    steps->walk = tree_open(side->c->image, path, root);
    free(path);
    if (!steps->walk)
        command_say(d->c, EXIT_SOURCE, "out of memory");
    return steps->walk != NULL;
}

/* False: failed, and reported. */
static bool steps_next(struct differ *d, struct steps *steps)
{
    rafs_error err = RAFS_ERROR_INIT;
    int got = tree_next(steps->walk, &steps->entry, &err);

    steps->there = got > 0;
    if (got < 0)
        command_failed(d->c, steps->entry.path, &err);
    return got >= 0;
}

static int order(const struct steps *old, const struct steps *new)
{
    if (!old->there || !new->there)
        return old->there ? -1 : 1;
    return strcmp(old->entry.path, new->entry.path);
}

static void walk_both(struct differ *d, struct steps *old, struct steps *new)
{
    bool good = steps_next(d, old) && steps_next(d, new);

    while (good && (old->there || new->there) && !command_interrupted(d->c) &&
           !command_output_failed()) {
        int which = order(old, new);

        if (which < 0) {
            put_only(d, '-', &old->entry);
        } else if (which > 0) {
            put_only(d, '+', &new->entry);
        } else {
            good = diff_entry(d, &old->entry, &new->entry);
        }
        if (good && which <= 0)
            good = steps_next(d, old);
        if (good && which >= 0)
            good = steps_next(d, new);
    }
}

static void compare(struct differ *d)
{
    struct steps old = {0}, new = {0};

    if (steps_begin(d, &old, &d->old) && steps_begin(d, &new, &d->new))
        walk_both(d, &old, &new);
    if (d->found > 0)
        outcome_note(&d->c->outcome, EXIT_DIFFERENT);
    tree_close(old.walk);
    tree_close(new.walk);
    links_free(&d->old.links);
    links_free(&d->new.links);
}

/* An image without owners says nothing about them. */
static void mind_owners(struct differ *d, const rafs_image *image)
{
    rafs_image_info info = {.struct_size = sizeof info};

    if (rafs_image_get_info(image, &info, NULL) == RAFS_OK &&
        !(info.flags & RAFS_FLAG_EXPLICIT_UID_GID))
        d->ignore |= DIFF_OWNER;
}

int cmd_diff(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_IGNORE };
    static const struct option longs[] = {COMMON_OPTIONS,
                                          {"json", no_argument, NULL, OPT_JSON},
                                          {"ignore", required_argument, NULL, OPT_IGNORE},
                                          {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("diff", diff_help);
    struct command source = {0};
    struct differ d = {.c = &c, .old = {.c = &c}, .new = {.c = &source}};
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP || (opt == OPT_IGNORE && !take_ignore(&d, optarg)))
            return command_end(&c);
        d.json = d.json || opt == OPT_JSON;
    }
    json_begin(&d.j, stdout);
    if (argc - optind != 2) {
        command_usage(&c, argc == optind       ? "IMAGE is missing"
                          : argc - optind == 1 ? "SOURCE is missing"
                                               : "too many operands");
    } else if (command_open(&c, argv[optind])) {
        mind_owners(&d, c.image);
        if (diff_source(&d, c.image, argv[optind + 1], &source)) {
            mind_owners(&d, source.image);
            compare(&d);
        }
        diff_source_close(&d, &source);
    }
    return command_end(&c);
}
