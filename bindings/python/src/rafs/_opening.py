# SPDX-License-Identifier: Apache-2.0
"""What it takes to open an image: the reference, sources of blobs, a cache, a client for HTTP,
and how all that is freed again."""
from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable

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
from ._types import StrPath
from .errors import RafsError


class Handles:
    """All that an image holds, freed in order, once, whoever is first."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.lock = threading.Lock()
        self.free = threading.Condition(self.lock)
        self.calls = 0
        self.closing = False
        self.cancel = Cancel()

    def enter(self) -> None:
        check_process()
        with self.lock:
            if self.closing:
                raise ValueError("the image is closed")
            self.calls += 1

    def leave(self) -> None:
        with self.lock:
            self.calls -= 1
            if self.closing and self.calls == 0:
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


@dataclass
class How:
    """The arguments of rafs.open()."""

    reference: StrPath | bytes
    blob_dir: StrPath | None
    backends: Sequence[Backend | StrPath]
    expect_digest: str | None
    credentials: Credentials | None
    cache: StrPath | None
    timeout: float | None
    platform: str | None
    plain_http: bool
    insecure: bool
    ca_file: str | None
    name: str | None


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
        options.env = ctypes.pointer(self.env)
        options.expect_digest = how.expect_digest.encode() if how.expect_digest else None
        options.name = os.fsencode(how.name) if how.name else None
        if how.cache is not None:
            cache = ctypes.c_void_p()
            call(lib.rafs_cache_open, os.fsencode(how.cache), None, ctypes.byref(cache))
            stack.callback(lib.rafs_cache_close, cache)
            options.cache = cache
        sources: list[Any] = []
        for one in ([how.blob_dir] if how.blob_dir is not None else []) + list(how.backends):
            made = self._source(one)
            stack.callback(made.free)
            sources.append(made)
        self.sources = sources
        options.backends = array([one.handle for one in sources])
        options.backend_count = len(sources)
        self.options = options
        self.run(self._opening())
        stack.callback(lib.rafs_image_close, self.handle)

    def run(self, work: Callable[[_abi.Call], None]) -> None:
        """A call of the library that may wait: work(rafs_call)."""
        try:
            if self.waits:
                interruptible(lambda cancel: work(limits(self.timeout, cancel)))
            else:
                work(limits(self.timeout, None))
        except RafsError as error:
            self.keeper.raise_instead(error)
            raise

    def _source(self, given: Any) -> Any:
        if isinstance(given, (str, os.PathLike)):
            place = os.fspath(given)
            if place.startswith(("http://", "https://")):
                self.waits = True
                return Library(lib.rafs_backend_new_http, self.client().handle, place.encode())
            return Library(lib.rafs_backend_new_directory, os.fsencode(place), None)
        if isinstance(given, Backend):
            self.waits = True
            return PythonBackend(given, self.keeper)
        raise TypeError(f"a source of blobs is a directory, a URL or an object with "
                        f"read_range(), not {type(given).__name__}")

    def _opening(self) -> Callable[[_abi.Call], None]:
        """The call that opens the image, by the kind of its reference."""
        given: Any = self.how.reference
        text = os.fspath(given) if isinstance(given, os.PathLike) else given
        out, options = ctypes.byref(self.handle), ctypes.byref(self.options)
        if isinstance(text, (bytes, bytearray, memoryview)):
            self.data = bytes(text)  # borrowed by the library
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
