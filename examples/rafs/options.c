/* SPDX-License-Identifier: Apache-2.0 */
/* Options and numbers as people type them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "stats.h"

static bool is_digest(const char *text)
{
    static const char *const kinds[] = {"sha256:", "blake3:", "blob-sha256:"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = strlen(kinds[i]);

        if (strncmp(text, kinds[i], len) == 0)
            return strlen(text + len) == 2 * (size_t)RAFS_DIGEST_BYTES &&
                   strspn(text + len, "0") < 2 * (size_t)RAFS_DIGEST_BYTES &&
                   strspn(text + len, "0123456789abcdefABCDEF") == strlen(text + len);
    }
    return false;
}

static bool set_timeout(struct command *c, const char *text)
{
    char *end = NULL;
    double seconds = strtod(text, &end);

    /* !(>=) refuses NaN too; the upper bound keeps milliseconds in their type */
    if (end == text || *end != '\0' || !(seconds >= 0.0) || seconds > 1e12)
        return false;
    c->timeout_ms = (uint64_t)(seconds * 1000.0);
    if (seconds > 0.0 && c->timeout_ms == 0)
        c->timeout_ms = 1;
    c->timeout_given = true;
    return true;
}

static bool set_size(struct command *c, const char *option, uint64_t *size)
{
    if (parse_bytes(optarg, true, size))
        return true;
    command_usage(c, "%s: '%s' is not a size such as 500M or 20G", option, optarg);
    return false;
}

static void print_help(const struct command *c)
{
    fputs(c->help, stdout);
    if (c->no_image)
        return;
    fputs(
        "\n"
        "Common options:\n"
        "  --blob-dir DIR       folder of blobs named by their id; may be repeated;\n"
        "                       default: blobs/ beside IMAGE, then IMAGE's own folder\n"
        "  --blob-source URL    where else blobs are: s3://BUCKET/PREFIX, oss://…, "
        "http(s)://…,\n"
        "                       docker://HOST/REPO, oci:DIR; may be repeated\n"
        "  --expect-digest D    refuse a bootstrap of another digest; D is sha256:HEX "
        "or\n"
        "                       blake3:HEX of the bootstrap, or blob-sha256:HEX of the\n"
        "                       whole file IMAGE\n"
        "  --cache-dir DIR      keep chunks there for the next run; default for images "
        "in "
        "the\n"
        "                       network: RAFS_CACHE_DIR, /var/cache/rafs or "
        "~/.cache/rafs\n"
        "  --no-cache           keep nothing\n"
        "  --cache-quota SIZE   disk space that the cache may take (default: no limit)\n"
        "  --cache-keep-free SIZE   disk space that it leaves (default: 5 %, at most 1 "
        "GiB)\n"
        "  --learn              fetch beforehand what the last run with --learn read, "
        "and\n"
        "                       remember what this one reads; needs a cache\n"
        "  --trace-record FILE  write down what is read, for rafs prefetch and rafs "
        "trace\n"
        "  --platform OS/ARCH   which image of an index; default: this machine's\n"
        "  --referrers          where IMAGE is an ordinary one, take a RAFS form "
        "attached "
        "to it\n"
        "  --mirror URL         ask this mirror of the registry first; may be repeated\n"
        "  --hosts-dir DIR      mirrors and certificates as containerd has them, in\n"
        "                       DIR/HOST/hosts.toml\n"
        "  --p2p-proxy URL      ask for data through this proxy in front of peers "
        "(Dragonfly)\n"
        "  --p2p-ping URL       as long as this answers\n"
        "  --p2p-strict         and never without it\n"
        "  --p2p-http           let it see what is asked for by https\n"
        "  --plain-http         http instead of https (always for this machine itself)\n"
        "  --ca-file FILE       PEM file of certificates to believe, instead of the "
        "system's\n"
        "  --client-cert FILE, --client-key FILE   PEM files to show to the server\n"
        "  --insecure           believe any certificate\n"
        "  --s3-endpoint URL, --s3-region R, --oss-endpoint URL   which store; more in "
        "rafs(1)\n"
        "  --s3-path-style, --s3-virtual-host   where the bucket is in its URLs\n"
        "  --stats[=FORM]       tell at the end what reading took; FORM is text, json "
        "or\n"
        "                       openmetrics\n"
        "  --stats-file FILE    tell it there instead of on standard error\n"
        "  --timeout SECONDS    longest time for one step (default 60; 0: no limit)\n"
        "  --help               show this text\n"
        "\n"
        "Exit status: 0 good; 1 corrupt or refused by verification; 2 usage; 3 image,\n"
        "blob, output or deadline failed; 4 unsupported; 6 no such path in the image;\n"
        "130 interrupted. See rafs(1).\n",
        stdout);
}

