/* SPDX-License-Identifier: Apache-2.0 */
#include "export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096, EXTENTS = 64 };
static const char meta_name[] = "image.erofs";

/* A blob's uncompressed address space, in a file. */
struct device {
    struct export_file file;
    char name[24];
    char id[72];
    uint64_t size;
    uint32_t *owner; /* for each block the chunk that was written there, by its number in
                        devices.chunks, from 1 */
};

/* A chunk that was written. */
struct chunk {
    uint64_t offset, length;
    uint32_t algorithm;
    uint8_t digest[32];
};

struct devices {
    struct export_run *run;
    struct command *c;
    struct export_file meta;
    rafs_image *image; /* as the kernel will show it */
    struct device *at;
    uint32_t count;
    uint8_t *room; /* for a chunk */
    uint32_t chunk_size;
    struct chunk *chunks;
    uint32_t chunk_count, chunk_room;
};

static bool lib_failed(struct devices *d, const char *subject, const rafs_error *err)
{
    command_failed(d->c, subject, err);
    return false;
}

static bool out_of_memory(struct devices *d)
{
    command_say(d->c, EXIT_SOURCE, "out of memory");
    return false;
}

static bool os_failed(struct devices *d, const struct device *device)
{
    command_say(d->c, EXIT_SOURCE, "%s: %s", device->name, strerror(errno));
    return false;
}

static bool write_meta(struct devices *d)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call = moving_call();
    rafs_env env = RAFS_ENV_INIT;

    if (!export_begin(d->run, &d->meta))
        return false;
    command_env(&env);
    options.env = &env;
    if (rafs_image_write_erofs(d->c->image, NULL, export_write, &d->meta, &d->run->result,
                               &call, &err) < 0 ||
        rafs_image_open_erofs(d->c->image, d->meta.fd, 0, &options, &d->image, &call,
                              &err) < 0)
        return lib_failed(d, d->c->image_path, &err);
    return true;
}

static bool begin_device(struct devices *d, uint32_t i)
{
    rafs_blob_info info = {.struct_size = sizeof info};
    struct device *device = &d->at[i];
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_blob(d->image, i, &info, &err) < 0)
        return lib_failed(d, d->c->image_path, &err);
    snprintf(device->name, sizeof device->name, "blob-%u", i);
    memcpy(device->id, info.id, sizeof device->id);
    device->size = (info.uncompressed_size + BLOCK - 1) / BLOCK * BLOCK;
    device->owner = calloc((size_t)(device->size / BLOCK) + 1, sizeof *device->owner);
    if (!device->owner)
        return out_of_memory(d);
    if (export_taken(d->run, device->name) || !export_begin(d->run, &device->file))
        return false;
    return ftruncate(device->file.fd, (off_t)device->size) == 0 || os_failed(d, device);
}

static bool begin_devices(struct devices *d)
{
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_info(d->image, &info, &err) < 0)
        return lib_failed(d, d->c->image_path, &err);
    d->chunk_size = info.chunk_size;
    d->room = malloc(info.chunk_size);
    d->at = calloc(info.blob_count + 1u, sizeof *d->at);
    if (!d->room || !d->at)
        return out_of_memory(d);
    for (; d->count < info.blob_count; d->count++) {
        d->at[d->count].file.fd = -1;
        if (!begin_device(d, d->count)) {
            d->count++;
            return false;
        }
    }
    return true;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* A verified chunk; where it is zeros the file has a hole. */
