/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link with a latency and a rate: a TCP relay between clients and one server.
 *
 *   bench_link PORT SERVER-PORT RATE LATENCY-MS
 *
 * Listens on 127.0.0.1:PORT (0: any free one) and prints the port. RATE bytes a second
 * are shared by all connections, 16 KiB of each in turn. Whatever the server sends
 * arrives LATENCY-MS after it left the link, however much is on its way; so a request
 * costs one latency, and a window no rate. The first bytes of a connection wait one
 * latency more, as they would for a handshake. What clients send costs nothing else.
 * TCP's slow start is not modelled: each connection has its whole rate at once.
 *
 * For each line on standard input it prints "BYTES CONNECTIONS REQUESTS" since the last
 * one: bytes from the server with headers, connections made, requests seen (a piece from
 * a client that begins with GET, HEAD, PUT or POST). Ends with its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PIPES_MAX = 256,
    TURN = 16 << 10,   /* bytes of one connection at a time */
    QUEUE = 256 << 10, /* of the server's, before the link */
    FLIGHT = 4 << 20,  /* ring of what is on its way; more than rate * latency */
    STAMPS = 1 << 10,
    UP = 64 << 10,
};

struct stamp {
    uint64_t at; /* when it arrives */
    size_t len;
};

/* One connection: server -> queue -> link -> flight -> client; client -> up -> server. */
struct pipe {
    int client, server;
    uint8_t *queue, *flight, *up;
    size_t queued, up_len;
    size_t flight_first, flight_len;
    struct stamp stamps[STAMPS];
    size_t stamp_first, stamp_count;
    uint64_t opens_at; /* what the client sends before this waits for the handshake */
    bool server_done, client_done, told_server;
};

