/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache of one's own: chunks kept in a list in memory, which two images share. A real
 * one would ask a database, another machine, or a daemon that several programs talk to.
 *
 *     cc -std=c99 own_cache.c $(pkg-config --cflags --libs rafs) -lpthread -o own_cache
 *     ./own_cache IMAGE PATH [BLOB_DIR]
 *
 * Reads the file twice, each time with a fresh image, and says where its chunks came
 * from. What the cache gives is verified like what a source gives: a mistake in here
 * costs time and no wrong byte.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rafs/rafs.h>

struct kept {
    struct kept *next;
    uint8_t digest[RAFS_DIGEST_BYTES];
    uint32_t size;
    unsigned char bytes[];
};

/* Callbacks come from any thread, several at once. */
struct list {
    pthread_mutex_t lock;
    struct kept *first;
};

/* Equal chunks of different blobs are the same here: the digest is the name. */
static struct kept *find(const struct list *list, const rafs_cache_chunk *chunk)
{
    struct kept *kept = list->first;

    while (kept && (kept->size != chunk->size ||
                    memcmp(kept->digest, chunk->digest, sizeof kept->digest) != 0))
        kept = kept->next;
    return kept;
}

static int lookup(void *user, void *lease, const rafs_cache_chunk *chunk, void *buf,
                  size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct list *list = user;
    struct kept *kept;

    (void)lease;
    (void)call; /* nothing blocks; what does has to keep its deadline */
    (void)err;
    pthread_mutex_lock(&list->lock);
    kept = find(list, chunk);
    if (kept) {
        memcpy(buf, kept->bytes, kept->size);
        *nread = kept->size;
    }
    pthread_mutex_unlock(&list->lock);
    return kept ? RAFS_OK : RAFS_E_NOENT;
}

static int store(void *user, void *lease, const rafs_cache_chunk *chunk, const void *data,
                 const rafs_call *call, rafs_error *err)
{
    struct list *list = user;
    struct kept *kept = malloc(sizeof *kept + chunk->size);

    (void)lease;
    (void)call;
    if (!kept)
        return rafs_error_set(err, RAFS_E_NOMEM, 0, "own cache", "out of memory");
    memcpy(kept->digest, chunk->digest, sizeof kept->digest);
    memcpy(kept->bytes, data, chunk->size);
    kept->size = chunk->size;
    pthread_mutex_lock(&list->lock);
    kept->next = list->first;
    list->first = kept;
    pthread_mutex_unlock(&list->lock);
    return RAFS_OK;
}

/* Called once, when the cache is closed. */
static void release(void *user)
{
    struct list *list = user;

    while (list->first) {
        struct kept *kept = list->first;

        list->first = kept->next;
        free(kept);
    }
    pthread_mutex_destroy(&list->lock);
}

static int read_once(const char *path, const char *file, const rafs_open_options *options,
                     rafs_error *err)
{
    rafs_stats stats = {.struct_size = sizeof stats};
    static char buf[65536];
    rafs_image *image = NULL;
    uint64_t ino, offset = 0;
    size_t n = 1;
    int rc = rafs_image_open_path(path, options, &image, NULL, err);

    if (rc == RAFS_OK)
        rc = rafs_image_resolve(image, file, 0, &ino, err);
    for (; rc == RAFS_OK && n > 0; offset += n)
        rc = rafs_image_read(image, ino, offset, sizeof buf, buf, &n, NULL, err);
    if (rc == RAFS_OK)
        rc = rafs_image_get_stats(image, &stats, err);
    if (rc == RAFS_OK)
        printf("%llu bytes: %llu chunks fetched, %llu requests\n",
               (unsigned long long)offset, (unsigned long long)stats.chunks_fetched,
               (unsigned long long)stats.requests);
    rafs_image_close(image);
    return rc;
}

int main(int argc, char **argv)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_cache_ops ops = RAFS_CACHE_OPS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *blobs = NULL;
    rafs_cache *cache = NULL;
    struct list list = {.first = NULL};
    int rc;

    if (argc < 3 || argc > 4 || pthread_mutex_init(&list.lock, NULL) != 0) {
        fprintf(stderr, "usage: %s IMAGE PATH [BLOB_DIR]\n", argv[0]);
        return 2;
    }
    ops.lookup = lookup;
    ops.store = store;
    ops.release = release;
    rc = rafs_cache_new(&ops, &list, NULL, &cache, &err);
    if (rc == RAFS_OK && argc == 4) {
        rc = rafs_backend_new_directory(argv[3], NULL, &blobs, &err);
        options.backends = &blobs;
        options.backend_count = 1;
    }
    options.cache = cache;
    if (rc == RAFS_OK)
        rc = read_once(argv[1], argv[2], &options, &err);
    if (rc == RAFS_OK)
        rc = read_once(argv[1], argv[2], &options, &err);
    if (rc != RAFS_OK)
        fprintf(stderr, "%s: %s: %s\n", rafs_error_name(rc), err.object, err.text);
    rafs_cache_close(cache); /* after the images that used it */
    rafs_backend_free(blobs);
    return rc == RAFS_OK ? 0 : 1;
}
