/* SPDX-License-Identifier: Apache-2.0 */
/* Directories as sources: what is taken in, in which order, and what happens to those
 * that change under the reader's hands. All through the public API. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rafs/rafs.h"

#define NEED(what) ck_assert_msg((what), "%s: %s", #what, strerror(errno))

/* A source, and where its image goes to. */
struct place {
    char root[64], source[80], bootstrap[96], blobs[96];
    int fd; /* of the source */
    rafs_build_options options;
    rafs_backend *backend;
    rafs_image *image;
};

static void place_make(struct place *p)
{
    memset(p, 0, sizeof *p);
    strcpy(p->root, "/tmp/rafs-source-XXXXXX");
    NEED(mkdtemp(p->root) != NULL);
    snprintf(p->source, sizeof p->source, "%s/source", p->root);
    snprintf(p->bootstrap, sizeof p->bootstrap, "%s/out/image.boot", p->root);
    snprintf(p->blobs, sizeof p->blobs, "%s/out/blobs", p->root);
    NEED(mkdir(p->source, 0755) == 0);
    NEED((p->fd = open(p->source, O_RDONLY | O_DIRECTORY)) >= 0);
    rafs_build_options_init(&p->options);
}

static void place_drop(struct place *p)
{
    rafs_image_close(p->image);
    rafs_backend_free(p->backend);
    close(p->fd);
    /* rm, for the deep tree has paths that are longer than nftw() can take. */
    snprintf(p->source, sizeof p->source, "rm -r %s", p->root);
    ck_assert_int_eq(system(p->source), 0);
}

