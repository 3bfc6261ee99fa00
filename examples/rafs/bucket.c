/* SPDX-License-Identifier: Apache-2.0 */
/* s3://BUCKET/KEY and oss://BUCKET/KEY. */
#include "bucket.h"

#include <stdlib.h>
#include <string.h>

#include "remote.h"

static bool is_oss(const char *url)
{
    return strncmp(url, "oss:", 4) == 0;
}

/* A source for objects PREFIX+ID in the bucket. */
static bool add(struct command *c, const char *url, const char *bucket,
                const char *prefix, const struct bucket_settings *settings)
{
    rafs_bucket_options options = RAFS_BUCKET_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend **out = remote_slot(c);
    int rc;

    if (!out || (settings->endpoint && !remote_may_ask(c, settings->endpoint)))
        return false;
    if (is_oss(url) && !settings->endpoint) {
        command_usage(c,
                      "%s: which store? --oss-endpoint or OSS_ENDPOINT says it, such as "
                      "oss-cn-hangzhou.aliyuncs.com",
                      url);
        return false;
    }
    options.bucket = bucket;
    options.prefix = prefix;
    options.endpoint = settings->endpoint;
    options.region = settings->region;
    options.flags = settings->flags;
    options.key = &settings->key;
    rc = is_oss(url) ? rafs_backend_new_oss(c->http, &options, out, &err)
                     : rafs_backend_new_s3(c->http, &options, out, &err);
    if (rc == RAFS_OK) {
        c->backend_count++;
        return true;
    }
    command_failed(c, url, &err);
    remote_open_code(c, &err);
    return false;
}

/* BUCKET and what is behind its '/', in memory to free(). */
static char *split(struct command *c, const char *url, const char **rest)
{
    const char *from = strstr(url, "://") + 3;
    size_t len = strcspn(from, "/");
    char *bucket = strndup(from, len);

    if (!bucket)
        command_say(c, EXIT_SOURCE, "out of memory");
    *rest = from[len] ? from + len + 1 : from + len;
    return bucket;
}

bool bucket_add(struct command *c, const char *url)
{
    struct bucket_settings settings;
    const char *prefix;
    char *bucket = split(c, url, &prefix);
    bool good = bucket && bucket_settings_get(c, is_oss(url), &settings);

    if (good) {
        good = add(c, url, bucket, prefix, &settings);
        bucket_settings_drop(&settings);
    }
    free(bucket);
    return good;
}

/* The object's own folder, and blobs/ in it, are where its blobs are looked for. */
static bool add_both(struct command *c, const char *image, const char *bucket,
                     const char *key, size_t folder_len)
{
    struct bucket_settings settings;
    char *prefix = malloc(folder_len + sizeof "blobs/");
    bool good = false;

    if (!prefix) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return false;
    }
    memcpy(prefix, key, folder_len);
    if (bucket_settings_get(c, is_oss(image), &settings)) {
        memcpy(prefix + folder_len, "blobs/", sizeof "blobs/");
        good = add(c, image, bucket, prefix, &settings);
        prefix[folder_len] = '\0';
        good = good && add(c, image, bucket, prefix, &settings);
        bucket_settings_drop(&settings);
    }
    free(prefix);
    return good;
}

bool bucket_open(struct command *c, const char *image, rafs_open_options *options)
{
    const char *key, *name;
    char *bucket = split(c, image, &key);
    bool good;

    if (!bucket)
        return false;
    name = strrchr(key, '/') ? strrchr(key, '/') + 1 : key;
    if (!*name)
        command_usage(c, "%s: which object? Name a bootstrap, such as %s.../image.boot",
                      image, is_oss(image) ? "oss://BUCKET/" : "s3://BUCKET/");
    good = *name && add_both(c, image, bucket, key, (size_t)(name - key));
    free(bucket);
    if (!good)
        return false;
    return remote_open_last(c, name, image, options);
}
