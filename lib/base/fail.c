/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The POSIX number that file-system front ends and Python want for a code. */
static int posix_number(int code)
{
    switch (code) {
    case RAFS_E_BADARG:
        return EINVAL;
    case RAFS_E_NOMEM:
        return ENOMEM;
    case RAFS_E_CORRUPT:
    case RAFS_E_BACKEND:
    case RAFS_E_BUG:
        return EIO;
    case RAFS_E_UNSUPPORTED:
        return ENOTSUP;
    case RAFS_E_TIMEOUT:
        return ETIMEDOUT;
    case RAFS_E_CANCELLED:
        return ECANCELED;
    case RAFS_E_NOENT:
        return ENOENT;
    case RAFS_E_NOTDIR:
        return ENOTDIR;
    case RAFS_E_ISDIR:
        return EISDIR;
    case RAFS_E_LOOP:
        return ELOOP;
    case RAFS_E_NOATTR:
        return ENODATA;
    case RAFS_E_RANGE:
        return ERANGE;
    case RAFS_E_LIMIT:
        return E2BIG;
    case RAFS_E_AGAIN:
        return EAGAIN;
    default:
        return 0;
    }
}

/* Bytes of the UTF-8 sequence that a first byte announces. */
static size_t sequence_len(unsigned char first)
{
    if (first >= 0xf0)
        return 4;
    if (first >= 0xe0)
        return 3;
    return first >= 0xc0 ? 2 : 1;
}

/* A log line stays a line, and no terminal obeys an image. Where the field was too short,
 * it does not end in half a character. */
static void tidy(char *text, size_t size)
{
    size_t len = strnlen(text, size - 1);
    size_t back = 1;

    text[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    if (len + 1 < size)
        return;
    while (back < 4 && back < len && ((unsigned char)text[len - back] & 0xc0) == 0x80)
        back++;
    if (sequence_len((unsigned char)text[len - back]) > back)
        text[len - back] = '\0';
}

void rafsi_text_copy(char *out, size_t size, const char *text)
{
    size_t len = text ? strnlen(text, size - 1) : 0;

    if (len != 0)
        memcpy(out, text, len);
    out[len] = '\0';
    tidy(out, size);
}

static void fill(rafs_error *err, int code, uint32_t stage, const char *object,
                 const char *format, va_list args)
{
    if (!err)
        return;
    memset(err, 0, sizeof(*err));
    err->code = code;
    err->os_errno = posix_number(code);
    err->stage = stage;
    rafsi_text_copy(err->object, sizeof(err->object), object);
    vsnprintf(err->text, sizeof(err->text), format, args);
    tidy(err->text, sizeof(err->text));
}

int rafsi_fail(rafs_error *err, int code, uint32_t stage, const char *object,
               const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, stage, object, format, args);
    va_end(args);
    return code;
}

int rafsi_fail_at(rafs_error *err, int code, uint32_t stage, const char *object,
                  uint64_t offset, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, stage, object, format, args);
    va_end(args);
    if (err) {
        err->offset = offset;
        err->has_offset = 1;
    }
    return code;
}

int rafsi_corrupt(rafs_error *err, uint64_t offset, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL, format, args);
    va_end(args);
    if (err) {
        err->offset = offset;
        err->has_offset = 1;
    }
    return RAFS_E_CORRUPT;
}

int rafsi_fail_os(rafs_error *err, int code, uint32_t stage, int os_errno,
                  const char *object, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, stage, object, format, args);
    va_end(args);
    if (err)
        err->os_errno = os_errno;
    return code;
}

int rafsi_fail_nomem(rafs_error *err, size_t size)
{
    return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_NONE, NULL,
                      "out of memory: %zu bytes were wanted", size);
}

int rafsi_fail_object(rafs_error *err, int code, const char *format, ...)
{
    va_list args;

    if (!err || code == RAFS_OK || err->object[0] != '\0')
        return code;
    va_start(args, format);
    vsnprintf(err->object, sizeof(err->object), format, args);
    va_end(args);
    tidy(err->object, sizeof(err->object));
    return code;
}

void rafs_error_init(rafs_error *err)
{
    if (err)
        memset(err, 0, sizeof(*err));
}

int rafs_error_set(rafs_error *err, int32_t code, int32_t os_errno, const char *object,
                   const char *text)
{
    rafsi_fail(err, code, RAFS_STAGE_NONE, object, "%s", text ? text : "");
    if (err && os_errno != 0)
        err->os_errno = os_errno;
    return code;
}

const char *rafs_error_name(int32_t code)
{
    static const char *const names[] = {
        "RAFS_OK",        "RAFS_E_BADARG",      "RAFS_E_NOMEM",
        "RAFS_E_CORRUPT", "RAFS_E_UNSUPPORTED", "RAFS_E_BACKEND",
        "RAFS_E_TIMEOUT", "RAFS_E_CANCELLED",   "RAFS_E_NOENT",
        "RAFS_E_NOTDIR",  "RAFS_E_ISDIR",       "RAFS_E_LOOP",
        "RAFS_E_NOATTR",  "RAFS_E_RANGE",       "RAFS_E_LIMIT",
        "RAFS_E_BUG",     "RAFS_E_AGAIN"};

    if (code > 0 || code < RAFS_E_AGAIN)
        return "RAFS_E_?";
    return names[-code];
}

const char *rafs_stage_name(uint32_t stage)
{
    static const char *const names[] = {"none",     "argument", "open",
                                        "metadata", "lookup",   "fetch",
                                        "decode",   "verify",   "check"};

    return stage < sizeof(names) / sizeof(names[0]) ? names[stage] : "?";
}
