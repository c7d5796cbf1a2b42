"""Sliding windows: where they lie (padding, strides, dilations), and the array work that convolution and pooling share.

Everything here runs axis by axis: a window is a box, so gathering, scattering, summing and taking maxima over it need
one loop over the taps of each axis instead of one over all taps, and the padding is never materialised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial, reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..dtypes import compute_dtype
from ..errors import InvalidGraph, InvalidInput
from ._axes import bounded

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
Ints = Sequence[int] | None
Tap = tuple[int, slice, slice]
"""A tap of one axis: its number, the windows for which it lies inside the input, and the positions it then reads."""


@dataclass(frozen=True)
class Windows:
    """Windows over spatial axes: window `o` reads, at tap `t`, position `o*stride + t*dilation - begin`."""

    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.spatial)

    @property
    def pads(self) -> tuple[int, ...]:
        """As ONNX's attribute has them: all begins, then all ends."""
        return self.begin + self.end

    @cached_property
    def reach(self) -> tuple[int, ...]:
        """How many positions a window spans along each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @cached_property
    def identity(self) -> bool:
        """Whether window `o` is just position `o`: a kernel of ones, stride 1, no padding."""
        return self.out == self.spatial and prod((*self.kernel, *self.strides)) == 1 and not any(self.begin)

    @cached_property
    def disjoint(self) -> bool:
        """Whether no two windows share a position."""
        return all(s >= r for s, r in zip(self.strides, self.reach, strict=True))

    @cached_property
    def taps(self) -> tuple[tuple[Tap, ...], ...]:
        """For each axis those of its taps that touch the input; the others see nothing but padding."""
        return tuple(tuple(self._axis_taps(axis)) for axis in range(self.rank))

    def _axis_taps(self, axis: int) -> Iterator[Tap]:
        size, k, stride, dilation, begin, out = (values[axis] for values in self._shape)
        earliest = max(0, -(((out - 1) * stride - begin) // dilation))
        for t in range(earliest, min(k, (begin + size - 1) // dilation + 1)):
            offset = t * dilation - begin
            first = max(0, -(offset // stride))
            last = min(out - 1, (size - 1 - offset) // stride)
            if last >= first:
                yield t, slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)

    @cached_property
    def counts(self) -> tuple[np.ndarray, ...]:
        """For each axis the number of taps of each window that lie inside the input."""
        made = []
        for size, k, s, d, b, out in zip(*self._shape, strict=True):
            start = np.arange(out) * s - b
            made.append(np.maximum(0, np.minimum(k - 1, (size - 1 - start) // d) - np.maximum(0, -(start // d)) + 1))
        return tuple(made)

    @property
    def _shape(self) -> tuple[tuple[int, ...], ...]:
        return self.spatial, self.kernel, self.strides, self.dilations, self.begin, self.out

    def count(self, include_pad: bool) -> int | np.ndarray:
        """How many elements each window holds, padding included or not: one number where it is the same for all."""
        return self._padded_count if include_pad else self._inner_count

    @cached_property
    def _inner_count(self) -> int | np.ndarray:
        uniform = all(c.size and (c == c[0]).all() for c in self.counts)
        return prod(int(c[0]) for c in self.counts) if uniform else reduce(np.multiply.outer, self.counts)

    @cached_property
    def _padded_count(self) -> int | np.ndarray:
        inside = tuple(b + s + e for b, s, e in zip(self.begin, self.spatial, self.end, strict=True))
        none = (0,) * self.rank
        return replace(self, spatial=inside, begin=none, end=none)._inner_count

    def rows(self, start: int, stop: int) -> tuple[Windows, slice]:
        """The windows `start` to `stop` of the first axis, over the positions of that axis which they read."""
        stride, first = self.strides[0], start * self.strides[0] - self.begin[0]
        low = min(max(0, first), self.spatial[0])
        high = max(low, min(self.spatial[0], first + (stop - 1 - start) * stride + self.reach[0]))
        part = replace(
            self,
            spatial=(high - low, *self.spatial[1:]),
            begin=(low - first, *self.begin[1:]),
            out=(stop - start, *self.out[1:]),
        )
        return part, slice(low, high)

    def boxes(self) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...], tuple[Any, ...]]]:
        """Every tap of the kernel that touches the input: its index, the windows it covers, the positions it reads."""
        for taps in product(*self.taps):
            yield tuple(t for t, _, _ in taps), (..., *(w for _, w, _ in taps)), (..., *(p for _, _, p in taps))


def windows(
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Ints = None,
    dilations: Ints = None,
    pads: Ints = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> Windows:
    """The windows that ONNX's attributes describe over an input of the given spatial shape.

    Raises:
        InvalidGraph: if the attributes contradict each other or the shape, or if no window fits.
    """
    as_tuple = [None if not v else tuple(v) for v in (strides, dilations, pads)]
    return _windows(tuple(spatial), tuple(kernel), *as_tuple, auto_pad or "NOTSET", bool(ceil_mode))


@lru_cache(maxsize=1024)
def _windows(
    spatial: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...] | None,
    dilations: tuple[int, ...] | None,
    pads: tuple[int, ...] | None,
    auto_pad: str,
    ceil_mode: bool,
) -> Windows:
    rank = len(spatial)
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    check_attributes(rank, pads, auto_pad, kernel_shape=kernel, strides=strides, dilations=dilations)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto_pad in ("NOTSET", "VALID"):
        pads = (pads if auto_pad == "NOTSET" else None) or (0,) * 2 * rank
        begin, end = pads[:rank], pads[rank:]
        room = [x + b + e - r for x, b, e, r in zip(spatial, begin, end, reach, strict=True)]
        out = [_steps(room[i], strides[i], spatial[i] + begin[i], ceil_mode) for i in range(rank)]
    else:
        begin, end, out = _auto(auto_pad, spatial, reach, strides)
    if any(o < 1 for o in out):
        raise InvalidGraph(
            f"a kernel of shape {list(kernel)} with dilations {list(dilations)} spans {reach}, which is more than its "
            f"input of spatial shape {list(spatial)} with padding {list(begin)} before and {list(end)} after; "
            f"expected a smaller kernel, more padding, or a larger input"
        )
    return Windows(spatial, kernel, strides, dilations, begin, end, tuple(out))


def _steps(room: int, stride: int, starts_before: int, ceil_mode: bool) -> int:
    """How many windows fit; with `ceil_mode` the last may reach over the end, but must start before the end padding."""
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    return out - 1 if ceil_mode and (out - 1) * stride >= starts_before else out


def _auto(
    auto_pad: str, spatial: Sequence[int], reach: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    out = [-(-x // s) for x, s in zip(spatial, strides, strict=True)]
    total = [max(0, (o - 1) * s + r - x) for o, s, r, x in zip(out, strides, reach, spatial, strict=True)]
    less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (*((less, more) if auto_pad == "SAME_UPPER" else (more, less)), out)


def axis_windows(
    spatial: Sequence[Any], kernel: Sequence[Any], where: Callable[..., Windows], pads: Ints = None, **lists: Ints
) -> list[Windows | None]:
    """The windows that `where` (such as `windows`) gives for each axis alone; None where a dimension is not a number.

    `lists` are the attributes with one entry per axis.
    """
    rank = len(spatial)
    check_attributes(rank, pads, kernel_shape=[k if isinstance(k, int) else 1 for k in kernel])
    if wrong := [name for name, v in lists.items() if v and len(v) != rank]:
        raise InvalidGraph(
            f"{wrong[0]} is {list(lists[wrong[0]] or ())}; expected {rank} entries, one for each spatial axis"
        )
    made: list[Windows | None] = []
    for axis, (size, k) in enumerate(zip(spatial, kernel, strict=True)):
        own = {name: v[axis::rank] if v else None for name, v in {**lists, "pads": pads}.items()}
        made.append(where((size,), (k,), **own) if isinstance(size, int) and isinstance(k, int) else None)
    return made


def check_attributes(rank: int, pads: Ints = None, auto_pad: str = "NOTSET", **positive: Ints) -> None:
    """Raises InvalidGraph unless each list has one entry per axis (`pads`: two) and is positive (`pads`: or 0)."""
    if auto_pad not in AUTO_PADS:
        raise InvalidGraph(f"auto_pad is {auto_pad!r}; expected one of {', '.join(AUTO_PADS)}")
    for name, values, entries, least in [*((n, v, rank, 1) for n, v in positive.items()), ("pads", pads, 2 * rank, 0)]:
        if values is None:
            continue
        if len(values) != entries:
            raise InvalidGraph(
                f"{name} {list(values)} has {len(values)} entries; expected {entries} for {rank} spatial axes"
            )
        if any(v < least for v in values):
            raise InvalidGraph(f"{name} {list(values)} has an entry below {least}")


def columns(xp: Any, X: Any, w: Windows, at: int = 2) -> Any:
    """What every window sees, with zeros for padding: the kernel's axes are inserted before axis `at`.

    X [N, C, *spatial] gives [N, C, *kernel, *out]; with `at=1` X [C, N, *spatial] gives [C, *kernel, N, *out].
    """
    for axis in reversed(range(w.rank)):
        place = axis - w.rank
        shape = [*X.shape[:at], w.kernel[axis], *X.shape[at:]]
        shape[place] = w.out[axis]
        result = xp.empty(bounded(shape, X.dtype), X.dtype)
        lead = (slice(None),) * at
        inside = w.taps[axis]
        for t in {*range(w.kernel[axis])} - {t for t, _, _ in inside}:
            result[(*lead, t)] = 0
        for t, covered, read in inside:
            target = result[(*lead, t)]
            target[_along(place, covered)] = X[_along(place, read)]
            target[_along(place, slice(0, covered.start))] = 0
            target[_along(place, slice(covered.stop, None))] = 0
        X = result
    return X


def _tap(cols: Any, t: int) -> Any:
    return cols[:, :, t]


def _same(Y: Any, _: int) -> Any:
    return Y


def fold(xp: Any, cols: Any, w: Windows, out: Any = None) -> Any:
    """The adjoint of `columns`: adds [N, C, *kernel, *out] up where the windows lie, giving [N, C, *spatial]."""
    for axis in range(w.rank):
        shape = [*cols.shape[:2], *cols.shape[3:]]
        cols = _scatter(xp, partial(_tap, cols), w, axis, shape, out if axis == w.rank - 1 else None)
    return cols


def spread(xp: Any, Y: Any, w: Windows) -> Any:
    """Adds each window's value to all positions of the window: [N, C, *out] gives [N, C, *spatial]."""
    for axis in reversed(range(w.rank)):
        Y = _scatter(xp, partial(_same, Y), w, axis, Y.shape)
    return Y


