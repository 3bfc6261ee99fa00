/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "command.h"

static const char chunks_help[] =
    "Usage: rafs chunks [OPTION]... IMAGE PATH\n"
    "Show where the bytes of a file lie: its chunks and holes, in order.\n"
    "\n"
    "  --json               one JSON object a line\n"
    "\n"
    "Columns: offset in the file, length, blob number, chunk number, offset and length "
    "in\n"
    "the blob file, offset among the blob's chunks, digest; `batch N` after them says "
    "that\n"
    "the chunk begins at byte N of a batch, whose place is shown.\n";

static void put_json(struct json *j, const rafs_extent *e)
{
    bool hole = (e->flags & RAFS_EXTENT_HOLE) != 0;

    json_open(j, '{');
    if (e->flags & RAFS_EXTENT_BATCH) {
        json_key(j, "batch_offset");
        json_u64(j, e->batch_offset);
    }
    if (!hole) {
        json_key(j, "blob");
        json_u64(j, e->blob);
        json_key(j, "chunk");
        json_u64(j, e->chunk);
        json_key(j, "compressed");
        json_bool(j, (e->flags & RAFS_EXTENT_COMPRESSED) != 0);
        json_key(j, "compressed_offset");
        json_u64(j, e->compressed_offset);
        json_key(j, "compressed_size");
        json_u64(j, e->compressed_size);
        json_key(j, "digest");
        json_hex(j, e->digest, sizeof e->digest);
        json_key(j, "digest_algorithm");
        json_text(j, rafs_digest_name(e->digest_algorithm));
    }
    json_key(j, "hole");
    json_bool(j, hole);
    json_key(j, "length");
    json_u64(j, e->length);
    json_key(j, "offset");
    json_u64(j, e->file_offset);
    if (!hole) {
        json_key(j, "uncompressed_offset");
        json_u64(j, e->uncompressed_offset);
    }
    json_close(j, '}');
    json_newline(j);
}

static void put_text(const rafs_extent *e)
{
    printf("%12" PRIu64 " %9" PRIu64 " ", e->file_offset, e->length);
    if (e->flags & RAFS_EXTENT_HOLE) {
        puts("hole");
        return;
    }
    printf("%4" PRIu32 " %7" PRIu32 " %12" PRIu64 " %9" PRIu32 " %12" PRIu64 " %s:",
           e->blob, e->chunk, e->compressed_offset, e->compressed_size,
           e->uncompressed_offset, rafs_digest_name(e->digest_algorithm));
    put_hex(stdout, e->digest, sizeof e->digest);
    if (e->flags & RAFS_EXTENT_BATCH)
        printf(" batch %" PRIu32, e->batch_offset);
    putchar('\n');
}

static void show(struct command *c, const char *path, bool json)
{
    rafs_extent extents[64];
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = 0, offset = 0;
    size_t count = 0;
    struct json j;

    json_begin(&j, stdout);
    if (rafs_image_resolve(c->image, path, 0, &ino, &err) < 0) {
        command_failed(c, path, &err);
        return;
    }
    while (!command_interrupted(c) && !command_output_failed()) {
        if (rafs_image_get_extents(c->image, ino, offset, extents,
                                   sizeof extents / sizeof *extents, &count,
                                   command_call(c), &err) < 0) {
            command_failed(c, path, &err);
            return;
        }
        if (count == 0)
            return;
        for (size_t i = 0; i < count; i++) {
            if (json)
                put_json(&j, &extents[i]);
            else
                put_text(&extents[i]);
        }
        offset = extents[count - 1].file_offset + extents[count - 1].length;
    }
}

int cmd_chunks(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN };
    static const struct option longs[] = {
        COMMON_OPTIONS, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("chunks", chunks_help);
    bool json = false;
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&c);
        json = true;
    }
    if (argc - optind != 2)
        command_usage(&c, argc == optind       ? "IMAGE is missing"
                          : argc - optind == 1 ? "PATH is missing"
                                               : "too many operands");
    else if (command_open(&c, argv[optind]))
        show(&c, argv[optind + 1], json);
    return command_end(&c);
}
