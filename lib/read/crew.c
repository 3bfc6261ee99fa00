/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "read/crew.h"

enum {
    THREADS_MAX = CREW_WIDTH_MAX + 4,
    CALM_WIDTH = 1, /* steps of prefetch at once while a reader waits */
    SLICE_MS = 20   /* a delay on a clock of the caller's is looked at this often */
};

struct rafsi_crew {
    struct rafsi_env env;
    rafs_cancel *cancel;
    atomic_uint urgent;   /* threads of the caller's that wait for a source */
    pthread_mutex_t lock; /* guards all below, and the tasks */
    pthread_cond_t posted;
    pthread_cond_t stepped; /* for those who drop a task */
    struct rafsi_task *tasks[CREW_PRIORITIES];
    unsigned ahead;      /* steps of that priority under way */
    unsigned idle, held; /* held: idle although something is wanted */
    bool ending;
    unsigned started;
    pthread_t threads[THREADS_MAX];
};

static unsigned width_of(const struct rafsi_crew *crew, const struct rafsi_task *task)
{
    if (task->priority == CREW_PREFETCH && task->width > CALM_WIDTH &&
        (atomic_load(&crew->urgent) > 0 || crew->ahead > 0))
        return CALM_WIDTH;
    return task->width;
}

/* The task whose next step may begin; of those with one priority, the one that waited
 * longest. *delayed: something is wanted, but not yet. */
static struct rafsi_task *pick(struct rafsi_crew *crew, uint64_t now, bool *delayed)
{
    *delayed = false;
    for (unsigned i = 0; i < CREW_PRIORITIES; i++)
        for (struct rafsi_task *task = crew->tasks[i]; task; task = task->next) {
            if (task->wanted == 0 || task->running >= width_of(crew, task))
                continue;
            if (task->not_before_ns <= now)
                return task;
            *delayed = true;
        }
    return NULL;
}

static bool anything_wanted(const struct rafsi_crew *crew)
{
    for (unsigned i = 0; i < CREW_PRIORITIES; i++)
        for (const struct rafsi_task *task = crew->tasks[i]; task; task = task->next)
            if (task->wanted > 0)
                return true;
    return false;
}

static void unlink_task(struct rafsi_crew *crew, struct rafsi_task *task)
{
    struct rafsi_task **at = &crew->tasks[task->priority];

    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    task->enlisted = false;
}

static void append_task(struct rafsi_crew *crew, struct rafsi_task *task)
{
    struct rafsi_task **at = &crew->tasks[task->priority];

    while (*at)
        at = &(*at)->next;
    task->next = NULL;
    *at = task;
    task->enlisted = true;
}

/* Nothing can begin now. The lock is held. */
static void rest(struct rafsi_crew *crew, bool delayed)
{
    bool held = anything_wanted(crew);

    crew->idle++;
    crew->held += held;
    if (delayed)
        rafsi_wait_ns(&crew->posted, &crew->lock, SLICE_MS * 1000000L);
    else
        pthread_cond_wait(&crew->posted, &crew->lock);
    crew->held -= held;
    crew->idle--;
}

/* One step, without the lock, which is held before and after. */
static void step(struct rafsi_crew *crew, struct rafsi_task *task)
{
    rafs_call call = RAFS_CALL_INIT;

    task->wanted--;
    task->running++;
    crew->ahead += task->priority == CREW_AHEAD;
    unlink_task(crew, task);
    append_task(crew, task);
    pthread_mutex_unlock(&crew->lock);
    call.cancel = task->cancel ? task->cancel : crew->cancel;
    call.deadline_ns = rafsi_now_ns(&crew->env) + task->step_ns;
    task->step(task->user, &call);
    pthread_mutex_lock(&crew->lock);
    task->running--;
    crew->ahead -= task->priority == CREW_AHEAD;
    if (crew->held > 0 && crew->ahead == 0)
        pthread_cond_broadcast(&crew->posted);
    if (task->dropped)
        pthread_cond_broadcast(&crew->stepped);
}

