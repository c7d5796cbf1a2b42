"""Operators that draw random numbers, all from the one generator of `runtime/random.py`.

A `seed` makes an operator give the same values in every run, on every device; without one each run draws new ones.
"""

from __future__ import annotations

import os

import numpy as np
import onnx_ir as ir

from .. import random
from ..dtypes import compute_dtype, numpy_dtype
from ..errors import InvalidInput
from ..inference import constant, value_type
from ._axes import bounded, one
from .registry import GRAD_DOMAIN, op


def _key(seed):
    return int.from_bytes(os.urandom(8), "little") if seed is None else random.derive(0, "seed", float(seed).hex())


def _uniform(xp, shape, dtype, low, high, seed):
    wide = compute_dtype(dtype)
    values = random.uniform(xp, _key(seed), 0, bounded(shape, wide), wide)
    values *= high - low
    values += low
    return values.astype(dtype, copy=False)


def _normal(xp, shape, dtype, mean, scale, seed):
    wide = compute_dtype(dtype)
    values = random.normal(xp, _key(seed), 0, bounded(shape, wide), wide)
    values *= scale
    values += mean
    return values.astype(dtype, copy=False)


@op("RandomUniform", since=1, deterministic=False, differentiable=False)
def random_uniform(xp, *, shape, dtype=1, low=0.0, high=1.0, seed=None):
    """Uniform in [low, high)."""
    return _uniform(xp, shape, numpy_dtype(dtype), low, high, seed)


@op("RandomUniformLike", since=1, deterministic=False, differentiable=False)
def random_uniform_like(xp, input, *, dtype=None, low=0.0, high=1.0, seed=None):
    """Uniform in [low, high), shaped like the input."""
    return _uniform(xp, input.shape, numpy_dtype(dtype) if dtype else input.dtype, low, high, seed)


@op("RandomNormal", since=1, deterministic=False, differentiable=False)
def random_normal(xp, *, shape, dtype=1, mean=0.0, scale=1.0, seed=None):
    """Normal with the given mean and standard deviation."""
    return _normal(xp, shape, numpy_dtype(dtype), mean, scale, seed)


@op("RandomNormalLike", since=1, deterministic=False, differentiable=False)
def random_normal_like(xp, input, *, dtype=None, mean=0.0, scale=1.0, seed=None):
    """Normal with the given mean and standard deviation, shaped like the input."""
    return _normal(xp, input.shape, numpy_dtype(dtype) if dtype else input.dtype, mean, scale, seed)


@op("Bernoulli", since=15, deterministic=False, differentiable=False)
def bernoulli(xp, input, *, dtype=None, seed=None):
    """1 with the probability that the input gives, else 0."""
    drawn = random.uniform(xp, _key(seed), 0, input.shape, compute_dtype(input.dtype))
    return (drawn < input).astype(numpy_dtype(dtype) if dtype else input.dtype)


@op("Multinomial", since=7, deterministic=False, differentiable=False)
def multinomial(xp, input, *, dtype=6, sample_size=1, seed=None):
    """Classes drawn with probability softmax(input): the first whose cumulated probability exceeds a uniform number.

    All rows are searched at once: row i's cumulated probabilities are shifted by i.
    """
    if input.ndim != 2 or input.shape[1] == 0:
        raise InvalidInput(
            f"Multinomial: input has shape {list(input.shape)}; expected [batch, classes], at least one class"
        )
    batch, classes = input.shape
    scores = input.astype(xp.float64)
    cumulated = xp.cumsum(xp.exp(scores - scores.max(axis=1, keepdims=True)), axis=1)
    rows = xp.arange(batch)[:, None]
    cumulated = cumulated / cumulated[:, -1:] + rows
    size = bounded((batch, sample_size), np.float64)
    drawn = random.uniform(xp, _key(seed), 0, size, xp.float64) + rows
    found = xp.searchsorted(cumulated.ravel(), drawn.ravel(), side="right").reshape(drawn.shape)
    return xp.clip(found - rows * classes, 0, classes - 1).astype(numpy_dtype(dtype))


