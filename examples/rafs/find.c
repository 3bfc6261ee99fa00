/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree.h"

static const char find_help[] =
    "Usage: rafs find [OPTION]... IMAGE [PATH] [TEST]...\n"
    "Print the paths at and below PATH (default: /) that pass every TEST, sorted by "
    "bytes.\n"
    "\n"
    "  -name GLOB           last part of the path matches\n"
    "  -path GLOB           whole path matches; * matches slashes too\n"
    "  -type LETTERS        f file, d directory, l link, c, b device, p FIFO, s socket;\n"
    "                       more than one letter: any of them\n"
    "  -size [+-]N[ckMG]    files of N bytes (c), KiB (k), MiB, GiB, rounded up; without "
    "a\n"
    "                       letter 512 bytes; + more, - less\n"
    "  -perm MODE           octal permission bits; -MODE: all of these, /MODE: any of "
    "them\n"
    "  -links [+-]N         number of links\n"
    "  -uid N, -gid N       owner, group\n"
    "  -xattr NAME          has this extended attribute (a GLOB)\n"
    "  -print0              end each path with NUL instead of a newline\n"
    "  --json               one JSON object a line: path, size, type\n"
    "\n"
    "Example:\n"
    "  rafs find image.boot /usr -type f -perm /6000\n";

/* "+5", "-5" or "5" */
struct range {
    bool given;
    char sign; /* '+', '-' or '=' */
    uint64_t number;
    uint64_t unit;
};

struct finder {
    struct command *c;
    const char *name_glob;
    const char *path_glob;
    const char *types;
    const char *xattr_glob;
    struct range size, links, uid, gid;
    bool perm_given;
    char perm_sign;
    uint32_t perm;
    bool print0;
    bool json;
    struct json j;
};

static bool parse_range(const char *text, bool units, struct range *range)
{
    static const struct {
        char letter;
        uint64_t bytes;
    } sizes[] = {{'c', 1}, {'k', 1 << 10}, {'M', 1 << 20}, {'G', 1 << 30}};
    char digits[32];
    size_t len;

    range->sign = '=';
    range->unit = units ? 512 : 1;
    if (*text == '+' || *text == '-')
        range->sign = *text++;
    len = strlen(text);
    for (size_t i = 0; units && len > 0 && i < sizeof sizes / sizeof *sizes; i++) {
        if (text[len - 1] == sizes[i].letter) {
            range->unit = sizes[i].bytes;
            len--;
            break;
        }
    }
    if (len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    range->given = true;
    return parse_bytes(digits, false, &range->number);
}

static bool in_range(const struct range *range, uint64_t value)
{
    uint64_t units = value / range->unit + (value % range->unit != 0);

    if (!range->given)
        return true;
    if (range->sign == '+')
        return units > range->number;
    if (range->sign == '-')
        return units < range->number;
    return units == range->number;
}

static bool parse_perm(struct finder *f, const char *text)
{
    char *end = NULL;
    unsigned long mode;

    f->perm_sign = '=';
    if (*text == '-' || *text == '/')
        f->perm_sign = *text++;
    if (*text < '0' || *text > '7')
        return false;
    mode = strtoul(text, &end, 8);
    if (*end != '\0' || mode > 07777)
        return false;
    f->perm = (uint32_t)mode;
    f->perm_given = true;
    return true;
}

static bool perm_matches(const struct finder *f, uint32_t mode)
{
    uint32_t bits = mode & 07777;

    if (!f->perm_given)
        return true;
    if (f->perm_sign == '-')
        return (bits & f->perm) == f->perm;
    if (f->perm_sign == '/')
        return f->perm == 0 || (bits & f->perm) != 0;
    return bits == f->perm;
}

static bool type_matches(const struct finder *f, uint32_t mode)
{
    char letter = type_name(mode)[0];

    if (!f->types)
        return true;
    /* reg and fifo: find(1) calls them f and p */
    if (S_ISREG(mode))
        letter = 'f';
    else if (S_ISFIFO(mode))
        letter = 'p';
    return strchr(f->types, letter) != NULL;
}

static bool xattr_matches(struct finder *f, const struct tree_entry *entry)
{
    rafs_error err = RAFS_ERROR_INIT;
    size_t count = 0;
    char **names;
    bool found = false;

    if (!f->xattr_glob)
        return true;
    if (entry->attr.xattr_hint == 0)
        return false;
    names = read_xattr_names(f->c->image, entry->ino, &count, &err);
    if (!names) {
        command_failed(f->c, entry->path, &err);
        return false;
    }
    for (size_t i = 0; i < count && !found; i++)
        found = fnmatch(f->xattr_glob, names[i], 0) == 0;
    free(names);
    return found;
}

static bool matches(struct finder *f, const struct tree_entry *entry)
{
    const rafs_attr *attr = &entry->attr;

    return (!f->name_glob || fnmatch(f->name_glob, entry->name, 0) == 0) &&
           (!f->path_glob || fnmatch(f->path_glob, entry->path, 0) == 0) &&
           type_matches(f, attr->mode) && perm_matches(f, attr->mode) &&
           (!f->size.given || (S_ISREG(attr->mode) && in_range(&f->size, attr->size))) &&
           in_range(&f->links, attr->nlink) && in_range(&f->uid, attr->uid) &&
           in_range(&f->gid, attr->gid) && xattr_matches(f, entry);
}

static void put_entry(struct finder *f, const struct tree_entry *entry)
{
    if (f->json) {
        json_open(&f->j, '{');
        json_key(&f->j, "path");
        json_bytes(&f->j, entry->path, entry->path_len);
        json_key(&f->j, "size");
        json_u64(&f->j, entry->attr.size);
        json_key(&f->j, "type");
        json_text(&f->j, type_name(entry->attr.mode));
        json_close(&f->j, '}');
        json_newline(&f->j);
    } else if (f->print0) {
        fwrite(entry->path, 1, entry->path_len + 1, stdout);
    } else {
        put_name(stdout, entry->path, entry->path_len);
        putchar('\n');
    }
}

static void find(struct finder *f, const char *given)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct tree_walk *walk = NULL;
    struct tree_entry entry;
    rafs_attr attr;
    uint64_t ino = 0;
    char *path = NULL;
    int got;

    if (!find_start(f->c, given, false, &ino, &path, &attr, &err)) {
        command_failed(f->c, given, &err);
        return;
    }
    walk = tree_open(f->c->image, path, ino);
    if (!walk)
        command_say(f->c, EXIT_SOURCE, "out of memory");
    while (walk && !command_interrupted(f->c) && !command_output_failed() &&
           (got = tree_next(walk, &entry, &err)) != 0) {
        if (got < 0)
            command_failed(f->c, entry.path, &err);
        else if (matches(f, &entry))
            put_entry(f, &entry);
    }
    tree_close(walk);
    free(path);
}

