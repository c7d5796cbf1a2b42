"""GridSample, AffineGrid and Col2Im."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from striate.runtime.ops import GRAD_DOMAIN

from ..table import Array, Case, case, ints, real

GRAD = {"domain": GRAD_DOMAIN, "opset": 1}
PADDINGS = ("zeros", "border", "reflection")
NARROW = ("float64", "float32", "float16")


def _triangle(d: Array, order: int) -> Array:
    near = abs(d) < 1
    return np.where(near, -np.sign(d), 0.0) if order else np.where(near, 1 - abs(d), 0.0)


def _keys(d: Array, order: int) -> Array:
    """Keys' kernel with a = -3/4 at distance d, or its derivative."""
    x = abs(d)
    if order:
        near, far = 3.75 * x**2 - 4.5 * x, -2.25 * x**2 + 7.5 * x - 6
    else:
        near, far = 1.25 * x**3 - 2.25 * x**2 + 1, -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3
    return np.where(x < 1, near, np.where(x < 2, far, 0.0)) * (np.sign(d) if order else 1)


def _equal(d: Array, order: int) -> Array:
    """The element at distance 0, places having been rounded before."""
    return (d == 0).astype(float)


def _element(k: int, size: int, padding_mode: str, align_corners: int) -> int | None:
    """The element that stands at position k of an axis that is continued beyond its ends."""
    if padding_mode == "zeros":
        return k if 0 <= k < size else None
    if padding_mode == "border" or (align_corners and size == 1):
        return min(max(k, 0), size - 1)
    while not 0 <= k < size:
        k = (0 if align_corners else -1) - k if k < 0 else 2 * size - (2 if align_corners else 1) - k
    return k


def axis_weights(
    place: Array, size: int, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0, order: int = 0
) -> Array:
    """The weight of each element of an axis at each place: [*places, size]."""
    kernel = {"nearest": _equal, "linear": _triangle, "cubic": _keys}[mode]
    weights = np.zeros((*place.shape, size))
    if mode == "nearest":
        place = np.rint(place)
    for k in range(int(np.floor(place.min())) - 2, int(np.ceil(place.max())) + 3):
        element = _element(k, size, padding_mode, align_corners)
        if element is not None:
            weights[..., element] += kernel(place - k, order)
    return weights


def _grid_weights(grid: Array, spatial: Sequence[int], mode: str, padding: str, align: int, orders=None) -> list[Array]:
    rank = len(spatial)
    made = []
    for axis, size in enumerate(spatial):
        g, order = grid[..., rank - 1 - axis], orders[axis] if orders else 0
        stretch = (size - 1 if align else size) / 2
        made.append(axis_weights(g * stretch + (size - 1) / 2, size, mode, padding, align, order) * stretch**order)
    return made


PLACES = {1: "ni", 2: "nij", 3: "nijk"}
AXES = "xyz"


def sampled(X, grid, *, mode="linear", padding_mode="zeros", align_corners=0, orders=None):
    """Every element of X times its weight, those of each axis multiplied."""
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    rank = X.ndim - 2
    weights = _grid_weights(grid, X.shape[2:], mode, padding_mode, align_corners, orders)
    places = PLACES[rank]
    terms = ",".join(places + AXES[axis] for axis in range(rank))
    return np.einsum(f"nc{AXES[:rank]},{terms}->nc{places[1:]}", X, *weights)


def unsampled(dY, shape, grid, *, orders, mode="linear", padding_mode="zeros", align_corners=0):
    """The transpose of `sampled`."""
    rank = len(shape) - 2
    weights = _grid_weights(grid, shape[2:], mode, padding_mode, align_corners, orders)
    places = PLACES[rank]
    terms = ",".join(places + AXES[axis] for axis in range(rank))
    return np.einsum(f"nc{places[1:]},{terms}->nc{AXES[:rank]}", dY, *weights)


def grid(*shape: int, reach: float = 1.6) -> Array:
    return real(*shape, low=-reach, high=reach)


def affine(theta, size, *, align_corners=0):
    """Position by position; a single element lies in the middle."""
    spatial = [int(n) for n in size[2:]]
    Y = np.zeros((len(theta), *spatial, len(spatial)))
    for p in np.ndindex(*spatial):
        at = [
            (2 * i - (n - 1)) / max(1, n - 1 if align_corners else n)
            for i, n in zip(reversed(p), spatial[::-1], strict=True)
        ]
        Y[(slice(None), *p)] = theta @ np.array([*at, 1.0])
    return Y


