/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_WHERE_H
#define RAFSI_OCI_WHERE_H

#include "oci/text.h"

/*
 * "docker://HOST/REPO:TAG", "oci:DIR:TAG", "oci-archive:FILE:TAG": where an image is, or
 * is to be.
 */

enum oci_where_kind { OCI_IN_REGISTRY = 1, OCI_IN_LAYOUT, OCI_IN_ARCHIVE };

struct oci_where {
    enum oci_where_kind kind;
    struct oci_reference reference; /* of a registry; tag and digest also of the others,
                                       whose tag is "" if there is none */
    char *path;                     /* of the others; NULL for a registry */
};

/* RAFS_E_BADARG if it is none of these. The path ends before the first ':' where
 * something lies, else at the first one, as skopeo has it. */
int rafsi_oci_where_parse(const struct rafsi_env *env, const char *text,
                          struct oci_where *out, rafs_error *err);
void rafsi_oci_where_drop(const struct rafsi_env *env, struct oci_where *where);

#endif
