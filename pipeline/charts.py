"""Charts as inline SVG: text in, escaped markup out; colours are the page's, by class.

A series has a class "s0".."s5" for its colour and its dashes, which tell it apart without colours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Point = tuple[float, float]
Histogram = tuple[list[float], dict[str, list[float]]]

_CHARACTER = 7.0  # width of a character of 12 units; the true one depends on the reader's font


def curves(
    series: Mapping[str, Sequence[Point]],
    title: str,
    x_label: str,
    y_label: str,
    level: tuple[str, float, float, float] | None = None,
    mark: tuple[str, float] | None = None,
) -> Markup:
    """Lines over one pair of axes, with a legend; points that are not finite are left out.

    Args:
      series: by name, (x, y) in order of x, which counts something; at most six.
      title: what a screen reader says of the picture.
      x_label: quantity and unit.
      y_label: quantity and unit.
      level: (name, y, low, high): a horizontal line across, with its interval as a band.
      mark: (name, x): a vertical line.
    """
    points = {n: [p for p in s if all(map(math.isfinite, p))] for n, s in series.items()}
    xs = [x for s in points.values() for x, _ in s]
    ys = [y for s in points.values() for _, y in s] + list(level[1:] if level else ())
    if not xs:
        return _figure(440, 60, title, [_text("no finite value", 220, 34, "middle")])
    names = [(name, f"s{i}") for i, name in enumerate(points)]
    names += [(about[0], kind) for about, kind in ((level, "level"), (mark, "mark")) if about]
    key, top = _legend(names, 440)
    axes = _Axes(440, 270, _padded(xs, 0), _padded(ys, 0.06), left=54, top=top + 6, bottom=42)
    parts = [*key, *axes.grid(), *axes.labels(x_label, y_label)]
    parts += [axes.band(*level[2:]), axes.across(level[1])] if level else []
    parts += [axes.upright(mark[1])] if mark else []
    for index, line in enumerate(points.values()):
        parts.append(axes.polyline(line, index))
        if len(line) <= 12:
            parts += [axes.dot(*point, index) for point in line]
    return _figure(440, 270, title, parts)


def histogram(found: Histogram, title: str) -> Markup:
    """Outlines of distributions over the same bins, small enough to stand in a row of many.

    Args:
      found: the bins' edges, [bins + 1], and by name the share of each bin, [bins].
      title: what a screen reader says of the picture.
    """
    edges, shares = found
    highest = max((share for own in shares.values() for share in own), default=0) or 1
    axes = _Axes(240, 128, _padded(edges, 0), (0, highest * 1.08), left=6, top=6, bottom=24)
    parts = [axes.across(0, "axis"), *axes.x_numbers(4)]
    for index, own in enumerate(shares.values()):
        outline = [(edges[0], 0.0)]
        for low, high, share in zip(edges, edges[1:], own, strict=False):
            outline += [(low, share), (high, share)]
        parts.append(axes.polyline([*outline, (edges[-1], 0.0)], index))
    return _figure(240, 128, title, parts)


def bins(values: Mapping[str, Sequence[float | None]], num_bins: int = 16) -> Histogram:
    """The same bins for every set of values; whole numbers get bins of whole numbers.

    Args:
      values: by name; None where undefined.
      num_bins: at most.

    Returns:
      Edges, [bins + 1], and by name the share of its defined values in each bin.

    Example:
      >>> bins({"a": [1, 2, 2, 2, None], "b": [3]})
      ([0.5, 1.5, 2.5, 3.5], {'a': [0.25, 0.75, 0.0], 'b': [0.0, 0.0, 1.0]})
    """
    defined = {name: [v for v in own if v is not None] for name, own in values.items()}
    everything = [v for own in defined.values() for v in own] or [0.0]
    low, high = min(everything), max(everything)
    if low == high or all(float(v).is_integer() for v in everything):
        width = float(math.ceil((high - low + 1) / num_bins))
        low, count = low - 0.5, math.ceil((high - low + 1) / width)
    else:
        width, count = (high - low) / num_bins, num_bins
    shares = {}
    for name, own in defined.items():
        counts = [0] * count
        for value in own:
            counts[min(int((value - low) / width), count - 1)] += 1
        shares[name] = [number / max(len(own), 1) for number in counts]
    return [low + width * i for i in range(count + 1)], shares


def intervals(rows: Sequence[tuple[str, float, float, float]], title: str, label: str) -> Markup:
    """A dot with its interval for each row, against a line at 0.

    Args:
      rows: (name, value, low, high).
      title: what a screen reader says of the picture.
      label: quantity and unit of the values.
    """
    height, left = 46 + 26 * len(rows), 20 + _CHARACTER * max(len(row[0][:24]) for row in rows)
    span = _padded([0.0, *(v for row in rows for v in row[1:])], 0.08)
    axes = _Axes(480, height, span, (0, len(rows)), left=left, top=6, bottom=40)
    parts = [*axes.x_numbers(5), axes.upright(0), *axes.labels(label, "")]
    parts += [axes.upright(value, "grid") for value in ticks(*span)]
    for index, (name, value, low, high) in enumerate(rows):
        y = len(rows) - index - 0.5
        shown = name if len(name) <= 24 else f"{name[:23]}…"
        parts.append(_text(shown, axes.left - 10, axes.y(y) + 4, "end"))
        parts += [axes.polyline([(low, y), (high, y)], 0), axes.dot(value, y, 0, radius=5)]
    return _figure(480, height, title, parts)


def legend(names: Sequence[str]) -> Markup:
    """The key to a row of histograms."""
    parts, height = _legend([(name, f"s{i}") for i, name in enumerate(names)], 440)
    return _figure(440, height, f"Key: {', '.join(names)}", parts)


def graph(nodes: Mapping[str, tuple[Sequence[str], Sequence[str]]], title: str) -> Markup:
    """Boxes with arrows from left to right, each with its items below its name.

    Args:
      nodes: by name, in topological order: (names of those it follows, its items).
      title: what a screen reader says of the picture.
    """
    columns: dict[str, int] = {}
    for name, (parents, _) in nodes.items():
        columns[name] = max((columns[parent] + 1 for parent in parents), default=0)
    boxes: dict[str, _Box] = {}
    x = height = 0.0
    for column in range(max(columns.values()) + 1):
        own = {name: nodes[name][1] for name in nodes if columns[name] == column}
        width = 22 + _CHARACTER * max(len(text) for name in own for text in (name, *own[name]))
        y = 1.0
        for name, items in own.items():
            boxes[name] = _Box(name, items, x + 1, y, width)
            y += boxes[name].height + 22
        x, height = x + width + 32, max(height, y - 20)
    arrows = [_arrow(boxes[p], boxes[n]) for n, (parents, _) in nodes.items() for p in parents]
    return _figure(x - 30, height, title, [*arrows, *(box.draw() for box in boxes.values())])


def ticks(low: float, high: float, num: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from low to high, about `num` of them.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / num
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{step * i:.10g}") for i in range(first, last + 1)]


@dataclass(frozen=True)
class _Axes:
    """Data to the picture's units: x to the right, y up."""

    width: float
    height: float
    x_span: tuple[float, float]
    y_span: tuple[float, float]
    left: float
    top: float
    bottom: float
    right: float = 14

    def x(self, value: float) -> float:
        low, high = self.x_span
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        low, high = self.y_span
        inner = self.height - self.top - self.bottom
        return self.top + (high - value) / (high - low) * inner

    def grid(self) -> list[Markup]:
        values = ticks(*self.y_span)
        numbers = [_text(f"{v:g}", self.left - 7, self.y(v) + 4, "end") for v in values]
        return [*(self.across(v, "grid") for v in values), *numbers, *self.x_numbers(5, 1)]

    def x_numbers(self, num: int, unit: float = 0) -> list[Markup]:
        values = [v for v in ticks(*self.x_span, num) if not unit or v % unit == 0]
        y = self.height - self.bottom + 16
        return [_text(f"{v:g}", self.x(v), y, "middle") for v in values]

    def labels(self, x_label: str, y_label: str) -> list[Markup]:
        x, y = (self.left + self.width - self.right) / 2, (self.top + self.height - self.bottom) / 2
        turned = _text(y_label, 12, y, "middle", transform=f"rotate(-90 12 {y:.1f})")
        return [_text(x_label, x, self.height - 6, "middle"), turned]

    def band(self, low: float, high: float) -> Markup:
        (left, right), (bottom, top) = map(self.x, self.x_span), map(self.y, (low, high))
        return _rectangle(left, top, right - left, bottom - top, "band")

    def across(self, value: float, kind: str = "level") -> Markup:
        left, right = map(self.x, self.x_span)
        return _line(left, self.y(value), right, self.y(value), kind)

    def upright(self, value: float, kind: str = "mark") -> Markup:
        return _line(self.x(value), self.top, self.x(value), self.height - self.bottom, kind)

    def polyline(self, points: Sequence[Point], index: int) -> Markup:
        text = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return _element("polyline", class_=f"line s{index % 6}", points=text)

    def dot(self, x: float, y: float, index: int, radius: float = 2.8) -> Markup:
        return _element("circle", class_=f"dot s{index % 6}", cx=self.x(x), cy=self.y(y), r=radius)


