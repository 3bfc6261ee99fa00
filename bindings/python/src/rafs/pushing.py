# SPDX-License-Identifier: Apache-2.0
"""Images on their way: ordinary ones made into RAFS images, and images put into registries."""
from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._library import call, lib
from ._sources import Credentials, Library, array, beside
from ._types import StrPath, encoded, number, place_of
from ._work import Progress, Work
from .building import _options, _Settings


@dataclass(frozen=True)
class PushResult:
    """What was put into a registry or layout."""

    digest: str  #: "sha256:HEX" of the manifest or index
    blobs_sent: int  #: not there before
    bytes_sent: int
    blobs: int = 0  #: in all


@dataclass(frozen=True)
class ConvertResult:
    """What was converted."""

    digest: str  #: "sha256:HEX" of the manifest or index
    images: int  #: manifests that were made
    layers: int
    layers_reused: int  #: of them, known from an earlier run
    source_bytes: int  #: of the layers that were read
    blob_bytes: int  #: of all blobs of the result
    built_bytes: int  #: of them, built now
    skipped: int  #: entries that no image can hold


def _hex(digest: Any) -> str:
    return f"sha256:{bytes(digest).hex()}"


def _set_common(options: Any, work: Work, platform: str | None, threads: int) -> None:
    """What the options of pushing and copying both have."""
    options.platform = encoded(platform, "platform") if platform else None
    options.threads = number(threads, "threads", (1 << 32) - 1)
    options.progress = work.told(_abi.rafs_copy_progress_fn, "bytes_done", "bytes_total")


def _sent(result: _abi.CopyResult) -> PushResult:
    return PushResult(_hex(result.digest), result.blobs_sent, result.bytes_sent, result.blobs)


def convert(source: str, target: str, *, platform: str | None = None, all_platforms: bool = False,
            referrer: bool = False, cache: StrPath | None = None, fs_version: int = 6,
            compressor: str = "zstd", level: int = 0, chunk_size: int = 0, batch_size: int = 0,
            digest: str = "blake3", threads: int = 0, credentials: Credentials | None = None,
            plain_http: bool = False, insecure: bool = False, ca_file: str | None = None,
            progress: Progress | bool | None = None,
            timeout: float | None = None) -> ConvertResult:
    """Make a RAFS image of an ordinary one, layer by layer, on its way from one place
    ("docker://HOST/REPO:TAG", "oci:DIR:TAG", "oci-archive:FILE:TAG") to another.

    all_platforms  an index of all that the source's index names
    referrer       attach it to the ordinary image, which keeps its tag, as another form of it
    cache          directory that remembers what layers became
    """
    with Work(progress, "convert") as work:
        http, registry = work.registry(credentials, plain_http, insecure, ca_file)
        building = _options(work, _Settings(
            fs_version=fs_version, compressor=compressor, level=level, chunk_size=chunk_size,
            batch_size=batch_size, digest=digest, threads=threads))
        building.progress = _abi.rafs_build_progress_fn()
        options = _abi.ConvertOptions(ctypes.sizeof(_abi.ConvertOptions))
        options.flags = ((_abi.RAFS_CONVERT_ALL_PLATFORMS if all_platforms else 0)
                         | (_abi.RAFS_CONVERT_REFERRER if referrer else 0))
        options.build = ctypes.pointer(building)
        options.platform = encoded(platform, "platform") if platform else None
        options.cache_dir = place_of(cache, "cache") if cache is not None else None
        options.progress = work.told(_abi.rafs_convert_progress_fn, "bytes_done", "bytes_total")
        origin = work.origin(source, http, registry, timeout)
        to = work.target(target, http, registry, timeout)
        result = _abi.ConvertResult(ctypes.sizeof(_abi.ConvertResult))
        work.run(lambda limit: call(lib.rafs_convert, origin, to, ctypes.byref(options),
                                    ctypes.byref(result), ctypes.byref(limit)), timeout)
        return ConvertResult(_hex(result.digest), result.images, result.layers,
                             result.layers_reused, result.source_bytes, result.blob_bytes,
                             result.built_bytes, result.skipped)


