"""Pictures sampled at the places of a grid, and put together from columns of windows."""

from __future__ import annotations

from math import prod

import numpy as np

from ..dtypes import compute_dtype, is_float
from ..errors import InvalidInput
from ..inference import value_type
from ._axes import bounded, result_shape
from ._sampling import (
    KERNELS,
    PADDINGS,
    axis_taps,
    check_inhabited,
    corners,
    degree,
    from_rows,
    gather,
    rows_of,
    spread,
)
from ._windows import columns, fold, widened, windows
from .registry import GRAD_DOMAIN, op

# ---- GridSample

_OLD_MODES = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}


def _check_grid(x, grid, mode, padding_mode):
    """The shape of the result of sampling a tensor of shape `x`."""
    if mode not in KERNELS or padding_mode not in PADDINGS:
        raise InvalidInput(
            f"mode is {mode!r} and padding_mode {padding_mode!r}; expected one of {sorted(KERNELS)} and of "
            f"{sorted(PADDINGS)}"
        )
    rank = len(x) - 2
    if rank < 1 or grid.ndim != rank + 2 or grid.shape[-1] != rank or grid.shape[0] != x[0]:
        raise InvalidInput(
            f"X has shape {list(x)} and grid {list(grid.shape)}; expected [N, C, *spatial] and "
            f"[N, *places, number of spatial axes] with as many axes"
        )
    return (*x[:2], *grid.shape[1:-1])


def _read(xp, grid, spatial, dtype, mode, padding_mode, align_corners, orders=None):
    """The corners that the places of the grid read; `orders` says how often to differentiate along each axis."""
    rank = len(spatial)
    orders = orders or (0,) * rank
    if len(orders) != rank or min(orders) < 0:
        raise InvalidInput(f"orders are {list(orders)}; expected {rank} numbers, none of them negative")
    if is_float(dtype):
        dtype = np.promote_types(compute_dtype(dtype), compute_dtype(grid.dtype))
    else:
        dtype = compute_dtype(grid.dtype)
    taps = []
    for axis, size in enumerate(spatial):
        g = grid[..., rank - 1 - axis].astype(dtype).reshape(grid.shape[0], prod(grid.shape[1:-1])) + 1
        place = g / 2 * (size - 1) if align_corners else (g * size - 1) / 2
        scale = (size - 1 if align_corners else size) / 2
        taps.append(axis_taps(xp, place, size, mode, padding_mode, align_corners, orders[axis], scale))
    return corners(xp, taps, spatial)


def _sampled(xp, X, grid, mode, padding_mode, align_corners, orders=None):
    shape = bounded(_check_grid(X.shape, grid, mode, padding_mode), X.dtype)
    if 0 in shape:
        return xp.zeros(shape, X.dtype)
    check_inhabited(X)
    wide = _working_dtype(X.dtype, mode)
    rows = rows_of(xp, X.astype(wide, copy=False))
    read = _read(xp, grid, X.shape[2:], wide, mode, padding_mode, align_corners, orders)
    Y = from_rows(xp, gather(xp, rows, read), shape)
    return _rounded(xp, Y, X.dtype) if X.dtype.kind in "iu" else Y.astype(X.dtype, copy=False)


def _working_dtype(dtype, mode):
    """The dtype to interpolate in; nothing but numbers can be interpolated, and nearest elements need not be."""
    if mode == "nearest":
        return dtype
    if dtype.kind in "OUTb":
        raise InvalidInput(f"mode {mode!r} cannot interpolate between values of type {dtype}; expected 'nearest'")
    return np.dtype(np.float64) if dtype.kind in "iu" else compute_dtype(dtype)


def _rounded(xp, Y, dtype):
    """Y as integers; the largest that float64 holds is a little less than the largest of 64 bits."""
    if Y.dtype == dtype:
        return Y
    limits = np.iinfo(dtype)
    top = limits.max if dtype.itemsize < 8 else float(np.nextafter(float(limits.max), 0))
    return xp.clip(xp.rint(Y), limits.min, top).astype(dtype)


@op("GridSample", since=16, differentiable=False)
def grid_sample_16(xp, X, grid, *, align_corners=0, mode="bilinear", padding_mode="zeros"):
    """As GridSample-20, for images [N, C, H, W] and with the modes of images."""
    if X.ndim != 4 or mode not in _OLD_MODES:
        raise InvalidInput(
            f"X has shape {list(X.shape)} and mode is {mode!r}; expected [N, C, H, W] and one of {sorted(_OLD_MODES)}"
        )
    return _sampled(xp, X, grid, _OLD_MODES[mode], padding_mode, align_corners)


