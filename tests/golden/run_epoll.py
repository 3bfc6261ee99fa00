#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/epoll_read.c: many files at once through a queue, and how it ends.

Usage: run_epoll.py --rafs PATH

The example is the program epoll_read beside rafs; without it all is skipped.
"""
import argparse
import os
import signal
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
from report import Report  # noqa: E402

report = Report()


def run(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)


def files_of(image):
    """Paths as bytes: some are no UTF-8, and one has a newline in it."""
    return run(RAFS, "find", image, "-type", "f", "-print0").stdout.split(b"\0")[:-1]


def test_all_files(variant):
    image = os.path.join(HERE, variant, "image.boot")
    paths = files_of(image)
    done = run(EXAMPLE, image, os.path.join(HERE, variant, "blobs"), *paths)
    wanted = []
    for path in paths:
        content = run(RAFS, "cat", image, path).stdout
        wanted.append(b"%d %d %s\n" % (len(content), sum(content), path))
    report.check(f"{variant}: {len(paths)} files at once", done.returncode == 0 and
                 len(done.stdout) == sum(map(len, wanted)) and
                 all(line in done.stdout for line in wanted),
                 done.stderr or done.stdout[:400])


def test_failures():
    image = os.path.join(HERE, "v6-zstd", "image.boot")
    done = run(EXAMPLE, image, HERE, "/data/text", "/no/such/file")
    report.check("what cannot be read is told", done.returncode == 1 and
                 not done.stdout and b"/data/text: blob" in done.stderr and
                 b"/no/such/file: " in done.stderr, done.stderr.decode())


def test_interrupt():
    """A server that takes connections and never answers; SIGINT ends the program."""
    image = os.path.join(HERE, "v6-zstd", "image.boot")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/blobs"
        with subprocess.Popen([EXAMPLE, image, url, *files_of(image)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)  # it asks, and waits for the answer
                process.send_signal(signal.SIGINT)
                try:
                    out, err = process.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    out, err = process.communicate()
            report.check("SIGINT ends reads that hang", process.returncode == 130 and
                         not err, f"{process.returncode}: {err.decode()}")
            report.check("and nothing was made up", all(
                line.startswith(b"0 0 ") for line in out.splitlines()), out[:400])


def main():
    global RAFS, EXAMPLE
    parser = argparse.ArgumentParser()
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    EXAMPLE = os.path.join(os.path.dirname(RAFS), "epoll_read")
    if not os.path.exists(EXAMPLE):
        report.skip("epoll_read", "it is not beside rafs")
        return report.finish()
    test_all_files("v6-zstd")
    test_all_files("v5-lz4")
    test_failures()
    test_interrupt()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
