/* SPDX-License-Identifier: Apache-2.0 */
/* A bootstrap and its blobs become an image in a target. */
#include <fcntl.h>
#include <unistd.h>

#include "api/pull.h"
#include "backend/backend.h"
#include "convert/convert.h"

struct pushing {
    rafs_target *to;
    rafs_push_options options;
    const rafs_call *call;
    int fd; /* of the bootstrap */
    struct push_image push;
    struct oci_content *contents; /* of the blob table */
    struct compose_blob *layers;
    size_t count;
    struct copy_counts counts;
};

void rafs_push_options_init(rafs_push_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static int take_options(const rafs_push_options *options, rafs_push_options *out,
                        rafs_error *err)
{
    int rc = rafsi_take_struct(options, out, sizeof(*out), "rafs_push_options", err);

    if (rc == RAFS_OK &&
        (out->flags & ~(uint32_t)(RAFS_PUSH_DOCKER | RAFS_PUSH_ARTIFACT)))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "rafs_push_options",
                        "flags 0x%x are not known", out->flags);
    if (rc == RAFS_OK && out->threads > COPY_THREADS_MAX)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_push_options",
                        "more than %d threads", COPY_THREADS_MAX);
    if (rc == RAFS_OK && (out->backend_count > RAFS_SOURCES_MAX ||
                          (out->backend_count > 0 && !out->backends)))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_push_options",
                        "backends is NULL, or there are more than %d", RAFS_SOURCES_MAX);
    if (rc == RAFS_OK && out->annotation_count > 0 && !out->annotations)
        rc = rafsi_fail_null(err, "annotations");
    if (rc == RAFS_OK && out->threads == 0)
        out->threads = COPY_THREADS;
    return rc;
}

static int read_bootstrap(void *user, uint64_t offset, void *buf, size_t len, size_t *got,
                          rafs_error *err)
{
    const struct pushing *p = user;

    return rafsi_file_read(p->fd, offset, buf, len, got, err);
}

/* What a blob has to be to be a layer of its own. */
static int take_blob(const rafs_image *image, uint32_t i, struct oci_content *out,
                     rafs_error *err)
{
    rafs_blob_info blob = {.struct_size = sizeof(blob)};
    int rc = rafs_image_get_blob(image, i, &blob, err);

    if (rc < 0)
        return rc;
    if (blob.features &
        (RAFS_BLOB_ZRAN | RAFS_BLOB_SEPARATE | RAFS_BLOB_TARFS | RAFS_BLOB_EXTERNAL))
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, blob.id,
                          "this blob belongs to layers of another image; rafs copy takes "
                          "such an image from a registry or layout");
    if (strlen(blob.id) != 64 || !rafsi_digest_parse(blob.id, 64, out->digest))
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, blob.id,
                          "the name of this blob is no SHA-256, so no layer can have it");
    out->size = UINT64_MAX;
    return RAFS_OK;
}

static int take_blobs(struct pushing *p, const rafs_image *image, uint32_t count,
                      rafs_error *err)
{
    const struct rafsi_env *env = &p->to->env;
    int rc = RAFS_OK;

    if (count == 0)
        return RAFS_OK;
    p->contents = rafsi_alloc_zero(env, count * sizeof(*p->contents));
    p->layers = rafsi_alloc_zero(env, count * sizeof(*p->layers));
    if (!p->contents || !p->layers)
        return rafsi_fail_nomem(err, count * sizeof(*p->contents));
    for (uint32_t i = 0; i < count && rc == RAFS_OK; i++)
        rc = take_blob(image, i, &p->contents[i], err);
    p->count = count;
    return rc;
}

/* Open the bootstrap as an image: so it is one, and says which blobs it has. */
static int take_bootstrap(struct pushing *p, const char *path, rafs_error *err)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_image *image = NULL;
    int rc = rafsi_file_open(AT_FDCWD, path, &p->fd, err);

    options.env = &p->to->env.set;
    options.name = "bootstrap";
    if (rc == RAFS_OK)
        rc = rafsi_file_size(p->fd, &p->push.size, err);
    if (rc == RAFS_OK)
        rc = rafs_image_open_fd(p->fd, 0, p->push.size, &options, &image, p->call, err);
    if (rc == RAFS_OK)
        rc = rafs_image_get_info(image, &info, err);
    if (rc == RAFS_OK && info.inlined)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, path,
                        "is a blob that carries its bootstrap; push the bootstrap");
    if (rc == RAFS_OK) {
        p->push.image.fs_version = info.version;
        rc = take_blobs(p, image, info.blob_count, err);
    }
    rafs_image_close(image);
    return rafsi_fail_object(err, rc, "%s", path);
}

static bool find_size(const struct pushing *p, rafs_backend *backend,
                      struct oci_content *blob)
{
    struct rafsi_blob_handle handle;
    char hex[65];
    bool good;

    rafsi_digest_hex(blob->digest, hex);
    if (rafsi_backend_open(backend, hex, p->call, &handle, NULL) < 0)
        return false;
    good = rafsi_backend_size(&handle, hex, p->call, &blob->size, NULL) == RAFS_OK;
    rafsi_backend_close(&handle);
    return good;
}

