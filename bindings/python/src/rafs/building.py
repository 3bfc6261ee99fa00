# SPDX-License-Identifier: Apache-2.0
"""Making images: of directories and archives, of layers, of ordinary images."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._library import Cancel, call, interruptible, lib, limits
from ._sources import Credentials, CredentialSource, Http, Keeper, Library, array, beside
from ._types import StrPath
from .errors import RafsError
from .image import Image
from .image import open as open_image

#: Called with (bytes done, bytes in all or 0 where nobody knows).
Progress = Callable[[int, int], None]

_COMPRESSORS = {"zstd": _abi.RAFS_STORE_ZSTD, "lz4": _abi.RAFS_STORE_LZ4,
                "none": _abi.RAFS_STORE_NONE}
_DIGESTS = {"blake3": _abi.RAFS_HASH_BLAKE3, "sha256": _abi.RAFS_HASH_SHA256}


@dataclass(frozen=True)
class BuildResult:
    """What was built."""

    bootstrap: str  #: path
    blobs: tuple[str, ...]  #: ids in the order of the image's table
    digest: str  #: "sha256:HEX" of the bootstrap
    entries: int
    file_bytes: int
    stored_bytes: int
    chunks: int
    stored_chunks: int


@dataclass(frozen=True)
class PushResult:
    """What was put into a registry or layout."""

    digest: str  #: "sha256:HEX" of the manifest or index
    blobs_sent: int
    bytes_sent: int


def _bar(progress: Progress | bool | None, title: str) -> tuple[Progress | None, Any]:
    """True asks for tqdm's bar; without tqdm there is none."""
    if progress is not True:
        return (progress if callable(progress) else None), None
    try:
        from tqdm import tqdm
    except ImportError:
        return None, None
    bar = tqdm(desc=title, unit="B", unit_scale=True)

    def show(done: int, total: int) -> None:
        bar.total = total or None
        bar.update(done - bar.n)

    return show, bar


class _Work:
    """Handles, callbacks and exceptions of one call that takes long."""

    def __init__(self, progress: Progress | bool | None, title: str) -> None:
        self.stack = ExitStack()
        self.keeper = Keeper()
        self.show, bar = _bar(progress, title)
        if bar is not None:
            self.stack.callback(bar.close)
        self.cancel = Cancel()
        self.kept: list[Any] = []

    def __enter__(self) -> _Work:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def told(self, kind: Any, done: str, total: str) -> Any:
        """A callback of the library for progress; an exception in it ends the call."""

        def tell(user: int, progress: Any) -> None:
            try:
                if self.show:
                    self.show(getattr(progress[0], done), getattr(progress[0], total))
            except BaseException as error:
                self.keeper.note(error)
                self.cancel.fire()

        callback = kind(tell)
        self.kept.append(callback)
        return callback

    def run(self, work: Callable[[_abi.Call], None], timeout: float | None) -> None:
        """In a thread that Ctrl-C stops."""

        def go(cancel: Cancel | None) -> None:
            limit = limits(timeout, self.cancel)
            if cancel is not None:
                self.stop_with = cancel
                limit.cancel = cancel.handle
            work(limit)

        try:
            interruptible(go)
        except RafsError as error:
            self.keeper.raise_instead(error)
            raise

    def registry(self, credentials: Credentials | None, plain_http: bool, insecure: bool,
                 ca_file: str | None) -> tuple[Any, Any]:
        """The client and the options for what is in a registry."""
        http = Http(insecure=insecure, ca_file=ca_file)
        self.stack.callback(http.free)
        source = CredentialSource(credentials, self.keeper)
        options = _abi.RegistryOptions(ctypes.sizeof(_abi.RegistryOptions))
        options.flags = _abi.RAFS_REGISTRY_PLAIN_HTTP if plain_http else 0
        options.credentials = ctypes.pointer(source.source)
        self.kept += [http, source, options]
        return http, options


def _texts(values: Sequence[StrPath]) -> Any:
    return (ctypes.c_char_p * max(1, len(values)))(*[os.fsencode(value) for value in values])


