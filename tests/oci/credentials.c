/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rafs/credentials.h"

#define SECRET_1 "dTE6c2VjcmV0MQ==" /* u1:secret1 */
#define SECRET_2 "dTI6c2VjcmV0Mg==" /* u2:secret2 */
#define SECRET_3 "dTM6c2VjcmV0Mw==" /* u3:secret3 */
#define AUTH(key, auth) "\"" key "\":{\"auth\":\"" auth "\"}"
#define AUTHS(list) "{\"auths\":{" list "}}"

static char folder[] = "rafs-credentials-XXXXXX";
static char auth_path[300], docker_path[300], helper_path[256];
static rafs_credential out;
static rafs_error err;

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static void setup(void)
{
    char cwd[160];

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_ptr_nonnull(getcwd(cwd, sizeof(cwd)));
    snprintf(helper_path, sizeof(helper_path), "%s/%s", cwd, folder);
    snprintf(auth_path, sizeof(auth_path), "%s/auth.json", helper_path);
    snprintf(docker_path, sizeof(docker_path), "%s/config.json", helper_path);
    rafs_credential_init(&out);
    rafs_error_init(&err);
}

static void remove_helper(const char *name)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/%s", helper_path, name);
    unlink(path);
}

static void teardown(void)
{
    remove_helper("auth.json");
    remove_helper("config.json");
    remove_helper("docker-credential-one");
    remove_helper("pid");
    ck_assert_int_eq(rmdir(helper_path), 0);
}

static void write_helper(const char *script)
{
    char path[400], text[1000];

    snprintf(path, sizeof(path), "%s/docker-credential-one", helper_path);
    snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
    write_file(path, text, 0700);
}

static int ask(const char *host, const char *repo, uint32_t attempt,
               const rafs_call *call)
{
    rafs_credential_files files = RAFS_CREDENTIAL_FILES_INIT;
    int rc;

    files.flags = RAFS_CREDENTIALS_HELPERS;
    files.auth_file = auth_path;
    files.docker_config = docker_path;
    files.helper_path = helper_path;
    rc = rafs_credentials_from_files(&files, host, repo, attempt, &out, call, &err);
    ck_assert_ptr_null(strstr(err.text, "secret"));
    ck_assert_ptr_null(strstr(err.text, SECRET_1));
    ck_assert_ptr_null(strstr(err.object, "secret"));
    return rc;
}

static const struct {
    const char *json, *host, *repo, *secret; /* secret NULL: none is known */
} finds[] = {
    {AUTHS(AUTH("r.io", SECRET_1)), "r.io", "a/b", "secret1"},
    {AUTHS(AUTH("R.io", SECRET_1)), "r.IO", "a/b", "secret1"},
    {AUTHS(AUTH("https://r.io", SECRET_1)), "r.io", "a/b", "secret1"},
    {AUTHS(AUTH("https://r.io/v2/", SECRET_1)), "r.io", "a/b", "secret1"},
    {AUTHS(AUTH("r.io/v1/", SECRET_1)), "r.io", "a/b", "secret1"},
    {AUTHS(AUTH("r.io", SECRET_1)), "r.io:80", "a/b", NULL},
    {AUTHS(AUTH("r.io:80", SECRET_1)), "r.io", "a/b", NULL},
    {AUTHS(AUTH("r.io:80", SECRET_1)), "r.io:80", "a/b", "secret1"},
    {AUTHS(AUTH("xr.io", SECRET_1)), "r.io", "a/b", NULL},
    {AUTHS(AUTH("r.iox", SECRET_1)), "r.io", "a/b", NULL},
    {AUTHS(AUTH("r.io/a/b/c", SECRET_1)), "r.io", "a/b", NULL},
    {AUTHS(AUTH("r.io/a/bc", SECRET_1)), "r.io", "a/b", NULL},
    {AUTHS(AUTH("r.io/a", SECRET_1)), "r.io", "ab", NULL},
    {AUTHS(AUTH("r.io/a", SECRET_1)), "r.io", "a/b", "secret1"},
    {AUTHS(AUTH("r.io/a/b", SECRET_1)), "r.io", "a/b", "secret1"},
    {AUTHS(AUTH("r.io", SECRET_1) "," AUTH("r.io/a/b", SECRET_2) "," AUTH("r.io/a",
                                                                          SECRET_3)),
     "r.io", "a/b", "secret2"},
    {AUTHS(AUTH("https://index.docker.io/v1/", SECRET_1)), "registry-1.docker.io",
     "library/x", "secret1"},
    {AUTHS(AUTH("docker.io", SECRET_1)), "registry-1.docker.io", "library/x", "secret1"},
    {AUTHS(AUTH("docker.io/library", SECRET_1)), "registry-1.docker.io", "library/x",
     "secret1"},
    {AUTHS("\"r.io\":{}"), "r.io", "a/b", NULL},
    {AUTHS("\"r.io\":{\"auth\":\"\"}"), "r.io", "a/b", NULL},
    {AUTHS("\"r.io\":{\"username\":\"u\",\"password\":\"p:q\"}"), "r.io", "a", "p:q"},
    {AUTHS(AUTH("r.io", "dTpwOnE=")), "r.io", "a", "p:q"},
    {AUTHS(AUTH("r.io", "dTpwAAA=")), "r.io", "a", "p"},
    {AUTHS(AUTH("r.io", "dTo=")), "r.io", "a", ""},
    /* An entry that is not ours may be anything. */
    {AUTHS("\"x\":5," AUTH("r.io", SECRET_1)), "r.io", "a", "secret1"},
    {"{}", "r.io", "a", NULL},
    {"", "r.io", "a", NULL},
};

