# SPDX-License-Identifier: Apache-2.0
"""Making images: of directories, archives, entries of a program, layers, and other images."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, Union

from . import _abi
from ._entries import BlobsInMemory, Entry, Memory, Stream, _chunks, add_entry
from ._library import call, lib
from ._sources import Credentials, Library, array
from ._types import StrPath, encoded, number, place_of
from ._work import Progress, Work
from .image import Image
from .image import open as open_image
from .trace import Trace

_COMPRESSORS = {"zstd": _abi.RAFS_STORE_ZSTD, "lz4": _abi.RAFS_STORE_LZ4,
                "none": _abi.RAFS_STORE_NONE}
_DIGESTS = {"blake3": _abi.RAFS_HASH_BLAKE3, "sha256": _abi.RAFS_HASH_SHA256}
_DEDUP = {"chunk": _abi.RAFS_DEDUP_CHUNK, "file": _abi.RAFS_DEDUP_FILE,
          "none": _abi.RAFS_DEDUP_NONE}

_UINT32 = (1 << 32) - 1

#: What build() takes for a layer.
Source = Union[str, "os.PathLike[str]", IO[bytes], Image, Iterable[Entry]]


@dataclass(frozen=True)
class BuildResult:
    """What was built."""

    bootstrap: str | bytes  #: path; of an image in memory its bytes
    blobs: tuple[str, ...]  #: ids in the order of the image's table
    digest: str  #: "sha256:HEX" of the bootstrap
    entries: int  #: names
    file_bytes: int
    stored_bytes: int  #: of blobs that were written
    chunks: int
    stored_chunks: int
    skipped: int  #: entries that no image can hold, with skip_unsupported
    blob_dir: str | None = None
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)  #: blobs in memory

    def open(self, **options: Any) -> Image:
        """The image, pinned to its digest; options as for rafs.open()."""
        options.setdefault("expect_digest", self.digest)
        if isinstance(self.bootstrap, bytes):
            options.setdefault("backends", [BlobsInMemory(self.data)])
        elif self.blob_dir is not None:
            options.setdefault("blob_dir", self.blob_dir)
        return open_image(self.bootstrap, **options)


@dataclass
class _Settings:
    """The options of build() that are the library's."""

    fs_version: int = 6
    compressor: str = "zstd"
    level: int = 0
    chunk_size: int = 0
    batch_size: int = 0
    digest: str = "blake3"
    dedup: str = "chunk"
    threads: int = 0
    dictionaries: Sequence[Image | StrPath] = ()
    store_index: StrPath | None = None
    prefetch: Sequence[str] = ()
    exclude: Sequence[str] = ()
    mtime: int | None = None
    all_mtimes: int | None = None
    owner: tuple[int, int] | None = None
    uid_map: Sequence[tuple[int, int, int]] = ()
    gid_map: Sequence[tuple[int, int, int]] = ()
    xattrs: bool = True
    owners: bool = True
    skip_unsupported: bool = False
    one_file_system: bool = False
    inline_bootstrap: bool = False
    toc: bool = False
    blob_per_layer: bool = False


def _choice(value: str, of: dict[str, int], what: str) -> int:
    if value not in of:
        raise ValueError(f"{what} {value!r}: one of {', '.join(of)}")
    return of[value]


def _maps(given: Sequence[tuple[int, int, int]], what: str) -> Any:
    maps = [_abi.IdMap(*(number(one, what, _UINT32) for one in entry)) for entry in given]
    return (_abi.IdMap * max(1, len(maps)))(*maps)


def _texts(values: Sequence[str], what: str) -> Any:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{what} is a list of texts, not one")
    texts = [place_of(value, what) for value in values]
    return (ctypes.c_char_p * max(1, len(texts)))(*texts)


