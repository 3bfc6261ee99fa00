# SPDX-License-Identifier: Apache-2.0
"""Container images on demand, every byte verified.

>>> import rafs
>>> with rafs.open(bootstrap, blob_dir=blobs) as image:
...     image.listdir("/etc")
...     image.read_text("/etc/motd")
['message', 'motd', 'os-release']
'Be well.\\n'
"""
from importlib import import_module
from typing import Any

from . import errors
from ._abi import RAFS_VERSION_STRING as __version__
from ._sources import Backend, Credentials
from .building import BuildResult, Entry, build, merge, optimize
from .cache import Cache, CacheEntry
from .errors import (
    ArgumentError,
    BackendError,
    CancelledError,
    CorruptError,
    LibraryError,
    LimitError,
    NotFound,
    RafsError,
    UnsupportedError,
)
from .errors import RafsTimeoutError as TimeoutError
from .image import Blob, CheckResult, Chunk, DirEntry, File, Finding, Image, Info, Stat, open
from .path import Path
from .pushing import ConvertResult, PushResult, convert, copy, push
from .trace import Trace, TraceEvent

__all__ = [
    "ArgumentError", "Backend", "BackendError", "Blob", "BuildResult", "Cache", "CacheEntry",
    "CancelledError", "CheckResult", "Chunk", "ConvertResult", "CorruptError", "Credentials",
    "DirEntry", "Entry", "File", "Finding", "Image", "Info", "LibraryError", "LimitError",
    "NotFound", "Path", "PushResult", "RafsError", "Stat", "TimeoutError", "Trace", "TraceEvent",
    "UnsupportedError", "__version__", "build", "convert", "copy", "errors", "merge", "open",
    "optimize", "push",
]


def __getattr__(name: str) -> Any:
    """Modules that need other packages are imported when they are first used."""
    if name in ("fsspec", "plot"):
        return import_module(f"rafs.{name}")
    raise AttributeError(f"module 'rafs' has no attribute {name!r}")
