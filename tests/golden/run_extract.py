#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rafs extract and rafs tar, against listings that the reference tools' images have to give.

Usage: run_extract.py --rafs PATH [--keep]

Full comparisons need root (owners, devices) and a temporary directory with user and trusted
attributes; what the machine lacks is skipped and named.
"""
import argparse
import hashlib
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
TIMEOUT = 120
NOBODY = 65534
TEMPORARY = b".rafs-"

counts = {"passed": 0, "failed": 0, "skipped": 0}
made = []


class Skip(Exception):
    pass


def check(truth, text):
    if not truth:
        raise AssertionError(text)


def scratch(name):
    """A new folder that the test may fill."""
    path = os.path.join(TMP, "%03d-%s" % (len(made), name))
    made.append(path)
    os.mkdir(path, 0o755)
    return path


def run(args, **more):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT, **more)


def rafs(*args, **more):
    return run([RAFS] + list(args), **more)


def text_of(result):
    return "exit %d, %s" % (result.returncode,
                            result.stderr.decode("utf-8", "replace").strip()[:400])


def expect(result, code, *words):
    check(result.returncode == code, "wanted exit %d: %s" % (code, text_of(result)))
    for word in words:
        check(word in result.stderr, "no %r in: %s" % (word, text_of(result)))


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


# --- images -----------------------------------------------------------------------------

def variants():
    for base, names in ((HERE, ("v5-zstd", "v5-merge", "v5-linked-symlink", "v6-none",
                                "v6-zstd", "v6-merge", "v6-chunkdict")),
                        (os.path.join(TESTDATA, "golden"),
                         ("v5-zstd", "v6-zstd", "v6-batch", "v6-merge"))):
        for name in names:
            yield base, name


def image_of(base, name):
    image = os.path.join(base, name, "image.boot")
    if not os.path.exists(image):
        raise Skip("absent")
    return image


def listing(base, name):
    own = os.path.join(base, name, "expected.jsonl")
    if not os.path.exists(own):
        own = os.path.join(base, "expected.jsonl")
    with open(own, encoding="ascii") as lines:
        entries = [json.loads(line) for line in lines]
    return {e["path"]: e for e in entries}


def copy_of(base, name, where):
    """An image that the test may spoil: its bootstrap and the folder of its blobs."""
    source = os.path.dirname(image_of(base, name))
    target = os.path.join(where, "image")
    os.mkdir(target)
    shutil.copyfile(os.path.join(source, "image.boot"), os.path.join(target, "image.boot"))
    shutil.copytree(os.path.join(source, "blobs"), os.path.join(target, "blobs"))
    subprocess.run(["chmod", "-R", "u+w,a+rX", target], check=True)
    return os.path.join(target, "image.boot")


def patch(path, old, new, which=0):
    """Replace one place of a file by as many bytes."""
    with open(path, "rb") as f:
        data = f.read()
    at = -1
    for _ in range(which + 1):
        at = data.find(old, at + 1)
        check(at >= 0, "%r is not in %s" % (old, path))
    check(len(old) == len(new), "a patch keeps the length")
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(new)


# --- what is on disk --------------------------------------------------------------------

def describe(path, shown, first_of):
    st = os.lstat(path)
    kind = {stat.S_IFREG: "reg", stat.S_IFDIR: "dir", stat.S_IFLNK: "lnk",
            stat.S_IFIFO: "fifo", stat.S_IFCHR: "chr", stat.S_IFBLK: "blk",
            stat.S_IFSOCK: "sock"}[stat.S_IFMT(st.st_mode)]
    entry = {"path": shown, "type": kind, "mode": stat.S_IMODE(st.st_mode),
             "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns // 10**9}
    if kind != "dir":
        entry["nlink"] = st.st_nlink
    if kind == "reg":
        with open(path, "rb") as f:
            entry["sha256"] = hashlib.sha256(f.read()).hexdigest()
    if kind in ("reg", "lnk"):
        entry["size"] = st.st_size
    if kind == "lnk":
        entry["target"] = os.readlink(path).decode("latin-1")
    if kind in ("chr", "blk"):
        entry["rdev"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
    names = os.listxattr(path, follow_symlinks=False)
    values = {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in names
              if n != "security.selinux"}
    if values:
        entry["xattrs"] = values
    if kind != "dir" and st.st_nlink > 1:
        entry["hardlink_of"] = first_of.setdefault(st.st_ino, shown)
    return entry


def tree(top):
    """Entries of a folder in the listing's form, in the order of its paths."""
    top = os.fsencode(top)
    found, first_of, paths = {}, {}, [b""]
    for folder, dirs, files in os.walk(top):
        below = folder[len(top):]
        paths += [below + b"/" + name for name in dirs + files]
    for path in sorted(paths):
        shown = (path or b"/").decode("latin-1")
        found[shown] = describe(top + path, shown, first_of)
    return found


