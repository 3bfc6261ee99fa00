/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <inttypes.h>
#include <langinfo.h>
#include <string.h>
#include <unistd.h>

/*
 * One character of UTF-8: its length in bytes, 0 if these bytes are none (RFC 3629: no
 * overlong forms, no surrogates, nothing above U+10FFFF).
 */
static size_t utf8_char(const unsigned char *s, size_t len, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = s[0] < 0x80             ? 1
                  : (s[0] & 0xe0) == 0xc0 ? 2
                  : (s[0] & 0xf0) == 0xe0 ? 3
                  : (s[0] & 0xf8) == 0xf0 ? 4
                                          : 0;

    if (need == 0 || need > len)
        return 0;
    *code = need == 1 ? s[0] : s[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    if (*code < least[need] || (*code >= 0xd800 && *code < 0xe000) || *code > 0x10ffff)
        return 0;
    return need;
}

/* Bytes of the next character if a terminal may be given it as it is, else 0. */
static size_t plain_char(const char *text, size_t len)
{
    static int utf8 = -1;
    uint32_t code = 0;
    size_t n = utf8_char((const unsigned char *)text, len, &code);

    if (n == 1)
        return code >= 0x20 && code != 0x7f;
    if (utf8 < 0)
        utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    /* C1 controls act like escape sequences; bidirectional controls and line separators
     * make a name look like another one. */
    if (!utf8 || code < 0xa0 || (code >= 0x200b && code <= 0x200f) ||
        (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
        code == 0xfeff)
        return 0;
    return n;
}

/* Would a shell, or a reader, take it for something else? */
static bool needs_quotes(const char *name, size_t len)
{
    if (len == 0 || name[0] == '#' || name[0] == '~')
        return true;
    for (size_t i = 0; i < len;) {
        size_t n = plain_char(name + i, len - i);

        if (n == 0 || (n == 1 && strchr(" !\"$&'()*;<>?[\\^`|", name[i])))
            return true;
        i += n;
    }
    return false;
}

static void put_octal(FILE *out, unsigned char byte)
{
    static const char letters[] = "abtnvfr"; /* 7 to 13 */

    if (byte >= 7 && byte <= 13)
        fprintf(out, "\\%c", letters[byte - 7]);
    else
        fprintf(out, "\\%03o", byte);
}

void put_quoted(FILE *out, const char *name, size_t len)
{
    bool escaping = false;

    if (!needs_quotes(name, len)) {
        fwrite(name, 1, len, out);
        return;
    }
    putc('\'', out);
    for (size_t i = 0; i < len;) {
        size_t n = plain_char(name + i, len - i);
        /* Within $'…' stay there for a quote: \' reads better than '\'' twice. */
        bool escape = n == 0;

        if (escape != escaping)
            fputs(escape ? "'$'" : "''", out);
        escaping = escape;
        if (escape) {
            put_octal(out, (unsigned char)name[i++]);
            continue;
        }
        if (name[i] == '\'')
            fputs("'\\''", out);
        else
            fwrite(name + i, 1, n, out);
        i += n;
    }
    putc('\'', out);
}

void put_name(FILE *out, const char *name, size_t len)
{
    static int stdout_tty = -1;
    bool tty;

    if (out == stdout) {
        if (stdout_tty < 0)
            stdout_tty = isatty(STDOUT_FILENO);
        tty = stdout_tty != 0;
    } else {
        tty = isatty(fileno(out));
    }
    if (tty)
        put_quoted(out, name, len);
    else
        fwrite(name, 1, len, out);
}

void put_safe(FILE *out, const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len;) {
        size_t n = plain_char(text + i, len - i);

        if (n > 0)
            fwrite(text + i, 1, n, out);
        else
            fprintf(out, "\\x%02x", (unsigned char)text[i]);
        i += n > 0 ? n : 1;
    }
}

void put_hex(FILE *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    for (size_t i = 0; i < len; i++) {
        putc(digits[p[i] >> 4], out);
        putc(digits[p[i] & 15], out);
    }
}

void json_begin(struct json *j, FILE *out)
{
    memset(j, 0, sizeof *j);
    j->out = out;
}

/* What stands before a value: nothing after a key or at the start, else a comma. */
static void json_separate(struct json *j)
{
    if (j->after_key)
        j->after_key = false;
    else if (j->used[j->depth])
        fputs(", ", j->out);
    j->used[j->depth] = true;
}

void json_open(struct json *j, char bracket)
{
    json_separate(j);
    putc(bracket, j->out);
    if (j->depth + 1 < JSON_DEPTH_MAX)
        j->depth++;
    j->used[j->depth] = false;
}

void json_close(struct json *j, char bracket)
{
    putc(bracket, j->out);
    if (j->depth > 0)
        j->depth--;
}

static void json_char(FILE *out, uint32_t code)
{
    static const char letters[] = "btn\0fr"; /* 8 to 13, less 11 */

    if (code == '"' || code == '\\')
        fprintf(out, "\\%c", (char)code);
    else if (code >= 8 && code <= 13 && code != 11)
        fprintf(out, "\\%c", letters[code - 8]);
    else if (code >= 0x20 && code < 0x7f)
        putc((int)code, out);
    else if (code < 0x10000)
        fprintf(out, "\\u%04x", code);
    else
        fprintf(out, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10),
                0xdc00 + ((code - 0x10000) & 0x3ff));
}

void json_bytes(struct json *j, const char *bytes, size_t len)
{
    json_separate(j);
    putc('"', j->out);
    for (size_t i = 0; i < len; i++)
        json_char(j->out, (unsigned char)bytes[i]);
    putc('"', j->out);
}

void json_text(struct json *j, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t len = strlen(text);

    json_separate(j);
    putc('"', j->out);
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t n = utf8_char(s + i, len - i, &code);

        json_char(j->out, n > 0 ? code : 0xfffd);
        i += n > 0 ? n : 1;
    }
    putc('"', j->out);
}

void json_key(struct json *j, const char *key)
{
    json_text(j, key);
    fputs(": ", j->out);
    j->after_key = true;
}

void json_latin1_key(struct json *j, const char *key)
{
    json_bytes(j, key, strlen(key));
    fputs(": ", j->out);
    j->after_key = true;
}

void json_hex(struct json *j, const void *bytes, size_t len)
{
    json_separate(j);
    putc('"', j->out);
    put_hex(j->out, bytes, len);
    putc('"', j->out);
}

void json_u64(struct json *j, uint64_t value)
{
    json_separate(j);
    fprintf(j->out, "%" PRIu64, value);
}

void json_i64(struct json *j, int64_t value)
{
    json_separate(j);
    fprintf(j->out, "%" PRId64, value);
}

void json_bool(struct json *j, bool value)
{
    json_separate(j);
    fputs(value ? "true" : "false", j->out);
}

void json_null(struct json *j)
{
    json_separate(j);
    fputs("null", j->out);
}

void json_newline(struct json *j)
{
    putc('\n', j->out);
    j->used[0] = false;
}
