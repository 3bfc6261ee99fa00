/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_SPAN_H
#define RAFSI_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Bytes from outside and a position in them. A cursor's failure sticks: after an overrun
 * every take gives 0 and `overrun` stays set, so one test after the fields is enough.
 * Integers are little endian on disk; they are put together byte by byte, which is right
 * on every host and compiles to one load where that is possible.
 */

struct span {
    const uint8_t *at;
    size_t len;
    uint64_t origin; /* position of the first byte in the object it comes from */
};

struct cursor {
    const uint8_t *at;
    size_t len;
    size_t pos;
    uint64_t origin;
    bool overrun;
};

static inline struct cursor cursor_of(struct span span)
{
    return (struct cursor){span.at, span.len, 0, span.origin, false};
}

/* A cursor that sees entry i of an array of entries, and nothing else. */
static inline struct cursor cursor_at_entry(struct span array, uint64_t i, size_t size)
{
    struct cursor c = {array.at, 0, 0, array.origin, true};

    if (size != 0 && i < array.len / size) {
        c.at = array.at + (size_t)i * size;
        c.len = size;
        c.overrun = false;
    }
    c.origin = array.origin + i * size;
    return c;
}

/* Where the cursor stands in the object that its bytes come from. */
static inline uint64_t cursor_offset(const struct cursor *c)
{
    return c->origin + c->pos;
}

static inline size_t cursor_left(const struct cursor *c)
{
    return c->overrun ? 0 : c->len - c->pos;
}

/* The next n bytes, or NULL and an overrun. */
static inline const uint8_t *take_bytes(struct cursor *c, size_t n)
{
    const uint8_t *at;

    if (c->overrun || n > c->len - c->pos) {
        c->overrun = true;
        return NULL;
    }
    at = c->at + c->pos;
    c->pos += n;
    return at;
}

static inline void take_skip(struct cursor *c, size_t n)
{
    (void)take_bytes(c, n);
}

static inline uint8_t take_u8(struct cursor *c)
{
    const uint8_t *b = take_bytes(c, 1);

    return b ? b[0] : 0;
}

static inline uint16_t take_u16(struct cursor *c)
{
    const uint8_t *b = take_bytes(c, 2);

    return (uint16_t)(b ? b[0] | b[1] << 8 : 0);
}

static inline uint32_t take_u32(struct cursor *c)
{
    const uint8_t *b = take_bytes(c, 4);

    return b ? (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                   (uint32_t)b[3] << 24
             : 0;
}

static inline uint64_t take_u64(struct cursor *c)
{
    uint64_t low = take_u32(c);
    uint64_t high = take_u32(c);

    return c->overrun ? 0 : low | high << 32;
}

/* Copy n bytes out; zeros after an overrun. */
static inline void take_copy(struct cursor *c, void *out, size_t n)
{
    const uint8_t *b = take_bytes(c, n);

    if (b)
        memcpy(out, b, n);
    else
        memset(out, 0, n);
}

/*
 * The way back: room of a known size and a position in it. What does not fit is left out
 * and `overrun` stays set, as with a cursor.
 */
struct pen {
    uint8_t *at;
    size_t len;
    size_t pos;
    bool overrun;
};

static inline struct pen pen_of(uint8_t *room, size_t len)
{
    return (struct pen){room, len, 0, false};
}

/* Room for the next n bytes, or NULL and an overrun. */
static inline uint8_t *put_room(struct pen *pen, size_t n)
{
    uint8_t *at;

    if (pen->overrun || n > pen->len - pen->pos) {
        pen->overrun = true;
        return NULL;
    }
    at = pen->at + pen->pos;
    pen->pos += n;
    return at;
}

static inline void put_u8(struct pen *pen, uint8_t value)
{
    uint8_t *at = put_room(pen, 1);

    if (at)
        at[0] = value;
}

static inline void put_u16(struct pen *pen, uint16_t value)
{
    uint8_t *at = put_room(pen, 2);

    for (unsigned i = 0; at && i < 2; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static inline void put_u32(struct pen *pen, uint32_t value)
{
    uint8_t *at = put_room(pen, 4);

    for (unsigned i = 0; at && i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static inline void put_u64(struct pen *pen, uint64_t value)
{
    uint8_t *at = put_room(pen, 8);

    for (unsigned i = 0; at && i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static inline void put_bytes(struct pen *pen, const void *bytes, size_t n)
{
    uint8_t *at = put_room(pen, n);

    if (at && n != 0)
        memcpy(at, bytes, n);
}

static inline void put_zeros(struct pen *pen, size_t n)
{
    uint8_t *at = put_room(pen, n);

    if (at && n != 0)
        memset(at, 0, n);
}

#endif
