/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file for each layer, named by SHA-256 of what it was made of: the options as bytes,
 * the layer's digest. All numbers are little endian.
 *
 *     0  "RAFSLAY1"
 *     8  digest of the layer
 *    40  digest of its blob
 *    72  u64 bytes of the blob
 *    80  u64 bytes of files
 *    88  u64 entries left out
 *    96  u32 bytes of the table of contents; u32 1: there are chunks in the blob
 *   104  digest of the table of contents
 *   136  u64 bytes of the bootstrap
 *   144  repository that the blob was made for, "HOST/REPO", filled up with zeros
 *   704  SHA-256 of all before and of the bootstrap
 *   736  the bootstrap
 *
 * Files appear complete, by rename, and are compared with their checksum when read.
 */
#include "convert/reuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    AT_LAYER = 8,
    AT_BLOB = 40,
    AT_BLOB_SIZE = 72,
    AT_FILE_BYTES = 80,
    AT_SKIPPED = 88,
    AT_TOC_SIZE = 96,
    AT_HAS_DATA = 100,
    AT_TOC = 104,
    AT_BOOT_LEN = 136,
    AT_REPO = 144,
    AT_SUM = 704,
    HEAD = 736,
    REPO_BYTES = AT_SUM - AT_REPO
};
#define MAGIC "RAFSLAY1"
#define BOOT_MAX ((uint64_t)1 << 30)

struct convert_reuse {
    rafs_target *to;
    const struct rafsi_env *env;
    int dir;
    uint8_t options[OCI_DIGEST_BYTES];
    char repo[REPO_BYTES]; /* of the target; "": it is no registry */
};

static void put_number(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t number(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static int add_number(struct rafsi_hash *hash, uint64_t value, rafs_error *err)
{
    uint8_t bytes[8];

    put_number(bytes, value, sizeof(bytes));
    return rafsi_hash_add(hash, bytes, sizeof(bytes), err);
}

static int add_maps(struct rafsi_hash *hash, const rafs_id_map *maps, size_t count,
                    rafs_error *err)
{
    int rc = add_number(hash, count, err);

    for (size_t i = 0; i < count && rc == RAFS_OK; i++) {
        rc = add_number(hash, maps[i].from, err);
        if (rc == RAFS_OK)
            rc = add_number(hash, maps[i].to, err);
        if (rc == RAFS_OK)
            rc = add_number(hash, maps[i].count, err);
    }
    return rc;
}

static int add_texts(struct rafsi_hash *hash, const char *const *texts, size_t count,
                     rafs_error *err)
{
    int rc = add_number(hash, count, err);

    for (size_t i = 0; i < count && rc == RAFS_OK; i++)
        rc = rafsi_hash_add(hash, texts[i], strlen(texts[i]) + 1, err);
    return rc;
}

/* All that a layer's blob depends on, besides the layer and how this library builds. */
static int add_options(struct rafsi_hash *hash, const rafs_build_options *o,
                       rafs_error *err)
{
    const uint64_t numbers[] = {
        o->flags,     o->version,    o->compressor,         (uint64_t)(int64_t)o->level,
        o->digest,    o->chunk_size, o->batch_size,         o->dedup,
        o->owner_uid, o->owner_gid,  (uint64_t)o->mtime_max};
    int rc = rafsi_hash_add(hash, "librafs layers 1", 16, err);

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) && rc == RAFS_OK; i++)
        rc = add_number(hash, numbers[i], err);
    if (rc == RAFS_OK)
        rc = add_maps(hash, o->uid_maps, o->uid_map_count, err);
    if (rc == RAFS_OK)
        rc = add_maps(hash, o->gid_maps, o->gid_map_count, err);
    if (rc == RAFS_OK)
        rc = add_texts(hash, o->exclude, o->exclude_count, err);
    return rc < 0 ? rc : add_texts(hash, o->prefetch, o->prefetch_count, err);
}

static int hash_options(struct convert_reuse *kept, const rafs_build_options *options,
                        rafs_error *err)
{
    struct rafsi_hash hash;
    int rc = rafsi_hash_begin(kept->to->hashes, RAFSI_SHA256, &hash, err);

    if (rc == RAFS_OK)
        rc = add_options(&hash, options, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, kept->options, err);
    rafsi_hash_drop(&hash);
    return rc;
}

/* Who can write here decides what images hold. */
static int open_dir(const char *dir, int *fd, rafs_error *err)
{
    struct stat st;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_OPEN, errno, dir,
                             "cannot be made");
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &st) < 0)
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_OPEN, errno, dir,
                             "cannot be opened as a directory");
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_OPEN, dir,
                          "others than its owner can write to it, or it is not ours: "
                          "what lies in it decides what images hold");
    return RAFS_OK;
}

