/* SPDX-License-Identifier: Apache-2.0 */
#include "tar_stream.h"

#ifdef HAVE_LIBARCHIVE
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extract_file.h"
#include "extract_links.h"
#include "extract_paths.h"
#include "tar_entry.h"

/* Files up to this are verified before anything of them is written. */
enum { VERIFY_FIRST = 8 << 20 };

/* tar's own record size; the end is filled up to it. */
enum { TAR_RECORD = 10240, TAR_BUFFER = 26 * TAR_RECORD };

/* What is left of an archive that was given up has to be seen to be cut off, so the
 * buffer is ours: libarchive would drop it, and an empty stream passes for an archive. */
struct output {
    uint8_t *buffer;
    size_t used;
    uint64_t written; /* and buffered */
};

static const uint8_t zeros[FILE_PIECE];

struct tar {
    struct command *c;
    struct archive *archive;
    struct archive_entry *entry; /* used again and again */
    struct link_map links;
    struct output output;
    uint8_t *piece;
    uint8_t *whole;   /* room for a file that is verified first */
    int write_errno;  /* standard output failed with this */
    bool stop, abort; /* abort: the archive must not look complete */
};

bool tar_available(void)
{
    return true;
}

static bool flush_output(struct tar *tar)
{
    const uint8_t *bytes = tar->output.buffer;
    size_t left = tar->output.used;

    while (left > 0 && !tar->write_errno) {
        ssize_t n = write(STDOUT_FILENO, bytes, left);

        if (n >= 0) {
            bytes += n;
            left -= (size_t)n;
        } else if (errno != EINTR || command_interrupted(tar->c)) {
            tar->write_errno = errno;
        }
    }
    tar->output.used = 0;
    return !tar->write_errno;
}

static la_ssize_t write_out(struct archive *archive, void *user, const void *bytes,
                            size_t len)
{
    struct tar *tar = user;
    struct output *output = &tar->output;

    if (output->used == TAR_BUFFER && !flush_output(tar)) {
        archive_set_error(archive, tar->write_errno, "standard output");
        return -1;
    }
    if (len > TAR_BUFFER - output->used)
        len = TAR_BUFFER - output->used;
    memcpy(output->buffer + output->used, bytes, len);
    output->used += len;
    output->written += len;
    return (la_ssize_t)len;
}

/* Names are bytes. In the C locale, which tar_write() sets, the writer cannot take one
 * outside ASCII for text: it says so, stores the bytes and marks them as such
 * (hdrcharset=BINARY), which is what we want. */
static bool name_kept_as_bytes(struct tar *tar, la_ssize_t rc)
{
    const char *text = archive_error_string(tar->archive);

    return rc == ARCHIVE_WARN && text && strncmp(text, "Can't translate", 15) == 0;
}

/* An answer of libarchive. True: go on with this entry. */
static bool archive_ok(struct tar *tar, const char *path, la_ssize_t rc)
{
    if (rc >= ARCHIVE_OK || name_kept_as_bytes(tar, rc))
        return true;
    if (tar->write_errno) {
        command_output_lost(tar->c, tar->write_errno);
    } else {
        command_say(tar->c, rc == ARCHIVE_FATAL ? EXIT_SOURCE : EXIT_UNSUPPORTED,
                    "%s: not as it should be in the archive: %s", path,
                    archive_error_string(tar->archive));
    }
    if (rc == ARCHIVE_FATAL)
        tar->stop = tar->abort = true;
    return rc == ARCHIVE_WARN;
}

/* --- content --------------------------------------------------------------------- */

static int keep_piece(void *user, uint64_t offset, const uint8_t *bytes, size_t len)
{
    struct tar *tar = user;

    memcpy(tar->whole + offset, bytes, len);
    return RAFS_OK;
}

static int keep_hole(void *user, uint64_t offset, uint64_t len)
{
    struct tar *tar = user;

    memset(tar->whole + offset, 0, (size_t)len);
    return RAFS_OK;
}

static int write_piece(void *user, uint64_t offset, const uint8_t *bytes, size_t len)
{
    struct tar *tar = user;

    (void)offset;
    return archive_write_data(tar->archive, bytes, len) == (la_ssize_t)len ? RAFS_OK : 1;
}

