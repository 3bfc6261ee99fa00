/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer of a bootstrap: a tar of image/ and image/image.boot, compressed with gzip on
 * its way to the target.
 *
 * Owner, time and what gzip would tell of the machine are zero, so that the same
 * bootstrap makes the same layer. Source: nydusify, which pads the tar by no more than
 * its end.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <zlib.h>

#include "convert/push.h"

enum { PIECE = 256 << 10, LEVEL = 6, OS_UNKNOWN = 255 };

struct press {
    rafs_upload *upload;
    const rafs_call *call;
    struct rafsi_hash tar; /* of what goes in */
    z_stream z;
    uint8_t *out; /* PIECE bytes */
    int rc;
    rafs_error error;
};

/* What deflate() has for us, to the target. */
static int squeeze(struct press *press, int flush)
{
    int state = Z_OK;

    do {
        size_t have;
        int rc;

        press->z.next_out = press->out;
        press->z.avail_out = PIECE;
        state = deflate(&press->z, flush);
        if (state == Z_STREAM_ERROR)
            return rafsi_fail(&press->error, RAFS_E_BUG, RAFS_STAGE_NONE, "zlib",
                              "does not go on");
        have = PIECE - press->z.avail_out;
        rc = rafsi_upload_write(press->upload, press->out, have, press->call,
                                &press->error);
        if (rc < 0)
            return rc;
    } while (press->z.avail_out == 0 || (flush == Z_FINISH && state != Z_STREAM_END));
    return RAFS_OK;
}

/* libarchive has bytes of the tar. */
static la_ssize_t on_tar(struct archive *tar, void *user, const void *bytes, size_t len)
{
    struct press *press = user;

    press->rc = rafsi_hash_add(&press->tar, bytes, len, &press->error);
    if (press->rc == RAFS_OK) {
        /* zlib takes a pointer to what it does not change. */
        memcpy(&press->z.next_in, &bytes, sizeof(bytes));
        press->z.avail_in = (uInt)len;
        press->rc = squeeze(press, Z_NO_FLUSH);
    }
    if (press->rc == RAFS_OK)
        return (la_ssize_t)len;
    archive_set_error(tar, EIO, "failed");
    return -1;
}

static int tar_failed(const struct press *press, rafs_error *err)
{
    if (press->rc == RAFS_OK)
        return rafsi_fail_nomem(err, 0);
    if (err)
        *err = press->error;
    return press->rc;
}

static int add_header(struct archive *tar, const char *name, int64_t size,
                      const struct press *press, rafs_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    bool folder = size < 0;
    int rc = RAFS_OK;

    if (!entry)
        return rafsi_fail_nomem(err, 0);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, folder ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, folder ? 0755 : 0444);
    archive_entry_set_size(entry, folder ? 0 : size);
    archive_entry_set_mtime(entry, 0, 0);
    if (archive_write_header(tar, entry) != ARCHIVE_OK)
        rc = tar_failed(press, err);
    archive_entry_free(entry);
    return rc;
}

static int add_bootstrap(struct archive *tar, const struct push_image *push,
                         const struct press *press, uint8_t *piece, rafs_error *err)
{
    uint64_t at = 0;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && at < push->size) {
        size_t want = (size_t)rafsi_min(PIECE, push->size - at);
        size_t got = 0;

        rc = push->read(push->user, at, piece, want, &got, err);
        if (rc == RAFS_OK && got < want)
            rc = rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, "bootstrap",
                            "became shorter while it was read");
        if (rc == RAFS_OK && archive_write_data(tar, piece, got) != (la_ssize_t)got)
            rc = tar_failed(press, err);
        at += got;
    }
    return rc;
}

static int make_tar(const struct push_image *push, struct press *press, uint8_t *piece,
                    rafs_error *err)
{
    struct archive *tar = archive_write_new();
    int rc = tar ? RAFS_OK : rafsi_fail_nomem(err, 0);

    if (rc == RAFS_OK &&
        (archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK ||
         archive_write_set_bytes_per_block(tar, 0) != ARCHIVE_OK ||
         archive_write_open(tar, press, NULL, on_tar, NULL) != ARCHIVE_OK))
        rc = tar_failed(press, err);
    if (rc == RAFS_OK)
        rc = add_header(tar, "image/", -1, press, err);
    if (rc == RAFS_OK)
        rc = add_header(tar, "image/image.boot", (int64_t)push->size, press, err);
    if (rc == RAFS_OK)
        rc = add_bootstrap(tar, push, press, piece, err);
    if (rc == RAFS_OK && archive_write_close(tar) != ARCHIVE_OK)
        rc = tar_failed(press, err);
    archive_write_free(tar);
    return rc;
}

static int run(struct press *press, struct push_image *push, uint8_t *piece,
               rafs_error *err)
{
    int rc = make_tar(push, press, piece, err);

    if (rc < 0)
        return rc;
    press->z.avail_in = 0;
    rc = squeeze(press, Z_FINISH);
    if (rc < 0 && err)
        *err = press->error;
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&press->tar, push->image.boot_diff, err);
    if (rc == RAFS_OK)
        rc = rafsi_upload_commit(press->upload, NULL, push->image.bootstrap.digest,
                                 &push->image.bootstrap.size, press->call, err);
    return rc;
}

/* gzip, saying nothing of time and machine. */
static int begin_gzip(struct press *press, gz_header *header, rafs_error *err)
{
    memset(header, 0, sizeof(*header));
    header->os = OS_UNKNOWN;
    if (deflateInit2(&press->z, LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return rafsi_fail_nomem(err, 0);
    deflateSetHeader(&press->z, header);
    return RAFS_OK;
}

int rafsi_push_boot(rafs_target *to, struct push_image *push, const rafs_call *call,
                    rafs_error *err)
{
    struct press press = {.call = call, .error = RAFS_ERROR_INIT};
    uint8_t *memory = rafsi_alloc(&to->env, 2 * (size_t)PIECE);
    gz_header header;
    int rc;

    if (!memory)
        return rafsi_fail_nomem(err, 2 * (size_t)PIECE);
    press.out = memory;
    rc = rafsi_hash_begin(to->hashes, RAFSI_SHA256, &press.tar, err);
    if (rc < 0)
        goto out;
    rc = begin_gzip(&press, &header, err);
    if (rc < 0)
        goto drop;
    rc = rafsi_upload_new(to, &press.upload, call, err);
    if (rc == RAFS_OK)
        rc = run(&press, push, memory + PIECE, err);
    rafsi_upload_free(press.upload);
    deflateEnd(&press.z);
drop:
    rafsi_hash_drop(&press.tar);
out:
    rafsi_free(&to->env, memory);
    return rafsi_fail_object(err, rc, "bootstrap layer");
}
