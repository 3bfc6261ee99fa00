# SPDX-License-Identifier: Apache-2.0
"""What the pictures have in common: colours, lengths, text, axes."""
from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ._table import numpy

#: For groups, the largest first; told apart with any eyes (P. Tol's muted scheme), and grey for
#: the rest.
COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255",
           "#aa4499")
OTHER, SHARED, NOTHING, INK = "#bbbbbb", "#222222", "", "#333333"
FAINT = "#888888"  # as OTHER, for what is small


def ready() -> Any:
    """numpy, where matplotlib is there too; else a sentence that says what to install."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'rafs[plot]'") from None
    return numpy()


def figure(width: float, height: float) -> Any:
    """An empty figure of so many inches; nothing of pyplot is used."""
    from ._picture import Picture
    return Picture(figsize=(width, height), layout="constrained")


def length_of(count: float) -> str:
    """A length as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError


@functools.lru_cache(maxsize=4)
def _glyphs(font: str) -> frozenset[int]:
    from matplotlib import font_manager
    return frozenset(font_manager.get_font(font).get_charmap()) - set(range(32))


def text_of(name: str, length: int) -> str:
    """A name without what the font for text does not have, no longer than so many characters: of
    a path the last part matters most."""
    from matplotlib import font_manager
    known = _glyphs(font_manager.findfont(font_manager.FontProperties()))
    plain = "".join(c if ord(c) in known else "?" for c in name)
    if len(plain) > length:
        above, slash, last = plain.rpartition("/")
        last = slash + last
        if len(last) >= length:
            above, room = "", length - 1 - (1 if above else 0)
            tail = room // 3
            last = f"{last[:room - tail]}…{last[-tail:]}" if len(last) > room else last
        plain = f"{above[:length - 1 - len(last)].rstrip('/')}…{last}" if len(last) < length else last
    return plain.replace("$", r"\$")  # no formulas


def bytes_on(axis: Any) -> None:
    """Bytes on an axis."""
    from matplotlib.ticker import EngFormatter, MaxNLocator
    axis.set_major_formatter(EngFormatter("B", sep=" "))
    axis.set_major_locator(MaxNLocator(5))


def legend(axes: Any, labels: Sequence[str], colours: Sequence[str]) -> None:
    """What colours mean, beside the picture. NOTHING is a pattern."""
    from matplotlib.patches import Patch
    axes.legend(handles=[
        Patch(facecolor="white" if colour == NOTHING else colour, edgecolor="#999999",
              linewidth=0.5, hatch="xxxxx" if colour == NOTHING else None, label=label)
        for colour, label in zip(colours, labels)],
        loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small",
        labelcolor=INK)


__all__ = ["COLOURS", "FAINT", "INK", "NOTHING", "OTHER", "SHARED", "bytes_on", "figure",
           "legend", "length_of", "ready", "text_of"]
