/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

const char *human_bytes(uint64_t bytes, char *buf, size_t room)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024.0 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024.0;
        unit++;
    }
    snprintf(buf, room, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return buf;
}

/* The one whose bar may be on the screen. */
static struct progress *active;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void progress_begin(struct progress *p, const char *unit, bool json)
{
    memset(p, 0, sizeof *p);
    p->unit = unit;
    p->lines = json;
    p->bar = !json && isatty(STDERR_FILENO);
    active = p;
}

static void draw_bar(struct progress *p, uint64_t done, uint64_t total, uint64_t bytes)
{
    enum { WIDTH = 24 };
    char bar[WIDTH + 1], size[32];

    memset(bar, ' ', WIDTH);
    bar[WIDTH] = '\0';
    fputs("\r\033[K", stderr);
    if (total > 0) {
        /* What an image claims as its total may be too small: never more than full. */
        double part = done < total ? (double)done / (double)total : 1.0;

        memset(bar, '#', (size_t)(part * WIDTH));
        fprintf(stderr, "[%s] %3d%% ", bar, (int)(part * 100.0));
    }
    fprintf(stderr, "%" PRIu64, done);
    if (total > 0)
        fprintf(stderr, " of %" PRIu64, total);
    fprintf(stderr, " %s, %s", p->unit, human_bytes(bytes, size, sizeof size));
    fflush(stderr);
    p->shown = true;
}

void progress_step(struct progress *p, uint64_t done, uint64_t total, uint64_t bytes)
{
    uint64_t pause_ns = p->bar ? 100000000u : 1000000000u;
    uint64_t now;
    struct json j;

    if (!p->bar && !p->lines)
        return;
    now = now_ns();
    if (now - p->last_ns < pause_ns)
        return;
    p->last_ns = now;
    if (p->bar) {
        draw_bar(p, done, total, bytes);
        return;
    }
    json_begin(&j, stderr);
    json_open(&j, '{');
    json_key(&j, "bytes");
    json_u64(&j, bytes);
    json_key(&j, "done");
    json_u64(&j, done);
    json_key(&j, "event");
    json_text(&j, "progress");
    json_key(&j, "total");
    json_u64(&j, total);
    json_close(&j, '}');
    json_newline(&j);
}

void progress_wipe(void)
{
    if (!active || !active->shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    active->shown = false;
    active->last_ns = 0;
}

void progress_end(struct progress *p)
{
    progress_wipe();
    if (active == p)
        active = NULL;
}