def _options(work: Work, given: _Settings) -> _abi.BuildOptions:
    """A `rafs_build_options`; what it borrows is kept by work."""
    options = _abi.BuildOptions()
    lib.rafs_build_options_init(ctypes.byref(options))
    options.version = number(given.fs_version, "fs_version", _UINT32)
    options.compressor = _choice(given.compressor, _COMPRESSORS, "compressor")
    options.level = number(given.level, "level", (1 << 31) - 1, -(1 << 31))
    options.digest = _choice(given.digest, _DIGESTS, "digest")
    options.dedup = _choice(given.dedup, _DEDUP, "dedup")
    for name in ("chunk_size", "batch_size", "threads"):
        setattr(options, name, number(getattr(given, name), name, _UINT32))
    options.flags |= sum(flag for wanted, flag in (
        (not given.xattrs, _abi.RAFS_BUILD_NO_XATTRS),
        (not given.owners, _abi.RAFS_BUILD_NO_OWNERS),
        (given.skip_unsupported, _abi.RAFS_BUILD_SKIP_UNSUPPORTED),
        (given.one_file_system, _abi.RAFS_BUILD_ONE_FILE_SYSTEM),
        (given.inline_bootstrap, _abi.RAFS_BUILD_INLINE_BOOTSTRAP),
        (given.toc, _abi.RAFS_BUILD_TOC),
        (given.blob_per_layer, _abi.RAFS_BUILD_BLOB_PER_LAYER),
        (given.owner is not None, _abi.RAFS_BUILD_OWNER)) if wanted)
    if given.all_mtimes is not None or given.mtime is not None:
        latest = given.all_mtimes if given.all_mtimes is not None else given.mtime
        options.flags |= (_abi.RAFS_BUILD_MTIME_MAX if given.all_mtimes is None
                          else _abi.RAFS_BUILD_MTIME_ALL)
        options.mtime_max = number(latest, "mtime", (1 << 63) - 1, -(1 << 63))
    if given.owner is not None:
        uid, gid = given.owner
        options.owner_uid = number(uid, "owner", _UINT32)
        options.owner_gid = number(gid, "owner", _UINT32)
    options.uid_maps, options.uid_map_count = _maps(given.uid_map, "uid_map"), len(given.uid_map)
    options.gid_maps, options.gid_map_count = _maps(given.gid_map, "gid_map"), len(given.gid_map)
    images = [_opened(work, image) for image in given.dictionaries]
    options.dictionaries = array([image._handle for image in images])
    options.dictionary_count = len(images)
    if given.store_index is not None:
        options.store_index = place_of(given.store_index, "store_index")
    options.prefetch = _texts(given.prefetch, "prefetch")
    options.prefetch_count = len(given.prefetch)
    options.exclude, options.exclude_count = _texts(given.exclude, "exclude"), len(given.exclude)
    options.progress = work.told(_abi.rafs_build_progress_fn, "bytes", "bytes_total")
    work.dictionaries = images
    work.kept.append(options)
    return options


def _opened(work: Work, image: Image | StrPath) -> Image:
    """An open image; one that a path names is closed when the work is done."""
    if not isinstance(image, Image):
        image = open_image(image)
        work.stack.callback(image.close)
    image.stat("/")  # closed ones are refused here
    work.kept.append(image)
    return image


def _using(images: Iterable[Image], work: Callable[[], None]) -> None:
    """A call that uses them: whoever closes one meanwhile, it is freed afterwards."""
    with ExitStack() as stack:
        for image in images:
            handles = image._opened.handles
            stack.enter_context(handles.guard())
            handles.check()
        work()


