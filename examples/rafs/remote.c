/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include "bucket.h"
#include "mirrors.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The library reads no environment; here is where a user's settings are looked up. */
static const char *setting(const char *small, const char *large)
{
    const char *value = getenv(small);

    if (!value || !*value)
        value = getenv(large);
    return value && *value ? value : NULL;
}

/* Why nothing happens for a while: people take silence for a hang. Said once, to a
 * terminal. From any thread of the library, so that it is one write. */
static void on_retry(void *user, uint32_t level, const char *text)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    char line[512];

    (void)user;
    if (level != RAFS_LOG_INFO || strncmp(text, "trying again", 12) != 0 ||
        atomic_flag_test_and_set(&told))
        return;
    snprintf(line, sizeof line, "\r\033[Krafs: %.400s; until --timeout", text);
    for (char *at = line + 4; *at; at++) /* behind what wipes the line */
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    fprintf(stderr, "%s\n", line);
}

void remote_http_options(const struct command *c, rafs_http_options *options,
                         rafs_env *env, rafs_p2p_options *p2p)
{
    const char *all = setting("all_proxy", "ALL_PROXY");
    const char *ca = setting("SSL_CERT_FILE", "CURL_CA_BUNDLE");

    command_env(env);
    if (isatty(STDERR_FILENO)) {
        env->log = on_retry;
        env->log_level = RAFS_LOG_INFO;
    }
    options->env = env;
    options->flags = c->insecure ? RAFS_HTTP_INSECURE : 0;
    options->http_proxy = setting("http_proxy", "HTTP_PROXY");
    options->https_proxy = setting("https_proxy", "HTTPS_PROXY");
    if (!options->http_proxy)
        options->http_proxy = all;
    if (!options->https_proxy)
        options->https_proxy = all;
    options->no_proxy = setting("no_proxy", "NO_PROXY");
    options->ca_file = c->ca_file ? c->ca_file : ca;
    options->ca_dir = setting("SSL_CERT_DIR", "SSL_CERT_DIR");
    options->client_cert = c->client_cert;
    options->client_key = c->client_key;
    if (c->moves)
        options->retry_ms = c->timeout_ms > 0 && c->timeout_ms < UINT32_MAX
                                ? (uint32_t)c->timeout_ms
                                : UINT32_MAX;
    options->user_agent = "rafs/" RAFS_VERSION_STRING;
    p2p->proxy = c->p2p_proxy;
    p2p->ping = c->p2p_ping;
    p2p->flags = c->p2p_flags;
    options->p2p = c->p2p_proxy ? p2p : NULL;
}

bool remote_http(struct command *c)
{
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_p2p_options p2p = RAFS_P2P_OPTIONS_INIT;
    rafs_env env = RAFS_ENV_INIT;

    if (c->http)
        return true;
    if (!c->p2p_proxy && (c->p2p_ping || c->p2p_flags)) {
        command_usage(c, "--p2p-ping, --p2p-strict and --p2p-http need --p2p-proxy");
        return false;
    }
    remote_http_options(c, &options, &env, &p2p);
    if (rafs_http_new(&options, &c->http, &err) == RAFS_OK)
        return true;
    command_failed(c, NULL, &err);
    remote_open_code(c, &err);
    return false;
}

/* FILE as $HOME/REST, in memory to free(); NULL if there is no such variable. */
static char *below(const char *variable, const char *rest)
{
    const char *value = getenv(variable);

    return value && *value ? joined(value, rest) : NULL;
}

/* Where people keep what docker login and podman login wrote. */
static int ask_files(void *user, const char *host, const char *repo, uint32_t attempt,
                     rafs_credential *out, const rafs_call *call, rafs_error *err)
{
    rafs_credential_files files = RAFS_CREDENTIAL_FILES_INIT;
    const char *auth = getenv("REGISTRY_AUTH_FILE");
    char *containers = below("XDG_RUNTIME_DIR", "/containers/auth.json");
    char *docker = below("DOCKER_CONFIG", "/config.json");
    int rc;

    (void)user;
    if (!docker)
        docker = below("HOME", "/.docker/config.json");
    files.flags = RAFS_CREDENTIALS_HELPERS;
    files.helper_path = getenv("PATH");
    files.helper_environment = (const char *const *)environ;
    files.auth_file = auth && *auth ? auth : containers;
    files.docker_config = docker;
    rc = rafs_credentials_from_files(&files, host, repo, attempt, out, call, err);
    free(containers);
    free(docker);
    return rc;
}

/* In an error of opening these are not about a path in the image. */
void remote_open_code(struct command *c, const rafs_error *err)
{
    if (err->code == RAFS_E_BADARG)
        c->outcome.code = EXIT_USAGE;
    else if (err->code == RAFS_E_NOENT)
        c->outcome.code = EXIT_SOURCE;
}

void remote_registry(struct command *c, rafs_registry_options *registry,
                     rafs_credentials_source *files)
{
    files->get = ask_files;
    registry->credentials = files;
    registry->platform = c->platform;
    registry->flags = (c->plain_http ? RAFS_REGISTRY_PLAIN_HTTP : 0u) |
                      (c->referrers ? RAFS_REGISTRY_REFERRERS : 0u) |
                      (c->all ? RAFS_REGISTRY_CONFIG : 0u);
}

