/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount_info.h"

/* \040 and the like, in place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (*from == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/*
 * 36 35 98:0 /root /dir ro,nodev shared:1 - type source superoptions
 * The fifth is the directory; behind " - " come type and source. Source: proc(5).
 */
static bool parse(char *line, struct mount_seen *out)
{
    char *tail = strstr(line, " - ");
    char *save = NULL, *dir = NULL, *type, *source;

    if (!tail)
        return false;
    *tail = '\0';
    dir = strtok_r(line, " ", &save);
    for (int i = 0; dir && i < 4; i++)
        dir = strtok_r(NULL, " ", &save);
    type = strtok_r(tail + 3, " ", &save);
    source = type ? strtok_r(NULL, " \n", &save) : NULL;
    if (!dir || !source)
        return false;
    unescape(dir);
    unescape(source);
    *out = (struct mount_seen){.dir = dir, .type = type, .source = source};
    out->ours = strcmp(type, "fuse.rafs") == 0 ||
                (strcmp(type, "erofs") == 0 && strncmp(source, "rafs", 4) == 0);
    return true;
}

bool mount_info(mount_see *see, void *user)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    struct mount_seen seen;
    char *line = NULL;
    size_t room = 0;
    bool going = true;

    if (!file)
        return false;
    while (going && getline(&line, &room, file) > 0)
        if (parse(line, &seen))
            going = see(user, &seen);
    free(line);
    fclose(file);
    return true;
}

struct wanted {
    const char *dir;
    enum mount_found found;
    bool fuse;
};

static bool see_wanted(void *user, const struct mount_seen *seen)
{
    struct wanted *w = user;

    if (strcmp(seen->dir, w->dir) == 0) {
        w->found = seen->ours ? MOUNT_OURS : MOUNT_OTHER;
        w->fuse = strncmp(seen->type, "fuse", 4) == 0;
    }
    return true;
}

enum mount_found mount_info_at(const char *dir, bool *fuse)
{
    struct wanted w = {.dir = dir};

    (void)mount_info(see_wanted, &w);
    *fuse = w.fuse;
    return w.found;
}
