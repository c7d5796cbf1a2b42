"""What the case table cannot say of the optimizers: errors, and that a step goes downhill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import StriateError
from striate.runtime.ops import registry

R, T, X = np.array(0.5), np.array(2), np.ones((2, 3))
MOMENTUM = {"alpha": 0.9, "beta": 0.5, "mode": "standard", "norm_coefficient": 0.0}

WRONG: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], str]] = {
    "no tensors": ("Adam", (R, T), {}, "4 inputs for each tensor; found 0"),
    "states missing": ("Adam", (R, T, X, X, X), {}, "4 inputs for each tensor; found 3"),
    "gradient of another shape": ("Adagrad", (R, T, X, X[0], X), {}, r"shapes \[2, 3\], \[3\], \[2, 3\]"),
    "learning rates": ("Adagrad", (X, T, X, X, X), {}, "must be single numbers"),
    "decay": ("Adagrad", (R, T, X, X, X), {"decay_factor": -0.5}, r"is 0 for T = 2"),
    "mode": ("Momentum", (R, T, X, X, X), MOMENTUM | {"mode": "heavy"}, "'heavy' of Momentum is unknown"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[str, tuple[Any, ...], dict[str, Any], str]) -> None:
    name, inputs, attributes, message = wrong
    with pytest.raises(StriateError, match=message):
        registry.lookup("ai.onnx.preview.training", name, 1).kernel(np, *inputs, **attributes)


STATES = {"Adagrad": (1, {}), "Adam": (2, {}), "Momentum": (1, MOMENTUM | {"mode": "nesterov"})}


@pytest.mark.parametrize("name", STATES)
def test_minimum_of_a_parabola(name: str) -> None:
    kernel = registry.lookup("ai.onnx.preview.training", name, 1).kernel
    count, attributes = STATES[name]
    x, *states = [np.array([3.0, -2.0]), *np.zeros((count, 2))]
    for step in range(200):
        x, *states = kernel(
            np, np.array(0.05 if name == "Momentum" else 0.5), np.array(step), x, 2 * x, *states, **attributes
        )
    assert np.abs(x).max() < 0.05
