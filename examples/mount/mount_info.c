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

/* Cuts the number off. */
static void take_name(const char *state, struct mount_seen *seen, char *source)
{
    static const char fuse[] = "rafs:";
    size_t len = strlen(state);
    char *name = NULL, *dot;

    if (strncmp(seen->type, "fuse", 4) == 0 &&
        strncmp(source, fuse, sizeof fuse - 1) == 0)
        source += sizeof fuse - 1;
    else if (strcmp(seen->type, "erofs") != 0)
        return;
    if (strncmp(source, state, len) == 0 && source[len] == '/')
        name = source + len + 1;
    dot = name ? strrchr(name, '.') : NULL;
    if (!dot || dot == name || strchr(name, '/') ||
        dot[1 + strspn(dot + 1, "0123456789")] != '\0')
        return;
    *dot = '\0';
    seen->daemon = name;
    seen->number = (uint32_t)strtoul(dot + 1, NULL, 10);
}

/*
 * 36 35 98:0 /root /dir ro,nodev shared:1 - type source superoptions
 * The fifth is the directory; behind " - " come type and source. Source: proc(5).
 */
static bool parse(const char *state, char *line, struct mount_seen *out)
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
    take_name(state, out, source);
    return true;
}

bool mount_info(const char *state, mount_see *see, void *user)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    struct mount_seen seen;
    char *line = NULL;
    size_t room = 0;
    bool going = true;

    if (!file)
        return false;
    while (going && getline(&line, &room, file) > 0)
        if (parse(state, line, &seen))
            going = see(user, &seen);
    free(line);
    fclose(file);
    return true;
}

struct wanted {
    const char *dir;
    struct mount_top *top;
};

static bool see_wanted(void *user, const struct mount_seen *seen)
{
    struct wanted *w = user;
    struct mount_top *top = w->top;

    if (strcmp(seen->dir, w->dir) != 0)
        return true;
    *top = (struct mount_top){.found = seen->daemon ? MOUNT_OURS : MOUNT_OTHER,
                              .fuse = strncmp(seen->type, "fuse", 4) == 0,
                              .number = seen->number};
    snprintf(top->daemon, sizeof top->daemon, "%s", seen->daemon ? seen->daemon : "");
    return true;
}

void mount_info_at(const char *state, const char *dir, struct mount_top *top)
{
    struct wanted w = {.dir = dir, .top = top};

    *top = (struct mount_top){0};
    (void)mount_info(state, see_wanted, &w);
}
