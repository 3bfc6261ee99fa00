#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images as EROFS: what `rafs export` writes, mounted by the kernel, is what was built.

Usage: run_erofs.py --rafs PATH [VARIANT...]

Each image is written with devices and whole, mounted, and lstat(), readlink(), getxattr()
and SHA-256 of what is there are compared with the expected listing; fsck.erofs looks at
both; and `rafs` reads the metadata it wrote, with the blobs of the image. Images:
tests/golden/*, and those of ../shared/testdata (RAFS_TESTDATA names another place). Needs
root and a kernel that mounts EROFS from files.
"""
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import mounts  # noqa: E402
from make_tree import first_difference, rows_below  # noqa: E402
from mounts import Skip, message, run  # noqa: E402
from report import Report  # noqa: E402

GOOD, USAGE, SOURCE, UNSUPPORTED = 0, 2, 3, 4       # exit codes of rafs
FLAG_EXPLICIT_UID_GID = 0x10
BLOCK = 4096
TREES = ["/usr/share", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/include"]

report = Report()


def rafs(*words):
    return run(RAFS, *words)


def must(done):
    if done.returncode != 0:
        raise ValueError("%s: %s" % (" ".join(map(str, done.args[1:4])), message(done)))
    return done.stdout


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Image:
    def __init__(self, folder):
        self.folder = folder
        self.blobs = os.path.join(folder, "blobs")
        boot = os.path.join(folder, "image.boot")
        self.inlined = not os.path.exists(boot)
        names = os.listdir(self.blobs) if self.inlined else []
        if len(names) > 1:
            raise Skip("%d blobs and no image.boot" % len(names))
        self.path = os.path.join(self.blobs, names[0]) if self.inlined else boot
        self.words = ["--blob-dir", self.blobs, self.path]
        self.version = int(os.path.basename(folder)[1])

    def expected(self):
        for folder in (self.folder, os.path.dirname(self.folder)):
            path = os.path.join(folder, "expected.jsonl")
            if os.path.exists(path):
                with open(path, encoding="ascii") as f:
                    return {row["path"]: row for row in map(json.loads, f)}
        raise ValueError("no expected.jsonl")

    def info(self):
        return json.loads(must(rafs("info", "--json", self.path)))


def compare(image, point, owners):
    """What is mounted there against the listing."""
    wanted, got = image.expected(), rows_below(point)
    for rows in (wanted, got):
        rows["/"].pop("mtime", None)
        for row in rows.values():
            if not owners:
                # The kernel shows what the fields hold, though the image stores no owners.
                row.pop("uid")
                row.pop("gid")
    return first_difference(got, wanted)


def mounted(meta, devices, work, see):
    point = tempfile.mkdtemp(dir=work)
    mounts.mount_erofs(meta, devices, point)
    try:
        return see(point)
    finally:
        mounts.unmount(point)


def fsck(path, devices):
    if not shutil.which("fsck.erofs"):
        return None
    done = run("fsck.erofs", *["--device=" + name for name in devices], "--extract", path)
    return "fsck.erofs: " + message(done) if done.returncode or b"<E>" in done.stderr else None


def nothing_left(folder):
    left = os.listdir(folder)
    return "left behind: %s" % left if left else None


def try_devices(image, name, work):
    """Metadata and devices, by the kernel and by rafs itself."""
    out = os.path.join(work, "devices")
    said = json.loads(must(rafs("export", "--erofs", "--no-sync", "--json", "--devices", out,
                                *image.words)))
    meta = os.path.join(out, said["file"])
    files = [os.path.join(out, device["file"]) for device in said["devices"]]
    report.check(name + ": what is told is so",
                 said["sha256"] == digest(meta) and said["size"] == os.path.getsize(meta) and
                 [d["size"] for d in said["devices"]] == [os.path.getsize(f) for f in files] and
                 said["own_bootstrap"] == (image.version == 6), said)
    report.check(name + ": and nothing else is there",
                 sorted(os.listdir(out)) == sorted([said["file"]] +
                                                   [d["file"] for d in said["devices"]]),
                 os.listdir(out))
    owners = image.version == 5 or bool(image.info()["flags"] & FLAG_EXPLICIT_UID_GID)
    problem = mounted(meta, files, work, lambda point: compare(image, point, owners))
    report.check(name + ": the kernel shows the image", problem is None, problem)
    problem = fsck(meta, files)
    report.check(name + ": fsck.erofs finds it sound", problem is None, problem)
    if image.version == 6 and not image.inlined:
        report.check(name + ": version 6 is its own bootstrap",
                     digest(meta) == digest(image.path))
    if image.version == 5:
        # Not of version 6, of which a blob that carries the bootstrap has no name in it.
        done = rafs("ls", "-R", "--json", "--digest", "sha256", "--blob-dir", image.blobs, meta)
        if done.returncode:
            report.check(name + ": rafs reads what it wrote", False, message(done))
        else:
            rows = {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}
            rows["/"].pop("mtime", None)
            problem = first_difference(rows, image.expected())
            report.check(name + ": rafs reads what it wrote", problem is None, problem)
        done = rafs("check", "--blob-dir", image.blobs, meta)
        report.check(name + ": rafs check finds it sound", done.returncode == 0, message(done))
    again = os.path.join(work, "again")
    must(rafs("export", "--erofs", "--no-sync", "--devices", again, *image.words))
    report.check(name + ": the same bytes again",
                 [digest(os.path.join(again, f)) for f in sorted(os.listdir(again))] ==
                 [digest(os.path.join(out, f)) for f in sorted(os.listdir(out))])


def try_whole(image, name, work):
    path = os.path.join(work, "whole")
    said = json.loads(must(rafs("export", "--erofs", "--no-sync", "--json", "-o", path,
                                *image.words)))
    report.check(name + ": what is told of the whole is so",
                 said["sha256"] == digest(path) and said["size"] == os.path.getsize(path) and
                 said["size"] % BLOCK == 0, said)
    owners = True
    problem = mounted(path, [], work, lambda point: compare(image, point, owners))
    report.check(name + ": the kernel shows the whole", problem is None, problem)
    problem = fsck(path, [])
    report.check(name + ": fsck.erofs finds the whole sound", problem is None, problem)
    piped = must(rafs("export", "--erofs", "-o", "-", *image.words))
    report.check(name + ": the same through a pipe",
                 hashlib.sha256(piped).hexdigest() == said["sha256"])


def try_refused(image, name, work):
    """A kind of blob that is not read: an error that says so, and no file."""
    out = os.path.join(work, "out")
    os.mkdir(out)
    for words in (["-o", os.path.join(out, "file")], ["--devices", os.path.join(out, "dir")]):
        done = rafs("export", "--erofs", *words, *image.words)
        report.check("%s: refused with %s" % (name, words[0]),
                     done.returncode == UNSUPPORTED and not nothing_left(out),
                     "%s; %s" % (message(done), nothing_left(out)))


def try_image(folder, name):
    with tempfile.TemporaryDirectory(prefix="rafs-erofs-", dir=PLACE) as work:
        try:
            image = Image(folder)
            if rafs("check", *image.words).returncode == UNSUPPORTED:
                try_refused(image, name, work)
                return
            try_devices(image, name, work)
            try_whole(image, name, work)
        except Skip as why:
            report.skip(name, why)
        except (OSError, ValueError, subprocess.TimeoutExpired) as e:
            report.check(name, False, "%s: %s" % (type(e).__name__, e))


def try_all(root, label):
    for variant in sorted(os.listdir(root)):
        folder = os.path.join(root, variant)
        if os.path.isdir(os.path.join(folder, "blobs")) and \
                (not ARGS.variant or variant in ARGS.variant):
            try_image(folder, "%s/%s" % (label, variant))


def try_names():
    """Which files are written, replaced and left alone."""
    image = os.path.join(HERE, "v5-zstd", "image.boot")
    with tempfile.TemporaryDirectory(prefix="rafs-erofs-", dir=PLACE) as work:
        path, folder = os.path.join(work, "file"), os.path.join(work, "folder")
        os.mkdir(folder)
        for there in (path, os.path.join(folder, "image.erofs")):
            with open(there, "w", encoding="ascii") as f:
                f.write("mine")
        for words in (["-o", path], ["--devices", folder]):
            done = rafs("export", "--erofs", *words, image)
            report.check("%s: nothing is replaced unasked" % words[0],
                         done.returncode == USAGE and b"--force" in done.stderr,
                         message(done))
        with open(path, encoding="ascii") as f:
            report.check("what was there is as it was", f.read() == "mine")
        report.check("and nothing beside it", sorted(os.listdir(folder)) == ["image.erofs"],
                     os.listdir(folder))
        for words in (["-o", path], ["--devices", folder]):
            done = rafs("export", "--erofs", "--force", *words, image)
            report.check("%s --force" % words[0], done.returncode == GOOD, message(done))
        report.check("which leaves no half files", not any(
            name.startswith(".rafs-") for name in os.listdir(work) + os.listdir(folder)))
        for what, code, words in (
                ("no place", USAGE, []),
                ("two places", USAGE, ["-o", path, "--devices", folder]),
                ("a folder that is not there", SOURCE, ["-o", os.path.join(work, "no", "file")]),
                ("a folder as file", USAGE, ["-o", work + "/"]),
                ("JSON in the image", USAGE, ["-o", "-", "--json"])):
            done = rafs("export", "--erofs", *words, image)
            report.check(what, done.returncode == code and done.stdout == b"", message(done))
        done = rafs("export", "-o", path, image)
        report.check("no format", done.returncode == USAGE, message(done))


def try_lost_blob():
    """A blob that is not there, or holds other bytes: an error, and no file."""
    source = os.path.join(HERE, "v5-lz4")
    for fault in ("missing", "altered"):
        with tempfile.TemporaryDirectory(prefix="rafs-erofs-", dir=PLACE) as work:
            blobs, out = os.path.join(work, "blobs"), os.path.join(work, "out")
            os.mkdir(out)
            shutil.copytree(os.path.join(source, "blobs"), blobs)
            for name in os.listdir(blobs):
                if fault == "missing":
                    os.remove(os.path.join(blobs, name))
                    continue
                with open(os.path.join(blobs, name), "r+b") as f:
                    f.seek(os.path.getsize(f.name) // 2)
                    byte = f.read(1)
                    f.seek(-1, os.SEEK_CUR)
                    f.write(bytes([byte[0] ^ 1]))
            code = SOURCE if fault == "missing" else 1
            for words in (["-o", out + "/file"], ["--devices", out + "/dir"]):
                done = rafs("export", "--erofs", *words, "--blob-dir", blobs,
                            os.path.join(source, "image.boot"))
                report.check("blob %s, %s: refused, nothing left" % (fault, words[0]),
                             done.returncode == code and not nothing_left(out),
                             "%s; %s" % (message(done), nothing_left(out)))


def sparse_image(work):
    """v5-chunk4k with chunks 10 to 19 of /data/large five places on, and none behind: its
    folder, and the file's content. No builder writes such files, but readers take them."""
    folder = os.path.join(work, "sparse")
    shutil.copytree(os.path.join(HERE, "v5-chunk4k"), folder)
    path, chunk, record = os.path.join(folder, "image.boot"), 4096, 80
    whole = must(rafs("cat", path, "/data/large"))
    with open(path, "rb") as f:
        boot = bytearray(f.read())
    at = boot.index(b"large\0\0\0") - 128         # the inode's record, before its name
    first = at + 128 + 8
    assert int.from_bytes(boot[at + 64:at + 72], "little") == len(whole)
    boot[at + 80:at + 88] = (8).to_bytes(8, "little")       # it has holes
    boot[at + 96:at + 100] = (20).to_bytes(4, "little")     # chunks
    for i in range(10, 20):
        boot[first + i * record + 64:first + i * record + 72] = \
            ((i + 5) * chunk).to_bytes(8, "little")
    with open(path, "wb") as f:
        f.write(boot)
    wanted = whole[:10 * chunk] + bytes(5 * chunk) + whole[10 * chunk:20 * chunk]
    return folder, wanted + bytes(len(whole) - len(wanted))


def try_holes():
    """Holes of version 5 stay holes."""
    with tempfile.TemporaryDirectory(prefix="rafs-erofs-", dir=PLACE) as work:
        folder, wanted = sparse_image(work)
        boot, out = os.path.join(folder, "image.boot"), os.path.join(work, "out")
        report.check("holes: rafs reads them as zeros",
                     must(rafs("cat", boot, "/data/large")) == wanted)
        must(rafs("export", "--erofs", "--no-sync", "--devices", out, boot))
        must(rafs("export", "--erofs", "--no-sync", "-o", os.path.join(work, "whole"), boot))

        def see(point):
            with open(os.path.join(point, "data", "large"), "rb") as f:
                data = f.read()
                hole = os.lseek(f.fileno(), 0, os.SEEK_HOLE)
                return data == wanted, hole, os.lseek(f.fileno(), hole, os.SEEK_DATA)

        for name, meta, devices in (
                ("devices", os.path.join(out, "image.erofs"), [os.path.join(out, "blob-0")]),
                ("whole", os.path.join(work, "whole"), [])):
            got = mounted(meta, devices, work, see)
            report.check("holes, %s: content and SEEK_HOLE" % name,
                         got == (True, 10 * 4096, 15 * 4096), got)
            problem = fsck(meta, devices)
            report.check("holes, %s: fsck.erofs" % name, problem is None, problem)
        done = rafs("cat", "--blob-dir", os.path.join(folder, "blobs"),
                    os.path.join(out, "image.erofs"), "/data/large")
        report.check("holes: rafs reads what it wrote", done.stdout == wanted, message(done))


def try_uneven():
    """A hole that does not begin with a chunk has no place in EROFS: refused, as a whole."""
    with tempfile.TemporaryDirectory(prefix="rafs-erofs-", dir=PLACE) as work:
        boot = os.path.join(sparse_image(work)[0], "image.boot")
        with open(boot, "r+b") as f:
            data = f.read()
            f.seek(data.index(b"large\0\0\0") + 8 + 19 * 80 + 64)
            f.write((24 * 4096 + 512).to_bytes(8, "little"))
        out = os.path.join(work, "out")
        done = rafs("export", "--erofs", "-o", out, boot)
        report.check("a chunk at an odd place: refused, with the path",
                     done.returncode == UNSUPPORTED and b"/data/large" in done.stderr and
                     not os.path.exists(out), message(done))


def try_tree(version):
    """A real tree, built, exported and mounted."""
    source = next((d for d in (TREES if os.environ.get("RAFS_TEST_FULL") == "1" else TREES[1:])
                   if os.path.isdir(d)), None)
    if not source:
        report.skip("a real tree", "none of %s" % ", ".join(TREES))
        return
    with tempfile.TemporaryDirectory(prefix="rafs-erofs-", dir=PLACE) as work:
        built, out = os.path.join(work, "built"), os.path.join(work, "out")
        must(rafs("build", "--no-sync", "--fs-version", str(version), "--chunk-size", "64K",
                  "--skip-unsupported", "-o", built, source))
        boot, whole = os.path.join(built, "image.boot"), os.path.join(work, "whole")
        said = json.loads(must(rafs("export", "--erofs", "--no-sync", "--json", "--devices",
                                    out, boot)))
        must(rafs("export", "--erofs", "--no-sync", "-o", whole, boot))
        wanted = rows_below(source)
        files = [os.path.join(out, device["file"]) for device in said["devices"]]
        for name, meta, devices in (("devices", os.path.join(out, said["file"]), files),
                                    ("whole", whole, [])):
            got = mounted(meta, devices, work, rows_below)
            problem = first_difference(got, wanted)
            report.check("%s, version %d, %s: %d paths as they were" %
                         (source, version, name, len(wanted)), problem is None, problem)
            problem = fsck(meta, devices)
            report.check("%s, version %d, %s: fsck.erofs" % (source, version, name),
                         problem is None, problem)


def try_command():
    """The commands that are printed do what they say."""
    image = os.path.join(HERE, "v5-zstd", "image.boot")
    with tempfile.TemporaryDirectory(prefix="rafs-erofs-", dir=PLACE) as work:
        point = os.path.join(work, "point")
        os.mkdir(point)
        for words in (["-o", "whole"], ["--devices", "dir"]):
            name = "the command of %s mounts it" % words[0]
            done = run(RAFS, "export", "--erofs", *words, image, cwd=work)
            command = must(done).decode().splitlines()[-1].strip()
            assert command.startswith("mount ") and command.endswith(" DIR")
            shell = run("sh", "-c", command[:-3] + point, cwd=work)
            loops = [line.split(":")[0] for line in
                     run("losetup", "-l", "-n", "-O", "NAME,BACK-FILE").stdout.decode()
                     .replace(" ", ":", 1).splitlines() if work in line]
            if shell.returncode != 0:
                if b"loop" in shell.stderr:
                    report.skip(name, message(shell))
                else:
                    report.check(name, False, message(shell))
            else:
                try:
                    rows = rows_below(point)
                finally:
                    mounts.unmount(point)
                report.check(name, len(rows) > 40, "%d paths" % len(rows))
            for loop in loops:
                run("losetup", "-d", loop)


def main():
    why = mounts.no_mounts() or mounts.no_erofs()
    if why:
        report.skip("images as EROFS", why)
        return report.finish()
    if not shutil.which("fsck.erofs"):
        report.skip("fsck.erofs", "is not installed")
    try_all(HERE, "tests/golden")
    shared = os.path.join(TESTDATA, "golden")
    if os.path.isdir(shared):
        try_all(shared, "golden")
    else:
        report.skip("golden", "no %s" % shared)
    if not ARGS.variant:
        try_names()
        try_lost_blob()
        try_holes()
        try_uneven()
        for version in (5, 6):
            try_tree(version)
        try_command()
    return report.finish()


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rafs", required=True, help="the command under test")
parser.add_argument("--build", help="ignored: all is made by the command")
parser.add_argument("--tmp", help="where files are written; default: beside rafs")
parser.add_argument("variant", nargs="*", metavar="VARIANT")
ARGS = parser.parse_args()
RAFS = os.path.abspath(ARGS.rafs)
# A build tree lies on a real disk, where /tmp may be a tmpfs, which EROFS does not mount.
PLACE = ARGS.tmp or os.path.dirname(RAFS)
sys.exit(main())
