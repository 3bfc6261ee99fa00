#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What only a FUSE mount has: readers that wait for the worker, and mounts without root.

Usage: run_fuse.py --rafs PATH [--only TEST,...]

A reader that is killed while it waits is gone at once, and what it asked for is given up;
one that gets another signal waits on; a worker that is killed while readers wait costs them
nothing; a mount whose readers all wait still answers for names. The kernel asks once for
what never changes. In a user namespace and by fusermount3 it works for anybody. What holds
for both ways of mounting is in run_proof.py, run_kills.py and run_mount_faults.py.
"""
import argparse
import ctypes
import errno
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import mounting
from content import Content
from faulty import Registry
from mounting import PATIENCE, ROOT, Refused, Session
from table import Table

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

LIMIT = 60       # seconds: --timeout of a mount whose readers are to be let go earlier
AT_ONCE = 20     # seconds that a busy machine may take for what is done at once
NOBODY = 65534
BLOCK = 4096
MS_BIND = 4096
report = Report()
libc = ctypes.CDLL(None, use_errno=True)
libc.pread.restype = ctypes.c_ssize_t
libc.pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64]


def check(name, good, detail=""):
    return report.check(name, good, detail)


# --- readers -----------------------------------------------------------------------------

def direct_read(path, want):
    """Past the page cache, where signals interrupt; not tried again after one as Python
    would. 0: right; else errno, or 200 for wrong bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    room = mmap.mmap(-1, 16 * BLOCK)
    address = ctypes.addressof(ctypes.c_char.from_buffer(room))
    got = libc.pread(fd, address, len(room), 0)
    if got < 0:
        return ctypes.get_errno()
    return 0 if room[:got] == want[:got] and got == min(len(room), len(want)) else 200


def plain_read(path, want):
    with open(path, "rb", buffering=0) as f:
        return 0 if f.readall() == want else 200


class Reader:
    """A process that reads one file; it ends with what `how` gives."""

    def __init__(self, path, want, how=plain_read, alarms=False):
        self.code = None
        self.pid = os.fork()
        if self.pid:
            return
        code = 201
        try:
            if alarms:
                signal.signal(signal.SIGALRM, lambda *_: None)
                signal.siginterrupt(signal.SIGALRM, True)
                signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
            code = how(path, want)
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)  # pylint: disable=protected-access

    def kill(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)

    def end(self, seconds):
        """Its exit code, minus the signal; None: it still waits."""
        until = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                return None
            else:
                time.sleep(0.002)
        return self.code


class Waiting:
    """A mount whose source says nothing, until it does."""

    def __init__(self, session, work, name, *more, count=4, size=200_000):
        self.session = session
        self.content = Content(session.rafs, work, name, count=count, size=size, never=BLOCK)
        self.registry = Registry(self.content)
        self.readers = []
        empty = self.session.folder("empty")
        boot = os.path.join(empty, "image.boot")
        shutil.copy(self.content.image, boot)
        self.point = session.mount(
            "fuse", boot, "--blob-dir", empty, "--blob-source", self.registry.url, "--no-trace",
            "--timeout", str(LIMIT), *more)
        self.files = self.content.at(self.point)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.registry.become("good")
        for reader in self.readers:
            reader.kill()
            reader.end(AT_ONCE)
        problem = self.session.umount(self.point)
        check("unmounts", not problem, problem)
        self.registry.server.stop()

    def start(self, count, how=plain_read, **more):
        new = [Reader(*self.files[i % len(self.files)], how, **more) for i in range(count)]
        self.readers += new
        return new

    def row(self):
        return next(row for row in self.session.status() if row["dir"] == self.point)

    def wait_until(self, good, seconds=AT_ONCE):
        until = time.monotonic() + seconds
        while not good(self.row()):
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True


# --- readers who wait --------------------------------------------------------------------

def killed_readers(session, work):
    """Gone at once, whether they wait in the page cache or past it."""
    with Waiting(session, work, "killed") as w:
        w.registry.become("hang")
        for name, how in (("in the page cache", plain_read), ("with O_DIRECT", direct_read)):
            reader, = w.start(1, how)
            check(f"a reader {name} waits", w.wait_until(lambda row: row["waiting"] > 0))
            reader.kill()
            check(f"and is gone once it is killed {name}",
                  reader.end(AT_ONCE) == -signal.SIGKILL, "it still waits")
        # What was asked for by readahead nobody can interrupt; the rest is given up.
        reader, = w.start(1, direct_read)
        before = w.row()["waiting"]
        reader.kill()
        reader.end(AT_ONCE)
        check("what a killed reader asked for is given up",
              w.wait_until(lambda row: row["waiting"] <= max(before - 1, 1)), w.row())
        w.registry.become("good")
        good = [Reader(path, want).end(PATIENCE) for path, want in w.files]
        check("afterwards all is read", good == [0] * len(good), good)


