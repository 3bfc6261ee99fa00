/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "remote.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
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

/* With standard output closed, the next file that is opened would take its number. One
 * that cannot be written to makes output fail as it should. */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

bool command_start(void)
{
    struct sigaction stop = {.sa_handler = on_stop};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    rafs_error err = RAFS_ERROR_INIT;

    fill_standard_descriptors();
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
    static const int order[] = {EXIT_GOOD,        EXIT_DIFFERENT, EXIT_NO_PATH,
                                EXIT_UNSUPPORTED, EXIT_SOURCE,    EXIT_INTERRUPTED,
                                EXIT_CORRUPT,     EXIT_USAGE};

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

FILE *command_complaints(const struct command *c)
{
    return c->complaints ? c->complaints : stderr;
}

static void say(struct command *c, const char *format, va_list args)
{
    FILE *out = command_complaints(c);
    char line[1024];

    vsnprintf(line, sizeof line, format, args);
    progress_wipe();
    fprintf(out, "rafs %s: ", c->name);
    put_safe(out, line);
    fputc('\n', out);
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
    fprintf(command_complaints(c), "Try 'rafs %s --help'.\n", c->name);
    outcome_note(&c->outcome, EXIT_USAGE);
}

static void put_sources(struct command *c)
{
    FILE *out = command_complaints(c);

    fputs(" (looked ", out);
    if (c->blob_dir_count == 0)
        fputs("in blobs/ beside the image and in its own folder", out);
    for (size_t i = 0; i < c->blob_dir_count; i++) {
        fputs(i > 0 ? ", " : "in ", out);
        put_quoted(out, c->blob_dirs[i], strlen(c->blob_dirs[i]));
    }
    fputs("; name another folder with --blob-dir)", out);
}

/* Is the error about the very path that it is going to be printed after? */
static bool is_about(const rafs_error *err, const char *subject)
{
    static const char prefix[] = "path ";

    return subject && strncmp(err->object, prefix, sizeof prefix - 1) == 0 &&
           strcmp(err->object + sizeof prefix - 1, subject) == 0;
}

void command_failed(struct command *c, const char *subject, const rafs_error *err)
{
    FILE *out = command_complaints(c);

    /* One line for an interrupt, however many calls it ends. */
    if (err->code == RAFS_E_CANCELLED && !c->cancel) {
        command_interrupted(c);
        return;
    }
    progress_wipe();
    fprintf(out, "rafs %s: ", c->name);
    if (subject) {
        put_quoted(out, subject, strlen(subject));
        fputs(": ", out);
    }
    if (err->object[0] && !is_about(err, subject)) {
        put_safe(out, err->object);
        if (err->has_offset)
            fprintf(out, " at byte %" PRIu64, err->offset);
        fputs(": ", out);
    }
    put_safe(out, err->text[0] ? err->text : rafs_error_name(err->code));
    if (is_about(err, subject) && err->has_offset && err->offset > 1)
        fprintf(out, " (the part from byte %" PRIu64 ")", err->offset);
    if (err->code == RAFS_E_BACKEND && err->stage == RAFS_STAGE_FETCH &&
        err->os_errno == ENOENT && c->image_path && !remote_is(c->image_path) &&
        c->blob_source_count == 0)
        put_sources(c);
    if (err->os_errno == EKEYREJECTED)
        fputs(" (--ca-file FILE names whom to believe; --insecure believes anybody)",
              out);
    if (err->code == RAFS_E_TIMEOUT)
        fprintf(out, " (--timeout %g; 0 waits for ever)", (double)c->timeout_ms / 1000.0);
    fputc('\n', out);
    outcome_note(&c->outcome, exit_code_of(err->code));
}

bool command_stopped(void)
{
    return rafs_cancel_fired(stop_token);
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
    rafs_call_init(&c->call, NULL, c->timeout_ms, c->cancel ? c->cancel : stop_token);
    return &c->call;
}

void command_output_lost(struct command *c, int why)
{
    if (command_interrupted(c))
        return;
    outcome_note(&c->outcome, EXIT_SOURCE);
    /* Who closed the pipe (head, less) knows why. */
    if (why != EPIPE)
        command_say(c, EXIT_SOURCE, "standard output: %s", strerror(why));
}

static void finish_output(struct command *c)
{
    if (!command_output_failed()) {
        if (fflush(stdout) == 0)
            return;
        command_output_failed();
    }
    command_output_lost(c, output_errno);
}

void command_fetch_along(struct command *c, char **paths, size_t count)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;

    if (!c->cache || !remote_is_network(c->image_path))
        return;
    options.what = count > 0 ? RAFS_PREFETCH_LIST : RAFS_PREFETCH_ALL;
    options.paths = (const char *const *)paths;
    options.path_count = count;
    /* Whatever is wrong, who reads will be told. */
    (void)rafs_prefetch_start(c->image, &options, &c->along, command_call(c), NULL);
}

