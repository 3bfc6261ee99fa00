/* SPDX-License-Identifier: Apache-2.0 */
/* What is written of documents: lists, manifests, configs, scopes, places; and what is
 * read of them to take all of an image elsewhere. */
#include "suite.h"

#include "oci/registry_parts.h"

#define D(c) "sha256:" c c c c c c c c c c c c c c c c
#define A D("aaaa")
#define B D("bbbb")
#define C D("cccc")
#define INDEX_HEAD "{\"schemaVersion\":2,\"manifests\":["
#define ENTRY(digest, more) "{\"digest\":\"" digest "\",\"size\":7" more "}"
#define NAMED(name) \
    ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"

static struct rafsi_env env;

static void setup(void)
{
    ck_assert_int_eq(rafsi_env_take(NULL, &env, NULL), RAFS_OK);
}

/* The list with one more, to free(). */
static char *added(const char *old, const char *entry, const char *name, bool *same)
{
    rafs_error err = RAFS_ERROR_INIT;
    char *out = NULL;
    size_t len = 0;
    int rc = rafsi_oci_list_add(old, old ? strlen(old) : 0, entry, name, &out, &len, same,
                                &err);

    ck_assert_msg(rc == RAFS_OK, "%s", err.text);
    ck_assert_uint_eq(len, strlen(out));
    return out;
}

static void check_list(const char *old, const char *entry, const char *name,
                       const char *want)
{
    bool same = true;
    char *out = added(old, entry, name, &same);

    ck_assert_str_eq(out, want);
    ck_assert(!same);
    free(out);
}

START_TEST(a_list_keeps_what_it_has)
{
    bool same = false;
    char *out;

    check_list(
        INDEX_HEAD ENTRY(A, ",\"platform\":{\"os\":\"plan9\"},\"x\":[1]") "]}",
        ENTRY(B, ""), NULL,
        INDEX_HEAD ENTRY(A, ",\"platform\":{\"os\":\"plan9\"},\"x\":[1]") "," ENTRY(
            B, "") "]}");
    check_list(
        NULL, ENTRY(B, ""), NULL,
        "{\"schemaVersion\":2,\"mediaType\":"
        "\"application/vnd.oci.image.index.v1+json\",\"manifests\":[" ENTRY(B, "") "]}");
    out = added(INDEX_HEAD ENTRY(A, NAMED("v1")) "]}", ENTRY(A, ""), NULL, &same);
    ck_assert(same);
    free(out);
}
END_TEST

START_TEST(a_name_goes_from_one_image_to_another)
{
    check_list(
        INDEX_HEAD ENTRY(A, NAMED("v1")) "," ENTRY(B, NAMED("v2")) "]}", ENTRY(C, ""),
        "v1",
        INDEX_HEAD ENTRY(A, "") "," ENTRY(B, NAMED("v2")) "," ENTRY(C, NAMED("v1")) "]}");
    /* The same image again, and under a second name. */
    check_list(INDEX_HEAD ENTRY(A, NAMED("v1")) "]}", ENTRY(A, ""), "v1",
               INDEX_HEAD ENTRY(A, NAMED("v1")) "]}");
    check_list(INDEX_HEAD ENTRY(A, NAMED("v1")) "]}", ENTRY(A, ""), "v2",
               INDEX_HEAD ENTRY(A, NAMED("v1")) "," ENTRY(A, NAMED("v2")) "]}");
    /* Other annotations of the loser and of the nameless one stay. */
    check_list(INDEX_HEAD ENTRY(A, ",\"annotations\":{\"k\":\"v\","
                                   "\"org.opencontainers.image.ref.name\":\"v1\"}") "]}",
               ENTRY(A, ""), "v1",
               INDEX_HEAD ENTRY(A, ",\"annotations\":{\"k\":\"v\","
                                   "\"org.opencontainers.image.ref.name\":\"v1\"}") "]}");
}
END_TEST

START_TEST(an_older_list_of_referrers_goes)
{
    check_list(INDEX_HEAD ENTRY(A, NAMED("sha256-" HEX64)) "," ENTRY(B, "") "]}",
               ENTRY(C, ""), "sha256-" HEX64,
               INDEX_HEAD ENTRY(B, "") "," ENTRY(C, NAMED("sha256-" HEX64)) "]}");
}
END_TEST

