# SPDX-License-Identifier: Apache-2.0
"""Source trees for the tests of the builder, always the same: as entries, on disk, as tar
streams and as layers. And the listing that an image of one must give, which is taken from
the disk by lstat() and SHA-256 and knows nothing of librafs.

An entry is that of tests/golden/trees.py; "hard" links name anything but directories.
Directories come before what they hold.
"""
import errno
import hashlib
import json
import os
import random
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "golden"))
from trees import (CAPABILITY, Entry, every, noise, prose, timed,  # noqa: E402
                   write_with_holes)

EPOCH = 1_700_000_000
KINDS = {stat.S_IFREG: "reg", stat.S_IFDIR: "dir", stat.S_IFLNK: "lnk",
         stat.S_IFIFO: "fifo", stat.S_IFCHR: "chr", stat.S_IFBLK: "blk",
         stat.S_IFSOCK: "sock"}
# user::rw-, user:1000:r-x, group::r-x, mask::r-x, other::r--
ACL = bytes.fromhex("0200000001000600ffffffff02000500e803000004000500ffffffff"
                    "10000500ffffffff20000400ffffffff")


def d(path, mode=0o755, **more):
    return Entry(path, "dir", mode=mode, **more)


# --- the tree ----------------------------------------------------------------------------

def names():
    """Every byte that a name may have, the longest, and those that look special."""
    odd = bytes(b for b in range(1, 256) if b != ord("/"))
    chosen = [odd[i:i + 17] for i in range(0, len(odd), 17)]
    chosen += [b"L" * 255, b"\xff" * 255, b"-dash", b"...", b".hidden", b"trailing ",
               b"a\\b", b"two\nlines", b"\xc3\xbcml", b"not-utf8-\xfe", b"wh.plain",
               b"image.boot", b"%00", b"a=b"]
    return [d(b"names")] + [Entry(b"names/" + name, "reg", name) for name in chosen]


