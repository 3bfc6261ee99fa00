/* SPDX-License-Identifier: Apache-2.0 */
/* Header lines of an answer. They come from anybody. */
#include <strings.h>
#include <time.h>

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
    attempt->transfer = false;
    attempt->retry_ms = 0;
    attempt->retry_at = attempt->date = -1;
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

/* A time as HTTP writes it; -1 if it is none. */
static int64_t take_date(const char *at, size_t len)
{
    char text[64];

    if (len >= sizeof(text))
        return -1;
    memcpy(text, at, len);
    text[len] = '\0';
    return (int64_t)curl_getdate(text, NULL);
}

/* Seconds, or a time; what is neither counts as a second. */
static void retry_after(struct http_attempt *attempt, const char *at, const char *end)
{
    const char *from = at;
    uint64_t seconds = 0;
    bool number = from < end && *from >= '0' && *from <= '9';

    if (take_number(&at, end, &seconds) && at == end)
        attempt->retry_ms = rafsi_min(seconds, RETRY_AFTER_MAX_S) * 1000;
    else if (number)
        attempt->retry_ms = (uint64_t)RETRY_AFTER_MAX_S * 1000;
    else
        attempt->retry_at = take_date(from, (size_t)(end - from));
    if (!number && attempt->retry_at < 0)
        attempt->retry_ms = 1000;
}

uint64_t rafsi_http_retry_after(const struct http_attempt *attempt)
{
    /* The server's own clock, if it says what it shows: ours may be wrong. */
    int64_t now = attempt->date >= 0 ? attempt->date : (int64_t)time(NULL);

    if (attempt->retry_at < 0 || attempt->retry_at <= now)
        return attempt->retry_ms;
    return rafsi_min((uint64_t)(attempt->retry_at - now), RETRY_AFTER_MAX_S) * 1000;
}

/* A Location relative to the URL that was asked, by RFC 3986. */
static void location(struct http_attempt *attempt, const char *at, size_t len)
{
    char *text = NULL;
    char *whole = NULL;
    char *user = NULL;
    CURLU *url = curl_url();

    if (len <= HTTP_URL_MAX)
        keep(attempt, &text, at, len);
    if (attempt->answer->location)
        attempt->broken = "two Location headers";
    /* Who sends us somewhere does not choose as whom. */
    if (url && text && curl_url_set(url, CURLUPART_URL, attempt->request->url, 0) == 0 &&
        curl_url_set(url, CURLUPART_URL, text, 0) == 0 &&
        curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
        curl_url_get(url, CURLUPART_URL, &whole, 0) == 0 && !attempt->answer->location)
        keep(attempt, &attempt->answer->location, whole, strlen(whole));
    curl_free(user);
    curl_free(whole);
    curl_url_cleanup(url);
    rafsi_free(&attempt->http->env, text);
}

static void content_length(struct http_attempt *attempt, const char *at, const char *end)
{
    uint64_t number;

    if (!take_number(&at, end, &number) || at != end)
        attempt->broken = "a Content-Length that is none";
    else if (attempt->length != UINT64_MAX && attempt->length != number)
        attempt->broken = "two Content-Lengths that contradict each other";
    else
        attempt->length = number;
}

/* Only the cutting into chunks is allowed for: nothing else was asked for. */
static void transfer_encoding(struct http_attempt *attempt, const char *at, size_t len)
{
    attempt->transfer = true;
    if (!(len == 7 && strncasecmp(at, "chunked", 7) == 0))
        attempt->broken = "a Transfer-Encoding that was not asked for";
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

    /* What comes behind the body has no say. */
    if (!at || attempt->begun)
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
        content_length(attempt, at, end);
    } else if (named(line, name_len, "transfer-encoding")) {
        transfer_encoding(attempt, at, len);
    } else if (named(line, name_len, "content-encoding")) {
        attempt->encoded = len > 0 && !(len == 8 && strncasecmp(at, "identity", 8) == 0);
    } else if (named(line, name_len, "retry-after")) {
        retry_after(attempt, at, end);
    } else if (named(line, name_len, "date")) {
        attempt->date = take_date(at, len);
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
    } else if (named(line, name_len, "range")) {
        keep(attempt, &answer->range, at, len);
    } else if (named(line, name_len, "oci-subject")) {
        keep(attempt, &answer->subject, at, len);
    } else if (named(line, name_len, "oci-chunk-min-length")) {
        keep(attempt, &answer->chunk_min, at, len);
    }
}
