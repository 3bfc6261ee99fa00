/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_BUILD_H
#define RAFS_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "error.h"
#include "image.h"
#include "trace.h"

/**
 * @file
 * Making images: trees, tar streams, images and a program's own entries in, a bootstrap
 * and data blobs out.
 *
 * A builder takes layers from the lowest to the highest, lays them over each other as OCI
 * says, cuts files into chunks, stores each distinct chunk once, and writes blobs to a
 * sink while it reads; the bootstrap comes last. What is written follows from the input
 * and the options alone: not from threads, time, the order of directories, or inode
 * numbers.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Where what is built goes to. */
typedef struct rafs_sink rafs_sink;

/** An image in the making. One thread at a time, and not from the functions that it
 *  calls. */
typedef struct rafs_builder rafs_builder;

/** What is written. */
enum {
    RAFS_OBJECT_BLOB = 1,     /**< a data blob */
    RAFS_OBJECT_BOOTSTRAP = 2 /**< the image's metadata */
};

/** An object that is complete. */
typedef struct rafs_sink_object {
    uint32_t struct_size; /**< sizeof(rafs_sink_object) */
    uint32_t kind;        /**< RAFS_OBJECT_ */
    uint64_t size;        /**< bytes that were written */
    uint8_t sha256[32];   /**< of all of them; a blob's name is its hexadecimal form */
} rafs_sink_object;

/**
 * The callbacks of a sink. They return RAFS_OK or a RAFS_E_ code and may fill err with
 * rafs_error_set(). Called from one thread at a time for an object, not always the same
 * one, never under a lock of librafs; objects of different builders at once.
 */
typedef struct rafs_sink_ops {
    uint32_t struct_size; /**< sizeof(rafs_sink_ops) */
    uint32_t reserved;    /**< 0 */
    /** Begin an object whose name and size are not known yet. *object is the sink's own.
     */
    int (*begin)(void *user, uint32_t kind, void **object, const rafs_call *call,
                 rafs_error *err);
    /** Append bytes; valid during the call only. len is not 0. */
    int (*write)(void *user, void *object, const void *data, size_t len,
                 const rafs_call *call, rafs_error *err);
    /** The object is complete: keep it under its name. Ends the object, also when it
     *  fails. */
    int (*commit)(void *user, void *object, const rafs_sink_object *what,
                  const rafs_call *call, rafs_error *err);
    /** The object is not wanted: leave nothing of it. Ends the object. */
    void (*abort)(void *user, void *object);
    /** Called exactly once, when the sink is freed. May be NULL. */
    void (*release)(void *user);
    /** Is the blob of that name and size where blobs go to, so that an image can refer
     *  to it? RAFS_OK, RAFS_E_NOENT, or what failed. Called with what an index of chunks
     *  names. May be NULL: it is taken to be there. */
    int (*has)(void *user, const char *blob_id, uint64_t size, const rafs_call *call,
               rafs_error *err);
} rafs_sink_ops;

#define RAFS_SINK_OPS_INIT                                           \
    {                                                                \
        sizeof(rafs_sink_ops), 0, NULL, NULL, NULL, NULL, NULL, NULL \
    }

/** Set the table to "nothing", for callers without the macro. @param ops  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_sink_ops_init(rafs_sink_ops *ops);

/**
 * Make a sink from callbacks.
 *
 * @param ops   begin, write, commit and abort are set; copied
 * @param user  first argument of the callbacks; borrowed until release()
 * @param env   copied; NULL: the default environment
 * @param out   out: the sink, to be freed with rafs_sink_free() after every builder that
 *              uses it
 * @param err   out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       a function is missing, or an argument is NULL
 *         RAFS_E_UNSUPPORTED  ops is newer than the library and asks for more
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged and release() is not called. Never blocks. Any thread.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_sink_new(const rafs_sink_ops *ops, void *user, const rafs_env *env,
                           rafs_sink **out, rafs_error *err);

/** Bits of the flags of rafs_sink_new_directory(). */
enum {
    RAFS_SINK_REPLACE = 1, /**< a bootstrap that is there is replaced */
    RAFS_SINK_NO_SYNC = 2  /**< do not wait until the disk has it */
};

