#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The binding for Python on the library of a build: pytest with all packages that tests use,
other interpreters on the machine, mypy and ruff.

Usage: run_python.py --rafs PATH

The packages are kept in python-env beside the build. RAFS_TEST_FULL=1 runs pytest in every
interpreter; else the others run smoke.py.
"""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(ROOT, "bindings", "python")
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import environment  # noqa: E402
from report import Report  # noqa: E402

report = Report()
OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
FULL = os.environ.get("RAFS_TEST_FULL") == "1"


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **more)
    return done.returncode, done.stdout


def has(python, module):
    return os.path.exists(python) and run(python, "-c", f"import {module}")[0] == 0


def test(python, version, env):
    """pytest; each of its tests is one of ours."""
    code, said = run(python, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-q", HERE, env=env)
    for result, name in re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", said, re.M):
        report.check(f"{version} {name}", result == "PASSED", "what pytest says is below")
    for name, why in re.findall(r"^SKIPPED \[\d+\] (\S+): (.*)$", said, re.M):
        report.skip(f"{version} {name}", why)
    report.check(f"{version} pytest ended well", code == 0,
                 re.sub(r"^(PASSED|SKIPPED) .*\n", "", said, flags=re.M)[-30000:])


def test_others(env, folder):
    """Every other version of Python."""
    found = environment.others()
    for minor in range(9, 14):
        version = f"3.{minor}"
        if version == OURS:
            continue
        if version not in found:
            report.skip(f"Python {version}", "no such interpreter (RAFS_PYTHONS names them)")
            continue
        if FULL:
            python, missing = environment.prepare(f"{folder}-{version}", found[version])
            if "pytest" not in missing:
                test(python, version, env)
                continue
        code, said = run(found[version], "-X", "dev", "-W", "error",
                         os.path.join(HERE, "smoke.py"),
                         env=dict(env, PYTHONPATH=os.path.join(PACKAGE, "src")))
        report.check(f"Python {version}: smoke.py", code == 0, said)


def lint(python):
    """What mypy and ruff say."""
    if has(python, "mypy"):
        for version in ("3.10", "3.13"):
            code, said = run(python, "-m", "mypy", "--strict", "--python-version", version,
                             "--cache-dir", os.path.join(ROOT, "build", "mypy"), cwd=PACKAGE)
            report.check(f"mypy --strict, Python {version}", code == 0, said)
    else:
        report.skip("mypy --strict", "mypy is not installed")
    if has(python, "ruff"):
        folders = [os.path.join("..", "..", "tests", "python"), "."]
        if os.path.isdir(os.path.join(ROOT, "examples", "python")):
            folders.append(os.path.join("..", "..", "examples", "python"))
        code, said = run(python, "-m", "ruff", "check", "--no-cache", "--config",
                         "pyproject.toml", *folders, cwd=PACKAGE)
        report.check("ruff", code == 0, said)
    else:
        report.skip("ruff", "it is not installed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rafs", required=True)
    build = os.path.dirname(os.path.dirname(os.path.abspath(parser.parse_args().rafs)))
    folder = os.path.join(os.path.dirname(build), "python-env")
    env = dict(os.environ, RAFS_LIBRARY=os.path.join(build, "lib", "librafs.so"),
               RAFS_COMMAND=os.path.join(build, "bin", "rafs"))
    python, missing = environment.prepare(folder)
    for name, why in missing.items():
        report.skip(f"tests with {name}", f"it cannot be installed: {why}")
    if "pytest" in missing:  # what the system has
        python = next((one for one in (sys.executable, "/usr/bin/python3") if has(one, "pytest")),
                      python)
    if has(python, "pytest"):
        test(python, OURS, env)
    else:
        report.skip("tests by pytest", "pytest is not installed")
    test_others(env, folder)
    lint(python)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
