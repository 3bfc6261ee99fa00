# SPDX-License-Identifier: Apache-2.0
"""An open image: names, attributes, content."""
from __future__ import annotations

import asyncio
import ctypes
import io
import logging
import operator
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import _abi
from ._file import File
from ._library import at_hand, call, lib
from ._memory import Unwritten, bytes_of, room
from ._opening import How, Opened
from ._sources import Backend, Credentials
from ._tree import Tree
from ._types import (
    COMPRESSORS,
    DIGESTS,
    Blob,
    CheckResult,
    Chunk,
    DirEntry,
    Finding,
    Info,
    InnerPath,
    Inside,
    Stat,
    StrPath,
    finding_of,
    number,
    text_of,
)
from .cache import Cache
from .errors import NotFound, RafsError
from .trace import Trace

#: The longest read that is first tried without a thread that Ctrl-C could stop.
_SHORT = 16 << 20
#: Bytes that are read into memory of our own at once, where that is needed.
_PART = 64 << 20
#: Bytes that a file object reads at once. A chunk in the network costs the same either way.
_BUFFER = 128 << 10
_AT_HAND = ctypes.byref(at_hand())


def _buffered(raw: File, buffering: int) -> io.BufferedReader:
    return io.BufferedReader(raw, buffering if buffering > 1 else _BUFFER)


