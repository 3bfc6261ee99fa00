/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_CLIENT_H
#define RAFS_MOUNT_CLIENT_H

/*
 * How the commands find daemons and talk to them. A daemon listens at STATE/NAME.sock,
 * where STATE is RAFS_STATE_DIR, /run/rafs for root, $XDG_RUNTIME_DIR/rafs for others.
 */

#include "mount.h"

enum { DAEMONS_MAX = 4096 };

/* STATE, made and found to be ours alone; to free(). NULL: said why and noted. */
char *client_state_dir(struct command *c);

/* Names of the daemons that listen there, in order, to client_names_free(). Sockets of
 * dead ones are removed. */
struct client_names {
    char **names;
    size_t count;
};
bool client_names(struct command *c, const char *state, struct client_names *out);
void client_names_free(struct client_names *names);

/* A connection to NAME; -1 and errno: ENOENT if nobody listens there. The socket of a
 * dead one is removed. */
int client_connect(const char *state, const char *name);

/* A socket that listens at STATE/NAME.sock from one moment to the next. -1 and errno:
 * EEXIST if somebody listens there. */
int client_listen(const char *state, const char *name);

/* One request and its answer. A descriptor that came along is in *fd, or -1; NULL: none
 * is wanted. `wait_ms` 0: for ever. False: no answer, said why and noted. */
struct client_call {
    uint32_t op, flags; /* enum control_op */
    const void *payload;
    size_t len;
    uint64_t wait_ms;
};
/* The same, quietly. */
bool client_tell(int daemon, const struct client_call *call,
                 struct control_answer *answer);
bool client_ask(struct command *c, int daemon, const struct client_call *call,
                struct control_answer *answer, int *fd);

/* The table of a daemon, mapped for reading. NULL: no answer, or one of another version;
 * *why says so (static, or of strerror()). */
const struct mount_table *client_table(int daemon, const char **why);
void client_table_free(const struct mount_table *table);

/* The slot that serves `dir` (as client_path() gives it), or NULL. */
const struct mount_slot *client_slot(const struct mount_table *table, const char *dir);

/* A connection to the daemon that serves what is seen at `dir`; -1: there is none. */
int client_find(struct command *c, const char *state, const char *dir);

/* DIR as the daemons call it: absolute, its folder without links, and its own name not
 * looked at if it is a mount: that could hang. To free(); NULL and errno. */
char *client_path(const char *dir);

#endif
