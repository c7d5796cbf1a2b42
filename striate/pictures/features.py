"""What the convolutions of a model make of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from ..runtime.engines.arrays import to_host
from ..runtime.errors import InvalidInput
from ..runtime.executor import Executor
from .graphs import Convolution
from .mosaic import energy_order, grid_of, magnified, mosaic
from .style import (
    DIVERGING,
    SEQUENTIAL,
    SMALL,
    bare,
    fitted,
    new_figure,
    plain,
    save,
    shape_text,
    show_image,
    styled,
    text_width,
    title,
)

__all__ = ["draw_features", "feature_maps", "spread"]

MAPS, ALONE = 10, 64
"""Maps of a layer, unless asked for more; of a layer that stands alone."""
SCALE = "bright: large, by square root where nothing is negative"
SIDE = 1.7
"""Inches of the image."""


def feature_maps(
    model: ir.Model, layers: Sequence[Convolution], feeds: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What the layers compute, behind their own normalisation and activation.

    Args:
        feeds: one example.

    Returns:
        Layer → float array `(maps, h, w)`.

    Raises:
        InvalidInput: if the maps are not two-dimensional.
    """
    exposed = model.clone()
    named = {v.name: v for node in exposed.graph for v in node.outputs}
    outputs = [named[layer.output.name] for layer in layers]
    exposed.graph.outputs.extend(v for v in dict.fromkeys(outputs) if not v.is_graph_output())
    names = [str(v.name) for v in outputs]
    found = Executor(exposed, owned=True).run(feeds, list(dict.fromkeys(names)))
    arrays = dict(zip(dict.fromkeys(names), found, strict=True))
    made = {}
    for layer, name in zip(layers, names, strict=True):
        array = to_host(arrays[name])
        if array.ndim not in (3, 4):
            raise InvalidInput(
                f"convolution {layer.name!r}: its maps have {array.ndim - 2} dimensions; expected 1 or 2"
            )
        made[layer.name] = array[0] if array.ndim == 4 else array[0][:, None]
    return made


def spread(layers: Sequence[Convolution], count: int) -> list[Convolution]:
    """So many of the layers, evenly, the first and the last among them."""
    if len(layers) <= count:
        return list(layers)
    places = np.unique(np.linspace(0, len(layers) - 1, count).round().astype(int))
    return [layers[i] for i in places]


@styled
def draw_features(
    path: Path,
    model: str,
    image: np.ndarray,
    layers: Sequence[Convolution],
    maps: Mapping[str, np.ndarray],
    total: int,
    most: int | None = None,
) -> None:
    """The image beside a row of maps for each layer, or beside all maps of the only one.

    Args:
        image: `(H, W, 1 or 3)` in [0, 1].
        maps: of each layer, `(maps, h, w)`.
        total: how many convolutions the model has.
        most: maps of a layer that are shown.
    """
    draw = _alone if len(layers) == 1 else _rows
    figure = draw(image, layers, maps, most)
    few = f"{len(layers)} of {total} convolutions" if len(layers) < total else f"{total} convolutions"
    if len(layers) == 1:
        title(figure, f"{model}: feature maps of {layers[0].name}", f"{_described(layers[0])}; {SCALE}")
    else:
        title(
            figure,
            f"{model}: what its convolutions make of the image",
            f"{few}, of each the maps with most energy; {SCALE}",
        )
    save(figure, path)


