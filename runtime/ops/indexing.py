"""Operators that pick elements by index, write to elements by index, or tell where elements are."""

from __future__ import annotations

import math

import numpy as np

from ..errors import InvalidInput
from ._axes import axis_in, bounded, in_range, one
from ._scatter import gather_gradient, scatter_rows
from .registry import op

# ---- Gather


@op("Gather", since=1)
def gather(xp, data, indices, *, axis=0):
    """The slices of `data` along `axis` that `indices` name; negative ones count from the end."""
    axis = axis_in(axis, data.ndim)
    chosen = in_range(indices, data.shape[axis], axis).reshape(-1)
    return xp.take(data, chosen, axis=axis).reshape(data.shape[:axis] + indices.shape + data.shape[axis + 1 :])


@gather.gradient
def _(g, node, dY):
    """every dY is added to the slice of X it came from"""
    x, indices = node.inputs
    rank = len(node.shape(0))
    return gather_gradient(g, x, rank, indices, len(node.shape(1)), axis_in(node.attrs["axis"], rank), dY)


@op("GatherElements", since=11)
def gather_elements(xp, data, indices, *, axis=0):
    """Y[i][j][k] = data[i][indices[i][j][k]][k] for axis 1, and so on."""
    axis = axis_in(axis, data.ndim)
    _check_elements(data, indices, axis)
    within = tuple(slice(None if i == axis else size) for i, size in enumerate(indices.shape))
    return xp.take_along_axis(data[within], in_range(indices, data.shape[axis], axis), axis)


@gather_elements.gradient
def _(g, node, dY):
    """every dY is added to the element of X it came from"""
    x, indices = node.inputs
    return g.ScatterElements(g.zeros_like(x), indices, dY, axis=node.attrs["axis"], reduction="add")


def _check_elements(data, indices, axis):
    fits = indices.ndim == data.ndim and all(
        i == axis or n <= size for i, (n, size) in enumerate(zip(indices.shape, data.shape, strict=True))
    )
    if not fits:
        raise InvalidInput(
            f"indices of shape {list(indices.shape)} do not fit data of shape {list(data.shape)}: "
            f"the ranks must agree, and no axis but {axis} may be longer than the data's"
        )


def _row_numbers(xp, indices, shape):
    """The number of the row that each tuple in the last axis of `indices` names; `shape` are the axes they run over."""
    numbers = xp.zeros(indices.shape[:-1], np.int64)
    for axis in range(indices.shape[-1]):
        numbers = numbers * shape[axis] + in_range(indices[..., axis], shape[axis], axis)
    return numbers


def _check_tuples(data, indices, batch_dims=0):
    if batch_dims < 0 or indices.ndim == 0 or batch_dims + indices.shape[-1] > data.ndim or batch_dims >= indices.ndim:
        raise InvalidInput(
            f"indices of shape {list(indices.shape)} name more axes than data of shape {list(data.shape)} has "
            f"behind {batch_dims} batch axes"
        )
    if data.shape[:batch_dims] != indices.shape[:batch_dims]:
        raise InvalidInput(
            f"the first {batch_dims} dimensions of data {list(data.shape)} and indices {list(indices.shape)} must agree"
        )


@op("GatherND", since=11)
def gather_nd_11(xp, data, indices):
    """The slices of `data` named by the index tuples in the last axis of `indices`."""
    return gather_nd_12(xp, data, indices)


@op("GatherND", since=12)
def gather_nd_12(xp, data, indices, *, batch_dims=0):
    """The slices of `data` named by the index tuples in the last axis of `indices`, for each batch entry apart."""
    _check_tuples(data, indices, batch_dims)
    named = batch_dims + indices.shape[-1]
    batch, inner = math.prod(data.shape[:batch_dims]), math.prod(data.shape[batch_dims:named])
    numbers = _row_numbers(xp, indices, data.shape[batch_dims:named])
    if batch_dims:
        per_entry = math.prod(numbers.shape[batch_dims:])
        numbers = numbers.reshape((batch, per_entry)) + xp.arange(batch)[:, None] * inner
    rows = data.reshape((batch * inner, math.prod(data.shape[named:])))
    return xp.take(rows, numbers.reshape(-1), axis=0).reshape(indices.shape[:-1] + data.shape[named:])


@gather_nd_12.gradient
def _(g, node, dY):
    """every dY is added to the slice of X it came from"""
    x, indices = node.inputs
    rank, batch_dims = len(node.shape(1)), node.attrs["batch_dims"]
    if batch_dims:
        column = g.Concat(g.Shape(indices, end=-1), [1], axis=0)
        entries = [_positions(g, x, axis, rank, column) for axis in range(batch_dims)]
        indices = g.Concat(*entries, indices, axis=-1)
    return g.ScatterND(g.zeros_like(x), indices, dY, reduction="add")


