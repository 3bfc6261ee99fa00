/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_H
#define RAFSI_BUILD_H

/*
 * The door of build: sources (directory, tar, images, entries) to a tree in memory, their
 * content to chunks to blobs, the tree to a bootstrap.
 *
 *   source_dir.c  source_tar.c  source_image.c  source_entry.c
 *        |  names, attributes: layers.h        |  content: data.h
 *        v                                     v
 *   layers.c → struct build_image (image.h) ← data.c → blob → sink
 *        |
 *        v  rafsi_image_seal()
 *   emit_v6.c, emit_v5.c → bootstrap → sink
 *
 * builder.c holds them together (builder.h) and is what the api calls. Beside it,
 * relaid.h: an image as it is, laid out anew for the kernel, without a builder.
 */

#include "build/builder.h"
#include "build/relaid.h"

#endif