def signals_that_kill_nobody(session, work):
    """A handler runs, and the read goes on: no error that no other file system gives."""
    with Waiting(session, work, "alarms") as w:
        w.registry.become("hang")
        readers = w.start(4, direct_read, alarms=True) + w.start(4, plain_read, alarms=True)
        check("readers with timers wait", w.wait_until(lambda row: row["waiting"] > 0))
        gone = [readers[0].end(1)]  # a time in which many signals come
        gone += [r.end(0) for r in readers[1:]]
        check("signals end no read", gone == [None] * len(gone), gone)
        w.registry.become("good")
        codes = [r.end(PATIENCE) for r in readers]
        check("and all is read without an error", codes == [0] * len(codes), codes)


def worker_killed_while_readers_wait(session, work):
    """What it had read of their requests comes again, to the next one."""
    with Waiting(session, work, "resend", count=12) as w:
        table = Table(session, w.point)
        w.registry.become("hang")
        readers = w.start(8) + w.start(4, direct_read)
        check("readers wait", w.wait_until(lambda row: row["waiting"] > 0))
        for _ in range(8):
            pid = table.pid("worker")
            os.kill(pid, signal.SIGKILL)
            check("another worker comes", table.wait_for("worker", pid) > 0)
            check("it hears of the readers", w.wait_until(lambda row: row["waiting"] > 0))
        check("no reader has got an error", all(r.end(0) is None for r in readers),
              [r.end(0) for r in readers])
        w.registry.become("good")
        codes = [r.end(PATIENCE) for r in readers]
        check("all is read without an error", codes == [0] * len(codes), codes)


def names_while_all_readers_wait(session, work):
    """More readers than threads: whoever asks for a name does not wait for them."""
    with Waiting(session, work, "names", "--threads", "2", count=12) as w:
        w.registry.become("hang")
        readers = w.start(40, direct_read) + w.start(40)
        check("readers wait", w.wait_until(lambda row: row["waiting"] > 2))
        begun = time.monotonic()
        for i in range(50):
            try:
                os.stat(f"{w.point}/not-there-{i}")
                check("what is not there", False, i)
            except FileNotFoundError:
                pass
        os.statvfs(w.point)
        check("names are looked up meanwhile", time.monotonic() - begun < AT_ONCE,
              time.monotonic() - begun)
        for reader in readers[::2]:
            reader.kill()
        gone = [r.end(AT_ONCE) for r in readers[::2]]
        check("readers whose turn has not come can be killed too",
              gone == [-signal.SIGKILL] * len(gone), gone)
        w.registry.become("good")
        codes = [r.end(PATIENCE) for r in readers[1::2]]
        check("the others read all without an error", codes == [0] * len(codes), codes)


def deadline_of_a_reader(session, work):
    with Waiting(session, work, "deadline", "--timeout", "1") as w:
        w.registry.become("hang")
        reader, = w.start(1, direct_read)
        code = reader.end(1 + AT_ONCE)
        check("past the deadline a read ends in ETIMEDOUT", code == errno.ETIMEDOUT, code)
        said = w.row()
        check("the status says that, and of what", said["failures"] > 0 and
              "inode" in str(said), said)


# --- what the kernel keeps ---------------------------------------------------------------

def asked_once(session, work):
    """Names, attributes, links, listings and content stay in the kernel; files are read
    without being opened."""
    content = Content(session.rafs, work, "kept", count=20, size=100_000)
    os.symlink("f0000", os.path.join(content.source, "d0", "link"))
    point = session.mount("fuse", content.image, "--no-trace")

    def look():
        seen = []
        for base, _, files in os.walk(point):
            for name in files:
                path = os.path.join(base, name)
                st = os.lstat(path)
                seen.append((path, st.st_ino, st.st_size))
                with open(path, "rb", buffering=0) as f:  # else it asks for a terminal
                    seen.append(f.readall())
        try:
            os.lstat(point + "/nothing")
        except FileNotFoundError:
            pass
        return seen

    def events():
        return next(row["reads"] for row in session.status() if row["dir"] == point)

    first = look()
    before = events()
    second = look()
    more = events() - before
    check("the same once more", first == second)
    check("the kernel asks for nothing twice", more == 0, f"{more} requests")
    inodes = [row[1] for row in first if isinstance(row, tuple)]
    check("each file has a number of its own", len(set(inodes)) == len(inodes))
    check("the root has one", os.stat(point).st_ino > 0)
    session.umount(point)
    again = session.mount("fuse", content.image, "--no-trace", point=point)
    check("the numbers are the same in the next mount",
          [(p, os.lstat(p).st_ino) for p, *_ in (r for r in first if isinstance(r, tuple))] ==
          [(r[0], r[1]) for r in first if isinstance(r, tuple)])
    session.umount(again)


# --- without root ------------------------------------------------------------------------

