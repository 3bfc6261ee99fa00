/* SPDX-License-Identifier: Apache-2.0 */
/* OCI layouts: what is opened, and what no folder or archive, however hostile, does. */
#include "suite.h"

#include <sys/stat.h>
#include <unistd.h>

#include "layout_maker.h"
#include "rafs/rafs.h"
#include "watch.h"

/* One image of a golden one, named "v1" in index.json unless name is NULL. */
static void make_good(struct layout_maker *maker, const char *name, char digest[80])
{
    struct golden golden;
    char *index;

    layout_maker_init(maker);
    golden_load(golden_folder(), "v6-zstd", &golden);
    layout_add_image(maker, &golden, digest);
    golden_drop(&golden);
    index = layout_index(digest, 9, false, name);
    layout_add(maker, "index.json", index, strlen(index));
    free(index);
    layout_end(maker);
}

static int open_it(const char *path, const char *name, rafs_image **out, rafs_error *err)
{
    rafs_image *before = *out;
    int rc = rafs_image_open_layout(path, name, NULL, NULL, out, NULL, err);

    if (rc < 0) {
        ck_assert_ptr_eq(*out, before);
        ck_assert_int_eq(err->code, rc);
        ck_assert_msg(err->text[0] != '\0', "an error without a text");
    }
    return rc;
}

static void read_large(const rafs_image *image)
{
    rafs_error err = RAFS_ERROR_INIT;
    char buf[4096];
    uint64_t ino;
    size_t n = 0;

    ck_assert_int_eq(rafs_image_resolve(image, "/data/large", 0, &ino, &err), RAFS_OK);
    ck_assert_msg(rafs_image_read(image, ino, 0, sizeof(buf), buf, &n, NULL, &err) ==
                      RAFS_OK,
                  "%s", err.text);
    ck_assert_uint_eq(n, sizeof(buf));
}

START_TEST(an_archive_opens_by_name_by_digest_and_without_either)
{
    struct layout_maker maker;
    char digest[80];
    const char *names[] = {"v1", NULL, digest};

    make_good(&maker, "v1", digest);
    for (int i = 0; i < 3; i++) {
        rafs_image_info info = {.struct_size = sizeof(info)};
        rafs_error err = RAFS_ERROR_INIT;
        rafs_image *image = NULL;

        ck_assert_msg(open_it(maker.path, names[i], &image, &err) == RAFS_OK, "%s: %s",
                      err.object, err.text);
        ck_assert_int_eq(rafs_image_get_info(image, &info, NULL), RAFS_OK);
        ck_assert_uint_eq(info.pinned, i == 2); /* a tag binds nothing */
        read_large(image);
        rafs_image_close(image);
    }
    layout_maker_drop(&maker);
}
END_TEST

START_TEST(an_image_knows_the_manifest_that_it_was_found_by)
{
    struct layout_maker maker;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    char digest[80], found[72] = "before";

    make_good(&maker, "v1", digest);
    ck_assert_int_eq(open_it(maker.path, "v1", &image, &err), RAFS_OK);
    ck_assert_int_eq(rafs_image_get_manifest(image, found, 71, &err), RAFS_E_RANGE);
    ck_assert_str_eq(found, "before");
    ck_assert_int_eq(rafs_image_get_manifest(image, found, sizeof(found), &err), RAFS_OK);
    ck_assert_str_eq(found, digest);
    ck_assert_int_eq(rafs_image_get_manifest(NULL, found, sizeof(found), &err),
                     RAFS_E_BADARG);
    rafs_image_close(image);
    image = NULL;
    ck_assert_int_eq(open_it(maker.path, found, &image, &err), RAFS_OK);
    rafs_image_close(image);
    image = NULL;
    ck_assert_int_eq(rafs_image_open_path(RAFS_SOURCE_DIR
                                          "/tests/golden/v6-zstd/image.boot",
                                          NULL, &image, NULL, &err),
                     RAFS_OK);
    ck_assert_int_eq(rafs_image_get_manifest(image, found, sizeof(found), &err),
                     RAFS_E_NOENT);
    ck_assert_str_eq(found, digest);
    rafs_image_close(image);
    layout_maker_drop(&maker);
}
END_TEST

