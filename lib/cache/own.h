/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_OWN_H
#define RAFSI_CACHE_OWN_H

/* A cache of the program's own callbacks. */

#include "cache/store.h"

extern const struct rafsi_store rafsi_own_store;

bool rafsi_own_is(const rafs_cache *cache);
void rafsi_own_free(rafs_cache *cache);
/* RAFS_E_BADARG for NULL, RAFS_E_UNSUPPORTED for callbacks, else RAFS_OK. */
int rafsi_own_refuse(const rafs_cache *cache, rafs_error *err);

#endif