static void *work(void *user)
{
    struct rafsi_crew *crew = user;

    pthread_mutex_lock(&crew->lock);
    while (!crew->ending) {
        struct rafsi_task *task;
        bool delayed;
        uint64_t now;

        /* The clock is the caller's: never asked under the lock. */
        pthread_mutex_unlock(&crew->lock);
        now = rafsi_now_ns(&crew->env);
        pthread_mutex_lock(&crew->lock);
        if (crew->ending)
            break;
        task = pick(crew, now, &delayed);
        if (task)
            step(crew, task);
        else
            rest(crew, delayed);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* Threads for so many steps more; none any more when the crew ends, for nobody would join
 * them. The lock is held. */
static int staff(struct rafsi_crew *crew, unsigned steps)
{
    unsigned busy = crew->started - crew->idle;
    unsigned goal = (unsigned)rafsi_min((uint64_t)busy + steps, THREADS_MAX);

    while (!crew->ending && crew->started < goal &&
           rafsi_thread_start(&crew->threads[crew->started], work, crew) == RAFS_OK)
        crew->started++;
    return crew->started > 0 ? RAFS_OK : RAFS_E_NOMEM;
}

int rafsi_crew_post(struct rafsi_crew *crew, struct rafsi_task *task, unsigned steps)
{
    unsigned wanted = 0;
    int rc;

    pthread_mutex_lock(&crew->lock);
    if (!task->enlisted)
        append_task(crew, task);
    task->wanted += steps;
    for (unsigned i = 0; i < CREW_PRIORITIES; i++)
        for (const struct rafsi_task *other = crew->tasks[i]; other; other = other->next)
            wanted += (unsigned)rafsi_min(other->wanted, other->width - other->running);
    rc = staff(crew, wanted);
    if (rc < 0)
        task->wanted -= steps;
    else if (steps == 1 && crew->held == 0)
        pthread_cond_signal(&crew->posted);
    else
        pthread_cond_broadcast(&crew->posted);
    pthread_mutex_unlock(&crew->lock);
    return rc;
}

void rafsi_crew_delay(struct rafsi_crew *crew, struct rafsi_task *task, uint64_t ns)
{
    pthread_mutex_lock(&crew->lock);
    task->not_before_ns = ns;
    pthread_cond_broadcast(&crew->posted);
    pthread_mutex_unlock(&crew->lock);
}

void rafsi_crew_clear(struct rafsi_crew *crew, struct rafsi_task *task)
{
    pthread_mutex_lock(&crew->lock);
    task->wanted = 0;
    pthread_mutex_unlock(&crew->lock);
}

void rafsi_crew_drop(struct rafsi_crew *crew, struct rafsi_task *task)
{
    pthread_mutex_lock(&crew->lock);
    task->wanted = 0;
    task->dropped = true;
    while (task->running > 0)
        pthread_cond_wait(&crew->stepped, &crew->lock);
    task->dropped = false;
    if (task->enlisted)
        unlink_task(crew, task);
    pthread_mutex_unlock(&crew->lock);
}

void rafsi_crew_urgent(struct rafsi_crew *crew)
{
    atomic_fetch_add(&crew->urgent, 1);
}

void rafsi_crew_calm(struct rafsi_crew *crew)
{
    if (atomic_fetch_sub(&crew->urgent, 1) != 1)
        return;
    pthread_mutex_lock(&crew->lock);
    if (crew->held > 0)
        pthread_cond_broadcast(&crew->posted);
    pthread_mutex_unlock(&crew->lock);
}

static int make_conds(struct rafsi_crew *crew)
{
    if (!rafsi_cond_new(&crew->posted))
        return -1;
    if (pthread_cond_init(&crew->stepped, NULL) == 0)
        return 0;
    pthread_cond_destroy(&crew->posted);
    return -1;
}

int rafsi_crew_new(const struct rafsi_env *env, struct rafsi_crew **out, rafs_error *err)
{
    struct rafsi_crew *crew = rafsi_alloc_zero(env, sizeof(*crew));
    int rc;

    if (!crew)
        return rafsi_fail_nomem(err, sizeof(*crew));
    crew->env = *env;
    rc = rafs_cancel_new(&crew->cancel, err);
    if (rc < 0)
        goto fail;
    if (make_conds(crew) != 0) {
        rc = rafsi_fail_nomem(err, sizeof(crew->posted));
        goto fail;
    }
    if (pthread_mutex_init(&crew->lock, NULL) != 0) {
        pthread_cond_destroy(&crew->posted);
        pthread_cond_destroy(&crew->stepped);
        rc = rafsi_fail_nomem(err, sizeof(crew->lock));
        goto fail;
    }
    *out = crew;
    return RAFS_OK;
fail:
    rafs_cancel_free(crew->cancel);
    rafsi_free(env, crew);
    return rc;
}

void rafsi_crew_free(struct rafsi_crew *crew)
{
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->ending = true;
    pthread_cond_broadcast(&crew->posted);
    for (unsigned i = 0; i < CREW_PRIORITIES; i++)
        for (struct rafsi_task *task = crew->tasks[i]; task; task = task->next)
            rafs_cancel_fire(task->cancel);
    pthread_mutex_unlock(&crew->lock);
    rafs_cancel_fire(crew->cancel);
    for (unsigned i = 0; i < crew->started; i++)
        pthread_join(crew->threads[i], NULL);
    pthread_cond_destroy(&crew->posted);
    pthread_cond_destroy(&crew->stepped);
    pthread_mutex_destroy(&crew->lock);
    rafs_cancel_free(crew->cancel);
    rafsi_free(&crew->env, crew);
}
