/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_SOURCE_TAR_H
#define RAFSI_BUILD_SOURCE_TAR_H

/*
 * What the files of the tar source share.
 *
 * zstd, xz and bzip2 are decompressed by libarchive's filters. Two things are our own,
 * since libarchive 3.6.2 cannot do them; tests/build/run_tar.py shows each:
 *
 *  - gzip: its filter never compares the CRC and length at the end of a member, so a bit
 *    that flipped on the way becomes a wrong byte of a file in silence. zlib compares.
 *  - headers and pax records: its reader converts names from UTF-8 to the locale of
 *    whoever calls, with what iconv() has, and composes accents (in C.UTF-8 the bytes
 *    65 cc 81 become c3 a9; in another locale a name is spoiled and a warning is all);
 *    it loses the sign of times between -1 s and 0 and moves other negative ones with a
 *    fraction; a name is cut at a zero byte; malformed pax records are a warning, after
 *    which the entry goes by its short name; names of attributes stay encoded as GNU tar
 *    does it; and it counts inodes in a static variable that no lock guards. Names,
 *    times and attributes are what an image is made of, so the bytes of headers are read
 *    here.
 */

#include "build/builder.h"

enum {
    TAR_BLOCK = 512,
    TAR_TEXT_MAX = 1 << 20,     /* bytes of pax records, and of a long name */
    TAR_EXTENTS_MAX = 1 << 20,  /* of a sparse file */
    TAR_SPECIALS_MAX = 1 << 10, /* headers before the one of the entry */
};

struct archive;
struct z_stream_s;

/* Bytes of the tar file, decompressed, in order. */
struct tar_stream {
    const struct rafsi_env *env;
    const rafs_call *call;
    rafs_stream_fn read;
    void *user;
    const char *name;
    uint8_t *in; /* what read() gave */
    size_t in_len;
    bool in_kept; /* it was looked at and not used yet */
    struct archive *filter;
    struct z_stream_s *gzip;
    uint8_t *unzipped;
    bool gzip_between; /* a member ended, and perhaps another one follows */
    bool gzip_over;    /* it does not */
    const uint8_t *at; /* decompressed, not used yet */
    size_t left;
    uint64_t offset; /* of at */
    int failed;      /* by read() or the call */
    rafs_error *err; /* of the function that runs */
};

/* source_tar_stream.c; name: what errors call it. */
int rafsi_tar_open(struct tar_stream *stream, const struct rafsi_env *env,
                   rafs_stream_fn read, void *user, const char *name,
                   const rafs_call *call, rafs_error *err);
void rafsi_tar_close(struct tar_stream *stream);
/* Some of the next bytes, at most `most`; *len 0: there are none any more. */
int rafsi_tar_some(struct tar_stream *stream, uint64_t most, const uint8_t **at,
                   size_t *len, rafs_error *err);
/* Exactly so many. */
int rafsi_tar_exact(struct tar_stream *stream, void *out, size_t len, rafs_error *err);
int rafsi_tar_skip(struct tar_stream *stream, uint64_t len, rafs_error *err);
__attribute__((format(printf, 4, 5))) int rafsi_tar_corrupt(struct tar_stream *stream,
                                                            rafs_error *err,
                                                            uint64_t offset,
                                                            const char *format, ...);

/* A header block. */
struct tar_header {
    uint8_t type; /* '0' for what older writers have */
    bool gnu;     /* fields where others have the prefix */
    int64_t size;
    int64_t mode, uid, gid, mtime;
    int64_t major, minor;
    char name[260];
    char target[104];
};
/* source_tar_header.c; NULL, or what is wrong. */
const char *rafsi_tar_decode(const uint8_t block[TAR_BLOCK], struct tar_header *out);
/* A number field: octal digits or, with the top bit set, base 256. */
bool rafsi_tar_number(const uint8_t *at, size_t len, int64_t *out);

