# SPDX-License-Identifier: Apache-2.0
"""Files of an image, as Python's own file objects."""
from __future__ import annotations

import io
import operator
from typing import TYPE_CHECKING, Any

from ._memory import bytes_of
from ._types import InnerPath, text_of

if TYPE_CHECKING:
    from .image import Image


class File(io.RawIOBase):
    """A file of an image, for reading; every byte is verified. Made by Image.open()."""

    def __init__(self, image: Image, path: InnerPath) -> None:
        super().__init__()
        if not hasattr(image, "_resolve"):
            raise TypeError(f"a file is of an image, not of {type(image).__name__}")
        self._image = image
        self.name = text_of(path)
        self._ino = image._resolve(path)
        self._size = image._regular(self._ino, self.name).st_size
        self._at = 0

    @property
    def mode(self) -> str:
        """As of files that open() gives."""
        return "rb"

    def __repr__(self) -> str:
        return f"<rafs.File {self.name!r}{', closed' if self.closed else ''}>"

    def __reduce_ex__(self, _: Any) -> Any:
        raise TypeError("a file of an image is not pickled; its image is, and opens it again")

    def fileno(self) -> int:
        """There is none: the kernel knows nothing of the file, so that mmap cannot map it."""
        raise io.UnsupportedOperation("a file of an image has no descriptor; what maps files or "
                                      "reads by descriptor needs the image mounted")

    def write(self, _: Any) -> int:
        """Never."""
        raise io.UnsupportedOperation("an image can only be read")

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def _open_or_raise(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readinto(self, buffer: Any) -> int:
        """Fill memory; fewer bytes only where the file ends."""
        self._open_or_raise()
        view = bytes_of(buffer)
        n = self._image._readinto(self._ino, self._at, view, self.name)
        self._at += n
        return n

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or all that is left; fewer only where the file ends."""
        self._open_or_raise()
        left = max(0, self._size - self._at)
        wanted = -1 if size is None else operator.index(size)
        length = left if wanted < 0 else min(wanted, left)
        data = self._image._read(self._ino, self._at, length, self.name)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; past the end is allowed."""
        self._open_or_raise()
        offset = operator.index(offset)
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence == io.SEEK_END:
            offset += self._size
        elif whence != io.SEEK_SET:
            raise ValueError(f"whence {whence} is not known")
        if offset < 0:
            raise ValueError("a position before the file")
        self._at = min(offset, (1 << 63) - 1)
        return self._at

    def tell(self) -> int:
        """Where the next byte comes from."""
        self._open_or_raise()
        return self._at
