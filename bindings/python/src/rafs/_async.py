# SPDX-License-Identifier: Apache-2.0
"""Reads for asyncio: submitted to a queue of the library, and heard of through a descriptor
that the event loop watches. No thread of Python waits."""
from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from typing import Any

from . import _abi
from ._library import call, lib, limits, ours
from .errors import error_for

#: Reads of one image and one loop that the library has at once.
_DEPTH = 128


class _Read:
    """A read under way: its memory, and who waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, room: Any, path: str) -> None:
        self.done: asyncio.Future[int] = loop.create_future()
        self.room = room  # keeps the memory alive and in its place
        self.path = path
        self.id = ctypes.c_uint64()


class Reads:
    """The reads of an image by tasks of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.queue = ctypes.c_void_p()
        options = _abi.QueueOptions(ctypes.sizeof(_abi.QueueOptions))
        options.depth = _DEPTH
        call(lib.rafs_queue_new, ctypes.byref(options), ctypes.byref(self.queue))
        self.turns = asyncio.Semaphore(_DEPTH)
        self.under_way: dict[int, _Read] = {}
        self.tags = 0
        self.watching = False
        self.closed = False
        self.lock = threading.Lock()  # against closing by another thread

    async def read(self, image: ctypes.c_void_p, ino: int, offset: int, room: Any, length: int,
                   timeout: float | None, path: str, ours: bool) -> int:
        """Fill memory; gives how many bytes came. Cancelling the task cancels the read. If the
        memory is not ours, the task ends when nothing is written to it any more."""
        await self.turns.acquire()
        read = _Read(self.loop, room, path)
        try:
            tag = self._submit(image, read, ino, offset, length, timeout)
        except BaseException:
            self.turns.release()
            raise
        try:
            return await asyncio.shield(read.done)
        except asyncio.CancelledError:
            with self.lock:
                if tag in self.under_way and not self.closed:
                    lib.rafs_queue_cancel(self.queue, read.id)
            while not (ours or read.done.done()):
                try:
                    await asyncio.wait([read.done])
                except asyncio.CancelledError:
                    pass
            read.done.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    def _submit(self, image: ctypes.c_void_p, read: _Read, ino: int, offset: int, length: int,
                timeout: float | None) -> int:
        wanted = _abi.QueueRead(ctypes.sizeof(_abi.QueueRead))
        wanted.image, wanted.ino, wanted.offset = image, ino, offset
        wanted.buf, wanted.len = ctypes.addressof(read.room), length
        wanted.deadline_ns = limits(timeout, None).deadline_ns
        with self.lock:
            if self.closed:
                raise ValueError("the image is closed")
            self.tags += 1
            tag = wanted.tag = self.tags
            self._watch(True)
            self.under_way[tag] = read  # its memory is the library's from now on
            try:
                call(lib.rafs_queue_submit, self.queue, ctypes.byref(wanted),
                     ctypes.byref(read.id))
            except BaseException:
                del self.under_way[tag]
                raise
        return tag

    def _watch(self, wanted: bool) -> None:
        """An idle queue holds nothing of the loop, so that either can end before the other."""
        if wanted != self.watching:
            fd = lib.rafs_queue_fd(self.queue)
            if wanted:
                self.loop.add_reader(fd, self._reap)
            else:
                self.loop.remove_reader(fd)
            self.watching = wanted

    def _reap(self) -> None:
        """In the loop: hear of what has completed."""
        some = (_abi.Completion * 16)()
        count = ctypes.c_size_t()
        with self.lock:
            if self.closed:
                return
            call(lib.rafs_queue_reap, self.queue, some, 16, ctypes.byref(count))
            ended = [(self.under_way.pop(one.tag), one) for one in some[:count.value]]
            if not self.under_way:
                self._watch(False)
        for read, one in ended:
            self.turns.release()
            if read.done.done():
                continue  # its loop was ended
            if one.code < 0:
                read.done.set_exception(error_for(one.code, one.error, read.path))
            else:
                read.done.set_result(one.nread)

    def close(self) -> None:
        """Cancel all and wait for them to end. From any thread."""
        if not ours(self.pid):
            return
        with self.lock:
            if self.closed:
                return
            self.closed = True
            waiting = [read.done for read in self.under_way.values()]
        lib.rafs_queue_cancel_all(self.queue)
        lib.rafs_queue_drain(self.queue, None, None)
        self.under_way.clear()

        def finish() -> None:
            if not self.loop.is_closed():
                self._watch(False)
                for future in waiting:
                    self.turns.release()  # who waits for a turn is told by _submit()
                    if not future.done():
                        future.set_exception(ValueError("the image was closed meanwhile"))
            lib.rafs_queue_free(self.queue)

        # What belongs to a loop that runs is for its thread to touch: its descriptor too.
        try:
            elsewhere = self.loop.is_running() and asyncio._get_running_loop() is not self.loop
            if elsewhere and (self.watching or waiting):
                self.loop.call_soon_threadsafe(finish)
                return
        except RuntimeError:
            pass  # it was closed meanwhile
        finish()


__all__ = ["Reads"]
