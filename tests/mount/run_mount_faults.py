#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is around a mount fails, while readers compare every byte.

Usage: run_mount_faults.py --rafs PATH [--way kernel|events|fuse] [--only TEST,...]

A registry that is away, hangs, lies, or lets tokens end; a disk that is full; a cache that
others collect, scrub and damage; many mounts one after the other, many readers at once. No
byte is wrong, nobody waits longer than the deadline, and what was broken works again when
its cause is gone. RAFS_TEST_FULL=1: longer and more. Needs root.
"""
import argparse
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import mounting
from content import Content
from crowd import Crowd
from faulty import Registry
from mounting import FULL, PATIENCE, ROOT, Refused, Session
from table import Table

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from registry import start_registry  # noqa: E402
from report import Report  # noqa: E402

SLACK = 25  # seconds that a busy machine may add to a deadline
FAILED = (errno.EIO, errno.ETIMEDOUT, errno.ENOSPC)
report = Report()


class Place:
    """A way, its session, and the images."""

    def __init__(self, way, session, work, rafs):
        self.way, self.session, self.work, self.rafs = way, session, work, rafs

    def content(self, name, **more):
        return Content(self.rafs, self.work, f"{name}-{self.way}", **more)

    def check(self, name, good, detail=""):
        return report.check(f"{self.way}: {name}", good, detail)

    def crowd(self, content, point, readers=4, **more):
        log = tempfile.mktemp(prefix="readers-", dir=self.session.work)
        return Crowd(content.at(point), readers, log, **more)

    def finish(self, name, crowd, deadline, seconds=PATIENCE):
        """Wait for readers, who must neither hang nor see a wrong byte."""
        stuck = crowd.wait(seconds, deadline + SLACK)
        crowd.end()
        return self.check(f"{name}: no wrong byte, nobody waits longer than the deadline",
                          not stuck and crowd.total("wrong") == 0,
                          f"{stuck}, {crowd.total('wrong')} wrong, {crowd.total('errors')} "
                          f"errors\n{crowd.said()}")

    def whole(self, name, content, point, deadline=60):
        """All of it is right, without an error."""
        crowd = self.crowd(content, point, 2).start()
        self.finish(name, crowd, deadline)
        return self.check(f"{name}: all is read without an error", crowd.total("errors") == 0 and
                          crowd.total("passes") == 2,
                          f"{crowd.total('errors')} errors, {crowd.total('passes')} passes")

    def umount(self, name, point):
        problem = self.session.umount(point)
        self.check(f"{name}: unmounts", not problem, problem)


def remote(registry, content, *more):
    """Words for a mount whose blobs are at the registry only."""
    empty = os.path.join(content.folder, "no-blobs")
    os.makedirs(empty, exist_ok=True)
    return ["--blob-dir", empty, "--blob-source", registry.url, "--no-trace", *more]


def alone(content):
    """The bootstrap without its blobs beside it."""
    path = os.path.join(content.folder, "alone", "image.boot")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path))
        shutil.copy(content.image, path)
    return path


# --- the registry ------------------------------------------------------------------------

def registry_is_away(place):
    """Readers wait, and go on when it is back."""
    content = place.content("away", count=12)
    for how, seconds in (("reset", 1), ("closed", 2), ("error", 1)) if not FULL else \
            (("reset", 30), ("closed", 30), ("error", 30)):
        with Registry(content) as registry:
            point = place.session.mount(place.way, alone(content),
                                        *remote(registry, content, "--timeout", "90"))
            crowd = place.crowd(content, point, tolerated=FAILED, passes=1)
            try:
                if how == "closed":
                    registry.close()
                else:
                    registry.become(how)
                crowd.start()
                time.sleep(seconds)  # the outage itself, not a wait for something
                if how == "closed":
                    registry.listen()
                else:
                    registry.become("good")
                begun = time.monotonic()
                place.finish(f"registry {how} for {seconds} s", crowd, 90)
                print(f"# {place.way}: registry {how} for {seconds} s: readers had all "
                      f"{time.monotonic() - begun:.1f} s afterwards", flush=True)
                place.check(f"registry {how} for {seconds} s: readers waited, none got an error",
                            crowd.total("errors") == 0, crowd.total("errors"))
                place.whole(f"registry {how} for {seconds} s, afterwards", content, point)
            finally:
                crowd.end()
                place.umount(f"registry {how}", point)


def real_registry(place):
    """Debian's docker-registry, which stops for a while: SIGSTOP, then SIGCONT."""
    if not shutil.which("docker-registry"):
        report.skip(f"{place.way}: a real registry", "docker-registry is not installed")
        return
    content = place.content("registry", count=10)
    child, host = start_registry(place.session.folder("registry"))
    point, crowd = None, None
    try:
        image = f"docker://{host}/lib/app:v1"
        done = place.session.run("push", "--progress", "none", content.out, image)
        if not place.check("a real registry: rafs push", done.returncode == 0, done.stderr):
            return
        point = place.session.mount(place.way, image, "--no-trace", "--timeout", "90")
        crowd = place.crowd(content, point, tolerated=FAILED)
        child.send_signal(signal.SIGSTOP)
        crowd.start()
        time.sleep(30 if FULL else 2)  # the outage itself
        child.send_signal(signal.SIGCONT)
        place.finish("a real registry that stops for a while", crowd, 90)
        place.check("a real registry that stops for a while: no error",
                    crowd.total("errors") == 0, crowd.total("errors"))
    finally:
        child.send_signal(signal.SIGCONT)
        if crowd:
            crowd.end()
        if point:
            place.umount("a real registry", point)
        child.kill()
        child.wait()


