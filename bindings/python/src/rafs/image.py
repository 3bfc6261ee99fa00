# SPDX-License-Identifier: Apache-2.0
"""An open image: names, attributes, content."""
from __future__ import annotations

import asyncio
import ctypes
import fnmatch
import io
import os
import stat as stat_module
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Union

from . import _abi
from ._library import Cancel, call, check_process, interruptible, lib, limits
from ._sources import (
    Backend,
    Credentials,
    CredentialSource,
    Http,
    Keeper,
    Library,
    PythonBackend,
    array,
)
from .errors import BackendError, RafsError, RafsTimeoutError

StrPath = Union[str, "os.PathLike[str]"]

#: Bytes of names and entries that one call for a directory brings.
_NAMES_ROOM = 64 * 1024
_ENTRIES = 512


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


def _text(error: _abi.Error) -> Finding:
    return Finding(next((name for name, value in vars(_abi).items()
                         if name.startswith("RAFS_E_") and value == error.code), "RAFS_E_?"),
                   error.object.decode("utf-8", "replace"),
                   error.offset if error.has_offset else None,
                   error.text.decode("utf-8", "replace"))


class _Handles:
    """All that an image holds, freed in order, once, whoever is first."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.lock = threading.Lock()
        self.free = threading.Condition(self.lock)
        self.calls = 0
        self.closing = False
        self.cancel = Cancel()

    def enter(self) -> None:
        with self.lock:
            if self.closing:
                raise ValueError("the image is closed")
            self.calls += 1

    def leave(self) -> None:
        with self.lock:
            self.calls -= 1
            if self.calls == 0:
                self.free.notify_all()

    def close(self) -> None:
        """Calls under way are cancelled and waited for."""
        with self.lock:
            if self.closing:
                return
            self.closing = True
            if self.calls:
                self.cancel.fire()
            while self.calls:
                self.free.wait()
        self.stack.close()


class Image:
    """An open image, from `rafs.open()`; a context manager. Any threads may use one at once.

    Paths are text as `os.fsdecode` makes it of bytes; they begin at the image's root, with or
    without a slash. Symbolic links are followed inside the image.
    """

    def __init__(self) -> None:
        raise TypeError("images are made by rafs.open()")

    _handle: ctypes.c_void_p
    _handles: _Handles
    _keeper: Keeper
    _timeout: float | None
    _waits: bool  # for the network or for Python: Ctrl-C has to come through

    # ---- opening and closing --------------------------------------------------------

    @classmethod
    def _open(cls, reference: StrPath | Backend | bytes, *, blob_dir: StrPath | None,
              backends: Sequence[Backend | StrPath], expect_digest: str | None,
              credentials: Credentials | None, cache: StrPath | None, timeout: float | None,
              platform: str | None, plain_http: bool, insecure: bool,
              ca_file: str | None, name: str | None) -> Image:
        check_process()
        image = object.__new__(cls)
        handles, keeper = _Handles(), Keeper()
        image._handle, image._handles, image._keeper = ctypes.c_void_p(), handles, keeper
        image._timeout, image._waits = timeout, False
        finalizer = weakref.finalize(image, handles.close)
        try:
            image._assemble(reference, blob_dir, backends, expect_digest, credentials, cache,
                            platform, plain_http, insecure, ca_file, name)
        except BaseException:
            finalizer()
            raise
        return image

    def _assemble(self, reference: Any, blob_dir: StrPath | None,
                  backends: Sequence[Backend | StrPath], expect_digest: str | None,
                  credentials: Credentials | None, cache: StrPath | None, platform: str | None,
                  plain_http: bool, insecure: bool, ca_file: str | None,
                  name: str | None) -> None:
        stack = self._handles.stack
        options = _abi.OpenOptions(ctypes.sizeof(_abi.OpenOptions))
        text = os.fspath(reference) if isinstance(reference, os.PathLike) else reference
        env = _abi.Env(ctypes.sizeof(_abi.Env))
        env.cancel = self._handles.cancel.handle
        options.env = ctypes.pointer(env)
        options.expect_digest = expect_digest.encode() if expect_digest else None
        options.name = os.fsencode(name) if name else None
        if cache is not None:
            opened = ctypes.c_void_p()
            call(lib.rafs_cache_open, os.fsencode(cache), None, ctypes.byref(opened))
            stack.callback(lib.rafs_cache_close, opened)
            options.cache = opened
        http: Http | None = None

        def client() -> Http:
            nonlocal http
            if http is None:
                http = Http(insecure=insecure, ca_file=ca_file)
                stack.callback(http.free)
            return http

        registry = _abi.RegistryOptions(ctypes.sizeof(_abi.RegistryOptions))
        source = CredentialSource(credentials, self._keeper)
        registry.flags = _abi.RAFS_REGISTRY_PLAIN_HTTP if plain_http else 0
        registry.credentials = ctypes.pointer(source.source)
        registry.platform = platform.encode() if platform else None
        self._keep = (env, source, registry)
        sources: list[Any] = []
        for one in ([blob_dir] if blob_dir is not None else []) + list(backends):
            made = self._source(one, client)
            stack.callback(made.free)
            sources.append(made)
        options.backends = array([one.handle for one in sources])
        options.backend_count = len(sources)
        self._keep_options = options
        remote = isinstance(text, str) and text.startswith(("docker://", "http://", "https://"))
        self._waits = self._waits or remote
        work = self._opening(text, options, registry, client)
        try:
            if self._waits:
                interruptible(lambda cancel: work(limits(self._timeout, cancel)))
            else:
                work(limits(self._timeout, None))
        except RafsError as error:
            self._keeper.raise_instead(error)
            raise
        stack.callback(lib.rafs_image_close, self._handle)

    def _source(self, given: Any, client: Any) -> Any:
        if isinstance(given, (str, os.PathLike)):
            place = os.fspath(given)
            if place.startswith(("http://", "https://")):
                self._waits = True
                return Library(lib.rafs_backend_new_http, client().handle, place.encode())
            return Library(lib.rafs_backend_new_directory, os.fsencode(place), None)
        if isinstance(given, Backend):
            self._waits = True
            return PythonBackend(given, self._keeper)
        raise TypeError(f"a source of blobs is a directory, a URL or an object with "
                        f"read_range(), not {type(given).__name__}")

    def _opening(self, text: Any, options: _abi.OpenOptions, registry: _abi.RegistryOptions,
                 client: Any) -> Any:
        handle = ctypes.byref(self._handle)
        with_options = ctypes.byref(options)
        if isinstance(text, (bytes, bytearray, memoryview)):
            data = bytes(text)
            self._data = data  # borrowed by the library
            return lambda limit: call(lib.rafs_image_open_memory, data, len(data), with_options,
                                      handle, ctypes.byref(limit))
        if not isinstance(text, str):
            raise TypeError(f"an image is a path, a reference or bytes, not "
                            f"{type(text).__name__}")
        if text.startswith("docker://"):
            return lambda limit: call(lib.rafs_image_open_registry, client().handle,
                                      text.encode(), ctypes.byref(registry), with_options,
                                      handle, ctypes.byref(limit), path=text)
        if text.startswith(("oci:", "oci-archive:")):
            place, _, tag = text.partition(":")[2].partition(":")
            layout = _abi.LayoutOptions(ctypes.sizeof(_abi.LayoutOptions), 0, registry.platform)
            return lambda limit: call(lib.rafs_image_open_layout, os.fsencode(place),
                                      tag.encode() if tag else None, ctypes.byref(layout),
                                      with_options, handle, ctypes.byref(limit), path=text)
        if text.startswith(("http://", "https://")):
            base, _, last = text.rpartition("/")
            whole = Library(lib.rafs_backend_new_http, client().handle, base.encode())
            self._handles.stack.callback(whole.free)
            if options.backend_count == 0:
                options.backends = array([whole.handle])
                options.backend_count = 1
            return lambda limit: call(lib.rafs_image_open_backend, whole.handle, last.encode(),
                                      with_options, handle, ctypes.byref(limit), path=text)
        return lambda limit: call(lib.rafs_image_open_path, os.fsencode(text), with_options,
                                  handle, ctypes.byref(limit), path=text)

    def close(self) -> None:
        """Close the image. Calls of other threads are cancelled and waited for; closing twice
        is fine, using it afterwards is ValueError."""
        self._handles.close()

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._handles.closing

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- calling --------------------------------------------------------------------

    def _call(self, function: Any, *arguments: Any, path: str | None = None) -> None:
        """For what never waits longer than a disk."""
        self._handles.enter()
        try:
            call(function, self._handle, *arguments, path=path)
        finally:
            self._handles.leave()

    def _wait(self, work: Any) -> None:
        """For what may wait: work(rafs_call)."""
        self._handles.enter()
        try:
            if self._waits:
                interruptible(lambda cancel: work(limits(self._timeout, cancel)))
            else:
                work(limits(self._timeout, None))
        except RafsError as error:
            self._keeper.raise_instead(error)
            raise
        finally:
            self._handles.leave()

    def _resolve(self, path: StrPath, follow: bool = True) -> int:
        ino = ctypes.c_uint64()
        text = os.fspath(path)
        self._call(lib.rafs_image_resolve, os.fsencode(text),
                   0 if follow else _abi.RAFS_RESOLVE_NOFOLLOW, ctypes.byref(ino), path=text)
        return ino.value

    # ---- names ----------------------------------------------------------------------

    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> Stat:
        """Attributes of what a path names."""
        return self._stat(self._resolve(path, follow_symlinks), os.fspath(path))

    def _stat(self, ino: int, path: str) -> Stat:
        attr = _abi.Attr()
        self._call(lib.rafs_image_get_attr, ino, ctypes.byref(attr), path=path)
        return Stat._of(attr)

    def lstat(self, path: StrPath) -> Stat:
        """As stat(), of a symbolic link itself."""
        return self.stat(path, follow_symlinks=False)

    def exists(self, path: StrPath) -> bool:
        """Is there something of that name, links followed?"""
        try:
            self._resolve(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def isdir(self, path: StrPath) -> bool:
        """Is it a directory, links followed?"""
        return self.exists(path) and stat_module.S_ISDIR(self.stat(path).st_mode)

    def isfile(self, path: StrPath) -> bool:
        """Is it a regular file, links followed?"""
        return self.exists(path) and stat_module.S_ISREG(self.stat(path).st_mode)

    def _entries(self, ino: int, path: str, with_attributes: bool) -> Iterator[_abi.Dirent]:
        entries = (_abi.Dirent * _ENTRIES)()
        names = ctypes.create_string_buffer(_NAMES_ROOM)
        count, offset = ctypes.c_size_t(), 0
        while True:
            self._call(lib.rafs_image_readdir, ino, offset,
                       _abi.RAFS_DIR_ATTR if with_attributes else 0, entries, _ENTRIES, names,
                       _NAMES_ROOM, ctypes.byref(count), path=path)
            if count.value == 0:
                return
            yield from entries[:count.value]
            offset = entries[count.value - 1].next_offset

    def listdir(self, path: StrPath = "/") -> list[str]:
        """Names in a directory, in the order of their bytes."""
        ino = self._resolve(path)
        return [os.fsdecode(entry.name) for entry in self._entries(ino, os.fspath(path), False)]

    def scandir(self, path: StrPath = "/") -> Iterator[DirEntry]:
        """Names in a directory with their attributes."""
        text = os.fspath(path)
        base = text.rstrip("/") + "/"
        for entry in self._entries(self._resolve(path), text, True):
            name = os.fsdecode(entry.name)
            yield DirEntry(name, base + name, Stat._of(entry.attr))

    def walk(self, top: StrPath = "/") -> Iterator[tuple[str, list[str], list[str]]]:
        """As `os.walk`, top down; links are not followed. Names taken out of the second list
        are not entered."""
        pending = [os.fspath(top)]
        while pending:
            place = pending.pop()
            folders: list[str] = []
            files: list[str] = []
            for entry in self.scandir(place):
                (folders if entry.is_dir() else files).append(entry.name)
            yield place, folders, files
            base = place.rstrip("/") + "/"
            pending.extend(base + name for name in reversed(folders))

    def glob(self, pattern: str, top: StrPath = "/") -> Iterator[str]:
        """Paths below `top` that match: `*`, `?` and `[…]` within a name, `**` for any
        directories."""
        parts = [part for part in pattern.split("/") if part]
        yield from self._glob(os.fspath(top), parts)

    def _glob(self, place: str, parts: list[str]) -> Iterator[str]:
        if not parts:
            yield place
            return
        first, rest = parts[0], parts[1:]
        base = place.rstrip("/") + "/"
        if first == "**":
            yield from self._glob(place, rest)
            for entry in self._scan_or_nothing(place):
                if entry.is_dir():
                    yield from self._glob(base + entry.name, parts)
        elif not any(mark in first for mark in "*?["):
            try:
                self._resolve(base + first, follow=bool(rest))
            except (FileNotFoundError, NotADirectoryError):
                return
            yield from self._glob(base + first, rest)
        else:
            for entry in self._scan_or_nothing(place):
                if fnmatch.fnmatchcase(entry.name, first) and (
                        first.startswith(".") or not entry.name.startswith(".")):
                    yield from self._glob(base + entry.name, rest)

    def _scan_or_nothing(self, place: str) -> list[DirEntry]:
        try:
            return list(self.scandir(place))
        except NotADirectoryError:
            return []

    def readlink(self, path: StrPath) -> str:
        """Target of a symbolic link."""
        return os.fsdecode(self._sized(lib.rafs_image_readlink, self._resolve(path, False), 1,
                                       path=os.fspath(path)))

    def _sized(self, function: Any, ino: int, more: int, *, path: str,
               name: bytes | None = None) -> bytes:
        """A call that says how much room it needs."""
        room, arguments = 1024, [] if name is None else [name]
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = ctypes.c_size_t()
            try:
                self._call(function, ino, *arguments, buffer, room, ctypes.byref(length),
                           path=path)
                return buffer.raw[:length.value]
            except RafsError as error:
                if error.code != "RAFS_E_RANGE":
                    raise
                room = length.value + more

    def xattrs(self, path: StrPath, *, follow_symlinks: bool = True) -> dict[str, bytes]:
        """Extended attributes, ACLs included, by their full names."""
        ino, text = self._resolve(path, follow_symlinks), os.fspath(path)
        names = self._sized(lib.rafs_image_list_xattr, ino, 0, path=text).split(b"\0")[:-1]
        return {os.fsdecode(name): self._sized(lib.rafs_image_get_xattr, ino, 0, path=text,
                                               name=name) for name in names}

    # ---- content --------------------------------------------------------------------

    def _readinto(self, ino: int, offset: int, view: memoryview, path: str | None) -> int:
        """Verified bytes into memory, and how many they are."""
        if view.nbytes == 0:
            return 0
        room = (ctypes.c_char * view.nbytes).from_buffer(view)
        length = min(view.nbytes, _abi.RAFS_READ_MAX)
        got = ctypes.c_size_t()
        self._wait(lambda limit: call(lib.rafs_image_read, self._handle, ino, offset, length,
                                      room, ctypes.byref(got), ctypes.byref(limit), path=path))
        return got.value

    def read_bytes(self, path: StrPath, offset: int = 0, length: int | None = None) -> bytes:
        """Content of a file, or a part of it: fewer bytes only where it ends."""
        if offset < 0 or (length is not None and length < 0):
            raise ValueError("offset and length are not negative")
        with self.open(path, "rb", buffering=0) as file:
            file.seek(offset)
            left = file._size - offset
            buffer = bytearray(max(0, left if length is None else min(length, left)))
            done = 0
            view = memoryview(buffer)
            while done < len(buffer):
                n = file.readinto(view[done:])
                if not n:
                    break
                done += n
            del view
            return bytes(buffer[:done]) if done < len(buffer) else bytes(buffer)

    def read_text(self, path: StrPath, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Content of a text file."""
        return self.read_bytes(path).decode(encoding, errors)

    async def aread(self, path: StrPath, offset: int = 0, length: int | None = None) -> bytes:
        """read_bytes() for asyncio: other tasks run meanwhile."""
        return await asyncio.to_thread(self.read_bytes, path, offset, length)

    def open(self, path: StrPath, mode: str = "r", buffering: int = -1,
             encoding: str | None = None, errors: str | None = None,
             newline: str | None = None) -> Any:
        """A file object, as `open()` gives: "rb" buffered or (buffering=0) raw, "r" text. The
        image must stay open as long as it is read."""
        if mode not in ("r", "rt", "rb", "br", "tr"):
            raise ValueError(f"mode {mode!r}: an image can only be read")
        raw = File(self, path)
        if "b" in mode:
            if buffering == 0:
                return raw
            return io.BufferedReader(raw, buffering if buffering > 1 else 128 * 1024)
        if buffering == 0:
            raise ValueError("text is buffered")
        return io.TextIOWrapper(io.BufferedReader(raw, 128 * 1024), encoding or "utf-8", errors,
                                newline)

    def chunks(self, path: StrPath) -> Iterator[Chunk]:
        """Where the bytes of a file lie, in order."""
        ino, text = self._resolve(path), os.fspath(path)
        extents, count, offset = (_abi.Extent * 256)(), ctypes.c_size_t(), 0
        while True:
            at = offset
            self._wait(lambda limit: call(
                lib.rafs_image_get_extents, self._handle, ino, at, extents, 256,
                ctypes.byref(count), ctypes.byref(limit), path=text))
            if count.value == 0:
                return
            for extent in extents[:count.value]:
                kind = "sha256" if extent.digest_algorithm == _abi.RAFS_DIGEST_SHA256 else "blake3"
                yield Chunk(extent.file_offset, extent.length,
                            bool(extent.flags & _abi.RAFS_EXTENT_HOLE), extent.blob,
                            extent.chunk, extent.compressed_offset, extent.compressed_size,
                            f"{kind}:{bytes(extent.digest).hex()}")
            last = extents[count.value - 1]
            offset = last.file_offset + last.length

    def prefetch(self, paths: Sequence[StrPath] = (), *,
                 ranges: Sequence[tuple[StrPath, int, int]] = (), everything: bool = False,
                 threads: int = 0, ignore_errors: bool = False) -> dict[str, int]:
        """Fetch beforehand, in few large requests: files, directories with all below, ranges
        (path, offset, length), or everything; with a cache it stays there. Gives counts."""
        options = _abi.PrefetchOptions(ctypes.sizeof(_abi.PrefetchOptions))
        options.threads = threads
        options.what = _abi.RAFS_PREFETCH_ALL if everything else _abi.RAFS_PREFETCH_LIST
        texts = [os.fsencode(path) for path in paths]
        options.paths = (ctypes.c_char_p * max(1, len(texts)))(*texts)
        options.path_count = len(texts)
        parts = [_abi.PrefetchRange(self._resolve(path), offset, length)
                 for path, offset, length in ranges]
        options.ranges = (_abi.PrefetchRange * max(1, len(parts)))(*parts)
        options.range_count = len(parts)
        handle = ctypes.c_void_p()
        self._call(lib.rafs_prefetch_start, ctypes.byref(options), ctypes.byref(handle), None)
        progress = _abi.PrefetchProgress(ctypes.sizeof(_abi.PrefetchProgress))
        try:
            self._wait(lambda limit: call(lib.rafs_prefetch_wait, handle, ctypes.byref(limit)))
        except RafsError:
            if not ignore_errors:
                raise
        finally:
            lib.rafs_prefetch_get_progress(handle, ctypes.byref(progress), None)
            lib.rafs_prefetch_free(handle)
        return {name: getattr(progress, name) for name, *_ in _abi.PrefetchProgress._fields_
                if name not in ("struct_size", "ended")}

    # ---- the whole ------------------------------------------------------------------

    @property
    def info(self) -> Info:
        """Facts about the image."""
        info = _abi.ImageInfo(ctypes.sizeof(_abi.ImageInfo))
        self._call(lib.rafs_image_get_info, ctypes.byref(info))
        blobs = []
        for index in range(info.blob_count):
            blob = _abi.BlobInfo(ctypes.sizeof(_abi.BlobInfo))
            self._call(lib.rafs_image_get_blob, index, ctypes.byref(blob))
            blobs.append(Blob(blob.id.decode("utf-8", "replace"), blob.chunk_count,
                              blob.compressed_size, blob.uncompressed_size))
        return Info(info.version, info.inodes, info.chunk_size, info.bootstrap_bytes,
                    bool(info.pinned), tuple(blobs))

    @property
    def stats(self) -> dict[str, int]:
        """What was fetched, and what came from the cache."""
        stats = _abi.Stats(ctypes.sizeof(_abi.Stats))
        self._call(lib.rafs_image_get_stats, ctypes.byref(stats))
        return {name: getattr(stats, name)
                for name, *_ in _abi.Stats._fields_ if name not in ("struct_size", "reserved")}

    def check(self, *, metadata_only: bool = False) -> CheckResult:
        """Look at everything in the image. What is wrong is in the result and no exception."""
        types = dict(_abi.CheckOptions._fields_)  # type: ignore[arg-type]
        found: list[Finding] = []
        finding = types["finding"](lambda user, error: found.append(_text(error[0])))
        options = _abi.CheckOptions(ctypes.sizeof(_abi.CheckOptions))
        options.flags = _abi.RAFS_CHECK_METADATA_ONLY if metadata_only else 0
        options.finding = finding
        result = _abi.CheckResult(ctypes.sizeof(_abi.CheckResult))
        self._wait(lambda limit: call(lib.rafs_image_check, self._handle, ctypes.byref(options),
                                      ctypes.byref(result), ctypes.byref(limit)))
        return CheckResult(result.inodes, result.chunks, result.bytes, tuple(found))


