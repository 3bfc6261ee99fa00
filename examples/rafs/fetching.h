/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_FETCHING_H
#define RAFS_COMMAND_FETCHING_H

/* What `rafs pull` and `rafs prefetch` share: a prefetch, watched until it ends. */

#include "command.h"

enum progress_form { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

struct fetching {
    struct command *c;
    rafs_prefetch_options options;
    enum progress_form form;
    bool json; /* the summary */
};

/* "auto", "plain", "json" or "none"; says what is wrong with it. */
bool progress_form_of(struct command *c, const char *text, enum progress_form *out);
/* SIZE a second; the same. */
bool fetching_bandwidth(struct fetching *f, const char *text);

/* Prefetch of the open image, its summary, and what went wrong. */
void fetching_run(struct fetching *f);

#endif
