/* SPDX-License-Identifier: Apache-2.0 */
/* One image, written as EROFS by several threads at once while others read it. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reading.h"

enum { THREADS = 4, ROUNDS = 3 };

static const char *const variants[] = {"v5-chunk4k", "v5-merge", "v6-merge"};

struct job {
    const rafs_image *image;
    const struct reading *reading;
    uint32_t flags;
    uint8_t sha256[32];
    uint64_t size;
};

static int take(void *user, const void *data, size_t len, const rafs_call *call,
                rafs_error *err)
{
    (void)call;
    (void)err;
    return write(*(const int *)user, data, len) == (ssize_t)len ? RAFS_OK
                                                                : RAFS_E_BACKEND;
}

/* Write, and open what was written beside the others. */
static void *work(void *user)
{
    struct job *job = user;

    for (int i = 0; i < ROUNDS; i++) {
        rafs_erofs_options options = RAFS_EROFS_OPTIONS_INIT;
        rafs_erofs_result result = RAFS_EROFS_RESULT_INIT;
        rafs_image *again = NULL;
        int fd = memfd_create("erofs", 0);

        options.flags = job->flags;
        NEED(fd >= 0);
        NEED(rafs_image_write_erofs(job->image, &options, take, &fd, &result, NULL,
                                    NULL) == RAFS_OK);
        NEED(i == 0 || memcmp(job->sha256, result.sha256, sizeof(result.sha256)) == 0);
        memcpy(job->sha256, result.sha256, sizeof(result.sha256));
        job->size = result.size;
        if (!job->flags) {
            NEED(rafs_image_open_erofs(job->image, fd, 0, NULL, &again, NULL, NULL) ==
                 RAFS_OK);
            for (size_t k = 0; k < job->reading->count; k++) {
                struct item item = job->reading->items[k];
                struct tally tally = {0};

                NEED(rafs_image_resolve(again, item.path, RAFS_RESOLVE_NOFOLLOW,
                                        &item.attr.ino, NULL) == RAFS_OK);
                reading_compare_item(again, &item, &tally);
                NEED(tally.wrong == 0 && tally.refused == 0);
            }
            rafs_image_close(again);
        }
        close(fd);
    }
    return NULL;
}

START_TEST(threads_write_the_same)
{
    struct job jobs[THREADS];
    pthread_t threads[THREADS];
    struct reading reading;
    struct golden golden;
    struct rig rig;

    golden_load(golden_folder(), variants[_i], &golden);
    rig_init(&rig, &golden, NULL);
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
    reading_take(rig.image, &reading);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.image = rig.image,
                               .reading = &reading,
                               .flags = i % 2 ? RAFS_EROFS_WHOLE : 0};
        NEED(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 2; i < THREADS; i++) {
        ck_assert_uint_eq(jobs[i].size, jobs[i - 2].size);
        ck_assert_mem_eq(jobs[i].sha256, jobs[i - 2].sha256, 32);
    }
    reading_drop(&reading);
    rig_drop(&rig);
    golden_drop(&golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("erofs_threads");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, threads_write_the_same, 0,
                        sizeof(variants) / sizeof(variants[0]));
    tcase_set_timeout(tcase, 0);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
