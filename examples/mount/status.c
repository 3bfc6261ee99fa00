/* SPDX-License-Identifier: Apache-2.0 */
/* rafs status: what the tables of the daemons say. No mount is touched, for one that
 * hangs is what is looked for. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "mount_info.h"
#include "remote.h"

static const char status_help[] =
    "Usage: rafs status [OPTION]... [DIR]...\n"
    "Show mounts: all of this user's, or those at DIR.\n"
    "\n"
    "  --json               one JSON object a line\n"
    "  --watch[=SECONDS]    again and again, every second or so\n"
    "\n"
    "Mounts themselves are not touched, so that one that hangs does not hang this.\n"
    "Exit status: 0 good; 2 usage; 3 DIR is no mount of rafs, or a daemon does not "
    "answer;\n"
    "130 interrupted.\n";

struct wish {
    struct command c;
    struct json j;
    bool json;
    double every; /* seconds; 0: once */
    char *state;
    char **dirs; /* as given; paths are what daemons call them */
    char **paths;
    size_t dir_count;
    bool *seen;
    size_t shown;
    /* What daemons serve, to find what none does. */
    char **served;
    size_t served_count;
};

/* A slot, read once: what it holds may change meanwhile. */
struct shown {
    const char *daemon;
    const struct mount_table *table;
    const struct mount_slot *slot;
    uint32_t state;
    bool visible; /* here: not taken out of sight, nor in another mount namespace */
    uint64_t total, filled, waiting, oldest_ms;
    char dir[MOUNT_PATH], image[MOUNT_PATH], text[MOUNT_TEXT];
};

static const char *state_name(uint32_t state)
{
    static const char *const names[] = {"free",   "opening", "mounting", "live",
                                        "ending", "ended",   "failed"};

    return state < sizeof names / sizeof *names ? names[state] : "unknown";
}

static const char *via_name(uint32_t via)
{
    return via == VIA_KERNEL ? "kernel" : "fuse";
}

/* The reader who waits longest. FUSE's are the worker's alone. */
static uint64_t oldest_wait_ms(const struct mount_table *table,
                               const struct mount_slot *slot)
{
    uint32_t index = (uint32_t)(slot - table->slots);
    uint32_t high = atomic_load(&table->events_high);
    uint64_t oldest = UINT64_MAX, now;
    struct timespec clock;

    for (uint32_t i = 0; i < high && i < EVENTS_MAX; i++) {
        const struct mount_event *event = &table->events[i];
        uint32_t state = event_state(atomic_load(&event->word));

        if ((state == EVENT_WAITING || state == EVENT_TAKEN) && event->slot == index &&
            event->number == slot->number && event->begin_ns < oldest)
            oldest = event->begin_ns;
    }
    clock_gettime(CLOCK_MONOTONIC, &clock);
    now = (uint64_t)clock.tv_sec * 1000000000 + (uint64_t)clock.tv_nsec;
    return now > oldest ? (now - oldest) / 1000000 : 0;
}

/* A text that another process writes: ended here. */
static void copy_text(char *to, const char *from, size_t room)
{
    memcpy(to, from, room);
    to[room - 1] = '\0';
}

static void read_slot(struct shown *s)
{
    const struct mount_slot *slot = s->slot;
    char image[MOUNT_PATH];

    s->total = atomic_load(&slot->bytes_total);
    s->filled = atomic_load(&slot->bytes_filled);
    s->waiting = atomic_load(&slot->waiting);
    s->oldest_ms = oldest_wait_ms(s->table, slot);
    copy_text(s->dir, slot->dir, sizeof s->dir);
    copy_text(image, slot->image, sizeof image);
    if (strstr(image, "://"))
        remote_shown(image, s->image, sizeof s->image);
    else
        copy_text(s->image, image, sizeof image);
    copy_text(s->text, slot->text, sizeof s->text);
}

/* ---- JSON ------------------------------------------------------------------------ */

static void put_u64(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    json_u64(j, value);
}

static void put_text(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    if (value)
        json_text(j, value);
    else
        json_null(j);
}

static void put_bool(struct json *j, const char *key, bool value)
{
    json_key(j, key);
    json_bool(j, value);
}

