/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open an image, find a path, copy the file's bytes to standard output:
 *
 *     cc -std=c99 first_read.c $(pkg-config --cflags --libs rafs) -o first_read
 *     ./first_read IMAGE PATH [BLOB_DIR]
 */
#include <stdio.h>

#include <rafs/rafs.h>

/* Copy a file, a piece at a time. What arrives in buf has been verified. */
static int copy_out(const rafs_image *image, uint64_t ino, rafs_error *err)
{
    static char buf[65536];
    uint64_t offset = 0;
    size_t n;

    do {
        int rc = rafs_image_read(image, ino, offset, sizeof buf, buf, &n, NULL, err);
        if (rc < 0)
            return rc;
        if (fwrite(buf, 1, n, stdout) != n)
            return rafs_error_set(err, RAFS_E_BACKEND, 0, "standard output",
                                  "write failed");
        offset += n;
    } while (n > 0);
    return RAFS_OK;
}

int main(int argc, char **argv)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *blobs = NULL;
    rafs_image *image = NULL;
    uint64_t ino;
    int rc = RAFS_OK;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s IMAGE PATH [BLOB_DIR]\n", argv[0]);
        return 2;
    }
    if (argc == 4) {
        rc = rafs_backend_new_directory(argv[3], NULL, &blobs, &err);
        options.backends = &blobs;
        options.backend_count = 1;
    }
    if (rc == RAFS_OK)
        rc = rafs_image_open_path(argv[1], &options, &image, NULL, &err);
    if (rc == RAFS_OK)
        rc = rafs_image_resolve(image, argv[2], 0, &ino, &err);
    if (rc == RAFS_OK)
        rc = copy_out(image, ino, &err);
    if (rc != RAFS_OK)
        fprintf(stderr, "%s: %s: %s\n", rafs_error_name(rc), err.object, err.text);
    rafs_image_close(image);
    rafs_backend_free(blobs);
    return rc == RAFS_OK ? 0 : 1;
}
