/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References to images.
 *
 *     reference = [domain "/"] path [":" tag] ["@" digest]
 *     domain    = (label *("." label) | "[" IPv6 "]") [":" port]
 *     path      = part *("/" part)
 *     part      = 1*(a-z 0-9), joined by one "." or "_", by "__", or by any number of "-"
 *     tag       = (A-Z a-z 0-9 "_") *127(A-Z a-z 0-9 "_" "." "-")
 *
 * What stands before the first '/' is a domain only if it has a '.' or ':' in it, an
 * upper case letter (no path has one), or is "localhost"; else the whole is a path on
 * Docker Hub. Source: the package `reference` of the distribution project.
 */
#include "oci/text.h"

#define HUB "docker.io"
#define HUB_HOST "registry-1.docker.io"
#define HUB_OLD "index.docker.io"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The sentence is a literal of ours: nothing of the text gets into an error. */
static int refuse(rafs_error *err, size_t at, const char *why)
{
    return rafsi_fail_at(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image reference", at,
                         "%s (at byte %zu)", why, at);
}

int rafsi_oci_digest_parse(const char *text, uint8_t out[OCI_DIGEST_BYTES],
                           rafs_error *err)
{
    const char *colon = strchr(text, ':');
    const char *hex = text + 7;

    if (!colon || colon == text)
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL,
                          "a digest is not of the form sha256:HEX");
    if (strncmp(text, "sha256:", 7) != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, NULL,
                          "a digest is not SHA-256, the only kind supported");
    if (strspn(hex, "0123456789abcdef") != 64 ||
        !rafsi_digest_parse(hex, strlen(hex), out))
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL,
                          "a SHA-256 digest is not 64 lower-case hex digits");
    return RAFS_OK;
}

void rafsi_oci_digest_text(const uint8_t digest[OCI_DIGEST_BYTES],
                           char out[OCI_DIGEST_TEXT])
{
    memcpy(out, "sha256:", 7);
    rafsi_digest_hex(digest, out + 7);
}

/* Bytes of the separator between two runs of letters at `at`; 0: none that is allowed. */
static size_t separator(const char *at)
{
    if (*at == '.')
        return 1;
    if (*at == '_')
        return at[1] == '_' ? 2 : 1;
    return strspn(at, "-");
}

static int check_path(const char *text, size_t from, size_t end, rafs_error *err)
{
    size_t at = from;

    while (at < end) {
        size_t skip;

        if (!is_lower_alnum(text[at]))
            return refuse(err, at,
                          is_alnum(text[at])
                              ? "a repository name is in lower case"
                              : "a letter or digit must stand here in a repository name");
        while (at < end && is_lower_alnum(text[at]))
            at++;
        if (at == end)
            return RAFS_OK;
        skip = text[at] == '/' ? 1 : separator(text + at);
        if (skip == 0)
            return refuse(err, at,
                          is_alnum(text[at]) ? "a repository name is in lower case"
                                             : "not allowed in a repository name");
        at += skip;
    }
    return refuse(err, at,
                  at == 0 ? "the reference is empty"
                          : "a repository name is missing or ends too soon");
}

static int check_port(const char *text, size_t from, size_t end, rafs_error *err)
{
    unsigned port = 0;

    for (size_t at = from; at < end; at++) {
        if (text[at] < '0' || text[at] > '9')
            return refuse(err, at, "a port is a number");
        port = port * 10 + (unsigned)(text[at] - '0');
        if (port > 65535)
            return refuse(err, at, "a port is at most 65535");
    }
    return port == 0 ? refuse(err, from, "the port is missing or 0") : RAFS_OK;
}

static int check_domain(const char *text, size_t end, rafs_error *err)
{
    size_t at = 0;

    if (text[0] == '[') {
        at = 1 + strspn(text + 1, "0123456789abcdefABCDEF:");
        if (at == 1 || at >= end || text[at] != ']')
            return refuse(err, at, "not an IPv6 address in brackets");
        at++;
    }
    while (text[0] != '[' && at < end && text[at] != ':') {
        size_t label = at;

        while (at < end && (is_alnum(text[at]) || text[at] == '-'))
            at++;
        if (at == label || text[label] == '-' || text[at - 1] == '-')
            return refuse(err, label, "a label of the host name is malformed");
        if (at == end || text[at] == ':')
            break;
        if (text[at] != '.' || at + 1 == end || text[at + 1] == ':')
            return refuse(err, at, "not allowed in a host name");
        at++;
    }
    if (at == end)
        return at == 0 ? refuse(err, 0, "the host name is missing") : RAFS_OK;
    if (text[at] != ':' || at == 0)
        return refuse(err, at, "not allowed in a host name");
    return check_port(text, at + 1, end, err);
}

