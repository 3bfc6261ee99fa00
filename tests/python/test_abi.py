# SPDX-License-Identifier: Apache-2.0
"""The table of the library against its headers: by a compiler, and by the generator."""
import ctypes
import os
import shutil
import subprocess
import sys

import pytest

from rafs import _abi

from conftest import ROOT

TOOL = os.path.join(ROOT, "bindings", "python", "tools", "make_abi.py")


def test_table_is_what_the_headers_say():
    subprocess.run([sys.executable, TOOL, "--check"], check=True)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_compiler_agrees(tmp_path):
    constants = {name: value for name, value in vars(_abi).items()
                 if name.startswith("RAFS_") and isinstance(value, int)}
    lines = ["#include <rafs/rafs.h>", "#include <stdio.h>", "#include <stddef.h>",
             "int main(void) {"]
    for name in constants:
        lines.append(f'printf("{name} %lld\\n", (long long){name});')
    for name, python in _abi.STRUCTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in python._fields_:
            lines.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), '
                         f"sizeof((({name} *)0)->{field}));")
    source = tmp_path / "probe.c"
    source.write_text("\n".join(lines) + "\nreturn 0; }\n")
    subprocess.run(["cc", "-w", "-I", os.path.join(ROOT, "include"), "-o", tmp_path / "probe",
                    source], check=True)
    said = subprocess.run([tmp_path / "probe"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    wrong = []
    for line in said.splitlines():
        name, *numbers = line.split()
        if name in constants:
            ours = [constants[name]]
        elif "." in name:
            struct, _, field = name.partition(".")
            member = getattr(_abi.STRUCTS[struct], field)
            ours = [member.offset, member.size]
        else:
            ours = [ctypes.sizeof(_abi.STRUCTS[name])]
        if ours != [int(number) for number in numbers]:
            wrong.append((line, ours))
    assert not wrong


def run_with(library, code="import rafs"):
    env = dict(os.environ, RAFS_LIBRARY=library,
               PYTHONPATH=os.path.join(ROOT, "bindings", "python", "src"))
    return subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def test_a_missing_library_is_told():
    done = run_with("/no/such/librafs.so")
    assert done.returncode == 1 and "librafs is not found" in done.stdout
    assert "/no/such/librafs.so" in done.stdout


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("version, word", [("0.9.0", "too old"), ("2.0.0", "too new"),
                                           ("x", "says that it is version")])
def test_other_versions_are_refused(tmp_path, version, word):
    source = tmp_path / "fake.c"
    source.write_text(f'const char *rafs_version(void) {{ return "{version}"; }}\n')
    library = tmp_path / "librafs.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    done = run_with(str(library))
    assert done.returncode == 1 and word in done.stdout, done.stdout


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_another_library_is_refused(tmp_path):
    source = tmp_path / "fake.c"
    source.write_text("int x;\n")
    library = tmp_path / "librafs.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    assert "is not librafs" in run_with(str(library)).stdout