START_TEST(a_name_that_is_not_there_is_answered_with_those_that_are)
{
    struct layout_maker maker;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    char digest[80];

    make_good(&maker, "v1", digest);
    ck_assert_int_eq(open_it(maker.path, "v2", &image, &err), RAFS_E_NOENT);
    ck_assert_ptr_nonnull(strstr(err.text, "v1"));
    ck_assert_int_eq(open_it(maker.path, "sha256:../../etc", &image, &err),
                     RAFS_E_BADARG);
    layout_maker_drop(&maker);
}
END_TEST

/* The list of names in an error ends in its room, wherever a name ends in it. */
START_TEST(names_that_do_not_fit_are_left_out)
{
    for (int first = 60; first < 100; first++) {
        char text[2048] = "{\"schemaVersion\":2,\"manifests\":[";
        rafs_error err = RAFS_ERROR_INIT;
        uint8_t digest[OCI_DIGEST_BYTES];

        for (int i = 0; i < 3; i++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text),
                     "%s{\"digest\":\"sha256:" HEX64 "\",\"size\":1,\"annotations\":"
                     "{\"org.opencontainers.image.ref.name\":\"%0*d\"}}",
                     i ? "," : "", i == 1 ? 154 - first : first, i);
        strcat(text, "]}");
        ck_assert_int_eq(rafsi_layout_pick(text, strlen(text), "none", digest, &err),
                         RAFS_E_NOENT);
        ck_assert_msg(strstr(err.text, "…"), "%s", err.text);
    }
}
END_TEST

/* Entries of index.json; {D} is the digest of the good manifest. */
static const struct {
    const char *why, *entries, *name;
    int rc;
} indexes[] = {
    {"the same image under two names",
     "{\"digest\":\"{D}\",\"size\":1,\"annotations\":{\"x\":\"y\"}},"
     "{\"digest\":\"{D}\",\"size\":1}",
     NULL, RAFS_OK},
    {"docker's whole name",
     "{\"digest\":\"{D}\",\"size\":1,\"annotations\":{\"io.containerd.image.name\":"
     "\"host/a:b\"}}",
     "host/a:b", RAFS_OK},
    {"a signature is no image",
     "{\"digest\":\"{D}\",\"size\":1},{\"digest\":\"sha256:" HEX64
     "\",\"size\":1,\"artifactType\":\"a/b\"}",
     NULL, RAFS_OK},
    {"two images, and none chosen",
     "{\"digest\":\"{D}\",\"size\":1},{\"digest\":\"sha256:" HEX64 "\",\"size\":1}", NULL,
     RAFS_E_BADARG},
    {"two images of one name",
     "{\"digest\":\"{D}\",\"size\":1,\"annotations\":{\"org.opencontainers.image.ref."
     "name\":\"a\"}},{\"digest\":\"sha256:" HEX64
     "\",\"size\":1,\"annotations\":{\"org.opencontainers.image.ref.name\":\"a\"}}",
     "a", RAFS_E_BADARG},
    {"no image", "", NULL, RAFS_E_NOENT},
    {"a path in place of a digest",
     "{\"digest\":\"sha256:../../../etc/passwd\",\"size\":1}", NULL, RAFS_E_CORRUPT},
    {"a path as algorithm", "{\"digest\":\"../x:" HEX64 "\",\"size\":1}", NULL,
     RAFS_E_UNSUPPORTED},
    {"a blob that is missing", "{\"digest\":\"sha256:" HEX64 "\",\"size\":1}", NULL,
     RAFS_E_NOENT},
    {"an entry that is none", "7", NULL, RAFS_E_CORRUPT},
    {"annotations that are none", "{\"digest\":\"{D}\",\"size\":1,\"annotations\":[7]}",
     "a", RAFS_E_NOENT},
};

