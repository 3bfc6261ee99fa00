/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_ERROR_H
#define RAFS_ERROR_H

#include <stdint.h>

#include "version.h"

/**
 * @file
 * How a call says what went wrong, and where.
 *
 * Functions that can fail return RAFS_OK or one of the negative codes below, whose values
 * never change. Details are put in a rafs_error that the caller owns.
 */

/** Codes part what a caller does differently; detail is in the text, not in more codes.
 */
enum {
    RAFS_OK = 0,
    RAFS_E_BADARG = -1, /**< fix the call; os_errno EINVAL, ENAMETOOLONG … */
    RAFS_E_NOMEM = -2,  /**< the allocator returned NULL; free memory, call again */
    RAFS_E_CORRUPT =
        -3, /**< bytes contradict the format or their digest; no retry helps */
    RAFS_E_UNSUPPORTED = -4, /**< well formed as far as seen, but not for this version */
    RAFS_E_BACKEND = -5,   /**< the source failed (missing, I/O, network); retry later */
    RAFS_E_TIMEOUT = -6,   /**< the deadline of the rafs_call passed; ETIMEDOUT */
    RAFS_E_CANCELLED = -7, /**< the cancel token was fired; ECANCELED */
    RAFS_E_NOENT = -8,     /**< no such path or inode in the image; ENOENT */
    RAFS_E_NOTDIR = -9,    /**< a directory was needed; ENOTDIR */
    RAFS_E_ISDIR = -10,    /**< a directory was given where a file was needed; EISDIR */
    RAFS_E_LOOP = -11,     /**< more symbolic links than RAFS_LINKS_MAX; ELOOP */
    RAFS_E_NOATTR = -12,   /**< no such extended attribute; ENODATA */
    RAFS_E_RANGE = -13,    /**< the caller's buffer is too small; ERANGE */
    RAFS_E_LIMIT = -14,    /**< needs more than a limit in rafs_limits allows; E2BIG */
    RAFS_E_BUG = -15,      /**< an invariant of librafs itself broke; please report */
    RAFS_E_AGAIN = -16     /**< not now: full, go on when something has ended; or it is
                                not at hand and RAFS_CALL_CACHED was given; EAGAIN */
};

/** Where on a byte's way the failure was seen. */
enum {
    RAFS_STAGE_NONE = 0,
    RAFS_STAGE_ARGUMENT = 1, /**< while looking at the caller's arguments */
    RAFS_STAGE_OPEN = 2,     /**< while opening, or checking the expected digest */
    RAFS_STAGE_METADATA = 3, /**< while reading the bootstrap */
    RAFS_STAGE_LOOKUP = 4,   /**< while resolving a name */
    RAFS_STAGE_FETCH = 5,    /**< while a backend was asked for bytes */
    RAFS_STAGE_DECODE = 6,   /**< while decompressing */
    RAFS_STAGE_VERIFY = 7,   /**< while comparing a digest */
    RAFS_STAGE_CHECK = 8     /**< a finding of rafs_image_check() */
};

/**
 * What failed, in the caller's own memory: no allocation, so that running out of memory
 * can be reported too. 512 bytes, for ever. Always passed as an optional last argument;
 * a call that succeeds leaves it untouched.
 */
typedef struct rafs_error {
    int32_t code;     /**< the RAFS_E_ value that the call returned */
    int32_t os_errno; /**< the operating system's error, or the POSIX number that fits */
    uint32_t stage;   /**< RAFS_STAGE_ */
    uint32_t has_offset; /**< 1 if offset means something */
    uint64_t offset;     /**< byte position in the object where the failure was seen */
    char object[200];    /**< "bootstrap", "blob ID", "path /etc/passwd" … or "" */
    char text[288]; /**< one line of UTF-8 without a newline: what, and what to try */
} rafs_error;

#define RAFS_ERROR_INIT       \
    {                         \
        0, 0, 0, 0, 0, "", "" \
    }

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Set an error to "nothing failed", for callers without the macro.
 *
 * @param err  out: filled with zeros; may be NULL
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API void rafs_error_init(rafs_error *err);

/**
 * Name of a code, for logs and for people who write bindings.
 *
 * @param code  any value
 * @return "RAFS_E_CORRUPT" and the like; "RAFS_E_?" for a value unknown to this version.
 *         Borrowed, valid for ever.
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API const char *rafs_error_name(int32_t code);

/**
 * Name of a stage.
 *
 * @param stage  any value
 * @return "fetch", "verify" and the like; "?" for a value unknown to this version.
 *         Borrowed, valid for ever.
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API const char *rafs_stage_name(uint32_t stage);

/**
 * Fill an error, for callbacks of a program that report through one (backends).
 *
 * Text longer than the field is cut at a character boundary; control characters are
 * replaced, so that a log line stays a line.
 *
 * @param err       out; may be NULL
 * @param code      a RAFS_E_ value
 * @param os_errno  the operating system's error, or 0
 * @param object    what failed; copied; may be NULL
 * @param text      one line; copied; may be NULL
 * @return code, so that it can be returned at once
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_error_set(rafs_error *err, int32_t code, int32_t os_errno,
                            const char *object, const char *text);

#ifdef __cplusplus
}
#endif
#endif
