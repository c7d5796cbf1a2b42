"""EfficientNet."""

from __future__ import annotations

from typing import Any

from ..trainer import Model, layers
from ..trainer.initializers import VarianceScaling
from ..trainer.layers import Tensor
from .blocks import HE_FAN_OUT, channels_of, classify, conv_norm, depthwise_norm, gate
from .registry import register

__all__ = ["efficientnet_b0"]

BLOCKS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, filters, how many in a row, stride of the first, kernel: the paper's table 1."""
DROP_BRANCH = 0.2
HOW: dict[str, Any] = {"initializer": HE_FAN_OUT, "norm": {"epsilon": 1e-3, "momentum": 0.99}}
DENSE = VarianceScaling(1 / 3, "fan_out", "uniform")


@register("efficientnet_b0")
def efficientnet_b0(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "efficientnet_b0",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Gated inverted residuals with swish: 5,288,548 trainable parameters, 42,016 statistics.

    385,814,752 MACs at 224×224.

    | stage                           | output     | parameters |
    |---------------------------------|------------|-----------:|
    | Conv2D 32@3×3/2                 | 112×112×32 |        928 |
    | 1 block of 16, 3×3              | 112×112×16 |      1,448 |
    | 2 blocks of 24, 3×3             | 56×56×24   |     16,714 |
    | 2 blocks of 40, 5×5             | 28×28×40   |     46,640 |
    | 3 blocks of 80, 3×3             | 14×14×80   |    242,930 |
    | 3 blocks of 112, 5×5            | 14×14×112  |    543,148 |
    | 4 blocks of 192, 5×5            | 7×7×192    |  2,026,348 |
    | 1 block of 320, 3×3             | 7×7×320    |    717,232 |
    | Conv2D 1280@1×1                 | 7×7×1280   |    412,160 |
    | GlobalAveragePooling, Dropout 0.2, Dense | 1000 | 1,281,000 |

    Source: M. Tan, Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019, table 1
    (5.3 million parameters, 0.39 thousand million MACs). torchvision counts 5,288,548; Keras's 5,330,571 has the
    statistics and the 7 numbers of a layer that normalizes images, which is left out here: give it normalized ones.
    Initializers and batch normalization are the authors', as is that training drops whole branches: 0.2 times a
    block's place among the 16.

    Args:
        input_shape: height, width, channels; any size.
    """
    image = layers.Input(input_shape)
    x = conv_norm(image, 32, 3, 2, activation="silu", **HOW)
    count, place = sum(repeat for _, _, repeat, _, _ in BLOCKS), 0
    for expansion, filters, repeat, first, size in BLOCKS:
        for i in range(repeat):
            x = _block(x, expansion, filters, first if i == 0 else 1, size, DROP_BRANCH * place / count)
            place += 1
    x = conv_norm(x, 1280, 1, activation="silu", **HOW)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return Model(image, classify(x, num_classes, classifier_activation, DENSE), name=name)


def _block(x: Tensor, expansion: int, filters: int, strides: int, size: int, drop: float) -> Tensor:
    """The gate is as wide as a quarter of x, not of what it gates."""
    channels = channels_of(x)
    y = x if expansion == 1 else conv_norm(x, expansion * channels, 1, activation="silu", **HOW)
    y = depthwise_norm(y, size, strides, activation="silu", **HOW)
    y = gate(y, max(1, channels // 4), "silu", "sigmoid")
    y = conv_norm(y, filters, 1, activation=None, **HOW)
    if strides > 1 or channels != filters:
        return y
    return layers.Add()([x, layers.StochasticDepth(drop)(y) if drop else y])
