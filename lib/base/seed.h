/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_SEED_H
#define RAFSI_SEED_H

#include <stdint.h>

/* A number that whoever wrote an image could not foresee: hash tables that are keyed with
 * it cannot be filled with collisions made beforehand. Not for secrets. */
uint64_t rafsi_seed(void);

#endif
