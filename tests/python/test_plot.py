# SPDX-License-Identifier: Apache-2.0
"""Pictures: the numbers behind them are exact, and drawing them says nothing."""
import io
import json
import os
import subprocess
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
    for row, (path, blob, offset, size) in zip(rows, chunks):
        row["file"], row["blob"] = paths.index(path), blob
        row["compressed_offset"], row["compressed_size"], row["length"] = offset, size, size
        row["digest"] = offset.to_bytes(32, "little")
    return plot.Table(paths, [f"{number:064x}" for number in range(len(sizes))], sizes, rows)


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_layout_amounts():
    figure = plot.layout(made_up(("/a/x", 0, 0, 100), ("/a/y", 0, 100, 200), ("/b/z", 0, 300, 50),
                                 ("/a/x", 1, 0, 10), ("/b/z", 1, 0, 10), sizes=[400, 20]))
    assert "/a  300 B" in legend(figure) and "/b  50 B" in legend(figure)
    assert "in several  10 B" in legend(figure) and "not in this image  60 B" in legend(figure)
    assert drawn(figure).startswith(b"\x89PNG")


def test_cells():
    chunks = made_up(("/a", 0, 0, 15), ("/b", 0, 15, 30), sizes=[60]).rows
    cells = plot._cells(chunks, np.array([0, 1]), 10, 6)
    empty = len(plot.COLOURS) + 2
    assert cells[0] == 0 and cells[2] == cells[3] == cells[4] == 1 and cells[5] == empty
    assert cells[1] in (0, 1)


def test_groups():
    paths = ["/usr/lib/a/x", "/usr/lib/b/y", "/usr/bin/c", "/etc/d"]
    assert plot.groups(paths, [40, 40, 15, 5]) == ["/usr/lib/a", "/usr/lib/b", "/usr/bin", "/etc"] \
        or set(plot.groups(paths, [40, 40, 15, 5])) >= {"/etc"}
    for most in (1, 2, 5, 9):
        names = plot.groups([f"/{n % 40}/{n % 7}/{n}" for n in range(1000)], range(1000), most)
        assert 0 < len(names) <= most and len(set(names)) == len(names)
    assert plot.groups([], []) == []


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
    assert drawn(figure) and drawn(plot.trace(trace))
    alone = plot.trace(image)
    assert [text.get_text() for axes in alone.axes for text in axes.texts] == texts
    with open_variant("v6-zstd") as other:
        other.trace_start()
        assert drawn(plot.trace(other.trace()))  # of nothing


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


def test_nothing_global_is_touched(image):
    import sys
    drawn(plot.layout(image))
    assert "matplotlib.pyplot" not in sys.modules
