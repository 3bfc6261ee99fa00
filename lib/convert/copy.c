/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as they are, from an origin to a target.
 *
 * What a manifest names comes before it, so that at no time a name leads to something
 * that is not all there. Only the indexes above a manifest are in memory, however much
 * they name.
 */
#include "convert/copy.h"

enum {
    INDEX_DEPTH_MAX = 3,   /* an index may name an index */
    REFERRER_DEPTH_MAX = 2 /* a signature of a list of parts */
};

struct job {
    rafs_origin *from;
    rafs_target *to;
    rafs_copy_options options;
    const rafs_call *call;
    struct copy_counts counts;
    uint32_t manifests;
    uint64_t referrers;
};

static int copy_document(struct job *job, const struct oci_document *document,
                         const char *tag, unsigned depth, unsigned hanging,
                         rafs_error *err);

static void tell(void *user, const struct copy_counts *counts)
{
    const struct job *job = user;
    rafs_copy_progress progress = {.struct_size = sizeof(progress),
                                   .blobs_total = counts->blobs_total,
                                   .blobs_done = counts->blobs_done,
                                   .bytes_total = counts->bytes_total,
                                   .bytes_done = counts->bytes_done};

    job->options.progress(job->options.progress_user, &progress);
}

static int copy_child(struct job *job, const uint8_t *digest, unsigned depth,
                      unsigned hanging, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(job->from);
    struct oci_document document = {0};
    int rc = rafsi_origin_manifest(job->from, digest, NULL, &document, job->call, err);

    if (rc == RAFS_OK)
        rc = copy_document(job, &document, NULL, depth, hanging, err);
    rafsi_document_drop(env, &document);
    return rc;
}

/* Does it hang on that one? Only its own manifest says so. */
static int copy_referrer(struct job *job, const uint8_t *digest, const uint8_t *subject,
                         unsigned hanging, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(job->from);
    struct oci_document document = {0};
    struct oci_contents contents = {.at = NULL};
    int rc = rafsi_origin_manifest(job->from, digest, NULL, &document, job->call, err);

    if (rc == RAFS_OK)
        rc = rafsi_oci_contents(env, document.bytes, document.len, &contents, err);
    if (rc == RAFS_OK && contents.has_subject &&
        memcmp(contents.subject, subject, OCI_DIGEST_BYTES) == 0) {
        rc = copy_document(job, &document, NULL, 0, hanging + 1, err);
        job->referrers += rc == RAFS_OK;
    }
    rafsi_oci_contents_drop(env, &contents);
    rafsi_document_drop(env, &document);
    return rc;
}

static int copy_referrers(struct job *job, const uint8_t *subject, unsigned hanging,
                          rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(job->from);
    struct oci_document list = {0};
    struct oci_contents contents = {.at = NULL};
    int rc = rafsi_origin_referrers(job->from, subject, &list, job->call, err);

    if (rc == RAFS_E_NOENT)
        return RAFS_OK;
    if (rc == RAFS_OK)
        rc = rafsi_oci_contents(env, list.bytes, list.len, &contents, err);
    rafsi_document_drop(env, &list);
    if (rc == RAFS_OK && contents.kind != OCI_INDEX)
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "list of referrers",
                        "is no index");
    for (size_t i = 0; i < contents.count && rc == RAFS_OK; i++)
        rc = copy_referrer(job, contents.at[i].digest, subject, hanging, err);
    rafsi_oci_contents_drop(env, &contents);
    return rc;
}

/* What the document names, then the document, then what hangs on it. The depth of both is
 * bounded here, not by what is read. */
static int copy_document(struct job *job, const struct oci_document *document,
                         const char *tag, unsigned depth, unsigned hanging,
                         rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(job->from);
    struct copy_from from = {rafsi_origin_sources(job->from),
                             rafsi_origin_where(job->from)};
    struct oci_contents contents = {.at = NULL};
    int rc = rafsi_oci_contents(env, document->bytes, document->len, &contents, err);

    if (rc == RAFS_OK && contents.kind == OCI_INDEX && depth == INDEX_DEPTH_MAX)
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "index",
                        "an index in an index in an index");
    if (rc == RAFS_OK && contents.kind == OCI_MANIFEST)
        rc = rafsi_copy_blobs(&from, job->to, contents.at, contents.count,
                              job->options.threads, &job->counts,
                              job->options.progress ? tell : NULL, job, job->call, err);
    for (size_t i = 0; contents.kind == OCI_INDEX && i < contents.count && rc == RAFS_OK;
         i++)
        rc = copy_child(job, contents.at[i].digest, depth + 1, hanging, err);
    rafsi_oci_contents_drop(env, &contents);
    if (rc == RAFS_OK)
        rc = rafsi_target_put(job->to, document->bytes, document->len, NULL, tag, NULL,
                              job->call, err);
    job->manifests += rc == RAFS_OK;
    if (rc == RAFS_OK && (job->options.flags & RAFS_COPY_REFERRERS) &&
        hanging < REFERRER_DEPTH_MAX)
        rc = copy_referrers(job, document->digest, hanging, err);
    return rc;
}

static void give(const struct job *job, const uint8_t *digest, rafs_copy_result *out)
{
    out->manifests = job->manifests;
    memcpy(out->digest, digest, OCI_DIGEST_BYTES);
    out->referrers = job->referrers;
    out->blobs = job->counts.blobs_total;
    out->blobs_there = job->counts.there;
    out->blobs_mounted = job->counts.mounted;
    out->blobs_sent = job->counts.sent;
    out->bytes_sent = job->counts.bytes_sent;
}

int rafsi_copy(rafs_origin *from, rafs_target *to, const rafs_copy_options *options,
               rafs_copy_result *result, const rafs_call *call, rafs_error *err)
{
    struct job job = {.from = from, .to = to, .options = *options, .call = call};
    struct oci_document root = {0};
    int rc = options->flags & RAFS_COPY_ALL
                 ? rafsi_origin_root(from, &root, call, err)
                 : rafsi_origin_image(from, options->platform, &root, call, err);

    if (rc == RAFS_OK)
        rc = copy_document(&job, &root, to->where.reference.tag, 0, 0, err);
    if (rc == RAFS_OK && to->kind->finish)
        rc = to->kind->finish(to, call, err);
    if (rc == RAFS_OK)
        give(&job, root.digest, result);
    rafsi_document_drop(rafsi_origin_env(from), &root);
    return rc;
}