def differences(found, expected, ignore=()):
    """The first few, in words; [] if all is as it should be."""
    out = ["%r is missing" % p for p in expected if p not in found]
    out += ["%r is too much" % p for p in found if p not in expected]
    for path in expected:
        if path not in found:
            continue
        want, have = dict(expected[path]), dict(found[path])
        dropped = set(ignore)
        if path == "/":
            dropped.add("mtime")
        if want["type"] == "dir":
            dropped |= {"nlink", "size"}      # the host's own business
        if want["type"] == "lnk":
            dropped.add("mode")
        for key in sorted((set(want) | set(have)) - dropped):
            if want.get(key) != have.get(key):
                out.append("%r: %s is %r, not %r" % (path, key, have.get(key),
                                                    want.get(key)))
    return out


def same(top, expected, **more):
    wrong = differences(tree(top), expected, **more)
    check(not wrong, "%d differences: %s" % (len(wrong), "; ".join(wrong[:3])))


def no_temporary(top):
    for folder, dirs, files in os.walk(os.fsencode(top)):
        for name in dirs + files:
            check(not name.startswith(TEMPORARY), "left behind: %r" % name)


def nothing_wrong(top, expected):
    """Every regular file that is there is whole."""
    no_temporary(top)
    for path, entry in tree(top).items():
        if entry["type"] == "reg":
            check(path in expected, "%r is not of the image" % path)
            check(entry["sha256"] == expected[path]["sha256"], "%r is half-written" % path)


# --- the whole image --------------------------------------------------------------------

def extract_restores_all(base, name):
    need_root()
    where = os.path.join(scratch(name), "new")
    expect(rafs("extract", image_of(base, name), where), 0)
    same(where, listing(base, name))


def without_sockets(expected):
    return {p: e for p, e in expected.items() if e["type"] != "sock"}


def tar_is_read_by_gnu_tar(base, name):
    need_root()
    if not shutil.which("tar"):
        raise Skip("no tar")
    where = scratch(name)
    archive = rafs("tar", image_of(base, name))
    expect(archive, 0)
    result = subprocess.run(
        ["tar", "-x", "-p", "--numeric-owner", "--acls", "--xattrs",
         "--xattrs-include=*", "-C", where], input=archive.stdout,
        stderr=subprocess.PIPE, timeout=TIMEOUT)
    expect(result, 0)
    same(where, without_sockets(listing(base, name)))


def tar_is_read_by_bsdtar(base, name):
    need_root()
    if not shutil.which("bsdtar"):
        raise Skip("no bsdtar")
    where = scratch(name)
    archive = rafs("tar", image_of(base, name))
    expect(archive, 0)
    result = subprocess.run(["bsdtar", "-x", "-p", "--numeric-owner", "--acls", "--xattrs",
                             "-C", where, "-f", "-"], input=archive.stdout,
                            stderr=subprocess.PIPE, timeout=TIMEOUT)
    expect(result, 0)
    same(where, without_sockets(listing(base, name)))


def tar_gives_the_same_bytes_again(base, name):
    image = image_of(base, name)
    plain = rafs("tar", image, env=dict(os.environ, LC_ALL="C"))
    other = rafs("tar", image, env=dict(os.environ, LC_ALL="C.UTF-8", TZ="Asia/Tokyo"))
    expect(plain, 0)
    expect(other, 0)
    check(plain.stdout == other.stdout, "two runs differ")
    check(plain.stdout.endswith(bytes(1024)), "no end of archive")


