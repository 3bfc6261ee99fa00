/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"

#include <jansson.h>

#define D "\"digest\":\"sha256:" HEX64 "\""
#define OCI_M "application/vnd.oci.image.manifest.v1+json"
#define OCI_I "application/vnd.oci.image.index.v1+json"
#define DESC(type) "{\"mediaType\":\"" type "\"," D ",\"size\":9}"
#define CONFIG "\"config\":" DESC("application/vnd.oci.image.config.v1+json")
#define HEAD "{\"schemaVersion\":2,\"mediaType\":\"" OCI_M "\"," CONFIG ","
#define MARK "containerd.io/snapshot/nydus-"
#define TAR "application/vnd.oci.image.layer.v1.tar"
#define LAYER(type, notes) \
    "{\"mediaType\":\"" type "\"," D ",\"size\":9,\"annotations\":{" notes "}}"
#define BLOB \
    LAYER("application/vnd.oci.image.layer.nydus.blob.v1", "\"" MARK "blob\":\"true\"")
#define BOOT_MARK "\"" MARK "bootstrap\":\"true\""
#define BOOT LAYER(TAR "+gzip", BOOT_MARK ",\"" MARK "fs-version\":\"6\"")
#define LAYERS(list) HEAD "\"layers\":[" list "]}"
#define INDEX(list) \
    "{\"schemaVersion\":2,\"mediaType\":\"" OCI_I "\",\"manifests\":[" list "]}"

static struct rafsi_env env;

static int parse(const char *text, struct oci_manifest *out, rafs_error *err)
{
    char *json = exact(text, strlen(text));
    int rc = rafsi_oci_manifest_parse(&env, json, strlen(text), out, err);

    free(json);
    return rc;
}

START_TEST(nydus_manifest_gives_blobs_bootstrap_and_subject)
{
    static const char text[] =
        HEAD "\"artifactType\":\"" OCI_NYDUS_ARTIFACT "\",\"subject\":" DESC(
            OCI_M) ","
                   "\"layers\":[" BLOB
                   "," LAYER("x/y", "\"" MARK "ref\":\"sha256:" HEX64 "\",\"" MARK
                                    "encrypted-blob\":\"true\"") "," BOOT "]}";
    struct oci_manifest out;
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_msg(parse(text, &out, &err) == RAFS_OK, "%s", err.text);
    ck_assert(out.has_bootstrap && out.has_subject);
    ck_assert_uint_eq(out.fs_version, 6);
    ck_assert_int_eq(out.bootstrap_compression, OCI_TAR_GZIP);
    ck_assert_uint_eq(out.bootstrap.size, 9);
    ck_assert_uint_eq(out.bootstrap.digest[1], 0x23);
    ck_assert_str_eq(out.artifact_type, OCI_NYDUS_ARTIFACT);
    ck_assert_uint_eq(out.layer_count, 2);
    ck_assert(out.layers[0].nydus && !out.layers[0].has_ref && !out.layers[0].encrypted);
    ck_assert(!out.layers[1].nydus && out.layers[1].has_ref && out.layers[1].encrypted);
    ck_assert_int_eq(rafsi_oci_manifest_is_rafs(&out, &err), RAFS_OK);
    rafsi_oci_manifest_drop(&env, &out);
}
END_TEST

START_TEST(bootstrap_without_version_is_v5_and_may_be_alone)
{
    struct oci_manifest out;

    ck_assert_int_eq(parse(LAYERS(LAYER(TAR, BOOT_MARK)), &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.fs_version, 5);
    ck_assert_uint_eq(out.layer_count, 0);
    ck_assert_int_eq(out.bootstrap_compression, OCI_TAR);
    rafsi_oci_manifest_drop(&env, &out);
}
END_TEST

START_TEST(ordinary_image_is_told_from_a_rafs_one)
{
    static const char *const texts[] = {LAYERS(DESC(TAR "+gzip") "," DESC(TAR "+gzip")),
                                        LAYERS("")};
    rafs_error err = RAFS_ERROR_INIT;
    struct oci_manifest out;

    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(parse(texts[i], &out, &err), RAFS_OK);
        ck_assert_uint_eq(out.layer_count, i == 0 ? 2 : 0);
        ck_assert_int_eq(rafsi_oci_manifest_is_rafs(&out, &err), RAFS_E_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(err.text, "ordinary image"));
        rafsi_oci_manifest_drop(&env, &out);
    }
}
END_TEST

