/* SPDX-License-Identifier: Apache-2.0 */
#include "mirrors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosts.h"
#include "remote.h"

struct mirrors {
    rafs_registry_mirror at[RAFS_MIRRORS_MAX];
    const rafs_registry_mirror *list[RAFS_MIRRORS_MAX];
    rafs_http *clients[RAFS_MIRRORS_MAX]; /* NULL: the one of all */
    size_t count;
    struct hosts_file file;
};

static bool too_many(struct command *c)
{
    command_usage(c, "more than %d mirrors", RAFS_MIRRORS_MAX);
    return false;
}

static bool add(struct command *c, struct mirrors *mirrors, const char *url,
                uint32_t flags, rafs_http *client)
{
    rafs_registry_mirror *mirror = &mirrors->at[mirrors->count];

    if (mirrors->count == RAFS_MIRRORS_MAX) {
        rafs_http_free(client);
        return too_many(c);
    }
    *mirror = (rafs_registry_mirror)RAFS_REGISTRY_MIRROR_INIT;
    mirror->url = url;
    mirror->flags = flags;
    mirror->http = client;
    mirrors->clients[mirrors->count] = client;
    mirrors->list[mirrors->count++] = mirror;
    return true;
}

/* DIR/HOST/hosts.toml, as containerd looks for it: with HOST_PORT_ for HOST:PORT first,
 * and _default if there is nothing for the host. False: there is none. */
static bool find_file(const char *dir, const char *host, char *out, size_t room)
{
    const char *colon = strrchr(host, ':');
    char folders[3][300];

    snprintf(folders[0], sizeof folders[0], "%.*s_%s_", (int)(colon ? colon - host : 0),
             host, colon ? colon + 1 : "");
    snprintf(folders[1], sizeof folders[1], "%s", host);
    snprintf(folders[2], sizeof folders[2], "_default");
    for (size_t i = colon ? 0 : 1; i < 3; i++) {
        if ((size_t)snprintf(out, room, "%s/%s/hosts.toml", dir, folders[i]) < room &&
            access(out, F_OK) == 0)
            return true;
    }
    return false;
}

/* A path beside the file, in memory to free(). */
static char *beside(const char *file, const char *path)
{
    size_t folder = path[0] == '/' ? 0 : (size_t)(strrchr(file, '/') + 1 - file);
    size_t room = folder + strlen(path) + 1;
    char *out = malloc(room);

    if (out)
        snprintf(out, room, "%.*s%s", (int)folder, file, path);
    return out;
}

/* A client of its own for a host that wants more than all do. */
static bool make_client(struct command *c, const char *file,
                        const struct hosts_entry *entry, rafs_http **out)
{
    const char *const paths[] = {entry->ca, entry->cert, entry->key};
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_p2p_options p2p = RAFS_P2P_OPTIONS_INIT;
    rafs_env env = RAFS_ENV_INIT;
    char *full[3] = {NULL, NULL, NULL};
    bool good = true;

    *out = NULL;
    if (!entry->ca && !entry->cert && !entry->skip_verify && entry->header_count == 0)
        return true;
    for (size_t i = 0; i < 3 && good; i++)
        if (paths[i])
            good = (full[i] = beside(file, paths[i])) != NULL;
    remote_http_options(c, &options, &env, &p2p);
    options.flags |= entry->skip_verify ? RAFS_HTTP_INSECURE : 0;
    if (full[0])
        options.ca_file = full[0];
    if (full[1]) {
        options.client_cert = full[1];
        options.client_key = full[2];
    }
    options.headers = (const char *const *)entry->headers;
    options.header_count = entry->header_count;
    if (!good)
        command_say(c, EXIT_SOURCE, "out of memory");
    else if (rafs_http_new(&options, out, &err) < 0) {
        command_failed(c, file, &err);
        good = false;
    }
    for (size_t i = 0; i < 3; i++)
        free(full[i]);
    return good;
}

static bool add_file(struct command *c, const char *image, struct mirrors *mirrors)
{
#ifdef HAVE_TOML
    rafs_error err = RAFS_ERROR_INIT;
    char host[256];
    char path[4096];

    if (rafs_registry_host(image, host, sizeof host, &err) < 0) {
        command_failed(c, image, &err);
        c->outcome.code = EXIT_USAGE;
        return false;
    }
    if (!find_file(c->hosts_dir, host, path, sizeof path)) {
        if (access(c->hosts_dir, R_OK | X_OK) == 0)
            return true;
        command_say(c, EXIT_USAGE, "--hosts-dir %s: %s", c->hosts_dir, strerror(errno));
        return false;
    }
    if (!hosts_read(path, &mirrors->file)) {
        command_say(c, EXIT_USAGE, "%s: %s", path, mirrors->file.error);
        return false;
    }
    for (size_t i = 0; i < mirrors->file.count; i++) {
        const struct hosts_entry *entry = &mirrors->file.entries[i];
        uint32_t flags = (entry->pull ? RAFS_MIRROR_PULL : 0) |
                         (entry->resolve ? RAFS_MIRROR_RESOLVE : 0) |
                         (entry->override_path ? RAFS_MIRROR_OVERRIDE_PATH : 0) |
                         (entry->server ? RAFS_MIRROR_SERVER : 0);
        rafs_http *client;

        if (!entry->pull && !entry->resolve)
            continue; /* one to push to */
        if (!make_client(c, path, entry, &client) ||
            !add(c, mirrors, entry->url, flags, client))
            return false;
    }
    return true;
#else
    (void)find_file;
    (void)make_client;
    (void)image;
    (void)mirrors;
    command_say(c, EXIT_USAGE,
                "--hosts-dir: this rafs was built without a TOML library "
                "(Debian: libtomlplusplus-dev)");
    return false;
#endif
}

bool mirrors_gather(struct command *c, const char *image, rafs_registry_options *options)
{
    struct mirrors *mirrors;

    if (c->mirror_count == 0 && !c->hosts_dir)
        return true;
    mirrors = calloc(1, sizeof *mirrors);
    if (!mirrors) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return false;
    }
    c->mirrors = mirrors;
    for (size_t i = 0; i < c->mirror_count; i++)
        if (!add(c, mirrors, c->mirror_urls[i], 0, NULL))
            return false;
    if (c->hosts_dir && !add_file(c, image, mirrors))
        return false;
    options->mirrors = mirrors->list;
    options->mirror_count = mirrors->count;
    return true;
}

void mirrors_drop(struct command *c)
{
    if (!c->mirrors)
        return;
    for (size_t i = 0; i < c->mirrors->count; i++)
        rafs_http_free(c->mirrors->clients[i]);
#ifdef HAVE_TOML
    hosts_free(&c->mirrors->file);
#endif
    free(c->mirrors);
    c->mirrors = NULL;
}
