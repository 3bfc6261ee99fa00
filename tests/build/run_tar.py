#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every dialect of tar becomes the tree that it says.

Usage: run_tar.py --rafs PATH

Headers are written byte by byte, and by Python's tarfile, GNU tar and bsdtar where they
are. Programs for compression that are missing are left out by name.
"""
import argparse
import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]
from report import Report  # noqa: E402
from tarfiles import (END, ENV, GNU, Builder, entry, extended, header,  # noqa: E402
                      long_name, number, pax, padded)

FULL = os.environ.get("RAFS_TEST_FULL")
report = Report()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def signed(block):
    """With the checksum of old writers, who added signed bytes."""
    total = sum(b - 256 if b > 127 else b for b in block[:148] + b" " * 8 + block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


LONG = b"/".join(b"%03d" % i + b"n" * 96 for i in range(9))
ACL = (b"user::rw-,user:joe:r--:1001,group::r--,mask::r--,other::r--")
ACL_RAW = "0200000001000600ffffffff02000400e903000004000400ffffffff10000400ffffffff20000400ffffffff"

# name, tar file, what rows have to show: path to some of its keys; None: no such path.
CASES = [
    ("an empty archive", b"", {"/": dict(type="dir", mode=0o755)}),
    ("kinds of ustar",
     header(b"./", b"5", mode=0o700, uid=7) + entry(b"./f", b"hello") +
     header(b"./d/", b"5", mode=0o1777) + header(b"./l", b"2", target=b"d/../f") +
     header(b"./p", b"6") + header(b"./c", b"3", device=(5, 1)) +
     header(b"./b", b"4", device=(4095, 1048575)) + header(b"./h", b"1", target=b"./f"),
     {"/": dict(mode=0o700, uid=7), "/f": dict(sha256=sha(b"hello"), nlink=2),
      "/h": dict(hardlink_of="/f", nlink=2), "/d": dict(type="dir", mode=0o1777),
      "/l": dict(type="lnk", target="d/../f", mode=0o777), "/p": dict(type="fifo"),
      "/c": dict(type="chr", rdev=[5, 1]), "/b": dict(type="blk", rdev=[4095, 1048575])}),
    ("v7", header(b"d/", b"\0", magic=b"") + entry(b"d/f", b"x", kind=b"\0", magic=b""),
     {"/d": dict(type="dir"), "/d/f": dict(type="reg", size=1)}),
    ("a contiguous file", entry(b"f", b"x", kind=b"7"), {"/f": dict(type="reg", size=1)}),
    ("a prefix", entry(b"f", b"x", prefix=b"one/two"), {"/one/two/f": dict(size=1)}),
    ("a full prefix and name", entry(b"f" * 100, b"x", prefix=b"d" * 155),
     {"/" + "d" * 155 + "/" + "f" * 100: dict(size=1)}),
    ("star's shorter prefix",
     header(b"f", prefix=b"d" * 131, patch=[(476, b"00000000017 "), (508, b"tar\0")]),
     {"/" + "d" * 131 + "/f": dict(size=0)}),
    ("GNU's times are no prefix",
     entry(b"f", b"x", magic=GNU, patch=[(345, b"14520000000\0" * 2)]),
     {"/f": dict(size=1)}),
    ("GNU's long names", long_name(LONG) + entry(LONG[:100], b"x", magic=GNU) +
     long_name(b"l" * 300, b"K") + long_name(b"link") + header(b"link", b"2", magic=GNU,
                                                               target=b"l" * 100),
     {"/" + LONG.decode(): dict(size=1), "/link": dict(target="l" * 300)}),
    ("pax names", pax([(b"path", LONG)], data=b"x") +
     pax([(b"linkpath", LONG)], b"h", kind=b"1") +
     pax([(b"linkpath", b"t" * 4000)], b"s", kind=b"2"),
     {"/" + LONG.decode(): dict(nlink=2), "/h": dict(size=1), "/s": dict(target="t" * 4000)}),
    ("names are bytes, whatever they look like",
     pax([(b"path", b"e\xcc\x81")]) + pax([(b"path", b"\xc3\xa9")]) +
     pax([(b"path", b"\xff\xfe")]) + entry(b"\xfe") +
     pax([(b"hdrcharset", b"BINARY"), (b"path", b"\xfd")]) +
     pax([(b"hdrcharset", b"ISO-IR 10646 2000 UTF-8"), (b"path", b"two\nlines")]),
     {"/e\xcc\x81": {}, "/\xc3\xa9": {}, "/\xff\xfe": {}, "/\xfe": {}, "/\xfd": {},
      "/two\nlines": {}, "/short": None}),
    ("pax is above GNU", extended([(b"path", b"right")]) + long_name(b"wrong") + entry(b"w"),
     {"/right": {}, "/wrong": None, "/w": None}),
    ("an empty record is none", pax([(b"path", b""), (b"mtime", b""), (b"uid", b"")],
                                    b"f", uid=3, mtime=9),
     {"/f": dict(uid=3, mtime=9)}),
    ("the later record counts", pax([(b"path", b"a"), (b"path", b"b")]),
     {"/b": {}, "/a": None}),
    ("owners", entry(b"f", uid=2097151, gid=2097152) + entry(b"g", uid=2**32 - 1) +
     pax([(b"uid", b"4000000000"), (b"gid", b"70000")], b"p"),
     {"/f": dict(uid=2097151, gid=2097152), "/g": dict(uid=2**32 - 1),
      "/p": dict(uid=4000000000, gid=70000)}),
    ("times", entry(b"a", mtime=-86400) + entry(b"b", mtime=2**33) +
     pax([(b"mtime", b"-62135596800")], b"c") + pax([(b"mtime", b"1.5")], b"d"),
     {"/a": dict(mtime=-86400), "/b": dict(mtime=2**33), "/c": dict(mtime=-62135596800),
      "/d": dict(mtime=1)}),
    ("global records", extended([(b"comment", b"x"), (b"mtime", b"77"), (b"uid", b"5")],
                                b"g") +
     entry(b"a", mtime=1) + pax([(b"mtime", b"2")], b"b"),
     {"/a": dict(mtime=77, uid=5), "/b": dict(mtime=2, uid=5)}),
    ("devices that need pax", pax([(b"SCHILY.devmajor", b"259"),
                                   (b"SCHILY.devminor", b"70000")], b"n", kind=b"4"),
     {"/n": dict(type="blk", rdev=[259, 70000])}),
    ("attributes of star and libarchive",
     pax([(b"SCHILY.xattr.user.a\nb", b"v\n\0w"), (b"SCHILY.xattr.user.e", b""),
          (b"SCHILY.xattr.user.\xff", b"\xff"), (b"SCHILY.xattr.trusted.t", b"1" * 5000),
          (b"LIBARCHIVE.xattr.user.%0Aq", b"YQBi"), (b"LIBARCHIVE.xattr.user.p", b"YQ"),
          (b"RHT.security.selinux", b"system_u:object_r")], b"f"),
     {"/f": dict(xattrs={"user.a\nb": b"v\n\0w".hex(), "user.e": "", "user.\xff": "ff",
                         "trusted.t": b"1".hex() * 5000, "user.\nq": "610062",
                         "user.p": "61", "security.selinux": b"system_u:object_r".hex()})}),
    ("attributes' names as GNU tar writes them",
     pax([(b"SCHILY.xattr.user.a%3Db%25c%20d", b"v")], b"f"),
     {"/f": dict(xattrs={"user.a=b%c%20d": "76"})}),
    ("one attribute in both forms",
     pax([(b"SCHILY.xattr.user.a", b"v"), (b"LIBARCHIVE.xattr.user.a", b"dg==")], b"f"),
     {"/f": dict(xattrs={"user.a": "76"})}),
    ("ACLs as texts",
     pax([(b"SCHILY.acl.access", ACL)], b"f") +
     pax([(b"SCHILY.acl.default", ACL)], b"d", kind=b"5") +
     pax([(b"SCHILY.acl.access", b"user::rw-,group::r--,other::r--")], b"m"),
     {"/f": dict(xattrs={"system.posix_acl_access": ACL_RAW}),
      "/d": dict(xattrs={"system.posix_acl_default": ACL_RAW}), "/m": {}}),
    ("links to everything",
     entry(b"f", b"x") + header(b"l", b"2", target=b"f") + header(b"p", b"6") +
     header(b"c", b"3", device=(1, 3)) +
     b"".join(header(b"h" + n, b"1", target=n) for n in (b"f", b"l", b"p", b"c")) +
     header(b"d/hh", b"1", target=b"./hf"),
     {"/" + n: dict(nlink=3 if n == "f" else 2) for n in "flpc"}),
    ("a link with a size has no content", entry(b"f", b"x") +
     header(b"h", b"1", target=b"f", size=1) + entry(b"g", b"y"),
     {"/h": dict(nlink=2), "/g": dict(size=1)}),
    ("a directory with a size has none", header(b"d", b"5", size=4096) + entry(b"g"),
     {"/d": dict(type="dir"), "/g": {}}),
    ("GNU's list of a directory", entry(b"d/", b"Yf\0\0", kind=b"D", magic=GNU) +
     entry(b"g"), {"/d": dict(type="dir"), "/g": {}}),
    ("the label of a tape", header(b"label", b"V", magic=GNU) + entry(b"g"),
     {"/g": {}, "/label": None}),
    ("parents that are missing", entry(b"a/b/c", mtime=9),
     {"/a/b": dict(type="dir", mode=0o755, uid=0, mtime=0), "/a/b/c": dict(mtime=9)}),
    ("absolute paths lie below the root", entry(b"/etc/passwd", b"x"),
     {"/etc/passwd": dict(size=1)}),
    ("the last of two counts", entry(b"f", b"one") + entry(b"f", b"two!"),
     {"/f": dict(size=4, sha256=sha(b"two!"))}),
    ("a checksum of signed bytes", signed(header(b"\xff\xff")), {"/\xff\xff": {}}),
]


def test_cases(builder):
    for name, tar, wanted in CASES:
        builder.build(tar + END)
        if not report.check(f"{name}: built", builder.status == 0, builder.said):
            continue
        rows = builder.rows()
        for path, keys in wanted.items():
            row = rows.get(path)
            if keys is None:
                report.check(f"{name}: no {path[:40]!r}", row is None, row)
                continue
            got = {k: (row or {}).get(k) for k in keys}
            report.check(f"{name}: {path[:40]!r}", row is not None and got == keys,
                         f"{got} and not {keys}")


def old_sparse(extents, real, data, more=()):
    """GNU's old form: four extents in the header, then blocks of 21."""
    pairs = [number(at, 12) + number(length, 12) for at, length in extents]
    first, rest = pairs[:4], pairs[4:]
    blocks = [rest[i:i + 21] for i in range(0, len(rest), 21)]
    out = header(b"s", b"S", size=len(data), magic=GNU, patch=[
        (386, b"".join(first)), (482, b"\1" if rest else b"\0"), (483, number(real, 12)),
        *more])
    for i, block in enumerate(blocks):
        last = i + 1 == len(blocks)
        out += padded(b"".join(block).ljust(504, b"\0") + (b"\0" if last else b"\1"))
    return out + padded(data)


