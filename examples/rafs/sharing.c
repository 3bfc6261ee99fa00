/* SPDX-License-Identifier: Apache-2.0 */
/* rafs sharing: what images have in common. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "images.h"

static const char sharing_help[] =
    "Usage: rafs sharing [OPTION]... IMAGE...\n"
    "Show what images have in common: distinct chunks, found by their digests, and the\n"
    "bytes of files that they hold. Blobs are not read.\n"
    "\n"
    "  --json               one JSON object\n"
    "\n"
    "Only images with the same chunk size and digest can have chunks in common.\n"
    "\n"
    "Example:\n"
    "  rafs sharing old/image.boot new/image.boot\n";

enum { IMAGES_MAX = 64 };

/* A distinct chunk, and a bit for each image that has it. */
struct chunk {
    uint8_t digest[RAFS_DIGEST_BYTES];
    uint64_t images; /* 0: the slot is free */
    uint32_t size;
    uint32_t algorithm;
};

struct sum {
    uint64_t chunks;
    uint64_t bytes;
};

struct sharing {
    struct command *c;
    bool json;
    char **names;
    size_t count;
    struct chunk *slots;
    size_t room; /* a power of two, or 0 */
    size_t used;
    struct sum has[IMAGES_MAX];   /* each image */
    struct sum alone[IMAGES_MAX]; /* of it, what no other has */
    struct sum pairs[IMAGES_MAX][IMAGES_MAX];
    struct sum all; /* together */
};

static struct chunk *probe(struct chunk *slots, size_t room, const uint8_t *digest,
                           uint32_t size, uint32_t algorithm)
{
    size_t i;

    memcpy(&i, digest, sizeof i);
    for (;; i++) {
        struct chunk *slot = &slots[i & (room - 1)];

        if (!slot->images || (slot->size == size && slot->algorithm == algorithm &&
                              memcmp(slot->digest, digest, sizeof slot->digest) == 0))
            return slot;
    }
}

static bool grow(struct sharing *s)
{
    size_t room = s->room ? 2 * s->room : 4096;
    struct chunk *slots = calloc(room, sizeof *slots);

    if (!slots) {
        command_say(s->c, EXIT_SOURCE, "out of memory");
        return false;
    }
    for (size_t i = 0; i < s->room; i++) {
        const struct chunk *old = &s->slots[i];

        if (old->images)
            *probe(slots, room, old->digest, old->size, old->algorithm) = *old;
    }
    free(s->slots);
    s->slots = slots;
    s->room = room;
    return true;
}

static bool note(struct sharing *s, size_t image, const rafs_extent *extent)
{
    struct chunk *slot;

    if (extent->flags & RAFS_EXTENT_HOLE)
        return true;
    if (2 * s->used >= s->room && !grow(s))
        return false;
    slot = probe(s->slots, s->room, extent->digest, (uint32_t)extent->length,
                 extent->digest_algorithm);
    if (!slot->images) {
        memcpy(slot->digest, extent->digest, sizeof slot->digest);
        slot->size = (uint32_t)extent->length;
        slot->algorithm = extent->digest_algorithm;
        s->used++;
    }
    slot->images |= (uint64_t)1 << image;
    return true;
}

/* Every chunk of a file. */
static bool read_file(struct sharing *s, size_t image, struct command *from,
                      const rafs_walk_entry *entry)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_extent extents[64];
    uint64_t offset = 0;
    size_t count = 0;

    while (offset < entry->attr.size) {
        if (rafs_image_get_extents(from->image, entry->ino, offset, extents, 64, &count,
                                   command_call(from), &err) < 0) {
            command_failed(s->c, entry->path, &err);
            return false;
        }
        for (size_t i = 0; i < count; i++)
            if (!note(s, image, &extents[i]))
                return false;
        if (count == 0)
            break;
        offset = extents[count - 1].file_offset + extents[count - 1].length;
    }
    return true;
}

static bool read_image(struct sharing *s, size_t image, struct command *from)
{
    rafs_error err = RAFS_ERROR_INIT;
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    bool good = true;

    if (rafs_walk_open(from->image, "/", 0, &walk, &err) < 0) {
        command_failed(s->c, s->names[image], &err);
        return false;
    }
    while (good && !command_interrupted(s->c)) {
        good = rafs_walk_next(walk, &entry, &err) == RAFS_OK;
        if (!good)
            command_failed(s->c, s->names[image], &err);
        if (!good || !entry)
            break;
        if (S_ISREG(entry->attr.mode))
            good = read_file(s, image, from, entry);
    }
    rafs_walk_close(walk);
    return good && !command_interrupted(s->c);
}

static bool read_images(struct sharing *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct command image;
        bool good =
            image_open_also(s->c, &image, s->names[i]) && read_image(s, i, &image);

        image_close_also(s->c, &image);
        if (!good)
            return false;
    }
    return true;
}

