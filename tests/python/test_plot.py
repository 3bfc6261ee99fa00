# SPDX-License-Identifier: Apache-2.0
"""Pictures: the numbers behind them are exact, and drawing them says nothing."""
import io
import json
import os
import pickle
import subprocess
import sys
import warnings

import pytest

import rafs

from conftest import boot_of, open_variant

np = pytest.importorskip("numpy")
matplotlib = pytest.importorskip("matplotlib")
plot = pytest.importorskip("rafs.plot")


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*deprecated")  # between matplotlib and others
        yield


def drawn(figure):
    """The picture, as bytes; also finds text without glyphs."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=40)
    return out.getvalue()


@pytest.mark.parametrize("variant", ["v6-zstd", "v5-lz4"])
def test_table_is_what_chunks_say(variant):
    if not os.path.exists(boot_of(variant)):
        pytest.skip(f"there is no {variant}")
    with open_variant(variant) as image:
        table = plot.table(image)
        rows = {}
        for row in table.rows:
            rows.setdefault(table.paths[row["file"]], []).append(
                (row["file_offset"], row["length"], row["blob"], row["chunk"],
                 row["compressed_offset"], row["compressed_size"], bytes(row["digest"]).hex()))
        inodes = {image.stat(path).st_ino for path in table.paths}
        assert len(inodes) == len(table.paths)
        for path in table.paths:
            assert rows.get(path, []) == [
                (one.file_offset, one.length, one.blob, one.number, one.compressed_offset,
                 one.compressed_size, one.digest.partition(":")[2])
                for one in image.chunks(path) if not one.hole], path
        assert table.blobs == [blob.id for blob in image.info.blobs]


def made_up(*chunks, sizes):
    """A table of (path, blob, offset, size)."""
    paths = sorted({chunk[0] for chunk in chunks})
    rows = np.zeros(len(chunks), plot.Table.dtype())
    rows["chunk"] = [offset for _, _, offset, _ in chunks]
    for row, (path, blob, offset, size) in zip(rows, chunks):
        row["file"], row["blob"] = paths.index(path), blob
        row["compressed_offset"], row["compressed_size"], row["length"] = offset, size, size
        row["digest"] = offset.to_bytes(32, "little")
    return plot.Table(paths, [f"{number:064x}" for number in range(len(sizes))], sizes, rows)


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def cells_of(figure):
    """The colours that a layout has, as hexadecimal numbers, with how often."""
    from matplotlib.colors import to_hex
    colours, counts = np.unique(figure.axes[0].images[0].get_array().reshape(-1, 3), axis=0,
                                return_counts=True)
    return {to_hex(colour): int(count) for colour, count in zip(colours, counts)}


def test_layout_amounts():
    made = made_up(("/a/x", 0, 0, 100), ("/a/y", 0, 100, 200), ("/b/z", 0, 300, 50),
                   ("/a/x", 1, 0, 10), ("/b/z", 1, 0, 10), sizes=[400, 20])
    figure = plot.layout(made)
    assert legend(figure) == ["/a  300 B", "/b  50 B", "in several  10 B",
                              "not in this image  60 B"]
    assert figure.axes[0].get_title("left") == \
        "2 blobs, 420 B stored; 4 chunks, used 5 times by 3 files"
    # A cell is a byte; what is dead is half white.
    cells = cells_of(figure)
    assert [cells[plot.COLOURS[0]], cells[plot.COLOURS[1]], cells[plot.SHARED]] == [300, 50, 10]
    assert 20 < cells[plot.FAINT] < 40
    assert drawn(figure).startswith(b"\x89PNG")
    chosen = plot.layout(made, by=["b"], title="mine")
    assert legend(chosen) == ["/b  50 B", "other  300 B", "in several  10 B",
                              "not in this image  60 B"]
    assert chosen.axes[0].get_title("left") == "mine"
    with pytest.raises(ValueError, match="10 directories"):
        plot.layout(made, by=list("abcdefghij"))


@pytest.mark.parametrize("variant", ["v6-zstd", "v6-merge", "v5-chunkdict"])
def test_layout_of_images(variant):
    """The legend adds up to what is stored, and each cell is what chunks say."""
    with open_variant(variant) as image:
        made = plot.table(image)
        stored = {}
        for row in made.rows:
            for byte in range(row["compressed_offset"],
                              row["compressed_offset"] + row["compressed_size"]):
                stored.setdefault((row["blob"], byte), set()).add(
                    made.paths[row["file"]].split("/")[1])
        figure = plot.layout(image, by=["/data"])
        only = sum(owners == {"data"} for owners in stored.values())
        both = sum("data" in owners and len(owners) > 1 for owners in stored.values())
        lines = dict(line.rsplit("  ", 1) for line in legend(figure))
        assert lines["/data"] == plot.length_of(only)
        assert lines.get("in several", "0 B") == plot.length_of(both)
        assert lines["not in this image"] == plot.length_of(sum(made.blob_sizes) - len(stored))
        kinds = set(cells_of(figure))
        assert plot.COLOURS[0] in kinds and plot.FAINT in kinds


def test_a_batch_is_stored_once():
    made = made_up(("/a/x", 0, 0, 100), ("/a/y", 0, 0, 100), sizes=[100])
    made.rows["chunk"] = [0, 1]
    figure = plot.layout(made)
    assert legend(figure) == ["/a  100 B"]
    assert "2 chunks, used 2 times" in figure.axes[0].get_title("left")


def test_cells():
    chunks = made_up(("/a", 0, 0, 15), ("/b", 0, 15, 30), sizes=[60]).rows
    cells = plot._cells(chunks, np.array([0, 1]), 10, 6)
    empty = len(plot.COLOURS) + 2
    assert cells[0] == 0 and cells[2] == cells[3] == cells[4] == 1 and cells[5] == empty == plot._DEAD
    assert cells[1] in (0, 1)


def test_groups():
    paths = ["/usr/lib/a/x", "/usr/lib/b/y", "/usr/bin/c", "/etc/d"]
    assert plot.groups(paths, [40, 40, 15, 5]) == ["/usr/lib/a", "/usr/lib/b", "/usr/bin", "/etc"]
    # More than there are colours for: the largest, and the rest.
    many = [f"/top/{n}/x" for n in range(12)]
    assert plot.groups(many, range(100, 112), 4) == ["/top", "/top/11", "/top/10", "/top/9"]
    for most in (1, 2, 5, 9):
        names = plot.groups([f"/{n % 40}/{n % 7}/{n}" for n in range(1000)], range(1000), most)
        assert 0 < len(names) <= most and len(set(names)) == len(names)
    assert plot.groups([], []) == []


def test_names_are_cut():
    long = "/numpy/core/_multiarray_umath.cpython-311.so"
    for name in (long, "/" + "x" * 70, "y" * 70, "/a" * 40, "short", "", "$" * 60):
        for length in (8, 10, 24, 38):
            cut = plot.text_of(name, length).replace(r"\$", "$")
            assert len(cut) <= length and (cut == name or (len(name) > length and "…" in cut))
    assert plot.text_of(long, 24).startswith("…/_multiarray")
    assert plot.text_of("host.example.org/data/numpy:2.1", 20).endswith("…/numpy:2.1")
    assert plot.text_of("a\udcff\n$", 9) == r"a??\$"


def test_odd_images():
    assert drawn(plot.layout(made_up(sizes=[])))
    assert drawn(plot.layout(made_up(sizes=[0, 0])))
    many = made_up(*[(f"/{n}/" + "n" * 200, n, 0, 1000) for n in range(200)], sizes=[1000] * 200)
    assert drawn(plot.layout(many))
    strange = made_up(("/\udcff\udcfe$x_$^\u4e2d\u0001", 0, 0, 10), sizes=[10])
    assert drawn(plot.layout(strange))
    with open_variant("v6-zstd") as image:
        assert drawn(plot.layout(image))


def test_trace(image):
    image.trace_start()
    image.read_bytes("/data/large")
    image.read_bytes("/data/text")
    trace = image.trace()
    figure = plot.trace(trace, image)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any(text.startswith("/data/large  ") for text in texts)
    total = sum(event.compressed_size for event in trace)
    assert max(figure.axes[1].lines[0].get_ydata()) == total
    assert len(figure.axes[0].collections[0].get_segments()) == len(trace)
    assert drawn(figure) and drawn(plot.trace(trace))
    alone = plot.trace(image)
    assert [text.get_text() for axes in alone.axes for text in axes.texts] == texts
    with open_variant("v6-zstd") as other:
        other.trace_start()
        assert drawn(plot.trace(other.trace()))  # of nothing
    with open_variant("v6-lz4") as other, pytest.raises(ValueError, match="another image"):
        plot.trace(trace, other)


def test_trace_of_layers():
    with open_variant("v6-merge") as image:
        image.trace_start()
        for path in plot.table(image).paths:
            image.read_bytes(path)
        trace = image.trace()
        events = plot.trace_data(trace)
        assert [(one["time_us"] / 1e6, one["ino"], one["file_offset"], one["length"], one["blob"],
                 one["chunk"], one["compressed_offset"], one["compressed_size"])
                for one in events] == [
            (one.time, one.ino, one.file_offset, one.length, one.blob, one.chunk,
             one.compressed_offset, one.compressed_size) for one in trace]
        assert set(events["blob"]) == {0, 1}
        figure = plot.trace(image)
        assert f"{len(events):,} chunks of " in figure.get_suptitle()
        places = np.array([line[0, 1] for line in figure.axes[0].collections[0].get_segments()])
        first = trace.blobs[0][1]
        assert list(places) == [first * int(one["blob"]) + int(one["compressed_offset"])
                                for one in events]
        assert drawn(figure)


def test_sharing_is_what_the_command_counts(tmp_path):
    command = os.environ.get("RAFS_COMMAND")
    if not command or not os.path.exists(command):
        pytest.skip("RAFS_COMMAND does not name the rafs command")
    trees = []
    for number in range(3):
        tree = tmp_path / f"tree{number}"
        tree.mkdir()
        for name in range(number, number + 4):
            (tree / str(name)).write_bytes(bytes([name]) * (1000 + name))
        trees.append(rafs.build(tree, tmp_path / f"out{number}").bootstrap)
    said = json.loads(subprocess.run([command, "sharing", "--json", *trees], check=True,
                                     stdout=subprocess.PIPE).stdout)
    images = [rafs.open(boot) for boot in trees]
    matrix, alone, levels = plot.sharing_data(images)
    assert [one["bytes"] for one in said["images"]] == list(matrix.diagonal())
    assert [one["unique_bytes"] for one in said["images"]] == list(alone)
    for pair in said["pairs"]:
        assert pair["bytes"] == matrix[tuple(pair["images"])] > 0
    assert levels.sum(axis=1).tolist() == matrix.diagonal().tolist()
    assert drawn(plot.sharing(images, ["a", "b", "a name that is much longer"]))
    assert drawn(plot.sharing(images[:1]))
    assert drawn(plot.sharing(images * 7))
    with pytest.raises(ValueError):
        plot.sharing([])
    with pytest.raises(ValueError):
        plot.sharing(images, ["one"])


def test_sharing_compares_whole_digests():
    """Digests that begin alike, and equal ones of other lengths, are told apart."""
    random = np.random.default_rng(1)
    tables, sets = [], []
    for _ in range(3):
        rows = np.zeros(200, plot.Table.dtype())
        digests = [bytes(8) + bytes(23) + bytes([value]) for value in random.integers(0, 40, 200)]
        rows["digest"] = digests
        rows["length"] = random.integers(1, 4, 200)
        tables.append(plot.Table(["/a"], ["b"], [0], rows))
        sets.append({(digest, int(length)) for digest, length in zip(digests, rows["length"])})
    matrix, alone, levels = plot.sharing_data(tables)
    for row in range(3):
        for column in range(3):
            assert matrix[row, column] == sum(size for _, size in sets[row] & sets[column])
        others = set().union(*(sets[n] for n in range(3) if n != row))
        assert alone[row] == levels[row, 0] == sum(size for _, size in sets[row] - others)
        assert levels[row].sum() == matrix[row, row]
    nothing = plot.Table([], [], [], np.zeros(0, plot.Table.dtype()))
    assert plot.sharing_data([nothing, tables[0]])[0][0].tolist() == [0, 0]
    assert drawn(plot.sharing([nothing, nothing]))


def test_notebooks_show_it(image):
    figure = plot.layout(image)
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    again = pickle.loads(pickle.dumps(figure))
    assert drawn(again) == drawn(figure)


def test_without_matplotlib(tmp_path):
    """A sentence says what to install, for numpy as for matplotlib."""
    for module in ("numpy", "matplotlib"):
        code = (f"import sys; sys.modules[{module!r}] = None\n"
                "import rafs\n"
                f"with rafs.open({boot_of('v6-zstd')!r}) as image: rafs.plot.layout(image)")
        done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
        assert "pip install 'rafs[plot]'" in done.stderr.splitlines()[-1], done.stderr


def test_nothing_global_is_touched(image):
    drawn(plot.layout(image))
    assert "matplotlib.pyplot" not in sys.modules
