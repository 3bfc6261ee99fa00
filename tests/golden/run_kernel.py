#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel's EROFS and librafs on the same v6 images, file by file.

Usage: run_kernel.py --rafs PATH [--build DIR] [VARIANT...]

The program kernel_mount, which lies beside rafs, writes what librafs reads of each blob
into a sparse file and mounts the bootstrap with these files as its devices. What lstat(),
readlink(), getxattr() and SHA-256 then find has to be what `rafs ls -R --json --digest
sha256` says. Images: tests/golden/v6-*, and those of ../shared/testdata (RAFS_TESTDATA
names another place). Needs root and a kernel that mounts EROFS from files or from loop
devices.

Not compared: mtime of the root, which the listing leaves out, and sizes of directories,
which it does not have.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import mounts  # noqa: E402
from make_tree import rows_below  # noqa: E402
from mounts import Skip, message, run  # noqa: E402
from report import Report  # noqa: E402

UNSUPPORTED = 4                     # exit code of rafs
HEADER, TOC_ENTRY = 512, 128        # bytes
FLAG_EXPLICIT_UID_GID = 0x10


# --- the bootstrap of a blob that carries it ---------------------------------------------

def zstd_decode(data, size):
    """By the library that librafs itself links to; Python 3.9 has none."""
    try:
        lib = ctypes.CDLL("libzstd.so.1")
    except OSError as e:
        raise Skip("its bootstrap is compressed, and there is no libzstd.so.1") from e
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    lib.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t] * 2
    out = ctypes.create_string_buffer(size)
    if lib.ZSTD_decompress(out, size, data, len(data)) != size:
        raise ValueError("image.boot does not decompress to %d bytes" % size)
    return out.raw


def last_section(blob):
    """Name and content of what the tar header at the end is about."""
    header = blob[-HEADER:]
    size = int(header[124:135], 8)
    end = len(blob) - HEADER
    return header[:100].rstrip(b"\0"), blob[end - size:end]


def inlined_bootstrap(path):
    with open(path, "rb") as f:
        blob = f.read()
    name, content = last_section(blob)
    if name == b"image.boot":
        return content
    if name != b"rafs.blob.toc":
        raise ValueError("the blob ends with %r" % name)
    for at in range(0, len(content), TOC_ENTRY):
        entry = content[at:at + TOC_ENTRY]
        if entry[8:24].rstrip(b"\0") == b"image.boot":
            where, stored, size = (int.from_bytes(entry[i:i + 8], "little")
                                   for i in (56, 64, 72))
            boot = blob[where:where + stored]
            return zstd_decode(boot, size) if entry[0] & 2 else boot
    raise ValueError("the TOC has no image.boot")


# --- one image ---------------------------------------------------------------------------

def image_of(folder):
    """The file to open, and whether it is a blob that carries its bootstrap."""
    boot = os.path.join(folder, "image.boot")
    if os.path.exists(boot):
        return boot, False
    blobs = os.path.join(folder, "blobs")
    names = os.listdir(blobs)
    if len(names) != 1:
        raise ValueError("%d blobs and no image.boot" % len(names))
    return os.path.join(blobs, names[0]), True


def mount(image, inlined, blobs, work):
    """Mount and return the mount point."""
    boot = None
    if inlined:
        boot = os.path.join(work, "image.boot")
        with open(boot, "wb") as f:
            f.write(inlined_bootstrap(image))
    return mounts.expand_and_mount(KERNEL_MOUNT, image, blobs, work, boot)[0]


def owners_stored(image):
    done = run(RAFS, "info", "--json", image)
    if done.returncode != 0:
        raise ValueError("rafs info: " + message(done))
    return bool(json.loads(done.stdout)["flags"] & FLAG_EXPLICIT_UID_GID)


def differences(ours, kernels, owners):
    if not owners:
        # Without EXPLICIT_UID_GID librafs gives 0; the kernel knows no such flag, and
        # shows what the fields happen to hold.
        for row in list(ours.values()) + list(kernels.values()):
            del row["uid"], row["gid"]
    for path in sorted(set(ours) | set(kernels)):
        if ours.get(path) != kernels.get(path):
            yield "librafs %s\n  kernel %s" % (ours.get(path), kernels.get(path))


def compare(folder, work):
    """What differs, or None."""
    image, inlined = image_of(folder)
    blobs = os.path.join(folder, "blobs")
    done = run(RAFS, "ls", "-R", "--json", "--digest", "sha256", "--blob-dir", blobs,
               image)
    if done.returncode == UNSUPPORTED:
        raise Skip(done.stderr.decode("utf-8", "replace").strip().split("\n")[0])
    if done.returncode != 0:
        return "rafs ls: " + message(done)
    ours = {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}
    mountpoint = mount(image, inlined, blobs, work)
    try:
        kernels = rows_below(mountpoint, counted=False)
    finally:
        mounts.unmount(mountpoint)
    found = list(differences(ours, kernels, owners_stored(image)))
    if found:
        return "%d of %d paths differ:\n  %s" % (len(found), len(ours),
                                                "\n  ".join(found[:3]))
    return None if len(ours) > 1 else "an empty listing proves nothing"


def compare_all(report, root, label, wanted):
    for variant in sorted(os.listdir(root)):
        folder = os.path.join(root, variant)
        if not variant.startswith("v6-") or (wanted and variant not in wanted):
            continue
        name = "%s/%s: kernel and librafs agree" % (label, variant)
        with tempfile.TemporaryDirectory(dir=PLACE) as work:
            try:
                problem = compare(folder, work)
            except Skip as why:
                report.skip(name, why)
                continue
            except (OSError, ValueError, subprocess.TimeoutExpired) as e:
                problem = "%s: %s" % (type(e).__name__, e)
        report.check(name, problem is None, problem)


def obstacle():
    if os.geteuid() == 0 and not os.path.exists(KERNEL_MOUNT):
        return "no %s: it is built with the tests" % KERNEL_MOUNT
    return mounts.no_mounts() or mounts.no_erofs()


def main():
    report = Report()
    why = obstacle()
    if why:
        report.skip("kernel and librafs agree", why)
        return report.finish()
    compare_all(report, HERE, "tests/golden", ARGS.variant)
    shared = os.path.join(TESTDATA, "golden")
    if os.path.isdir(shared):
        compare_all(report, shared, "golden", ARGS.variant)
    else:
        report.skip("golden", "no %s" % shared)
    return report.finish()


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rafs", required=True, help="the command under test")
parser.add_argument("--build", help="build tree; default: the one that has PATH")
parser.add_argument("--tmp", help="where devices are written; default: beside rafs")
parser.add_argument("variant", nargs="*", metavar="VARIANT")
ARGS = parser.parse_args()
RAFS = os.path.abspath(ARGS.rafs)
BIN = os.path.join(ARGS.build, "bin") if ARGS.build else os.path.dirname(RAFS)
KERNEL_MOUNT = os.path.join(os.path.abspath(BIN), "kernel_mount")
# A build tree lies on a real disk, where /tmp may be a tmpfs, which EROFS does not mount.
PLACE = ARGS.tmp or os.path.dirname(RAFS)
sys.exit(main())
