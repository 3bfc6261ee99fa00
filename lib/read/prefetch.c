/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "read/prefetch.h"

#include "base/call.h"
#include "read/bulk.h"
#include "read/plan.h"

/*
 * A plan of chunks, cut into runs of neighbours; each step of the crew takes one run and
 * fetches it. What others were fetching at that moment is looked at once more at the end,
 * and then waited for.
 */

enum {
    THREADS_DEFAULT = 4,
    THREADS_TRACE = 8, /* many small requests */
    TIMEOUT_DEFAULT_MS = 60000,
    TIMEOUT_MOST_MS = 1000000000,
    RUN_BYTES = 2 << 20,       /* stored bytes in one request */
    RUN_BYTES_TRACE = 1 << 20, /* a reader may wait for some of them */
    RUN_MIN = 64 << 10,
    LOST_MAX = 4,
    RUN_GAP = BULK_GAP, /* a request goes on past so many unwanted bytes */
    RUN_ENTRIES = 512
};

static const uint64_t second_ns = 1000000000;
static const uint64_t ms_ns = 1000000;

/* A run of entries that one step deals with. */
struct part {
    size_t begin, end;
    enum phase phase;
};

static uint64_t size_of(const struct plan_entry *entry)
{
    return entry->size_flags & PLAN_SIZE;
}

/* Where the run that begins at an entry ends: entries in the order of one blob, as far as
 * one request goes. */
static size_t run_end(const struct rafs_prefetch *prefetch, size_t begin)
{
    const struct plan_entry *first = &prefetch->plan.entries[begin];
    size_t most = (size_t)rafsi_min(prefetch->plan.count, begin + RUN_ENTRIES);
    size_t end = begin + 1;

    while (end < most) {
        const struct plan_entry *entry = &prefetch->plan.entries[end];
        uint64_t before = entry[-1].stored + size_of(&entry[-1]);

        if (entry->stored > before + RUN_GAP)
            break;
        if (entry->blob != first->blob || entry->stored < first->stored ||
            entry->stored + size_of(entry) - first->stored > prefetch->run_bytes)
            break;
        end++;
    }
    return end;
}

/* The lock is held. false: nothing is left for this step. */
static bool take(struct rafs_prefetch *prefetch, struct part *part)
{
    bool again = prefetch->phase == FIRST && prefetch->at == prefetch->plan.count &&
                 prefetch->active == 0 &&
                 (prefetch->rc == RAFS_OK || prefetch->rc == RAFS_E_CORRUPT);

    if (again) {
        prefetch->phase = AGAIN;
        prefetch->at = 0;
    }
    while (prefetch->phase == AGAIN && prefetch->at < prefetch->plan.count &&
           !(prefetch->plan.entries[prefetch->at].size_flags & PLAN_MISSED))
        prefetch->at++;
    if (prefetch->phase == ENDED || prefetch->at == prefetch->plan.count)
        return false;
    part->phase = prefetch->phase;
    part->begin = prefetch->at;
    part->end = part->phase == FIRST ? run_end(prefetch, part->begin) : part->begin + 1;
    prefetch->at = part->end;
    prefetch->active++;
    return true;
}

static void count_done(struct rafs_prefetch *prefetch, struct plan_entry *entry)
{
    prefetch->progress.chunks_done++;
    prefetch->progress.bytes_done += size_of(entry);
}

/* Fetching what is thrown away helps nobody. The lock is held. */
static void count_lost(struct rafs_prefetch *prefetch, const struct bulk_result *result)
{
    rafs_error full = RAFS_ERROR_INIT;

    if (!prefetch->reader->store || result->fetched == 0)
        return;
    prefetch->lost = result->unkept == result->fetched ? prefetch->lost + 1 : 0;
    if (prefetch->lost < LOST_MAX)
        return;
    (void)rafsi_fail_os(&full, RAFS_E_BACKEND, RAFS_STAGE_FETCH, ENOSPC, "cache",
                        "it keeps nothing more: its disk or its quota is full, or it "
                        "cannot be written; what it has stays");
    rafsi_prefetch_ends_with(prefetch, full.code, &full);
}

