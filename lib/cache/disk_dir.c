/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/disk_impl.h"

/*
 * The directory:
 *
 *   CACHEDIR.TAG       tells backup programs to pass by
 *   version            one line; anything else in it means: not our layout
 *   lock               flock: shared by users, exclusive for whoever empties the cache
 *   <stem>.blob.data   uncompressed chunks at their uncompressed offsets; sparse
 *   <stem>.ready       which of them are there (disk_record.h); locks lie on it
 *   <stem>.pin         empty: the blob is never evicted
 *   <kind>-<hex>.doc   a document
 *   tmp-<number>       a document or version on its way in
 *
 * A stem is a blob id, or "h-" and the BLAKE3 of one that would be an odd file name.
 */

static const char version_text[] = "librafs cache 1\n";
static const char tag_text[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                               "# A cache of librafs. It can be deleted at any time.\n";

int rafsi_disk_fail(rafs_error *err, int os_errno, const char *object, const char *what)
{
    int code = os_errno == EPERM || os_errno == ENOTDIR || os_errno == ELOOP ||
                       os_errno == ENOTEMPTY
                   ? RAFS_E_BADARG
                   : RAFS_E_BACKEND;

    return rafsi_fail_os(err, code, RAFS_STAGE_OPEN, os_errno, object, "%s", what);
}

bool rafsi_disk_ends(const char *name, const char *suffix)
{
    size_t len = strlen(name), end = strlen(suffix);

    return len > end && strcmp(name + len - end, suffix) == 0;
}

void rafsi_disk_boot_id(uint8_t boot[DISK_BOOT_BYTES])
{
    char text[40] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    unsigned digits = 0;

    if (fd >= 0)
        close(fd);
    memset(boot, 0, DISK_BOOT_BYTES);
    for (ssize_t i = 0; i < got && digits < 2 * DISK_BOOT_BYTES; i++) {
        const char *hex = "0123456789abcdef", *digit = strchr(hex, text[i]);

        if (!digit || text[i] == '\0')
            continue;
        boot[digits / 2] |= (uint8_t)((digit - hex) << (digits % 2 ? 0 : 4));
        digits++;
    }
    if (digits == 2 * DISK_BOOT_BYTES)
        return;
    /* Nobody else is in a boot of this name: records count once they are durable. */
    for (size_t i = 0; i < DISK_BOOT_BYTES; i += sizeof(uint64_t)) {
        uint64_t random = rafsi_seed();

        memcpy(boot + i, &random, sizeof(random));
    }
}

int rafsi_disk_file(int dir, const char *name, int flags)
{
    struct stat st;
    int fd =
        openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    int os_errno;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0)
        os_errno = errno;
    else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        os_errno = EPERM;
    else
        os_errno = 0;
    if (os_errno == 0)
        return fd;
    close(fd);
    errno = os_errno;
    return -1;
}

static int check_owner(int dir, const char *path, rafs_error *err)
{
    struct stat st;

    if (fstat(dir, &st) != 0)
        return rafsi_disk_fail(err, errno, path, "cannot be examined");
    if (st.st_uid != geteuid())
        return rafsi_disk_fail(err, EPERM, path, "belongs to another user");
    if (st.st_mode & 022)
        return rafsi_disk_fail(err, EPERM, path,
                               "others can write to it; chmod it to 0700");
    return RAFS_OK;
}

bool rafsi_disk_is_document(const char *name)
{
    static const char small[] = "abcdefghijklmnopqrstuvwxyz", hex[] = "0123456789abcdef";
    size_t kind = name ? strspn(name, small) : 0;

    return kind > 0 && kind <= 16 && name[kind] == '-' &&
           strspn(name + kind + 1, hex) == 64 &&
           strcmp(name + kind + 1 + 64, ".doc") == 0;
}

bool rafsi_disk_is_temporary(const char *name)
{
    return strncmp(name, "tmp-", 4) == 0 && strspn(name + 4, "0123456789abcdef") == 16 &&
           name[20] == '\0';
}

/* The names that we give and no others: letters end in ".doc" too. */
static bool is_ours(const char *name)
{
    static const char *const suffixes[] = {".blob.data", ".ready", ".pin"};

    for (size_t i = 0; i < 3; i++)
        if (rafsi_disk_ends(name, suffixes[i]))
            return true;
    return rafsi_disk_is_document(name) || rafsi_disk_is_temporary(name) ||
           strcmp(name, "lock") == 0 || strcmp(name, "version") == 0 ||
           strcmp(name, "CACHEDIR.TAG") == 0 || strcmp(name, "lost+found") == 0;
}

DIR *rafsi_disk_list(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = copy < 0 ? NULL : fdopendir(copy);

    if (!names && copy >= 0)
        close(copy);
    return names;
}

/* Does a file hold that text and nothing else? */
static bool holds(int dir, const char *name, const char *text)
{
    char have[sizeof(tag_text) + 1];
    int fd = rafsi_disk_file(dir, name, O_RDONLY);
    ssize_t got = fd < 0 ? -1 : pread(fd, have, sizeof(have), 0);

    if (fd >= 0)
        close(fd);
    return got == (ssize_t)strlen(text) && memcmp(have, text, strlen(text)) == 0;
}

static bool version_fits(int dir)
{
    return holds(dir, "version", version_text);
}

/* Many things have a file of that name; ours may be spoiled, but it lies beside our tag,
 * unless a power cut left it empty. */
