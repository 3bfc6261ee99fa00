/* SPDX-License-Identifier: Apache-2.0 */
/* The chunk store index: what was added is found again, and whatever happens to its file
 * nothing else is. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "build/store_file.h"
#include "build/store_index.h"
#include "golden.h"
#include "rafs/image.h"
#include "scratch.h"
#include "watch.h"

enum { CHUNKS = 500, CHUNK_SIZE = 4096 };

/* A build: an image without a tree, and where its blobs would go to. */
struct rig {
    struct build_image image;
    struct rafsi_borrow borrow;
    rafs_sink sink;
    const char *gone; /* id of a blob that the sink does not have */
    unsigned asked;
};

static char dir[64];
static char path[128];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/rafs-store-XXXXXX");
    NEED(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/below/index", dir);
}

static void teardown(void)
{
    ck_assert_int_eq(scratch_remove(dir), 0);
}

static int has(void *user, const char *id, uint64_t size, const rafs_call *call,
               rafs_error *err)
{
    struct rig *rig = user;

    (void)call;
    (void)err;
    rig->asked++;
    ck_assert_uint_gt(size, 0);
    return rig->gone && strcmp(id, rig->gone) == 0 ? RAFS_E_NOENT : RAFS_OK;
}

static void rig_open(struct rig *rig, const rafs_env *env)
{
    memset(rig, 0, sizeof(*rig));
    NEED(rafsi_env_take(env, &rig->image.env, NULL) == RAFS_OK);
    NEED(rafsi_hashes_new(&rig->image.env, &rig->image.hashes, NULL) == RAFS_OK);
    rig->image.chunks.env = rig->image.blobs.env = &rig->image.env;
    rig->image.version = 6;
    rig->image.chunk_size = CHUNK_SIZE;
    rig->image.digest_algorithm = RAFSI_BLAKE3;
    rig->image.layers = 1;
    rafsi_borrow_init(&rig->borrow, &rig->image);
    rig->sink = (rafs_sink){.env = rig->image.env, .ops = {.has = has}, .user = rig};
}

static void rig_close(struct rig *rig)
{
    rafsi_borrow_free(&rig->borrow);
    rafsi_chunks_free(&rig->image.chunks);
    rafsi_blobs_free(&rig->image.blobs);
    rafsi_hashes_free(rig->image.hashes);
}

/* Chunk i of a blob: made up, and always the same. */
static struct build_chunk chunk_of(uint32_t blob_tag, uint32_t i)
{
    struct build_chunk chunk = {.compressed_offset = (uint64_t)i * 1000,
                                .uncompressed_offset = (uint64_t)i * CHUNK_SIZE,
                                .compressed_size = 1000,
                                .uncompressed_size = i % 7 ? CHUNK_SIZE : 100,
                                .index = i,
                                .flags = CHUNK_COMPRESSED | CHUNK_HAS_CRC32,
                                .crc32 = i * 77};
    uint64_t mixed = ((uint64_t)blob_tag << 32) + i + 1;

    for (size_t at = 0; at < sizeof(chunk.digest); at++) {
        mixed = mixed * 6364136223846793005u + 1442695040888963407u;
        chunk.digest[at] = (uint8_t)(mixed >> 56);
    }
    return chunk;
}

static void id_of(uint32_t tag, uint8_t sha256[32], char id[65])
{
    memset(sha256, (int)tag, 32);
    rafsi_digest_hex(sha256, id);
}