def sizes():
    """Around the ends of blocks and chunks; some of it does not compress."""
    wanted = [0, 1, 2, 511, 512, 513, 4095, 4096, 4097, 8191, 8193, 65535, 65536, 65537,
              (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 13_108]
    make = (prose, noise)
    return [d(b"sizes")] + [
        Entry(b"sizes/f%d" % size, "reg",
              make[i % 2]("size", size) if size < 70_000 else
              every(size - 50) + noise(str(size), 50))
        for i, size in enumerate(wanted)]


def repeats():
    """What deduplication may find, and what it must not take for the same."""
    text = prose("same", 200_000)
    return [d(b"dup"),
            *[Entry(b"dup/same%d" % i, "reg", text) for i in range(3)],
            Entry(b"dup/begins-alike", "reg", text[:140_000] + b"but ends otherwise"),
            Entry(b"dup/ends-otherwise", "reg", text[:-1] + b"?"),
            Entry(b"dup/shorter", "reg", text[:131_072]),
            Entry(b"dup/shifted", "reg", b"x" + text),
            Entry(b"dup/zeros", "reg", bytes((1 << 20) + 77)),
            Entry(b"dup/zeros-short", "reg", bytes(5000))]


def holes():
    island = prose("island", 5_000)
    inner = bytes(100_000) + island + bytes(195_000)
    tail = island + bytes((3 << 20) - 5_000)
    return [d(b"holes"),
            Entry(b"holes/both-ends", "reg", inner,
                  holes=((0, 98_304), (106_496, 193_504))),
            Entry(b"holes/tail", "reg", tail, holes=((8_192, len(tail) - 8_192),)),
            Entry(b"holes/only", "reg", bytes(5 << 20), holes=((0, 5 << 20),)),
            Entry(b"holes/odd-end", "reg", bytes(70_001), holes=((0, 70_001),))]


def links():
    return [d(b"links"),
            Entry(b"links/a-file", "reg", prose("hard", 5_000)),
            Entry(b"links/b-file", "hard", b"links/a-file"),
            Entry(b"links/a-link", "lnk", b"../sizes/f1"),
            Entry(b"links/b-link", "hard", b"links/a-link"),
            Entry(b"links/a-fifo", "fifo", mode=0o640),
            Entry(b"links/b-fifo", "hard", b"links/a-fifo"),
            Entry(b"links/a-null", "chr", (1, 3), mode=0o666),
            Entry(b"links/b-null", "hard", b"links/a-null"),
            Entry(b"links/a-sock", "sock", mode=0o755),
            Entry(b"links/b-sock", "hard", b"links/a-sock"),
            Entry(b"links/empty-a", "reg", b""),
            Entry(b"links/empty-b", "hard", b"links/empty-a"),
            Entry(b"links/one", "lnk", b"x"),
            Entry(b"links/long", "lnk", b"/" + b"t" * 254 + b"/u" * 1920),
            Entry(b"links/block", "lnk", b"/" + b"v" * 99 + b"/w" * 1966),
            Entry(b"links/loop", "lnk", b"loop"),
            Entry(b"links/odd", "lnk", b"..//.\xff\n/./names",
                  xattrs=((b"trusted.on-link", b"yes"),)),
            d(b"other"),
            Entry(b"other/c-file", "hard", b"links/a-file"),
            Entry(b"other/c-link", "hard", b"links/a-link")]


def attributes():
    return [d(b"perm", 0o1777, owner=(5, 6)),
            d(b"perm/sgid-dir", 0o2750),
            Entry(b"perm/big-ids", "reg", b"1", owner=(70_001, 4_000_000_000)),
            Entry(b"perm/ids-16", "reg", b"2", owner=(65_535, 65_536)),
            Entry(b"perm/none", "reg", b"3", mode=0),
            Entry(b"perm/all", "reg", b"4", mode=0o7777),
            Entry(b"perm/suid", "reg", b"5", mode=0o4755),
            Entry(b"perm/before-1970", "reg", b"6", mtime_ns=-86_400_000_000_000),
            Entry(b"perm/before-and-some", "reg", b"7", mtime_ns=-1_500_000_000),
            Entry(b"perm/nanoseconds", "reg", b"8", mtime_ns=1_234_567_890_123_456_789),
            Entry(b"perm/1970", "reg", b"9", mtime_ns=0),
            Entry(b"perm/2242", "reg", b"0", mtime_ns=(1 << 33) * 10**9 + 1),
            d(b"special"),
            Entry(b"special/fifo", "fifo", mode=0o600),
            Entry(b"special/null", "chr", (1, 3), mode=0o666),
            Entry(b"special/zero", "chr", (0, 0), mode=0o600),
            Entry(b"special/most", "chr", (4095, (1 << 20) - 1)),
            Entry(b"special/blk", "blk", (259, 70_000), mode=0o660),
            Entry(b"special/sock", "sock", mode=0o755),
            d(b"empty-dir", 0o700)]


def xattrs():
    shared = ((b"user.shared", b"value of many"), (b"trusted.shared", b"\x00\xff" * 20))
    return [d(b"xattr", xattrs=((b"user.dir", b"on a directory"),)),
            Entry(b"xattr/bytes", "reg", b"1", xattrs=(
                (b"user.all", bytes(range(256))), (b"user.lines", b"two\nlines\n"),
                (b"user.empty", b""), (b"user.zero", b"\0"))),
            Entry(b"xattr/big", "reg", b"2", xattrs=((b"user.big", noise("xa", 2_500)),)),
            Entry(b"xattr/many", "reg", b"3", xattrs=tuple(
                (b"user.k%02d" % i, b"v" * i) for i in range(40))),
            Entry(b"xattr/name", "reg", b"4", xattrs=((b"user." + b"n" * 250, b"v"),)),
            Entry(b"xattr/order", "reg", b"5", xattrs=tuple(
                (key, b"v") for key in (b"user.z", b"trusted.m", b"user.a", b"user.zz"))),
            Entry(b"xattr/cap", "reg", b"6", mode=0o755,
                  xattrs=((b"security.capability", CAPABILITY),)),
            Entry(b"xattr/fifo", "fifo", xattrs=((b"trusted.fifo", b"f"),)),
            *[Entry(b"xattr/shared%02d" % i, "reg", b"s%d" % i, xattrs=shared)
              for i in range(12)]]


def acls():
    """What nydus-image 2.2 refuses. The modes are those that the ACL implies."""
    return [d(b"acl", 0o654, xattrs=((b"system.posix_acl_access", ACL),
                                     (b"system.posix_acl_default", ACL))),
            Entry(b"acl/file", "reg", b"1", mode=0o654,
                  xattrs=((b"system.posix_acl_access", ACL), (b"user.x", b"y")))]


def crowds():
    """Directories of several blocks, and a deep one."""
    big = [Entry(b"bigdir/%03d-" % i + b"n" * (i * 37 % 90), "reg",
                 b"%d" % i if i % 5 == 0 else b"") for i in range(260)]
    deep, path = [], b"deep"
    for i in range(45):
        deep.append(d(path))
        path += b"/level%02d" % i
    return [d(b"bigdir"), *big, *deep, Entry(path, "reg", b"at the bottom\n"),
            d(b"same-prefix"), d(b"same-prefix/a"), d(b"same-prefix/a-b"),
            Entry(b"same-prefix/a/x", "reg", b"1"),
            Entry(b"same-prefix/a-b/x", "reg", b"2"),
            Entry(b"same-prefix/a.b", "reg", b"3")]


def whole_tree():
    """Every kind of file, every edge."""
    return timed(EPOCH, [d(b"", 0o755)] + names() + sizes() + repeats() + holes() +
                 links() + attributes() + xattrs() + acls() + crowds())


def for_old_peers(entries):
    """Less what nydus-image and nydusd 2.2 refuse, POSIX ACLs, and less a time of 0, in
    place of which nydusd shows that of the mount."""
    return [e for e in entries if not e.path.startswith(b"acl") and e.mtime_ns != 0]


def for_tar(entries):
    """Less what a tar cannot hold: sockets, and names of xattrs with '='."""
    gone = {e.path for e in entries if e.kind == "sock"}
    return [e for e in entries if e.path not in gone and
            not (e.kind == "hard" and e.data in gone)]


def small_tree(seed, files=40, most=40_000):
    """Something ordinary."""
    rng = random.Random(seed)
    return timed(EPOCH, [d(b""), d(b"d")] + [
        Entry(b"d/f%04d" % i, "reg", prose(f"{seed}{i}", rng.randrange(most)))
        for i in range(files)])


# --- on disk -----------------------------------------------------------------------------

def possible(entries):
    """As this user can make them: not root, no devices, owners or foreign xattrs."""
    if os.geteuid() == 0:
        return entries
    gone = {e.path for e in entries if e.kind in ("chr", "blk")}
    owner = (os.geteuid(), os.getegid())
    return [e._replace(owner=owner, xattrs=tuple(
        x for x in e.xattrs if x[0].startswith(b"user."))) for e in entries
        if e.path not in gone and not (e.kind == "hard" and e.data in gone)]


def make(root, e):
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


def create(root, entries, shuffle=None):
    """Put possible(entries) below root, which is there. With a seed to shuffle by, files
    are made in another order, and so have other inode numbers and places."""
    root = os.fsencode(root)
    entries = possible(entries)
    order = list(entries)
    if shuffle is not None:
        folders = [e for e in order if e.kind == "dir"]
        others = [e for e in order if e.kind not in ("dir", "hard")]
        random.Random(shuffle).shuffle(others)
        order = folders + others + [e for e in order if e.kind == "hard"]
    for e in order:
        make(root, e)
    # Owner before mode before xattrs: chown drops suid and capabilities, an ACL sets the
    # group bits. Times last and bottom-up: all of the above touches the parent.
    for e in reversed(entries):
        if e.kind == "hard":
            continue
        path = os.path.join(root, e.path)
        os.chown(path, *e.owner, follow_symlinks=False)
        if e.kind != "lnk":
            os.chmod(path, e.mode)
        for key, value in reversed(e.xattrs) if shuffle is not None else e.xattrs:
            os.setxattr(path, key, value, follow_symlinks=False)
        os.utime(path, ns=(e.mtime_ns, e.mtime_ns), follow_symlinks=False)


# --- what a reader must show -------------------------------------------------------------

def latin(raw):
    return raw.decode("latin-1")


def sha256_of(path):
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


def xattr_names(full):
    """None where the file system says that it has no such thing, as FUSE does of an image
    without any."""
    try:
        return os.listxattr(full, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def row_of(full, path, st, nanoseconds):
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    row = dict(path=latin(path), type=kind, mode=stat.S_IMODE(st.st_mode),
               uid=st.st_uid, gid=st.st_gid)
    if path != b"/":
        row["mtime"] = st.st_mtime_ns if nanoseconds else st.st_mtime_ns // 10**9
    if kind == "reg":
        row.update(size=st.st_size, sha256=sha256_of(full))
    elif kind == "lnk":
        row.update(size=st.st_size, target=latin(os.readlink(full)))
    elif kind in ("chr", "blk"):
        row["rdev"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
    found = {latin(os.fsencode(name)):
             os.getxattr(full, name, follow_symlinks=False).hex()
             for name in xattr_names(full)}
    if found:
        row["xattrs"] = found
    return row


def rows_below(root, nanoseconds=False, counted=True):
    """A row for each path, as `rafs ls -R --json --digest sha256` has it, by path. Links
    are counted by names, as not every file system counts those of directories; or they
    are what lstat() says."""
    root = os.fsencode(root)
    paths = sorted(all_paths(root))
    stats = {path: os.lstat(root + path) for path in paths}
    groups, folders = {}, {}
    for path in paths:
        if stat.S_ISDIR(stats[path].st_mode):
            folders[os.path.dirname(path)] = folders.get(os.path.dirname(path), 0) + 1
        else:
            groups.setdefault((stats[path].st_dev, stats[path].st_ino), []).append(path)
    folders[b"/"] = folders.get(b"/", 1) - 1             # "/" is its own parent
    rows = {}
    for path in paths:
        row = row_of(root + path, path, stats[path], nanoseconds)
        group = groups.get((stats[path].st_dev, stats[path].st_ino), [])
        row["nlink"] = stats[path].st_nlink
        if counted:
            row["nlink"] = 2 + folders.get(path, 0) if row["type"] == "dir" else len(group)
        if row["type"] != "dir" and len(group) > 1:
            row["hardlink_of"] = latin(group[0])
        rows[row["path"]] = row
    return rows


def listing(rows):
    """The text of them."""
    return "".join(json.dumps(rows[path], sort_keys=True) + "\n"
                   for path in sorted(rows)).encode()


def first_difference(got, want):
    """Of two sets of rows; None: they are equal."""
    for path in sorted(set(got) | set(want)):
        if got.get(path) != want.get(path):
            return "%d paths, wanted %d; first difference:\ngot    %s\nwanted %s" % (
                len(got), len(want), str(got.get(path))[:600], str(want.get(path))[:600])
    return None


# --- tar, by hand: tarfile can write neither raw xattr values nor nanoseconds -------------

BLOCK = 512
FLAGS = {"reg": b"0", "hard": b"1", "lnk": b"2", "chr": b"3", "blk": b"4", "dir": b"5",
         "fifo": b"6"}


def pax_record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while size != len(body) + len(b"%d" % size):
        size = len(body) + len(b"%d" % size)
    return b"%d" % size + body


def octal(value, width, records, key):
    """A number as far as octal digits hold it, else 0 and a pax record."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    records.append(pax_record(key, b"%d" % value))
    return b"0" * (width - 1) + b"\0"


def pax_time(ns):
    sign, ns = (b"-", -ns) if ns < 0 else (b"", ns)
    return sign + b"%d.%09d" % divmod(ns, 10**9)


def text(value, width, records, key):
    if len(value) > width or any(b > 126 or b < 32 for b in value):
        records.append(pax_record(key, value))
    return value[:width].ljust(width, b"\0")


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def header(e, size, records):
    name = (e.path or b".") + b"/" if e.kind == "dir" else e.path
    link = e.data if e.kind in ("lnk", "hard") else b""
    rdev = e.data if e.kind in ("chr", "blk") else (0, 0)
    seconds = e.mtime_ns // 10**9
    if e.mtime_ns % 10**9 or not 0 <= seconds < 8**11:
        records.append(pax_record(b"mtime", pax_time(e.mtime_ns)))
        seconds = 0
    head = b"".join((
        text(name, 100, records, b"path"), b"%07o\0" % e.mode,
        octal(e.owner[0], 8, records, b"uid"), octal(e.owner[1], 8, records, b"gid"),
        octal(size, 12, records, b"size"), b"%011o\0" % seconds, b" " * 8, FLAGS[e.kind],
        text(link, 100, records, b"linkpath"), b"ustar\x0000", bytes(64),
        octal(rdev[0], 8, records, b"SCHILY.devmajor"),
        octal(rdev[1], 8, records, b"SCHILY.devminor"), bytes(167)))
    assert len(head) == BLOCK
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def member(e):
    data = e.data if e.kind == "reg" else b""
    records = [pax_record(b"SCHILY.xattr." + k, v) for k, v in e.xattrs]
    head = header(e, len(data), records)
    extra = b"".join(records)
    if extra:
        before = Entry(b"PaxHeaders", "reg", mtime_ns=0)
        extended = bytearray(header(before, len(extra), []))
        extended[156:157] = b"x"
        extended[148:156] = b" " * 8
        extended[148:156] = b"%06o\0 " % sum(extended)
        extra = bytes(extended) + padded(extra)
    return extra + head + padded(data)


def with_first_names(entries):
    """In this order, the first name of each hard link has the content."""
    by_path = {e.path: e for e in entries}
    first, out = {}, []
    for e in entries:
        origin = e.data if e.kind == "hard" else e.path
        if origin in first:
            out.append(Entry(e.path, "hard", first[origin], mtime_ns=e.mtime_ns,
                             mode=by_path[origin].mode, owner=by_path[origin].owner))
        else:
            first[origin] = e.path
            out.append(by_path[origin]._replace(path=e.path))
    return out


def by_name(entries):
    """The order of `tar --sort=name`: a directory, then what it holds, by bytes."""
    return with_first_names(sorted(entries, key=lambda e: e.path.split(b"/")))


def shuffled(entries, seed):
    """Any order at all, directories after what they hold too; the root stays first."""
    rest = [e for e in entries if e.path]
    random.Random(seed).shuffle(rest)
    return with_first_names([e for e in entries if not e.path] + rest)


def write_tar(path, entries):
    with open(path, "wb") as f:
        for e in entries:
            f.write(member(e))
        f.write(bytes(2 * BLOCK))


# --- layers ------------------------------------------------------------------------------

def whiteout(path):
    folder, _, name = path.rpartition(b"/")
    return Entry(folder + b"/.wh." + name if folder else b".wh." + name, "reg", b"",
                 mtime_ns=EPOCH * 10**9)


def layers(entries):
    """Three layers which, over each other, are the tree of entries: the lowest has other
    content, other types and names that the others hide, by whiteouts, by an opaque
    directory, by what takes their place."""
    linked = {e.data for e in entries if e.kind == "hard"}
    plain = [e for e in entries if e.kind == "reg" and e.path not in linked]
    late = {e.path for e in plain[::3]}                  # come with the second
    opaque = {e.path for e in entries if e.path.startswith(b"dup/")}
    changed = {b"special/fifo", b"empty-dir"}
    dirs = [e for e in entries if e.kind == "dir"]
    wrong = [e._replace(mode=0o711, mtime_ns=1, xattrs=()) for e in dirs
             if e.path not in changed]
    decoys = timed(EPOCH, [
        Entry(b"decoy", "reg", prose("decoy", 3_000)),
        d(b"decoy-dir"), Entry(b"decoy-dir/in", "reg", prose("decoy-in", 3_000)),
        Entry(b"decoy-dir/link", "hard", b"decoy-dir/in"),
        Entry(b"dup/old", "reg", prose("old", 9_000)),
        d(b"dup/old-dir"), Entry(b"dup/old-dir/x", "reg", b"x"),
        d(b"special/fifo"), Entry(b"special/fifo/below", "reg", b"hidden by a fifo"),
        Entry(b"empty-dir", "reg", b"a file where a directory will be")])
    lowest = wrong + decoys + [
        e._replace(data=b"older " + e.data[:9_000], mode=0o600, xattrs=(), holes=())
        for e in plain if e.path in late]
    second = dirs + [e for e in entries if e.path in late | opaque | changed and
                     e.kind != "dir"] + [
        whiteout(b"decoy"), Entry(b"dup/.wh..wh..opq", "reg", b"", mtime_ns=0)]
    third = [e for e in entries if e.kind != "dir" and
             e.path not in late | opaque | changed] + [whiteout(b"decoy-dir")]
    return [lowest, second, third]
