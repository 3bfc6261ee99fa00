/* SPDX-License-Identifier: Apache-2.0 */
/* rafs merge: one image out of the bootstraps of its layers. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "images.h"

static const char merge_help[] =
    "Usage: rafs merge [OPTION]... -o FILE BOOTSTRAP...\n"
    "Lay images over each other, the lowest first, as layers of one image. Whiteouts "
    "hide\n"
    "what lies below. Only the bootstrap FILE is written: it refers to the blobs of the\n"
    "layers, and blobs are neither read nor changed.\n"
    "\n"
    "  -o, --bootstrap FILE    the merged bootstrap\n"
    "  --parent IMAGE          lies below all others\n"
    "  --chunk-dict IMAGE      what layers were built with; tells which blob is a "
    "layer's\n"
    "                          own; may be repeated\n"
    "  --blob-digests LIST     of each layer: what its own blob is called (sha256:HEX "
    "or\n"
    "                          HEX)\n"
    "  --blob-sizes LIST       its size in bytes\n"
    "  --blob-toc-digests LIST digest of its table of contents\n"
    "  --blob-toc-sizes LIST   size of that in bytes\n"
    "  --force                 replace FILE\n"
    "  --no-sync               do not wait until the disk has it\n"
    "  --json                  tell as one JSON object\n"
    "\n"
    "Lists are separated by commas and have an element for each BOOTSTRAP; an empty one\n"
    "means: as the bootstrap says.\n"
    "\n"
    "Example:\n"
    "  rafs merge -o image.boot layer1.boot layer2.boot\n";

enum {
    OPT_JSON = OPT_OWN,
    OPT_BOOTSTRAP,
    OPT_PARENT,
    OPT_DICT,
    OPT_DIGESTS,
    OPT_SIZES,
    OPT_TOC_DIGESTS,
    OPT_TOC_SIZES,
    OPT_FORCE,
    OPT_NO_SYNC
};

enum { LISTS = 4, DICTIONARIES_MAX = 16 };

static const char *const list_names[LISTS] = {"--blob-digests", "--blob-sizes",
                                              "--blob-toc-digests", "--blob-toc-sizes"};

struct merger {
    struct command *c;
    const char *out, *parent;
    const char *lists[LISTS]; /* NULL: not given */
    const char *dictionary_paths[DICTIONARIES_MAX];
    struct command dictionaries[DICTIONARIES_MAX];
    const rafs_image *dictionary_images[DICTIONARIES_MAX];
    size_t dictionary_count, opened;
    char **layers;
    size_t count;
    uint32_t sink_flags;
    bool json;
    rafs_sink *sink;
    rafs_builder *builder;
};

/* Element i of a list, copied; false: there is none, or it is too long. */
static bool element(const char *list, size_t i, char *out, size_t room)
{
    size_t len;

    for (; i > 0; i--) {
        list += strcspn(list, ",");
        if (!*list)
            return false;
        list++;
    }
    len = strcspn(list, ",");
    if (len >= room)
        return false;
    memcpy(out, list, len);
    out[len] = '\0';
    return true;
}

