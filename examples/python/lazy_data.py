#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402
"""One column and one tensor out of an image of more than a gigabyte, without pulling it.

    lazy_data.py --make                         makes an image, a registry for it, and reads
    lazy_data.py --make docker://HOST/REPO:TAG  pushes the image there, and reads
    lazy_data.py docker://HOST/REPO:TAG         reads what is there

A registry on this machine is reached through a slow link (slow_link.py beside this file):
20 ms, 1 Gbit/s; others by the way that they have. To be read cell by cell ("# %%"), too.
Needs: pip install numpy pyarrow safetensors
"""
# %% [markdown]
# # Data in an image, read in place
# An image holds a table as a parquet file, a model as a safetensors file, and much else. We
# want a column of the one and a tensor of the other. `rafs.open()` fetches the names; what is
# read of the files is fetched in chunks, and each chunk is compared with its digest.

# %% What this needs
from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from slow_link import Link

try:
    import rafs
except ImportError as error:
    sys.exit(f"lazy_data.py: {error}\nInstall the binding: pip install ./bindings/python")
try:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save_file
except ImportError as error:
    sys.exit(f"lazy_data.py: {error}\nInstall what it needs: pip install numpy pyarrow safetensors")

DELAY_MS = 20
TABLE, MODEL = "/data/events.parquet", "/models/encoder.safetensors"
COLUMN, TENSOR = "price", "layers.7.attention.weight"


class Problem(Exception):
    """What people are told instead of a traceback."""


# %% The image, if we are to make one
# Numbers that compress a little, as measured ones do: random, of limited precision.
def numbers(random, count):
    out = random.standard_normal(count, dtype=np.float32)
    out.view(np.uint32)[:] &= 0xFFFFF000
    return out


def make_table(path, megabytes, random):
    """24 columns, 8 row groups."""
    names = ["price", "amount", "tax", *(f"feature_{i}" for i in range(21))]
    rows = megabytes * 1_000_000 // (len(names) * 4)
    columns = {name: numbers(random, rows) for name in names}
    pq.write_table(pa.table(columns), path, row_group_size=-(-rows // 8), compression="none",
                   use_dictionary=False, write_statistics=False)


def make_model(path, megabytes, random):
    """16 layers of three tensors."""
    side = int((megabytes * 1_000_000 / (16 * 6 * 4)) ** 0.5)
    tensors = {}
    for layer in range(16):
        for name, width in (("attention.weight", 1), ("up.weight", 3), ("down.weight", 2)):
            tensors[f"layers.{layer}.{name}"] = numbers(random, side * side * width).reshape(
                side, side * width)
    save_file(tensors, path)


def make_others(folder, megabytes, random):
    """Many small files and some large ones, as images have them."""
    for i in range(2000):
        place = os.path.join(folder, "usr/lib/python", f"package_{i // 40}")
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, f"module_{i % 40}.py"), "wb") as file:
            file.write(random.integers(32, 127, 4000, dtype=np.uint8).tobytes())
    os.makedirs(os.path.join(folder, "usr/lib/cuda"))
    for i in range(5):
        with open(os.path.join(folder, "usr/lib/cuda", f"lib{i}.so"), "wb") as file:
            file.write(random.integers(0, 100, megabytes * 200_000, dtype=np.uint8).tobytes())


