# SPDX-License-Identifier: Apache-2.0
"""Patterns for paths."""
from __future__ import annotations

import fnmatch
import re
import stat as stat_module
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._tree import Tree


def glob(tree: Tree, pattern: str, top: str) -> Iterator[str]:
    """See Image.glob()."""
    parts = [part for part in pattern.split("/") if part]
    if not pattern.endswith("/"):
        yield from _matches(tree, top, parts)
        return
    for path in _matches(tree, top, parts):
        if tree.isdir(path):
            yield path.rstrip("/") + "/"


def _matches(tree: Tree, place: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield place
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _any_depth(tree, place, rest)
    elif any(mark in first for mark in "*?["):
        for path in _named(tree, place, first):
            if rest:
                yield from _matches(tree, path, rest)
            else:
                yield path
    else:
        path = place.rstrip("/") + "/" + first
        if rest or tree.lexists(path):
            yield from _matches(tree, path, rest)


def _named(tree: Tree, place: str, pattern: str) -> Iterator[str]:
    base, hidden = place.rstrip("/") + "/", pattern.startswith(".")
    matches = re.compile(fnmatch.translate(pattern)).match
    for name, _ in tree._typed(place):
        if matches(name) and (hidden or not name.startswith(".")):
            yield base + name


def _any_depth(tree: Tree, place: str, rest: list[str]) -> Iterator[str]:
    """What matches in a directory and in all below it; however deep, without recursion."""
    while rest and rest[0] == "**":
        rest = rest[1:]
    pending = [place] if tree.isdir(place) else []
    while pending:
        folder = pending.pop()
        base, below = folder.rstrip("/") + "/", []
        if rest:
            yield from _matches(tree, folder, rest)
        else:
            yield folder if folder != place else base
        for name, kind in tree._typed(folder):
            if name.startswith("."):
                continue
            if kind == stat_module.S_IFDIR:
                below.append(base + name)
            elif not rest:
                yield base + name
        pending += reversed(below)


__all__ = ["glob"]
