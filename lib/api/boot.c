/* SPDX-License-Identifier: Apache-2.0 */
#include "api/boot.h"

#include "codec/codec.h"

/* As much of the front as tells the versions apart. */
enum { SNIFF_BYTES = 1152 };

struct finder {
    const struct rafsi_env *env;
    const struct origin *origin;
    const rafs_limits *limits;
    struct rafsi_hashes *hashes;
    const struct expected *expected;
    const rafs_call *call;
    struct rafsi_source *whole;
};

/* Where a blob keeps its bootstrap. */
struct section {
    uint64_t at;
    uint64_t stored_size;
    uint64_t size;
    uint32_t compressor;
    bool has_digest;
    uint8_t digest[RAFSI_DIGEST_BYTES]; /* SHA-256 */
};

static int source_of(const struct finder *finder, uint64_t offset, uint64_t size,
                     struct rafsi_source **out, rafs_error *err)
{
    const struct origin *origin = finder->origin;

    if (origin->memory)
        return rafsi_source_memory(finder->env, (const uint8_t *)origin->memory + offset,
                                   size, out, err);
    return rafsi_source_fd(finder->env, origin->fd, origin->offset + offset, size,
                           finder->limits->metadata_cache_bytes, out, err);
}

static int pin(const struct finder *finder, struct rafsi_source *source, rafs_error *err)
{
    return rafsi_source_pin(source, finder->hashes, finder->expected->algorithm,
                            finder->expected->digest, finder->call, err);
}

static int sniff(const struct finder *finder, int *version, bool *plain_erofs,
                 rafs_error *err)
{
    uint8_t scratch[SNIFF_BYTES];
    size_t len = (size_t)rafsi_min(sizeof(scratch), rafsi_source_size(finder->whole));
    const uint8_t *at;
    int rc = rafsi_source_view(finder->whole, 0, len, scratch, &at, err);

    if (rc < 0)
        return rc;
    *version = rafsi_sniff((struct span){at, len, 0}, plain_erofs);
    return RAFS_OK;
}

static int section_before(const struct finder *finder, uint64_t end,
                          struct tar_section *out, rafs_error *err)
{
    uint8_t scratch[TAR_HEADER_BYTES];
    const uint8_t *at;
    int rc = rafsi_source_view(finder->whole, end - TAR_HEADER_BYTES, TAR_HEADER_BYTES,
                               scratch, &at, err);

    if (rc < 0)
        return rc;
    return rafsi_tar_section((struct span){at, TAR_HEADER_BYTES, end - TAR_HEADER_BYTES},
                             out, err);
}

/* Look `image.boot` up in the table of contents. */
static int find_in_toc(const struct finder *finder, const struct tar_section *toc,
                       struct section *out, rafs_error *err)
{
    struct toc_entry entry;
    bool found = false;
    uint8_t *bytes;
    int rc = rafsi_toc_section(toc, err);

    if (rc < 0)
        return rc;
    bytes = rafsi_alloc(finder->env, (size_t)toc->size);
    if (!bytes)
        return rafsi_fail_nomem(err, (size_t)toc->size);
    rc = rafsi_source_read(finder->whole, toc->at, (size_t)toc->size, bytes, err);
    if (rc == RAFS_OK)
        rc = rafsi_toc_find((struct span){bytes, (size_t)toc->size, toc->at},
                            rafsi_source_size(finder->whole), SECTION_BOOT, &entry,
                            &found, err);
    rafsi_free(finder->env, bytes);
    if (rc < 0)
        return rc;
    if (!found)
        return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL, toc->at,
                             "this blob carries no bootstrap: its table of contents has "
                             "no " SECTION_BOOT "; open its bootstrap instead");
    *out = (struct section){.at = entry.at,
                            .stored_size = entry.stored_size,
                            .size = entry.uncompressed_size,
                            .compressor = entry.compressor,
                            .has_digest = true};
    memcpy(out->digest, entry.digest, sizeof(out->digest));
    return RAFS_OK;
}

static int fail_no_image(rafs_error *err, bool plain_erofs)
{
    if (plain_erofs)
        return rafsi_fail_at(
            err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, NULL, 1024,
            "an EROFS image without RAFS tables, which name the digests");
    return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL, 0,
                         "neither a RAFS v5 or v6 bootstrap nor a blob that carries one");
}

/* The last tar header of a blob tells where its bootstrap is. */
static int find_section(const struct finder *finder, bool plain_erofs,
                        struct section *out, rafs_error *err)
{
    uint64_t size = rafsi_source_size(finder->whole);
    struct tar_section last;
    int rc = RAFS_E_CORRUPT;

    if (size >= TAR_HEADER_BYTES)
        rc = section_before(finder, size, &last, err);
    if (rc == RAFS_E_CORRUPT)
        return fail_no_image(err, plain_erofs);
    if (rc < 0)
        return rc;
    if (strcmp(last.name, SECTION_TOC) == 0)
        return find_in_toc(finder, &last, out, err);
    if (strcmp(last.name, SECTION_BOOT) != 0)
        return fail_no_image(err, plain_erofs);
    *out = (struct section){.at = last.at, .stored_size = last.size, .size = last.size};
    return RAFS_OK;
}

/* A compressed section is kept in memory whole, so its size has a limit. */
static int inflate(const struct finder *finder, const struct section *section,
                   struct rafsi_source **out, rafs_error *err)
{
    uint64_t limit = finder->limits->inlined_bootstrap_bytes;
    struct rafsi_decoder *decoder = NULL;
    uint8_t *stored = NULL;
    uint8_t *raw = NULL;
    int rc;

