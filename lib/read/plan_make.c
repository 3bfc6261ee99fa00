/* SPDX-License-Identifier: Apache-2.0 */
/* From what a caller wants to have prefetched to a plan. */
#include "read/plan.h"

#include "read/trace.h"

static int plan_table(struct plan *plan, const rafs_call *call, rafs_error *err)
{
    const struct rafsi_tree *tree = plan->reader->tree;
    uint32_t first = 0;
    size_t count = 1;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && count > 0) {
        uint64_t inos[64];

        rc = rafsi_tree_prefetch(tree, first, inos, 64, &count, err);
        for (size_t i = 0; rc == RAFS_OK && i < count; i++) {
            rc = rafsi_plan_inode(plan, inos[i], call, err);
            if (rc == RAFS_E_BADARG) {
                /* A list that names what is not there is no reason to read nothing. */
                rafsi_log(&plan->reader->env, RAFS_LOG_WARNING,
                          "entry %zu of the prefetch table is no inode", first + i);
                rc = RAFS_OK;
            }
        }
        first += (uint32_t)count;
    }
    return rc;
}

static int plan_range(struct plan *plan, const rafs_prefetch_range *range,
                      const rafs_call *call, rafs_error *err)
{
    struct rafsi_node file;
    uint64_t until;
    int rc;

    if (range->offset == 0 && range->length == 0)
        return rafsi_plan_inode(plan, range->ino, call, err);
    if (range->length == 0 || !rafsi_add(range->offset, range->length, &until))
        until = UINT64_MAX;
    rc = rafsi_tree_file(plan->reader->tree, range->ino, &file, err);
    return rc < 0 ? rc : rafsi_plan_file(plan, &file, range->offset, until, call, err);
}

static int plan_list(struct plan *plan, const rafs_prefetch_options *options,
                     const rafs_call *call, rafs_error *err)
{
    int rc = RAFS_OK;

    for (size_t i = 0; rc == RAFS_OK && i < options->path_count; i++) {
        uint64_t ino;

        rc = rafsi_tree_resolve(plan->reader->tree, options->paths[i], 0, &ino, err);
        if (rc == RAFS_OK)
            rc = rafsi_plan_inode(plan, ino, call, err);
        rafsi_fail_object(err, rc, "%s", options->paths[i]);
    }
    for (size_t i = 0; rc == RAFS_OK && i < options->range_count; i++)
        rc = plan_range(plan, &options->ranges[i], call, err);
    return rc;
}

enum { SEGMENT_FIRST = 16 << 20, SEGMENT_LAST = 128 << 20 };

/* What the image has no place for was made up, and is left out. */
static int plan_event(struct plan *plan, const struct trace_event *event,
                      const rafs_call *call, rafs_error *err)
{
    struct rafsi_reader *reader = plan->reader;
    struct rafsi_node file;

    if (event->ino == 0)
        return rafsi_plan_number(plan, event->blob, event->chunk, err);
    if (rafsi_tree_file(reader->tree, event->ino, &file, NULL) < 0)
        return RAFS_OK;
    return rafsi_plan_file(plan, &file, event->offset, event->offset + 1, call, err);
}

/*
 * In the order of time, yet in few requests: the trace is cut into segments, and each
 * ordered by place. They grow, since what is needed first should come first, and what is
 * needed late may come in any order.
 */
int rafsi_plan_trace(struct plan *plan, const rafs_trace *trace, const rafs_call *call,
                     rafs_error *err)
{
    uint64_t segment = SEGMENT_FIRST, bytes = 0;
    size_t from = 0;

    for (uint32_t i = 0; i < trace->header.events; i++) {
        struct trace_event event;
        int rc = rafsi_call_check(&plan->reader->env, call, RAFS_STAGE_METADATA, err);

        rafsi_trace_event(rafsi_trace_span(trace), &trace->header, i, &event);
        if (rc == RAFS_OK)
            rc = plan_event(plan, &event, call, err);
        if (rc < 0)
            return rc;
        bytes += event.stored_size;
        if (bytes < segment)
            continue;
        rafsi_plan_sort(plan, from);
        from = plan->count;
        segment = rafsi_min(2 * segment, SEGMENT_LAST);
        bytes = 0;
    }
    rafsi_plan_sort(plan, from);
    return RAFS_OK;
}

static int plan_checked_trace(struct plan *plan, const rafs_trace *trace,
                              const rafs_call *call, rafs_error *err)
{
    uint8_t digest[RAFSI_DIGEST_BYTES];
    int rc = rafsi_trace_digest(plan->reader, call, digest, err);

    if (rc == RAFS_OK && memcmp(digest, trace->header.bootstrap, sizeof(digest)) != 0)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "trace",
                        "is of another image: its bootstrap has another digest");
    return rc < 0 ? rc : rafsi_plan_trace(plan, trace, call, err);
}

int rafsi_plan_make(struct plan *plan, const rafs_prefetch_options *options,
                    const rafs_call *call, rafs_error *err)
{
    int rc;

    switch (options->what) {
    case RAFS_PREFETCH_TABLE:
        rc = plan_table(plan, call, err);
        break;
    case RAFS_PREFETCH_LIST:
        rc = plan_list(plan, options, call, err);
        break;
    case RAFS_PREFETCH_TRACE:
        return plan_checked_trace(plan, options->trace, call, err);
    default:
        rc = rafsi_plan_path(plan, "/", call, err);
    }
    if (rc == RAFS_OK)
        rafsi_plan_sort(plan, 0);
    return rc;
}

int rafsi_plan_check(const rafs_prefetch_options *options, rafs_error *err)
{
    const char *object = "rafs_prefetch_options";

    if (options->flags != 0 || options->what > RAFS_PREFETCH_TRACE)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, object,
                          "flags 0x%x, what %u are not known", options->flags,
                          options->what);
    if (options->threads > CREW_WIDTH_MAX)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, object,
                          "more than %d threads", CREW_WIDTH_MAX);
    if (options->what == RAFS_PREFETCH_TRACE && !options->trace)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, object,
                          "a trace is to be replayed, but none is given");
    if ((options->path_count > 0 && !options->paths) ||
        (options->range_count > 0 && !options->ranges))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, object,
                          "a count without its list");
    for (size_t i = 0; i < options->path_count; i++)
        if (!options->paths[i])
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, object,
                              "one of paths is NULL");
    return RAFS_OK;
}
