"""Convolution whose windows are deformed: every tap of every window reads at a place of its own."""

from __future__ import annotations

from math import prod

import numpy as np

from ..errors import InvalidInput
from ._axes import bounded
from ._sampling import axis_taps, corners, gather, rows_of
from ._windows import result_array, widened, windows
from .convolution import channels_of, chunks
from .registry import op
from .sampling import sample_gradients


def _tap_places(w):
    """Where the taps of the windows lie before they are moved, axis by axis: [prod(kernel), prod(out)] each."""
    made = []
    for axis in range(w.rank):
        t = np.arange(w.kernel[axis]) * w.dilations[axis] - w.begin[axis]
        o = np.arange(w.out[axis]) * w.strides[axis]
        place = t.reshape(_along(axis, w.rank) + (1,) * w.rank) + o.reshape(_along(axis, w.rank))
        made.append(np.broadcast_to(place, (*w.kernel, *w.out)).reshape(prod(w.kernel), prod(w.out)))
    return made


def _along(axis, rank):
    return tuple(-1 if i == axis else 1 for i in range(rank))


def _check_offsets(X, offset, mask, offset_group, w):
    if offset_group < 1 or X.shape[1] % offset_group:
        raise InvalidInput(
            f"X of shape {list(X.shape)} has {X.shape[1]} channels; expected a multiple of offset_group={offset_group}"
        )
    taps = offset_group * prod(w.kernel)
    for name, found, count in (("offset", offset, taps * w.rank), ("mask", mask, taps)):
        if found is not None and found.shape != (X.shape[0], count, *w.out):
            raise InvalidInput(
                f"{name} has shape {list(found.shape)}; expected {[X.shape[0], count, *w.out]} for kernel "
                f"{list(w.kernel)} and offset_group={offset_group}"
            )


