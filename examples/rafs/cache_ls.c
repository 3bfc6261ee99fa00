/* SPDX-License-Identifier: Apache-2.0 */
/* rafs cache ls and du: what is there. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cache.h"
#include "tree.h"

static const char ls_help[] =
    "Usage: rafs cache ls [OPTION]...\n"
    "List blobs and documents, the least recently used first: space on disk, chunks "
    "that\n"
    "are there and their bytes, last use (UTC), what holds them, name.\n"
    "\n"
    "  --json               one JSON object a line\n";

static const char du_help[] = "Usage: rafs cache du [OPTION]...\n"
                              "Show how much of the disk the cache takes.\n"
                              "\n"
                              "  --json               one JSON object\n";

struct lister {
    struct command *c;
    struct json j;
    bool json;
    bool header; /* was written */
};

static void put_json_entry(struct json *j, const rafs_cache_entry *entry)
{
    json_open(j, '{');
    json_key(j, "chunks");
    json_u64(j, entry->chunks);
    json_key(j, "disk_bytes");
    json_u64(j, entry->disk_bytes);
    json_key(j, "in_use");
    json_bool(j, entry->flags & RAFS_CACHE_ENTRY_IN_USE);
    json_key(j, "kind");
    json_text(j, entry->flags & RAFS_CACHE_ENTRY_DOCUMENT ? "document" : "blob");
    json_key(j, "last_use");
    json_u64(j, entry->last_use_sec);
    json_key(j, "name");
    json_text(j, entry->name);
    json_key(j, "pinned");
    json_bool(j, entry->flags & RAFS_CACHE_ENTRY_PINNED);
    json_key(j, "ready_bytes");
    json_u64(j, entry->ready_bytes);
    json_close(j, '}');
    json_newline(j);
}

static void put_entry(struct lister *l, const rafs_cache_entry *entry)
{
    char disk[32], ready[32], when[32] = "never";
    bool pinned = entry->flags & RAFS_CACHE_ENTRY_PINNED;
    bool used = entry->flags & RAFS_CACHE_ENTRY_IN_USE;

    if (!l->header)
        printf("%10s %8s %10s  %-19s  %-10s  %s\n", "ON DISK", "CHUNKS", "READY",
               "LAST USE", "HELD BY", "NAME");
    l->header = true;
    if (entry->last_use_sec)
        time_string((int64_t)entry->last_use_sec, when, sizeof when);
    printf("%10s ", human_bytes(entry->disk_bytes, disk, sizeof disk));
    if (entry->flags & RAFS_CACHE_ENTRY_DOCUMENT)
        printf("%8s %10s", "-", "-");
    else
        printf("%8" PRIu64 " %10s", entry->chunks,
               human_bytes(entry->ready_bytes, ready, sizeof ready));
    printf("  %-19s  %-10s  ", when,
           pinned && used ? "pin, use"
           : pinned       ? "pin"
           : used         ? "use"
                          : "-");
    put_name(stdout, entry->name, strlen(entry->name));
    putchar('\n');
}

static int visit_ls(void *user, const rafs_cache_entry *entry)
{
    struct lister *l = user;

    if (l->json)
        put_json_entry(&l->j, entry);
    else
        put_entry(l, entry);
    return command_output_failed() || command_interrupted(l->c);
}

/* Options of the two; false: it is over. */
static bool begin(struct lister *l, int argc, char **argv)
{
    enum { OPT_JSON = OPT_OWN };
    static const struct option longs[] = {
        COMMON_OPTIONS, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}};
    int opt;

    json_begin(&l->j, stdout);
    while ((opt = command_getopt(l->c, argc, argv, "", longs)) != -1) {
        if (opt == OPT_STOP)
            return false;
        l->json = true;
    }
    if (optind != argc) {
        command_usage(l->c, "no operand is expected");
        return false;
    }
    return true;
}

static void list(struct lister *l, rafs_cache_visit visit, void *user)
{
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_cache_list(l->c->cache, RAFS_CACHE_LIST_COUNT, visit, user, &err) < 0) {
        command_failed(l->c, NULL, &err);
        l->c->outcome.code = EXIT_SOURCE;
    }
}

int cache_cmd_ls(int argc, char **argv)
{
    struct command c = COMMAND_INIT("cache ls", ls_help);
    struct lister l = {.c = &c};

    if (begin(&l, argc, argv) && cache_open_existing(&c, false) == CACHE_OPEN)
        list(&l, visit_ls, &l);
    return command_end(&c);
}

