/* SPDX-License-Identifier: Apache-2.0 */
/* As mount(8) calls mount.rafs: IMAGE DIR [-sfnv] [-N NAMESPACE] [-o WORDS] [-t TYPE]. */
#include <stdlib.h>
#include <string.h>

#include "mount_words.h"

static const char helper_help[] =
    "Usage: mount.rafs IMAGE DIR [-sfnv] [-o WORD[,WORD]...]\n"
    "Called by mount(8) for 'mount -t rafs IMAGE DIR'; the same as 'rafs mount'. Words "
    "of\n"
    "-o are those of mount(8), and rafs.NAME[=VALUE] for --NAME[=VALUE] of 'rafs "
    "mount'.\n";

struct helper {
    struct command c;
    char *words; /* of -o; to free() */
    bool fake;
};

/* mount(8) says rw unless somebody said ro; an image is never written to. `before` is
 * what other -o said, or NULL; taken. */
static char *without_rw(char *before, const char *text)
{
    char *copy = joined(text, "");
    char *out = calloc(1, strlen(text) + (before ? strlen(before) : 0) + 2);
    char *rest = copy;
    char *word;

    if (out && before)
        strcpy(out, before);
    free(before);
    while (copy && out && (word = mount_word(&rest)) != NULL) {
        if (strcmp(word, "rw") == 0)
            continue;
        if (*out)
            strcat(out, ",");
        strcat(out, word);
    }
    free(copy);
    return out;
}

static bool take_option(struct helper *h, int opt)
{
    switch (opt) {
    case 'o':
        h->words = without_rw(h->words, optarg);
        return h->words != NULL;
    case 'f':
        h->fake = true;
        return true;
    case 's': /* unknown words are mistakes all the same: one could be a wish */
    case 'n': /* there is no /etc/mtab of ours */
    case 'v':
        return true;
    case 't':
        if (strcmp(optarg, "rafs") == 0)
            return true;
        command_usage(&h->c, "-t %s: the type is rafs", optarg);
        return false;
    case 'N':
        command_usage(&h->c, "-N: enter the namespace first: nsenter(1)");
        return false;
    default:
        return false;
    }
}

static int run(struct helper *h, int count, char **operands)
{
    char name[] = "mount", option[] = "-o", end[] = "--", empty[] = "";
    char *args[] = {name, option, h->words ? h->words : empty, end, NULL, NULL, NULL};
    struct mount_options parsed;

    if (count != 2) {
        command_usage(&h->c,
                      count < 2 ? "IMAGE and DIR are wanted" : "too many operands");
        return h->c.outcome.code;
    }
    args[4] = operands[0];
    args[5] = operands[1];
    if (!h->fake)
        return cmd_mount(6, args);
    (void)mount_parse(&parsed, 6, args);
    mount_options_free(&parsed);
    return command_end(&parsed.c);
}

/* mount(8) has exit codes of its own: 1 wrong usage, 32 it failed. */
static int code_of_mount(int exit_code)
{
    return exit_code == EXIT_GOOD ? 0 : exit_code == EXIT_USAGE ? 1 : 32;
}

int mount_helper(int argc, char **argv)
{
    static const struct option longs[] = {{"help", no_argument, NULL, OPT_HELP},
                                          {NULL, 0, NULL, 0}};
    struct helper h = {.c = COMMAND_INIT("mount", helper_help)};
    int exit_code, opt;

    h.c.no_image = true;
    while ((opt = command_getopt(&h.c, argc, argv, "o:fsnvt:N:", longs)) != -1) {
        if (!take_option(&h, opt)) {
            free(h.words);
            return code_of_mount(command_end(&h.c));
        }
    }
    exit_code = run(&h, argc - optind, argv + optind);
    free(h.words);
    return code_of_mount(exit_code);
}
