# SPDX-License-Identifier: Apache-2.0
"""What is done with a mount in tests/bench/mount. Each job returns the seconds it took."""

import json
import mmap
import os
import subprocess
import time

from servers import Skip

LIBS = "/usr/lib/x86_64-linux-gnu"
PATH_IN_TREE = {
    "PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "LD_LIBRARY_PATH": f"{LIBS}/openblas-pthread:{LIBS}/blas:{LIBS}/lapack"}
MIB = 1 << 20


def drop_caches():
    """No page of a file in memory any more, no name, no inode."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3\n")


def timed(words, **more):
    began = time.monotonic()
    run = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, check=False, **more)
    took = time.monotonic() - began
    if run.returncode != 0:
        raise RuntimeError(f"{words[0]}: exit {run.returncode}: "
                           + run.stderr.decode("utf-8", "replace")[-400:])
    return took


def du(at, _):
    return timed(["du", "-s", at])


def find(at, _):
    return timed(["find", at, "-ls"])


def tar(at, _):
    """Into /dev/zero: tar does not read files that go to /dev/null."""
    return timed(["tar", "-cf", "/dev/zero", "-C", at, "."])


def walk(at, image):
    """A byte of each page of each file that is not small."""
    began = time.monotonic()
    for path in image.files:
        with open(os.path.join(at, path), "rb") as f, \
                mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as pages:
            pages[::mmap.PAGESIZE]  # noqa: B018
    return time.monotonic() - began


def program(words):
    def start(at, _):
        return timed(["unshare", "--fork", "--pid", "--mount", f"--root={at}",
                      "--mount-proc", *words], env=PATH_IN_TREE)
    return start


def fio(block, pattern, jobs, most):
    """The image's largest file, at most so many bytes of it by all jobs together; the
    time is fio's own, without its start."""
    def start(at, image):
        span = image.large_size // jobs // block * block
        size = min(span, most // jobs) // block * block
        words = ["fio", "--name=x", "--filename=" + os.path.join(at, image.large),
                 "--readonly", f"--rw={pattern}", f"--bs={block}", f"--numjobs={jobs}",
                 f"--size={span}", f"--io_size={size}", f"--offset_increment={span}",
                 "--ioengine=psync", "--thread", "--group_reporting", "--output-format=json",
                 "--invalidate=0", "--randseed=7", "--allow_file_create=0"]
        run = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError("fio: " + (run.stderr or run.stdout)[-400:])
        job = json.loads(run.stdout[run.stdout.index("{"):])["jobs"][0]
        if job["error"] or job["read"]["io_bytes"] < size * jobs:
            raise RuntimeError(f"fio: error {job['error']} after "
                               f"{job['read']['io_bytes']} bytes")
        return job["read"]["runtime"] / 1000
    return start


class Job:
    """Cold: nothing of the mount or below it is in memory before it begins."""

    def __init__(self, name, run, cold, rounds=1):
        self.name, self.run, self.cold, self.rounds = name, run, cold, rounds


def local_jobs(image):
    """All of the image is here. Short ones are done in more rounds."""
    jobs = [Job("du, cold", du, True, 2), Job("du, warm", du, False, 3),
            Job("find -ls", find, True, 2),
            Job("tar, pages cold", tar, True), Job("tar, pages warm", tar, False, 2),
            Job("mmap walk, cold", walk, True), Job("mmap walk, warm", walk, False, 2)]
    for kind, pattern in (("sequential", "read"), ("random", "randread")):
        for block, most in ((4 << 10, 64 * MIB if kind == "sequential" else 16 * MIB),
                            (128 << 10, 96 * MIB)):
            for threads in (1, 4):
                jobs.append(Job(f"fio {kind} {block >> 10}K, {threads} "
                                f"job{'s'[:threads - 1]}",
                                fio(block, pattern, threads, most), True))
    for name, words in image.programs:
        jobs.append(Job(f"{name}, cold", program(words), True))
        jobs.append(Job(f"{name}, warm", program(words), False))
    return jobs


__all__ = ["Job", "Skip", "drop_caches", "local_jobs", "program", "tar"]
