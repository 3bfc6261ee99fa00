/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs from an origin to a target: each by one thread, which has what is on its way in
 * memory and no more. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "convert/copy.h"

enum { PIECE = 1 << 20, LOOK_NS = 100 * 1000 * 1000 };

struct crew {
    const struct copy_from *from;
    rafs_target *to;
    const struct rafsi_env *env;
    const struct oci_content *blobs;
    size_t count;
    char mount_from[OCI_HOST_MAX + OCI_REPO_MAX]; /* "": nothing can be taken over */
    rafs_call call;    /* ends with the caller's, or when one of us fails */
    rafs_cancel *stop; /* its token */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    size_t next;    /* blob that nobody has taken yet */
    size_t at_work; /* threads */
    int rc;         /* the first failure */
    rafs_error error;
    struct copy_counts counts;
    atomic_uint_least64_t moved; /* bytes of blobs that are on their way */
};

static bool same_registry(const struct oci_where *from, const struct oci_where *to)
{
    return from->kind == OCI_IN_REGISTRY && to->kind == OCI_IN_REGISTRY &&
           strcmp(from->reference.host, to->reference.host) == 0 &&
           strcmp(from->reference.repo, to->reference.repo) != 0;
}

static bool is_there(struct crew *crew, const struct oci_content *blob, int *rc,
                     rafs_error *err)
{
    uint64_t size = UINT64_MAX;

    *rc = crew->to->kind->has(crew->to, blob->digest, &size, &crew->call, err);
    if (*rc == RAFS_E_NOENT) {
        *rc = RAFS_OK;
        return false;
    }
    /* What is there may have been cut short. */
    return *rc == RAFS_OK &&
           (size == UINT64_MAX || blob->size == UINT64_MAX || size == blob->size);
}

/* All of it, from one to the other; committed only after the stream was compared. */
static int pump(struct crew *crew, struct oci_stream *stream, rafs_upload *upload,
                uint8_t *piece, const uint8_t *digest, rafs_error *err)
{
    size_t got = 1;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && got > 0) {
        rc = rafsi_stream_read(stream, piece, PIECE, &got, &crew->call, err);
        if (rc == RAFS_OK && got > 0)
            rc = rafsi_upload_write(upload, piece, got, &crew->call, err);
        if (rc == RAFS_OK)
            atomic_fetch_add(&crew->moved, got);
    }
    if (rc == RAFS_OK)
        rc = rafsi_upload_commit(upload, digest, NULL, NULL, &crew->call, err);
    return rc;
}

static int send_blob(struct crew *crew, const struct oci_content *blob, uint8_t *piece,
                     uint64_t *size, rafs_error *err)
{
    struct oci_stream *stream = NULL;
    rafs_upload *upload = NULL;
    int rc = rafsi_stream_open(&crew->from->sources, blob->digest, blob->size, &stream,
                               &crew->call, err);

    if (rc == RAFS_OK)
        rc = rafsi_upload_new(crew->to, &upload, &crew->call, err);
    if (rc == RAFS_OK)
        rc = pump(crew, stream, upload, piece, blob->digest, err);
    if (rc == RAFS_OK)
        *size = rafsi_stream_size(stream);
    rafsi_upload_free(upload);
    rafsi_stream_close(stream);
    return rc;
}

/* One blob, in whichever way is cheapest. */
static int bring(struct crew *crew, const struct oci_content *blob, uint8_t *piece,
                 struct copy_counts *done, rafs_error *err)
{
    uint64_t size = blob->size == UINT64_MAX ? 0 : blob->size;
    int rc;

    if (is_there(crew, blob, &rc, err)) {
        done->there = 1;
    } else if (rc == RAFS_OK) {
        rc = crew->mount_from[0] ? rafsi_target_mount(crew->to, blob->digest,
                                                      crew->mount_from, &crew->call, err)
                                 : RAFS_E_NOENT;
        if (rc == RAFS_OK)
            done->mounted = 1;
        else if (rc == RAFS_E_NOENT) {
            rc = send_blob(crew, blob, piece, &size, err);
            done->sent = rc == RAFS_OK;
            done->bytes_sent = rc == RAFS_OK ? size : 0;
        }
    }
    done->blobs_done = rc == RAFS_OK;
    done->bytes_done = size;
    return rc;
}

/* The next one to do; NULL: none, or somebody failed. */
static const struct oci_content *next_blob(struct crew *crew)
{
    const struct oci_content *blob = NULL;

    pthread_mutex_lock(&crew->lock);
    if (crew->rc == RAFS_OK && crew->next < crew->count)
        blob = &crew->blobs[crew->next++];
    pthread_mutex_unlock(&crew->lock);
    return blob;
}

