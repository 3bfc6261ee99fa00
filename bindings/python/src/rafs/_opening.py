# SPDX-License-Identifier: Apache-2.0
"""What it takes to open an image: the reference, sources of blobs, a cache, a client for HTTP,
and how all that is freed again."""
from __future__ import annotations

import asyncio
import ctypes
import functools
import logging
import operator
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from . import _abi
from ._async import Reads
from ._library import Cancel, call, check_process, interruptible, lib, limits, ours
from ._sources import (
    Backend,
    Credentials,
    CredentialSource,
    Http,
    Keeper,
    Library,
    Log,
    PythonBackend,
    array,
)
from ._types import StrPath
from .cache import Cache
from .errors import RafsError

T = TypeVar("T")
R = TypeVar("R")

#: Seconds that closing waits for calls of other threads, which were cancelled. Only callbacks in
#: Python can make them last longer; what they use is freed when the last one has ended.
_PATIENCE = 10.0
_callbacks = threading.local()


class Handles:
    """All that an image holds, freed in order, once, when no call uses it any more."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.closing = False
        self.cancel = Cancel()
        self.pid = os.getpid()
        self._calls: set[object] = set()
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._free_now = False  # by the last call that ends
        self._freed = False

    def use(self, work: Callable[[], T]) -> T:
        """A call that uses the handles."""
        check_process(self.pid, "this image")
        call_of_mine = object()
        try:
            self._calls.add(call_of_mine)
            if self.closing:
                raise ValueError("the image is closed")
            return work()
        finally:
            self._calls.discard(call_of_mine)
            if self.closing:
                self._ended()

    def _ended(self) -> None:
        with self._lock:
            if self._calls:
                return
            self._quiet.notify_all()
            if not self._free_now:
                return
        self._free()

    def _free(self) -> None:
        with self._lock:
            if self._freed:
                return
            self._freed = True
        self.stack.close()

    def close(self) -> None:
        """Calls under way are cancelled and waited for."""
        if not ours(self.pid):
            return
        if self in getattr(_callbacks, "running", ()):
            raise RuntimeError("an image cannot be closed by a callback of its own")
        with self._lock:
            if self.closing:
                return
            self.closing = True
        try:
            if self._calls:
                self.cancel.fire()
            with self._lock:
                self._quiet.wait_for(lambda: not self._calls, _PATIENCE)
        finally:
            self._free_now = True
            self._ended()

    def callback(self, function: Callable[..., R]) -> Callable[..., R]:
        """A function that the library calls, from any thread: what it does may not close the
        image."""

        @functools.wraps(function)
        def called(*arguments: Any) -> R:
            running = getattr(_callbacks, "running", ())
            _callbacks.running = (*running, self)
            try:
                return function(*arguments)
            finally:
                _callbacks.running = running

        return called


@dataclass
class How:
    """The arguments of rafs.open()."""

    reference: StrPath | bytes
    blob_dir: StrPath | None
    backends: Sequence[Backend | StrPath]
    expect_digest: str | None
    credentials: Credentials | None
    cache: StrPath | Cache | None
    timeout: float | None
    platform: str | None
    plain_http: bool
    insecure: bool
    ca_file: str | None
    name: str | None
    mirrors: Sequence[str]
    trace: bool
    limits: Mapping[str, int] | None
    log: logging.Logger | Callable[[int, str], None] | None


def _keep(*_: object) -> None:
    """What a stack of callbacks refers to lives as long as the stack."""


def _limits(given: Mapping[str, int]) -> _abi.Limits:
    """A `rafs_limits`, of the names of its fields."""
    limits = _abi.Limits(ctypes.sizeof(_abi.Limits))
    known = [name for name, *_ in _abi.Limits._fields_ if name not in ("struct_size", "reserved")]
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"there is no limit {name!r}, but {', '.join(known)}")
        if not 0 <= operator.index(value) < 1 << 64:
            raise ValueError(f"limit {name}: {value} is out of range")
        setattr(limits, name, value)
    return limits


def _mirror(url: str) -> _abi.RegistryMirror:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"mirror {url!r}: it begins with http:// or https://")
    return _abi.RegistryMirror(ctypes.sizeof(_abi.RegistryMirror), 0, url.encode())


class Opened:
    """An image's handle with all that it borrows."""

    def __init__(self, how: How) -> None:
        self.how = how
        self.timeout = how.timeout
        self.handle = ctypes.c_void_p()
        self.handles = Handles()
        self.keeper = Keeper()
        self.waits = False  # for the network or for Python: Ctrl-C has to come through
        self.http: Http | None = None
        self.reads: list[Reads] = []  # one for each event loop

    def client(self) -> Http:
        """One client for all that goes over HTTP."""
        if self.http is None:
            self.http = Http(insecure=self.how.insecure, ca_file=self.how.ca_file)
            self.handles.stack.callback(self.http.free)
        return self.http

    def open(self) -> None:
        """Make everything and open the image; what was made before an error is freed by
        handles.close()."""
        how, stack = self.how, self.handles.stack
        options = _abi.OpenOptions(ctypes.sizeof(_abi.OpenOptions))
        self.env = _abi.Env(ctypes.sizeof(_abi.Env))
        self.env.cancel = self.handles.cancel.handle
        log = Log(how.log, self.handles.callback)
        self.env.log, self.env.log_level = log.callback, log.level
        stack.callback(_keep, self.env, log)
        options.env = ctypes.pointer(self.env)
        options.expect_digest = how.expect_digest.encode() if how.expect_digest else None
        options.name = os.fsencode(how.name) if how.name else None
        if isinstance(how.cache, Cache):
            how.cache._held.take()
            stack.callback(how.cache._held.drop)
            options.cache = how.cache._held.handle
        elif how.cache is not None:
            cache = ctypes.c_void_p()
            call(lib.rafs_cache_open, os.fsencode(how.cache), None, ctypes.byref(cache))
            stack.callback(lib.rafs_cache_close, cache)
            options.cache = cache
        sources: list[Any] = []
        for one in ([how.blob_dir] if how.blob_dir is not None else []) + list(how.backends):
            made = self._source(one)
            stack.callback(made.free)
            sources.append(made)
        options.backends = array([one.handle for one in sources])
        options.backend_count = len(sources)
        self.options = options
        if how.trace:
            options.flags |= _abi.RAFS_OPEN_TRACE
        if how.limits:
            self.limits = _limits(how.limits)
            options.limits = ctypes.pointer(self.limits)
        stack.callback(lib.rafs_image_close, self.handle)  # NULL until it is open
        stack.callback(self.close_reads)
        self.run(self._opening())

    def run(self, work: Callable[[_abi.Call], T]) -> T:
        """A call of the library that may wait: work(rafs_call)."""

        def use(cancel: Cancel | None) -> T:
            return self.handles.use(lambda: work(limits(self.timeout, cancel)))

        try:
            return interruptible(use) if self.waits else use(None)
        except RafsError as error:
            self.keeper.raise_instead(error)
            raise

    def reads_of(self, loop: asyncio.AbstractEventLoop) -> Reads:
        """The reads by tasks of an event loop."""
        for reads in list(self.reads):
            if reads.loop is loop:
                return reads
            if reads.loop.is_closed():
                self.reads.remove(reads)
                reads.close()
        reads = Reads(loop)
        self.reads.append(reads)
        return reads

    def close_reads(self) -> None:
        """Before the image is closed."""
        for reads in self.reads:
            reads.close()

    def _source(self, given: Any) -> Any:
        if isinstance(given, (str, os.PathLike)):
            place = os.fspath(given)
            if place.startswith(("http://", "https://")):
                self.waits = True
                return Library(lib.rafs_backend_new_http, self.client().handle, place.encode())
            return Library(lib.rafs_backend_new_directory, os.fsencode(place), None)
        if isinstance(given, Backend):
            self.waits = True
            return PythonBackend(given, self.keeper, self.handles.callback)
        raise TypeError(f"a source of blobs is a directory, a URL or an object with "
                        f"read_range(), not {type(given).__name__}")

    def _opening(self) -> Callable[[_abi.Call], None]:
        """The call that opens the image, by the kind of its reference."""
        given: Any = self.how.reference
        text = os.fspath(given) if isinstance(given, os.PathLike) else given
        out, options = ctypes.byref(self.handle), ctypes.byref(self.options)
        if isinstance(text, (bytes, bytearray, memoryview)):
            self.data = bytes(text)  # borrowed by the library
            self.handles.stack.callback(_keep, self.data)
            return lambda limit: call(lib.rafs_image_open_memory, self.data, len(self.data),
                                      options, out, ctypes.byref(limit))
        if not isinstance(text, str):
            raise TypeError(f"an image is a path, a reference or bytes, not "
                            f"{type(text).__name__}")
        if text.startswith("docker://"):
            return self._registry(text)
        if text.startswith(("oci:", "oci-archive:")):
            return self._layout(text)
        if text.startswith(("http://", "https://")):
            return self._url(text)
        return lambda limit: call(lib.rafs_image_open_path, os.fsencode(text), options, out,
                                  ctypes.byref(limit), path=text)

    def _registry(self, text: str) -> Callable[[_abi.Call], None]:
        self.waits = True
        self.registry = _abi.RegistryOptions(ctypes.sizeof(_abi.RegistryOptions))
        self.credentials = CredentialSource(self.how.credentials, self.keeper)
        self.registry.flags = _abi.RAFS_REGISTRY_PLAIN_HTTP if self.how.plain_http else 0
        self.registry.credentials = ctypes.pointer(self.credentials.source)
        self.handles.stack.callback(_keep, self.credentials)
        mirrors = [_mirror(mirror) for mirror in self.how.mirrors]
        self.registry.mirrors = (ctypes.POINTER(_abi.RegistryMirror) * max(1, len(mirrors)))(
            *map(ctypes.pointer, mirrors))
        self.registry.mirror_count = len(mirrors)
        self.registry.platform = self.how.platform.encode() if self.how.platform else None
        return lambda limit: call(lib.rafs_image_open_registry, self.client().handle,
                                  text.encode(), ctypes.byref(self.registry),
                                  ctypes.byref(self.options), ctypes.byref(self.handle),
                                  ctypes.byref(limit), path=text)

    def _layout(self, text: str) -> Callable[[_abi.Call], None]:
        place, _, tag = text.partition(":")[2].partition(":")
        platform = self.how.platform.encode() if self.how.platform else None
        layout = _abi.LayoutOptions(ctypes.sizeof(_abi.LayoutOptions), 0, platform)
        return lambda limit: call(lib.rafs_image_open_layout, os.fsencode(place),
                                  tag.encode() if tag else None, ctypes.byref(layout),
                                  ctypes.byref(self.options), ctypes.byref(self.handle),
                                  ctypes.byref(limit), path=text)

    def _url(self, text: str) -> Callable[[_abi.Call], None]:
        self.waits = True
        base, _, last = text.rpartition("/")
        whole = Library(lib.rafs_backend_new_http, self.client().handle, base.encode())
        self.handles.stack.callback(whole.free)
        if self.options.backend_count == 0:
            self.options.backends = array([whole.handle])
            self.options.backend_count = 1
        return lambda limit: call(lib.rafs_image_open_backend, whole.handle, last.encode(),
                                  ctypes.byref(self.options), ctypes.byref(self.handle),
                                  ctypes.byref(limit), path=text)
