#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trees that become images and are read again, by us and by others.

Usage: run_round.py --rafs PATH

A tree with every kind of file is built from a directory, from tars and from layers, with
combinations of the options; RAFS_TEST_FULL=1 tries them all. Each image has to list,
hash and check as the tree on disk does. nydus-image (NYDUS_IMAGE, or in PATH) checks it,
nydusd (NYDUSD, or in PATH) and the kernel's EROFS mount it and show the same; fsck.erofs
looks at it. What is not here or not allowed here is skipped by name.
"""
import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import make_tree  # noqa: E402
import mounts  # noqa: E402
from mounts import Skip, message, run  # noqa: E402
from report import Report  # noqa: E402

FULL = bool(os.environ.get("RAFS_TEST_FULL"))
report = Report()


# --- the sources -------------------------------------------------------------------------

class Source(NamedTuple):
    paths: list               # arguments of rafs build
    rows: dict                # what has to be shown; times in nanoseconds


def make_sources(work):
    whole = make_tree.whole_tree()
    old = make_tree.for_old_peers(whole)
    sources = {}
    for name, entries in (("directory", whole), ("packed", make_tree.for_tar(whole)),
                          ("old", old)):
        path = os.path.join(work, name)
        os.mkdir(path)
        make_tree.create(path, entries)
        sources[name] = Source([path], make_tree.rows_below(path, nanoseconds=True))
    packed = make_tree.possible(make_tree.for_tar(whole))
    rows = sources.pop("packed").rows
    for name, entries in (("tar", make_tree.by_name(packed)),
                          ("shuffled", make_tree.shuffled(packed, 5))):
        path = os.path.join(work, name + ".tar")
        make_tree.write_tar(path, entries)
        sources[name] = Source([path], rows)
    paths = []
    for i, entries in enumerate(make_tree.layers(packed)):
        paths.append(os.path.join(work, "layer%d.tar" % i))
        make_tree.write_tar(paths[-1], entries)
    sources["layers"] = Source(paths, rows)
    # Layers that are equal, and so are their blobs.
    sources["twice"] = Source(sources["directory"].paths * 2, sources["directory"].rows)
    for path in paths[::2]:
        subprocess.run(["gzip", "-1", path], check=True)
    sources["layers"].paths[::2] = [path + ".gz" for path in paths[::2]]
    return sources


# --- the combinations --------------------------------------------------------------------

class Combination(NamedTuple):
    source: str
    version: int
    options: tuple

    def name(self):
        return " ".join((self.source, "v%d" % self.version) + self.options)


def c(source, version, options):
    return Combination(source, version, tuple(options.split()))


PREFETCH = "--prefetch /dup/same1 --prefetch /links --prefetch /sizes/f65537"
# Every value of each option with each version that has it, and each source twice.
CHOSEN = [
    c("directory", 6, ""),
    c("directory", 5, ""),
    c("directory", 6, "--compressor lz4 --chunk-size 64K --digest sha256 --threads 8"),
    c("directory", 5, "--compressor lz4 --chunk-size 4K --digest sha256"),
    c("directory", 6, "--compressor none --chunk-size 64K"),
    c("directory", 5, "--compressor none --aligned-chunk --dedup none --threads 1"),
    c("directory", 6, "--chunk-size 4K --dedup file --toc"),
    c("directory", 6, "--batch-size 256K --level 9 " + PREFETCH),
    c("directory", 5, "--inline-bootstrap --chunk-size 16M --dedup file " + PREFETCH),
    c("directory", 6, "--inline-bootstrap --compressor lz4 --level 9 --dedup none"),
    c("directory", 6, "--inline-bootstrap --toc --batch-size 64K --chunk-size 64K"),
    c("tar", 6, "--batch-size 1M --toc --compressor lz4"),
    c("tar", 5, "--chunk-size 64K --threads 2"),
    c("shuffled", 6, "--compressor none --chunk-size 16M"),
    c("shuffled", 5, "--compressor lz4"),
    c("layers", 6, "--blob-per-layer"),
    c("layers", 5, "--blob-per-layer --compressor lz4 --digest sha256"),
    c("layers", 6, "--toc --blob-per-layer --compressor none"),
    c("layers", 5, "--level -3"),
    c("twice", 6, "--blob-per-layer --dedup none"),
    c("twice", 5, "--blob-per-layer --dedup none --compressor lz4"),
]


def every_combination():
    compressors = ("", "--compressor lz4", "--compressor none")
    chunks = ("", "--chunk-size 4K", "--chunk-size 64K", "--chunk-size 16M")
    digests = ("", "--digest sha256")
    dedups = ("", "--dedup none", "--dedup file")
    forms = {6: ("", "--toc", "--batch-size 4K", "--batch-size 4K --toc",
                 "--inline-bootstrap", "--inline-bootstrap --toc", PREFETCH),
             5: ("", "--aligned-chunk", "--inline-bootstrap", PREFETCH)}
    compressed = ("", "--compressor lz4")         # only they make batches
    for source in ("directory", "tar", "shuffled", "layers"):
        for version in (6, 5):
            for parts in itertools.product(compressors, chunks, digests, dedups,
                                           forms[version]):
                text = " ".join(parts)
                if "--batch" in text and parts[0] not in compressed:
                    continue
                if source == "layers":
                    if "--inline" in text:
                        continue
                    yield c(source, version, text + " --blob-per-layer")
                yield c(source, version, text)


# --- one image ---------------------------------------------------------------------------

class Image:
    def __init__(self, combination, sources, work):
        self.top = tempfile.mkdtemp(dir=work)
        self.blobs = os.path.join(self.top, "blobs")
        self.version = combination.version
        self.options = combination.options
        self.inline = "--inline-bootstrap" in combination.options
        done = run(RAFS, "build", "--fs-version", str(combination.version), "--no-sync",
                   *combination.options, "-o", self.top, *sources[combination.source].paths)
        if done.returncode != 0:
            raise ValueError("rafs build: " + message(done))
        names = sorted(os.listdir(self.blobs))
        self.boot = os.path.join(self.top, "image.boot")
        self.file = os.path.join(self.blobs, names[0]) if self.inline else self.boot

    def close(self):
        shutil.rmtree(self.top)


def seconds(rows):
    return {path: dict(row, mtime=row["mtime"] // 10**9) if "mtime" in row else row
            for path, row in rows.items()}


def ours(image, rows):
    """Our reader and our check."""
    done = run(RAFS, "ls", "-R", "--json", "--digest", "sha256", "--blob-dir",
               image.blobs, image.file)
    if done.returncode != 0:
        return "rafs ls: " + message(done)
    want = make_tree.listing(seconds(rows))
    if done.stdout != want:
        return first_line(done.stdout, want)
    done = run(RAFS, "check", "--blob-dir", image.blobs, image.file)
    if done.returncode != 0:
        return "rafs check: " + done.stdout.decode("utf-8", "replace")[:600] + \
            message(done)
    return None


def kernel(image, rows, work):
    """The kernel's EROFS on the blobs' expanded form, and fsck.erofs on the same."""
    if image.inline:
        raise Skip("the kernel wants the bootstrap apart")
    point, devices = mounts.expand_and_mount(KERNEL_MOUNT, image.file, image.blobs, work,
                                             image.boot)
    try:
        problem = make_tree.first_difference(
            make_tree.rows_below(point, nanoseconds=True, counted=False), rows)
    finally:
        mounts.unmount(point)
    if problem is None:
        problem = fsck(image, [os.path.join(devices, name)
                               for name in device_order(devices)])
    shutil.rmtree(devices)
    return problem


def device_order(folder):
    return sorted(os.listdir(folder), key=lambda name: (len(name), name))


def fsck(image, devices):
    if not shutil.which("fsck.erofs"):
        return None
    done = run("fsck.erofs", *["--device=" + path for path in devices], "--extract",
               image.boot)
    if done.returncode != 0:
        return "fsck.erofs: " + message(done)
    return None


def kernel_as_it_is(image, rows, work):
    """Blobs of compressor none are devices by themselves."""
    point = tempfile.mkdtemp(dir=work)
    devices = blob_table(image)
    try:
        mounts.mount_erofs(image.boot, devices, point)
    except OSError as e:
        return str(e)
    try:
        problem = make_tree.first_difference(
            make_tree.rows_below(point, nanoseconds=True, counted=False), rows)
    finally:
        mounts.unmount(point)
    return problem or fsck(image, devices)


def blob_table(image):
    """Paths of the blobs, in the order of the image's table."""
    done = run(RAFS, "info", "--json", image.boot)
    if done.returncode != 0:
        raise ValueError("rafs info: " + message(done))
    return [os.path.join(image.blobs, blob["id"])
            for blob in json.loads(done.stdout)["blobs"]]


