/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/source_tar.h"

static int make_room(const struct rafsi_env *env, struct tar_text *text, size_t len,
                     rafs_error *err)
{
    size_t room = text->room ? text->room : 1024;
    char *at;

    while (room <= len)
        room *= 2;
    if (room == text->room)
        return RAFS_OK;
    at = rafsi_alloc(env, room);
    if (!at)
        return rafsi_fail_nomem(err, room);
    if (text->len != 0)
        memcpy(at, text->at, text->len);
    rafsi_free(env, text->at);
    text->at = at;
    text->room = room;
    return RAFS_OK;
}

/* Room grows with what is there, not with what the header says. */
int rafsi_tar_text(struct tar_stream *stream, struct tar_text *text, int64_t len,
                   rafs_error *err)
{
    size_t left = (size_t)len;
    int rc = RAFS_OK;

    if (len < 0 || len > TAR_TEXT_MAX)
        return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, stream->name,
                             stream->offset,
                             "%lld bytes of name or attributes; %d are allowed",
                             (long long)len, TAR_TEXT_MAX);
    text->len = 0;
    while (rc == RAFS_OK && left > 0) {
        size_t part = (size_t)rafsi_min(left, 65536);

        rc = make_room(stream->env, text, text->len + part, err);
        if (rc == RAFS_OK)
            rc = rafsi_tar_exact(stream, text->at + text->len, part, err);
        text->len += part;
        left -= part;
    }
    if (rc == RAFS_OK)
        rc = make_room(stream->env, text, text->len, err);
    if (rc < 0)
        return rc;
    text->at[text->len] = '\0';
    text->set = true;
    return rafsi_tar_skip(stream, -(uint64_t)len % TAR_BLOCK, err);
}

int rafsi_tar_text_set(const struct rafsi_env *env, struct tar_text *text, const void *at,
                       size_t len, rafs_error *err)
{
    int rc;

    text->len = 0;
    rc = make_room(env, text, len, err);
    if (rc < 0)
        return rc;
    if (len != 0)
        memcpy(text->at, at, len);
    text->len = len;
    text->at[len] = '\0';
    text->set = true;
    return RAFS_OK;
}

void rafsi_tar_text_free(const struct rafsi_env *env, struct tar_text *text)
{
    rafsi_free(env, text->at);
    *text = (struct tar_text){0};
}
