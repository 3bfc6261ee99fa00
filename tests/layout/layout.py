#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the source tree has to look like: who includes whom, documented functions, format.

Usage: layout.py
"""
import argparse
import ast
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

# A folder of lib/ sees those before it in this list ...
ORDER = ("base format tree codec verify backend oci cache read index build convert api").split()
# ... less these.
UNSEEN = {
    "codec": {"format", "tree"},
    "verify": {"format", "tree", "codec"},
    "backend": {"format", "tree", "codec"},
    "oci": {"tree"},
    "cache": {"oci"},
    "read": {"oci"},
    "build": {"read", "oci"},
    "index": {"build"},
}
# format/ is a pure function of bytes: neither heap, files nor threads.
PURE = {"assert.h", "endian.h", "limits.h", "stdbool.h", "stddef.h", "stdint.h", "string.h",
        "sys/stat.h"}  # stat.h for S_IFMT and the like
CLANG_FORMAT = "14"  # another version breaks lines elsewhere
LINES_MAX = 500
COLUMNS_MAX = 90
# Brackets, so that this file does not hold what it looks for.
PRIVATE = re.compile(
    r"/w[o]rk/|/f[a]rm/|/r[o]ot/|/h[o]me/\w|crates[.]io|pypi[.]org|pythonhosted[.]|npmjs[.]|"
    r"proxy[.]golang|docker[.]io|deb[.]debian|rubygems[.]")

NAMES_THE_HUB = re.compile(r"(lib|tests)/oci/|include/rafs/(credentials|registry)[.]h$")

report = Report()


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def tree_files():
    for folder, names, files in os.walk(ROOT):
        skip = {".git", "__pycache__"} | ({"build"} if folder == ROOT else set())
        names[:] = sorted(set(names) - skip)
        for name in sorted(set(files) - {".git"}):  # a file in a linked worktree
            yield os.path.relpath(os.path.join(folder, name), ROOT)


def includes(text):
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', text, re.M)


def layers(path, text):
    """One file of lib/ includes what its folder may see, and through the door."""
    folder = path.split(os.sep)[1]
    bad = []
    for kind, name in includes(text):
        to, _, header = name.rpartition("/")
        if kind == "<":
            if folder == "format" and name not in PURE:
                bad.append(f"<{name}> in a pure function of bytes")
        elif to == "rafs":
            continue
        elif to not in ORDER:
            bad.append(f'"{name}" names no folder')
        elif to != folder:
            if ORDER.index(to) > ORDER.index(folder):
                bad.append(f'"{name}": {to} lies below {folder}')
            elif to in UNSEEN.get(folder, ()):
                bad.append(f'"{name}": {folder} knows nothing of {to}')
            elif to != "base" and header != to + ".h":
                bad.append(f'"{name}" is not the door of {to}')
    report.check(f"{path} includes only what it may see", not bad, "; ".join(bad))


def public_only(path, text):
    """Programs use the public API and files beside them; mounts are commands too."""
    folders = {os.path.dirname(path), "examples/rafs", "examples/mount"}
    bad = [name for kind, name in includes(text)
           if kind == '"' and ("/" in name or not any(
               os.path.exists(os.path.join(ROOT, folder, name)) for folder in folders))]
    report.check(f"{path} includes nothing of lib/", not bad, bad)


def documented(path, text):
    """Each exported function says what it does, blocks on, and since when it is there."""
    about_file = "".join(re.findall(r"/\*\*\s*\*?\s*@file.*?\*/", text, re.S))
    for match in re.finditer(r"^RAFS_API\s+([^;]*?)\b(rafs_\w+)\s*\(([^;]*)\);", text, re.M):
        returns, name, parameters = match.groups()
        before = re.search(r"/\*\*((?:(?!\*/).)*)\*/\s*$", text[:match.start()], re.S)
        doc = before[1] if before else ""
        missing = [] if before else ["a comment"]
        if not re.search(r"[Bb]locks?\b", doc + about_file):
            missing.append("`Blocks` or `Never blocks`")
        missing += [word for word in ("Since:", "Source:") if word not in doc]
        if returns.strip() != "void" and "@return" not in doc:
            missing.append("@return")
        named = " ".join(re.findall(r"@param\s+((?:\w+,\s*\**\s*)*\w+)", doc))
        for parameter in parameters.split(",") if parameters.strip() != "void" else ():
            word = re.search(r"(\w+)(?:\[[^]]*\])?\s*$", parameter.strip())[1]
            if not re.search(rf"\b{word}\b", named):
                missing.append(f"@param {word}")
        report.check(f"{path}: {name}() is documented", not missing, "no " + ", ".join(missing))


def codes_in_rows(path, text):
    """The formatter runs a row of @return that is too long into the next one."""
    rows = [re.sub(r"^\s*\*\s*(@return\s+)?", "", line) for line in text.split("\n")]
    bad = [i + 1 for i, row in enumerate(rows) if re.search(r"[^,\s]\s+RAFS_E_\w+ {3,}\S", row)]
    report.check(f"{path}: each code begins its line", not bad, f"lines {bad}")


def one_maker(sources):
    makers = [path for path, text in sources.items() if re.search(r"\bstruct verified\s*\{", text)]
    report.check("struct verified is known inside lib/verify/verify.c alone",
                 makers == [os.path.join("lib", "verify", "verify.c")], makers)


def formatted(paths):
    if not shutil.which("clang-format"):
        report.skip("clang-format", "not installed")
        return
    told = subprocess.run(["clang-format", "--version"], stdout=subprocess.PIPE, check=False,
                          text=True).stdout
    if f"version {CLANG_FORMAT}." not in told:
        report.skip("clang-format", f"needs version {CLANG_FORMAT}; here is {told.strip()}")
        return
    ran = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths], cwd=ROOT, check=False,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    bad = {path: line for path, line in
           re.findall(r"^(\S+?):(\d+):\d+: error:", ran.stderr, re.M)}
    for path in paths:
        report.check(f"{path} is formatted", path not in bad,
                     f"line {bad.get(path)} and others; run: clang-format -i {path}")


def scripts_parse(path, text):
    if path.endswith(".py"):
        try:
            ast.parse(text)
            problem = ""
        except SyntaxError as error:
            problem = str(error)
        report.check(f"{path} parses", not problem, problem)
    elif re.match(r"#!.*\b(?:ba)?sh\b", text) or path.endswith((".sh", ".bash")):
        shell = "sh" if re.match(r"#!/bin/sh", text) else "bash"
        ran = subprocess.run([shell, "-n", os.path.join(ROOT, path)], stderr=subprocess.PIPE,
                             check=False, text=True)
        report.check(f"{path} parses", ran.returncode == 0, ran.stderr)


def keeps_to_itself(path, text):
    """A test that runs the command on remote images must not fill the user's cache."""
    if re.search(r"^ENV = ", text, re.M):
        report.check(f"{path} says where chunks are kept (RAFS_CACHE_DIR, empty: nowhere)",
                     "RAFS_CACHE_DIR" in text, "ENV does not")


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    sources = {}
    for path in tree_files():
        try:
            text = read(path)
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        # What a reference without a host means is part of the format.
        spoken = text.replace("docker" ".io", "") if NAMES_THE_HUB.match(path) else text
        private = PRIVATE.search(spoken)
        if private:
            report.check(f"{path} names no machine and no registry", False, private[0])
        scripts_parse(path, text)
        if path.endswith((".c", ".h", ".cpp")):
            sources[path] = text
            top = path.split(os.sep)[0]
            if top == "lib":
                layers(path, text)
                lines = text.count("\n")
                report.check(f"{path} is of one noun", lines <= LINES_MAX, f"{lines} lines")
            elif top == "examples":
                public_only(path, text)
            elif top == "include":
                documented(path, text)
                codes_in_rows(path, text)
            long = [i + 1 for i, line in enumerate(text.split("\n")) if len(line) > COLUMNS_MAX]
            report.check(f"{path} has lines of {COLUMNS_MAX} columns", not long, f"lines {long}")
    report.check("machine paths and registries were looked for", len(sources) > 50, len(sources))
    one_maker(sources)
    formatted(sorted(sources))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
