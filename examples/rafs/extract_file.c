/* SPDX-License-Identifier: Apache-2.0 */
#include "extract_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { EXTENTS = 256, ZERO_BLOCK = 4096 };

static int contradiction(rafs_error *err)
{
    return rafs_error_set(err, RAFS_E_CORRUPT, EIO, "bootstrap",
                          "the extents of a file do not add up to its size");
}

static int copy_range(struct command *c, uint64_t ino, uint64_t pos, uint64_t end,
                      uint8_t *piece, const struct file_sink *sink, rafs_error *err)
{
    int rc = RAFS_OK;

    while (pos < end && rc == RAFS_OK) {
        /* Whole pieces begin at multiples of their size, as chunks do. */
        size_t len = FILE_PIECE - (size_t)(pos % FILE_PIECE), got = 0;

        if (len > end - pos)
            len = (size_t)(end - pos);
        rc = rafs_image_read(c->image, ino, pos, len, piece, &got, command_call(c), err);
        if (rc == RAFS_OK && got != len)
            rc = contradiction(err);
        if (rc == RAFS_OK)
            rc = sink->data(sink->user, pos, piece, len);
        pos += len;
    }
    return rc;
}

int file_content(struct command *c, const rafs_attr *attr, uint8_t *piece,
                 const struct file_sink *sink, rafs_error *err)
{
    rafs_extent extents[EXTENTS];
    uint64_t pos = 0;
    int rc = RAFS_OK;

    while (pos < attr->size && rc == RAFS_OK) {
        size_t count = 0, i = 0;

        rc = rafs_image_get_extents(c->image, attr->ino, pos, extents, EXTENTS, &count,
                                    command_call(c), err);
        if (rc == RAFS_OK && count == 0)
            rc = contradiction(err);
        while (i < count && rc == RAFS_OK) {
            uint32_t hole = extents[i].flags & RAFS_EXTENT_HOLE;
            uint64_t end = pos;

            /* Neighbours of one kind in one go. */
            for (; i < count && (extents[i].flags & RAFS_EXTENT_HOLE) == hole; i++)
                end = extents[i].file_offset + extents[i].length;
            if (end <= pos || end > attr->size)
                rc = contradiction(err);
            else if (!hole)
                rc = copy_range(c, attr->ino, pos, end, piece, sink, err);
            else if (sink->hole)
                rc = sink->hole(sink->user, pos, end - pos);
            pos = end;
        }
    }
    return rc;
}

static int write_all(struct file_writer *writer, uint64_t offset, const uint8_t *bytes,
                     size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(writer->fd, bytes, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        bytes += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
        writer->end = offset;
    }
    return 0;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

int file_write(void *user, uint64_t offset, const uint8_t *bytes, size_t len)
{
    struct file_writer *writer = user;
    size_t pos = 0, run = 0; /* [run, pos) is to be written */
    int rc = 0;

    if (!writer->sparse)
        return write_all(writer, offset, bytes, len);
    while (pos < len && rc == 0) {
        size_t block = len - pos < ZERO_BLOCK ? len - pos : ZERO_BLOCK;

        if (all_zero(bytes + pos, block)) {
            rc = write_all(writer, offset + run, bytes + run, pos - run);
            run = pos + block;
        }
        pos += block;
    }
    return rc != 0 ? rc : write_all(writer, offset + run, bytes + run, pos - run);
}
