/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives of OCI layouts, as skopeo, podman, docker and ctr write them: plain tars whose
 * entries are named as the files of a folder would be, sometimes with "./" in front.
 *
 * An entry of type 'x' (pax) or 'L' (GNU) tells about the next one what its header has no
 * room for. Of pax records `path` and `size` count. Source: POSIX.1 pax; GNU tar.
 */
#include "oci/archive.h"

#include <stdlib.h>

#include "oci/tar.h"

enum {
    ENTRIES_MAX = 65536,
    EXTENDED_MAX = 65536, /* bytes of pax records before an entry */
    NAME_MAX_BYTES = 128, /* no file of a layout has a longer name */
    CHECK_EVERY = 256     /* entries between looks at the deadline */
};

#define BLOBS "blobs/sha256/"

struct scan {
    const struct rafsi_env *env;
    int fd;
    uint64_t size; /* of the file */
    uint64_t at;   /* of the next header */
    /* What an 'x' or 'L' said about the next entry. */
    bool has_name, has_size;
    char name[NAME_MAX_BYTES];
    uint64_t said_size;
    struct oci_archive *out;
};

static int corrupt(const struct scan *scan, const char *what, rafs_error *err)
{
    return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL, scan->at, "%s",
                         what);
}

static int refuse_compressed(const struct scan *scan, const uint8_t *block,
                             rafs_error *err)
{
    static const struct {
        uint8_t len, magic[6];
        const char *name, *tool;
    } kinds[] = {
        {2, {0x1f, 0x8b}, "gzip", "gzip -dk"},
        {4, {0x28, 0xb5, 0x2f, 0xfd}, "zstd", "zstd -d"},
        {6, {0xfd, '7', 'z', 'X', 'Z', 0}, "xz", "xz -dk"},
        {3, {'B', 'Z', 'h'}, "bzip2", "bzip2 -dk"},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (scan->at == 0 && memcmp(block, kinds[i].magic, kinds[i].len) == 0)
            return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, NULL,
                              "is compressed by %s, and nothing can be read in place "
                              "there; decompress it first (%s FILE)",
                              kinds[i].name, kinds[i].tool);
    return corrupt(scan, "not a tar, or its header here is broken", err);
}

static int read_at(const struct scan *scan, uint64_t at, void *to, size_t len,
                   rafs_error *err)
{
    size_t got = 0;
    int rc = rafsi_file_read(scan->fd, at, to, len, &got, err);

    if (rc == RAFS_OK && got < len)
        return corrupt(scan, "the archive ends too early: is it complete?", err);
    return rc;
}

/* Keep a name if it is short enough to matter. */
static void say_name(struct scan *scan, const char *name, size_t len)
{
    scan->has_name = true;
    scan->name[0] = '\0';
    if (len >= sizeof(scan->name))
        return;
    memcpy(scan->name, name, len);
    scan->name[len] = '\0';
}

static bool take_decimal(const char **at, const char *end, uint64_t *out)
{
    const char *from = *at;
    uint64_t value = 0;

    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(**at - '0');
    }
    *out = value;
    return *at > from;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts all of it. */
static bool take_record(struct scan *scan, const char **from, const char *end)
{
    const char *at = *from;
    const char *value;
    uint64_t len;

    if (!take_decimal(&at, end, &len) || at == end || *at != ' ' ||
        len > (uint64_t)(end - *from) || len < (uint64_t)(at - *from) + 3 ||
        (*from)[len - 1] != '\n')
        return false;
    end = *from + len - 1;
    *from = end + 1;
    at++;
    value = memchr(at, '=', (size_t)(end - at));
    if (!value)
        return false;
    value++;
    if (value - at == 5 && memcmp(at, "path=", 5) == 0)
        say_name(scan, value, (size_t)(end - value));
    else if (value - at == 5 && memcmp(at, "size=", 5) == 0)
        return scan->has_size =
                   take_decimal(&value, end, &scan->said_size) && value == end;
    return true;
}

/* What an 'x' or 'L' says about the entry after it. */
static int take_extended(struct scan *scan, char type, uint64_t at, uint64_t size,
                         rafs_error *err)
{
    char *text;
    int rc;

    if (size > EXTENDED_MAX)
        return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, NULL, scan->at,
                             "a header of %llu bytes; at most %d are read",
                             (unsigned long long)size, EXTENDED_MAX);
    text = rafsi_alloc(scan->env, (size_t)size);
    if (!text)
        return rafsi_fail_nomem(err, (size_t)size);
    rc = read_at(scan, at, text, (size_t)size, err);
    if (rc == RAFS_OK && type == 'L') {
        say_name(scan, text, strnlen(text, (size_t)size));
    } else if (rc == RAFS_OK) {
        const char *record = text;

        while (rc == RAFS_OK && record < text + size)
            if (!take_record(scan, &record, text + size))
                rc = corrupt(scan, "a pax header is malformed", err);
    }
    rafsi_free(scan->env, text);
    return rc;
}

static int add_blob(struct scan *scan, const uint8_t digest[OCI_DIGEST_BYTES],
                    uint64_t at, uint64_t size, rafs_error *err)
{
    struct oci_archive *out = scan->out;

    if (out->count == out->room) {
        size_t room = out->room ? out->room * 2 : 64;
        struct archive_blob *more = rafsi_alloc(scan->env, room * sizeof(*more));

        if (!more)
            return rafsi_fail_nomem(err, room * sizeof(*more));
        if (out->count > 0)
            memcpy(more, out->blobs, out->count * sizeof(*more));
        rafsi_free(scan->env, out->blobs);
        out->blobs = more;
        out->room = room;
    }
    out->blobs[out->count] = (struct archive_blob){.at = at, .size = size};
    memcpy(out->blobs[out->count++].digest, digest, OCI_DIGEST_BYTES);
    return RAFS_OK;
}

