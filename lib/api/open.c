/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "api/open.h"

/* "sha256:HEX", "blake3:HEX" or "blob-sha256:HEX". */
static int parse_expected(const char *text, struct expected *out, rafs_error *err)
{
    static const struct {
        const char *prefix;
        uint32_t algorithm;
        bool whole_blob;
    } kinds[] = {{"sha256:", RAFS_DIGEST_SHA256, false},
                 {"blake3:", RAFS_DIGEST_BLAKE3, false},
                 {"blob-sha256:", RAFS_DIGEST_SHA256, true}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t len = strlen(kinds[i].prefix);

        if (strncmp(text, kinds[i].prefix, len) != 0)
            continue;
        if (!rafsi_digest_parse(text + len, strlen(text + len), out->digest) ||
            rafsi_all_zero(out->digest, sizeof(out->digest)))
            break;
        out->given = true;
        out->algorithm = kinds[i].algorithm;
        out->whole_blob = kinds[i].whole_blob;
        return RAFS_OK;
    }
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "expect_digest",
                      "is not sha256:HEX, blake3:HEX or blob-sha256:HEX with 64 digits");
}

int rafsi_wishes_take(const rafs_open_options *options, const rafs_call *call,
                      struct wishes *out, rafs_error *err)
{
    int rc = rafsi_take_struct(options, &out->options, sizeof(out->options),
                               "rafs_open_options", err);

    memset(&out->expected, 0, sizeof(out->expected));
    out->bound = false;
    out->base = NULL;
    if (rc == RAFS_OK && (out->options.flags & ~(uint32_t)RAFS_OPEN_TRACE) != 0)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "rafs_open_options",
                        "flags 0x%x are not known", out->options.flags);
    if (rc == RAFS_OK && out->options.backend_count > RAFS_SOURCES_MAX)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_open_options",
                        "more than %d backends", RAFS_SOURCES_MAX);
    if (rc == RAFS_OK && out->options.backend_count > 0 && !out->options.backends)
        rc = rafsi_fail_null(err, "backends");
    for (size_t i = 0; rc == RAFS_OK && i < out->options.backend_count; i++)
        if (!out->options.backends[i])
            rc = rafsi_fail_null(err, "one of backends");
    if (rc == RAFS_OK)
        rc = rafsi_env_take(out->options.env, &out->env, err);
    if (rc == RAFS_OK)
        rc = rafsi_take_struct(out->options.limits, &out->limits, sizeof(out->limits),
                               "rafs_limits", err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &out->call, err);
    if (rc == RAFS_OK && out->options.expect_digest)
        rc = parse_expected(out->options.expect_digest, &out->expected, err);
    rafsi_limits_fill(&out->limits);
    return rc;
}

/*
 * The id of a blob that carries its own bootstrap cannot be known when it is written:
 * builders put 64 letters 'x' in its place, and the name of the file tells.
 */
static bool is_placeholder(const char *id)
{
    return strspn(id, "x") == RAFS_BLOB_ID_MAX && id[RAFS_BLOB_ID_MAX] == '\0';
}

/* Part of a file name before the first '.', if it can be an id. */
static size_t stem_of(const char *name, const char **stem)
{
    const char *slash = strrchr(name, '/');
    size_t len;

    *stem = slash ? slash + 1 : name;
    len = strcspn(*stem, ".");
    return rafsi_check_blob_id((const uint8_t *)*stem, len, 0, NULL) == RAFS_OK ? len : 0;
}

static void name_blobs(struct rafsi_tree *tree, const char *name)
{
    const char *stem;
    size_t len = name ? stem_of(name, &stem) : 0;

    for (uint32_t i = 0; len > 0 && i < tree->super.blob_count; i++) {
        if (!is_placeholder(tree->blobs[i].id))
            continue;
        memset(tree->blobs[i].id, 0, sizeof(tree->blobs[i].id));
        memcpy(tree->blobs[i].id, stem, len);
    }
}

/* Which blob of another image it is. */
static bool same_blob(const struct rafsi_tree *base, const char *id, uint32_t *number)
{
    for (uint32_t i = 0; i < base->super.blob_count; i++)
        if (strcmp(base->blobs[i].id, id) == 0) {
            *number = i;
            return true;
        }
    return false;
}

/* An image on the blobs of another one: what the other one knows of their names, and of
 * which of them its carrier is, is not in the bytes. */
static int name_after(struct rafsi_tree *tree, const struct rafsi_tree *base,
                      rafs_error *err)
{
    for (uint32_t i = 0; i < tree->super.blob_count; i++) {
        struct blob_record *blob = &tree->blobs[i];
        uint32_t number = 0;

        if (is_placeholder(blob->id) && i < base->super.blob_count)
            memcpy(blob->id, base->blobs[i].id, sizeof(blob->id));
        if (!same_blob(base, blob->id, &number))
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_OPEN, "fd",
                              "was not written of this image, which has no blob %s",
                              blob->id);
        blob->features &= ~(uint32_t)RAFS_BLOB_INLINED_FS_META;
        blob->features |= base->blobs[number].features & RAFS_BLOB_INLINED_FS_META;
    }
    return RAFS_OK;
}

