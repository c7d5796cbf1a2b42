"""A model as boxes from top to bottom, in as many columns as make a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnx_ir as ir

from ..runtime.cost import analyse
from .blocks import Block, Box, blocks, boxes, repeated
from .layers import Placed, place
from .style import ACCENT, FAINT, LARGE, SMALL, new_figure, plain, save, styled, text_width

__all__ = ["draw_architecture", "pages"]

MANY = 30
"""Graphs of more boxes than this have their repetitions put together."""
FILL = {
    "convolution": "#cfe0f3",
    "pooling": "#e6e6e6",
    "product": "#fbe3cd",
    "merge": "#ffffff",
    "input": "#ffffff",
    "other": "#f4f4f4",
}
KINDS = {"convolution": "convolution", "product": "matrix product", "pooling": "pooling", "other": "other"}
TITLE, TEXT = 7.5, SMALL
LINE_HEIGHT, PAD, GAP, RISE, COLUMN = 9.6, 5.0, 8.0, 15.0, 26.0
"""Points: a line of text, around a box's text, between boxes, between ranks, between columns."""
FRAME, BESIDE = 7.0, 5.0
PAGE = (7.0, 9.5)
"""Inches of a page that can be printed on."""
LONGEST = 44
BETTER = 1.05
"""One more column must gain so much."""
RAGGED = 0.25
"""No column is shorter than this, as a share of the longest."""
NARROWEST, TOP = 190.0, 42.0


@dataclass
class Item:
    """A block with its layout; x is relative to the line that entry and exit stand on."""

    block: Block
    placed: Placed
    sizes: list[tuple[float, float]]
    texts: list[list[tuple[str, bool]]]
    header: tuple[str, str] | None

    @property
    def height(self) -> float:
        return self.placed.height + (2 * FRAME if self.header else 0)

    @property
    def extent(self) -> tuple[float, float]:
        """How far it reaches to the left and to the right."""
        if not self.header:
            return -self.placed.left, self.placed.right
        beside = max(text_width(self.header[0], LARGE, True), text_width(self.header[1], SMALL))
        return FRAME - self.placed.left, self.placed.right + FRAME + BESIDE + beside


@styled
def draw_architecture(path: Path, model: ir.Model, name: str, expand: bool = False) -> list[Block]:
    """Boxes with operator, output shape and parameters; repeated blocks once, with their number.

    Args:
        expand: draw every repetition.
    """
    report = analyse(model)
    found = boxes(model)
    cut = blocks(found)
    if len(found) > MANY and not expand:
        cut = repeated(cut)
    items = [_item(block) for block in cut]
    columns = pages(items)
    figure, axes = _page(columns, f"{name}: {_count(report.parameters)} parameters, {_count(report.macs)} MACs")
    x, ends = _margin(columns, figure), []
    for column in columns:
        left = max(item.extent[0] for item in column)
        ends.append(_draw_column(axes, column, x + left))
        x += left + max(item.extent[1] for item in column) + COLUMN
    for column, end, begin in zip(columns[1:], ends, ends[1:], strict=False):
        _draw_turn(axes, column, end, begin[0])
    save(figure, path)
    return cut


def pages(items: Sequence[Item]) -> list[list[Item]]:
    """The items in columns, one after the other: as many as need least reduction to fit a page, upright or across."""
    best: tuple[float, list[list[Item]]] | None = None
    for count in range(1, 9):
        made = _filled(items, count)
        if len(made) < count:
            break
        heights = [_height(column) for column in made]
        if min(heights) < RAGGED * max(heights):
            continue
        high = (max(heights) + TOP) / 72
        wide = max(_width(made), NARROWEST) / 72
        scale = min(1.0, max(min(PAGE[0] / wide, PAGE[1] / high), min(PAGE[1] / wide, PAGE[0] / high)))
        if best is None or scale > BETTER * best[0]:
            best = (scale, made)
    assert best is not None
    return best[1]


def _width(columns: Sequence[Sequence[Item]]) -> float:
    sides = [max(item.extent[side] for item in column) for column in columns for side in (0, 1)]
    return sum(sides) + COLUMN * (len(columns) - 1) + 20


def _filled(items: Sequence[Item], count: int) -> list[list[Item]]:
    """`count` columns, the highest as low as can be, by bisection of its height."""
    low, high = max(item.height for item in items), sum(item.height + RISE for item in items)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (low, middle) if len(_greedy(items, middle)) <= count else (middle, high)
    return _greedy(items, high)


def _greedy(items: Sequence[Item], limit: float) -> list[list[Item]]:
    columns: list[list[Item]] = [[]]
    for item in items:
        if columns[-1] and _height([*columns[-1], item]) > limit:
            columns.append([])
        columns[-1].append(item)
    return columns


def _height(column: Sequence[Item]) -> float:
    return sum(item.height for item in column)


def _item(block: Block) -> Item:
    texts = [_texts(box, block.count) for box in block.boxes]
    sizes = [
        (
            max(text_width(t, TITLE if bold else TEXT, bold) for t, bold in lines) + 2 * PAD,
            len(lines) * LINE_HEIGHT + PAD,
        )
        for lines in texts
    ]
    place_of = {box: i for i, box in enumerate(block.boxes)}
    sources = [sorted({place_of.get(s, -1) for s in box.sources}) for box in block.boxes]
    header = None
    if block.count > 1:
        header = f"× {block.count}", f"{_count(block.parameters)} par." if block.parameters else ""
    return Item(block, place(sizes, sources, (GAP, RISE), RISE + (FRAME if header else 0)), sizes, texts, header)


