/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make an image of entries that no disk ever saw, in memory, and read it back.
 *
 *     make_image
 *
 * A program that has its own idea of what files are (a package manager, a build system, a
 * data set) adds entries one by one: content comes from a callback, and what is made goes
 * to callbacks too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rafs/rafs.h>

/* What the sink was given: at most a blob and a bootstrap. */
struct object {
    char id[65];
    unsigned char *data;
    size_t size, room;
    uint32_t kind;
};

struct store {
    struct object objects[2];
    int count;
};

static int store_begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                       rafs_error *err)
{
    struct store *store = user;

    (void)call;
    if (store->count == 2)
        return rafs_error_set(err, RAFS_E_LIMIT, 0, "store", "one blob is enough");
    store->objects[store->count].kind = kind;
    *object = &store->objects[store->count++];
    return RAFS_OK;
}

static int store_write(void *user, void *object, const void *data, size_t len,
                       const rafs_call *call, rafs_error *err)
{
    struct object *o = object;

    (void)user, (void)call;
    if (o->room - o->size < len) {
        size_t room = o->room ? o->room * 2 : 4096;
        unsigned char *grown;

        while (room - o->size < len)
            room *= 2;
        grown = realloc(o->data, room);
        if (!grown)
            return rafs_error_set(err, RAFS_E_NOMEM, 0, "store", "out of memory");
        o->data = grown;
        o->room = room;
    }
    memcpy(o->data + o->size, data, len);
    o->size += len;
    return RAFS_OK;
}

static int store_commit(void *user, void *object, const rafs_sink_object *what,
                        const rafs_call *call, rafs_error *err)
{
    struct object *o = object;

    (void)user, (void)call, (void)err;
    for (int i = 0; i < 32; i++)
        snprintf(o->id + 2 * i, 3, "%02x", what->sha256[i]);
    printf("%s %s, %" PRIu64 " bytes\n",
           what->kind == RAFS_OBJECT_BLOB ? "blob     " : "bootstrap", o->id, what->size);
    return RAFS_OK;
}

static void store_abort(void *user, void *object)
{
    (void)user, (void)object;
}

/* The content of a file that is computed as it is asked for: its line number, again and
 * again. */
static int give_lines(void *user, void *buf, size_t len, size_t *got,
                      const rafs_call *call, rafs_error *err)
{
    uint64_t *at = user;
    char *out = buf;

    (void)call, (void)err;
    for (size_t i = 0; i < len; i++, (*at)++) {
        char line[9];

        snprintf(line, sizeof line, "%07" PRIu64 "\n", *at / 8 % 10000000);
        out[i] = line[*at % 8];
    }
    *got = len;
    return RAFS_OK;
}

static int add_entries(rafs_builder *builder, rafs_error *err)
{
    uint64_t position = 0;
    rafs_build_xattr note = {"user.note", "computed", 8};
    rafs_build_entry entries[] = {
        {.mode = 0040755, .path = "/data", .mtime_sec = 1},
        {.mode = 0100644,
         .path = "/data/lines",
         .size = 4 << 20,
         .read = give_lines,
         .user = &position,
         .xattrs = &note,
         .xattr_count = 1},
        {.mode = 0120777, .path = "/latest", .target = "data/lines"},
        {.path = "/data/again", .hardlink = "/data/lines"},
    };

    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        int rc;

        entries[i].struct_size = sizeof entries[i];
        rc = rafs_builder_add_entry(builder, &entries[i], NULL, err);
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

static int make(rafs_sink *sink, rafs_error *err)
{
    rafs_build_options options;
    rafs_build_result result = {.struct_size = sizeof result};
    rafs_builder *builder = NULL;
    int rc;

    rafs_build_options_init(&options);
    options.chunk_size = 64 << 10;
    rc = rafs_builder_new(&options, sink, NULL, &builder, err);
    if (rc == RAFS_OK)
        rc = add_entries(builder, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_finish(builder, &result, NULL, err);
    if (rc == RAFS_OK)
        printf("%" PRIu64 " names, %" PRIu64 " bytes in %" PRIu64 " chunks, %" PRIu64
               " bytes stored\n",
               result.entries, result.file_bytes, result.chunks, result.stored_bytes);
    rafs_builder_free(builder);
    return rc;
}

/* Blobs by callbacks: here, out of memory. */
static int blob_open(void *user, const char *blob_id, void **blob, const rafs_call *call,
                     rafs_error *err)
{
    struct store *store = user;

    (void)call;
    for (int i = 0; i < store->count; i++)
        if (strcmp(store->objects[i].id, blob_id) == 0) {
            *blob = &store->objects[i];
            return RAFS_OK;
        }
    return rafs_error_set(err, RAFS_E_BACKEND, 0, blob_id, "not here");
}

static int blob_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                     size_t *nread, const rafs_call *call, rafs_error *err)
{
    const struct object *o = blob;

    (void)user, (void)call, (void)err;
    *nread = offset >= o->size        ? 0
             : len < o->size - offset ? len
                                      : o->size - (size_t)offset;
    memcpy(buf, o->data + offset, *nread);
    return RAFS_OK;
}

static int read_back(struct store *store, rafs_error *err)
{
    rafs_backend_ops ops = RAFS_BACKEND_OPS_INIT;
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend *backend = NULL;
    rafs_image *image = NULL;
    uint64_t ino = 0;
    char line[9] = "";
    size_t n = 0;
    int rc;

    ops.open = blob_open;
    ops.read = blob_read;
    rc = rafs_backend_new(&ops, store, NULL, &backend, err);
    options.backends = &backend;
    options.backend_count = 1;
    /* The bootstrap comes last. */
    if (rc == RAFS_OK)
        rc = rafs_image_open_memory(store->objects[store->count - 1].data,
                                    store->objects[store->count - 1].size, &options,
                                    &image, NULL, err);
    if (rc == RAFS_OK)
        rc = rafs_image_resolve(image, "/latest", 0, &ino, err);
    if (rc == RAFS_OK)
        rc = rafs_image_read(image, ino, 8 * 123456, 8, line, &n, NULL, err);
    if (rc == RAFS_OK)
        printf("line 123456 of /latest, verified: %s", line);
    rafs_image_close(image);
    rafs_backend_free(backend);
    return rc;
}

int main(void)
{
    rafs_sink_ops ops = RAFS_SINK_OPS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    struct store store = {.count = 0};
    rafs_sink *sink = NULL;
    int rc;

    ops.begin = store_begin;
    ops.write = store_write;
    ops.commit = store_commit;
    ops.abort = store_abort;
    rc = rafs_sink_new(&ops, &store, NULL, &sink, &err);
    if (rc == RAFS_OK)
        rc = make(sink, &err);
    rafs_sink_free(sink);
    if (rc == RAFS_OK)
        rc = read_back(&store, &err);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", err.object, err.text);
    for (int i = 0; i < store.count; i++)
        free(store.objects[i].data);
    return rc == RAFS_OK ? 0 : 1;
}
