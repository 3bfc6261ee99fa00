/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 20 };

int digest_file(struct command *c, uint64_t ino, rafs_hash *hash,
                uint8_t digest[RAFS_DIGEST_BYTES], rafs_error *err)
{
    /* Also ends what an earlier failure left in the hash. */
    int rc = rafs_hash_final(hash, digest);
    char *buf = malloc(READ_BYTES);
    uint64_t offset = 0;
    size_t nread = 0;

    if (!buf) {
        rc = rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
        goto out;
    }
    while (rc == RAFS_OK) {
        rc = rafs_image_read(c->image, ino, offset, READ_BYTES, buf, &nread,
                             command_call(c), err);
        if (rc < 0)
            goto out;
        if (nread == 0)
            break;
        rc = rafs_hash_update(hash, buf, nread);
        offset += nread;
    }
    if (rc == RAFS_OK)
        rc = rafs_hash_final(hash, digest);
    if (rc < 0)
        rafs_error_set(err, rc, 0, NULL, "the hash function failed");
out:
    free(buf);
    return rc;
}

/* Inode numbers are often multiples of something: multiply and take the upper bits. */
static size_t slot_of(const struct links *links, uint64_t ino)
{
    return (size_t)((ino * 0x9e3779b97f4a7c15u) >> 20) & (links->room - 1);
}

static struct link_group *probe(const struct links *links, uint64_t ino)
{
    size_t i = slot_of(links, ino);

    while (links->slots[i].path && links->slots[i].ino != ino)
        i = (i + 1) & (links->room - 1);
    return &links->slots[i];
}

static bool grow(struct links *links)
{
    struct links bigger = {.room = links->room ? 2 * links->room : 64,
                           .count = links->count};

    bigger.slots = calloc(bigger.room, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < links->room; i++) {
        if (links->slots[i].path)
            *probe(&bigger, links->slots[i].ino) = links->slots[i];
    }
    free(links->slots);
    *links = bigger;
    return true;
}

struct link_group *links_find(struct links *links, uint64_t ino, const char *path,
                              size_t path_len)
{
    struct link_group *group;

    if (links->count * 2 >= links->room && !grow(links))
        return NULL;
    group = probe(links, ino);
    if (group->path)
        return group;
    group->path = malloc(path_len + 1);
    if (!group->path)
        return NULL;
    memcpy(group->path, path, path_len);
    group->path[path_len] = '\0';
    group->ino = ino;
    links->count++;
    return group;
}

void links_free(struct links *links)
{
    for (size_t i = 0; i < links->room; i++)
        free(links->slots[i].path);
    free(links->slots);
    memset(links, 0, sizeof *links);
}