class Image(Tree):
    """An open image, from `rafs.open()`; a context manager. Any threads may use one at once.

    Paths are text as `os.fsdecode` makes it of bytes; they begin at the image's root, with or
    without a slash. Symbolic links are followed inside the image.
    """

    def __init__(self) -> None:
        raise TypeError("images are made by rafs.open()")

    _opened: Opened
    _before_fork: Opened | None = None
    _facts: Info

    # ---- opening and closing --------------------------------------------------------

    @classmethod
    def _open(cls, how: How) -> Image:
        image = object.__new__(cls)
        image._start(how)
        image._facts = image.info
        _images.add(image)
        return image

    def _start(self, how: How) -> None:
        opened = Opened(how)
        finalizer = weakref.finalize(self, opened.handles.close)
        finalizer.atexit = False  # _handles closes those that are left
        try:
            opened.open()
        except BaseException:
            finalizer()
            raise
        self._opened = opened

    def __getattr__(self, name: str) -> Any:
        """In a child after fork() there is no _opened until somebody uses the image."""
        if name != "_opened" or self._before_fork is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _reopening:
            if "_opened" not in self.__dict__:
                self._start(self._before_fork.how)
                self._insist(self._facts, "before fork()")
            return self.__dict__["_opened"]

    def _insist(self, facts: Info, when: str) -> None:
        """It was opened anew: is it the same one?"""
        if self.info != facts:
            opened = self._opened
            del self._opened
            opened.handles.close()
            raise ValueError(f"{opened.how.reference!r} is another image now than {when}; name "
                             "it by its digest")

    def __repr__(self) -> str:
        given = self._mine.how.reference
        name = f"{len(given)} bytes" if isinstance(given, bytes) else os.fspath(given)
        # fsspec takes what prints the same for the same.
        return f"<rafs.Image {name} at {id(self):#x}{', closed' if self.closed else ''}>"

    def __reduce__(self) -> Any:
        # For worker processes: each opens its own, and it has to be the same one.
        return _opened_again, (self._mine.how, self._facts)

    @property
    def _handle(self) -> ctypes.c_void_p:
        return self._opened.handle

    def close(self) -> None:
        """Close the image. Calls of other threads are cancelled and waited for; closing twice
        is fine, using it afterwards is ValueError."""
        self._mine.handles.close()
        if self._before_fork is not None and "_opened" not in self.__dict__:
            self._before_fork.handles.closing = True  # of this process's copy
            self._opened = self._before_fork  # not to be opened anew

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._mine.handles.closing

    @property
    def _mine(self) -> Opened:
        """What is there without opening anything."""
        there: Any = self.__dict__.get("_opened") or self._before_fork
        return there  # type: ignore[no-any-return]

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- calling --------------------------------------------------------------------

    def _call(self, function: Any, *arguments: Any, path: str | None = None) -> None:
        """For what never waits longer than a disk."""
        self._opened.handles.use(
            lambda: call(function, self._opened.handle, *arguments, path=path))

    def _wait(self, work: Any, takes_long: bool = False) -> None:
        """For what may wait: work(rafs_call)."""
        self._opened.run(work, takes_long)

    # ---- content --------------------------------------------------------------------

    def _readinto(self, ino: int, offset: int, view: memoryview, path: str) -> int:
        """Verified bytes into memory, and how many they are."""
        if view.nbytes == 0:
            return 0
        room, length = ctypes.c_char.from_buffer(view), view.nbytes
        place = ctypes.addressof(room)
        n = self._at_hand(ino, offset, place, length)
        if n is not None:
            return n
        if not self._opened.apart():
            return self._read_to(ino, offset, place, length, path, room)
        # An interrupt can leave the call behind, which must not write to the caller's memory.
        done = 0
        while done < length:
            part = min(length - done, _PART)
            made = Unwritten(part)
            n = self._read_to(ino, offset + done, made.address, part, path, made)
            ctypes.memmove(place + done, made.address, n)
            done += n
            if n < part:
                break
        return done

    def _at_hand(self, ino: int, offset: int, place: int, length: int) -> int | None:
        """What is cached is read here and now; who waits has to be interruptible."""
        if length > _SHORT:
            return None
        got, handles = ctypes.c_size_t(), self._opened.handles
        if handles.closing:
            handles.check()
        with handles.guard():
            handles.check()
            code = lib.rafs_image_read(self._opened.handle, ino, offset, length, place,
                                       ctypes.byref(got), _AT_HAND, None)
        return got.value if code == 0 else None

    def _read_to(self, ino: int, offset: int, place: int, length: int, path: str,
                 owner: object) -> int:
        """Into memory that `owner` keeps alive, as long as the call lasts."""
        got, length = ctypes.c_size_t(), min(length, _abi.RAFS_READ_MAX)

        def read(limit: _abi.Call, owner: object = owner) -> None:
            call(lib.rafs_image_read, self._handle, ino, offset, length, place,
                 ctypes.byref(got), ctypes.byref(limit), path=path)

        self._wait(read)
        return got.value

    def _read(self, ino: int, offset: int, length: int, path: str) -> bytes:
        """So many bytes; fewer only where the file ends."""
        if length <= 0:
            return b""
        made, done = Unwritten(length), 0
        while done < length:
            place, left = made.address + done, length - done
            n = self._at_hand(ino, offset + done, place, left)
            if n is None:
                n = self._read_to(ino, offset + done, place, left, path, made)
            if n == 0:
                break
            done += n
        return made.take(done)  # type: ignore[no-any-return]

    def read_bytes(self, path: InnerPath, offset: int = 0, length: int | None = None) -> bytes:
        """Content of a file, or a part of it: fewer bytes only where it ends.

        >>> image.read_bytes("/etc/motd", 3, 2)
        b'we'
        """
        offset = number(offset, "offset")
        length = None if length is None else number(length, "length")
        with self.open(path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)  # type: ignore[no-any-return]

    def read_text(self, path: InnerPath, encoding: str = "utf-8", errors: str = "strict",
                  newline: str | None = None) -> str:
        """Content of a text file, with ends of lines as open() has them.

        >>> image.read_text("/etc/motd")
        'Be well.\\n'
        """
        with self.open(path, "r", -1, encoding, errors, newline) as file:
            text: str = file.read()
        return text

    async def aread(self, path: InnerPath, offset: int = 0, length: int | None = None) -> bytes:
        """read_bytes() for asyncio: other tasks run meanwhile, and no thread waits. Cancelling
        the task cancels the read.

        >>> import asyncio
        >>> asyncio.run(image.aread("/etc/motd"))
        b'Be well.\\n'
        """
        offset = number(offset, "offset")
        length = None if length is None else number(length, "length")
        ino, text = self._resolve(path), text_of(path)
        left = max(0, self._regular(ino, text).st_size - offset)
        buffer = room(left if length is None else min(length, left))
        done = await self._areadinto(ino, text, buffer, offset, True)
        return bytes(memoryview(buffer)[:done])

    async def areadinto(self, path: InnerPath, buffer: Any, offset: int = 0) -> int:
        """Content from offset on into writable memory, for asyncio; gives how many bytes came:
        fewer than it has only where the file ends. The memory is in use until then: a task that
        is cancelled ends when it is not any more."""
        offset = number(offset, "offset")
        ino, text, view = self._resolve(path), text_of(path), bytes_of(buffer)
        if not self._opened.asks_python:
            return await self._areadinto(ino, text, view, offset, False)
        own = room(len(view))  # code in Python may go on long after it was cancelled
        done = await self._areadinto(ino, text, own, offset, True)
        view[:done] = memoryview(own)[:done]
        return done

    async def _areadinto(self, ino: int, path: str, buffer: bytearray | memoryview, offset: int,
                         ours: bool) -> int:
        reads, done = self._opened.reads_of(asyncio.get_running_loop()), 0
        if not buffer:
            self._regular(ino, path)
        while done < len(buffer):
            length = min(len(buffer) - done, _abi.RAFS_READ_MAX)
            held = ctypes.c_char.from_buffer(buffer, done)
            try:
                got = await reads.read(self._handle, ino, offset + done, held, length,
                                       self._opened.timeout, path, ours)
            except RafsError as error:
                self._opened.explain(error)
                raise
            if got == 0:
                break
            done += got
        return done

    def open(self, path: InnerPath, mode: str = "r", buffering: int = -1,
             encoding: str | None = None, errors: str | None = None,
             newline: str | None = None) -> Any:
        """A file object, as `open()` gives: "rb" buffered or (buffering=0) raw, "r" text, UTF-8
        where no encoding is given. The image must stay open as long as it is read.

        >>> with image.open("/data/table") as file:
        ...     file.readline()
        'a,b\\n'
        """
        if not isinstance(mode, str):
            raise TypeError(f"mode is text, not {type(mode).__name__}")
        if mode not in ("r", "rt", "rb", "br", "tr"):
            raise ValueError(f"mode {mode!r}: an image can only be read, by 'r' or 'rb'")
        buffering = operator.index(buffering)
        if "b" in mode:
            for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline)):
                if value is not None:
                    raise ValueError(f"binary mode takes no {name}")
            raw = File(self, path)
            return raw if buffering == 0 else _buffered(raw, buffering)
        if buffering == 0:
            raise ValueError("text is buffered")
        text = io.TextIOWrapper(_buffered(File(self, path), buffering), encoding or "utf-8",
                                errors, newline)
        text.mode = mode  # type: ignore[misc]
        return text

    def chunks(self, path: InnerPath) -> Iterator[Chunk]:
        """Where the bytes of a file lie, in order.

        >>> [(chunk.file_offset, chunk.length) for chunk in image.chunks("/data/other")]
        [(0, 5000)]
        """
        ino, text = self._resolve(path), text_of(path)
        extents = (_abi.Extent * 256)()
        for count in self._extents(ino, text, extents):
            for extent in extents[:count]:
                kind = DIGESTS.get(extent.digest_algorithm, "?")
                yield Chunk(extent.file_offset, extent.length,
                            bool(extent.flags & _abi.RAFS_EXTENT_HOLE), extent.blob,
                            extent.chunk, extent.compressed_offset, extent.compressed_size,
                            f"{kind}:{bytes(extent.digest).hex()}")

    def _extents(self, ino: int, path: str, room: Any) -> Iterator[int]:
        """Fill the room with extents, as often as there are more; gives how many are in it."""
        count, offset = ctypes.c_size_t(), 0

        def get(limit: _abi.Call) -> None:
            call(lib.rafs_image_get_extents, self._handle, ino, offset, room, len(room),
                 ctypes.byref(count), ctypes.byref(limit), path=path)

        while True:
            self._wait(get)
            if count.value == 0:
                return
            last = room[count.value - 1]
            offset = last.file_offset + last.length
            yield count.value
            if count.value < len(room):
                return

    def trace_start(self) -> None:
        """Record from now on what reads use; trace() gives it."""
        self._call(lib.rafs_trace_start)

    def trace(self) -> Trace:
        """What was recorded since trace_start() (or opening with trace=True); it goes on."""
        handle = ctypes.c_void_p()
        self._wait(lambda limit: call(lib.rafs_trace_take, self._handle, ctypes.byref(handle),
                                      ctypes.byref(limit)))
        return Trace._of(handle)

    def prefetch(self, paths: Sequence[InnerPath] = (), *,
                 ranges: Sequence[tuple[InnerPath, int, int]] = (), everything: bool = False,
                 trace: Trace | None = None,
                 threads: int = 0, ignore_errors: bool = False) -> dict[str, int]:
        """Fetch beforehand, in few large requests: files, directories with all below, ranges
        (path, offset, length), everything, or what a trace of an earlier run names, in its
        order; with a cache it stays there. Without one it is kept in memory, in half of what
        there is for chunks: `chunks_skipped` of the counts tells what did not fit."""
        if isinstance(paths, (str, bytes, os.PathLike, Inside)):
            paths = (paths,)
        if trace is not None and not isinstance(trace, Trace):
            raise TypeError(f"a trace is a rafs.Trace, not {type(trace).__name__}")
        options = _abi.PrefetchOptions(ctypes.sizeof(_abi.PrefetchOptions))
        options.threads = number(threads, "threads", (1 << 32) - 1)
        options.what = (_abi.RAFS_PREFETCH_ALL if everything else
                        _abi.RAFS_PREFETCH_TRACE if trace is not None else
                        _abi.RAFS_PREFETCH_LIST)
        options.trace = trace._handle if trace is not None else None
        texts = [os.fsencode(text_of(path)) for path in paths]
        options.paths = (ctypes.c_char_p * max(1, len(texts)))(*texts)
        options.path_count = len(texts)
        parts = [_abi.PrefetchRange(self._resolve(path), number(offset, "offset of a range"),
                                    number(length, "length of a range"))
                 for path, offset, length in ranges]
        options.ranges = (_abi.PrefetchRange * max(1, len(parts)))(*parts)
        options.range_count = len(parts)
        progress = _abi.PrefetchProgress(ctypes.sizeof(_abi.PrefetchProgress))

        def run(limit: _abi.Call, trace: Trace | None = trace) -> None:
            # All of it where no interrupt comes between: what is freed nobody waits for.
            handle = ctypes.c_void_p()
            call(lib.rafs_prefetch_start, self._handle, ctypes.byref(options),
                 ctypes.byref(handle), None)
            try:
                call(lib.rafs_prefetch_wait, handle, ctypes.byref(limit))
            except RafsError as error:
                if not ignore_errors or error.code in ("RAFS_E_TIMEOUT", "RAFS_E_CANCELLED"):
                    raise
            finally:
                lib.rafs_prefetch_get_progress(handle, ctypes.byref(progress), None)
                lib.rafs_prefetch_free(handle)

        self._wait(run, takes_long=True)
        return {name: getattr(progress, name) for name, *_ in _abi.PrefetchProgress._fields_
                if name not in ("struct_size", "ended")}

    def pin(self) -> None:
        """Keep all of the image that its cache has, or will have, from being evicted."""
        self._call(lib.rafs_image_pin)

    def unpin(self) -> None:
        """Let it be evicted again."""
        self._call(lib.rafs_image_unpin)

    # ---- the whole ------------------------------------------------------------------

    @property
    def info(self) -> Info:
        """Facts about the image.

        >>> image.info.version, image.info.compressor, len(image.info.blobs)
        (6, 'zstd', 1)
        """
        info = _abi.ImageInfo(ctypes.sizeof(_abi.ImageInfo))
        self._call(lib.rafs_image_get_info, ctypes.byref(info))
        blobs = []
        for index in range(info.blob_count):
            blob = _abi.BlobInfo(ctypes.sizeof(_abi.BlobInfo))
            self._call(lib.rafs_image_get_blob, index, ctypes.byref(blob))
            blobs.append(Blob(blob.id.decode("utf-8", "replace"), blob.chunk_count,
                              blob.compressed_size, blob.uncompressed_size,
                              COMPRESSORS.get(blob.compressor, "?"),
                              DIGESTS.get(blob.digest, "?"), blob.features))
        return Info(info.version, info.inodes, info.chunk_size, info.bootstrap_bytes,
                    bool(info.pinned), tuple(blobs), info.block_size,
                    COMPRESSORS.get(info.compressor, "?"), DIGESTS.get(info.digest, "?"),
                    info.flags, bool(info.inlined), self._manifest())

    def _manifest(self) -> str | None:
        digest = ctypes.create_string_buffer(128)
        try:
            self._call(lib.rafs_image_get_manifest, digest, len(digest))
        except NotFound:
            return None
        return digest.value.decode("ascii", "replace")

    def prefetch_list(self) -> list[str]:
        """What the image itself says is worth fetching beforehand: files, and directories for
        all below. (Its answer takes a search where an image does not know its files' names.)"""
        found: list[int] = []
        inos, count = (ctypes.c_uint64 * 256)(), ctypes.c_size_t()
        while True:
            self._call(lib.rafs_image_get_prefetch, len(found), inos, 256, ctypes.byref(count))
            if count.value == 0:
                break
            found += inos[:count.value]
        return [self._path_of(ino) for ino in found]

    def _path_of(self, ino: int) -> str:
        room, length = ctypes.create_string_buffer(1 << 16), ctypes.c_size_t()
        self._wait(lambda limit: call(lib.rafs_image_get_path, self._handle, ino, room,
                                      len(room), ctypes.byref(length), ctypes.byref(limit)))
        return os.fsdecode(room.value)

    @property
    def stats(self) -> dict[str, int]:
        """What was fetched, and what came from the cache."""
        stats = _abi.Stats(ctypes.sizeof(_abi.Stats))
        self._call(lib.rafs_image_get_stats, ctypes.byref(stats))
        return {name: getattr(stats, name)
                for name, *_ in _abi.Stats._fields_ if name not in ("struct_size", "reserved")}

    def check(self, *, metadata_only: bool = False) -> CheckResult:
        """Look at everything in the image. What is wrong is in the result and no exception.

        >>> image.check().good
        True
        """
        types = dict(_abi.CheckOptions._fields_)  # type: ignore[arg-type]
        found: list[Finding] = []
        finding = types["finding"](lambda user, error: found.append(finding_of(error[0])))
        options = _abi.CheckOptions(ctypes.sizeof(_abi.CheckOptions))
        options.flags = _abi.RAFS_CHECK_METADATA_ONLY if metadata_only else 0
        options.finding = finding
        result = _abi.CheckResult(ctypes.sizeof(_abi.CheckResult))
        self._wait(lambda limit: call(lib.rafs_image_check, self._handle, ctypes.byref(options),
                                      ctypes.byref(result), ctypes.byref(limit)),
                   takes_long=True)
        return CheckResult(result.inodes, result.chunks, result.bytes, tuple(found))

