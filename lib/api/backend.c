/* SPDX-License-Identifier: Apache-2.0 */
/* Images that lie at a backend, beside the blobs. */
#include "backend/backend.h"
#include "api/open.h"

/* What a request may bring at once: a backend may hold all of it in memory. */
enum { STEP_BYTES = 4 << 20 };

static int read_all(const struct wishes *wishes, struct rafsi_blob_handle *handle,
                    const char *name, uint8_t *to, size_t size, uint64_t *requests,
                    rafs_error *err)
{
    int rc = RAFS_OK;

    for (size_t done = 0; rc == RAFS_OK && done < size; done += STEP_BYTES)
        rc = rafsi_backend_read(handle, name, done, to + done,
                                (size_t)rafsi_min(size - done, STEP_BYTES), &wishes->call,
                                requests, err);
    return rc;
}

static int fetch(const struct wishes *wishes, rafs_backend *backend, const char *name,
                 uint8_t **out, size_t *out_len, uint64_t *requests, rafs_error *err)
{
    uint64_t limit = wishes->limits.inlined_bootstrap_bytes;
    struct rafsi_blob_handle handle = {NULL, NULL};
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    int rc = rafsi_backend_open(backend, name, &wishes->call, &handle, err);

    if (rc < 0)
        return rc;
    rc = rafsi_backend_size(&handle, name, &wishes->call, &size, err);
    if (rc == RAFS_OK && size == 0)
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL, "is empty");
    if (rc == RAFS_OK && size > limit)
        rc = rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, NULL,
                        "has %llu bytes; inlined_bootstrap_bytes in rafs_limits allows "
                        "%llu",
                        (unsigned long long)size, (unsigned long long)limit);
    if (rc == RAFS_OK) {
        bytes = rafsi_alloc(&wishes->env, (size_t)size);
        rc = bytes ? read_all(wishes, &handle, name, bytes, (size_t)size, requests, err)
                   : rafsi_fail_nomem(err, (size_t)size);
    }
    rafsi_backend_close(&handle);
    if (rc < 0) {
        rafsi_free(&wishes->env, bytes);
        return rc;
    }
    *out = bytes;
    *out_len = (size_t)size;
    return RAFS_OK;
}

int rafs_image_open_backend(rafs_backend *backend, const char *name,
                            const rafs_open_options *options, rafs_image **out,
                            const rafs_call *call, rafs_error *err)
{
    struct origin origin = {.fd = -1};
    struct wishes wishes;
    struct rafs_tally tally = {0};
    uint64_t requests = 0;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc;

    if (!backend || !name || !out)
        return rafsi_fail_null(err, !backend ? "backend" : out ? "name" : "out");
    if (rafsi_check_blob_id((const uint8_t *)name, strlen(name), 0, NULL) < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "name",
                          "is not 1 to %d bytes without '/' and control characters",
                          RAFS_BLOB_ID_MAX);
    rc = rafsi_wishes_take(options, call, &wishes, err);
    if (rc < 0)
        return rc;
    if (!wishes.options.name)
        wishes.options.name = name;
    wishes.call.tally = &tally;
    rc = fetch(&wishes, backend, name, &bytes, &len, &requests, err);
    wishes.call.tally = NULL;
    if (rc < 0)
        return rafsi_fail_object(err, rc, "%s", name);
    origin.memory = bytes;
    origin.size = len;
    rc = rafsi_image_make(&origin, &wishes, out, err);
    if (rc == RAFS_OK) {
        (*out)->own_bootstrap = bytes;
        rafsi_reader_opened((*out)->reader, backend, &tally, requests, len);
    } else {
        rafsi_free(&wishes.env, bytes);
    }
    return rc;
}
