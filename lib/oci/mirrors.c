/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/mirrors.h"

#include <errno.h>

struct place {
    struct oci_registry *registry;
    uint32_t flags;    /* RAFS_MIRROR_ */
    unsigned failures; /* in a row: it goes after the others */
};

struct oci_mirrors {
    struct rafsi_env env;
    struct rafsi_hashes *hashes;
    struct place places[RAFS_MIRRORS_MAX + 1]; /* the last one is the registry itself */
    size_t count;
};

static int add(struct oci_mirrors *mirrors, struct oci_registry *origin,
               const struct oci_reference *reference, const rafs_registry_mirror *given,
               rafs_error *err)
{
    uint32_t known = RAFS_MIRROR_PULL | RAFS_MIRROR_RESOLVE | RAFS_MIRROR_OVERRIDE_PATH |
                     RAFS_MIRROR_SERVER;
    struct place *place = &mirrors->places[mirrors->count];
    rafs_registry_mirror mirror;
    int rc;

    if (!given)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "mirrors", "is NULL");
    rc = rafsi_take_struct(given, &mirror, sizeof(mirror), "rafs_registry_mirror", err);
    if (rc == RAFS_OK && (mirror.flags & ~known))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_registry_mirror", "flags 0x%x are not known", mirror.flags);
    if (rc == RAFS_OK)
        rc = rafsi_registry_new_mirror(origin, reference, &mirror, &place->registry, err);
    if (rc < 0)
        return rc;
    place->flags = mirror.flags;
    if (!(place->flags & (RAFS_MIRROR_PULL | RAFS_MIRROR_RESOLVE)))
        place->flags |= RAFS_MIRROR_PULL | RAFS_MIRROR_RESOLVE;
    mirrors->count++;
    return RAFS_OK;
}

int rafsi_mirrors_new(struct oci_registry *origin, const struct oci_reference *reference,
                      const rafs_registry_options *options, struct rafsi_hashes *hashes,
                      struct oci_mirrors **out, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_registry_env(origin);
    struct oci_mirrors *mirrors;
    bool stands_in = false;
    int rc = RAFS_OK;

    if (options->mirror_count > RAFS_MIRRORS_MAX ||
        (options->mirror_count > 0 && !options->mirrors))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT,
                          "rafs_registry_options",
                          "mirrors is NULL, or there are more than %d", RAFS_MIRRORS_MAX);
    mirrors = rafsi_alloc_zero(env, sizeof(*mirrors));
    if (!mirrors)
        return rafsi_fail_nomem(err, sizeof(*mirrors));
    mirrors->env = *env;
    mirrors->hashes = hashes;
    for (size_t i = 0; i < options->mirror_count && rc == RAFS_OK; i++) {
        if (stands_in)
            rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT,
                            "rafs_registry_options",
                            "RAFS_MIRROR_SERVER is for the last mirror");
        else
            rc = add(mirrors, origin, reference, options->mirrors[i], err);
        if (rc == RAFS_OK)
            stands_in = mirrors->places[i].flags & RAFS_MIRROR_SERVER;
    }
    if (rc < 0) {
        rafsi_mirrors_free(mirrors);
        return rc;
    }
    if (!stands_in)
        mirrors->places[mirrors->count++] =
            (struct place){.registry = rafsi_registry_hold(origin),
                           .flags = RAFS_MIRROR_PULL | RAFS_MIRROR_RESOLVE};
    *out = mirrors;
    return RAFS_OK;
}

void rafsi_mirrors_free(struct oci_mirrors *mirrors)
{
    if (!mirrors)
        return;
    for (size_t i = 0; i < mirrors->count; i++)
        rafsi_registry_drop(mirrors->places[i].registry);
    rafsi_free(&mirrors->env, mirrors);
}

/* Is this what was asked for? pull.c compares again, and does not ask anybody else. */
static int compare(struct oci_mirrors *mirrors, const struct place *place,
                   const struct oci_wanted *wanted, const uint8_t *bytes, size_t len,
                   rafs_error *err)
{
    uint8_t digest[OCI_DIGEST_BYTES];
    char want[65], have[65];
    int rc;

    if (!wanted->digest || wanted->what == OCI_GET_REFERRERS)
        return RAFS_OK;
    rc = rafsi_hash_bytes(mirrors->hashes, RAFS_DIGEST_SHA256,
                          bytes ? (const void *)bytes : "", len, digest, err);
    if (rc < 0 || rafsi_digest_equal(digest, wanted->digest))
        return rc;
    rafsi_digest_hex(wanted->digest, want);
    rafsi_digest_hex(digest, have);
    return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                      "digest mismatch: %s gave %s for %s",
                      rafsi_registry_name(place->registry), have, want);
}

static bool may(const struct place *place, const struct oci_wanted *wanted)
{
    bool bound = wanted->digest && wanted->what != OCI_GET_REFERRERS;

    return place->flags & (bound ? RAFS_MIRROR_PULL : RAFS_MIRROR_RESOLVE);
}

/* Who may be asked, those that failed last time at the end. */
static size_t order_of(const struct oci_mirrors *mirrors, const struct oci_wanted *wanted,
                       size_t order[RAFS_MIRRORS_MAX + 1])
{
    size_t count = 0;

    for (int failed = 0; failed < 2; failed++)
        for (size_t i = 0; i < mirrors->count; i++)
            if (may(&mirrors->places[i], wanted) &&
                (mirrors->places[i].failures > 0) == failed)
                order[count++] = i;
    return count;
}