def _scatter(xp: Any, tap: Callable[[int], Any], w: Windows, axis: int, shape: Sequence[int], out: Any = None) -> Any:
    """Adds the array of each tap of an axis to the positions that the tap reads; the axis becomes spatial."""
    place = axis - w.rank
    taps = w.taps[axis]
    shape = (*shape[:place], w.spatial[axis], *shape[len(shape) + place + 1 :])
    result = result_array(xp, out, shape, tap(0).dtype)
    disjoint = w.strides[axis] >= w.reach[axis]
    if not disjoint or sum(_length(read) for _, _, read in taps) < w.spatial[axis]:
        result[...] = 0
    for number, (t, covered, read) in enumerate(taps):
        target, source = result[_along(place, read)], tap(t)[_along(place, covered)]
        if disjoint or number == 0:
            target[...] = source
        else:
            xp.add(target, source, out=target)
    return result


def _length(positions: slice) -> int:
    return len(range(positions.start, positions.stop, positions.step or 1))


def reduce_windows(xp: Any, combine: Any, start: Any, X: Any, w: Windows, out: Any = None) -> Any:
    """Folds the values of each window with the ufunc `combine`, whose neutral element is `start`: [N, C, *out]."""
    for axis in range(w.rank):
        place = axis - w.rank
        shape = list(X.shape)
        shape[place] = w.out[axis]
        result = result_array(xp, out if axis == w.rank - 1 else None, tuple(shape), X.dtype)
        whole = [X[_along(place, read)] for _, covered, read in w.taps[axis] if _length(covered) == w.out[axis]]
        parts = [(covered, read) for _, covered, read in w.taps[axis] if _length(covered) < w.out[axis]]
        if len(whole) > 1:
            combine(whole[0], whole[1], out=result)
        else:
            result[...] = whole[0] if whole else start
        for source in whole[2:]:
            combine(result, source, out=result)
        for covered, read in parts:
            target = result[_along(place, covered)]
            combine(target, X[_along(place, read)], out=target)
        X = result
    return X


