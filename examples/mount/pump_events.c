/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers who wait: from the kernel's queue into the table, and answers back.
 *
 * The order of each step is such that a pump that is killed between any two of them
 * leaves an event that the next one finds: in the buffer, or entered; never nowhere. To
 * answer an event twice is harmless, for the kernel no longer knows it and its
 * descriptor, whose number names it, is closed last.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pump_own.h"

/* Newer than some C library's headers. */
struct range_info {
    struct fanotify_event_info_header header;
    uint32_t reserved;
    uint64_t offset, count;
};
enum {
    INFO_RANGE = 6,
    EVENT_BYTES = sizeof(struct fanotify_event_metadata) + sizeof(struct range_info)
};

static struct mount_event *shown(struct pump *p, uint32_t i)
{
    return &p->table->events[i];
}

static struct kept_event *kept(struct pump *p, uint32_t i)
{
    return &p->vault->events[i];
}

/* The kernel takes few numbers. */
static void answer_kernel(struct pump *p, int fd, int answer)
{
    struct fanotify_response r = {.fd = fd, .response = FAN_ALLOW};
    int group = pump_fd(p, 0, VAULT_GROUP);

    if (answer != 0)
        r.response = FAN_DENY | (uint32_t)answer << 24;
    while (write(group, &r, sizeof r) < 0) {
        if (errno == EINTR || errno == EAGAIN)
            continue;
        if (errno != EINVAL || answer == 0 || answer == EIO)
            break; /* ENOENT: the reader was killed, or had its answer */
        answer = EIO;
        r.response = FAN_DENY | (uint32_t)EIO << 24;
    }
}

/* ---- entries --------------------------------------------------------------------- */

static bool is_free(struct pump *p, uint32_t i)
{
    return kept_fd(&kept(p, i)->fd) < 0;
}

static uint32_t find_free(struct pump *p)
{
    while (p->events_low < EVENTS_MAX && !is_free(p, p->events_low))
        p->events_low++;
    return p->events_low;
}

/* As much as was entered is the worker's from here on. */
static void show(struct pump *p, uint32_t i, int32_t pid)
{
    struct kept_event *k = kept(p, i);
    struct mount_event *e = shown(p, i);
    struct mount_slot *slot = slot_at(p, k->slot);

    e->slot = k->slot;
    e->number = slot->number;
    e->device = k->device;
    e->offset = k->offset;
    e->len = k->len;
    e->fd = kept_fd(&k->fd);
    e->pid = pid;
    e->deadline_ns = k->deadline_ns;
    e->begin_ns = pump_now();
    atomic_store(&e->word, event_entered(atomic_load(&e->word)));
    if (atomic_load(&p->table->events_high) <= i)
        atomic_store(&p->table->events_high, i + 1);
}

static void count_waiting(struct pump *p, uint32_t slot, int64_t change)
{
    p->events_used += (uint32_t)change;
    atomic_fetch_add(&slot_at(p, slot)->waiting, (uint64_t)change);
}

static struct late_request request_of(const struct kept_event *k, int32_t pid)
{
    return (struct late_request){pid, (uint64_t)k->slot << 32 | k->device, k->offset};
}

static void finish(struct pump *p, uint32_t i, int answer)
{
    struct kept_event *k = kept(p, i);
    struct mount_event *e = shown(p, i);
    int fd = kept_fd(&k->fd);

    answer_kernel(p, fd, answer);
    if (answer != 0) {
        struct late_request request = request_of(k, e->pid);

        atomic_fetch_add(&slot_at(p, k->slot)->failures, 1);
        late_failed(&p->late, &request, e->begin_ns, k->deadline_ns - e->begin_ns,
                    pump_now());
    }
    count_waiting(p, k->slot, -1);
    /* The next use: whoever has this one comes too late. */
    atomic_store(&e->word,
                 event_moved(event_entered(atomic_load(&e->word)), EVENT_FREE, 0));
    atomic_store(&k->fd, 0);
    close(fd);
    if (i < p->events_low)
        p->events_low = i;
}

