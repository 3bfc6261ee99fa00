/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A sink of files. An object is written to a temporary file beside its place, synced and
 * renamed, and then the directory is synced: under the final name there is all of it or
 * nothing. Temporary files have names of their own, so that processes that build into the
 * same directory do not meet.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/sink.h"

struct files {
    struct rafsi_env env;
    char *bootstrap; /* NULL: thrown away */
    char *boot_dir;
    const char *boot_name; /* in bootstrap */
    char *blob_dir;        /* NULL: thrown away */
    uint32_t flags;
    uint64_t serial;
};

struct file {
    struct files *files;
    int dir; /* -1: thrown away */
    int fd;
    char temporary[64];
};

static int fail_file(rafs_error *err, int os_errno, const char *path, const char *what)
{
    char reason[128];

    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_NONE, os_errno, path, "%s: %s",
                         what, strerror_r(os_errno, reason, sizeof(reason)));
}

/* All directories of a path, like `mkdir -p`. The path is changed and restored. */
static int make_dirs(char *path, rafs_error *err)
{
    for (char *at = path + 1;; at++) {
        char kept = *at;

        if (kept != '/' && kept != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            int rc = fail_file(err, errno, path, "cannot be made");

            *at = kept;
            return rc;
        }
        *at = kept;
        if (kept == '\0')
            return RAFS_OK;
    }
}

static const char *place(const struct files *files, uint32_t kind)
{
    return kind == RAFS_OBJECT_BLOB ? files->blob_dir : files->boot_dir;
}

/* A name that no other process and no other object has. */
static int make_temporary(struct files *files, struct file *file)
{
    enum { TRIES = 1000 };

    for (int i = 0; i < TRIES; i++) {
        snprintf(
            file->temporary, sizeof(file->temporary), ".rafs-%ld-%llu", (long)getpid(),
            (unsigned long long)__atomic_fetch_add(&files->serial, 1, __ATOMIC_RELAXED));
        file->fd = openat(file->dir, file->temporary,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (file->fd >= 0 || errno != EEXIST)
            return file->fd >= 0 ? 0 : errno;
    }
    return EEXIST;
}

static int files_begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                       rafs_error *err)
{
    struct files *files = user;
    struct file *file = rafsi_alloc_zero(&files->env, sizeof(*file));
    const char *path = place(files, kind);
    int os_errno;

    (void)call;
    if (!file)
        return rafsi_fail_nomem(err, sizeof(*file));
    file->files = files;
    file->dir = file->fd = -1;
    if (path) {
        file->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        os_errno = file->dir < 0 ? errno : make_temporary(files, file);
        if (os_errno) {
            if (file->dir >= 0)
                close(file->dir);
            rafsi_free(&files->env, file);
            return fail_file(err, os_errno, path, "no file can be made in it");
        }
    }
    *object = file;
    return RAFS_OK;
}

static int files_write(void *user, void *object, const void *data, size_t len,
                       const rafs_call *call, rafs_error *err)
{
    struct file *file = object;
    const uint8_t *at = data;

    (void)user;
    (void)call;
    while (file->fd >= 0 && len > 0) {
        ssize_t n = write(file->fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_file(err, errno, file->temporary, "cannot be written");
        at += n;
        len -= (size_t)n;
    }
    return RAFS_OK;
}

static void forget(struct file *file)
{
    struct files *files = file->files;

    if (file->fd >= 0) {
        close(file->fd);
        unlinkat(file->dir, file->temporary, 0);
    }
    if (file->dir >= 0)
        close(file->dir);
    rafsi_free(&files->env, file);
}

static void files_abort(void *user, void *object)
{
    (void)user;
    forget(object);
}

/* Is a blob of that name and size there already? A shorter one is not the blob. */
static bool is_there(int dir, const char *name, uint64_t size)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == size;
}

