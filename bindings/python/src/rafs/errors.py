# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, by cause."""
from __future__ import annotations

import errno
import os

from . import _abi


class RafsError(OSError):
    """An error of librafs.

    `code` is the name of the library's code ("RAFS_E_CORRUPT"), `stage` where on a byte's way
    it was seen ("fetch", "verify" …), `object` what failed ("blob 0123…", "bootstrap",
    "path /etc/passwd"), and `offset` the byte in it, or None.
    """

    code: str = ""
    stage: str = ""
    object: str = ""
    offset: int | None = None


class CorruptError(RafsError):
    """Bytes contradict the format or their digest; asking again does not help."""


class BackendError(RafsError):
    """A source failed: missing, unreachable, refused. Another time it may work."""


class UnsupportedError(RafsError):
    """Well formed, but not for this version of the library."""


class LimitError(RafsError):
    """More is needed than a limit allows."""


class CancelledError(RafsError):
    """Somebody stopped the call."""


class RafsTimeoutError(RafsError, TimeoutError):
    """The deadline passed."""


class NotFound(RafsError, FileNotFoundError):
    """The image has no such path; or there is no such image. Never a source that lacks a blob:
    that is BackendError, for whoever takes FileNotFoundError for "nothing there" (zarr does) would
    go on with wrong data."""


class NotADirectory(RafsError, NotADirectoryError):
    """A part of the path is no directory."""


class IsADirectory(RafsError, IsADirectoryError):
    """A directory where a file is needed."""


class ArgumentError(RafsError, ValueError):
    """The library refuses an argument."""


class LibraryError(ImportError):
    """librafs cannot be loaded, or is of another version."""


_CLASSES: dict[int, type[RafsError]] = {
    _abi.RAFS_E_BADARG: ArgumentError,
    _abi.RAFS_E_CORRUPT: CorruptError,
    _abi.RAFS_E_UNSUPPORTED: UnsupportedError,
    _abi.RAFS_E_BACKEND: BackendError,
    _abi.RAFS_E_TIMEOUT: RafsTimeoutError,
    _abi.RAFS_E_CANCELLED: CancelledError,
    _abi.RAFS_E_NOENT: NotFound,
    _abi.RAFS_E_NOTDIR: NotADirectory,
    _abi.RAFS_E_ISDIR: IsADirectory,
    _abi.RAFS_E_LIMIT: LimitError,
}
_NAMES = {value: name for name, value in vars(_abi).items() if name.startswith("RAFS_E_")}
_STAGES = {value: name[len("RAFS_STAGE_"):].lower()
           for name, value in vars(_abi).items() if name.startswith("RAFS_STAGE_")}


def name_of(code: int) -> str:
    """The name of an error code of the library."""
    return _NAMES.get(code, "RAFS_E_?")


def not_found(text: str, path: str) -> NotFound:
    """What is not there and the library was not asked for."""
    made = NotFound(errno.ENOENT, text, path)
    made.code, made.stage, made.object = "RAFS_E_NOENT", "open", path
    return made


def error_for(code: int, error: _abi.Error, path: str | None = None) -> Exception:
    """The exception that a failed call stands for."""
    text = error.text.decode("utf-8", "replace")
    if code == _abi.RAFS_E_NOMEM:
        return MemoryError(text)
    thing = error.object.decode("utf-8", "replace")
    number = error.os_errno or errno.EIO
    where = f" at {error.offset}" if error.has_offset else ""
    message = f"{thing}{where}: {text}" if thing and text else text or os.strerror(number)
    made = _CLASSES.get(code, RafsError)(number, message, path)
    made.code = name_of(code)
    made.stage = _STAGES.get(error.stage, "?")
    made.object = thing
    made.offset = error.offset if error.has_offset else None
    return made
