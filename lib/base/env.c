/* SPDX-License-Identifier: Apache-2.0 */
#include "base/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arith.h"
#include "base/fail.h"

int rafsi_take_struct(const void *in, void *out, size_t out_size, const char *name,
                      rafs_error *err)
{
    uint32_t in_size;

    memset(out, 0, out_size);
    if (!in)
        return RAFS_OK;
    memcpy(&in_size, in, sizeof(in_size));
    if (in_size < sizeof(in_size) || in_size > 65536)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, name,
                          "struct_size %u is not the size of %s; use its _INIT", in_size,
                          name);
    if (in_size > out_size &&
        !rafsi_all_zero((const uint8_t *)in + out_size, in_size - out_size))
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, name,
                          "a field of %s is newer than this library", name);
    memcpy(out, in, rafsi_min(in_size, out_size));
    return RAFS_OK;
}

int rafsi_give_struct(const void *from, size_t from_size, void *out, const char *name,
                      rafs_error *err)
{
    uint32_t size;

    memcpy(&size, out, sizeof(size));
    if (size < sizeof(size) || size > 65536)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, name,
                          "struct_size %u is not the size of %s; set it before the call",
                          size, name);
    memset((uint8_t *)out + sizeof(size), 0, size - sizeof(size));
    memcpy((uint8_t *)out + sizeof(size), (const uint8_t *)from + sizeof(size),
           rafsi_min(size, from_size) - sizeof(size));
    return RAFS_OK;
}

static void *default_alloc(void *user, size_t size)
{
    (void)user;
    return malloc(size);
}

static void default_free(void *user, void *ptr)
{
    (void)user;
    free(ptr);
}

bool rafsi_env_plain_memory(const struct rafsi_env *env)
{
    return env->set.alloc == default_alloc;
}

uint64_t rafsi_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t default_now_ns(void *user)
{
    (void)user;
    return rafsi_monotonic_ns();
}

static void default_log(void *user, uint32_t level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
}

int rafsi_env_take(const rafs_env *in, struct rafsi_env *out, rafs_error *err)
{
    int rc = rafsi_take_struct(in, &out->set, sizeof(out->set), "rafs_env", err);

    if (rc < 0)
        return rc;
    if (!out->set.alloc != !out->set.free)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_env",
                          "alloc and free go together: set both or neither");
    out->set.struct_size = sizeof(out->set);
    if (out->set.log_level == 0)
        out->set.log_level = RAFS_LOG_WARNING;
    if (!out->set.alloc) {
        out->set.alloc = default_alloc;
        out->set.free = default_free;
    }
    if (!out->set.now_ns)
        out->set.now_ns = default_now_ns;
    if (!out->set.log)
        out->set.log = default_log;
    return RAFS_OK;
}

void *rafsi_alloc(const struct rafsi_env *env, size_t size)
{
    return env->set.alloc(env->set.user, size ? size : 1);
}

void *rafsi_alloc_zero(const struct rafsi_env *env, size_t size)
{
    void *ptr = rafsi_alloc(env, size);

    if (ptr)
        memset(ptr, 0, size);
    return ptr;
}

void rafsi_free(const struct rafsi_env *env, void *ptr)
{
    if (ptr)
        env->set.free(env->set.user, ptr);
}

char *rafsi_strdup(const struct rafsi_env *env, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = rafsi_alloc(env, size);

    if (copy)
        memcpy(copy, text, size);
    return copy;
}

uint64_t rafsi_now_ns(const struct rafsi_env *env)
{
    return env->set.now_ns(env->set.user);
}

void rafsi_log(const struct rafsi_env *env, uint32_t level, const char *format, ...)
{
    char text[512];
    va_list args;

    if (level > env->set.log_level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    env->set.log(env->set.user, level, text);
}

void rafs_env_init(rafs_env *env)
{
    memset(env, 0, sizeof(*env));
    env->struct_size = sizeof(*env);
}
