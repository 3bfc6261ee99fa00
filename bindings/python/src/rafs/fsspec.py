# SPDX-License-Identifier: Apache-2.0
"""Images as file systems for fsspec: `rafs://` and chains of URLs.

    fsspec.filesystem("rafs", fo="docker://registry.example.org/data:1")
    fsspec.open("rafs://tables/a.parquet::file:///images/data.boot", rafs={"blob_dir": "…"})
    pandas.read_parquet("rafs://tables/a.parquet",
                        storage_options={"fo": "docker://registry.example.org/data:1"})
"""
from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from fsspec.spec import AbstractFileSystem

from .errors import RafsError
from .image import Image, Stat
from .image import open as open_image

_TYPES = {0o040000: "directory", 0o100000: "file", 0o120000: "link"}


class RafsFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """What an image holds.

    fo     what rafs.open() takes: a path, a reference, or an open rafs.Image
    more   options of rafs.open(): blob_dir, expect_digest, credentials, cache, timeout …
    """

    protocol = "rafs"
    root_marker = ""
    cachable = True

    def __init__(self, fo: Any = "", *, target_protocol: str | None = None,
                 target_options: dict[str, Any] | None = None, mode: str = "r",
                 **options: Any) -> None:
        storage = {name: options.pop(name) for name in list(options)
                   if name in ("skip_instance_cache", "use_listings_cache", "asynchronous",
                               "loop", "batch_size", "listings_expiry_time", "max_paths")}
        super().__init__(self, **storage)
        if mode != "r":
            raise ValueError("an image can only be read")
        if isinstance(fo, Image):
            self.image = fo
            return
        if target_protocol in ("http", "https") and "://" not in str(fo):
            fo = f"{target_protocol}://{fo}"
        self.image = open_image(fo, **options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped.lstrip("/") if isinstance(stripped, str) else stripped

    def _entry(self, name: str, status: Stat) -> dict[str, Any]:
        return {"name": name, "size": status.st_size,
                "type": _TYPES.get(status.st_mode & 0o170000, "other"), "mode": status.st_mode,
                "uid": status.st_uid, "gid": status.st_gid, "mtime": status.st_mtime,
                "ino": status.st_ino, "nlink": status.st_nlink,
                "islink": status.st_mode & 0o170000 == 0o120000}

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Facts about a path; links are followed."""
        name = self._strip_protocol(path)
        return self._entry(name, self.image.stat("/" + name))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        """Names in a directory, or the file itself."""
        name = self._strip_protocol(path)
        try:
            entries = [self._entry(entry.path.lstrip("/"), entry.stat())
                       for entry in self.image.scandir("/" + name)]
        except NotADirectoryError:
            entries = [self.info(name)]
        for entry in entries:
            if entry["type"] == "link":  # what it leads to is what people want to read
                try:
                    target = self.image.stat("/" + entry["name"])
                    entry["type"] = _TYPES.get(target.st_mode & 0o170000, "other")
                    entry["size"] = target.st_size
                except (RafsError, OSError):
                    pass
        return entries if detail else [entry["name"] for entry in entries]

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Is there something?"""
        return self.image.exists("/" + self._strip_protocol(path))

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None,
              **kwargs: Any) -> io.BufferedReader:
        if mode != "rb":
            raise ValueError("an image can only be read")
        reader: io.BufferedReader = self.image.open(
            "/" + self._strip_protocol(path), "rb",
            buffering=block_size if block_size and block_size > 1 else -1)
        return reader

    def cat_file(self, path: str, start: int | None = None, end: int | None = None,
                 **kwargs: Any) -> bytes:
        """A file, or a part of it; negative positions count from its end."""
        name = "/" + self._strip_protocol(path)
        size = self.image.stat(name).st_size
        first, last = _range(start, end, size)
        return self.image.read_bytes(name, first, last - first)

    def cat_ranges(self, paths: Sequence[str], starts: Any, ends: Any,
                   max_gap: int | None = None, on_error: str = "return",
                   **kwargs: Any) -> list[Any]:
        """Parts of files. What is not cached of all of them is fetched first, together and in
        few requests; then each is read."""
        if not isinstance(starts, (list, tuple)):
            starts = [starts] * len(paths)
        if not isinstance(ends, (list, tuple)):
            ends = [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("paths, starts and ends are of different lengths")
        wanted = []
        for path, start, end in zip(paths, starts, ends):
            try:
                name = "/" + self._strip_protocol(path)
                first, last = _range(start, end, self.image.stat(name).st_size)
                if last > first:
                    wanted.append((name, first, last - first))
            except (RafsError, OSError):
                pass  # it is reported below
        if len(wanted) > 1:
            self.image.prefetch(ranges=wanted, ignore_errors=True)
        out: list[Any] = []
        for path, start, end in zip(paths, starts, ends):
            try:
                out.append(self.cat_file(path, start, end))
            except Exception as error:
                if on_error == "raise":
                    raise
                out.append(error)
        return out

    def created(self, path: str) -> Any:
        """Not known to images."""
        raise NotImplementedError("images keep no time of creation")

    def modified(self, path: str) -> Any:
        """When it was changed."""
        import datetime
        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], datetime.timezone.utc)

    def close(self) -> None:
        """Close the image."""
        self.image.close()


def _range(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    first = 0 if start is None else start if start >= 0 else max(0, size + start)
    last = size if end is None else end if end >= 0 else max(0, size + end)
    return min(first, size), max(min(first, size), min(last, size))


__all__ = ["RafsFileSystem"]
