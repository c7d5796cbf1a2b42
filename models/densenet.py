"""DenseNet."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..trainer import Model, layers
from ..trainer.layers import Tensor
from .blocks import HE_FAN_IN, TORCH_NORM, channels_of, classify, conv_norm, margin, normalized
from .registry import register

__all__ = ["densenet121"]

GROWTH = 32
REPEATS = (6, 12, 24, 16)
_conv = partial(layers.Conv2D, use_bias=False, kernel_initializer=HE_FAN_IN)


@register("densenet121")
def densenet121(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "densenet121",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Densely connected blocks: 7,978,856 trainable parameters, 83,648 statistics; 2,834,161,664 MACs at 224×224.

    Every layer gets what all layers of its block before it made, and adds 32 channels.

    | stage                              | output     | parameters |
    |------------------------------------|------------|-----------:|
    | Conv2D 64@7×7/2, pooling           | 56×56×64   |      9,536 |
    | 6 layers                           | 56×56×256  |    335,040 |
    | Conv2D 128@1×1, AveragePooling     | 28×28×128  |     33,280 |
    | 12 layers                          | 28×28×512  |    919,680 |
    | Conv2D 256@1×1, AveragePooling     | 14×14×256  |    132,096 |
    | 24 layers                          | 14×14×1024 |  2,837,760 |
    | Conv2D 512@1×1, AveragePooling     | 7×7×512    |    526,336 |
    | 16 layers, normalization           | 7×7×1024   |  2,160,128 |
    | GlobalAveragePooling, Dense        | 1000       |  1,025,000 |

    Source: G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, "Densely connected convolutional networks", 2017, table
    1, DenseNet-BC with growth 32 and compression 0.5: torchvision's 7,978,856; Keras's 8,062,504 has the statistics.
    Weights begin as He et al. (2015) propose, no convolution has a bias.

    Args:
        input_shape: height, width, channels; at least 29×29.
    """
    image = layers.Input(input_shape)
    x = conv_norm(image, 2 * GROWTH, 7, 2, padding="even", norm=TORCH_NORM)
    x = layers.MaxPooling2D(3, 2)(margin(x, 3))
    for stage, repeat in enumerate(REPEATS):
        x = _transition(x) if stage else x
        for _ in range(repeat):
            x = layers.Concatenate()([x, _grown(x)])
    x = layers.GlobalAveragePooling2D()(normalized(x, "relu", TORCH_NORM))
    return Model(image, classify(x, num_classes, classifier_activation), name=name)


def _grown(x: Tensor) -> Tensor:
    """The new channels: normalization, ReLU and 1×1, normalization, ReLU and 3×3."""
    y = _conv(4 * GROWTH, 1)(normalized(x, "relu", TORCH_NORM))
    return _conv(GROWTH, 3, padding="same")(normalized(y, "relu", TORCH_NORM))


def _transition(x: Tensor) -> Tensor:
    """Half the channels, half the height and width."""
    return layers.AveragePooling2D()(_conv(channels_of(x) // 2, 1)(normalized(x, "relu", TORCH_NORM)))
