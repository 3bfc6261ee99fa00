/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <string.h>

/* Four bits at a time: 64 bytes of table, which need no start-up and no cache to speak
 * of. Machines without an instruction for it are rare. */
static uint32_t step(uint32_t crc)
{
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

    return crc >> 4 ^ table[crc & 15];
}

static uint32_t portable(uint32_t crc, const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        crc = step(step(crc ^ at[i]));
    return crc;
}

uint32_t rafsi_crc32c_portable(const void *data, size_t len)
{
    return ~portable(UINT32_MAX, data, len);
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t hardware(const uint8_t *at, size_t len)
{
    uint64_t crc = UINT32_MAX;

    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        crc = _mm_crc32_u64(crc, word);
    }
    for (; len > 0; at++, len--)
        crc = _mm_crc32_u8((uint32_t)crc, *at);
    return ~(uint32_t)crc;
}

static int have_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

static uint32_t hardware(const uint8_t *at, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        crc = __crc32cd(crc, word);
    }
    for (; len > 0; at++, len--)
        crc = __crc32cb(crc, *at);
    return ~crc;
}

static int have_hardware(void)
{
    return 1;
}
#else
static uint32_t hardware(const uint8_t *at, size_t len)
{
    return rafsi_crc32c_portable(at, len);
}

static int have_hardware(void)
{
    return 0;
}
#endif

uint32_t rafsi_crc32c(const void *data, size_t len)
{
    return have_hardware() ? hardware(data, len) : rafsi_crc32c_portable(data, len);
}