def without_batches(said):
    """Version 2.2 of nydus has none of them."""
    if "invalid blob features" in said:
        raise Skip("it is too old for batches")


def nydusd(image, rows, work):
    try:
        with mounts.Nydusd(NYDUSD, image.file, image.blobs, work, image.version) as point:
            return make_tree.first_difference(
                make_tree.rows_below(point, nanoseconds=True, counted=False), rows)
    except ValueError as e:
        without_batches(str(e))
        raise


def nydus_check(image):
    done = run(NYDUS_IMAGE, "check", "-D", image.blobs, "-B", image.file)
    if done.returncode != 0:
        said = done.stdout.decode("utf-8", "replace")[-600:] + message(done)
        without_batches(said)
        return said
    return None


def attempt(name, function, *args):
    try:
        problem = function(*args)
    except Skip as why:
        report.skip(name, why)
        return
    except (OSError, ValueError, subprocess.TimeoutExpired) as e:
        problem = "%s: %s" % (type(e).__name__, e)
    report.check(name, problem is None, problem)


# --- what the reference made of its tree, and we make of what it made --------------------

OWN = {"v5-none": "--compressor none --digest sha256 --chunk-size 64K",
       "v5-lz4": "--compressor lz4", "v5-zstd": "", "v5-chunk4k":
       "--compressor lz4 --chunk-size 4K", "v5-aligned": "--aligned-chunk --chunk-size 64K",
       "v5-inline": "--inline-bootstrap", "v6-none": "--compressor none --chunk-size 4K",
       "v6-lz4": "--compressor lz4 --digest sha256", "v6-zstd": "",
       "v6-chunk64k": "--compressor lz4 --chunk-size 64K", "v6-inline":
       "--inline-bootstrap", "v6-toc": "--inline-bootstrap --toc"}
