/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS of the kernel, and fanotify: devices, marks, the mount.
 *
 * A device is a detached mount of the blob's file, and the mark is on that mount. EROFS
 * opens the file through it, so what EROFS reads makes events and what anybody else reads
 * does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mount_words.h"
#include "pump_own.h"

#ifndef FAN_PRE_ACCESS
#define FAN_PRE_ACCESS 0x00100000
#endif
enum { MNT_ID_UNIQUE = 0x4000, WORD_BITS = 64 };

static void proc_path(char *path, size_t room, int fd)
{
    snprintf(path, room, "/proc/self/fd/%d", fd);
}

/* One that is never used again. Asks no file system anything. */
uint64_t mount_id_of(int fd, const char *path)
{
    struct statx stx;
    int flags =
        AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;

    memset(&stx, 0, sizeof stx);
    if (syscall(SYS_statx, fd, path, flags, MNT_ID_UNIQUE, &stx) != 0 ||
        (stx.stx_mask & MNT_ID_UNIQUE) == 0)
        return 0;
    return stx.stx_mnt_id;
}

/* `file` is borrowed. */
bool kernel_device(struct pump *p, uint32_t slot, uint32_t index, int file)
{
    struct stat st;
    int tree, kept;

    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode) || index >= MOUNT_DEVICES_MAX)
        return false;
    kept = fcntl(file, F_DUPFD_CLOEXEC, 0);
    if (kept < 0 || !vault_put(p->vault, slot, VAULT_FILE, index, kept))
        return false;
    tree = (int)syscall(SYS_open_tree, file, "",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    return tree >= 0 && vault_put(p->vault, slot, VAULT_DEVICE, index, tree);
}

/* ---- the map --------------------------------------------------------------------- */

static uint64_t words_of(uint64_t size)
{
    return (size / FILL_BLOCK + WORD_BITS - 1) / WORD_BITS;
}

static const _Atomic uint64_t *bits_of(const struct fill_map *map,
                                       const struct pump_device *d)
{
    return (const _Atomic uint64_t *)((uintptr_t)map + d->bits);
}

bool fill_there(const struct pump *p, const struct place *at, uint64_t begin,
                uint64_t end)
{
    const struct pump_slot *s = &p->slots[at->slot];
    const struct pump_device *d;

    if (!s->map || at->device >= s->device_count)
        return false;
    d = &s->devices[at->device];
    if (end > d->size || begin >= end)
        return false;
    for (uint64_t b = begin / FILL_BLOCK; b * FILL_BLOCK < end; b++) {
        uint64_t word = atomic_load_explicit(&bits_of(s->map, d)[b / WORD_BITS],
                                             memory_order_acquire);

        if ((word >> (b % WORD_BITS) & 1) == 0)
            return false;
    }
    return true;
}

static bool is_complete(const struct fill_map *map, const struct pump_device *d)
{
    uint64_t blocks = d->size / FILL_BLOCK, there = 0;

    for (uint64_t w = 0; w < words_of(d->size); w++)
        there += (uint64_t)__builtin_popcountll(atomic_load(&bits_of(map, d)[w]));
    return there >= blocks;
}

/* A worker wrote it: nothing in it is believed, and nobody can cut it behind us. */
static bool take_device(struct pump *p, uint32_t slot, uint32_t i, char *text)
{
    struct pump_slot *s = &p->slots[slot];
    struct fill_device said = s->map->device[i];
    int tree = vault_get(p->vault, slot, VAULT_DEVICE, i);
    struct stat st;

    if (tree < 0 || fstat(tree, &st) != 0) {
        snprintf(text, MOUNT_TEXT, "device %u: its file is missing", i);
        return false;
    }
    if (said.size % FILL_BLOCK != 0 || said.size > (uint64_t)st.st_size ||
        said.size / FILL_BLOCK > UINT32_MAX || /* more than EROFS knows */
        said.bits % sizeof(uint64_t) != 0 || said.bits < sizeof(struct fill_map) ||
        said.bits > s->map_len ||
        words_of(said.size) > (s->map_len - said.bits) / sizeof(uint64_t)) {
        snprintf(text, MOUNT_TEXT, "device %u: %llu bytes in the map, %llu in its file",
                 i, (unsigned long long)said.size, (unsigned long long)st.st_size);
        return false;
    }
    s->devices[i] = (struct pump_device){.size = said.size, .bits = said.bits};
    return true;
}

