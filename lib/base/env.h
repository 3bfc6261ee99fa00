/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_ENV_H
#define RAFSI_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rafs/env.h"

/* A caller's environment with every default filled in: no function in it is NULL. */
struct rafsi_env {
    rafs_env set;
};

/* Take a public struct that begins with struct_size: fields that the caller does not know
 * are zero, fields that we do not know must be. in may be NULL: all zeros. */
int rafsi_take_struct(const void *in, void *out, size_t out_size, const char *name,
                      rafs_error *err);

/* Give a public struct back: no more bytes than its struct_size says. */
int rafsi_give_struct(const void *from, size_t from_size, void *out, const char *name,
                      rafs_error *err);

int rafsi_env_take(const rafs_env *in, struct rafsi_env *out, rafs_error *err);

void *rafsi_alloc(const struct rafsi_env *env, size_t size); /* not cleared */
/* The caller brought no allocator. */
bool rafsi_env_plain_memory(const struct rafsi_env *env);
void *rafsi_alloc_zero(const struct rafsi_env *env, size_t size); /* cleared */
void rafsi_free(const struct rafsi_env *env, void *ptr);          /* NULL is fine */
char *rafsi_strdup(const struct rafsi_env *env, const char *text);
uint64_t rafsi_now_ns(const struct rafsi_env *env);
/* For what is between us alone, and under a lock: no callback of the caller's. */
uint64_t rafsi_monotonic_ns(void);

__attribute__((format(printf, 3, 4))) void
rafsi_log(const struct rafsi_env *env, uint32_t level, const char *format, ...);

#endif