def sparse_forms(extents, real, data):
    yield "old GNU", old_sparse(extents, real, data)
    yield "pax 0.0", pax([(b"GNU.sparse.size", b"%d" % real),
                          (b"GNU.sparse.numblocks", b"%d" % len(extents))] +
                         [r for at, n in extents for r in
                          ((b"GNU.sparse.offset", b"%d" % at),
                           (b"GNU.sparse.numbytes", b"%d" % n))], b"s", data)
    yield "pax 0.1", pax([(b"GNU.sparse.size", b"%d" % real),
                          (b"GNU.sparse.name", b"s"),
                          (b"GNU.sparse.numblocks", b"%d" % len(extents)),
                          (b"GNU.sparse.map",
                           b",".join(b"%d,%d" % e for e in extents))], b"GNUSparse", data)
    lines = padded(b"%d\n" % len(extents) + b"".join(b"%d\n%d\n" % e for e in extents))
    yield "pax 1.0", pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                          (b"GNU.sparse.name", b"s"),
                          (b"GNU.sparse.realsize", b"%d" % real)], b"GNUSparse",
                         lines + data)


def filled(extents, real, data):
    out, pos = bytearray(real), 0
    for at, n in extents:
        out[at:at + n] = data[pos:pos + n]
        pos += n
    return bytes(out)


