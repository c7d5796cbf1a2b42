"""MobileNets, three generations."""

from __future__ import annotations

from typing import Any

from ..trainer import Model, layers
from ..trainer.initializers import RandomNormal
from ..trainer.layers import Tensor
from .blocks import HE_FAN_OUT, TORCH_NORM, channels_of, classify, conv_norm, depthwise_norm, divisible, gate
from .registry import register

__all__ = ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]

_SHAPE = (224, 224, 3)

V1_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Filters and stride of each separable convolution."""
V2_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, filters, how many in a row, stride of the first: the paper's table 2."""
V3_LARGE = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard_swish", 2),
    (3, 200, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 480, 112, True, "hard_swish", 1),
    (3, 672, 112, True, "hard_swish", 1),
    (5, 672, 160, True, "hard_swish", 2),
    (5, 960, 160, True, "hard_swish", 1),
    (5, 960, 160, True, "hard_swish", 1),
)
"""Kernel, expanded filters, filters, whether gated, activation, stride: the paper's table 1."""
V3_SMALL = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_swish", 2),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 120, 48, True, "hard_swish", 1),
    (5, 144, 48, True, "hard_swish", 1),
    (5, 288, 96, True, "hard_swish", 2),
    (5, 576, 96, True, "hard_swish", 1),
    (5, 576, 96, True, "hard_swish", 1),
)
"""As `V3_LARGE`: the paper's table 2."""

V1: dict[str, Any] = {
    "activation": "relu6",
    "initializer": "glorot_uniform",
    "norm": {"epsilon": 1e-3, "momentum": 0.99},
}
V2: dict[str, Any] = {"activation": "relu6", "initializer": HE_FAN_OUT, "norm": TORCH_NORM}
V3: dict[str, Any] = {"initializer": HE_FAN_OUT, "norm": {"epsilon": 1e-3, "momentum": 0.99}}
GAUSSIAN = RandomNormal(0.0, 0.01)


