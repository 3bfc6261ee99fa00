#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over lib/, with the checks of .clang-tidy. Minutes; `tests/run --full`.

Usage: tidy.py --build DIR [FILE...]
"""
import argparse
import glob
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402


def tidy(build, path):
    command = ["clang-tidy", "-p", build, "--quiet"]
    if os.path.relpath(path, ROOT) != "lib/base/fail.c":  # which defines what it redefines
        command += ["--extra-arg=-include", "--extra-arg=" + os.path.join(HERE, "analyzer.h")]
    return subprocess.run(command + [path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="has compile_commands.json")
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    report = Report()
    files = args.files or sorted(glob.glob(os.path.join(ROOT, "lib", "*", "*.c")))
    files = [os.path.abspath(f) for f in files if not f.endswith("_neon.c")]
    if not shutil.which("clang-tidy"):
        report.skip("clang-tidy", "not installed")
        return report.finish()
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for path, ran in zip(files, pool.map(lambda f: tidy(args.build, f), files)):
            report.check("clang-tidy " + os.path.relpath(path, ROOT), ran.returncode == 0,
                         ran.stdout.replace(ROOT + "/", ""))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
