"""ai.onnx.ml: scaling, filling in, selecting and assembling numeric features; maps to and from tensors.

Where the specification gives float32 results, 64-bit input is computed in float64 and rounded once.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import is_float
from ..errors import InvalidGraph, InvalidInput
from ._axes import bounded
from .casting import cast
from .registry import op
from .strings import is_text, text_array

DOMAIN = "ai.onnx.ml"


def one_of(operator, **given):
    """The name and value of the one attribute among `given` that is there and not empty.

    Raises:
        InvalidGraph: if it is none, or more than one.
    """
    found = [(name, value) for name, value in given.items() if value is not None and len(value)]
    if len(found) != 1:
        there = " and ".join(name for name, _ in found) or "none"
        raise InvalidGraph(f"{operator} needs exactly one of {', '.join(given)}; found {there}")
    return found[0]


def fitting(values, dtype, name):
    """Attribute values as a host array of this dtype.

    Raises:
        InvalidGraph: if an integer does not fit.
    """
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if wrong := [v for v in np.ravel(values).tolist() if not info.min <= v <= info.max]:
            raise InvalidGraph(f"{name} holds {wrong[0]}, which does not fit {dtype}")
    return np.asarray(values, dtype)


def _numeric(X, operator):
    if is_text(X):
        raise InvalidInput(f"{operator} expects numbers; found text")
    return X


def _wide(X, operator):
    """Floating-point numbers as they are, integers as float64."""
    return _numeric(X, operator) if is_float(X.dtype) else _numeric(X, operator).astype(np.float64)


def _per_feature(xp, X, values, name, dtype=None):
    """Attribute values to broadcast along the last axis of X: one for all, or one for each feature."""
    features = X.shape[-1] if X.ndim else 1
    if len(values) not in (1, features):
        raise InvalidInput(f"{name} has {len(values)} values; expected 1, or one for each of the {features} features")
    values = fitting(values, X.dtype, name)
    return xp.asarray(values if X.ndim else values[0])


@op("ArrayFeatureExtractor", since=1, domain=DOMAIN, differentiable=False)
def array_feature_extractor(xp, X, Y):
    """Z[..., j] = X[..., Y[j]] with Y flattened; [1, K] for X of rank 1. Indices count from 0, never from the end."""
    if X.ndim == 0:
        raise InvalidInput("X of ArrayFeatureExtractor is a scalar; expected at least one axis")
    chosen, size = Y.reshape(-1), X.shape[-1]
    if ((chosen < 0) | (chosen >= size)).any():
        low, high = int(chosen.min()), int(chosen.max())
        raise InvalidInput(f"indices run from {low} to {high}, but there are {size} features: expected 0 to {size - 1}")
    shape = bounded((*(X.shape[:-1] or (1,)), chosen.size), X.dtype)
    return xp.take(X, chosen, axis=-1).reshape(shape)


@op("Binarizer", since=1, domain=DOMAIN, differentiable=False)
def binarizer(xp, X, *, threshold=0.0):
    """1 where X > threshold, else 0, in the data type of X."""
    return (_numeric(X, "Binarizer") > threshold).astype(X.dtype)


@op("FeatureVectorizer", since=1, domain=DOMAIN, differentiable=False)
def feature_vectorizer(xp, *X, inputdimensions=None):
    """The inputs [N, Cᵢ] side by side as float32 [N, Σ inputdimensionsᵢ]; rank 1 counts as [1, C].

    An input with more features than its dimension is cut off, one with fewer filled up with zeros.
    """
    tables = [_numeric(x, "FeatureVectorizer")[None] if x.ndim == 1 else _numeric(x, "FeatureVectorizer") for x in X]
    if not tables or any(x.ndim != 2 or len(x) != len(tables[0]) for x in tables):
        shapes = [list(x.shape) for x in X]
        raise InvalidInput(f"FeatureVectorizer expects [N, C] or [C] of one N; found shapes {shapes}")
    sizes = inputdimensions or tuple(x.shape[1] for x in tables)
    if len(sizes) != len(tables) or min(sizes) < 0:
        raise InvalidGraph(
            f"inputdimensions has {len(sizes)} sizes for {len(tables)} inputs; expected one each, none negative"
        )
    Y = xp.zeros(bounded((len(tables[0]), sum(sizes)), np.float32), np.float32)
    at = 0
    for x, size in zip(tables, sizes, strict=True):
        taken = min(size, x.shape[1])
        Y[:, at : at + taken] = x[:, :taken].astype(np.float32)
        at += size
    return Y


@op("Imputer", since=1, domain=DOMAIN, differentiable=False)
def imputer(
    xp, X, *, imputed_value_floats=None, imputed_value_int64s=None, replaced_value_float=0.0, replaced_value_int64=0
):
    """The imputed value where X equals the replaced one, which may be NaN; one for all, or one for each feature."""
    floats = is_float(_numeric(X, "Imputer").dtype)
    name, values = one_of(
        "Imputer", imputed_value_floats=imputed_value_floats, imputed_value_int64s=imputed_value_int64s
    )
    if floats != (name == "imputed_value_floats"):
        raise InvalidInput(f"Imputer has {name}, but X has dtype {X.dtype}")
    values = _per_feature(xp, X, values, name)
    if floats and math.isnan(replaced_value_float):
        return xp.where(xp.isnan(X), values, X)
    replaced = fitting(replaced_value_float if floats else replaced_value_int64, X.dtype, "the replaced value")
    return xp.where(xp.asarray(replaced) == X, values, X)


_NORMS = {
    "MAX": lambda xp, X: X.max(axis=-1, keepdims=True),
    "L1": lambda xp, X: xp.absolute(X).sum(axis=-1, keepdims=True),
    "L2": lambda xp, X: xp.sqrt((X * X).sum(axis=-1, keepdims=True)),
}


@op("Normalizer", since=1, domain=DOMAIN, differentiable=False)
def normalizer(xp, X, *, norm="MAX"):
    """Each row of X [N, C] or [C] divided by its MAX (not of absolute values), L1 or L2 norm, unless that is 0."""
    if norm not in _NORMS:
        raise InvalidGraph(f"norm is {norm!r}; expected MAX, L1 or L2")
    X = _wide(X, "Normalizer")
    if X.ndim not in (1, 2):
        raise InvalidInput(f"X has shape {list(X.shape)}; Normalizer expects [N, C] or [C]")
    if not X.size:
        return xp.zeros(X.shape, np.float32)
    largest = xp.absolute(X).max(axis=-1, keepdims=True)
    scaled = X / xp.where(largest > 0, largest, 1)  # squares and sums must not overflow
    divisor = _NORMS[norm](xp, scaled)
    zero = divisor == 0
    return xp.where(zero, X, scaled / xp.where(zero, 1, divisor)).astype(np.float32)


@op("Scaler", since=1, domain=DOMAIN, differentiable=False)
def scaler(xp, X, *, offset=None, scale=None):
    """(X - offset) · scale as float32; one number for all, or one for each feature."""
    if offset and scale and len(offset) != len(scale):
        raise InvalidGraph(f"Scaler has {len(offset)} offsets and {len(scale)} scales; expected equally many")
    X = _wide(X, "Scaler")
    if offset:
        X = X - _per_feature(xp, X, offset, "offset")
    if scale:
        X = X * _per_feature(xp, X, scale, "scale")
    return X.astype(np.float32)


# ---- Maps


_CASTS = {"TO_FLOAT": np.dtype(np.float32), "TO_INT64": np.dtype(np.int64), "TO_STRING": np.dtype(object)}


def _map_values(X, dtype=None):
    """The values of a map as a vector: text if they are, else of `dtype`, by default what NumPy scalars and arrays say.

    Of Python's own numbers integers are int64, and floats, which ONNX has in two widths, float32.
    """
    values = [value[()] if isinstance(value, np.ndarray) else value for value in X.values()]
    if sum(isinstance(v, str) for v in values) not in (0, len(values)):
        raise InvalidInput("the values of a map must be all text or all numbers; found both")
    if values and isinstance(values[0], str):
        return text_array(values)
    kinds = {np.dtype(getattr(v, "dtype", np.int64 if isinstance(v, int) else np.float32)) for v in values}
    floats = [kind for kind in kinds if is_float(kind)]
    widest = max(floats or kinds or {np.dtype(np.float32)}, key=lambda kind: kind.itemsize)
    try:
        return np.array(values, dtype or widest).reshape(len(values))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"the values of a map must be text or numbers: {error}") from None


def _check_map(X, kind, operator):
    if not isinstance(X, dict):
        raise InvalidInput(f"{operator} expects a map; found a {type(X).__name__}")
    if wrong := [key for key in X if not isinstance(key, kind)]:
        wanted = "text" if kind is str else "integer"
        raise InvalidInput(f"{operator} expects a map with {wanted} keys; found the key {wrong[0]!r}")


@op("CastMap", since=1, domain=DOMAIN, differentiable=False)
def cast_map(xp, X, *, cast_to="TO_FLOAT", map_form="DENSE", max_map=1):
    """The values of a map with integer keys as [1, K], ordered by key; SPARSE: as [1, max_map], each at its key.

    Where a sparse result has no value it holds 0, or empty text.
    """
    if cast_to not in _CASTS or map_form not in ("DENSE", "SPARSE"):
        raise InvalidGraph(
            f"cast_to is {cast_to!r} and map_form {map_form!r}; "
            f"expected one of {', '.join(_CASTS)}, and DENSE or SPARSE"
        )
    _check_map(X, (int, np.integer), "CastMap")
    keys = sorted(X)
    values = cast(np, _map_values({key: X[key] for key in keys}, np.float32), _CASTS[cast_to])
    if map_form == "DENSE":
        return values.reshape((1, len(keys)))
    if keys and not 0 <= keys[0] <= keys[-1] < max_map:
        raise InvalidInput(
            f"the keys of the map run from {keys[0]} to {keys[-1]}; expected 0 to max_map - 1 = {max_map - 1}"
        )
    shape = bounded((1, max_map), values.dtype)
    Y = np.full(shape, "" if is_text(values) else 0, values.dtype)
    Y[0, np.array(keys, np.int64)] = values
    return Y


@op("DictVectorizer", since=1, domain=DOMAIN, differentiable=False)
def dict_vectorizer(xp, X, *, int64_vocabulary=None, string_vocabulary=None):
    """Y[i] = X[vocabulary[i]], 0 or empty text where the map has no such key; other keys count for nothing."""
    name, vocabulary = one_of("DictVectorizer", int64_vocabulary=int64_vocabulary, string_vocabulary=string_vocabulary)
    _check_map(X, str if name == "string_vocabulary" else (int, np.integer), "DictVectorizer")
    values = _map_values(X)
    places = dict(zip(X, range(len(X)), strict=True))
    chosen = np.fromiter((places.get(key, -1) for key in vocabulary), np.int64, len(vocabulary))
    nothing = text_array([""]) if is_text(values) else np.zeros(1, values.dtype)
    return np.concatenate([values, nothing])[chosen]


@op("ZipMap", since=1, domain=DOMAIN, host=(0,), differentiable=False)
def zip_map(xp, X, *, classlabels_int64s=None, classlabels_strings=None):
    """For each row of X [N, E] the map label → value, as a sequence; [E] counts as one row."""
    name, labels = one_of("ZipMap", classlabels_int64s=classlabels_int64s, classlabels_strings=classlabels_strings)
    if _numeric(X, "ZipMap").ndim not in (1, 2) or X.shape[-1] != len(labels):
        raise InvalidInput(
            f"X has shape {list(X.shape)} for the {len(labels)} labels of {name}; expected [N, E] or [E]"
        )
    return [dict(zip(labels, row, strict=True)) for row in X.reshape((-1, len(labels))).tolist()]