def _im2col(X, block, *, strides=None, pads=None, dilations=None):
    """Window by window over a padded copy of X."""
    rank = len(block)
    strides, dilations, pads = strides or [1] * rank, dilations or [1] * rank, pads or [0] * 2 * rank
    X = np.pad(X, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    out = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(X.shape[2:], block, dilations, strides, strict=True)]
    seen = []
    for o in np.ndindex(*out):
        box = (
            slice(i * s, i * s + (k - 1) * d + 1, d) for i, s, k, d in zip(o, strides, block, dilations, strict=True)
        )
        seen.append(X[(..., *box)].reshape(len(X), -1))
    return np.stack(seen, -1)


SPREAD = {"strides": [2, 3], "dilations": [2, 1], "pads": [1, 0, 0, 1]}

GRIDS = [
    case("GridSample", real(2, 3, 4, 5), grid(2, 3, 2, 2), opset=16, dtypes=("float32",), name="the reference"),
    case("GridSample", real(2, 3, 4, 5), grid(2, 3, 2, 2), opset=16, mode="bicubic", padding_mode="reflection",
         expect=sampled),
    case("GridSample", real(2, 3, 4, 5), grid(2, 3, 2, 2), opset=16, mode="nearest", align_corners=1, expect=sampled,
         name="nearest"),
    *(
        case("GridSample", real(2, 2, 4, 3), grid(2, 3, 2, 2), mode=mode, padding_mode=padding, align_corners=align,
             expect=sampled, grad=(0,) if mode == "nearest" else (0, 1),
             dtypes=NARROW if mode == "linear" else NARROW[:2], name=f"{mode} {padding} {align}")
        for mode, padding, align in itertools.product(("nearest", "linear", "cubic"), PADDINGS, (0, 1))
    ),
    *(
        case("GridSample", real(1, 2, 3, 2, 4), grid(1, 2, 3, 1, 3), mode=mode, padding_mode=padding, expect=sampled,
             grad=(0, 1), name=f"{mode} {padding}, three axes")
        for mode, padding in (("linear", "zeros"), ("cubic", "reflection"))
    ),
    case("GridSample", real(1, 2, 3, 2, 4), grid(1, 2, 3, 1, 3), align_corners=1, dtypes=("float32",),
         name="three axes, the reference"),
    case("GridSample", real(2, 3, 6), grid(2, 5, 1), expect=sampled, grad=(0, 1), name="one axis"),
    case("GridSample", real(1, 1, 1, 1), grid(1, 3, 3, 2), padding_mode="reflection", align_corners=1, mode="cubic",
         expect=sampled, name="one element"),
    case("GridSample", real(1, 20, 3, 3), grid(1, 4, 4, 2, reach=30.0), padding_mode="reflection", expect=sampled,
         dtypes=("float64",), grad=(0, 1), name="many channels, far out"),
    case("GridSample", real(1, 1, 2, 2), np.array([[[[1e30, -1e30], [np.inf, 0.0], [-np.inf, 0.5]]]]),
         padding_mode="border", expect=lambda X, g, **a: np.stack([X[..., 0, 1], X[..., 1].mean(-1), X[..., 1, 0]], -1)[
             :, :, None], name="very far out, border"),
    case("GridSample", real(1, 1, 2, 2), np.array([[[[1e30, -1e30], [np.inf, 0.0], [np.nan, 0.5]]]]),
         expect=lambda X, g, **a: np.zeros((1, 1, 1, 3)), name="very far out"),
    case("GridSample", real(1, 1, 2, 2), np.array([[[[1e30, -1e30], [np.inf, 0.0], [np.nan, 0.5]]]]), mode="nearest",
         expect=lambda X, g, **a: np.zeros((1, 1, 1, 3)), name="very far out, nearest"),
    case("GridSample", ints(1, 2, 4, 4, high=200, dtype=np.uint8), grid(1, 3, 3, 2), mode="cubic",
         expect=lambda *given, **a: np.clip(np.rint(sampled(*given, **a)), 0, 255).astype(np.uint8), name="uint8"),
    case("GridSample", np.full((1, 1, 2, 2), 2**63 - 1), np.zeros((1, 1, 1, 2)),
         expect=lambda X, g, **a: np.full((1, 1, 1, 1), 2**63 - 1024), name="the largest int64"),
    case("GridSample", np.array([[[["a", "b"], ["c", "d"]]]], object), np.array([[[[0.6, -0.4], [0.9, 3.0]]]]),
         mode="nearest", expect=lambda X, g, **a: np.array([[[["b", ""]]]], object), name="text"),
    case("GridSample", real(1, 1, 2, 2) > 0, np.array([[[[0.6, -0.4]]]]), mode="nearest",
         expect=lambda X, g, **a: X[:, :, :1, 1:], name="bool"),
    case("GridSample", real(1, 1, 2, 3) + 1j * real(1, 1, 2, 3, key="i"), grid(1, 2, 2, 2), expect=sampled,
         dtypes=("float64",), name="complex"),
    case("GridSample", real(0, 2, 3, 3), real(0, 2, 2, 2), expect=lambda X, g, **a: np.zeros((0, 2, 2, 2)),
         name="empty batch"),
    case("GridSample", real(1, 2, 3, 3), real(1, 0, 2, 2), expect=lambda X, g, **a: np.zeros((1, 2, 0, 2)),
         name="no places"),
    *(
        case("GridSampleDerivative", real(2, 2, 4, 3), grid(2, 3, 2, 2), orders=orders, mode=mode, padding_mode=padding,
             align_corners=align, **GRAD, expect=sampled, grad=(0, 1), name=f"{mode} {padding} {orders}")
        for orders, mode, padding, align in (([1, 0], "linear", "zeros", 0), ([0, 1], "linear", "border", 1),
                                             ([1, 1], "cubic", "reflection", 1), ([0, 1], "cubic", "border", 0))
    ),
    case("GridSampleDerivative", real(2, 2, 4, 3), grid(2, 3, 2, 2), orders=[1, 1], **GRAD, expect=sampled, grad=(0,),
         name="twice"),
    *(
        case("GridSampleGrad", real(2, 2, 3, 2), [2, 2, 4, 3], grid(2, 3, 2, 2), orders=orders, mode=mode,
             padding_mode=padding, align_corners=align, **GRAD, expect=unsampled,
             grad=(0,) if mode == "nearest" else (0, 2), name=f"{mode} {padding} {orders}")
        for orders, mode, padding, align in (([0, 0], "nearest", "zeros", 0), ([0, 0], "linear", "reflection", 0),
                                             ([0, 1], "linear", "zeros", 1), ([1, 0], "cubic", "border", 0))
    ),
    case("GridSampleGrad", real(1, 2, 3), [1, 2, 4], grid(1, 3, 1), orders=[0], **GRAD, expect=unsampled,
         dtypes=("float16",), name="one axis"),
    case("GridSampleGrad", real(1, 2, 0), [1, 2, 4], real(1, 0, 1), orders=[0], **GRAD,
         expect=lambda *_, **a: np.zeros((1, 2, 4)), name="no places"),
]  # fmt: skip

