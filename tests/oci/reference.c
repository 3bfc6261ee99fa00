/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"

#define HUB "registry-1.docker.io"

static const struct {
    const char *text, *host, *repo, *tag;
    bool has_digest;
} good[] = {
    {"ubuntu", HUB, "library/ubuntu", "latest", false},
    {"ubuntu:22.04", HUB, "library/ubuntu", "22.04", false},
    {"docker.io/ubuntu", HUB, "library/ubuntu", "latest", false},
    {"index.docker.io/ubuntu", HUB, "library/ubuntu", "latest", false},
    {"docker.io/a/b", HUB, "a/b", "latest", false},
    {"a/b/c", HUB, "a/b/c", "latest", false},
    {"registry-1.docker.io/a", HUB, "a", "latest", false},
    {"localhost/a", "localhost", "a", "latest", false},
    {"localhost", HUB, "library/localhost", "latest", false},
    {"localhost:5000/a", "localhost:5000", "a", "latest", false},
    {"localhost:5000", HUB, "library/localhost", "5000", false},
    {"a:5000/b:6", "a:5000", "b", "6", false},
    {"ghcr.io/o/p:V_1.2-x", "ghcr.io", "o/p", "V_1.2-x", false},
    {"UPPER/a", "UPPER", "a", "latest", false},
    {"Ex-ample.COM:65535/a", "Ex-ample.COM:65535", "a", "latest", false},
    {"[::1]:5000/a", "[::1]:5000", "a", "latest", false},
    {"[2001:db8::1]/a", "[2001:db8::1]", "a", "latest", false},
    {"127.0.0.1:1/a", "127.0.0.1:1", "a", "latest", false},
    {"a.b/c__d/e_f/g.h/i---j", "a.b", "c__d/e_f/g.h/i---j", "latest", false},
    {"xn--n3h.com/a", "xn--n3h.com", "a", "latest", false},
    {"a@sha256:" HEX64, HUB, "library/a", "", true},
    {"r.io:80/a:t@sha256:" HEX64, "r.io:80", "a", "t", true},
    {HEX64 ":tag", HUB, "library/" HEX64, "tag", false},
    {"x/" FIFTY FIFTY FIFTY FIFTY FIFTY "012", HUB,
     "x/" FIFTY FIFTY FIFTY FIFTY FIFTY "012", "latest", false},
    {"a:" FIFTY FIFTY TEN TEN "01234567", HUB, "library/a",
     FIFTY FIFTY TEN TEN "01234567", false},
};

