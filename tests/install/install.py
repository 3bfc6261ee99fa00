#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a user gets from `cmake --install`: headers that compile alone, and a library that
is found by pkg-config and by CMake, from C and C++, shared and static, also in a tree that
was moved.

Usage: install.py --build DIR
"""
import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

STRICT = "-pedantic -Wall -Wextra -Werror".split()
FIRST_READ = os.path.join(ROOT, "examples", "first_read.c")
OWN_CACHE = os.path.join(ROOT, "examples", "own_cache.c")
EPOLL_READ = os.path.join(ROOT, "examples", "epoll_read.c")
MAKE_IMAGE = os.path.join(ROOT, "examples", "make_image.c")
EMBED = os.path.join(ROOT, "examples", "embed")
# A golden image, a file of it and where its blobs lie.
IMAGE = os.path.join(ROOT, "tests", "golden", "v6-zstd")
FILE = "/data/text"

report = Report()


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **options)


def said(ran):
    return f"{' '.join(ran.args)}: exit {ran.returncode}\n{ran.stdout.decode(errors='replace')}"


def succeeds(name, *command, **options):
    ran = run(*command, **options)
    report.check(name, ran.returncode == 0, said(ran))
    return ran


def compilers(*names):
    for name in names:
        if shutil.which(name):
            yield name
        else:
            report.skip(name, "not installed")


def install(build, tmp):
    """Install twice: below a prefix, and staged for a package."""
    prefix = os.path.join(tmp, "prefix")
    succeeds("cmake --install", "cmake", "--install", build, "--prefix", prefix)
    return prefix


def headers_compile_alone(prefix, tmp):
    for path in sorted(glob.glob(os.path.join(prefix, "include", "rafs", "*.h"))):
        header = os.path.basename(path)
        source = os.path.join(tmp, "alone.c")
        with open(source, "w", encoding="ascii") as f:
            f.write(f"#include <rafs/{header}>\n#include <rafs/{header}>\n"
                    "int main(void) { return 0; }\n")
        for compiler, language, standard in (("gcc", "c", "c99"), ("g++", "c++", "c++11"),
                                             ("clang", "c", "c99"), ("clang", "c++", "c++11")):
            if shutil.which(compiler):
                succeeds(f"{header} alone, {compiler} -std={standard}", compiler,
                         "-x", language, f"-std={standard}", *STRICT, "-fsyntax-only",
                         "-I", os.path.join(prefix, "include"), source)


def reads_right(name, program, prefix, wanted, shared=True):
    """The program copies a golden file to its output, and finds its library by itself."""
    env = dict(os.environ)
    env.pop("LD_LIBRARY_PATH", None)
    if shared:
        env["LD_LIBRARY_PATH"] = libdir(prefix)
    ran = subprocess.run([program, os.path.join(IMAGE, "image.boot"), FILE,
                          os.path.join(IMAGE, "blobs")], env=env, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    digest = hashlib.sha256(ran.stdout).hexdigest()
    report.check(name, ran.returncode == 0 and digest == wanted,
                 f"exit {ran.returncode}, {len(ran.stdout)} bytes with SHA-256 {digest}; "
                 f"{ran.stderr.decode(errors='replace')}")


def golden_digest():
    with open(os.path.join(ROOT, "tests", "golden", "expected.jsonl"), encoding="ascii") as f:
        return next(entry["sha256"] for entry in map(json.loads, f) if entry["path"] == FILE)


def libdir(prefix):
    return os.path.dirname(glob.glob(os.path.join(prefix, "lib*", "**", "librafs.so"),
                                     recursive=True)[0])


def pkg_config(prefix, *arguments):
    env = dict(os.environ, PKG_CONFIG_PATH=os.path.join(libdir(prefix), "pkgconfig"))
    ran = run("pkg-config", *arguments, "rafs", env=env)
    return ran.stdout.decode().split() if ran.returncode == 0 else None


def by_pkg_config(name, prefix, tmp, wanted, *options):
    flags = pkg_config(prefix, *options, "--cflags")
    shared = pkg_config(prefix, *options, "--libs")
    static = pkg_config(prefix, *options, "--static", "--libs")
    if not report.check(f"{name}: pkg-config", flags and shared and static,
                        "rafs.pc is not found, or what it requires"):
        return
    report.check(f"{name}: the shared library hides its own needs",
                 not any(flag in shared for flag in ("-lzstd", "-llz4", "-lcrypto", "-lz")),
                 " ".join(shared))
    static = ["-l:librafs.a" if flag == "-lrafs" else flag for flag in static]
    for compiler in compilers("gcc", "clang"):
        succeeds(f"{name}: own_cache.c, {compiler}: compiles as C99", compiler, "-std=c99",
                 *STRICT, *flags, OWN_CACHE, *shared, "-lpthread",
                 "-o", os.path.join(tmp, "own_cache"))
        for kind, libs in (("shared", shared), ("static", static)):
            program = os.path.join(tmp, f"read-{compiler}-{kind}")
            case = f"{name}: first_read.c, {compiler}, {kind}"
            if succeeds(f"{case}: compiles as C99", compiler, "-std=c99", *STRICT, *flags,
                        FIRST_READ, *libs, "-o", program).returncode == 0:
                reads_right(f"{case}: reads", program, prefix, wanted, kind == "shared")
        succeeds(f"{name}: epoll_read.c, {compiler}: compiles as C99", compiler, "-std=c99",
                 *STRICT, *flags, EPOLL_READ, *shared, "-o", os.path.join(tmp, "epoll_read"))
        succeeds(f"{name}: make_image.c, {compiler}: compiles as C99", compiler, "-std=c99",
                 *STRICT, *flags, MAKE_IMAGE, *shared, "-o", os.path.join(tmp, "make_image"))


def by_cmake(prefix, tmp, wanted):
    source = os.path.join(tmp, "consumer")
    os.mkdir(source)
    with open(os.path.join(HERE, "consumer.cmake.in"), encoding="ascii") as f:
        text = f.read().replace("@SOURCE@", FIRST_READ)
    with open(os.path.join(source, "CMakeLists.txt"), "w", encoding="ascii") as f:
        f.write(text)
    for compiler in compilers("gcc", "clang"):
        build = os.path.join(tmp, f"consumer-{compiler}")
        ran = run("cmake", "-S", source, "-B", build, "-G", "Ninja",
                  f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_PREFIX_PATH={prefix}",
                  "-DCMAKE_C_FLAGS=" + " ".join(STRICT))
        if ran.returncode == 0:
            ran = run("cmake", "--build", build)
        if report.check(f"find_package(rafs), {compiler}: builds", ran.returncode == 0, said(ran)):
            for kind in "shared", "static":
                reads_right(f"find_package(rafs), {compiler}, {kind}: reads",
                            os.path.join(build, f"read_{kind}"), prefix, wanted, kind == "shared")


def from_cpp(prefix, tmp):
    for compiler in compilers("g++", "clang++"):
        program = os.path.join(tmp, "from_cpp")
        ran = succeeds(f"C++11 program, {compiler}: compiles", compiler, "-std=c++11", *STRICT,
                       "-I", os.path.join(prefix, "include"), os.path.join(HERE, "from_cpp.cpp"),
                       "-L", libdir(prefix), "-lrafs", "-o", program)
        if ran.returncode == 0:
            succeeds(f"C++11 program, {compiler}: runs", program,
                     env=dict(os.environ, LD_LIBRARY_PATH=libdir(prefix)))


def placed_right(directory):
    """Are the regular files below /data there, with the content that they have in the image?"""
    with open(os.path.join(ROOT, "tests", "golden", "expected.jsonl"), encoding="ascii") as f:
        wanted = {entry["path"]: entry["sha256"] for entry in map(json.loads, f)
                  if entry["path"].startswith("/data/") and "sha256" in entry}
    wrong = []
    for path, digest in wanted.items():
        try:
            with open(directory + path, "rb") as f:
                if hashlib.sha256(f.read()).hexdigest() != digest:
                    wrong.append(f"{path}: wrong content")
        except OSError as error:
            wrong.append(f"{path}: {error}")
    return wrong if wanted else ["expected.jsonl knows no file below /data"]


def embed_runs(name, program, prefix, tmp):
    work = os.path.join(tmp, "work")
    ran = succeeds(f"{name}: runs, and all is as it should be", program,
                   os.path.join(IMAGE, "image.boot"), os.path.join(IMAGE, "blobs"), work, "/data",
                   env=dict(os.environ, LD_LIBRARY_PATH=libdir(prefix)))
    for start in (1, 2, 3) if ran.returncode == 0 else ():
        wrong = placed_right(os.path.join(work, f"start-{start}"))
        report.check(f"{name}: start {start} made the files as they are in the image",
                     not wrong, "\n".join(wrong))
    shutil.rmtree(work, ignore_errors=True)


def embed(prefix, tmp):
    """examples/embed from the installed tree alone, by its own two ways of building."""
    source = os.path.join(tmp, "embed")
    shutil.copytree(EMBED, source)
    build = os.path.join(source, "build")
    ran = run("cmake", "-S", source, "-B", build, "-G", "Ninja",
              f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_C_FLAGS=" + " ".join(STRICT))
    if ran.returncode == 0:
        ran = run("cmake", "--build", build)
    if report.check("examples/embed, find_package(rafs): builds", ran.returncode == 0, said(ran)):
        embed_runs("examples/embed, find_package(rafs)", os.path.join(build, "embed"), prefix, tmp)
    if not shutil.which("make"):
        report.skip("examples/embed, make", "not installed")
        return
    made = succeeds("examples/embed, make and pkg-config: builds", "make", "-C", source,
                    "CFLAGS=-O2 " + " ".join(STRICT), env=dict(
                        os.environ, PKG_CONFIG_PATH=os.path.join(libdir(prefix), "pkgconfig")))
    if made.returncode == 0:
        embed_runs("examples/embed, make and pkg-config", os.path.join(source, "embed"), prefix,
                   tmp)


def command_works_where_it_was_put(prefix):
    """The installed rafs finds the library beside it, without help from the environment."""
    env = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    succeeds(f"{os.path.basename(prefix)}: bin/rafs runs", os.path.join(prefix, "bin", "rafs"),
             "info", os.path.join(IMAGE, "image.boot"), env=env)


def readme_example(prefix, tmp):
    """The program in README.md compiles as it stands there, and prints hello.txt."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```c\n(.*?)^```", f.read(), re.M | re.S)
    programs = [block for block in blocks if "int main(" in block]
    if not report.check("README.md holds a C program", programs, f"{len(blocks)} blocks of C"):
        return
    source, program = os.path.join(tmp, "readme.c"), os.path.join(tmp, "readme")
    with open(source, "w", encoding="utf-8") as f:
        f.write(programs[0])
    succeeds("README.md's C program compiles", "gcc", "-std=c99", *STRICT, "-I",
             os.path.join(prefix, "include"), source, "-L", libdir(prefix), "-lrafs",
             "-o", program)
    ran = run(program, cwd=ROOT, env=dict(os.environ, LD_LIBRARY_PATH=libdir(prefix)))
    report.check("README.md's C program prints the file", ran.returncode == 0
                 and ran.stdout.startswith(b"Hello."), said(ran))


