/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cache.h"

static const char cache_help[] =
    "Usage: rafs cache ls|du|gc|pin|unpin|scrub|path [OPTION]... [NAME]...\n"
    "Look after the chunks that are kept between runs.\n"
    "\n"
    "  ls       list blobs and documents, the least recently used first\n"
    "  du       show how much of the disk they take\n"
    "  gc       evict what was not used for the longest time\n"
    "  pin      keep an image or blob from being evicted\n"
    "  unpin    let it be evicted again\n"
    "  scrub    compare all chunks with their digests\n"
    "  path     print where the cache is, or the file of a blob\n"
    "\n"
    "  rafs cache ls --help   more about one; --json works with all\n"
    "\n"
    "The cache is --cache-dir, else RAFS_CACHE_DIR, else /var/cache/rafs for root and\n"
    "$XDG_CACHE_HOME/rafs (~/.cache/rafs) for others.\n";

static const struct {
    const char *name;
    cache_subcommand *run;
} subcommands[] = {{"du", cache_cmd_du},      {"gc", cache_cmd_gc},
                   {"ls", cache_cmd_ls},      {"path", cache_cmd_path},
                   {"pin", cache_cmd_pin},    {"scrub", cache_cmd_scrub},
                   {"unpin", cache_cmd_unpin}};

enum { SUBCOMMANDS = sizeof subcommands / sizeof *subcommands };

static void unknown(struct command *c, const char *word)
{
    const char *names[SUBCOMMANDS];
    const char *nearest;

    for (size_t i = 0; i < SUBCOMMANDS; i++)
        names[i] = subcommands[i].name;
    nearest = nearest_name(word, names, SUBCOMMANDS);
    if (nearest)
        command_usage(c, "unknown command %s; did you mean %s?", word, nearest);
    else
        command_usage(c, "unknown command %s", word);
}

int cmd_cache(int argc, char **argv)
{
    static const struct option longs[] = {COMMON_OPTIONS, {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("cache", cache_help);

    for (size_t i = 0; argc > 1 && i < SUBCOMMANDS; i++)
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    if (argc > 1 && argv[1][0] == '-') {
        int opt;

        while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1)
            if (opt == OPT_STOP)
                return command_end(&c);
        argc = 1; /* the command has to come first */
    }
    if (argc > 1)
        unknown(&c, argv[1]);
    else
        command_usage(&c, "one of ls, du, gc, pin, unpin, scrub, path has to come first");
    return command_end(&c);
}
