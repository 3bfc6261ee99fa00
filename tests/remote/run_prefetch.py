#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rafs pull, prefetch and trace: an image that was pulled is read without its registry; a
pull that ends early, however it ends, goes on where it was; a trace of one run brings the
next one just what that needed.

The registry is our own (below), counts what it is asked for, and can hold answers back.
Usage: run_prefetch.py --rafs PATH
"""
import argparse
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from oci_image import GOLDEN, MANIFEST, make_image, sha  # noqa: E402
from report import Report  # noqa: E402

KIND = "v5-none"  # its blob is the largest
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RAFS_CACHE_DIR": ""}
report = Report()


class Registry(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, kind):
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs, self.manifest, _ = make_image(kind)
        self.data = {d for d in self.blobs
                     if os.path.exists(os.path.join(GOLDEN, kind, "blobs", d[7:]))}
        self.lock = threading.Lock()
        self.requests, self.data_requests, self.data_bytes = 0, 0, 0
        self.hold_after = None  # data requests that are answered before all others wait
        self.holding, self.go_on = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.image = (f"docker://127.0.0.1:{self.server_address[1]}/app@"
                      f"{sha(self.manifest)}")

    def stop(self):
        self.go_on.set()
        self.shutdown()
        self.server_close()

    def reset(self, hold_after=None):
        with self.lock:
            self.requests, self.data_requests, self.data_bytes = 0, 0, 0
            self.hold_after = hold_after
            self.holding.clear()
            self.go_on.clear()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        registry = self.server
        name = self.path.rsplit("/", 1)[-1]
        with registry.lock:
            registry.requests += 1
        if "/manifests/" in self.path:
            return self.answer(registry.manifest, MANIFEST)
        if name in registry.blobs:
            return self.blob(registry, name)
        if self.path == "/v2/":
            return self.answer(b"{}", "application/json")
        self.send_error(404)

    def blob(self, registry, name):
        data = registry.blobs[name]
        if name not in registry.data:
            return self.answer(data, "application/octet-stream")
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not asked:
            return self.answer(data, "application/octet-stream")
        begin, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
        with registry.lock:
            registry.data_requests += 1
            held = (registry.hold_after is not None and
                    registry.data_requests > registry.hold_after)
        if held:
            registry.holding.set()
            registry.go_on.wait()
            self.close_connection = True
            return None
        with registry.lock:
            registry.data_bytes += end - begin
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self.wfile.write(data[begin:end])
        return None

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def rafs(*args):
    return subprocess.run([RAFS] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100,
                          env=ENV)


def shown(run):
    return f"exit {run.returncode}, {run.stderr[-400:]!r}"


def objects(run):
    return [json.loads(line) for line in run.stdout.splitlines()]


def disk(*args):
    return rafs(args[0], os.path.join(GOLDEN, KIND, "image.boot"), *args[1:]).stdout


def pull_and_read_offline(folder):
    registry = Registry(KIND)
    cache = ["--cache-dir", os.path.join(folder, "offline")]
    run = rafs("pull", *cache, "--dry-run", "--json", registry.image)
    missing = objects(run)
    report.check("dry run: all is missing", run.returncode == 0 and len(missing) == 1 and
                 missing[0]["chunks_missing"] == missing[0]["chunks"] > 0, shown(run))
    report.check("dry run: nothing was fetched", registry.data_requests == 0)
    run = rafs("pull", *cache, "--json", "--progress=json", registry.image)
    end = objects(run)[-1]
    report.check("pull: all is there", run.returncode == 0 and
                 end["chunks_done"] == end["chunks_total"] == end["chunks_fetched"] and
                 end["bytes_done"] == end["bytes_total"] == end["bytes_fetched"],
                 shown(run) + str(end))
    report.check("pull: one request for a small blob", registry.data_requests == 1,
                 registry.data_requests)
    report.check("pull: no stored byte twice",
                 registry.data_bytes <= sum(len(registry.blobs[d])
                                            for d in registry.data))
    with registry.lock:
        whole = registry.requests
    report.check("pull: manifest, bootstrap, config and blob", whole == 4, whole)
    kept = rafs("cache", "ls", "--json", *cache).stdout
    report.check("pull: the config is kept", b"config-" in kept, kept)
    registry.reset()
    run = rafs("pull", *cache, "--json", registry.image)
    report.check("pull again: no request at all", run.returncode == 0 and
                 registry.requests == 0 and objects(run)[-1]["chunks_fetched"] == 0,
                 f"{registry.requests} requests, " + shown(run))
    run = rafs("pull", *cache, registry.image, "--dry-run")
    report.check("dry run: nothing is missing", b" 0 of " in run.stdout or
                 b": 0 of" in run.stdout, run.stdout)
    registry.stop()
    for command in (["ls", "-lR"], ["tar"]):
        run = rafs(*command, *cache, registry.image)
        report.check(f"offline: {command[0]}", run.returncode == 0 and
                     run.stdout == disk(*command), shown(run))


def full(folder):
    """What cannot be kept is an error, and what was kept is right."""
    registry = Registry(KIND)
    cache = ["--cache-dir", os.path.join(folder, "full")]
    run = rafs("pull", *cache, "--cache-quota", "200K", "--json", registry.image)
    end = objects(run)[-1]
    report.check("full: exit 3, and it says so", run.returncode == 3 and
                 end["chunks_unkept"] > 0 and b"kept" in run.stderr, shown(run) + str(end))
    run = rafs("tar", *cache, registry.image)
    report.check("full: all is read all the same", run.stdout == disk("tar"), shown(run))
    registry.stop()


def part_and_offline(folder):
    """What is not cached fails without its source, and says both."""
    registry = Registry(KIND)
    cache = ["--cache-dir", os.path.join(folder, "part")]
    names = rafs("find", os.path.join(GOLDEN, KIND, "image.boot"), "/", "-type", "f",
                 "-size", "+20k").stdout.decode().split()
    run = rafs("prefetch", *cache, "--json", registry.image, names[0])
    report.check("prefetch of a path", run.returncode == 0 and
                 0 < registry.data_bytes < 335448, shown(run))
    run = rafs("pull", *cache, "--dry-run", "--json", registry.image)
    line = objects(run)[0]
    report.check("dry run: a part is missing",
                 0 < line["chunks_missing"] < line["chunks"], line)
    registry.stop()
    run = rafs("cat", *cache, registry.image, names[0])
    report.check("offline: what was prefetched", run.returncode == 0 and
                 run.stdout == disk("cat", names[0]), shown(run))
    run = rafs("cat", *cache, "--timeout", "2", registry.image, names[-1])
    report.check("offline: the rest fails, and says why", run.returncode == 3 and
                 b"not in the cache" in run.stderr and b"onnect" in run.stderr, shown(run))


def interrupted(folder, how):
    """Killed after two of six requests: the rest comes later, and only the rest."""
    registry = Registry(KIND)
    cache = ["--cache-dir", os.path.join(folder, how.name)]
    registry.reset(hold_after=2)
    child = subprocess.Popen([RAFS, "pull", *cache, "--bandwidth", "128K",
                              registry.image], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
    report.check(f"{how.name}: the third request is under way",
                 registry.holding.wait(60))
    child.send_signal(how)
    err = child.communicate(timeout=60)[1]
    wanted = 130 if how == signal.SIGINT else -how
    report.check(f"{how.name}: exit {wanted}", child.returncode == wanted,
                 f"{child.returncode} {err[-300:]!r}")
    first = registry.data_bytes
    registry.go_on.set()
    registry.reset()
    run = rafs("pull", *cache, "--json", registry.image)
    end = objects(run)[-1]
    report.check(f"{how.name}: it goes on", run.returncode == 0 and first > 0 and
                 end["chunks_done"] == end["chunks_total"] > end["chunks_fetched"] > 0,
                 shown(run) + str(end))
    report.check(f"{how.name}: what was there is not fetched again",
                 first + registry.data_bytes <= 335448,
                 f"{first} and then {registry.data_bytes}")
    registry.stop()
    run = rafs("tar", *cache, registry.image)
    report.check(f"{how.name}: all is right in the end", run.stdout == disk("tar"),
                 shown(run))


def traces(folder):
    registry = Registry(KIND)
    image = os.path.join(GOLDEN, KIND, "image.boot")
    names = rafs("find", image, "/", "-type", "f",
                 "-size", "+2k").stdout.decode().split()[:6]
    trace = os.path.join(folder, "some.trace")
    run = rafs("cat", "--no-cache", "--trace-record", trace, registry.image, *names)
    report.check("a run is recorded", run.returncode == 0 and os.path.getsize(trace) > 96,
                 shown(run))
    run = rafs("trace", "show", "--json", trace)
    lines = objects(run)
    uses = [line for line in lines if line["event"] == "use"]
    report.check("trace show", run.returncode == 0 and lines[0]["events"] == len(uses) and
                 lines[0]["complete"] and
                 [u["time_us"] for u in uses] == sorted(u["time_us"] for u in uses),
                 shown(run))
    report.check("trace show, for people", rafs("trace", "show", trace).stdout.count(b"\n")
                 >= len(uses) + 4)
    svg = os.path.join(folder, "some.svg")
    run = rafs("trace", "plot", trace, "-o", svg)
    picture = xml.etree.ElementTree.parse(svg).getroot() if run.returncode == 0 else None
    marks = [p.get("d") for p in picture.iter("{http://www.w3.org/2000/svg}path")
             if p.get("fill")] if picture is not None else []
    report.check("trace plot: a mark for each chunk", sum(d.count("M") for d in marks) ==
                 len(uses), f"{marks} {shown(run)}")
    registry.reset()
    cache = ["--cache-dir", os.path.join(folder, "replayed")]
    run = rafs("prefetch", *cache, "--trace", trace, "--json", registry.image)
    end = objects(run)[-1]
    report.check("replay: just what was used", run.returncode == 0 and
                 end["chunks_fetched"] == len(uses), shown(run) + str(end))
    report.check("replay: in few requests", registry.data_requests <= len(names),
                 registry.data_requests)
    registry.stop()
    run = rafs("cat", *cache, registry.image, *names)
    report.check("replay: then it needs nobody", run.returncode == 0 and
                 run.stdout == disk("cat", *names), shown(run))
    damaged = bytearray(open(trace, "rb").read())
    damaged[-40] ^= 1
    with open(trace, "wb") as f:
        f.write(damaged)
    for command in (["trace", "show", trace], ["prefetch", "--trace", trace, *cache,
                                               registry.image]):
        run = rafs(*command)
        report.check(f"{command[0]}: a damaged trace is refused", run.returncode == 1 and
                     run.stderr.count(b"\n") == 1, shown(run))


def learning(folder):
    """--learn: the second run asks beforehand for what the first one read."""
    registry = Registry(KIND)
    cache = os.path.join(folder, "learnt")
    names = rafs("find", os.path.join(GOLDEN, KIND, "image.boot"), "/", "-type", "f",
                 "-size", "+20k").stdout.decode().split()[:2]
    run = rafs("cat", "--learn", "--cache-dir", cache, registry.image, names[0])
    report.check("learn: first run", run.returncode == 0, shown(run))
    run = rafs("trace", "show", "--json", "--cache-dir", cache, registry.image)
    report.check("learn: a trace is kept", run.returncode == 0 and
                 objects(run)[0]["events"] > 0, shown(run))
    run = rafs("cat", "--learn", "--cache-dir", cache, registry.image, names[1])
    more = rafs("trace", "show", "--json", "--cache-dir", cache, registry.image)
    report.check("learn: the next run adds to it", run.returncode == 0 and
                 objects(more)[0]["events"] > objects(rafs(
                     "trace", "show", "--json", "--cache-dir", cache,
                     registry.image))[0]["events"] - 1, shown(more))
    run = rafs("trace", "show", "--cache-dir", os.path.join(folder, "none"),
               registry.image)
    report.check("no trace: says so", run.returncode == 3 and b"--learn" in run.stderr,
                 shown(run))
    registry.stop()


def mistakes(folder):
    image = os.path.join(GOLDEN, KIND, "image.boot")
    cache = ["--cache-dir", os.path.join(folder, "mistakes")]
    for name, args, code in (
            ("pull without a cache", ["pull", "--no-cache", image], 2),
            ("pull of nothing", ["pull", *cache], 2),
            ("prefetch of nothing", ["prefetch", *cache, image], 2),
            ("prefetch of a path that is not there", ["prefetch", *cache, image, "/x"], 6),
            ("prefetch of two kinds", ["prefetch", *cache, "--table", image, "/"], 2),
            ("no bandwidth", ["pull", *cache, "--bandwidth", "0", image], 2),
            ("an odd progress", ["pull", *cache, "--progress", "loud", image], 2),
            ("trace of nothing", ["trace", "show"], 2),
            ("plot to nowhere", ["trace", "plot", image], 2),
            ("a trace that is not there", ["prefetch", *cache, "--trace",
                                           os.path.join(folder, "nothing"), image], 3)):
        run = rafs(*args)
        report.check(name, run.returncode == code and run.stderr, shown(run))
    run = rafs("prefetch", *cache, "--table", "--json",
               os.path.join(GOLDEN, "v6-prefetch-fs", "image.boot"))
    report.check("prefetch of the image's own list", run.returncode == 0 and
                 objects(run)[-1]["chunks_fetched"] > 0, shown(run))


def main():
    folder = tempfile.mkdtemp()
    try:
        pull_and_read_offline(folder)
        full(folder)
        part_and_offline(folder)
        interrupted(folder, signal.SIGINT)
        interrupted(folder, signal.SIGKILL)
        traces(folder)
        learning(folder)
        mistakes(folder)
    finally:
        shutil.rmtree(folder)
    return report.finish()


parser = argparse.ArgumentParser()
parser.add_argument("--rafs", required=True)
RAFS = parser.parse_args().rafs
sys.exit(main())
