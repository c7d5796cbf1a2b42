"""LeNet-5 in the lecture's Keras form, and the registry it is found by."""

from __future__ import annotations

import pytest

from striate import models
from striate.runtime.errors import InvalidInput


def test_the_lecture_counts() -> None:
    model = models.lenet5()
    assert [layer.count_params() for layer in model.layers] == [156, 0, 2416, 0, 0, 48120, 10164, 850]
    assert model.count_params() == 61706
    shapes = [call.output.shape for call in model.calls]
    expected = [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (400,), (120,), (84,), (10,)]
    assert shapes == [(None, *shape) for shape in expected]


def test_other_classes_and_sizes() -> None:
    model = models.get("lenet5", num_classes=3, input_shape=(28, 28, 3))
    assert model.input_shape == (None, 28, 28, 3)
    assert model.output_shape == (None, 3)


def test_registry() -> None:
    assert "lenet5" in models.names()
    with pytest.raises(InvalidInput, match=r"expected one of: .*lenet5"):
        models.get("lenet6")
    with pytest.raises(InvalidInput, match="does not take these arguments"):
        models.get("lenet5", colour="red")
    with pytest.raises(ValueError, match="twice"):
        models.register("lenet5")(models.lenet5)


def test_too_small_an_input_is_refused() -> None:
    with pytest.raises(InvalidInput):
        models.lenet5(input_shape=(12, 12, 1))
