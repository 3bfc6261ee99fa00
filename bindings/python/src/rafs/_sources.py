# SPDX-License-Identifier: Apache-2.0
"""Where blobs come from: directories, servers, registries, and classes of the program."""
from __future__ import annotations

import ctypes
import errno
import itertools
import logging
import operator
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, Union, runtime_checkable

from . import _abi
from ._library import call, lib
from ._types import StrPath, encoded, place_of
from .errors import RafsError

#: What `credentials=` takes: (user, password), a mapping of hosts to such pairs, or a
#: function of host, repository and attempt that gives a pair or None.
Credentials = Union[
    "tuple[str, str]",
    "Mapping[str, tuple[str, str]]",
    "Callable[[str, str, int], tuple[str, str] | None]",
]


@runtime_checkable
class Backend(Protocol):
    """A source of blobs in Python.

    `read_range` is called from any thread that reads, several at once. What it gives is
    compared with the digests of the image like any other source's answer. An exception in it
    comes back out of the read that caused it.

    One that has a method `size(blob_id)` too can also serve blobs that carry their bootstrap.
    One with an attribute `remote = True` says that requests cost more than bytes: chunks that
    lie beside each other are then asked for together.

    >>> class Memory:
    ...     def __init__(self, blobs): self.blobs = blobs
    ...     def read_range(self, blob_id, offset, length):
    ...         return self.blobs[blob_id][offset:offset + length]
    """

    def read_range(self, blob_id: str, offset: int, length: int) -> bytes:
        """Bytes of a blob, fewer than asked for only where it ends: bytes or anything that has
        a buffer. KeyError or
        FileNotFoundError: there is no such blob here, and the next source is asked."""
        ...


class SizedBackend(Backend, Protocol):
    """A source that knows how long its blobs are: for what cannot do without, such as blobs
    that carry their bootstrap."""

    def size(self, blob_id: str) -> int:
        """Bytes of a blob; KeyError or FileNotFoundError as for read_range()."""
        ...


class Keeper:
    """Exceptions of callbacks, until the call that caused them returns. The library knows them
    by a text, by which they are found again."""

    def __init__(self) -> None:
        self._raised: deque[tuple[str, BaseException]] = deque(maxlen=32)
        self._numbers = itertools.count(1)

    def note(self, error: BaseException, secret: bool = False) -> str:
        """Keep an exception; gives the text that stands for it."""
        said = type(error).__name__ + ("" if secret else f": {error}"[:120])
        text = f"{said} (in Python, number {next(self._numbers)})"
        self._raised.append((text, error))
        return text

    def raise_instead(self, error: RafsError) -> None:
        """Called with the library's error: if a callback's exception is behind it, that one
        is what the caller wants to see."""
        said = str(error)
        for entry in reversed(self._raised):
            text, raised = entry
            if text in said:
                with suppress(ValueError):
                    self._raised.remove(entry)
                raise raised from error


def report(keeper: Keeper, error: BaseException, out: Any, where: str,
           missing_is_no_error: bool = True) -> int:
    """Tell the library of an exception in a callback."""
    missing = missing_is_no_error and isinstance(error, (KeyError, FileNotFoundError))
    text = f"{type(error).__name__}: {error}" if missing else keeper.note(error)
    code = _abi.RAFS_E_NOENT if missing else _abi.RAFS_E_BACKEND
    if isinstance(error, TimeoutError):
        code = _abi.RAFS_E_TIMEOUT
    number = getattr(error, "errno", None)
    if not isinstance(number, int) or not 0 < number < 4096:
        number = errno.ENOENT if missing else errno.EIO
    return int(lib.rafs_error_set(out, code, number, where.encode("utf-8", "replace"),
                                  text.encode("utf-8", "replace")))


def give(data: Any, room: int, length: int, where: str) -> int:
    """What a callback has, to where the library wants it; gives how many bytes."""
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"{where} gave {type(data).__name__}, not bytes") from None
    with view:
        count = view.nbytes
        if count > length:
            raise ValueError(f"{where} gave {count} bytes where {length} were asked for")
        if not view.c_contiguous or (view.readonly and not isinstance(data, bytes)):
            data = view.tobytes()
        if count and isinstance(data, bytes):
            ctypes.memmove(room, data, count)
        elif count:
            with view.cast("B") as flat:
                ctypes.memmove(room, ctypes.addressof(ctypes.c_char.from_buffer(flat)), count)
    return count


