/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes: one image for several platforms, or the referrers of an image.
 *
 * The nydus form of a platform's image lies in the same index as the ordinary one, marked
 * by its artifactType or (older) by a feature of its platform. Source: OCI image
 * specification 1.1; the index detection of nydus-snapshotter; platform matching of
 * containerd.
 */
#include <stdio.h>

#include "oci/json.h"

#define NYDUS_FEATURE "nydus.remoteimage.v1"

static const struct json_place index_place = {"index", RAFS_E_CORRUPT, RAFS_STAGE_OPEN,
                                              OCI_JSON_MAX};

static void set(char *out, size_t room, const char *text)
{
    memset(out, 0, room);
    memcpy(out, text, strnlen(text, room - 1));
}

/* One spelling for each machine, and the variant that goes without saying left out. */
static void normalize(struct oci_platform *platform)
{
    static const struct {
        const char *from, *arch, *variant;
    } spellings[] = {
        {"x86_64", "amd64", ""},
        {"x86-64", "amd64", ""},
        {"aarch64", "arm64", ""},
        {"i386", "386", ""},
        {"i686", "386", ""},
        {"armhf", "arm", "v7"},
        {"armel", "arm", "v6"},
        {"armv7l", "arm", "v7"},
        {"loong64", "loong64", ""},
        {"ppc64el", "ppc64le", ""},
        {"loongarch64", "loong64", ""},
    };

    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        if (strcmp(platform->arch, spellings[i].from) != 0)
            continue;
        set(platform->arch, sizeof(platform->arch), spellings[i].arch);
        if (platform->variant[0] == '\0')
            set(platform->variant, sizeof(platform->variant), spellings[i].variant);
        break;
    }
    if (strcmp(platform->arch, "arm") == 0 && platform->variant[0] == '\0')
        set(platform->variant, sizeof(platform->variant), "v7");
    if ((strcmp(platform->arch, "amd64") == 0 && strcmp(platform->variant, "v1") == 0) ||
        (strcmp(platform->arch, "arm64") == 0 &&
         (strcmp(platform->variant, "v8") == 0 || strcmp(platform->variant, "8") == 0)))
        platform->variant[0] = '\0';
}

void rafsi_oci_platform_host(struct oci_platform *out)
{
    *out = (struct oci_platform){.os = "linux"};
#if defined(__x86_64__)
    set(out->arch, sizeof(out->arch), "amd64");
#elif defined(__aarch64__)
    set(out->arch, sizeof(out->arch), "arm64");
#elif defined(__i386__)
    set(out->arch, sizeof(out->arch), "386");
#elif defined(__arm__)
    set(out->arch, sizeof(out->arch), "arm");
#elif defined(__riscv) && __riscv_xlen == 64
    set(out->arch, sizeof(out->arch), "riscv64");
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    set(out->arch, sizeof(out->arch), "ppc64le");
#elif defined(__s390x__)
    set(out->arch, sizeof(out->arch), "s390x");
#elif defined(__loongarch64)
    set(out->arch, sizeof(out->arch), "loong64");
#endif
    normalize(out);
}

int rafsi_oci_platform_parse(const char *text, struct oci_platform *out, rafs_error *err)
{
    struct oci_platform made = {.os = "linux"};
    char *const fields[] = {made.os, made.arch, made.variant};
    size_t field = strchr(text, '/') ? 0 : 1;
    size_t used = 0;

    for (const char *at = text; *at != '\0'; at++) {
        bool fits = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                    (*at >= '0' && *at <= '9') || *at == '_' || *at == '.' || *at == '-';

        if (*at == '/' && used > 0 && field < 2) {
            field++;
            used = 0;
            continue;
        }
        if (!fits || used + 1 >= sizeof(made.os))
            break;
        if (used == 0)
            memset(fields[field], 0, sizeof(made.os));
        fields[field][used++] = *at;
        if (at[1] == '\0' && field > 0) {
            normalize(&made);
            *out = made;
            return RAFS_OK;
        }
    }
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "platform",
                      "write it as os/arch or os/arch/variant, such as linux/amd64");
}

