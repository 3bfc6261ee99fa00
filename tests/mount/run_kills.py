#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes of a mount are killed at random while readers compare every byte.

Usage: run_kills.py --rafs PATH [--way kernel|events|fuse] [--kills N]
                    [--only worker|pump|all]

Ways: the kernel with a fence, and without one (--fill events), and FUSE. The worker 1,200
times in all (RAFS_TEST_FULL=1: 120,000), pump and holder in turn 60 times each way (2,000),
never both at once: no wrong byte, no error, nobody waits longer than the deadline. Then all
at once: errors and no zeros; with --fill events zeros, as the manual says. Needs root.
"""
import argparse
import errno
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import mounting
from content import Content
from crowd import Crowd
from mounting import FULL, PATIENCE, ROOT, Refused, Session
from table import Table

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

TIMEOUT = 60            # of the mount: seconds that a reader waits at most
SLACK = 20              # and what a busy machine adds
READERS = 4
WORKER_KILLS = {"kernel": 50_000 if FULL else 500, "events": 20_000 if FULL else 200,
                "fuse": 50_000 if FULL else 500}
PAIR_KILLS = 2_000 if FULL else 60
report = Report()


class Killer(threading.Thread):
    """Kills a process of the next role, waits for the one that comes in its place, and
    goes on. `pause`: up to so many seconds are given to each."""

    def __init__(self, table, roles, kills, pause, seed):
        super().__init__(daemon=True)
        self.table, self.roles, self.wanted, self.pause = table, roles, kills, pause
        self.rng = random.Random(seed)
        self.kills, self.problem, self.over = 0, None, threading.Event()
        self.lock, self.left = threading.Lock(), None

    def spare(self, kills):
        """No more than so many for now; None: go on. An image that a few workers die of is
        not opened again, which is as it should be, and no fault of those that are killed."""
        with self.lock:
            self.left = kills

    def kill(self, pid):
        """False: spared, or gone by itself."""
        with self.lock:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    return False
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
            return True

    def run(self):
        last = dict.fromkeys(self.roles, 0)
        while self.kills < self.wanted and not self.over.is_set():
            role = self.roles[self.kills % len(self.roles)]
            for other in self.roles:  # never two at once
                pid = self.table.wait_for(other, last[other])
                if not pid:
                    self.problem = f"no new {other} came after the one that was killed"
                    return
                if other == role:
                    victim = pid
            self.over.wait(self.rng.random() * self.pause)
            if not self.kill(victim):
                continue
            last[role] = victim
            self.kills += 1


def one_round(session, way, content, killer, number):
    """Mount with nothing cached, all readers over all files, unmount. Whether all was well,
    and how many bytes were compared."""
    log = os.path.join(session.work, f"readers-{way}")
    cache = session.folder("cache")
    # Who asks a pump that is killed has to ask again, and says so.
    killer.spare(1 if killer.roles == ("worker",) else 0)
    point = session.mount(way, content.image, "--daemon", "kills", "--no-trace", "--timeout",
                          str(TIMEOUT), cache=cache)
    killer.spare(None)
    crowd = Crowd(content.at(point), READERS, log, passes=2, seed=number).start()
    try:
        stuck = crowd.wait(PATIENCE * 4, TIMEOUT + SLACK)
    finally:
        crowd.end()
    killer.spare(2 if killer.roles == ("worker",) else 0)
    failures = [row["last_failure"] for row in session.status() if row["dir"] == point]
    problem = session.umount(point)
    killer.spare(None)
    shutil.rmtree(cache, ignore_errors=True)
    good = not stuck and crowd.total("wrong") == 0 and crowd.total("errors") == 0
    if not good:
        report.check(f"{way}, round {number}: every byte right, nobody stuck", False,
                     f"{crowd.total('wrong')} wrong, {crowd.total('errors')} errors, {stuck}\n"
                     f"after {killer.kills} kills of {killer.roles}, rafs status: {failures}\n"
                     f"{crowd.said()}")
    if problem:
        report.check(f"{way}, round {number}: unmounts", False, problem)
    return good and not problem, crowd.total("bytes")


def rounds(session, way, content, anchor, roles, kills, pause):
    """Until the killer has killed enough."""
    title = f"{way}: {' and '.join(roles)} killed"
    keep = session.mount(way, anchor.image, "--daemon", "kills", "--no-trace")
    killer = None
    try:
        table = Table(session, keep)
        begun, before = time.monotonic(), resources(table)
        killer = Killer(table, roles, kills, pause, title)
        killer.start()
        number, good, total = 0, True, 0
        while good and killer.is_alive():
            number += 1
            good, some = one_round(session, way, content, killer, number)
            total += some
        killer.over.set()
        killer.join(PATIENCE)
        report.check(f"{title} {kills} times: {number} mounts, every byte right", good and
                     killer.kills >= kills, killer.problem or f"only {killer.kills} kills")
        print(f"# {title} {killer.kills} times in {time.monotonic() - begun:.1f} s: {number} "
              f"mounts, {total >> 20} MiB compared", flush=True)
        settle(table)
        check_flat(title, before, resources(table))
    except (Refused, LookupError, OSError) as error:
        report.check(title, False, f"after {killer.kills if killer else 0} kills: {error}")
    finally:
        if killer:
            killer.over.set()
            killer.join(PATIENCE)
        if keep in session.points:
            session.umount(keep)


def resources(table):
    return {role: mounting.counts(pid) for role, pid in table.trio().items() if pid > 0}


def settle(table):
    """Whoever was killed last is there again."""
    for role in ("holder", "pump"):
        table.wait_for(role, 0, 10)
    time.sleep(0.2)


def check_flat(title, before, after):
    """Kills leave no descriptors behind. Memory of the pump may not grow with them."""
    for role in ("holder", "pump"):
        if role not in before or role not in after:
            report.check(f"{title}: there is a {role} afterwards", False, after)
            continue
        grown = {k: (before[role][k], after[role][k]) for k in before[role]
                 if after[role][k] > before[role][k] + (4096 if k == "anon" else 4)}
        report.check(f"{title}: descriptors, threads, memory of the {role} are flat", not grown,
                     grown)


# --- all at once -------------------------------------------------------------------------

def all_at_once(session, way, content):
    """Nobody is left who could answer. What was verified before may still be read; the
    rest is an error, or what the manual says."""
    point = session.mount(way, content.image, "--no-trace", "--timeout", str(TIMEOUT),
                          "--daemon", "gone")
    read_first = sorted(content.files)[:4]
    good = all(read(os.path.join(point, n)) == content.files[n] for n in read_first)
    report.check(f"{way}: all at once: reads before it", good)
    kill_all(session)
    mounting.drop_caches()
    outcomes = {"right": 0, "wrong": 0, "zeros": 0, "error": 0}
    for name in sorted(content.files):
        for at in range(0, len(content.files[name]), 1 << 16):
            outcomes[outcome(os.path.join(point, name), at, content.files[name])] += 1
    print(f"# {way}: holder, pump and worker killed at once; 64 KiB each: {outcomes}",
          flush=True)
    report.check(f"{way}: all at once: nothing but right bytes, errors or zeros",
                 outcomes["wrong"] == 0, outcomes)
    if way == "events":
        report.check("events: all at once: the manual says that zeros can be read",
                     "zeros" in manual_text(), outcomes)
    else:
        report.check(f"{way}: all at once: what was not verified is an error, never zeros",
                     outcomes["zeros"] == 0 and outcomes["error"] > 0, outcomes)
    problem = session.umount(point, "--lazy")
    report.check(f"{way}: all at once: rafs umount removes what is left", not problem, problem)


def manual_text():
    with open(os.path.join(ROOT, "examples", "rafs", "rafs.1"), encoding="utf-8") as f:
        return f.read()


def kill_all(session):
    """Stopped first, so that nobody starts anybody."""
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for pid in session.processes():
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                pass
    end = time.monotonic() + 10
    while session.processes() and time.monotonic() < end:
        time.sleep(0.01)


def read(path):
    with open(path, "rb", buffering=0) as f:
        return f.read()


def outcome(path, at, content):
    want = content[at:at + (1 << 16)]
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            got = os.pread(fd, len(want), at)
        finally:
            os.close(fd)
    except OSError as error:
        return "error" if error.errno in (errno.EIO, errno.ENOTCONN, errno.ECONNABORTED) \
            else "wrong"
    if got == want:
        return "right"
    return "zeros" if all(a in (0, b) for a, b in zip(got, want)) else "wrong"


# --- all of it ---------------------------------------------------------------------------

def one_way(args, way, work):
    content = Content(args.rafs, work, f"content-{way}", count=16, size=600_000)
    anchor = Content(args.rafs, work, f"anchor-{way}", count=1, size=100_000, never=8192)
    with Session(args.rafs, work) as session:
        why = mounting.usable(session, way, anchor.image)
        if why:
            report.skip(way, why)
            return
        if args.only in ("worker", None):
            rounds(session, way, content, anchor, ("worker",), args.kills or WORKER_KILLS[way], 0.02)
    if args.only in ("pump", None):
        with Session(args.rafs, work) as session:
            rounds(session, way, content, anchor, ("pump", "holder"),
                   args.kills or PAIR_KILLS, 0.05)
    if args.only in ("all", None):
        with Session(args.rafs, work) as session:
            all_at_once(session, way, content)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--way", choices=mounting.WAYS)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--only", choices=("worker", "pump", "all"))
    args = parser.parse_args()
    args.rafs = os.path.abspath(args.rafs)
    why = mounting.obstacle(args.rafs)
    if why:
        report.skip("kills", why)
        return report.finish()
    before = mounting.kernel_log()
    work = tempfile.mkdtemp(prefix="rafs-kills-")
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
