"""Pooling: kernels, strides, dilations, padding, ceil_mode, indices and their storage order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..table import Array, Case, case, distinct, ints, real

NARROW = ("float64", "float32", "float16")
BFLOAT16 = ("float32", "bfloat16")


def windows_of(X: Array, begin: tuple[int, ...], out: tuple[int, ...], attrs: dict[str, Any]):
    """For every window of the given output shape: its index, and the positions that its taps read."""
    rank = X.ndim - 2
    strides, dilations = attrs.get("strides") or [1] * rank, attrs.get("dilations") or [1] * rank
    for o in np.ndindex(*out):
        yield (
            o,
            [
                tuple(o[i] * strides[i] + t[i] * dilations[i] - begin[i] for i in range(rank))
                for t in np.ndindex(*attrs["kernel_shape"])
            ],
        )


def within(at: tuple[int, ...], size: tuple[int, ...]) -> bool:
    return all(0 <= p < n for p, n in zip(at, size, strict=True))


def pooled(reduce, begin: tuple[int, ...], out: tuple[int, ...], *, padded: bool = False):
    """An oracle: `reduce` of the values of every window, window by window.

    `begin` is the padding before each axis, `out` the output's spatial shape. With `padded`, the zeros of that padding,
    and of as much at the end, count.
    """

    def expect(X: Array, **attrs) -> Array:
        Y = np.zeros((*X.shape[:2], *out))
        if padded:
            X = np.pad(X, [(0, 0), (0, 0), *((b, b) for b in begin)])
        for o, taps in windows_of(X, (0,) * len(begin) if padded else begin, out, attrs):
            values = [X[(..., *at)] for at in taps if within(at, X.shape[2:])]
            Y[(..., *o)] = reduce(np.stack(values), attrs.get("p", 2))
        return Y

    return expect


def maxima(begin: tuple[int, ...], out: tuple[int, ...]):
    """An oracle for MaxPool with indices, window by window; the first of equal maxima counts."""

    def expect(X: Array, **attrs) -> tuple[Array, Array]:
        planes = X.reshape(-1, *X.shape[2:])
        order = "F" if attrs.get("storage_order") else "C"
        Y, indices = np.zeros((len(planes), *out)), np.zeros((len(planes), *out), np.int64)
        for o, taps in windows_of(X, begin, out, attrs):
            inside = [at for at in taps if within(at, X.shape[2:])]
            for n, plane in enumerate(planes):
                best = int(np.argmax([plane[at] for at in inside]))
                Y[(n, *o)] = plane[inside[best]]
                indices[(n, *o)] = n * plane.size + np.ravel_multi_index(inside[best], plane.shape, order=order)
        return Y.reshape(*X.shape[:2], *out), indices.reshape(*X.shape[:2], *out)

    return expect


def norm(values: Array, p: float) -> Array:
    return (np.abs(values) ** p).sum(0) ** (1 / p)


def mean(values: Array, _: float) -> Array:
    return values.mean(0)


def largest(values: Array, _: float) -> Array:
    return values.max(0)


def global_max(X: Array) -> Array:
    return X.max(axis=(2, 3, 4), keepdims=True)


def global_norm(X: Array, p: float = 2) -> Array:
    return (np.abs(X) ** p).sum(tuple(range(2, X.ndim)), keepdims=True) ** (1 / p)


D, R = distinct(2, 2, 5, 4), real(2, 2, 5, 4)
TIES = np.floor(real(1, 2, 4, 5))
UNPOOL = ints(1, 2, 2, 2, low=0, high=1) + np.array([[[[0, 3], [9, 14]], [[17, 22], [25, 31]]]])

MAX = [
    case("MaxPool", D, kernel_shape=[2, 2], grad=(0,), dtypes=NARROW),
    case("MaxPool", D, opset=22, kernel_shape=[2, 2], dtypes=BFLOAT16, name="22"),
    case("MaxPool", D, opset=1, kernel_shape=[2, 3], strides=[2, 1], pads=[1, 0, 0, 1], name="first version"),
    case("MaxPool", D, opset=8, kernel_shape=[2, 2], outputs=2, expect=maxima((0, 0), (4, 3)), name="indices 8"),
    case("MaxPool", D, opset=10, kernel_shape=[2, 2], dilations=[2, 1], outputs=2, expect=maxima((0, 0), (3, 3)),
         name="indices 10"),
    case("MaxPool", D, kernel_shape=[2, 2], strides=[2, 2], grad=(0,), name="disjoint"),
    case("MaxPool", D, kernel_shape=[2, 2], strides=[3, 2], grad=(0,), name="gaps"),
    case("MaxPool", D, kernel_shape=[3, 2], pads=[2, 1, 2, 1], outputs=2, grad=(0,), expect=maxima((2, 1), (7, 5)),
         name="padding"),
    case("MaxPool", -np.abs(D), kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2], outputs=2,
         expect=maxima((1, 1), (3, 2)), name="all negative"),
    case("MaxPool", D, kernel_shape=[2, 2], strides=[2, 3], ceil_mode=1, outputs=2, grad=(0,),
         expect=maxima((0, 0), (3, 2)), name="ceil"),
    case("MaxPool", D, kernel_shape=[2, 2], strides=[3, 3], pads=[0, 0, 1, 1], ceil_mode=1, grad=(0,),
         expect=pooled(largest, (0, 0), (2, 2)), name="ceil, no window starting in padding"),
    case("MaxPool", D, kernel_shape=[2, 5], strides=[1, 2], ceil_mode=1, grad=(0,),
         expect=pooled(largest, (0, 0), (4, 1)), name="ceil, kernel over the end"),
    case("MaxPool", D, kernel_shape=[2, 2], dilations=[3, 2], pads=[1, 0, 1, 1], grad=(0,), name="dilations"),
    case("MaxPool", D, kernel_shape=[2, 3], auto_pad="SAME_UPPER", strides=[2, 2], grad=(0,), name="same upper"),
    case("MaxPool", D, kernel_shape=[2, 2], auto_pad="SAME_LOWER", outputs=2, grad=(0,), expect=maxima((1, 1), (5, 4)),
         name="same lower"),
    case("MaxPool", D, kernel_shape=[2, 2], auto_pad="VALID", strides=[3, 1], grad=(0,), name="valid"),
    case("MaxPool", D, kernel_shape=[2, 2], storage_order=1, outputs=2, grad=(0,), expect=maxima((0, 0), (4, 3)),
         name="column-major indices"),
    case("MaxPool", TIES, kernel_shape=[2, 2], outputs=2, expect=maxima((0, 0), (3, 4)), name="first of equals"),
    case("MaxPool", np.where(R > -1.5, -np.inf, R), kernel_shape=[2, 2], pads=[1] * 4, outputs=2,
         expect=maxima((1, 1), (6, 5)), name="minus infinity"),
    case("MaxPool", ints(1, 2, 4, 4, low=-128, high=127, dtype=np.int8), kernel_shape=[3, 3], pads=[1] * 4,
         expect=pooled(largest, (1, 1), (4, 4)), name="int8"),
    case("MaxPool", ints(1, 2, 4, 4, low=0, high=255, dtype=np.uint8), kernel_shape=[2, 2], strides=[2, 2],
         expect=pooled(largest, (0, 0), (2, 2)), name="uint8"),
    case("MaxPool", distinct(2, 2, 7), kernel_shape=[3], strides=[2], outputs=2, grad=(0,), expect=maxima((0,), (3,)),
         name="one axis"),
    case("MaxPool", distinct(1, 2, 3, 4, 3), kernel_shape=[2, 2, 2], pads=[0, 1, 0, 0, 0, 1], outputs=2, grad=(0,),
         expect=maxima((0, 1, 0), (2, 4, 3)), name="three axes"),
    case("MaxPool", distinct(1, 2, 3, 2, 3), kernel_shape=[2, 2, 2], storage_order=1, outputs=2, grad=(0,),
         expect=maxima((0, 0, 0), (2, 1, 2)), name="three axes, column-major indices"),
    case("MaxPool", real(0, 2, 4, 4), kernel_shape=[2, 2], expect=pooled(largest, (0, 0), (3, 3)), name="empty batch"),
]  # fmt: skip

AVERAGE = [
    case("AveragePool", R, kernel_shape=[2, 3], grad=(0,), dtypes=NARROW),
    case("AveragePool", R, opset=1, kernel_shape=[2, 2], pads=[1, 0, 0, 1], expect=pooled(mean, (1, 0), (5, 4)),
         name="first version"),
    case("AveragePool", R, opset=7, kernel_shape=[2, 2], pads=[1] * 4, count_include_pad=1, name="with padding 7"),
    case("AveragePool", R, opset=10, kernel_shape=[2, 2], strides=[2, 3], ceil_mode=1, name="ceil 10"),
    case("AveragePool", R, opset=22, kernel_shape=[2, 2], dilations=[2, 2], dtypes=BFLOAT16, name="dilations 22"),
    case("AveragePool", real(1, 2, 4, 6), kernel_shape=[2, 2], strides=[2, 2], grad=(0,), name="disjoint"),
    case("AveragePool", R, kernel_shape=[2, 2], strides=[2, 3], grad=(0,), name="gaps"),
    case("AveragePool", R, kernel_shape=[3, 2], pads=[1, 1, 2, 0], strides=[1, 2], grad=(0,), name="padding"),
    case("AveragePool", R, kernel_shape=[3, 2], pads=[1, 1, 2, 0], count_include_pad=1, grad=(0,), name="with padding"),
    case("AveragePool", R, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1, grad=(0,),
         expect=pooled(mean, (1, 1), (3, 3)), name="ceil"),
    case("AveragePool", R, kernel_shape=[3, 3], strides=[3, 2], pads=[1] * 4, ceil_mode=1, count_include_pad=1,
         grad=(0,), expect=pooled(mean, (1, 1), (2, 3), padded=True), name="ceil, with padding"),
    case("AveragePool", R, kernel_shape=[2, 2], dilations=[3, 1], pads=[1, 0, 1, 0], grad=(0,), name="dilations"),
    case("AveragePool", R, kernel_shape=[2, 3], auto_pad="SAME_UPPER", strides=[2, 2], grad=(0,), name="same upper"),
    case("AveragePool", R, kernel_shape=[2, 3], auto_pad="SAME_LOWER", strides=[1, 2], grad=(0,), count_include_pad=1,
         name="same lower"),
    case("AveragePool", R, kernel_shape=[2, 3], auto_pad="VALID", strides=[2, 1], ceil_mode=1, grad=(0,),
         expect=pooled(mean, (0, 0), (3, 2)), name="valid, ceil"),
    case("AveragePool", R, kernel_shape=[2, 2], auto_pad="VALID", strides=[3, 3], ceil_mode=1, grad=(0,),
         expect=pooled(mean, (0, 0), (2, 2)), name="valid, with ceil as without auto_pad"),
    case("AveragePool", real(2, 2, 6), kernel_shape=[3], strides=[2], pads=[1, 1], grad=(0,), name="one axis"),
    case("AveragePool", real(1, 2, 3, 4, 3), kernel_shape=[2, 2, 2], pads=[0, 1, 0, 0, 0, 1], grad=(0,),
         name="three axes"),
]  # fmt: skip

LP = [
    case("LpPool", R, kernel_shape=[2, 3], grad=(0,), dtypes=NARROW),
    case("LpPool", R, opset=1, kernel_shape=[2, 2], p=2.5, expect=pooled(norm, (0, 0), (4, 3)), name="first version"),
    case("LpPool", R, opset=2, kernel_shape=[2, 2], p=3, strides=[2, 1], name="p 3, version 2"),
    case("LpPool", R, opset=22, kernel_shape=[2, 2], dilations=[2, 1], dtypes=BFLOAT16, name="dilations 22"),
    case("LpPool", distinct(2, 2, 4, 4), kernel_shape=[2, 2], p=1, grad=(0,), name="p 1"),
    case("LpPool", distinct(2, 2, 4, 4), kernel_shape=[2, 2], p=3, strides=[2, 2], grad=(0,), name="p 3"),
    case("LpPool", R, kernel_shape=[2, 3], p=4, pads=[1, 0, 0, 2], grad=(0,), name="p 4, padding"),
    case("LpPool", R, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1, grad=(0,),
         expect=pooled(norm, (0, 0), (3, 2)), name="ceil"),
    case("LpPool", R, kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[2, 2], grad=(0,), name="same upper"),
    case("LpPool", R, kernel_shape=[3, 2], auto_pad="SAME_LOWER", strides=[1, 2], grad=(0,), name="same lower"),
    case("LpPool", real(2, 2, 6), kernel_shape=[2], strides=[3], grad=(0,), name="one axis"),
    case("LpPool", real(1, 2, 3, 3, 3), kernel_shape=[2, 2, 2], grad=(0,), name="three axes"),
    case("LpPool", np.zeros((1, 1, 3, 3)), kernel_shape=[2, 2], name="zeros"),
]  # fmt: skip

GLOBAL = [
    case("GlobalAveragePool", R, grad=(0,), dtypes=NARROW),
    case("GlobalAveragePool", real(2, 3, 4), opset=1, grad=(0,), name="one axis"),
    case("GlobalAveragePool", R, opset=22, dtypes=BFLOAT16, name="22"),
    case("GlobalMaxPool", D, grad=(0,), dtypes=NARROW),
    case("GlobalMaxPool", D, opset=22, dtypes=BFLOAT16, name="22"),
    case("GlobalMaxPool", distinct(2, 3, 2, 2, 2), opset=1, expect=global_max, name="three axes"),
    case("GlobalLpPool", R, opset=1, p=2.5, expect=global_norm, name="first version"),
    case("GlobalLpPool", R, grad=(0,), expect=global_norm, dtypes=NARROW),
    case("GlobalLpPool", R, opset=22, expect=global_norm, dtypes=BFLOAT16, name="22"),
    case("GlobalLpPool", distinct(2, 2, 3, 3), p=1, grad=(0,), expect=global_norm, name="p 1"),
    case("GlobalLpPool", distinct(2, 2, 3, 3), p=3, grad=(0,), expect=global_norm, name="p 3"),
]

UNPOOLED = [
    case("MaxUnpool", real(1, 2, 2, 2), UNPOOL, kernel_shape=[2, 2], strides=[2, 2], grad=(0,), dtypes=NARROW),
    case("MaxUnpool", real(1, 2, 2, 2), UNPOOL, opset=9, kernel_shape=[2, 2], strides=[2, 2], name="first version"),
    case("MaxUnpool", real(1, 2, 2, 2), UNPOOL, [1, 2, 5, 6], kernel_shape=[2, 2], strides=[2, 2], grad=(0,),
         name="output shape"),
    case("MaxUnpool", real(1, 1, 3), [[[0, 2, 4]]], kernel_shape=[3], strides=[2], pads=[1, 1], grad=(0,),
         name="one axis, padding"),
]  # fmt: skip

CASES: list[Case] = [*MAX, *AVERAGE, *LP, *GLOBAL, *UNPOOLED]