START_TEST(index_json_chooses_one_image_or_says_why_not)
{
    char text[2048] = "{\"schemaVersion\":2,\"manifests\":[";
    const char *from = indexes[_i].entries;
    struct layout_maker maker;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;
    char digest[80];
    const char *mark;
    int rc;

    layout_maker_init(&maker);
    golden_load(golden_folder(), "v6-zstd", &golden);
    layout_add_image(&maker, &golden, digest);
    while ((mark = strstr(from, "{D}")) != NULL) {
        strncat(text, from, (size_t)(mark - from));
        strcat(text, digest);
        from = mark + 3;
    }
    strcat(text, from);
    strcat(text, "]}");
    layout_add(&maker, "./index.json", text, strlen(text));
    layout_end(&maker);
    rc = open_it(maker.path, indexes[_i].name, &image, &err);
    ck_assert_msg(rc == indexes[_i].rc, "%s: %d, %s", indexes[_i].why, rc, err.text);
    rafs_image_close(rc == RAFS_OK ? image : NULL);
    golden_drop(&golden);
    layout_maker_drop(&maker);
}
END_TEST

START_TEST(an_index_in_an_index_ends_somewhere)
{
    struct layout_maker maker;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;
    char digest[80];

    for (int depth = 1; depth <= 5; depth++) {
        char *index = NULL;
        int rc;

        layout_maker_init(&maker);
        golden_load(golden_folder(), "v6-zstd", &golden);
        layout_add_image(&maker, &golden, digest);
        for (int i = 0; i < depth; i++) {
            free(index);
            index = layout_index(digest, 9, i > 0, NULL);
            if (i + 1 < depth)
                layout_add_blob(&maker, index, strlen(index), digest);
        }
        layout_add(&maker, "index.json", index, strlen(index));
        free(index);
        layout_end(&maker);
        rc = open_it(maker.path, NULL, &image, &err);
        ck_assert_int_eq(rc, depth <= 4 ? RAFS_OK : RAFS_E_CORRUPT);
        if (rc == RAFS_OK)
            rafs_image_close(image);
        image = NULL;
        golden_drop(&golden);
        layout_maker_drop(&maker);
    }
}
END_TEST

static uint64_t inodes_of(const rafs_image *image)
{
    rafs_image_info info = {.struct_size = sizeof(info)};

    ck_assert_int_eq(rafs_image_get_info(image, &info, NULL), RAFS_OK);
    ck_assert_uint_eq(info.pinned, 1);
    return info.inodes;
}

/* Through manifest, layer and index: an error, or the same image. */
START_TEST(no_spoiled_byte_of_an_archive_gives_another_image)
{
    struct layout_maker maker;
    rafs_error first = RAFS_ERROR_INIT;
    rafs_image *good = NULL;
    uint64_t inodes;
    char digest[80];
    off_t size;

    make_good(&maker, "v1", digest);
    ck_assert_int_eq(open_it(maker.path, digest, &good, &first), RAFS_OK);
    inodes = inodes_of(good);
    rafs_image_close(good);
    size = lseek(maker.fd, 0, SEEK_END);
    for (off_t at = 3; at < size; at += 4099) {
        rafs_error err = RAFS_ERROR_INIT;
        rafs_image *image = NULL;
        uint8_t byte;
        int rc;

        NEED(pread(maker.fd, &byte, 1, at) == 1);
        byte ^= 0x10;
        NEED(pwrite(maker.fd, &byte, 1, at) == 1);
        rc = open_it(maker.path, digest, &image, &err);
        if (rc == RAFS_OK) {
            ck_assert_uint_eq(inodes_of(image), inodes);
            rafs_image_close(image);
        }
        byte ^= 0x10;
        NEED(pwrite(maker.fd, &byte, 1, at) == 1);
    }
    layout_maker_drop(&maker);
}
END_TEST

