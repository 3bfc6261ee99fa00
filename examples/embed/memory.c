/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "embed.h"

/* Before each block: its size. The union makes what follows aligned for any type. */
union header {
    size_t size;
    long long i;
    long double f;
    void *p;
};

int memory_begin(struct memory *memory)
{
    memory->used = memory->peak = memory->limit = memory->calls = memory->refused = 0;
    return pthread_mutex_init(&memory->lock, NULL);
}

void memory_end(struct memory *memory)
{
    pthread_mutex_destroy(&memory->lock);
}

/* Make room in the account; 0: there is none. */
static int book(struct memory *memory, size_t size)
{
    int fits;

    pthread_mutex_lock(&memory->lock);
    fits = memory->limit == 0 ||
           (memory->used <= memory->limit && size <= memory->limit - memory->used);
    memory->calls++;
    if (fits)
        memory->used += size;
    else
        memory->refused++;
    if (memory->used > memory->peak)
        memory->peak = memory->used;
    pthread_mutex_unlock(&memory->lock);
    return fits;
}

static void give_back(struct memory *memory, size_t size)
{
    pthread_mutex_lock(&memory->lock);
    memory->used -= size;
    pthread_mutex_unlock(&memory->lock);
}

void *memory_alloc(void *user, size_t size)
{
    union header *header;

    if (size > SIZE_MAX - sizeof *header || !book(user, size))
        return NULL;
    header = malloc(sizeof *header + size);
    if (!header) {
        give_back(user, size);
        return NULL;
    }
    header->size = size;
    return header + 1;
}

void memory_free(void *user, void *ptr)
{
    union header *header = (union header *)ptr - 1;

    give_back(user, header->size);
    free(header);
}

void memory_freeze(struct memory *memory, int frozen)
{
    pthread_mutex_lock(&memory->lock);
    memory->limit = frozen ? memory->used : 0;
    pthread_mutex_unlock(&memory->lock);
}
