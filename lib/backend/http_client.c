/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/http_client.h"

#include <errno.h>
#include <time.h>

enum { HEADERS_MAX = 64, RATE_BURST_MS = 100 };

/* Once in a process, as libcurl asks for; it is not undone, for others may use it. */
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static int curl_state;

static void start_curl(void)
{
    curl_state = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 1 : -1;
}

void rafs_http_options_init(rafs_http_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

void rafs_p2p_options_init(rafs_p2p_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static bool is_header(const char *line)
{
    size_t name;

    if (!line)
        return false;
    name = strcspn(line, ":");
    return name > 0 && line[name] == ':' && strpbrk(line, "\r\n") == NULL &&
           strcspn(line, " \t") > name;
}

static int check_options(const rafs_http_options *options, rafs_error *err)
{
    if (options->flags & ~(uint32_t)RAFS_HTTP_INSECURE)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                          "rafs_http_options", "flags 0x%x are not known",
                          options->flags);
    if (options->header_count > HEADERS_MAX ||
        (options->header_count > 0 && !options->headers))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_http_options",
                          "headers is NULL, or there are more than %d", HEADERS_MAX);
    for (size_t i = 0; i < options->header_count; i++)
        if (!is_header(options->headers[i]))
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT,
                              "rafs_http_options",
                              "header %zu is not \"Name: value\" on one line", i);
    return RAFS_OK;
}

static int copy_texts(rafs_http *http, rafs_http_options *from, rafs_error *err)
{
    const char *const texts[] = {
        from->ca_file,
        from->ca_dir,
        from->client_cert,
        from->client_key,
        from->http_proxy,
        from->https_proxy,
        from->no_proxy,
        from->user_agent ? from->user_agent : "librafs/" RAFS_VERSION_STRING};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!texts[i])
            continue;
        http->texts[i] = rafsi_strdup(&http->env, texts[i]);
        if (!http->texts[i])
            return rafsi_fail_nomem(err, strlen(texts[i]));
    }
    if (from->header_count == 0)
        return RAFS_OK;
    http->headers = rafsi_alloc_zero(&http->env, from->header_count * sizeof(char *));
    if (!http->headers)
        return rafsi_fail_nomem(err, from->header_count * sizeof(char *));
    for (; http->header_count < from->header_count; http->header_count++) {
        const char *line = from->headers[http->header_count];

        http->headers[http->header_count] = rafsi_strdup(&http->env, line);
        if (!http->headers[http->header_count])
            return rafsi_fail_nomem(err, strlen(line));
    }
    return RAFS_OK;
}

static int make_locks(rafs_http *http, rafs_error *err)
{
    http->lock_ready = pthread_mutex_init(&http->lock, NULL) == 0;
    http->rate_ready = pthread_mutex_init(&http->rate_lock, NULL) == 0;
    http->cond_ready = rafsi_cond_new(&http->given);
    if (http->lock_ready && http->rate_ready && http->cond_ready)
        return RAFS_OK;
    return rafsi_fail_nomem(err, sizeof(*http));
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

int rafs_http_new(const rafs_http_options *options, rafs_http **out, rafs_error *err)
{
    rafs_http_options from;
    struct rafsi_env env;
    rafs_http *http;
    int rc;

    if (!out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "out", "is NULL");
    rc = rafsi_take_struct(options, &from, sizeof(from), "rafs_http_options", err);
    if (rc == RAFS_OK)
        rc = check_options(&from, err);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(from.env, &env, err);
    if (rc < 0)
        return rc;
    pthread_once(&curl_once, start_curl);
    if (curl_state < 0)
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_ARGUMENT, "libcurl",
                          "cannot start");
    http = rafsi_alloc_zero(&env, sizeof(*http));
    if (!http)
        return rafsi_fail_nomem(err, sizeof(*http));
    http->env = env;
    atomic_init(&http->reached, false);
    http->options.flags = from.flags;
    http->options.connect_timeout_ms = or_default(from.connect_timeout_ms, 10000);
    http->options.stall_timeout_ms = or_default(from.stall_timeout_ms, 20000);
    http->options.retry_ms = or_default(from.retry_ms, 60000);
    http->options.connections_max = or_default(from.connections_max, 16);
    http->options.bytes_per_second = from.bytes_per_second;
    rc = make_locks(http, err);
    if (rc == RAFS_OK)
        rc = copy_texts(http, &from, err);
    if (rc == RAFS_OK && from.p2p)
        rc = rafsi_p2p_new(http, from.p2p, &http->p2p, err);
    if (rc < 0) {
        rafs_http_free(http);
        return rc;
    }
    *out = http;
    return RAFS_OK;
}

