/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_VERSION_H
#define RAFS_VERSION_H

/**
 * @file
 * Version of librafs, and how its functions are exported.
 *
 * The number is MAJOR.MINOR.PATCH. The ABI is stable within a major version: functions,
 * constants and struct fields are only ever added.
 */

#define RAFS_VERSION_MAJOR 1
#define RAFS_VERSION_MINOR 0
#define RAFS_VERSION_PATCH 0
/** One number that grows with every version: 0xMMmmpp. */
#define RAFS_VERSION_NUMBER 0x010000
#define RAFS_VERSION_STRING "1.0.0"

#if defined(_WIN32)
#define RAFS_API
#elif defined(__GNUC__)
#define RAFS_API __attribute__((visibility("default")))
#else
#define RAFS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Version of the library that is running, which may differ from the header's.
 *
 * @return "MAJOR.MINOR.PATCH"; borrowed, valid for ever
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API const char *rafs_version(void);

#ifdef __cplusplus
}
#endif
#endif
