#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run ctest in a build directory and count what it ran.

A program that uses check says how many tests are in it; each of them counts. A program
that ends with 77, or prints lines `SKIP name: reason`, skipped.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

from report import Report

CHECKS = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.M)
SKIPS = re.compile(r"^SKIP ([^:\n]+): (.*)$", re.M)


def count(report, case):
    name = case.get("name")
    output = case.findtext("system-out") or ""
    status = case.get("status")
    for skipped, reason in SKIPS.findall(output):
        report.skip(f"{name}: {skipped}", reason)
    if status in ("notrun", "disabled"):
        if not SKIPS.search(output):
            # ctest says the same of a program that ended with 77 and of one that is gone.
            said = output.strip().splitlines()
            if case.find("skipped") is not None and said:
                report.skip(name, said[-1])
            else:
                report.check(name, False, "could not be run")
        return
    tests = bad = 0
    for checks, failures, errors in CHECKS.findall(output):
        tests += int(checks)
        bad += int(failures) + int(errors)
    if status == "fail" and bad == 0:
        bad, tests = 1, max(tests, 1)
    report.passed += max(tests, 1) - bad
    if bad:
        report.failed += bad
        print(f"FAIL {name}:\n{output.strip()[-6000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--label", help="only tests with this label")
    parser.add_argument("--timeout", type=int, default=120, help="seconds a program; 0: none")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as tmp:
        junit = os.path.join(tmp, "junit.xml")
        # ctest knows no "for ever" that a test's own property could not undo; a year will do.
        command = ["ctest", "--test-dir", args.build, "--output-junit", junit,
                   "-j", str(os.cpu_count() or 2), "--no-tests=ignore",
                   "--timeout", str(args.timeout or 365 * 86400),
                   "--test-output-size-passed", "1000000",
                   "--test-output-size-failed", "1000000"]
        if args.label:
            command += ["-L", f"^{args.label}$"]
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace", check=False)
        if not os.path.exists(junit):
            report.check("ctest", ran.returncode == 0, ran.stdout)
        else:
            for case in ET.parse(junit).getroot().iter("testcase"):
                count(report, case)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
