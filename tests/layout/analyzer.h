/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before each file of lib/ by tidy.py, and by nothing else. The analyzer sees one
 * file at a time and cannot know that these return the error code they were given;
 * without that it follows every failure as if it were a success.
 */
#include "base/fail.h"

#define rafsi_fail(err, code, ...) ((void)(rafsi_fail)(err, code, __VA_ARGS__), (code))
#define rafsi_fail_at(err, code, ...) \
    ((void)(rafsi_fail_at)(err, code, __VA_ARGS__), (code))
#define rafsi_fail_os(err, code, ...) \
    ((void)(rafsi_fail_os)(err, code, __VA_ARGS__), (code))
#define rafsi_fail_object(err, code, ...) \
    ((void)(rafsi_fail_object)(err, code, __VA_ARGS__), (code))
#define rafsi_corrupt(...) ((void)(rafsi_corrupt)(__VA_ARGS__), RAFS_E_CORRUPT)
#define rafsi_fail_nomem(...) ((void)(rafsi_fail_nomem)(__VA_ARGS__), RAFS_E_NOMEM)
