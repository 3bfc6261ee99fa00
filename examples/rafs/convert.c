/* SPDX-License-Identifier: Apache-2.0 */
/* rafs convert: an ordinary image becomes a RAFS image. */
#include "build.h"
#include "moving.h"

#include <inttypes.h>
#include <string.h>

static const char convert_help[] =
    "Usage: rafs convert [OPTION]... SOURCE TARGET\n"
    "Make a RAFS image of an ordinary one, layer by layer, without unpacking anything.\n"
    "SOURCE and TARGET are docker://HOST/REPO[:TAG], oci:DIR[:TAG] or\n"
    "oci-archive:FILE[:TAG]. The same image gives the same manifest, always.\n"
    "\n"
    "  --all-platforms      each image of an index, into an index\n"
    "  --referrer           let the result hang on SOURCE, to be found with "
    "--referrers;\n"
    "                       TARGET may be SOURCE then, and keeps its tag\n"
    "  --docker             docker's media types in place of those of OCI\n"
    "  --build-cache DIR    reuse layers that were converted before\n"
    "  --layers N           layers at once, up to 8 (default 2)\n"
    "  --force              replace the file of an oci-archive\n"
    "  --fs-version 5|6     of RAFS (default 6)\n"
    "  --compressor NAME    zstd (default), lz4 or none\n"
    "  --level N            of it\n"
    "  --chunk-size SIZE    4K to 16M, a power of two (default 1M)\n"
    "  --batch-size SIZE    compress files of less than half of it together (v6)\n"
    "  --digest NAME        blake3 (default) or sha256\n"
    "  --dedup LEVEL        none, file or chunk (default)\n"
    "  --chunk-dict IMAGE   refer to its chunks, whose blobs are in TARGET; repeatable\n"
    "  --chunk-store DIR    refer to what earlier conversions with DIR stored\n"
    "  --aligned-chunk      v5: chunks at multiples of 4 KiB\n"
    "  --owner UID:GID      of every file\n"
    "  --uid-map FROM:TO:COUNT, --gid-map FROM:TO:COUNT   repeatable\n"
    "  --no-owners          store none\n"
    "  --mtime SECONDS      of every file; without it SOURCE_DATE_EPOCH bounds times\n"
    "  --no-xattrs          leave extended attributes out\n"
    "  --skip-unsupported   leave out what no image can hold, do not fail\n"
    "  --exclude PATTERN    leave out paths; repeatable\n"
    "  --prefetch PATH      into the prefetch table; repeatable\n"
    "  --prefetch-list FILE such paths, one a line\n"
    "  --threads N          of each layer (default: one a processor)\n"
    "  --progress FORM      auto (a bar on a terminal), plain, json or none\n"
    "  --json               the summary as JSON\n"
    "\n"
    "Examples:\n"
    "  rafs convert docker://registry.example.org/app:v1 "
    "docker://registry.example.org/app:v1-rafs\n"
    "  rafs convert --build-cache ~/.cache/rafs-layers oci:app:v1 oci-archive:app.tar\n";

enum {
    CONVERT_OPT_ALL = MAKING_OPT_END,
    CONVERT_OPT_REFERRER,
    CONVERT_OPT_DOCKER,
    CONVERT_OPT_CACHE,
    CONVERT_OPT_LAYERS
};

struct converting {
    struct command *c;
    struct making making; /* options of layers */
    struct moving moving; /* places, progress */
    rafs_convert_options options;
    rafs_convert_result result;
};

static void show_progress(void *user, const rafs_convert_progress *progress)
{
    struct converting *k = user;
    rafs_copy_progress shown = {.struct_size = sizeof shown,
                                .blobs_total = progress->layers_total,
                                .blobs_done = progress->layers_done,
                                .bytes_total = progress->bytes_total,
                                .bytes_done = progress->bytes_done};

    moving_progress(&k->moving, &shown);
}

static void put_json(const struct converting *k)
{
    const rafs_convert_result *r = &k->result;
    const struct {
        const char *key;
        uint64_t value;
    } rows[] = {{"file_bytes", r->file_bytes},
                {"images", r->images},
                {"layers", r->layers},
                {"layers_reused", r->layers_reused},
                {"milliseconds", making_ms(&k->making)},
                {"skipped", r->skipped},
                {"source_bytes", r->source_bytes}};
    char digest[8 + 2 * RAFS_DIGEST_BYTES] = "sha256:";
    struct json j;

    for (size_t i = 0; i < RAFS_DIGEST_BYTES; i++)
        snprintf(digest + 7 + 2 * i, 3, "%02x", r->digest[i]);
    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "blob_bytes");
    json_u64(&j, r->blob_bytes);
    json_key(&j, "built_bytes");
    json_u64(&j, r->built_bytes);
    json_key(&j, "digest");
    json_text(&j, digest);
    json_key(&j, "event");
    json_text(&j, "summary");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_key(&j, rows[i].key);
        json_u64(&j, rows[i].value);
    }
    json_close(&j, '}');
    json_newline(&j);
}

