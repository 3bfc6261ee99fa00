/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cache has already is verified before the kernel asks for it: behind what a
 * reader waited for, and the further the more he goes through the blob in order. So of a
 * warm cache most reads find the fence open.
 */
#include "worker_kept.h"

#include <stdlib.h>

#include <rafs/fill.h>

enum {
    STREAMS = 4,
    STEP = 1 << 20,  /* bytes that are looked at in one call */
    FIRST = 1 << 20, /* how far, behind one read */
    MOST = 32 << 20, /* and at the most */
    STEP_MS = 60000, /* of the deadline of one call */
};

/* A reader who goes through a device. */
struct stream {
    uint32_t device;
    uint64_t at, end; /* to be looked at */
    uint64_t far;     /* how far beyond what was read */
    uint64_t used;
};

struct kept_ahead {
    struct served *served;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;
    pthread_t thread;
    bool has_thread, failed, stopping;
    uint64_t uses;
    struct stream streams[STREAMS];
};

/* The one that was used last and has work; under the lock. */
static struct stream *next_stream(struct kept_ahead *kept)
{
    struct stream *best = NULL;

    for (int i = 0; i < STREAMS; i++) {
        struct stream *s = &kept->streams[i];

        if (s->at < s->end && (!best || s->used > best->used))
            best = s;
    }
    return best;
}

/* [at, end): where to go on. UINT64_MAX: not at all. */
static uint64_t look(struct served *served, uint32_t device, uint64_t at, uint64_t end)
{
    rafs_filled filled = RAFS_FILLED_INIT;
    rafs_call call = RAFS_CALL_INIT;

    call.cancel = served->cancel;
    call.deadline_ns = worker_now_ns() + (uint64_t)STEP_MS * 1000000;
    at = map_next(served->map, device, at);
    if (at >= end)
        return at;
    if (end - at > STEP)
        end = at + STEP;
    /* Whatever is wrong: who reads it will learn why. */
    if (rafs_image_fill_kept(served->image, device, at, end - at, &filled, &call, NULL) <
        0)
        return UINT64_MAX;
    if (filled.begin < filled.end)
        fill_mark(served, device, filled.begin, filled.end);
    return filled.end > at ? filled.end : end;
}

static void *run(void *argument)
{
    struct kept_ahead *kept = argument;

    pthread_mutex_lock(&kept->lock);
    while (!kept->stopping) {
        struct stream *stream = next_stream(kept);
        struct stream was;
        uint64_t at;

        if (!stream) {
            pthread_cond_wait(&kept->work, &kept->lock);
            continue;
        }
        was = *stream;
        pthread_mutex_unlock(&kept->lock);
        at = look(kept->served, was.device, was.at, was.end);
        pthread_mutex_lock(&kept->lock);
        /* Unless it was begun anew elsewhere. */
        if (stream->device == was.device && stream->at == was.at)
            stream->at = at;
    }
    pthread_mutex_unlock(&kept->lock);
    return NULL;
}

static bool goes_on(const struct stream *s, uint32_t device, uint64_t begin)
{
    return s->far > 0 && s->device == device && begin + s->far >= s->end &&
           begin <= s->end + FIRST;
}

static struct stream *stream_of(struct kept_ahead *kept, uint32_t device, uint64_t begin,
                                uint64_t end)
{
    struct stream *oldest = &kept->streams[0];

    for (int i = 0; i < STREAMS; i++) {
        struct stream *s = &kept->streams[i];

        if (goes_on(s, device, begin)) {
            s->far = s->far * 2 < MOST ? s->far * 2 : MOST;
            return s;
        }
        if (s->used < oldest->used)
            oldest = s;
    }
    *oldest = (struct stream){.device = device, .at = end, .end = end, .far = FIRST};
    return oldest;
}

static void start(struct kept_ahead *kept)
{
    pthread_attr_t attributes;

    if (kept->has_thread || kept->failed || pthread_attr_init(&attributes) != 0)
        return;
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    kept->has_thread = pthread_create(&kept->thread, &attributes, run, kept) == 0;
    kept->failed = !kept->has_thread;
    pthread_attr_destroy(&attributes);
}

void kept_note(struct kept_ahead *kept, uint32_t device, uint64_t begin, uint64_t end)
{
    struct stream *stream;
    uint64_t size = kept->served->map->device[device].size;

    pthread_mutex_lock(&kept->lock);
    stream = stream_of(kept, device, begin, end);
    stream->used = ++kept->uses;
    if (stream->at < end)
        stream->at = end;
    if (stream->end < end + stream->far)
        stream->end = end + stream->far < size ? end + stream->far : size;
    start(kept);
    pthread_cond_signal(&kept->work);
    pthread_mutex_unlock(&kept->lock);
}

struct kept_ahead *kept_new(struct served *served)
{
    struct kept_ahead *kept = calloc(1, sizeof *kept);

    if (!kept)
        return NULL;
    kept->served = served;
    pthread_mutex_init(&kept->lock, NULL);
    pthread_cond_init(&kept->work, NULL);
    return kept;
}

void kept_free(struct kept_ahead *kept)
{
    if (!kept)
        return;
    pthread_mutex_lock(&kept->lock);
    kept->stopping = true;
    pthread_cond_signal(&kept->work);
    pthread_mutex_unlock(&kept->lock);
    if (kept->has_thread)
        pthread_join(kept->thread, NULL);
    pthread_cond_destroy(&kept->work);
    pthread_mutex_destroy(&kept->lock);
    free(kept);
}
