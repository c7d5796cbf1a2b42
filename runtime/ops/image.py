"""Resizing of images, and of any other tensor, along any of its axes."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import compute_dtype, is_float
from ..errors import InvalidInput
from ._axes import axes_in, bounded, result_shape, shape_from
from ._interpolation import Line, adjoint_table, table
from .registry import GRAD_DOMAIN, op

_DEFAULTS = {
    "mode": "nearest",
    "coordinate_transformation_mode": "half_pixel",
    "nearest_mode": "round_prefer_floor",
    "cubic_coeff_a": -0.75,
    "exclude_outside": 0,
    "antialias": 0,
}
_SIMPLE = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
_POLICIES = {"not_larger": min, "not_smaller": max}


def _values(vector):
    """A host input as a list; None where it is absent or empty."""
    return None if vector is None or vector.size == 0 else vector.reshape(-1).tolist()


def _lines(shape, roi, scales, sizes, axes, policy, crop):
    """{axis: Line} for the axes that change."""
    axes = axes_in(range(len(shape)) if axes is None else axes, len(shape))
    roi, sizes, factors = _values(roi), _values(sizes), _values(scales)
    if (sizes is None) == (factors is None):
        raise InvalidInput("Resize needs either scales or sizes, and not both")
    if any(len(given) != len(axes) for given in (sizes, factors) if given is not None):
        raise InvalidInput(f"Resize needs one number for each of {len(axes)} axes; scales: {factors}, sizes: {sizes}")
    if crop and (roi is None or len(roi) != 2 * len(axes)):
        raise InvalidInput(
            f"tf_crop_and_resize needs a start and an end for each of {len(axes)} axes in roi; found {roi}"
        )
    lengths = [shape[axis] for axis in axes]
    made = _from_scales(lengths, scales) if sizes is None else _from_sizes(lengths, shape_from(sizes), policy)
    if crop:
        made = [line._replace(start=roi[i], end=roi[len(axes) + i]) for i, line in enumerate(made)]
    lines = zip(axes, made, strict=True)
    return {axis: line for axis, line in lines if line != Line(line.size, line.size, line.numerator, line.numerator)}


def _from_scales(lengths, scales):
    """The size of the result is computed in the precision of the scales, as shape inference does."""
    resized = np.floor(np.asarray(lengths, np.float32) * scales.reshape(-1).astype(np.float32))
    if not all(math.isfinite(n) and scale > 0 for n, scale in zip(resized, scales.reshape(-1), strict=True)):
        raise InvalidInput(f"scales must be positive and finite; found {scales.tolist()}")
    return [Line(n, int(r), 1.0, float(s)) for n, r, s in zip(lengths, resized, scales.reshape(-1), strict=True)]


def _from_sizes(lengths, sizes, policy):
    if policy == "stretch":
        return [Line(n, size, float(n), float(size)) for n, size in zip(lengths, sizes, strict=True)]
    if policy not in _POLICIES or 0 in lengths:
        raise InvalidInput(
            f"keep_aspect_ratio_policy {policy!r} for axes of sizes {lengths}: expected one of "
            f"{['stretch', *_POLICIES]}, and no empty axis but with 'stretch'"
        )
    scale = _POLICIES[policy](size / n for n, size in zip(lengths, sizes, strict=True))
    return [Line(n, int(scale * n + 0.5), 1.0, scale) for n in lengths]


def _resize(xp, X, lines, extrapolation_value=0.0, **attributes):
    bounded((lines[axis].resized if axis in lines else size for axis, size in enumerate(X.shape)), X.dtype)
    for line in lines.values():
        bounded([line.resized], np.float64)
    tables = {axis: table(line, **{**_DEFAULTS, **attributes}) for axis, line in lines.items()}
    order = sorted(lines, key=lambda axis: (lines[axis].resized / max(1, lines[axis].size), -axis))
    Y = _apply(xp, X, {axis: tables[axis] for axis in order})
    for axis, made in tables.items():
        if made.outside is not None and made.outside.any():
            outside = xp.asarray(made.outside).reshape(_along(axis, Y.ndim))
            Y = xp.where(outside, xp.asarray(np.asarray(extrapolation_value, Y.dtype)), Y)
    return X.copy() if Y is X else Y


def _apply(xp, X, tables):
    """X with each axis replaced by its table's sums, in the order given."""
    if all(made.weights is None for made in tables.values()):
        for axis, made in tables.items():
            X = xp.take(X, xp.asarray(made.source[0]), axis=axis)
        return X
    dtype = X.dtype
    wide = compute_dtype(dtype) if is_float(dtype) or dtype.itemsize > 2 else np.dtype(np.float32)
    Y = X.astype(np.float64 if wide.kind in "iu" else wide, copy=False)
    for axis, made in tables.items():
        Y = _weighted_sum(xp, Y, axis, made)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        Y = xp.clip(xp.rint(Y), limits.min, limits.max)
    return Y.astype(dtype, copy=False)