static void free_slot(rafs_http *http, struct http_slot *slot)
{
    if (slot->multi)
        curl_multi_cleanup(slot->multi);
    if (slot->sessions)
        curl_share_cleanup(slot->sessions);
    rafsi_free(&http->env, slot);
}

void rafs_http_free(rafs_http *http)
{
    if (!http)
        return;
    while (http->idle) {
        struct http_slot *slot = http->idle;

        http->idle = slot->next;
        free_slot(http, slot);
    }
    rafsi_p2p_free(http, http->p2p);
    for (size_t i = 0; i < sizeof(http->texts) / sizeof(http->texts[0]); i++)
        rafsi_free(&http->env, http->texts[i]);
    for (size_t i = 0; i < http->header_count; i++)
        rafsi_free(&http->env, http->headers[i]);
    rafsi_free(&http->env, http->headers);
    if (http->cond_ready)
        pthread_cond_destroy(&http->given);
    if (http->rate_ready)
        pthread_mutex_destroy(&http->rate_lock);
    if (http->lock_ready)
        pthread_mutex_destroy(&http->lock);
    rafsi_free(&http->env, http);
}

const struct rafsi_env *rafsi_http_env(const rafs_http *http)
{
    return &http->env;
}

static struct http_slot *make_slot(rafs_http *http)
{
    struct http_slot *slot = rafsi_alloc_zero(&http->env, sizeof(*slot));

    if (!slot)
        return NULL;
    slot->multi = curl_multi_init();
    slot->sessions = curl_share_init();
    if (slot->multi && slot->sessions &&
        curl_share_setopt(slot->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) ==
            CURLSHE_OK)
        return slot;
    free_slot(http, slot);
    return NULL;
}

/* The idle slot whose connection leads where we want to go, else any. */
static struct http_slot *pick(rafs_http *http, const char *origin)
{
    struct http_slot **at = &http->idle;
    struct http_slot *slot;

    while (*at && strcmp((*at)->origin, origin) != 0)
        at = &(*at)->next;
    if (!*at)
        at = &http->idle;
    slot = *at;
    if (slot)
        *at = slot->next;
    return slot;
}

static void wait_for_slot(rafs_http *http)
{
    rafsi_wait_ns(&http->given, &http->lock, 20 * 1000 * 1000);
}

int rafsi_http_take(rafs_http *http, const char *origin, const rafs_call *call,
                    struct http_slot **out, rafs_error *err)
{
    struct http_slot *slot = NULL;
    bool make = false;
    int rc = RAFS_OK;

    while (!slot && !make && rc == RAFS_OK) {
        pthread_mutex_lock(&http->lock);
        slot = pick(http, origin);
        make = !slot && http->slots < http->options.connections_max;
        if (make)
            http->slots++;
        else if (!slot)
            wait_for_slot(http);
        pthread_mutex_unlock(&http->lock);
        if (!slot && !make)
            rc = rafsi_call_check(&http->env, call, RAFS_STAGE_FETCH, err);
    }
    if (make)
        slot = make_slot(http);
    if (make && !slot) {
        pthread_mutex_lock(&http->lock);
        http->slots--;
        pthread_mutex_unlock(&http->lock);
        return rafsi_fail_nomem(err, sizeof(*slot));
    }
    if (rc < 0)
        return rc;
    snprintf(slot->origin, sizeof(slot->origin), "%s", origin);
    *out = slot;
    return RAFS_OK;
}

void rafsi_http_give(rafs_http *http, struct http_slot *slot, bool keep)
{
    if (!keep) {
        free_slot(http, slot);
        slot = NULL;
    }
    pthread_mutex_lock(&http->lock);
    if (slot) {
        slot->next = http->idle;
        http->idle = slot;
    } else {
        http->slots--;
    }
    pthread_cond_signal(&http->given);
    pthread_mutex_unlock(&http->lock);
}

void rafsi_http_pay(rafs_http *http, size_t len)
{
    uint64_t rate = http->options.bytes_per_second;
    uint64_t now;

    if (rate == 0)
        return;
    now = rafsi_now_ns(&http->env);
    pthread_mutex_lock(&http->rate_lock);
    if (http->paid_until_ns < now)
        http->paid_until_ns = now;
    http->paid_until_ns += (uint64_t)((double)len * 1e9 / (double)rate);
    pthread_mutex_unlock(&http->rate_lock);
}

uint64_t rafsi_http_debt(rafs_http *http)
{
    uint64_t now, until;

    if (http->options.bytes_per_second == 0)
        return 0;
    now = rafsi_now_ns(&http->env);
    pthread_mutex_lock(&http->rate_lock);
    until = http->paid_until_ns;
    pthread_mutex_unlock(&http->rate_lock);
    now += (uint64_t)RATE_BURST_MS * 1000000;
    return until > now ? until - now : 0;
}
