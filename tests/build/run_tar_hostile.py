#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tar files that were made to do harm end in an error that says where, or in a tree.

Usage: run_tar_hostile.py --rafs PATH

Each is built through a pipe in a directory that is compared before and after. What must
not grow with what a header says is measured.
"""
import argparse
import bz2
import gzip
import io
import os
import random
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]
from report import Report  # noqa: E402
from tarfiles import (END, GNU, Builder, checked, entry, extended, header,  # noqa: E402
                      long_name, number, padded, pax, record)

FULL = os.environ.get("RAFS_TEST_FULL")
MIB = 1 << 20
report = Report()
WRONG = (1, 4)  # corrupt; nothing that an image can hold


def size_field(raw):
    return header(b"f", patch=[(124, raw)])


def sparse(records, data=b"", **more):
    return pax([(b"GNU.sparse." + k, v) for k, v in records], b"f", data, **more)


def v1(lines, real=b"100", data=b""):
    return sparse([(b"major", b"1"), (b"minor", b"0"), (b"name", b"f"),
                   (b"realsize", real)], padded(lines) + data)


def old(extents, real, data=b"", more=()):
    return header(b"f", b"S", size=len(data), magic=GNU, patch=[
        (386, b"".join(extents)), (483, real), *more]) + padded(data)


FILE = entry(b"f", b"x")
TOP = 1 << 63

# name, tar file without its end, what has to be said.
REFUSED = [
    ("a parent", entry(b"../../tmp/x"), "leads out"),
    ("a parent in the middle", entry(b"a/../../x"), "leads out"),
    ("a parent by pax", pax([(b"path", b"a/../../../etc/passwd")]), "leads out"),
    ("a parent by GNU", long_name(b"../" * 50 + b"x") + entry(b"x"), "leads out"),
    ("a parent behind a root", entry(b"/../x"), "leads out"),
    ("a link, then a file through it", header(b"a", b"2", target=b"/etc") +
     entry(b"a/passwd"), "goes through"),
    ("a link to a parent, then a file", header(b"a", b"2", target=b"..") +
     entry(b"a/x/y"), "goes through"),
    ("a link to itself, then a file", header(b"a", b"2", target=b"a") + entry(b"a/x"),
     "goes through"),
    ("a file, then a file below it", FILE + entry(b"f/x"), "goes through"),
    ("a hard link to what is outside", header(b"h", b"1", target=b"../../etc/passwd"),
     "leads out"),
    ("a hard link to an absolute path", header(b"h", b"1", target=b"/etc/passwd"),
     "not there"),
    ("a hard link through a link", header(b"a", b"2", target=b"/etc") +
     header(b"h", b"1", target=b"a/passwd"), "not there"),
    ("a hard link to a directory", header(b"d", b"5") + header(b"h", b"1", target=b"d"),
     "a directory"),
    ("hard links to each other", header(b"a", b"1", target=b"b") +
     header(b"b", b"1", target=b"a"), "not there"),
    ("a hard link to itself", header(b"a", b"1", target=b"a"), "not there"),
    ("a hard link to nothing", header(b"a", b"1"), "no name"),
    ("a hard link in place of what it names", entry(b"d/f") +
     header(b"d", b"1", target=b"d/f"), "takes the place"),
    ("a whiteout of nothing", entry(b"a/.wh."), "names nothing"),
    ("a whiteout of a parent", entry(b"a/.wh..."), "names nothing"),
    ("no name", entry(b""), "no name"),
    ("a zero byte in a name", pax([(b"path", b"a\0b")]), "zero byte"),
    ("a zero byte in a target", pax([(b"linkpath", b"a\0b")], b"l", kind=b"2"),
     "zero byte"),
    ("a zero byte in an attribute's name", pax([(b"SCHILY.xattr.user.a\0b", b"")]),
     "zero byte"),
    ("a name of 256 bytes", pax([(b"path", b"n" * 256)]), "256"),
    ("a path of 1 MiB", pax([(b"path", b"p/" * 500_000)]), "allowed"),
    ("a target of 4096 bytes", pax([(b"linkpath", b"t" * 4096)], b"l", kind=b"2"), "4096"),
    ("5000 directories below each other", pax([(b"path", b"d/" * 5000)], kind=b"5"),
     "below each other"),
    ("a size below zero", size_field(b"\xff" * 12), "no size"),
    ("a size of 2^63", size_field(b"\x80\0\0\0" + TOP.to_bytes(8, "big")), "no size"),
    ("a size of 2^90", size_field(b"\x80" + b"\xff" * 11), "no size"),
    ("a size that is no number", size_field(b"12x45678901 "), "no size"),
    ("a size of 2^62", size_field(number(1 << 62, 12)), "chunks"),
    ("a pax size below zero", pax([(b"size", b"-1")]), "below zero"),
    ("a pax size of 10^30", pax([(b"size", b"1" + b"0" * 30)]), "no"),
    ("a pax size that is no number", pax([(b"size", b"12abc")]), "no"),
    ("an owner below zero", entry(b"f", uid=-2), "32 bits"),
    ("an owner of 2^40", pax([(b"uid", b"%d" % (1 << 40))]), "32 bits"),
    ("a device of 2^20:0", header(b"c", b"3", device=(1 << 20, 0)), "larger"),
    ("a time that is none", pax([(b"mtime", b"yesterday")]), "time"),
    ("a wrong checksum", b"a" * 512, "checksum"),
    ("a wrong checksum, later", FILE + b"a" * 512, "checksum"),
    ("a type that nobody knows", entry(b"f", b"x", kind=b"Q"), "type"),
    ("the second volume of a file", entry(b"f", b"x", kind=b"M", magic=GNU), "type"),
    ("2 GiB of pax records", header(b"x", b"x", size=1 << 31) + b"x" * 2000, "allowed"),
    ("2 GiB of a long name", header(b"x", b"L", size=1 << 31, magic=GNU), "allowed"),
    ("2 GiB of global records", header(b"x", b"g", size=1 << 31) + b"x" * 2000, "allowed"),
    ("a million extended headers", extended([(b"a", b"b")]) * 5000 + FILE, "extended"),
    ("a long name of nothing", long_name(b"x") + END, "no entry"),
    ("pax records of nothing", extended([(b"path", b"x")]) + END, "no entry"),
    ("a record that is too long", extended(b"99 path=x\n") + FILE, "length"),
    ("a record of no bytes", extended(b"0 path=x\n") + FILE, "length"),
    ("a record of a minus", extended(b"-9 path=x\n") + FILE, "length"),
    ("a record that does not end", extended(b"10 path=xyz") + FILE, "end"),
    ("a record without a key", extended(record(b"", b"x")) + FILE, "key"),
    ("a record without '='", extended(b"9 pathxx\n") + FILE, "key"),
    ("a record's length of 30 digits", extended(b"1" * 30 + b" path=x\n") + FILE,
     "length"),
    ("a name for all files", extended([(b"path", b"x")], b"g") + FILE, "all files"),
    ("a size for all files", extended([(b"size", b"9")], b"g") + FILE, "all files"),
    ("an attribute for all files", extended([(b"SCHILY.xattr.user.a", b"x")], b"g") + FILE,
     "all files"),
    ("an attribute that is not base64", pax([(b"LIBARCHIVE.xattr.user.a", b"!!!!")]),
     "base64"),
    ("an attribute of 70,000 bytes", pax([(b"SCHILY.xattr.user.a", b"x" * 70_000)]),
     "attribute"),
    ("5000 attributes", extended([(b"SCHILY.xattr.user.%d" % i, b"") for i in range(5000)]) +
     FILE, "4096"),
    ("an attribute of no namespace", pax([(b"SCHILY.xattr.odd", b"x")]), "odd"),
    ("an ACL of names", pax([(b"SCHILY.acl.access", b"user::rw-,user:joe:r--,group::r--,"
                              b"mask::r--,other::r--")]), "name without its number"),
    ("a sparse file of the future", sparse([(b"major", b"7")]), "too new"),
    ("a sparse file of Solaris", pax([(b"SUN.holesdata", b" 0 9")]), "not understood"),
    ("a sparse file that is star's", entry(b"f", kind=b"S"), "not GNU tar's"),
    ("parts that overlap", sparse([(b"size", b"100"), (b"map", b"0,5,4,5")], b"x" * 10),
     "order"),
    ("parts in disorder", sparse([(b"size", b"100"), (b"map", b"50,5,0,5")], b"x" * 10),
     "order"),
    ("parts behind the end", sparse([(b"size", b"8"), (b"map", b"0,5,5,5")], b"x" * 10),
     "behind its end"),
    ("parts that wrap", sparse([(b"size", b"100"),
                                (b"map", b"9223372036854775800,50")], b"x" * 50), "no"),
    ("fewer bytes than parts", sparse([(b"size", b"100"), (b"map", b"0,50")], b"x" * 10),
     "other bytes"),
    ("more bytes than parts", sparse([(b"size", b"100"), (b"map", b"0,5")], b"x" * 10),
     "other bytes"),
    ("a map of no numbers", sparse([(b"size", b"9"), (b"map", b"a,b")]), "no numbers"),
    ("a map of one number", sparse([(b"size", b"9"), (b"map", b"1")]), "no numbers"),
    ("a part below zero", sparse([(b"size", b"9"), (b"offset", b"-1"),
                                  (b"numbytes", b"5")], b"x" * 5), "below zero"),
    ("a part without a place", sparse([(b"size", b"9"), (b"numbytes", b"5")], b"x" * 5),
     "no place"),
    ("a sparse file of 2^62 bytes", sparse([(b"size", b"%d" % (1 << 62)),
                                            (b"map", b"0,0")]), "chunks"),
    ("lines of no numbers", v1(b"x\n"), "no numbers"),
    ("10^17 lines", v1(b"100000000000000000\n0\n5\n"), "no numbers"),
    ("a line without an end", v1(b"1" * 600), "no numbers"),
    ("lines that are not there", v1(b""), "no numbers"),
    ("old parts that overlap", old([number(0, 12), number(5, 12), number(4, 12),
                                    number(5, 12)], number(100, 12), b"x" * 10), "order"),
    ("an old part below zero", old([b"\xff" * 12, number(5, 12)], number(9, 12), b"x" * 5),
     "no numbers"),
    ("an old map that goes on with nothing", old([number(0, 12), number(0, 12)],
                                                 number(9, 12), b"", [(482, b"\1")]) +
     bytes(512), "goes on"),
    ("an old size below zero", old([number(0, 12), number(0, 12)], b"\xff" * 12), "size"),
    ("gzip in gzip", None, "tar file"),
    ("bzip2 in bzip2", None, "more than once"),
    ("rubbish", b"\x7fELF" + bytes(range(256)) * 20, "no tar file"),
    ("rubbish that begins like gzip", b"\x1f\x8b" + b"rubbish" * 100, "gzip"),
    ("rubbish that begins like zstd", b"\x28\xb5\x2f\xfd" + b"rubbish" * 100, ""),
    ("rubbish that begins like xz", b"\xfd7zXZ\0" + b"rubbish" * 100, ""),
    ("rubbish that begins like bzip2", b"BZh91AY&SY" + b"rubbish" * 100, ""),
    ("text", b"This is not a tar file.\n" * 100, "no tar file"),
]

# What looks bad and is not.
TAKEN = [
    ("a link to what is outside", header(b"a", b"2", target=b"../../etc/passwd"), ["/a"]),
    ("a link that becomes a directory", header(b"a", b"2", target=b"/etc") +
     header(b"a", b"5") + entry(b"a/passwd"), ["/a", "/a/passwd"]),
    ("a directory that becomes a link", entry(b"a/x") + header(b"a", b"2", target=b"/"),
     ["/a"]),
    ("the same name a thousand times", FILE * 1000, ["/f"]),
    ("a thousand links of one file", FILE + b"".join(
        header(b"l%03d" % i, b"1", target=b"f") for i in range(1000)),
     ["/f"] + ["/l%03d" % i for i in range(1000)]),
    ("1000 directories below each other", pax([(b"path", b"d/" * 1000)], kind=b"5"),
     ["/" + "/".join(["d"] * n) for n in range(1, 1001)]),
    ("a record that only begins like one that is known",
     pax([(b"path\0", b"g")], b"f"), ["/f"]),
    ("an unknown record", pax([(b"VENDOR.odd", b"\0\n\xff")], b"f"), ["/f"]),
]


def nested(name):
    tar = FILE + END
    return gzip.compress(gzip.compress(tar)) if name.startswith("gzip") else \
        bz2.compress(bz2.compress(tar))


def test_tables(builder):
    for name, tar, said in REFUSED:
        builder.build(nested(name) if tar is None else tar + END)
        report.check(f"refused: {name}", builder.status in WRONG and said in builder.said and
                     not builder.crashed() and not os.path.exists(builder.image()),
                     f"{builder.status} {builder.said}")
    for name, tar, paths in TAKEN:
        builder.build(tar + END)
        got = sorted(set(builder.rows(False)) - {"/"}) if builder.status == 0 else None
        report.check(f"taken: {name}", got == sorted(paths), f"{builder.said} {str(got)[:300]}")


def test_left_out(builder):
    """What no image can hold may be left out, if that is asked for."""
    tar = pax([(b"SCHILY.xattr.odd", b"x")], b"a") + entry(b"b", b"x" * 700, kind=b"Q") + \
        pax([(b"SCHILY.acl.access", b"user::rw-,user:joe:r--,group::r--,mask::r--,"
              b"other::r--")], b"c", b"y") + entry(b"d", b"z")
    builder.build(tar + END, "--skip-unsupported")
    rows = builder.rows() if builder.status == 0 else {}
    report.check("left out: what cannot be held", sorted(rows) == ["/", "/a", "/c", "/d"],
                 f"{builder.said} {sorted(rows)}")


def write(builder, parts):
    path = os.path.join(builder.work, "big.tar")
    with open(path, "wb") as f:
        for part in parts:
            f.write(part)
    return path


def test_memory(builder):
    """What a header says is not what memory grows by: of a small archive as a measure."""
    small = builder.memory(write(builder, [FILE, END]))
    count = 1_000_000 if FULL else 50_000
    for name, parts, room, good in (
            (f"{count} empty entries", [*(header(b"d%d/%d" % (i % 100, i))
                                          for i in range(count)), END],
             (64 << 10) + count // 2, True),
            # A number of 4 bytes for each chunk of it, and 8 in the bootstrap.
            ("a file of 1 TiB that is a hole", [sparse([
                (b"size", b"%d" % (1 << 40)), (b"map", b"0,0")]), END], 64 << 10, True),
            ("64 TiB that are not there", [entry(b"f", size=64 << 40), b"x" * MIB],
             64 << 10, False),
            ("1 GiB of zeros in 1 MiB", [gz_zeros(header(b"f", size=1 << 30), 1 << 30)],
             128 << 10, True),
            ("1 GiB of zeros behind the end", [gz_zeros(FILE + END, 1 << 30)], 64 << 10,
             True)):
        took = builder.memory(write(builder, parts))
        report.check(f"memory: {name}: built" if good else f"memory: {name}: refused",
                     builder.status in ((0,) if good else WRONG), builder.said)
        if "asan" not in builder.rafs:             # which keeps what was freed
            report.check(f"memory: {name}", took - small < room,
                         f"{took} KiB, and {small} KiB for a small one")


def gz_zeros(head, size):
    """head, so many zeros, the end: in a thousandth of the bytes."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = io.BytesIO()
    out.write(squeeze.compress(head))
    for _ in range(size // MIB):
        out.write(squeeze.compress(bytes(MIB)))
    out.write(squeeze.compress(END) + squeeze.flush())
    return out.getvalue()


def mutated(good, rng):
    """A tar file with some bytes changed, moved or cut; checksums are made right, or
    nothing else would be looked at."""
    data = bytearray(good)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at:at + 12] = rng.choice([b"\xff" * 12, b"7" * 12, bytes(12), b"\x80" * 12])
        elif kind == 2:
            block = at // 512 * 512
            data[block:block] = data[rng.randrange(len(data)) // 512 * 512:][:512]
        else:
            del data[rng.randrange(len(data) // 2, len(data)):]
            data += bytes(-len(data) % 512)
    for at in range(0, len(data) - 511, 512):
        if data[at + 257:at + 262] == b"ustar":
            data[at:at + 512] = checked(data[at:at + 512])
    return bytes(data)


def test_mutations(builder):
    good = (header(b"d", b"5") + pax([(b"path", b"d/f"), (b"mtime", b"1.5"),
                                      (b"SCHILY.xattr.user.a", b"v")], b"x", b"data" * 300) +
            long_name(b"d/" + b"n" * 120) + entry(b"x", b"y") +
            header(b"h", b"1", target=b"d/f") + header(b"l", b"2", target=b"d/f") +
            old([number(0, 12), number(5, 12), number(700, 12), number(5, 12)],
                number(900, 12), b"x" * 10) + v1(b"1\n10\n5\n", data=b"vwxyz") +
            entry(b".wh.q") + header(b"c", b"3", device=(1, 3)) + END)
    rng = random.Random(5)
    outcomes = {0: 0, 1: 0}
    for i in range(2000 if FULL else 80):
        tar = mutated(good, rng)
        builder.build(tar, timeout=30)
        outcomes[builder.status] = outcomes.get(builder.status, 0) + 1
        if builder.crashed() or builder.status not in (0, *WRONG):
            with open(os.path.join(tempfile.gettempdir(), f"rafs-tar-{i}"), "wb") as f:
                f.write(tar)
            report.check(f"mutation {i}", False, f"{builder.status} {builder.said[-2000:]}")
    report.check("mutations are refused or taken", set(outcomes) <= {0, *WRONG} and
                 outcomes[0] > 5 and outcomes[1] > 5, outcomes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    rafs = os.path.abspath(parser.parse_args().rafs)
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        builder = Builder(rafs, work)
        test_tables(builder)
        test_left_out(builder)
        test_memory(builder)
        test_mutations(builder)
        report.check("no file was touched", os.listdir(empty) == [] and
                     sorted(os.listdir(work)) == ["big.tar", "log", "out"],
                     f"{os.listdir(empty)} {os.listdir(work)}")
        os.chdir("/")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
