/* SPDX-License-Identifier: Apache-2.0 */
/* --stats: what reading an image took, for people, as JSON or as OpenMetrics. */
#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SOME = 32 };

/* One after the other, whatever the number: to be begun with zeros. */
struct walk {
    const rafs_image *image;
    uint32_t id;
    size_t first, at, count;
    rafs_sample samples[SOME];
};

static const rafs_sample *next_sample(struct walk *walk)
{
    if (walk->at == walk->count) {
        walk->first += walk->count;
        walk->at = 0;
        if (rafs_image_get_samples(walk->image, walk->id, walk->first, walk->samples,
                                   SOME, &walk->count, NULL) < 0 ||
            walk->count == 0)
            return NULL;
    }
    return &walk->samples[walk->at++];
}

static uint64_t total(const rafs_image *image, uint32_t id)
{
    uint64_t value = 0;

    rafs_image_get_counter(image, id, &value, NULL);
    return value;
}

/* "3 a, 1 b": samples of one source (NULL: of any), by one of their labels. */
static void put_parts(FILE *out, const rafs_image *image, uint32_t id, const char *source,
                      unsigned label)
{
    struct walk walk = {.image = image, .id = id};
    const rafs_sample *sample = next_sample(&walk);
    const char *before = "";

    while (sample) {
        const char *name = sample->labels[label];
        uint64_t sum = 0;

        /* Those of one name lie beside each other, or are told apart by the source. */
        while (sample && strcmp(sample->labels[label], name) == 0) {
            if (!source || strcmp(sample->labels[0], source) == 0)
                sum += sample->value;
            sample = next_sample(&walk);
        }
        if (sum == 0)
            continue;
        fprintf(out, "%s%" PRIu64 " ", before, sum);
        put_safe(out, name);
        before = ", ";
    }
}

static uint64_t of_source(const rafs_image *image, uint32_t id, const char *source)
{
    struct walk walk = {.image = image, .id = id};
    const rafs_sample *sample;
    uint64_t sum = 0;

    while ((sample = next_sample(&walk)) != NULL)
        if (strcmp(sample->labels[0], source) == 0)
            sum += sample->value;
    return sum;
}

static void put_source(FILE *out, const rafs_image *image, const char *source)
{
    static const struct {
        uint32_t id;
        const char *what;
    } events[] = {{RAFS_METRIC_SENT_REQUESTS, "sent"},
                  {RAFS_METRIC_RETRIES, "tried again"},
                  {RAFS_METRIC_REDIRECTS, "redirects"},
                  {RAFS_METRIC_RENEWALS, "tokens"},
                  {RAFS_METRIC_HEDGES, "hedges"},
                  {RAFS_METRIC_FAILOVERS, "left for another source"},
                  {RAFS_METRIC_SOURCE_ERRORS, "failed"}};
    uint64_t requests = of_source(image, RAFS_METRIC_REQUESTS, source);
    char bytes[32];

    if (requests == 0 && of_source(image, RAFS_METRIC_SOURCE_ERRORS, source) == 0)
        return;
    fputs("  source ", out);
    put_safe(out, source);
    fprintf(out, ": requests %" PRIu64, requests);
    if (requests > 0) {
        fputs(" (", out);
        put_parts(out, image, RAFS_METRIC_REQUESTS, source, 1);
        fputs(")", out);
    }
    fprintf(out, ", %s",
            human_bytes(of_source(image, RAFS_METRIC_FETCHED_BYTES, source), bytes,
                        sizeof bytes));
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        uint64_t n = of_source(image, events[i].id, source);

        if (n > 0)
            fprintf(out, ", %" PRIu64 " %s", n, events[i].what);
    }
    fputc('\n', out);
}

static void put_wait(FILE *out, const rafs_image *image, uint32_t id, const char *what)
{
    struct walk walk = {.image = image, .id = id};
    uint64_t count = total(image, id);
    const rafs_sample *sample;
    uint64_t sum = 0, most = 0;
    bool found = false;

    if (count == 0)
        return;
    while ((sample = next_sample(&walk)) != NULL) {
        if (sample->part == RAFS_SAMPLE_SUM)
            sum = sample->value;
        if (sample->part == RAFS_SAMPLE_BUCKET && !found &&
            sample->value * 10 >= count * 9) {
            most = sample->bound_ns;
            found = true;
        }
    }
    fprintf(out, "  %s: %" PRIu64 ", on average %.3g ms", what, count,
            (double)sum / 1e6 / (double)count);
    if (most != UINT64_MAX)
        fprintf(out, ", 9 of 10 within %g ms", (double)most / 1e6);
    fputc('\n', out);
}

