# SPDX-License-Identifier: Apache-2.0
"""What an image's tree holds: names, attributes, links."""
from __future__ import annotations

import ctypes
import errno
import os
import posixpath
import stat as stat_module
from collections.abc import Callable, Iterator
from typing import Any

from . import _abi
from ._glob import glob
from ._library import lib, sized
from ._names import Batch, batches
from ._types import DirEntry, InnerPath, Stat, text_of

#: What says that there is nothing of a name. A link that leads round in a circle is one too.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Entries:
    """What Image.scandir() gives: an iterator, and a context manager as that of os.scandir()."""

    def __init__(self, entries: Iterator[DirEntry]) -> None:
        self._entries = entries

    def __iter__(self) -> Entries:
        return self

    def __next__(self) -> DirEntry:
        return next(self._entries)

    def __enter__(self) -> Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No more of it is asked for."""
        self._entries = iter(())


class Tree:
    """The part of an image that knows nothing of content."""

    def _call(self, function: Any, *arguments: Any, path: str | None = None) -> None:
        raise NotImplementedError

    def _resolve(self, path: InnerPath, follow: bool = True) -> int:
        ino = ctypes.c_uint64()
        text = text_of(path)
        self._call(lib.rafs_image_resolve, os.fsencode(text),
                   0 if follow else _abi.RAFS_RESOLVE_NOFOLLOW, ctypes.byref(ino), path=text)
        return ino.value

    # ---- attributes -----------------------------------------------------------------

    def stat(self, path: InnerPath, *, follow_symlinks: bool = True) -> Stat:
        """Attributes of what a path names.

        >>> image.stat("/etc/motd").st_size
        9
        """
        return self._stat(self._resolve(path, follow_symlinks), text_of(path))

    def _stat(self, ino: int, path: str) -> Stat:
        attr = _abi.Attr()
        self._call(lib.rafs_image_get_attr, ino, ctypes.byref(attr), path=path)
        return Stat._of(attr)

    def _regular(self, ino: int, path: str) -> Stat:
        """Attributes of what has content."""
        status = self._stat(ino, path)
        if stat_module.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        if not stat_module.S_ISREG(status.st_mode):
            raise OSError(errno.ENXIO, "is no regular file, and has no content", path)
        return status

    def lstat(self, path: InnerPath) -> Stat:
        """As stat(), of a symbolic link itself."""
        return self.stat(path, follow_symlinks=False)

    def _mode(self, path: InnerPath, follow: bool = True) -> int:
        """Type and permissions; 0 where there is nothing."""
        try:
            return self.stat(path, follow_symlinks=follow).st_mode
        except OSError as error:
            if error.errno in _ABSENT:
                return 0
            raise

    def exists(self, path: InnerPath) -> bool:
        """Is there something of that name, links followed?

        >>> image.exists("/etc/motd"), image.exists("/no/such")
        (True, False)
        """
        return self._mode(path) != 0

    def lexists(self, path: InnerPath) -> bool:
        """As exists(), also of a link that leads nowhere."""
        return self._mode(path, follow=False) != 0

    def isdir(self, path: InnerPath) -> bool:
        """Is it a directory, links followed?"""
        return stat_module.S_ISDIR(self._mode(path))

    def isfile(self, path: InnerPath) -> bool:
        """Is it a regular file, links followed?"""
        return stat_module.S_ISREG(self._mode(path))

    def islink(self, path: InnerPath) -> bool:
        """Is it a symbolic link?"""
        return stat_module.S_ISLNK(self._mode(path, follow=False))

    def getsize(self, path: InnerPath) -> int:
        """Bytes of a file, links followed."""
        return self.stat(path).st_size

    def samefile(self, path: InnerPath, other: InnerPath) -> bool:
        """Do two paths lead to one inode?"""
        return self._resolve(path) == self._resolve(other)

    # ---- links ----------------------------------------------------------------------

    def readlink(self, path: InnerPath) -> str:
        """Target of a symbolic link.

        >>> image.readlink("/etc/message")
        'motd'
        """
        return os.fsdecode(self._sized(lib.rafs_image_readlink, self._resolve(path, False), 1,
                                       path=text_of(path)))

    def realpath(self, path: InnerPath, *, strict: bool = True) -> str:
        """The path without links in it. What is not there is an error, or (not strict) stays as
        it is.

        >>> image.realpath("/etc/message")
        '/etc/motd'
        """
        whole = text_of(path)
        left, place, links = whole.split("/")[::-1], "/", 0
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                place = posixpath.dirname(place)
                continue
            here = posixpath.join(place, name)
            if not self.islink(here):
                place = here
                continue
            links += 1
            if links > _abi.RAFS_LINKS_MAX:
                raise OSError(errno.ELOOP, "too many symbolic links", whole)
            target = self.readlink(here)
            left += target.split("/")[::-1]
            if target.startswith("/"):
                place = "/"
        if strict:
            self._resolve(place)
        return place

    def _sized(self, function: Any, ino: int, more: int, *, path: str,
               name: bytes | None = None) -> bytes:
        """A call that says how much room it needs."""
        arguments = [] if name is None else [name]
        return sized(lambda *room: self._call(function, ino, *arguments, *room, path=path),
                     more=more)

    def xattrs(self, path: InnerPath, *, follow_symlinks: bool = True) -> dict[str, bytes]:
        """Extended attributes, ACLs included, by their full names."""
        ino, text = self._resolve(path, follow_symlinks), text_of(path)
        names = self._sized(lib.rafs_image_list_xattr, ino, 0, path=text).split(b"\0")[:-1]
        return {os.fsdecode(name): self._sized(lib.rafs_image_get_xattr, ino, 0, path=text,
                                               name=name) for name in names}

    # ---- directories ----------------------------------------------------------------

    def _batches(self, ino: int, path: str, with_attributes: bool = False) -> Iterator[Batch]:
        return batches(lambda *arguments: self._call(lib.rafs_image_readdir, *arguments, path=path),
                       ino, with_attributes)

    def listdir(self, path: InnerPath = "/") -> list[str]:
        """Names in a directory, in the order of their bytes.

        >>> image.listdir("/etc")
        ['message', 'motd', 'os-release']
        """
        names: list[str] = []
        for batch in self._batches(self._resolve(path), text_of(path)):
            names += batch.names
        return names

    def scandir(self, path: InnerPath = "/") -> Entries:
        """Names in a directory with their attributes.

        >>> [(entry.name, entry.is_symlink()) for entry in image.scandir("/etc")]
        [('message', True), ('motd', False), ('os-release', False)]
        """
        text = text_of(path)
        found = self._batches(self._resolve(path), text, True)
        first = next(found, None)  # so that errors come from here
        return Entries(self._scan(text.rstrip("/") + "/", first, found))

    def _scan(self, base: str, batch: Batch | None, more: Iterator[Batch]) -> Iterator[DirEntry]:
        while batch is not None:
            for name, kind, place in zip(batch.names, batch.types, batch.places()):
                yield DirEntry(name, base, kind, batch.memory, place, self)
            batch = next(more, None)

    def _typed(self, path: str) -> list[tuple[str, int]]:
        """Names in a directory with their types; none where there is no directory."""
        try:
            return [pair for batch in self._batches(self._resolve(path), path)
                    for pair in zip(batch.names, batch.types)]
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise

    def _split(self, ino: int, path: str) -> tuple[dict[str, int], set[str], list[str]]:
        """Directories below one with their inode numbers, which of them are links, the rest."""
        folders: dict[str, int] = {}
        links: set[str] = set()
        files: list[str] = []
        base = path.rstrip("/") + "/"
        for batch in self._batches(ino, path):
            if stat_module.S_IFDIR not in batch.types and stat_module.S_IFLNK not in batch.types:
                files += batch.names
                continue
            for name, kind, inode in zip(batch.names, batch.types, batch.inodes):
                if kind == stat_module.S_IFDIR:
                    folders[name] = inode
                elif kind == stat_module.S_IFLNK and self.isdir(base + name):
                    folders[name] = self._resolve(base + name)
                    links.add(name)
                else:
                    files.append(name)
        return folders, links, files

    def walk(self, top: InnerPath = "/", topdown: bool = True,
             onerror: Callable[[OSError], object] | None = None,
             followlinks: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:
        """As `os.walk`: directory, names of directories in it (links to some as well), other
        names. Names taken out of the second list are not entered. Links are entered only with
        `followlinks`, and nothing is entered twice then. Errors are raised, unless `onerror`
        takes them.

        >>> for place, folders, files in image.walk("/"):
        ...     print(place, folders, files)
        / ['data', 'etc'] []
        /data [] ['other', 'table']
        /etc [] ['message', 'motd', 'os-release']
        """
        steps = self._walk(text_of(top), onerror, followlinks)
        if topdown:
            yield from steps
        else:
            yield from self._bottom_up(steps)

    def _walk(self, first: str, onerror: Callable[[OSError], object] | None,
              followlinks: bool) -> Iterator[tuple[str, list[str], list[str]]]:
        pending: list[tuple[str, int | None]] = [(first, None)]
        seen: set[int] = set()
        while pending:
            place, known = pending.pop()
            try:
                ino = self._resolve(place) if known is None else known
                folders, links, files = self._split(ino, place)
            except OSError as error:
                if onerror is None:
                    raise
                onerror(error)
                continue
            seen.add(ino)
            names = list(folders)
            yield place, names, files
            base = place.rstrip("/") + "/"
            for name in reversed(names):
                if name not in links or followlinks and folders[name] not in seen:
                    pending.append((base + name, folders.get(name)))

    def _bottom_up(self, steps: Iterator[tuple[str, list[str], list[str]]]
                   ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Each directory after those below it, given each one before them."""
        above: list[tuple[str, list[str], list[str]]] = []
        for step in steps:
            while above and not step[0].startswith(above[-1][0].rstrip("/") + "/"):
                yield above.pop()
            above.append(step)
        while above:
            yield above.pop()

    def glob(self, pattern: str, top: InnerPath = "/") -> Iterator[str]:
        """Paths below `top` that match, as `glob.glob` with `recursive=True` has it: `*`, `?`
        and `[…]` within a name, `**` for any directories; hidden names only where the pattern
        has the dot; with a slash at its end, directories alone. Links are followed, but not by
        `**`.

        >>> list(image.glob("/etc/m*")), list(image.glob("**/table"))
        (['/etc/message', '/etc/motd'], ['/data/table'])
        """
        return glob(self, text_of(pattern), text_of(top))


__all__ = ["Entries", "Tree"]