/**
 * Make a sink that writes files.
 *
 * A blob lies under its digest in blob_dir, the bootstrap at its path. Each is written to
 * a temporary file beside its place, synced (file, then directory) and renamed: under its
 * final name there is the whole file or none, also after a power cut. A blob that is
 * there already and has the same size is kept: its name is its content. The directory
 * blob_dir is made (0755, less the umask) with its parents, and so is that of the
 * bootstrap. Temporary files begin with ".rafs-" and are removed on failure.
 *
 * @param bootstrap  path of the bootstrap; copied; NULL: bootstraps are thrown away
 * @param blob_dir   directory of the blobs; copied; NULL: blobs are thrown away
 * @param flags      RAFS_SINK_
 * @param env        copied; NULL: the default environment
 * @param out        out: the sink, to be freed with rafs_sink_free()
 * @param err        out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG   bootstrap is there already and RAFS_SINK_REPLACE is not set;
 *                         os_errno EEXIST
 *         RAFS_E_BACKEND  a directory cannot be made or written; err->os_errno
 *         RAFS_E_NOMEM    no memory
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_sink_new_directory(const char *bootstrap, const char *blob_dir,
                                     uint32_t flags, const rafs_env *env, rafs_sink **out,
                                     rafs_error *err);

/** Free a sink. No builder may be using it. @param sink  NULL does nothing. Never blocks.
 *  Source: none. Since: 1.0. */
RAFS_API void rafs_sink_free(rafs_sink *sink);

/** How chunks are stored. */
enum {
    RAFS_STORE_DEFAULT = 0, /**< RAFS_STORE_ZSTD */
    RAFS_STORE_NONE = 1,    /**< as they are, v6: at their uncompressed offsets */
    RAFS_STORE_LZ4 = 2,     /**< LZ4 blocks */
    RAFS_STORE_ZSTD = 3     /**< zstd frames */
};

/** What chunks are named by. */
enum {
    RAFS_HASH_DEFAULT = 0, /**< RAFS_HASH_BLAKE3 */
    RAFS_HASH_BLAKE3 = 1,
    RAFS_HASH_SHA256 = 2
};

/** What is stored once only. Each level includes those before it. */
enum {
    RAFS_DEDUP_DEFAULT = 0, /**< RAFS_DEDUP_CHUNK */
    RAFS_DEDUP_NONE = 1,    /**< nothing: every chunk of every file is stored */
    RAFS_DEDUP_FILE = 2,    /**< files of equal size, as far as they begin alike */
    RAFS_DEDUP_CHUNK = 3    /**< equal chunks, wherever they are; also those of
                                 dictionaries and of the chunk store index, if given */
};

/** Bits of rafs_build_options.flags. */
enum {
    /** A blob of its own for each layer, not one for all. */
    RAFS_BUILD_BLOB_PER_LAYER = 1,
    /** The bootstrap is part of the blob, as layers in registries have it (v5 and v6);
     *  also given to the sink as an object of its own. Needs one layer. */
    RAFS_BUILD_INLINE_BOOTSTRAP = 2,
    /** Blobs carry their chunks' digests and a table of contents; v6. */
    RAFS_BUILD_TOC = 4,
    /** Whiteouts of the one layer stay files, for a later merge. */
    RAFS_BUILD_KEEP_WHITEOUTS = 8,
    /** v5: chunks begin at multiples of 4 KiB of the uncompressed blob. v6 always. */
    RAFS_BUILD_ALIGNED = 16,
    /** Owners are not stored: all files belong to user and group 0. */
    RAFS_BUILD_NO_OWNERS = 32,
    /** Extended attributes are not stored. */
    RAFS_BUILD_NO_XATTRS = 64,
    /** An entry that no image can hold (an xattr of an unknown namespace, a socket in v5
     *  …) is left out and counted in place of failing the build. */
    RAFS_BUILD_SKIP_UNSUPPORTED = 128,
    /** A directory stays on the file system of its root: what is mounted below is left
     *  out. */
    RAFS_BUILD_ONE_FILE_SYSTEM = 256,
    /** mtime_max is in force. */
    RAFS_BUILD_MTIME_MAX = 512,
    /** mtime_max is every file's time. */
    RAFS_BUILD_MTIME_ALL = 1024,
    /** owner_uid and owner_gid are everybody's. */
    RAFS_BUILD_OWNER = 2048
};

/** A range of ids: [from, from + count) becomes [to, to + count). */
typedef struct rafs_id_map {
    uint32_t from;  /**< first id in the source */
    uint32_t to;    /**< first id in the image */
    uint32_t count; /**< ids */
} rafs_id_map;

/** What a build has done so far. */
typedef struct rafs_build_progress {
    uint32_t struct_size; /**< sizeof(rafs_build_progress) */
    uint32_t reserved;    /**< 0 */
    uint64_t entries;     /**< files, directories … taken in */
    uint64_t bytes;       /**< of files, read */
    uint64_t bytes_total; /**< of files, as far as known; 0: not known (streams) */
    uint64_t stored;      /**< bytes given to the sink */
    uint64_t chunks;      /**< of files */
    uint64_t chunks_same; /**< of them, found to be there already */
} rafs_build_progress;

