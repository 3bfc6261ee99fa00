/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <string.h>

#include "command.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"build", cmd_build, "make an image out of directories and archives"},
    {"cache", cmd_cache, "look after the chunks that are kept"},
    {"cat", cmd_cat, "write files to standard output"},
    {"check", cmd_check, "look at everything in an image"},
    {"chunks", cmd_chunks, "show where the bytes of a file lie"},
    {"convert", cmd_convert, "make a RAFS image of an ordinary one"},
    {"copy", cmd_copy, "copy an image to another registry, layout or archive"},
    {"diff", cmd_diff, "show in what a directory, tar or image differs"},
    {"export", cmd_export, "write an image as EROFS, for Linux to mount"},
    {"extract", cmd_extract, "restore files into a directory"},
    {"find", cmd_find, "print paths that pass tests"},
    {"info", cmd_info, "show what an image is"},
    {"ls", cmd_ls, "list directories"},
    {"merge", cmd_merge, "lay images over each other"},
    {"mount", cmd_mount, "show an image as a file system"},
    {"optimize", cmd_optimize, "put together what a run reads"},
    {"prefetch", cmd_prefetch, "fetch parts of an image beforehand"},
    {"pull", cmd_pull, "fetch all of an image, to read it offline"},
    {"push", cmd_push, "make an image of a bootstrap and its blobs somewhere"},
    {"readlink", cmd_readlink, "print targets of symbolic links"},
    {"sharing", cmd_sharing, "show what images have in common"},
    {"stat", cmd_stat, "show all attributes of files"},
    {"status", cmd_status, "show mounts and how they are"},
    {"tar", cmd_tar, "write a pax archive to standard output"},
    {"trace", cmd_trace, "show what was read when"},
    {"umount", cmd_umount, "end mounts"},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const char usage[] = "Usage: rafs COMMAND [OPTION]... IMAGE [ARGUMENT]...\n"
                            "Read RAFS images (Nydus, v5 and v6) on demand; every byte "
                            "is verified.\n"
                            "\n";

static int print_help(struct command *c)
{
    fputs(usage, stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].what);
    fputs("\n"
          "  rafs help COMMAND, rafs COMMAND --help   more about one\n"
          "  rafs --version                           versions of command and library\n",
          stdout);
    return command_end(c);
}

static int print_version(struct command *c)
{
    printf("rafs %s (library %s)\n", RAFS_VERSION_STRING, rafs_version());
    return command_end(c);
}

static int unknown(const char *word)
{
    const char *names[COMMAND_COUNT];
    const char *nearest;

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    nearest = nearest_name(word, names, COMMAND_COUNT);
    fputs("rafs: unknown command ", stderr);
    put_quoted(stderr, word, strlen(word));
    if (nearest)
        fprintf(stderr, "; did you mean %s?", nearest);
    fputs("\nTry 'rafs --help'.\n", stderr);
    return EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    }
    return unknown(argv[0]);
}

static int help_on(char *name)
{
    static char help_option[] = "--help";
    char *args[] = {name, help_option, NULL};

    return run(2, args);
}

static int dispatch(int argc, char **argv)
{
    struct command self = COMMAND_INIT("help", usage);

    if (argc < 2) {
        fputs(usage, stderr);
        fputs("Try 'rafs --help'.\n", stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return print_version(&self);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help(&self);
    if (strcmp(argv[1], "help") == 0)
        return argc > 2 ? help_on(argv[2]) : print_help(&self);
    return run(argc - 1, argv + 1);
}

/* mount(8) runs /sbin/mount.TYPE, which is a link to us. */
static bool is_helper(const char *called)
{
    const char *slash = called ? strrchr(called, '/') : NULL;

    return called && strcmp(slash ? slash + 1 : called, "mount.rafs") == 0;
}

int main(int argc, char **argv)
{
    int exit_code;

    /* For what a terminal may be shown; numbers stay as in the C locale. */
    setlocale(LC_CTYPE, "");
    if (!command_start())
        return EXIT_SOURCE;
    exit_code = is_helper(argv[0]) ? mount_helper(argc, argv) : dispatch(argc, argv);
    command_stop();
    return exit_code;
}
