/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBED_H
#define EMBED_H

/*
 * What a program lends to the library: memory, a source of blobs, a cache. Each is a file
 * of its own, and knows nothing of the others; main.c puts them together.
 */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <rafs/rafs.h>

/* ---- memory.c: malloc that counts, and says no past a limit --------------------------
 */

struct memory {
    pthread_mutex_t lock;
    uint64_t used, peak, limit, calls, refused; /* bytes; limit 0: none */
};

int memory_begin(struct memory *memory);
void memory_end(struct memory *memory);
void *memory_alloc(void *user, size_t size);
void memory_free(void *user, void *ptr);
/* No more than is used now; 0 again: as much as is asked for. */
void memory_freeze(struct memory *memory, int frozen);

/* ---- server.c: serves a directory of blobs from a thread, one request at a time -------
 */

struct server {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int directory;
    int door[2]; /* a pipe: descriptors of new connections, as numbers */
    int silent,
        waiting; /* asked to say nothing; requests that it leaves without answer */
    uint64_t requests;
};

/* What goes over a connection: a request, then an answer, then the bytes. */
struct request {
    char blob[RAFS_BLOB_ID_MAX + 8];
    uint64_t offset, len;
};
struct answer {
    int32_t os_errno;
    uint32_t reserved;
    uint64_t size; /* of the blob */
};

int server_begin(struct server *server, const char *directory);
void server_end(struct server *server);
/* The descriptor of a new connection, or -1. */
int server_connect(struct server *server);
/* Take requests and leave them without an answer; or answer again, those too. */
void server_silence(struct server *server, int silent);
/* Wait until a request is left without an answer. */
void server_wait_for_request(struct server *server);

/* ---- source.c: the server as a backend -----------------------------------------------
 */

int source_new(struct server *server, const rafs_env *env, rafs_backend **out,
               rafs_error *err);

/* ---- keep.c: a cache, chunks as files named by their digest ---------------------------
 */

struct keep {
    int directory;
    pthread_mutex_t lock;
    uint64_t stored; /* also what makes temporary names unique */
};

int keep_new(struct keep *keep, const char *directory, const rafs_env *env,
             rafs_cache **out, rafs_error *err);

/* ---- place.c: files of an image, put into a directory --------------------------------
 */

struct placed {
    uint64_t files, directories, links, others, bytes;
    char sample[RAFS_PATH_MAX + 1]; /* a file that is not empty; "": none */
};

/* All below `path` of the image, into a directory that is not there yet. Every byte was
 * verified before it got here; reads end after timeout_ms. */
int place(const rafs_image *image, const char *path, const char *directory,
          uint64_t timeout_ms, struct placed *placed, rafs_error *err);

#endif