/* A file, if it is one of a layout. Of two of one name the later counts, as with tar. */
static int take_file(struct scan *scan, const char *name, uint64_t at, uint64_t size,
                     rafs_error *err)
{
    const struct archive_file file = {true, at, size};
    const char *hex;
    uint8_t digest[OCI_DIGEST_BYTES];

    while (strncmp(name, "./", 2) == 0)
        name += 2;
    if (strcmp(name, "index.json") == 0)
        scan->out->index = file;
    else if (strcmp(name, "oci-layout") == 0)
        scan->out->layout = file;
    if (strncmp(name, BLOBS, strlen(BLOBS)) != 0)
        return RAFS_OK;
    hex = name + strlen(BLOBS);
    if (!rafsi_digest_parse(hex, strlen(hex), digest))
        return RAFS_OK;
    return add_blob(scan, digest, at, size, err);
}

/* Links, devices and folders have no data, whatever their size says. */
static bool has_data(char type)
{
    return type < '1' || type > '6';
}

static int take_entry(struct scan *scan, const struct tar_header *header, rafs_error *err)
{
    uint64_t at = scan->at + TAR_BLOCK;
    uint64_t size = scan->has_size ? scan->said_size : header->size;
    uint64_t stored;
    bool about_next = header->type == 'x' || header->type == 'L';
    int rc = RAFS_OK;

    if (about_next || header->type == 'g')
        size = header->size;
    if (!has_data(header->type))
        size = 0;
    if (!rafsi_within(at, size, scan->size) || !rafsi_tar_stored(size, &stored))
        return corrupt(scan, "an entry reaches beyond the end: is the archive complete?",
                       err);
    if (header->type == 'S')
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, NULL, scan->at,
                             "a sparse file in the archive");
    if (about_next) {
        rc = take_extended(scan, header->type, at, size, err);
    } else if (header->type != 'g') {
        const char *name = scan->has_name ? scan->name : header->name;

        if ((header->type == '0' || header->type == '7') &&
            (scan->has_name || !header->has_prefix))
            rc = take_file(scan, name, at, size, err);
        scan->has_name = scan->has_size = false;
    }
    scan->at = at + stored;
    return rc;
}

static int scan_all(struct scan *scan, const rafs_call *call, rafs_error *err)
{
    int rc = RAFS_OK;

    for (unsigned i = 0; rc == RAFS_OK && scan->at < scan->size; i++) {
        uint8_t block[TAR_BLOCK];
        struct tar_header header;

        if (i == ENTRIES_MAX)
            return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, NULL, scan->at,
                                 "more than %d entries", ENTRIES_MAX);
        if (i % CHECK_EVERY == 0)
            rc = rafsi_call_check(scan->env, call, RAFS_STAGE_OPEN, err);
        if (rc == RAFS_OK)
            rc = read_at(scan, scan->at, block, TAR_BLOCK, err);
        if (rc < 0 || rafsi_all_zero(block, TAR_BLOCK))
            return rc;
        if (!rafsi_tar_header(block, &header))
            return refuse_compressed(scan, block, err);
        rc = take_entry(scan, &header, err);
    }
    return rc;
}

/* By digest; of one digest the later entry first. */
static int compare(const void *left, const void *right)
{
    const struct archive_blob *a = left;
    const struct archive_blob *b = right;
    int order = memcmp(a->digest, b->digest, OCI_DIGEST_BYTES);

    return order ? order : (a->at < b->at) - (a->at > b->at);
}

int rafsi_archive_scan(const struct rafsi_env *env, int fd, const rafs_call *call,
                       struct oci_archive *out, rafs_error *err)
{
    struct scan scan = {.env = env, .fd = fd, .out = out};
    size_t kept = 0;
    int rc = rafsi_file_size(fd, &scan.size, err);

    memset(out, 0, sizeof(*out));
    if (rc == RAFS_OK && scan.size == 0)
        rc = corrupt(&scan, "is empty", err);
    if (rc == RAFS_OK)
        rc = scan_all(&scan, call, err);
    if (rc < 0) {
        rafsi_archive_drop(env, out);
        return rc;
    }
    if (out->count > 0)
        qsort(out->blobs, out->count, sizeof(*out->blobs), compare);
    for (size_t i = 0; i < out->count; i++)
        if (i == 0 || memcmp(out->blobs[i].digest, out->blobs[kept - 1].digest,
                             OCI_DIGEST_BYTES) != 0)
            out->blobs[kept++] = out->blobs[i];
    out->count = kept;
    return RAFS_OK;
}

void rafsi_archive_drop(const struct rafsi_env *env, struct oci_archive *archive)
{
    rafsi_free(env, archive->blobs);
    memset(archive, 0, sizeof(*archive));
}

const struct archive_blob *rafsi_archive_find(const struct oci_archive *archive,
                                              const uint8_t digest[OCI_DIGEST_BYTES])
{
    size_t low = 0;
    size_t high = archive->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = memcmp(archive->blobs[mid].digest, digest, OCI_DIGEST_BYTES);

        if (order == 0)
            return &archive->blobs[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}
