# SPDX-License-Identifier: Apache-2.0
"""The examples in docstrings and in the README do what they say."""
import doctest
import importlib
import os
import pkgutil

import pytest

import rafs

from conftest import ROOT

NEEDS = {"rafs.fsspec": ["fsspec"], "rafs.plot": ["numpy", "matplotlib"],
         "rafs._table": ["numpy"], "rafs._sharing": ["numpy"],
         "rafs._picture": ["matplotlib"]}
MODULES = sorted(name for _, name, _ in pkgutil.iter_modules(rafs.__path__, "rafs.")
                 if name != "rafs.__main__")


@pytest.fixture
def names(tmp_path):
    """What examples find: `tree`, a directory; `bootstrap` and `blobs`, the image made of it;
    `image`, that image open; `directory`, a place for more."""
    tree = tmp_path / "tree"
    for path, content in (("etc/motd", "Be well.\n"), ("etc/os-release", "NAME=Example\n"),
                          ("data/table", "a,b\n" + "1,2\n" * 1000), ("data/other", "x" * 5000)):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    os.symlink("motd", tree / "etc" / "message")
    built = rafs.build(tree, tmp_path / "made")
    blobs = tmp_path / "made" / "blobs"
    with rafs.open(built.bootstrap, blob_dir=blobs) as image:
        yield {"rafs": rafs, "image": image, "tree": tree, "bootstrap": built.bootstrap,
               "blobs": blobs, "digest": built.digest, "directory": tmp_path}


def run(test, capsys):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said = []
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
    return runner.tries


@pytest.mark.parametrize("module", ["rafs", *MODULES])
def test_docstrings(module, names, capsys, monkeypatch):
    for needed in NEEDS.get(module, ()):
        pytest.importorskip(needed)
    if module == "rafs.plot":
        importlib.import_module("rafs.plot")
    monkeypatch.chdir(names["directory"])
    loaded = importlib.import_module(module)
    for test in doctest.DocTestFinder(exclude_empty=True).find(loaded, module,
                                                               extraglobs=dict(names)):
        if test.examples:
            run(test, capsys)


def test_no_example_is_skipped():
    for folder, _, files in os.walk(os.path.dirname(rafs.__file__)):
        for name in files:
            if name.endswith(".py"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    assert "doctest: +" + "SKIP" not in file.read(), name


def test_readme(names, capsys, monkeypatch):
    for needed in ("fsspec", "numpy", "matplotlib"):
        pytest.importorskip(needed)
    path = os.path.join(ROOT, "bindings", "python", "README.md")
    with open(path, encoding="utf-8") as file:
        test = doctest.DocTestParser().get_doctest(file.read().replace("\n```", "\n\n```"),
                                                   dict(names), "README.md", path, 0)
    monkeypatch.chdir(names["directory"])
    run(test, capsys)
