/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "command.h"

static const char check_help[] =
    "Usage: rafs check [OPTION]... IMAGE\n"
    "Look at everything in IMAGE: metadata, digests of inodes, every chunk of every "
    "blob.\n"
    "Findings are printed as they come, one a line; the check goes on after each.\n"
    "\n"
    "  --metadata-only      leave the blobs alone\n"
    "  --json               one JSON object for each finding and one for the summary;\n"
    "                       progress as JSON lines on standard error\n"
    "\n"
    "--timeout is for the whole check here, and there is none unless it is given.\n";

struct checker {
    struct command *c;
    struct json j;
    bool json;
    struct progress progress;
};

static const char *kind_of(int code)
{
    switch (code) {
    case RAFS_E_CORRUPT:
        return "corrupt";
    case RAFS_E_BACKEND:
        return "unreadable";
    case RAFS_E_UNSUPPORTED:
        return "unsupported";
    case RAFS_E_LIMIT:
        return "over a limit";
    default:
        return "failed";
    }
}

static void put_json_finding(struct json *j, const rafs_error *finding)
{
    json_open(j, '{');
    json_key(j, "code");
    json_text(j, rafs_error_name(finding->code));
    json_key(j, "event");
    json_text(j, "finding");
    json_key(j, "object");
    json_text(j, finding->object);
    if (finding->has_offset) {
        json_key(j, "offset");
        json_u64(j, finding->offset);
    }
    if (finding->os_errno) {
        json_key(j, "os_errno");
        json_i64(j, finding->os_errno);
    }
    json_key(j, "text");
    json_text(j, finding->text);
    json_close(j, '}');
    json_newline(j);
}

static void on_finding(void *user, const rafs_error *finding)
{
    struct checker *k = user;
    int exit_code = exit_code_of(finding->code);

    progress_wipe();
    /* Nobody asked for a path: a name that is missing is the image's fault. */
    outcome_note(&k->c->outcome, exit_code == EXIT_NO_PATH ? EXIT_CORRUPT : exit_code);
    if (k->json) {
        put_json_finding(&k->j, finding);
    } else {
        printf("%s: ", kind_of(finding->code));
        put_safe(stdout, finding->object);
        if (finding->has_offset)
            printf(" at byte %" PRIu64, finding->offset);
        fputs(": ", stdout);
        put_safe(stdout, finding->text);
        putchar('\n');
    }
    fflush(stdout);
}

static void on_progress(void *user, const rafs_check_progress *p)
{
    struct checker *k = user;

    bool chunks = p->chunks_done < p->chunks_total;

    k->progress.unit = chunks ? "chunks" : "inodes";
    progress_step(&k->progress, chunks ? p->chunks_done : p->inodes_done,
                  chunks ? p->chunks_total : p->inodes_total, p->bytes_done);
}

static void put_json_summary(struct json *j, const rafs_check_result *result)
{
    json_open(j, '{');
    json_key(j, "bytes");
    json_u64(j, result->bytes);
    json_key(j, "chunks");
    json_u64(j, result->chunks);
    json_key(j, "complete");
    json_bool(j, result->complete != 0);
    json_key(j, "corrupt");
    json_u64(j, result->corrupt);
    json_key(j, "event");
    json_text(j, "summary");
    json_key(j, "inodes");
    json_u64(j, result->inodes);
    json_key(j, "other");
    json_u64(j, result->other);
    json_key(j, "unreadable");
    json_u64(j, result->unreadable);
    json_key(j, "unsupported");
    json_u64(j, result->unsupported);
    json_close(j, '}');
    json_newline(j);
}

static void put_summary(const rafs_check_result *result)
{
    uint64_t findings =
        result->corrupt + result->unreadable + result->unsupported + result->other;
    char size[32];

    printf("%s %" PRIu64 " inodes and %" PRIu64 " chunks (%s): ",
           result->complete ? "checked" : "stopped after", result->inodes, result->chunks,
           human_bytes(result->bytes, size, sizeof size));
    if (findings == 0) {
        puts(result->complete ? "nothing wrong found" : "nothing wrong so far");
        return;
    }
    printf("%" PRIu64 " corrupt, %" PRIu64 " unreadable, %" PRIu64
           " unsupported, %" PRIu64 " other\n",
           result->corrupt, result->unreadable, result->unsupported, result->other);
}

static void check(struct checker *k, bool metadata_only)
{
    rafs_check_options options = RAFS_CHECK_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof result};
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    options.flags = metadata_only ? RAFS_CHECK_METADATA_ONLY : 0;
    options.user = k;
    options.finding = on_finding;
    options.progress = on_progress;
    progress_begin(&k->progress, "inodes", k->json);
    rc = rafs_image_check(k->c->image, &options, &result, command_call(k->c), &err);
    progress_end(&k->progress);
    if (k->json)
        put_json_summary(&k->j, &result);
    else
        put_summary(&result);
    if (rc < 0)
        command_failed(k->c, k->c->image_path, &err);
}

int cmd_check(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_METADATA_ONLY };
    static const struct option longs[] = {
        COMMON_OPTIONS,
        {"json", no_argument, NULL, OPT_JSON},
        {"metadata-only", no_argument, NULL, OPT_METADATA_ONLY},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("check", check_help);
    struct checker k = {.c = &c};
    bool metadata_only = false;
    int opt;

    json_begin(&k.j, stdout);
    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&c);
        k.json = k.json || opt == OPT_JSON;
        metadata_only = metadata_only || opt == OPT_METADATA_ONLY;
    }
    if (argc - optind != 1)
        command_usage(&c, argc == optind ? "IMAGE is missing" : "too many operands");
    else {
        /* How long a whole image takes, nobody can guess beforehand. */
        bool opened = command_open(&c, argv[optind]);

        if (!c.timeout_given)
            c.timeout_ms = 0;
        if (opened)
            check(&k, metadata_only);
    }
    return command_end(&c);
}