/* N of a variant "vN"; 0 for none, -1 for another form. */
static int level(const char *variant)
{
    if (variant[0] == '\0')
        return 0;
    if (variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9' && variant[2] == '\0')
        return variant[1] - '0';
    return -1;
}

/* How well an entry's platform serves the wanted one: 0 not at all, more is better. */
static int fitness(const struct oci_platform *has, const struct oci_platform *wanted)
{
    int can = level(wanted->variant);
    int needs = level(has->variant);

    if (strcmp(has->os, wanted->os) != 0 || strcmp(has->arch, wanted->arch) != 0)
        return 0;
    if (strcmp(has->variant, wanted->variant) == 0)
        return 100;
    /* What was built for an older machine runs on a newer one. */
    return can >= 0 && needs >= 0 && needs <= can ? 10 + needs : 0;
}

struct entry {
    struct oci_platform platform;
    bool has_platform;
    bool nydus;
    bool other_artifact; /* has an artifactType that is not nydus' */
    bool readable;       /* its media type is that of a manifest or index */
};

static bool has_feature(const json_t *platform)
{
    const json_t *features = json_object_get(platform, "os.features");

    for (size_t i = 0; i < json_array_size(features); i++) {
        const char *text = json_string_value(json_array_get(features, i));

        if (text && strcmp(text, NYDUS_FEATURE) == 0)
            return true;
    }
    return false;
}

/* Copy a text that is short enough; a longer one is no platform that anybody asks for. */
static void copy_field(const json_t *object, const char *key, char *out, size_t room)
{
    const char *text = json_string_value(json_object_get(object, key));

    set(out, room, text && strlen(text) < room ? text : "");
}

/* Other platforms' entries are not ours to judge, so this never fails on their content.
 */
static int take_entry(const json_t *item, struct entry *out, rafs_error *err)
{
    const json_t *platform = json_object_get(item, "platform");
    const char *type = json_string_value(json_object_get(item, "artifactType"));
    const char *media_type = json_string_value(json_object_get(item, "mediaType"));

    if (!json_is_object(item))
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "index",
                          "an entry is not an object");
    *out = (struct entry){.has_platform = json_is_object(platform)};
    if (out->has_platform) {
        copy_field(platform, "os", out->platform.os, sizeof(out->platform.os));
        copy_field(platform, "architecture", out->platform.arch,
                   sizeof(out->platform.arch));
        copy_field(platform, "variant", out->platform.variant,
                   sizeof(out->platform.variant));
        normalize(&out->platform);
    }
    out->nydus = has_feature(platform) || (type && strcmp(type, OCI_NYDUS_ARTIFACT) == 0);
    out->other_artifact = type && type[0] != '\0' && !out->nydus;
    out->readable = !media_type || media_type[0] == '\0' ||
                    rafsi_oci_media_kind(media_type) != (enum oci_kind)0;
    return RAFS_OK;
}

/* "linux/amd64, linux/arm64/v9" of what an index has, as far as there is room. */
static void list_platforms(const json_t *items, char *out, size_t room)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(items); i++) {
        struct entry entry;
        char one[112];
        int bytes;

        if (take_entry(json_array_get(items, i), &entry, NULL) < 0 || !entry.has_platform)
            continue;
        bytes = snprintf(one, sizeof(one), "%s/%s%s%s", entry.platform.os,
                         entry.platform.arch, entry.platform.variant[0] ? "/" : "",
                         entry.platform.variant);
        if (bytes < 0 || strstr(out, one))
            continue;
        if (len + 2 + (size_t)bytes + sizeof(" …") > room) {
            memcpy(out + len, " …", sizeof(" …"));
            return;
        }
        len += (size_t)snprintf(out + len, room - len, "%s%s", len ? ", " : "", one);
    }
}

static int no_such_platform(const json_t *items, const struct oci_platform *wanted,
                            rafs_error *err)
{
    char there[160];

    list_platforms(items, there, sizeof(there));
    return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_OPEN, "index",
                      "no image for %s/%s%s%s; there are: %s", wanted->os, wanted->arch,
                      wanted->variant[0] ? "/" : "", wanted->variant,
                      there[0] ? there : "none");
}

