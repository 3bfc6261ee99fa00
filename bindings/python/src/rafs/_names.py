# SPDX-License-Identifier: Apache-2.0
"""Directories as the library gives them, taken apart without an object for each entry."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import _abi

#: Entries and bytes of names that one call brings.
_ENTRIES, _NAMES = 512, 64 * 1024
_SIZE = ctypes.sizeof(_abi.Dirent)
_ATTR = int(_abi.Dirent.attr.offset)


class _Room:
    """Memory for one call."""

    def __init__(self) -> None:
        self.memory = bytearray(_ENTRIES * _SIZE)
        self.entries = (_abi.Dirent * _ENTRIES).from_buffer(self.memory)
        self.names = ctypes.create_string_buffer(_NAMES)
        self.base = ctypes.addressof(self.names)
        self.count = ctypes.c_size_t()
        self.words = memoryview(self.memory).cast("I")
        self.longs = memoryview(self.memory).cast("Q")

    def word(self, field: Any, n: int) -> list[int]:
        """A field of 4 bytes of so many entries."""
        return self.words[field.offset // 4:n * _SIZE // 4:_SIZE // 4].tolist()

    def long(self, field: Any, n: int) -> list[int]:
        """A field of 8 bytes of so many entries."""
        return self.longs[field.offset // 8:n * _SIZE // 8:_SIZE // 8].tolist()


class Batch(NamedTuple):
    """Some entries of a directory: a list for each fact."""

    names: list[str]
    types: list[int]  #: S_IFDIR …
    inodes: list[int]
    memory: bytes  #: the attributes, if they were asked for

    def places(self) -> range:
        """Where in `memory` the attributes of each entry are."""
        return range(_ATTR, _ATTR + len(self.names) * _SIZE, _SIZE)


#: Rooms that nobody uses: a call takes one out.
_rooms: list[_Room] = []


def _batch(room: _Room, n: int, with_attributes: bool) -> tuple[Batch, int | None]:
    """What is in a room, and where the directory goes on, if it does."""
    last = room.entries[n - 1]
    start = room.long(_abi.Dirent.name, n)[-1]
    used = start - room.base + last.name_len
    names = os.fsdecode(ctypes.string_at(room.base, used)).split("\0")
    batch = Batch(names, room.word(_abi.Dirent.type, n), room.long(_abi.Dirent.ino, n),
                  bytes(room.memory[:n * _SIZE]) if with_attributes else b"")
    # With room for one more of any length there was no more.
    ended = n < _ENTRIES and used + 1 + _abi.RAFS_NAME_MAX + 1 <= _NAMES
    return batch, None if ended else last.next_offset


def batches(readdir: Callable[..., None], ino: int, with_attributes: bool) -> Iterator[Batch]:
    """All of a directory. `readdir` is called with what rafs_image_readdir() takes."""
    offset: int | None = 0
    while offset is not None:
        try:
            room = _rooms.pop()
        except IndexError:
            room = _Room()
        try:
            readdir(ino, offset, _abi.RAFS_DIR_ATTR if with_attributes else 0, room.entries,
                    _ENTRIES, room.names, _NAMES, ctypes.byref(room.count))
            if room.count.value == 0:
                return
            batch, offset = _batch(room, room.count.value, with_attributes)
        finally:
            _rooms.append(room)
        yield batch
