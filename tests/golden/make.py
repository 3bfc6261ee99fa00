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
import random
import shlex
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from typing import NamedTuple, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGET = 3 << 20          # bytes for the whole folder: it lives in the repository for ever
EPOCH = 1_600_000_000     # mtimes count up from here unless an entry says otherwise
BLOCK = 512               # of tar


# --- contents: all of it made here, from fixed seeds -----------------------------------

def noise(seed, size):
    return random.Random(seed).getrandbits(size * 8).to_bytes(size, "little")


def prose(seed, size):
    """Words that compress well, without a repeat longer than a few words."""
    rng = random.Random(seed)
    words = ["".join(rng.choice("aeioulnrstdkmp") for _ in range(rng.randint(2, 9)))
             for _ in range(64)]
    out = bytearray()
    while len(out) < size:
        out += (rng.choice(words) + rng.choice("       \n")).encode()
    return bytes(out[:size])


def every(size):
    """Large yet cheap to store: 16 KiB over and over, so small chunks are duplicates."""
    return (prose("period", 1 << 14) * (size // (1 << 14) + 1))[:size]


# vfs capability, revision 2, effective: cap_net_bind_service
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


# --- the trees -------------------------------------------------------------------------

class Entry(NamedTuple):
    path: bytes                   # without the leading slash; b"" is the root
    kind: str                     # reg dir lnk fifo chr blk sock, or "hard"
    data: object = b""            # content, target, (major, minor), or the first link's path
    mode: int = 0o644
    owner: tuple = (0, 0)
    mtime_ns: Optional[int] = None
    xattrs: tuple = ()
    holes: tuple = ()             # (offset, length) of what is not written


def timed(start, entries):
    """Give each entry without a time one of its own, so that no two can be confused."""
    return [e if e.mtime_ns is not None else e._replace(mtime_ns=(start + i) * 10**9)
            for i, e in enumerate(entries)]


def base_tree():
    """The source of nearly all variants. A directory precedes what it holds."""
    def d(path, mode=0o755, **more):
        return Entry(path, "dir", mode=mode, **more)

    text = prose("text", 0x11001)
    sparse = bytes(100_000) + prose("island", 5_000) + bytes(195_000)
    long_names = [Entry(b"names/" + b"%02d-" % i + b"n" * 247, "reg", b"%d" % i)
                  for i in range(15)]
    return timed(EPOCH, [
        d(b""),
        d(b"attr", 0o1775, xattrs=((b"user.dir", b"on a directory"),
                                   (b"trusted.dir", b"\x00\xff"))),
        Entry(b"attr/binary", "reg", b"x", mode=0, mtime_ns=-86_399_000_000_000, xattrs=(
            (b"user.bytes", bytes(b for b in range(256) if b != 10)),
            (b"user.lines", b"a value\nof two lines"),
            (b"user.empty", b""))),
        Entry(b"attr/cap", "reg", b"y", mode=0o755, mtime_ns=9_000_000_000_123_456_789,
              xattrs=((b"security.capability", CAPABILITY),)),
        Entry(b"attr/sgid", "reg", b"z", mode=0o2710, owner=(70_000, 4_000_000_000)),
        Entry(b"attr/suid", "reg", b"#!/bin/true\n", mode=0o4755),
        d(b"data"),
        Entry(b"data/empty", "reg", b""),
        Entry(b"data/one", "reg", b"1"),
        Entry(b"data/below", "reg", prose("below", 4095)),
        Entry(b"data/block", "reg", prose("block", 4096)),
        Entry(b"data/above", "reg", prose("above", 4097)),
        Entry(b"data/noise", "reg", noise("noise", 9_001)),
        Entry(b"data/text", "reg", text),                      # a chunk of 64 KiB and a bit
        Entry(b"data/twin", "reg", text[:0x10000]),            # shares its chunk with text
        Entry(b"data/large", "reg", every((1 << 20) + 5_000)),  # two chunks of 1 MiB
        Entry(b"data/sparse", "reg", sparse, holes=((0, 98_304), (106_496, 193_504))),
        d(b"deep"), d(b"deep/a"),
        Entry(b"deep/a/leaf", "reg", b"leaf\n"),
        d(b"empty-dir"),
        d(b"links"),
        Entry(b"links/first", "reg", prose("hard", 5_000)),
        Entry(b"links/second", "hard", b"links/first"),
        Entry(b"links/short", "lnk", b"../data/one"),
        Entry(b"links/long", "lnk", b"../data/" + b"./" * 70 + b"one",
              xattrs=((b"trusted.on-link", b"yes"),)),
        Entry(b"links/loop", "lnk", b"loop"),
        d(b"names"),
        Entry(b"names/third", "hard", b"links/first"),
        Entry(b"names/" + b"m" * 255, "reg", b"255\n"),
        Entry(b"names/\xff\xfe latin \xe9", "reg", b"not UTF-8\n"),
        Entry(b"names/two\nlines \"\\", "reg", b"newline\n"),
        *long_names,               # the directory takes more than one block of 4 KiB
        d(b"special"),
        Entry(b"special/fifo", "fifo", mode=0o600),
        Entry(b"special/null", "chr", (1, 3), mode=0o666),
        Entry(b"special/blk", "blk", (259, 70_000), mode=0o640),
        Entry(b"special/sock", "sock", mode=0o755),
    ])


def upper_tree():
    """The upper layer of the merges: what it adds or replaces."""
    return timed(EPOCH + 1000, [
        Entry(b"", "dir", mode=0o755),
        Entry(b"data", "dir", mode=0o700),
        Entry(b"data/one", "reg", b"changed by the upper layer\n"),
        Entry(b"data/text-again", "reg", prose("text", 0x11001)),
        Entry(b"deep", "dir", mode=0o755),
        Entry(b"deep/fresh", "reg", b"below an opaque directory\n"),
        Entry(b"links", "dir", mode=0o755),
        Entry(b"special", "dir", mode=0o755),
        Entry(b"special/fifo", "lnk", b"null"),
        Entry(b"upper", "dir", mode=0o755),
        Entry(b"upper/new", "reg", prose("new", 70_000)),
    ])


WHITEOUTS = (b"data/.wh.noise", b"links/.wh.second", b"deep/.wh..wh..opq", b".wh.empty-dir")


def hidden(path):
    """Does WHITEOUTS take this path of the lower layer away?"""
    for white in WHITEOUTS:
        parent, _, name = white.rpartition(b"/")
        if name == b".wh..wh..opq":
            gone = path.startswith(parent + b"/")
        else:
            victim = os.path.join(parent, name[len(b".wh."):])
            gone = path == victim or path.startswith(victim + b"/")
        if gone:
            return True
    return False


def merged_tree():
    upper = {e.path: e for e in upper_tree()}
    kept = [upper.pop(e.path, e) for e in tar_tree() if not hidden(e.path)]
    return kept + list(upper.values())


def dict_tree():
    """What is built against a chunk dictionary: less than the base, and something new."""
    kept = [e for e in base_tree() if not e.path.startswith((b"names", b"deep"))]
    return kept + timed(EPOCH + 2000, [Entry(b"extra", "reg", prose("extra", 70_000))])


def tar_tree():
    """The base less sockets, for which tar has no type, and xattr values with a newline,
    which the reference tar reader refuses."""
    return [e._replace(xattrs=tuple(x for x in e.xattrs if b"\n" not in x[1]))
            for e in base_tree() if e.kind != "sock"]


def linked_symlink_tree():
    """A hard-linked symlink. Version 2.2.0 makes one inode of it in v5. (In v6 it writes
    two inodes that both claim two links, so there is no sensible listing; 2.4 makes two
    inodes of one link in both.)"""
    return timed(EPOCH, [
        Entry(b"", "dir", mode=0o755),
        Entry(b"a", "lnk", b"target"),
        Entry(b"b", "dir", mode=0o755),
        Entry(b"b/a", "hard", b"a"),
        Entry(b"target", "reg", b"reached by two names of one symlink\n"),
    ])


# --- putting a tree on disk ------------------------------------------------------------

def write_with_holes(path, data, holes):
    with open(path, "wb") as f:
        pos = 0
        for start, length in holes:
            assert data[start:start + length].count(0) == length
            f.seek(pos)
            f.write(data[pos:start])
            pos = start + length
        f.seek(pos)
        f.write(data[pos:])
        f.truncate(len(data))


def create(root, entries):
    root = os.fsencode(root)
    for e in entries:
        path = os.path.join(root, e.path)
        if e.kind == "dir":
            os.makedirs(path, exist_ok=True)
        elif e.kind == "reg":
            write_with_holes(path, e.data, e.holes)
        elif e.kind == "lnk":
            os.symlink(e.data, path)
        elif e.kind == "hard":
            os.link(os.path.join(root, e.data), path, follow_symlinks=False)
        else:
            kind = {"fifo": stat.S_IFIFO, "chr": stat.S_IFCHR, "blk": stat.S_IFBLK,
                    "sock": stat.S_IFSOCK}[e.kind]
            os.mknod(path, kind | 0o600, os.makedev(*e.data) if e.data else 0)
    # Owner before mode before xattrs: chown drops suid and capabilities, an ACL sets the
    # group bits. Times last and bottom-up: all of the above touches the parent.
    for e in reversed(entries):
        if e.kind == "hard":
            continue
        path = os.path.join(root, e.path)
        os.chown(path, *e.owner, follow_symlinks=False)
        if e.kind != "lnk":
            os.chmod(path, e.mode)
        for key, value in e.xattrs:
            os.setxattr(path, key, value, follow_symlinks=False)
        os.utime(path, ns=(e.mtime_ns, e.mtime_ns), follow_symlinks=False)


# --- what a reader must show -----------------------------------------------------------

KINDS = {stat.S_IFREG: "reg", stat.S_IFDIR: "dir", stat.S_IFLNK: "lnk", stat.S_IFIFO: "fifo",
         stat.S_IFCHR: "chr", stat.S_IFBLK: "blk", stat.S_IFSOCK: "sock"}


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
        if len(groups.get(st.st_ino, ())) > 1:
            row.update(nlink=len(groups[st.st_ino]), hardlink_of=latin(groups[st.st_ino][0]))
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
    return bytes([0x80 if value >= 0 else 0xff]) + value.to_bytes(width - 1, "big", signed=True)


def tar_header(name, flag, size=0, mode=0o644, owner=(0, 0), mtime=0, link=b"", rdev=(0, 0)):
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
                     UPPER=upper_tree(), MERGED=merged_tree(), LINKED=linked_symlink_tree())
        for name, entries in trees.items():
            self.path[name] = os.path.join(tmp, name)
            os.mkdir(self.path[name])
            create(self.path[name], entries)
            self.expected[name] = listing(self.path[name])
        self.expected["NO-OWNERS"] = listing(self.path["SOURCE"], owners=False)
        for name, tree, white in (("lower.tar", "TARRED", ()), ("upper.tar", "UPPER", WHITEOUTS)):
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
    return Variant(f"-t {kind} --fs-version {version} {SEPARATE}{options} {source}", "TARRED")


def chunk_dict(version):
    return Variant(f"-t dir-rafs --fs-version {version} {SEPARATE}--compressor zstd "
                   f"--chunk-dict bootstrap=../v{version}-zstd/image.boot REDUCED", "REDUCED")


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
    "v5-linked-symlink": Variant(f"-t dir-rafs --fs-version 5 {SEPARATE}LINKED", "LINKED"),
    "v6-none": dirs(6, "--compressor none --chunk-size 0x1000"),
    "v6-lz4": dirs(6, "--compressor lz4_block --digester sha256"),
    "v6-zstd": dirs(6, "--compressor zstd"),
    "v6-zstd-sha256": dirs(6, "--compressor zstd --digester sha256 --repeatable",
                           expect="NO-OWNERS"),
    "v6-chunk4k": dirs(6, "--compressor zstd --chunk-size 0x1000"),
    "v6-chunk64k": dirs(6, "--compressor lz4_block --chunk-size 0x10000"),
    "v6-inline": dirs(6, "--compressor zstd", where=INLINE),
    "v6-toc": dirs(6, "--compressor zstd --features blob-toc", where=INLINE),
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
            self.run(folder, f"create -t tar-rafs --fs-version {version} --compressor zstd "
                             f"-B {part}.boot -D blobs {part}.tar")
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
