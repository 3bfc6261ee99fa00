/* SPDX-License-Identifier: Apache-2.0 */
#include "crowd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void crowd_load(struct crowd *crowd, const char *variant, size_t count,
                struct watch *watch)
{
    rafs_backend_ops ops = script_ops();
    struct rig rig;

    memset(crowd, 0, sizeof(*crowd));
    golden_load(golden_folder(), variant, &crowd->golden);
    rig_init(&rig, &crowd->golden, NULL);
    NEED(rig_open(&rig, &crowd->golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rig.image, &crowd->reading);
    rig_drop(&rig);
    for (size_t i = 0; i < crowd->reading.count; i++) {
        const struct item *item = &crowd->reading.items[i];

        if (S_ISREG(item->attr.mode) &&
            (!crowd->file || item->attr.size > crowd->file->attr.size))
            crowd->file = item;
    }
    NEED(crowd->file);
    crowd->watch = watch;
    crowd->count = count;
    ops.flags = RAFS_BACKEND_REMOTE;
    for (size_t i = 0; i < count; i++) {
        script_init(&crowd->script[i], crowd->golden.blob, crowd->golden.blob_id,
                    crowd->golden.blob_count, watch);
        NEED(rafs_backend_new(&ops, &crowd->script[i], watch ? &watch->env : NULL,
                              &crowd->backend[i], NULL) == RAFS_OK);
    }
}

void crowd_open(struct crowd *crowd, uint64_t hedge_ms)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits)};

    limits.chunk_cache_bytes = 1;
    limits.merge_bytes = 1;
    limits.ahead_bytes = 1;
    limits.hedge_ms = hedge_ms;
    options.env = crowd->watch ? &crowd->watch->env : NULL;
    options.backends = crowd->backend;
    options.backend_count = crowd->count;
    options.limits = &limits;
    options.name = crowd->golden.boot_name;
    NEED(rafs_image_open_memory(crowd->golden.boot.at, crowd->golden.boot.len, &options,
                                &crowd->image, NULL, NULL) == RAFS_OK);
}

void crowd_drop(struct crowd *crowd)
{
    rafs_image_close(crowd->image);
    for (size_t i = 0; i < crowd->count; i++)
        rafs_backend_free(crowd->backend[i]);
    reading_drop(&crowd->reading);
    golden_drop(&crowd->golden);
}

rafs_stats crowd_stats(const struct crowd *crowd)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(crowd->image, &stats, NULL) == RAFS_OK);
    return stats;
}

int crowd_read(const struct crowd *crowd, uint64_t offset, size_t len,
               const rafs_call *call, bool *right)
{
    uint8_t *buf = malloc(len);
    size_t nread = 0;
    int rc;

    NEED(buf && offset + len <= crowd->file->content.len);
    rc = rafs_image_read(crowd->image, crowd->file->attr.ino, offset, len, buf, &nread,
                         call, NULL);
    *right = rc == RAFS_OK && nread == len &&
             memcmp(buf, crowd->file->content.at + offset, len) == 0;
    free(buf);
    return rc;
}