static void count_run(struct rafs_prefetch *prefetch, const struct bulk_result *result)
{
    rafs_prefetch_progress *progress = &prefetch->progress;

    pthread_mutex_lock(&prefetch->lock);
    progress->chunks_fetched += result->fetched;
    progress->bytes_fetched += result->fetched_bytes;
    progress->bytes_asked += result->asked_bytes;
    progress->chunks_failed += result->failed;
    progress->chunks_unkept += result->unkept;
    count_lost(prefetch, result);
    if (result->failed > 0)
        rafsi_prefetch_ends_with(prefetch, result->error.code, &result->error);
    if (prefetch->bytes_per_second > 0) {
        uint64_t seconds = result->asked_bytes / prefetch->bytes_per_second;
        uint64_t rest = result->asked_bytes % prefetch->bytes_per_second;

        prefetch->next_ns +=
            seconds * second_ns + rest * second_ns / prefetch->bytes_per_second;
    }
    pthread_mutex_unlock(&prefetch->lock);
}

static int run_bulk(struct rafs_prefetch *prefetch, struct bulk *bulk,
                    const rafs_call *call, rafs_error *err)
{
    struct bulk_result result;
    int rc = rafsi_bulk_run(bulk, call, &result, err);

    count_run(prefetch, &result);
    return rc;
}

/* Without a cache: is there memory for one more? */
static bool claim_memory(struct rafs_prefetch *prefetch, uint64_t bytes)
{
    bool room = true;

    if (prefetch->reader->store)
        return true;
    pthread_mutex_lock(&prefetch->lock);
    room = prefetch->memory_left >= bytes;
    if (room)
        prefetch->memory_left -= bytes;
    else
        prefetch->progress.chunks_skipped++;
    pthread_mutex_unlock(&prefetch->lock);
    return room;
}

/* Put one entry into the bulk, which is run first if it is full. */
static int add(struct rafs_prefetch *prefetch, struct bulk *bulk,
               struct plan_entry *entry, const rafs_call *call, rafs_error *err)
{
    struct rafsi_chunk chunk;
    enum bulk_place place = BULK_HAVE;
    int rc = rafsi_call_check(&prefetch->env, call, RAFS_STAGE_FETCH, err);

