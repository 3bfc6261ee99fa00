#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The cache as users of the command see it: where it is, what `rafs cache` shows and does,
and what happens where there can be none. Usage: run_cache_command.py --rafs PATH
"""
import argparse
import ctypes
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from oci_image import GOLDEN, blobs_of, make_image, sha  # noqa: E402
from report import Report  # noqa: E402
from server import Server  # noqa: E402

KIND = "v6-zstd"
FILE = "/data/large"
BLOBS = sorted(blobs_of(KIND))
SUBCOMMANDS = ["ls", "du", "gc", "pin", "unpin", "scrub", "path"]
# Each test says where its cache is.
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
report = Report()


class Registry(Server):
    """Has one image, and counts what is asked for of its blobs."""

    def __init__(self):
        blobs, manifest, self.layer = make_image(KIND)[:3]
        named = "application/vnd.oci.image.manifest.v1+json"

        def act(request, client):
            name = request.path.split("/")[-1]
            if "/manifests/" in request.path:
                client.part(request, manifest, [("Content-Type", named)])
            elif name in blobs:
                client.part(request, blobs[name])
            else:
                client.answer(404)
        super().__init__(act)
        self.image = f"docker://{self.host}/lib/app@{sha(manifest)}"

    def data_requests(self):
        return [r.path for r in self.log if any(b in r.path for b in BLOBS)]


def rafs(*args, env=None, unset=(), before=(), **more):
    where = dict(ENV, **(env or {}))
    for name in unset:
        where.pop(name, None)
    return subprocess.run([*before, RAFS, *args], stdin=subprocess.DEVNULL, timeout=100,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=where,
                          check=False, **more)


def shown(run):
    return f"exit {run.returncode}, {run.stdout[-300:]!r}, {run.stderr[-500:]!r}"


def check(name, run, code=0, out=None, err=None, quiet=True):
    """Exit code; something that is in the output; a failure says why, a success nothing."""
    good = run.returncode == code and (out is None or out.encode() in run.stdout) and \
        (err is None or err.encode() in run.stderr)
    if err is None and quiet:
        good = good and bool(run.stderr) == (code not in (0, 1))
    report.check(name, good, shown(run))
    return run


def lines(run):
    return [json.loads(line) for line in run.stdout.splitlines()]


def local(*args):
    return rafs(args[0], os.path.join(GOLDEN, KIND, "image.boot"), *args[1:]).stdout


def fill(registry, cache, env=None):
    run = rafs("tar", *(["--cache-dir", cache] if cache else []), registry.image, env=env)
    assert run.returncode == 0, shown(run)


# --- where it is ------------------------------------------------------------------------

def places(folder, registry):
    """--cache-dir, RAFS_CACHE_DIR, the home directory; nothing for images that are files."""
    named, other, home = (os.path.join(folder, n) for n in ("named", "other", "home"))
    run = rafs("cat", registry.image, FILE, env={"RAFS_CACHE_DIR": named})
    report.check("RAFS_CACHE_DIR is where a remote image is kept",
                 run.returncode == 0 and os.path.exists(named + "/version"), shown(run))
    registry.log.clear()
    check("and found again", rafs("cat", registry.image, FILE, env={"RAFS_CACHE_DIR": named}))
    report.check("without a request", not registry.log, registry.log)
    check("--cache-dir wins", rafs("cat", "--cache-dir", other, registry.image, FILE,
                                   env={"RAFS_CACHE_DIR": named}))
    report.check("and is used", os.path.exists(other + "/version"), "no version")
    registry.log.clear()
    check("--no-cache", rafs("cat", "--no-cache", registry.image, FILE,
                             env={"RAFS_CACHE_DIR": named}))
    report.check("asks the registry", registry.data_requests(), registry.log)
    check("the last of --no-cache and --cache-dir counts",
          rafs("cache", "path", "--no-cache", "--cache-dir", other), out=other + "\n")
    check("an image that is a file is not kept",
          rafs("cat", os.path.join(GOLDEN, KIND, "image.boot"), FILE,
               env={"RAFS_CACHE_DIR": os.path.join(folder, "unused")}))
    report.check("nowhere", not os.path.exists(os.path.join(folder, "unused")), "it is")
    os.mkdir(home)
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        report.skip("the home directory", "setpriv is not installed")
        return
    drop = nobody(folder)
    os.chown(home, 65534, 65534) if drop else None
    for name, env, want in (
            ("~/.cache/rafs", {"HOME": home}, home + "/.cache/rafs"),
            ("XDG_CACHE_HOME", {"HOME": home, "XDG_CACHE_HOME": home + "/x"}, home + "/x/rafs"),
            ("XDG_CACHE_HOME that is relative is none",
             {"HOME": home, "XDG_CACHE_HOME": "x"}, home + "/.cache/rafs")):
        check(name, rafs("cache", "path", env=env, unset=["RAFS_CACHE_DIR"], before=drop),
              out=want + "\n")
    check("the default place is made with its parents",
          rafs("cat", registry.image, FILE, env={"HOME": home}, unset=["RAFS_CACHE_DIR"],
               before=drop))
    modes = [oct(os.stat(home + p).st_mode & 0o777) for p in ("/.cache", "/.cache/rafs")]
    report.check("for the user alone", modes == ["0o700", "0o700"], modes)
    if os.geteuid() == 0:
        check("root's is below /var/cache",
              rafs("cache", "path", unset=["RAFS_CACHE_DIR"]), out="/var/cache/rafs\n")


def nobody(folder):
    """What makes root a user; nothing for others."""
    if os.geteuid() != 0:
        return []
    for part in (folder, os.path.dirname(folder)):
        os.chmod(part, os.stat(part).st_mode | 0o011)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def no_place(folder, registry):
    """A default that cannot be used costs a warning, one that was named the run."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        report.skip("places that cannot be used", "setpriv is not installed")
        return
    drop = nobody(folder)
    closed = os.path.join(folder, "closed")
    os.makedirs(closed)
    os.chmod(closed, 0o555)
    want = local("cat", FILE)
    run = rafs("cat", registry.image, FILE, env={"HOME": closed}, unset=["RAFS_CACHE_DIR"],
               before=drop)
    report.check("a home that cannot be written to: a warning, and the file",
                 run.returncode == 0 and run.stdout == want and
                 run.stderr.count(b"\n") == 1 and b"warning: nothing is cached" in run.stderr
                 and b"--no-cache" in run.stderr, shown(run))
    check("silent with --no-cache", rafs("cat", "--no-cache", registry.image, FILE,
                                         env={"HOME": closed}, before=drop))
    for name, args, env in (
            ("--cache-dir", ["--cache-dir", closed + "/x"], {}),
            ("RAFS_CACHE_DIR", [], {"RAFS_CACHE_DIR": closed + "/x"})):
        run = rafs("cat", *args, registry.image, FILE, env=env, before=drop)
        report.check(f"{name} that cannot be made is 3, and says which",
                     run.returncode == 3 and run.stdout == b"" and
                     b"closed/x: cannot be made" in run.stderr and
                     b"Permission denied" in run.stderr, shown(run))
    foreign = os.path.join(folder, "foreign")
    fill(registry, foreign)
    if drop:
        for sub in SUBCOMMANDS:
            operand = [BLOBS[0]] if sub in ("pin", "unpin", "path") else []
            check(f"cache {sub}: another user's is 3",
                  rafs("cache", sub, *operand, "--cache-dir", foreign, before=drop), code=3,
                  err="foreign: ")
    run = rafs("cache", "ls", "--cache-dir", "/dev/null")
    check("a file is no cache", run, code=3, err="/dev/null")
    full = os.path.join(folder, "mine")
    os.makedirs(full)
    with open(os.path.join(full, "thesis.txt"), "w", encoding="utf-8") as f:
        f.write("all of it")
    for sub in ("ls", "gc", "scrub"):
        run = rafs("cache", sub, "--cache-dir", full)
        check(f"cache {sub}: a folder with other things is refused", run, code=3,
              err="holds other things")
    report.check("and left alone", os.listdir(full) == ["thesis.txt"], os.listdir(full))


