# SPDX-License-Identifier: Apache-2.0
"""Calls that other threads make for one that has to stay interruptible.

A signal handler may raise between any two instructions of the main thread. So nothing here
depends on where: what a call uses belongs to its job until it has ended, whatever becomes of the
thread that waits for it.
"""
from __future__ import annotations

import _thread
import atexit
import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Seconds for which one look at a job sleeps at most. It is woken when the job ends; but a signal
#: that the kernel gave to another thread is seen only here.
_LOOK = 0.1


class Job(Generic[T]):
    """Work for a helper thread. It is done at most once."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._taken = threading.Lock()
        self._end = threading.Lock()
        self._end.acquire()
        self._value: Any = None
        self._error: BaseException | None = None
        self.ended = False

    def start(self) -> None:
        """Have a helper do it; where no thread can be made, as at the interpreter's end, it is
        done here and now."""
        try:
            _idle.pop().put(self)
            return
        except IndexError:
            pass
        if _ending:
            self.run()
            return
        jobs: SimpleQueue[Job[Any]] = SimpleQueue()
        jobs.put(self)
        _starting[id(jobs)] = jobs
        try:
            # Not threading.Thread: finalizers come here too, wherever that class is meanwhile.
            _thread.start_new_thread(_help, (jobs,))
        except RuntimeError:
            _starting.pop(id(jobs), None)
            self.run()

    def run(self) -> None:
        """Do it, if nobody did."""
        if not self._taken.acquire(blocking=False):
            return
        try:
            if self._work is not None:
                self._value = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._work = None
            self.ended = True
            self._end.release()

    def drop(self) -> bool:
        """See to it that it is not begun any more. False: it was."""
        if not self._taken.acquire(blocking=False):
            return False
        self._work = None
        return True

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end; False: it has not come. Any number of threads may wait."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self.ended:
            left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
            if left <= 0:
                return False
            if self._end.acquire(timeout=left):
                self._end.release()
        return True

    def result(self) -> T:
        """What it gave, or the exception that it raised. Once."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return self._value  # type: ignore[no-any-return]
        finally:
            self._value = error = None  # its traceback refers to this frame


_idle: list[SimpleQueue[Job[Any]]] = []  # of helpers that wait for work


_starting: dict[int, SimpleQueue[Job[Any]]] = {}  # of helpers that do not run yet
_ending: list[bool] = []


def _help(jobs: SimpleQueue[Job[Any]]) -> None:
    _starting.pop(id(jobs), None)
    while True:
        job = jobs.get()
        job.run()
        del job
        _idle.append(jobs)


os.register_at_fork(after_in_child=_idle.clear)  # a child has none of the threads


def _end() -> None:
    """At exit, after images were closed: no thread is on its way into an interpreter that goes.
    CPython before 3.11.6 crashes there."""
    _ending.append(True)
    until = time.monotonic() + 1
    while _starting and time.monotonic() < until:
        time.sleep(0.001)


atexit.register(_end)
os.register_at_fork(after_in_child=_starting.clear)