static void put_bytes(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    json_bytes(j, value, strlen(value));
}

static void put_json(struct wish *w, const struct shown *s)
{
    const struct mount_table *table = s->table;
    const struct mount_slot *slot = s->slot;
    struct json *j = &w->j;

    json_open(j, '{');
    put_u64(j, "bytes_filled", s->filled);
    put_u64(j, "bytes_total", s->total);
    put_bool(j, "complete", atomic_load(&slot->complete) != 0);
    put_text(j, "daemon", s->daemon);
    put_u64(j, "devices", slot->devices);
    put_bytes(j, "dir", s->dir);
    put_u64(j, "failures", atomic_load(&slot->failures));
    put_u64(j, "fetched_bytes", atomic_load(&slot->fetched_bytes));
    put_u64(j, "fetched_chunks", atomic_load(&slot->fetched_chunks));
    put_text(j, "fill",
             slot->via != VIA_KERNEL ? NULL
             : slot->fence           ? "fence"
                                     : "events");
    put_u64(j, "holder_pid", (uint64_t)atomic_load(&table->holder_pid));
    put_u64(j, "holder_starts", atomic_load(&table->holders));
    put_bytes(j, "image", s->image);
    put_text(j, "last_failure", s->text[0] ? s->text : NULL);
    put_u64(j, "oldest_wait_ms", s->oldest_ms);
    put_u64(j, "pump_pid", (uint64_t)atomic_load(&table->pump_pid));
    put_u64(j, "pump_starts", atomic_load(&table->pumps));
    put_u64(j, "reads", atomic_load(&slot->events));
    put_bool(j, "recording", atomic_load(&slot->recording) != 0);
    put_u64(j, "refused_chunks", atomic_load(&slot->refused_chunks));
    put_u64(j, "since", slot->since_sec);
    put_text(j, "state", state_name(s->state));
    put_u64(j, "timeout_ms", slot->timeout_ms);
    put_u64(j, "version", table->version);
    put_text(j, "via", via_name(slot->via));
    put_bool(j, "visible", s->visible);
    put_u64(j, "waiting", s->waiting);
    put_u64(j, "worker_pid", (uint64_t)atomic_load(&table->worker_pid));
    put_u64(j, "worker_starts", atomic_load(&table->workers));
    json_close(j, '}');
    json_newline(j);
}

static void put_json_dead(struct wish *w, const struct mount_seen *seen)
{
    struct json *j = &w->j;

    json_open(j, '{');
    put_text(j, "daemon", NULL);
    put_bytes(j, "dir", seen->dir);
    put_text(j, "state", "dead");
    put_text(j, "via", strcmp(seen->type, "erofs") == 0 ? "kernel" : "fuse");
    json_close(j, '}');
    json_newline(j);
}

/* ---- text ------------------------------------------------------------------------ */

static void put_since(uint64_t since)
{
    time_t at = (time_t)since;
    char text[64];
    struct tm when;

    if (localtime_r(&at, &when) && strftime(text, sizeof text, "%F %T", &when) > 0)
        printf(" since %s", text);
}

static void put_filled(const struct shown *s)
{
    char filled[32], total[32], fetched[32];

    if (s->total > 0)
        printf("  local    %s of %s (%u %%)%s\n",
               human_bytes(s->filled, filled, sizeof filled),
               human_bytes(s->total, total, sizeof total),
               (unsigned)(s->filled * 100 / s->total),
               atomic_load(&s->slot->complete) ? ", nothing is left to fetch" : "");
    printf("  fetched  %s in %" PRIu64 " chunks",
           human_bytes(atomic_load(&s->slot->fetched_bytes), fetched, sizeof fetched),
           atomic_load(&s->slot->fetched_chunks));
    if (atomic_load(&s->slot->refused_chunks) > 0)
        printf(", %" PRIu64 " refused by verification",
               atomic_load(&s->slot->refused_chunks));
    putchar('\n');
}