def test_sparse(builder):
    shapes = {
        "two islands": ([(4096, 3), (20000, 5)], 30000),
        "begins and ends with data": ([(0, 10), (5000, 10)], 5010),
        "a hole": ([(7000, 0)], 7000),
        "nothing": ([], 12345),
        "empty": ([(0, 0)], 0),
        "many": ([(i * 5000, 7) for i in range(100)] + [(600_000, 0)], 600_000),
        "9 GiB": ([(3, 4), (9 << 30, 5)], (9 << 30) + 5),
    }
    for shape, (extents, real) in shapes.items():
        data = b"".join(bytes([65 + i % 26]) * n for i, (_, n) in enumerate(extents))
        huge = real > 1 << 30                      # whose digest would take a minute
        want = None if huge else sha(filled(extents, real, data))
        for form, tar in sparse_forms(extents, real, data):
            builder.build(tar + entry(b"after", b"x") + END)
            rows = builder.rows(not huge) if builder.status == 0 else {}
            got = rows.get("/s", {})
            report.check(f"sparse, {form}, {shape}",
                         got.get("sha256") == want and got.get("size") == real and
                         "/after" in rows and len(rows) == 3, f"{builder.said} {got}")
        if huge and not builder.status:
            tail = subprocess.run([builder.rafs, "cat", "--offset", str(9 << 30),
                                   builder.image(), "/s"], stdout=subprocess.PIPE,
                                  check=False, env=ENV).stdout
            report.check(f"sparse, {shape}: its end", tail == data[4:], tail)


