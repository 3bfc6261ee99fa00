/* SPDX-License-Identifier: Apache-2.0 */
#include "trace_plot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANELS_MAX = 12,
    EVENTS_AT_ONCE = 256,
    LEFT = 84,
    RIGHT = 20,
    TOP = 58,
    BOTTOM = 50,
    TITLE = 20, /* above each panel */
    GAP = 14,
    PANEL_LEAST = 48,
    NARROW = 480, /* legends are shorter there */
    FEW = 500     /* marks that can be larger */
};

/* Blobs are told apart by colour and by their own panel. */
static const char *const colours[] = {"#1f6fb4", "#c8501e", "#2a8a4a", "#7d4fa8",
                                      "#b0782a", "#b8326e", "#2c8c99", "#5c6570"};

struct panel {
    uint32_t blob;
    uint64_t events, bytes; /* used of it */
    uint64_t size;
    double y, height;
};

struct plot {
    const rafs_trace *trace;
    FILE *out;
    rafs_trace_info info;
    struct panel *panels; /* most used first */
    uint32_t count, used; /* of them shown; with events */
    const struct panel *current;
    uint64_t bytes, total;
    double width, height, x, plot_width;
    double seconds; /* at the right end */
};

static bool each_event(const rafs_trace *trace,
                       void (*visit)(struct plot *plot, const rafs_trace_event *event),
                       struct plot *plot)
{
    rafs_trace_event events[EVENTS_AT_ONCE];
    uint32_t first = 0;
    size_t count = 0;

    do {
        if (rafs_trace_get_events(trace, first, events, EVENTS_AT_ONCE, &count, NULL) < 0)
            return false;
        for (size_t i = 0; i < count; i++)
            visit(plot, &events[i]);
        first += (uint32_t)count;
    } while (count > 0);
    return true;
}

static void count_event(struct plot *plot, const rafs_trace_event *event)
{
    struct panel *panel = &plot->panels[event->blob];
    uint64_t end = event->compressed_offset + event->compressed_size;

    panel->events++;
    panel->bytes += event->compressed_size;
    if (end > panel->size)
        panel->size = end; /* where the image does not say how large it is */
}

static int by_use(const void *a, const void *b)
{
    const struct panel *one = a, *two = b;

    if (one->bytes != two->bytes)
        return one->bytes < two->bytes ? 1 : -1;
    return one->blob < two->blob ? -1 : 1;
}

static bool measure(struct plot *plot)
{
    plot->info.struct_size = sizeof plot->info;
    if (rafs_trace_get_info(plot->trace, &plot->info, NULL) < 0)
        return false;
    plot->panels = calloc(plot->info.blobs + 1u, sizeof *plot->panels);
    if (!plot->panels)
        return false;
    for (uint32_t i = 0; i < plot->info.blobs; i++) {
        char id[72];

        plot->panels[i].blob = i;
        if (rafs_trace_get_blob(plot->trace, i, id, &plot->panels[i].size, NULL) < 0)
            return false;
    }
    if (!each_event(plot->trace, count_event, plot))
        return false;
    qsort(plot->panels, plot->info.blobs, sizeof *plot->panels, by_use);
    while (plot->used < plot->info.blobs && plot->panels[plot->used].events > 0) {
        plot->bytes += plot->panels[plot->used].bytes;
        plot->total += plot->panels[plot->used].size;
        plot->used++;
    }
    plot->seconds = (double)plot->info.duration_us / 1e6;
    if (plot->seconds < 0.001)
        plot->seconds = 0.001;
    return true;
}

/* As many panels as are readable; the larger the blob, the taller, but none vanishes. */
static void place(struct plot *plot)
{
    double room = plot->height - TOP - BOTTOM, sum = 0.0, y = TOP;
    uint32_t fit = (uint32_t)(room / (TITLE + GAP + PANEL_LEAST));

    plot->count = plot->used < PANELS_MAX ? plot->used : PANELS_MAX;
    if (plot->count > fit)
        plot->count = fit > 0 ? fit : 1;
    room -= plot->count * (double)(TITLE + GAP + PANEL_LEAST) - GAP;
    if (room < 0.0)
        room = 0.0;
    for (uint32_t i = 0; i < plot->count; i++)
        sum += (double)plot->panels[i].size;
    for (uint32_t i = 0; i < plot->count; i++) {
        struct panel *panel = &plot->panels[i];

        panel->y = y + TITLE;
        panel->height = PANEL_LEAST + (sum > 0 ? room * (double)panel->size / sum : 0.0);
        y = panel->y + panel->height + GAP;
    }
}

