/* SPDX-License-Identifier: Apache-2.0 */
#include "read/ahead.h"
#include "read/near.h"

#include "read/bulk.h"

/*
 * Read ahead of a reader who goes through a file from start to end. Who reads notes where
 * he is in a small table, one slot for a file; no lock but the slot's, and nobody waits
 * for that either. The crew of the image fetches what will be wanted soon.
 */

enum {
    SLOTS = 32,
    JOBS_MAX = 64,
    JOB_BYTES = 1 << 20,    /* of a file, in one job */
    JOB_MIN = 256 << 10,    /* a smaller one now would make two later */
    RUN_MIN = 128 << 10,    /* read in order before anything is read ahead */
    AHEAD_FIRST = 1 << 20,  /* then this many bytes, later as many as were read */
    JITTER_MAX = 256 << 10, /* readers of one file may overtake each other by so much */
    FLOW_SETS = 4,
    FLOWS = 4,          /* at once in the blobs of a set */
    FLOW_MIN = 1 << 20, /* of a blob, read in order, before it is read on across files */
    /* The same where what is near is fetched by itself: one large file is no flow. */
    FLOW_MIN_NEAR = 8 << 20,
    FLOW_JOB = 1 << 20, /* of a blob, in one job */
    FLOW_CHUNKS = 512,  /* looked at for one job */
    /* Reads in order that show somebody who goes through. One alone, however long, may be
     * of somebody who picks: what lies behind it would travel for nothing. */
    ENOUGH = 2,
};

/* Nobody waits for these reads, but none may last for ever. */
static const uint64_t job_ns = 60 * UINT64_C(1000000000);

struct stream {
    atomic_flag busy;
    uint64_t ino;    /* 0: none */
    uint64_t first;  /* where it began */
    uint64_t at;     /* where it is */
    uint64_t high;   /* end of what was asked for */
    uint64_t queued; /* end of what is read ahead */
    uint32_t reads;  /* that went on where others had been; see ENOUGH */
};

/*
 * Somebody goes through a blob: file by file perhaps, but in the order in which the files
 * were stored. Places are those in the uncompressed blob, since memory is what limits how
 * far ahead one may be.
 */
struct flow {
    uint32_t blob; /* its index plus one; 0: none */
    uint32_t next; /* number of the chunk behind those queued */
    uint64_t first, high, queued;
    uint64_t used;  /* when, in uses of its set */
    uint64_t read;  /* of what lies between first and high */
    uint32_t reads; /* that brought it on; see ENOUGH */
};

/* A chunk that lies elsewhere, such as one that files share, is no end of a flow: it may
 * begin another one. */
struct flow_set {
    atomic_flag busy;
    uint64_t uses;
    struct flow flows[FLOWS];
};

struct job {
    struct rafsi_node file; /* ino 0: chunks of a blob */
    uint64_t offset, end;   /* in the file, or numbers of chunks */
    uint32_t blob;
};

struct ahead {
    struct rafsi_reader *reader;
    struct rafsi_crew *crew;
    struct rafsi_task task; /* whose steps take one job each */
    uint64_t most;          /* bytes of a file ahead of its reader */
    bool strict;            /* only what the read itself will want */
    pthread_mutex_t lock;   /* guards the jobs */
    struct job jobs[JOBS_MAX];
    size_t first, count;
    struct stream streams[SLOTS];
    struct flow_set flow_sets[FLOW_SETS];
};

static struct job *job_at(struct ahead *ahead, size_t i)
{
    return &ahead->jobs[(ahead->first + i) % JOBS_MAX];
}

/* After a failure: more of the same would only burden the source, and whoever reads will
 * learn why. Other files may lie elsewhere. */
static void forget_like(struct ahead *ahead, const struct job *failed)
{
    size_t kept = 0;

    pthread_mutex_lock(&ahead->lock);
    for (size_t i = 0; i < ahead->count; i++)
        if (job_at(ahead, i)->file.attr.ino != failed->file.attr.ino ||
            job_at(ahead, i)->blob != failed->blob)
            *job_at(ahead, kept++) = *job_at(ahead, i);
    ahead->count = kept;
    pthread_mutex_unlock(&ahead->lock);
}

