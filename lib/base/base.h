/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BASE_H
#define RAFSI_BASE_H

/*
 * The door of base: what every other folder builds on and that knows nothing of RAFS.
 */

#include "base/arith.h"
#include "base/blake3.h"
#include "base/buffer.h"
#include "base/call.h"
#include "base/crc32c.h"
#include "base/env.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/rounds.h"
#include "base/seed.h"
#include "base/source.h"
#include "base/span.h"
#include "base/tally.h"
#include "base/thread.h"

#endif
