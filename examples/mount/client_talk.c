/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a daemon, and what it answers. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "mount_info.h"

static bool send_request(int daemon, const struct client_call *call)
{
    struct control_request request = {
        .version = MOUNT_VERSION,
        .op = call->op,
        .flags = call->flags,
        .length = (uint32_t)call->len,
    };
    /* sendmsg() takes what it does not change without const */
    union {
        const void *in;
        void *out;
    } payload = {call->payload};
    struct iovec parts[2] = {{&request, sizeof request}, {payload.out, call->len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = call->len > 0 ? 2 : 1};
    ssize_t sent;

    do
        sent = sendmsg(daemon, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)(sizeof request + call->len);
}

/* Its length; 0: the daemon is gone. *fd is set if one is wanted. */
static ssize_t receive_answer(int daemon, struct control_answer *answer, int *fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {answer, sizeof *answer};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t len = recvmsg(daemon, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *head = len < 0 ? NULL : CMSG_FIRSTHDR(&message);

    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        int got;

        memcpy(&got, CMSG_DATA(head), sizeof got);
        if (fd)
            *fd = got;
        else
            close(got);
    }
    return len;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum waited { WAITED_READY, WAITED_STOPPED, WAITED_LATE };

/* In slices: a signal between a look at the token and poll() is seen soon. */
static enum waited wait_answer(struct command *c, int daemon, uint64_t wait_ms)
{
    enum { SLICE_MS = 200 };
    uint64_t begin = now_ms();

    for (;;) {
        struct pollfd poller = {.fd = daemon, .events = POLLIN};
        int ready = poll(&poller, 1, SLICE_MS);

        if (ready > 0)
            return WAITED_READY;
        if (c && command_interrupted(c))
            return WAITED_STOPPED;
        if (wait_ms > 0 && now_ms() - begin >= wait_ms)
            return WAITED_LATE;
    }
}

/* NULL: there is an answer. "": interrupted, which was said. */
static const char *ask(struct command *c, int daemon, const struct client_call *call,
                       struct control_answer *answer, int *fd)
{
    ssize_t len;

    if (fd)
        *fd = -1;
    if (!send_request(daemon, call))
        return strerror(errno);
    switch (wait_answer(c, daemon, call->wait_ms)) {
    case WAITED_STOPPED:
        return "";
    case WAITED_LATE:
        return "it does not answer in time";
    case WAITED_READY:
        break;
    }
    do
        len = receive_answer(daemon, answer, fd);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return strerror(errno);
    if (len == 0)
        return "it has ended without an answer";
    if (len == sizeof *answer && answer->version == MOUNT_VERSION) {
        answer->text[MOUNT_TEXT - 1] = '\0';
        return NULL;
    }
    if (fd && *fd >= 0)
        close(*fd);
    return "it is of another version of rafs; use the one that mounted";
}

bool client_ask(struct command *c, int daemon, const struct client_call *call,
                struct control_answer *answer, int *fd)
{
    const char *why = ask(c, daemon, call, answer, fd);

    if (why && *why)
        command_say(c, EXIT_SOURCE, "the daemon: %s", why);
    return why == NULL;
}

bool client_tell(int daemon, const struct client_call *call,
                 struct control_answer *answer)
{
    return ask(NULL, daemon, call, answer, NULL) == NULL;
}

const struct mount_table *client_table(int daemon, const char **why)
{
    const struct client_call call = {.op = CONTROL_TABLE, .wait_ms = 10000};
    struct control_answer answer;
    const struct mount_table *table = NULL;
    struct stat st;
    void *mapped;
    int fd;

    *why = ask(NULL, daemon, &call, &answer, &fd);
    if (*why)
        return NULL;
    *why = "it gives no table";
    if (fd < 0)
        return NULL;
    if (answer.exit_code == EXIT_GOOD && fstat(fd, &st) == 0) {
        *why = "it is of another version of rafs";
        if (st.st_size < (off_t)sizeof *table) {
            close(fd);
            return NULL;
        }
        mapped = mmap(NULL, sizeof *table, PROT_READ, MAP_SHARED, fd, 0);
        table = mapped == MAP_FAILED ? NULL : mapped;
    }
    close(fd);
    if (table && (table->version != MOUNT_VERSION || table->size != sizeof *table)) {
        client_table_free(table);
        *why = "it is of another version of rafs";
        return NULL;
    }
    return table;
}

void client_table_free(const struct mount_table *table)
{
    union {
        const void *in;
        void *out;
    } mapped = {table};

    if (table)
        munmap(mapped.out, sizeof *table);
}

const struct mount_slot *client_slot(const struct mount_table *table, const char *dir)
{
    const struct mount_slot *found = NULL;

    /* The last one lies on top, if several do. */
    for (uint32_t i = 0; i < MOUNTS_MAX; i++) {
        const struct mount_slot *slot = &table->slots[i];
        uint32_t state = atomic_load(&slot->state);

        if (state != MOUNT_FREE && state != MOUNT_FAILED && state != MOUNT_ENDING &&
            state != MOUNT_ENDED && strncmp(slot->dir, dir, MOUNT_PATH) == 0 &&
            (!found || found->number < slot->number))
            found = slot;
    }
    return found;
}

/* A connection to NAME if it has the mount `number` (0: any) at `dir`, or -1. */
static int find_at(const char *state, const char *name, const char *dir, uint32_t number)
{
    int daemon = client_connect(state, name);
    const char *why;
    const struct mount_table *table = daemon < 0 ? NULL : client_table(daemon, &why);
    const struct mount_slot *slot = table ? client_slot(table, dir) : NULL;
    bool found = slot && (number == 0 || slot->number == number);

    client_table_free(table);
    if (!found && daemon >= 0)
        close(daemon);
    return found ? daemon : -1;
}

int client_find(struct command *c, const char *state, const char *dir)
{
    struct client_names names;
    struct mount_top top;
    int found = -1;

    mount_info_at(state, dir, &top);
    if (top.found == MOUNT_OURS)
        return find_at(state, top.daemon, dir, top.number);
    /* Something lies over it, or it is not seen from here: its daemon knows. */
    if (!client_names(c, state, &names))
        return -1;
    for (size_t i = 0; i < names.count && found < 0; i++)
        found = find_at(state, names.names[i], dir, 0);
    client_names_free(&names);
    return found;
}