static bool open_registry(struct command *c, const char *image,
                          rafs_open_options *options)
{
    rafs_registry_options registry = RAFS_REGISTRY_OPTIONS_INIT;
    rafs_credentials_source files = RAFS_CREDENTIALS_SOURCE_INIT;
    rafs_error err = RAFS_ERROR_INIT;

    if (c->bootstrap)
        return remote_add_repository(c, image) && command_open_bytes(c, image, options);
    remote_registry(c, &registry, &files);
    if (!mirrors_gather(c, image, &registry))
        return false;
    if (rafs_image_open_registry(c->http, image, &registry, options, &c->image,
                                 command_call(c), &err) == RAFS_OK)
        return true;
    /* What is no reference may have a password in it. */
    command_failed(c, strcmp(err.object, "image reference") == 0 ? NULL : image, &err);
    remote_open_code(c, &err);
    return false;
}

/* The URL without user and password, which are nobody's business. */
void remote_shown(const char *url, char *out, size_t room)
{
    const char *host = strstr(url, "://") + 3;
    const char *end = host + strcspn(host, "/?#");
    const char *user_end = host;

    for (const char *at = host; at < end; at++)
        if (*at == '@')
            user_end = at + 1;
    /* A '/' in a password ends the host too early; then no one can tell what is what. */
    if (strchr(end, '@'))
        snprintf(out, room, "%.*s\u2026%s", (int)(host - url), url, strrchr(end, '@'));
    else
        snprintf(out, room, "%.*s%s", (int)(host - url), url, user_end);
}

static bool is_loopback(const char *host)
{
    static const char *const names[] = {"localhost", "[::1]"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);

        if (strncasecmp(host, names[i], len) == 0 && strchr(":/?#", host[len]))
            return true; /* strchr() finds the end, too */
    }
    /* 127.EVIL.EXAMPLE is a name, no address. */
    return strncmp(host, "127.", 4) == 0 &&
           strchr(":/?#", host[strspn(host, "0123456789.")]);
}

bool remote_may_ask(struct command *c, const char *url)
{
    const char *host = url + strlen("http://");
    char text[512];

    if (strncasecmp(url, "http://", strlen("http://")) != 0 || c->plain_http)
        return true;
    /* Behind user and password, which may have an '@' in them, too. */
    for (const char *at = host, *end = host + strcspn(host, "/?#"); at < end; at++)
        if (*at == '@')
            host = at + 1;
    if (is_loopback(host))
        return true;
    remote_shown(url, text, sizeof text);
    command_usage(c,
                  "%s: http shows everybody on the way what is asked for; "
                  "--plain-http allows it",
                  text);
    return false;
}

bool remote_open_last(struct command *c, const char *name, const char *shown,
                      rafs_open_options *options)
{
    rafs_error err = RAFS_ERROR_INIT;

    if (c->bootstrap)
        return command_open_bytes(c, shown, options);
    options->backend_count = c->backend_count;
    if (rafs_image_open_backend(c->backends[c->backend_count - 1], name, options,
                                &c->image, command_call(c), &err) == RAFS_OK)
        return true;
    command_failed(c, shown, &err);
    remote_open_code(c, &err);
    return false;
}

/* URL of a bootstrap; its blobs lie in blobs/ beside it, or in its own folder. */
static bool open_http(struct command *c, const char *image, rafs_open_options *options)
{
    const char *name = strrchr(image, '/') + 1;
    size_t len = (size_t)(name - image);
    char *base = malloc(len + sizeof "blobs");
    char name_shown[512];
    bool good;

    /* It is not shown: such a query often lets in whoever has it. */
    if (strchr(image, '?')) {
        command_usage(c, "a URL with a query names no folder in which blobs could be");
        free(base);
        return false;
    }
    if (!base) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return false;
    }
    memcpy(base, image, len);
    memcpy(base + len, "blobs", sizeof "blobs");
    good = remote_add_http(c, base);
    base[len] = '\0';
    good = good && remote_add_http(c, base);
    free(base);
    if (!good)
        return false;
    remote_shown(image, name_shown, sizeof name_shown);
    return remote_open_last(c, name, name_shown, options);
}

static const struct kind {
    const char *prefix;
    bool network;
    bool (*open)(struct command *c, const char *image, rafs_open_options *options);
} kinds[] = {{"docker://", true, open_registry},  {"http://", true, open_http},
             {"https://", true, open_http},       {"s3://", true, bucket_open},
             {"oss://", true, bucket_open},       {"oci:", false, layout_open},
             {"oci-archive:", false, layout_open}};

static const struct kind *kind_of(const char *image)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(image, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return &kinds[i];
    return NULL;
}

bool remote_is(const char *image)
{
    return kind_of(image) != NULL;
}

bool remote_is_network(const char *image)
{
    const struct kind *kind = kind_of(image);

    return kind && kind->network;
}

bool remote_open(struct command *c, const char *image, rafs_open_options *options)
{
    const struct kind *kind = kind_of(image);

    if (kind->network && !remote_http(c))
        return false;
    return kind->open(c, image, options);
}

void remote_close(struct command *c)
{
    mirrors_drop(c);
    rafs_http_free(c->http);
    c->http = NULL;
}
