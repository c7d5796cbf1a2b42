"""Inception with batch normalization (v2), and with factorized convolutions (v3)."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..trainer import Model, layers
from ..trainer.initializers import TruncatedNormal
from ..trainer.layers import Tensor
from .blocks import TORCH_NORM, classify, conv_norm
from .registry import register

__all__ = ["inception_v2", "inception_v3"]

V2_MODULES = (
    (64, (64, 64), (64, 96), ("average", 32)),
    (64, (64, 96), (64, 96), ("average", 64)),
    (0, (128, 160), (64, 96), ("reduce", 0)),
    (224, (64, 96), (96, 128), ("average", 128)),
    (192, (96, 128), (96, 128), ("average", 128)),
    (160, (128, 160), (128, 160), ("average", 128)),
    (96, (128, 192), (160, 192), ("average", 128)),
    (0, (128, 192), (192, 256), ("reduce", 0)),
    (352, (192, 320), (160, 224), ("average", 128)),
    (352, (192, 320), (192, 224), ("max", 128)),
)
"""Filters of 3a to 3c, 4a to 4e, 5a and 5b: 1×1; 3×3 after 1×1; two 3×3 after 1×1; pooling and the 1×1 after it."""

_v2 = partial(conv_norm, use_bias=True, initializer="glorot_uniform", norm=TORCH_NORM)
_v3 = partial(conv_norm, initializer=TruncatedNormal(0.0, 0.1), norm={"epsilon": 1e-3, "momentum": 0.9})


@register("inception_v2")
def inception_v2(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "inception_v2",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """BN-Inception: 11,295,240 trainable parameters, 20,032 statistics; 2,032,600,064 MACs at 224×224.

    | stage                       | output     | parameters |
    |-----------------------------|------------|-----------:|
    | Conv2D 64@7×7/2, pooling    | 56×56×64   |      9,600 |
    | Conv2D 64@1×1, 192@3×3      | 56×56×192  |    115,456 |
    | pooling, 3a                 | 28×28×256  |    219,552 |
    | 3b                          | 28×28×320  |    260,704 |
    | 3c, stride 2                | 14×14×576  |    385,632 |
    | 4a                          | 14×14×576  |    610,848 |
    | 4b                          | 14×14×576  |    666,240 |
    | 4c                          | 14×14×608  |    915,456 |
    | 4d                          | 14×14×608  |  1,144,000 |
    | 4e, stride 2                | 7×7×1056   |  1,451,008 |
    | 5a                          | 7×7×1024   |  2,210,496 |
    | 5b                          | 7×7×1024   |  2,281,248 |
    | GlobalAveragePooling, Dense | 1000       |  1,025,000 |

    Source: S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", 2015, with the widths of the Caffe model that others count (imgclsmob: 11,295,240; its 4c and 4d
    have 608 channels, those of TensorFlow's slim 576) and its biases before batch normalization, which change nothing
    but the count. The paper speaks of 13.6 million parameters. Side classifiers are left out; first weights are
    Glorot's.

    Args:
        input_shape: height, width, channels; any size.
    """
    image = layers.Input(input_shape)
    x = layers.MaxPooling2D(3, 2, "same")(_v2(image, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, "same")(_v2(_v2(x, 64, 1), 192, 3))
    for module in V2_MODULES:
        x = _v2_module(x, *module)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(image, classify(x, num_classes, classifier_activation), name=name)


def _v2_module(
    x: Tensor, ones: int, threes: tuple[int, int], doubles: tuple[int, int], pooling: tuple[str, int]
) -> Tensor:
    kind, pooled = pooling
    strides = 2 if kind == "reduce" else 1
    pool = layers.AveragePooling2D if kind == "average" else layers.MaxPooling2D
    side = pool(3, strides, "same")(x)
    branches = [
        _v2(_v2(x, threes[0], 1), threes[1], 3, strides),
        _v2(_v2(_v2(x, doubles[0], 1), doubles[1], 3), doubles[1], 3, strides),
        _v2(side, pooled, 1) if pooled else side,
    ]
    return layers.Concatenate()([_v2(x, ones, 1), *branches] if ones else branches)


@register("inception_v3")
def inception_v3(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (299, 299, 3),
    name: str = "inception_v3",
    *,
    auxiliary: bool = False,
    classifier_activation: Any = "softmax",
) -> Model:
    """Factorized convolutions: 23,834,568 trainable parameters (27,161,264 with `auxiliary`), 34,432 statistics.

    5,713,216,096 MACs at 299×299.

    | stage                                   | output     | parameters |
    |-----------------------------------------|------------|-----------:|
    | Conv2D 32@3×3/2, 32@3×3, 64@3×3, pooling | 73×73×64  |     28,768 |
    | Conv2D 80@1×1, 192@3×3, pooling         | 35×35×192  |    143,904 |
    | 5×5 beside two 3×3                      | 35×35×256  |    255,904 |
    | the same                                | 35×35×288  |    277,472 |
    | the same                                | 35×35×288  |    285,152 |
    | reduction                               | 17×17×768  |  1,153,280 |
    | 1×7 and 7×1, 128 filters                | 17×17×768  |  1,297,408 |
    | the same, 160 filters                   | 17×17×768  |  1,691,008 |
    | the same, 160 filters                   | 17×17×768  |  1,691,008 |
    | the same, 192 filters                   | 17×17×768  |  2,141,952 |
    | reduction                               | 8×8×1280   |  1,698,304 |
    | 1×3 beside 3×1                          | 8×8×2048   |  5,044,608 |
    | the same                                | 8×8×2048   |  6,076,800 |
    | GlobalAveragePooling, Dropout 0.5, Dense | 1000      |  2,049,000 |

    Source: C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, in torchvision's form:
    27,161,264 parameters with the side classifier. Keras's 23,851,784 are the same network without the 17,216 factors
    of batch normalization and with all 34,432 statistics counted. First weights are torchvision's truncated normals of
    deviation 0.1. Average pooling leaves padding out, as TensorFlow's does and torchvision's does not.

    Args:
        input_shape: height, width, channels; at least 75×75, with `auxiliary` 299×299.
        auxiliary: whether the model has a second output, the classifier on the last 17×17 maps that only training uses.
    """
    image = layers.Input(input_shape)
    x = _v3(_v3(_v3(image, 32, 3, 2, padding="valid"), 32, 3, padding="valid"), 64, 3)
    x = layers.MaxPooling2D(3, 2)(x)
    x = _v3(_v3(x, 80, 1, padding="valid"), 192, 3, padding="valid")
    x = layers.MaxPooling2D(3, 2)(x)
    for pooled in (32, 64, 64):
        x = _fives(x, pooled)
    x = _first_reduction(x)
    for filters in (128, 160, 160, 192):
        x = _sevens(x, filters)
    outputs = [_v3_side_classifier(x, num_classes, classifier_activation)] if auxiliary else []
    x = _second_reduction(x)
    for _ in range(2):
        x = _spread(x)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    outputs.insert(0, classify(x, num_classes, classifier_activation, TruncatedNormal(0.0, 0.1)))
    return Model(image, outputs, name=name)


def _chain(x: Tensor, *steps: tuple[Any, ...]) -> Tensor:
    """Convolutions one after the other; each step is filters, kernel, and strides if not 1."""
    for step in steps:
        padding = "valid" if len(step) == 3 else "same"
        x = _v3(x, *step, padding=padding)
    return x


def _averaged(x: Tensor, filters: int) -> Tensor:
    return _v3(layers.AveragePooling2D(3, 1, "same")(x), filters, 1)


def _fives(x: Tensor, pooled: int) -> Tensor:
    """Figure 5: a 5×5 beside two 3×3."""
    branches = [_v3(x, 64, 1), _chain(x, (48, 1), (64, 5)), _chain(x, (64, 1), (96, 3), (96, 3)), _averaged(x, pooled)]
    return layers.Concatenate()(branches)


def _first_reduction(x: Tensor) -> Tensor:
    """Figure 10, with the widths of the 35×35 to 17×17 step."""
    branches = [_chain(x, (384, 3, 2)), _chain(x, (64, 1), (96, 3), (96, 3, 2)), layers.MaxPooling2D(3, 2)(x)]
    return layers.Concatenate()(branches)


def _sevens(x: Tensor, filters: int) -> Tensor:
    """Figure 6: 7×7 as 1×7 and 7×1."""
    row, column = (1, 7), (7, 1)
    double = ((filters, 1), (filters, column), (filters, row), (filters, column), (192, row))
    branches = [
        _v3(x, 192, 1),
        _chain(x, (filters, 1), (filters, row), (192, column)),
        _chain(x, *double),
        _averaged(x, 192),
    ]
    return layers.Concatenate()(branches)


def _second_reduction(x: Tensor) -> Tensor:
    branches = [
        _chain(x, (192, 1), (320, 3, 2)),
        _chain(x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
        layers.MaxPooling2D(3, 2)(x),
    ]
    return layers.Concatenate()(branches)


def _spread(x: Tensor) -> Tensor:
    """Figure 7: 1×3 beside 3×1."""
    single, double = _v3(x, 384, 1), _chain(x, (448, 1), (384, 3))
    sides = [_v3(y, 384, kernel) for y in (single, double) for kernel in ((1, 3), (3, 1))]
    return layers.Concatenate()([_v3(x, 320, 1), *sides, _averaged(x, 192)])


def _v3_side_classifier(x: Tensor, num_classes: int, activation: Any) -> Tensor:
    y = _v3(layers.AveragePooling2D(5, 3)(x), 128, 1)
    y = _v3(y, 768, 5, padding="valid", initializer=TruncatedNormal(0.0, 0.01))
    y = layers.GlobalAveragePooling2D()(y)
    return classify(y, num_classes, activation, TruncatedNormal(0.0, 0.001), name="auxiliary")
