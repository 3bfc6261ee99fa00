/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar of a layout: the layout is written into a folder beside the file first, and its
 * files then go into the tar in the order of their names, each removed as soon as it is
 * in there; so the same image makes the same tar. The tar gets its name when it is whole
 * and on the disk.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/layout_target.h"

enum { STEP = 1 << 20, BLOCK = 10240 };

#define TAR_NAME "image.tar"

static int failed(const char *what, int os_errno, rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, os_errno, NULL, "%s%s",
                         what, os_errno == ENOSPC ? ": the disk is full" : "");
}

static int exists(const char *path, rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BADARG, RAFS_STAGE_OPEN, EEXIST, path,
                         "exists already, and nobody said that it may be replaced");
}

/* A folder of our own beside the file. */
static int make_folder(rafs_target *target, struct layout_target *own, rafs_error *err)
{
    static const char suffix[] = ".rafs-XXXXXX";
    size_t len = strlen(target->where.path);
    char *path = rafsi_alloc(&target->env, len + sizeof(suffix));

    if (!path)
        return rafsi_fail_nomem(err, len + sizeof(suffix));
    memcpy(path, target->where.path, len);
    memcpy(path + len, suffix, sizeof(suffix));
    if (!mkdtemp(path)) {
        rafsi_free(&target->env, path);
        return failed("no folder can be made beside it", errno, err);
    }
    own->archive = path;
    return RAFS_OK;
}

static void empty_folder(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!list) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(list)))
        if (entry->d_name[0] != '.' || entry->d_name[1] == 'r') /* ".rafs-…" */
            unlinkat(dir, entry->d_name, 0);
    closedir(list);
}

/* Nothing is in there that we did not make. */
static void remove_folder(const rafs_target *target, struct layout_target *own)
{
    if (!own->archive)
        return;
    if (own->blobs >= 0)
        empty_folder(own->blobs);
    if (own->dir >= 0) {
        unlinkat(own->dir, "blobs/sha256", AT_REMOVEDIR);
        unlinkat(own->dir, "blobs", AT_REMOVEDIR);
        empty_folder(own->dir);
    }
    rmdir(own->archive);
    rafsi_free(&target->env, own->archive);
    own->archive = NULL;
}

static void archive_close(rafs_target *target)
{
    struct layout_target *own = target->own;

    remove_folder(target, own);
    rafsi_layout_leave(own);
    rafsi_free(&target->env, own);
}

static int tar_failed(struct archive *tar, rafs_error *err)
{
    return failed("the archive cannot be written", archive_errno(tar), err);
}

/* The beginning of an entry; the same for whoever makes it, and whenever. */
static int add_header(struct archive *tar, const char *name, uint64_t size, bool folder,
                      rafs_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    int rc = RAFS_OK;

    if (!entry)
        return rafsi_fail_nomem(err, 0);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, folder ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, folder ? 0755 : 0644);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_mtime(entry, 0, 0);
    if (archive_write_header(tar, entry) != ARCHIVE_OK)
        rc = tar_failed(tar, err);
    archive_entry_free(entry);
    return rc;
}

static int add_bytes(const rafs_target *target, struct archive *tar, int fd,
                     uint64_t size, const rafs_call *call, rafs_error *err)
{
    uint8_t *step = rafsi_alloc(&target->env, STEP);
    uint64_t at = 0;
    int rc = step ? RAFS_OK : rafsi_fail_nomem(err, STEP);

    while (rc == RAFS_OK && at < size) {
        size_t got = 0;

        rc = rafsi_call_check(&target->env, call, RAFS_STAGE_FETCH, err);
        if (rc == RAFS_OK)
            rc = rafsi_file_read(fd, at, step, (size_t)rafsi_min(STEP, size - at), &got,
                                 err);
        if (rc == RAFS_OK && got == 0)
            rc = failed("a file beside the archive was changed", EIO, err);
        if (rc == RAFS_OK && archive_write_data(tar, step, got) != (la_ssize_t)got)
            rc = tar_failed(tar, err);
        at += got;
    }
    rafsi_free(&target->env, step);
    return rc;
}

/* One file, gone once it is in. */
static int add_file(const rafs_target *target, struct archive *tar, int dir,
                    const char *file, const char *name, const rafs_call *call,
                    rafs_error *err)
{
    uint64_t size = 0;
    int fd = -1;
    int rc = rafsi_file_open(dir, file, &fd, err);

    if (rc == RAFS_OK)
        rc = rafsi_file_size(fd, &size, err);
    if (rc == RAFS_OK)
        rc = add_header(tar, name, size, false, err);
    if (rc == RAFS_OK)
        rc = add_bytes(target, tar, fd, size, call, err);
    if (fd >= 0)
        close(fd);
    if (rc == RAFS_OK)
        unlinkat(dir, file, 0);
    return rafsi_fail_object(err, rc, "%s", name);
}

static int is_digest(const struct dirent *entry)
{
    return strlen(entry->d_name) == 64;
}

