/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/own.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cache/disk_impl.h"

/* How long a cache that failed is left alone. */
#define PAUSE_NS ((uint64_t)30 * 1000000000)

/* Most documents are manifests, which fit at once. */
enum { DOCUMENT_ROOM = 16384, DOCUMENT_NAME = 96 };

struct own {
    rafs_cache_ops ops;
    void *user;
    atomic_uint_least64_t paused_until; /* 0: all is well */
    atomic_bool warned;                 /* of the trouble that goes on */
    atomic_bool lied;                   /* and a warning said so */
};

struct own_blob {
    rafs_cache *cache;
    void *lease;
    char id[RAFSI_BLOB_ID_BYTES];
};

void rafs_cache_ops_init(rafs_cache_ops *ops)
{
    memset(ops, 0, sizeof(*ops));
    ops->struct_size = sizeof(*ops);
}

static int take_ops(const rafs_cache_ops *ops, rafs_cache_ops *out, rafs_error *err)
{
    int rc = rafsi_take_struct(ops, out, sizeof(*out), "rafs_cache_ops", err);

    if (rc < 0)
        return rc;
    if (out->reserved != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "rafs_cache_ops",
                          "reserved is not 0");
    if (!out->lookup || !out->store)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_cache_ops",
                          "lookup and store must be set");
    if (!out->begin != !out->end || !out->find != !out->keep)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_cache_ops",
                          "begin and end, find and keep go together");
    return RAFS_OK;
}

int rafs_cache_new(const rafs_cache_ops *ops, void *user, const rafs_env *env,
                   rafs_cache **out, rafs_error *err)
{
    struct rafsi_env taken;
    rafs_cache_ops from;
    rafs_cache *cache;
    struct own *own;
    int rc;

    if (!ops || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, ops ? "out" : "ops",
                          "is NULL");
    rc = take_ops(ops, &from, err);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(env, &taken, err);
    if (rc < 0)
        return rc;
    cache = rafsi_alloc_zero(&taken, sizeof(*cache));
    own = cache ? rafsi_alloc_zero(&taken, sizeof(*own)) : NULL;
    if (!own) {
        rafsi_free(&taken, cache);
        return rafsi_fail_nomem(err, cache ? sizeof(*own) : sizeof(*cache));
    }
    own->ops = from;
    own->user = user;
    cache->env = taken;
    cache->own = own;
    cache->dir = cache->in_use = -1;
    *out = cache;
    return RAFS_OK;
}

bool rafsi_own_is(const rafs_cache *cache)
{
    return cache->own != NULL;
}

void rafsi_own_free(rafs_cache *cache)
{
    struct own *own = cache->own;

    if (own->ops.release)
        own->ops.release(own->user);
    rafsi_free(&cache->env, own);
    rafsi_free(&cache->env, cache);
}

int rafsi_own_refuse(const rafs_cache *cache, rafs_error *err)
{
    if (!cache)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "cache", "is NULL");
    if (!rafsi_own_is(cache))
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "cache",
                      "is the program's own callbacks, not a directory");
}

static bool paused(const rafs_cache *cache)
{
    uint64_t until = atomic_load(&cache->own->paused_until);

    return until > 0 && until > rafsi_now_ns(&cache->env);
}

/*
 * What a callback returned: true if it did what it was asked. `usual` is the code by
 * which it declines without being in trouble. That the call ended is no trouble either:
 * whoever waits finds out by himself.
 */
static bool went_well(rafs_cache *cache, int rc, int usual, const char *what,
                      const rafs_call *call, rafs_error *local)
{
    struct own *own = cache->own;

    if (rc == RAFS_OK) {
        if (atomic_load(&own->warned) && atomic_exchange(&own->warned, false)) {
            atomic_store(&own->paused_until, 0);
            rafsi_log(&cache->env, RAFS_LOG_INFO, "cache: works again");
        }
        return true;
    }
    if (rc == usual || rafsi_call_check(&cache->env, call, RAFS_STAGE_FETCH, NULL) < 0)
        return false;
    atomic_store(&own->paused_until, rafsi_now_ns(&cache->env) + PAUSE_NS);
    local->text[sizeof(local->text) - 1] = '\0';
    if (!atomic_exchange(&own->warned, true))
        rafsi_log(&cache->env, RAFS_LOG_WARNING,
                  "cache: the program's %s failed (%s%s%s); reading on without it, will "
                  "try again every 30 s",
                  what, rafs_error_name(rc), local->text[0] ? ": " : "", local->text);
    return false;
}

static struct own_blob *own_blob(struct rafsi_store_blob *blob)
{
    return (struct own_blob *)blob;
}

static rafs_cache_chunk shown(const struct own_blob *blob,
                              const struct rafsi_disk_chunk *chunk)
{
    return (rafs_cache_chunk){.blob_id = blob->id,
                              .digest = chunk->digest,
                              .offset = chunk->offset,
                              .size = chunk->size,
                              .digest_algorithm = chunk->algorithm};
}

