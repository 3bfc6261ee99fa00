/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls are left: those that librafs, libcurl, OpenSSL, the C library with
 * its resolver, and serving FUSE make. All others fail with EPERM, as if forbidden.
 */
#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifndef HAVE_SECCOMP

bool sandbox_calls(bool execute, char *said, size_t room)
{
    size_t len = strlen(said);

    (void)execute;
    snprintf(said + len, room - len,
             "%sthis rafs was built without libseccomp: no system call is kept away",
             len > 0 ? "; " : "");
    return true;
}

#else

#include <linux/netlink.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

/* clang-format off */
static const char *const allowed[] = {
    /* files */
    "access", "chmod", "close", "close_range", "copy_file_range", "creat", "dup", "dup2",
    "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchmod", "fchmodat",
    "fchmodat2", "fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock",
    "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
    "ftruncate64", "futimesat", "getcwd", "getdents", "getdents64", "getxattr",
    "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lseek", "_llseek", "lstat",
    "lstat64", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2", "pread64",
    "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
    "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2", "rmdir",
    "sendfile", "sendfile64", "splice", "stat", "stat64", "statfs", "statfs64", "statx",
    "symlink", "symlinkat", "sync_file_range", "tee", "truncate", "truncate64", "umask",
    "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice", "write", "writev",
    /* memory */
    "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "mincore", "mmap",
    "mmap2", "mprotect", "mremap", "msync", "munmap", "set_mempolicy",
    /* threads, signals to ourselves, time */
    "alarm", "arch_prctl", "clock_getres", "clock_gettime", "clock_nanosleep", "exit",
    "exit_group", "futex", "futex_wait", "futex_wake", "futex_waitv", "get_robust_list",
    "getcpu", "getitimer", "gettid", "gettimeofday", "nanosleep", "pause",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_yield",
    "set_robust_list", "set_thread_area", "set_tid_address", "setitimer", "sigaltstack",
    "sigreturn", "sched_setaffinity", "tgkill", "time", "times",
    /* who we are */
    "capget", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid",
    "getppid", "getpriority", "getresgid", "getresuid", "getrlimit", "getrusage",
    "getsid", "getuid", "sysinfo", "ugetrlimit", "uname",
    /* waiting */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "pipe", "pipe2", "poll", "ppoll",
    "pselect6", "select", "_newselect", "timerfd_create", "timerfd_gettime",
    "timerfd_settime",
    /* the network: sockets that connect (their kinds: below) */
    "bind", "connect", "getpeername", "getrandom", "getsockname", "getsockopt",
    "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt",
    "shutdown", "socketpair",
};

/* For helpers that know credentials. */
static const char *const to_execute[] = {
    "chdir", "execve", "execveat", "fork", "kill", "prlimit64", "setpgid", "setsid",
    "tkill", "vfork", "wait4", "waitid", "waitpid",
};
/* clang-format on */

static int allow(scmp_filter_ctx filter, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    /* Of another architecture, or newer than the library. */
    return number == __NR_SCMP_ERROR || number < 0
               ? 0
               : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
}

static int allow_these(scmp_filter_ctx filter, const char *const *names, size_t count)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = allow(filter, names[i]);
    return rc;
}

/* One more value of an argument that a call may have. */
static int allow_with(scmp_filter_ctx filter, int number, unsigned argument,
                      uint64_t value)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                            SCMP_CMP(argument, SCMP_CMP_EQ, value));
}

static int allow_sockets(scmp_filter_ctx filter)
{
    static const int kinds[] = {AF_UNIX, AF_INET, AF_INET6};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof kinds / sizeof *kinds; i++)
        rc = allow_with(filter, SCMP_SYS(socket), 0, (uint64_t)kinds[i]);
    /* The resolver asks which addresses this machine has. */
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                              SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                              SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE));
    return rc;
}

/* Nothing that a terminal could be made to do. */
static int allow_ioctls(scmp_filter_ctx filter)
{
    static const uint64_t requests[] = {
        TCGETS,     FIONREAD, FIONBIO, FIOCLEX, 0x8004e500, /* FUSE_DEV_IOC_CLONE */
        0x4020940d,                                         /* FICLONERANGE */
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof requests / sizeof *requests; i++)
        rc = allow_with(filter, SCMP_SYS(ioctl), 1, requests[i]);
    return rc;
}

/* Names of threads and of memory; what a process may know about itself. */
static int allow_prctls(scmp_filter_ctx filter)
{
    static const uint64_t options[] = {
        PR_SET_NAME,         PR_GET_NAME,     PR_GET_DUMPABLE, PR_GET_SECCOMP,
        PR_GET_NO_NEW_PRIVS, PR_CAPBSET_READ, 0x53564d41 /* PR_SET_VMA */};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof options / sizeof *options; i++)
        rc = allow_with(filter, SCMP_SYS(prctl), 0, options[i]);
    return rc;
}

/* Threads, and children for who executes; no name spaces. The flags of clone3() lie in
 * memory, where a filter does not see them: without it clone() is called. */
static int allow_clone(scmp_filter_ctx filter)
{
    const uint64_t spaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                            CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
    int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, spaces, 0));
    return rc;
}

/* Limits of our own may be read. */
static int allow_limits(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                            SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
}

bool sandbox_calls(bool execute, char *said, size_t room)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    size_t len = strlen(said);
    int rc = filter ? 0 : -ENOMEM;

    if (rc == 0)
        rc = allow_these(filter, allowed, sizeof allowed / sizeof *allowed);
    if (rc == 0 && execute)
        rc = allow_these(filter, to_execute, sizeof to_execute / sizeof *to_execute);
    if (rc == 0)
        rc = allow_sockets(filter);
    if (rc == 0)
        rc = allow_ioctls(filter);
    if (rc == 0)
        rc = allow_prctls(filter);
    if (rc == 0)
        rc = allow_clone(filter);
    if (rc == 0 && !execute)
        rc = allow_limits(filter);
    if (rc == 0)
        rc = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    if (rc < 0)
        snprintf(said + len, room - len, "%sseccomp: %s", len > 0 ? "; " : "",
                 strerror(-rc));
    return rc == 0;
}

#endif