def build(source: Source | Sequence[Source], out: StrPath | None, *, fs_version: int = 6,
          compressor: str = "zstd", level: int = 0, chunk_size: int = 0, batch_size: int = 0,
          digest: str = "blake3", dedup: str = "chunk", threads: int = 0,
          dictionaries: Sequence[Image | StrPath] = (), store_index: StrPath | None = None,
          prefetch: Sequence[str] = (), exclude: Sequence[str] = (), mtime: int | None = None,
          all_mtimes: int | None = None, owner: tuple[int, int] | None = None,
          uid_map: Sequence[tuple[int, int, int]] = (),
          gid_map: Sequence[tuple[int, int, int]] = (), xattrs: bool = True, owners: bool = True,
          skip_unsupported: bool = False, one_file_system: bool = False,
          inline_bootstrap: bool = False, toc: bool = False, blob_per_layer: bool = False,
          force: bool = False, platform: str | None = None,
          credentials: Credentials | None = None, plain_http: bool = False,
          insecure: bool = False, ca_file: str | None = None,
          progress: Progress | bool | None = None, timeout: float | None = None) -> BuildResult:
    """Make an image of a directory; of a tar, plain or compressed, in a file or a file object; of
    an ordinary image ("docker://…", "oci:DIR:TAG", "oci-archive:FILE:TAG"); of `rafs.Entry`s; or,
    given a list, of several of these as layers, the lowest first.

    out           a directory, made if there is none: image.boot and blobs/ in it; None: memory
    compressor    "zstd", "lz4" or "none"; level 0 is its default
    chunk_size    bytes, a power of two, 4 KiB to 16 MiB; 0: 1 MiB
    batch_size    bytes: smaller files are compressed together up to this; 0: not
    digest        "blake3" or "sha256", of chunks
    dedup         "chunk", "file" or "none": what is stored once only
    dictionaries  images whose chunks are referred to and not stored again
    store_index   directory of an index: what earlier builds with it stored is referred to
    prefetch      paths that come first in the blob and are read ahead
    exclude       patterns of paths to leave out, as for fnmatch
    mtime         seconds since 1970: later times become this one; all_mtimes: all do
    owner         (uid, gid) of everything; owners=False: 0 of everything
    uid_map       (first id there, first id in the image, count): an id in none is an error
    force         replace a bootstrap that is there
    progress      a function of (bytes done, bytes in all), or True for tqdm's bar

    An exception in a callback or in the content of an entry ends the build and comes out; then
    nothing is left of it.

    >>> import rafs
    >>> built = rafs.build(tree, directory / "out", compressor="lz4")
    >>> with built.open() as image:
    ...     image.read_text("/etc/motd")
    'Be well.\\n'
    >>> entries = [rafs.Entry("etc/motd", b"Hello.\\n"), rafs.Entry("bin/sh", target="bash")]
    >>> with rafs.build(entries, None).open() as image:
    ...     image.readlink("/bin/sh"), image.read_text("/etc/motd")
    ('bash', 'Hello.\\n')
    """
    given = {name: value for name, value in locals().items()
             if name in _Settings.__dataclass_fields__}
    with _place(out, force) as place, Work(progress, "build") as work:
        options = _options(work, _Settings(**given))
        bootstrap = None if place is None else os.path.join(place, "image.boot")
        maker = _Maker(work, options, bootstrap,
                       None if place is None else os.path.join(place, "blobs"), force, timeout)
        maker.registry = (credentials, plain_http, insecure, ca_file, platform)
        for number, layer in enumerate(_layers(source)):
            if number:
                maker.next_layer()
            maker.add(layer)
        return maker.finish()


def _layers(source: Any) -> Iterator[Any]:
    """A source, or each of several. A list of entries is one."""
    if isinstance(source, (list, tuple)):
        if not source:
            raise ValueError("there is nothing to build an image of")
        if not isinstance(source[0], Entry):
            yield from source
            return
    yield source


@contextmanager
def _place(out: StrPath | None, force: bool) -> Iterator[str | None]:
    """The directory of the result; what was made for it is gone after a failure."""
    if out is None:
        yield None
        return
    place = os.fsdecode(place_of(out, "out"))
    bootstrap = os.path.join(place, "image.boot")
    if os.path.lexists(bootstrap) and not force:
        raise FileExistsError(17, "exists; force=True replaces it", bootstrap)
    there = [folder for folder in (place, os.path.join(place, "blobs")) if os.path.isdir(folder)]
    try:
        yield place
    except BaseException:
        for folder in (os.path.join(place, "blobs"), place):
            if folder not in there:
                with suppress(OSError):
                    os.rmdir(folder)
        raise


