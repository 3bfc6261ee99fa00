# SPDX-License-Identifier: Apache-2.0
"""Interpreters for the tests: one with all packages, and others that are on the machine.

Usage: environment.py DIRECTORY    makes the environment and prints its python
"""
import glob
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")


def requirements():
    with open(REQUIREMENTS, encoding="utf-8") as f:
        return [line.strip() for line in f if line.strip() and not line.startswith("#")]


def clean():
    """The environment of a process that sees no other packages and no checkout."""
    return {name: value for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "PYTHONHOME", "RAFS_LIBRARY", "VIRTUAL_ENV")}


def pip(python, *arguments, seconds=600):
    """Run pip. Gives (went well, what it printed)."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *arguments], env=clean(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
    return done.returncode == 0, done.stdout


def make_venv(folder, python=sys.executable):
    """A fresh environment; gives its python, or None and why there is none."""
    done = subprocess.run([python, "-m", "venv", folder], env=clean(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    inside = os.path.join(folder, "bin", "python")
    if done.returncode != 0:
        return None, done.stdout.strip()[-300:] or "venv does not work"
    return inside, ""


def prepare(folder, base=sys.executable):
    """An environment with what requirements.txt names. Gives (python, {package: why it is
    missing}). What was installed before is used again."""
    stamp = os.path.join(folder, "installed")
    wanted = f"{base}\n{sys.version}\n" + "\n".join(requirements())
    python = os.path.join(folder, "bin", "python")
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as f:
            if f.read() == wanted:
                return python, {}
    shutil.rmtree(folder, ignore_errors=True)
    python, why = make_venv(folder, base)
    if python is None:
        return base, dict.fromkeys(requirements(), why)
    # Only what needs no compiler: a package without a wheel for this interpreter is skipped.
    options = ("install", "-q", "--only-binary", ":all:", "--prefer-binary")
    good, _ = pip(python, *options, *requirements())
    missing = {}
    if not good:
        for name in requirements():
            good, said = pip(python, *options, "--retries", "1", name)
            if not good:
                missing[name] = said.strip().splitlines()[-1][:200] if said.strip() else "pip failed"
                if "pytest" in missing and len(missing) > 2:
                    missing.update(dict.fromkeys(requirements(), "the package index is not reached"))
                    break
    if not missing:
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(wanted)
    return python, missing


def others():
    """Further interpreters from 3.9 on: python3.X of PATH and of pyenv, and $RAFS_PYTHONS.
    One of each version."""
    found = {}
    given = os.environ.get("RAFS_PYTHONS", "").split(os.pathsep)
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    places = [path for path in given if path]
    places += sorted(glob.glob(os.path.join(pyenv, "versions", "3.*", "bin", "python3")))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if "shims" not in folder:
            places += sorted(glob.glob(os.path.join(glob.escape(folder), "python3.[0-9]*")))
    for path in places:
        if not re.search(r"/python3?(\.\d+)?$", path):
            continue
        done = subprocess.run([path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                              env=clean(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True)
        version = done.stdout.strip()
        if done.returncode == 0 and tuple(map(int, version.split("."))) >= (3, 9):
            found.setdefault(version, path)
    return dict(sorted(found.items(), key=lambda one: int(one[0].split(".")[1])))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    made, lacking = prepare(sys.argv[1])
    for package, reason in lacking.items():
        print(f"{package}: {reason}", file=sys.stderr)
    print(made)
