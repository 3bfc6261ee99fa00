# SPDX-License-Identifier: Apache-2.0
"""What an image says of itself: plain values."""
from __future__ import annotations

import operator
import os
import stat as stat_module
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from . import _abi
from .errors import name_of

if TYPE_CHECKING:
    from ._tree import Tree

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

    # Images keep one time, and are one device of their own.

    @property
    def st_atime(self) -> float:
        """As st_mtime."""
        return self.st_mtime

    @property
    def st_ctime(self) -> float:
        """As st_mtime."""
        return self.st_mtime

    @property
    def st_atime_ns(self) -> int:
        """As st_mtime_ns."""
        return self.st_mtime_ns

    @property
    def st_ctime_ns(self) -> int:
        """As st_mtime_ns."""
        return self.st_mtime_ns

    @property
    def st_dev(self) -> int:
        """0: files of two images are not told apart by it."""
        return 0

    @property
    def st_blksize(self) -> int:
        """Bytes of a block."""
        return 4096

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
    """A name in a directory, as `os.scandir` has it. Only what a link leads to is asked for."""

    __slots__ = ("name", "_folder", "_type", "_memory", "_at", "_tree")

    name: str

    def __init__(self, name: str, folder: str, kind: int, memory: bytes, at: int,
                 tree: Tree) -> None:
        self.name = name
        self._folder = folder  # with a final slash
        self._type = kind
        self._memory = memory  # where the attributes are, to be looked at when asked for
        self._at = at
        self._tree = tree

    @property
    def path(self) -> str:
        """The directory's path and the name."""
        return self._folder + self.name

    def _inside(self) -> str:
        return self._folder + self.name

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def stat(self, *, follow_symlinks: bool = True) -> Stat:
        """Attributes of what it leads to, or of the name itself."""
        if follow_symlinks and self._type == stat_module.S_IFLNK:
            return self._tree.stat(self)
        return Stat._of(self._memory, self._at)

    def inode(self) -> int:
        """Inode number of the name itself."""
        return Stat._of(self._memory, self._at).st_ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Is it a directory, or a link to one?"""
        if follow_symlinks and self._type == stat_module.S_IFLNK:
            return self._tree.isdir(self)
        return self._type == stat_module.S_IFDIR

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Is it a regular file, or a link to one?"""
        if follow_symlinks and self._type == stat_module.S_IFLNK:
            return self._tree.isfile(self)
        return self._type == stat_module.S_IFREG

    def is_symlink(self) -> bool:
        """Is it a symbolic link?"""
        return self._type == stat_module.S_IFLNK

    def is_junction(self) -> bool:
        """Never: those are of another system."""
        return False


@dataclass(frozen=True)
class Info:
    """Facts about an image."""

    version: int  #: 5 or 6
    inodes: int  #: as the image claims
    chunk_size: int  #: bytes of a full chunk
    bootstrap_bytes: int
    pinned: bool  #: everything follows from a digest that the caller gave
    blobs: tuple[Blob, ...]
    block_size: int
    compressor: str  #: "zstd", "lz4", "gzip", "none"; of v6 a blob's own wins
    digest: str  #: "blake3" or "sha256" of chunks; of v6 a blob's own wins
    flags: int  #: RAFS_FLAG_ and others, as on disk
    inlined: bool  #: the bootstrap lies in a blob
    manifest: str | None  #: "sha256:HEX" by which a registry or layout has it


@dataclass(frozen=True)
class Blob:
    """A data blob."""

    id: str
    chunks: int  #: 0 where the image does not say
    compressed_size: int  #: bytes
    uncompressed_size: int  #: bytes
    compressor: str  #: as of Info
    digest: str  #: as of Info
    features: int  #: RAFS_BLOB_


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


COMPRESSORS = {_abi.RAFS_COMPRESSOR_NONE: "none", _abi.RAFS_COMPRESSOR_LZ4_BLOCK: "lz4",
               _abi.RAFS_COMPRESSOR_GZIP: "gzip", _abi.RAFS_COMPRESSOR_ZSTD: "zstd"}
DIGESTS = {_abi.RAFS_DIGEST_BLAKE3: "blake3", _abi.RAFS_DIGEST_SHA256: "sha256"}


def number(value: Any, what: str, most: int = (1 << 64) - 1, least: int = 0) -> int:
    """A whole number that the library takes; ctypes would cut off what is too large."""
    try:
        given = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is a whole number, not {type(value).__name__}") from None
    if not least <= given <= most:
        raise ValueError(f"{what} is from {least} to {most}")
    return given


def encoded(value: str, what: str) -> bytes:
    """A text that the library takes."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"embedded null character in {what}")
    return value.encode()


def place_of(path: Any, what: str) -> bytes:
    """A path on this machine. An image has none there."""
    if isinstance(path, Inside):
        raise TypeError(f"{what} is a path on this machine, not in an image")
    place = os.fsencode(path)
    if b"\0" in place:
        raise ValueError(f"embedded null character in {what}")
    return place


def finding_of(error: _abi.Error) -> Finding:
    """What a check reports, as a value."""
    return Finding(name_of(error.code), error.object.decode("utf-8", "replace"),
                   error.offset if error.has_offset else None,
                   error.text.decode("utf-8", "replace"))
