/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"

#define REALM "https://auth.example/token"

static const struct {
    const char *text;
    bool bearer;
    const char *realm, *service, *scope, *error;
} good[] = {
    {"Basic realm=\"x\"", false, "x", "", "", ""},
    {"BASIC", false, "", "", "", ""},
    {"bEaReR realm=\"" REALM "\",service=\"r.example\",scope=\"repository:a/b:pull\"",
     true, REALM, "r.example", "repository:a/b:pull", ""},
    {"Bearer realm=" REALM ", service=r.example", true, REALM, "r.example", "", ""},
    {"Bearer  REALM = \"" REALM "\" , Scope=\"a b\"", true, REALM, "", "a b", ""},
    {"Bearer realm=\"" REALM "\",error=\"insufficient_scope\"", true, REALM, "", "",
     "insufficient_scope"},
    {"Bearer realm=\"" REALM "\",x=\"a,b=\\\"c\\\"\",service=\"s\\\"t\"", true, REALM,
     "s\"t", "", ""},
    {"Basic realm=\"x\", Bearer realm=\"" REALM "\"", true, REALM, "", "", ""},
    {"Bearer realm=\"" REALM "\", Basic realm=\"x\"", true, REALM, "", "", ""},
    {"Basic realm=\"x\"\nBearer realm=\"" REALM "\"", true, REALM, "", "", ""},
    {"Negotiate\nBasic realm=\"x\"", false, "x", "", "", ""},
    {"Negotiate, Basic realm=\"x\"", false, "x", "", "", ""},
    {"Negotiate YWJjZA==, Basic realm=\"x\"", false, "x", "", "", ""},
    {"Digest realm=\"d\", nonce=\"n\", Basic realm=\"x\"", false, "x", "", "", ""},
    {",, , Basic realm=\"x\",", false, "x", "", "", ""},
    /* One that cannot be used does not hide another. */
    {"Bearer realm=\"not a url\"\nBasic realm=\"x\"", false, "x", "", "", ""},
    {"Bearer realm=\"" REALM "\nBasic realm=\"x\"", false, "x", "", "", ""},
    {"Bearer service=\"s\", Basic realm=\"x\"", false, "x", "", "", ""},
    {"\"\"\nBasic realm=\"x\"", false, "x", "", "", ""},
};

static const char *const bad[] = {
    "",
    ",",
    "\n\n",
    "=",
    "\"",
    "Negotiate",
    "Digest realm=\"x\"",
    "Bearer",
    "Bearer abc",
    "Bearer realm",
    "Bearer realm=",
    "Bearer realm=\"",
    "Bearer realm=\"" REALM,
    "Bearer realm=\"" REALM "\\",
    "Bearer realm=\"\"",
    "Bearer realm=\"/token\"",
    "Bearer realm=\"ftp://auth.example/\"",
    "Bearer realm=\"file:///etc/passwd\"",
    "Bearer realm=\"https://\"",
    "Bearer realm=\"https:///token\"",
    "Bearer realm=\"https://user:pass@auth.example/\"",
    "Bearer realm=\"https://good.example\\@evil.example/\"",
    "Bearer realm=\"" REALM "#x\"",
    "Bearer realm=\"https://auth.example/a b\"",
    "Bearer realm=\"https://auth.example/\r\"",
    "Bearer realm=\"https://auth.example/\x7f\"",
    "Bearer realm=\"" REALM "\",realm=\"https://evil.example/\"",
    "Bearer realm=\"" REALM "\",scope=\"a\",scope=\"b\"",
    "Bearer=realm=\"" REALM "\"",
    "BearerX realm=\"" REALM "\"",
};

