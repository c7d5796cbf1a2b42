"""Pooling over regions of interest."""

from __future__ import annotations

import itertools

import numpy as np
from onnx.reference.ops.op_roi_align import RoiAlign as ReferenceRoiAlign

from ..table import Array, Case, case, real

NARROW = ("float64", "float32", "float16")
PICTURES = [1, 0, 0, 1]
ROIS = np.array([[1.1, 0.6, 5.3, 3.9], [-2.0, 1.2, 2.7, 8.1], [4.1, 4.3, 4.15, 4.4], [20.0, 20.0, 27.0, 24.0]])
"""Inside the picture, across its border, smaller than an element, and far out."""
NARROW_ROIS = np.array([[3.2, 0.4, 1.1, 2.9], [2.3, 2.4, 2.3, 2.4], [0.2, 0.3, 2.9, 2.8], [0.1, 0.1, 5.7, 4.3]])
"""The first two have no area."""


def _once(X: Array, rois: Array, pictures: Array | None = None, **how) -> Array:
    """The reference of version 16."""
    pictures = np.zeros(len(rois), np.int64) if pictures is None else pictures
    return ReferenceRoiAlign.eval(X, rois, pictures, n_outputs=None, **how)


def largest(X: Array, rois: Array, *, pooled_shape, spatial_scale=1.0) -> Array:
    """Bin by bin; halves are rounded away from zero."""
    Y = np.zeros((len(rois), X.shape[1], *pooled_shape))
    for r, (batch, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (int(np.sign(c) * np.floor(abs(c * spatial_scale) + 0.5)) for c in corners)
        for i, j in np.ndindex(*pooled_shape):
            rows = _bin(i, pooled_shape[0], y1, y2, X.shape[2])
            columns = _bin(j, pooled_shape[1], x1, x2, X.shape[3])
            seen = X[int(batch), :, rows, columns]
            if seen.size:
                Y[r, :, i, j] = seen.max((1, 2))
    return Y


def _bin(number: int, bins: int, begin: int, end: int, size: int) -> slice:
    extent = max(end - begin + 1, 1)
    first, behind = begin + number * extent // bins, begin - (-(number + 1) * extent // bins)
    return slice(min(max(first, 0), size), min(max(behind, 0), size))


def numbered(rois: Array) -> Array:
    """The RoIs with the numbers of their pictures in front."""
    return np.concatenate([np.array(PICTURES, float)[:, None], rois], 1)


ALIGNED = [
    case("RoiAlign", real(2, 3, 6, 7), ROIS, PICTURES, output_height=2, output_width=3, dtypes=NARROW),
    *(
        case("RoiAlign", real(2, 3, 6, 7), ROIS, PICTURES, mode=mode, sampling_ratio=ratio, output_height=2,
             output_width=3, coordinate_transformation_mode=where, spatial_scale=0.5, name=f"{mode} {ratio} {where}")
        for mode, ratio, where in itertools.product(("avg", "max"), (0, 1, 3), ("half_pixel", "output_half_pixel"))
    ),
    *(
        case("RoiAlign", real(2, 3, 6, 7), NARROW_ROIS, PICTURES, mode=mode, output_height=2, output_width=2,
             name=f"{mode}, without area")
        for mode in ("avg", "max")
    ),
    case("RoiAlign", real(1, 2, 1, 1), ROIS[:2], [0, 0], sampling_ratio=2, name="one element"),
    case("RoiAlign", real(1, 600, 3, 3), np.tile(ROIS[:1] / 2, (60, 1)), [0] * 60, output_height=7, output_width=7,
         sampling_ratio=2, expect=lambda X, rois, pictures, **how: np.tile(_once(X, rois[:1], **how), (60, 1, 1, 1)),
         name="more than a cache holds"),
    case("RoiAlign", real(2, 3, 6, 7), real(0, 4), np.zeros(0, np.int64), output_width=3,
         expect=lambda *_, **a: np.zeros((0, 3, 1, 3)), name="none"),
    # Version 10 knows no half pixels, but its reference is that of version 16.
    *(
        case("RoiAlign", real(2, 3, 6, 7), ROIS, PICTURES, opset=10, mode=mode, output_height=2, output_width=3,
             expect=lambda *given, **how: _once(*given, coordinate_transformation_mode="output_half_pixel", **how),
             name=mode)
        for mode in ("avg", "max")
    ),
]  # fmt: skip

LARGEST = [
    case("MaxRoiPool", real(2, 3, 6, 7), numbered(ROIS), pooled_shape=[2, 3], expect=largest, dtypes=NARROW, opset=1),
    case("MaxRoiPool", real(2, 3, 16, 17), numbered(ROIS), pooled_shape=[1, 1], spatial_scale=2.0, expect=largest,
         name="large bins"),
    case("MaxRoiPool", real(2, 3, 6, 7), numbered(NARROW_ROIS), pooled_shape=[3, 4], spatial_scale=0.5, expect=largest,
         opset=22, name="small bins"),
    case("MaxRoiPool", real(2, 3, 6, 7), np.array([[1, 0.5, -0.5, 2.5, 1.5]]), pooled_shape=[1, 1], expect=largest,
         name="halves"),
    case("MaxRoiPool", -2 - real(2, 3, 6, 7), numbered(ROIS * 10), pooled_shape=[2, 2], expect=largest,
         name="nothing but negative, far out"),
    case("MaxRoiPool", real(2, 3, 6, 7), real(0, 5), pooled_shape=[2, 2], expect=largest, name="none"),
]  # fmt: skip

CASES: list[Case] = [*ALIGNED, *LARGEST]
