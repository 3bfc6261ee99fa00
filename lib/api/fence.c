/* SPDX-License-Identifier: Apache-2.0 */
#include "rafs/fence.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "api/api.h"

/*
 * The mounted file differs from the image's bootstrap in three places: the number of
 * devices and the place of their slots in the super block, the slots, and the byte of
 * each entry of a chunk that names its device. That byte is written alone, so whoever
 * reads the entry meanwhile sees one device or the other.
 */

enum {
    DEVICES_FIELD = V6_SUPER_AT + 86, /* u16, followed by the first slot's u16 */
    DEVICE_BYTE = 2,                  /* of an entry */
    FENCED_MAX = V6_BLOBS_MAX / 2,
    HELD_MAX = 64 << 20 /* a bootstrap up to this size is in memory for the index */
};

/* Of a blob, after the index was made. */
struct fence_blob {
    struct fence_entries entries;
    atomic_uint_least64_t *opened; /* a bit for each item, then for each run */
};

struct rafs_fence {
    struct rafsi_env env;
    const struct rafsi_tree *tree;
    int fd;
    uint32_t blobs;
    struct fence_blob *blob;
    atomic_bool indexed;
    atomic_uint_least64_t entries, open;
};

static int fail_file(rafs_error *err, int os_errno, const char *what)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_METADATA, os_errno,
                         "mounted bootstrap", "%s", what);
}

