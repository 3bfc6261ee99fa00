/* SPDX-License-Identifier: Apache-2.0 */
#include "read/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct span rafsi_trace_span(const rafs_trace *trace)
{
    return (struct span){trace->bytes, trace->len, 0};
}

int rafsi_trace_new(const struct rafsi_env *env, const void *bytes, size_t len,
                    rafs_trace **out, rafs_error *err)
{
    struct trace_header header;
    rafs_trace *trace;
    int rc = rafsi_trace_check((struct span){bytes, len, 0}, &header, err);

    if (rc < 0)
        return rafsi_fail_object(err, rc, "trace");
    trace = rafsi_alloc(env, sizeof(*trace) + len);
    if (!trace)
        return rafsi_fail_nomem(err, sizeof(*trace) + len);
    trace->env = *env;
    trace->header = header;
    trace->len = len;
    memcpy(trace->bytes, bytes, len);
    *out = trace;
    return RAFS_OK;
}

static int bad(rafs_error *err, const char *what)
{
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, what, "%s is NULL", what);
}

int rafs_trace_load(const void *data, size_t len, const rafs_env *env, rafs_trace **out,
                    rafs_error *err)
{
    struct rafsi_env taken;
    int rc;

    if (!data || !out)
        return bad(err, data ? "out" : "data");
    rc = rafsi_env_take(env, &taken, err);
    return rc < 0 ? rc : rafsi_trace_new(&taken, data, len, out, err);
}

/* Largest file that can be a trace. */
static uint64_t bytes_max(void)
{
    struct trace_header header = {.blobs = RAFS_BLOBS_MAX, .events = TRACE_EVENTS_MAX};

    return rafsi_trace_bytes(&header);
}

static int load_fd(int fd, const struct rafsi_env *env, rafs_trace **out, rafs_error *err)
{
    uint64_t size;
    uint8_t *bytes;
    size_t got = 0;
    int rc = rafsi_file_size(fd, &size, err);

    if (rc == RAFS_OK && size > bytes_max())
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL,
                        "%llu bytes are no trace", (unsigned long long)size);
    if (rc < 0)
        return rc;
    bytes = rafsi_alloc(env, size ? (size_t)size : 1);
    if (!bytes)
        return rafsi_fail_nomem(err, (size_t)size);
    rc = rafsi_file_read(fd, 0, bytes, (size_t)size, &got, err);
    if (rc == RAFS_OK)
        rc = rafsi_trace_new(env, bytes, got, out, err);
    rafsi_free(env, bytes);
    return rc;
}

int rafs_trace_load_path(const char *path, const rafs_env *env, rafs_trace **out,
                         rafs_error *err)
{
    struct rafsi_env taken;
    int fd;
    int rc;

    if (!path || !out)
        return bad(err, path ? "out" : "path");
    rc = rafsi_env_take(env, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_file_open(AT_FDCWD, path, &fd, err);
    if (rc < 0)
        return rafsi_fail_object(err, rc, "%s", path);
    rc = load_fd(fd, &taken, out, err);
    close(fd);
    return rafsi_fail_object(err, rc, "%s", path);
}

int rafs_trace_save(const rafs_trace *trace, void *buf, size_t room, size_t *len,
                    rafs_error *err)
{
    if (len)
        *len = 0;
    if (!trace || !len || (!buf && room > 0))
        return bad(err, trace ? "buf or len" : "trace");
    *len = trace->len;
    if (room < trace->len)
        return rafsi_fail(err, RAFS_E_RANGE, RAFS_STAGE_ARGUMENT, "buf",
                          "a trace of %zu bytes does not fit", trace->len);
    memcpy(buf, trace->bytes, trace->len);
    return RAFS_OK;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Beside its place, then renamed: no reader sees half of it. */
int rafs_trace_save_path(const rafs_trace *trace, const char *path, rafs_error *err)
{
    size_t room;
    char *temporary;
    bool good;
    int fd, why;

    if (!trace || !path)
        return bad(err, trace ? "path" : "trace");
    room = strlen(path) + 32;
    temporary = rafsi_alloc(&trace->env, room);
    if (!temporary)
        return rafsi_fail_nomem(err, room);
    snprintf(temporary, room, "%s.%016llx", path, (unsigned long long)rafsi_seed());
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    good = fd >= 0 && write_all(fd, trace->bytes, trace->len);
    why = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        why = errno;
    }
    if (good && rename(temporary, path) != 0) {
        good = false;
        why = errno;
    }
    if (!good && fd >= 0)
        unlink(temporary);
    rafsi_free(&trace->env, temporary);
    return good ? RAFS_OK
                : rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_NONE, why, path,
                                "the trace cannot be written");
}

int rafs_trace_get_info(const rafs_trace *trace, rafs_trace_info *info, rafs_error *err)
{
    rafs_trace_info made = {0};
    struct trace_event last = {0};

    if (!trace || !info)
        return bad(err, trace ? "info" : "trace");
    made.blobs = trace->header.blobs;
    made.events = trace->header.events;
    made.complete = !(trace->header.flags & TRACE_INCOMPLETE);
    memcpy(made.bootstrap, trace->header.bootstrap, sizeof(made.bootstrap));
    if (made.events > 0)
        rafsi_trace_event(rafsi_trace_span(trace), &trace->header, made.events - 1,
                          &last);
    made.duration_us = last.time_us;
    return rafsi_give_struct(&made, sizeof(made), info, "rafs_trace_info", err);
}

int rafs_trace_get_blob(const rafs_trace *trace, uint32_t index, char *id, uint64_t *size,
                        rafs_error *err)
{
    struct trace_blob blob;

    if (!trace || !id || !size)
        return bad(err, trace ? "id or size" : "trace");
    if (index >= trace->header.blobs)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "index",
                          "the trace has %u blobs, no number %u", trace->header.blobs,
                          index);
    rafsi_trace_blob(rafsi_trace_span(trace), index, &blob);
    memcpy(id, blob.id, sizeof(blob.id));
    *size = blob.size;
    return RAFS_OK;
}

int rafs_trace_get_events(const rafs_trace *trace, uint32_t first,
                          rafs_trace_event *events, size_t capacity, size_t *count,
                          rafs_error *err)
{
    if (count)
        *count = 0;
    if (!trace || !count || (!events && capacity > 0))
        return bad(err, trace ? "events or count" : "trace");
    while (*count < capacity && first < trace->header.events) {
        rafs_trace_event *out = &events[(*count)++];
        struct trace_event event;

        rafsi_trace_event(rafsi_trace_span(trace), &trace->header, first++, &event);
        *out = (rafs_trace_event){.time_us = event.time_us,
                                  .ino = event.ino,
                                  .file_offset = event.offset,
                                  .compressed_offset = event.stored,
                                  .length = event.length,
                                  .compressed_size = event.stored_size,
                                  .blob = event.blob,
                                  .chunk = event.chunk};
    }
    return RAFS_OK;
}

void rafs_trace_free(rafs_trace *trace)
{
    if (trace) {
        struct rafsi_env env = trace->env;

        rafsi_free(&env, trace);
    }
}
