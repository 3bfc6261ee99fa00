/* SPDX-License-Identifier: Apache-2.0 */
/* rafs pull: all of an image into the cache. */
#include "fetching.h"

#include <inttypes.h>
#include <stdlib.h>

static const char pull_help[] =
    "Usage: rafs pull [OPTION]... IMAGE\n"
    "Fetch all of IMAGE into the cache, so that it can be read without its source: with "
    "a\n"
    "reference by digest not even the registry is asked. What is there already is not\n"
    "fetched again, so an interrupted pull goes on where it was.\n"
    "\n"
    "  --dry-run            fetch nothing; say what is missing\n"
    "  --bandwidth SIZE     at most so many bytes a second (K, M, G, T)\n"
    "  --progress FORM      auto (a bar on a terminal), plain, json or none\n"
    "  --json               the summary as JSON\n"
    "\n"
    "Exit status 3 also if something could not be kept, such as on a full disk.\n"
    "\n"
    "Example:\n"
    "  rafs pull docker://registry.example.org/app@sha256:HEX\n";

static void put_blob(struct json *j, const char *id, const rafs_missing *missing)
{
    char size[32];

    if (!j) {
        printf("%s: %" PRIu64 " of %" PRIu64 " chunks missing, %s\n", id,
               missing->chunks_missing, missing->chunks,
               human_bytes(missing->bytes_missing, size, sizeof size));
        return;
    }
    json_open(j, '{');
    json_key(j, "blob");
    json_text(j, id);
    json_key(j, "bytes");
    json_u64(j, missing->bytes);
    json_key(j, "bytes_missing");
    json_u64(j, missing->bytes_missing);
    json_key(j, "chunks");
    json_u64(j, missing->chunks);
    json_key(j, "chunks_missing");
    json_u64(j, missing->chunks_missing);
    json_close(j, '}');
    json_newline(j);
}

static void dry_run(struct command *c, bool as_json)
{
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_missing *missing = NULL;
    struct json j;
    int rc = rafs_image_get_info(c->image, &info, &err);

    if (rc == RAFS_OK) {
        missing = calloc(info.blob_count + 1u, sizeof *missing);
        if (!missing) {
            command_say(c, EXIT_SOURCE, "out of memory");
            return;
        }
        for (uint32_t i = 0; i < info.blob_count; i++)
            missing[i].struct_size = sizeof *missing;
        rc = rafs_image_get_missing(c->image, missing, info.blob_count, command_call(c),
                                    &err);
    }
    json_begin(&j, stdout);
    for (uint32_t i = 0; rc == RAFS_OK && i < info.blob_count; i++) {
        rafs_blob_info blob = {.struct_size = sizeof blob};

        rc = rafs_image_get_blob(c->image, i, &blob, &err);
        if (rc == RAFS_OK && missing[i].chunks > 0)
            put_blob(as_json ? &j : NULL, blob.id, &missing[i]);
    }
    if (rc < 0)
        command_failed(c, c->image_path, &err);
    free(missing);
}

int cmd_pull(int argc, char **argv)
{
    enum { OPT_DRY_RUN = OPT_OWN, OPT_BANDWIDTH, OPT_PROGRESS, OPT_JSON };
    static const struct option longs[] = {
        COMMON_OPTIONS,
        {"dry-run", no_argument, NULL, OPT_DRY_RUN},
        {"bandwidth", required_argument, NULL, OPT_BANDWIDTH},
        {"progress", required_argument, NULL, OPT_PROGRESS},
        {"json", no_argument, NULL, OPT_JSON},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("pull", pull_help);
    struct fetching f = {.c = &c, .options = RAFS_PREFETCH_OPTIONS_INIT};
    bool only_look = false;
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP ||
            (opt == OPT_BANDWIDTH && !fetching_bandwidth(&f, optarg)) ||
            (opt == OPT_PROGRESS && !progress_form_of(&c, optarg, &f.form)))
            return command_end(&c);
        only_look = only_look || opt == OPT_DRY_RUN;
        f.json = f.json || opt == OPT_JSON;
    }
    c.all = true;
    if (argc - optind != 1) {
        command_usage(&c, argc == optind ? "IMAGE is missing" : "too many operands");
    } else if (cache_open_for(&c, true) && !c.cache) {
        command_usage(&c, "there is no cache to pull into; name one with --cache-dir");
    } else if (c.cache && command_open(&c, argv[optind])) {
        if (only_look)
            dry_run(&c, f.json);
        else
            fetching_run(&f);
    }
    return command_end(&c);
}
