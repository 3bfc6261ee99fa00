/* SPDX-License-Identifier: Apache-2.0 */
/* rafs build: an image out of directories and archives. */
#include "build.h"
#include "mirrors.h"
#include "moving.h"
#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char build_help[] =
    "Usage: rafs build [OPTION]... (-o DIR | --bootstrap FILE --blob-dir DIR) SOURCE...\n"
    "Make an image out of SOURCE: a directory, a tar archive (plain or compressed), - "
    "for\n"
    "an archive on standard input, or an OCI image (docker://HOST/REPO:TAG, "
    "oci:DIR:TAG,\n"
    "oci-archive:FILE:TAG) with its layers. Of several, each is a layer over those "
    "before\n"
    "it, with whiteouts as OCI has them. The same input gives the same bytes, always.\n"
    "\n";

static const char build_examples[] = "\n"
                                     "Examples:\n"
                                     "  rafs build -o out /usr/share/doc\n"
                                     "  tar -c --sort=name . | rafs build -o out -\n"
                                     "  rafs build -o out layer1.tar.gz layer2.tar.gz\n";

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void show_progress(void *user, const rafs_build_progress *progress)
{
    struct making *m = user;

    progress_step(&m->progress,
                  progress->bytes_total ? progress->bytes >> 20 : progress->entries,
                  progress->bytes_total >> 20, progress->stored);
}

static bool choose_paths(struct making *m)
{
    if (m->c->blob_dir_count > 1) {
        command_usage(m->c, "--blob-dir: blobs go to one directory");
        return false;
    }
    if (m->c->blob_dir_count == 1)
        m->blob_dir = m->c->blob_dirs[0];
    if (m->out_dir && (m->bootstrap || m->blob_dir)) {
        command_usage(m->c, "-o and --bootstrap or --blob-dir contradict each other");
        return false;
    }
    if (m->out_dir) {
        m->bootstrap = m->own_paths[0] = joined(m->out_dir, "/image.boot");
        m->blob_dir = m->own_paths[1] = joined(m->out_dir, "/blobs");
        if (!m->bootstrap || !m->blob_dir) {
            command_say(m->c, EXIT_SOURCE, "out of memory");
            return false;
        }
    }
    if (!m->bootstrap || !m->blob_dir) {
        command_usage(m->c, "say where the image goes: -o DIR, or --bootstrap FILE and "
                            "--blob-dir DIR");
        return false;
    }
    return true;
}

static bool open_dictionaries(struct making *m)
{
    size_t count = m->dictionaries.count;

    if (count == 0)
        return true;
    m->opened = calloc(count, sizeof *m->opened);
    m->images = calloc(count, sizeof *m->images);
    if (!m->opened || !m->images) {
        command_say(m->c, EXIT_SOURCE, "out of memory");
        return false;
    }
    for (; m->opened_count < count; m->opened_count++) {
        struct command *c = &m->opened[m->opened_count];

        *c = *m->c; /* the same credentials, cache and so on */
        c->blob_dir_count = 0;
        if (!command_open(c, m->dictionaries.at[m->opened_count])) {
            m->opened_count++;
            outcome_note(&m->c->outcome, c->outcome.code);
            return false;
        }
        m->images[m->opened_count] = c->image;
    }
    m->options.dictionaries = m->images;
    m->options.dictionary_count = count;
    return true;
}

static void wire(struct making *m)
{
    m->options.prefetch = m->prefetch.at;
    m->options.prefetch_count = m->prefetch.count;
    m->options.exclude = m->exclude.at;
    m->options.exclude_count = m->exclude.count;
    m->options.uid_maps = m->uid_maps;
    m->options.gid_maps = m->gid_maps;
}

bool making_prepare(struct making *m)
{
    m->began_ns = now_ns();
    if (!open_dictionaries(m))
        return false;
    wire(m);
    return true;
}

uint64_t making_ms(const struct making *m)
{
    return (now_ns() - m->began_ns) / 1000000;
}

