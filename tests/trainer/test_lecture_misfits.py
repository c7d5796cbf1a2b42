"""What the layers of the lecture say to arguments and inputs that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from striate.runtime.errors import InvalidInput
from striate.trainer import Input, Sequential, initializers, layers
from striate.trainer.layers import Layer

L = layers


def twice(layer: Layer, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    layer(Input(first))
    layer(Input(second))


MISFITS: list[tuple[Callable[[], Any], str]] = [
    (lambda: L.LocallyConnected2D(3, 2, connections=[[0], [1]]),
     r"'locally_connected2d' \(LocallyConnected2D\): connections has 2 rows, expected one for each of the 3 filters"),
    (lambda: L.LocallyConnected2D(1, 2, connections=[[0], [1]]),
     "connections has 2 rows, expected one for each of the 1 filters"),
    (lambda: L.LocallyConnected2D(2, 2, connections=[[0], [0, 2]])(Input((4, 4, 2))),
     r"row 1 of connections names input map 2, but its input shape is \(None, 4, 4, 2\): expected numbers from 0 to 1"),
    (lambda: L.Conv2DTable([[0], [6]], 2)(Input((4, 4, 6))),
     r"'conv2d_table' \(Conv2DTable\): row 1 of connections names input map 6, .* expected numbers from 0 to 5"),
    (lambda: L.Conv2DTable([[0], [2]], 2, data_format="channels_first")(Input((2, 4, 4))),
     "expected numbers from 0 to 1"),
    (lambda: L.Conv2DTable([[0], []], 2), "row 1 of connections is empty, expected at least one input map"),
    (lambda: L.Conv2DTable([[0, 1, 0]], 2), "row 0 of connections lists input map 0 twice, expected each at most once"),
    (lambda: L.Conv2DTable([], 2), r"connections is \[\], expected a list of input maps for each filter"),
    (lambda: L.Conv2DTable("all", 2), "connections is 'all', expected a list of input maps for each filter"),
    (lambda: L.Conv2DTable([0, 1], 2), "row 0 of connections is 0, expected a list of input maps"),
    (lambda: L.Conv2DTable([[-1]], 2),
     "row 0 of connections has the entry -1, expected numbers of input maps, from 0 up"),
    (lambda: L.Conv2DTable([[0.5]], 2), "row 0 of connections has the entry 0.5"),
    (lambda: L.Conv2DTable([[True]], 2), "row 0 of connections has the entry True"),
    (lambda: L.Conv2DTable([[0]], 2)(Input((4, 4))), "expected 4 dimensions"),
    (lambda: L.Conv2DTable([[0]], 5)(Input((4, 4, 1))), "its kernel 5×5 is larger than its input 4×4"),
    (lambda: L.Conv2DTable([[0]], 3, 2, "same", pad_value=-1)(Input((None, 4, 1))),
     "with pad_value and strides height and width must be known"),
    (lambda: twice(L.Conv2DTable([[0]], 2), (4, 4, 1), (4, 4, 2)), "its kernel expects 1 channels"),
    (lambda: L.LocallyConnected2D(1, 2)(Input((4, None, 1))),
     r"its input shape is \(None, 4, None, 1\); all dimensions but the batch must be known"),
    (lambda: L.LocallyConnected1D(1, 2)(Input((None, 1))), "all dimensions but the batch must be known"),
    (lambda: L.LocallyConnected1D(1, 2)(Input((4, 4, 1))), r"expected 3 dimensions: \(batch, steps, channels\)"),
    (lambda: L.LocallyConnected2D(1, 2)(Input((4, 4))), r"expected 4 dimensions: \(batch, height, width, channels\)"),
    (lambda: L.LocallyConnected2D(1, 5)(Input((4, 4, 1))), "its kernel 5×5 is larger than its input 4×4"),
    (lambda: L.LocallyConnected2D(0, 5), "filters is 0, expected an integer of at least 1"),
    (lambda: L.LocallyConnected2D(1, 2, padding="causal"), "padding is 'causal', expected 'valid' or 'same'"),
    (lambda: L.LocallyConnected2D(1, 2, pad_value="a"), "pad_value is 'a', expected a finite number"),
    (lambda: L.LocallyConnected2D(1, 2, pad_value=float("nan")), "pad_value is nan, expected a finite number"),
    (lambda: twice(L.LocallyConnected2D(1, 2), (4, 4, 1), (5, 4, 1)),
     r"its weights are for samples of shape \(4, 4, 1\)"),
    (lambda: L.UnitBias()(Input((None, 4, 2))),
     r"'unit_bias' \(UnitBias\): its input shape is \(None, None, 4, 2\); all dimensions but the batch must be known"),
    (lambda: twice(L.UnitBias(), (4, 2), (2, 4)), r"its bias is for samples of shape \(4, 2\)"),
    (lambda: L.Subsampling2D(mode="max"), "mode is 'max', expected 'sum' or 'mean'"),
    (lambda: L.Subsampling2D(5)(Input((4, 4, 1))), "its window 5×5 is larger than its input 4×4"),
    (lambda: L.Subsampling2D()(Input((4, 4, None))), "the number of channels must be known"),
    (lambda: twice(L.Subsampling2D(), (4, 4, 1), (4, 4, 2)), "its coefficients are for 1 maps"),
    (lambda: L.L2Pooling2D(5)(Input((4, 4, 1))), "its window 5×5 is larger than its input 4×4"),
    (lambda: L.LocalResponseNormalization(4), "size is 4, expected an odd number"),
    (lambda: L.LocalResponseNormalization()(Input((4, 4))), "expected 4 dimensions"),
    (lambda: L.LayerScale("a"), "init is 'a', expected a finite number"),
    (lambda: L.LayerScale()(Input((4, None))), "the number of channels must be known"),
    (lambda: twice(L.LayerScale(), (4,), (3,)), "its gamma is for 4 channels"),
    (lambda: L.RBF(0), "units is 0, expected an integer of at least 1"),
    (lambda: L.RBF(2)(Input((None,))), "expected at least 2 dimensions of which the last is known"),
    (lambda: twice(L.RBF(2), (4,), (3,)), "its centres have 4 numbers"),
    (lambda: Sequential([Input((4,)), L.RBF(2, initializers.Constant([[1.0, 2.0]]))]).get_weights(),
     r"weight 'rbf/centers': initializer Constant: its value has shape \(1, 2\), which does not fit a weight of "),
    (lambda: initializers.Constant("a"), "value is 'a', expected numbers"),
    (lambda: L.ChannelShuffle(4)(Input((2, 2, 6))), "6 channels cannot be divided into 4 groups"),
    (lambda: L.StochasticDepth(1.0), "rate is 1.0, expected a number from 0 up to below 1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), MISFITS, ids=[m for _, m in MISFITS])
def test_what_does_not_fit_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
