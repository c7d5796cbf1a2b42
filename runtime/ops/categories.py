"""ai.onnx.ml: categories to other categories, numbers and one-hot vectors."""

from __future__ import annotations

import numpy as np

from ..dtypes import is_float
from ..errors import InvalidGraph, InvalidInput
from ._axes import bounded
from .features import DOMAIN, fitting, one_of
from .registry import op
from .strings import is_text, text_array, texts

_DTYPES = {"int64s": np.int64, "floats": np.float32}
_UNUSED = "_Unused"
_BEYOND_INT64 = 2.0**63


def _vector(name, values):
    """The value of an attribute such as keys_floats as a host vector."""
    kind = name.partition("_")[2]
    if kind == "tensor":
        return text_array(texts(values, name)) if is_text(values) else values
    return text_array(values) if kind == "strings" else np.asarray(values, _DTYPES[kind])


def _places(xp, X, keys):
    """Where in the host vector `keys` each element of X is, or -1; of equal keys the last counts.

    NaN equals every NaN, and 0 equals -0.
    """
    if is_text(X):
        table = {key: i for i, key in enumerate(keys.tolist())}
        return np.fromiter((table.get(x, -1) for x in texts(X)), np.int64, X.size).reshape(X.shape)
    order = np.argsort(keys, kind="stable")
    unknown = np.isnan(keys) if is_float(keys.dtype) else np.zeros(keys.shape, bool)
    order = order[~unknown[order]]
    last = np.flatnonzero(unknown)[-1:]
    places = xp.full(X.shape, -1, np.int64)
    if order.size:
        after = xp.searchsorted(xp.asarray(keys[order]), X.reshape(-1), side="right").reshape(X.shape)
        before = xp.maximum(after - 1, 0)
        equal = xp.take(xp.asarray(keys[order]), before) == X
        places = xp.where(equal, xp.take(xp.asarray(order), before), places)
    return xp.where(xp.isnan(X), int(last[0]), places) if last.size else places


def _alike(X, Y):
    """Whether both are text, or of the same dtype."""
    return X.dtype == Y.dtype or (is_text(X) and is_text(Y))


def _relabelled(xp, X, keys, values, default):
    """values[i] where X is keys[i], elsewhere the default; keys and values are host vectors."""
    if len(keys) != len(values):
        raise InvalidGraph(f"there are {len(keys)} keys for {len(values)} values; expected equally many")
    if not _alike(X, keys):
        raise InvalidInput(f"X has dtype {X.dtype}, but the keys are {'text' if is_text(keys) else keys.dtype}")
    places = _places(xp, X, keys)
    if is_text(values):
        places = places if isinstance(places, np.ndarray) else xp.asnumpy(places)
        return np.concatenate([values, text_array([default])])[places.reshape(-1)].reshape(X.shape)
    table = np.append(values, fitting([default], values.dtype, "the default"))
    return xp.take(xp.asarray(table), xp.where(places < 0, len(values), places))


@op("CategoryMapper", since=1, domain=DOMAIN, differentiable=False)
def category_mapper(xp, X, *, cats_int64s=(), cats_strings=(), default_int64=-1, default_string=_UNUSED):
    """cats_int64s[i] where X is the text cats_strings[i], cats_strings[i] where it is the integer cats_int64s[i]."""
    numbers, words = _vector("cats_int64s", cats_int64s), text_array(cats_strings)
    if is_text(X):
        return _relabelled(xp, X, words, numbers, default_int64)
    return _relabelled(xp, X, numbers, words, default_string)


@op("LabelEncoder", since=1, domain=DOMAIN, differentiable=False)
def label_encoder_1(xp, X, *, classes_strings=(), default_int64=-1, default_string=_UNUSED):
    """The place of the text X in classes_strings, or the text at the place X."""
    words = text_array(classes_strings)
    numbers = np.arange(len(words))
    if is_text(X):
        return _relabelled(xp, X, words, numbers, default_int64)
    return _relabelled(xp, X, numbers, words, default_string)