INSIDE = r'''
set -e
rafs=$1 image=$2 point=$3 want=$4
"$rafs" mount --via fuse --no-trace "$image" "$point"
got=$(find "$point" -type f -exec sha256sum {} + | sed "s| .*/| |" | sort | sha256sum)
"$rafs" umount "$point"
[ "$got" = "$want" ] || { echo "read: $got, not $want" >&2; exit 9; }
'''


def sums_of(folder):
    done = subprocess.run(
        ["sh", "-c", 'find "$1" -type f -exec sha256sum {} + | sed "s| .*/| |" | sort | sha256sum',
         "sh", folder], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def as_anybody(session, content, words, **more):
    """Mount, read all, unmount, as another user or in a namespace."""
    folder = tempfile.mkdtemp(prefix="rafs-anybody-")
    try:
        for name in ("state", "point", "cache"):
            os.mkdir(os.path.join(folder, name), 0o700)
        for base, _, _ in os.walk(folder):
            os.chown(base, more.get("user", 0), more.get("group", 0))
        env = dict(session.env, RAFS_STATE_DIR=os.path.join(folder, "state"), HOME=folder,
                   RAFS_CACHE_DIR=os.path.join(folder, "cache"))
        done = subprocess.run(
            [*words, "sh", "-c", INSIDE, "sh", session.rafs, content.image,
             os.path.join(folder, "point"), sums_of(content.source)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=PATIENCE, env=env, check=False, **more)
        return done.returncode, done.stdout.decode("utf-8", "replace")[-800:]
    finally:
        while mounting.mounted(os.path.join(folder, "point")):
            if mounting.mounts.libc.umount2(os.fsencode(folder + "/point"), 2) != 0:
                break
        shutil.rmtree(folder, ignore_errors=True)


def anybody_can(content, session):
    """The test's files have to be readable for others."""
    path = content.image
    while len(path) > len(tempfile.gettempdir()):
        path = os.path.dirname(path)
        os.chmod(path, 0o755)
    done = subprocess.run([session.rafs, "--version"], user=NOBODY, group=NOBODY, check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def fuse_for_all(work):
    """/dev/fuse as udev makes it, if need be in this namespace of mounts only."""
    if os.stat("/dev/fuse").st_mode & 0o006:
        return True
    node = os.path.join(work, "fuse")
    try:
        os.mknod(node, 0o20666, os.stat("/dev/fuse").st_rdev)
        os.chmod(node, 0o666)
        with open(node, "rb"):
            pass
    except OSError:
        return False
    return mounting.mounts.libc.mount(os.fsencode(node), b"/dev/fuse", None, MS_BIND, None) == 0


def without_root(session, work):
    content = Content(session.rafs, work, "anybody", count=10, size=50_000)
    try:
        may = anybody_can(content, session)
    except OSError:
        may = False
    probe = subprocess.run(["unshare", "-Urm", "true"], check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if probe.returncode != 0:
        report.skip("a user namespace", "unshare -Urm does not work here")
    else:
        code, said = as_anybody(session, content, ["unshare", "-Urm"])
        check("in a user namespace it is mounted and read", code == 0, f"exit {code}: {said}")
    helper = shutil.which("fusermount3")
    if not helper:
        report.skip("fusermount3", "it is not installed (Debian: fuse3)")
    elif not may:
        report.skip("fusermount3", "another user cannot run this rafs")
    elif not fuse_for_all(work):
        report.skip("fusermount3", "/dev/fuse is for root alone here")
    elif not os.stat(helper).st_mode & 0o4000:
        report.skip("fusermount3", "it is not set-user-id root here")
    else:
        code, said = as_anybody(session, content, [], user=NOBODY, group=NOBODY,
                                extra_groups=[])
        check("another user mounts it by fusermount3", code == 0, f"exit {code}: {said}")


TESTS = (killed_readers, signals_that_kill_nobody, worker_killed_while_readers_wait,
         names_while_all_readers_wait, deadline_of_a_reader, asked_once, without_root)


def run_all(args, work):
    with Session(args.rafs, work) as session:
        why = mounting.usable(session, "fuse",
                              os.path.join(ROOT, "tests", "golden", "v6-none", "image.boot"))
    if why:
        report.skip("fuse", why)
        return
    for test in TESTS:
        if args.only and test.__name__ not in args.only.split(","):
            continue
        begun = time.monotonic()
        with Session(args.rafs, work) as session:
            try:
                test(session, session.work)
            except (Refused, ValueError, LookupError, OSError, StopIteration,
                    subprocess.SubprocessError) as error:
                check(test.__name__, False, repr(error))
        print(f"# {test.__name__}: {time.monotonic() - begun:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--only")
    args = parser.parse_args()
    args.rafs = os.path.abspath(args.rafs)
    why = mounting.obstacle(args.rafs)
    if why:
        report.skip("FUSE mounts", why)
        return report.finish()
    before = mounting.kernel_log()
    work = tempfile.mkdtemp(prefix="rafs-fuse-")
    try:
        run_all(args, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    mounting.check_kernel_log(report, before)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
