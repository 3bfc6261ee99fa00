# SPDX-License-Identifier: Apache-2.0
"""Sources of blobs, logs and credentials in Python."""
import gc
import logging
import os
import sys
import threading
import tracemalloc

import pytest

import rafs

from conftest import GOLDEN, boot_of, open_variant

BLOBS = os.path.join(GOLDEN, "v6-zstd", "blobs")


def part(blob_id, offset, length):
    with open(os.path.join(BLOBS, blob_id), "rb") as file:
        file.seek(offset)
        return file.read(length)


class Source:
    """Answers what `change` makes of the right answer."""

    def __init__(self, change=lambda data: data):
        self.change = change

    def read_range(self, blob_id, offset, length):
        return self.change(part(blob_id, offset, length))


def opened(change=lambda data: data, **more):
    return rafs.open(boot_of("v6-zstd"), backends=[Source(change)], **more)


@pytest.fixture(scope="module")
def whole():
    with open_variant("v6-zstd") as image:
        return image.read_bytes("/data/large")


def as_numpy(data):
    return pytest.importorskip("numpy").frombuffer(data, "u1")


@pytest.mark.parametrize("change", [
    bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data)), as_numpy,
    lambda data: memoryview(b"".join(bytes([byte, 0]) for byte in data))[::2]])
def test_answers_of_every_kind(change, whole):
    with opened(change) as image:
        assert image.read_bytes("/data/large") == whole


@pytest.mark.parametrize("answer", [None, "text", 3, [1, 2], object()])
def test_what_is_no_answer(answer):
    with opened(lambda data: answer) as image:
        with pytest.raises(TypeError, match=r"Source.read_range\(\) gave \w+, not bytes"):
            image.read_bytes("/data/large")


def test_answers_that_are_too_long_or_too_short(whole):
    with opened(lambda data: data + b"x") as image:
        with pytest.raises(ValueError, match="bytes where"):
            image.read_bytes("/data/large")
    for change in (lambda data: data[:-1], lambda data: b""):
        with opened(change) as image:
            with pytest.raises(rafs.RafsError):
                image.read_bytes("/data/large")


class Unpleasant(BaseException):
    """No Exception."""


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit, Unpleasant,
                                  MemoryError, StopIteration, GeneratorExit])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_exceptions_come_out_as_they_are(kind, elsewhere):
    made = []

    def fails(_):
        made.append(kind("of a callback"))
        raise made[-1]

    def read():
        try:
            image.read_bytes("/data/large")
        except BaseException as error:
            caught.append(error)

    caught = []
    with opened(fails) as image:
        if elsewhere:
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
        else:
            read()
        assert caught[0] in made
        assert isinstance(caught[0].__cause__, rafs.BackendError)
        frames, trace = [], caught[0].__traceback__
        while trace:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert "fails" in frames and "read_bytes" in frames


