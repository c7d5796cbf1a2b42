"""Checks of constructor arguments, and the geometry that convolution and pooling share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from .. import activations
from .base import Layer, LayerBuilder, Shape

__all__ = [
    "SpatialLayer",
    "constant_margin",
    "data_format_of",
    "number",
    "one_of",
    "positive",
    "same_pads",
    "sizes",
    "span",
    "window_pads",
]


def positive(layer: Layer, name: str, value: Any) -> int:
    """`value` as an int of at least 1.

    Raises:
        InvalidInput: naming the layer, for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        layer.refuse(f"{name} is {value!r}, expected an integer of at least 1")
    return int(value)


def number(layer: Layer, name: str, value: Any) -> float:
    """`value` as a finite float.

    Raises:
        InvalidInput: naming the layer, for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        layer.refuse(f"{name} is {value!r}, expected a finite number")
    return float(value)


def sizes(layer: Layer, name: str, value: Any, rank: int) -> tuple[int, ...]:
    """`value` as `rank` ints of at least 1; a single int counts for all."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(values) != rank:
        layer.refuse(f"{name} is {value!r}, expected an integer or {rank} of them")
    return tuple(positive(layer, name, v) for v in values)


def one_of(layer: Layer, name: str, value: Any, allowed: Sequence[str]) -> str:
    """`value`, any case, if it is one of the allowed words."""
    word = value.lower() if isinstance(value, str) else value
    if word not in allowed:
        layer.refuse(f"{name} is {value!r}, expected {' or '.join(map(repr, allowed))}")
    return word


def data_format_of(layer: Layer, value: Any) -> str:
    """`channels_last` unless told otherwise."""
    return (
        "channels_last" if value is None else one_of(layer, "data_format", value, ("channels_last", "channels_first"))
    )


def span(kernel: int, dilation: int) -> int:
    """How far a dilated kernel reaches."""
    return (kernel - 1) * dilation + 1


def same_pads(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Padding (before, after) that makes the output ceil(size / stride) long; an odd one goes after, as in Keras."""
    total = max((-(-size // stride) - 1) * stride + span(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def window_pads(
    padding: str, size: Sequence[int | None], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> dict[str, Any]:
    """The padding attribute of Conv and pooling nodes: numbers where they are known, else `auto_pad`."""
    if padding == "valid":
        return {"pads": [0] * 2 * len(kernel)}
    if padding == "causal":
        return {"pads": [span(kernel[0], dilations[0]) - 1, 0]}
    pairs = []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        known = span(k, d) if s == 1 else n  # with stride 1 the padding is the same for every length
        if known is None:
            return {"auto_pad": "SAME_UPPER"}
        pairs.append(same_pads(known, k, s, d))
    return {"pads": [p[0] for p in pairs] + [p[1] for p in pairs]}


def constant_margin(g: LayerBuilder, x: ir.Value, pads: Sequence[int], value: float, axis: int = 2) -> ir.Value:
    """`x` with `value` around each map, whose dimensions begin at `axis`; `pads` as Conv has them."""
    if not any(pads):
        return x
    rank, whole = len(pads) // 2, len(pads) // 2 + 2
    margins = [0] * 2 * whole
    margins[axis : axis + rank], margins[whole + axis : whole + axis + rank] = pads[:rank], pads[rank:]
    return g.Pad(x, margins, value)


class SpatialLayer(Layer):
    """Base of layers over `rank` spatial dimensions: nodes run channels first, whatever the layer's `data_format`."""

    rank = 2
    activation: Any = None

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_of(self, data_format)

    @property
    def last(self) -> bool:
        return self.data_format == "channels_last"

    def check(self, input_shape: Shape) -> None:
        if len(input_shape) != self.rank + 2:
            spatial = ("height", "width") if self.rank == 2 else ("steps",) if self.rank == 1 else ("d1", "d2", "d3")
            order = ("batch", *spatial, "channels") if self.last else ("batch", "channels", *spatial)
            self.refuse(f"its input shape is {input_shape}, expected {self.rank + 2} dimensions: ({', '.join(order)})")

    def channels(self, shape: Shape) -> int:
        """The number of channels, for layers that must know it."""
        channels = shape[-1] if self.last else shape[1]
        if channels is None:
            self.refuse(f"its input shape is {shape}, the number of channels must be known ({self.data_format})")
        return channels

    def spatial(self, shape: Shape) -> tuple[int | None, ...]:
        return shape[1:-1] if self.last else shape[2:]

    def check_window(self, input_shape: Shape, kernel: Sequence[int], dilations: Sequence[int], what: str) -> None:
        """Refuses a window larger than its input."""
        reach = [span(k, d) for k, d in zip(kernel, dilations, strict=True)]
        found = self.spatial(input_shape)
        if any(n is not None and n < r for n, r in zip(found, reach, strict=True)):
            self.refuse(
                f"its {what} {_times(reach)} is larger than its input {_times(found)}; use a smaller one, a larger "
                "input, or padding='same'"
            )

    def to_channels_first(self, g: LayerBuilder, x: ir.Value) -> ir.Value:
        """The node's view of the input."""
        return g.Transpose(x, perm=[0, self.rank + 1, *range(1, self.rank + 1)]) if self.last else x

    def from_channels_first(self, g: LayerBuilder, y: ir.Value) -> ir.Value:
        """The layer's output in its own data format."""
        return g.Transpose(y, perm=[0, *range(2, self.rank + 2), 1]) if self.last else y

    def finish(self, g: LayerBuilder, y: ir.Value) -> ir.Value:
        """The activation, and the way back to the layer's data format.

        Activations run along the last dimension, as in Keras; the user's own functions see Keras's dimensions.
        """
        if activations.is_named(self.activation):
            return self.from_channels_first(g, activations.apply(self.activation, g, y, 1 if self.last else -1))
        return activations.apply(self.activation, g, self.from_channels_first(g, y))

    def spatial_of(self, x: ir.Value) -> list[int | None]:
        """The spatial sizes of a channels-first value; None where they are open."""
        assert x.shape is not None
        return [d if isinstance(d, int) else None for d in list(x.shape)[2:]]


def _times(numbers: Sequence[int | None]) -> str:
    return "×".join("?" if n is None else str(n) for n in numbers)
