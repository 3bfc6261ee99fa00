/* SPDX-License-Identifier: Apache-2.0 */
/* Images and blobs in registries. */
#include "api/pull.h"
#include "cache/cache.h"

void rafs_registry_options_init(rafs_registry_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static int take_options(const rafs_registry_options *options, rafs_registry_options *out,
                        rafs_error *err)
{
    int rc = rafsi_take_struct(options, out, sizeof(*out), "rafs_registry_options", err);

    if (rc == RAFS_OK &&
        (out->flags & ~(uint32_t)(RAFS_REGISTRY_PLAIN_HTTP | RAFS_REGISTRY_REFERRERS |
                                  RAFS_REGISTRY_CONFIG)))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_registry_options", "flags 0x%x are not known", out->flags);
    return rc;
}

void rafs_registry_mirror_init(rafs_registry_mirror *mirror)
{
    memset(mirror, 0, sizeof(*mirror));
    mirror->struct_size = sizeof(*mirror);
}

static const char *bare(const char *reference)
{
    static const char scheme[] = "docker://";

    return strncmp(reference, scheme, sizeof(scheme) - 1) == 0
               ? reference + sizeof(scheme) - 1
               : reference;
}

int rafs_registry_host(const char *reference, char *host, size_t room, rafs_error *err)
{
    struct oci_reference parsed;
    const char *name;
    int rc;

    if (!reference || !host)
        return rafsi_fail_null(err, reference ? "host" : "reference");
    rc = rafsi_oci_reference_parse(bare(reference), &parsed, err);
    if (rc < 0)
        return rc;
    name = rafsi_registry_known_as(parsed.host);
    if (strlen(name) >= room)
        return rafsi_fail(err, RAFS_E_RANGE, RAFS_STAGE_ARGUMENT, "host",
                          "%zu bytes are needed", strlen(name) + 1);
    memcpy(host, name, strlen(name) + 1);
    return RAFS_OK;
}

/* A registry that is only made ready; release() is not called if something fails later.
 */
static int start(rafs_http *http, const char *text, const rafs_registry_options *options,
                 struct oci_reference *reference, struct oci_registry **out,
                 rafs_error *err)
{
    int rc = rafsi_oci_reference_parse(bare(text), reference, err);

    return rc < 0 ? rc : rafsi_registry_new(http, reference, options, out, err);
}

/* mirror NULL: the registry itself. */
static int new_backend(rafs_http *http, const char *repository,
                       const rafs_registry_mirror *mirror,
                       const rafs_registry_options *options, rafs_backend **out,
                       rafs_error *err)
{
    rafs_registry_options wanted;
    struct oci_reference reference;
    struct oci_mirrors *mirrors = NULL;
    struct oci_registry *registry;
    int rc = take_options(options, &wanted, err);

    if (rc == RAFS_OK && wanted.mirror_count > 0)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_registry_options",
                        "a backend is one source: rafs_backend_new_mirror() makes one "
                        "for a mirror");
    if (rc == RAFS_OK)
        rc = start(http, repository, &wanted, &reference, &registry, err);
    if (rc < 0)
        return rc;
    if (mirror) {
        wanted.mirrors = &mirror;
        wanted.mirror_count = 1;
        rc = rafsi_mirrors_new(registry, &reference, &wanted, NULL, &mirrors, err);
    }
    if (rc == RAFS_OK && mirror)
        rc = rafsi_mirrors_backend(mirrors, 0, out, err);
    else if (rc == RAFS_OK)
        rc = rafsi_registry_backend(registry, out, err);
    rafsi_mirrors_free(mirrors);
    if (rc < 0)
        rafsi_registry_disown(registry);
    rafsi_registry_drop(registry);
    return rc;
}

int rafs_backend_new_registry(rafs_http *http, const char *repository,
                              const rafs_registry_options *options, rafs_backend **out,
                              rafs_error *err)
{
    if (!http || !repository || !out)
        return rafsi_fail_null(err, !http ? "http" : out ? "repository" : "out");
    return new_backend(http, repository, NULL, options, out, err);
}

int rafs_backend_new_mirror(rafs_http *http, const char *repository,
                            const rafs_registry_mirror *mirror,
                            const rafs_registry_options *options, rafs_backend **out,
                            rafs_error *err)
{
    if (!http || !repository || !mirror || !out)
        return rafsi_fail_null(err, !http         ? "http"
                                    : !repository ? "repository"
                                    : mirror      ? "out"
                                                  : "mirror");
    return new_backend(http, repository, mirror, options, out, err);
}

