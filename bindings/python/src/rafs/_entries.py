# SPDX-License-Identifier: Apache-2.0
"""Entries of a program's own, streams and memory, as the builder of the library takes and gives
them."""
from __future__ import annotations

import ctypes
import itertools
import operator
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Union

from . import _abi
from ._library import call, lib
from ._sources import Keeper, give, report
from ._types import encoded, number, place_of

_UINT32 = (1 << 32) - 1

#: What a file's content may be: bytes, a path on this machine, a file object, or pieces.
Content = Union[bytes, "os.PathLike[str]", IO[bytes], Iterable[bytes]]


@dataclass
class Entry:
    """A file, directory, link or device of an image that is being made.

    path      from the root; one that ends with "/" is a directory
    content   of a regular file: bytes, a path (`pathlib.Path`) on this machine, a binary file
              object, or an iterable of bytes; for the last two, size is needed
    mode      permissions, with or without the type; by default 0644, 0755 of directories
    mtime     seconds since 1970
    target    of a symbolic link
    hardlink  path of an entry before: this is another name of it
    device    (major, minor) of a device, whose mode has the type
    """

    path: str
    content: Content | None = None
    mode: int | None = None
    size: int | None = None
    uid: int = 0
    gid: int = 0
    mtime: float = 0
    target: str | None = None
    hardlink: str | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    device: tuple[int, int] = (0, 0)

    def _mode(self) -> int:
        mode = 0 if self.mode is None else operator.index(self.mode)
        if not 0 <= mode < 1 << 16:
            raise ValueError(f"{self.path!r}: mode {mode:#o} is out of range")
        if stat.S_IFMT(mode):
            return mode
        if self.target is not None:
            return stat.S_IFLNK | (0o777 if self.mode is None else mode)
        if self.content is None and self.path.endswith("/"):
            return stat.S_IFDIR | (0o755 if self.mode is None else mode)
        return stat.S_IFREG | (0o644 if self.mode is None else mode)


def _pieces(entry: Entry) -> tuple[int, Iterator[Any], Any]:
    """Size, content, and what has to be closed."""
    given = entry.content
    if given is None:
        return 0, iter(()), None
    if isinstance(given, str):
        raise TypeError(f"{entry.path!r}: content is bytes; text is to be encoded, and the path "
                        "of a file is a pathlib.Path")
    if isinstance(given, (bytes, bytearray, memoryview)):
        return memoryview(given).nbytes, iter((given,)), None
    if isinstance(given, os.PathLike):
        opened = open(given, "rb", buffering=0)
        return os.fstat(opened.fileno()).st_size, _chunks(opened), opened
    if entry.size is None:
        raise ValueError(f"{entry.path!r}: size is needed for what is not bytes or a path")
    if hasattr(given, "read"):
        return entry.size, _chunks(given), None
    if isinstance(given, Iterable):
        return entry.size, iter(given), None
    raise TypeError(f"{entry.path!r}: content is bytes, a pathlib.Path, a binary file or pieces of "
                    f"bytes, not {type(given).__name__}")


def _chunks(file: Any) -> Iterator[bytes]:
    while True:
        data = file.read(1 << 20)
        if not data:
            return
        yield data


class Stream:
    """A `rafs_stream_fn` over pieces of bytes."""

    def __init__(self, pieces: Iterator[Any], keeper: Keeper, what: str) -> None:
        left = memoryview(b"")

        def read(user: int, room: int, length: int, got: Any, limits: Any, error: Any) -> int:
            nonlocal left
            try:
                while not left.nbytes:
                    piece = next(pieces, None)
                    if piece is None:
                        got[0] = 0
                        return 0
                    if isinstance(piece, str):
                        raise TypeError(f"{what} gives text, not bytes")
                    left = memoryview(piece).cast("B")
                count = min(length, left.nbytes)
                got[0] = give(left[:count], room, count, what)
                left = left[count:]
                return 0
            except BaseException as raised:
                return report(keeper, raised, error, what, missing_is_no_error=False)

        self.callback = _abi.rafs_stream_fn(read)


