#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holder and pump of `rafs mount`, with a worker of a few lines: whichever is killed,
readers wait and then have the right bytes.

    tests/mount/run_pump.py --rafs build/release/bin/rafs

RAFS_TEST_FULL=1: many more kills. RAFS_TEST_SEED: another order of them."""
import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                                "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pumping  # noqa: E402
from pumping import Daemon, Image, GOOD, LAZY, NO_PATH, SOURCE, until  # noqa: E402
from report import Report  # noqa: E402

FULL = os.environ.get("RAFS_TEST_FULL") == "1"
SEED = int(os.environ.get("RAFS_TEST_SEED", "1"))
report = Report()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_mounted(point):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return any(line.split()[4] == point for line in f)


def kernel_log():
    done = subprocess.run(["dmesg"], capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace").splitlines()


class Kernel:
    """What the kernel complains about from here on."""

    def __init__(self):
        self.before = len(kernel_log())

    def complaints(self):
        bad = re.compile(r"erofs.*(error|corrupt)|BUG|WARNING|blocked for more|I/O error")
        return [line for line in kernel_log()[self.before:] if bad.search(line)]


# ---- kills ---------------------------------------------------------------------------

def kill_rounds(daemon, image, roles, kills, readers, pause):
    """Until so many kills: mount, read all, be killed meanwhile. Gives the sums."""
    rng = random.Random(SEED)
    done, sums, said = {r: 0 for r in roles}, [0, 0, 0, 0], []
    while sum(done.values()) < kills:
        # Longer than we wait: an event that is lost is a reader that is stuck.
        mounted = daemon.mount(image, piece=8192, pause_us=50, timeout_ms=600000)
        running = [pumping.reader(mounted, rng.randrange(1 << 30)) for _ in range(readers)]
        while any(r.poll() is None for r in running) and sum(done.values()) < kills:
            role = roles[rng.randrange(len(roles))]
            # The moment is what varies: how long it was let live.
            time.sleep(rng.random() * pause)
            pid = daemon.kill(role)
            if pid is None:
                continue
            done[role] += 1
            if role != "worker":
                # The other one must see it before it is killed itself.
                until(lambda r=role, p=pid: daemon.head()[r] != p, 30,
                      f"another {role} than {pid}")
        counts, words = pumping.verdicts(running, 60)
        sums = [a + b for a, b in zip(sums, counts)]
        said += words
        daemon.pid("pump")
        mounted.drop()
    return done, sums, said


def test_kills(daemon, image, name, roles, kills, readers=3, pause=0.015):
    kernel, began = Kernel(), time.monotonic()
    done, (right, wrong, failed, stuck), said = kill_rounds(daemon, image, roles, kills,
                                                            readers, pause)
    what = (f"{done} kills; readers: {right} right, {wrong} wrong, {failed} failed, "
            f"{stuck} stuck; {time.monotonic() - began:.1f} s")
    print(f"ok {name}: {what}", flush=True)
    report.check(name, right > 0 and wrong + failed + stuck == 0,
                 what + "\n" + "\n".join(said[:5]) + "\n" + daemon.said())
    report.check(name + ": the kernel says nothing", not kernel.complaints(),
                 "\n".join(kernel.complaints()[:5]))


# ---- workers -------------------------------------------------------------------------

def test_worker_dies_at_once(daemon, image):
    mounted = daemon.mount(image)
    before = daemon.head()["workers"]
    mounted.touch("die")
    daemon.kill("worker")
    running = [pumping.reader(mounted, 1)]
    until(lambda: daemon.head()["workers"] >= before + 6, 30, "workers are started anew")
    began, started = time.monotonic(), daemon.head()["workers"]
    until(lambda: daemon.head()["workers"] >= started + 3, 30, "and again")
    rate = 3 / (time.monotonic() - began)
    report.check("a worker that dies at once does not spin", rate < 100,
                 f"{rate:.0f} workers a second")
    report.check("nobody was let through meanwhile", running[0].poll() is None,
                 f"the reader ended with {running[0].poll()}")
    mounted.untouch("die")
    counts, said = pumping.verdicts(running, 60)
    report.check("and readers are served when one lives", counts == [1, 0, 0, 0],
                 f"{counts} {said}")
    mounted.drop()


def test_deadline(daemon, image):
    mounted = daemon.mount(image, timeout_ms=700)
    mounted.touch("hold")
    began = time.monotonic()
    counts, said = pumping.verdicts([pumping.reader(mounted, 1)], 60)
    took = time.monotonic() - began
    report.check("past its deadline a read is an error", counts == [0, 0, 1, 0] and
                 "Input/output error" in "".join(said) and 0.5 < took,
                 f"{counts} {said} after {took:.1f} s")
    mounted.untouch("hold")
    counts, said = pumping.verdicts([pumping.reader(mounted, 1)], 60)
    report.check("and the next one is served", counts == [1, 0, 0, 0],
                 f"{counts} {said}")
    # Also without a worker at all.
    mounted.drop()
    mounted = daemon.mount(image, timeout_ms=700)
    mounted.touch("die")
    daemon.kill("worker")
    counts, said = pumping.verdicts([pumping.reader(mounted, 1)], 60)
    report.check("without a worker too", counts == [0, 0, 1, 0], f"{counts} {said}")
    mounted.untouch("die")
    mounted.drop()


def test_bad_image(daemon, image):
    point = os.path.join(daemon.top, "bad")
    os.mkdir(point)
    words = daemon.arguments(image, point, point + "-cache", 4096, 0, 1000)
    answer = daemon.ask(pumping.MOUNT, words.replace(os.fsencode(image.blob), b"/no/such"))
    report.check("why an image cannot be opened is said", answer is not None and
                 answer[0] == NO_PATH and "No such file" in answer[2], answer)
    answer = daemon.ask(pumping.MOUNT, b"mount\0few\0")
    report.check("arguments that are none are refused", answer is not None and
                 answer[0] == 2, answer)
    open(point + "-cache.die", "w", encoding="ascii").close()
    answer = daemon.ask(pumping.MOUNT, words)
    report.check("an image at which workers die is given up", answer is not None and
                 answer[0] == SOURCE and "died" in answer[2], answer)
    os.unlink(point + "-cache.die")
    report.check("and all is well then", not is_mounted(point) and
                 daemon.ask(pumping.MOUNT, words)[0] == GOOD)
    report.check("unmounted", daemon.umount(point)[0] == GOOD and not is_mounted(point))
    os.rmdir(point)


def test_lies(daemon, image):
    """A worker that somebody else has taken over: what it gives is not opened for it."""
    for what, text in (("path", "device 0"), ("cut", "no map"), ("pipe", "no metadata")):
        point = os.path.join(daemon.top, "lie-" + what)
        os.mkdir(point)
        open(f"{point}-cache.{what}", "w", encoding="ascii").close()
        pump = daemon.pid("pump")
        answer = daemon.ask(pumping.MOUNT,
                            daemon.arguments(image, point, point + "-cache", 4096, 0, 1000))
        report.check(f"a worker that lies ({what}) mounts nothing", answer is not None and
                     answer[0] == SOURCE and text in answer[2] and not is_mounted(point),
                     answer)
        report.check(f"and the pump lives ({what})", daemon.pid("pump") == pump)
        os.rmdir(point)
    before = None
    for _ in range(3):
        point = os.path.join(daemon.top, "lie-many")
        os.mkdir(point)
        open(point + "-cache.many", "w", encoding="ascii").close()
        answer = daemon.ask(pumping.MOUNT,
                            daemon.arguments(image, point, point + "-cache", 4096, 0, 1000))
        report.check("one descriptor of many is taken", answer[0] == GOOD, answer)
        daemon.umount(point)
        os.rmdir(point)
        until(lambda: daemon.head()["worker"] == 0, 20, "the worker leaves")
        now = descriptors(daemon.pid("pump"))
        # A connection may still be open; three messages with three more each were sent.
        report.check("and the others are not kept", before is None or now <= before + 4,
                     f"{before}, then {now}")
        before = before or now
    cache = os.path.join(daemon.top, f"{daemon.name}-c{daemon.count + 1}")
    open(cache + ".wait", "w", encoding="ascii").close()
    mounted = daemon.mount(image, timeout_ms=700)
    mounted.touch("hold")
    counts, said = pumping.verdicts([pumping.reader(mounted, 1)], 60)
    report.check("the deadline is the user's, not the worker's", counts == [0, 0, 1, 0],
                 f"{counts} {said}")
    mounted.untouch("hold")
    mounted.drop()


def test_complete(daemon, image):
    mounted = daemon.mount(image)
    counts, said = pumping.verdicts([pumping.reader(mounted, 3)], 60)
    report.check("all is read", counts == [1, 0, 0, 0], f"{counts} {said}")
    until(lambda: daemon.head()["worker"] == 0, 20, "the worker leaves")
    report.check("the worker leaves when all is there", True)
    answer = daemon.ask(pumping.RECORD, os.fsencode(mounted.point))
    until(lambda: daemon.head()["worker"] > 0, 20, "a worker to record")
    report.check("and comes back to record", answer is not None and answer[0] == GOOD,
                 answer)
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("1")
    counts, said = pumping.verdicts([pumping.reader(mounted, 4)], 60)
    report.check("who reads then is served", counts == [1, 0, 0, 0], f"{counts} {said}")
    daemon.ask(pumping.RECORD, os.fsencode(mounted.point), pumping.STOP)
    until(lambda: daemon.head()["worker"] == 0, 20, "the worker leaves again")
    report.check("until that is over", True)
    mounted.drop()


# ---- upgrades ------------------------------------------------------------------------

def upgrade(daemon, binary):
    return daemon.ask(pumping.UPGRADE, os.fsencode(binary))


def test_upgrades(daemon, program, image, count):
    mounted = daemon.mount(image, piece=8192, pause_us=100)
    running = [pumping.reader(mounted, i) for i in range(4)]
    same = []
    for i in range(count):
        before = daemon.head()
        answer = upgrade(daemon, program)
        after = daemon.head()
        if answer is None or answer[0] != GOOD or after["pump"] == before["pump"] or \
                after["holder"] == before["holder"]:
            same.append((answer, before, after))
        if all(r.poll() is not None for r in running):
            counts, said = pumping.verdicts(running, 60)
            report.check(f"upgrade {i}: who reads sees nothing of it",
                         counts == [4, 0, 0, 0], f"{counts} {said}")
            mounted.drop()
            mounted = daemon.mount(image, piece=8192, pause_us=100)
            running = [pumping.reader(mounted, i) for i in range(4)]
    counts, said = pumping.verdicts(running, 60)
    report.check("upgrades: who reads sees nothing of them", counts == [4, 0, 0, 0],
                 f"{counts} {said}\n{daemon.said()}")
    report.check(f"{count} upgrades", not same, f"{same[:2]}\n{daemon.said()}")
    mounted.drop()


def test_bad_upgrades(daemon, program, image):
    mounted = daemon.mount(image, piece=8192, pause_us=100)
    running = [pumping.reader(mounted, i) for i in range(2)]
    before = daemon.head()
    for binary in ("/bin/false", "/bin/true", "/no/such", "relative", "/etc/passwd"):
        answer = upgrade(daemon, binary)
        report.check(f"{binary} does not take over", answer is not None and
                     answer[0] == SOURCE and answer[2], answer)
    after = daemon.head()
    report.check("and the old one goes on", (before["holder"], before["pump"]) ==
                 (after["holder"], after["pump"]), f"{before} {after}")
    rng = random.Random(SEED)
    verdict = {}
    for life in [rng.randrange(200, 8000) for _ in range(60 if FULL else 12)]:
        binary = os.path.join(daemon.top, f"standin-life-{life}")
        shutil.copy(program, binary)
        answer = upgrade(daemon, binary)
        verdict[answer and answer[0]] = verdict.get(answer and answer[0], 0) + 1
        os.unlink(binary)
        answer = daemon.ask(pumping.TABLE)
        if answer is None or answer[0] != GOOD:
            break
        os.close(answer[3])
    report.check("one that is killed while it takes over, too", None not in verdict and
                 answer is not None, f"{verdict} {answer}\n{daemon.said()}")
    counts, said = pumping.verdicts(running, 60)
    print(f"ok upgrades to what dies: answers {verdict}; readers {counts}", flush=True)
    report.check("who reads sees nothing of it", counts == [2, 0, 0, 0],
                 f"{counts} {said}\n{daemon.said()}")
    mounted.drop()


# ---- the end of mounts ---------------------------------------------------------------

def test_unmounts(daemon, image):
    mounted = daemon.mount(image)
    held = os.open(os.path.join(mounted.point, "f0"), os.O_RDONLY)
    answer = daemon.umount(mounted.point)
    report.check("a mount that is in use stays", answer[0] == SOURCE and
                 "in use" in answer[2] and is_mounted(mounted.point), answer)
    answer = daemon.umount(mounted.point, lazy=True)
    report.check("unless it is to be detached", answer[0] == GOOD and
                 not is_mounted(mounted.point), answer)
    got = b"".join(os.pread(held, 65536, at) for at in range(0, 3000000, 65536))
    report.check("who has it open is served", got == image.content["f0"],
                 f"{len(got)} bytes")
    before = descriptors(daemon.pid("pump"))
    os.close(held)
    until(lambda: descriptors(daemon.pid("pump")) < before, 20, "descriptors are closed")
    report.check("and when that is over all is given back", True)
    mounted.forget()
    for how in ("outside", "lazy"):
        before = descriptors(daemon.pid("pump"))
        mounted = daemon.mount(image)
        mounted.drop(how)
        until(lambda b=before: descriptors(daemon.pid("pump")) <= b, 20,
              f"it is seen that it was unmounted ({how})")
        report.check(f"what others unmount is given back: {how}", True)


def test_cycles(daemon, images, cycles=30):
    daemon.mount(images[0]).drop()
    until(lambda: daemon.head()["worker"] == 0, 20, "no worker")
    before = {r: descriptors(daemon.pid(r)) for r in ("holder", "pump")}
    for i in range(cycles):
        image = images[i % len(images)]
        mounted = daemon.mount(image)
        with open(os.path.join(mounted.point, "f1"), "rb") as f:
            good = f.read() == image.content["f1"]
        if not good:
            break
        mounted.drop(("daemon", "outside", "lazy")[i % 3])
    report.check(f"{cycles} mounts after each other", good and i == cycles - 1)
    until(lambda: daemon.head()["worker"] == 0, 20, "no worker")
    # A connection of ours may still be open there.
    until(lambda: all(descriptors(daemon.pid(r)) <= before[r] for r in before), 20,
          f"no more descriptors than {before}")
    report.check("descriptors are as before", True)


def test_end(program, top, image):
    daemon = Daemon(program, top, "end", stay=False)
    try:
        mounted = daemon.mount(image)
        mounted.drop()
        report.check("without a mount it leaves", daemon.process.wait(20) == 0 and
                     not os.path.exists(daemon.path))
    finally:
        daemon.end()
    for role in ("holder", "pump"):
        daemon = Daemon(program, top, f"end-{role}")
        try:
            idle, busy = daemon.mount(image), daemon.mount(image)
            held = os.open(os.path.join(busy.point, "f0"), os.O_RDONLY)
            os.kill(daemon.pid(role), signal.SIGTERM)
            until(lambda: not is_mounted(idle.point) and not is_mounted(busy.point), 20,
                  "both are unmounted")
            got = b"".join(os.pread(held, 65536, at) for at in range(0, 3000000, 65536))
            report.check(f"SIGTERM to the {role}: who reads is served to the end",
                         got == image.content["f0"] and daemon.process.poll() is None,
                         f"{len(got)} bytes, {daemon.process.poll()}")
            os.close(held)
            report.check(f"SIGTERM to the {role}: and then it ends with 0",
                         daemon.process.wait(20) == 0, daemon.said())
            idle.forget()
            busy.forget()
        finally:
            daemon.end()


def test_both_killed(program, top, image):
    """What remains without a fence: readers are let through by the kernel. The next daemon
    of that name takes such a mount out of sight."""
    daemon = Daemon(program, top, "both")
    try:
        mounted = daemon.mount(image)
        mounted.touch("hold")
        reader = pumping.reader(mounted, 1)
        pids = [daemon.pid("holder"), daemon.pid("pump")]
        worker = daemon.pid("worker")
        # Stopped first: else the one starts the other before it is killed itself.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        until(lambda: not any(pumping.alive(p) for p in pids), 20, "both are gone")
        counts, _ = pumping.verdicts([reader], 60)
        print(f"ok both killed at once, no fence: right, wrong, failed, stuck {counts}",
              flush=True)
        report.check("nobody hangs when both are gone", counts[3] == 0, counts)
        report.check("the mount is still there", is_mounted(mounted.point))
        daemon.close()
        daemon.process.wait(20)
        os.unlink(daemon.path)
        daemon = Daemon(program, top, "both")
        daemon.ask(pumping.TABLE)
        report.check("the next one of that name detaches it", not
                     is_mounted(mounted.point) and "detached" in daemon.said(),
                     daemon.said())
        until(lambda: not pumping.alive(worker), 20, "the worker has ended")
    finally:
        daemon.end()


def test_strangers(daemon):
    """Only root and the daemon's own user may ask."""
    code = ("import os,socket,sys;os.setgid(65534);os.setuid(65534)\n"
            "s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET);s.settimeout(20)\n"
            f"s.connect({daemon.path!r})\n"
            "try:\n s.send(bytes(16)); print(len(s.recv(10)))\n"
            "except ConnectionError: print(0)\n")
    os.chmod(daemon.top, 0o755)
    os.chmod(daemon.path, 0o777)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    report.check("strangers are not heard", done.stdout.strip() == b"0",
                 done.stdout + done.stderr)
    for data in (b"", b"x", bytes(16), b"\1\0\0\0" + b"\xff" * 12, b"\xff" * 60000):
        with daemon.connect() as s:
            if data:
                s.send(data)
    report.check("rubbish is survived", daemon.ask(pumping.TABLE) is not None)


