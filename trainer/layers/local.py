"""Layers in which every unit has weights of its own: locally connected ones, and a bias per unit.

LeCun 1989, Generalization and network design strategies: local connections with and without shared weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from .. import activations, initializers, regularizers
from .arguments import constant_margin, number, positive, span, window_pads
from .base import Layer, LayerBuilder, Shape
from .convolution import Windowed
from .parameter import Layout
from .sparse import check_maps, connection_table, expanded, fan_in_of, fan_out_of, places_of

__all__ = ["LocallyConnected1D", "LocallyConnected2D", "UnitBias"]


class _LocallyConnected(Windowed):
    """A convolution without sharing: each place of its output has a kernel, and each unit a bias, of its own."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        connections: Sequence[Sequence[int]] | None = None,
        pad_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            **kwargs,
        )
        self.filters = positive(self, "filters", filters)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.connections = None if connections is None else connection_table(self, connections, self.filters)
        self.pad_value = number(self, "pad_value", pad_value)
        self.built_for: Shape = ()

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        if None in input_shape[1:]:
            self.refuse(f"its input shape is {input_shape}; all dimensions but the batch must be known")
        if self.connections is not None:
            check_maps(self, self.connections, self.channels(input_shape), input_shape)
        if self.built and input_shape[1:] != self.built_for:
            self.refuse(f"its input shape is {input_shape}, its weights are for samples of shape {self.built_for}")

    def build(self, input_shape: Any) -> None:
        self.built_for = tuple(input_shape[1:])
        channels, out = self.channels(input_shape), self.output_sizes()
        reach, places = prod(self.kernel_size), prod(out)
        if self.connections is None:
            shape: tuple[int, ...] = (places, reach * channels, self.filters)
            fan_in: Any = reach * channels
            fan_out: Any = reach * self.filters
            seen: Any = fan_in
        else:
            shape = (places, reach, sum(map(len, self.connections)))
            fan_in, fan_out = reach * fan_in_of(self.connections), reach * fan_out_of(self.connections)
            seen = reach * np.asarray([len(row) for row in self.connections])
        initializer = initializers.with_fans(self.kernel_initializer, fan_in, fan_out)
        self.kernel = self.add_weight("kernel", shape, initializer, self.kernel_regularizer)
        if self.use_bias:
            first = (self.filters, *out)
            self.bias = self.add_weight(
                "bias",
                (*out, self.filters),
                initializers.with_fans(self.bias_initializer, seen, 1),
                self.bias_regularizer,
                layout=None if self.last else Layout(first, first, (*range(1, self.rank + 1), 0)),
            )

    def output_sizes(self) -> list[int]:
        """How many places the output has along each spatial dimension."""
        sizes, pads = self._sizes(), self._pads()
        return [
            (n + pads[i] + pads[i + self.rank] - span(k, d)) // s + 1
            for i, (n, k, s, d) in enumerate(
                zip(sizes, self.kernel_size, self.strides, self.dilation_rate, strict=True)
            )
        ]

    def dense_kernel(self) -> np.ndarray:
        """float32 (places, kernel · channels, filters): the kernel with zeros for what is not connected."""
        kernel = self.kernel.numpy()
        if self.connections is None:
            return kernel
        picked = np.pad(kernel, [(0, 0), (0, 0), (0, 1)])[..., places_of(self.connections, self._channels())]
        return picked.reshape(len(kernel), -1, self.filters)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        out = self.output_sizes()
        flat = g.Flatten(self._with_margin(g, inputs[0]), axis=1)
        patches = g.Gather(g.Transpose(flat, perm=[1, 0]), self._indices(out), axis=0)
        kernel: Any = self.kernel
        if self.connections is not None:
            dense = expanded(g, self.kernel, places_of(self.connections, self._channels()), axis=2)
            kernel = g.Reshape(dense, [0, -1, self.filters])
        y = g.MatMul(g.Transpose(patches, perm=[0, 2, 1]), kernel)  # [places, batch, filters]
        y = g.Transpose(y, perm=[1, 0, 2] if self.last else [1, 2, 0])
        y = g.Reshape(y, [0, *out, self.filters] if self.last else [0, self.filters, *out])
        return activations.apply(self.activation, g, y if self.bias is None else g.Add(y, self.bias))

    def _with_margin(self, g: LayerBuilder, x: ir.Value) -> ir.Value:
        return constant_margin(g, x, self._pads(), self.pad_value, axis=1 if self.last else 2)

    def _indices(self, out: Sequence[int]) -> np.ndarray:
        """int64 [places, kernel · channels]: where in a flattened sample the numbers are that a place sees.

        Rows of kernels are in the order of kernel rows, kernel columns, channels, in either data format.
        """
        rank, pads, channels = self.rank, self._pads(), self._channels()
        sizes = [n + pads[i] + pads[i + rank] for i, n in enumerate(self._sizes())]
        strides = [prod(sizes[i + 1 :]) * (channels if self.last else 1) for i in range(rank)]
        total = np.arange(channels) * (1 if self.last else prod(sizes))
        for i in range(rank):
            within = np.arange(self.kernel_size[i]) * self.dilation_rate[i]
            place = np.arange(out[i])[:, None] * self.strides[i] + within
            shape = [1] * (2 * rank + 1)
            shape[i], shape[rank + i] = place.shape
            total = total + place.reshape(shape) * strides[i]
        return total.reshape(prod(out), -1).astype(np.int64)

    def _channels(self) -> int:
        return self.channels((None, *self.built_for))

    def _sizes(self) -> list[int]:
        return [n for n in self.spatial((None, *self.built_for)) if n is not None]

    def _pads(self) -> list[int]:
        return window_pads(self.padding, self._sizes(), self.kernel_size, self.strides, self.dilation_rate)["pads"]


class LocallyConnected1D(_LocallyConnected):
    """(batch, steps, channels) → (batch, new steps, filters), no weight shared between steps.

    Weights as in Keras 2: kernel (new steps, kernel · channels, filters) and bias (new steps, filters).

    Args:
        connections: for each filter the channels that it sees, default: all; the kernel then has the shape
        (new steps, kernel, connections), in the order of the table.
        pad_value: what padding is made of.
    """

    rank = 1


class LocallyConnected2D(_LocallyConnected):
    """(batch, height, width, channels) → (batch, rows, columns, filters), no weight shared between places.

    Weights as in Keras 2: kernel (rows · columns, kernel rows · kernel columns · channels, filters) and bias
    (rows, columns, filters); with channels first, too.

    Args:
        connections: for each filter the channels that it sees, default: all; the kernel then has the shape
        (rows · columns, kernel rows · kernel columns, connections), in the order of the table.
        pad_value: what padding is made of; -1 is the background of LeCun's digits.
    """

    rank = 2


class UnitBias(Layer):
    """activation(x + bias) with one bias per number of a sample; bias has the shape of a sample.

    After a convolution without bias it makes what LeCun 1989 calls shared weights with a bias per unit.
    """

    def __init__(
        self, activation: Any = None, bias_initializer: Any = "zeros", bias_regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def check(self, input_shape: Shape) -> None:
        if len(input_shape) < 2 or None in input_shape[1:]:
            self.refuse(f"its input shape is {input_shape}; all dimensions but the batch must be known")
        if self.built and self.bias.shape != input_shape[1:]:
            self.refuse(f"its input shape is {input_shape}, its bias is for samples of shape {self.bias.shape}")

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight("bias", input_shape[1:], self.bias_initializer, self.bias_regularizer)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return activations.apply(self.activation, g, g.Add(inputs[0], self.bias))
