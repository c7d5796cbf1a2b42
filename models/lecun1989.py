"""The networks of 1989: five for 16×16 digits that share ever more weights, and the reader of zip codes.

Sources: Y. LeCun, "Generalization and network design strategies", Connectionism in Perspective (1989), for Net-1 to
Net-5; Y. LeCun, B. Boser, J. S. Denker, D. Henderson, R. E. Howard, W. Hubbard, L. D. Jackel, "Backpropagation applied
to handwritten zip code recognition", Neural Computation 1(4), 1989, for the zip codes.

What is common to all of them:

- Images come as [0, 1], 1 being ink; the first layer brings them to [-1, 1], and what lies outside an image, or
  outside a map, is background: -1.
- Hidden units have the paper's 1.7159·tanh(2x/3); weights begin uniform in ±2.4 / F, F being a unit's number of inputs.
- Outputs are softmax, to be trained with cross-entropy; the papers have scaled tanh and squared errors.
- Tables count connections as a unit's inputs plus its bias, times the units; inputs in the background count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..runtime.errors import InvalidInput
from ..trainer import Sequential, layers
from .registry import register

__all__ = [
    "lecun1989_net1",
    "lecun1989_net2",
    "lecun1989_net3",
    "lecun1989_net3_shared",
    "lecun1989_net4",
    "lecun1989_net5",
    "lecun1989_zipcode",
]

BACKGROUND = -1.0
SQUASH = "scaled_tanh"
UNIFORM = "lecun1989_uniform"
SHAPE = (16, 16, 1)
Shape = tuple[int, int, int]
Table = Sequence[Sequence[int]]


@register("lecun1989_net1")
def lecun1989_net1(num_classes: int = 10, input_shape: Shape = SHAPE, name: str = "lecun1989_net1") -> Sequential:
    """Net-1: every pixel to every output, 2,570 free parameters; 80.0 % right in 1989.

    | layer | output | parameters | connections |
    |-------|--------|-----------:|------------:|
    | Dense | 10     |      2,570 |       2,570 |

    Arithmetic: 10·(16·16 + 1) = 2,570. The head of this file has the source and what all these networks share.
    """
    return Sequential([*_start(input_shape), *_end(num_classes)], name)


@register("lecun1989_net2")
def lecun1989_net2(num_classes: int = 10, input_shape: Shape = SHAPE, name: str = "lecun1989_net2") -> Sequential:
    """Net-2: twelve hidden units that see every pixel, 3,214 free parameters; 87.0 % right in 1989.

    | layer | output | parameters | connections |
    |-------|--------|-----------:|------------:|
    | Dense | 12     |      3,084 |       3,084 |
    | Dense | 10     |        130 |         130 |

    Arithmetic: 12·(16·16 + 1) + 10·(12 + 1) = 3,214. The lecture's table of accuracies prints 3240 for it.
    The head of this file has the source and what all these networks share.
    """
    return Sequential([*_start(input_shape), layers.Flatten(), _dense(12), *_end(num_classes)[1:]], name)


@register("lecun1989_net3")
def lecun1989_net3(num_classes: int = 10, input_shape: Shape = SHAPE, name: str = "lecun1989_net3") -> Sequential:
    """Net-3: two locally connected layers, nothing shared, 1,226 free parameters; 88.5 % right in 1989.

    | layer                     | output | parameters | connections |
    |---------------------------|--------|-----------:|------------:|
    | LocallyConnected2D 1@3×3  | 8×8×1  |        640 |         640 |
    | LocallyConnected2D 1@5×5  | 4×4×1  |        416 |         416 |
    | Dense                     | 10     |        170 |         170 |

    Arithmetic: 8·8·(3·3 + 1) + 4·4·(5·5 + 1) + (16 + 1)·10 = 1,226. The first layer's windows are two pixels apart and
    reach one pixel into the background; those of the second are one unit apart and stay inside.
    The head of this file has the source and what all these networks share.
    """
    first = _local(1, 3, strides=2, padding="same")
    return Sequential([*_start(input_shape), first, _local(1, 5), *_end(num_classes)], name)


@register("lecun1989_net3_shared")
def lecun1989_net3_shared(
    num_classes: int = 10, input_shape: Shape = SHAPE, name: str = "lecun1989_net3_shared"
) -> Sequential:
    """Net-3 with its kernels and biases shared, as the lecture counts it: 206 free parameters. Not in the paper.

    | layer               | output | parameters | connections |
    |---------------------|--------|-----------:|------------:|
    | Conv2DTable 1@3×3   | 8×8×1  |         10 |         640 |
    | Conv2DTable 1@5×5   | 4×4×1  |         26 |         416 |
    | Dense               | 10     |        170 |         170 |

    Arithmetic: 1·(3·3 + 1) + 1·(5·5 + 1) + (16 + 1)·10 = 206.
    The head of this file has the source and what all these networks share.
    """
    first = _shared(1, 3, input_shape[2], strides=2, padding="same", use_bias=True)
    second = _shared(1, 5, 1, use_bias=True)
    return Sequential([*_start(input_shape), first, second, *_end(num_classes)], name)


@register("lecun1989_net4")
def lecun1989_net4(num_classes: int = 10, input_shape: Shape = SHAPE, name: str = "lecun1989_net4") -> Sequential:
    """Net-4: two maps of shared kernels, then a locally connected layer, 1,132 free parameters; 94.0 % right in 1989.

    | layer                     | output | parameters | connections |
    |---------------------------|--------|-----------:|------------:|
    | Conv2DTable 2@3×3         | 8×8×2  |         18 |       1,152 |
    | UnitBias                  | 8×8×2  |        128 |         128 |
    | LocallyConnected2D 1@5×5  | 4×4×1  |        816 |         816 |
    | Dense                     | 10     |        170 |         170 |

    Arithmetic: (2·3·3 + 2·8·8) + 4·4·(5·5·2 + 1) + (16 + 1)·10 = 146 + 816 + 170 = 1,132: kernels are shared, but every
    unit has a bias of its own. The head of this file has the source and what all these networks share.
    """
    return Sequential([*_start(input_shape), *_first_maps(input_shape), _local(1, 5), *_end(num_classes)], name)


@register("lecun1989_net5")
def lecun1989_net5(num_classes: int = 10, input_shape: Shape = SHAPE, name: str = "lecun1989_net5") -> Sequential:
    """Net-5: two layers of shared kernels, 1,060 free parameters; 98.4 % right in 1989.

    | layer              | output | parameters | connections |
    |--------------------|--------|-----------:|------------:|
    | Conv2DTable 2@3×3  | 8×8×2  |         18 |       1,152 |
    | UnitBias           | 8×8×2  |        128 |         128 |
    | Conv2DTable 4@5×5  | 4×4×4  |        200 |       3,200 |
    | UnitBias           | 4×4×4  |         64 |          64 |
    | Dense              | 10     |        650 |         650 |

    Arithmetic: (2·3·3 + 2·8·8) + (4·5·5·2 + 4·4·4) + (64 + 1)·10 = 146 + 264 + 650 = 1,060: kernels are shared, but
    every unit has a bias of its own. The head of this file has the source and what all these networks share.
    """
    second = [_shared(4, 5, 2), _unit_bias()]
    return Sequential([*_start(input_shape), *_first_maps(input_shape), *second, *_end(num_classes)], name)


@register("lecun1989_zipcode")
def lecun1989_zipcode(
    num_classes: int = 10,
    input_shape: Shape = SHAPE,
    sharing: bool = True,
    bias: str = "unit",
    name: str = "lecun1989_zipcode",
) -> Sequential:
    """The reader of handwritten zip codes: 9,760 free parameters, 64,660 connections.

    | layer               | output | sharing, bias="unit" | sharing, bias="map" | sharing=False | connections |
    |---------------------|--------|---------------------:|--------------------:|--------------:|------------:|
    | H1: 12@5×5          | 8×8×12 |                1,068 |                 312 |        19,968 |      19,968 |
    | H2: 12@5×5 on 8     | 4×4×12 |                2,592 |               2,412 |        38,592 |      38,592 |
    | H3: Dense           | 30     |                5,790 |               5,790 |         5,790 |       5,790 |
    | Dense               | 10     |                  310 |                 310 |           310 |         310 |
    | all                 |        |                9,760 |               8,824 |        64,660 |      64,660 |

    The paper has shared kernels and one bias per unit; the lecture counts one bias per map (8,824) and no sharing
    (64,660). Every map of H2 sees eight of the twelve maps of H1. The paper does not say which: here the i-th sees maps
    i to i + 7, counted in a circle, so that each map of H1 is seen by eight. Windows of both layers are two units apart
    and reach into the background. The head of this file has the source and what all these networks share.

    Args:
        sharing: whether the units of a map share one kernel.
        bias: `unit` or `map`; without sharing each unit has its own in any case.

    Raises:
        InvalidInput: for another `bias`.
    """
    if bias not in ("unit", "map"):
        raise InvalidInput(f"model {name!r}: bias is {bias!r}; expected 'unit' or 'map'")
    circle = [sorted((i + k) % 12 for k in range(8)) for i in range(12)]
    stages = []
    for channels, table in ((input_shape[2], None), (12, circle)):
        if not sharing:
            stages.append(_local(12, 5, strides=2, padding="same", table=table))
        else:
            own = bias == "map"
            stages.append(_shared(12, 5, channels, strides=2, padding="same", table=table, use_bias=own))
            stages += [] if own else [_unit_bias()]
    dense = [layers.Flatten(), _dense(30)]
    return Sequential([*_start(input_shape), *stages, *dense, *_end(num_classes)[1:]], name)


def _start(input_shape: Shape) -> list[layers.Layer]:
    """[0, 1] becomes [-1, 1]."""
    return [layers.Rescaling(2.0, BACKGROUND, input_shape=input_shape)]


def _first_maps(input_shape: Shape) -> list[layers.Layer]:
    """The first hidden layer of Net-4 and Net-5."""
    return [_shared(2, 3, input_shape[2], strides=2, padding="same"), _unit_bias()]


def _end(num_classes: int) -> list[layers.Layer]:
    return [layers.Flatten(), layers.Dense(num_classes, activation="softmax", kernel_initializer=UNIFORM)]


def _dense(units: int) -> layers.Layer:
    return layers.Dense(units, activation=SQUASH, kernel_initializer=UNIFORM)


def _unit_bias() -> layers.Layer:
    return layers.UnitBias(activation=SQUASH)


def _local(filters: int, size: int, table: Table | None = None, **kwargs: Any) -> layers.Layer:
    return layers.LocallyConnected2D(
        filters,
        size,
        activation=SQUASH,
        connections=table,
        pad_value=BACKGROUND,
        kernel_initializer=UNIFORM,
        **kwargs,
    )


def _shared(
    filters: int, size: int, channels: int, table: Table | None = None, use_bias: bool = False, **kwargs: Any
) -> layers.Layer:
    """A convolution; without a bias of its own it has no activation either: that comes with the bias per unit."""
    return layers.Conv2DTable(
        table or [list(range(channels))] * filters,
        size,
        activation=SQUASH if use_bias else None,
        use_bias=use_bias,
        pad_value=BACKGROUND,
        kernel_initializer=UNIFORM,
        **kwargs,
    )
