# SPDX-License-Identifier: Apache-2.0
"""Who uses an image's handles, and when they can be freed."""
from __future__ import annotations

import atexit
import functools
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from ._jobs import Job
from ._library import Cancel, check_process, ours

T = TypeVar("T")
R = TypeVar("R")

#: Seconds that closing waits for calls of other threads, which were cancelled. Only callbacks in
#: Python can make them last longer; what they use is freed when the last one has ended.
_PATIENCE = 10.0
#: The same for all images together when the interpreter ends.
_PATIENCE_AT_EXIT = 2.0

_callbacks = threading.local()


class Handles:
    """All that an image holds, freed in order, once, when no call uses it any more.

    A thread that makes a call holds a lock of its own meanwhile. `with` takes a lock and gives
    it back without an instant at which a signal handler's exception could come between. Who
    closes tries the locks of all.
    """

    def __init__(self) -> None:
        self.closing = False
        self.cancel = Cancel()
        self.pid = os.getpid()
        self._mine = threading.local()
        self._locks: dict[int, weakref.ref[Any]] = {}
        self._numbers = itertools.count()
        self._frees: list[Callable[[], object]] = []
        self._end: Job[None] = Job(self._free)
        _alive.add(self)

    # ---- using ----------------------------------------------------------------------

    def guard(self) -> Any:
        """The lock of this thread. Who holds it and has called check() may use the handles."""
        try:
            return self._mine.lock
        except AttributeError:
            lock = threading.RLock()
            number, locks = next(self._numbers), self._locks
            locks[number] = weakref.ref(lock, lambda _: locks.pop(number, None))
            self._mine.lock = lock
            return lock

    def check(self) -> None:
        """Refuse what is closed, and what comes from before fork()."""
        if self.closing:
            raise ValueError("the image is closed")
        check_process(self.pid, "this image")

    def use(self, work: Callable[[], T]) -> T:
        """A call that uses the handles."""
        if self.closing:
            self.check()
        with self.guard():
            self.check()
            return work()

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

    # ---- freeing --------------------------------------------------------------------

    def add(self, free: Callable[..., object], *arguments: Any) -> None:
        """Something to be freed before what was added earlier."""
        self._frees.append(functools.partial(free, *arguments))

    def close(self, patience: float = _PATIENCE) -> None:
        """Calls under way are cancelled and waited for. Another thread does it: one that no
        signal handler interrupts half way."""
        if not ours(self.pid):
            return
        if self in getattr(_callbacks, "running", ()):
            raise RuntimeError("an image cannot be closed by a callback of its own")
        if self.guard()._is_owned():
            raise RuntimeError("an image cannot be closed in the middle of a call of the same "
                               "thread, as by a signal handler")
        self.closing = True
        if not self._end.ended:
            self._end.start()
            self._end.wait(patience)

    def _quiet(self, seconds: float | None) -> bool:
        """Wait until no thread uses the handles. None begins once they are closing."""
        until = None if seconds is None else time.monotonic() + seconds
        for reference in list(self._locks.values()):
            lock = reference()
            left = -1.0 if until is None else max(0.0, until - time.monotonic())
            if lock is not None:
                if not lock.acquire(timeout=left):
                    return False
                lock.release()
        return True

    def _free(self) -> None:
        if not self._quiet(0):
            self.cancel.fire()
            self._quiet(None)
        while self._frees:
            self._frees.pop()()
        _alive.discard(self)


_alive: set[Handles] = set()


def _close_all() -> None:
    """At exit: callbacks in Python cannot be called any more later."""
    until = time.monotonic() + _PATIENCE_AT_EXIT
    for handles in list(_alive):
        try:
            handles.close(max(0.0, until - time.monotonic()))
        except RuntimeError:
            pass  # a call of this thread was left by os._exit's kin; the process ends anyway


atexit.register(_close_all)
os.register_at_fork(after_in_child=_alive.clear)
