# SPDX-License-Identifier: Apache-2.0
"""Pictures of images: what lies where, what a run used, what images share.

Needs numpy and matplotlib: `pip install 'rafs[plot]'`. Each function gives a
`matplotlib.figure.Figure`: notebooks show it, with pyplot or without, and
`figure.savefig("a.png")` keeps it. The numbers behind them come as arrays: table(),
trace_data(), sharing_data().
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._drawing import (
    COLOURS,
    FAINT,
    INK,
    NOTHING,
    OTHER,
    SHARED,
    bytes_on,
    figure,
    legend,
    length_of,
    ready,
    text_of,
)
from ._groups import group_of, groups
from ._sharing import sharing_data
from ._table import Table, distinct, files_of, numpy, table, trace_data
from .image import Image
from .trace import Trace

#: Cells of a layout, and of each of its rows.
_CELLS, _COLUMNS = 48_000, 400
#: Kinds of cells: a number for each group, then these.
_OTHER = len(COLOURS)
_SHARED, _DEAD, _OUTSIDE = _OTHER + 1, _OTHER + 2, _OTHER + 3


def layout(image: Image | Table, *, by: Sequence[str] | None = None,
           title: str | None = None) -> Any:
    """What lies where in the blobs, by directory: those in `by` (nine at most), or else those
    that hold most.

    Each blob is a block of cells, read like text: from left to right, then the next row. A cell
    has the colour of the directory that most of its bytes belong to. Black is used by several;
    the pattern is used by nothing in this image: dead, or a blob's own tables.

    >>> rafs.plot.layout(image).savefig(directory / "layout.png")
    >>> rafs.plot.layout(image, by=["/etc"]).savefig(directory / "etc.png")
    """
    np = ready()
    chunks = image if isinstance(image, Table) else table(image)
    rows = chunks.rows
    first, uses = distinct(rows)  # of chunks that several files have, the first stands for all
    once = rows[first]
    if by is None:
        names = groups(chunks.paths, np.bincount(once["file"], once["compressed_size"],
                                                 minlength=len(chunks.paths)), len(COLOURS))
    elif len(by) > len(COLOURS):
        raise ValueError(f"by: {len(by)} directories; there are colours for {len(COLOURS)}")
    else:
        names = ["/" + name.strip("/") for name in by]
    chosen = {name: number for number, name in enumerate(names)}
    of_file = np.array([group_of(path, chosen, _OTHER) for path in chunks.paths], "i4")
    of_use = of_file[rows["file"]] if len(rows) else np.zeros(0, "i4")
    kinds = np.full(len(first), _SHARED, "i4")
    lowest, highest = kinds.copy(), np.full(len(first), -1, "i4")
    np.minimum.at(lowest, uses, of_use)
    np.maximum.at(highest, uses, of_use)
    kinds[lowest == highest] = lowest[lowest == highest]
    return _draw_layout(chunks, once, kinds, names, title)


def _draw_layout(chunks: Table, once: Any, kinds: Any, names: list[str],
                 title: str | None) -> Any:
    np = numpy()
    sizes = chunks.blob_sizes
    cell = max(1, min(-(-sum(sizes) // _CELLS), -(-max(sizes, default=1) // _COLUMNS)))
    heights = [max(1, -(-size // (cell * _COLUMNS))) for size in sizes]
    gap = 1 if len(heights) <= 60 else 0
    cells, starts = [np.zeros((0, _COLUMNS), "i4")], []
    for index, (size, height) in enumerate(zip(sizes, heights)):
        mine = once["blob"] == index
        block = _cells(once[mine], kinds[mine], cell, height * _COLUMNS)
        block[-(-size // cell):] = _OUTSIDE
        starts.append(sum(map(len, cells)))
        cells += [block.reshape(height, _COLUMNS), np.full((gap, _COLUMNS), _OUTSIDE)]
    picture = _colours(np.concatenate(cells))
    fig = figure(10, 2.2 + min(7.5, max(1.2, len(picture) * 0.045)))
    axes = fig.add_subplot()
    axes.imshow(picture, aspect="auto", interpolation="nearest",
                extent=(0, cell * _COLUMNS, max(1, len(picture)), 0))
    bytes_on(axes.xaxis)
    axes.set_xlabel(f"place in a row; a row is {length_of(cell * _COLUMNS)}, "
                    f"a cell {length_of(cell)}", color=INK)
    _blob_labels(axes, chunks, starts, heights, cell * _COLUMNS)
    axes.tick_params(length=0, colors=INK, labelsize="small")
    axes.spines[:].set_visible(False)
    _layout_legend(axes, once, kinds, names, sum(sizes))
    different, _ = distinct(chunks.rows, "chunk")
    axes.set_title(title or f"{len(sizes)} blob{'s' * (len(sizes) != 1)}, "
                   f"{length_of(sum(sizes))} stored; {len(different):,} chunks, used "
                   f"{len(chunks.rows):,} times by {len(chunks.paths):,} files",
                   loc="left", fontsize="medium", color=INK)
    return fig


def _colours(cells: Any) -> Any:
    """Cells as a picture. What is dead has a pattern, for that no colour is as clear."""
    np = numpy()
    from matplotlib.colors import to_rgb
    palette = np.array([to_rgb(c) for c in (*COLOURS, OTHER, SHARED, "white", "white")])
    picture = palette[cells]
    row, column = np.indices(cells.shape)
    picture[(cells == _DEAD) & ((row + column // 3) % 2 == 0)] = to_rgb(FAINT)
    return picture if len(picture) else np.ones((1, _COLUMNS, 3))


def _blob_labels(axes: Any, chunks: Table, starts: list[int], heights: list[int],
                 width: int) -> None:
    """Which blob is which; of few, offsets too."""
    from matplotlib.ticker import EngFormatter, MaxNLocator
    if len(heights) > 25:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(heights)} blobs, the first above", color=INK)
        return
    places: list[float] = []
    labels: list[str] = []
    inch = sum(heights) / (axes.figure.get_figheight() - 1)
    for name, size, start, height in zip(chunks.blobs, chunks.blob_sizes, starts, heights):
        short = text_of(name[:8], 8)
        if height > inch:  # there is room for offsets
            steps = MaxNLocator(max(2, int(height / inch * 1.5))).tick_values(0, size)
            within = [step for step in steps if inch / 3 < step / width < height - inch / 5]
            places += [start, *(start + step / width for step in within)]
            labels += [f"{short}   0 B", *(EngFormatter("B", sep=" ")(step) for step in within)]
        elif height > inch / 6 or not places or start + height / 2 - places[-1] > inch / 6:
            places.append(start + height / 2)
            labels.append(f"{short}  {length_of(size)}")
    axes.set_yticks(places, labels)


def _layout_legend(axes: Any, once: Any, kinds: Any, names: list[str], stored: int) -> None:
    np = numpy()
    amounts = np.bincount(kinds, once["compressed_size"], minlength=_SHARED + 1)
    lines = [(_rest(name, names), amounts[number], COLOURS[number])
             for number, name in enumerate(names)]
    lines += [("other", amounts[_OTHER], OTHER), ("in several", amounts[_SHARED], SHARED),
              ("not in this image", max(0, stored - amounts.sum()), NOTHING)]
    lines = [line for line in lines if line[1] or line[0] in names]
    legend(axes, [f"{name}  {length_of(amount)}" for name, amount, _ in lines],
           [colour for *_, colour in lines])


def _rest(name: str, names: Sequence[str]) -> str:
    """How a group is called: one that others are taken out of is the rest."""
    inside = any(other.startswith(name + "/") for other in names)
    return text_of(name, 30) + (", the rest" if inside else "")


def _cells(chunks: Any, kinds: Any, cell: int, count: int) -> Any:
    """The kind of each cell: the one that most of its bytes belong to."""
    np = numpy()
    amount = np.zeros((_DEAD, count + 1))
    begin = chunks["compressed_offset"].astype("i8")
    end = begin + chunks["compressed_size"]
    first, last = begin // cell, np.maximum(begin, end - 1) // cell
    same = first == last
    np.add.at(amount, (kinds, first), np.where(same, end - begin, (first + 1) * cell - begin))
    np.add.at(amount, (kinds[~same], last[~same]), (end - last * cell)[~same])
    # Cells that one chunk fills from side to side.
    edges = np.zeros((_DEAD, count + 2))
    wide = last > first + 1
    np.add.at(edges, (kinds[wide], first[wide] + 1), cell)
    np.add.at(edges, (kinds[wide], last[wide]), -cell)
    amount += np.cumsum(edges, axis=1)[:, :count + 1]
    amount = amount[:, :count]
    return np.where(amount.sum(axis=0) > 0, amount.argmax(axis=0), _DEAD)


def trace(trace: Trace | Image, image: Image | None = None, *, title: str | None = None) -> Any:
    """When a run used what: time against place in the blobs, how much it came to, and which
    files it was. With the image files have names. Of an image it is what was recorded so far.

    >>> image.trace_start()
    >>> _ = image.read_bytes("/data/table")
    >>> rafs.plot.trace(image).savefig(directory / "trace.png")
    """
    np = ready()
    if isinstance(trace, Image):
        image = trace if image is None else image
        trace = trace.trace()
    blobs = trace.blobs
    if image is not None and [blob.id for blob in image.info.blobs] != [name for name, _ in blobs]:
        raise ValueError("the trace is of another image: its blobs are others")
    events = trace_data(trace)
    sizes = events["compressed_size"].astype("f8")
    ends = np.array([0, *(size for _, size in blobs)], "u8")
    np.maximum.at(ends, events["blob"] + 1, events["compressed_offset"] + events["compressed_size"])
    bases = np.cumsum(ends).astype("f8")
    inodes, of_event = np.unique(events["ino"], return_inverse=True)
    costs = np.bincount(of_event.reshape(-1), sizes, minlength=len(inodes))
    order = np.argsort(-costs, kind="stable")
    top = order[:len(COLOURS)]
    number = np.full(len(inodes), len(COLOURS))
    number[top] = np.arange(len(top))

    fig = figure(11, 6)
    grid = fig.add_gridspec(2, 2, width_ratios=(3, 1.4), height_ratios=(3, 1.2))
    above = fig.add_subplot(grid[0, 0])
    below = fig.add_subplot(grid[1, 0], sharex=above)
    _places(above, events, bases, number[of_event.reshape(-1)])
    _blob_names(above, [name for name, _ in blobs], bases)
    _sums(below, events["time_us"] / 1e6, sizes)
    names = dict((ino, path) for path, ino in files_of(image)) if image is not None else {}
    bars = [(names.get(ino, f"inode {ino}" if ino else "not known"), cost, colour)
            for ino, cost, colour in zip(inodes[top].tolist(), costs[top].tolist(), COLOURS)]
    if len(order) > len(top):
        bars.append((f"{len(order) - len(top):,} others", float(costs[order[len(top):]].sum()),
                     FAINT))
    _bars(fig.add_subplot(grid[:, 1]), bars)
    share = f" of {length_of(bases[-1])} ({sizes.sum() / bases[-1]:.1%})" if bases[-1] else ""
    fig.suptitle(title or f"{len(events):,} chunks of {len(inodes):,} files, "
                 f"{length_of(sizes.sum())}{share} in {trace.duration:.3g} s"
                 + ("" if trace.complete else "; more was read than is recorded"),
                 x=0.01, ha="left", fontsize="medium", color=INK)
    return fig


def _places(axes: Any, events: Any, bases: Any, number: Any) -> None:
    """Each event where it is, at least as high as can be seen."""
    np = numpy()
    from matplotlib.colors import to_rgba
    colours = np.array([to_rgba(colour) for colour in (*COLOURS, FAINT)])[number]
    times, sizes = events["time_us"] / 1e6, events["compressed_size"].astype("f8")
    places = bases[events["blob"]] + events["compressed_offset"]
    axes.vlines(times, places, places + np.maximum(sizes, bases[-1] / 300), colors=colours,
                linewidth=3)
    axes.scatter(times, places + sizes / 2, c=colours, s=7, linewidths=0)
    axes.set_ylim(max(bases[-1], 1), 0)
    bytes_on(axes.yaxis)
    axes.set_ylabel("place in the blobs", color=INK)
    axes.tick_params(labelbottom=False)


def _blob_names(axes: Any, names: Sequence[str], bases: Any) -> None:
    """Where blobs begin, and the names of those with room for one."""
    np = numpy()
    if not 2 <= len(names) <= 40:
        return
    for base in bases[1:-1]:
        axes.axhline(base, color="#cccccc", linewidth=0.6, zorder=0)
    large = np.flatnonzero(np.diff(bases) > bases[-1] / 20)
    side = axes.secondary_yaxis("right")
    side.set_yticks(((bases[:-1] + bases[1:]) / 2)[large],
                    [text_of(names[index][:8], 8) for index in large])
    side.tick_params(length=0, labelsize="x-small", labelcolor=INK)


def _sums(axes: Any, times: Any, sizes: Any) -> None:
    np = numpy()
    axes.step([0, *times], np.concatenate([[0], np.cumsum(sizes)]), where="post", color=INK)
    bytes_on(axes.yaxis)
    axes.set_xlabel("seconds since recording began", color=INK)
    axes.set_ylabel("used so far", color=INK)
    axes.set_ylim(bottom=0)


def _bars(axes: Any, bars: list[tuple[str, float, str]]) -> None:
    """Files by what they cost, each name above its bar."""
    axes.barh(range(len(bars)), [amount for _, amount, _ in bars],
              color=[colour for *_, colour in bars], height=0.35)
    for number, (label, amount, _) in enumerate(bars):
        axes.text(0, number - 0.24, f"{text_of(label, 38)}  {length_of(amount)}", va="bottom",
                  fontsize="x-small", color=INK)
    axes.set_ylim(max(len(bars), 8) - 0.5, -0.75)
    axes.set_yticks([])
    bytes_on(axes.xaxis)
    axes.tick_params(axis="x", labelsize="small")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title("files that cost most", loc="left", fontsize="small", color=INK)


def sharing(images: Sequence[Image | Table], labels: Sequence[str] | None = None, *,
            title: str | None = None) -> Any:
    """What images have in common: how much of each (rows) is in each other one (columns), and
    what only one has.

    >>> rafs.plot.sharing([image, image], ["old", "new"]).savefig(directory / "sharing.png")
    """
    np = ready()
    matrix, alone, levels = sharing_data(images)
    count = len(images)
    names = [text_of(name, 24) for name in labels or [f"image {n + 1}" for n in range(count)]]
    if len(names) != count:
        raise ValueError(f"{len(names)} labels for {count} images")
    own = np.maximum(matrix.diagonal(), 1)
    part = matrix / own[:, None]
    size = min(9.0, 2.5 + 0.55 * count)
    fig = figure(size + 5.5, size + 0.8)
    left, right = fig.subplots(1, 2, width_ratios=(size, 4.2))
    left.imshow(part, cmap="Blues", vmin=0, vmax=1)
    long = max(map(len, names)) > 10
    turned = 90 if long and count > 9 else 30 if long else 0
    small = "medium" if count <= 9 else "small" if count <= 25 else "xx-small"
    left.set_xticks(range(count), names, rotation=turned, fontsize=small,
                    ha="right" if turned == 30 else "center")
    left.set_yticks(range(count), names, fontsize=small)
    if count <= 16:
        for row in range(count):
            for column in range(count):
                text = f"{part[row, column]:.0%}"
                if count <= 9:
                    text += f"\n{length_of(matrix[row, column])}"
                left.text(column, row, text, ha="center", va="center", fontsize="small",
                          color="white" if part[row, column] > 0.6 else INK)
    left.set_title("how much of a row's image a column's has", loc="left", fontsize="small",
                   color=INK)
    _stack(right, levels, names)
    apart, together = matrix.diagonal().sum(), (levels / np.arange(1, count + 1)).sum()
    saved = f", {1 - together / apart:.1%} saved" if apart else ""
    fig.suptitle(title or f"{count} image{'s' * (count != 1)}: each by itself "
                 f"{length_of(apart)}, together {length_of(together)}{saved}",
                 x=0.01, ha="left", fontsize="medium", color=INK)
    return fig


def _stack(axes: Any, levels: Any, names: list[str]) -> None:
    """A bar for each image, of what it alone has, what some have, and what all have."""
    np = numpy()
    count = len(names)
    parts = [("only here", levels[:, 0], COLOURS[6])]
    if count > 2:
        parts.append(("in some", levels[:, 1:-1].sum(axis=1), COLOURS[1]))
    if count > 1:
        parts.append(("in all", levels[:, -1], COLOURS[0]))
    start = np.zeros(count)
    for label, amounts, colour in parts:
        axes.barh(range(count), amounts, left=start, color=colour, label=label,
                  height=0.6)
        start = start + amounts
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks(range(count), names if count > 9 else [""] * count,
                    fontsize="small" if count <= 25 else "xx-small")
    bytes_on(axes.xaxis)
    axes.set_xlabel("of files, each chunk once")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1),
                ncols=3, borderaxespad=0.1)


__all__ = ["Table", "groups", "layout", "sharing", "sharing_data", "table", "trace", "trace_data"]
