/* SPDX-License-Identifier: Apache-2.0 */
#include "read/near.h"

/*
 * A program that starts reads thousands of small files, one after the other; what makes
 * it slow is the round trip for each. But of a directory of which it reads one file it
 * reads most of those of the same kind, and likewise of the directories beside. So the
 * crew fetches these while the program waits for the first.
 *
 * Lists of chunks are made when something was fetched from a new place, and worked off by
 * rank and then from the latest on: the program is there now. How much may be fetched
 * for nothing is one budget for all guesses of an image.
 */

enum {
    JOBS_MAX = 32,
    PLANS_MAX = 48,
    RANKS = 3,
    RECENT = 256,          /* files whose surroundings were looked at */
    SEEN = 1024,           /* the same of directories */
    WIDTH = 8,             /* requests at once */
    RUN_BYTES = 256 << 10, /* stored, in one request */
    RUN_ITEMS = 64,
    RUN_GAP = NEAR_GAP,
    EXTRA_FREE = 8 << 20 /* stored bytes in advance, before any has proved useful */
};

static const uint64_t step_ns = 60 * UINT64_C(1000000000);

struct plan {
    struct near_list list;
    size_t first; /* at which it began */
    size_t done;  /* items that were taken, from there on and round */
};

struct near {
    struct rafsi_reader *reader;
    struct rafsi_crew *crew;
    struct rafsi_task task;
    atomic_uint_least64_t recent[RECENT];
    pthread_mutex_t lock; /* guards all below */
    uint64_t jobs[JOBS_MAX];
    size_t job_count;
    struct plan plans[RANKS][PLANS_MAX]; /* the last is the latest */
    size_t plan_count[RANKS];
    uint64_t seen[SEEN];
    struct near_kinds kinds;
    struct near_names names; /* needs no lock */
};

/* Stored bytes that may be fetched for nobody in particular now. */
static uint64_t room(struct rafsi_reader *reader)
{
    uint64_t wanted = atomic_load_explicit(&reader->wanted, memory_order_relaxed);
    uint64_t extra = atomic_load_explicit(&reader->extra, memory_order_relaxed);
    uint64_t most = EXTRA_FREE + wanted / 2;

    return extra < most ? most - extra : 0;
}

/* --- plans; the lock is held -----------------------------------------------------------
 */

static void remove_plan(struct near *near, unsigned rank, size_t i)
{
    rafsi_near_drop(near->reader, &near->plans[rank][i].list);
    near->plan_count[rank]--;
    memmove(&near->plans[rank][i], &near->plans[rank][i + 1],
            (near->plan_count[rank] - i) * sizeof(struct plan));
}

/* Takes the list. It begins with what lies behind the chunk at `at`. */
static void add_plan(struct near *near, unsigned rank, struct near_list *list,
                     uint64_t at)
{
    struct plan plan = {.list = *list};

    if (list->count == 0)
        return;
    if (near->plan_count[rank] == PLANS_MAX)
        remove_plan(near, rank, 0);
    while (plan.first < list->count && list->items[plan.first].at < at)
        plan.first++;
    plan.first %= list->count;
    near->plans[rank][near->plan_count[rank]++] = plan;
}

static bool follows(const struct near_item *last, const struct near_item *item,
                    uint64_t bytes)
{
    uint64_t end = last->at + last->size;

    return item->blob == last->blob && item->at >= last->at &&
           item->at <= end + RUN_GAP && bytes + item->size <= RUN_BYTES;
}

/* Items that lie beside each other, out of one plan. */
static size_t take_run(struct plan *plan, uint64_t most, struct near_item *out)
{
    size_t count = 0;
    uint64_t bytes = 0;

    while (plan->done < plan->list.count && count < RUN_ITEMS) {
        const struct near_item *item =
            &plan->list.items[(plan->first + plan->done) % plan->list.count];

        if (bytes + item->size > most ||
            (count > 0 && !follows(&out[count - 1], item, bytes)))
            break;
        bytes += item->size;
        out[count++] = *item;
        plan->done++;
    }
    return count;
}

static size_t next_run(struct near *near, struct near_item *out)
{
    uint64_t most = room(near->reader);

    for (unsigned rank = 0; rank < RANKS; rank++)
        while (near->plan_count[rank] > 0) {
            size_t last = near->plan_count[rank] - 1;
            struct plan *plan = &near->plans[rank][last];
            size_t count = take_run(plan, most, out);

            if (plan->done == plan->list.count)
                remove_plan(near, rank, last);
            if (count > 0)
                return count;
            if (last < near->plan_count[rank])
                return 0; /* the budget is spent */
        }
    return 0;
}

