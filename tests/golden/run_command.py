#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exit codes, messages and output of each subcommand of rafs.

Usage: run_command.py --rafs PATH

Needs tests/golden alone; what needs ../shared/testdata (RAFS_TESTDATA names another
place) is skipped by name where that is absent.
"""
import argparse
import array
import fcntl
import fnmatch
import hashlib
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
TIMEOUT = 60
COMMANDS = ["cache", "cat", "check", "chunks", "extract", "find", "info", "ls", "readlink",
            "stat", "tar"]
# Stored chunks: a byte of the blob is a byte of a file.
PLAIN = os.path.join(HERE, "v6-none", "image.boot")
ZSTD = os.path.join(HERE, "v6-zstd", "image.boot")
V5 = os.path.join(HERE, "v5-none", "image.boot")
LARGE = "/data/large"

counts = {"passed": 0, "failed": 0, "skipped": 0}


def report(name, problem):
    counts["failed" if problem else "passed"] += 1
    if problem:
        print("FAIL %s: %s" % (name, problem), flush=True)
    else:
        print("ok   %s" % name, flush=True)


def skip(name, why):
    counts["skipped"] += 1
    print("skip %s: %s" % (name, why), flush=True)


def rafs(*args, **more):
    more.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([RAFS] + list(args), stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT, **more)


def shown(run):
    return "exit %d, out %r, err %r" % (run.returncode, (run.stdout or b"")[:200],
                                        run.stderr[:400])


def expect(name, code, args, say=None, out=None, **more):
    """One run: its exit code, something that standard error holds, and its output."""
    run = rafs(*args, **more)
    problem = None
    if run.returncode != code:
        problem = "wanted exit %d: %s" % (code, shown(run))
    elif say is not None and say.encode() not in run.stderr:
        problem = "wanted %r: %s" % (say, shown(run))
    elif code == 0 and run.stderr:
        problem = "a success says nothing: %s" % shown(run)
    elif code not in (0, 3) and not run.stderr:
        problem = "a failure says why: %s" % shown(run)
    elif out is not None and run.stdout != out:
        problem = "wanted %r: %s" % (out[:200], shown(run))
    report(name, problem)
    return run


def expected():
    with open(os.path.join(HERE, "expected.jsonl")) as f:
        return [json.loads(line) for line in f]


def raw(path):
    return path.encode("latin-1")


def usage():
    expect("no command is a usage error", 2, [], "Usage")
    expect("unknown command has a hint", 2, ["lss"], "did you mean ls?")
    expect("unknown command without a near one", 2, ["frobnicate"], "unknown command")
    expect("unknown option has a hint", 2, ["ls", "--jsno", ZSTD], "did you mean --json?")
    expect("unknown kind of IMAGE", 2, ["ls", "ftp://bob:pa55@host/x"], "s3://")
    expect("OSS without an endpoint", 2, ["ls", "oss://bucket/x"], "--oss-endpoint")
    expect("unknown letter", 2, ["ls", "-x", ZSTD], "-x")
    expect("missing argument", 2, ["ls", ZSTD, "--digest"], "needs an argument")
    expect("unknown digest", 2, ["ls", "--digest", "md5", ZSTD], "sha256")
    expect("digest that is none", 2, ["ls", "--expect-digest", "sha256:12", ZSTD], "hex")
    expect("digest of zeros", 2, ["ls", "--expect-digest", "sha256:" + "0" * 64, ZSTD])
    expect("bad timeout", 2, ["ls", "--timeout", "soon", ZSTD], "seconds")
    expect("negative offset", 2, ["cat", "--offset", "-1", ZSTD, "/data/one"], "bytes")
    expect("bad test of find", 2, ["find", ZSTD, "-size", "big"], "big")
    expect("hint in the words of find", 2, ["find", ZSTD, "-nmae", "x"], "mean -name?")
    for command in COMMANDS:
        expect(command + " without IMAGE", 2, [command])
        for words in ([command, "--help"], ["help", command]):
            run = rafs(*words)
            good = run.returncode == 0 and b"Usage: rafs " + raw(command) in run.stdout \
                and b"--expect-digest" in run.stdout and not run.stderr
            report(" ".join(words), None if good else shown(run))
    run = rafs("--version")
    report("--version names it", None if run.stdout.startswith(b"rafs 1.") else shown(run))
    run = rafs("--help")
    missing = [c for c in COMMANDS if b"\n  " + raw(c) + b" " not in run.stdout]
    report("--help lists all commands", "not %s" % missing if missing else None)


def sources(tmp):
    expect("missing image", 3, ["ls", os.path.join(tmp, "none")], "No such file")
    expect("folder as image", 3, ["ls", tmp], "directory")
    expect("no image at all", 1, ["ls", os.path.join(HERE, "README.md")], "bootstrap")
    alone = os.path.join(tmp, "alone", "image.boot")
    os.makedirs(os.path.dirname(alone))
    shutil.copy(ZSTD, alone)
    expect("metadata needs no blob", 0, ["ls", "-lR", alone])
    expect("missing blob", 3, ["cat", alone, "/data/text"], "--blob-dir")
    blobs = os.path.join(HERE, "v6-zstd", "blobs")
    expect("blob from --blob-dir", 0, ["cat", "--blob-dir", blobs, alone, "/data/one"],
           out=b"1")
    expect("second --blob-dir is asked", 0,
           ["cat", "--blob-dir", tmp, alone, "/data/one", "--blob-dir", blobs], out=b"1")
    expect("missing --blob-dir", 3, ["ls", "--blob-dir", tmp + "/none", alone], "none")
    blob = os.listdir(blobs)[0]
    shutil.copy(os.path.join(blobs, blob), os.path.dirname(alone))
    expect("blob beside the image", 0, ["cat", alone, "/data/one"], out=b"1")
    os.remove(os.path.join(os.path.dirname(alone), blob))
    os.mkfifo(os.path.join(os.path.dirname(alone), blob))
    expect("a FIFO as blob fails and does not hang", 3, ["cat", alone, "/data/one"], blob)
    fifo = os.path.join(tmp, "fifo")
    os.mkfifo(fifo)
    expect("a FIFO as image fails and does not hang", 3, ["ls", fifo])


def paths():
    expect("no such path", 6, ["ls", ZSTD, "/nope"], "/nope")
    expect("file as directory", 6, ["cat", ZSTD, "/data/one/x"], "irectory")
    expect("cat of a directory", 6, ["cat", ZSTD, "/data"], "directory")
    expect("cat of a device", 6, ["cat", ZSTD, "/special/null"], "regular")
    expect("link loop", 6, ["cat", ZSTD, "/links/loop"], "links")
    expect("readlink of a file", 6, ["readlink", ZSTD, "/data/one"], "link")
    expect("chunks of a directory", 6, ["chunks", ZSTD, "/data"], "directory")
    expect("name too long", 6, ["stat", ZSTD, "/" + "x" * 300], "300")
    expect("cat follows links", 0, ["cat", ZSTD, "/links/short"], out=b"1")
    expect("readlink does not", 0, ["readlink", ZSTD, "/links/short"],
           out=b"../data/one\n")
    expect("the rest is still written", 6, ["cat", ZSTD, "/nope", "/data/one"], "nope",
           out=b"1")
    expect("options after operands", 0, ["cat", ZSTD, "/data/one", "--timeout", "5"],
           out=b"1")


def digests():
    with open(ZSTD, "rb") as f:
        boot = f.read()
    right = hashlib.sha256(boot).hexdigest()
    for form in ("sha256:", "blob-sha256:"):
        expect("right " + form, 0, ["cat", "--expect-digest", form + right, ZSTD,
                                    "/data/one"], out=b"1")
        expect("wrong " + form, 1, ["cat", "--expect-digest", form + "5" * 64, ZSTD,
                                    "/data/one"], "expected", out=b"")
    run = expect("wrong blake3:", 1, ["ls", "--expect-digest", "blake3:" + "5" * 64, ZSTD],
                 "expected", out=b"")
    words = run.stderr.decode().replace(",", " ").split()
    found = [w for w in words if len(w) == 64 and w != "5" * 64]
    report("a refusal says what was found", None if len(found) == 1 else shown(run))
    if found:
        expect("right blake3:", 0, ["cat", "--expect-digest", "blake3:" + found[0], ZSTD,
                                    "/data/one"], out=b"1")
    inline = os.path.join(HERE, "v6-inline", "blobs")
    image = os.path.join(inline, os.listdir(inline)[0])
    with open(image, "rb") as f:
        right = hashlib.sha256(f.read()).hexdigest()
    expect("right blob-sha256: of a blob", 0,
           ["cat", "--expect-digest", "blob-sha256:" + right, image, "/data/one"], out=b"1")
    expect("wrong blob-sha256: of a blob", 1,
           ["cat", "--expect-digest", "blob-sha256:" + "5" * 64, image, "/data/one"], out=b"")


def flip(tmp, image, path):
    """A copy of the blob with one bit flipped in the first chunk of a file."""
    run = rafs("chunks", "--json", image, path)
    extent = next(e for e in map(json.loads, run.stdout.splitlines()) if not e["hole"])
    source = os.path.join(os.path.dirname(image), "blobs")
    blob = json.loads(rafs("info", "--json", image).stdout)["blobs"][extent["blob"]]["id"]
    folder = tempfile.mkdtemp(dir=tmp)
    with open(os.path.join(source, blob), "rb") as f:
        data = bytearray(f.read())
    data[extent["compressed_offset"] + extent["compressed_size"] // 2] ^= 0x10
    with open(os.path.join(folder, blob), "wb") as f:
        f.write(data)
    return folder, source


def corrupt(tmp, image, label):
    whole = rafs("cat", image, LARGE).stdout
    bad, good = flip(tmp, image, LARGE)
    expect(label + ": a flipped bit gives no byte", 1, ["cat", "--blob-dir", bad, image,
                                                        LARGE], "blob", out=b"")
    expect(label + ": the next source is asked", 0,
           ["cat", "--blob-dir", bad, "--blob-dir", good, image, LARGE], out=whole)
    expect(label + ": 1 wins over 3 and 6", 1,
           ["cat", "--blob-dir", bad, image, "/nope", LARGE], "/nope")
    expect(label + ": 3 wins over 6", 3,
           ["cat", "--blob-dir", tmp, image, "/nope", LARGE], "/nope")
    want = rafs("ls", "-R", "--json", "--digest", "sha256", image).stdout.splitlines()
    run = expect(label + ": ls goes on after a bad file", 1,
                 ["ls", "-R", "--json", "--digest", "sha256", "--blob-dir", bad, image])
    got = run.stdout.splitlines()
    problem = None if len(got) == len(want) else "%d lines" % len(got)
    broken = 0
    for line, right in zip(got, want):
        if line == right or problem:
            continue
        line, right = json.loads(line), json.loads(right)
        broken += 1
        if not line.pop("error", "") or "sha256" in line or \
                line != {k: v for k, v in right.items() if k != "sha256"}:
            problem = "line %r" % line
    report(label + ": its line has error in place of sha256",
           problem or (None if broken else "none differs"))
    run = rafs("check", "--json", "--blob-dir", bad, image)
    events = [json.loads(line) for line in run.stdout.splitlines()]
    findings = [e for e in events if e["event"] == "finding"]
    good = run.returncode == 1 and events[-1]["event"] == "summary" and \
        events[-1]["corrupt"] >= 1 and any(
            e["code"] == "RAFS_E_CORRUPT" and "blob" in e["object"] for e in findings)
    report(label + ": check finds it", None if good else shown(run))


def checks(tmp):
    for image in (PLAIN, ZSTD, V5):
        run = rafs("check", image)
        good = run.returncode == 0 and b"nothing wrong found" in run.stdout
        report("check of %s finds nothing" % os.path.relpath(image, HERE),
               None if good else shown(run))
    run = rafs("check", "--blob-dir", tmp, ZSTD)
    good = run.returncode == 3 and b"unreadable: " in run.stdout
    report("check of a missing blob", None if good else shown(run))
    run = rafs("check", "--metadata-only", "--blob-dir", tmp, ZSTD)
    report("check of metadata needs no blob", None if run.returncode == 0 else shown(run))


def output():
    for args in (["cat", ZSTD, LARGE], ["cat", ZSTD, "/data/one"], ["ls", "-R", ZSTD],
                 ["info", ZSTD], ["--help"]):
        with open("/dev/full", "wb") as full:
            expect("full disk: " + args[0], 3, args, "No space left", stdout=full)
    for args in (["cat", ZSTD, LARGE], ["ls", "-R", ZSTD], ["tar", ZSTD]):
        reader, writer = os.pipe()
        os.close(reader)
        run = rafs(*args, stdout=writer)
        os.close(writer)
        report("a closed pipe ends %s quietly" % args[0],
               None if run.returncode == 3 and not run.stderr else shown(run))
    run = rafs("cat", ZSTD, "/data/one", stdout=None, preexec_fn=lambda: os.close(1))
    good = run.returncode == 3 and b"Bad file descriptor" in run.stderr
    report("closed standard output", None if good else shown(run))


def pipe_is_full(fd):
    waiting = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, waiting)
    # A writer of more than is free may block before the last byte is used.
    return waiting[0] >= 4096


def interrupt(number):
    """A reader that reads nothing: the command is blocked, and has to end."""
    child = subprocess.Popen([RAFS, "cat", ZSTD] + [LARGE] * 20, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    end = time.monotonic() + TIMEOUT
    while not pipe_is_full(child.stdout.fileno()) and time.monotonic() < end:
        select.select([child.stdout], [], [], 1)
    child.send_signal(number)
    try:
        # Not communicate(): that would empty the pipe.
        code = child.wait(timeout=TIMEOUT)
        said = child.stderr.read()
        good = code == 130 and said.count(b"\n") == 1 and b"interrupted" in said
        problem = None if good else "exit %d, err %r" % (code, said)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        problem = "went on"
    child.stdout.close()
    child.stderr.close()
    report("%s ends a blocked command" % signal.Signals(number).name, problem)


NO_TERMINAL = object()


def report_terminal(name, code, good, out):
    if code is NO_TERMINAL:
        skip(name, "no pseudo-terminal can be opened here (/dev/pts)")
    else:
        report(name, None if good else repr(out[-300:]))


def on_terminal(*args):
    """Exit code and output as a terminal gets it; NO_TERMINAL where there is none to be
    had, as in a chroot without /dev/pts."""
    try:
        master, slave = pty.openpty()
    except OSError:
        return NO_TERMINAL, b""
    env = dict(os.environ, LC_ALL="C.UTF-8")
    child = subprocess.Popen([RAFS] + list(args), stdout=slave, stderr=slave,
                             stdin=subprocess.DEVNULL, env=env)
    os.close(slave)
    out = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(master)
    return child.wait(timeout=TIMEOUT), out.replace(b"\r\n", b"\n")


def names():
    odd = [e["path"] for e in expected() if e["path"].startswith("/names/two")][0]
    latin = [e["path"] for e in expected() if e["path"].startswith("/names/\xff")][0]
    run = rafs("ls", ZSTD, "/names")
    want = b"".join(raw(e["path"])[7:] + b"\n" for e in expected()
                    if e["path"].startswith("/names/"))
    report("names are raw bytes in a pipe", None if run.stdout == want else shown(run))
    code, out = on_terminal("ls", ZSTD, "/names")
    good = code == 0 and b"'two'$'\\n''lines \"\\'\n" in out and \
        b"$'\\377\\376'' latin '$'\\351'" in out
    report_terminal("names are quoted on a terminal", code, good, out)
    run = rafs("ls", "--json", ZSTD, raw(odd))
    found = json.loads(run.stdout)["path"]
    report("names are exact in JSON", None if found == odd else found)
    expect("raw bytes in an argument", 0, ["stat", ZSTD, raw(latin)])
    run = expect("messages quote names", 6, ["ls", ZSTD, "/a\x1b[31m\nb"], "$'\\033'")
    report("a message is one line", None if run.stderr.count(b"\n") == 1 else shown(run))
    code, out = on_terminal("check", ZSTD)
    good = code == 0 and b"nothing wrong found" in out
    report_terminal("check on a terminal", code, good, out)


def listings():
    entries = expected()
    run = rafs("find", "-print0", ZSTD)
    want = b"".join(raw(e["path"]) + b"\0" for e in entries)
    report("find prints all paths in order", None if run.stdout == want else shown(run))
    tests = [
        (["-type", "f"], lambda e: e["type"] == "reg"),
        (["-type", "lp"], lambda e: e["type"] in ("lnk", "fifo")),
        (["-name", "*e"], lambda e: fnmatch.fnmatchcase(
            e["path"].rsplit("/", 1)[1] or "/", "*e")),
        (["-path", "/*/l*"], lambda e: fnmatch.fnmatchcase(e["path"], "/*/l*")),
        (["-size", "+64k"], lambda e: e["type"] == "reg" and e["size"] > 65536),
        (["-size", "-2c"], lambda e: e["type"] == "reg" and e["size"] < 2),
        (["-size", "4096c"], lambda e: e["type"] == "reg" and e["size"] == 4096),
        (["-perm", "-4000"], lambda e: e["mode"] & 0o4000),
        (["-perm", "/6000"], lambda e: e["mode"] & 0o6000),
        (["-perm", "644"], lambda e: e["mode"] == 0o644),
        (["-links", "3", "-type", "f"], lambda e: e["nlink"] == 3 and e["type"] == "reg"),
        (["-xattr", "user.*"], lambda e: any(n.startswith("user.")
                                             for n in e.get("xattrs", {}))),
    ]
    for test, passes in tests:
        run = rafs("find", ZSTD, "-print0", *test)
        want = b"".join(raw(e["path"]) + b"\0" for e in entries if passes(e))
        good = run.returncode == 0 and run.stdout == want and want
        report("find " + " ".join(test), None if good else shown(run))
    run = rafs("find", ZSTD, "/data", "-name", "o*")
    report("find below a path", None if run.stdout == b"/data/one\n" else shown(run))
    run = rafs("stat", "--json", ZSTD, *[raw(e["path"]) for e in entries])
    problem = None
    for line, entry in zip(run.stdout.splitlines(), entries):
        got = json.loads(line)
        if json.dumps(got, sort_keys=True).encode() != line:
            problem = problem or "keys are not in order: %r" % line
        for key, value in entry.items():
            if key not in ("hardlink_of", "sha256") and got.get(key) != value:
                problem = problem or "%s of %s" % (key, entry["path"])
    if len(run.stdout.splitlines()) != len(entries):
        problem = shown(run)
    report("stat --json agrees with the listing", problem)
    run = rafs("info", "--json", ZSTD)
    info = json.loads(run.stdout)
    good = json.dumps(info, sort_keys=True).encode() + b"\n" == run.stdout and \
        info["version"] == 6 and len(info["blobs"]) == 1
    report("info --json", None if good else shown(run))
    run = rafs("ls", "-l", ZSTD, "/special")
    good = b"brw-r-----" in run.stdout and b"259, 70000" in run.stdout and \
        b"2020-09-13 12:27:30 blk\n" in run.stdout
    report("ls -l looks like ls -l", None if good else shown(run))
    run = rafs("ls", "-l", ZSTD, "/links")
    report("ls -l shows targets",
           None if b" short -> ../data/one\n" in run.stdout else shown(run))
    run = rafs("ls", "-R", "--digest", "sha256", ZSTD)
    want = [e["sha256"].encode() for e in entries if "sha256" in e]
    got = [word for word in run.stdout.split() if len(word) == 64 and word in want]
    report("ls -R --digest without JSON", None if got == want else shown(run))


def ranges():
    whole = rafs("cat", PLAIN, LARGE).stdout
    size = len(whole)
    edges = [0, 1, 4095, 4096, 4097, size - 1, size, size + 1]
    problem = None
    for offset in edges:
        for length in (0, 1, 4096, 5000, size, 2 * size):
            run = rafs("cat", "--offset", str(offset), "--length", str(length), PLAIN,
                       LARGE)
            if run.returncode != 0 or run.stdout != whole[offset:offset + length]:
                problem = "%d bytes from %d: exit %d, %d bytes" % (
                    length, offset, run.returncode, len(run.stdout))
    report("cat of ranges", problem)
    run = rafs("cat", "--offset", "4K", PLAIN, LARGE)
    report("cat --offset 4K", None if run.stdout == whole[4096:] else shown(run))
    for image in (PLAIN, ZSTD, V5):
        run = rafs("chunks", "--json", image, "/data/sparse")
        extents = [json.loads(line) for line in run.stdout.splitlines()]
        at = 0
        good = bool(extents)
        for extent in extents:
            good = good and extent["offset"] == at
            at += extent["length"]
        size = json.loads(rafs("stat", "--json", image, "/data/sparse").stdout)["size"]
        report("chunks of %s cover the file" % os.path.relpath(image, HERE),
               None if good and at == size else shown(run))


def redirect(image, victim, target, out):
    """A copy of a v6 bootstrap in which the entry of one path names another inode."""
    def ino(path):
        return json.loads(rafs("stat", "--json", image, path).stdout)["ino"]
    with open(image, "rb") as f:
        data = bytearray(f.read())
    old, new = struct.pack("<Q", ino(victim)), struct.pack("<Q", ino(target))
    at, changed = data.find(old), 0
    while at >= 0:
        # A directory entry: u64 inode, u16 offset of the name, u8 type, u8 zero. "."
        # of the victim itself is one too, and may change as well.
        name, kind, zero = struct.unpack_from("<HBB", data, at + 8)
        if 12 <= name < 4096 and kind in (1, 2) and zero == 0:
            data[at:at + 8] = new
            changed += 1
        at = data.find(old, at + 1)
    with open(out, "wb") as f:
        f.write(data)
    return changed


def hostile(tmp):
    """What the image itself broke is corrupt (1), not a path that the user mistook (6)."""
    image = os.path.join(tmp, "hostile.boot")
    for victim, target in (("/deep/a", "/deep"), ("/deep/a", "/"),
                           ("/deep/a", "/deep/a/leaf"), ("/data/one", "/data")):
        name = "%s as %s: " % (target, victim)
        if not redirect(ZSTD, victim, target, image):
            report(name + "made", "no entry found")
            continue
        for args in (["ls", "-R"], ["ls", "-R", "--json"], ["find"],
                     ["check", "--metadata-only"]):
            run = rafs(*args, image)
            good = run.returncode == 1 and b"/special/sock" in run.stdout or \
                args[0] == "check" and run.returncode == 1
            report(name + " ".join(args), None if good else shown(run))


def unsupported():
    image = os.path.join(TESTDATA, "golden", "v6-encrypted", "image.boot")
    if not os.path.exists(image):
        skip("unsupported blobs", "no %s" % image)
        return
    expect("encrypted content", 4, ["cat", image, "/xattr/cap"], "encrypted", out=b"")
    expect("4 wins over 6", 4, ["cat", image, "/nope", "/xattr/cap"], "encrypted")
    run = rafs("check", image)
    report("check of encrypted blobs", None if run.returncode == 4 else shown(run))


def main():
    with tempfile.TemporaryDirectory() as tmp:
        usage()
        sources(os.path.join(tmp))
        paths()
        digests()
        corrupt(tmp, PLAIN, "v6-none")
        corrupt(tmp, ZSTD, "v6-zstd")
        corrupt(tmp, V5, "v5-none")
        checks(tmp)
        output()
        interrupt(signal.SIGINT)
        interrupt(signal.SIGTERM)
        names()
        listings()
        ranges()
        hostile(tmp)
        unsupported()
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] else 0


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rafs", required=True, help="the command under test")
RAFS = os.path.abspath(parser.parse_args().rafs)
sys.exit(main())