START_TEST(what_is_no_list_is_not_replaced)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{\"schemaVersion\":1,\"manifests\":[]}",
                                      "{\"schemaVersion\":2,\"layers\":[],\"config\":{}}",
                                      "{\"schemaVersion\":2,\"manifests\":{}}"};

    for (int i = 0; i < COUNT(bad); i++) {
        rafs_error err = RAFS_ERROR_INIT;
        char *text = exact(bad[i], strlen(bad[i]));
        char *out = NULL;
        size_t len = 0;
        bool same = false;
        int rc = rafsi_oci_list_add(text, strlen(bad[i]), ENTRY(A, ""), NULL, &out, &len,
                                    &same, &err);

        ck_assert_msg(rc == RAFS_E_CORRUPT || rc == RAFS_E_UNSUPPORTED, "%d: %d", i, rc);
        ck_assert_ptr_null(out);
        free(text);
    }
}
END_TEST

static int facts_of(const char *text, const char *type, struct oci_facts *out)
{
    uint8_t digest[OCI_DIGEST_BYTES] = {0xab};

    return rafsi_oci_facts(text, strlen(text), type, digest, out, NULL);
}

START_TEST(a_manifest_says_what_it_is_and_hangs_on)
{
    static const char artifact[] =
        "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"app/x\"},\"layers\":[],"
        "\"subject\":{\"digest\":\"" A "\"},\"annotations\":{\"k\":\"v\"}}";
    struct oci_facts facts;

    ck_assert_int_eq(facts_of(artifact, NULL, &facts), RAFS_OK);
    ck_assert_str_eq(facts.media_type, "application/vnd.oci.image.manifest.v1+json");
    ck_assert(facts.has_subject);
    ck_assert_int_eq(facts.subject[31], 0xaa);
    ck_assert_ptr_nonnull(strstr(facts.descriptor, "\"artifactType\":\"app/x\""));
    ck_assert_ptr_nonnull(strstr(facts.descriptor, "\"annotations\":{\"k\":\"v\"}"));
    ck_assert_ptr_nonnull(strstr(facts.descriptor, "\"digest\":\"sha256:ab00"));
    rafsi_oci_facts_drop(&facts);
    ck_assert_int_eq(facts_of("{\"manifests\":[],\"mediaType\":\"a/b\"}", NULL, &facts),
                     RAFS_OK);
    ck_assert_str_eq(facts.media_type, "a/b");
    ck_assert(!facts.has_subject);
    rafsi_oci_facts_drop(&facts);
}
END_TEST

START_TEST(what_is_no_manifest_is_not_put)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"config\":{}}",
        "{\"layers\":{}}",
        "{\"layers\":[],\"subject\":{}}",
        "{\"layers\":[],\"subject\":{\"digest\":\"sha512:aa\"}}",
        "{\"layers\":[],\"mediaType\":\"a\\r\\nb\"}",
        "{\"layers\":[],\"mediaType\":\"other/type\"}"};

    for (int i = 0; i < COUNT(bad); i++) {
        struct oci_facts facts;

        ck_assert_msg(facts_of(bad[i], i == COUNT(bad) - 1 ? "this/type" : NULL,
                               &facts) == RAFS_E_BADARG,
                      "%s", bad[i]);
    }
}
END_TEST

START_TEST(all_that_a_manifest_names_once)
{
    static const char text[] =
        "{\"schemaVersion\":2,\"config\":" ENTRY(A, "") ",\"layers\":[" ENTRY(
            B, ",\"annotations\":{\"containerd.io/snapshot/nydus-ref\":\"" C
               "\"}") "," ENTRY(B, "") ","
                                       "{\"digest\":\"" D(
                                           "dddd") "\",\"size\":9,\"urls\":[\"http://"
                                                   "x\"],\"mediaType\":"
                                                   "\"application/"
                                                   "vnd.oci.image.layer.nondistributable."
                                                   "v1.tar\"}]}";
    struct oci_contents contents;

    ck_assert_int_eq(rafsi_oci_contents(&env, text, strlen(text), &contents, NULL),
                     RAFS_OK);
    ck_assert_int_eq(contents.kind, OCI_MANIFEST);
    ck_assert_uint_eq(contents.count, 3);
    ck_assert_int_eq(contents.at[0].digest[0], 0xaa);
    ck_assert_int_eq(contents.at[1].digest[0], 0xbb);
    ck_assert_int_eq(contents.at[2].digest[0], 0xcc);
    ck_assert_uint_eq(contents.at[1].size, 7);
    ck_assert_uint_eq(contents.at[2].size, UINT64_MAX);
    rafsi_oci_contents_drop(&env, &contents);
}
END_TEST

