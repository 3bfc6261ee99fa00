# SPDX-License-Identifier: Apache-2.0
"""Files of an image beside those that open() gives of the same content."""
import gc
import io
import itertools
import mmap
import os
import pickle
import random
import tempfile

import pytest

import rafs

from conftest import boot_of


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A directory, and the image made of it."""
    place = tmp_path_factory.mktemp("files")
    tree = place / "tree"
    tree.mkdir()
    (tree / "lines").write_bytes("one\ntwo\r\nthree\rfour\n\n\r\n\u00fcml\u00e4ut\r\nlast".encode())
    (tree / "bytes").write_bytes(random.Random(1).randbytes(3_000_000))
    (tree / "empty").write_bytes(b"")
    with open(tree / "sparse", "wb") as file:
        file.truncate(5_000_000)
        file.seek(2_000_000)
        file.write(b"in the middle")
    with rafs.open(rafs.build(tree, place / "image").bootstrap) as image:
        yield tree, image


def test_any_sequence_of_calls(both):
    tree, image = both
    dice = random.Random(2)
    for name, buffering in itertools.product(os.listdir(tree), (0, -1, 100)):
        with open(tree / name, "rb", buffering) as theirs, \
                image.open(name, "rb", buffering) as ours:
            size = os.path.getsize(tree / name)
            for _ in range(150):
                what = dice.choice(["read", "seek", "end", "here", "into", "line", "tell", "peek"])
                n = dice.choice([0, 1, 7, 4096, 131072, 1 << 20, dice.randrange(size + 10)])
                if what == "read":
                    assert ours.read(n) == theirs.read(n)
                elif what == "seek":
                    assert ours.seek(n) == theirs.seek(n)
                elif what == "end":
                    assert ours.seek(-min(n, size), 2) == theirs.seek(-min(n, size), 2)
                elif what == "here":
                    assert ours.seek(n // 2, 1) == theirs.seek(n // 2, 1)
                elif what == "into":
                    one, other = bytearray(n), bytearray(n)
                    assert ours.readinto(one) == theirs.readinto(other) and one == other
                elif what == "line":
                    limit = n if buffering else n % 200  # a call for each byte
                    assert ours.readline(limit) == theirs.readline(limit)
                elif what == "peek" and buffering:
                    assert ours.peek(1)[:1] == theirs.peek(1)[:1]
                assert ours.tell() == theirs.tell()
            ours.seek(0), theirs.seek(0)
            assert ours.read() == theirs.read() and ours.read() == b""


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
def test_lines(both, newline):
    tree, image = both
    with open(tree / "lines", encoding="utf-8", newline=newline) as theirs, \
            image.open("lines", newline=newline) as ours:
        assert list(ours) == list(theirs)
        assert ours.mode == theirs.mode and ours.encoding == theirs.encoding
    for encoding, errors in (("ascii", "replace"), ("latin-1", None), ("ascii", "ignore")):
        with open(tree / "lines", encoding=encoding, errors=errors) as theirs:
            assert image.open("lines", encoding=encoding, errors=errors).read() == theirs.read()
    with pytest.raises(UnicodeDecodeError):
        image.open("lines", encoding="ascii").read()
    assert image.read_text("lines", newline=newline) == open(
        tree / "lines", encoding="utf-8", newline=newline).read()


def test_memory_of_every_kind(both):
    tree, image = both
    whole = (tree / "bytes").read_bytes()
    raw = image.open("bytes", "rb", 0)
    assert raw.readinto(bytearray()) == raw.readinto(memoryview(b"")[:0].tobytes() and b"" or
                                                     bytearray()) == 0
    for wrong in (b"read only", memoryview(b"abc"), memoryview(bytearray(30))[::2], "text", None, 3,
                  io.BytesIO()):
        with pytest.raises(TypeError):
            raw.readinto(wrong)
    assert raw.tell() == 0
    whole_words = memoryview(bytearray(4000)).cast("I")
    assert raw.readinto(whole_words) == 4000 and bytes(whole_words) == whole[:4000]
    with tempfile.TemporaryFile() as file:
        file.truncate(8192)
        with mmap.mmap(file.fileno(), 8192) as mapped:
            assert raw.readinto(mapped) == 8192 and mapped[:] == whole[4000:12192]
    numpy = pytest.importorskip("numpy")
    raw.seek(0)
    table = numpy.zeros((100, 30), "<u4")
    assert raw.readinto(table) == 12000 and table.tobytes() == whole[:12000]
    with pytest.raises(TypeError):
        raw.readinto(numpy.zeros((10, 10), order="F")[:, ::2])
    assert raw.readinto(numpy.zeros(0)) == raw.readinto(numpy.zeros((3, 0))) == 0
    table.flags.writeable = False
    with pytest.raises((TypeError, ValueError)):
        raw.readinto(table)


def test_memory_is_held_during_a_read_and_no_longer():
    memory = bytearray(1000)

    class Resizes:
        def read_range(self, blob_id, offset, length):
            memory.extend(b"x")  # of an image with such sources the read has memory of its own
            with open(os.path.join(os.path.dirname(boot_of("v6-zstd")), "blobs", blob_id),
                      "rb") as file:
                file.seek(offset)
                return file.read(length)

    with rafs.open(boot_of("v6-zstd"), backends=[Resizes()]) as image:
        try:
            image.open("/data/large", "rb", 0).readinto(memory)
        except BufferError:
            pass
        else:
            pytest.fail("resized while it was read into")
    gc.collect()
    memory.extend(b"y")
    assert len(memory) == 1001


def test_what_files_do_not_do(both):
    _, image = both
    raw, buffered = image.open("bytes", "rb", 0), image.open("bytes", "rb")
    assert raw.name == buffered.name == "bytes" and raw.mode == "rb"
    assert raw.readable() and raw.seekable() and not raw.writable() and not raw.isatty()
    for file in (raw, buffered):
        with pytest.raises(io.UnsupportedOperation, match="descriptor"):
            file.fileno()
        with pytest.raises((TypeError, io.UnsupportedOperation)):
            mmap.mmap(file.fileno(), 0)
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            file.truncate()
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(file)
    for arguments in ({"mode": "rb", "encoding": "utf-8"}, {"mode": "rb", "newline": ""},
                      {"mode": "rb", "errors": "strict"}, {"buffering": 0}, {"mode": "r+"},
                      {"newline": "x"}):
        with pytest.raises(ValueError):
            image.open("lines", **arguments)
    with pytest.raises(LookupError):
        image.open("lines", encoding="no-such")


def test_files_of_a_closed_image():
    image = rafs.open(boot_of("v6-zstd"))
    raw, buffered = image.open("/data/text", "rb", 0), image.open("/data/text")
    buffered.read(1)
    image.close()
    for use in (lambda: raw.read(1), lambda: raw.readinto(bytearray(1)), lambda: buffered.read(-1)):
        with pytest.raises(ValueError, match="closed"):
            use()
    raw.close()
    buffered.close()
