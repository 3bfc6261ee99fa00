/* SPDX-License-Identifier: Apache-2.0 */
#include "fetching.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 200, BAR = 24 };

struct view {
    enum progress_form form;
    uint64_t begun_ns, shown_ns;
    bool shown; /* a bar is on the screen */
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool progress_form_of(struct command *c, const char *text, enum progress_form *out)
{
    static const char *const names[] = {"auto", "plain", "json", "none"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum progress_form)i;
            return true;
        }
    command_usage(c, "--progress: '%s' is not auto, plain, json or none", text);
    return false;
}

bool fetching_bandwidth(struct fetching *f, const char *text)
{
    if (parse_bytes(text, true, &f->options.bytes_per_second) &&
        f->options.bytes_per_second > 0)
        return true;
    command_usage(f->c, "--bandwidth: '%s' is not a number of bytes a second", text);
    return false;
}

/* What was fetched so far says how fast the rest will come. */
static void put_rate(const rafs_prefetch_progress *p, uint64_t elapsed_ns)
{
    double seconds = (double)elapsed_ns / 1e9;
    double rate = seconds > 0.0 ? (double)p->bytes_asked / seconds : 0.0;
    char text[32];

    fprintf(stderr, "  %s/s", human_bytes((uint64_t)rate, text, sizeof text));
    if (rate >= 1.0 && p->bytes_done < p->bytes_total) {
        uint64_t left = (uint64_t)((double)(p->bytes_total - p->bytes_done) / rate + 0.5);

        fprintf(stderr, "  %" PRIu64 ":%02" PRIu64 " left", left / 60, left % 60);
    }
}

static void put_line(const rafs_prefetch_progress *p, uint64_t elapsed_ns)
{
    double part = p->bytes_total ? (double)p->bytes_done / (double)p->bytes_total : 1.0;
    char done[32], total[32];

    fprintf(stderr, "%3d%%  %s of %s", (int)(part * 100.0),
            human_bytes(p->bytes_done, done, sizeof done),
            human_bytes(p->bytes_total, total, sizeof total));
    put_rate(p, elapsed_ns);
}

static void put_bar(struct view *view, const rafs_prefetch_progress *p, uint64_t elapsed)
{
    double part = p->bytes_total ? (double)p->bytes_done / (double)p->bytes_total : 1.0;
    char bar[BAR + 1];

    memset(bar, ' ', BAR);
    bar[BAR] = '\0';
    memset(bar, '#', (size_t)(part * BAR));
    fprintf(stderr, "\r\033[K[%s] ", bar);
    put_line(p, elapsed);
    fflush(stderr);
    view->shown = true;
}

static void put_json(FILE *out, const char *event, const rafs_prefetch_progress *p)
{
    struct json j;

    json_begin(&j, out);
    json_open(&j, '{');
    json_key(&j, "bytes_done");
    json_u64(&j, p->bytes_done);
    json_key(&j, "bytes_fetched");
    json_u64(&j, p->bytes_fetched);
    json_key(&j, "bytes_total");
    json_u64(&j, p->bytes_total);
    json_key(&j, "chunks_done");
    json_u64(&j, p->chunks_done);
    json_key(&j, "chunks_failed");
    json_u64(&j, p->chunks_failed);
    json_key(&j, "chunks_fetched");
    json_u64(&j, p->chunks_fetched);
    json_key(&j, "chunks_skipped");
    json_u64(&j, p->chunks_skipped);
    json_key(&j, "chunks_total");
    json_u64(&j, p->chunks_total);
    json_key(&j, "chunks_unkept");
    json_u64(&j, p->chunks_unkept);
    json_key(&j, "event");
    json_text(&j, event);
    json_close(&j, '}');
    json_newline(&j);
}

