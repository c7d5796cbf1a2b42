"""Floating-point operations of an operator, from its shapes alone, and what there is to say of operators without MACs.

FLOPs are 2 for each MAC (see `macs`); 1 for each element of the result of an elementwise operator, whatever its
function; what `FLOPS` states for normalisation, pooling, reductions and transforms; none for moving data.
"""

from __future__ import annotations

from math import log2, prod

import onnx_ir as ir

from .macs import MACS, ML, TRAINING, Call, Formula, Key, Unknown

__all__ = ["CONTROL", "ELEMENTWISE", "FLOPS", "MOVES", "UNCOUNTED", "count"]


def _keys(names: str, domain: str = "") -> list[Key]:
    return [(domain, name) for name in names.split()]


def _per_output(count: int) -> Formula:
    return lambda c: count * prod(c.output())


def _per_input(count: int) -> Formula:
    return lambda c: count * prod(c.input(0))


def _pool(count: int) -> Formula:
    """`count` for each element of each window."""
    return lambda c: count * prod(c.output()) * prod(c.ints("kernel_shape"))


def _variadic(extra: int) -> Formula:
    """One operation less than there are inputs, and `extra`."""
    return lambda c: (len(c.node.inputs) - 1 + extra) * prod(c.output())


def _lrn(c: Call) -> int:
    """Square, sum over the window, scale, add, raise, divide."""
    return (c.integer("size", 1) + 5) * prod(c.output())


def _determinant(c: Call) -> int:
    """Gaussian elimination: 2/3 n³ for each matrix."""
    shape = c.input(0)
    return 2 * prod(shape) * shape[-1] // 3


def _fourier(c: Call) -> int:
    """5 n log2 n for each transform of n points (Cooley and Tukey's count)."""
    shape = c.input(0)
    default = -2 if len(shape) > 2 and not c.has(2) else 1
    points = shape[c.integer("axis", default)]
    return round(5 * prod(shape[:-1]) * log2(max(points, 2)))


def _short_time_fourier(c: Call) -> int:
    """The same for each frame; one-sided results hold half of the points and one."""
    batch, frames, bins = c.output()[:3]
    points = 2 * (bins - 1) if c.integer("onesided", 1) else bins
    return round(5 * batch * frames * points * log2(max(points, 2)))


