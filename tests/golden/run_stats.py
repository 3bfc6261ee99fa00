#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What rafs --stats tells: forms, numbers against what a server saw, and OpenMetrics text
by a strict check of our own and by Prometheus' parser.

Usage: run_stats.py --rafs PATH

The program test_api_openmetrics beside rafs prints text with hostile names; without it,
or without python3-prometheus-client, what needs them is skipped by name.
"""
import argparse
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
from report import Report  # noqa: E402

IMAGE = os.path.join(HERE, "v6-zstd", "image.boot")
SECRET = "swordfish"
report = Report()


def rafs(*args):
    return subprocess.run([RAFS, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=60,
                          env=dict(os.environ, RAFS_CACHE_DIR=""))


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
VALUE = r'"((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(r"^(%s)(?:\{((?:%s=%s)(?:,(?:%s=%s))*)\})? (\S+)$"
                    % (NAME, NAME, VALUE, NAME, VALUE))
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}


def check_family(family):
    """Raise AssertionError unless this family is as OpenMetrics 1.0 wants it."""
    name, kind, unit = family["name"], family["type"], family["unit"]
    assert kind in SUFFIXES, f"{name} has type {kind}"
    assert not unit or name.endswith("_" + unit), f"{name} does not end in its unit {unit}"
    assert family["samples"], f"{name} has no sample"
    seen = set()
    buckets = {}
    for sample, labels, number in family["samples"]:
        suffix = sample[len(name):]
        assert sample.startswith(name) and suffix in SUFFIXES[kind], f"{sample} in {name}"
        assert (sample, labels) not in seen, f"{sample}{labels} twice"
        seen.add((sample, labels))
        assert float(number) >= 0, f"{sample} is {number}"
        if kind == "histogram":
            group = tuple(pair for pair in labels if pair[0] != "le")
            buckets.setdefault(group, {}).setdefault(suffix, []).append(
                (dict(labels).get("le"), float(number)))
    for group, parts in buckets.items():
        bounds = [float(bound) for bound, _ in parts["_bucket"]]
        counts = [count for _, count in parts["_bucket"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), bounds
        assert counts == sorted(counts) and counts[-1] == parts["_count"][0][1], counts
        assert (counts[-1] == 0) == (parts["_sum"][0][1] == 0) or counts[-1] > 0


def parse(text):
    """Families of OpenMetrics text by name; AssertionError if anything is wrong."""
    assert text.endswith("# EOF\n") and text.count("\n# EOF\n") == 1, "no # EOF at the end"
    families, family = {}, None
    for line in text[:-len("# EOF\n")].splitlines():
        assert line, "an empty line"
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            assert word in ("TYPE", "UNIT", "HELP") and re.fullmatch(NAME, name), line
            if family is None or family["name"] != name:
                assert name not in families, f"{name} is interrupted"
                family = families[name] = {"name": name, "type": None, "unit": "",
                                           "samples": []}
            assert not family["samples"], f"{line} after samples"
            family[word.lower()] = rest
            continue
        match = SAMPLE.match(line)
        assert match and family, f"no sample: {line}"
        labels = tuple((key, value) for key, value
                       in re.findall(r"(%s)=%s" % (NAME, VALUE), match.group(2) or ""))
        assert len(dict(labels)) == len(labels), f"a label twice: {line}"
        family["samples"].append((match.group(1), labels, match.groups()[-1]))
    for family in families.values():
        check_family(family)
    return families


def strict(name, raw):
    try:
        families = parse(raw.decode("utf-8"))
    except (AssertionError, UnicodeDecodeError, KeyError) as problem:
        report.check(name, False, repr(problem))
        return {}
    report.check(name, True)
    return families


PROMETHEUS = """
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
text = sys.stdin.buffer.read().decode("utf-8")
print(len(list(parse(text))))
"""


def find_prometheus():
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python) and subprocess.run(
                [python, "-c", "import prometheus_client.openmetrics.parser"],
                stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


def ask_prometheus(python, name, raw, families):
    if not python:
        report.skip(name, "no Python here has prometheus_client")
        return
    done = subprocess.run([python, "-c", PROMETHEUS], input=raw, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    report.check(name, done.returncode == 0 and int(done.stdout) == len(families),
                 done.stderr.decode()[-400:])


def test_openmetrics(python, folder):
    path = os.path.join(folder, "stats.prom")
    done = rafs("cat", "--stats=openmetrics", "--stats-file", path, IMAGE, "/attr/cap")
    report.check("cat with a stats file", done.returncode == 0 and not done.stderr,
                 done.stderr.decode())
    raw = open(path, "rb").read()
    families = strict("openmetrics, strictly", raw)
    ask_prometheus(python, "openmetrics, by prometheus_client", raw, families)
    report.check("nothing else is left", os.listdir(folder) == ["stats.prom"],
                 os.listdir(folder))
    printer = os.path.join(os.path.dirname(RAFS), "test_api_openmetrics")
    if not os.path.exists(printer):
        report.skip("hostile names", "test_api_openmetrics is not beside rafs")
        return
    raw = subprocess.run([printer, "--print"], stdout=subprocess.PIPE, check=True).stdout
    families = strict("hostile names, strictly", raw)
    ask_prometheus(python, "hostile names, by prometheus_client", raw, families)
    labels = {dict(labels)["image"] for _, labels, _ in families["rafs_reads"]["samples"]}
    report.check("hostile names stay apart", len(labels) == 2, labels)


def test_the_check_itself():
    good = "# TYPE a counter\na_total{b=\"c\"} 1\n# EOF\n"
    bad = ["", good[:-1], good.replace("_total", ""), good.replace('"c"', '"c'),
           good.replace("# TYPE a counter\n", ""), good.replace("1\n", "-1\n"),
           good.replace('c"', 'c\\d"'), good.replace('{b="c"}', '{b="c",b="d"}'),
           good.replace('a_total{b="c"} 1\n', 'a_total{b="c"} 1\n' * 2),
           "# TYPE a_seconds counter\n# UNIT a_seconds bytes\na_seconds_total 1\n# EOF\n"]
    parse(good)
    for i, text in enumerate(bad):
        try:
            parse(text)
            report.check(f"bad text {i} is refused", False, text)
        except AssertionError:
            report.check(f"bad text {i} is refused", True)


def test_forms(folder):
    plain = rafs("cat", IMAGE, "/attr/cap")
    for form in ("--stats", "--stats=text"):
        done = rafs("cat", form, IMAGE, "/attr/cap")
        report.check(f"{form} goes to standard error",
                     done.returncode == 0 and done.stdout == plain.stdout and
                     b"source directory: requests 1 (1 demand)" in done.stderr,
                     done.stderr.decode())
    done = rafs("cat", "--stats=json", IMAGE, "/attr/cap")
    stats = json.loads(done.stderr)
    report.check("json", stats["failures"] == [] and
                 [s["value"] for s in stats["rafs_read_bytes"]] == [len(plain.stdout)],
                 done.stderr.decode()[:400])
    done = rafs("cat", "--stats=yaml", IMAGE, "/attr/cap")
    report.check("another form is refused", done.returncode == 2 and
                 b"not text, json or openmetrics" in done.stderr, done.stderr.decode())
    done = rafs("ls", "--stats-file", os.path.join(folder, "no", "file"), IMAGE)
    report.check("a file that cannot be written", done.returncode == 3 and
                 b"--stats-file" in done.stderr and done.stdout, done.stderr.decode())
    done = rafs("ls", "--stats-file", "/dev/stderr", IMAGE)
    report.check("a device is written to", done.returncode == 0 and
                 b"rafs: 0 reads" in done.stderr, done.stderr.decode())
    done = rafs("cat", "--stats=json", "--blob-dir", folder, IMAGE, "/attr/cap")
    stats = json.loads(done.stderr[done.stderr.index(b"{"):])
    report.check("failures are told", done.returncode == 3 and
                 len(stats["failures"]) == 1 and
                 stats["failures"][0]["code"] == "RAFS_E_BACKEND" and
                 "none of the sources" in stats["failures"][0]["text"],
                 stats["failures"])


class Server(http.server.BaseHTTPRequestHandler):
    """Serves the image's folder with ranges; the first request of the image and of a blob
    get a 503, and blobs lie behind a redirect."""
    protocol_version = "HTTP/1.1"
    requests = sent = redirects = 0
    refused = set()
    broken = False

    def log_message(self, *args):
        pass

    def answer(self, status, body, *headers):
        Server.sent += len(body)
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        Server.requests += 1
        path = self.path
        if path.startswith(("/blobs/", "/image")) and path not in Server.refused:
            Server.refused.add(path)
            self.answer(503, b"later")
            return
        if path.startswith("/blobs/"):
            if Server.broken:
                self.answer(403, b"no")
                return
            Server.redirects += 1
            self.answer(307, b"", ("Location", "/there" + path + "?signature=" + SECRET))
            return
        path = path.split("?")[0].removeprefix("/there").lstrip("/")
        try:
            with open(os.path.join(os.path.dirname(IMAGE), path), "rb") as f:
                whole = f.read()
        except OSError:
            self.answer(404, b"none")
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not match:
            self.answer(200, whole)
            return
        first, last = int(match.group(1)), min(int(match.group(2)), len(whole) - 1)
        self.answer(206, whole[first:last + 1],
                    ("Content-Range", f"bytes {first}-{last}/{len(whole)}"))


def sum_of(stats, name, **labels):
    return sum(sample["value"] for sample in stats[name]
               if all(sample[key] == value for key, value in labels.items()))


def test_one_source(host, plain, folder):
    """Whom nobody can stand in for is asked again, and that is a retry."""
    boot = shutil.copy(IMAGE, folder)
    done = rafs("cat", "--stats=json", "--blob-source", f"http://{host}/blobs", boot,
                "/attr/cap")
    if not report.check("one source", done.returncode == 0 and
                        done.stdout == plain.stdout, done.stderr.decode()):
        return
    stats = json.loads(done.stderr)
    for name, want in (("rafs_retries", 1), ("rafs_failovers", 0)):
        report.check(f"one source: {name}", sum_of(stats, name) == want, stats[name])


def test_against_a_server(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    url = f"http://user:{SECRET}@{host}/image.boot"
    plain = rafs("cat", IMAGE, "/attr/cap")
    done = rafs("cat", "--stats=json", url, "/attr/cap")
    if not report.check("cat over http", done.returncode == 0 and
                        done.stdout == plain.stdout, done.stderr.decode()):
        return
    stats = json.loads(done.stderr)
    print(f"the server saw {Server.requests} requests, sent {Server.sent} bytes")
    for name, want in (("rafs_sent_requests", Server.requests),
                       ("rafs_received_bytes", Server.sent),
                       ("rafs_redirects", Server.redirects),
                       # The image has one source, so that it is asked again ...
                       ("rafs_retries", 1)):
        report.check(f"{name} as the server counts", sum_of(stats, name) == want,
                     f"{sum_of(stats, name)}, not {want}")
    # ... of the blob another source is asked, which does not have it.
    report.check("one fail-over", sum_of(stats, "rafs_failovers", source=host) == 1,
                 stats["rafs_failovers"])
    for kind in ("RAFS_E_BACKEND", "RAFS_E_NOENT"):
        report.check(f"one {kind} of a source", sum_of(
            stats, "rafs_source_errors", kind=kind) == 1, stats["rafs_source_errors"])
    report.check("the failure that was made up for is kept", [
        (failure["source"], failure["tries"], "503" in failure["text"])
        for failure in stats["failures"]] == [(host, 1, True)], stats["failures"])
    boot = os.path.getsize(IMAGE)
    report.check("opening has a cause of its own",
                 sum_of(stats, "rafs_fetched_bytes", cause="open") == boot,
                 stats["rafs_fetched_bytes"])
    sources = {sample["source"] for sample in stats["rafs_retries"]}
    report.check("a source is its host", sources == {host, host + "#2"}, sources)
    Server.refused = set()
    test_one_source(host, plain, folder)
    Server.broken = True
    for form in ("text", "json", "openmetrics"):
        done = rafs("cat", f"--stats={form}", url, "/attr/cap")
        report.check(f"no secret in {form}", done.returncode == 3 and
                     SECRET.encode() not in done.stderr and host.encode() in done.stderr,
                     done.stderr.decode()[:300])
    server.shutdown()
    server.server_close()


def main():
    global RAFS
    parser = argparse.ArgumentParser()
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    test_the_check_itself()
    with tempfile.TemporaryDirectory() as folder:
        test_openmetrics(find_prometheus(), folder)
    with tempfile.TemporaryDirectory() as folder:
        test_forms(folder)
    with tempfile.TemporaryDirectory() as folder:
        test_against_a_server(folder)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