static bool map_map(struct pump *p, uint32_t slot, char *text)
{
    struct pump_slot *s = &p->slots[slot];
    int fd = pump_fd(p, slot, VAULT_MAP);
    struct stat st;
    int seals = fd < 0 ? 0 : fcntl(fd, F_GET_SEALS);

    /* A file that has no seals could be cut, and we would die of looking. */
    if (fd < 0 || seals < 0 || fstat(fd, &st) != 0 ||
        st.st_size < (off_t)sizeof(struct fill_map) ||
        (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)) {
        snprintf(text, MOUNT_TEXT, "the worker gave no map that can be used");
        return false;
    }
    s->map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        snprintf(text, MOUNT_TEXT, "map: %s", strerror(errno));
        return false;
    }
    s->map_len = (size_t)st.st_size;
    return true;
}

/* ---- who is who ------------------------------------------------------------------ */

static bool add_place(struct pump *p, uint64_t mount_id, uint32_t slot, uint32_t device)
{
    size_t at = p->place_count;

    if (p->place_count == p->place_room) {
        size_t room = p->place_room ? 2 * p->place_room : 64;
        struct place *places = realloc(p->places, room * sizeof *places);

        if (!places)
            return false;
        p->places = places;
        p->place_room = room;
    }
    /* Numbers grow: it is the last one, or nearly. */
    for (; at > 0 && p->places[at - 1].mount_id > mount_id; at--)
        p->places[at] = p->places[at - 1];
    p->places[at] = (struct place){.mount_id = mount_id, .slot = slot, .device = device};
    p->place_count++;
    return true;
}

static void remove_places(struct pump *p, uint32_t slot)
{
    size_t out = 0;

    for (size_t i = 0; i < p->place_count; i++) {
        if (p->places[i].slot != slot)
            p->places[out++] = p->places[i];
    }
    p->place_count = out;
}

static bool take_devices(struct pump *p, uint32_t slot, uint32_t count, char *text)
{
    struct pump_slot *s = &p->slots[slot];

    s->devices = calloc(count ? count : 1, sizeof *s->devices);
    if (!s->devices) {
        snprintf(text, MOUNT_TEXT, "out of memory");
        return false;
    }
    s->device_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id;

        if (!take_device(p, slot, i, text))
            return false;
        id = mount_id_of(vault_get(p->vault, slot, VAULT_DEVICE, i), "");
        if (id == 0 || !add_place(p, id, slot, i)) {
            snprintf(text, MOUNT_TEXT,
                     "device %u: the kernel does not say which mount it is", i);
            return false;
        }
    }
    return true;
}

bool kernel_take(struct pump *p, uint32_t slot, char *text)
{
    struct pump_slot *s = &p->slots[slot];
    uint32_t count = slot_at(p, slot)->devices;

    if (s->map)
        return true;
    if (count > MOUNT_DEVICES_MAX || pump_fd(p, slot, VAULT_META) < 0) {
        snprintf(text, MOUNT_TEXT, "the worker gave no metadata");
        return false;
    }
    if (!map_map(p, slot, text))
        return false;
    if (s->map->version != MOUNT_VERSION || s->map->devices != count) {
        snprintf(text, MOUNT_TEXT, "the map is of %u devices, the mount of %u",
                 s->map->devices, count);
        return false;
    }
    return take_devices(p, slot, count, text);
}

void kernel_release(struct pump *p, uint32_t slot)
{
    struct pump_slot *s = &p->slots[slot];

    remove_places(p, slot);
    if (s->map)
        munmap(s->map, s->map_len);
    free(s->devices);
    s->map = NULL;
    s->devices = NULL;
    s->device_count = 0;
}

/* ---- marks ----------------------------------------------------------------------- */

