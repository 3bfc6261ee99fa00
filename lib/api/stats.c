/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

static int check_id(uint32_t id, rafs_error *err)
{
    if (id >= 1 && id <= rafsi_metric_count())
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "id",
                      "there is no metric %u; this version has 1 to %u", id,
                      rafsi_metric_count());
}

uint32_t rafs_metric_count(void)
{
    return rafsi_metric_count();
}

int rafs_metric_get(uint32_t id, rafs_metric *metric, rafs_error *err)
{
    rafs_metric made;
    int rc;

    if (!metric)
        return rafsi_fail_null(err, "metric");
    rc = check_id(id, err);
    if (rc < 0)
        return rc;
    rafsi_metric_get(id, &made);
    return rafsi_give_struct(&made, sizeof(made), metric, "rafs_metric", err);
}

int rafs_image_get_samples(const rafs_image *image, uint32_t id, size_t first,
                           rafs_sample *samples, size_t capacity, size_t *count,
                           rafs_error *err)
{
    int rc;

    if (count)
        *count = 0;
    if (!image || !count || (!samples && capacity > 0))
        return rafsi_fail_null(err, image ? "samples or count" : "image");
    rc = check_id(id, err);
    if (rc == RAFS_OK)
        *count = rafsi_reader_samples(image->reader, id, first, samples, capacity);
    return rc;
}

int rafs_image_get_counter(const rafs_image *image, uint32_t id, uint64_t *value,
                           rafs_error *err)
{
    enum { SOME = 16 };
    rafs_sample samples[SOME];
    rafs_metric metric = {0};
    uint64_t sum = 0;
    size_t count = SOME;
    int rc;

    if (!image || !value)
        return rafsi_fail_null(err, image ? "value" : "image");
    rc = check_id(id, err);
    if (rc < 0)
        return rc;
    rafsi_metric_get(id, &metric);
    for (size_t first = 0; count == SOME; first += SOME) {
        count = rafsi_reader_samples(image->reader, id, first, samples, SOME);
        for (size_t i = 0; i < count; i++)
            if (metric.kind != RAFS_METRIC_KIND_HISTOGRAM ||
                samples[i].part == RAFS_SAMPLE_COUNT)
                sum += samples[i].value;
    }
    *value = sum;
    return RAFS_OK;
}

int rafs_image_get_failures(const rafs_image *image, uint64_t after,
                            rafs_failure *failures, size_t capacity, size_t *count,
                            rafs_error *err)
{
    if (count)
        *count = 0;
    if (!image || !count || (!failures && capacity > 0))
        return rafsi_fail_null(err, image ? "failures or count" : "image");
    rafsi_reader_failures(image->reader, after, failures, capacity, count);
    return RAFS_OK;
}
