"""What the architectures have in common: convolution with batch normalization, channel gates, the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..trainer import layers
from ..trainer.initializers import Initializer, VarianceScaling
from ..trainer.layers import Tensor

__all__ = [
    "HE_FAN_IN",
    "HE_FAN_OUT",
    "TORCH_NORM",
    "channels_of",
    "classify",
    "conv_norm",
    "depthwise_norm",
    "divisible",
    "gate",
    "margin",
    "normalized",
    "separated",
]

HE_FAN_IN = VarianceScaling(2.0, "fan_in", "untruncated_normal")
"""He et al. 2015, equation 10: variance 2 / fan_in."""
HE_FAN_OUT = VarianceScaling(2.0, "fan_out", "untruncated_normal")
"""He et al. 2015, equation 14: variance 2 / fan_out, torchvision's usual choice for convolutions."""
TORCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}
"""Batch normalization as in Ioffe & Szegedy's and He et al.'s Caffe models, and PyTorch's default."""


def channels_of(x: Tensor) -> int:
    """The size of the last dimension, which every layer of these networks knows."""
    channels = x.shape[-1]
    assert channels is not None
    return channels


def divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, never below nine tenths of it: how MobileNets round widths."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * value else rounded + divisor


def margin(x: Tensor, size: int) -> Tensor:
    """Zeros on all four sides, as many before as after: `same` puts the odd one after, Caffe and PyTorch do not."""
    return layers.ZeroPadding2D(size // 2)(x) if size > 1 else x


def normalized(x: Tensor, activation: Any, norm: Mapping[str, Any]) -> Tensor:
    """Batch normalization, then the activation unless it is None."""
    y = layers.BatchNormalization(**norm)(x)
    return y if activation is None else layers.Activation(activation)(y)


def conv_norm(
    x: Tensor,
    filters: int,
    size: int | tuple[int, int],
    strides: int = 1,
    *,
    activation: Any = "relu",
    padding: str = "same",
    groups: int = 1,
    use_bias: bool = False,
    initializer: Initializer | str = HE_FAN_IN,
    norm: Mapping[str, Any],
) -> Tensor:
    """Convolution, batch normalization, activation; `padding="even"` is `margin` and no other padding."""
    if padding == "even":
        assert isinstance(size, int)
        x, padding = margin(x, size), "valid"
    y = layers.Conv2D(
        filters, size, strides, padding, groups=groups, use_bias=use_bias, kernel_initializer=initializer
    )(x)
    return normalized(y, activation, norm)


def depthwise_norm(
    x: Tensor,
    size: int,
    strides: int = 1,
    *,
    activation: Any = "relu",
    padding: str = "same",
    initializer: Initializer | str = HE_FAN_IN,
    norm: Mapping[str, Any],
) -> Tensor:
    """One convolution per channel, batch normalization, activation."""
    return conv_norm(
        x,
        channels_of(x),
        size,
        strides,
        activation=activation,
        padding=padding,
        groups=channels_of(x),
        initializer=initializer,
        norm=norm,
    )


def gate(x: Tensor, squeezed: int, activation: str, scale: str, initializer: Initializer | str = HE_FAN_OUT) -> Tensor:
    """Squeeze and excitation (Hu et al. 2018): each channel times a number that the means of all channels decide.

    Args:
        squeezed: units of the first of the two fully connected layers, which `activation` follows.
        scale: what makes the factors, a kind of sigmoid.
    """
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(squeezed, 1, activation=activation, kernel_initializer=initializer)(y)
    y = layers.Conv2D(channels_of(x), 1, activation=scale, kernel_initializer=initializer)(y)
    return layers.Multiply()([x, y])


def separated(x: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """The first channels, and the others."""
    rest = channels_of(x) - first
    return _cut(x, 0, rest), _cut(x, first, 0)


def _cut(x: Tensor, before: int, after: int) -> Tensor:
    """Without that many channels at either end: read as channels first, they are the image's second dimension."""
    return layers.Cropping2D(((0, 0), (before, after)), data_format="channels_first")(x)


def classify(
    x: Tensor,
    num_classes: int,
    activation: Any,
    initializer: Initializer | str = "glorot_uniform",
    name: str = "predictions",
) -> Tensor:
    """A dense layer with one unit per class."""
    return layers.Dense(num_classes, activation=activation, kernel_initializer=initializer, name=name)(x)