static void put_failures(FILE *out, const rafs_image *image)
{
    rafs_failure *kept = calloc(RAFS_FAILURES_KEPT, sizeof *kept);
    size_t count = 0;

    if (kept)
        rafs_image_get_failures(image, 0, kept, RAFS_FAILURES_KEPT, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        time_t seconds = (time_t)(kept[i].unix_ns / 1000000000);
        char when[32] = "";
        struct tm tm;

        if (localtime_r(&seconds, &tm))
            strftime(when, sizeof when, "%H:%M:%S", &tm);
        fprintf(out, "  failure %" PRIu64 " at %s, %s", kept[i].number, when,
                rafs_cause_name(kept[i].cause));
        if (kept[i].source[0]) {
            fputs(", source ", out);
            put_safe(out, kept[i].source);
            fprintf(out, ", tries %u", kept[i].tries);
        }
        fputs(": ", out);
        put_safe(out, kept[i].error.object);
        fputs(kept[i].error.object[0] ? ": " : "", out);
        put_safe(out, kept[i].error.text);
        fputc('\n', out);
    }
    free(kept);
}

static void put_people(FILE *out, const rafs_image *image)
{
    struct walk walk = {.image = image, .id = RAFS_METRIC_FAILOVERS};
    const rafs_sample *sample;
    char bytes[32];

    fprintf(out, "rafs: %" PRIu64 " reads, %s", total(image, RAFS_METRIC_READS),
            human_bytes(total(image, RAFS_METRIC_READ_BYTES), bytes, sizeof bytes));
    if (total(image, RAFS_METRIC_READ_ERRORS) > 0) {
        fputs(", failed: ", out);
        put_parts(out, image, RAFS_METRIC_READ_ERRORS, NULL, 0);
    }
    if (total(image, RAFS_METRIC_CHUNKS) > 0) {
        fputs("\n  chunks: ", out);
        put_parts(out, image, RAFS_METRIC_CHUNKS, NULL, 0);
    }
    fputc('\n', out);
    while ((sample = next_sample(&walk)) != NULL)
        put_source(out, image, sample->labels[0]);
    put_wait(out, image, RAFS_METRIC_CHUNK_WAIT, "waits for chunks");
    put_wait(out, image, RAFS_METRIC_REQUEST_TIME, "answers of sources");
    if (total(image, RAFS_METRIC_CACHE_WRITE_ERRORS) > 0)
        fprintf(out, "  chunks that the cache did not take: %" PRIu64 "\n",
                total(image, RAFS_METRIC_CACHE_WRITE_ERRORS));
    put_failures(out, image);
}

static void json_failures(struct json *j, const rafs_image *image)
{
    rafs_failure *kept = calloc(RAFS_FAILURES_KEPT, sizeof *kept);
    size_t count = 0;

    if (kept)
        rafs_image_get_failures(image, 0, kept, RAFS_FAILURES_KEPT, &count, NULL);
    json_open(j, '[');
    for (size_t i = 0; i < count; i++) {
        json_open(j, '{');
        json_key(j, "cause");
        json_text(j, rafs_cause_name(kept[i].cause));
        json_key(j, "code");
        json_text(j, rafs_error_name(kept[i].error.code));
        json_key(j, "errno");
        json_i64(j, kept[i].error.os_errno);
        json_key(j, "number");
        json_u64(j, kept[i].number);
        json_key(j, "object");
        json_text(j, kept[i].error.object);
        json_key(j, "source");
        json_text(j, kept[i].source);
        json_key(j, "stage");
        json_text(j, rafs_stage_name(kept[i].error.stage));
        json_key(j, "text");
        json_text(j, kept[i].error.text);
        json_key(j, "tries");
        json_u64(j, kept[i].tries);
        json_key(j, "unix_ns");
        json_u64(j, kept[i].unix_ns);
        json_close(j, '}');
    }
    json_close(j, ']');
    free(kept);
}

