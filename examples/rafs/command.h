/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_H
#define RAFS_COMMAND_H

/*
 * What the subcommands of `rafs` share. The way of one of them:
 *
 *     struct command c = COMMAND_INIT("cat", cat_help);
 *     while ((opt = command_getopt(&c, argc, argv, "", options)) != -1) ...
 *     command_open(&c, argv[optind]);         says what failed, notes the exit code
 *     rafs_image_read(c.image, ..., command_call(&c), &err);
 *     command_failed(&c, "/path", &err);      the same for everything later
 *     return command_end(&c);                 flushes stdout, closes, gives the exit code
 */

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rafs/rafs.h>

#include "output.h"

/* What the process ends with; of several failures the most telling one wins. */
enum {
    EXIT_GOOD = 0,
    EXIT_CORRUPT = 1, /* or refused by verification */
    EXIT_USAGE = 2,
    EXIT_SOURCE = 3, /* image, blob, network or output failed; deadline; no memory */
    EXIT_UNSUPPORTED = 4,
    EXIT_DIFFERENT = 5, /* what was compared is not the same */
    EXIT_NO_PATH = 6,
    EXIT_INTERRUPTED = 130
};

/* The exit code so far. Zero it to begin. */
struct outcome {
    int code;
};

/* Note one more exit code: 1 wins over 130, then 3, 4, 6, 5, 0. 2 stands alone. */
void outcome_note(struct outcome *outcome, int exit_code);

/* Values of the common long options; those of a subcommand begin at OPT_OWN. */
enum {
    OPT_STOP = 256, /* command_getopt(): nothing more to do, return command_end() */
    OPT_BLOB_DIR,
    OPT_BLOB_SOURCE,
    OPT_S3_ENDPOINT,
    OPT_S3_REGION,
    OPT_S3_PATH_STYLE,
    OPT_S3_VIRTUAL_HOST,
    OPT_OSS_ENDPOINT,
    OPT_EXPECT_DIGEST,
    OPT_TIMEOUT,
    OPT_CACHE_DIR,
    OPT_NO_CACHE,
    OPT_CACHE_QUOTA,
    OPT_CACHE_KEEP_FREE,
    OPT_PLAIN_HTTP,
    OPT_INSECURE,
    OPT_CA_FILE,
    OPT_CLIENT_CERT,
    OPT_CLIENT_KEY,
    OPT_PLATFORM,
    OPT_REFERRERS,
    OPT_TRACE_RECORD,
    OPT_LEARN,
    OPT_MIRROR,
    OPT_HOSTS_DIR,
    OPT_P2P_PROXY,
    OPT_P2P_PING,
    OPT_P2P_STRICT,
    OPT_P2P_HTTP,
    OPT_STATS,
    OPT_STATS_FILE,
    OPT_HELP,
    OPT_OWN = 512
};

/* clang-format off */
#define COMMON_OPTIONS                                          \
    { "blob-dir", required_argument, NULL, OPT_BLOB_DIR },      \
    { "blob-source", required_argument, NULL, OPT_BLOB_SOURCE }, \
    { "s3-endpoint", required_argument, NULL, OPT_S3_ENDPOINT }, \
    { "s3-region", required_argument, NULL, OPT_S3_REGION },    \
    { "s3-path-style", no_argument, NULL, OPT_S3_PATH_STYLE },  \
    { "s3-virtual-host", no_argument, NULL, OPT_S3_VIRTUAL_HOST }, \
    { "oss-endpoint", required_argument, NULL, OPT_OSS_ENDPOINT }, \
    { "expect-digest", required_argument, NULL, OPT_EXPECT_DIGEST }, \
    { "timeout", required_argument, NULL, OPT_TIMEOUT },        \
    { "cache-dir", required_argument, NULL, OPT_CACHE_DIR },    \
    { "no-cache", no_argument, NULL, OPT_NO_CACHE },            \
    { "cache-quota", required_argument, NULL, OPT_CACHE_QUOTA }, \
    { "cache-keep-free", required_argument, NULL, OPT_CACHE_KEEP_FREE }, \
    { "plain-http", no_argument, NULL, OPT_PLAIN_HTTP },        \
    { "insecure", no_argument, NULL, OPT_INSECURE },            \
    { "ca-file", required_argument, NULL, OPT_CA_FILE },        \
    { "client-cert", required_argument, NULL, OPT_CLIENT_CERT },\
    { "client-key", required_argument, NULL, OPT_CLIENT_KEY },  \
    { "platform", required_argument, NULL, OPT_PLATFORM },      \
    { "referrers", no_argument, NULL, OPT_REFERRERS },          \
    { "trace-record", required_argument, NULL, OPT_TRACE_RECORD }, \
    { "learn", no_argument, NULL, OPT_LEARN },                  \
    { "mirror", required_argument, NULL, OPT_MIRROR },          \
    { "hosts-dir", required_argument, NULL, OPT_HOSTS_DIR },    \
    { "p2p-proxy", required_argument, NULL, OPT_P2P_PROXY },    \
    { "p2p-ping", required_argument, NULL, OPT_P2P_PING },      \
    { "p2p-strict", no_argument, NULL, OPT_P2P_STRICT },        \
    { "p2p-http", no_argument, NULL, OPT_P2P_HTTP },            \
    { "stats", optional_argument, NULL, OPT_STATS },            \
    { "stats-file", required_argument, NULL, OPT_STATS_FILE },  \
    { "help", no_argument, NULL, OPT_HELP }