/* 1, 2 or 5 times a power of ten (of two for bytes), so that about `ticks` fit. */
static double nice_step(double span, double ticks, bool binary)
{
    double least = span / ticks, step = binary ? 1.0 : 1e-6;

    if (binary) {
        while (step < least)
            step *= 2.0;
        return step;
    }
    for (;;) {
        if (step >= least)
            return step;
        if (2.0 * step >= least)
            return 2.0 * step;
        if (5.0 * step >= least)
            return 5.0 * step;
        step *= 10.0;
    }
}

static const char *time_text(double seconds, double step, char *buf, size_t room)
{
    if (step < 0.001)
        snprintf(buf, room, "%.0f \xc2\xb5s", seconds * 1e6);
    else if (step < 1.0)
        snprintf(buf, room, "%.0f ms", seconds * 1e3);
    else
        snprintf(buf, room, "%.0f s", seconds);
    return buf;
}

static const char *bytes_text(double bytes, char *buf, size_t room)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
    size_t unit = 0;

    while (bytes >= 1024.0 && unit < 5) {
        bytes /= 1024.0;
        unit++;
    }
    snprintf(buf, room, "%.4g %sB", bytes, units[unit]);
    return buf;
}

/* Under the marks of a panel. */
static void put_time_grid(struct plot *plot, const struct panel *panel)
{
    double step = nice_step(plot->seconds, plot->plot_width / 90.0, false);

    for (double at = 0.0; at <= plot->seconds * 1.0001; at += step)
        fprintf(plot->out, "<path class=\"grid\" d=\"M%.1f %.1fv%.1f\"/>\n",
                plot->x + at / plot->seconds * plot->plot_width, panel->y, panel->height);
}

static void put_time_axis(struct plot *plot)
{
    const struct panel *last = &plot->panels[plot->count - 1];
    double bottom = last->y + last->height;
    double step = nice_step(plot->seconds, plot->plot_width / 90.0, false);
    char text[32];

    for (double at = 0.0; at <= plot->seconds * 1.0001; at += step) {
        double x = plot->x + at / plot->seconds * plot->plot_width;

        fprintf(plot->out,
                "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                x, bottom, x, bottom + 19.0, time_text(at, step, text, sizeof text));
    }
    fprintf(plot->out,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" class=\"name\">"
            "time since recording began</text>\n",
            plot->x + plot->plot_width / 2.0, bottom + 38.0);
}

static void put_place_axis(struct plot *plot, const struct panel *panel)
{
    double size = panel->size > 0 ? (double)panel->size : 1.0;
    double ticks = panel->height / 34.0;
    double step = nice_step(size, ticks < 1.0 ? 1.0 : ticks, true);
    char text[32];

    for (double at = 0.0; at <= size; at += step) {
        double y = panel->y + panel->height - at / size * panel->height;

        fprintf(plot->out,
                "<path class=\"grid\" d=\"M%.1f %.1fh%.1f\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                plot->x, y, plot->plot_width, plot->x - 8.0, y + 4.0,
                bytes_text(at, text, sizeof text));
    }
}

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
            fprintf(out, "&#%d;", *text);
        else if (*text >= ' ' && *text < 127)
            fputc(*text, out);
    }
}