static const struct {
    const char *why, *text;
    int code;
} refused[] = {
    {"empty", "", RAFS_E_CORRUPT},
    {"cut", "{\"schemaVersion\":2", RAFS_E_CORRUPT},
    {"array", "[]", RAFS_E_CORRUPT},
    {"junk behind", LAYERS(BOOT) "x", RAFS_E_CORRUPT},
    {"no version", "{" CONFIG ",\"layers\":[]}", RAFS_E_CORRUPT},
    {"version as text", "{\"schemaVersion\":\"2\"," CONFIG ",\"layers\":[]}",
     RAFS_E_CORRUPT},
    {"schema 1", "{\"schemaVersion\":1,\"fsLayers\":[]}", RAFS_E_UNSUPPORTED},
    {"other media type",
     "{\"schemaVersion\":2,\"mediaType\":\"a/b\"," CONFIG ",\"layers\":[]}",
     RAFS_E_UNSUPPORTED},
    {"media type is no text", "{\"schemaVersion\":2,\"mediaType\":3," CONFIG "}",
     RAFS_E_CORRUPT},
    {"an index", INDEX(""), RAFS_E_CORRUPT},
    {"both", HEAD "\"layers\":[],\"manifests\":[]}", RAFS_E_CORRUPT},
    {"type of an index", "{\"schemaVersion\":2,\"mediaType\":\"" OCI_I "\"," CONFIG "}",
     RAFS_E_CORRUPT},
    {"key twice", HEAD "\"layers\":[],\"layers\":[]}", RAFS_E_CORRUPT},
    {"no config", "{\"schemaVersion\":2,\"layers\":[]}", RAFS_E_CORRUPT},
    {"layers is an object", HEAD "\"layers\":{}}", RAFS_E_CORRUPT},
    {"layer is a number", LAYERS("1"), RAFS_E_CORRUPT},
    {"annotations are text",
     LAYERS("{\"mediaType\":\"x\"," D ",\"size\":1,\"annotations\":\"x\"}"),
     RAFS_E_CORRUPT},
    {"annotation is true", LAYERS(LAYER(TAR, "\"" MARK "bootstrap\":true")),
     RAFS_E_CORRUPT},
    {"no digest", LAYERS("{\"size\":1}"), RAFS_E_CORRUPT},
    {"no size", LAYERS("{" D "}"), RAFS_E_CORRUPT},
    {"size below 0", LAYERS("{" D ",\"size\":-1}"), RAFS_E_CORRUPT},
    {"size is a fraction", LAYERS("{" D ",\"size\":1.5}"), RAFS_E_CORRUPT},
    {"size too large", LAYERS("{" D ",\"size\":9223372036854775808}"), RAFS_E_CORRUPT},
    {"digest malformed", LAYERS("{\"digest\":\"sha256:12\",\"size\":1}"), RAFS_E_CORRUPT},
    {"digest in upper case",
     LAYERS("{\"digest\":\"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456"
            "789abcdef\",\"size\":1}"),
     RAFS_E_CORRUPT},
    {"digest with a path", LAYERS("{\"digest\":\"sha256:../../../x\",\"size\":1}"),
     RAFS_E_CORRUPT},
    {"digest of another kind", LAYERS("{\"digest\":\"sha512:12\",\"size\":1}"),
     RAFS_E_UNSUPPORTED},
    {"bootstrap is not last", LAYERS(BOOT "," BLOB), RAFS_E_CORRUPT},
    {"two bootstraps", LAYERS(BOOT "," BOOT), RAFS_E_CORRUPT},
    {"version 7", LAYERS(LAYER(TAR, BOOT_MARK ",\"" MARK "fs-version\":\"7\"")),
     RAFS_E_UNSUPPORTED},
    {"version 66", LAYERS(LAYER(TAR, BOOT_MARK ",\"" MARK "fs-version\":\"66\"")),
     RAFS_E_UNSUPPORTED},
    {"bootstrap of another type", LAYERS(LAYER("a/b", BOOT_MARK)), RAFS_E_UNSUPPORTED},
    {"ref is no digest", LAYERS(LAYER(TAR, "\"" MARK "ref\":\"x\"")), RAFS_E_CORRUPT},
    {"subject is text", HEAD "\"subject\":\"x\",\"layers\":[]}", RAFS_E_CORRUPT},
    {"media type too long",
     LAYERS("{\"mediaType\":\"" FIFTY FIFTY FIFTY "\"," D ",\"size\":1}"),
     RAFS_E_CORRUPT},
};

