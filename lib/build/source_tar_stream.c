/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "build/source_tar.h"

/* From what a caller's function gives to the bytes of a tar file. */

enum { PART_BYTES = 256 << 10 };

int rafsi_tar_corrupt(struct tar_stream *stream, rafs_error *err, uint64_t offset,
                      const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, stream->name, offset,
                         "%s", text);
}

/* The next bytes as they come, behind those that are there; in_len 0: the end. */
static int fill_at(struct tar_stream *stream, size_t have, rafs_error *err)
{
    int rc = rafsi_call_check(stream->env, stream->call, RAFS_STAGE_FETCH, err);

    stream->in_len = 0;
    if (rc == RAFS_OK)
        rc = rafsi_answer(stream->read(stream->user, stream->in + have, PART_BYTES - have,
                                       &stream->in_len, stream->call, err),
                          stream->name, "read", err);
    if (rc == RAFS_OK && stream->in_len > PART_BYTES - have)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, stream->name,
                        "read gave more than was asked for");
    if (rc < 0) {
        stream->in_len = 0;
        stream->failed = rafsi_fail_object(err, rc, "%s", stream->name);
    }
    return rc;
}

static int fill(struct tar_stream *stream, rafs_error *err)
{
    if (!stream->in_kept)
        return fill_at(stream, 0, err);
    stream->in_kept = false;
    return RAFS_OK;
}

static la_ssize_t on_read(struct archive *archive, void *user, const void **buffer)
{
    struct tar_stream *stream = user;

    if (fill(stream, stream->err) < 0) {
        archive_set_error(archive, EIO, "read failed");
        return ARCHIVE_FATAL;
    }
    *buffer = stream->in;
    return (la_ssize_t)stream->in_len;
}

/* Why libarchive gave up: what read() said, or what the bytes are. */
static int filter_failed(struct tar_stream *stream, rafs_error *err)
{
    const char *text = archive_error_string(stream->filter);

    if (stream->failed)
        return stream->failed;
    if (archive_errno(stream->filter) == ENOMEM)
        return rafsi_fail_nomem(err, 0);
    return rafsi_tar_corrupt(stream, err, stream->offset, "cannot be decompressed: %s",
                             text ? text : "no reason was given");
}

/* Formats that this libarchive was built without it would give to a program of that name:
 * those are not used. */
typedef int (*support_fn)(struct archive *filter);

static void allow(struct archive *filter, support_fn support)
{
    if (support(filter) != ARCHIVE_OK)
        archive_clear_error(filter);
}

static int filter_open(struct tar_stream *stream, rafs_error *err)
{
    struct archive_entry *entry;

    stream->filter = archive_read_new();
    if (!stream->filter)
        return rafsi_fail_nomem(err, 0);
    if (archive_read_support_format_raw(stream->filter) != ARCHIVE_OK)
        return rafsi_fail_nomem(err, 0);
    allow(stream->filter, archive_read_support_filter_zstd);
    allow(stream->filter, archive_read_support_filter_xz);
    allow(stream->filter, archive_read_support_filter_bzip2);
    if (archive_read_open(stream->filter, stream, NULL, on_read, NULL) != ARCHIVE_OK ||
        archive_read_next_header(stream->filter, &entry) != ARCHIVE_OK)
        return filter_failed(stream, err);
    /* Each turn could make a thousand bytes of one, and no deadline would be seen. */
    if (archive_filter_count(stream->filter) > 2)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, stream->name,
                          "is compressed more than once");
    return RAFS_OK;
}

static int filter_more(struct tar_stream *stream, rafs_error *err)
{
    const void *at;
    size_t len;
    la_int64_t offset;
    int rc = archive_read_data_block(stream->filter, &at, &len, &offset);

    if (rc == ARCHIVE_EOF)
        return RAFS_OK;
    if (rc != ARCHIVE_OK)
        return filter_failed(stream, err);
    stream->at = at;
    stream->left = len;
    return RAFS_OK;
}

static int gzip_open(struct tar_stream *stream, rafs_error *err)
{
    stream->unzipped = rafsi_alloc(stream->env, PART_BYTES);
    stream->gzip = rafsi_alloc_zero(stream->env, sizeof(*stream->gzip));
    if (!stream->unzipped || !stream->gzip)
        return rafsi_fail_nomem(err, PART_BYTES);
    if (inflateInit2(stream->gzip, 16 + MAX_WBITS) != Z_OK) {
        rafsi_free(stream->env, stream->gzip);
        stream->gzip = NULL;
        return rafsi_fail_nomem(err, 0);
    }
    return RAFS_OK;
}

/* What the member has, as far as there is input and room. */
static int gzip_step(struct tar_stream *stream, rafs_error *err)
{
    int code;

    stream->gzip->next_out = stream->unzipped;
    stream->gzip->avail_out = PART_BYTES;
    code = inflate(stream->gzip, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR)
        return rafsi_fail_nomem(err, 0);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return rafsi_tar_corrupt(stream, err, stream->offset,
                                 "cannot be decompressed: gzip: %s",
                                 stream->gzip->msg ? stream->gzip->msg : "no reason");
    stream->gzip_between = code == Z_STREAM_END;
    stream->at = stream->unzipped;
    stream->left = PART_BYTES - stream->gzip->avail_out;
    return RAFS_OK;
}

