"""Deformable convolution."""

from __future__ import annotations

import numpy as np

from ..table import Array, Case, case, real
from .sampling import axis_weights

NARROW = ("float64", "float32", "float16")


def deformed(X: Array, W: Array, offset: Array, B: Array | None = None, mask: Array | None = None, **how) -> Array:
    """Window by window, tap by tap, channel by channel: each reads all elements, weighed along every axis."""
    rank, kernel, out, groups = X.ndim - 2, W.shape[2:], offset.shape[2:], how.get("offset_group", 1)
    strides, dilations = how.get("strides", [1] * rank), how.get("dilations", [1] * rank)
    pads = how.get("pads", [0] * 2 * rank)
    offset = offset.reshape(len(X), groups, *kernel, rank, *out)
    mask = np.ones((len(X), groups, *kernel, *out)) if mask is None else mask.reshape(len(X), groups, *kernel, *out)
    Y = np.zeros((len(X), len(W), *out))
    outer, inner = len(W) // how.get("group", 1), W.shape[1]
    for n, c, *t in np.ndindex(*X.shape[:2], *kernel):
        moved = (n, c * groups // X.shape[1], *t)
        for o in np.ndindex(*out):
            seen = X[n, c]
            for axis in range(rank):
                place = o[axis] * strides[axis] + t[axis] * dilations[axis] - pads[axis] + offset[(*moved, axis, *o)]
                seen = np.tensordot(axis_weights(np.array(place), X.shape[2 + axis]), seen, 1)
            for m in range(len(W)):
                if m // outer == c // inner:
                    Y[(n, m, *o)] += W[(m, c % inner, *t)] * mask[(*moved, *o)] * seen
    return Y if B is None else Y + B.reshape(-1, *[1] * rank)


CASES: list[Case] = [
    case("DeformConv", real(2, 2, 4, 5), real(3, 2, 2, 2), real(2, 8, 3, 4, low=-1.5, high=1.5), dtypes=("float32",),
         name="the reference"),
    case("DeformConv", real(2, 2, 4, 5), real(3, 2, 2, 2), real(2, 8, 3, 4), expect=deformed, grad=(0, 1, 2),
         dtypes=NARROW),
    case("DeformConv", real(1, 2, 4, 5), real(3, 2, 2, 2), real(1, 8, 3, 4), real(3), real(1, 4, 3, 4),
         expect=deformed, grad=(0, 1, 2, 3, 4), name="bias and mask"),
    case("DeformConv", real(2, 4, 4, 5), real(4, 2, 3, 2), real(2, 24, 2, 5), None, real(2, 12, 2, 5), group=2,
         offset_group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 0, 0, 2], expect=deformed, grad=(0, 1, 2, 4),
         name="groups, spread out"),
    case("DeformConv", real(1, 4, 3, 3), real(2, 2, 2, 2), real(1, 32, 2, 2), real(2), group=2, offset_group=4,
         kernel_shape=[2, 2], expect=deformed, grad=(0, 1, 2, 3), opset=19, name="finer offset groups"),
    case("DeformConv", real(2, 3, 6), real(2, 3, 3), real(2, 3, 4), expect=deformed, grad=(0, 1, 2), name="one axis"),
    case("DeformConv", real(1, 1, 3, 2, 3), real(2, 1, 2, 2, 2), real(1, 24, 2, 1, 2), expect=deformed, grad=(0, 1, 2),
         name="three axes"),
    case("DeformConv", real(0, 2, 3, 3), real(3, 2, 2, 2), real(0, 8, 2, 2),
         expect=lambda *_, **a: np.zeros((0, 3, 2, 2)), name="empty batch"),
]  # fmt: skip
