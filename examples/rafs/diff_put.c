/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of rafs diff. */
#include <string.h>

#include "diff.h"

void put_only(struct differ *d, char sign, const struct tree_entry *entry)
{
    d->found++;
    if (!d->json) {
        printf("%c ", sign);
        put_name(stdout, entry->path, entry->path_len);
        putchar('\n');
        return;
    }
    json_open(&d->j, '{');
    json_key(&d->j, "change");
    json_text(&d->j, sign == '-' ? "removed" : "added");
    json_key(&d->j, "path");
    json_bytes(&d->j, entry->path, entry->path_len);
    json_key(&d->j, "type");
    json_text(&d->j, type_name(entry->attr.mode));
    json_close(&d->j, '}');
    json_newline(&d->j);
}

void changes_begin(struct changes *changes, struct differ *d, const char *path,
                   size_t path_len)
{
    *changes = (struct changes){d, path, path_len, 0};
}

static void begin_line(const struct changes *changes)
{
    struct differ *d = changes->d;

    if (!d->json) {
        fputs("~ ", stdout);
        put_name(stdout, changes->path, changes->path_len);
        fputs(": ", stdout);
        return;
    }
    json_open(&d->j, '{');
    json_key(&d->j, "change");
    json_text(&d->j, "changed");
    json_key(&d->j, "path");
    json_bytes(&d->j, changes->path, changes->path_len);
    json_key(&d->j, "what");
    json_open(&d->j, '[');
}

static void put_value(const char *value)
{
    if (value)
        put_name(stdout, value, strlen(value));
    else
        fputs("none", stdout);
}

static void json_value(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    if (value)
        json_bytes(j, value, strlen(value));
    else
        json_null(j);
}

void changes_add(struct changes *changes, const char *what, const char *from,
                 const char *to)
{
    struct differ *d = changes->d;

    if (changes->count++ == 0)
        begin_line(changes);
    else if (!d->json)
        fputs(", ", stdout);
    if (!d->json) {
        put_name(stdout, what, strlen(what));
        if (!from && !to)
            return;
        putchar(' ');
        put_value(from);
        fputs(" \xe2\x86\x92 ", stdout); /* an arrow */
        put_value(to);
        return;
    }
    json_open(&d->j, '{');
    json_key(&d->j, "field");
    json_bytes(&d->j, what, strlen(what));
    json_value(&d->j, "from", from);
    json_value(&d->j, "to", to);
    json_close(&d->j, '}');
}

bool changes_end(struct changes *changes)
{
    struct differ *d = changes->d;

    if (changes->count == 0)
        return false;
    d->found++;
    if (d->json) {
        json_close(&d->j, ']');
        json_close(&d->j, '}');
        json_newline(&d->j);
    } else {
        putchar('\n');
    }
    return true;
}
