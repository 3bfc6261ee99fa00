/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/source_tar.h"

/*
 * ACLs as texts to what Linux keeps in system.posix_acl_access and _default. The text is
 * of entries with commas or newlines between, "user:joe:rw-:1001" or "group::r--"; the
 * last part, which star and libarchive write, is the number. A name without one says
 * nothing: whose it is stands in the image, if anywhere, and not here.
 *
 * The xattr: u32 version 2; of each entry u16 tag, u16 permissions, u32 id, little
 * endian, in the order of tags and ids. Source: Linux's posix_acl_xattr.h.
 */

enum {
    USER_OBJ = 1,
    USER = 2,
    GROUP_OBJ = 4,
    GROUP = 8,
    MASK = 16,
    OTHER = 32,
    ENTRY_BYTES = 8,
    HEAD_BYTES = 4,
    NO_ID = -1
};

struct part {
    const char *at;
    size_t len;
};

static bool is(struct part part, const char *word)
{
    return part.len == strlen(word) && memcmp(part.at, word, part.len) == 0;
}

static bool number(struct part part, uint32_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < part.len; i++) {
        if (part.at[i] < '0' || part.at[i] > '9' || i > 9)
            return false;
        value = value * 10 + (uint64_t)(part.at[i] - '0');
    }
    *out = (uint32_t)value;
    return part.len != 0 && value < UINT32_MAX;
}

static bool permissions(struct part part, uint16_t *out)
{
    static const char letters[] = "rwx";

    *out = 0;
    for (size_t i = 0; i < part.len; i++) {
        const char *letter = part.at[i] ? strchr(letters, part.at[i]) : NULL;

        if (!letter && part.at[i] != '-')
            return false;
        if (letter)
            *out |= (uint16_t)(4 >> (letter - letters));
    }
    return part.len != 0;
}

/* Up to four parts between colons. */
static unsigned split(struct part entry, struct part parts[4])
{
    const char *end = entry.at + entry.len;
    unsigned count = 0;

    while (count < 4) {
        const char *colon = memchr(entry.at, ':', (size_t)(end - entry.at));
        const char *stop = colon && count < 3 ? colon : end;

        parts[count++] = (struct part){entry.at, (size_t)(stop - entry.at)};
        if (stop == end)
            break;
        entry.at = stop + 1;
    }
    return count;
}

static uint16_t tag_of(struct part word, bool named)
{
    if (is(word, "user") || is(word, "u"))
        return named ? USER : USER_OBJ;
    if (is(word, "group") || is(word, "g"))
        return named ? GROUP : GROUP_OBJ;
    if (is(word, "mask") || is(word, "m"))
        return named ? 0 : MASK;
    return (is(word, "other") || is(word, "o")) && !named ? OTHER : 0;
}

static const char *take_entry(struct part entry, uint16_t *tag, uint16_t *perm,
                              uint32_t *id)
{
    struct part parts[4] = {{NULL, 0}};
    unsigned count = split(entry, parts);
    bool named;

    /* "other:r--", as some write it */
    if (count == 2 && (is(parts[0], "mask") || is(parts[0], "other"))) {
        parts[2] = parts[1];
        parts[1].len = 0;
    } else if (count < 3) {
        return "an entry of an ACL has too few parts";
    }
    named = parts[1].len != 0;
    *tag = tag_of(parts[0], named);
    if (*tag == 0 || !permissions(parts[2], perm))
        return "an entry of an ACL cannot be read";
    *id = (uint32_t)NO_ID;
    if (named && !number(count == 4 ? parts[3] : parts[1], id))
        return "an ACL has a name without its number";
    return NULL;
}

static void put(uint8_t *at, uint16_t tag, uint16_t perm, uint32_t id)
{
    const uint8_t bytes[ENTRY_BYTES] = {
        (uint8_t)tag, (uint8_t)(tag >> 8), (uint8_t)perm,       (uint8_t)(perm >> 8),
        (uint8_t)id,  (uint8_t)(id >> 8),  (uint8_t)(id >> 16), (uint8_t)(id >> 24)};

    memcpy(at, bytes, sizeof(bytes));
}

/* What orders an entry, from its bytes. */
static uint64_t rank(const uint8_t *at)
{
    uint64_t id = (uint64_t)at[4] | (uint64_t)at[5] << 8 | (uint64_t)at[6] << 16 |
                  (uint64_t)at[7] << 24;

    return (uint64_t)at[0] << 32 | id;
}

/* Where it belongs; 0: there is one of that rank. */
static size_t insert(uint8_t *entries, size_t count, const uint8_t entry[ENTRY_BYTES])
{
    size_t i = count;

    while (i > 0 && rank(entries + (i - 1) * ENTRY_BYTES) > rank(entry))
        i--;
    if (i > 0 && rank(entries + (i - 1) * ENTRY_BYTES) == rank(entry))
        return 0;
    memmove(entries + (i + 1) * ENTRY_BYTES, entries + i * ENTRY_BYTES,
            (count - i) * ENTRY_BYTES);
    memcpy(entries + i * ENTRY_BYTES, entry, ENTRY_BYTES);
    return 1;
}

const char *rafsi_tar_acl(const char *text, size_t len, uint8_t *out, size_t room,
                          size_t *used, bool *minimal)
{
    static const uint8_t head[HEAD_BYTES] = {2, 0, 0, 0};
    const char *end = text + len;
    unsigned seen = 0;
    size_t count = 0;

    while (text < end) {
        struct part entry = {text, strcspn(text, ",\n")};
        uint8_t bytes[ENTRY_BYTES];
        uint16_t tag, perm;
        uint32_t id;
        const char *wrong;

        text += entry.len + 1;
        if (entry.len == 0)
            continue;
        wrong = take_entry(entry, &tag, &perm, &id);
        if (wrong)
            return wrong;
        put(bytes, tag, perm, id);
        if (HEAD_BYTES + (count + 1) * ENTRY_BYTES > room)
            return "an ACL has too many entries";
        if (!insert(out + HEAD_BYTES, count++, bytes))
            return "an ACL has two entries for one";
        seen |= tag;
    }
    if ((seen & (USER_OBJ | GROUP_OBJ | OTHER)) != (USER_OBJ | GROUP_OBJ | OTHER) ||
        (seen & (USER | GROUP) && !(seen & MASK)))
        return "an ACL lacks an entry";
    memcpy(out, head, sizeof(head));
    *used = HEAD_BYTES + count * ENTRY_BYTES;
    *minimal = count == 3;
    return NULL;
}