static bool any_plan(const struct near *near)
{
    return near->plan_count[0] + near->plan_count[1] + near->plan_count[2] > 0;
}

/* Was this looked at before? Now it was. */
static bool seen(struct near *near, uint64_t a, uint64_t b, uint64_t what)
{
    uint64_t mix = (a * 0x9e3779b97f4a7c15u ^ b) * 0xbf58476d1ce4e5b9u + what;
    uint64_t *slot = &near->seen[(mix ^ mix >> 29) % SEEN];
    bool was = *slot == mix;

    *slot = mix;
    return was;
}

static void count_kind(struct near_kinds *kinds, uint32_t kind)
{
    size_t least = 0;

    for (size_t i = 0; i < NEAR_KINDS; i++) {
        if (kinds->kind[i] == kind) {
            kinds->files[i]++;
            return;
        }
        if (kinds->files[i] < kinds->files[least])
            least = i;
    }
    kinds->kind[least] = kind;
    kinds->files[least] = 1;
}

/* --- steps, in threads of the crew -----------------------------------------------------
 */

static void plan_for(struct near *near, unsigned rank, struct near_list *list,
                     uint64_t at)
{
    unsigned steps = (unsigned)rafsi_min(list->bytes / RUN_BYTES + 1, WIDTH);

    if (list->count == 0)
        return;
    pthread_mutex_lock(&near->lock);
    add_plan(near, rank, list, at);
    pthread_mutex_unlock(&near->lock);
    (void)rafsi_crew_post(near->crew, &near->task, steps);
}

/* Where the file's first chunk is stored: the others are taken from there on. */
static uint64_t stored_at(struct rafsi_reader *reader, uint64_t ino)
{
    struct rafsi_chunk chunk;
    struct rafsi_node file;

    if (rafsi_tree_file(reader->tree, ino, &file, NULL) < 0 || file.attr.size == 0 ||
        rafsi_tree_chunk(reader->tree, &file, 0, &chunk, NULL) < 0 || chunk.hole)
        return 0;
    return chunk.record.compressed_offset;
}

static void look_around(struct near *near, uint64_t ino)
{
    struct rafsi_reader *reader = near->reader;
    uint64_t at = stored_at(reader, ino);
    bool dir_seen, nephews_seen, siblings_seen;
    struct near_kinds kinds;
    struct near_place place;
    struct near_list list;

    rafsi_near_file(reader, ino, &list);
    plan_for(near, 0, &list, at);
    if (!rafsi_near_find(reader, ino, &place))
        return;
    pthread_mutex_lock(&near->lock);
    count_kind(&near->kinds, place.kind);
    kinds = near->kinds;
    dir_seen = seen(near, place.dir.attr.ino, place.kind, 1);
    nephews_seen = dir_seen || seen(near, place.parent.attr.ino, place.kind,
                                    (uint64_t)place.dir_hash << 2 | 2);
    siblings_seen = dir_seen || seen(near, place.parent.attr.ino, place.kind, 3);
    pthread_mutex_unlock(&near->lock);
    if (dir_seen)
        return;
    rafsi_near_visit(&near->names, &place);
    rafsi_near_dir(reader, &place, &list);
    plan_for(near, 0, &list, at);
    if (!nephews_seen) {
        rafsi_near_nephews(reader, &place, &near->names, &list);
        plan_for(near, 1, &list, at);
    }
    if (!siblings_seen) {
        rafsi_near_cousins(reader, &place, &near->names, &list);
        plan_for(near, 2, &list, at);
        rafsi_near_siblings(reader, &place, &kinds, &near->names, &list);
        plan_for(near, 2, &list, at);
    }
}

/* The chunks of a run that are not there yet. */
static size_t chunks_of(struct rafsi_reader *reader, const struct near_item *items,
                        size_t count, struct rafsi_chunk *out)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        struct rafsi_chunk *chunk = &out[found];
        struct rafsi_cache_key key;
        struct rafsi_node file;

        if (rafsi_tree_file(reader->tree, items[i].ino, &file, NULL) < 0 ||
            rafsi_tree_chunk(reader->tree, &file, items[i].file_offset, chunk, NULL) <
                0 ||
            chunk->hole || chunk->no_record)
            continue;
        key = rafsi_chunk_key(chunk);
        found += !rafsi_cache_has(reader->cache, &key) && !rafsi_kept_has(reader, chunk);
    }
    return found;
}

