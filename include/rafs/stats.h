/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_STATS_H
#define RAFS_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "image.h"

/**
 * @file
 * What an image has done so far: counters, the last failures, and the counters as text.
 *
 * Counters lie in families (metrics), which a program walks without knowing them: a table
 * tells the name, the unit and the labels of each, and an image gives its samples. A new
 * version of the library may have more families, and more values of a label, and never
 * changes the meaning of one that it had.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** What bytes are fetched for: the label "cause". Values never change; new ones may come.
 */
enum {
    RAFS_CAUSE_DEMAND = 0,   /**< somebody reads them, and waits */
    RAFS_CAUSE_AHEAD = 1,    /**< they lie beside what is read, or come next */
    RAFS_CAUSE_PREFETCH = 2, /**< a list, a trace or a call asked for them beforehand */
    RAFS_CAUSE_METADATA = 3, /**< blob meta, tables of contents, lists of digests */
    RAFS_CAUSE_OPEN = 4,     /**< manifest and bootstrap */
    RAFS_CAUSE_CHECK = 5     /**< rafs_image_check() */
};

/**
 * Name of a cause.
 *
 * @param cause  any value
 * @return "demand", "ahead", "prefetch", "metadata", "open", "check"; "?" for a value
 *         unknown to this version. Borrowed, valid for ever.
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API const char *rafs_cause_name(uint32_t cause);

/** What happens to a request on its way; for rafs_call_count(). */
enum {
    RAFS_EVENT_SENT = 0,     /**< a request went out, a second try too */
    RAFS_EVENT_RECEIVED = 1, /**< bytes of answers came in, of errors too */
    RAFS_EVENT_RETRY = 2,    /**< it is tried again */
    RAFS_EVENT_REDIRECT = 3, /**< it goes on at another URL */
    RAFS_EVENT_RENEWAL = 4,  /**< a token was asked for */
    RAFS_EVENT_HEDGE = 5,    /**< a second source was asked while the first was slow */
    RAFS_EVENT_FAILOVER = 6  /**< another source was asked since this one failed */
};

/**
 * Count what a request causes. For backends of a program: the counts go to the image and
 * the source that the call is made for.
 *
 * @param call   what the backend's function was given; NULL counts nothing
 * @param event  RAFS_EVENT_; others count nothing
 * @param n      how many, or bytes
 *
 * Not to be called once the backend's function has returned. Never blocks. Any thread.
 * Source: none. Since: 1.0.
 */
RAFS_API void rafs_call_count(const rafs_call *call, uint32_t event, uint64_t n);

/** Families of counters. Values never change; new ones may come. */
enum {
    RAFS_METRIC_READS = 1,            /**< reads of files that succeeded */
    RAFS_METRIC_READ_BYTES = 2,       /**< bytes that they gave */
    RAFS_METRIC_READ_ERRORS = 3,      /**< reads that failed, by kind */
    RAFS_METRIC_CHUNKS = 4,           /**< chunks that were wanted, by origin, cause */
    RAFS_METRIC_CHUNK_WAIT = 5,       /**< histogram: readers' waits for a chunk that
                                           was not in memory */
    RAFS_METRIC_WAITING = 6,          /**< readers that wait for a chunk now */
    RAFS_METRIC_OLDEST_WAIT = 7,      /**< how long the first of them has; 0: none */
    RAFS_METRIC_REQUESTS = 8,         /**< reads that backends were asked for, by
                                           source, cause; with RAFS_CAUSE_OPEN: sent */
    RAFS_METRIC_FETCHED_BYTES = 9,    /**< bytes that backends gave, by source, cause */
    RAFS_METRIC_REQUEST_TIME = 10,    /**< histogram: what backends took to answer */
    RAFS_METRIC_REQUESTS_ACTIVE = 11, /**< requests that run now */
    RAFS_METRIC_OLDEST_REQUEST = 12,  /**< how long the first of them has; 0: none */
    RAFS_METRIC_SOURCE_ERRORS = 13,   /**< answers that were errors or failed the check,
                                           by source, kind */
    RAFS_METRIC_SENT_REQUESTS = 14,   /**< on the wire, by source; 0 without one */
    RAFS_METRIC_RECEIVED_BYTES = 15,  /**< bytes of answers on the wire, by source */
    RAFS_METRIC_RETRIES = 16,         /**< requests that were tried again, by source */
    RAFS_METRIC_REDIRECTS = 17,       /**< redirects followed, by source */
    RAFS_METRIC_RENEWALS = 18,        /**< tokens asked for, by source */
    RAFS_METRIC_HEDGES = 19,          /**< second sources asked early, by source */
    RAFS_METRIC_FAILOVERS = 20,       /**< times that another source was asked since this
                                           one failed, by source */
    RAFS_METRIC_CACHE_WRITE_ERRORS = 21, /**< chunks that the disk cache did not take */
    RAFS_METRIC_MEMORY_BYTES = 22,       /**< verified chunks in memory now */
    RAFS_METRIC_CACHE_REFUSED = 23 /**< chunks from a rafs_cache that failed the check */
};