/* The writer wants the zeros of holes too and leaves them out itself. */
static int write_hole(void *user, uint64_t offset, uint64_t len)
{
    int rc = RAFS_OK;

    while (len > 0 && rc == RAFS_OK) {
        size_t n = len < sizeof zeros ? (size_t)len : sizeof zeros;

        rc = write_piece(user, offset, zeros, n);
        len -= n;
    }
    return rc;
}

/* Tell the entry which parts of the file are data, if any is not. */
static int find_holes(struct tar *tar, const rafs_attr *attr, rafs_error *err)
{
    rafs_extent extents[128];
    uint64_t pos = 0, data = 0; /* [data, pos) is data not told yet */
    bool holes = false;

    while (pos < attr->size) {
        size_t count = 0, i;
        int rc = rafs_image_get_extents(tar->c->image, attr->ino, pos, extents, 128,
                                        &count, command_call(tar->c), err);

        if (rc != RAFS_OK)
            return rc;
        for (i = 0; i < count; i++) {
            uint64_t end = extents[i].file_offset + extents[i].length;

            if (extents[i].flags & RAFS_EXTENT_HOLE) {
                if (pos > data)
                    archive_entry_sparse_add_entry(tar->entry, (int64_t)data,
                                                   (int64_t)(pos - data));
                holes = true;
                data = end;
            }
            if (end <= pos)
                count = 0;
            pos = end;
        }
        if (count == 0)
            return rafs_error_set(err, RAFS_E_CORRUPT, EIO, "bootstrap",
                                  "the extents of a file do not add up to its size");
    }
    if (holes && pos > data)
        archive_entry_sparse_add_entry(tar->entry, (int64_t)data, (int64_t)(pos - data));
    else if (holes)
        archive_entry_sparse_add_entry(tar->entry, (int64_t)attr->size, 0);
    return RAFS_OK;
}

static bool put_verified(struct tar *tar, const rafs_walk_entry *from, rafs_error *err)
{
    const struct file_sink sink = {tar, keep_piece, keep_hole};
    size_t size = (size_t)from->attr.size;
    int rc;

    if (!tar->whole)
        tar->whole = malloc(VERIFY_FIRST);
    if (!tar->whole)
        rc = rafs_error_set(err, RAFS_E_NOMEM, ENOMEM, "", "out of memory");
    else
        rc = file_content(tar->c, &from->attr, tar->piece, &sink, err);
    if (rc != RAFS_OK) {
        command_failed(tar->c, from->path, err);
        return false;
    }
    if (!archive_ok(tar, from->path, archive_write_header(tar->archive, tar->entry)))
        return false;
    return size == 0 || archive_ok(tar, from->path,
                                   archive_write_data(tar->archive, tar->whole, size));
}

static bool put_streamed(struct tar *tar, const rafs_walk_entry *from, rafs_error *err)
{
    const struct file_sink sink = {tar, write_piece, write_hole};
    int rc;

    if (!archive_ok(tar, from->path, archive_write_header(tar->archive, tar->entry)))
        return false;
    rc = file_content(tar->c, &from->attr, tar->piece, &sink, err);
    if (rc == RAFS_OK)
        return true;
    tar->stop = tar->abort = true;
    if (rc > 0)
        return archive_ok(tar, from->path, ARCHIVE_FATAL);
    command_failed(tar->c, from->path, err);
    command_say(tar->c, EXIT_GOOD, "the archive ends here, incomplete");
    return false;
}

/* --- entries --------------------------------------------------------------------- */

static bool put_regular(struct tar *tar, const rafs_walk_entry *from, rafs_error *err)
{
    archive_entry_set_size(tar->entry, (int64_t)from->attr.size);
    if (find_holes(tar, &from->attr, err) != RAFS_OK) {
        command_failed(tar->c, from->path, err);
        return false;
    }
    return from->attr.size <= VERIFY_FIRST ? put_verified(tar, from, err)
                                           : put_streamed(tar, from, err);
}