static const struct {
    const char *text;
    int code;
} bad[] = {
    {"", RAFS_E_BADARG},
    {"/", RAFS_E_BADARG},
    {"/a", RAFS_E_BADARG},
    {"a/", RAFS_E_BADARG},
    {"a//b", RAFS_E_BADARG},
    {"A", RAFS_E_BADARG},
    {"aB", RAFS_E_BADARG},
    {"r.io/A", RAFS_E_BADARG},
    {"r.io/", RAFS_E_BADARG},
    {"r.io", RAFS_OK}, /* a name on Docker Hub */
    {"a:", RAFS_E_BADARG},
    {":a", RAFS_E_BADARG},
    {":5000/a", RAFS_E_BADARG},
    {"a:.b", RAFS_E_BADARG},
    {"a:-b", RAFS_E_BADARG},
    {"a:b:c", RAFS_E_BADARG},
    {"a:b/c:d/e", RAFS_E_BADARG},
    {"a:b c", RAFS_E_BADARG},
    {"a b", RAFS_E_BADARG},
    {"a\nb", RAFS_E_BADARG},
    {"a..b", RAFS_E_BADARG},
    {"a___b", RAFS_E_BADARG},
    {"a._b", RAFS_E_BADARG},
    {"a-", RAFS_E_BADARG},
    {"a_", RAFS_E_BADARG},
    {".a", RAFS_E_BADARG},
    {"-a", RAFS_E_BADARG},
    {"..", RAFS_E_BADARG},
    {"../a", RAFS_E_BADARG},
    {"r.io/../a", RAFS_E_BADARG},
    {"r.io/a/./b", RAFS_E_BADARG},
    {"r.io/a?b", RAFS_E_BADARG},
    {"r.io/a#b", RAFS_E_BADARG},
    {"r.io/a%2fb", RAFS_E_BADARG},
    {"\xc3\xa9", RAFS_E_BADARG},
    {"r..io/a", RAFS_E_BADARG},
    {"r.io./a", RAFS_E_BADARG},
    {"r.io.:80/a", RAFS_E_BADARG},
    {"-r.io/a", RAFS_E_BADARG},
    {"r-.io/a", RAFS_E_BADARG},
    {"r_x.io/a", RAFS_E_BADARG},
    {"r.io:/a", RAFS_E_BADARG},
    {"r.io:0/a", RAFS_E_BADARG},
    {"r.io:x/a", RAFS_E_BADARG},
    {"r.io:65536/a", RAFS_E_BADARG},
    {"r.io:99999999999999999999/a", RAFS_E_BADARG},
    {"r.io:1:2/a", RAFS_E_BADARG},
    {"[::1/a", RAFS_E_BADARG},
    {"[]:1/a", RAFS_E_BADARG},
    {"[::1]x/a", RAFS_E_BADARG},
    {"[:g]/a", RAFS_E_BADARG},
    {"user:secret@r.io/a", RAFS_E_BADARG},
    {"https://r.io/a", RAFS_E_BADARG},
    {"docker://r.io/a", RAFS_E_BADARG},
    {HEX64, RAFS_E_BADARG},
    {"a@", RAFS_E_BADARG},
    {"a@sha256:", RAFS_E_BADARG},
    {"a@sha256", RAFS_E_BADARG},
    {"a@sha256:" HEX64 "0", RAFS_E_BADARG},
    {"a@sha256:" HEX64 "@", RAFS_E_BADARG},
    {"a@sha256:" HEX64 ":t", RAFS_E_BADARG},
    {"a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
     RAFS_E_BADARG},
    {"a@sha256:0123456789abcde", RAFS_E_BADARG},
    {"a@SHA256:" HEX64, RAFS_E_UNSUPPORTED},
    {"a@sha512:" HEX64 HEX64, RAFS_E_UNSUPPORTED},
    {"x/" FIFTY FIFTY FIFTY FIFTY FIFTY "0123", RAFS_E_BADARG},
    {FIFTY FIFTY FIFTY FIFTY FIFTY, RAFS_E_BADARG}, /* too long with library/ */
    {FIFTY FIFTY FIFTY FIFTY FIFTY "0.io/a", RAFS_OK},
    {FIFTY FIFTY FIFTY FIFTY FIFTY "012.io/a", RAFS_E_BADARG},
    {"a:" FIFTY FIFTY TEN TEN "012345678", RAFS_E_BADARG},
    {FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY
         FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY,
     RAFS_E_BADARG},
};

START_TEST(reference_is_read_as_docker_reads_it)
{
    char *text = exact(good[_i].text, strlen(good[_i].text) + 1);
    rafs_error err = RAFS_ERROR_INIT;
    char digest[OCI_DIGEST_TEXT];
    struct oci_reference out;

    ck_assert_msg(rafsi_oci_reference_parse(text, &out, &err) == RAFS_OK, "%s: %s", text,
                  err.text);
    ck_assert_str_eq(out.host, good[_i].host);
    ck_assert_str_eq(out.repo, good[_i].repo);
    ck_assert_str_eq(out.tag, good[_i].tag);
    ck_assert_int_eq(out.has_digest, good[_i].has_digest);
    if (out.has_digest) {
        rafsi_oci_digest_text(out.digest, digest);
        ck_assert_str_eq(digest, "sha256:" HEX64);
    }
    free(text);
}
END_TEST

START_TEST(malformed_reference_is_refused_and_not_repeated)
{
    char *text = exact(bad[_i].text, strlen(bad[_i].text) + 1);
    rafs_error err = RAFS_ERROR_INIT;
    struct oci_reference out, before;
    int rc;

    memset(&before, 7, sizeof(before));
    out = before;
    rc = rafsi_oci_reference_parse(text, &out, &err);
    ck_assert_msg(rc == bad[_i].code, "'%s': %d", text, rc);
    ck_assert_int_eq(err.code, rc);
    ck_assert_ptr_null(strstr(err.text, "secret"));
    if (rc < 0) {
        ck_assert_str_eq(err.object, "image reference");
        ck_assert_mem_eq(&out, &before, sizeof(out));
    }
    free(text);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, reference_is_read_as_docker_reads_it, 0, COUNT(good));
    tcase_add_loop_test(tcase, malformed_reference_is_refused_and_not_repeated, 0,
                        COUNT(bad));
}

int main(void)
{
    return run_suite("reference", add);
}
