/* SPDX-License-Identifier: Apache-2.0 */
/* rafs trace: what was read when. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chunk_files.h"
#include "trace_plot.h"

static const char trace_help[] =
    "Usage: rafs trace show [OPTION]... FILE|IMAGE\n"
    "       rafs trace plot [OPTION]... FILE|IMAGE -o OUT.svg\n"
    "       rafs trace record [--for SECONDS] DIR\n"
    "Show an access trace: a FILE that --trace-record wrote, or what the cache keeps of\n"
    "IMAGE from runs with --learn. Or record what is read of a mounted image at DIR.\n"
    "\n"
    "  --json               show: one JSON object a line\n"
    "  -o FILE              plot: where the picture goes; - is standard output\n"
    "  --size WxH           plot: of the picture in pixels (default 960x540)\n"
    "  --for SECONDS        record: so long; default: until Ctrl-C\n"
    "\n"
    "In the picture time goes to the right and the place in the blob upwards, with a\n"
    "panel for each blob.\n"
    "\n"
    "Example:\n"
    "  rafs cat --trace-record t.trace image.boot /etc/passwd > /dev/null\n"
    "  rafs trace plot t.trace -o t.svg\n";

struct wish {
    struct command *c;
    bool json;
    const char *out;
    unsigned width, height;
};

static bool is_trace(const char *path)
{
    char start[8] = "";
    FILE *file = fopen(path, "rb");

    if (!file)
        return false;
    if (fread(start, 1, sizeof start, file) != sizeof start)
        start[0] = '\0';
    fclose(file);
    return memcmp(start, "RAFSTRC", sizeof start) == 0;
}

/* Of a file, or of an image that is opened for it. */
static rafs_trace *find_trace(struct command *c, const char *what)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_trace *trace = NULL;
    int rc;

    if (is_trace(what)) {
        rc = rafs_trace_load_path(what, NULL, &trace, &err);
        err.object[0] = '\0';
    } else {
        if (!cache_open_for(c, true) || !command_open(c, what))
            return NULL;
        rc = rafs_trace_find(c->image, &trace, command_call(c), &err);
        if (rc == RAFS_E_NOENT) {
            command_say(c, EXIT_SOURCE,
                        "%s: no trace is kept of it; read it with --learn, or with "
                        "--trace-record FILE",
                        what);
            return NULL;
        }
    }
    if (rc < 0)
        command_failed(c, what, &err);
    return rc < 0 ? NULL : trace;
}

static void put_event_json(struct json *j, const rafs_trace_event *event)
{
    json_open(j, '{');
    json_key(j, "blob");
    json_u64(j, event->blob);
    json_key(j, "chunk");
    json_u64(j, event->chunk);
    json_key(j, "compressed_offset");
    json_u64(j, event->compressed_offset);
    json_key(j, "compressed_size");
    json_u64(j, event->compressed_size);
    json_key(j, "event");
    json_text(j, "use");
    json_key(j, "file_offset");
    json_u64(j, event->file_offset);
    json_key(j, "ino");
    json_u64(j, event->ino);
    json_key(j, "length");
    json_u64(j, event->length);
    json_key(j, "time_us");
    json_u64(j, event->time_us);
    json_close(j, '}');
    json_newline(j);
}

static void put_event(struct command *c, const rafs_trace_event *event)
{
    char path[4096];
    size_t len = 0;

    printf("%10.3f  %4" PRIu32 "  %12" PRIu64 "  %8" PRIu32 "  ",
           (double)event->time_us / 1e3, event->blob, event->compressed_offset,
           event->compressed_size);
    if (c->image && rafs_image_get_path(c->image, event->ino, path, sizeof path, &len,
                                        command_call(c), NULL) == RAFS_OK)
        put_name(stdout, path, len);
    else if (event->ino == 0) { /* a kernel mount does not tell */
        printf("chunk %" PRIu32 "\n", event->chunk);
        return;
    } else
        printf("inode %" PRIu64, event->ino);
    printf(" +%" PRIu64 "\n", event->file_offset);
}

