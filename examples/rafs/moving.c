/* SPDX-License-Identifier: Apache-2.0 */
#include "moving.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mirrors.h"
#include "remote.h"

enum { BAR = 24 };

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool moving_option(struct moving *m, int opt)
{
    uint64_t number;

    switch (opt) {
    case OPT_FORCE:
        m->force = true;
        return true;
    case OPT_JSON:
        m->json = true;
        return true;
    case OPT_PROGRESS:
        return progress_form_of(m->c, optarg, &m->form);
    case OPT_THREADS:
        if (parse_bytes(optarg, false, &number) && number >= 1 && number <= 16) {
            m->threads = (uint32_t)number;
            return true;
        }
        command_usage(m->c, "--threads: '%s' is not a number from 1 to 16", optarg);
        return false;
    default:
        return true;
    }
}

bool moving_is_place(struct command *c, const char *text)
{
    static const char *const kinds[] = {"docker://", "oci:", "oci-archive:"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(text, kinds[i], strlen(kinds[i])) == 0)
            return true;
    /* Not repeated: there may be a password in it. */
    command_usage(c, "what is named begins with none of docker://, oci: and "
                     "oci-archive:");
    return false;
}

void moving_failed(struct moving *m, const char *where, const rafs_error *err)
{
    bool no_reference = strcmp(err->object, "image reference") == 0;

    if (err->os_errno == EEXIST) {
        command_say(m->c, EXIT_USAGE, "%s: the file exists; --force replaces it", where);
        return;
    }
    command_failed(m->c, no_reference ? NULL : where, err);
    remote_open_code(m->c, err);
}

bool moving_open_origin(struct moving *m, const char *where)
{
    rafs_origin_options options = RAFS_ORIGIN_OPTIONS_INIT;
    rafs_registry_options registry = RAFS_REGISTRY_OPTIONS_INIT;
    rafs_credentials_source files = RAFS_CREDENTIALS_SOURCE_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_env env = RAFS_ENV_INIT;
    bool network = remote_is_network(where);

    if (!moving_is_place(m->c, where) || (network && !remote_http(m->c)))
        return false;
    command_env(&env);
    remote_registry(m->c, &registry, &files);
    if (network && !mirrors_gather(m->c, where, &registry))
        return false;
    options.env = &env;
    options.http = m->c->http;
    options.registry = &registry;
    if (rafs_origin_open(where, &options, &m->from, command_call(m->c), &err) == RAFS_OK)
        return true;
    moving_failed(m, where, &err);
    return false;
}

bool moving_open_target(struct moving *m, const char *where)
{
    rafs_target_options options = RAFS_TARGET_OPTIONS_INIT;
    rafs_registry_options registry = RAFS_REGISTRY_OPTIONS_INIT;
    rafs_credentials_source files = RAFS_CREDENTIALS_SOURCE_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_env env = RAFS_ENV_INIT;

    m->to_text = where;
    if (!moving_is_place(m->c, where) || (remote_is_network(where) && !remote_http(m->c)))
        return false;
    command_env(&env);
    remote_registry(m->c, &registry, &files);
    options.flags = m->force ? RAFS_TARGET_REPLACE : 0;
    options.env = &env;
    options.http = m->c->http;
    options.registry = &registry;
    if (rafs_target_open(where, &options, &m->to, command_call(m->c), &err) == RAFS_OK)
        return true;
    moving_failed(m, where, &err);
    return false;
}

rafs_call moving_call(void)
{
    rafs_env env = RAFS_ENV_INIT;
    rafs_call call;

    command_env(&env);
    rafs_call_init(&call, NULL, 0, env.cancel);
    return call;
}

static void put_line(const rafs_copy_progress *p, uint64_t elapsed_ns)
{
    double part = p->bytes_total ? (double)p->bytes_done / (double)p->bytes_total : 1.0;
    double rate = (double)p->bytes_done * 1e9 / (double)(elapsed_ns + 1);
    char done[32], total[32], each[32];

    fprintf(stderr, "%3d%%  %s of %s  %s/s", (int)(part * 100.0),
            human_bytes(p->bytes_done, done, sizeof done),
            human_bytes(p->bytes_total, total, sizeof total),
            human_bytes((uint64_t)rate, each, sizeof each));
}

static void put_bar(struct moving *m, const rafs_copy_progress *p, uint64_t elapsed_ns)
{
    double part = p->bytes_total ? (double)p->bytes_done / (double)p->bytes_total : 1.0;
    char bar[BAR + 1];

    memset(bar, ' ', BAR);
    bar[BAR] = '\0';
    memset(bar, '#', (size_t)((part < 1.0 ? part : 1.0) * BAR));
    fprintf(stderr, "\r\033[K[%s] ", bar);
    put_line(p, elapsed_ns);
    fflush(stderr);
    m->shown = true;
}