START_TEST(challenge_is_read_in_every_spelling)
{
    char *text = exact(good[_i].text, strlen(good[_i].text) + 1);
    rafs_error err = RAFS_ERROR_INIT;
    struct oci_challenge out;
    int rc = rafsi_oci_challenge_parse(text, &out, &err);

    ck_assert_msg(rc == RAFS_OK, "%s: %s", text, err.text);
    ck_assert_msg(out.bearer == good[_i].bearer, "%s", text);
    ck_assert_str_eq(out.realm, good[_i].realm);
    ck_assert_str_eq(out.service, good[_i].service);
    ck_assert_str_eq(out.scope, good[_i].scope);
    ck_assert_str_eq(out.error, good[_i].error);
    free(text);
}
END_TEST

START_TEST(challenge_that_cannot_be_answered_is_unsupported)
{
    char *text = exact(bad[_i], strlen(bad[_i]) + 1);
    rafs_error err = RAFS_ERROR_INIT;
    struct oci_challenge out;
    int rc = rafsi_oci_challenge_parse(text, &out, &err);

    ck_assert_msg(rc == RAFS_E_UNSUPPORTED, "%s: %d", text, rc);
    ck_assert_int_eq(err.code, rc);
    free(text);
}
END_TEST

/* A longer value is not cut, for what is cut may be another host or scope. */
START_TEST(parameter_that_does_not_fit_spoils_its_challenge)
{
    struct oci_challenge out;
    char scope[OCI_PARAM_MAX + 1];
    char text[OCI_PARAM_MAX + 100];

    memset(scope, 's', sizeof(scope));
    scope[OCI_PARAM_MAX - 1] = '\0';
    snprintf(text, sizeof(text), "Bearer realm=\"" REALM "\",scope=\"%s\"", scope);
    ck_assert_int_eq(rafsi_oci_challenge_parse(text, &out, NULL), RAFS_OK);
    ck_assert_str_eq(out.scope, scope);
    scope[OCI_PARAM_MAX - 1] = 's';
    scope[OCI_PARAM_MAX] = '\0';
    snprintf(text, sizeof(text), "Bearer realm=\"" REALM "\",scope=\"%s\"", scope);
    ck_assert_int_eq(rafsi_oci_challenge_parse(text, &out, NULL), RAFS_E_UNSUPPORTED);
}
END_TEST

static const struct {
    const char *realm, *service, *scope, *url;
} urls[] = {
    {REALM, "r.example", "repository:a/b:pull",
     REALM "?service=r.example&scope=repository%3Aa%2Fb%3Apull&client_id=librafs"},
    {REALM "?x=1", "", "", REALM "?x=1&scope=given&client_id=librafs"},
    {REALM "?", "s", " a  b ", REALM "?service=s&scope=a&scope=b&client_id=librafs"},
    {REALM, "a&b=c %\xc3\xa9+", "x",
     REALM "?service=a%26b%3Dc%20%25%C3%A9%2B&scope=x&client_id=librafs"},
};

START_TEST(token_url_carries_every_parameter_encoded)
{
    struct oci_challenge challenge = {.bearer = true};
    size_t len = strlen(urls[_i].url);
    rafs_error err = RAFS_ERROR_INIT;
    char *out = malloc(len + 1);

    ck_assert_ptr_nonnull(out);
    memcpy(challenge.realm, urls[_i].realm, strlen(urls[_i].realm));
    memcpy(challenge.service, urls[_i].service, strlen(urls[_i].service));
    memcpy(challenge.scope, urls[_i].scope, strlen(urls[_i].scope));
    ck_assert_int_eq(rafsi_oci_token_url(&challenge, "given", out, len + 1, &err),
                     RAFS_OK);
    ck_assert_str_eq(out, urls[_i].url);
    for (size_t room = 1; room <= len; room++)
        ck_assert_int_eq(rafsi_oci_token_url(&challenge, "given", out, room, &err),
                         RAFS_E_LIMIT);
    free(out);
}
END_TEST

