/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker of `rafs mount` cannot do any more, and what it still has to. */
#include "../../examples/mount/sandbox.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The search for leaks, at the end of each test, needs what is given up here. */
int __lsan_is_turned_off(void) __attribute__((visibility("default")));
int __lsan_is_turned_off(void)
{
    return 1;
}

static char top[] = "/tmp/rafs-sandbox-XXXXXX";
static char to_read[64], to_write[64], secret[64];
static bool has_landlock, has_seccomp;

static bool put(const char *folder, const char *name)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    return file && fputs("content\n", file) >= 0 && fclose(file) == 0;
}

/* Outside of the tests, which cannot delete it any more. */
static bool make_folders(void)
{
    if (!mkdtemp(top))
        return false;
    snprintf(to_read, sizeof to_read, "%s/read", top);
    snprintf(to_write, sizeof to_write, "%s/write", top);
    snprintf(secret, sizeof secret, "%s/secret", top);
    return mkdir(to_read, 0700) == 0 && mkdir(to_write, 0700) == 0 &&
           put(to_read, "file") && put(top, "secret");
}

static bool drop_folders(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", top);
    return system(command) == 0;
}

static void enter(bool execute)
{
    static const char *const system_paths[] = {"/usr",
                                               "/lib",
                                               "/lib64",
                                               "/bin",
                                               "/etc/hosts",
                                               "/etc/nsswitch.conf",
                                               "/etc/ld.so.cache",
                                               "/dev/null"};
    struct sandbox sandbox = {.execute = execute};
    char said[512];

    for (size_t i = 0; i < sizeof system_paths / sizeof *system_paths; i++)
        ck_assert(sandbox_add(&sandbox.read, system_paths[i]));
    ck_assert(sandbox_add(&sandbox.read, to_read));
    ck_assert(sandbox_add(&sandbox.write, to_write));
    ck_assert(sandbox_add(&sandbox.read, "/is/not/there"));
    ck_assert_msg(sandbox_enter(&sandbox, said, sizeof said), "%s", said);
    has_landlock = strstr(said, "no Landlock") == NULL;
    has_seccomp = strstr(said, "without libseccomp") == NULL;
    if (*said)
        printf("not all of it is tried: %s\n", said);
    sandbox_free(&sandbox);
}

/* In the system's own words, who it was: EPERM of seccomp, EACCES of Landlock. */
static void refused(const char *what, long result, int want)
{
    ck_assert_msg(result == -1, "%s is still possible", what);
    ck_assert_msg(errno == want, "%s: %s", what, strerror(errno));
}

static int open_in(const char *folder, const char *name, int flags)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, flags | O_CLOEXEC, 0600);
}

START_TEST(files_that_were_not_named_cannot_be_opened)
{
    enter(false);
    if (!has_landlock)
        return;
    ck_assert_int_ge(open_in(to_read, "file", O_RDONLY), 0);
    refused("a file beside", open(secret, O_RDONLY), EACCES);
    refused("/etc/shadow", open("/etc/shadow", O_RDONLY), EACCES);
    refused("/etc", open("/etc", O_RDONLY | O_DIRECTORY), EACCES);
    refused("a file above", open_in(to_read, "../secret", O_RDONLY), EACCES);
    refused("writing where only reading is", open_in(to_read, "file", O_RDWR), EACCES);
    refused("a new file there", open_in(to_read, "new", O_CREAT | O_RDWR), EACCES);
    refused("a link out of reach", symlink(secret, "/tmp/rafs-sandbox-link"), EACCES);
    refused("/proc/self/mem", open("/proc/self/mem", O_RDWR), EACCES);
    refused("a device", open("/dev/zero", O_RDWR), EACCES);
}
END_TEST

START_TEST(the_cache_can_be_written)
{
    char from[128], to[128], sub[128];
    int fd;

    enter(false);
    snprintf(from, sizeof from, "%s/a", to_write);
    snprintf(sub, sizeof sub, "%s/sub", to_write);
    snprintf(to, sizeof to, "%s/sub/b", to_write);
    fd = open(from, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "x", 1, 0), 1);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096),
                     0);
    ck_assert_int_eq(fdatasync(fd), 0);
    ck_assert_int_eq(fchmod(fd, 0400), 0);
    ck_assert_int_eq(mkdir(sub, 0700), 0);
    ck_assert_int_eq(rename(from, to), 0);
    ck_assert_int_eq(link(to, from), 0);
    ck_assert_int_eq(unlink(to), 0);
    ck_assert_int_eq(rmdir(sub), 0);
    ck_assert_int_ge(open(to_write, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), 0);
}
END_TEST