static void put_readers(const struct shown *s)
{
    uint64_t failures = atomic_load(&s->slot->failures);

    printf("  readers  %" PRIu64 " reads came here, %" PRIu64 " wait now",
           atomic_load(&s->slot->events), s->waiting);
    if (s->oldest_ms > 0)
        printf(", the oldest for %.1f s", (double)s->oldest_ms / 1e3);
    printf(", %" PRIu64 " failed\n", failures);
    if (s->text[0]) {
        fputs("  last     ", stdout);
        put_safe(stdout, s->text);
        putchar('\n');
    }
}

/* How often one was started, beyond the first time. */
static void put_process(const char *name, int32_t pid, uint32_t starts)
{
    if (pid == 0)
        printf(" %s none", name);
    else
        printf(" %s %d", name, (int)pid);
    if (starts > 1)
        printf(" (started anew %u times)", starts - 1);
}

static void put_plain(const struct shown *s)
{
    const struct mount_table *table = s->table;

    put_name(stdout, s->dir, strlen(s->dir));
    fputs("\n  image    ", stdout);
    put_name(stdout, s->image, strlen(s->image));
    printf("\n  state    %s by %s", state_name(s->state),
           s->slot->via != VIA_KERNEL ? "FUSE"
           : s->slot->fence           ? "the kernel's EROFS, behind a fence"
                                      : "the kernel's EROFS, by events");
    put_since(s->slot->since_sec);
    if (s->state == MOUNT_LIVE && !s->visible)
        fputs(", not seen from here", stdout);
    fputs(atomic_load(&s->slot->recording) ? ", recording a trace\n" : "\n", stdout);
    put_filled(s);
    put_readers(s);
    printf("  daemon   %s:", s->daemon);
    put_process("holder", atomic_load(&table->holder_pid), atomic_load(&table->holders));
    put_process("pump", atomic_load(&table->pump_pid), atomic_load(&table->pumps));
    put_process("worker", atomic_load(&table->worker_pid), atomic_load(&table->workers));
    putchar('\n');
}

static void put_plain_dead(const struct mount_seen *seen)
{
    put_name(stdout, seen->dir, strlen(seen->dir));
    printf("\n  state    dead: by %s, and nobody serves it; 'rafs umount' removes it\n",
           strcmp(seen->type, "erofs") == 0 ? "the kernel's EROFS" : "FUSE");
}

/* ---- which ----------------------------------------------------------------------- */

/* Of one table's slots those that mountinfo has. */
struct sight {
    const char *daemon;
    const struct mount_table *table;
    bool *visible; /* MOUNTS_MAX */
};

static bool see_slot(void *user, const struct mount_seen *seen)
{
    struct sight *sight = user;

    if (!seen->daemon || strcmp(seen->daemon, sight->daemon) != 0)
        return true;
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        if (sight->table->slots[i].number == seen->number)
            sight->visible[i] = true;
    return true;
}

static bool is_wanted(struct wish *w, const char *dir)
{
    bool wanted = w->dir_count == 0;

    for (size_t i = 0; i < w->dir_count; i++) {
        if (w->paths[i] && strcmp(w->paths[i], dir) == 0)
            wanted = w->seen[i] = true;
    }
    return wanted;
}

static void note_served(struct wish *w, const char *dir)
{
    char **grown = realloc(w->served, (w->served_count + 1) * sizeof *grown);

    if (!grown)
        return;
    w->served = grown;
    grown[w->served_count] = strdup(dir);
    w->served_count += grown[w->served_count] != NULL;
}

static void show_table(struct wish *w, const char *daemon,
                       const struct mount_table *table)
{
    static struct shown s; /* large */
    bool visible[MOUNTS_MAX] = {false};
    struct sight sight = {.daemon = daemon, .table = table, .visible = visible};

    (void)mount_info(w->state, see_slot, &sight);
    for (uint32_t i = 0; i < MOUNTS_MAX; i++) {
        s = (struct shown){.daemon = daemon, .table = table, .slot = &table->slots[i]};
        s.state = atomic_load(&s.slot->state);
        if (s.state == MOUNT_FREE)
            continue;
        s.visible = visible[i];
        read_slot(&s);
        note_served(w, s.dir);
        if (!is_wanted(w, s.dir))
            continue;
        if (w->json)
            put_json(w, &s);
        else
            put_plain(&s);
        w->shown++;
    }
}