def _encoded(xp, X, keys, values, default_float, default_int64, default_string, default_tensor=None):
    """`keys` and `values`: the name and the value of one attribute each."""
    keys, values = _vector(*keys), _vector(*values)
    default = default_string if is_text(values) else default_float if is_float(values.dtype) else default_int64
    if default_tensor is not None:
        if default_tensor.size != 1 or not _alike(default_tensor, values):
            raise InvalidGraph(
                f"default_tensor has shape {list(default_tensor.shape)} and dtype {default_tensor.dtype}; "
                f"expected one element of the values' dtype {values.dtype}"
            )
        (default,) = _vector("default_tensor", default_tensor.reshape(-1)).tolist()
    return _relabelled(xp, X, keys, values, default)


def _flat(tensor):
    return None if tensor is None else tensor.reshape(-1)


@op("LabelEncoder", since=2, domain=DOMAIN, differentiable=False)
def label_encoder_2(
    xp, X, *, keys_floats=None, keys_int64s=None, keys_strings=None,
    values_floats=None, values_int64s=None, values_strings=None,
    default_float=-0.0, default_int64=-1, default_string=_UNUSED,
):  # fmt: skip
    """values_*[i] where X is keys_*[i], elsewhere the default; of equal keys the last counts."""
    keys = one_of("LabelEncoder", keys_floats=keys_floats, keys_int64s=keys_int64s, keys_strings=keys_strings)
    values = one_of(
        "LabelEncoder", values_floats=values_floats, values_int64s=values_int64s, values_strings=values_strings
    )
    return _encoded(xp, X, keys, values, default_float, default_int64, default_string)


@op("LabelEncoder", since=4, domain=DOMAIN, differentiable=False)
def label_encoder_4(
    xp, X, *, keys_floats=None, keys_int64s=None, keys_strings=None, keys_tensor=None,
    values_floats=None, values_int64s=None, values_strings=None, values_tensor=None,
    default_float=-0.0, default_int64=-1, default_string=_UNUSED, default_tensor=None,
):  # fmt: skip
    """values_*[i] where X is keys_*[i], elsewhere the default; of equal keys the last counts."""
    keys = one_of(
        "LabelEncoder",
        keys_floats=keys_floats,
        keys_int64s=keys_int64s,
        keys_strings=keys_strings,
        keys_tensor=_flat(keys_tensor),
    )
    values = one_of(
        "LabelEncoder",
        values_floats=values_floats,
        values_int64s=values_int64s,
        values_strings=values_strings,
        values_tensor=_flat(values_tensor),
    )
    return _encoded(xp, X, keys, values, default_float, default_int64, default_string, default_tensor)


@op("OneHotEncoder", since=1, domain=DOMAIN, differentiable=False)
def one_hot_encoder(xp, X, *, cats_int64s=None, cats_strings=None, zeros=1):
    """1 at the place of the category X along a new last axis, else 0; floats are cut to integers first.

    Raises:
        InvalidInput: for a value that is no category, unless `zeros` allows a row of nothing but zeros.
    """
    name, categories = one_of("OneHotEncoder", cats_int64s=cats_int64s, cats_strings=cats_strings)
    if is_text(X) != (name == "cats_strings"):
        raise InvalidInput(f"OneHotEncoder has {name}, but X has dtype {X.dtype}")
    bounded((*X.shape, len(categories)), np.float32)
    places = _category_places(xp, X, _vector(name, categories))
    if not zeros and (places < 0).any():
        raise InvalidInput(f"X holds values that are none of the {len(categories)} categories; zeros=1 allows that")
    return (places[..., None] == xp.arange(len(categories))).astype(np.float32)


def _category_places(xp, X, categories):
    if not is_float(X.dtype):
        return _places(xp, X if is_text(X) else X.astype(np.int64), categories)
    whole = xp.absolute(X) < _BEYOND_INT64  # NaN is not
    places = _places(xp, xp.where(whole, X, 0).astype(np.int64), categories)
    return xp.where(whole, places, -1)