/* clang-format on */

/* Takes a line of the library's log, from any thread. */
typedef void command_log(uint32_t level, const char *line);

struct command {
    const char *name;       /* "ls" */
    const char *help;       /* what --help prints before the common options */
    bool long_only;         /* `-name` is an option too, as with find(1) */
    bool no_image;          /* opens none: has none of the common options but --help */
    const char *image_path; /* set by command_open() */
    const char *expect_digest;
    const char *blob_dirs[RAFS_SOURCES_MAX];
    size_t blob_dir_count;
    const char *blob_sources[RAFS_SOURCES_MAX]; /* URLs and the like */
    size_t blob_source_count;
    const char *s3_endpoint, *s3_region, *oss_endpoint; /* NULL: not said */
    uint32_t s3_flags;                                  /* RAFS_BUCKET_ */
    uint64_t timeout_ms; /* of each call to the library; 0: none */
    bool timeout_given;
    const char *cache_dir; /* NULL: the default place, for images in the network */
    bool no_cache;
    uint64_t cache_quota; /* 0: none */
    uint64_t cache_floor; /* disk space left free, if given */
    bool cache_floor_given;
    rafs_cache *cache;
    bool plain_http;
    bool insecure;
    const char *ca_file;
    const char *client_cert;
    const char *client_key;
    const char *mirror_urls[RAFS_MIRRORS_MAX];
    size_t mirror_count;
    const char *hosts_dir;   /* NULL: none */
    struct mirrors *mirrors; /* mirrors.c */
    const char *p2p_proxy;   /* NULL: none */
    const char *p2p_ping;
    uint32_t p2p_flags;     /* RAFS_P2P_ */
    const char *platform;   /* OS/ARCHITECTURE */
    bool referrers;         /* an ordinary image may have a RAFS form attached */
    const char *trace_file; /* what is read is recorded there; NULL: not */
    bool all;               /* the config too, for who goes offline */
    bool moves;             /* much travels: --timeout is for how long nothing gets on */
    bool learn;             /* from the last run, for the next one */
    const char *stats;      /* what is shown at the end; NULL: nothing */
    const char *stats_file; /* where; NULL: standard error */
    rafs_http *http;        /* NULL: IMAGE is a file */
    rafs_image *image;
    rafs_prefetch *along; /* command_fetch_along(); NULL: none */
    rafs_backend *backends[RAFS_SOURCES_MAX];
    size_t backend_count;
    rafs_call call;
    struct outcome outcome;
    /* For programs that open images for others; NULL: what a command does. */
    FILE *complaints;          /* instead of standard error: why something failed */
    rafs_cancel *cancel;       /* instead of signals: stops its calls */
    const rafs_limits *limits; /* of the image */
    command_log *log;          /* instead of standard error: warnings of the library */
    const int *bootstrap;      /* instead of what IMAGE leads to: a descriptor of the very
                                  bytes; IMAGE tells where its blobs are, no more */
};