def _drop(xp, data, ratio, seed):
    """(data · mask / (1 − ratio), mask); an element is kept with probability 1 − ratio."""
    if not 0 <= ratio < 1:
        raise InvalidInput(f"Dropout: ratio is {ratio}; expected a number in [0, 1)")
    mask = random.uniform(xp, seed, 0, data.shape) >= ratio
    output = data * mask
    output *= 1 / (1 - ratio)
    return output, mask


def _dropout_until_7(xp, data, is_test, ratio, n_outputs):
    output, mask = (data, None) if is_test else _drop(xp, data, ratio, _key(None))
    if n_outputs == 1:
        return output
    return output, xp.ones(data.shape, data.dtype) if mask is None else mask.astype(data.dtype)


@op("Dropout", since=1, view=True, deterministic=False)
def dropout_1(xp, data, *, is_test=0, ratio=0.5, consumed_inputs=(), n_outputs=1):
    """Drops unless `is_test`; the mask has the dtype of the data."""
    return _dropout_until_7(xp, data, is_test, ratio, n_outputs)


@op("Dropout", since=6, view=True, deterministic=False)
def dropout_6(xp, data, *, is_test=0, ratio=0.5, n_outputs=1):
    """Drops unless `is_test`; the mask has the dtype of the data."""
    return _dropout_until_7(xp, data, is_test, ratio, n_outputs)


@op("Dropout", since=7, view=True)
def dropout_7(xp, data, *, ratio=0.5, n_outputs=1):
    """Inference only: the data itself, and ones of its dtype."""
    return data if n_outputs == 1 else (data, xp.ones(data.shape, data.dtype))


@op("Dropout", since=10, view=True)
def dropout_10(xp, data, *, ratio=0.5, n_outputs=1):
    """Inference only: the data itself, and a mask of True."""
    return data if n_outputs == 1 else (data, xp.ones(data.shape, bool))


@op("Dropout", since=12, host=(1, 2), view=True, deterministic=False)
def dropout(xp, data, ratio=None, training_mode=None, *, seed=None, n_outputs=1):
    """In training mode zero with probability `ratio` and the rest divided by 1 − ratio; else the data itself."""
    probability = 0.5 if ratio is None else float(one(ratio, "ratio"))
    if training_mode is None or not one(training_mode, "training_mode") or probability == 0:
        return dropout_10(xp, data, n_outputs=n_outputs)
    output, mask = _drop(xp, data, probability, _key(seed))
    return output if n_outputs == 1 else (output, mask)


@dropout.gradient
def _(g, node, dY, dmask=None):
    """dX = dY · mask / (1 − ratio) in training mode, else dY."""
    X, ratio, training_mode = node.inputs
    if training_mode is None or (constant(training_mode) is not None and not constant(training_mode)):
        return dY
    ratio = g.like(0.5, X) if ratio is None else g.Cast(ratio, to=X.dtype.value)
    scale = g.Where(training_mode, g.Reciprocal(g.Sub(1.0, ratio)), g.like(1.0, X))
    return g.Mul(dY, g.Mul(g.Cast(node.output(1), to=X.dtype.value), scale))


def _shaped_by_first_input(node):
    dtype = ir.DataType(node.attributes["dtype"].as_int()) if "dtype" in node.attributes else ir.DataType.FLOAT
    return [(dtype, _known_dims(node.inputs[0]))]


def _known_dims(shape):
    """The dimensions a shape vector spells, as far as known: it may be a constant, or the `Shape` of some value."""
    known = constant(shape)
    if known is not None:
        return tuple(known.tolist())
    producer = shape.producer()
    if producer is not None and producer.op_type == "Shape" and not producer.attributes:
        return value_type(producer.inputs[0])[1]
    _, dims = value_type(shape)
    return (None,) * dims[0] if dims and isinstance(dims[0], int) else None


@op("Uniform", since=1, domain=GRAD_DOMAIN, host=(0, 1), differentiable=False, infer=_shaped_by_first_input)
def uniform(xp, shape, step, *, seed, dtype=1):
    """Uniform in [0, 1): the values of stream `step` of the generator. The same inputs give the same values."""
    return random.uniform(xp, seed, int(step), tuple(shape.tolist()), numpy_dtype(dtype))