static int own_open(rafs_cache *cache, const char *blob_id, const rafs_call *call,
                    struct rafsi_store_blob **out, rafs_error *err)
{
    struct own *own = cache->own;
    rafs_error local = RAFS_ERROR_INIT;
    struct own_blob *blob;
    int rc = rafsi_disk_check_id(blob_id, err);

    if (rc < 0)
        return rc;
    if (paused(cache))
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, "cache",
                          "failed lately");
    blob = rafsi_alloc_zero(&cache->env, sizeof(*blob));
    if (!blob)
        return rafsi_fail_nomem(err, sizeof(*blob));
    blob->cache = cache;
    memcpy(blob->id, blob_id, strlen(blob_id));
    if (own->ops.lease)
        rc = own->ops.lease(own->user, blob_id, &blob->lease, call, &local);
    if (!went_well(cache, rc, RAFS_OK, "lease", call, &local)) {
        rafsi_free(&cache->env, blob);
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, "cache", "no lease");
    }
    *out = (struct rafsi_store_blob *)blob;
    return RAFS_OK;
}

static void own_close(struct rafsi_store_blob *closed)
{
    struct own_blob *blob = own_blob(closed);
    struct own *own;

    if (!blob)
        return;
    own = blob->cache->own;
    if (own->ops.unlease)
        own->ops.unlease(own->user, blob->lease);
    rafsi_free(&blob->cache->env, blob);
}

static bool own_has(struct rafsi_store_blob *asked, const struct rafsi_disk_chunk *chunk)
{
    struct own_blob *blob = own_blob(asked);
    rafs_cache_chunk given = shown(blob, chunk);
    struct own *own = blob->cache->own;

    return own->ops.has && !paused(blob->cache) &&
           own->ops.has(own->user, blob->lease, &given) > 0;
}

/* Where else it has a chunk is its own affair: lookup() may give it from there. */
static bool own_elsewhere(struct rafsi_store_blob *asked,
                          const struct rafsi_disk_chunk *chunk)
{
    (void)asked;
    (void)chunk;
    return false;
}

static enum rafsi_disk_from own_get(struct rafsi_store_blob *asked,
                                    struct rafsi_disk_chunk *chunk, void *room,
                                    const rafs_call *call)
{
    struct own_blob *blob = own_blob(asked);
    rafs_cache_chunk given = shown(blob, chunk);
    struct own *own = blob->cache->own;
    rafs_error local = RAFS_ERROR_INIT;
    size_t got = 0;
    int rc;

    if (paused(blob->cache))
        return RAFSI_DISK_NOT;
    rc = own->ops.lookup(own->user, blob->lease, &given, room, &got, call, &local);
    return went_well(blob->cache, rc, RAFS_E_NOENT, "lookup", call, &local) &&
                   got == chunk->size
               ? RAFSI_DISK_OWN
               : RAFSI_DISK_NOT;
}

static void own_bad(struct rafsi_store_blob *asked, const struct rafsi_disk_chunk *chunk)
{
    struct own_blob *blob = own_blob(asked);
    rafs_cache_chunk given = shown(blob, chunk);
    struct own *own = blob->cache->own;

    if (!atomic_exchange(&own->lied, true))
        rafsi_log(&blob->cache->env, RAFS_LOG_WARNING,
                  "cache: gave wrong bytes for blob %s at %" PRIu64 "; such chunks are "
                  "fetched anew, and this is said once",
                  blob->id, chunk->offset);
    if (own->ops.wrong)
        own->ops.wrong(own->user, blob->lease, &given);
}

static bool own_put(struct rafsi_store_blob *asked, const struct rafsi_disk_chunk *chunk,
                    const struct rafsi_store_flight *flight, const struct verified *good,
                    const rafs_call *call)
{
    struct own_blob *blob = own_blob(asked);
    rafs_cache_chunk given = shown(blob, chunk);
    struct own *own = blob->cache->own;
    rafs_error local = RAFS_ERROR_INIT;
    int rc;

    (void)flight;
    if (rafsi_verified_size(good) != chunk->size)
        return true; /* never to be kept */
    if (paused(blob->cache) ||
        rafsi_call_check(&blob->cache->env, call, RAFS_STAGE_FETCH, NULL) < 0)
        return false;
    rc = own->ops.store(own->user, blob->lease, &given, rafsi_verified_bytes(good), call,
                        &local);
    (void)went_well(blob->cache, rc, RAFS_E_LIMIT, "store", call, &local);
    return rc == RAFS_OK;
}

/* RAFS_E_NOENT: somebody else fetches it, or did. RAFS_OK with *out NULL: there is nobody
 * to ask, or he is in trouble, so that this fetch is nobody's. */
