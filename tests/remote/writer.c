/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to a repository, on the public API alone, for run_push.py.
 *
 *     writer OPTION... WHERE STEP...
 *
 *   --timeout MS       of each step; 0: none. Default 60000
 *   --cancel MS        fire a token after so long
 *   --part N, --piece N   bytes that are sent at once; that are written at once
 *   --stall S, --retry MS, --replace, --ca FILE, --proxy URL, --log
 *   --user NAME, --password FILE   asked for by servers; FILE is read each time
 *
 *   blob=FILE[,HEX]    upload it, HEX: expect this digest
 *   abandon=FILE       upload it, and give up at its end
 *   has=HEX, mount=HEX,REPOSITORY, manifest=FILE[,TAG], own=FILE, finish
 *                      manifest: without a tag by its digest; own: with the target's tag
 *
 * A line for each step, in order: `ok …` or `CODE ERRNO OBJECT: TEXT`; none is left out
 * after a failure. At the end `asked N`: times that the password was asked for.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rafs/rafs.h"

static unsigned timeout_ms = 60000, cancel_ms, asked;
static size_t piece = 1 << 20;
static const char *user, *password;
static rafs_http_options http_options = RAFS_HTTP_OPTIONS_INIT;
static rafs_registry_options registry_options = RAFS_REGISTRY_OPTIONS_INIT;
static rafs_credentials_source credentials = RAFS_CREDENTIALS_SOURCE_INIT;
static rafs_target_options target_options = RAFS_TARGET_OPTIONS_INIT;
static rafs_env env = RAFS_ENV_INIT;
static rafs_cancel *token;

static void die(const char *what)
{
    fprintf(stderr, "writer: %s\n", what);
    exit(2);
}

static void on_log(void *unused, uint32_t level, const char *text)
{
    (void)unused;
    fprintf(stderr, "%u %s\n", level, text);
}

static int get_credential(void *unused, const char *host, const char *repo,
                          uint32_t attempt, rafs_credential *out, const rafs_call *call,
                          rafs_error *err)
{
    FILE *file;

    (void)unused;
    (void)host;
    (void)repo;
    (void)call;
    (void)err;
    asked++;
    if (attempt > 0)
        return RAFS_OK;
    out->kind = RAFS_CREDENTIAL_BASIC;
    snprintf(out->username, sizeof out->username, "%s", user);
    file = fopen(password, "r");
    if (!file || !fgets(out->secret, sizeof out->secret, file))
        die("no password");
    fclose(file);
    return RAFS_OK;
}

static void report(int rc, const rafs_error *err)
{
    if (rc < 0)
        printf("%s %d %s: %s\n", rafs_error_name(rc), err->os_errno, err->object,
               err->text);
    fflush(stdout);
}

static const rafs_call *new_call(rafs_call *call)
{
    rafs_call_init(call, &env, timeout_ms, token);
    return call;
}

static void take_hex(const char *hex, uint8_t out[RAFS_DIGEST_BYTES])
{
    for (size_t i = 0; i < RAFS_DIGEST_BYTES; i++) {
        unsigned byte = 0;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            die("no digest");
        out[i] = (uint8_t)byte;
    }
}

static void show(const uint8_t digest[RAFS_DIGEST_BYTES], uint64_t size)
{
    printf("ok ");
    for (size_t i = 0; i < RAFS_DIGEST_BYTES; i++)
        printf("%02x", digest[i]);
    printf(" %llu\n", (unsigned long long)size);
}

/* The part behind the last ','; NULL: none. */
static char *cut(char *text)
{
    char *comma = strrchr(text, ',');

    if (comma)
        *comma++ = '\0';
    return comma;
}

static void put_blob(rafs_target *target, char *name, bool give_up)
{
    uint8_t expect[RAFS_DIGEST_BYTES], digest[RAFS_DIGEST_BYTES];
    const char *hex = cut(name);
    rafs_error err = RAFS_ERROR_INIT;
    rafs_upload *upload = NULL;
    char *bytes = malloc(piece);
    FILE *file = fopen(name, "rb");
    uint64_t size = 0;
    rafs_call call;
    size_t got = 0;
    int rc = rafs_upload_new(target, &upload, new_call(&call), &err);

    if (!file || !bytes)
        die("no such file");
    while (rc == RAFS_OK && (got = fread(bytes, 1, piece, file)) > 0)
        rc = rafs_upload_write(upload, bytes, got, new_call(&call), &err);
    if (hex)
        take_hex(hex, expect);
    if (rc == RAFS_OK && !give_up)
        rc = rafs_upload_commit(upload, hex ? expect : NULL, digest, &size,
                                new_call(&call), &err);
    rafs_upload_free(upload);
    if (rc == RAFS_OK && give_up)
        printf("ok abandoned\n");
    else if (rc == RAFS_OK)
        show(digest, size);
    report(rc, &err);
    fclose(file);
    free(bytes);
}

