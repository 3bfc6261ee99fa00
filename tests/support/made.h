/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MADE_H
#define TESTS_MADE_H

#include <stdbool.h>

#include "golden.h"
#include "rafs/rafs.h"

/*
 * What a builder made, in memory: a sink that keeps objects, refuses the n-th call, and
 * sees to it that each object that was begun is ended once and named rightly; a backend
 * that gives the blobs. Trouble with the protocol ends the program.
 */

enum { MADE_OBJECTS_MAX = 64 };

struct made_object {
    struct bytes bytes;
    size_t room;
    uint32_t kind;
    bool open, kept;
    char name[80]; /* hexadecimal, once it is kept */
};

struct made {
    struct made_object objects[MADE_OBJECTS_MAX];
    size_t count;
    size_t calls;   /* of the sink */
    size_t fail_at; /* which of them fails, from 0; SIZE_MAX: none */
    bool failed;    /* it did */
    unsigned releases;
    rafs_sink *sink;
    rafs_backend *backend;
};

void made_init(struct made *made, const rafs_env *env);
/* Forget all objects; none may be open. */
void made_clear(struct made *made);
void made_drop(struct made *made);
/* The bootstrap that was kept, or NULL. */
const struct made_object *made_bootstrap(const struct made *made);
/* Open it over the blobs. */
int made_open(struct made *made, const rafs_env *env, rafs_image **out, rafs_error *err);
/* Every check that there is finds nothing. 0, or a RAFS_E_. */
int made_check(const rafs_image *image, rafs_error *err);

/*
 * Entries that say what they are: the time of a file in seconds is its tag, and size and
 * content follow from the tag. Which of several entries of a path is in an image, is then
 * seen in the image alone. Tags with equal tag / 4 % 64 and tag % 4 have equal content.
 */
enum { TAG_MAX = 100000 }; /* later times are no tags */
uint64_t tagged_size(uint64_t tag);
void tagged_bytes(uint64_t tag, uint64_t offset, void *buf, size_t len);

struct tagged {
    uint64_t tag;
    uint64_t at;
    uint64_t fail_at; /* of the content; UINT64_MAX: never */
};
/* A rafs_stream_fn over a struct tagged. */
int tagged_read(void *user, void *buf, size_t len, size_t *got, const rafs_call *call,
                rafs_error *err);
/* Every regular file with a tag, from 1 to TAG_MAX, is what its tag says. How many; ends
 * the program if one is not. */
size_t tagged_verify(const rafs_image *image);

#endif
