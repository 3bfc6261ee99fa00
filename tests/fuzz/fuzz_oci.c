/* SPDX-License-Identifier: Apache-2.0 */
/* What users write and registries answer: u8 kind of text, the text. */
#include <stdio.h>

#include "fuzz.h"
#include "oci/oci.h"

static struct rafsi_env env;

/* NUL behind it, in a block of exactly that size. */
static char *text_of(struct span in)
{
    char *text = malloc(in.len + 1);

    if (!text)
        abort();
    memcpy(text, in.at, in.len);
    text[in.len] = '\0';
    return text;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* What is accepted goes into URLs as it is, and means the same when it is read again. */
static void reference(const char *text)
{
    struct oci_reference first, again;
    char whole[1200], digest[OCI_DIGEST_TEXT];
    rafs_error err = RAFS_ERROR_INIT;
    int rc = rafsi_oci_reference_parse(text, &first, &err);

    MUST(rc == err.code);
    if (rc != RAFS_OK)
        return;
    MUST(strspn(first.repo, "abcdefghijklmnopqrstuvwxyz0123456789._-/") ==
         strlen(first.repo));
    MUST(first.repo[0] != '\0' && first.host[0] != '\0');
    MUST(!strstr(first.repo, "..") && !strstr(first.repo, "//"));
    MUST(!strpbrk(first.host, "/@?# \\"));
    MUST(first.has_digest || first.tag[0] != '\0');
    rafsi_oci_digest_text(first.digest, digest);
    snprintf(whole, sizeof(whole), "%s/%s%s%s%s%s", first.host, first.repo,
             first.tag[0] ? ":" : "", first.tag, first.has_digest ? "@" : "",
             first.has_digest ? digest : "");
    /* A host of Docker Hub is written otherwise than it is called, but stays itself. */
    MUST(rafsi_oci_reference_parse(whole, &again, NULL) == RAFS_OK);
    MUST(strcmp(first.host, again.host) == 0 && strcmp(first.repo, again.repo) == 0);
    MUST(strcmp(first.tag, again.tag) == 0 && first.has_digest == again.has_digest);
    MUST(memcmp(first.digest, again.digest, sizeof(first.digest)) == 0);
}

static void challenge(const char *text)
{
    struct oci_challenge out;
    char url[16384];
    rafs_error err = RAFS_ERROR_INIT;
    int rc = rafsi_oci_challenge_parse(text, &out, &err);

    MUST(rc == err.code);
    if (rc != RAFS_OK)
        return;
    MUST(!has_control(out.realm) && !has_control(out.service) && !has_control(out.scope));
    if (!out.bearer)
        return;
    MUST(rafsi_oci_token_url(&out, "repository:a:pull", url, sizeof(url), NULL) ==
         RAFS_OK);
    MUST(strncmp(url, out.realm, strlen(out.realm)) == 0 && !strpbrk(url, " #\""));
    MUST(rafsi_oci_token_form(&out, "", "secret", url, sizeof(url), NULL) == RAFS_OK);
    (void)rafsi_oci_token_url(&out, "x", url, strlen(out.realm) + 4, NULL);
}

static void manifest(const char *text, size_t len)
{
    struct oci_manifest out;
    struct oci_descriptor at;
    enum oci_kind kind;
    bool known = rafsi_oci_kind(text, len, NULL, &kind, NULL) == RAFS_OK;
    rafs_error err = RAFS_ERROR_INIT;
    int rc = rafsi_oci_manifest_parse(&env, text, len, &out, &err);

    MUST(rc == err.code);
    if (rc == RAFS_OK) {
        MUST(known && kind == OCI_MANIFEST);
        MUST(!out.has_bootstrap || out.fs_version == 5 || out.fs_version == 6);
        MUST(out.layer_count <= OCI_LAYERS_MAX);
        rafsi_oci_manifest_drop(&env, &out);
    }
    if (rafsi_oci_index_pick(text, len, NULL, &at, NULL) == RAFS_OK)
        MUST(known && kind == OCI_INDEX);
    for (size_t i = 0; i < 3; i++)
        if (rafsi_oci_referrer_pick(text, len, i, &at, NULL) == RAFS_OK)
            MUST(known && kind == OCI_INDEX);
}

static void token(const char *text, size_t len)
{
    char *out = NULL;
    uint64_t life_s = 0;

    if (rafsi_oci_token_parse(&env, text, len, &out, &life_s, NULL) != RAFS_OK)
        return;
    MUST(out[0] != '\0' && !has_control(out) && !strchr(out, ' '));
    MUST(life_s >= 1 && life_s <= OCI_TOKEN_LIFE_MAX);
    rafsi_free(&env, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint64_t kind = input_number(&in, 1);
    struct span bytes = input_copy(&in, in.left, 0);
    char *text = text_of(bytes);
    struct oci_platform platform;

    MUST(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    if (kind % 5 == 0)
        reference(text);
    else if (kind % 5 == 1)
        challenge(text);
    else if (kind % 5 == 2)
        manifest((const char *)bytes.at, bytes.len);
    else if (kind % 5 == 3)
        token((const char *)bytes.at, bytes.len);
    else if (rafsi_oci_platform_parse(text, &platform, NULL) == RAFS_OK)
        MUST(platform.os[0] != '\0' && platform.arch[0] != '\0');
    free(text);
    input_free(bytes);
    return 0;
}