def test_nanoseconds(builder):
    times = {b"1.123456789999": (1, 123456789), b"-0.5": (-1, 500000000),
             b"-1.5": (-2, 500000000), b"-0.000000001": (-1, 999999999),
             b"1700000000.1": (1700000000, 100000000)}
    tar = b"".join(pax([(b"mtime", text)], text) for text in times)
    builder.build(tar + END)
    stats = builder.stat(*["/" + text.decode() for text in times])
    for (text, want), got in zip(times.items(), stats or [{}] * len(times)):
        got = (got.get("mtime"), got.get("mtime_nsec", 0))
        report.check(f"a time of {text.decode()}", got == want, f"{got} and not {want}")


# --- what others write -------------------------------------------------------------------

def make_tree(root):
    os.makedirs(os.path.join(root, "d", "e" * 90))
    files = {"a": b"first", "d/b": b"x" * 100_000, "d/" + "e" * 90 + "/" + "c" * 100: b"y",
             "z-empty": b""}
    for name, data in files.items():
        with open(os.path.join(root, name), "wb") as f:
            f.write(data)
    os.link(os.path.join(root, "a"), os.path.join(root, "d", "hard"))
    os.symlink("d/b", os.path.join(root, "link"))
    os.mkfifo(os.path.join(root, "pipe"), 0o640)
    with open(os.path.join(root, "holes"), "wb") as f:
        for at in (0, 1 << 20, 5 << 20):
            f.seek(at)
            f.write(b"island")
        f.truncate(6 << 20)
    for folder, names, others in os.walk(root):
        for name in names + others + ["."]:
            os.utime(os.path.join(folder, name), (1_600_000_000, 1_600_000_000),
                     follow_symlinks=False)


