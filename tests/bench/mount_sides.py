# SPDX-License-Identifier: Apache-2.0
"""Who mounts the image in tests/bench/mount. A side is a way; a Mounted is one mount of
it, with the processes that serve it."""

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import time

import nydusd
from servers import Skip

MARK = "RAFS_BENCH_MOUNT"  # in the environment of whoever serves a mount
MNT_DETACH, MS_RDONLY = 2, 1
WAIT_S = 60
libc = ctypes.CDLL(None, use_errno=True)


# --- processes --------------------------------------------------------------------------

def marked(mark):
    """Processes that were started with this mark, and what they started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if f"{MARK}={mark}".encode() in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def memory(pids):
    """(RssAnon, Rss) in bytes of all of them together; of shared pages each counts."""
    total = {"RssAnon": 0, "VmRSS": 0}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                for line in f:
                    key = line.split(":")[0]
                    if key in total:
                        total[key] += int(line.split()[1]) << 10
        except OSError:
            pass
    return total["RssAnon"], total["VmRSS"]


def processor(pids):
    """Seconds of them and of their children that ended."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += sum(int(x) for x in fields[11:15])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


# --- mounts -----------------------------------------------------------------------------

class Source:
    """Where the blobs are: a folder here, or a registry behind a link."""

    def __init__(self, boot, blobs=None, host=None, repo=None):
        self.boot, self.blobs, self.host, self.repo = boot, blobs, host, repo

    def words(self):
        if self.blobs:
            return ["--blob-dir", self.blobs]
        return ["--blob-source", f"docker://{self.host}/{self.repo}"]

    def nydusd(self):
        return nydusd.folder(self.blobs) if self.blobs else \
            nydusd.registry(self.host, self.repo)


class Mounted:
    """One mount at `at`; `ready` seconds passed until it answered."""

    def __init__(self, work):
        self.top = tempfile.mkdtemp(prefix="at-", dir=work)
        self.at = os.path.join(self.top, "mount")
        os.mkdir(self.at)
        self.mark = os.path.basename(self.top)
        self.env = dict(os.environ, **{MARK: self.mark})
        self.ready = 0.0

    def begin(self, mount):
        began = time.monotonic()
        try:
            mount()
            os.listdir(self.at)
            self.ready = time.monotonic() - began
        except BaseException:
            self.close()
            raise
        return self

    def pids(self):
        return marked(self.mark)

    def unmount(self):
        """Whatever lies at the place now, and however often."""
        while os.path.ismount(self.at) and \
                libc.umount2(os.fsencode(self.at), MNT_DETACH) == 0:
            pass

    def close(self):
        try:
            self.unmount()
        finally:
            end_all(self.mark)
            shutil.rmtree(self.top, ignore_errors=True)


def end_all(mark):
    """Those that serve end by themselves when the mount does; who does not is killed."""
    end = time.monotonic() + WAIT_S
    while marked(mark) and time.monotonic() < end:
        time.sleep(0.005)
    for pid in marked(mark):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


class Rafs(Mounted):
    """By `rafs mount`; with `prefetch_all` it is whole when this returns."""

    def __init__(self, work, rafs, via, source, cache, options=()):
        super().__init__(work)
        self.rafs = rafs
        self.words = [rafs, "mount", "--via", via, "--cache-dir", cache, *source.words(),
                      *options, source.boot, self.at]
        self.begin(self.start)

    def start(self):
        run = subprocess.run(self.words, env=self.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             timeout=WAIT_S, check=False)
        if run.returncode != 0:
            raise Skip(f"rafs mount: exit {run.returncode}: {run.stdout[-400:].strip()}")

    def status(self):
        run = subprocess.run([self.rafs, "status", "--json"], env=self.env,
                             stdout=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
        for line in run.stdout.splitlines():
            found = json.loads(line)
            for one in found if isinstance(found, list) else [found]:
                if one.get("dir") == self.at:
                    return one
        return {}

    def complete(self):
        """Wait until all of the image is there, and nothing of ours is asked any more."""
        end = time.monotonic() + 10 * WAIT_S
        while not self.status().get("complete"):
            if time.monotonic() > end:
                raise Skip("rafs mount: not complete in time")
            time.sleep(0.05)
        return self

    def unmount(self):
        if os.path.ismount(self.at):
            subprocess.run([self.rafs, "umount", self.at], env=self.env, check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           timeout=WAIT_S)
        super().unmount()


def keep_traces(cache):
    """Of what a mount has left there, nothing but what it learned: traces, and by what a
    folder is known as a cache of that version."""
    for name in os.listdir(cache):
        if not name.startswith(("trace-", "version", "CACHEDIR.TAG")):
            os.unlink(os.path.join(cache, name))
    if not any(name.startswith("trace-") for name in os.listdir(cache)):
        raise Skip("no trace was kept")


class Nydus(Mounted):
    def __init__(self, work, source, cache, prefetch):
        super().__init__(work)
        self.daemon = None

        def start():
            self.daemon = nydusd.Nydusd(self.top, source.boot, source.nydusd(), prefetch,
                                        cache, self.env)
            self.at = self.daemon.at
        self.begin(start)

    def unmount(self):
        if self.daemon:
            self.daemon.close()
        super().unmount()


class Kernel(Mounted):
    """A file that EROFS mounts by itself, without a loop device."""

    def __init__(self, work, image):
        super().__init__(work)
        self.image = image
        self.begin(self.start)

    def start(self):
        if libc.mount(os.fsencode(self.image), os.fsencode(self.at), b"erofs", MS_RDONLY,
                      None) != 0:
            raise Skip("EROFS from a file: " + os.strerror(ctypes.get_errno()))


class Squashfuse(Mounted):
    def __init__(self, work, image):
        super().__init__(work)
        self.image = image
        self.begin(self.start)

    def start(self):
        run = subprocess.run(["squashfuse", self.image, self.at], env=self.env,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             timeout=WAIT_S, check=False)
        if run.returncode != 0:
            raise Skip("squashfuse: " + run.stdout[-300:].strip())


class Folder(Mounted):
    """No mount at all: the tree as it lies on this machine's disk."""

    def __init__(self, work, tree):
        super().__init__(work)
        self.at = tree

    def unmount(self):
        pass