static void json_samples(struct json *j, const rafs_image *image,
                         const rafs_metric *metric)
{
    static const char *const parts[] = {
        [RAFS_SAMPLE_VALUE] = "value",
        [RAFS_SAMPLE_BUCKET] = "bucket",
        [RAFS_SAMPLE_COUNT] = "count",
        [RAFS_SAMPLE_SUM] = "sum",
    };
    struct walk walk = {.image = image, .id = metric->id};
    const rafs_sample *sample;

    json_open(j, '[');
    while ((sample = next_sample(&walk)) != NULL) {
        json_open(j, '{');
        if (sample->part == RAFS_SAMPLE_BUCKET) {
            json_key(j, "bound_ns");
            if (sample->bound_ns == UINT64_MAX)
                json_null(j);
            else
                json_u64(j, sample->bound_ns);
        }
        for (uint32_t i = 0; i < metric->label_count; i++) {
            json_key(j, metric->labels[i]);
            json_text(j, sample->labels[i]);
        }
        json_key(j, parts[sample->part]);
        json_u64(j, sample->value);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void put_json(FILE *out, const rafs_image *image)
{
    struct json j;

    json_begin(&j, out);
    json_open(&j, '{');
    json_key(&j, "failures");
    json_failures(&j, image);
    for (uint32_t id = 1; id <= rafs_metric_count(); id++) {
        rafs_metric metric = {.struct_size = sizeof metric};

        if (rafs_metric_get(id, &metric, NULL) < 0)
            continue;
        json_key(&j, metric.name);
        json_samples(&j, image, &metric);
    }
    json_close(&j, '}');
    json_newline(&j);
}

static void put_openmetrics(FILE *out, const rafs_image *image)
{
    const rafs_metrics_image one = {image, NULL};
    size_t room = 1 << 16;
    char *text = NULL;
    size_t len = 0;
    int rc = RAFS_E_RANGE;

    while (rc == RAFS_E_RANGE) {
        free(text);
        text = malloc(room);
        if (!text)
            return;
        rc = rafs_metrics_write(&one, 1, text, room, &len, NULL);
        room = len + 1024; /* numbers may have grown meanwhile */
    }
    if (rc == RAFS_OK)
        fwrite(text, 1, len, out);
    free(text);
}

static const struct {
    const char *name;
    void (*put)(FILE *out, const rafs_image *image);
} forms[] = {{"text", put_people}, {"json", put_json}, {"openmetrics", put_openmetrics}};

bool stats_form(struct command *c, const char *name)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!name || strcmp(forms[i].name, name) == 0) {
            c->stats = forms[i].name;
            return true;
        }
    command_usage(c, "--stats: '%s' is not text, json or openmetrics", name);
    return false;
}

static void put(struct command *c, FILE *out)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].name, c->stats) == 0)
            forms[i].put(out, c->image);
}

/* A file appears whole: whoever collects it never sees a half. Pipes and devices are
 * written to as they are. */
static bool write_file(struct command *c, const char *path)
{
    size_t room = strlen(path) + 32;
    char *beside = malloc(room);
    struct stat st;
    bool direct = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    FILE *out;
    bool good;

    if (!beside) {
        errno = ENOMEM;
        return false;
    }
    snprintf(beside, room, "%s.%ld", path, (long)getpid());
    out = fopen(direct ? path : beside, "we");
    good = out != NULL;
    if (out) {
        put(c, out);
        good = fflush(out) == 0;
        good = fclose(out) == 0 && good;
    }
    if (good && !direct)
        good = rename(beside, path) == 0;
    if (!good && out && !direct) {
        int os_errno = errno;

        unlink(beside);
        errno = os_errno;
    }
    free(beside);
    return good;
}

void stats_show(struct command *c)
{
    if (!c->image || (!c->stats && !c->stats_file))
        return;
    if (!c->stats)
        stats_form(c, NULL);
    progress_wipe();
    if (!c->stats_file)
        put(c, stderr);
    else if (!write_file(c, c->stats_file))
        command_say(c, EXIT_SOURCE, "--stats-file: %s: %s", c->stats_file,
                    strerror(errno));
}