#define COMMAND_INIT(command_name, command_help)                            \
    {                                                                       \
        .name = (command_name), .help = (command_help), .timeout_ms = 60000 \
    }

/*
 * getopt_long() with the common options taken care of. `shorts` are the subcommand's own
 * letters (without '+', '-' or ':' in front); `longs` holds COMMON_OPTIONS.
 *
 * Gives an own option, -1 at the end, or OPT_STOP after --help or a mistake, which was
 * then reported.
 */
int command_getopt(struct command *c, int argc, char **argv, const char *shorts,
                   const struct option *longs);

/* Open IMAGE with the sources that were asked for. False: reported and noted. */
bool command_open(struct command *c, const char *image_path);
/* Open c->bootstrap, whose sources are in c->backends. False: reported and noted. */
bool command_open_bytes(struct command *c, const char *image_path,
                        rafs_open_options *options);
/* c->backends as for IMAGE, without opening it. False: reported and noted. */
bool command_sources(struct command *c, const char *image_path);
/* All below these paths, or everything, will be read: fetch it at the rate of the link
 * meanwhile, in the order of the blobs. Without a cache to put it into, or for an image
 * at hand, nothing is done. */
void command_fetch_along(struct command *c, char **paths, size_t count);
/* Close it, for another one to be opened. */
void command_close(struct command *c);

/* The environment of a handle: signals stop it. */
void command_env(rafs_env *env);

/* For the next call to the library: its deadline begins now. */
const rafs_call *command_call(struct command *c);

/* Where this command says what failed. */
FILE *command_complaints(const struct command *c);

/* Report an error of the library, note its exit code. `subject` is what the user asked
 * for, such as a path in the image; may be NULL. */
void command_failed(struct command *c, const char *subject, const rafs_error *err);

/* Report something else: one line on standard error, `exit_code` noted. */
void command_say(struct command *c, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As command_say() with EXIT_USAGE, and a pointer to --help. */
void command_usage(struct command *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* True after SIGINT or SIGTERM, and then noted: loops look at it. */
bool command_interrupted(struct command *c);

/* The same, without a word: for who was to be stopped by a signal. */
bool command_stopped(void);

/* True if standard output failed (full disk, closed pipe): going on is of no use. */
bool command_output_failed(void);

/* Report that standard output failed, once, unless that is what ends a pipe. */
void command_output_lost(struct command *c, int why);

/* Flush standard output and report if that fails, close the image, give the exit code. */
int command_end(struct command *c);

/* Once, from main(): the token that signals fire. */
bool command_start(void);
void command_stop(void);

/* "1234" or, if allowed, with K M G T (powers of 1024). False: not such a number. */
bool parse_bytes(const char *text, bool suffixes, uint64_t *value);

/* One text and then the other, in memory to free(); NULL: there is none. */
char *joined(const char *first, const char *second);

/* Exit code for what a call returned. */
int exit_code_of(int code);

/* Of `names` the one that a mistyped `word` probably meant, or NULL. */
const char *nearest_name(const char *word, const char *const *names, size_t count);

/* The whole target of a link or value of an attribute, in memory to free(), with a NUL
 * after it. NULL: failed, *err says why. */
char *read_target(const rafs_image *image, uint64_t ino, size_t *len, rafs_error *err);
char *read_xattr(const rafs_image *image, uint64_t ino, const char *name, size_t *len,
                 rafs_error *err);

/* Names of the extended attributes in order of their bytes, in memory to free(): an array
 * that ends in NULL, the names behind it. NULL: failed. */
char **read_xattr_names(const rafs_image *image, uint64_t ino, size_t *count,
                        rafs_error *err);

/* cache_dir.c: open the cache of an image, if it is to have one. False: reported. */
bool cache_open_for(struct command *c, bool network);

/* The subcommands; argv[0] is the subcommand's name. */
int cmd_build(int argc, char **argv);
int cmd_cache(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_chunks(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_copy(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_extract(int argc, char **argv);
int cmd_find(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_optimize(int argc, char **argv);
int cmd_prefetch(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_readlink(int argc, char **argv);
int cmd_sharing(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_tar(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_trace_record(int argc, char **argv);
int cmd_umount(int argc, char **argv);
/* mount.rafs, as mount(8) calls it; gives an exit code of mount(8). */
int mount_helper(int argc, char **argv);

#endif
