/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_LIMITS_H
#define RAFS_LIMITS_H

#include <stdint.h>

/**
 * @file
 * Every bound of the library in one place.
 *
 * The macros come from the formats or from the kernel and are fixed. The fields of
 * rafs_limits are a matter of taste, and so the caller's: 0 takes the default. An image
 * that needs more than a field allows is refused with RAFS_E_LIMIT, which names the
 * field.
 */

#define RAFS_NAME_MAX 255          /**< bytes in a file name */
#define RAFS_PATH_MAX 65535        /**< bytes in a path given to rafs_image_resolve() */
#define RAFS_LINKS_MAX 40          /**< symbolic links followed in one resolution */
#define RAFS_TARGET_MAX 65535      /**< bytes in a symbolic link (v6: 4096) */
#define RAFS_XATTR_NAME_MAX 255    /**< bytes in the full name of an attribute */
#define RAFS_XATTR_VALUE_MAX 65536 /**< bytes in its value */
#define RAFS_CHUNK_SIZE_MIN 0x1000 /**< 4 KiB */
#define RAFS_CHUNK_SIZE_MAX 0x1000000      /**< 16 MiB */
#define RAFS_CHUNKS_PER_BLOB_MAX 0x1000000 /**< 2^24 */
#define RAFS_BLOBS_MAX 65536               /**< blobs in a bootstrap (v6: 255) */
#define RAFS_BLOB_ID_MAX 64                /**< bytes in a blob id */
#define RAFS_SOURCES_MAX 16                /**< backends of one image */
#define RAFS_READ_MAX 0x7ffff000u          /**< bytes in one read, as Linux has it */
#define RAFS_DEPTH_MAX 4096                /**< directories below each other in a walk */

/** Limits that a caller may set, in rafs_open_options. */
typedef struct rafs_limits {
    uint32_t struct_size; /**< sizeof(rafs_limits); 0: all defaults */
    uint32_t reserved;    /**< 0 */
    /** Pages of a bootstrap file kept in memory. Default 4 MiB. A smaller one is slower.
     */
    uint64_t metadata_cache_bytes;
    /** Memory for a bootstrap that is stored compressed inside a blob, its compressed
     * form included. Default 56 MiB. */
    uint64_t inlined_bootstrap_bytes;
    /** v6: memory for the map from chunk numbers to digests, 8 bytes a chunk, made when
     *  file content is first read. Default 32 MiB (4 million chunks). */
    uint64_t chunk_index_bytes;
    /** v6 with batches: largest compression information array of one blob, in memory.
     *  Default 16 MiB (700,000 chunks). */
    uint64_t blob_meta_bytes;
    /** Verified chunks kept in memory. Default 32 MiB; 4 MiB where a cache on disk keeps
     *  them too, for that lies in the kernel's page cache, and reading a chunk of 1 MiB
     *  back and verifying it again takes half a millisecond. 1 keeps none. The chunks
     *  that running reads are using come on top: one for each thread. */
    uint64_t chunk_cache_bytes;
    /** Stored bytes that are asked for at once, chunks beside the wanted one taken along
     * up to there. Default: 256 KiB for backends with RAFS_BACKEND_REMOTE, as long as no
     * more than a third of all bytes was for nothing, and chunk by chunk for the others.
     * 1: strictly on demand: no chunk that no read asked for. Any other number goes for
     * every backend. */
    uint64_t merge_bytes;
    /** Bytes that are read ahead of a reader who goes from start to end of a file or, v6,
     * through the files of a blob in its order, by up to four threads of the image, which
     * it starts when first needed. Default: 8 MiB for backends with RAFS_BACKEND_REMOTE,
     * none for the others; 1: none. Without a cache on disk never more than half of
     * chunk_cache_bytes.
     *
     * With such a cache, and unless merge_bytes is 1, up to eight more threads fetch what
     * lies near in the tree to what was read: files of the same kind in the same
     * directory and in those beside it. All bytes that nobody asked for are never more
     * than 8 MiB and half of those that somebody did. */
    uint64_t ahead_bytes;
    /** How long a source may take, in milliseconds, before the next healthy one is asked
     * as well and the first answer taken; of backends with RAFS_BACKEND_REMOTE, if there
     * are others. Such requests run in up to 16 threads of the image, which it starts
     * when first needed, and are at most a tenth of all, and 16. Default: four times what
     * the source usually takes, at least 250 ms; 1: no source is asked while another one
     * is. */
    uint64_t hedge_ms;
} rafs_limits;

#endif