static int run_file(struct ahead *ahead, const struct job *job, const rafs_call *call)
{
    struct rafsi_reader *reader = ahead->reader;
    struct wish wish = {.file = &job->file, .until = job->end, .cause = RAFS_CAUSE_AHEAD};
    uint64_t offset = job->offset;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && offset < job->end) {
        struct rafsi_chunk chunk;

        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, NULL);
        if (rc == RAFS_OK)
            rc = rafsi_tree_chunk(reader->tree, &job->file, offset, &chunk, NULL);
        if (rc == RAFS_OK && !chunk.hole)
            rc = rafsi_fetch_ahead(reader, &chunk, &wish, call, NULL);
        if (rc == RAFS_OK)
            offset = chunk.file_offset + chunk.length;
    }
    return rc;
}

static int blob_chunk(const struct rafsi_tree *tree, uint32_t blob, uint32_t number,
                      struct rafsi_chunk *out)
{
    memset(out, 0, sizeof(*out));
    out->digest_algorithm = tree->blobs[blob].digest_algorithm;
    out->compressor = tree->blobs[blob].compressor;
    return rafsi_v6_chunk_of(tree, blob, number, &out->record, NULL);
}

static int run_blob(struct ahead *ahead, const struct job *job, const rafs_call *call)
{
    struct rafsi_reader *reader = ahead->reader;
    struct bulk_result result;
    struct bulk *bulk = NULL;
    int rc = rafsi_bulk_new(reader, FLOW_JOB, RAFS_CAUSE_AHEAD, &bulk, NULL);

    for (uint64_t i = job->offset; rc == RAFS_OK && i < job->end; i++) {
        enum bulk_place place = BULK_HAVE;
        struct rafsi_chunk chunk;

        rc = blob_chunk(reader->tree, job->blob, (uint32_t)i, &chunk);
        if (rc == RAFS_OK)
            rc = rafsi_bulk_add(bulk, &chunk, call, &place, NULL);
        if (rc < 0 || place != BULK_FULL)
            continue;
        rc = rafsi_bulk_run(bulk, call, &result, NULL);
        if (rc == RAFS_OK)
            rc = rafsi_bulk_add(bulk, &chunk, call, &place, NULL);
    }
    if (rc == RAFS_OK)
        rc = rafsi_bulk_run(bulk, call, &result, NULL);
    rafsi_bulk_free(bulk);
    return rc;
}

static void run(struct ahead *ahead, const struct job *job, const rafs_call *call)
{
    int rc = job->file.attr.ino ? run_file(ahead, job, call) : run_blob(ahead, job, call);

    if (rc < 0)
        forget_like(ahead, job);
}

static void step(void *user, const rafs_call *call)
{
    struct ahead *ahead = user;
    struct job job;
    bool some;

    pthread_mutex_lock(&ahead->lock);
    some = ahead->count > 0;
    if (some) {
        job = *job_at(ahead, 0);
        ahead->first = (ahead->first + 1) % JOBS_MAX;
        ahead->count--;
    }
    pthread_mutex_unlock(&ahead->lock);
    if (some)
        run(ahead, &job, call);
}

/* Give a job to the crew; false if it has too many, or no thread. */
static bool post(struct ahead *ahead, const struct job *job)
{
    bool room;

    pthread_mutex_lock(&ahead->lock);
    room = ahead->count < JOBS_MAX;
    if (room) {
        *job_at(ahead, ahead->count) = *job;
        ahead->count++;
    }
    pthread_mutex_unlock(&ahead->lock);
    /* A step that finds no job is harmless; a job without a step waits for the next. */
    return room && rafsi_crew_post(ahead->crew, &ahead->task, 1) == RAFS_OK;
}

static bool goes_on(const struct stream *stream, uint64_t ino, uint64_t offset)
{
    return stream->ino == ino && offset + JITTER_MAX >= stream->at &&
           offset <= stream->high + JITTER_MAX;
}

/* Only what the read itself will want: so the caller wishes, or a trace tells the rest.
 */
static bool strict(const struct ahead *ahead)
{
    return ahead->strict || rafsi_following(ahead->reader);
}

/* How far to read ahead of a reader who will surely go on up to `until`. */
static uint64_t distance_of(const struct ahead *ahead, const struct stream *stream)
{
    uint64_t run = stream->high - stream->first;

    if (strict(ahead) || run < RUN_MIN || stream->reads < ENOUGH)
        return 0;
    return rafsi_min(run > AHEAD_FIRST ? run : AHEAD_FIRST, ahead->most);
}

