/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "cache/disk_impl.h"

/* How long a read waits for another process that fetches the same chunk, and how long
 * after that one seemed to be stopped. */
#define WAIT_NS ((uint64_t)30 * 1000000000)
#define WAIT_AGAIN_NS ((uint64_t)1000000000)

/*
 * One fetch of a chunk: its range in the blob is locked, between threads by a list and
 * between processes by a lock on the same range of the journal, DISK_FLIGHT_AT higher.
 * All our descriptors of a blob are one open file, whose locks do not see each other;
 * that is why there is a list.
 */

static bool overlap(const struct rafsi_disk_flight *flight, uint64_t offset,
                    uint32_t size)
{
    return offset < flight->offset + flight->size && flight->offset < offset + size;
}

static bool enlist(struct rafsi_disk_blob *blob, struct rafsi_disk_flight *fresh)
{
    struct rafsi_disk_flight *flight;

    pthread_mutex_lock(&blob->cache->lock);
    for (flight = blob->flights; flight; flight = flight->next)
        if (overlap(flight, fresh->offset, fresh->size))
            break;
    if (!flight) {
        fresh->next = blob->flights;
        fresh->listed = true;
        blob->flights = fresh;
    }
    pthread_mutex_unlock(&blob->cache->lock);
    return !flight;
}

static void delist(struct rafsi_disk_flight *gone)
{
    struct rafsi_disk_blob *blob = gone->blob;
    struct rafsi_disk_flight **at;

    if (!gone->listed)
        return;
    gone->listed = false;
    pthread_mutex_lock(&blob->cache->lock);
    for (at = &blob->flights; *at != gone; at = &(*at)->next)
        ;
    *at = gone->next;
    pthread_mutex_unlock(&blob->cache->lock);
}

static bool lock_range(const struct rafsi_disk_flight *flight, int type)
{
    return rafsi_disk_locked(flight->blob->journal, type, DISK_FLIGHT_AT + flight->offset,
                             flight->size);
}

void rafsi_disk_end(struct rafsi_disk_flight *flight)
{
    if (!flight)
        return;
    if (flight->locked)
        lock_range(flight, F_UNLCK);
    delist(flight);
    rafsi_free(&flight->blob->cache->env, flight);
}

static struct rafsi_disk_flight *make(struct rafsi_disk_blob *blob,
                                      const struct rafsi_disk_chunk *chunk)
{
    struct rafsi_disk_flight *flight = rafsi_alloc(&blob->cache->env, sizeof(*flight));

    if (flight)
        *flight = (struct rafsi_disk_flight){
            .blob = blob, .offset = chunk->offset, .size = chunk->size};
    return flight;
}

enum outcome { BUSY, READY, MINE };

/* One attempt. A file system that cannot lock leaves us with the threads. */
static enum outcome attempt(struct rafsi_disk_flight *flight,
                            const struct rafsi_disk_chunk *chunk)
{
    bool open = rafsi_disk_ensure(flight->blob);

    if (open && rafsi_disk_has(flight->blob, chunk))
        return READY;
    if (!enlist(flight->blob, flight))
        return BUSY;
    if (open) {
        flight->locked = lock_range(flight, F_WRLCK);
        if (!flight->locked && (errno == EAGAIN || errno == EACCES)) {
            delist(flight);
            return BUSY;
        }
        /* Between the first look and the lock it may have been kept. */
        if (flight->locked && rafsi_disk_has(flight->blob, chunk)) {
            lock_range(flight, F_UNLCK);
            flight->locked = false;
            delist(flight);
            return READY;
        }
    }
    return MINE;
}

struct rafsi_disk_flight *rafsi_disk_try(struct rafsi_disk_blob *blob,
                                         const struct rafsi_disk_chunk *chunk)
{
    struct rafsi_disk_flight *flight = make(blob, chunk);

    if (!flight || attempt(flight, chunk) == MINE)
        return flight;
    rafsi_free(&blob->cache->env, flight);
    return NULL;
}

/* A token wakes us at once; the end of a flight elsewhere is seen at the next look. */
static void wait_slice(const struct rafsi_env *env, const rafs_call *call, int slice_ms)
{
    const rafs_cancel *tokens[2] = {env->set.cancel, call ? call->cancel : NULL};
    uint64_t left = rafsi_call_left_ns(env, call, (uint64_t)slice_ms * 1000000);
    struct pollfd fds[2];
    nfds_t count = 0;

    for (size_t i = 0; i < 2; i++)
        if (tokens[i])
            fds[count++] =
                (struct pollfd){.fd = rafs_cancel_fd(tokens[i]), .events = POLLIN};
    (void)poll(fds, count, (int)((left + 999999) / 1000000));
}

/* Whoever fetches it may have been stopped, and hold his lock for ever. Once somebody let
 * us wait so long, others of the blob need not. */
static bool is_too_long(struct rafsi_disk_blob *blob, uint64_t began)
{
    uint64_t took = rafsi_now_ns(&blob->cache->env) - began;
    bool over;

    pthread_mutex_lock(&blob->cache->lock);
    over = took >= (blob->stopped ? WAIT_AGAIN_NS : WAIT_NS);
    blob->stopped = blob->stopped || over;
    pthread_mutex_unlock(&blob->cache->lock);
    return over;
}

/* The wait ended as it should. */
static void note_alive(struct rafsi_disk_blob *blob)
{
    pthread_mutex_lock(&blob->cache->lock);
    blob->stopped = false;
    pthread_mutex_unlock(&blob->cache->lock);
}

int rafsi_disk_begin(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                     const rafs_call *call, struct rafsi_disk_flight **out,
                     rafs_error *err)
{
    enum { SLICE_MAX_MS = 16 };
    const struct rafsi_env *env = &blob->cache->env;
    struct rafsi_disk_flight *flight = make(blob, chunk);
    uint64_t began = rafsi_now_ns(env);
    enum outcome outcome = BUSY;
    int rc = RAFS_OK;

    if (!flight)
        return rafsi_fail_nomem(err, sizeof(*flight));
    for (int slice = 1; rc == RAFS_OK; slice = slice < SLICE_MAX_MS ? 2 * slice : slice) {
        outcome = attempt(flight, chunk);
        if (outcome != BUSY) {
            if (slice > 1)
                note_alive(blob);
            break;
        }
        /* Fetched without a lock, and so not kept. */
        if (is_too_long(blob, began)) {
            outcome = MINE;
            break;
        }
        rc = rafsi_call_check(env, call, RAFS_STAGE_FETCH, err);
        if (rc == RAFS_OK)
            wait_slice(env, call, slice);
    }
    if (outcome != MINE) {
        rafsi_free(env, flight);
        flight = NULL;
    }
    if (rc == RAFS_OK)
        *out = flight;
    return rc;
}
