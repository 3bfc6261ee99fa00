/* SPDX-License-Identifier: Apache-2.0 */
/* What a challenge asks for: a user and password, or a token from the server it names. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "oci/registry_parts.h"

enum {
    TOKEN_BODY_MAX = OCI_TOKEN_MAX,
    FORM_MAX = HTTP_URL_MAX + 3 * RAFS_SECRET_MAX, /* each byte may become three */
    SECRET_TRIES = 2 /* the callback is asked again after a refusal */
};

void rafsi_wipe_free(const struct rafsi_env *env, char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    rafsi_free(env, secret);
}

void rafsi_pass_scopes(const struct oci_registry *registry, const char *also,
                       const char *asked, char out[OCI_SCOPES_MAX])
{
    size_t used = 0;

    if (!registry->writes && asked[0] != '\0') {
        snprintf(out, OCI_SCOPES_MAX, "%s", asked);
        return;
    }
    used += (size_t)snprintf(out, OCI_SCOPES_MAX, "repository:%s:%s", registry->repo,
                             registry->writes ? "pull,push" : "pull");
    if (also[0] != '\0')
        used += (size_t)snprintf(out + used, OCI_SCOPES_MAX - used, " repository:%s:pull",
                                 also);
    if (asked[0] != '\0' && !strstr(out, asked))
        snprintf(out + used, OCI_SCOPES_MAX - used, " %s", asked);
}

/* A header line out of a credential or token. */
static int bearer_line(const struct rafsi_env *env, const char *token, char **out,
                       rafs_error *err)
{
    static const char prefix[] = "Authorization: Bearer ";
    size_t room = sizeof(prefix) + strlen(token);
    char *line;

    /* It could end the line, and say more in the next. */
    for (const char *at = token; *at; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, "credentials",
                              "the bearer token has characters that none has");
    line = rafsi_alloc(env, room);
    if (!line)
        return rafsi_fail_nomem(err, room);
    snprintf(line, room, "%s%s", prefix, token);
    *out = line;
    return RAFS_OK;
}

static int get_credential(struct oci_registry *registry, uint32_t attempt,
                          rafs_credential *out, const rafs_call *call, rafs_error *err)
{
    memset(out, 0, sizeof(*out));
    out->struct_size = sizeof(*out);
    if (!registry->credentials.get)
        return RAFS_OK;
    return registry->credentials.get(registry->credentials.user, registry->host,
                                     registry->repo, attempt, out, call, err);
}

/* Ask the token server: by GET with a query, or by POST with an identity token. */
static int ask_token(struct oci_registry *registry, const struct oci_challenge *challenge,
                     const char *scope, const rafs_credential *credential,
                     const rafs_call *call, struct http_answer *answer, uint8_t *body,
                     rafs_error *err)
{
    char *text = rafsi_alloc_zero(&registry->env, FORM_MAX);
    char *basic = NULL;
    struct http_request request = {
        .buf = body, .len = TOKEN_BODY_MAX - 1, .guarded = true};
    bool post = credential->kind == RAFS_CREDENTIAL_IDENTITY_TOKEN;
    int rc;

    if (!text)
        return rafsi_fail_nomem(err, FORM_MAX);
    if (post) {
        rc = rafsi_oci_token_form(challenge, scope, credential->secret, text, FORM_MAX,
                                  err);
        request.method = "POST";
        request.url = challenge->realm;
        request.body = text;
        request.body_len = rc == RAFS_OK ? strlen(text) : 0;
        request.headers[request.header_count++] =
            "Content-Type: application/x-www-form-urlencoded";
    } else {
        rc = rafsi_oci_token_url(challenge, scope, text, HTTP_URL_MAX, err);
        request.url = text;
        if (rc == RAFS_OK && credential->kind == RAFS_CREDENTIAL_BASIC) {
            rc = rafsi_http_basic(&registry->env, credential->username,
                                  credential->secret, &basic, err);
            request.headers[request.header_count++] = basic;
        }
    }
    if (rc == RAFS_OK)
        rc = rafsi_http_do(registry->http, &request, call, answer, err);
    rafsi_wipe_free(&registry->env, basic);
    explicit_bzero(text, FORM_MAX);
    rafsi_free(&registry->env, text);
    return rc;
}

static int refused(const struct oci_registry *registry, bool had_some, rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EACCES, NULL,
                         had_some ? "%s refuses the credentials"
                                  : "%s wants credentials, and none are known",
                         registry->name);
}