/*
 * A job is as small as half the distance, so that the next one begins while the reader
 * still has as much before him: a job as large as the distance would be posted when he
 * is already waiting for it.
 */
static uint64_t job_bytes(uint64_t distance)
{
    uint64_t half = distance / 2;

    if (distance == 0 || half > JOB_BYTES)
        return JOB_BYTES;
    return half < JOB_MIN ? JOB_MIN : half;
}

static void post_up_to_goal(struct ahead *ahead, struct stream *stream,
                            const struct rafsi_node *file, uint64_t offset,
                            uint64_t until)
{
    uint64_t distance = distance_of(ahead, stream);
    uint64_t size = file->attr.size;
    uint64_t most = job_bytes(distance);
    uint64_t goal = rafsi_min(rafsi_min(until + distance, offset + ahead->most), size);
    /* The read itself takes the first of it. */
    uint64_t from = until - offset > JOB_BYTES ? offset + JOB_BYTES : until;

    if (from < stream->queued)
        from = stream->queued;
    while (from < goal) {
        uint64_t end = rafsi_min(goal, from + most);

        if (end - from < most && end != until && end != size)
            break;
        if (!post(ahead, &(struct job){*file, from, end, 0}))
            break;
        from = end;
        stream->queued = end;
    }
}

void rafsi_ahead_note(struct rafsi_reader *reader, const struct rafsi_node *file,
                      uint64_t offset, uint64_t until)
{
    struct ahead *ahead = reader->ahead;
    uint64_t ino = file->attr.ino;
    struct stream *stream;

    if (!ahead)
        return;
    stream = &ahead->streams[(ino ^ ino >> 5) % SLOTS];
    if (atomic_flag_test_and_set_explicit(&stream->busy, memory_order_acquire))
        return;
    if (!goes_on(stream, ino, offset)) {
        stream->ino = ino;
        stream->first = offset;
        stream->high = until;
        stream->queued = 0;
        stream->reads = offset == 0 ? ENOUGH : 1; /* who begins at the start goes on */
    }
    stream->at = offset;
    if (until > stream->high) {
        stream->high = until;
        stream->reads += stream->reads < ENOUGH;
    }
    post_up_to_goal(ahead, stream, file, offset, until);
    atomic_flag_clear_explicit(&stream->busy, memory_order_release);
}

/* Chunks of the blob behind those queued, as one job of so many bytes or none. */
static bool post_chunks(struct ahead *ahead, struct flow *flow, uint64_t goal,
                        uint64_t most)
{
    struct job job = {.offset = flow->next, .end = flow->next, .blob = flow->blob - 1};
    uint64_t end = flow->queued;
    bool last = false;

    while (!last && end < flow->queued + most && job.end - job.offset < FLOW_CHUNKS) {
        struct rafsi_chunk chunk;

        last = blob_chunk(ahead->reader->tree, job.blob, (uint32_t)job.end, &chunk) < 0;
        if (last)
            break;
        end = chunk.record.uncompressed_offset + chunk.record.uncompressed_size;
        job.end++;
    }
    /* At the end of the blob what is left is worth a job; elsewhere only a whole one. */
    if (job.end == job.offset || (!last && end > goal) || !post(ahead, &job))
        return false;
    flow->next = (uint32_t)job.end;
    flow->queued = end;
    return !last;
}

/* Does the chunk lie where the flow is? */
static bool flows_on(const struct ahead *ahead, const struct flow *flow,
                     const struct chunk_record *record)
{
    uint64_t at = record->uncompressed_offset;
    uint64_t end = flow->queued > flow->high ? flow->queued : flow->high;

    return flow->blob == record->blob + 1 && at + ahead->most >= flow->high &&
           at + JITTER_MAX >= flow->first && at <= end + JITTER_MAX;
}

/* The flow of a chunk: the one that it goes on, or a new one in place of the one that
 * was not used for the longest time. The set is held. */
static struct flow *flow_of(struct ahead *ahead, struct flow_set *set,
                            const struct chunk_record *record)
{
    uint64_t end = record->uncompressed_offset + record->uncompressed_size;
    struct flow *oldest = &set->flows[0];

    set->uses++;
    for (size_t i = 0; i < FLOWS; i++) {
        struct flow *flow = &set->flows[i];

        if (flows_on(ahead, flow, record)) {
            flow->used = set->uses;
            return flow;
        }
        if (flow->used < oldest->used)
            oldest = flow;
    }
    *oldest = (struct flow){.blob = record->blob + 1,
                            .next = record->index + 1,
                            .first = record->uncompressed_offset,
                            .high = record->uncompressed_offset,
                            .queued = end,
                            .used = set->uses};
    return oldest;
}

