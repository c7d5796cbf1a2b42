"""U-Net."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..runtime.errors import InvalidInput
from ..trainer import Model, layers
from ..trainer.layers import Tensor
from .blocks import HE_FAN_IN
from .registry import register

__all__ = ["unet"]

FILTERS = (64, 128, 256, 512, 1024)
_conv = partial(layers.Conv2D, kernel_initializer=HE_FAN_IN)


@register("unet")
def unet(
    num_classes: int = 2,
    input_shape: tuple[int, int, int] = (572, 572, 1),
    name: str = "unet",
    *,
    padding: str = "valid",
    classifier_activation: Any = "softmax",
) -> Model:
    """A label for every pixel: 31,030,658 parameters, all trainable; 150,428,424,448 MACs at 572×572.

    | stage                                   | output      | parameters |
    |-----------------------------------------|-------------|-----------:|
    | two Conv2D 64@3×3                       | 568×568×64  |     37,568 |
    | pooling, two Conv2D 128@3×3             | 280×280×128 |    221,440 |
    | pooling, two Conv2D 256@3×3             | 136×136×256 |    885,248 |
    | pooling, two Conv2D 512@3×3, Dropout    | 64×64×512   |  3,539,968 |
    | pooling, two Conv2D 1024@3×3, Dropout   | 28×28×1024  | 14,157,824 |
    | up 512@2×2, two Conv2D 512@3×3          | 52×52×512   |  9,176,576 |
    | up 256@2×2, two Conv2D 256@3×3          | 100×100×256 |  2,294,528 |
    | up 128@2×2, two Conv2D 128@3×3          | 196×196×128 |    573,824 |
    | up 64@2×2, two Conv2D 64@3×3            | 388×388×64  |    143,552 |
    | Conv2D 2@1×1                            | 388×388×2   |        130 |

    Source: O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation",
    2015, figure 1. The paper counts no parameters; with one channel, two classes and biases everywhere they are: from c
    to f filters, two convolutions have 9·c·f + f + 9·f·f + f and an enlarging one 4·c·f + f, so the way down has
    18,842,048, the way up 12,188,480, the last convolution 64·2 + 2 = 130. Each step up is put beside the middle of the
    maps that the same step down made. Weights begin as He et al. (2015) propose; half of what the two deepest steps
    make is dropped while training. Not part of a network: the paper's weight map.

    Args:
        num_classes: the last dimension of the output, whose softmax is each pixel's.
        input_shape: height, width, channels; sides of 16·n + 12, at least 188.
        padding: "same" gives outputs as large as inputs, whose sides must then be multiples of 16.

    Raises:
        InvalidInput: if a side would be odd before a pooling.
    """
    image = x = layers.Input(input_shape)
    kept = []
    for place, filters in enumerate(FILTERS):
        if place:
            _check_even(x, input_shape, name)
            x = layers.MaxPooling2D()(x)
        x = _twice(x, filters, padding)
        x = layers.Dropout(0.5)(x) if filters >= FILTERS[-2] else x
        kept.append(x)
    for filters, beside in zip(FILTERS[-2::-1], kept[-2::-1], strict=True):
        x = _up(filters)(x)
        x = _twice(layers.Concatenate()([_middle(beside, x), x]), filters, padding)
    x = _conv(num_classes, 1, activation=classifier_activation, name="predictions")(x)
    return Model(image, x, name=name)


_up = partial(layers.Conv2DTranspose, kernel_size=2, strides=2, activation="relu", kernel_initializer=HE_FAN_IN)


def _twice(x: Tensor, filters: int, padding: str) -> Tensor:
    for _ in range(2):
        x = _conv(filters, 3, padding=padding, activation="relu")(x)
    return x


def _check_even(x: Tensor, input_shape: tuple[int, int, int], name: str) -> None:
    """Pooling that drops a row would leave nothing to lay the enlarged maps on."""
    if any(size is not None and size % 2 for size in x.shape[1:3]):
        raise InvalidInput(
            f"model {name!r}: input shape {input_shape} leads to {x.shape[1]}×{x.shape[2]} maps before a pooling that "
            "takes even sizes; expected multiples of 16 for padding='same', 16·n + 12 such as 188 or 572 for 'valid'"
        )


def _middle(x: Tensor, like: Tensor) -> Tensor:
    """The middle of x, as high and wide as the other."""
    cuts = []
    for own, other in zip(x.shape[1:3], like.shape[1:3], strict=True):
        assert own is not None
        assert other is not None
        cuts.append(((own - other) // 2, (own - other + 1) // 2))
    return x if not any(map(sum, cuts)) else layers.Cropping2D(cuts)(x)
