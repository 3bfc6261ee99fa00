# SPDX-License-Identifier: Apache-2.0
"""Finding librafs, and calling it."""
from __future__ import annotations

import ctypes
import ctypes.util
import glob
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from . import _abi
from .errors import LibraryError, error_for

T = TypeVar("T")


def _candidates() -> Iterator[str]:
    """Where the library may be, the best first."""
    given = os.environ.get("RAFS_LIBRARY")
    if given:
        yield given  # who names one wants that one
        return
    here = os.path.dirname(os.path.abspath(__file__))
    yield from sorted(glob.glob(os.path.join(here, "lib", "librafs.so*")))
    yield f"librafs.so.{_abi.RAFS_VERSION_MAJOR}"
    found = ctypes.util.find_library("rafs")
    if found:
        yield found


def _check_version(library: ctypes.CDLL, path: str) -> str:
    """The version of a library, if it is one for this package."""
    library.rafs_version.restype = ctypes.c_char_p
    version: str = library.rafs_version().decode("ascii", "replace")
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError:
        raise LibraryError(f"{path} says that it is version {version!r} of librafs") from None
    if major != _abi.RAFS_VERSION_MAJOR or minor < _abi.RAFS_VERSION_MINOR:
        wanted = f"{_abi.RAFS_VERSION_MAJOR}.{_abi.RAFS_VERSION_MINOR}"
        age = "old" if (major, minor) < (_abi.RAFS_VERSION_MAJOR,
                                         _abi.RAFS_VERSION_MINOR) else "new"
        raise LibraryError(f"{path} is librafs {version}, which is too {age}: this package is "
                           f"for {wanted} and later versions {_abi.RAFS_VERSION_MAJOR}.x")
    return version


def _where(path: str) -> str:
    """The file that was loaded, where the system's search found it."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                place = line.split(None, 5)[-1].strip()
                if os.path.basename(place).startswith(os.path.basename(path)):
                    return place
    except OSError:
        pass
    return path


def _load() -> tuple[ctypes.CDLL, str, str]:
    tried = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            tried.append(f"{path}: {error}")
            continue
        if not hasattr(library, "rafs_version"):
            raise LibraryError(f"{path} is not librafs: it has no rafs_version()")
        version = _check_version(library, path)
        for name, (result, arguments) in _abi.FUNCTIONS.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise LibraryError(f"{path} lacks {name}(): it is older than this package "
                                   "or another library") from None
            function.restype, function.argtypes = result, arguments
        return library, _where(path), version
    raise LibraryError("librafs is not found; install it, or say where it is in RAFS_LIBRARY. "
                       "Tried: " + "; ".join(tried))


#: The library, its functions typed; the file that it is; its version.
lib, library_path, library_version = _load()


def ours(pid: int) -> bool:
    """Was a handle made in this process? Those that fork() left in a child lack their threads
    and share descriptors: nothing is done with them, they are not even freed."""
    return pid == os.getpid()


def check_process(pid: int, what: str) -> None:
    """Refuse a handle that comes from before fork()."""
    if not ours(pid):
        raise RuntimeError(f"{what} was opened before fork(): a child opens its own")


class Cancel:
    """A token that stops calls from any thread."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        self.pid = os.getpid()
        call(lib.rafs_cancel_new, ctypes.byref(self.handle))

    def fire(self) -> None:
        """Every call that looks at the token ends soon."""
        lib.rafs_cancel_fire(self.handle)

    def __del__(self, free: Any = lib.rafs_cancel_free, pid: Any = os.getpid) -> None:
        if self.handle and self.pid == pid():
            free(self.handle)


def limits(timeout: float | None, cancel: Cancel | None) -> _abi.Call:
    """A `rafs_call` that ends after so many seconds, or when the token is fired."""
    out = _abi.Call()
    if timeout is not None and timeout < 0:
        raise ValueError("timeout is negative")
    # 0 means no deadline to the library; to people it means at once.
    milliseconds = 0 if timeout is None else max(1, min(int(timeout * 1000), 1 << 40))
    lib.rafs_call_init(ctypes.byref(out), None, milliseconds, cancel.handle if cancel else None)
    return out


def at_hand() -> _abi.Call:
    """A `rafs_call` by which a read asks nobody: what is not cached is RAFS_E_AGAIN."""
    out = limits(None, None)
    out.flags = _abi.RAFS_CALL_CACHED
    return out


def call(function: Any, *arguments: Any, path: str | None = None) -> None:
    """Call a function whose last argument is the error; raise what it reports."""
    error = _abi.Error()
    code = function(*arguments, ctypes.byref(error))
    if code < 0:
        raise error_for(code, error, path)


class _Job:
    """A call that a helper thread makes for one that has to be interruptible. What it reads
    into and its handles belong to the helper until it has ended, whatever becomes of the other
    thread meanwhile."""

    def __init__(self, work: Callable[[Cancel | None], Any]) -> None:
        self.work = work
        self.cancel = Cancel()
        self.answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self.started = threading.Lock()  # taken by who decides: the helper, or who gives up

    def run(self) -> None:
        """In the helper."""
        if not self.started.acquire(blocking=False):
            return
        try:
            self.answer.put((self.work(self.cancel), None))
        except BaseException as error:
            self.answer.put((None, error))

    def give_up(self) -> None:
        """After an interrupt: the call ends soon, or never begins."""
        self.cancel.fire()
        if not self.started.acquire(blocking=False):
            self.answer.get()  # what it reads into is ours again


_jobs: list[queue.SimpleQueue[_Job]] = []  # of helpers that wait for work


def _help(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        job = jobs.get()
        job.run()
        del job
        _jobs.append(jobs)


def _forget_helpers() -> None:
    _jobs.clear()  # a child has none of the threads


os.register_at_fork(after_in_child=_forget_helpers)


def _submit(job: _Job) -> None:
    try:
        jobs = _jobs.pop()
    except IndexError:
        jobs = queue.SimpleQueue()
        threading.Thread(target=_help, args=(jobs,), name="rafs", daemon=True).start()
    jobs.put(job)


def interruptible(work: Callable[[Cancel | None], T]) -> T:
    """Do what may wait for the network. In the main thread Ctrl-C fires the token that `work`
    is given, and KeyboardInterrupt comes out when it has ended."""
    if threading.current_thread() is not threading.main_thread():
        return work(None)
    job = _Job(work)
    try:
        _submit(job)
        value, error = job.answer.get()
    except BaseException:
        job.give_up()
        raise
    if error is not None:
        try:
            raise error
        finally:
            del error  # it refers to this frame
    return value  # type: ignore[no-any-return]
