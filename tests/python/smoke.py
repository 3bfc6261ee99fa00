# SPDX-License-Identifier: Apache-2.0
"""The main things of the binding without any other package: for interpreters that have none,
and for packages just installed.

Usage: smoke.py       rafs is imported from where Python finds it
"""
import asyncio
import hashlib
import json
import os
import sys
import tempfile

import rafs

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")


def read_golden():
    folder = os.path.join(GOLDEN, "v6-zstd")
    with open(os.path.join(GOLDEN, "expected.jsonl"), encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    with rafs.open(os.path.join(folder, "image.boot"),
                   blob_dir=os.path.join(folder, "blobs")) as image:
        for row in rows:
            if row["type"] == "reg":
                data = image.read_bytes(os.fsdecode(row["path"].encode("latin-1")))
                assert hashlib.sha256(data).hexdigest() == row["sha256"], row["path"]
        try:
            image.stat("/no/such")
        except FileNotFoundError as error:
            assert isinstance(error, rafs.NotFound)
        else:
            raise AssertionError("a path that is not there was found")
        assert image.check().good


def make_and_read():
    with tempfile.TemporaryDirectory() as place:
        tree = os.path.join(place, "tree")
        os.mkdir(tree)
        with open(os.path.join(tree, "a"), "w", encoding="utf-8") as file:
            file.write("content\n" * 1000)
        out = os.path.join(place, "out")
        result = rafs.build(tree, out)
        with rafs.open(result.bootstrap, blob_dir=os.path.join(out, "blobs"),
                       expect_digest=result.digest) as image:
            assert image.listdir("/") == ["a"]
            with image.open("/a") as lines:
                assert sum(1 for _ in lines) == 1000
            assert asyncio.run(image.aread("/a", 2, 5)) == b"ntent"


class Lies:
    def read_range(self, blob_id, offset, length):
        return bytes(length)


def be_lied_to():
    with rafs.open(os.path.join(GOLDEN, "v6-zstd", "image.boot"), backends=[Lies()]) as image:
        try:
            image.read_bytes("/data/large")
        except rafs.CorruptError:
            return
    raise AssertionError("wrong bytes were not found out")


read_golden()
make_and_read()
be_lied_to()
print(f"Python {sys.version.split()[0]}, rafs {rafs.__version__} of "
      f"{os.path.dirname(rafs.__file__)}: well")