def _weighted_sum(xp, X, axis, made):
    if made.weights is None:
        return xp.take(X, xp.asarray(made.source[0]), axis=axis)
    total = None
    for source, weights in zip(made.source, made.weights.astype(X.dtype), strict=True):
        part = xp.take(X, xp.asarray(source), axis=axis)
        if not (weights == 1).all():
            part *= xp.asarray(weights).reshape(_along(axis, X.ndim))
        total = part if total is None else xp.add(total, part, out=total)
    return total


def _along(axis, rank):
    return tuple(-1 if i == axis else 1 for i in range(rank))


@op("Resize", since=10, host=(1,))
def resize_10(xp, X, scales, *, mode="nearest"):
    """X with each axis `scales` times as long; nearest takes the element below, or above where the axis shrinks."""
    lines = _lines(X.shape, None, scales, None, None, "stretch", False)
    return _resize(xp, X, lines, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="outward")


@op("Resize", since=11, host=(1, 2, 3))
def resize_11(
    xp,
    X,
    roi=None,
    scales=None,
    sizes=None,
    *,
    mode="nearest",
    coordinate_transformation_mode="half_pixel",
    nearest_mode="round_prefer_floor",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
):
    """X with each axis `scales` times as long, or of the given sizes, interpolated; an empty input counts as absent."""
    return resize_18(
        xp,
        X,
        roi,
        scales,
        sizes,
        mode=mode,
        coordinate_transformation_mode=coordinate_transformation_mode,
        nearest_mode=nearest_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation_value=extrapolation_value,
    )


@op("Resize", since=18, host=(1, 2, 3))
def resize_18(
    xp,
    X,
    roi=None,
    scales=None,
    sizes=None,
    *,
    mode="nearest",
    coordinate_transformation_mode="half_pixel",
    nearest_mode="round_prefer_floor",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
    antialias=0,
    axes=None,
    keep_aspect_ratio_policy="stretch",
):
    """X with each of `axes` `scales` times as long, or of the given sizes, interpolated."""
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    return _resize(
        xp,
        X,
        _lines(X.shape, roi, scales, sizes, axes, keep_aspect_ratio_policy, crop),
        extrapolation_value,
        mode=mode,
        coordinate_transformation_mode=coordinate_transformation_mode,
        nearest_mode=nearest_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        antialias=antialias,
    )


@resize_18.gradient
def _(g, node, dY):
    """dX = the transposed interpolation of dY"""
    x, *how = node.inputs
    return g.ResizeGrad(dY, g.shape_of(x), *how, **_without_value(node))


def _without_value(node):
    return {name: value for name, value in node.attrs.items() if name != "extrapolation_value"}


@op("ResizeGrad", since=1, domain=GRAD_DOMAIN, host=(1, 2, 3, 4), infer=result_shape)
def resize_grad(
    xp,
    dY,
    shape,
    roi=None,
    scales=None,
    sizes=None,
    *,
    mode="nearest",
    coordinate_transformation_mode="half_pixel",
    nearest_mode="round_prefer_floor",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    antialias=0,
    axes=None,
    keep_aspect_ratio_policy="stretch",
):
    """The gradient of `Resize` with respect to an input of the given shape: its interpolation, transposed."""
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    lines = _lines(tuple(shape.tolist()), roi, scales, sizes, axes, keep_aspect_ratio_policy, crop)
    tables = {}
    for axis in sorted(lines, key=lambda axis: (lines[axis].size / max(1, lines[axis].resized), -axis)):
        tables[axis] = adjoint_table(
            lines[axis],
            mode=mode,
            coordinate_transformation_mode=coordinate_transformation_mode,
            nearest_mode=nearest_mode,
            cubic_coeff_a=cubic_coeff_a,
            exclude_outside=exclude_outside,
            antialias=antialias,
        )
    return _apply(xp, dY, tables) if tables else dY.copy()


@resize_grad.gradient
def _(g, node, ddX):
    """the adjoint: ddY = Resize(ddX), with nothing at extrapolated places"""
    return g.Resize(ddX, *node.inputs[2:], extrapolation_value=0.0, **node.attrs)


@op("Upsample", since=1)
def upsample_1(xp, X, *, height_scale, width_scale, mode="nearest"):
    """Images [N, C, H, W] made higher and wider."""
    if X.ndim != 4:
        raise InvalidInput(f"expected a tensor of shape [N, C, H, W]; found {list(X.shape)}")
    return _upsample(xp, X, np.array([1, 1, height_scale, width_scale], np.float32), mode)


@op("Upsample", since=7)
def upsample_7(xp, X, *, scales, mode="nearest"):
    """X with each axis `scales` times as long."""
    return _upsample(xp, X, np.asarray(scales, np.float32), mode)


@op("Upsample", since=9, host=(1,))
def upsample_9(xp, X, scales, *, mode="nearest"):
    """X with each axis `scales` times as long."""
    return _upsample(xp, X, scales, mode)


def _upsample(xp, X, scales, mode):
    """Versions 1 to 9 call interpolation along any number of axes `bilinear` or `linear`."""
    lines = _lines(X.shape, None, scales, None, None, "stretch", False)
    return _resize(xp, X, lines, mode="linear" if mode == "bilinear" else mode, **_SIMPLE)
