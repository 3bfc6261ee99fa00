/* SPDX-License-Identifier: Apache-2.0 */
/* rafs push: a bootstrap and its blobs become an image in a registry or layout. */
#include "moving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "remote.h"

enum { ANNOTATIONS_MAX = 64, CONFIG_MAX = 4 << 20 };
enum { OPT_CONFIG = OPT_OWN, OPT_ANNOTATION, OPT_DOCKER };

static const char push_help[] =
    "Usage: rafs push [OPTION]... IMAGE TARGET\n"
    "Make an image of what was built, and put it to TARGET: docker://HOST/REPO[:TAG],\n"
    "oci:DIR[:TAG] or oci-archive:FILE[:TAG]. IMAGE is a folder with image.boot and "
    "blobs/,\n"
    "as rafs build -o writes it, or a bootstrap; or a layout (oci:, oci-archive:), "
    "which\n"
    "is copied with all that it has under that name.\n"
    "\n"
    "  --config FILE        JSON config of an image, to be kept but for its layers\n"
    "  --annotation KEY=VALUE   of the manifest; may be repeated\n"
    "  --docker             docker's media types in place of those of OCI\n"
    "  --force              replace the file of an oci-archive\n"
    "  --threads N          blobs at once (default 3)\n"
    "  --progress FORM      auto (a bar on a terminal), plain, json or none\n"
    "  --json               the summary as JSON\n"
    "\n"
    "--timeout is for how long nothing gets on.\n"
    "\n"
    "Example:\n"
    "  rafs push out docker://registry.example.org/app:v1\n";

struct pushing {
    struct moving m;
    rafs_push_options options;
    const char *annotations[ANNOTATIONS_MAX];
    const char *config_path; /* NULL: none */
    char *config;            /* to free() */
};

/* All of the file of --config. */
static bool load_config(struct pushing *p)
{
    struct command *c = p->m.c;
    FILE *file;

    if (!p->config_path)
        return true;
    file = fopen(p->config_path, "rb");
    if (!file) {
        command_say(c, EXIT_SOURCE, "%s: %s", p->config_path, strerror(errno));
        return false;
    }
    p->config = malloc(CONFIG_MAX);
    p->options.config_len = p->config ? fread(p->config, 1, CONFIG_MAX, file) : 0;
    p->options.config = p->config;
    if (!p->config || ferror(file) || p->options.config_len == CONFIG_MAX) {
        command_say(c, EXIT_SOURCE, "%s: cannot be read, or has more than 4 MiB",
                    p->config_path);
        fclose(file);
        return false;
    }
    fclose(file);
    return true;
}

/* The bootstrap that IMAGE means, to free(). NULL: reported and noted. */
static char *find_bootstrap(struct command *c, const char *image)
{
    char *path = NULL;
    struct stat st;

    if (stat(image, &st) < 0)
        command_say(c, EXIT_SOURCE,
                    "%s: %s; IMAGE is a folder with image.boot, or a "
                    "bootstrap",
                    image, strerror(errno));
    else if (!(path = joined(image, S_ISDIR(st.st_mode) ? "/image.boot" : "")))
        command_say(c, EXIT_SOURCE, "out of memory");
    return path;
}

static void push(struct pushing *p, const char *image)
{
    struct moving *m = &p->m;
    struct command *c = m->c;
    rafs_call call = moving_call();
    rafs_error err = RAFS_ERROR_INIT;
    char *bootstrap = find_bootstrap(c, image);
    int rc;

    if (bootstrap && command_sources(c, bootstrap)) {
        p->options.backends = c->backends;
        p->options.backend_count = c->backend_count;
        p->options.platform = c->platform;
        p->options.threads = m->threads;
        p->options.progress = moving_progress;
        p->options.progress_user = m;
        m->result.struct_size = sizeof m->result;
        moving_progress_begin(m);
        rc = rafs_push(bootstrap, m->to, &p->options, &m->result, &call, &err);
        moving_progress_end(m);
        if (rc == RAFS_OK)
            moving_summary(m, "pushed");
        else
            command_failed(c, image, &err);
        if (rc < 0)
            remote_open_code(c, &err);
    }
    free(bootstrap);
}

/* An option of push's own. False: reported. */
static bool own_option(struct pushing *p, int opt)
{
    if (opt == OPT_CONFIG)
        p->config_path = optarg;
    else if (opt == OPT_DOCKER)
        p->options.flags |= RAFS_PUSH_DOCKER;
    else if (opt == OPT_ANNOTATION && p->options.annotation_count == ANNOTATIONS_MAX) {
        command_usage(p->m.c, "--annotation: at most %d of them", ANNOTATIONS_MAX);
        return false;
    } else if (opt == OPT_ANNOTATION) {
        p->annotations[p->options.annotation_count++] = optarg;
    }
    return true;
}

int cmd_push(int argc, char **argv)
{
    static const struct option longs[] = {
        COMMON_OPTIONS,
        MOVING_OPTIONS,
        {"config", required_argument, NULL, OPT_CONFIG},
        {"annotation", required_argument, NULL, OPT_ANNOTATION},
        {"docker", no_argument, NULL, OPT_DOCKER},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("push", push_help);
    struct pushing p = {.m = {.c = &c}, .options = RAFS_PUSH_OPTIONS_INIT};
    int opt;

    c.moves = true;
    p.options.annotations = p.annotations;
    while ((opt = command_getopt(&c, argc, argv, "", longs)) != -1)
        if (opt == OPT_STOP || !moving_option(&p.m, opt) || !own_option(&p, opt))
            return command_end(&c);
    if (argc - optind != 2) {
        command_usage(&c, argc - optind > 2 ? "too many operands"
                                            : "IMAGE or TARGET is missing");
    } else if (remote_is(argv[optind])) {
        if (moving_open_origin(&p.m, argv[optind]) &&
            moving_open_target(&p.m, argv[optind + 1]))
            moving_copy(&p.m, argv[optind], RAFS_COPY_ALL);
    } else if (load_config(&p) && moving_open_target(&p.m, argv[optind + 1])) {
        push(&p, argv[optind]);
    }
    moving_end(&p.m);
    free(p.config);
    return command_end(&c);
}
