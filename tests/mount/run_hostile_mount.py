#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bootstraps that lie, mounted by the kernel.

Usage: run_hostile_mount.py --rafs PATH [--way kernel|events] [--seed N] [--count N]

The kernel follows what a bootstrap says, and looks at no digest. So whatever is changed in
it, a mount is refused, or what it shows is what `rafs extract` restores of the same image;
what that cannot restore cannot be read there either. Nothing hangs, and the kernel has
nothing to say. Lies made by hand first, then bytes changed at random: always the same ones,
unless --seed names others. RAFS_TEST_FULL=1: many. Needs root.
"""
import argparse
import json
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import tempfile

import mounting
from content import Content
from mounting import FULL, ROOT, Refused, Session

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

SUPER, DEVICES, SLOT, BLOCK = 1024, 1408, 128, 4096
GOLDEN = ("v6-merge", "v6-chunk4k", "v6-zstd")
WAYS = ("kernel", "events")
report = Report()


class Boot:
    """A bootstrap of version 6, to be changed."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.bytes = bytearray(f.read())
        self.blobs = self.u(SUPER + 86, "<H")
        self.meta = self.u(SUPER + 40, "<I") * BLOCK

    def u(self, at, form):
        return struct.unpack_from(form, self.bytes, at)[0]

    def inode(self, ino):
        return self.meta + 32 * ino

    def entries(self, ino):
        """Where the entries of a file's chunks begin."""
        at = self.inode(ino)
        xattrs = self.u(at + 2, "<H")
        end = at + (64 if self.u(at, "<H") & 1 else 32)
        return (end + (12 + 4 * (xattrs - 1) if xattrs else 0) + 7) & ~7

    def with_(self, at, form, value):
        out = bytearray(self.bytes)
        struct.pack_into(form, out, at, value)
        return bytes(out)


def lies(boot, ino):
    """(name, bytes): each of them a mount that the kernel would make."""
    entry, inode = boot.entries(ino), boot.inode(ino)
    root = boot.inode(boot.u(SUPER + 14, "<H"))
    block = boot.u(entry + 4, "<I")
    yield "an entry that leads past the fence", boot.with_(entry + 2, "<B", boot.blobs + 1)
    yield "an entry that leads to the metadata", boot.with_(entry + 2, "<B", 0)
    yield "an entry that leads to no device", boot.with_(entry + 2, "<B", 255)
    yield "an entry that leads to another chunk", boot.with_(entry + 4, "<I", block ^ 16)
    yield "an entry that leads behind all chunks", boot.with_(entry + 4, "<I", 1 << 30)
    yield "a file that is longer than its chunks", boot.with_(
        inode + 8, "<Q", boot.u(inode + 8, "<Q") + BLOCK)
    yield "a device over the metadata", boot.with_(DEVICES + 68, "<I", 1)
    yield "a name filter", boot.with_(SUPER + 8, "<I", boot.u(SUPER + 8, "<I") | 4)
    yield "a high part of a block", boot.with_(root + 6, "<H", 1)
    yield "a newer layout", boot.with_(inode, "<H", boot.u(inode, "<H") | 1 << 4)
    yield "a compressed file", boot.with_(inode, "<H", (boot.u(inode, "<H") & 1) | 1 << 1)
    yield "blocks of 48 bits", boot.with_(inode + 16, "<I", boot.u(inode + 16, "<I") | 0x40)
    yield "EROFS compression", boot.with_(SUPER + 84, "<H", 1)
    yield "features of a newer EROFS", boot.with_(SUPER + 80, "<I", 0x8c)
    yield "fields of a newer EROFS", boot.with_(SUPER + 90, "<H", 1)
    yield "many devices", boot.with_(SUPER + 86, "<H", 255)


def changed(boot, rng):
    """Some bytes of what is not empty, or near it."""
    out = bytearray(boot.bytes)
    used = [i for i in range(SUPER, len(out)) if any(out[max(0, i - 8):i + 8])]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.choice(used)
        out[at] = rng.choice((out[at] ^ 1 << rng.randrange(8), 0, 0xff, rng.randrange(256)))
    return bytes(out)


# --- what there is ------------------------------------------------------------------------