# --- what there is ----------------------------------------------------------------------

def shows(folder, registry):
    cache = os.path.join(folder, "shows")
    env = {"RAFS_CACHE_DIR": cache}
    for sub in ("ls", "du", "gc", "scrub"):
        check(f"cache {sub}: a named one has to be there", rafs("cache", sub, env=env),
              code=3, err="there is no such cache")
    check("cache path: needs not", rafs("cache", "path", env=env), out=cache + "\n")
    if os.geteuid() != 0:
        empty = {"HOME": os.path.join(folder, "nothing")}
        for sub in ("ls", "du", "gc", "scrub"):
            check(f"cache {sub}: the default place may be empty",
                  rafs("cache", sub, env=empty, unset=["RAFS_CACHE_DIR"]))
    fill(registry, None, env)
    run = check("cache ls", rafs("cache", "ls", env=env), out=BLOBS[0] + "\n")
    report.check("has a header", run.stdout.split()[:2] == [b"ON", b"DISK"], shown(run))
    entries = lines(check("cache ls --json", rafs("cache", "ls", "--json", env=env)))
    blob = [e for e in entries if e["name"] == BLOBS[0]]
    documents = sorted(e["name"].split("-")[0] for e in entries if e["kind"] == "document")
    report.check("tells all", len(blob) == 1 and blob[0]["chunks"] > 1 and
                 blob[0]["ready_bytes"] > 100000 and blob[0]["disk_bytes"] > 100000 and
                 abs(blob[0]["last_use"] - time.time()) < 1000 and
                 not blob[0]["pinned"] and not blob[0]["in_use"] and
                 documents == ["boot", "manifest"], entries)
    report.check("keys are in order",
                 all(list(e) == sorted(e) for e in entries), entries)
    sums = lines(check("cache du --json", rafs("cache", "du", "--json", env=env)))[0]
    report.check("sums up", sums["disk_bytes"] == sum(e["disk_bytes"] for e in entries) and
                 sums["blobs"] == 1 and sums["documents"] == 2 and
                 sums["chunks"] == blob[0]["chunks"] and sums["directory"] == cache and
                 0 < sums["keep_free_bytes"] <= 1 << 30 and
                 list(sums) == sorted(sums), sums)
    check("cache du", rafs("cache", "du", env=env), out="blobs:     1, ")
    run = rafs("cache", "du", "--json", env={"RAFS_CACHE_DIR": "shows"}, cwd=folder)
    report.check("of a relative path too", lines(run)[0]["keep_free_bytes"] ==
                 sums["keep_free_bytes"], shown(run))
    run = rafs("cache", "du", "--cache-keep-free", "3G", env=env)
    check("says what stays free", run, out="of which 3.0 GiB stay free")
    check("cache path", rafs("cache", "path", env=env), out=cache + "\n")
    data = f"{cache}/{BLOBS[0]}.blob.data\n"
    check("cache path BLOB", rafs("cache", "path", BLOBS[0], env=env), out=data)
    check("cache path IMAGE", rafs("cache", "path", registry.image, env=env), out=data)
    got = lines(rafs("cache", "path", "--json", registry.image, env=env))
    report.check("cache path --json", got == [{"blob": BLOBS[0], "path": data[:-1]}], got)
    with open(data[:-1], "rb") as f:
        report.check("the file is as large as the blob's end or less",
                     0 < len(f.read()) <= 1 << 26, "size")
    check("cache path of a blob that is not there is 6",
          rafs("cache", "path", "ab" * 32, env=env), code=6, err="nothing of this blob")
    report.check("a stranger's terminal is safe from names",
                 b"\033" not in rafs("cache", "path", "--blob", "a\033[1m", env=env).stderr,
                 "escape")