START_TEST(what_a_worker_never_does_is_refused)
{
    char byte = 'x';

    enter(false);
    if (!has_seccomp)
        return;
    refused("mount", mount("none", to_write, "tmpfs", 0, NULL), EPERM);
    refused("umount", umount("/proc"), EPERM);
    refused("fsopen", syscall(SYS_fsopen, "tmpfs", 0), EPERM);
    refused("open_tree", syscall(SYS_open_tree, AT_FDCWD, to_write, 1), EPERM);
    refused("ptrace", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL), EPERM);
    refused("process_vm_readv", syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0),
            EPERM);
    refused("kill", kill(getppid(), 0), EPERM);
    refused("execve", execl("/bin/true", "true", (char *)NULL), EPERM);
    refused("unshare", unshare(CLONE_NEWUSER), EPERM);
    refused("setns", setns(0, 0), EPERM);
    refused("a name space by clone",
            syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM);
    refused("clone3", syscall(SYS_clone3, NULL, 0), ENOSYS);
    refused("bpf", syscall(SYS_bpf, 0, NULL, 0), EPERM);
    refused("io_uring", syscall(SYS_io_uring_setup, 1, NULL), EPERM);
    refused("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0), EPERM);
    refused("fanotify", syscall(SYS_fanotify_init, 0, 0), EPERM);
    refused("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0),
            EPERM);
    refused("userfaultfd", syscall(SYS_userfaultfd, 0), EPERM);
    refused("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0), EPERM);
    refused("setuid", setuid(1), EPERM);
    refused("chroot", chroot(to_write), EPERM);
    refused("mknod", mknod("/tmp/rafs-sandbox-node", S_IFREG | 0600, 0), EPERM);
    refused("a terminal's input", ioctl(STDIN_FILENO, TIOCSTI, &byte), EPERM);
    refused("raw packets", socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    refused("netlink of the audit", socket(AF_NETLINK, SOCK_RAW, 9), EPERM);
    refused("vsock", socket(AF_VSOCK, SOCK_STREAM, 0), EPERM);
    refused("listen", listen(socket(AF_INET, SOCK_STREAM, 0), 1), EPERM);
}
END_TEST

START_TEST(no_capability_is_left)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];

    enter(false);
    ck_assert_int_eq(syscall(SYS_capget, &head, sets), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(sets[i].effective | sets[i].permitted | sets[i].inheritable, 0);
    refused("getting them back", syscall(SYS_capset, &head, sets), EPERM);
}
END_TEST

START_TEST(no_port_is_bound)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd;

    enter(false);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    if (has_landlock && bind(fd, (struct sockaddr *)&any, sizeof any) == 0)
        printf("not tried: this Landlock knows no network\n");
    else if (has_landlock)
        ck_assert_int_eq(errno, EACCES);
}
END_TEST

static void *do_nothing(void *argument)
{
    return argument;
}

START_TEST(threads_names_and_sockets_still_work)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    pthread_t thread;
    void *result;
    int pair[2];

    enter(false);
    ck_assert_int_eq(pthread_create(&thread, NULL, do_nothing, top), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, top);
    ck_assert_int_eq(getaddrinfo("localhost", "80", &hints, &found), 0);
    freeaddrinfo(found);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    free(malloc(64 << 20));
}
END_TEST

static int run(const char *script)
{
    char shell[] = "sh", c[] = "-c";
    char *copy = strdup(script);
    char *argv[] = {shell, c, copy, NULL}, *none[] = {NULL};
    int status = -1;
    pid_t pid;
    int rc = posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, none);

    free(copy);
    if (rc != 0)
        return -rc;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

START_TEST(helpers_run_only_where_allowed_and_are_no_freer)
{
    enter(true);
    ck_assert_int_eq(run("exit 7"), 7);
    ck_assert_int_eq(run("exec 2>&-; read x < /etc/shadow"), has_landlock ? 2 : 0);
    if (has_seccomp)
        ck_assert_int_ne(run("exec 2>&-; mount -t tmpfs none /mnt"), 0);
}
END_TEST

START_TEST(a_path_covers_what_is_below_it_and_nothing_beside)
{
    struct sandbox_paths paths = {.count = 0};

    ck_assert(sandbox_add(&paths, "/a/b"));
    ck_assert(sandbox_add(&paths, "/a/b/c"));
    ck_assert_uint_eq(paths.count, 1);
    ck_assert(sandbox_has(&paths, "/a/b"));
    ck_assert(sandbox_has(&paths, "/a/b/c/d"));
    ck_assert(!sandbox_has(&paths, "/a/bc"));
    ck_assert(!sandbox_has(&paths, "/a"));
    ck_assert(sandbox_add(&paths, "/"));
    ck_assert(sandbox_has(&paths, "/x"));
    while (paths.count > 0)
        free(paths.at[--paths.count]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mount/sandbox");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    if (!make_folders()) {
        perror(top);
        return EXIT_FAILURE;
    }
    tcase_add_test(tcase, files_that_were_not_named_cannot_be_opened);
    tcase_add_test(tcase, the_cache_can_be_written);
    tcase_add_test(tcase, what_a_worker_never_does_is_refused);
    tcase_add_test(tcase, no_capability_is_left);
    tcase_add_test(tcase, no_port_is_bound);
    tcase_add_test(tcase, threads_names_and_sockets_still_work);
    tcase_add_test(tcase, helpers_run_only_where_allowed_and_are_no_freer);
    tcase_add_test(tcase, a_path_covers_what_is_below_it_and_nothing_beside);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return drop_folders() && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
