/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_HOSTS_H
#define RAFS_COMMAND_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A hosts.toml as containerd reads it: https://github.com/containerd/containerd, its
 * docs/hosts.md. Read by hosts_toml.cpp, which is left out where there is no TOML
 * library.
 */

#ifdef __cplusplus
extern "C" {
#endif

enum { HOSTS_MAX = 15, HOSTS_HEADERS_MAX = 32 };

struct hosts_entry {
    char *url;
    bool pull, resolve; /* capabilities; both if none are named */
    bool override_path; /* the URL's path is taken as it is */
    bool skip_verify;
    bool server; /* stands for the registry itself */
    char *ca;    /* absolute or relative to the file; NULL: none */
    char *cert, *key;
    char *headers[HOSTS_HEADERS_MAX]; /* "Name: value" */
    size_t header_count;
};

struct hosts_file {
    struct hosts_entry entries[HOSTS_MAX];
    size_t count; /* in the order of the file, the server last */
    char error[256];
};

/* False: error says what is wrong, and in which line. To be freed either way. */
bool hosts_read(const char *path, struct hosts_file *out);
void hosts_free(struct hosts_file *file);

#ifdef __cplusplus
}
#endif
#endif