/* A blob that this build has written. */
static void write_blob(struct rig *rig, uint32_t tag, uint32_t chunks)
{
    struct build_blob *blob;
    uint32_t number, ignored;
    char id[65];

    NEED(rafsi_blobs_add(&rig->image.blobs, &number, NULL) == RAFS_OK);
    blob = &rig->image.blobs.at[number];
    id_of(tag, blob->sha256, id);
    memset(blob->record.id, 'x', 64); /* as with an inlined bootstrap */
    blob->record.features = RAFS_BLOB_ALIGNED | RAFS_BLOB_INLINED_FS_META;
    blob->record.compressor = 3;
    blob->record.digest_algorithm = rig->image.digest_algorithm;
    blob->record.chunk_size = CHUNK_SIZE;
    blob->record.chunk_count = chunks;
    blob->record.compressed_size = (uint64_t)chunks * 1000;
    blob->record.uncompressed_size = (uint64_t)chunks * CHUNK_SIZE;
    blob->record.ci_offset = (uint64_t)chunks * 1000;
    blob->record.ci_uncompressed_size = (uint64_t)chunks * 24;
    blob->ours = true;
    blob->file_size = (uint64_t)chunks * 1000 + 512;
    for (uint32_t i = 0; i < chunks; i++) {
        struct build_chunk chunk = chunk_of(tag, i);

        chunk.blob = number;
        NEED(rafsi_chunks_add(&rig->image.chunks, &chunk, &ignored, NULL) == RAFS_OK);
    }
}

/* A build that writes blobs of these tags, one after the other; 0 ends them. */
static void build(uint32_t a, uint32_t b)
{
    struct rafsi_store_index *index = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    struct rig rig;

    rig_open(&rig, NULL);
    ck_assert_msg(rafsi_store_index_new(&rig.borrow, &rig.sink, path, NULL, &index,
                                        &err) == RAFS_OK,
                  "%s: %s", err.object, err.text);
    if (a)
        write_blob(&rig, a, CHUNKS);
    if (b)
        write_blob(&rig, b, CHUNKS);
    ck_assert_msg(rafsi_store_index_add(index, NULL, &err) == RAFS_OK, "%s: %s",
                  err.object, err.text);
    rafsi_store_index_free(index);
    rig_close(&rig);
}

/* How many chunks of the blob's first ones are found, each of them as it was. */
static uint32_t found_of(struct rig *rig, const struct rafsi_known *known, uint32_t tag,
                         uint32_t chunks)
{
    uint32_t count = 0;
    uint8_t sha256[32];
    char id[65];

    id_of(tag, sha256, id);
    for (uint32_t i = 0; i < chunks; i++) {
        struct build_chunk want = chunk_of(tag, i);
        rafs_error err = RAFS_ERROR_INIT;
        const struct build_chunk *got;
        uint32_t number = UINT32_MAX;
        int rc =
            known->find(known->user, want.digest, want.uncompressed_size, &number, &err);

        if (rc == RAFS_E_NOENT)
            continue;
        ck_assert_msg(rc == RAFS_OK, "%s", err.text);
        got = rafsi_chunks_at(&rig->image.chunks, number);
        ck_assert_str_eq(rig->image.blobs.at[got->blob].record.id, id);
        want.blob = got->blob;
        ck_assert_mem_eq(got, &want, sizeof(want));
        count++;
    }
    return count;
}

static uint32_t found(struct rig *rig, const struct rafsi_known *known, uint32_t tag)
{
    return found_of(rig, known, tag, CHUNKS);
}

/* What a new build finds. */
static uint32_t find_first(uint32_t tag, uint32_t chunks)
{
    struct rafsi_store_index *index = NULL;
    struct rig rig;
    uint32_t count;

    rig_open(&rig, NULL);
    ck_assert_int_eq(
        rafsi_store_index_new(&rig.borrow, &rig.sink, path, NULL, &index, NULL), RAFS_OK);
    count = found_of(&rig, rafsi_store_index_known(index), tag, chunks);
    rafsi_store_index_free(index);
    rig_close(&rig);
    return count;
}

static uint32_t find_all(uint32_t tag)
{
    return find_first(tag, CHUNKS);
}

static uint32_t find_some(uint32_t tag)
{
    return find_first(tag, 5);
}

