# SPDX-License-Identifier: Apache-2.0
"""What it takes to open an image: the reference, sources of blobs, a cache, a client for HTTP,
and how all that is freed again."""
from __future__ import annotations

import asyncio
import ctypes
import logging
import operator
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from . import _abi
from ._async import Reads
from ._handles import Handles
from ._library import Cancel, call, interruptible, lib, limits
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
    beside,
)
from ._types import StrPath, encoded, place_of
from .cache import Cache
from .errors import RafsError, not_found

T = TypeVar("T")

#: Seconds that a call whose end is asked for may go on before it is left alone: longer only if
#: a callback in Python does.
_PATIENCE = 2.0


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
    ca_file: StrPath | None
    name: str | None
    mirrors: Sequence[str]
    trace: bool
    limits: Mapping[str, int] | None
    log: logging.Logger | Callable[[int, str], None] | None
    referrers: bool
    client_cert: StrPath | None
    client_key: StrPath | None


def _keep(*_: object) -> None:
    """What a stack of callbacks refers to lives as long as the stack."""


def _limits(given: Mapping[str, int]) -> _abi.Limits:
    """A `rafs_limits`, of the names of its fields."""
    if not isinstance(given, Mapping):
        raise TypeError(f"limits are a mapping of names to numbers, not {type(given).__name__}")
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
    if not str(url).startswith(("http://", "https://")):
        raise ValueError(f"mirror {url!r}: it begins with http:// or https://")
    return _abi.RegistryMirror(ctypes.sizeof(_abi.RegistryMirror), 0, encoded(url, "a mirror"))


def _optional(value: str | None, what: str) -> bytes | None:
    return None if value is None else encoded(value, what)


