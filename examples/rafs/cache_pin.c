/* SPDX-License-Identifier: Apache-2.0 */
/* rafs cache pin, unpin and path: blobs by name, or all of an image. */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "remote.h"

static const char pin_help[] =
    "Usage: rafs cache pin [OPTION]... IMAGE|BLOB...\n"
    "Keep blobs from being evicted: those of an image, or one by its id. With an image\n"
    "from a registry its manifest and bootstrap too, so that "
    "docker://HOST/REPO@sha256:HEX\n"
    "can be read offline once all of it was read. Fetches no content.\n"
    "\n"
    "  --blob               operands are names as rafs cache ls prints them; else only "
    "64\n"
    "                       hex digits are taken for a blob id\n"
    "  --json               one JSON object for each operand\n";

static const char unpin_help[] =
    "Usage: rafs cache unpin [OPTION]... IMAGE|BLOB...\n"
    "Let what was pinned be evicted again. A blob that another pinned image has too is\n"
    "unpinned as well: pin that one again.\n"
    "\n"
    "  --blob               operands are names as rafs cache ls prints them; else only "
    "64\n"
    "                       hex digits are taken for a blob id\n"
    "  --json               one JSON object for each operand\n";

static const char path_help[] =
    "Usage: rafs cache path [OPTION]... [IMAGE|BLOB]\n"
    "Print the directory of the cache; or the file of a blob, or of each blob of an "
    "image.\n"
    "The file has each chunk uncompressed at its uncompressed offset, and holes where "
    "none\n"
    "is kept (see rafs cache ls). It must not be written to; pin it to keep it.\n"
    "\n"
    "  --blob               the operand is a name as rafs cache ls prints it; else only "
    "64\n"
    "                       hex digits are taken for a blob id\n"
    "  --json               one JSON object a line\n";

struct namer {
    struct command *c;
    struct json j;
    bool json;
    bool blob; /* operands are blobs, whatever they look like */
};

static bool is_blob(const struct namer *n, const char *word)
{
    return n->blob ||
           (strlen(word) == 64 && strspn(word, "0123456789abcdef") == strlen(word));
}

/* Options of the three; false: it is over. */
static bool begin(struct namer *n, int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN, OPT_BLOB };
    static const struct option longs[] = {COMMON_OPTIONS,
                                          {"json", no_argument, NULL, OPT_JSON},
                                          {"blob", no_argument, NULL, OPT_BLOB},
                                          {NULL, 0, NULL, 0}};
    int opt;

    json_begin(&n->j, stdout);
    while ((opt = command_getopt(n->c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return false;
        n->json = n->json || opt == OPT_JSON;
        n->blob = n->blob || opt == OPT_BLOB;
    }
    return true;
}

typedef void use_blob(struct namer *n, const char *id);

static void for_blobs(struct namer *n, use_blob *use)
{
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_info(n->c->image, &info, &err) < 0) {
        command_failed(n->c, n->c->image_path, &err);
        return;
    }
    for (uint32_t i = 0; i < info.blob_count; i++) {
        rafs_blob_info blob = {.struct_size = sizeof blob};

        if (rafs_image_get_blob(n->c->image, i, &blob, &err) < 0)
            command_failed(n->c, n->c->image_path, &err);
        else
            use(n, blob.id);
    }
}

static void json_id(struct namer *n, const char *id)
{
    json_text(&n->j, id);
}

static void put_pinned(struct namer *n, const char *word, bool image, bool pin)
{
    if (!n->json) {
        printf("%s %s", pin ? "pinned" : "unpinned", image ? "" : "blob ");
        put_name(stdout, word, strlen(word));
        putchar('\n');
        return;
    }
    json_open(&n->j, '{');
    json_key(&n->j, "blobs");
    json_open(&n->j, '[');
    if (image)
        for_blobs(n, json_id);
    else
        json_text(&n->j, word);
    json_close(&n->j, ']');
    json_key(&n->j, "name");
    json_bytes(&n->j, word, strlen(word));
    json_key(&n->j, "pinned");
    json_bool(&n->j, pin);
    json_close(&n->j, '}');
    json_newline(&n->j);
}

