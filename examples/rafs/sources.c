/* SPDX-License-Identifier: Apache-2.0 */
/* --blob-source: where else an image's blobs are, whatever IMAGE is. */
#include <stdlib.h>
#include <string.h>

#include "bucket.h"
#include "mirrors.h"
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

/* Of those that may be asked for blobs. */
static bool add_mirror(struct command *c, const char *image,
                       const rafs_registry_mirror *mirror,
                       const rafs_registry_options *registry)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend **out;

    if ((mirror->flags & (RAFS_MIRROR_PULL | RAFS_MIRROR_RESOLVE)) == RAFS_MIRROR_RESOLVE)
        return true;
    out = remote_slot(c);
    return out && took(c, image,
                       rafs_backend_new_mirror(c->http, image + strlen("docker://"),
                                               mirror, registry, out, &err),
                       &err);
}

bool remote_add_repository(struct command *c, const char *image)
{
    rafs_registry_options registry = RAFS_REGISTRY_OPTIONS_INIT, with_mirrors;
    rafs_credentials_source files = RAFS_CREDENTIALS_SOURCE_INIT;
    bool good, stands_in = false;

    remote_registry(c, &registry, &files);
    with_mirrors = registry;
    good = mirrors_gather(c, image, &with_mirrors);
    for (size_t i = 0; good && i < with_mirrors.mirror_count; i++) {
        good = add_mirror(c, image, with_mirrors.mirrors[i], &registry);
        stands_in = with_mirrors.mirrors[i]->flags & RAFS_MIRROR_SERVER;
    }
    return good && (stands_in || add_registry(c, image));
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

bool remote_add_layout(struct command *c, const char *image)
{
    struct layout_name name = {0};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_env env = RAFS_ENV_INIT;
    rafs_backend **out = remote_slot(c);
    bool good;

    command_env(&env);
    good =
        out && layout_split(image, &name) &&
        took(c, image,
             rafs_backend_new_layout(name.path, &env, out, command_call(c), &err), &err);
    free(name.path);
    return good;
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
