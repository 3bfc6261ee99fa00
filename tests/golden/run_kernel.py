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
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

TIMEOUT = 120
REFUSED, UNSUPPORTED = 77, 4        # exit codes of kernel_mount, and of rafs
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2
HEADER, TOC_ENTRY = 512, 128        # bytes
FLAG_EXPLICIT_UID_GID = 0x10
KINDS = {stat.S_IFREG: "reg", stat.S_IFDIR: "dir", stat.S_IFLNK: "lnk",
         stat.S_IFIFO: "fifo", stat.S_IFCHR: "chr", stat.S_IFBLK: "blk",
         stat.S_IFSOCK: "sock"}

libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    pass


def run(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT)


def message(done):
    return "exit %d, %s" % (done.returncode,
                            done.stderr.decode("utf-8", "replace").strip()[:300])


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


# --- what the kernel shows ---------------------------------------------------------------

def latin(raw):
    return raw.decode("latin-1")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for part in iter(lambda: f.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def all_paths(root):
    yield b"/"
    for top, dirs, files in os.walk(root, onerror=lambda e: (_ for _ in ()).throw(e)):
        for name in dirs + files:
            yield b"/" + os.path.relpath(os.path.join(top, name), root)


def row_of(full, path, st):
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    row = dict(path=latin(path), type=kind, mode=stat.S_IMODE(st.st_mode),
               uid=st.st_uid, gid=st.st_gid, nlink=st.st_nlink)
    if path != b"/":
        row["mtime"] = st.st_mtime_ns // 10**9
    if kind == "reg":
        row.update(size=st.st_size, sha256=sha256(full))
    elif kind == "lnk":
        row.update(size=st.st_size, target=latin(os.readlink(full)))
    elif kind in ("chr", "blk"):
        row["rdev"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
    xattrs = {latin(os.fsencode(name)):
              os.getxattr(full, name, follow_symlinks=False).hex()
              for name in os.listxattr(full, follow_symlinks=False)}
    if xattrs:
        row["xattrs"] = xattrs
    return row


def kernel_listing(mountpoint):
    root = os.fsencode(mountpoint)
    paths = sorted(all_paths(root))
    stats = {path: os.lstat(root + path) for path in paths}
    groups = {}
    for path in paths:
        if not stat.S_ISDIR(stats[path].st_mode):
            groups.setdefault(stats[path].st_ino, []).append(latin(path))
    rows = {}
    for path in paths:
        row = row_of(root + path, path, stats[path])
        group = groups.get(stats[path].st_ino, [])
        if row["type"] != "dir" and len(group) > 1:
            row["hardlink_of"] = group[0]
        rows[row["path"]] = row
    return rows


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
    """Mount and return the mount point. From files; failing that, from loop devices."""
    words = [image, blobs, None, None]
    if inlined:
        boot = os.path.join(work, "image.boot")
        with open(boot, "wb") as f:
            f.write(inlined_bootstrap(image))
        words.append(boot)
    said = []
    for options in ([], ["--loop"]):
        words[2] = tempfile.mkdtemp(dir=work)
        words[3] = tempfile.mkdtemp(dir=work)
        done = run(KERNEL_MOUNT, *options, *words)
        if done.returncode == 0:
            return words[3]
        if done.returncode == UNSUPPORTED:
            raise Skip(done.stderr.decode("utf-8", "replace").strip())
        if done.returncode != REFUSED:
            raise ValueError("kernel_mount: " + message(done))
        said.append(done.stderr.decode("utf-8", "replace").strip())
    raise Skip("the kernel refuses: " + "; ".join(said))


def unmount(folder):
    if libc.umount2(os.fsencode(folder), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), "umount " + folder)


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
        kernels = kernel_listing(mountpoint)
    finally:
        unmount(mountpoint)
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


def own_namespace():
    """Mounts of ours are seen by nobody else, and end with this process at the latest."""
    if libc.unshare(CLONE_NEWNS) != 0 or \
            libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return os.strerror(ctypes.get_errno())
    return None


def obstacle():
    if os.geteuid() != 0:
        return "not root"
    if not os.path.exists(KERNEL_MOUNT):
        return "no %s: it is built with the tests" % KERNEL_MOUNT
    with open("/proc/filesystems", encoding="ascii") as f:
        if "erofs" not in f.read().split() and run("modprobe", "erofs").returncode != 0:
            return "this kernel has no EROFS"
    denied = own_namespace()
    return denied and "no mount namespace of our own: " + denied


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
