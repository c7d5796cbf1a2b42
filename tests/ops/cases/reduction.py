"""Reductions with axes as attribute and as input, of empty sets, of integers; places of extremes; running sums."""

from __future__ import annotations

import numpy as np

from ..table import case, distinct, ints, real


def log_sum_exp(x, axis, keepdims):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


REDUCTIONS = {
    # name: (since when axes are an input, function)
    "ReduceSum": (13, np.sum),
    "ReduceMean": (18, np.mean),
    "ReduceMax": (18, np.max),
    "ReduceMin": (18, np.min),
    "ReduceProd": (18, np.prod),
    "ReduceL1": (18, lambda x, **how: np.sum(np.abs(x), **how)),
    "ReduceL2": (18, lambda x, **how: np.sqrt(np.sum(x * x, **how))),
    "ReduceSumSquare": (18, lambda x, **how: np.sum(x * x, **how)),
    "ReduceLogSum": (18, lambda x, **how: np.log(np.sum(x, **how))),
    "ReduceLogSumExp": (18, log_sum_exp),
}
AXES = [("last", [-1]), ("middle", [1]), ("two", [2, 0]), ("three", [0, 1, 2])]
EMPTY = {
    "ReduceSum": 0,
    "ReduceMax": -np.inf,
    "ReduceMin": np.inf,
    "ReduceProd": 1,
    "ReduceL1": 0,
    "ReduceL2": 0,
    "ReduceSumSquare": 0,
    "ReduceLogSum": -np.inf,
    "ReduceLogSumExp": -np.inf,
}


def by_attribute(function):
    return lambda x, axes=None, keepdims=1: function(x, axis=axes and tuple(axes), keepdims=bool(keepdims))


def by_input(function):
    def compute(x, axes=None, keepdims=1, noop_with_empty_axes=0):
        axis = None if axes is None or not len(axes) else tuple(axes.tolist())
        if axis is None and noop_with_empty_axes:
            axis = ()
        return function(x, axis=axis, keepdims=bool(keepdims))

    return compute


def filled(value, shape):
    return lambda x, axes, **_: np.full(shape, value, x.dtype)


def reduction_cases():
    for name, (since, function) in REDUCTIONS.items():
        right = by_input(function)
        positive = name == "ReduceLogSum"
        x = distinct(2, 3, 4) + 3 if positive else distinct(2, 3, 4)
        for which, axes in AXES:
            # ReduceProd's gradient needs the sizes of the reduced axes, and the first is left open in one of the tests.
            grad = () if name == "ReduceProd" and 0 in axes else (0,)
            yield case(name, x, axes, grad=grad, expect=right, name=which)
            yield case(name, x, axes, keepdims=0, grad=grad, expect=right, name=f"{which}-dropped")
            if name == "ReduceSum":
                attrs = {"opset": 11, "axes": axes}
            else:
                attrs = {"opset": 13, "axes": axes}
            yield case(name, x, expect=by_attribute(function), name=which, **attrs)
        whole = x if name != "ReduceProd" else x[0, 0]
        yield case(name, whole, grad=(0,), expect=right, name="all")
        yield case(name, whole, keepdims=0, grad=(0,), expect=right, name="all-dropped")
        yield case(name, x, np.zeros(0, np.int64), expect=right, name="no-axes")
        yield case(name, x, np.zeros(0, np.int64), noop_with_empty_axes=1, grad=(0,), expect=right, name="noop")
        yield case(name, x, noop_with_empty_axes=1, keepdims=0, grad=(0,), expect=right, name="noop-dropped")
        yield case(name, x, opset=1, expect=by_attribute(function))
        yield case(name, x, opset=1, keepdims=0, expect=by_attribute(function), name="dropped")
        yield case(name, x, [1], opset=max(since, 18), dtypes=("float16", "bfloat16"), expect=right, name="half")
        yield case(name, np.float64(1.7), expect=right, name="scalar")
        if name in EMPTY:
            yield case(name, real(2, 0, 3), [1], expect=filled(EMPTY[name], (2, 1, 3)), name="empty")
            yield case(name, real(2, 0, 3), [1, 2], keepdims=0, expect=filled(EMPTY[name], (2,)), name="empty-dropped")
        yield case(name, real(2, 0, 3), [2], expect=lambda x, axes: np.zeros((2, 0, 1), x.dtype), name="nothing")