    if (rc == RAFS_OK)
        rc = rafsi_plan_chunk(&prefetch->plan, entry, &chunk, err);
    if (rc == RAFS_OK && !claim_memory(prefetch, chunk.record.uncompressed_size))
        return rc;
    if (rc == RAFS_OK)
        rc = rafsi_bulk_add(bulk, &chunk, call, &place, err);
    if (rc == RAFS_OK && place == BULK_FULL) {
        rc = run_bulk(prefetch, bulk, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_bulk_add(bulk, &chunk, call, &place, err);
    }
    if (rc == RAFS_OK && place == BULK_ELSEWHERE) {
        /* Each entry is one step's at a time, so its bits are too. */
        entry->size_flags |= PLAN_MISSED;
    }
    return rc;
}

static int first_look(struct rafs_prefetch *prefetch, const struct part *part,
                      const rafs_call *call, rafs_error *err)
{
    struct bulk *bulk = NULL;
    int rc = rafsi_bulk_new(prefetch->reader, prefetch->run_bytes, RAFS_CAUSE_PREFETCH,
                            &bulk, err);

    for (size_t i = part->begin; rc == RAFS_OK && i < part->end; i++)
        rc = add(prefetch, bulk, &prefetch->plan.entries[i], call, err);
    if (rc == RAFS_OK)
        rc = run_bulk(prefetch, bulk, call, err);
    rafsi_bulk_free(bulk);
    return rc;
}

/* What somebody else was fetching: wait for him, or fetch it if he gave up. */
static int second_look(struct rafs_prefetch *prefetch, struct plan_entry *entry,
                       const rafs_call *call, rafs_error *err)
{
    struct rafsi_node file = {.attr = {.size = 0}};
    struct wish wish = {.file = &file, .cause = RAFS_CAUSE_PREFETCH};
    struct rafsi_chunk chunk;
    struct verified *good;
    int rc = rafsi_plan_chunk(&prefetch->plan, entry, &chunk, err);

    if (rc == RAFS_OK)
        rc = rafsi_fetch(prefetch->reader, &chunk, &wish, call, &good, err);
    if (rc == RAFS_OK)
        rafsi_verified_drop(good);
    return rc;
}

/* The lock is held. Has everything been done that will be? */
static bool finished(const struct rafs_prefetch *prefetch)
{
    return prefetch->phase != ENDED && prefetch->active == 0 &&
           prefetch->at == prefetch->plan.count;
}

static void settle(struct rafs_prefetch *prefetch)
{
    pthread_mutex_lock(&prefetch->lock);
    if (finished(prefetch)) {
        rafsi_prefetch_strays(prefetch);
        prefetch->phase = ENDED;
        prefetch->progress.ended = 1;
        rafs_cancel_fire(prefetch->done);
        pthread_cond_broadcast(&prefetch->changed);
    }
    pthread_mutex_unlock(&prefetch->lock);
}

static int deal_with(struct rafs_prefetch *prefetch, const struct part *part,
                     const rafs_call *call, rafs_error *err)
{
    if (part->phase == FIRST)
        return first_look(prefetch, part, call, err);
    return second_look(prefetch, &prefetch->plan.entries[part->begin], call, err);
}

static void give_back(struct rafs_prefetch *prefetch, const struct part *part, int rc,
                      const rafs_error *error)
{
    pthread_mutex_lock(&prefetch->lock);
    for (size_t i = part->begin; rc == RAFS_OK && i < part->end; i++)
        if (part->phase == AGAIN || !(prefetch->plan.entries[i].size_flags & PLAN_MISSED))
            count_done(prefetch, &prefetch->plan.entries[i]);
    prefetch->active--;
    if (rc < 0)
        rafsi_prefetch_ends_with(prefetch, rc, error);
    pthread_mutex_unlock(&prefetch->lock);
}

/* No more than so many bytes in each second: the next request begins when those of the
 * last ones have had their time. */
static void pace(struct rafs_prefetch *prefetch)
{
    uint64_t next;

    if (prefetch->bytes_per_second == 0)
        return;
    pthread_mutex_lock(&prefetch->lock);
    next = prefetch->next_ns;
    pthread_mutex_unlock(&prefetch->lock);
    rafsi_crew_delay(prefetch->crew, &prefetch->task, next);
}

static void step(void *user, const rafs_call *call)
{
    struct rafs_prefetch *prefetch = user;
    rafs_error error = RAFS_ERROR_INIT;
    struct part part;
    uint64_t now = rafsi_now_ns(&prefetch->env);
    bool some;
    int rc;

    pthread_mutex_lock(&prefetch->lock);
    if (prefetch->next_ns < now)
        prefetch->next_ns = now;
    some = take(prefetch, &part);
    pthread_mutex_unlock(&prefetch->lock);
    if (some) {
        rc = deal_with(prefetch, &part, call, &error);
        give_back(prefetch, &part, rc, &error);
        pace(prefetch);
        if (rafsi_crew_post(prefetch->crew, &prefetch->task, 1) == RAFS_OK)
            return;
    }
    settle(prefetch);
}

static void set_task(struct rafs_prefetch *prefetch, const rafs_prefetch_options *options)
{
    bool trace = options->what == RAFS_PREFETCH_TRACE;
    unsigned usual = trace ? THREADS_TRACE : THREADS_DEFAULT;
    unsigned threads = options->threads ? options->threads : usual;
    uint64_t timeout_ms = rafsi_min(
        options->timeout_ms ? options->timeout_ms : TIMEOUT_DEFAULT_MS, TIMEOUT_MOST_MS);
    uint64_t half = options->bytes_per_second / 2;

    prefetch->bytes_per_second = options->bytes_per_second;
    prefetch->run_bytes = trace ? RUN_BYTES_TRACE : RUN_BYTES;
    if (options->bytes_per_second > 0) {
        threads = 1;
        prefetch->run_bytes = half < RUN_MIN ? RUN_MIN : rafsi_min(half, RUN_BYTES);
    }
    prefetch->memory_left = prefetch->reader->memory_bytes / 2;
    prefetch->task = (struct rafsi_task){.step = step,
                                         .user = prefetch,
                                         .cancel = prefetch->cancel,
                                         .step_ns = timeout_ms * ms_ns,
                                         .priority = CREW_PREFETCH,
                                         .width = threads};
    if (!trace || options->bytes_per_second > 0)
        return;
    /* The reader is on the same way: what comes next for him is no prefetch that could
     * wait until he is served. */
    prefetch->task.priority = CREW_AHEAD;
    atomic_store(&prefetch->follows, true);
    atomic_fetch_add(&prefetch->reader->following, 1);
}

static void enlist(struct rafs_prefetch *prefetch)
{
    struct rafsi_reader *reader = prefetch->reader;

    pthread_mutex_lock(&reader->worker_lock);
    prefetch->next = reader->prefetches;
    reader->prefetches = prefetch;
    pthread_mutex_unlock(&reader->worker_lock);
}

static int begin(struct rafs_prefetch *prefetch, rafs_error *err)
{
    const struct plan *plan = &prefetch->plan;
    int rc;

    prefetch->progress.chunks_total = plan->count;
    for (size_t i = 0; i < plan->count; i++)
        prefetch->progress.bytes_total += size_of(&plan->entries[i]);
    enlist(prefetch);
    /* One step more than there are parts does no harm: the last one settles. */
    rc = rafsi_crew_post(prefetch->crew, &prefetch->task, prefetch->task.width);
    if (rc == RAFS_OK)
        return rc;
    rafsi_crew_drop(prefetch->crew, &prefetch->task);
    rafsi_prefetch_strays(prefetch);
    rafsi_prefetch_delist(prefetch);
    return rafsi_fail(err, rc, RAFS_STAGE_FETCH, NULL, "no thread can be started");
}

int rafsi_prefetch_start(struct rafsi_reader *reader,
                         const rafs_prefetch_options *options, rafs_prefetch **out,
                         const rafs_call *call, rafs_error *err)
{
    struct rafs_prefetch *prefetch;
    int rc = rafsi_plan_check(options, err);

    if (rc < 0)
        return rc;
    prefetch = rafsi_alloc_zero(&reader->env, sizeof(*prefetch));
    if (!prefetch)
        return rafsi_fail_nomem(err, sizeof(*prefetch));
    prefetch->env = reader->env;
    prefetch->reader = reader;
    rafsi_plan_init(&prefetch->plan, reader);
    if (!rafsi_lock_new(&prefetch->lock, &prefetch->changed)) {
        rafsi_free(&reader->env, prefetch);
        return rafsi_fail_nomem(err, sizeof(*prefetch));
    }
    rc = rafsi_plan_make(&prefetch->plan, options, call, err);
    if (rc == RAFS_OK)
        rc = rafs_cancel_new(&prefetch->cancel, err);
    if (rc == RAFS_OK)
        rc = rafs_cancel_new(&prefetch->done, err);
    if (rc == RAFS_OK)
        rc = rafsi_reader_crew(reader, &prefetch->crew, err);
    if (rc == RAFS_OK) {
        set_task(prefetch, options);
        rc = begin(prefetch, err);
    }
    if (rc < 0) {
        prefetch->crew = NULL;
        rafs_prefetch_free(prefetch);
        return rc;
    }
    *out = prefetch;
    return RAFS_OK;
}
