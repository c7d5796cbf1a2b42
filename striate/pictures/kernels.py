"""The kernels of a convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InvalidInput
from .graphs import Convolution
from .mosaic import energy_order, grid_of, magnified, mosaic
from .style import DIVERGING, LARGE, SMALL, bare, new_figure, save, styled, text_width, title

__all__ = ["Shown", "draw_kernels", "shown"]

MOST, MOST_ROWS, MOST_MAPS = 96, 16, 24
"""Kernels of one input map or of colour; filters and input maps of others."""


@dataclass(frozen=True)
class Shown:
    """Which weights are drawn.

    Attributes:
        weights: `(filters, maps, h, w)`; in colour `(filters, 3, h, w)`.
        filters, maps: their indices in the layer.
        kind: `colour`, `single` (one input map), `pairs` (filters by input maps) or `matrix` (1×1).
        limit: the largest magnitude of all weights of the layer: the end of the colour scale.
    """

    weights: np.ndarray
    filters: np.ndarray
    maps: np.ndarray
    kind: str
    limit: float


def shown(layer: Convolution, colour: bool) -> Shown:
    """Chooses the filters, and of each the input maps, with the largest weights where there are too many.

    Args:
        colour: the layer reads the image, so that three input maps are red, green and blue.

    Raises:
        InvalidInput: if the weights are no constants, or the kernels have more than two dimensions.
    """
    w = layer.weights
    if w is None:
        raise InvalidInput(f"convolution {layer.name!r}: its weights are computed as the model runs; none are stored")
    if w.ndim not in (3, 4):
        raise InvalidInput(f"convolution {layer.name!r}: its kernels have {w.ndim - 2} dimensions; expected 1 or 2")
    w = np.asarray(w, np.float32).reshape(*w.shape[:2], -1 if w.ndim == 4 else 1, w.shape[-1])
    count, maps = w.shape[:2]
    limit = float(np.abs(w).max()) or 1.0
    everything = np.arange(maps)
    if colour and maps == 3:
        chosen = energy_order(w, MOST)
        return Shown(w[chosen], chosen, everything, "colour", limit)
    if maps == 1:
        chosen = energy_order(w, MOST)
        return Shown(w[chosen], chosen, everything, "single", limit)
    if w.shape[2:] == (1, 1):
        return Shown(w, np.arange(count), everything, "matrix", limit)
    chosen, inputs = energy_order(w, MOST_ROWS), energy_order(w.swapaxes(0, 1), MOST_MAPS)
    return Shown(w[chosen][:, inputs], chosen, inputs, "pairs", limit)


@styled
def draw_kernels(path: Path, layer: Convolution, model: str, colour: bool) -> Shown:
    """The kernels as a grid: what is positive red, what is negative blue; those of an RGB image in its colours."""
    found = shown(layer, colour)
    w = found.weights
    filters, maps = w.shape[:2]
    columns = {"colour": grid_of(filters), "single": grid_of(filters), "pairs": maps, "matrix": 1}[found.kind]
    rows = -(-filters // columns)
    image, tile = _image(found, columns)
    scale = _tile_inches(found, columns, rows) / tile[1]
    wide, high = image.shape[1] * scale, image.shape[0] * scale
    below = {"pairs": 0.42, "matrix": 0.42, "colour": 0.24, "single": 0.12}[found.kind]
    assert layer.weights is not None
    heading, remark = f"{model}: kernels of {layer.name}", _remark(found, layer.weights.shape)
    words = max(text_width(heading, LARGE, True), text_width(remark, SMALL)) / 72
    whole = max(0.6 + wide + 1.0, words + 0.2), 0.5 + max(high, 0.9) + below
    figure = new_figure(*whole, layout=None)
    axes = figure.add_axes((0.6 / whole[0], 1 - (0.5 + high) / whole[1], wide / whole[0], high / whole[1]))
    strip = 0.36 if found.kind == "colour" else 0.11
    bar = min(2.4, max(high, 0.9))
    place = ((0.72 + wide) / whole[0], 1 - (0.5 + bar) / whole[1], strip / whole[0], bar / whole[1])
    drawn = axes.imshow(image, cmap=DIVERGING, vmin=-found.limit, vmax=found.limit, interpolation="nearest")
    bare(axes)
    _number(axes, found, columns, tile, scale * tile[1])
    _colour_bar(figure, figure.add_axes(place), drawn, found)
    title(figure, heading, remark)
    save(figure, path)
    return found


def _image(found: Shown, columns: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The whole picture, and the distance between neighbouring tiles in it."""
    w = found.weights
    if found.kind == "matrix":
        return w[:, :, 0, 0], (1, 1)
    if found.kind == "colour":
        tiles = magnified(0.5 + w.transpose(0, 2, 3, 1) / (2 * found.limit))
        image = mosaic(tiles, columns)
        image = np.where(np.isnan(image), 1.0, image).clip(0, 1)
    else:
        tiles = magnified(w.reshape(-1, *w.shape[2:]))
        image = mosaic(tiles, columns)
    gap = max(1, round(max(tiles.shape[1:3]) / 14))
    return image, (tiles.shape[1] + gap, tiles.shape[2] + gap)