def test_tools(builder, work):
    root = os.path.join(work, "tree")
    make_tree(root)
    builder.make([root])
    if not report.check("a directory: built", builder.status == 0, builder.said):
        return
    wanted, boot = builder.rows(), builder.bootstrap()
    gnu = [("GNU tar", "tar", ["--sort=name", "-C", root, *more, "-cf", "-", "."])
           for more in (["--format=gnu"], ["--format=oldgnu"], ["--format=posix"],
                        ["--format=gnu", "-S"], ["--format=oldgnu", "-S"],
                        *[["--format=posix", "-S", f"--sparse-version={v}"]
                          for v in ("0.0", "0.1", "1.0")])]
    bsd = [("bsdtar", "bsdtar", ["-C", root, *more, "-cf", "-", "."])
           for more in (["--format", "pax"], ["--format", "gnutar"],
                        ["--format", "pax", "--read-sparse"])]
    for tool, program, args in gnu + bsd:
        name = f"{tool} {' '.join(a for a in args if a not in (root, '-C', '.', '-'))}"
        if not shutil.which(program):
            report.skip(name, f"no {program}")
            continue
        made = subprocess.run([program, *args], stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.PIPE, env=ENV)
        builder.build(made.stdout)
        rows = builder.rows() if builder.status == 0 else {}
        different = [p for p in set(rows) | set(wanted) if rows.get(p) != wanted.get(p)]
        report.check(f"{name} is the directory", not different,
                     builder.said + str([(rows.get(p), wanted.get(p))
                                         for p in different[:2]]))
        if tool == "GNU tar":
            report.check(f"{name}: the same bytes", builder.status == 0 and
                         builder.bootstrap() == boot)
    for form, of in ((tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "gnu"),
                     (tarfile.PAX_FORMAT, "pax")):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
            tar.add(root, ".", filter=lambda info: info)
        builder.build(raw.getvalue())
        rows = builder.rows() if builder.status == 0 else {}
        for row in list(rows.values()) + list(wanted.values()):
            row.pop("xattrs", None)
        report.check(f"tarfile's {of} is the directory", rows == wanted, builder.said)


# --- compression and streams -------------------------------------------------------------

def compressed(tar):
    half = len(tar) // 2
    yield "plain", tar, tar[:half]
    yield "gzip", gzip.compress(tar), gzip.compress(tar)[:-1]
    yield "gzip -0", gzip.compress(tar, 0), gzip.compress(tar, 0)[:half]
    yield "gzip of two members", gzip.compress(tar[:half]) + gzip.compress(tar[half:]), \
        gzip.compress(tar[:half]) + gzip.compress(tar[half:])[:-9]
    yield "gzip of an empty member in the middle", gzip.compress(tar[:half]) + \
        gzip.compress(b"") + gzip.compress(tar[half:]), gzip.compress(tar[:half])
    yield "gzip and zeros", gzip.compress(tar) + bytes(1000), gzip.compress(tar)[:20]
    yield "gzip and rubbish", gzip.compress(tar) + b"rubbish", gzip.compress(tar)[:10]
    yield "bzip2", bz2.compress(tar), bz2.compress(tar)[:-5]
    yield "xz", lzma.compress(tar), lzma.compress(tar)[:-5]
    yield "xz of two streams", lzma.compress(tar[:half]) + lzma.compress(tar[half:]), \
        lzma.compress(tar[:half])
    if not shutil.which("zstd"):
        report.skip("zstd", "no zstd")
        return

    def zstd(data, *options):
        return subprocess.run(["zstd", "-q", "-c", *options], input=data, check=True,
                              stdout=subprocess.PIPE).stdout
    yield "zstd", zstd(tar), zstd(tar)[:-3]
    yield "zstd without checksum", zstd(tar, "--no-check"), zstd(tar, "--no-check")[:-3]
    yield "zstd of two frames", zstd(tar[:half]) + zstd(tar[half:]), zstd(tar[:half])
    yield "zstd with a frame to skip", b"\x50\x2a\x4d\x18\4\0\0\0skip" + zstd(tar), b""