# --- choosing ---------------------------------------------------------------------------

def paths_choose_subtrees():
    need_root()
    expected = listing(HERE, "v6-zstd")
    where = scratch("paths")
    result = rafs("extract", image_of(HERE, "v6-zstd"), where, "deep/a/leaf", "/names/third",
                  "data", "/data/one", "data/../data/text")
    expect(result, 0)
    chosen = {p: dict(e) for p, e in expected.items()
              if p in ("/", "/deep", "/deep/a", "/deep/a/leaf", "/names", "/names/third",
                       "/data") or p.startswith("/data/")}
    # Its other names were not chosen: it comes as a file of its own.
    chosen["/names/third"]["nlink"] = 1
    del chosen["/names/third"]["hardlink_of"]
    found = tree(where)
    found["/"]["mode"] = chosen["/"]["mode"]
    wrong = differences(found, chosen)
    check(not wrong, "; ".join(wrong[:3]))


def missing_path_is_6_and_the_rest_comes():
    where = scratch("missing")
    result = rafs("extract", image_of(HERE, "v6-zstd"), where, "nowhere", "data/one")
    expect(result, 6, b"nowhere")
    check(os.path.exists(os.path.join(where, "data", "one")), "the other path is missing")
    expect(rafs("tar", image_of(HERE, "v6-zstd"), "nowhere"), 6, b"nowhere")


def wrong_usage_is_2():
    expect(rafs("extract", image_of(HERE, "v6-zstd")), 2)
    expect(rafs("extract", "--no-such", "x", "y"), 2)
    expect(rafs("tar"), 2)


def missing_image_is_3():
    where = scratch("noimage")
    expect(rafs("extract", os.path.join(where, "none"), os.path.join(where, "d")), 3)
    check(not os.path.exists(os.path.join(where, "d")), "DIR was made for nothing")


def missing_blob_is_3_and_leaves_no_file():
    where = scratch("noblob")
    image = copy_of(HERE, "v6-zstd", where)
    shutil.rmtree(os.path.join(os.path.dirname(image), "blobs"))
    target = os.path.join(where, "d")
    expect(rafs("extract", "--no-same-owner", image, target), 3)
    nothing_wrong(target, listing(HERE, "v6-zstd"))
    check(os.path.lexists(os.path.join(target, "links", "short")), "the rest did not come")
    expect(rafs("tar", image), 3)


def tar_refuses_a_terminal():
    try:
        leader, follower = os.openpty()
    except OSError as problem:
        raise Skip("no pseudo-terminal can be opened here: %s" % problem)
    try:
        result = subprocess.run([RAFS, "tar", image_of(HERE, "v6-zstd")], stdout=follower,
                                stderr=subprocess.PIPE, timeout=TIMEOUT)
        expect(result, 2, b"terminal")
    finally:
        os.close(leader)
        os.close(follower)


def summary_is_json():
    where = scratch("json")
    result = rafs("extract", "--json", "--no-same-owner", "--no-xattrs",
                  image_of(HERE, "v6-zstd"), where, "data")
    expect(result, 0)
    summary = json.loads(result.stdout.splitlines()[-1])
    check(summary["event"] == "summary" and summary["complete"] and
          summary["failed"] == 0 and summary["entries"] == 11, "%r" % summary)
    for line in result.stderr.splitlines():
        if line.startswith(b"{"):
            check(json.loads(line)["event"] == "progress", "%r" % line)


