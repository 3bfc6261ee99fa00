/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker may open once it is in its sandbox: of the system, and for each mount.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache.h"
#include "remote.h"
#include "worker.h"

enum { CONFIG_BYTES = 256 * 1024 };

/* By its name, and by where that leads: a rule goes with what is there now. */
static bool add(struct sandbox_paths *paths, const char *path)
{
    char *real = realpath(path, NULL);
    bool good = sandbox_add(paths, path) && (!real || sandbox_add(paths, real));

    free(real);
    return good;
}

static bool add_beside(struct sandbox_paths *paths, const char *folder, const char *name)
{
    char *path = joined(folder, name);
    bool good = path && add(paths, path);

    free(path);
    return good;
}

/* $VARIABLE/REST, if there is such a variable. */
static bool add_variable(struct sandbox_paths *paths, const char *name, const char *rest)
{
    const char *value = getenv(name);

    return !value || !*value || add_beside(paths, value, rest);
}

/* ---- the system ------------------------------------------------------------------ */

bool paths_of_system(struct sandbox *out)
{
    static const char *const files[] = {
        /* libraries, tables of the C library */
        "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
        /* names of hosts */
        "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf",
        "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/passwd",
        "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd",
        /* whom to believe */
        "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies",
        "/var/lib/ca-certificates",
        /* what the kernel says of itself */
        "/proc/sys/kernel/random/boot_id", "/proc/sys/vm/overcommit_memory",
        "/proc/cpuinfo", "/sys/devices/system/cpu", "/dev/urandom"};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!sandbox_add(&out->read, files[i]))
            return false;
    return sandbox_add(&out->write, "/dev/null") &&
           add_variable(&out->read, "SSL_CERT_FILE", "") &&
           add_variable(&out->read, "SSL_CERT_DIR", "") &&
           add_variable(&out->read, "CURL_CA_BUNDLE", "");
}

/* ---- folders of blobs ------------------------------------------------------------ */

/* Blobs may be links to where they lie. */
static bool add_folder(struct sandbox_paths *paths, const char *path)
{
    DIR *folder = opendir(path);
    char *slash = joined(path, "/");
    bool good = slash && add(paths, path);
    const struct dirent *entry;

    while (good && folder && (entry = readdir(folder)) != NULL)
        if (entry->d_type == DT_LNK)
            good = add_beside(paths, slash, entry->d_name);
    if (folder)
        closedir(folder);
    free(slash);
    return good;
}

/* A file in its folder, and the places where its blobs are looked for. */
static bool add_image_file(struct sandbox_paths *paths, const char *image, bool blobs)
{
    const char *slash = strrchr(image, '/');
    char *folder = slash ? joined(image, "") : joined(".", "");
    char *beside;
    bool good = folder && add(paths, image);

    if (good && slash)
        folder[slash > image ? slash - image : 1] = '\0';
    beside = good ? joined(folder, "/blobs") : NULL;
    if (blobs)
        good = good && beside && add_folder(paths, folder) && add_folder(paths, beside);
    free(beside);
    free(folder);
    return good;
}

static bool add_layout(struct sandbox_paths *paths, const char *image)
{
    struct layout_name name = {0};
    bool good = layout_split(image, &name) && add_folder(paths, name.path);

    free(name.path);
    return good;
}

/* IMAGE, or what --blob-source names. */
static bool add_place(struct sandbox_paths *paths, const char *place, bool blobs)
{
    if (!remote_is(place))
        return add_image_file(paths, place, blobs);
    return remote_is_network(place) || add_layout(paths, place);
}

/* ---- credentials ----------------------------------------------------------------- */

/* Does the file speak of helpers: credsStore, credHelpers? */
static bool has_helpers(const char *path)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    char *text = file ? calloc(1, CONFIG_BYTES) : NULL;
    bool found = false;

    if (text && fread(text, 1, CONFIG_BYTES - 1, file) > 0)
        found = strstr(text, "\"credsStore\"") || strstr(text, "\"credHelpers\"");
    free(text);
    if (file)
        fclose(file);
    return found;
}

