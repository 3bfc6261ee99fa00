/* SPDX-License-Identifier: Apache-2.0 */
/* rafs mount: find or start a daemon, ask it, and see that the mount answers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "client.h"
#include "mount_probe.h"
#include "mount_run.h"
#include "pump.h"
#include "remote.h"

/* ---- DIR, and the way ------------------------------------------------------------ */

/* DIR as daemons call it. NULL: said why. */
static char *take_dir(struct mount_options *o)
{
    char *path = client_path(o->dir);
    struct stat st;
    int why = path ? 0 : errno;

    if (path && stat(path, &st) != 0)
        why = errno;
    if (why == ENOTCONN)
        command_say(&o->c, EXIT_SOURCE,
                    "%s: a mount whose daemon is dead is in the way; 'rafs umount' "
                    "removes it",
                    o->dir);
    else if (why != 0)
        command_say(&o->c, EXIT_SOURCE, "%s: %s", o->dir, strerror(why));
    else if (!S_ISDIR(st.st_mode))
        command_say(&o->c, EXIT_SOURCE, "%s: not a directory", o->dir);
    else if (strlen(path) >= MOUNT_PATH)
        command_say(&o->c, EXIT_SOURCE, "%s: the path is too long", o->dir);
    else
        return path;
    free(path);
    return NULL;
}

/* For VIA_KERNEL, or for auto to see whether it could be. */
static bool try_kernel(struct mount_options *o, const char *cache, char *why, size_t room)
{
    if (!probe_kernel(cache, o->fill, why, room))
        return false;
    if (cache)
        return true;
    snprintf(why, room, "it needs a cache, and %s",
             o->c.no_cache ? "--no-cache forbids one" : "there is no place for one");
    return false;
}

static bool try_fuse(struct mount_options *o, char *why, size_t room)
{
    if (o->words.uid_map || o->words.gid_map) {
        snprintf(why, room, "uidmap= and gidmap= are for the kernel way");
        return false;
    }
    if (strstr(o->words.kernel, "noacl") || strstr(o->words.kernel, "nouser_xattr")) {
        snprintf(why, room, "noacl and nouser_xattr are for the kernel way");
        return false;
    }
    return probe_fuse(why, room);
}

/* auto becomes one of the two. False: neither can be had, said why. */
static bool choose_via(struct mount_options *o, const char *cache)
{
    char kernel[512], fuse[512];

    if (o->via != VIA_FUSE && try_kernel(o, cache, kernel, sizeof kernel)) {
        if (o->via == VIA_AUTO)
            command_say(&o->c, EXIT_GOOD, "%s: by the kernel's EROFS", o->dir);
        o->via = VIA_KERNEL;
        return true;
    }
    if (o->via != VIA_KERNEL && try_fuse(o, fuse, sizeof fuse)) {
        if (o->via == VIA_AUTO)
            command_say(&o->c, EXIT_GOOD, "%s: by FUSE, not by the kernel's EROFS: %s",
                        o->dir, kernel);
        o->via = VIA_FUSE;
        return true;
    }
    if (o->via == VIA_KERNEL)
        command_say(&o->c, EXIT_UNSUPPORTED, "--via kernel: %s", kernel);
    else if (o->via == VIA_FUSE)
        command_say(&o->c, EXIT_UNSUPPORTED, "--via fuse: %s", fuse);
    else
        command_say(&o->c, EXIT_UNSUPPORTED, "neither way: kernel: %s; fuse: %s", kernel,
                    fuse);
    return false;
}

/* What is wrong with IMAGE at first sight is better said by the command, whose words are
 * about what the user typed. */
static bool look_at_image(struct mount_options *o)
{
    struct stat st;

    if (remote_is(o->image) || stat(o->image, &st) == 0)
        return true;
    if (errno == ENOENT && strstr(o->image, "://"))
        /* Not repeated: there may be a password in it. */
        command_usage(&o->c,
                      "IMAGE is no file, and no URL of docker://, http(s)://, s3:// or "
                      "oss://");
    else
        command_say(&o->c, EXIT_SOURCE,
                    "%s: %s; IMAGE is a bootstrap, or a blob that has one", o->image,
                    strerror(errno));
    return false;
}

/* ---- the daemon ------------------------------------------------------------------ */

struct run {
    struct mount_options *o;
    char *state;
    char name[MOUNT_NAME_MAX + 16]; /* of the daemon */
    int daemon;                     /* the connection */
    bool own;                       /* we started it for this mount */
};

/* How long all of mounting may take: opening asks several sources in turn. */
static uint64_t longest_ms(const struct mount_options *o)
{
    enum { STEPS = 4, BASE_MS = 10000 };

    return o->c.timeout_ms == 0 ? 0 : STEPS * o->c.timeout_ms + BASE_MS;
}

/* The one that is called so, or a new one; two commands may want it at once. */
static bool reach_daemon(struct run *r)
{
    enum { TRIES = 20 };
    struct mount_options *o = r->o;

    for (int i = 0; i < TRIES; i++) {
        if (o->daemon) {
            snprintf(r->name, sizeof r->name, "%s", o->daemon);
            r->daemon = client_connect(r->state, r->name);
            if (r->daemon >= 0)
                return true;
        } else {
            snprintf(r->name, sizeof r->name, "@%d.%d", (int)getpid(), i);
        }
        if (mount_daemon_start(r->state, r->name, o->foreground)) {
            r->own = true;
            r->daemon = client_connect(r->state, r->name);
            if (r->daemon >= 0)
                return true;
        }
        if (errno != EEXIST && errno != ENOENT)
            break;
    }
    command_say(&o->c, EXIT_SOURCE, "no daemon: %s", strerror(errno));
    return false;
}

