/* SPDX-License-Identifier: Apache-2.0 */
/* rafs export: an image as something that others read. */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char export_help[] =
    "Usage: rafs export --erofs [OPTION]... -o FILE IMAGE\n"
    "       rafs export --erofs [OPTION]... --devices DIR IMAGE\n"
    "Write IMAGE as an EROFS file system, which Linux mounts without rafs. All of it is\n"
    "fetched and verified.\n"
    "\n"
    "  --erofs              what to write; nothing else is known yet\n"
    "  -o, --output FILE    one disk image with metadata and content; -: standard "
    "output\n"
    "  --devices DIR        DIR/image.erofs with the metadata, and DIR/blob-0 and so "
    "on:\n"
    "                       for each blob a sparse file with its uncompressed chunks\n"
    "  --force              replace files that are there\n"
    "  --no-sync            do not wait until the disk has it\n"
    "  --progress FORM      auto (a bar on a terminal), plain, json or none\n"
    "  --json               the summary as JSON\n"
    "\n"
    "The command that mounts the result is printed. Of an image of version 6 the "
    "metadata "
    "is\n"
    "its own bootstrap, else it is laid out anew; rafs reads it too, with the blobs of\n"
    "IMAGE. Files get their names when they are complete, the metadata last.\n"
    "\n"
    "Examples:\n"
    "  rafs export --erofs -o app.erofs docker://registry.example.org/app:1\n"
    "  mount -t erofs -o ro,loop app.erofs /mnt\n";

bool export_begin(struct export_run *run, struct export_file *file)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;

    *file = (struct export_file){.dest = &run->dest, .fd = -1};
    dest_temp_name(&run->dest, file->temp);
    file->fd = openat(run->dest.parent, file->temp, flags, 0666);
    if (file->fd >= 0)
        return true;
    command_say(run->c, EXIT_SOURCE, "no file can be made where it is to be: %s",
                strerror(errno));
    return false;
}