def _rows(image: np.ndarray, layers: Sequence[Convolution], maps: Mapping[str, np.ndarray], most: int | None) -> Any:
    """Placed by hand, in inches: the image, names and shapes, a row of tiles for each layer, its scale."""
    shown = min(most or MAPS, max(len(found) for found in maps.values()))
    tile = min(0.66, 6.6 / shown)
    names = {layer.name: fitted(layer.name, 130, 8, True) for layer in layers}
    label = max(*(text_width(n, 8, True) for n in names.values()), 50) / 72 + 0.1
    high = [tile * min(max(maps[layer.name].shape[1] / maps[layer.name].shape[2], 0.2), 2.0) for layer in layers]
    left = SIDE + 0.3 + label
    beside = SIDE * image.shape[0] / image.shape[1]
    width = max(left + shown * tile * 15 / 14 + 0.55, 6.0)
    height = 0.6 + max(sum(high) + 0.14 * len(layers), beside + 0.2)
    figure = new_figure(width, height, layout=None)

    def axes_at(x: float, y: float, w: float, h: float) -> Any:
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    axes = axes_at(0.1, 0.72, SIDE, beside)
    show_image(axes, image)
    axes.set_title(f"input {shape_text(image.shape[:2])}", loc="left", fontsize=8, pad=3)
    y = 0.6
    for layer, h in zip(layers, high, strict=True):
        found = maps[layer.name]
        middle = 1 - (y + h / 2) / height
        x = (left - 0.08) / width
        figure.text(x, middle + 6 / 72 / height, plain(names[layer.name]), ha="right", va="center", fontweight="bold")
        figure.text(x, middle - 6 / 72 / height, shape_text(found.shape), ha="right", va="center", fontsize=SMALL)
        chosen = magnified(found[energy_order(found, shown)])
        picture = mosaic(chosen, len(chosen))
        wide = tile * picture.shape[1] / chosen.shape[2]
        _show(figure, axes_at(left, y, wide, h), picture, found, axes_at(width - 0.48, y, 0.07, h))
        y += h + 0.14
    return figure


def _alone(image: np.ndarray, layers: Sequence[Convolution], maps: Mapping[str, np.ndarray], most: int | None) -> Any:
    found = maps[layers[0].name]
    chosen = found[energy_order(found, most or ALONE)]
    columns = grid_of(len(chosen), 1.3 * found.shape[1] / found.shape[2])
    picture = mosaic(magnified(chosen), columns)
    wide = min(5.6, 0.9 * columns)
    high = wide * picture.shape[0] / picture.shape[1]
    figure = new_figure(2.0 + wide + 0.7, max(high, 2.0) + 0.75)
    beside, axes, bar = figure.subplots(1, 3, width_ratios=(1.9, wide, 0.09))
    show_image(beside, image)
    beside.set_title(f"input {shape_text(image.shape[:2])}", loc="left", fontsize=8)
    beside.set_anchor("NW")
    few = f"{len(chosen)} of {len(found)} maps, those with most energy" if len(chosen) < len(found) else ""
    axes.set_title(few or f"{len(found)} maps", loc="left", fontsize=8)
    _show(figure, axes, picture, found, bar)
    axes.set_anchor("NW")
    return figure


def _show(figure: Any, axes: Any, picture: np.ndarray, found: np.ndarray, bar: Any) -> None:
    """One scale for all maps of a layer: square roots where nothing is negative, else symmetric around 0."""
    from matplotlib.colors import Normalize, PowerNorm

    limit = float(np.abs(found).max()) or 1.0
    signed = float(found.min()) < 0
    low = -limit if signed else 0.0
    scale = Normalize(-limit, limit) if signed else PowerNorm(0.5, 0, limit)
    drawn = axes.imshow(picture, cmap=DIVERGING if signed else SEQUENTIAL, norm=scale, interpolation="nearest")
    bare(axes)
    side = figure.colorbar(drawn, cax=bar, ticks=[low, limit])
    side.minorticks_off()
    side.ax.set_yticklabels([f"−{limit:.2g}" if signed else "0", f"{limit:.2g}"])
    side.ax.tick_params(length=0, pad=2)
    side.outline.set_linewidth(0)


def _described(layer: Convolution) -> str:
    behind = f", behind {' and '.join(layer.after)}" if layer.after else ""
    return f"{layer.node.op_type} with output {shape_text(layer.shape)}{behind}"
