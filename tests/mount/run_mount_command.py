#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rafs mount, umount, status and trace record as their users meet them: options, messages,
exit codes, fstab, mount -t rafs, background and foreground, service managers, several
mounts of one daemon, other users. Usage: run_mount_command.py --rafs PATH
"""
import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import mounts  # noqa: E402
from report import Report  # noqa: E402

GOLDEN = os.path.join(ROOT, "tests", "golden")
IMAGE = os.path.join(GOLDEN, "v6-zstd", "image.boot")
OTHER = os.path.join(GOLDEN, "v5-zstd", "image.boot")
FILE = "data/large"
FILES = [FILE, "data/noise", "data/text", "data/sparse"]
PATIENCE = 60
WAYS = os.environ.get("WAYS", "kernel fuse").split()
KEYS = {"bytes_filled": int, "bytes_total": int, "complete": bool, "daemon": str,
        "devices": int, "dir": str, "failures": int, "fetched_bytes": int,
        "fetched_chunks": int, "fill": (str, type(None)), "holder_pid": int, "holder_starts": int, "image": str,
        "last_failure": (str, type(None)), "oldest_wait_ms": int, "pump_pid": int,
        "pump_starts": int, "reads": int, "recording": bool, "refused_chunks": int,
        "since": int, "state": str, "timeout_ms": int, "version": int, "via": str,
        "visible": bool, "waiting": int, "worker_pid": int, "worker_starts": int}
report = Report()


class Place:
    """A state directory, a cache and mount points of one test's own."""

    def __init__(self, work):
        self.work = work
        self.state = os.path.join(work, "state")
        self.cache = os.path.join(work, "cache")
        self.env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": work,
                    "RAFS_STATE_DIR": self.state, "RAFS_CACHE_DIR": self.cache}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def folder(self, name="mount"):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.work)

    def rafs(self, *words, before=(), **more):
        env = dict(self.env, **more.pop("env", {}))
        return subprocess.run([*before, RAFS, *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              timeout=PATIENCE, check=False, **more)

    def status(self, *words):
        done = self.rafs("status", "--json", *words)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def dirs(self):
        return {one["dir"] for one in self.status() if one["state"] == "live"}

    def sockets(self):
        if not os.path.isdir(self.state):
            return []
        return [name for name in os.listdir(self.state) if name.endswith(".sock")]

    def end(self):
        self.rafs("umount", "--all", "--lazy")
        for line in reversed(mountinfo()):
            if line[4].startswith(self.work):
                mounts.libc.umount2(os.fsencode(line[4]), mounts.MNT_DETACH)


def mountinfo():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return [line.split() for line in f]


def mounted(point):
    return any(line[4] == point for line in mountinfo())


def flags_of(point):
    return next(line[5] for line in reversed(mountinfo()) if line[4] == point).split(",")


def shown(done):
    return f"exit {done.returncode}, {done.stdout[-300:]!r}, {done.stderr[-600:]!r}"


def check(name, done, code=0, err=None, lines=1):
    """Exit code; of a failure one line (and a hint for wrong usage) that says `err`."""
    good = done.returncode == code
    if err is not None:
        good = good and err.encode() in done.stderr
    if code not in (0, 2):
        good = good and done.stderr.count(b"\n") == lines
    return report.check(name, good, shown(done))


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def content(point, name=FILE):
    with open(os.path.join(point, name), "rb") as f:
        return f.read()


def outcome(point, name):
    """Content, or None for an error."""
    try:
        return content(point, name)
    except OSError:
        return None


def expected(name=FILE, image=IMAGE):
    return subprocess.run([RAFS, "cat", image, "/" + name], stdout=subprocess.PIPE,
                          check=True, env={"RAFS_CACHE_DIR": ""}).stdout


# --- without mounting anything ----------------------------------------------------------

def usage(place):
    """Wrong words are named, and nothing is started."""
    point = place.folder()
    for words, said in [
            ([], "IMAGE and DIR are missing"),
            ([IMAGE], "DIR is missing"),
            ([IMAGE, point, "third"], "too many operands"),
            (["--via", "nbd", IMAGE, point], "'nbd' is not auto, kernel or fuse"),
            (["--threads", "0", IMAGE, point], "'0' is not a number"),
            (["--daemon", "../x", IMAGE, point], "'../x' is not a name"),
            (["--daemon", "", IMAGE, point], "'' is not a name"),
            (["-o", "nodve", IMAGE, point], "-o nodve: there is no such mount option; did you "
                                            "mean nodev?"),
            (["-o", "frob=secret", IMAGE, point], "-o frob=: there is no such"),
            (["-o", "rw", IMAGE, point], "-o rw: an image cannot be written to"),
            (["-o", "remount", IMAGE, point], "-o remount: "),
            (["-o", "uid=5", IMAGE, point], "uidmap="),
            (["-o", "uidmap=1:2", IMAGE, point], "not INSIDE:OUTSIDE:COUNT"),
            (["-o", "uidmap=0:0:0", IMAGE, point], "not INSIDE:OUTSIDE:COUNT"),
            (["-o", "uidmap=4294967295:0:2", IMAGE, point], "not INSIDE:OUTSIDE:COUNT"),
            (["-o", "rafs.frob=1", IMAGE, point], "--frob"),
            (["-o", "rafs.via", IMAGE, point], "--via needs an argument"),
            (["-o", "rafs.options=ro", IMAGE, point], "rafs.options"),
            (["--trace-record", "t", IMAGE, point], "rafs trace record"),
            (["--stats", IMAGE, point], "rafs status"),
            (["--via", "kernel", "--no-cache", IMAGE, point], "--no-cache"),
            (["nosuch://host/x", point], "IMAGE is no file, and no URL")]:
        check("rafs mount " + " ".join(words[:3]), place.rafs("mount", *words), 2, said)
    for words, said in [([], "is wanted"), (["--all", "x"], "is wanted"),
                        (["--all", "--daemon", "x"], "is wanted"),
                        (["--frob"], "--frob")]:
        check("rafs umount " + " ".join(words), place.rafs("umount", *words), 2, said)
    check("rafs status --watch=x", place.rafs("status", "--watch=x"), 2, "--watch")
    check("rafs trace record", place.rafs("trace", "record"), 2, "DIR is missing")
    check("rafs trace record --for", place.rafs("trace", "record", "--for", "-1", point), 2,
          "--for")
    report.check("nothing was started", not place.sockets(), place.sockets())


def places(place):
    """What is wrong with DIR, IMAGE or the state directory is said in one line."""
    point = place.folder()
    check("DIR is not there", place.rafs("mount", IMAGE, point + "/no"), 3, "No such file")
    check("DIR is a file", place.rafs("mount", IMAGE, IMAGE), 3, "not a directory")
    check("IMAGE is not there", place.rafs("mount", point + "/no", point), 3, "No such file")
    check("not mounted", place.rafs("umount", point), 3, "not mounted")
    check("umount of what is not there", place.rafs("umount", point + "/no"), 3,
          "not mounted")
    check("not ours", place.rafs("umount", "/proc"), 3, "not a mount of rafs")
    check("status of what is not mounted", place.rafs("status", point), 3,
          "not a mount of rafs")
    check("trace record of what is not mounted", place.rafs("trace", "record", point), 3,
          "not a mount of rafs")
    check("no such daemon", place.rafs("umount", "--daemon", "no"), 3, "no daemon")
    check("upgrade of what is not mounted", place.rafs("mount", "--upgrade", point), 3,
          "not a mount of rafs")
    done = place.rafs("status")
    report.check("status of nothing says nothing", (done.returncode, done.stdout) == (0, b""),
                 shown(done))
    check("umount --all of nothing", place.rafs("umount", "--all"))
    wide = place.folder("wide")
    os.chmod(wide, 0o755)
    check("a state directory that others see", place.rafs(
        "status", env={"RAFS_STATE_DIR": wide}), 3, "closed to others")
    check("a state directory that is not absolute", place.rafs(
        "status", env={"RAFS_STATE_DIR": "state"}), 3, "not absolute")
    check("a state directory that cannot be made", place.rafs(
        "status", env={"RAFS_STATE_DIR": point + "/a/b"}), 3, "RAFS_STATE_DIR")


def stale_sockets(place):
    """A daemon that was killed is not asked for ever."""
    os.makedirs(place.state, 0o700, exist_ok=True)
    path = os.path.join(place.state, "dead.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(path)
    done = place.rafs("status")
    report.check("the socket of a dead daemon goes",
                 done.returncode == 0 and not os.path.exists(path), shown(done))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(path)
        s.listen()
        child = os.fork()
        if child == 0:
            one, _ = s.accept()
            one.recv(100)
            one.send(b"\xff" * 600)
            os._exit(0)
        done = place.rafs("status")
        os.waitpid(child, 0)
    report.check("one of another version is said to be so",
                 done.returncode == 3 and b"another version" in done.stderr, shown(done))
    os.unlink(path)


# --- with mounts ------------------------------------------------------------------------

def obstacle(place, way):
    point = place.folder()
    done = place.rafs("mount", "--via", way, IMAGE, point)
    if done.returncode == 4:
        return done.stderr.decode("utf-8", "replace").strip()
    if check(f"{way}: a mount", done):
        report.check(f"{way}: returns when it answers", content(point) == expected(), "bytes")
        check(f"{way}: umount", place.rafs("umount", point))
        report.check(f"{way}: it is gone", not mounted(point), mountinfo())
        report.check(f"{way}: its daemon, too", until(lambda: not place.sockets()),
                     place.sockets())
    return None


def background(place, way):
    """Relative paths, links, -o; the terminal is left; status tells."""
    point = place.folder()
    os.symlink(point, point + "-link")
    os.makedirs(point + "/full/x")
    copy = os.path.join(place.folder("image"), "blob-folder")
    shutil.copytree(os.path.join(GOLDEN, "v6-zstd", "blobs"), copy)
    done = place.rafs("mount", "--via", way, "-o", "nodev,nosuid,noexec,x-systemd.automount",
                      "-o", "defaults,_netdev,rafs.blob-dir=blob-folder,rafs.timeout=20",
                      os.path.relpath(IMAGE, os.path.dirname(copy)),
                      os.path.relpath(point + "-link", os.path.dirname(copy)),
                      cwd=os.path.dirname(copy))
    if not check(f"{way}: relative paths, and a DIR that is not empty", done):
        return
    report.check(f"{way}: content", content(point) == expected(), "bytes")
    have = flags_of(point)
    report.check(f"{way}: its flags", {"ro", "nodev", "nosuid", "noexec"} <= set(have), have)
    status = place.status(point + "-link")
    wrong = [key for key, kind in KEYS.items()
             if not status or not isinstance(status[0].get(key), kind)]
    report.check(f"{way}: status --json has what it promises",
                 not wrong and set(status[0]) == set(KEYS), (wrong, status))
    one = status[0]
    report.check(f"{way}: and it is so", one["state"] == "live" and one["via"] == way and
                 one["dir"] == point and one["timeout_ms"] == 20000 and
                 one["failures"] == 0 and one["waiting"] == 0 and one["visible"] and
                 one["fill"] == ("fence" if way == "kernel" else None), one)
    report.check(f"{way}: its processes are there", all(
        os.path.exists(f"/proc/{one[role + '_pid']}")
        for role in ("holder", "pump")), one)
    report.check(f"{way}: and have left the terminal's session", all(
        os.getsid(one[role + "_pid"]) != os.getsid(0) for role in ("holder", "pump")), one)
    plain = place.rafs("status").stdout
    report.check(f"{way}: status in words", point.encode() in plain and b"live" in plain,
                 plain)
    with subprocess.Popen([RAFS, "status", "--watch=0.05", "--json"], env=place.env,
                          stdout=subprocess.PIPE) as watch:
        seen = [json.loads(watch.stdout.readline()) for _ in range(3)]
        watch.send_signal(signal.SIGINT)
    report.check(f"{way}: status --watch", all(s["dir"] == point for s in seen), seen)
    check(f"{way}: umount by a link", place.rafs("umount", point + "-link"))
    report.check(f"{way}: is gone", not mounted(point), "mounted")


def busy(place, way):
    point = place.folder()
    check(f"{way}: mount", place.rafs("mount", "--via", way, IMAGE, point))
    with open(os.path.join(point, FILE), "rb") as f:
        check(f"{way}: a busy mount stays", place.rafs("umount", point), 3, "--lazy")
        report.check(f"{way}: and can be read", f.read() == expected(), "bytes")
        check(f"{way}: umount --lazy", place.rafs("umount", "--lazy", point))
        report.check(f"{way}: out of sight", not mounted(point), "mounted")
        report.check(f"{way}: which status says", [s["visible"] for s in place.status()] ==
                     [False], place.status())
        f.seek(0)
        report.check(f"{way}: and still read by who has it", f.read() == expected(), "bytes")
    report.check(f"{way}: gone when nobody uses it", until(lambda: not place.sockets()),
                 place.sockets())
    check(f"{way}: mount", place.rafs("mount", "--via", way, IMAGE, point))
    done = mounts.run("umount", point)
    report.check(f"{way}: umount(8) does as well", done.returncode == 0,
                 mounts.message(done))
    report.check(f"{way}: and its daemon leaves", until(lambda: not place.sockets()),
                 place.sockets())


def broken(place, way):
    """What cannot be mounted leaves nothing behind."""
    point, folder = place.folder(), place.folder("broken")
    boot = os.path.join(folder, "image.boot")
    with open(IMAGE, "rb") as f:
        good = f.read()
    # the whole of it, for what is checked at the mount depends on the way
    for name, data, codes in [("a short one", good[:2048], {1, 3, 4}),
                              ("none at all", b"hello" * 1000, {1, 4})]:
        with open(boot, "wb") as f:
            f.write(data)
        done = place.rafs("mount", "--via", way, boot, point)
        report.check(f"{way}: a broken image, {name}", done.returncode in codes and
                     done.stderr.count(b"\n") == 1, shown(done))
    done = place.rafs("mount", "--via", way, "--expect-digest", "sha256:" + "1" * 64, IMAGE,
                      point)
    check(f"{way}: another digest than was expected", done, 1)
    done = place.rafs("mount", "--via", way, "--timeout", "1",
                      "docker://127.0.0.1:9/lib/app:1", point)
    check(f"{way}: a registry that is not there", done, 3)
    report.check(f"{way}: nothing is mounted", not mounted(point), mountinfo())
    report.check(f"{way}: no daemon is left", until(lambda: not place.sockets()),
                 place.sockets())


def interrupted(place, way):
    """Ctrl-C while a registry does not answer."""
    point = place.folder()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(PATIENCE)
        with subprocess.Popen(
                [RAFS, "mount", "--via", way, f"docker://127.0.0.1:{silent.getsockname()[1]}"
                 "/lib/app:1", point], env=place.env, stderr=subprocess.PIPE) as mount:
            silent.accept()[0].recv(100)
            mount.send_signal(signal.SIGINT)
            said = mount.stderr.read()
            code = mount.wait(PATIENCE)
    report.check(f"{way}: Ctrl-C", code == 130 and b"interrupted" in said, (code, said))
    report.check(f"{way}: nothing is left of it", not mounted(point) and
                 until(lambda: not place.sockets()), place.sockets())


def together(place, ways):
    """Several mounts of one daemon, asked for at once."""
    points = [place.folder() for _ in range(6)]
    running = [subprocess.Popen(
        [RAFS, "mount", "--daemon", "one", "--via", ways[i % len(ways)],
         OTHER if i % 3 == 0 else IMAGE, point], env=place.env, stderr=subprocess.PIPE)
        for i, point in enumerate(points)]
    said = [(r.communicate(timeout=PATIENCE)[1], r.returncode) for r in running]
    if not report.check("six mounts of one daemon", all(code == 0 for _, code in said), said):
        place.end()
        return
    report.check("are all read", all(content(p) == expected() for p in points), "bytes")
    status = place.status()
    report.check("and are one daemon's", {s["daemon"] for s in status} == {"one"} and
                 len({s["pump_pid"] for s in status}) == 1 and
                 {s["dir"] for s in status} == set(points), status)
    check("two of them end", place.rafs("umount", *points[:2]))
    report.check("and no others", place.dirs() == set(points[2:]), place.status())
    check("umount --daemon", place.rafs("umount", "--daemon", "one"))
    report.check("ends the rest", not any(mounted(p) for p in points) and
                 until(lambda: not place.sockets()), mountinfo())
    for point in points[:2]:
        check("mount", place.rafs("mount", "--via", ways[0], IMAGE, point))
    check("umount --all", place.rafs("umount", "--all"))
    report.check("ends those of several daemons", not any(mounted(p) for p in points[:2]) and
                 until(lambda: not place.sockets()), mountinfo())


def on_top(place, way):
    """Two images on one directory: the upper one goes first."""
    point = place.folder()
    check(f"{way}: below", place.rafs("mount", "--via", way, IMAGE, point))
    check(f"{way}: on top", place.rafs("mount", "--via", way, OTHER, point))
    check(f"{way}: umount", place.rafs("umount", point))
    report.check(f"{way}: the lower one is left", [s["image"] for s in place.status()] ==
                 [IMAGE] and content(point) == expected(), place.status())
    check(f"{way}: umount", place.rafs("umount", point))


class Manager:
    """A service manager that listens."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(0.2)
        self.said = []

    def heard(self, word):
        try:
            while True:
                data, ancillary, _, _ = self.socket.recvmsg(65536, 8192)
                for _, _, fds in ancillary:
                    for at in range(0, len(fds) // 4 * 4, 4):
                        os.close(int.from_bytes(fds[at:at + 4], sys.byteorder))
                self.said += data.decode().splitlines()
        except socket.timeout:
            pass
        return any(line.startswith(word) for line in self.said)


def foreground(place, way):
    point, manager = place.folder(), Manager(place.folder("manager"))
    with subprocess.Popen([RAFS, "mount", "--foreground", "--via", way, IMAGE, point],
                          env=dict(place.env, NOTIFY_SOCKET=manager.path),
                          stderr=subprocess.PIPE) as mount:
        report.check(f"{way}: --foreground tells when it is ready",
                     until(lambda: manager.heard("READY=1")), manager.said)
        report.check(f"{way}: and it is", content(point) == expected(), "bytes")
        report.check(f"{way}: it stays", mount.poll() is None, mount.returncode)
        mount.send_signal(signal.SIGTERM)
        said = mount.stderr.read()
        code = mount.wait(PATIENCE)
    report.check(f"{way}: SIGTERM unmounts", code == 0 and not mounted(point), (code, said))
    report.check(f"{way}: and says that it stops", manager.heard("STOPPING=1"), manager.said)
    report.check(f"{way}: no daemon is left", until(lambda: not place.sockets()),
                 place.sockets())
    # Ctrl-C of a terminal goes to all of them.
    with subprocess.Popen([RAFS, "mount", "--foreground", "--via", way, IMAGE, point],
                          env=place.env, stderr=subprocess.PIPE,
                          start_new_session=True) as mount:
        until(lambda: mounted(point) and place.dirs() == {point})
        os.killpg(mount.pid, signal.SIGINT)
        said = mount.stderr.read()
        code = mount.wait(PATIENCE)
    report.check(f"{way}: Ctrl-C unmounts", code == 0 and not mounted(point) and
                 until(lambda: not place.sockets()), (code, said))
    with subprocess.Popen([RAFS, "mount", "--foreground", "--via", way, IMAGE, point],
                          env=place.env, stderr=subprocess.PIPE) as mount:
        until(lambda: mounted(point) and place.dirs() == {point})
        check(f"{way}: umount of one in the foreground", place.rafs("umount", point))
        said = mount.stderr.read()
        code = mount.wait(PATIENCE)
    report.check(f"{way}: ends it", code == 0, (code, said))


def dead_daemon(place, way):
    """Holder, pump and worker killed at once: the mount can be seen and ended."""
    point = place.folder()
    check(f"{way}: mount", place.rafs("mount", "--via", way, IMAGE, point))
    before = [outcome(point, name) for name in FILES[1:2]]
    report.check(f"{way}: content", before == [expected(FILES[1])], "bytes")
    one = place.status()[0]
    pids = [one[role + "_pid"] for role in ("holder", "pump", "worker")]
    pids = [pid for pid in pids if pid]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    report.check(f"{way}: all are gone", until(lambda: not any(
        os.path.exists(f"/proc/{pid}") and running(pid) for pid in pids)), pids)
    status = place.status()
    report.check(f"{way}: a mount of a dead daemon is seen", len(status) == 1 and
                 status[0]["state"] == "dead" and status[0]["dir"] == point and
                 status[0]["via"] == way, status)
    report.check(f"{way}: its socket is removed", not place.sockets(), place.sockets())
    seen = {name: outcome(point, name) for name in FILES}
    report.check(f"{way}: what nobody serves is right or fails", all(
        seen[name] in (None, expected(name)) for name in FILES) and
        None in seen.values(), {n: s and s[:40] for n, s in seen.items()})
    check(f"{way}: and umount ends it", place.rafs("umount", point))
    report.check(f"{way}: it is gone", not mounted(point), mountinfo())


def running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def helper(place, way):
    """mount -t rafs, and fstab, through a mount.rafs in a private /sbin."""
    point = place.folder()
    link = "/sbin/mount.rafs"
    bin_folder = place.folder("sbin")
    os.symlink(RAFS, bin_folder + "/mount.rafs")
    done = subprocess.run(
        [bin_folder + "/mount.rafs", IMAGE, point, "-v", "-o", "rw,nodev", "-o", f"rafs.via={way}"],
        env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if check(f"{way}: mount.rafs", done):
        report.check(f"{way}: content", content(point) == expected(), "bytes")
        report.check(f"{way}: read-only whatever mount(8) says", "ro" in flags_of(point),
                     flags_of(point))
        check(f"{way}: umount", place.rafs("umount", point))
    for words, code in [([IMAGE], 1), ([IMAGE, point, "-o", "frob"], 1),
                        ([IMAGE, point, "-N", "1"], 1), ([IMAGE, point, "-f"], 0),
                        ([IMAGE, point + "/no"], 32), (["--help"], 0)]:
        done = subprocess.run([bin_folder + "/mount.rafs", *words], env=place.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        report.check(f"{way}: mount.rafs {words[-1]}", done.returncode == code, shown(done))
    report.check(f"{way}: of which none mounted", not mounted(point), mountinfo())
    if os.path.lexists(link):
        report.skip("mount -t rafs", link + " exists")
        return
    # mount(8) looks for helpers in /sbin alone: ours is seen there in this namespace only.
    real = os.path.realpath("/sbin")
    upper = place.folder("upper")
    work = place.folder("work")
    options = f"lowerdir={real},upperdir={upper},workdir={work}"
    if mounts.libc.mount(b"overlay", os.fsencode(real), b"overlay", 0,
                         os.fsencode(options)) != 0:
        report.skip("mount -t rafs", "no overlay on /sbin: " +
                    os.strerror(ctypes.get_errno()))
        return
    try:
        os.symlink(RAFS, link)
        with_mount(place, way, point)
    finally:
        mounts.unmount(real)


def with_mount(place, way, point):
    def mount(*words):
        return subprocess.run(["mount", *words], env=place.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    done = mount("-t", "rafs", "-o", f"nosuid,rafs.via={way}", IMAGE, point)
    if check(f"{way}: mount -t rafs", done):
        report.check(f"{way}: content", content(point) == expected(), "bytes")
        report.check(f"{way}: flags", {"ro", "nosuid"} <= set(flags_of(point)),
                     flags_of(point))
        check(f"{way}: umount", place.rafs("umount", point))
    fstab = os.path.join(place.folder("etc"), "fstab")
    with open(fstab, "w", encoding="utf-8") as f:
        f.write(f"{IMAGE} {point} rafs defaults,nodev,nofail,_netdev,x-systemd.automount,"
                f"rafs.via={way},rafs.timeout=17,rafs.no-trace 0 0\n")
    done = mount("-T", fstab, point)
    if check(f"{way}: by fstab", done):
        status = place.status(point)
        report.check(f"{way}: with its options", status and
                     status[0]["timeout_ms"] == 17000 and "nodev" in flags_of(point), status)
        done = mounts.run("umount", point)
        report.check(f"{way}: and umount(8)", done.returncode == 0, mounts.message(done))
        report.check(f"{way}: no daemon is left", until(lambda: not place.sockets()),
                     place.sockets())


def owners(place):
    """uidmap and gidmap."""
    point = place.folder()
    done = place.rafs("mount", "--via", "kernel", "-o",
                      "uidmap=0:100000:65536,gidmap=0:200000:65536", IMAGE, point)
    if not check("kernel: uidmap, gidmap", done):
        return
    st = os.stat(point)
    report.check("the owner is another one", (st.st_uid, st.st_gid) == (100000, 200000),
                 (st.st_uid, st.st_gid))
    report.check("content is the same", content(point) == expected(), "bytes")
    check("umount", place.rafs("umount", point))
    check("fuse: uidmap is refused", place.rafs("mount", "--via", "fuse", "-o",
                                                "uidmap=0:1:1", IMAGE, point), 4, "uidmap=")
    check("fuse: noacl is refused", place.rafs("mount", "--via", "fuse", "-o", "noacl", IMAGE,
                                               point), 4, "noacl")


def auto(place, ways):
    """Which way, and why."""
    point = place.folder()
    done = place.rafs("mount", IMAGE, point)
    want = "kernel" if "kernel" in ways else "fuse"
    check("auto", done, 0, "by the kernel's EROFS" if want == "kernel" else "by FUSE")
    report.check("takes what it says", [s["via"] for s in place.status()] == [want],
                 place.status())
    check("umount", place.rafs("umount", point))
    if "fuse" not in ways:
        report.skip("auto without a kernel way", "no FUSE")
        return
    memory = place.folder("memory")
    mounts.mount_tmpfs(memory, 64 << 20)
    try:
        check("a cache in memory: kernel", place.rafs(
            "mount", "--via", "kernel", "--cache-dir", memory + "/c", IMAGE, point), 4,
            "not on tmpfs")
        check("a cache in memory: auto takes FUSE and says why", place.rafs(
            "mount", "--cache-dir", memory + "/c", IMAGE, point), 0, "not on tmpfs")
        report.check("by FUSE", [s["via"] for s in place.status()] == ["fuse"],
                     place.status())
        check("umount", place.rafs("umount", point))
    finally:
        mounts.unmount(memory)
    done = place.rafs("mount", "--no-cache", IMAGE, point)
    check("--no-cache: auto takes FUSE", done, 0, "--no-cache")
    check("umount", place.rafs("umount", point))


def nobody(place):
    """Another user: FUSE by fusermount3, a clear word for the kernel way."""
    if not shutil.which("setpriv"):
        report.skip("as another user", "setpriv is not installed")
        return
    top = tempfile.mkdtemp(prefix="rafs-nobody-")
    os.chmod(top, 0o755)
    try:
        as_nobody(place, top)
    finally:
        for line in reversed(mountinfo()):
            if line[4].startswith(top):
                mounts.libc.umount2(os.fsencode(line[4]), mounts.MNT_DETACH)
        shutil.rmtree(top, ignore_errors=True)


def as_nobody(place, top):
    home, point = os.path.join(top, "home"), os.path.join(top, "mount")
    for folder in (home, point):
        os.mkdir(folder, 0o700)
        os.chown(folder, 65534, 65534)
    # Where this tree lies others may have no way to it.
    program = shutil.copy(RAFS, top + "/rafs")
    image = shutil.copytree(os.path.join(GOLDEN, "v6-zstd"), top + "/image") + "/image.boot"
    os.chmod(program, 0o755)
    subprocess.run(["chmod", "-R", "a+rX", top + "/image"], check=True)
    env = dict(place.env, HOME=home, XDG_RUNTIME_DIR=home)
    env.pop("RAFS_STATE_DIR")
    env["RAFS_CACHE_DIR"] = ""
    library = os.path.join(os.path.dirname(os.path.dirname(RAFS)), "lib")
    env["LD_LIBRARY_PATH"] = top + "/lib"
    shutil.copytree(library, top + "/lib", symlinks=True,
                    ignore=lambda _, names: [n for n in names if ".so" not in n])

    def rafs(*words):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               program, *words], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=PATIENCE, check=False)
    check("another user, kernel", rafs("mount", "--via", "kernel", "--cache-dir",
                                       home + "/cache", image, point), 4, "needs root")
    if not os.access("/dev/fuse", os.F_OK) or not shutil.which("fusermount3"):
        report.skip("another user, fuse", "no /dev/fuse or no fusermount3")
        return
    # As it is on other machines; in this mount namespace only.
    device = os.path.join(top, "fuse")
    os.mknod(device, 0o666 | 0o020000, os.stat("/dev/fuse").st_rdev)
    os.chmod(device, 0o666)
    if mounts.libc.mount(os.fsencode(device), b"/dev/fuse", None, 0x1000, None) != 0:
        report.skip("another user, fuse", "no bind mount on /dev/fuse")
        return
    try:
        done = rafs("mount", image, point)
        if done.returncode == 4 or b"fusermount3" in done.stderr and done.returncode == 3:
            report.skip("another user, fuse", done.stderr.decode("utf-8", "replace").strip())
            return
        if not check("another user, auto", done, 0, "needs root"):
            return
        seen = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               "cat", os.path.join(point, FILE)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        report.check("is read", seen.stdout == expected(), shown(seen))
        report.check("the state is below XDG_RUNTIME_DIR", os.listdir(home + "/rafs"),
                     os.listdir(home))
        done = rafs("status", "--json")
        report.check("status", point.encode() in done.stdout, shown(done))
        check("umount", rafs("umount", point))
        report.check("is gone", not mounted(point), mountinfo())
    finally:
        mounts.unmount("/dev/fuse")


def record(place, way):
    """rafs trace record, and what the cache keeps of it."""
    point = place.folder()
    check(f"{way}: mount", place.rafs("mount", "--via", way, "--no-trace", "--cache-dir",
                                      place.cache, IMAGE, point))
    with subprocess.Popen([RAFS, "trace", "record", point], env=place.env,
                          stderr=subprocess.PIPE) as recorder:
        report.check(f"{way}: recording is shown", until(
            lambda: place.status(point)[0]["recording"]), place.status(point))
        content(point)
        recorder.send_signal(signal.SIGINT)
        said = recorder.stderr.read()
        code = recorder.wait(PATIENCE)
    report.check(f"{way}: Ctrl-C ends recording", code == 0, (code, said))
    report.check(f"{way}: which is shown", not place.status(point)[0]["recording"],
                 place.status(point))
    done = place.rafs("trace", "show", "--json", "--cache-dir", place.cache, IMAGE)
    report.check(f"{way}: the trace is kept", done.returncode == 0 and
                 done.stdout.count(b'"use"') > 0, shown(done))
    begin = time.monotonic()
    check(f"{way}: --for", place.rafs("trace", "record", "--for", "0.3", point))
    report.check(f"{way}: lasts so long", time.monotonic() - begin >= 0.3, "ended early")
    check(f"{way}: umount", place.rafs("umount", point))


def upgrade(place, way):
    """Another binary takes over, by directory and by name."""
    point, folder = place.folder(), place.folder("binary")
    check(f"{way}: mount", place.rafs("mount", "--daemon", "old", "--via", way, IMAGE, point))
    first = place.status()[0]
    with open(os.path.join(point, FILE), "rb") as f:
        half = f.read(100000)
        check(f"{way}: --upgrade DIR", place.rafs("mount", "--upgrade", point))
        second = place.status()[0]
        report.check(f"{way}: to other processes",
                     {first["pump_pid"], first["holder_pid"]}.isdisjoint(
                         {second["pump_pid"], second["holder_pid"]}), (first, second))
        report.check(f"{way}: an open file goes on", half + f.read() == expected(), "bytes")
    bad = os.path.join(folder, "bad")
    with open(bad, "w", encoding="ascii") as f:
        f.write("#!/bin/false\n")
    os.chmod(bad, 0o755)
    check(f"{way}: a binary that is none of ours", place.rafs(
        "mount", "--upgrade", "--daemon", "old", bad), 3)
    check(f"{way}: one that is not there", place.rafs(
        "mount", "--upgrade", "--daemon", "old", folder + "/no"), 3, "No such file")
    report.check(f"{way}: all is as before", content(point, FILES[1]) == expected(FILES[1]) and
                 place.status()[0]["pump_pid"] == second["pump_pid"], place.status())
    check(f"{way}: --upgrade --daemon", place.rafs("mount", "--upgrade", "--daemon", "old"))
    report.check(f"{way}: content", content(point, FILES[2]) == expected(FILES[2]), "bytes")
    check(f"{way}: umount", place.rafs("umount", point))


def fills(place):
    """--fill, as status shows it."""
    point = place.folder()
    check("--fill x", place.rafs("mount", "--fill", "x", IMAGE, point), 2, "'x' is not auto")
    for fill in ("fence", "events"):
        done = place.rafs("mount", "--via", "kernel", "--fill", fill, OTHER, point)
        if done.returncode == 4:
            report.skip("--fill " + fill, done.stderr.decode("utf-8", "replace").strip())
            continue
        if check("--fill " + fill, done):
            report.check(fill + " is what status says",
                         [s["fill"] for s in place.status()] == [fill], place.status())
            report.check(fill + ": content", content(point) == expected(), "bytes")
            check(fill + ": umount", place.rafs("umount", point))


def with_place(work, test, *arguments):
    begin = time.monotonic()
    place = Place(tempfile.mkdtemp(prefix="place-", dir=work))
    try:
        test(place, *arguments)
    except Exception as problem:  # the next ones can be run all the same
        report.check(test.__name__, False, repr(problem))
    finally:
        place.end()
        report.check(f"{test.__name__} leaves no daemon", until(lambda: not place.sockets()),
                     place.sockets())
        if os.environ.get("TIMES"):
            print(test.__name__, *arguments, "%.1f s" % (time.monotonic() - begin))


def main():
    global RAFS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    work = os.path.realpath(tempfile.mkdtemp(prefix="rafs-mount-"))
    try:
        for test in (usage, places, stale_sockets):
            with_place(work, test)
        why = mounts.no_mounts()
        if why:
            report.skip("mounts", why)
            return report.finish()
        ways = []
        for way in WAYS:
            place = Place(tempfile.mkdtemp(prefix="place-", dir=work))
            why = obstacle(place, way)
            place.end()
            if why:
                report.skip("via " + way, why)
            else:
                ways.append(way)
        for way in ways:
            for test in (background, busy, broken, interrupted, on_top, foreground,
                         dead_daemon, helper, record, upgrade):
                with_place(work, test, way)
        if ways:
            with_place(work, together, ways)
            with_place(work, auto, ways)
        if "kernel" in ways:
            with_place(work, owners)
            with_place(work, fills)
        with_place(work, nobody)
        return report.finish()
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
