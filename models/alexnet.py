"""AlexNet."""

from __future__ import annotations

from typing import Any

from ..trainer import Model, layers
from ..trainer.initializers import RandomNormal
from .blocks import classify
from .registry import register

__all__ = ["alexnet"]

GAUSSIAN = RandomNormal(0.0, 0.01)
CONVOLUTIONS: tuple[tuple[int, int, int, str, int, str, bool, bool], ...] = (
    (96, 11, 4, "valid", 1, "zeros", True, True),
    (256, 5, 1, "same", 2, "ones", True, True),
    (384, 3, 1, "same", 1, "zeros", False, False),
    (384, 3, 1, "same", 2, "ones", False, False),
    (256, 3, 1, "same", 2, "ones", False, True),
)
"""Filters, kernel, stride, padding, groups, first bias; whether response normalization and pooling follow."""


@register("alexnet")
def alexnet(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (227, 227, 3),
    name: str = "alexnet",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """The two-group network of the paper: 60,965,224 parameters, all trainable, 724,406,816 MACs at 227×227.

    | layer                       | output    | parameters |
    |-----------------------------|-----------|-----------:|
    | Conv2D 96@11×11/4           | 55×55×96  |     34,944 |
    | LRN, MaxPooling 3×3/2       | 27×27×96  |          0 |
    | Conv2D 256@5×5, 2 groups    | 27×27×256 |    307,456 |
    | LRN, MaxPooling 3×3/2       | 13×13×256 |          0 |
    | Conv2D 384@3×3              | 13×13×384 |    885,120 |
    | Conv2D 384@3×3, 2 groups    | 13×13×384 |    663,936 |
    | Conv2D 256@3×3, 2 groups    | 13×13×256 |    442,624 |
    | MaxPooling 3×3/2, Flatten   | 9216      |          0 |
    | Dense, Dropout 0.5          | 4096      | 37,752,832 |
    | Dense, Dropout 0.5          | 4096      | 16,781,312 |
    | Dense                       | 1000      |  4,097,000 |

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks",
    2012. First weights are normal with deviation 0.01; biases begin at 1 in the second, fourth and fifth convolution
    and in the hidden dense layers, else at 0. The halves of the two GPUs are groups: without them there would be
    62,378,344 parameters. The paper says 224×224 and draws 55×55 maps, which need 227. Its response normalization sums
    without dividing by the 5 maps; LocalResponseNormalization divides, so alpha is 5 times the paper's 1e-4.

    Args:
        input_shape: height, width, channels; at least 67×67.
    """
    image = x = layers.Input(input_shape)
    for filters, size, strides, padding, groups, bias, normalize, pool in CONVOLUTIONS:
        x = layers.Conv2D(
            filters,
            size,
            strides,
            padding,
            groups=groups,
            activation="relu",
            kernel_initializer=GAUSSIAN,
            bias_initializer=bias,
        )(x)
        x = layers.LocalResponseNormalization(size=5, alpha=5e-4, beta=0.75, bias=2.0)(x) if normalize else x
        x = layers.MaxPooling2D(3, 2)(x) if pool else x
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(4096, activation="relu", kernel_initializer=GAUSSIAN, bias_initializer="ones")(x)
        x = layers.Dropout(0.5)(x)
    return Model(image, classify(x, num_classes, classifier_activation, GAUSSIAN), name=name)