int rafsi_reuse_open(rafs_target *to, const char *dir, const struct convert_build *build,
                     struct convert_reuse **out, rafs_error *err)
{
    const struct oci_where *where = &to->where;
    struct convert_reuse *kept;
    int rc;

    if (build->options.dictionary_count > 0 || build->options.store_index)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "cache_dir",
                          "what layers become depends on dictionaries and on an index of "
                          "chunks, so that they cannot be reused");
    kept = rafsi_alloc_zero(&to->env, sizeof(*kept));
    if (!kept)
        return rafsi_fail_nomem(err, sizeof(*kept));
    kept->to = to;
    kept->env = &to->env;
    kept->dir = -1;
    if (where->kind == OCI_IN_REGISTRY)
        snprintf(kept->repo, sizeof(kept->repo), "%s/%s", where->reference.host,
                 where->reference.repo);
    rc = open_dir(dir, &kept->dir, err);
    if (rc == RAFS_OK)
        rc = hash_options(kept, &build->options, err);
    if (rc < 0)
        rafsi_reuse_close(kept);
    else
        *out = kept;
    return rc;
}

void rafsi_reuse_close(struct convert_reuse *kept)
{
    struct rafsi_env env;

    if (!kept)
        return;
    env = *kept->env;
    if (kept->dir >= 0)
        close(kept->dir);
    rafsi_free(&env, kept);
}

static int name_of(const struct convert_reuse *kept, const uint8_t *layer, char out[72],
                   rafs_error *err)
{
    uint8_t both[2 * OCI_DIGEST_BYTES], digest[OCI_DIGEST_BYTES];
    char hex[65];
    int rc;

    memcpy(both, kept->options, OCI_DIGEST_BYTES);
    memcpy(both + OCI_DIGEST_BYTES, layer, OCI_DIGEST_BYTES);
    rc =
        rafsi_hash_bytes(kept->to->hashes, RAFSI_SHA256, both, sizeof(both), digest, err);
    rafsi_digest_hex(digest, hex);
    snprintf(out, 72, "%s.layer", hex);
    return rc;
}

static int sum_of(const struct convert_reuse *kept, const uint8_t *head,
                  const uint8_t *boot, size_t len, uint8_t *out, rafs_error *err)
{
    struct rafsi_hash hash;
    int rc = rafsi_hash_begin(kept->to->hashes, RAFSI_SHA256, &hash, err);

    if (rc == RAFS_OK)
        rc = rafsi_hash_add(&hash, head, AT_SUM, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_add(&hash, boot, len, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, out, err);
    rafsi_hash_drop(&hash);
    return rc;
}

/* Head and bootstrap of a file that is what it was when it was written. */
static int read_file(const struct convert_reuse *kept, const uint8_t *layer, int fd,
                     uint8_t head[HEAD], uint8_t **boot, rafs_error *err)
{
    uint8_t sum[OCI_DIGEST_BYTES];
    uint64_t size = 0, len;
    size_t got = 0;
    int rc = rafsi_file_size(fd, &size, err);

    if (rc == RAFS_OK)
        rc = rafsi_file_read(fd, 0, head, HEAD, &got, err);
    if (rc < 0)
        return rc;
    len = number(head + AT_BOOT_LEN, 8);
    if (got < HEAD || memcmp(head, MAGIC, 8) != 0 || len > BOOT_MAX ||
        size != HEAD + len || memcmp(head + AT_LAYER, layer, OCI_DIGEST_BYTES) != 0 ||
        head[AT_SUM - 1] != '\0')
        return RAFS_E_CORRUPT;
    *boot = rafsi_alloc(kept->env, (size_t)len + 1);
    if (!*boot)
        return rafsi_fail_nomem(err, (size_t)len);
    rc = rafsi_file_read(fd, HEAD, *boot, (size_t)len, &got, err);
    if (rc == RAFS_OK)
        rc = sum_of(kept, head, *boot, got, sum, err);
    if (rc == RAFS_OK && (got < len || memcmp(sum, head + AT_SUM, sizeof(sum)) != 0))
        rc = RAFS_E_CORRUPT;
    return rc;
}

static void take(const uint8_t *head, struct convert_layer *layer)
{
    memcpy(layer->blob.digest, head + AT_BLOB, OCI_DIGEST_BYTES);
    layer->blob.size = number(head + AT_BLOB_SIZE, 8);
    layer->file_bytes = number(head + AT_FILE_BYTES, 8);
    layer->skipped = number(head + AT_SKIPPED, 8);
    layer->toc_size = (uint32_t)number(head + AT_TOC_SIZE, 4);
    layer->has_data = number(head + AT_HAS_DATA, 4) == 1;
    memcpy(layer->toc_digest, head + AT_TOC, OCI_DIGEST_BYTES);
    layer->boot_len = (size_t)number(head + AT_BOOT_LEN, 8);
}

/* The blob is in the target, or comes from where it was made for. */
static int have_blob(const struct convert_reuse *kept, const struct convert_layer *layer,
                     const char *repo, const rafs_call *call, rafs_error *err)
{
    uint64_t size = UINT64_MAX;
    int rc = kept->to->kind->has(kept->to, layer->blob.digest, &size, call, err);

    if (rc == RAFS_OK && size != UINT64_MAX && size != layer->blob.size)
        return RAFS_E_NOENT;
    if (rc == RAFS_E_NOENT && repo[0] && kept->repo[0] && strcmp(repo, kept->repo) != 0)
        rc = rafsi_target_mount(kept->to, layer->blob.digest, repo, call, err);
    return rc;
}

int rafsi_reuse_find(struct convert_reuse *kept, struct convert_layer *layer,
                     const rafs_call *call, rafs_error *err)
{
    struct convert_layer found = *layer;
    uint8_t head[HEAD], *boot = NULL;
    rafs_error why = RAFS_ERROR_INIT;
    char name[72];
    int fd = -1;
    int rc = name_of(kept, layer->from.digest, name, err);

    if (rc < 0)
        return rc;
    rc = rafsi_file_open(kept->dir, name, &fd, &why);
    if (rc == RAFS_OK)
        rc = read_file(kept, layer->from.digest, fd, head, &boot, &why);
    if (fd >= 0)
        close(fd);
    if (rc < 0 && rc != RAFS_E_NOENT)
        rafsi_log(kept->env, RAFS_LOG_WARNING, "%s of the build cache is damaged: %s",
                  name, why.text);
    if (rc < 0) {
        rafsi_free(kept->env, boot);
        return RAFS_E_NOENT;
    }
    take(head, &found);
    rc = have_blob(kept, &found, (const char *)head + AT_REPO, call, err);
    if (rc < 0) {
        rafsi_free(kept->env, boot);
        return rc;
    }
    found.boot = boot;
    found.reused = true;
    *layer = found;
    return RAFS_OK;
}

static bool write_all(int fd, const uint8_t *at, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, at, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        len -= (size_t)put;
    }
    return true;
}