static void put_text(const struct converting *k)
{
    const rafs_convert_result *r = &k->result;
    char read[32], made[32], all[32];

    fputs("converted sha256:", stdout);
    put_hex(stdout, r->digest, sizeof r->digest);
    printf(": %" PRIu64 " layers, %" PRIu64 " reused; %s read, %s made, %s in all, "
           "%.1f s\n",
           r->layers, r->layers_reused, human_bytes(r->source_bytes, read, sizeof read),
           human_bytes(r->built_bytes, made, sizeof made),
           human_bytes(r->blob_bytes, all, sizeof all),
           (double)making_ms(&k->making) / 1000.0);
    if (r->images > 1)
        printf("  images                                   %" PRIu32 "\n", r->images);
    if (r->skipped)
        printf("  left out, no image can hold it           %" PRIu64 "\n", r->skipped);
}

static bool set_layers(struct converting *k)
{
    uint64_t number;

    if (parse_bytes(optarg, false, &number) && number >= 1 && number <= 8) {
        k->options.threads = (uint32_t)number;
        return true;
    }
    command_usage(k->c, "--layers: '%s' is not a number from 1 to 8", optarg);
    return false;
}

static bool take_option(struct converting *k, int opt)
{
    switch (opt) {
    case CONVERT_OPT_ALL:
        k->options.flags |= RAFS_CONVERT_ALL_PLATFORMS;
        return true;
    case CONVERT_OPT_REFERRER:
        k->options.flags |= RAFS_CONVERT_REFERRER;
        return true;
    case CONVERT_OPT_DOCKER:
        k->options.flags |= RAFS_CONVERT_DOCKER;
        return true;
    case CONVERT_OPT_CACHE:
        k->options.cache_dir = optarg;
        return true;
    case CONVERT_OPT_LAYERS:
        return set_layers(k);
    case OPT_FORCE:
    case OPT_PROGRESS:
    case OPT_JSON:
        return moving_option(&k->moving, opt);
    default:
        return making_option(&k->making, opt);
    }
}

static void run(struct converting *k, const char *source)
{
    rafs_call call = moving_call();
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    k->options.build = &k->making.options;
    k->options.platform = k->c->platform;
    k->options.progress = show_progress;
    k->options.progress_user = k;
    k->result.struct_size = sizeof k->result;
    moving_progress_begin(&k->moving);
    rc = rafs_convert(k->moving.from, k->moving.to, &k->options, &k->result, &call, &err);
    moving_progress_end(&k->moving);
    if (rc < 0)
        moving_failed(&k->moving, source, &err);
    else if (k->moving.json)
        put_json(k);
    else
        put_text(k);
}

int cmd_convert(int argc, char **argv)
{
    static const struct option longs[] = {
        COMMON_OPTIONS,
        MAKING_LAYER_OPTIONS,
        {"all-platforms", no_argument, NULL, CONVERT_OPT_ALL},
        {"referrer", no_argument, NULL, CONVERT_OPT_REFERRER},
        {"docker", no_argument, NULL, CONVERT_OPT_DOCKER},
        {"build-cache", required_argument, NULL, CONVERT_OPT_CACHE},
        {"layers", required_argument, NULL, CONVERT_OPT_LAYERS},
        {"force", no_argument, NULL, OPT_FORCE},
        {"progress", required_argument, NULL, OPT_PROGRESS},
        {"json", no_argument, NULL, OPT_JSON},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("convert", convert_help);
    struct converting k = {.c = &c, .options = RAFS_CONVERT_OPTIONS_INIT};
    bool good = making_begin(&k.making, &c);
    int opt;

    k.moving.c = &c;
    c.moves = true;
    while (good && (opt = command_getopt(&c, argc, argv, "", longs)) != -1)
        good = opt != OPT_STOP && take_option(&k, opt);
    if (good && argc - optind != 2)
        command_usage(&c, argc - optind > 2 ? "too many operands"
                                            : "SOURCE or TARGET is missing");
    else if (good && making_prepare(&k.making) &&
             moving_open_origin(&k.moving, argv[optind]) &&
             moving_open_target(&k.moving, argv[optind + 1]))
        run(&k, argv[optind]);
    moving_end(&k.moving);
    making_end(&k.making);
    return command_end(&c);
}
