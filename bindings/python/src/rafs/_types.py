# SPDX-License-Identifier: Apache-2.0
"""What an image says of itself: plain values."""
from __future__ import annotations

import os
import stat as stat_module
from dataclasses import dataclass
from typing import Union

from . import _abi
from .errors import name_of

StrPath = Union[str, "os.PathLike[str]"]


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
    def _of(cls, attr: _abi.Attr) -> Stat:
        return cls(attr.mode, attr.ino, attr.nlink, attr.uid, attr.gid, attr.size,
                   attr.mtime_sec * 1_000_000_000 + attr.mtime_nsec, attr.blocks,
                   os.makedev(attr.rdev_major, attr.rdev_minor))


@dataclass(frozen=True)
class DirEntry:
    """A name in a directory, as `os.scandir` has it; nothing is asked again."""

    name: str
    path: str
    _stat: Stat

    def stat(self) -> Stat:
        """Attributes of the name itself: links are not followed."""
        return self._stat

    def inode(self) -> int:
        """Inode number."""
        return self._stat.st_ino

    def is_dir(self) -> bool:
        """Is it a directory?"""
        return stat_module.S_ISDIR(self._stat.st_mode)

    def is_file(self) -> bool:
        """Is it a regular file?"""
        return stat_module.S_ISREG(self._stat.st_mode)

    def is_symlink(self) -> bool:
        """Is it a symbolic link?"""
        return stat_module.S_ISLNK(self._stat.st_mode)


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
