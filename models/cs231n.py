"""The small network that the notes of Stanford's CS231n draw."""

from __future__ import annotations

from ..trainer import Sequential, layers
from .registry import register

__all__ = ["cs231n_convnet"]


@register("cs231n_convnet")
def cs231n_convnet(
    num_classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    filters: int = 10,
    name: str = "cs231n_convnet",
) -> Sequential:
    """[CONV-RELU-CONV-RELU-POOL]×3-FC for CIFAR-10: 6,440 parameters.

    | layer             | output   | parameters | connections |
    |-------------------|----------|-----------:|------------:|
    | Conv2D 10@3×3     | 32×32×10 |        280 |     286,720 |
    | Conv2D 10@3×3     | 32×32×10 |        910 |     931,840 |
    | MaxPooling 2×2    | 16×16×10 |          0 |             |
    | Conv2D 10@3×3     | 16×16×10 |        910 |     232,960 |
    | Conv2D 10@3×3     | 16×16×10 |        910 |     232,960 |
    | MaxPooling 2×2    | 8×8×10   |          0 |             |
    | Conv2D 10@3×3     | 8×8×10   |        910 |      58,240 |
    | Conv2D 10@3×3     | 8×8×10   |        910 |      58,240 |
    | MaxPooling 2×2    | 4×4×10   |          0 |             |
    | Dense             | 10       |      1,610 |       1,610 |

    Source: A. Karpathy, "Convolutional Neural Networks", notes of CS231n, cs231n.github.io/convolutional-networks. The
    notes draw the layers and ten activation maps of each, and call the network a tiny VGG; kernels of 3×3, stride 1 and
    padding 1 are what they advise there. Connections are a unit's inputs plus its bias, times the units.

    Args:
        filters: maps of every convolution.
        input_shape: height, width, channels; at least 8×8.
    """
    stages: list[layers.Layer] = []
    for _ in range(3):
        stages += [_conv(filters), _conv(filters), layers.MaxPooling2D()]
    end = [layers.Flatten(), layers.Dense(num_classes, activation="softmax")]
    return Sequential([layers.Input(input_shape), *stages, *end], name=name)


def _conv(filters: int) -> layers.Layer:
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal")
