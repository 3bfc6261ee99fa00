/* SPDX-License-Identifier: Apache-2.0 */
#include "throng.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t next(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void note_chunk(struct throng *throng, const rafs_image *image,
                       const rafs_extent *extent)
{
    struct throng_counts *counts = throng->counts;
    struct throng_chunk *chunk = counts->chunk;
    rafs_blob_info info = {.struct_size = sizeof(info)};
    uint32_t blob = 0; /* as the golden counts them */

    NEED(rafs_image_get_blob(image, extent->blob, &info, NULL) == RAFS_OK);
    while (strcmp(throng->golden.blob_id[blob], info.id) != 0)
        NEED(++blob < throng->golden.blob_count);
    for (; chunk < counts->chunk + counts->chunks; chunk++)
        if (chunk->blob == blob && chunk->at == extent->compressed_offset)
            return;
    NEED(counts->chunks < THRONG_CHUNKS);
    counts->chunks++;
    chunk->blob = blob;
    chunk->at = extent->compressed_offset;
    chunk->size = extent->compressed_size;
    memcpy(chunk->digest, extent->digest, sizeof(chunk->digest));
}

static void note_file(struct throng *throng, const rafs_image *image,
                      const struct item *item)
{
    rafs_extent extent;
    size_t count = 0;

    for (uint64_t at = 0; S_ISREG(item->attr.mode) && at < item->attr.size;
         at = extent.file_offset + extent.length) {
        NEED(rafs_image_get_extents(image, item->attr.ino, at, &extent, 1, &count, NULL,
                                    NULL) == RAFS_OK &&
             count == 1);
        if (!(extent.flags & RAFS_EXTENT_HOLE))
            note_chunk(throng, image, &extent);
    }
}

void throng_init(struct throng *throng, const char *variant)
{
    struct rig rig;
    rafs_error err = RAFS_ERROR_INIT;

    memset(throng, 0, sizeof(*throng));
    throng->counts = mmap(NULL, sizeof(*throng->counts), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(throng->counts != MAP_FAILED);
    golden_load(golden_folder(), variant, &throng->golden);
    rig_init(&rig, &throng->golden, NULL);
    NEED(rig_open(&rig, &throng->golden, NULL, 0, &err) == RAFS_OK);
    reading_take(rig.image, &throng->reading);
    for (size_t i = 0; i < throng->reading.count; i++)
        note_file(throng, rig.image, &throng->reading.items[i]);
    rig_drop(&rig);
}

void throng_drop(struct throng *throng)
{
    reading_drop(&throng->reading);
    golden_drop(&throng->golden);
    munmap(throng->counts, sizeof(*throng->counts));
}

void throng_begin(struct throng *throng)
{
    struct throng_counts *counts = throng->counts;

    for (size_t i = 0; i < counts->chunks; i++)
        atomic_store(&counts->chunk[i].fetched, 0);
    for (size_t i = 0; i < counts->chunks; i++)
        atomic_store(&counts->chunk[i].flier, 0);
    for (size_t i = 0; i < THRONG_SLOTS; i++)
        atomic_store(&counts->dead[i], false);
    atomic_store(&counts->reads, 0);
    atomic_store(&counts->together, 0);
    atomic_store(&counts->right, 0);
    atomic_store(&counts->wrong, 0);
    atomic_store(&counts->refused, 0);
    atomic_store(&counts->gone, false);
}

/* --- the source ------------------------------------------------------------------------
 */

static int source_open(void *user, const char *blob_id, void **blob,
                       const rafs_call *call, rafs_error *err)
{
    struct throng_open *open = user;
    const struct golden *golden = &open->throng->golden;

    (void)call;
    (void)err;
    for (size_t i = 0; i < golden->blob_count; i++)
        if (strcmp(golden->blob_id[i], blob_id) == 0) {
            *blob = (void *)(uintptr_t)&golden->blob[i];
            return RAFS_OK;
        }
    return RAFS_E_NOENT;
}

static void take_off(struct throng_counts *counts, struct throng_chunk *chunk, int slot)
{
    int before = atomic_exchange(&chunk->flier, slot);

    atomic_fetch_add(&chunk->fetched, 1);
    if (before != 0 && !atomic_load(&counts->dead[before]))
        atomic_fetch_add(&counts->together, 1);
}

static int source_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                       size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct throng_open *open = user;
    struct throng_counts *counts = open->throng->counts;
    const struct bytes *bytes = blob;
    uint32_t number = (uint32_t)(bytes - open->throng->golden.blob);
    size_t have = offset < bytes->len ? bytes->len - (size_t)offset : 0;

    (void)call;
    (void)err;
    atomic_fetch_add(&counts->reads, 1);
    if (atomic_load(&counts->gone))
        return RAFS_E_BACKEND;
    *nread = have < len ? have : len;
    for (int landing = 0; landing < 2; landing++) {
        for (size_t i = 0; i < counts->chunks; i++) {
            struct throng_chunk *chunk = &counts->chunk[i];
            int own = open->slot;

            if (chunk->blob != number || chunk->at < offset ||
                chunk->at + chunk->size > offset + *nread)
                continue;
            if (landing)
                atomic_compare_exchange_strong(&chunk->flier, &own, 0);
            else
                take_off(counts, chunk, open->slot);
        }
        if (!landing) {
            sched_yield(); /* others may come in between */
            memcpy(buf, bytes->at + offset, *nread);
        }
    }
    return RAFS_OK;
}

