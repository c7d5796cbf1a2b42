"""Batch, layer, group and local response normalization, and a learnt scale per channel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ...runtime.inference import set_type, value_type
from .. import initializers, regularizers
from .arguments import SpatialLayer, data_format_of, number, positive
from .base import Layer, LayerBuilder, Shape
from .parameter import Layout, Parameter

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "LayerScale",
    "LocalResponseNormalization",
]


class _Normalization(Layer):
    """Arguments and weights that the three share: `gamma` scales and `beta` shifts what was normalized."""

    gamma: Parameter | None = None
    beta: Parameter | None = None

    def __init__(
        self,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < epsilon < math.inf:
            self.refuse(f"epsilon is {epsilon!r}, expected a number above 0")
        self.epsilon = float(epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)

    def add_scale_and_shift(self, shape: Sequence[int]) -> None:
        if self.scale:
            self.gamma = self.add_weight("gamma", shape, self.gamma_initializer, self.gamma_regularizer)
        if self.center:
            self.beta = self.add_weight("beta", shape, self.beta_initializer, self.beta_regularizer)

    def known_axis(self, input_shape: Shape, axis: int) -> int:
        """`axis` counted from the front; its size must be known and it must not be the batch."""
        rank = len(input_shape)
        if not isinstance(axis, int) or not -rank <= axis < rank or axis % rank == 0:
            self.refuse(f"axis is {axis!r}, expected one of the dimensions 1 to {rank - 1} of its input {input_shape}")
        if input_shape[axis] is None:
            self.refuse(f"its input shape is {input_shape}, dimension {axis} must be known")
        return axis % rank


def _static(x: ir.Value) -> tuple[int, ...]:
    """The dimensions of a value; those that are open count as 0."""
    return tuple(d if isinstance(d, int) else 0 for d in value_type(x)[1] or ())


def _axis_to_front(g: LayerBuilder, x: ir.Value, axis: int) -> tuple[ir.Value, list[int] | None]:
    """`x` with `axis` moved to place 1, where ONNX has channels, and the permutation back (None: it was there)."""
    assert x.shape is not None
    if axis == 1:
        return x, None
    others = [a for a in range(1, len(x.shape)) if a != axis]
    perm = [0, axis, *others]
    return g.Transpose(x, perm=perm), [int(a) for a in np.argsort(perm)]


class BatchNormalization(_Normalization):
    """gamma · (x - mean) / sqrt(variance + epsilon) + beta, per channel (Ioffe & Szegedy 2015).

    Training uses the batch's own mean and variance and moves the running ones:
    moving · momentum + batch · (1 - momentum).
    Inference, and a layer with `trainable=False`, uses the running ones.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            **kwargs,
        )
        if not 0 <= momentum <= 1:
            self.refuse(f"momentum is {momentum!r}, expected a number from 0 to 1")
        self.axis = axis
        self.momentum = float(momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def check(self, input_shape: Shape) -> None:
        axis = self.known_axis(input_shape, self.axis)
        if self.built and self.moving_mean.shape != (input_shape[axis],):
            self.refuse(f"its input shape is {input_shape}, it expects {self.moving_mean.shape[0]} in dimension {axis}")

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[self.axis],)
        self.add_scale_and_shift(shape)
        self.moving_mean = self.add_weight("moving_mean", shape, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(
            "moving_variance", shape, self.moving_variance_initializer, trainable=False
        )

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        assert inputs[0].shape is not None
        channels = self.moving_mean.shape
        x, back = _axis_to_front(g, inputs[0], self.axis % len(inputs[0].shape))
        y = g.BatchNormalization(
            x,
            self.gamma or g.constant(np.ones(channels, np.float32), "ones"),
            self.beta or g.constant(np.zeros(channels, np.float32), "zeros"),
            self.moving_mean,
            self.moving_variance,
            epsilon=self.epsilon,
            momentum=self.momentum,
        )
        return y if back is None else g.Transpose(y, perm=back)


class LayerNormalization(_Normalization):
    """gamma · (x - mean) / sqrt(variance + epsilon) + beta over dimensions `axis` of each sample (Ba et al. 2016)."""

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            **kwargs,
        )
        self.axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis

    def check(self, input_shape: Shape) -> None:
        shape = self._shape(input_shape)
        known = self.gamma or self.beta
        if known is not None and known.shape != shape:
            self.refuse(f"its input shape is {input_shape}, it expects {known.shape} in the dimensions {self.axis}")

    def build(self, input_shape: Any) -> None:
        self.add_scale_and_shift(self._shape(input_shape))

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        assert x.shape is not None
        rank = len(x.shape)
        axes = self._axes(rank)
        perm = [a for a in range(rank) if a not in axes] + axes
        moved = perm != list(range(rank))
        if moved:
            x = g.Transpose(x, perm=perm)
        sizes = _static(x)[rank - len(axes) :]
        gamma = self.gamma or g.constant(np.ones(sizes, np.float32), "ones")
        y = g.LayerNormalization(x, gamma, self.beta, axis=-len(axes), epsilon=self.epsilon)
        return g.Transpose(y, perm=np.argsort(perm).tolist()) if moved else y

    def _axes(self, rank: int) -> list[int]:
        return sorted({a % rank for a in (self.axis if isinstance(self.axis, tuple) else (self.axis,))})

    def _shape(self, input_shape: Shape) -> tuple[int, ...]:
        for axis in self.axis if isinstance(self.axis, tuple) else (self.axis,):
            self.known_axis(input_shape, axis)
        return tuple(d for a in self._axes(len(input_shape)) if (d := input_shape[a]) is not None)


