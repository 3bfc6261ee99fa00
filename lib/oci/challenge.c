/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server answers to whoever may not enter, and how a token is asked for.
 *
 *     WWW-Authenticate = #( scheme [ 1*SP ( token68 / #( name "=" ( token / quoted ))))
 *
 * The commas between challenges and those between parameters are the same, so what is
 * behind a name decides: "=" makes it a parameter, all else a new scheme. Source: RFC
 * 9110 §11; the token specification of the distribution project.
 */
#include "oci/json.h"

#include <strings.h>

#define CLIENT_ID "librafs"

enum scheme { OTHER, BASIC, BEARER };

struct reader {
    const char *at;
    bool broken; /* the challenge at hand cannot be used */
};

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_space(struct reader *in)
{
    in->at += strspn(in->at, " \t");
}

static size_t token_len(const char *at)
{
    size_t len = 0;

    while (is_token_char(at[len]))
        len++;
    return len;
}

/* Whoever makes URLs and header lines of a value relies on this. */
static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && c != 0x7f;
}

static void put(struct reader *in, char *out, size_t room, size_t *len, char c)
{
    if (!out)
        return;
    if (!is_plain(c) || *len + 1 >= room) {
        in->broken = true;
        return;
    }
    out[(*len)++] = c;
}

/* A value into out, which may be NULL: nobody wants it. */
static void take_value(struct reader *in, char *out, size_t room)
{
    bool twice = out && out[0] != '\0';
    size_t len = 0;

    /* Two values of one name: readers differ in which of them counts. */
    if (twice) {
        in->broken = true;
        out = NULL;
    }
    if (*in->at == '"') {
        for (in->at++; *in->at != '\0' && *in->at != '\n' && *in->at != '"'; in->at++) {
            if (in->at[0] == '\\' && in->at[1] != '\0' && in->at[1] != '\n')
                in->at++;
            put(in, out, room, &len, *in->at);
        }
        in->broken = in->broken || *in->at != '"';
        in->at += *in->at == '"';
    } else {
        /* URLs without quotes are no tokens, but they are seen. */
        for (; *in->at != '\0' && !strchr(", \t\n\"", *in->at); in->at++)
            put(in, out, room, &len, *in->at);
    }
    if (out)
        out[len] = '\0';
}

static void take_param(struct reader *in, const char *name, size_t name_len,
                       struct oci_challenge *out)
{
    const struct {
        const char *name;
        char *to;
        size_t room;
    } fields[] = {
        {"realm", out->realm, sizeof(out->realm)},
        {"service", out->service, sizeof(out->service)},
        {"scope", out->scope, sizeof(out->scope)},
        {"error", out->error, sizeof(out->error)},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strlen(fields[i].name) == name_len &&
            strncasecmp(name, fields[i].name, name_len) == 0) {
            take_value(in, fields[i].to, fields[i].room);
            return;
        }
    take_value(in, NULL, 0);
}

/* Is this one of the bare values that schemes such as Negotiate have? */
static size_t token68_len(const char *at)
{
    size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789-._~+/");

    if (len == 0)
        return 0;
    len += strspn(at + len, "=");
    return at[len] == '\0' || strchr(",\n", at[len]) ? len : 0;
}

/* What comes behind a scheme, up to the next scheme or the end of the line. */
static void take_params(struct reader *in, struct oci_challenge *out)
{
    bool first = true;

    for (;;) {
        const char *name;
        size_t len, bare;

        skip_space(in);
        bare = first ? token68_len(in->at) : 0;
        first = false;
        if (bare > 0)
            in->at += bare;
        in->at += strspn(in->at, ", \t");
        if (*in->at == '\0' || *in->at == '\n')
            return;
        name = in->at;
        len = token_len(name);
        in->at += len;
        skip_space(in);
        if (len == 0 || *in->at != '=') {
            /* A scheme, or what cannot be understood: then the line ends here. */
            in->at = len ? name : name + strcspn(name, "\n");
            in->broken = in->broken || len == 0;
            return;
        }
        in->at++;
        skip_space(in);
        take_param(in, name, len, out);
    }
}

static enum scheme scheme_of(const char *at, size_t len)
{
    if (len == 5 && strncasecmp(at, "Basic", 5) == 0)
        return BASIC;
    return len == 6 && strncasecmp(at, "Bearer", 6) == 0 ? BEARER : OTHER;
}

/* A URL that only adds a query to itself goes where it says. */
static bool is_realm_url(const char *realm)
{
    const char *host = strncasecmp(realm, "https://", 8) == 0  ? realm + 8
                       : strncasecmp(realm, "http://", 7) == 0 ? realm + 7
                                                               : NULL;
    size_t host_len = host ? strcspn(host, "/?#") : 0;

    if (host_len == 0 || memchr(host, '@', host_len) || memchr(host, '\\', host_len))
        return false;
    return !strpbrk(realm, " #\"<>");
}