bool rafsi_is_loopback(const char *host)
{
    size_t len = strcspn(host, host[0] == '[' ? "/?#" : ":/?#");
    struct in_addr v4;
    char text[64];
    uint8_t first;

    if (len >= sizeof(text))
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    if (strcasecmp(text, "localhost") == 0)
        return true;
    if (text[0] == '[') /* with its port, if any */
        return strncmp(text, "[::1]", 5) == 0 && (text[5] == '\0' || text[5] == ':');
    /* "127." alone would do for a name as well. */
    if (inet_pton(AF_INET, text, &v4) != 1)
        return false;
    memcpy(&first, &v4, 1);
    return first == 127;
}

/* Passwords do not travel in the open to whomever an answer names: without https only to
 * this machine, or where the user said that http will do. */
static bool may_ask(const struct oci_registry *registry, const char *realm)
{
    const char *host = strstr(realm, "://");

    if (strncasecmp(realm, "https:", 6) == 0 || registry->plain_asked)
        return true;
    return registry->plain && host && rafsi_is_loopback(host + 3);
}

/* A token for a Bearer challenge. *renew_ns: when it should be replaced. */
static int bearer(struct oci_registry *registry, const struct oci_challenge *challenge,
                  const rafs_credential *credential, const rafs_call *call,
                  struct pass *out, rafs_error *err)
{
    uint64_t now = rafsi_now_ns(&registry->env);
    char also[sizeof(registry->also)];
    struct oci_challenge question = *challenge;
    char scopes[OCI_SCOPES_MAX];
    uint8_t *body = NULL;
    struct http_answer answer;
    uint64_t life_s = 0;
    char *token = NULL;
    int rc;

    if (credential->kind == RAFS_CREDENTIAL_BEARER)
        return bearer_line(&registry->env, credential->secret, &out->authorization, err);
    if (!may_ask(registry, challenge->realm))
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "%s names a token server without https, which is refused",
                          registry->name);
    body = rafsi_alloc(&registry->env, TOKEN_BODY_MAX);
    if (!body)
        return rafsi_fail_nomem(err, TOKEN_BODY_MAX);
    pthread_mutex_lock(&registry->lock);
    memcpy(also, registry->also, sizeof(also));
    pthread_mutex_unlock(&registry->lock);
    rafsi_pass_scopes(registry, also, challenge->scope, scopes);
    question.scope[0] = '\0'; /* it is in ours */
    rc = ask_token(registry, &question, scopes, credential, call, &answer, body, err);
    if (rc < 0)
        goto out;
    if (answer.status == 401 || answer.status == 403)
        rc = refused(registry, credential->kind != RAFS_CREDENTIAL_NONE, err);
    else
        rc = rafsi_http_judge(&answer, challenge->realm, "token", err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_token_parse(&registry->env, (const char *)body, answer.len, &token,
                                   &life_s, err);
    rafsi_http_drop(registry->http, &answer);
    if (rc == RAFS_OK)
        rc = bearer_line(&registry->env, token, &out->authorization, err);
    /* A tenth of its life early, at most 20 s: reads of that moment are on their way. */
    if (rc == RAFS_OK)
        out->renew_ns =
            now + life_s * 1000000000 - rafsi_min(life_s * 100000000, 20000000000ull);
out:
    rafsi_wipe_free(&registry->env, token);
    explicit_bzero(body, TOKEN_BODY_MAX);
    rafsi_free(&registry->env, body);
    return rc;
}

int rafsi_pass_make(struct oci_registry *registry, const char *challenge_text,
                    uint32_t first, const rafs_call *call, struct pass *out,
                    rafs_error *err)
{
    struct oci_challenge challenge;
    rafs_credential *credential;
    int rc = rafsi_oci_challenge_parse(challenge_text, &challenge, err);

    if (rc < 0)
        return rc;
    credential = rafsi_alloc(&registry->env, sizeof(*credential));
    if (!credential)
        return rafsi_fail_nomem(err, sizeof(*credential));
    for (uint32_t attempt = first; attempt < SECRET_TRIES; attempt++) {
        rc = get_credential(registry, attempt, credential, call, err);
        if (rc < 0)
            break;
        if (attempt > 0 && credential->kind == RAFS_CREDENTIAL_NONE)
            rc = refused(registry, true, err);
        else if (challenge.bearer)
            rc = bearer(registry, &challenge, credential, call, out, err);
        else if (credential->kind == RAFS_CREDENTIAL_BASIC)
            rc = rafsi_http_basic(&registry->env, credential->username,
                                  credential->secret, &out->authorization, err);
        else
            rc = refused(registry, attempt > 0, err);
        if (rc == RAFS_OK || !err || err->os_errno != EACCES)
            break;
    }
    explicit_bzero(credential, sizeof(*credential));
    rafsi_free(&registry->env, credential);
    return rc;
}