bool making_start(struct making *m)
{
    rafs_env env = RAFS_ENV_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    command_env(&env);
    if (!choose_paths(m) || !making_prepare(m))
        return false;
    m->options.progress = show_progress;
    m->options.progress_user = m;
    rc = rafs_sink_new_directory(m->bootstrap, m->blob_dir, m->sink_flags, &env, &m->sink,
                                 &err);
    if (rc < 0 && err.os_errno == EEXIST) {
        command_say(m->c, EXIT_USAGE, "%s is there already; --force replaces it",
                    m->bootstrap);
        return false;
    }
    if (rc == RAFS_OK)
        rc = rafs_builder_new(&m->options, m->sink, &env, &m->builder, &err);
    if (rc == RAFS_E_BADARG) {
        command_usage(m->c, "%s", err.text);
        return false;
    }
    if (rc < 0) {
        command_failed(m->c, NULL, &err);
        return false;
    }
    if (m->form == PROGRESS_AUTO || m->form == PROGRESS_JSON) {
        progress_begin(&m->progress, "MiB read; stored", m->form == PROGRESS_JSON);
        m->progress_running = true;
    }
    return true;
}

/* Building takes as long as it takes: no deadline but one that was asked for. */
static const rafs_call *making_call(struct making *m)
{
    if (!m->c->timeout_given)
        m->c->timeout_ms = 0;
    return command_call(m->c);
}

/* False: reported. */
static bool add_oci(struct making *m, const char *source)
{
    struct moving place = {.c = m->c};
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    if (!moving_open_origin(&place, source))
        return false;
    rc = rafs_builder_add_oci(m->builder, place.from, m->c->platform, making_call(m),
                              &err);
    if (rc < 0)
        moving_failed(&place, source, &err);
    moving_end(&place);
    mirrors_drop(m->c); /* the next one may have others */
    return rc == RAFS_OK;
}

static int add_one(struct making *m, const char *source, rafs_error *err)
{
    struct stat st;
    int fd, rc;

    if (strcmp(source, "-") == 0)
        return rafs_builder_add_tar_fd(m->builder, STDIN_FILENO, "standard input",
                                       making_call(m), err);
    if (stat(source, &st) == 0 && S_ISDIR(st.st_mode))
        return rafs_builder_add_directory(m->builder, source, making_call(m), err);
    /* A named pipe without a writer is waited for below, as long as there is time. */
    fd = open(source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return rafs_error_set(err, RAFS_E_BACKEND, errno, source, strerror(errno));
    rc = rafs_builder_add_tar_fd(m->builder, fd, source, making_call(m), err);
    close(fd);
    return rc;
}

bool making_add(struct making *m, const char *source, bool first)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct stat st;
    int rc;

    if (stat(source, &st) == 0 && S_ISDIR(st.st_mode) && !making_is_apart(m, source))
        return false;
    rc = first ? RAFS_OK : rafs_builder_next_layer(m->builder, making_call(m), &err);
    if (rc == RAFS_OK && remote_is(source))
        return add_oci(m, source);
    if (rc == RAFS_OK)
        rc = add_one(m, source, &err);
    if (rc < 0)
        command_failed(m->c, source, &err);
    return rc == RAFS_OK;
}

static void tell_json(struct making *m, const rafs_build_result *r)
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
        json_key(&j, "uncompressed_size");
        json_u64(&j, blob.uncompressed_size);
        json_key(&j, "written");
        json_bool(&j, blob.written);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_key(&j, "bootstrap");
    json_bytes(&j, m->bootstrap, strlen(m->bootstrap));
    json_key(&j, "bootstrap_sha256");
    json_hex(&j, r->bootstrap_sha256, sizeof r->bootstrap_sha256);
    json_key(&j, "bootstrap_size");
    json_u64(&j, r->bootstrap_size);
    json_key(&j, "chunks");
    json_u64(&j, r->chunks);
    json_key(&j, "entries");
    json_u64(&j, r->entries);
    json_key(&j, "file_bytes");
    json_u64(&j, r->file_bytes);
    json_key(&j, "inodes");
    json_u64(&j, r->inodes);
    json_key(&j, "milliseconds");
    json_u64(&j, making_ms(m));
    json_key(&j, "same_dictionary_bytes");
    json_u64(&j, r->same_dictionary_bytes);
    json_key(&j, "same_file_bytes");
    json_u64(&j, r->same_file_bytes);
    json_key(&j, "same_image_bytes");
    json_u64(&j, r->same_image_bytes);
    json_key(&j, "same_index_bytes");
    json_u64(&j, r->same_index_bytes);
    json_key(&j, "skipped");
    json_u64(&j, r->skipped);
    json_key(&j, "stored_bytes");
    json_u64(&j, r->stored_bytes);
    json_key(&j, "stored_chunks");
    json_u64(&j, r->stored_chunks);
    json_close(&j, '}');
    json_newline(&j);
}

