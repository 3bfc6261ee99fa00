/* SPDX-License-Identifier: Apache-2.0 */
/* Path resolution: u8 length of a path, the path, a bootstrap. */
#include <sys/stat.h>

#include "fuzz.h"
#include "tree/tree.h"

/* A file that was found can be asked for its chunks: the first, a middle one, the last.
 */
static void chunks(const struct rafsi_tree *tree, const struct rafsi_node *node)
{
    uint64_t size = node->attr.size;
    const uint64_t wanted[] = {0, size / 2, size - 1};
    struct rafsi_chunk chunk;

    if (!S_ISREG(node->attr.mode) || size == 0)
        return;
    for (size_t i = 0; i < 3; i++)
        if (rafsi_tree_chunk(tree, node, wanted[i], &chunk, NULL) == RAFS_OK)
            MUST(chunk.file_offset <= wanted[i] &&
                 wanted[i] - chunk.file_offset < chunk.length);
}

static void resolve(const struct rafsi_tree *tree, const char *path, uint32_t flags)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct rafsi_node node;
    uint64_t ino = 0;
    int rc = rafsi_tree_resolve(tree, path, flags, &ino, &err);

    MUST(rc == err.code);
    if (rc != RAFS_OK || rafsi_tree_node(tree, ino, &node, NULL) != RAFS_OK)
        return;
    MUST(flags & RAFS_RESOLVE_NOFOLLOW || !S_ISLNK(node.attr.mode));
    chunks(tree, &node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    size_t len = (size_t)input_number(&in, 1);
    struct rafsi_source *source = NULL;
    struct rafsi_tree *tree = NULL;
    struct rafsi_env env;
    struct span image;
    char path[256];

    len = len < in.left ? len : in.left;
    memcpy(path, in.at, len);
    path[len] = '\0';
    in.at += len;
    in.left -= len;
    image = input_copy(&in, in.left, 0);
    MUST(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    MUST(rafsi_source_memory(&env, image.at, image.len, &source, NULL) == RAFS_OK);
    if (rafsi_tree_open(&env, source, NULL, &tree, NULL) == RAFS_OK) {
        resolve(tree, path, 0);
        resolve(tree, path, RAFS_RESOLVE_NOFOLLOW);
        rafsi_tree_close(tree);
    } else {
        rafsi_source_free(source);
    }
    input_free(image);
    return 0;
}
