/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CRC32C_H
#define RAFSI_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, reflected, begun and ended with all ones; "iSCSI"). It finds
 * damage; it proves nothing. */
uint32_t rafsi_crc32c(const void *data, size_t len);

/* The form without the processor's own instruction, for tests to compare with. */
uint32_t rafsi_crc32c_portable(const void *data, size_t len);

#endif