struct sums {
    uint64_t blobs, documents, pinned, in_use, chunks;
    uint64_t blob_bytes, document_bytes, pinned_bytes, in_use_bytes, ready_bytes;
};

static int visit_du(void *user, const rafs_cache_entry *entry)
{
    struct sums *s = user;
    bool document = entry->flags & RAFS_CACHE_ENTRY_DOCUMENT;

    *(document ? &s->documents : &s->blobs) += 1;
    *(document ? &s->document_bytes : &s->blob_bytes) += entry->disk_bytes;
    s->chunks += entry->chunks;
    s->ready_bytes += entry->ready_bytes;
    if (entry->flags & RAFS_CACHE_ENTRY_PINNED) {
        s->pinned++;
        s->pinned_bytes += entry->disk_bytes;
    }
    if (entry->flags & RAFS_CACHE_ENTRY_IN_USE) {
        s->in_use++;
        s->in_use_bytes += entry->disk_bytes;
    }
    return 0;
}

static void put_json_sums(struct json *j, const struct sums *s, const char *path,
                          uint64_t free_bytes, uint64_t floor)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {{"blob_bytes", s->blob_bytes},
                   {"blobs", s->blobs},
                   {"chunks", s->chunks},
                   {"disk_bytes", s->blob_bytes + s->document_bytes},
                   {"document_bytes", s->document_bytes},
                   {"documents", s->documents},
                   {"free_bytes", free_bytes},
                   {"in_use", s->in_use},
                   {"in_use_bytes", s->in_use_bytes},
                   {"keep_free_bytes", floor},
                   {"pinned", s->pinned},
                   {"pinned_bytes", s->pinned_bytes},
                   {"ready_bytes", s->ready_bytes}};

    json_open(j, '{');
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (i == 3) { /* between chunks and disk_bytes */
            json_key(j, "directory");
            json_bytes(j, path, strlen(path));
        }
        json_key(j, numbers[i].key);
        json_u64(j, numbers[i].value);
    }
    json_close(j, '}');
    json_newline(j);
}

static void put_sums(const struct sums *s, const char *path, uint64_t free_bytes,
                     uint64_t floor)
{
    char a[32], b[32];

    fputs("directory: ", stdout);
    put_name(stdout, path, strlen(path));
    printf("\non disk:   %s\n",
           human_bytes(s->blob_bytes + s->document_bytes, a, sizeof a));
    printf("blobs:     %" PRIu64 ", %s; %" PRIu64 " chunks of %s\n", s->blobs,
           human_bytes(s->blob_bytes, a, sizeof a), s->chunks,
           human_bytes(s->ready_bytes, b, sizeof b));
    printf("documents: %" PRIu64 ", %s\n", s->documents,
           human_bytes(s->document_bytes, a, sizeof a));
    printf("pinned:    %" PRIu64 ", %s\n", s->pinned,
           human_bytes(s->pinned_bytes, a, sizeof a));
    printf("in use:    %" PRIu64 ", %s\n", s->in_use,
           human_bytes(s->in_use_bytes, a, sizeof a));
    printf("disk free: %s, of which %s stay free\n", human_bytes(free_bytes, a, sizeof a),
           human_bytes(floor, b, sizeof b));
}

int cache_cmd_du(int argc, char **argv)
{
    struct command c = COMMAND_INIT("cache du", du_help);
    struct lister l = {.c = &c};
    struct cache_place place = {0};
    enum cache_found found;
    struct statvfs fs;
    struct sums sums = {0};
    uint64_t free_bytes = 0;

    if (!begin(&l, argc, argv))
        return command_end(&c);
    found = cache_open_existing(&c, false);
    if (found == CACHE_OPEN)
        list(&l, visit_du, &sums);
    if (found != CACHE_FAILED && cache_choose(&c, &place) &&
        c.outcome.code == EXIT_GOOD) {
        if (statvfs(place.path, &fs) == 0)
            free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        if (l.json)
            put_json_sums(&l.j, &sums, place.path, free_bytes,
                          cache_floor(&c, place.path));
        else
            put_sums(&sums, place.path, free_bytes, cache_floor(&c, place.path));
    }
    free(place.path);
    return command_end(&c);
}