/* How long they are, for the progress; who is not there may be in the target. */
static void find_sizes(struct pushing *p)
{
    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < p->options.backend_count; k++)
            if (find_size(p, p->options.backends[k], &p->contents[i]))
                break;
}

static void tell(void *user, const struct copy_counts *counts)
{
    const struct pushing *p = user;
    rafs_copy_progress progress = {.struct_size = sizeof(progress),
                                   .blobs_total = counts->blobs_total,
                                   .blobs_done = counts->blobs_done,
                                   .bytes_total = counts->bytes_total,
                                   .bytes_done = counts->bytes_done};

    p->options.progress(p->options.progress_user, &progress);
}

/* Blobs into the target, and what they are there. */
static int send_blobs(struct pushing *p, rafs_error *err)
{
    struct copy_from from = {.sources = {.env = &p->to->env,
                                         .hashes = p->to->hashes,
                                         .at = p->options.backends,
                                         .count = p->options.backend_count}};
    int rc;

    find_sizes(p);
    rc = rafsi_copy_blobs(&from, p->to, p->contents, p->count, p->options.threads,
                          &p->counts, p->options.progress ? tell : NULL, p, p->call, err);
    for (size_t i = 0; i < p->count && rc == RAFS_OK; i++) {
        struct compose_blob *layer = &p->layers[i];

        memcpy(layer->digest, p->contents[i].digest, sizeof(layer->digest));
        layer->size = p->contents[i].size;
        if (layer->size == UINT64_MAX)
            rc = p->to->kind->has(p->to, layer->digest, &layer->size, p->call, err);
        if (rc == RAFS_OK && layer->size == UINT64_MAX)
            rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_FETCH, p->to->name,
                            "the registry does not say how long a blob is");
    }
    return rc;
}

static int describe(struct pushing *p, rafs_error *err)
{
    const rafs_push_options *options = &p->options;
    struct compose_image *image = &p->push.image;

    image->docker = options->flags & RAFS_PUSH_DOCKER;
    image->artifact = options->flags & RAFS_PUSH_ARTIFACT;
    image->config = options->config;
    image->config_len = options->config_len;
    image->subject = options->subject;
    image->subject_len = options->subject_len;
    image->annotations = options->annotations;
    image->annotation_count = options->annotation_count;
    p->push.read = read_bootstrap;
    p->push.user = p;
    p->push.tag = p->to->where.reference.tag;
    if (options->platform)
        return rafsi_oci_platform_parse(options->platform, &image->platform, err);
    rafsi_oci_platform_host(&image->platform);
    return RAFS_OK;
}

static void give(const struct pushing *p, const uint8_t *digest, rafs_copy_result *out)
{
    *out = (rafs_copy_result){.struct_size = sizeof(*out),
                              .manifests = 1,
                              .blobs = p->counts.blobs_total,
                              .blobs_there = p->counts.there,
                              .blobs_mounted = p->counts.mounted,
                              .blobs_sent = p->counts.sent,
                              .bytes_sent = p->counts.bytes_sent};
    memcpy(out->digest, digest, sizeof(out->digest));
}

static int push(struct pushing *p, const char *bootstrap, rafs_copy_result *made,
                rafs_error *err)
{
    uint8_t digest[OCI_DIGEST_BYTES];
    int rc = describe(p, err);

    if (rc == RAFS_OK)
        rc = take_bootstrap(p, bootstrap, err);
    if (rc == RAFS_OK) {
        p->push.image.blobs = p->layers;
        p->push.image.blob_count = p->count;
        rc = send_blobs(p, err);
    }
    if (rc == RAFS_OK)
        rc = rafsi_push_image(p->to, &p->push, digest, p->call, err);
    if (rc == RAFS_OK && p->to->kind->finish)
        rc = p->to->kind->finish(p->to, p->call, err);
    if (rc == RAFS_OK)
        give(p, digest, made);
    return rc;
}

int rafs_push(const char *bootstrap, rafs_target *to, const rafs_push_options *options,
              rafs_copy_result *result, const rafs_call *call, rafs_error *err)
{
    rafs_copy_result made = {.struct_size = sizeof(made)};
    struct pushing p = {.to = to, .fd = -1};
    rafs_call taken;
    int rc;

    if (!bootstrap || !to)
        return rafsi_fail_null(err, bootstrap ? "to" : "bootstrap");
    if (result && (result->struct_size < 4 || result->struct_size > 65536))
        return rafsi_give_struct(&made, sizeof(made), result, "rafs_copy_result", err);
    rc = take_options(options, &p.options, err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc < 0)
        return rc;
    p.call = &taken;
    rc = push(&p, bootstrap, &made, err);
    if (p.fd >= 0)
        close(p.fd);
    rafsi_free(&to->env, p.contents);
    rafsi_free(&to->env, p.layers);
    if (rc == RAFS_OK && result)
        rc = rafsi_give_struct(&made, sizeof(made), result, "rafs_copy_result", err);
    return rafsi_fail_object(err, rc, "%s", to->name);
}