START_TEST(what_a_build_stored_is_found)
{
    struct rafsi_store_index *index = NULL;
    const struct rafsi_known *known;
    const struct blob_record *record;
    struct build_chunk chunk = chunk_of(1, 3), unknown = chunk_of(9, 3);
    struct rig rig;
    uint32_t number;

    build(1, 0);
    rig_open(&rig, NULL);
    ck_assert_int_eq(
        rafsi_store_index_new(&rig.borrow, &rig.sink, path, NULL, &index, NULL), RAFS_OK);
    known = rafsi_store_index_known(index);
    ck_assert_uint_eq(rig.asked, 1);
    ck_assert_uint_eq(found(&rig, known, 1), CHUNKS);
    ck_assert_uint_eq(rig.image.blobs.count, 1);
    ck_assert_uint_eq(rig.image.chunks.count, CHUNKS);
    /* Once more: nothing is added. */
    ck_assert_uint_eq(found(&rig, known, 1), CHUNKS);
    ck_assert_uint_eq(rig.image.chunks.count, CHUNKS);
    ck_assert_int_eq(known->find(known->user, unknown.digest, CHUNK_SIZE, &number, NULL),
                     RAFS_E_NOENT);
    ck_assert_int_eq(
        known->find(known->user, chunk.digest, CHUNK_SIZE - 1, &number, NULL),
        RAFS_E_NOENT);
    record = &rig.image.blobs.at[0].record;
    ck_assert_uint_eq(record->features, RAFS_BLOB_ALIGNED);
    ck_assert_uint_eq(record->chunk_count, CHUNKS);
    ck_assert_uint_eq(record->compressed_size, CHUNKS * 1000);
    ck_assert_uint_eq(record->ci_uncompressed_size, CHUNKS * 24);
    ck_assert(!rig.image.blobs.at[0].ours);
    rafsi_store_index_free(index);
    rig_close(&rig);
}
END_TEST

START_TEST(builds_add_to_what_is_there)
{
    build(1, 0);
    build(2, 3);
    build(2, 4); /* 2 once more: the same blob, as a build that is repeated has it */
    for (uint32_t tag = 1; tag <= 4; tag++)
        ck_assert_uint_eq(find_all(tag), CHUNKS);
    ck_assert_uint_eq(find_all(5), 0);
}
END_TEST

START_TEST(an_image_of_another_kind_finds_nothing)
{
    build(1, 0);
    for (int kind = 0; kind < 4; kind++) {
        struct rafsi_store_index *index = NULL;
        struct rig rig;

        rig_open(&rig, NULL);
        rig.image.version = kind == 0 ? 5 : 6;
        rig.image.digest_algorithm = kind == 1 ? RAFSI_SHA256 : RAFSI_BLAKE3;
        rig.image.chunk_size = kind == 2 ? 2 * CHUNK_SIZE : CHUNK_SIZE;
        ck_assert_int_eq(
            rafsi_store_index_new(&rig.borrow, &rig.sink, path, NULL, &index, NULL),
            RAFS_OK);
        ck_assert_uint_eq(found(&rig, rafsi_store_index_known(index), 1),
                          kind == 3 ? CHUNKS : 0);
        rafsi_store_index_free(index);
        rig_close(&rig);
    }
}
END_TEST

START_TEST(a_blob_that_is_gone_is_not_referred_to_and_is_forgotten)
{
    struct rafsi_store_index *index = NULL;
    const struct rafsi_known *known;
    uint8_t sha256[32];
    struct rig rig;
    char id[65];

    build(1, 2);
    id_of(1, sha256, id);
    rig_open(&rig, NULL);
    rig.gone = id;
    ck_assert_int_eq(
        rafsi_store_index_new(&rig.borrow, &rig.sink, path, NULL, &index, NULL), RAFS_OK);
    known = rafsi_store_index_known(index);
    ck_assert_uint_eq(found(&rig, known, 1), 0);
    ck_assert_uint_eq(found(&rig, known, 2), CHUNKS);
    ck_assert_int_eq(rafsi_store_index_add(index, NULL, NULL), RAFS_OK);
    rafsi_store_index_free(index);
    rig_close(&rig);
    ck_assert_uint_eq(find_all(1), 0);
    ck_assert_uint_eq(find_all(2), CHUNKS);
}
END_TEST