static bool put(struct devices *d, struct device *device, uint64_t at, size_t len)
{
    const uint8_t *from = d->room;

    if (all_zero(from, len))
        return true;
    while (len > 0) {
        ssize_t n = pwrite(device->file.fd, from, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return os_failed(d, device);
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static void show(struct devices *d, uint64_t more)
{
    rafs_copy_progress shown = {.struct_size = sizeof shown,
                                .bytes_done = d->run->done += more,
                                .bytes_total = d->run->total,
                                .blobs_total = d->count};

    moving_progress(&d->run->moving, &shown);
}

/* A number for a chunk that is new; 0: there is no memory. */
static uint32_t note(struct devices *d, const rafs_extent *extent)
{
    struct chunk *chunk;

    if (d->chunk_count == d->chunk_room) {
        uint32_t room = d->chunk_room ? d->chunk_room * 2 : 1024;
        struct chunk *larger =
            room > d->chunk_room ? realloc(d->chunks, room * sizeof *larger) : NULL;

        if (!larger)
            return 0;
        d->chunks = larger;
        d->chunk_room = room;
    }
    chunk = &d->chunks[d->chunk_count++];
    *chunk = (struct chunk){.offset = extent->uncompressed_offset,
                            .length = extent->length,
                            .algorithm = extent->digest_algorithm};
    memcpy(chunk->digest, extent->digest, sizeof chunk->digest);
    return d->chunk_count;
}

static bool is_same(const struct chunk *chunk, const rafs_extent *extent)
{
    return chunk->offset == extent->uncompressed_offset &&
           chunk->length == extent->length &&
           chunk->algorithm == extent->digest_algorithm &&
           memcmp(chunk->digest, extent->digest, sizeof chunk->digest) == 0;
}

/* The blocks of a chunk become its own; *there: it has them already. The kernel knows
 * places alone: where two chunks claim one it would show a file the other's bytes. */
static bool claim(struct devices *d, struct device *device, const rafs_extent *extent,
                  bool *there)
{
    uint64_t first = extent->uncompressed_offset / BLOCK;
    uint64_t end = first + (extent->length + BLOCK - 1) / BLOCK;
    uint32_t number = device->owner[first];

    *there = number != 0 && is_same(&d->chunks[number - 1], extent);
    if (*there)
        return true;
    for (uint64_t i = first; i < end; i++)
        if (device->owner[i] != 0) {
            command_say(d->c, EXIT_UNSUPPORTED,
                        "blob %s: two chunks lie at byte %llu, and the kernel could not "
                        "tell which one a file means",
                        device->id, (unsigned long long)(i * BLOCK));
            return false;
        }
    number = note(d, extent);
    if (number == 0)
        return out_of_memory(d);
    for (uint64_t i = first; i < end; i++)
        device->owner[i] = number;
    return true;
}

/* One chunk of a file, unless it was written for another one. */
static bool fill(struct devices *d, const rafs_walk_entry *entry,
                 const rafs_extent *extent)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call = moving_call();
    bool there = false;
    size_t got = 0;

    if (extent->flags & RAFS_EXTENT_HOLE)
        return true;
    if (extent->blob >= d->count || extent->length == 0 ||
        extent->length > d->chunk_size || extent->uncompressed_offset % BLOCK != 0 ||
        extent->uncompressed_offset >= d->at[extent->blob].size ||
        extent->length > d->at[extent->blob].size - extent->uncompressed_offset) {
        command_say(d->c, EXIT_CORRUPT, "a chunk lies outside its blob");
        return false;
    }
    if (!claim(d, &d->at[extent->blob], extent, &there))
        return false;
    if (there)
        return true;
    if (rafs_image_read(d->image, entry->ino, extent->file_offset, (size_t)extent->length,
                        d->room, &got, &call, &err) < 0)
        return lib_failed(d, entry->path, &err);
    if (got != extent->length ||
        !put(d, &d->at[extent->blob], extent->uncompressed_offset, got))
        return false;
    show(d, got);
    return true;
}

static bool fill_file(struct devices *d, const rafs_walk_entry *entry)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call = moving_call();
    rafs_extent extents[EXTENTS];
    uint64_t at = 0;
    size_t count;

    while (at < entry->attr.size) {
        if (rafs_image_get_extents(d->image, entry->ino, at, extents, EXTENTS, &count,
                                   &call, &err) < 0)
            return lib_failed(d, entry->path, &err);
        for (size_t i = 0; i < count; i++) {
            if (command_interrupted(d->c) || !fill(d, entry, &extents[i]))
                return false;
            at = extents[i].file_offset + extents[i].length;
        }
    }
    return true;
}

static bool fill_devices(struct devices *d)
{
    const rafs_walk_entry *entry = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_walk *walk = NULL;
    bool good = true;

    for (uint32_t i = 0; i < d->count; i++)
        d->run->total += d->at[i].size;
    if (rafs_walk_open(d->image, "/", 0, &walk, &err) < 0)
        return lib_failed(d, d->c->image_path, &err);
    while (good) {
        if (rafs_walk_next(walk, &entry, &err) < 0)
            good = lib_failed(d, d->c->image_path, &err);
        else if (!entry)
            break;
        else if (S_ISREG(entry->attr.mode))
            good = fill_file(d, entry);
    }
    rafs_walk_close(walk);
    return good;
}

/* Devices first: where there is the metadata, all is there. */
static bool commit(struct devices *d)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (!export_commit(d->run, &d->at[i].file, d->at[i].name))
            return false;
    return export_commit(d->run, &d->meta, meta_name);
}

