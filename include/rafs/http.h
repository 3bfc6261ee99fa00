/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_HTTP_H
#define RAFS_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "env.h"

/**
 * @file
 * HTTP, as the sources in registries and object stores use it: one client holds the
 * connections, and any number of backends share it.
 *
 * Nothing is taken from the environment of the process: a proxy, certificates and
 * credentials are used if they are given here, and not otherwise. (What lies below has
 * variables for debugging that it looks at by itself: libcurl SSLKEYLOGFILE, OpenSSL
 * OPENSSL_CONF, the C library those of its resolver.)
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Connections, and how they are made. Any number of threads may use one at once. */
typedef struct rafs_http rafs_http;

/** Bits of rafs_http_options.flags. */
enum {
    RAFS_HTTP_INSECURE = 1 /**< believe any certificate: whoever sits between can read
                                credentials; content is still verified */
};

/** Bits of rafs_p2p_options.flags. */
enum {
    RAFS_P2P_STRICT = 1, /**< never ask the server itself where the proxy fails */
    /** Ask the proxy for http:// where the URL is https://, which it makes https again:
     *  so it sees what it is to share, and the credentials too. */
    RAFS_P2P_USE_HTTP = 2
};

/**
 * A proxy in front of peers that share blobs, such as Dragonfly's daemon; zero in a field
 * means the default. Texts are copied.
 *
 * Data of blobs is asked for through it, and nothing else: no manifest, no token. It is
 * told X-Dragonfly-Use-P2P, X-Dragonfly-Prefetch, and X-Dragonfly-Priority: 6 where
 * somebody waits, 3 where nobody does yet. Where it cannot be reached, answers with an
 * error or with wrong bytes, or is not well, the server itself is asked.
 */
typedef struct rafs_p2p_options {
    uint32_t struct_size; /**< sizeof(rafs_p2p_options) */
    uint32_t flags;       /**< RAFS_P2P_ */
    const char *proxy;    /**< "http://HOST:PORT" */
    /** URL that answers GET with 200 to 399 as long as the proxy is well; looked at when
     *  data is asked for. NULL: it is believed to be. */
    const char *ping;
    uint32_t check_interval_ms; /**< between such looks, and for which a proxy that fails
                                     is passed; default 5000 */
    uint32_t reserved;          /**< 0 */
} rafs_p2p_options;

#define RAFS_P2P_OPTIONS_INIT                         \
    {                                                 \
        sizeof(rafs_p2p_options), 0, NULL, NULL, 0, 0 \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_p2p_options_init(rafs_p2p_options *options);

/** How a client connects; zero in a field means the default. Texts are copied. */
typedef struct rafs_http_options {
    uint32_t struct_size;    /**< sizeof(rafs_http_options) */
    uint32_t flags;          /**< RAFS_HTTP_ */
    const rafs_env *env;     /**< copied; NULL: the default environment */
    const char *ca_file;     /**< PEM file of root certificates; NULL: the system's */
    const char *ca_dir;      /**< folder of them, by hash; NULL: the system's */
    const char *client_cert; /**< PEM file; NULL: none */
    const char *client_key;  /**< PEM file; NULL: in client_cert */
    const char *http_proxy;  /**< URL of the proxy for http://; NULL or "": none */
    const char *https_proxy; /**< URL of the proxy for https://; NULL or "": none */
    /** Hosts that are asked without a proxy, as in NO_PROXY; NULL or "": none. */
    const char *no_proxy;
    const char *user_agent;      /**< NULL: "librafs/VERSION" */
    const char *const *headers;  /**< "Name: value", sent with every request */
    size_t header_count;         /**< 0 to 64 */
    uint32_t connect_timeout_ms; /**< default 10000 */
    uint32_t stall_timeout_ms; /**< an attempt that is slower than 512 bytes a second for
                                    so long has failed; default 20000 */
    /** How long a request is tried again where the call has no deadline. Default 60000.
     */
    uint32_t retry_ms;
    uint32_t connections_max;    /**< requests at once; default 16 */
    uint64_t bytes_per_second;   /**< of all answers together; 0: no limit */
    const rafs_p2p_options *p2p; /**< copied; NULL: no such proxy */
} rafs_http_options;

#define RAFS_HTTP_OPTIONS_INIT                                                        \
    {                                                                                 \
        sizeof(rafs_http_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL, NULL, 0, 0, 0, 0, 0, 0, NULL                                        \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_http_options_init(rafs_http_options *options);

/**
 * Make a client.
 *
 * Requests run in the threads that ask; connections are kept and used again.
 *
 * @param options  NULL: the defaults
 * @param out      out: the client, to be freed with rafs_http_free() after everything
 *                 that uses it
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       an option is wrong, such as a header without a colon
 *         RAFS_E_UNSUPPORTED  options is newer than the library and asks for more
 *         RAFS_E_NOMEM        no memory, or libcurl cannot start
 *
 * On failure *out is unchanged. Never blocks. Any thread; the first call in a process
 * starts libcurl, once. Source: none. Since: 1.0.
 */
RAFS_API int rafs_http_new(const rafs_http_options *options, rafs_http **out,
                           rafs_error *err);

/**
 * Free a client. Nothing may be using it any more.
 *
 * @param http  NULL does nothing
 *
 * Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_http_free(rafs_http *http);

/**
 * Blobs below a URL: the blob ID is what BASE/ID answers to GET with a Range.
 *
 * A server that ignores ranges is used too, and remembered for some minutes: a blob is
 * asked for once, what is wanted is taken out of it as it passes, and its last 4 MiB are
 * kept in memory. Reading back beyond those asks for it again.
 *
 * @param http  borrowed until the backend is freed
 * @param base  "http://…" or "https://…", with or without a '/' at its end; copied. A
 *              user and password in it are sent (Basic) to its host alone.
 * @param out   out: the backend, to be freed with rafs_backend_free()
 * @param err   out, optional
 * @return RAFS_OK; RAFS_E_BADARG: not such a URL; RAFS_E_NOMEM
 *
 * On failure *out is unchanged. Never blocks. Any thread. Source: RFC 9110. Since: 1.0.
 */
RAFS_API int rafs_backend_new_http(rafs_http *http, const char *base, rafs_backend **out,
                                   rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