static int write_at(int fd, uint64_t at, const void *bytes, size_t len, rafs_error *err)
{
    const uint8_t *from = bytes;

    while (len > 0) {
        ssize_t n = pwrite(fd, from, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_file(err, n < 0 ? errno : EIO, "cannot be written");
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return RAFS_OK;
}

static int read_at(int fd, uint64_t at, void *bytes, size_t len, rafs_error *err)
{
    size_t got = 0;
    int rc = rafsi_file_read(fd, at, bytes, len, &got, err);

    if (rc == RAFS_OK && got < len)
        rc = rafsi_fail_at(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "fd", at,
                           "is shorter than the image's bootstrap");
    return rc;
}

/* ---- devices -------------------------------------------------------------------- */

/* Slots for all, those of the image twice. */
static int write_slots(const struct rafs_fence *fence, uint64_t to, rafs_error *err)
{
    size_t bytes = (size_t)fence->blobs * V6_DEVICE_BYTES;
    uint8_t *slots = rafsi_alloc(&fence->env, 2 * bytes);
    int rc;

    if (!slots)
        return rafsi_fail_nomem(err, 2 * bytes);
    rc = rafsi_source_read(fence->tree->source, V6_DEVICES_AT, bytes, slots, err);
    if (rc == RAFS_OK) {
        memcpy(slots + bytes, slots, bytes);
        rc = write_at(fence->fd, to, slots, 2 * bytes, err);
    }
    rafsi_free(&fence->env, slots);
    return rc;
}

/* May the slots grow where they are? What follows them up to the end of the block is
 * padding where no table and no inode begins in it, and it is all zeros. */
static int room_behind(const struct rafs_fence *fence, bool *out, rafs_error *err)
{
    uint8_t padding[V6_BLOCK_BYTES];
    size_t used = (size_t)fence->blobs * V6_DEVICE_BYTES;
    int rc;

    *out = false;
    if (V6_DEVICES_AT + 2 * used > V6_BLOCK_BYTES)
        return RAFS_OK;
    rc = rafsi_source_read(fence->tree->source, V6_DEVICES_AT + used, used, padding, err);
    *out = rc == RAFS_OK && rafsi_all_zero(padding, used);
    return rc;
}

static int add_devices(const struct rafs_fence *fence, uint64_t size, rafs_error *err)
{
    uint64_t at = V6_DEVICES_AT;
    uint8_t field[4];
    struct pen pen = pen_of(field, sizeof(field));
    bool behind = false;
    int rc = room_behind(fence, &behind, err);

    if (rc == RAFS_OK && !behind) {
        at = size;
        if (at / V6_DEVICE_BYTES > UINT16_MAX)
            return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                              "no room for %u more devices in a bootstrap of %llu bytes",
                              fence->blobs, (unsigned long long)size);
    }
    if (rc == RAFS_OK)
        rc = write_slots(fence, at, err);
    put_u16(&pen, (uint16_t)(2 * fence->blobs));
    put_u16(&pen, (uint16_t)(at / V6_DEVICE_BYTES));
    /* Whole blocks: EROFS reads no others. 254 slots are less than 8 blocks. */
    if (rc == RAFS_OK && !behind &&
        ftruncate(fence->fd, (off_t)(at + 8 * V6_BLOCK_BYTES)) != 0)
        rc = fail_file(err, errno, "cannot grow");
    return rc == RAFS_OK ? write_at(fence->fd, DEVICES_FIELD, field, sizeof(field), err)
                         : rc;
}

/* Does the file hold this image's super blocks, and is the fence there already? */
static int look_at(const struct rafs_fence *fence, bool *fenced, uint64_t *size,
                   rafs_error *err)
{
    enum { BYTES = V6_SUPER_BYTES + V6_EXT_SUPER_BYTES, FIELD = 86 };
    uint8_t ours[BYTES], theirs[BYTES];
    struct cursor c;
    uint32_t devices;
    int rc = rafsi_file_size(fence->fd, size, err);

    if (rc == RAFS_OK)
        rc = rafsi_source_read(fence->tree->source, V6_SUPER_AT, BYTES, ours, err);
    if (rc == RAFS_OK)
        rc = read_at(fence->fd, V6_SUPER_AT, theirs, BYTES, err);
    if (rc < 0)
        return rc;
    c = cursor_of((struct span){theirs + FIELD, 2, V6_SUPER_AT + FIELD});
    devices = take_u16(&c);
    *fenced = devices == 2 * fence->blobs && fence->blobs > 0;
    memcpy(theirs + FIELD, ours + FIELD, *fenced ? 4 : 0);
    if (memcmp(ours, theirs, BYTES) != 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "fd",
                          "holds another bootstrap than the image's");
    return RAFS_OK;
}

int rafs_fence_new(const rafs_image *image, int32_t fd, rafs_fence **out, rafs_error *err)
{
    struct rafs_fence *fence;
    uint64_t size = 0;
    bool fenced = false;
    int rc;

    if (!image || !out)
        return rafsi_fail_null(err, image ? "out" : "image");
    if (image->tree->super.version != 6)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image",
                          "is of version 5; see rafs_image_write_erofs()");
    if (image->tree->super.blob_count > FENCED_MAX)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "image",
                          "has %u blobs; a fence is for up to %d",
                          image->tree->super.blob_count, FENCED_MAX);
    fence = rafsi_alloc_zero(&image->env, sizeof(*fence));
    if (!fence)
        return rafsi_fail_nomem(err, sizeof(*fence));
    fence->env = image->env;
    fence->tree = image->tree;
    fence->fd = -1;
    fence->blobs = image->tree->super.blob_count;
    fence->blob =
        rafsi_alloc_zero(&image->env, (fence->blobs + 1u) * sizeof(*fence->blob));
    rc = fence->blob ? rafsi_file_dup(fd, &fence->fd, err)
                     : rafsi_fail_nomem(err, fence->blobs * sizeof(*fence->blob));
    if (rc == RAFS_OK)
        rc = look_at(fence, &fenced, &size, err);
    if (rc == RAFS_OK && !fenced && fence->blobs > 0)
        rc = add_devices(fence, size, err);
    if (rc == RAFS_OK)
        *out = fence;
    else
        rafs_fence_free(fence);
    return rc;
}

void rafs_fence_free(rafs_fence *fence)
{
    if (!fence)
        return;
    for (uint32_t i = 0; fence->blob && i < fence->blobs; i++) {
        rafsi_free(&fence->env, fence->blob[i].entries.items);
        rafsi_free(&fence->env, fence->blob[i].entries.runs);
        rafsi_free(&fence->env, fence->blob[i].opened);
    }
    if (fence->fd >= 0)
        close(fence->fd);
    rafsi_free(&fence->env, fence->blob);
    rafsi_free(&fence->env, fence);
}

/* ---- entries -------------------------------------------------------------------- */

static uint8_t device_of(const struct rafs_fence *fence, uint32_t blob, bool open)
{
    return (uint8_t)(blob + 1 + (open ? fence->blobs : 0));
}

