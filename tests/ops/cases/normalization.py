"""Normalisation: given and own statistics, every reduced set of axes, odd and even windows."""

from __future__ import annotations

import numpy as np

from ..table import case, real

C = 3
EPSILON, MOMENTUM = float(np.float32(1e-5)), float(np.float32(0.9))
"""The specification's defaults: its numbers are float32."""
POSITIVE = {"low": 0.5, "high": 2.0}


def batch_inputs(*shape, statistics=None):
    """X, scale, B, mean, var"""
    statistics = statistics or (shape[1] if len(shape) > 1 else 1,)
    return (
        real(*shape),
        real(*statistics, key="scale", **POSITIVE),
        real(*statistics, key="B"),
        real(*statistics, key="mean"),
        real(*statistics, key="var", **POSITIVE),
    )


def by_batch(X, scale, B, mean, var, *, epsilon=EPSILON, momentum=MOMENTUM, legacy=False, spatial=1, **_):
    """Batch normalisation by the batch's own statistics, as the specification words it."""
    axes = tuple(axis for axis in range(X.ndim) if axis != 1) if spatial else (0,)
    shape = (-1, *(1,) * (X.ndim - 2)) if spatial else X.shape[1:]
    mu, variance = X.mean(axes), X.var(axes)
    Y = (X - mu.reshape(shape)) / np.sqrt(variance + epsilon).reshape(shape) * scale.reshape(shape) + B.reshape(shape)
    running = tuple(old * momentum + new * (1 - momentum) for old, new in ((mean, mu), (var, variance)))
    saved = (mu.astype(X.dtype), variance.astype(X.dtype)) if legacy else ()
    return tuple(a.astype(X.dtype) for a in (Y, *running)) + saved


def legacy(*inputs, **attrs):
    """The five outputs of versions 1 to 9."""
    return by_batch(*inputs, legacy=True, **attrs)


def by_given(X, scale, B, mean, var, *, epsilon=EPSILON, **_):
    """Batch normalisation by given statistics, per channel or per feature."""
    if X.ndim > 1:
        scale, B, mean, var = (v.reshape(*v.shape, *(1,) * (X.ndim - 1 - v.ndim)) for v in (scale, B, mean, var))
    return ((X - mean) / np.sqrt(var + epsilon) * scale + B).astype(X.dtype)


def batch_gradient(dY, X, scale, *, epsilon=EPSILON):
    """The chain rule through mean and variance, written out."""
    axes, m = tuple(a for a in range(X.ndim) if a != 1), X.size // scale.size
    column = (-1, *(1,) * (X.ndim - 2))
    centred = X - X.mean(axes, keepdims=True)
    s = 1 / np.sqrt(X.var(axes, keepdims=True) + epsilon)
    d = dY * scale.reshape(column)
    d_var = (d * centred * -0.5 * s**3).sum(axes, keepdims=True)
    d_mean = (-d * s).sum(axes, keepdims=True)
    dX = d * s + d_var * 2 * centred / m + d_mean / m
    return tuple(a.astype(X.dtype) for a in (dX, (dY * centred * s).sum(axes), dY.sum(axes)))


def groups(X, scale, bias, *, num_groups, epsilon=EPSILON, **_):
    """Group normalisation; scale and bias per group or per channel."""
    grouped = X.reshape(X.shape[0], num_groups, -1)
    centred = grouped - grouped.mean(2, keepdims=True)
    normal = (centred / np.sqrt(grouped.var(2, keepdims=True) + epsilon)).reshape(X.shape)
    each = X.shape[1] // len(scale)
    scale, bias = (v.repeat(each).reshape(-1, *(1,) * (X.ndim - 2)) for v in (scale, bias))
    return (normal * scale + bias).astype(X.dtype)


def layers(X, Scale, B=None, *, axis=-1, epsilon=EPSILON, **_):
    """Layer normalisation in the precision of X; mean and inverse deviation in float32, the default stash_type."""
    axes = tuple(range(axis % X.ndim, X.ndim))
    mean = X.mean(axes, keepdims=True)
    s = 1 / np.sqrt(X.var(axes, keepdims=True) + epsilon)
    Y = (X - mean) * s * Scale + (0 if B is None else B)
    return Y.astype(X.dtype), mean.astype(np.float32), s.astype(np.float32)


def layer(*inputs, **attrs):
    """The first output alone."""
    return layers(*inputs, **attrs)[0]


