"""Residual networks with 18, 34 and 50 layers with weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..trainer import Model, layers
from ..trainer.layers import Tensor
from .blocks import HE_FAN_IN, TORCH_NORM, channels_of, classify, conv_norm, margin
from .registry import register

__all__ = ["resnet18", "resnet34", "resnet50"]

_SHAPE = (224, 224, 3)
_conv = partial(conv_norm, padding="even", initializer=HE_FAN_IN, norm=TORCH_NORM)


@register("resnet18")
def resnet18(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "resnet18",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Basic blocks: 11,689,512 trainable parameters, 9,600 statistics; 1,814,073,344 MACs at 224×224.

    See `resnet50`.
    """
    return _resnet(_basic, (2, 2, 2, 2), num_classes, input_shape, name, classifier_activation)


@register("resnet34")
def resnet34(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "resnet34",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Basic blocks: 21,797,672 trainable parameters, 17,024 statistics; 3,663,761,408 MACs at 224×224.

    See `resnet50`.
    """
    return _resnet(_basic, (3, 4, 6, 3), num_classes, input_shape, name, classifier_activation)


@register("resnet50")
def resnet50(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "resnet50",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Bottlenecks: 25,557,032 trainable parameters, 53,120 statistics; 3,857,973,248 MACs at 224×224.

    Blocks add a branch to what they got: two 3×3 convolutions, or a bottleneck of 1×1, 3×3, and 1×1 to four times the
    filters; parameters of each stage, with how many blocks it has:

    | stage                       | side | resnet18       | resnet34        | resnet50         |
    |-----------------------------|-----:|---------------:|----------------:|-----------------:|
    | Conv2D 64@7×7/2, pooling    |   56 |          9,536 |           9,536 |            9,536 |
    | 64 filters                  |   56 |   2:   147,968 |    3:   221,952 |     3:   215,808 |
    | 128 filters                 |   28 |   2:   525,568 |    4: 1,116,416 |     4: 1,219,584 |
    | 256 filters                 |   14 |   2: 2,099,712 |    6: 6,822,400 |     6: 7,098,368 |
    | 512 filters                 |    7 |   2: 8,393,728 |   3: 13,114,368 |    3: 14,964,736 |
    | GlobalAveragePooling, Dense |      |        513,000 |         513,000 |        2,049,000 |

    Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", 2016, table 1, shortcuts of
    type B: identity where shapes agree, else a 1×1 convolution. As there, a bottleneck's stride is in its first
    convolution (1.8, 3.6 and 3.8 thousand million MACs); torchvision has it in the second, with the same parameters:
    11,689,512, 21,797,672 and 25,557,032. Keras's 25,636,712 count 26,560 biases of convolutions and all statistics.
    Weights begin as He et al. (2015) propose; no convolution has a bias.

    Args:
        input_shape: height, width, channels; any size.
    """
    return _resnet(_bottleneck, (3, 4, 6, 3), num_classes, input_shape, name, classifier_activation)


Block = Callable[[Tensor, int, int], Tensor]


def _resnet(
    block: Block,
    repeats: tuple[int, ...],
    num_classes: int,
    input_shape: tuple[int, int, int],
    name: str,
    activation: Any,
) -> Model:
    image = layers.Input(input_shape)
    x = layers.MaxPooling2D(3, 2)(margin(_conv(image, 64, 7, 2), 3))
    for stage, repeat in enumerate(repeats):
        for i in range(repeat):
            x = block(x, 64 << stage, 2 if stage and i == 0 else 1)
    return Model(image, classify(layers.GlobalAveragePooling2D()(x), num_classes, activation, HE_FAN_IN), name=name)


def _basic(x: Tensor, filters: int, strides: int) -> Tensor:
    y = _conv(x, filters, 3, strides)
    return _joined(x, _conv(y, filters, 3, activation=None), strides)


def _bottleneck(x: Tensor, filters: int, strides: int) -> Tensor:
    y = _conv(_conv(x, filters, 1, strides), filters, 3)
    return _joined(x, _conv(y, 4 * filters, 1, activation=None), strides)


def _joined(x: Tensor, y: Tensor, strides: int) -> Tensor:
    """The sum of a block's input and its branch; a 1×1 convolution makes them fit where they do not."""
    if strides > 1 or channels_of(x) != channels_of(y):
        x = _conv(x, channels_of(y), 1, strides, activation=None)
    return layers.Activation("relu")(layers.Add()([x, y]))
