/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache of one's own: each chunk a file, named by its digest, so that equal chunks of
 * different images are kept once. What is given is verified like what a source gives:
 * nothing here needs to be careful about wrong bytes, not even about half a file.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed.h"

enum { NAME = 2 * RAFS_DIGEST_BYTES + 16 };

static void name_of(const rafs_cache_chunk *chunk, char name[NAME])
{
    size_t i;

    for (i = 0; i < RAFS_DIGEST_BYTES; i++)
        snprintf(name + 2 * i, 3, "%02x", chunk->digest[i]);
    snprintf(name + 2 * i, NAME - 2 * i, ".%u", (unsigned)chunk->digest_algorithm);
}

static int has(void *user, void *lease, const rafs_cache_chunk *chunk)
{
    struct keep *keep = user;
    char name[NAME];

    (void)lease;
    name_of(chunk, name);
    return faccessat(keep->directory, name, R_OK, 0) == 0;
}

static int lookup(void *user, void *lease, const rafs_cache_chunk *chunk, void *buf,
                  size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct keep *keep = user;
    char name[NAME];
    ssize_t n = 0;
    int fd;

    (void)lease;
    (void)call; /* a local disk; what can block longer looks at it */
    name_of(chunk, name);
    fd = openat(keep->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return RAFS_E_NOENT;
    *nread = 0;
    while (fd >= 0 && *nread < chunk->size) {
        n = read(fd, (char *)buf + *nread, chunk->size - *nread);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* fewer bytes count as none */
        *nread += (size_t)n;
    }
    if (fd < 0 || n < 0)
        rafs_error_set(err, RAFS_E_BACKEND, errno, name, "the cache cannot be read");
    if (fd >= 0)
        close(fd);
    return fd < 0 || n < 0 ? RAFS_E_BACKEND : RAFS_OK;
}

static uint64_t next_number(struct keep *keep)
{
    uint64_t number;

    pthread_mutex_lock(&keep->lock);
    number = keep->stored++;
    pthread_mutex_unlock(&keep->lock);
    return number;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return 0;
        data += n;
        len -= (size_t)n;
    }
    return 1;
}

/* Under another name first, so that nobody finds half of it. */
static int store(void *user, void *lease, const rafs_cache_chunk *chunk, const void *data,
                 const rafs_call *call, rafs_error *err)
{
    struct keep *keep = user;
    char name[NAME], begun[64];
    int fd, good;

    (void)lease;
    (void)call;
    name_of(chunk, name);
    snprintf(begun, sizeof begun, "new-%ld-%llu", (long)getpid(),
             (unsigned long long)next_number(keep));
    fd = openat(keep->directory, begun, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    good = fd >= 0 && write_all(fd, data, chunk->size);
    if (fd >= 0)
        good = close(fd) == 0 && good;
    good = good && renameat(keep->directory, begun, keep->directory, name) == 0;
    if (good)
        return RAFS_OK;
    rafs_error_set(err, RAFS_E_BACKEND, errno, name, "the cache cannot be written");
    unlinkat(keep->directory, begun, 0);
    return RAFS_E_BACKEND;
}

static void wrong(void *user, void *lease, const rafs_cache_chunk *chunk)
{
    struct keep *keep = user;
    char name[NAME];

    (void)lease;
    name_of(chunk, name);
    unlinkat(keep->directory, name, 0);
}

static void release(void *user)
{
    struct keep *keep = user;

    close(keep->directory);
    pthread_mutex_destroy(&keep->lock);
}

int keep_new(struct keep *keep, const char *directory, const rafs_env *env,
             rafs_cache **out, rafs_error *err)
{
    rafs_cache_ops ops = RAFS_CACHE_OPS_INIT;
    int rc;

    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return rafs_error_set(err, RAFS_E_BACKEND, errno, directory, "cannot be made");
    keep->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    keep->stored = 0;
    if (keep->directory < 0)
        return rafs_error_set(err, RAFS_E_BACKEND, errno, directory, "cannot be opened");
    pthread_mutex_init(&keep->lock, NULL);
    ops.has = has;
    ops.lookup = lookup;
    ops.store = store;
    ops.wrong = wrong;
    ops.release = release;
    rc = rafs_cache_new(&ops, keep, env, out, err);
    if (rc < 0)
        release(keep); /* a failed call took nothing */
    return rc;
}
