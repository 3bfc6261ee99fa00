/* SPDX-License-Identifier: Apache-2.0 */
/* What libcurl is told before an attempt. It reads no environment for what is said here,
 * so all is said, even that there is no proxy. */
#include "backend/http_address.h"
#include "backend/http_client.h"

enum { SLOW_BYTES_PER_S = 512 };

static void set_security(CURL *easy, const rafs_http *http)
{
    if (http->texts[HTTP_CA_FILE])
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->texts[HTTP_CA_FILE]);
    if (http->texts[HTTP_CA_DIR])
        curl_easy_setopt(easy, CURLOPT_CAPATH, http->texts[HTTP_CA_DIR]);
    if (http->texts[HTTP_CLIENT_CERT])
        curl_easy_setopt(easy, CURLOPT_SSLCERT, http->texts[HTTP_CLIENT_CERT]);
    if (http->texts[HTTP_CLIENT_CERT])
        curl_easy_setopt(easy, CURLOPT_SSLKEY,
                         http->texts[HTTP_CLIENT_KEY] ? http->texts[HTTP_CLIENT_KEY]
                                                      : http->texts[HTTP_CLIENT_CERT]);
    if (http->options.flags & RAFS_HTTP_INSECURE) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    /* Said here, so that no configuration of OpenSSL's allows for less. */
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

/* A proxy that is itself reached by TLS is believed as the servers are. */
static void set_proxy_security(CURL *easy, const rafs_http *http)
{
    if (http->texts[HTTP_CA_FILE])
        curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, http->texts[HTTP_CA_FILE]);
    if (http->texts[HTTP_CA_DIR])
        curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, http->texts[HTTP_CA_DIR]);
    if (http->options.flags & RAFS_HTTP_INSECURE) {
        curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
}

/* An empty text, not NULL: with NULL libcurl looks into the environment. */
static void set_proxy(CURL *easy, const rafs_http *http, const char *url, const char *via)
{
    bool tls = strncmp(url, "https:", 6) == 0;
    const char *proxy = http->texts[tls ? HTTPS_PROXY : HTTP_PROXY];
    const char *direct = http->texts[HTTP_NO_PROXY];

    if (via) {
        proxy = via;
        direct = NULL;
    }
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy ? proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, direct ? direct : "");
    set_proxy_security(easy, http);
    if (tls)
        curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static bool append(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);

    if (more)
        *list = more;
    return more != NULL;
}

struct curl_slist *rafsi_http_lines(const struct http_attempt *attempt)
{
    const struct http_request *request = attempt->request;
    struct curl_slist *list = NULL;
    bool good = append(&list, "Expect:");
    char range[80];

    for (size_t i = 0; !request->bare && i < attempt->http->header_count && good; i++)
        good = append(&list, attempt->http->headers[i]);
    for (size_t i = 0; i < request->header_count && good; i++)
        good = append(&list, request->headers[i]);
    if (good && attempt->ask_range) {
        if (attempt->until == UINT64_MAX || !request->ranged)
            snprintf(range, sizeof(range), "Range: bytes=%llu-",
                     (unsigned long long)attempt->from);
        else
            snprintf(range, sizeof(range), "Range: bytes=%llu-%llu",
                     (unsigned long long)attempt->from,
                     (unsigned long long)attempt->until - 1);
        good = append(&list, range);
    }
    if (good)
        return list;
    curl_slist_free_all(list);
    return NULL;
}

/* A socket for an address that a name led to, unless a server may not lead us there. */
static curl_socket_t on_socket(void *user, curlsocktype purpose,
                               struct curl_sockaddr *address)
{
    struct http_attempt *attempt = user;

    (void)purpose;
    if (attempt->request->guarded && rafsi_address_link_local(&address->addr)) {
        attempt->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    /* No program that is started meanwhile inherits it. */
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

void rafsi_http_set(CURL *easy, struct http_attempt *attempt, struct curl_slist *headers,
                    char *text)
{
    const struct http_request *request = attempt->request;
    const rafs_http *http = attempt->http;
    const char *method = request->method ? request->method : "GET";
    const char *url = request->sent_url ? request->sent_url : request->url;
    uint32_t patience_ms =
        request->patience_ms ? request->patience_ms : http->options.stall_timeout_ms;

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* wait for no resolver thread */
#endif
    curl_easy_setopt(easy, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, http->texts[HTTP_USER_AGENT]);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)http->options.connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_S);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(patience_ms + 999) / 1000);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, attempt);
    set_security(easy, http);
    set_proxy(easy, http, url, request->via);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)request->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    } else if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
}
