/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_CACHE_H
#define RAFS_COMMAND_CACHE_H

/* The cache of the command: where it is, and the subcommands of `rafs cache`. */

#include "command.h"

struct cache_place {
    char *path;  /* to free(); NULL: none */
    bool chosen; /* by the user, so that trouble with it is an error */
};

/* --cache-dir, else RAFS_CACHE_DIR (empty: none), else the place for this user. False: no
 * memory, reported. */
bool cache_choose(struct command *c, struct cache_place *out);

/* The folders above a default place, if they are missing. */
void cache_make_parents(const struct cache_place *place);

/* Space that is left to others on the file system of the cache. */
uint64_t cache_floor(const struct command *c, const char *path);

enum cache_found { CACHE_OPEN, CACHE_NONE, CACHE_FAILED };

/* For those who look after the cache. CACHE_NONE: nothing was ever cached at the default
 * place, and make is false; CACHE_FAILED: reported and noted. */
enum cache_found cache_open_existing(struct command *c, bool make);

/* argv[0] is the name of the subcommand of `rafs cache`. */
typedef int cache_subcommand(int argc, char **argv);

cache_subcommand cache_cmd_du, cache_cmd_gc, cache_cmd_ls, cache_cmd_path, cache_cmd_pin,
    cache_cmd_scrub, cache_cmd_unpin;

#endif