class GroupNormalization(_Normalization):
    """Normalizes each group of channels of each sample (Wu & He 2018); `groups=-1` makes every channel a group."""

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            **kwargs,
        )
        self.groups = groups if groups == -1 else positive(self, "groups", groups)
        self.axis = axis

    def check(self, input_shape: Shape) -> None:
        channels = input_shape[self.known_axis(input_shape, self.axis)]
        known = self.gamma or self.beta
        if known is not None and known.shape != (channels,):
            self.refuse(f"its input shape is {input_shape}, it expects {known.shape[0]} in dimension {self.axis}")
        if self.groups != -1 and channels is not None and channels % self.groups:
            self.refuse(
                f"its input shape is {input_shape}: {channels} channels cannot be divided into {self.groups} groups"
            )

    def build(self, input_shape: Any) -> None:
        self.add_scale_and_shift((input_shape[self.axis],))

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        assert inputs[0].shape is not None
        x, back = _axis_to_front(g, inputs[0], self.axis % len(inputs[0].shape))
        channels = _static(x)[1]
        y = g.GroupNormalization(
            x,
            self.gamma or g.constant(np.ones(channels, np.float32), "ones"),
            self.beta or g.constant(np.zeros(channels, np.float32), "zeros"),
            num_groups=channels if self.groups == -1 else self.groups,
            epsilon=self.epsilon,
        )
        set_type(y, *value_type(x))  # ONNX's inference does not look into operators defined by functions
        return y if back is None else g.Transpose(y, perm=back)


class LocalResponseNormalization(SpatialLayer):
    """x / (bias + alpha / size · Σ x²)^beta, summed over the `size` channels around (Krizhevsky et al. 2012).

    (batch, height, width, channels) → the same. `alpha` is divided by `size`, as in ONNX and Caffe; the paper's own
    formula multiplies the sum by alpha itself: give size · alpha for that.

    Args:
        size: how many channels, an odd number.
    """

    rank = 2

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        bias: float = 1.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.size = positive(self, "size", size)
        if self.size % 2 == 0:
            self.refuse(f"size is {size}, expected an odd number: as many channels before as after")
        self.alpha = number(self, "alpha", alpha)
        self.beta = number(self, "beta", beta)
        self.bias = number(self, "bias", bias)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        y = g.LRN(x, size=self.size, alpha=self.alpha, beta=self.beta, bias=self.bias)
        return self.from_channels_first(g, y)


class LayerScale(Layer):
    """gamma · x with one learnt gamma per channel, at first `init` (Touvron et al. 2021); ends a residual branch.

    (batch, …, channels) → the same; any number of dimensions. Weight: gamma (channels,).
    """

    def __init__(self, init: float = 1e-6, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init = number(self, "init", init)
        self.data_format = data_format_of(self, data_format)

    def check(self, input_shape: Shape) -> None:
        channels = self._channels(input_shape)
        if channels is None:
            self.refuse(f"its input shape is {input_shape}, the number of channels must be known ({self.data_format})")
        if self.built and self.gamma.size != channels:
            self.refuse(f"its input shape is {input_shape}, its gamma is for {self.gamma.size} channels")

    def _channels(self, input_shape: Shape) -> int | None:
        if len(input_shape) < 2:
            self.refuse(f"its input shape is {input_shape}, expected at least 2 dimensions")
        return input_shape[-1 if self.data_format == "channels_last" else 1]

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        assert channels is not None
        after = 0 if self.data_format == "channels_last" else len(input_shape) - 2
        layout = Layout((channels, *(1,) * after), (channels,), (0,))
        self.gamma = self.add_weight("gamma", (channels,), initializers.Constant(self.init), layout=layout)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return g.Mul(inputs[0], self.gamma)
