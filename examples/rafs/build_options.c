/* SPDX-License-Identifier: Apache-2.0 */
/* The options of rafs build. */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char making_help[] =
    "  -o, --output DIR     make DIR/image.boot and DIR/blobs/\n"
    "  --bootstrap FILE, --blob-dir DIR   or put them there\n"
    "  --force              replace a bootstrap that is there\n"
    "  --fs-version 5|6     of RAFS (default 6)\n"
    "  --compressor NAME    zstd (default), lz4 or none\n"
    "  --level N            of it\n"
    "  --chunk-size SIZE    4K to 16M, a power of two (default 1M)\n"
    "  --batch-size SIZE    compress files of less than half of it together (v6)\n"
    "  --digest NAME        blake3 (default) or sha256\n"
    "  --dedup LEVEL        none, file or chunk (default)\n"
    "  --chunk-dict IMAGE   refer to its chunks, do not store them again; repeatable\n"
    "  --chunk-store DIR    refer to what earlier builds with DIR stored\n"
    "  --toc                digests and a table of contents in the blob (v6)\n"
    "  --inline-bootstrap   the bootstrap in the blob too, as layers of registries have "
    "it\n"
    "  --blob-per-layer     a blob for each SOURCE\n"
    "  --keep-whiteouts     whiteouts stay files, for rafs merge\n"
    "  --aligned-chunk      v5: chunks at multiples of 4 KiB\n"
    "  --owner UID:GID      of every file\n"
    "  --uid-map FROM:TO:COUNT, --gid-map FROM:TO:COUNT   repeatable\n"
    "  --no-owners          store none\n"
    "  --mtime SECONDS      of every file; without it SOURCE_DATE_EPOCH bounds times\n"
    "  --no-xattrs          leave extended attributes out\n"
    "  --skip-unsupported   leave out what no image can hold, do not fail\n"
    "  --one-file-system    leave out what is mounted below a directory\n"
    "  --exclude PATTERN    leave out paths; repeatable\n"
    "  --prefetch PATH      first in the blob, and in the prefetch table; repeatable\n"
    "  --prefetch-list FILE such paths, one a line\n"
    "  --threads N          (default: one a processor); the result is the same\n"
    "  --no-sync            do not wait until the disk has it\n"
    "  --progress FORM      auto (a bar on a terminal), plain, json or none\n"
    "  --json               the summary as JSON\n";

static bool number(const char *text, int64_t least, int64_t most, int64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *value >= least && *value <= most;
}

static bool bad(struct making *m, const char *option, const char *what)
{
    command_usage(m->c, "%s: '%s' is not %s", option, optarg, what);
    return false;
}

static bool set_u32(struct making *m, const char *option, uint32_t most, uint32_t *out)
{
    int64_t value;

    if (!number(optarg, 1, most, &value))
        return bad(m, option, "such a number");
    *out = (uint32_t)value;
    return true;
}

static bool set_size(struct making *m, const char *option, uint32_t *out)
{
    uint64_t value;

    if (!parse_bytes(optarg, true, &value) || value > UINT32_MAX)
        return bad(m, option, "a size such as 64K");
    *out = (uint32_t)value;
    return true;
}

/* Which of names the argument is, from 1. */
static bool set_name(struct making *m, const char *option, const char *const *names,
                     uint32_t *out)
{
    for (uint32_t i = 0; names[i]; i++)
        if (strcmp(names[i], optarg) == 0) {
            *out = i + 1;
            return true;
        }
    return bad(m, option, "one of those it can be");
}

static bool add(struct making *m, struct texts *texts, const char *text)
{
    if (texts->count == texts->room) {
        size_t room = texts->room ? texts->room * 2 : 16;
        const char **at = realloc(texts->at, room * sizeof *at);

        if (!at) {
            command_say(m->c, EXIT_SOURCE, "out of memory");
            return false;
        }
        texts->at = at;
        texts->room = room;
    }
    texts->at[texts->count++] = text;
    return true;
}

