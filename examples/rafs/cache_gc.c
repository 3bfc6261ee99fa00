/* SPDX-License-Identifier: Apache-2.0 */
/* rafs cache gc and scrub: what is to go, and what is wrong. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"

static const char gc_help[] =
    "Usage: rafs cache gc [OPTION]...\n"
    "Evict what was not used for the longest time, until the cache fits. What is pinned\n"
    "or in use stays. The cache does so by itself when it grows.\n"
    "\n"
    "  --quota SIZE         space that the cache may take; 0 empties it; default:\n"
    "                       --cache-quota\n"
    "  --keep-free SIZE     space that is left free on its file system; default:\n"
    "                       --cache-keep-free\n"
    "  --dry-run            say what would go, and delete nothing\n"
    "  --json               one JSON object for each thing that goes and for the "
    "summary\n"
    "\n"
    "SIZE is in bytes, or with a suffix K, M, G, T in powers of 1024.\n";

static const char scrub_help[] =
    "Usage: rafs cache scrub [OPTION]...\n"
    "Compare every chunk and document in the cache with its digest. A wrong one is\n"
    "forgotten: it is fetched anew when it is wanted. Exit status 1 if there was one.\n"
    "\n"
    "  --bandwidth SIZE     read at most so many bytes a second\n"
    "  --json               one JSON object for each wrong chunk and for the summary;\n"
    "                       progress as JSON lines on standard error\n";

struct keeper {
    struct command *c;
    struct json j;
    bool json;
    bool dry;
    struct progress progress;
};

static int visit_gc(void *user, const rafs_cache_entry *entry)
{
    struct keeper *k = user;
    char size[32];

    if (!k->json) {
        printf("%s ", k->dry ? "would evict" : "evicted");
        put_name(stdout, entry->name, strlen(entry->name));
        printf(" (%s)\n", human_bytes(entry->disk_bytes, size, sizeof size));
        return 0;
    }
    json_open(&k->j, '{');
    json_key(&k->j, "disk_bytes");
    json_u64(&k->j, entry->disk_bytes);
    json_key(&k->j, "event");
    json_text(&k->j, k->dry ? "would-evict" : "evicted");
    json_key(&k->j, "kind");
    json_text(&k->j, entry->flags & RAFS_CACHE_ENTRY_DOCUMENT ? "document" : "blob");
    json_key(&k->j, "last_use");
    json_u64(&k->j, entry->last_use_sec);
    json_key(&k->j, "name");
    json_text(&k->j, entry->name);
    json_close(&k->j, '}');
    json_newline(&k->j);
    return 0;
}

static void put_gc_summary(struct keeper *k, const rafs_cache_gc_result *r)
{
    char gone[32], kept[32];

    if (!k->json) {
        printf("%s %" PRIu64 " (%s), %s %" PRIu64 " (%s)\n",
               k->dry ? "would evict" : "evicted", r->evicted,
               human_bytes(r->evicted_bytes, gone, sizeof gone), k->dry ? "keep" : "kept",
               r->kept, human_bytes(r->kept_bytes, kept, sizeof kept));
        if (!r->fits)
            puts("what is pinned or in use does not let the cache fit");
        return;
    }
    json_open(&k->j, '{');
    json_key(&k->j, "dry_run");
    json_bool(&k->j, k->dry);
    json_key(&k->j, "event");
    json_text(&k->j, "summary");
    json_key(&k->j, "evicted");
    json_u64(&k->j, r->evicted);
    json_key(&k->j, "evicted_bytes");
    json_u64(&k->j, r->evicted_bytes);
    json_key(&k->j, "fits");
    json_bool(&k->j, r->fits);
    json_key(&k->j, "kept");
    json_u64(&k->j, r->kept);
    json_key(&k->j, "kept_bytes");
    json_u64(&k->j, r->kept_bytes);
    json_close(&k->j, '}');
    json_newline(&k->j);
}

static void collect(struct keeper *k, const rafs_cache_gc_options *options)
{
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_cache_gc(k->c->cache, options, &result, &err) == RAFS_OK) {
        put_gc_summary(k, &result);
        return;
    }
    command_failed(k->c, NULL, &err);
    k->c->outcome.code = EXIT_SOURCE;
}

/* The options that were not given are those of the common ones. */
static void fill_limits(struct keeper *k, rafs_cache_gc_options *options,
                        bool quota_given, bool floor_given)
{
    struct cache_place place;

    if (!quota_given)
        options->quota_bytes = k->c->cache_quota;
    else if (options->quota_bytes == 0)
        options->quota_bytes = 1; /* not even one byte fits */
    if (floor_given || quota_given || !cache_choose(k->c, &place))
        return;
    options->free_floor_bytes = cache_floor(k->c, place.path);
    free(place.path);
}