/* A member may follow one that ended. Anything else that follows is passed over, as gzip
 * does: had it been part of the tar file, that would lack its end. */
static int gzip_again(struct tar_stream *stream, rafs_error *err)
{
    stream->gzip_over = stream->gzip_over || *stream->gzip->next_in != 0x1f;
    if (stream->gzip_over)
        stream->gzip->avail_in = 0;
    else if (inflateReset(stream->gzip) != Z_OK)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_DECODE, stream->name,
                          "zlib cannot begin again");
    else
        stream->gzip_between = false;
    return RAFS_OK;
}

static int gzip_more(struct tar_stream *stream, rafs_error *err)
{
    int rc = RAFS_OK;

    while (rc == RAFS_OK && stream->left == 0) {
        if (stream->gzip->avail_in == 0) {
            rc = fill(stream, err);
            stream->gzip->next_in = stream->in;
            stream->gzip->avail_in = (uInt)stream->in_len;
        }
        if (rc < 0)
            return rc;
        if (stream->in_len == 0)
            return stream->gzip_between
                       ? RAFS_OK
                       : rafsi_tar_corrupt(stream, err, stream->offset,
                                           "the gzip stream ends in the middle: it was "
                                           "cut");
        rc = stream->gzip_between ? gzip_again(stream, err) : gzip_step(stream, err);
    }
    return rc;
}

/* So many bytes that the format shows. */
static int fill_first(struct tar_stream *stream, rafs_error *err)
{
    enum { MAGIC_BYTES = 6 };
    size_t have = 0;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && have < MAGIC_BYTES) {
        rc = fill_at(stream, have, err);
        if (rc == RAFS_OK && stream->in_len == 0)
            break;
        have += stream->in_len;
    }
    stream->in_len = have;
    stream->in_kept = true;
    if (rc == RAFS_OK && have == 0)
        rc = rafsi_tar_corrupt(stream, err, 0,
                               "is empty: even an image without files "
                               "has two blocks of zeros");
    return rc;
}

int rafsi_tar_open(struct tar_stream *stream, const struct rafsi_env *env,
                   rafs_stream_fn read, void *user, const char *name,
                   const rafs_call *call, rafs_error *err)
{
    int rc;

    *stream = (struct tar_stream){.env = env, .call = call, .read = read, .user = user};
    stream->name = name ? name : "tar stream";
    stream->err = err;
    stream->in = rafsi_alloc(env, PART_BYTES);
    if (!stream->in)
        return rafsi_fail_nomem(err, PART_BYTES);
    rc = fill_first(stream, err);
    if (rc < 0)
        return rc;
    return stream->in_len > 1 && stream->in[0] == 0x1f && stream->in[1] == 0x8b
               ? gzip_open(stream, err)
               : filter_open(stream, err);
}

void rafsi_tar_close(struct tar_stream *stream)
{
    if (stream->filter)
        archive_read_free(stream->filter);
    if (stream->gzip)
        inflateEnd(stream->gzip);
    rafsi_free(stream->env, stream->gzip);
    rafsi_free(stream->env, stream->unzipped);
    rafsi_free(stream->env, stream->in);
}

int rafsi_tar_some(struct tar_stream *stream, uint64_t most, const uint8_t **at,
                   size_t *len, rafs_error *err)
{
    int rc = RAFS_OK;

    stream->err = err;
    if (stream->left == 0)
        rc = stream->gzip ? gzip_more(stream, err) : filter_more(stream, err);
    if (rc < 0)
        return rc;
    *at = stream->at;
    *len = (size_t)rafsi_min(most, stream->left);
    stream->left -= *len;
    stream->offset += *len;
    if (*len != 0)
        stream->at += *len;
    return RAFS_OK;
}

static int cut(struct tar_stream *stream, rafs_error *err)
{
    return rafsi_tar_corrupt(stream, err, stream->offset,
                             "the tar file ends in the middle: it was cut");
}

int rafsi_tar_exact(struct tar_stream *stream, void *out, size_t len, rafs_error *err)
{
    uint8_t *to = out;

    while (len > 0) {
        const uint8_t *at;
        size_t got;
        int rc = rafsi_tar_some(stream, len, &at, &got, err);

        if (rc < 0)
            return rc;
        if (got == 0)
            return cut(stream, err);
        memcpy(to, at, got);
        to += got;
        len -= got;
    }
    return RAFS_OK;
}

int rafsi_tar_skip(struct tar_stream *stream, uint64_t len, rafs_error *err)
{
    while (len > 0) {
        const uint8_t *at;
        size_t got;
        int rc = rafsi_tar_some(stream, len, &at, &got, err);

        if (rc == RAFS_OK)
            rc = rafsi_call_check(stream->env, stream->call, RAFS_STAGE_FETCH, err);
        if (rc < 0)
            return rc;
        if (got == 0)
            return cut(stream, err);
        len -= got;
    }
    return RAFS_OK;
}
