/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities and files. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- paths ----------------------------------------------------------------------- */

bool sandbox_add(struct sandbox_paths *paths, const char *path)
{
    if (sandbox_has(paths, path) || paths->count == SANDBOX_PATHS)
        return true;
    paths->at[paths->count] = strdup(path);
    return paths->at[paths->count] != NULL && ++paths->count > 0;
}

bool sandbox_has(const struct sandbox_paths *paths, const char *path)
{
    for (size_t i = 0; i < paths->count; i++) {
        size_t len = strlen(paths->at[i]);

        if (strncmp(path, paths->at[i], len) == 0 &&
            (path[len] == '\0' || path[len] == '/' || (len > 0 && path[len - 1] == '/')))
            return true;
    }
    return false;
}

static void free_paths(struct sandbox_paths *paths)
{
    while (paths->count > 0)
        free(paths->at[--paths->count]);
}

void sandbox_free(struct sandbox *sandbox)
{
    free_paths(&sandbox->read);
    free_paths(&sandbox->write);
}

/* ---- saying ---------------------------------------------------------------------- */

/* One more thing, behind what was said before. */
static void __attribute__((format(printf, 3, 4)))
add(char *said, size_t room, const char *format, ...)
{
    size_t len = strlen(said);
    va_list args;

    if (len + 3 > room)
        return;
    if (len > 0)
        len += (size_t)snprintf(said + len, room - len, "; ");
    va_start(args, format);
    vsnprintf(said + len, room - len, format, args);
    va_end(args);
}

/* ---- capabilities ---------------------------------------------------------------- */

bool sandbox_no_new_privileges(char *said, size_t room)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return true;
    add(said, room, "no_new_privs: %s", strerror(errno));
    return false;
}

/* Has this process any capability now, or could a program that it runs get one? */
static bool any_left(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];

    if (syscall(SYS_capget, &head, sets) != 0)
        return true;
    return (sets[0].effective | sets[0].permitted | sets[0].inheritable |
            sets[1].effective | sets[1].permitted | sets[1].inheritable) != 0;
}

bool sandbox_capabilities(char *said, size_t room)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    bool had_any = any_left();

    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    /* The bounding set is for who may change it; for the others no_new_privs does. */
    for (unsigned long cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    if (syscall(SYS_capset, &head, none) == 0 && !any_left())
        return true;
    if (!had_any)
        return true;
    add(said, room, "capabilities cannot be given up: %s", strerror(errno));
    return false;
}

/* ---- files ----------------------------------------------------------------------- */

/* As the kernel's header has them; older ones of a build have fewer. */
struct ruleset_attr {
    uint64_t fs, net, scoped;
};

enum {
    FS_TRUNCATE = 1 << 14,
    FS_IOCTL_DEV = 1 << 15,
    NET_BIND_TCP = 1,
    SCOPE_ABSTRACT_UNIX = 1,
    SCOPE_SIGNAL = 2
};

#define FILE_RIGHTS                                                         \
    ((uint64_t)LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
     LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* All that this kernel can forbid is forbidden, but for what a rule allows. */
static struct ruleset_attr what_is_handled(long abi, size_t *size)
{
    struct ruleset_attr attr = {(LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1, 0, 0};

    *size = sizeof(uint64_t);
    if (abi >= 2)
        attr.fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        attr.fs |= FS_TRUNCATE;
    if (abi >= 4) {
        attr.net = NET_BIND_TCP;
        *size = 2 * sizeof(uint64_t);
    }
    if (abi >= 5)
        attr.fs |= FS_IOCTL_DEV;
    if (abi >= 6) {
        attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
        *size = 3 * sizeof(uint64_t);
    }
    return attr;
}

static uint64_t rights_to_read(bool execute)
{
    return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
           (execute ? LANDLOCK_ACCESS_FS_EXECUTE : 0u);
}

static uint64_t rights_to_write(void)
{
    return rights_to_read(false) | LANDLOCK_ACCESS_FS_WRITE_FILE |
           LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
           LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
           LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE;
}

static bool allow(int ruleset, const char *path, uint64_t rights, char *said, size_t room)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    struct stat st;
    bool good;

    if (fd < 0 || fstat(fd, &st) != 0) { /* nothing can be opened there either */
        if (fd >= 0)
            close(fd);
        return true;
    }
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= FILE_RIGHTS;
    good = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule,
                   0) == 0;
    if (!good)
        add(said, room, "Landlock, %s: %s", path, strerror(errno));
    close(fd);
    return good;
}

static bool allow_all(int ruleset, const struct sandbox *sandbox, uint64_t handled,
                      char *said, size_t room)
{
    uint64_t to_read = rights_to_read(sandbox->execute) & handled;
    uint64_t to_write = rights_to_write() & handled;

    for (size_t i = 0; i < sandbox->read.count; i++)
        if (!allow(ruleset, sandbox->read.at[i], to_read, said, room))
            return false;
    for (size_t i = 0; i < sandbox->write.count; i++)
        if (!allow(ruleset, sandbox->write.at[i], to_write, said, room))
            return false;
    return true;
}

bool sandbox_files(const struct sandbox *sandbox, char *said, size_t room)
{
    long abi =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct ruleset_attr attr;
    size_t size;
    int ruleset;
    bool good;

    if (abi < 1) {
        add(said, room, "this kernel has no Landlock: files are not kept away");
        return true;
    }
    attr = what_is_handled(abi, &size);
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0) {
        add(said, room, "Landlock: %s", strerror(errno));
        return false;
    }
    good = allow_all(ruleset, sandbox, attr.fs, said, room);
    if (good && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        add(said, room, "Landlock: %s", strerror(errno));
        good = false;
    }
    close(ruleset);
    return good;
}

bool sandbox_enter(const struct sandbox *sandbox, char *said, size_t room)
{
    *said = '\0';
    /* Files first: finding them may need what is given up then. */
    return sandbox_no_new_privileges(said, room) && sandbox_files(sandbox, said, room) &&
           sandbox_capabilities(said, room) &&
           sandbox_calls(sandbox->execute, said, room);
}
