/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_MOVING_H
#define RAFS_COMMAND_MOVING_H

/* What commands share that bring images somewhere: `rafs copy`, `rafs push`. */

#include "fetching.h"

struct moving {
    struct command *c;
    enum progress_form form;
    bool json;  /* the summary */
    bool force; /* an archive that is there is replaced */
    uint32_t threads;
    const char *to_text;
    rafs_origin *from;
    rafs_target *to;
    rafs_copy_result result;
    /* of the progress */
    uint64_t begun_ns, shown_ns;
    bool shown;
};

#define MOVING_OPTIONS                                       \
    {"force", no_argument, NULL, OPT_FORCE},                 \
        {"threads", required_argument, NULL, OPT_THREADS},   \
        {"progress", required_argument, NULL, OPT_PROGRESS}, \
    {                                                        \
        "json", no_argument, NULL, OPT_JSON                  \
    }

enum { OPT_FORCE = OPT_OWN + 100, OPT_THREADS, OPT_PROGRESS, OPT_JSON };

/* Take care of one of them. False: it was wrong, and reported. */
bool moving_option(struct moving *m, int opt);

/* Does the text name a place where images can be? Reports and notes if not. */
bool moving_is_place(struct command *c, const char *text);

/* Open m->from, m->to. False: reported and noted. */
bool moving_open_origin(struct moving *m, const char *where);
bool moving_open_target(struct moving *m, const char *where);

/* Report a failure, and note it. A text that is no reference may have a password in it,
 * so that it is not shown. */
void moving_failed(struct moving *m, const char *where, const rafs_error *err);

/* A call without a deadline, which signals stop. */
rafs_call moving_call(void);

/* For rafs_copy() and the like; user is the struct moving. */
void moving_progress(void *user, const rafs_copy_progress *progress);
void moving_progress_begin(struct moving *m);
void moving_progress_end(struct moving *m);

/* What was done, as a line or as JSON; what: "copied". */
void moving_summary(const struct moving *m, const char *what);

/* Copy m->from to m->to, and say so. */
void moving_copy(struct moving *m, const char *source, uint32_t flags);

void moving_end(struct moving *m);

#endif