/* Files of a folder are replaced, so that a rule for one of them would not last. */
static bool add_config(struct sandbox *out, const char *variable, const char *folder,
                       const char *file)
{
    const char *value = getenv(variable);
    char *path = value && *value ? joined(value, folder) : NULL;
    char *config = path ? joined(path, file) : NULL;
    bool good = !value || !*value || (config && add(&out->read, path));

    out->execute = out->execute || has_helpers(config);
    free(config);
    free(path);
    return good;
}

static bool add_programs(struct sandbox_paths *paths)
{
    const char *path = getenv("PATH");
    char *copy = joined(path ? path : "", "");
    char *rest = copy;
    bool good = copy != NULL;
    char *one;

    while (good && (one = strsep(&rest, ":")) != NULL)
        good = *one != '/' || add(paths, one);
    free(copy);
    return good;
}

static bool add_credentials(struct sandbox *out)
{
    const char *auth = getenv("REGISTRY_AUTH_FILE");

    if (!add_config(out, "XDG_RUNTIME_DIR", "/containers", "/auth.json") ||
        !add_config(out, "DOCKER_CONFIG", "", "/config.json") ||
        !add_config(out, "HOME", "/.docker", "/config.json") ||
        !add_variable(&out->read, "HOME", "/.aws") ||
        !add_variable(&out->read, "AWS_SHARED_CREDENTIALS_FILE", "") ||
        !add_variable(&out->read, "AWS_CONFIG_FILE", "") ||
        !add_variable(&out->read, "REGISTRY_AUTH_FILE", ""))
        return false;
    out->execute = out->execute || has_helpers(auth);
    return !out->execute || add_programs(&out->read);
}

/* ---- a mount --------------------------------------------------------------------- */

/* A rule needs a folder that is there. As opening the cache makes them. */
static void make_folders(const char *path)
{
    mode_t mode = geteuid() == 0 ? 0755 : 0700;
    char *copy = joined(path, "");

    for (char *at = copy ? strchr(copy + 1, '/') : NULL; at; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(copy, mode);
        *at = '/';
    }
    if (copy)
        (void)mkdir(copy, 0700);
    free(copy);
}

static bool add_cache(struct command *c, struct sandbox_paths *paths)
{
    struct cache_place place;
    bool good;

    if (!cache_choose(c, &place))
        return false;
    /* Of one that was chosen the folder above has to be there. */
    if (place.path && place.chosen)
        (void)mkdir(place.path, 0700);
    else if (place.path)
        make_folders(place.path);
    good = !place.path || add(paths, place.path);
    free(place.path);
    return good;
}

static bool add_text(struct sandbox_paths *paths, const char *path)
{
    return !path || add(paths, path);
}

bool paths_of_mount(struct mount_options *options, struct sandbox *out)
{
    struct command *c = &options->c;
    struct sandbox_paths *read = &out->read;
    bool network = remote_is_network(options->image) || remote_has_sources(c);
    bool good = add_place(read, options->image,
                          c->blob_dir_count == 0 && c->blob_source_count == 0);

    for (size_t i = 0; good && i < c->blob_dir_count; i++)
        good = add_folder(read, c->blob_dirs[i]);
    for (size_t i = 0; good && i < c->blob_source_count; i++)
        good =
            !remote_is(c->blob_sources[i]) || add_place(read, c->blob_sources[i], false);
    good = good && add_text(read, c->ca_file) && add_text(read, c->client_cert) &&
           add_text(read, c->client_key) && add_text(read, c->hosts_dir) &&
           add_cache(c, &out->write);
    /* A node's processes, to see whether a reader is being killed. */
    if (options->via == VIA_FUSE)
        good = good && sandbox_add(read, "/proc");
    return good && (!network || add_credentials(out));
}

static bool all_in(const struct sandbox_paths *paths, const struct sandbox_paths *of)
{
    /* What is passed over in one that is full would be so again. */
    if (of->count == SANDBOX_PATHS)
        return true;
    for (size_t i = 0; i < paths->count; i++)
        if (!sandbox_has(of, paths->at[i]))
            return false;
    return true;
}

bool paths_within(const struct sandbox *inner, const struct sandbox *outer)
{
    return all_in(&inner->read, &outer->read) && all_in(&inner->write, &outer->write) &&
           (!inner->execute || outer->execute);
}
