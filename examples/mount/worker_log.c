/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker says: in a slot, for `rafs status`, and in the log. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <syslog.h>

#include "worker.h"

enum { BURST = 10 }; /* lines of one mount in the time below */
#define BURST_NS UINT64_C(10000000000)

static void put(bool foreground, int priority, const char *line)
{
    if (foreground)
        fprintf(stderr, "rafs mount: %s\n", line);
    else
        syslog(priority, "%s", line);
}

void worker_log(const struct served *served, int priority, const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    put(!served || served->options.foreground, priority, line);
}

/* One disk that is full fails thousands of reads: a few lines say that. */
static bool may_say(struct served *served, uint32_t *unsaid)
{
    uint64_t now = worker_now_ns();
    bool may;

    pthread_mutex_lock(&served->said_lock);
    *unsaid = 0;
    if (now - served->said_since_ns > BURST_NS) {
        *unsaid = served->unsaid;
        served->said_since_ns = now;
        served->said = served->unsaid = 0;
    }
    may = served->said < BURST;
    if (may)
        served->said++;
    else
        served->unsaid++;
    pthread_mutex_unlock(&served->said_lock);
    return may;
}

const char *worker_describe(const rafs_error *err, char *out, size_t room)
{
    const char *text = err->text[0] ? err->text : rafs_error_name(err->code);

    if (!err->object[0])
        snprintf(out, room, "%s", text);
    else if (err->has_offset)
        snprintf(out, room, "%s at byte %" PRIu64 ": %s", err->object, err->offset, text);
    else
        snprintf(out, room, "%s: %s", err->object, text);
    if (err->os_errno && !strstr(out, strerror(err->os_errno))) {
        size_t len = strlen(out);

        snprintf(out + len, room - len, " (%s)", strerror(err->os_errno));
    }
    return out;
}

void worker_failed(struct served *served, const char *doing, const rafs_error *err)
{
    struct mount_slot *slot = worker_slot(served);
    char what[MOUNT_TEXT - 64];
    uint32_t unsaid;

    worker_describe(err, what, sizeof what);
    pthread_mutex_lock(&served->said_lock);
    snprintf(slot->text, sizeof slot->text, "%s%s%s", doing, *doing ? ": " : "", what);
    pthread_mutex_unlock(&served->said_lock);
    if (!may_say(served, &unsaid))
        return;
    if (unsaid > 0)
        worker_log(served, LOG_WARNING, "%s: %" PRIu32 " more failures were not logged",
                   slot->dir, unsaid);
    worker_log(served, LOG_ERR, "%s: %s: %s", slot->dir, slot->image, slot->text);
}
