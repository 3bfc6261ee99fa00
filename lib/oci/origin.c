/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/origin.h"

#include "oci/layout.h"
#include "oci/mirrors.h"

enum { SOURCES_MAX = RAFS_MIRRORS_MAX + 1 };

struct rafs_origin {
    struct rafsi_env env;
    struct rafsi_hashes *hashes;
    struct oci_where where;
    struct oci_registry *registry; /* NULL: a layout */
    struct oci_mirrors *mirrors;
    struct oci_layout *layout; /* of its documents */
    struct oci_store store;
    rafs_backend *sources[SOURCES_MAX]; /* of its blobs */
    size_t count;
};

static int open_registry(rafs_origin *origin, const rafs_origin_options *options,
                         rafs_error *err)
{
    rafs_registry_options how;
    int rc = rafsi_take_struct(options->registry, &how, sizeof(how),
                               "rafs_registry_options", err);

    if (rc == RAFS_OK && !options->http)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_origin_options",
                        "http is NULL, and docker:// needs one");
    if (rc == RAFS_OK)
        rc = rafsi_registry_new(options->http, &origin->where.reference, &how,
                                &origin->registry, err);
    if (rc == RAFS_OK)
        rc = rafsi_mirrors_new(origin->registry, &origin->where.reference, &how,
                               origin->hashes, &origin->mirrors, err);
    if (rc == RAFS_OK)
        rc = rafsi_mirrors_backends(origin->mirrors, SOURCES_MAX, origin->sources,
                                    &origin->count, err);
    if (rc == RAFS_OK)
        origin->store = rafsi_mirrors_store(origin->mirrors);
    if (rc < 0 && origin->registry)
        rafsi_registry_disown(origin->registry);
    return rc;
}

/* Twice: once for documents, once for blobs, whose backend takes it. */
static int open_layout(rafs_origin *origin, const rafs_call *call, rafs_error *err)
{
    const char *path = origin->where.path;
    struct oci_layout *blobs = NULL;
    int rc = rafsi_layout_open(&origin->env, path, call, &origin->layout, err);

    if (rc == RAFS_OK)
        rc = rafsi_layout_open(&origin->env, path, call, &blobs, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_backend(blobs, &origin->sources[0], err);
    if (rc == RAFS_OK) {
        origin->count = 1;
        origin->store = rafsi_layout_store(origin->layout);
    } else {
        rafsi_layout_close(blobs);
    }
    return rafsi_fail_object(err, rc, "%s", path);
}

int rafsi_origin_open(const char *where, const rafs_origin_options *options,
                      rafs_origin **out, const rafs_call *call, rafs_error *err)
{
    rafs_origin_options wanted;
    struct rafsi_env env;
    rafs_origin *origin;
    int rc =
        rafsi_take_struct(options, &wanted, sizeof(wanted), "rafs_origin_options", err);

    if (rc == RAFS_OK && wanted.flags)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_origin_options", "flags 0x%x are not known", wanted.flags);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(wanted.env, &env, err);
    if (rc < 0)
        return rc;
    origin = rafsi_alloc_zero(&env, sizeof(*origin));
    if (!origin)
        return rafsi_fail_nomem(err, sizeof(*origin));
    origin->env = env;
    rc = rafsi_hashes_new(&env, &origin->hashes, err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_where_parse(&env, where, &origin->where, err);
    if (rc == RAFS_OK)
        rc = origin->where.kind == OCI_IN_REGISTRY ? open_registry(origin, &wanted, err)
                                                   : open_layout(origin, call, err);
    if (rc < 0)
        rafsi_origin_close(origin);
    else
        *out = origin;
    return rc;
}

void rafsi_origin_close(rafs_origin *origin)
{
    struct rafsi_env env;

    if (!origin)
        return;
    env = origin->env;
    while (origin->count > 0)
        rafs_backend_free(origin->sources[--origin->count]);
    rafsi_mirrors_free(origin->mirrors);
    rafsi_registry_drop(origin->registry);
    rafsi_layout_close(origin->layout);
    rafsi_oci_where_drop(&env, &origin->where);
    rafsi_hashes_free(origin->hashes);
    rafsi_free(&env, origin);
}

const struct rafsi_env *rafsi_origin_env(const rafs_origin *origin)
{
    return &origin->env;
}

const struct oci_where *rafsi_origin_where(const rafs_origin *origin)
{
    return &origin->where;
}

static struct oci_pull pull_of(const rafs_origin *origin, const rafs_call *call)
{
    return (struct oci_pull){
        .store = &origin->store, .hashes = origin->hashes, .call = call};
}

/* For errors: which place it is about. */
static int named(const rafs_origin *origin, int rc, rafs_error *err)
{
    return rafsi_fail_object(err, rc, "%s",
                             origin->registry ? rafsi_registry_name(origin->registry)
                                              : origin->where.path);
}

int rafsi_origin_root(rafs_origin *origin, struct oci_document *out,
                      const rafs_call *call, rafs_error *err)
{
    const struct oci_reference *reference = &origin->where.reference;

    return rafsi_origin_manifest(origin, reference->has_digest ? reference->digest : NULL,
                                 reference->tag[0] ? reference->tag : NULL, out, call,
                                 err);
}

int rafsi_origin_image(rafs_origin *origin, const char *platform,
                       struct oci_document *out, const rafs_call *call, rafs_error *err)
{
    const struct oci_reference *reference = &origin->where.reference;
    struct oci_pull pull = pull_of(origin, call);
    struct oci_document found = {0};
    int rc;

    pull.digest = reference->has_digest ? reference->digest : NULL;
    pull.tag = reference->tag[0] ? reference->tag : NULL;
    pull.platform = platform;
    rc = rafsi_oci_get_image(&pull, &origin->env, &found, err);
    if (rc == RAFS_OK)
        *out = found;
    return named(origin, rc, err);
}

int rafsi_origin_manifest(rafs_origin *origin, const uint8_t *digest, const char *tag,
                          struct oci_document *out, const rafs_call *call,
                          rafs_error *err)
{
    struct oci_pull pull = pull_of(origin, call);
    struct oci_document found = {0};
    int rc = rafsi_oci_get_manifest(&pull, digest, tag, &origin->env, &found, err);

    if (rc == RAFS_OK)
        *out = found;
    return named(origin, rc, err);
}

int rafsi_origin_blob(rafs_origin *origin, const uint8_t *digest, uint64_t limit,
                      struct oci_document *out, const rafs_call *call, rafs_error *err)
{
    struct oci_pull pull = pull_of(origin, call);
    struct oci_wanted wanted = {OCI_GET_LAYER, digest, NULL, limit};
    struct oci_document found = {0};
    int rc = rafsi_oci_get(&pull, &wanted, "blob", "blob", &origin->env, &found, err);

    if (rc == RAFS_OK)
        *out = found;
    return named(origin, rc, err);
}

int rafsi_origin_referrers(rafs_origin *origin, const uint8_t *subject,
                           struct oci_document *out, const rafs_call *call,
                           rafs_error *err)
{
    struct oci_pull pull = pull_of(origin, call);
    struct oci_document found = {0};
    int rc = rafsi_oci_get_referrers(&pull, subject, &origin->env, &found, err);

    if (rc == RAFS_OK)
        *out = found;
    return named(origin, rc, err);
}

struct oci_sources rafsi_origin_sources(const rafs_origin *origin)
{
    return (struct oci_sources){.env = &origin->env,
                                .hashes = origin->hashes,
                                .at = origin->sources,
                                .count = origin->count};
}