static void put(const struct place *p, const char *path, const char *content)
{
    int fd = openat(p->fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    NEED(fd >= 0);
    NEED(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    NEED(close(fd) == 0);
}

static void folder(const struct place *p, const char *path)
{
    NEED(mkdirat(p->fd, path, 0755) == 0);
}

static int build_into(struct place *p, rafs_sink *sink, rafs_error *err)
{
    rafs_builder *builder = NULL;
    int rc = rafs_builder_new(&p->options, sink, NULL, &builder, err);

    if (rc == RAFS_OK)
        rc = rafs_builder_add_directory(builder, p->source, NULL, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_finish(builder, NULL, NULL, err);
    rafs_builder_free(builder);
    return rc;
}

static int build(struct place *p, uint32_t flags, rafs_error *err)
{
    rafs_sink *sink = NULL;
    int rc = rafs_sink_new_directory(p->bootstrap, p->blobs, flags | RAFS_SINK_NO_SYNC,
                                     NULL, &sink, err);

    if (rc == RAFS_OK)
        rc = build_into(p, sink, err);
    rafs_sink_free(sink);
    return rc;
}

static void open_again(struct place *p)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    int rc = RAFS_OK;

    rafs_image_close(p->image);
    if (!p->backend)
        rc = rafs_backend_new_directory(p->blobs, NULL, &p->backend, &err);
    options.backends = &p->backend;
    options.backend_count = 1;
    if (rc == RAFS_OK)
        rc = rafs_image_open_path(p->bootstrap, &options, &p->image, NULL, &err);
    ck_assert_msg(rc == RAFS_OK, "%s: %s", err.object, err.text);
}

static void build_and_open(struct place *p)
{
    rafs_error err = RAFS_ERROR_INIT;
    int rc = build(p, 0, &err);

    ck_assert_msg(rc == RAFS_OK, "%s: %s", err.object, err.text);
    open_again(p);
}

static uint64_t find(const struct place *p, const char *path)
{
    uint64_t ino = 0;

    return rafs_image_resolve(p->image, path, RAFS_RESOLVE_NOFOLLOW, &ino, NULL) ==
                   RAFS_OK
               ? ino
               : 0;
}

static rafs_attr attr(const struct place *p, const char *path)
{
    rafs_attr a = {0};

    ck_assert_msg(find(p, path) != 0, "%s is not there", path);
    ck_assert_int_eq(rafs_image_get_attr(p->image, find(p, path), &a, NULL), RAFS_OK);
    return a;
}

static void reads(const struct place *p, uint64_t ino, const char *want)
{
    char got[256];
    size_t n = 0;

    ck_assert_int_eq(rafs_image_read(p->image, ino, 0, sizeof got, got, &n, NULL, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(n, strlen(want));
    ck_assert_mem_eq(got, want, n);
}

START_TEST(excluded_paths_are_left_out_with_what_is_below)
{
    static const char *const patterns[] = {"*.pyc", "/keep/not", "/gone"};
    static const char *const there[] = {"/keep", "/keep/a", "/keep/sub/not"};
    static const char *const absent[] = {"/keep/a.pyc", "/keep/not", "/gone",
                                         "/gone/below/b"};
    struct place p;

    place_make(&p);
    folder(&p, "keep");
    folder(&p, "keep/sub");
    folder(&p, "gone");
    folder(&p, "gone/below");
    put(&p, "keep/a", "a");
    put(&p, "keep/a.pyc", "x");
    put(&p, "keep/not", "x");
    put(&p, "keep/sub/not", "x");
    put(&p, "gone/below/b", "x");
    p.options.exclude = patterns;
    p.options.exclude_count = 3;
    build_and_open(&p);
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        ck_assert_msg(find(&p, there[i]), "%s", there[i]);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        ck_assert_msg(!find(&p, absent[i]), "%s", absent[i]);
    place_drop(&p);
}
END_TEST

/* Where in the blob a file's only chunk begins. */
static uint64_t stored_at(const struct place *p, const char *path)
{
    rafs_extent extent;
    size_t count = 0;

    ck_assert_int_eq(rafs_image_get_extents(p->image, find(p, path), 0, &extent, 1,
                                            &count, NULL, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, 1);
    return extent.compressed_offset;
}

START_TEST(files_of_the_prefetch_list_come_first)
{
    static const char *const wanted[] = {"/z", "/dir", "/missing"};
    struct place p;

    place_make(&p);
    folder(&p, "dir");
    put(&p, "a", "first by name");
    put(&p, "dir/m", "in a listed directory");
    put(&p, "dir/n", "after it");
    put(&p, "z", "first in the list");
    p.options.prefetch = wanted;
    p.options.prefetch_count = 3;
    build_and_open(&p);
    ck_assert_uint_eq(stored_at(&p, "/z"), 0);
    ck_assert_uint_lt(stored_at(&p, "/z"), stored_at(&p, "/dir/m"));
    ck_assert_uint_lt(stored_at(&p, "/dir/m"), stored_at(&p, "/dir/n"));
    ck_assert_uint_lt(stored_at(&p, "/dir/n"), stored_at(&p, "/a"));
    place_drop(&p);
}
END_TEST

START_TEST(every_kind_of_file_keeps_its_hard_links)
{
    static const char *const names[][2] = {
        {"/file", "/sub/file"}, {"/link", "/sub/link"}, {"/pipe", "/sub/pipe"}};
    struct place p;

    place_make(&p);
    p.options.version = (uint32_t)_i;
    folder(&p, "sub");
    put(&p, "file", "content");
    NEED(symlinkat("file", p.fd, "link") == 0);
    NEED(mkfifoat(p.fd, "pipe", 0600) == 0);
    for (size_t i = 0; i < 3; i++)
        NEED(linkat(p.fd, names[i][0] + 1, p.fd, names[i][1] + 1, 0) == 0);
    build_and_open(&p);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(find(&p, names[i][0]), find(&p, names[i][1]));
        ck_assert_uint_eq(attr(&p, names[i][0]).nlink, 2);
    }
    reads(&p, find(&p, "/sub/file"), "content");
    place_drop(&p);
}
END_TEST

START_TEST(a_tree_deeper_than_a_path_can_be_is_taken_in)
{
    enum { DEPTH = 1500 };
    char name[] = "12345";
    struct place p;
    uint64_t ino;
    int at;

    place_make(&p);
    at = dup(p.fd);
    for (int i = 0; i < DEPTH; i++) {
        int below;

        NEED(mkdirat(at, name, 0755) == 0);
        NEED((below = openat(at, name, O_RDONLY | O_DIRECTORY)) >= 0);
        close(at);
        at = below;
    }
    NEED(close(openat(at, "bottom", O_WRONLY | O_CREAT, 0644)) == 0);
    {
        int fd = openat(at, "bottom", O_WRONLY);

        NEED(write(fd, "deep", 4) == 4 && close(fd) == 0);
    }
    close(at);
    build_and_open(&p);
    ino = find(&p, "/");
    for (int i = 0; i < DEPTH; i++)
        ck_assert_int_eq(rafs_image_lookup(p.image, ino, name, &ino, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_image_lookup(p.image, ino, "bottom", &ino, NULL), RAFS_OK);
    reads(&p, ino, "deep");
    place_drop(&p);
}
END_TEST

START_TEST(owners_and_times_are_what_the_options_say)
{
    static rafs_id_map maps[] = {{0, 0, 0}};
    struct timespec times[2] = {{.tv_sec = 5000, .tv_nsec = 7}, {.tv_sec = 5000}};
    struct timespec early[2] = {{.tv_sec = 50}, {.tv_sec = 50, .tv_nsec = 9}};
    struct place p;
    rafs_attr a;

    place_make(&p);
    put(&p, "late", "l");
    put(&p, "early", "e");
    NEED(utimensat(p.fd, "late", times, 0) == 0);
    NEED(utimensat(p.fd, "early", early, 0) == 0);
    maps[0] = (rafs_id_map){getuid(), 1000, 1};
    p.options.uid_maps = maps;
    p.options.uid_map_count = 1;
    p.options.flags = RAFS_BUILD_MTIME_MAX;
    p.options.mtime_max = 1000;
    build_and_open(&p);
    a = attr(&p, "/late");
    ck_assert_int_eq(a.mtime_sec, 1000);
    ck_assert_uint_eq(a.mtime_nsec, 0);
    ck_assert_uint_eq(a.uid, 1000);
    ck_assert_uint_eq(a.gid, getgid());
    a = attr(&p, "/early");
    ck_assert_int_eq(a.mtime_sec, 50);
    ck_assert_uint_eq(a.mtime_nsec, 9);
    place_drop(&p);
}
END_TEST

START_TEST(an_owner_in_no_map_fails_the_build_and_names_the_path)
{
    static rafs_id_map maps[] = {{0, 0, 0}};
    rafs_error err = RAFS_ERROR_INIT;
    struct place p;

    place_make(&p);
    maps[0] = (rafs_id_map){getuid() + 1, 5, 1};
    p.options.uid_maps = maps;
    p.options.uid_map_count = 1;
    ck_assert_int_eq(build(&p, 0, &err), RAFS_E_BADARG);
    ck_assert_str_eq(err.object, "path /");
    ck_assert_int_ne(access(p.bootstrap, F_OK), 0);
    place_drop(&p);
}
END_TEST

/* Everything in a directory: how many names, and how many of them temporary. */
static size_t names_in(const char *path, size_t *temporary)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    *temporary = 0;
    NEED(dir != NULL);
    while ((entry = readdir(dir))) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        *temporary += strncmp(entry->d_name, ".rafs-", 6) == 0;
    }
    closedir(dir);
    return count;
}

START_TEST(a_bootstrap_that_is_there_stays_unless_it_is_to_be_replaced)
{
    rafs_error err = RAFS_ERROR_INIT;
    size_t temporary;
    struct place p;

    place_make(&p);
    put(&p, "a", "a");
    build_and_open(&p);
    ck_assert_int_eq(build(&p, 0, &err), RAFS_E_BADARG);
    ck_assert_int_eq(err.os_errno, EEXIST);
    put(&p, "a", "another");
    ck_assert_int_eq(build(&p, RAFS_SINK_REPLACE, &err), RAFS_OK);
    open_again(&p);
    reads(&p, find(&p, "/a"), "another");
    ck_assert_uint_eq(names_in(p.blobs, &temporary), 2);
    ck_assert_uint_eq(temporary, 0);
    place_drop(&p);
}
END_TEST

/* A sink that does something to the source when the first bytes come. */
struct trap {
    struct place *p;
    void (*spring)(struct place *p);
    bool sprung;
    int begun, ended, committed;
};

static int trap_begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                      rafs_error *err)
{
    struct trap *trap = user;

    (void)kind, (void)call, (void)err;
    trap->begun++;
    *object = trap;
    if (!trap->sprung)
        trap->spring(trap->p);
    trap->sprung = true;
    return RAFS_OK;
}

static int trap_write(void *user, void *object, const void *data, size_t len,
                      const rafs_call *call, rafs_error *err)
{
    (void)user, (void)object, (void)data, (void)len, (void)call, (void)err;
    return RAFS_OK;
}

static int trap_commit(void *user, void *object, const rafs_sink_object *what,
                       const rafs_call *call, rafs_error *err)
{
    (void)object, (void)what, (void)call, (void)err;
    ((struct trap *)user)->committed++;
    ((struct trap *)user)->ended++;
    return RAFS_OK;
}

static void trap_abort(void *user, void *object)
{
    (void)object;
    ((struct trap *)user)->ended++;
}

static void remove_last(struct place *p)
{
    unlinkat(p->fd, "zz", 0);
}

static void shorten_last(struct place *p)
{
    put(p, "zz", "short");
}

static void lengthen_last(struct place *p)
{
    int fd = openat(p->fd, "zz", O_WRONLY | O_APPEND);

    ck_assert_int_eq(write(fd, "more", 4), 4);
    close(fd);
}

static void replace_by_link(struct place *p)
{
    unlinkat(p->fd, "zz", 0);
    ck_assert_int_eq(symlinkat("/etc/passwd", p->fd, "zz"), 0);
}

static void replace_by_pipe(struct place *p)
{
    unlinkat(p->fd, "zz", 0);
    ck_assert_int_eq(mkfifoat(p->fd, "zz", 0600), 0);
}

static void (*const springs[])(struct place *) = {
    remove_last, shorten_last, lengthen_last, replace_by_link, replace_by_pipe};

START_TEST(a_file_that_changes_fails_the_build_and_is_named)
{
    rafs_sink_ops ops = RAFS_SINK_OPS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_sink *sink = NULL;
    struct place p;
    struct trap trap = {&p, springs[_i], false, 0, 0, 0};
    char *many = malloc(8 << 20);

    place_make(&p);
    /* More than what is in flight, so that the blob begins before zz is opened. */
    memset(many, 'm', 8 << 20);
    for (size_t i = 0; i < 8 << 20; i += 4096)
        memcpy(many + i, &i, sizeof i);
    many[(8 << 20) - 1] = '\0';
    for (size_t i = 0; i < (8u << 20) - 1; i++)
        if (!many[i])
            many[i] = 1;
    for (int i = 0; i < 6; i++) {
        char name[8];

        snprintf(name, sizeof name, "m%d", i);
        many[0] = (char)('a' + i);
        put(&p, name, many);
    }
    put(&p, "zz", "the last one");
    p.options.threads = 1;
    p.options.compressor = RAFS_STORE_NONE;
    ops.begin = trap_begin;
    ops.write = trap_write;
    ops.commit = trap_commit;
    ops.abort = trap_abort;
    ck_assert_int_eq(rafs_sink_new(&ops, &trap, NULL, &sink, &err), RAFS_OK);
    ck_assert_int_eq(build_into(&p, sink, &err), RAFS_E_BACKEND);
    ck_assert(trap.sprung);
    ck_assert_str_eq(err.object, "path /zz");
    ck_assert_int_eq(trap.begun, trap.ended);
    ck_assert_int_eq(trap.committed, 0);
    rafs_sink_free(sink);
    free(many);
    place_drop(&p);
}
END_TEST

START_TEST(what_is_no_directory_is_refused)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct place p;

    place_make(&p);
    put(&p, "file", "f");
    strcat(p.source, _i ? "/file" : "/none");
    ck_assert_int_eq(build(&p, 0, &err), RAFS_E_BADARG);
    ck_assert_int_eq(err.os_errno, _i ? ENOTDIR : ENOENT);
    place_drop(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("source_dir");
    TCase *tcase = tcase_create("source_dir");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, excluded_paths_are_left_out_with_what_is_below);
    tcase_add_test(tcase, files_of_the_prefetch_list_come_first);
    tcase_add_loop_test(tcase, every_kind_of_file_keeps_its_hard_links, 5, 7);
    tcase_add_test(tcase, a_tree_deeper_than_a_path_can_be_is_taken_in);
    tcase_add_test(tcase, owners_and_times_are_what_the_options_say);
    tcase_add_test(tcase, an_owner_in_no_map_fails_the_build_and_names_the_path);
    tcase_add_test(tcase, a_bootstrap_that_is_there_stays_unless_it_is_to_be_replaced);
    tcase_add_loop_test(tcase, a_file_that_changes_fails_the_build_and_is_named, 0,
                        sizeof springs / sizeof *springs);
    tcase_add_loop_test(tcase, what_is_no_directory_is_refused, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