static void show_daemon(struct wish *w, const char *name)
{
    int daemon = client_connect(w->state, name);
    const char *why;
    const struct mount_table *table;

    if (daemon < 0)
        return; /* it has just ended */
    table = client_table(daemon, &why);
    if (table)
        show_table(w, name, table);
    else
        command_say(&w->c, EXIT_SOURCE, "daemon %s: %s", name, why);
    client_table_free(table);
    close(daemon);
}

static bool show_dead(void *user, const struct mount_seen *seen)
{
    struct wish *w = user;

    for (size_t i = 0; seen->daemon && i < w->served_count; i++)
        if (strcmp(w->served[i], seen->dir) == 0)
            return true;
    if (!seen->daemon || !is_wanted(w, seen->dir))
        return true;
    if (w->json)
        put_json_dead(w, seen);
    else
        put_plain_dead(seen);
    w->shown++;
    return true;
}

static void show_all(struct wish *w)
{
    struct client_names names;

    if (!client_names(&w->c, w->state, &names))
        return;
    for (size_t i = 0; i < names.count && !command_output_failed(); i++)
        show_daemon(w, names.names[i]);
    client_names_free(&names);
    (void)mount_info(w->state, show_dead, w);
    for (size_t i = 0; i < w->served_count; i++)
        free(w->served[i]);
    free(w->served);
    w->served = NULL;
    w->served_count = 0;
}

static void watch(struct wish *w)
{
    for (;;) {
        if (!w->json && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        show_all(w);
        if (fflush(stdout) != 0 || command_output_failed())
            return;
        poll(NULL, 0, (int)(w->every * 1000));
        if (command_stopped())
            return;
    }
}

static bool take_dirs(struct wish *w, int count, char **dirs)
{
    w->dir_count = (size_t)count;
    w->dirs = dirs;
    w->paths = calloc(w->dir_count + 1, sizeof *w->paths);
    w->seen = calloc(w->dir_count + 1, sizeof *w->seen);
    if (!w->paths || !w->seen) {
        command_say(&w->c, EXIT_SOURCE, "out of memory");
        return false;
    }
    for (size_t i = 0; i < w->dir_count; i++)
        w->paths[i] = client_path(dirs[i]);
    return true;
}

static void run(struct wish *w, int count, char **dirs)
{
    w->state = client_state_dir(&w->c);
    json_begin(&w->j, stdout);
    if (!w->state || !take_dirs(w, count, dirs))
        return;
    if (w->every > 0)
        watch(w);
    else
        show_all(w);
    for (size_t i = 0; i < w->dir_count && w->every == 0; i++)
        if (!w->seen[i])
            command_say(&w->c, EXIT_SOURCE, "%s: not a mount of rafs", dirs[i]);
}

static bool take_every(struct wish *w, const char *text)
{
    char *end = NULL;

    w->every = text ? strtod(text, &end) : 1;
    if (!text || (end != text && *end == '\0' && w->every >= 0.01 && w->every <= 86400))
        return true;
    command_usage(&w->c, "--watch: '%s' is not a number of seconds", text);
    return false;
}

int cmd_status(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_WATCH };
    static const struct option longs[] = {{"json", no_argument, NULL, OPT_JSON},
                                          {"watch", optional_argument, NULL, OPT_WATCH},
                                          {"help", no_argument, NULL, OPT_HELP},
                                          {NULL, 0, NULL, 0}};
    struct wish w = {.c = COMMAND_INIT("status", status_help)};
    bool good = true;
    int opt;

    w.c.no_image = true;
    while (good && (opt = command_getopt(&w.c, argc, argv, "", longs)) != -1) {
        good = opt != OPT_STOP && (opt != OPT_WATCH || take_every(&w, optarg));
        w.json = w.json || opt == OPT_JSON;
    }
    if (good)
        run(&w, argc - optind, argv + optind);
    for (size_t i = 0; w.paths && i < w.dir_count; i++)
        free(w.paths[i]);
    free(w.paths);
    free(w.seen);
    free(w.state);
    return command_end(&w.c);
}