void throng_open(struct throng *throng, const struct throng_plan *plan,
                 struct throng_open *out)
{
    rafs_backend_ops ops = RAFS_BACKEND_OPS_INIT;
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_cache_options cache_options = RAFS_CACHE_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .chunk_cache_bytes = 1, /* the disk is what is looked at */
                          .merge_bytes = plan->merge_bytes};
    rafs_error err = RAFS_ERROR_INIT;

    *out = (struct throng_open){.throng = throng, .slot = plan->slot};
    ops.flags = plan->flags;
    ops.open = source_open;
    ops.read = source_read;
    NEED(rafs_backend_new(&ops, out, plan->env, &out->backend, NULL) == RAFS_OK);
    if (plan->merge_bytes != 1)
        limits.chunk_cache_bytes = 0; /* windows need room */
    cache_options.quota_bytes = plan->quota_bytes;
    cache_options.env = plan->env;
    options.env = plan->env;
    NEED(rafs_cache_open(plan->cache_dir, &cache_options, &out->cache, &err) == RAFS_OK);
    options.backends = &out->backend;
    options.backend_count = 1;
    options.limits = &limits;
    options.cache = out->cache;
    options.name = throng->golden.boot_name;
    NEED(rafs_image_open_memory(throng->golden.boot.at, throng->golden.boot.len, &options,
                                &out->image, NULL, &err) == RAFS_OK);
}

static size_t common(size_t a, size_t b)
{
    while (b > 0) {
        size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* In some order: a step that shares no factor with their number comes to all files. */
void throng_compare(struct throng_open *open, uint64_t seed)
{
    const struct reading *reading = &open->throng->reading;
    struct throng_counts *counts = open->throng->counts;
    struct tally tally = {0};
    size_t at = (size_t)(next(&seed) % reading->count);
    size_t step = (size_t)(next(&seed) % reading->count) + 1;

    while (common(step, reading->count) != 1)
        step++;
    for (size_t i = 0; i < reading->count; i++, at = (at + step) % reading->count)
        reading_compare_item(open->image, &reading->items[at], &tally);
    atomic_fetch_add(&counts->right, (unsigned)tally.right);
    atomic_fetch_add(&counts->wrong, (unsigned)tally.wrong);
    atomic_fetch_add(&counts->refused, (unsigned)tally.refused);
}

void throng_close(struct throng_open *open)
{
    rafs_image_close(open->image);
    rafs_backend_free(open->backend);
    rafs_cache_close(open->cache);
}

void throng_read(struct throng *throng, const struct throng_plan *plan)
{
    uint64_t seed = plan->seed;

    for (unsigned i = 0; plan->passes == 0 || i < plan->passes; i++) {
        struct throng_open open;

        throng_open(throng, plan, &open);
        throng_compare(&open, next(&seed));
        throng_close(&open);
    }
}

pid_t throng_start(struct throng *throng, const struct throng_plan *plan)
{
    pid_t pid = fork();

    NEED(pid >= 0);
    if (pid > 0)
        return pid;
    throng_read(throng, plan);
    _exit(0);
}

void throng_join(pid_t pid)
{
    enum { LOOKS = 12000, PAUSE_MS = 5 };

    for (int i = 0; i < LOOKS; i++) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);

        NEED(got >= 0 || errno == EINTR);
        if (got == pid) {
            NEED(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return;
        }
        (void)poll(NULL, 0, PAUSE_MS);
    }
    kill(pid, SIGABRT);
    need(false, "a process ended within a minute", __FILE__, __LINE__);
}

void throng_kill(struct throng *throng, pid_t pid, int slot)
{
    int status;

    atomic_store(&throng->counts->dead[slot], true);
    NEED(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
}

unsigned throng_most(const struct throng *throng)
{
    unsigned most = 0;

    for (size_t i = 0; i < throng->counts->chunks; i++) {
        unsigned fetched = atomic_load(&throng->counts->chunk[i].fetched);

        most = fetched > most ? fetched : most;
    }
    return most;
}

unsigned throng_least(const struct throng *throng)
{
    unsigned least = UINT32_MAX;

    for (size_t i = 0; i < throng->counts->chunks; i++) {
        unsigned fetched = atomic_load(&throng->counts->chunk[i].fetched);

        least = fetched < least ? fetched : least;
    }
    return least;
}
