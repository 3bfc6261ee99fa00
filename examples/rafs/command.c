/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fired by signals. One for the process: a signal belongs to no subcommand. */
static rafs_cancel *stop_token;

static void on_stop(int signal_number)
{
    (void)signal_number;
    rafs_cancel_fire(stop_token);
    /* A write to a full pipe may begin just after this handler ran, and would not be
     * interrupted by it. The alarm does so until the program has ended. */
    alarm(1);
}

bool command_start(void)
{
    struct sigaction stop = {.sa_handler = on_stop};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_cancel_new(&stop_token, &err) < 0) {
        fprintf(stderr, "rafs: %s\n", err.text);
        return false;
    }
    sigemptyset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    /* No SA_RESTART: what blocks has to come back. */
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGALRM, &stop, NULL);
    /* A closed pipe is an error of write(), which command_end() knows. */
    sigaction(SIGPIPE, &ignore, NULL);
    return true;
}

void command_stop(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigemptyset(&ignore.sa_mask);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGTERM, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGALRM, &ignore, NULL);
    rafs_cancel_free(stop_token);
    stop_token = NULL;
}

static int rank_of(int exit_code)
{
    static const int order[] = {EXIT_GOOD,   EXIT_NO_PATH,     EXIT_UNSUPPORTED,
                                EXIT_SOURCE, EXIT_INTERRUPTED, EXIT_CORRUPT,
                                EXIT_USAGE};

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (order[i] == exit_code)
            return (int)i;
    }
    return 0;
}

void outcome_note(struct outcome *outcome, int exit_code)
{
    if (rank_of(exit_code) > rank_of(outcome->code))
        outcome->code = exit_code;
}

int exit_code_of(int code)
{
    switch (code) {
    case RAFS_OK:
        return EXIT_GOOD;
    case RAFS_E_CORRUPT:
        return EXIT_CORRUPT;
    case RAFS_E_UNSUPPORTED:
    case RAFS_E_LIMIT:
        return EXIT_UNSUPPORTED;
    case RAFS_E_BADARG: /* a path that is too long, or of the wrong kind */
    case RAFS_E_NOENT:
    case RAFS_E_NOTDIR:
    case RAFS_E_ISDIR:
    case RAFS_E_LOOP:
    case RAFS_E_NOATTR:
        return EXIT_NO_PATH;
    case RAFS_E_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_SOURCE;
    }
}

static void say(struct command *c, const char *format, va_list args)
{
    char line[1024];

    vsnprintf(line, sizeof line, format, args);
    progress_wipe();
    fprintf(stderr, "rafs %s: ", c->name);
    put_safe(stderr, line);
    fputc('\n', stderr);
}

void command_say(struct command *c, int exit_code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(c, format, args);
    va_end(args);
    outcome_note(&c->outcome, exit_code);
}

void command_usage(struct command *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(c, format, args);
    va_end(args);
    fprintf(stderr, "Try 'rafs %s --help'.\n", c->name);
    outcome_note(&c->outcome, EXIT_USAGE);
}

static void put_sources(struct command *c)
{
    fputs(" (looked ", stderr);
    if (c->blob_dir_count == 0)
        fputs("in blobs/ beside the image and in its own folder", stderr);
    for (size_t i = 0; i < c->blob_dir_count; i++) {
        fputs(i > 0 ? ", " : "in ", stderr);
        put_quoted(stderr, c->blob_dirs[i], strlen(c->blob_dirs[i]));
    }
    fputs("; name another folder with --blob-dir)", stderr);
}

void command_failed(struct command *c, const char *subject, const rafs_error *err)
{
    /* One line for an interrupt, however many calls it ends. */
    if (err->code == RAFS_E_CANCELLED) {
        command_interrupted(c);
        return;
    }
    progress_wipe();
    fprintf(stderr, "rafs %s: ", c->name);
    if (subject) {
        put_quoted(stderr, subject, strlen(subject));
        fputs(": ", stderr);
    }
    if (err->object[0]) {
        put_safe(stderr, err->object);
        if (err->has_offset)
            fprintf(stderr, " at byte %" PRIu64, err->offset);
        fputs(": ", stderr);
    }
    put_safe(stderr, err->text[0] ? err->text : rafs_error_name(err->code));
    if (err->code == RAFS_E_BACKEND && err->stage == RAFS_STAGE_FETCH &&
        err->os_errno == ENOENT)
        put_sources(c);
    if (err->code == RAFS_E_TIMEOUT)
        fprintf(stderr, " (--timeout %g; 0 waits for ever)",
                (double)c->timeout_ms / 1000.0);
    fputc('\n', stderr);
    outcome_note(&c->outcome, exit_code_of(err->code));
}

bool command_interrupted(struct command *c)
{
    static bool said;

    if (!rafs_cancel_fired(stop_token))
        return false;
    if (!said)
        command_say(c, EXIT_INTERRUPTED, "interrupted");
    said = true;
    outcome_note(&c->outcome, EXIT_INTERRUPTED);
    return true;
}