static int add_blobs(const rafs_target *target, struct archive *tar,
                     const rafs_call *call, rafs_error *err)
{
    const struct layout_target *own = target->own;
    struct dirent **names = NULL;
    int count = scandirat(own->blobs, ".", &names, is_digest, alphasort);
    int rc = count < 0 ? failed("its folder cannot be read", errno, err) : RAFS_OK;

    for (int i = 0; i < count; i++) {
        char name[96];

        snprintf(name, sizeof(name), "blobs/sha256/%.64s", names[i]->d_name);
        if (rc == RAFS_OK)
            rc = add_file(target, tar, own->blobs, names[i]->d_name, name, call, err);
        free(names[i]);
    }
    free(names);
    return rc;
}

static int add_all(const rafs_target *target, struct archive *tar, const rafs_call *call,
                   rafs_error *err)
{
    const struct layout_target *own = target->own;
    int rc = add_header(tar, "blobs/", 0, true, err);

    if (rc == RAFS_OK)
        rc = add_header(tar, "blobs/sha256/", 0, true, err);
    if (rc == RAFS_OK)
        rc = add_blobs(target, tar, call, err);
    if (rc == RAFS_OK)
        rc = add_file(target, tar, own->dir, "index.json", "index.json", call, err);
    if (rc == RAFS_OK)
        rc = add_file(target, tar, own->dir, "oci-layout", "oci-layout", call, err);
    return rc;
}

static int make_tar(const rafs_target *target, int fd, const rafs_call *call,
                    rafs_error *err)
{
    struct archive *tar = archive_write_new();
    int rc = tar ? RAFS_OK : rafsi_fail_nomem(err, 0);

    if (rc == RAFS_OK && (archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK ||
                          archive_write_set_bytes_per_block(tar, BLOCK) != ARCHIVE_OK ||
                          archive_write_open_fd(tar, fd) != ARCHIVE_OK))
        rc = tar_failed(tar, err);
    if (rc == RAFS_OK)
        rc = add_all(target, tar, call, err);
    if (rc == RAFS_OK && archive_write_close(tar) != ARCHIVE_OK)
        rc = tar_failed(tar, err);
    archive_write_free(tar);
    return rc;
}

/* link() refuses what rename() would replace; where there are no links, look first. */
static int give_name(const rafs_target *target, rafs_error *err)
{
    const struct layout_target *own = target->own;
    const char *path = target->where.path;

    if (!own->replace) {
        if (linkat(own->dir, TAR_NAME, AT_FDCWD, path, 0) == 0)
            return RAFS_OK;
        if (errno == EEXIST || access(path, F_OK) == 0)
            return exists(path, err);
    }
    return renameat(own->dir, TAR_NAME, AT_FDCWD, path) == 0
               ? RAFS_OK
               : failed("it cannot get its name", errno, err);
}

static int archive_finish(rafs_target *target, const rafs_call *call, rafs_error *err)
{
    struct layout_target *own = target->own;
    int fd = -1;
    int rc = RAFS_OK;

    if (own->finished)
        return RAFS_OK;
    if (faccessat(own->dir, "index.json", F_OK, 0) < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, target->name,
                          "no manifest was put into it that index.json could name");
    fd = openat(own->dir, TAR_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        rc = failed("the archive cannot be made", errno, err);
    if (rc == RAFS_OK)
        rc = make_tar(target, fd, call, err);
    if (rc == RAFS_OK && fsync(fd) < 0)
        rc = failed("the archive cannot be written", errno, err);
    if (fd >= 0)
        close(fd);
    if (rc == RAFS_OK)
        rc = give_name(target, err);
    own->finished = rc == RAFS_OK;
    return rc;
}

static const struct oci_target_kind archive_kind = {.has = rafsi_layout_has,
                                                    .begin = rafsi_layout_begin,
                                                    .part = rafsi_layout_part,
                                                    .commit = rafsi_layout_commit,
                                                    .abandon = rafsi_layout_abandon,
                                                    .put = rafsi_layout_put,
                                                    .finish = archive_finish,
                                                    .close = archive_close};

int rafsi_target_archive(rafs_target *target, bool replace, const rafs_call *call,
                         rafs_error *err)
{
    struct layout_target *own;
    int rc;

    if (!replace && access(target->where.path, F_OK) == 0)
        return exists(target->where.path, err);
    own = rafsi_alloc_zero(&target->env, sizeof(*own));
    if (!own)
        return rafsi_fail_nomem(err, sizeof(*own));
    own->dir = own->blobs = -1;
    own->hasty = true;
    own->replace = replace;
    rc = make_folder(target, own, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_make(target, own, own->archive, call, err);
    if (rc < 0) {
        remove_folder(target, own);
        rafsi_layout_leave(own);
        rafsi_free(&target->env, own);
        return rc;
    }
    target->kind = &archive_kind;
    return RAFS_OK;
}
