/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of `rafs mount`, and what becomes of them on their way to a daemon. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mount_words.h"
#include "remote.h"

static const char mount_help[] =
    "Usage: rafs mount [OPTION]... IMAGE DIR\n"
    "Show IMAGE as a file system at DIR, read-only. What is read is fetched then, and\n"
    "verified; what cannot be verified is an error of who reads.\n"
    "\n"
    "  --via auto|kernel|fuse   kernel: EROFS of the kernel; needs root and Linux 6.14.\n"
    "                       fuse: needs fusermount3 or root. auto (the default): kernel\n"
    "                       where that can be, else fuse; says which, and why\n"
    "  -o WORD[,WORD]...    as with mount(8): nodev, nosuid, noexec, context=..., "
    "uidmap=...,\n"
    "                       allow_other, ...; rafs.NAME[=VALUE] stands for "
    "--NAME[=VALUE]\n"
    "  --fill WAY           kernel: what keeps readers from what is not verified yet:\n"
    "                       fence (a device that waits, or fails), events (fanotify;\n"
    "                       Linux 6.14); auto, the default: a fence where it can be\n"
    "  --foreground         stay, until it is unmounted; a signal unmounts it\n"
    "  --daemon NAME        let the daemon of that name serve it; started if not there\n"
    "  --threads N          that fetch and verify for this mount\n"
    "  --prefetch-all       fetch all of the image in the background\n"
    "  --no-trace           do not fetch first what was read last time, nor remember "
    "what is\n"
    "                       read now\n"
    "  --upgrade            let this binary, or the one named, take over what runs:\n"
    "                       rafs mount --upgrade DIR|--daemon NAME [BINARY]\n"
    "\n"
    "Ends when the mount answers; what serves it stays in the background. A mount is\n"
    "ended by 'rafs umount DIR', shown by 'rafs status'.\n"
    "\n"
    "Example:\n"
    "  rafs mount docker://registry.example/app:1 /mnt\n"
    "  rafs umount /mnt\n";

enum {
    OPT_VIA = OPT_OWN,
    OPT_FOREGROUND,
    OPT_DAEMON,
    OPT_FILL,
    OPT_THREADS,
    OPT_PREFETCH_ALL,
    OPT_NO_TRACE,
    OPT_UPGRADE
};

static const struct option longs[] = {
    COMMON_OPTIONS,
    {"via", required_argument, NULL, OPT_VIA},
    {"foreground", no_argument, NULL, OPT_FOREGROUND},
    {"daemon", required_argument, NULL, OPT_DAEMON},
    {"fill", required_argument, NULL, OPT_FILL},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"prefetch-all", no_argument, NULL, OPT_PREFETCH_ALL},
    {"no-trace", no_argument, NULL, OPT_NO_TRACE},
    {"upgrade", no_argument, NULL, OPT_UPGRADE},
    {"options", required_argument, NULL, 'o'},
    {NULL, 0, NULL, 0}};
static const char shorts[] = "o:";

static bool set_via(struct mount_options *o)
{
    static const char *const names[] = {"auto", "kernel", "fuse"};

    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(optarg, names[i]) == 0) {
            o->via = i;
            return true;
        }
    }
    command_usage(&o->c, "--via: '%s' is not auto, kernel or fuse", optarg);
    return false;
}

static bool set_fill(struct mount_options *o)
{
    static const char *const names[] = {"auto", "fence", "events"};

    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(optarg, names[i]) == 0) {
            o->fill = i;
            return true;
        }
    }
    command_usage(&o->c, "--fill: '%s' is not auto, fence or events", optarg);
    return false;
}

static bool set_threads(struct mount_options *o)
{
    uint64_t number;

    if (parse_bytes(optarg, false, &number) && number >= 1 &&
        number <= MOUNT_THREADS_MAX) {
        o->threads = (uint32_t)number;
        return true;
    }
    command_usage(&o->c, "--threads: '%s' is not a number from 1 to %d", optarg,
                  MOUNT_THREADS_MAX);
    return false;
}

/* Names become names of files. */
static bool set_daemon(struct mount_options *o)
{
    size_t len = strlen(optarg);

    if (len > 0 && len <= MOUNT_NAME_MAX && optarg[0] != '.' && optarg[0] != '@' &&
        strspn(optarg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                       "._@-") == len) {
        o->daemon = optarg;
        return true;
    }
    command_usage(&o->c,
                  "--daemon: '%s' is not a name: up to %d letters, digits and ._@-, the "
                  "first one a letter or digit",
                  optarg, MOUNT_NAME_MAX);
    return false;
}

static bool append_words(struct mount_options *o, const char *words)
{
    char *comma = o->joined ? joined(o->joined, ",") : NULL;
    char *all = joined(comma ? comma : "", words);

    free(comma);
    if (!all) {
        command_say(&o->c, EXIT_SOURCE, "out of memory");
        return false;
    }
    free(o->joined);
    o->joined = all;
    return true;
}

