/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image: its layers, several at once, each into a blob of the target; what they hold
 * merged into a bootstrap; config and manifest. The manifest comes last.
 */
#include "convert/convert.h"

#include <stdio.h>

#include "convert/jobs.h"

struct work {
    struct convert_job *job;
    const struct convert_source *source;
    struct oci_sources sources;
    struct convert_layer *layers; /* each distinct one, once */
    size_t count;
    const struct convert_layer **order; /* of the manifest */
};

static void moved(void *user, size_t len)
{
    struct convert_job *job = user;

    atomic_fetch_add(&job->bytes_done, len);
}

static void look(void *user)
{
    struct convert_job *job = ((struct work *)user)->job;
    rafs_convert_progress progress = {.struct_size = sizeof(progress),
                                      .layers_total = job->layers_total,
                                      .layers_done = atomic_load(&job->layers_done),
                                      .bytes_total = job->bytes_total,
                                      .bytes_done = atomic_load(&job->bytes_done)};

    if (job->options.progress)
        job->options.progress(job->options.progress_user, &progress);
}

static int make_layer(void *user, size_t i, const rafs_call *call, rafs_error *err)
{
    struct work *work = user;
    struct convert_job *job = work->job;
    struct layer_stream stream = {.moved = moved, .user = job};
    struct convert_layer *layer = &work->layers[i];
    int rc = job->reuse ? rafsi_reuse_find(job->reuse, layer, call, err) : RAFS_E_NOENT;

    if (rc == RAFS_OK) {
        moved(job, layer->from.size);
    } else if (rc == RAFS_E_NOENT) {
        rc = rafsi_convert_layer(&job->build, &work->sources, job->to, layer, &stream,
                                 call, err);
        if (rc == RAFS_OK && job->reuse)
            rafsi_reuse_add(job->reuse, layer);
    }
    if (rc == RAFS_OK)
        atomic_fetch_add(&job->layers_done, 1);
    return rc;
}

/* A layer may come twice, such as one without files. */
static struct convert_layer *find(struct work *work, const struct oci_descriptor *from)
{
    for (size_t i = 0; i < work->count; i++)
        if (memcmp(work->layers[i].from.digest, from->digest, OCI_DIGEST_BYTES) == 0)
            return &work->layers[i];
    return NULL;
}

static int begin(struct work *work, rafs_error *err)
{
    const struct oci_manifest *manifest = &work->source->manifest;
    const struct rafsi_env *env = &work->job->to->env;
    size_t count = manifest->layer_count;

    work->layers = rafsi_alloc_zero(env, (count + 1) * sizeof(*work->layers));
    work->order = rafsi_alloc_zero(env, (count + 1) * sizeof(*work->order));
    if (!work->layers || !work->order)
        return rafsi_fail_nomem(err, (count + 1) * sizeof(*work->layers));
    for (size_t i = 0; i < count; i++) {
        const struct oci_descriptor *from = &manifest->layers[i].blob;
        struct convert_layer *layer = find(work, from);

        if (!layer) {
            layer = &work->layers[work->count++];
            layer->from = *from;
            work->job->bytes_total += from->size;
        }
        work->order[i] = layer;
    }
    work->job->layers_total += work->count;
    return RAFS_OK;
}

static int make_layers(struct work *work, rafs_error *err)
{
    struct convert_job *job = work->job;
    struct jobs jobs = {.count = work->count,
                        .threads = job->options.threads,
                        .run = make_layer,
                        .look = look,
                        .user = work};

    return rafsi_jobs_run(&job->to->env, &jobs, job->call, err);
}

/* Blobs of others are layers too, else nothing would keep them in the repository. */
static int list_blobs(const struct work *work, const struct convert_merged *merged,
                      struct compose_blob *out, size_t *count, rafs_error *err)
{
    rafs_target *to = work->job->to;
    size_t layers = work->source->manifest.layer_count;
    char hex[65];

    for (*count = 0; *count < layers; ++*count)
        out[*count] = work->order[*count]->blob;
    for (size_t i = 0; i < merged->other_count; i++) {
        struct compose_blob *blob = &out[*count];
        int rc;

        memcpy(blob->digest, merged->others[i], sizeof(blob->digest));
        rafsi_digest_hex(blob->digest, hex);
        rc = to->kind->has(to, blob->digest, &blob->size, work->job->call, err);
        if (rc == RAFS_E_NOENT || (rc == RAFS_OK && blob->size == UINT64_MAX))
            return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, hex,
                              "a dictionary's blob is not where the image goes to; copy "
                              "the image that it is of there before (rafs copy)");
        if (rc < 0)
            return rc;
        ++*count;
    }
    return RAFS_OK;
}

static int read_memory(void *user, uint64_t offset, void *buf, size_t len, size_t *got,
                       rafs_error *err)
{
    const struct convert_merged *merged = user;

    (void)err;
    *got = (size_t)rafsi_min(len, merged->boot_len - offset);
    memcpy(buf, merged->boot + offset, *got);
    return RAFS_OK;
}

