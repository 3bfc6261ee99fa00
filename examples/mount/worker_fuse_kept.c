/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_FUSE3
#include "worker_fuse_own.h"

#include <rafs/fill.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Files that are read in pieces, from the file that the cache keeps for a blob.
 *
 * rafs_image_read() verifies a whole chunk for each read of a part of it; for a random
 * read of 4 KiB that is a mebibyte. What a kernel mount does serves here too: once
 * rafs_image_fill() has verified a chunk in the cache's file since this worker began, its
 * bytes are read from there. As long as we have that file open, no cache gives its place
 * to anything else.
 *
 * The first read of a chunk is an ordinary one, for most files are read once. Whatever
 * fails here is tried in the ordinary way as well, which knows more sources, and says
 * why.
 */

enum { EXTENTS = 8, WORD = 64 };
enum { KEPT_UNKNOWN, KEPT_OPEN, KEPT_NOT };

struct fuse_kept {
    pthread_mutex_t lock; /* for opening */
    _Atomic bool none;    /* there is nothing of the kind for this image */
    uint32_t count;
    struct kept_blob {
        _Atomic int state; /* KEPT_ */
        int fd;
        uint64_t blocks;
        /* A bit for each block: verified; in it begins a chunk that was read before. */
        _Atomic uint64_t *good, *touched;
    } blob[];
};

bool fuse_kept_init(struct fuse_service *s, uint32_t blobs)
{
    s->kept = calloc(1, sizeof *s->kept + blobs * sizeof s->kept->blob[0]);
    if (!s->kept)
        return false;
    s->kept->count = blobs;
    pthread_mutex_init(&s->kept->lock, NULL);
    return true;
}

void fuse_kept_free(struct fuse_service *s)
{
    struct fuse_kept *kept = s->kept;

    if (!kept)
        return;
    for (uint32_t i = 0; i < kept->count; i++) {
        if (atomic_load(&kept->blob[i].state) == KEPT_OPEN) {
            close(kept->blob[i].fd);
            free(kept->blob[i].good);
            free(kept->blob[i].touched);
        }
    }
    pthread_mutex_destroy(&kept->lock);
    free(kept);
}

/* Without a cache in a directory, or of a version 5 image, there is none. */
static int open_blob(struct fuse_service *s, uint32_t blob, const rafs_call *call)
{
    struct kept_blob *b = &s->kept->blob[blob];
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t size;
    int32_t fd;
    int rc = rafs_image_fill_file(s->image, blob, &fd, &size, call, &err);

    if (rc == RAFS_E_TIMEOUT || rc == RAFS_E_CANCELLED)
        return KEPT_UNKNOWN;
    if (rc < 0) {
        atomic_store(&s->kept->none, rc == RAFS_E_UNSUPPORTED);
        return KEPT_NOT;
    }
    b->blocks = size / RAFS_FILL_BLOCK;
    b->good = calloc(b->blocks / WORD + 1, sizeof *b->good);
    b->touched = calloc(b->blocks / WORD + 1, sizeof *b->touched);
    b->fd = fd;
    if (b->good && b->touched)
        return KEPT_OPEN;
    free(b->good);
    free(b->touched);
    close(fd);
    return KEPT_NOT;
}

static struct kept_blob *blob_of(struct fuse_service *s, uint32_t blob,
                                 const rafs_call *call)
{
    struct kept_blob *b;

    if (blob >= s->kept->count)
        return NULL;
    b = &s->kept->blob[blob];
    if (atomic_load(&b->state) == KEPT_UNKNOWN) {
        pthread_mutex_lock(&s->kept->lock);
        if (atomic_load(&b->state) == KEPT_UNKNOWN)
            atomic_store(&b->state, open_blob(s, blob, call));
        pthread_mutex_unlock(&s->kept->lock);
    }
    return atomic_load(&b->state) == KEPT_OPEN ? b : NULL;
}

static bool set_bit(_Atomic uint64_t *bits, uint64_t block)
{
    uint64_t bit = UINT64_C(1) << block % WORD;

    return atomic_fetch_or(&bits[block / WORD], bit) & bit;
}

static bool is_good(const struct kept_blob *b, uint64_t begin, uint64_t end)
{
    uint64_t last = (end - 1) / RAFS_FILL_BLOCK;

    if (last >= b->blocks)
        return false;
    for (uint64_t i = begin / RAFS_FILL_BLOCK; i <= last; i++) {
        if (!(atomic_load(&b->good[i / WORD]) & UINT64_C(1) << i % WORD))
            return false;
    }
    return true;
}

/* [begin, end) of the blob is in its file, verified. */
static bool make_good(struct fuse_service *s, struct kept_blob *b, const rafs_extent *of,
                      uint64_t begin, uint64_t end, const rafs_call *call)
{
    rafs_filled filled = RAFS_FILLED_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t first = of->uncompressed_offset / RAFS_FILL_BLOCK;

    if (is_good(b, begin, end))
        return true;
    if (first >= b->blocks || !set_bit(b->touched, first))
        return false;
    if (rafs_image_fill(s->image, of->blob, begin, end - begin, &filled, call, &err) < 0)
        return false;
    for (uint64_t i = filled.begin / RAFS_FILL_BLOCK;
         i < filled.end / RAFS_FILL_BLOCK && i < b->blocks; i++)
        set_bit(b->good, i);
    return is_good(b, begin, end);
}

/* `len` bytes of an extent from `skip` on. */
static bool read_extent(struct fuse_service *s, const rafs_extent *of, uint64_t skip,
                        size_t len, uint8_t *to, const rafs_call *call)
{
    uint64_t begin = of->uncompressed_offset + skip;
    struct kept_blob *b;

    if (of->flags & RAFS_EXTENT_HOLE) {
        memset(to, 0, len);
        return true;
    }
    b = blob_of(s, of->blob, call);
    return b && make_good(s, b, of, begin, begin + len, call) &&
           pread(b->fd, to, len, (off_t)begin) == (ssize_t)len;
}

bool fuse_kept_read(struct fuse_service *s, struct reading *r, const rafs_call *call,
                    size_t *nread)
{
    rafs_extent extents[EXTENTS];
    rafs_error err = RAFS_ERROR_INIT;
    size_t count = 0, done = 0;

    if (!s->kept || atomic_load(&s->kept->none) || r->offset == 0)
        return false;
    while (done < r->size) {
        if (rafs_image_get_extents(s->image, r->ino, r->offset + done, extents, EXTENTS,
                                   &count, call, &err) < 0)
            return false;
        if (count == 0)
            break; /* the end of the file */
        for (size_t i = 0; i < count && done < r->size; i++) {
            uint64_t skip = r->offset + done - extents[i].file_offset;
            uint64_t left = extents[i].length - skip;
            size_t len = left < r->size - done ? (size_t)left : r->size - done;

            if (!read_extent(s, &extents[i], skip, len, r->buf + done, call))
                return false;
            done += len;
        }
    }
    *nread = done;
    return true;
}
#endif