/** Called now and then, from the thread that calls the builder. */
typedef void (*rafs_build_progress_fn)(void *user, const rafs_build_progress *progress);

/** How to build. Zero in any field means the default. Copied, with what it points to,
 *  except where it says borrowed. */
typedef struct rafs_build_options {
    uint32_t struct_size; /**< sizeof(rafs_build_options) */
    uint32_t flags;       /**< RAFS_BUILD_ */
    uint32_t version;     /**< of RAFS: 5 or 6. Default 6 */
    uint32_t compressor;  /**< RAFS_STORE_ */
    int32_t level;        /**< of zstd (-7 to 22; default 3), of lz4 (1 fast; 2 to 12
                               high compression; default 1) */
    uint32_t digest;      /**< RAFS_HASH_ */
    uint32_t chunk_size;  /**< bytes, a power of two, 4 KiB to 16 MiB. Default 1 MiB */
    uint32_t batch_size;  /**< v6: files of one chunk smaller than half of this are
                               compressed together up to this size; a power of two, 4 KiB
                               to chunk_size. Default: not */
    uint32_t dedup;       /**< RAFS_DEDUP_ */
    uint32_t threads;     /**< that hash and compress. Default: one a processor, at most
                               64. What is built does not depend on it */
    uint32_t owner_uid;   /**< with RAFS_BUILD_OWNER */
    uint32_t owner_gid;   /**< with RAFS_BUILD_OWNER */
    int64_t mtime_max;    /**< seconds since 1970: later times become this one, as
                               SOURCE_DATE_EPOCH means it; with RAFS_BUILD_MTIME_MAX or
                               RAFS_BUILD_MTIME_ALL */
    const rafs_id_map *uid_maps; /**< an id outside all of them fails the build */
    size_t uid_map_count;        /**< 0: ids stay */
    const rafs_id_map *gid_maps;
    size_t gid_map_count;
    /** Images whose chunks are referred to and not stored again; the same chunk size,
     *  digest and version. Borrowed until the builder is freed. */
    const rafs_image *const *dictionaries;
    size_t dictionary_count;
    /** Directory of an index of chunks that the builder keeps by itself: what earlier
     *  builds with it stored is referred to and not stored again. NULL: none. */
    const char *store_index;
    /** Absolute paths, files or directories: their files come first in the blob and, in
     *  this order, in the prefetch table. Streams keep their order. */
    const char *const *prefetch;
    size_t prefetch_count;
    /** Patterns as fnmatch() with FNM_PATHNAME has them, of paths like "/usr/share/doc";
     *  a directory that is excluded goes with all that is below. A pattern without '/'
     *  is matched with the last component. */
    const char *const *exclude;
    size_t exclude_count;
    rafs_build_progress_fn progress; /**< may be NULL */
    void *progress_user;             /**< its first argument; borrowed */
} rafs_build_options;

/** Set options to the defaults, also for later versions. @param options  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_build_options_init(rafs_build_options *options);

/**
 * Begin an image.
 *
 * @param options  NULL: the defaults
 * @param sink     where blobs and bootstrap go to; borrowed until rafs_builder_free()
 * @param env      copied; NULL: the default environment
 * @param out      out: the builder, to be freed with rafs_builder_free()
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       options that contradict each other, or an argument is NULL
 *         RAFS_E_UNSUPPORTED  options are newer than the library and ask for more
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged. Starts threads. Blocks on storage where a dictionary or
 * an index is read. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_new(const rafs_build_options *options, rafs_sink *sink,
                              const rafs_env *env, rafs_builder **out, rafs_error *err);

/**
 * Take in a directory of this machine, without following symbolic links.
 *
 * Files are taken in the order of `tar --sort=name`, those of the prefetch list first.
 * Hard links, of every kind of file, stay one inode. A file that changes its size while
 * it is read fails the build.
 *
 * @param builder  the builder
 * @param path     a directory, which becomes the root
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional: the path that failed
 * @return RAFS_OK
 *         RAFS_E_BADARG       no directory, or too late: the image is finished
 *         RAFS_E_UNSUPPORTED  an entry that no image can hold
 *         RAFS_E_BACKEND      reading or writing failed; err->os_errno
 *         RAFS_E_LIMIT        more than the format can hold
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * After a failure the builder can only be freed. Blocks on storage and on the sink.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_add_directory(rafs_builder *builder, const char *path,
                                        const rafs_call *call, rafs_error *err);

/** Gives the next bytes of a stream: *got of at most len; 0 at the end. */
typedef int (*rafs_stream_fn)(void *user, void *buf, size_t len, size_t *got,
                              const rafs_call *call, rafs_error *err);