static bool add_map(struct making *m, const char *option, rafs_id_map **maps,
                    size_t *count)
{
    unsigned long long from, to, ids;
    char rest;
    rafs_id_map *grown;

    if (sscanf(optarg, "%llu:%llu:%llu%c", &from, &to, &ids, &rest) != 3 ||
        from > UINT32_MAX || to > UINT32_MAX || ids == 0 || ids > UINT32_MAX)
        return bad(m, option, "FROM:TO:COUNT");
    grown = realloc(*maps, (*count + 1) * sizeof **maps);
    if (!grown) {
        command_say(m->c, EXIT_SOURCE, "out of memory");
        return false;
    }
    grown[(*count)++] =
        (rafs_id_map){.from = (uint32_t)from, .to = (uint32_t)to, .count = (uint32_t)ids};
    *maps = grown;
    return true;
}

static bool set_owner(struct making *m)
{
    unsigned long long uid, gid;
    char rest;

    if (sscanf(optarg, "%llu:%llu%c", &uid, &gid, &rest) != 2 || uid > UINT32_MAX ||
        gid > UINT32_MAX)
        return bad(m, "--owner", "UID:GID");
    m->options.owner_uid = (uint32_t)uid;
    m->options.owner_gid = (uint32_t)gid;
    m->options.flags |= RAFS_BUILD_OWNER;
    return true;
}

/* The whole of a file that names paths. */
static bool read_list(struct making *m)
{
    FILE *file = fopen(optarg, "rb");
    size_t len = 0, room = 0;
    bool good = file != NULL;

    if (m->prefetch_text) {
        command_usage(m->c, "--prefetch-list: one is enough");
        good = false;
    }
    while (good && !feof(file)) {
        if (len + 1 >= room) {
            char *text = realloc(m->prefetch_text, room = room ? room * 2 : 4096);

            good = text != NULL;
            if (!good)
                break;
            m->prefetch_text = text;
        }
        len += fread(m->prefetch_text + len, 1, room - len - 1, file);
        good = !ferror(file);
    }
    if (!good && !m->c->outcome.code)
        command_say(m->c, EXIT_SOURCE, "%s: %s", optarg, strerror(errno));
    if (file)
        fclose(file);
    if (!good)
        return false;
    m->prefetch_text[len] = '\0';
    for (char *line = m->prefetch_text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        if (*line && !add(m, &m->prefetch, line))
            return false;
    }
    return true;
}

bool making_begin(struct making *m, struct command *c)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");

    memset(m, 0, sizeof *m);
    m->c = c;
    rafs_build_options_init(&m->options);
    if (!epoch || !*epoch)
        return true;
    if (!number(epoch, 0, INT64_MAX, &m->options.mtime_max)) {
        command_usage(c, "SOURCE_DATE_EPOCH is '%s', which is not a number of seconds",
                      epoch);
        return false;
    }
    m->options.flags |= RAFS_BUILD_MTIME_MAX;
    return true;
}

static uint32_t flag_of(int opt)
{
    switch (opt) {
    case MAKING_OPT_TOC:
        return RAFS_BUILD_TOC;
    case MAKING_OPT_INLINE:
        return RAFS_BUILD_INLINE_BOOTSTRAP;
    case MAKING_OPT_BLOB_PER_LAYER:
        return RAFS_BUILD_BLOB_PER_LAYER;
    case MAKING_OPT_KEEP_WHITEOUTS:
        return RAFS_BUILD_KEEP_WHITEOUTS;
    case MAKING_OPT_ALIGNED:
        return RAFS_BUILD_ALIGNED;
    case MAKING_OPT_NO_OWNERS:
        return RAFS_BUILD_NO_OWNERS;
    case MAKING_OPT_NO_XATTRS:
        return RAFS_BUILD_NO_XATTRS;
    case MAKING_OPT_SKIP:
        return RAFS_BUILD_SKIP_UNSUPPORTED;
    case MAKING_OPT_ONE_FS:
        return RAFS_BUILD_ONE_FILE_SYSTEM;
    default:
        return 0;
    }
}

