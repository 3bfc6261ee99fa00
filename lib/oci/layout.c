/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/archive.h"

enum {
    VERSION_MAX = 4096, /* bytes of the file oci-layout */
    NAME_ROOM = 96      /* "blobs/sha256/HEX" */
};

struct oci_layout {
    struct rafsi_env env;
    int fd; /* of the folder or the archive */
    bool is_archive;
    struct oci_archive archive;
};

/* Bytes of a file: all of its own, or a part of the archive. */
struct place {
    int fd;
    bool own; /* fd is to be closed */
    uint64_t at, size;
};

struct layout_blob {
    const struct rafsi_env *env;
    struct place place;
};

void rafsi_layout_close(struct oci_layout *layout)
{
    struct rafsi_env env;

    if (!layout)
        return;
    env = layout->env;
    rafsi_archive_drop(&env, &layout->archive);
    if (layout->fd >= 0)
        close(layout->fd);
    rafsi_free(&env, layout);
}

static void leave(struct place *place)
{
    if (place->own)
        close(place->fd);
}

static int missing(const char *name, rafs_error *err)
{
    return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                      "there is no %s: not an OCI layout, or not all of it", name);
}

/* A file of the folder. */
static int find_file(const struct oci_layout *layout, const char *name, struct place *out,
                     rafs_error *err)
{
    int rc = rafsi_file_open(layout->fd, name, &out->fd, err);

    if (rc == RAFS_E_NOENT)
        return missing(name, err);
    if (rc == RAFS_E_BADARG) /* a FIFO and the like: nothing that the caller chose */
        rc = rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                        "%s is not a regular file", name);
    if (rc == RAFS_OK) {
        out->own = true;
        out->at = 0;
        rc = rafsi_file_size(out->fd, &out->size, err);
        if (rc < 0)
            close(out->fd);
    }
    return rafsi_fail_object(err, rc, "%s", name);
}

static int find_part(const struct oci_layout *layout, const struct archive_file *file,
                     const char *name, struct place *out, rafs_error *err)
{
    if (!layout->is_archive)
        return find_file(layout, name, out, err);
    if (!file->there)
        return missing(name, err);
    *out = (struct place){.fd = layout->fd, .at = file->at, .size = file->size};
    return RAFS_OK;
}

static int find_blob(const struct oci_layout *layout,
                     const uint8_t digest[OCI_DIGEST_BYTES], struct place *out,
                     rafs_error *err)
{
    const struct archive_blob *blob = NULL;
    char name[NAME_ROOM] = "blobs/sha256/";

    rafsi_digest_hex(digest, name + strlen(name));
    if (!layout->is_archive)
        return find_file(layout, name, out, err);
    blob = rafsi_archive_find(&layout->archive, digest);
    if (!blob)
        return missing(name, err);
    *out = (struct place){.fd = layout->fd, .at = blob->at, .size = blob->size};
    return RAFS_OK;
}

/* All of a place, which is left. */
static int take_all(struct place *place, uint64_t limit, const struct rafsi_env *env,
                    uint8_t **out, size_t *len, rafs_error *err)
{
    uint8_t *bytes = NULL;
    size_t got = 0;
    int rc = RAFS_OK;

    if (place->size > limit || place->size > SIZE_MAX)
        rc = rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, NULL,
                        "has %llu bytes, where at most %llu are expected",
                        (unsigned long long)place->size, (unsigned long long)limit);
    if (rc == RAFS_OK) {
        bytes = rafsi_alloc(env, (size_t)place->size);
        rc = bytes ? rafsi_file_read(place->fd, place->at, bytes, (size_t)place->size,
                                     &got, err)
                   : rafsi_fail_nomem(err, (size_t)place->size);
    }
    leave(place);
    if (rc < 0) {
        rafsi_free(env, bytes);
        return rc;
    }
    *out = bytes;
    *len = got; /* less if the file shrank meanwhile; the digest will tell */
    return RAFS_OK;
}

static int layout_resolve(void *user, const char *tag, uint8_t out[OCI_DIGEST_BYTES],
                          rafs_error *err)
{
    const struct oci_layout *layout = user;
    struct place place;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = find_part(layout, &layout->archive.index, "index.json", &place, err);

    if (rc == RAFS_OK)
        rc = take_all(&place, OCI_JSON_MAX, &layout->env, &bytes, &len, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_pick(bytes, len, tag, out, err);
    rafsi_free(&layout->env, bytes);
    return rafsi_fail_object(err, rc, "index.json");
}

static int layout_get(void *user, const struct oci_wanted *wanted,
                      const struct rafsi_env *env, const rafs_call *call, uint8_t **out,
                      size_t *len, rafs_error *err)
{
    const struct oci_layout *layout = user;
    struct place place;
    int rc = rafsi_call_check(&layout->env, call, RAFS_STAGE_FETCH, err);

    /* A layout keeps no list of what hangs on a manifest. */
    if (rc == RAFS_OK && (wanted->what == OCI_GET_REFERRERS || !wanted->digest))
        rc = rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                        "a layout has no such list");
    if (rc == RAFS_OK)
        rc = find_blob(layout, wanted->digest, &place, err);
    return rc < 0 ? rc : take_all(&place, wanted->limit, env, out, len, err);
}

