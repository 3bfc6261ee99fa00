/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_LIMITS_H
#define RAFSI_LIMITS_H

#include "rafs/limits.h"

/* Put the defaults, which the public header states, where the caller left zeros. */
void rafsi_limits_fill(rafs_limits *limits);

#endif
