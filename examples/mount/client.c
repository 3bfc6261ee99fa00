/* SPDX-License-Identifier: Apache-2.0 */
/* Where daemons are found. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

static const char suffix[] = ".sock";

static char *choose_state(void)
{
    const char *set = getenv("RAFS_STATE_DIR");
    const char *run = getenv("XDG_RUNTIME_DIR");
    char text[64];

    if (set && *set == '/')
        return joined(set, "");
    if (geteuid() == 0)
        return joined("/run/rafs", "");
    if (run && *run == '/')
        return joined(run, "/rafs");
    /* As much of it as there is without a session. */
    snprintf(text, sizeof text, "/tmp/rafs-%u", (unsigned)geteuid());
    return joined(text, "");
}

/* Whoever can write there, or take its place, could answer for our daemons. */
static bool is_ours(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & 077) == 0;
}

char *client_state_dir(struct command *c)
{
    const char *set = getenv("RAFS_STATE_DIR");
    char *path = choose_state();
    size_t len = path ? strlen(path) : 0;

    if (!path) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return NULL;
    }
    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0'; /* mounts are known by it */
    if (set && *set && *set != '/') {
        command_say(c, EXIT_SOURCE, "RAFS_STATE_DIR: '%s' is not absolute", set);
    } else if (strpbrk(path, ",\\\n")) {
        /* mounts are called by it, in options of mounts */
        command_say(c, EXIT_SOURCE, "%s: a comma, backslash or newline is in the name",
                    path);
    } else if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        command_say(c, EXIT_SOURCE,
                    "%s: %s; daemons are found there, RAFS_STATE_DIR names another place",
                    path, strerror(errno));
    } else if (!is_ours(path)) {
        command_say(c, EXIT_SOURCE,
                    "%s: not a folder of yours that is closed to others (mode 0700)",
                    path);
    } else {
        return path;
    }
    free(path);
    return NULL;
}

/* A path may be longer than a socket's address takes: through /proc it is short. */
struct place {
    int folder;
    struct sockaddr_un address;
};

static bool place_open(struct place *p, const char *state, const char *name,
                       const char *end)
{
    size_t room = sizeof p->address.sun_path;
    int len;

    p->folder = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->folder < 0)
        return false;
    p->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    len = snprintf(p->address.sun_path, room, "/proc/self/fd/%d/%s%s", p->folder, name,
                   end);
    if (len > 0 && (size_t)len < room)
        return true;
    close(p->folder);
    errno = ENAMETOOLONG;
    return false;
}

static int make_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static bool connect_to(int fd, const struct place *p)
{
    return connect(fd, (const struct sockaddr *)&p->address, sizeof p->address) == 0;
}

/* Under the folder's lock, for somebody could put a new one there meanwhile. */
static void remove_dead(const struct place *p, const char *name)
{
    char file[NAME_MAX + 1];
    int fd = make_socket();

    snprintf(file, sizeof file, "%s%s", name, suffix);
    if (fd >= 0 && flock(p->folder, LOCK_EX) == 0) {
        if (!connect_to(fd, p) && errno == ECONNREFUSED)
            unlinkat(p->folder, file, 0);
        flock(p->folder, LOCK_UN);
    }
    if (fd >= 0)
        close(fd);
}

int client_connect(const char *state, const char *name)
{
    struct place p;
    int why = 0;
    int fd;

    if (!place_open(&p, state, name, suffix))
        return -1;
    fd = make_socket();
    if (fd < 0 || !connect_to(fd, &p)) {
        why = errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
        if (why == ECONNREFUSED) {
            remove_dead(&p, name);
            why = ENOENT;
        }
    }
    close(p.folder);
    errno = why;
    return fd;
}

