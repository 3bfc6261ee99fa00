# SPDX-License-Identifier: Apache-2.0
"""The chart of tests/bench/start: groups of bars over a logarithmic axis of seconds, as
SVG that needs nothing beside it."""

import math
from xml.sax.saxutils import escape

# side, name in the legend, colour
BARS = [("pull", "pulled and unpacked, then run", "#9aa5b1"),
        ("FUSE", "rafs mount, FUSE", "#f2b134"),
        ("kernel", "rafs mount, kernel's EROFS", "#3f8fd2"),
        ("trace", "the same, with an earlier start's trace", "#1c4e80")]
WIDTH, HEIGHT = 900, 470
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 104, 74
FONT = "font-family=\"'DejaVu Sans','Helvetica Neue',Arial,sans-serif\""
INK, QUIET, GRID = "#1f2933", "#52606d", "#e4e7eb"


class Axis:
    """Seconds to pixels, whole decades, with a little room below the least."""

    def __init__(self, values):
        self.low = 10 ** math.floor(math.log10(min(values) * 0.8))
        self.high = 10 ** math.ceil(math.log10(max(values) * 1.1))

    def y(self, value):
        part = math.log10(value / self.low) / math.log10(self.high / self.low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def lines(self):
        value = self.low
        while value <= self.high * 1.001:
            yield value, True
            for times in (2, 5):
                if value * times < self.high:
                    yield value * times, False
            value *= 10


def seconds(value):
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def rounds(number):
    return "one round" if number == 1 else f"medians of {number} rounds"


def tick(value):
    return f"{value:g} s"


def text(x, y, words, size=12, colour=INK, anchor="start", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
            f'text-anchor="{anchor}"{more}>{escape(words)}</text>')


def grid(axis):
    for value, strong in axis.lines():
        y = axis.y(value)
        yield (f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
               f'stroke="{GRID}" stroke-width="{1.4 if strong else 0.7}"/>')
        if strong:
            yield text(LEFT - 8, y + 4, tick(value), 12, QUIET, "end")


def legend(bars):
    x = LEFT
    for _, name, colour in bars:
        yield f'<rect x="{x}" y="72" width="12" height="12" rx="2" fill="{colour}"/>'
        yield text(x + 18, 82.5, name, 12)
        x += 34 + 6.55 * len(name)


def group(axis, image, bars, left, width):
    bar = min(40.0, (width - 26) / len(bars))
    x = left + (width - bar * len(bars)) / 2
    base = HEIGHT - BOTTOM
    for side, name, colour in bars:
        value = image["seconds"].get(side)
        if value:
            y = axis.y(value)
            yield (f'<rect x="{x + 1.5:.1f}" y="{y:.1f}" width="{bar - 3:.1f}" '
                   f'height="{base - y:.1f}" rx="2" fill="{colour}"><title>'
                   f'{escape(image["name"])}, {escape(name)}: {seconds(value)} s, '
                   f'{image["bytes"][side] / 1e6:.1f} MB</title></rect>')
            yield text(x + bar / 2, y - 5, seconds(value), 11, INK, "middle")
        x += bar
    middle = left + width / 2
    yield text(middle, base + 20, image["name"], 13, INK, "middle", ' font-weight="bold"')
    yield text(middle, base + 37, f"{image['size'] / 1e6:.0f} MB of tar.gz", 11, QUIET,
               "middle")
    if "kernel" in image["bytes"]:
        yield text(middle, base + 52, f"{image['bytes']['kernel'] / 1e6:.1f} MB fetched "
                   "to start", 11, QUIET, "middle")


def draw(found, path):
    """`found` is what tests/bench/start --json writes."""
    images = found["images"]
    bars = [b for b in BARS if any(b[0] in i["seconds"] for i in images)]
    axis = Axis([s for i in images for side, s in i["seconds"].items()
                 if side in [b[0] for b in bars]])
    width = (WIDTH - LEFT - RIGHT) / len(images)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             f'width="{WIDTH}" height="{HEIGHT}" {FONT}>',
             f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#ffffff"/>',
             text(LEFT, 30, "From nothing cached to a program that has run", 19, INK,
                  more=' font-weight="bold"'),
             text(LEFT, 51, f"seconds, logarithmic: less is better; registry behind a link "
                  f"of {found['rate'] / 1e6:.0f} MB/s and {found['latency']} ms; "
                  + rounds(found["rounds"]), 12, QUIET),
             *legend(bars), *grid(axis)]
    for number, image in enumerate(images):
        parts += group(axis, image, bars, LEFT + number * width, width)
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" '
                 f'y2="{HEIGHT - BOTTOM}" stroke="{INK}" stroke-width="1"/>')
    parts.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(parts))