static void note(struct crew *crew, int rc, const struct copy_counts *done,
                 const rafs_error *why)
{
    pthread_mutex_lock(&crew->lock);
    crew->counts.blobs_done += done->blobs_done;
    crew->counts.bytes_done += done->blobs_done ? done->bytes_done : 0;
    crew->counts.there += done->there;
    crew->counts.mounted += done->mounted;
    crew->counts.sent += done->sent;
    crew->counts.bytes_sent += done->bytes_sent;
    if (rc < 0 && crew->rc == RAFS_OK) {
        crew->rc = rc;
        crew->error = *why;
    }
    pthread_mutex_unlock(&crew->lock);
    /* It counts as done now. */
    if (done->sent)
        atomic_fetch_sub(&crew->moved, done->bytes_sent);
    if (rc < 0)
        rafs_cancel_fire(crew->stop);
}

static void *work(void *user)
{
    struct crew *crew = user;
    uint8_t *piece = rafsi_alloc(crew->env, PIECE);
    const struct oci_content *blob;

    while ((blob = next_blob(crew))) {
        struct copy_counts done = {0};
        rafs_error why = RAFS_ERROR_INIT;
        int rc =
            piece ? bring(crew, blob, piece, &done, &why) : rafsi_fail_nomem(&why, PIECE);

        note(crew, rc, &done, &why);
    }
    rafsi_free(crew->env, piece);
    pthread_mutex_lock(&crew->lock);
    crew->at_work--;
    pthread_cond_signal(&crew->ended);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* Look at the threads until they have ended. */
static void watch(struct crew *crew, copy_tell_fn tell, void *user)
{
    bool more = true;

    while (more) {
        struct copy_counts counts;

        pthread_mutex_lock(&crew->lock);
        if (crew->at_work > 0)
            rafsi_wait_ns(&crew->ended, &crew->lock, LOOK_NS);
        more = crew->at_work > 0;
        counts = crew->counts;
        pthread_mutex_unlock(&crew->lock);
        counts.bytes_done += atomic_load(&crew->moved);
        if (counts.bytes_done > counts.bytes_total)
            counts.bytes_total = counts.bytes_done;
        if (tell)
            tell(user, &counts);
    }
}

static int run(struct crew *crew, unsigned threads, copy_tell_fn tell, void *user)
{
    pthread_t started[COPY_THREADS_MAX];
    unsigned count = 0;
    int rc = RAFS_OK;

    crew->at_work = threads;
    while (count < threads && rc == RAFS_OK) {
        rc = rafsi_thread_start(&started[count], work, crew);
        count += rc == RAFS_OK;
    }
    pthread_mutex_lock(&crew->lock);
    crew->at_work -= threads - count;
    pthread_mutex_unlock(&crew->lock);
    watch(crew, tell, user);
    for (unsigned i = 0; i < count; i++)
        pthread_join(started[i], NULL);
    return count > 0 ? RAFS_OK : rc;
}

/* What the caller's own token or deadline ended is not somebody's failure. */
static int outcome(const struct crew *crew, const rafs_call *call, rafs_error *err)
{
    int rc = rafsi_call_check(crew->env, call, RAFS_STAGE_FETCH, NULL);

    if (crew->rc == RAFS_E_CANCELLED && rc < 0)
        return rafsi_call_check(crew->env, call, RAFS_STAGE_FETCH, err);
    if (crew->rc < 0 && err)
        *err = crew->error;
    return crew->rc;
}

int rafsi_copy_blobs(const struct copy_from *from, rafs_target *to,
                     const struct oci_content *blobs, size_t count, unsigned threads,
                     struct copy_counts *counts, copy_tell_fn tell, void *user,
                     const rafs_call *call, rafs_error *err)
{
    struct crew crew = {.from = from,
                        .to = to,
                        .env = &to->env,
                        .blobs = blobs,
                        .count = count,
                        .counts = *counts,
                        .call = RAFS_CALL_INIT};
    const struct oci_where *where = from->where;
    int rc;

    if (count == 0)
        return RAFS_OK;
    if (!rafsi_lock_new(&crew.lock, &crew.ended))
        return rafsi_fail_nomem(err, sizeof(crew));
    rc = rafs_cancel_new(&crew.stop, err);
    if (rc < 0)
        goto out;
    rafsi_cancel_join(crew.stop, call ? call->cancel : NULL);
    crew.call.deadline_ns = call ? call->deadline_ns : 0;
    crew.call.cancel = crew.stop;
    if (where && same_registry(where, &to->where))
        snprintf(crew.mount_from, sizeof(crew.mount_from), "%s/%s", where->reference.host,
                 where->reference.repo);
    crew.counts.blobs_total += count;
    for (size_t i = 0; i < count; i++)
        crew.counts.bytes_total += blobs[i].size == UINT64_MAX ? 0 : blobs[i].size;
    rc = run(&crew, (unsigned)rafsi_min(threads, count), tell, user);
    if (rc < 0)
        rafsi_fail_nomem(err, 0);
    else
        rc = outcome(&crew, call, err);
    *counts = crew.counts;
    rafsi_cancel_join(crew.stop, NULL);
    rafs_cancel_free(crew.stop);
out:
    pthread_cond_destroy(&crew.ended);
    pthread_mutex_destroy(&crew.lock);
    return rc;
}
