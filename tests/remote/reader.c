/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many readers in one process, on the public API alone, for the scripts beside this file.
 *
 *     reader OPTION... < JOBS
 *
 *   --boot FILE        bootstrap of the images; without it each job is a reference
 *   --read PATH        file in the image to be read; may be repeated
 *   --source URL       blobs below URL, or in the repository "docker://HOST/REPO"; may be
 *                      repeated; shared by all images. Without it a job is such a source.
 *   --threads N        that take the jobs (default 1)
 *   --shared           one image, opened once: every thread reads the paths at once
 *   --strict           no byte that was not asked for, nothing ahead
 *   --seconds S        each thread repeats its job so long
 *   --timeout MS       of opening and reading; 0: none. Default 60000
 *   --cancel MS        fire a token after so long
 *   --stall S, --connect MS, --retry MS, --connections N, --rate N, --proxy URL,
 *   --no-proxy LIST, --ca FILE, --cert FILE, --insecure, --plain, --referrers
 *                      what rafs_http_options and rafs_registry_options have
 *   --user NAME, --password FILE   asked for by servers; FILE is read each time
 *   --log              the log, down to debug, on standard error
 *
 * A job is a line of standard input; `-` is one without a meaning. What came out is a
 * line for each outcome: `COUNT ok SHA256` or `COUNT CODE ERRNO OBJECT: TEXT`, then
 * `asked N` (times the password was asked for) and `longest MS`.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rafs/rafs.h"

enum { MANY = 16, JOBS_MAX = 20000, OUTCOMES_MAX = 200, PIECE = 1 << 20 };

static struct {
    const char *boot, *user, *password;
    const char *paths[MANY], *sources[MANY];
    size_t path_count, source_count;
    unsigned threads, seconds, timeout_ms, cancel_ms;
    bool shared, strict;
} options = {.threads = 1, .timeout_ms = 60000};

static rafs_http_options http_options = RAFS_HTTP_OPTIONS_INIT;
static rafs_registry_options registry_options = RAFS_REGISTRY_OPTIONS_INIT;
static rafs_env env = RAFS_ENV_INIT;
static rafs_http *http;
static rafs_cancel *token;
static rafs_backend *backends[MANY];
static rafs_image *shared_image;
static pthread_barrier_t all_here;

static char *jobs[JOBS_MAX];
static size_t job_count;
static atomic_size_t next_job;
static atomic_uint asked;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char text[600];
    unsigned count;
} outcomes[OUTCOMES_MAX];
static double longest_ms;

static void die(const char *what, const rafs_error *err)
{
    fprintf(stderr, "reader: %s: %s\n", what, err ? err->text : "wrong usage");
    exit(2);
}

static void log_line(void *user, uint32_t level, const char *text)
{
    (void)user;
    fprintf(stderr, "log %u %s\n", level, text);
}

static double now_ms(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

static void note(const char *text, double ms)
{
    size_t i = 0;

    pthread_mutex_lock(&lock);
    while (i < OUTCOMES_MAX - 1 && outcomes[i].count &&
           strcmp(outcomes[i].text, text) != 0)
        i++;
    snprintf(outcomes[i].text, sizeof(outcomes[i].text), "%s", text);
    outcomes[i].count++;
    if (ms > longest_ms)
        longest_ms = ms;
    pthread_mutex_unlock(&lock);
}

static int get_password(void *user, const char *host, const char *repo, uint32_t attempt,
                        rafs_credential *out, const rafs_call *call, rafs_error *err)
{
    FILE *file = options.password ? fopen(options.password, "r") : NULL;

    (void)user, (void)host, (void)repo, (void)call, (void)err;
    atomic_fetch_add(&asked, 1);
    if (!file || attempt > 1) {
        if (file)
            fclose(file);
        return RAFS_OK;
    }
    out->kind = RAFS_CREDENTIAL_BASIC;
    snprintf(out->username, sizeof(out->username), "%s", options.user);
    if (!fgets(out->secret, sizeof(out->secret), file))
        out->secret[0] = '\0';
    out->secret[strcspn(out->secret, "\n")] = '\0';
    fclose(file);
    return RAFS_OK;
}

static int make_source(const char *text, rafs_backend **out, rafs_error *err)
{
    return strncmp(text, "docker://", 9) == 0
               ? rafs_backend_new_registry(http, text + 9, &registry_options, out, err)
               : rafs_backend_new_http(http, text, out, err);
}

static int open_image(const char *job, rafs_backend *own, rafs_image **out,
                      rafs_error *err)
{
    rafs_open_options open = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits)};
    rafs_call call;

    rafs_call_init(&call, &env, options.timeout_ms, token);
    if (options.strict)
        limits.merge_bytes = limits.ahead_bytes = 1;
    open.limits = &limits;
    open.env = &env;
    open.backends = own ? &own : backends;
    open.backend_count = own ? 1 : options.source_count;
    return options.boot ? rafs_image_open_path(options.boot, &open, out, &call, err)
                        : rafs_image_open_registry(http, job, &registry_options, &open,
                                                   out, &call, err);
}