START_TEST(a_truncated_archive_says_so)
{
    struct layout_maker maker;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    char digest[80];
    off_t size;

    make_good(&maker, "v1", digest);
    size = lseek(maker.fd, 0, SEEK_END);
    for (off_t cut = size - 1024 - 512; cut > 0; cut /= 3) {
        NEED(ftruncate(maker.fd, cut) == 0);
        ck_assert_int_lt(open_it(maker.path, "v1", &image, &err), 0);
    }
    NEED(ftruncate(maker.fd, 0) == 0);
    ck_assert_int_eq(open_it(maker.path, "v1", &image, &err), RAFS_E_CORRUPT);
    layout_maker_drop(&maker);
}
END_TEST

/* One entry before those of a good archive. */
static const struct {
    const char *why, *name;
    char type;
    uint64_t size;
    const char *data;
    int rc;
} entries[] = {
    {"a folder whose header has a size", "blobs/", '5', 4096, "", RAFS_OK},
    {"a link whose header has a size", "x", '2', 4096, "", RAFS_OK},
    {"a file of 8 GiB that is not there", "x", '0', 0x1ffffffff, "", RAFS_E_CORRUPT},
    {"a sparse file", "x", 'S', 0, "", RAFS_E_UNSUPPORTED},
    {"a global header", "pax", 'g', 9, "9 size=1\n", RAFS_OK},
    {"a name of another entry", "x", 'L', 2, "y", RAFS_OK},
    {"a record that is none", "x", 'x', 5, "hello", RAFS_E_CORRUPT},
    {"a record of no length", "x", 'x', 9, "0 path=a\n", RAFS_E_CORRUPT},
    {"a record longer than all", "x", 'x', 10, "99 path=a\n", RAFS_E_CORRUPT},
    {"a record of a huge length", "x", 'x', 30, "99999999999999999999999 a=b\n\n\n",
     RAFS_E_CORRUPT},
    {"a record without a line end", "x", 'x', 9, "9 path=ab", RAFS_E_CORRUPT},
    {"a size that is none", "x", 'x', 10, "10 size=x\n", RAFS_E_CORRUPT},
    {"a size beyond the end", "x", 'x', 29, "29 size=9223372036854775807\n\n",
     RAFS_E_CORRUPT},
    {"records of 1 MiB", "x", 'x', 1 << 20, "", RAFS_E_LIMIT},
};

START_TEST(entries_that_lie_do_no_harm)
{
    struct layout_maker maker;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;
    uint8_t block[512] = {0};
    char digest[80];
    char *index;
    int rc;

    layout_maker_init(&maker);
    layout_add_header(&maker, entries[_i].name, entries[_i].type, entries[_i].size);
    memcpy(block, entries[_i].data, strlen(entries[_i].data));
    if (entries[_i].data[0])
        layout_add_raw(&maker, block, sizeof(block));
    golden_load(golden_folder(), "v6-zstd", &golden);
    layout_add(&maker, "z", "z", 1); /* what a pax header speaks of */
    layout_add_image(&maker, &golden, digest);
    index = layout_index(digest, 9, false, NULL);
    layout_add(&maker, "index.json", index, strlen(index));
    free(index);
    layout_end(&maker);
    NEED(ftruncate(maker.fd, lseek(maker.fd, 0, SEEK_END) + (2 << 20)) == 0);
    rc = open_it(maker.path, NULL, &image, &err);
    ck_assert_msg(rc == entries[_i].rc, "%s: %d, %s", entries[_i].why, rc, err.text);
    rafs_image_close(rc == RAFS_OK ? image : NULL);
    golden_drop(&golden);
    layout_maker_drop(&maker);
}
END_TEST

