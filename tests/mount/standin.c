/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon for the tests of holder and pump, with a worker of a few lines: it "fetches"
 * by reading a file beside it, and writes slowly, so that it can be killed in the middle.
 *
 *     mount_standin STATE NAME [stay]
 *
 * Its mounts are asked for with the arguments
 *
 *     mount IMAGE DIR META CACHE PIECE PAUSE_US TIMEOUT_MS BLOB...
 *
 * META: an EROFS image whose devices are BLOB...; CACHE.N is made as the file of device
 * N, which is written PIECE bytes at a time. While a file CACHE.die is there, workers die
 * at once; while CACHE.hold is there, they fetch nothing. And they lie: CACHE.path makes
 * them give a file of which they have no more than the path, CACHE.cut a map that can be
 * cut, CACHE.pipe a pipe in place of metadata, CACHE.many more descriptors than one at a
 * time, CACHE.wait a deadline in a hundred years.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mount_words.h"
#include "pump.h"
#include "worker.h"

enum { WORDS = 8, BLOBS_MAX = 4, WORD_BITS = 64, MANY = 4 };

/* ---- instead of the command's arguments ------------------------------------------ */

char **mount_arguments(char *request, size_t len, int *argc)
{
    char **argv = calloc(len + 1, sizeof *argv);
    int n = 0;

    for (size_t at = 0; argv && at < len; at += strlen(request + at) + 1)
        argv[n++] = request + at;
    *argc = n;
    return argv;
}

bool mount_parse(struct mount_options *o, int argc, char **argv)
{
    static char none[1];

    if (argc <= WORDS)
        return false;
    o->image = argv[1];
    o->dir = argv[2];
    o->via = VIA_KERNEL;
    o->c.timeout_ms = strtoul(argv[7], NULL, 10);
    o->words.kernel = none;
    o->argc = argc;
    o->argv = argv;
    return true;
}

void mount_options_free(struct mount_options *o)
{
    (void)o;
}

char *mount_word(char **rest)
{
    char *word = *rest;

    *rest = NULL;
    return word && *word ? word : NULL;
}

char *joined(const char *first, const char *second)
{
    size_t room = strlen(first) + strlen(second) + 1;
    char *out = malloc(room);

    if (out)
        snprintf(out, room, "%s%s", first, second);
    return out;
}

/* ---- a mount that is open -------------------------------------------------------- */

struct open_mount {
    bool open;
    char *memory, **argv;
    int argc;
    struct fill_map *map;
    int cache[BLOBS_MAX], blob[BLOBS_MAX];
};

struct standin {
    struct vault *vault;
    struct mount_table *table;
    int socket;
    struct open_mount mounts[MOUNTS_MAX];
};

static bool is_there(const struct open_mount *m, const char *suffix)
{
    char path[4096];

    if (!m->argv)
        return false;
    snprintf(path, sizeof path, "%s.%s", m->argv[4], suffix);
    return access(path, F_OK) == 0;
}

static bool tell(struct standin *s, uint32_t op, uint32_t slot, uint32_t role,
                 uint32_t index, int fd)
{
    struct worker_message m = {.op = op, .slot = slot, .role = role, .index = index};
    int fds[MANY] = {fd, fd, fd, fd};
    size_t bytes = is_there(&s->mounts[slot], "many") ? sizeof fds : sizeof fd;
    char control[CMSG_SPACE(sizeof fds)] __attribute__((aligned(8))) = {0};
    struct iovec part = {.iov_base = &m, .iov_len = sizeof m};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *c;

        h.msg_control = control;
        h.msg_controllen = CMSG_SPACE(bytes);
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), fds, bytes);
    }
    return sendmsg(s->socket, &h, MSG_NOSIGNAL) == (ssize_t)sizeof m;
}

static uint64_t size_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? ((uint64_t)st.st_size + 4095) & ~(uint64_t)4095 : 0;
}

