/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What patterns leave out does not depend on how a source writes its paths, and a pattern
 * never brings back what a whiteout hides.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "made.h"

/* Entries in words; "|" is the next layer. What is left, in order. */
static const struct {
    const char *pattern, *entries, *left;
} cases[] = {
    {"/usr/doc", "usr/doc/a usr/b", "/usr /usr/b"},
    {"/usr/doc", "./usr/doc/a ./usr/b", "/usr /usr/b"},
    {"/usr/doc", "/usr//./doc/a usr/./b", "/usr /usr/b"},
    {"/usr/doc", "./usr/doc/ ./usr/b", "/usr /usr/b"},
    {"/*/doc", "./usr/doc/a ./usr/b/doc", "/usr /usr/b /usr/b/doc"},
    {".*", "./ ./a ./.b ./c/.d/e ./c/f", "/a /c /c/f"},
    {"*", "./ ./a", ""},
    {"/usr", "./usrx ./usr/a", "/usrx"},
    {".*", "a b | .wh.a", "/b"},
    {"/d/.*", "d/a d/b | d/.wh..wh..opq d/c", "/d /d/c"},
    {"/d", "d/a b | d/.wh.a", "/b"},
    {"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void add(rafs_builder *builder, const char *word)
{
    rafs_build_entry entry = {.struct_size = sizeof(entry), .path = word};

    entry.mode = word[strlen(word) - 1] == '/' ? S_IFDIR | 0755 : S_IFREG | 0644;
    ck_assert_int_eq(strcmp(word, "|") == 0
                         ? rafs_builder_next_layer(builder, NULL, NULL)
                         : rafs_builder_add_entry(builder, &entry, NULL, NULL),
                     RAFS_OK);
}

static void show(struct made *made, char *out, size_t room)
{
    const rafs_walk_entry *entry;
    rafs_image *image = NULL;
    rafs_walk *walk;
    size_t used = 0;

    out[0] = '\0';
    ck_assert_int_eq(made_open(made, NULL, &image, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_walk_open(image, "/", 0, &walk, NULL), RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry)
        if (strcmp(entry->path, "/") != 0)
            used += (size_t)snprintf(out + used, room - used, "%s%s", used ? " " : "",
                                     entry->path);
    rafs_walk_close(walk);
    rafs_image_close(image);
}

START_TEST(what_is_left)
{
    rafs_build_options options;
    rafs_builder *builder = NULL;
    struct made made;
    char words[256], left[512], *at;

    made_init(&made, NULL);
    rafs_build_options_init(&options);
    options.exclude = &cases[_i].pattern;
    options.exclude_count = 1;
    ck_assert_int_eq(rafs_builder_new(&options, made.sink, NULL, &builder, NULL),
                     RAFS_OK);
    snprintf(words, sizeof(words), "%s", cases[_i].entries);
    for (char *word = strtok_r(words, " ", &at); word; word = strtok_r(NULL, " ", &at))
        add(builder, word);
    ck_assert_int_eq(rafs_builder_finish(builder, NULL, NULL, NULL), RAFS_OK);
    show(&made, left, sizeof(left));
    ck_assert_msg(strcmp(left, cases[_i].left) == 0, "%s of \"%s\" leaves \"%s\"",
                  cases[_i].pattern, cases[_i].entries, left);
    rafs_builder_free(builder);
    made_drop(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exclude");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_is_left, 0, CASES);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
