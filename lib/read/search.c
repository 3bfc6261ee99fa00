/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "read/reader.h"

void rafsi_search_begin(struct search *search, struct rafsi_reader *reader, uint32_t blob,
                        size_t len, const rafs_call *call)
{
    rafsi_rounds_begin(&search->rounds, &reader->env, call);
    search->reader = reader;
    search->blob = blob;
    search->len = len;
    search->count = rafsi_blob_order(reader, blob, search->order);
    search->at = 0;
    search->tried = 0;
    search->failed = NO_SOURCE;
    search->fresh = 0;
}

void rafsi_search_turn(struct rafsi_reader *reader, uint32_t blob, size_t failed)
{
    size_t order[RAFS_SOURCES_MAX + 1];

    if (rafsi_blob_order(reader, blob, order) == 0)
        return;
    if (order[0] == failed)
        rafsi_stats_retry(&reader->stats, failed);
    else
        rafsi_stats_failover(&reader->stats, failed);
}

/* Still to be asked in this round? */
static bool wants(const struct search *search, size_t source)
{
    return rafsi_rounds_wants(&search->rounds, source) &&
           !(search->rounds.waiting >> source & 1);
}

/* Sources that could be asked in place of this one: in all, and later in this round. */
static void count_others(const struct search *search, size_t source, size_t *others,
                         size_t *left)
{
    *others = 0;
    *left = 0;
    for (size_t i = 0; i < search->count; i++) {
        size_t other = search->order[i];

        if (other == source || !rafsi_rounds_wants(&search->rounds, other) ||
            rafsi_health_rank(search->reader, search->blob, other) >= HEALTH_ABSENT)
            continue;
        ++*others;
        *left += i >= search->at && wants(search, other);
    }
}

bool rafsi_search_next(struct search *search, size_t *source, const rafs_call **part)
{
    struct rafsi_reader *reader = search->reader;
    size_t others = 0, left = 0, next;

    for (;;) {
        while (search->at < search->count && !wants(search, search->order[search->at]))
            search->at++;
        if (search->at < search->count)
            break;
        if (!rafsi_rounds_again(&search->rounds))
            return false;
        search->count = rafsi_blob_order(reader, search->blob, search->order);
        search->at = 0;
    }
    next = search->order[search->at++];
    if (search->failed != NO_SOURCE && search->failed != next)
        rafsi_stats_failover(&reader->stats, search->failed);
    if (search->tried >> next & 1)
        rafsi_stats_retry(&reader->stats, next);
    search->failed = NO_SOURCE;
    /* A folder answers, or fails, at once: its time is nobody's. */
    if (reader->source_count > 1 && rafsi_backend_remote(reader->sources[next]))
        count_others(search, next, &others, &left);
    /* A source that is asked at the same time takes no part of its own. */
    if (left > 0 && rafsi_search_backup(search) != NO_SOURCE)
        left--;
    *part = rafsi_rounds_part(&search->rounds, others, left,
                              rafsi_health_usual_ns(reader, next, search->len));
    if (search->fresh >> next & 1) {
        search->fresh_call = *part ? **part : (rafs_call)RAFS_CALL_INIT;
        search->fresh_call.flags |= RAFS_CALL_FRESH;
        *part = &search->fresh_call;
    }
    *source = next;
    return true;
}

size_t rafsi_search_backup(const struct search *search)
{
    for (size_t i = search->at; search->reader->racers && i < search->count; i++) {
        size_t source = search->order[i];

        if (wants(search, source) &&
            rafsi_health_rank(search->reader, search->blob, source) == HEALTH_GOOD)
            return source;
    }
    return NO_SOURCE;
}

void rafsi_search_failed(struct search *search, size_t source, int rc,
                         const rafs_error *err)
{
    /* Who was given all the time there is has had it; who says no means it. */
    bool again = (rc == RAFS_E_BACKEND || rc == RAFS_E_TIMEOUT) &&
                 err->os_errno != EACCES && search->rounds.end_ns != 0 &&
                 rafsi_backend_remote(search->reader->sources[source]);

    search->tried |= (uint32_t)1 << source;
    /* Who lied may not have been the source. */
    if (rc == RAFS_E_CORRUPT && !(search->fresh >> source & 1) &&
        rafsi_backend_relayed(search->reader->sources[source])) {
        search->fresh |= (uint32_t)1 << source;
        again = true;
    }
    if (rc != RAFS_E_NOENT)
        search->failed = source;
    rafsi_rounds_failed(&search->rounds, source, rc, again, err);
}

void rafsi_search_beaten(struct search *search, size_t source)
{
    search->rounds.waiting |= (uint32_t)1 << source;
}

int rafsi_search_end(struct search *search, rafs_error *err)
{
    int rc = rafsi_rounds_end(&search->rounds, err);

    if (rc != RAFS_E_NOENT)
        return rc;
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, ENOENT, NULL,
                         search->count == 0 ? "no source of blobs was given for it"
                                            : "none of the sources has it");
}