def add_entry(builder: ctypes.c_void_p, entry: Entry, keeper: Keeper, limit: _abi.Call) -> None:
    """Take in one entry."""
    if not isinstance(entry, Entry):
        raise TypeError(f"an entry is a rafs.Entry, not {type(entry).__name__}")
    path = encoded_path(entry.path, "an entry's path")
    made = _abi.BuildEntry(ctypes.sizeof(_abi.BuildEntry))
    made.path, made.mode = path, entry._mode()
    for name in ("uid", "gid"):
        setattr(made, name, number(getattr(entry, name), f"{entry.path!r}: {name}", _UINT32))
    made.rdev_major, made.rdev_minor = (
        number(one, f"{entry.path!r}: device", _UINT32) for one in entry.device)
    nanoseconds = round(entry.mtime * 1_000_000_000)
    if not -(1 << 63) <= nanoseconds < 1 << 80:
        raise ValueError(f"{entry.path!r}: mtime {entry.mtime} is out of range")
    made.mtime_sec, made.mtime_nsec = divmod(nanoseconds, 1_000_000_000)
    if entry.target is not None:
        made.target = encoded_path(entry.target, "a link's target")
    if entry.hardlink is not None:
        made.hardlink = encoded_path(entry.hardlink, "a path")
    xattrs = [_abi.BuildXattr(encoded(name, "an xattr's name"),
                              ctypes.cast(ctypes.c_char_p(bytes(value)), ctypes.c_void_p),
                              len(value)) for name, value in entry.xattrs.items()]
    made.xattrs = (_abi.BuildXattr * max(1, len(xattrs)))(*xattrs)
    made.xattr_count = len(xattrs)
    opened = None
    try:
        if entry.hardlink is None and stat.S_ISREG(made.mode):
            made.size, pieces, opened = _pieces(entry)
            stream = Stream(pieces, keeper, f"content of {entry.path!r}")
            made.read = stream.callback
        elif entry.content is not None:
            raise ValueError(f"{entry.path!r}: only regular files have content")
        call(lib.rafs_builder_add_entry, builder, ctypes.byref(made), ctypes.byref(limit),
             path=entry.path)
    finally:
        if opened is not None:
            opened.close()


def encoded_path(path: str, what: str) -> bytes:
    """A path inside an image that is being made."""
    if not isinstance(path, str):
        raise TypeError(f"{what} is text, not {type(path).__name__}")
    return place_of(path, what)


class Memory:
    """A `rafs_sink` that keeps what is built."""

    def __init__(self, keeper: Keeper) -> None:
        types = dict(_abi.SinkOps._fields_)  # type: ignore[arg-type]
        self.blobs: dict[str, bytes] = {}
        self.bootstrap = b""
        under_way: dict[int, tuple[int, bytearray]] = {}
        numbers = itertools.count(1)

        def begin(user: int, kind: int, out: Any, limits: Any, error: Any) -> int:
            number = next(numbers)
            under_way[number] = (kind, bytearray())
            out[0] = number
            return 0

        def write(user: int, number: int, data: int, length: int, limits: Any, error: Any) -> int:
            try:
                under_way[number][1].extend(ctypes.string_at(data, length))
            except BaseException as raised:
                return report(keeper, raised, error, "memory", missing_is_no_error=False)
            return 0

        def commit(user: int, number: int, what: Any, limits: Any, error: Any) -> int:
            kind, data = under_way.pop(number)
            if kind == _abi.RAFS_OBJECT_BOOTSTRAP:
                self.bootstrap = bytes(data)
            else:
                self.blobs[bytes(what[0].sha256).hex()] = bytes(data)
            return 0

        def abort(user: int, number: int) -> None:
            under_way.pop(number, None)

        ops = _abi.SinkOps(ctypes.sizeof(_abi.SinkOps))
        ops.begin, ops.write, ops.commit, ops.abort = self.callbacks = (
            types["begin"](begin), types["write"](write), types["commit"](commit),
            types["abort"](abort))
        self.handle = ctypes.c_void_p()
        call(lib.rafs_sink_new, ctypes.byref(ops), None, None, ctypes.byref(self.handle))


class BlobsInMemory:
    """A backend over what Memory kept."""

    def __init__(self, blobs: Mapping[str, bytes]) -> None:
        self._blobs = blobs

    def read_range(self, blob_id: str, offset: int, length: int) -> memoryview:
        """A part of a blob."""
        return memoryview(self._blobs[blob_id])[offset:offset + length]

    def size(self, blob_id: str) -> int:
        """Bytes of a blob."""
        return len(self._blobs[blob_id])


__all__ = ["BlobsInMemory", "Content", "Entry", "Memory", "Stream", "add_entry"]