/* stdio remembers that a write failed, but not why: asked soon after, errno still tells.
 */
static int output_errno;

bool command_output_failed(void)
{
    if (!ferror(stdout))
        return false;
    if (output_errno == 0)
        output_errno = errno ? errno : EIO;
    return true;
}

const rafs_call *command_call(struct command *c)
{
    rafs_call_init(&c->call, NULL, c->timeout_ms, stop_token);
    return &c->call;
}

static void finish_output(struct command *c)
{
    if (!command_output_failed()) {
        if (fflush(stdout) == 0)
            return;
        command_output_failed();
    }
    if (command_interrupted(c))
        return;
    outcome_note(&c->outcome, EXIT_SOURCE);
    /* Who closed the pipe (head, less) knows why. */
    if (output_errno != EPIPE)
        command_say(c, EXIT_SOURCE, "standard output: %s", strerror(output_errno));
}

int command_end(struct command *c)
{
    finish_output(c);
    rafs_image_close(c->image);
    c->image = NULL;
    for (size_t i = 0; i < c->backend_count; i++)
        rafs_backend_free(c->backends[i]);
    c->backend_count = 0;
    return c->outcome.code;
}

static bool add_directory(struct command *c, const char *path, bool optional)
{
    rafs_env env = RAFS_ENV_INIT;
    rafs_error err = RAFS_ERROR_INIT;

    env.cancel = stop_token;
    if (rafs_backend_new_directory(path, &env, &c->backends[c->backend_count], &err) <
        0) {
        if (optional)
            return true;
        err.object[0] = '\0';
        command_failed(c, path, &err);
        /* A file given as --blob-dir is no path in the image. */
        c->outcome.code = EXIT_SOURCE;
        return false;
    }
    c->backend_count++;
    return true;
}

/* `blobs/` beside the image, then the image's own folder; either may be missing. */
static bool add_default_directories(struct command *c, const char *image_path)
{
    const char *slash = strrchr(image_path, '/');
    size_t folder_len = slash ? (size_t)(slash - image_path) + 1 : 0;
    size_t room = folder_len + sizeof "blobs";
    char *path = malloc(room > 2 ? room : 2);
    bool good;

    if (!path) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return false;
    }
    memcpy(path, image_path, folder_len);
    memcpy(path + folder_len, "blobs", sizeof "blobs");
    good = add_directory(c, path, true);
    if (folder_len == 0)
        memcpy(path, ".", 2);
    else
        path[folder_len] = '\0';
    good = good && add_directory(c, path, true);
    free(path);
    return good;
}

static bool add_sources(struct command *c, const char *image_path)
{
    if (c->blob_dir_count == 0)
        return add_default_directories(c, image_path);
    for (size_t i = 0; i < c->blob_dir_count; i++) {
        if (!add_directory(c, c->blob_dirs[i], false))
            return false;
    }
    return true;
}

bool command_open(struct command *c, const char *image_path)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_env env = RAFS_ENV_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    struct stat st;

    c->image_path = image_path;
    if (stat(image_path, &st) < 0 || S_ISDIR(st.st_mode)) {
        command_say(c, EXIT_SOURCE,
                    "%s: %s; IMAGE is a bootstrap, or a blob that has one", image_path,
                    strerror(errno ? errno : EISDIR));
        return false;
    }
    if (!add_sources(c, image_path))
        return false;
    env.cancel = stop_token;
    options.env = &env;
    options.expect_digest = c->expect_digest;
    options.backends = c->backends;
    options.backend_count = c->backend_count;
    if (rafs_image_open_path(image_path, &options, &c->image, command_call(c), &err) <
        0) {
        command_failed(c, image_path, &err);
        if (err.code == RAFS_E_BADARG) /* not a path in the image */
            c->outcome.code = EXIT_SOURCE;
        return false;
    }
    return true;
}

static bool is_digest(const char *text)
{
    static const char *const kinds[] = {"sha256:", "blake3:", "blob-sha256:"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = strlen(kinds[i]);

        if (strncmp(text, kinds[i], len) == 0)
            return strlen(text + len) == 2 * (size_t)RAFS_DIGEST_BYTES &&
                   strspn(text + len, "0123456789abcdefABCDEF") == strlen(text + len);
    }
    return false;
}

static bool set_timeout(struct command *c, const char *text)
{
    char *end = NULL;
    double seconds = strtod(text, &end);

    /* !(>=) refuses NaN too; the upper bound keeps milliseconds in their type */
    if (end == text || *end != '\0' || !(seconds >= 0.0) || seconds > 1e12)
        return false;
    c->timeout_ms = (uint64_t)(seconds * 1000.0);
    if (seconds > 0.0 && c->timeout_ms == 0)
        c->timeout_ms = 1;
    c->timeout_given = true;
    return true;
}