def test_compression(builder):
    noise = hashlib.shake_128(b"noise").digest(300_000)
    tar = entry(b"a", noise) + entry(b"b", noise[::-1]) + END
    builder.build(tar)
    boot = builder.bootstrap()
    for name, good, cut in compressed(tar):
        builder.build(good)
        report.check(name, builder.status == 0 and builder.bootstrap() == boot,
                     builder.said)
        builder.build(cut)
        report.check(f"{name}, cut", builder.status == 1 and not os.path.exists(
            builder.image()) and not builder.crashed(), builder.said)
    flips = {"gzip": bytearray(gzip.compress(tar, 0)), "bzip2": bytearray(bz2.compress(tar)),
             "xz": bytearray(lzma.compress(tar))}
    for name, data in flips.items():
        data[len(data) // 2] ^= 1                  # in the content of a file
        builder.build(bytes(data))
        report.check(f"{name}: a bit that flipped is seen", builder.status == 1,
                     builder.said)


def test_ends(builder):
    whole = entry(b"a", b"x" * 700) + entry(b"b", b"y")
    for name, tar, good in (
            ("one block of zeros", whole + bytes(512), True),
            ("many", whole + bytes(10240), True),
            ("part of a block of zeros", whole + bytes(100), False),
            ("rubbish behind the end", whole + END + b"rubbish", True),
            ("another archive behind the end", whole + END + entry(b"c") + END, True),
            ("no end", whole, False), ("nothing", b"", False),
            *[(f"cut at {n}", whole[:n], False) for n in (1, 511, 512, 513, 1023, 1535,
                                                          1536, 2100)]):
        builder.build(tar)
        report.check(f"a stream with {name} is {'whole' if good else 'cut'}",
                     builder.status == (0 if good else 1) and not builder.crashed(),
                     builder.said)
        if good:
            report.check(f"{name}: entries", sorted(builder.rows()) == ["/", "/a", "/b"])


def test_waiting(builder, work):
    """A stream that stops does not stop a build with a deadline, or one that is told to
    give up."""
    for name, options, told, want in (
            ("deadline", ["--timeout", "1"], None, "deadline"),
            ("signal", [], signal.SIGINT, "")):
        with subprocess.Popen(
                [builder.rafs, "build", "--no-sync", *options, "-o",
                 os.path.join(work, "waiting"), "-"], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENV) as child:
            child.stdin.write(entry(b"a", b"x" * 5000)[:3000])
            child.stdin.flush()
            began = time.monotonic()
            if told:
                time.sleep(0.3)        # any moment will do: before or while it waits
                child.send_signal(told)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
            said = child.stderr.read().decode()
            child.stdin.close()
        report.check(f"a stream that stops, {name}",
                     child.returncode not in (0, -9) and want in said.lower() and
                     time.monotonic() - began < 25, f"{child.returncode} {said}")
        report.check(f"{name}: nothing is left", not os.path.exists(
            os.path.join(work, "waiting", "image.boot")))


def test_large(builder):
    """Sizes of 8 GiB and more, in both forms; the content only in a full run."""
    size = (8 << 30) + 5
    for name, head in (("base 256", header(b"f", size=size, magic=GNU)),
                       ("pax", pax([(b"size", b"%d" % size)], b"f"))):
        builder.build(head + b"x" * 1000)
        report.check(f"{name}: 8 GiB that are not there", builder.status == 1 and
                     "cut" in builder.said, builder.said)
    if not FULL:
        report.skip("8 GiB of content", "RAFS_TEST_FULL is not set")
        return
    script = "head -c %d /dev/zero; head -c %d /dev/zero" % (size, -size % 512 + 1024)
    with subprocess.Popen(["sh", "-c", f"cat '{builder.work}/head'; {script}"],
                          stdout=subprocess.PIPE) as feeder:
        with open(os.path.join(builder.work, "head"), "wb") as f:
            f.write(header(b"f", size=size, magic=GNU))
        done = subprocess.run([builder.rafs, "build", "--no-sync", "--force", "-o",
                               builder.out, "-"], stdin=feeder.stdout, check=False, env=ENV)
    report.check("8 GiB of content", done.returncode == 0 and
                 builder.stat("/f")[0]["size"] == size)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    rafs = os.path.abspath(parser.parse_args().rafs)
    with tempfile.TemporaryDirectory() as work:
        builder = Builder(rafs, work)
        test_cases(builder)
        test_nanoseconds(builder)
        test_sparse(builder)
        test_tools(builder, work)
        test_compression(builder)
        test_ends(builder)
        test_waiting(builder, work)
        test_large(builder)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
