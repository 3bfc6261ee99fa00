/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/source_tar.h"

/*
 * Extended headers: records "LENGTH KEY=VALUE\n", LENGTH in decimal and of the whole
 * record. Source: POSIX pax, "pax Extended Header"; GNU tar's and star's manuals for
 * theirs. Texts are bytes, whatever charset they are said to be in.
 */

enum kind {
    PATH,
    LINKPATH,
    SIZE,
    USER_ID,
    GROUP_ID,
    MTIME,
    DEV_MAJOR,
    DEV_MINOR,
    SPARSE_MAJOR,
    SPARSE_MINOR,
    SPARSE_NAME,
    SPARSE_REAL,
    SPARSE_MAP,
    SPARSE_BLOCKS,
    SPARSE_OFFSET,
    SPARSE_BYTES,
    SELINUX,
    ACL_ACCESS,
    ACL_DEFAULT,
    UNKNOWN_CONTENT, /* without it the file would have other bytes */
    IGNORED
};

static const struct {
    const char *key;
    enum kind kind;
} keys[] = {
    {"path", PATH},
    {"linkpath", LINKPATH},
    {"size", SIZE},
    {"uid", USER_ID},
    {"gid", GROUP_ID},
    {"mtime", MTIME},
    {"SCHILY.devmajor", DEV_MAJOR},
    {"SCHILY.devminor", DEV_MINOR},
    {"GNU.sparse.major", SPARSE_MAJOR},
    {"GNU.sparse.minor", SPARSE_MINOR},
    {"GNU.sparse.name", SPARSE_NAME},
    {"GNU.sparse.realsize", SPARSE_REAL},
    {"GNU.sparse.size", SPARSE_REAL},
    {"GNU.sparse.map", SPARSE_MAP},
    {"GNU.sparse.numblocks", SPARSE_BLOCKS},
    {"GNU.sparse.offset", SPARSE_OFFSET},
    {"GNU.sparse.numbytes", SPARSE_BYTES},
    {"RHT.security.selinux", SELINUX},
    {"SCHILY.acl.access", ACL_ACCESS},
    {"SCHILY.acl.default", ACL_DEFAULT},
    {"SUN.holesdata", UNKNOWN_CONTENT},
    {"GNU.volume.offset", UNKNOWN_CONTENT},
};

struct record {
    char *key;
    char *value; /* NUL terminated */
    size_t len;
};

struct parser {
    struct tar_stream *stream;
    struct tar_pax *out;
    struct tar_map *map;
    rafs_error *err;
    bool global;
};

static int bad(struct parser *parser, const char *what)
{
    return rafsi_tar_corrupt(parser->stream, parser->err, parser->stream->offset,
                             "in a pax header, %s", what);
}

static enum kind kind_of(const struct record *record)
{
    size_t len = (size_t)(record->value - 1 - record->key);

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (strlen(keys[i].key) == len && memcmp(keys[i].key, record->key, len) == 0)
            return keys[i].kind;
    return IGNORED;
}

static bool decimal(const char *text, int64_t *out)
{
    bool minus = *text == '-';
    const char *at = text + minus;

    for (*out = 0; *at >= '0' && *at <= '9'; at++) {
        if (*out > (INT64_MAX - 9) / 10)
            return false;
        *out = *out * 10 + (*at - '0');
    }
    *out = minus ? -*out : *out;
    return *at == '\0' && at != text + minus;
}

bool rafsi_tar_time(const char *text, size_t len, int64_t *sec, uint32_t *nsec)
{
    const char *dot = memchr(text, '.', len);
    size_t digits = dot ? (size_t)(text + len - dot - 1) : 0;
    char whole[24];
    uint32_t unit = 100000000;
    bool more = false;

    *nsec = 0;
    if (dot)
        len = (size_t)(dot - text);
    if (len >= sizeof(whole))
        return false;
    memcpy(whole, text, len);
    whole[len] = '\0';
    if (!decimal(whole, sec))
        return false;
    for (size_t i = 0; i < digits; i++, unit /= 10) {
        if (dot[i + 1] < '0' || dot[i + 1] > '9')
            return false;
        *nsec += (uint32_t)(dot[i + 1] - '0') * unit;
        more = more || (unit == 0 && dot[i + 1] != '0');
    }
    /* Down, also below zero: -0.5 is half a second after -1. */
    if (text[0] == '-' && (*nsec != 0 || more)) {
        *sec -= 1;
        *nsec = 1000000000 - *nsec - more;
        if (*nsec == 1000000000) {
            *sec += 1;
            *nsec = 0;
        }
    }
    return true;
}