def rms(X, scale, *, axis=-1, epsilon=EPSILON, **_):
    """X / sqrt(mean(X²) + epsilon) · scale"""
    axes = tuple(range(axis % X.ndim, X.ndim))
    return (X / np.sqrt((X**2).mean(axes, keepdims=True) + epsilon) * scale).astype(scale.dtype)


def window_sum(X, *, before, after):
    """Σ X[:, c − before … c + after]"""
    sums = [X[:, max(0, c - before) : c + after + 1].sum(1) for c in range(X.shape[1])]
    return np.stack(sums, 1)


def responses(X, *, size, alpha=1e-4, beta=0.75, bias=1.0):
    """Local response normalisation channel by channel."""
    square = window_sum(X**2, before=(size - 1) // 2, after=-(-(size - 1) // 2))
    return (X / (bias + alpha / size * square) ** beta).astype(X.dtype)


def lp(X, *, axis=-1, p=2):
    """X / norm, 0 where the norm is 0"""
    norm = np.linalg.norm(X, p, axis, keepdims=True)
    return np.where(norm == 0, 0, X / np.where(norm == 0, 1, norm)).astype(X.dtype)


def mean_variance(X, *, axes=(0, 2, 3)):
    """(X − mean) / (deviation + 1e-9)"""
    axes = tuple(axes)
    return ((X - X.mean(axes, keepdims=True)) / (X.std(axes, keepdims=True) + 1e-9)).astype(X.dtype)


ZERO_ROW = real(2, 4) * np.array([[1.0], [0.0]])

BATCH = [
    case(
        "BatchNormalization",
        *batch_inputs(2, C, 2),
        opset=1,
        is_test=1,
        consumed_inputs=[0, 0, 0, 1, 1],
        expect=by_given,
    ),
    case("BatchNormalization", *batch_inputs(2, C, 2), opset=6, is_test=1, epsilon=0.0625, name="test"),
    case("BatchNormalization", *batch_inputs(4, C, 2), opset=6, outputs=5, expect=legacy, name="training"),
    case("BatchNormalization", *batch_inputs(2, C, 2, 2), opset=7, expect=by_given),
    case(
        "BatchNormalization", *batch_inputs(4, C, 2), opset=7, outputs=5, momentum=0.5, expect=legacy, name="training"
    ),
    case(
        "BatchNormalization",
        *batch_inputs(2, C, 2, statistics=(C, 2)),
        opset=7,
        spatial=0,
        expect=by_given,
        name="features",
    ),
    case(
        "BatchNormalization",
        *batch_inputs(4, C, 2, statistics=(C, 2)),
        opset=7,
        outputs=5,
        spatial=0,
        expect=legacy,
        name="features-training",
    ),
    case("BatchNormalization", *batch_inputs(2, C, 2, 2), opset=9, expect=by_given),
    case("BatchNormalization", *batch_inputs(4, C, 2), opset=9, outputs=5, expect=legacy, name="training"),
    case("BatchNormalization", *batch_inputs(2, C, 2, 2), opset=14),
    case("BatchNormalization", *batch_inputs(2, C, 2, 2), grad=(0, 1, 2, 3, 4), name="images"),
    case("BatchNormalization", *batch_inputs(4, C), grad=(0, 1, 2, 3, 4), epsilon=0.125, name="matrix"),
    case(
        "BatchNormalization",
        *batch_inputs(5),
        expect=by_given,
        name="vector",
    ),
    case("BatchNormalization", *batch_inputs(2, C, 2, 2), dtypes=("float16", "bfloat16"), expect=by_given, name="half"),
    case(
        "BatchNormalization",
        *batch_inputs(5),
        outputs=3,
        training_mode=1,
        grad=(0, 1, 2, 3, 4),
        expect=by_batch,
        name="training-vector",
    ),
    case(
        "BatchNormalization",
        *batch_inputs(3, C, 2, 2),
        outputs=3,
        training_mode=1,
        grad=(0, 1, 2, 3, 4),
        expect=by_batch,
        name="training",
    ),
    case(
        "BatchNormalization",
        *batch_inputs(4, C),
        outputs=3,
        training_mode=1,
        momentum=0.25,
        epsilon=0.125,
        grad=(0, 1, 2, 3, 4),
        expect=by_batch,
        name="training-matrix",
    ),
    case(
        "BatchNormalizationGrad",
        real(3, C, 2),
        real(3, C, 2, key="X"),
        real(C, **POSITIVE),
        domain="striate.grad",
        opset=1,
        outputs=3,
        grad=(0, 1, 2),
        expect=batch_gradient,
    ),
]

EXAMPLE = [
    case("InstanceNormalization", real(2, C, 4), real(C), real(C, key="B"), opset=1),
    case("InstanceNormalization", real(2, C, 2, 2), real(C), real(C, key="B"), opset=6, epsilon=0.0625),
    case("InstanceNormalization", real(2, C, 2, 2), real(C), real(C, key="B"), grad=(0, 1, 2)),
    case("InstanceNormalization", real(2, C, 5), real(C), real(C, key="B"), dtypes=("float16",), name="half"),
    case("InstanceNormalization", real(2, C, 5), real(C), real(C, key="B"), opset=22, name="sequence"),
    case("GroupNormalization", real(2, 4, 3), real(2), real(2, key="B"), opset=18, num_groups=2, expect=groups),
    case(
        "GroupNormalization", real(2, 4, 2, 2), real(4), real(4, key="B"), num_groups=2, grad=(0, 1, 2), expect=groups
    ),
    case(
        "GroupNormalization",
        real(2, 4, 3),
        real(4),
        real(4, key="B"),
        num_groups=1,
        epsilon=0.125,
        expect=groups,
        name="one",
    ),
    case(
        "GroupNormalization",
        real(2, 4, 3),
        real(4),
        real(4, key="B"),
        num_groups=4,
        grad=(0,),
        expect=groups,
        name="all",
    ),
    case("LayerNormalization", real(3, 4), real(4), real(4, key="B"), opset=17, grad=(), expect=layer),
    case("LayerNormalization", real(3, 4), real(4), real(4, key="B"), grad=(0, 1, 2), expect=layer),
    case(
        "LayerNormalization",
        real(2, 3, 4),
        real(3, 4),
        axis=1,
        epsilon=0.125,
        grad=(0, 1),
        expect=layer,
        name="no-bias",
    ),
    case(
        "LayerNormalization",
        real(3, 4),
        real(4),
        real(4, key="B"),
        dtypes=("float16", "bfloat16"),
        expect=layer,
        name="half",
    ),
    case("LayerNormalization", real(3, 4), real(4), real(4, key="B"), axis=-2, expect=layer, name="negative-axis"),
    case("LayerNormalization", real(3, 4), real(4), real(4, key="B"), outputs=3, expect=layers, name="statistics"),
    case("RMSNormalization", real(3, 4), real(4), opset=23, expect=rms),
    case("RMSNormalization", real(3, 4), real(4), opset=23, dtypes=("float16", "bfloat16"), expect=rms, name="half"),
    case("RMSNormalization", real(2, 3, 4), real(3, 4), opset=23, axis=1, epsilon=0.125, expect=rms, name="two-axes"),
    case("MeanVarianceNormalization", real(2, C, 2, 2), opset=9, expect=mean_variance),
    case("MeanVarianceNormalization", real(2, C, 2, 2), grad=(0,), expect=mean_variance),
    case(
        "MeanVarianceNormalization", real(2, C, 2, 2), dtypes=("float16", "bfloat16"), expect=mean_variance, name="half"
    ),
    case("MeanVarianceNormalization", real(2, C, 4), axes=[-1], grad=(0,), expect=mean_variance, name="last-axis"),
    case("LpNormalization", real(3, 4), opset=1, expect=lp),
    case("LpNormalization", real(3, 4), grad=(0,), expect=lp, name="euclidean"),
    case("LpNormalization", real(3, 4), axis=0, p=1, grad=(0,), expect=lp, name="absolute"),
    case("LpNormalization", real(3, 4), opset=22, dtypes=("float16", "bfloat16"), expect=lp, name="half"),
    case("LpNormalization", ZERO_ROW, opset=22, expect=lp, name="zero-norm"),
]

WINDOW = [
    case("LRN", real(2, 5, 2, 2), opset=1, size=3, expect=responses),
    case("LRN", real(2, 5, 2), size=3, alpha=0.5, grad=(0,), expect=responses, name="odd"),
    case("LRN", real(2, 5, 2), size=4, alpha=0.5, beta=0.625, bias=2.0, grad=(0,), expect=responses, name="even"),
    case("LRN", real(2, 5, 2), size=3, alpha=0.5, dtypes=("float16", "bfloat16"), expect=responses, name="half"),
    case("LRN", real(1, 3, 2), size=9, alpha=0.5, expect=responses, name="wider-than-channels"),
    case(
        "ChannelWindowSum",
        real(2, 5, 2),
        domain="striate.grad",
        opset=1,
        before=1,
        after=2,
        grad=(0,),
        expect=window_sum,
    ),
]

CASES = [*BATCH, *EXAMPLE, *WINDOW]
