#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The binary interface: what is exported, how structs are laid out, which values constants
have, and whether a program built with an earlier version still runs.

Usage: abi.py --build DIR [--update]

--update writes structs.txt and librafs-MAJOR.MINOR.abi anew from the build, which must have
debug information. The first is updated together with the header; the second when a version
is tagged, and not otherwise: it is what later builds are compared with.
"""
import argparse
import difflib
import glob
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

INCLUDE = os.path.join(ROOT, "include")
STRUCTS = os.path.join(HERE, "structs.txt")
# A library does none of this behind its user's back.
# pthread_sigmask is: threads that read ahead must not be given the program's signals.
FORBIDDEN = set("""abort exit _exit _Exit quick_exit __assert_fail printf __printf_chk fprintf
    __fprintf_chk vprintf vfprintf puts fputs putchar perror stdout stderr getenv secure_getenv
    setenv putenv signal sigaction sigprocmask fork vfork system popen setlocale
    uselocale srand rand chdir umask atexit __cxa_atexit""".split())

report = Report()


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def headers():
    """The public headers as one text without comments."""
    with open(os.path.join(ROOT, "lib", "librafs.map"), encoding="utf-8") as f:
        builder = "rafs_builder_new" in f.read()
    text = ""
    for path in sorted(glob.glob(os.path.join(INCLUDE, "rafs", "*.h"))):
        # Declared ahead of its code, which several parts make up; until that is there.
        if os.path.basename(path) == "build.h" and not builder:
            continue
        with open(path, encoding="utf-8") as f:
            text += f.read()
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def same_set(name, got, want):
    report.check(name, got == want, f"only in the first: {sorted(got - want)}; "
                                    f"only in the second: {sorted(want - got)}")


def exported_names(text, library):
    declared = set(re.findall(r"RAFS_API[^;{]*?\b(rafs_\w+)\s*\(", text))
    with open(os.path.join(ROOT, "lib", "librafs.map"), encoding="utf-8") as f:
        script = re.sub(r"/\*.*?\*/", " ", f.read(), flags=re.S)
    mapped = set(re.findall(r"\b(rafs_\w+)\s*;", script))
    versions = set(re.findall(r"^(RAFS_[\d.]+)", script, re.M))
    symbols = [line.split() for line in
               output("nm", "-D", "--defined-only", "--no-demangle", library).splitlines()]
    exported = {s[-1].split("@")[0] for s in symbols if s[-2] != "A"}
    same_set("functions of the headers = symbol map", declared, mapped)
    same_set("symbols of the library = symbol map", exported, mapped)
    same_set("version nodes of the library = symbol map",
             {s[-1] for s in symbols if s[-2] == "A"}, versions)
    report.check("every symbol has a version", all("@@RAFS_" in s[-1] or s[-2] == "A"
                                                   for s in symbols), symbols)


def static_names(archive):
    """Static linking has one name space, and the library keeps no state of its own."""
    names = {line.split()[-1] for line in output("nm", "-g", "--defined-only", archive).splitlines()
             if len(line.split()) == 3}
    foreign = {name for name in names if not re.match(r"rafsi?_", name)}
    report.check("global symbols of librafs.a begin with rafs_ or rafsi_", names and not foreign,
                 sorted(foreign))
    rows = [line.split("|") for line in output("nm", "-f", "sysv", archive).splitlines()]
    mutable = [row[0].strip() for row in rows if len(row) == 7 and re.match(
        r"\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*", row[6].strip())]
    # libcurl is started once in a process, which cannot be kept in a handle.
    report.check("librafs.a has no variable that can change",
                 sorted(set(mutable) - {"curl_once", "curl_state"}) == [], mutable)


def good_citizen(library):
    needed = {line.split()[-1].split("@")[0]
              for line in output("nm", "-D", "--undefined-only", library).splitlines()}
    report.check("librafs.so uses nothing that is not a library's business",
                 not needed & FORBIDDEN, sorted(needed & FORBIDDEN))
    report.check("the look at its symbols sees something", "pread64" in needed or "pread" in needed,
                 sorted(needed))
    dynamic = output("readelf", "-dW", library)
    major = version()[0]
    report.check("SONAME", f"soname: [librafs.so.{major}]" in dynamic, dynamic)
    report.check("no TEXTREL, RPATH or RUNPATH",
                 not re.search(r"TEXTREL|RPATH|RUNPATH", dynamic), dynamic)
    stack = re.search(r"GNU_STACK.*", output("readelf", "-lW", library))
    report.check("the stack is not executable", stack and "E" not in stack[0].split()[-2], stack)


def version():
    with open(os.path.join(INCLUDE, "rafs", "version.h"), encoding="utf-8") as f:
        return re.search(r'RAFS_VERSION_STRING "(\d+)\.(\d+)\.', f.read()).groups()


def struct_members(text):
    """(struct, [members]) in order of the headers."""
    for name, body in re.findall(r"typedef struct (rafs_\w+) \{(.*?)\} \1;", text, re.S):
        members = []
        for member in filter(None, map(str.strip, body.split(";"))):
            pointer = re.search(r"\(\*(\w+)\)", member)
            members.append(pointer[1] if pointer else
                           re.search(r"(\w+)\s*(?:\[[^]]*\])*$", member)[1])
        yield name, members


def constants(text):
    for body in re.findall(r"\benum \{(.*?)\}", text, re.S):
        yield from re.findall(r"\b(RAFS_\w+)\s*(?:=|,|$)", body.strip())
    for name in re.findall(r"^#define (RAFS_\w+) +[0-9]", text, re.M):
        if not name.startswith("RAFS_VERSION"):
            yield name


def layout(text):
    """Ask the compiler: lines such as `rafs_attr.uid 44 4`, offset and size."""
    lines = ["#include <stdio.h>", "#include <stddef.h>", "#include <rafs/rafs.h>",
             "int main(void) {"]
    for name, members in struct_members(text):
        lines.append(f'printf("struct {name} %zu\\n", sizeof({name}));')
        for m in members:
            lines.append(f'printf("  {m} %zu %zu\\n", offsetof({name}, {m}), '
                         f'sizeof((({name} *)0)->{m}));')
    for name in constants(text):
        lines.append(f'printf("{name} %lld\\n", (long long){name});')
    lines.append("return 0; }")
    with tempfile.TemporaryDirectory() as tmp:
        source, program = os.path.join(tmp, "probe.c"), os.path.join(tmp, "probe")
        with open(source, "w", encoding="ascii") as f:
            f.write("\n".join(lines))
        subprocess.run(["gcc", "-std=c99", "-I", INCLUDE, source, "-o", program], check=True)
        return output(program)


def structs_are_as_recorded(text):
    if platform.machine() != "x86_64":
        report.skip("structs.txt", "recorded for x86_64")
        return
    got = layout(text)
    with open(STRUCTS, encoding="ascii") as f:
        want = f.read()
    report.check("structs and constants are as in structs.txt", got == want, "\n".join(
        difflib.unified_diff(want.splitlines(), got.splitlines(), "structs.txt", "headers",
                             lineterm="", n=1)))
    # No padding: every byte of a struct belongs to a field, so that none is ever unset.
    for name, body in re.findall(r"^struct (\w+ \d+)\n((?:  .*\n)*)", got, re.M):
        name, size = name.split()
        end = 0
        for member in body.splitlines():
            field, offset, length = member.split()
            report.check(f"{name}: no padding before {field}", int(offset) == end, member)
            end = int(offset) + int(length)
        report.check(f"{name}: no padding at its end", end == int(size), f"{end} of {size} bytes")


def sizes_that_comments_state():
    """A comment that tells a struct's size tells the right one."""
    recorded = dict(re.findall(r"^struct (\w+) (\d+)$", layout(headers()), re.M))
    for path in sorted(glob.glob(os.path.join(INCLUDE, "rafs", "*.h"))):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for comment, name in re.findall(
                r"/\*\*((?:(?!\*/).)*)\*/\s*typedef struct (rafs_\w+) \{", text, re.S):
            stated = re.search(r"(\d+) bytes(?:\.|, for ever)", comment)
            if stated:
                report.check(f"the comment above {name} knows its size",
                             stated[1] == recorded[name], f"{stated[1]}, not {recorded[name]}")