START_TEST(entry_that_speaks_most_closely_of_the_repository_is_found)
{
    write_file(auth_path, finds[_i].json, 0600);
    ck_assert_msg(ask(finds[_i].host, finds[_i].repo, 0, NULL) == RAFS_OK, "%s: %s",
                  finds[_i].json, err.text);
    ck_assert_msg((out.kind == RAFS_CREDENTIAL_NONE) == !finds[_i].secret, "%s",
                  finds[_i].json);
    ck_assert_str_eq(out.secret, finds[_i].secret ? finds[_i].secret : "");
    ck_assert_int_eq(err.code, 0);
}
END_TEST

START_TEST(tokens_are_told_from_passwords)
{
    static const struct {
        const char *entry;
        uint32_t kind;
    } kinds[] = {
        {"\"auth\":\"" SECRET_1 "\"", RAFS_CREDENTIAL_BASIC},
        {"\"auth\":\"" SECRET_1 "\",\"identitytoken\":\"t\"",
         RAFS_CREDENTIAL_IDENTITY_TOKEN},
        {"\"auth\":\"PHRva2VuPjp0\"", RAFS_CREDENTIAL_IDENTITY_TOKEN}, /* <token>:t */
        {"\"registrytoken\":\"t\"", RAFS_CREDENTIAL_BEARER},
    };
    char json[300];

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        snprintf(json, sizeof(json), "{\"auths\":{\"r.io\":{%s}}}", kinds[i].entry);
        write_file(docker_path, json, 0600);
        ck_assert_int_eq(ask("r.io", "a", 0, NULL), RAFS_OK);
        ck_assert_uint_eq(out.kind, kinds[i].kind);
        ck_assert_str_eq(out.username, i == 0 ? "u1" : "");
        ck_assert_str_eq(out.secret, i == 0 ? "secret1" : "t");
    }
}
END_TEST

START_TEST(refused_credential_is_followed_by_the_next)
{
    static const char *const secrets[] = {"secret2", "secret1", "secret4", "secret3", ""};

    write_helper("printf '{\"Username\":\"h\",\"Secret\":\"secret4\"}'");
    write_file(auth_path, AUTHS(AUTH("r.io", SECRET_1) "," AUTH("r.io/a", SECRET_2)),
               0600);
    write_file(docker_path,
               "{\"credsStore\":\"one\",\"auths\":{" AUTH("r.io", SECRET_3) "}}", 0600);
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert_int_eq(ask("r.io", "a/b", i, NULL), RAFS_OK);
        ck_assert_str_eq(out.secret, secrets[i]);
    }
    ck_assert_uint_eq(out.kind, RAFS_CREDENTIAL_NONE);
}
END_TEST

static const struct {
    const char *json;
    int code;
} bad[] = {
    {"{", RAFS_E_BADARG},
    {"{\"auths\":{\"r.io\":{\"auth\":\"" SECRET_1 "\" secret", RAFS_E_BADARG},
    {"[]", RAFS_E_BADARG},
    {"{\"auths\":[]}", RAFS_E_BADARG},
    {"{\"credsStore\":{}}", RAFS_E_BADARG},
    {"{\"credHelpers\":{\"r.io\":1}}", RAFS_E_BADARG},
    {"{\"credHelpers\":{\"r.io\":\"../one\"}}", RAFS_E_BADARG},
    {"{\"credHelpers\":{\"r.io\":\"one;x\"}}", RAFS_E_BADARG},
    {"{\"credHelpers\":{\"r.io\":\"missing\"}}", RAFS_E_BACKEND},
    {AUTHS("\"r.io\":\"secret\""), RAFS_E_BADARG},
    {AUTHS(AUTH("r.io", "secret!!")), RAFS_E_BADARG},
    {AUTHS(AUTH("r.io", "dTpwMQ")), RAFS_E_BADARG},
    {AUTHS(AUTH("r.io", "====")), RAFS_E_BADARG},
    {AUTHS(AUTH("r.io", "c2VjcmV0")), RAFS_E_BADARG}, /* no colon */
    {AUTHS(AUTH("r.io", "dTpwAHA=")), RAFS_E_BADARG}, /* NUL inside */
    {AUTHS("\"r.io\":{\"identitytoken\":5}"), RAFS_E_BADARG},
};