def deadlines(place):
    """A registry that says nothing: an error in time, and good when it speaks again."""
    content = place.content("deadline", count=2, size=60_000)
    limit = 1
    with Registry(content) as registry:
        point = place.session.mount(place.way, alone(content),
                                    *remote(registry, content, "--timeout", str(limit)))
        try:
            registry.become("hang")
            crowd = place.crowd(content, point, 3, tolerated=FAILED).start()
            place.finish("a registry that hangs", crowd, limit * 8)
            place.check("a registry that hangs: reads end in errors", crowd.total("errors") > 0 and
                        crowd.total("bytes") == 0, f"{crowd.total('errors')} errors, "
                        f"{crowd.total('bytes')} bytes")
            print(f"# {place.way}: deadline {limit} s, the longest wait was "
                  f"{crowd.total('longest_ns') / 1e9:.2f} s", flush=True)
            said = str(place.session.status())
            place.check("a registry that hangs: rafs status says so",
                        registry.name[:12] in said or "deadline" in said or "time" in said, said)
            registry.become("good")
            place.whole("a registry that speaks again", content, point)
        finally:
            registry.become("good")
            place.umount("a registry that hangs", point)


def lies(place):
    """Wrong bytes from the source are an error, whose cause is told, until they are right."""
    content = place.content("lies", count=6, size=300_000)
    with Registry(content) as registry:
        point = place.session.mount(place.way, alone(content),
                                    *remote(registry, content, "--timeout", "20"))
        try:
            registry.become("wrong")
            crowd = place.crowd(content, point, tolerated=(errno.EIO,)).start()
            place.finish("a source with wrong bytes", crowd, 20)
            place.check("a source with wrong bytes: every read is EIO",
                        crowd.total("bytes") == 0 and crowd.total("errors") > 0,
                        f"{crowd.total('bytes')} bytes")
            said = str(place.session.status())
            place.check("a source with wrong bytes: rafs status tells blob and cause",
                        registry.name in said and ("digest" in said or "malformed" in said), said)
            registry.become("good")
            place.whole("a source that is right again", content, point)
        finally:
            place.umount("a source with wrong bytes", point)


def corrupted_file(place):
    """The same with a file of a folder: bits turn, and turn back."""
    content = place.content("corrupt", count=6, size=300_000)
    point = place.session.mount(place.way, content.image, "--no-trace", "--timeout", "20")
    try:
        flip(content.blob())
        crowd = place.crowd(content, point, tolerated=(errno.EIO,)).start()
        place.finish("a damaged blob", crowd, 20)
        place.check("a damaged blob: reads are EIO", crowd.total("errors") > 0,
                    crowd.total("errors"))
        flip(content.blob())
        place.whole("a blob that is mended", content, point)
    finally:
        place.umount("a damaged blob", point)


def flip(path, every=512):
    """A bit in each of so many bytes; twice: as it was."""
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        for at in range(0, len(data), every):
            data[at] ^= 1
        f.seek(0)
        f.write(data)


def tokens_end(place):
    content = place.content("tokens", count=8)
    with Registry(content, tokens=True) as registry:
        point = place.session.mount(place.way, alone(content),
                                    *remote(registry, content, "--timeout", "60"))
        try:
            names = sorted(content.files)
            for part in range(0, len(names), 3):
                good = [read_all(os.path.join(point, n)) == content.files[n]
                        for n in names[part:part + 3]]
                place.check("reads between tokens", all(good), good)
                with registry.lock:  # all tokens end now
                    registry.ends.clear()
            place.whole("tokens that end", content, point)
            place.check("tokens that end: new ones were asked for", registry.given > 1,
                        registry.given)
        finally:
            place.umount("tokens that end", point)


