/* SPDX-License-Identifier: Apache-2.0 */
/* Images as file systems that Linux mounts. */
#include "api/open.h"
#include "convert/convert.h"

void rafs_erofs_options_init(rafs_erofs_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_image_write_erofs(const rafs_image *image, const rafs_erofs_options *options,
                           rafs_write_fn write, void *user, rafs_erofs_result *result,
                           const rafs_call *call, rafs_error *err)
{
    rafs_erofs_result made;
    rafs_erofs_options set;
    rafs_call taken;
    int rc;

    if (!image || !write)
        return rafsi_fail_null(err, image ? "write" : "image");
    rc = rafsi_take_struct(options, &set, sizeof(set), "rafs_erofs_options", err);
    if (rc == RAFS_OK && (set.flags & ~(uint32_t)RAFS_EROFS_WHOLE) != 0)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_erofs_options", "flags 0x%x are not known", set.flags);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK) {
        struct rafsi_erofs erofs = {.env = &image->env,
                                    .tree = image->tree,
                                    .reader = image->reader,
                                    .hashes = image->hashes,
                                    .options = &set,
                                    .write = write,
                                    .user = user};

        rc = rafsi_erofs_write(&erofs, &made, &taken, err);
    }
    if (rc == RAFS_OK && result)
        rc = rafsi_give_struct(&made, sizeof(made), result, "rafs_erofs_result", err);
    return rc;
}

int rafs_image_open_erofs(const rafs_image *image, int32_t fd, uint64_t size,
                          const rafs_open_options *options, rafs_image **out,
                          const rafs_call *call, rafs_error *err)
{
    struct origin origin = {.fd = fd, .size = size};
    struct wishes wishes;
    int rc;

    if (!image || !out)
        return rafsi_fail_null(err, image ? "out" : "image");
    rc = rafsi_wishes_take(options, call, &wishes, err);
    if (rc == RAFS_OK && (wishes.options.backend_count > 0 || wishes.options.cache))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_open_options",
                        "backends and cache are those of the image");
    wishes.base = image;
    return rc < 0 ? rc : rafsi_image_make(&origin, &wishes, out, err);
}