START_TEST(malformed_manifest_is_refused)
{
    struct oci_manifest out, before;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    memset(&before, 7, sizeof(before));
    out = before;
    rc = parse(refused[_i].text, &out, &err);
    ck_assert_msg(rc == refused[_i].code, "%s: %d %s", refused[_i].why, rc, err.text);
    ck_assert_int_eq(err.code, rc);
    ck_assert_str_eq(err.object, "manifest");
    ck_assert_mem_eq(&out, &before, sizeof(out));
}
END_TEST

/* Text of `count` times an item with commas between, between head and tail. */
static char *repeat(const char *head, const char *item, size_t count, const char *tail,
                    const char *comma)
{
    size_t room = strlen(head) + count * (strlen(item) + 1) + strlen(tail) + 1;
    char *text = malloc(room);
    size_t len;

    ck_assert_ptr_nonnull(text);
    len = (size_t)snprintf(text, room, "%s", head);
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, room - len, "%s%s", i ? comma : "", item);
    snprintf(text + len, room - len, "%s", tail);
    return text;
}

START_TEST(sizes_and_depth_have_limits)
{
    char *many = repeat(HEAD "\"layers\":[", DESC("x"), OCI_LAYERS_MAX, "]}", ",");
    char *more = repeat(HEAD "\"layers\":[", DESC("x"), OCI_LAYERS_MAX + 1, "]}", ",");
    char *deep = repeat(HEAD "\"layers\":", "[", 100000, "", "");
    char *large = repeat("", " ", OCI_JSON_MAX + 1, "", "");
    struct oci_manifest out;

    ck_assert_int_eq(parse(many, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.layer_count, OCI_LAYERS_MAX);
    rafsi_oci_manifest_drop(&env, &out);
    ck_assert_int_eq(parse(more, &out, NULL), RAFS_E_LIMIT);
    ck_assert_int_eq(parse(deep, &out, NULL), RAFS_E_CORRUPT);
    ck_assert_int_eq(parse(large, &out, NULL), RAFS_E_LIMIT);
    free(many);
    free(more);
    free(deep);
    free(large);
}
END_TEST

/* jansson takes its allocator for the whole process, which here is the test's own. */
static size_t allocations_left;

static void *failing_malloc(size_t size)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(size);
}