static void put_legend(struct plot *plot, const struct panel *panel, const char *colour)
{
    char id[72], used[32], size[32];
    uint64_t bytes;
    double part = panel->size ? 100.0 * (double)panel->bytes / (double)panel->size : 0.0;

    if (rafs_trace_get_blob(plot->trace, panel->blob, id, &bytes, NULL) < 0)
        return;
    if (strlen(id) > 16)
        memcpy(id + 12, "...", sizeof "...");
    fprintf(plot->out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\" fill=\"%s\"/>"
            "<text x=\"%.1f\" y=\"%.1f\" class=\"name\">blob %" PRIu32 " ",
            plot->x, panel->y - 15.0, colour, plot->x + 15.0, panel->y - 6.0,
            panel->blob);
    put_escaped(plot->out, id);
    fprintf(plot->out, ": %s", human_bytes(panel->bytes, used, sizeof used));
    if (plot->plot_width > NARROW)
        fprintf(plot->out, " of %s", human_bytes(panel->size, size, sizeof size));
    fprintf(plot->out, " (%.3g %%)", part);
    if (plot->plot_width > NARROW)
        fprintf(plot->out, ", %" PRIu64 " chunks", panel->events);
    fputs("</text>\n", plot->out);
}

/* Of the panel that is being drawn; as wide as can be seen. */
static void put_mark(struct plot *plot, const rafs_trace_event *event)
{
    const struct panel *current = plot->current;
    double size = current->size > 0 ? (double)current->size : 1.0;
    double x, y, height, least = plot->info.events < FEW ? 4.0 : 1.5;

    if (event->blob != current->blob)
        return;
    x = plot->x + (double)event->time_us / 1e6 / plot->seconds * plot->plot_width;
    height = (double)event->compressed_size / size * current->height;
    if (height < least)
        height = least;
    y = current->y + current->height -
        (double)event->compressed_offset / size * current->height - height;
    if (x > plot->x + plot->plot_width - 4.0)
        x = plot->x + plot->plot_width - 4.0;
    fprintf(plot->out, "M%.1f %.2fh4v%.2fh-4z", x, y < current->y ? current->y : y,
            height);
}

static bool put_panel(struct plot *plot, uint32_t i)
{
    const struct panel *panel = &plot->panels[i];
    const char *colour = colours[i % (sizeof colours / sizeof *colours)];
    bool good;

    fprintf(plot->out,
            "<rect class=\"panel\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
            "height=\"%.1f\"/>\n",
            plot->x, panel->y, plot->plot_width, panel->height);
    put_legend(plot, panel, colour);
    put_time_grid(plot, panel);
    put_place_axis(plot, panel);
    fprintf(plot->out, "<path fill=\"%s\" d=\"", colour);
    plot->current = panel;
    good = each_event(plot->trace, put_mark, plot);
    fputs("\"/>\n", plot->out);
    return good;
}

static void put_head(struct plot *plot)
{
    char used[32], total[32], time[32];
    double step = plot->seconds < 0.01 ? 1e-6 : plot->seconds < 10.0 ? 0.001 : 1.0;

    fprintf(plot->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\">\n"
            "<style>text{font:12px sans-serif;fill:#444}.title{font-size:16px;"
            "fill:#111}.name{fill:#111}.panel{fill:#fafafa;stroke:#999}"
            ".grid{stroke:#ddd;fill:none}.axis{stroke:#999;fill:none}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<text x=\"16\" y=\"24\" class=\"title\">What was read when</text>\n",
            plot->width, plot->height, plot->width, plot->height);
    fprintf(plot->out,
            "<text x=\"16\" y=\"43\">%" PRIu32 " chunks, %s of %s in %s</text>\n",
            plot->info.events, human_bytes(plot->bytes, used, sizeof used),
            human_bytes(plot->total, total, sizeof total),
            time_text(plot->seconds, step, time, sizeof time));
    if (plot->used > plot->count)
        fprintf(plot->out,
                "<text x=\"%.1f\" y=\"43\" text-anchor=\"end\">%" PRIu32
                " blobs not shown</text>\n",
                plot->x + plot->plot_width, plot->used - plot->count);
}

bool trace_plot(const rafs_trace *trace, unsigned width, unsigned height, FILE *out)
{
    struct plot plot = {.trace = trace, .out = out, .width = width, .height = height};
    bool good = measure(&plot);

    if (good) {
        plot.x = LEFT;
        plot.plot_width = plot.width - LEFT - RIGHT;
        place(&plot);
        put_head(&plot);
        for (uint32_t i = 0; good && i < plot.count; i++)
            good = put_panel(&plot, i);
        if (plot.used > 0)
            put_time_axis(&plot);
        fputs("</svg>\n", out);
    }
    free(plot.panels);
    return good && !ferror(out);
}
