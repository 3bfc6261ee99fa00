# SPDX-License-Identifier: Apache-2.0
"""What Python shows of an image is what the reference builder put into it."""
import asyncio
import gc
import hashlib
import io
import os
import stat
import threading
import tracemalloc

import pytest

import rafs

from conftest import GOLDEN, boot_of, in_threads, listing, open_variant, variants

KINDS = {"dir": stat.S_IFDIR, "reg": stat.S_IFREG, "lnk": stat.S_IFLNK, "fifo": stat.S_IFIFO,
         "sock": stat.S_IFSOCK, "chr": stat.S_IFCHR, "blk": stat.S_IFBLK}


def name_of(row):
    """The listing has a character for each byte."""
    return os.fsdecode(row["path"].encode("latin-1"))


@pytest.mark.parametrize("variant", variants())
def test_golden(variant):
    with open_variant(variant) as image:
        inodes = {}
        for row in listing(variant):
            path = name_of(row)
            found = image.lstat(path)
            assert stat.S_IMODE(found.st_mode) == row["mode"], path
            assert stat.S_IFMT(found.st_mode) == KINDS[row["type"]], path
            assert (found.st_uid, found.st_gid) == (row["uid"], row["gid"]), path
            if row["type"] != "dir":
                assert found.st_nlink == row["nlink"], path
            if "mtime" in row:
                assert found.st_mtime_ns // 1_000_000_000 == row["mtime"], path
            if row["type"] == "reg":
                data = image.read_bytes(path)
                assert len(data) == row["size"] == found.st_size
                assert hashlib.sha256(data).hexdigest() == row["sha256"], path
            if row["type"] == "lnk":
                assert os.fsencode(image.readlink(path)) == row["target"].encode("latin-1")
            expected = {name: bytes.fromhex(value)
                        for name, value in row.get("xattrs", {}).items()}
            assert image.xattrs(path, follow_symlinks=False) == expected, path
            if "hardlink_of" in row:
                assert inodes.setdefault(row["hardlink_of"], found.st_ino) == found.st_ino
        walked = {"/"}
        for top, folders, files in image.walk():
            walked.update(os.path.join(top, name) for name in folders + files)
        assert walked == {name_of(row) for row in listing(variant)}


def test_files_behave_as_files(image):
    whole = image.read_bytes("/data/large")
    with image.open("/data/large", "rb") as file:
        assert file.seek(-10, io.SEEK_END) == len(whole) - 10
        assert file.read() == whole[-10:]
        assert file.read(1) == b""
        assert file.seek(1000) == 1000
        room = bytearray(70000)
        assert file.readinto(room) == 70000
        assert bytes(room) == whole[1000:71000]
        file.seek(len(whole) + 5)
        assert file.read() == b""
        assert not file.writable()
        with pytest.raises(ValueError):
            file.seek(-1)
    with pytest.raises(ValueError):
        file.read()
    with image.open("/data/text", encoding="latin-1") as text:
        assert text.read(5).encode("latin-1") == image.read_bytes("/data/text", 0, 5)
    assert image.read_bytes("/data/large", 5, 7) == whole[5:12]
    assert image.read_bytes("/data/large", len(whole)) == b""
    for mode in ("w", "r+", "a", "x", ""):
        with pytest.raises(ValueError):
            image.open("/data/text", mode)


def test_reads_of_every_length(image):
    whole = image.read_bytes("/data/large")
    size = len(whole)
    with image.open("/data/large", "rb", buffering=0) as raw:
        for length in (0, 1, 2, 4095, 65537, size - 1, size, size + 1, 1 << 62):
            for offset in (0, 1, size - 1, size, size + 1):
                expected = whole[offset:offset + length]
                raw.seek(offset)
                assert raw.read(length) == expected
                assert raw.tell() == offset + len(expected)
                assert image.read_bytes("/data/large", offset, length) == expected
        raw.seek(3)
        assert raw.read(None) == whole[3:] and raw.read() == b"" and raw.readall() == b""
        room = bytearray(b"-" * 40)
        raw.seek(-10, io.SEEK_END)
        assert raw.readinto(memoryview(room)[5:25]) == 10
        assert room == b"-" * 5 + whole[-10:] + b"-" * 25
        with pytest.raises(TypeError):
            raw.readinto(b"not to be written to")
        with pytest.raises(TypeError):
            raw.readinto(memoryview(bytearray(20))[::2])
    assert image.read_bytes("/data/empty") == b""