def staged(build, tmp):
    """DESTDIR is where a package is put together, and must not be written into files."""
    dest = os.path.join(tmp, "dest")
    succeeds("DESTDIR: installs", "cmake", "--install", build, "--prefix", "/usr",
             env=dict(os.environ, DESTDIR=dest))
    for path in (glob.glob(os.path.join(dest, "usr", "**", "*.pc"), recursive=True)
                 + glob.glob(os.path.join(dest, "usr", "**", "*.cmake"), recursive=True)):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        name = os.path.basename(path)
        report.check(f"DESTDIR: {name} names no place of the build",
                     dest not in text and ROOT not in text and build not in text, text)


def prefix_is_right(prefix):
    want = os.path.join(prefix, "include")
    got = pkg_config(prefix, "--variable=includedir")
    report.check("rafs.pc names the prefix that was installed to", got == [want], got)
    got = pkg_config(prefix, "--modversion")
    with open(os.path.join(prefix, "include", "rafs", "version.h"), encoding="utf-8") as f:
        report.check("rafs.pc and the header agree on the version",
                     got and f'RAFS_VERSION_STRING "{got[0]}"' in f.read(), got)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    build = os.path.abspath(parser.parse_args().build)
    wanted = golden_digest()
    with tempfile.TemporaryDirectory() as tmp:
        prefix = install(build, tmp)
        headers_compile_alone(prefix, tmp)
        prefix_is_right(prefix)
        by_pkg_config("as installed", prefix, tmp, wanted)
        by_cmake(prefix, tmp, wanted)
        from_cpp(prefix, tmp)
        embed(prefix, tmp)
        readme_example(prefix, tmp)
        command_works_where_it_was_put(prefix)
        staged(build, tmp)
        moved = os.path.join(tmp, "moved")
        os.rename(prefix, moved)
        by_pkg_config("moved, --define-prefix", moved, tmp, wanted, "--define-prefix")
        command_works_where_it_was_put(moved)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
