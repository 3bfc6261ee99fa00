/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/registry_parts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { ASK_TRIES = 3 }; /* without a token, with one, with a newer one */

const char *rafsi_registry_name(const struct oci_registry *registry)
{
    return registry->name;
}

struct oci_registry *rafsi_registry_hold(struct oci_registry *registry)
{
    atomic_fetch_add(&registry->users, 1);
    return registry;
}

static struct shared_text *text_new(const struct rafsi_env *env, const char *from)
{
    size_t room = strlen(from) + 1;
    struct shared_text *made = rafsi_alloc(env, sizeof(*made) + room);

    if (!made)
        return NULL;
    atomic_init(&made->users, 1);
    memcpy(made->text, from, room);
    return made;
}

static struct shared_text *text_hold(struct shared_text *text)
{
    if (text)
        atomic_fetch_add(&text->users, 1);
    return text;
}

/* The last one wipes it. */
static void text_drop(const struct rafsi_env *env, struct shared_text *text)
{
    if (!text || atomic_fetch_sub(&text->users, 1) != 1)
        return;
    explicit_bzero(text->text, strlen(text->text));
    rafsi_free(env, text);
}

void rafsi_registry_destroy(struct oci_registry *registry)
{
    struct rafsi_env env = registry->env;

    rafsi_registry_drop(registry->origin);
    rafsi_free(&env, registry->base);
    text_drop(&env, registry->line);
    text_drop(&env, registry->challenge);
    if (registry->cond_ready)
        pthread_cond_destroy(&registry->renewed);
    if (registry->lock_ready)
        pthread_mutex_destroy(&registry->lock);
    rafsi_free(&env, registry);
}

void rafsi_registry_drop(struct oci_registry *registry)
{
    if (!registry || atomic_fetch_sub(&registry->users, 1) != 1)
        return;
    if (registry->credentials.release)
        registry->credentials.release(registry->credentials.user);
    rafsi_registry_destroy(registry);
}

void rafsi_registry_disown(struct oci_registry *registry)
{
    registry->credentials.get = NULL;
    registry->credentials.release = NULL;
}

static int make_locks(struct oci_registry *registry, rafs_error *err)
{
    registry->lock_ready = pthread_mutex_init(&registry->lock, NULL) == 0;
    registry->cond_ready = rafsi_cond_new(&registry->renewed);
    return registry->lock_ready && registry->cond_ready
               ? RAFS_OK
               : rafsi_fail_nomem(err, sizeof(*registry));
}

const struct rafsi_env *rafsi_registry_env(const struct oci_registry *registry)
{
    return &registry->env;
}

int rafsi_registry_start(rafs_http *http, const char *repo, struct oci_registry **out,
                         rafs_error *err)
{
    struct oci_registry *registry =
        rafsi_alloc_zero(rafsi_http_env(http), sizeof(*registry));
    int rc;

    if (!registry)
        return rafsi_fail_nomem(err, sizeof(*registry));
    registry->env = *rafsi_http_env(http);
    registry->http = http;
    atomic_init(&registry->users, 1);
    snprintf(registry->repo, sizeof(registry->repo), "%s", repo);
    rc = make_locks(registry, err);
    if (rc < 0)
        rafsi_registry_destroy(registry);
    else
        *out = registry;
    return rc;
}

int rafsi_registry_set_base(struct oci_registry *registry, const char *path,
                            rafs_error *err)
{
    size_t room = strlen(registry->host) + strlen(path) + sizeof("https:///v2");

    registry->base = rafsi_alloc(&registry->env, room);
    if (!registry->base)
        return rafsi_fail_nomem(err, room);
    snprintf(registry->base, room, "%s://%s%s", registry->plain ? "http" : "https",
             registry->host, path);
    snprintf(registry->name, sizeof(registry->name), "%s/%s", registry->host,
             registry->repo);
    return RAFS_OK;
}