static bool take_option(struct mount_options *o, int opt)
{
    switch (opt) {
    case OPT_VIA:
        return set_via(o);
    case OPT_FOREGROUND:
        o->foreground = true;
        return true;
    case OPT_DAEMON:
        return set_daemon(o);
    case OPT_THREADS:
        return set_threads(o);
    case OPT_FILL:
        return set_fill(o);
    case OPT_PREFETCH_ALL:
        o->prefetch_all = true;
        return true;
    case OPT_NO_TRACE:
        o->no_trace = true;
        return true;
    case OPT_UPGRADE:
        o->upgrade = true;
        return true;
    case 'o':
        return append_words(o, optarg);
    default:
        return false;
    }
}

/* From the first word of argv to the last; a process may do so several times. */
static bool take_options(struct mount_options *o, int argc, char **argv)
{
    int opt;

    optind = 0;
    while ((opt = command_getopt(&o->c, argc, argv, shorts, longs)) != -1)
        if (!take_option(o, opt))
            return false;
    return true;
}

/* Takes rafs.NAME out of -o: o->joined keeps the others, o->more gets --NAME. */
static bool split_words(struct mount_options *o)
{
    static const char own[] = "rafs.";
    char *copy = joined(o->joined, "");
    char *rest = copy;
    size_t most = 2;
    char *word;

    for (const char *at = o->joined; *at; at++)
        most += *at == ',';
    o->more = calloc(most + 1, sizeof *o->more);
    if (!copy || !o->more)
        goto no_memory;
    if ((o->more[o->more_count++] = joined("mount", "")) == NULL)
        goto no_memory;
    o->joined[0] = '\0';
    while ((word = mount_word(&rest)) != NULL) {
        if (strncmp(word, own, sizeof own - 1) == 0) {
            char *option = joined("--", word + sizeof own - 1);

            if (!option)
                goto no_memory;
            o->more[o->more_count++] = option;
            continue;
        }
        if (o->joined[0])
            strcat(o->joined, ",");
        strcat(o->joined, word);
    }
    free(copy);
    return true;
no_memory:
    free(copy);
    command_say(&o->c, EXIT_SOURCE, "out of memory");
    return false;
}

static bool take_words(struct mount_options *o)
{
    char *words;

    if (!o->joined && !append_words(o, ""))
        return false;
    if (!split_words(o))
        return false;
    /* What follows must not add to them: rafs.options=... */
    words = o->joined;
    o->joined = NULL;
    if (!take_options(o, o->more_count, o->more)) {
        free(words);
        return false;
    }
    if (o->joined) {
        free(words);
        command_usage(&o->c, "-o rafs.options: -o says it already");
        return false;
    }
    o->joined = words;
    o->options = words;
    return mount_words_parse(&o->c, &o->words, words);
}

/* What other commands do at their end has no place here. */
static bool refuse_others(struct mount_options *o)
{
    const char *use = NULL;

    if (o->c.trace_file)
        use = "--trace-record: 'rafs trace record DIR' does that while it is mounted";
    else if (o->c.stats || o->c.stats_file)
        use = "--stats: 'rafs status' shows them";
    else if (o->c.no_cache && o->via == VIA_KERNEL)
        use =
            "--no-cache: the kernel reads files of the cache; --via fuse can do without";
    else if (o->prefetch_all && o->c.no_cache)
        use = "--prefetch-all: there is no place for it with --no-cache";
    if (use)
        command_usage(&o->c, "%s", use);
    return use == NULL;
}

static bool take_operands(struct mount_options *o, int count, char **operands)
{
    if (o->upgrade) {
        o->dir = o->daemon ? NULL : count > 0 ? operands[0] : NULL;
        o->binary = count > (o->daemon == NULL) ? operands[count - 1] : NULL;
        if ((o->dir || o->daemon) && count <= (o->daemon ? 1 : 2))
            return true;
        command_usage(&o->c, "--upgrade DIR|--daemon NAME [BINARY] is wanted");
        return false;
    }
    if (count == 2) {
        o->image = operands[0];
        o->dir = operands[1];
        if (*o->image && *o->dir)
            return true;
        command_usage(&o->c, "IMAGE and DIR are not to be empty");
        return false;
    }
    command_usage(&o->c, count == 0   ? "IMAGE and DIR are missing"
                         : count == 1 ? "DIR is missing"
                                      : "too many operands");
    return false;
}

bool mount_parse(struct mount_options *o, int argc, char **argv)
{
    int first;

    *o = (struct mount_options){.c = COMMAND_INIT("mount", mount_help),
                                .options = "",
                                .argc = argc,
                                .argv = argv};
    if (!take_options(o, argc, argv))
        return false;
    first = optind;
    return take_words(o) && refuse_others(o) &&
           take_operands(o, argc - first, argv + first);
}