SHARED = {"v5-zstd": "", "v6-zstd": "", "v6-chunk16m": "--chunk-size 16M",
          "v6-batch": "--batch-size 1M", "v5-none": "--compressor none --digest sha256",
          "v6-toc": "--inline-bootstrap --toc"}


def rebuild(image, expected):
    """Listed byte for byte as the reference's image of that tree is."""
    done = run(RAFS, "ls", "-R", "--json", "--digest", "sha256", "--blob-dir",
               image.blobs, image.file)
    with open(expected, "rb") as f:
        want = f.read()
    if done.returncode != 0 or done.stdout != want:
        return "%s\n%s" % (message(done), first_line(done.stdout, want))
    done = run(RAFS, "check", "--blob-dir", image.blobs, image.file)
    return None if done.returncode == 0 else "rafs check: " + message(done)


def first_line(got, want):
    for a, b in zip(got.splitlines() + [b""], want.splitlines() + [b""]):
        if a != b:
            return "%s\nwanted\n%s" % (a.decode()[:500], b.decode()[:500])
    return "nothing differs"


def golden(folder, label, variants, work):
    """The tree comes out of the reference's image by rafs extract, which has tests of its
    own, and goes in again with the options that the reference was given."""
    tree = tempfile.mkdtemp(dir=work)
    done = run(RAFS, "extract", os.path.join(folder, "v6-zstd", "image.boot"), tree)
    if done.returncode != 0:
        report.check(label + ": extract", False, message(done))
        return
    expected = os.path.join(folder, "expected.jsonl")
    sources = {label: Source([tree], expected)}
    for variant, options in variants.items():
        combination = Combination(label, int(variant[1]), tuple(options.split()))
        with_image(combination, sources, work, [
            ("%s again, as the reference has it" % variant, rebuild, ())])


# --- all of it ---------------------------------------------------------------------------

