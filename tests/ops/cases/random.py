"""Operators that draw: with a seed they are functions of it. The distributions are tested in `tests/test_random.py`."""

from __future__ import annotations

import numpy as np

from striate.runtime import random

from ..table import case, real

SEED = 3.0
KEY = random.derive(0, "seed", SEED.hex())
TRUE = np.array(True)


def ones_like_data(data, *_, **__):
    """Inference: the data itself and a mask of its dtype."""
    return data, np.ones_like(data)


def dropped(data, ratio=None, *_, **__):
    """Training: kept and scaled where the uniform number of the seed is at least the ratio."""
    ratio = 0.5 if ratio is None else ratio
    mask = random.uniform(np, KEY, 0, data.shape) >= ratio
    return (data * mask / (1 - ratio)).astype(data.dtype), mask


def uniform(*_, low=0.0, high=1.0, shape=(2, 3), **__):
    """float32 numbers in [low, high)"""
    return random.uniform(np, KEY, 0, shape) * np.float32(high - low) + np.float32(low)


def normal(*_, mean=0.0, scale=1.0, shape=(2, 3), **__):
    """float32 numbers of the given mean and deviation"""
    return random.normal(np, KEY, 0, shape) * np.float32(scale) + np.float32(mean)


def bernoulli(p, **_):
    """1 where the uniform number is below p"""
    return (random.uniform(np, KEY, 0, p.shape) < p).astype(p.dtype)


def certain(scores, *, sample_size, **_):
    """Where one class has all the probability."""
    return np.repeat(scores.argmax(1)[:, None], sample_size, 1).astype(np.int32)


def stream(shape, step, *, seed, **_):
    """Stream `step` of the seed"""
    return random.uniform(np, seed, int(step), tuple(shape))


CERTAIN = np.array([[0.0, 900.0, 0.0], [-900.0, -900.0, 0.0]])

CASES = [
    case("Dropout", real(2, 3), opset=1, is_test=1, expect=lambda data, **_: data),
    case("Dropout", real(2, 3), opset=6, is_test=1, outputs=2, expect=ones_like_data),
    case("Dropout", real(2, 3), opset=7, ratio=0.3, outputs=2, expect=ones_like_data),
    case("Dropout", real(2, 3), opset=10, ratio=0.3),
    case("Dropout", real(2, 3), opset=12, outputs=2),
    case("Dropout", real(2, 3), 0.3, grad=(0,), name="inference"),
    case("Dropout", real(2, 3), None, np.array(False), grad=(0,), name="not-training"),
    case("Dropout", real(2, 3), 0.0, TRUE, grad=(0,), name="nothing"),
    case("Dropout", real(4, 5), 0.3, TRUE, seed=int(SEED), outputs=2, grad=(0,), expect=dropped, name="training"),
    case(
        "Dropout", real(4, 5), None, TRUE, seed=int(SEED), outputs=2, grad=(0,), expect=dropped, name="training-default"
    ),
    case(
        "Dropout",
        real(4, 5),
        0.3,
        TRUE,
        opset=22,
        seed=int(SEED),
        outputs=2,
        dtypes=("float16", "bfloat16"),
        expect=dropped,
        name="training-half",
    ),
    case("RandomUniform", opset=1, shape=[2, 3], seed=SEED, low=-1.0, high=3.0, expect=uniform),
    case("RandomUniformLike", real(2, 3), opset=1, dtype=1, seed=SEED, low=-1.0, high=3.0, expect=uniform),
    case("RandomNormal", opset=1, shape=[2, 3], seed=SEED, mean=1.0, scale=2.0, expect=normal),
    case("RandomNormalLike", real(2, 3), opset=1, dtype=1, seed=SEED, mean=1.0, scale=2.0, expect=normal),
    case("Bernoulli", real(4, 5, low=0.0, high=1.0), opset=15, seed=SEED, dtypes=("float32",), expect=bernoulli),
    case("Multinomial", CERTAIN, opset=7, sample_size=4, seed=SEED, expect=certain),
    case("Uniform", [2, 3], np.array(5), domain="striate.grad", opset=1, seed=7, expect=stream),
]
