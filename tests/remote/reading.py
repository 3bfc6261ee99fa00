# SPDX-License-Identifier: Apache-2.0
"""Runs the programs under test for the scripts of this folder."""
import collections
import concurrent.futures
import hashlib
import os
import re
import subprocess
import sys
import threading

from server import GOLDEN, ROOT, boot_of

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

FULL = bool(os.environ.get("RAFS_TEST_FULL"))
# Nothing of the user's: what a test needs it says.
# An empty RAFS_CACHE_DIR: nothing is kept where the user keeps his.
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
    if name in os.environ:
        ENV[name] = os.environ[name]

programs = {}


class SharedReport(Report):
    """For tests that run beside each other, as most of them wait."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def check(self, name, good, detail=""):
        with self.lock:
            return super().check(name, good, detail)

    def run(self, tests, only, at_once=4):
        """Functions by name, all or one."""
        chosen = [t for n, t in tests.items() if only in (None, n)]
        if not chosen:
            self.check(f"there is a test {only}", False)
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for done in [pool.submit(t) for t in chosen]:
                done.result()


report = SharedReport()


def set_programs(rafs):
    programs["rafs"] = os.path.abspath(rafs)
    programs["reader"] = os.path.join(os.path.dirname(programs["rafs"]), "remote_reader")


def rafs(*args, env=None):
    return subprocess.run([programs["rafs"]] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=200,
                          env=dict(ENV, **(env or {})))


def shown(run):
    return f"exit {run.returncode}, {run.stderr[-600:]!r}"


def digest_of(kind, *paths):
    """SHA-256 of what is in these files, as the image on disk has it."""
    total = hashlib.sha256()
    for path in paths:
        total.update(rafs("cat", boot_of(kind), path).stdout)
    return total.hexdigest()


class Outcome:
    """What the reader printed."""

    def __init__(self, code, out, log):
        self.code, self.log = code, log
        self.counts = collections.Counter()
        self.asked = self.longest = 0
        self.text = out
        for line in out.splitlines():
            first, _, rest = line.partition(" ")
            if first == "asked":
                self.asked = int(rest)
            elif first == "longest":
                self.longest = int(rest)
            else:
                self.counts[rest] += int(first)

    def good(self, digest=None):
        return sum(n for t, n in self.counts.items()
                   if t.startswith("ok ") and digest in (None, t[3:]))

    def all(self):
        return sum(self.counts.values())

    def bad(self):
        return {t: n for t, n in self.counts.items() if not t.startswith("ok ")}

    def only(self, code):
        """Nothing but errors of this code."""
        return self.all() > 0 and all(re.match(code + r"\b", t) for t in self.counts)

    def __str__(self):
        return f"exit {self.code}\n{self.text[-3000:]}{self.log[-1000:]}"


def start_reader(*args, env=None):
    return subprocess.Popen([programs["reader"]] + [str(a) for a in args],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=dict(ENV, **(env or {})))


def end_reader(child, jobs=("-",), seconds=200):
    out, log = child.communicate("".join(j + "\n" for j in jobs).encode(), timeout=seconds)
    if child.returncode != 0:  # a sanitizer has something to say
        report.check("the reader ends well", False, f"{child.args}\n{log[-5000:].decode()}")
    return Outcome(child.returncode, out.decode(errors="replace"),
                   log.decode(errors="replace"))


def reader(*args, jobs=("-",), env=None, seconds=200):
    return end_reader(start_reader(*args, env=env), jobs, seconds)


def full(short, long):
    return long if FULL else short


__all__ = ["ENV", "FULL", "GOLDEN", "ROOT", "boot_of", "digest_of", "end_reader", "full",
           "programs", "rafs", "reader", "report", "set_programs", "shown", "start_reader"]