int rafsi_registry_new(rafs_http *http, const struct oci_reference *reference,
                       const rafs_registry_options *options, struct oci_registry **out,
                       rafs_error *err)
{
    struct oci_registry *registry;
    int rc = rafsi_registry_start(http, reference->repo, &registry, err);

    if (rc < 0)
        return rc;
    if (options->credentials)
        rc = rafsi_take_struct(options->credentials, &registry->credentials,
                               sizeof(registry->credentials), "rafs_credentials_source",
                               err);
    snprintf(registry->host, sizeof(registry->host), "%s", reference->host);
    registry->plain_asked = (options->flags & RAFS_REGISTRY_PLAIN_HTTP) != 0;
    registry->plain = registry->plain_asked || rafsi_is_loopback(registry->host);
    if (rc == RAFS_OK)
        rc = rafsi_registry_set_base(registry, "/v2", err);
    if (rc < 0)
        rafsi_registry_destroy(registry);
    else
        *out = registry;
    return rc;
}

void rafsi_registry_writes(struct oci_registry *registry, const char *also)
{
    registry->writes = true;
    if (!also)
        return;
    pthread_mutex_lock(&registry->lock);
    if (strcmp(registry->also, also) != 0) {
        snprintf(registry->also, sizeof(registry->also), "%s", also);
        /* The token that is there does not reach so far. */
        if (registry->line)
            registry->pass.renew_ns = 1;
    }
    pthread_mutex_unlock(&registry->lock);
}

static void wait_slice(struct oci_registry *registry)
{
    rafsi_wait_ns(&registry->renewed, &registry->lock, 20 * 1000 * 1000);
}

/* Wait until nobody renews, or take that upon us (*ours). If the one that we waited for
 * failed, so did we: a server that refuses is not asked once for each thread. */
static int enter(struct oci_registry *registry, uint64_t seen, const rafs_call *call,
                 bool *ours, rafs_error *err)
{
    rafs_error failure;
    uint64_t failures = 0;
    bool waited = false;
    bool newer = false;
    bool failed = false;
    int rc = RAFS_OK;

    *ours = false;
    while (rc == RAFS_OK && !*ours && !newer && !failed) {
        pthread_mutex_lock(&registry->lock);
        newer = registry->pass.generation != seen;
        failed = !newer && waited && registry->failures != failures;
        failure = registry->failure;
        failures = registry->failures;
        waited = !newer && registry->renewing;
        if (waited)
            wait_slice(registry);
        else if (!newer && !failed)
            *ours = registry->renewing = true;
        pthread_mutex_unlock(&registry->lock);
        rc = rafsi_call_check(&registry->env, call, RAFS_STAGE_FETCH, err);
    }
    if (*ours || rc < 0 || newer)
        return *ours ? RAFS_OK : rc;
    if (err)
        *err = failure;
    return failure.code;
}

/* Why nobody will get in, for those who wait. What one thread's own deadline or token
 * ended says nothing about the others. */
static void note_failure(struct oci_registry *registry, int rc, const rafs_error *why)
{
    if (rc == RAFS_E_CANCELLED || rc == RAFS_E_TIMEOUT || rc == RAFS_E_NOMEM)
        return;
    registry->failures++;
    registry->failure = *why;
    registry->failure.code = rc;
}

static void swap(struct shared_text **a, struct shared_text **b)
{
    struct shared_text *was = *a;

    *a = *b;
    *b = was;
}

/* Get a newer pass than the one of generation `seen`, unless another thread has. */
static int renew(struct oci_registry *registry, uint64_t seen, const char *challenge,
                 uint32_t first, const rafs_call *call, rafs_error *err)
{
    rafs_error local = RAFS_ERROR_INIT;
    struct pass fresh = {0};
    struct shared_text *asked, *line = NULL;
    bool ours;
    int rc = enter(registry, seen, call, &ours, err);

    if (rc < 0 || !ours)
        return rc;
    rafs_call_count(call, RAFS_EVENT_RENEWAL, 1);
    asked = text_new(&registry->env, challenge);
    rc = rafsi_pass_make(registry, challenge, first, call, &fresh, &local);
    if (rc == RAFS_OK)
        line = text_new(&registry->env, fresh.authorization);
    rafsi_wipe_free(&registry->env, fresh.authorization);
    fresh.authorization = NULL;
    if (rc == RAFS_OK && (!asked || !line))
        rc = rafsi_fail_nomem(&local, 0);
    pthread_mutex_lock(&registry->lock);
    registry->renewing = false;
    if (rc == RAFS_OK) {
        fresh.generation = seen + 1;
        registry->pass = fresh;
        swap(&registry->line, &line);
        swap(&registry->challenge, &asked);
    } else {
        note_failure(registry, rc, &local);
        /* It was to be replaced early: now its end is waited for. */
        if (registry->pass.generation == seen)
            registry->pass.renew_ns = 0;
    }
    pthread_cond_broadcast(&registry->renewed);
    pthread_mutex_unlock(&registry->lock);
    text_drop(&registry->env, line);
    text_drop(&registry->env, asked);
    if (rc < 0 && err)
        *err = local;
    return rc;
}

