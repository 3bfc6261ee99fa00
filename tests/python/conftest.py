# SPDX-License-Identifier: Apache-2.0
"""Images that the reference builder wrote, opened through Python."""
import glob
import json
import os
import signal
import sys
import threading

import pytest

# What nohup and shells ignore for their children would be ignored by those of the tests, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GOLDEN = os.path.join(ROOT, "tests", "golden")
if not os.environ.get("RAFS_INSTALLED"):  # else the package that is installed is tested
    sys.path.insert(0, os.path.join(ROOT, "bindings", "python", "src"))


def variants():
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(GOLDEN, "v[56]-*")))


def listing(variant):
    own = os.path.join(GOLDEN, variant, "expected.jsonl")
    path = own if os.path.exists(own) else os.path.join(GOLDEN, "expected.jsonl")
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def boot_of(variant):
    """The bootstrap, or the blob that carries it."""
    folder = os.path.join(GOLDEN, variant)
    boot = os.path.join(folder, "image.boot")
    if os.path.exists(boot):
        return boot
    return max(glob.glob(os.path.join(folder, "blobs", "*")), key=os.path.getsize)


def open_variant(variant, **options):
    import rafs
    return rafs.open(boot_of(variant), blob_dir=os.path.join(GOLDEN, variant, "blobs"), **options)


#: A source in Python, for code that runs in a process of its own and has `os` and `blobs`.
FILES = """
class Files:
    def read_range(self, blob_id, offset, length):
        with open(os.path.join(blobs, blob_id), "rb") as file:
            file.seek(offset)
            return file.read(length)
"""


def in_threads(work, count=8):
    """Do it in so many threads at once."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def image():
    with open_variant("v6-zstd") as opened:
        yield opened


try:  # as the entry points of the package do
    import fsspec
    for _name, _class in (("rafs", "RafsFileSystem"), ("docker", "Reference"),
                          ("oci-layout", "Reference"), ("oci-archive", "Reference")):
        fsspec.register_implementation(_name, f"rafs.fsspec.{_class}")
except ImportError:
    pass