/* One question to all of them. */
struct quest {
    struct oci_mirrors *mirrors;
    const struct oci_wanted *wanted;
    const struct rafsi_env *env;
    struct rafsi_rounds rounds;
    size_t order[RAFS_MIRRORS_MAX + 1];
    size_t count;
    /* What the registry itself said, if it said anything: nobody knows better. */
    int settled;
    rafs_error error;
};

static int ask(struct quest *quest, size_t i, const rafs_call *call, uint8_t **out,
               size_t *len, rafs_error *err)
{
    struct place *place = &quest->mirrors->places[i];
    struct oci_store store = rafsi_registry_store(place->registry);
    uint8_t *bytes = NULL;
    int rc = store.get(store.user, quest->wanted, quest->env, call, &bytes, len, err);

    if (rc == RAFS_OK)
        rc = compare(quest->mirrors, place, quest->wanted, bytes, *len, err);
    if (rc == RAFS_OK)
        *out = bytes;
    else
        rafsi_free(quest->env, bytes);
    if (rc == RAFS_OK || rc == RAFS_E_NOENT)
        place->failures = 0;
    else
        place->failures++;
    return rc;
}

/* Sources that could be asked in place of the one at `at`. */
static const rafs_call *part_of(struct quest *quest, size_t at)
{
    size_t others = 0, left = 0;

    for (size_t i = 0; i < quest->count; i++)
        if (i != at && rafsi_rounds_wants(&quest->rounds, quest->order[i])) {
            others++;
            left += i > at;
        }
    return rafsi_rounds_part(&quest->rounds, others, left, 0);
}

static void failed(struct quest *quest, size_t i, int rc, const rafs_error *why)
{
    struct oci_mirrors *mirrors = quest->mirrors;
    bool again = (rc == RAFS_E_BACKEND || rc == RAFS_E_TIMEOUT) &&
                 why->os_errno != EACCES && quest->rounds.end_ns != 0;

    if (i + 1 == mirrors->count && !again) {
        quest->settled = rc;
        quest->error = *why;
    }
    if (quest->count > 1)
        rafsi_log(&mirrors->env, RAFS_LOG_INFO, "%s: %s; asking another",
                  rafsi_registry_name(mirrors->places[i].registry), why->text);
    rafsi_rounds_failed(&quest->rounds, i, rc, again, why);
}

static int end_of(struct quest *quest, rafs_error *err)
{
    int rc;

    if (quest->count == 0)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_OPEN, NULL,
                          "neither the registry nor a mirror may be asked for it");
    rc = rafsi_rounds_end(&quest->rounds, err);
    if (quest->settled < 0 && rafsi_severity(rc) < rafsi_severity(RAFS_E_CORRUPT) &&
        !rafsi_ends_search(rc)) {
        rc = quest->settled;
        if (err)
            *err = quest->error;
    }
    return rc;
}

static int mirrors_get(void *user, const struct oci_wanted *wanted,
                       const struct rafsi_env *env, const rafs_call *call, uint8_t **out,
                       size_t *len, rafs_error *err)
{
    struct quest quest = {.mirrors = user, .wanted = wanted, .env = env};
    int rc = RAFS_E_NOENT;

    rafsi_rounds_begin(&quest.rounds, &quest.mirrors->env, call);
    do {
        quest.count = order_of(quest.mirrors, wanted, quest.order);
        for (size_t at = 0; at < quest.count && rc < 0; at++) {
            rafs_error local = RAFS_ERROR_INIT;
            size_t i = quest.order[at];

            if (!rafsi_rounds_wants(&quest.rounds, i))
                continue;
            rc = ask(&quest, i, part_of(&quest, at), out, len, &local);
            if (rc < 0)
                failed(&quest, i, rc, &local);
        }
    } while (rc < 0 && quest.settled == 0 && rafsi_rounds_again(&quest.rounds));
    return rc == RAFS_OK ? rc : end_of(&quest, err);
}

struct oci_store rafsi_mirrors_store(struct oci_mirrors *mirrors)
{
    if (mirrors->count == 1)
        return rafsi_registry_store(mirrors->places[0].registry);
    return (struct oci_store){
        .user = mirrors, .name = "the registry", .get = mirrors_get};
}

int rafsi_mirrors_backend(struct oci_mirrors *mirrors, size_t i, rafs_backend **out,
                          rafs_error *err)
{
    return rafsi_registry_backend(mirrors->places[i].registry, out, err);
}

int rafsi_mirrors_backends(struct oci_mirrors *mirrors, size_t room, rafs_backend **out,
                           size_t *count, rafs_error *err)
{
    size_t made = 0;
    int rc = RAFS_OK;

    for (size_t i = 0; i < mirrors->count && rc == RAFS_OK; i++) {
        if (!(mirrors->places[i].flags & RAFS_MIRROR_PULL))
            continue;
        if (made == room)
            rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "mirrors",
                            "more than %d backends and mirrors together",
                            RAFS_SOURCES_MAX - 1);
        else
            rc = rafsi_mirrors_backend(mirrors, i, &out[made], err);
        made += rc == RAFS_OK;
    }
    if (rc == RAFS_OK && made == 0)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "mirrors",
                        "nobody may be asked for blobs: RAFS_MIRROR_PULL is missing");
    if (rc < 0)
        while (made > 0)
            rafs_backend_free(out[--made]);
    else
        *count = made;
    return rc;
}