@dataclass(frozen=True)
class _Box:
    name: str
    items: Sequence[str]
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        return 34 + 17 * len(self.items) + (6 if self.items else 0)

    def draw(self) -> Markup:
        x, y = self.x + 11, self.y + 22
        rows = [_text(item, x, y + 21 + 17 * i, "start") for i, item in enumerate(self.items)]
        head = _text(self.name, x, y, "start", class_="name")
        frame = _rectangle(self.x, self.y, self.width, self.height, "box")
        return Markup("").join([frame, head, *rows])


def _arrow(start: _Box, end: _Box) -> Markup:
    """From the level of a box's name to that of the next; along its own level while it can."""
    x0, y0, x1, y1 = start.x + start.width, start.y + 17, end.x - 2, end.y + 17
    turn, middle = x1 - 30, x1 - 15
    path = f"M{x0:.1f} {y0:.1f}H{turn:.1f}"
    path += f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    path += f"M{x1 - 7:.1f} {y1 - 4:.1f}L{x1:.1f} {y1:.1f}L{x1 - 7:.1f} {y1 + 4:.1f}"
    return _element("path", class_="arrow", d=path)


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = (high - low) * share if high > low else max(abs(high), 1) * 0.5
    return low - pad, high + pad


def _legend(names: Sequence[tuple[str, str]], width: float) -> tuple[list[Markup], float]:
    """The key to a picture's lines, in as many rows as it takes, and their height."""
    parts: list[Markup] = []
    x, y = 2.0, 14.0
    for name, kind in names:
        length = 32 + _CHARACTER * len(name)
        if x + length > width and x > 2:
            x, y = 2.0, y + 19
        parts += [_line(x, y, x + 26, y, f"line {kind}"), _text(name, x + 32, y + 4, "start")]
        x += length + 14
    return parts, y + 12


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return _element("line", class_=class_, x1=x1, y1=y1, x2=x2, y2=y2)


def _rectangle(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    return _element("rect", class_=class_, x=x, y=y, width=width, height=height)


def _text(text: str, x: float, y: float, anchor: str, **attributes: str) -> Markup:
    return _element("text", text, x=x, y=y, text_anchor=anchor, **attributes)


def _figure(width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    inner = _element("title", title) + Markup("").join(parts)
    box = f"0 0 {width:.0f} {height:.0f}"
    return _element("svg", inner, role="img", viewBox=box, width=round(width), height=round(height))


def _element(tag: str, content: str = "", **attributes: str | float) -> Markup:
    """A tag whose attributes and text are escaped, unless the text is markup already."""
    pairs = Markup("")
    for key, value in attributes.items():
        text = value if isinstance(value, str | int) else f"{value:.1f}"
        pairs += Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), text)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), pairs, content)
