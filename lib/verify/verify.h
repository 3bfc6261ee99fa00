/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_VERIFY_H
#define RAFSI_VERIFY_H

/*
 * The trust line. `struct verified` can be made here and nowhere else: its definition is
 * in verify.c. Only such bytes enter a cache or leave through read, so forgetting the
 * check does not compile.
 */

#include "base/base.h"

struct verified;

/*
 * Compare the digest of the buffer's bytes. On success raw is taken and *out holds it,
 * with one reference. RAFS_E_CORRUPT if the digest differs, or is all zero, which is how
 * an image says that it has none.
 */
int rafsi_verify(struct rafsi_buffer *raw, struct rafsi_hashes *hashes,
                 uint32_t algorithm, const uint8_t digest[RAFSI_DIGEST_BYTES],
                 struct verified **out, rafs_error *err);

const uint8_t *rafsi_verified_bytes(const struct verified *good);
size_t rafsi_verified_size(const struct verified *good);
/* Memory that it holds. */
size_t rafsi_verified_cost(const struct verified *good);

/* One more reference; any thread. */
struct verified *rafsi_verified_hold(struct verified *good);
/* One reference less; NULL is fine. */
void rafsi_verified_drop(struct verified *good);

#endif