/* What a pax header says about name and size counts; so does GNU tar's long name. */
START_TEST(names_and_sizes_from_extended_headers_count)
{
    for (int form = 0; form < 2; form++) {
        struct layout_maker maker;
        rafs_error err = RAFS_ERROR_INIT;
        rafs_image *image = NULL;
        struct golden golden;
        uint8_t block[512] = {0};
        char digest[80], record[64];
        char *index;

        layout_maker_init(&maker);
        golden_load(golden_folder(), "v6-zstd", &golden);
        layout_add_image(&maker, &golden, digest);
        index = layout_index(digest, 9, false, NULL);
        snprintf(record, sizeof(record), "19 path=index.json\n12 size=%03zu\n",
                 strlen(index));
        strcpy((char *)block, form == 0 ? record : "index.json");
        layout_add_header(&maker, "about", form == 0 ? 'x' : 'L',
                          form == 0 ? strlen(record) : 11);
        layout_add_raw(&maker, block, sizeof(block));
        layout_add_header(&maker, "short", '0', form == 0 ? 0 : strlen(index));
        memset(block, 0, sizeof(block));
        memcpy(block, index, strlen(index));
        layout_add_raw(&maker, block, sizeof(block));
        layout_end(&maker);
        free(index);
        ck_assert_msg(open_it(maker.path, NULL, &image, &err) == RAFS_OK, "%d: %s", form,
                      err.text);
        rafs_image_close(image);
        golden_drop(&golden);
        layout_maker_drop(&maker);
    }
}
END_TEST

START_TEST(an_endless_row_of_entries_is_refused)
{
    size_t count = getenv("RAFS_TEST_FULL") ? 1000000 : 70000;
    uint8_t *many = calloc(count, 512);
    struct layout_maker maker, one;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;

    ck_assert_ptr_nonnull(many);
    layout_maker_init(&one);
    layout_add_header(&one, "x", '0', 0);
    NEED(pread(one.fd, many, 512, 0) == 512);
    for (size_t i = 1; i < count; i++)
        memcpy(many + 512 * i, many, 512);
    layout_maker_init(&maker);
    layout_add_raw(&maker, many, 512 * count);
    ck_assert_int_eq(open_it(maker.path, NULL, &image, &err), RAFS_E_LIMIT);
    ck_assert(err.has_offset && err.offset > 0);
    free(many);
    layout_maker_drop(&one);
    layout_maker_drop(&maker);
}
END_TEST

static const struct {
    const char *name, *magic, *says;
} compressed[] = {{"gzip", "\x1f\x8b\x08", "gzip -dk"},
                  {"zstd", "\x28\xb5\x2f\xfd", "zstd -d"},
                  {"xz",
                   "\xfd"
                   "7zXZ",
                   "xz -dk"},
                  {"bzip2", "BZh9", "bzip2 -dk"}};

START_TEST(a_compressed_archive_is_refused_with_what_to_do)
{
    struct layout_maker maker;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    uint8_t block[1024] = {0};

    memcpy(block, compressed[_i].magic, strlen(compressed[_i].magic));
    layout_maker_init(&maker);
    layout_add_raw(&maker, block, sizeof(block));
    ck_assert_int_eq(open_it(maker.path, NULL, &image, &err), RAFS_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, compressed[_i].says), "%s", err.text);
    layout_maker_drop(&maker);
}
END_TEST

static void write_file(const char *folder, const char *name, const void *data, size_t len)
{
    char path[600];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    NEED(file && fwrite(data, 1, len, file) == len && fclose(file) == 0);
}