void command_close(struct command *c)
{
    rafs_prefetch_free(c->along);
    c->along = NULL;
    rafs_image_close(c->image);
    c->image = NULL;
    for (size_t i = 0; i < c->backend_count; i++)
        rafs_backend_free(c->backends[i]);
    c->backend_count = 0;
    remote_close(c);
}

/* --trace-record; a run that is interrupted writes nothing. */
static void save_trace(struct command *c)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_trace *trace = NULL;

    if (!c->trace_file || !c->image || command_interrupted(c))
        return;
    if (rafs_trace_take(c->image, &trace, NULL, &err) < 0 ||
        rafs_trace_save_path(trace, c->trace_file, &err) < 0) {
        if (err.code == RAFS_E_BACKEND && err.os_errno)
            command_say(c, EXIT_SOURCE, "%s: %s (%s)", c->trace_file, err.text,
                        strerror(err.os_errno));
        else
            command_failed(c, c->trace_file, &err);
    }
    rafs_trace_free(trace);
}

int command_end(struct command *c)
{
    finish_output(c);
    save_trace(c);
    stats_show(c);
    command_close(c);
    rafs_cache_close(c->cache);
    c->cache = NULL;
    return c->outcome.code;
}

void command_env(rafs_env *env)
{
    env->cancel = stop_token;
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

bool command_sources(struct command *c, const char *image_path)
{
    if (c->blob_dir_count == 0 && c->blob_source_count == 0)
        return remote_is(image_path) || add_default_directories(c, image_path);
    for (size_t i = 0; i < c->blob_dir_count; i++) {
        if (!add_directory(c, c->blob_dirs[i], false))
            return false;
    }
    return remote_add_sources(c);
}

bool command_open_bytes(struct command *c, const char *image_path,
                        rafs_open_options *options)
{
    rafs_error err = RAFS_ERROR_INIT;

    options->backend_count = c->backend_count;
    if (rafs_image_open_fd(*c->bootstrap, 0, 0, options, &c->image, command_call(c),
                           &err) == RAFS_OK)
        return true;
    command_failed(c, image_path, &err);
    return false;
}

static bool open_image(struct command *c, const char *image_path)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_env env = RAFS_ENV_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    struct stat st;
    int problem;

    c->image_path = image_path;
    env.cancel = stop_token;
    options.env = &env;
    options.expect_digest = c->bootstrap ? NULL : c->expect_digest;
    options.backends = c->backends;
    if (!c->cache &&
        !cache_open_for(c, remote_is_network(image_path) || remote_has_sources(c)))
        return false;
    options.cache = c->cache;
    options.limits = c->limits;
    options.flags = c->learn ? RAFS_OPEN_TRACE : 0;
    if (remote_is(image_path)) {
        if (!command_sources(c, image_path))
            return false;
        options.backend_count = c->backend_count;
        return remote_open(c, image_path, &options);
    }
    if (c->bootstrap)
        return command_sources(c, image_path) &&
               command_open_bytes(c, image_path, &options);
    problem = stat(image_path, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (problem == ENOENT && strstr(image_path, "://")) {
        /* Not repeated: there may be a password in it. */
        command_usage(c,
                      "IMAGE is no file, and no URL of docker://, http(s)://, s3:// or "
                      "oss://");
        return false;
    }
    if (problem) {
        command_say(c, EXIT_SOURCE,
                    "%s: %s; IMAGE is a bootstrap, or a blob that has one", image_path,
                    strerror(problem));
        return false;
    }
    if (!command_sources(c, image_path))
        return false;
    options.backend_count = c->backend_count;
    if (rafs_image_open_path(image_path, &options, &c->image, command_call(c), &err) <
        0) {
        command_failed(c, image_path, &err);
        /* Not a path in the image: a digest that cannot be meant, or a FIFO. */
        if (err.code == RAFS_E_BADARG)
            c->outcome.code = S_ISREG(st.st_mode) ? EXIT_USAGE : EXIT_SOURCE;
        return false;
    }
    return true;
}

bool command_open(struct command *c, const char *image_path)
{
    rafs_error err = RAFS_ERROR_INIT;

    if (!open_image(c, image_path))
        return false;
    if (!c->trace_file || rafs_trace_start(c->image, &err) == RAFS_OK)
        return true;
    command_failed(c, image_path, &err);
    return false;
}