int rafsi_oci_challenge_parse(const char *lines, struct oci_challenge *out,
                              rafs_error *err)
{
    struct reader in = {.at = lines};
    struct oci_challenge best = {.bearer = false};
    enum scheme found = OTHER;

    for (;;) {
        struct oci_challenge made = {.bearer = false};
        enum scheme scheme;
        size_t len;

        in.at += strspn(in.at, ", \t\n");
        if (*in.at == '\0')
            break;
        len = token_len(in.at);
        if (len == 0) {
            in.at += strcspn(in.at, "\n");
            continue;
        }
        scheme = scheme_of(in.at, len);
        in.at += len;
        in.broken = false;
        /* Without a space or comma behind it this was no scheme. */
        if (*in.at == '\0' || strchr(" \t,\n", *in.at))
            take_params(&in, &made);
        else
            in.at += strcspn(in.at, "\n");
        made.bearer = scheme == BEARER;
        if (in.broken || scheme <= found || (made.bearer && !is_realm_url(made.realm)))
            continue;
        found = scheme;
        best = made;
    }
    if (found == OTHER)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_FETCH, "registry",
                          "asks for a kind of authentication that is neither Basic nor "
                          "Bearer, or asks in a malformed way");
    *out = best;
    return RAFS_OK;
}

/* Text that grows in fixed room; once it did not fit, nothing more does. */
struct writer {
    char *out;
    size_t room, len;
    bool full;
};

static void add(struct writer *to, const char *text, size_t len)
{
    if (to->full || len >= to->room - to->len) {
        to->full = true;
        return;
    }
    memcpy(to->out + to->len, text, len);
    to->len += len;
    to->out[to->len] = '\0';
}

static void add_encoded(struct writer *to, const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};

        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
            (c != '\0' && strchr("-._~", c)))
            add(to, text + i, 1);
        else
            add(to, escaped, 3);
    }
}

static void add_pair(struct writer *to, const char *name, const char *value, size_t len)
{
    char last = to->len > 0 ? to->out[to->len - 1] : '&';

    if (last != '?' && last != '&')
        add(to, "&", 1);
    add(to, name, strlen(name));
    add(to, "=", 1);
    add_encoded(to, value, len);
}

static const char *scope_of(const struct oci_challenge *challenge, const char *scope)
{
    return challenge->scope[0] != '\0' ? challenge->scope : scope;
}

static int written(const struct writer *to, rafs_error *err)
{
    return to->full ? rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, "token",
                                 "the request for a token would be too long")
                    : RAFS_OK;
}

int rafsi_oci_token_url(const struct oci_challenge *challenge, const char *scope,
                        char *out, size_t room, rafs_error *err)
{
    struct writer to = {.out = out, .room = room};
    const char *at = scope_of(challenge, scope);

    add(&to, challenge->realm, strlen(challenge->realm));
    if (!strchr(challenge->realm, '?'))
        add(&to, "?", 1);
    if (challenge->service[0] != '\0')
        add_pair(&to, "service", challenge->service, strlen(challenge->service));
    /* In a query each scope is a parameter of its own. */
    while (*(at += strspn(at, " ")) != '\0') {
        add_pair(&to, "scope", at, strcspn(at, " "));
        at += strcspn(at, " ");
    }
    add_pair(&to, "client_id", CLIENT_ID, strlen(CLIENT_ID));
    return written(&to, err);
}

int rafsi_oci_token_form(const struct oci_challenge *challenge, const char *scope,
                         const char *identity_token, char *out, size_t room,
                         rafs_error *err)
{
    struct writer to = {.out = out, .room = room};

    scope = scope_of(challenge, scope);
    add_pair(&to, "grant_type", "refresh_token", strlen("refresh_token"));
    add_pair(&to, "service", challenge->service, strlen(challenge->service));
    add_pair(&to, "scope", scope, strlen(scope));
    add_pair(&to, "client_id", CLIENT_ID, strlen(CLIENT_ID));
    add_pair(&to, "refresh_token", identity_token, strlen(identity_token));
    return written(&to, err);
}

/* A token becomes part of a header line: no character may end that line. */
static bool is_token(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
            return false;
    return text[0] != '\0';
}

static uint64_t life_of(const json_t *root)
{
    const json_t *value = json_object_get(root, "expires_in");
    double seconds = json_is_number(value) ? json_number_value(value) : 60;

    if (!(seconds >= 1))
        return 1;
    return seconds < OCI_TOKEN_LIFE_MAX ? (uint64_t)seconds : OCI_TOKEN_LIFE_MAX;
}

int rafsi_oci_token_parse(const struct rafsi_env *env, const char *json, size_t len,
                          char **token, uint64_t *life_s, rafs_error *err)
{
    static const struct json_place place = {"token", RAFS_E_BACKEND, RAFS_STAGE_FETCH,
                                            OCI_TOKEN_MAX};
    const char *text = NULL;
    json_t *root = NULL;
    char *copy = NULL;
    int rc = rafsi_json_load(&place, json, len, &root, err);

    if (rc == RAFS_OK)
        rc = rafsi_json_text(&place, root, "token", &text, err);
    if (rc == RAFS_OK && (!text || text[0] == '\0'))
        rc = rafsi_json_text(&place, root, "access_token", &text, err);
    if (rc == RAFS_OK && (!text || !is_token(text)))
        rc = rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, "token",
                        text ? "the token server's token has characters that none has"
                             : "the token server answered without a token");
    if (rc == RAFS_OK) {
        copy = rafsi_strdup(env, text);
        rc = copy ? RAFS_OK : rafsi_fail_nomem(err, strlen(text) + 1);
    }
    if (rc == RAFS_OK) {
        *token = copy;
        *life_s = life_of(root);
    }
    json_decref(root);
    return rc;
}
