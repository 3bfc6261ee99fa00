/* SPDX-License-Identifier: Apache-2.0 */
/* Which blocks of a mount's devices were verified. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker.h"

enum { BITS = 64 };

static uint64_t words_of(uint64_t size)
{
    return (size / FILL_BLOCK + BITS - 1) / BITS;
}

static _Atomic uint64_t *words(const struct fill_map *map, uint32_t device)
{
    return (_Atomic uint64_t *)((uintptr_t)map + map->device[device].bits);
}

/* Nobody can cut the file behind a process that has it in its memory. */
static bool seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

int map_make(const uint64_t *sizes, uint32_t devices)
{
    uint64_t bytes = sizeof(struct fill_map);
    struct fill_map head = {.version = MOUNT_VERSION, .devices = devices};
    int fd;

    for (uint32_t i = 0; i < devices; i++) {
        head.device[i].size = sizes[i];
        head.device[i].bits = bytes;
        bytes += words_of(sizes[i]) * sizeof(uint64_t);
    }
    fd = memfd_create("rafs-map", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)bytes) == 0 &&
        pwrite(fd, &head, sizeof head, 0) == (ssize_t)sizeof head && seal(fd))
        return fd;
    close(fd);
    return -1;
}

static bool is_map(const struct fill_map *map, uint64_t bytes)
{
    if (map->version != MOUNT_VERSION || map->devices > MOUNT_DEVICES_MAX)
        return false;
    for (uint32_t i = 0; i < map->devices; i++) {
        const struct fill_device *d = &map->device[i];

        if (d->size % FILL_BLOCK != 0 || d->bits % sizeof(uint64_t) != 0 ||
            d->bits < sizeof *map || d->bits > bytes ||
            words_of(d->size) > (bytes - d->bits) / sizeof(uint64_t))
            return false;
    }
    return true;
}

struct fill_map *map_open(int fd, size_t *bytes)
{
    struct fill_map *map;
    struct stat st;

    if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof *map)
        return NULL;
    map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (!is_map(map, (uint64_t)st.st_size)) {
        munmap(map, (size_t)st.st_size);
        errno = EINVAL;
        return NULL;
    }
    *bytes = (size_t)st.st_size;
    return map;
}

/* The bits [first, end) that lie in word w. */
static uint64_t mask_of(uint64_t w, uint64_t first, uint64_t end)
{
    uint64_t mask = ~(uint64_t)0;

    if (w == first / BITS)
        mask &= ~(uint64_t)0 << first % BITS;
    if (w == end / BITS)
        mask &= ((uint64_t)1 << end % BITS) - 1;
    return mask;
}

bool map_has(const struct fill_map *map, uint32_t device, uint64_t begin, uint64_t end)
{
    uint64_t first = begin / FILL_BLOCK;
    uint64_t last = (end + FILL_BLOCK - 1) / FILL_BLOCK;

    for (uint64_t w = first / BITS; w * BITS < last; w++) {
        uint64_t mask = mask_of(w, first, last);

        if ((atomic_load(&words(map, device)[w]) & mask) != mask)
            return false;
    }
    return true;
}

uint64_t map_set(struct fill_map *map, uint32_t device, uint64_t begin, uint64_t end)
{
    uint64_t first = (begin + FILL_BLOCK - 1) / FILL_BLOCK;
    uint64_t last = end / FILL_BLOCK;
    uint64_t fresh = 0;

    if (last > map->device[device].size / FILL_BLOCK)
        last = map->device[device].size / FILL_BLOCK;
    for (uint64_t w = first / BITS; first < last && w * BITS < last; w++) {
        uint64_t mask = mask_of(w, first, last);
        uint64_t before = atomic_fetch_or(&words(map, device)[w], mask);

        fresh += (uint64_t)__builtin_popcountll(mask & ~before);
    }
    if (fresh > 0)
        atomic_fetch_add(&map->device[device].blocks, fresh);
    return fresh;
}

uint64_t map_next(const struct fill_map *map, uint32_t device, uint64_t from)
{
    uint64_t blocks = map->device[device].size / FILL_BLOCK;
    uint64_t at = from / FILL_BLOCK;

    while (at < blocks) {
        uint64_t missing = ~atomic_load(&words(map, device)[at / BITS]) >> at % BITS;

        if (missing != 0) {
            at += (uint64_t)__builtin_ctzll(missing);
            break;
        }
        at = (at / BITS + 1) * BITS;
    }
    return (at < blocks ? at : blocks) * FILL_BLOCK;
}

uint64_t map_next_set(const struct fill_map *map, uint32_t device, uint64_t from)
{
    uint64_t blocks = map->device[device].size / FILL_BLOCK;
    uint64_t at = from / FILL_BLOCK;

    while (at < blocks) {
        uint64_t there = atomic_load(&words(map, device)[at / BITS]) >> at % BITS;

        if (there != 0) {
            at += (uint64_t)__builtin_ctzll(there);
            break;
        }
        at = (at / BITS + 1) * BITS;
    }
    return (at < blocks ? at : blocks) * FILL_BLOCK;
}

bool map_complete(const struct fill_map *map)
{
    for (uint32_t i = 0; i < map->devices; i++)
        if (atomic_load(&map->device[i].blocks) < map->device[i].size / FILL_BLOCK)
            return false;
    return true;
}