static void put_entry(struct tar *tar, const rafs_walk_entry *from)
{
    const rafs_attr *attr = &from->attr;
    bool several = !S_ISDIR(attr->mode) && attr->nlink > 1;
    const char *first = several ? link_map_find(&tar->links, from->ino) : NULL;
    rafs_error err = RAFS_ERROR_INIT;
    bool done;

    if (S_ISSOCK(attr->mode)) {
        command_say(tar->c, EXIT_GOOD, "%s: left out, an archive cannot hold a socket",
                    from->path);
        return;
    }
    archive_entry_clear(tar->entry);
    if (tar_fill_entry(tar->c, from, first, tar->entry, &err) != RAFS_OK) {
        command_failed(tar->c, from->path, &err);
        return;
    }
    if (!first && S_ISREG(attr->mode))
        done = put_regular(tar, from, &err);
    else
        done =
            archive_ok(tar, from->path, archive_write_header(tar->archive, tar->entry));
    if (first) {
        link_map_count(&tar->links, from->ino);
    } else if (done && several &&
               link_map_add(&tar->links, from->ino, attr->nlink, from->path) < 0) {
        command_say(tar->c, EXIT_SOURCE, "out of memory");
        tar->stop = tar->abort = true;
    }
}

static void put_subtree(struct tar *tar, const char *path)
{
    const rafs_walk_entry *entry;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_walk *walk = NULL;
    int rc = rafs_walk_open(tar->c->image, path, 0, &walk, &err);

    if (rc != RAFS_OK)
        command_failed(tar->c, path, &err);
    while (walk && !tar->stop) {
        rc = rafs_walk_next(walk, &entry, &err);
        if (rc == RAFS_OK && !entry)
            break;
        if (rc == RAFS_OK)
            put_entry(tar, entry);
        else
            command_failed(tar->c, path, &err);
        if (command_interrupted(tar->c))
            tar->stop = tar->abort = true;
    }
    rafs_walk_close(walk);
}

static bool start_archive(struct tar *tar)
{
    struct archive *a = tar->archive;

    /* SCHILY alone: what GNU tar reads, and bsdtar too. hdrcharset=BINARY is left to the
     * writer: asked for, it marks every entry, and GNU tar complains of every mark. */
    return archive_write_set_format_pax(a) == ARCHIVE_OK &&
           archive_write_set_format_option(a, "pax", "xattrheader", "SCHILY") ==
               ARCHIVE_OK &&
           archive_write_set_bytes_per_block(a, 0) == ARCHIVE_OK &&
           archive_write_open2(a, tar, NULL, write_out, NULL, NULL) == ARCHIVE_OK;
}

static void end_archive(struct tar *tar)
{
    int rc = ARCHIVE_OK;

    if (tar->abort)
        archive_write_fail(tar->archive);
    else
        rc = archive_write_close(tar->archive);
    while (!tar->abort && rc == ARCHIVE_OK && tar->output.written % TAR_RECORD != 0) {
        uint64_t missing = TAR_RECORD - tar->output.written % TAR_RECORD;

        if (write_out(tar->archive, tar, zeros, (size_t)missing) < 0)
            rc = ARCHIVE_FATAL;
    }
    /* A failure of the output was reported when it first showed. */
    if (!tar->write_errno && !command_interrupted(tar->c) && !flush_output(tar))
        rc = ARCHIVE_FATAL;
    if (!tar->abort)
        archive_ok(tar, "/", rc);
}

void tar_write(struct command *c, char **paths, size_t count)
{
    struct tar tar = {.c = c, .links = LINK_MAP_INIT};
    struct selection selection = SELECTION_INIT;
    size_t i;

    /* Else the archive would depend on the user's language, and a reader in another one
     * could fail to find the bytes of a name again. */
    setlocale(LC_CTYPE, "C");
    tar.archive = archive_write_new();
    tar.entry = archive_entry_new();
    tar.piece = malloc(FILE_PIECE);
    tar.output.buffer = malloc(TAR_BUFFER);
    if (!tar.archive || !tar.entry || !tar.piece || !tar.output.buffer) {
        command_say(c, EXIT_SOURCE, "out of memory");
        goto out;
    }
    if (!start_archive(&tar)) {
        command_say(c, EXIT_UNSUPPORTED, "libarchive: %s",
                    archive_error_string(tar.archive));
        goto out;
    }
    selection_make(c, paths, count, &selection);
    for (i = 0; i < selection.count && !tar.stop; i++)
        put_subtree(&tar, selection.paths[i]);
    end_archive(&tar);
out:
    archive_entry_free(tar.entry);
    archive_write_free(tar.archive);
    selection_free(&selection);
    link_map_free(&tar.links);
    free(tar.piece);
    free(tar.whole);
    free(tar.output.buffer);
}
#else

bool tar_available(void)
{
    return false;
}

void tar_write(struct command *c, char **paths, size_t count)
{
    (void)c;
    (void)paths;
    (void)count;
}
#endif