static int read_path(const rafs_image *image, const char *path, uint8_t *piece,
                     rafs_hash *hash, rafs_error *err)
{
    uint64_t ino;
    size_t got = 0;
    rafs_call call;
    int rc = rafs_image_resolve(image, path, 0, &ino, err);

    for (uint64_t at = 0; rc == RAFS_OK; at += got) {
        rafs_call_init(&call, &env, options.timeout_ms, token);
        rc = rafs_image_read(image, ino, at, PIECE, piece, &got, &call, err);
        if (rc < 0 || got == 0)
            break;
        rc = rafs_hash_update(hash, piece, got);
    }
    return rc;
}

/* Open if it must be, read all paths, note what came out. */
static void run_job(const char *job, uint8_t *piece)
{
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t digest[RAFS_DIGEST_BYTES];
    double began = now_ms();
    rafs_image *image = shared_image;
    rafs_backend *own = NULL;
    rafs_hash *hash = NULL;
    char text[600] = "ok ";
    int rc = rafs_hash_new(RAFS_DIGEST_SHA256, NULL, &hash, &err);

    if (rc == RAFS_OK && options.boot && options.source_count == 0)
        rc = make_source(job, &own, &err);
    if (rc == RAFS_OK && !image)
        rc = open_image(job, own, &image, &err);
    for (size_t i = 0; rc == RAFS_OK && i < options.path_count; i++)
        rc = read_path(image, options.paths[i], piece, hash, &err);
    if (rc == RAFS_OK)
        rc = rafs_hash_final(hash, digest);
    for (size_t i = 0; rc == RAFS_OK && i < sizeof(digest); i++)
        snprintf(text + 3 + 2 * i, 3, "%02x", digest[i]);
    if (rc < 0)
        snprintf(text, sizeof(text), "%s %d %s: %s", rafs_error_name(rc), err.os_errno,
                 err.object, err.text);
    note(text, now_ms() - began);
    rafs_hash_free(hash);
    if (image != shared_image)
        rafs_image_close(image);
    rafs_backend_free(own);
}

static void *work(void *unused)
{
    double end = now_ms() + options.seconds * 1e3;
    uint8_t *piece = malloc(PIECE);

    (void)unused;
    if (!piece)
        die("no memory", NULL);
    if (options.shared) {
        pthread_barrier_wait(&all_here);
        run_job("-", piece);
    }
    while (!options.shared) {
        size_t at = atomic_fetch_add(&next_job, 1);

        if (options.seconds && now_ms() >= end)
            break;
        if (!options.seconds && at >= job_count)
            break;
        run_job(jobs[at % job_count], piece);
    }
    free(piece);
    return NULL;
}

static void *fire(void *unused)
{
    struct timespec pause = {options.cancel_ms / 1000,
                             (long)(options.cancel_ms % 1000) * 1000000};

    (void)unused;
    nanosleep(&pause, NULL);
    rafs_cancel_fire(token);
    return NULL;
}

static void take_jobs(void)
{
    char line[4096];

    while (job_count < JOBS_MAX && fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        jobs[job_count] = strdup(line);
        if (!jobs[job_count++])
            die("no memory", NULL);
    }
    if (job_count == 0)
        die("no job", NULL);
}