struct shelf {
    rafs_cache *cache;
    const struct rafsi_store *store;
    struct rafsi_pool *pool;
    const rafs_call *call;
    struct image_documents seen;
};

static void note(struct shelf *shelf, const char *kind, const uint8_t *digest)
{
    struct image_documents *seen = &shelf->seen;

    if (seen->count == sizeof(seen->at) / sizeof(seen->at[0]))
        return;
    seen->at[seen->count].kind = kind;
    memcpy(seen->at[seen->count++].digest, digest, RAFSI_DIGEST_BYTES);
}

static bool find_document(void *user, const char *kind, const uint8_t *digest,
                          uint64_t limit, const struct rafsi_env *env, uint8_t **out,
                          size_t *len)
{
    struct shelf *shelf = user;
    struct rafsi_buffer *found = NULL;
    uint8_t *copy;

    if (shelf->store->doc_get(shelf->cache, kind, digest, limit, shelf->pool, shelf->call,
                              &found, NULL) < 0)
        return false;
    copy = rafsi_alloc(env, found->len ? found->len : 1);
    if (copy) {
        memcpy(copy, found->at, found->len);
        *out = copy;
        *len = found->len;
        note(shelf, kind, digest);
    }
    rafsi_buffer_free(found);
    return copy != NULL;
}

static void keep_document(void *user, const char *kind, const uint8_t *digest,
                          const void *data, size_t len)
{
    struct shelf *shelf = user;

    note(shelf, kind, digest);
    shelf->store->doc_put(shelf->cache, kind, digest, data, len, shelf->call);
}

int rafs_image_open_registry(rafs_http *http, const char *reference,
                             const rafs_registry_options *registry,
                             const rafs_open_options *options, rafs_image **out,
                             const rafs_call *call, rafs_error *err)
{
    struct oci_reference parsed;
    rafs_registry_options how;
    struct wishes wishes;
    struct oci_registry *from;
    struct oci_mirrors *mirrors = NULL;
    rafs_backend *backends[RAFS_SOURCES_MAX];
    size_t count = 0;
    struct oci_store store;
    struct oci_pull pull = {.store = &store};
    struct shelf documents = {.call = &wishes.call};
    struct oci_shelf shelf = {&documents, find_document, keep_document};
    int rc;

    if (!http || !reference || !out)
        return rafsi_fail_null(err, !http ? "http" : out ? "reference" : "out");
    rc = rafsi_wishes_take(options, call, &wishes, err);
    if (rc == RAFS_OK)
        rc = take_options(registry, &how, err);
    if (rc == RAFS_OK)
        rc = rafsi_room_for_one(&wishes, err);
    if (rc == RAFS_OK)
        rc = rafsi_hashes_new(&wishes.env, &pull.hashes, err);
    if (rc < 0)
        return rc;
    documents.cache = wishes.options.cache;
    if (documents.cache) {
        documents.store = rafsi_store_of(documents.cache);
        pull.shelf = &shelf;
        rc = rafsi_pool_new(&wishes.env, 0, &documents.pool, err);
        if (rc < 0)
            goto out;
    }
    rc = start(http, reference, &how, &parsed, &from, err);
    if (rc < 0)
        goto out;
    pull.digest = parsed.has_digest ? parsed.digest : NULL;
    pull.tag = parsed.tag;
    pull.platform = how.platform;
    pull.bootstrap_limit = wishes.limits.inlined_bootstrap_bytes;
    pull.call = &wishes.call;
    pull.config = how.flags & RAFS_REGISTRY_CONFIG;
    pull.referrers = how.flags & RAFS_REGISTRY_REFERRERS;
    rc = rafsi_mirrors_new(from, &parsed, &how, pull.hashes, &mirrors, err);
    if (rc == RAFS_OK)
        rc = rafsi_mirrors_backends(mirrors,
                                    RAFS_SOURCES_MAX - wishes.options.backend_count,
                                    backends, &count, err);
    if (rc == RAFS_OK) {
        store = rafsi_mirrors_store(mirrors);
        rc = rafsi_image_pull(&pull, backends, count, &wishes, out, err);
    }
    if (rc == RAFS_OK)
        (*out)->documents = documents.seen;
    if (rc < 0) {
        while (count > 0)
            rafs_backend_free(backends[--count]);
        rafsi_registry_disown(from);
    }
    rafsi_mirrors_free(mirrors);
    rafsi_fail_object(err, rc, "%s", rafsi_registry_name(from));
    rafsi_registry_drop(from);
out:
    if (documents.pool)
        rafsi_pool_free(documents.pool);
    rafsi_hashes_free(pull.hashes);
    return rc;
}