/* What was half done is undone, whoever is at it. */
static void undo(struct run *r)
{
    struct control_answer answer;
    struct client_call call = {.op = r->own ? CONTROL_END : CONTROL_UMOUNT,
                               .flags = CONTROL_LAZY,
                               .payload = r->o->dir,
                               .len = r->own ? 0 : strlen(r->o->dir),
                               .wait_ms = 10000};
    int fd = client_connect(r->state, r->name);

    if (fd < 0)
        return;
    client_tell(fd, &call, &answer);
    close(fd);
}

static bool ask_mount(struct run *r, const char *cache)
{
    struct mount_options *o = r->o;
    struct control_answer answer;
    size_t len = 0;
    char *request = mount_request(o, cache, &len);
    struct client_call call = {
        .op = CONTROL_MOUNT, .payload = request, .len = len, .wait_ms = longest_ms(o)};
    bool good;

    if (!request)
        return false;
    good = client_ask(&o->c, r->daemon, &call, &answer, NULL);
    free(request);
    if (good && answer.exit_code != EXIT_GOOD) {
        command_say(&o->c, (int)answer.exit_code, "%s", answer.text);
        good = false;
    }
    return good;
}

/* The cache as an argument of the daemon, whose environment may be another one. */
static const char *named_cache(const struct mount_options *o,
                               const struct cache_place *cache)
{
    bool network = remote_is_network(o->image) || remote_has_sources(&o->c);

    return o->via == VIA_KERNEL || (network && cache->chosen) ? cache->path : NULL;
}

/* ---- does it answer? ------------------------------------------------------------- */

enum { ELSEWHERE = 200 }; /* no errno: another file system is there */

/* In a process of its own, which can be left alone if it hangs. */
static void look_at_root(const char *dir, uint32_t via)
{
    const uint32_t magic = via == VIA_KERNEL ? 0xE0F5E1E2 : 0x65735546; /* EROFS, FUSE */
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
        _exit(errno < ELSEWHERE ? errno : EIO);
    _exit((uint32_t)fs.f_type == magic ? 0 : ELSEWHERE);
}

/* Its status, or -1: stopped or too late. */
static int await(struct command *c, pid_t pid, uint64_t wait_ms)
{
    struct timespec nap = {.tv_nsec = 1000000};
    uint64_t waited_ns = 0;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (command_interrupted(c) || (wait_ms > 0 && waited_ns / 1000000 >= wait_ms)) {
            kill(pid, SIGKILL);
            return -1;
        }
        nanosleep(&nap, NULL);
        waited_ns += (uint64_t)nap.tv_nsec;
        if (nap.tv_nsec < 50000000)
            nap.tv_nsec *= 2;
    }
    return status;
}

static bool answers(struct mount_options *o)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        look_at_root(o->dir, o->via);
    status = pid < 0 ? -1 : await(&o->c, pid, o->c.timeout_ms);
    if (status == 0)
        return true;
    if (o->c.outcome.code == EXIT_INTERRUPTED)
        return false;
    if (status < 0 || !WIFEXITED(status))
        command_say(&o->c, EXIT_SOURCE, "%s: mounted, but it does not answer; undone",
                    o->dir);
    else if (WEXITSTATUS(status) == ELSEWHERE)
        command_say(&o->c, EXIT_SOURCE,
                    "%s: the daemon mounted it where this process does not see it "
                    "(another mount namespace); undone",
                    o->dir);
    else
        command_say(&o->c, EXIT_SOURCE, "%s: mounted, but its root fails: %s; undone",
                    o->dir, strerror(WEXITSTATUS(status)));
    return false;
}

/* ---- the command ----------------------------------------------------------------- */

static void mount_image(struct mount_options *o)
{
    struct run r = {.o = o, .daemon = -1};
    struct cache_place cache = {0};
    char *dir = take_dir(o);
    bool good = dir && look_at_image(o) && cache_choose(&o->c, &cache);

    if (good)
        good = choose_via(o, cache.path) && (r.state = client_state_dir(&o->c)) != NULL;
    if (good)
        o->dir = dir;
    if (good && o->via == VIA_KERNEL)
        cache_make_parents(&cache);
    if (good && reach_daemon(&r)) {
        good = ask_mount(&r, named_cache(o, &cache)) && answers(o);
        if (!good)
            undo(&r);
        else if (o->foreground)
            mount_stay(o, r.state, r.name);
    }
    if (r.daemon >= 0)
        close(r.daemon);
    free(r.state);
    free(cache.path);
    free(dir);
}

int cmd_mount(int argc, char **argv)
{
    struct mount_options o;

    /* What one daemon's process starts as another, or an upgrade. */
    if (argc > 1 && strcmp(argv[1], "--hold") == 0)
        return daemon_hold(argc, argv);
    if (mount_parse(&o, argc, argv)) {
        if (o.upgrade)
            mount_upgrade(&o);
        else
            mount_image(&o);
    }
    mount_options_free(&o);
    return command_end(&o.c);
}