def _positions(g, x, axis, rank, shape):
    """The position along `axis` at every place of a tensor of this rank and shape."""
    size = g.Squeeze(g.Shape(x, start=axis, end=axis + 1), [0])
    count = g.Reshape(g.Range(0, size, 1), [1] * axis + [-1] + [1] * (rank - axis - 1))
    return g.Expand(count, shape)


# ---- Scatter


def _start(xp, data, out):
    """A copy of the data to write to, in `out` where that is given."""
    if out is None:
        return xp.array(data, order="C")
    out[...] = data
    return out


def _scatter_elements(xp, data, indices, updates, axis, reduction, out):
    axis = axis_in(axis, data.ndim)
    _check_elements(data, indices, axis)
    if updates.shape != indices.shape:
        raise InvalidInput(f"updates {list(updates.shape)} and indices {list(indices.shape)} must have the same shape")
    places = xp.zeros((), np.int64)
    for i, size in enumerate(data.shape):
        along = [1] * data.ndim
        along[i] = -1
        here = in_range(indices, size, axis) if i == axis else xp.arange(indices.shape[i]).reshape(along)
        places = places * size + here
    out = _start(xp, data, out)
    scatter_rows(xp, out.reshape((-1, 1)), places.reshape(-1), updates.reshape((-1, 1)), reduction)
    return out


@op("Scatter", since=9)
def scatter(xp, data, indices, updates, *, axis=0, out=None):
    """`data` with updates[i][j][k] at [i][indices[i][j][k]][k] for axis 1, and so on; of several the last stays."""
    return _scatter_elements(xp, data, indices, updates, axis, "none", out)


@op("ScatterElements", since=11)
def scatter_elements_11(xp, data, indices, updates, *, axis=0, out=None):
    """`data` with updates[i][j][k] at [i][indices[i][j][k]][k] for axis 1, and so on; of several the last stays."""
    return _scatter_elements(xp, data, indices, updates, axis, "none", out)


@op("ScatterElements", since=16)
def scatter_elements_16(xp, data, indices, updates, *, axis=0, reduction="none", out=None):
    """`data` with updates[i][j][k] at [i][indices[i][j][k]][k] for axis 1, and so on, or combined with it."""
    return _scatter_elements(xp, data, indices, updates, axis, reduction, out)


def _scatter_nd(xp, data, indices, updates, reduction, out):
    _check_tuples(data, indices)
    named = indices.shape[-1]
    wanted = indices.shape[:-1] + data.shape[named:]
    if updates.shape != wanted:
        raise InvalidInput(
            f"updates must have shape {list(wanted)} to fit data and indices; found {list(updates.shape)}"
        )
    numbers = _row_numbers(xp, indices, data.shape).reshape(-1)
    out = _start(xp, data, out)
    width = math.prod(data.shape[named:])
    rows = out.reshape((math.prod(data.shape[:named]), width))
    scatter_rows(xp, rows, numbers, updates.reshape((numbers.size, width)), reduction)
    return out


@op("ScatterND", since=11)
def scatter_nd_11(xp, data, indices, updates, *, out=None):
    """`data` with `updates` at the slices that the tuples in `indices` name; of several for one the last stays."""
    return _scatter_nd(xp, data, indices, updates, "none", out)


@op("ScatterND", since=16)
def scatter_nd_16(xp, data, indices, updates, *, reduction="none", out=None):
    """`data` with `updates` at the slices that the tuples in `indices` name, or combined with what is there."""
    return _scatter_nd(xp, data, indices, updates, reduction, out)


@scatter_elements_16.gradient
def _(g, node, dY):
    """see `_scatter_gradient`"""
    indices, axis = node.inputs[1], node.attrs["axis"]

    def scatter(data, updates, reduction):
        return g.ScatterElements(data, indices, updates, axis=axis, reduction=reduction)

    def gather(data):
        return g.GatherElements(data, indices, axis=axis)

    return _scatter_gradient(g, node, dY, scatter, gather)


@scatter_nd_16.gradient
def _(g, node, dY):
    """see `_scatter_gradient`"""
    indices = node.inputs[1]
    return _scatter_gradient(
        g,
        node,
        dY,
        lambda data, updates, reduction: g.ScatterND(data, indices, updates, reduction=reduction),
        lambda data: g.GatherND(data, indices),
    )


def _scatter_gradient(g, node, dY, scatter, gather):
    """With `gather` reading where `scatter` writes:

    none: ddata = dY but where it was overwritten; dupdates = gather(dY) for the update that stays, 0 for the others.
    add: ddata = dY; dupdates = gather(dY).
    mul: each gets dY times the product of all others at its place.
    max, min: dY is shared equally by all that equal the result.
    """
    data, _, updates = node.inputs
    reduction = node.attrs.get("reduction", "none")
    if reduction == "add":
        return dY, None, gather(dY)
    if reduction == "none":
        return _overwritten(g, data, updates, dY, scatter, gather)
    if reduction == "mul":
        return _multiplied(g, data, updates, dY, scatter, gather)
    return _extreme(g, node, dY, scatter, gather)


