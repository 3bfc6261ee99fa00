/* SPDX-License-Identifier: Apache-2.0 */
/* --blob-source: where else an image's blobs are, whatever IMAGE is. */
#include <stdlib.h>
#include <string.h>

#include "bucket.h"
#include "remote.h"

rafs_backend **remote_slot(struct command *c)
{
    if (c->backend_count < RAFS_SOURCES_MAX)
        return &c->backends[c->backend_count];
    command_usage(c, "more than %d sources", RAFS_SOURCES_MAX);
    return NULL;
}

/* What a constructor of a source said; a slot is used if it was good. */
static bool took(struct command *c, const char *source, int rc, const rafs_error *err)
{
    if (rc == RAFS_OK) {
        c->backend_count++;
        return true;
    }
    command_failed(c, source, err);
    remote_open_code(c, err);
    return false;
}

static bool add_registry(struct command *c, const char *source)
{
    rafs_registry_options registry = RAFS_REGISTRY_OPTIONS_INIT;
    rafs_credentials_source files = RAFS_CREDENTIALS_SOURCE_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend **out = remote_slot(c);

    remote_registry(c, &registry, &files);
    return out && took(c, source,
                       rafs_backend_new_registry(c->http, source + strlen("docker://"),
                                                 &registry, out, &err),
                       &err);
}

bool remote_add_http(struct command *c, const char *source)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend **out = remote_slot(c);
    char shown[512];

    if (!out || !remote_may_ask(c, source))
        return false;
    remote_shown(source, shown, sizeof shown);
    return took(c, shown, rafs_backend_new_http(c->http, source, out, &err), &err);
}

static bool add_layout(struct command *c, const char *source)
{
    rafs_env env = RAFS_ENV_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend **out = remote_slot(c);

    command_env(&env);
    return out && took(c, source,
                       rafs_backend_new_layout(strchr(source, ':') + 1, &env, out,
                                               command_call(c), &err),
                       &err);
}

static const struct kind {
    const char *prefix;
    bool network;
    bool (*add)(struct command *c, const char *source);
} kinds[] = {{"s3://", true, bucket_add},        {"oss://", true, bucket_add},
             {"http://", true, remote_add_http}, {"https://", true, remote_add_http},
             {"docker://", true, add_registry},  {"oci:", false, add_layout},
             {"oci-archive:", false, add_layout}};

static const struct kind *kind_of(const char *source)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(source, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return &kinds[i];
    return NULL;
}

bool remote_has_sources(const struct command *c)
{
    for (size_t i = 0; i < c->blob_source_count; i++) {
        const struct kind *kind = kind_of(c->blob_sources[i]);

        if (kind && kind->network)
            return true;
    }
    return false;
}

bool remote_add_sources(struct command *c)
{
    for (size_t i = 0; i < c->blob_source_count; i++) {
        const char *source = c->blob_sources[i];
        const struct kind *kind = kind_of(source);

        if (!kind) {
            command_usage(c, "--blob-source: not one of s3://, oss://, http(s)://, "
                             "docker://, oci:, oci-archive:");
            return false;
        }
        if ((kind->network && !remote_http(c)) || !kind->add(c, source))
            return false;
    }
    return true;
}