class File(io.RawIOBase):
    """A file of an image, for reading; every byte is verified. Made by Image.open()."""

    def __init__(self, image: Image, path: StrPath) -> None:
        super().__init__()
        self._image = image
        self.name = os.fspath(path)
        self._ino = image._resolve(path)
        status = image._stat(self._ino, self.name)
        if stat_module.S_ISDIR(status.st_mode):
            raise IsADirectoryError(21, "is a directory", self.name)
        self._size = status.st_size
        self._at = 0

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
        view = memoryview(buffer).cast("B")
        n = self._image._readinto(self._ino, self._at, view, self.name)
        self._at += n
        return n

    def readall(self) -> bytes:
        """All that is left."""
        self._open_or_raise()
        out = bytearray(max(0, self._size - self._at))
        view = memoryview(out)
        done = 0
        while done < len(out):
            n = self.readinto(view[done:])
            if n == 0:
                break
            done += n
        del view
        return bytes(out[:done])

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; past the end is allowed."""
        self._open_or_raise()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}.get(whence)
        if base is None:
            raise ValueError(f"whence {whence} is not known")
        if base + offset < 0:
            raise ValueError("a position before the file")
        self._at = min(base + offset, (1 << 63) - 1)
        return self._at

    def tell(self) -> int:
        """Where the next byte comes from."""
        self._open_or_raise()
        return self._at


def open(reference: StrPath | bytes, *, blob_dir: StrPath | None = None,
         backends: Sequence[Backend | StrPath] = (), expect_digest: str | None = None,
         credentials: Credentials | None = None, cache: StrPath | None = None,
         timeout: float | None = 60.0, platform: str | None = None, plain_http: bool = False,
         insecure: bool = False, ca_file: str | None = None, name: str | None = None) -> Image:
    """Open an image.

    reference       a bootstrap or blob in a file or in memory (bytes);
                    "docker://HOST/REPO:TAG", "oci:DIR:TAG", "oci-archive:FILE:TAG",
                    "http://HOST/PATH"
    blob_dir        directory of the data blobs
    backends        more sources, asked in this order: directories, URLs, objects with
                    read_range()
    expect_digest   "sha256:HEX" of the bootstrap: nothing but that image is read
    credentials     (user, password), a mapping of hosts to pairs, or a function; without them
                    what docker login and podman login wrote is used
    cache           directory in which chunks outlive the process; None: memory alone
    timeout         seconds that one call may take; None: as long as it takes
    platform        "OS/ARCHITECTURE" of an image for several

    Raises what `rafs.errors` has: NotFound, CorruptError, BackendError, RafsTimeoutError …

    >>> import rafs
    >>> with rafs.open("image.boot", blob_dir="blobs") as image:  # doctest: +SKIP
    ...     print(image.read_text("/etc/os-release"))
    """
    return Image._open(reference, blob_dir=blob_dir, backends=backends,
                       expect_digest=expect_digest, credentials=credentials, cache=cache,
                       timeout=timeout, platform=platform, plain_http=plain_http,
                       insecure=insecure, ca_file=ca_file, name=name)


__all__ = ["BackendError", "Blob", "CheckResult", "Chunk", "DirEntry", "File", "Finding", "Image",
           "Info", "Iterable", "RafsTimeoutError", "Stat", "open"]