def sparse_makes_holes_of_zeros():
    plain, sparse = scratch("plain"), scratch("sparse")
    for where, options in ((plain, []), (sparse, ["--sparse"])):
        expect(rafs("extract", "--no-same-owner", *options, image_of(HERE, "v6-zstd"), where,
                    "data/sparse", "data/text"), 0)
    pairs = [os.stat(os.path.join(where, "data", "sparse")) for where in (plain, sparse)]
    with open(os.path.join(sparse, "data", "sparse"), "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    check(digest == listing(HERE, "v6-zstd")["/data/sparse"]["sha256"], "content differs")
    if pairs[0].st_blocks * 512 < 290000:
        raise Skip("this file system keeps zeros as holes by itself")
    check(pairs[1].st_blocks < pairs[0].st_blocks // 2,
          "%d blocks, without --sparse %d" % (pairs[1].st_blocks, pairs[0].st_blocks))


HOLE_AT, HOLE_SIZE = 4 << 16, 12 << 20


def hole_image(where):
    """A v5 image whose /data/sparse is 12 MiB larger, all of it a hole before its last
    chunk: with the flag HAS_HOLE (8, at 80 of the inode) chunks need not be dense. The
    inode's size is at 64, its name at 128; records of 80 bytes follow, each with the file
    offset at 64. The builder never writes this, so we do. Gives the content too."""
    image = copy_of(HERE, "v5-chunk64k", where)
    before = rafs("cat", image, "/data/sparse")
    expect(before, 0)
    with open(image, "rb") as f:
        data = bytearray(f.read())
    inode = data.index(b"sparse\0\0") - 128
    size, = struct.unpack_from("<Q", data, inode + 64)
    check(size == len(before.stdout) and HOLE_AT < size, "not the inode that was meant")
    struct.pack_into("<Q", data, inode + 64, size + HOLE_SIZE)
    struct.pack_into("<Q", data, inode + 80, 8)
    struct.pack_into("<Q", data, inode + 136 + 4 * 80 + 64, HOLE_AT + HOLE_SIZE)
    with open(image, "wb") as f:
        f.write(data)
    return image, (before.stdout[:HOLE_AT] + bytes(HOLE_SIZE) + before.stdout[HOLE_AT:])


def is_sparse(path, content):
    with open(path, "rb") as f:
        check(f.read() == content, "wrong content")
    check(os.stat(path).st_blocks * 512 < 1 << 20,
          "%d blocks" % os.stat(path).st_blocks)


def holes_are_restored():
    where = scratch("holes")
    image, content = hole_image(where)
    target = os.path.join(where, "d")
    expect(rafs("extract", "--no-same-owner", image, target, "data/sparse"), 0)
    is_sparse(os.path.join(target, "data", "sparse"), content)
    archive = rafs("tar", image, "data/sparse")
    expect(archive, 0)
    check(len(archive.stdout) < 1 << 20, "the hole is in the archive")
    for tool in ("tar", "bsdtar"):
        if not shutil.which(tool):
            continue
        target = os.path.join(where, tool)
        os.mkdir(target)
        result = subprocess.run([tool, "-x", "-C", target, "-f", "-"],
                                input=archive.stdout, stderr=subprocess.PIPE,
                                timeout=TIMEOUT)
        expect(result, 0)
        is_sparse(os.path.join(target, "data", "sparse"), content)


def large_corrupt_file_ends_the_archive():
    """Above 8 MiB nothing is verified before its header is written."""
    if not shutil.which("tar"):
        raise Skip("no tar")
    where = scratch("large")
    image, _ = hole_image(where)
    whole = rafs("tar", image, "data/sparse")
    expect(whole, 0)
    spoil(image, "/data/sparse")
    for paths in (["data/sparse"], []):
        result = rafs("tar", image, *paths)
        expect(result, 1, b"/data/sparse", b"incomplete")
        check(0 < len(result.stdout), "nothing tells that something is missing")
        read = subprocess.run(["tar", "-t"], input=result.stdout, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT)
        check(read.returncode != 0, "tar takes the archive for complete")
        check(not paths or whole.stdout.startswith(result.stdout), "not a beginning")
    target = os.path.join(where, "d")
    expect(rafs("extract", "--no-same-owner", image, target, "data"), 1)
    check(not os.path.exists(os.path.join(target, "data", "sparse")) and
          os.path.exists(os.path.join(target, "data", "one")), "half a file was left")
    no_temporary(target)


# --- not as root ------------------------------------------------------------------------

def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def other_users_get_what_they_may():
    need_root()
    if rafs("--help", preexec_fn=as_nobody).returncode != 0 or \
            not os.stat(TMP).st_mode & stat.S_IXOTH:
        raise Skip("another user cannot run this rafs")
    where = scratch("nobody")
    image = copy_of(HERE, "v6-zstd", where)
    os.chmod(where, 0o777)
    target = os.path.join(where, "d")
    result = rafs("extract", image, target, preexec_fn=as_nobody)
    expect(result, 0, b"not restored: owner or group", b"not restored: set-user-id",
           b"not restored: device node", b"not restored: extended attribute")
    expected = listing(HERE, "v6-zstd")
    for path, entry in expected.items():
        entry["mode"] &= 0o1777
        entry["uid"] = entry["gid"] = NOBODY
        entry["xattrs"] = {n: v for n, v in entry.get("xattrs", {}).items()
                           if n.startswith("user.")}
        if not entry["xattrs"] or entry["type"] in ("fifo", "sock", "lnk"):
            del entry["xattrs"]
    same(target, {p: e for p, e in expected.items() if e["type"] not in ("chr", "blk")})
    asked = os.path.join(where, "asked")
    expect(rafs("extract", "--same-owner", image, asked, preexec_fn=as_nobody), 3)


# --- hostile images and destinations ----------------------------------------------------

def snapshot(top, but):
    return {p: e for p, e in tree(top).items()
            if not p.startswith("/" + but + "/") and p not in ("/", "/" + but)}


def names_never_lead_out():
    changes = ((b"leaf", b"../x"), (b"leaf", b"/abs"), (b"leaf", b"..\0\0"),
               (b"leaf", b"a/bc"), (b"third", b"../up"), (b"first", b"../..") )
    for name in ("v5-none", "v6-none"):
        for old, new in changes:
            where = scratch("hostile")
            image = copy_of(HERE, name, where)
            # In v5 a name stands once; content of the same words lies in blobs alone.
            patch(image, old, new)
            inner = os.path.join(where, "a", "b")
            os.makedirs(inner)
            before = snapshot(where, "a")
            result = rafs("extract", image, os.path.join(inner, "d"))
            label = "%s, %r for %r" % (name, new, old)
            check(result.returncode == 1, "%s: %s" % (label, text_of(result)))
            check(snapshot(where, "a") == before, label + ": something outside changed")
            check(sorted(os.listdir(os.path.join(where, "a"))) == ["b"] and
                  os.listdir(inner) == ["d"], label + ": something beside DIR")
            no_temporary(where)


def planted(where):
    """DIR with a link where the image has a directory, and one where it has a file."""
    target, outside = os.path.join(where, "d"), os.path.join(where, "outside")
    os.makedirs(os.path.join(target, "data"))
    os.mkdir(outside)
    victim = os.path.join(outside, "victim")
    with open(victim, "w") as f:
        f.write("untouched")
    os.symlink("../outside", os.path.join(target, "links"))
    os.symlink(outside, os.path.join(target, "names"))
    os.symlink("../../outside/victim", os.path.join(target, "data", "one"))
    return target, outside, victim


def planted_links_are_refused(*options, prefix=()):
    where = scratch("planted")
    target, outside, victim = planted(where)
    result = run(list(prefix) + [RAFS, "extract", *options, image_of(HERE, "v6-zstd"),
                                 target])
    expect(result, 3, b"/links", b"/names", b"symbolic link")
    check(os.listdir(outside) == ["victim"], "written through a link")
    with open(victim) as f:
        check(f.read() == "untouched", "written through a link")
    check(os.path.islink(os.path.join(target, "links")), "the link is gone")
    one = os.path.join(target, "data", "one")
    check(os.path.islink(one) != ("--overwrite" in options), "data/one is of the wrong kind")
    check(os.path.exists(os.path.join(target, "data", "text")), "the rest did not come")
    no_temporary(target)


def without_openat2(action):
    if not shutil.which("strace"):
        raise Skip("no strace")
    prefix = ["strace", "-f", "-o", "/dev/null", "-e", "inject=openat2:error=ENOSYS"]
    if run(prefix + ["true"]).returncode != 0:
        raise Skip("strace cannot trace here")
    action(prefix)


def links_are_refused_without_openat2():
    without_openat2(lambda prefix: planted_links_are_refused(prefix=prefix))


def all_is_restored_without_openat2():
    need_root()

    def action(prefix):
        where = scratch("steps")
        expect(run(prefix + [RAFS, "extract", image_of(HERE, "v6-zstd"), where]), 0)
        same(where, listing(HERE, "v6-zstd"))
    without_openat2(action)


def existing_files_stay():
    where = scratch("existing")
    target = os.path.join(where, "d")
    image = image_of(HERE, "v6-zstd")
    os.makedirs(os.path.join(target, "data"))
    for name in ("text", "large"):
        with open(os.path.join(target, "data", name), "w") as f:
            f.write("mine")
    result = rafs("extract", "--no-same-owner", "--no-xattrs", image, target, "data")
    expect(result, 3, b"/data/text", b"/data/large", b"--overwrite")
    for name in ("text", "large"):
        with open(os.path.join(target, "data", name)) as f:
            check(f.read() == "mine", name + " was replaced")
    check(os.path.exists(os.path.join(target, "data", "twin")), "the rest did not come")
    no_temporary(target)
    expect(rafs("extract", "--overwrite", "--no-same-owner", image, target), 0)
    nothing_wrong(target, listing(HERE, "v6-zstd"))
    expect(rafs("extract", "--overwrite", "--no-same-owner", image, target), 0)
    nothing_wrong(target, listing(HERE, "v6-zstd"))


def handed_down_acls_are_removed():
    need_root()
    where = scratch("acl")
    entries = ((1, 7, -1), (2, 7, 1234), (4, 7, -1), (16, 7, -1), (32, 7, -1))
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, perm, who & 0xffffffff) for tag, perm, who in entries)
    try:
        os.setxattr(where, "system.posix_acl_default", acl)
    except OSError:
        raise Skip("no ACLs here")
    expect(rafs("extract", image_of(HERE, "v6-zstd"), where), 0)
    os.removexattr(where, "system.posix_acl_default")
    same(where, listing(HERE, "v6-zstd"))


