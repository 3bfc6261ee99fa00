# SPDX-License-Identifier: Apache-2.0
"""What an image says of itself: plain values."""
from __future__ import annotations

import os
import stat as stat_module
import struct
from dataclasses import dataclass
from typing import Any, Union

from . import _abi
from .errors import name_of

StrPath = Union[str, "os.PathLike[str]"]


class Inside:
    """What names something in an image. It is no os.PathLike: whoever takes one opens the file
    of that name on this machine, which is another file."""

    __slots__ = ()

    def _inside(self) -> str:
        raise NotImplementedError


#: A path in an image.
InnerPath = Union[str, "os.PathLike[str]", Inside]


def text_of(path: InnerPath) -> str:
    """A path in an image as text."""
    text = path._inside() if isinstance(path, Inside) else os.fsdecode(path)
    if "\0" in text:
        raise ValueError("embedded null character in a path")
    return text


def _picker(structure: Any, codes: str, *names: str) -> struct.Struct:
    """Takes some fields of a structure, in its order, out of memory that has it."""
    layout, at = "=", 0
    for code, name in zip(codes, names):
        field = getattr(structure, name)
        layout += f"{field.offset - at}x{code}"
        at = field.offset + field.size
    return struct.Struct(layout)


_ATTRIBUTES = _picker(_abi.Attr, "QQQqIIIIIII", "ino", "size", "blocks", "mtime_sec",
                      "mtime_nsec", "mode", "nlink", "uid", "gid", "rdev_major", "rdev_minor")


@dataclass(frozen=True)
class Stat:
    """Attributes of an inode, named as in `os.stat_result`."""

    st_mode: int
    st_ino: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_mtime_ns: int
    st_blocks: int
    st_rdev: int

    @property
    def st_mtime(self) -> float:
        """Seconds since 1970."""
        return self.st_mtime_ns / 1e9

    @classmethod
    def _of(cls, memory: Any, at: int = 0) -> Stat:
        """Of a `rafs_attr` in memory. Directories have many: past the slow ways of frozen
        dataclasses."""
        (ino, size, blocks, seconds, nanoseconds, mode, nlink, uid, gid, major,
         minor) = _ATTRIBUTES.unpack_from(memory, at)
        made = object.__new__(cls)
        values = made.__dict__
        values["st_mode"] = mode
        values["st_ino"] = ino
        values["st_nlink"] = nlink
        values["st_uid"] = uid
        values["st_gid"] = gid
        values["st_size"] = size
        values["st_mtime_ns"] = seconds * 1_000_000_000 + nanoseconds
        values["st_blocks"] = blocks
        values["st_rdev"] = os.makedev(major, minor) if major or minor else 0
        return made


class DirEntry(Inside):
    """A name in a directory, as `os.scandir` has it; nothing is asked again."""

    __slots__ = ("name", "_folder", "_type", "_memory", "_at")

    name: str

    def __init__(self, name: str, folder: str, kind: int, memory: bytes, at: int) -> None:
        self.name = name
        self._folder = folder  # with a final slash
        self._type = kind
        self._memory = memory  # where the attributes are, to be looked at when asked for
        self._at = at

    @property
    def path(self) -> str:
        """The directory's path and the name."""
        return self._folder + self.name

    def _inside(self) -> str:
        return self._folder + self.name

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def stat(self) -> Stat:
        """Attributes of the name itself: links are not followed."""
        return Stat._of(self._memory, self._at)

    def inode(self) -> int:
        """Inode number."""
        return self.stat().st_ino

    def is_dir(self) -> bool:
        """Is it a directory?"""
        return self._type == stat_module.S_IFDIR

    def is_file(self) -> bool:
        """Is it a regular file?"""
        return self._type == stat_module.S_IFREG

    def is_symlink(self) -> bool:
        """Is it a symbolic link?"""
        return self._type == stat_module.S_IFLNK


@dataclass(frozen=True)
class Info:
    """Facts about an image."""

    version: int  #: 5 or 6
    inodes: int  #: as the image claims
    chunk_size: int  #: bytes of a full chunk
    bootstrap_bytes: int
    pinned: bool  #: everything follows from a digest that the caller gave
    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class Blob:
    """A data blob."""

    id: str
    chunks: int  #: 0 where the image does not say
    compressed_size: int  #: bytes
    uncompressed_size: int  #: bytes


@dataclass(frozen=True)
class Chunk:
    """A part of a file and where its bytes lie."""

    file_offset: int
    length: int
    hole: bool  #: reads as zeros; the rest means nothing
    blob: int  #: index in Info.blobs
    number: int
    compressed_offset: int
    compressed_size: int
    digest: str  #: "sha256:HEX" or "blake3:HEX" of the uncompressed bytes


@dataclass(frozen=True)
class Finding:
    """Something that a check found."""

    code: str
    object: str
    offset: int | None
    text: str


@dataclass(frozen=True)
class CheckResult:
    """What a check of a whole image saw."""

    inodes: int
    chunks: int
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def good(self) -> bool:
        """Nothing was found."""
        return not self.findings


def finding_of(error: _abi.Error) -> Finding:
    """What a check reports, as a value."""
    return Finding(name_of(error.code), error.object.decode("utf-8", "replace"),
                   error.offset if error.has_offset else None,
                   error.text.decode("utf-8", "replace"))
