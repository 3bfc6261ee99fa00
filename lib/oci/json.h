/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_JSON_H
#define RAFSI_OCI_JSON_H

/*
 * JSON from outside, read with jansson; for the files of this folder only.
 *
 * Jansson allocates with malloc: its allocator can only be set for a whole process. Its
 * nesting is limited (2048), NUL in texts is refused, and so are keys that come twice,
 * since readers differ in which of them counts.
 */
#include <jansson.h>

#include "oci/text.h"

/* What is being read and how a fault of it is reported. */
struct json_place {
    const char *what; /* "manifest", "token" …: object of the errors */
    int code;         /* RAFS_E_ of malformed JSON */
    uint32_t stage;
    size_t max; /* bytes; more is RAFS_E_LIMIT */
};

/* An object; given to json_decref(). Errors say the position, never what is there. */
int rafsi_json_load(const struct json_place *place, const void *text, size_t len,
                    json_t **out, rafs_error *err);

/* The text of a key. Absent or null: *out NULL. Another type is an error. */
int rafsi_json_text(const struct json_place *place, const json_t *object, const char *key,
                    const char **out, rafs_error *err);
/* The same into an array of room bytes; absent: "". Longer ones are refused. */
int rafsi_json_copy(const struct json_place *place, const json_t *object, const char *key,
                    char *out, size_t room, rafs_error *err);
/* The array or object of a key, borrowed; absent or null: *out NULL. */
int rafsi_json_child(const struct json_place *place, const json_t *object,
                     const char *key, json_type type, json_t **out, rafs_error *err);

/* Writing: the value is taken, also when there is no memory for it, which *bad remembers.
 */
void rafsi_json_put(json_t *object, const char *key, json_t *value, bool *bad);
void rafsi_json_append(json_t *array, json_t *value, bool *bad);

/* manifest.c, shared with index.c */
int rafsi_oci_descriptor(const struct json_place *place, const json_t *object,
                         struct oci_descriptor *out, rafs_error *err);
int rafsi_oci_load(const struct json_place *place, const void *text, size_t len,
                   const char *list, json_t **out, json_t **items, rafs_error *err);
enum oci_kind rafsi_oci_media_kind(const char *media_type);

#endif
