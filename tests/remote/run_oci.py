#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a registry may put between a reference and an image: indexes, referrers, media types
of all kinds of tools; and what a hostile one puts there. An image counts as pinned only if
all of it follows from the digest that the user gave.

Usage: run_oci.py --rafs PATH
"""
import argparse
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reading import boot_of, rafs, report, set_programs, shown  # noqa: E402
from run_pull import make_image  # noqa: E402
from server import Server, sha  # noqa: E402

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker.distribution.manifest."
NYDUS = "application/vnd.nydus.image.manifest.v1+json"
SNAPSHOT = "containerd.io/snapshot/"


class Registry:
    """Documents by digest and tag, blobs, referrers; `lie` replaces what is given."""

    def __init__(self):
        self.manifests, self.blobs, self.referrers = {}, {}, {}
        self.api = True
        self.lie = {}

    def add(self, document, tag=None):
        if isinstance(document, dict):
            document = json.dumps(document).encode()
        self.manifests[sha(document)] = document
        if tag:
            self.manifests[tag] = document
        return sha(document)

    def image(self, kind, tag=None, change=None):
        """A golden image; change(manifest) edits it."""
        blobs, manifest, _ = make_image(kind)
        self.blobs.update(blobs)
        manifest = json.loads(manifest)
        if change:
            change(manifest)
        return self.add(manifest, tag)

    def plain_image(self, tag=None, subject_of=None):
        """One that is not of RAFS."""
        layer = gzip.compress(bytes(10240), mtime=0)
        config = json.dumps({"architecture": "amd64", "os": "linux"}).encode()
        self.blobs.update({sha(layer): layer, sha(config): config})
        return self.add({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": {"mediaType": OCI + "config.v1+json", "digest": sha(config),
                       "size": len(config)},
            "layers": [{"mediaType": OCI + "layer.v1.tar+gzip", "digest": sha(layer),
                        "size": len(layer)}]}, tag)

    def entry(self, digest, **more):
        return dict({"mediaType": OCI + "manifest.v1+json", "digest": digest,
                     "size": len(self.manifests[digest])}, **more)

    def index(self, *entries, media_type=OCI + "index.v1+json"):
        return {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}

    def act(self, request, client):
        name = request.path.split("/")[-1]
        what = request.path.split("/")[-2]
        if what == "manifests":
            body = self.manifests.get(name)
        elif what == "referrers":
            body = self.referrers.get(name) if self.api else None
        else:
            body = self.blobs.get(name)
        body = self.lie.get((what, name), body)
        if body is None:
            client.answer(404, b"<html>no such thing</html>")
        else:
            client.part(request, body)


def opened(registry, reference, *options):
    """Run `info` and `ls`: (image is as on disk of this kind?, pinned?, run)."""
    with Server(registry.act) as server:
        image = f"docker://{server.host}/lib/app{reference}"
        info = rafs("info", *options, image)
        listing = rafs("tar", *options, image)
    return listing, b"matches the expected digest" in info.stdout


def accepted(name, registry, reference, kind, pinned, *options):
    run, is_pinned = opened(registry, reference, *options)
    disk = rafs("tar", boot_of(kind))
    report.check(name, run.returncode == 0 and run.stdout == disk.stdout, shown(run))
    report.check(f"{name}: {'pinned' if pinned else 'not pinned'}", is_pinned == pinned,
                 is_pinned)


def refused(name, registry, reference, says, *options, code=None):
    run, _ = opened(registry, reference, *options)
    report.check(name, run.returncode in ([1, 3, 4] if code is None else [code]) and
                 run.stdout == b"" and says.encode() in run.stderr, shown(run))


def media_types():
    """What nydusify and docker write."""
    def of_docker(manifest):
        manifest["mediaType"] = DOCKER + "v2+json"
        manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
        manifest["layers"][-1]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"

    def without_type(manifest):
        del manifest["mediaType"]

    def artifact(manifest):
        manifest["artifactType"] = NYDUS
        manifest["config"]["mediaType"] = "application/vnd.nydus.image.config.v1+json"

    def annotated(manifest):
        manifest["annotations"] = {SNAPSHOT + "nydus-cache": "v1"}
        manifest["layers"][-1]["annotations"].update({
            SNAPSHOT + "nydus-reference-blob-ids": "[]",
            SNAPSHOT + "nydus-commit-blobs": "a,b", SNAPSHOT + "nydus-signature": "c2ln"})

    def without_version(manifest):
        del manifest["layers"][-1]["annotations"][SNAPSHOT + "nydus-fs-version"]

    for name, kind, change in (
            ("OCI", "v6-zstd", None), ("OCI, v5", "v5-zstd", None),
            ("docker's types", "v6-zstd", of_docker), ("docker's types, v5", "v5-none", of_docker),
            ("no mediaType", "v6-zstd", without_type), ("an artifactType", "v6-none", artifact),
            ("more annotations", "v6-zstd", annotated),
            ("no fs-version, v5", "v5-zstd", without_version)):
        registry = Registry()
        digest = registry.image(kind, "tag", change)
        accepted(f"{name}, by digest", registry, "@" + digest, kind, True)
        accepted(f"{name}, by tag", registry, ":tag", kind, False)
        accepted(f"{name}, by both", registry, ":other@" + digest, kind, True)

    def of_schema_1(manifest):
        manifest.clear()
        manifest.update(schemaVersion=1, name="x", fsLayers=[], history=[])

    registry = Registry()
    refused("schema 1", registry, "@" + registry.image("v6-zstd", None, of_schema_1),
            "schema version 1")
    registry = Registry()
    refused("an ordinary image", registry, "@" + registry.plain_image(), "ordinary image")


def indexes():
    amd64 = {"os": "linux", "architecture": "amd64"}
    arm64 = {"os": "linux", "architecture": "arm64"}
    for name, media_type in (("OCI", OCI + "index.v1+json"),
                             ("docker", DOCKER + "list.v2+json")):
        registry = Registry()
        one, other = registry.image("v6-zstd"), registry.image("v5-none")
        index = registry.add(registry.index(
            registry.entry(one, platform=amd64), registry.entry(other, platform=arm64),
            media_type=media_type), "tag")
        accepted(f"index of {name}: amd64", registry, "@" + index, "v6-zstd", True,
                 "--platform", "linux/amd64")
        accepted(f"index of {name}: arm64", registry, ":tag", "v5-none", False,
                 "--platform", "linux/arm64")
        refused(f"index of {name}: another", registry, "@" + index, "linux/amd64, linux/arm64",
                "--platform", "linux/s390x")
    for name, plain_mark, nydus_mark in (
            ("artifactType", {"platform": amd64}, {"platform": amd64, "artifactType": NYDUS}),
            ("os.features", {"platform": amd64},
             {"platform": dict(amd64, **{"os.features": ["nydus.remoteimage.v1"]})})):
        registry = Registry()
        plain, nydus = registry.plain_image(), registry.image("v6-none")
        for order in (1, -1):
            index = registry.add(registry.index(*[
                registry.entry(plain, **plain_mark), registry.entry(nydus, **nydus_mark)][::order]))
            accepted(f"index with {name}, order {order}", registry, "@" + index, "v6-none",
                     True, "--platform", "linux/amd64")
    registry = Registry()
    nested = registry.add(registry.index(registry.entry(registry.image("v6-zstd"),
                                                        platform=amd64)))
    for depth in range(2, 6):
        nested = registry.add(registry.index(registry.entry(
            nested, platform=amd64, mediaType=OCI + "index.v1+json")))
        if depth < 4:
            accepted(f"an index {depth} deep", registry, "@" + nested, "v6-zstd", True,
                     "--platform", "linux/amd64")
        else:
            refused(f"an index {depth} deep", registry, "@" + nested, "index", "--platform",
                    "linux/amd64")


def referrers():
    def registry_of(subject_of=None, api=True):
        registry = Registry()
        registry.api = api
        plain = registry.plain_image("tag")
        subject = subject_of(registry, plain) if subject_of else registry.entry(plain)

        def attach(manifest):
            manifest["artifactType"] = NYDUS
            if subject:
                manifest["subject"] = subject

        nydus = registry.image("v6-zstd", None, attach)
        listing = json.dumps(registry.index(registry.entry(nydus, artifactType=NYDUS))).encode()
        registry.referrers[plain] = listing
        if not api:
            registry.manifests[plain.replace(":", "-")] = listing
        return registry, plain, nydus

    for api in (True, False):
        way = "by the API" if api else "by the tag"
        registry, plain, nydus = registry_of(api=api)
        accepted(f"referrer {way}", registry, "@" + plain, "v6-zstd", False, "--referrers")
        accepted(f"referrer of a tag {way}", registry, ":tag", "v6-zstd", False, "--referrers")
        accepted(f"referrer {way}, by its own digest", registry, "@" + nydus, "v6-zstd", True)
        refused(f"referrer {way}: not without being asked for", registry, "@" + plain,
                "ordinary image")
        registry, plain, _ = registry_of(lambda r, p: r.entry(r.image("v5-none")), api)
        refused(f"referrer {way} of another image", registry, "@" + plain, "ordinary image",
                "--referrers")
        registry, plain, _ = registry_of(lambda r, p: None, api)
        refused(f"referrer {way} without a subject", registry, "@" + plain, "ordinary image",
                "--referrers")
        registry, plain, nydus = registry_of(api=api)
        registry.lie["manifests", nydus] = registry.manifests[nydus] + b" "
        refused(f"referrer {way} that is not what its digest says", registry, "@" + plain,
                "ordinary image", "--referrers")
        registry, plain, _ = registry_of(api=api)
        listing = json.dumps(registry.index(*[registry.entry(plain, artifactType=NYDUS)] * 1000))
        registry.referrers[plain] = registry.manifests[plain.replace(":", "-")] = \
            listing.encode()
        refused(f"1,000 referrers {way} that are none", registry, "@" + plain,
                "ordinary image", "--referrers")
    registry, plain, _ = registry_of()
    # Two liars before the honest one.
    liar = registry.image("v5-none", None, lambda m: m.update(artifactType=NYDUS))
    listing = json.loads(registry.referrers[plain])
    listing["manifests"] = [registry.entry(liar, artifactType=NYDUS)] * 2 + listing["manifests"]
    registry.referrers[plain] = json.dumps(listing).encode()
    accepted("a referrer behind two that are none", registry, "@" + plain, "v6-zstd", False,
             "--referrers")


def hostile():
    def with_manifest(name, body, says, tag=True):
        registry = Registry()
        registry.image("v6-zstd")
        digest = registry.add(body, "tag")
        refused(f"{name}, by digest", registry, "@" + digest, says)
        if tag:
            refused(f"{name}, by tag", registry, ":tag", says)

    registry = Registry()
    digest = registry.image("v6-zstd")
    registry.lie["manifests", digest] = registry.manifests[registry.image("v5-zstd")]
    refused("another image's manifest", registry, "@" + digest, "digest mismatch", code=1)
    registry = Registry()
    digest = registry.image("v6-zstd")
    good = json.loads(registry.manifests[digest])
    layer = good["layers"][-1]["digest"]
    registry.lie["blobs", layer] = registry.blobs[layer][:-9]
    refused("a bootstrap layer that is cut", registry, "@" + digest, "", code=None)
    registry.lie["blobs", layer] = registry.blobs[layer] + b"x"
    refused("a bootstrap layer that goes on", registry, "@" + digest, "")
    with_manifest("more than 4 MiB of manifest", b" " * (5 << 20), "")
    with_manifest("deep JSON", b'{"a":' + b"[" * 1000000 + b"]" * 1000000 + b"}", "not JSON")
    text = json.dumps(good)
    with_manifest("a key twice", text.replace('"schemaVersion": 2',
                                              '"schemaVersion": 2, "schemaVersion": 2')
                  .encode(), "twice")
    with_manifest("layers twice", (text[:-1] + ', "layers": []}').encode(), "twice")
    with_manifest("an image and an index at once",
                  json.dumps(dict(good, manifests=[])).encode(), "two ways")
    with_manifest("an index that says it is an image", json.dumps(
        {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "manifests": []}).encode(),
        "contradict")
    with_manifest("HTML", b"<html>welcome to the wireless network</html>", "not JSON")
    with_manifest("nothing", b"", "not JSON")
    with_manifest("bytes that are no UTF-8", text.replace("linux", "\xff").encode("latin-1") +
                  b"\xff", "not JSON")
    for name, field, value in (
            ("a negative size", "size", -1), ("a size of 2^70", "size", 1 << 70),
            ("a size that is text", "size", "5"), ("a digest with a path", "digest",
                                                  "sha256:../../../../etc/passwd"),
            ("an MD5", "digest", "md5:d41d8cd98f00b204e9800998ecf8427e"),
            ("no digest", "digest", None)):
        bad = json.loads(text)
        bad["layers"][-1][field] = value
        with_manifest(f"a layer of {name}", json.dumps(bad).encode(), "")
    bad = json.loads(text)
    bad["layers"][-1]["size"] = 1 << 40
    with_manifest("a bootstrap layer of a terabyte", json.dumps(bad).encode(), "")
    bomb = gzip.compress(bytes(300 << 20), 9)
    registry = Registry()
    registry.blobs[sha(bomb)] = bomb
    bad = json.loads(text)
    bad["layers"][-1].update(digest=sha(bomb), size=len(bomb))
    refused("a bootstrap layer that is a gzip bomb", registry, "@" + registry.add(bad), "")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--only", help="name of one function")
    args = parser.parse_args()
    set_programs(args.rafs)
    tests = [media_types, indexes, referrers, hostile]
    report.run({test.__name__: test for test in tests}, args.only)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
