"""LeNet-5 as it was published: trainable subsampling, a table of connections, radial basis outputs."""

from __future__ import annotations

import numpy as np

from ..runtime.errors import InvalidInput
from ..trainer import Sequential, initializers, layers
from .registry import register

__all__ = ["C3_TABLE", "bitmaps", "lenet5_1998"]

C3_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""Table I of the paper: the maps of S2 that each of C3's sixteen maps sees. Six see 3, nine see 4, one sees all 6."""

DIGITS = """
.#####. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..##... ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .###... ##...## .....## ...###. ##..... ##..... .....## ##...## ##...##
##...## ####... .....## .....## ..####. ##..... ##..... ....##. ##...## ##...##
##..### ..##... .....## .....## ..#.##. ##..... ##..... ....##. ##...## ##...##
##.#.## ..##... ....##. ..####. .##.##. ######. ######. ...##.. .#####. .######
##.#.## ..##... ...##.. .....## .#..##. .....## ##...## ...##.. ##...## .....##
###..## ..##... ..##... .....## ##..##. .....## ##...## ..##... ##...## .....##
##...## ..##... .##.... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ..##... ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
##...## ..##... ##...## ##...## ....##. ##...## ##...## ..##... ##...## ...##..
.#####. ######. ####### .#####. ....##. .#####. .#####. ..##... .#####. .###...
"""
"""Ten pictures of 12 rows and 7 columns side by side, F6's targets; the paper's are of the same size."""


@register("lenet5_1998")
def lenet5_1998(
    num_classes: int = 10, input_shape: tuple[int, int, int] = (32, 32, 1), name: str = "lenet5_1998"
) -> Sequential:
    """LeNet-5 with all that the paper has: 60,000 trainable parameters, and 840 fixed ones in the output layer.

    | layer                       | output   | parameters | connections |
    |-----------------------------|----------|-----------:|------------:|
    | C1: Conv2D 6@5×5            | 28×28×6  |        156 |     122,304 |
    | S2: Subsampling2D 2×2       | 14×14×6  |         12 |       5,880 |
    | C3: Conv2DTable 16@5×5      | 10×10×16 |      1,516 |     151,600 |
    | S4: Subsampling2D 2×2       | 5×5×16   |         32 |       2,000 |
    | C5: Conv2D 120@5×5          | 1×1×120  |     48,120 |      48,120 |
    | F6: Dense                   | 84       |     10,164 |      10,164 |
    | RBF                         | 10       |  840 fixed |         840 |

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86(11), 1998, section II.B.

    Connections are a unit's inputs plus its bias, times the units. C3's 1,516 parameters, each used at 10·10 places,
    make 151,600; the lecture prints 156,000, which is 10·10·60·(5·5 + 1): a bias for each of the 60 kernels rather than
    for each of the 16 maps.

    As in the paper: pixels are scaled to -0.1 (background) and 1.175 (ink); subsampling multiplies the sum of four by a
    coefficient; every layer up to F6 ends in 1.7159·tanh(2x/3); weights begin uniform in ±2.4 / inputs; each output is
    the squared distance of F6 to a bitmap of its digit, 7×12 = 84 numbers of ±1 that are not trained.
    Different: the bitmaps are drawn anew (see `bitmaps`); the distances go, negated, through a softmax to be trained
    with cross-entropy, the paper's criterion (9) without its constant j; optimizers are those of today.

    Args:
        num_classes: classes beyond the ten digits get random bitmaps, as distributed codes.
        input_shape: height, width, channels; at least 32×32, larger images make C5 larger than 1×1.

    Raises:
        InvalidInput: if the images are too small.
    """
    height, width, _ = input_shape
    if min(height, width) < 32:
        raise InvalidInput(f"model {name!r}: images are {height}×{width}; expected at least 32×32")
    squash, begin = "scaled_tanh", "lecun1989_uniform"
    model = Sequential(
        [
            layers.Rescaling(1.275, -0.1, input_shape=input_shape),
            layers.Conv2D(6, 5, activation=squash, kernel_initializer=begin, name="C1"),
            layers.Subsampling2D(2, activation=squash, name="S2"),
            layers.Conv2DTable(C3_TABLE, 5, activation=squash, kernel_initializer=begin, name="C3"),
            layers.Subsampling2D(2, activation=squash, name="S4"),
            layers.Conv2D(120, 5, activation=squash, kernel_initializer=begin, name="C5"),
            layers.Flatten(),
            layers.Dense(84, activation=squash, kernel_initializer=begin, name="F6"),
            layers.RBF(num_classes, trainable=False, name="RBF"),
            layers.Softmax(name="output"),
        ],
        name=name,
    )
    model.get_layer("RBF").set_weights([_codes(num_classes)])
    return model


def bitmaps() -> np.ndarray:
    """The ten digits as float32 `(10, 12, 7)`, +1 where there is ink and -1 elsewhere."""
    rows = [line.split() for line in DIGITS.split("\n") if line]
    return np.asarray([[[1.0 if c == "#" else -1.0 for c in row[i]] for row in rows] for i in range(10)], np.float32)


def _codes(num_classes: int) -> np.ndarray:
    """One target for F6 per class, `(num_classes, 84)`."""
    more = max(num_classes - 10, 0)
    signs = initializers.RandomUniform(-1, 1, seed=1998)((more, 84))
    return np.concatenate([bitmaps().reshape(10, 84), np.where(signs < 0, -1, 1)])[:num_classes].astype(np.float32)
