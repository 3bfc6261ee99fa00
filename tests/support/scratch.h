/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

/* Remove a folder of a test's own with all that is in it, links not followed. 0, or what
 * nftw() gave. */
int scratch_remove(const char *path);

#endif
