/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_OUTPUT_H
#define RAFS_COMMAND_OUTPUT_H

/*
 * What goes to people and to programs: quoted names, JSON, progress.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A name or path. On a terminal one that could be misread or could move the cursor is
 * quoted so that a shell would read it back ('a'$'\n''b'); else its bytes as they are. */
void put_name(FILE *out, const char *name, size_t len);

/* The same, quoted whatever `out` is: for messages. */
void put_quoted(FILE *out, const char *name, size_t len);

/* Text for a message: control characters and bad UTF-8 as \xNN, the rest as it is. */
void put_safe(FILE *out, const char *text);

/*
 * JSON as Python's json.dumps() writes it: ", " and ": ", ASCII only. The caller keeps
 * keys in order and brackets balanced.
 */
enum { JSON_DEPTH_MAX = 16 };

struct json {
    FILE *out;
    unsigned depth;
    bool used[JSON_DEPTH_MAX]; /* something was written at this depth */
    bool after_key;
};

void json_begin(struct json *j, FILE *out);
void json_open(struct json *j, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);
void json_key(struct json *j, const char *key);
/* A key of bytes of unknown encoding, such as the name of an attribute. */
void json_latin1_key(struct json *j, const char *key);
/* Bytes of a path: each one character from U+0000 to U+00FF. */
void json_bytes(struct json *j, const char *bytes, size_t len);
/* Text in UTF-8, such as a message; what is not UTF-8 becomes U+FFFD. */
void json_text(struct json *j, const char *text);
void json_hex(struct json *j, const void *bytes, size_t len);
void json_u64(struct json *j, uint64_t value);
void json_i64(struct json *j, int64_t value);
void json_bool(struct json *j, bool value);
void json_null(struct json *j);
/* End of a line; a new value may follow. */
void json_newline(struct json *j);

/* Lower-case hex digits of bytes. */
void put_hex(FILE *out, const void *bytes, size_t len);

/* "1.5 MiB" and the like, in memory of the caller. */
const char *human_bytes(uint64_t bytes, char *buf, size_t room);

/*
 * Progress on standard error: a bar if that is a terminal, else, if asked for, JSON
 * lines of the form {"bytes": …, "done": …, "event": "progress", "total": …}.
 */
struct progress {
    const char *unit; /* what is counted: "files" */
    bool bar;
    bool lines;
    bool shown; /* a bar is on the screen */
    uint64_t last_ns;
};

void progress_begin(struct progress *p, const char *unit, bool json);
/* Called as often as one likes; shows something a few times a second. total 0: unknown */
void progress_step(struct progress *p, uint64_t done, uint64_t total, uint64_t bytes);
/* Wipe the bar, if one is there: every message does so first, the next step draws again.
 */
void progress_wipe(void);
void progress_end(struct progress *p);

#endif