def read(path):
    """Bytes, or None if they cannot be had."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return None


def row(path):
    """Type and, where it has any, content. None: it cannot be had."""
    try:
        st = os.lstat(path)
        if stat.S_ISLNK(st.st_mode):
            return "link", os.readlink(path)
        if stat.S_ISREG(st.st_mode):
            data = read(path)
            return None if data is None else ("file", st.st_size, data)
        return (stat.S_IFMT(st.st_mode),)
    except OSError:
        return None


def differences(point, extracted):
    """Of what can be read below `point`, what is not restored so."""
    for folder, folders, files in os.walk(os.fsencode(point)):
        for name in folders + files:
            path = os.path.join(folder, name)
            here = row(path)
            there = row(os.path.join(os.fsencode(extracted),
                                     os.path.relpath(path, os.fsencode(point))))
            if here is not None and here != there:
                yield f"{os.path.relpath(path, os.fsencode(point))!r}: {str(here)[:80]}, " \
                      f"but {str(there)[:80]}"


def look(session, way, image, blobs):
    """None, or what is wrong; whether it was mounted."""
    try:
        point = session.mount(way, image, "--blob-dir", blobs, "--timeout", "20", "--no-trace")
    except Refused as refused:
        bad = None if 0 < refused.code < 64 else str(refused)
        return bad, False
    extracted = session.folder("extracted")
    try:
        session.run("extract", "--blob-dir", blobs, "--no-cache", "--no-xattrs", image,
                    extracted)
        wrong = list(differences(point, extracted))[:3]
    finally:
        gone = session.umount(point)
        shutil.rmtree(extracted, ignore_errors=True)
    if gone:
        wrong.append(f"umount: {gone}")
    return "; ".join(wrong) or None, True


def try_all(session, way, what, blobs, rows):
    """Images made of `rows`, (name, bytes)."""
    mounted = tried = 0
    before = mounting.kernel_log()
    for name, data in rows:
        image = os.path.join(session.folder("image"), "image.boot")
        with open(image, "wb") as f:
            f.write(data)
        try:
            wrong, was = look(session, way, image, blobs)
        except subprocess.TimeoutExpired as late:
            wrong, was = f"hangs: {late}", False
        tried, mounted = tried + 1, mounted + was
        if wrong:
            kept = os.path.join(tempfile.gettempdir(), f"hostile-{way}-{os.getpid()}-{tried}")
            shutil.copyfile(image, kept)
            report.check(f"{way}: {what}: {name}", False, f"{wrong} (kept: {kept})")
        shutil.rmtree(os.path.dirname(image), ignore_errors=True)
        if mounting.bad_lines(before, mounting.kernel_log()):
            break
    bad = mounting.bad_lines(before, mounting.kernel_log())
    report.check(f"{way}: {what}: the kernel is at ease", not bad, "\n".join(bad[:10]))
    print(f"# {way}: {what}: {tried} images, {mounted} of them mounted", flush=True)
    report.check(f"{way}: {what}: each is refused, or right", tried > 0)
    return not bad


def inode_of(session, image, path):
    done = session.run("stat", "--json", image, path)
    if done.returncode != 0:
        raise ValueError(f"rafs stat: {done.stderr.decode()}")
    return json.loads(done.stdout)["ino"]


def one_way(args, way, work):
    with Session(args.rafs, work) as session:
        first = os.path.join(ROOT, "tests", "golden", GOLDEN[0], "image.boot")
        why = mounting.usable(session, way, first)
        if why:
            report.skip(way, why)
            return
        content = Content(session.rafs, work, f"lies-{way}", count=4, size=200_000)
        name = max(content.files, key=lambda n: len(content.files[n]))
        ino = inode_of(session, content.image, "/" + name)
        good = try_all(session, way, "lies", content.blobs, lies(Boot(content.image), ino))
        for variant in GOLDEN if good else ():
            folder = os.path.join(ROOT, "tests", "golden", variant)
            boot = Boot(os.path.join(folder, "image.boot"))
            rng = random.Random(f"{args.seed}/{variant}")
            rows = ((f"seed {args.seed}, number {i}", changed(boot, rng))
                    for i in range(args.count))
            if not try_all(session, way, variant, os.path.join(folder, "blobs"), rows):
                break
        report.check(f"{way}: no process is left", session.settled(), session.processes())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000 if FULL else 8)
    args = parser.parse_args()
    args.rafs = os.path.abspath(args.rafs)
    why = mounting.obstacle(args.rafs)
    if why:
        report.skip("bootstraps that lie", why)
        return report.finish()
    work = tempfile.mkdtemp(prefix="rafs-hostile-mount-")
    try:
        for way in [args.way] if args.way else WAYS:
            one_way(args, way, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