START_TEST(running_out_of_memory_is_not_taken_for_a_bad_manifest)
{
    static const char text[] = LAYERS(BLOB "," BOOT);
    struct oci_manifest out;
    int rc = RAFS_E_NOMEM;
    size_t allowed;

    json_set_alloc_funcs(failing_malloc, free);
    for (allowed = 0; rc != RAFS_OK && allowed < 10000; allowed++) {
        allocations_left = allowed;
        rc = parse(text, &out, NULL);
        ck_assert_msg(rc == RAFS_OK || rc == RAFS_E_NOMEM, "after %zu: %d", allowed, rc);
    }
    json_set_alloc_funcs(malloc, free);
    ck_assert_int_eq(rc, RAFS_OK);
    ck_assert_uint_gt(allowed, 20);
    ck_assert(out.layer_count == 1 && out.has_bootstrap && out.fs_version == 6);
    rafsi_oci_manifest_drop(&env, &out);
}
END_TEST

static const struct {
    const char *text, *content_type;
    int code;
    enum oci_kind kind;
} kinds[] = {
    {LAYERS(BOOT), NULL, RAFS_OK, OCI_MANIFEST},
    {LAYERS(BOOT), OCI_M "; charset=utf-8", RAFS_OK, OCI_MANIFEST},
    {LAYERS(BOOT), "text/plain", RAFS_OK, OCI_MANIFEST},
    {LAYERS(BOOT), OCI_I, RAFS_E_CORRUPT, 0},
    {INDEX(""), OCI_I, RAFS_OK, OCI_INDEX},
    {INDEX(""), OCI_M, RAFS_E_CORRUPT, 0},
    {"{\"schemaVersion\":2,\"manifests\":[]}", NULL, RAFS_OK, OCI_INDEX},
    {"{\"schemaVersion\":2}", NULL, RAFS_E_CORRUPT, 0},
    {"{\"errors\":[]}", NULL, RAFS_E_CORRUPT, 0},
};

START_TEST(document_is_of_one_kind_or_none)
{
    enum oci_kind kind = 0;
    int rc = rafsi_oci_kind(kinds[_i].text, strlen(kinds[_i].text),
                            kinds[_i].content_type, &kind, NULL);

    ck_assert_int_eq(rc, kinds[_i].code);
    ck_assert_int_eq(kind, kinds[_i].kind);
}
END_TEST

/* An entry of an index, told apart by its size. */
#define ENTRY(type, n, more) "{\"mediaType\":\"" type "\"," D ",\"size\":" #n more "}"
#define FOR(os, arch, variant)                                  \
    ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch \
    "\",\"variant\":\"" variant "\"}"
#define FEATURED(arch)                                         \
    ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch \
    "\",\"os.features\":[\"x\",\"nydus.remoteimage.v1\"]}"
#define ART(type) ",\"artifactType\":\"" type "\""
#define AMD ENTRY(OCI_M, 1, FOR("linux", "amd64", ""))
#define AMD3 ENTRY(OCI_M, 3, FOR("linux", "amd64", "v3"))
#define ARM64 ENTRY(OCI_M, 4, FOR("linux", "arm64", "v8"))
#define ARM6 ENTRY(OCI_M, 6, FOR("linux", "arm", "v6"))
#define ARM7 ENTRY(OCI_M, 7, FOR("linux", "arm", "v7"))
#define NYDUS ENTRY(OCI_M, 10, FOR("linux", "amd64", "") ART(OCI_NYDUS_ARTIFACT))
#define OLD_NYDUS ENTRY(OCI_M, 11, FEATURED("amd64"))
#define ATTEST ENTRY(OCI_M, 12, FOR("unknown", "unknown", ""))
#define BARE ENTRY(OCI_M, 13, "")
#define NESTED ENTRY(OCI_I, 14, FOR("linux", "amd64", ""))