static void look(struct view *view, const rafs_prefetch_progress *p)
{
    uint64_t now = now_ns();
    bool often = view->form == PROGRESS_AUTO;

    if (view->form == PROGRESS_NONE || (!often && now - view->shown_ns < 1000000000u))
        return;
    view->shown_ns = now;
    if (often) {
        put_bar(view, p, now - view->begun_ns);
    } else if (view->form == PROGRESS_JSON) {
        put_json(stderr, "progress", p);
    } else {
        put_line(p, now - view->begun_ns);
        fputc('\n', stderr);
    }
}

static void wipe(struct view *view)
{
    if (view->shown)
        fputs("\r\033[K", stderr);
    view->shown = false;
}

/* To its end, or to a signal. */
static int watch(struct fetching *f, rafs_prefetch *prefetch,
                 rafs_prefetch_progress *progress, rafs_error *err)
{
    struct view view = {.form = f->form, .begun_ns = now_ns()};
    rafs_env env = RAFS_ENV_INIT;
    int rc;

    command_env(&env);
    view.shown_ns = view.begun_ns;
    if (view.form == PROGRESS_AUTO && (f->json || !isatty(STDERR_FILENO)))
        view.form = PROGRESS_NONE;
    do {
        rafs_call call;

        rafs_call_init(&call, NULL, LOOK_MS, env.cancel);
        rc = rafs_prefetch_wait(prefetch, &call, err);
        if (rafs_prefetch_get_progress(prefetch, progress, NULL) == RAFS_OK)
            look(&view, progress);
    } while (rc == RAFS_E_TIMEOUT && !progress->ended);
    if (rc == RAFS_E_CANCELLED)
        rafs_prefetch_cancel(prefetch);
    wipe(&view);
    return rc;
}

static void put_summary(const rafs_prefetch_progress *p)
{
    char total[32], fetched[32];

    printf("%" PRIu64 " of %" PRIu64 " chunks (%s): %" PRIu64 " fetched (%s)",
           p->chunks_done, p->chunks_total,
           human_bytes(p->bytes_total, total, sizeof total), p->chunks_fetched,
           human_bytes(p->bytes_fetched, fetched, sizeof fetched));
    if (p->chunks_done >= p->chunks_fetched + p->chunks_skipped + p->chunks_failed)
        printf(", %" PRIu64 " there already",
               p->chunks_done - p->chunks_fetched - p->chunks_skipped - p->chunks_failed);
    putchar('\n');
}

static void complain(struct fetching *f, const rafs_prefetch_progress *p)
{
    if (p->chunks_failed > 0)
        command_say(f->c, EXIT_CORRUPT, "%" PRIu64 " chunks are wrong at every source",
                    p->chunks_failed);
    if (p->chunks_unkept > 0)
        command_say(f->c, EXIT_SOURCE,
                    "%" PRIu64
                    " chunks could not be kept in the cache; is the disk full?",
                    p->chunks_unkept);
    if (p->chunks_skipped > 0)
        command_say(f->c, EXIT_SOURCE, "%" PRIu64 " chunks were left out: no cache",
                    p->chunks_skipped);
}

void fetching_run(struct fetching *f)
{
    rafs_prefetch_progress progress = RAFS_PREFETCH_PROGRESS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_prefetch *prefetch = NULL;
    struct command *c = f->c;
    int rc;

    f->options.timeout_ms = c->timeout_ms ? c->timeout_ms : UINT64_MAX;
    rc = rafs_prefetch_start(c->image, &f->options, &prefetch, command_call(c), &err);
    if (rc < 0) {
        command_failed(c, NULL, &err);
        return;
    }
    rc = watch(f, prefetch, &progress, &err);
    if (f->json)
        put_json(stdout, "summary", &progress);
    else
        put_summary(&progress);
    if (rc < 0 && !(rc == RAFS_E_CORRUPT && progress.chunks_failed == 0))
        command_failed(c, c->image_path, &err);
    complain(f, &progress);
    rafs_prefetch_free(prefetch);
}
