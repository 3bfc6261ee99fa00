/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_H
#define RAFSI_CONVERT_H

/*
 * The door of convert: images on their way from one place to another, as they are or made
 * anew.
 */

#include "convert/copy.h"
#include "convert/erofs.h"
#include "convert/optimize.h"
#include "convert/push.h"
#include "convert/remake.h"

#endif
