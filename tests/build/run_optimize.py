#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rafs optimize: the same files, the same bytes, and fewer requests, which a server counts.

Usage: run_optimize.py --rafs PATH

nydus-image is taken from $NYDUS_IMAGE or PATH; what needs it is skipped by name.
"""
import argparse
import http.server
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import mounts  # noqa: E402
from report import Report  # noqa: E402

report = Report()
ENV = dict(os.environ, RAFS_CACHE_DIR="")
NYDUS = os.environ.get("NYDUS_IMAGE") or shutil.which("nydus-image")


class Blobs(http.server.BaseHTTPRequestHandler):
    """Blobs out of folders; counts what they are asked for and give."""
    protocol_version = "HTTP/1.1"
    folders, lock, requests, sent = [], threading.Lock(), 0, 0

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        paths = [os.path.join(f, os.path.basename(self.path)) for f in Blobs.folders]
        path = next((p for p in paths if os.path.exists(p)), None)
        if not path:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with open(path, "rb") as f:
            data = f.read()
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first:last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            with Blobs.lock:
                Blobs.requests += 1
                Blobs.sent += len(data)
            self.wfile.write(data)


def rafs(*args):
    return subprocess.run([RAFS, *map(str, args)], stdout=subprocess.PIPE, timeout=300,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENV)


def good(name, run, code=0):
    return report.check(name, run.returncode == code, f"exit {run.returncode}: "
                        f"{run.stdout[-500:]!r} {run.stderr[-800:]!r}")


def counted(url, folders, *args):
    """A run from an empty cache: its output, requests and bytes."""
    Blobs.folders, Blobs.requests, Blobs.sent = folders, 0, 0
    run = rafs(args[0], "--blob-source", url, *args[1:])
    return run, Blobs.requests, Blobs.sent


def one(top, url, version, tree, paths):
    at = os.path.join(top, f"v{version}")
    name = f"v{version}"
    base, fast, listed = (os.path.join(at, n) for n in ("base", "fast", "listed"))
    image, quick = os.path.join(base, "image.boot"), os.path.join(fast, "image.boot")
    blobs, hot = os.path.join(base, "blobs"), os.path.join(fast, "blobs")
    good(f"{name}: build", rafs("build", "--fs-version", version, "--chunk-size", 65536,
                                "--no-sync", "-o", base, tree))
    trace = os.path.join(at, "trace")
    want = rafs("cat", "--trace-record", trace, image, *paths)
    good(f"{name}: record", want)
    run = rafs("optimize", "--no-sync", "--json", "--trace", trace, "-o", fast, image)
    if not good(f"{name}: optimize", run):
        return
    told = json.loads(run.stdout)
    files = sorted(os.listdir(hot))
    report.check(f"{name}: one blob more, of what was read", told["blobs"] == 2 and len(files) == 1
                 and 0 < told["stored_chunks"] < 100, told)
    good(f"{name}: the same image", rafs("diff", image, quick))
    good(f"{name}: every byte of it", rafs("check", "--blob-dir", hot, "--blob-dir", blobs, quick))
    run = rafs("cat", "--blob-dir", hot, quick, *paths)
    report.check(f"{name}: what was read needs the new blob alone", run.returncode == 0 and
                 run.stdout == want.stdout, run.stderr)

    cache = os.path.join(at, "cache")

    def cold(word, *args):
        numbers = []
        for what, folders in ((image, [blobs]), (quick, [blobs, hot])):
            shutil.rmtree(cache, ignore_errors=True)
            run, requests, sent = counted(url, folders, *args, what, *paths)
            good(f"{name}: {word}", run)
            numbers.append((requests, sent))
        (before, before_bytes), (after, after_bytes) = numbers
        print(f"{name}: {word}: {before} requests of {before_bytes} bytes before, {after} of "
              f"{after_bytes} after")
        report.check(f"{name}: {word} takes a third of the requests at most",
                     0 < after <= before // 3 and after_bytes <= before_bytes * 1.1, numbers)
    cold("fetched beforehand", "prefetch", "--cache-dir", cache)
    if version == 6:  # in version 5 nothing tells a reader what lies beside a chunk
        cold("read one after the other", "cat", "--no-cache")
    mounted(name, at, version, quick, [blobs, hot], tree, paths)
    tables(name, at, listed, image, trace, paths, blobs)
    if NYDUS:
        for path in (quick, os.path.join(listed, "image.boot")):
            run = subprocess.run([NYDUS, "check", "-B", path], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
            report.check(f"{name}: nydus-image checks {os.path.relpath(path, at)}",
                         run.returncode == 0, run.stdout)
    else:
        report.skip(f"{name}: nydus-image check", "no nydus-image")


def mounted(name, at, version, image, folders, tree, paths):
    """nydusd reads what was laid out anew."""
    nydusd = mounts.program("NYDUSD", "nydusd")
    reason = "no nydusd" if not nydusd else NO_MOUNTS
    if not reason and not os.path.exists("/dev/fuse"):
        reason = "no /dev/fuse"
    if reason:
        report.skip(f"{name}: nydusd", reason)
        return
    together = os.path.join(at, "together")
    os.mkdir(together)
    for folder in folders:
        for blob in os.listdir(folder):
            os.link(os.path.join(folder, blob), os.path.join(together, blob))
    try:
        with mounts.Nydusd(nydusd, image, together, at, version) as point:
            wrong = []
            for path in paths + ["/d0/f0", "/d19/f399"]:
                with open(point + path, "rb") as got, open(tree + path, "rb") as want:
                    if got.read() != want.read():
                        wrong.append(path)
            report.check(f"{name}: nydusd reads the same", not wrong, wrong)
    except ValueError as error:
        report.check(f"{name}: nydusd", False, error)


def tables(name, at, listed, image, trace, paths, blobs):
    good(f"{name}: --table", rafs("optimize", "--no-sync", "--table", "--trace", trace, "-o",
                                  listed, image))
    boot = os.path.join(listed, "image.boot")
    good(f"{name}: the same image with a table", rafs("diff", image, boot))
    report.check(f"{name}: no blob is written", not os.path.exists(os.path.join(listed, "blobs")))
    told = json.loads(rafs("info", "--json", boot).stdout)
    listing = {json.loads(rafs("stat", "--json", boot, p).stdout)["ino"]: p for p in paths}
    got = [listing.get(e["ino"] if isinstance(e, dict) else e) for e in told["prefetch"]]
    report.check(f"{name}: the table is the trace's files in its order", got == paths,
                 (got[:5], paths[:5]))
    good(f"{name}: nothing is replaced unasked", rafs("optimize", "--table", "--trace", trace, "-o",
                                                      listed, image), 2)
    other = os.path.join(at, "other")
    os.mkdir(os.path.join(at, "small"))
    with open(os.path.join(at, "small", "file"), "wb") as f:
        f.write(b"x" * 10)
    rafs("build", "--fs-version", name[1], "--chunk-size", 65536, "-o", other,
         os.path.join(at, "small"))
    out = os.path.join(at, "wrong")
    run = rafs("optimize", "--trace", trace, "-o", out, os.path.join(other, "image.boot"))
    report.check(f"{name}: a trace of another image is refused, and nothing left", run.returncode
                 == 4 and b"not of this image" in run.stderr and
                 not os.path.exists(os.path.join(out, "image.boot")) and
                 not os.listdir(os.path.join(out, "blobs")), run)
    blob = os.path.join(blobs, os.listdir(blobs)[0])
    with open(blob, "r+b") as f:
        f.write(b"\0" * os.path.getsize(blob))
    run = rafs("optimize", "--trace", trace, "-o", out, image)
    report.check(f"{name}: nothing is stored again that does not verify", run.returncode == 1 and
                 not os.path.exists(os.path.join(out, "image.boot")) and
                 not os.listdir(os.path.join(out, "blobs")), run)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blobs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="rafs-optimize-") as top:
        tree = os.path.join(top, "tree")
        names = [f"/d{i % 20}/f{i}" for i in range(400)]
        for name in names:
            os.makedirs(os.path.dirname(tree + name), exist_ok=True)
            with open(tree + name, "wb") as f:
                f.write(rng.randbytes(rng.randint(1000, 90000)))
        paths = rng.sample(names, 40)
        for version in (5, 6):
            one(top, url, version, tree, paths)
    server.shutdown()
    server.server_close()
    return report.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    NO_MOUNTS = mounts.no_mounts()
    sys.exit(main())
