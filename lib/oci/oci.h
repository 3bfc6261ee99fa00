/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_H
#define RAFSI_OCI_H

/*
 * The door of oci: from a reference to a bootstrap that follows from it, and to the blobs
 * beside it.
 */

#include "oci/compose.h"
#include "oci/compose_index.h"
#include "oci/contents.h"
#include "oci/layout.h"
#include "oci/mirrors.h"
#include "oci/origin.h"
#include "oci/pull.h"
#include "oci/registry.h"
#include "oci/store.h"
#include "oci/target.h"
#include "oci/text.h"
#include "oci/where.h"

#endif
