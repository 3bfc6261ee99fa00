/* SPDX-License-Identifier: Apache-2.0 */
/* oci:DIR[:NAME] and oci-archive:FILE[:NAME], with @sha256:HEX or without. */
#include "remote.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the path ends: at the end if all of it is there, else at the first ':' before
 * which something is, else at the first one at all, as skopeo has it. */
static size_t path_length(char *text)
{
    size_t first = strcspn(text, ":");
    size_t found = first;

    if (access(text, F_OK) == 0)
        return strlen(text);
    for (char *at = text + first; *at; at += 1 + strcspn(at + 1, ":")) {
        bool there;

        *at = '\0';
        there = access(text, F_OK) == 0;
        *at = ':';
        if (there) {
            found = (size_t)(at - text);
            break;
        }
    }
    return found;
}

/* The digest behind the last '@', if there is one; cut off. */
static const char *take_digest(char *text)
{
    static const char kind[] = "sha256:";
    char *at = strrchr(text, '@');

    if (!at || strncmp(at + 1, kind, sizeof kind - 1) != 0 || access(text, F_OK) == 0)
        return NULL;
    *at = '\0';
    return at + 1;
}

bool layout_split(const char *image, struct layout_name *out)
{
    char *text = strdup(strchr(image, ':') + 1);
    size_t len;

    if (!text)
        return false;
    out->path = text;
    out->name = take_digest(text);
    len = path_length(text);
    if (text[len] == ':' && !out->name && text[len + 1])
        out->name = text + len + 1;
    text[len] = '\0';
    return true;
}

bool layout_open(struct command *c, const char *image, rafs_open_options *options)
{
    rafs_layout_options layout = RAFS_LAYOUT_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    struct layout_name where;
    int rc;

    if (c->bootstrap)
        return remote_add_layout(c, image) && command_open_bytes(c, image, options);
    if (!layout_split(image, &where)) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return false;
    }
    layout.platform = c->platform;
    layout.flags = c->referrers ? RAFS_LAYOUT_REFERRERS : 0;
    rc = rafs_image_open_layout(where.path, where.name, &layout, options, &c->image,
                                command_call(c), &err);
    free(where.path);
    if (rc == RAFS_OK)
        return true;
    command_failed(c, image, &err);
    remote_open_code(c, &err);
    return false;
}
