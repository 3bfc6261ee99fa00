# SPDX-License-Identifier: Apache-2.0
"""`rafs mount` for the tests of this folder: daemons of their own, in a mount namespace of
their own, which is also how their processes are known. Needs root; see obstacle()."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import mounts  # noqa: E402

FULL = bool(os.environ.get("RAFS_TEST_FULL"))
# As the tests call them: "events" is the kernel way without a fence.
WAYS = ("kernel", "events", "fuse")
WORDS = {"kernel": ["--via", "kernel"], "events": ["--via", "kernel", "--fill", "events"],
         "fuse": ["--via", "fuse"]}
UNSUPPORTED = 4
PATIENCE = 120  # seconds after which something hangs
MNT_DETACH = 2
# What the kernel says of mounts and of reads that failed, as it has to; and ext4, which
# splits an extent that was reserved when less of it was written, for want of room.
EXPECTED_IN_LOG = re.compile(
    r"erofs.*(mounted with root inode|unmounted|read error|readahead error|failed to read)"
    r"|erofs.*error.*-5"
    r"|fuse: init|ext4_convert_unwritten_extents_endio.*finished: extent logical block")
# And what it must not say: of what we use, or that it is itself in trouble. Programs that
# other tests crash are none of this.
BAD_IN_LOG = re.compile(
    r"WARNING|BUG|Oops|general protection|Call Trace|hung task|blocked for more than"
    r"|lockdep|use-after-free|KASAN|UBSAN|soft lockup|rafs.*segfault|segfault.*rafs|refcount"
    r"|erofs|fanotify|fuse", re.I)


class Refused(Exception):
    """`rafs mount` ended with an exit code other than 0."""

    def __init__(self, code, text):
        super().__init__(f"exit {code}, {text}")
        self.code = code


def obstacle(rafs):
    """Why nothing can be mounted here, or None; then we are in a namespace of our own."""
    if subprocess.run([rafs, "mount", "--help"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "this rafs has no `rafs mount`"
    return mounts.no_mounts()


# --- processes ---------------------------------------------------------------------------

def parents():
    """Parent by process, of all."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                    found[int(name)] = int(f.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    return found


def is_rafs(pid, rafs):
    try:
        return os.readlink(f"/proc/{pid}/exe") == rafs and \
            os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:
        return False


def daemons(rafs):
    """All processes of `rafs` in this namespace."""
    rafs = os.path.realpath(rafs)
    return {pid for pid in parents() if is_rafs(pid, rafs)}


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def counts(pid):
    """Descriptors, threads, anonymous memory in KiB."""
    seen = {"fds": 0, "threads": 0, "anon": 0}
    try:
        seen["fds"] = len(os.listdir(f"/proc/{pid}/fd"))
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("Threads:"):
                    seen["threads"] = int(line.split()[1])
                elif line.startswith("RssAnon:"):
                    seen["anon"] = int(line.split()[1])
    except OSError:
        pass
    return seen


# --- mounts ------------------------------------------------------------------------------

class Session:
    """Daemons of one test: their state, their caches, and that nothing of them stays."""

    def __init__(self, rafs, work):
        self.rafs = os.path.realpath(rafs)
        self.work = tempfile.mkdtemp(prefix="session-", dir=work)
        self.state = os.path.join(self.work, "state")
        os.mkdir(self.state, 0o700)
        self.env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": self.work,
                    "RAFS_STATE_DIR": self.state, "RAFS_CACHE_DIR": ""}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.points = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def run(self, *words, timeout=PATIENCE):
        return subprocess.run([self.rafs, *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, env=self.env, check=False)

    def folder(self, name):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.work)

    def mount(self, way, image, *options, point=None, cache=None):
        """Where it is now. Without `cache`, the kernel gets an empty one."""
        point = point or self.folder("mount")
        words = ["mount", *WORDS[way], *options]
        if cache or way != "fuse":
            words += ["--cache-dir", cache or self.folder("cache")]
        done = self.run(*words, image, point)
        if done.returncode != 0:
            raise Refused(done.returncode, done.stderr.decode("utf-8", "replace")[-800:])
        self.points.append(point)
        return point

    def umount(self, point, *options):
        """None, or what went wrong."""
        done = self.run("umount", *options, point)
        if done.returncode == 0:
            self.points.remove(point)
            return None
        return f"exit {done.returncode}, {done.stderr.decode('utf-8', 'replace')[-400:]}"

    def status(self):
        """A row for each mount of these daemons."""
        done = self.run("status", "--json")
        if done.returncode != 0:
            raise ValueError(f"rafs status: exit {done.returncode}, {done.stderr[-400:]!r}")
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def processes(self):
        return daemons(self.rafs)

    def settled(self):
        """Wait for its processes to end; do they?"""
        end = time.monotonic() + 20
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        return not self.processes()

    def end(self):
        for point in reversed(self.points):
            try:
                self.run("umount", "--lazy", point, timeout=30)
            except (subprocess.TimeoutExpired, OSError):
                pass
            while os.path.ismount(point) or mounted(point):
                if mounts.libc.umount2(os.fsencode(point), MNT_DETACH) != 0:
                    break
        self.points.clear()
        end = time.monotonic() + 10
        while self.processes() and time.monotonic() < end:
            time.sleep(0.02)
        for _ in range(20):  # each starts the other anew: stop all, then kill all
            left = self.processes()
            if not left:
                break
            for signum in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    try:
                        os.kill(pid, signum)
                    except ProcessLookupError:
                        pass
            time.sleep(0.05)
        shutil.rmtree(self.work, ignore_errors=True)


def mounted(point):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return any(line.split()[4] == point for line in f)


def usable(session, way, image):
    """None if this way works here, else why not. An image is mounted to see."""
    try:
        problem = session.umount(session.mount(way, image))
    except Refused as refused:
        if refused.code == UNSUPPORTED:
            return str(refused)
        raise
    if problem:
        raise ValueError("umount: " + problem)
    return None


def drop_caches():
    """Of the kernel, so that reads reach whoever has the bytes."""
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3")
    except OSError:
        pass


# --- the kernel's log --------------------------------------------------------------------

def kernel_log():
    done = subprocess.run(["dmesg"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    return done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else None


def bad_lines(before, after):
    """What is new in the kernel's log and should not be there."""
    if before is None or after is None:
        return []
    seen = set(before)
    return [line for line in after if line not in seen and BAD_IN_LOG.search(line)
            and not EXPECTED_IN_LOG.search(line)]


def check_kernel_log(report, before):
    after = kernel_log()
    if before is None or after is None:
        report.skip("kernel log", "dmesg cannot be read")
        return
    bad = bad_lines(before, after)
    report.check("the kernel's log has no new warnings", not bad, "\n".join(bad[:20]))
