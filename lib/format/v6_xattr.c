/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

/* Name spaces by their number on disk. The ACLs are whole names. */
static const struct {
    const char *text;
    bool whole;
} spaces[] = {
    [1] = {"user.", false},
    [2] = {"system.posix_acl_access", true},
    [3] = {"system.posix_acl_default", true},
    [4] = {"trusted.", false},
    [6] = {"security.", false},
};

/*
 * Header of an attribute area, 12 bytes: 0 u32 name filter, a hint | 4 u8 number of
 * shared attributes, which RAFS has not | 5 reserved: 7.
 * Source: erofs_xattr_ibody_header of Linux; bootstrap-v6.md, 7.
 */
int rafsi_v6_xattr_header(struct span bytes, rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    uint8_t shared;

    take_skip(&c, 4);
    shared = take_u8(&c);
    take_skip(&c, 7);
    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "file ends within extended attributes");
    if (shared != 0)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                             bytes.origin + 4, "shared extended attributes");
    return RAFS_OK;
}

void rafsi_v6_xattr_header_put(uint8_t out[V6_XATTR_HEADER_BYTES])
{
    memset(out, 0, V6_XATTR_HEADER_BYTES);
}

/* Put prefix and suffix together. */
static int make_name(struct v6_xattr *out, unsigned space, const uint8_t *suffix,
                     size_t suffix_len, uint64_t at, rafs_error *err)
{
    const char *prefix =
        space < sizeof(spaces) / sizeof(spaces[0]) ? spaces[space].text : NULL;
    size_t prefix_len;

    if (!prefix)
        return rafsi_corrupt(err, at + 1, "extended attribute of unknown name space %u",
                             space);
    prefix_len = strlen(prefix);
    if (spaces[space].whole != (suffix_len == 0))
        return rafsi_corrupt(err, at, "extended attribute name of %zu bytes after \"%s\"",
                             suffix_len, prefix);
    if (prefix_len + suffix_len > RAFS_XATTR_NAME_MAX)
        return rafsi_corrupt(err, at, "extended attribute name of %zu bytes",
                             prefix_len + suffix_len);
    if (suffix_len != 0 && memchr(suffix, '\0', suffix_len))
        return rafsi_corrupt(err, at + 4, "extended attribute name with a NUL inside");
    memcpy(out->name, prefix, prefix_len);
    if (suffix_len != 0)
        memcpy(out->name + prefix_len, suffix, suffix_len);
    out->name_len = (uint32_t)(prefix_len + suffix_len);
    out->name[out->name_len] = '\0';
    return RAFS_OK;
}

/*
 * Entry: 0 u8 bytes of the suffix | 1 u8 name space | 2 u16 bytes of the value | 4
 * suffix, value, padding to a multiple of 4. Entries fill their area exactly. Source:
 * erofs_xattr_entry of Linux; bootstrap-v6.md, 7.
 */
int rafsi_v6_xattr(struct span bytes, uint64_t left, struct v6_xattr *out,
                   rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    size_t suffix_len = take_u8(&c);
    unsigned space = take_u8(&c);
    struct v6_xattr xattr;
    const uint8_t *suffix;
    uint64_t padded;
    int rc;

    xattr.value_len = take_u16(&c);
    suffix = take_bytes(&c, suffix_len);
    xattr.value_at = V6_XATTR_ENTRY_BYTES + (uint32_t)suffix_len;
    xattr.bytes = (xattr.value_at + xattr.value_len + 3) & ~3u;
    padded = xattr.bytes;
    if (c.overrun || padded > left)
        return rafsi_corrupt(err, bytes.origin,
                             "extended attribute reaches beyond its area");
    rc = make_name(&xattr, space, suffix, suffix_len, bytes.origin, err);
    if (rc < 0)
        return rc;
    *out = xattr;
    return RAFS_OK;
}

unsigned rafsi_v6_xattr_space(const char *name, size_t len, size_t *prefix)
{
    if (len > RAFS_XATTR_NAME_MAX || memchr(name, '\0', len))
        return 0;
    for (unsigned i = 1; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        size_t text_len = spaces[i].text ? strlen(spaces[i].text) : 0;

        if (text_len == 0 || len < text_len ||
            memcmp(name, spaces[i].text, text_len) != 0)
            continue;
        if (spaces[i].whole != (len == text_len))
            continue;
        *prefix = text_len;
        return i;
    }
    return 0;
}

bool rafsi_v6_xattr_put(const char *name, size_t len, uint16_t value_len,
                        uint8_t out[V6_XATTR_HEAD_MAX], size_t *used)
{
    struct pen pen = pen_of(out, V6_XATTR_HEAD_MAX);
    size_t prefix = 0;
    unsigned space = rafsi_v6_xattr_space(name, len, &prefix);

    if (space == 0)
        return false;
    put_u8(&pen, (uint8_t)(len - prefix));
    put_u8(&pen, (uint8_t)space);
    put_u16(&pen, value_len);
    put_bytes(&pen, name + prefix, len - prefix);
    *used = pen.pos;
    return true;
}
