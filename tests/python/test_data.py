# SPDX-License-Identifier: Apache-2.0
"""Data read by its own libraries straight out of an image in a registry."""
import io
import json
import os
import random
import shutil
import sys

import pytest

import rafs

from conftest import ROOT

pytest.importorskip("fsspec")
np = pytest.importorskip("numpy")
sys.path[:0] = [os.path.join(ROOT, "examples", "python"), os.path.join(ROOT, "tests", "support")]
from registry import start_registry  # noqa: E402
from slow_link import Link  # noqa: E402

ROWS = 200_000


def fill(tree):
    """Data of each kind whose library is there."""
    dice = np.random.default_rng(1)
    columns = {name: dice.random(ROWS) for name in ("a", "b", "c", "d")}
    columns["n"] = np.arange(ROWS)
    tree.mkdir()
    np.save(tree / "array.npy", columns["a"])
    try:
        import pandas
        frame = pandas.DataFrame(columns)
        frame.head(1000).to_csv(tree / "table.csv", index=False)
        frame.head(1000).to_json(tree / "table.json", orient="records", lines=True)
        frame.to_parquet(tree / "table.parquet", row_group_size=100_000)
        (tree / "set").mkdir()
        for part in range(4):
            (tree / "set" / f"part={part}").mkdir()
            frame.iloc[part::4].to_parquet(tree / "set" / f"part={part}" / "0.parquet")
        frame.head(1000).to_feather(tree / "table.feather")
    except ImportError:
        pass
    try:
        import zarr
        for version in (2, 3) if hasattr(zarr, "create_group") else ():  # not before 3.0
            group = zarr.open_group(str(tree / f"group{version}.zarr"), mode="w",
                                    zarr_format=version)
            group.create_array("x", shape=(1000, 1000), chunks=(100, 1000), dtype="f8")[:] = \
                columns["a"][:1000][None, :] + np.arange(1000)[:, None]
    except ImportError:
        pass
    try:
        from safetensors.numpy import save_file
        save_file({"small": columns["a"][:10], "large": columns["b"],
                   "whole": np.arange(12, dtype="i4").reshape(3, 4)}, tree / "model.safetensors")
    except ImportError:
        pass
    try:
        import h5py
        with h5py.File(tree / "data.h5", "w") as file:
            file.create_dataset("x", data=columns["c"], chunks=(10_000,))
    except ImportError:
        pass
    try:
        from PIL import Image
        Image.fromarray((columns["a"][:10_000].reshape(100, 100) * 255).astype("u1")).save(
            tree / "picture.png")
    except ImportError:
        pass
    return columns


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """Options that name the image, a counting link to it, and what is in it."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    work = tmp_path_factory.mktemp("data")
    columns = fill(work / "tree")
    built = rafs.build(work / "tree", work / "image", chunk_size=1 << 18)
    child, host = start_registry(str(work))
    try:
        rafs.push(built.bootstrap, f"docker://{host}/data:v1")
        with Link(host, delay_ms=0) as link:
            yield {"fo": f"docker://{link.host}/data:v1", "expect_digest": built.digest}, \
                link, columns, built.bootstrap
    finally:
        child.terminate()
        child.wait()


@pytest.fixture
def fs(remote):
    """The file system, opened anew: nothing is cached."""
    import fsspec
    opened = fsspec.filesystem("rafs", skip_instance_cache=True, **remote[0])
    yield opened
    opened.close()


def test_pandas(remote):
    pandas = pytest.importorskip("pandas")
    options, _, columns, _ = remote
    for read, name in ((pandas.read_csv, "table.csv"), (pandas.read_feather, "table.feather")):
        frame = read(f"rafs://{name}", storage_options=options)
        assert np.allclose(frame["a"], columns["a"][:1000])
    frame = pandas.read_json("rafs://table.json", lines=True, storage_options=options)
    assert np.allclose(frame["b"], columns["b"][:1000])
    frame = pandas.read_parquet("rafs://table.parquet", columns=["c"], storage_options=options)
    assert np.array_equal(frame["c"], columns["c"])
    chained = f"rafs://table.csv::{options['fo']}"
    assert len(pandas.read_csv(chained)) == 1000
    with pytest.raises(FileNotFoundError):
        pandas.read_csv("rafs://no.csv", storage_options=options)


def test_one_column_is_not_the_file(fs, remote):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet
    _, link, columns, _ = remote
    size = fs.size("table.parquet")
    link.count()
    table = parquet.read_table("table.parquet", columns=["d"], filesystem=fs)
    assert np.array_equal(table["d"].to_numpy(), columns["d"])
    travelled = link.count()
    assert travelled["received"] < size * 0.4, travelled
    assert travelled["requests"] <= 20, travelled


def test_many_parts_in_few_requests(remote):
    pytest.importorskip("pyarrow")  # the image has the table only then
    import fsspec
    options, link, _, _ = remote
    starts = list(range(0, 7 << 20, 100_000))
    random.Random(1).shuffle(starts)
    counts, got = [], []
    for together in (False, True):
        fs = fsspec.filesystem("rafs", skip_instance_cache=True, **options)
        whole = fs.size("table.parquet")
        assert whole > 7 << 20
        link.count()
        if together:
            got.append(fs.cat_ranges(["table.parquet"] * len(starts), starts,
                                     [start + 1000 for start in starts]))
        else:
            got.append([fs.cat_file("table.parquet", start, start + 1000) for start in starts])
        counts.append(link.count()["requests"])
        fs.close()
    assert got[0] == got[1] and all(len(part) == 1000 for part in got[0])
    assert counts[1] * 2 <= counts[0], counts


@pytest.fixture(scope="module")
def noise(remote, tmp_path_factory):
    """The name of an image with one file of 48 chunks of 1 MiB, and what is in it."""
    _, link, _, _ = remote
    content = random.Random(1).randbytes(48 << 20)
    built = rafs.build([rafs.Entry("noise", content)], tmp_path_factory.mktemp("noise") / "image")
    rafs.push(built.bootstrap, f"docker://{link.host}/noise:v1")
    return f"docker://{link.host}/noise:v1", link, content


@pytest.mark.parametrize("order", ["mixed", "sorted"])
def test_parts_travel_once(noise, order):
    """What is fetched together stays there until it is read."""
    import fsspec
    reference, link, content = noise
    starts = [chunk << 20 for chunk in range(48)]
    if order == "mixed":
        random.Random(1).shuffle(starts)
    fs = fsspec.filesystem("rafs", fo=reference)
    link.count()
    got = fs.cat_ranges(["noise"] * len(starts), starts, [start + 1000 for start in starts])
    travelled = link.count()
    fs.close()
    assert got == [content[start:start + 1000] for start in starts]
    assert travelled["received"] < (1.1 if order == "mixed" else 1.4) * len(content), travelled
    assert travelled["requests"] <= len(starts), travelled


@pytest.mark.parametrize("block", [None, 4 << 20])
def test_from_start_to_end(noise, block):
    """Small reads of a large file are no small requests, and next to nothing travels twice."""
    import fsspec
    reference, link, content = noise
    fs = fsspec.filesystem("rafs", fo=reference)
    link.count()
    with fs.open("noise", block_size=block) as file:
        assert b"".join(iter(lambda: file.read(10_000), b"")) == content
    travelled = link.count()
    fs.close()
    assert travelled["received"] < 1.3 * len(content), travelled
    assert travelled["requests"] <= 1.3 * 48, travelled


def test_what_a_footer_costs(fs, remote):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, link, _, _ = remote
    link.count()
    with fs.open("table.parquet") as file:
        assert parquet.ParquetFile(file).metadata.num_rows == ROWS
    assert link.count()["requests"] <= 2


def test_dask(remote):
    pytest.importorskip("pandas")
    bags = pytest.importorskip("dask.bag")
    lines = bags.read_text("rafs://table.csv", storage_options=remote[0]).compute(
        scheduler="threads")
    assert len(lines) == 1001


def test_a_set_of_parquet_files(fs, remote):
    pytest.importorskip("pyarrow")
    from pyarrow import dataset
    _, _, columns, _ = remote
    data = dataset.dataset("set", filesystem=fs, partitioning="hive")
    assert sorted(data.schema.names) == ["a", "b", "c", "d", "n", "part"]
    part = data.to_table(columns=["n"], filter=dataset.field("part") == 2)
    assert sorted(part["n"].to_pylist()) == list(range(2, ROWS, 4))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(fs, remote, version):
    zarr = pytest.importorskip("zarr", "3.0")
    from zarr.storage import FsspecStore
    options, link, columns, _ = remote
    wanted = columns["a"][:1000] + 500
    store = FsspecStore.from_url(f"rafs://group{version}.zarr", storage_options=options,
                                 read_only=True)
    assert np.allclose(zarr.open_group(store, mode="r")["x"][500], wanted)
    mapper = fs.get_mapper(f"group{version}.zarr")
    assert ".zgroup" in mapper or "zarr.json" in mapper


def test_safetensors(fs, remote):
    pytest.importorskip("safetensors")
    from safetensors.numpy import load
    _, _, columns, _ = remote
    tensors = load(fs.cat_file("model.safetensors"))
    assert np.array_equal(tensors["large"], columns["b"])
    # One tensor, by the header: bytes of it alone are fetched.
    with fs.open("model.safetensors") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        first, last = header["whole"]["data_offsets"]
        file.seek(8 + length + first)
        array = np.frombuffer(file.read(last - first), "<i4").reshape(header["whole"]["shape"])
    assert array.tolist() == np.arange(12).reshape(3, 4).tolist()


def test_numpy(fs, remote):
    with fs.open("array.npy") as file:
        assert np.array_equal(np.load(file), remote[2]["a"])


def test_hdf5(fs, remote):
    h5py = pytest.importorskip("h5py")
    with fs.open("data.h5") as raw, h5py.File(raw, "r") as file:
        assert np.array_equal(file["x"][123_000:123_100], remote[2]["c"][123_000:123_100])


def test_pictures(fs, remote):
    images = pytest.importorskip("PIL.Image")
    with fs.open("picture.png") as file:
        assert images.open(file).size == (100, 100)


def test_polars(fs, remote):
    polars = pytest.importorskip("polars")
    with fs.open("table.parquet") as file:
        assert polars.read_parquet(file, columns=["a"])["a"].sum() == pytest.approx(
            remote[2]["a"].sum())


def test_duckdb(fs, remote):
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.register_filesystem(fs)
    # With more, it moves one file object from several threads: not with files written in Python.
    connection.execute("set threads = 1")
    found = connection.execute("select sum(n) from read_parquet('rafs://table.parquet')")
    assert found.fetchone()[0] == sum(range(ROWS))


def test_universal_pathlib(remote):
    upath = pytest.importorskip("upath")
    options, _, columns, _ = remote
    path = upath.UPath("rafs://array.npy", **options)
    assert np.array_equal(np.load(io.BytesIO(path.read_bytes())), columns["a"])
    assert sorted(one.name for one in upath.UPath("rafs://set", **options).iterdir()) == [
        f"part={number}" for number in range(4)]


def test_wrong_bytes_reach_nobody(remote):
    """A source that lies: what libraries see is our error."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import fsspec
    bootstrap = remote[3]

    class Lies:
        def read_range(self, blob_id, offset, length):
            return bytes(length)

    with rafs.open(bootstrap, backends=[Lies()]) as image:
        lying = fsspec.filesystem("rafs", fo=image)
        with pytest.raises(rafs.CorruptError):
            parquet.read_table("table.parquet", filesystem=lying)
        with pytest.raises(rafs.CorruptError):
            lying.cat_file("array.npy")


def test_zarr_by_url(remote):
    zarr = pytest.importorskip("zarr", "3.0")
    options, _, columns, _ = remote
    group = zarr.open_group("rafs://group3.zarr", storage_options=options, mode="r")
    assert np.allclose(group["x"][0], columns["a"][:1000])
