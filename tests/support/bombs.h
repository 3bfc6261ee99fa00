/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BOMBS_H
#define TESTS_BOMBS_H

#include "golden.h"

/*
 * Images made to cost much: small files that claim to be large, that lead round in
 * circles, or that share one thing among so many owners that looking at each takes the
 * square of the time. Each is a bootstrap, or a blob that carries one.
 */
struct bomb {
    const char *name;
    struct bytes (*make)(void);
    /* Where an error has to come: for most it is enough that one comes at all. */
    int open_code;    /* what opening gives; RAFS_OK: it opens */
    const char *path; /* of this path ... */
    int path_code;    /* ... resolving gives this; NULL: not asked */
    bool clean;       /* no error is owed: the cost alone counts */
};

extern const struct bomb bombs[];
extern const size_t bomb_count;

/* bombs_v5.c */
struct bytes bomb_v5_inodes_claimed(void);
struct bytes bomb_v5_extended_claimed(void);
struct bytes bomb_v5_chunks_claimed(void);
struct bytes bomb_v5_xattrs_claimed(void);
struct bytes bomb_v5_broken_chunk_of_a_huge_file(void);
struct bytes bomb_v5_children_shared(void);

/* bombs_blob.c */
struct bytes bomb_toc_claims_terabytes(void);
struct bytes bomb_toc_claims_what_is_allowed(void);
struct bytes bomb_zstd_frame_claims_terabytes(void);
struct bytes bomb_zstd_window(void);
struct bytes bomb_ci_of_2_24_chunks(void);

#endif