# --- failures on the way ----------------------------------------------------------------

def spoil(image, path):
    """Flip a bit in the last chunk of a file."""
    result = rafs("chunks", "--json", image, path)
    expect(result, 0)
    chunk = json.loads(result.stdout.splitlines()[-1])
    facts = json.loads(rafs("info", "--json", image).stdout)
    blob = os.path.join(os.path.dirname(image), "blobs", facts["blobs"][chunk["blob"]]["id"])
    at = chunk["compressed_offset"] + chunk["compressed_size"] // 2
    with open(blob, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))


def corrupt_blob_is_1_and_the_rest_comes(base, name):
    where = scratch("corrupt")
    expected = listing(base, name)
    image = copy_of(base, name, where)
    spoil(image, max((e["size"], p) for p, e in expected.items() if e["type"] == "reg")[1])
    target = os.path.join(where, "d")
    expect(rafs("extract", "--no-same-owner", "--no-xattrs", image, target), 1)
    nothing_wrong(target, expected)
    there = tree(target)
    missing = [p for p in expected if p not in there
               and expected[p]["type"] not in ("chr", "blk")]
    check(0 < len(missing) < len(expected) // 2, "%d files are missing" % len(missing))
    result = rafs("tar", image)
    expect(result, 1)
    if shutil.which("tar"):
        names = subprocess.run(
            ["tar", "-t", "--quoting-style=literal"], input=result.stdout,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)
        listed = {b"/" + n for n in names.stdout.split(b"\n")}
        check(not any(p.encode("latin-1") in listed for p in missing),
              "a corrupt file is in the archive")


def full_disk_stops():
    need_root()
    where = scratch("full")
    if run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=755", "tmpfs",
            where]).returncode != 0:
        raise Skip("cannot mount a tmpfs")
    try:
        target = os.path.join(where, "d")
        result = rafs("extract", "--no-xattrs", image_of(HERE, "v6-zstd"), target)
        expect(result, 3, b"No space left")
        check(result.stderr.count(b"No space left") == 1, text_of(result))
        nothing_wrong(target, listing(HERE, "v6-zstd"))
    finally:
        run(["umount", where])