/* A FIFO where a blob should be: opening it must not wait for somebody to write. */
START_TEST(files_that_could_hang_are_refused)
{
    static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    static const char later[] = "{\"imageLayoutVersion\":\"2.0.0\"}";
    char folder[] = "/tmp/rafs-layout-XXXXXX", path[600], command[700];
    char *index = layout_index("sha256:" HEX64, 9, false, NULL);
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *blobs = NULL;
    rafs_image *image = NULL;

    NEED(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/blobs", folder);
    NEED(mkdir(path, 0700) == 0);
    snprintf(path, sizeof(path), "%s/blobs/sha256", folder);
    NEED(mkdir(path, 0700) == 0);
    ck_assert_int_eq(open_it(folder, NULL, &image, &err), RAFS_E_NOENT);
    write_file(folder, "oci-layout", later, strlen(later));
    ck_assert_int_eq(open_it(folder, NULL, &image, &err), RAFS_E_UNSUPPORTED);
    write_file(folder, "oci-layout", version, strlen(version));
    ck_assert_int_eq(open_it(folder, NULL, &image, &err), RAFS_E_NOENT);
    write_file(folder, "index.json", index, strlen(index));
    snprintf(path, sizeof(path), "%s/blobs/sha256/" HEX64, folder);
    NEED(mkfifo(path, 0600) == 0);
    ck_assert_int_eq(open_it(folder, NULL, &image, &err), RAFS_E_BACKEND);
    ck_assert_ptr_nonnull(strstr(err.text, "regular"));
    ck_assert_int_eq(open_it(path, NULL, &image, &err), RAFS_E_BACKEND);
    ck_assert_int_eq(rafs_backend_new_layout(folder, NULL, &blobs, NULL, &err), RAFS_OK);
    rafs_backend_free(blobs);
    ck_assert_int_eq(rafs_backend_new_layout(path, NULL, &blobs, NULL, &err),
                     RAFS_E_BACKEND);
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    NEED(system(command) == 0);
    free(index);
}
END_TEST

START_TEST(a_lack_of_memory_is_reported_and_leaves_nothing)
{
    struct layout_maker maker;
    struct watch watch;
    char digest[80];
    bool done = false;

    make_good(&maker, "v1", digest);
    watch_init(&watch);
    for (size_t n = 0; !done; n++) {
        rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
        rafs_error err = RAFS_ERROR_INIT;
        rafs_image *image = NULL;
        int rc;

        options.env = &watch.env;
        watch_fail_at(&watch, n);
        rc = rafs_image_open_layout(maker.path, "v1", NULL, &options, &image, NULL, &err);
        done = !watch.failed;
        ck_assert_int_eq(rc, done ? RAFS_OK : RAFS_E_NOMEM);
        rafs_image_close(image);
        ck_assert_uint_eq(watch.live, 0);
    }
    layout_maker_drop(&maker);
}
END_TEST

START_TEST(a_deadline_that_has_passed_ends_it)
{
    struct layout_maker maker;
    rafs_call call = RAFS_CALL_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    char digest[80];

    make_good(&maker, "v1", digest);
    call.deadline_ns = 1;
    ck_assert_int_eq(
        rafs_image_open_layout(maker.path, "v1", NULL, NULL, &image, &call, &err),
        RAFS_E_TIMEOUT);
    layout_maker_drop(&maker);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, an_archive_opens_by_name_by_digest_and_without_either);
    tcase_add_test(tcase, an_image_knows_the_manifest_that_it_was_found_by);
    tcase_add_test(tcase, a_name_that_is_not_there_is_answered_with_those_that_are);
    tcase_add_test(tcase, names_that_do_not_fit_are_left_out);
    tcase_add_loop_test(tcase, index_json_chooses_one_image_or_says_why_not, 0,
                        COUNT(indexes));
    tcase_add_test(tcase, an_index_in_an_index_ends_somewhere);
    tcase_add_test(tcase, no_spoiled_byte_of_an_archive_gives_another_image);
    tcase_add_test(tcase, a_truncated_archive_says_so);
    tcase_add_loop_test(tcase, entries_that_lie_do_no_harm, 0, COUNT(entries));
    tcase_add_test(tcase, names_and_sizes_from_extended_headers_count);
    tcase_add_test(tcase, an_endless_row_of_entries_is_refused);
    tcase_add_loop_test(tcase, a_compressed_archive_is_refused_with_what_to_do, 0,
                        COUNT(compressed));
    tcase_add_test(tcase, files_that_could_hang_are_refused);
    tcase_add_test(tcase, a_lack_of_memory_is_reported_and_leaves_nothing);
    tcase_add_test(tcase, a_deadline_that_has_passed_ends_it);
}

int main(void)
{
    return run_suite("layout", add);
}
