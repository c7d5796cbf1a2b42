"""ZFNet."""

from __future__ import annotations

from typing import Any

from ..trainer import Model, layers
from ..trainer.initializers import RandomNormal
from .blocks import classify
from .registry import register

__all__ = ["zfnet"]

GAUSSIAN = RandomNormal(0.0, 0.01)


@register("zfnet")
def zfnet(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "zfnet",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """AlexNet with a smaller first kernel and stride, on one tower: 62,357,608 parameters, all trainable.

    1,168,032,896 MACs at 224×224.

    | layer                          | output     | parameters |
    |--------------------------------|------------|-----------:|
    | Conv2D 96@7×7/2                | 110×110×96 |     14,208 |
    | MaxPooling 3×3/2, LRN          | 55×55×96   |          0 |
    | Conv2D 256@5×5/2               | 26×26×256  |    614,656 |
    | MaxPooling 3×3/2, LRN          | 13×13×256  |          0 |
    | Conv2D 384@3×3                 | 13×13×384  |    885,120 |
    | Conv2D 384@3×3                 | 13×13×384  |  1,327,488 |
    | Conv2D 256@3×3                 | 13×13×256  |    884,992 |
    | MaxPooling 3×3/2, Flatten      | 9216       |          0 |
    | Dense, Dropout 0.5             | 4096       | 37,752,832 |
    | Dense, Dropout 0.5             | 4096       | 16,781,312 |
    | Dense                          | 1000       |  4,097,000 |

    Source: M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014, figure 3, which gives
    the map sizes but no padding: one zero around the first convolution's input and pooling that rounds up give them.
    The paper counts no parameters; the table's sums are what others who built it count (imgclsmob: 62,357,608). Its
    contrast normalization across maps is LocalResponseNormalization here, its "weights of 1e-2" a normal with that
    deviation. Not built in: the paper's renormalization of filters while training.

    Args:
        input_shape: height, width, channels; at least 53×53.
    """
    image = layers.Input(input_shape)
    x = layers.ZeroPadding2D(1)(image)
    for filters, size in ((96, 7), (256, 5)):
        x = layers.Conv2D(filters, size, 2, activation="relu", kernel_initializer=GAUSSIAN)(x)
        x = layers.MaxPooling2D(3, 2, "same")(x)
        x = layers.LocalResponseNormalization()(x)
    for filters in (384, 384, 256):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=GAUSSIAN)(x)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(4096, activation="relu", kernel_initializer=GAUSSIAN)(x)
        x = layers.Dropout(0.5)(x)
    return Model(image, classify(x, num_classes, classifier_activation, GAUSSIAN), name=name)