/* The challenge that a refusal came with or, if it came with none, the last one. NULL:
 * there was none, or no memory. */
static struct shared_text *challenge_of(struct oci_registry *registry,
                                        const struct http_answer *answer)
{
    struct shared_text *last;

    if (answer->authenticate)
        return text_new(&registry->env, answer->authenticate);
    pthread_mutex_lock(&registry->lock);
    last = text_hold(registry->challenge);
    pthread_mutex_unlock(&registry->lock);
    return last;
}

/* The header line that lets us in, and the challenge to answer if it is about to end. */
static struct shared_text *current(struct oci_registry *registry, uint64_t *generation,
                                   struct shared_text **ending)
{
    uint64_t now = rafsi_now_ns(&registry->env);
    struct shared_text *line;
    bool ends;

    pthread_mutex_lock(&registry->lock);
    *generation = registry->pass.generation;
    line = text_hold(registry->line);
    ends =
        registry->pass.renew_ns && now >= registry->pass.renew_ns && !registry->renewing;
    *ending = ends ? text_hold(registry->challenge) : NULL;
    pthread_mutex_unlock(&registry->lock);
    return line;
}

/* The same, replaced in time. If that fails, the old one may still do. */
static struct shared_text *fresh_line(struct oci_registry *registry, uint64_t *generation,
                                      const rafs_call *call)
{
    struct shared_text *ending;
    struct shared_text *line = current(registry, generation, &ending);

    if (!ending)
        return line;
    text_drop(&registry->env, line);
    renew(registry, *generation, ending->text, 0, call, NULL);
    text_drop(&registry->env, ending);
    line = current(registry, generation, &ending);
    text_drop(&registry->env, ending);
    return line;
}

static int registry_ask(void *user, struct http_request *request, const rafs_call *call,
                        struct http_answer *answer, rafs_error *err)
{
    struct oci_registry *registry = user;
    size_t before = request->header_count;
    int rc = RAFS_OK;