static const struct {
    const char *text, *platform;
    int code;
    uint64_t size;
} picks[] = {
    {INDEX(ATTEST "," ARM64 "," AMD), "linux/amd64", RAFS_OK, 1},
    {INDEX(AMD "," NYDUS), "linux/amd64", RAFS_OK, 10},
    {INDEX(NYDUS "," AMD), "amd64", RAFS_OK, 10},
    {INDEX(AMD "," OLD_NYDUS), "x86_64", RAFS_OK, 11},
    {INDEX(ARM64 "," NYDUS), "linux/arm64", RAFS_OK, 4},
    {INDEX(ARM64), "linux/aarch64", RAFS_OK, 4},
    {INDEX(ARM64), "linux/arm64/v8", RAFS_OK, 4},
    {INDEX(AMD "," AMD3), "linux/amd64", RAFS_OK, 1},
    {INDEX(AMD "," AMD3), "linux/amd64/v3", RAFS_OK, 3},
    {INDEX(AMD "," AMD3), "linux/amd64/v2", RAFS_OK, 1},
    {INDEX(AMD3), "linux/amd64", RAFS_E_NOENT, 0},
    {INDEX(ARM6 "," ARM7), "linux/arm", RAFS_OK, 7},
    {INDEX(ARM6 "," ARM7), "linux/arm/v6", RAFS_OK, 6},
    {INDEX(ARM6), "linux/arm/v7", RAFS_OK, 6},
    {INDEX(BARE), "linux/amd64", RAFS_OK, 13},
    {INDEX(BARE "," AMD), "linux/amd64", RAFS_OK, 1},
    {INDEX(NESTED), "linux/amd64", RAFS_OK, 14},
    {INDEX(AMD "," AMD), "linux/amd64", RAFS_OK, 1},
    {INDEX(AMD), "windows/amd64", RAFS_E_NOENT, 0},
    {INDEX(ATTEST), "linux/amd64", RAFS_E_NOENT, 0},
    {INDEX(""), "linux/amd64", RAFS_E_NOENT, 0},
    {INDEX(ENTRY(OCI_M, 1, FOR("linux", "amd64", "") ART("a/b"))), "amd64", RAFS_E_NOENT,
     0},
    {INDEX(ENTRY("a/b", 1, FOR("linux", "amd64", ""))), "amd64", RAFS_E_NOENT, 0},
    /* Only what is chosen has to be well formed. */
    {INDEX("{\"digest\":5}," AMD), "amd64", RAFS_OK, 1},
    {INDEX("{\"mediaType\":\"" OCI_M "\"" FOR("linux", "amd64", "") "}"), "amd64",
     RAFS_E_CORRUPT, 0},
    {INDEX("7"), "amd64", RAFS_E_CORRUPT, 0},
    {LAYERS(BOOT), "amd64", RAFS_E_CORRUPT, 0},
};

START_TEST(platform_is_chosen_from_an_index)
{
    struct oci_descriptor out = {.size = 0};
    rafs_error err = RAFS_ERROR_INIT;
    struct oci_platform wanted;
    int rc;

    ck_assert_int_eq(rafsi_oci_platform_parse(picks[_i].platform, &wanted, &err),
                     RAFS_OK);
    rc =
        rafsi_oci_index_pick(picks[_i].text, strlen(picks[_i].text), &wanted, &out, &err);
    ck_assert_msg(rc == picks[_i].code, "%d: %s", rc, err.text);
    ck_assert_uint_eq(out.size, picks[_i].size);
}
END_TEST

START_TEST(missing_platform_error_names_those_that_exist)
{
    static const char text[] = INDEX(ARM7 "," ARM64 "," ARM64);
    struct oci_platform wanted = {"linux", "s390x", ""};
    rafs_error err = RAFS_ERROR_INIT;
    struct oci_descriptor out;

    ck_assert_int_eq(rafsi_oci_index_pick(text, strlen(text), &wanted, &out, &err),
                     RAFS_E_NOENT);
    ck_assert_str_eq(err.text, "no image for linux/s390x; there are: linux/arm/v7, "
                               "linux/arm64");
}
END_TEST