def usage():
    for sub in SUBCOMMANDS:
        run = rafs("cache", sub, "--help")
        report.check(f"cache {sub} --help", run.returncode == 0 and not run.stderr and
                     b"Usage: rafs cache " + sub.encode() in run.stdout and
                     b"--json" in run.stdout, shown(run))
        check(f"cache {sub} --frob", rafs("cache", sub, "--frob"), 2, err="--frob")
    check("cache without a command", rafs("cache"), 2, err="has to come first")
    check("cache with another", rafs("cache", "lss"), 2, err="did you mean ls?")
    check("cache with an option first", rafs("cache", "--json", "ls"), 2)
    for args in (["ls", "x"], ["du", "x"], ["gc", "x"], ["scrub", "x"], ["pin"], ["unpin"],
                 ["path", "a", "b"], ["gc", "--quota", "12x"], ["gc", "--keep-free", "-1"],
                 ["scrub", "--bandwidth", "fast"], ["ls", "--cache-quota", "x"],
                 ["ls", "--cache-keep-free", ""]):
        check(f"cache {' '.join(args)}", rafs("cache", *args), 2)
    for sub in SUBCOMMANDS:
        operand = ["00" * 32] if sub in ("pin", "unpin") else []
        check(f"cache {sub}: no cache at all", rafs("cache", sub, *operand, "--no-cache"), 2,
              err="turn")


# --- what is done -----------------------------------------------------------------------

