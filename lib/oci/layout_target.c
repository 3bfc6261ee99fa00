/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI layout that is written.
 *
 * Every file is written under another name, brought to the disk and renamed, blobs before
 * the index.json that leads to them; so a process or a machine that dies leaves the
 * layout as it was, and perhaps blobs that nothing names and a file ".rafs-*.tmp".
 * index.json is changed under a lock (flock() of the folder), by whoever else uses
 * librafs. Source: OCI image layout 1.1.
 */
#include "oci/layout_target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/layout.h"

enum { VERSION_MAX = 4096, LOCK_PAUSE_MS = 20 };

static const char version_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
static const char empty_index[] =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
    "\"manifests\":[]}";

static int failed(const char *what, int os_errno, rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_OPEN, os_errno, NULL,
                         "%s cannot be made or opened%s", what,
                         os_errno == ENOSPC    ? ": the disk is full"
                         : os_errno == EACCES  ? ": permission denied"
                         : os_errno == ENOTDIR ? ": there is something that is no folder"
                                               : "");
}

/* A folder and those above it. */
static int make_folders(const struct rafsi_env *env, const char *path, rafs_error *err)
{
    char *copy = rafsi_strdup(env, path);
    int rc = RAFS_OK;

    if (!copy)
        return rafsi_fail_nomem(err, strlen(path) + 1);
    for (char *at = copy + 1; at[-1] && rc == RAFS_OK; at++) {
        char had = *at;

        if (had != '/' && had != '\0')
            continue;
        *at = '\0';
        if (mkdir(copy, 0777) < 0 && errno != EEXIST)
            rc = failed("the folder", errno, err);
        *at = had;
        if (had == '\0')
            break;
    }
    rafsi_free(env, copy);
    return rc;
}

static int open_folder(int dir, const char *name, bool make, int *out, rafs_error *err)
{
    if (make && mkdirat(dir, name, 0777) < 0 && errno != EEXIST)
        return failed(name, errno, err);
    *out = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out < 0 ? failed(name, errno, err) : RAFS_OK;
}

/* A file of the layout into memory; *out NULL: there is none. */
static int load(rafs_target *target, int dir, const char *name, uint64_t limit,
                uint8_t **out, size_t *len, rafs_error *err)
{
    uint64_t size = 0;
    int fd = -1;
    int rc = rafsi_file_open(dir, name, &fd, err);

    *out = NULL;
    *len = 0;
    if (rc == RAFS_E_NOENT)
        return RAFS_OK;
    if (rc == RAFS_OK)
        rc = rafsi_file_size(fd, &size, err);
    if (rc == RAFS_OK && size > limit)
        rc = rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, name,
                        "has %llu bytes, where at most %llu are expected",
                        (unsigned long long)size, (unsigned long long)limit);
    if (rc == RAFS_OK) {
        *out = rafsi_alloc(&target->env, size ? (size_t)size : 1);
        rc = *out ? rafsi_file_read(fd, 0, *out, (size_t)size, len, err)
                  : rafsi_fail_nomem(err, (size_t)size);
    }
    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        rafsi_free(&target->env, *out);
        *out = NULL;
    }
    return rafsi_fail_object(err, rc, "%s", name);
}

/* Anything but what we may have left there ourselves? */
static bool is_empty(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    bool any = false;
    const struct dirent *entry;

    if (!list) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((entry = readdir(list)) && !any)
        any = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
              strcmp(entry->d_name, "blobs") != 0 &&
              strncmp(entry->d_name, ".rafs-", 6) != 0;
    closedir(list);
    return !any;
}

/* A layout is one by its file oci-layout; an empty folder becomes one. */
static int make_version(rafs_target *target, const rafs_call *call, rafs_error *err)
{
    struct layout_target *own = target->own;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = load(target, own->dir, "oci-layout", VERSION_MAX, &bytes, &len, err);

    if (rc == RAFS_OK && bytes)
        rc = rafsi_layout_version(bytes, len, err);
    else if (rc == RAFS_OK && !is_empty(own->dir))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_OPEN, NULL,
                        "is a folder with other things in it, and no OCI layout");
    else if (rc == RAFS_OK)
        rc = rafsi_layout_file_put(target, own->dir, "oci-layout", version_text,
                                   strlen(version_text), call, err);
    rafsi_free(&target->env, bytes);
    return rc;
}