/** Kinds of metrics. */
enum {
    RAFS_METRIC_KIND_COUNTER = 1,  /**< only grows while the image is open */
    RAFS_METRIC_KIND_GAUGE = 2,    /**< what is now */
    RAFS_METRIC_KIND_HISTOGRAM = 3 /**< how many were how long */
};

/** A family. Set struct_size before the call. Texts are borrowed, valid for ever. */
typedef struct rafs_metric {
    uint32_t struct_size; /**< sizeof(rafs_metric) */
    uint32_t id;          /**< RAFS_METRIC_ */
    uint32_t kind;        /**< RAFS_METRIC_KIND_COUNTER … */
    uint32_t label_count; /**< of labels */
    /** Of OpenMetrics, without "_total": "rafs_fetched_bytes". */
    const char *name;
    /** "bytes", "seconds" (samples are nanoseconds), or "": a number of things. */
    const char *unit;
    const char *help;      /**< one sentence */
    const char *labels[2]; /**< their names; NULL after the last */
} rafs_metric;

/** What a sample is of its family. */
enum {
    RAFS_SAMPLE_VALUE = 0,  /**< of a counter or gauge */
    RAFS_SAMPLE_BUCKET = 1, /**< histogram: as many took at most bound_ns */
    RAFS_SAMPLE_COUNT = 2,  /**< histogram: as many there were */
    RAFS_SAMPLE_SUM = 3     /**< histogram: as long they took together */
};

/** Upper ends of the buckets of every histogram: 1, 2, 5 times a power of ten, from
 *  0.1 ms to 50 s; then one without an end. */
enum { RAFS_HISTOGRAM_BUCKETS = 19 };

/** A number. 48 bytes. */
typedef struct rafs_sample {
    uint64_t value;        /**< things, bytes, or nanoseconds */
    uint64_t bound_ns;     /**< RAFS_SAMPLE_BUCKET: its upper end; UINT64_MAX: none */
    uint32_t part;         /**< RAFS_SAMPLE_ */
    uint32_t reserved;     /**< 0 */
    const char *labels[2]; /**< values of the family's labels; borrowed until the image is
                                closed. A source: its host or kind, with "#2" for a
                                second one of that name; never a secret */
    uint64_t reserved2;    /**< 0 */
} rafs_sample;