def first_maxima(xp: Any, X: Any, w: Windows, lowest: float, storage_order: int) -> tuple[Any, Any]:
    """The largest value of each window and its index in the flattened X; of equal values, the first counts.

    `lowest` is below all values; with `storage_order` the index counts column by column within a channel.
    """
    Y = reduce_windows(xp, xp.maximum, lowest, X, w)
    shape = Y.shape
    boxes = list(w.boxes())
    code = np.dtype(np.uint8 if len(boxes) < 256 else np.int32)
    votes = xp.zeros(shape, code)
    for number, (_, covered, read) in enumerate(boxes):
        # "Not less" instead of "equal": a window with NaN gets an index of its own too.
        found = xp.logical_not(xp.less(X[read], Y[covered]))
        vote = xp.multiply(found, code.type(len(boxes) - number))
        xp.maximum(votes[covered], vote, out=votes[covered])
    units = _units(w.spatial, storage_order)
    steps = [
        sum(u * i * d for u, i, d in zip(units, index, w.dilations, strict=True)) for index, _, _ in reversed(boxes)
    ]
    corners = [u * (np.arange(o) * s - b) for u, o, s, b in zip(units, w.out, w.strides, w.begin, strict=True)]
    planes = np.arange(prod(shape[:2])).reshape(*shape[:2], *(1,) * w.rank) * prod(w.spatial)
    indices = xp.take(xp.asarray(np.asarray([0, *steps], np.int64)), votes)
    indices += xp.asarray(reduce(np.add.outer, corners))
    indices += xp.asarray(planes)
    return Y, indices


