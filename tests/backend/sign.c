/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures, compared with those that the services publish in their documentation. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sign.h"
#include "golden.h"
#include "rafs/rafs.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define HOST                                     \
    {                                            \
        "host", "examplebucket.s3.amazonaws.com" \
    }
#define DATE                             \
    {                                    \
        "x-amz-date", "20130524T000000Z" \
    }

static struct rafsi_env env;
static struct rafsi_hashes *hashes;

static void start(void)
{
    NEED(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    NEED(rafsi_hashes_new(&env, &hashes, NULL) == RAFS_OK);
}

static void stop(void)
{
    rafsi_hashes_free(hashes);
}

/*
 * The first four: Amazon S3 API reference, "Authenticating Requests: Using the
 * Authorization Header (AWS Signature Version 4)", with the key and date that it uses.
 * The last: get-vanilla of AWS' test suite for Signature Version 4.
 */
static const struct {
    const char *why;
    const char *id, *secret, *service;
    int64_t time_s;
    const char *method, *path, *query, *payload;
    size_t header_count;
    struct sign_header headers[6];
    const char *signed_headers, *signature;
} vectors[] = {
    {"GET Object with a range",
     "AKIAIOSFODNN7EXAMPLE",
     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
     "s3",
     1369353600,
     "GET",
     "/test.txt",
     "",
     EMPTY,
     4,
     {HOST, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, DATE},
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT Object",
     "AKIAIOSFODNN7EXAMPLE",
     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
     "s3",
     1369353600,
     "PUT",
     "/test%24file.text",
     "",
     WELCOME,
     5,
     {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
      HOST,
      {"x-amz-content-sha256", WELCOME},
      DATE,
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET Bucket Lifecycle",
     "AKIAIOSFODNN7EXAMPLE",
     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
     "s3",
     1369353600,
     "GET",
     "/",
     "lifecycle=",
     EMPTY,
     3,
     {HOST, {"x-amz-content-sha256", EMPTY}, DATE},
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"List Objects",
     "AKIAIOSFODNN7EXAMPLE",
     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
     "s3",
     1369353600,
     "GET",
     "/",
     "max-keys=2&prefix=J",
     EMPTY,
     3,
     {HOST, {"x-amz-content-sha256", EMPTY}, DATE},
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"get-vanilla",
     "AKIDEXAMPLE",
     "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
     "service",
     1440938160,
     "GET",
     "/",
     "",
     EMPTY,
     2,
     {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}},
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
};

START_TEST(signature_version_4_is_as_amazon_computes_it)
{
    struct sigv4_request request = {vectors[_i].method,       vectors[_i].path,
                                    vectors[_i].query,        vectors[_i].headers,
                                    vectors[_i].header_count, vectors[_i].payload};
    struct sign_key key = {vectors[_i].id, vectors[_i].secret};
    struct sigv4_scope scope = {"us-east-1", vectors[_i].service, vectors[_i].time_s};
    rafs_error err = RAFS_ERROR_INIT;
    char wanted[512], out[512], date[SIGV4_DATE_BYTES];

    rafsi_sigv4_date(vectors[_i].time_s, date);
    snprintf(wanted, sizeof(wanted),
             "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request,"
             "SignedHeaders=%s,Signature=%s",
             key.id, date, scope.service, vectors[_i].signed_headers,
             vectors[_i].signature);
    ck_assert_int_eq(rafsi_sigv4(hashes, &request, &key, &scope, out, sizeof(out), &err),
                     RAFS_OK);
    ck_assert_msg(strcmp(out, wanted) == 0, "%s:\n%s\n%s", vectors[_i].why, out, wanted);
    for (size_t room = 0; room < strlen(wanted); room += 7)
        ck_assert_int_eq(rafsi_sigv4(hashes, &request, &key, &scope, out, room, &err),
                         RAFS_E_BADARG);
}
END_TEST

/* Example of the OSS documentation on signatures in the header. */
START_TEST(the_signature_of_oss_is_as_its_documentation_has_it)
{
    static const struct sign_header headers[] = {{"x-oss-magic", "abracadabra"},
                                                 {"x-oss-meta-author", "foo@bar.com"}};
    struct sign_key key = {"44CF9590006BF252F707",
                           "OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV"};
    char date[HTTP_DATE_BYTES], out[256];
    struct oss_request request = {"PUT",
                                  "ODBGOERFMDMzQTczRUY3NUE3NzA5QzdFNUYzMDQxNEM=",
                                  "text/html",
                                  date,
                                  headers,
                                  2,
                                  "/oss-example/nelson"};
    rafs_error err = RAFS_ERROR_INIT;

    rafsi_http_date(1132253398, date);
    ck_assert_str_eq(date, "Thu, 17 Nov 2005 18:49:58 GMT");
    ck_assert_int_eq(rafsi_oss_sign(hashes, &env, &request, &key, out, sizeof(out), &err),
                     RAFS_OK);
    ck_assert_str_eq(out, "OSS 44CF9590006BF252F707:26NBxoKdsyly4EDv6inkoDft/yA=");
    ck_assert_int_eq(rafsi_oss_sign(hashes, &env, &request, &key, out, 20, &err),
                     RAFS_E_BADARG);
}
END_TEST

/* RFC 4231, test cases 1 and 2; RFC 2202, test case 2; and a key of no bytes. */
START_TEST(hmac_is_as_the_rfcs_compute_it)
{
    static const uint8_t key[20] = {11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
                                    11, 11, 11, 11, 11, 11, 11, 11, 11, 11};
    static const uint8_t sha1[] = {0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f,
                                   0xa2, 0xd2, 0x74, 0x16, 0xd5, 0xf1, 0x84,
                                   0xdf, 0x9c, 0x25, 0x9a, 0x7c, 0x79};
    uint8_t out[RAFSI_DIGEST_BYTES];
    char hex[65];

    ck_assert_int_eq(rafsi_hmac_sha256(hashes, key, 20, "Hi There", 8, out, NULL), 0);
    rafsi_digest_hex(out, hex);
    ck_assert_str_eq(hex,
                     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    ck_assert_int_eq(rafsi_hmac_sha256(hashes, "Jefe", 4, "what do ya want for nothing?",
                                       28, out, NULL),
                     0);
    rafsi_digest_hex(out, hex);
    ck_assert_str_eq(hex,
                     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    ck_assert_int_eq(
        rafsi_hmac_sha1(hashes, "Jefe", 4, "what do ya want for nothing?", 28, out, NULL),
        0);
    ck_assert_mem_eq(out, sha1, sizeof(sha1));
    ck_assert_int_eq(rafsi_hmac_sha256(hashes, "", 0, "", 0, out, NULL), 0);
    rafsi_digest_hex(out, hex);
    ck_assert_str_eq(hex,
                     "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sign");
    TCase *tcase = tcase_create("vectors");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_loop_test(tcase, signature_version_4_is_as_amazon_computes_it, 0,
                        (int)COUNT(vectors));
    tcase_add_test(tcase, the_signature_of_oss_is_as_its_documentation_has_it);
    tcase_add_test(tcase, hmac_is_as_the_rfcs_compute_it);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
