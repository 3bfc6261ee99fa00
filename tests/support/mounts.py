# SPDX-License-Identifier: Apache-2.0
"""Mounts of images for the tests, by the kernel's EROFS and by nydusd, in a mount
namespace of the test's own. Needs root; obstacle() says what else is missing."""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_RDONLY, MNT_DETACH = 0x20000, 0x4000, 0x40000, 1, 2
TIMEOUT = 120
REFUSED, UNSUPPORTED = 77, 4        # exit codes of kernel_mount

libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """Why something cannot be tried here."""


def run(*words, **more):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT, **more)


def message(done):
    return "exit %d, %s" % (done.returncode,
                            done.stderr.decode("utf-8", "replace").strip()[:600])


def own_namespace():
    """Mounts of ours are seen by nobody else, and end with this process at the latest."""
    if libc.unshare(CLONE_NEWNS) != 0 or \
            libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return os.strerror(ctypes.get_errno())
    return None


def no_mounts():
    """Why nothing can be mounted, or None: then we are in a namespace of our own."""
    if os.geteuid() != 0:
        return "not root"
    denied = own_namespace()
    return denied and "no mount namespace of our own: " + denied


def no_erofs():
    with open("/proc/filesystems", encoding="ascii") as f:
        if "erofs" not in f.read().split() and run("modprobe", "erofs").returncode != 0:
            return "this kernel has no EROFS"
    return None


def unmount(folder):
    if libc.umount2(os.fsencode(folder), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), "umount " + folder)


def expand_and_mount(kernel_mount, image, blobs, work, boot=None):
    """What librafs reads of the blobs becomes the devices of an EROFS mount: the mount
    point, and the folder of the devices. From files; failing that, from loop devices."""
    said = []
    for options in ([], ["--loop"]):
        devices, point = tempfile.mkdtemp(dir=work), tempfile.mkdtemp(dir=work)
        words = [image, blobs, devices, point] + ([boot] if boot else [])
        done = run(kernel_mount, *options, *words)
        if done.returncode == 0:
            return point, devices
        if done.returncode == UNSUPPORTED:
            raise Skip(done.stderr.decode("utf-8", "replace").strip())
        if done.returncode != REFUSED:
            raise ValueError("kernel_mount: " + message(done))
        said.append(done.stderr.decode("utf-8", "replace").strip())
    raise Skip("the kernel refuses: " + "; ".join(said))


def mount_erofs(boot, devices, point):
    """Files as they are. The kernel takes them since 6.12."""
    options = ",".join("device=" + path for path in devices)
    if libc.mount(os.fsencode(boot), os.fsencode(point), b"erofs", MS_RDONLY,
                  os.fsencode(options)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "mount: " + os.strerror(number))


def mount_tmpfs(point, size):
    if libc.mount(b"tmpfs", os.fsencode(point), b"tmpfs", 0,
                  b"size=%d,mode=755" % size) != 0:
        raise Skip("no tmpfs: " + os.strerror(ctypes.get_errno()))


class Nydusd:
    """A FUSE mount by nydusd, as a context manager that gives the mount point."""

    def __init__(self, program, boot, blobs, work, version):
        self.top = tempfile.mkdtemp(prefix="nydusd-", dir=work)
        self.point = os.path.join(self.top, "mount")
        os.mkdir(self.point)
        os.mkdir(os.path.join(self.top, "cache"))
        config = os.path.join(self.top, "config.json")
        with open(config, "w", encoding="utf-8") as f:
            # It refuses to validate v6 at all.
            json.dump({"device": {
                "backend": {"type": "localfs", "config": {"dir": blobs}},
                "cache": {"type": "blobcache",
                          "config": {"work_dir": os.path.join(self.top, "cache")}}},
                "mode": "direct", "digest_validate": version == 5,
                "enable_xattr": True}, f)
        self.log = os.path.join(self.top, "log")
        with open(self.log, "wb") as log:
            self.daemon = subprocess.Popen(
                [program, "fuse", "--rlimit-nofile", "0", "-C", config, "-M", self.point,
                 "-B", boot, "-l", "warn"], stdout=log, stderr=log)

    def __enter__(self):
        end = time.monotonic() + 30
        while time.monotonic() < end and self.daemon.poll() is None:
            if os.path.ismount(self.point):
                return self.point
            time.sleep(0.02)
        with open(self.log, encoding="utf-8", errors="replace") as f:
            said = f.read()[-4000:]
        self.__exit__()
        raise ValueError("nydusd does not mount it: " + said)

    def __exit__(self, *_):
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        if os.path.ismount(self.point):
            unmount(self.point)
        shutil.rmtree(self.top, ignore_errors=True)


def program(variable, name):
    """A peer by its environment variable or in PATH, or None."""
    return os.environ.get(variable) or shutil.which(name)