class PythonBackend:
    """A `rafs_backend` over an object with read_range()."""

    def __init__(self, source: Backend, keeper: Keeper,
                 wrap: Callable[[Callable[..., int]], Callable[..., int]]) -> None:
        types = dict(_abi.BackendOps._fields_)  # type: ignore[arg-type]
        blobs: dict[int, str] = {}
        numbers = itertools.count(1)
        kind = type(source).__name__

        @wrap
        def open_blob(user: int, blob_id: bytes, out: Any, limits: Any, error: Any) -> int:
            number = next(numbers)
            blobs[number] = blob_id.decode("utf-8", "surrogateescape")
            out[0] = number
            return 0

        @wrap
        def read(user: int, blob: int, offset: int, room: int, length: int, got: Any,
                 limits: Any, error: Any) -> int:
            try:
                data = source.read_range(blobs[blob], offset, length)
                got[0] = give(data, room, length, f"{kind}.read_range()")
            except BaseException as raised:
                return report(keeper, raised, error, f"{kind}.read_range()")
            return 0

        @wrap
        def size(user: int, blob: int, out: Any, limits: Any, error: Any) -> int:
            try:
                out[0] = operator.index(source.size(blobs[blob]))  # type: ignore[attr-defined]
            except BaseException as raised:
                return report(keeper, raised, error, f"{kind}.size()")
            return 0

        def close(user: int, blob: int) -> None:
            blobs.pop(blob, None)

        ops = _abi.BackendOps(ctypes.sizeof(_abi.BackendOps), 0)
        ops.open, ops.read, ops.close = self.callbacks = [
            types["open"](open_blob), types["read"](read), types["close"](close)]
        if callable(getattr(source, "size", None)):
            self.callbacks.append(types["size"](size))
            ops.size = self.callbacks[-1]
        if getattr(source, "remote", False):
            ops.flags = _abi.RAFS_BACKEND_REMOTE
        ops.name = kind.encode("utf-8", "replace")[:80]
        self.handle = ctypes.c_void_p()
        call(lib.rafs_backend_new, ctypes.byref(ops), None, None, ctypes.byref(self.handle))

    def free(self) -> None:
        lib.rafs_backend_free(self.handle)
        self.handle = ctypes.c_void_p()


_LEVELS = {_abi.RAFS_LOG_ERROR: logging.ERROR, _abi.RAFS_LOG_WARNING: logging.WARNING,
           _abi.RAFS_LOG_INFO: logging.INFO, _abi.RAFS_LOG_DEBUG: logging.DEBUG}