/**
 * Take in a tar stream: ustar, pax, GNU; plain or compressed with gzip, zstd, xz or
 * bzip2. It is read once, from start to end, and never unpacked.
 *
 * @param builder  the builder
 * @param read     called for the bytes, from this thread; not NULL
 * @param user     its first argument; borrowed for the call
 * @param name     what errors call it; NULL: "tar stream"
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional: the entry that failed
 * @return as rafs_builder_add_directory(); RAFS_E_CORRUPT: not a tar stream, or it ends
 *         in the middle
 *
 * After a failure the builder can only be freed. Blocks on the stream and on the sink.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_add_tar(rafs_builder *builder, rafs_stream_fn read, void *user,
                                  const char *name, const rafs_call *call,
                                  rafs_error *err);

/**
 * Take in a tar stream from a descriptor, which is read from where it stands.
 *
 * Deadline and cancel token are looked at while a pipe or socket has nothing to give.
 *
 * @param builder  the builder
 * @param fd       file, pipe or socket; borrowed for the call, not closed
 * @param name     what errors call it; NULL: "tar stream"
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional: the entry that failed
 * @return as rafs_builder_add_tar()
 *
 * After a failure the builder can only be freed. Blocks on the descriptor and on the
 * sink. Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_add_tar_fd(rafs_builder *builder, int fd, const char *name,
                                     const rafs_call *call, rafs_error *err);

/** What is to be called different from what an image says, when it is merged. */
typedef struct rafs_build_layer {
    uint32_t struct_size; /**< sizeof(rafs_build_layer) */
    uint32_t toc_size;    /**< of the blob's table of contents; 0: as the image says */
    const char *blob_id;  /**< of the layer's own blob; NULL: as the image says */
    uint64_t blob_size;   /**< bytes of the blob file; 0: as the image says */
    const uint8_t *toc_digest; /**< 32 bytes; NULL: as the image says */
} rafs_build_layer;

/**
 * Take in an image's tree as it is, its blobs referred to and not touched: merging.
 *
 * Version, chunk size and, in v5, digest and compressor have to be those of the builder.
 *
 * @param builder  the builder
 * @param image    open; borrowed for the call
 * @param layer    may be NULL
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return as rafs_builder_add_directory(); RAFS_E_CORRUPT: the image's metadata are wrong
 *
 * After a failure the builder can only be freed. Blocks on storage. Source: RAFS merge.
 * Since: 1.0.
 */
RAFS_API int rafs_builder_add_image(rafs_builder *builder, const rafs_image *image,
                                    const rafs_build_layer *layer, const rafs_call *call,
                                    rafs_error *err);

/**
 * Take in an image's tree as rafs_builder_add_image() does, and store the chunks that a
 * trace names again, in its order, in a blob of this build: what a run needed, the next
 * one gets in a few large requests.
 *
 * Files refer to the new chunks; all others stay where they are. The chunks are read from
 * the image's sources, and verified. In version 5 the blob is marked to be read ahead.
 *
 * @param builder  the builder; not with RAFS_BUILD_INLINE_BOOTSTRAP
 * @param image    open, with the sources of its blobs; borrowed for the call
 * @param trace    recorded from this image; borrowed for the call
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return as rafs_builder_add_image() and rafs_image_read(); RAFS_E_BADARG also: the
 *         trace is not of this image
 *
 * After a failure the builder can only be freed. Blocks on storage, on the network and on
 * the sink. Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_add_optimized(rafs_builder *builder, const rafs_image *image,
                                        const rafs_trace *trace, const rafs_call *call,
                                        rafs_error *err);

/** An extended attribute. */
typedef struct rafs_build_xattr {
    const char *name;  /**< full name, "user.x" */
    const void *value; /**< may be NULL if size is 0 */
    size_t size;       /**< bytes */
} rafs_build_xattr;

/** An entry of the program's own. */
typedef struct rafs_build_entry {
    uint32_t struct_size; /**< sizeof(rafs_build_entry) */
    uint32_t mode;        /**< st_mode with the type */
    const char *path;     /**< from the root, with or without a leading '/' */
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev_major; /**< of devices */
    uint32_t rdev_minor;
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint32_t xattr_count;
    const rafs_build_xattr *xattrs; /**< in any order */
    const char *target;             /**< of a symbolic link */
    const char *hardlink; /**< path of an entry that was added before: this is another
                               name of it, and the rest but path is ignored */
    uint64_t size;        /**< of a regular file: bytes that read gives */
    rafs_stream_fn read;  /**< of a regular file with size > 0 */
    void *user;           /**< its first argument */
} rafs_build_entry;