static int begin(struct own_blob *blob, const struct rafsi_disk_chunk *chunk,
                 uint32_t flags, const rafs_call *call, struct rafsi_store_flight **out)
{
    rafs_cache_chunk given = shown(blob, chunk);
    struct own *own = blob->cache->own;
    rafs_error local = RAFS_ERROR_INIT;
    void *flight = NULL;
    int rc;

    *out = NULL;
    if (!own->ops.begin || paused(blob->cache))
        return RAFS_OK;
    rc = own->ops.begin(own->user, blob->lease, &given, flags, &flight, call, &local);
    if (went_well(blob->cache, rc, RAFS_E_NOENT, "begin", call, &local))
        *out = flight;
    return rc == RAFS_E_NOENT || (rc == RAFS_OK && !flight) ? RAFS_E_NOENT : RAFS_OK;
}

static int own_begin(struct rafsi_store_blob *asked, const struct rafsi_disk_chunk *chunk,
                     const rafs_call *call, struct rafsi_store_flight **out,
                     rafs_error *err)
{
    struct own_blob *blob = own_blob(asked);

    (void)begin(blob, chunk, 0, call, out);
    if (*out)
        return RAFS_OK;
    return rafsi_call_check(&blob->cache->env, call, RAFS_STAGE_FETCH, err);
}

static bool own_attempt(struct rafsi_store_blob *asked,
                        const struct rafsi_disk_chunk *chunk, const rafs_call *call,
                        struct rafsi_store_flight **out)
{
    struct own_blob *blob = own_blob(asked);

    return begin(blob, chunk, RAFS_CACHE_BEGIN_NO_WAIT, call, out) == RAFS_OK;
}

static void own_end(struct rafsi_store_blob *asked, struct rafsi_store_flight *flight)
{
    struct own_blob *blob = own_blob(asked);
    struct own *own = blob->cache->own;

    if (flight)
        own->ops.end(own->user, blob->lease, flight);
}

static void document_name(char name[DOCUMENT_NAME], const char *kind,
                          const uint8_t digest[RAFSI_DIGEST_BYTES])
{
    char hex[65];

    rafsi_digest_hex(digest, hex);
    snprintf(name, DOCUMENT_NAME, "%.16s-%s", kind, hex);
}

/* One question; *len: how long the document is. */
static bool ask(rafs_cache *cache, const char *name, struct rafsi_buffer *buffer,
                size_t *len, const rafs_call *call)
{
    struct own *own = cache->own;
    rafs_error local = RAFS_ERROR_INIT;
    int rc;

    *len = 0;
    rc = own->ops.find(own->user, name, buffer->at, buffer->len, len, call, &local);
    return went_well(cache, rc, RAFS_E_NOENT, "find", call, &local);
}

static int own_doc_get(rafs_cache *cache, const char *kind,
                       const uint8_t digest[RAFSI_DIGEST_BYTES], uint64_t max,
                       struct rafsi_pool *pool, const rafs_call *call,
                       struct rafsi_buffer **out, rafs_error *err)
{
    struct rafsi_buffer *buffer = NULL;
    char name[DOCUMENT_NAME];
    size_t room = DOCUMENT_ROOM, len = 0;
    bool there = cache->own->ops.find && !paused(cache);
    int rc = RAFS_OK;

    document_name(name, kind, digest);
    for (int tries = 0; there && tries < 2; tries++) {
        rc = rafsi_pool_take(pool, room, &buffer, err);
        if (rc < 0)
            return rc;
        there = ask(cache, name, buffer, &len, call) && len <= max;
        if (there && len <= room) {
            buffer->len = len;
            *out = buffer;
            return RAFS_OK;
        }
        rafsi_buffer_free(buffer);
        room = len;
    }
    return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, "cache", "no such document");
}

static bool own_doc_put(rafs_cache *cache, const char *kind,
                        const uint8_t digest[RAFSI_DIGEST_BYTES], const void *data,
                        size_t len, const rafs_call *call)
{
    struct own *own = cache->own;
    rafs_error local = RAFS_ERROR_INIT;
    char name[DOCUMENT_NAME];
    int rc;

    if (!own->ops.keep || paused(cache))
        return false;
    document_name(name, kind, digest);
    rc = own->ops.keep(own->user, name, data, len, call, &local);
    return went_well(cache, rc, RAFS_E_LIMIT, "keep", call, &local) && rc == RAFS_OK;
}

const struct rafsi_store rafsi_own_store = {
    .open = own_open,
    .close = own_close,
    .has = own_has,
    .elsewhere = own_elsewhere,
    .get = own_get,
    .bad = own_bad,
    .put = own_put,
    .begin = own_begin,
    .attempt = own_attempt,
    .end = own_end,
    .doc_get = own_doc_get,
    .doc_put = own_doc_put,
};