def test_names_of_every_kind(tmp_path):
    """More than one call brings, in directories of other sizes too."""
    names = [b"caf\xc3\xa9", b"no utf-8 \xff\xe2\x82", b"\n", b"n" * 255]
    names += [b"%05d-" % i + b"x" * (i % 240) for i in range(1500)]
    folder = os.fsencode(tmp_path / "tree" / "many")
    os.makedirs(folder)
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(name)
    for name in (b"one", b"none"):
        os.mkdir(os.path.join(folder, name))
    os.symlink(b"one", os.path.join(folder, b"link"))
    expected = sorted(os.listdir(folder))
    built = rafs.build(tmp_path / "tree", tmp_path / "image")
    with rafs.open(built.bootstrap) as image:
        assert [os.fsencode(name) for name in image.listdir("/many")] == expected
        entries = list(image.scandir("/many/"))
        assert [os.fsencode(entry.name) for entry in entries] == expected
        for entry in entries:
            status = os.lstat(os.path.join(folder, os.fsencode(entry.name)))
            assert entry.path == "/many/" + entry.name
            assert entry.stat(follow_symlinks=False) == image.lstat(entry.path) == image.lstat(entry)
            assert entry.stat(follow_symlinks=False).st_mode == status.st_mode
            if not entry.is_dir(follow_symlinks=False):
                assert entry.stat(follow_symlinks=False).st_size == status.st_size
            assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(status.st_mode)
            assert entry.is_file() == stat.S_ISREG(status.st_mode)
            assert entry.is_symlink() == stat.S_ISLNK(status.st_mode)
            assert entry.inode() == image.lstat(entry.path).st_ino
        walk = list(image.walk("/"))
        assert [step[0] for step in walk] == ["/", "/many", "/many/none", "/many/one"]
        assert [os.fsencode(name) for name in walk[1][2]] == [
            name for name in expected if name not in (b"one", b"none", b"link")]
        assert walk[1][1] == ["link", "none", "one"]
        pruned = []
        for place, folders, _ in image.walk():
            pruned.append(place)
            folders[:] = [name for name in folders if name != "none"]
        assert pruned == ["/", "/many", "/many/one"]


def test_errors_are_told_apart(image):
    with pytest.raises(FileNotFoundError) as caught:
        image.stat("/no/such")
    assert isinstance(caught.value, rafs.NotFound) and caught.value.filename == "/no/such"
    assert caught.value.code == "RAFS_E_NOENT" and caught.value.stage == "lookup"
    with pytest.raises(NotADirectoryError):
        image.listdir("/data/text")
    with pytest.raises(IsADirectoryError):
        image.open("/data")
    with pytest.raises(OSError, match="link"):
        image.stat("/links/loop")
    with pytest.raises(rafs.CorruptError):
        rafs.open(b"nonsense" * 1000)
    with pytest.raises(rafs.CorruptError):
        open_variant("v6-zstd", expect_digest="sha256:" + "1" * 64)
    with pytest.raises(ValueError):
        open_variant("v6-zstd", expect_digest="md5:1")
    with pytest.raises(rafs.NotFound) as caught:
        rafs.open("/no/such/image")
    assert isinstance(caught.value, FileNotFoundError) and "/no/such/image" in str(caught.value)
    with rafs.open(boot_of("v6-zstd"), blob_dir="/") as alone, pytest.raises(rafs.BackendError):
        alone.read_bytes("/data/large")


def test_a_closed_image_is_an_error(image):
    image.close()
    image.close()
    for use in (lambda: image.stat("/"), lambda: image.listdir(), lambda: image.info,
                lambda: image.read_bytes("/data/text"), lambda: image.check()):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert image.closed


class Blobs:
    """A backend in Python."""

    def __init__(self, variant, change=None):
        self.folder, self.change, self.calls = os.path.join(GOLDEN, variant, "blobs"), change, 0

    def read_range(self, blob_id, offset, length):
        self.calls += 1
        if self.change:
            return self.change(blob_id, offset, length)
        with open(os.path.join(self.folder, blob_id), "rb") as file:
            file.seek(offset)
            return file.read(length)


