"""Unique: flat and along an axis, sorted and as they came, of every kind of value."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np

from ..table import Case, case, ints

NAN = np.nan
FLAT = np.array([2, 1, 1, 3, 4, 3.0])
BLOCKS = ints(3, 4, 2, high=2)


def _result(*outputs):
    """Four outputs, written down."""
    return lambda X, **attrs: (np.asarray(outputs[0], X.dtype), *(np.array(v, np.int64) for v in outputs[1:]))


def _by_search(X, axis=None, sorted=1):
    """Each slice looked for among those before it, by Python."""
    X = X.reshape(-1) if axis is None else X
    slices = [tuple(s.reshape(-1).tolist()) for s in np.moveaxis(X, axis or 0, 0)]
    values = list(dict.fromkeys(slices))
    if sorted:
        values.sort()
    first = np.array([slices.index(v) for v in values], np.int64)
    inverse, counts = [values.index(s) for s in slices], [slices.count(v) for v in values]
    return X.take(first, axis or 0), first, np.array(inverse, np.int64), np.array(counts, np.int64)


CASES: list[Case] = [
    case("Unique", FLAT, outputs=4, sorted=0, dtypes=("float64", "float32", "float16"),
         expect=_result([2, 1, 3, 4], [0, 1, 3, 4], [0, 1, 1, 2, 3, 2], [1, 2, 2, 1]), name="as they came"),
    case("Unique", FLAT, outputs=4, dtypes=("float64", "float32", "float16"),
         expect=_result([1, 2, 3, 4], [1, 0, 3, 4], [1, 0, 0, 2, 3, 2], [2, 1, 2, 1]), name="sorted"),
    case("Unique", [3, 1, 2, 1], outputs=4, sorted=0, expect=_result([3, 1, 2], [0, 1, 2], [0, 1, 2, 1], [1, 2, 1]),
         name="as they came, round"),
    case("Unique", FLAT.astype(ml_dtypes.bfloat16), outputs=4, opset=28,
         expect=_result([1, 2, 3, 4], [1, 0, 3, 4], [1, 0, 0, 2, 3, 2], [2, 1, 2, 1])),
    *(
        case("Unique", BLOCKS, outputs=4, axis=axis, sorted=order, expect=_by_search, name=f"blocks {axis} {order}")
        for axis, order in itertools.product((None, 0, 1, 2, -1, -3), (0, 1))
    ),
    case("Unique", BLOCKS, outputs=1, expect=_by_search, name="one output"),
    case("Unique", BLOCKS, outputs=2, axis=1, sorted=0, expect=_by_search, name="two outputs"),
    case("Unique", np.array([[1, 9], [0, 9], [1, 2]]), outputs=4, axis=0,
         expect=_result([[0, 9], [1, 2], [1, 9]], [1, 2, 0], [2, 0, 1], [1, 1, 1]), name="first column decides"),
    case("Unique", ints(6, low=-3, high=3, dtype=np.int8), outputs=4, expect=_by_search, name="int8"),
    case("Unique", np.array([2**64 - 1, 2**63, 2**64 - 1], np.uint64), outputs=4, expect=_by_search, name="uint64"),
    case("Unique", np.array([True, False, True]), outputs=4, expect=_by_search, name="bool"),
    case("Unique", np.array([2 + 1j, 1 + 2j, 2 - 1j, 1 + 2j]), outputs=4,
         expect=_result([1 + 2j, 2 - 1j, 2 + 1j], [1, 2, 0], [2, 0, 1, 0], [2, 1, 1]), name="complex"),
    case("Unique", np.array(["b", "", "b", "é", "B"]), outputs=4,
         expect=_result(["", "B", "b", "é"], [1, 4, 0, 3], [2, 0, 2, 3, 1], [1, 1, 2, 1]), name="text"),
    case("Unique", np.array([["b", "a"], ["a", "b"], ["b", "a"]]), outputs=4, axis=0, sorted=0,
         expect=_result([["b", "a"], ["a", "b"]], [0, 1], [0, 1, 0], [2, 1]), name="rows of text"),
    case("Unique", np.array([NAN, 1, NAN, -np.inf, np.inf]), outputs=4,
         expect=_result([-np.inf, 1, np.inf, NAN], [3, 1, 4, 0], [3, 1, 3, 0, 2], [1, 1, 1, 2]), name="NaN"),
    case("Unique", np.array([[NAN, 1], [0, 1], [NAN, 1], [-0.0, 1]]), outputs=4, axis=0,
         expect=_result([[0, 1], [NAN, 1]], [1, 0], [1, 0, 1, 0], [2, 2]), name="rows of NaN and both zeros"),
    case("Unique", np.array(7), outputs=4, expect=_result([7], [0], [0], [1]), name="scalar"),
    case("Unique", np.zeros((0, 3)), outputs=4, expect=_result([], [], [], []), name="empty"),
    case("Unique", np.zeros((0, 3)), outputs=4, axis=0, expect=_result(np.zeros((0, 3)), [], [], []),
         name="no slices"),
    case("Unique", np.zeros((3, 0)), outputs=4, axis=0, expect=_result(np.zeros((1, 0)), [0], [0, 0, 0], [3]),
         name="empty slices"),
]  # fmt: skip