static int add_xattr(struct parser *parser, const char *name, size_t name_len,
                     const void *value, size_t len)
{
    struct tar_pax *out = parser->out;

    if (out->xattr_count == LAYERS_XATTRS_MAX)
        return rafsi_fail_at(parser->err, RAFS_E_LIMIT, RAFS_STAGE_METADATA,
                             parser->stream->name, parser->stream->offset,
                             "more than %d attributes of a file", LAYERS_XATTRS_MAX);
    if (out->xattr_count == out->xattr_room) {
        uint32_t room = out->xattr_room ? out->xattr_room * 2 : 16;
        struct build_xattr *xattrs =
            rafsi_alloc(parser->stream->env, room * sizeof(*xattrs));

        if (!xattrs)
            return rafsi_fail_nomem(parser->err, room * sizeof(*xattrs));
        if (out->xattr_count != 0)
            memcpy(xattrs, out->xattrs, out->xattr_count * sizeof(*xattrs));
        rafsi_free(parser->stream->env, out->xattrs);
        out->xattrs = xattrs;
        out->xattr_room = room;
    }
    out->xattrs[out->xattr_count++] = (struct build_xattr){
        name, (const uint8_t *)value, (uint32_t)name_len, (uint32_t)len};
    return RAFS_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place; gnu: nothing but '=' and '%' is encoded, and other percent signs are just
 * that. Returns the length. */
static size_t percent_decode(char *text, size_t len, bool gnu)
{
    size_t to = 0;

    for (size_t i = 0; i < len; i++) {
        int value = -1;

        if (text[i] == '%' && len - i > 2 && hex_digit(text[i + 1]) >= 0 &&
            hex_digit(text[i + 2]) >= 0)
            value = hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]);
        if (gnu && value != '=' && value != '%')
            value = -1;
        text[to++] = value >= 0 ? (char)value : text[i];
        i += value >= 0 ? 2 : 0;
    }
    text[to] = '\0';
    return to;
}

