/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors by slot, role and index. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vault.h"

struct vault *vault_new(void)
{
    int fd = memfd_create("rafs-vault", MFD_CLOEXEC);
    struct vault *vault;
    int why;

    if (fd < 0)
        return NULL;
    if (ftruncate(fd, sizeof *vault) == 0) {
        vault = mmap(NULL, sizeof *vault, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (vault != MAP_FAILED) {
            vault->version = MOUNT_VERSION;
            vault->size = sizeof *vault;
            vault->holder = vault->pump = -1;
            atomic_store(&vault->slots[0].fd[VAULT_VAULT], fd + 1);
            return vault;
        }
    }
    why = errno;
    close(fd);
    errno = why;
    return NULL;
}

static const _Atomic int32_t *entry_of(const struct vault *vault, uint32_t slot,
                                       uint32_t role, uint32_t index)
{
    if (slot >= MOUNTS_MAX || role >= VAULT_ROLES)
        return NULL;
    if (role == VAULT_DEVICE || role == VAULT_FILE) {
        if (index >= MOUNT_DEVICES_MAX)
            return NULL;
        return role == VAULT_DEVICE ? &vault->slots[slot].device[index]
                                    : &vault->slots[slot].file[index];
    }
    return index == 0 ? &vault->slots[slot].fd[role] : NULL;
}

int vault_get(const struct vault *vault, uint32_t slot, uint32_t role, uint32_t index)
{
    const _Atomic int32_t *entry = entry_of(vault, slot, role, index);

    return entry ? kept_fd(entry) : -1;
}

void kept_close(_Atomic int32_t *entry)
{
    int fd = atomic_exchange(entry, 0) - 1;

    if (fd >= 0)
        close(fd);
}

bool vault_put(struct vault *vault, uint32_t slot, uint32_t role, uint32_t index, int fd)
{
    struct kept_slot *kept = slot < MOUNTS_MAX ? &vault->slots[slot] : NULL;
    _Atomic int32_t *entry;
    int before;

    if (!entry_of(vault, slot, role, index) || fd < 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    entry = role == VAULT_DEVICE ? &kept->device[index]
            : role == VAULT_FILE ? &kept->file[index]
                                 : &kept->fd[role];
    before = atomic_exchange(entry, fd + 1) - 1;
    if (before >= 0 && before != fd)
        close(before);
    return true;
}

void vault_drop(struct vault *vault, uint32_t slot)
{
    struct kept_slot *kept;

    if (slot == 0 || slot >= MOUNTS_MAX)
        return;
    kept = &vault->slots[slot];
    for (uint32_t role = 0; role < VAULT_ROLES; role++)
        kept_close(&kept->fd[role]);
    for (uint32_t i = 0; i < MOUNT_DEVICES_MAX; i++) {
        kept_close(&kept->device[i]);
        kept_close(&kept->file[i]);
    }
}

/* ---- what is not ours ------------------------------------------------------------ */

struct numbers {
    int *list;
    size_t count, room;
};

static bool note(struct numbers *n, int fd)
{
    if (fd < 0)
        return true;
    if (n->count == n->room) {
        size_t room = n->room ? 2 * n->room : 256;
        int *list = realloc(n->list, room * sizeof *list);

        if (!list)
            return false;
        n->list = list;
        n->room = room;
    }
    n->list[n->count++] = fd;
    return true;
}

static bool note_slot(struct numbers *n, const struct kept_slot *kept)
{
    bool good = true;

    for (uint32_t role = 0; good && role < VAULT_ROLES; role++)
        good = note(n, kept_fd(&kept->fd[role]));
    for (uint32_t i = 0; good && i < MOUNT_DEVICES_MAX; i++)
        good = note(n, kept_fd(&kept->device[i])) && note(n, kept_fd(&kept->file[i]));
    return good;
}

static bool note_kept(struct numbers *n, const struct vault *vault)
{
    bool good = true;

    for (uint32_t slot = 0; good && slot < MOUNTS_MAX; slot++)
        good = note_slot(n, &vault->slots[slot]);
    for (uint32_t i = 0; good && i < EVENTS_MAX; i++)
        good = note(n, kept_fd(&vault->events[i].fd));
    return good;
}

static bool note_all(struct numbers *n, const struct vault *vault)
{
    bool good = note_kept(n, vault) && note(n, vault->holder) && note(n, vault->pump);

    for (int fd = 0; good && fd < VAULT_FOREIGN; fd++) {
        if (fd <= 2 || (vault->foreign[fd / 64] >> (fd % 64) & 1) != 0)
            good = note(n, fd);
    }
    return good;
}

static int in_order(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static void close_between(unsigned first, unsigned last)
{
    if (first <= last)
        syscall(SYS_close_range, first, last, 0);
}

static void close_others(struct numbers *n)
{
    unsigned next = 0;

    qsort(n->list, n->count, sizeof *n->list, in_order);
    for (size_t i = 0; i < n->count; i++) {
        if ((unsigned)n->list[i] > next)
            close_between(next, (unsigned)n->list[i] - 1);
        next = (unsigned)n->list[i] + 1;
    }
    close_between(next, ~0U);
}

void vault_sweep(const struct vault *vault, int also)
{
    struct numbers n = {0};

    if (note_all(&n, vault) && note(&n, also))
        close_others(&n);
    free(n.list);
}

void vault_keep_mount(const struct vault *vault, uint32_t slot, int socket)
{
    struct numbers n = {0};
    bool good = note(&n, 0) && note(&n, 1) && note(&n, 2) && note(&n, socket) &&
                note(&n, vault_get(vault, slot, VAULT_META, 0)) &&
                note(&n, vault_get(vault, slot, VAULT_FENCE_ROOT, 0));

    for (uint32_t i = 0; good && i < MOUNT_DEVICES_MAX; i++)
        good = note(&n, vault_get(vault, slot, VAULT_DEVICE, i));
    if (good)
        close_others(&n);
    free(n.list);
}

void vault_inherit(const struct vault *vault, bool inherit)
{
    struct numbers n = {0};

    if (note_kept(&n, vault)) {
        for (size_t i = 0; i < n.count; i++)
            fcntl(n.list[i], F_SETFD, inherit ? 0 : FD_CLOEXEC);
    }
    free(n.list);
}

void vault_note_foreign(struct vault *vault, int ours)
{
    struct numbers n = {0};

    memset(vault->foreign, 0, sizeof vault->foreign);
    for (int fd = 0; fd < VAULT_FOREIGN; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            vault->foreign[fd / 64] |= (uint64_t)1 << (fd % 64);
    }
    if (note_kept(&n, vault) && note(&n, ours)) {
        for (size_t i = 0; i < n.count; i++) {
            if (n.list[i] < VAULT_FOREIGN)
                vault->foreign[n.list[i] / 64] &= ~((uint64_t)1 << (n.list[i] % 64));
        }
    }
    free(n.list);
}

/* ---- what a worker gets ---------------------------------------------------------- */

static bool is_workers(uint32_t slot, uint32_t role)
{
    if (slot == 0)
        return role == VAULT_TABLE || role == VAULT_WAKE_PUMP ||
               role == VAULT_WAKE_WORKER;
    return role == VAULT_ARGS || role == VAULT_META || role == VAULT_LAYOUT ||
           role == VAULT_MAP || role == VAULT_FUSE || role == VAULT_INIT ||
           role == VAULT_FENCE;
}

struct vault *vault_for_worker(const struct vault *vault)
{
    struct vault *mine = mmap(NULL, sizeof *mine, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mine == MAP_FAILED)
        return NULL;
    mine->holder = mine->pump = -1;
    memcpy(mine->foreign, vault->foreign, sizeof mine->foreign);
    for (uint32_t slot = 0; slot < MOUNTS_MAX; slot++) {
        for (uint32_t role = 0; role < VAULT_ROLES; role++) {
            int fd = kept_fd(&vault->slots[slot].fd[role]);

            if (fd >= 0 && is_workers(slot, role))
                atomic_store(&mine->slots[slot].fd[role], fd + 1);
        }
        for (uint32_t i = 0; i < MOUNT_DEVICES_MAX; i++)
            atomic_store(&mine->slots[slot].file[i],
                         kept_fd(&vault->slots[slot].file[i]) + 1);
    }
    return mine;
}

void vault_free(struct vault *vault)
{
    if (vault)
        munmap(vault, sizeof *vault);
}
