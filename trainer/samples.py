"""x and y as the model wants them: one array per input and output, of the right shape and dtype, or one clear error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput
from . import feeds
from .data import Dataset
from .losses import CategoricalCrossentropy, Loss

if TYPE_CHECKING:
    from .model import Model

Arrays = list[np.ndarray]


def pair(model: Model, losses: Sequence[Loss], x: Any, y: Any) -> tuple[Arrays, Arrays]:
    """Inputs and labels of equal length; a `Dataset` given as x, without y, brings both.

    Raises:
        InvalidInput: as `inputs` and `labels`, or if the lengths differ.
    """
    if y is None and isinstance(x, Dataset):
        x, y = x.x, x.y
    xs, ys = inputs(model, x), labels(model, losses, y)
    lengths = [len(a) for a in (*xs, *ys)]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise InvalidInput(
            f"x has {[len(a) for a in xs]} samples and y {[len(a) for a in ys]}; expected the same number, at least 1"
        )
    return xs, ys


def unpaired(data: Any) -> tuple[Any, Any]:
    """x and y of validation data: a pair, a `Dataset`, or batches (and no y).

    Raises:
        InvalidInput: for anything else.
    """
    if isinstance(data, Dataset):
        return data.x, data.y
    if feeds.is_stream(data):
        return data, None
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise InvalidInput(f"validation_data is a {type(data).__name__}; expected a pair (x, y), a Dataset or batches")
    return data[0], data[1]


def whole_number(name: str, value: Any, least: int) -> None:
    """Raises InvalidInput unless `value` is an integer of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise InvalidInput(f"{name} is {value!r}; expected a whole number, at least {least}")


def _listed(arrays: Any, names: Sequence[str]) -> list[Any]:
    """One array, a list of them, or a dict by name, as a list in the order of `names`."""
    if isinstance(arrays, Mapping):
        if set(arrays) != set(names):
            raise InvalidInput(f"arrays are given for {sorted(arrays)}; expected them for {sorted(names)}")
        return [arrays[name] for name in names]
    many = isinstance(arrays, (list, tuple)) and arrays and hasattr(arrays[0], "shape")
    listed = list(arrays) if many else [arrays]
    for array in listed:
        if isinstance(array, (Iterator, Dataset)):
            raise InvalidInput(f"found a {type(array).__name__} where arrays were expected")
    return listed


def inputs(model: Model, x: Any) -> Arrays:
    """x as one array per input of the model, in the input's dtype.

    Raises:
        InvalidInput: for a wrong number of arrays, rank or size; the message names the input.
    """
    if x is None:
        raise InvalidInput("x is missing")
    given = [np.asarray(a) for a in _listed(x, model.input_names if model.built else ())]
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
        raise InvalidInput(f"{what} with shape {array.shape} does not fit; expected {tuple(shape)}")
    if array.dtype.kind not in "fiub":
        raise InvalidInput(f"{what} with dtype {array.dtype} does not fit; expected numbers")
    return np.ascontiguousarray(array, dtype)


def labels(model: Model, losses: Sequence[Loss], y: Any) -> Arrays:
    """y as one array per output: class numbers for sparse losses, else the output's shape.

    Raises:
        InvalidInput: for labels of a wrong shape, or out of range; the message says which.
    """
    if y is None:
        raise InvalidInput("y is missing")
    specs = model.output_specs
    given = [np.asarray(a) for a in _listed(y, [name for name, _ in specs])]
    if not len(given) == len(specs) == len(losses):
        raise InvalidInput(
            f"{len(specs)} outputs, {len(losses)} losses and {len(given)} label arrays; expected as many of each"
        )
    return [
        _class_numbers(a, name, shape, loss) if loss.sparse else _targets(a, name, shape, loss)
        for a, (name, shape), loss in zip(given, specs, losses, strict=True)
    ]


def _targets(array: np.ndarray, name: str, shape: Sequence[int | None], loss: Loss) -> np.ndarray:
    """Labels of the output's shape; [N] is taken as [N, 1] where the output has one column."""
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        array = array[..., None]
    elif array.ndim == len(shape) - 1 and isinstance(loss, CategoricalCrossentropy):
        raise InvalidInput(
            f"labels of {name!r} with shape {array.shape} look like class numbers; {loss.name} expects one-hot labels: "
            "use loss='sparse_categorical_crossentropy'"
        )
    return _fitting(array, f"labels of {name!r}", shape, np.dtype(np.float32))


def _class_numbers(array: np.ndarray, name: str, shape: Sequence[int | None], loss: Loss) -> np.ndarray:
    if array.ndim == len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == len(shape) and array.shape[-1] == shape[-1]:
        raise InvalidInput(
            f"labels of {name!r} with shape {array.shape} look one-hot; {loss.name} expects class numbers: "
            "use loss='categorical_crossentropy', or labels.argmax(axis=-1)"
        )
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


def split(xs: Arrays, ys: Arrays, share: float) -> tuple[Arrays, Arrays, tuple[Arrays, Arrays]]:
    """The last `share` of the samples is kept for validation, as in Keras."""
    if not 0.0 < share < 1.0:
        raise InvalidInput(f"validation_split is {share}; expected a number between 0 and 1")
    at = int(len(xs[0]) * (1.0 - share))
    if not at:
        raise InvalidInput(f"validation_split is {share}, which leaves none of {len(xs[0])} samples to train on")
    return [x[:at] for x in xs], [y[:at] for y in ys], ([x[at:] for x in xs], [y[at:] for y in ys])