static uint64_t item_at(const struct fence_blob *blob, uint64_t i)
{
    const struct fence_entries *entries = &blob->entries;

    return i < entries->count ? entries->items[i]
                              : entries->runs[i - entries->count].item;
}

/* What a process before us has opened. */
static int look_at_entries(struct rafs_fence *fence, uint32_t number, rafs_error *err)
{
    struct fence_blob *blob = &fence->blob[number];
    uint64_t count = blob->entries.count + blob->entries.run_count;
    uint8_t window[V6_BLOCK_BYTES];
    uint64_t from = UINT64_MAX; /* of the window; entries come in the order of chunks */
    int rc = RAFS_OK;

    for (uint64_t i = 0; rc == RAFS_OK && i < count; i++) {
        uint64_t at = rafsi_fence_entry_at(item_at(blob, i));

        if (from == UINT64_MAX || at / V6_BLOCK_BYTES != from / V6_BLOCK_BYTES) {
            from = at - at % V6_BLOCK_BYTES;
            rc = read_at(fence->fd, from, window, sizeof(window), err);
        }
        if (rc == RAFS_OK &&
            window[at - from + DEVICE_BYTE] == device_of(fence, number, true)) {
            atomic_fetch_or(&blob->opened[i / 64], (uint64_t)1 << i % 64);
            atomic_fetch_add(&fence->open, 1);
        }
    }
    return rc;
}

static int adopt(struct rafs_fence *fence, uint32_t number, struct fence_entries *from,
                 rafs_error *err)
{
    struct fence_blob *blob = &fence->blob[number];
    uint64_t count = from->count + from->run_count;
    size_t bytes = (size_t)(count / 64 + 1) * sizeof(*blob->opened);

    blob->opened = rafsi_alloc_zero(&fence->env, bytes);
    if (!blob->opened)
        return rafsi_fail_nomem(err, bytes);
    blob->entries = *from;
    *from = (struct fence_entries){0};
    atomic_fetch_add(&fence->entries, count);
    return look_at_entries(fence, number, err);
}

static void forget(struct rafs_fence *fence)
{
    for (uint32_t i = 0; i < fence->blobs; i++) {
        rafsi_free(&fence->env, fence->blob[i].entries.items);
        rafsi_free(&fence->env, fence->blob[i].entries.runs);
        rafsi_free(&fence->env, fence->blob[i].opened);
        fence->blob[i] = (struct fence_blob){0};
    }
    atomic_store(&fence->entries, 0);
    atomic_store(&fence->open, 0);
}

int rafs_fence_index(rafs_fence *fence, const rafs_call *call, rafs_error *err)
{
    struct fence_entries *found;
    struct v6_owners *owners = NULL;
    struct rafsi_tree *held = NULL;
    rafs_call own;
    int rc;

    if (!fence)
        return rafsi_fail_null(err, "fence");
    if (atomic_load(&fence->indexed))
        return RAFS_OK;
    rc = rafsi_call_take(call, &own, err);
    if (rc < 0)
        return rc;
    found = rafsi_alloc_zero(&fence->env, (fence->blobs + 1u) * sizeof(*found));
    if (!found)
        return rafsi_fail_nomem(err, fence->blobs * sizeof(*found));
    if (rafsi_source_size(fence->tree->source) <= HELD_MAX)
        rc = rafsi_tree_hold(fence->tree, &own, &held, err);
    if (rc == RAFS_OK)
        rc = rafsi_fence_collect(held ? held : fence->tree, &own, found, &owners, err);
    /* Whoever fills what the kernel reads is told which file that is. */
    if (owners)
        rafsi_v6_owners_publish(fence->tree, owners);
    rafsi_tree_close(held);
    for (uint32_t i = 0; rc == RAFS_OK && i < fence->blobs; i++)
        rc = adopt(fence, i, &found[i], err);
    if (rc == RAFS_OK)
        atomic_store(&fence->indexed, true);
    else
        forget(fence);
    rafsi_fence_entries_free(fence->tree, found);
    rafsi_free(&fence->env, found);
    return rc;
}

