#!/usr/bin/env python3
"""Make the golden images: one small tree, built in many ways by the reference builder.

Needs root (owners, devices, xattrs), a file system with user and trusted xattrs under
--tmp, and nydus-image 2.2.0. Every folder VARIANT beside this file is replaced. What a
reader must show is taken from the source tree by lstat() and SHA-256, never from librafs
and never from the images; the listing's format and the variants are in README.md.

    make.py [--nydus-image PATH] [--tmp DIR] [VARIANT...]
"""
import argparse
import gzip
import hashlib
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from typing import NamedTuple

from trees import (WHITEOUTS, base_tree, create, dict_tree, few_tree,
                   linked_symlink_tree, merged_tree, tar_tree, upper_tree)

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGET = 3 << 20          # bytes of the whole folder: the repository keeps it for ever
BLOCK = 512               # of tar


# --- what a reader must show -----------------------------------------------------------

KINDS = {stat.S_IFREG: "reg", stat.S_IFDIR: "dir", stat.S_IFLNK: "lnk",
         stat.S_IFIFO: "fifo", stat.S_IFCHR: "chr", stat.S_IFBLK: "blk",
         stat.S_IFSOCK: "sock"}


def latin(raw):
    return raw.decode("latin-1")


def all_paths(root):
    yield b"/"
    for top, dirs, files in os.walk(root):
        for name in dirs + files:
            yield b"/" + os.path.relpath(os.path.join(top, name), root)