/* Trouble with the cache is no matter of paths in an image. */
static void failed(struct namer *n, const char *word, rafs_error *err)
{
    err->object[0] = '\0';
    command_failed(n->c, word, err);
    if (n->c->outcome.code == EXIT_NO_PATH)
        n->c->outcome.code = n->blob ? EXIT_USAGE : EXIT_SOURCE;
}

static void pin_one(struct namer *n, const char *word, bool pin)
{
    rafs_error err = RAFS_ERROR_INIT;
    bool image = !is_blob(n, word);
    int rc;

    if (image && !command_open(n->c, word))
        return;
    if (image)
        rc =
            pin ? rafs_image_pin(n->c->image, &err) : rafs_image_unpin(n->c->image, &err);
    else
        rc = pin ? rafs_cache_pin(n->c->cache, word, &err)
                 : rafs_cache_unpin(n->c->cache, word, &err);
    if (rc < 0)
        failed(n, word, &err);
    else
        put_pinned(n, word, image, pin);
    command_close(n->c);
}

static int pin_all(struct namer *n, int argc, char **argv, bool pin)
{
    enum cache_found found;

    if (!begin(n, argc, argv))
        return command_end(n->c);
    if (optind == argc) {
        command_usage(n->c, "IMAGE or BLOB is missing");
        return command_end(n->c);
    }
    found = cache_open_existing(n->c, pin);
    if (found == CACHE_NONE)
        command_say(n->c, EXIT_SOURCE, "there is no cache yet, so nothing is pinned");
    for (int i = optind; found == CACHE_OPEN && i < argc && !command_interrupted(n->c);
         i++)
        pin_one(n, argv[i], pin);
    return command_end(n->c);
}

int cache_cmd_pin(int argc, char **argv)
{
    struct command c = COMMAND_INIT("cache pin", pin_help);
    struct namer n = {.c = &c};

    return pin_all(&n, argc, argv, true);
}

int cache_cmd_unpin(int argc, char **argv)
{
    struct command c = COMMAND_INIT("cache unpin", unpin_help);
    struct namer n = {.c = &c};

    return pin_all(&n, argc, argv, false);
}

static void put_path(struct namer *n, const char *id, const char *path)
{
    if (!n->json) {
        put_name(stdout, path, strlen(path));
        putchar('\n');
        return;
    }
    json_open(&n->j, '{');
    if (id) {
        json_key(&n->j, "blob");
        json_text(&n->j, id);
    }
    json_key(&n->j, "path");
    json_bytes(&n->j, path, strlen(path));
    json_close(&n->j, '}');
    json_newline(&n->j);
}

static void path_of(struct namer *n, const char *id)
{
    char path[PATH_MAX + 128];
    rafs_error err = RAFS_ERROR_INIT;
    size_t len;

    if (rafs_cache_path(n->c->cache, id, path, sizeof path, &len, &err) == RAFS_OK) {
        put_path(n, id, path);
        return;
    }
    err.object[0] = '\0';
    command_failed(n->c, id, &err);
}

/* Where it is, or would be. */
static void own_path(struct namer *n)
{
    struct cache_place place;
    char real[PATH_MAX];

    if (!cache_choose(n->c, &place))
        return;
    if (!place.path)
        command_usage(n->c, "there is no cache: none was named, or it is turned off");
    else
        put_path(n, NULL, realpath(place.path, real) ? real : place.path);
    free(place.path);
}

int cache_cmd_path(int argc, char **argv)
{
    struct command c = COMMAND_INIT("cache path", path_help);
    struct namer n = {.c = &c};
    enum cache_found found;

    if (!begin(&n, argc, argv))
        return command_end(&c);
    if (argc - optind > 1) {
        command_usage(&c, "too many operands");
    } else if (argc == optind) {
        own_path(&n);
    } else {
        found = cache_open_existing(&c, false);
        if (found == CACHE_NONE)
            command_say(&c, EXIT_NO_PATH, "there is no cache yet");
        else if (found == CACHE_OPEN && is_blob(&n, argv[optind]))
            path_of(&n, argv[optind]);
        else if (found == CACHE_OPEN && command_open(&c, argv[optind]))
            for_blobs(&n, path_of);
    }
    return command_end(&c);
}
