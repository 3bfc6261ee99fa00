/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bucket is, out of what a program says about it. */
#include <arpa/inet.h>
#include <stdio.h>

#include "backend/bucket.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static int refuse(rafs_error *err, const char *what, const char *why)
{
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, what, "%s", why);
}

/* Characters of a text that all are between '!' (or ' ') and '~'. */
static bool is_printable(const char *text, size_t room, char first)
{
    size_t len = strnlen(text, room);

    if (len == room)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < first || text[i] > '~')
            return false;
    return true;
}

int rafsi_bucket_check_key(const rafs_bucket_key *key, rafs_error *err)
{
    if (!is_printable(key->id, sizeof(key->id), '!') ||
        !is_printable(key->secret, sizeof(key->secret), ' ') ||
        !is_printable(key->session_token, sizeof(key->session_token), '!'))
        return refuse(err, "key", "a part of it is too long, or not printable ASCII");
    if (!key->id[0] != !key->secret[0] || (key->session_token[0] && !key->id[0]))
        return refuse(err, "key", "ID and secret go together");
    return RAFS_OK;
}

static int take_name(struct bucket *bucket, const char *name, rafs_error *err)
{
    if (!name || !name[0])
        return refuse(err, "bucket", "there must be one");
    if (strlen(name) >= sizeof(bucket->name) ||
        strspn(name, LETTERS CAPITALS DIGITS "._-") != strlen(name) || name[0] == '.' ||
        strstr(name, ".."))
        return refuse(err, "bucket",
                      "is no name of a bucket: letters, digits, '.', '_' and '-'");
    memcpy(bucket->name, name, strlen(name) + 1);
    return RAFS_OK;
}

static int take_region(struct bucket *bucket, const char *region, rafs_error *err)
{
    if (!region || !region[0])
        region = bucket->kind->default_region;
    if (!region)
        return RAFS_OK;
    if (strlen(region) >= sizeof(bucket->region) ||
        strspn(region, LETTERS CAPITALS DIGITS "_-") != strlen(region))
        return refuse(err, "region", "is none: letters, digits, '_' and '-'");
    memcpy(bucket->region, region, strlen(region) + 1);
    return RAFS_OK;
}

static int check_prefix(const char *prefix, rafs_error *err)
{
    if (strlen(prefix) > 1024)
        return refuse(err, "prefix", "is longer than 1024 bytes");
    for (const char *at = prefix;; at++) {
        size_t len = strcspn(at, "/");

        if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
            return refuse(err, "prefix", "a part of it is '.' or '..'");
        at += len;
        if (!*at)
            return RAFS_OK;
    }
}

/* "scheme://host:port" apart, with a port only where it is not the scheme's own. */
static int split_endpoint(const char *endpoint, bool *tls, char *host, size_t room,
                          rafs_error *err)
{
    char url[300], origin[300];
    const char *port;

    if ((size_t)snprintf(url, sizeof(url), "%s%s",
                         strstr(endpoint, "://") ? "" : "https://",
                         endpoint) >= sizeof(url) ||
        rafsi_url_origin(url, origin, sizeof(origin), NULL) < 0)
        return refuse(err, "endpoint", "is not http(s)://HOST[:PORT] or HOST[:PORT]");
    endpoint = strstr(url, "://") + 3;
    if (endpoint[strcspn(endpoint, "/?#@")] != '\0' &&
        strcmp(endpoint + strcspn(endpoint, "/?#@"), "/") != 0)
        return refuse(err, "endpoint", "has more than a host and a port in it");
    *tls = strncmp(origin, "https:", 6) == 0;
    port = strrchr(origin, ':');
    if (strcmp(port, *tls ? ":443" : ":80") == 0)
        origin[port - origin] = '\0';
    snprintf(host, room, "%s", strstr(origin, "://") + 3);
    return RAFS_OK;
}

static bool is_address(const char *host)
{
    char text[64];
    uint8_t bytes[4];

    if (host[0] == '[')
        return true;
    snprintf(text, sizeof(text), "%.*s", (int)rafsi_min(strcspn(host, ":"), 63), host);
    return inet_pton(AF_INET, text, bytes) == 1;
}

/* A bucket in the host's place has to be a name that DNS and certificates can have. */
static bool fits_host(const char *name, bool tls)
{
    return strlen(name) <= 63 && !strchr(name, '_') && !(tls && strchr(name, '.')) &&
           strpbrk(name, CAPITALS) == NULL;
}

static int choose_style(struct bucket *bucket, uint32_t flags, bool given, bool tls,
                        const char *host, rafs_error *err)
{
    const uint32_t both = RAFS_BUCKET_PATH_STYLE | RAFS_BUCKET_VIRTUAL_HOST;

    if (flags & ~both)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                          "rafs_bucket_options", "flags 0x%x are not known", flags);
    if ((flags & both) == both)
        return refuse(err, "rafs_bucket_options", "path and virtual host at once");
    if (flags & RAFS_BUCKET_VIRTUAL_HOST)
        bucket->by_path = false;
    else
        bucket->by_path = flags & RAFS_BUCKET_PATH_STYLE ||
                          (given && bucket->kind->path_elsewhere) || is_address(host) ||
                          !fits_host(bucket->name, tls);
    return RAFS_OK;
}

/* The URL before a blob's id. */
static int make_base(struct bucket *bucket, const char *prefix, bool tls, rafs_error *err)
{
    enum { ROOM = HTTP_URL_MAX / 2 };
    char *text = rafsi_alloc(&bucket->env, ROOM);
    size_t used;

    if (!text)
        return rafsi_fail_nomem(err, ROOM);
    used =
        (size_t)snprintf(text, ROOM, "http%s://%s/%s%s", tls ? "s" : "", bucket->host,
                         bucket->by_path ? bucket->name : "", bucket->by_path ? "/" : "");
    if (rafsi_url_append(text, used, ROOM, prefix, "/") == ROOM) {
        rafsi_free(&bucket->env, text);
        return refuse(err, "prefix", "is too long");
    }
    bucket->base = text;
    return RAFS_OK;
}

int rafsi_bucket_place(struct bucket *bucket, const rafs_bucket_options *options,
                       rafs_error *err)
{
    const char *prefix = options->prefix ? options->prefix : "";
    bool given = options->endpoint && options->endpoint[0];
    char endpoint[160], host[300];
    bool tls = true;
    int rc = take_name(bucket, options->bucket, err);

    if (rc == RAFS_OK)
        rc = take_region(bucket, options->region, err);
    if (rc == RAFS_OK)
        rc = check_prefix(prefix, err);
    if (rc == RAFS_OK && !given && !bucket->kind->default_endpoint)
        rc = refuse(err, "endpoint",
                    "there must be one, such as "
                    "oss-cn-hangzhou.aliyuncs.com");
    if (rc < 0)
        return rc;
    if (!given)
        snprintf(endpoint, sizeof(endpoint), "%s%s%s", bucket->kind->default_endpoint,
                 bucket->region,
                 strncmp(bucket->region, "cn-", 3) == 0 ? ".amazonaws.com.cn"
                                                        : ".amazonaws.com");
    rc = split_endpoint(given ? options->endpoint : endpoint, &tls, host, sizeof(host),
                        err);
    if (rc == RAFS_OK)
        rc = choose_style(bucket, options->flags, given, tls, host, err);
    if (rc < 0)
        return rc;
    snprintf(bucket->host, sizeof(bucket->host), "%s%s%s",
             bucket->by_path ? "" : bucket->name, bucket->by_path ? "" : ".", host);
    return make_base(bucket, prefix, tls, err);
}