/**
 * Take in one entry. Missing parent directories are made (0755, owner 0, time 0, or what
 * RAFS_BUILD_OWNER and RAFS_BUILD_MTIME_ALL give to all); a later entry for one of them
 * sets its attributes. All is copied before the call returns.
 *
 * @param builder  the builder
 * @param entry    what to add; borrowed for the call
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return as rafs_builder_add_directory()
 *
 * After a failure the builder can only be freed. Blocks on read and on the sink.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_add_entry(rafs_builder *builder, const rafs_build_entry *entry,
                                    const rafs_call *call, rafs_error *err);

/**
 * What comes now is a layer over all that came before: whiteouts (".wh.NAME",
 * ".wh..wh..opq") in it hide what lies below.
 *
 * @param builder  the builder
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return as rafs_builder_add_directory()
 *
 * Blocks on the sink with RAFS_BUILD_BLOB_PER_LAYER. Source: OCI image layers.
 * Since: 1.0.
 */
RAFS_API int rafs_builder_next_layer(rafs_builder *builder, const rafs_call *call,
                                     rafs_error *err);

/** What was built. */
typedef struct rafs_build_result {
    uint32_t struct_size; /**< sizeof(rafs_build_result); set before the call */
    uint32_t blob_count;  /**< in the image's blob table, all kinds */
    uint8_t bootstrap_sha256[32];
    uint64_t bootstrap_size; /**< bytes */
    uint64_t entries;        /**< names in the image, the root among them */
    uint64_t inodes;         /**< hard links count once */
    uint64_t skipped;        /**< entries left out with RAFS_BUILD_SKIP_UNSUPPORTED */
    uint64_t file_bytes;     /**< of all files taken in */
    uint64_t chunks;         /**< of all files taken in */
    uint64_t stored_chunks;  /**< that went into blobs of this build */
    uint64_t stored_bytes;   /**< of the blobs that this build wrote */
    /** Bytes, uncompressed, that were not stored since they were there: in an equal
     *  beginning of a file, elsewhere in the image, in a dictionary, in the index. */
    uint64_t same_file_bytes;
    uint64_t same_image_bytes;
    uint64_t same_dictionary_bytes;
    uint64_t same_index_bytes;
} rafs_build_result;

/**
 * Write the bootstrap and complete the image.
 *
 * @param builder  the builder
 * @param result   out; struct_size set by the caller; may be NULL
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return as rafs_builder_add_directory()
 *
 * Blobs are committed before the bootstrap is. On failure *result is unchanged; blobs of
 * layers that were complete may have been committed, the bootstrap was not. Blocks on the
 * sink. Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_finish(rafs_builder *builder, rafs_build_result *result,
                                 const rafs_call *call, rafs_error *err);

/** A blob of the image's table. */
typedef struct rafs_build_blob {
    uint32_t struct_size;       /**< sizeof(rafs_build_blob); set before the call */
    uint32_t written;           /**< 1: by this build; 0: it was there before */
    uint64_t size;              /**< bytes of the blob file */
    uint64_t uncompressed_size; /**< of its address space */
    uint32_t chunks;
    uint32_t layer;         /**< that it was written for; 0 is the first */
    char id[72];            /**< NUL terminated */
    uint32_t toc_size;      /**< bytes of its table of contents; 0: it has none */
    uint32_t reserved;      /**< 0 */
    uint8_t toc_digest[32]; /**< of that: SHA-256 */
} rafs_build_blob;

/**
 * A blob of what rafs_builder_finish() completed.
 *
 * @param builder  finished
 * @param i        0 to blob_count - 1: its number in the image's table
 * @param blob     out; struct_size set by the caller
 * @param err      out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no such blob, not finished, or an argument is NULL
 *
 * On failure *blob is unchanged. Never blocks. Source: none. Since: 1.0.
 */
RAFS_API int rafs_builder_get_blob(const rafs_builder *builder, uint32_t i,
                                   rafs_build_blob *blob, rafs_error *err);

/** Free a builder; what is not finished is given up, and nothing of it stays under a
 * final name but blobs of complete layers. @param builder  NULL does nothing. Blocks
 * until its threads have ended. Source: none. Since: 1.0. */
RAFS_API void rafs_builder_free(rafs_builder *builder);

#ifdef __cplusplus
}
#endif
#endif
