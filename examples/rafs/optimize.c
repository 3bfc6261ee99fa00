/* SPDX-License-Identifier: Apache-2.0 */
/* rafs optimize: put together what an earlier run read. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunk_files.h"

static const char optimize_help[] =
    "Usage: rafs optimize [OPTION]... --trace FILE -o DIR IMAGE\n"
    "Make an image of the same files that starts faster. The chunks that a trace names\n"
    "are stored again, in its order, in a blob of their own, so that a start gets them "
    "in\n"
    "a few large requests. All other chunks stay in the blobs of IMAGE, which are not\n"
    "copied. DIR/image.boot and DIR/blobs/ are written.\n"
    "\n"
    "  --trace FILE         what a run read, by --trace-record\n"
    "  -o, --output DIR     where the new image goes\n"
    "  --table              store nothing; list the files of the trace, in its order, "
    "in\n"
    "                       the image's prefetch table\n"
    "  --force              replace an image that is there\n"
    "  --no-sync            do not wait until the disk has it\n"
    "  --json               tell as one JSON object\n"
    "\n"
    "Example:\n"
    "  rafs cat --trace-record t.trace image.boot /bin/app /etc/app.conf > /dev/null\n"
    "  rafs optimize --trace t.trace -o fast image.boot\n";

struct optimize {
    struct command *c;
    const char *out, *trace_path;
    bool table, json;
    uint32_t sink_flags;
    char *bootstrap, *blob_dir;
    rafs_trace *trace;
    rafs_sink *sink;
    rafs_builder *builder;
    char **paths; /* of --table */
    size_t path_count;
};

/* A file of the trace, and when it was first used. */
struct used {
    uint64_t ino;
    uint32_t order;
    char *path;
};

static int by_ino(const void *a, const void *b)
{
    const struct used *x = a, *y = b;

    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_order(const void *a, const void *b)
{
    const struct used *x = a, *y = b;

    return x->order < y->order ? -1 : x->order > y->order;
}

/* The files of the trace, each once, sorted by inode. */
static struct used *files_of(const rafs_trace *trace, const struct chunk_files *files,
                             size_t *count)
{
    rafs_trace_info info = RAFS_TRACE_INFO_INIT;
    rafs_trace_event events[64];
    struct used *used;
    size_t got = 0, all = 0, kept = 0;

    if (rafs_trace_get_info(trace, &info, NULL) < 0)
        return NULL;
    used = calloc(info.events + 1u, sizeof *used);
    while (used && all < info.events &&
           rafs_trace_get_events(trace, (uint32_t)all, events, 64, &got, NULL) ==
               RAFS_OK &&
           got > 0)
        for (size_t i = 0; i < got; i++, all++) {
            chunk_files_name(files, &events[i]);
            used[all] = (struct used){events[i].ino, (uint32_t)all, NULL};
        }
    if (!used)
        return NULL;
    qsort(used, all, sizeof *used, by_ino);
    for (size_t i = 0; i < all; i++)
        if (i == 0 || used[i].ino != used[kept - 1].ino)
            used[kept++] = used[i];
    *count = kept;
    return used;
}

/* Their names, in one walk. */
static bool name_files(struct optimize *o, struct used *used, size_t count)
{
    const rafs_walk_entry *entry = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_walk *walk = NULL;
    int rc = rafs_walk_open(o->c->image, "/", 0, &walk, &err);

    while (rc == RAFS_OK && !command_interrupted(o->c)) {
        struct used key = {0}, *found;

        rc = rafs_walk_next(walk, &entry, &err);
        if (rc < 0 || !entry)
            break;
        key.ino = entry->ino;
        found = NULL;
        for (size_t low = 0, high = count; S_ISREG(entry->attr.mode) && low < high;) {
            size_t middle = low + (high - low) / 2;

            if (used[middle].ino == key.ino) {
                found = &used[middle];
                break;
            }
            if (used[middle].ino < key.ino)
                low = middle + 1;
            else
                high = middle;
        }
        if (found && !found->path)
            found->path = joined(entry->path, "");
    }
    rafs_walk_close(walk);
    if (rc < 0)
        command_failed(o->c, o->c->image_path, &err);
    return rc == RAFS_OK;
}

static bool list_files(struct optimize *o)
{
    size_t count = 0;
    struct chunk_files files;
    struct used *used;
    bool good = chunk_files_find(&files, o->c, o->trace);

    if (!good)
        return false;
    used = files_of(o->trace, &files, &count);
    chunk_files_free(&files);
    good = used && name_files(o, used, count);

    o->paths = good ? calloc(count + 1, sizeof *o->paths) : NULL;
    if (good && o->paths) {
        qsort(used, count, sizeof *used, by_order);
        for (size_t i = 0; i < count; i++)
            if (used[i].path)
                o->paths[o->path_count++] = used[i].path;
    } else {
        for (size_t i = 0; used && i < count; i++)
            free(used[i].path);
        if (!used || (good && !o->paths))
            command_say(o->c, EXIT_SOURCE, "out of memory");
    }
    free(used);
    return o->paths != NULL;
}

static bool options_like(struct optimize *o, rafs_build_options *options)
{
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_info(o->c->image, &info, &err) < 0) {
        command_failed(o->c, o->c->image_path, &err);
        return false;
    }
    rafs_build_options_init(options);
    options->version = info.version;
    options->chunk_size = info.chunk_size;
    options->digest =
        info.digest == RAFS_DIGEST_SHA256 ? RAFS_HASH_SHA256 : RAFS_HASH_BLAKE3;
    options->compressor = info.compressor == RAFS_COMPRESSOR_NONE ? RAFS_STORE_NONE
                          : info.compressor == RAFS_COMPRESSOR_LZ4_BLOCK
                              ? RAFS_STORE_LZ4
                              : RAFS_STORE_ZSTD;
    if (!(info.flags & RAFS_FLAG_EXPLICIT_UID_GID))
        options->flags |= RAFS_BUILD_NO_OWNERS;
    options->prefetch = (const char *const *)o->paths;
    options->prefetch_count = o->path_count;
    return true;
}

