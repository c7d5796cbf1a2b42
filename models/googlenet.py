"""GoogLeNet, the first Inception network."""

from __future__ import annotations

from typing import Any

from ..trainer import Model, layers
from ..trainer.initializers import Constant
from ..trainer.layers import Tensor
from .blocks import classify
from .registry import register

__all__ = ["googlenet"]

MODULES = (
    ("3a", 64, 96, 128, 16, 32, 32),
    ("3b", 128, 128, 192, 32, 96, 64),
    ("4a", 192, 96, 208, 16, 48, 64),
    ("4b", 160, 112, 224, 24, 64, 64),
    ("4c", 128, 128, 256, 24, 64, 64),
    ("4d", 112, 144, 288, 32, 64, 64),
    ("4e", 256, 160, 320, 32, 128, 128),
    ("5a", 256, 160, 320, 32, 128, 128),
    ("5b", 384, 192, 384, 48, 128, 128),
)
"""Filters: 1×1; 3×3 after 1×1; 5×5 after 1×1; 1×1 after pooling. The paper's table 1."""
BIAS = Constant(0.2)
POOLED_AFTER = ("3b", "4e")
WITH_AUXILIARY = ("4a", "4d")


@register("googlenet")
def googlenet(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "googlenet",
    *,
    auxiliary: bool = False,
    classifier_activation: Any = "softmax",
) -> Model:
    """Nine Inception modules: 6,998,552 parameters, all trainable (13,378,280 with `auxiliary`).

    1,582,671,872 MACs at 224×224.

    | stage                           | output      | parameters |
    |---------------------------------|-------------|-----------:|
    | Conv2D 64@7×7/2, pooling, LRN   | 56×56×64    |      9,472 |
    | Conv2D 64@1×1                   | 56×56×64    |      4,160 |
    | Conv2D 192@3×3, LRN, pooling    | 28×28×192   |    110,784 |
    | 3a                              | 28×28×256   |    163,696 |
    | 3b, pooling                     | 14×14×480   |    388,736 |
    | 4a                              | 14×14×512   |    376,176 |
    | 4b                              | 14×14×512   |    449,160 |
    | 4c                              | 14×14×512   |    510,104 |
    | 4d                              | 14×14×528   |    605,376 |
    | 4e, pooling                     | 7×7×832     |    868,352 |
    | 5a                              | 7×7×832     |  1,043,456 |
    | 5b                              | 7×7×1024    |  1,444,080 |
    | GlobalAveragePooling, Dropout 0.4, Dense | 1000 | 1,025,000 |

    Source: C. Szegedy et al., "Going deeper with convolutions", 2015, table 1; its column of parameters leaves biases
    out and rounds. 6,998,552 is the count of the Caffe model bvlc_googlenet, 13,378,280 with its two side classifiers
    (torchvision's 6,624,904 has batch normalization, and 3×3 where the paper has 5×5). All convolutions have a bias
    and ReLU; response normalization is Caffe's; weights begin as Glorot's and biases at 0.2, as in that model.

    Args:
        input_shape: height, width, channels; at least 65×65 with `auxiliary`.
        auxiliary: whether the model has two more outputs, classifiers on 4a and 4d that the paper trains with weight
            0.3 each and drops for inference.
    """
    image = layers.Input(input_shape)
    x = layers.MaxPooling2D(3, 2, "same")(_conv(image, 64, 7, 2))
    x = layers.LocalResponseNormalization()(x)
    x = _conv(_conv(x, 64, 1), 192, 3)
    x = layers.LocalResponseNormalization()(x)
    x = layers.MaxPooling2D(3, 2, "same")(x)
    outputs = []
    for place, *filters in MODULES:
        x = _module(x, *filters)
        if place in WITH_AUXILIARY and auxiliary:
            outputs.append(_side_classifier(x, num_classes, classifier_activation, f"auxiliary_{place}"))
        x = layers.MaxPooling2D(3, 2, "same")(x) if place in POOLED_AFTER else x
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))
    return Model(image, [classify(x, num_classes, classifier_activation), *outputs], name=name)


def _conv(x: Tensor, filters: int, size: int, strides: int = 1) -> Tensor:
    return layers.Conv2D(filters, size, strides, "same", activation="relu", bias_initializer=BIAS)(x)


def _module(x: Tensor, ones: int, before3: int, threes: int, before5: int, fives: int, pooled: int) -> Tensor:
    return layers.Concatenate()(
        [
            _conv(x, ones, 1),
            _conv(_conv(x, before3, 1), threes, 3),
            _conv(_conv(x, before5, 1), fives, 5),
            _conv(layers.MaxPooling2D(3, 1, "same")(x), pooled, 1),
        ]
    )


def _side_classifier(x: Tensor, num_classes: int, activation: Any, name: str) -> Tensor:
    y = _conv(layers.AveragePooling2D(5, 3)(x), 128, 1)
    y = layers.Dense(1024, activation="relu", bias_initializer=BIAS)(layers.Flatten()(y))
    return classify(layers.Dropout(0.7)(y), num_classes, activation, name=name)