/* Text of any length, NUL terminated, in memory that is used again. */
struct tar_text {
    char *at;
    size_t len;
    size_t room;
    bool set;
};
/* source_tar_text.c: the next len bytes of the stream, padded to blocks. */
int rafsi_tar_text(struct tar_stream *stream, struct tar_text *text, int64_t len,
                   rafs_error *err);
int rafsi_tar_text_set(const struct rafsi_env *env, struct tar_text *text, const void *at,
                       size_t len, rafs_error *err);
void rafsi_tar_text_free(const struct rafsi_env *env, struct tar_text *text);

/* Where the bytes that are stored lie in a sparse file. */
struct tar_extent {
    uint64_t at, len;
};
struct tar_map {
    struct tar_extent *extents;
    size_t count;
    size_t room;
    bool sparse;
};
/* source_tar_sparse.c; all return NULL or what is wrong, or, with stream, a code. */
int rafsi_tar_map_add(const struct rafsi_env *env, struct tar_map *map, uint64_t at,
                      uint64_t len, rafs_error *err);
/* The map of an old GNU header, and the blocks that go on with it; *size: of the file. */
int rafsi_tar_map_old(struct tar_stream *stream, const uint8_t block[TAR_BLOCK],
                      struct tar_map *map, uint64_t *size, rafs_error *err);
/* GNU.sparse.map of version 0.1: numbers and commas. */
int rafsi_tar_map_text(struct tar_stream *stream, const char *text, struct tar_map *map,
                       rafs_error *err);
/* Version 1.0: lines before the data; *used: bytes of them, padded to blocks. */
int rafsi_tar_map_lines(struct tar_stream *stream, struct tar_map *map, uint64_t most,
                        uint64_t *used, rafs_error *err);
/* NULL if the extents are in order, within the file, and of as many bytes as are stored.
 */
const char *rafsi_tar_map_check(const struct tar_map *map, uint64_t stored,
                                uint64_t size);

/* What pax records say; the texts lie in the records. */
struct tar_pax {
    const char *path, *target, *sparse_name, *sparse_map;
    size_t path_len, target_len, sparse_name_len;
    bool has_size, has_uid, has_gid, has_mtime, has_real, sparse_v1;
    bool has_major, has_minor;
    int64_t size, uid, gid, real, major, minor;
    int64_t sparse_at; /* -1: none that waits for its length */
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint32_t xattr_count;
    uint32_t xattr_room;
    struct build_xattr *xattrs; /* of the reader; used again */
    struct tar_text acl[2];     /* default and access, as xattrs */
    const char *acl_wrong;      /* why there is an ACL that is not */
};
/* source_tar_pax.c: read records; global ones, of owners and times alone, count for all
 * entries that follow. map is that of records that are not global. */
int rafsi_tar_pax(struct tar_stream *stream, struct tar_text *records, bool global,
                  struct tar_pax *out, struct tar_map *map, rafs_error *err);
/* Seconds and nanoseconds of "-12.345", rounded down. */
bool rafsi_tar_time(const char *text, size_t len, int64_t *sec, uint32_t *nsec);

/* source_tar_acl.c: "user::rw-,group::r--,…" as Linux has it in an xattr. NULL, or what
 * is wrong. *minimal: it says no more than the mode does. */
const char *rafsi_tar_acl(const char *text, size_t len, uint8_t *out, size_t room,
                          size_t *used, bool *minimal);

/* source_tar_entry.c: the next entry; *end: there is none. Valid until the next call. */
struct tar_entry {
    uint8_t type;
    uint64_t header; /* where the first header of it stands */
    const char *path, *target;
    size_t path_len, target_len;
    uint64_t stored; /* bytes of content that follow, without their padding */
    uint64_t padding;
    struct layers_entry as; /* mode, ids, times, size, rdev, xattrs */
};
struct tar_reader {
    struct tar_stream stream;
    struct tar_header header;
    struct tar_text records, global_records, long_name, long_target;
    struct tar_pax pax, global;
    struct tar_map map;
    struct tar_entry entry;
};
int rafsi_tar_next(struct tar_reader *reader, bool *end, rafs_error *err);
void rafsi_tar_free(struct tar_reader *reader);

#endif