def read_all(path):
    with open(path, "rb", buffering=0) as f:
        return f.readall()


# --- the cache ---------------------------------------------------------------------------

def small_disk(place, mebibytes):
    """A folder on a file system of its own, or None; and its device's file."""
    image = os.path.join(place.session.folder("disk"), "ext4")
    with open(image, "wb") as f:
        f.truncate(mebibytes << 20)
    point = place.session.folder("small")
    for words in (["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image],
                  ["mount", "-o", "loop", image, point]):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            report.skip(f"{place.way}: full disk", f"{words[0]}: {done.stdout.decode()[:200]}")
            return None
    os.rmdir(os.path.join(point, "lost+found"))
    return point


def full_disk(place):
    """What cannot be kept is an error or is served all the same; with room again all is."""
    content = place.content("full", count=4, size=500_000)
    disk = small_disk(place, 2)
    if not disk:
        return
    point = None
    try:
        cache = os.path.join(disk, "cache")
        point = place.session.mount(place.way, content.image, "--no-trace", "--timeout", "20",
                                    "--cache-keep-free", "0", cache=cache)
        crowd = place.crowd(content, point, 2, tolerated=FAILED).start()
        place.finish("a full disk", crowd, 20)
        print(f"# {place.way}: full disk: {crowd.total('errors')} errors, "
              f"{crowd.total('bytes') >> 20} MiB right", flush=True)
        place.check("a full disk: something was read", crowd.total("bytes") > 0)
    finally:
        if point:
            place.umount("a full disk", point)
        subprocess.run(["umount", "-l", disk], check=False)


def others_in_the_cache(place):
    """gc and scrub of another process, again and again, on the cache of a mount."""
    content = place.content("others", count=20)
    cache = place.session.folder("shared-cache")
    stop, ran = threading.Event(), []

    def others():
        while not stop.is_set():
            for words in (["cache", "gc", "--cache-quota", "1M"], ["cache", "scrub"]):
                done = place.session.run(*words, "--cache-dir", cache)
                ran.append((words[1], done.returncode, done.stderr[-200:]))

    os.rmdir(cache)
    point = place.session.mount(place.way, content.image, "--no-trace", cache=cache)
    thread = threading.Thread(target=others)
    thread.start()
    try:
        crowd = place.crowd(content, point, passes=4 if not FULL else 40).start()
        place.finish("gc and scrub meanwhile", crowd, 60)
        place.check("gc and scrub meanwhile: no error", crowd.total("errors") == 0,
                    crowd.total("errors"))
    finally:
        stop.set()
        thread.join()
        place.umount("gc and scrub meanwhile", point)
    bad = [one for one in ran if one[1] != 0]
    place.check("gc and scrub meanwhile: they ran without findings", ran and not bad, bad[:3])


def damaged_cache(place):
    """Bytes of the cache are turned after mounting and before they are read: fetched anew,
    never served."""
    content = place.content("damaged", count=12)
    cache = place.session.folder("damaged-cache")
    os.rmdir(cache)
    point = place.session.mount(place.way, content.image, "--no-trace", cache=cache)
    place.whole("before the damage", content, point)
    place.umount("before the damage", point)
    point = place.session.mount(place.way, content.image, "--no-trace", cache=cache)
    try:
        hurt = damage(cache)
        place.check("there is something in the cache to damage", hurt > 0)
        mounting.drop_caches()
        place.whole("a damaged cache", content, point)
    finally:
        place.umount("a damaged cache", point)
    done = place.session.run("cache", "scrub", "--cache-dir", cache)
    place.check("a damaged cache: it is mended", done.returncode == 0, mounting.mounts.message(done))


def damage(cache, large=256 << 10):
    """Bits in each page of every large file. How many files."""
    hurt = 0
    for base, _, files in os.walk(cache):
        for name in files:
            path = os.path.join(base, name)
            if os.path.getsize(path) >= large:
                flip_data(path)
                hurt += 1
    return hurt


def flip_data(path):
    """As flip(), in place, where there is data."""
    fd = os.open(path, os.O_RDWR)
    try:
        at, size = 0, os.fstat(fd).st_size
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            page = bytearray(os.pread(fd, 4096, at))
            if page:
                page[len(page) // 2] ^= 0x40
                os.pwrite(fd, page, at)
            at = (at // 4096 + 1) * 4096
    finally:
        os.close(fd)


# --- many --------------------------------------------------------------------------------

def many_mounts(place):
    """Images that change, in one daemon, at one folder: always the right one."""
    cycles = 300 if FULL else 30
    contents = [place.content(f"cycle{i}", count=3, size=60_000, never=8192,
                              version="56"[i % 2]) for i in range(5)]
    session = place.session
    anchor = session.mount(place.way, contents[0].image, "--daemon", "many", "--no-trace")
    point, rng, wrong = session.folder("again"), random.Random(7), []
    cache = session.folder("many-cache")
    os.rmdir(cache)
    try:
        table, before = Table(session, anchor), None
        for cycle in range(cycles):
            content = rng.choice(contents)
            session.mount(place.way, content.image, "--daemon", "many", "--no-trace",
                          point=point, cache=cache)
            for path, want in content.at(point):
                if read_all(path) != want:
                    wrong.append((cycle, path))
            problem = session.umount(point)
            if problem:
                wrong.append((cycle, problem))
                break
            if cycle == 9:
                before = daemon_counts(table)
        place.check(f"{cycles} mounts of changing images show the right one", not wrong,
                    wrong[:5])
        flat(place, f"{cycles} mounts", before, table)
    finally:
        if point in session.points:
            session.umount(point, "--lazy")
        place.umount("the last of many", anchor)


def daemon_counts(table):
    return {role: mounting.counts(pid) for role, pid in table.trio().items() if pid > 0}


def flat(place, name, before, table):
    """Descriptors, threads and memory; asked again until they are, or 20 s."""
    end = time.monotonic() + 20
    while True:
        after = daemon_counts(table)
        grown = {(role, what): (before[role][what], after.get(role, {}).get(what, 0))
                 for role in before for what in before[role]
                 if after.get(role, {}).get(what, 0) >
                 before[role][what] + {"fds": 3, "threads": 1, "anon": 8192}[what]}
        if not grown or time.monotonic() > end:
            break
        time.sleep(0.1)
    place.check(f"{name}: descriptors, threads and memory are flat", not grown, grown)


def many_readers(place):
    readers = 1000 if FULL else 200
    content = place.content("many-readers", count=20, size=300_000)
    with Registry(content) as registry:
        point = place.session.mount(place.way, alone(content), *remote(registry, content))
        try:
            table = Table(place.session, point)
            # As many once before: threads and connections that are kept count for both.
            first = place.crowd(content, point, readers).start()
            place.finish(f"the first {readers} readers", first, 60, PATIENCE * 3)
            before = daemon_counts(table)
            mounting.drop_caches()
            crowd = place.crowd(content, point, readers).start()
            place.finish(f"{readers} readers", crowd, 60, PATIENCE * 3)
            place.check(f"{readers} readers: no error", crowd.total("errors") == 0 and
                        crowd.total("passes") == readers, crowd.total("errors"))
            flat(place, f"{readers} readers", before, table)
        finally:
            place.umount("many readers", point)


TESTS = (registry_is_away, real_registry, deadlines, lies, corrupted_file, tokens_end,
         full_disk, others_in_the_cache, damaged_cache, many_mounts, many_readers)
# Without a fence events are answered otherwise; what is fetched is the same.
SHORT_OF_EVENTS = (registry_is_away, lies, others_in_the_cache, damaged_cache, many_mounts,
                   many_readers)


def one_way(args, way, work):
    tests = SHORT_OF_EVENTS if way == "events" and not FULL and not args.only else TESTS
    chosen = [t for t in tests if not args.only or t.__name__ in args.only.split(",")]
    for number, test in enumerate(chosen):
        with Session(args.rafs, work) as session:
            place = Place(way, session, session.work, args.rafs)
            if number == 0:
                image = os.path.join(ROOT, "tests", "golden", "v6-none", "image.boot")
                why = mounting.usable(session, way, image)
                if why:
                    report.skip(way, why)
                    return
            begun = time.monotonic()
            try:
                test(place)
            except (Refused, ValueError, LookupError, OSError,
                    subprocess.TimeoutExpired) as error:
                place.check(test.__name__, False, repr(error))
            print(f"# {way}: {test.__name__}: {time.monotonic() - begun:.1f} s", flush=True)
            left = session.processes()
            place.check(f"{test.__name__}: no process is left", session.settled(),
                        f"{left}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--way", choices=mounting.WAYS)
    parser.add_argument("--only")
    args = parser.parse_args()
    args.rafs = os.path.abspath(args.rafs)
    why = mounting.obstacle(args.rafs)
    if why:
        report.skip("faults around mounts", why)
        return report.finish()
    before = mounting.kernel_log()
    work = tempfile.mkdtemp(prefix="rafs-mount-faults-")
    try:
        for way in [args.way] if args.way else mounting.WAYS:
            try:
                one_way(args, way, work)
            except (Refused, ValueError) as error:
                report.check(way, False, error)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    mounting.check_kernel_log(report, before)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