/* The set is held. */
static bool flow_on(struct ahead *ahead, struct flow *flow,
                    const struct chunk_record *record, enum rafsi_ahead_how how)
{
    uint64_t end = record->uncompressed_offset + record->uncompressed_size;
    uint64_t run, distance, most;
    bool blind = how == AHEAD_BLIND;

    if (end > flow->high) {
        flow->high = end;
        flow->read += record->uncompressed_size;
        flow->reads += how != AHEAD_WITHIN && flow->reads < ENOUGH;
    }
    if (end > flow->queued) {
        flow->queued = end;
        flow->next = record->index + 1;
    }
    run = flow->high - flow->first;
    /* Whoever picks files here and there wants few of those between. */
    if (run < (ahead->reader->near && !blind ? FLOW_MIN_NEAR : FLOW_MIN) ||
        flow->read < run / 8 * 7 || (!blind && flow->reads < ENOUGH))
        return false;
    distance = rafsi_min(run, ahead->most);
    most = rafsi_min(distance / 2, FLOW_JOB);
    while (post_chunks(ahead, flow, flow->high + distance, most))
        ;
    return true;
}

bool rafsi_ahead_flow(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      enum rafsi_ahead_how how)
{
    struct ahead *ahead = reader->ahead;
    struct flow_set *set;
    bool flows;

    if (!ahead || strict(ahead) || reader->tree->super.version != 6 ||
        !rafsi_plainly_placed(reader, chunk))
        return false;
    set = &ahead->flow_sets[chunk->record.blob % FLOW_SETS];
    if (atomic_flag_test_and_set_explicit(&set->busy, memory_order_acquire))
        return true; /* whoever is at it sees to it */
    flows = flow_on(ahead, flow_of(ahead, set, &chunk->record), &chunk->record, how);
    atomic_flag_clear_explicit(&set->busy, memory_order_release);
    return flows;
}

int rafsi_ahead_new(struct rafsi_reader *reader, rafs_error *err)
{
    uint64_t most = reader->tree->limits.ahead_bytes;
    struct ahead *ahead;
    bool remote = false;
    int rc;

    for (size_t i = 0; i < reader->source_count; i++)
        remote |= reader->sources[i] && rafsi_backend_remote(reader->sources[i]);
    if (most == 1 || (most == 0 && !remote))
        return RAFS_OK;
    most = most == 0 ? 8 << 20 : most;
    if (!reader->store) /* where one is, what does not stay in memory is there */
        most = rafsi_min(most, reader->memory_bytes / 2);
    if (most < JOB_BYTES)
        return RAFS_OK;
    ahead = rafsi_alloc_zero(&reader->env, sizeof(*ahead));
    if (!ahead)
        return rafsi_fail_nomem(err, sizeof(*ahead));
    ahead->reader = reader;
    ahead->most = most;
    ahead->strict = reader->tree->limits.merge_bytes == 1;
    ahead->task = (struct rafsi_task){.step = step,
                                      .user = ahead,
                                      .step_ns = job_ns,
                                      .priority = CREW_AHEAD,
                                      .width = AHEAD_THREADS};
    for (size_t i = 0; i < SLOTS; i++)
        atomic_flag_clear(&ahead->streams[i].busy);
    for (size_t i = 0; i < FLOW_SETS; i++)
        atomic_flag_clear(&ahead->flow_sets[i].busy);
    rc = rafsi_reader_crew(reader, &ahead->crew, err);
    if (rc == RAFS_OK && pthread_mutex_init(&ahead->lock, NULL) != 0)
        rc = rafsi_fail_nomem(err, sizeof(ahead->lock));
    if (rc < 0) {
        rafsi_free(&reader->env, ahead);
        return rc;
    }
    reader->ahead = ahead;
    /* What is guessed needs a place where it can wait for long. */
    return ahead->strict || !reader->store ? RAFS_OK : rafsi_near_new(reader, err);
}

void rafsi_ahead_free(struct rafsi_reader *reader)
{
    struct ahead *ahead = reader->ahead;

    if (!ahead)
        return;
    pthread_mutex_destroy(&ahead->lock);
    rafsi_free(&reader->env, ahead);
    reader->ahead = NULL;
}