static bool version_foreign(int dir)
{
    struct stat st;

    return fstatat(dir, "version", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0 &&
           !holds(dir, "CACHEDIR.TAG", tag_text);
}

/* Whoever names his home directory by mistake shall not lose a file. */
static int check_names(int dir, const char *path, rafs_error *err)
{
    DIR *names = rafsi_disk_list(dir);
    bool foreign = version_foreign(dir);
    struct dirent *entry;

    if (!names)
        return rafsi_disk_fail(err, errno, path, "cannot be listed");
    while (!foreign && (entry = readdir(names)))
        foreign = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                  !is_ours(entry->d_name);
    closedir(names);
    return foreign ? rafsi_disk_fail(err, ENOTEMPTY, path,
                                     "holds other things and no cache of librafs")
                   : RAFS_OK;
}

static void remove_all(int dir)
{
    DIR *names = rafsi_disk_list(dir);
    struct dirent *entry;

    if (!names)
        return;
    while ((entry = readdir(names)))
        if (is_ours(entry->d_name) && strcmp(entry->d_name, "lock") != 0 &&
            !rafsi_disk_ends(entry->d_name, ".pin"))
            unlinkat(dir, entry->d_name, 0);
    closedir(names);
}

static bool any_held(int dir)
{
    DIR *names = rafsi_disk_list(dir);
    struct dirent *entry;
    bool held = !names;

    while (!held && (entry = readdir(names)))
        held = rafsi_disk_ends(entry->d_name, ".blob.data") &&
               rafsi_disk_held_name(dir, entry->d_name);
    if (names)
        closedir(names);
    return held;
}

static int write_file(int dir, const char *name, const char *text)
{
    int fd = rafsi_disk_file(dir, name, O_WRONLY | O_CREAT | O_TRUNC);
    bool good;

    if (fd < 0)
        return errno;
    good = rafsi_disk_write(fd, text, strlen(text), 0) && fsync(fd) == 0;
    if (!good) {
        int os_errno = errno;

        close(fd);
        return os_errno ? os_errno : EIO;
    }
    close(fd);
    return 0;
}

/* Under the exclusive lock. The version comes last: a crash before leads here again. */
static int rebuild(rafs_cache *cache, const char *path, rafs_error *err)
{
    int rc = check_names(cache->dir, path, err);
    int os_errno;

    if (rc < 0)
        return rc;
    if (any_held(cache->dir))
        return rafsi_disk_fail(err, EBUSY, path,
                               "would have to be emptied, but a mount uses its files");
    remove_all(cache->dir);
    if (fchmod(cache->dir, 0700) != 0)
        return rafsi_disk_fail(err, errno, path, "cannot be made private");
    os_errno = write_file(cache->dir, "CACHEDIR.TAG", tag_text);
    if (os_errno == 0 && fsync(cache->dir) != 0)
        os_errno = errno;
    if (os_errno == 0)
        os_errno = write_file(cache->dir, "version", version_text);
    return os_errno == 0 ? RAFS_OK
                         : rafsi_disk_fail(err, os_errno, path, "cannot be written");
}

/*
 * End with the shared lock and the right version. flock() changes from exclusive to
 * shared in two steps, so the version is looked at again after it.
 */
static int join_users(rafs_cache *cache, const char *path, rafs_error *err)
{
    enum { TRIES = 200, REBUILD_TRIES = 3000, PAUSE_MS = 10 };
    int rebuilds = 0;

    for (int i = 0; i < TRIES; i++) {
        int rc;

        if (flock(cache->in_use, LOCK_SH | LOCK_NB) == 0) {
            if (version_fits(cache->dir))
                return RAFS_OK;
        } else if (errno == EWOULDBLOCK && rebuilds++ < REBUILD_TRIES) {
            /* Somebody empties it or sets it up now, on a disk that may be slow. */
            i--;
            (void)poll(NULL, 0, PAUSE_MS);
            continue;
        }
        flock(cache->in_use, LOCK_UN);
        if (flock(cache->in_use, LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK && errno != EINTR)
                return rafsi_disk_fail(err, errno, path, "cannot be locked");
            (void)poll(NULL, 0, PAUSE_MS);
            continue;
        }
        rc = version_fits(cache->dir) ? RAFS_OK : rebuild(cache, path, err);
        if (rc < 0)
            return rc;
    }
    return rafsi_disk_fail(err, EBUSY, path, "another version of librafs uses it");
}

/* So that the directory itself survives a power cut. Where we may not, it is found out
 * by the next one, who fills it anew. */
static void sync_above(int dir)
{
    int fd = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

int rafsi_disk_dir_open(rafs_cache *cache, const char *path, rafs_error *err)
{
    int rc;

    bool made = mkdir(path, 0700) == 0;

    if (!made && errno != EEXIST)
        return rafsi_disk_fail(err, errno, path, "cannot be made");
    cache->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (cache->dir < 0)
        return rafsi_disk_fail(err, errno, path, "cannot be opened as a directory");
    if (made)
        sync_above(cache->dir);
    rc = check_owner(cache->dir, path, err);
    /* Before the first file is made in it. */
    if (rc == RAFS_OK && !version_fits(cache->dir))
        rc = check_names(cache->dir, path, err);
    if (rc < 0)
        return rc;
    cache->in_use = rafsi_disk_file(cache->dir, "lock", O_RDWR | O_CREAT);
    if (cache->in_use < 0)
        return rafsi_disk_fail(err, errno, path, "its lock cannot be opened");
    return join_users(cache, path, err);
}