static struct pipe *pipes[PIPES_MAX];
static uint64_t rate, latency_ns, link_free_ns;
static uint64_t total_bytes, total_connections, total_requests;

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void make_ready(int fd)
{
    int one = 1;

    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int listen_at(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    socklen_t len = sizeof(at);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    must(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "bind");
    must(listen(fd, 64) == 0, "listen");
    must(getsockname(fd, (struct sockaddr *)&at, &len) == 0, "getsockname");
    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static uint8_t *room(size_t size)
{
    uint8_t *at = malloc(size);

    must(at != NULL, "malloc");
    return at;
}

static void open_pipe(int client, uint16_t server_port)
{
    struct sockaddr_in to = loopback(server_port);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pipe *pipe;
    size_t slot = 0;

    while (slot < PIPES_MAX && pipes[slot])
        slot++;
    if (server < 0 || slot == PIPES_MAX ||
        connect(server, (struct sockaddr *)&to, sizeof(to)) != 0) {
        perror("bench_link: connect");
        close(client);
        if (server >= 0)
            close(server);
        return;
    }
    make_ready(client);
    make_ready(server);
    pipe = calloc(1, sizeof(*pipe));
    must(pipe != NULL, "calloc");
    pipe->client = client;
    pipe->server = server;
    pipe->queue = room(QUEUE);
    pipe->flight = room(FLIGHT);
    pipe->up = room(UP);
    pipe->opens_at = now_ns() + latency_ns;
    pipes[slot] = pipe;
    total_connections++;
}

static void close_pipe(size_t slot)
{
    struct pipe *pipe = pipes[slot];

    close(pipe->client);
    close(pipe->server);
    free(pipe->queue);
    free(pipe->flight);
    free(pipe->up);
    free(pipe);
    pipes[slot] = NULL;
}

/* Read what fits; *done: the other end said that it is. */
static size_t take(int fd, uint8_t *to, size_t most, bool *done)
{
    ssize_t got = most ? recv(fd, to, most, 0) : 0;

    if (most && (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)))
        *done = true;
    return got > 0 ? (size_t)got : 0;
}

static bool is_request(const uint8_t *at, size_t len)
{
    static const char *const methods[] = {"GET ", "HEAD ", "PUT ", "POST "};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (len > strlen(methods[i]) && memcmp(at, methods[i], strlen(methods[i])) == 0)
            return true;
    return false;
}

static void send_up(struct pipe *pipe, uint64_t now)
{
    size_t got = 0;
    ssize_t put;

    if (!pipe->client_done)
        got = take(pipe->client, pipe->up + pipe->up_len, UP - pipe->up_len,
                   &pipe->client_done);
    if (got > 0)
        total_requests += is_request(pipe->up + pipe->up_len, got);
    pipe->up_len += got;
    if (pipe->up_len > 0 && now >= pipe->opens_at) {
        put = send(pipe->server, pipe->up, pipe->up_len, MSG_NOSIGNAL);
        if (put > 0) {
            memmove(pipe->up, pipe->up + put, pipe->up_len - (size_t)put);
            pipe->up_len -= (size_t)put;
        } else if (put < 0 && errno != EAGAIN && errno != EINTR) {
            pipe->server_done = true;
            pipe->up_len = 0;
        }
    }
    if (pipe->client_done && pipe->up_len == 0 && !pipe->told_server) {
        shutdown(pipe->server, SHUT_WR);
        pipe->told_server = true;
    }
}

/* One turn of a connection on the link. */
static bool pass_link(struct pipe *pipe, uint64_t now)
{
    size_t len = pipe->queued < TURN ? pipe->queued : TURN;
    size_t at = (pipe->flight_first + pipe->flight_len) % FLIGHT;
    size_t part = FLIGHT - at < len ? FLIGHT - at : len;

    if (len == 0 || FLIGHT - pipe->flight_len < len || pipe->stamp_count == STAMPS)
        return false;
    memcpy(pipe->flight + at, pipe->queue, part);
    memcpy(pipe->flight, pipe->queue + part, len - part);
    pipe->flight_len += len;
    memmove(pipe->queue, pipe->queue + len, pipe->queued - len);
    pipe->queued -= len;
    if (link_free_ns < now)
        link_free_ns = now;
    link_free_ns += len * 1000000000u / rate;
    pipe->stamps[(pipe->stamp_first + pipe->stamp_count++) % STAMPS] =
        (struct stamp){link_free_ns + latency_ns, len};
    total_bytes += len;
    return true;
}

/* Give the client what has arrived; the time of what comes next, 0: nothing. */
static uint64_t arrive(struct pipe *pipe, uint64_t now)
{
    while (pipe->stamp_count > 0) {
        struct stamp *stamp = &pipe->stamps[pipe->stamp_first];
        size_t part = FLIGHT - pipe->flight_first;
        ssize_t put;

        if (stamp->at > now)
            return stamp->at;
        if (part > stamp->len)
            part = stamp->len;
        put = send(pipe->client, pipe->flight + pipe->flight_first, part, MSG_NOSIGNAL);
        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            return now + 1000000;
        if (put < 0) {
            pipe->client_done = pipe->server_done = true;
            pipe->stamp_count = pipe->flight_len = pipe->queued = 0;
            return 0;
        }
        pipe->flight_first = (pipe->flight_first + (size_t)put) % FLIGHT;
        pipe->flight_len -= (size_t)put;
        stamp->len -= (size_t)put;
        if (stamp->len == 0) {
            pipe->stamp_first = (pipe->stamp_first + 1) % STAMPS;
            pipe->stamp_count--;
        }
    }
    return 0;
}

static bool ended(const struct pipe *pipe)
{
    bool empty = pipe->queued == 0 && pipe->flight_len == 0;

    return (pipe->server_done && empty) ||
           (pipe->client_done && pipe->told_server && pipe->server_done);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Move all that can be moved; the time at which more can be, 0: when something comes. */
static uint64_t move(void)
{
    /* The link may run this far ahead of the clock, which makes up for late wake-ups. */
    const uint64_t lead = 1000000;
    static size_t turn;
    uint64_t now = now_ns();
    uint64_t wake = 0;
    bool moved = true;

    for (size_t i = 0; i < PIPES_MAX; i++) {
        struct pipe *pipe = pipes[i];

        if (!pipe)
            continue;
        send_up(pipe, now);
        if (pipe->up_len > 0)
            wake = sooner(wake, now < pipe->opens_at ? pipe->opens_at : now + 1000000);
        if (!pipe->server_done)
            pipe->queued += take(pipe->server, pipe->queue + pipe->queued,
                                 QUEUE - pipe->queued, &pipe->server_done);
    }
    while (moved && link_free_ns < now + lead) {
        moved = false;
        for (size_t i = 0; i < PIPES_MAX && link_free_ns < now + lead; i++) {
            turn = (turn + 1) % PIPES_MAX;
            if (pipes[turn])
                moved |= pass_link(pipes[turn], now);
        }
    }
    for (size_t i = 0; i < PIPES_MAX; i++) {
        if (!pipes[i])
            continue;
        wake = sooner(wake, arrive(pipes[i], now));
        if (pipes[i]->queued > 0)
            wake = sooner(wake, link_free_ns - lead / 2);
        if (ended(pipes[i]))
            close_pipe(i);
    }
    return wake;
}

static struct pollfd *watch(struct pollfd *at, int fd, bool wanted)
{
    if (wanted)
        *at++ = (struct pollfd){.fd = fd, .events = POLLIN};
    return at;
}

/* Sleep until something comes, or it is time. */
static void wait_for_more(int listener, uint64_t wake, bool *dialled, bool *told)
{
    static struct pollfd fds[2 * PIPES_MAX + 2];
    struct pollfd *end = fds;
    uint64_t now = now_ns();
    uint64_t left = wake > now ? wake - now : 0;
    struct timespec at = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};

    end = watch(end, STDIN_FILENO, true);
    end = watch(end, listener, true);
    for (size_t i = 0; i < PIPES_MAX; i++) {
        const struct pipe *pipe = pipes[i];

        if (!pipe)
            continue;
        end = watch(end, pipe->client, !pipe->client_done && pipe->up_len < UP);
        end = watch(end, pipe->server, !pipe->server_done && pipe->queued < QUEUE);
    }
    if (ppoll(fds, (nfds_t)(end - fds), wake ? &at : NULL, NULL) < 0)
        must(errno == EINTR, "ppoll");
    *told = fds[0].revents != 0;
    *dialled = fds[1].revents != 0;
}

/* Answer a line with the counters; false: there will be no more. */
static bool answer(void)
{
    char line[64];
    ssize_t got = read(STDIN_FILENO, line, sizeof(line));

    if (got <= 0)
        return false;
    printf("%llu %llu %llu\n", (unsigned long long)total_bytes,
           (unsigned long long)total_connections, (unsigned long long)total_requests);
    fflush(stdout);
    total_bytes = total_connections = total_requests = 0;
    return true;
}

int main(int argc, char **argv)
{
    bool dialled = false;
    bool told = false;
    int listener;

    if (argc != 5) {
        fputs("bench_link PORT SERVER-PORT RATE LATENCY-MS\n", stderr);
        return 2;
    }
    rate = strtoull(argv[3], NULL, 10);
    latency_ns = strtoull(argv[4], NULL, 10) * 1000000;
    must(rate > 0 && rate * latency_ns / 1000000000 < FLIGHT / 2, "rate, latency");
    listener = listen_at((uint16_t)strtoul(argv[1], NULL, 10));
    do {
        int client = dialled ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;

        if (client >= 0)
            open_pipe(client, (uint16_t)strtoul(argv[2], NULL, 10));
        wait_for_more(listener, move(), &dialled, &told);
    } while (!told || answer());
    return 0;
}