/* Tree and reader on top of a bootstrap, which is taken, as the carrier is. */
static int assemble(const struct wishes *wishes, struct boot *boot, rafs_image *image,
                    rafs_error *err)
{
    struct rafsi_sources sources = {.backends = wishes->options.backends,
                                    .count = wishes->options.backend_count,
                                    .carrier = boot->carrier,
                                    .cache = wishes->options.cache};
    int rc;

    rc = rafsi_tree_open(&image->env, boot->source, &wishes->limits, &image->tree, err);
    if (rc < 0)
        return rc;
    boot->source = NULL;
    if (wishes->base) {
        rafsi_reader_sources(wishes->base->reader, &sources);
        rc = name_after(image->tree, wishes->base->tree, err);
        if (rc < 0)
            return rc;
    }
    name_blobs(image->tree, wishes->options.name);
    rc = rafsi_reader_new(&image->env, image->tree, image->hashes, &sources,
                          &image->reader, err);
    if (rc < 0)
        return rc;
    if (!wishes->base)
        boot->carrier = NULL;
    if (image->tree->super.moved)
        rc = rafsi_reader_keep_apart(image->reader, &wishes->call, err);
    if (rc == RAFS_OK && wishes->options.flags & RAFS_OPEN_TRACE)
        rc = rafsi_trace_auto(image->reader, &wishes->call, err);
    if (rc < 0)
        return rc;
    image->cache = sources.cache;
    image->inlined = boot->inlined;
    image->pinned = wishes->expected.given || wishes->bound;
    return RAFS_OK;
}

int rafsi_image_make(const struct origin *origin, const struct wishes *wishes,
                     rafs_image **out, rafs_error *err)
{
    struct boot boot = {0};
    rafs_image *image = rafsi_alloc_zero(&wishes->env, sizeof(*image));
    int rc;

    if (!image)
        return rafsi_fail_nomem(err, sizeof(*image));
    image->env = wishes->env;
    rc = rafsi_hashes_new(&image->env, &image->hashes, err);
    if (rc < 0)
        goto out;
    rc = rafsi_boot_find(&image->env, origin, &wishes->limits, image->hashes,
                         &wishes->expected, &wishes->call, &boot, err);
    if (rc < 0)
        goto out;
    rc = assemble(wishes, &boot, image, err);
    if (rc < 0)
        goto out;
    *out = image;
    image = NULL;
out:
    rafsi_boot_drop(&boot);
    rafs_image_close(image);
    return rafsi_fail_object(err, rc, "bootstrap");
}

void rafs_open_options_init(rafs_open_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_image_open_path(const char *path, const rafs_open_options *options,
                         rafs_image **out, const rafs_call *call, rafs_error *err)
{
    struct wishes wishes;
    struct origin origin = {.fd = -1};
    int rc;

    if (!path || !out)
        return rafsi_fail_null(err, path ? "out" : "path");
    rc = rafsi_wishes_take(options, call, &wishes, err);
    if (rc < 0)
        return rc;
    if (!wishes.options.name)
        wishes.options.name = path;
    rc = rafsi_file_open(AT_FDCWD, path, &origin.fd, err);
    if (rc < 0) {
        /* To the caller a missing file is a source that failed, not a path in an image.
         */
        if (err && rc == RAFS_E_NOENT)
            err->code = RAFS_E_BACKEND;
        if (err)
            err->stage = RAFS_STAGE_OPEN;
        return rafsi_fail_object(err, rc == RAFS_E_NOENT ? RAFS_E_BACKEND : rc, "%s",
                                 path);
    }
    rc = rafsi_image_make(&origin, &wishes, out, err);
    close(origin.fd);
    return rc;
}

int rafs_image_open_fd(int32_t fd, uint64_t offset, uint64_t size,
                       const rafs_open_options *options, rafs_image **out,
                       const rafs_call *call, rafs_error *err)
{
    struct wishes wishes;
    struct origin origin = {.fd = fd, .offset = offset, .size = size};
    int rc;

    if (!out)
        return rafsi_fail_null(err, "out");
    rc = rafsi_wishes_take(options, call, &wishes, err);
    return rc < 0 ? rc : rafsi_image_make(&origin, &wishes, out, err);
}

int rafs_image_open_memory(const void *data, size_t size,
                           const rafs_open_options *options, rafs_image **out,
                           const rafs_call *call, rafs_error *err)
{
    struct wishes wishes;
    struct origin origin = {.fd = -1, .memory = data, .size = size};
    int rc;

    if (!out || !data)
        return rafsi_fail_null(err, out ? "data" : "out");
    rc = rafsi_wishes_take(options, call, &wishes, err);
    return rc < 0 ? rc : rafsi_image_make(&origin, &wishes, out, err);
}

void rafs_image_close(rafs_image *image)
{
    if (!image)
        return;
    rafsi_reader_free(image->reader);
    rafsi_tree_close(image->tree);
    rafsi_hashes_free(image->hashes);
    for (size_t i = 0; i < image->own_count; i++)
        rafs_backend_free(image->own_backends[i]);
    rafsi_free(&image->env, image->own_bootstrap);
    rafsi_free(&image->env, image);
}