def tar_to_a_full_disk_is_3():
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        result = subprocess.run([RAFS, "tar", image_of(HERE, "v6-zstd")], stdout=full,
                                stderr=subprocess.PIPE, timeout=TIMEOUT)
    expect(result, 3, b"No space left")


def interrupt_removes_the_temporary_file():
    """The signal comes at a system call of our choosing, so that no timing is involved."""
    if not shutil.which("strace"):
        raise Skip("no strace")
    expected = listing(HERE, "v6-zstd")
    for when in (1, 2, 5, 9):
        where = scratch("interrupt")
        result = run(["strace", "-f", "-o", "/dev/null", "-e",
                      "inject=pwrite64:signal=SIGINT:when=%d" % when, RAFS, "extract",
                      "--no-same-owner", image_of(HERE, "v6-zstd"), where])
        if result.returncode == 1 and b"strace:" in result.stderr:
            raise Skip("strace cannot trace here")
        expect(result, 130, b"interrupted")
        nothing_wrong(where, expected)
        check(len(tree(where)) < len(expected), "it went on")


def interrupted_tar_has_no_end():
    process = subprocess.Popen([RAFS, "tar", image_of(HERE, "v6-zstd")],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # A pipe holds less than the archive: after the first byte rafs is at work or waits.
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=TIMEOUT)
    check(process.returncode == 130, "exit %d, %r" % (process.returncode, errors[:200]))
    check(not (first + rest).endswith(bytes(1024)), "the archive looks complete")


