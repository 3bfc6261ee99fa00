# SPDX-License-Identifier: Apache-2.0
"""Readers in processes of their own, who compare every byte with what it must be, and tell
through shared memory how they fare: also that they hang, which they could not say."""
import errno
import mmap
import os
import random
import signal
import struct
import time

FIELDS = ("since_ns", "reads", "bytes", "wrong", "errors", "longest_ns", "ended", "passes")
RECORD = 8 * len(FIELDS)
PIECE = 200_000


class Seen:
    """The record of one reader in the shared memory."""

    def __init__(self, room, index):
        self.room, self.at = room, index * RECORD

    def get(self, name):
        at = self.at + 8 * FIELDS.index(name)
        return struct.unpack_from("<Q", self.room, at)[0]

    def set(self, name, value):
        struct.pack_into("<Q", self.room, self.at + 8 * FIELDS.index(name), value)

    def add(self, name, value=1):
        self.set(name, self.get(name) + value)


class Crowd:
    """`files`: (path, bytes that it must have). `tolerated`: errors that may be; they are
    counted. Each reader goes over all files, in an order of its own, `passes` times (0:
    until it is told to stop)."""

    def __init__(self, files, readers, log, passes=1, tolerated=(), seed=0):
        self.files, self.passes, self.tolerated = files, passes, set(tolerated)
        self.log = log
        self.room = mmap.mmap(-1, 8 + RECORD * readers)
        self.seen = [Seen(memoryview(self.room)[8:], i) for i in range(readers)]
        self.seed = seed
        self.pids = []

    def start(self):
        for i in range(len(self.seen)):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    signal.signal(signal.SIGINT, signal.SIG_DFL)
                    # Connections that the test closes are to be closed.
                    os.closerange(3, 4096)
                    code = self.be(i)
                except BaseException as error:  # pylint: disable=broad-except
                    self.say(f"reader {i} died: {error!r}")
                    self.seen[i].add("wrong")
                finally:
                    os._exit(code)  # pylint: disable=protected-access
            self.pids.append(pid)
        return self

    def say(self, text):
        fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, (text + "\n").encode("utf-8", "replace"))
        os.close(fd)

    # --- in a reader's process -----------------------------------------------------------

    def told_to_stop(self):
        return self.room[0] != 0

    def be(self, index):
        rng, seen = random.Random(f"{self.seed}/{index}"), self.seen[index]
        while not self.told_to_stop():
            order = list(self.files)
            rng.shuffle(order)
            for path, want in order:
                if self.told_to_stop():
                    break
                self.read_file(path, want, rng, seen)
            else:
                seen.add("passes")
            if self.passes and seen.get("passes") >= self.passes:
                break
        seen.set("ended", 1)
        return 0

    def timed(self, seen, path, call):
        """call(), or None after an error; how long it took is noted."""
        begin = time.monotonic_ns()
        seen.set("since_ns", begin)
        try:
            return call()
        except OSError as error:
            seen.add("errors")
            if error.errno not in self.tolerated:
                seen.add("wrong")
                self.say(f"{path}: {errno.errorcode.get(error.errno, error.errno)}")
            return None
        finally:
            seen.set("since_ns", 0)
            took = time.monotonic_ns() - begin
            seen.set("longest_ns", max(seen.get("longest_ns"), took))

    def read_file(self, path, want, rng, seen):
        fd = self.timed(seen, path, lambda: os.open(path, os.O_RDONLY))
        if fd is None:
            return
        try:
            at = 0
            while at < len(want):
                size = min(rng.randrange(1, PIECE), len(want) - at)
                got = self.timed(seen, path, lambda at=at, size=size: os.pread(fd, size, at))
                if got is None:
                    at += size
                    continue
                self.compare(path, at, got, want[at:at + size], seen)
                at += len(got) or size  # a read may end where the next one will fail
            # So that the next one who reads asks again.
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)

    def compare(self, path, at, got, want, seen):
        seen.add("reads")
        seen.add("bytes", len(got))
        if got and got == want[:len(got)]:
            return
        seen.add("wrong")
        first = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), len(got))
        zeros = " (zeros)" if got and not any(got[first:first + 4096]) else ""
        self.say(f"{path}: {len(got)} of {len(want)} bytes at {at}, wrong from "
                 f"{at + first}{zeros}")

    # --- in the test ---------------------------------------------------------------------

    def reap(self):
        """Those that are still there."""
        for pid in list(self.pids):
            done, _ = os.waitpid(pid, os.WNOHANG)
            if done:
                self.pids.remove(pid)
        return self.pids

    def stuck(self, seconds):
        """Readers whose call takes longer than that."""
        now = time.monotonic_ns()
        return [i for i, seen in enumerate(self.seen)
                if 0 < seen.get("since_ns") < now - int(seconds * 1e9)]

    def wait(self, seconds, stuck_after):
        """Until all have ended. None, or who hangs."""
        end = time.monotonic() + seconds
        while self.reap():
            stuck = self.stuck(stuck_after)
            if stuck:
                return f"readers {stuck[:10]} wait for longer than {stuck_after} s"
            if time.monotonic() > end:
                return f"{len(self.pids)} readers have not ended after {seconds} s"
            time.sleep(0.005)
        return None

    def stop(self):
        self.room[0] = 1

    def end(self):
        """Nobody stays; a reader in an uninterruptible wait goes when its mount does."""
        self.stop()
        for pid in self.reap():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        end = time.monotonic() + 20
        while self.reap() and time.monotonic() < end:
            time.sleep(0.01)

    def total(self, name):
        values = [seen.get(name) for seen in self.seen]
        return max(values) if name == "longest_ns" else sum(values)

    def said(self, most=8):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[:most])
        except FileNotFoundError:
            return ""