/* It listens before it has its name, so that nobody takes it for a dead one. */
int client_listen(const char *state, const char *name)
{
    char file[NAME_MAX + 1], hidden[NAME_MAX + 1];
    struct place p;
    int why, fd;

    snprintf(hidden, sizeof hidden, ".%d", (int)getpid());
    snprintf(file, sizeof file, "%s%s", name, suffix);
    if (!place_open(&p, state, hidden, ""))
        return -1;
    fd = make_socket();
    unlinkat(p.folder, hidden, 0);
    why = fd < 0 ||
                  bind(fd, (const struct sockaddr *)&p.address, sizeof p.address) != 0 ||
                  listen(fd, 64) != 0 || flock(p.folder, LOCK_EX) != 0 ||
                  linkat(p.folder, hidden, p.folder, file, 0) != 0
              ? errno
              : 0;
    unlinkat(p.folder, hidden, 0);
    close(p.folder); /* and with it the lock */
    if (why == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    errno = why;
    return -1;
}

static int in_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(struct client_names *out, const char *file, size_t len)
{
    char **grown = realloc(out->names, (out->count + 1) * sizeof *grown);

    if (!grown)
        return false;
    out->names = grown;
    grown[out->count] = strndup(file, len);
    out->count += grown[out->count] != NULL;
    return grown[out->count - 1] != NULL;
}

static bool read_names(const char *state, struct client_names *out)
{
    DIR *folder = opendir(state);
    struct dirent *entry;
    bool good = true;

    if (!folder)
        return errno == ENOENT;
    while (good && out->count < DAEMONS_MAX && (entry = readdir(folder)) != NULL) {
        size_t len = strlen(entry->d_name);
        size_t end = sizeof suffix - 1;

        if (entry->d_name[0] != '.' && len > end &&
            strcmp(entry->d_name + len - end, suffix) == 0)
            good = add_name(out, entry->d_name, len - end);
    }
    closedir(folder);
    return good;
}

bool client_names(struct command *c, const char *state, struct client_names *out)
{
    *out = (struct client_names){0};
    if (!read_names(state, out)) {
        command_say(c, EXIT_SOURCE, "%s: %s", state, strerror(errno));
        client_names_free(out);
        return false;
    }
    if (out->count > 1)
        qsort(out->names, out->count, sizeof *out->names, in_order);
    return true;
}

void client_names_free(struct client_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct client_names){0};
}

/* The target of a link, seen from its folder; NULL: no link. */
static char *link_target(const char *path, size_t folder_len)
{
    char target[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof target - 1);
    char *folder, *out;

    if (len < 0)
        return NULL;
    target[len] = '\0';
    if (*target == '/')
        return joined(target, "");
    folder = strndup(path, folder_len);
    out = folder ? joined(folder, target) : NULL;
    free(folder);
    return out;
}

/* Its folder without links, and its name behind it. */
static char *resolve_folder(const char *path, size_t *folder_len)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *real = folder ? realpath(folder, NULL) : NULL;
    char *with = NULL, *out = NULL;

    free(folder);
    if (!real)
        return NULL;
    with = real[1] == '\0' ? strdup(real) : joined(real, "/");
    free(real);
    if (with) {
        *folder_len = strlen(with);
        out = joined(with, name);
    }
    free(with);
    return out;
}

char *client_path(const char *dir)
{
    enum { LINKS_MAX = 40 };
    char *path = strdup(dir);

    for (int i = 0; path && i < LINKS_MAX; i++) {
        size_t len = strlen(path), folder_len;
        char *name, *resolved, *target;

        while (len > 1 && path[len - 1] == '/')
            path[--len] = '\0';
        name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            resolved = realpath(path, NULL);
            free(path);
            return resolved;
        }
        resolved = resolve_folder(path, &folder_len);
        free(path);
        if (!resolved)
            return NULL;
        target = link_target(resolved, folder_len);
        if (!target)
            return resolved;
        free(resolved);
        path = target;
    }
    free(path);
    errno = path ? ELOOP : ENOMEM;
    return NULL;
}
