/* SPDX-License-Identifier: Apache-2.0 */
/* Counters as OpenMetrics text: the families of read/metrics.c, walked. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "api/api.h"

/* Text on its way out: what does not fit is counted. */
struct page {
    char *buf;
    size_t capacity;
    size_t len;
};

static void put(struct page *page, const char *text, size_t len)
{
    if (page->len < page->capacity)
        memcpy(page->buf + page->len, text,
               (size_t)rafsi_min(len, page->capacity - page->len));
    page->len += len;
}

static void put_text(struct page *page, const char *text)
{
    put(page, text, strlen(text));
}

/* Bytes of the UTF-8 character at the front; 0: there is none. */
static size_t utf8_len(const uint8_t *at)
{
    static const struct {
        uint8_t mask, first, len;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 1, 1},
                 {0xe0, 0xc0, 2, 0x80},
                 {0xf0, 0xe0, 3, 0x800},
                 {0xf8, 0xf0, 4, 0x10000}};

    for (size_t i = 0; i < 4; i++) {
        uint32_t value = at[0] & (uint8_t)~forms[i].mask;

        if ((at[0] & forms[i].mask) != forms[i].first)
            continue;
        for (size_t k = 1; k < forms[i].len; k++) {
            if ((at[k] & 0xc0) != 0x80)
                return 0;
            value = value << 6 | (at[k] & 0x3f);
        }
        if (value < forms[i].least || value > 0x10ffff ||
            (value >= 0xd800 && value <= 0xdfff))
            return 0;
        return forms[i].len;
    }
    return 0;
}

/* A label's value: quotes, backslashes and newlines escaped, what is no UTF-8 replaced.
 */
static void put_value(struct page *page, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;

    while (*at) {
        size_t len = utf8_len(at);

        if (*at == '\n')
            put(page, "\\n", 2);
        else if (len == 0)
            put(page, "?", 1);
        else {
            if (*at == '"' || *at == '\\')
                put(page, "\\", 1);
            put(page, (const char *)at, len);
        }
        at += len ? len : 1;
    }
}

static void put_number(struct page *page, uint64_t value, bool nanoseconds)
{
    char text[40];
    int len;

    if (nanoseconds) {
        len = snprintf(text, sizeof(text), "%" PRIu64 ".%09" PRIu64, value / 1000000000,
                       value % 1000000000);
        while (text[len - 1] == '0' && text[len - 2] != '.')
            len--; /* "0.5", as bounds of buckets are written everywhere */
    } else {
        len = snprintf(text, sizeof(text), "%" PRIu64, value);
    }
    put(page, text, (size_t)len);
}

/* Begins with '{' or ','; whether one was written is for the caller to know. */
static void put_label(struct page *page, bool *open, const char *name)
{
    put_text(page, *open ? "," : "{");
    put_text(page, name);
    put_text(page, "=\"");
    *open = true;
}

static void put_sample(struct page *page, const rafs_metric *metric, const char *image,
                       const rafs_sample *sample)
{
    static const char *const suffixes[] = {
        [RAFS_SAMPLE_VALUE] = "",
        [RAFS_SAMPLE_BUCKET] = "_bucket",
        [RAFS_SAMPLE_COUNT] = "_count",
        [RAFS_SAMPLE_SUM] = "_sum",
    };
    bool seconds = strcmp(metric->unit, "seconds") == 0;
    bool open = false;

    put_text(page, metric->name);
    put_text(page, metric->kind == RAFS_METRIC_KIND_COUNTER ? "_total"
                                                            : suffixes[sample->part]);
    if (image) {
        put_label(page, &open, "image");
        put_value(page, image);
        put_text(page, "\"");
    }
    for (uint32_t i = 0; i < metric->label_count; i++) {
        put_label(page, &open, metric->labels[i]);
        put_value(page, sample->labels[i]);
        put_text(page, "\"");
    }
    if (sample->part == RAFS_SAMPLE_BUCKET) {
        put_label(page, &open, "le");
        if (sample->bound_ns == UINT64_MAX)
            put_text(page, "+Inf");
        else
            put_number(page, sample->bound_ns, true);
        put_text(page, "\"");
    }
    put_text(page, open ? "} " : " ");
    put_number(page, sample->value,
               seconds && sample->part != RAFS_SAMPLE_BUCKET &&
                   sample->part != RAFS_SAMPLE_COUNT);
    put_text(page, "\n");
}

static void put_image(struct page *page, const rafs_metric *metric,
                      const rafs_metrics_image *image)
{
    /* All of a histogram at once: its parts are to agree with each other. */
    enum { SOME = RAFS_HISTOGRAM_BUCKETS + 2 };
    rafs_sample samples[SOME];
    size_t count = SOME;

    for (size_t first = 0; count == SOME; first += SOME) {
        count =
            rafsi_reader_samples(image->image->reader, metric->id, first, samples, SOME);
        for (size_t i = 0; i < count; i++)
            put_sample(page, metric, image->name, &samples[i]);
    }
}

static void put_head(struct page *page, const rafs_metric *metric)
{
    static const char *const kinds[] = {
        [RAFS_METRIC_KIND_COUNTER] = "counter",
        [RAFS_METRIC_KIND_GAUGE] = "gauge",
        [RAFS_METRIC_KIND_HISTOGRAM] = "histogram",
    };
    const char *const lines[][2] = {
        {"TYPE", kinds[metric->kind]}, {"UNIT", metric->unit}, {"HELP", metric->help}};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i][1][0] == '\0')
            continue;
        put_text(page, "# ");
        put_text(page, lines[i][0]);
        put_text(page, " ");
        put_text(page, metric->name);
        put_text(page, " ");
        put_text(page, lines[i][1]);
        put_text(page, "\n");
    }
}

static int check_images(const rafs_metrics_image *images, size_t count, rafs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!images[i].image)
            return rafsi_fail_null(err, "image");
        if (!images[i].name && count > 1)
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "images",
                              "of several images each needs a name");
        for (size_t k = 0; k < i; k++)
            if (strcmp(images[i].name, images[k].name) == 0)
                return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "images",
                                  "two images have one name");
    }
    return RAFS_OK;
}

int rafs_metrics_write(const rafs_metrics_image *images, size_t count, char *buf,
                       size_t room, size_t *len, rafs_error *err)
{
    struct page page = {buf, room, 0};
    int rc;

    if (len)
        *len = 0;
    if (!len || (!images && count > 0) || (!buf && room > 0))
        return rafsi_fail_null(err, !len ? "len" : buf || !room ? "images" : "buf");
    rc = check_images(images, count, err);
    if (rc < 0)
        return rc;
    for (uint32_t id = 1; count > 0 && id <= rafsi_metric_count(); id++) {
        rafs_metric metric;

        rafsi_metric_get(id, &metric);
        put_head(&page, &metric);
        for (size_t i = 0; i < count; i++)
            put_image(&page, &metric, &images[i]);
    }
    put_text(&page, "# EOF\n");
    *len = page.len;
    if (page.len < room)
        buf[page.len] = '\0';
    if (page.len > room)
        return rafsi_fail(err, RAFS_E_RANGE, RAFS_STAGE_ARGUMENT, "buf",
                          "the text has %zu bytes, and there is room for %zu", page.len,
                          room);
    return RAFS_OK;
}