AFFINE = [
    case("AffineGrid", real(2, 2, 3), [2, 3, 4, 5], dtypes=NARROW, expect=affine, grad=(0,)),
    case("AffineGrid", real(2, 2, 3), [2, 3, 4, 5], align_corners=1, dtypes=("float32",), name="the reference"),
    case("AffineGrid", real(2, 3, 4), [2, 1, 2, 3, 4], align_corners=1, expect=affine, grad=(0,), name="three axes"),
    case("AffineGrid", real(1, 2, 3), [1, 1, 1, 3], align_corners=1, expect=affine, name="one row"),
    case("AffineGrid", real(1, 2, 3), [1, 1, 0, 3], expect=affine, name="no rows"),
]  # fmt: skip

COLUMNS = [
    case("Col2Im", real(2, 12, 12), [4, 5], [2, 2], dtypes=NARROW, grad=(0,)),
    case("Col2Im", real(2, 18, 6), [6, 7], [3, 2], **SPREAD, grad=(0,), name="strides, dilations and padding"),
    case("Col2Im", real(1, 12, 18), [3, 4, 3], [1, 2, 2], strides=[1, 1, 1], grad=(0,), name="three axes"),
    case("Col2Im", real(1, 6, 3), [5], [3], grad=(0,), name="one axis"),
    case("Col2Im", real(1, 4, 2), [3, 5], [2, 2], strides=[2, 2], grad=(0,), name="positions in no block"),
    case("Col2Im", ints(1, 4, 4, dtype=np.int8), [3, 3], [2, 2], name="int8"),
    case("Col2Im", real(1, 4, 4) > 0, [3, 3], [2, 2], name="bool"),
    case("Col2Im", real(0, 4, 4), [3, 3], [2, 2], expect=lambda *_, **a: np.zeros((0, 1, 3, 3)), name="empty batch"),
    case("Im2Col", real(2, 3, 4, 5), [2, 2], **GRAD, expect=_im2col, grad=(0,)),
    case("Im2Col", real(2, 3, 6, 7), [3, 2], **SPREAD, **GRAD, expect=_im2col, grad=(0,), name="spread out"),
    case("Im2Col", real(0, 2, 3), [2], **GRAD, expect=lambda *_, **a: np.zeros((0, 4, 2)), name="empty batch"),
]  # fmt: skip

CASES: list[Case] = [*GRIDS, *AFFINE, *COLUMNS]
