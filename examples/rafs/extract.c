/* SPDX-License-Identifier: Apache-2.0 */
/* rafs extract: an image as files. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "extract_file.h"
#include "extract_tree.h"

static const char extract_help[] =
    "Usage: rafs extract [OPTION]... IMAGE DIR [PATH]...\n"
    "Restore IMAGE, or what lies at each PATH, with its full path below DIR, which is\n"
    "made if it is missing. Owners, modes, times, extended attributes, ACLs, devices,\n"
    "hard links and holes are restored. A file appears under its name only when all of\n"
    "it was verified and written. Nothing outside DIR is touched, and no symbolic link\n"
    "below it is followed. Directories that exist are merged.\n"
    "\n"
    "  --overwrite          replace files that exist (else each is an error; links and\n"
    "                       files where a directory is needed always are)\n"
    "  --sparse             make holes of blocks of zeros too, not only of holes\n"
    "  --same-owner         restore owners (default for root)\n"
    "  --no-same-owner      leave all to whoever extracts (default for others)\n"
    "  --no-xattrs          leave extended attributes and ACLs out\n"
    "  --json               a summary as one JSON object on standard output; progress "
    "as\n"
    "                       JSON lines on standard error\n"
    "\n"
    "What could not be restored is listed at the end. Set-id bits are left off where "
    "the\n"
    "owner or group is not the image's. For others than root, attributes and devices\n"
    "that only need a privilege do not count as failures; for root, or with\n"
    "--same-owner, they do (exit status 3).\n"
    "\n"
    "Example:\n"
    "  rafs extract --expect-digest sha256:HEX image.boot /tmp/root /usr/share\n";

enum {
    OPT_OVERWRITE = OPT_OWN,
    OPT_SPARSE,
    OPT_OWNER,
    OPT_NO_OWNER,
    OPT_NO_XATTRS,
    OPT_JSON
};

static const struct option options[] = {
    COMMON_OPTIONS,
    {"overwrite", no_argument, NULL, OPT_OVERWRITE},
    {"sparse", no_argument, NULL, OPT_SPARSE},
    {"same-owner", no_argument, NULL, OPT_OWNER},
    {"no-same-owner", no_argument, NULL, OPT_NO_OWNER},
    {"no-xattrs", no_argument, NULL, OPT_NO_XATTRS},
    {"json", no_argument, NULL, OPT_JSON},
    {NULL, 0, NULL, 0},
};

static const struct {
    const char *key, *text;
} kinds[LACK_KINDS] = {
    [LACK_OWNER] = {"owner", "owner or group"},
    [LACK_SETID] = {"setid", "set-user-id or set-group-id bit"},
    [LACK_MODE] = {"mode", "mode"},
    [LACK_TIME] = {"time", "modification time"},
    [LACK_XATTR] = {"xattr", "extended attribute"},
    [LACK_DEVICE] = {"device", "device node"},
    [LACK_LINK] = {"link", "hard link (a copy was made)"},
};

/* One line for a kind: how many, and the first few. */
static void say_lack(struct command *c, const char *text, const struct lack *lack,
                     int exit_code)
{
    char *line = NULL;
    size_t size = 0, i;
    FILE *out = open_memstream(&line, &size);

    if (!out)
        return;
    fprintf(out, "not restored: %s, %" PRIu64 " times:", text, lack->count);
    for (i = 0; i < LACK_NAMED && i < lack->count; i++) {
        const char *path = lack->paths[i] ? lack->paths[i] : "?";

        fputc(i ? ',' : ' ', out);
        if (i)
            fputc(' ', out);
        put_quoted(out, path, strlen(path));
        if (lack->detail[i][0])
            fprintf(out, " %s", lack->detail[i]);
        fprintf(out, " (%s)",
                lack->os_errno[i] ? strerror(lack->os_errno[i]) : "not tried");
    }
    if (lack->count > LACK_NAMED)
        fputs(" and more", out);
    if (fclose(out) == 0)
        command_say(c, exit_code, "%s", line);
    free(line);
}

static void say_lacks(struct extraction *x, bool strict)
{
    size_t kind;

    for (kind = 0; kind < LACK_KINDS; kind++) {
        const struct lack *lack = &x->restore.lacks[kind];
        /* Not tried by request is no failure; a set-id bit follows the owner. */
        bool expected = kind == LACK_SETID || (kind == LACK_OWNER && !x->restore.owners);
        bool failure = !expected && (strict || lack->refused);

        if (lack->count > 0)
            say_lack(x->c, kinds[kind].text, lack, failure ? EXIT_SOURCE : EXIT_GOOD);
    }
}