static void tell(struct optimize *o, const rafs_build_result *r)
{
    char size[32];
    struct json j;

    if (!o->json) {
        if (o->table)
            printf("%s: %zu files are listed\n", o->bootstrap, o->path_count);
        else
            printf("%s: %" PRIu64 " chunks are stored again, %s\n", o->bootstrap,
                   r->stored_chunks, human_bytes(r->stored_bytes, size, sizeof size));
        return;
    }
    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "blobs");
    json_u64(&j, r->blob_count);
    json_key(&j, "bootstrap");
    json_bytes(&j, o->bootstrap, strlen(o->bootstrap));
    json_key(&j, "bootstrap_sha256");
    json_hex(&j, r->bootstrap_sha256, sizeof r->bootstrap_sha256);
    json_key(&j, "listed");
    json_u64(&j, o->path_count);
    json_key(&j, "stored_bytes");
    json_u64(&j, r->stored_bytes);
    json_key(&j, "stored_chunks");
    json_u64(&j, r->stored_chunks);
    json_close(&j, '}');
    json_newline(&j);
}

static int build(struct optimize *o, rafs_build_options *options, rafs_error *err)
{
    rafs_build_result result = {.struct_size = sizeof result};
    rafs_env env = RAFS_ENV_INIT;
    int rc;

    command_env(&env);
    rc = rafs_sink_new_directory(o->bootstrap, o->table ? NULL : o->blob_dir,
                                 o->sink_flags, &env, &o->sink, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_new(options, o->sink, &env, &o->builder, err);
    if (rc == RAFS_OK && o->table)
        rc = rafs_builder_add_image(o->builder, o->c->image, NULL, NULL, err);
    else if (rc == RAFS_OK)
        rc = rafs_builder_add_optimized(o->builder, o->c->image, o->trace, NULL, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_finish(o->builder, &result, NULL, err);
    if (rc == RAFS_OK)
        tell(o, &result);
    return rc;
}

static void optimize(struct optimize *o)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_build_options options;

    o->bootstrap = joined(o->out, "/image.boot");
    o->blob_dir = joined(o->out, "/blobs");
    if (!o->bootstrap || !o->blob_dir) {
        command_say(o->c, EXIT_SOURCE, "out of memory");
        return;
    }
    if (rafs_trace_load_path(o->trace_path, NULL, &o->trace, &err) < 0) {
        err.object[0] = '\0';
        command_failed(o->c, o->trace_path, &err);
        o->c->outcome.code = err.code == RAFS_E_NOENT ? EXIT_SOURCE : o->c->outcome.code;
        return;
    }
    if ((o->table && !list_files(o)) || !options_like(o, &options))
        return;
    if (build(o, &options, &err) == RAFS_OK)
        return;
    if (err.os_errno == EEXIST) {
        command_say(o->c, EXIT_USAGE, "%s is there already; --force replaces it",
                    o->bootstrap);
        return;
    }
    command_failed(o->c, NULL, &err);
    if (o->c->outcome.code == EXIT_NO_PATH) /* it is no wrong path in the image */
        o->c->outcome.code = EXIT_UNSUPPORTED;
}

static void drop(struct optimize *o)
{
    rafs_builder_free(o->builder);
    rafs_sink_free(o->sink);
    rafs_trace_free(o->trace);
    for (size_t i = 0; i < o->path_count; i++)
        free(o->paths[i]);
    free(o->paths);
    free(o->bootstrap);
    free(o->blob_dir);
}

int cmd_optimize(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_TRACE, OPT_TABLE, OPT_FORCE, OPT_NO_SYNC };
    static const struct option longs[] = {COMMON_OPTIONS,
                                          {"json", no_argument, NULL, OPT_JSON},
                                          {"trace", required_argument, NULL, OPT_TRACE},
                                          {"table", no_argument, NULL, OPT_TABLE},
                                          {"output", required_argument, NULL, 'o'},
                                          {"force", no_argument, NULL, OPT_FORCE},
                                          {"no-sync", no_argument, NULL, OPT_NO_SYNC},
                                          {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("optimize", optimize_help);
    struct optimize o = {.c = &c};
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "o:", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&c);
        o.json = o.json || opt == OPT_JSON;
        o.table = o.table || opt == OPT_TABLE;
        o.out = opt == 'o' ? optarg : o.out;
        o.trace_path = opt == OPT_TRACE ? optarg : o.trace_path;
        o.sink_flags |= opt == OPT_FORCE     ? RAFS_SINK_REPLACE
                        : opt == OPT_NO_SYNC ? RAFS_SINK_NO_SYNC
                                             : 0u;
    }
    if (argc - optind != 1)
        command_usage(&c, argc == optind ? "IMAGE is missing" : "too many operands");
    else if (!o.out || !o.trace_path)
        command_usage(&c, o.out ? "what was read? --trace FILE" : "where to? -o DIR");
    else if (command_open(&c, argv[optind]))
        optimize(&o);
    drop(&o);
    return command_end(&c);
}