def _build_options(work: _Work, *, fs_version: int, compressor: str, level: int, chunk_size: int,
                   batch_size: int, digest: str, threads: int, dictionaries: Sequence[Image],
                   prefetch: Sequence[StrPath], exclude: Sequence[str],
                   mtime: int | None, owner: tuple[int, int] | None) -> _abi.BuildOptions:
    options = _abi.BuildOptions()
    lib.rafs_build_options_init(ctypes.byref(options))
    if compressor not in _COMPRESSORS:
        raise ValueError(f"compressor {compressor!r}: one of {', '.join(_COMPRESSORS)}")
    if digest not in _DIGESTS:
        raise ValueError(f"digest {digest!r}: one of {', '.join(_DIGESTS)}")
    options.version, options.compressor = fs_version, _COMPRESSORS[compressor]
    options.level, options.chunk_size, options.batch_size = level, chunk_size, batch_size
    options.digest, options.threads = _DIGESTS[digest], threads
    if mtime is not None:
        options.flags |= _abi.RAFS_BUILD_MTIME_MAX
        options.mtime_max = mtime
    if owner is not None:
        options.flags |= _abi.RAFS_BUILD_OWNER
        options.owner_uid, options.owner_gid = owner
    images = array([image._handle for image in dictionaries])
    options.dictionaries = images
    options.dictionary_count = len(dictionaries)
    options.prefetch, options.prefetch_count = _texts(prefetch), len(prefetch)
    options.exclude, options.exclude_count = _texts(exclude), len(exclude)
    options.progress = work.told(_abi.rafs_build_progress_fn, "bytes", "bytes_total")
    work.kept += [images, options]
    return options


def build(source: StrPath | Sequence[StrPath], out: StrPath, *, fs_version: int = 6,
          compressor: str = "zstd", level: int = 0, chunk_size: int = 0, batch_size: int = 0,
          digest: str = "blake3", threads: int = 0, dictionaries: Sequence[Image] = (),
          prefetch: Sequence[StrPath] = (), exclude: Sequence[str] = (),
          mtime: int | None = None, owner: tuple[int, int] | None = None,
          force: bool = False, progress: Progress | bool | None = None,
          timeout: float | None = None) -> BuildResult:
    """Make an image of a directory or a tar (plain or compressed), or of several as layers, the
    lowest first.

    out           a directory, made if there is none: image.boot and blobs/ in it
    compressor    "zstd", "lz4" or "none"; level 0 is its default
    chunk_size    bytes, a power of two, 4 KiB to 16 MiB; 0: 1 MiB
    dictionaries  images whose chunks are referred to and not stored again
    mtime         seconds since 1970: later times become this one
    progress      a function of (bytes done, bytes in all), or True for tqdm's bar

    >>> import rafs
    >>> built = rafs.build(tree, directory / "out", compressor="lz4")
    >>> with rafs.open(built.bootstrap, blob_dir=directory / "out" / "blobs",
    ...                expect_digest=built.digest) as image:
    ...     image.read_text("/etc/motd")
    'Be well.\\n'
    """
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    place = os.fspath(out)
    bootstrap, blobs = os.path.join(place, "image.boot"), os.path.join(place, "blobs")
    os.makedirs(blobs, exist_ok=True)
    if os.path.exists(bootstrap) and not force:
        raise FileExistsError(17, "exists; force=True replaces it", bootstrap)
    with _Work(progress, "build") as work:
        options = _build_options(
            work, fs_version=fs_version, compressor=compressor, level=level,
            chunk_size=chunk_size, batch_size=batch_size, digest=digest, threads=threads,
            dictionaries=dictionaries, prefetch=prefetch, exclude=exclude, mtime=mtime,
            owner=owner)
        return _run_build(work, sources, options, bootstrap, blobs, force, timeout)


def _open_sink(work: _Work, bootstrap: str, blobs: str, force: bool) -> Library:
    sink = Library(lib.rafs_sink_new_directory, os.fsencode(bootstrap), os.fsencode(blobs),
                   _abi.RAFS_SINK_REPLACE if force else 0, None)
    work.stack.callback(lib.rafs_sink_free, sink.handle)
    return sink