/**
 * How many families this version has: their ids are 1 to this number.
 *
 * @return RAFS_METRIC_CACHE_REFUSED or more
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API uint32_t rafs_metric_count(void);

/**
 * A family: name, unit, labels.
 *
 * @param id      1 to rafs_metric_count()
 * @param metric  out; struct_size set by the caller
 * @param err     out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no such family
 *
 * On failure *metric is unchanged. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_metric_get(uint32_t id, rafs_metric *metric, rafs_error *err);

/**
 * The samples of a family, in an order that stays the same.
 *
 * Samples of one family are read one after the other while others count on: a sum of them
 * may never have been true at one moment.
 *
 * @param image     open image
 * @param id        1 to rafs_metric_count()
 * @param first     sample to begin with, from 0
 * @param samples   out: room for capacity samples
 * @param capacity  samples
 * @param count     out: samples filled; 0 after the last
 * @param err       out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no such family, or an argument is NULL
 *
 * On failure *count is 0. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_image_get_samples(const rafs_image *image, uint32_t id, size_t first,
                                    rafs_sample *samples, size_t capacity, size_t *count,
                                    rafs_error *err);

/**
 * A family as one number: the sum of its samples; of a histogram, how many there were.
 *
 * @param image  open image
 * @param id     1 to rafs_metric_count()
 * @param value  out: things, bytes, or nanoseconds
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no such family, or an argument is NULL
 *
 * On failure *value is unchanged. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_image_get_counter(const rafs_image *image, uint32_t id, uint64_t *value,
                                    rafs_error *err);

/** How many failures an image keeps. */
enum { RAFS_FAILURES_KEPT = 32 };

/** Something that went wrong while bytes were fetched, whether the read succeeded in the
 *  end or not. 640 bytes. */
typedef struct rafs_failure {
    uint64_t number;   /**< 1 for an image's first; one that is missing is forgotten */
    uint64_t at_ns;    /**< on the clock of the image's environment */
    uint64_t unix_ns;  /**< the same moment since 1970, as the system's clock says */
    uint32_t cause;    /**< RAFS_CAUSE_ */
    uint32_t tries;    /**< how often the source was asked; 0: it was not */
    char source[88];   /**< as in samples; "": no source's fault */
    uint64_t reserved; /**< 0 */
    rafs_error error;  /**< what failed and where; without secrets */
} rafs_failure;

/**
 * The last failures of an image, oldest first.
 *
 * A source that lacks a blob which another one has is none, nor is what a cancelled call
 * leaves undone.
 *
 * @param image     open image
 * @param after     only those with a greater number; 0: all that are kept
 * @param failures  out: room for capacity failures
 * @param capacity  failures; RAFS_FAILURES_KEPT is enough for all
 * @param count     out: failures filled
 * @param err       out, optional
 * @return RAFS_OK, RAFS_E_BADARG
 *
 * On failure *count is 0. Never blocks on storage or the network. Any thread. Source:
 * none. Since: 1.0.
 */
RAFS_API int rafs_image_get_failures(const rafs_image *image, uint64_t after,
                                     rafs_failure *failures, size_t capacity,
                                     size_t *count, rafs_error *err);

/** An image among those whose counters are written. */
typedef struct rafs_metrics_image {
    const rafs_image *image; /**< not NULL */
    const char *name;        /**< value of the label "image"; NULL: without that label,
                                  which is for a single image */
} rafs_metrics_image;

/**
 * Write the counters of images as OpenMetrics text, "# EOF" at its end.
 *
 * @param images  all with a name of its own, or one without
 * @param count   images; 0 gives an empty exposition
 * @param buf     out: the text; may be NULL only if room is 0
 * @param room    bytes in buf
 * @param len     out: bytes of the whole text, without a NUL at its end; also where there
 *                was too little room
 * @param err     out, optional
 * @return RAFS_OK
 *         RAFS_E_RANGE   room is too small: *len bytes were needed this time; numbers
 *                        grow, so leave some room and loop
 *         RAFS_E_BADARG  an argument is NULL
 *
 * buf ends with a NUL where there is room for one after the text. On failure buf may hold
 * a part of it, and *len is 0, except for RAFS_E_RANGE. Never blocks. Any thread. Source:
 * OpenMetrics 1.0. Since: 1.0.
 */
RAFS_API int rafs_metrics_write(const rafs_metrics_image *images, size_t count, char *buf,
                                size_t room, size_t *len, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
