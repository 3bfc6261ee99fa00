/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder's public face: options out of bounds and in, entries of every kind at every
 * path. Built twice, by one thread and by three. What is refused is refused alike; what
 * is made is the same, opens, checks, and each file is the one that its time says.
 *
 * Input: 16 bytes of options, then entries: kind, tag, length of the path, path.
 */
#include <stdio.h>

#include "fuzz.h"
#include "made.h"

#include <sys/stat.h>

enum { ENTRIES_MAX = 200, PATH_BYTES = 40 };

static const char alphabet[] = "abcd///..w.h-\xff\n";

/* Mostly sizes that are allowed, now and then none of them. */
static uint32_t size_of(uint64_t byte)
{
    return byte < 200 ? byte % 3 == 0 ? 0 : 4096u << byte % 13 : (uint32_t)(byte * 4095);
}

static void take_options(struct input *in, rafs_build_options *options)
{
    rafs_build_options_init(options);
    options->flags = (uint32_t)input_number(in, 2) &
                     ~(uint32_t)(RAFS_BUILD_MTIME_MAX | RAFS_BUILD_MTIME_ALL);
    options->version = (uint32_t)(input_number(in, 1) % 9);
    options->version = options->version < 3 ? 0 : options->version;
    options->compressor = (uint32_t)(input_number(in, 1) % 5);
    options->level = (int32_t)(int8_t)input_number(in, 1) % 25;
    options->digest = (uint32_t)(input_number(in, 1) % 4);
    options->chunk_size = size_of(input_number(in, 1));
    options->batch_size = size_of(input_number(in, 1));
    options->dedup = (uint32_t)(input_number(in, 1) % 5);
    options->owner_uid = (uint32_t)input_number(in, 4);
}

static void take_path(struct input *in, char path[PATH_BYTES + 2])
{
    size_t len = input_number(in, 1) % PATH_BYTES, used = 0;

    for (size_t i = 0; i < len; i++)
        path[used++] = alphabet[input_number(in, 1) % (sizeof(alphabet) - 1)];
    path[used] = '\0';
}

static int add(rafs_builder *builder, struct input *in, rafs_error *err)
{
    static const uint32_t modes[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
                                     S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK,
                                     S_IFCHR, S_IFBLK, 0,       07777777};
    char path[PATH_BYTES + 2], other[PATH_BYTES + 2];
    rafs_build_entry entry = {.struct_size = sizeof(entry)};
    rafs_build_xattr xattr = {.name = "user.x", .value = "value", .size = 5};
    struct tagged tagged = {.fail_at = UINT64_MAX};
    uint64_t kind = input_number(in, 1);

    if (kind % 16 == 15)
        return rafs_builder_next_layer(builder, NULL, err);
    tagged.tag = 1 + input_number(in, 1);
    take_path(in, path);
    entry.path = path;
    entry.mode = modes[kind % 12] | (kind % 12 < 10 ? 0644u : 0);
    entry.uid = (uint32_t)tagged.tag;
    entry.mtime_sec = (int64_t)tagged.tag;
    entry.mtime_nsec = kind == 200 ? 1000000000u : (uint32_t)kind;
    if (kind % 16 == 14) {
        take_path(in, other);
        entry.hardlink = other;
    }
    if (S_ISLNK(entry.mode))
        entry.target = kind > 128 ? "target" : path;
    if (S_ISREG(entry.mode)) {
        entry.size = tagged_size(tagged.tag);
        entry.read = tagged_read;
        entry.user = &tagged;
    }
    if (kind > 100) {
        entry.xattrs = &xattr;
        entry.xattr_count = 1;
        if (kind > 240)
            xattr.name = kind > 250 ? "" : kind > 245 ? "user." : "odd.x";
    }
    return rafs_builder_add_entry(builder, &entry, NULL, err);
}

static int build(struct made *made, struct input in, uint32_t threads, rafs_error *err)
{
    rafs_build_result result = {.struct_size = sizeof(result)};
    rafs_build_options options;
    rafs_builder *builder = NULL;
    int rc;

    take_options(&in, &options);
    options.threads = threads;
    rc = rafs_builder_new(&options, made->sink, NULL, &builder, err);
    for (int i = 0; rc == RAFS_OK && in.left > 0 && i < ENTRIES_MAX; i++)
        rc = add(builder, &in, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_finish(builder, &result, NULL, err);
    rafs_builder_free(builder);
    return rc;
}

static void look(struct made *made)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    int rc = made_open(made, NULL, &image, &err);

    if (rc == RAFS_OK) {
        rc = made_check(image, &err);
        tagged_verify(image);
        rafs_image_close(image);
    }
    if (rc != RAFS_OK)
        fprintf(stderr, "%s: %s, at %llu: %s\n", rafs_error_name(err.code), err.object,
                (unsigned long long)err.offset, err.text);
    MUST(rc == RAFS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct made one, three;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    made_init(&one, NULL);
    made_init(&three, NULL);
    rc = build(&one, (struct input){data, size}, 1, &err);
    MUST(rc <= RAFS_OK && rc != RAFS_E_BUG && rc != RAFS_E_BACKEND && rc != RAFS_E_NOMEM);
    MUST(rc == RAFS_OK || err.code == rc);
    MUST(build(&three, (struct input){data, size}, 3, NULL) == rc);
    MUST((made_bootstrap(&one) != NULL) == (rc == RAFS_OK));
    if (rc == RAFS_OK) {
        MUST(one.count == three.count);
        for (size_t i = 0; i < one.count; i++)
            MUST(strcmp(one.objects[i].name, three.objects[i].name) == 0);
        look(&one);
    }
    made_drop(&one);
    made_drop(&three);
    return 0;
}
