/* SPDX-License-Identifier: Apache-2.0 */
/* rafs tar: an image as a pax archive. */
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "tar_stream.h"

static const char tar_help[] =
    "Usage: rafs tar [OPTION]... IMAGE [PATH]...\n"
    "Write IMAGE, or what lies at each PATH, to standard output as a pax archive, with\n"
    "owners, times, extended attributes, ACLs, holes, devices and hard links. The same\n"
    "image gives the same bytes. Sockets are left out, since tar cannot hold them.\n"
    "\n"
    "A file of up to 8 MiB is verified before its header is written; one that fails is\n"
    "left out. Where a larger one fails, the archive ends there, without the mark that\n"
    "makes it complete, so that no reader takes it for whole. Either way the exit "
    "status\n"
    "tells (in a shell: set -o pipefail).\n"
    "\n"
    "Example:\n"
    "  rafs tar image.boot | tar -x -p --numeric-owner --acls --xattrs \\\n"
    "      --xattrs-include='*' -C DIR\n";

static const struct option options[] = {
    COMMON_OPTIONS,
    {NULL, 0, NULL, 0},
};

int cmd_tar(int argc, char **argv)
{
    struct command c = COMMAND_INIT("tar", tar_help);

    while (command_getopt(&c, argc, argv, "", options) != -1)
        return command_end(&c);
    if (argc - optind < 1)
        command_usage(&c, "an image is needed");
    else if (isatty(STDOUT_FILENO))
        command_usage(&c, "an archive is not written to a terminal; "
                          "send it to a file or a pipe");
    else if (!tar_available())
        command_say(&c, EXIT_UNSUPPORTED,
                    "this rafs was built without libarchive; on Debian: "
                    "apt-get install libarchive-dev, then build again");
    else if (command_open(&c, argv[optind])) {
        command_fetch_along(&c, argv + optind + 1, (size_t)(argc - optind) - 1);
        tar_write(&c, argv + optind + 1, (size_t)(argc - optind) - 1);
    }
    return command_end(&c);
}