def _overwritten(g, data, updates, dY, scatter, gather):
    number = g.Reshape(g.Range(0, g.Size(updates), 1), g.shape_of(updates), allowzero=1)
    nobody = g.ConstantOfShape(g.shape_of(data), value=np.zeros(1, np.int64))
    stays = g.Equal(gather(scatter(nobody, number, "none")), number)
    return scatter(dY, g.zeros_like(updates), "none"), None, g.Where(stays, gather(dY), g.like(0, dY))


def _multiplied(g, data, updates, dY, scatter, gather):
    """The product of the others, without dividing by zero: zeros among the updates are counted and left out."""
    zero, one = g.like(0, updates), g.like(1, updates)
    is_zero = g.Equal(updates, zero)
    others = g.Where(is_zero, one, updates)
    zeros = gather(scatter(g.zeros_like(data), g.Cast(is_zero, to=updates.dtype.value), "add"))
    rest = g.Div(gather(g.Mul(dY, scatter(data, others, "mul"))), others)
    alone = g.Equal(zeros, g.Cast(is_zero, to=updates.dtype.value))
    factors = scatter(g.Expand(one, g.shape_of(data)), updates, "mul")
    return g.Mul(dY, factors), None, g.Where(alone, rest, zero)


def _extreme(g, node, dY, scatter, gather):
    data, _, updates = node.inputs
    kind = dY.dtype.value
    result = node.outputs[0]
    of_data = g.Cast(g.Equal(data, result), to=kind)
    of_updates = g.Cast(g.Equal(updates, gather(result)), to=kind)
    share = g.Div(dY, scatter(of_data, of_updates, "add"))
    return g.Mul(share, of_data), None, g.Mul(gather(share), of_updates)


@op("TensorScatter", since=24)
def tensor_scatter(xp, past_cache, update, write_indices=None, *, axis=-2, mode="linear", out=None):
    """The cache with `update` written along `axis` from write_indices[b] on in batch entry b; circular: modulo."""
    axis = axis_in(axis, past_cache.ndim)
    size, length, batch = past_cache.shape[axis], update.shape[axis], past_cache.shape[0]
    if mode not in ("linear", "circular") or axis == 0 or length > size:
        raise InvalidInput(
            f"TensorScatter cannot write {length} entries into {size} along axis {axis} in mode {mode!r}; "
            "expected at most as many, an axis other than 0, and 'linear' or 'circular'"
        )
    start = xp.zeros(batch, np.int64) if write_indices is None else write_indices.astype(np.int64)
    places = start[:, None] + xp.arange(length)
    if mode == "circular":
        places = places % size
    elif ((places < 0) | (places >= size)).any():
        raise InvalidInput(
            f"write_indices let {length} entries reach beyond the {size} of axis {axis}; see mode 'circular'"
        )
    out = _start(xp, past_cache, out)
    xp.moveaxis(out, axis, 1)[xp.arange(batch)[:, None], places] = xp.moveaxis(update, axis, 1)
    return out


# ---- OneHot and TopK


def _hot(xp, indices, depth, axis):
    """Where the one-hot tensor is hot; nowhere for an index out of range."""
    depth = int(one(depth, "depth"))
    if depth < 1:
        raise InvalidInput(f"depth of OneHot must be at least 1; found {depth}")
    axis = axis_in(axis, indices.ndim + 1)
    indices = xp.expand_dims(indices.astype(np.int64), axis)
    bounded((*indices.shape[:axis], depth, *indices.shape[axis + 1 :]), np.int64)
    classes = xp.arange(depth).reshape([-1 if i == axis else 1 for i in range(indices.ndim)])
    return (indices == classes) | (indices + depth == classes)


@op("OneHot", since=9, host=(1,))
def one_hot(xp, indices, depth, values, *, axis=-1):
    """values[1] where the new axis, of size `depth`, is at the index, values[0] elsewhere."""
    return xp.take(values, _hot(xp, indices, depth, axis).astype(np.int64))


@one_hot.gradient
def _(g, node, dY):
    """dvalues = [Σ dY where cold, Σ dY where hot]"""
    indices, depth, values = node.inputs
    pairs = (g.constant(np.asarray(pair, values.dtype.numpy())) for pair in ([1, 0], [0, 1]))
    masks = [g.OneHot(indices, depth, pair, **node.attrs) for pair in pairs]
    sums = [g.Unsqueeze(g.ReduceSum(g.Mul(dY, mask), keepdims=0), [0]) for mask in masks]
    return None, None, g.Concat(*sums, axis=0)


