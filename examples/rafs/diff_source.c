/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SOURCE of rafs diff. A directory or a tar becomes an image whose data are thrown away
 * as they come: the digests of its chunks stay, and they are what is compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diff.h"
#include "remote.h"

/* A bootstrap in memory. */
struct memory {
    char *bytes;
    size_t len, room;
};

static int memory_begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                        rafs_error *err)
{
    (void)call;
    (void)err;
    *object = kind == RAFS_OBJECT_BOOTSTRAP ? user : NULL;
    return RAFS_OK;
}

static int memory_write(void *user, void *object, const void *data, size_t len,
                        const rafs_call *call, rafs_error *err)
{
    struct memory *memory = object;

    (void)user;
    (void)call;
    if (!memory)
        return RAFS_OK;
    if (len > memory->room - memory->len) {
        size_t room = 2 * (memory->len + len);
        char *larger = realloc(memory->bytes, room);

        if (!larger)
            return rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
        memory->bytes = larger;
        memory->room = room;
    }
    memcpy(memory->bytes + memory->len, data, len);
    memory->len += len;
    return RAFS_OK;
}

static int memory_commit(void *user, void *object, const rafs_sink_object *what,
                         const rafs_call *call, rafs_error *err)
{
    (void)user;
    (void)object;
    (void)what;
    (void)call;
    (void)err;
    return RAFS_OK;
}

static void memory_abort(void *user, void *object)
{
    (void)user;
    (void)object;
}

/* Chunks of the size and with the digests of the image to compare with. */
static bool like_options(struct differ *d, const rafs_image *like,
                         rafs_build_options *options)
{
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_info(like, &info, &err) < 0) {
        command_failed(d->c, d->c->image_path, &err);
        return false;
    }
    rafs_build_options_init(options);
    options->version = 6;
    options->compressor = RAFS_STORE_NONE;
    options->chunk_size = info.chunk_size;
    options->digest =
        info.digest == RAFS_DIGEST_SHA256 ? RAFS_HASH_SHA256 : RAFS_HASH_BLAKE3;
    options->flags = RAFS_BUILD_SKIP_UNSUPPORTED;
    return true;
}

static int take_in(rafs_builder *builder, const char *path, rafs_error *err)
{
    struct stat st;
    int fd, rc;

    if (strcmp(path, "-") == 0)
        return rafs_builder_add_tar_fd(builder, STDIN_FILENO, "standard input", NULL,
                                       err);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return rafs_builder_add_directory(builder, path, NULL, err);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rafs_error_set(err, RAFS_E_BACKEND, errno, path, strerror(errno));
    rc = rafs_builder_add_tar_fd(builder, fd, path, NULL, err);
    close(fd);
    return rc;
}

static int build(const rafs_build_options *options, struct memory *memory,
                 const char *path, rafs_error *err)
{
    rafs_sink_ops ops = RAFS_SINK_OPS_INIT;
    rafs_env env = RAFS_ENV_INIT;
    rafs_builder *builder = NULL;
    rafs_sink *sink = NULL;
    int rc;

    ops.begin = memory_begin;
    ops.write = memory_write;
    ops.commit = memory_commit;
    ops.abort = memory_abort;
    command_env(&env);
    rc = rafs_sink_new(&ops, memory, &env, &sink, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_new(options, sink, &env, &builder, err);
    if (rc == RAFS_OK)
        rc = take_in(builder, path, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_finish(builder, NULL, NULL, err);
    rafs_builder_free(builder);
    rafs_sink_free(sink);
    return rc;
}

/* Is it an image? A file that is none may be a tar. */
static bool is_image(const char *path)
{
    rafs_image *image = NULL;
    struct stat st;
    int rc;

    if (remote_is(path))
        return true;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    rc = rafs_image_open_path(path, NULL, &image, NULL, NULL);
    rafs_image_close(image);
    return rc == RAFS_OK;
}

bool diff_source(struct differ *d, const rafs_image *like, const char *path,
                 struct command *out)
{
    rafs_build_options options;
    rafs_open_options opening = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_env env = RAFS_ENV_INIT;
    struct memory memory = {0};

    if (is_image(path))
        return image_open_also(d->c, out, path);
    *out = *d->c;
    out->image = NULL;
    out->backend_count = 0;
    out->http = NULL;
    out->mirrors = NULL;
    out->along = NULL;
    d->new.no_data = true;
    if (!like_options(d, like, &options))
        return false;
    command_env(&env);
    opening.env = &env;
    if (build(&options, &memory, path, &err) < 0 ||
        rafs_image_open_memory(memory.bytes, memory.len, &opening, &out->image, NULL,
                               &err) < 0) {
        if (strcmp(err.object, path) == 0)
            err.object[0] = '\0';
        command_failed(d->c, path, &err);
        /* A path of this machine, not of the image. */
        if (d->c->outcome.code == EXIT_NO_PATH)
            d->c->outcome.code = EXIT_SOURCE;
        free(memory.bytes);
        return false;
    }
    d->bytes = memory.bytes;
    return true;
}

void diff_source_close(struct differ *d, struct command *source)
{
    image_close_also(d->c, source);
    free(d->bytes);
    d->bytes = NULL;
}
