"""The gradients of convolution and pooling that are operators of their own."""

from __future__ import annotations

import numpy as np

from striate.runtime.ops import GRAD_DOMAIN

from ..table import Array, Case, case, ints, real

GRAD = {"domain": GRAD_DOMAIN, "opset": 1}


def weight_gradient(X: Array, dY: Array, *, kernel_shape, strides=None, dilations=None, pads=None, group=1) -> Array:
    """The sum of the definition, tap by tap, over a padded copy of X."""
    rank = X.ndim - 2
    strides, dilations, pads = strides or [1] * rank, dilations or [1] * rank, pads or [0] * 2 * rank
    padded = np.pad(X, [(0, 0), (0, 0), *((pads[i], pads[i + rank]) for i in range(rank))])
    outer, inner = dY.shape[1] // group, X.shape[1] // group
    dW = np.zeros((dY.shape[1], inner, *kernel_shape))
    for t in np.ndindex(*kernel_shape):
        starts = [t[i] * dilations[i] for i in range(rank)]
        stops = [a + (n - 1) * s + 1 for a, n, s in zip(starts, dY.shape[2:], strides, strict=True)]
        seen = padded[(..., *(slice(*box) for box in zip(starts, stops, strides, strict=True)))]
        for g in range(group):
            m, c = slice(g * outer, (g + 1) * outer), slice(g * inner, (g + 1) * inner)
            dW[(m, slice(None), *t)] = np.einsum("nmo,nco->mc", _flat(dY[:, m]), _flat(seen[:, c]))
    return dW


def _flat(x: Array) -> Array:
    return x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))


def average_gradient(
    dY: Array, *, spatial_shape, kernel_shape, strides=None, dilations=None, pads=None, **how
) -> Array:
    """Each window's gradient shared out among its elements, window by window."""
    rank = dY.ndim - 2
    strides, dilations, pads = strides or [1] * rank, dilations or [1] * rank, pads or [0] * 2 * rank
    dX = np.zeros((*dY.shape[:2], *spatial_shape))
    for o in np.ndindex(*dY.shape[2:]):
        at = [
            tuple(o[i] * strides[i] + t[i] * dilations[i] - pads[i] for i in range(rank))
            for t in np.ndindex(*kernel_shape)
        ]
        inside = [p for p in at if all(0 <= p[i] < spatial_shape[i] for i in range(rank))]
        counted = [p for p in at if all(-pads[i] <= p[i] < spatial_shape[i] + pads[rank + i] for i in range(rank))]
        for p in inside:
            dX[(..., *p)] += dY[(..., *o)] / len(counted if how.get("count_include_pad") else inside)
    return dX


def max_gradient(dY: Array, Indices: Array, *, spatial_shape, disjoint=0) -> Array:
    dX = np.zeros((*dY.shape[:2], *spatial_shape))
    np.add.at(dX.reshape(-1), Indices.reshape(-1), dY.reshape(-1))
    return dX


INDICES = np.array([[[[0, 0], [5, 11]], [[12, 17], [17, 17]]]])

WEIGHTS = [
    case("ConvWeightGrad", real(2, 2, 5, 4), real(2, 3, 3, 3), kernel_shape=[3, 2], grad=(0, 1), **GRAD,
         expect=weight_gradient, dtypes=("float64", "float32", "float16")),
    case("ConvWeightGrad", real(2, 2, 5, 4), real(2, 3, 5, 4), kernel_shape=[1, 1], grad=(0, 1), **GRAD,
         expect=weight_gradient, name="one by one"),
    case("ConvWeightGrad", real(2, 2, 5, 4), real(2, 3, 3, 2), kernel_shape=[2, 2], strides=[2, 3], pads=[1, 0, 1, 1],
         grad=(0, 1), **GRAD, expect=weight_gradient, name="strides and padding"),
    case("ConvWeightGrad", real(1, 4, 4, 4), real(1, 6, 2, 3), kernel_shape=[2, 2], dilations=[2, 1], group=2,
         grad=(0, 1), **GRAD, expect=weight_gradient, name="dilations and groups"),
    case("ConvWeightGrad", real(2, 3, 4, 4), real(2, 3, 4, 4), kernel_shape=[3, 3], pads=[1] * 4, group=3, grad=(0, 1),
         **GRAD, expect=weight_gradient, name="depthwise"),
    case("ConvWeightGrad", real(1, 2, 3, 3, 3), real(1, 2, 2, 2, 2), kernel_shape=[2, 2, 2], grad=(0, 1), **GRAD,
         expect=weight_gradient, name="three axes"),
    case("ConvWeightGrad", real(0, 2, 4, 4), real(0, 3, 3, 3), kernel_shape=[2, 2], **GRAD, expect=weight_gradient,
         name="empty batch"),
]  # fmt: skip

POOLS = [
    case("AveragePoolGrad", real(1, 2, 2, 3), spatial_shape=[4, 6], kernel_shape=[2, 2], strides=[2, 2], grad=(0,),
         **GRAD, expect=average_gradient, dtypes=("float64", "float32", "float16")),
    case("AveragePoolGrad", real(1, 2, 5, 4), spatial_shape=[5, 4], kernel_shape=[3, 2], pads=[1, 0, 1, 1], grad=(0,),
         **GRAD, expect=average_gradient, name="padding"),
    case("AveragePoolGrad", real(1, 2, 3, 2), spatial_shape=[5, 4], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
         pads=[1, 0, 1, 0], count_include_pad=1, grad=(0,), **GRAD, expect=average_gradient, name="ceil, with padding"),
    case("AveragePoolGrad", real(1, 2, 1, 2), spatial_shape=[5, 4], kernel_shape=[2, 2], strides=[3, 1],
         dilations=[3, 2], grad=(0,), **GRAD, expect=average_gradient, name="dilations"),
    case("MaxPoolGrad", real(1, 2, 2, 2), INDICES, spatial_shape=[3, 4], grad=(0,), **GRAD, expect=max_gradient,
         dtypes=("float64", "float32", "float16")),
    case("MaxPoolGrad", real(1, 1, 2, 3), ints(1, 1, 2, 3, low=0, high=1) + np.arange(6).reshape(1, 1, 2, 3) * 2,
         spatial_shape=[4, 3], disjoint=1, grad=(0,), **GRAD, expect=max_gradient, name="disjoint"),
]  # fmt: skip

CASES: list[Case] = [*WEIGHTS, *POOLS]