/* Give the file its name. Never over a bootstrap that came in the meantime. */
static int rename_to(const struct file *file, const char *name, bool replace)
{
    if (replace)
        return renameat(file->dir, file->temporary, file->dir, name) == 0 ? 0 : errno;
    if (linkat(file->dir, file->temporary, file->dir, name, 0) == 0) {
        unlinkat(file->dir, file->temporary, 0);
        return 0;
    }
    if (errno == EEXIST)
        return EEXIST;
    /* No hard links there: look, then rename. */
    if (faccessat(file->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    return renameat(file->dir, file->temporary, file->dir, name) == 0 ? 0 : errno;
}

static int files_commit(void *user, void *object, const rafs_sink_object *what,
                        const rafs_call *call, rafs_error *err)
{
    struct files *files = user;
    struct file *file = object;
    bool blob = what->kind == RAFS_OBJECT_BLOB;
    bool sync = !(files->flags & RAFS_SINK_NO_SYNC);
    char hex[65];
    const char *name = blob ? hex : files->boot_name;
    int os_errno = 0;

    (void)call;
    rafsi_digest_hex(what->sha256, hex);
    if (file->fd < 0 || (blob && is_there(file->dir, name, what->size))) {
        forget(file);
        return RAFS_OK;
    }
    if (sync && fsync(file->fd) != 0)
        os_errno = errno;
    if (!os_errno)
        os_errno = rename_to(file, name, blob || (files->flags & RAFS_SINK_REPLACE));
    if (os_errno) {
        forget(file);
        if (os_errno == EEXIST)
            return rafsi_fail_os(err, RAFS_E_BADARG, RAFS_STAGE_NONE, EEXIST, name,
                                 "is there already");
        return fail_file(err, os_errno, name, "cannot be completed");
    }
    if (sync && fsync(file->dir) != 0)
        os_errno = errno;
    close(file->fd);
    file->fd = -1;
    forget(file);
    return os_errno ? fail_file(err, os_errno, name, "its directory cannot be synced")
                    : RAFS_OK;
}

/* A blob of another size is not it, and neither is any where they are thrown away. */
static int files_has(void *user, const char *blob_id, uint64_t size,
                     const rafs_call *call, rafs_error *err)
{
    const struct files *files = user;
    bool there;
    int dir;

    (void)call;
    if (!files->blob_dir)
        return RAFS_E_NOENT;
    dir = open(files->blob_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fail_file(err, errno, files->blob_dir, "cannot be opened");
    there = !strchr(blob_id, '/') && is_there(dir, blob_id, size);
    close(dir);
    return there ? RAFS_OK : RAFS_E_NOENT;
}

static void files_release(void *user)
{
    struct files *files = user;
    struct rafsi_env env = files->env;

    rafsi_free(&env, files->bootstrap);
    rafsi_free(&env, files->boot_dir);
    rafsi_free(&env, files->blob_dir);
    rafsi_free(&env, files);
}

/* "a/b" is "b" in "a"; "b" is in ".". */
static int split(struct files *files, rafs_error *err)
{
    char *slash = strrchr(files->bootstrap, '/');
    size_t len = slash ? (size_t)(slash - files->bootstrap) : 0;

    files->boot_name = slash ? slash + 1 : files->bootstrap;
    if (!*files->boot_name)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, files->bootstrap,
                          "is a directory; the bootstrap needs a file's name");
    files->boot_dir = rafsi_alloc_zero(&files->env, len + 2);
    if (!files->boot_dir)
        return rafsi_fail_nomem(err, len + 2);
    memcpy(files->boot_dir,
           slash == files->bootstrap || !slash ? (slash ? "/" : ".") : files->bootstrap,
           len ? len : 1);
    return RAFS_OK;
}

static int prepare(struct files *files, const char *bootstrap, const char *blob_dir,
                   rafs_error *err)
{
    int rc = RAFS_OK;

    if (bootstrap && !(files->bootstrap = rafsi_strdup(&files->env, bootstrap)))
        return rafsi_fail_nomem(err, strlen(bootstrap) + 1);
    if (blob_dir && !(files->blob_dir = rafsi_strdup(&files->env, blob_dir)))
        return rafsi_fail_nomem(err, strlen(blob_dir) + 1);
    if (bootstrap)
        rc = split(files, err);
    if (rc == RAFS_OK && bootstrap && !(files->flags & RAFS_SINK_REPLACE) &&
        faccessat(AT_FDCWD, bootstrap, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = rafsi_fail_os(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, EEXIST, bootstrap,
                           "is there already");
    if (rc == RAFS_OK && bootstrap)
        rc = make_dirs(files->boot_dir, err);
    if (rc == RAFS_OK && blob_dir)
        rc = *blob_dir ? make_dirs(files->blob_dir, err)
                       : rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "sink",
                                    "the blobs' directory has no name");
    return rc;
}

int rafs_sink_new_directory(const char *bootstrap, const char *blob_dir, uint32_t flags,
                            const rafs_env *env, rafs_sink **out, rafs_error *err)
{
    rafs_sink_ops ops = {.struct_size = sizeof(ops),
                         .begin = files_begin,
                         .write = files_write,
                         .commit = files_commit,
                         .abort = files_abort,
                         .release = files_release,
                         .has = files_has};
    struct rafsi_env taken;
    struct files *files;
    int rc;

    if (!out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "sink", "out is NULL");
    if (flags & ~(uint32_t)(RAFS_SINK_REPLACE | RAFS_SINK_NO_SYNC))
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "sink",
                          "a flag is newer than this library");
    rc = rafsi_env_take(env, &taken, err);
    if (rc < 0)
        return rc;
    files = rafsi_alloc_zero(&taken, sizeof(*files));
    if (!files)
        return rafsi_fail_nomem(err, sizeof(*files));
    files->env = taken;
    files->flags = flags;
    rc = prepare(files, bootstrap, blob_dir, err);
    if (rc == RAFS_OK)
        rc = rafs_sink_new(&ops, files, env, out, err);
    if (rc < 0)
        files_release(files);
    return rc;
}