/* mount(8) takes a loop device for the image, and then each device has to be one. */
static char *mount_command(const struct devices *d)
{
    char *dir = export_quoted(d->run->devices);
    char *text = NULL;
    size_t len = 0;
    FILE *out = dir ? open_memstream(&text, &len) : NULL;

    if (out) {
        fputs("mount -t erofs -o ro,loop", out);
        for (uint32_t i = 0; i < d->count; i++)
            fprintf(out, ",device=$(losetup -rf --show %s/%s)", dir, d->at[i].name);
        fprintf(out, " %s/%s DIR", dir, meta_name);
        if (fclose(out) != 0) {
            free(text);
            text = NULL;
        }
    }
    free(dir);
    return text;
}

static void put_device(struct json *j, const struct device *device)
{
    json_open(j, '{');
    json_key(j, "blob");
    json_text(j, device->id);
    json_key(j, "file");
    json_text(j, device->name);
    json_key(j, "size");
    json_u64(j, device->size);
    json_close(j, '}');
}

static void tell(struct devices *d, const char *command)
{
    const rafs_erofs_result *r = &d->run->result;
    char size[32];
    struct json j;

    if (!d->run->moving.json) {
        put_quoted(stdout, d->run->devices, strlen(d->run->devices));
        printf(": %s of metadata, %u devices\n  %s\n",
               human_bytes(r->size, size, sizeof size), d->count, command);
        return;
    }
    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "devices");
    json_open(&j, '[');
    for (uint32_t i = 0; i < d->count; i++)
        put_device(&j, &d->at[i]);
    json_close(&j, ']');
    json_key(&j, "directory");
    json_bytes(&j, d->run->devices, strlen(d->run->devices));
    json_key(&j, "file");
    json_text(&j, meta_name);
    json_key(&j, "mount");
    json_bytes(&j, command, strlen(command));
    json_key(&j, "own_bootstrap");
    json_bool(&j, (r->flags & RAFS_EROFS_OWN) != 0);
    json_key(&j, "same_places");
    json_bool(&j, (r->flags & RAFS_EROFS_SAME_PLACES) != 0);
    json_key(&j, "sha256");
    json_hex(&j, r->sha256, sizeof r->sha256);
    json_key(&j, "size");
    json_u64(&j, r->size);
    json_close(&j, '}');
    json_newline(&j);
}

static void drop(struct devices *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        export_abort(&d->at[i].file);
        free(d->at[i].owner);
    }
    rafs_image_close(d->image);
    export_abort(&d->meta);
    free(d->at);
    free(d->room);
    free(d->chunks);
}

void export_devices(struct export_run *run)
{
    struct devices d = {.run = run, .c = run->c, .meta = {.fd = -1}};
    char *command;
    bool good;
    int made;
    int why = dest_open(&run->dest, run->devices, 0777, &made);

    if (why == 0)
        why = dest_enter(&run->dest, "", 0);
    if (why != 0) {
        command_say(run->c, EXIT_SOURCE, "%s: %s", run->devices, strerror(why));
        return;
    }
    good = !export_taken(run, meta_name) && write_meta(&d) && begin_devices(&d);
    if (good) {
        command_fetch_along(run->c, NULL, 0);
        moving_progress_begin(&run->moving);
        good = fill_devices(&d);
        moving_progress_end(&run->moving);
    }
    if (good && commit(&d)) {
        command = mount_command(&d);
        if (command)
            tell(&d, command);
        else
            out_of_memory(&d);
        free(command);
    }
    drop(&d);
    if (run->c->outcome.code != EXIT_GOOD && made)
        rmdir(run->devices);
}