static bool set_progress(struct making *m)
{
    static const char *const forms[] = {"auto", "plain", "json", "none", NULL};
    uint32_t form = 0;

    if (!set_name(m, "--progress", forms, &form))
        return false;
    m->form = (enum progress_form)(form - 1);
    return true;
}

static bool how_stored(struct making *m, int opt)
{
    static const char *const compressors[] = {"none", "lz4", "zstd", NULL};
    static const char *const digests[] = {"blake3", "sha256", NULL};
    static const char *const levels[] = {"none", "file", "chunk", NULL};
    int64_t value;

    switch (opt) {
    case MAKING_OPT_FS_VERSION:
        return set_u32(m, "--fs-version", 6, &m->options.version);
    case MAKING_OPT_COMPRESSOR:
        if (strcmp(optarg, "lz4_block") == 0) { /* as nydus-image calls it */
            m->options.compressor = RAFS_STORE_LZ4;
            return true;
        }
        return set_name(m, "--compressor", compressors, &m->options.compressor);
    case MAKING_OPT_LEVEL:
        if (!number(optarg, -100, 100, &value) || value == 0)
            return bad(m, "--level", "a level");
        m->options.level = (int32_t)value;
        return true;
    case MAKING_OPT_CHUNK_SIZE:
        return set_size(m, "--chunk-size", &m->options.chunk_size);
    case MAKING_OPT_BATCH_SIZE:
        return set_size(m, "--batch-size", &m->options.batch_size);
    case MAKING_OPT_THREADS:
        return set_u32(m, "--threads", 1024, &m->options.threads);
    case MAKING_OPT_DIGEST:
        return set_name(m, "--digest", digests, &m->options.digest);
    case MAKING_OPT_DEDUP:
        return set_name(m, "--dedup", levels, &m->options.dedup);
    case MAKING_OPT_CHUNK_DICT:
        return add(m, &m->dictionaries, optarg);
    case MAKING_OPT_CHUNK_STORE:
        m->options.store_index = optarg;
        return true;
    default:
        return false;
    }
}

bool making_option(struct making *m, int opt)
{
    m->options.flags |= flag_of(opt);
    if (flag_of(opt))
        return true;
    switch (opt) {
    case MAKING_OPT_OWNER:
        return set_owner(m);
    case MAKING_OPT_UID_MAP:
        return add_map(m, "--uid-map", &m->uid_maps, &m->options.uid_map_count);
    case MAKING_OPT_GID_MAP:
        return add_map(m, "--gid-map", &m->gid_maps, &m->options.gid_map_count);
    case MAKING_OPT_MTIME:
        m->options.flags |= RAFS_BUILD_MTIME_ALL;
        return number(optarg, INT64_MIN, INT64_MAX, &m->options.mtime_max) ||
               bad(m, "--mtime", "a number of seconds");
    case MAKING_OPT_EXCLUDE:
        return add(m, &m->exclude, optarg);
    case MAKING_OPT_PREFETCH:
        return add(m, &m->prefetch, optarg);
    case MAKING_OPT_PREFETCH_LIST:
        return read_list(m);
    case MAKING_OPT_BOOTSTRAP:
        m->bootstrap = optarg;
        return true;
    case 'o':
        m->out_dir = optarg;
        return true;
    case MAKING_OPT_FORCE:
        m->sink_flags |= RAFS_SINK_REPLACE;
        return true;
    case MAKING_OPT_NO_SYNC:
        m->sink_flags |= RAFS_SINK_NO_SYNC;
        return true;
    case MAKING_OPT_JSON:
        m->json = true;
        return true;
    case MAKING_OPT_PROGRESS:
        return set_progress(m);
    default:
        return how_stored(m, opt);
    }
}
