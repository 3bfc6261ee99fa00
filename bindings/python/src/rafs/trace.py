# SPDX-License-Identifier: Apache-2.0
"""Access traces: which chunks of an image were first used when."""
from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._library import call, lib, ours, sized
from ._types import StrPath, place_of


@dataclass(frozen=True)
class TraceEvent:
    """The first use of a chunk."""

    time: float  #: seconds since recording began
    ino: int  #: inode number of the file that was read; 0 where it is not known
    file_offset: int  #: where the chunk begins in it
    length: int  #: bytes of the file
    blob: int  #: index in Trace.blobs
    chunk: int  #: its number in the blob
    compressed_offset: int
    compressed_size: int


def _free(handle: Any, pid: int) -> None:
    if ours(pid):
        lib.rafs_trace_free(handle)


class Trace:
    """What a run used of an image, in the order of time. Made by Image.trace(), or of a file or
    bytes by Trace.load(). Never changes; belongs to one bootstrap, by its digest.

    >>> image.trace_start()
    >>> _ = image.read_bytes("/etc/motd")
    >>> trace = image.trace()
    >>> len(trace), trace.complete
    (1, True)
    """

    def __init__(self) -> None:
        raise TypeError("traces are made by Image.trace() and Trace.load()")

    _handle: ctypes.c_void_p
    _info: _abi.TraceInfo

    @classmethod
    def _of(cls, handle: ctypes.c_void_p) -> Trace:
        trace = object.__new__(cls)
        trace._handle = handle
        weakref.finalize(trace, _free, handle, os.getpid())
        info = _abi.TraceInfo(ctypes.sizeof(_abi.TraceInfo))
        call(lib.rafs_trace_get_info, handle, ctypes.byref(info))
        trace._info = info
        return trace

    @classmethod
    def load(cls, source: StrPath | bytes) -> Trace:
        """A trace from a file, or from the bytes that `bytes(trace)` gave."""
        handle = ctypes.c_void_p()
        if isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
            call(lib.rafs_trace_load, data, len(data), None, ctypes.byref(handle))
        else:
            call(lib.rafs_trace_load_path, place_of(source, "a trace"), None, ctypes.byref(handle),
                 path=os.fsdecode(source))
        return cls._of(handle)

    def save(self, path: StrPath) -> None:
        """Write it into a file, which is replaced in one go."""
        call(lib.rafs_trace_save_path, self._handle, place_of(path, "a trace"),
             path=os.fsdecode(path))

    def __bytes__(self) -> bytes:
        return sized(lambda *room: call(lib.rafs_trace_save, self._handle, *room))

    def __reduce__(self) -> Any:
        return Trace.load, (bytes(self),)

    @property
    def complete(self) -> bool:
        """Was everything recorded? 2^18 chunks are the most."""
        return bool(self._info.complete)

    @property
    def duration(self) -> float:
        """Seconds from the start of recording to the last first use."""
        return float(self._info.duration_us) / 1e6

    @property
    def digest(self) -> str:
        """"sha256:HEX" of the bootstrap that it belongs to."""
        return f"sha256:{bytes(self._info.bootstrap).hex()}"

    @property
    def blobs(self) -> tuple[tuple[str, int], ...]:
        """Id and stored bytes of each blob of the image; 0 where nobody knows."""
        out = []
        name, size = ctypes.create_string_buffer(72), ctypes.c_uint64()
        for index in range(self._info.blobs):
            call(lib.rafs_trace_get_blob, self._handle, index, name, ctypes.byref(size))
            out.append((name.value.decode("utf-8", "replace"), size.value))
        return tuple(out)

    def __len__(self) -> int:
        return int(self._info.events)

    def __iter__(self) -> Iterator[TraceEvent]:
        events, count, first = (_abi.TraceEvent * 512)(), ctypes.c_size_t(), 0
        while True:
            call(lib.rafs_trace_get_events, self._handle, first, events, 512, ctypes.byref(count))
            if count.value == 0:
                return
            for one in list(events[:count.value]):
                yield TraceEvent(one.time_us / 1e6, one.ino, one.file_offset, one.length, one.blob,
                                 one.chunk, one.compressed_offset, one.compressed_size)
            first += count.value

    def __repr__(self) -> str:
        return f"<rafs.Trace of {len(self)} chunks in {self.duration:.3f} s>"


__all__ = ["Trace", "TraceEvent"]