int cache_cmd_gc(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_QUOTA, OPT_KEEP_FREE, OPT_DRY_RUN };
    static const struct option longs[] = {
        COMMON_OPTIONS,
        {"json", no_argument, NULL, OPT_JSON},
        {"quota", required_argument, NULL, OPT_QUOTA},
        {"keep-free", required_argument, NULL, OPT_KEEP_FREE},
        {"dry-run", no_argument, NULL, OPT_DRY_RUN},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("cache gc", gc_help);
    rafs_cache_gc_options options = RAFS_CACHE_GC_OPTIONS_INIT;
    struct keeper k = {.c = &c};
    bool quota = false, floor = false;
    enum cache_found found;
    int opt;

    json_begin(&k.j, stdout);
    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        uint64_t *size = opt == OPT_QUOTA       ? &options.quota_bytes
                         : opt == OPT_KEEP_FREE ? &options.free_floor_bytes
                                                : NULL;

        if (opt == OPT_STOP)
            return command_end(&c);
        if (size && !parse_bytes(optarg, true, size)) {
            command_usage(&c, "'%s' is not a size such as 500M or 20G", optarg);
            return command_end(&c);
        }
        k.json = k.json || opt == OPT_JSON;
        k.dry = k.dry || opt == OPT_DRY_RUN;
        quota = quota || opt == OPT_QUOTA;
        floor = floor || opt == OPT_KEEP_FREE;
    }
    if (optind != argc) {
        command_usage(&c, "no operand is expected; rafs cache gc decides by last use");
        return command_end(&c);
    }
    options.flags = k.dry ? RAFS_CACHE_GC_DRY_RUN : 0;
    options.user = &k;
    options.visit = visit_gc;
    found = cache_open_existing(&c, false);
    if (found == CACHE_OPEN) {
        fill_limits(&k, &options, quota, floor);
        collect(&k, &options);
    } else if (found == CACHE_NONE)
        put_gc_summary(&k, &(rafs_cache_gc_result){.fits = 1});
    return command_end(&c);
}

static void on_finding(void *user, const rafs_error *finding)
{
    struct keeper *k = user;

    progress_wipe();
    outcome_note(&k->c->outcome, EXIT_CORRUPT);
    if (!k->json) {
        fputs("corrupt: ", stdout);
        put_safe(stdout, finding->object);
        if (finding->has_offset)
            printf(" at byte %" PRIu64, finding->offset);
        fputs(": ", stdout);
        put_safe(stdout, finding->text);
        putchar('\n');
        return;
    }
    json_open(&k->j, '{');
    json_key(&k->j, "event");
    json_text(&k->j, "finding");
    json_key(&k->j, "object");
    json_text(&k->j, finding->object);
    if (finding->has_offset) {
        json_key(&k->j, "offset");
        json_u64(&k->j, finding->offset);
    }
    json_key(&k->j, "text");
    json_text(&k->j, finding->text);
    json_close(&k->j, '}');
    json_newline(&k->j);
}

static void on_progress(void *user, const rafs_cache_scrub_progress *p)
{
    struct keeper *k = user;

    progress_step(&k->progress, p->bytes_done / 1024, p->bytes_total / 1024,
                  p->bytes_done);
}

static void put_scrub_summary(struct keeper *k, const rafs_cache_scrub_result *r)
{
    char size[32];

    if (!k->json) {
        printf("%s %" PRIu64 " chunks and %" PRIu64 " documents (%s): ",
               r->complete ? "checked" : "stopped after", r->chunks, r->documents,
               human_bytes(r->bytes, size, sizeof size));
        if (r->bad_chunks + r->bad_documents == 0)
            puts(r->complete ? "nothing wrong found" : "nothing wrong so far");
        else
            printf("%" PRIu64 " wrong and forgotten; they are fetched anew when wanted\n",
                   r->bad_chunks + r->bad_documents);
        return;
    }
    json_open(&k->j, '{');
    json_key(&k->j, "bad_chunks");
    json_u64(&k->j, r->bad_chunks);
    json_key(&k->j, "bad_documents");
    json_u64(&k->j, r->bad_documents);
    json_key(&k->j, "blobs");
    json_u64(&k->j, r->blobs);
    json_key(&k->j, "bytes");
    json_u64(&k->j, r->bytes);
    json_key(&k->j, "chunks");
    json_u64(&k->j, r->chunks);
    json_key(&k->j, "complete");
    json_bool(&k->j, r->complete);
    json_key(&k->j, "documents");
    json_u64(&k->j, r->documents);
    json_key(&k->j, "event");
    json_text(&k->j, "summary");
    json_close(&k->j, '}');
    json_newline(&k->j);
}

static void scrub(struct keeper *k, uint64_t rate)
{
    rafs_cache_scrub_options options = RAFS_CACHE_SCRUB_OPTIONS_INIT;
    rafs_cache_scrub_result result = RAFS_CACHE_SCRUB_RESULT_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    options.bytes_per_second = rate;
    options.user = k;
    options.finding = on_finding;
    options.progress = on_progress;
    if (!k->c->timeout_given)
        k->c->timeout_ms = 0; /* how long it takes depends on the cache */
    progress_begin(&k->progress, "KiB", k->json);
    rc = rafs_cache_scrub(k->c->cache, &options, &result, command_call(k->c), &err);
    progress_end(&k->progress);
    put_scrub_summary(k, &result);
    if (rc < 0)
        command_failed(k->c, NULL, &err);
    else if (!result.complete)
        command_say(k->c, EXIT_SOURCE, "some blobs could not be opened");
}

int cache_cmd_scrub(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_BANDWIDTH };
    static const struct option longs[] = {
        COMMON_OPTIONS,
        {"json", no_argument, NULL, OPT_JSON},
        {"bandwidth", required_argument, NULL, OPT_BANDWIDTH},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("cache scrub", scrub_help);
    struct keeper k = {.c = &c};
    enum cache_found found;
    uint64_t rate = 0;
    int opt;

    json_begin(&k.j, stdout);
    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&c);
        if (opt == OPT_BANDWIDTH && !parse_bytes(optarg, true, &rate)) {
            command_usage(&c, "--bandwidth: '%s' is not a size such as 50M", optarg);
            return command_end(&c);
        }
        k.json = k.json || opt == OPT_JSON;
    }
    if (optind != argc) {
        command_usage(&c, "no operand is expected: all is looked at");
        return command_end(&c);
    }
    found = cache_open_existing(&c, false);
    if (found == CACHE_OPEN)
        scrub(&k, rate);
    else if (found == CACHE_NONE)
        put_scrub_summary(&k, &(rafs_cache_scrub_result){.complete = 1});
    return command_end(&c);
}
