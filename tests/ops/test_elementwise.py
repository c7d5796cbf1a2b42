"""What the case table cannot say of elementwise operators: units in the last place, and errors."""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import StriateError
from striate.runtime.ops import registry
from striate.runtime.ops._numerics import erf as our_erf
from striate.runtime.ops._numerics import select


@pytest.mark.parametrize(("dtype", "units"), [(np.float64, 1.0), (np.float32, 2.0)])
def test_erf_to_the_last_place(dtype: Any, units: float) -> None:
    x = np.concatenate([np.linspace(-6.5, 6.5, 20001), np.logspace(-30, 0, 2001)]).astype(dtype)
    want = np.array([erf(float(v)) for v in x])
    error = np.abs(our_erf(np, x).astype(np.float64) - want) / np.spacing(np.maximum(np.abs(want), 1e-30).astype(dtype))
    assert error.max() <= units


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int8, np.uint64, bool, np.complex128])
def test_select_is_exact_and_may_overwrite_its_inputs(dtype: Any) -> None:
    random = np.random.default_rng(5)
    condition = random.random((90, 80)) > 0.5
    x, y = (random.integers(0, 2, (90, 80)).astype(dtype) for _ in range(2))
    want = np.where(condition, x, y)
    np.testing.assert_array_equal(select(np, condition, x, y), want)
    for out in (x.copy(), y.copy()):
        given = [out if np.array_equal(out, a) else a for a in (x, y)]
        np.testing.assert_array_equal(select(np, condition, *given, out=out), want)


WRONG: dict[str, tuple[str, int, tuple[Any, ...], dict[str, Any], str]] = {
    "add": ("Add", 6, (np.ones((2, 3)), np.ones(2)), {"broadcast": 1}, "expected equal shapes"),
    "add without broadcast": ("Add", 6, (np.ones((2, 3)), np.ones(3)), {}, "broadcast=0"),
    "axis beyond": ("Add", 6, (np.ones((2, 3)), np.ones(3)), {"broadcast": 1, "axis": 2}, "axis=2"),
    "sum": ("Sum", 6, (np.ones(2), np.ones(1)), {}, r"shapes \[2\], \[1\]"),
    "mod": ("Mod", 13, (np.ones(2), np.ones(2)), {}, "fmod=1"),
    "clip": ("Clip", 13, (np.ones(2), np.ones(2)), {}, r"min has shape \[2\]"),
    "slope": ("PRelu", 16, (np.ones(2), np.ones(3)), {}, r"slope of shape \[3\]"),
    "old slope": ("PRelu", 6, (np.ones((2, 3, 4)), np.ones(4)), {}, "one for each channel"),
    "gelu": ("Gelu", 20, (np.ones(2),), {"approximate": "erf"}, "expected none or tanh"),
    "swiglu": ("SwiGLU", 28, (np.ones(2), np.ones(1)), {}, "expected equal shapes"),
    "softmax": ("Softmax", 13, (np.ones((2, 3)),), {"axis": 2}, "axis 2 does not exist"),
    "direction": ("BitShift", 11, (np.ones(1, np.uint8),) * 2, {"direction": "UP"}, "LEFT or RIGHT"),
    "data type": ("Cast", 13, (np.ones(2),), {"to": 99}, "99"),
    "data type by name": ("Cast", 1, (np.ones(2),), {"to": "REAL"}, "REAL"),
    "round mode": ("Cast", 24, (np.ones(2),), {"to": 24, "round_mode": "odd"}, "one of down, nearest, up"),
    "text": ("Cast", 13, (np.array(["cat"], object),), {"to": 1}, "cat"),
    "text too large": ("Cast", 13, (np.array([str(2**70)], object),), {"to": 7}, "expected numbers"),
    "bits": ("BitCast", 26, (np.ones(2, np.float32),), {"to": 7}, "equally many bits"),
    "axis": ("ReduceSum", 13, (np.ones((2, 3)), np.array([2])), {}, "axis 2 does not exist"),
    "axis twice": ("ReduceMax", 13, (np.ones((2, 3)),), {"axes": (1, -1)}, "twice"),
    "nothing to choose": ("ArgMax", 13, (np.ones((2, 0)),), {"axis": 1}, "nothing to choose"),
    "running axis": ("CumSum", 14, (np.ones((2, 3)), np.array([0, 1])), {}, "expected a scalar"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[str, int, tuple[Any, ...], dict[str, Any], str]) -> None:
    name, version, inputs, attributes, message = wrong
    with pytest.raises(StriateError, match=message):
        registry.lookup("", name, version).kernel(np, *inputs, **attributes)
