/* SPDX-License-Identifier: Apache-2.0 */
/* What an origin's text leads to, as RAFS, in a target: one image or an index of some. */
#include "convert/remake.h"

#include <sys/stat.h>

#include "convert/convert.h"

/* However it is spelt, also by way of a link. */
static bool same_file(const char *a, const char *b)
{
    struct stat one, other;

    if (strcmp(a, b) == 0)
        return true;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static bool same_place(const struct oci_where *a, const struct oci_where *b)
{
    if (a->kind != b->kind || strcmp(a->reference.tag, b->reference.tag) != 0)
        return false;
    if (a->kind != OCI_IN_REGISTRY)
        return same_file(a->path, b->path);
    return strcmp(a->reference.host, b->reference.host) == 0 &&
           strcmp(a->reference.repo, b->reference.repo) == 0;
}

/* The name that the result gets; NULL: none, it is found by what it hangs on. */
static int choose_tag(const struct convert_job *job, const char **tag, rafs_error *err)
{
    const struct oci_where *to = &job->to->where;

    *tag = to->reference.tag;
    if (!same_place(rafsi_origin_where(job->from), to))
        return RAFS_OK;
    *tag = NULL;
    if (job->options.flags & RAFS_CONVERT_REFERRER)
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, job->to->name,
                      "is what is to be converted and would be lost; give another tag, "
                      "or make the result a referrer of it");
}

static int convert_one(struct convert_job *job, const uint8_t *digest, const char *tag,
                       struct compose_entry *made, rafs_error *err)
{
    struct convert_source source = {.document.bytes = NULL};
    int rc = rafsi_convert_find(job->from, digest, job->options.platform, &source,
                                job->call, err);

    if (rc == RAFS_OK)
        rc = rafsi_convert_image(job, &source, tag, made, err);
    rafsi_convert_source_drop(rafsi_origin_env(job->from), &source);
    return rc;
}

struct index {
    const struct oci_document *document;
    struct oci_listed *listed;     /* OCI_LAYERS_MAX */
    struct compose_entry *entries; /* as many */
    size_t count, images;
    size_t last; /* of the images */
};

static int list(struct index *index, rafs_error *err)
{
    int rc = rafsi_oci_index_list(index->document->bytes, index->document->len,
                                  index->listed, &index->count, err);

    for (size_t i = 0; i < index->count && rc == RAFS_OK; i++) {
        const struct oci_listed *one = &index->listed[i];

        if (!one->image || one->nydus)
            continue;
        index->entries[i].keep = true;
        index->images++;
        index->last = i;
    }
    if (rc == RAFS_OK && index->images == 0)
        rc = rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_OPEN, "index",
                        "names no ordinary image");
    return rc;
}

static int put_index(struct convert_job *job, const struct index *index, const char *tag,
                     struct compose_entry *made, rafs_error *err)
{
    struct compose_index compose = {
        .from = (const char *)index->document->bytes,
        .from_len = index->document->len,
        .entries = index->entries,
        .count = index->count,
        .docker = (job->options.flags & RAFS_CONVERT_DOCKER) != 0,
        .artifact = (job->options.flags & RAFS_CONVERT_REFERRER) != 0};
    char *text = NULL;
    size_t len = 0;
    int rc = rafsi_compose_index(&job->to->env, &compose, &text, &len, err);

    if (rc == RAFS_OK)
        rc =
            rafsi_target_put(job->to, text, len, NULL, tag, made->digest, job->call, err);
    rafsi_free(&job->to->env, text);
    return rc;
}

static int convert_index(struct convert_job *job, struct index *index, const char *tag,
                         struct compose_entry *made, rafs_error *err)
{
    int rc = list(index, err);

    /* An index of one is that one. */
    if (rc == RAFS_OK && index->images == 1)
        return convert_one(job, index->listed[index->last].at.digest, tag, made, err);
    for (size_t i = 0; i < index->count && rc == RAFS_OK; i++)
        if (index->entries[i].keep)
            rc = convert_one(job, index->listed[i].at.digest, NULL, &index->entries[i],
                             err);
    return rc < 0 ? rc : put_index(job, index, tag, made, err);
}

/* The document that the origin's text names: an index as a whole, or one image. */
static int convert_all(struct convert_job *job, const char *tag,
                       struct compose_entry *made, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(job->from);
    struct oci_document root = {0};
    struct index index = {.document = &root};
    enum oci_kind kind = OCI_MANIFEST;
    int rc = rafsi_origin_root(job->from, &root, job->call, err);

    if (rc == RAFS_OK)
        rc = rafsi_oci_kind(root.bytes, root.len, NULL, &kind, err);
    if (rc == RAFS_OK && kind == OCI_MANIFEST) {
        rc = convert_one(job, root.digest, tag, made, err);
    } else if (rc == RAFS_OK) {
        index.listed = rafsi_alloc_zero(env, OCI_LAYERS_MAX * sizeof(*index.listed));
        index.entries = rafsi_alloc_zero(env, OCI_LAYERS_MAX * sizeof(*index.entries));
        rc = index.listed && index.entries
                 ? convert_index(job, &index, tag, made, err)
                 : rafsi_fail_nomem(err, OCI_LAYERS_MAX * sizeof(*index.listed));
    }
    rafsi_free(env, index.listed);
    rafsi_free(env, index.entries);
    rafsi_document_drop(env, &root);
    return rc;
}

/* A layer's blob carries its bootstrap and, v6, what says where all is in it. */
static void complete_build(struct convert_build *build)
{
    build->options.flags |= RAFS_BUILD_INLINE_BOOTSTRAP | RAFS_BUILD_KEEP_WHITEOUTS;
    if (build->options.version == 0)
        build->options.version = 6;
    if (build->options.version == 6)
        build->options.flags |= RAFS_BUILD_TOC;
}

int rafsi_convert(rafs_origin *from, rafs_target *to, const rafs_convert_options *options,
                  const struct rafsi_tree *const *dictionaries,
                  rafs_convert_result *result, const rafs_call *call, rafs_error *err)
{
    struct convert_job job = {.from = from,
                              .to = to,
                              .options = *options,
                              .build = {*options->build, dictionaries},
                              .call = call};
    struct compose_entry made = {.keep = true};
    const char *tag;
    int rc = choose_tag(&job, &tag, err);

    complete_build(&job.build);
    if (rc == RAFS_OK && options->cache_dir)
        rc = rafsi_reuse_open(to, options->cache_dir, &job.build, &job.reuse, err);
    if (rc == RAFS_OK && (options->flags & RAFS_CONVERT_ALL_PLATFORMS))
        rc = convert_all(&job, tag, &made, err);
    else if (rc == RAFS_OK)
        rc = convert_one(&job, NULL, tag, &made, err);
    if (rc == RAFS_OK && to->kind->finish)
        rc = to->kind->finish(to, call, err);
    rafsi_reuse_close(job.reuse);
    if (rc < 0)
        return rc;
    *result = job.made;
    result->struct_size = sizeof(*result);
    memcpy(result->digest, made.digest, sizeof(result->digest));
    return RAFS_OK;
}