START_TEST(host_platform_is_the_default)
{
    static const char text[] = INDEX(AMD "," ARM64 "," ARM7);
    struct oci_descriptor by_default = {.size = 0};
    struct oci_descriptor by_name = {.size = 1};
    struct oci_platform host;
    int rc = rafsi_oci_index_pick(text, strlen(text), NULL, &by_default, NULL);

    rafsi_oci_platform_host(&host);
    ck_assert_str_eq(host.os, "linux");
    ck_assert_int_eq(rafsi_oci_index_pick(text, strlen(text), &host, &by_name, NULL), rc);
    if (rc == RAFS_OK)
        ck_assert_uint_eq(by_default.size, by_name.size);
}
END_TEST

static const char *const bad_platforms[] = {
    "",
    "/",
    "linux/",
    "/amd64",
    "linux//v8",
    "linux/amd64/",
    "linux/arm/v7/x",
    "a b",
    "linux/am\nd",
    "0123456789012345678901234567890123456789/x",
};

START_TEST(malformed_platform_is_refused)
{
    struct oci_platform out;

    ck_assert_int_eq(rafsi_oci_platform_parse(bad_platforms[_i], &out, NULL),
                     RAFS_E_BADARG);
}
END_TEST

START_TEST(referrers_come_with_nydus_first)
{
    static const char text[] =
        INDEX(BARE "," ENTRY(OCI_M, 20, ART("application/spdx+json")) "," NYDUS);
    const uint64_t sizes[] = {10, 13};
    struct oci_descriptor out;

    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(rafsi_oci_referrer_pick(text, strlen(text), i, &out, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(out.size, sizes[i]);
    }
    ck_assert_int_eq(rafsi_oci_referrer_pick(text, strlen(text), 2, &out, NULL),
                     RAFS_E_NOENT);
}
END_TEST

/* The list of platforms in an error ends in its room, wherever one ends in it. */
START_TEST(platforms_that_do_not_fit_are_left_out)
{
    for (int arch = 13; arch < 32; arch++) {
        char text[4096] =
            "{\"schemaVersion\":2,\"mediaType\":\"" OCI_I "\",\"manifests\":[";
        rafs_error err = RAFS_ERROR_INIT;
        struct oci_descriptor out;

        for (int i = 0; i < 6; i++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text),
                     "%s{" D ",\"size\":9,\"platform\":{\"os\":\"%0*d\","
                     "\"architecture\":\"%0*d\"}}",
                     i ? "," : "", i % 2 ? 44 - arch : 12, i, arch, i);
        strcat(text, "]}");
        ck_assert_int_eq(rafsi_oci_index_pick(text, strlen(text), NULL, &out, &err),
                         RAFS_E_NOENT);
        ck_assert_msg(strstr(err.text, "…"), "%s", err.text);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, nydus_manifest_gives_blobs_bootstrap_and_subject);
    tcase_add_test(tcase, platforms_that_do_not_fit_are_left_out);
    tcase_add_test(tcase, bootstrap_without_version_is_v5_and_may_be_alone);
    tcase_add_test(tcase, ordinary_image_is_told_from_a_rafs_one);
    tcase_add_loop_test(tcase, malformed_manifest_is_refused, 0, COUNT(refused));
    tcase_add_test(tcase, sizes_and_depth_have_limits);
    tcase_add_test(tcase, running_out_of_memory_is_not_taken_for_a_bad_manifest);
    tcase_add_loop_test(tcase, document_is_of_one_kind_or_none, 0, COUNT(kinds));
    tcase_add_loop_test(tcase, platform_is_chosen_from_an_index, 0, COUNT(picks));
    tcase_add_test(tcase, missing_platform_error_names_those_that_exist);
    tcase_add_test(tcase, host_platform_is_the_default);
    tcase_add_loop_test(tcase, malformed_platform_is_refused, 0, COUNT(bad_platforms));
    tcase_add_test(tcase, referrers_come_with_nydus_first);
}

int main(void)
{
    if (rafsi_env_take(NULL, &env, NULL) < 0)
        return 1;
    return run_suite("manifest", add);
}