class Opened:
    """An image's handle with all that it borrows."""

    def __init__(self, how: How) -> None:
        self.how = how
        self.timeout = how.timeout
        limits(self.timeout, None)  # refused now if it is none
        self.handle = ctypes.c_void_p()
        self.handles = Handles()
        self.keeper = Keeper()
        self.waits = False  # for the network or for Python: Ctrl-C has to come through
        self.asks_python = False  # whose code may never return
        self.http: Http | None = None
        self.registry: _abi.RegistryOptions | None = None
        self.reads: list[Reads] = []  # one for each event loop

    def client(self) -> Http:
        """One client for all that goes over HTTP."""
        if self.http is None:
            self.http = Http(insecure=self.how.insecure, ca_file=self.how.ca_file,
                             client_cert=self.how.client_cert, client_key=self.how.client_key, env=self.env)
            self.handles.add(self.http.free)
        return self.http

    def open(self) -> None:
        """Make everything and open the image; what was made before an error is freed by
        handles.close()."""
        how, add = self.how, self.handles.add
        options = _abi.OpenOptions(ctypes.sizeof(_abi.OpenOptions))
        self.env = _abi.Env(ctypes.sizeof(_abi.Env))
        self.env.cancel = self.handles.cancel.handle
        log = Log(how.log, self.handles.callback)
        self.env.log, self.env.log_level = log.callback, log.level
        add(_keep, self.env, log)
        options.env = ctypes.pointer(self.env)
        options.expect_digest = _optional(how.expect_digest, "expect_digest")
        options.name = _optional(how.name, "name")
        if isinstance(how.cache, Cache):
            how.cache._held.take()
            add(how.cache._held.drop)
            options.cache = how.cache._held.handle
        elif how.cache is not None:
            cache = ctypes.c_void_p()
            add(lib.rafs_cache_close, cache)  # NULL until it is open
            how_cached = _abi.CacheOptions(ctypes.sizeof(_abi.CacheOptions))
            how_cached.env = ctypes.pointer(self.env)
            call(lib.rafs_cache_open, place_of(how.cache, "cache"), ctypes.byref(how_cached),
                 ctypes.byref(cache))
            options.cache = cache
        sources: list[Any] = []
        for one in self._places():
            made = self._source(one)
            add(made.free)
            sources.append(made)
        options.backends = array([one.handle for one in sources])
        options.backend_count = len(sources)
        self.options = options
        if how.trace:
            options.flags |= _abi.RAFS_OPEN_TRACE
        if how.limits:
            self.limits = _limits(how.limits)
            options.limits = ctypes.pointer(self.limits)
        opening = self._opening()  # makes what the image borrows: freed after it
        add(lib.rafs_image_close, self.handle)  # NULL until it is open
        add(self.close_reads)
        self.run(opening)

    def run(self, work: Callable[[_abi.Call], T], takes_long: bool = False) -> T:
        """A call of the library that may wait, or takes long by itself: work(rafs_call)."""

        def use(cancel: Cancel | None) -> T:
            return self.handles.use(lambda: work(limits(self.timeout, cancel)))

        try:
            if not self.waits and not takes_long:
                return use(None)
            # The library keeps its deadline; code in Python that it calls may not.
            late = None if self.timeout is None else self.timeout + _PATIENCE
            return interruptible(use, always=self.asks_python, patience=_PATIENCE,
                                 seconds=late if self.asks_python else None)
        except RafsError as error:
            self.explain(error)
            raise

    def explain(self, error: RafsError) -> None:
        """Raise what is behind an error of the library, if something is."""
        self.keeper.raise_instead(error)
        if self.handles.closing and error.code == "RAFS_E_CANCELLED":
            raise ValueError("the image was closed meanwhile") from error

    def apart(self) -> bool:
        """Would run() have another thread make the call, which can outlive it?"""
        return self.waits and (self.asks_python
                               or threading.current_thread() is threading.main_thread())

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

    def _places(self) -> list[Any]:
        """Where blobs are."""
        how = self.how
        if isinstance(how.backends, (str, bytes, os.PathLike)):
            raise TypeError("backends is a list of sources, not one")
        named = ([how.blob_dir] if how.blob_dir is not None else []) + list(how.backends)
        given = how.reference
        if named or not isinstance(given, (str, os.PathLike)):
            return named
        return beside(given)

    def _source(self, given: Any) -> Any:
        if isinstance(given, (str, os.PathLike)):
            place = os.fspath(given)
            if isinstance(place, str) and place.startswith(("http://", "https://")):
                self.waits = True
                return Library(lib.rafs_backend_new_http, self.client().handle,
                               encoded(place, "a URL"))
            if isinstance(place, str) and place.startswith("docker://"):
                return Library(lib.rafs_backend_new_registry, self.client().handle,
                               encoded(place, "a repository"),
                               ctypes.byref(self._registry_options()))
            return Library(lib.rafs_backend_new_directory, place_of(place, "a directory"), None)
        if isinstance(given, Backend):
            self.waits = self.asks_python = True
            return PythonBackend(given, self.keeper, self.handles.callback)
        raise TypeError(f"a source of blobs is a directory, a URL or an object with "
                        f"read_range(), not {type(given).__name__}")

    def _opening(self) -> Callable[[_abi.Call], None]:
        """The call that opens the image, by the kind of its reference."""
        given: Any = self.how.reference
        text = os.fspath(given) if isinstance(given, os.PathLike) else given
        out, options = ctypes.byref(self.handle), ctypes.byref(self.options)
        if isinstance(text, (bytes, bytearray, memoryview)) and not isinstance(given, os.PathLike):
            self.data = bytes(text)  # borrowed by the library
            self.handles.add(_keep, self.data)
            return lambda limit: call(lib.rafs_image_open_memory, self.data, len(self.data),
                                      options, out, ctypes.byref(limit))
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"an image is a path, a reference or bytes, not "
                            f"{type(text).__name__}")
        if isinstance(text, bytes):
            text = os.fsdecode(text)
        if text.startswith("docker://"):
            return self._registry(text)
        if text.startswith(("oci:", "oci-archive:")):
            return self._layout(text)
        if text.startswith(("http://", "https://")):
            return self._url(text)
        place = place_of(text, "an image")
        if not os.path.lexists(place):
            scheme, mark, _ = text.partition("://")
            if mark and scheme.isalnum():
                raise ValueError(f"{scheme}:// is not known here: docker://, http://, https://; "
                                 f"with fsspec rafs://PATH::{scheme}://…")
            raise not_found("there is no such file", text)
        return lambda limit: call(lib.rafs_image_open_path, place, options, out,
                                  ctypes.byref(limit), path=text)

    def _registry_options(self) -> _abi.RegistryOptions:
        """How registries are asked, once for all of them."""
        self.waits = True
        if self.registry is not None:
            return self.registry
        how = self.how
        self.registry = _abi.RegistryOptions(ctypes.sizeof(_abi.RegistryOptions))
        self.asks_python = self.asks_python or callable(how.credentials)
        credentials = CredentialSource(how.credentials, self.keeper, self.handles.callback)
        self.registry.flags = ((_abi.RAFS_REGISTRY_PLAIN_HTTP if how.plain_http else 0)
                               | (_abi.RAFS_REGISTRY_REFERRERS if how.referrers else 0))
        self.registry.credentials = ctypes.pointer(credentials.source)
        self.handles.add(_keep, credentials)
        self.registry.platform = _optional(how.platform, "platform")
        return self.registry

    def _registry(self, text: str) -> Callable[[_abi.Call], None]:
        options = _abi.RegistryOptions.from_buffer_copy(self._registry_options())
        mirrors = [_mirror(mirror) for mirror in self.how.mirrors]
        options.mirrors = (ctypes.POINTER(_abi.RegistryMirror) * max(1, len(mirrors)))(
            *map(ctypes.pointer, mirrors))
        options.mirror_count = len(mirrors)
        http, reference = self.client().handle, encoded(text, "a reference")
        return lambda limit: call(lib.rafs_image_open_registry, http, reference,
                                  ctypes.byref(options), ctypes.byref(self.options),
                                  ctypes.byref(self.handle), ctypes.byref(limit), path=text)

    def _layout(self, text: str) -> Callable[[_abi.Call], None]:
        rest, at, digest = text.partition(":")[2].partition("@sha256:")
        place, _, tag = rest.partition(":")
        tag = f"sha256:{digest}" if at else tag  # with it everything is pinned
        platform = _optional(self.how.platform, "platform")
        where, name = place_of(place, "a layout"), encoded(tag, "a tag") if tag else None
        layout = _abi.LayoutOptions(ctypes.sizeof(_abi.LayoutOptions), 0, platform)
        return lambda limit: call(lib.rafs_image_open_layout, where, name, ctypes.byref(layout),
                                  ctypes.byref(self.options), ctypes.byref(self.handle),
                                  ctypes.byref(limit), path=text)

    def _url(self, text: str) -> Callable[[_abi.Call], None]:
        self.waits = True
        base, _, last = text.rpartition("/")
        wanted = encoded(last, "a URL")
        whole = Library(lib.rafs_backend_new_http, self.client().handle, encoded(base, "a URL"))
        self.handles.add(whole.free)
        if self.options.backend_count == 0:
            self.options.backends = array([whole.handle])
            self.options.backend_count = 1
        return lambda limit: call(lib.rafs_image_open_backend, whole.handle, wanted,
                                  ctypes.byref(self.options), ctypes.byref(self.handle),
                                  ctypes.byref(limit), path=text)
