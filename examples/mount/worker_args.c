/* SPDX-License-Identifier: Apache-2.0 */
/* A request's arguments, and why a mount cannot be. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "worker_fence.h"

/* ---- saying why not -------------------------------------------------------------- */

void worker_refuse(struct served *served, int exit_code, const char *format, ...)
{
    struct mount_slot *slot = worker_slot(served);
    va_list args;

    va_start(args, format);
    vsnprintf(slot->text, sizeof slot->text, format, args);
    va_end(args);
    slot->exit_code = (uint32_t)exit_code;
}

/* What a function of the command said: its first line, without the command's name. */
void worker_refuse_as_said(struct served *served)
{
    const char *name = "rafs mount: ";
    const char *at = served->complaint;

    fflush(served->complaints);
    at = served->complaint ? served->complaint : "";
    if (strncmp(at, name, strlen(name)) == 0)
        at += strlen(name);
    if (!*at)
        at = "the image could not be opened";
    worker_refuse(served,
                  served->options.c.outcome.code ? served->options.c.outcome.code
                                                 : EXIT_SOURCE,
                  "%.*s", (int)strcspn(at, "\n"), at);
}

void worker_refuse_error(struct served *served, const rafs_error *err)
{
    int exit_code = exit_code_of(err->code);
    char text[MOUNT_TEXT];

    /* Not a path in the image. */
    if (exit_code == EXIT_NO_PATH)
        exit_code = EXIT_SOURCE;
    worker_refuse(served, exit_code, "%s", worker_describe(err, text, sizeof text));
}

/* ---- arguments ------------------------------------------------------------------- */

static char *read_all(int fd, size_t *len)
{
    struct stat st;
    char *bytes;

    if (fstat(fd, &st) < 0 || st.st_size < 1 || st.st_size > MOUNT_ARGS)
        return NULL;
    bytes = malloc((size_t)st.st_size + 1);
    *len = (size_t)st.st_size;
    if (bytes && pread(fd, bytes, *len, 0) == (ssize_t)*len) {
        bytes[*len] = '\0';
        return bytes;
    }
    free(bytes);
    return NULL;
}

static void log_of_library(uint32_t level, const char *line)
{
    worker_log(NULL, level <= RAFS_LOG_ERROR ? LOG_ERR : LOG_WARNING, "%s", line);
}

/* getopt() has one state for the process. */
static bool parse(struct served *served)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    size_t len = 0;
    bool good;
    int argc = 0;

    served->request = read_all(served->worker->fds[served->slot].args, &len);
    served->argv = served->request ? mount_arguments(served->request, len, &argc) : NULL;
    if (!served->argv) {
        worker_refuse(served, EXIT_USAGE, "the arguments of the request cannot be read");
        return false;
    }
    pthread_mutex_lock(&one_at_a_time);
    good = mount_parse(&served->options, argc, served->argv);
    pthread_mutex_unlock(&one_at_a_time);
    if (!good)
        worker_refuse(served, EXIT_USAGE,
                      "the arguments of the request are not understood");
    return good;
}

struct served *served_new(struct worker *worker, uint32_t slot)
{
    struct mount_slot *of = &worker->table->slots[slot];
    struct served *served = calloc(1, sizeof *served);

    if (!served)
        return NULL;
    served->worker = worker;
    served->slot = slot;
    served->number = of->number;
    served->meta = served->layout = -1;
    served->once_more = atomic_load(&of->state) != MOUNT_WANTED;
    if (!served->once_more)
        of->pinned[0] = '\0';
    served->before.fetched_bytes = atomic_load(&of->fetched_bytes);
    served->before.fetched_chunks = atomic_load(&of->fetched_chunks);
    served->before.refused_chunks = atomic_load(&of->refused_chunks);
    pthread_mutex_init(&served->said_lock, NULL);
    served->complaints = open_memstream(&served->complaint, &served->complaint_len);
    if (served->complaints && rafs_cancel_new(&served->cancel, NULL) == RAFS_OK &&
        parse(served)) {
        served->options.c.complaints = served->complaints;
        served->options.c.cancel = served->cancel;
        served->options.c.log = log_of_library;
        served->options.c.limits = &served->limits;
        return served;
    }
    if (!of->exit_code)
        worker_refuse(served, EXIT_SOURCE, "out of memory or descriptors");
    served_free(served);
    return NULL;
}

void served_free(struct served *served)
{
    fence_end(served);
    if (served->map)
        munmap(served->map, served->map_bytes);
    if (served->image != served->options.c.image)
        rafs_image_close(served->image);
    if (served->meta >= 0)
        close(served->meta);
    if (served->layout >= 0)
        close(served->layout);
    if (served->argv)
        (void)command_end(&served->options.c);
    mount_options_free(&served->options);
    free(served->argv);
    free(served->request);
    if (served->complaints)
        fclose(served->complaints);
    free(served->complaint);
    rafs_cancel_free(served->cancel);
    pthread_mutex_destroy(&served->said_lock);
    free(served);
}
