"""The source trees of the golden images, and how they are put on disk.

All contents are made here from fixed seeds. What is said of `2.2.0` was seen in images
that nydus-image 2.2.0 wrote of such trees.
"""
import os
import random
import stat
import struct
from typing import NamedTuple, Optional

EPOCH = 1_600_000_000     # mtimes count up from here unless an entry says otherwise


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
    data: object = b""            # content, target, (major, minor), first link
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
        Entry(b"data/text", "reg", text),             # a chunk of 64 KiB and a bit
        Entry(b"data/twin", "reg", text[:0x10000]),   # shares its chunk with text
        Entry(b"data/large", "reg", every((1 << 20) + 5_000)),   # 1 MiB and a bit
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


WHITEOUTS = (b"data/.wh.noise", b"links/.wh.second", b"deep/.wh..wh..opq",
             b".wh.empty-dir")


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
    """A hard-linked symlink, of which 2.2.0 makes one inode with two links in v5.

    Both names are in one directory: across directories 2.2.0 writes an image that it
    refuses to read. In v6 it makes two inodes that claim two links each, and 2.4 makes
    two of one link each, so neither has a variant.
    """
    return timed(EPOCH, [
        Entry(b"", "dir", mode=0o755),
        Entry(b"a", "lnk", b"target"),
        Entry(b"b", "hard", b"a"),
        Entry(b"target", "reg", b"reached by two names of one symlink\n"),
    ])


def few_tree():
    """Three files: chunks that compress and one that does not, for images that tests
    change byte by byte."""
    return timed(EPOCH, [
        Entry(b"", "dir", mode=0o755),
        Entry(b"noise", "reg", noise("few", 5_000)),
        Entry(b"one", "reg", b"in one chunk\n"),
        Entry(b"text", "reg", prose("few", 18_000)),
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