def collects(folder, registry):
    cache = os.path.join(folder, "collects")
    env = {"RAFS_CACHE_DIR": cache}
    fill(registry, None, env)
    before = sorted(os.listdir(cache))
    run = rafs("cache", "gc", "--dry-run", "--quota", "0", "--json", env=env)
    events = lines(check("cache gc --dry-run --json", run))
    names = sorted(e["name"] for e in events if e["event"] == "would-evict")
    report.check("names all that would go",
                 len(names) == 3 and BLOBS[0] in names and events[-1]["evicted"] == 3 and
                 events[-1]["dry_run"] and events[-1]["fits"], events)
    report.check("and deletes nothing", sorted(os.listdir(cache)) == before, "changed")
    check("in words", rafs("cache", "gc", "--dry-run", "--quota", "0", env=env),
          out=f"would evict {BLOBS[0]} (")
    check("cache gc with nothing to do", rafs("cache", "gc", env=env), out="evicted 0 (0 B)")
    check("room for all", rafs("cache", "gc", "--quota", "1G", env=env), out="kept 3 (")
    # The default of what stays free is not in the way of a quota, and can be asked for.
    run = rafs("cache", "gc", "--keep-free", "1000T", "--dry-run", env=env)
    check("--keep-free", run, out="would evict 3 (")
    check("--cache-keep-free is its default",
          rafs("cache", "gc", "--cache-keep-free", "1000T", "--dry-run", env=env),
          out="would evict 3 (")
    check("--cache-quota is --quota's",
          rafs("cache", "gc", "--cache-quota", "1", "--dry-run", env=env),
          out="would evict 3 (")
    check("cache pin IMAGE", rafs("cache", "pin", registry.image, env=env),
          out=f"pinned {registry.image}\n")
    report.check("is listed", all(e["pinned"] for e in
                                  lines(rafs("cache", "ls", "--json", env=env))), "not")
    check("what is pinned stays", rafs("cache", "gc", "--quota", "0", env=env),
          out="what is pinned or in use does not let the cache fit")
    registry.log.clear()
    run = rafs("cat", registry.image, FILE, env=env)
    report.check("so the image needs no registry",
                 run.stdout == local("cat", FILE) and not registry.log, registry.log)
    got = lines(rafs("cache", "unpin", "--json", registry.image, env=env))
    report.check("cache unpin --json", got == [{"blobs": BLOBS, "name": registry.image,
                                                "pinned": False}], got)
    boot = os.path.join(GOLDEN, KIND, "image.boot")
    check("cache pin BOOTSTRAP BLOB", rafs("cache", "pin", boot, "12" * 32, env=env),
          out="pinned blob " + "12" * 32)
    entries = lines(rafs("cache", "ls", "--json", env=env))
    report.check("also of what is not there yet",
                 sorted(e["name"] for e in entries if e["pinned"]) ==
                 sorted(["12" * 32] + BLOBS), entries)
    check("the rest goes", rafs("cache", "gc", "--quota", "0", env=env), out="evicted 2 (")
    check("cache unpin", rafs("cache", "unpin", boot, "12" * 32, env=env))
    check("all goes", rafs("cache", "gc", "--quota", "0", env=env), out="kept 0 (0 B)")
    run = rafs("cache", "ls", env=env)
    check("and is gone", run)
    report.check("to the last line", run.stdout == b"", shown(run))
    check("cache pin of neither", rafs("cache", "pin", "/nothing/here", env=env), 3,
          err="/nothing/here")
    check("cache pin --blob of no name", rafs("cache", "pin", "--blob", "a/b", env=env), 2)
    check("a quota of the run is kept",
          rafs("tar", "--cache-quota", "300K", registry.image, env=env), quiet=False)
    used = lines(rafs("cache", "du", "--json", env=env))[0]["disk_bytes"]
    report.check("nearly", used <= 300 * 1024 + 65536, used)


def in_use(folder, registry):
    """What a process has open is shown, and stays."""
    env = {"RAFS_CACHE_DIR": os.path.join(folder, "in_use")}
    fill(registry, None, env)
    reader = subprocess.Popen([RAFS, "tar", registry.image], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=dict(ENV, **env))
    begun = reader.stdout.read(65536)  # the rest does not fit into the pipe
    entries = lines(rafs("cache", "ls", "--json", env=env))
    report.check("what is being read is in use",
                 [e["name"] for e in entries if e["in_use"]] == BLOBS, entries)
    check("and not evicted", rafs("cache", "gc", "--quota", "0", env=env), out="kept 1 (")
    check("in words", rafs("cache", "ls", env=env), out="  use  ")
    report.check("nor harmed", begun + reader.communicate()[0] == local("tar") and
                 reader.returncode == 0, reader.returncode)
    check("later it is", rafs("cache", "gc", "--quota", "0", env=env), out="evicted 1 (")


