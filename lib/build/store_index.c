/* SPDX-License-Identifier: Apache-2.0 */
#include "build/store_index.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/store_write.h"

static int fail_path(rafs_error *err, const char *path, const char *what)
{
    int os_errno = errno;
    char reason[128];

    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_OPEN, os_errno, path,
                         "chunk store index: %s: %s", what,
                         strerror_r(os_errno, reason, sizeof(reason)));
}

/* Like `mkdir -p`. */
static int make_dirs(char *path, rafs_error *err)
{
    for (char *at = path + 1; *path; at++) {
        char kept = *at;
        int made;

        if (kept != '/' && kept != '\0')
            continue;
        *at = '\0';
        made = mkdir(path, 0777) == 0 || errno == EEXIST;
        if (!made)
            fail_path(err, path, "cannot be made");
        *at = kept;
        if (!made)
            return RAFS_E_BACKEND;
        if (kept == '\0')
            return RAFS_OK;
    }
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "store_index",
                      "the directory of the index has no name");
}

static int open_dir(struct rafsi_store_index *index, const char *path, rafs_error *err)
{
    char *copy = rafsi_strdup(index->env, path);
    int rc = copy ? make_dirs(copy, err) : rafsi_fail_nomem(err, strlen(path) + 1);

    rafsi_free(index->env, copy);
    if (rc < 0)
        return rc;
    index->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return index->dir < 0 ? fail_path(err, path, "cannot be opened") : RAFS_OK;
}

/* Which of the index's blobs are where this build's blobs go to? What cannot be told is
 * not referred to, and not forgotten either. */
static int look_for_blobs(struct rafsi_store_index *index, const rafs_call *call,
                          rafs_error *err)
{
    const rafs_sink *sink = index->sink;
    size_t bytes = (index->file.blob_count + 1) * sizeof(*index->blobs);

    index->blobs = rafsi_alloc_zero(index->env, bytes);
    if (!index->blobs)
        return rafsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; i < index->file.blob_count; i++) {
        const struct store_blob *blob = &index->file.blobs[i];
        rafs_error why = RAFS_ERROR_INIT;
        int rc = sink && sink->ops.has ? sink->ops.has(sink->user, blob->record.id,
                                                       blob->file_size, call, &why)
                                       : RAFS_OK;

        index->blobs[i].number = NO_BLOB;
        index->blobs[i].usable =
            rc == RAFS_OK &&
            rafsi_borrow_allowed(index->borrow->image, &blob->record, NULL) == RAFS_OK;
        index->blobs[i].gone = rc == RAFS_E_NOENT;
        if (rc < 0 && rc != RAFS_E_NOENT)
            rafsi_log(index->env, RAFS_LOG_WARNING,
                      "chunk store index: blob %s is not used: %s", blob->record.id,
                      why.text);
    }
    return RAFS_OK;
}

int rafsi_store_index_load(const struct rafsi_store_index *index, struct store_file *out,
                           const rafs_call *call, rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;
    int rc = rafsi_store_open(index->borrow->image, index->dir, out, call, &why);

    if (rc == RAFS_E_CORRUPT)
        rafsi_log(index->env, RAFS_LOG_WARNING,
                  "chunk store index: %s at byte %llu: %s; it is left out", why.object,
                  (unsigned long long)why.offset, why.text);
    if (rc == RAFS_E_CORRUPT || rc == RAFS_E_NOENT) {
        *out = (struct store_file){.env = index->env, .fd = -1};
        return RAFS_OK;
    }
    if (rc < 0 && err)
        *err = why;
    return rc;
}

static int find(void *user, const uint8_t digest[32], uint32_t size, uint32_t *number,
                rafs_error *err)
{
    struct rafsi_store_index *index = user;
    struct chunk_record record;
    struct known_blob *blob;
    bool found = false;
    int rc = index->file.fan
                 ? rafsi_store_find(&index->file, digest, &record, &found, err)
                 : RAFS_OK;

    if (rc < 0)
        return rafsi_fail_object(err, rc, "chunk store index");
    if (!found || record.uncompressed_size != size || !index->blobs[record.blob].usable)
        return RAFS_E_NOENT;
    blob = &index->blobs[record.blob];
    if (blob->number == NO_BLOB)
        rc = rafsi_borrow_blob(index->borrow, &index->file.blobs[record.blob].record,
                               index->borrow->image->layers - 1, &blob->number, err);
    if (rc == RAFS_OK)
        rc = rafsi_borrow_chunk(index->borrow, &record, blob->number, number, err);
    return rc < 0 ? rafsi_fail_object(err, rc, "chunk store index") : rc;
}

int rafsi_store_index_new(struct rafsi_borrow *borrow, rafs_sink *sink, const char *path,
                          const rafs_call *call, struct rafsi_store_index **out,
                          rafs_error *err)
{
    const struct rafsi_env *env = &borrow->image->env;
    struct rafsi_store_index *index = rafsi_alloc_zero(env, sizeof(*index));
    int rc;

    if (!index)
        return rafsi_fail_nomem(err, sizeof(*index));
    *index = (struct rafsi_store_index){.env = env,
                                        .borrow = borrow,
                                        .sink = sink,
                                        .known = {index, find},
                                        .dir = -1,
                                        .file = {.env = env, .fd = -1}};
    rc = open_dir(index, path, err);
    if (rc == RAFS_OK)
        rc = rafsi_store_index_load(index, &index->file, call, err);
    if (rc == RAFS_OK)
        rc = look_for_blobs(index, call, err);
    if (rc < 0)
        rafsi_store_index_free(index);
    else
        *out = index;
    return rc;
}

void rafsi_store_index_free(struct rafsi_store_index *index)
{
    if (!index)
        return;
    rafsi_store_close(&index->file);
    if (index->dir >= 0)
        close(index->dir);
    rafsi_free(index->env, index->blobs);
    rafsi_free(index->env, index);
}

const struct rafsi_known *rafsi_store_index_known(const struct rafsi_store_index *index)
{
    return index ? &index->known : NULL;
}