static void put_json_lack(struct json *j, const char *key, const struct lack *lack)
{
    size_t i;

    json_open(j, '{');
    json_key(j, "count");
    json_u64(j, lack->count);
    json_key(j, "kind");
    json_text(j, key);
    json_key(j, "paths");
    json_open(j, '[');
    for (i = 0; i < LACK_NAMED && i < lack->count; i++) {
        if (lack->paths[i])
            json_bytes(j, lack->paths[i], strlen(lack->paths[i]));
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void put_json_summary(const struct extraction *x)
{
    struct json j;
    size_t kind;

    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "bytes");
    json_u64(&j, x->bytes);
    json_key(&j, "complete");
    json_bool(&j, !x->stop);
    json_key(&j, "entries");
    json_u64(&j, x->entries);
    json_key(&j, "event");
    json_text(&j, "summary");
    json_key(&j, "failed");
    json_u64(&j, x->failed);
    json_key(&j, "not_restored");
    json_open(&j, '[');
    for (kind = 0; kind < LACK_KINDS; kind++) {
        if (x->restore.lacks[kind].count > 0)
            put_json_lack(&j, kinds[kind].key, &x->restore.lacks[kind]);
    }
    json_close(&j, ']');
    json_close(&j, '}');
    json_newline(&j);
}

static bool open_destination(struct extraction *x, bool whole)
{
    int made = 0;
    int rc = dest_open(&x->dest, x->dir, whole ? 0700 : 0777, &made);

    if (rc != 0) {
        command_say(x->c, EXIT_SOURCE, "%s: %s", x->dir, strerror(rc));
        return false;
    }
    /* Modes come from the image; until they are set, nobody else looks in. */
    umask(077);
    return true;
}

static bool whole_image(const struct selection *selection)
{
    return selection->count == 1 && strcmp(selection->paths[0], "/") == 0;
}

static void extract_all(struct extraction *x, char **paths, size_t count, bool json)
{
    struct selection selection = SELECTION_INIT;
    rafs_image_info info = {.struct_size = sizeof info};

    selection_make(x->c, paths, count, &selection);
    x->restore.image = x->c->image;
    x->piece = malloc(FILE_PIECE);
    if (!x->piece)
        command_say(x->c, EXIT_SOURCE, "out of memory");
    if (x->piece && selection.count > 0 && open_destination(x, whole_image(&selection))) {
        if (whole_image(&selection) &&
            rafs_image_get_info(x->c->image, &info, NULL) == RAFS_OK)
            x->expected = info.inodes;
        progress_begin(&x->progress, "entries", json);
        extract_selection(x, &selection);
        progress_end(&x->progress);
        if (command_interrupted(x->c))
            command_say(x->c, EXIT_INTERRUPTED, "interrupted; %s is not complete",
                        x->dir);
    }
    selection_free(&selection);
}

int cmd_extract(int argc, char **argv)
{
    struct command c = COMMAND_INIT("extract", extract_help);
    struct extraction x = {.c = &c, .dest = DEST_INIT, .links = LINK_MAP_INIT};
    bool json = false, strict = geteuid() == 0;
    int opt;

    x.restore.owners = geteuid() == 0;
    x.restore.xattrs = 1;
    x.restore.uid = geteuid();
    x.restore.gid = getegid();
    while ((opt = command_getopt(&c, argc, argv, "", options)) != -1) {
        switch (opt) {
        case OPT_OVERWRITE:
            x.dest.overwrite = 1;
            break;
        case OPT_SPARSE:
            x.sparse = true;
            break;
        case OPT_OWNER:
            x.restore.owners = 1;
            strict = true;
            break;
        case OPT_NO_OWNER:
            x.restore.owners = 0;
            break;
        case OPT_NO_XATTRS:
            x.restore.xattrs = 0;
            break;
        case OPT_JSON:
            json = true;
            break;
        default:
            return command_end(&c);
        }
    }
    if (argc - optind < 2) {
        command_usage(&c, "an image and a directory are needed");
        return command_end(&c);
    }
    x.dir = argv[optind + 1];
    if (command_open(&c, argv[optind])) {
        command_fetch_along(&c, argv + optind + 2, (size_t)(argc - optind) - 2);
        extract_all(&x, argv + optind + 2, (size_t)(argc - optind) - 2, json);
    }
    if (c.image) {
        say_lacks(&x, strict);
        if (json)
            put_json_summary(&x);
    }
    free(x.piece);
    free(x.dirs);
    free(x.dir_path);
    link_map_free(&x.links);
    restore_free(&x.restore);
    dest_close(&x.dest);
    return command_end(&c);
}
