"""Convolutions. Kernels are stored as ONNX's nodes want them and shown by `get_weights` as Keras does."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from .. import activations, initializers, regularizers
from .arguments import SpatialLayer, one_of, positive, sizes, span, window_pads
from .base import LayerBuilder, Shape
from .parameter import Layout, Parameter

__all__ = [
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "Windowed",
]


class Windowed(SpatialLayer):
    """What all convolutions share: the window's geometry, the bias, the activation."""

    paddings: tuple[str, ...] = ("valid", "same")
    bias: Parameter | None = None

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.kernel_size = sizes(self, "kernel_size", kernel_size, self.rank)
        self.strides = sizes(self, "strides", strides, self.rank)
        self.padding = one_of(self, "padding", padding, self.paddings)
        self.dilation_rate = sizes(self, "dilation_rate", dilation_rate, self.rank)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        self.channels(input_shape)
        if self.padding == "valid":
            self.check_window(input_shape, self.kernel_size, self.dilation_rate, "kernel")

    def check_channels(self, input_shape: Shape, expected: int) -> None:
        if self.channels(input_shape) != expected:
            self.refuse(f"its input shape is {input_shape}, its kernel expects {expected} channels")

    def add_bias(self, filters: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight("bias", (filters,), self.bias_initializer, self.bias_regularizer)

    def conv(self, g: LayerBuilder, x: ir.Value, kernel: Parameter, bias: Parameter | None, group: int) -> ir.Value:
        """A Conv node with this layer's geometry."""
        geometry = window_pads(self.padding, self.spatial_of(x), self.kernel_size, self.strides, self.dilation_rate)
        return g.Conv(
            x,
            kernel,
            bias,
            kernel_shape=self.kernel_size,
            strides=self.strides,
            dilations=self.dilation_rate,
            group=group,
            **geometry,
        )


class _Conv(Windowed):
    """activation(kernel * x + bias), `*` being cross-correlation as in all deep learning."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
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
        self.filters = positive(self, "filters", filters)
        self.groups = positive(self, "groups", groups)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        if self.filters % self.groups:
            self.refuse(f"{filters} filters cannot be divided into {groups} groups")

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        channels = self.channels(input_shape)
        if channels % self.groups:
            self.refuse(
                f"its input shape is {input_shape}: {channels} channels cannot be divided into {self.groups} groups"
            )
        if self.built:
            self.check_channels(input_shape, self.kernel.shape[1] * self.groups)

    def build(self, input_shape: Any) -> None:
        channels = self.channels(input_shape) // self.groups
        stored = (self.filters, channels, *self.kernel_size)
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, channels, self.filters),
            self.kernel_initializer,
            self.kernel_regularizer,
            layout=Layout(stored, stored, (*range(2, self.rank + 2), 1, 0)),
        )
        self.add_bias(self.filters)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        return self.finish(g, self.conv(g, x, self.kernel, self.bias, self.groups))


class Conv1D(_Conv):
    """Convolution along one dimension: (batch, steps, channels) → (batch, new steps, filters)."""

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(_Conv):
    """Convolution of images: (batch, height, width, channels) → (batch, new height, new width, filters)."""

    rank = 2


class Conv3D(_Conv):
    """Convolution of volumes: (batch, d1, d2, d3, channels) → (batch, new d1, new d2, new d3, filters)."""

    rank = 3


class _ConvTranspose(Windowed):
    """The transpose of a convolution: what its gradient does to its output."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
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
        self.filters = positive(self, "filters", filters)
        self.output_padding = self._output_padding(output_padding)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def _output_padding(self, value: Any) -> tuple[int, ...] | None:
        if value is None:
            return None
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * self.rank
        if len(values) != self.rank or not all(
            isinstance(v, int) and 0 <= v < s for v, s in zip(values, self.strides, strict=False)
        ):
            self.refuse(
                f"output_padding is {value!r}, expected {self.rank} integers from 0 up to below strides {self.strides}"
            )
        return values

    def check(self, input_shape: Shape) -> None:
        SpatialLayer.check(self, input_shape)
        self.channels(input_shape)
        if self.built:
            self.check_channels(input_shape, self.kernel.shape[0])

    def build(self, input_shape: Any) -> None:
        channels = self.channels(input_shape)
        stored = (channels, self.filters, *self.kernel_size)
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, self.filters, channels),
            self.kernel_initializer,
            self.kernel_regularizer,
            layout=Layout(stored, stored, (*range(2, self.rank + 2), 1, 0)),
        )
        self.add_bias(self.filters)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        crops = [self._crop(axis) for axis in range(self.rank)]
        y = g.ConvTranspose(
            x,
            self.kernel,
            self.bias,
            kernel_shape=self.kernel_size,
            strides=self.strides,
            dilations=self.dilation_rate,
            pads=[max(c, 0) // 2 for c in crops] + [max(c, 0) - max(c, 0) // 2 for c in crops],
            output_padding=[max(-c, 0) for c in crops],
        )
        return self.finish(g, y)

    def _crop(self, axis: int) -> int:
        """How much the full output, (n - 1)·stride + reach, is longer than the one Keras asks for; negative if shorter.

        That is n·stride for "same" and n·stride + max(reach - stride, 0) for "valid"; with an `output_padding` it is
        (n - 1)·stride + output_padding + (reach mod 2 for "same", reach for "valid").
        """
        stride, reach = self.strides[axis], span(self.kernel_size[axis], self.dilation_rate[axis])
        if self.output_padding is None:
            return reach - stride if self.padding == "same" else min(reach - stride, 0)
        return (reach - reach % 2 if self.padding == "same" else 0) - self.output_padding[axis]


class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution along one dimension."""

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution of images; with strides it enlarges them."""

    rank = 2


class Conv3DTranspose(_ConvTranspose):
    """Transposed convolution of volumes."""

    rank = 3


class _Depthwise(Windowed):
    """One convolution per channel, giving `depth_multiplier` outputs each."""

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
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
        self.depth_multiplier = positive(self, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        if self.built:
            self.check_channels(input_shape, self.depthwise.keras_shape[-2])

    def add_depthwise(self, channels: int, name: str) -> Parameter:
        rank, multiplier, kernel = self.rank, self.depth_multiplier, self.kernel_size
        return self.add_weight(
            name,
            (*kernel, channels, multiplier),
            self.depthwise_initializer,
            self.depthwise_regularizer,
            layout=Layout(
                (channels * multiplier, 1, *kernel),
                (channels, multiplier, *kernel),
                (*range(2, rank + 2), 0, 1),
            ),
        )

    @property
    def depthwise(self) -> Parameter:
        return self.weights[0]

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        return self.finish(g, self.conv(g, x, self.depthwise, self.bias, self.depthwise.keras_shape[-2]))

    def build(self, input_shape: Any) -> None:
        channels = self.channels(input_shape)
        self.kernel = self.add_depthwise(channels, "kernel")
        self.add_bias(channels * self.depth_multiplier)


class DepthwiseConv1D(_Depthwise):
    """Depthwise convolution along one dimension."""

    rank = 1


class DepthwiseConv2D(_Depthwise):
    """Depthwise convolution of images."""

    rank = 2


class _Separable(_Depthwise):
    """A depthwise convolution, then a 1×1 convolution that mixes its channels into `filters`."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides=strides,
            padding=padding,
            depth_multiplier=depth_multiplier,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            **kwargs,
        )
        self.filters = positive(self, "filters", filters)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)

    def build(self, input_shape: Any) -> None:
        channels = self.channels(input_shape)
        self.depthwise_kernel = self.add_depthwise(channels, "depthwise_kernel")
        inner, ones = channels * self.depth_multiplier, (1,) * self.rank
        stored = (self.filters, inner, *ones)
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel",
            (*ones, inner, self.filters),
            self.pointwise_initializer,
            self.pointwise_regularizer,
            layout=Layout(stored, stored, (*range(2, self.rank + 2), 1, 0)),
        )
        self.add_bias(self.filters)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        inner = self.conv(g, x, self.depthwise_kernel, None, self.depthwise_kernel.keras_shape[-2])
        return self.finish(g, g.Conv(inner, self.pointwise_kernel, self.bias, kernel_shape=[1] * self.rank))


class SeparableConv1D(_Separable):
    """Separable convolution along one dimension."""

    rank = 1


class SeparableConv2D(_Separable):
    """Separable convolution of images."""

    rank = 2