static void add(struct sum *sum, const struct chunk *chunk)
{
    sum->chunks++;
    sum->bytes += chunk->size;
}

static void count(struct sharing *s)
{
    for (size_t at = 0; at < s->room; at++) {
        const struct chunk *chunk = &s->slots[at];

        if (!chunk->images)
            continue;
        add(&s->all, chunk);
        for (size_t i = 0; i < s->count; i++) {
            if (!(chunk->images >> i & 1))
                continue;
            add(&s->has[i], chunk);
            if (chunk->images == (uint64_t)1 << i)
                add(&s->alone[i], chunk);
            for (size_t j = i + 1; j < s->count; j++)
                if (chunk->images >> j & 1)
                    add(&s->pairs[i][j], chunk);
        }
    }
}

static uint64_t apart(const struct sharing *s)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < s->count; i++)
        bytes += s->has[i].bytes;
    return bytes;
}

static void json_sum(struct json *j, const char *bytes, const char *chunks,
                     const struct sum *sum)
{
    json_key(j, bytes);
    json_u64(j, sum->bytes);
    json_key(j, chunks);
    json_u64(j, sum->chunks);
}

static void put_json(const struct sharing *s)
{
    struct json j;

    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "apart_bytes");
    json_u64(&j, apart(s));
    json_sum(&j, "bytes", "chunks", &s->all);
    json_key(&j, "images");
    json_open(&j, '[');
    for (size_t i = 0; i < s->count; i++) {
        json_open(&j, '{');
        json_sum(&j, "bytes", "chunks", &s->has[i]);
        json_key(&j, "image");
        json_bytes(&j, s->names[i], strlen(s->names[i]));
        json_sum(&j, "unique_bytes", "unique_chunks", &s->alone[i]);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_key(&j, "pairs");
    json_open(&j, '[');
    for (size_t a = 0; a < s->count; a++)
        for (size_t b = a + 1; b < s->count; b++) {
            json_open(&j, '{');
            json_sum(&j, "bytes", "chunks", &s->pairs[a][b]);
            json_key(&j, "images");
            json_open(&j, '[');
            json_u64(&j, a);
            json_u64(&j, b);
            json_close(&j, ']');
            json_close(&j, '}');
        }
    json_close(&j, ']');
    json_close(&j, '}');
    json_newline(&j);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void put_text(const struct sharing *s)
{
    char bytes[32], alone[32];

    printf("%3s %9s %12s %9s %12s %6s  %s\n", "", "chunks", "bytes", "unique", "bytes",
           "shared", "image");
    for (size_t i = 0; i < s->count; i++) {
        printf("%3zu %9" PRIu64 " %12s %9" PRIu64 " %12s %5.1f%%  ", i + 1,
               s->has[i].chunks, human_bytes(s->has[i].bytes, bytes, sizeof bytes),
               s->alone[i].chunks, human_bytes(s->alone[i].bytes, alone, sizeof alone),
               percent(s->has[i].bytes - s->alone[i].bytes, s->has[i].bytes));
        put_name(stdout, s->names[i], strlen(s->names[i]));
        putchar('\n');
    }
    for (size_t a = 0; a < s->count; a++)
        for (size_t b = a + 1; b < s->count; b++)
            printf("%s%zu and %zu have %s in common, %.1f%% of %zu and %.1f%% of %zu\n",
                   a == 0 && b == 1 ? "\n" : "", a + 1, b + 1,
                   human_bytes(s->pairs[a][b].bytes, bytes, sizeof bytes),
                   percent(s->pairs[a][b].bytes, s->has[a].bytes), a + 1,
                   percent(s->pairs[a][b].bytes, s->has[b].bytes), b + 1);
    printf("\ntogether %s; each by itself ",
           human_bytes(s->all.bytes, bytes, sizeof bytes));
    printf("%s (%.1f%% saved)\n", human_bytes(apart(s), bytes, sizeof bytes),
           percent(apart(s) - s->all.bytes, apart(s)));
}

int cmd_sharing(int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN };
    static const struct option longs[] = {
        COMMON_OPTIONS, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("sharing", sharing_help);
    struct sharing *s = calloc(1, sizeof *s);
    int opt;

    if (!s) {
        command_say(&c, EXIT_SOURCE, "out of memory");
        return command_end(&c);
    }
    s->c = &c;
    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            goto out;
        s->json = true;
    }
    s->names = argv + optind;
    s->count = (size_t)(argc - optind);
    if (s->count == 0) {
        command_usage(&c, "IMAGE is missing");
    } else if (s->count > IMAGES_MAX) {
        command_usage(&c, "more than %d images", IMAGES_MAX);
    } else if (read_images(s)) {
        count(s);
        if (s->json)
            put_json(s);
        else
            put_text(s);
    }
out:
    free(s->slots);
    free(s);
    return command_end(&c);
}
