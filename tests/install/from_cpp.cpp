// SPDX-License-Identifier: Apache-2.0
// A C++ program links with the library and uses the macros that C programs use.
#include <cstdio>
#include <cstring>

#include <rafs/rafs.h>

int main()
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend_ops ops = RAFS_BACKEND_OPS_INIT;
    rafs_check_options check = RAFS_CHECK_OPTIONS_INIT;
    rafs_env env = RAFS_ENV_INIT;
    rafs_call call = RAFS_CALL_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = nullptr;

    if (options.struct_size != sizeof options || ops.struct_size != sizeof ops ||
        check.struct_size != sizeof check || env.struct_size != sizeof env)
        return 1;
    if (std::strcmp(rafs_version(), RAFS_VERSION_STRING) != 0)
        return 2;
    int rc = rafs_image_open_memory("x", 1, &options, &image, &call, &err);
    if (rc != RAFS_E_CORRUPT || image != nullptr) {
        std::printf("one byte was taken for an image: %d\n", rc);
        return 3;
    }
    return 0;
}