static int make_map(struct open_mount *m, uint32_t blobs)
{
    struct fill_map head = {.version = MOUNT_VERSION, .devices = blobs};
    uint64_t at = sizeof head;
    int fd = memfd_create("map", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    for (uint32_t i = 0; i < blobs; i++) {
        head.device[i].size = size_of(m->blob[i]);
        head.device[i].bits = at;
        at += (head.device[i].size / FILL_BLOCK / WORD_BITS + 1) * sizeof(uint64_t);
    }
    if (fd < 0 || ftruncate(fd, (off_t)at) != 0 ||
        pwrite(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        _exit(WORKER_BROKEN);
    return fd;
}

static void map_map(struct open_mount *m, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        _exit(WORKER_BROKEN);
    m->map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m->map == MAP_FAILED)
        _exit(WORKER_BROKEN);
}

static bool open_files(struct open_mount *m, uint32_t blobs)
{
    char path[4096];

    for (uint32_t i = 0; i < blobs; i++) {
        snprintf(path, sizeof path, "%s.%u", m->argv[4], i);
        m->blob[i] = open(m->argv[WORDS + i], O_RDONLY | O_CLOEXEC);
        m->cache[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (m->blob[i] < 0 || m->cache[i] < 0 ||
            ftruncate(m->cache[i], (off_t)size_of(m->blob[i])) != 0)
            return false;
    }
    return true;
}

static bool open_mount(struct standin *s, uint32_t slot)
{
    struct open_mount *m = &s->mounts[slot];
    int args = vault_get(s->vault, slot, VAULT_ARGS, 0);
    uint64_t len = size_of(args);

    if (args < 0)
        return false;
    m->memory = calloc(1, len + 1);
    if (!m->memory || pread(args, m->memory, len, 0) < 0)
        _exit(WORKER_BROKEN);
    /* Each word ends with a NUL; behind the last there are zeros alone. */
    m->argv = calloc(WORDS + BLOBS_MAX + 1, sizeof *m->argv);
    for (size_t at = 0; m->argc < WORDS + BLOBS_MAX && m->memory[at];
         at += strlen(m->memory + at) + 1)
        m->argv[m->argc++] = m->memory + at;
    if (is_there(m, "die"))
        _exit(9);
    m->open = open_files(m, (uint32_t)(m->argc - WORDS));
    return m->open;
}

/* In place of what it should be. */
static int lie(const struct open_mount *m, const char *suffix, int fd)
{
    int pipes[2] = {-1, -1};

    if (!is_there(m, suffix))
        return fd;
    if (strcmp(suffix, "pipe") == 0) {
        if (pipe2(pipes, O_CLOEXEC) == 0)
            close(pipes[1]);
        return pipes[0];
    }
    if (strcmp(suffix, "path") == 0)
        return open(m->argv[WORDS], O_PATH | O_CLOEXEC);
    /* The same map, in a file that has no seals. */
    pipes[0] = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (pipes[0] < 0 || ftruncate(pipes[0], (off_t)size_of(fd)) != 0 ||
        pwrite(pipes[0], m->map, sizeof *m->map, 0) != (ssize_t)sizeof *m->map)
        _exit(WORKER_BROKEN);
    return pipes[0];
}

static void prepare(struct standin *s, uint32_t slot)
{
    struct mount_slot *said = &s->table->slots[slot];
    struct open_mount *m = &s->mounts[slot];
    uint32_t blobs = (uint32_t)(m->argc - WORDS);
    int meta = open(m->argv[3], O_RDONLY | O_CLOEXEC);
    int map = make_map(m, blobs);

    map_map(m, map);
    tell(s, WORKER_FD, slot, VAULT_META, 0, lie(m, "pipe", meta));
    tell(s, WORKER_FD, slot, VAULT_MAP, 0, lie(m, "cut", map));
    for (uint32_t i = 0; i < blobs; i++)
        tell(s, WORKER_FD, slot, VAULT_DEVICE, i, lie(m, "path", m->cache[i]));
    if (is_there(m, "wait"))
        said->timeout_ms = 100ull * 365 * 24 * 3600 * 1000;
    close(meta);
    close(map);
    said->devices = blobs;
    atomic_store(&said->state, MOUNT_PREPARED);
    tell(s, WORKER_PREPARED, slot, 0, 0, -1);
}

static void fail(struct standin *s, uint32_t slot)
{
    struct mount_slot *said = &s->table->slots[slot];

    snprintf(said->text, sizeof said->text, "stand-in: %s", strerror(errno));
    said->exit_code = EXIT_NO_PATH;
    atomic_store(&said->state, MOUNT_FAILED);
    tell(s, WORKER_PREPARED, slot, 0, 0, -1);
}

static void close_mount(struct standin *s, uint32_t slot)
{
    struct open_mount *m = &s->mounts[slot];

    for (int i = 0; m->open && i < m->argc - WORDS; i++) {
        close(m->blob[i]);
        close(m->cache[i]);
    }
    free(m->argv);
    free(m->memory);
    memset(m, 0, sizeof *m);
    vault_drop(s->vault, slot);
    atomic_store(&s->table->slots[slot].state, MOUNT_ENDED);
    tell(s, WORKER_PREPARED, slot, 0, 0, -1);
}

/* There is nothing to be recorded here, but the pump is told that it is. */
static void record(struct standin *s, uint32_t slot)
{
    _Atomic uint32_t *state = &s->table->slots[slot].recording;
    uint32_t wanted = RECORD_WANTED, stop = RECORD_STOP;
    uint64_t wake = 1;
    ssize_t n;

    if (atomic_compare_exchange_strong(state, &wanted, RECORD_ON) ||
        atomic_compare_exchange_strong(state, &stop, RECORD_NO)) {
        n = write(vault_get(s->vault, 0, VAULT_WAKE_PUMP, 0), &wake, sizeof wake);
        (void)n;
    }
}

static void look_at_slot(struct standin *s, uint32_t slot)
{
    struct open_mount *m = &s->mounts[slot];

    switch (atomic_load(&s->table->slots[slot].state)) {
    case MOUNT_WANTED:
        if (!m->argv && !open_mount(s, slot)) {
            if (m->argv)
                fail(s, slot);
            break;
        }
        prepare(s, slot);
        break;
    case MOUNT_PREPARED:
    case MOUNT_LIVE:
        record(s, slot);
        if (!m->argv && open_mount(s, slot))
            map_map(m, vault_get(s->vault, slot, VAULT_MAP, 0));
        break;
    case MOUNT_ENDING:
        close_mount(s, slot);
        break;
    default:
        break;
    }
}

/* ---- events ---------------------------------------------------------------------- */

static void set_bits(struct fill_map *map, uint32_t device, uint64_t begin, uint64_t end)
{
    struct fill_device *d = &map->device[device];
    _Atomic uint64_t *bits = (_Atomic uint64_t *)((uintptr_t)map + d->bits);

    for (uint64_t b = begin / FILL_BLOCK; b < end / FILL_BLOCK; b++) {
        uint64_t bit = (uint64_t)1 << (b % WORD_BITS);

        if ((atomic_fetch_or(&bits[b / WORD_BITS], bit) & bit) == 0)
            atomic_fetch_add(&d->blocks, 1);
    }
}

static int fill(struct open_mount *m, const struct mount_event *e)
{
    static char buffer[65536];
    uint64_t begin = e->offset & ~(uint64_t)4095;
    uint64_t end = (e->offset + e->len + 4095) & ~(uint64_t)4095;
    size_t piece = strtoul(m->argv[5], NULL, 10);
    struct timespec nap = {.tv_nsec = (long)strtoul(m->argv[6], NULL, 10) * 1000};

    if (!m->open || e->device >= m->map->devices)
        return EIO;
    if (end > m->map->device[e->device].size)
        end = m->map->device[e->device].size;
    for (uint64_t at = begin; at < end;) {
        size_t len = end - at < piece ? (size_t)(end - at) : piece;
        ssize_t n = pread(m->blob[e->device], buffer, len, (off_t)at);

        if (n < 0)
            return EIO;
        memset(buffer + n, 0, len - (size_t)n);
        if (pwrite(m->cache[e->device], buffer, len, (off_t)at) != (ssize_t)len)
            return EIO;
        nanosleep(&nap, NULL);
        at += len;
    }
    set_bits(m->map, e->device, begin, end);
    return 0;
}

static bool take(struct standin *s, struct mount_event *e)
{
    uint64_t word = atomic_load(&e->word), taken = event_moved(word, EVENT_TAKEN, 0);
    struct mount_event copy;
    uint64_t one = 1;
    ssize_t n;
    int why;

    if (event_state(word) != EVENT_WAITING || e->slot >= MOUNTS_MAX ||
        !s->mounts[e->slot].open || is_there(&s->mounts[e->slot], "hold") ||
        !atomic_compare_exchange_strong(&e->word, &word, taken))
        return false;
    memcpy(&copy, (const void *)e, sizeof copy);
    why = fill(&s->mounts[copy.slot], &copy);
    atomic_compare_exchange_strong(&e->word, &taken, event_moved(taken, EVENT_DONE, why));
    n = write(vault_get(s->vault, 0, VAULT_WAKE_PUMP, 0), &one, sizeof one);
    (void)n;
    return true;
}

static void look(struct standin *s)
{
    bool found = true;

    for (uint32_t i = 1; i < MOUNTS_MAX; i++)
        look_at_slot(s, i);
    while (found) {
        found = false;
        for (uint32_t i = 0; i < atomic_load(&s->table->events_high); i++)
            found |= take(s, &s->table->events[i]);
    }
}

/* False: it ends. */
static bool hear(struct standin *s)
{
    struct worker_message m;
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = &m, .iov_len = sizeof m};
    struct msghdr h = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(s->socket, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *c;
    int fd;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0 || m.op == WORKER_STOP)
        return false;
    c = CMSG_FIRSTHDR(&h);
    if (c && m.op == WORKER_FD) {
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        vault_put(s->vault, m.slot, m.role, m.index, fd);
    }
    return true;
}

int worker_run(struct vault *vault, struct mount_table *table, int socket)
{
    struct standin *s = calloc(1, sizeof *s);
    int wake = vault_get(vault, 0, VAULT_WAKE_WORKER, 0);
    struct pollfd p[2] = {{.fd = wake, .events = POLLIN},
                          {.fd = socket, .events = POLLIN}};
    uint64_t count;

    if (!s)
        return WORKER_BROKEN;
    s->vault = vault;
    s->table = table;
    s->socket = socket;
    do {
        look(s);
        poll(p, 2, 20); /* files that appear wake nobody */
        if (p[0].revents & POLLIN && read(wake, &count, sizeof count) < 0) {
            /* Somebody else was faster. */
        }
    } while (!(p[1].revents & (POLLIN | POLLHUP)) || hear(s));
    return WORKER_STOPPED;
}

/* ---- the daemon ------------------------------------------------------------------ */

/* A binary that is called NAME-life-N and takes over lives N microseconds: the holder,
 * not the pump that it may have started by then. */
static void limit_life(void)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    struct itimerval life = {{0, 0}, {0, 0}};
    const char *found;

    exe[n > 0 ? n : 0] = '\0';
    found = strstr(exe, "-life-");
    if (!found)
        return;
    life.it_value.tv_usec = atoi(found + strlen("-life-"));
    setitimer(ITIMER_REAL, &life, NULL);
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct daemon_start start = {.stay = argc > 3};

    if (argc == 5 && strcmp(argv[2], "--hold") == 0) {
        limit_life();
        return daemon_hold(argc - 1, argv + 1);
    }
    if (argc < 3)
        return 2;
    start.state = argv[1];
    start.name = argv[2];
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.sock", argv[1], argv[2]);
    start.listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(start.listen, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(start.listen, 16) != 0) {
        perror(address.sun_path);
        return 2;
    }
    return daemon_run(&start);
}
