"""Layers whose units do not see all maps of their input: which ones is said by a connection table.

A table has one row per filter: the numbers of the input maps that the filter sees, from 0 up. Only the weights of these
connections exist. Their order is that of the table: all of the first filter, then those of the second, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from .. import initializers, regularizers
from .arguments import constant_margin, number, window_pads
from .base import Layer, LayerBuilder, Shape
from .convolution import Windowed
from .parameter import Layout, Parameter

__all__ = ["Conv2DTable", "Table", "check_maps", "connection_table", "expanded", "fan_in_of", "fan_out_of", "places_of"]

Table = tuple[tuple[int, ...], ...]


def connection_table(layer: Layer, value: Any, filters: int | None = None) -> Table:
    """`value` as a table.

    Args:
        filters: how many rows there must be, if that is known.

    Raises:
        InvalidInput: naming the layer and the row, for an empty row, a map that is listed twice, anything that is not a
        list of rows of integers of at least 0, or the wrong number of rows.
    """
    if not isinstance(value, (list, tuple, np.ndarray)) or not len(value):
        layer.refuse(f"connections is {value!r}, expected a list of input maps for each filter")
    if filters is not None and len(value) != filters:
        layer.refuse(f"connections has {len(value)} rows, expected one for each of the {filters} filters")
    return tuple(_row(layer, i, row) for i, row in enumerate(value))


def _row(layer: Layer, index: int, row: Any) -> tuple[int, ...]:
    what = f"row {index} of connections"
    if not isinstance(row, (list, tuple, np.ndarray)):
        layer.refuse(f"{what} is {row!r}, expected a list of input maps")
    if not len(row):
        layer.refuse(f"{what} is empty, expected at least one input map: filter {index} would see nothing")
    for entry in row:
        if isinstance(entry, bool) or not isinstance(entry, (int, np.integer)) or entry < 0:
            layer.refuse(f"{what} has the entry {entry!r}, expected numbers of input maps, from 0 up")
    maps = tuple(int(entry) for entry in row)
    twice = next((m for i, m in enumerate(maps) if m in maps[:i]), None)
    if twice is not None:
        layer.refuse(f"{what} lists input map {twice} twice, expected each at most once")
    return maps


def check_maps(layer: Layer, table: Table, channels: int, input_shape: Shape) -> None:
    """Refuses a table that names a map which the input has not."""
    for i, row in enumerate(table):
        if max(row) >= channels:
            layer.refuse(
                f"row {i} of connections names input map {max(row)}, but its input shape is {input_shape}: "
                f"expected numbers from 0 to {channels - 1}"
            )


def places_of(table: Table, channels: int) -> np.ndarray:
    """int64 [channels, filters]: where in the list of connections that of a map and a filter is; its end if nowhere."""
    places = np.full((channels, len(table)), sum(map(len, table)), np.int64)
    filters, maps = np.repeat(np.arange(len(table)), [len(row) for row in table]), np.concatenate(table)
    places[maps, filters] = np.arange(len(maps))
    return places


def fan_in_of(table: Table) -> np.ndarray:
    """For each connection how many maps its filter sees."""
    return np.repeat([len(row) for row in table], [len(row) for row in table])


def fan_out_of(table: Table) -> np.ndarray:
    """For each connection by how many filters its map is seen."""
    maps = np.concatenate(table)
    return np.bincount(maps)[maps]


def expanded(g: LayerBuilder, weights: Parameter, places: np.ndarray, axis: int) -> ir.Value:
    """The weights with the axis of connections replaced by the two of `places`; 0 where there is no connection."""
    rank = len(weights.shape)
    pads = [0] * 2 * rank
    pads[rank + axis] = 1
    return g.Gather(g.Pad(weights, pads), places, axis=axis)


class Conv2DTable(Windowed):
    """A convolution of images whose filter i sees the input maps `connections[i]` alone, as C3 of LeNet-5 does.

    (batch, height, width, channels) → (batch, new height, new width, filters), one filter per row of `connections`;
    exported as an ordinary convolution with zeros for what is not connected.
    Weights: kernel (*kernel_size, connections), in the order of the table, and bias (filters,).
    Source: LeCun, Bottou, Bengio, Haffner 1998.

    Args:
        pad_value: what padding is made of.
    """

    rank = 2

    def __init__(
        self,
        connections: Sequence[Sequence[int]],
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        pad_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            **kwargs,
        )
        self.connections = connection_table(self, connections)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.pad_value = number(self, "pad_value", pad_value)
        self.input_maps = 0

    @property
    def filters(self) -> int:
        return len(self.connections)

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        check_maps(self, self.connections, self.channels(input_shape), input_shape)
        if self.built:
            self.check_channels(input_shape, self.input_maps)
        if self.pad_value and "auto_pad" in self._pads(self.spatial(input_shape)):
            self.refuse(f"its input shape is {input_shape}; with pad_value and strides height and width must be known")

    def build(self, input_shape: Any) -> None:
        self.input_maps = self.channels(input_shape)
        reach, count = prod(self.kernel_size), sum(map(len, self.connections))
        stored = (count, *self.kernel_size)
        fan_in, fan_out = reach * fan_in_of(self.connections), reach * fan_out_of(self.connections)
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, count),
            initializers.with_fans(self.kernel_initializer, fan_in, fan_out),
            self.kernel_regularizer,
            layout=Layout(stored, stored, (1, 2, 0)),
        )
        if self.use_bias:
            seen = reach * np.asarray([len(row) for row in self.connections])
            initializer = initializers.with_fans(self.bias_initializer, seen, 1)
            self.bias = self.add_weight("bias", (self.filters,), initializer, self.bias_regularizer)

    def dense_kernel(self) -> np.ndarray:
        """float32 (*kernel_size, channels, filters): the kernel of an ordinary convolution that does the same."""
        padded = np.pad(self.kernel.numpy(), [(0, 0), (0, 0), (0, 1)])
        return padded[..., places_of(self.connections, self.input_maps)]

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        kernel = expanded(g, self.kernel, places_of(self.connections, self.input_maps).T, axis=0)
        geometry = self._pads(self.spatial_of(x))
        if self.pad_value:
            x = constant_margin(g, x, geometry["pads"], self.pad_value)
            geometry = {"pads": [0, 0, 0, 0]}
        y = g.Conv(
            x,
            kernel,
            self.bias,
            kernel_shape=self.kernel_size,
            strides=self.strides,
            dilations=self.dilation_rate,
            **geometry,
        )
        return self.finish(g, y)

    def _pads(self, size: Sequence[int | None]) -> dict[str, Any]:
        return window_pads(self.padding, size, self.kernel_size, self.strides, self.dilation_rate)