    for (unsigned i = 0; i < ASK_TRIES; i++) {
        uint64_t generation;
        struct shared_text *line = fresh_line(registry, &generation, call);
        struct shared_text *challenge;
        bool was_in = line != NULL;

        if (line)
            request->headers[request->header_count++] = line->text;
        rc = rafsi_http_do(registry->http, request, call, answer, err);
        request->header_count = before;
        text_drop(&registry->env, line);
        if (rc < 0 || (answer->status != 401 && !(answer->status == 403 && was_in)) ||
            i + 1 == ASK_TRIES)
            return rc;
        challenge = challenge_of(registry, answer);
        if (!challenge)
            return rc;
        /* Refused though we had a pass: the credentials may have changed. */
        rc = renew(registry, generation, challenge->text, was_in && i > 0, call, err);
        text_drop(&registry->env, challenge);
        rafsi_http_drop(registry->http, answer);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int registry_url(void *user, const char *blob_id, char *out, size_t room,
                        rafs_error *err)
{
    const struct oci_registry *registry = user;

    if (strlen(blob_id) != 64 || strspn(blob_id, "0123456789abcdef") != 64)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                          "%s: only blobs named by a SHA-256 are in a registry",
                          registry->name);
    snprintf(out, room, "%s/%s/blobs/sha256:%s%s", registry->base, registry->repo,
             blob_id, registry->query);
    return RAFS_OK;
}

static void registry_release(void *user)
{
    rafsi_registry_drop(user);
}

struct http_site rafsi_registry_site(struct oci_registry *registry)
{
    return (struct http_site){.http = registry->http,
                              .user = registry,
                              .name = registry->host,
                              .url = registry_url,
                              .ask = registry_ask,
                              .release = registry_release};
}

int rafsi_registry_backend(struct oci_registry *registry, rafs_backend **out,
                           rafs_error *err)
{
    struct http_site site = rafsi_registry_site(registry);
    int rc = rafsi_backend_new_site(&site, out, err);

    if (rc == RAFS_OK)
        rafsi_registry_hold(registry);
    return rc;
}

/* A body of unknown length, as it comes. */
struct document {
    const struct rafsi_env *env;
    uint8_t *at;
    size_t len, room;
};

static int add_piece(void *user, const uint8_t *at, size_t len, rafs_error *err)
{
    struct document *document = user;

    if (len > document->room - document->len) {
        size_t room = (document->len + len) * 2;
        uint8_t *more = rafsi_alloc(document->env, room);

        if (!more)
            return rafsi_fail_nomem(err, room);
        if (document->len > 0)
            memcpy(more, document->at, document->len);
        rafsi_free(document->env, document->at);
        document->at = more;
        document->room = room;
    }
    memcpy(document->at + document->len, at, len);
    document->len += len;
    return RAFS_OK;
}

/* URL of a document below /v2/REPO/, and the header line that says what is understood. */
static int document_url(const struct oci_registry *registry,
                        const struct oci_wanted *wanted, char *out, size_t room,
                        const char **accept, rafs_error *err)
{
    static const struct {
        const char *folder, *accept;
    } kinds[] = {
        [OCI_GET_MANIFEST] = {"manifests", "Accept: " OCI_ACCEPT},
        [OCI_GET_LAYER] = {"blobs", NULL},
        [OCI_GET_REFERRERS] = {"referrers",
                               "Accept: application/vnd.oci.image.index.v1+json"},
    };
    char digest[OCI_DIGEST_TEXT];

    *accept = kinds[wanted->what].accept;
    if (wanted->digest)
        rafsi_oci_digest_text(wanted->digest, digest);
    if ((size_t)snprintf(out, room, "%s/%s/%s/%s%s", registry->base, registry->repo,
                         kinds[wanted->what].folder,
                         wanted->digest ? digest : wanted->tag, registry->query) < room)
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, NULL, "the URL is too long");
}

static int registry_get(void *user, const struct oci_wanted *wanted,
                        const struct rafsi_env *env, const rafs_call *call, uint8_t **out,
                        size_t *len, rafs_error *err)
{
    static const char *const names[] = {[OCI_GET_MANIFEST] = "manifest",
                                        [OCI_GET_LAYER] = "layer",
                                        [OCI_GET_REFERRERS] = "list of referrers"};
    struct oci_registry *registry = user;
    struct http_site site = rafsi_registry_site(registry);
    struct document document = {.env = env};
    struct http_request request = {
        .piece = add_piece, .user = &document, .piece_max = wanted->limit};
    struct http_answer answer;
    char url[HTTP_URL_MAX];
    const char *accept;
    int rc = document_url(registry, wanted, url, sizeof(url), &accept, err);

    if (rc < 0)
        return rc;
    request.url = url;
    if (accept)
        request.headers[request.header_count++] = accept;
    rc = rafsi_site_get(&site, &request, call, &answer, NULL, err);
    if (rc == RAFS_OK) {
        rc = rafsi_http_judge(&answer, url, names[wanted->what], err);
        rafsi_http_drop(registry->http, &answer);
    }
    if (rc < 0) {
        rafsi_free(env, document.at);
        return rc;
    }
    *out = document.at;
    *len = document.len;
    return RAFS_OK;
}

struct oci_store rafsi_registry_store(struct oci_registry *registry)
{
    return (struct oci_store){
        .user = registry, .name = "the registry", .get = registry_get};
}
