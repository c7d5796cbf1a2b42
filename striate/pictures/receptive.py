"""The part of the image that one position of each layer sees, from `runtime.cost`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from ..runtime.cost import NodeCost, analyse
from ..runtime.errors import InvalidInput
from ..runtime.inference import dims
from .style import FAINT, LINE, SMALL, fitted, new_figure, plain, save, shape_text, styled, text_width, title

__all__ = ["Region", "draw_receptive", "each", "growing", "regions"]

DRAWN, LISTED = 7, 34
"""Boxes in the picture, rows of its table."""
TABLE = 3.9
"""Inches across the table."""
MARGIN = 0.4
"""Boxes may reach so far beyond the image, as a share of its size; larger ones stand in the table only."""
WINDOWS = ("Conv", "Pool")


@dataclass(frozen=True)
class Region:
    """What one position of a layer sees, axis by axis (height and width, or one axis).

    Attributes:
        shape: of the layer's output, without the batch.
        size: positions of the input; infinite: all of them.
        stride: how far apart in the input neighbours look.
        offset: the first position that the layer's first one sees; negative inside padding.
        middle: the position in the middle of the layer, which is the one drawn.
    """

    name: str
    operator: str
    shape: tuple[Any, ...]
    size: tuple[float, ...]
    stride: tuple[int | None, ...]
    offset: tuple[float | None, ...]
    middle: tuple[int, ...]

    def box(self) -> tuple[tuple[float, float], ...] | None:
        """For each axis the first position that the middle one sees and the one behind the last; None without end."""
        if inf in self.size or None in self.stride or None in self.offset:
            return None
        ends = []
        for size, stride, offset, middle in zip(self.size, self.stride, self.offset, self.middle, strict=True):
            first = (offset or 0) + middle * (stride or 0)
            ends.append((first, first + size))
        return tuple(ends)


def regions(model: ir.Model, name: str) -> list[Region]:
    """One for each convolution and pooling that has a known field, in the order of the graph.

    Raises:
        InvalidInput: if there is none; the message says why.
    """
    report = analyse(model)
    values = {v.name: v for node in model.graph for v in node.outputs}
    made = [r for row in report.nodes if (r := _region(row, values)) is not None]
    if made:
        return made
    windows = [n for n in report.nodes if any(word in n.op_type for word in WINDOWS)]
    if not windows:
        raise InvalidInput(f"{name}: has no convolution and no pooling; there is no receptive field to draw")
    opened = [n for n in report.notes if "--shape" in n]
    raise InvalidInput(f"{name}: its receptive fields are not known; {opened[0] if opened else 'its shapes are open'}")


def _region(row: NodeCost, values: dict[str | None, ir.Value]) -> Region | None:
    if not any(word in row.op_type for word in WINDOWS) or row.depth or not row.field or None in row.field:
        return None
    value = values.get(row.outputs[0].name)
    if value is None or value.shape is None:
        return None
    shape = dims(value.shape)[1:]
    spatial = shape[len(shape) - len(row.field) :]
    offset = tuple(
        None if centre is None or size is None or size == inf else centre - (size - 1) / 2
        for centre, size in zip(row.start, row.field, strict=True)
    )
    return Region(
        row.name.removesuffix(f"/{row.op_type}"),
        row.op_type,
        shape,
        tuple(float(s) for s in row.field if s is not None),
        row.stride,
        offset,
        tuple(d // 2 if isinstance(d, int) else 0 for d in spatial),
    )


def growing(found: Sequence[Region]) -> list[Region]:
    """Those that see more than every one before them, or look at another distance: of branches the largest."""
    kept: list[Region] = []
    most: tuple[float, ...] = ()
    for region in found:
        if not kept or region.size > most or region.stride != kept[-1].stride:
            kept.append(region)
        most = max(most, region.size)
    return kept


@styled
def draw_receptive(path: Path, model: str, image: np.ndarray, found: Sequence[Region]) -> None:
    """The fields of the middle position of each layer, to scale over the image, beside a table.

    Args:
        image: `(H, W, 1 or 3)` in [0, 1], of the size the model takes.
    """
    grown = growing(found)
    listed = _thinned(grown, LISTED)
    drawn = _thinned([r for r in grown if _near(r, image)], DRAWN)
    high = max(3.6, 0.55 + 0.165 * (len(listed) + 1))
    figure = new_figure(4.2 + TABLE, high + 0.5)
    left, right = figure.subplots(1, 2, width_ratios=(4.2, TABLE))
    colours = _colours(drawn)
    _boxes(left, image, drawn, colours)
    _table(right, listed, drawn, colours, high)
    few = (
        f"; {len(listed)} of {len(found)} layers: those that see more than all before"
        if len(listed) < len(found)
        else ""
    )
    remark = f"the unit in the middle of each layer, to scale on the input of {shape_text(image.shape[:2])}{few}"
    title(figure, f"{model}: what one unit of each layer sees", remark)
    save(figure, path)


def _near(region: Region, image: np.ndarray) -> bool:
    """Whether it has an end, and does not reach so far into the padding that the image would be small beside it."""
    if region.box() is None:
        return False
    height, width = image.shape[:2]
    (y0, y1), (x0, x1) = _two_axes(region, height)
    return min(y0 / height, x0 / width) >= -MARGIN and max(y1 / height, x1 / width) <= 1 + MARGIN


def _thinned(items: Sequence[Region], count: int) -> list[Region]:
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def _colours(drawn: Sequence[Region]) -> dict[int, Any]:
    """From the first layer on darker and redder; neighbours differ in lightness, too."""
    from matplotlib import colormaps

    scale = colormaps["plasma"]
    return {id(r): scale(0.88 - 0.8 * i / max(len(drawn) - 1, 1)) for i, r in enumerate(drawn)}


def _boxes(axes: Any, image: np.ndarray, drawn: Sequence[Region], colours: dict[int, Any]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    height, width = image.shape[:2]
    grey = image.mean(-1)
    axes.imshow(0.45 + 0.5 * grey, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0), zorder=0)
    low, high = np.array([0.0, 0.0]), np.array([height, width], float)
    for i, region in reversed(list(enumerate(drawn))):
        (y0, y1), (x0, x1) = _two_axes(region, height)
        low, high = np.minimum(low, (y0, x0)), np.maximum(high, (y1, x1))
        line = 1.4 + 1.1 * i / max(len(drawn) - 1, 1)
        halo = [withStroke(linewidth=line + 1.2, foreground="white", alpha=0.75)]
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colours[id(region)], linewidth=line,
                                 path_effects=halo, zorder=3))  # fmt: skip
    margin = 0.02 * (high - low).max()
    axes.set_xlim(low[1] - margin, high[1] + margin)
    axes.set_ylim(high[0] + margin, low[0] - margin)
    axes.set_facecolor("#f0f0f0")
    axes.set_aspect("equal")
    axes.set_anchor("N")
    axes.set_xlabel("column of the input" + ("; light grey: padding" if (low < 0).any() else ""))
    axes.set_ylabel("row of the input")
    for side in axes.spines.values():
        side.set_visible(False)


def _two_axes(region: Region, height: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """A one-dimensional layer sees the image from top to bottom."""
    box = region.box()
    assert box is not None
    return ((0.0, float(height)), box[0]) if len(box) == 1 else (box[-2], box[-1])


COLUMNS = (("layer", 0.045, "left"), ("output", 0.56, "right"), ("size", 0.72, "right"), ("stride", 0.85, "right"),
           ("offset", 1.0, "right"))  # fmt: skip


def _table(axes: Any, listed: Sequence[Region], drawn: Sequence[Region], colours: dict[int, Any], high: float) -> None:
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    axes.set_xlim(0, 1)
    lines = (high - 0.3) / 0.165
    axes.set_ylim(lines, -0.6)
    for heading, x, side in COLUMNS:
        axes.text(x, 0, heading, ha=side, va="center", fontsize=7.5, fontweight="bold")
    axes.plot([0, 1], [0.55, 0.55], color=LINE, linewidth=0.8)
    for i, region in enumerate(listed, start=1):
        shape = shape_text(region.shape)
        room = (COLUMNS[1][1] - COLUMNS[0][1]) * TABLE * 72 * 0.94 - text_width(shape, 7.2) - 8
        texts = (_name(region, room), shape, each(region.size), each(region.stride), each(region.offset))
        for (_, x, side), text in zip(COLUMNS, texts, strict=True):
            axes.text(x, i + 0.05, plain(text), ha=side, va="center", fontsize=7.2)
        if id(region) in colours:
            axes.add_patch(Rectangle((0, i - 0.28), 0.028, 0.6, color=colours[id(region)], linewidth=0))
    axes.text(
        0, min(len(listed) + 1.1, lines - 0.2), "positions of the input; offset: the first that unit 0 sees",
        fontsize=SMALL, color=FAINT, va="center",
    )  # fmt: skip


def _name(region: Region, room: float) -> str:
    """With the operator, if the name does not say it and there is room."""
    both = f"{region.name}  {region.operator}"
    said = region.operator.lower() in region.name.lower().replace("_", "")
    return fitted(region.name, room, 7.2) if said or text_width(both, 7.2) > room else both


def each(sizes: Sequence[float | None]) -> str:
    """`31×31` as `31` where both axes have the same."""
    texts = ["–" if s is None else "all" if s == inf else f"{s:g}".replace("-", "−") for s in sizes]
    return "×".join(texts[:1] if len(set(texts)) == 1 else texts) or "–"
