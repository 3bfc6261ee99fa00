/* SPDX-License-Identifier: Apache-2.0 */
#include "read/trace.h"

/*
 * Records the first use of each chunk. Readers look into a small table of what was used
 * last, without a lock; only what is not there takes the lock and is looked for among
 * all.
 */

enum { RECENT = 1024, ROOM_FIRST = 1024 };

struct tracer {
    uint64_t start_ns;
    _Atomic(uint64_t) recent[RECENT]; /* keys; 0: none */
    pthread_mutex_t lock;             /* guards all below */
    struct trace_event *events;
    uint32_t count, room;
    uint64_t *seen; /* keys by open addressing; twice as many places as room */
    bool full;
};

/* Where a chunk lies says which it is; without a record, where it lies uncompressed. */
static uint64_t key_of(const struct rafsi_chunk *chunk)
{
    uint64_t at = chunk->no_record ? chunk->record.uncompressed_offset
                                   : chunk->record.compressed_offset;

    return (at + 1) * UINT64_C(0x9e3779b97f4a7c15) ^
           ((uint64_t)chunk->record.blob << 32 | chunk->record.index);
}

static bool insert(uint64_t *seen, uint32_t places, uint64_t key)
{
    uint32_t at = (uint32_t)(key >> 20) & (places - 1);

    while (seen[at] != 0 && seen[at] != key)
        at = (at + 1) & (places - 1);
    if (seen[at] == key)
        return false;
    seen[at] = key;
    return true;
}

static uint64_t event_key(const struct trace_event *event)
{
    struct rafsi_chunk chunk = {.record = {.blob = event->blob,
                                           .index = event->chunk,
                                           .compressed_offset = event->stored}};

    return key_of(&chunk);
}

struct room {
    struct trace_event *events;
    uint64_t *seen;
    uint32_t count;
};

static bool make_room(struct rafsi_reader *reader, uint32_t before, struct room *out)
{
    uint32_t count = before ? 2 * before : ROOM_FIRST;

    *out = (struct room){.count = count};
    if (count > TRACE_EVENTS_MAX)
        return false;
    out->events = rafsi_alloc(&reader->env, count * sizeof(*out->events));
    out->seen = rafsi_alloc_zero(&reader->env, 2 * (size_t)count * sizeof(*out->seen));
    return out->events && out->seen;
}

static void drop_room(struct rafsi_reader *reader, struct room *room)
{
    rafsi_free(&reader->env, room->events);
    rafsi_free(&reader->env, room->seen);
}

/* The lock is held; *room gets what is to be freed. */
static void move_in(struct tracer *tracer, struct room *room)
{
    struct room old = {tracer->events, tracer->seen, tracer->room};

    for (uint32_t i = 0; i < tracer->count; i++) {
        room->events[i] = tracer->events[i];
        (void)insert(room->seen, 2 * room->count, event_key(&room->events[i]));
    }
    tracer->events = room->events;
    tracer->seen = room->seen;
    tracer->room = room->count;
    *room = old;
}

/* The allocator is the caller's: it is not called under the lock. */
static void grow(struct rafsi_reader *reader, struct tracer *tracer, uint32_t before)
{
    struct room room;
    bool made = make_room(reader, before, &room);

    pthread_mutex_lock(&tracer->lock);
    if (!made)
        tracer->full = true;
    else if (tracer->room == before)
        move_in(tracer, &room);
    pthread_mutex_unlock(&tracer->lock);
    drop_room(reader, &room);
}

/* The lock is held. Times never go back, whichever thread comes first. */
static void add(struct tracer *tracer, const struct trace_event *event)
{
    struct trace_event *last = &tracer->events[tracer->count];

    if (!insert(tracer->seen, 2 * tracer->room, event_key(event)))
        return;
    *last = *event;
    if (tracer->count > 0 && last->time_us < last[-1].time_us)
        last->time_us = last[-1].time_us;
    tracer->count++;
}

static void record(struct rafsi_reader *reader, struct tracer *tracer,
                   const struct trace_event *event)
{
    bool done = false;

    while (!done) {
        uint32_t room;

        pthread_mutex_lock(&tracer->lock);
        room = tracer->room;
        done = tracer->full || tracer->count < room;
        if (done && !tracer->full)
            add(tracer, event);
        pthread_mutex_unlock(&tracer->lock);
        if (!done)
            grow(reader, tracer, room);
    }
}

void rafsi_tracer_note(struct rafsi_reader *reader, const struct rafsi_node *file,
                       const struct rafsi_chunk *chunk)
{
    struct tracer *tracer = atomic_load_explicit(&reader->tracer, memory_order_acquire);
    _Atomic(uint64_t) *recent;
    uint64_t key;

    if (!tracer)
        return;
    key = key_of(chunk);
    recent = &tracer->recent[(key >> 40) % RECENT];
    if (atomic_load_explicit(recent, memory_order_relaxed) == key)
        return;
    atomic_store_explicit(recent, key, memory_order_relaxed);
    record(reader, tracer,
           &(struct trace_event){
               .time_us = (rafsi_now_ns(&reader->env) - tracer->start_ns) / 1000,
               .ino = file ? file->attr.ino : 0,
               .offset = chunk->file_offset,
               .stored = chunk->no_record ? chunk->record.uncompressed_offset
                                          : chunk->record.compressed_offset,
               .length = (uint32_t)chunk->length,
               .stored_size = chunk->record.compressed_size,
               .blob = chunk->record.blob,
               .chunk = chunk->record.index,
           });
}