/* ---- from the kernel ------------------------------------------------------------- */

static const struct place *place_of(const struct pump *p, int fd)
{
    uint64_t id = mount_id_of(fd, "");
    size_t low = 0, high = p->place_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (p->places[middle].mount_id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->place_count && p->places[low].mount_id == id ? &p->places[low] : NULL;
}

static struct range_info range_of(const struct fanotify_event_metadata *m)
{
    struct range_info r = {.count = FILL_BLOCK};
    const uint8_t *at = (const uint8_t *)m + m->metadata_len;
    const uint8_t *end = (const uint8_t *)m + m->event_len;

    while ((size_t)(end - at) >= sizeof r.header) {
        struct fanotify_event_info_header header;

        memcpy(&header, at, sizeof header);
        if (header.info_type == INFO_RANGE && (size_t)(end - at) >= sizeof r) {
            memcpy(&r, at, sizeof r);
            break;
        }
        if (header.len < sizeof header || header.len > end - at)
            break;
        at += header.len;
    }
    return r;
}

static uint64_t deadline_of(const struct pump *p, const struct kept_event *k, int32_t pid)
{
    enum { DEFAULT_MS = 60000 };
    uint64_t said = p->vault->slots[k->slot].timeout_ms, ms = said ? said : DEFAULT_MS;

    struct late_request request = request_of(k, pid);
    uint64_t now = pump_now();

    return now + late_allowed(&p->late, &request, now, ms * 1000000);
}

static void enter(struct pump *p, const struct fanotify_event_metadata *m,
                  const struct place *at, const struct range_info *range)
{
    uint32_t i = find_free(p);
    struct kept_event *k = kept(p, i);

    k->slot = at->slot;
    k->device = at->device;
    k->offset = range->offset;
    k->len = range->count;
    k->deadline_ns = deadline_of(p, k, m->pid);
    if (k->deadline_ns < p->deadline_ns)
        p->deadline_ns = k->deadline_ns;
    atomic_store(&k->fd, m->fd + 1);
    count_waiting(p, at->slot, 1);
    show(p, i, m->pid);
}

/* Gives whether there is something new for the worker. */
static bool take_event(struct pump *p, struct fanotify_event_metadata *m)
{
    const struct place *at = place_of(p, m->fd);
    struct range_info range = range_of(m);
    struct mount_slot *slot = at ? slot_at(p, at->slot) : NULL;
    bool there;

    if (!at) {
        answer_kernel(p, m->fd, EIO);
        m->mask = 0;
        close(m->fd);
        return false;
    }
    there = atomic_load(&slot->recording) == 0 &&
            range.offset + range.count >= range.offset &&
            fill_there(p, at, range.offset, range.offset + range.count);
    if (!there) {
        enter(p, m, at, &range);
        m->mask = 0;
    } else {
        answer_kernel(p, m->fd, 0);
        m->mask = 0;
        close(m->fd);
    }
    atomic_fetch_add(&slot->events, 1);
    return !there;
}

static bool is_entered(struct pump *p, int fd)
{
    for (uint32_t i = 0; i < EVENTS_MAX; i++) {
        if (kept_fd(&kept(p, i)->fd) == fd)
            return true;
    }
    return false;
}

/* Gives the bytes that were used. `again`: another pump may have been at it. */
static size_t take_buffer(struct pump *p, bool again)
{
    uint8_t *buffer = p->vault->read_buffer;
    size_t at = 0;
    bool fresh = false;

    while (EVENT_BUFFER - at >= sizeof(struct fanotify_event_metadata)) {
        struct fanotify_event_metadata *m = (void *)(buffer + at);

        if (m->event_len < sizeof *m || m->event_len > EVENT_BUFFER - at)
            break;
        if (m->mask != 0 && m->fd >= 0 && !(again && is_entered(p, m->fd)))
            fresh |= take_event(p, m);
        at += m->event_len;
    }
    if (fresh)
        pump_wake_worker(p);
    return at;
}

static void watch_group(struct pump *p, bool on)
{
    int group = pump_fd(p, 0, VAULT_GROUP);

    if (group < 0 || on == p->group_watched)
        return;
    if (on)
        pump_watch(p, KIND_GROUP, 0, group, EPOLLIN);
    else
        pump_unwatch(p, group);
    p->group_watched = on;
}

/* No more than there are entries for: the kernel's queue holds the others. */
static size_t room(const struct pump *p)
{
    size_t bytes = (size_t)(EVENTS_MAX - p->events_used) * EVENT_BYTES;

    return bytes < EVENT_BUFFER ? bytes : EVENT_BUFFER;
}

void events_read(struct pump *p)
{
    int group = pump_fd(p, 0, VAULT_GROUP);
    ssize_t n;

    if (group < 0)
        return;
    if (p->events_used >= EVENTS_MAX) {
        watch_group(p, false);
        return;
    }
    n = read(group, p->vault->read_buffer, room(p));
    if (n > 0)
        memset(p->vault->read_buffer, 0, take_buffer(p, false));
}

/* ---- to the kernel --------------------------------------------------------------- */

static void look_at(struct pump *p, uint32_t i, uint64_t now)
{
    struct kept_event *k = kept(p, i);
    uint64_t word = atomic_load(&shown(p, i)->word);

    if (event_state(word) == EVENT_DONE) {
        p->worker_live = true;
        finish(p, i, event_answer(word));
    } else if (k->deadline_ns <= now) {
        finish(p, i, EIO);
    } else if (k->deadline_ns < p->deadline_ns) {
        p->deadline_ns = k->deadline_ns;
    }
}

void events_look(struct pump *p)
{
    uint32_t high = atomic_load(&p->table->events_high);
    uint64_t now = pump_now();

    if (high > EVENTS_MAX)
        high = EVENTS_MAX;
    p->deadline_ns = UINT64_MAX;
    for (uint32_t i = 0; i < high && p->events_used > 0; i++) {
        if (!is_free(p, i))
            look_at(p, i, now);
    }
    if (p->events_used < EVENTS_MAX)
        watch_group(p, true);
}

void events_worker_gone(struct pump *p)
{
    for (uint32_t i = 0; i < EVENTS_MAX; i++) {
        uint64_t word = atomic_load(&shown(p, i)->word);

        if (!is_free(p, i) && event_state(word) != EVENT_DONE)
            atomic_store(&shown(p, i)->word, event_moved(word, EVENT_WAITING, 0));
    }
}

void events_slot_gone(struct pump *p, uint32_t slot)
{
    for (uint32_t i = 0; i < EVENTS_MAX; i++) {
        if (!is_free(p, i) && kept(p, i)->slot == slot)
            finish(p, i, EIO);
    }
}

bool events_waiting(const struct pump *p)
{
    return p->events_used > 0;
}

/* What another pump left: entered and perhaps not shown, or not even entered. */
void events_start(struct pump *p)
{
    /* A page that is not there when a pump is killed would lose what read(2) has. */
    mlock(p->vault->read_buffer, EVENT_BUFFER);
    p->deadline_ns = UINT64_MAX;
    for (uint32_t slot = 0; slot < MOUNTS_MAX; slot++)
        atomic_store(&p->table->slots[slot].waiting, 0);
    for (uint32_t i = 0; i < EVENTS_MAX; i++) {
        struct kept_event *k = kept(p, i);

        if (is_free(p, i))
            continue;
        count_waiting(p, k->slot, 1);
        if (k->deadline_ns < p->deadline_ns)
            p->deadline_ns = k->deadline_ns;
        show(p, i, shown(p, i)->pid);
    }
    memset(p->vault->read_buffer, 0, take_buffer(p, true));
}
