# SPDX-License-Identifier: Apache-2.0
"""The image of tests/bench/mount in all forms that it is mounted in. Nothing of it is
kept in git."""

import base64
import os
import re
import shutil
import subprocess

from debian import download, in_tree
from servers import Skip, need

PACKAGES = ["python3-scipy", "python3-pandas", "libopenblas0-pthread", "nodejs",
            "openjdk-17-jre-headless"]
# What scipy's compiler needs is not part of running it.
LEFT_OUT = re.compile(r"(.*-dev|gcc|gcc-12|cpp.*|g\+\+.*|binutils.*|liblto.*)_")
START = ("import numpy, scipy.stats, pandas\n"
         "x = numpy.arange(100.0)\n"
         "print(pandas.DataFrame({'x': scipy.stats.norm.cdf(x)}).describe().shape)\n")
# class Hello { public static void main(String[] a) { System.out.println("hello"); } }
HELLO = base64.b64decode("""
yv66vgAAADQAGgoAAgADBwAEDAAFAAYBABBqYXZhL2xhbmcvT2JqZWN0AQAGPGluaXQ+AQADKClWCQAIAAkH
AAoMAAsADAEAEGphdmEvbGFuZy9TeXN0ZW0BAANvdXQBABVMamF2YS9pby9QcmludFN0cmVhbTsIAA4BAAVo
ZWxsbwoAEAARBwASDAATABQBABNqYXZhL2lvL1ByaW50U3RyZWFtAQAHcHJpbnRsbgEAFShMamF2YS9sYW5n
L1N0cmluZzspVgcAFgEABUhlbGxvAQAEQ29kZQEABG1haW4BABYoW0xqYXZhL2xhbmcvU3RyaW5nOylWACAA
FQACAAAAAAACAAAABQAGAAEAFwAAABEAAQABAAAABSq3AAGxAAAAAAAJABgAGQABABcAAAAVAAIAAQAAAAmy
AAcSDbYAD7EAAAAAAAA=""")
JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
PROGRAMS = [("python", ["python3", "-c", START]),
            ("node", ["node", "-e", "console.log('hello')"]),
            ("java", [JAVA, "-Xshare:auto", "-cp", "/root", "Hello"])]
LITTLE = 24 << 20


def once(path, make):
    """What make() leaves at `path` stays there, for the next run too, if it came to its
    end."""
    done = path + ".done"
    if not os.path.exists(done):
        if os.path.isdir(path):
            shutil.rmtree(path)
        make(path)
        with open(done, "w", encoding="utf-8"):
            pass
    return path


def packages(path):
    os.mkdir(path)
    for deb in download(os.path.dirname(path), PACKAGES):
        if not LEFT_OUT.match(os.path.basename(deb)):
            subprocess.run(["dpkg-deb", "-x", deb, path], check=True)
    for folder in ("dev", "tmp", "proc", "root"):
        os.makedirs(os.path.join(path, folder), exist_ok=True)
    with open(os.path.join(path, "root/Hello.class"), "wb") as f:
        f.write(HELLO)
    in_tree(path, "python3", "-m", "compileall", "-q", "/usr/lib/python3",
            "/usr/lib/python3.11")
    for _, words in PROGRAMS:
        in_tree(path, *words)


def little(path):
    """Some of this machine's own files, one large among them."""
    size = 0
    for top, dirs, files in os.walk("/usr/share"):
        dirs.sort()
        os.makedirs(path + top, exist_ok=True)
        for name in sorted(files):
            file = os.path.join(top, name)
            if os.path.isfile(file) and not os.path.islink(file) and size < LITTLE:
                shutil.copy2(file, path + file)
                size += os.path.getsize(file)
        if size >= LITTLE:
            break
    with open(path + "/large", "wb") as out:
        while out.tell() < LITTLE:
            with open(os.path.realpath("/proc/self/exe"), "rb") as f:
                out.write(f.read())


def quiet(*words):
    run = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{words[0]}: exit {run.returncode}: {run.stdout[-400:]}")


class Image:
    """tree, image.boot with blobs/, image.erofs, image.squashfs below one folder."""

    def __init__(self, work, rafs, smoke):
        self.work, self.rafs = work, rafs
        self.tree = once(os.path.join(work, "little" if smoke else "tree"),
                         little if smoke else packages)
        self.programs = [] if smoke else PROGRAMS
        self.name = os.path.basename(self.tree)
        top = once(os.path.join(work, self.name + ".rafs"), self.build)
        self.boot = os.path.join(top, "image.boot")
        self.blobs = os.path.join(top, "blobs")
        self.look()

    def build(self, path):
        """Version 6, zstd, chunks of 1 MiB: what nydusd reads right."""
        quiet(self.rafs, "build", "--no-sync", "--chunk-size", "1M", "-o", path, self.tree)

    def look(self):
        self.entries, self.size, files = 0, 0, []
        for top, dirs, names in os.walk(self.tree):
            self.entries += len(dirs) + len(names)
            for name in names:
                path = os.path.join(top, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    files.append((os.path.getsize(path), path[len(self.tree) + 1:]))
        self.size = sum(size for size, _ in files)
        self.files = [path for size, path in sorted(files, key=lambda f: f[1])
                      if size >= 64 << 10]
        self.large_size, self.large = max(files)

    def blob_bytes(self):
        return sum(os.path.getsize(os.path.join(self.blobs, b))
                   for b in os.listdir(self.blobs))

    def erofs(self):
        need("mkfs.erofs", "erofs-utils")
        return once(os.path.join(self.work, self.name + ".erofs"),
                    lambda path: quiet("mkfs.erofs", path, self.tree))

    def squashfs(self):
        need("mksquashfs", "squashfs-tools")
        return once(os.path.join(self.work, self.name + ".squashfs"),
                    lambda path: quiet("mksquashfs", self.tree, path, "-comp", "zstd",
                                       "-Xcompression-level", "3", "-noappend", "-quiet"))


__all__ = ["Image", "PROGRAMS", "Skip"]
