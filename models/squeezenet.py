"""SqueezeNet."""

from __future__ import annotations

from typing import Any

from ..runtime.errors import InvalidInput
from ..trainer import Model, layers
from ..trainer.initializers import RandomNormal
from ..trainer.layers import Tensor
from .registry import register

__all__ = ["squeezenet"]

FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Squeezing 1×1 filters, and expanding ones of each of 1×1 and 3×3: fire2 to fire9."""
STEMS = {"1.0": (96, 7, (0, 3, 7)), "1.1": (64, 3, (0, 2, 4))}
"""Version → filters and kernel of the first convolution, before which fire modules (or after how many) pooling is."""


@register("squeezenet")
def squeezenet(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (227, 227, 3),
    name: str = "squeezenet",
    *,
    version: str = "1.0",
    classifier_activation: Any = "softmax",
) -> Model:
    """Fire modules, version 1.0: 1,248,424 parameters, all trainable; 832,667,936 MACs at 227×227.

    | stage                    | output     | 1.0     | 1.1     |
    |--------------------------|------------|--------:|--------:|
    | Conv2D 96@7×7/2 (1.1: 64@3×3/2) | 111×111×96 | 14,208 | 1,792 |
    | pooling, fire2           | 55×55×128  |  11,920 |  11,408 |
    | fire3 (1.1: pooling after it) | 55×55×128 | 12,432 | 12,432 |
    | fire4, pooling (1.1: none) | 55×55×256 |  45,344 |  45,344 |
    | fire5 (1.1: pooling after it) | 27×27×256 | 49,440 | 49,440 |
    | fire6                    | 27×27×384  | 104,880 | 104,880 |
    | fire7                    | 27×27×384  | 111,024 | 111,024 |
    | fire8, pooling (1.1: none) | 27×27×512 | 188,992 | 188,992 |
    | fire9, Dropout 0.5       | 13×13×512  | 197,184 | 197,184 |
    | Conv2D 1000@1×1, GlobalAveragePooling | 1000 | 513,000 | 513,000 |

    Source: F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    2016, table 1; version 1.1 (1,235,496 parameters, 2.4 times fewer MACs) is the authors' later one. Outputs in the
    table are 1.0's. The paper says 224×224 and draws 111×111 maps, which need the 227 of the authors' Caffe model.
    First weights are Glorot's, those of the last convolution normal with deviation 0.01, as there.

    Args:
        input_shape: height, width, channels; at least 35×35, 31×31 for version 1.1.
        version: "1.0" or "1.1".

    Raises:
        InvalidInput: for another version.
    """
    if version not in STEMS:
        raise InvalidInput(f"squeezenet: version is {version!r}, expected {' or '.join(map(repr, STEMS))}")
    filters, size, pooled_before = STEMS[version]
    image = layers.Input(input_shape)
    x = layers.Conv2D(filters, size, 2, activation="relu")(image)
    for place, (squeeze, expand) in enumerate(FIRES):
        x = layers.MaxPooling2D(3, 2)(x) if place in pooled_before else x
        x = _fire(x, squeeze, expand)
    x = layers.Dropout(0.5)(x)
    x = layers.Conv2D(num_classes, 1, activation="relu", kernel_initializer=RandomNormal(0.0, 0.01))(x)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(image, layers.Activation(classifier_activation, name="predictions")(x), name=name)


def _fire(x: Tensor, squeeze: int, expand: int) -> Tensor:
    x = layers.Conv2D(squeeze, 1, activation="relu")(x)
    sides = [layers.Conv2D(expand, size, padding="same", activation="relu")(x) for size in (1, 3)]
    return layers.Concatenate()(sides)
