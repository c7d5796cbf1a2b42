"""ConvNeXt."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..trainer import Model, layers
from ..trainer.initializers import TruncatedNormal
from ..trainer.layers import Tensor
from .blocks import channels_of, classify
from .registry import register

__all__ = ["convnext_tiny"]

STAGES = ((3, 96), (3, 192), (9, 384), (3, 768))
"""Blocks and filters."""
DROP_BRANCH = 0.1
INITIALIZER = TruncatedNormal(0.0, 0.02)
_conv = partial(layers.Conv2D, kernel_initializer=INITIALIZER)
_dense = partial(layers.Dense, kernel_initializer=INITIALIZER)
_norm = partial(layers.LayerNormalization, epsilon=1e-6)


@register("convnext_tiny")
def convnext_tiny(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "convnext_tiny",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """A residual network brought up to date: 28,589,128 parameters, all trainable; 4,455,531,264 MACs at 224×224.

    | stage                               | output    | parameters |
    |-------------------------------------|-----------|-----------:|
    | Conv2D 96@4×4/4, normalization      | 56×56×96  |      4,896 |
    | 3 blocks of 96                      | 56×56×96  |    237,888 |
    | normalization, Conv2D 192@2×2/2     | 28×28×192 |     74,112 |
    | 3 blocks of 192                     | 28×28×192 |    918,144 |
    | normalization, Conv2D 384@2×2/2     | 14×14×384 |    295,680 |
    | 9 blocks of 384                     | 14×14×384 | 10,817,280 |
    | normalization, Conv2D 768@2×2/2     | 7×7×768   |  1,181,184 |
    | 3 blocks of 768                     | 7×7×768   | 14,289,408 |
    | GlobalAveragePooling, normalization, Dense | 1000 | 770,536 |

    Source: Z. Liu et al., "A ConvNet for the 2020s", 2022 (29 million parameters, 4.5 thousand million MACs);
    torchvision counts 28,589,128. A block of c filters is a depthwise 7×7 convolution, layer normalization, two dense
    layers with GELU between them and one factor per channel: 50·c + 2·c + (4·c² + 4·c) + (4·c² + c) + c parameters.
    Weights begin truncated normal with deviation 0.02, factors at 1e-6; training drops whole branches, up to 0.1 of
    the last.

    Args:
        input_shape: height, width, channels; at least 32×32.
    """
    image = x = layers.Input(input_shape)
    last, place = sum(repeat for repeat, _ in STAGES) - 1, 0
    for stage, (repeat, filters) in enumerate(STAGES):
        x = _norm()(_conv(filters, 4, 4)(x)) if stage == 0 else _conv(filters, 2, 2)(_norm()(x))
        for _ in range(repeat):
            x = _block(x, DROP_BRANCH * place / last)
            place += 1
    x = _norm()(layers.GlobalAveragePooling2D()(x))
    return Model(image, classify(x, num_classes, classifier_activation, INITIALIZER), name=name)


def _block(x: Tensor, drop: float) -> Tensor:
    filters = channels_of(x)
    y = _norm()(_conv(filters, 7, padding="same", groups=filters)(x))
    y = _dense(filters)(_dense(4 * filters, activation="gelu")(y))
    y = layers.LayerScale(1e-6)(y)
    return layers.Add()([x, layers.StochasticDepth(drop)(y) if drop else y])