static void tell_same(const char *where, uint64_t bytes)
{
    char size[32];

    if (bytes)
        printf("  not stored again, %-22s %s\n", where,
               human_bytes(bytes, size, sizeof size));
}

static void tell(struct making *m, const rafs_build_result *r)
{
    char read[32], stored[32], boot[32];

    printf("%s: %" PRIu64 " entries, %s of files in %" PRIu64 " chunks, %.1f s\n",
           m->bootstrap, r->entries, human_bytes(r->file_bytes, read, sizeof read),
           r->chunks, (double)making_ms(m) / 1e3);
    printf("  stored                                   %s in %" PRIu64
           " chunks, and a bootstrap of %s\n",
           human_bytes(r->stored_bytes, stored, sizeof stored), r->stored_chunks,
           human_bytes(r->bootstrap_size, boot, sizeof boot));
    tell_same("equal files:", r->same_file_bytes);
    tell_same("equal chunks:", r->same_image_bytes);
    tell_same("in dictionaries:", r->same_dictionary_bytes);
    tell_same("in the chunk store:", r->same_index_bytes);
    if (r->skipped)
        printf("  left out, no image can hold it           %" PRIu64 "\n", r->skipped);
    for (uint32_t i = 0; i < r->blob_count; i++) {
        rafs_build_blob blob = {.struct_size = sizeof blob};

        if (rafs_builder_get_blob(m->builder, i, &blob, NULL) == RAFS_OK)
            printf("  blob %s  %s%s\n", blob.id,
                   human_bytes(blob.size, read, sizeof read),
                   blob.written ? "" : ", was there before");
    }
    fputs("  bootstrap sha256:", stdout);
    put_hex(stdout, r->bootstrap_sha256, sizeof r->bootstrap_sha256);
    putchar('\n');
}

bool making_finish(struct making *m)
{
    rafs_build_result result = {.struct_size = sizeof result};
    rafs_error err = RAFS_ERROR_INIT;
    int rc = rafs_builder_finish(m->builder, &result, making_call(m), &err);

    if (m->progress_running)
        progress_end(&m->progress);
    m->progress_running = false;
    if (rc < 0) {
        command_failed(m->c, m->bootstrap, &err);
        return false;
    }
    if (m->json)
        tell_json(m, &result);
    else
        tell(m, &result);
    return true;
}

void making_end(struct making *m)
{
    if (m->progress_running)
        progress_end(&m->progress);
    rafs_builder_free(m->builder);
    rafs_sink_free(m->sink);
    for (size_t i = 0; i < m->opened_count; i++) {
        m->opened[i].cache = NULL; /* the command's own */
        command_close(&m->opened[i]);
    }
    free(m->opened);
    free(m->images);
    free(m->prefetch.at);
    free(m->exclude.at);
    free(m->dictionaries.at);
    free(m->uid_maps);
    free(m->gid_maps);
    free(m->prefetch_text);
    free(m->own_paths[0]);
    free(m->own_paths[1]);
}

int cmd_build(int argc, char **argv)
{
    static const struct option longs[] = {
        COMMON_OPTIONS, MAKING_OPTIONS, {NULL, 0, NULL, 0}};
    char help[sizeof build_help + sizeof build_examples + 4096];
    struct command c = COMMAND_INIT("build", help);
    struct making m;
    int opt;

    snprintf(help, sizeof help, "%s%s%s", build_help, making_help, build_examples);
    if (!making_begin(&m, &c))
        return command_end(&c);
    while ((opt = command_getopt(&c, argc, argv, "o:", longs)) != -1) {
        if (opt == OPT_STOP || !making_option(&m, opt)) {
            making_end(&m);
            return command_end(&c);
        }
    }
    if (optind == argc) {
        command_usage(&c, "SOURCE is missing");
    } else if (making_start(&m)) {
        bool good = true;

        for (int i = optind; good && i < argc; i++)
            good = making_add(&m, argv[i], i == optind);
        if (good)
            making_finish(&m);
    }
    making_end(&m);
    return command_end(&c);
}