static size_t elements(const char *list)
{
    size_t count = 1;

    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* What the lists say of one layer. */
struct words {
    char digest[96]; /* as long as a word */
    uint8_t toc[RAFS_DIGEST_BYTES];
    rafs_build_layer layer;
};

static bool parse_hex(const char *text, uint8_t out[RAFS_DIGEST_BYTES])
{
    if (strncmp(text, "sha256:", 7) == 0)
        text += 7;
    if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
        return false;
    for (size_t i = 0; i < RAFS_DIGEST_BYTES; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool take_word(struct words *w, size_t list, const char *word)
{
    uint8_t digest[RAFS_DIGEST_BYTES];
    uint64_t number = 0;

    if (!*word)
        return true;
    switch (list) {
    case 0:
        if (!parse_hex(word, digest))
            return false;
        snprintf(w->digest, sizeof w->digest, "%s", word + (word[6] == ':' ? 7 : 0));
        w->layer.blob_id = w->digest;
        return true;
    case 2:
        w->layer.toc_digest = w->toc;
        return parse_hex(word, w->toc);
    default:
        if (!parse_bytes(word, false, &number) || (list == 3 && number > UINT32_MAX))
            return false;
        if (list == 1)
            w->layer.blob_size = number;
        else
            w->layer.toc_size = (uint32_t)number;
        return true;
    }
}

static bool words_of(struct merger *m, size_t layer, struct words *w)
{
    char word[96];

    memset(w, 0, sizeof *w);
    w->layer.struct_size = sizeof w->layer;
    for (size_t list = 0; list < LISTS; list++) {
        if (!m->lists[list])
            continue;
        if (!element(m->lists[list], layer, word, sizeof word) ||
            !take_word(w, list, word)) {
            command_usage(m->c, "%s: element %zu is not of this kind", list_names[list],
                          layer + 1);
            return false;
        }
    }
    return true;
}

static bool check_lists(struct merger *m)
{
    struct words ignored;

    for (size_t list = 0; list < LISTS; list++) {
        if (m->lists[list] && elements(m->lists[list]) != m->count) {
            command_usage(m->c, "%s has %zu elements for %zu layers", list_names[list],
                          elements(m->lists[list]), m->count);
            return false;
        }
    }
    for (size_t i = 0; i < m->count; i++)
        if (!words_of(m, i, &ignored))
            return false;
    return true;
}

/* What is built is of the first image's kind. */
static bool options_like(struct merger *m, const rafs_image *image,
                         rafs_build_options *options)
{
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_info(image, &info, &err) < 0) {
        command_failed(m->c, NULL, &err);
        return false;
    }
    rafs_build_options_init(options);
    options->version = info.version;
    options->chunk_size = info.chunk_size;
    options->threads = 1; /* there is nothing to compress */
    options->digest =
        info.digest == RAFS_DIGEST_SHA256 ? RAFS_HASH_SHA256 : RAFS_HASH_BLAKE3;
    options->compressor = info.compressor == RAFS_COMPRESSOR_NONE ? RAFS_STORE_NONE
                          : info.compressor == RAFS_COMPRESSOR_LZ4_BLOCK
                              ? RAFS_STORE_LZ4
                              : RAFS_STORE_ZSTD;
    if (!(info.flags & RAFS_FLAG_EXPLICIT_UID_GID))
        options->flags |= RAFS_BUILD_NO_OWNERS;
    options->dictionaries = m->dictionary_images;
    options->dictionary_count = m->dictionary_count;
    return true;
}

static bool start(struct merger *m, const rafs_image *first)
{
    rafs_build_options options;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_env env = RAFS_ENV_INIT;
    int rc;

    if (!options_like(m, first, &options))
        return false;
    command_env(&env);
    rc = rafs_sink_new_directory(m->out, NULL, m->sink_flags, &env, &m->sink, &err);
    if (rc < 0 && err.os_errno == EEXIST) {
        command_say(m->c, EXIT_USAGE, "%s is there already; --force replaces it", m->out);
        return false;
    }
    if (rc == RAFS_OK)
        rc = rafs_builder_new(&options, m->sink, &env, &m->builder, &err);
    if (rc < 0)
        command_failed(m->c, NULL, &err);
    return rc == RAFS_OK;
}

static bool add(struct merger *m, const char *path, const rafs_build_layer *layer,
                bool first)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct command image;
    bool good = image_open_also(m->c, &image, path) && (!first || start(m, image.image));

    if (good && ((!first && rafs_builder_next_layer(m->builder, NULL, &err) < 0) ||
                 rafs_builder_add_image(m->builder, image.image, layer,
                                        command_call(m->c), &err) < 0)) {
        command_failed(m->c, path, &err);
        /* That two images do not fit is no wrong path. */
        if (m->c->outcome.code == EXIT_NO_PATH)
            m->c->outcome.code = EXIT_UNSUPPORTED;
        good = false;
    }
    image_close_also(m->c, &image);
    return good;
}

static bool add_all(struct merger *m)
{
    if (m->parent && !add(m, m->parent, NULL, true))
        return false;
    for (size_t i = 0; i < m->count; i++) {
        struct words words;

        if (command_interrupted(m->c) || !words_of(m, i, &words) ||
            !add(m, m->layers[i], &words.layer, i == 0 && !m->parent))
            return false;
    }
    return true;
}

static void tell_json(struct merger *m, const rafs_build_result *r)
{
    struct json j;

    json_begin(&j, stdout);
    json_open(&j, '{');
    json_key(&j, "blobs");
    json_open(&j, '[');
    for (uint32_t i = 0; i < r->blob_count; i++) {
        rafs_build_blob blob = {.struct_size = sizeof blob};

        if (rafs_builder_get_blob(m->builder, i, &blob, NULL) < 0)
            continue;
        json_open(&j, '{');
        json_key(&j, "chunks");
        json_u64(&j, blob.chunks);
        json_key(&j, "id");
        json_text(&j, blob.id);
        json_key(&j, "layer");
        json_u64(&j, blob.layer);
        json_key(&j, "size");
        json_u64(&j, blob.size);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_key(&j, "bootstrap");
    json_bytes(&j, m->out, strlen(m->out));
    json_key(&j, "bootstrap_sha256");
    json_hex(&j, r->bootstrap_sha256, sizeof r->bootstrap_sha256);
    json_key(&j, "bootstrap_size");
    json_u64(&j, r->bootstrap_size);
    json_key(&j, "entries");
    json_u64(&j, r->entries);
    json_key(&j, "inodes");
    json_u64(&j, r->inodes);
    json_close(&j, '}');
    json_newline(&j);
}

static void tell(struct merger *m, const rafs_build_result *r)
{
    char size[32];

    printf("%s: %" PRIu64 " entries, %s, %" PRIu32 " blobs\n", m->out, r->entries,
           human_bytes(r->bootstrap_size, size, sizeof size), r->blob_count);
    for (uint32_t i = 0; i < r->blob_count; i++) {
        rafs_build_blob blob = {.struct_size = sizeof blob};

        if (rafs_builder_get_blob(m->builder, i, &blob, NULL) == RAFS_OK)
            printf("  blob %s  %s\n", blob.id, human_bytes(blob.size, size, sizeof size));
    }
    fputs("  bootstrap sha256:", stdout);
    put_hex(stdout, r->bootstrap_sha256, sizeof r->bootstrap_sha256);
    putchar('\n');
}

static void merge(struct merger *m)
{
    rafs_build_result result = {.struct_size = sizeof result};
    rafs_error err = RAFS_ERROR_INIT;
    bool good = true;

    while (good && m->opened < m->dictionary_count) {
        size_t i = m->opened++;

        good = image_open_also(m->c, &m->dictionaries[i], m->dictionary_paths[i]);
        m->dictionary_images[i] = m->dictionaries[i].image;
    }
    if (good && add_all(m)) {
        if (rafs_builder_finish(m->builder, &result, NULL, &err) < 0)
            command_failed(m->c, m->out, &err);
        else if (m->json)
            tell_json(m, &result);
        else
            tell(m, &result);
    }
    rafs_builder_free(m->builder);
    rafs_sink_free(m->sink);
    for (size_t i = 0; i < m->opened; i++)
        image_close_also(m->c, &m->dictionaries[i]);
}

static bool take_option(struct merger *m, int opt)
{
    switch (opt) {
    case OPT_JSON:
        m->json = true;
        break;
    case 'o':
    case OPT_BOOTSTRAP:
        m->out = optarg;
        break;
    case OPT_PARENT:
        m->parent = optarg;
        break;
    case OPT_FORCE:
        m->sink_flags |= RAFS_SINK_REPLACE;
        break;
    case OPT_NO_SYNC:
        m->sink_flags |= RAFS_SINK_NO_SYNC;
        break;
    case OPT_DICT:
        if (m->dictionary_count == DICTIONARIES_MAX) {
            command_usage(m->c, "--chunk-dict: more than %d", DICTIONARIES_MAX);
            return false;
        }
        m->dictionary_paths[m->dictionary_count++] = optarg;
        break;
    default:
        m->lists[opt - OPT_DIGESTS] = optarg;
    }
    return true;
}

int cmd_merge(int argc, char **argv)
{
    static const struct option longs[] = {
        COMMON_OPTIONS,
        {"json", no_argument, NULL, OPT_JSON},
        {"bootstrap", required_argument, NULL, OPT_BOOTSTRAP},
        {"parent", required_argument, NULL, OPT_PARENT},
        {"chunk-dict", required_argument, NULL, OPT_DICT},
        {"blob-digests", required_argument, NULL, OPT_DIGESTS},
        {"blob-sizes", required_argument, NULL, OPT_SIZES},
        {"blob-toc-digests", required_argument, NULL, OPT_TOC_DIGESTS},
        {"blob-toc-sizes", required_argument, NULL, OPT_TOC_SIZES},
        {"force", no_argument, NULL, OPT_FORCE},
        {"no-sync", no_argument, NULL, OPT_NO_SYNC},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("merge", merge_help);
    struct merger m = {.c = &c};
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "o:", longs)) != -1)
        if (opt == OPT_STOP || !take_option(&m, opt))
            return command_end(&c);
    m.layers = argv + optind;
    m.count = (size_t)(argc - optind);
    if (m.count == 0)
        command_usage(&c, "BOOTSTRAP is missing");
    else if (!m.out)
        command_usage(&c, "where to? -o FILE");
    else if (check_lists(&m))
        merge(&m);
    return command_end(&c);
}
