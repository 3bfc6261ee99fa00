/* SPDX-License-Identifier: Apache-2.0 */
/* Header lines of an answer. They come from anybody. */
#include <strings.h>

#include "backend/http_client.h"

enum { VALUE_MAX = 16384, RETRY_AFTER_MAX_S = 3600 };

void rafsi_http_headers_reset(struct http_attempt *attempt)
{
    struct http_answer *answer = attempt->answer;
    rafs_http *http = attempt->http;

    rafsi_http_drop(http, answer);
    answer->total = UINT64_MAX;
    attempt->length = UINT64_MAX;
    attempt->has_range = false;
    attempt->encoded = false;
    attempt->retry_ms = 0;
    attempt->broken = NULL;
    attempt->begun = false;
}

/* Digits alone, no sign; false if there are none or the number is too large. */
static bool take_number(const char **at, const char *end, uint64_t *out)
{
    const char *from = *at;
    uint64_t value = 0;

    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');

        if (value > (INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return *at > from;
}

static bool take_char(const char **at, const char *end, char wanted)
{
    if (*at == end || **at != wanted)
        return false;
    ++*at;
    return true;
}

/* bytes FIRST-LAST/TOTAL, where TOTAL may be '*', and "bytes *" "/TOTAL" with 416. */
static void content_range(struct http_attempt *attempt, const char *at, const char *end)
{
    uint64_t total = UINT64_MAX;
    bool good = end - at > 6 && strncasecmp(at, "bytes ", 6) == 0;

    if (attempt->has_range)
        attempt->broken = "two Content-Range headers";
    at += good ? 6 : 0;
    if (good && *at == '*') {
        at++;
        good = take_char(&at, end, '/') && take_number(&at, end, &total) && at == end;
        attempt->answer->total = good ? total : UINT64_MAX;
        return;
    }
    good = good && take_number(&at, end, &attempt->range_first) &&
           take_char(&at, end, '-') && take_number(&at, end, &attempt->range_last) &&
           take_char(&at, end, '/');
    if (good && at + 1 == end && *at == '*')
        at++;
    else
        good = good && take_number(&at, end, &total);
    good = good && at == end && attempt->range_first <= attempt->range_last &&
           (total == UINT64_MAX || attempt->range_last < total);
    if (!good) {
        attempt->broken = "a Content-Range that is none";
        return;
    }
    attempt->has_range = true;
    attempt->range_total = total;
}

/* Keep a value; several of one name become lines. */
static void keep(struct http_attempt *attempt, char **to, const char *at, size_t len)
{
    const struct rafsi_env *env = &attempt->http->env;
    size_t before = *to ? strlen(*to) + 1 : 0;
    char *text;

    if (before + len > VALUE_MAX || memchr(at, '\0', len))
        return;
    text = rafsi_alloc(env, before + len + 1);
    if (!text) {
        attempt->rc = rafsi_fail_nomem(&attempt->error, before + len + 1);
        return;
    }
    if (*to) {
        memcpy(text, *to, before - 1);
        text[before - 1] = '\n';
    }
    memcpy(text + before, at, len);
    text[before + len] = '\0';
    rafsi_free(env, *to);
    *to = text;
}

/* Seconds; a date is not worth a parser, so it counts as a second. */
static void retry_after(struct http_attempt *attempt, const char *at, const char *end)
{
    uint64_t seconds = 1;

    if (!take_number(&at, end, &seconds))
        seconds = 1;
    attempt->retry_ms = rafsi_min(seconds, RETRY_AFTER_MAX_S) * 1000;
}

/* A Location relative to the URL that was asked, by RFC 3986. */
static void location(struct http_attempt *attempt, const char *at, size_t len)
{
    char *text = NULL;
    char *whole = NULL;
    CURLU *url = curl_url();

    if (len <= HTTP_URL_MAX)
        keep(attempt, &text, at, len);
    rafsi_free(&attempt->http->env, attempt->answer->location);
    attempt->answer->location = NULL;
    if (url && text && curl_url_set(url, CURLUPART_URL, attempt->request->url, 0) == 0 &&
        curl_url_set(url, CURLUPART_URL, text, 0) == 0 &&
        curl_url_get(url, CURLUPART_URL, &whole, 0) == 0)
        keep(attempt, &attempt->answer->location, whole, strlen(whole));
    curl_free(whole);
    curl_url_cleanup(url);
    rafsi_free(&attempt->http->env, text);
}

static bool named(const char *line, size_t name_len, const char *name)
{
    return strlen(name) == name_len && strncasecmp(line, name, name_len) == 0;
}

void rafsi_http_header(struct http_attempt *attempt, const char *line, size_t len)
{
    struct http_answer *answer = attempt->answer;
    const char *end = line + len;
    const char *at = memchr(line, ':', len);
    size_t name_len;
    uint64_t number;

    if (!at)
        return;
    name_len = (size_t)(at++ - line);
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    len = (size_t)(end - at);
    if (named(line, name_len, "content-range")) {
        content_range(attempt, at, end);
    } else if (named(line, name_len, "content-length")) {
        if (take_number(&at, end, &number) && at == end)
            attempt->length = number;
    } else if (named(line, name_len, "content-encoding")) {
        attempt->encoded = len > 0 && !(len == 8 && strncasecmp(at, "identity", 8) == 0);
    } else if (named(line, name_len, "retry-after")) {
        retry_after(attempt, at, end);
    } else if (named(line, name_len, "location")) {
        location(attempt, at, len);
    } else if (named(line, name_len, "www-authenticate")) {
        keep(attempt, &answer->authenticate, at, len);
    } else if (named(line, name_len, "content-type")) {
        keep(attempt, &answer->content_type, at, len);
    } else if (named(line, name_len, "docker-content-digest")) {
        keep(attempt, &answer->digest, at, len);
    } else if (named(line, name_len, "x-dragonfly-error-type")) {
        keep(attempt, &answer->error_type, at, len);
    } else if (named(line, name_len, "link")) {
        keep(attempt, &answer->link, at, len);
    }
}