bool kernel_mark(struct pump *p, uint32_t slot, uint32_t device, bool on)
{
    struct pump_slot *s = &p->slots[slot];
    char path[PATH_MAX];

    proc_path(path, sizeof path, vault_get(p->vault, slot, VAULT_DEVICE, device));
    if (fanotify_mark(pump_fd(p, 0, VAULT_GROUP),
                      (on ? FAN_MARK_ADD : FAN_MARK_REMOVE) | FAN_MARK_MOUNT,
                      FAN_PRE_ACCESS, AT_FDCWD, path) != 0 &&
        (on || errno != ENOENT))
        return false;
    s->devices[device].marked = on;
    atomic_store(&s->map->device[device].marked, on);
    return true;
}

static bool mark_all(struct pump *p, uint32_t slot, char *text)
{
    for (uint32_t i = 0; i < p->slots[slot].device_count; i++) {
        if (!kernel_mark(p, slot, i, true)) {
            snprintf(
                text, MOUNT_TEXT,
                "device %u: its file system has no pre-content events: %s; ext4, xfs "
                "and btrfs have them, since Linux 6.14",
                i, strerror(errno));
            return false;
        }
    }
    return true;
}

void kernel_look(struct pump *p, uint32_t slot)
{
    struct pump_slot *s = &p->slots[slot];
    struct mount_slot *said = slot_at(p, slot);
    bool recording = atomic_load(&said->recording) != 0;
    uint32_t marked = 0;

    if (said->fence) { /* the worker opens it, and says when all is open */
        if (recording)
            atomic_store(&said->complete, 0);
        return;
    }
    for (uint32_t i = 0; i < s->device_count; i++) {
        struct pump_device *d = &s->devices[i];
        uint64_t blocks = atomic_load(&s->map->device[i].blocks);

        if (recording && !d->marked && kernel_mark(p, slot, i, true))
            d->seen = UINT64_MAX;
        if (!recording && d->marked && blocks != d->seen) {
            d->seen = blocks;
            if (blocks >= d->size / FILL_BLOCK && is_complete(s->map, d))
                kernel_mark(p, slot, i, false);
        }
        marked += d->marked;
    }
    atomic_store(&said->complete, marked == 0);
}

/* ---- the mount ------------------------------------------------------------------- */

/* What the kernel says about what it refused. */
static void say_why(int fs, const char *what, char *text)
{
    char why[256];
    int error = errno;
    ssize_t n = fs < 0 ? -1 : read(fs, why, sizeof why - 1);

    if (n > 2) {
        why[why[n - 1] == '\n' ? n - 1 : n] = '\0';
        snprintf(text, MOUNT_TEXT, "%s: %s (%s)", what, why + 2, strerror(error));
    } else {
        snprintf(text, MOUNT_TEXT, "%s: %s", what, strerror(error));
    }
}

static bool set(int fs, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
                   value, 0) == 0;
}

static bool set_words(int fs, const char *options, char *text)
{
    char *copy = strdup(options), *rest = copy, *word;
    bool good = copy != NULL;

    while (good && (word = mount_word(&rest)) != NULL) {
        char *value = strchr(word, '=');

        if (value)
            *value++ = '\0';
        if (*word && !set(fs, word, value)) {
            say_why(fs, word, text);
            good = false;
        }
    }
    free(copy);
    return good;
}

/* mountinfo shows this instead of a number: what a later daemon of this name finds there
 * is its dead predecessor's. */
static bool set_source(struct pump *p, int fs, uint32_t slot)
{
    char link[MOUNT_PATH + 128], target[64];
    bool good;

    snprintf(link, sizeof link, "%s/%s.%u", p->vault->state, p->vault->name,
             slot_at(p, slot)->number);
    proc_path(target, sizeof target, pump_fd(p, slot, VAULT_META));
    unlink(link);
    good = symlink(target, link) == 0 && set(fs, "source", link) && set(fs, "ro", NULL);
    return good;
}

static void remove_source(struct pump *p, uint32_t slot)
{
    char link[MOUNT_PATH + 128];

    snprintf(link, sizeof link, "%s/%s.%u", p->vault->state, p->vault->name,
             slot_at(p, slot)->number);
    unlink(link);
}

