/* SPDX-License-Identifier: Apache-2.0 */
#include "made.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- the sink ------------------------------------------------------------------------
 */

static bool refused(struct made *made)
{
    bool now = made->calls++ == made->fail_at;

    made->failed |= now;
    return now;
}

static int made_begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                      rafs_error *err)
{
    struct made *made = user;
    struct made_object *at = &made->objects[made->count];

    (void)call;
    if (refused(made))
        return rafs_error_set(err, RAFS_E_BACKEND, 28, "made", "refused to begin");
    NEED(made->count < MADE_OBJECTS_MAX);
    NEED(kind == RAFS_OBJECT_BLOB || kind == RAFS_OBJECT_BOOTSTRAP);
    made->count++;
    at->kind = kind;
    at->open = true;
    *object = at;
    return RAFS_OK;
}

static int made_write(void *user, void *object, const void *data, size_t len,
                      const rafs_call *call, rafs_error *err)
{
    struct made *made = user;
    struct made_object *at = object;

    (void)call;
    NEED(at->open && len > 0);
    if (refused(made))
        return rafs_error_set(err, RAFS_E_BACKEND, 28, "made", "refused to write");
    if (at->room - at->bytes.len < len) {
        size_t room = (at->bytes.len + len) * 2;
        uint8_t *grown = realloc(at->bytes.at, room);

        NEED(grown);
        at->bytes.at = grown;
        at->room = room;
    }
    memcpy(at->bytes.at + at->bytes.len, data, len);
    at->bytes.len += len;
    return RAFS_OK;
}

static int made_commit(void *user, void *object, const rafs_sink_object *what,
                       const rafs_call *call, rafs_error *err)
{
    struct made *made = user;
    struct made_object *at = object;
    char digest[80];

    (void)call;
    NEED(at->open && what->kind == at->kind && what->size == at->bytes.len);
    at->open = false;
    for (size_t i = 0; i < sizeof(what->sha256); i++)
        snprintf(at->name + 2 * i, 3, "%02x", what->sha256[i]);
    digest_text("sha256", RAFS_DIGEST_SHA256, at->bytes, digest);
    NEED(strcmp(digest + strlen("sha256:"), at->name) == 0);
    if (refused(made))
        return rafs_error_set(err, RAFS_E_BACKEND, 28, "made", "refused to commit");
    at->kept = true;
    return RAFS_OK;
}

static void made_abort(void *user, void *object)
{
    struct made_object *at = object;

    (void)user;
    NEED(at->open);
    at->open = false;
}

static void made_release(void *user)
{
    struct made *made = user;

    made->releases++;
}

/* --- the backend ---------------------------------------------------------------------
 */

/* A blob that carries its bootstrap is called by 64 letters 'x' in it. */
static int made_blob_open(void *user, const char *blob_id, void **blob,
                          const rafs_call *call, rafs_error *err)
{
    struct made *made = user;

    (void)call;
    (void)err;
    for (size_t i = 0; i < made->count; i++) {
        struct made_object *at = &made->objects[i];

        if (at->kept && at->kind == RAFS_OBJECT_BLOB &&
            (blob_id[0] == 'x' || strcmp(at->name, blob_id) == 0)) {
            *blob = at;
            return RAFS_OK;
        }
    }
    return RAFS_E_NOENT;
}

static int made_blob_size(void *user, void *blob, uint64_t *size, const rafs_call *call,
                          rafs_error *err)
{
    const struct made_object *at = blob;

    (void)user;
    (void)call;
    (void)err;
    *size = at->bytes.len;
    return RAFS_OK;
}

static int made_blob_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                          size_t *nread, const rafs_call *call, rafs_error *err)
{
    const struct made_object *at = blob;
    size_t have = offset < at->bytes.len ? at->bytes.len - (size_t)offset : 0;

    (void)user;
    (void)call;
    (void)err;
    *nread = have < len ? have : len;
    if (*nread)
        memcpy(buf, at->bytes.at + offset, *nread);
    return RAFS_OK;
}

/* --- both ----------------------------------------------------------------------------
 */

void made_init(struct made *made, const rafs_env *env)
{
    rafs_sink_ops sink = RAFS_SINK_OPS_INIT;
    rafs_backend_ops backend = RAFS_BACKEND_OPS_INIT;

    memset(made, 0, sizeof(*made));
    made->fail_at = SIZE_MAX;
    sink.begin = made_begin;
    sink.write = made_write;
    sink.commit = made_commit;
    sink.abort = made_abort;
    sink.release = made_release;
    NEED(rafs_sink_new(&sink, made, env, &made->sink, NULL) == RAFS_OK);
    backend.open = made_blob_open;
    backend.size = made_blob_size;
    backend.read = made_blob_read;
    NEED(rafs_backend_new(&backend, made, env, &made->backend, NULL) == RAFS_OK);
}