START_TEST(malformed_file_is_refused_and_not_repeated)
{
    static rafs_credential before;

    write_file(docker_path, bad[_i].json, 0600);
    before = out;
    ck_assert_msg(ask("r.io", "a", 0, NULL) == bad[_i].code, "%s: %s", bad[_i].json,
                  err.text);
    ck_assert_int_eq(err.code, bad[_i].code);
    ck_assert_str_ne(err.object, "");
    ck_assert_mem_eq(&before, &out, sizeof(out));
}
END_TEST

START_TEST(arguments_that_mislead_are_refused)
{
    ck_assert_int_eq(ask("", "a", 0, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(ask("r.io/x", "a", 0, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(ask("r.io\nx", "a", 0, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(ask("r.io", NULL, 0, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(mkdir(auth_path, 0700), 0);
    ck_assert_int_eq(ask("r.io", "a", 0, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rmdir(auth_path), 0);
}
END_TEST

#define ONE "{\"credHelpers\":{\"r.io\":\"one\",\"docker.io\":\"one\"}}"

static const struct {
    const char *script, *host;
    int code;
    uint32_t kind;
    const char *username, *secret;
} helpers[] = {
    /* It is told the host, and gives back what it was told. */
    {"read host; printf '{\"Username\":\"%s\",\"Secret\":\"secret\"}' \"$1-$host\"",
     "r.io", RAFS_OK, RAFS_CREDENTIAL_BASIC, "get-r.io", "secret"},
    {"host=$(/bin/cat); printf '{\"Username\":\"%s\",\"Secret\":\"s\"}' \"$1-$host\"",
     "r.io", RAFS_OK, RAFS_CREDENTIAL_BASIC, "get-r.io", "s"},
    {"host=$(/bin/cat); printf '{\"Username\":\"%s\",\"Secret\":\"s\"}' \"$host\"",
     "registry-1.docker.io", RAFS_OK, RAFS_CREDENTIAL_BASIC,
     "https://index.docker.io/v1/", "s"},
    {"printf '{\"Username\":\"<token>\",\"Secret\":\"t\"}'", "r.io", RAFS_OK,
     RAFS_CREDENTIAL_IDENTITY_TOKEN, "", "t"},
    {"printf '{\"Username\":\"%s\",\"Secret\":\"s\"}' \"$HOME$RAFS_TEST_LEAK\"", "r.io",
     RAFS_OK, RAFS_CREDENTIAL_BASIC, "", "s"},
    {"echo secret >&2; printf '{\"Username\":\"u\",\"Secret\":\"s\"}'", "r.io", RAFS_OK,
     RAFS_CREDENTIAL_BASIC, "u", "s"},
    {"printf '{\"Username\":\"\",\"Secret\":\"\"}'", "r.io", RAFS_OK,
     RAFS_CREDENTIAL_NONE, "", ""},
    {"echo credentials not found in native keychain; exit 1", "r.io", RAFS_OK,
     RAFS_CREDENTIAL_NONE, "", ""},
    {"exit 1", "x.io", RAFS_OK, RAFS_CREDENTIAL_NONE, "", ""}, /* not asked */
    {"echo secret; exit 1", "r.io", RAFS_E_BACKEND, 0, "", ""},
    {"kill -9 $$", "r.io", RAFS_E_BACKEND, 0, "", ""},
    {"echo secret", "r.io", RAFS_E_BACKEND, 0, "", ""},
    {"printf '{\"Username\":1,\"Secret\":\"secret\"}'", "r.io", RAFS_E_BACKEND, 0, "",
     ""},
    {"exec /bin/cat /dev/zero", "r.io", RAFS_E_LIMIT, 0, "", ""},
};

START_TEST(helper_is_asked_and_its_answer_judged)
{
    ck_assert_int_eq(setenv("RAFS_TEST_LEAK", "leak", 1), 0);
    write_helper(helpers[_i].script);
    write_file(docker_path, ONE, 0600);
    ck_assert_msg(ask(helpers[_i].host, "a", 0, NULL) == helpers[_i].code, "%s: %s",
                  helpers[_i].script, err.text);
    ck_assert_uint_eq(out.kind, helpers[_i].kind);
    ck_assert_str_eq(out.username, helpers[_i].username);
    ck_assert_str_eq(out.secret, helpers[_i].secret);
    if (helpers[_i].code < 0)
        ck_assert_str_eq(err.object, "docker-credential-one");
}
END_TEST

START_TEST(helper_runs_only_if_allowed)
{
    rafs_credential_files files = RAFS_CREDENTIAL_FILES_INIT;

    write_helper("printf '{\"Username\":\"u\",\"Secret\":\"s\"}'");
    write_file(docker_path, ONE, 0600);
    files.docker_config = docker_path;
    files.helper_path = helper_path;
    ck_assert_int_eq(
        rafs_credentials_from_files(&files, "r.io", "a", 0, &out, NULL, &err), RAFS_OK);
    ck_assert_uint_eq(out.kind, RAFS_CREDENTIAL_NONE);
    files.flags = 2;
    ck_assert_int_eq(
        rafs_credentials_from_files(&files, "r.io", "a", 0, &out, NULL, &err),
        RAFS_E_UNSUPPORTED);
}
END_TEST

START_TEST(helper_gets_the_environment_that_it_is_given)
{
    static const char *const environment[] = {"HOME=/h", "X=y", NULL};
    rafs_credential_files files = RAFS_CREDENTIAL_FILES_INIT;

    write_helper("printf '{\"Username\":\"%s\",\"Secret\":\"s\"}' \"$HOME$X\"");
    write_file(docker_path, ONE, 0600);
    files.flags = RAFS_CREDENTIALS_HELPERS;
    files.docker_config = docker_path;
    files.helper_path = helper_path;
    files.helper_environment = environment;
    ck_assert_int_eq(
        rafs_credentials_from_files(&files, "r.io", "a", 0, &out, NULL, &err), RAFS_OK);
    ck_assert_str_eq(out.username, "/hy");
}
END_TEST

/* What keeps the answer, and what keeps the process after a whole answer. */
static const char *const stuck[] = {
    "echo $$ > $PATH/pid; exec /bin/sleep 1000",
    "echo $$ > $PATH/pid; /bin/sleep 1000",
    "echo $$ > $PATH/pid; printf '{}'; exec /bin/sleep 1000 >&-",
    "trap '' TERM INT HUP; echo $$ > $PATH/pid; while :; do :; done",
};

START_TEST(stuck_helper_is_killed_at_the_deadline)
{
    char path[300];
    FILE *file;
    int pid = 0;
    rafs_call call;

    write_helper(stuck[_i]);
    write_file(docker_path, ONE, 0600);
    /* Enough for a shell to start on a busy machine, so that the pid is there. */
    rafs_call_init(&call, NULL, 3000, NULL);
    ck_assert_int_eq(ask("r.io", "a", 0, &call), RAFS_E_TIMEOUT);
    snprintf(path, sizeof(path), "%s/pid", helper_path);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%d", &pid), 1);
    fclose(file);
    ck_assert_int_gt(pid, 1);
    ck_assert_int_eq(kill(pid, 0), -1);
    ck_assert_int_eq(errno, ESRCH);
}
END_TEST

START_TEST(cancelled_call_ends_a_helper)
{
    rafs_call call = RAFS_CALL_INIT;
    rafs_cancel *cancel = NULL;

    ck_assert_int_eq(rafs_cancel_new(&cancel, NULL), RAFS_OK);
    rafs_cancel_fire(cancel);
    call.cancel = cancel;
    write_helper("exec /bin/sleep 1000");
    write_file(docker_path, ONE, 0600);
    ck_assert_int_eq(ask("r.io", "a", 0, &call), RAFS_E_CANCELLED);
    rafs_cancel_free(cancel);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, entry_that_speaks_most_closely_of_the_repository_is_found,
                        0, COUNT(finds));
    tcase_add_test(tcase, tokens_are_told_from_passwords);
    tcase_add_test(tcase, refused_credential_is_followed_by_the_next);
    tcase_add_loop_test(tcase, malformed_file_is_refused_and_not_repeated, 0, COUNT(bad));
    tcase_add_test(tcase, arguments_that_mislead_are_refused);
    tcase_add_loop_test(tcase, helper_is_asked_and_its_answer_judged, 0, COUNT(helpers));
    tcase_add_test(tcase, helper_runs_only_if_allowed);
    tcase_add_test(tcase, helper_gets_the_environment_that_it_is_given);
    tcase_add_loop_test(tcase, stuck_helper_is_killed_at_the_deadline, 0, COUNT(stuck));
    tcase_add_test(tcase, cancelled_call_ends_a_helper);
}

int main(void)
{
    return run_suite("credentials", add);
}
