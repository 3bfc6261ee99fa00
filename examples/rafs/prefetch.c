/* SPDX-License-Identifier: Apache-2.0 */
/* rafs prefetch: parts of an image into the cache. */
#include "fetching.h"

static const char prefetch_help[] =
    "Usage: rafs prefetch [OPTION]... IMAGE [PATH]...\n"
    "Fetch parts of IMAGE into the cache: each PATH with all that lies below it.\n"
    "\n"
    "  --table              what the image's own list says\n"
    "  --trace FILE         what an earlier run read, in that order; FILE was written "
    "by\n"
    "                       --trace-record\n"
    "  --bandwidth SIZE     at most so many bytes a second (K, M, G, T)\n"
    "  --progress FORM      auto (a bar on a terminal), plain, json or none\n"
    "  --json               the summary as JSON\n"
    "\n"
    "'rafs pull' fetches everything.\n"
    "\n"
    "Example:\n"
    "  rafs prefetch docker://registry.example.org/app:1 /usr/bin /etc\n";

static bool choose(struct fetching *f, const char *trace_file, bool table, char **paths,
                   size_t count, rafs_trace **trace)
{
    rafs_error err = RAFS_ERROR_INIT;

    if ((trace_file != NULL) + table + (count > 0) != 1) {
        command_usage(f->c, "one of PATH, --table and --trace is wanted; "
                            "'rafs pull' fetches everything");
        return false;
    }
    f->options.what = RAFS_PREFETCH_LIST;
    f->options.paths = (const char *const *)paths;
    f->options.path_count = count;
    if (table)
        f->options.what = RAFS_PREFETCH_TABLE;
    if (!trace_file)
        return true;
    if (rafs_trace_load_path(trace_file, NULL, trace, &err) < 0) {
        err.object[0] = '\0';
        command_failed(f->c, trace_file, &err);
        if (err.code == RAFS_E_NOENT) /* not a path in the image */
            f->c->outcome.code = EXIT_SOURCE;
        return false;
    }
    f->options.what = RAFS_PREFETCH_TRACE;
    f->options.trace = *trace;
    return true;
}

int cmd_prefetch(int argc, char **argv)
{
    enum { OPT_TABLE = OPT_OWN, OPT_TRACE, OPT_BANDWIDTH, OPT_PROGRESS, OPT_JSON };
    static const struct option longs[] = {
        COMMON_OPTIONS,
        {"table", no_argument, NULL, OPT_TABLE},
        {"trace", required_argument, NULL, OPT_TRACE},
        {"bandwidth", required_argument, NULL, OPT_BANDWIDTH},
        {"progress", required_argument, NULL, OPT_PROGRESS},
        {"json", no_argument, NULL, OPT_JSON},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("prefetch", prefetch_help);
    struct fetching f = {.c = &c, .options = RAFS_PREFETCH_OPTIONS_INIT};
    const char *trace_file = NULL;
    rafs_trace *trace = NULL;
    bool table = false;
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP ||
            (opt == OPT_BANDWIDTH && !fetching_bandwidth(&f, optarg)) ||
            (opt == OPT_PROGRESS && !progress_form_of(&c, optarg, &f.form)))
            return command_end(&c);
        table = table || opt == OPT_TABLE;
        trace_file = opt == OPT_TRACE ? optarg : trace_file;
        f.json = f.json || opt == OPT_JSON;
    }
    if (argc == optind) {
        command_usage(&c, "IMAGE is missing");
    } else if (choose(&f, trace_file, table, argv + optind + 1,
                      (size_t)(argc - optind) - 1, &trace) &&
               cache_open_for(&c, true)) {
        if (!c.cache)
            command_usage(&c, "there is no cache to fetch into; name one with "
                              "--cache-dir");
        else if (command_open(&c, argv[optind]))
            fetching_run(&f);
    }
    opt = command_end(&c);
    rafs_trace_free(trace);
    return opt;
}