def _top_k(xp, X, k, axis, largest=1):
    axis = axis_in(axis, X.ndim)
    if not 0 <= k <= X.shape[axis]:
        raise InvalidInput(f"TopK cannot take {k} elements of the {X.shape[axis]} along axis {axis}")
    if largest:
        # A stable ascending sort of the reversed axis, read from its end, leaves equal elements in order.
        order = X.shape[axis] - 1 - xp.flip(xp.argsort(xp.flip(X, axis), axis=axis, kind="stable"), axis)
    else:
        order = xp.argsort(X, axis=axis, kind="stable")
    first = order[(slice(None),) * axis + (slice(k),)].astype(np.int64)
    return xp.take_along_axis(X, first, axis), first


@op("TopK", since=1)
def top_k_1(xp, X, *, k, axis=-1):
    """The k largest elements along `axis` in descending order, and their indices; equal ones stay in order."""
    return _top_k(xp, X, k, axis)


@op("TopK", since=10, host=(1,))
def top_k_10(xp, X, K, *, axis=-1):
    """The K largest elements along `axis` in descending order, and their indices; equal ones stay in order."""
    return _top_k(xp, X, int(one(K, "K")), axis)


@op("TopK", since=11, host=(1,))
def top_k_11(xp, X, K, *, axis=-1, largest=1, sorted=1):
    """The K largest or smallest elements along `axis`, in order, and their indices; equal ones stay in order."""
    return _top_k(xp, X, int(one(K, "K")), axis, largest)


@top_k_11.gradient
def _(g, node, dValues, dIndices=None):
    """dX = dValues where X was taken, 0 elsewhere"""
    zeros = g.zeros_like(node.inputs[0])
    return g.ScatterElements(zeros, node.output(1), dValues, axis=node.attrs["axis"], reduction="add")


# ---- Compress, NonZero, ReverseSequence


@op("Compress", since=9, host=(1,))
def compress(xp, input, condition, *, axis=None):
    """The slices along `axis` (default: the elements of the flattened input) where `condition` is true."""
    data = input.reshape(-1) if axis is None else input
    axis = axis_in(axis or 0, data.ndim)
    chosen = np.flatnonzero(condition)
    if len(chosen) and chosen[-1] >= data.shape[axis]:
        raise InvalidInput(
            f"condition is true at {chosen[-1]}, but only {data.shape[axis]} elements are there to choose from"
        )
    return xp.take(data, xp.asarray(chosen), axis=axis)


@compress.gradient
def _(g, node, dY):
    """dX = dY where X was chosen, 0 elsewhere"""
    x, condition = node.inputs
    axis = node.attrs["axis"]
    chosen = g.Squeeze(g.NonZero(condition), [0])
    if axis is None:
        flat = g.Reshape(x, [-1])
        return g.Reshape(gather_gradient(g, flat, 1, chosen, 1, 0, dY), g.shape_of(x), allowzero=1)
    rank = len(node.shape(0))
    return gather_gradient(g, x, rank, chosen, 1, axis_in(axis, rank), dY)


@op("NonZero", since=9, differentiable=False)
def nonzero(xp, X):
    """The places of all elements that are not zero, in row-major order: int64, one row for each axis."""
    if X.ndim == 0:
        return xp.zeros((0, math.prod(xp.nonzero(X.reshape(1))[0].shape)), np.int64)
    return xp.stack(xp.nonzero(X)).astype(np.int64)


@op("ReverseSequence", since=10, host=(1,))
def reverse_sequence(xp, input, sequence_lens, *, batch_axis=1, time_axis=0):
    """The first sequence_lens[i] steps of batch entry i in reverse, the others as they are."""
    if sorted((batch_axis, time_axis)) != [0, 1] or input.ndim < 2:
        raise InvalidInput(
            f"batch_axis {batch_axis} and time_axis {time_axis} must be 0 and 1 or 1 and 0, "
            f"of a tensor of rank 2 or more; found rank {input.ndim}"
        )
    batch, time = input.shape[batch_axis], input.shape[time_axis]
    if sequence_lens.shape != (batch,) or (batch and not 0 <= sequence_lens.min() <= sequence_lens.max() <= time):
        raise InvalidInput(f"sequence_lens must hold {batch} lengths of at most {time}; found {sequence_lens.tolist()}")
    steps = np.arange(time)
    lengths = sequence_lens.astype(np.int64)[:, None]
    source = np.where(steps < lengths, lengths - 1 - steps, steps)
    entries = np.arange(batch)[:, None]
    index = (entries, source) if batch_axis == 0 else (source.T, entries.T)
    return input[tuple(map(xp.asarray, index))]


@reverse_sequence.gradient
def _(g, node, dY):
    """dX = dY reversed likewise"""
    return g.ReverseSequence(dY, node.inputs[1], **node.attrs)