def dump_path():
    return os.path.join(HERE, "librafs-%s.%s.abi" % version())


def dump(library, path):
    subprocess.run(["abidw", "--headers-dir", os.path.join(INCLUDE, "rafs"),
                    "--drop-private-types", "--exported-interfaces-only", "--no-corpus-path",
                    "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed",
                    "--no-parameter-names", "--out-file", path, library], check=True)
    with open(path, encoding="utf-8") as f:
        text = f.read().replace(ROOT + "/", "")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def still_runs(library):
    if platform.machine() != "x86_64":
        report.skip("abidiff", "the dump is of x86_64")
        return
    if not shutil.which("abidiff"):
        report.skip("abidiff", "not installed (Debian: abigail-tools)")
        return
    if ".debug_info" not in output("readelf", "-SW", library):
        report.skip("abidiff", "the library was built without debug information")
        return
    for old in sorted(glob.glob(os.path.join(HERE, f"librafs-{version()[0]}.*.abi"))):
        ran = subprocess.run(
            ["abidiff", "--no-added-syms", "--drop-private-types", "--headers-dir2",
             os.path.join(INCLUDE, "rafs"), "--suppressions",
             os.path.join(HERE, "abidiff.suppressions"), old, library],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
        report.check(f"abidiff against {os.path.basename(old)}", ran.returncode == 0, ran.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()
    library = os.path.join(args.build, "lib", "librafs.so")
    text = headers()
    if args.update:
        with open(STRUCTS, "w", encoding="ascii") as f:
            f.write(layout(text))
        dump(library, dump_path())
        return 0
    exported_names(text, library)
    static_names(os.path.join(args.build, "lib", "librafs.a"))
    good_citizen(library)
    structs_are_as_recorded(text)
    sizes_that_comments_state()
    still_runs(library)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