@register("mobilenet_v1")
def mobilenet_v1(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "mobilenet_v1",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Separable convolutions: 4,231,976 trainable parameters, 21,888 statistics; 568,740,352 MACs at 224×224.

    A depthwise 3×3 and a 1×1 convolution, each with batch normalization and ReLU6, make a block:

    | stage                           | output     | parameters |
    |---------------------------------|------------|-----------:|
    | Conv2D 32@3×3/2                 | 112×112×32 |        928 |
    | block 64                        | 112×112×64 |      2,528 |
    | blocks 128/2, 128               | 56×56×128  |     27,200 |
    | blocks 256/2, 256               | 28×28×256  |    103,552 |
    | blocks 512/2, 5 times 512       | 14×14×512  |  1,478,912 |
    | blocks 1024/2, 1024             | 7×7×1024   |  1,593,856 |
    | GlobalAveragePooling, Dropout, Dense | 1000  |  1,025,000 |

    Source: A. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications",
    2017, table 1 (4.2 million parameters, 569 million MACs). Keras's 4,253,864 has the statistics. As in Keras, whose
    initializers, batch normalization and dropout of 0.001 these are, activations end at 6; the paper's do not.

    Args:
        input_shape: height, width, channels; any size.
    """
    image = layers.Input(input_shape)
    x = conv_norm(image, 32, 3, 2, **V1)
    for filters, strides in V1_BLOCKS:
        x = conv_norm(depthwise_norm(x, 3, strides, **V1), filters, 1, **V1)
    x = layers.Dropout(1e-3)(layers.GlobalAveragePooling2D()(x))
    return Model(image, classify(x, num_classes, classifier_activation), name=name)


@register("mobilenet_v2")
def mobilenet_v2(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "mobilenet_v2",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Inverted residuals: 3,504,872 trainable parameters, 34,112 statistics; 300,774,272 MACs at 224×224.

    | stage                           | output     | parameters |
    |---------------------------------|------------|-----------:|
    | Conv2D 32@3×3/2                 | 112×112×32 |        928 |
    | 1 block of 16                   | 112×112×16 |        896 |
    | 2 blocks of 24                  | 56×56×24   |     13,968 |
    | 3 blocks of 32                  | 28×28×32   |     39,696 |
    | 4 blocks of 64                  | 14×14×64   |    183,872 |
    | 3 blocks of 96                  | 14×14×96   |    303,168 |
    | 3 blocks of 160                 | 7×7×160    |    795,264 |
    | 1 block of 320                  | 7×7×320    |    473,920 |
    | Conv2D 1280@1×1                 | 7×7×1280   |    412,160 |
    | GlobalAveragePooling, Dropout 0.2, Dense | 1000 | 1,281,000 |

    Source: M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018, table 2 (3.4 million
    parameters, 300 million MACs). torchvision, whose initializers, batch normalization and dropout these are, counts
    3,504,872; Keras's 3,538,984 has the statistics. Padding is TensorFlow's: an odd one goes after.

    Args:
        input_shape: height, width, channels; any size.
    """
    image = layers.Input(input_shape)
    x = conv_norm(image, 32, 3, 2, **V2)
    for expansion, filters, repeat, first in V2_BLOCKS:
        for i in range(repeat):
            x = _inverted(x, 3, expansion * channels_of(x), filters, first if i == 0 else 1, **V2)
    x = conv_norm(x, 1280, 1, **V2)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return Model(image, classify(x, num_classes, classifier_activation, GAUSSIAN), name=name)


@register("mobilenet_v3_large")
def mobilenet_v3_large(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "mobilenet_v3_large",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Searched, large: 5,483,032 trainable parameters, 24,400 statistics; 216,589,760 MACs at 224×224.

    See `mobilenet_v3_small`.
    """
    return _v3(V3_LARGE, 1280, num_classes, input_shape, name, classifier_activation)


@register("mobilenet_v3_small")
def mobilenet_v3_small(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "mobilenet_v3_small",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Searched, small: 2,542,856 trainable parameters, 12,112 statistics; 56,510,400 MACs at 224×224.

    Inverted residuals, some with gates, with ReLU in the first stages and hard swish in the others:

    | small                       | output    | parameters | large                 | output     | parameters |
    |-----------------------------|-----------|-----------:|-----------------------|------------|-----------:|
    | Conv2D 16@3×3/2             | 112×112×16 |        464 | Conv2D 16@3×3/2      | 112×112×16 |        464 |
    | 1 block of 16               | 56×56×16  |        744 | 1 block of 16         | 112×112×16 |        464 |
    | 2 blocks of 24              | 28×28×24  |      9,280 | 2 blocks of 24        | 56×56×24   |      7,880 |
    | 3 blocks of 40              | 14×14×40  |    128,264 | 3 blocks of 40        | 28×28×40   |     52,312 |
    | 2 blocks of 48              | 14×14×48  |     51,768 | 4 blocks of 80        | 14×14×80   |    130,824 |
    | 3 blocks of 96              | 7×7×96    |    680,040 | 2 blocks of 112       | 14×14×112  |    600,544 |
    |                             |           |            | 3 blocks of 160       | 7×7×160    |  2,023,944 |
    | Conv2D 576@1×1              | 7×7×576   |     56,448 | Conv2D 960@1×1        | 7×7×960    |    155,520 |
    | GlobalAveragePooling, Dense | 1024      |    590,848 | the same              | 1280       |  1,230,080 |
    | Dropout 0.2, Dense          | 1000      |  1,025,000 | the same              | 1000       |  1,281,000 |

    Source: A. Howard et al., "Searching for MobileNetV3", 2019, tables 1 and 2 (2.5 and 5.4 million parameters, 56 and
    219 million MACs). torchvision, whose initializers and batch normalization these are, counts 2,542,856 and
    5,483,032. Gates are as wide as a quarter of the expanded filters, rounded to eights. Padding is TensorFlow's: an
    odd one goes after.

    Args:
        input_shape: height, width, channels; any size.
    """
    return _v3(V3_SMALL, 1024, num_classes, input_shape, name, classifier_activation)


def _v3(
    blocks: tuple[tuple[Any, ...], ...],
    units: int,
    num_classes: int,
    input_shape: tuple[int, int, int],
    name: str,
    classifier_activation: Any,
) -> Model:
    image = layers.Input(input_shape)
    x = conv_norm(image, 16, 3, 2, activation="hard_swish", **V3)
    for size, wide, filters, gated, activation, strides in blocks:
        x = _inverted(x, size, wide, filters, strides, gated=gated, activation=activation, **V3)
    x = conv_norm(x, 6 * channels_of(x), 1, activation="hard_swish", **V3)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(units, activation="hard_swish", kernel_initializer=GAUSSIAN)(x)
    x = layers.Dropout(0.2)(x)
    return Model(image, classify(x, num_classes, classifier_activation, GAUSSIAN), name=name)


def _inverted(
    x: Tensor, size: int, wide: int, filters: int, strides: int, *, activation: str, gated: bool = False, **how: Any
) -> Tensor:
    """1×1 to many channels, a depthwise convolution, a gate, a linear 1×1 to few; added to x where it fits."""
    y = conv_norm(x, wide, 1, activation=activation, **how) if wide != channels_of(x) else x
    y = depthwise_norm(y, size, strides, activation=activation, **how)
    y = gate(y, divisible(wide / 4), "relu", "hard_sigmoid") if gated else y
    y = conv_norm(y, filters, 1, activation=None, **how)
    return layers.Add()([x, y]) if strides == 1 and channels_of(x) == filters else y