@op("DeformConv", since=19)
def deform_conv(
    xp,
    X,
    W,
    offset,
    B=None,
    mask=None,
    *,
    dilations=None,
    group=1,
    kernel_shape=None,
    offset_group=1,
    pads=None,
    strides=None,
):
    """Y[n, m, o] = B[m] + Σ_{c, t} W[m, c, t] · mask[n, t, o] · X[n, c, o·stride + t·dilation - pad + offset[n, t, o]].

    X is interpolated linearly, with zeros outside. X [N, C, *spatial], W [M, C/group, *kernel], offset [N,
    offset_group · taps · axes, *out], B [M], mask [N, offset_group · taps, *out] → Y [N, M, *out]; the channels of one
    offset group share offsets and mask. J. Dai et al., Deformable Convolutional Networks, 2017; with a mask, X. Zhu et
    al., Deformable ConvNets v2, 2018. Narrow floats are computed in float32.

    Raises:
        InvalidGraph: if channels, groups, kernel and input do not fit.
        InvalidInput: if offset or mask do not fit them.
    """
    channels = channels_of(X.shape, W.shape, None if B is None else B.shape, group, kernel_shape, transposed=False)
    w = windows(X.shape[2:], W.shape[2:], strides, dilations, pads)
    _check_offsets(X, offset, mask, offset_group, w)
    dtype, taps, places = X.dtype, prod(w.kernel), prod(w.out)
    bounded((max(1, X.shape[1]), taps, places), np.float64)
    X, W, offset, B, mask = widened(X, W, offset, B, mask)
    Y = result_array(xp, None, bounded((X.shape[0], channels, *w.out), X.dtype), X.dtype)
    weights = W.reshape(group, channels // group, prod(W.shape[1:]))
    products = Y.reshape(X.shape[0], group, channels // group, places)
    moves = offset.reshape(X.shape[0], offset_group, taps, w.rank, places)
    still = [xp.asarray(place.astype(X.dtype)) for place in _tap_places(w)]
    for images in chunks(xp, X, w):
        cols = _columns(xp, X[images], moves[images], still, w)
        if mask is not None:
            cols *= mask[images].reshape(len(cols), offset_group, 1, taps, places)
        xp.matmul(weights, cols.reshape(len(cols), group, weights.shape[2], places), out=products[images])
    if B is not None:
        Y += B.reshape(-1, *(1,) * w.rank)
    return Y.astype(dtype, copy=False)


def _columns(xp, X, moves, still, w):
    """What the moved taps read: X [N, C, *spatial] gives [N, offset groups, C / offset groups, taps, places]."""
    count, groups, taps, _, places = moves.shape
    per_group = X.shape[1] // groups
    if 0 in X.shape:
        return xp.zeros((count, groups, per_group, taps, places), X.dtype)
    read = [
        axis_taps(xp, (moves[:, :, :, axis] + still[axis]).reshape(count * groups, taps * places), size, "linear")
        for axis, size in enumerate(w.spatial)
    ]
    rows = rows_of(xp, X.reshape(count * groups, per_group, *w.spatial))
    seen = gather(xp, rows, corners(xp, read, w.spatial)).reshape(count, groups, taps, places, per_group)
    return xp.ascontiguousarray(xp.moveaxis(seen, 4, 2))


@deform_conv.gradient
def _(g, node, dY):
    """With S[n, c, t, o] what the taps read, which is GridSample of X at places that `offset` moves:

    d(mask·S) = Wᵀ·dY; dW = dY·(mask·S)ᵀ; dmask = Σ_c S·d(mask·S); dX and doffset as of GridSample; dB = Σ dY
    """
    X, W, offset, B, mask = node.inputs
    a = node.attrs
    group, groups, (channels, *spatial) = a["group"], a["offset_group"], node.static_shape(0, slice(1, None))
    w = windows(spatial, node.static_shape(1, slice(2, None)), a["strides"], a["dilations"], a["pads"])
    taps, places, per_group = prod(w.kernel), prod(w.out), channels // groups
    pictures, grid, scale = _as_grid(g, X, offset, w, per_group)
    S = g.Reshape(g.GridSample(pictures, grid), [-1, per_group, taps, places])
    factor = None if mask is None else g.Reshape(mask, [-1, 1, taps, places])
    inner = channels // group * taps
    cols = g.Reshape(S if factor is None else g.Mul(S, factor), [-1, group, inner, places])
    dy = g.Reshape(dY, [-1, group, node.static_shape(1, slice(1))[0] // group, places])
    weights = g.Reshape(W, [group, -1, inner])
    dW = g.ReduceSum(g.MatMul(dy, g.Transpose(cols, perm=[0, 1, 3, 2])), [0], keepdims=0)
    dcols = g.Reshape(g.MatMul(g.Transpose(weights, perm=[0, 2, 1]), dy), [-1, per_group, taps, places])
    dmask = None
    if factor is not None:
        dmask = g.Reshape(g.ReduceSum(g.Mul(dcols, S), [1], keepdims=0), [-1, groups * taps, *w.out])
        dcols = g.Mul(dcols, factor)
    dS = g.Reshape(dcols, [-1, per_group, *_grid_places(w)])
    dpictures, dgrid = sample_gradients(g, pictures, grid, dS, (0,) * w.rank, {"mode": "linear"})
    moved = g.Reshape(g.Mul(dgrid, scale), [-1, taps, places, w.rank])
    doffset = g.Reshape(g.Transpose(_reversed(g, moved), perm=[0, 1, 3, 2]), [-1, groups * taps * w.rank, *w.out])
    dB = None if B is None else g.ReduceSum(dY, [0, *range(2, w.rank + 2)], keepdims=0)
    return g.Reshape(dpictures, [-1, channels, *spatial]), g.Reshape(dW, g.shape_of(W)), doffset, dB, dmask


def _grid_places(w):
    """The places of all taps of all windows as the spatial shape of a result of GridSample."""
    taps, places = prod(w.kernel), prod(w.out)
    return [taps * places] if w.rank == 1 else [taps, places, *(1,) * (w.rank - 2)]


def _as_grid(g, X, offset, w, per_group):
    """X as pictures of one offset group each, the grid of where the moved taps lie, and d(grid)/d(offset)."""
    taps, places = prod(w.kernel), prod(w.out)
    sizes = np.asarray(w.spatial[::-1])
    dtype = offset.dtype.numpy()
    still = (2 * np.stack(_tap_places(w)[::-1], -1) + 1) / sizes - 1
    scale = (2 / sizes).astype(dtype)
    moves = g.Transpose(g.Reshape(offset, [-1, taps, w.rank, places]), perm=[0, 1, 3, 2])
    grid = g.Add(g.Mul(_reversed(g, moves), scale), still.astype(dtype))
    return g.Reshape(X, [-1, per_group, *w.spatial]), g.Reshape(grid, [-1, *_grid_places(w), w.rank]), scale


def _reversed(g, x):
    """The last axis, the coordinates, in the opposite order."""
    return g.Slice(x, [-1], [np.iinfo(np.int64).min], [-1], [-1])
