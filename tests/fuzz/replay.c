/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files, and over all files of folders, given as arguments: its
 * corpus as an ordinary test, so that a find stays found. No file at all is a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { FILE_MAX = 1 << 24 };

static int replay_file(const char *path, unsigned *count)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(FILE_MAX);
    uint8_t *exact = NULL;
    size_t len;
    int bad = 1;

    if (!file || !data)
        goto out;
    len = fread(data, 1, FILE_MAX, file);
    if (ferror(file))
        goto out;
    exact = realloc(data, len ? len : 1);
    if (!exact)
        goto out;
    data = NULL;
    LLVMFuzzerTestOneInput(exact, len);
    ++*count;
    bad = 0;
out:
    if (bad)
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
    if (file)
        fclose(file);
    free(data);
    free(exact);
    return bad;
}

static int replay_folder(const char *path, unsigned *count)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int bad = 0;

    if (!dir)
        return replay_file(path, count);
    while ((entry = readdir(dir))) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        bad |= replay_file(name, count);
    }
    closedir(dir);
    return bad;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    int bad = 0;

    for (int i = 1; i < argc; i++)
        bad |= replay_folder(argv[i], &count);
    printf("%u inputs replayed\n", count);
    return bad || count == 0;
}