int rafsi_layout_make(rafs_target *target, struct layout_target *own, const char *path,
                      const rafs_call *call, rafs_error *err)
{
    int blobs = -1;
    int rc = make_folders(&target->env, path, err);

    own->dir = own->blobs = -1;
    target->own = own;
    if (rc == RAFS_OK)
        rc = open_folder(AT_FDCWD, path, false, &own->dir, err);
    if (rc == RAFS_OK)
        rc = make_version(target, call, err);
    if (rc == RAFS_OK)
        rc = open_folder(own->dir, "blobs", true, &blobs, err);
    if (rc == RAFS_OK)
        rc = open_folder(blobs, "sha256", true, &own->blobs, err);
    if (blobs >= 0)
        close(blobs);
    return rc;
}

void rafsi_layout_leave(struct layout_target *own)
{
    if (own->blobs >= 0)
        close(own->blobs);
    if (own->dir >= 0)
        close(own->dir);
}

int rafsi_layout_has(rafs_target *target, const uint8_t *digest, uint64_t *size,
                     const rafs_call *call, rafs_error *err)
{
    const struct layout_target *own = target->own;
    struct stat st;
    char hex[65];
    int rc = rafsi_call_check(&target->env, call, RAFS_STAGE_FETCH, err);

    rafsi_digest_hex(digest, hex);
    if (rc < 0)
        return rc;
    if (fstatat(own->blobs, hex, &st, 0) < 0)
        return errno == ENOENT ? rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                                            "the layout has no such blob")
                               : rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH,
                                               errno, hex, "cannot be looked at");
    if (!S_ISREG(st.st_mode))
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, hex,
                          "is not a regular file");
    *size = (uint64_t)st.st_size;
    return RAFS_OK;
}

int rafsi_layout_begin(rafs_upload *upload, const rafs_call *call, rafs_error *err)
{
    const struct rafsi_env *env = &upload->target->env;
    struct layout_file *file = rafsi_alloc(env, sizeof(*file));
    int rc = rafsi_call_check(env, call, RAFS_STAGE_FETCH, err);

    if (!file)
        return rafsi_fail_nomem(err, sizeof(*file));
    if (rc == RAFS_OK)
        rc = rafsi_layout_file(upload->target->own, file, err);
    if (rc < 0)
        rafsi_free(env, file);
    else
        upload->own = file;
    return rc;
}

int rafsi_layout_part(rafs_upload *upload, const rafs_call *call, rafs_error *err)
{
    int rc = rafsi_layout_file_add(&upload->target->env, upload->own, upload->buffer,
                                   upload->fill, call, err);

    if (rc == RAFS_OK)
        upload->fill = 0;
    return rc;
}

/* What is there under this name is replaced: it may have been cut short. */
int rafsi_layout_commit(rafs_upload *upload, const uint8_t *digest, const rafs_call *call,
                        rafs_error *err)
{
    const struct layout_target *own = upload->target->own;
    char hex[65];
    int rc = rafsi_layout_part(upload, call, err);

    rafsi_digest_hex(digest, hex);
    return rc < 0 ? rc : rafsi_layout_file_name(own, upload->own, own->blobs, hex, err);
}

void rafsi_layout_abandon(rafs_upload *upload)
{
    rafsi_layout_file_drop(upload->own);
    rafsi_free(&upload->target->env, upload->own);
}

/* An open file of its own, so that threads of one process keep out of each other's way
 * too. */
static int lock(rafs_target *target, const rafs_call *call, int *out, rafs_error *err)
{
    const struct layout_target *own = target->own;
    int fd = openat(own->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? failed("the folder", errno, err) : RAFS_OK;

    while (rc == RAFS_OK && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            rc = rafsi_call_sleep(&target->env, call, LOCK_PAUSE_MS, err);
        else if (errno != EINTR)
            rc = rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, errno, NULL,
                               "the folder cannot be locked");
    }
    if (rc < 0 && fd >= 0)
        close(fd);
    else
        *out = fd;
    return rc;
}

static int put_blob(rafs_target *target, const uint8_t *digest, const void *data,
                    size_t len, const rafs_call *call, rafs_error *err)
{
    const struct layout_target *own = target->own;
    char hex[65];

    rafsi_digest_hex(digest, hex);
    return rafsi_layout_file_put(target, own->blobs, hex, data, len, call, err);
}

/* One more entry into index.json. */
static int put_entry(rafs_target *target, const uint8_t *index, size_t index_len,
                     const char *descriptor, const char *tag, const rafs_call *call,
                     rafs_error *err)
{
    const struct layout_target *own = target->own;
    char *text = NULL;
    size_t len = 0;
    bool same = false;
    int rc =
        rafsi_oci_list_add(index, index_len, descriptor, tag, &text, &len, &same, err);

    if (rc == RAFS_OK && len > OCI_JSON_MAX)
        rc = rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, NULL, "index.json is full");
    if (rc == RAFS_OK && !same)
        rc = rafsi_layout_file_put(target, own->dir, "index.json", text, len, call, err);
    free(text);
    return rafsi_fail_object(err, rc, "index.json");
}

