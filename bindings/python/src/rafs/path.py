# SPDX-License-Identifier: Apache-2.0
"""Paths inside an image, in the manner of pathlib."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ._types import Inside

if TYPE_CHECKING:
    from .image import Image, Stat


class Path(Inside):
    """A path in an image; never changes.

    >>> import rafs
    >>> etc = rafs.Path(image, "/etc")
    >>> [path.name for path in etc.glob("m*")]
    ['message', 'motd']
    >>> (etc / "motd").read_text()
    'Be well.\\n'
    """

    __slots__ = ("_image", "_pure")

    def __init__(self, image: Image, path: str | PurePosixPath = "/") -> None:
        self._image = image
        self._pure = PurePosixPath("/") / path

    @property
    def image(self) -> Image:
        """The image that it is a path of."""
        return self._image

    @property
    def name(self) -> str:
        """The last part."""
        return self._pure.name

    @property
    def suffix(self) -> str:
        """Of the last part, with its dot."""
        return self._pure.suffix

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._pure.stem

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts, "/" first."""
        return self._pure.parts

    @property
    def parent(self) -> Path:
        """The directory above; of the root the root."""
        return Path(self._image, self._pure.parent)

    def __truediv__(self, other: str | PurePosixPath) -> Path:
        return Path(self._image, self._pure / other)

    def joinpath(self, *others: str) -> Path:
        """As `/`, for several."""
        return Path(self._image, self._pure.joinpath(*others))

    def _inside(self) -> str:
        return str(self._pure)

    def __str__(self) -> str:
        return str(self._pure)

    def __repr__(self) -> str:
        return f"rafs.Path({str(self._pure)!r})"

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Path) and other._image is self._image
                and other._pure == self._pure)

    def __lt__(self, other: Path) -> bool:
        return self._pure < other._pure

    def __hash__(self) -> int:
        return hash((id(self._image), self._pure))

    def exists(self) -> bool:
        """Is there something, links followed?"""
        return self._image.exists(self)

    def is_dir(self) -> bool:
        """Is it a directory, links followed?"""
        return self._image.isdir(self)

    def is_file(self) -> bool:
        """Is it a regular file, links followed?"""
        return self._image.isfile(self)

    def is_symlink(self) -> bool:
        """Is it a symbolic link?"""
        import stat
        try:
            return stat.S_ISLNK(self._image.lstat(self).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def stat(self) -> Stat:
        """Attributes, links followed."""
        return self._image.stat(self)

    def lstat(self) -> Stat:
        """Attributes of the name itself."""
        return self._image.lstat(self)

    def readlink(self) -> str:
        """Target of a symbolic link."""
        return self._image.readlink(self)

    def iterdir(self) -> Iterator[Path]:
        """What is in the directory."""
        for name in self._image.listdir(self):
            yield self / name

    def glob(self, pattern: str) -> Iterator[Path]:
        """What matches below, as Image.glob()."""
        for path in self._image.glob(pattern, self):
            yield Path(self._image, path)

    def rglob(self, pattern: str) -> Iterator[Path]:
        """What matches at any depth below."""
        return self.glob("**/" + pattern)

    def open(self, mode: str = "r", buffering: int = -1, encoding: str | None = None,
             errors: str | None = None, newline: str | None = None) -> Any:
        """A file object, as Image.open()."""
        return self._image.open(self, mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """Content."""
        return self._image.read_bytes(self)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Content of a text file."""
        return self._image.read_text(self, encoding, errors)
