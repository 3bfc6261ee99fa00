#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Listings of images that the reference tools wrote, against what they have to be.

Usage: run_golden.py --rafs PATH

Images: tests/golden/*, and those of ../shared/testdata (RAFS_TESTDATA names another
place), which are skipped by name where they are absent.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
# Kinds that a later version will read: refused, and by the word given here.
REFUSED = {
    "v6-encrypted": "encrypted",
    "v6-zran": "zran",
    "v6-tarref": "tar-ref",
    "v6-tarfs": "tarfs",
}
TIMEOUT = 120

counts = {"passed": 0, "failed": 0, "skipped": 0}


def report(name, problem):
    counts["failed" if problem else "passed"] += 1
    print("%s %s%s" % ("FAIL" if problem else "ok  ", name,
                       ": " + problem if problem else ""), flush=True)


def skip(name, why):
    counts["skipped"] += 1
    print("skip %s: %s" % (name, why), flush=True)


def rafs(*args):
    return subprocess.run([RAFS] + list(args), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          timeout=TIMEOUT)


def message(run):
    return "exit %d, %s" % (run.returncode,
                            run.stderr.decode("utf-8", "replace").strip()[:300])


def images_in(folder):
    """The bootstrap, or the blobs of which one carries it."""
    boot = os.path.join(folder, "image.boot")
    if os.path.exists(boot):
        return [boot]
    blobs = os.path.join(folder, "blobs")
    return [os.path.join(blobs, name) for name in sorted(os.listdir(blobs))]


def first_difference(got, want):
    got, want = got.split(b"\n"), want.split(b"\n")
    for i, (a, b) in enumerate(zip(got, want)):
        if a != b:
            return "line %d is\n  %s\nnot\n  %s" % (
                i + 1, a.decode("latin-1")[:400], b.decode("latin-1")[:400])
    return "%d lines instead of %d" % (len(got), len(want))


def compare_listing(folder, expected, *options):
    with open(expected, "rb") as f:
        want = f.read()
    problem = "no image in " + folder
    for image in images_in(folder):
        run = rafs("ls", "-R", "--json", "--digest", "sha256", *options, image)
        if run.returncode != 0:
            problem = message(run)
        elif run.stdout != want:
            return first_difference(run.stdout, want)
        else:
            return None
    return problem


def digest_of(path):
    with open(path, "rb") as f:
        return "sha256:" + hashlib.sha256(f.read()).hexdigest()


def golden(root, label):
    """Every variant lists and hashes as expected, with and without a pinned digest."""
    for variant in sorted(os.listdir(root)):
        folder = os.path.join(root, variant)
        if not os.path.isdir(os.path.join(folder, "blobs")) or variant in REFUSED:
            continue
        expected = os.path.join(folder, "expected.jsonl")
        if not os.path.exists(expected):
            expected = os.path.join(root, "expected.jsonl")
        report("%s/%s lists as expected" % (label, variant),
               compare_listing(folder, expected))
        boot = os.path.join(folder, "image.boot")
        if os.path.exists(boot):
            report("%s/%s lists as expected, pinned" % (label, variant),
                   compare_listing(folder, expected, "--expect-digest", digest_of(boot)))


def refused(root):
    """Kinds that are not read yet say so by name, and give no byte."""
    for variant, word in sorted(REFUSED.items()):
        image = os.path.join(root, variant, "image.boot")
        if not os.path.exists(image):
            skip(variant, "absent")
            continue
        # tarfs has no digests at all: it is refused when it is opened.
        path = "/xattr/cap"
        run = rafs("cat", image, path)
        text = run.stderr.decode("utf-8", "replace")
        problem = None
        if run.returncode != 4 or run.stdout or word not in text:
            problem = "wanted exit 4 and %r: %s" % (word, message(run))
        report("%s is refused as unsupported" % variant, problem)


def tree_lines(listing):
    """The listing as the fixtures' tool (tree -J, by name) has it."""
    names = {"dir": "directory", "reg": "file", "lnk": "link", "fifo": "fifo",
             "chr": "char", "blk": "block", "sock": "socket"}
    found = {}
    for line in listing.decode("ascii").splitlines():
        entry = json.loads(line)
        found[entry["path"]] = names[entry["type"]]
    return found


def tree_of_result(nodes, prefix, found):
    for node in nodes:
        if node["type"] == "report":
            continue
        path = prefix + "/" + node["name"] if node["name"] else prefix
        found[path or "/"] = node["type"]
        tree_of_result(node.get("contents", []), path.rstrip("/"), found)


def read_result(path):
    """A .result file: JSON by `tree -J`, then lines of md5sum."""
    with open(path, encoding="latin-1") as f:
        text = f.read()
    tree, end = json.JSONDecoder().raw_decode(text)
    types, sums = {}, {}
    tree_of_result(tree, "", types)
    for line in text[end:].splitlines():
        if line.strip():
            digest, name = line.split(None, 1)
            sums[name] = digest
    return types, sums


def texture(folder, name):
    image = os.path.join(folder, name)
    types, sums = read_result(image + ".result")
    run = rafs("ls", "-R", "--json", image)
    if run.returncode != 0:
        return message(run)
    found = tree_lines(run.stdout)
    if found != types:
        return "listing differs: %s" % sorted(set(found.items()) ^ set(types.items()))[:5]
    if not sums:
        return "the .result file has no digests"
    for path, md5 in sums.items():
        run = rafs("cat", image, path.encode("latin-1"))
        if run.returncode != 0:
            return path + ": " + message(run)
        if hashlib.md5(run.stdout).hexdigest() != md5:
            return path + ": other content"
    return None


def textures(root):
    """Fixtures of dragonflyoss/nydus."""
    repeatable = os.path.join(root, "repeatable")
    for name in sorted(os.listdir(repeatable)):
        if os.path.exists(os.path.join(repeatable, name + ".result")):
            report("nydus-texture/%s agrees with its .result" % name,
                   texture(repeatable, name))
    boot = os.path.join(root, "bootstrap")
    image = os.path.join(boot, "rafs-v6-2.2.boot")
    run = rafs("ls", "-R", "--json", "--digest", "sha256", "--blob-dir",
               os.path.join(root, "blobs"), image)
    files = [e for e in map(json.loads, run.stdout.splitlines()) if e["type"] == "reg"]
    good = run.returncode == 0 and files and all("sha256" in e for e in files)
    report("nydus-texture/rafs-v6-2.2.boot lists and reads",
           None if good else message(run))
    run = rafs("ls", "-R", os.path.join(boot, "nydusd_daemon_test_bootstrap"))
    good = run.returncode in (1, 4) and run.stderr.count(b"\n") == 1
    report("nydus-texture/nydusd_daemon_test_bootstrap is refused",
           None if good else message(run))


def main():
    golden(HERE, "tests/golden")
    shared = os.path.join(TESTDATA, "golden")
    if os.path.isdir(shared):
        golden(shared, "golden")
        refused(shared)
    else:
        skip("golden", "no %s" % shared)
    shared = os.path.join(TESTDATA, "nydus-texture")
    if os.path.isdir(shared):
        textures(shared)
    else:
        skip("nydus-texture", "no %s" % shared)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] else 0


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rafs", required=True, help="the command under test")
RAFS = os.path.abspath(parser.parse_args().rafs)
sys.exit(main())