    if (section->size > limit || section->stored_size > limit)
        return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, NULL, section->at,
                             "a compressed bootstrap of %llu bytes; "
                             "inlined_bootstrap_bytes in rafs_limits allows %llu",
                             (unsigned long long)section->size,
                             (unsigned long long)limit);
    stored = rafsi_alloc(finder->env, (size_t)section->stored_size);
    raw = rafsi_alloc(finder->env, (size_t)section->size);
    rc = stored && raw ? rafsi_decoder_new(finder->env, &decoder, err)
                       : rafsi_fail_nomem(err, (size_t)section->size);
    if (rc == RAFS_OK)
        rc = rafsi_source_read(finder->whole, section->at, (size_t)section->stored_size,
                               stored, err);
    if (rc == RAFS_OK)
        rc = rafsi_decode(decoder, section->compressor, stored,
                          (size_t)section->stored_size, raw, (size_t)section->size, err);
    if (rc == RAFS_OK)
        rc = rafsi_source_owned(finder->env, raw, section->size, out, err);
    if (rc == RAFS_OK)
        raw = NULL;
    rafsi_decoder_free(decoder);
    rafsi_free(finder->env, stored);
    rafsi_free(finder->env, raw);
    return rc;
}

/* The section as a source of its own. Where the whole blob was pinned, its verified bytes
 * are used, never the file again; the window then takes finder->whole. */
static int open_section(struct finder *finder, const struct section *section,
                        struct rafsi_source **out, rafs_error *err)
{
    int rc;

    if (section->compressor != RAFS_COMPRESSOR_NONE)
        return inflate(finder, section, out, err);
    if (section->size == 0 || section->stored_size != section->size)
        return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL, section->at,
                             "the bootstrap's section is empty or of two sizes");
    if (!finder->expected->whole_blob)
        return source_of(finder, section->at, section->size, out, err);
    rc = rafsi_source_window(finder->whole, section->at, section->size, out, err);
    if (rc == RAFS_OK)
        finder->whole = NULL;
    return rc;
}

/* The blob itself has the data that its bootstrap speaks of. */
static int make_carrier(const struct finder *finder, rafs_backend **out, rafs_error *err)
{
    const struct origin *origin = finder->origin;
    const rafs_env *env = &finder->env->set;

    if (origin->memory)
        return rafs_backend_new_memory(NULL, origin->memory, (size_t)origin->size, env,
                                       out, err);
    return rafs_backend_new_fd(NULL, origin->fd, origin->offset, origin->size, env, out,
                               err);
}

static int find_in_blob(struct finder *finder, bool plain_erofs, struct boot *out,
                        rafs_error *err)
{
    struct section section;
    uint64_t at;
    int rc = find_section(finder, plain_erofs, &section, err);

    if (rc < 0)
        return rc;
    at = section.at;
    rc = open_section(finder, &section, &out->source, err);
    if (rc == RAFS_OK && finder->expected->given && !finder->expected->whole_blob)
        rc = pin(finder, out->source, err);
    else if (rc == RAFS_OK && section.has_digest && !finder->expected->given &&
             section.compressor != RAFS_COMPRESSOR_NONE)
        rc = rafsi_source_pin(out->source, finder->hashes, RAFS_DIGEST_SHA256,
                              section.digest, finder->call, err);
    if (rc == RAFS_OK)
        rc = make_carrier(finder, &out->carrier, err);
    if (rc == RAFS_E_CORRUPT)
        rafsi_fail_object(err, rc, SECTION_BOOT " at byte %llu of the blob",
                          (unsigned long long)at);
    out->inlined = 1;
    return rc;
}

/* A blob without chunks begins with its bootstrap, and looks like one. */
static int is_section(const struct finder *finder, bool *is, rafs_error *err)
{
    uint64_t size = rafsi_source_size(finder->whole);
    rafs_error why = RAFS_ERROR_INIT;
    struct tar_section last;
    int rc;

    *is = false;
    if (size <= TAR_HEADER_BYTES)
        return RAFS_OK;
    rc = section_before(finder, size, &last, &why);
    if (rc == RAFS_E_CORRUPT) /* no tar header there: a bootstrap by itself */
        return RAFS_OK;
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    *is = strcmp(last.name, SECTION_BOOT) == 0 && last.at == 0 &&
          last.size == size - TAR_HEADER_BYTES;
    return RAFS_OK;
}

int rafsi_boot_find(const struct rafsi_env *env, const struct origin *origin,
                    const rafs_limits *limits, struct rafsi_hashes *hashes,
                    const struct expected *expected, const rafs_call *call,
                    struct boot *out, rafs_error *err)
{
    struct finder finder = {env, origin, limits, hashes, expected, call, NULL};
    bool plain_erofs = false, section = false;
    int version = 0;
    int rc = source_of(&finder, 0, origin->size, &finder.whole, err);

    if (rc == RAFS_OK && expected->whole_blob)
        rc = pin(&finder, finder.whole, err);
    if (rc == RAFS_OK)
        rc = sniff(&finder, &version, &plain_erofs, err);
    if (rc == RAFS_OK && version != 0)
        rc = is_section(&finder, &section, err);
    if (section)
        version = 0;
    if (rc == RAFS_OK && version == 0)
        rc = find_in_blob(&finder, plain_erofs, out, err);
    else if (rc == RAFS_OK && expected->given && !expected->whole_blob)
        rc = pin(&finder, finder.whole, err);
    if (rc == RAFS_OK && version != 0) {
        out->source = finder.whole;
        finder.whole = NULL;
    }
    rafsi_source_free(finder.whole);
    return rc;
}

void rafsi_boot_drop(struct boot *boot)
{
    rafsi_source_free(boot->source);
    rafs_backend_free(boot->carrier);
}