static void print_help(const struct command *c)
{
    fputs(c->help, stdout);
    fputs(
        "\n"
        "Common options:\n"
        "  --blob-dir DIR       folder of blobs named by their id; may be repeated;\n"
        "                       default: blobs/ beside IMAGE, then IMAGE's own folder\n"
        "  --expect-digest D    refuse a bootstrap of another digest; D is sha256:HEX "
        "or\n"
        "                       blake3:HEX of the bootstrap, or blob-sha256:HEX of the\n"
        "                       whole file IMAGE\n"
        "  --timeout SECONDS    longest time for one step (default 60; 0: no limit)\n"
        "  --help               show this text\n"
        "\n"
        "Exit status: 0 good; 1 corrupt or refused by verification; 2 usage; 3 image,\n"
        "blob, output or deadline failed; 4 unsupported; 6 no such path in the image;\n"
        "130 interrupted. See rafs(1).\n",
        stdout);
}

static int common_option(struct command *c, int opt)
{
    switch (opt) {
    case OPT_HELP:
        print_help(c);
        return OPT_STOP;
    case OPT_BLOB_DIR:
        if (c->blob_dir_count == RAFS_SOURCES_MAX) {
            command_usage(c, "--blob-dir: at most %d folders", RAFS_SOURCES_MAX);
            return OPT_STOP;
        }
        c->blob_dirs[c->blob_dir_count++] = optarg;
        return 0;
    case OPT_EXPECT_DIGEST:
        if (!is_digest(optarg)) {
            command_usage(c,
                          "--expect-digest: '%s' is not sha256:, blake3: or blob-sha256: "
                          "followed by 64 hex digits",
                          optarg);
            return OPT_STOP;
        }
        c->expect_digest = optarg;
        return 0;
    case OPT_TIMEOUT:
        if (!set_timeout(c, optarg)) {
            command_usage(c, "--timeout: '%s' is not a number of seconds", optarg);
            return OPT_STOP;
        }
        return 0;
    default:
        return opt;
    }
}

static void unknown_option(struct command *c, const char *word,
                           const struct option *longs)
{
    const char *names[64];
    size_t count = 0;
    const char *nearest;
    char bare[64];

    if (word[0] != '-' || (word[1] != '-' && !c->long_only)) {
        if (optopt > ' ' && optopt < 127)
            command_usage(c, "unknown option -%c", optopt);
        else
            command_usage(c, "unknown option %s", word);
        return;
    }
    while (longs[count].name && count < sizeof names / sizeof *names) {
        names[count] = longs[count].name;
        count++;
    }
    word += strspn(word, "-");
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word, "="), word);
    nearest = nearest_name(bare, names, count);
    if (nearest)
        command_usage(c, "unknown or ambiguous option --%s; did you mean --%s?", bare,
                      nearest);
    else
        command_usage(c, "unknown or ambiguous option --%s", bare);
}

static const char *long_name(const struct option *longs, int value)
{
    for (; longs->name; longs++) {
        if (longs->val == value)
            return longs->name;
    }
    return NULL;
}

int command_getopt(struct command *c, int argc, char **argv, const char *shorts,
                   const struct option *longs)
{
    char spec[64];
    int opt;

    opterr = 0;
    snprintf(spec, sizeof spec, ":%s", shorts);
    do {
        /* What getopt looks at next: after a failure optind may be past it. */
        int before = optind;

        opt = c->long_only ? getopt_long_only(argc, argv, spec, longs, NULL)
                           : getopt_long(argc, argv, spec, longs, NULL);
        if (opt == ':') {
            const char *name = long_name(longs, optopt);

            if (name)
                command_usage(c, "option --%s needs an argument", name);
            else
                command_usage(c, "option -%c needs an argument", optopt);
            return OPT_STOP;
        }
        if (opt == '?') {
            unknown_option(c, argv[optind > before ? optind - 1 : before], longs);
            return OPT_STOP;
        }
        opt = common_option(c, opt);
    } while (opt == 0);
    return opt;
}

static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t row[LONGEST + 1];
    size_t a_len = strnlen(a, LONGEST), b_len = strnlen(b, LONGEST);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *nearest_name(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t least = strlen(word) < 4 ? 2 : 3; /* farther ones are no help */

    for (size_t i = 0; i < count; i++) {
        size_t far = distance(word, names[i]);

        if (far < least) {
            least = far;
            nearest = names[i];
        }
    }
    return nearest;
}

bool parse_bytes(const char *text, bool suffixes, uint64_t *value)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    unsigned long long number;
    const char *unit;
    unsigned shift = 0;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    if (*end != '\0' && suffixes && (unit = strchr(units, *end)) != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (*end != '\0' || number > UINT64_MAX >> shift)
        return false;
    *value = (uint64_t)number << shift;
    return true;
}
