#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write src/rafs/_abi.py from the public headers.

Usage: make_abi.py [--check] [--include DIR]

The headers are regular enough to be read without a compiler; a test compiles a C program
that prints sizes, offsets and values, and compares them with what is written here.
--check writes nothing and ends with 1 if the file is not what would be written.
"""
import argparse
import os
import re
import sys
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
OUTPUT = os.path.join(os.path.dirname(HERE), "src", "rafs", "_abi.py")
INCLUDE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(HERE))), "include")

SCALARS = {
    "uint8_t": "c_uint8", "uint16_t": "c_uint16", "uint32_t": "c_uint32",
    "uint64_t": "c_uint64", "int8_t": "c_int8", "int16_t": "c_int16", "int32_t": "c_int32",
    "int64_t": "c_int64", "size_t": "c_size_t", "int": "c_int", "char": "c_char",
    "unsigned": "c_uint", "unsigned int": "c_uint",
}
HEADER = '''\
# SPDX-License-Identifier: Apache-2.0
# Written by tools/make_abi.py from the headers of librafs; do not edit.
"""The binary interface of librafs: constants, structures, functions."""
# mypy: disable-error-code="assignment"
@IMPORTS@
from typing import Any

'''


def header_text(include):
    """All headers that rafs.h includes, without comments and directives."""
    folder = os.path.join(include, "rafs")
    with open(os.path.join(folder, "rafs.h"), encoding="utf-8") as f:
        names = re.findall(r'#include "(\w+\.h)"', f.read())
    seen, text = set(), ""

    def take(name):
        nonlocal text
        if name in seen:
            return
        seen.add(name)
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            body = f.read()
        for inner in re.findall(r'#include "(\w+\.h)"', body):
            take(inner)
        text += body

    for name in names:
        take(name)
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def number(text, known):
    """The value of a constant expression, which may name constants before it."""
    text = re.sub(r"\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", text.strip())
    return int(eval(text, {"__builtins__": {}}, dict(known)))  # our own headers


def constants(text):
    found = {}
    for name, value in re.findall(r"^[ \t]*#define[ \t]+(RAFS_\w+)[ \t]+([^\n\\]+)$", text, re.M):
        value = value.strip()
        if value.startswith('"'):
            found[name] = value.strip('"')
        elif re.fullmatch(r"[-()0-9a-fA-FxXuUlL<| +]+", value):
            found[name] = number(value, {})
    for body in re.findall(r"\benum\s*\{(.*?)\}", text, re.S):
        value = -1
        for item in body.split(","):
            name, _, given = (part.strip() for part in item.partition("="))
            if not name:
                continue
            value = number(given, found) if given else value + 1
            found[name] = value
    return found


class Types:
    """Names of C types to expressions in Python."""

    def __init__(self, text):
        self.constants = constants(text)
        self.structs = dict(re.findall(
            r"typedef\s+struct\s+(rafs_\w+)\s*\{(.*?)\}\s*\1\s*;", text, re.S)[::-1])
        self.order = re.findall(r"typedef\s+struct\s+(rafs_\w+)\s*\{", text)
        self.opaque = set(re.findall(r"typedef\s+struct\s+(rafs_\w+)\s+\1\s*;", text))
        self.functions = re.findall(
            r"typedef\s+([\w *]+?)\(\*(rafs_\w+)\)\s*\((.*?)\)\s*;", text, re.S)
        self.callbacks = {name for _, name, _ in self.functions}

    def of(self, text):
        """`const rafs_call *call` and the like, name included or not."""
        text = " ".join(text.replace("*", " * ").split())
        words = [w for w in text.split() if w not in ("const", "struct")]
        stars = words.count("*")
        words = [w for w in words if w != "*"]
        base = words[0]
        if base == "void":
            return {0: "None", 1: "c_void_p"}.get(stars, "POINTER(c_void_p)")
        if base in self.callbacks:
            return base
        if base in self.opaque and base not in self.structs:
            return "c_void_p" if stars < 2 else "POINTER(c_void_p)"
        if base in self.structs:
            python = class_name(base)
            for _ in range(stars):
                python = f"POINTER({python})"
            return python
        if base == "char" and stars:
            # What C may write to, or gives back among others, is memory and no text.
            if "const" in text and stars == 1:
                return "c_char_p"
            return "c_void_p" if stars == 1 else "POINTER(c_char_p)"
        if base not in SCALARS:
            raise SystemExit(f"make_abi.py: type not known: {text!r}")
        python = SCALARS[base]
        if stars and base == "uint8_t" and "const" in text and stars == 1:
            return "c_void_p"
        for _ in range(stars):
            python = f"POINTER({python})"
        return python

    def arguments(self, text):
        text = text.strip()
        if text in ("", "void"):
            return []
        found = []
        for argument in text.split(","):
            if "[" in argument:  # arrays are pointers
                argument = re.sub(r"(\w+)\s*\[.*?\]", r"*\1", argument)
            found.append(self.of(argument))
        return found

    def callback(self, result, arguments):
        return f"CFUNCTYPE({', '.join([self.of(result)] + self.arguments(arguments))})"

    def fields(self, body):
        """(name, type) of each member."""
        found = []
        for member in body.split(";"):
            member = " ".join(member.split())
            if not member:
                continue
            function = re.fullmatch(r"([\w *]+?)\(\*(\w+)\)\s*\((.*)\)", member)
            if function:
                found.append((function[2], self.callback(function[1], function[3])))
                continue
            names = member.split(",")
            first = re.match(r"((?:const )?(?:struct )?\w+(?: const)?)\s*(.*)", names[0])
            for declarator in [first[2]] + names[1:]:
                found.append(self.member(first[1], declarator.strip()))
        return found

    def member(self, base, declarator):
        stars = declarator.count("*")
        array = re.search(r"\[(.*?)\]", declarator)
        name = re.search(r"\w+", declarator.replace("const ", "").replace("*", " "))[0]
        python = self.of(base + " " + "*" * stars)
        if array:
            python = f"{python} * {number(array[1], self.constants)}"
        return name, python


def class_name(c_name):
    """rafs_open_options: OpenOptions."""
    return "".join(part.capitalize() for part in c_name[len("rafs_"):].split("_"))


def wrapped(start, items, end):
    """A call or list on one line where it fits, else an item a line."""
    line = start + ", ".join(items) + end
    if len(line) <= 99:
        return line
    return start + "\n" + "".join(f"    {item},\n" for item in items) + end


def imports(body):
    """The line for what is used of ctypes, sorted as ruff sorts."""
    known = {"CFUNCTYPE", "POINTER", "Structure", "c_void_p", "c_char_p", *SCALARS.values()}
    used = {name for name in known if re.search(rf"\b{name}\b", body)}
    kinds = (str.isupper, lambda name: name[0].isupper() and not name.isupper(), str.islower)
    # c_uint8 before c_uint32: numbers in names count as numbers.
    names = [name for kind in kinds for name in sorted(filter(kind, used), key=lambda name: [
        int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])]
    return "from ctypes import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def render(include):
    text = header_text(include)
    types = Types(text)
    out = []
    for name, value in sorted(types.constants.items()):
        out.append(f"{name} = {value!r}\n" if isinstance(value, str) else f"{name} = {value}\n")
    out.append("\n\n")
    for name in types.order:
        out.append(f'class {class_name(name)}(Structure):\n    """`{name}`."""\n\n\n')
    for result, name, arguments in types.functions:
        out.append(f"{name} = {types.callback(result, arguments)}\n")
    out.append("\n")
    done = set()

    def define(name):
        if name in done:
            return
        done.add(name)
        fields = types.fields(types.structs[name])
        for _, python in fields:  # what is inside it has to be complete before
            inner = re.match(r"([A-Z]\w+)(?: \*|$)", python)
            for other in types.order:
                if inner and class_name(other) == inner[1]:
                    define(other)
        items = [f'("{field}", {python})' for field, python in fields]
        out.append(f"{class_name(name)}._fields_ = [\n" +
                   "".join(f"    {item},\n" for item in items) + "]\n")

    for name in types.order:
        define(name)
    out.append("\nSTRUCTS: dict[str, type[Structure]] = {\n" + "".join(
        f'    "{name}": {class_name(name)},\n' for name in types.order) + "}\n")
    out.append("\n# name: (result, arguments)\nFUNCTIONS: dict[str, tuple[Any, list[Any]]] = {\n")
    prototypes = re.findall(r"RAFS_API\s+([\w *]+?)\b(rafs_\w+)\s*\((.*?)\)\s*;", text, re.S)
    for result, name, arguments in sorted(prototypes, key=lambda p: p[1]):
        entry = f'    "{name}": ({types.of(result)}, [{", ".join(types.arguments(arguments))}]),\n'
        if len(entry) > 100:
            lines = textwrap.wrap(", ".join(types.arguments(arguments)), 88,
                                  break_long_words=False)
            entry = (f'    "{name}": (\n        {types.of(result)},\n        [\n' +
                     "".join(f"            {line}\n" for line in lines) + "        ],\n    ),\n")
        out.append(entry)
    out.append("}\n")
    body = "".join(out)
    return HEADER.replace("@IMPORTS@", imports(body)) + body


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--include", default=INCLUDE)
    options = parser.parse_args()
    text = render(options.include)
    if options.check:
        with open(OUTPUT, encoding="utf-8") as f:
            if f.read() != text:
                sys.exit("src/rafs/_abi.py is not what the headers say: run tools/make_abi.py")
        return
    with open(OUTPUT, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
