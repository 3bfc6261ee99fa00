/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CALL_H
#define RAFSI_CALL_H

#include "base/env.h"

/* Check a caller's rafs_call (NULL: no limits) and copy it; the cancel token of the
 * environment is looked at too, by rafsi_call_check(). */
int rafsi_call_take(const rafs_call *in, rafs_call *out, rafs_error *err);

/* The same for a read, which RAFS_CALL_CACHED is for. */
int rafsi_call_take_read(const rafs_call *in, rafs_call *out, rafs_error *err);

/* Make a token count as fired when another one is too, and its descriptor readable; NULL:
 * no longer. No call may be using it, and the other one must last until then. */
void rafsi_cancel_join(rafs_cancel *cancel, const rafs_cancel *other);

/* RAFS_OK while the call may go on; else RAFS_E_TIMEOUT or RAFS_E_CANCELLED. */
int rafsi_call_check(const struct rafsi_env *env, const rafs_call *call, uint32_t stage,
                     rafs_error *err);

/* Sleep so long; less if the call ends before. RAFS_OK, or why it ended. */
int rafsi_call_sleep(const struct rafsi_env *env, const rafs_call *call, uint64_t ms,
                     rafs_error *err);

/* Nanoseconds until the deadline, at most `most`; 0 if it has passed. */
uint64_t rafsi_call_left_ns(const struct rafsi_env *env, const rafs_call *call,
                            uint64_t most);

#endif
