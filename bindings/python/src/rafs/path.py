# SPDX-License-Identifier: Apache-2.0
"""Paths inside an image, in the manner of pathlib."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK
from typing import TYPE_CHECKING, Any

from ._types import Inside

if TYPE_CHECKING:
    from .image import Image, Stat


def _part(part: str | PurePosixPath | Inside) -> str | PurePosixPath:
    text = part._inside() if isinstance(part, Inside) else part
    if not isinstance(text, (str, PurePosixPath)):
        raise TypeError(f"a part of a path is text, not {type(part).__name__}")
    return text


def _text(value: str, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {type(value).__name__}")
    return value


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

    def __init__(self, image: Image, *parts: str | PurePosixPath | Inside) -> None:
        if not hasattr(image, "_resolve"):
            raise TypeError(f"a path is of an image, not of {type(image).__name__}")
        self._image = image
        self._pure = PurePosixPath("/", *map(_part, parts))

    def _of(self, pure: PurePosixPath) -> Path:
        return Path(self._image, pure)

    @property
    def image(self) -> Image:
        """The image that it is a path of."""
        return self._image

    # ---- as text --------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The last part."""
        return self._pure.name

    @property
    def suffix(self) -> str:
        """Of the last part, with its dot."""
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """All of the last part."""
        return self._pure.suffixes

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._pure.stem

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts, "/" first."""
        return self._pure.parts

    @property
    def root(self) -> str:
        """Always "/"."""
        return self._pure.root

    @property
    def anchor(self) -> str:
        """Always "/"."""
        return self._pure.anchor

    @property
    def drive(self) -> str:
        """Always nothing."""
        return self._pure.drive

    @property
    def parent(self) -> Path:
        """The directory above; of the root the root."""
        return self._of(self._pure.parent)

    @property
    def parents(self) -> tuple[Path, ...]:
        """All directories above, the nearest first."""
        return tuple(self._of(pure) for pure in self._pure.parents)

    def __truediv__(self, other: str | PurePosixPath | Inside) -> Path:
        if not isinstance(other, (str, PurePosixPath, Inside)):
            return NotImplemented
        return Path(self._image, self._pure, other)

    def joinpath(self, *others: str | PurePosixPath | Inside) -> Path:
        """As `/`, for several."""
        return Path(self._image, self._pure, *others)

    def with_name(self, name: str) -> Path:
        """With another last part."""
        return self._of(self._pure.with_name(_text(name, "a name")))

    def with_stem(self, stem: str) -> Path:
        """With another last part of the same suffix."""
        return self._of(self._pure.with_stem(_text(stem, "a stem")))

    def with_suffix(self, suffix: str) -> Path:
        """With another suffix of the last part."""
        return self._of(self._pure.with_suffix(_text(suffix, "a suffix")))

    def relative_to(self, other: str | PurePosixPath | Inside) -> PurePosixPath:
        """The way from a directory above; ValueError if it is none."""
        return self._pure.relative_to(_part(other))

    def is_relative_to(self, other: str | PurePosixPath | Inside) -> bool:
        """Is it below?"""
        return self._pure.is_relative_to(_part(other))

    def match(self, pattern: str) -> bool:
        """As PurePath.match()."""
        return self._pure.match(_text(pattern, "a pattern"))

    def is_absolute(self) -> bool:
        """Always."""
        return True

    def absolute(self) -> Path:
        """Itself."""
        return self

    def as_posix(self) -> str:
        """As text."""
        return str(self._pure)

    def _inside(self) -> str:
        return str(self._pure)

    def __str__(self) -> str:
        return str(self._pure)

    def __bytes__(self) -> bytes:
        return bytes(self._pure)

    def __repr__(self) -> str:
        return f"rafs.Path({str(self._pure)!r})"

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, Path) and other._image is self._image
                and other._pure == self._pure)

    def __lt__(self, other: Path) -> bool:
        return self._pure < other._pure if isinstance(other, Path) else NotImplemented

    def __le__(self, other: Path) -> bool:
        return self._pure <= other._pure if isinstance(other, Path) else NotImplemented

    def __gt__(self, other: Path) -> bool:
        return self._pure > other._pure if isinstance(other, Path) else NotImplemented

    def __ge__(self, other: Path) -> bool:
        return self._pure >= other._pure if isinstance(other, Path) else NotImplemented

    def __hash__(self) -> int:
        return hash((id(self._image), self._pure))

    # ---- in the image ---------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> Stat:
        """Attributes."""
        return self._image.stat(self, follow_symlinks=follow_symlinks)

    def lstat(self) -> Stat:
        """Attributes of the name itself."""
        return self._image.lstat(self)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Is there something?"""
        return self._image.exists(self) if follow_symlinks else self._image.lexists(self)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Is it a directory?"""
        return S_ISDIR(self._image._mode(self, follow_symlinks))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Is it a regular file?"""
        return S_ISREG(self._image._mode(self, follow_symlinks))

    def is_symlink(self) -> bool:
        """Is it a symbolic link?"""
        return self._image.islink(self)

    def is_fifo(self) -> bool:
        """Is it a named pipe, links followed?"""
        return S_ISFIFO(self._image._mode(self))

    def is_socket(self) -> bool:
        """Is it a socket, links followed?"""
        return S_ISSOCK(self._image._mode(self))

    def is_block_device(self) -> bool:
        """Is it a block device, links followed?"""
        return S_ISBLK(self._image._mode(self))

    def is_char_device(self) -> bool:
        """Is it a character device, links followed?"""
        return S_ISCHR(self._image._mode(self))

    def is_mount(self) -> bool:
        """Is it the root?"""
        return len(self._pure.parts) == 1

    def samefile(self, other: str | PurePosixPath | Inside) -> bool:
        """Do both lead to one inode?"""
        return self._image.samefile(self, Path(self._image, other))

    def resolve(self, strict: bool = False) -> Path:
        """Without links and ".." in it."""
        return Path(self._image, self._image.realpath(self, strict=strict))

    def readlink(self) -> str:
        """Target of a symbolic link, as it is written there."""
        return self._image.readlink(self)

    def walk(self, top_down: bool = True, on_error: Callable[[OSError], object] | None = None,
             follow_symlinks: bool = False) -> Iterator[tuple[Path, list[str], list[str]]]:
        """As Image.walk(), with a path in front."""
        for place, folders, files in self._image.walk(self, top_down, on_error, follow_symlinks):
            yield Path(self._image, place), folders, files

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
        return self.glob("**/" + _text(pattern, "a pattern"))

    def open(self, mode: str = "r", buffering: int = -1, encoding: str | None = None,
             errors: str | None = None, newline: str | None = None) -> Any:
        """A file object, as Image.open()."""
        return self._image.open(self, mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """Content."""
        return self._image.read_bytes(self)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict",
                  newline: str | None = None) -> str:
        """Content of a text file."""
        return self._image.read_text(self, encoding, errors, newline)
