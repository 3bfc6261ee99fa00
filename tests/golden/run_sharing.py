#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What rafs sharing tells of images against a count of our own.

Usage: run_sharing.py --rafs PATH

The oracle is the content of the files, cut here and hashed by hashlib, so that neither
digests nor chunk lists of the images are believed.
"""
import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
from report import Report  # noqa: E402

report = Report()


def rafs(*args):
    return subprocess.run([RAFS, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=120,
                          env=dict(os.environ, RAFS_CACHE_DIR=""))


def image(variant):
    return os.path.join(HERE, variant, "image.boot")


def chunks_of(variant):
    """Distinct chunks of an image's files, by what is in them."""
    info = json.loads(rafs("info", "--json", image(variant)).stdout)
    files = [json.loads(line)["path"] for line in
             rafs("find", "--json", image(variant), "/", "-type", "f")
             .stdout.splitlines()]
    paths = [path.encode("latin-1") for path in files]
    seen = {}
    for path in paths:
        data = rafs("cat", image(variant), path).stdout
        for at in range(0, len(data), info["chunk_size"]):
            chunk = data[at:at + info["chunk_size"]]
            seen[hashlib.sha256(chunk).digest()] = len(chunk)
    return seen


def compare(variants):
    run = rafs("sharing", "--json", *map(image, variants))
    if not report.check(f"sharing {' '.join(variants)} succeeds", run.returncode == 0, run.stderr):
        return
    told = json.loads(run.stdout)
    sets = [chunks_of(v) for v in variants]
    union = {}
    for one in sets:
        union.update(one)
    report.check("the whole", (told["chunks"], told["bytes"]) == (len(union), sum(union.values())),
                 (told, len(union), sum(union.values())))
    report.check("the parts", told["apart_bytes"] == sum(sum(s.values()) for s in sets), told)
    for i, (said, one) in enumerate(zip(told["images"], sets)):
        others = set().union(*(s for j, s in enumerate(sets) if j != i))
        alone = {d: n for d, n in one.items() if d not in others}
        want = (len(one), sum(one.values()), len(alone), sum(alone.values()))
        got = tuple(said[k] for k in ("chunks", "bytes", "unique_chunks", "unique_bytes"))
        report.check(f"{variants[i]} by itself", got == want, (got, want))
    pairs = {tuple(p["images"]): (p["chunks"], p["bytes"]) for p in told["pairs"]}
    for a, b in itertools.combinations(range(len(sets)), 2):
        both = {d: n for d, n in sets[a].items() if d in sets[b]}
        want = (len(both), sum(both.values()))
        report.check(f"{variants[a]} and {variants[b]}", pairs.get((a, b)) == want,
                     (pairs.get((a, b)), want))


def main():
    compare(["v6-zstd", "v6-merge", "v5-chunkdict"])
    run = rafs("sharing", "--json", image("v6-zstd"), image("v6-zstd-sha256"))
    told = json.loads(run.stdout)
    report.check("digests of another kind are nothing in common",
                 told["pairs"][0]["chunks"] == 0 and told["apart_bytes"] == told["bytes"], told)
    run = rafs("sharing", image("v6-zstd"), image("v6-merge"))
    report.check("people are told the same", b"1 and 2 have" in run.stdout and
                 b"\ntogether " in run.stdout, run.stdout)
    run = rafs("sharing")
    report.check("no image is a mistake", run.returncode == 2, run)
    run = rafs("sharing", image("v6-zstd"), "/nonexistent")
    report.check("a missing image is reported",
                 run.returncode == 3 and b"nonexistent" in run.stderr and not run.stdout, run)
    return report.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    sys.exit(main())
