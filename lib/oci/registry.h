/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_REGISTRY_H
#define RAFSI_OCI_REGISTRY_H

#include "backend/backend.h"
#include "oci/store.h"
#include "rafs/registry.h"

/*
 * One repository of a registry: its URLs, and the token that lets us in. A token is
 * fetched once for all threads, before it ends or after it was refused.
 */
struct oci_registry;

int rafsi_registry_new(rafs_http *http, const struct oci_reference *reference,
                       const rafs_registry_options *options, struct oci_registry **out,
                       rafs_error *err);
/* A mirror of it, which asks the same source of credentials, for its own host. Holds the
 * origin. */
int rafsi_registry_new_mirror(struct oci_registry *origin,
                              const struct oci_reference *reference,
                              const rafs_registry_mirror *mirror,
                              struct oci_registry **out, rafs_error *err);
/* One more user, one less. */
struct oci_registry *rafsi_registry_hold(struct oci_registry *registry);
void rafsi_registry_drop(struct oci_registry *registry);
/* Forget the credentials: what was to take them over failed, so they stay the caller's.
 */
void rafsi_registry_disown(struct oci_registry *registry);

/* What is asked for from now on is to be written to, and blobs are taken from the
 * repository `also` (NULL: as before). */
void rafsi_registry_writes(struct oci_registry *registry, const char *also);

/* Its documents: manifests, layers and the API for referrers. */
struct oci_store rafsi_registry_store(struct oci_registry *registry);

/* The blobs of the repository; holds the registry. */
int rafsi_registry_backend(struct oci_registry *registry, rafs_backend **out,
                           rafs_error *err);

const struct rafsi_env *rafsi_registry_env(const struct oci_registry *registry);

/* The name that people give to a host: Docker Hub has another one. */
const char *rafsi_registry_known_as(const char *host);

/* "host/repo", for errors and logs. */
const char *rafsi_registry_name(const struct oci_registry *registry);

#endif