static void fill_head(const struct convert_reuse *kept, const struct convert_layer *layer,
                      uint8_t head[HEAD])
{
    memset(head, 0, HEAD);
    memcpy(head, MAGIC, 8);
    memcpy(head + AT_LAYER, layer->from.digest, OCI_DIGEST_BYTES);
    memcpy(head + AT_BLOB, layer->blob.digest, OCI_DIGEST_BYTES);
    put_number(head + AT_BLOB_SIZE, layer->blob.size, 8);
    put_number(head + AT_FILE_BYTES, layer->file_bytes, 8);
    put_number(head + AT_SKIPPED, layer->skipped, 8);
    put_number(head + AT_TOC_SIZE, layer->toc_size, 4);
    put_number(head + AT_HAS_DATA, layer->has_data, 4);
    memcpy(head + AT_TOC, layer->toc_digest, OCI_DIGEST_BYTES);
    put_number(head + AT_BOOT_LEN, layer->boot_len, 8);
    memcpy(head + AT_REPO, kept->repo, strlen(kept->repo));
}

void rafsi_reuse_add(struct convert_reuse *kept, const struct convert_layer *layer)
{
    rafs_error why = RAFS_ERROR_INIT;
    uint8_t head[HEAD];
    char name[72], temporary[96];
    bool good;
    int fd;

    fill_head(kept, layer, head);
    if (name_of(kept, layer->from.digest, name, &why) < 0 ||
        sum_of(kept, head, layer->boot, layer->boot_len, head + AT_SUM, &why) < 0)
        return;
    /* Several processes may do the same at once: each by its own name. */
    snprintf(temporary, sizeof(temporary), ".%.16s-%ld-%llx", name, (long)getpid(),
             (unsigned long long)rafsi_seed());
    fd = openat(kept->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    good = fd >= 0 && write_all(fd, head, HEAD) &&
           write_all(fd, layer->boot, layer->boot_len);
    if (fd >= 0 && close(fd) < 0)
        good = false;
    if (good && renameat(kept->dir, temporary, kept->dir, name) == 0)
        return;
    rafsi_log(kept->env, RAFS_LOG_WARNING, "a layer could not be kept: error %d", errno);
    if (fd >= 0)
        unlinkat(kept->dir, temporary, 0);
}