def _tile_inches(found: Shown, columns: int, rows: int) -> float:
    """Across the page about seven inches, but no tile larger than is useful."""
    if found.kind == "matrix":
        filters, maps = found.weights.shape[:2]
        return min(0.16, 6.0 / maps, 6.5 / filters)
    most = {"colour": 0.62, "single": 0.62, "pairs": 0.42}[found.kind]
    return min(most, 7.0 / columns, 8.5 / rows)


def _number(axes: Any, found: Shown, columns: int, tile: tuple[int, int], inches: float) -> None:
    """The index of the first filter of each row; of pairs that of each input map, too."""
    axes.tick_params(length=0, pad=2)
    if found.kind == "matrix":
        for axis, count in ((axes.yaxis, len(found.filters)), (axes.xaxis, len(found.maps))):
            step = math.ceil(0.19 / inches)
            axis.set_ticks(range(0, count, step), [str(i) for i in range(0, count, step)])
        axes.set_xlabel("input map")
        axes.set_ylabel("filter")
        return
    step = 1 if found.kind == "pairs" else columns
    firsts = found.filters[::step]
    middle = [(i + 0.5) * tile[0] - tile[0] / 14 for i in range(len(firsts))]
    axes.set_yticks(middle, [str(i) for i in firsts])
    axes.set_ylabel("filter" if step == 1 else "filter (first of the row)")
    if found.kind == "pairs":
        axes.set_xticks([(i + 0.5) * tile[1] for i in range(columns)], [str(i) for i in found.maps])
        axes.set_xlabel("input map")


def _colour_bar(figure: Any, axes: Any, drawn: Any, found: Shown) -> None:
    """From the most negative to the most positive weight; for colour three strips, one for each input map."""
    limit = found.limit
    if found.kind != "colour":
        figure.colorbar(drawn, cax=axes).outline.set_linewidth(0)
    else:
        strips = np.full((64, 3, 3), 0.5)
        for channel in range(3):
            strips[:, channel, channel] = np.linspace(1, 0, 64)
        axes.imshow(strips, aspect="auto", extent=(0, 3, -limit, limit), interpolation="nearest")
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
        axes.spines[:].set_visible(False)
        axes.set_xticks([0.5, 1.5, 2.5], ["R", "G", "B"])
    axes.set_yticks([-limit, 0, limit], [f"−{limit:.2g}", "0", f"+{limit:.2g}"])
    axes.tick_params(length=0, pad=2)
    axes.set_ylabel("weight", labelpad=0)


def _remark(found: Shown, shape: tuple[int, ...]) -> str:
    filters, maps = shape[:2]
    size = "×".join(map(str, shape[2:]))
    text = f"{filters} filters of {size} over {maps} input map{'s' * (maps != 1)}"
    if found.kind == "colour":
        text += "; a grey pixel is weight 0, a red one a positive weight on red"
    few = len(found.filters) < filters or len(found.maps) < maps
    if few and found.kind == "pairs":
        return f"{text}: the {len(found.filters)} filters and {len(found.maps)} input maps with the largest weights"
    return f"{text}: the {len(found.filters)} with the largest weights" if few else text