static int subject_text(const struct convert_source *source, char *out, size_t room)
{
    char digest[OCI_DIGEST_TEXT];
    const char *docker =
        strstr((const char *)source->manifest.config.media_type, "vnd.docker.");

    rafsi_oci_digest_text(source->document.digest, digest);
    return snprintf(out, room, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}",
                    docker ? "application/vnd.docker.distribution.manifest.v2+json"
                           : "application/vnd.oci.image.manifest.v1+json",
                    digest, source->document.len);
}

static int put_image(const struct work *work, struct convert_merged *merged,
                     const struct compose_blob *blobs, size_t blob_count,
                     const struct oci_document *config, const char *tag,
                     struct compose_entry *made, rafs_error *err)
{
    const struct convert_job *job = work->job;
    const struct convert_source *source = work->source;
    bool referrer = job->options.flags & RAFS_CONVERT_REFERRER;
    char subject[256];
    struct push_image push = {
        .image = {.blobs = blobs,
                  .blob_count = blob_count,
                  .fs_version = job->build.options.version,
                  .docker = (job->options.flags & RAFS_CONVERT_DOCKER) != 0,
                  .artifact = referrer,
                  .config = (const char *)config->bytes,
                  .config_len = config->len,
                  .subject = referrer ? subject : NULL},
        .read = read_memory,
        .user = merged,
        .size = merged->boot_len,
        .tag = tag};
    int rc;

    push.image.subject_len = (size_t)subject_text(source, subject, sizeof(subject));
    rc =
        rafsi_oci_annotations(&job->to->env, source->document.bytes, source->document.len,
                              &push.image.annotations, &push.image.annotation_count, err);
    if (rc == RAFS_OK)
        rc = rafsi_push_image(job->to, &push, made->digest, job->call, err);
    if (rc == RAFS_OK)
        made->size = push.manifest_size;
    rafsi_free(&job->to->env, (void *)(uintptr_t)push.image.annotations);
    return rc;
}

static int finish(const struct work *work, const char *tag, struct compose_entry *made,
                  rafs_error *err)
{
    struct convert_job *job = work->job;
    const struct rafsi_env *env = &job->to->env;
    size_t layers = work->source->manifest.layer_count;
    struct convert_merged merged = {.boot = NULL};
    struct oci_document config = {0};
    struct compose_blob *blobs = NULL;
    size_t count = 0;
    int rc = rafsi_convert_merge(&job->build, env, work->order, layers, &merged,
                                 job->call, err);

    if (rc == RAFS_OK)
        rc = rafsi_origin_blob(job->from, work->source->manifest.config.digest,
                               OCI_JSON_MAX, &config, job->call, err);
    if (rc == RAFS_OK) {
        blobs = rafsi_alloc_zero(env, (layers + merged.other_count + 1) * sizeof(*blobs));
        rc = blobs
                 ? list_blobs(work, &merged, blobs, &count, err)
                 : rafsi_fail_nomem(err, (layers + merged.other_count) * sizeof(*blobs));
    }
    if (rc == RAFS_OK)
        rc = put_image(work, &merged, blobs, count, &config, tag, made, err);
    rafsi_free(env, blobs);
    rafsi_document_drop(rafsi_origin_env(job->from), &config);
    rafsi_convert_merged_drop(env, &merged);
    return rc;
}

static void sum_up(const struct work *work)
{
    rafs_convert_result *made = &work->job->made;

    made->images++;
    made->layers += work->source->manifest.layer_count;
    for (size_t i = 0; i < work->count; i++) {
        const struct convert_layer *layer = &work->layers[i];

        made->layers_reused += layer->reused;
        made->source_bytes += layer->reused ? 0 : layer->from.size;
        made->blob_bytes += layer->blob.size;
        made->built_bytes += layer->reused ? 0 : layer->blob.size;
        made->file_bytes += layer->reused ? 0 : layer->file_bytes;
        made->skipped += layer->skipped;
    }
}

int rafsi_convert_image(struct convert_job *job, const struct convert_source *source,
                        const char *tag, struct compose_entry *made, rafs_error *err)
{
    struct work work = {
        .job = job, .source = source, .sources = rafsi_origin_sources(job->from)};
    int rc = begin(&work, err);

    if (rc == RAFS_OK)
        rc = make_layers(&work, err);
    if (rc == RAFS_OK)
        rc = finish(&work, tag, made, err);
    if (rc == RAFS_OK)
        sum_up(&work);
    for (size_t i = 0; i < work.count; i++)
        rafsi_convert_layer_drop(&job->to->env, &work.layers[i]);
    rafsi_free(&job->to->env, work.layers);
    rafsi_free(&job->to->env, work.order);
    return rc;
}
