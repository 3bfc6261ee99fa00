/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/where.h"

#include <stdio.h>
#include <unistd.h>

/* Where the path ends: at the end if all of it is there, else at the first ':' before
 * which something is, else at the first one at all. */
static size_t path_length(char *text)
{
    size_t first = strcspn(text, ":");
    size_t found = first;

    if (access(text, F_OK) == 0)
        return strlen(text);
    for (char *at = text + first; *at; at += 1 + strcspn(at + 1, ":")) {
        bool there;

        *at = '\0';
        there = access(text, F_OK) == 0;
        *at = ':';
        if (there) {
            found = (size_t)(at - text);
            break;
        }
    }
    return found;
}

static int take_digest(char *text, struct oci_reference *out, rafs_error *err)
{
    static const char kind[] = "@sha256:";
    char *at = strrchr(text, '@');
    int rc;

    if (!at || strncmp(at, kind, sizeof(kind) - 1) != 0 || access(text, F_OK) == 0)
        return RAFS_OK;
    rc = rafsi_oci_digest_parse(at + 1, out->digest, err);
    if (rc < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image reference",
                          "after @sha256: come 64 lower-case hex digits");
    out->has_digest = true;
    *at = '\0';
    return RAFS_OK;
}

static int take_path(const struct rafsi_env *env, const char *text, struct oci_where *out,
                     rafs_error *err)
{
    size_t len;
    int rc;

    out->path = rafsi_strdup(env, text);
    if (!out->path)
        return rafsi_fail_nomem(err, strlen(text) + 1);
    rc = take_digest(out->path, &out->reference, err);
    if (rc < 0)
        return rc;
    len = path_length(out->path);
    if (out->path[len] == ':' &&
        (size_t)snprintf(out->reference.tag, sizeof(out->reference.tag), "%s",
                         out->path + len + 1) >= sizeof(out->reference.tag))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image reference",
                          "the name of the image has more than %d bytes",
                          OCI_TAG_MAX - 1);
    out->path[len] = '\0';
    if (len == 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image reference",
                          "a path is missing behind the first ':'");
    return RAFS_OK;
}

static const struct {
    const char *prefix;
    enum oci_where_kind kind;
} kinds[] = {{"docker://", OCI_IN_REGISTRY},
             {"oci:", OCI_IN_LAYOUT},
             {"oci-archive:", OCI_IN_ARCHIVE}};

int rafsi_oci_where_parse(const struct rafsi_env *env, const char *text,
                          struct oci_where *out, rafs_error *err)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t len = strlen(kinds[i].prefix);
        struct oci_where where = {.kind = kinds[i].kind};
        int rc;

        if (strncmp(text, kinds[i].prefix, len) != 0)
            continue;
        rc = where.kind == OCI_IN_REGISTRY
                 ? rafsi_oci_reference_parse(text + len, &where.reference, err)
                 : take_path(env, text + len, &where, err);
        if (rc < 0)
            rafsi_oci_where_drop(env, &where);
        else
            *out = where;
        return rc;
    }
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image reference",
                      "begins with none of docker://, oci: and oci-archive:");
}

void rafsi_oci_where_drop(const struct rafsi_env *env, struct oci_where *where)
{
    rafsi_free(env, where->path);
    where->path = NULL;
}
