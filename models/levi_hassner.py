"""The network of Levi and Hassner for the age or gender of faces."""

from __future__ import annotations

from typing import Any

from ..trainer import Sequential, initializers, layers
from .registry import register

__all__ = ["levi_hassner"]


@register("levi_hassner")
def levi_hassner(
    num_classes: int = 8, input_shape: tuple[int, int, int] = (227, 227, 3), name: str = "levi_hassner"
) -> Sequential:
    """Three convolutions and two dense layers of 512: 11,415,048 parameters for eight ages, 11,411,970 for two genders.

    | layer                     | output    | parameters | connections |
    |---------------------------|-----------|-----------:|------------:|
    | Conv2D 96@7×7, stride 4   | 56×56×96  |     14,208 |  44,556,288 |
    | MaxPooling 3×3, stride 2  | 28×28×96  |          0 |             |
    | LRN                       | 28×28×96  |          0 |             |
    | Conv2D 256@5×5            | 28×28×256 |    614,656 | 481,890,304 |
    | MaxPooling 3×3, stride 2  | 14×14×256 |          0 |             |
    | LRN                       | 14×14×256 |          0 |             |
    | Conv2D 384@3×3            | 14×14×384 |    885,120 | 173,483,520 |
    | MaxPooling 3×3, stride 2  | 7×7×384   |          0 |             |
    | Dense, Dropout            | 512       |  9,634,304 |   9,634,304 |
    | Dense, Dropout            | 512       |    262,656 |     262,656 |
    | Dense                     | 8         |      4,104 |       4,104 |

    Source: G. Levi, T. Hassner, "Age and gender classification using convolutional neural networks", CVPR Workshops
    2015. Connections are a unit's inputs plus its bias, times the units.

    As in the paper: half of the dense units are dropped while training; local response normalisation over five channels
    with alpha 1e-4 and beta 0.75, after the first two poolings only, though the lecture's slide has it after all three;
    weights begin normal with a standard deviation of 0.01. The last pooling window of a row may reach past the edge, as
    in Caffe; there it sees what is inside. Different: pixels in [0, 1] are brought to [-1, 1] in place of subtracting a
    mean face.

    Args:
        num_classes: 8 ages or 2 genders.
        input_shape: height, width, channels of the crop.
    """
    pooled: dict[str, Any] = {"pool_size": 3, "strides": 2, "padding": "same"}
    begin: dict[str, Any] = {"activation": "relu", "kernel_initializer": initializers.RandomNormal(0.0, 0.01)}
    return Sequential(
        [
            layers.Rescaling(2.0, -1.0, input_shape=input_shape),
            layers.Conv2D(96, 7, strides=4, **begin),
            layers.MaxPooling2D(**pooled),
            layers.LocalResponseNormalization(size=5, alpha=1e-4, beta=0.75),
            layers.Conv2D(256, 5, padding="same", **begin),
            layers.MaxPooling2D(**pooled),
            layers.LocalResponseNormalization(size=5, alpha=1e-4, beta=0.75),
            layers.Conv2D(384, 3, padding="same", **begin),
            layers.MaxPooling2D(**pooled),
            layers.Flatten(),
            layers.Dense(512, **begin),
            layers.Dropout(0.5),
            layers.Dense(512, **begin),
            layers.Dropout(0.5),
            layers.Dense(num_classes, **begin | {"activation": "softmax"}),
        ],
        name=name,
    )
