/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_RAFS_H
#define RAFS_RAFS_H

/**
 * @file
 * All of librafs: open container images on demand, and get only verified bytes.
 *
 * A child after fork() uses no handle of its parent, which may have threads that the
 * child lacks: it opens its own, or calls exec().
 */

#include "backend.h"
#include "bucket.h"
#include "build.h"
#include "cache.h"
#include "cache_ops.h"
#include "check.h"
#include "convert.h"
#include "copy.h"
#include "digest.h"
#include "dir.h"
#include "env.h"
#include "erofs.h"
#include "error.h"
#include "fence.h"
#include "fill.h"
#include "http.h"
#include "image.h"
#include "inode.h"
#include "layout.h"
#include "limits.h"
#include "origin.h"
#include "prefetch.h"
#include "push.h"
#include "queue.h"
#include "read.h"
#include "registry.h"
#include "stats.h"
#include "target.h"
#include "trace.h"
#include "version.h"

#endif
