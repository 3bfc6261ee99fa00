# SPDX-License-Identifier: Apache-2.0
"""All chunks of an image as arrays of numpy: what the pictures are made of."""
from __future__ import annotations

import ctypes
import stat as stat_module
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._library import call, lib
from .image import Image
from .trace import Trace


def numpy() -> Any:
    """The module, or a sentence that says what to install."""
    try:
        import numpy
    except ImportError:
        raise ImportError("pictures need numpy and matplotlib: pip install 'rafs[plot]'") from None
    return numpy


@dataclass(frozen=True)
class Table:
    """A row for each chunk of each file, in the order of a walk. Holes are left out; of a file
    with several names there is the first."""

    paths: list[str]  #: of the files
    blobs: list[str]  #: ids
    blob_sizes: list[int]  #: stored bytes, as far as chunks or the image say
    rows: Any  #: structured array; its columns are those of dtype() here

    @staticmethod
    def dtype() -> Any:
        """Columns: file, an index of paths, file_offset, length, blob, an index of blobs, chunk,
        its number in the blob, compressed_offset, compressed_size, algorithm and digest."""
        return numpy().dtype([
            ("file", "u4"), ("file_offset", "u8"), ("length", "u8"), ("blob", "u4"),
            ("chunk", "u4"), ("compressed_offset", "u8"), ("compressed_size", "u4"),
            ("algorithm", "u4"), ("digest", "V32")])


def files_of(image: Image) -> Iterator[tuple[str, int]]:
    """Path and inode number of each regular file; of several names the first."""
    seen: set[int] = set()
    pending = [("/", image._resolve("/"))]
    while pending:
        place, ino = pending.pop()
        folders = []
        for batch in image._batches(ino, place):
            for name, kind, inode in zip(batch.names, batch.types, batch.inodes):
                if kind == stat_module.S_IFDIR:
                    folders.append((f"{place}{name}/", inode))
                elif kind == stat_module.S_IFREG and inode not in seen:
                    seen.add(inode)
                    yield place + name, inode
        pending.extend(reversed(folders))


def table(image: Image) -> Table:
    """The chunks of an image."""
    np = numpy()
    raw = _dtype(_abi.Extent)
    paths: list[str] = []
    memory = bytearray()
    counts = []
    room = (_abi.Extent * 512)()
    bytes_of = memoryview(room).cast("B")
    for path, ino in files_of(image):
        had = len(memory)
        for count in image._extents(ino, path, room):
            memory += bytes_of[:count * raw.itemsize]
        counts.append((len(memory) - had) // raw.itemsize)
        paths.append(path)
    every = np.frombuffer(memory, raw)
    content = every["flags"] & _abi.RAFS_EXTENT_HOLE == 0
    rows = np.zeros(int(content.sum()), Table.dtype())
    for name in ("file_offset", "length", "blob", "chunk", "compressed_offset",
                 "compressed_size", "digest"):
        rows[name] = every[name][content]
    rows["algorithm"] = every["digest_algorithm"][content]
    rows["file"] = np.repeat(np.arange(len(paths), dtype="u4"), counts)[content]
    blobs = image.info.blobs
    ends = rows["compressed_offset"] + rows["compressed_size"]
    sizes = [blob.compressed_size for blob in blobs]
    if len(rows):
        last = np.zeros(len(blobs), "u8")
        np.maximum.at(last, rows["blob"], ends)
        sizes = [max(size, int(end)) for size, end in zip(sizes, last)]
    return Table(paths, [blob.id for blob in blobs], sizes, rows)


def trace_data(trace: Trace) -> Any:
    """The first uses of chunks in the order of time, as a structured array: time_us, ino,
    file_offset, compressed_offset, length, compressed_size, blob, chunk.

    >>> image.trace_start()
    >>> _ = image.read_bytes("/etc/motd")
    >>> rafs.plot.trace_data(image.trace())["length"].tolist()
    [9]
    """
    np = numpy()
    size = ctypes.sizeof(_abi.TraceEvent)
    room = (_abi.TraceEvent * (len(trace) + 1))()
    count, done = ctypes.c_size_t(1), 0
    while count.value:
        free = _abi.TraceEvent.from_buffer(room, done * size)
        call(lib.rafs_trace_get_events, trace._handle, done, ctypes.byref(free), len(room) - done,
             ctypes.byref(count))
        done += count.value
    return np.frombuffer(room, _dtype(_abi.TraceEvent), done)


def distinct(rows: Any, column: str = "compressed_offset") -> tuple[Any, Any]:
    """Of uses of the same stored bytes the first, in the order of blobs and offsets; and for each
    use which of these it is. By offset, the chunks of one batch are one."""
    np = numpy()
    order = np.lexsort((rows[column], rows["blob"]))
    blob, offset = rows["blob"][order], rows[column][order]
    new = np.ones(len(rows), bool)
    new[1:] = (blob[1:] != blob[:-1]) | (offset[1:] != offset[:-1])
    which = np.empty(len(rows), "i8")
    which[order] = np.cumsum(new) - 1
    return order[new], which


def _dtype(struct: Any) -> Any:
    """A structure of the library for numpy."""
    fields = struct._fields_
    return numpy().dtype({"names": [name for name, *_ in fields],
                          "formats": [_format(kind) for _, kind, *_ in fields],
                          "offsets": [getattr(struct, name).offset for name, *_ in fields],
                          "itemsize": ctypes.sizeof(struct)})


def _format(kind: Any) -> str:
    return f"u{ctypes.sizeof(kind)}" if ctypes.sizeof(kind) <= 8 else f"V{ctypes.sizeof(kind)}"


__all__ = ["Table", "distinct", "files_of", "numpy", "table", "trace_data"]
