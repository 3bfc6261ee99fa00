/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/erofs_impl.h"

#include <string.h>

enum { PIECE = 256 << 10 };
/* A bootstrap up to this size is in memory while it is laid out anew: it is gone through
 * in the order of the tree, and what an image keeps of it in memory is less. */
enum { HELD_MAX = 64 << 20 };

static void tick(struct erofs_out *out, bool always)
{
    enum { TICK_NS = 100000000 };
    const rafs_erofs_options *options = out->erofs->options;
    rafs_erofs_progress progress = {
        .struct_size = sizeof(progress), .written = out->written, .total = out->total};
    uint64_t now;

    if (!options->progress)
        return;
    now = rafsi_monotonic_ns();
    if (!always && out->ticked_ns && now - out->ticked_ns < TICK_NS)
        return;
    out->ticked_ns = now;
    options->progress(options->progress_user, &progress);
}

int rafsi_erofs_put(void *user, const void *data, size_t len, const rafs_call *call,
                    rafs_error *err)
{
    struct erofs_out *out = user;
    int rc = rafsi_call_check(out->erofs->env, call, RAFS_STAGE_NONE, err);

    if (rc == RAFS_OK)
        rc = rafsi_hash_add(&out->hash, data, len, err);
    if (rc == RAFS_OK)
        rc = rafsi_answer(out->erofs->write(out->erofs->user, data, len, call, err),
                          "erofs", "write", err);
    if (rc == RAFS_OK) {
        out->written += len;
        tick(out, false);
    }
    return rc;
}

/* Blobs of which nobody could say what is in their devices. */
static int check_blobs(const struct rafsi_tree *tree, rafs_error *err)
{
    for (uint32_t i = 0; i < tree->super.blob_count; i++) {
        int rc = rafsi_blob_readable(tree, i, err);

        if (rc < 0)
            return rafsi_fail_object(err, rc, "blob %s", tree->blobs[i].id);
    }
    return RAFS_OK;
}

/* Nobody looks at a file of the mount before the kernel does. */
static int check_own(const struct rafsi_erofs *erofs, const rafs_call *call,
                     rafs_error *err)
{
    struct rafsi_tree *held = NULL;
    int rc = RAFS_OK;

    if (rafsi_source_size(erofs->tree->source) <= HELD_MAX)
        rc = rafsi_tree_hold(erofs->tree, call, &held, err);
    if (rc == RAFS_OK)
        rc = rafsi_v6_kernel_check(held ? held : erofs->tree, call, err);
    rafsi_tree_close(held);
    return rc;
}

/* The bootstrap as it is. */
static int write_own(struct erofs_out *out, rafs_erofs_result *result,
                     const rafs_call *call, rafs_error *err)
{
    const struct rafsi_erofs *erofs = out->erofs;
    const struct rafsi_source *source = erofs->tree->source;
    uint8_t *piece;
    int rc = check_own(erofs, call, err);

    if (rc < 0)
        return rc;
    piece = rafsi_alloc(erofs->env, PIECE);
    if (!piece)
        return rafsi_fail_nomem(err, PIECE);
    out->total = rafsi_source_size(source);
    for (uint64_t at = 0; rc == RAFS_OK && at < out->total; at += PIECE) {
        size_t len = (size_t)rafsi_min(PIECE, out->total - at);

        rc = rafsi_source_stream(source, at, len, piece, err);
        if (rc == RAFS_OK)
            rc = rafsi_erofs_put(out, piece, len, call, err);
    }
    rafsi_free(erofs->env, piece);
    result->flags = RAFS_EROFS_OWN;
    if (!erofs->tree->super.moved)
        result->flags |= RAFS_EROFS_SAME_PLACES;
    result->devices = erofs->tree->super.blob_count;
    return rafsi_fail_object(err, rc, "bootstrap");
}

int rafsi_erofs_take_in(const struct rafsi_erofs *erofs, struct rafsi_relaid *relaid,
                        const rafs_call *call, rafs_error *err)
{
    struct rafsi_tree *held = NULL;
    int rc = RAFS_OK;

    if (rafsi_source_size(erofs->tree->source) <= HELD_MAX)
        rc = rafsi_tree_hold(erofs->tree, call, &held, err);
    if (rc == RAFS_OK)
        rc = rafsi_relaid_new(erofs->env, held ? held : erofs->tree, call, relaid, err);
    rafsi_tree_close(held);
    return rc;
}

/* Of version 5: the same image as one of version 6. */
static int write_relaid(struct erofs_out *out, rafs_erofs_result *result,
                        const rafs_call *call, rafs_error *err)
{
    const struct rafsi_erofs *erofs = out->erofs;
    uint32_t *used = NULL;
    struct rafsi_relaid relaid = {.image = {.env = *erofs->env}};
    int rc = rafsi_erofs_take_in(erofs, &relaid, call, err);

    if (rc == RAFS_OK)
        rc = rafsi_relaid_move(&relaid, err);
    if (rc == RAFS_OK) {
        used = rafsi_alloc(erofs->env, (relaid.image.blobs.count + 1u) * sizeof(*used));
        rc = used ? rafsi_emit_v6(&relaid.image, used, rafsi_erofs_put, out, call, err)
                  : rafsi_fail_nomem(err, relaid.image.blobs.count * sizeof(*used));
    }
    if (rc == RAFS_OK) {
        result->flags = relaid.image.moved ? 0 : RAFS_EROFS_SAME_PLACES;
        for (uint32_t i = 0; i < relaid.image.blobs.count; i++)
            result->devices += used[i] != NO_BLOB;
    }
    rafsi_free(erofs->env, used);
    rafsi_relaid_free(&relaid);
    return rc;
}

static int write_some(struct erofs_out *out, rafs_erofs_result *result,
                      const rafs_call *call, rafs_error *err)
{
    const struct rafsi_erofs *erofs = out->erofs;

    if (erofs->options->flags & RAFS_EROFS_WHOLE)
        return rafsi_erofs_whole(out, result, call, err);
    return erofs->tree->super.version == 6 ? write_own(out, result, call, err)
                                           : write_relaid(out, result, call, err);
}

int rafsi_erofs_write(const struct rafsi_erofs *erofs, rafs_erofs_result *result,
                      const rafs_call *call, rafs_error *err)
{
    rafs_erofs_result made = {.struct_size = sizeof(made)};
    struct erofs_out out = {.erofs = erofs};
    int rc = check_blobs(erofs->tree, err);

    if (rc == RAFS_OK)
        rc = rafsi_hash_begin(erofs->hashes, RAFSI_SHA256, &out.hash, err);
    if (rc < 0)
        return rc;
    rc = write_some(&out, &made, call, err);
    if (rc < 0) {
        rafsi_hash_drop(&out.hash);
        return rc;
    }
    made.size = out.written;
    rc = rafsi_hash_end(&out.hash, made.sha256, err);
    if (rc == RAFS_OK) {
        tick(&out, true);
        *result = made;
    }
    return rc;
}
