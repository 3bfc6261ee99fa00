# SPDX-License-Identifier: Apache-2.0
"""Where blobs come from: directories, servers, registries, and classes of the program."""
from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Union, runtime_checkable

from . import _abi
from ._library import call, lib
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

    >>> class Memory:
    ...     def __init__(self, blobs): self.blobs = blobs
    ...     def read_range(self, blob_id, offset, length):
    ...         return self.blobs[blob_id][offset:offset + length]
    """

    def read_range(self, blob_id: str, offset: int, length: int) -> bytes:
        """Bytes of a blob: fewer than asked for only where it ends. KeyError or
        FileNotFoundError: there is no such blob here, and the next source is asked."""
        ...


class Keeper:
    """Exceptions of callbacks, until the call that caused them returns."""

    def __init__(self) -> None:
        self.raised: list[BaseException] = []

    def note(self, error: BaseException) -> None:
        if len(self.raised) < 8:
            self.raised.append(error)

    def clear(self) -> None:
        self.raised.clear()

    def raise_instead(self, error: RafsError) -> None:
        """Called with the library's error: if a callback's exception is behind it, that one
        is what the caller wants to see."""
        if self.raised:
            first = self.raised[0]
            self.clear()
            raise first from error


def _report(keeper: Keeper, error: BaseException, out: Any) -> int:
    missing = isinstance(error, (KeyError, FileNotFoundError))
    if not missing:
        keeper.note(error)
    code = _abi.RAFS_E_NOENT if missing else _abi.RAFS_E_BACKEND
    if isinstance(error, TimeoutError):
        code = _abi.RAFS_E_TIMEOUT
    number = getattr(error, "errno", None) or (errno.ENOENT if missing else errno.EIO)
    text = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
    return int(lib.rafs_error_set(out, code, number, b"a backend in Python", text))


class PythonBackend:
    """A `rafs_backend` over an object with read_range()."""

    def __init__(self, source: Backend, keeper: Keeper) -> None:
        types = dict(_abi.BackendOps._fields_)  # type: ignore[arg-type]
        blobs: dict[int, str] = {}
        numbers = iter(range(1, 1 << 62))

        def open_blob(user: int, blob_id: bytes, out: Any, limits: Any, error: Any) -> int:
            number = next(numbers)
            blobs[number] = blob_id.decode("utf-8", "surrogateescape")
            out[0] = number
            return 0

        def read(user: int, blob: int, offset: int, room: int, length: int, got: Any,
                 limits: Any, error: Any) -> int:
            try:
                data = source.read_range(blobs[blob], offset, length)
                count = min(len(data), length)
                ctypes.memmove(room, bytes(data[:count]), count)
                got[0] = count
            except BaseException as raised:
                return _report(keeper, raised, error)
            return 0

        def close(user: int, blob: int) -> None:
            blobs.pop(blob, None)

        self.callbacks = [types["open"](open_blob), types["read"](read), types["close"](close)]
        ops = _abi.BackendOps(ctypes.sizeof(_abi.BackendOps), 0)
        ops.open, ops.read, ops.close = self.callbacks
        ops.name = type(source).__name__.encode("utf-8", "replace")[:80]
        self.handle = ctypes.c_void_p()
        call(lib.rafs_backend_new, ctypes.byref(ops), None, None, ctypes.byref(self.handle))

    def free(self) -> None:
        lib.rafs_backend_free(self.handle)
        self.handle = ctypes.c_void_p()


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


class Http:
    """A client, with the proxies and certificates that the environment names."""

    def __init__(self, *, insecure: bool = False, ca_file: str | None = None) -> None:
        both = _variable("all_proxy")
        options = _abi.HttpOptions(ctypes.sizeof(_abi.HttpOptions))
        options.flags = _abi.RAFS_HTTP_INSECURE if insecure else 0
        options.http_proxy = _variable("http_proxy") or both
        options.https_proxy = _variable("https_proxy") or both
        options.no_proxy = _variable("no_proxy")
        options.ca_file = (os.fsencode(ca_file) if ca_file
                           else _variable("SSL_CERT_FILE", "CURL_CA_BUNDLE"))
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

    def __init__(self, given: Credentials | None, keeper: Keeper) -> None:
        types = dict(_abi.CredentialsSource._fields_)  # type: ignore[arg-type]

        def answer(host: str, repo: str, attempt: int) -> tuple[str, str] | None:
            if callable(given):
                return given(host, repo, attempt)
            if attempt > 0 or given is None:
                return None
            return given.get(host) if isinstance(given, Mapping) else given

        def get(user: int, host: bytes, repo: bytes, attempt: int, out: Any, limits: Any,
                error: Any) -> int:
            try:
                if given is None:
                    return _from_files(host, repo, attempt, out, limits, error)
                pair = answer(host.decode(), repo.decode(), attempt)
                if pair is not None:
                    out[0].kind = _abi.RAFS_CREDENTIAL_BASIC
                    out[0].username = pair[0].encode()
                    out[0].secret = pair[1].encode()
            except BaseException as raised:
                keeper.note(raised)  # its text may hold a secret: none of it goes on
                return int(lib.rafs_error_set(error, _abi.RAFS_E_BACKEND, errno.EACCES,
                                              b"credentials", b"the callback failed"))
            return 0

        self.callback = types["get"](get)
        self.source = _abi.CredentialsSource(ctypes.sizeof(_abi.CredentialsSource), 0,
                                             self.callback)


def array(handles: Sequence[ctypes.c_void_p]) -> Any:
    """Backends as the library takes them."""
    return (ctypes.c_void_p * max(1, len(handles)))(*[handle.value for handle in handles])
