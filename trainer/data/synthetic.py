"""Made-up examples of any shape that can be learned: every class has a pattern of its own, plus noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.errors import InvalidInput
from ...runtime.random import derive, normal, permutation, uniform
from .dataset import Dataset
from .images import check_bytes

__all__ = ["PREFIX", "count_of", "synthetic", "synthetic_like"]

PREFIX = "synthetic:"
NOISE = 0.15
WORDS_PER_CLASS = 0.7
"""The share of words of a text that belong to its class."""
MAX_COUNT = 10_000_000
OPEN = 32
"""What is taken for a dimension that a model leaves open."""


def count_of(spec: str) -> int:
    """16 of `synthetic:16`.

    Raises:
        InvalidInput: if it is no positive number.
    """
    text = spec.removeprefix(PREFIX)
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text) <= MAX_COUNT:
        raise InvalidInput(f"data {spec!r}: expected {PREFIX} and a number of examples, such as {PREFIX}64")
    return int(text)


def synthetic(
    count: int,
    shape: Sequence[int] = (32, 32, 1),
    classes: int = 10,
    *,
    dtype: Any = np.float32,
    values: int = 256,
    label_shape: Sequence[int] = (),
    seed: int = 0,
    part: str | None = None,
) -> Dataset:
    """`count` examples, the classes in random order and as even as can be.

    Args:
        shape: of an example.
        dtype: floating point gives values in [0, 1]; integers give whole numbers from 0 to `values` - 1, which suits
            words of a vocabulary.
        label_shape: of the labels of one example where every place has one; all are the example's class.
        seed: the same seed gives the same data.
        part: `test` gives other examples with the same patterns.

    Raises:
        InvalidInput: for a count, shape or number of classes below 1.
        LimitExceeded: if it would take too much memory.
    """
    shape, label_shape = tuple(shape), tuple(label_shape)
    if min((count, classes, values, *shape, *label_shape)) < 1:
        raise InvalidInput(f"synthetic: {count} examples {shape} of {classes} classes; expected at least one of each")
    check_bytes((2 * count, *shape), "synthetic")
    part_seed = derive(seed, "synthetic", part or "train")
    y = permutation(part_seed, "labels", count) % classes
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        patterns = np.stack([uniform(np, derive(seed, "pattern", c), 0, shape) for c in range(min(classes, count))])
        x = patterns[y % len(patterns)] + NOISE * normal(np, part_seed, "noise", (count, *shape))
        x = np.clip(x, 0, 1).astype(dtype)
    else:
        first = max(1, (values - 2) // classes)
        draws = uniform(np, part_seed, "words", (2, count, *shape))
        own = (y * first).reshape(-1, *[1] * len(shape)) + (draws[1] * first).astype(np.int64) + 2
        other = (draws[1] * values).astype(np.int64)
        x = np.where(draws[0] < WORDS_PER_CLASS, own % values, other).astype(dtype)
    y = np.broadcast_to(y.reshape(-1, *[1] * len(label_shape)), (count, *label_shape)) if label_shape else y
    return Dataset(x, y, tuple(str(i) for i in range(classes)), f"synthetic {count}", part)


def synthetic_like(
    spec: str,
    inputs: Sequence[Any],
    dtype: Any,
    outputs: Sequence[Any],
    *,
    values: int = 256,
    seed: int = 0,
    part: str | None = None,
) -> Dataset:
    """What `synthetic:16` means for a model: examples of its input, labels for its output.

    Args:
        inputs, outputs: shapes with the batch; dimensions that are no numbers are open.
        values: of which integers an input takes, the words of a vocabulary.
    """
    shape = [d if isinstance(d, int) else OPEN for d in inputs[1:]]
    *places, classes = [d if isinstance(d, int) else OPEN for d in outputs[1:]] or [1]
    count = count_of(spec)
    return synthetic(
        count, shape, max(classes, 1), dtype=dtype, values=values, label_shape=places, seed=seed, part=part
    )
