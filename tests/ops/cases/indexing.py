"""Picking and writing elements by index."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from ..table import Case, case, distinct, ints, real

TEXT = np.array(["a", "bc", "d", ""], object)
ROWS = np.array([2, 0, 2, -3, 2])
"""Row 2 three times, row 0 twice, once counted from the end."""
EIGHTHS = np.arange(1, 200) / 8.0
"""Sums and products of few of these are exact, whatever their order."""


def exact(*shape, start=0):
    """Values of that kind."""
    return EIGHTHS[start : start + int(np.prod(shape))].reshape(shape)


def _scattered(combine):
    """The specification's loop over the updates of ScatterElements, axis 0."""

    def expect(data, indices, updates, **_):
        out = data.copy()
        for place in np.ndindex(indices.shape):
            target = (indices[place], *place[1:])
            out[target] = combine(out[target], updates[place])
        return out

    return expect


def _scattered_rows(combine):
    """The specification's loop over the index tuples of ScatterND."""

    def expect(data, indices, updates, **_):
        out = data.copy()
        for place in np.ndindex(indices.shape[:-1]):
            target = tuple(indices[place])
            out[target] = combine(out[target], updates[place])
        return out

    return expect


def _written(cache, update, start, axis=-2, mode="linear"):
    out = cache.copy()
    for entry, first in enumerate(start):
        for i in range(update.shape[2]):
            out[entry, :, (first + i) % cache.shape[2]] = update[entry, :, i]
    return out


def _second(old, new):
    return new