def _units(spatial: Sequence[int], storage_order: int) -> list[int]:
    """How far apart in a flattened channel neighbours along each axis are."""
    if storage_order:
        return [prod(spatial[:axis]) for axis in range(len(spatial))]
    return [prod(spatial[axis + 1 :]) for axis in range(len(spatial))]


def _along(place: int, positions: slice) -> tuple[Any, ...]:
    """An index that selects `positions` along the axis `place`, which counts from the end."""
    return (..., positions, *(slice(None),) * (-1 - place))


def result_array(xp: Any, out: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """`out` where it can take a result of this shape and dtype, else a new array."""
    if out is not None and out.shape == shape and out.dtype == dtype and out.flags.c_contiguous:
        return out
    return xp.empty(bounded(shape, dtype), dtype)


def widened(*arrays: Any) -> tuple[Any, ...]:
    """The arrays in the dtype to compute in: float16 and bfloat16 become float32."""
    return tuple(None if x is None else x.astype(compute_dtype(x.dtype), copy=False) for x in arrays)


def divisor(xp: Any, w: Windows, count_include_pad: int, dtype: Any) -> Any:
    """How many elements each window averages: a number, or an array of the windows' shape."""
    count = w.count(bool(count_include_pad))
    return count if isinstance(count, int) else xp.asarray(count.astype(dtype))


def check_indices(indices: Any, shape: tuple[int, ...], size: int) -> None:
    """Raises InvalidInput unless `indices` has the given shape and each lies in [0, size)."""
    if indices.shape != shape:
        raise InvalidInput(
            f"the indices have shape {list(indices.shape)}; expected {list(shape)}, one for each element"
        )
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= size):
        raise InvalidInput(
            f"the indices reach from {int(indices.min())} to {int(indices.max())}; "
            f"expected positions in a tensor of {size} elements, so 0 to {size - 1}"
        )