struct oci_store rafsi_layout_store(struct oci_layout *layout)
{
    return (struct oci_store){.user = layout,
                              .name = "the layout",
                              .resolve = layout_resolve,
                              .get = layout_get};
}

static int check_version(const struct oci_layout *layout, rafs_error *err)
{
    struct place place;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = find_part(layout, &layout->archive.layout, "oci-layout", &place, err);

    if (rc == RAFS_OK)
        rc = take_all(&place, VERSION_MAX, &layout->env, &bytes, &len, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_version(bytes, len, err);
    rafsi_free(&layout->env, bytes);
    return rafsi_fail_object(err, rc, "oci-layout");
}

/* O_NONBLOCK: opening a FIFO would wait for a writer. */
static int open_path(const char *path, struct oci_layout *layout, rafs_error *err)
{
    struct stat st;

    layout->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (layout->fd < 0 || fstat(layout->fd, &st) < 0)
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_OPEN, errno, NULL,
                             errno == ENOENT   ? "there is no such folder or archive"
                             : errno == EACCES ? "permission denied"
                                               : "cannot be opened");
    layout->is_archive = !S_ISDIR(st.st_mode);
    if (layout->is_archive && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_OPEN, NULL,
                          "is neither a folder nor a regular file");
    return RAFS_OK;
}

int rafsi_layout_open(const struct rafsi_env *env, const char *path,
                      const rafs_call *call, struct oci_layout **out, rafs_error *err)
{
    struct oci_layout *layout = rafsi_alloc_zero(env, sizeof(*layout));
    int rc;

    if (!layout)
        return rafsi_fail_nomem(err, sizeof(*layout));
    layout->env = *env;
    rc = open_path(path, layout, err);
    if (rc == RAFS_OK && layout->is_archive)
        rc = rafsi_archive_scan(env, layout->fd, call, &layout->archive, err);
    if (rc == RAFS_OK)
        rc = check_version(layout, err);
    if (rc < 0) {
        rafsi_layout_close(layout);
        return rc;
    }
    *out = layout;
    return RAFS_OK;
}

static int blob_open(void *user, const char *blob_id, void **out, const rafs_call *call,
                     rafs_error *err)
{
    const struct oci_layout *layout = user;
    uint8_t digest[OCI_DIGEST_BYTES];
    struct layout_blob *blob;
    int rc;

    (void)call;
    if (strspn(blob_id, "0123456789abcdef") != strlen(blob_id) ||
        !rafsi_digest_parse(blob_id, strlen(blob_id), digest))
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                          "only blobs named by a SHA-256 are in a layout");
    blob = rafsi_alloc(&layout->env, sizeof(*blob));
    if (!blob)
        return rafsi_fail_nomem(err, sizeof(*blob));
    blob->env = &layout->env;
    rc = find_blob(layout, digest, &blob->place, err);
    if (rc < 0) {
        rafsi_free(&layout->env, blob);
        return rc;
    }
    *out = blob;
    return RAFS_OK;
}

static void blob_close(void *user, void *handle)
{
    struct layout_blob *blob = handle;

    (void)user;
    leave(&blob->place);
    rafsi_free(blob->env, blob);
}

static int blob_size(void *user, void *handle, uint64_t *size, const rafs_call *call,
                     rafs_error *err)
{
    const struct layout_blob *blob = handle;

    (void)user;
    (void)call;
    (void)err;
    *size = blob->place.size;
    return RAFS_OK;
}

static int blob_read(void *user, void *handle, uint64_t offset, void *buf, size_t len,
                     size_t *nread, const rafs_call *call, rafs_error *err)
{
    const struct place *place = &((const struct layout_blob *)handle)->place;

    (void)user;
    (void)call;
    *nread = 0;
    if (offset >= place->size)
        return RAFS_OK;
    len = (size_t)rafsi_min(len, place->size - offset);
    return rafsi_file_read(place->fd, place->at + offset, buf, len, nread, err);
}

static void blobs_release(void *user)
{
    rafsi_layout_close(user);
}

int rafsi_layout_backend(struct oci_layout *layout, rafs_backend **out, rafs_error *err)
{
    rafs_backend_ops ops = {.struct_size = sizeof(ops),
                            .open = blob_open,
                            .size = blob_size,
                            .read = blob_read,
                            .close = blob_close,
                            .release = blobs_release,
                            .name = "layout"};

    return rafs_backend_new(&ops, layout, &layout->env.set, out, err);
}