# --- running ----------------------------------------------------------------------------

def attempt(name, test, *args):
    try:
        test(*args)
        counts["passed"] += 1
        print("ok   " + name, flush=True)
    except Skip as why:
        counts["skipped"] += 1
        print("skip %s: %s" % (name, why), flush=True)
    except (AssertionError, OSError, subprocess.SubprocessError) as problem:
        counts["failed"] += 1
        print("FAIL %s: %s" % (name, problem), flush=True)


ONCE = (paths_choose_subtrees, missing_path_is_6_and_the_rest_comes, wrong_usage_is_2,
        missing_image_is_3, missing_blob_is_3_and_leaves_no_file, tar_refuses_a_terminal,
        summary_is_json, sparse_makes_holes_of_zeros, holes_are_restored,
        sparse_makes_holes_of_zeros, other_users_get_what_they_may,
        names_never_lead_out, planted_links_are_refused, links_are_refused_without_openat2,
        all_is_restored_without_openat2, existing_files_stay, handed_down_acls_are_removed,
        full_disk_stops, tar_to_a_full_disk_is_3, interrupt_removes_the_temporary_file,
        interrupted_tar_has_no_end, large_corrupt_file_ends_the_archive)


def run_all():
    for base, name in variants():
        label = name if base == HERE else "shared/" + name
        for test in (extract_restores_all, tar_is_read_by_gnu_tar, tar_is_read_by_bsdtar,
                     tar_gives_the_same_bytes_again, corrupt_blob_is_1_and_the_rest_comes):
            attempt("%s %s" % (label, test.__name__), test, base, name)
    for test in ONCE:
        attempt(test.__name__, test)
    attempt("planted_links_are_refused --overwrite", planted_links_are_refused,
            "--overwrite")


def main():
    global RAFS, TMP
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--keep", action="store_true", help="leave what was extracted")
    options = parser.parse_args()
    RAFS = os.path.abspath(options.rafs)
    TMP = tempfile.mkdtemp(prefix="rafs-extract-")
    os.chmod(TMP, 0o755)
    try:
        run_all()
    finally:
        if not options.keep:
            shutil.rmtree(TMP, ignore_errors=True)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