def _finish(work: _Work, builder: Library, bootstrap: str, timeout: float | None) -> BuildResult:
    result = _abi.BuildResult(ctypes.sizeof(_abi.BuildResult))
    work.run(lambda limit: call(lib.rafs_builder_finish, builder.handle, ctypes.byref(result),
                                ctypes.byref(limit)), timeout)
    ids = []
    for index in range(result.blob_count):
        blob = _abi.BuildBlob(ctypes.sizeof(_abi.BuildBlob))
        call(lib.rafs_builder_get_blob, builder.handle, index, ctypes.byref(blob))
        ids.append(blob.id.decode())
    return BuildResult(bootstrap, tuple(ids), f"sha256:{bytes(result.bootstrap_sha256).hex()}",
                       result.entries, result.file_bytes, result.stored_bytes, result.chunks,
                       result.stored_chunks)


def _run_build(work: _Work, sources: Sequence[StrPath], options: _abi.BuildOptions,
               bootstrap: str, blobs: str, force: bool, timeout: float | None) -> BuildResult:
    sink = _open_sink(work, bootstrap, blobs, force)
    builder = Library(lib.rafs_builder_new, ctypes.byref(options), sink.handle, None)
    work.stack.callback(lib.rafs_builder_free, builder.handle)
    for number, source in enumerate(sources):
        if number:
            work.run(lambda limit: call(lib.rafs_builder_next_layer, builder.handle,
                                        ctypes.byref(limit)), timeout)
        _add_source(work, builder, source, timeout)
    return _finish(work, builder, bootstrap, timeout)


def _add_source(work: _Work, builder: Library, source: StrPath, timeout: float | None) -> None:
    name = os.fsencode(source)
    if os.path.isdir(source):
        work.run(lambda limit: call(lib.rafs_builder_add_directory, builder.handle, name,
                                    ctypes.byref(limit), path=os.fsdecode(name)), timeout)
        return
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        work.run(lambda limit: call(lib.rafs_builder_add_tar_fd, builder.handle, fd, name,
                                    ctypes.byref(limit)), timeout)
    finally:
        os.close(fd)


def merge(images: Sequence[StrPath | Image], out: StrPath, *, force: bool = False,
          dictionaries: Sequence[Image] = (), timeout: float | None = None) -> BuildResult:
    """Lay images over each other, the lowest first: a bootstrap that refers to their blobs,
    which are not touched. `out` is its path."""
    place = os.fspath(out)
    if os.path.exists(place) and not force:
        raise FileExistsError(17, "exists; force=True replaces it", place)
    with _Work(None, "merge") as work:
        opened = []
        for image in images:
            if not isinstance(image, Image):
                image = open_image(image)
                work.stack.callback(image.close)
            opened.append(image)
        if not opened:
            raise ValueError("nothing to merge")
        info = opened[0].info
        options = _build_options(
            work, fs_version=info.version, compressor="zstd", level=0,
            chunk_size=info.chunk_size, batch_size=0, digest="blake3", threads=0,
            dictionaries=dictionaries, prefetch=(), exclude=(), mtime=None, owner=None)
        sink = _open_sink(work, place, os.path.dirname(os.path.abspath(place)), force)
        builder = Library(lib.rafs_builder_new, ctypes.byref(options), sink.handle, None)
        work.stack.callback(lib.rafs_builder_free, builder.handle)
        for number, image in enumerate(opened):
            if number:
                call(lib.rafs_builder_next_layer, builder.handle, None)
            call(lib.rafs_builder_add_image, builder.handle, image._handle, None, None)
        return _finish(work, builder, place, timeout)


def _target(work: _Work, where: str, http: Http, registry: _abi.RegistryOptions) -> Any:
    options = _abi.TargetOptions(ctypes.sizeof(_abi.TargetOptions))
    options.http, options.registry = http.handle, ctypes.pointer(registry)
    handle = ctypes.c_void_p()
    work.run(lambda limit: call(lib.rafs_target_open, where.encode(), ctypes.byref(options),
                                ctypes.byref(handle), ctypes.byref(limit)), None)
    work.stack.callback(lib.rafs_target_close, handle)
    return handle


