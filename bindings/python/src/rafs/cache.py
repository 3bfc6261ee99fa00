# SPDX-License-Identifier: Apache-2.0
"""A directory in which chunks outlive the process, for any number of images and processes."""
from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._library import call, check_process, interruptible, lib, limits, ours, sized
from ._types import StrPath, place_of


@dataclass(frozen=True)
class CacheEntry:
    """A blob or document in a cache."""

    name: str  #: blob id, or name of the document
    disk_bytes: int
    last_use: int  #: seconds since 1970, within a minute
    document: bool  #: a manifest, bootstrap or trace, not a blob
    pinned: bool
    in_use: bool
    chunks: int | None  #: that are ready; None unless they were counted
    ready_bytes: int | None  #: of them, uncompressed


@dataclass(frozen=True)
class GcResult:
    """What was evicted, or would be."""

    fits: bool  #: the quota is kept now
    evicted: int
    evicted_bytes: int
    kept: int
    kept_bytes: int


@dataclass(frozen=True)
class ScrubResult:
    """What was compared with its digests, and what was wrong and is forgotten now."""

    complete: bool
    blobs: int
    chunks: int
    bytes: int
    bad_chunks: int
    documents: int
    bad_documents: int


class _Held:
    """The handle, closed when neither the cache nor an image uses it."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self.handle, self.pid, self.lock, self.users = handle, os.getpid(), threading.Lock(), 1

    def take(self) -> None:
        """One user more."""
        check_process(self.pid, "this cache")
        with self.lock:
            if self.users == 0:
                raise ValueError("the cache is closed")
            self.users += 1

    def drop(self) -> None:
        """One less; the last one closes."""
        if not ours(self.pid):
            return
        with self.lock:
            self.users -= 1
            if self.users:
                return
        lib.rafs_cache_close(self.handle)


class Cache:
    """A cache directory; made if it is not there, readable by its owner only. Any processes may
    use one at once. Images keep it open for as long as they need it.

    directory   in a directory that is there
    quota       bytes that it may take; None: no limit
    free_floor  bytes of the file system that are left to others

    >>> with rafs.Cache(directory / "cache", quota=1 << 30) as cache:
    ...     with rafs.open(bootstrap, blob_dir=blobs, cache=cache) as cached:
    ...         _ = cached.read_bytes("/etc/motd")
    ...     len([entry for entry in cache.entries() if not entry.document])
    1
    """

    def __init__(self, directory: StrPath, *, quota: int | None = None,
                 free_floor: int = 0) -> None:
        for name, value in (("quota", quota), ("free_floor", free_floor)):
            if value is not None and not 0 <= value < 1 << 63:
                raise ValueError(f"{name}: {value} bytes are out of range")
        options = _abi.CacheOptions(ctypes.sizeof(_abi.CacheOptions))
        # 0 means no limit to the library, and nothing at all to people.
        options.quota_bytes = 0 if quota is None else max(1, quota)
        options.free_floor_bytes = free_floor
        handle = ctypes.c_void_p()
        call(lib.rafs_cache_open, place_of(directory, "a cache"), ctypes.byref(options),
             ctypes.byref(handle), path=os.fsdecode(directory))
        self._held = _Held(handle)
        self._close = weakref.finalize(self, self._held.drop)

    def close(self) -> None:
        """No longer used here; images that have it go on."""
        self._close()

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return not self._close.alive

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, function: Any, *arguments: Any) -> None:
        if self.closed:
            raise ValueError("the cache is closed")
        self._held.take()
        try:
            call(function, self._held.handle, *arguments)
        finally:
            self._held.drop()

    @property
    def path(self) -> str:
        """The directory."""
        return self._path(None)

    def blob_path(self, blob_id: str) -> str:
        """The file that holds a blob's chunks, each uncompressed at its uncompressed offset.
        NotFound: the cache has nothing of the blob."""
        return self._path(place_of(blob_id, "a blob"))

    def _path(self, blob_id: bytes | None) -> str:
        return os.fsdecode(sized(
            lambda *room: self._call(lib.rafs_cache_path, blob_id, *room), 4096, 1))

    def entries(self, *, count: bool = False) -> list[CacheEntry]:
        """What it holds, the least recently used first. count=True counts chunks too, which
        reads all journals."""
        found: list[CacheEntry] = []

        def visit(user: int, entry: Any) -> int:
            one = entry[0]
            found.append(CacheEntry(
                os.fsdecode(one.name), one.disk_bytes, one.last_use_sec,
                bool(one.flags & _abi.RAFS_CACHE_ENTRY_DOCUMENT),
                bool(one.flags & _abi.RAFS_CACHE_ENTRY_PINNED),
                bool(one.flags & _abi.RAFS_CACHE_ENTRY_IN_USE),
                one.chunks if count else None, one.ready_bytes if count else None))
            return 0

        self._call(lib.rafs_cache_list, _abi.RAFS_CACHE_LIST_COUNT if count else 0,
                   _abi.rafs_cache_visit(visit), None)
        return found

    @property
    def disk_bytes(self) -> int:
        """Space that it takes."""
        return sum(entry.disk_bytes for entry in self.entries())

    def gc(self, quota: int | None = None, *, dry_run: bool = False) -> GcResult:
        """Evict what was not used for the longest time until it fits into `quota` bytes (None:
        those that it was opened with). What is pinned or in use stays."""
        options = _abi.CacheGcOptions(ctypes.sizeof(_abi.CacheGcOptions))
        options.flags = _abi.RAFS_CACHE_GC_DRY_RUN if dry_run else 0
        if quota is not None:
            if not 0 <= quota < 1 << 63:  # longer ones would be cut
                raise ValueError(f"quota: {quota} bytes are out of range")
            options.quota_bytes = max(1, quota)
        result = _abi.CacheGcResult(ctypes.sizeof(_abi.CacheGcResult))
        self._call(lib.rafs_cache_gc, ctypes.byref(options), ctypes.byref(result))
        return GcResult(bool(result.fits), result.evicted, result.evicted_bytes, result.kept,
                        result.kept_bytes)

    def scrub(self, *, progress: Callable[[int, int], None] | None = None,
              timeout: float | None = None) -> ScrubResult:
        """Compare every chunk with its digest, and forget those that are wrong."""
        options = _abi.CacheScrubOptions(ctypes.sizeof(_abi.CacheScrubOptions))
        types = dict(_abi.CacheScrubOptions._fields_)  # type: ignore[arg-type]
        raised: list[BaseException] = []

        def tell(user: int, done: Any) -> None:
            if progress and not raised:
                try:
                    progress(done[0].bytes_done, done[0].bytes_total)
                except BaseException as error:
                    raised.append(error)

        options.progress = types["progress"](tell)
        result = _abi.CacheScrubResult(ctypes.sizeof(_abi.CacheScrubResult))
        interruptible(lambda cancel: self._call(
            lib.rafs_cache_scrub, ctypes.byref(options), ctypes.byref(result),
            ctypes.byref(limits(timeout, cancel))))
        if raised:
            raise raised[0]
        return ScrubResult(bool(result.complete), result.blobs, result.chunks, result.bytes,
                           result.bad_chunks, result.documents, result.bad_documents)

    def pin(self, name: str) -> None:
        """Keep a blob or document from being evicted. Image.pin() does so for all of an image."""
        self._call(lib.rafs_cache_pin, place_of(name, "a name"))

    def unpin(self, name: str) -> None:
        """Let it be evicted again."""
        self._call(lib.rafs_cache_unpin, place_of(name, "a name"))

    def __repr__(self) -> str:
        return "<rafs.Cache, closed>" if self.closed else f"<rafs.Cache {self.path!r}>"


__all__ = ["Cache", "CacheEntry", "GcResult", "ScrubResult"]
