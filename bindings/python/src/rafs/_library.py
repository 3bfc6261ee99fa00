# SPDX-License-Identifier: Apache-2.0
"""Finding librafs, and calling it."""
from __future__ import annotations

import ctypes
import ctypes.util
import errno
import glob
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from . import _abi
from ._jobs import Job
from .errors import LibraryError, RafsError, RafsTimeoutError, error_for

T = TypeVar("T")


def _candidates() -> Iterator[str]:
    """Where the library may be, the best first."""
    given = os.environ.get("RAFS_LIBRARY")
    if given:
        yield given  # who names one wants that one
        return
    here = os.path.dirname(os.path.abspath(__file__))
    # An editable package has its sources in one folder and what was built in another.
    package = sys.modules[__package__].__path__ if __package__ else []
    for folder in dict.fromkeys([here, *package]):
        yield from sorted(glob.glob(os.path.join(glob.escape(folder), "lib", "librafs.so*")))
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


def _check_interpreter() -> None:
    """Callbacks of ctypes are always made in the main interpreter."""
    if sys.implementation.name != "cpython":
        return
    both = [getattr(ctypes.pythonapi, f"PyInterpreterState_{which}") for which in ("Get", "Main")]
    for function in both:
        function.restype = ctypes.c_void_p
    if both[0]() != both[1]():
        raise LibraryError("rafs works in the main interpreter alone, not in sub-interpreters")


def _load() -> tuple[ctypes.CDLL, str, str]:
    _check_interpreter()
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
    milliseconds = 0  # no deadline to the library; to people 0 means at once
    if timeout is not None:
        if not isinstance(timeout, (int, float)):
            raise TypeError(f"timeout is seconds or None, not {type(timeout).__name__}")
        if not timeout >= 0:
            raise ValueError(f"timeout {timeout!r} is not 0 or more seconds")
        milliseconds = max(1, int(min(timeout * 1000, 1 << 40)))
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


def sized(get: Callable[[Any, int, Any], None], room: int = 1024, more: int = 0) -> bytes:
    """What a function of the library writes that says how much room it needs: get(memory, room,
    out: bytes). `more` is what it wants beyond those."""
    length = ctypes.c_size_t()
    while True:
        memory = ctypes.create_string_buffer(room)
        try:
            get(memory, room, ctypes.byref(length))
            return memory.raw[:length.value]
        except RafsError as error:
            if error.code != "RAFS_E_RANGE":
                raise
            room = length.value + more


class _Stoppable:
    """Work that is given a token. Tokens are used again as long as nobody fired them: theirs are
    no finalizers that a signal handler's exception could get lost in."""

    def __init__(self, work: Callable[[Cancel], Any]) -> None:
        self.work = work
        self.token: Cancel | None = None
        self.fired = False

    def __call__(self) -> Any:
        try:
            token = _tokens.pop()
        except IndexError:
            token = Cancel()
        self.token = token
        try:
            if self.fired:
                token.fire()
            return self.work(token)
        finally:
            self.token = None
            if not self.fired:
                _tokens.append(token)

    def fire(self) -> None:
        """The work ends soon. A token that it had in use is not used again."""
        self.fired = True
        token = self.token
        if token is not None:
            token.fire()


_tokens: list[Cancel] = []
os.register_at_fork(after_in_child=_tokens.clear)


def interruptible(work: Callable[[Cancel | None], T], *, always: bool = False,
                  patience: float | None = None, seconds: float | None = None) -> T:
    """Do what may wait for the network or for Python.

    In the main thread, or `always`, another thread does it, and an exception of a signal
    handler such as KeyboardInterrupt comes out here: the token that `work` is given is fired,
    and its end waited for, so long as `patience` says or until the next exception. What `work`
    uses has to belong to it for that reason.

    seconds     after which TimeoutError is raised in the same way; None: never
    """
    if not always and threading.current_thread() is not threading.main_thread():
        return work(None)
    stoppable = _Stoppable(work)
    job: Job[T] = Job(stoppable)
    try:
        job.start()
        if not job.wait(seconds):
            raise RafsTimeoutError(errno.ETIMEDOUT, "a callback in Python did not return in time")
    except BaseException:
        stoppable.fire()
        if not job.drop():
            job.wait(patience)
        raise
    return job.result()