/* What the layout calls by this name, to be freed; *out NULL: nothing. */
static int find_named(rafs_target *target, const uint8_t *index, size_t index_len,
                      const char *tag, uint8_t **out, size_t *len, rafs_error *err)
{
    const struct layout_target *own = target->own;
    uint8_t digest[OCI_DIGEST_BYTES];
    char hex[65];
    int rc = rafsi_layout_pick(index, index_len, tag, digest, err);

    *out = NULL;
    *len = 0;
    if (rc == RAFS_E_NOENT)
        return RAFS_OK;
    if (rc < 0)
        return rc;
    rafsi_digest_hex(digest, hex);
    return load(target, own->blobs, hex, OCI_JSON_MAX, out, len, err);
}

/* The list of what hangs on the manifest, as a registry without an API for it has it: an
 * index that has the name sha256-HEX. */
static int add_referrer(rafs_target *target, const struct oci_put *put,
                        const uint8_t *index, size_t index_len, const rafs_call *call,
                        rafs_error *err)
{
    uint8_t digest[OCI_DIGEST_BYTES];
    struct oci_facts facts = {.descriptor = NULL};
    char tag[OCI_DIGEST_TEXT];
    uint8_t *list = NULL;
    char *text = NULL;
    size_t list_len = 0, len = 0;
    bool same = false;
    int rc;

    rafsi_oci_digest_text(put->subject, tag);
    tag[6] = '-';
    rc = find_named(target, index, index_len, tag, &list, &list_len, err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_list_add(list, list_len, put->descriptor, NULL, &text, &len, &same,
                                err);
    if (rc == RAFS_OK && !same)
        rc = rafsi_hash_bytes(target->hashes, RAFSI_SHA256, text, len, digest, err);
    if (rc == RAFS_OK && !same)
        rc = rafsi_oci_facts(text, len, NULL, digest, &facts, err);
    if (rc == RAFS_OK && !same)
        rc = put_blob(target, digest, text, len, call, err);
    if (rc == RAFS_OK && !same)
        rc = put_entry(target, index, index_len, facts.descriptor, tag, call, err);
    rafsi_oci_facts_drop(&facts);
    free(text);
    rafsi_free(&target->env, list);
    return rc;
}

static int load_index(rafs_target *target, uint8_t **out, size_t *len, rafs_error *err)
{
    const struct layout_target *own = target->own;

    return load(target, own->dir, "index.json", OCI_JSON_MAX, out, len, err);
}

int rafsi_layout_put(rafs_target *target, const struct oci_put *put,
                     const rafs_call *call, rafs_error *err)
{
    uint8_t *index = NULL;
    size_t len = 0;
    int locked = -1;
    int rc = put_blob(target, put->digest, put->data, put->len, call, err);

    if (rc < 0 || (!put->tag && !put->has_subject))
        return rc;
    rc = lock(target, call, &locked, err);
    if (rc == RAFS_OK && put->has_subject)
        rc = load_index(target, &index, &len, err);
    if (rc == RAFS_OK && put->has_subject)
        rc = add_referrer(target, put, index ? index : (const uint8_t *)empty_index,
                          index ? len : strlen(empty_index), call, err);
    rafsi_free(&target->env, index);
    index = NULL;
    if (rc == RAFS_OK && put->tag)
        rc = load_index(target, &index, &len, err);
    if (rc == RAFS_OK && put->tag)
        rc = put_entry(target, index, len, put->descriptor, put->tag, call, err);
    rafsi_free(&target->env, index);
    if (locked >= 0)
        close(locked); /* which unlocks */
    return rc;
}

static void layout_close(rafs_target *target)
{
    rafsi_layout_leave(target->own);
    rafsi_free(&target->env, target->own);
}

static const struct oci_target_kind layout_kind = {.has = rafsi_layout_has,
                                                   .begin = rafsi_layout_begin,
                                                   .part = rafsi_layout_part,
                                                   .commit = rafsi_layout_commit,
                                                   .abandon = rafsi_layout_abandon,
                                                   .put = rafsi_layout_put,
                                                   .close = layout_close};

int rafsi_target_layout(rafs_target *target, const rafs_call *call, rafs_error *err)
{
    struct layout_target *own = rafsi_alloc_zero(&target->env, sizeof(*own));
    int rc;

    if (!own)
        return rafsi_fail_nomem(err, sizeof(*own));
    rc = rafsi_layout_make(target, own, target->where.path, call, err);
    if (rc < 0) {
        rafsi_layout_leave(own);
        rafsi_free(&target->env, own);
        return rc;
    }
    target->kind = &layout_kind;
    return RAFS_OK;
}
