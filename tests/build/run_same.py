#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same input gives the same bytes, whatever else differs.

Usage: run_same.py --rafs PATH

Threads, the run, umask, time zone, locale, clock (with faketime, if it is here), the
working directory and the spelling of paths; the order in which files were made, their
inode numbers, the file system they lie on, the order of their xattrs; a directory or a
tar of it in path order, plain, compressed, from a pipe, by GNU tar. A tar in another
order gives the same tree and the same chunks.
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
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import make_tree  # noqa: E402
import mounts  # noqa: E402
from mounts import Skip, message, run  # noqa: E402
from report import Report  # noqa: E402

OPTIONS = {
    "v6": "--fs-version 6",
    "v5": "--fs-version 5",
    "v6, batches, a table of contents, inlined":
        "--batch-size 64K --chunk-size 64K --toc --inline-bootstrap",
    "v6, lz4, small chunks, prefetch":
        "--compressor lz4 --chunk-size 4K --prefetch /dup --prefetch /sizes/f65537",
    "v5, none, sha256, no dedup":
        "--fs-version 5 --compressor none --digest sha256 --dedup none",
}
report = Report()


def digests(folder):
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            found[os.path.relpath(path, folder)] = make_tree.sha256_of(path)
    return found


class Build:
    """What a command line gives, as digests by name."""

    def __init__(self, work, options):
        self.work, self.options = work, options.split()

    def __call__(self, *sources, before=(), threads="2", keep=False, **more):
        out = tempfile.mkdtemp(dir=self.work)
        done = subprocess.run(
            [*before, RAFS, "build", "--no-sync", "--threads", threads, *self.options,
             "-o", out, *sources], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=mounts.TIMEOUT, **more)
        if done.returncode != 0:
            raise ValueError("rafs build: " + message(done))
        if keep:
            return out
        found = digests(out)
        shutil.rmtree(out)
        return found


def compare(name, want, build, *args, **more):
    try:
        got = build(*args, **more)
    except Skip as why:
        report.skip(name, why)
        return
    except (OSError, ValueError, subprocess.TimeoutExpired) as e:
        report.check(name, False, e)
        return
    report.check(name, got == want and len(want) > 1, "got %s\nwanted %s" % (got, want))


def masked(mask):
    return lambda: os.umask(mask)


def surroundings(label, want, build, source):
    """Nothing of the process that builds shows."""
    for threads in ("1", "2", "8"):
        compare(f"{label}: {threads} threads", want, build, source, threads=threads)
    environment = dict(os.environ, TZ="Pacific/Kiritimati", LC_ALL="C", HOME="/none",
                       TMPDIR=build.work)
    compare(f"{label}: umask, time zone, locale", want, build, source, env=environment,
            preexec_fn=masked(0o077))
    name = os.path.basename(source)
    compare(f"{label}: a relative path", want, build, "./../" + name + "//.",
            cwd=source)
    if shutil.which("faketime"):
        compare(f"{label}: another time", want, build, source,
                before=("faketime", "2003-04-05 06:07:08"))


def copies(label, want, build, entries, work):
    """Neither does how the tree came to be where it is."""
    with tempfile.TemporaryDirectory(dir=work) as top:
        make_tree.create(top, entries, shuffle=11)
        compare(f"{label}: made in another order", want, build, top)
    with tempfile.TemporaryDirectory(dir=work) as top:
        try:
            mounts.mount_tmpfs(top, 64 << 20)
        except Skip as why:
            report.skip(f"{label}: on tmpfs", why)
            return
        try:
            make_tree.create(top, entries, shuffle=12)
            compare(f"{label}: on tmpfs", want, build, top)
        except OSError as e:
            report.skip(f"{label}: on tmpfs", "it cannot hold the tree: %s" % e)
        finally:
            mounts.unmount(top)