/* Behind a fence each blob has two: first what stands in front, then the bytes. */
static bool set_fence(struct pump *p, int fs, uint32_t slot)
{
    char path[64];

    for (uint32_t i = 0; i < p->slots[slot].device_count; i++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d/%u",
                 pump_fd(p, slot, VAULT_FENCE_ROOT), i);
        if (!set(fs, "device", path))
            return false;
    }
    return true;
}

static bool set_devices(struct pump *p, int fs, uint32_t slot)
{
    char path[64];

    if (slot_at(p, slot)->fence && !set_fence(p, fs, slot))
        return false;
    for (uint32_t i = 0; i < p->slots[slot].device_count; i++) {
        proc_path(path, sizeof path, vault_get(p->vault, slot, VAULT_DEVICE, i));
        if (!set(fs, "device", path))
            return false;
    }
    return true;
}

static unsigned attributes(unsigned long flags)
{
    static const struct {
        unsigned long flag;
        unsigned attribute;
    } table[] = {{MS_NOSUID, MOUNT_ATTR_NOSUID},
                 {MS_NODEV, MOUNT_ATTR_NODEV},
                 {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
                 {MS_NOATIME, MOUNT_ATTR_NOATIME},
                 {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME}};
    unsigned out = MOUNT_ATTR_RDONLY;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (flags & table[i].flag)
            out |= table[i].attribute;
    }
    return out;
}

int kernel_make(struct pump *p, uint32_t slot, const struct mount_words *words,
                char *text)
{
    int fs = (int)syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC);
    int tree = -1, why;

    if (fs < 0) {
        say_why(-1, "EROFS", text);
        return -1;
    }
    if (!set_source(p, fs, slot) || !set_devices(p, fs, slot)) {
        say_why(fs, "EROFS", text);
    } else if (set_words(fs, words->kernel, text)) {
        if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
            say_why(fs, "EROFS", text);
        else if ((tree = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                                      attributes(words->flags))) < 0)
            say_why(fs, "EROFS", text);
    }
    remove_source(p, slot);
    close(fs);
    if (tree >= 0 && (why = mount_ids_apply(tree, words)) != 0) {
        snprintf(text, MOUNT_TEXT, "maps of owners: %s", strerror(why));
        close(tree);
        tree = -1;
    }
    return tree;
}

/* We hear when it is gone, whoever unmounts it. */
static bool watch_root(struct pump *p, uint32_t slot, int tree)
{
    char path[64];
    int watch;

    proc_path(path, sizeof path, tree);
    watch = inotify_add_watch(pump_fd(p, 0, VAULT_GONE), path, IN_DELETE_SELF);
    if (watch < 0)
        return false;
    atomic_store(&p->vault->slots[slot].watch, watch + 1);
    return true;
}

static bool attach(struct pump *p, uint32_t slot, int tree, const char *dir)
{
    uint64_t id = mount_id_of(tree, "");

    if (id == 0 || !watch_root(p, slot, tree))
        return false;
    atomic_store(&p->vault->slots[slot].mount_id, id);
    return syscall(SYS_move_mount, tree, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

bool kernel_attach(struct pump *p, uint32_t slot, int tree, const char *dir, char *text)
{
    bool good = attach(p, slot, tree, dir);

    if (!good)
        say_why(-1, dir, text);
    close(tree);
    return good;
}

bool kernel_is_mounted(const struct pump *p, uint32_t slot, const char *dir)
{
    uint64_t before = atomic_load(&p->vault->slots[slot].mount_id);

    return before != 0 && mount_id_of(AT_FDCWD, dir) == before;
}

bool kernel_mount(struct pump *p, uint32_t slot, const struct mount_options *o,
                  char *text)
{
    int tree;

    if (pump_fd(p, 0, VAULT_GROUP) < 0) {
        snprintf(text, MOUNT_TEXT,
                 "no fanotify group with pre-content events; needs root "
                 "and Linux 6.14, or use --via fuse");
        return false;
    }
    if (!kernel_take(p, slot, text) || !mark_all(p, slot, text))
        return false;
    if (kernel_is_mounted(p, slot, o->dir))
        return true;
    tree = kernel_make(p, slot, &o->words, text);
    return tree >= 0 && kernel_attach(p, slot, tree, o->dir, text);
}