def test_backends_in_python():
    blobs = Blobs("v6-zstd")
    with rafs.open(boot_of("v6-zstd"), backends=[blobs]) as image:
        row = next(row for row in listing("v6-zstd") if row["path"] == "/data/large")
        assert hashlib.sha256(image.read_bytes("/data/large")).hexdigest() == row["sha256"]
    assert blobs.calls > 0


def test_exceptions_of_callbacks_come_out():
    def fails(*_):
        raise ZeroDivisionError("in the callback")

    with rafs.open(boot_of("v6-zstd"), backends=[Blobs("v6-zstd", fails)]) as image:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError, match="in the callback"):
                image.read_bytes("/data/large")


def test_lies_of_callbacks_are_found_out():
    with rafs.open(boot_of("v6-zstd"),
                   backends=[Blobs("v6-zstd", lambda b, o, n: bytes(n))]) as image:
        with pytest.raises(rafs.CorruptError) as caught:
            image.read_bytes("/data/large")
        assert caught.value.object.startswith("blob ")


def test_two_sources_make_up_for_each_other():
    good = Blobs("v6-zstd")
    with rafs.open(boot_of("v6-zstd"),
                   backends=[Blobs("v6-zstd", lambda b, o, n: bytes(n)), good]) as image:
        assert len(image.read_bytes("/data/large")) == image.stat("/data/large").st_size


def test_timeouts():
    import time
    began = threading.Event()
    over = threading.Event()

    def slow(*_):
        began.set()
        over.wait(10)
        raise TimeoutError

    with rafs.open(boot_of("v6-zstd"), backends=[Blobs("v6-zstd", slow)], timeout=0.2) as image:
        start = time.monotonic()
        threading.Timer(0.5, over.set).start()
        with pytest.raises(TimeoutError):
            image.read_bytes("/data/large")
        assert time.monotonic() - start < 8 and began.is_set()


def test_threads_share_an_image(image):
    rows = [row for row in listing("v6-zstd") if row["type"] == "reg"]
    wrong = []

    def read():
        for row in rows:
            if hashlib.sha256(image.read_bytes(name_of(row))).hexdigest() != row["sha256"]:
                wrong.append(row["path"])

    in_threads(read)
    assert not wrong


def test_asyncio(image):
    async def both():
        return await asyncio.gather(image.aread("/data/large"), image.aread("/data/text", 3, 4))

    large, part = asyncio.run(both())
    assert large == image.read_bytes("/data/large") and part == image.read_bytes("/data/text", 3, 4)


def test_check_and_facts(image):
    result = image.check()
    assert result.good and result.chunks > 0
    info = image.info
    assert info.version == 6 and len(info.blobs) == 1 and not info.pinned
    chunks = list(image.chunks("/data/large"))
    assert chunks[0].file_offset == 0
    assert sum(chunk.length for chunk in chunks) == image.stat("/data/large").st_size
    assert image.stats["chunks_refused"] == 0
    with rafs.open(boot_of("v6-zstd"),
                   backends=[Blobs("v6-zstd", lambda b, o, n: bytes(n))]) as bad:
        found = bad.check()
        assert not found.good and found.findings[0].code == "RAFS_E_CORRUPT"


def test_glob_and_paths(image):
    assert list(image.glob("/data/t*")) == ["/data/text", "/data/twin"]
    assert "/deep/a/leaf" in list(image.glob("**/leaf"))
    root = rafs.Path(image)
    assert (root / "data" / "text").read_bytes() == image.read_bytes("/data/text")
    assert {path.name for path in (root / "data").iterdir()} == set(image.listdir("/data"))
    assert rafs.Path(image, "links/short").is_symlink()
    assert rafs.Path(image, "/data").parent == root and (root / "data").is_dir()
    assert not (root / "no").exists()


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_nothing_leaks():
    def once():
        with open_variant("v6-zstd") as image:
            image.read_bytes("/data/text")
            list(image.walk())

    for _ in range(20):
        once()
    gc.collect()
    files, threads = open_files(), threading.active_count()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        once()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert open_files() == files and threading.active_count() <= threads + 1
    assert grown < 200_000


def test_images_that_nobody_closes():
    files = open_files()
    for _ in range(50):
        open_variant("v6-zstd").listdir()
    gc.collect()
    assert open_files() <= files