class _Maker:
    """A builder of the library and where it puts things."""

    def __init__(self, work: Work, options: _abi.BuildOptions, bootstrap: str | None,
                 blobs: str | None, force: bool, timeout: float | None) -> None:
        self.work, self.timeout = work, timeout
        self.bootstrap, self.blobs, self.memory = bootstrap, blobs, None
        self.registry: tuple[Any, ...] = (None, False, False, None, None)
        self.sink: Any
        if bootstrap is None:
            self.sink = self.memory = Memory(work.keeper)
        else:
            self.sink = Library(lib.rafs_sink_new_directory, place_of(bootstrap, "out"),
                                place_of(blobs, "blobs"),
                                _abi.RAFS_SINK_REPLACE if force else 0, None)
        work.stack.callback(lib.rafs_sink_free, self.sink.handle)
        self.builder = ctypes.c_void_p()
        work.stack.callback(lib.rafs_builder_free, self.builder)  # NULL until it is there
        _using(work.dictionaries, lambda: call(
            lib.rafs_builder_new, ctypes.byref(options), self.sink.handle, None,
            ctypes.byref(self.builder)))

    def _run(self, function: Any, *arguments: Any, path: str | None = None,
             image: Image | None = None) -> None:
        images = [] if image is None else [image]
        self.work.run(lambda limit: _using(images, lambda: call(
            function, self.builder, *arguments, ctypes.byref(limit), path=path)), self.timeout)

    def next_layer(self) -> None:
        """What comes now lies over what came before."""
        self._run(lib.rafs_builder_next_layer)

    def add(self, source: Any) -> None:
        """Take in a layer, by its kind."""
        if isinstance(source, Image):
            _opened(self.work, source)
            self._run(lib.rafs_builder_add_image, source._handle, None, image=source)
        elif isinstance(source, (str, os.PathLike)):
            self._add_named(os.fspath(source))
        elif hasattr(source, "read"):
            self._add_file(source)
        elif isinstance(source, Iterable) and not isinstance(source, (bytes, Mapping)):
            self._add_entries(source)
        else:
            raise TypeError("an image is made of a path, a file object, a reference, an image or "
                            f"entries, not {type(source).__name__}")

    def _add_named(self, name: str) -> None:
        place = place_of(name, "source")
        text = os.fsdecode(place)
        if text.startswith(("docker://", "oci:", "oci-archive:")):
            *how, platform = self.registry
            http, registry = self.work.registry(*how)
            origin = self.work.origin(text, http, registry, self.timeout)
            self._run(lib.rafs_builder_add_oci, origin,
                      encoded(platform, "platform") if platform else None, path=text)
        elif os.path.isdir(text):
            self._run(lib.rafs_builder_add_directory, place, path=text)
        else:
            fd = os.open(text, os.O_RDONLY | os.O_CLOEXEC)
            self.work.stack.callback(os.close, fd)  # not while a call that was left uses it
            self._run(lib.rafs_builder_add_tar_fd, fd, place)

    def _add_file(self, file: Any) -> None:
        name = getattr(file, "name", None)
        text = name if isinstance(name, str) else "a file object"
        stream = Stream(_chunks(file), self.work.keeper, text)
        self.work.run(lambda limit: call(
            lib.rafs_builder_add_tar, self.builder, stream.callback, None,
            text.encode("utf-8", "replace").replace(b"\0", b"?"), ctypes.byref(limit)),
            self.timeout)

    def _add_entries(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.work.run(lambda limit, entry=entry: add_entry(  # type: ignore[misc]
                self.builder, entry, self.work.keeper, limit), self.timeout)

    def finish(self) -> BuildResult:
        """Write what is left, and tell what it came to."""
        result = _abi.BuildResult(ctypes.sizeof(_abi.BuildResult))
        self._run(lib.rafs_builder_finish, ctypes.byref(result))
        ids = []
        for index in range(result.blob_count):
            blob = _abi.BuildBlob(ctypes.sizeof(_abi.BuildBlob))
            call(lib.rafs_builder_get_blob, self.builder, index, ctypes.byref(blob))
            ids.append(blob.id.decode())
        if self.work.show:
            self.work.show(result.file_bytes, result.file_bytes)
        kept = self.memory
        return BuildResult(kept.bootstrap if kept else self.bootstrap or "", tuple(ids),
                           f"sha256:{bytes(result.bootstrap_sha256).hex()}", result.entries,
                           result.file_bytes, result.stored_bytes, result.chunks,
                           result.stored_chunks, result.skipped, self.blobs,
                           kept.blobs if kept else {})


def merge(images: Iterable[StrPath | Image], out: StrPath, *, force: bool = False,
          dictionaries: Sequence[Image | StrPath] = (), prefetch: Sequence[str] = (),
          progress: Progress | bool | None = None,
          timeout: float | None = None) -> BuildResult:
    """Lay images over each other, the lowest first: a bootstrap that refers to their blobs,
    which are not touched. `out` is its path.

    >>> import rafs
    >>> above = rafs.build([rafs.Entry("etc/motd", b"Changed.\\n")], directory / "above")
    >>> merged = rafs.merge([bootstrap, above.bootstrap], directory / "merged.boot")
    >>> with rafs.open(merged.bootstrap, backends=[blobs, directory / "above" / "blobs"]) as image:
    ...     image.read_text("/etc/motd"), image.read_text("/etc/os-release")
    ('Changed.\\n', 'NAME=Example\\n')
    """
    with Work(progress, "merge") as work:
        opened = [_opened(work, image) for image in images]
        if not opened:
            raise ValueError("there is nothing to merge")
        maker = _remake(work, opened[0], out, force, timeout, dictionaries=dictionaries,
                        prefetch=prefetch)
        for number, image in enumerate(opened):
            if number:
                maker.next_layer()
            maker.add(image)
        return maker.finish()


def optimize(image: StrPath | Image, trace: Trace, out: StrPath, *, compressor: str = "zstd",
             force: bool = False, progress: Progress | bool | None = None,
             timeout: float | None = None) -> BuildResult:
    """An image anew, with the chunks that a trace names stored again, in its order, in a blob of
    their own: what a run needed, the next one gets in a few large requests. `out` is the path of
    its bootstrap; the blob lies beside it.

    >>> import rafs
    >>> image.trace_start()
    >>> _ = image.read_bytes("/data/table")
    >>> built = rafs.optimize(image, image.trace(), directory / "fast.boot")
    >>> len(built.blobs)
    2
    """
    with Work(progress, "optimize") as work:
        opened = _opened(work, image)
        if not isinstance(trace, Trace):
            raise TypeError(f"a trace is a rafs.Trace, not {type(trace).__name__}")
        work.kept.append(trace)
        maker = _remake(work, opened, out, force, timeout, compressor=compressor)
        maker._run(lib.rafs_builder_add_optimized, opened._handle, trace._handle,
                   image=opened)
        return maker.finish()


def _remake(work: Work, like: Image, out: StrPath, force: bool, timeout: float | None,
            **more: Any) -> _Maker:
    """A builder for a bootstrap that refers to the blobs of others."""
    place = os.fsdecode(place_of(out, "out"))
    if os.path.lexists(place) and not force:
        raise FileExistsError(17, "exists; force=True replaces it", place)
    info = like.info
    settings = _Settings(fs_version=info.version, chunk_size=info.chunk_size, **more)
    if info.version == 5:
        settings.digest, settings.compressor = info.digest, info.compressor
    return _Maker(work, _options(work, settings), place,
                  os.path.dirname(os.path.abspath(place)), force, timeout)


__all__ = ["BuildResult", "Entry", "Progress", "Source", "build", "merge", "optimize"]