def scrubs(folder, registry):
    cache = os.path.join(folder, "scrubs")
    env = {"RAFS_CACHE_DIR": cache}
    fill(registry, None, env)
    check("cache scrub", rafs("cache", "scrub", env=env), out="nothing wrong found")
    with open(f"{cache}/{BLOBS[0]}.blob.data", "r+b") as f:
        byte = f.read(1)
        f.seek(0)
        f.write(bytes([byte[0] ^ 1]))
    run = check("a wrong chunk is 1", rafs("cache", "scrub", env=env), 1,
                out=f"corrupt: blob {BLOBS[0]} at byte 0: digest mismatch\n")
    report.check("and said once", run.stdout.count(b"corrupt:") == 1 and
                 b"1 wrong and forgotten" in run.stdout, shown(run))
    check("then it is forgotten", rafs("cache", "scrub", env=env))
    registry.log.clear()
    run = rafs("tar", registry.image, env=env)
    report.check("and fetched anew, alone", run.stdout == local("tar") and
                 len(registry.data_requests()) == 1, registry.data_requests())
    with open(f"{cache}/{BLOBS[0]}.blob.data", "r+b") as f:
        f.write(bytes([byte[0] ^ 1]))
    events = lines(check("cache scrub --json", rafs("cache", "scrub", "--json", env=env), 1,
                         quiet=False))
    report.check("one object for each",
                 [e["event"] for e in events] == ["finding", "summary"] and
                 events[0]["offset"] == 0 and events[1]["bad_chunks"] == 1 and
                 events[1]["complete"], events)
    boot = [n for n in os.listdir(cache) if n.startswith("boot-")][0]
    with open(os.path.join(cache, boot), "ab") as f:
        f.write(b"x")
    check("a wrong document too", rafs("cache", "scrub", env=env), 1, out=f"corrupt: {boot}: ")
    report.check("is deleted", boot not in os.listdir(cache), boot)
    check("a deadline is 3", rafs("cache", "scrub", "--bandwidth", "1", "--timeout", "0.1",
                                  env=env), 3, err="--timeout 0.1")
    interrupted(env)


def interrupted(env):
    """Ctrl-C at a terminal, once the bar is there."""
    master, slave = pty.openpty()
    child = subprocess.Popen([RAFS, "cache", "scrub", "--bandwidth", "1"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=slave, env=dict(ENV, **env))
    os.close(slave)
    said = b""
    while b"KiB" not in said and select.select([master], [], [], 60)[0]:
        said += os.read(master, 4096)
    child.send_signal(signal.SIGINT)
    out = child.communicate(timeout=60)[0]
    try:
        while True:
            said += os.read(master, 4096)
    except OSError:
        pass
    os.close(master)
    report.check("Ctrl-C is 130, after what was seen",
                 child.returncode == 130 and b"stopped after" in out and
                 b"% " in said and b"interrupted" in said, f"{child.returncode} {out} {said}")


def full_disk(folder, registry):
    """A file system of 1 MiB, in a mount name space of its own."""
    place = os.path.join(folder, "small")
    os.mkdir(place)
    # CLONE_NEWNS first: what is mounted is seen by this process and its children alone.
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(0x20000) != 0 or \
            subprocess.run(["mount", "--make-rprivate", "/"], check=False).returncode or \
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", place],
                           stderr=subprocess.DEVNULL, check=False).returncode:
        report.skip("a full disk", "mounting is not allowed here")
        return
    try:
        cache = os.path.join(place, "cache")
        args = ["tar", "--cache-dir", cache]
        run = rafs(*args, "--cache-keep-free", "0", registry.image)
        warned = [line for line in run.stderr.split(b"\n") if b"warning: " in line]
        report.check("a full disk: one warning, and all of the image",
                     run.returncode == 0 and run.stdout == local("tar") and
                     len(warned) == 1 and b"no space left" in warned[0], shown(run))
        subprocess.run(["rm", "-r", cache], check=True)
        run = rafs(*args, registry.image)
        left = os.statvfs(place)
        report.check("a part is left free where nothing else is said",
                     run.returncode == 0 and run.stdout == local("tar") and
                     b"warning" not in run.stderr and
                     left.f_bavail * 20 >= left.f_blocks - 20, f"{left} {shown(run)}")
    finally:
        subprocess.run(["umount", place], check=True)


def main():
    global RAFS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    for name in ("ASAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            ENV[name] = os.environ[name]
    usage()
    with tempfile.TemporaryDirectory() as folder, Registry() as registry:
        ENV["HOME"] = folder
        places(folder, registry)
        no_place(folder, registry)
        shows(folder, registry)
        collects(folder, registry)
        in_use(folder, registry)
        scrubs(folder, registry)
        full_disk(folder, registry)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