def make(reference, megabytes):
    """Build the image and push it."""
    random, start = np.random.default_rng(7), time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        tree = os.path.join(work, "tree")
        for folder in ("data", "models"):
            os.makedirs(os.path.join(tree, folder))
        print(f"Making an image of {megabytes} MB …", flush=True)
        make_table(tree + TABLE, megabytes * 4 // 10, random)
        make_model(tree + MODEL, megabytes * 4 // 10, random)
        make_others(tree, megabytes * 2 // 10, random)
        built = rafs.build(tree, os.path.join(work, "image"))
        shutil.rmtree(tree)
        rafs.push(built.bootstrap, reference, blob_dir=os.path.join(work, "image", "blobs"))
    print(f"  {built.entries} entries, {built.file_bytes / 1e6:.0f} MB of files, stored in "
          f"{built.stored_bytes / 1e6:.0f} MB; made and pushed in "
          f"{time.monotonic() - start:.0f} s\n")


# %% A registry of our own, where nobody names one
def answers(host):
    name, _, port = host.partition(":")
    try:
        socket.create_connection((name, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def registry():
    """A docker-registry on this machine, ended and emptied afterwards."""
    if not shutil.which("docker-registry"):
        raise Problem("--make without a reference starts docker-registry, which is not "
                      "installed (Debian: docker-registry); or name a registry: "
                      "--make docker://HOST/REPO:TAG")
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{one.getsockname()[1]}"
        settings = os.path.join(folder, "settings.yml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
                       f"http: {{addr: {host}}}\nlog: {{accesslog: {{disabled: true}}}}\n")
        child = subprocess.Popen(["docker-registry", "serve", settings],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 start_new_session=True)  # Ctrl-C is for us
        try:
            while not answers(host):
                if child.poll() is not None:
                    raise Problem("docker-registry did not start")
                time.sleep(0.02)
            yield host
        finally:
            child.terminate()
            child.wait()


# %% [markdown]
# ## Reading
# A file of the image is an ordinary Python file, so pyarrow takes it as it is.

# %% A column of a parquet file
def read_column(image, path, column):
    with image.open(path, "rb", buffering=0) as file:
        return pq.ParquetFile(file).read(columns=[column]).column(column)


# %% The same, with all that it needs asked for at once
# The footer tells where the column lies in each group of rows. `image.prefetch()` fetches the
# ranges side by side; pyarrow then finds them in the cache.
def read_column_prefetched(image, path, column):
    with image.open(path, "rb", buffering=0) as file:
        table = pq.ParquetFile(file)
        about, ranges = table.metadata, []
        for group in range(about.num_row_groups):
            for part in map(about.row_group(group).column, range(about.num_columns)):
                if part.path_in_schema == column:
                    ranges.append((path, part.data_page_offset, part.total_compressed_size))
        image.prefetch(ranges=ranges)
        return table.read(columns=[column]).column(column)


# %% A tensor of a safetensors file
# Eight bytes that say how long the header is, the header in JSON, then the tensors.
def read_tensor(image, path, name):
    with image.open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(length)).get(name)
    if entry is None:
        raise Problem(f"{path} has no tensor {name}")
    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    if entry["dtype"] not in types:
        raise Problem(f"{name} has elements of type {entry['dtype']}, which numpy lacks")
    first, last = entry["data_offsets"]
    data = image.read_bytes(path, 8 + length + first, last - first)
    return np.frombuffer(data, types[entry["dtype"]]).reshape(entry["shape"])


# %% For comparison: pulling
def pull(host, name):
    """All blobs of the image, as a runtime fetches them, digests compared; bytes of them."""
    repository, _, tag = name.partition(":")
    line, total = http.client.HTTPConnection(host, timeout=120), 0

    def get(path):
        line.request("GET", f"/v2/{repository}/{path}", headers={
            "Accept": "application/vnd.oci.image.manifest.v1+json"})
        answer = line.getresponse()
        if answer.status != 200:
            raise Problem(f"pulling: GET {path}: {answer.status} {answer.reason}")
        return answer

    manifest = json.loads(get(f"manifests/{tag or 'latest'}").read())
    for layer in manifest["layers"]:
        answer, digest = get(f"blobs/{layer['digest']}"), hashlib.sha256()
        while piece := answer.read(1 << 20):
            digest.update(piece)
            total += len(piece)
        if "sha256:" + digest.hexdigest() != layer["digest"]:
            raise Problem(f"pulling: {layer['digest']} has another digest")
    return total


# %% Measuring
class Table:
    """Steps, and what each of them cost."""

    def __init__(self, link):
        self.link = link
        print(f"{'':42}{'requests':>9}{'round trips':>12}{'MB came':>9}{'seconds':>9}")

    def step(self, title, work, *given):
        if self.link:
            self.link.count()
        start = time.monotonic()
        value = work(*given)
        seconds, numbers = time.monotonic() - start, (" " * 30)
        if self.link:
            count = self.link.count()
            numbers = (f"{count['requests']:9}{count['round_trips']:12.1f}"
                       f"{count['received'] / 1e6:9.1f}")
        print(f"{title:42}{numbers}{seconds:9.2f}", flush=True)
        return value


def measure(reference, link, args, work):
    """Each with a cache of its own: from a cold start, but for those that say so."""
    table = Table(link)

    def opened(read, kept):
        cache = os.path.join(work, kept)
        with rafs.open(reference, cache=cache, plain_http=args.plain_http) as image:
            return read(image)

    def first(image):
        return image.read_bytes(args.table, 0, 4)

    def column(image):
        return read_column(image, args.table, args.column)

    def column_at_once(image):
        return read_column_prefetched(image, args.table, args.column)

    def tensor(image):
        return read_tensor(image, args.model, args.tensor)

    if table.step("open the image, first bytes of a file", opened, first, "a") != b"PAR1":
        raise Problem(f"{args.table} is no parquet file")
    values = table.step(f"column {args.column}", opened, column, "b")
    once = table.step("  asked for at once", opened, column_at_once, "c")
    again = table.step("  once more, from the cache", opened, column, "c")
    if not values.equals(once) or not values.equals(again):
        raise Problem("the ways differ")
    weights = table.step(f"tensor {args.tensor}"[:42], opened, tensor, "d")
    if link and not args.no_pull:
        host, _, name = reference[len("docker://"):].partition("/")
        table.step("pull the image", pull, host, name)
    print(f"\n{args.column}: {len(values)} values, {values.nbytes / 1e6:.0f} MB, mean "
          f"{np.mean(values.to_numpy()):.4f}; {args.tensor}: {weights.shape}, "
          f"{weights.nbytes / 1e6:.0f} MB, mean {weights.mean():.6f}")


# %% The whole
def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", nargs="?", metavar="docker://HOST/REPO:TAG")
    parser.add_argument("--make", action="store_true", help="make the image first")
    parser.add_argument("--megabytes", type=int, default=1200, metavar="N",
                        help="size of what --make makes (default: 1200)")
    parser.add_argument("--rate", type=float, default=1000, metavar="MBIT",
                        help="of the slow link, Mbit/s (default: 1000)")
    parser.add_argument("--no-pull", action="store_true", help="do not pull for comparison")
    parser.add_argument("--plain-http", action="store_true",
                        help="speak plain http to another machine, too")
    for name, default in (("table", TABLE), ("column", COLUMN), ("model", MODEL),
                          ("tensor", TENSOR)):
        parser.add_argument("--" + name, default=default, help=f"default: {default}")
    args = parser.parse_args()
    if not args.reference and not args.make:
        parser.error("name an image (docker://HOST/REPO:TAG), or give --make")
    if args.reference and not args.reference.startswith("docker://"):
        parser.error(f"{args.reference}: a reference begins with docker://")
    if args.megabytes < 1 or args.rate <= 0:
        parser.error("--megabytes and --rate are more than 0")
    return args


def main():
    args = arguments()
    with ExitStack() as stack:
        reference = args.reference or f"docker://{stack.enter_context(registry())}/lazy:v1"
        if args.make:
            make(reference, args.megabytes)
        host, _, name = reference[len("docker://"):].partition("/")
        link = None
        if host.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]"):
            if not answers(host):
                raise Problem(f"nothing answers at {host}: is the registry running?")
            link = stack.enter_context(Link(host, DELAY_MS, args.rate / 8))
            reference = f"docker://{link.host}/{name}"
            print(f"Through a link of {DELAY_MS} ms and {args.rate:g} Mbit/s, each time from nothing "
                  "cached:\n")
        else:
            print(f"From {host}, each time from nothing cached:\n")
        work = stack.enter_context(tempfile.TemporaryDirectory())
        measure(reference, link, args, work)


if __name__ == "__main__":
    try:
        main()
    except (Problem, OSError) as problem:
        sys.exit(f"lazy_data.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
