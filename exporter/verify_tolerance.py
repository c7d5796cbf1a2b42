"""How far two runtimes may be apart on one node: one table of bounds by operator, and what their terms mean.

A floating-point output agrees where, element by element,

    |ours − theirs| ≤ ε · (own · |theirs| + span · √K · M)

with ε the distance from 1 to the next number of the output's dtype (the coarser one if they differ), K the number of
terms that are added up, and M the magnitude of the output: its largest finite element, or what the sum of K products of
the inputs' sizes would come to if signs were random, whichever is larger (so that sums that cancel are not held to the
size of what is left). Whole numbers may differ by `steps`; text and booleans not at all. NaN agrees with NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ..runtime.dtypes import is_float

__all__ = ["OUTPUT_TOLERANCES", "Allowed", "Bound", "allowed_for", "bound_of", "epsilon", "output_tolerance"]

Arrays = Sequence[Any]
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Bound:
    """One row of the table; see the formula at the top of the file.

    Attributes:
        length: which of `LENGTHS` counts K.
        floor: which of `FLOORS` may raise M.
    """

    own: float = 0.0
    span: float = 0.0
    length: str = "one"
    floor: str = "none"
    steps: int = 0


def _rms(x: Any) -> float:
    if not isinstance(x, np.ndarray) or not x.size or not is_float(x.dtype):
        return 0.0
    x = x.reshape(-1)
    if x.size > 1 << 16:  # a sample of a large array gives its size well enough
        x = x[:: x.size >> 16]
    with np.errstate(all="ignore"):
        value = float(np.sqrt(np.mean(np.square(x.astype(np.float64)))))
    return value if math.isfinite(value) else 0.0


def _largest(x: Any) -> float:
    if not isinstance(x, np.ndarray) or not x.size or not is_float(x.dtype):
        return 0.0
    with np.errstate(all="ignore"):
        value = float(np.max(np.abs(x)))
    return value if math.isfinite(value) else 0.0


def _size(x: Any) -> int:
    return int(x.size) if isinstance(x, np.ndarray) else 1


def _along(x: Any, axis: int) -> int:
    return x.shape[axis] if isinstance(x, np.ndarray) and -x.ndim <= axis < x.ndim else 1


LENGTHS: dict[str, Callable[[Arrays, Any, Attributes], float]] = {
    "one": lambda x, y, a: 1,
    "filter": lambda x, y, a: _size(x[1]) / max(_along(x[1], 0), 1),
    "transposed filter": lambda x, y, a: _size(x[1]) / max(_along(x[1], 1), 1),
    "last axis": lambda x, y, a: _along(x[0], -1),
    "inner axis of Gemm": lambda x, y, a: _along(x[0], 0 if a.get("transA") else -1),
    "all per output": lambda x, y, a: max(map(_size, x)) / max(_size(y), 1),
    "window": lambda x, y, a: math.prod(a.get("kernel_shape", (1,))),
    "axis": lambda x, y, a: _along(x[0], a.get("axis", -1)),
    "recurrent": lambda x, y, a: _along(x[1], -1) + _along(x[2] if len(x) > 2 else None, -1) + _along(x[0], 0),
    "number of inputs": lambda x, y, a: len(x),
}
"""K from the inputs, the output and the attributes."""


def _products(x: Arrays, length: float, attributes: Attributes) -> float:
    return math.sqrt(length) * _rms(x[0]) * _rms(x[1]) if len(x) > 1 else 0.0


def _affine(x: Arrays, length: float, attributes: Attributes) -> float:
    """(x − mean) · scale / sqrt(var + epsilon), before what the mean takes away."""
    if len(x) < 5 or not isinstance(x[4], np.ndarray) or not x[4].size:
        return 0.0
    spread = max(float(np.min(x[4])) + attributes.get("epsilon", 1e-5), 1e-30)
    return (_largest(x[0]) + _largest(x[3])) * _largest(x[1]) / math.sqrt(spread)


FLOORS: dict[str, Callable[[Arrays, float, Attributes], float]] = {
    "none": lambda x, k, a: 0.0,
    "products": _products,
    "affine": _affine,
    "inputs": lambda x, k, a: max(map(_largest, x), default=0.0),
}
"""What M is at least."""

EXACT = Bound()
ROUNDED = Bound(own=1)
FUNCTION = Bound(own=8, span=4)
SUM = Bound(own=4, span=4, length="all per output", floor="inputs")
NORM = Bound(own=16, span=32)
MANY = Bound(own=32, span=32, floor="inputs")

_ROWS: tuple[tuple[str, Bound], ...] = (
    # moves, selects, compares, counts: nothing is rounded
    ("Abs And ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Clip "
     "Compress Concat CenterCropPad ConcatFromSequence Constant ConstantOfShape ConvInteger DepthToSpace "
     "Dropout Equal Expand EyeLike Flatten Floor Gather GatherElements GatherND Greater GreaterOrEqual Identity "
     "IsInf IsNaN Less LessOrEqual MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Min Neg NonMaxSuppression "
     "NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or Pad ReduceMax ReduceMin Relu Reshape "
     "ReverseSequence Round SequenceAt SequenceConstruct SequenceEmpty SequenceErase "
     "SequenceInsert SequenceLength Shape Sign Size Slice SpaceToDepth Split SplitToSequence Squeeze "
     "StringConcat StringNormalizer StringSplit ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze "
     "Where Xor GlobalMaxPool Hardmax", EXACT),
    # one rounding, perhaps in another order
    ("Add Sub Mul Div Sqrt Reciprocal DequantizeLinear Range PRelu LeakyRelu HardSigmoid", ROUNDED),
    # a polynomial or a table of somebody's choice
    ("Acos Acosh Asin Asinh Atan Atanh Celu Cos Cosh Elu Erf Exp Gelu HardSwish Log Mish Mod Pow Selu Shrink "
     "Sigmoid Sin Sinh Softplus Softsign Swish Tan Tanh BlackmanWindow HannWindow HammingWindow CumProd", FUNCTION),
    # sums
    ("Conv DeformConv", Bound(own=4, span=4, length="filter", floor="products")),
    ("ConvTranspose", Bound(own=4, span=4, length="transposed filter", floor="products")),
    ("MatMul", Bound(own=4, span=4, length="last axis", floor="products")),
    ("Gemm", Bound(own=4, span=4, length="inner axis of Gemm", floor="products")),
    ("Einsum", Bound(own=4, span=4, length="all per output", floor="products")),
    ("Sum Mean", Bound(own=1, span=1, length="number of inputs", floor="inputs")),
    ("ReduceSum ReduceMean ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp GlobalAveragePool "
     "GlobalLpPool",
     SUM),
    ("ReduceProd", Bound(own=32, span=4, length="all per output")),
    ("ScatterElements ScatterND Scatter", Bound(own=4, span=4, floor="inputs")),
    ("CumSum", Bound(own=4, span=2, length="last axis", floor="inputs")),
    ("AveragePool LpPool", Bound(own=4, span=2, length="window")),
    ("Softmax LogSoftmax", Bound(own=8, span=4, length="axis")),
    ("SoftmaxCrossEntropyLoss NegativeLogLikelihoodLoss", Bound(own=8, span=4, length="last axis", floor="inputs")),
    ("DFT STFT MelWeightMatrix", Bound(own=8, span=8, length="last axis", floor="inputs")),
    ("Det", Bound(own=32, span=8, length="last axis", floor="inputs")),
    # mean and variance
    ("BatchNormalization", Bound(own=4, span=4, floor="affine")),
    ("InstanceNormalization LayerNormalization GroupNormalization RMSNormalization MeanVarianceNormalization "
     "LpNormalization LRN", NORM),
    # coordinates that are computed
    ("AffineGrid GridSample Resize Upsample RoiAlign RotaryEmbedding Col2Im", Bound(own=8, span=32, floor="inputs")),
    # many steps in one node
    ("RNN GRU LSTM", Bound(own=16, span=4, length="recurrent")),
    ("Attention", Bound(own=16, span=16, length="last axis", floor="inputs")),
    # a value on the edge between two steps may fall to either side
    ("QuantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul ImageDecoder", Bound(own=4, span=1, steps=1)),
)  # fmt: skip

BOUNDS: dict[str, Bound] = {name: bound for names, bound in _ROWS for name in names.split()}
COMPOSITE = MANY
"""Functions of the model, `If`, `Loop`, `Scan`: many nodes in one."""
OTHER = Bound(own=8, span=8, floor="inputs")
"""Operators without a row."""

OUTPUT_TOLERANCES: dict[str, float] = {"float64": 1e-10, "float32": 1e-5, "float16": 1e-2, "bfloat16": 8e-2}
"""What |ours − theirs| / (1 + |theirs|) may be on the outputs of a whole model, by dtype; else that of float32."""


def output_tolerance(dtype: str) -> float:
    """See `OUTPUT_TOLERANCES`."""
    return OUTPUT_TOLERANCES.get(dtype, OUTPUT_TOLERANCES["float32"])


def bound_of(op_type: str, domain: str = "", *, composite: bool = False) -> Bound:
    """The row of an operator."""
    if composite:
        return COMPOSITE
    return BOUNDS.get(op_type, OTHER) if domain == "" else OTHER


def epsilon(dtype: np.dtype) -> float:
    """From 1 to the next number of a floating-point or complex dtype."""
    kind = np.dtype(dtype)
    return float((np if kind.kind in "fc" else ml_dtypes).finfo(kind).eps)


@dataclass(frozen=True)
class Allowed:
    """The bound with its numbers in: |ours − theirs| ≤ relative · |theirs| + absolute, for whole numbers ≤ steps."""

    relative: float
    absolute: float
    steps: float = 0.0


def allowed_for(
    bound: Bound,
    dtypes: Sequence[np.dtype],
    largest: float,
    inputs: Arrays,
    output: Any,
    attributes: Attributes,
    tolerance: float | None = None,
) -> Allowed:
    """What the row allows on one output.

    Args:
        dtypes: of ours and theirs.
        largest: the largest finite |theirs|.
        tolerance: instead of the row: |ours − theirs| ≤ tolerance · (1 + |theirs|), for whole numbers too.
    """
    if tolerance is not None:
        return Allowed(tolerance, tolerance, tolerance)
    inexact = [d for d in dtypes if d.kind == "c" or is_float(d)]
    if not inexact:
        return Allowed(0.0, 0.0, bound.steps)
    eps = max(map(epsilon, inexact))
    length = max(float(LENGTHS[bound.length](inputs, output, attributes)), 1.0) if bound.span else 1.0
    size = max(largest, FLOORS[bound.floor](inputs, length, attributes)) if bound.span else 0.0
    return Allowed(eps * bound.own, eps * bound.span * math.sqrt(length) * size, bound.steps)
