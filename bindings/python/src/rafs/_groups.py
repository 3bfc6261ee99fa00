# SPDX-License-Identifier: Apache-2.0
"""Directories that the files of an image are best told apart by."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any


def groups(paths: Sequence[str], weights: Any, most: int = 9) -> list[str]:
    """The directories that hold most, the large ones split into what is in them, at most so many.
    Each path belongs to the longest that it begins with.

    >>> rafs.plot.groups(["/usr/lib/a/x", "/usr/lib/b/y", "/usr/bin/c"], [60, 30, 10])
    ['/usr/lib/a', '/usr/lib/b', '/usr/bin']
    """
    totals, children = _sums(paths, weights)
    everything = sum(totals[place] for place in children.get("", ()))
    chosen = _largest(children.get("", ()), totals, most)
    whole: set[str] = set()  # no longer to be split
    while True:
        name = max((one for one in chosen if one not in whole), key=totals.__getitem__,
                   default=None)
        if name is None or totals[name] * 8 < everything:
            return sorted(chosen, key=totals.__getitem__, reverse=True)
        parts = _largest((part for part in children.get(name, ())  # a file is no group
                          if part in children and totals[part] * 50 >= everything), totals, most)
        room = most - len(chosen)
        rest = totals[name] - sum(totals[part] for part in parts)
        if len(parts) > room + 1 or rest * 50 >= everything:
            parts = parts[:room]  # the name stays, for what is in none of them
        elif parts:
            chosen.remove(name)
        chosen += parts
        whole.add(name)


def _sums(paths: Sequence[str], weights: Any) -> tuple[Counter[str], dict[str, list[str]]]:
    """What is in each file and directory, and which are in which."""
    totals: Counter[str] = Counter()
    for path, weight in zip(paths, weights):
        end = path.find("/", 1)
        while end > 0:
            totals[path[:end]] += int(weight)
            end = path.find("/", end + 1)
        totals[path] += int(weight)
    children: dict[str, list[str]] = {}
    for place in totals:
        children.setdefault(place.rpartition("/")[0], []).append(place)
    return totals, children


def _largest(names: Iterable[str], totals: Counter[str], most: int) -> list[str]:
    return sorted(names, key=totals.__getitem__, reverse=True)[:most]


def group_of(path: str, chosen: dict[str, int], otherwise: int) -> int:
    """The number of the group that a path belongs to."""
    while path:
        if path in chosen:
            return chosen[path]
        path = path.rpartition("/")[0]
    return otherwise


__all__ = ["group_of", "groups"]