/* plain: RAFS forms are passed over; else they come first. */
static int pick(const json_t *items, const struct oci_platform *wanted, bool plain,
                const json_t **best, rafs_error *err)
{
    int best_score = 0;

    for (size_t i = 0; i < json_array_size(items); i++) {
        struct entry entry;
        int score;
        int rc = take_entry(json_array_get(items, i), &entry, err);

        if (rc < 0)
            return rc;
        if (entry.other_artifact || !entry.readable || (plain && entry.nydus))
            continue;
        /* An entry without a platform may be for any. */
        score = entry.has_platform ? fitness(&entry.platform, wanted) : 1;
        score += score > 0 && entry.nydus ? 1000 : 0;
        if (score > best_score) {
            best_score = score;
            *best = json_array_get(items, i);
        }
    }
    return *best ? RAFS_OK : no_such_platform(items, wanted, err);
}

static int pick_from(const void *json, size_t len, const struct oci_platform *wanted,
                     bool plain, struct oci_descriptor *out, rafs_error *err)
{
    struct oci_platform platform;
    struct oci_descriptor made;
    json_t *root = NULL;
    json_t *items = NULL;
    const json_t *best = NULL;
    int rc = rafsi_oci_load(&index_place, json, len, "manifests", &root, &items, err);

    if (rc < 0)
        return rc;
    if (wanted)
        platform = *wanted;
    else
        rafsi_oci_platform_host(&platform);
    normalize(&platform);
    rc = pick(items, &platform, plain, &best, err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_descriptor(&index_place, best, &made, err);
    if (rc == RAFS_OK)
        *out = made;
    json_decref(root);
    return rc;
}

int rafsi_oci_index_pick(const void *json, size_t len, const struct oci_platform *wanted,
                         struct oci_descriptor *out, rafs_error *err)
{
    return pick_from(json, len, wanted, false, out, err);
}

int rafsi_oci_index_pick_plain(const void *json, size_t len,
                               const struct oci_platform *wanted,
                               struct oci_descriptor *out, rafs_error *err)
{
    return pick_from(json, len, wanted, true, out, err);
}

/* What stands beside the images of an index, such as how they were built, says of itself
 * that it is for no machine. Source: BuildKit's attestation storage. */
static bool is_image(const struct entry *entry)
{
    return entry->readable && !entry->other_artifact &&
           strcmp(entry->platform.os, "unknown") != 0;
}

int rafsi_oci_index_list(const void *json, size_t len, struct oci_listed *out,
                         size_t *count, rafs_error *err)
{
    json_t *root = NULL;
    json_t *items = NULL;
    int rc = rafsi_oci_load(&index_place, json, len, "manifests", &root, &items, err);

    *count = 0;
    for (size_t i = 0; rc == RAFS_OK && i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        struct oci_listed *one = &out[i];
        struct entry entry;

        rc = take_entry(item, &entry, err);
        if (rc == RAFS_OK)
            rc = rafsi_oci_descriptor(&index_place, item, &one->at, err);
        one->nydus = entry.nydus;
        one->image = is_image(&entry);
        *count = i + 1;
    }
    json_decref(root);
    return rc;
}

int rafsi_oci_referrer_pick(const void *json, size_t len, size_t i,
                            struct oci_descriptor *out, rafs_error *err)
{
    struct oci_descriptor made;
    json_t *root = NULL;
    json_t *items = NULL;
    const json_t *found = NULL;
    int rc = rafsi_oci_load(&index_place, json, len, "manifests", &root, &items, err);

    if (rc < 0)
        return rc;
    for (int pass = 0; rc == RAFS_OK && !found && pass < 2; pass++)
        for (size_t n = 0; rc == RAFS_OK && !found && n < json_array_size(items); n++) {
            struct entry entry;

            rc = take_entry(json_array_get(items, n), &entry, err);
            if (rc < 0 || !entry.readable || entry.other_artifact)
                continue;
            if (entry.nydus == (pass == 0) && i-- == 0)
                found = json_array_get(items, n);
        }
    if (rc == RAFS_OK)
        rc = found ? rafsi_oci_descriptor(&index_place, found, &made, err)
                   : rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_OPEN, "index",
                                "no referrer is left that may be a RAFS image");
    if (rc == RAFS_OK)
        *out = made;
    json_decref(root);
    return rc;
}