/* Bytes of the domain before the first '/'; 0: Docker Hub is meant. */
static size_t domain_len(const char *text, size_t end)
{
    const char *slash = memchr(text, '/', end);
    size_t len = slash ? (size_t)(slash - text) : 0;

    for (size_t i = 0; i < len; i++)
        if (text[i] == '.' || text[i] == ':' || (text[i] >= 'A' && text[i] <= 'Z'))
            return len;
    return len == 9 && memcmp(text, "localhost", 9) == 0 ? len : 0;
}

static int take_tag(const char *text, size_t from, size_t end, char out[OCI_TAG_MAX],
                    rafs_error *err)
{
    size_t len = end - from;

    if (len == 0)
        return refuse(err, from, "the tag is missing");
    if (len >= OCI_TAG_MAX)
        return refuse(err, from, "a tag has at most 128 bytes");
    for (size_t at = from; at < end; at++) {
        bool inside = at > from && (text[at] == '.' || text[at] == '-');

        if (!is_alnum(text[at]) && text[at] != '_' && !inside)
            return refuse(err, at, "not allowed in a tag");
    }
    memcpy(out, text + from, len);
    out[len] = '\0';
    return RAFS_OK;
}

static bool is_hub(const char *text, size_t len)
{
    return len == 0 || (len == strlen(HUB) && memcmp(text, HUB, len) == 0) ||
           (len == strlen(HUB_OLD) && memcmp(text, HUB_OLD, len) == 0);
}

/* Split what stands before tag and digest into host and repository. */
static int take_name(const char *text, size_t end, struct oci_reference *out,
                     rafs_error *err)
{
    size_t domain = domain_len(text, end);
    size_t from = domain ? domain + 1 : 0;
    bool hub = is_hub(text, domain);
    /* One word on Docker Hub is an official image. */
    bool official = hub && !memchr(text + from, '/', end - from);
    size_t prefix = official ? strlen("library/") : 0;
    int rc = domain ? check_domain(text, domain, err) : RAFS_OK;

    if (rc == RAFS_OK)
        rc = check_path(text, from, end, err);
    if (rc < 0)
        return rc;
    if (domain >= OCI_HOST_MAX)
        return refuse(err, 0, "a host has at most 255 bytes");
    if (prefix + end - from >= OCI_REPO_MAX)
        return refuse(err, from, "a repository name has at most 255 bytes");
    memset(out->host, 0, sizeof(out->host));
    memcpy(out->host, hub ? HUB_HOST : text, hub ? strlen(HUB_HOST) : domain);
    memcpy(out->repo, "library/", prefix);
    memcpy(out->repo + prefix, text + from, end - from);
    out->repo[prefix + end - from] = '\0';
    return RAFS_OK;
}

/* 64 hex digits alone could be the ID of an image, so docker takes them for no name. */
static bool is_image_id(const char *text)
{
    size_t len = 0;

    while (is_hex(text[len]))
        len++;
    return len == 64 && text[64] == '\0';
}

int rafsi_oci_reference_parse(const char *text, struct oci_reference *out,
                              rafs_error *err)
{
    struct oci_reference made = {.has_digest = false};
    size_t len = strnlen(text, OCI_HOST_MAX + OCI_REPO_MAX + OCI_TAG_MAX + 256);
    const char *digest = memchr(text, '@', len);
    size_t end = digest ? (size_t)(digest - text) : len;
    size_t name_end = end;
    int rc;

    if (text[len] != '\0')
        return refuse(err, len, "the reference is too long");
    if (is_image_id(text))
        return refuse(err, 0, "64 hex digits alone are not a name");
    /* The tag's ':' is behind the last '/', that of a port before it. */
    while (name_end > 0 && text[name_end - 1] != ':' && text[name_end - 1] != '/')
        name_end--;
    name_end = name_end > 0 && text[name_end - 1] == ':' ? name_end - 1 : end;
    rc = take_name(text, name_end, &made, err);
    if (rc == RAFS_OK && name_end < end)
        rc = take_tag(text, name_end + 1, end, made.tag, err);
    if (rc < 0)
        return rc;
    if (digest) {
        rc = rafsi_oci_digest_parse(digest + 1, made.digest, err);
        if (rc == RAFS_E_CORRUPT)
            return refuse(err, end + 1,
                          "after '@' comes sha256: and 64 lower-case hex digits");
        if (rc < 0)
            return rafsi_fail_object(err, rc, "image reference");
        made.has_digest = true;
    } else if (made.tag[0] == '\0') {
        memcpy(made.tag, "latest", sizeof("latest"));
    }
    *out = made;
    return RAFS_OK;
}