void made_clear(struct made *made)
{
    for (size_t i = 0; i < made->count; i++) {
        NEED(!made->objects[i].open);
        free(made->objects[i].bytes.at);
    }
    memset(made->objects, 0, sizeof(made->objects));
    made->count = 0;
    made->calls = 0;
    made->failed = false;
}

void made_drop(struct made *made)
{
    made_clear(made);
    rafs_sink_free(made->sink);
    rafs_backend_free(made->backend);
    NEED(made->releases == 1);
}

const struct made_object *made_bootstrap(const struct made *made)
{
    for (size_t i = 0; i < made->count; i++)
        if (made->objects[i].kept && made->objects[i].kind == RAFS_OBJECT_BOOTSTRAP)
            return &made->objects[i];
    return NULL;
}

int made_open(struct made *made, const rafs_env *env, rafs_image **out, rafs_error *err)
{
    const struct made_object *boot = made_bootstrap(made);
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend *const backends[] = {made->backend};

    NEED(boot);
    options.env = env;
    options.backends = backends;
    options.backend_count = 1;
    return rafs_image_open_memory(boot->bytes.at, boot->bytes.len, &options, out, NULL,
                                  err);
}

static void keep_finding(void *user, const rafs_error *finding)
{
    rafs_error *err = user;

    if (err->code == RAFS_OK)
        *err = *finding;
}

int made_check(const rafs_image *image, rafs_error *err)
{
    rafs_check_options options = RAFS_CHECK_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof(result)};
    rafs_error found = RAFS_ERROR_INIT;
    int rc;

    options.user = &found;
    options.finding = keep_finding;
    rc = rafs_image_check(image, &options, &result, NULL, err);
    if (found.code != RAFS_OK) {
        *err = found;
        return found.code;
    }
    return rc;
}

/* --- entries with tags ---------------------------------------------------------------
 */

static const uint32_t sizes[64] = {0,    1,    2,    100,  511,   4095,  4096, 4097,
                                   8191, 8192, 8193, 9999, 5000,  3000,  2999, 2998,
                                   1000, 1001, 1002, 1003, 16384, 16383, 1,    0};

uint64_t tagged_size(uint64_t tag)
{
    uint64_t which = tag / 4 % 64;

    return which < 24 ? sizes[which] : which * 521;
}

/* By tag % 4: zeros; a short period; blocks of 4 KiB that others have too; noise. */
void tagged_bytes(uint64_t tag, uint64_t offset, void *buf, size_t len)
{
    uint8_t *out = buf;

    for (size_t i = 0; i < len; i++) {
        uint64_t at = offset + i;
        uint64_t mixed = (at + 1 + tag / 4 % 64 * 77777) * 0x9e3779b97f4a7c15u;

        switch (tag % 4) {
        case 0:
            out[i] = 0;
            break;
        case 1:
            out[i] = (uint8_t)("a short period "[at % 15] + tag / 4 % 8);
            break;
        case 2:
            out[i] = (uint8_t)((at / 4096 + 1) * (at % 251));
            break;
        default:
            out[i] = (uint8_t)((mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9u >> 56);
        }
    }
}

int tagged_read(void *user, void *buf, size_t len, size_t *got, const rafs_call *call,
                rafs_error *err)
{
    struct tagged *tagged = user;
    uint64_t left = tagged_size(tagged->tag) - tagged->at;

    (void)call;
    /* Streams give what they have, not what was asked for. */
    if (len > 3001)
        len = 3001;
    if (len > left)
        len = (size_t)left;
    if (tagged->at + len > tagged->fail_at)
        return rafs_error_set(err, RAFS_E_BACKEND, 5, "tagged", "no more of it");
    tagged_bytes(tagged->tag, tagged->at, buf, len);
    tagged->at += len;
    *got = len;
    return RAFS_OK;
}

static void verify_file(const rafs_image *image, const rafs_attr *attr)
{
    uint64_t tag = (uint64_t)attr->mtime_sec;
    size_t size = (size_t)tagged_size(tag), got = 0;
    uint8_t *have = malloc(size + 1), *want = malloc(size + 1);

    NEED(have && want);
    NEED(attr->size == size);
    NEED(rafs_image_read(image, attr->ino, 0, size + 1, have, &got, NULL, NULL) ==
         RAFS_OK);
    NEED(got == size);
    tagged_bytes(tag, 0, want, size);
    NEED(memcmp(have, want, size) == 0);
    free(have);
    free(want);
}

size_t tagged_verify(const rafs_image *image)
{
    const rafs_walk_entry *entry;
    rafs_walk *walk;
    size_t count = 0;

    NEED(rafs_walk_open(image, "/", 0, &walk, NULL) == RAFS_OK);
    for (;;) {
        NEED(rafs_walk_next(walk, &entry, NULL) == RAFS_OK);
        if (!entry)
            break;
        if (!S_ISREG(entry->attr.mode) || entry->attr.mtime_sec <= 0 ||
            entry->attr.mtime_sec > TAG_MAX)
            continue;
        verify_file(image, &entry->attr);
        count++;
    }
    rafs_walk_close(walk);
    return count;
}
