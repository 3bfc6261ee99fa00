/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/fs.h>
#endif

#include "base/fail.h"

/* strerror() uses a buffer of the whole process, and the XSI strerror_r() one's own. */
static int fail_errno(rafs_error *err, int code, int os_errno, const char *what)
{
    char reason[128];

#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    const char *text = strerror_r(os_errno, reason, sizeof(reason));
#else
    const char *text =
        strerror_r(os_errno, reason, sizeof(reason)) == 0 ? reason : "unknown error";
#endif
    return rafsi_fail_os(err, code, RAFS_STAGE_FETCH, os_errno, NULL, "%s: %s", what,
                         text);
}

int rafsi_file_open(int dir, const char *path, int *fd, rafs_error *err)
{
    uint64_t size;
    int rc;
    /* O_NONBLOCK: opening a FIFO would wait for a writer. It means nothing to the files
     * that are accepted. */
    int file = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (file < 0)
        return fail_errno(err, errno == ENOENT ? RAFS_E_NOENT : RAFS_E_BACKEND, errno,
                          "cannot be opened");
    rc = rafsi_file_size(file, &size, err);
    if (rc < 0) {
        close(file);
        return rc;
    }
    *fd = file;
    return RAFS_OK;
}

int rafsi_file_dup(int fd, int *out, rafs_error *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return fail_errno(err, RAFS_E_BACKEND, errno, "descriptor cannot be duplicated");
    *out = copy;
    return RAFS_OK;
}

int rafsi_file_size(int fd, uint64_t *size, rafs_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_errno(err, RAFS_E_BACKEND, errno, "cannot be examined");
#ifdef BLKGETSIZE64
    if (S_ISBLK(st.st_mode)) {
        if (ioctl(fd, BLKGETSIZE64, size) != 0)
            return fail_errno(err, RAFS_E_BACKEND, errno, "size of the device unknown");
        return RAFS_OK;
    }
#endif
    if (!S_ISREG(st.st_mode))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_OPEN, NULL,
                          S_ISDIR(st.st_mode) ? "is a directory, not a file"
                                              : "is not a regular file or block device");
    *size = (uint64_t)st.st_size;
    return RAFS_OK;
}

int rafsi_file_read(int fd, uint64_t offset, void *buf, size_t len, size_t *got,
                    rafs_error *err)
{
    size_t done = 0;

    *got = 0;
    while (done < len) {
        ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, RAFS_E_BACKEND, errno, "cannot be read");
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return RAFS_OK;
}
