# SPDX-License-Identifier: Apache-2.0
"""Bytes objects that the library fills, without a copy."""
from __future__ import annotations

import ctypes
import sys
from typing import Any


def room(length: int) -> bytearray:
    """Memory for what an image claims to hold, which may be anything."""
    if length > sys.maxsize:
        raise MemoryError(f"{length} bytes")
    return bytearray(length)


def bytes_of(buffer: Any) -> memoryview:
    """Writable memory, byte by byte."""
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError(f"a read-only {type(buffer).__name__} cannot be read into")
    if not view.c_contiguous:
        raise TypeError("what is read into has to lie in one piece, in C order")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


class _Copied:
    """Elsewhere than in CPython: memory, and bytes made of it."""

    def __init__(self, length: int) -> None:
        if length > sys.maxsize - 64:
            raise MemoryError(f"{length} bytes")
        self._memory = ctypes.create_string_buffer(max(1, length))
        self.address = ctypes.addressof(self._memory)

    def take(self, length: int) -> bytes:
        """The first bytes of it."""
        return ctypes.string_at(self.address, length)


class _InPlace:
    """A bytes object that nobody else has seen yet may be written to."""

    def __init__(self, length: int) -> None:
        if length > sys.maxsize - 64:  # ctypes would take a part of the number
            raise MemoryError(f"{length} bytes")
        self._made = _new(None, length)
        self.address = _address(self._made)
        self._length = length

    def take(self, length: int) -> bytes:
        """The first bytes of it; nothing is written afterwards."""
        made: bytes = self._made
        return made if length == self._length else made[:length]


if sys.implementation.name == "cpython":
    _new: Any = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)(
        ("PyBytes_FromStringAndSize", ctypes.pythonapi))
    _address: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(
        ("PyBytes_AsString", ctypes.pythonapi))
    Unwritten: Any = _InPlace
else:
    Unwritten = _Copied
