/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "format/format.h"

/* Names that Linux file systems keep; the builder refuses all others, and so a reader
 * that would hand them to setxattr(2) had better not see them. */
static bool known_namespace(const char *name, size_t len)
{
    static const char *const prefixes[] = {"user.", "trusted.", "security."};
    static const char *const whole[] = {"system.posix_acl_access",
                                        "system.posix_acl_default"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t prefix = strlen(prefixes[i]);

        if (len > prefix && memcmp(name, prefixes[i], prefix) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        if (len == strlen(whole[i]) && memcmp(name, whole[i], len) == 0)
            return true;
    return false;
}

/*
 * A pair: u32 n; n bytes: full name with its namespace, NUL, value. Pairs follow each
 * other without padding. Source: RafsXAttrs of the reference writer.
 */
int rafsi_v5_xattr(struct span head, uint64_t rest, struct v5_xattr *out, rafs_error *err)
{
    struct cursor c = cursor_of(head);
    uint32_t len = take_u32(&c);
    const uint8_t *name, *nul;
    size_t room, name_len;

    if (c.overrun || len > rest - 4)
        return rafsi_corrupt(err, head.origin,
                             "extended attribute of %u bytes; %llu are left", len,
                             (unsigned long long)(rest < 4 ? 0 : rest - 4));
    room = (size_t)rafsi_min(rafsi_min(len, RAFS_XATTR_NAME_MAX + 1), cursor_left(&c));
    name = take_bytes(&c, room);
    nul = room ? memchr(name, 0, room) : NULL;
    if (!nul)
        return rafsi_corrupt(err, head.origin + 4,
                             "name of an extended attribute does not end");
    name_len = (size_t)(nul - name);
    if (!known_namespace((const char *)name, name_len))
        return rafsi_corrupt(err, head.origin + 4,
                             "extended attribute in an unknown namespace");
    if (len - name_len - 1 > RAFS_XATTR_VALUE_MAX)
        return rafsi_corrupt(err, head.origin + 4,
                             "value of an extended attribute has %zu bytes; %d are "
                             "allowed",
                             len - name_len - 1, RAFS_XATTR_VALUE_MAX);
    *out = (struct v5_xattr){.name_len = (uint8_t)name_len,
                             .value_len = (uint32_t)(len - name_len - 1),
                             .value_pos = (uint32_t)(4 + name_len + 1),
                             .pair_len = 4 + len};
    return RAFS_OK;
}

bool rafsi_v5_xattr_put(const char *name, size_t len, uint32_t value_len,
                        uint8_t out[V5_XATTR_HEAD_BYTES], size_t *used)
{
    struct pen pen = pen_of(out, V5_XATTR_HEAD_BYTES);

    if (len > RAFS_XATTR_NAME_MAX || memchr(name, 0, len) || !known_namespace(name, len))
        return false;
    put_u32(&pen, (uint32_t)len + 1 + value_len);
    put_bytes(&pen, name, len);
    put_u8(&pen, 0);
    *used = pen.pos;
    return true;
}