/* All of it, or errno. */
static int write_all(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int export_write(void *user, const void *data, size_t len, const rafs_call *call,
                 rafs_error *err)
{
    struct export_file *file = user;
    int why = write_all(file->fd, data, len);

    (void)call;
    if (why)
        return rafs_error_set(err, RAFS_E_BACKEND, why, "output", strerror(why));
    file->at += len;
    return RAFS_OK;
}

bool export_taken(struct export_run *run, const char *name)
{
    struct stat st;

    if (run->moving.force ||
        fstatat(run->dest.parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    command_say(run->c, EXIT_USAGE, "%s is there already; --force replaces it", name);
    return true;
}

/* A directory's names reach the disk by its own descriptor; dest has one for paths only.
 */
static int sync_dir(const struct dest *dest)
{
    int fd = openat(dest->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int why = fd < 0 || fsync(fd) < 0 ? errno : 0;

    if (fd >= 0)
        close(fd);
    return why;
}

bool export_commit(struct export_run *run, struct export_file *file, const char *name)
{
    int why = 0;

    if (!run->no_sync && fsync(file->fd) < 0)
        why = errno;
    if (close(file->fd) < 0 && why == 0)
        why = errno;
    file->fd = -1;
    if (why == 0)
        why = dest_publish(file->dest, file->temp, name);
    if (why == 0 && !run->no_sync)
        why = sync_dir(file->dest);
    if (why == 0) {
        file->temp[0] = '\0';
        return true;
    }
    if (why == EEXIST)
        command_say(run->c, EXIT_USAGE, "%s is there already; --force replaces it", name);
    else
        command_say(run->c, EXIT_SOURCE, "%s: %s", name, strerror(why));
    return false;
}

void export_abort(struct export_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    if (file->dest && file->temp[0])
        unlinkat(file->dest->parent, file->temp, 0);
    file->temp[0] = '\0';
}

char *export_quoted(const char *text)
{
    size_t len = 0;
    char *quoted = NULL;
    FILE *out = open_memstream(&quoted, &len);

    if (!out)
        return NULL;
    put_quoted(out, text, strlen(text));
    if (fclose(out) == 0)
        return quoted;
    free(quoted);
    return NULL;
}

static void progress(void *user, const rafs_erofs_progress *p)
{
    struct export_run *run = user;
    rafs_copy_progress shown = {
        .struct_size = sizeof shown, .bytes_done = p->written, .bytes_total = p->total};

    if (p->total > 0)
        moving_progress(&run->moving, &shown);
}

/* The directory of a path, and the name in it. */
static bool enter_dir_of(struct export_run *run, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int made, why;

    *name = slash ? slash + 1 : path;
    if (!dir || dest_bad_name(*name, strlen(*name))) {
        if (dir)
            command_usage(run->c, "-o: '%s' names no file", path);
        else
            command_say(run->c, EXIT_SOURCE, "out of memory");
        free(dir);
        return false;
    }
    /* "dir/." is never made, and a missing one is a mistake. */
    why = access(dir, F_OK) < 0 ? errno : dest_open(&run->dest, dir, 0777, &made);
    if (why == 0)
        why = dest_enter(&run->dest, "", 0);
    if (why != 0)
        command_say(run->c, EXIT_SOURCE, "%s: %s", dir, strerror(why));
    free(dir);
    return why == 0;
}

static void tell_whole(struct export_run *run)
{
    const rafs_erofs_result *r = &run->result;
    char *quoted = export_quoted(run->out);
    char *command = NULL, size[32];
    struct json j;

    if (!quoted || asprintf(&command, "mount -t erofs -o ro,loop %s DIR", quoted) < 0) {
        command_say(run->c, EXIT_SOURCE, "out of memory");
    } else if (!run->moving.json) {
        printf("%s: %s\n  %s\n", quoted, human_bytes(r->size, size, sizeof size),
               command);
    } else {
        json_begin(&j, stdout);
        json_open(&j, '{');
        json_key(&j, "data_bytes");
        json_u64(&j, r->data_bytes);
        json_key(&j, "image");
        json_bytes(&j, run->out, strlen(run->out));
        json_key(&j, "mount");
        json_bytes(&j, command, strlen(command));
        json_key(&j, "sha256");
        json_hex(&j, r->sha256, sizeof r->sha256);
        json_key(&j, "size");
        json_u64(&j, r->size);
        json_close(&j, '}');
        json_newline(&j);
    }
    free(command);
    free(quoted);
}

static bool write_whole(struct export_run *run, struct export_file *file)
{
    rafs_erofs_options options = RAFS_EROFS_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call = moving_call();
    int rc;

    options.flags = RAFS_EROFS_WHOLE;
    options.progress = progress;
    options.progress_user = run;
    command_fetch_along(run->c, NULL, 0);
    moving_progress_begin(&run->moving);
    rc = rafs_image_write_erofs(run->c->image, &options, export_write, file, &run->result,
                                &call, &err);
    moving_progress_end(&run->moving);
    if (rc < 0 && strcmp(err.object, "output") == 0 && file->fd == STDOUT_FILENO)
        command_output_lost(run->c, err.os_errno);
    else if (rc < 0)
        command_failed(run->c, run->c->image_path, &err);
    return rc == RAFS_OK;
}

static void export_whole(struct export_run *run)
{
    struct export_file file = {.fd = -1};
    const char *name;

    if (strcmp(run->out, "-") == 0) {
        file.fd = STDOUT_FILENO;
        write_whole(run, &file);
        return;
    }
    if (!enter_dir_of(run, run->out, &name) || export_taken(run, name) ||
        !export_begin(run, &file))
        return;
    if (write_whole(run, &file) && export_commit(run, &file, name))
        tell_whole(run);
    export_abort(&file);
}

static void check_and_run(struct export_run *run, bool erofs, char **operands, int count)
{
    bool to_stdout = run->out && strcmp(run->out, "-") == 0;

    if (count != 1)
        command_usage(run->c, count == 0 ? "IMAGE is missing" : "too many operands");
    else if (!erofs)
        command_usage(run->c, "as what? --erofs");
    else if (!run->out == !run->devices)
        command_usage(run->c, run->out ? "-o or --devices, not both"
                                       : "where to? -o FILE or --devices DIR");
    else if (to_stdout && isatty(STDOUT_FILENO))
        command_usage(run->c, "a disk image is not written to a terminal; "
                              "send it to a file or a pipe");
    else if (to_stdout && run->moving.json)
        command_usage(run->c, "standard output is the image, and no place for --json");
    else if (!command_open(run->c, operands[0]))
        return;
    else if (run->devices)
        export_devices(run);
    else
        export_whole(run);
}

int cmd_export(int argc, char **argv)
{
    enum { OPT_EROFS = OPT_OWN, OPT_DEVICES, OPT_NO_SYNC };
    static const struct option longs[] = {
        COMMON_OPTIONS,
        {"erofs", no_argument, NULL, OPT_EROFS},
        {"output", required_argument, NULL, 'o'},
        {"devices", required_argument, NULL, OPT_DEVICES},
        {"no-sync", no_argument, NULL, OPT_NO_SYNC},
        {"force", no_argument, NULL, OPT_FORCE},
        {"progress", required_argument, NULL, OPT_PROGRESS},
        {"json", no_argument, NULL, OPT_JSON},
        {NULL, 0, NULL, 0}};
    struct command c = COMMAND_INIT("export", export_help);
    struct export_run run = {.c = &c,
                             .moving = {.c = &c},
                             .dest = DEST_INIT,
                             .result = RAFS_EROFS_RESULT_INIT};
    bool erofs = false;
    int opt;

    while ((opt = command_getopt(&c, argc, argv, "o:", longs)) != -1) {
        if (opt == OPT_STOP || !moving_option(&run.moving, opt))
            return command_end(&c);
        erofs = erofs || opt == OPT_EROFS;
        run.no_sync = run.no_sync || opt == OPT_NO_SYNC;
        run.out = opt == 'o' ? optarg : run.out;
        run.devices = opt == OPT_DEVICES ? optarg : run.devices;
    }
    c.moves = true;
    run.dest.overwrite = run.moving.force;
    check_and_run(&run, erofs, argv + optind, argc - optind);
    dest_close(&run.dest);
    return command_end(&c);
}