int rafsi_tracer_start(struct rafsi_reader *reader, rafs_error *err)
{
    struct tracer *tracer = rafsi_alloc_zero(&reader->env, sizeof(*tracer));
    struct tracer *none = NULL;

    if (!tracer)
        return rafsi_fail_nomem(err, sizeof(*tracer));
    if (pthread_mutex_init(&tracer->lock, NULL) != 0) {
        rafsi_free(&reader->env, tracer);
        return rafsi_fail_nomem(err, sizeof(tracer->lock));
    }
    tracer->start_ns = rafsi_now_ns(&reader->env);
    if (atomic_compare_exchange_strong(&reader->tracer, &none, tracer))
        return RAFS_OK;
    pthread_mutex_destroy(&tracer->lock); /* recording already is as good */
    rafsi_free(&reader->env, tracer);
    return RAFS_OK;
}

void rafsi_tracer_resume(struct rafsi_reader *reader, const rafs_trace *trace)
{
    struct tracer *tracer = atomic_load(&reader->tracer);

    for (uint32_t i = 0; i < trace->header.events; i++) {
        struct trace_event event;

        rafsi_trace_event(rafsi_trace_span(trace), &trace->header, i, &event);
        record(reader, tracer, &event);
    }
}

uint32_t rafsi_tracer_count(struct rafsi_reader *reader)
{
    struct tracer *tracer = atomic_load(&reader->tracer);
    uint32_t count;

    if (!tracer)
        return 0;
    pthread_mutex_lock(&tracer->lock);
    count = tracer->count;
    pthread_mutex_unlock(&tracer->lock);
    return count;
}

void rafsi_tracer_free(struct rafsi_reader *reader)
{
    struct tracer *tracer = atomic_load(&reader->tracer);

    rafsi_free(&reader->env, atomic_load(&reader->boot_digest));
    if (!tracer)
        return;
    rafsi_free(&reader->env, tracer->events);
    rafsi_free(&reader->env, tracer->seen);
    pthread_mutex_destroy(&tracer->lock);
    rafsi_free(&reader->env, tracer);
}

/* Copies the events while the lock is held, into room for at least `room` of them; says
 * how many there are. */
static uint32_t copy_events(struct tracer *tracer, uint8_t *out, uint32_t room,
                            bool *full)
{
    uint32_t count;

    pthread_mutex_lock(&tracer->lock);
    count = tracer->count < room ? tracer->count : room;
    *full = tracer->full;
    for (uint32_t i = 0; i < count; i++)
        rafsi_trace_put_event(&tracer->events[i], out + (size_t)i * TRACE_EVENT_BYTES);
    pthread_mutex_unlock(&tracer->lock);
    return count;
}

int rafsi_tracer_take(struct rafsi_reader *reader, const rafs_call *call,
                      rafs_trace **out, rafs_error *err)
{
    struct tracer *tracer = atomic_load(&reader->tracer);
    struct trace_header header = {.blobs = reader->tree->super.blob_count};
    uint8_t *bytes;
    size_t at = TRACE_HEADER_BYTES;
    bool full;
    int rc;

    if (!tracer)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image",
                          "nothing is recorded: rafs_trace_start() begins that");
    rc = rafsi_trace_digest(reader, call, header.bootstrap, err);
    if (rc < 0)
        return rc;
    header.events = rafsi_tracer_count(reader);
    bytes = rafsi_alloc(&reader->env, (size_t)rafsi_trace_bytes(&header));
    if (!bytes)
        return rafsi_fail_nomem(err, (size_t)rafsi_trace_bytes(&header));
    for (uint32_t i = 0; i < header.blobs; i++, at += TRACE_BLOB_BYTES) {
        struct trace_blob blob = {.size = reader->tree->blobs[i].compressed_size};

        memcpy(blob.id, reader->tree->blobs[i].id, strlen(reader->tree->blobs[i].id));
        rafsi_trace_put_blob(&blob, bytes + at);
    }
    header.events = copy_events(tracer, bytes + at, header.events, &full);
    header.flags = full ? TRACE_INCOMPLETE : 0;
    rafsi_trace_put_header(&header, bytes);
    rafsi_trace_seal(bytes, (size_t)rafsi_trace_bytes(&header));
    rc = rafsi_trace_new(&reader->env, bytes, (size_t)rafsi_trace_bytes(&header), out,
                         err);
    rafsi_free(&reader->env, bytes);
    return rc;
}
