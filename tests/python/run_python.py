#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The binding for Python, by pytest, on the library of a build.

Usage: run_python.py --rafs PATH
"""
import argparse
import importlib.util
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
from report import Report  # noqa: E402

report = Report()


def library_of(rafs):
    """librafs.so beside bin/rafs."""
    build = os.path.dirname(os.path.dirname(os.path.abspath(rafs)))
    return os.path.join(build, "lib", "librafs.so")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rafs", required=True)
    library = library_of(parser.parse_args().rafs)
    if importlib.util.find_spec("pytest") is None:
        report.skip("python", "pytest is not installed")
        return report.finish()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-q", HERE],
        env=dict(os.environ, RAFS_LIBRARY=library), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    said = done.stdout
    for result, name in re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", said, re.M):
        report.check(name, result == "PASSED", said[-3000:])
    for name, why in re.findall(r"^SKIPPED \[\d+\] (\S+): (.*)$", said, re.M):
        report.skip(name, why)
    report.check("pytest ended well", done.returncode == 0, said[-3000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