def push(bootstrap: StrPath, target: str, *, blob_dir: StrPath | None = None,
         platform: str | None = None, annotations: Mapping[str, str] | None = None,
         credentials: Credentials | None = None, plain_http: bool = False,
         insecure: bool = False, ca_file: str | None = None, threads: int = 0,
         progress: Progress | bool | None = None, timeout: float | None = None) -> PushResult:
    """Put a bootstrap and its blobs into a registry ("docker://HOST/REPO:TAG"), a layout
    ("oci:DIR:TAG") or an archive of one ("oci-archive:FILE:TAG"). blob_dir is as for open().

    >>> import rafs
    >>> pushed = rafs.push(bootstrap, f"oci:{directory}/layout:v1")
    >>> with rafs.open(f"oci:{directory}/layout@{pushed.digest}") as image:
    ...     image.read_text("/etc/motd")
    'Be well.\\n'
    """
    with Work(progress, "push") as work:
        http, registry = work.registry(credentials, plain_http, insecure, ca_file)
        options = _abi.PushOptions(ctypes.sizeof(_abi.PushOptions))
        handles = []
        for place in [blob_dir] if blob_dir is not None else beside(bootstrap):
            source = Library(lib.rafs_backend_new_directory, place_of(place, "blob_dir"), None)
            work.stack.callback(source.free)
            handles.append(source.handle)
        options.backends, options.backend_count = array(handles), len(handles)
        _set_common(options, work, platform, threads)
        notes = [encoded(f"{key}={value}", "an annotation")
                 for key, value in dict(annotations or {}).items()]
        options.annotations = (ctypes.c_char_p * max(1, len(notes)))(*notes)
        options.annotation_count = len(notes)
        to = work.target(target, http, registry, timeout)
        result = _abi.CopyResult(ctypes.sizeof(_abi.CopyResult))
        work.run(lambda limit: call(lib.rafs_push, place_of(bootstrap, "bootstrap"), to,
                                    ctypes.byref(options), ctypes.byref(result),
                                    ctypes.byref(limit)), timeout)
        return _sent(result)


def copy(source: str, target: str, *, platform: str | None = None, everything: bool = False,
         referrers: bool = False, credentials: Credentials | None = None,
         plain_http: bool = False, insecure: bool = False, ca_file: str | None = None,
         threads: int = 0, progress: Progress | bool | None = None,
         timeout: float | None = None) -> PushResult:
    """Copy an image of any kind as it is, byte for byte, between registries, layouts and
    archives.

    everything  an index with all that it names; else the one of the platform
    referrers   also what hangs on it: signatures, other forms of the image

    >>> import rafs
    >>> pushed = rafs.push(bootstrap, f"oci:{directory}/one:v1")
    >>> rafs.copy(f"oci:{directory}/one:v1", f"oci:{directory}/two:v1").digest == pushed.digest
    True
    """
    with Work(progress, "copy") as work:
        http, registry = work.registry(credentials, plain_http, insecure, ca_file)
        options = _abi.CopyOptions(ctypes.sizeof(_abi.CopyOptions))
        options.flags = ((_abi.RAFS_COPY_ALL if everything else 0)
                         | (_abi.RAFS_COPY_REFERRERS if referrers else 0))
        _set_common(options, work, platform, threads)
        origin = work.origin(source, http, registry, timeout)
        to = work.target(target, http, registry, timeout)
        result = _abi.CopyResult(ctypes.sizeof(_abi.CopyResult))
        work.run(lambda limit: call(lib.rafs_copy, origin, to, ctypes.byref(options),
                                    ctypes.byref(result), ctypes.byref(limit)), timeout)
        return _sent(result)


__all__ = ["ConvertResult", "PushResult", "convert", "copy", "push"]