static int base64_digit(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* In place; with or without '=' at the end. */
static bool base64_decode(char *text, size_t len, size_t *out)
{
    uint32_t bits = 0;
    unsigned have = 0;

    *out = 0;
    while (len > 0 && text[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        int digit = base64_digit(text[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            text[(*out)++] = (char)(bits >> have);
        }
    }
    return true;
}

static int take_xattr(struct parser *parser, struct record *record, bool *taken)
{
    static const char schily[] = "SCHILY.xattr.", libarchive[] = "LIBARCHIVE.xattr.";
    size_t name_len;
    char *name;

    *taken = true;
    if (strncmp(record->key, schily, sizeof(schily) - 1) == 0) {
        name = record->key + sizeof(schily) - 1;
        name_len = percent_decode(name, (size_t)(record->value - 1 - name), true);
    } else if (strncmp(record->key, libarchive, sizeof(libarchive) - 1) == 0) {
        name = record->key + sizeof(libarchive) - 1;
        name_len = percent_decode(name, (size_t)(record->value - 1 - name), false);
        if (!base64_decode(record->value, record->len, &record->len))
            return bad(parser, "an attribute is not base64");
    } else {
        *taken = false;
        return RAFS_OK;
    }
    if (parser->global)
        return bad(parser, "an attribute is given to all files");
    return add_xattr(parser, name, name_len, record->value, record->len);
}

/* An ACL that says what the mode says is none for Linux. */
static int take_acl(struct parser *parser, const struct record *record, bool access)
{
    static const char *const names[] = {"system.posix_acl_default",
                                        "system.posix_acl_access"};
    enum { ACL_MAX = 65535 };
    struct tar_text *text = &parser->out->acl[access];
    size_t room = rafsi_min(4 + 8 * (record->len + 1), ACL_MAX), used;
    const char *wrong;
    bool minimal;
    int rc;

    if (record->len == 0)
        return RAFS_OK;
    rc = rafsi_tar_text_set(parser->stream->env, text, "", 0, parser->err);
    if (rc == RAFS_OK && text->room < room) {
        rafsi_free(parser->stream->env, text->at);
        text->at = rafsi_alloc(parser->stream->env, room);
        text->room = text->at ? room : 0;
        if (!text->at)
            return rafsi_fail_nomem(parser->err, room);
    }
    if (rc < 0)
        return rc;
    wrong = rafsi_tar_acl(record->value, record->len, (uint8_t *)text->at, room, &used,
                          &minimal);
    if (wrong)
        parser->out->acl_wrong = wrong;
    if (wrong || (access && minimal))
        return RAFS_OK;
    return add_xattr(parser, names[access], strlen(names[access]), text->at, used);
}

static int take_number(struct parser *parser, const struct record *record, int64_t *out,
                       bool *has)
{
    *has = record->len != 0;
    return !*has || decimal(record->value, out) ? RAFS_OK
                                                : bad(parser, "a number is none");
}

static int take_text(const struct record *record, const char **out, size_t *len)
{
    *out = record->len != 0 ? record->value : NULL;
    *len = record->len;
    return RAFS_OK;
}

static int take_sparse(struct parser *parser, enum kind kind, const struct record *record)
{
    struct tar_pax *out = parser->out;
    bool has;
    int64_t number = 0;
    int rc = kind == SPARSE_NAME || kind == SPARSE_MAP
                 ? RAFS_OK
                 : take_number(parser, record, &number, &has);

    if (rc < 0)
        return rc;
    if (number < 0)
        return bad(parser, "a sparse file has a number below zero");
    parser->map->sparse = true;
    switch (kind) {
    case SPARSE_NAME:
        return take_text(record, &out->sparse_name, &out->sparse_name_len);
    case SPARSE_MAP:
        out->sparse_map = record->value;
        return rafsi_tar_map_text(parser->stream, record->value, parser->map,
                                  parser->err);
    case SPARSE_REAL:
        out->real = number;
        out->has_real = true;
        return RAFS_OK;
    case SPARSE_OFFSET:
        out->sparse_at = number;
        return RAFS_OK;
    case SPARSE_BYTES:
        if (out->sparse_at < 0)
            return bad(parser, "a part of a sparse file has no place");
        rc = rafsi_tar_map_add(parser->stream->env, parser->map, (uint64_t)out->sparse_at,
                               (uint64_t)number, parser->err);
        out->sparse_at = -1;
        return rc;
    case SPARSE_MAJOR:
        out->sparse_v1 = number == 1;
        return number <= 1 ? RAFS_OK : bad(parser, "the sparse format is too new");
    case SPARSE_MINOR:
        return number <= 1 ? RAFS_OK : bad(parser, "the sparse format is too new");
    default:
        return RAFS_OK;
    }
}

static int take(struct parser *parser, struct record *record)
{
    struct tar_pax *out = parser->out;
    enum kind kind = kind_of(record);
    bool taken;
    int rc = take_xattr(parser, record, &taken);

    if (rc < 0 || taken || kind == IGNORED)
        return rc;
    if (parser->global && kind != USER_ID && kind != GROUP_ID && kind != MTIME)
        return bad(parser, "one name, size or attribute is given to all files");
    switch (kind) {
    case PATH:
        return take_text(record, &out->path, &out->path_len);
    case LINKPATH:
        return take_text(record, &out->target, &out->target_len);
    case SIZE:
        return take_number(parser, record, &out->size, &out->has_size);
    case USER_ID:
        return take_number(parser, record, &out->uid, &out->has_uid);
    case GROUP_ID:
        return take_number(parser, record, &out->gid, &out->has_gid);
    case DEV_MAJOR:
        return take_number(parser, record, &out->major, &out->has_major);
    case DEV_MINOR:
        return take_number(parser, record, &out->minor, &out->has_minor);
    case MTIME:
        out->has_mtime = record->len != 0;
        return !out->has_mtime || rafsi_tar_time(record->value, record->len,
                                                 &out->mtime_sec, &out->mtime_nsec)
                   ? RAFS_OK
                   : bad(parser, "a time is none");
    case SELINUX:
        return add_xattr(parser, "security.selinux", 16, record->value, record->len);
    case ACL_ACCESS:
        return take_acl(parser, record, true);
    case ACL_DEFAULT:
        return take_acl(parser, record, false);
    case UNKNOWN_CONTENT:
        return rafsi_fail_at(parser->err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA,
                             parser->stream->name, parser->stream->offset,
                             "content as %s has it is not understood", record->key);
    default:
        return take_sparse(parser, kind, record);
    }
}

/* The record at a place; *len: its length. */
static const char *take_record(char *at, size_t left, struct record *record, size_t *len)
{
    size_t i = 0;
    char *equals;

    for (*len = 0; i < left && at[i] >= '0' && at[i] <= '9' && i < 8; i++)
        *len = *len * 10 + (size_t)(at[i] - '0');
    if (i == 0 || i == left || at[i] != ' ' || *len > left || *len < i + 4)
        return "the length of a record is wrong";
    if (at[*len - 1] != '\n')
        return "a record does not end where it says";
    at[*len - 1] = '\0';
    record->key = at + i + 1;
    equals = memchr(record->key, '=', *len - 1 - (i + 1));
    if (!equals || equals == record->key)
        return "a record has no key";
    /* A key with a zero byte is that of no one but of attributes, whose names are looked
     * at later. */
    *equals = '\0';
    record->value = equals + 1;
    record->len = (size_t)(at + *len - 1 - record->value);
    return NULL;
}

static void forget(struct tar_pax *out)
{
    struct tar_pax kept = {.xattrs = out->xattrs,
                           .xattr_room = out->xattr_room,
                           .acl = {out->acl[0], out->acl[1]},
                           .sparse_at = -1};

    *out = kept;
}

int rafsi_tar_pax(struct tar_stream *stream, struct tar_text *records, bool global,
                  struct tar_pax *out, struct tar_map *map, rafs_error *err)
{
    struct parser parser = {stream, out, map, err, global};
    size_t at = 0;
    int rc = RAFS_OK;

    if (!global) {
        forget(out);
        map->count = 0;
        map->sparse = false;
    }
    while (rc == RAFS_OK && at < records->len) {
        struct record record;
        size_t len;
        const char *wrong =
            take_record(records->at + at, records->len - at, &record, &len);

        rc = wrong ? bad(&parser, wrong) : take(&parser, &record);
        at += len;
    }
    return rc;
}