static void file_path(char out[256])
{
    struct build_image image = {.version = 6, .chunk_size = CHUNK_SIZE};
    char name[STORE_NAME_BYTES];

    rafsi_store_name(&image, name);
    snprintf(out, 256, "%s/%s", path, name);
}

static void file_write(const char *name, const void *bytes, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    NEED(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

START_TEST(a_damaged_file_is_as_good_as_none)
{
    enum { EDGE = 80, STEP = 8209 };
    struct bytes file;
    char name[256];

    build(1, 0);
    file_path(name);
    file = file_read(name);
    ck_assert_uint_eq(find_all(1), CHUNKS);
    for (size_t at = 0; at < file.len; at++) {
        bool edge = at < EDGE || file.len - at <= EDGE;

        if (!edge && at % STEP != 0)
            continue;
        file.at[at] ^= (uint8_t)(1u << at % 8);
        file_write(name, file.at, file.len);
        ck_assert_msg(find_some(1) == 0, "byte %zu of %zu does not matter", at, file.len);
        file.at[at] ^= (uint8_t)(1u << at % 8);
    }
    for (size_t len = 0; len < file.len; len += len < 100 ? 9 : 30011) {
        file_write(name, file.at, len);
        ck_assert_uint_eq(find_some(1), 0);
    }
    /* The next build begins a new one. */
    build(2, 0);
    ck_assert_uint_eq(find_all(1), 0);
    ck_assert_uint_eq(find_all(2), CHUNKS);
    free(file.at);
}
END_TEST

/* What a crash leaves: a part of the new file under its temporary name, the lock's file,
 * and the old file as it was. */
START_TEST(what_a_crash_leaves_is_in_nobodys_way)
{
    char name[256], temporary[256];
    struct bytes file;
    char *slash;

    build(1, 0);
    file_path(name);
    file = file_read(name);
    slash = strrchr(name, '/');
    snprintf(temporary, sizeof(temporary), "%.*s/.%s.new", (int)(slash - name), name,
             slash + 1);
    file_write(temporary, file.at, file.len / 2);
    ck_assert_uint_eq(find_all(1), CHUNKS);
    build(2, 0);
    ck_assert_uint_eq(find_all(1), CHUNKS);
    ck_assert_uint_eq(find_all(2), CHUNKS);
    ck_assert(access(temporary, F_OK) != 0);
    free(file.at);
}
END_TEST

START_TEST(builds_at_once_lose_nothing)
{
    enum { PROCESSES = 6, BUILDS = 4 };
    pid_t pids[PROCESSES];

    for (uint32_t p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        NEED(pids[p] >= 0);
        if (pids[p] == 0) {
            for (uint32_t b = 0; b < BUILDS; b++)
                build(1 + p * BUILDS + b, 0);
            _exit(0);
        }
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;

        NEED(waitpid(pids[p], &status, 0) == pids[p]);
        ck_assert_int_eq(status, 0);
    }
    for (uint32_t tag = 1; tag <= PROCESSES * BUILDS; tag++)
        ck_assert_uint_eq(find_all(tag), CHUNKS);
}
END_TEST

/* A process that is killed while it adds leaves the old file or the new one. */
START_TEST(a_build_that_is_killed_leaves_a_whole_file)
{
    build(1, 0);
    for (unsigned round = 0; round < 12; round++) {
        int ready[2];
        char byte;
        pid_t pid;

        NEED(pipe(ready) == 0);
        pid = fork();
        NEED(pid >= 0);
        if (pid == 0) {
            for (uint32_t tag = 2;; tag = tag % 200 + 2) {
                if (tag > round && write(ready[1], "x", 1) != 1)
                    _exit(1);
                build(tag, 0);
            }
        }
        close(ready[1]);
        NEED(read(ready[0], &byte, 1) == 1);
        NEED(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
        close(ready[0]);
        ck_assert_uint_eq(find_all(1), CHUNKS);
    }
}
END_TEST

START_TEST(a_lock_that_is_held_ends_with_the_deadline)
{
    struct rafsi_store_index *index = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    char lock[256];
    rafs_call call = RAFS_CALL_INIT;
    struct rig rig;
    int fd;

    build(1, 0);
    snprintf(lock, sizeof(lock), "%s/lock", path);
    fd = open(lock, O_RDWR | O_CLOEXEC);
    NEED(fd >= 0 && flock(fd, LOCK_EX) == 0);
    rig_open(&rig, NULL);
    NEED(rafsi_store_index_new(&rig.borrow, &rig.sink, path, NULL, &index, NULL) ==
         RAFS_OK);
    write_blob(&rig, 2, 1);
    call.deadline_ns = rafsi_now_ns(&rig.image.env) + 30000000;
    ck_assert_int_eq(rafsi_store_index_add(index, &call, &err), RAFS_E_TIMEOUT);
    close(fd);
    ck_assert_int_eq(rafsi_store_index_add(index, NULL, &err), RAFS_OK);
    rafsi_store_index_free(index);
    rig_close(&rig);
}
END_TEST

/* Open, find, add, with the n-th allocation failing: an error or all of it. */
static bool try_all(struct watch *watch, size_t n)
{
    struct rafsi_store_index *index = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    struct build_chunk chunk = chunk_of(1, 3);
    const struct rafsi_known *known;
    struct rig rig;
    uint32_t number;
    int rc;

    rig_open(&rig, &watch->env);
    write_blob(&rig, 2, 10);
    watch_fail_at(watch, n);
    rc = rafsi_store_index_new(&rig.borrow, &rig.sink, path, NULL, &index, &err);
    if (rc == RAFS_OK) {
        known = rafsi_store_index_known(index);
        rc = known->find(known->user, chunk.digest, chunk.uncompressed_size, &number,
                         &err);
    }
    if (rc == RAFS_OK)
        rc = rafsi_store_index_add(index, NULL, &err);
    watch_fail_at(watch, WATCH_NEVER);
    rafsi_store_index_free(index);
    rig_close(&rig);
    ck_assert_uint_eq(watch->live, 0);
    ck_assert_msg(rc == RAFS_OK || rc == RAFS_E_NOMEM, "%d: %s", rc, err.text);
    return rc == RAFS_OK;
}

START_TEST(without_memory_it_says_so)
{
    struct watch watch;
    size_t n = 0;

    watch_init(&watch);
    build(1, 0);
    while (!try_all(&watch, n))
        n++;
    ck_assert_uint_gt(n, 8);
    ck_assert_uint_eq(find_all(1), CHUNKS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_index");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, what_a_build_stored_is_found);
    tcase_add_test(tcase, builds_add_to_what_is_there);
    tcase_add_test(tcase, an_image_of_another_kind_finds_nothing);
    tcase_add_test(tcase, a_blob_that_is_gone_is_not_referred_to_and_is_forgotten);
    tcase_add_test(tcase, a_damaged_file_is_as_good_as_none);
    tcase_add_test(tcase, what_a_crash_leaves_is_in_nobodys_way);
    tcase_add_test(tcase, builds_at_once_lose_nothing);
    tcase_add_test(tcase, a_build_that_is_killed_leaves_a_whole_file);
    tcase_add_test(tcase, a_lock_that_is_held_ends_with_the_deadline);
    tcase_add_test(tcase, without_memory_it_says_so);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
