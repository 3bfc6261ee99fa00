# SPDX-License-Identifier: Apache-2.0
"""Reads by tasks of an event loop."""
import asyncio
import os
import random
import threading
import time

import pytest

import rafs

from conftest import GOLDEN, boot_of, open_variant


class Gate:
    """A source that answers when it is told to."""

    def __init__(self):
        self.asked, self.open = threading.Event(), threading.Event()

    def read_range(self, blob_id, offset, length):
        self.asked.set()
        assert self.open.wait(60)
        with open(os.path.join(GOLDEN, "v6-zstd", "blobs", blob_id), "rb") as file:
            file.seek(offset)
            return file.read(length)


def asked(gate):
    return asyncio.get_running_loop().run_in_executor(None, gate.asked.wait, 60)


def test_many_at_once(image):
    whole = image.read_bytes("/data/large")
    places = [(random.Random(number).randrange(len(whole)), number) for number in range(3000)]

    async def all_of_them():
        threads = threading.active_count()
        parts = await asyncio.gather(
            *[image.aread("/data/large", offset, length) for offset, length in places])
        assert threading.active_count() == threads
        return parts

    for _ in range(2):  # each in a loop of its own
        assert asyncio.run(all_of_them()) == [
            whole[offset:offset + length] for offset, length in places]


def test_into_memory(image):
    whole = image.read_bytes("/data/large")
    room = bytearray(1000)

    async def read():
        assert await image.areadinto("/data/large", room, 77) == 1000
        assert await image.areadinto("/data/large", bytearray(10), len(whole) - 3) == 3
        assert await image.areadinto("/data/large", bytearray(10), len(whole) + 3) == 0
        assert await image.areadinto("/data/large", bytearray(0)) == 0
        assert await image.aread("/data/large", len(whole) + 1) == b""
        assert await image.aread("/data/large", 5, 0) == b""
        with pytest.raises(TypeError):
            await image.areadinto("/data/large", b"read only")
        with pytest.raises(IsADirectoryError):
            await image.aread("/data")
        with pytest.raises(FileNotFoundError):
            await image.aread("/no/such")
        with pytest.raises(ValueError):
            await image.aread("/data/large", -1)

    asyncio.run(read())
    assert bytes(room) == whole[77:1077]


def test_a_task_is_cancelled():
    gate = Gate()

    async def read(image):
        room = bytearray(100)
        task = asyncio.create_task(image.areadinto("/data/large", room))
        await asked(gate)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open.set()
        return await image.aread("/data/large", 0, 10)

    with rafs.open(boot_of("v6-zstd"), backends=[gate]) as image:
        with open_variant("v6-zstd") as same:
            assert asyncio.run(read(image)) == same.read_bytes("/data/large", 0, 10)


def test_a_loop_that_ends_first():
    gate = Gate()

    async def leave(image):
        task = asyncio.create_task(image.aread("/data/large"))
        await asked(gate)
        return task  # asyncio.run() cancels it

    with rafs.open(boot_of("v6-zstd"), backends=[gate]) as image:
        task = asyncio.run(leave(image))
        assert task.cancelled()
        gate.open.set()
        assert asyncio.run(image.aread("/data/large", 0, 10))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_image_closed_meanwhile(elsewhere):
    gate = Gate()

    def opens(image):
        while not image.closed:
            time.sleep(0)
        gate.open.set()

    async def read(image):
        task = asyncio.create_task(image.aread("/data/large"))
        await asked(gate)
        threading.Thread(target=opens, args=(image,)).start()
        if elsewhere:
            await asyncio.to_thread(image.close)
        else:
            image.close()
        with pytest.raises((ValueError, rafs.CancelledError)):
            await task
        with pytest.raises(ValueError):
            await image.aread("/data/large")

    asyncio.run(read(rafs.open(boot_of("v6-zstd"), backends=[gate])))


def test_errors_come_out():
    class Fails:
        def read_range(self, blob_id, offset, length):
            raise ZeroDivisionError("in the source")

    async def read(image):
        return await asyncio.gather(*[image.aread("/data/large") for _ in range(10)],
                                    return_exceptions=True)

    with rafs.open(boot_of("v6-zstd"), backends=[Fails()]) as image:
        said = asyncio.run(read(image))
        assert any(isinstance(error, ZeroDivisionError) for error in said)
        assert all(isinstance(error, (ZeroDivisionError, rafs.BackendError)) for error in said)


def test_a_deadline():
    gate = Gate()

    async def read(image):
        task = asyncio.create_task(image.aread("/data/large"))
        await asked(gate)
        asyncio.get_running_loop().call_later(0.5, gate.open.set)
        with pytest.raises(TimeoutError):
            await task

    with rafs.open(boot_of("v6-zstd"), backends=[gate], timeout=0.2) as image:
        asyncio.run(read(image))


def test_loops_leave_nothing(image):
    def files():
        return len(os.listdir("/proc/self/fd"))

    asyncio.run(image.aread("/data/text"))
    before = files()
    for _ in range(50):
        asyncio.run(image.aread("/data/text"))
    assert files() <= before + 1
