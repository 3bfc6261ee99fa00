/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FAIL_H
#define RAFSI_FAIL_H

#include <stddef.h>
#include <stdint.h>

#include "rafs/error.h"

struct cursor;

/*
 * Reporting an error. All return the code they are given, so that a caller can write
 * `return rafsi_fail(...)`. err may be NULL everywhere. The POSIX number that fits the
 * code is filled in; rafsi_fail_os() gives another one.
 */

__attribute__((format(printf, 5, 6))) int rafsi_fail(rafs_error *err, int code,
                                                     uint32_t stage, const char *object,
                                                     const char *format, ...);

/* With the position where it was seen. */
__attribute__((format(printf, 6, 7))) int
rafsi_fail_at(rafs_error *err, int code, uint32_t stage, const char *object,
              uint64_t offset, const char *format, ...);

/* Malformed bytes at a cursor or a position in them: stage METADATA, and no object, which
 * the caller who knows where the bytes come from adds with rafsi_fail_object(). */
__attribute__((format(printf, 3, 4))) int rafsi_corrupt(rafs_error *err, uint64_t offset,
                                                        const char *format, ...);

__attribute__((format(printf, 6, 7))) int rafsi_fail_os(rafs_error *err, int code,
                                                        uint32_t stage, int os_errno,
                                                        const char *object,
                                                        const char *format, ...);

int rafsi_fail_nomem(rafs_error *err, size_t size);

/* Name the object of an error that has none yet; returns code. */
__attribute__((format(printf, 3, 4))) int rafsi_fail_object(rafs_error *err, int code,
                                                            const char *format, ...);

/* A text for people into room of `size` bytes: control characters are replaced, and it is
 * cut where a character ends. text may be NULL. */
void rafsi_text_copy(char *out, size_t size, const char *text);

#endif