def with_image(combination, sources, work, tests):
    try:
        image = Image(combination, sources, work)
    except (OSError, ValueError, subprocess.TimeoutExpired) as e:
        report.check(combination.name() + ": builds", False, e)
        return
    for name, function, args in tests:
        attempt(combination.name() + ": " + name, function, image,
                sources[combination.source].rows, *args)
    image.close()


def round_trips(sources, work, mountable):
    for combination in every_combination() if FULL else CHOSEN:
        tests = [("we read it", ours, ())]
        if mountable and combination.version == 6 and "--inline-bootstrap" not in \
                combination.options:
            tests.append(("the kernel reads it", kernel, (work,)))
            if "--compressor none" in " ".join(combination.options):
                tests.append(("the kernel reads the blobs as they are", kernel_as_it_is,
                              (work,)))
        with_image(combination, sources, work, tests)


def taken_apart(sources, work):
    """What rafs extract puts on disk is what was built."""
    def extracted(image, rows):
        tree = tempfile.mkdtemp(dir=work)
        done = run(RAFS, "extract", image.file, tree)
        if done.returncode != 0:
            return message(done)
        return make_tree.first_difference(make_tree.rows_below(tree, nanoseconds=True),
                                          rows)

    if os.geteuid() != 0:
        report.skip("rafs extract", "not root")
        return
    for version in (6, 5):
        with_image(c("directory", version, ""), sources, work,
                   [("rafs extract restores it", extracted, ())])


def peers(sources, work, mountable):
    """nydus 2.2 on what it can hold. Its daemon reads a file wrongly whose chunks do not
    lie one after the other in the blob, images of its own builder no less: there they
    have to."""
    chosen = every_combination() if FULL else CHOSEN
    for combination in chosen:
        if combination.source != "directory":
            continue
        options = combination.options
        if "--chunk-size" in options and "16M" not in options:
            options = tuple(w for w in options if w not in ("--dedup", "file")) + \
                ("--dedup", "none")
        combination = combination._replace(source="old", options=options)
        tests = []
        if NYDUS_IMAGE:
            tests.append(("nydus-image checks it",
                          lambda image, _rows: nydus_check(image), ()))
        if NYDUSD and mountable:
            tests.append(("nydusd reads it", nydusd, (work,)))
        if tests:
            with_image(combination, sources, work, tests)


def main():
    with tempfile.TemporaryDirectory(prefix="round-", dir=PLACE) as work:
        sources = make_sources(work)
        why = mounts.no_mounts()
        mountable = why is None
        why = why or mounts.no_erofs()
        if why:
            report.skip("the kernel reads images", why)
        round_trips(sources, work, mountable and not why)
        for variable, path in (("NYDUSD", NYDUSD), ("NYDUS_IMAGE", NYDUS_IMAGE)):
            if not path:
                report.skip("the peer reads images", "no %s in PATH or $%s" %
                            (variable.lower().replace("_", "-"), variable))
        if mountable and NYDUSD and not os.path.exists("/dev/fuse"):
            report.skip("nydusd reads images", "no /dev/fuse")
        peers(sources, work, mountable and os.path.exists("/dev/fuse"))
        taken_apart(sources, work)
        if os.geteuid() != 0:
            report.skip("golden trees again", "not root")
            return report.finish()
        golden(os.path.join(ROOT, "tests", "golden"), "tests/golden", OWN, work)
        if os.path.isdir(os.path.join(TESTDATA, "golden")):
            golden(os.path.join(TESTDATA, "golden"), "golden", SHARED, work)
        else:
            report.skip("golden", "no %s" % TESTDATA)
    return report.finish()


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rafs", required=True, help="the command under test")
RAFS = os.path.abspath(parser.parse_args().rafs)
KERNEL_MOUNT = os.path.join(os.path.dirname(RAFS), "kernel_mount")
# A build tree lies on a real disk, where /tmp may be a tmpfs, which EROFS does not mount.
PLACE = os.path.dirname(RAFS)
NYDUSD, NYDUS_IMAGE = mounts.program("NYDUSD", "nydusd"), \
    mounts.program("NYDUS_IMAGE", "nydus-image")
sys.exit(main())
