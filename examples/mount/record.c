/* SPDX-License-Identifier: Apache-2.0 */
/* rafs trace record: what is read of a mount from now on goes into the cache. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

static const char record_help[] =
    "Usage: rafs trace record [--for SECONDS] DIR\n"
    "Record what is read of the image mounted at DIR, from now on until Ctrl-C or for "
    "so\n"
    "long, and keep it in the cache: the next mount of the image fetches it first, by\n"
    "itself.\n"
    "\n"
    "  --for SECONDS        then end by itself\n"
    "\n"
    "Example:\n"
    "  rafs trace record /mnt --for 30 & chroot /mnt /usr/bin/app; wait\n";

struct wish {
    struct command c;
    char *state, *path;
    const char *dir;
    double seconds; /* 0: until a signal */
};

enum { PATIENCE_MS = 60000, STEP_MS = 20 };

/* What the worker says about it; RECORD_NO where there is no mount any more. */
static uint32_t state_of(struct wish *w, char *text)
{
    int daemon = client_find(&w->c, w->state, w->path);
    const char *why;
    const struct mount_table *table = daemon < 0 ? NULL : client_table(daemon, &why);
    const struct mount_slot *slot = table ? client_slot(table, w->path) : NULL;
    uint32_t state = slot ? atomic_load(&slot->recording) : RECORD_NO;

    if (slot)
        snprintf(text, MOUNT_TEXT, "%.*s", MOUNT_TEXT - 1, slot->text);
    client_table_free(table);
    if (daemon >= 0)
        close(daemon);
    return state;
}

/* A connection of its own: the daemon may have started anew since the last one. */
static bool ask(struct wish *w, uint32_t flags)
{
    struct client_call call = {.op = CONTROL_RECORD,
                               .flags = flags,
                               .payload = w->path,
                               .len = strlen(w->path),
                               .wait_ms = PATIENCE_MS};
    struct control_answer answer;
    int daemon = client_find(&w->c, w->state, w->path);
    bool good = false;

    if (daemon < 0)
        command_say(&w->c, EXIT_SOURCE, "%s: not a mount of rafs", w->dir);
    else if (!client_tell(daemon, &call, &answer))
        command_say(&w->c, EXIT_SOURCE, "%s: the daemon does not answer", w->dir);
    else if (answer.exit_code != EXIT_GOOD)
        command_say(&w->c, (int)answer.exit_code, "%s: %s", w->dir, answer.text);
    else
        good = true;
    if (daemon >= 0)
        close(daemon);
    return good;
}

/* Until the worker has done what was asked. */
static bool await(struct wish *w, uint32_t from, uint32_t to)
{
    char before[MOUNT_TEXT] = "", text[MOUNT_TEXT] = "";
    uint32_t state = state_of(w, before);

    snprintf(text, sizeof text, "%s", before);
    for (int waited = 0; state == from && waited < PATIENCE_MS; waited += STEP_MS) {
        poll(NULL, 0, STEP_MS);
        state = state_of(w, text);
    }
    if (state == to)
        return true;
    command_say(&w->c, EXIT_SOURCE, "%s: %s", w->dir,
                strcmp(text, before) != 0 ? text : "the worker does not record");
    return false;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool is_mounted(struct wish *w)
{
    int daemon = client_find(&w->c, w->state, w->path);

    if (daemon < 0)
        return false;
    close(daemon);
    return true;
}

static void wait_for_end(struct wish *w)
{
    enum { SLICE_MS = 500 };
    double end = now() + w->seconds;

    while (!command_stopped() && is_mounted(w)) {
        double left_ms = w->seconds > 0 ? (end - now()) * 1000 : SLICE_MS;

        if (left_ms <= 0)
            return;
        poll(NULL, 0, left_ms < SLICE_MS ? (int)left_ms + 1 : SLICE_MS);
    }
}

static void run(struct wish *w)
{
    w->state = client_state_dir(&w->c);
    w->path = client_path(w->dir);
    if (!w->path)
        command_say(&w->c, EXIT_SOURCE, "%s: %s", w->dir, strerror(errno));
    if (!w->state || !w->path || !ask(w, 0) || !await(w, RECORD_WANTED, RECORD_ON))
        return;
    wait_for_end(w);
    /* A mount that has ended kept what was recorded. */
    if (is_mounted(w) && ask(w, CONTROL_STOP))
        await(w, RECORD_STOP, RECORD_NO);
}

static bool take_seconds(struct wish *w, const char *text)
{
    char *end = NULL;

    w->seconds = strtod(text, &end);
    if (end != text && *end == '\0' && w->seconds > 0 && w->seconds <= 1e9)
        return true;
    command_usage(&w->c, "--for: '%s' is not a number of seconds", text);
    return false;
}

int cmd_trace_record(int argc, char **argv)
{
    enum { OPT_FOR = OPT_OWN };
    static const struct option longs[] = {{"for", required_argument, NULL, OPT_FOR},
                                          {"help", no_argument, NULL, OPT_HELP},
                                          {NULL, 0, NULL, 0}};
    struct wish w = {.c = COMMAND_INIT("trace record", record_help)};
    bool good = true;
    int opt;

    w.c.no_image = true;
    while (good && (opt = command_getopt(&w.c, argc, argv, "", longs)) != -1)
        good = opt != OPT_STOP && (opt != OPT_FOR || take_seconds(&w, optarg));
    if (good && argc - optind != 1)
        command_usage(&w.c, argc == optind ? "DIR is missing" : "too many operands");
    else if (good) {
        w.dir = argv[optind];
        run(&w);
    }
    free(w.state);
    free(w.path);
    return command_end(&w.c);
}