START_TEST(a_scope_is_what_is_asked_for_and_what_will_be_done)
{
    static struct oci_registry registry = {.repo = "a/b"};
    char out[OCI_SCOPES_MAX];

    rafsi_pass_scopes(&registry, "", "", out);
    ck_assert_str_eq(out, "repository:a/b:pull");
    rafsi_pass_scopes(&registry, "", "other:scope", out);
    ck_assert_str_eq(out, "other:scope");
    registry.writes = true;
    rafsi_pass_scopes(&registry, "", "repository:a/b:pull", out);
    ck_assert_str_eq(out, "repository:a/b:pull,push");
    rafsi_pass_scopes(&registry, "c/d", "repository:a/b:push,pull", out);
    ck_assert_str_eq(out, "repository:a/b:pull,push repository:c/d:pull "
                          "repository:a/b:push,pull");
}
END_TEST

static void check_where(const char *text, enum oci_where_kind kind, const char *path,
                        const char *tag)
{
    struct oci_where where;

    ck_assert_msg(rafsi_oci_where_parse(&env, text, &where, NULL) == RAFS_OK, "%s", text);
    ck_assert_int_eq(where.kind, kind);
    if (path)
        ck_assert_str_eq(where.path, path);
    else
        ck_assert_ptr_null(where.path);
    ck_assert_str_eq(where.reference.tag, tag);
    rafsi_oci_where_drop(&env, &where);
}

START_TEST(a_place_has_a_kind_a_path_and_a_tag)
{
    static const char *const bad[] = {"",          "x",       "docker:x",
                                      "oci:",      "oci::v1", "oci-archive:",
                                      "docker://", "OCI:x",   "oci:/no/such@sha256:12"};

    check_where("docker://h.example/r", OCI_IN_REGISTRY, NULL, "latest");
    check_where("oci:/no/such", OCI_IN_LAYOUT, "/no/such", "");
    check_where("oci:/no/such:v1", OCI_IN_LAYOUT, "/no/such", "v1");
    check_where("oci:/no/such:a:b", OCI_IN_LAYOUT, "/no/such", "a:b");
    check_where("oci:/no/such:v1@" A, OCI_IN_LAYOUT, "/no/such", "v1");
    check_where("oci-archive:/no/such.tar:v1", OCI_IN_ARCHIVE, "/no/such.tar", "v1");
    for (int i = 0; i < COUNT(bad); i++) {
        struct oci_where where;

        ck_assert_msg(rafsi_oci_where_parse(&env, bad[i], &where, NULL) == RAFS_E_BADARG,
                      "%s", bad[i]);
    }
}
END_TEST

static const struct compose_blob blobs[] = {{{0xb1}, 11}, {{0xb2}, 22}};
static const struct compose_blob config = {{0xcf}, 33};

static struct compose_image an_image(void)
{
    return (struct compose_image){.blobs = blobs,
                                  .blob_count = 2,
                                  .bootstrap = {{0xb0}, 44},
                                  .boot_diff = {0xdf},
                                  .fs_version = 6,
                                  .platform = {.os = "linux", .arch = "arm64"}};
}

