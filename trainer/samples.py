"""x and y as the model wants them: one array per input and output, of the right shape and dtype, or one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput
from .losses import Loss

if TYPE_CHECKING:
    from .model import Model

Arrays = list[np.ndarray]


def _as_list(arrays: Any) -> list[Any]:
    return list(arrays) if isinstance(arrays, (list, tuple)) and arrays and hasattr(arrays[0], "shape") else [arrays]


def inputs(model: Model, x: Any) -> Arrays:
    """x as one array per input of the model, in the input's dtype.

    Raises:
        InvalidInput: for a wrong number of arrays, rank or size; the message names the input.
    """
    if x is None:
        raise InvalidInput("x is missing")
    given = [np.asarray(a) for a in _as_list(x)]
    if not model.built:
        model.build(given[0].shape)
    expected = model.input_specs
    if len(given) != len(expected):
        raise InvalidInput(
            f"the model has {len(expected)} inputs ({', '.join(n for n, _, _ in expected)}), found {len(given)} arrays"
        )
    return [
        _fitting(a, f"input {name!r}", shape, dtype) for a, (name, shape, dtype) in zip(given, expected, strict=True)
    ]


def _fitting(array: np.ndarray, what: str, shape: Sequence[int | None], dtype: np.dtype) -> np.ndarray:
    fits = array.ndim == len(shape) and all(w is None or w == h for w, h in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = "(" + ", ".join("None" if d is None else str(d) for d in shape) + ")"
        raise InvalidInput(f"{what} has shape {array.shape}; expected {wanted}")
    if array.dtype.kind not in "fiub":
        raise InvalidInput(f"{what} has dtype {array.dtype}; expected numbers")
    return np.ascontiguousarray(array, dtype)


def labels(model: Model, losses: Sequence[Loss], y: Any) -> Arrays:
    """y as one array per output: class numbers for sparse losses, else the output's shape.

    Raises:
        InvalidInput: for labels of a wrong shape, or out of range; the message says which.
    """
    if y is None:
        raise InvalidInput("y is missing")
    given = [np.asarray(a) for a in _as_list(y)]
    specs = model.output_specs
    if not len(given) == len(specs) == len(losses):
        raise InvalidInput(
            f"{len(specs)} outputs, {len(losses)} losses and {len(given)} label arrays; expected as many of each"
        )
    return [
        _class_numbers(a, name, shape, loss)
        if loss.sparse
        else _fitting(_column(a, shape), f"labels of {name!r}", shape, np.dtype(np.float32))
        for a, (name, shape), loss in zip(given, specs, losses, strict=True)
    ]


def _column(array: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
    """[N] as [N, 1] where the output has one column."""
    return array[:, None] if array.ndim == 1 and len(shape) == 2 and shape[1] == 1 else array


def _class_numbers(array: np.ndarray, name: str, shape: Sequence[int | None], loss: Loss) -> np.ndarray:
    if array.ndim == len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "iu" and not (array.dtype.kind == "f" and (array == np.floor(array)).all()):
        raise InvalidInput(f"labels of {name!r} have dtype {array.dtype}; expected class numbers for {loss.name}")
    array = _fitting(array, f"labels of {name!r}", shape[:-1], np.dtype(np.int64))
    classes, ignored = shape[-1], getattr(loss, "ignore_class", None)
    bad = (array < 0) | (array >= classes) if classes is not None else array < 0
    bad &= array != ignored if ignored is not None else True
    if bad.any():
        where = np.argwhere(bad)[0].tolist()
        found = array[tuple(where)]
        raise InvalidInput(
            f"label {found} at position {where[0] if len(where) == 1 else where} is out of range; "
            f"expected 0 to {(classes or 0) - 1}"
        )
    return array


def same_length(xs: Arrays, ys: Arrays) -> None:
    lengths = [len(a) for a in (*xs, *ys)]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise InvalidInput(
            f"x has {[len(a) for a in xs]} samples and y {[len(a) for a in ys]}; expected the same number, at least 1"
        )


def split(xs: Arrays, ys: Arrays, share: float) -> tuple[Arrays, Arrays, tuple[Arrays, Arrays]]:
    """The last `share` of the samples is kept for validation, as in Keras."""
    if not 0.0 < share < 1.0:
        raise InvalidInput(f"validation_split is {share}; expected a number between 0 and 1")
    at = int(len(xs[0]) * (1.0 - share))
    return [x[:at] for x in xs], [y[:at] for y in ys], ([x[at:] for x in xs], [y[at:] for y in ys])
