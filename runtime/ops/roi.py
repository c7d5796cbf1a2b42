"""Pooling over regions of interest (RoIs): boxes in pictures, each cut into bins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..dtypes import compute_dtype
from ..errors import InvalidInput
from ._axes import bounded
from ._sampling import check_inhabited, rows_of
from ._scatter import combine_by_pairs
from ._windows import widened
from .convolution import DEVICE_COLUMNS, HOST_COLUMNS
from .registry import op

# ---- RoiAlign


@dataclass(frozen=True)
class _Samples:
    """Along one axis, for all RoIs one behind the other: the two elements each sample reads, and with what weights.

    The samples of RoI r are those from `start[r]` on, `grid[r]` in each bin.
    """

    start: np.ndarray
    grid: np.ndarray
    index: tuple[np.ndarray, np.ndarray]
    weight: tuple[np.ndarray, np.ndarray]


def _grid(extent, bins, sampling_ratio):
    """How many samples each bin takes along an axis; a bin without extent takes none."""
    if sampling_ratio > 0:
        return np.full(extent.shape, sampling_ratio, np.int64)
    return np.clip(np.ceil(extent / bins), 0, 2.0**62).astype(np.int64)


def _samples(begin, extent, bins, grid, size):
    """Evenly spaced samples in each bin; more than 1 outside the picture they weigh nothing, else they are moved in."""
    each = bins * grid
    start = np.cumsum(each) - each
    roi = np.repeat(np.arange(len(each)), each)
    bin_number, number = np.divmod(np.arange(len(roi)) - start[roi], grid[roi])
    width = (extent / bins)[roi]
    place = begin[roi] + bin_number.astype(width.dtype) * width
    place += (number.astype(width.dtype) + np.asarray(0.5, width.dtype)) * width / grid[roi].astype(width.dtype)
    seen = (place >= -1) & (place <= size)
    place = np.clip(place, 0, size - 1)
    low = np.minimum(np.floor(place).astype(np.int64), size - 1)
    beyond = place - low.astype(place.dtype)
    return _Samples(start, grid, (low, np.minimum(low + 1, size - 1)), (seen * (1 - beyond), seen * beyond))


def _roi_align(xp, X, rois, batch_indices, mode, height, width, sampling_ratio, spatial_scale, half_pixel):
    _check_rois(X, rois, 4)
    if batch_indices.shape != rois.shape[:1] or mode not in ("avg", "max"):
        raise InvalidInput(
            f"batch_indices has shape {list(batch_indices.shape)} and mode is {mode!r}; expected one index for each of "
            f"{len(rois)} RoIs, and 'avg' or 'max'"
        )
    if min(height, width) < 1 or sampling_ratio < 0:
        raise InvalidInput(
            f"the output is {height} x {width} and sampling_ratio {sampling_ratio}; expected positive sizes, and a "
            f"ratio that is not negative"
        )
    batch = _in_batch(batch_indices, X)
    shape = bounded((len(rois), X.shape[1], height, width), X.dtype)
    boxes = rois.astype(compute_dtype(rois.dtype))
    boxes = boxes * boxes.dtype.type(spatial_scale) - boxes.dtype.type(0.5 if half_pixel else 0)
    _check_finite(boxes)
    begins, extents = (boxes[:, 1], boxes[:, 0]), (boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0])
    if not half_pixel:
        extents = tuple(np.maximum(extent, 1) for extent in extents)
    grids = [_grid(extent, bins, sampling_ratio) for extent, bins in zip(extents, (height, width), strict=True)]
    # All samples together must be of a size that a value may have, in exact numbers, before any of them is made.
    most = sum(int(a) * int(b) for a, b in zip(*grids, strict=True)) * height * width
    bounded((most, max(8, X.shape[1])), np.float64)
    if 0 in shape:
        return xp.zeros(shape, X.dtype)
    check_inhabited(X)
    y, x = (_samples(*of_axis) for of_axis in zip(begins, extents, (height, width), grids, X.shape[2:], strict=True))
    (wide,) = widened(X)
    rows = rows_of(xp, wide)
    counts = np.repeat(y.grid * x.grid, height * width)
    Y = xp.empty((len(counts), X.shape[1]), rows.dtype)
    for first, last in _chunks(xp, counts, X.shape[1] * rows.itemsize):
        corners = _bilinear(np.arange(first, last), counts[first:last], y, x, (height, width), batch, X.shape)
        _pool(xp, rows, corners, counts[first:last], mode, Y[first:last])
    Y = Y.reshape(len(rois), height, width, X.shape[1])
    return xp.ascontiguousarray(xp.moveaxis(Y, 3, 1)).astype(X.dtype, copy=False)


def _chunks(xp, counts, nbytes):
    """Ranges of bins whose samples, each of this many bytes, fit into the cache; at least one bin each."""
    most = (HOST_COLUMNS if xp is np else DEVICE_COLUMNS) // nbytes
    ends, first = np.cumsum(counts), 0
    while first < len(counts):
        before = ends[first] - counts[first]
        last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield first, last
        first = last


def _bilinear(bins, counts, y, x, pooled, batch, shape):
    """(row, weight) of the four elements around each sample of the given bins, bin by bin."""
    bin_number = np.repeat(bins, counts)
    number = np.arange(len(bin_number)) - np.repeat(np.cumsum(counts) - counts, counts)
    roi, bin_number = np.divmod(bin_number, pooled[0] * pooled[1])
    at = np.divmod(bin_number, pooled[1])
    within = np.divmod(number, x.grid[roi])
    row, column = (s.start[roi] + a * s.grid[roi] + i for s, a, i in zip((y, x), at, within, strict=True))
    for i, j in product((0, 1), (0, 1)):
        place = (batch[roi] * shape[2] + y.index[i][row]) * shape[3] + x.index[j][column]
        yield place, y.weight[i][row] * x.weight[j][column]


def _pool(xp, rows, corners, counts, mode, out):
    """The mean over the samples of each bin, or the largest of all their weighed elements; 0 in a bin without any."""
    samples = None
    combine = xp.add if mode == "avg" else xp.maximum
    for index, weight in corners:
        part = xp.take(rows, xp.asarray(index), axis=0) * xp.asarray(weight.astype(rows.dtype))[:, None]
        samples = part if samples is None else combine(samples, part, out=samples)
    most = int(counts.max(initial=0))
    if most and (counts == most).all():
        samples = samples.reshape(len(counts), most, rows.shape[1])
        out[...] = samples.sum(axis=1) if mode == "avg" else samples.max(axis=1)
    else:
        bins = xp.asarray(np.repeat(np.arange(len(counts)), counts))
        out[...] = 0 if mode == "avg" else xp.asarray(np.where(counts > 0, -np.inf, 0).astype(rows.dtype))[:, None]
        if bins.size:
            combine_by_pairs(xp, out, bins, samples, combine)
    if mode == "avg":
        out /= xp.asarray(np.maximum(counts, 1).astype(rows.dtype))[:, None]


@op("RoiAlign", since=10, host=(1, 2), differentiable=False)
def roi_align_10(
    xp, X, rois, batch_indices, *, mode="avg", output_height=1, output_width=1, sampling_ratio=0, spatial_scale=1.0
):
    """As RoiAlign-16 with output_half_pixel."""
    return _roi_align(
        xp, X, rois, batch_indices, mode, output_height, output_width, sampling_ratio, spatial_scale, False
    )


@op("RoiAlign", since=16, host=(1, 2), differentiable=False)
def roi_align_16(
    xp,
    X,
    rois,
    batch_indices,
    *,
    coordinate_transformation_mode="half_pixel",
    mode="avg",
    output_height=1,
    output_width=1,
    sampling_ratio=0,
    spatial_scale=1.0,
):
    """The mean over sampling_ratio² samples in each bin of each RoI, bilinearly interpolated; or a maximum.

    X [N, C, H, W], rois [R, 4] as (x1, y1, x2, y2) with their pictures' numbers [R] → Y [R, C, output_height,
    output_width]. A ratio of 0 takes a sample for each element that a bin spans along an axis. `max` is the largest
    among the four elements around each sample times their weights. With output_half_pixel element i lies at i instead
    of i + 0.5, and no RoI is smaller than one element.

    Raises:
        InvalidInput: for a RoI that is not finite or belongs to no picture of the batch.
    """
    if coordinate_transformation_mode not in ("half_pixel", "output_half_pixel"):
        raise InvalidInput(
            f"coordinate_transformation_mode {coordinate_transformation_mode!r} is unknown; expected half_pixel or "
            f"output_half_pixel"
        )
    half_pixel = coordinate_transformation_mode == "half_pixel"
    return _roi_align(
        xp, X, rois, batch_indices, mode, output_height, output_width, sampling_ratio, spatial_scale, half_pixel
    )


def _check_rois(X, rois, width):
    if X.ndim != 4 or rois.ndim != 2 or rois.shape[1] != width:
        raise InvalidInput(
            f"X has shape {list(X.shape)} and rois {list(rois.shape)}; expected [N, C, H, W] and [RoIs, {width}]"
        )


def _check_finite(boxes):
    if not np.isfinite(boxes).all():
        raise InvalidInput("a region of interest has a coordinate that is not finite")


def _in_batch(indices, X):
    if len(indices) and not ((indices >= 0) & (indices < X.shape[0])).all():
        raise InvalidInput(
            f"the RoIs' batch indices run from {indices.min()} to {indices.max()}; expected 0 to {X.shape[0] - 1}"
        )
    return indices.astype(np.int64)


# ---- MaxRoiPool


@op("MaxRoiPool", since=1, host=(1,), differentiable=False)
def max_roi_pool(xp, X, rois, *, pooled_shape, spatial_scale=1.0):
    """The largest element in each bin of each RoI, 0 in a bin without any.

    X [N, C, H, W], rois [R, 5] as (batch, x1, y1, x2, y2), both ends included after rounding → Y [R, C, *pooled_shape].
    Bins reach from the floor of their beginning to the ceiling of their end, so neighbours may overlap.

    Raises:
        InvalidInput: for a RoI that is not finite or belongs to no picture of the batch.
    """
    _check_rois(X, rois, 5)
    if len(pooled_shape) != 2 or min(pooled_shape) < 1:
        raise InvalidInput(f"pooled_shape is {list(pooled_shape)}; expected two positive numbers, height and width")
    shape = bounded((len(rois), X.shape[1], *pooled_shape), X.dtype)
    exact = rois.astype(np.float64)
    _check_finite(exact)
    batch = _in_batch(exact[:, 0], X)
    corners = exact[:, 1:] * float(spatial_scale)
    corners = np.trunc(corners + np.copysign(0.5, corners))
    if 0 in shape:
        return xp.zeros(shape, X.dtype)
    rows, columns = (
        _bins(corners[:, i], corners[:, i + 2], bins, size)
        for i, bins, size in zip((1, 0), pooled_shape, X.shape[2:], strict=True)
    )
    Y = _box_maxima(xp, X, batch[:, None, None], [a[:, :, None] for a in rows], [a[:, None] for a in columns])
    return xp.ascontiguousarray(xp.moveaxis(Y, 3, 1))


def _bins(begin, end, bins, size):
    """First element of each bin and the one behind its last: [R, bins] each, within the axis."""
    extent = np.maximum(end - begin + 1, 1)[:, None]
    edge = np.arange(bins + 1) * extent / bins
    return [
        np.clip(a + begin[:, None], 0, size).astype(np.int64) for a in (np.floor(edge[:, :-1]), np.ceil(edge[:, 1:]))
    ]


def _box_maxima(xp, X, batch, rows, columns):
    """The largest elements of boxes of X, 0 in empty ones: [R, PH, PW, C].

    A box is covered by four, overlapping, whose sides are powers of two: of each such size there is one table of the
    maxima of all boxes, made from that of half the size.
    """
    levels = [_level(first, last) for first, last in (rows, columns)]
    shape = np.broadcast_shapes(rows[0].shape, columns[0].shape)
    high, wide = (np.broadcast_to(level, shape) for level in levels)
    batch = np.broadcast_to(batch, shape)
    Y = xp.zeros((*shape, X.shape[1]), X.dtype)
    tall = xp.moveaxis(X, 1, 3)
    for i in range(int(high.max(initial=-1)) + 1):
        tall = tall if i == 0 else _doubled(xp, tall, 1, i)
        table = tall
        for j in range(int(wide.max(where=high == i, initial=-1)) + 1):
            table = table if j == 0 else _doubled(xp, table, 2, j)
            chosen = np.nonzero((high == i) & (wide == j))
            if len(chosen[0]):
                ends = [[np.broadcast_to(a, shape)[chosen] for a in axis] for axis in (rows, columns)]
                sides = [(first, last - (1 << n)) for (first, last), n in zip(ends, (i, j), strict=True)]
                parts = [table[xp.asarray(batch[chosen]), xp.asarray(y), xp.asarray(x)] for y, x in product(*sides)]
                found = xp.maximum(xp.maximum(parts[0], parts[1]), xp.maximum(parts[2], parts[3]))
                Y[tuple(map(xp.asarray, chosen))] = found
    return Y


def _level(first, last):
    """The largest power of two that fits between, as its exponent; -1 where nothing does."""
    return np.frexp(np.maximum(last - first, 0))[1] - 1


def _doubled(xp, table, axis, level):
    """The maxima of boxes twice as long along an axis, from those of length 2^(level - 1)."""
    half = 1 << (level - 1)
    lead = (slice(None),) * axis
    return xp.maximum(table[(*lead, slice(None, -half))], table[(*lead, slice(half, None))])
