/* SPDX-License-Identifier: Apache-2.0 */
#include "images.h"

#include <string.h>

bool image_open_also(struct command *first, struct command *image, const char *path)
{
    bool opened;

    *image = *first;
    image->image = NULL;
    image->along = NULL;
    image->http = NULL;
    image->mirrors = NULL;
    image->backend_count = 0;
    memset(&image->outcome, 0, sizeof image->outcome);
    opened = command_open(image, path);
    outcome_note(&first->outcome, image->outcome.code);
    return opened;
}

void image_close_also(struct command *first, struct command *image)
{
    command_close(image);
    /* One that was opened for the first is shared. */
    if (image->cache != first->cache)
        rafs_cache_close(image->cache);
    image->cache = NULL;
}