INTEGERS = np.array([[-7, 2, 2], [3, 1, 4]], np.int32)
BOOLEANS = np.array([[False, True], [False, False]])
TIES = np.array([[2.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
LARGE = np.array([[1000.0, 1000.0], [-1000.0, -1000.0], [-np.inf, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
ZEROS = np.array([[0.0, 1.5, -2.0, 0.5, 3.0], [0.0, 1.5, 0.0, 0.5, 2.0], [1.0, 2.0, 3.0, -1.0, 0.5]])

PLACES = [
    ("default", {}),
    ("axis", {"axis": 1}),
    ("negative", {"axis": -1, "keepdims": 0}),
    ("last", {"axis": 1, "select_last_index": 1}),
    ("last-dropped", {"axis": 0, "select_last_index": 1, "keepdims": 0}),
]
RUNNING = [
    (
        f"{'exclusive' if exclusive else 'inclusive'}{'-reverse' if reverse else ''}",
        {"exclusive": exclusive, "reverse": reverse},
    )
    for exclusive in (0, 1)
    for reverse in (0, 1)
]


def running_product(x, axis, exclusive=0, reverse=0):
    y = np.flip(x, axis) if reverse else x
    if exclusive:
        y = np.roll(y, 1, axis)
        y[(slice(None),) * int(axis) + (0,)] = 1
    y = np.cumprod(y, axis=int(axis))
    return np.flip(y, axis) if reverse else y


CASES = [
    *reduction_cases(),
    *(case(name, INTEGERS, [1], name="integers") for name in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")),
    case("ReduceMean", INTEGERS, [1], expect=lambda x, axes: np.array([[-1], [2]], np.int32), name="integers"),
    case("ReduceL1", INTEGERS, [1], expect=lambda x, axes: np.array([[11], [8]], np.int32), name="integers"),
    case("ReduceL2", INTEGERS, [1], expect=lambda x, axes: np.array([[7], [5]], np.int32), name="integers"),
    case("ReduceLogSum", np.abs(INTEGERS), [1], expect=lambda x, axes: np.array([[2], [2]], np.int32), name="integers"),
    case("ReduceLogSumExp", INTEGERS, [1], expect=lambda x, axes: np.array([[2], [4]], np.int32), name="integers"),
    case("ReduceMax", BOOLEANS, [1], opset=20, name="booleans"),
    case("ReduceMin", BOOLEANS, [0], opset=20, name="booleans"),
    case(
        "ReduceMax",
        np.zeros((0, 2), np.int8),
        [0],
        expect=lambda x, axes: np.full((1, 2), -128, np.int8),
        name="empty-bytes",
    ),
    case(
        "ReduceMin",
        np.zeros((0, 2), bool),
        [0],
        opset=20,
        expect=lambda x, axes: np.ones((1, 2), bool),
        name="empty-booleans",
    ),
    case("ReduceMean", real(2, 0), [1], expect=lambda x, axes: np.full((2, 1), np.nan, x.dtype), name="empty"),
    case(
        "ReduceLogSumExp",
        LARGE,
        [1],
        expect=lambda x, axes: np.array([[1000 + np.log(2)], [-1000 + np.log(2)], [0], [np.inf], [-np.inf]]),
        name="large",
    ),
    # Around zeros, one, several or none in a row, the product is still a polynomial.
    case("ReduceProd", ZEROS, [1], grad=(0,), expect=by_input(np.prod), name="zeros"),
    case("ReduceProd", ZEROS, [1], keepdims=0, grad=(0,), expect=by_input(np.prod), name="zeros-dropped"),
    case("ReduceL2", real(2, 3) * np.array([[1], [0]]), [1], expect=by_input(REDUCTIONS["ReduceL2"][1]), name="zeros"),
    *(case(name, TIES, opset=13, name=which, **attrs) for name in ("ArgMax", "ArgMin") for which, attrs in PLACES),
    *(case(name, TIES, opset=11, axis=1) for name in ("ArgMax", "ArgMin")),
    case("ArgMax", ints(2, 3, dtype=np.uint8), axis=1, name="bytes"),
    case("ArgMax", TIES, axis=1, dtypes=("float16", "bfloat16"), name="half"),
    *(case("CumSum", real(2, 3), np.array(1), grad=(0,), name=which, **attrs) for which, attrs in RUNNING),
    *(
        case("CumSum", real(2, 3, 2), np.array(0, np.int32), grad=(0,), name=f"first-{which}", **attrs)
        for which, attrs in RUNNING
    ),
    case("CumSum", ints(2, 3, dtype=np.int32), np.array(-1), opset=11),
    case("CumSum", real(2, 0), np.array(1), exclusive=1, name="empty"),
    case("CumSum", real(2, 3), np.array(1), opset=14, dtypes=("float16", "bfloat16"), name="half"),
    *(
        case("CumProd", real(2, 3), np.array(1), opset=26, expect=running_product, name=which, **attrs)
        for which, attrs in RUNNING
    ),
]
