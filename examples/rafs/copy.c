/* SPDX-License-Identifier: Apache-2.0 */
/* rafs copy: an image from one place to another, as it is. */
#include "moving.h"

static const char copy_help[] =
    "Usage: rafs copy [OPTION]... SOURCE TARGET\n"
    "Copy an image, RAFS or not, as it is: manifests keep their digests. SOURCE and "
    "TARGET\n"
    "are docker://HOST/REPO[:TAG], oci:DIR[:TAG] or oci-archive:FILE[:TAG]. What is "
    "there\n"
    "is not sent again, and what another repository of the registry has is taken over\n"
    "from there; an interrupted copy goes on where it was.\n"
    "\n"
    "  --all                all images of an index, not only that of --platform\n"
    "  --referrers          also what hangs on the image: signatures and the like\n"
    "  --force              replace the file of an oci-archive\n"
    "  --threads N          blobs at once (default 3)\n"
    "  --progress FORM      auto (a bar on a terminal), plain, json or none\n"
    "  --json               the summary as JSON\n"
    "\n"
    "--timeout is for how long nothing gets on.\n"
    "\n"
    "Example:\n"
    "  rafs copy --all docker://registry.example.org/app:v1 oci-archive:app.tar:v1\n";

int cmd_copy(int argc, char **argv)
{
    enum { OPT_ALL = OPT_OWN };
    static const struct option longs[] = {COMMON_OPTIONS,
                                          MOVING_OPTIONS,
                                          {"all", no_argument, NULL, OPT_ALL},
                                          {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("copy", copy_help);
    struct moving m = {.c = &c};
    uint32_t flags = 0;
    int opt;

    c.moves = true;
    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP || !moving_option(&m, opt))
            return command_end(&c);
        if (opt == OPT_ALL)
            flags |= RAFS_COPY_ALL;
    }
    if (argc - optind != 2)
        command_usage(&c, argc - optind > 2 ? "too many operands"
                                            : "SOURCE or TARGET is missing");
    else if (moving_open_origin(&m, argv[optind]) &&
             moving_open_target(&m, argv[optind + 1]))
        moving_copy(&m, argv[optind], flags);
    moving_end(&m);
    return command_end(&c);
}