class Log:
    """`log=` as the library calls it."""

    def __init__(self, given: logging.Logger | Callable[[int, str], None] | None,
                 wrap: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        if given is None:
            given = logging.getLogger("rafs")
        if isinstance(given, logging.Logger):
            tell: Callable[[int, str], None] = given.log
            lowest = given.getEffectiveLevel()
        elif callable(given):
            tell, lowest = given, logging.DEBUG
        else:
            raise TypeError(f"log is a logging.Logger or a function of level and text, not "
                            f"{type(given).__name__}")

        @wrap
        def log(user: int, level: int, text: bytes) -> None:
            # An exception here ends in sys.unraisablehook: nobody waits for it.
            tell(_LEVELS.get(level, logging.INFO), text.decode("utf-8", "replace"))

        self.callback = dict(_abi.Env._fields_)["log"](log)  # type: ignore[arg-type]
        self.level = max((level for level, number in _LEVELS.items() if number >= lowest),
                         default=_abi.RAFS_LOG_ERROR)


def beside(image: StrPath) -> list[str]:
    """Where the blobs of an image in a file are unless somebody says where: as for the command,
    in blobs/ beside it, or beside it."""
    path = os.fsdecode(image)
    if not os.path.isfile(path):
        return []
    folder = os.path.dirname(path) or "."
    return [place for place in (os.path.join(folder, "blobs"), folder) if os.path.isdir(place)]


class Library:
    """A backend that the library makes."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.handle = ctypes.c_void_p()
        call(function, *arguments, ctypes.byref(self.handle))

    def free(self) -> None:
        lib.rafs_backend_free(self.handle)
        self.handle = ctypes.c_void_p()


def _variable(*names: str) -> bytes | None:
    for name in names:
        value = os.environ.get(name) or os.environ.get(name.upper())
        if value:
            return os.fsencode(value)
    return None


#: Where systems keep the certificates that they believe. A package that carries a TLS library
#: has only the place of the system that it was built on in it.
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo
                 "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
                 "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",  # older, openSUSE
                 "/etc/ssl/cert.pem")  # Alpine


def _certificates() -> bytes | None:
    """The system's certificates; None leaves it to the library."""
    return next((os.fsencode(path) for path in _CERTIFICATES if os.path.exists(path)), None)


class Http:
    """A client, with the proxies and certificates that the environment names."""

    def __init__(self, *, insecure: bool = False, ca_file: StrPath | None = None,
                 client_cert: StrPath | None = None, client_key: StrPath | None = None,
                 env: _abi.Env | None = None) -> None:
        both = _variable("all_proxy")
        options = _abi.HttpOptions(ctypes.sizeof(_abi.HttpOptions))
        options.flags = _abi.RAFS_HTTP_INSECURE if insecure else 0
        options.env = ctypes.pointer(env) if env is not None else None
        options.http_proxy = _variable("http_proxy") or both
        options.https_proxy = _variable("https_proxy") or both
        options.no_proxy = _variable("no_proxy")
        options.ca_file = (place_of(ca_file, "ca_file") if ca_file
                           else _variable("SSL_CERT_FILE", "CURL_CA_BUNDLE") or _certificates())
        options.client_cert = place_of(client_cert, "client_cert") if client_cert else None
        options.client_key = place_of(client_key, "client_key") if client_key else None
        options.ca_dir = _variable("SSL_CERT_DIR")
        options.user_agent = f"python-rafs/{_abi.RAFS_VERSION_STRING}".encode("ascii")
        self.handle = ctypes.c_void_p()
        call(lib.rafs_http_new, ctypes.byref(options), ctypes.byref(self.handle))

    def free(self) -> None:
        lib.rafs_http_free(self.handle)
        self.handle = ctypes.c_void_p()


def _from_files(host: bytes, repo: bytes, attempt: int, out: Any, limits: Any,
                error: Any) -> int:
    """What docker login and podman login wrote."""
    files = _abi.CredentialFiles(ctypes.sizeof(_abi.CredentialFiles))
    run, home = os.environ.get("XDG_RUNTIME_DIR"), os.path.expanduser("~")
    auth = os.environ.get("REGISTRY_AUTH_FILE") or (
        os.path.join(run, "containers", "auth.json") if run else None)
    docker = os.path.join(os.environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker"),
                          "config.json")
    variables = [f"{name}={value}".encode("utf-8", "surrogateescape")
                 for name, value in os.environ.items()]
    files.flags = _abi.RAFS_CREDENTIALS_HELPERS
    files.auth_file = os.fsencode(auth) if auth else None
    files.docker_config = os.fsencode(docker)
    files.helper_path = _variable("PATH")
    files.helper_environment = (ctypes.c_char_p * (len(variables) + 1))(*variables, None)
    return int(lib.rafs_credentials_from_files(ctypes.byref(files), host, repo, attempt, out,
                                               limits, error))


class CredentialSource:
    """`credentials=` as the library asks it."""

    def __init__(self, given: Credentials | None, keeper: Keeper,
                 wrap: Callable[[Callable[..., int]], Callable[..., int]] = lambda call: call
                 ) -> None:
        types = dict(_abi.CredentialsSource._fields_)  # type: ignore[arg-type]

        def answer(host: str, repo: str, attempt: int) -> tuple[str, str] | None:
            if callable(given):
                return given(host, repo, attempt)
            if attempt > 0 or given is None:
                return None
            return given.get(host) if isinstance(given, Mapping) else given

        @wrap
        def get(user: int, host: bytes, repo: bytes, attempt: int, out: Any, limits: Any,
                error: Any) -> int:
            try:
                if given is None:
                    return _from_files(host, repo, attempt, out, limits, error)
                pair = answer(host.decode(), repo.decode(), attempt)
                if pair is not None:
                    out[0].kind = _abi.RAFS_CREDENTIAL_BASIC
                    name, secret = pair
                    out[0].username = encoded(name, "a user's name")
                    out[0].secret = encoded(secret, "a password")
            except BaseException as raised:
                # What it says may hold a secret: none of it goes on.
                text = keeper.note(raised, secret=True)
                return int(lib.rafs_error_set(error, _abi.RAFS_E_BACKEND, errno.EACCES,
                                              b"credentials", text.encode()))
            return 0

        self.callback = types["get"](get)
        self.source = _abi.CredentialsSource(ctypes.sizeof(_abi.CredentialsSource), 0,
                                             self.callback)


def array(handles: Sequence[ctypes.c_void_p]) -> Any:
    """Backends as the library takes them."""
    return (ctypes.c_void_p * max(1, len(handles)))(*[handle.value for handle in handles])