static void put_head(struct wish *w, struct json *j, const rafs_trace *trace,
                     const rafs_trace_info *info)
{
    if (w->json) {
        json_open(j, '{');
        json_key(j, "blobs");
        json_u64(j, info->blobs);
        json_key(j, "bootstrap");
        json_hex(j, info->bootstrap, sizeof info->bootstrap);
        json_key(j, "complete");
        json_bool(j, info->complete != 0);
        json_key(j, "duration_us");
        json_u64(j, info->duration_us);
        json_key(j, "event");
        json_text(j, "trace");
        json_key(j, "events");
        json_u64(j, info->events);
        json_close(j, '}');
        json_newline(j);
        return;
    }
    fputs("bootstrap sha256:", stdout);
    put_hex(stdout, info->bootstrap, sizeof info->bootstrap);
    printf("\n%" PRIu32 " chunks in %.3f s%s\n", info->events,
           (double)info->duration_us / 1e6,
           info->complete ? "" : "; more was read than is recorded");
    for (uint32_t i = 0; i < info->blobs; i++) {
        char id[72], size[32];
        uint64_t bytes;

        if (rafs_trace_get_blob(trace, i, id, &bytes, NULL) == RAFS_OK)
            printf("blob %" PRIu32 " %s %s\n", i, id,
                   human_bytes(bytes, size, sizeof size));
    }
    printf("\n%10s  %4s  %12s  %8s  %s\n", "ms", "blob", "offset", "bytes", "file");
}

static void show(struct wish *w, const rafs_trace *trace)
{
    rafs_trace_info info = RAFS_TRACE_INFO_INIT;
    struct chunk_files files = {NULL, 0};
    rafs_trace_event events[256];
    uint32_t first = 0;
    size_t count = 0;
    struct json j;

    json_begin(&j, stdout);
    if (rafs_trace_get_info(trace, &info, NULL) < 0 ||
        (w->c->image && !chunk_files_find(&files, w->c, trace)))
        return;
    put_head(w, &j, trace, &info);
    do {
        rafs_trace_get_events(trace, first, events, 256, &count, NULL);
        for (size_t i = 0; i < count && !command_interrupted(w->c); i++) {
            chunk_files_name(&files, &events[i]);
            if (w->json)
                put_event_json(&j, &events[i]);
            else
                put_event(w->c, &events[i]);
        }
        first += (uint32_t)count;
    } while (count > 0 && !command_output_failed());
    chunk_files_free(&files);
}

static void plot(struct wish *w, const rafs_trace *trace)
{
    bool to_stdout = strcmp(w->out, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(w->out, "w");
    bool good;

    if (!out) {
        command_say(w->c, EXIT_SOURCE, "%s: %s", w->out, strerror(errno));
        return;
    }
    good = trace_plot(trace, w->width, w->height, out);
    if (to_stdout)
        return;
    if (fclose(out) != 0 || !good)
        command_say(w->c, EXIT_SOURCE, "%s: the picture cannot be written: %s", w->out,
                    strerror(errno));
}

static bool take_size(struct wish *w, const char *text)
{
    char end;

    if (sscanf(text, "%5ux%5u%c", &w->width, &w->height, &end) == 2 && w->width >= 320 &&
        w->height >= 200 && w->width <= 20000 && w->height <= 20000)
        return true;
    command_usage(w->c, "--size: '%s' is not WIDTHxHEIGHT, from 320x200 to 20000x20000",
                  text);
    return false;
}

int cmd_trace(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_SIZE };
    static const struct option longs[] = {COMMON_OPTIONS,
                                          {"json", no_argument, NULL, OPT_JSON},
                                          {"size", required_argument, NULL, OPT_SIZE},
                                          {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("trace", trace_help);
    struct wish w = {.c = &c, .width = 960, .height = 540};
    rafs_trace *trace = NULL;
    bool plots;
    int opt;

    if (argc > 1 && strcmp(argv[1], "record") == 0)
        return cmd_trace_record(argc - 1, argv + 1);
    while ((opt = command_getopt(&c, argc, argv, "o:", longs)) != -1) {
        if (opt == OPT_STOP || (opt == OPT_SIZE && !take_size(&w, optarg)))
            return command_end(&c);
        w.json = w.json || opt == OPT_JSON;
        w.out = opt == 'o' ? optarg : w.out;
    }
    plots = argc > optind && strcmp(argv[optind], "plot") == 0;
    if (argc == optind || (!plots && strcmp(argv[optind], "show") != 0))
        command_usage(&c, "'show', 'plot' or 'record' is wanted");
    else if (argc - optind != 2)
        command_usage(&c, argc - optind < 2 ? "FILE or IMAGE is missing"
                                            : "too many operands");
    else if (plots && !w.out)
        command_usage(&c, "where to? -o OUT.svg");
    else
        trace = find_trace(&c, argv[optind + 1]);
    if (trace && plots)
        plot(&w, trace);
    else if (trace)
        show(&w, trace);
    rafs_trace_free(trace);
    return command_end(&c);
}