START_TEST(a_composed_manifest_is_one_of_ours)
{
    static const char *const notes[] = {"a=b=c", "k="};
    struct compose_image image = an_image();
    struct oci_manifest back;
    char *text = NULL;
    size_t len = 0;

    image.annotations = notes;
    image.annotation_count = 2;
    image.subject = ENTRY(A, ",\"mediaType\":\"m/t\"");
    image.subject_len = strlen(image.subject);
    image.artifact = true;
    ck_assert_int_eq(rafsi_compose_manifest(&env, &image, &config, &text, &len, NULL),
                     RAFS_OK);
    ck_assert_int_eq(rafsi_oci_manifest_parse(&env, text, len, &back, NULL), RAFS_OK);
    ck_assert_uint_eq(back.layer_count, 2);
    ck_assert(back.layers[0].nydus && back.layers[1].nydus);
    ck_assert_uint_eq(back.layers[1].blob.size, 22);
    ck_assert(back.has_bootstrap && back.has_subject);
    ck_assert_uint_eq(back.fs_version, 6);
    ck_assert_int_eq(back.bootstrap_compression, OCI_TAR_GZIP);
    ck_assert_str_eq(back.artifact_type, OCI_NYDUS_ARTIFACT);
    ck_assert_ptr_nonnull(strstr(text, "\"annotations\":{\"a\":\"b=c\",\"k\":\"\"}"));
    rafsi_oci_manifest_drop(&env, &back);
    rafsi_free(&env, text);
}
END_TEST

START_TEST(a_composed_config_keeps_what_was_there)
{
    struct compose_image image = an_image();
    char *text = NULL;
    size_t len = 0;

    image.config = "{\"os\":\"linux\",\"config\":{\"Cmd\":[\"x\"]},\"extra\":1.5,"
                   "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"old\"]},"
                   "\"history\":[{\"created_by\":\"them\"}]}";
    image.config_len = strlen(image.config);
    ck_assert_int_eq(rafsi_compose_config(&env, &image, &text, &len, NULL), RAFS_OK);
    ck_assert_ptr_nonnull(strstr(text, "\"config\":{\"Cmd\":[\"x\"]},\"extra\":1.5"));
    ck_assert_ptr_nonnull(strstr(text, "\"history\":[{\"created_by\":\"them\"},{"));
    ck_assert_ptr_nonnull(strstr(text, "\"diff_ids\":[\"sha256:b100"));
    ck_assert_ptr_null(strstr(text, "old"));
    rafsi_free(&env, text);
    image.config = NULL;
    ck_assert_int_eq(rafsi_compose_config(&env, &image, &text, &len, NULL), RAFS_OK);
    ck_assert_ptr_nonnull(strstr(text, "\"architecture\":\"arm64\""));
    rafsi_free(&env, text);
}
END_TEST

START_TEST(what_cannot_be_composed_is_refused)
{
    static const char *const notes[] = {"novalue", "=x", "\xff=x", "k=\xff"};
    struct compose_image image = an_image();
    char *text = NULL;
    size_t len = 0;

    for (int i = 0; i < COUNT(notes); i++) {
        image.annotations = &notes[i];
        image.annotation_count = 1;
        ck_assert_int_eq(rafsi_compose_manifest(&env, &image, &config, &text, &len, NULL),
                         RAFS_E_BADARG);
    }
    image.annotation_count = 0;
    image.subject = "{\"digest\":\"none\"}";
    image.subject_len = strlen(image.subject);
    ck_assert_int_lt(rafsi_compose_manifest(&env, &image, &config, &text, &len, NULL), 0);
    image.config = "[";
    image.config_len = 1;
    ck_assert_int_eq(rafsi_compose_config(&env, &image, &text, &len, NULL),
                     RAFS_E_BADARG);
    image.config = "{\"history\":7}";
    image.config_len = strlen(image.config);
    ck_assert_int_eq(rafsi_compose_config(&env, &image, &text, &len, NULL),
                     RAFS_E_BADARG);
    ck_assert_ptr_null(text);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_list_keeps_what_it_has);
    tcase_add_test(tcase, a_name_goes_from_one_image_to_another);
    tcase_add_test(tcase, an_older_list_of_referrers_goes);
    tcase_add_test(tcase, what_is_no_list_is_not_replaced);
    tcase_add_test(tcase, a_manifest_says_what_it_is_and_hangs_on);
    tcase_add_test(tcase, what_is_no_manifest_is_not_put);
    tcase_add_test(tcase, all_that_a_manifest_names_once);
    tcase_add_test(tcase, a_scope_is_what_is_asked_for_and_what_will_be_done);
    tcase_add_test(tcase, a_place_has_a_kind_a_path_and_a_tag);
    tcase_add_test(tcase, a_composed_manifest_is_one_of_ours);
    tcase_add_test(tcase, a_composed_config_keeps_what_was_there);
    tcase_add_test(tcase, what_cannot_be_composed_is_refused);
}

int main(void)
{
    return run_suite("target", add_tests);
}
