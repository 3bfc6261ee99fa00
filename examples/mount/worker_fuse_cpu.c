/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_FUSE3
#include "worker_fuse_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Threads go where their reader is.
 *
 * The kernel wakes whoever answers FUSE on an idle processor, and so the reader too: two
 * interrupts between processors for each request. For small requests of one reader, who
 * waits for each answer, they can take several times longer than the request: tar of
 * 50,000 small files in a virtual machine took 5.2 s across two processors, and 1.6 s
 * with all on one. So while most requests are of one thread, small, and answered quickly,
 * ours run on the processor where it was seen; for anything else, wherever the scheduler
 * likes.
 */

enum {
    WINDOW = 128,            /* requests that are judged together */
    WINDOW_SAME = 120,       /* of one reader */
    WINDOW_BYTES = 48 << 10, /* each, on average */
    STAT_BYTES = 1024,
    PROCESSOR_FIELD = 39 /* of /proc/PID/stat */
};
static const uint64_t WINDOW_NS = 200000, SLOW_NS = 2000000;

/* Where a thread runs, or did last; -1: cannot be told. */
static int processor_of(pid_t pid)
{
    char path[64], text[STAT_BYTES];
    const char *at;
    ssize_t n;
    int fd;

    if (pid <= 0)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    at = strrchr(text, ')'); /* ends field 2 */
    for (int field = 2; at && field < PROCESSOR_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at ? atoi(at) : -1;
}

static void move(pid_t tid, const cpu_set_t *to)
{
    if (sched_setaffinity(tid, sizeof *to, to) != 0) {
        /* Forbidden, or it has ended: it runs where it runs. */
    }
}

/* All threads of the process: what the library started meanwhile is where we were. */
static void let_go(const struct fuse_service *s)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;

    while (tasks && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.')
            move(atoi(entry->d_name), &s->cpu.all);
    }
    if (tasks)
        closedir(tasks);
}

/* -1: anywhere. */
static void go_to(struct fuse_service *s, int processor)
{
    cpu_set_t one;

    if (processor >= 0 &&
        (processor >= CPU_SETSIZE || !CPU_ISSET((size_t)processor, &s->cpu.all)))
        processor = -1;
    pthread_mutex_lock(&s->lock);
    if (atomic_exchange(&s->cpu.at, processor) != processor) {
        if (processor < 0) {
            let_go(s);
        } else {
            CPU_ZERO(&one);
            CPU_SET((size_t)processor, &one);
            for (uint32_t i = 0; i < s->entered; i++)
                move(s->tids[i], &one);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

static void judge(struct fuse_service *s, pid_t pid)
{
    struct fuse_cpu *cpu = &s->cpu;
    uint32_t same = atomic_exchange(&cpu->same, 0);
    uint64_t bytes = atomic_exchange(&cpu->bytes, 0);
    uint64_t busy = atomic_exchange(&cpu->ns, 0);
    bool may = same >= WINDOW_SAME && bytes <= (uint64_t)WINDOW * WINDOW_BYTES &&
               busy <= WINDOW * WINDOW_NS;

    go_to(s, may ? processor_of(pid) : -1);
    atomic_store(&cpu->pid, pid);
    atomic_store(&cpu->seen, 0);
}

void fuse_cpu_init(struct fuse_service *s)
{
    atomic_store(&s->cpu.at, -1);
    if (sched_getaffinity(0, sizeof s->cpu.all, &s->cpu.all) != 0)
        CPU_ZERO(&s->cpu.all); /* then nowhere else */
}

void fuse_cpu_note(struct fuse_service *s, const void *message, uint64_t ns)
{
    const struct fuse_in_header *header = message;
    const struct fuse_read_in *in = (const void *)(header + 1);
    pid_t pid = (pid_t)header->pid;

    if (header->opcode == FUSE_FORGET || header->opcode == FUSE_BATCH_FORGET ||
        header->opcode == FUSE_INTERRUPT)
        return;
    if (header->opcode == FUSE_READ)
        atomic_fetch_add(&s->cpu.bytes, in->size);
    if (pid == atomic_load(&s->cpu.pid))
        atomic_fetch_add(&s->cpu.same, 1);
    atomic_fetch_add(&s->cpu.ns, ns);
    if (ns > SLOW_NS && atomic_load(&s->cpu.at) >= 0)
        go_to(s, -1);
    if (atomic_fetch_add(&s->cpu.seen, 1) + 1 == WINDOW)
        judge(s, pid);
}
#endif