static void put_manifest(rafs_target *target, char *name, const char *tag)
{
    static char bytes[5 << 20];
    uint8_t digest[RAFS_DIGEST_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    FILE *file = fopen(name, "rb");
    rafs_call call;
    size_t len;
    int rc;

    if (!file)
        die("no such file");
    len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    rc = rafs_target_put_manifest(target, bytes, len, NULL, tag, digest, new_call(&call),
                                  &err);
    if (rc == RAFS_OK)
        show(digest, len);
    report(rc, &err);
}

static void look(rafs_target *target, const char *hex, const char *from)
{
    uint8_t digest[RAFS_DIGEST_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t size = 0;
    rafs_call call;
    int rc;

    take_hex(hex, digest);
    rc = from ? rafs_target_mount_blob(target, digest, from, new_call(&call), &err)
              : rafs_target_has_blob(target, digest, &size, new_call(&call), &err);
    if (rc == RAFS_OK)
        show(digest, size);
    report(rc, &err);
}

static void step(rafs_target *target, char *text)
{
    char *value = strchr(text, '=');
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call;
    int rc;

    if (value)
        *value++ = '\0';
    if (strcmp(text, "blob") == 0 || strcmp(text, "abandon") == 0) {
        put_blob(target, value, text[0] == 'a');
    } else if (strcmp(text, "has") == 0) {
        look(target, value, NULL);
    } else if (strcmp(text, "mount") == 0) {
        const char *from = cut(value);

        look(target, value, from);
    } else if (strcmp(text, "manifest") == 0) {
        const char *tag = cut(value);

        put_manifest(target, value, tag);
    } else if (strcmp(text, "own") == 0) {
        put_manifest(target, value, rafs_target_tag(target));
    } else if (strcmp(text, "finish") == 0) {
        rc = rafs_target_finish(target, new_call(&call), &err);
        if (rc == RAFS_OK)
            printf("ok\n");
        report(rc, &err);
    } else {
        die("no such step");
    }
}

static void *fire(void *unused)
{
    struct timespec pause = {cancel_ms / 1000, cancel_ms % 1000 * 1000000l};

    (void)unused;
    nanosleep(&pause, NULL);
    rafs_cancel_fire(token);
    return NULL;
}

static int take_options(int argc, char **argv)
{
    int at = 1;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        const char *name = argv[at] + 2;
        const char *value;

        if (strcmp(name, "replace") == 0) {
            target_options.flags = RAFS_TARGET_REPLACE;
            continue;
        }
        if (strcmp(name, "log") == 0) {
            env.log = on_log;
            env.log_level = RAFS_LOG_DEBUG;
            continue;
        }
        if (++at == argc)
            die("a value is missing");
        value = argv[at];
        if (strcmp(name, "timeout") == 0)
            timeout_ms = (unsigned)atoi(value);
        else if (strcmp(name, "cancel") == 0)
            cancel_ms = (unsigned)atoi(value);
        else if (strcmp(name, "part") == 0)
            target_options.part_bytes = (uint32_t)atoi(value);
        else if (strcmp(name, "piece") == 0)
            piece = (size_t)atoi(value);
        else if (strcmp(name, "stall") == 0)
            http_options.stall_timeout_ms = (uint32_t)atoi(value) * 1000;
        else if (strcmp(name, "retry") == 0)
            http_options.retry_ms = (uint32_t)atoi(value);
        else if (strcmp(name, "ca") == 0)
            http_options.ca_file = value;
        else if (strcmp(name, "proxy") == 0)
            http_options.http_proxy = http_options.https_proxy = value;
        else if (strcmp(name, "user") == 0)
            user = value;
        else if (strcmp(name, "password") == 0)
            password = value;
        else
            die("no such option");
    }
    return at;
}

int main(int argc, char **argv)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_target *target = NULL;
    rafs_http *http = NULL;
    pthread_t thread;
    rafs_call call;
    int at = take_options(argc, argv);
    int rc;

    if (at == argc)
        die("WHERE is missing");
    if (cancel_ms && (rafs_cancel_new(&token, &err) < 0 ||
                      pthread_create(&thread, NULL, fire, NULL) != 0))
        die("no token");
    http_options.env = target_options.env = &env;
    if (rafs_http_new(&http_options, &http, &err) < 0)
        die(err.text);
    if (user) {
        credentials.get = get_credential;
        registry_options.credentials = &credentials;
    }
    target_options.http = http;
    target_options.registry = &registry_options;
    rc = rafs_target_open(argv[at], &target_options, &target, new_call(&call), &err);
    report(rc, &err);
    for (int i = at + 1; i < argc && rc == RAFS_OK; i++)
        step(target, argv[i]);
    printf("asked %u\n", asked);
    rafs_target_close(target);
    rafs_http_free(http);
    if (cancel_ms)
        pthread_join(thread, NULL);
    rafs_cancel_free(token);
    return 0;
}
