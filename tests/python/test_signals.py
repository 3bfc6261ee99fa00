# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, in processes of their own: a read that waits ends, and nothing else is harmed."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from conftest import FILES, boot_of

FULL = os.environ.get("RAFS_TEST_FULL") == "1"

WAITS = """
import rafs, sys
with rafs.open({boot!r}, backends=[{source}], timeout=None,
               limits={{"ahead_bytes": 1, "merge_bytes": 1}}) as image:
    print("reading", flush=True)
    try:
        image.read_bytes("/data/large")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(image.stat("/data/large").st_size, flush=True)
    input()
    try:
        image.read_bytes("/data/text")
    except KeyboardInterrupt:
        print("and again", flush=True)
print("closed", flush=True)
"""

PYTHON_SOURCE = """
class Never:
    def __init__(self): self.told = False
    def read_range(self, blob_id, offset, length):
        import time
        print("asked", flush=True)
        for _ in range(600):
            time.sleep(0.1)
"""


def environment():
    return dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))


def start(code):
    return subprocess.Popen([sys.executable, "-X", "dev", "-c", code], env=environment(),
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def test_a_server_that_never_answers():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        asked = threading.Semaphore(0)
        kept = []

        def listen(connection):
            with contextlib.suppress(OSError):
                while connection.recv(65536):
                    asked.release()  # a request; connections are used again

        def serve():
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                kept.append(connection)
                threading.Thread(target=listen, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = start(WAITS.format(boot=boot_of("v6-zstd"), source=repr(url)))
        try:
            assert process.stdout.readline() == "reading\n"
            assert asked.acquire(timeout=60)
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            assert process.stdout.readline().strip().isdigit()
            while asked.acquire(blocking=False):
                pass  # the first read may have tried more than once
            process.stdin.write("\n")
            process.stdin.flush()
            assert asked.acquire(timeout=60)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[0]
        finally:
            process.kill()
            server.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()
        assert said == "and again\nclosed\n" and process.returncode == 0


STRESS = """
import hashlib, os, random, signal, sys, threading, rafs
folder, boot, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

class Files:
    def read_range(self, blob_id, offset, length):
        with open(os.path.join(folder, blob_id), "rb") as file:
            file.seek(offset)
            return file.read(length)

inside = os.path.dirname(rafs.__file__)

def interrupt(number, frame):
    # Anywhere in the package, also in the first line of a finally; again if it was swallowed.
    while frame:
        if frame.f_code.co_filename.startswith(inside):
            raise KeyboardInterrupt
        frame = frame.f_back

image = rafs.open(boot, backends=[Files()], limits={"chunk_cache_bytes": 1})
whole = image.read_bytes("/data/large")
interrupts = reads = 0
dice = random.Random(1)
room = bytearray(100000)
signal.signal(signal.SIGALRM, interrupt)
while interrupts < count:
    signal.setitimer(signal.ITIMER_REAL, dice.random() * 0.004 + 0.00005, 0.001)
    try:
        while True:
            offset, length = dice.randrange(len(whole)), dice.randrange(1, 100000)
            good = whole[offset:offset + length]
            if reads % 2:
                assert image.read_bytes("/data/large", offset, length) == good
            else:
                with image.open("/data/large", "rb", buffering=0) as file:
                    file.seek(offset)
                    view = memoryview(room)[:length]
                    assert view[:file.readinto(view)] == good
            reads += 1
    except KeyboardInterrupt:
        interrupts += 1
signal.signal(signal.SIGALRM, signal.SIG_IGN)
threads = threading.active_count()
assert threads < 20, threads
assert len(os.listdir("/proc/self/task")) < 40
assert image.read_bytes("/data/large") == whole
image.close()
print("well", reads, interrupts)
"""


def test_interrupts_anywhere():
    count = 20000 if FULL else 400
    boot = boot_of("v6-zstd")
    done = subprocess.run(
        [sys.executable, "-c", STRESS, os.path.join(os.path.dirname(boot), "blobs"), boot,
         str(count)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=600)
    assert done.returncode == 0 and "well" in done.stdout, done.stdout[-3000:]


def test_a_source_in_python_is_waited_for():
    """A callback that does not end cannot be stopped: a second Ctrl-C leaves it alone."""
    code = PYTHON_SOURCE + WAITS.format(boot=boot_of("v6-zstd"), source="Never()")
    code = code.replace('    print(image.stat', '    import os; os._exit(0)\n    print(image.stat')
    process = start(code)
    try:
        assert process.stdout.readline() == "reading\n"
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        process.communicate(timeout=60)
    finally:
        process.kill()


SLOW = FILES + """
class Slow(Files):
    def read_range(self, *what):
        asked.set()
        go.wait()
        return super().read_range(*what)
"""

LEFT_BEHIND = """
import os, signal, sys, threading, rafs
boot, blobs = sys.argv[1:]
asked, go, gone = threading.Event(), threading.Event(), threading.Event()

""" + SLOW + """
image = rafs.open(boot, backends=[Slow()], timeout=None)
memory = bytearray(b"mine" * 1000)
def interrupt():
    asked.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    image.open("/data/large", "rb", 0).readinto(memory)
except KeyboardInterrupt:
    print("interrupted")
memory.extend(b"x")  # nobody holds it
go.set()
assert image.read_bytes("/data/large", 0, 10) != b"mine" * 2 + b"mi"
image.close()  # waits for the call that was left behind
assert memory == b"mine" * 1000 + b"x"
print("untouched")
"""


def run(code):
    boot = boot_of("v6-zstd")
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, boot, os.path.join(os.path.dirname(boot), "blobs")],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


def test_a_read_that_was_left_behind_writes_nothing():
    """One Ctrl-C is enough, though the source does not end."""
    done = run(LEFT_BEHIND)
    assert done.stdout.split() == ["interrupted", "untouched"] and done.returncode == 0, done.stdout


def test_a_deadline_passes_in_every_thread():
    done = run("""
import sys, threading, time, rafs
boot, blobs = sys.argv[1:]
class Never:
    def read_range(self, blob_id, offset, length):
        while True:
            time.sleep(0.01)
image = rafs.open(boot, backends=[Never()], timeout=0.2)
def read():
    try:
        image.read_bytes("/data/large")
    except rafs.TimeoutError as error:
        print(type(error).__name__, error.code or "no code", bool(str(error)))
read()
thread = threading.Thread(target=read)
thread.start()
thread.join()
""")
    assert done.stdout.count("RafsTimeoutError") == 2 and done.returncode == 0, done.stdout


def test_interrupts_in_asyncio():
    done = run("""
import asyncio, os, signal, sys, threading, rafs
boot, blobs = sys.argv[1:]
asked, go = threading.Event(), threading.Event()
""" + SLOW + """image = rafs.open(boot, backends=[Slow()], timeout=None)
def interrupt():
    asked.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
async def main():
    await image.aread("/data/large")
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
go.set()
print(len(asyncio.run(image.aread("/data/text", 0, 5))))
""")
    assert done.stdout.split() == ["interrupted", "5"] and done.returncode == 0, done.stdout


def test_a_handler_that_closes():
    """In the middle of a call of its own thread it is told; the image stays whole."""
    done = run("""
import os, signal, sys, rafs
boot, blobs = sys.argv[1:]
""" + FILES + """
refused = closed = 0
def handler(*_):
    global refused, closed
    try:
        image.close()
        closed += 1
    except RuntimeError:
        refused += 1
signal.signal(signal.SIGALRM, handler)
for number in range(300):
    image = rafs.open(boot, backends=[Files()], limits={"chunk_cache_bytes": 1})
    signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 1e-5)
    try:
        while True:
            image.stat("/data/large")
            image.read_bytes("/data/large", number, 1000)
    except ValueError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if not image.closed:
        image.close()
print("well", closed > 0)
""".replace("        while True:\n            image.stat", "        while not image.closed:\n"
            "            if refused:\n                refused = 0\n                break\n"
            "            image.stat"))
    assert done.stdout.split() == ["well", "True"] and done.returncode == 0, done.stdout