def _interpolation(mode: str) -> Formula:
    """A product and a sum per tap: 2 taps along each scaled axis if linear, 4 if cubic; none for the nearest."""

    def formula(c: Call) -> int:
        taps = {"linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}.get(c.text("mode", mode), 0)
        source, result = c.input(0), c.output()
        grid = c.node.op_type == "GridSample"
        axes = len(source) - 2 if grid else sum(a != b for a, b in zip(source, result, strict=False))
        return 2 * prod(result) * taps**axes if taps and axes else 0

    return formula


ELEMENTWISE: frozenset[Key] = frozenset(
    _keys(
        """
        Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Celu
        Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN
        LeakyRelu Less LessOrEqual Log Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid
        Sign Sin Sinh Softplus Softsign Sqrt Sub Swish Tan Tanh ThresholdedRelu Xor
        """
    )
)
"""The operators that treat every element alike: 1 FLOP each."""

FLOPS: dict[Key, Formula] = {
    **dict.fromkeys(ELEMENTWISE, _per_output(1)),
    **dict.fromkeys(_keys("BlackmanWindow HammingWindow HannWindow CumProd CumSum Hardmax"), _per_output(1)),
    **dict.fromkeys(_keys("ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ArgMax ArgMin"), _per_input(1)),
    **dict.fromkeys(_keys("GlobalAveragePool GlobalMaxPool"), _per_input(1)),
    **dict.fromkeys(_keys("ReduceL1 ReduceL2 ReduceLogSum ReduceSumSquare GlobalLpPool"), _per_input(2)),
    ("", "ReduceLogSumExp"): _per_input(3),
    **dict.fromkeys(_keys("Sum Max Min"), _variadic(0)),
    ("", "Mean"): _variadic(1),
    ("", "MaxPool"): _pool(1),
    ("", "AveragePool"): _pool(1),
    ("", "LpPool"): _pool(2),
    ("", "BatchNormalization"): _per_output(2),  # at inference a scale and a shift
    ("", "RMSNormalization"): _per_output(4),  # square, sum, divide, scale
    # sum; subtract, square, sum; divide; scale, shift
    **dict.fromkeys(
        _keys("InstanceNormalization LayerNormalization GroupNormalization MeanVarianceNormalization"), _per_output(7)
    ),
    ("", "LpNormalization"): _per_output(3),
    ("", "LRN"): _lrn,
    ("", "Softmax"): _per_output(5),  # largest, subtract, exponential, sum, divide
    ("", "LogSoftmax"): _per_output(5),
    ("", "SoftmaxCrossEntropyLoss"): _per_input(5),
    ("", "NegativeLogLikelihoodLoss"): _per_input(1),
    ("", "RotaryEmbedding"): _per_output(3),
    ("", "SwiGLU"): _per_output(2),
    ("", "QuantizeLinear"): _per_output(2),
    ("", "DequantizeLinear"): _per_output(2),
    ("", "DynamicQuantizeLinear"): _per_output(4),
    ("", "Det"): _determinant,
    ("", "DFT"): _fourier,
    ("", "STFT"): _short_time_fourier,
    ("", "GridSample"): _interpolation("linear"),
    ("", "Resize"): _interpolation("nearest"),
    ("", "Upsample"): _interpolation("nearest"),
    (ML, "Binarizer"): _per_output(1),
    (ML, "Scaler"): _per_output(2),
    (ML, "Normalizer"): _per_output(3),
    (TRAINING, "Adagrad"): _per_output(6),
    (TRAINING, "Adam"): _per_output(12),
    (TRAINING, "Momentum"): _per_output(4),
}
"""The operators that compute something else; each formula gives FLOPs."""

MOVES: frozenset[Key] = frozenset(
    _keys(
        """
        Bernoulli BitCast Cast CastLike CenterCropPad Col2Im Compress Concat ConcatFromSequence Constant
        ConstantOfShape DepthToSpace Dropout Expand EyeLike Flatten Gather GatherElements GatherND Identity MaxUnpool
        Multinomial NonZero OneHot Optional OptionalGetElement OptionalHasElement Pad RandomNormal RandomNormalLike
        RandomUniform RandomUniformLike Range RegexFullMatch Reshape ReverseSequence Scatter ScatterElements ScatterND
        SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Size Slice
        SpaceToDepth Split SplitToSequence Squeeze StringConcat StringNormalizer StringSplit TensorScatter Tile
        Transpose Trilu Unsqueeze Where
        """
    )
    + _keys(
        "ArrayFeatureExtractor CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder "
        "OneHotEncoder ZipMap",
        ML,
    )
)
"""The operators that only move, convert or make data: no MACs and no FLOPs."""

CONTROL: frozenset[Key] = frozenset(_keys("If Loop Scan SequenceMap"))
"""The operators that cost what their bodies cost."""

UNCOUNTED: frozenset[Key] = frozenset(
    _keys("ImageDecoder MaxRoiPool MelWeightMatrix NonMaxSuppression RoiAlign TfIdfVectorizer TopK Unique")
    + _keys("TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor", ML)
    + _keys("Gradient", TRAINING)
)
"""The operators whose work depends on the data, or has no agreed count: no MACs, FLOPs unknown."""


def count(node: ir.Node) -> tuple[int | None, int | None]:
    """MACs and FLOPs of a node, bodies it calls not included; None where they are not known."""
    key = node.domain, node.op_type
    if key in MACS:
        found = _value(MACS[key], node)
        return found, None if found is None else 2 * found
    if key in MOVES or key in CONTROL:
        return 0, 0
    if key in FLOPS:
        return 0, _value(FLOPS[key], node)
    return 0 if key in UNCOUNTED else None, None


def _value(formula: Formula, node: ir.Node) -> int | None:
    try:
        return formula(Call(node))
    except (Unknown, IndexError, ValueError):
        return None