START_TEST(token_form_carries_the_identity_token)
{
    struct oci_challenge challenge = {.service = "s", .scope = "a b"};
    rafs_error err = RAFS_ERROR_INIT;
    char out[200];

    ck_assert_int_eq(
        rafsi_oci_token_form(&challenge, "given", "se+cret", out, sizeof(out), &err),
        RAFS_OK);
    ck_assert_str_eq(out, "grant_type=refresh_token&service=s&scope=a%20b&"
                          "client_id=librafs&refresh_token=se%2Bcret");
    ck_assert_int_eq(rafsi_oci_token_form(&challenge, "", "secret", out, 80, &err),
                     RAFS_E_LIMIT);
    ck_assert_ptr_null(strstr(err.text, "secret"));
}
END_TEST

static const struct {
    const char *json;
    int code;
    const char *token;
    uint64_t life_s;
} tokens[] = {
    {"{\"token\":\"t\"}", RAFS_OK, "t", 60},
    {"{\"access_token\":\"a\",\"expires_in\":300}", RAFS_OK, "a", 300},
    {"{\"token\":\"t\",\"access_token\":\"a\"}", RAFS_OK, "t", 60},
    {"{\"token\":\"\",\"access_token\":\"a\"}", RAFS_OK, "a", 60},
    {"{\"token\":null,\"access_token\":\"a\"}", RAFS_OK, "a", 60},
    {"{\"token\":\"t\",\"expires_in\":0}", RAFS_OK, "t", 1},
    {"{\"token\":\"t\",\"expires_in\":-5}", RAFS_OK, "t", 1},
    {"{\"token\":\"t\",\"expires_in\":2.9}", RAFS_OK, "t", 2},
    {"{\"token\":\"t\",\"expires_in\":1e300}", RAFS_OK, "t", 86400},
    {"{\"token\":\"t\",\"expires_in\":9223372036854775807}", RAFS_OK, "t", 86400},
    {"{\"token\":\"t\",\"expires_in\":\"x\"}", RAFS_OK, "t", 60},
    {"", RAFS_E_BACKEND, NULL, 0},
    {"[]", RAFS_E_BACKEND, NULL, 0},
    {"{}", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":5}", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":\"\"}", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":\"secret\\r\\nX: y\"}", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":\"sec ret\"}", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":\"secret\\u0000\"}", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":\"secr\xc3\xa9t\"}", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":\"secret\" secret", RAFS_E_BACKEND, NULL, 0},
    {"{\"token\":\"secret\",\"token\":\"other\"}", RAFS_E_BACKEND, NULL, 0},
};

START_TEST(token_is_taken_or_refused_without_being_told)
{
    size_t len = strlen(tokens[_i].json);
    char *json = exact(tokens[_i].json, len);
    rafs_error err = RAFS_ERROR_INIT;
    struct rafsi_env env;
    char *token = NULL;
    uint64_t life_s = 0;
    int rc;

    ck_assert_int_eq(rafsi_env_take(NULL, &env, NULL), RAFS_OK);
    rc = rafsi_oci_token_parse(&env, json, len, &token, &life_s, &err);
    ck_assert_msg(rc == tokens[_i].code, "%s: %d", tokens[_i].json, rc);
    ck_assert_ptr_null(strstr(err.text, "secr"));
    ck_assert_uint_eq(life_s, tokens[_i].life_s);
    if (rc == RAFS_OK)
        ck_assert_str_eq(token, tokens[_i].token);
    else
        ck_assert_ptr_null(token);
    rafsi_free(&env, token);
    free(json);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, challenge_is_read_in_every_spelling, 0, COUNT(good));
    tcase_add_loop_test(tcase, challenge_that_cannot_be_answered_is_unsupported, 0,
                        COUNT(bad));
    tcase_add_test(tcase, parameter_that_does_not_fit_spoils_its_challenge);
    tcase_add_loop_test(tcase, token_url_carries_every_parameter_encoded, 0, COUNT(urls));
    tcase_add_test(tcase, token_form_carries_the_identity_token);
    tcase_add_loop_test(tcase, token_is_taken_or_refused_without_being_told, 0,
                        COUNT(tokens));
}

int main(void)
{
    return run_suite("challenge", add);
}
