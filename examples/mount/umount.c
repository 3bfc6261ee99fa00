/* SPDX-License-Identifier: Apache-2.0 */
/* rafs umount */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "mount_info.h"

static const char umount_help[] =
    "Usage: rafs umount [--lazy] DIR...\n"
    "       rafs umount [--lazy] --all | --daemon NAME\n"
    "End mounts, and the daemons that have no others.\n"
    "\n"
    "  --all                all of this user's\n"
    "  --daemon NAME        all of one daemon\n"
    "  --lazy, -l           now out of sight, and gone when nobody uses it any more\n"
    "\n"
    "A mount whose daemon is dead is ended as well.\n";

struct wish {
    struct command c;
    char *state;
    bool all, lazy;
    const char *daemon;
};

/* Who waits for an unmount waits for readers that are under way. */
enum { PATIENCE_MS = 60000 };

static bool ask(struct wish *w, int daemon, uint32_t op, const char *dir,
                struct control_answer *answer)
{
    const struct client_call call = {.op = op,
                                     .flags = w->lazy ? CONTROL_LAZY : 0,
                                     .payload = dir,
                                     .len = dir ? strlen(dir) : 0,
                                     .wait_ms = PATIENCE_MS};

    return client_ask(&w->c, daemon, &call, answer, NULL);
}

static void hint(struct wish *w, const char *dir, const char *text, int exit_code)
{
    const char *lazy = strcmp(text, strerror(EBUSY)) == 0 && !w->lazy
                           ? "; --lazy takes it out of sight"
                           : "";

    if (dir)
        command_say(&w->c, exit_code, "%s: %s%s", dir, text, lazy);
    else
        command_say(&w->c, exit_code, "%s%s", text, lazy);
}

/* fusermount3 may do what we may not. */
static int by_fusermount(const char *path, bool lazy)
{
    char name[] = "fusermount3", how[] = "-u", quiet[] = "-q", soon[] = "-z";
    char end[] = "--";
    char *copy = strdup(path);
    char *args[] = {
        name, how, quiet, lazy ? soon : end, lazy ? end : copy, lazy ? copy : NULL, NULL};
    int status = -1;
    pid_t pid;

    if (copy && posix_spawnp(&pid, name, NULL, NULL, args, environ) == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    free(copy);
    return status == 0 ? 0 : EPERM;
}

/* Nobody serves it: what is there was left by a dead daemon, or is not ours. */
static void end_orphan(struct wish *w, const char *dir, const char *path)
{
    struct mount_top top;
    int why = 0;

    mount_info_at(w->state, path, &top);
    switch (top.found) {
    case MOUNT_NONE:
        command_say(&w->c, EXIT_SOURCE, "%s: not mounted", dir);
        return;
    case MOUNT_OTHER:
        command_say(&w->c, EXIT_SOURCE, "%s: not a mount of rafs; umount(8) ends others",
                    dir);
        return;
    case MOUNT_OURS:
        break;
    }
    if (umount2(path, (w->lazy ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW) != 0)
        why = errno;
    if (why == EPERM && top.fuse)
        why = by_fusermount(path, w->lazy);
    if (why != 0)
        hint(w, dir, strerror(why), EXIT_SOURCE);
}

static void end_dir(struct wish *w, const char *dir)
{
    char *path = client_path(dir);
    struct control_answer answer;
    int daemon = path ? client_find(&w->c, w->state, path) : -1;

    if (!path)
        command_say(&w->c, EXIT_SOURCE, "%s: %s", dir, strerror(errno));
    else if (daemon < 0)
        end_orphan(w, dir, path);
    else if (!ask(w, daemon, CONTROL_UMOUNT, path, &answer))
        ; /* said why */
    else if (answer.exit_code == EXIT_NO_PATH)
        command_say(&w->c, EXIT_SOURCE, "%s: not mounted any more", dir);
    else if (answer.exit_code != EXIT_GOOD)
        hint(w, dir, answer.text, (int)answer.exit_code);
    if (daemon >= 0)
        close(daemon);
    free(path);
}

static void end_daemon(struct wish *w, const char *name)
{
    int daemon = client_connect(w->state, name);
    struct control_answer answer;

    if (daemon < 0) {
        if (w->daemon)
            command_say(&w->c, EXIT_SOURCE, "no daemon is called %s", name);
        return;
    }
    if (ask(w, daemon, CONTROL_END, NULL, &answer) && answer.exit_code != EXIT_GOOD)
        hint(w, NULL, answer.text, (int)answer.exit_code);
    close(daemon);
}

/* Those of dead daemons; of several on one directory each is seen. */
struct orphans {
    char **dirs;
    size_t count;
};

static bool see_orphan(void *user, const struct mount_seen *seen)
{
    struct orphans *o = user;
    char **grown;

    if (!seen->daemon)
        return true;
    grown = realloc(o->dirs, (o->count + 1) * sizeof *grown);
    if (!grown)
        return false;
    o->dirs = grown;
    o->dirs[o->count] = strdup(seen->dir);
    o->count += o->dirs[o->count] != NULL;
    return true;
}

static void end_all(struct wish *w)
{
    struct orphans left = {0};
    struct client_names names;

    if (!client_names(&w->c, w->state, &names))
        return;
    for (size_t i = 0; i < names.count; i++)
        end_daemon(w, names.names[i]);
    client_names_free(&names);
    /* Whoever serves a mount still was asked, and said why not. */
    (void)mount_info(w->state, see_orphan, &left);
    while (left.count > 0) {
        char *dir = left.dirs[--left.count];
        int daemon = client_find(&w->c, w->state, dir);

        if (daemon >= 0)
            close(daemon);
        else
            end_orphan(w, dir, dir);
        free(dir);
    }
    free(left.dirs);
}

static void run(struct wish *w, int count, char **dirs)
{
    if ((w->all ? 1 : 0) + (w->daemon ? 1 : 0) + (count > 0 ? 1 : 0) != 1) {
        command_usage(&w->c, "DIR, --all or --daemon NAME is wanted");
        return;
    }
    w->state = client_state_dir(&w->c);
    if (!w->state)
        return;
    if (w->all)
        end_all(w);
    else if (w->daemon)
        end_daemon(w, w->daemon);
    for (int i = 0; i < count && !command_interrupted(&w->c); i++)
        end_dir(w, dirs[i]);
    free(w->state);
}

int cmd_umount(int argc, char **argv)
{
    enum { OPT_ALL = OPT_OWN, OPT_DAEMON };
    static const struct option longs[] = {{"all", no_argument, NULL, OPT_ALL},
                                          {"daemon", required_argument, NULL, OPT_DAEMON},
                                          {"lazy", no_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, OPT_HELP},
                                          {NULL, 0, NULL, 0}};
    struct wish w = {.c = COMMAND_INIT("umount", umount_help)};
    int opt;

    w.c.no_image = true;
    while ((opt = command_getopt(&w.c, argc, argv, "l", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&w.c);
        w.all = w.all || opt == OPT_ALL;
        w.lazy = w.lazy || opt == 'l';
        w.daemon = opt == OPT_DAEMON ? optarg : w.daemon;
    }
    run(&w, argc - optind, argv + optind);
    return command_end(&w.c);
}