/* Where the argument of an option is kept as it is. */
static const char **text_of(struct command *c, int opt)
{
    switch (opt) {
    case OPT_S3_ENDPOINT:
        return &c->s3_endpoint;
    case OPT_S3_REGION:
        return &c->s3_region;
    case OPT_OSS_ENDPOINT:
        return &c->oss_endpoint;
    case OPT_CA_FILE:
        return &c->ca_file;
    case OPT_CLIENT_CERT:
        return &c->client_cert;
    case OPT_CLIENT_KEY:
        return &c->client_key;
    case OPT_PLATFORM:
        return &c->platform;
    case OPT_TRACE_RECORD:
        return &c->trace_file;
    case OPT_STATS_FILE:
        return &c->stats_file;
    case OPT_P2P_PROXY:
        return &c->p2p_proxy;
    case OPT_P2P_PING:
        return &c->p2p_ping;
    case OPT_HOSTS_DIR:
        return &c->hosts_dir;
    default:
        return NULL;
    }
}

static bool *switch_of(struct command *c, int opt)
{
    switch (opt) {
    case OPT_PLAIN_HTTP:
        return &c->plain_http;
    case OPT_INSECURE:
        return &c->insecure;
    case OPT_REFERRERS:
        return &c->referrers;
    case OPT_LEARN:
        return &c->learn;
    default:
        return NULL;
    }
}

static bool add_text(struct command *c, const char *option, const char **texts,
                     size_t *count, size_t most)
{
    if (*count == most) {
        command_usage(c, "%s: at most %zu of them", option, most);
        return false;
    }
    texts[(*count)++] = optarg;
    return true;
}

static bool set_digest(struct command *c)
{
    if (is_digest(optarg)) {
        c->expect_digest = optarg;
        return true;
    }
    command_usage(c,
                  "--expect-digest: '%s' is not sha256:, blake3: or blob-sha256: "
                  "followed by 64 hex digits, not all 0",
                  optarg);
    return false;
}

static void set_cache(struct command *c, const char *directory)
{
    c->cache_dir = directory;
    c->no_cache = !directory; /* the last of the two options is what is meant */
}

/* An option with an argument of its own kind. False: reported. */
static bool other_option(struct command *c, int opt)
{
    switch (opt) {
    case OPT_BLOB_DIR:
        return add_text(c, "--blob-dir", c->blob_dirs, &c->blob_dir_count,
                        RAFS_SOURCES_MAX);
    case OPT_BLOB_SOURCE:
        return add_text(c, "--blob-source", c->blob_sources, &c->blob_source_count,
                        RAFS_SOURCES_MAX);
    case OPT_MIRROR:
        return add_text(c, "--mirror", c->mirror_urls, &c->mirror_count,
                        RAFS_MIRRORS_MAX);
    case OPT_EXPECT_DIGEST:
        return set_digest(c);
    case OPT_CACHE_QUOTA:
        return set_size(c, "--cache-quota", &c->cache_quota);
    case OPT_CACHE_KEEP_FREE:
        c->cache_floor_given = true;
        return set_size(c, "--cache-keep-free", &c->cache_floor);
    case OPT_STATS:
        return stats_form(c, optarg);
    default:
        if (set_timeout(c, optarg))
            return true;
        command_usage(c, "--timeout: '%s' is not a number of seconds", optarg);
        return false;
    }
}