static void fetch_run(struct near *near, const struct near_item *items, size_t count,
                      const rafs_call *call)
{
    struct rafsi_reader *reader = near->reader;
    struct rafsi_chunk chunks[RUN_ITEMS];
    struct wish wish = {.cause = RAFS_CAUSE_AHEAD};
    int rc = RAFS_OK;

    count = chunks_of(reader, items, count, chunks);
    for (size_t i = 0; i < count && rc == RAFS_OK; i++) {
        wish.others = &chunks[i + 1];
        wish.other_count = count - i - 1;
        rc = rafsi_fetch_ahead(reader, &chunks[i], &wish, call, NULL);
    }
    if (rc == RAFS_OK)
        return;
    /* More of the same would only burden the source; whoever reads will learn why. */
    pthread_mutex_lock(&near->lock);
    for (unsigned rank = 0; rank < RANKS; rank++)
        while (near->plan_count[rank] > 0)
            remove_plan(near, rank, near->plan_count[rank] - 1);
    pthread_mutex_unlock(&near->lock);
}

static void step(void *user, const rafs_call *call)
{
    struct near *near = user;
    struct near_item run[RUN_ITEMS];
    uint64_t ino = 0;
    size_t count = 0;
    bool more;

    pthread_mutex_lock(&near->lock);
    if (near->job_count > 0)
        ino = near->jobs[--near->job_count];
    else
        count = next_run(near, run);
    pthread_mutex_unlock(&near->lock);
    if (ino != 0)
        look_around(near, ino);
    else if (count > 0)
        fetch_run(near, run, count, call);
    pthread_mutex_lock(&near->lock);
    more = count > 0 && any_plan(near);
    pthread_mutex_unlock(&near->lock);
    if (more)
        (void)rafsi_crew_post(near->crew, &near->task, 2);
}

/* --- the reader's side -----------------------------------------------------------------
 */

void rafsi_near_note(struct rafsi_reader *reader, const struct rafsi_node *file)
{
    struct near *near = reader->near;
    uint64_t ino = file->attr.ino;
    atomic_uint_least64_t *recent;
    bool fresh, more;

    if (!near || rafsi_following(reader))
        return;
    recent = &near->recent[(ino ^ ino >> 8) % RECENT];
    fresh = atomic_load_explicit(recent, memory_order_relaxed) != ino;
    atomic_store_explicit(recent, ino, memory_order_relaxed);
    pthread_mutex_lock(&near->lock);
    if (fresh && near->job_count == JOBS_MAX) {
        near->job_count--;
        memmove(near->jobs, near->jobs + 1, near->job_count * sizeof(near->jobs[0]));
    }
    if (fresh)
        near->jobs[near->job_count++] = ino;
    more = fresh || any_plan(near);
    pthread_mutex_unlock(&near->lock);
    if (more)
        (void)rafsi_crew_post(near->crew, &near->task, 1);
}

int rafsi_near_new(struct rafsi_reader *reader, rafs_error *err)
{
    struct near *near = rafsi_alloc_zero(&reader->env, sizeof(*near));
    int rc;

    if (!near)
        return rafsi_fail_nomem(err, sizeof(*near));
    near->reader = reader;
    near->task = (struct rafsi_task){.step = step,
                                     .user = near,
                                     .step_ns = step_ns,
                                     .priority = CREW_AHEAD,
                                     .width = WIDTH};
    rc = rafsi_reader_crew(reader, &near->crew, err);
    if (rc == RAFS_OK && pthread_mutex_init(&near->lock, NULL) != 0)
        rc = rafsi_fail_nomem(err, sizeof(near->lock));
    if (rc < 0)
        rafsi_free(&reader->env, near);
    else
        reader->near = near;
    return rc;
}

void rafsi_near_free(struct rafsi_reader *reader)
{
    struct near *near = reader->near;

    if (!near)
        return;
    for (unsigned rank = 0; rank < RANKS; rank++)
        while (near->plan_count[rank] > 0)
            remove_plan(near, rank, near->plan_count[rank] - 1);
    pthread_mutex_destroy(&near->lock);
    rafsi_free(&reader->env, near);
    reader->near = NULL;
}
