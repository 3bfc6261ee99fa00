# SPDX-License-Identifier: Apache-2.0
"""Images as file systems for fsspec: `rafs://`, alone and in chains of URLs.

>>> import fsspec
>>> fs = fsspec.filesystem("rafs", fo=bootstrap)
>>> fs.ls("etc", detail=False)
['etc/message', 'etc/motd', 'etc/os-release']
>>> with fsspec.open(f"rafs://etc/motd::file://{bootstrap}") as file:
...     file.read()
b'Be well.\\n'

The image at the end of a chain is named as anywhere: `rafs://PATH::docker://HOST/REPO:TAG`,
`::oci-layout://DIR:TAG`, `::oci-archive://FILE:TAG`, `::http://HOST/PATH`, `::file:///PATH`; or it lies
in any other file system of fsspec, with its blobs beside it: `rafs://PATH::s3://BUCKET/image.boot`.
"""
from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import io
import os
import stat
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec as fsspec_module
from fsspec.spec import AbstractFileSystem

from ._library import ours
from .errors import RafsError
from .image import Image, Stat
from .image import open as open_image

_TYPES = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
#: Protocols that are the library's own: the name of an image begins so.
_REFERENCES = {"docker": "docker://", "oci-layout": "oci:", "oci-archive": "oci-archive:",
               "http": "http://", "https": "https://"}
#: For chunks, if there is no cache that keeps them: people read tables by many small parts.
#: What is fetched at once for several parts is a quarter of it, so that all of it stays there
#: until it is read.
_MEMORY = 64 << 20
_DEFAULT_MEMORY = 32 << 20  # what images have if nobody says more


def _read_only(path: Any) -> OSError:
    return OSError(errno.EROFS, "an image can only be read", str(path))


#: Those that are alive: a child of fork() must not wait for a thread that it does not have.
_systems: weakref.WeakValueDictionary[int, RafsFileSystem] = weakref.WeakValueDictionary()


def _forked() -> None:
    for system in list(_systems.values()):
        system._lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)


class FsspecBackend:
    """Blobs in a directory of any file system of fsspec, for `rafs.open(backends=[…])`.

    >>> import fsspec
    >>> memory = fsspec.filesystem("memory")
    >>> memory.put(str(blobs), "/somewhere/", recursive=True)
    >>> backend = rafs.fsspec.FsspecBackend(memory, "/somewhere/blobs")
    >>> with rafs.open(bootstrap, backends=[backend]) as image:
    ...     image.read_text("/etc/motd")
    'Be well.\\n'
    """

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        self._fs = fs
        self._pid = os.getpid()
        self._root = root.rstrip("/")
        protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
        #: Do requests cost more than bytes?
        self.remote = not {"file", "local", "memory"} & set(protocols)

    def _system(self) -> AbstractFileSystem:
        """In a child of fork() another one: many of fsspec refuse to be used there."""
        if not ours(self._pid):
            self._fs = type(self._fs)(*self._fs.storage_args, **self._fs.storage_options)
            self._pid = os.getpid()
        return self._fs

    def read_range(self, blob_id: str, offset: int, length: int) -> bytes:
        """A part of a blob."""
        data: bytes = self._system().cat_file(f"{self._root}/{blob_id}", offset, offset + length)
        return data

    def size(self, blob_id: str) -> int:
        """Bytes of a blob."""
        return int(self._system().info(f"{self._root}/{blob_id}")["size"])


class RafsFile(io.BufferedReader):
    """A file of an image, with what files of fsspec have besides."""

    def __init__(self, fs: RafsFileSystem, path: str, raw: Any, block_size: int) -> None:
        super().__init__(raw, block_size)
        self.fs = fs
        self.path = path
        self.size = raw._size

    def info(self) -> dict[str, Any]:
        """As RafsFileSystem.info()."""
        return self.fs.info(self.path)


class RafsFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """What an image holds.

    fo     what rafs.open() takes: a path, a reference, or an open rafs.Image
    more   options of rafs.open(): blob_dir, expect_digest, credentials, cache, timeout …

    It is opened when first used, and again in a process made by fork() or that got it by pickle.
    """

    protocol = "rafs"
    root_marker = ""
    cachable = False  # a path or tag may lead to another image by the next time

    def __init__(self, fo: Any = "", *, target_protocol: str | None = None,
                 target_options: dict[str, Any] | None = None, mode: str = "r",
                 **options: Any) -> None:
        storage = {name: options.pop(name) for name in list(options)
                   if name in ("skip_instance_cache", "use_listings_cache", "asynchronous",
                               "loop", "batch_size", "listings_expiry_time", "max_paths")}
        super().__init__(self, **storage)
        if mode != "r":
            raise _read_only(fo)
        if not fo:
            raise ValueError('no image is named: fo="docker://…" or a path, or '
                             '"rafs://PATH::docker://…"')
        self._given = fo
        self._protocol, self._target_options = target_protocol, target_options or {}
        self._options = options
        self._options["limits"] = self._limits() or None
        self._opened: Image | None = fo if isinstance(fo, Image) else None
        self._lock = threading.Lock()
        _systems[id(self)] = self
        _ = self.image

    @property
    def image(self) -> Image:
        """The open image. In a child of fork() it opens itself anew."""
        opened = self._opened
        if opened is not None:
            return opened
        with self._lock:
            if self._opened is None:
                self._opened = self._open_image()
            return self._opened

    def __reduce__(self) -> Any:
        # Whoever loads it opens the same image, or is told that it is another one by then.
        return type(self), (self.image,)

    def _limits(self) -> dict[str, int]:
        """Those given, and memory for what is fetched together."""
        given = self._options.get("limits") or {}
        memory = {} if self._options.get("cache") is not None else {"chunk_cache_bytes": _MEMORY}
        return {**memory, **given}

    def _open_image(self) -> Image:
        fo, protocol = self._given, self._protocol
        if isinstance(fo, (bytes, bytearray, memoryview)):  # in which "://" means nothing
            return open_image(bytes(fo), **self._options)
        if protocol in _REFERENCES:
            prefix = _REFERENCES[protocol]
            if not str(fo).startswith(prefix):
                fo = prefix + str(fo).split("://", 1)[-1]
            return open_image(fo, **{**self._target_options, **self._options})
        if protocol is None and "://" in str(fo) and not str(fo).startswith(
                ("docker://", "http://", "https://")):
            protocol, _, fo = str(fo).partition("://")
        if protocol in (None, "file", "local"):
            return open_image(fo, **self._options)
        elsewhere = fsspec_module.filesystem(protocol, **self._target_options)
        path = elsewhere._strip_protocol(str(fo))
        folder = path.rpartition("/")[0]
        options = dict(self._options)
        root = options.pop("blob_dir", None)
        roots = [root] if root is not None else [f"{folder}/blobs", folder]
        backends = [*options.pop("backends", ()), *(FsspecBackend(elsewhere, one)
                                                    for one in roots)]
        options.setdefault("name", path.rpartition("/")[2])
        return open_image(elsewhere.cat_file(path), backends=backends, **options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped.strip("/") if isinstance(stripped, str) else stripped

    def _inside(self, path: Any) -> str:
        return "/" + str(self._strip_protocol(path))

    # ---- names ----------------------------------------------------------------------

    def _entry(self, name: str, status: Stat) -> dict[str, Any]:
        return {"name": name, "size": status.st_size,
                "type": _TYPES.get(stat.S_IFMT(status.st_mode), "other"), "mode": status.st_mode,
                "uid": status.st_uid, "gid": status.st_gid, "mtime": status.st_mtime,
                "ino": status.st_ino, "nlink": status.st_nlink, "islink": False}

    def info(self, path: Any, **kwargs: Any) -> dict[str, Any]:
        """Facts about a path; links are followed."""
        name = self._strip_protocol(path)
        entry = self._entry(name, self.image.stat("/" + name))
        if stat.S_ISLNK(self.image.lstat("/" + name).st_mode):
            entry.update(islink=True, destination=self.image.readlink("/" + name))
        return entry

    def ls(self, path: Any, detail: bool = True, **kwargs: Any) -> Any:
        """Names in a directory, or the file itself. A link to a file counts as that file; one to
        a directory is a link, so that whoever walks does not go in circles."""
        name = self._strip_protocol(path)
        try:
            if not detail:
                return [f"{name}/{one}".lstrip("/") for one in self.image.listdir("/" + name)]
            entries = [self._listed(entry.path.lstrip("/"), entry.stat(follow_symlinks=False))
                       for entry in self.image.scandir("/" + name)]
        except NotADirectoryError:
            entries = [self.info(name)]
        return entries if detail else [entry["name"] for entry in entries]

    def _listed(self, name: str, status: Stat) -> dict[str, Any]:
        entry = self._entry(name, status)
        if entry["type"] == "link":
            entry.update(islink=True, destination=self.image.readlink("/" + name))
            with contextlib.suppress(RafsError):
                target = self._entry(name, self.image.stat("/" + name))
                if target["type"] == "file":
                    entry.update(type="file", size=target["size"])
        return entry

    def exists(self, path: Any, **kwargs: Any) -> bool:
        """Is there something?"""
        return self.image.exists(self._inside(path))

    def lexists(self, path: Any, **kwargs: Any) -> bool:
        """Is there something, even a link that leads nowhere?"""
        return self.image.lexists(self._inside(path))

    def du(self, path: Any, total: bool = True, maxdepth: int | None = None,
           withdirs: bool = False, **kwargs: Any) -> Any:
        """Bytes of files; links that lead nowhere count as what they are."""
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        sizes = {name: entry["size"] for name, entry in found.items()}
        return sum(sizes.values()) if total else sizes

    def ukey(self, path: Any) -> str:
        """Of the content: the digests of its chunks, so that nothing has to be read. Caches of
        fsspec see by it that a tag leads to another image, with another file of the same name,
        size and time."""
        name = self._inside(path)
        status = self.image.stat(name)
        told = hashlib.sha256(f"{stat.S_IFMT(status.st_mode)} {status.st_size}".encode())
        if stat.S_ISREG(status.st_mode):
            for chunk in self.image.chunks(name):
                told.update(f" {chunk.length} {'hole' if chunk.hole else chunk.digest}".encode())
        else:
            told.update(repr(self.info(path)).encode("utf-8", "surrogateescape"))
        return told.hexdigest()

    def checksum(self, path: Any) -> int:
        """As ukey(), a number."""
        return int(self.ukey(path), 16)

    def isdir(self, path: Any) -> bool:
        """Is it a directory?"""
        return self.image.isdir(self._inside(path))

    def isfile(self, path: Any) -> bool:
        """Is it a regular file?"""
        return self.image.isfile(self._inside(path))

    def modified(self, path: Any) -> datetime.datetime:
        """When it was changed."""
        when = self.image.stat(self._inside(path)).st_mtime
        return datetime.datetime.fromtimestamp(when, datetime.timezone.utc)

    def created(self, path: Any) -> datetime.datetime:
        """Images do not keep it."""
        raise NotImplementedError("images keep no time of creation")

    # ---- content --------------------------------------------------------------------

    def _open(self, path: Any, mode: str = "rb", block_size: int | str | None = None,
              **kwargs: Any) -> RafsFile:
        if mode != "rb":
            raise _read_only(path)
        size = block_size if isinstance(block_size, int) and block_size > 1 else 128 * 1024
        return RafsFile(self, self._strip_protocol(path),
                        self.image.open(self._inside(path), "rb", buffering=0), size)

    def open(self, path: Any, mode: str = "rb", *more: Any, **kwargs: Any) -> Any:
        """A file; modes that write are refused."""
        if set(mode) - set("rbt"):
            raise _read_only(path)
        return super().open(path, mode, *more, **kwargs)

    def cat_file(self, path: Any, start: int | None = None, end: int | None = None,
                 **kwargs: Any) -> bytes:
        """A file, or a part of it; negative positions count from its end."""
        name = self._inside(path)
        if start is None and end is None:
            return self.image.read_bytes(name)
        first, last = _range(start, end, self.image.stat(name).st_size)
        return self.image.read_bytes(name, first, last - first)

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise",
            **kwargs: Any) -> Any:
        """Files: bytes of one, or a dictionary of several, fetched in few requests."""
        try:
            paths = self.expand_path(path, recursive=recursive, **kwargs)
        except FileNotFoundError:
            if not isinstance(path, str) or not self.isfile(path):
                raise
            return self.cat_file(path)  # "[x]" is a name where no file is called "x"
        if not (len(paths) > 1 or isinstance(path, list) or paths[0] != self._strip_protocol(path)):
            return self.cat_file(paths[0])
        paths = [one for one in paths if not self.isdir(one)]
        got = self.cat_ranges(paths, None, None, on_error="raise" if on_error == "raise"
                              else "return")
        return {one: data for one, data in zip(paths, got)
                if on_error != "omit" or not isinstance(data, Exception)}

    def cat_ranges(self, paths: Sequence[Any], starts: Any, ends: Any,
                   max_gap: int | None = None, on_error: str = "return",
                   **kwargs: Any) -> list[Any]:
        """Parts of files. What is not cached of all of them is fetched together, in few requests;
        then each is read."""
        if not isinstance(starts, (list, tuple)):
            starts = [starts] * len(paths)
        if not isinstance(ends, (list, tuple)):
            ends = [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("paths, starts and ends are of different lengths")
        wanted = [self._wanted(*one) for one in zip(paths, starts, ends)]
        out: list[Any] = []
        for group in self._groups(wanted):
            ranges = [one for one in group if isinstance(one, tuple) and one[2]]
            if len(ranges) > 1:
                self.image.prefetch(ranges=ranges, ignore_errors=True)
            for one in group:
                out.append(self._part(one))
                if on_error == "raise" and isinstance(out[-1], Exception):
                    raise out[-1]
        return out

    def _wanted(self, path: Any, start: int | None, end: int | None) -> Any:
        """(path, offset, length), or why not."""
        try:
            name = self._inside(path)
            status = self.image.stat(name)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            first, last = _range(start, end, status.st_size)
            return name, first, last - first
        except Exception as error:
            return error

    def _part(self, wanted: Any) -> Any:
        if isinstance(wanted, Exception):
            return wanted
        try:
            return self.image.read_bytes(*wanted)
        except Exception as error:
            return error

    def _groups(self, wanted: list[Any]) -> Iterator[list[Any]]:
        """As many as memory keeps; all if there is a cache."""
        chunk = self.image.info.chunk_size or 1 << 20
        how = self.image._opened.how
        memory = (how.limits or {}).get("chunk_cache_bytes") or _DEFAULT_MEMORY
        room = 1 << 62 if how.cache is not None else max(1, memory // 4 // chunk)
        group: list[Any] = []
        held: set[tuple[str, int]] = set()
        for one in wanted:
            needs = _chunks(one, chunk)
            if group and len(held | needs) > room:
                yield group
                group, held = [], set()
            held |= needs
            group.append(one)
        if group:
            yield group

    def close(self) -> None:
        """Close the image. It is opened again if it is used again."""
        if self._opened is not None:
            self._opened.close()
            if not isinstance(self._given, Image):
                self._opened = None

    # ---- what images do not do ------------------------------------------------------

    def _refuse(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        """An image can only be read."""
        raise _read_only(path)

    mkdir = makedirs = rmdir = rm = rm_file = _rm = cp_file = copy = mv = move = touch = _refuse
    put_file = pipe_file = _refuse

    def put(self, lpath: Any, rpath: Any, *args: Any, **kwargs: Any) -> Any:
        """An image can only be read."""
        raise _read_only(rpath)

    def pipe(self, path: Any, value: Any = None, **kwargs: Any) -> Any:
        """An image can only be read."""
        raise _read_only(path if isinstance(path, str) else next(iter(path), ""))


class Reference(AbstractFileSystem):  # type: ignore[misc]
    """The names of images, at the end of a chain of URLs."""

    protocol = ("docker", "oci-layout", "oci-archive")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(f"{'/'.join(self.protocol)}:// names an image; what is in it is "
                         "rafs://PATH::docker://HOST/REPO:TAG")

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return path


def _chunks(wanted: Any, size: int) -> set[tuple[str, int]]:
    """Those in which a part lies."""
    if not isinstance(wanted, tuple) or not wanted[2]:
        return set()
    path, first, length = wanted
    return {(path, number) for number in range(first // size, (first + length - 1) // size + 1)}


def _range(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    first = 0 if start is None else start if start >= 0 else max(0, size + start)
    last = size if end is None else end if end >= 0 else max(0, size + end)
    return min(first, size), max(min(first, size), min(last, size))


__all__ = ["FsspecBackend", "RafsFile", "RafsFileSystem", "Reference"]
