/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTRACT_PATHS_H
#define EXTRACT_PATHS_H

#include <stddef.h>

#include "command.h"

/* What the user chose: absolute paths without links in the way, in the order in which a
 * walk meets them, and none below another, so that nothing comes twice. */
struct selection {
    char **paths;
    size_t count;
};

#define SELECTION_INIT \
    {                  \
        NULL, 0        \
    }

/* No arguments: the whole image. What is not there is reported, and the rest chosen. */
void selection_make(struct command *c, char **args, size_t count,
                    struct selection *selection);

void selection_free(struct selection *selection);

#endif
