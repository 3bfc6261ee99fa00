/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

/*
 * Did the parser fail for want of memory? Where its lexer gets none jansson says nothing,
 * or calls the text malformed. So a piece as large as the text is asked for: a shortage
 * that lasts is told from a lie, one that has passed is not.
 */
static bool is_shortage(const json_error_t *at, const void *text, size_t len)
{
    enum json_error_code code = json_error_code(at);
    json_t *probe;

    if (code == json_error_out_of_memory || at->text[0] == '\0')
        return true;
    if (code != json_error_invalid_syntax && code != json_error_premature_end_of_input &&
        code != json_error_unknown)
        return false;
    probe = json_stringn_nocheck(text, len);
    json_decref(probe);
    return !probe;
}

int rafsi_json_load(const struct json_place *place, const void *text, size_t len,
                    json_t **out, rafs_error *err)
{
    json_error_t at;
    json_t *root;

    if (len > place->max)
        return rafsi_fail(err, RAFS_E_LIMIT, place->stage, place->what,
                          "%zu bytes of JSON are more than the %zu that are allowed", len,
                          place->max);
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
    if (!root && is_shortage(&at, text, len))
        return rafsi_fail_nomem(err, len);
    /* jansson's text quotes what it read, which may be a secret. */
    if (!root)
        return rafsi_fail_at(err, place->code, place->stage, place->what,
                             at.position > 0 ? (uint64_t)at.position : 0,
                             "not JSON, or a key comes twice (line %d)", at.line);
    if (!json_is_object(root)) {
        json_decref(root);
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "the JSON is not an object");
    }
    *out = root;
    return RAFS_OK;
}

int rafsi_json_child(const struct json_place *place, const json_t *object,
                     const char *key, json_type type, json_t **out, rafs_error *err)
{
    json_t *value = json_object_get(object, key);

    *out = NULL;
    if (!value || json_is_null(value))
        return RAFS_OK;
    if (json_typeof(value) != type)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "\"%s\" is not of the right type", key);
    *out = value;
    return RAFS_OK;
}

int rafsi_json_text(const struct json_place *place, const json_t *object, const char *key,
                    const char **out, rafs_error *err)
{
    json_t *value;
    int rc = rafsi_json_child(place, object, key, JSON_STRING, &value, err);

    *out = value ? json_string_value(value) : NULL;
    return rc;
}

int rafsi_json_copy(const struct json_place *place, const json_t *object, const char *key,
                    char *out, size_t room, rafs_error *err)
{
    const char *text;
    int rc = rafsi_json_text(place, object, key, &text, err);

    if (rc < 0)
        return rc;
    memset(out, 0, room);
    if (!text)
        return RAFS_OK;
    if (strlen(text) >= room)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "\"%s\" has more than %zu bytes", key, room - 1);
    memcpy(out, text, strlen(text));
    return RAFS_OK;
}

void rafsi_json_put(json_t *object, const char *key, json_t *value, bool *bad)
{
    if (json_object_set_new(object, key, value) < 0)
        *bad = true;
}

void rafsi_json_append(json_t *array, json_t *value, bool *bad)
{
    if (json_array_append_new(array, value) < 0)
        *bad = true;
}
