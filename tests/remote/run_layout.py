#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images in OCI layouts, folders and archives, through the rafs command: what comes out is
what comes out of the same image on disk; what is missing or differs is an error.

Layouts are written here and by skopeo, which also carries images from one to the other
and to a registry; skipped by name where skopeo is absent. Usage: run_layout.py --rafs PATH
"""
import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import oci_image as oci  # noqa: E402
from registry import start_registry  # noqa: E402
from report import Report  # noqa: E402

KINDS = ["v6-zstd", "v5-lz4", "v6-none"]
# An empty RAFS_CACHE_DIR: nothing is kept where the user keeps his.
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
report = Report()


def rafs(*args):
    return subprocess.run([RAFS] + list(args), stdin=subprocess.DEVNULL, timeout=100,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV, check=False)


def shown(run):
    return f"exit {run.returncode}, {run.stderr[-400:]!r}"


def same(name, kind, image, *options):
    """Listing, and every byte and attribute as a tar, equal those of the image on disk."""
    for command in (["ls", "-lR"], ["tar"]):
        mine = rafs(*command, *options, image)
        disk = rafs(*command, os.path.join(oci.GOLDEN, kind, "image.boot"))
        report.check(f"{name}: {command[0]}", disk.returncode == 0 and
                     mine.returncode == 0 and mine.stdout == disk.stdout, shown(mine))


def refused(name, code, says, image):
    run = rafs("ls", image)
    report.check(name, run.returncode == code and run.stdout == b"" and
                 says.encode() in run.stderr, shown(run))


def written_here(folder):
    images = {kind: oci.make_image(kind) for kind in KINDS}
    files = oci.layout_files(images)
    where = oci.write_layout(os.path.join(folder, "layout"), files)
    forms = {"pax": dict(form=tarfile.PAX_FORMAT, pax={"mtime": "1.5", "comment": "x" * 99}),
             "gnu": dict(form=tarfile.GNU_FORMAT, prefix="./"),
             "ustar": dict(form=tarfile.USTAR_FORMAT)}
    archives = {name: oci.write_archive(os.path.join(folder, name + ".tar"), files, **how)
                for name, how in forms.items()}
    for kind in KINDS:
        same(f"folder {kind}", kind, f"oci:{where}:{kind}")
        digest = oci.sha(images[kind][1])
        for image in (f"oci:{where}@{digest}", f"oci:{where}:{kind}@{digest}"):
            info = rafs("info", image)
            report.check(f"{kind} by digest is pinned",
                         b"matches the expected digest" in info.stdout, shown(info))
    info = rafs("info", f"oci:{where}:{KINDS[0]}")
    report.check("by name it is not", info.returncode == 0 and
                 b"matches the expected digest" not in info.stdout, shown(info))
    for name, path in archives.items():
        same(f"archive {name}", KINDS[0], f"oci-archive:{path}:{KINDS[0]}")
    refused("several images, none named", 2, ", ".join(KINDS), f"oci:{where}")
    refused("a name that is not there", 3, KINDS[1], f"oci:{where}:nope")
    refused("no such folder", 3, "no such folder", f"oci:{folder}/none:x")
    with open(archives["pax"], "rb") as f, gzip.open(archives["pax"] + ".gz", "wb", 1) as out:
        shutil.copyfileobj(f, out)
    refused("a compressed archive", 4, "gzip -dk", f"oci-archive:{archives['pax']}.gz")
    one = oci.layout_files({None: images[KINDS[0]]})
    where = oci.write_layout(os.path.join(folder, "a:b"), one)
    same("one image without a name", KINDS[0], f"oci:{where}")


def indexes(folder):
    """An index by platform, as it would lie in a registry."""
    blobs, manifest, _ = oci.make_image("v6-zstd")
    other, second, _ = oci.make_image("v5-lz4")
    index = json.loads(oci.make_index([(manifest, oci.MANIFEST, None),
                                       (second, oci.MANIFEST, None)]))
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    index["manifests"][1]["platform"] = {"os": "linux", "architecture": "riscv64"}
    index = json.dumps(index).encode()
    files = oci.layout_files({None: (blobs, manifest, None), "x": (other, second, None)})
    files["blobs/sha256/" + oci.sha(index)[7:]] = index
    files["index.json"] = oci.make_index([(index, oci.INDEX, "all")])
    where = oci.write_layout(folder, files)
    same("amd64 of an index", "v6-zstd", f"oci:{where}:all", "--platform", "linux/amd64")
    same("riscv64 of an index", "v5-lz4", f"oci:{where}:all", "--platform", "linux/riscv64")
    run = rafs("ls", "--platform", "linux/s390x", f"oci:{where}@{oci.sha(index)}")
    report.check("a platform that is not there", run.returncode == 3 and
                 b"linux/riscv64" in run.stderr, shown(run))


def hostile(folder):
    blobs, manifest, layer = oci.make_image("v6-zstd")
    data = max(blobs, key=lambda d: len(blobs[d]))
    digest = oci.sha(manifest)

    def spoiled(name, act):
        where = oci.write_layout(os.path.join(folder, name),
                                 oci.layout_files({"v1": (blobs, manifest, layer)}))
        return where, act(where)

    def path_of(where, wanted):
        return os.path.join(where, "blobs", "sha256", wanted[7:])

    def flip(where, wanted):
        with open(path_of(where, wanted), "r+b") as f:
            content = bytearray(f.read())
            content[::64] = bytes(b ^ 1 for b in content[::64])
            f.seek(0)
            f.write(content)

    def fifo(where, wanted):
        os.unlink(path_of(where, wanted))
        os.mkfifo(path_of(where, wanted))

    for what, wanted in (("manifest", digest), ("bootstrap layer", layer)):
        where, _ = spoiled("flip " + what, lambda w: flip(w, wanted))
        refused(f"another {what}", 1, "digest mismatch", f"oci:{where}:v1")
        where, _ = spoiled("no " + what, lambda w: os.unlink(path_of(w, wanted)))
        refused(f"no {what}", 3, wanted[7:], f"oci:{where}:v1")
        where, _ = spoiled("fifo " + what, lambda w: fifo(w, wanted))
        refused(f"a FIFO as {what}", 3, "not a regular file", f"oci:{where}:v1")
    for what, act, code in (("other", flip, 1), ("no", lambda w, d: os.unlink(path_of(w, d)), 3),
                            ("fifo", fifo, 3)):
        where, _ = spoiled(what + " data", lambda w: act(w, data))
        run = rafs("cat", f"oci:{where}:v1", "/data/large")
        report.check(f"{what} data", run.returncode == code and data[7:].encode() in run.stderr,
                     shown(run))
    where, _ = spoiled("whole", lambda w: None)
    path = os.path.join(where, "index.json")
    with open(path, "w", encoding="ascii") as f:
        json.dump({"schemaVersion": 2, "manifests": [
            {"mediaType": oci.MANIFEST, "digest": "sha256:../../index.json", "size": 1}]}, f)
    refused("a path for a digest", 1, "64", f"oci:{where}")


def carried_by_skopeo(folder):
    """Written here, carried by skopeo: another one's idea of what a layout is."""
    if not shutil.which("skopeo"):
        report.skip("skopeo", "the program is not installed")
        return

    def copy(*args):
        run = subprocess.run(["skopeo", "--insecure-policy", "copy", "-q",
                              "--preserve-digests", *args], env=dict(ENV, HOME=folder),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return report.check(f"skopeo copy {args[-1].split(':')[0]}", run.returncode == 0,
                            shown(run))

    for kind in KINDS:
        image = oci.make_image(kind)
        start = oci.write_layout(os.path.join(folder, kind), oci.layout_files({"v1": image}))
        target = os.path.join(folder, "copied")
        if copy(f"oci:{start}:v1", f"oci:{target}:{kind}"):
            same(f"skopeo oci: {kind}", kind, f"oci:{target}:{kind}")
        if copy(f"oci:{start}:v1", f"oci-archive:{target}-{kind}.tar:v1"):
            same(f"skopeo oci-archive: {kind}", kind, f"oci-archive:{target}-{kind}.tar:v1")
            same(f"skopeo oci-archive: {kind} by digest", kind,
                 f"oci-archive:{target}-{kind}.tar@{oci.sha(image[1])}")
    if not shutil.which("docker-registry"):
        report.skip("skopeo to a registry", "docker-registry is not installed")
        return
    child, host = start_registry(folder)
    try:
        for kind in KINDS:
            if copy("--dest-tls-verify=false", f"oci:{folder}/{kind}:v1",
                    f"docker://{host}/lib/app:{kind}"):
                same(f"skopeo docker: {kind}", kind, f"docker://{host}/lib/app:{kind}")
    finally:
        child.terminate()
        child.wait()


def main():
    global RAFS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    with tempfile.TemporaryDirectory() as folder:
        ENV["HOME"] = folder
        for part in (written_here, indexes, hostile, carried_by_skopeo):
            where = os.path.join(folder, part.__name__)
            os.mkdir(where)
            part(where)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
