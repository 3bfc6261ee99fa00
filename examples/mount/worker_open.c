/* SPDX-License-Identifier: Apache-2.0 */
/* From the name of an image to an open one; again after a restart. */
#include <stdlib.h>
#include <string.h>

#include "remote.h"
#include "worker.h"

/* A worker of many mounts is to stay small: what it fills lies in the cache's files, and
 * thereby in the page cache. */
enum { KEPT_CHUNKS_FUSE = 4 << 20 };

/* Up to the tag or digest. */
static int bare_length(const char *reference)
{
    const char *at = strchr(reference, '@');
    const char *end = at ? at : reference + strlen(reference);
    const char *slash = strrchr(reference, '/');
    const char *colon = strrchr(reference, ':');

    if (colon && slash && colon > slash && colon < end)
        end = colon;
    return (int)(end - reference);
}

/* What a tag leads to now is not what it leads to when a worker is started anew. */
void open_pin(struct served *served)
{
    const char *image = served->options.image;
    struct mount_slot *slot = worker_slot(served);
    struct layout_name name = {0};
    char digest[72];

    snprintf(slot->pinned, sizeof slot->pinned, "%s", image);
    if (rafs_image_get_manifest(served->options.c.image, digest, sizeof digest, NULL) < 0)
        return;
    if (remote_is_network(image))
        snprintf(slot->pinned, sizeof slot->pinned, "%.*s@%s", bare_length(image), image,
                 digest);
    else if (layout_split(image, &name))
        snprintf(slot->pinned, sizeof slot->pinned, "%.*s:%s@%s",
                 (int)strcspn(image, ":"), image, name.path, digest);
    free(name.path);
}

/* What a name leads to now may not be what it led to when the mount began. */
const char *open_name(struct served *served)
{
    const struct mount_slot *slot = worker_slot(served);

    if (!served->once_more || !slot->pinned[0])
        return served->options.image;
    snprintf(served->pinned, sizeof served->pinned, "%s", slot->pinned);
    return served->pinned;
}

static bool open_fuse(struct served *served)
{
    if (!command_open(&served->options.c, open_name(served))) {
        worker_refuse_as_said(served);
        return false;
    }
    served->image = served->options.c.image;
    if (!served->once_more)
        open_pin(served);
    return true;
}

bool served_open(struct served *served)
{
    bool kernel = worker_slot(served)->via == VIA_KERNEL;

    served->limits.struct_size = sizeof served->limits;
    served->limits.chunk_cache_bytes = kernel ? 1 : KEPT_CHUNKS_FUSE;
    served->options.c.learn = false; /* traces are looked after in worker_fill.c */
    return kernel ? open_kernel(served) : open_fuse(served);
}
