# SPDX-License-Identifier: Apache-2.0
"""Pictures of images: what lies where, what a run used, what images share.

Needs numpy and matplotlib: `pip install 'rafs[plot]'`. Each function gives a
`matplotlib.figure.Figure`: notebooks show it, `figure.savefig("a.png")` keeps it.
"""
from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ._table import Table, files_of, numpy, table
from .image import Image
from .trace import Trace

#: For groups, the largest first; told apart with any eyes (P. Tol's muted scheme), and grey for
#: the rest.
COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255",
           "#aa4499")
OTHER, SHARED, NOTHING, INK = "#bbbbbb", "#222222", "#ffffff", "#333333"
_FAINT = "#888888"  # as OTHER, for what is small

#: Cells of a layout, and of each of its rows.
_CELLS, _COLUMNS = 48_000, 400


def _figure(width: float, height: float) -> Any:
    numpy()
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'rafs[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _bytes(count: float) -> str:
    """A length as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError


@functools.lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """What the font for text has."""
    from matplotlib import font_manager
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return frozenset(font.get_charmap()) - set(range(32))


def _text(name: str, length: int) -> str:
    """A name without what fonts do not have, no longer than so many characters."""
    known = _glyphs()
    plain = "".join(c if ord(c) in known else "?" for c in name)
    plain = plain.replace("$", r"\$")
    if len(plain) <= length:
        return plain
    head = length // 3
    return f"{plain[:head]}…{plain[head + 1 - length:]}"


def groups(paths: Sequence[str], weights: Any, most: int = len(COLOURS)) -> list[str]:
    """The directories that files are best told apart by: those that hold most, the large ones
    split into what is in them, at most so many. Each path belongs to the longest that it begins
    with."""
    totals: Counter[str] = Counter()
    name: str | None
    for path, weight in zip(paths, weights):
        parts = path.split("/")
        for depth in range(2, len(parts) + 1):
            totals["/".join(parts[:depth])] += int(weight)
    children: dict[str, list[str]] = {}
    for place in totals:
        children.setdefault(place.rpartition("/")[0], []).append(place)
    everything = sum(totals[place] for place in children.get("", ()))
    chosen = _largest(children.get("", []), totals, most)
    whole: set[str] = set()  # no longer to be split
    while True:
        name = max((one for one in chosen if one not in whole), key=totals.__getitem__,
                   default=None)
        if name is None or totals[name] * 8 < everything:
            return sorted(chosen, key=totals.__getitem__, reverse=True)
        parts = [part for part in children.get(name, ())  # directories; a file is no group
                 if part in children and totals[part] * 50 >= everything]
        rest = totals[name] - sum(totals[part] for part in parts)
        split = [one for one in chosen if one != name] + parts
        if rest * 50 >= everything:
            split.append(name)  # for what is in none of the parts
        if parts and len(split) <= most:
            chosen = split
        whole.add(name)


def _largest(names: Iterable[str], totals: Counter[str], most: int) -> list[str]:
    return sorted(names, key=totals.__getitem__, reverse=True)[:most]


def _rest(name: str, names: Sequence[str]) -> str:
    """How a group is called: one that others are taken out of is the rest."""
    inside = any(other.startswith(name + "/") for other in names)
    return _text(name, 30) + (", the rest" if inside else "")


def _axis(axis: Any) -> None:
    """Bytes on an axis."""
    from matplotlib.ticker import EngFormatter, MaxNLocator
    axis.set_major_formatter(EngFormatter("B", sep=" "))
    axis.set_major_locator(MaxNLocator(5))


def _group_of(path: str, chosen: dict[str, int]) -> int:
    while path:
        if path in chosen:
            return chosen[path]
        path = path.rpartition("/")[0]
    return len(COLOURS)


def layout(image: Image | Table, *, title: str | None = None) -> Any:
    """What lies where in the blobs, by directory.

    Each blob is a block of cells, read like text: from left to right, then the next row. A cell
    has the colour of the directory that most of its bytes belong to; black is used by several,
    white by nothing in this image.

    >>> rafs.plot.layout(image).savefig(directory / "layout.png")
    """
    np = numpy()
    chunks = image if isinstance(image, Table) else table(image)
    rows = chunks.rows
    # Of chunks that several files have, the first stands for all.
    _, first, uses = np.unique(rows[["blob", "compressed_offset"]], return_index=True,
                               return_inverse=True)
    weight = np.bincount(rows["file"][first], rows["compressed_size"][first],
                         minlength=len(chunks.paths))
    names = groups(chunks.paths, weight)
    chosen = {name: number for number, name in enumerate(names)}
    group_of_file = np.array([_group_of(path, chosen) for path in chunks.paths], "i4")
    group = group_of_file[rows["file"]] if len(rows) else np.zeros(0, "i4")
    lowest = np.full(len(first), len(COLOURS) + 1, "i4")
    highest = np.full(len(first), -1, "i4")
    np.minimum.at(lowest, uses.reshape(-1), group)
    np.maximum.at(highest, uses.reshape(-1), group)
    group = np.where(lowest == highest, lowest, len(COLOURS) + 1)
    distinct = rows[first]
    amounts = np.bincount(group, distinct["compressed_size"], minlength=len(COLOURS) + 2)
    total = sum(chunks.blob_sizes)
    cell = max(1, -(-total // _CELLS))
    height = [max(1, -(-size // (cell * _COLUMNS))) for size in chunks.blob_sizes]
    return _draw_layout(chunks, distinct, group, names, amounts, cell, height, title)


def _draw_layout(chunks: Table, distinct: Any, group: Any, names: list[str], amounts: Any,
                 cell: int, height: list[int], title: str | None) -> Any:
    np = numpy()
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    gap = 1 if len(height) <= 60 else 0
    count = sum(height) + gap * max(0, len(height) - 1)
    palette = np.array([to_rgb(c) for c in (*COLOURS, OTHER, SHARED, NOTHING)])
    picture = np.ones((max(1, count), _COLUMNS, 3))
    starts, row = [], 0
    for index, rows_here in enumerate(height):
        mine = distinct["blob"] == index
        colours = _cells(distinct[mine], group[mine], cell, rows_here * _COLUMNS)
        block = palette[colours].reshape(rows_here, _COLUMNS, 3)
        end = -(-chunks.blob_sizes[index] // cell)
        beyond = np.arange(rows_here * _COLUMNS).reshape(rows_here, _COLUMNS) >= end
        block[beyond] = to_rgb("#eeeeee")
        picture[row:row + rows_here] = block
        starts.append(row)
        row += rows_here + gap
    figure = _figure(10, 2.2 + min(9.0, max(1.2, count * 0.045)))
    axes = figure.add_subplot()
    width = cell * _COLUMNS
    axes.imshow(picture, aspect="auto", interpolation="nearest",
                extent=(0, width, picture.shape[0], 0))
    _axis(axes.xaxis)
    axes.set_xlabel(f"offset in the row; a row is {_bytes(cell * _COLUMNS)}, "
                    f"a cell {_bytes(cell)}")
    if len(height) <= 25:
        axes.set_yticks([start + rows / 2 for start, rows in zip(starts, height)],
                        [f"{_text(name, 10) if len(name) < 11 else name[:8] + '…'}\n{_bytes(size)}"
                         if rows > 3 or len(height) < 12 else name[:8]
                         for name, size, rows in zip(chunks.blobs, chunks.blob_sizes, height)])
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(height)} blobs, the first above")
    axes.tick_params(length=0, colors=INK)
    labels = [*(f"{_rest(name, names)}  {_bytes(amount)}" for name, amount in zip(names, amounts)),
              f"other  {_bytes(amounts[len(COLOURS)])}",
              f"in several  {_bytes(amounts[len(COLOURS) + 1])}",
              f"not in this image  {_bytes(max(0, sum(chunks.blob_sizes) - amounts.sum()))}"]
    shown = [*COLOURS[:len(names)], OTHER, SHARED, NOTHING]
    axes.legend(handles=[Patch(facecolor=colour, edgecolor="#999999", linewidth=0.5, label=label)
                         for colour, label in zip(shown, labels)],
                loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small",
                labelcolor=INK)
    axes.set_title(title or f"{len(chunks.blobs)} blob{'s' * (len(chunks.blobs) != 1)}, "
                   f"{_bytes(sum(chunks.blob_sizes))} stored, {len(distinct):,} chunks of "
                   f"{len(chunks.paths):,} files", loc="left", fontsize="medium", color=INK)
    return figure


def _cells(chunks: Any, group: Any, cell: int, count: int) -> Any:
    """The colour of each cell: the group that most of its bytes belong to."""
    np = numpy()
    kinds = len(COLOURS) + 2
    amount = np.zeros((kinds, count + 1))
    begin = chunks["compressed_offset"].astype("i8")
    end = begin + chunks["compressed_size"]
    first, last = begin // cell, np.maximum(begin, end - 1) // cell
    same = first == last
    np.add.at(amount, (group, first), np.where(same, end - begin, (first + 1) * cell - begin))
    np.add.at(amount, (group[~same], last[~same]), (end - last * cell)[~same])
    # Cells that one chunk fills from side to side.
    edges = np.zeros((kinds, count + 2))
    wide = last > first + 1
    np.add.at(edges, (group[wide], first[wide] + 1), cell)
    np.add.at(edges, (group[wide], last[wide]), -cell)
    amount += np.cumsum(edges, axis=1)[:, :count + 1]
    amount = amount[:, :count]
    return np.where(amount.sum(axis=0) > 0, amount.argmax(axis=0), kinds)


def trace(trace: Trace | Image, image: Image | None = None, *, title: str | None = None) -> Any:
    """When a run used what: time against place in the blobs, how much it came to, and which
    files it was. With the image files have names, and the share of it is known. Of an image
    alone it is what was recorded so far.

    >>> image.trace_start()
    >>> _ = image.read_bytes("/data/table")
    >>> rafs.plot.trace(image.trace(), image).savefig(directory / "trace.png")
    """
    np = numpy()
    if isinstance(trace, Image):
        image = image or trace
        trace = trace.trace()
    events = list(trace)
    times = np.array([event.time for event in events])
    sizes = np.array([event.compressed_size for event in events], "f8")
    blobs = trace.blobs
    ends = np.zeros(len(blobs) + 1)
    for index, (_, size) in enumerate(blobs):
        seen = [e.compressed_offset + e.compressed_size for e in events if e.blob == index]
        ends[index + 1] = max([size, *seen])
    bases = np.cumsum(ends)
    places = np.array([bases[event.blob] + event.compressed_offset for event in events])
    costs: Counter[int] = Counter()
    for event in events:
        costs[event.ino] += event.compressed_size
    names = {ino: path for path, ino in files_of(image)} if image is not None else {}
    top = [ino for ino, _ in costs.most_common(len(COLOURS))]
    colours = [COLOURS[top.index(event.ino)] if event.ino in top else _FAINT for event in events]

    figure = _figure(11, 6)
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1.4), height_ratios=(3, 1.2))
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    side = figure.add_subplot(grid[:, 1])
    _places(above, times, places, sizes, colours, bases)
    below.step([0, *times], np.concatenate([[0], np.cumsum(sizes)]), where="post", color=INK)
    _axis(below.yaxis)
    below.set_xlabel("seconds since recording began")
    below.set_ylabel("fetched in all")
    below.set_ylim(bottom=0)
    labels = [names.get(ino, f"inode {ino}" if ino else "not known") for ino in top]
    rest = sum(costs.values()) - sum(costs[ino] for ino in top)
    amounts = [float(costs[ino]) for ino in top]
    bars = list(zip(labels, amounts, COLOURS))
    if rest:
        bars.append((f"{len(costs) - len(top):,} others", float(rest), _FAINT))
    _bars(side, bars)
    total = bases[-1] if len(bases) else 0
    share = f" of {_bytes(total)} ({sizes.sum() / total:.1%})" if total else ""
    figure.suptitle(title or f"{len(events):,} chunks of {len(costs):,} files, "
                    f"{_bytes(sizes.sum())}{share} in {trace.duration:.3g} s"
                    + ("" if trace.complete else "; more was read than is recorded"),
                    x=0.01, ha="left", fontsize="medium", color=INK)
    return figure


def _places(axes: Any, times: Any, places: Any, sizes: Any, colours: list[str],
            bases: Any) -> None:
    np = numpy()
    axes.vlines(times, places, places + np.maximum(sizes, bases[-1] / 300), colors=colours,
                linewidth=3)
    axes.scatter(times, places + sizes / 2, c=colours, s=7, linewidths=0)
    for base in bases[1:-1] if len(bases) <= 40 else ():
        axes.axhline(base, color="#cccccc", linewidth=0.6, zorder=0)
    axes.set_ylim(0, max(bases[-1], 1))
    _axis(axes.yaxis)
    axes.invert_yaxis()
    axes.set_ylabel("place in the blobs")
    axes.tick_params(labelbottom=False)


def _bars(axes: Any, bars: list[tuple[str, float, str]]) -> None:
    """Files by what they cost, each name above its bar."""
    axes.barh(range(len(bars)), [amount for _, amount, _ in bars],
              color=[colour for *_, colour in bars], height=0.35)
    for number, (label, amount, _) in enumerate(bars):
        axes.text(0, number - 0.24, f"{_text(label, 38)}  {_bytes(amount)}", va="bottom",
                  fontsize="x-small", color=INK)
    axes.set_ylim(max(len(bars), 8) - 0.5, -0.75)
    axes.set_yticks([])
    _axis(axes.xaxis)
    axes.tick_params(axis="x", labelsize="small")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title("most of it", loc="left", fontsize="small", color=INK)


def sharing_data(images: Sequence[Image | Table]) -> tuple[Any, Any, Any]:
    """What images have in common, by distinct chunks: a matrix of the bytes (of files, not
    stored) that two of them share, with each one's own on the diagonal; bytes that only one
    has; and bytes by the number of images that have them, a row for each image. As
    `rafs sharing` counts."""
    np = numpy()
    keys, owners = [], []
    for number, image in enumerate(images):
        rows = (image if isinstance(image, Table) else table(image)).rows
        distinct = np.unique(rows[["digest", "length", "algorithm"]].astype(
            [("digest", "V32"), ("length", "u8"), ("algorithm", "u4")]).view("V44"))
        keys.append(distinct)
        owners.append(np.full(len(distinct), number))
    count = len(images)
    if not count:
        raise ValueError("there are no images to compare")
    every, place = np.unique(np.concatenate(keys), return_inverse=True)
    lengths = every.view([("digest", "V32"), ("length", "u8"), ("algorithm", "u4")])["length"]
    has = np.zeros((count, len(every)), bool)
    has[np.concatenate(owners), place.reshape(-1)] = True
    sizes = lengths.astype("f8")
    matrix = (has * sizes) @ has.T.astype("f8")
    in_how_many = has.sum(axis=0)
    levels = np.array([[(sizes * (has[number] & (in_how_many == level))).sum()
                        for level in range(1, count + 1)] for number in range(count)])
    return matrix, levels[:, 0], levels


def sharing(images: Sequence[Image | Table], labels: Sequence[str] | None = None, *,
            title: str | None = None) -> Any:
    """What images have in common: how much of each (rows) is in each other one (columns), and
    what only one has.

    >>> rafs.plot.sharing([image, image], ["old", "new"]).savefig(directory / "sharing.png")
    """
    np = numpy()
    matrix, alone, levels = sharing_data(images)
    count = len(images)
    names = [_text(name, 24) for name in labels or [f"image {n + 1}" for n in range(count)]]
    if len(names) != count:
        raise ValueError(f"{len(names)} labels for {count} images")
    own = np.maximum(matrix.diagonal(), 1)
    part = matrix / own[:, None]
    size = min(9.0, 2.5 + 0.55 * count)
    figure = _figure(size + 5.5, size + 0.8)
    left, right = figure.subplots(1, 2, width_ratios=(size, 4.2))
    left.imshow(part, cmap="Blues", vmin=0, vmax=1)
    long = max(map(len, names)) > 10
    left.set_xticks(range(count), names, rotation=30 if long else 0,
                    ha="right" if long else "center")
    left.set_yticks(range(count), names)
    if count <= 16:
        for row in range(count):
            for column in range(count):
                text = f"{part[row, column]:.0%}"
                if count <= 9:
                    text += f"\n{_bytes(matrix[row, column])}"
                left.text(column, row, text, ha="center", va="center", fontsize="small",
                          color="white" if part[row, column] > 0.6 else INK)
    left.set_title("how much of a row's image a column's has", loc="left", fontsize="small",
                   color=INK)
    _stack(right, levels, names)
    apart, together = matrix.diagonal().sum(), (levels / np.arange(1, count + 1)).sum()
    saved = f", {1 - together / apart:.1%} saved" if apart else ""
    figure.suptitle(title or f"{count} images: each by itself {_bytes(apart)}, together "
                    f"{_bytes(together)}{saved}", x=0.01, ha="left", fontsize="medium", color=INK)
    return figure


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
    axes.set_yticks(range(count), names if count > 9 else [""] * count)
    _axis(axes.xaxis)
    axes.set_xlabel("of files, each chunk once")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1),
                ncols=3, borderaxespad=0.1)


__all__ = ["Table", "groups", "layout", "sharing", "sharing_data", "table", "trace"]
