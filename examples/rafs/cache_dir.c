/* SPDX-License-Identifier: Apache-2.0 */
/* Where chunks are kept between runs, and how much of the disk they may take. */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cache.h"

/* What is left to others on the cache's file system, where nobody says otherwise: a
 * twentieth of it, at most 1 GiB. */
enum { FLOOR_PART = 20 };
#define FLOOR_MOST ((uint64_t)1 << 30)

/* The XDG rules: a path that is not absolute counts as none. */
static char *home_cache(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    const struct passwd *user;

    if (xdg && *xdg == '/')
        return joined(xdg, "/rafs");
    if (!home || *home != '/') {
        user = getpwuid(geteuid());
        home = user ? user->pw_dir : NULL;
    }
    return home && *home == '/' ? joined(home, "/.cache/rafs") : NULL;
}

bool cache_choose(struct command *c, struct cache_place *out)
{
    const char *set = getenv("RAFS_CACHE_DIR");

    *out = (struct cache_place){.chosen = true};
    if (c->no_cache || (!c->cache_dir && set && !*set))
        return true;
    if (c->cache_dir || set)
        out->path = joined(c->cache_dir ? c->cache_dir : set, "");
    else if (geteuid() == 0)
        out->path = joined("/var/cache/rafs", "");
    else
        out->path = home_cache();
    out->chosen = c->cache_dir || set;
    if (out->path || !out->chosen)
        return true;
    command_say(c, EXIT_SOURCE, "out of memory");
    return false;
}

/* The folders above the cache; each is as private as its owner's files. */
static bool make_parents(const char *path)
{
    mode_t mode = geteuid() == 0 ? 0755 : 0700;
    char *copy = joined(path, "");
    bool good = copy != NULL;

    for (char *at = copy ? strchr(copy + 1, '/') : NULL; at && good;
         at = strchr(at + 1, '/')) {
        *at = '\0';
        good = mkdir(copy, mode) == 0 || errno == EEXIST || errno == EROFS ||
               errno == EACCES; /* what is there already may be in such a place */
        *at = '/';
    }
    free(copy);
    return good;
}

void cache_make_parents(const struct cache_place *place)
{
    if (place->path && !place->chosen)
        (void)make_parents(place->path); /* opening says what is wrong */
}

/* The file system that the cache lies on, or will. */
static bool find_file_system(char *path, struct statvfs *fs)
{
    while (statvfs(path, fs) != 0) {
        char *slash = strrchr(path, '/');

        if (!slash || slash == path)
            return statvfs(slash ? "/" : ".", fs) == 0;
        *slash = '\0';
    }
    return true;
}

static uint64_t default_floor(const char *path)
{
    char *copy = joined(path, "");
    struct statvfs fs;
    uint64_t part = 0;

    if (copy && find_file_system(copy, &fs))
        part = (uint64_t)fs.f_blocks * fs.f_frsize / FLOOR_PART;
    free(copy);
    return part < FLOOR_MOST ? part : FLOOR_MOST;
}

uint64_t cache_floor(const struct command *c, const char *path)
{
    return c->cache_floor_given ? c->cache_floor : default_floor(path);
}

/* What an image reader wants to know. From any thread of the library, so that it is one
 * write and touches nothing. */
static void on_log(void *user, uint32_t level, const char *text)
{
    const struct command *c = user;
    char line[1024];

    if (level > RAFS_LOG_WARNING)
        return;
    if (c->log) {
        c->log(level, text);
        return;
    }
    snprintf(line, sizeof line, "%srafs %s: warning: %.900s\n",
             isatty(STDERR_FILENO) ? "\r\033[K" : "", c->name, text);
    fputs(line, stderr);
}

/* for_image: with limits and a log; else for one who looks after it. */
static int open_at(struct command *c, const char *path, bool for_image, rafs_error *err)
{
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;
    rafs_env env = RAFS_ENV_INIT;

    command_env(&env);
    options.env = &env;
    if (for_image) {
        env.user = c;
        env.log = on_log;
        options.quota_bytes = c->cache_quota;
        options.free_floor_bytes = cache_floor(c, path);
    }
    return rafs_cache_open(path, &options, &c->cache, err);
}

/* What is wrong with the folder, and why the system says so. */
static void put_trouble(struct command *c, const char *prefix, const char *path,
                        const rafs_error *err)
{
    FILE *out = command_complaints(c);

    progress_wipe();
    fprintf(out, "rafs %s: %s", c->name, prefix);
    put_quoted(out, path, strlen(path));
    fputs(": ", out);
    put_safe(out, err->text);
    if (err->os_errno)
        fprintf(out, " (%s)", strerror(err->os_errno));
}

static void open_failed(struct command *c, const char *path, const rafs_error *err)
{
    if (err->code == RAFS_E_CANCELLED) {
        command_interrupted(c);
        return;
    }
    put_trouble(c, "", path, err);
    fputc('\n', command_complaints(c));
    outcome_note(&c->outcome, EXIT_SOURCE);
}

/* An image can be read without it. */
static void warn(struct command *c, const char *path, const rafs_error *err)
{
    put_trouble(c, "warning: nothing is cached: ", path, err);
    fputs("; --cache-dir names another folder, --no-cache does without\n",
          command_complaints(c));
}

bool cache_open_for(struct command *c, bool remote)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct cache_place place;
    bool good = true;

    if (!c->cache_dir && !remote)
        return true;
    if (!cache_choose(c, &place))
        return false;
    if (!place.path) {
        if (!place.chosen) {
            snprintf(err.text, sizeof err.text, "your home directory is not known");
            warn(c, "~/.cache/rafs", &err);
        }
        return true;
    }
    cache_make_parents(&place);
    if (open_at(c, place.path, true, &err) < 0) {
        good = err.code != RAFS_E_CANCELLED && !place.chosen;
        if (good)
            warn(c, place.path, &err);
        else
            open_failed(c, place.path, &err);
    }
    free(place.path);
    return good;
}

enum cache_found cache_open_existing(struct command *c, bool make)
{
    rafs_error err = RAFS_ERROR_INIT;
    enum cache_found found = CACHE_FAILED;
    struct cache_place place;
    struct stat st;

    if (!cache_choose(c, &place))
        return CACHE_FAILED;
    if (!place.path) {
        command_usage(c, "no cache: %s",
                      place.chosen ? "--no-cache or an empty RAFS_CACHE_DIR turns it off"
                                   : "your home directory is not known; use --cache-dir");
        return CACHE_FAILED;
    }
    if (make)
        cache_make_parents(&place);
    if (!make && stat(place.path, &st) != 0 && errno == ENOENT) {
        found = CACHE_NONE;
        if (place.chosen) {
            command_say(c, EXIT_SOURCE, "%s: there is no such cache", place.path);
            found = CACHE_FAILED;
        }
    } else if (open_at(c, place.path, false, &err) == RAFS_OK) {
        found = CACHE_OPEN;
    } else {
        open_failed(c, place.path, &err);
    }
    free(place.path);
    return found;
}
