# SPDX-License-Identifier: Apache-2.0
"""Golden images in the form in which nydusify pushes them: blobs, a tar.gz with the
bootstrap, a config, a manifest; and OCI layouts of them."""
import gzip
import hashlib
import io
import json
import os
import tarfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "tests", "golden")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def bootstrap_of(kind):
    with open(os.path.join(GOLDEN, kind, "image.boot"), "rb") as f:
        return f.read()


def blobs_of(kind):
    """Content by id."""
    folder = os.path.join(GOLDEN, kind, "blobs")
    blobs = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as f:
            blobs[name] = f.read()
    return blobs


def make_image(kind, with_blobs=True):
    """Blobs by digest, the manifest, and the digest of its bootstrap layer."""
    boot = bootstrap_of(kind)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        top = tarfile.TarInfo("image")
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(top)
        entry = tarfile.TarInfo("image/image.boot")
        entry.size = len(boot)
        tar.addfile(entry, io.BytesIO(boot))
    blobs, layers, ids = {}, [], []
    for name, data in blobs_of(kind).items() if with_blobs else ():
        blobs["sha256:" + name] = data
        ids.append("sha256:" + name)
        layers.append({"mediaType": "application/vnd.oci.image.layer.nydus.blob.v1",
                       "digest": "sha256:" + name, "size": len(data),
                       "annotations": {"containerd.io/snapshot/nydus-blob": "true"}})
    layer = gzip.compress(out.getvalue(), mtime=0)
    blobs[sha(layer)] = layer
    layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                   "digest": sha(layer), "size": len(layer),
                   "annotations": {"containerd.io/snapshot/nydus-bootstrap": "true",
                                   "containerd.io/snapshot/nydus-fs-version": kind[1]}})
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {
        "type": "layers", "diff_ids": ids + [sha(out.getvalue())]}}).encode()
    blobs[sha(config)] = config
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": sha(config), "size": len(config)},
        "layers": layers}).encode()
    return blobs, manifest, sha(layer)


def make_index(entries):
    """entries: (content, media type, name or None)."""
    manifests = []
    for content, kind, name in entries:
        manifests.append({"mediaType": kind, "digest": sha(content), "size": len(content)})
        if name:
            manifests[-1]["annotations"] = {REF_NAME: name}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                       "manifests": manifests}).encode()


def layout_files(images):
    """Files of a layout by name; images: name -> what make_image() gave."""
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    for blobs, manifest, _ in images.values():
        for digest, data in list(blobs.items()) + [(sha(manifest), manifest)]:
            files["blobs/sha256/" + digest[7:]] = data
    files["index.json"] = make_index([(m, MANIFEST, n) for n, (_, m, _) in images.items()])
    return files


def write_layout(folder, files):
    for name, data in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    return folder


def write_archive(path, files, form=tarfile.PAX_FORMAT, prefix="", pax=None):
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(data)
            entry.pax_headers = dict(pax or {})
            tar.addfile(entry, io.BytesIO(data))
    return path
