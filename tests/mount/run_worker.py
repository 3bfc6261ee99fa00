#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The worker of `rafs mount`: what it may do, and what the one after it knows.

Usage: run_worker.py --rafs PATH [--only TEST,...]

A worker is confined; a mount that needs other folders gets a new one; one that is started
anew opens the very image that is mounted, whatever its tag leads to by then, and without a
registry if the cache has what is read; files of the cache that were deleted are errors and
never zeros; traces outlive the mount. Needs root.
"""
import argparse
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import mounting
from content import Content
from mounting import PATIENCE, ROOT, Refused, Session
from table import Table

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from registry import start_registry  # noqa: E402
from report import Report  # noqa: E402

FILLS = ("fence", "events")
report = Report()


class Place:
    def __init__(self, session, fill):
        self.session, self.fill = session, fill

    def check(self, name, good, detail=""):
        return report.check(f"{self.fill}: {name}", good, detail)

    def content(self, name, **more):
        return Content(self.session.rafs, self.session.folder("content"), name, **more)

    def mount(self, image, *options, **more):
        return self.session.mount("kernel", image, "--fill", self.fill, *options, **more)

    def kill_worker(self, point):
        """True once another one runs."""
        table = Table(self.session, point)
        old = table.pid("worker")
        os.kill(old, signal.SIGKILL)
        return table.wait_for("worker", old) > 0

    def reads(self, name, content, point, only=None):
        wrong = []
        for path, want in content.at(point):
            if only and not path.endswith(only):
                continue
            try:
                with open(path, "rb") as f:
                    if f.read() != want:
                        wrong.append(f"{path}: wrong bytes")
            except OSError as error:
                wrong.append(f"{path}: {error}")
        return self.check(f"{name}: all is read and right", not wrong, "\n".join(wrong[:5]))

    def row(self, point):
        return next(row for row in self.session.status() if row["dir"] == point)


def until(condition, seconds=PATIENCE):
    """What `condition` gives once it gives something, or at the end."""
    end = time.monotonic() + seconds
    while True:
        seen = condition()
        if seen or time.monotonic() > end:
            return seen
        time.sleep(0.01)


# --- what it may do ----------------------------------------------------------------------

def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in f)}


def confined(place):
    content = place.content("confined", count=2)
    point = place.mount(content.image)
    pid = Table(place.session, point).wait_for("worker", 0)
    seen = status_of(pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        place.check(f"a worker has no capability ({name})", int(seen[name], 16) == 0, seen[name])
    place.check("a worker gets no new privileges", seen["NoNewPrivs"] == "1", seen["NoNewPrivs"])
    place.check("a worker's system calls are filtered", seen["Seccomp"] == "2", seen["Seccomp"])
    fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    place.check("a worker has nothing that answers events", not any("fanotify" in f for f in fds),
                fds)
    place.reads("a confined worker", content, point)


def other_folders(place):
    """The sandbox of a worker cannot be widened: the next one has what was missing."""
    one, two = place.content("one", count=4), place.content("two", count=4)
    first = place.mount(one.image, "--daemon", "shared")
    table = Table(place.session, first)
    before = table.pid("worker")
    second = place.mount(two.image, "--daemon", "shared")
    place.check("a mount of another folder gets another worker", table.pid("worker") != before,
                before)
    place.reads("a second mount in other folders", two, second)
    place.reads("the first one beside it", one, first)
    for point in (first, second):
        problem = place.session.umount(point)
        place.check("unmounts", problem is None, problem)


def many_links(place):
    """Each link in a folder of blobs needs a rule, and there is room for so many only."""
    content = place.content("links", count=2)
    for i in range(5000):
        target = os.path.join(content.folder, f"t{i}")
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        os.symlink(target, os.path.join(content.blobs, f"link-{i}"))
    point = place.mount(content.image)
    place.check("and another worker after it", place.kill_worker(point))
    place.reads("a folder with more links than rules", content, point)


# --- what the next one knows -------------------------------------------------------------

def moved_tag(place):
    if not shutil.which("docker-registry"):
        report.skip(f"{place.fill}: a tag that moves", "docker-registry is not installed")
        return
    old, new = place.content("old", count=6), place.content("new", count=6)
    cache = place.session.folder("cache")
    child, host = start_registry(place.session.folder("registry"))
    image = f"docker://{host}/lib/app:v1"
    try:
        for version in ("5", "6"):
            if version == "5":
                old = place.content("old5", count=6, version="5")
            push(place, old, image)
            point = place.mount(image, "--no-trace", cache=cache)
            push(place, new, image)
            place.check("a worker after the first one starts", place.kill_worker(point))
            place.reads(f"version {version}, the tag leads elsewhere", old, point)
            problem = place.session.umount(point)
            place.check("unmounts", problem is None, problem)
            old = place.content("old6", count=6)
        offline(place, child, image, new, cache)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def push(place, content, image):
    done = place.session.run("push", "--progress", "none", content.out, image)
    place.check("rafs push", done.returncode == 0, done.stderr)


def offline(place, child, image, content, cache):
    """Everything is cached: nobody needs the registry any more."""
    done = place.session.run("pull", "--progress", "none", "--cache-dir", cache, image)
    place.check("rafs pull", done.returncode == 0, done.stderr)
    point = place.mount(image, "--no-trace", cache=cache)
    child.kill()
    child.wait()
    place.check("without a registry a worker starts", place.kill_worker(point))
    place.reads("without a registry", content, point)
    problem = place.session.umount(point)
    place.check("unmounts", problem is None, problem)


def deleted_cache(place):
    """Behind a fence the new file is read through the worker; else it is an error."""
    content = place.content("deleted", count=3)
    cache = place.session.folder("cache")
    point = place.mount(content.image, "--no-trace", cache=cache)
    path, want = content.at(point)[0]
    with open(path, "rb") as f:
        place.check("before", f.read() == want)
    for data in glob.glob(f"{cache}/*.data") + glob.glob(f"{cache}/*.ready"):
        os.unlink(data)
    place.check("a worker starts", place.kill_worker(point))
    if place.fill == "fence":
        place.reads("the cache's files are gone", content, point)
        return
    path, want = content.at(point)[1]
    try:
        with open(path, "rb") as f:
            got = f.read()
        place.check("what is not in the file any more is an error", False,
                    "right" if got == want else "WRONG BYTES")
    except OSError:
        place.check("what is not in the file any more is an error", True)
    said = place.row(point)["last_failure"] or ""
    place.check("status says why", "deleted" in said, said)


# --- beforehand --------------------------------------------------------------------------

def traces(place):
    content = place.content("traced", count=4)
    cache = place.session.folder("cache")
    for _ in range(2):  # the second adds to what the first one has kept
        point = place.mount(content.image, cache=cache)
        for path, _want in content.at(point)[:2]:
            with open(path, "rb") as f:
                f.read()
        problem = place.session.umount(point)
        place.check("unmounts", problem is None, problem)
    done = until(lambda: shown(place, content, cache))
    place.check("a trace is kept when the mount ends", done)
    for data in glob.glob(f"{cache}/*.data") + glob.glob(f"{cache}/*.ready"):
        os.unlink(data)
    point = place.mount(content.image, cache=cache)
    place.check("and fetched at the next mount, by itself",
                until(lambda: place.row(point)["fetched_bytes"] > 0), place.row(point))
    place.reads("after a trace", content, point)


def shown(place, content, cache):
    done = place.session.run("trace", "show", "--json", "--cache-dir", cache, content.image)
    return done.returncode == 0 and b'"chunk"' in done.stdout


def fetch_all(place):
    content = place.content("all", count=8)
    point = place.mount(content.image, "--prefetch-all")
    table = Table(place.session, point)
    place.check("all is fetched without a reader", until(lambda: place.row(point)["complete"]),
                place.row(point))
    place.check("then no worker is left", until(lambda: table.pid("worker") == 0))
    place.reads("and the kernel reads alone", content, point)


# --- why not -----------------------------------------------------------------------------

def refusals(place):
    content = place.content("refused", count=1)
    for what, code, words in (
            ("an image that is not there", 3, [content.image + ".not"]),
            ("another digest", 1, ["--expect-digest", "sha256:" + "1" * 64, content.image]),
            ("no image", 1, [content.at(content.source)[0][0]])):
        try:
            place.mount(words[-1], *words[:-1])
            place.check(what, False, "it was mounted")
        except Refused as refused:
            text = str(refused)
            place.check(f"{what}: exit {code}, one line", refused.code in (code, 4) and
                        len(text.strip().splitlines()) == 1, text)
    place.check("no mount is left", place.session.status() == [], place.session.status())


TESTS = (confined, other_folders, many_links, moved_tag, deleted_cache, traces, fetch_all, refusals)


def one_fill(args, fill, work):
    image = os.path.join(ROOT, "tests", "golden", "v6-none", "image.boot")
    for number, test in enumerate(TESTS):
        if args.only and test.__name__ not in args.only.split(","):
            continue
        with Session(args.rafs, work) as session:
            place = Place(session, fill)
            try:
                if number == 0:
                    session.umount(place.mount(image))
                test(place)
            except Refused as refused:
                if number == 0 and refused.code == mounting.UNSUPPORTED:
                    report.skip(fill, str(refused))
                    return
                place.check(test.__name__, False, str(refused))
            except (ValueError, LookupError, OSError, subprocess.TimeoutExpired) as error:
                place.check(test.__name__, False, repr(error))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--only")
    args = parser.parse_args()
    args.rafs = os.path.abspath(args.rafs)
    why = mounting.obstacle(args.rafs)
    if why:
        report.skip("the worker of mounts", why)
        return report.finish()
    before = mounting.kernel_log()
    work = tempfile.mkdtemp(prefix="rafs-worker-")
    try:
        for fill in FILLS:
            one_fill(args, fill, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    mounting.check_kernel_log(report, before)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
