/* SPDX-License-Identifier: Apache-2.0 */
/* A registry that stands for another one: what its URLs are. */
#include <stdio.h>

#include "oci/registry_parts.h"

const char *rafsi_registry_known_as(const char *host)
{
    return strcmp(host, "registry-1.docker.io") == 0 ? "docker.io" : host;
}

/* The registry that a mirror is asked to stand for. */
static void set_query(struct oci_registry *registry, const char *origin)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789-_.~";
    size_t used = (size_t)snprintf(registry->query, sizeof(registry->query), "?ns=");

    if (strcmp(origin, registry->host) == 0) {
        registry->query[0] = '\0';
        return;
    }
    origin = rafsi_registry_known_as(origin);
    for (const char *at = origin; *at; at++)
        used += (size_t)snprintf(registry->query + used, sizeof(registry->query) - used,
                                 strchr(safe, *at) ? "%c" : "%%%02X",
                                 (unsigned)(unsigned char)*at);
}

/* Host and path of a mirror's URL. */
static int take_url(struct oci_registry *registry, const char *url, bool as_it_is,
                    rafs_error *err)
{
    char path[1024];
    char origin[300];
    const char *host, *rest;
    size_t len;
    int rc = url ? rafsi_url_origin(url, origin, sizeof(origin), NULL) : RAFS_E_BADARG;

    if (rc < 0 || strpbrk(url, "?#@ ") || !strstr(url, "://"))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "mirror",
                          "is not http[s]://HOST[:PORT][/PATH]");
    host = strstr(url, "://") + 3;
    len = strcspn(host, "/");
    rest = host + len;
    registry->plain = strncmp(origin, "http:", 5) == 0;
    registry->plain_asked = registry->plain;
    snprintf(registry->host, sizeof(registry->host), "%.*s", (int)len, host);
    snprintf(path, sizeof(path) - 3, "%s", rest);
    if (len >= sizeof(registry->host) || strlen(rest) >= sizeof(path) - 3)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "mirror",
                          "is too long");
    for (len = strlen(path); len > 0 && path[len - 1] == '/'; len--)
        path[len - 1] = '\0';
    if (!as_it_is && (len < 3 || strcmp(path + len - 3, "/v2") != 0))
        memcpy(path + len, "/v2", sizeof("/v2"));
    return rafsi_registry_set_base(registry, path, err);
}

int rafsi_registry_new_mirror(struct oci_registry *origin,
                              const struct oci_reference *reference,
                              const rafs_registry_mirror *mirror,
                              struct oci_registry **out, rafs_error *err)
{
    struct oci_registry *registry;
    int rc = rafsi_registry_start(mirror->http ? mirror->http : origin->http,
                                  reference->repo, &registry, err);

    if (rc < 0)
        return rc;
    rc = take_url(registry, mirror->url, mirror->flags & RAFS_MIRROR_OVERRIDE_PATH, err);
    if (rc < 0) {
        rafsi_registry_destroy(registry);
        return rc;
    }
    set_query(registry, reference->host);
    /* The origin releases them, after us. */
    registry->origin = rafsi_registry_hold(origin);
    registry->credentials.get = origin->credentials.get;
    registry->credentials.user = origin->credentials.user;
    *out = registry;
    return RAFS_OK;
}