enum {
    OPT_JSON = OPT_OWN,
    OPT_NAME,
    OPT_PATH,
    OPT_TYPE,
    OPT_SIZE,
    OPT_PERM,
    OPT_LINKS,
    OPT_UID,
    OPT_GID,
    OPT_XATTR,
    OPT_PRINT0
};

static bool set_test(struct finder *f, int opt)
{
    switch (opt) {
    case OPT_JSON:
        f->json = true;
        return true;
    case OPT_PRINT0:
        f->print0 = true;
        return true;
    case OPT_NAME:
        f->name_glob = optarg;
        return true;
    case OPT_PATH:
        f->path_glob = optarg;
        return true;
    case OPT_XATTR:
        f->xattr_glob = optarg;
        return true;
    case OPT_TYPE:
        f->types = optarg;
        return *optarg && strspn(optarg, "fdlcbps,") == strlen(optarg);
    case OPT_SIZE:
        return parse_range(optarg, true, &f->size);
    case OPT_PERM:
        return parse_perm(f, optarg);
    case OPT_LINKS:
        return parse_range(optarg, false, &f->links);
    case OPT_UID:
        return parse_range(optarg, false, &f->uid);
    default:
        return parse_range(optarg, false, &f->gid);
    }
}

/* False: nothing more to do. */
static bool parse(struct finder *f, int argc, char **argv)
{
    static const struct option longs[] = {COMMON_OPTIONS,
                                          {"json", no_argument, NULL, OPT_JSON},
                                          {"name", required_argument, NULL, OPT_NAME},
                                          {"path", required_argument, NULL, OPT_PATH},
                                          {"type", required_argument, NULL, OPT_TYPE},
                                          {"size", required_argument, NULL, OPT_SIZE},
                                          {"perm", required_argument, NULL, OPT_PERM},
                                          {"links", required_argument, NULL, OPT_LINKS},
                                          {"uid", required_argument, NULL, OPT_UID},
                                          {"gid", required_argument, NULL, OPT_GID},
                                          {"xattr", required_argument, NULL, OPT_XATTR},
                                          {"print0", no_argument, NULL, OPT_PRINT0},
                                          {NULL, 0, NULL, 0}};
    int opt;

    while ((opt = command_getopt(f->c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return false;
        if (!set_test(f, opt)) {
            command_usage(f->c, "'%s' is no argument for this test", optarg);
            return false;
        }
    }
    if (argc - optind < 1 || argc - optind > 2) {
        command_usage(f->c, argc == optind ? "IMAGE is missing" : "too many operands");
        return false;
    }
    return true;
}

int cmd_find(int argc, char **argv)
{
    struct command c = COMMAND_INIT("find", find_help);
    struct finder f = {.c = &c,
                       .size = {.unit = 1},
                       .links = {.unit = 1},
                       .uid = {.unit = 1},
                       .gid = {.unit = 1}};

    c.long_only = true;
    json_begin(&f.j, stdout);
    if (parse(&f, argc, argv) && command_open(&c, argv[optind]))
        find(&f, argc - optind == 2 ? argv[optind + 1] : "/");
    return command_end(&c);
}