void mount_options_free(struct mount_options *o)
{
    mount_words_free(&o->words);
    for (int i = 0; i < o->more_count; i++)
        free(o->more[i]);
    free(o->more);
    free(o->joined);
    o->more = NULL;
    o->more_count = 0;
    o->joined = NULL;
}

/* ---- a request ------------------------------------------------------------------- */

struct request {
    char *text; /* MOUNT_ARGS */
    size_t len;
    bool full;
    const char *here; /* the working directory */
};

static void put(struct request *r, const char *text)
{
    size_t len = strlen(text);

    if (len > MOUNT_ARGS - r->len) {
        r->full = true;
        return;
    }
    memcpy(r->text + r->len, text, len);
    r->len += len;
}

static void put_end(struct request *r)
{
    if (r->len == MOUNT_ARGS) {
        r->full = true;
        return;
    }
    r->text[r->len++] = '\0';
}

/* As seen from `here`; not resolved, for links may be meant. */
static void put_path(struct request *r, const char *path)
{
    if (*path != '/') {
        put(r, r->here);
        put(r, "/");
    }
    put(r, path);
}

/* oci:PATH:NAME and oci-archive:PATH; other kinds are URLs. */
static void put_place(struct request *r, const char *place, bool may_be_file)
{
    static const char *const kinds[] = {"oci:", "oci-archive:"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = strlen(kinds[i]);

        if (strncmp(place, kinds[i], len) == 0) {
            put(r, kinds[i]);
            put_path(r, place + len);
            return;
        }
    }
    if (may_be_file && !remote_is(place))
        put_path(r, place);
    else
        put(r, place);
}

static const struct option *option_of(int opt)
{
    const struct option *at = longs;

    while (at->name && at->val != opt)
        at++;
    return at->name ? at : NULL;
}

static void put_option(struct request *r, int opt, const char *value)
{
    const struct option *option = option_of(opt);

    put(r, "--");
    put(r, option->name);
    if (value)
        put(r, "=");
    switch (opt) {
    case OPT_BLOB_DIR:
    case OPT_CACHE_DIR:
    case OPT_CA_FILE:
    case OPT_CLIENT_CERT:
    case OPT_CLIENT_KEY:
    case OPT_HOSTS_DIR:
        put_path(r, value);
        break;
    case OPT_BLOB_SOURCE:
        put_place(r, value, false);
        break;
    default:
        put(r, value ? value : "");
    }
    put_end(r);
}

/* What the daemon's clients decide, and the words, which follow once. */
static bool is_ours(int opt)
{
    return opt == 'o' || opt == OPT_VIA || opt == OPT_FOREGROUND || opt == OPT_DAEMON;
}

/* mount_parse() has accepted them. */
static void put_options(struct request *r, int argc, char **argv)
{
    char spec[sizeof shorts + 1];
    int opt;

    snprintf(spec, sizeof spec, ":%s", shorts);
    optind = 0;
    while ((opt = getopt_long(argc, argv, spec, longs, NULL)) != -1)
        if (!is_ours(opt))
            put_option(r, opt, optarg);
}

char *mount_request(struct mount_options *o, const char *cache, size_t *len)
{
    char here[PATH_MAX];
    struct request r = {.text = calloc(1, MOUNT_ARGS), .here = here};

    if (!r.text || !getcwd(here, sizeof here)) {
        command_say(&o->c, EXIT_SOURCE, "%s",
                    r.text ? "the working directory is gone" : "out of memory");
        free(r.text);
        return NULL;
    }
    put(&r, "mount");
    put_end(&r);
    put_options(&r, o->argc, o->argv);
    put_options(&r, o->more_count, o->more);
    put_option(&r, OPT_VIA, o->via == VIA_KERNEL ? "kernel" : "fuse");
    if (cache)
        put_option(&r, OPT_CACHE_DIR, cache);
    if (*o->options)
        put_option(&r, 'o', o->options);
    put(&r, "--");
    put_end(&r);
    put_place(&r, o->image, true);
    put_end(&r);
    put_path(&r, o->dir);
    put_end(&r);
    if (!r.full) {
        *len = r.len;
        return r.text;
    }
    free(r.text);
    command_usage(&o->c, "arguments are longer than %d bytes", MOUNT_ARGS);
    return NULL;
}

char **mount_arguments(char *request, size_t len, int *argc)
{
    size_t count = 0;
    char **argv;

    if (len == 0 || request[len - 1] != '\0')
        return NULL;
    for (size_t i = 0; i < len; i++)
        count += request[i] == '\0';
    argv = calloc(count + 1, sizeof *argv);
    if (!argv)
        return NULL;
    *argc = (int)count;
    for (size_t i = 0; i < count; i++) {
        argv[i] = request;
        request += strlen(request) + 1;
    }
    return argv;
}
