"""Operators that cut, join, pad and repeat tensors along their axes."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidInput
from ..inference import constant
from ._axes import axes_in, axis_in, bounded, numbers, one, result_shape, same_length, shape_from
from .registry import GRAD_DOMAIN, op


def _list(vector):
    return None if vector is None else numbers(vector)


# ---- Concat and Split


def _concat(xp, inputs, axis, out):
    axis = axis_in(axis, inputs[0].ndim)
    if len({(*x.shape[:axis], *x.shape[axis + 1 :]) for x in inputs}) > 1 or len({x.ndim for x in inputs}) > 1:
        shapes = ", ".join(str(list(x.shape)) for x in inputs)
        raise InvalidInput(
            f"tensors joined along axis {axis} must agree in all other dimensions; found shapes {shapes}"
        )
    if out is None:
        first = inputs[0]
        joined = sum(x.shape[axis] for x in inputs)
        bounded((*first.shape[:axis], joined, *first.shape[axis + 1 :]), first.dtype)
    return xp.concatenate(inputs, axis=axis, out=out)


@op("Concat", since=1)
def concat_1(xp, *inputs, axis=1, out=None):
    """The inputs one after the other along `axis`."""
    return _concat(xp, inputs, axis, out)


@op("Concat", since=4)
def concat_4(xp, *inputs, axis, out=None):
    """The inputs one after the other along `axis`."""
    return _concat(xp, inputs, axis, out)


@concat_4.gradient
def _(g, node, dY):
    """dXᵢ = its part of dY"""
    axis = axis_in(node.attrs["axis"], len(node.shape(0)))
    count = len(node.inputs)
    if count == 1:
        return dY
    sizes = [node.shape(i)[axis] for i in range(count)]
    if not all(isinstance(size, int) for size in sizes):
        sizes = g.Concat(*(g.Shape(x, start=axis, end=axis + 1) for x in node.inputs), axis=0)
    return g.Split(dY, sizes, axis=axis, outputs=count)


def _split(input, axis, sizes, n_outputs):
    axis = axis_in(axis, input.ndim)
    sizes = shape_from(sizes)
    if len(sizes) != n_outputs or sum(sizes) != input.shape[axis]:
        raise InvalidInput(
            f"axis {axis} of size {input.shape[axis]} cannot be split into {n_outputs} outputs of sizes {list(sizes)}: "
            "there must be one size for each output, and they must add up"
        )
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    before = (slice(None),) * axis
    return tuple(input[(*before, slice(end - size, end))] for end, size in zip(ends, sizes, strict=True))


def _equal_parts(input, axis, n_outputs):
    size = input.shape[axis_in(axis, input.ndim)]
    if size % n_outputs:
        raise InvalidInput(f"axis {axis} of size {size} does not divide into {n_outputs} equal parts; give the sizes")
    return [size // n_outputs] * n_outputs


@op("Split", since=1, host=(1,), view=True)
def split_1(xp, input, sizes=None, *, split=None, axis=0, n_outputs):
    """Parts of the input along `axis`, of the sizes in the second input or in `split`, else equal."""
    given = split if sizes is None else numbers(sizes)
    return _split(input, axis, _equal_parts(input, axis, n_outputs) if given is None else given, n_outputs)


@op("Split", since=2, view=True)
def split_2(xp, input, *, split=None, axis=0, n_outputs):
    """Parts of the input along `axis`, of the sizes in `split`, else equal."""
    return _split(input, axis, _equal_parts(input, axis, n_outputs) if split is None else split, n_outputs)


@op("Split", since=13, host=(1,), view=True)
def split_13(xp, input, split=None, *, axis=0, n_outputs):
    """Parts of the input along `axis`, of the sizes in `split`, else equal."""
    return _split(input, axis, _equal_parts(input, axis, n_outputs) if split is None else numbers(split), n_outputs)


@op("Split", since=18, host=(1,), view=True)
def split_18(xp, input, split=None, *, axis=0, num_outputs=None, n_outputs):
    """Parts of the input along `axis`, of the sizes in `split`, else equal but for a smaller last one."""
    if num_outputs is not None and (num_outputs != n_outputs or split is not None):
        also = "" if split is None else " and the sizes are given too"
        raise InvalidInput(f"num_outputs is {num_outputs}, but the node has {n_outputs} outputs{also}")
    if split is not None:
        return _split(input, axis, numbers(split), n_outputs)
    size = input.shape[axis_in(axis, input.ndim)]
    chunk = -(-size // n_outputs)
    return _split(input, axis, [chunk] * (n_outputs - 1) + [size - chunk * (n_outputs - 1)], n_outputs)


@split_18.gradient
def _(g, node, *dYs):
    """dX = the dYs one after the other"""
    parts = [g.zeros_like(y) if dY is None else dY for y, dY in zip(node.outputs, dYs, strict=True)]
    return g.Concat(*parts, axis=node.attrs["axis"])


# ---- Slice


def _slices(shape, starts, ends, axes, steps):
    """One slice for each axis; bounds are clamped as the specification says, so that a step of -1 reaches element 0."""
    same_length(starts=starts, ends=ends, axes=axes, steps=steps)
    axes = axes_in(range(len(starts)) if axes is None else axes, len(shape))
    slices = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(starts), strict=True):
        if step == 0:
            raise InvalidInput(f"the step of a slice along axis {axis} must not be 0")
        size = shape[axis]
        low, high = (0, size) if step > 0 else (-1, size - 1)
        start, end = (bound + size if bound < 0 else bound for bound in (start, end))
        start, end = min(max(start, 0), high), min(max(end, low), high)
        slices[axis] = slice(start, None if end < 0 else end, step) if size else slice(0, 0)
    return tuple(slices)


@op("Slice", since=1, view=True)
def slice_1(xp, data, *, starts, ends, axes=None):
    """data[starts:ends] along `axes`."""
    return data[_slices(data.shape, starts, ends, axes, None)]


@op("Slice", since=10, host=(1, 2, 3, 4), view=True)
def slice_10(xp, data, starts, ends, axes=None, steps=None):
    """data[starts:ends:steps] along `axes`."""
    return data[_slices(data.shape, *map(_list, (starts, ends, axes, steps)))]


@slice_10.gradient
def _(g, node, dY):
    """dX = dY where X was read, 0 elsewhere"""
    return g.SliceGrad(dY, g.shape_of(node.inputs[0]), *node.inputs[1:])


@op("SliceGrad", since=1, domain=GRAD_DOMAIN, host=(1, 2, 3, 4, 5), infer=result_shape)
def slice_grad(xp, dY, shape, starts, ends, axes=None, steps=None, *, out=None):
    """A tensor of the given shape: dY where `Slice` reads, zero elsewhere."""
    shape = tuple(shape.tolist())
    out = xp.empty(shape, dY.dtype) if out is None else out
    out[...] = 0
    out[_slices(shape, *map(_list, (starts, ends, axes, steps)))] = dY
    return out


@slice_grad.gradient
def _(g, node, ddX):
    """the adjoint: ddY = Slice(ddX)"""
    return g.Slice(ddX, *node.inputs[2:])


# ---- Pad

_SOURCES = {
    "reflect": lambda i, size: (size - 1) - abs((size - 1) - i % max(1, 2 * (size - 1))),
    "edge": lambda i, size: i.clip(0, size - 1),
    "wrap": lambda i, size: i % size,
}
"""Where a padded axis reads: position relative to the first element, size of the axis → element."""


def _widths(rank, pads, axes):
    """(begin, end) for each axis."""
    axes = axes_in(range(rank) if axes is None else axes, rank)
    if len(pads) != 2 * len(axes):
        raise InvalidInput(f"pads must hold a begin and an end for each of {len(axes)} axes; found {len(pads)} values")
    widths = [(0, 0)] * rank
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[axis] = (begin, end)
    return widths


def _source(size, begin, end, mode, axis):
    """The elements a padded axis consists of; what negative pads crop is gone before anything is mirrored."""
    first, last = max(-begin, 0), size - max(-end, 0)
    if last <= first:
        raise InvalidInput(f"axis {axis} of size {size} has nothing left to pad in mode {mode!r} (pads {begin}, {end})")
    return first + _SOURCES[mode](np.arange(-max(begin, 0), last - first + max(end, 0)), last - first)


def _pad(xp, data, pads, axes, mode, value, out=None):
    widths = _widths(data.ndim, pads, axes)
    if mode == "constant":
        return _pad_constant(xp, data, widths, value, out)
    if mode not in _SOURCES:
        raise InvalidInput(f"mode {mode!r} of Pad is unknown; expected one of {['constant', *_SOURCES]}")
    shape = bounded((size + begin + end for size, (begin, end) in zip(data.shape, widths, strict=True)), data.dtype)
    padded = data
    for axis, (begin, end) in enumerate(widths):
        if begin or end:
            bounded([shape[axis]], np.int64)
            padded = xp.take(padded, xp.asarray(_source(data.shape[axis], begin, end, mode, axis)), axis=axis)
    return padded.copy() if padded is data else padded


def _pad_constant(xp, data, widths, value, out):
    shape = bounded((size + begin + end for size, (begin, end) in zip(data.shape, widths, strict=True)), data.dtype)
    out = xp.empty(shape, data.dtype) if out is None else out
    if value is None:
        value = "" if data.dtype == object else 0
    if not np.isscalar(value) and value.size != 1:
        raise InvalidInput(f"constant_value has shape {list(value.shape)}; expected a scalar")
    out[...] = value if np.isscalar(value) else value.reshape(())
    read, written = [], []
    for size, (begin, end) in zip(data.shape, widths, strict=True):
        first = max(0, -begin)
        last = max(first, min(size, size + end))
        read.append(slice(first, last))
        written.append(slice(first + begin, last + begin))
    if all(r.stop > r.start for r in read):
        out[tuple(written)] = data[tuple(read)]
    return out


@op("Pad", since=1)
def pad_1(xp, data, *, paddings, mode="constant", value=0.0):
    """The data with `paddings` more elements before and after each axis; negative numbers crop."""
    return _pad(xp, data, paddings, None, mode, value)


@op("Pad", since=2)
def pad_2(xp, data, *, pads, mode="constant", value=0.0):
    """The data with `pads` more elements before and after each axis; negative numbers crop."""
    return _pad(xp, data, pads, None, mode, value)


@op("Pad", since=11, host=(1,))
def pad_11(xp, data, pads, constant_value=None, *, mode="constant"):
    """The data with `pads` more elements before and after each axis; negative numbers crop."""
    return _pad(xp, data, _list(pads), None, mode, constant_value)


@op("Pad", since=18, host=(1, 3))
def pad_18(xp, data, pads, constant_value=None, axes=None, *, mode="constant", out=None):
    """The data with `pads` more elements before and after each of `axes`; negative numbers crop."""
    return _pad(xp, data, _list(pads), _list(axes), mode, constant_value, out)


@pad_18.gradient
def _(g, node, dY):
    """constant: dX = dY padded by -pads, dvalue = Σ dY over the padding; else every dY is added to its source"""
    x, pads, value, axes = node.inputs
    if node.attrs["mode"] != "constant":
        return g.PadGrad(dY, g.shape_of(x), pads, axes, mode=node.attrs["mode"])
    known = constant(pads)
    dX = g.Pad(dY, g.Neg(pads) if known is None else g.constant(-known), None, axes)
    if value is None:
        return dX
    padding = g.Pad(g.zeros_like(x), pads, g.like(1, x), axes)
    return dX, None, g.Reshape(g.ReduceSum(g.Mul(dY, padding), keepdims=0), g.shape_of(value)), None


@op("PadGrad", since=1, domain=GRAD_DOMAIN, host=(1, 2, 3), infer=result_shape)
def pad_grad(xp, dY, shape, pads, axes=None, *, mode):
    """A tensor of the given shape: at each element the sum of dY over the places that `Pad` filled from it."""
    shape = shape.tolist()
    for axis, (begin, end) in enumerate(_widths(len(shape), _list(pads), _list(axes))):
        if begin or end:
            source = _source(shape[axis], begin, end, mode, axis)
            dY = _add_up(xp, dY, source, shape[axis], max(begin, 0), max(end, 0), axis)
    return dY


def _add_up(xp, dY, source, size, begin, end, axis):
    """Along `axis` adds slice i of dY to slice source[i]: the middle at once, then one of each source at a time."""
    before = (slice(None),) * axis
    middle = slice(begin, len(source) - end)
    total = xp.zeros((*dY.shape[:axis], size, *dY.shape[axis + 1 :]), dY.dtype)
    total[(*before, slice(source[middle][0], source[middle][-1] + 1))] = dY[(*before, middle)]
    border = np.delete(np.arange(len(source)), middle)
    border = border[np.argsort(source[border], kind="stable")]
    rank = np.arange(len(border)) - np.searchsorted(source[border], source[border])
    for turn in range(int(rank.max(initial=-1)) + 1):
        chosen = border[rank == turn]
        total[(*before, xp.asarray(source[chosen]))] += xp.take(dY, xp.asarray(chosen), axis=axis)
    return total


@pad_grad.gradient
def _(g, node, ddX):
    """the adjoint: ddY = Pad(ddX)"""
    return g.Pad(ddX, node.inputs[2], None, node.inputs[3], mode=node.attrs["mode"])


# ---- Expand and Tile


@op("Expand", since=8, host=(1,), view=True)
def expand(xp, input, shape):
    """The input broadcast against `shape`, in both directions."""
    wanted = shape_from(numbers(shape))
    try:
        target = np.broadcast_shapes(input.shape, wanted)
    except ValueError:
        message = f"a tensor of shape {list(input.shape)} cannot be broadcast against shape {list(wanted)}"
        raise InvalidInput(message) from None
    return xp.broadcast_to(input, bounded(target, input.dtype))


@expand.gradient
def _(g, node, dY):
    """dX = dY, summed over the broadcast axes by the caller"""
    return dY


@op("Tile", since=1, host=(1, 2))
def tile_1(xp, input, tiles, axis):
    """`tiles` copies of the input along `axis`."""
    repeats = [1] * input.ndim
    repeats[axis_in(int(one(axis, "axis")), input.ndim)] = int(one(tiles, "tiles"))
    return _tiled(xp, input, repeats)


@op("Tile", since=6, host=(1,))
def tile_6(xp, input, repeats):
    """repeats[i] copies of the input along axis i."""
    return _tiled(xp, input, numbers(repeats))


def _tiled(xp, input, repeats):
    repeats = shape_from(repeats)
    if len(repeats) != input.ndim:
        raise InvalidInput(f"repeats must have one number for each of {input.ndim} axes; found {list(repeats)}")
    bounded((size * count for size, count in zip(input.shape, repeats, strict=True)), input.dtype)
    return xp.tile(input, repeats)


@tile_6.gradient
def _(g, node, dY):
    """dX = Σ dY over the copies"""
    x, repeats = node.inputs
    shape, known = node.shape(0), constant(repeats)
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    if known is not None and sizes.count(-1) <= 1 and 0 not in (*sizes, *known):
        split = [n for pair in zip(known.tolist(), sizes, strict=True) for n in pair]
    else:
        columns = g.Unsqueeze(repeats, [1]), g.Unsqueeze(g.shape_of(x), [1])
        split = g.Reshape(g.Concat(*columns, axis=1), [2 * len(shape)])
    return g.ReduceSum(g.Reshape(dY, split, allowzero=1), list(range(0, 2 * len(shape), 2)), keepdims=0)


# ---- Trilu


@op("Trilu", since=14, host=(1,))
def trilu(xp, input, k=None, *, upper=1):
    """The upper or lower triangle of each matrix, from its k-th diagonal on; zeros, or empty text, elsewhere."""
    if input.ndim < 2:
        raise InvalidInput(f"Trilu needs matrices; found rank {input.ndim}")
    rows, columns = input.shape[-2:]
    bounded((rows, columns), bool)
    k = 0 if k is None else min(max(int(one(k, "k")), -rows), columns)
    lower = xp.tri(rows, columns, k - 1 if upper else k, dtype=bool)
    zero = np.asarray("", object) if input.dtype.kind == "O" else xp.zeros((), input.dtype)
    return xp.where(lower, zero, input) if upper else xp.where(lower, input, zero)


@trilu.gradient
def _(g, node, dY):
    """dX = the same triangle of dY"""
    return g.Trilu(dY, node.inputs[1], upper=node.attrs["upper"])