# ---- the real worker -----------------------------------------------------------------

def kill_workers(daemon, until_true, seconds):
    """As soon as one is there. Gives how many."""
    kills, end = 0, time.monotonic() + seconds
    while not until_true() and time.monotonic() < end:
        if daemon.head()["worker"] > 0 and daemon.kill("worker"):
            kills += 1
    return kills


GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "v6-zstd")


class Real:
    """A mount by the command itself, with its worker."""

    def __init__(self, rafs, top, via, timeout):
        self.rafs, self.what = rafs, " ".join(via)
        self.point = os.path.join(top, "real-" + via[-1])
        state = os.path.join(top, "state")
        self.env = dict(os.environ, RAFS_STATE_DIR=state,
                        RAFS_CACHE_DIR=os.path.join(top, "cache-" + via[-1]))
        os.makedirs(self.point, exist_ok=True)
        done = subprocess.run(
            [rafs, "mount", "--daemon", "real" + via[-1], "--timeout", str(timeout),
             "--via", *via, "--blob-dir", os.path.join(GOLDEN, "blobs"),
             os.path.join(GOLDEN, "image.boot"), self.point],
            env=self.env, capture_output=True, check=False)
        self.error = done.stderr.decode("utf-8", "replace") if done.returncode else None
        self.daemon = Daemon(None, state, "real" + via[-1])

    def end(self):
        subprocess.run([self.rafs, "umount", "--lazy", self.point], env=self.env,
                       capture_output=True, check=False)
        self.daemon.close()

    def path(self, name):
        return os.path.join(self.point, "data", name)

    def reads(self, name):
        """Quietly: does it succeed?"""
        return subprocess.run(["cat", self.path(name)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False,
                              timeout=60).returncode == 0


def kill_workers(daemon, until_true, seconds):
    """As soon as one is there. Gives how many."""
    kills, end = 0, time.monotonic() + seconds
    while not until_true() and time.monotonic() < end:
        if daemon.head()["worker"] > 0 and daemon.kill("worker"):
            kills += 1
    return kills


def test_no_worker_lives(rafs, top, via):
    """Past the deadline readers have an error, although nobody answers them."""
    real = Real(rafs, top, via, 1)
    try:
        if real.error:
            report.skip(f"no worker lives: {real.what}", real.error.strip())
            return
        reader = subprocess.Popen(["cat", real.path("large")], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE)
        kills = kill_workers(real.daemon, lambda: reader.poll() is not None, 20)
        if reader.poll() is None:
            reader.kill()
        said = reader.communicate()[1]
        if reader.returncode <= 0:
            report.skip(f"no worker lives: {real.what}",
                        f"{kills} were killed, and got on all the same")
        else:
            report.check(f"without a worker there is an error: {real.what}",
                         b"Input/output error" in said, said)
        until(lambda: real.reads("large"), 30, "what is read when a worker lives again: " +
              real.what)
        report.check(f"and with one there is none: {real.what}", True)
    finally:
        real.end()


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")


def contents(rafs):
    out = {}
    for name in ("large", "text", "twin", "sparse", "noise", "above"):
        out[name] = subprocess.run(
            [rafs, "cat", "--blob-dir", os.path.join(GOLDEN, "blobs"),
             os.path.join(GOLDEN, "image.boot"), "/data/" + name],
            capture_output=True, check=True).stdout
    return out


def wrong_ones(real, want):
    drop_caches()
    bad = []
    for name, data in want.items():
        with open(real.path(name), "rb") as f:
            if f.read() != data:
                bad.append(name)
    return bad


def test_real(rafs, top, via):
    """Upgrades and kills with the worker that there really is."""
    want = contents(rafs)
    real = Real(rafs, top, via, 60)
    try:
        if real.error:
            report.skip(f"the real worker: {real.what}", real.error.strip())
            return
        for step in ("upgrade", "worker", "upgrade", "pump", "holder", "upgrade", "worker",
                     "pump", "upgrade"):
            before = real.daemon.head()
            if step == "upgrade":
                answer = upgrade(real.daemon, rafs)
                good = answer is not None and answer[0] == GOOD and \
                    real.daemon.head()["pump"] != before["pump"]
                report.check(f"upgraded: {real.what}", good, answer)
            elif real.daemon.kill(step) and step != "worker":
                until(lambda s=step, b=before: real.daemon.head()[s] != b[s], 30,
                      f"another {step}")
            bad = wrong_ones(real, want)
            report.check(f"all is right after {step}: {real.what}", not bad, bad)
    finally:
        real.end()


def tests(rafs, program, top):
    image = Image(top, 1, [3000000, 5000, 70000])
    small = Image(top, 2, [200000, 4096])
    daemon = Daemon(program, top, "main")
    try:
        if os.environ.get("ONLY") != "kills":
            test_strangers(daemon)
            test_bad_image(daemon, image)
            test_lies(daemon, image)
            test_unmounts(daemon, image)
            test_cycles(daemon, [image, small], 300 if FULL else 30)
            test_complete(daemon, image)
            test_deadline(daemon, small)
            test_worker_dies_at_once(daemon, image)
            test_upgrades(daemon, program, image, 200 if FULL else 15)
            test_bad_upgrades(daemon, program, image)
        many = 100 if FULL else 1
        test_kills(daemon, image, "worker killed", ["worker"], 300 * many)
        test_kills(daemon, image, "pump killed", ["pump"], 100 * many)
        test_kills(daemon, image, "holder killed", ["holder"], 60 * many)
        test_kills(daemon, image, "all killed, one after the other",
                   ["worker", "worker", "pump", "holder"], 150 * many)
        answer = daemon.end()
        report.check("it ends", answer is not None and answer[0] == GOOD, answer)
    finally:
        daemon.end()
    test_end(program, top, small)
    test_both_killed(program, top, image)
    for via in (["fuse"], ["kernel", "--fill", "fence"], ["kernel", "--fill", "events"]):
        test_real(rafs, top, via)
    test_no_worker_lives(rafs, top, ["fuse"])
    test_no_worker_lives(rafs, top, ["kernel", "--fill", "fence"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rafs", required=True)
    options = parser.parse_args()
    program = os.path.join(os.path.dirname(os.path.abspath(options.rafs)), "mount_standin")
    missing = pumping.why_not()
    if missing is None and not os.path.exists(program):
        missing = f"{program} was not built"
    if missing:
        report.skip("holder and pump", missing)
        return report.finish()
    top = tempfile.mkdtemp(prefix="rafs-pump-")
    try:
        tests(os.path.abspath(options.rafs), program, top)
    except AssertionError as e:
        report.check("the daemon does what is waited for", False, e)
    finally:
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            points = [line.split()[4] for line in f if f" {top}/" in line]
        for point in points:
            pumping.unmount(point, lazy=True)
        shutil.rmtree(top, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
