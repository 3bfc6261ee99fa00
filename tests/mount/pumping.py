# SPDX-License-Identifier: Apache-2.0
"""A daemon with the stand-in worker (standin.c), its mounts, and readers of them."""
import array
import ctypes
import ctypes.util
import hashlib
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

MOUNT, UMOUNT, TABLE, RECORD, UPGRADE, END = range(6)
LAZY, STOP = 1, 2
VERSION = 1
GOOD, SOURCE, NO_PATH = 0, 3, 6
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


def unmount(path, lazy=False):
    flags = UMOUNT_NOFOLLOW | (MNT_DETACH if lazy else 0)
    if libc.umount2(os.fsencode(path), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def why_not():
    """What is missing here, or None."""
    if os.geteuid() != 0:
        return "mounting needs root"
    for program in ("mkfs.erofs", "unshare"):
        if not shutil.which(program):
            return f"{program} is not installed"
    group = libc.fanotify_init(0x8 | 0x10 | 0x20 | 0x1, os.O_RDONLY)
    if group < 0:
        return "no fanotify: " + os.strerror(ctypes.get_errno())
    with tempfile.NamedTemporaryFile() as f:
        rc = libc.fanotify_mark(group, 1, ctypes.c_uint64(0x00100000), -100,
                                os.fsencode(f.name))
        number = ctypes.get_errno()
    os.close(group)
    if rc != 0:
        return ("no pre-content events (Linux 6.14, not on tmpfs) below "
                f"{tempfile.gettempdir()}: {os.strerror(number)}")
    return None


def alive(pid):
    """Neither gone nor a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition, seconds, what):
    """Wait for what has no descriptor to wait on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.002)
    raise AssertionError(f"not within {seconds} s: {what}")


class Image:
    """Files of pseudo-random bytes in an EROFS image with one device."""

    def __init__(self, top, seed, sizes):
        self.source = os.path.join(top, f"source{seed}")
        self.meta = os.path.join(top, f"meta{seed}")
        self.blob = os.path.join(top, f"blob{seed}")
        os.mkdir(self.source)
        rng = random.Random(seed)
        self.content = {}
        for i, size in enumerate(sizes):
            data = rng.randbytes(size)
            self.content[f"f{i}"] = data
            with open(os.path.join(self.source, f"f{i}"), "wb") as f:
                f.write(data)
        subprocess.run(["mkfs.erofs", "--quiet", "--chunksize=65536",
                        f"--blobdev={self.blob}", self.meta, self.source],
                       check=True, stdout=subprocess.DEVNULL)


class Daemon:
    def __init__(self, program, top, name, stay=True):
        self.top, self.name = top, name
        self.program = program
        self.log = os.path.join(top, name + ".said")
        self.count = 0
        self.path = os.path.join(top, name + ".sock")
        self.process = self._table = None
        if program is None:
            return  # somebody else has started it
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [program, top, name] + (["stay"] if stay else []), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True)
        until(lambda: os.path.exists(self.path) or self.process.poll() is not None, 20,
              "the daemon listens")

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(60)
        s.connect(self.path)
        return s

    def send(self, s, op, payload=b"", flags=0):
        s.send(struct.pack("<4I", VERSION, op, flags, len(payload)) + payload)

    def receive(self, s):
        """(exit code, slot, text, descriptor or None); None: nobody answers."""
        fds = array.array("i")
        data, extra, _, _ = s.recvmsg(4096, socket.CMSG_LEN(4))
        for level, kind, body in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(body[:4])
        if not data:
            return None
        _, code, slot, _ = struct.unpack_from("<4I", data)
        text = data[16:].split(b"\0", 1)[0].decode("utf-8", "replace")
        return code, slot, text, fds[0] if fds else None

    def ask(self, op, payload=b"", flags=0):
        with self.connect() as s:
            self.send(s, op, payload, flags)
            return self.receive(s)

    def arguments(self, image, point, cache, piece, pause_us, timeout_ms):
        words = ["mount", "image", point, image.meta, cache, str(piece), str(pause_us),
                 str(timeout_ms), image.blob]
        return b"".join(os.fsencode(w) + b"\0" for w in words)

    def mount(self, image, piece=65536, pause_us=0, timeout_ms=60000):
        self.count += 1
        point = os.path.join(self.top, f"{self.name}-m{self.count}")
        cache = os.path.join(self.top, f"{self.name}-c{self.count}")
        os.mkdir(point)
        answer = self.ask(MOUNT, self.arguments(image, point, cache, piece, pause_us,
                                                timeout_ms))
        if answer is None or answer[0] != GOOD:
            raise AssertionError(f"mount: {answer}")
        return Mounted(self, point, cache, image)

    def umount(self, point, lazy=False):
        return self.ask(UMOUNT, os.fsencode(point), LAZY if lazy else 0)

    def head(self):
        """The first numbers of the table."""
        if self._table is None:
            self._table = self.ask(TABLE)[3]
        names = ("version", "size", "holder", "pump", "worker", "holders", "pumps",
                 "workers", "number")
        return dict(zip(names, struct.unpack("<9I", os.pread(self._table, 36, 0))))

    def pid(self, role):
        return self.head()[role]

    def close(self):
        if self._table is not None:
            os.close(self._table)
            self._table = None

    def kill(self, role):
        """Gives the pid, or None if there is none now."""
        pid = self.pid(role)
        if pid <= 0:
            return None
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return pid

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-3000:]

    def end(self):
        """Whatever happened: nothing of it stays."""
        try:
            answer = self.ask(END, b"", LAZY)
        except OSError:
            answer = None
        self.gone()
        return answer

    def gone(self):
        try:
            pids = {p for p in self.head().values() if p > 1} & self.named()
        except (OSError, TypeError):
            pids = set()
        end = time.monotonic() + 20
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        while any(alive(p) for p in pids) and time.monotonic() < end:
            time.sleep(0.005)
        for pid in pids:
            if alive(pid) and pid in self.named():
                os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    @staticmethod
    def named():
        found = set()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/comm", encoding="utf-8") as f:
                        if f.read().startswith("rafs-"):
                            found.add(int(entry))
                except OSError:
                    pass
        return found


