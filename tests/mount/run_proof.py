#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mounted images are what they should be, by all ways of `rafs mount`.

Usage: run_proof.py --rafs PATH [--way kernel|events|fuse] [--only PART,...]
                    [--plain]

Parts: golden (all golden images, listing and hashes), root (an image of this machine's own
root, by the programs that people use), calls (system calls one by one). RAFS_TEST_FULL=1:
all of the root, every hash, also as version 5. --plain: plain mounts of the kernel instead,
which shows what is the kernel's. Needs root.
"""
import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile

import mounting
import proof_calls
import proof_root
import proof_tools
import proof_tree
from mounting import FULL, ROOT, Refused, Session
from plain import PlainSession

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from make_tree import rows_below  # noqa: E402
from report import Report  # noqa: E402

FLAG_EXPLICIT_UID_GID = 0x10
TESTDATA = os.environ.get(
    "RAFS_TESTDATA", os.path.join(os.path.dirname(ROOT), "shared", "testdata"))
ENV = {"PATH": os.environ["PATH"], "RAFS_CACHE_DIR": "", "LC_ALL": "C.UTF-8"}
report = Report()
programs = {}


def may_see(folder):
    """Others than root have to get to the mounts."""
    os.chmod(folder, 0o755)
    return folder


def words_of(way):
    return ["-o", "allow_other"] if way == "fuse" else []


# --- golden images -----------------------------------------------------------------------

def image_of(folder):
    boot = os.path.join(folder, "image.boot")
    if os.path.exists(boot):
        return boot
    blobs = os.path.join(folder, "blobs")
    return os.path.join(blobs, sorted(os.listdir(blobs))[0])


def golden_folders():
    seen = set()
    places = [os.path.join(ROOT, "tests", "golden"), os.path.join(TESTDATA, "golden")]
    for top in places:
        for name in sorted(os.listdir(top)) if os.path.isdir(top) else ():
            folder = os.path.join(top, name)
            if name.startswith(("v5-", "v6-")) and os.path.isdir(folder) and \
                    (FULL or name not in seen):
                seen.add(name)
                yield name, folder


def wanted_rows(session, folder, image):
    """What `rafs ls` says, which golden/run_golden.py holds against the source tree; or
    None where this version does not read the image."""
    done = session.run("ls", "-R", "--json", "--digest", "sha256", "--blob-dir",
                       os.path.join(folder, "blobs"), image)
    if done.returncode == mounting.UNSUPPORTED:
        return None, done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
    if done.returncode != 0:
        return None, None
    return {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}, None


def without_owners(session, image, *listings):
    """Where the image stores none, the kernel shows what the fields happen to hold."""
    info = json.loads(session.run("info", "--json", image).stdout)
    if not info["flags"] & FLAG_EXPLICIT_UID_GID:
        for row in itertools.chain(*(rows.values() for rows in listings)):
            row.pop("uid"), row.pop("gid")  # pylint: disable=expression-not-assigned


def golden_image(session, way, name, folder):
    image = image_of(folder)
    want, unsupported = wanted_rows(session, folder, image)
    if unsupported:
        report.skip(f"{way}: {name}", unsupported)
        return
    if not report.check(f"{way}: {name}: rafs ls", want):
        return
    try:
        point = session.mount(way, image, "--blob-dir", os.path.join(folder, "blobs"),
                              *daemon_words(session))
    except Refused as refused:
        if refused.code == mounting.UNSUPPORTED:
            report.skip(f"{way}: {name}", str(refused))
        else:
            report.check(f"{way}: {name}: mounts", False, refused)
        return
    try:
        got = rows_below(point, counted=True)
        without_owners(session, image, want, got)
        wrong = [f"{path}: {got.get(path)}, not {want.get(path)}"
                 for path in sorted(set(want) | set(got))
                 if not same_row(got.get(path), want.get(path), path)]
        report.check(f"{way}: {name}: every path as in the listing", not wrong,
                     f"{len(wrong)} of {len(want)}\n" + "\n".join(wrong[:3]))
    finally:
        report.check(f"{way}: {name}: unmounts", not session.umount(point))


def same_row(got, want, path):
    if not got or not want:
        return False
    if path == "/":
        got, want = ({k: v for k, v in row.items() if k != "mtime"} for row in (got, want))
    # By name, as not all images count their links.
    return {k: v for k, v in got.items() if k != "nlink"} == \
        {k: v for k, v in want.items() if k != "nlink"}


def daemon_words(session):
    return ["--daemon", "golden"] if isinstance(session, Session) else []


def golden(session, way):
    for name, folder in golden_folders():
        if isinstance(session, PlainSession) and not name.startswith("v6"):
            continue
        golden_image(session, way, name, folder)


# --- the machine's own root --------------------------------------------------------------

def add_to_root(extra):
    problem = proof_tree.make_repository(os.path.join(extra, "repo"))
    if problem:
        report.skip("git", problem)
        shutil.rmtree(os.path.join(extra, "repo"), ignore_errors=True)
    os.makedirs(os.path.join(extra, "js", "node_modules", "said"))
    with open(os.path.join(extra, "js", "main.js"), "w", encoding="ascii") as f:
        f.write('console.log("from " + require("said").what);\n')
    with open(os.path.join(extra, "js", "node_modules", "said", "index.js"), "w",
              encoding="ascii") as f:
        f.write('exports.what = "a module of the mount";\n')


def own_root(sessions, work):
    root = proof_root.Root(work)
    add_to_root(root.extra)
    versions = ("6", "5") if FULL else ("6",)
    for version in versions:
        shutil.rmtree(os.path.dirname(root.image), ignore_errors=True)
        problem = root.build(programs["rafs"], ENV, "--fs-version", version, "--compressor",
                             "lz4")
        if not report.check(f"rafs build of this machine's root, version {version}",
                            not problem, problem):
            continue
        for way, session in sessions:
            if isinstance(session, PlainSession) and version != "6":
                continue
            if way == "events" and not FULL:
                continue  # the other parts try it
            tools_on(session, way, f"{way}: root, version {version}", root, work)


def tools_on(session, way, label, root, work):
    try:
        point = session.mount(way, root.image, *words_of(way))
    except Refused as refused:
        report.check(f"{label}: mounts", False, refused)
        return
    try:
        proof_tools.Tools(report, label, root, point, work).all()
    finally:
        problem = session.umount(point)
        report.check(f"{label}: unmounts", not problem, problem)


# --- system calls ------------------------------------------------------------------------

def calls(sessions, work):
    source = os.path.join(work, "calls-source")
    os.mkdir(source)
    proof_tree.create(source)
    for version in ("6", "5"):
        out = os.path.join(work, "calls-image-" + version)
        done = subprocess.run(
            [programs["rafs"], "build", "-o", out, "--fs-version", version, "--chunk-size",
             "64K", "--no-sync", source], env=ENV, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, check=False)
        if not report.check(f"rafs build of all kinds of files, version {version}",
                            done.returncode == 0, done.stderr):
            continue
        for way, session in sessions:
            if isinstance(session, PlainSession) and version != "6":
                continue
            calls_on(session, way, f"{way}: calls, version {version}",
                     os.path.join(out, "image.boot"), source)


def calls_on(session, way, label, image, source):
    try:
        point = session.mount(way, image, *words_of(way))
    except Refused as refused:
        report.check(f"{label}: mounts", False, refused)
        return
    try:
        proof_calls.Calls(report, label, point, source).all()
        numbers = inode_numbers(point)
    finally:
        problem = session.umount(point)
        report.check(f"{label}: unmounts", not problem, problem)
    again = session.mount(way, image, *words_of(way))
    try:
        report.check(f"{label}: inode numbers are the same after mounting again",
                     numbers == inode_numbers(again))
    finally:
        session.umount(again)


def inode_numbers(point):
    return {os.path.relpath(os.path.join(base, name), point):
            os.lstat(os.path.join(base, name)).st_ino
            for base, folders, files in os.walk(point) for name in folders + files}


# --- all of it ---------------------------------------------------------------------------

def run_parts(sessions, parts, work):
    if "golden" in parts:
        for way, session in sessions:
            golden(session, way)
    if "calls" in parts:
        calls(sessions, work)
    if "root" in parts:
        own_root(sessions, work)


def usable_sessions(ways, work):
    image = os.path.join(ROOT, "tests", "golden", "v6-none", "image.boot")
    sessions = []
    for way in ways:
        session = Session(programs["rafs"], work)
        may_see(session.work)
        try:
            why = mounting.usable(session, way, image)
        except (Refused, ValueError) as error:
            report.check(f"{way}: a golden image mounts", False, error)
            why = "see above"
        if why:
            report.skip(way, why)
            session.end()
        else:
            sessions.append((way, session))
    return sessions


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    parser.add_argument("--way", choices=mounting.WAYS)
    parser.add_argument("--only", default="golden,calls,root")
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    programs["rafs"] = os.path.abspath(args.rafs)
    why = mounting.mounts.no_mounts() if args.plain else mounting.obstacle(args.rafs)
    if why:
        report.skip("mounts", why)
        return report.finish()
    before = mounting.kernel_log()
    work = may_see(tempfile.mkdtemp(prefix="rafs-proof-"))
    sessions = []
    try:
        if args.plain:
            sessions = [("plain", PlainSession(programs["rafs"], work))]
        else:
            sessions = usable_sessions([args.way] if args.way else mounting.WAYS, work)
        run_parts(sessions, args.only.split(","), work)
    finally:
        for _, session in sessions:
            session.__exit__(None, None, None)
        shutil.rmtree(work, ignore_errors=True)
    mounting.check_kernel_log(report, before)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