_images: weakref.WeakSet[Image] = weakref.WeakSet()
_reopening = threading.RLock()


def _forked() -> None:
    """In the child: images of the parent are opened anew when they are used. What they were is
    kept, since nothing of it can be freed."""
    global _reopening
    _reopening = threading.RLock()
    for image in list(_images):
        opened = image.__dict__.get("_opened")
        if opened is not None and not opened.handles.closing:
            image._before_fork = opened
            del image._opened


os.register_at_fork(after_in_child=_forked)


def _opened_again(how: How, facts: Info) -> Image:
    image = Image._open(how)
    image._insist(facts, "when it was pickled")
    return image


def open(reference: StrPath | bytes, *, blob_dir: StrPath | None = None,
         backends: Sequence[Backend | StrPath] = (), expect_digest: str | None = None,
         credentials: Credentials | None = None, cache: StrPath | Cache | None = None,
         timeout: float | None = 60.0, platform: str | None = None, plain_http: bool = False,
         insecure: bool = False, ca_file: StrPath | None = None, name: str | None = None,
         mirrors: Sequence[str] = (), trace: bool = False,
         limits: Mapping[str, int] | None = None,
         log: logging.Logger | Callable[[int, str], None] | None = None,
         referrers: bool = False, client_cert: StrPath | None = None,
         client_key: StrPath | None = None) -> Image:
    """Open an image.

    reference       a bootstrap or blob in a file or in memory (bytes);
                    "docker://HOST/REPO:TAG", "oci:DIR:TAG", "oci-archive:FILE:TAG",
                    "http://HOST/PATH"
    blob_dir        directory of the data blobs; of an image in a file, without it and backends,
                    blobs/ beside it and its own directory
    backends        more sources, asked in this order: directories, URLs, "docker://HOST/REPO",
                    objects with read_range()
    expect_digest   "sha256:HEX" of the bootstrap: nothing but that image is read
    credentials     (user, password), a mapping of hosts to pairs, or a function; without them
                    what docker login and podman login wrote is used
    cache           directory in which chunks outlive the process, or a rafs.Cache; None: memory
                    alone
    timeout         seconds that one call may take; None: as long as it takes
    platform        "OS/ARCHITECTURE" of an image for several
    referrers       where the reference is an ordinary image, take a RAFS form attached to it
    mirrors         URLs of mirrors of the registry, asked before it
    plain_http, insecure, ca_file, client_cert, client_key
                    http instead of https; believe any certificate; PEM files
    trace           learn: fetch beforehand what earlier runs read, and record what this one does
    limits          memory and requests, by the names of `rafs_limits`: chunk_cache_bytes …
    log             a logging.Logger, or a function of level and text; None: the logger "rafs"

    Raises what `rafs.errors` has: NotFound, CorruptError, BackendError, RafsTimeoutError …

    >>> import rafs
    >>> with rafs.open(bootstrap, blob_dir=blobs, expect_digest=digest) as image:
    ...     image.read_text("/etc/os-release")
    'NAME=Example\\n'
    """
    return Image._open(How(reference, blob_dir, backends, expect_digest, credentials, cache,
                           timeout, platform, plain_http, insecure, ca_file, name, mirrors,
                           trace, limits, log, referrers, client_cert, client_key))


__all__ = ["Blob", "CheckResult", "Chunk", "DirEntry", "File", "Finding", "Image", "Info", "Stat",
           "open"]
