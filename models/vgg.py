"""VGG with 11, 16 and 19 layers with weights."""

from __future__ import annotations

from typing import Any

from ..trainer import Model, layers
from .blocks import classify
from .registry import register

__all__ = ["vgg11", "vgg16", "vgg19"]

FILTERS = (64, 128, 256, 512, 512)
_SHAPE = (224, 224, 3)


@register("vgg11")
def vgg11(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "vgg11",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Configuration A: 132,863,336 parameters, all trainable; 7,609,090,048 MACs at 224×224. See `vgg16`."""
    return _vgg((1, 1, 2, 2, 2), num_classes, input_shape, name, classifier_activation)


@register("vgg16")
def vgg16(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "vgg16",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Configuration D: 138,357,544 parameters, all trainable; 15,470,264,320 MACs at 224×224.

    Stages of 3×3 convolutions, each followed by MaxPooling 2×2, then three dense layers; parameters with biases:

    | stage          | output      | vgg11 (A)    | vgg16 (D)    | vgg19 (E)    |
    |----------------|-------------|-------------:|-------------:|-------------:|
    | convolutions   |             | 1, 1, 2, 2, 2 | 2, 2, 3, 3, 3 | 2, 2, 4, 4, 4 |
    | 64 filters     | 112×112×64  |        1,792 |       38,720 |       38,720 |
    | 128 filters    | 56×56×128   |       73,856 |      221,440 |      221,440 |
    | 256 filters    | 28×28×256   |      885,248 |    1,475,328 |    2,065,408 |
    | 512 filters    | 14×14×512   |    3,539,968 |    5,899,776 |    8,259,584 |
    | 512 filters    | 7×7×512     |    4,719,616 |    7,079,424 |    9,439,232 |
    | Dense          | 4096        |  102,764,544 |  102,764,544 |  102,764,544 |
    | Dense          | 4096        |   16,781,312 |   16,781,312 |   16,781,312 |
    | Dense          | 1000        |    4,097,000 |    4,097,000 |    4,097,000 |

    Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
    tables 1 and 2 (133, 138 and 144 million). Dropout 0.5 after the hidden dense layers. The paper began its deep
    networks with the weights of a trained configuration A, and notes that Glorot's initialization does without: that
    is what is used here. Large inputs flatten into more units, so the first dense layer grows with them.

    Args:
        input_shape: height, width, channels; at least 32×32.
    """
    return _vgg((2, 2, 3, 3, 3), num_classes, input_shape, name, classifier_activation)


@register("vgg19")
def vgg19(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = _SHAPE,
    name: str = "vgg19",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Configuration E: 143,667,240 parameters, all trainable; 19,632,062,464 MACs at 224×224. See `vgg16`."""
    return _vgg((2, 2, 4, 4, 4), num_classes, input_shape, name, classifier_activation)


def _vgg(
    repeats: tuple[int, ...], num_classes: int, input_shape: tuple[int, int, int], name: str, activation: Any
) -> Model:
    image = x = layers.Input(input_shape)
    for filters, repeat in zip(FILTERS, repeats, strict=True):
        for _ in range(repeat):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(4096, activation="relu")(x)
        x = layers.Dropout(0.5)(x)
    return Model(image, classify(x, num_classes, activation), name=name)
