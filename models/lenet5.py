"""LeNet-5 in the form taught with Keras."""

from __future__ import annotations

from ..trainer import Sequential, layers
from .registry import register

__all__ = ["lenet5"]


@register("lenet5")
def lenet5(num_classes: int = 10, input_shape: tuple[int, int, int] = (32, 32, 1), name: str = "lenet5") -> Sequential:
    """Two convolutions with average pooling, then three dense layers: 61,706 parameters on 32×32×1 with ten classes.

    | layer          | output     | parameters |
    |----------------|------------|-----------:|
    | Conv2D 6@5×5   | 28×28×6    |        156 |
    | AveragePooling | 14×14×6    |          0 |
    | Conv2D 16@5×5  | 10×10×16   |      2,416 |
    | AveragePooling | 5×5×16     |          0 |
    | Flatten        | 400        |          0 |
    | Dense          | 120        |     48,120 |
    | Dense          | 84         |     10,164 |
    | Dense          | 10         |        850 |

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    1998. The paper's network has tanh, weighted subsampling, a partly connected second convolution and radial basis
    outputs; here, as usual with Keras, these are ReLU, plain average pooling, full connection and softmax.

    Args:
        input_shape: height, width, channels; at least 16×16.
    """
    return Sequential(
        [
            layers.Conv2D(filters=6, kernel_size=(5, 5), activation="relu", input_shape=input_shape),
            layers.AveragePooling2D(),
            layers.Conv2D(filters=16, kernel_size=(5, 5), activation="relu"),
            layers.AveragePooling2D(),
            layers.Flatten(),
            layers.Dense(units=120, activation="relu"),
            layers.Dense(units=84, activation="relu"),
            layers.Dense(units=num_classes, activation="softmax"),
        ],
        name=name,
    )