class Mounted:
    def __init__(self, daemon, point, cache, image):
        self.daemon, self.point, self.cache, self.image = daemon, point, cache, image

    def touch(self, suffix):
        open(f"{self.cache}.{suffix}", "w", encoding="ascii").close()

    def untouch(self, suffix):
        os.unlink(f"{self.cache}.{suffix}")

    def drop(self, how="daemon"):
        if how == "daemon":
            answer = self.daemon.umount(self.point)
            if answer is None or answer[0] != GOOD:
                raise AssertionError(f"umount: {answer}")
        else:
            unmount(self.point, how == "lazy")
        self.forget()

    def forget(self):
        os.rmdir(self.point)
        if os.path.exists(self.cache + ".0"):
            os.unlink(self.cache + ".0")


# A reader: a process that reads all files in an order of its own, twice in pieces of
# different sizes, and ends with 0 (all right), 1 (a wrong byte) or 2 (an error).
READER = r"""
import hashlib, os, random, sys
top, source, seed, jumps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)
names = sorted(os.listdir(source))
rng.shuffle(names)
for name in names:
    with open(os.path.join(source, name), "rb") as f:
        want = f.read()
    try:
        fd = os.open(os.path.join(top, name), os.O_RDONLY)
        for _ in range(jumps):
            at = rng.randrange(len(want)); size = rng.choice((1, 100, 4096, 70000))
            if os.pread(fd, size, at) != want[at:at + size]:
                print("wrong", name, at, size); sys.exit(1)
        at = 0
        while at < len(want):
            got = os.pread(fd, 1 << 17, at)
            if not got or got != want[at:at + len(got)]:
                print("wrong", name, at, len(got)); sys.exit(1)
            at += len(got)
        os.close(fd)
    except OSError as e:
        print("error", name, e); sys.exit(2)
"""


def reader(mounted, seed, jumps=20):
    return subprocess.Popen(
        ["python3", "-c", READER, mounted.point, mounted.image.source, str(seed),
         str(jumps)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def verdicts(readers, seconds):
    """(right, wrong, failed, stuck) and what they said."""
    counts, said = [0, 0, 0, 0], []
    end = time.monotonic() + seconds
    for r in readers:
        try:
            out, _ = r.communicate(timeout=max(0.1, end - time.monotonic()))
            counts[min(r.returncode, 2) if r.returncode >= 0 else 2] += 1
            if r.returncode != 0:
                said.append(out.decode("utf-8", "replace")[-300:])
        except subprocess.TimeoutExpired:
            counts[3] += 1
            r.kill()
            r.communicate()
    return counts, said
