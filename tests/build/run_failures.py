#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds that do not come to their end: nothing half-written under a final name.

Usage: run_failures.py --rafs PATH

Killed, interrupted, out of space, refused by the system at each of its calls (strace
injects that, if it is here), given streams that end and files that change. Afterwards
there is no bootstrap; a blob, where there is one, is whole; temporary files are gone
unless the process was killed; what was there before is as it was; and the same build
then succeeds.
"""
import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import make_tree  # noqa: E402
import mounts  # noqa: E402
from mounts import Skip, message, run  # noqa: E402
from report import Report  # noqa: E402

CORRUPT, USAGE, FAILED, INTERRUPTED = 1, 2, 3, 130
report = Report()


def build(out, *sources, before=(), options=(), **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([*before, RAFS, "build", *options, "-o", out, *sources],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=mounts.TIMEOUT, **more)


def files_of(out):
    return sorted(os.path.relpath(os.path.join(top, name), out)
                  for top, _, names in os.walk(out) for name in names)


def is_temporary(name):
    return os.path.basename(name).startswith(".rafs-")


def left_over(out, killed=False, whole=False):
    """What is there that must not be, or None. A whole image may be there where only
    what comes after it went wrong."""
    for name in files_of(out):
        if is_temporary(name):
            if not killed:
                return "a temporary file is left: " + name
        elif name.startswith("blobs/"):
            if make_tree.sha256_of(os.path.join(out, name)) != os.path.basename(name):
                return "blob %s is not whole" % name
        elif not whole or run(RAFS, "check", os.path.join(out, name)).returncode != 0:
            return "there is " + name
    return None


def judge(name, done, code, out, words=(), **more):
    problem = None
    if done.returncode != code:
        problem = "wanted exit %d: %s" % (code, message(done))
    elif code > 0 and done.stderr.count(b"\n") != 1:
        problem = "wanted one line: " + message(done)
    for word in words:
        if word not in done.stderr.decode("utf-8", "replace"):
            problem = problem or "no %r in: %s" % (word, message(done))
    problem = problem or left_over(out, **more)
    report.check(name, problem is None, problem)


def nobody_writes(work):
    """A named pipe that never has a writer: --timeout holds."""
    pipe, out = os.path.join(work, "pipe"), os.path.join(work, "of-pipe")
    os.mkfifo(pipe)
    judge("a pipe without a writer", build(out, pipe, options=("--timeout", "0.3")),
          FAILED, out, ("deadline",))


def then_it_works(name, out, *sources, options=(), **more):
    done = build(out, *sources, options=options, **more)
    files = files_of(out)
    good = done.returncode == 0 and "image.boot" in files
    report.check(name + ", then it works", good, message(done) + " " + str(files))


# --- the ways to fail --------------------------------------------------------------------

def half_a_tar(work, tar):
    """The builder has read half of a stream and waits for more when it is told to end."""
    with open(tar, "rb") as f:
        data = f.read()
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, INTERRUPTED),
                         (signal.SIGTERM, INTERRUPTED), (None, CORRUPT)):
        name = "the stream ends in the middle" if number is None else \
            signal.Signals(number).name + " in the middle of a stream"
        out = tempfile.mkdtemp(dir=work)
        child = subprocess.Popen([RAFS, "build", "-o", out, "-"], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # More than a pipe holds: when this returns, most of it has been taken in.
        try:
            child.stdin.write(data[:len(data) * 3 // 4 + 100])
            child.stdin.flush()
        except BrokenPipeError:
            pass                             # it ended too early: judged below
        if number is not None:
            child.send_signal(number)
            child.wait(mounts.TIMEOUT)       # while the stream is still open
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        said = child.stderr.read()
        child.wait(mounts.TIMEOUT)
        done = subprocess.CompletedProcess(child.args, child.returncode, b"", said)
        judge(name, done, code, out, killed=number == signal.SIGKILL)
        with open(tar, "rb") as f:
            then_it_works(name, out, "-", stdin=f)


def no_space(work, source):
    point = tempfile.mkdtemp(dir=work)
    try:
        mounts.mount_tmpfs(point, 256 << 10)
    except Skip as why:
        report.skip("a full disk", why)
        return
    out = os.path.join(point, "out")
    judge("a full disk", build(out, source), FAILED, out, ("No space",))
    # As much as a small image takes, and not as much as this one.
    done = build(out, source, options=("--compressor", "none", "--threads", "1"))
    judge("a full disk, nothing compressed", done, FAILED, out, ("No space",))
    mounts.unmount(point)


def too_large(work, source):
    """A limit on the size of files, which sends no signal if that is ignored."""
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    out = tempfile.mkdtemp(dir=work)
    judge("a file that may not grow", build(out, source, preexec_fn=limited), FAILED, out,
          ("too large",))


CALLS = ["write", "pwrite64", "fsync", "fdatasync", "rename,renameat,renameat2,link,linkat",
         "mkdir,mkdirat", "ftruncate", "fallocate"]


def refused_calls(work, source):
    """Each of the calls that change files, refused at its first, second … time."""
    if not shutil.which("strace") or run("strace", "true").returncode != 0:
        report.skip("calls that fail", "strace is not here, or may not trace")
        return
    for calls in CALLS:
        worked = failed = 0
        problem = None
        for when in range(1, 40):
            out = os.path.join(tempfile.mkdtemp(dir=work), "out")
            done = build(out, source, options=("--threads", "2"), before=(
                "strace", "-f", "-q", "-o", os.devnull, "-e", "trace=" + calls, "-e",
                "inject=%s:error=EIO:when=%d" % (calls, when)))
            if done.returncode == 0:
                # Not called so often, or it does not matter: then the image is good.
                check = run(RAFS, "check", out + "/image.boot")
                if check.returncode != 0:
                    problem = "call %d failed, and the image is bad: %s" % (
                        when, message(check))
                worked += 1
            elif done.returncode != FAILED:
                problem = "call %d: %s" % (when, message(done))
            else:
                # The directory may fail to be synced after the rename; and then the
                # result is told.
                found = left_over(out, whole=calls.startswith("f") or
                                  b"standard output" in done.stderr)
                problem = found and "call %d: %s" % (when, found)
                failed += 1
            shutil.rmtree(os.path.dirname(out))
            if problem or worked == 3:
                break
        report.check("%s fails" % calls.replace(",", ", "), problem is None, problem)


def changing(work):
    """Files of sysfs say that they are 4096 bytes and give fewer: as if cut while read."""
    top = "/sys/kernel/mm/transparent_hugepage"
    try:
        with open(top + "/enabled", "rb") as f:
            shorter = len(f.read()) < os.stat(top + "/enabled").st_size
    except OSError:
        shorter = False
    if not shorter:
        report.skip("a file that becomes shorter", "no sysfs to try it with")
        return
    out = tempfile.mkdtemp(dir=work)
    done = build(out, top)
    judge("a file that becomes shorter", done, FAILED, out, ("while it was read",))


def wrong_sources(work):
    out = os.path.join(work, "never")
    done = build(out, os.path.join(work, "absent"))
    judge("no such source", done, FAILED, out, ("absent", "No such file"))
    text = os.path.join(work, "text")
    with open(text, "wb") as f:
        f.write(make_tree.prose("no tar", 20_000))
    judge("a source that is no tar", build(out, text), CORRUPT, out, ("text",))
    judge("a source that is a device", build(out, "/dev/null"), CORRUPT, out)
    done = build(out, work, options=("--level", "99"))
    report.check("a level that there is not", done.returncode == USAGE and
                 b"-7 to 22" in done.stderr, message(done))
    done = build(os.path.join(text, "below"), work)
    judge("an output below a file", done, FAILED, out, ("Not a directory",))


def nothing_overwritten(work, source, other):
    out = os.path.join(work, "once", "or", "twice")
    then_it_works("an output directory that is not there", out, source)
    before = {name: make_tree.sha256_of(os.path.join(out, name)) for name in files_of(out)}

    def same():
        return all(make_tree.sha256_of(os.path.join(out, name)) == digest
                   for name, digest in before.items())

    done = build(out, other)
    report.check("nothing is overwritten", done.returncode in (USAGE, FAILED) and same() and
                 files_of(out) == sorted(before) and b"--force" in done.stderr,
                 message(done) + " " + str(files_of(out)))
    done = build(out, "/dev/null", options=("--force",))
    report.check("--force, and the build fails: what was there stays",
                 done.returncode == CORRUPT and same(), message(done))
    old = make_tree.sha256_of(os.path.join(out, "image.boot"))
    done = build(out, other, options=("--force",))
    new = make_tree.sha256_of(os.path.join(out, "image.boot"))
    report.check("--force", done.returncode == 0 and new != old, message(done))
    done = run(RAFS, "check", out + "/image.boot")
    report.check("--force gives a good image", done.returncode == 0, message(done))


def into_itself(work):
    """The output lies in the source: the next build would take in this one's."""
    source = os.path.join(work, "itself")
    os.mkdir(source)
    make_tree.create(source, make_tree.small_tree("itself", 10))
    out = os.path.join(source, "a", "z-out")
    judge("the output lies in the source", build(out, source), USAGE, out,
          ("--exclude /a/z-out",))
    judge("the output is the source", build(source, source), USAGE,
          os.path.join(source, "blobs"), ("lies in",))
    beside = source + "-out"
    for pattern in ("/a/z-out", "z-*", "/?"):
        done = build(out, source, options=("--force", "--exclude", pattern))
        same = build(beside, source, options=("--force", "--exclude", pattern))
        report.check("... and is excluded by " + pattern,
                     done.returncode == same.returncode == 0 and
                     make_tree.sha256_of(out + "/image.boot") ==
                     make_tree.sha256_of(beside + "/image.boot"),
                     message(done) + message(same))


def main():
    why = mounts.no_mounts()
    with tempfile.TemporaryDirectory(prefix="fail-", dir=os.path.dirname(RAFS)) as work:
        source, other = os.path.join(work, "source"), os.path.join(work, "other")
        for path, seed in ((source, "one"), (other, "two")):
            os.mkdir(path)
            make_tree.create(path, make_tree.small_tree(seed))
        tar = os.path.join(work, "tree.tar")
        make_tree.write_tar(tar, make_tree.by_name(
            make_tree.possible(make_tree.small_tree("one", 80, 60_000))))
        half_a_tar(work, tar)
        if why:
            report.skip("a full disk", why)
        else:
            no_space(work, source)
        too_large(work, source)
        refused_calls(work, source)
        changing(work)
        wrong_sources(work)
        nothing_overwritten(work, source, other)
        into_itself(work)
        nobody_writes(work)
    return report.finish()


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rafs", required=True, help="the command under test")
RAFS = os.path.abspath(parser.parse_args().rafs)
sys.exit(main())