def convert(source: str, target: str, *, platform: str | None = None, all_platforms: bool = False,
            referrer: bool = False, cache: StrPath | None = None, fs_version: int = 6,
            compressor: str = "zstd", chunk_size: int = 0,
            credentials: Credentials | None = None, plain_http: bool = False,
            insecure: bool = False, ca_file: str | None = None,
            progress: Progress | bool | None = None, timeout: float | None = None) -> PushResult:
    """Make a RAFS image of an ordinary one, layer by layer, on its way from one place
    ("docker://…", "oci:DIR:TAG", "oci-archive:FILE:TAG") to another."""
    with _Work(progress, "convert") as work:
        http, registry = work.registry(credentials, plain_http, insecure, ca_file)
        build_options = _build_options(
            work, fs_version=fs_version, compressor=compressor, level=0, chunk_size=chunk_size,
            batch_size=0, digest="blake3", threads=0, dictionaries=(), prefetch=(), exclude=(),
            mtime=None, owner=None)
        build_options.progress = _abi.rafs_build_progress_fn()
        origin_options = _abi.OriginOptions(ctypes.sizeof(_abi.OriginOptions))
        origin_options.http = http.handle
        origin_options.registry = ctypes.pointer(registry)
        origin = ctypes.c_void_p()
        work.run(lambda limit: call(lib.rafs_origin_open, source.encode(),
                                    ctypes.byref(origin_options), ctypes.byref(origin),
                                    ctypes.byref(limit)), timeout)
        work.stack.callback(lib.rafs_origin_close, origin)
        to = _target(work, target, http, registry)
        options = _abi.ConvertOptions(ctypes.sizeof(_abi.ConvertOptions))
        options.flags = ((_abi.RAFS_CONVERT_ALL_PLATFORMS if all_platforms else 0)
                         | (_abi.RAFS_CONVERT_REFERRER if referrer else 0))
        options.build = ctypes.pointer(build_options)
        options.platform = platform.encode() if platform else None
        options.cache_dir = os.fsencode(cache) if cache else None
        options.progress = work.told(_abi.rafs_convert_progress_fn, "bytes_done", "bytes_total")
        result = _abi.ConvertResult(ctypes.sizeof(_abi.ConvertResult))
        work.run(lambda limit: call(lib.rafs_convert, origin, to, ctypes.byref(options),
                                    ctypes.byref(result), ctypes.byref(limit)), timeout)
        return PushResult(f"sha256:{bytes(result.digest).hex()}",
                          result.layers - result.layers_reused, result.built_bytes)


def push(bootstrap: StrPath, target: str, *, blob_dir: StrPath | None = None,
         platform: str | None = None, credentials: Credentials | None = None,
         plain_http: bool = False, insecure: bool = False, ca_file: str | None = None,
         progress: Progress | bool | None = None, timeout: float | None = None) -> PushResult:
    """Put a bootstrap and its blobs into a registry ("docker://HOST/REPO:TAG"), a layout
    ("oci:DIR:TAG") or an archive of one ("oci-archive:FILE:TAG"). blob_dir is as for open()."""
    with _Work(progress, "push") as work:
        http, registry = work.registry(credentials, plain_http, insecure, ca_file)
        to = _target(work, target, http, registry)
        options = _abi.PushOptions(ctypes.sizeof(_abi.PushOptions))
        handles = []
        for place in [blob_dir] if blob_dir is not None else beside(bootstrap):
            source = Library(lib.rafs_backend_new_directory, os.fsencode(place), None)
            work.stack.callback(source.free)
            handles.append(source.handle)
        options.backends, options.backend_count = array(handles), len(handles)
        options.platform = platform.encode() if platform else None
        options.progress = work.told(_abi.rafs_copy_progress_fn, "bytes_done", "bytes_total")
        result = _abi.CopyResult(ctypes.sizeof(_abi.CopyResult))
        work.run(lambda limit: call(lib.rafs_push, os.fsencode(bootstrap), to,
                                    ctypes.byref(options), ctypes.byref(result),
                                    ctypes.byref(limit)), timeout)
        return PushResult(f"sha256:{bytes(result.digest).hex()}", result.blobs_sent,
                          result.bytes_sent)