/* Options that are no more than a value put somewhere. */
static bool take_value(const char *name, char *value)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *number;
    } known[] = {
        {"--boot", &options.boot, NULL},
        {"--user", &options.user, NULL},
        {"--password", &options.password, NULL},
        {"--proxy", &http_options.http_proxy, NULL},
        {"--no-proxy", &http_options.no_proxy, NULL},
        {"--ca", &http_options.ca_file, NULL},
        {"--cert", &http_options.client_cert, NULL},
        {"--threads", NULL, &options.threads},
        {"--seconds", NULL, &options.seconds},
        {"--timeout", NULL, &options.timeout_ms},
        {"--cancel", NULL, &options.cancel_ms},
        {"--stall", NULL, &http_options.stall_timeout_ms},
        {"--connect", NULL, &http_options.connect_timeout_ms},
        {"--retry", NULL, &http_options.retry_ms},
        {"--connections", NULL, &http_options.connections_max},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(name, known[i].name) != 0)
            continue;
        if (known[i].text)
            *known[i].text = value;
        else
            *known[i].number = (unsigned)strtoul(value, NULL, 10);
        return true;
    }
    if (strcmp(name, "--rate") == 0)
        http_options.bytes_per_second = strtoull(value, NULL, 10);
    else if (strcmp(name, "--read") == 0 && options.path_count < MANY)
        options.paths[options.path_count++] = value;
    else if (strcmp(name, "--source") == 0 && options.source_count < MANY)
        options.sources[options.source_count++] = value;
    else
        return false;
    return true;
}

static void take_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--shared") == 0)
            options.shared = true;
        else if (strcmp(argv[i], "--strict") == 0)
            options.strict = true;
        else if (strcmp(argv[i], "--insecure") == 0)
            http_options.flags |= RAFS_HTTP_INSECURE;
        else if (strcmp(argv[i], "--plain") == 0)
            registry_options.flags |= RAFS_REGISTRY_PLAIN_HTTP;
        else if (strcmp(argv[i], "--referrers") == 0)
            registry_options.flags |= RAFS_REGISTRY_REFERRERS;
        else if (strcmp(argv[i], "--log") == 0)
            env.log = log_line;
        else if (i + 1 == argc || !take_value(argv[i], argv[i + 1]))
            die(argv[i], NULL);
        else
            i++;
    }
}

static void start_and_join(void)
{
    pthread_t *threads = calloc(options.threads, sizeof(*threads));
    pthread_attr_t attr;

    if (!threads || pthread_attr_init(&attr) != 0 ||
        pthread_barrier_init(&all_here, NULL, options.threads) != 0)
        die("no memory", NULL);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    for (unsigned i = 0; i < options.threads; i++)
        if (pthread_create(&threads[i], &attr, work, NULL) != 0)
            die("no more threads", NULL);
    for (unsigned i = 0; i < options.threads; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attr);
    pthread_barrier_destroy(&all_here);
    free(threads);
}

static void clean_up(void)
{
    rafs_image_close(shared_image);
    for (size_t i = 0; i < options.source_count; i++)
        rafs_backend_free(backends[i]);
    rafs_http_free(http);
    rafs_cancel_free(token);
    while (job_count > 0)
        free(jobs[--job_count]);
}

int main(int argc, char **argv)
{
    rafs_credentials_source credentials = RAFS_CREDENTIALS_SOURCE_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    pthread_t firing;

    take_options(argc, argv);
    take_jobs();
    env.log_level = RAFS_LOG_DEBUG;
    http_options.env = &env;
    http_options.https_proxy = http_options.http_proxy;
    credentials.get = get_password;
    if (options.user)
        registry_options.credentials = &credentials;
    if (rafs_cancel_new(&token, &err) < 0 ||
        rafs_http_new(&http_options, &http, &err) < 0)
        die("cannot start", &err);
    for (size_t i = 0; i < options.source_count; i++)
        if (make_source(options.sources[i], &backends[i], &err) < 0)
            die(options.sources[i], &err);
    if (options.shared && open_image(jobs[0], NULL, &shared_image, &err) < 0)
        die("cannot open", &err);
    if (options.cancel_ms && pthread_create(&firing, NULL, fire, NULL) != 0)
        die("no more threads", NULL);
    start_and_join();
    if (options.cancel_ms)
        pthread_join(firing, NULL);
    for (size_t i = 0; i < OUTCOMES_MAX && outcomes[i].count; i++)
        printf("%u %s\n", outcomes[i].count, outcomes[i].text);
    printf("asked %u\nlongest %.0f\n", atomic_load(&asked), longest_ms);
    clean_up();
    return 0;
}