@op("GridSample", since=20)
def grid_sample(xp, X, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    """X interpolated at the places of the grid, whose coordinates name the last axis first.

    X [N, C, *spatial], grid [N, *places, axes] → Y [N, C, *places]. From -1 to 1 the grid spans the centres of the
    outermost elements (align_corners) or their outer edges. Integers are rounded to the nearest. A coordinate that is
    NaN lies outside.
    """
    return _sampled(xp, X, grid, mode, padding_mode, align_corners)


@grid_sample.gradient
def _(g, node, dY):
    """dX = the transposed interpolation of dY; dgrid[n, l, i] = Σ_c dY[n, c, l] · ∂Y[n, c, l]/∂grid[n, l, i]"""
    return sample_gradients(g, *node.inputs, dY, (0,) * (len(node.shape(0)) - 2), node.attrs)


@op("GridSampleDerivative", since=1, domain=GRAD_DOMAIN, infer=lambda node: _sample_type(node))
def grid_sample_derivative(xp, X, grid, *, orders, align_corners=0, mode="linear", padding_mode="zeros"):
    """The derivative of GridSample by the grid's coordinate of each spatial axis, as often as `orders` says."""
    return _sampled(xp, X, grid, mode, padding_mode, align_corners, orders)


@grid_sample_derivative.gradient
def _(g, node, dY):
    """as of GridSample, one order further by the grid"""
    attrs = dict(node.attrs)
    return sample_gradients(g, *node.inputs, dY, attrs.pop("orders"), attrs)


@op("GridSampleGrad", since=1, domain=GRAD_DOMAIN, host=(1,), infer=result_shape)
def grid_sample_grad(xp, dY, shape, grid, *, orders, align_corners=0, mode="linear", padding_mode="zeros"):
    """The adjoint of GridSampleDerivative for an X of the given shape: dX[index] += weight · dY of all reads."""
    shape = bounded(shape.tolist(), dY.dtype)
    if dY.shape != _check_grid(shape, grid, mode, padding_mode):
        raise InvalidInput(f"dY has shape {list(dY.shape)}, which is not what X {list(shape)} and grid give")
    if dY.size == 0 or 0 in shape:
        return xp.zeros(shape, dY.dtype)
    (wide,) = widened(dY)
    read = _read(xp, grid, shape[2:], wide.dtype, mode, padding_mode, align_corners, orders)
    rows = spread(xp, rows_of(xp, wide), read, shape[0] * prod(shape[2:]))
    return from_rows(xp, rows, shape).astype(dY.dtype, copy=False)


@grid_sample_grad.gradient
def _(g, node, ddX):
    """d(dY) = the interpolation of ddX; dgrid as of the interpolation of ddX by dY"""
    dY, _, grid = node.inputs
    attrs = dict(node.attrs)
    orders = attrs.pop("orders")
    return _sample(g, ddX, grid, orders, attrs), None, _towards_grid(g, ddX, grid, dY, orders, attrs)


def _sample(g, X, grid, orders, how):
    return g.GridSampleDerivative(X, grid, orders=orders, **how) if any(orders) else g.GridSample(X, grid, **how)


def sample_gradients(g, X, grid, dY, orders, how):
    """The gradients of GridSample, or of its derivative of these orders, by X and by the grid."""
    dX = g.GridSampleGrad(dY, g.shape_of(X), grid, orders=orders, **how)
    return dX, _towards_grid(g, X, grid, dY, orders, how)


def _towards_grid(g, X, grid, dY, orders, how):
    """The gradient by the grid, coordinate by coordinate, the last axis first; None where all of it is zero."""
    rank = len(orders)
    if max(orders) == degree(how["mode"]) and min(orders) == max(orders):
        return None
    parts = []
    for axis in reversed(range(rank)):
        further = tuple(order + (i == axis) for i, order in enumerate(orders))
        parts.append(g.Unsqueeze(g.ReduceSum(g.Mul(dY, _sample(g, X, grid, further, how)), [1], keepdims=0), [-1]))
    found = g.Concat(*parts, axis=-1)
    return found if found.dtype == grid.dtype else g.Cast(found, to=grid.dtype.value)


def _sample_type(node):
    (dtype, x), (_, grid) = value_type(node.inputs[0]), value_type(node.inputs[1])
    return [(dtype, None if x is None or grid is None else (*x[:2], *grid[1:-1]))]


# ---- AffineGrid


def _positions(xp, sizes, align_corners, dtype):
    """Where the elements of a picture lie, last axis first, each with a 1 behind it: [positions, r + 1]."""
    along = []
    for axis, size in enumerate(sizes):
        from_middle = 2 * np.arange(size, dtype=np.float64) - (size - 1)
        line = from_middle / max(1, size - 1 if align_corners else size)
        along.append(line.reshape([-1 if i == axis else 1 for i in range(len(sizes))]))
    homogeneous = np.empty((*sizes, len(sizes) + 1), dtype)
    for place, line in enumerate([*reversed(along), 1.0]):
        homogeneous[..., place] = line
    return xp.asarray(homogeneous.reshape(prod(sizes), len(sizes) + 1))


@op("AffineGrid", since=20, host=(1,))
def affine_grid(xp, theta, size, *, align_corners=0):
    """grid[n, p] = theta[n] · (position p, 1): the places to sample for affine maps of a picture of the given size.

    theta [N, r, r + 1], size (N, C, *spatial) with r = 2 or 3 → grid [N, *spatial, r]. A single element lies at 0.
    """
    shape = _numbers(size, "size")
    rank = len(shape) - 2
    if rank not in (2, 3) or theta.shape != (shape[0], rank, rank + 1):
        raise InvalidInput(
            f"theta has shape {list(theta.shape)} and size is {list(shape)}; expected [N, 2, 3] and (N, C, H, W), or "
            f"[N, 3, 4] and (N, C, D, H, W)"
        )
    result = bounded((shape[0], *shape[2:], rank), theta.dtype)
    if 0 in result:
        return xp.zeros(result, theta.dtype)
    bounded((*shape[2:], rank + 1), np.float64)
    (wide,) = widened(theta)
    positions = _positions(xp, shape[2:], align_corners, wide.dtype)
    return xp.matmul(positions, wide.swapaxes(1, 2)).reshape(result).astype(theta.dtype, copy=False)


@affine_grid.gradient
def _(g, node, dY):
    """dtheta[n] = Σ_p dY[n, p] · (position p, 1)ᵀ"""
    theta, size = node.inputs
    (rank,) = node.static_shape(0, slice(1, 2))
    still = g.like(np.eye(rank, rank + 1)[None], theta)
    one = g.Concat([1], g.Slice(size, [1], [rank + 2]), axis=0)
    positions = g.Reshape(g.AffineGrid(still, one, **node.attrs), [-1, rank])
    rows = g.Reshape(dY, [0, -1, rank])
    linear = g.MatMul(g.Transpose(rows, perm=[0, 2, 1]), positions)
    return g.Concat(linear, g.Unsqueeze(g.ReduceSum(rows, [1], keepdims=0), [-1]), axis=-1), None


# ---- Col2Im


def _numbers(vector, name):
    if vector.ndim != 1 or vector.size == 0:
        raise InvalidInput(f"{name} has shape {list(vector.shape)}; expected a vector with a number for each axis")
    return tuple(vector.tolist())


@op("Col2Im", since=18, host=(1, 2))
def col2im(xp, input, image_shape, block_shape, *, dilations=None, pads=None, strides=None):
    """Adds the columns of windows up where the windows lie: Y[n, c, o·stride + t·dilation - pad] += X[n, (c, t), o].

    X [N, C · block, L] → Y [N, C, *image_shape]; blocks are counted in row-major order. Narrow floats are added up in
    float32.
    """
    image, block = _numbers(image_shape, "image_shape"), _numbers(block_shape, "block_shape")
    if len(image) != len(block) or min(block) < 1 or input.ndim != 3 or input.shape[1] % prod(block):
        raise InvalidInput(
            f"input has shape {list(input.shape)}, image_shape is {list(image)} and block_shape {list(block)}; "
            f"expected [N, C · block, L] and as many axes in both shapes"
        )
    if input.dtype.kind in "OUT":
        raise InvalidInput("Col2Im cannot add text up; expected numbers")
    shape = bounded((input.shape[0], input.shape[1] // prod(block), *image), input.dtype)
    w = windows(image, block, strides, dilations, pads)
    if input.shape[2] != prod(w.out):
        raise InvalidInput(
            f"input has shape {list(input.shape)}; expected {prod(w.out)} columns, for {list(w.out)} blocks"
        )
    if 0 in shape:
        return xp.zeros(shape, input.dtype)
    (wide,) = widened(input)
    Y = fold(xp, wide.reshape(*shape[:2], *w.kernel, *w.out), w)
    return Y.astype(input.dtype, copy=False)


@col2im.gradient
def _(g, node, dY):
    """dX = the columns of dY"""
    return g.Im2Col(dY, node.inputs[2], **node.attrs), None, None


@op("Im2Col", since=1, domain=GRAD_DOMAIN, host=(1,), infer=lambda node: [(node.inputs[0].dtype, None)])
def im2col(xp, X, block_shape, *, dilations=None, pads=None, strides=None):
    """The adjoint of Col2Im: what each window sees, zeros outside X; [N, C, *spatial] gives [N, C · block, L]."""
    block = _numbers(block_shape, "block_shape")
    if X.ndim != len(block) + 2:
        raise InvalidInput(f"X has shape {list(X.shape)}; expected [N, C, *spatial] for block_shape {list(block)}")
    w = windows(X.shape[2:], block, strides, dilations, pads)
    shape = bounded((X.shape[0], X.shape[1] * prod(block), prod(w.out)), X.dtype)
    return columns(xp, X, w).reshape(shape) if 0 not in shape else xp.zeros(shape, X.dtype)


@im2col.gradient
def _(g, node, dY):
    """dX = the columns added up where they came from"""
    X, block = node.inputs
    return g.Col2Im(dY, g.Shape(X, start=2), block, **node.attrs), None