/* One entry to the other device, unless it leads there. */
static int turn(struct rafs_fence *fence, uint32_t number, uint64_t i, bool open,
                rafs_error *err)
{
    struct fence_blob *blob = &fence->blob[number];
    uint64_t bit = (uint64_t)1 << i % 64;
    uint8_t device = device_of(fence, number, open);
    uint64_t before = open ? atomic_fetch_or(&blob->opened[i / 64], bit)
                           : atomic_fetch_and(&blob->opened[i / 64], ~bit);
    int rc;

    if (!(before & bit) != open)
        return RAFS_OK;
    rc = write_at(fence->fd, rafsi_fence_entry_at(item_at(blob, i)) + DEVICE_BYTE,
                  &device, 1, err);
    if (rc < 0 && open)
        atomic_fetch_and(&blob->opened[i / 64], ~bit);
    else if (rc < 0)
        atomic_fetch_or(&blob->opened[i / 64], bit);
    else if (open)
        atomic_fetch_add(&fence->open, 1);
    else
        atomic_fetch_sub(&fence->open, 1);
    return rc;
}

/* What a call is about. */
struct turning {
    rafs_fence *fence;
    uint32_t blob;
    uint64_t begin, end;
    rafs_fence_there there; /* NULL: it is shut */
    void *user;
};

static int check(const struct turning *t, rafs_error *err)
{
    if (!t->fence)
        return rafsi_fail_null(err, "fence");
    if (t->blob >= t->fence->blobs || !atomic_load(&t->fence->indexed))
        return rafsi_fail(
            err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "fence",
            t->blob >= t->fence->blobs ? "there is no blob %u" : "has no index", t->blob);
    return RAFS_OK;
}

static int turn_items(const struct turning *t, rafs_error *err)
{
    const struct fence_entries *entries = &t->fence->blob[t->blob].entries;
    int rc = RAFS_OK;

    for (uint64_t i = rafsi_fence_first(entries, t->begin);
         rc == RAFS_OK && i < entries->count &&
         rafsi_fence_offset(entries->items[i]) < t->end;
         i++)
        rc = turn(t->fence, t->blob, i, t->there != NULL, err);
    return rc;
}

/* There are few of them, as files are that are larger than a chunk. */
static int turn_runs(const struct turning *t, rafs_error *err)
{
    const struct fence_entries *entries = &t->fence->blob[t->blob].entries;
    int rc = RAFS_OK;

    for (uint64_t i = 0; rc == RAFS_OK && i < entries->run_count; i++) {
        uint64_t begin = rafsi_fence_offset(entries->runs[i].item);
        uint64_t end = begin + entries->runs[i].bytes;

        if (begin >= t->end)
            break;
        if (end > t->begin && (!t->there || t->there(t->user, t->blob, begin, end)))
            rc = turn(t->fence, t->blob, entries->count + i, t->there != NULL, err);
    }
    return rc;
}

static int turn_all(const struct turning *t, rafs_error *err)
{
    int rc = check(t, err);

    if (rc == RAFS_OK)
        rc = turn_items(t, err);
    return rc == RAFS_OK ? turn_runs(t, err) : rc;
}

int rafs_fence_open(rafs_fence *fence, uint32_t blob, uint64_t begin, uint64_t end,
                    rafs_fence_there there, void *user, rafs_error *err)
{
    struct turning t = {fence, blob, begin, end, there, user};

    return there ? turn_all(&t, err) : rafsi_fail_null(err, "there");
}

int rafs_fence_shut(rafs_fence *fence, uint32_t blob, uint64_t begin, uint64_t end,
                    rafs_error *err)
{
    struct turning t = {fence, blob, begin, end, NULL, NULL};

    return turn_all(&t, err);
}

int rafs_fence_get_info(const rafs_fence *fence, rafs_fence_info *info, rafs_error *err)
{
    rafs_fence_info now = RAFS_FENCE_INFO_INIT;

    if (!fence || !info)
        return rafsi_fail_null(err, fence ? "info" : "fence");
    now.blobs = fence->blobs;
    now.entries = atomic_load(&fence->entries);
    now.open = atomic_load(&fence->open);
    return rafsi_give_struct(&now, sizeof(now), info, "rafs_fence_info", err);
}
