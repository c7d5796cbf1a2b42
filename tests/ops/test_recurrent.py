"""What the case table cannot say of recurrent layers: errors, and that long masks cost no steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import LimitExceeded, StriateError
from striate.runtime.ops import registry

X, W, R = np.ones((5, 3, 2)), np.ones((1, 16, 2)), np.ones((1, 16, 4))
LENS = np.array([5, 2, 6], np.int32)

WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "rank": ((X[0], W, R), {}, "rank 3"),
    "no features": ((X[:, :, :0], W[:, :, :0], R), {}, "and X features"),
    "weights": ((X, W[:, :15], R), {}, r"W has shape \[1, 15, 2\]; expected \[1, 16, 2\]"),
    "recurrent weights": ((X, W, R[:, :12]), {}, "R has shape"),
    "directions": ((X, W, R), {"direction": "bidirectional"}, r"expected \[2, 16, 2\]"),
    "direction": ((X, W, R), {"direction": "backward"}, "'backward' is unknown"),
    "hidden size": ((X, W, R), {"hidden_size": 3}, "hidden_size is 3"),
    "bias": ((X, W, R, np.ones((1, 16))), {}, r"B has shape \[1, 16\]; expected \[1, 32\]"),
    "too long": ((X, W, R, None, LENS), {}, r"3 lengths from 0 to 5; found \[5, 2, 6\]"),
    "negative length": ((X, W, R, None, -LENS), {}, "lengths from 0 to 5"),
    "lengths": ((X, W, R, None, LENS[:2]), {}, "3 lengths"),
    "hidden state": ((X, W, R, None, None, np.ones((3, 1, 4))), {}, r"initial_h has shape \[3, 1, 4\]"),
    "cell state": ((X, W, R, None, None, None, np.ones((1, 3))), {"layout": 1}, "initial_c"),
    "peepholes": ((X, W, R, None, None, None, None, np.ones((1, 16))), {}, r"P has shape .*; expected \[1, 12\]"),
    "activation": ((X, W, R), {"activations": ("Sigmoid", "Tanh", "Swish")}, "'Swish' is unknown"),
    "activations": ((X, W, R), {"activations": ("Sigmoid", "Tanh")}, "3 activations are needed; found 2"),
    "alpha": ((X, W, R), {"activations": ("ScaledTanh",) * 3, "activation_alpha": (1.0,)}, "needs a value"),
    "clip": ((X, W, R), {"clip": -1.0}, "clip must not be negative"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[tuple[Any, ...], dict[str, Any], str]) -> None:
    inputs, attributes, message = wrong
    with pytest.raises(StriateError, match=message):
        registry.lookup("", "LSTM", 14).kernel(np, *inputs, **attributes)


@pytest.mark.parametrize("shape", [(0, 2**45, 2), (2**45, 0, 2)])
def test_empty_inputs_of_great_length(shape: tuple[int, ...]) -> None:
    """A file of a few bytes can hold such an X: neither memory nor steps are spent on it."""
    gru = registry.lookup("", "GRU", 14).kernel
    if shape[0] == 0:
        with pytest.raises(LimitExceeded, match="bytes"):
            gru(np, np.ones(shape), W[:, :12], R[:, :12])
    else:
        assert gru(np, np.ones(shape), W[:, :12], R[:, :12])[0].shape == (2**45, 1, 0, 4)


def test_gates_of_any_stride() -> None:
    """With one hidden unit the gates lie 16 bytes apart, where NumPy 2.4's `negative` into such a view is wrong."""
    rng = np.random.default_rng(0)
    shapes = {"X": (4, 6, 2), "W": (1, 4, 2), "R": (1, 4, 1), "B": (1, 8)}
    X, W, R, B = (rng.standard_normal(shape) for shape in shapes.values())
    P = rng.standard_normal((1, 3))
    lstm = registry.lookup("", "LSTM", 14)
    wide = lstm(np, X, W, R, B, None, None, None, P, hidden_size=1)
    narrow = lstm(
        np, *(x.astype(np.float32) for x in (X, W, R, B)), None, None, None, P.astype(np.float32), hidden_size=1
    )  # fmt: skip
    for y, want in zip(narrow, wide, strict=True):
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)