def listing(root, owners=True):
    """One object per path, sorted by path bytes, with the reference builder's habits: no
    mtime for the root; directory links counted; owners dropped if asked to."""
    root = os.fsencode(root)
    paths = sorted(all_paths(root))
    stats = {p: os.lstat(root + p) for p in paths}
    groups = {}
    for p in paths:
        if not stat.S_ISDIR(stats[p].st_mode):
            groups.setdefault(stats[p].st_ino, []).append(p)
    rows = []
    for p in paths:
        st, full = stats[p], root + p
        kind = KINDS[stat.S_IFMT(st.st_mode)]
        row = dict(path=latin(p), type=kind, mode=stat.S_IMODE(st.st_mode), nlink=1,
                   uid=st.st_uid if owners else 0, gid=st.st_gid if owners else 0)
        if p != b"/":
            row["mtime"] = st.st_mtime_ns // 10**9
        if kind == "dir":
            row["nlink"] = 2 + sum(stat.S_ISDIR(stats[q].st_mode) for q in paths
                                   if q != b"/" and os.path.dirname(q) == p)
        elif kind == "reg":
            with open(full, "rb") as f:
                row.update(size=st.st_size, sha256=hashlib.sha256(f.read()).hexdigest())
        elif kind == "lnk":
            row.update(size=st.st_size, target=latin(os.readlink(full)))
        elif kind in ("chr", "blk"):
            row["rdev"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
        group = groups.get(st.st_ino, [])
        if len(group) > 1:
            row.update(nlink=len(group), hardlink_of=latin(group[0]))
        xattrs = {k: os.getxattr(full, k, follow_symlinks=False).hex()
                  for k in os.listxattr(full, follow_symlinks=False)}
        if xattrs:
            row["xattrs"] = xattrs
        rows.append(json.dumps(row, sort_keys=True) + "\n")
    return "".join(rows)


# --- tar, by hand: tarfile can write neither raw xattr values nor times before 1970 ----

def number(value, width):
    octal = b"%0*o" % (width - 1, value) if value >= 0 else b"x" * width
    if len(octal) < width:
        return octal + b"\0"
    sign = b"\x80" if value >= 0 else b"\xff"
    return sign + value.to_bytes(width - 1, "big", signed=True)


def tar_header(name, flag, size=0, mode=0o644, owner=(0, 0), mtime=0, link=b"",
               rdev=(0, 0)):
    head = b"".join((
        name[:100].ljust(100, b"\0"), number(mode, 8), number(owner[0], 8),
        number(owner[1], 8), number(size, 12), number(mtime, 12), b" " * 8, flag,
        link[:100].ljust(100, b"\0"), b"ustar  \0", bytes(64),
        number(rdev[0], 8), number(rdev[1], 8), bytes(167)))
    assert len(head) == BLOCK
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def tar_extra(name, flag, data):
    return tar_header(name, flag, size=len(data)) + padded(data)


def pax_record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while size != len(body) + len(b"%d" % size):
        size = len(body) + len(b"%d" % size)
    return b"%d" % size + body


def tar_member(root, e):
    """e as it stands on disk below root, in GNU format with pax records for xattrs."""
    path = os.path.join(os.fsencode(root), e.path)
    st = os.lstat(path)
    flag = {"reg": b"0", "hard": b"1", "lnk": b"2", "chr": b"3", "blk": b"4", "dir": b"5",
            "fifo": b"6"}[e.kind]
    name = e.path + b"/" if e.kind == "dir" else e.path
    link = e.data if e.kind in ("lnk", "hard") else b""
    data = e.data if e.kind == "reg" else b""
    records = b"".join(pax_record(b"SCHILY.xattr." + k, v) for k, v in e.xattrs)
    out = tar_extra(b"pax", b"x", records) if records else b""
    if len(name) > 100:
        out += tar_extra(b"././@LongLink", b"L", name + b"\0")
    if len(link) > 100:
        out += tar_extra(b"././@LongLink", b"K", link + b"\0")
    rdev = e.data if e.kind in ("chr", "blk") else (0, 0)
    return out + tar_header(name, flag, len(data), stat.S_IMODE(st.st_mode),
                            (st.st_uid, st.st_gid), st.st_mtime_ns // 10**9, link, rdev
                            ) + padded(data)


def write_tar(path, root, entries, whiteouts=()):
    with open(path, "wb") as f:
        for e in entries:
            if e.path:                     # the root is left to the builder
                f.write(tar_member(root, e))
        for name in whiteouts:
            f.write(tar_header(name, b"0"))
        f.write(bytes(2 * BLOCK))


# --- the variants ----------------------------------------------------------------------

class Sources:
    """Trees and tars in the temporary directory, and the listing that each must give."""

    def __init__(self, tmp):
        self.path, self.expected = {}, {}
        trees = dict(SOURCE=base_tree(), REDUCED=dict_tree(), TARRED=tar_tree(),
                     UPPER=upper_tree(), MERGED=merged_tree(),
                     LINKED=linked_symlink_tree(), FEW=few_tree())
        for name, entries in trees.items():
            self.path[name] = os.path.join(tmp, name)
            os.mkdir(self.path[name])
            create(self.path[name], entries)
            self.expected[name] = listing(self.path[name])
        self.expected["NO-OWNERS"] = listing(self.path["SOURCE"], owners=False)
        for name, tree, white in (("lower.tar", "TARRED", ()),
                                  ("upper.tar", "UPPER", WHITEOUTS)):
            self.path[name] = os.path.join(tmp, name)
            write_tar(self.path[name], self.path[tree], trees[tree], white)
        self.path["lower.tar.gz"] = os.path.join(tmp, "lower.tar.gz")
        with open(self.path["lower.tar"], "rb") as f, \
                open(self.path["lower.tar.gz"], "wb") as out:
            with gzip.GzipFile("", "wb", 6, out, mtime=0) as z:
                z.write(f.read())


SEPARATE = "-B image.boot -D blobs "
INLINE = "--blob-inline-meta -D blobs "
PREFETCH = b"/data/text\n/links\n/attr/cap\n"


class Variant(NamedTuple):
    options: str                  # of `create`, the source last; or see MERGE and DICT
    expect: str = "SOURCE"
    stdin: bytes = b""


def dirs(version, options, where=SEPARATE, **more):
    return Variant(f"-t dir-rafs --fs-version {version} {where}{options} SOURCE", **more)


def packed(version, kind, options, source):
    return Variant(f"-t {kind} --fs-version {version} {SEPARATE}{options} {source}",
                   "TARRED")


def chunk_dict(version):
    return Variant(f"-t dir-rafs --fs-version {version} {SEPARATE}--compressor zstd "
                   f"--chunk-dict bootstrap=../v{version}-zstd/image.boot REDUCED",
                   "REDUCED")


VARIANTS = {
    "v5-none": dirs(5, "--compressor none --digester sha256 --chunk-size 0x10000"),
    "v5-lz4": dirs(5, "--compressor lz4_block"),
    "v5-zstd": dirs(5, "--compressor zstd"),
    "v5-zstd-sha256": dirs(5, "--compressor zstd --digester sha256 --repeatable",
                           expect="NO-OWNERS"),
    "v5-chunk4k": dirs(5, "--compressor lz4_block --chunk-size 0x1000"),
    "v5-chunk64k": dirs(5, "--compressor zstd --chunk-size 0x10000"),
    "v5-aligned": dirs(5, "--compressor zstd --aligned-chunk --chunk-size 0x10000"),
    "v5-inline": dirs(5, "--compressor zstd", where=INLINE),
    "v5-prefetch-fs": dirs(5, "--compressor zstd --prefetch-policy fs", stdin=PREFETCH),
    "v5-targz": packed(5, "targz-rafs", "--compressor lz4_block", "lower.tar.gz"),
    "v5-merge": Variant("5", "MERGED"),
    "v5-chunkdict": chunk_dict(5),
    "v5-linked-symlink": Variant(f"-t dir-rafs --fs-version 5 {SEPARATE}LINKED",
                                 "LINKED"),
    "v6-none": dirs(6, "--compressor none --chunk-size 0x1000"),
    "v6-lz4": dirs(6, "--compressor lz4_block --digester sha256"),
    "v6-zstd": dirs(6, "--compressor zstd"),
    "v6-zstd-sha256": dirs(6, "--compressor zstd --digester sha256 --repeatable",
                           expect="NO-OWNERS"),
    "v6-chunk4k": dirs(6, "--compressor zstd --chunk-size 0x1000"),
    "v6-chunk64k": dirs(6, "--compressor lz4_block --chunk-size 0x10000"),
    "v6-inline": dirs(6, "--compressor zstd", where=INLINE),
    "v6-toc": dirs(6, "--compressor zstd --features blob-toc", where=INLINE),
    "v6-toc-apart": Variant(f"-t dir-rafs --fs-version 6 {SEPARATE}--compressor zstd "
                            "--chunk-size 0x1000 --features blob-toc FEW", "FEW"),
    "v6-prefetch-fs": dirs(6, "--compressor zstd --prefetch-policy fs", stdin=PREFETCH),
    "v6-tar": packed(6, "tar-rafs", "--compressor zstd", "lower.tar"),
    "v6-targz": packed(6, "targz-rafs", "--compressor lz4_block", "lower.tar.gz"),
    "v6-merge": Variant("6", "MERGED"),
    "v6-chunkdict": chunk_dict(6),
}


class Builder:
    def __init__(self, program, sources, tmp):
        self.program, self.sources, self.tmp = program, sources, tmp

    def run(self, folder, options, stdin=b""):
        """Run nydus-image in folder, and note the arguments there."""
        with open(os.path.join(folder, "args"), "a") as f:
            f.write("nydus-image " + options + "\n")
        words = [self.sources.path.get(w, w) for w in shlex.split(options)]
        done = subprocess.run([self.program, *words], cwd=folder, input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            sys.exit(f"{folder}: nydus-image {options}\n{done.stdout.decode('latin-1')}")

    def merge(self, folder, version):
        # Unless told the digests, 2.2.0 takes the layers' file names for blob ids.
        blobs = []
        for part in ("lower", "upper"):
            self.run(folder, f"create -t tar-rafs --fs-version {version} "
                             f"--compressor zstd -B {part}.boot -D blobs {part}.tar")
            blobs += set(os.listdir(os.path.join(folder, "blobs"))) - set(blobs)
        self.run(folder, f"merge -B image.boot --blob-digests {','.join(blobs)} "
                         "lower.boot upper.boot")
        for part in ("lower", "upper"):
            os.remove(os.path.join(folder, part + ".boot"))

    def make(self, name):
        variant, folder = VARIANTS[name], os.path.join(HERE, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(os.path.join(folder, "blobs"))
        if name.endswith("-merge"):
            self.merge(folder, variant.options)
        else:
            self.run(folder, "create " + variant.options, variant.stdin)
        if name.endswith("-chunkdict"):
            borrowed = os.path.join(HERE, name.replace("chunkdict", "zstd"), "blobs")
            shutil.copytree(borrowed, os.path.join(folder, "blobs"), dirs_exist_ok=True)
        expected = self.sources.expected[variant.expect]
        if expected != self.sources.expected["SOURCE"]:
            with open(os.path.join(folder, "expected.jsonl"), "w") as f:
                f.write(expected)


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(top, name))
               for top, _, names in os.walk(folder) for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nydus-image", default="nydus-image")
    parser.add_argument("--tmp", help="where the source trees are made")
    parser.add_argument("variant", nargs="*", metavar="VARIANT", default=[])
    args = parser.parse_args()
    unknown = set(args.variant) - set(VARIANTS)
    if unknown:
        parser.error("no such variant: " + " ".join(sorted(unknown)))
    if os.geteuid() != 0:
        parser.error("must be root: the source tree has owners, devices and capabilities")
    program = shutil.which(args.nydus_image)
    if program is None:
        parser.error(f"{args.nydus_image} not found (cargo install nydus-rs)")

    os.umask(0o022)
    with tempfile.TemporaryDirectory(dir=args.tmp) as tmp:
        sources = Sources(tmp)
        with open(os.path.join(HERE, "expected.jsonl"), "w") as f:
            f.write(sources.expected["SOURCE"])
        builder = Builder(os.path.abspath(program), sources, tmp)
        for name in args.variant or VARIANTS:
            builder.make(name)
            print(f"{name}: {folder_bytes(os.path.join(HERE, name))} bytes")
    total = folder_bytes(HERE)
    print(f"total: {total} bytes")
    return 1 if total > BUDGET else 0


if __name__ == "__main__":
    sys.exit(main())