static void put_json(const rafs_copy_progress *p)
{
    struct json j;

    json_begin(&j, stderr);
    json_open(&j, '{');
    json_key(&j, "blobs_done");
    json_u64(&j, p->blobs_done);
    json_key(&j, "blobs_total");
    json_u64(&j, p->blobs_total);
    json_key(&j, "bytes_done");
    json_u64(&j, p->bytes_done);
    json_key(&j, "bytes_total");
    json_u64(&j, p->bytes_total);
    json_key(&j, "event");
    json_text(&j, "progress");
    json_close(&j, '}');
    json_newline(&j);
}

void moving_progress_begin(struct moving *m)
{
    m->begun_ns = m->shown_ns = now_ns();
    if (m->form == PROGRESS_AUTO && (m->json || !isatty(STDERR_FILENO)))
        m->form = PROGRESS_NONE;
}

void moving_progress(void *user, const rafs_copy_progress *p)
{
    struct moving *m = user;
    bool often = m->form == PROGRESS_AUTO;
    uint64_t now = now_ns();

    if (m->form == PROGRESS_NONE ||
        now - m->shown_ns < (often ? 100000000u : 1000000000u))
        return;
    m->shown_ns = now;
    if (often) {
        put_bar(m, p, now - m->begun_ns);
    } else if (m->form == PROGRESS_JSON) {
        put_json(p);
    } else {
        put_line(p, now - m->begun_ns);
        fputc('\n', stderr);
    }
}

void moving_progress_end(struct moving *m)
{
    if (m->shown)
        fputs("\r\033[K", stderr);
    m->shown = false;
}

static void put_digest(const uint8_t *digest, char out[72])
{
    size_t used = (size_t)snprintf(out, 72, "sha256:");

    for (size_t i = 0; i < RAFS_DIGEST_BYTES; i++)
        used += (size_t)snprintf(out + used, 72 - used, "%02x", digest[i]);
}

static void put_summary(const rafs_copy_result *r, const char *digest, const char *what)
{
    char size[32];

    printf("%s %s: %" PRIu64 " blobs, %" PRIu64 " sent (%s), %" PRIu64
           " mounted, %" PRIu64 " there already",
           what, digest, r->blobs, r->blobs_sent,
           human_bytes(r->bytes_sent, size, sizeof size), r->blobs_mounted,
           r->blobs_there);
    if (r->referrers > 0)
        printf("; %" PRIu64 " referrers", r->referrers);
    putchar('\n');
}

void moving_summary(const struct moving *m, const char *what)
{
    const rafs_copy_result *r = &m->result;
    char digest[72];
    struct json j;

    put_digest(r->digest, digest);
    if (!m->json) {
        put_summary(r, digest, what);
        return;
    }
    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "blobs");
    json_u64(&j, r->blobs);
    json_key(&j, "blobs_mounted");
    json_u64(&j, r->blobs_mounted);
    json_key(&j, "blobs_sent");
    json_u64(&j, r->blobs_sent);
    json_key(&j, "blobs_there");
    json_u64(&j, r->blobs_there);
    json_key(&j, "bytes_sent");
    json_u64(&j, r->bytes_sent);
    json_key(&j, "digest");
    json_text(&j, digest);
    json_key(&j, "event");
    json_text(&j, "summary");
    json_key(&j, "manifests");
    json_u64(&j, r->manifests);
    json_key(&j, "referrers");
    json_u64(&j, r->referrers);
    json_close(&j, '}');
    json_newline(&j);
}

void moving_copy(struct moving *m, const char *source, uint32_t flags)
{
    rafs_copy_options options = RAFS_COPY_OPTIONS_INIT;
    rafs_call call = moving_call();
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    options.flags = flags | (m->c->referrers ? RAFS_COPY_REFERRERS : 0u);
    options.platform = m->c->platform;
    options.threads = m->threads;
    options.progress = moving_progress;
    options.progress_user = m;
    m->result.struct_size = sizeof m->result;
    moving_progress_begin(m);
    rc = rafs_copy(m->from, m->to, &options, &m->result, &call, &err);
    moving_progress_end(m);
    if (rc == RAFS_OK)
        moving_summary(m, "copied");
    else
        moving_failed(m, source, &err);
}

void moving_end(struct moving *m)
{
    rafs_target_close(m->to);
    rafs_origin_close(m->from);
    m->to = NULL;
    m->from = NULL;
}