def tars(label, want, build, tar, plain):
    """A tar in path order is the directory."""
    compare(f"{label}: a tar in path order", want, build, tar)
    for tool in (["gzip", "-1"], ["zstd", "-q", "-1"], ["xz", "-0"], ["bzip2", "-1"]):
        if not shutil.which(tool[0]):
            report.skip(f"{label}: {tool[0]}", "it is not installed")
            continue
        packed = tar + "." + tool[0]
        with open(packed, "wb") as f:
            subprocess.run([*tool, "-c", tar], stdout=f, check=True)
        with open(packed, "rb") as f:
            compare(f"{label}: a tar with {tool[0]}, on standard input", want, build, "-",
                    stdin=f)
        os.unlink(packed)
    with subprocess.Popen(["cat", tar], stdout=subprocess.PIPE) as cat:
        compare(f"{label}: a tar from a pipe", want, build, "-", stdin=cat.stdout)
    with subprocess.Popen(["tar", "-c", "--sort=name", "--format=posix", "--xattrs",
                           "--xattrs-include=*", "-C", plain, "."],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        compare(f"{label}: a tar by GNU tar", build(plain), build, "-",
                stdin=child.stdout)


def chunks_of(folder, paths):
    """What each file is made of."""
    found = {}
    for path in paths:
        done = run(RAFS, "chunks", "--json", folder + "/image.boot", path)
        if done.returncode != 0:
            raise ValueError("rafs chunks %s: %s" % (path, message(done)))
        found[path] = [(c["offset"], c["length"], c.get("digest"))
                       for c in map(json.loads, done.stdout.splitlines())]
    return found


def other_order(label, build, tar, shuffled):
    """The same tree, the same chunks, in another order."""
    name = f"{label}: a tar in another order has the same tree and chunks"
    try:
        seen = []
        for source in (tar, shuffled):
            out = build(source, keep=True)
            done = run(RAFS, "ls", "-R", "--json", "--digest", "sha256",
                       out + "/image.boot")
            seen.append((hashlib.sha256(done.stdout).hexdigest(), done.returncode,
                         chunks_of(out, ["/dup/shifted", "/sizes/f65537", "/holes/tail",
                                         "/sizes/f%d" % ((1 << 20) + 1)])))
            shutil.rmtree(out)
    except (OSError, ValueError, KeyError) as e:
        report.check(name, False, "%s: %s" % (type(e).__name__, e))
        return
    report.check(name, seen[0] == seen[1] and seen[0][1] == 0,
                 "%s\nwanted %s" % (str(seen[1])[:900], str(seen[0])[:900]))


def main():
    why = mounts.no_mounts()
    if why:
        report.skip("other file systems", why)
    if not shutil.which("faketime"):
        report.skip("another time", "no faketime")
    entries = make_tree.possible(make_tree.for_tar(make_tree.for_old_peers(
        make_tree.whole_tree())))
    with tempfile.TemporaryDirectory(prefix="same-", dir=os.path.dirname(RAFS)) as work:
        source = os.path.join(work, "source")
        os.mkdir(source)
        make_tree.create(source, entries)
        # GNU tar forgets that fifos and devices are linked.
        plain = os.path.join(work, "plain")
        os.mkdir(plain)
        make_tree.create(plain, [e for e in entries if e.kind != "hard" or
                                 e.data.endswith((b"file", b"link", b"empty-a"))])
        tar, other = os.path.join(work, "t.tar"), os.path.join(work, "o.tar")
        make_tree.write_tar(tar, make_tree.by_name(entries))
        make_tree.write_tar(other, make_tree.shuffled(entries, 23))
        parts = []
        for i, layer in enumerate(make_tree.layers(entries)):
            parts.append(os.path.join(work, "layer%d.tar" % i))
            make_tree.write_tar(parts[-1], layer)
        for label, options in OPTIONS.items():
            build = Build(work, options)
            try:
                want = build(source)
            except (ValueError, subprocess.TimeoutExpired) as e:
                report.check(label + ": builds", False, e)
                continue
            surroundings(label, want, build, source)
            if not why:
                copies(label, want, build, entries, work)
            # What a list brings to the front of a directory keeps its place in a stream.
            if "--prefetch" not in options:
                tars(label, want, build, tar, plain)
            if "--inline" in options:
                continue
            other_order(label, build, tar, other)
            try:
                want = build(*parts, "--blob-per-layer", threads="1")
            except (ValueError, subprocess.TimeoutExpired) as e:
                report.check(label + ": builds layers", False, e)
                continue
            compare(f"{label}: layers, 8 threads", want, build, *parts,
                    "--blob-per-layer", threads="8")
    return report.finish()


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rafs", required=True, help="the command under test")
RAFS = os.path.abspath(parser.parse_args().rafs)
sys.exit(main())
