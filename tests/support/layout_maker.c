/* SPDX-License-Identifier: Apache-2.0 */
#include "layout_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rafs/digest.h"

enum { BLOCK = 512 };

#define M_TYPE "application/vnd.oci.image.manifest.v1+json"
#define I_TYPE "application/vnd.oci.image.index.v1+json"
#define C_TYPE "application/vnd.oci.image.config.v1+json"

void layout_maker_init(struct layout_maker *maker)
{
    maker->fd = memfd_create("layout", 0);
    NEED(maker->fd >= 0);
    snprintf(maker->path, sizeof(maker->path), "/proc/self/fd/%d", maker->fd);
}

void layout_maker_drop(struct layout_maker *maker)
{
    close(maker->fd);
}

void layout_add_raw(struct layout_maker *maker, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t n = write(maker->fd, at, len);

        NEED(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

static void make_header(uint8_t block[BLOCK], const char *name, char type, uint64_t size)
{
    unsigned sum = 0;

    memset(block, 0, BLOCK);
    NEED(strlen(name) <= 100);
    memcpy(block, name, strlen(name));
    snprintf((char *)block + 124, 12, "%011llo", (unsigned long long)size);
    memset(block + 148, ' ', 8);
    block[156] = (uint8_t)type;
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += block[i];
    snprintf((char *)block + 148, 8, "%06o", sum);
}

void layout_add_header(struct layout_maker *maker, const char *name, char type,
                       uint64_t size)
{
    uint8_t block[BLOCK];

    make_header(block, name, type, size);
    layout_add_raw(maker, block, sizeof(block));
}

static void pad(struct layout_maker *maker, size_t len)
{
    static const uint8_t zeros[BLOCK];

    layout_add_raw(maker, zeros, (BLOCK - len % BLOCK) % BLOCK);
}

void layout_add(struct layout_maker *maker, const char *name, const void *data,
                size_t len)
{
    layout_add_header(maker, name, '0', len);
    layout_add_raw(maker, data, len);
    pad(maker, len);
}

void layout_end(struct layout_maker *maker)
{
    static const uint8_t zeros[2 * BLOCK];

    layout_add_raw(maker, zeros, sizeof(zeros));
}

void layout_add_blob(struct layout_maker *maker, const void *data, size_t len,
                     char digest[80])
{
    struct bytes bytes = {(uint8_t *)(uintptr_t)data, len};
    char name[100];

    digest_text("sha256", RAFS_DIGEST_SHA256, bytes, digest);
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
    layout_add(maker, name, data, len);
}

/* A tar of its own, in memory. */
static struct bytes layer_of(const struct golden *golden)
{
    size_t stored = (golden->boot.len + BLOCK - 1) / BLOCK * BLOCK;
    struct bytes layer = {NULL, BLOCK + stored + 2 * BLOCK};

    layer.at = calloc(1, layer.len);
    NEED(layer.at);
    make_header(layer.at, "image/image.boot", '0', golden->boot.len);
    memcpy(layer.at + BLOCK, golden->boot.at, golden->boot.len);
    return layer;
}

void layout_add_image(struct layout_maker *maker, const struct golden *golden,
                      char digest[80])
{
    static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    static const char config[] = "{\"os\":\"linux\",\"architecture\":\"amd64\"}";
    struct bytes layer = layer_of(golden);
    char layer_digest[80], config_digest[80];
    char manifest[1024];
    int len;

    layout_add(maker, "oci-layout", version, strlen(version));
    for (size_t i = 0; i < golden->blob_count; i++) {
        char name[100];

        snprintf(name, sizeof(name), "blobs/sha256/%s", golden->blob_id[i]);
        layout_add(maker, name, golden->blob[i].at, golden->blob[i].len);
    }
    layout_add_blob(maker, layer.at, layer.len, layer_digest);
    layout_add_blob(maker, config, strlen(config), config_digest);
    len = snprintf(
        manifest, sizeof(manifest),
        "{\"schemaVersion\":2,\"mediaType\":\"" M_TYPE "\",\"config\":{\"mediaType\":"
        "\"" C_TYPE "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":"
        "\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu,"
        "\"annotations\":{\"containerd.io/snapshot/nydus-bootstrap\":\"true\","
        "\"containerd.io/snapshot/nydus-fs-version\":\"6\"}}]}",
        config_digest, strlen(config), layer_digest, layer.len);
    layout_add_blob(maker, manifest, (size_t)len, digest);
    free(layer.at);
}

char *layout_index(const char *digest, size_t size, bool of_index, const char *name)
{
    char *text = malloc(1024);

    NEED(text);
    snprintf(text, 1024,
             "{\"schemaVersion\":2,\"mediaType\":\"" I_TYPE "\",\"manifests\":["
             "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s%s%s}]}",
             of_index ? I_TYPE : M_TYPE, digest, size,
             name ? ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" : "",
             name ? name : "", name ? "\"}" : "");
    return text;
}
