"""Labels that no class has: named in the error, never wrapped around."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput
from striate.runtime.ops import lookup

from .strict import strict
from .table import real

OPERATORS = ["SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"]
SCORES = real(4, 3)
IMAGES = real(2, 3, 2, 2)

WRONG = [
    (SCORES, [0, 3, 2, 1], {}, r"label 3 at position \[1\] .* 3 classes"),
    (SCORES, [0, 1, -1, 7], {}, r"label -1 at position \[2\] .* 3 classes"),
    (SCORES, [0, -1, -2, 7], {"ignore_index": -1}, r"label -2 at position \[2\]"),
    (IMAGES, [[[0, 1], [2, 0]], [[0, 1], [5, 0]]], {}, r"label 5 at position \[1, 1, 0\]"),
    (SCORES, [0, 1, 2], {}, r"shape \[3\] .* shape \[4, 3\]"),
    (SCORES, [0, 1, 2, 0], {"reduction": "median"}, "median"),
]


@pytest.mark.parametrize("xp", [np, strict], ids=["numpy", "strict"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("scores", "labels", "attributes", "message"), WRONG)
def test_refuses(scores, labels, attributes, message, name, dtype, xp):
    operator = lookup("", name, 13)
    with pytest.raises(InvalidInput, match=message):
        operator(xp, xp.asarray(scores), xp.asarray(np.array(labels, dtype)), **operator.bind(attributes))


@pytest.mark.parametrize("name", OPERATORS)
def test_refuses_weights_for_other_classes(name):
    with pytest.raises(InvalidInput, match="one per class"):
        lookup("", name, 13)(np, SCORES, np.array([0, 1, 2, 0]), real(2))


@pytest.mark.parametrize("name", OPERATORS)
def test_labels_may_be_a_strided_view(name):
    labels = np.array([[0, 9], [1, 9], [2, 9], [0, 9]])[:, 0]
    operator = lookup("", name, 13)
    assert operator(np, SCORES, labels) == operator(np, SCORES, labels.copy())


@pytest.mark.parametrize("name", OPERATORS)
def test_nothing_counted_is_not_a_number(name):
    with np.errstate(all="ignore"):
        assert np.isnan(lookup("", name, 13)(np, SCORES, np.full(4, -1), ignore_index=-1))