def _texts(box: Box, count: int) -> list[tuple[str, bool]]:
    """The lines of a box, and which are bold."""
    lines = [(_cut(box.before), False)] if box.before else []
    lines.append((_cut(f"{box.title} {box.name}" if box.kind == "input" else box.title), True))
    if box.behind:
        lines.append((_cut(box.behind), False))
    parameters = f"{_count(box.parameters)} par." if box.parameters and count == 1 else ""
    below = ", ".join(part for part in (box.shape, parameters) if part)
    return [*lines, (_cut(below), False)] if below else lines


def _page(columns: Sequence[Sequence[Item]], heading: str) -> tuple[Any, Any]:
    """A figure whose axes are points, y downwards."""
    wide = max(_width(columns), text_width(heading, LARGE, True) + 20, NARROWEST)
    high, top = max(_height(column) for column in columns) + 14.0, TOP
    figure = new_figure(wide / 72, (high + top) / 72, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, wide)
    axes.set_ylim(high, -top)
    axes.set_axis_off()
    axes.text(10, -31, plain(heading), fontsize=LARGE, fontweight="bold", va="center")
    x = 10.0
    kinds = {box.kind for column in columns for item in column for box in item.block.boxes}
    for kind, label in KINDS.items():
        if kind in kinds:
            axes.add_patch(_rounded(x, -20, 9, 7, FILL[kind]))
            axes.text(x + 12, -16.2, label, fontsize=SMALL, va="center", color=FAINT)
            x += 26 + text_width(label, SMALL)
    return figure, axes


def _margin(columns: Sequence[Sequence[Item]], figure: Any) -> float:
    """Where the columns begin, so that they stand in the middle of a page that the heading made wider."""
    return 10.0 + max(0.0, (72 * figure.get_size_inches()[0] - _width(columns)) / 2)


def _draw_column(axes: Any, column: Sequence[Item], x: float) -> tuple[float, float]:
    """Returns where its line is, and where it ends."""
    y = 0.0
    for item in column:
        _draw_item(axes, item, x, y)
        y += item.height
    return x, y


def _draw_item(axes: Any, item: Item, x: float, y: float) -> None:
    placed = item.placed
    if item.header:
        top, end = y + RISE - 4, y + placed.height + FRAME
        left, right = x + placed.left - FRAME, x + placed.right + FRAME
        axes.add_patch(_rounded(left, top, right - left, end - top, "none", ACCENT, dashed=True))
        for text, size, shift in zip(item.header, (LARGE, SMALL), (-5, 6), strict=True):
            axes.text(right + BESIDE, (top + end) / 2 + shift, text, fontsize=size, color=ACCENT, va="center",
                      fontweight="bold" if size == LARGE else "normal")  # fmt: skip
    for (source, target), middle in placed.paths.items():
        start = (0.0, 0.0) if source < 0 else _edge(item, source, 1)
        points = [start, *middle, _edge(item, target, -1)]
        _draw_path(axes, [(x + px, y + py) for px, py in points])
    for (cx, cy), (w, h), lines, box in zip(placed.centres, item.sizes, item.texts, item.block.boxes, strict=True):
        _draw_box(axes, x + cx, y + cy, w, h, lines, box.kind)
    if item.header:
        axes.plot([x, x], [y + placed.height, y + item.height], color=FAINT, linewidth=0.8, zorder=1)


def _edge(item: Item, i: int, side: int) -> tuple[float, float]:
    x, y = item.placed.centres[i]
    return x, y + side * item.sizes[i][1] / 2


def _draw_box(axes: Any, x: float, y: float, w: float, h: float, lines: Sequence[tuple[str, bool]], kind: str) -> None:
    axes.add_patch(_rounded(x - w / 2, y - h / 2, w, h, FILL[kind], "#7d8791"))
    for i, (text, bold) in enumerate(lines):
        at = y + (i - (len(lines) - 1) / 2) * LINE_HEIGHT
        axes.text(x, at, plain(text), fontsize=TITLE if bold else TEXT, fontweight="bold" if bold else "normal",
                  ha="center", va="center_baseline", color="black" if bold else "#333333", zorder=5)  # fmt: skip


def _draw_path(axes: Any, points: Sequence[tuple[float, float]]) -> None:
    """Curves that leave and arrive vertically, with a head at the end."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    vertices, codes = [points[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        bend = (y1 - y0) * 0.55
        vertices += [(x0, y0 + bend), (x1, y1 - bend), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    arrow = FancyArrowPatch(path=Curve(vertices, codes), arrowstyle="-|>,head_length=2.6,head_width=1.3",
                            color=FAINT, linewidth=0.8, zorder=3, shrinkA=0, shrinkB=0, mutation_scale=1)  # fmt: skip
    axes.add_patch(arrow)


def _draw_turn(axes: Any, column: Sequence[Item], end: tuple[float, float], x1: float) -> None:
    """From where a column ends to the line of the next one."""
    x0, y0 = end
    left = x1 - max(item.extent[0] for item in column) - COLUMN / 2
    low, top = y0 + 9, -4.0
    axes.plot([x0, x0, left, left, x1, x1], [y0, low, low, top, top, 1], color=FAINT, linewidth=0.8, zorder=1,
              solid_joinstyle="round")  # fmt: skip


def _rounded(x: float, y: float, w: float, h: float, fill: str, edge: str = "#7d8791", dashed: bool = False) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (x, y), w, h, boxstyle="round,pad=0,rounding_size=2.5", facecolor=fill, edgecolor=edge, linewidth=0.7,
        linestyle=(0, (4, 2)) if dashed else "-", zorder=2 if dashed else 4,
    )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _count(number: int) -> str:
    """`25.6 M` and the like."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            scaled = number / (1e3 if unit == "k" else size)
            return f"{scaled:.{2 if scaled < 9.995 else 1}f} {unit}"
    return f"{number:,}"
