"""Operators of random models: how each chooses its inputs and attributes. One function may serve several operators.

A row is (operators, maker); `exact` says that a result holds no rounding of its own (checking.py perturbs the others).
`blind` rows are valid for whatever their inputs hold, so they may stand in bodies that run on other contents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graphs import DTYPES, FLOATS, LARGEST, SIGNED, UNSIGNED, Maker, Value, schema_of, taken

Make = Callable[[Maker, str], Any]


@dataclass(frozen=True)
class Row:
    op: str
    make: Make
    exact: bool = False
    blind: bool = True
    weight: int = 1


ROWS: dict[str, Row] = {}


ALONE = ("MeanVarianceNormalization", "InstanceNormalization", "GroupNormalization", "OneHot", "Gelu")
"""Not in bodies: the other side differs from us in a way that is explained for single nodes (known.py)."""


BODIES = ("If", "Loop", "Scan")
"""Not in graphs with wild numbers, for the same reason."""


def row(*ops: str, exact: bool = False, blind: bool = True, weight: int = 1) -> Callable[[Make], Make]:
    """Decorator: `make(g, op)` adds one node of any of these operators."""

    def register(make: Make) -> Make:
        ROWS.update({op: Row(op, make, exact, blind, weight) for op in ops})
        return make

    return register


def add(g: Maker, *, blind: bool = False) -> None:
    """One more node."""
    usable = [
        op
        for op, r in ROWS.items()
        if (r.blind or not blind)
        and not (len(g.scopes) > 1 and op in ALONE)
        and not (g.wild and op in BODIES)
        and (op[0] == "*" or schema_of(op, g.opset) is not None)
        for _ in range(r.weight)
    ]
    op = g.choice(usable)
    ROWS[op].make(g, op)


# ---- elementwise


@row("Identity", "Relu", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Not", "BitwiseNot", "IsNaN", exact=True)
@row("Sigmoid", "Tanh", "Softplus", "Softsign", "Sin", "Cos", "Atan", "Erf", "HardSwish", "Mish", "Sqrt", "Asinh")
def unary(g: Maker, op: str) -> None:
    g.node(op, [g.of(op)])


@row("Exp", "Log", "Reciprocal", "Tan", "Asin", "Acos", "Sinh", "Cosh", "Acosh", "Atanh")
def partly(g: Maker, op: str) -> None:
    """Where the function is tame, mostly."""
    low, high = {"Exp": (-6, 6), "Log": (0.05, 1e3), "Reciprocal": (0.05, 1e3), "Tan": (-1.4, 1.4), "Asin": (-1, 1),
                 "Acos": (-1, 1), "Sinh": (-6, 6), "Cosh": (-6, 6), "Acosh": (1, 1e3), "Atanh": (-0.95, 0.95),
                 }[op]  # fmt: skip
    tame = g.chance(90)
    x = g.of(op, where=lambda v: not tame or v.within(low, high),
             new=lambda t: g.new(t, g.shape(), low, min(high, 4)))  # fmt: skip
    g.node(op, [x])


@row("Elu", "Celu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Selu", "Shrink", "Swish", "Gelu", "IsInf")
def unary_with_attributes(g: Maker, op: str) -> None:
    names = {"Elu": ["alpha"], "Celu": ["alpha"], "LeakyRelu": ["alpha"], "ThresholdedRelu": ["alpha"],
             "HardSigmoid": ["alpha", "beta"], "Selu": ["alpha", "gamma"], "Shrink": ["bias", "lambd"],
             "Swish": ["alpha"], "Gelu": [], "IsInf": []}[op]  # fmt: skip
    attrs: dict[str, Any] = {name: g.choice([0.5, 1.0, 0.1, 2.0]) for name in names if g.chance(60)}
    if op == "Gelu":
        attrs["approximate"] = g.choice(["none", "tanh"])
    if op == "IsInf":
        attrs = {n: g.integer(0, 1) for n in ("detect_negative", "detect_positive") if g.chance(60)}
    g.node(op, [g.of(op, only=FLOATS if op == "Shrink" else DTYPES)], **attrs)


@row("Add", "Sub", "Mul", weight=3)
def arithmetic(g: Maker, op: str) -> None:
    x = g.of(op)
    y = g.like(x)
    g.node(op, [y, x] if g.chance(50) else [x, y])


@row("And", "Or", "Xor", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", exact=True)
@row("BitwiseAnd", "BitwiseOr", "BitwiseXor", exact=True)
def binary(g: Maker, op: str) -> None:
    arithmetic(g, op)


@row("Div", "Mod", blind=False)
def division(g: Maker, op: str) -> None:
    """The divisor is no integer zero; floats may be divided by small numbers."""
    x = g.of(op)
    whole = x.dtype not in FLOATS
    ends = (1, 5) if whole else (0.5, 3)
    y = g.value([x.dtype], where=lambda v: bool((v.data != 0).all()) and _joins(v, x) and v.within(-100, 100),
                new=lambda t: g.new(t, x.shape if g.chance(50) else x.shape[1:], *ends))  # fmt: skip
    attrs = {"fmod": 1} if op == "Mod" and (not whole or g.chance(30)) else {}
    g.node(op, [x, y], **attrs)


def _joins(v: Value, x: Value) -> bool:
    try:
        return math.prod(np.broadcast_shapes(v.shape, x.shape)) <= LARGEST
    except ValueError:
        return False


@row("Pow", blind=False)
def power(g: Maker, op: str) -> None:
    x = g.of(op, where=lambda v: v.within(0.05, 8), new=lambda t: g.new(t, g.shape(), 1, 3))
    types = [t for t in taken(op, g.opset, 1) if t in (x.dtype, "float32", "int64", "int32")]
    low = 0 if x.dtype not in FLOATS else -2
    g.node(op, [x, g.value(types, where=lambda v: _joins(v, x) and v.within(low, 3),
                           new=lambda t: g.new(t, x.shape[g.integer(0, x.rank):], low, 3))])  # fmt: skip


@row("PRelu")
def prelu(g: Maker, op: str) -> None:
    x = g.of(op)
    g.node(op, [x, g.new(x.dtype, x.shape[g.integer(0, x.rank) :])])


@row("BitShift", exact=True, blind=False)
def shift(g: Maker, op: str) -> None:
    x = g.of(op)
    g.node(op, [x, g.new(x.dtype, x.shape, 0, 7)], direction=g.choice(["LEFT", "RIGHT"]))


@row("Max", "Min", exact=True)
@row("Sum", "Mean")
def variadic(g: Maker, op: str) -> None:
    values = [g.of(op)]
    shape = values[0].shape
    for _ in range(g.integer(0, 3)):
        values.append(g.like(Value("", np.empty(shape, values[0].data.dtype))))
        shape = np.broadcast_shapes(shape, values[-1].shape)
    g.node(op, values)


@row("Where", exact=True, weight=2)
def where(g: Maker, op: str) -> None:
    x = g.of(op, 1)
    y = g.like(x)
    shape = np.broadcast_shapes(x.shape, y.shape)
    g.node(op, [g.like(Value("", np.zeros(shape, bool))), x, y])


@row("Clip", exact=True)
def clip(g: Maker, op: str) -> None:
    x = g.of(op)
    ends = [g.maybe(75, lambda n=n: g.new(x.dtype, (), n, n + 1)) for n in (-2 if x.dtype not in UNSIGNED else 0, 1)]
    g.node(op, [x, *ends])


RANGES = {t: (float(np.iinfo(t).min), float(np.iinfo(t).max)) for t in (*SIGNED, *UNSIGNED)}
RANGES |= {"bool": (-np.inf, np.inf), "float16": (-6e4, 6e4), "float32": (-3e38, 3e38), "float64": (-1e300, 1e300)}


@row("Cast", "CastLike", exact=True, blind=False, weight=2)
def cast(g: Maker, op: str) -> None:
    """Only what the target holds: the rest is undefined, or up to the processor."""
    from striate.runtime.dtypes import onnx_dtype

    target = g.choice([t for t in DTYPES if t != "string"])
    low, high = RANGES[target]
    x = g.of(op, only=[t for t in DTYPES if t != "string"], where=lambda v: v.within(low, high * (1 - 1e-6)))
    if not x.within(low, high) or (target not in FLOATS and not np.isfinite(x.data.astype(float)).all()):
        target = "float64"
    if op == "Cast":
        g.node(op, [x], to=onnx_dtype(np.dtype(target)))
    else:
        g.node(op, [x, g.new(target, g.shape(0, 2), 0, 3)])


@row("StringConcat", exact=True)
def concat_text(g: Maker, op: str) -> None:
    arithmetic(g, op)


# ---- reductions and the like


def _axes_given(g: Maker, op: str, x: Value, since: int, axes: list[int]) -> tuple[list[Value | None], dict[str, Any]]:
    """Axes as an input from `since` on, before as an attribute; none at all now and then."""
    given: Any = axes if axes or (g.opset >= since and g.chance(30)) else None
    if given is None or g.opset < since:
        return [x], {"axes": given}
    return [x, g.ints(given)], {}


@row("ReduceMax", "ReduceMin", exact=True)
@row("ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp",
     "ReduceLogSum", weight=1)  # fmt: skip
def reduce(g: Maker, op: str) -> None:
    positive = op == "ReduceLogSum"
    full = op in ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceLogSumExp", "ReduceLogSum")
    x = g.of(op, where=lambda v: (not positive or v.within(0.1, 1e3)) and not (full and v.data.size == 0),
             new=lambda t: g.new(t, [max(n, 1) for n in g.shape()], *((1, 3) if positive else (-3, 3))))  # fmt: skip
    since = 13 if op == "ReduceSum" else 18
    inputs, attrs = _axes_given(g, op, x, since, g.axes(x.rank))
    attrs["keepdims"] = g.maybe(60, lambda: g.integer(0, 1))
    if g.opset >= since:
        attrs["noop_with_empty_axes"] = g.maybe(25, lambda: g.integer(0, 1))
    g.node(op, inputs, **attrs)


@row("ArgMax", "ArgMin", exact=True)
def arg(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5), where=lambda v: v.data.size > 0,
             new=lambda t: g.new(t, [max(n, 1) for n in g.shape(1)]))  # fmt: skip
    g.node(op, [x], axis=g.axis(x.rank), keepdims=g.maybe(60, lambda: g.integer(0, 1)),
           select_last_index=g.maybe(30, lambda: g.integer(0, 1)))  # fmt: skip


@row("CumSum", "CumProd")
def cumulative(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5))
    axis = np.asarray(g.axis(x.rank), g.choice(["int64", "int32"]))
    g.node(op, [x, g.source(axis, dynamic=20)], exclusive=g.maybe(40, lambda: g.integer(0, 1)),
           reverse=g.maybe(40, lambda: g.integer(0, 1)))  # fmt: skip


@row("Softmax", "LogSoftmax", "Hardmax", weight=2)
def softmax(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5), where=lambda v: v.data.size > 0,
             new=lambda t: g.new(t, [max(n, 1) for n in g.shape(1)]))  # fmt: skip
    g.node(op, [x], axis=g.maybe(80, lambda: g.axis(x.rank)))


@row("TopK", exact=True)
def topk(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5))
    axis = g.axis(x.rank)
    k = g.ints([g.integer(0 if g.chance(5) else min(1, x.shape[axis]), x.shape[axis])])
    g.node(op, [x, k], 2, axis=axis, largest=g.maybe(50, lambda: g.integer(0, 1)),
           sorted=g.maybe(20, lambda: 1))  # fmt: skip


# ---- products


@row("MatMul", weight=3)
def matmul(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 4), only=(*FLOATS, "int32", "int64"))
    batch = [1 if g.chance(20) else n for n in x.shape[:-2]]
    batch = batch[g.integer(0, len(batch)) if g.chance(30) else 0 :]
    k, columns = x.shape[-1], g.integer(1, 5)
    shape = [k] if g.chance(15) else [*batch, k, columns]
    y = g.value([x.dtype], where=lambda v: v.shape == tuple(shape), new=lambda t: g.new(t, shape))
    g.node(op, [x, y])


@row("Gemm", weight=2)
def gemm(g: Maker, op: str) -> None:
    a = g.of(op, rank=(2, 2))
    trans_a, trans_b = g.integer(0, 1), g.integer(0, 1)
    (m, k), n = (a.shape[::-1] if trans_a else a.shape), g.integer(1, 5)
    b = g.new(a.dtype, (n, k) if trans_b else (k, n))
    c = g.maybe(70, lambda: g.new(a.dtype, g.choice([(n,), (m, n), (1, n), (m, 1), (), (1,)])))
    whole = a.dtype not in FLOATS
    scale = {
        name: g.maybe(50, lambda: g.choice([1.0, 2.0] if whole else [0.5, 1.0, 2.0])) for name in ("alpha", "beta")
    }
    g.node(op, [a, b, c], transA=trans_a or None, transB=trans_b or None, **scale)


@row("Einsum")
def einsum(g: Maker, op: str) -> None:
    equation = g.choice(["ij->ji", "ij,jk->ik", "ij,jk", "bij,bjk->bik", "ii->i", "i,j->ij", "ij->", "...ij->...ji",
                         "ij,ij->i", "ijk,kl->ijl", "b...i,b...i->b..."])  # fmt: skip
    dtype = g.choice([t for t in taken(op, g.opset) if t in FLOATS])
    sizes = {letter: g.integer(1, 4) for letter in "bijkl"}
    dots = g.shape(0, 2)
    shapes = [
        [n for letter in term.replace("...", ".") for n in (dots if letter == "." else [sizes[letter]])]
        for term in equation.split("->")[0].split(",")
    ]
    values = [
        g.value([dtype], where=lambda v, s=tuple(s): v.shape == s, new=lambda t, s=s: g.new(t, s)) for s in shapes
    ]
    g.node(op, values, equation=equation)


@row("MatMulInteger", exact=True)
def matmul_integer(g: Maker, op: str) -> None:
    x = g.of(op, rank=(2, 3))
    other = g.choice(["uint8", "int8"])
    y = g.new(other, (x.shape[-1], g.integer(1, 4)))
    g.node(op, [x, y, g.maybe(50, lambda: g.new(x.dtype, (), 0, 3)), g.maybe(50, lambda: g.new(other, (), 0, 3))])


@row("Det")
def det(g: Maker, op: str) -> None:
    n = g.integer(1, 3)
    g.node(op, [g.of(op, rank=(2, 4), where=lambda v: v.shape[-2:] == (n, n),
                     new=lambda t: g.new(t, (*g.shape(0, 1), n, n)))])  # fmt: skip


# ---- normalisation


@row("LayerNormalization", "RMSNormalization")
def layer_norm(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 4), where=lambda v: v.data.size > 0,
             new=lambda t: g.new(t, [max(n, 1) for n in g.shape(1)]))  # fmt: skip
    axis = g.axis(x.rank)
    shape = x.shape[axis:]
    inputs = [x, g.new(x.dtype, shape)]
    epsilon = g.choice([None, 1e-3, 1e-2])
    if op == "RMSNormalization":
        g.node(op, inputs, axis=axis, epsilon=epsilon)
        return
    more = g.maybe(60, lambda: g.new(x.dtype, shape))
    g.node(op, [*inputs, more], [True, g.chance(20), g.chance(20)], axis=axis, epsilon=epsilon)


@row("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN", "MeanVarianceNormalization", weight=2)
def channel_norm(g: Maker, op: str) -> None:
    x = g.of(op, rank=(4, 4) if op == "MeanVarianceNormalization" else (2 if op == "BatchNormalization" else 3, 5),
             where=lambda v: v.data.size > 0, new=lambda t: g.new(t, [max(n, 1) for n in g.shape(4, 4)]))  # fmt: skip
    channels = x.shape[1]
    if op == "LRN":
        g.node(op, [x], size=g.choice([1, 3, 5]), alpha=g.choice([None, 0.1]), beta=g.choice([None, 0.5]),
               bias=g.choice([None, 2.0]))  # fmt: skip
    elif op == "MeanVarianceNormalization":
        g.node(op, [x], axes=g.choice([None, [0, 2, 3], [1, 2], [-1]]))
    elif op == "BatchNormalization":
        stats = [g.new(x.dtype, (channels,), *ends) for ends in ((-2, 2), (-1, 1), (-1, 1), (0.5, 2))]
        g.node(op, [x, *stats], epsilon=g.choice([None, 1e-3]))
    else:
        groups = g.choice([d for d in range(1, channels + 1) if channels % d == 0])
        n = groups if op == "GroupNormalization" and g.opset < 21 else channels
        attrs = {"num_groups": groups} if op == "GroupNormalization" else {}
        g.node(op, [x, g.new(x.dtype, (n,)), g.new(x.dtype, (n,))], epsilon=g.choice([None, 1e-3]), **attrs)


@row("LpNormalization")
def lp_norm(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5), where=lambda v: v.data.size > 0,
             new=lambda t: g.new(t, [max(n, 1) for n in g.shape(1)]))  # fmt: skip
    g.node(op, [x], axis=g.axis(x.rank), p=g.choice([None, 1, 2]))


@row("Dropout")
def dropout(g: Maker, op: str) -> None:
    x = g.of(op)
    training = g.maybe(40, lambda: g.source(np.asarray(False), dynamic=20))
    ratio = g.source(np.asarray(0.5, "float32")) if training or g.chance(50) else None
    g.node(op, [x, ratio, training], [True, g.chance(40)])


# ---- quantisation


@row("QuantizeLinear", "DequantizeLinear", blind=False)
def quantize(g: Maker, op: str) -> None:
    to_integer = op == "QuantizeLinear"
    x = g.of(op, rank=(0, 4), only=["float32"] if to_integer else ["int8", "uint8", "int32"],
             where=lambda v: v.within(-50, 50))  # fmt: skip
    axis = g.axis(x.rank) if x.rank and g.chance(50) else None
    shape = () if axis is None else (x.shape[axis],)
    scale = g.source(g.random.uniform(0.1, 0.5, shape).astype(np.float32))
    zero = "int8" if not to_integer and x.dtype == "int32" else x.dtype
    zero = g.choice(["uint8", "int8"]) if to_integer else zero
    point = None if x.dtype == "int32" else g.maybe(70, lambda: g.new(zero, shape, 0, 5))
    g.node(op, [x, scale, point], axis=axis)


@row("DynamicQuantizeLinear")
def dynamic_quantize(g: Maker, op: str) -> None:
    g.node(op, [g.of(op, where=lambda v: v.data.size > 0 and v.within(-1e3, 1e3),
                     new=lambda t: g.new(t, [max(n, 1) for n in g.shape()]))], 3)  # fmt: skip


from . import rows_control, rows_shape, rows_window  # noqa: E402, F401 - they add their rows
