# SPDX-License-Identifier: Apache-2.0
"""What calls that take long have in common: progress, interrupts, exceptions of callbacks, and
what they borrow."""
from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from . import _abi
from ._jobs import Job
from ._library import Cancel, call, lib, limits
from ._sources import Credentials, CredentialSource, Http, Keeper
from ._types import encoded
from .errors import RafsError

#: Called with (bytes done, bytes in all or 0 where nobody knows).
Progress = Callable[[int, int], None]


def _bar(progress: Progress | bool | None, title: str) -> tuple[Progress | None, Any]:
    """True asks for tqdm's bar; without tqdm there is none."""
    if progress is None or progress is False:
        return None, None
    if callable(progress):
        return progress, None
    if progress is not True:
        raise TypeError("progress is a function of (done, total), or True for a bar, not "
                        f"{type(progress).__name__}")
    try:
        from tqdm import tqdm
    except ImportError:
        return None, None
    bar = tqdm(desc=title, unit="B", unit_scale=True)

    def show(done: int, total: int) -> None:
        bar.total = total or None
        bar.update(done - bar.n)

    return show, bar


_left_alone: list[Work] = []


class Work:
    """Handles, callbacks and exceptions of one call that takes long."""

    def __init__(self, progress: Progress | bool | None, title: str) -> None:
        self.stack = ExitStack()
        self.keeper = Keeper()
        self.show, bar = _bar(progress, title)
        if bar is not None:
            self.stack.callback(bar.close)
        self.cancel = Cancel()
        self.failed: BaseException | None = None  # what progress raised
        self.job: Job[None] | None = None
        self.kept: list[Any] = []
        self.dictionaries: list[Any] = []  # images that making a builder reads

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        if self.job is not None and not self.job.drop() and not self.job.ended:
            _left_alone.append(self)  # a second Ctrl-C: what a call still uses is not freed
        else:
            self.stack.close()

    def told(self, kind: Any, done: str, total: str) -> Any:
        """A callback of the library for progress; an exception in it ends the call."""

        def tell(user: int, progress: Any) -> None:
            try:
                if self.show and self.failed is None:
                    self.show(getattr(progress[0], done), getattr(progress[0], total))
            except BaseException as error:
                self.failed = error
                self.cancel.fire()

        callback = kind(tell)
        self.kept.append(callback)
        return callback

    def run(self, work: Callable[[_abi.Call], None], timeout: float | None = None) -> None:
        """In the main thread another one does it, so that Ctrl-C stops it."""
        limit = limits(timeout, self.cancel)
        try:
            if threading.current_thread() is threading.main_thread():
                self._run_apart(lambda: work(limit))
            else:
                work(limit)
        except RafsError as error:
            self._raise_instead(error)
            raise

    def _run_apart(self, work: Callable[[], None]) -> None:
        self.job = Job(work)
        try:
            self.job.start()
            self.job.wait()
        except BaseException:
            self.cancel.fire()
            if not self.job.drop():
                self.job.wait()
            raise
        self.job.result()

    def _raise_instead(self, error: RafsError) -> None:
        if self.failed is not None:
            raise self.failed from error
        self.keeper.raise_instead(error)

    def registry(self, credentials: Credentials | None, plain_http: bool, insecure: bool,
                 ca_file: str | None) -> tuple[Any, Any]:
        """The client and the options for what is in a registry."""
        http = Http(insecure=insecure, ca_file=ca_file)
        self.stack.callback(http.free)
        source = CredentialSource(credentials, self.keeper)
        options = _abi.RegistryOptions(ctypes.sizeof(_abi.RegistryOptions))
        options.flags = _abi.RAFS_REGISTRY_PLAIN_HTTP if plain_http else 0
        options.credentials = ctypes.pointer(source.source)
        self.kept += [http, source, options]
        return http, options

    def origin(self, where: str, http: Http, registry: _abi.RegistryOptions,
               timeout: float | None) -> ctypes.c_void_p:
        """A place where an image is."""
        options = _abi.OriginOptions(ctypes.sizeof(_abi.OriginOptions))
        options.http, options.registry = http.handle, ctypes.pointer(registry)
        handle = ctypes.c_void_p()
        self.stack.callback(lib.rafs_origin_close, handle)  # NULL until it is open
        self.run(lambda limit: call(lib.rafs_origin_open, encoded(where, "a reference"),
                                    ctypes.byref(options), ctypes.byref(handle),
                                    ctypes.byref(limit)), timeout)
        return handle

    def target(self, where: str, http: Http, registry: _abi.RegistryOptions,
               timeout: float | None) -> ctypes.c_void_p:
        """A place where an image goes."""
        options = _abi.TargetOptions(ctypes.sizeof(_abi.TargetOptions))
        options.http, options.registry = http.handle, ctypes.pointer(registry)
        handle = ctypes.c_void_p()
        self.stack.callback(lib.rafs_target_close, handle)
        self.run(lambda limit: call(lib.rafs_target_open, encoded(where, "a reference"),
                                    ctypes.byref(options), ctypes.byref(handle),
                                    ctypes.byref(limit)), timeout)
        return handle


__all__ = ["Progress", "Work"]
