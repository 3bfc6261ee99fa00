# SPDX-License-Identifier: Apache-2.0
"""Tar files byte by byte, since no tool writes the wrong ones; and what `rafs build` makes
of them."""
import json
import os
import shutil
import subprocess

BLOCK = 512
END = bytes(2 * BLOCK)
USTAR, GNU = b"ustar\x0000", b"ustar  \0"
ENV = dict(os.environ, RAFS_CACHE_DIR="", SOURCE_DATE_EPOCH="")
del ENV["SOURCE_DATE_EPOCH"]


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def number(value, width):
    """Octal, or base 256 where that has no room."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    raw = value.to_bytes(width, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


def checked(block):
    """With the checksum that a header needs."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def header(name, kind=b"0", size=0, mode=0o644, uid=0, gid=0, mtime=0, target=b"",
           magic=USTAR, device=(0, 0), prefix=b"", patch=()):
    """One block; patch: pairs of position and bytes, put in before the checksum is made."""
    block = bytearray(BLOCK)
    fields = [(0, name[:100]), (100, number(mode, 8)), (108, number(uid, 8)),
              (116, number(gid, 8)), (124, number(size, 12)), (136, number(mtime, 12)),
              (156, kind), (157, target[:100]), (257, magic), (345, prefix)]
    if kind in b"34":
        fields += [(329, number(device[0], 8)), (337, number(device[1], 8))]
    for at, data in fields + list(patch):
        block[at:at + len(data)] = data
    return checked(block)


def entry(name, data=b"", **more):
    """A header with its content."""
    more.setdefault("size", len(data))
    return header(name, **more) + padded(data)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while length != len(b"%d" % length) + len(body):
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def extended(records, kind=b"x"):
    """A pax header of records, pairs or bytes as they are."""
    raw = records if isinstance(records, bytes) else b"".join(record(*r) for r in records)
    return entry(b"PaxHeaders/x", raw, kind=kind)


def pax(records, name=b"short", data=b"", **more):
    return extended(records) + entry(name, data, **more)


def long_name(name, kind=b"L"):
    return entry(b"././@LongLink", name + b"\0", kind=kind, magic=GNU)


class Builder:
    """Runs the command."""

    def __init__(self, rafs, work):
        self.rafs, self.work = rafs, work
        self.out = os.path.join(work, "out")
        self.status, self.said = 0, ""

    def build(self, tar, *options, timeout=60):
        """From bytes, through a pipe. The exit status; what it said is in self.said."""
        return self.make(["-"], *options, data=tar, timeout=timeout)

    def make(self, sources, *options, data=b"", timeout=60):
        shutil.rmtree(self.out, ignore_errors=True)
        log = os.path.join(self.work, "log")
        with open(log, "wb") as err, subprocess.Popen(
                [self.rafs, "build", "--no-sync", "--progress", "none", *options, "-o",
                 self.out, *sources], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=err, env=ENV) as child:
            try:
                child.communicate(data, timeout=timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
        with open(log, "rb") as f:
            self.said = f.read().decode(errors="replace")
        self.status = child.returncode
        return self.status

    def memory(self, path, *options, timeout=120):
        """Build from a file; the memory in KiB that it took at most."""
        shutil.rmtree(self.out, ignore_errors=True)
        log = os.path.join(self.work, "log")
        with open(path, "rb") as tar, open(log, "wb") as err:
            pid = subprocess.Popen(  # pylint: disable=consider-using-with
                [self.rafs, "build", "--no-sync", "--progress", "none", "--timeout",
                 str(timeout), *options, "-o", self.out, "-"], stdin=tar,
                stdout=subprocess.DEVNULL, stderr=err, env=ENV).pid
            _, status, usage = os.wait4(pid, 0)
        with open(log, "rb") as f:
            self.said = f.read().decode(errors="replace")
        self.status = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss

    def image(self):
        return os.path.join(self.out, "image.boot")

    def rows(self, digests=True):
        """What is in the image, by path; names are bytes as latin-1."""
        options = ["--digest", "sha256"] if digests else []
        ran = subprocess.run([self.rafs, "ls", "-R", "--json", *options, self.image()],
                             stdout=subprocess.PIPE, check=False, env=ENV)
        rows = [json.loads(line) for line in ran.stdout.splitlines()]
        return {row["path"]: row for row in rows}

    def stat(self, *paths):
        ran = subprocess.run([self.rafs, "stat", "--json", self.image(), *paths],
                             stdout=subprocess.PIPE, check=False, env=ENV)
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def bootstrap(self):
        with open(self.image(), "rb") as f:
            return f.read()

    def crashed(self):
        return self.status < 0 or self.status > 100 or "Sanitizer" in self.said
