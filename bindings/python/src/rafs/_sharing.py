# SPDX-License-Identifier: Apache-2.0
"""What images have in common, in numbers."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._table import Table, numpy, table
from .image import Image


def sharing_data(images: Sequence[Image | Table]) -> tuple[Any, Any, Any]:
    """What images have in common, by distinct chunks: a matrix of the bytes (of files, not
    stored) that two of them share, with each one's own on the diagonal; bytes that only one
    has; and bytes by the number of images that have them, a row for each image. As
    `rafs sharing` counts.

    >>> matrix, alone, levels = rafs.plot.sharing_data([image, image])
    >>> matrix.tolist(), alone.tolist()
    ([[9026.0, 9026.0], [9026.0, 9026.0]], [0.0, 0.0])
    """
    np = numpy()
    count = len(images)
    if not count:
        raise ValueError("there are no images to compare")
    tables = [image if isinstance(image, Table) else table(image) for image in images]
    rows = [one.rows[["digest", "length", "algorithm"]] for one in tables]
    every = np.concatenate(rows)
    first, which = _distinct_chunks(every)
    sizes = every["length"][first].astype("f8")
    has = np.zeros((count, len(first)), bool)
    has[np.repeat(np.arange(count), [len(one) for one in rows]), which] = True
    matrix = np.array([(has & one) @ sizes for one in has])
    holders = has.sum(axis=0)
    levels = np.array([np.bincount(holders[one], sizes[one], minlength=count + 1)[1:]
                       for one in has])
    return matrix, levels[:, 0], levels


def _distinct_chunks(rows: Any) -> tuple[Any, Any]:
    """One of each kind of chunk, by digest and length; and for each row which kind it is."""
    np = numpy()
    words = np.ascontiguousarray(rows["digest"]).view("u8").reshape(-1, 4)
    keys = [*words.T, rows["length"], rows["algorithm"]]
    order = np.argsort(keys[0], kind="stable")  # enough for honest digests
    new = np.zeros(max(0, len(rows) - 1), bool)
    for key in keys:
        new |= key[order][1:] != key[order][:-1]
    if (new & (keys[0][order][1:] == keys[0][order][:-1])).any():
        order = np.lexsort(keys)
        new[:] = False
        for key in keys:
            new |= key[order][1:] != key[order][:-1]
    new = np.concatenate([np.ones(min(1, len(rows)), bool), new])
    which = np.empty(len(rows), "i8")
    which[order] = np.cumsum(new) - 1
    return order[new], which


__all__ = ["sharing_data"]