def test_each_thread_gets_its_own_exception():
    """They read different files, one of which fails."""
    with open_variant("v6-zstd") as image:
        good = image.read_bytes("/data/text")
        places = {chunk.compressed_offset for chunk in image.chunks("/data/large")}

    class Half:
        def read_range(self, blob_id, offset, length):
            if offset in places:
                raise ZeroDivisionError(str(threading.get_ident()))
            return part(blob_id, offset, length)

    said = []

    def read(image):
        for _ in range(30):
            try:
                assert image.read_bytes("/data/text") == good
            except BaseException as error:
                said.append(error)

    with rafs.open(boot_of("v6-zstd"), backends=[Half()],
                   limits={"chunk_cache_bytes": 1, "merge_bytes": 1}) as image:
        threads = [threading.Thread(target=read, args=(image,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            with pytest.raises((ZeroDivisionError, rafs.BackendError)):
                image.read_bytes("/data/large")
        for thread in threads:
            thread.join()
    assert not said


def test_an_image_is_not_closed_by_its_own_callback(whole):
    raised = []

    def closes(data):
        for use in (image.close, lambda: image.__exit__()):
            try:
                use()
            except RuntimeError as error:
                raised.append(str(error))
        return data

    with opened(closes) as image:
        assert image.read_bytes("/data/large") == whole and not image.closed
    assert raised and all("callback" in text for text in raised)


def test_callbacks_may_use_images(whole):
    def uses(data):
        with open_variant("v6-zstd") as other:
            assert other.read_bytes("/data/large") == whole
        assert image.stat("/data/large").st_size == len(whole)
        gc.collect()
        return data

    with opened(uses) as image:
        assert image.read_bytes("/data/large") == whole


def test_closing_while_others_read(whole):
    began, gone = threading.Semaphore(0), []

    def slow(data):
        began.release()
        while not image.closed:
            pass
        return data

    def read():
        try:
            image.read_bytes("/data/large")
        except ValueError as error:
            gone.append(str(error))

    image = opened(slow)
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    began.acquire()
    image.close()
    for thread in threads:
        thread.join()
    assert len(gone) == 4 and all("closed" in text for text in gone)


def test_sources_that_are_none():
    for wrong in (3, None, object(), [], b"x" * 5, type("No", (), {"read": None})()):
        with pytest.raises((TypeError, OSError)) as caught:
            rafs.open(boot_of("v6-zstd"), backends=[wrong])
        assert str(caught.value)
    with pytest.raises(TypeError):
        rafs.open(boot_of("v6-zstd"), backends=3)


def two_sources(log):
    """An image of which one source lies, which is told."""
    return rafs.open(boot_of("v6-zstd"), backends=[Source(lambda data: bytes(len(data))), Source()],
                     log=log)


def test_logs(caplog):
    def told(log):
        with two_sources(log) as image:
            image.read_bytes("/data/large")

    lines = []
    told(lambda level, text: lines.append((level, text)))
    assert lines and all(level in (10, 20, 30, 40) and text for level, text in lines)
    logger = logging.getLogger("of.the.test")
    logger.setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        told(logger)
        told(None)
    assert {record.name for record in caplog.records} >= {"of.the.test", "rafs"}
    for wrong in (3, "text", [], object()):
        with pytest.raises(TypeError, match="log"):
            told(wrong)


def test_exceptions_in_logs_are_reported(monkeypatch):
    """Nobody waits for them."""
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))

    def fails(level, text):
        raise ZeroDivisionError

    with two_sources(fails) as image:
        image.read_bytes("/data/large")
    assert set(reported) == {ZeroDivisionError}


def threads_and_files():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def fails(_):
    raise ZeroDivisionError("again")


def once_good():
    with opened() as image:
        image.read_bytes("/data/text")


def once_failing():
    with opened(fails) as image:
        with pytest.raises(ZeroDivisionError):
            image.read_bytes("/data/large")


def once_not_opened():
    for how in ({"expect_digest": "sha256:" + "1" * 64}, {"timeout": -1}, {"limits": {"no": 1}},
                {"backends": [Source(), "/no/such"]}):
        with pytest.raises((OSError, ValueError)):
            rafs.open(boot_of("v6-zstd"), **how)


def once_async():
    import asyncio
    with opened() as image:
        asyncio.run(image.aread("/data/text"))


def once_forgotten():
    image = opened()
    image.me = image
    image.open("/data/text").read(1)


@pytest.mark.parametrize("once", [once_good, once_failing, once_not_opened, once_async,
                                  once_forgotten])
def test_nothing_leaks(once):
    for _ in range(10):
        once()
    gc.collect()
    threads, files = threads_and_files()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    count = 1000 if os.environ.get("RAFS_TEST_FULL") == "1" else 150
    for _ in range(count):
        once()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    now = threads_and_files()
    assert now[0] <= threads + 2 and now[1] <= files + 2
    assert grown < 100_000, grown
