/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "command.h"

static const char info_help[] =
    "Usage: rafs info [OPTION]... IMAGE\n"
    "Show what IMAGE is: version, flags, chunk size, blobs, prefetch list.\n"
    "\n"
    "  --json               one JSON object, with every blob and prefetch entry\n"
    "\n"
    "The numbers are what the bootstrap says; rafs check looks whether they are true.\n";

struct bit {
    uint32_t bit;
    const char *name;
};

static const struct bit image_flags[] = {
    {RAFS_FLAG_EXPLICIT_UID_GID, "explicit-uid-gid"},
    {RAFS_FLAG_HAS_XATTR, "xattr"},
    {RAFS_FLAG_INLINED_CHUNK_DIGEST, "inlined-chunk-digest"},
    {RAFS_FLAG_TARFS, "tarfs"},
};

static const struct bit blob_features[] = {
    {RAFS_BLOB_ALIGNED, "aligned"},
    {RAFS_BLOB_INLINED_FS_META, "inlined-fs-meta"},
    {RAFS_BLOB_CHUNK_INFO_V2, "chunk-info-v2"},
    {RAFS_BLOB_ZRAN, "zran"},
    {RAFS_BLOB_SEPARATE, "separate"},
    {RAFS_BLOB_INLINED_CHUNK_DIGEST, "inlined-chunk-digest"},
    {RAFS_BLOB_TARFS, "tarfs"},
    {RAFS_BLOB_BATCH, "batch"},
    {RAFS_BLOB_ENCRYPTED, "encrypted"},
    {RAFS_BLOB_CHUNKDICT, "chunkdict"},
    {RAFS_BLOB_PREFETCH, "prefetch"},
    {RAFS_BLOB_EXTERNAL, "external"},
    {RAFS_BLOB_HAS_TAR_HEADER, "tar-header"},
    {RAFS_BLOB_HAS_TOC, "toc"},
    {RAFS_BLOB_CAP_TAR_TOC, "cap-tar-toc"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *compressor_name(uint32_t compressor)
{
    static const char *const names[] = {"none", "lz4_block", "gzip", "zstd"};

    return compressor < COUNT(names) ? names[compressor] : "?";
}

static void json_bits(struct json *j, const char *key, uint64_t value,
                      const struct bit *bits, size_t count)
{
    json_key(j, key);
    json_open(j, '[');
    for (size_t i = 0; i < count; i++) {
        if (value & bits[i].bit)
            json_text(j, bits[i].name);
    }
    json_close(j, ']');
}

static void put_bits(uint64_t value, const struct bit *bits, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        if (value & bits[i].bit) {
            printf(any ? " %s" : "%s", bits[i].name);
            any = true;
        }
    }
    puts(any ? "" : "none");
}

static void json_blob(struct json *j, const rafs_blob_info *blob)
{
    json_open(j, '{');
    json_key(j, "chunks");
    json_u64(j, blob->chunk_count);
    json_key(j, "compressed_size");
    json_u64(j, blob->compressed_size);
    json_key(j, "compressor");
    json_text(j, compressor_name(blob->compressor));
    json_key(j, "digest");
    json_text(j, rafs_digest_name(blob->digest));
    json_bits(j, "feature_names", blob->features, blob_features, COUNT(blob_features));
    json_key(j, "features");
    json_u64(j, blob->features);
    json_key(j, "id");
    json_text(j, blob->id);
    json_key(j, "index");
    json_u64(j, blob->index);
    json_key(j, "prefetch_size");
    json_u64(j, blob->prefetch_size);
    json_key(j, "uncompressed_size");
    json_u64(j, blob->uncompressed_size);
    json_close(j, '}');
}

static void json_blobs(struct command *c, struct json *j, const rafs_image_info *info)
{
    json_key(j, "blobs");
    json_open(j, '[');
    for (uint32_t i = 0; i < info->blob_count; i++) {
        rafs_blob_info blob = {.struct_size = sizeof blob};
        rafs_error err = RAFS_ERROR_INIT;

        if (rafs_image_get_blob(c->image, i, &blob, &err) < 0)
            command_failed(c, c->image_path, &err);
        else
            json_blob(j, &blob);
    }
    json_close(j, ']');
}

static void json_prefetch(struct command *c, struct json *j)
{
    uint32_t first = 0;

    json_key(j, "prefetch");
    json_open(j, '[');
    for (;;) {
        uint64_t inos[256];
        size_t count = 0;
        rafs_error err = RAFS_ERROR_INIT;

        if (rafs_image_get_prefetch(c->image, first, inos, COUNT(inos), &count, &err) < 0)
            command_failed(c, c->image_path, &err);
        for (size_t i = 0; i < count; i++)
            json_u64(j, inos[i]);
        if (count == 0 || command_output_failed() || command_interrupted(c))
            break;
        first += (uint32_t)count;
    }
    json_close(j, ']');
}

static void put_json(struct command *c, const rafs_image_info *info)
{
    struct json j;

    json_begin(&j, stdout);
    json_open(&j, '{');
    json_blobs(c, &j, info);
    json_key(&j, "block_size");
    json_u64(&j, info->block_size);
    json_key(&j, "bootstrap_bytes");
    json_u64(&j, info->bootstrap_bytes);
    json_key(&j, "chunk_size");
    json_u64(&j, info->chunk_size);
    json_key(&j, "compressor");
    json_text(&j, compressor_name(info->compressor));
    json_key(&j, "digest");
    json_text(&j, rafs_digest_name(info->digest));
    json_bits(&j, "flag_names", info->flags, image_flags, COUNT(image_flags));
    json_key(&j, "flags");
    json_u64(&j, info->flags);
    json_key(&j, "inlined");
    json_bool(&j, info->inlined != 0);
    json_key(&j, "inodes");
    json_u64(&j, info->inodes);
    json_key(&j, "pinned");
    json_bool(&j, info->pinned != 0);
    json_prefetch(c, &j);
    json_key(&j, "root");
    json_u64(&j, info->root);
    json_key(&j, "version");
    json_u64(&j, info->version);
    json_close(&j, '}');
    json_newline(&j);
}

static void put_blob(const rafs_blob_info *blob)
{
    char stored[32], raw[32];

    printf("blob %" PRIu32 ":     ", blob->index);
    put_safe(stdout, blob->id);
    printf("\n  stored:   %s (%" PRIu64 " bytes), %s, %s\n",
           human_bytes(blob->compressed_size, stored, sizeof stored),
           blob->compressed_size, compressor_name(blob->compressor),
           rafs_digest_name(blob->digest));
    printf("  holds:    %s (%" PRIu64 " bytes) in %" PRIu32 " chunks\n",
           human_bytes(blob->uncompressed_size, raw, sizeof raw), blob->uncompressed_size,
           blob->chunk_count);
    fputs("  features: ", stdout);
    put_bits(blob->features, blob_features, COUNT(blob_features));
}

static void put_text(struct command *c, const rafs_image_info *info)
{
    char size[32];

    printf("format:     RAFS v%" PRIu32 "%s\n", info->version,
           info->inlined ? ", bootstrap inside a blob" : "");
    printf("bootstrap:  %" PRIu64 " bytes, %s\n", info->bootstrap_bytes,
           info->pinned ? "matches the expected digest"
                        : "believed (no --expect-digest given)");
    fputs("flags:      ", stdout);
    put_bits(info->flags, image_flags, COUNT(image_flags));
    printf("inodes:     %" PRIu64 "\n", info->inodes);
    printf("chunk size: %s\n", human_bytes(info->chunk_size, size, sizeof size));
    printf("compressor: %s\n", compressor_name(info->compressor));
    printf("digest:     %s\n", rafs_digest_name(info->digest));
    printf("prefetch:   %" PRIu32 " entries\n", info->prefetch_count);
    printf("blobs:      %" PRIu32 "\n", info->blob_count);
    for (uint32_t i = 0; i < info->blob_count; i++) {
        rafs_blob_info blob = {.struct_size = sizeof blob};
        rafs_error err = RAFS_ERROR_INIT;

        if (rafs_image_get_blob(c->image, i, &blob, &err) < 0)
            command_failed(c, c->image_path, &err);
        else
            put_blob(&blob);
    }
}

int cmd_info(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN };
    static const struct option longs[] = {
        COMMON_OPTIONS, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("info", info_help);
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;
    bool json = false;
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return command_end(&c);
        json = true;
    }
    if (argc - optind != 1) {
        command_usage(&c, argc == optind ? "IMAGE is missing" : "too many operands");
        return command_end(&c);
    }
    if (!command_open(&c, argv[optind]))
        return command_end(&c);
    if (rafs_image_get_info(c.image, &info, &err) < 0)
        command_failed(&c, argv[optind], &err);
    else if (json)
        put_json(&c, &info);
    else
        put_text(&c, &info);
    return command_end(&c);
}
