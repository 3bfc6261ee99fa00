# SPDX-License-Identifier: Apache-2.0
"""Images that are still open when the interpreter ends, and in children: no crash, no hang,
nothing on standard error."""
import os
import subprocess
import sys

import pytest

from conftest import FILES, boot_of

BEGIN = """
import os, sys, threading, time
import rafs
boot, blobs = sys.argv[1:]
""" + FILES + """
class Never(Files):
    def __init__(self):
        self.asked = threading.Event()
    def read_range(self, blob_id, offset, length):
        self.asked.set()
        while True:
            time.sleep(0.01)

def local(**more):
    return rafs.open(boot, blob_dir=blobs, **more)
"""

CASES = {
    "global": """
image = local()
image.read_bytes("/data/large")
""",
    "backend": """
image = rafs.open(boot, backends=[Files()])
image.read_bytes("/data/large")
""",
    "cycle": """
class Holder: pass
holder = Holder()
holder.me, holder.image = holder, local()
holder.file = holder.image.open("/data/text")
holder.file.read(3)
del holder
""",
    "file outlives": """
file = rafs.open(boot, backends=[Files()]).open("/data/large", "rb")
assert len(file.read(10)) == 10
import gc; gc.collect()
assert len(file.read(10)) == 10
""",
    "generators": """
image = local()
walk, entries = image.walk(), image.scandir("/data")
next(walk), next(entries)
chunks = image.chunks("/data/large"); next(chunks)
""",
    "daemon threads": """
image = rafs.open(boot, backends=[Files()], limits={"chunk_cache_bytes": 1})
began = threading.Semaphore(0)
def read():
    began.release()
    while True:
        try:
            image.read_bytes("/data/large")
        except ValueError:
            return
for _ in range(4):
    threading.Thread(target=read, daemon=True).start()
for _ in range(4):
    began.acquire()
""",
    "daemon threads, nobody's image": """
began = threading.Semaphore(0)
def read():
    image = rafs.open(boot, backends=[Files()], limits={"chunk_cache_bytes": 1})
    began.release()
    while True:
        image.read_bytes("/data/large")
threading.excepthook = lambda _: None
for _ in range(4):
    threading.Thread(target=read, daemon=True).start()
for _ in range(4):
    began.acquire()
""",
    "a callback that never ends": """
source = Never()
image = rafs.open(boot, backends=[source], timeout=None)
threading.excepthook = lambda _: None
threading.Thread(target=image.read_bytes, args=("/data/large",), daemon=True).start()
source.asked.wait()
""",
    "tasks": """
import asyncio
image = rafs.open(boot, backends=[Files()])
async def main():
    for _ in range(200):
        asyncio.create_task(image.aread("/data/large"))
    await asyncio.sleep(0)
asyncio.run(main())
""",
    "a loop that nobody closed": """
import asyncio, warnings
warnings.simplefilter("ignore")
image = local()
loop = asyncio.new_event_loop()
tasks = [loop.create_task(image.aread("/data/large")) for _ in range(50)]
loop.run_until_complete(tasks[0])
for task in tasks:
    task.cancel()
loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
loop.close()
""",
    "at exit": """
import atexit
image = local()
atexit.register(lambda: sys.stdout.write(str(len(image.read_bytes("/data/text")) > 0)))
atexit.register(lambda: rafs.open(boot, backends=[Files()]).read_bytes("/data/text"))
""",
    "a finalizer": """
class Last:
    def __init__(self): self.image = rafs.open(boot, backends=[Files()])
    def __del__(self):
        try:
            self.image.read_bytes("/data/text")
        except ValueError:
            pass
        self.image.close()
last = Last()
""",
    "logs": """
import logging
logging.basicConfig(stream=open(os.devnull, "w"), level=logging.DEBUG)
image = rafs.open(boot, backends=[Files()])
image.read_bytes("/data/large")
""",
    "thread pool": """
from concurrent.futures import ThreadPoolExecutor
image = rafs.open(boot, backends=[Files()])
pool = ThreadPoolExecutor(4)
futures = [pool.submit(image.read_bytes, "/data/large") for _ in range(20)]
""",
    "forked": """
image = rafs.open(boot, backends=[Files()])
whole = image.read_bytes("/data/large")
cache = rafs.Cache("cache")
trace_of = local(trace=True, cache=cache)
token_holder = image.open("/data/large", "rb")
pid = os.fork()
if pid == 0:
    sys.exit(0)  # all finalizers run, and touch nothing of the parent
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert image.read_bytes("/data/large") == whole
""",
    "forked during reads": """
image = rafs.open(boot, backends=[Files()], limits={"chunk_cache_bytes": 1})
over = threading.Event()
def read():
    while not over.is_set():
        image.read_bytes("/data/large")
threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        with local() as mine:
            mine.read_bytes("/data/text")
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
over.set()
for thread in threads: thread.join()
image.close()
""",
    "exit in a thread's middle": """
image = rafs.open(boot, backends=[Files()], limits={"chunk_cache_bytes": 1})
def read():
    try:
        while True:
            image.read_bytes("/data/large")
    except ValueError:
        pass
threading.Thread(target=read, daemon=True).start()
sys.exit(0)
""",
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", ["dev", "plain"])
def test_the_end(case, how, tmp_path):
    boot = boot_of("v6-zstd")
    flags = (["-X", "dev"] if how == "dev" else []) + ["-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *flags, "-c", BEGIN + CASES[case], boot,
         os.path.join(os.path.dirname(boot), "blobs")], cwd=tmp_path, text=True, timeout=120,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), PYTHONMALLOC="debug"),
        capture_output=True)
    said = done.stderr
    if how == "dev":  # unclosed files are what the case is about, and machines may be slow
        said = "\n".join(line for line in said.splitlines()
                         if "ResourceWarning" not in line and not line.startswith("Executing <"))
    assert (done.returncode, said) == (0, ""), done.stderr[-3000:]


def test_not_in_a_sub_interpreter():
    """Callbacks of ctypes know only the main one."""
    code = """
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
import sys
one = interpreters.create()
interpreters.run_string(one, '''
import sys
sys.path[:0] = %r
try:
    import rafs
except ImportError as error:
    print("refused:", error)
else:
    print("taken")
''' % (sys.path,))
"""
    done = subprocess.run([sys.executable, "-c", code], text=True, timeout=60,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert "refused:" in done.stdout, done.stdout