COMBINE = {"none": _second, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
NARROW = np.array([[0, 1], [2, -1], [0, 1]])
TUPLES = np.array([[[0, 1]], [[1, -1]], [[0, 1]]])

CASES: list[Case] = [
    case("Gather", real(3, 2), ints(2, 2, high=3), opset=1),
    case("Gather", real(3, 2), ROWS, grad=(0,)),
    case("Gather", real(2, 3, 2), ROWS.reshape(5, 1), axis=1, grad=(0,), name="middle axis"),
    case("Gather", real(2, 3), np.array(-1, np.int32), axis=-1, grad=(0,), name="scalar"),
    case("Gather", TEXT, np.array(1), expect=lambda x, i: np.array("bc", object), name="strings"),
    case("Gather", real(3, 2), np.zeros((0, 2), np.int64), name="nothing"),
    case("GatherElements", real(3, 3), ints(2, 3, low=-3, high=3), opset=11),
    case("GatherElements", real(3, 3), ints(4, 3, low=-3, high=3), grad=(0,)),
    case("GatherElements", real(3, 4), ints(2, 5, high=4), axis=1, grad=(0,), expect=lambda x, i, axis:
         np.take_along_axis(x[:2], i, 1), name="fewer rows"),
    case("GatherND", real(2, 3, 2), NARROW % 2, opset=11),
    case("GatherND", real(3, 2, 2), NARROW % 2, grad=(0,)),
    case("GatherND", real(2, 3, 2), ints(2, 4, 1, low=-3, high=3), batch_dims=1, grad=(0,), name="batch"),
    case("GatherND", TEXT, np.array([[3], [-3]]), expect=lambda x, i: x[[3, 1]], name="strings"),
    case("Scatter", real(3, 3), ints(2, 3, high=3), real(2, 3), opset=9,
         expect=_scattered(_second)),
    case("ScatterElements", real(3, 3), NARROW[:, :1], real(3, 1), opset=11, axis=1, expect=lambda x, i, u, axis:
         np.stack([np.where(np.arange(3) == i[k] % 3, u[k], x[k]) for k in range(3)])),
    *(
        case("ScatterElements", exact(3, 3), np.array([[0, 1], [0, -1], [0, 1]]), exact(3, 2, start=20), reduction=kind,
             grad=(0, 2), expect=_scattered(combine), name=kind)
        for kind, combine in COMBINE.items()
    ),
    case("ScatterElements", exact(2, 2), np.array([[0, 1], [0, 1]]), np.array([[0.0, 2.0], [3.0, 0.5]]),
         reduction="mul",
         grad=(0, 2), second=False, expect=_scattered(np.multiply), name="mul by zero"),  # kept zeros are constants
    case("ScatterElements", ints(4), ROWS, ints(5), opset=16, reduction="add", expect=_scattered(np.add), name="int64"),
    case("ScatterElements", TEXT, np.array([2, 0]), np.array(["x", "y"], object), expect=lambda *_:
         np.array(["y", "bc", "x", ""], object), name="strings"),
    case("ScatterND", real(3, 2), np.array([[2], [0]]), real(2, 2), opset=11),
    *(
        case("ScatterND", exact(2, 3, 2), TUPLES, exact(3, 1, 2, start=20), reduction=kind,
             grad=(0, 2), expect=_scattered_rows(combine), name=kind)
        for kind, combine in COMBINE.items()
    ),
    *(
        case("ScatterND", exact(3, 20), ROWS[:, None] % 3, exact(5, 20, start=60), reduction=kind, opset=18,
             expect=_scattered_rows(combine), name=f"wide {kind}")
        for kind, combine in COMBINE.items()
    ),
    case("ScatterND", exact(3), np.zeros((0, 1), np.int64), np.zeros(0), reduction="add", opset=16, name="nothing"),
    case("TensorScatter", real(2, 1, 4, 2), real(2, 1, 3, 2), [1, 2], opset=24, mode="circular", expect=_written),
    case("TensorScatter", real(2, 1, 4, 2), real(2, 1, 2, 2), [1, 2], opset=24, expect=_written, name="linear"),
    case("OneHot", ints(2, 3, high=4), np.array(4), [5, 7], opset=9),
    case("OneHot", np.array([[1, -1], [9, -9]]), np.array([3]), np.array([0.5, 2.0]), axis=1, grad=(2,), expect=lambda
         i, depth, values, axis: np.array([[[0.5, 0.5], [2, 0.5], [0.5, 2]], np.full((3, 2), 0.5)])),
    case("OneHot", np.array([1.7, 0.2], np.float32), np.array(2.0, np.float32), np.array(["no", "yes"], object), axis=0,
         expect=lambda *_, axis: np.array([["no", "yes"], ["yes", "no"]], object), name="strings"),
    case("TopK", distinct(2, 4), opset=1, outputs=2, k=2),
    case("TopK", distinct(2, 4), [3], opset=10, outputs=2, axis=1),
    case("TopK", distinct(4, 3), [2], outputs=2, axis=0, grad=(0,)),
    case("TopK", distinct(2, 4), [2], outputs=2, largest=0, grad=(0,), name="smallest"),
    case("TopK", np.array([[3, 1, 3, 3, 1]], np.uint8), [4], outputs=2, expect=lambda x, k:
         (np.array([[3, 3, 3, 1]], np.uint8), np.array([[0, 2, 3, 1]])), name="ties"),
    case("TopK", np.array([1, 0, 1, 0], ml_dtypes.bfloat16), [3], opset=24, outputs=2, largest=0, expect=lambda x, k,
         **_:
         (np.array([0, 0, 1], x.dtype), np.array([1, 3, 0])), name="smallest ties"),
    case("Compress", real(3, 2), np.array([True, False, True]), axis=0, grad=(0,)),
    case("Compress", real(3, 4), np.array([False, True]), axis=-1, grad=(0,), name="short"),
    case("Compress", real(3, 2), np.array([False, True, True, False, True]), grad=(0,), name="flat"),
    case("Compress", real(3, 2), np.array([True]), opset=9, axis=1),
    case("NonZero", np.array([[1.0, 0.0], [1.0, 1.0]]), opset=9),
    case("NonZero", np.array(3), expect=lambda x: np.zeros((0, 1), np.int64), name="scalar"),
    case("ReverseSequence", real(4, 3, 2), [4, 1, 2], grad=(0,)),
    case("ReverseSequence", real(3, 4), [0, 3, 4], opset=10, batch_axis=0, time_axis=1, expect=lambda x, n, **_:
         np.stack([np.concatenate([row[:k][::-1], row[k:]]) for row, k in zip(x, n, strict=True)])),
]  # fmt: skip
