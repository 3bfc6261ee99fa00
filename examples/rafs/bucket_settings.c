/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Amazon's and Alibaba's own tools look: variables, and for S3 the two files of
 * profiles, ~/.aws/credentials and ~/.aws/config. What they do beyond that (single
 * sign-on, roles, metadata services, credential_process) is not done here.
 */
#include "bucket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static char *trim(char *text)
{
    char *end = text + strlen(text);

    while (end > text && strchr(" \t\r\n", end[-1]))
        *--end = '\0';
    return text + strspn(text, " \t");
}

/* "[NAME]", or "[profile NAME]" as the file config has it. */
static bool is_section(char *line, const char *name)
{
    static const char word[] = "profile ";
    char *end = strchr(line, ']');

    if (!end)
        return false;
    *end = '\0';
    line = trim(line + 1);
    if (strncmp(line, word, sizeof word - 1) == 0)
        line = trim(line + sizeof word - 1);
    return strcmp(line, name) == 0;
}

/* Call take() with each key and value of a profile. False: there is no such profile. */
static bool read_profile(const char *path, const char *profile,
                         void (*take)(struct bucket_settings *out, const char *key,
                                      const char *value),
                         struct bucket_settings *out)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    bool inside = false, found = false;

    if (!file)
        return false;
    while (getline(&line, &room, file) > 0) {
        char *at = trim(line);
        char *equals = strchr(at, '=');

        if (*at == '[') {
            inside = is_section(at, profile);
            found = found || inside;
        } else if (inside && equals && *at != '#' && *at != ';') {
            *equals = '\0';
            take(out, trim(at), trim(equals + 1));
        }
    }
    if (line)
        explicit_bzero(line, room);
    free(line);
    fclose(file);
    return found;
}

/* A part of a key; one that is too long is left out, and the key then not whole. */
static void put(char *out, size_t room, const char *value)
{
    if (value && strlen(value) < room)
        memcpy(out, value, strlen(value) + 1);
}

static void take_key(struct bucket_settings *out, const char *key, const char *value)
{
    if (strcmp(key, "aws_access_key_id") == 0)
        put(out->key.id, sizeof out->key.id, value);
    else if (strcmp(key, "aws_secret_access_key") == 0)
        put(out->key.secret, sizeof out->key.secret, value);
    else if (strcmp(key, "aws_session_token") == 0)
        put(out->key.session_token, sizeof out->key.session_token, value);
}

static void take_place(struct bucket_settings *out, const char *key, const char *value)
{
    if (strcmp(key, "region") == 0 && !out->texts[0])
        out->region = out->texts[0] = strdup(value);
    else if (strcmp(key, "endpoint_url") == 0 && !out->texts[1])
        out->endpoint = out->texts[1] = strdup(value);
}

/* $VARIABLE, or $HOME/REST, in memory to free(). */
static char *file_of(const char *name, const char *rest)
{
    const char *path = variable(name);
    const char *home = variable("HOME");

    if (path)
        return strdup(path);
    return home ? joined(home, rest) : NULL;
}

/* Keys, region and endpoint of a profile. */
static bool take_profile(struct command *c, struct bucket_settings *out)
{
    const char *asked = variable("AWS_PROFILE");
    const char *profile = asked ? asked : "default";
    char *keys = file_of("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
    char *places = file_of("AWS_CONFIG_FILE", "/.aws/config");
    bool found = keys && read_profile(keys, profile, take_key, out);

    if (places && read_profile(places, profile, take_place, out)) {
        found = true;
        if (!out->key.id[0])
            read_profile(places, profile, take_key, out);
    }
    free(keys);
    free(places);
    if (!asked || found)
        return true;
    command_say(c, EXIT_SOURCE, "AWS_PROFILE: there is no profile %s in the files of AWS",
                asked);
    return false;
}

static void take_variables(const char *id, const char *secret, const char *token,
                           rafs_bucket_key *out)
{
    if (!variable(id))
        return;
    rafs_bucket_key_init(out);
    put(out->id, sizeof out->id, variable(id));
    put(out->secret, sizeof out->secret, variable(secret));
    put(out->session_token, sizeof out->session_token, variable(token));
}

/* The first that is said. */
static void choose(const char **out, const char *const *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (from[i]) {
            *out = from[i];
            return;
        }
    }
}

static bool get_s3(struct command *c, struct bucket_settings *out)
{
    const char *const regions[] = {c->s3_region, variable("AWS_REGION"),
                                   variable("AWS_DEFAULT_REGION")};
    const char *const endpoints[] = {c->s3_endpoint, variable("AWS_ENDPOINT_URL_S3"),
                                     variable("AWS_ENDPOINT_URL")};

    if (!take_profile(c, out))
        return false;
    take_variables("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                   &out->key);
    choose(&out->region, regions, 3);
    choose(&out->endpoint, endpoints, 3);
    out->flags = c->s3_flags;
    return true;
}

bool bucket_settings_get(struct command *c, bool oss, struct bucket_settings *out)
{
    memset(out, 0, sizeof *out);
    rafs_bucket_key_init(&out->key);
    if (!oss) {
        if (get_s3(c, out))
            return true;
        bucket_settings_drop(out);
        return false;
    }
    take_variables("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN",
                   &out->key);
    out->endpoint = c->oss_endpoint ? c->oss_endpoint : variable("OSS_ENDPOINT");
    return true;
}

void bucket_settings_drop(struct bucket_settings *settings)
{
    explicit_bzero(&settings->key, sizeof settings->key);
    free(settings->texts[0]);
    free(settings->texts[1]);
}