/* 0: it was one of those that all commands share. */
static int common_option(struct command *c, int opt)
{
    const char **text = text_of(c, opt);
    bool *on = switch_of(c, opt);

    if (text)
        *text = optarg;
    if (on)
        *on = true;
    if (text || on)
        return 0;
    switch (opt) {
    case OPT_HELP:
        print_help(c);
        return OPT_STOP;
    case OPT_S3_PATH_STYLE:
        c->s3_flags = RAFS_BUCKET_PATH_STYLE;
        return 0;
    case OPT_S3_VIRTUAL_HOST:
        c->s3_flags = RAFS_BUCKET_VIRTUAL_HOST;
        return 0;
    case OPT_P2P_STRICT:
        c->p2p_flags |= RAFS_P2P_STRICT;
        return 0;
    case OPT_P2P_HTTP:
        c->p2p_flags |= RAFS_P2P_USE_HTTP;
        return 0;
    case OPT_CACHE_DIR:
        set_cache(c, optarg);
        return 0;
    case OPT_NO_CACHE:
        set_cache(c, NULL);
        return 0;
    case OPT_BLOB_DIR:
    case OPT_BLOB_SOURCE:
    case OPT_MIRROR:
    case OPT_EXPECT_DIGEST:
    case OPT_CACHE_QUOTA:
    case OPT_CACHE_KEEP_FREE:
    case OPT_STATS:
    case OPT_TIMEOUT:
        return other_option(c, opt) ? 0 : OPT_STOP;
    default:
        return opt;
    }
}

static void unknown_option(struct command *c, const char *word,
                           const struct option *longs)
{
    const char *names[64];
    size_t count = 0;
    const char *nearest;
    /* as find(1) and its users write them */
    const char *dash = c->long_only ? "-" : "--";
    char bare[64];

    if (word[0] != '-' || (word[1] != '-' && !c->long_only)) {
        if (optopt > ' ' && optopt < 127)
            command_usage(c, "unknown option -%c", optopt);
        else
            command_usage(c, "unknown option %s", word);
        return;
    }
    while (longs[count].name && count < sizeof names / sizeof *names) {
        names[count] = longs[count].name;
        count++;
    }
    word += strspn(word, "-");
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word, "="), word);
    nearest = nearest_name(bare, names, count);
    if (nearest)
        command_usage(c, "unknown or ambiguous option %s%s; did you mean %s%s?", dash,
                      bare, dash, nearest);
    else
        command_usage(c, "unknown or ambiguous option %s%s", dash, bare);
}

static const char *long_name(const struct option *longs, int value)
{
    for (; longs->name; longs++) {
        if (longs->val == value)
            return longs->name;
    }
    return NULL;
}

int command_getopt(struct command *c, int argc, char **argv, const char *shorts,
                   const struct option *longs)
{
    char spec[64];
    int opt;

    opterr = 0;
    snprintf(spec, sizeof spec, ":%s", shorts);
    do {
        /* What getopt looks at next: after a failure optind may be past it. */
        int before = optind > 0 ? optind : 1; /* 0: begin anew */

        opt = c->long_only ? getopt_long_only(argc, argv, spec, longs, NULL)
                           : getopt_long(argc, argv, spec, longs, NULL);
        if (opt == ':') {
            const char *name = long_name(longs, optopt);

            if (name)
                command_usage(c, "option %s%s needs an argument",
                              c->long_only ? "-" : "--", name);
            else
                command_usage(c, "option -%c needs an argument", optopt);
            return OPT_STOP;
        }
        if (opt == '?') {
            unknown_option(c, argv[optind > before ? optind - 1 : before], longs);
            return OPT_STOP;
        }
        opt = common_option(c, opt);
    } while (opt == 0);
    return opt;
}

static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t row[LONGEST + 1];
    size_t a_len = strnlen(a, LONGEST), b_len = strnlen(b, LONGEST);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *nearest_name(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t least = strlen(word) < 4 ? 2 : 3; /* farther ones are no help */

    for (size_t i = 0; i < count; i++) {
        size_t far = distance(word, names[i]);

        if (far < least) {
            least = far;
            nearest = names[i];
        }
    }
    return nearest;
}

bool parse_bytes(const char *text, bool suffixes, uint64_t *value)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    unsigned long long number;
    const char *unit;
    unsigned shift = 0;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    if (*end != '\0' && suffixes && (unit = strchr(units, *end)) != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (*end != '\0' || number > UINT64_MAX >> shift)
        return false;
    *value = (uint64_t)number << shift;
    return true;
}
