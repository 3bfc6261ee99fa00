/* SPDX-License-Identifier: Apache-2.0 */
/* rafs cat and rafs readlink: bytes as they are. */
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char cat_help[] =
    "Usage: rafs cat [OPTION]... IMAGE PATH...\n"
    "Write files of IMAGE to standard output, every byte verified before it is written.\n"
    "\n"
    "  --offset N           begin at byte N of each file (K, M, G, T: powers of 1024)\n"
    "  --length N           write at most N bytes of each file\n"
    "\n"
    "Links are followed inside the image. If a file turns out to be corrupt, what was\n"
    "written before is right, nothing wrong follows, and the exit status is 1.\n"
    "\n"
    "Example:\n"
    "  rafs cat --expect-digest sha256:HEX image.boot /etc/os-release\n";

static const char readlink_help[] =
    "Usage: rafs readlink [OPTION]... IMAGE PATH...\n"
    "Print the target of symbolic links in IMAGE, one a line.\n";

enum { READ_BYTES = 1 << 20 };

static bool copy_out(struct command *c, const char *path, uint64_t ino, uint64_t offset,
                     uint64_t length, char *buf)
{
    rafs_error err = RAFS_ERROR_INIT;

    while (length > 0 && !command_interrupted(c) && !command_output_failed()) {
        size_t want = length < READ_BYTES ? (size_t)length : READ_BYTES;
        size_t nread = 0;

        if (rafs_image_read(c->image, ino, offset, want, buf, &nread, command_call(c),
                            &err) < 0) {
            command_failed(c, path, &err);
            return false;
        }
        if (nread == 0)
            break;
        fwrite(buf, 1, nread, stdout);
        offset += nread;
        length -= nread;
    }
    return true;
}

static void cat_path(struct command *c, const char *path, uint64_t offset,
                     uint64_t length, char *buf)
{
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = 0;

    if (rafs_image_resolve(c->image, path, 0, &ino, &err) < 0)
        command_failed(c, path, &err);
    else
        copy_out(c, path, ino, offset, length, buf);
}

int cmd_cat(int argc, char **argv)
{
    enum { OPT_OFFSET = OPT_OWN, OPT_LENGTH };
    static const struct option longs[] = {COMMON_OPTIONS,
                                          {"offset", required_argument, NULL, OPT_OFFSET},
                                          {"length", required_argument, NULL, OPT_LENGTH},
                                          {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("cat", cat_help);
    uint64_t offset = 0, length = UINT64_MAX;
    char *buf = NULL;
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&c);
        if (!parse_bytes(optarg, true, opt == OPT_OFFSET ? &offset : &length)) {
            command_usage(&c, "'%s' is not a number of bytes", optarg);
            return command_end(&c);
        }
    }
    if (argc - optind < 2) {
        command_usage(&c, argc == optind ? "IMAGE is missing" : "PATH is missing");
        return command_end(&c);
    }
    buf = malloc(READ_BYTES);
    if (!buf)
        command_say(&c, EXIT_SOURCE, "out of memory");
    else if (command_open(&c, argv[optind])) {
        for (int i = optind + 1; i < argc; i++) {
            if (command_interrupted(&c) || command_output_failed())
                break;
            cat_path(&c, argv[i], offset, length, buf);
        }
    }
    free(buf);
    return command_end(&c);
}

static void print_target(struct command *c, const char *path)
{
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = 0;
    size_t len = 0;
    char *target = NULL;

    if (rafs_image_resolve(c->image, path, RAFS_RESOLVE_NOFOLLOW, &ino, &err) < 0 ||
        (target = read_target(c->image, ino, &len, &err)) == NULL) {
        command_failed(c, path, &err);
        return;
    }
    put_name(stdout, target, len);
    putchar('\n');
    free(target);
}

int cmd_readlink(int argc, char **argv)
{
    static const struct option longs[] = {COMMON_OPTIONS, {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("readlink", readlink_help);

    if (command_getopt(&c, argc, argv, "", longs) != -1)
        return command_end(&c);
    if (argc - optind < 2)
        command_usage(&c, argc == optind ? "IMAGE is missing" : "PATH is missing");
    else if (command_open(&c, argv[optind])) {
        for (int i = optind + 1; i < argc; i++)
            print_target(&c, argv[i]);
    }
    return command_end(&c);
}
