"""Plain NumPy versions of what layers do, in float64, channels last: slow and short."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from striate.runtime.executor import Executor
from striate.trainer import Model

Array = np.ndarray


def outputs(model: Model, *arrays: Array) -> list[Array]:
    """What the model's inference graph gives for these inputs."""
    return Executor(model.to_ir()).run(dict(zip(model.input_names, arrays, strict=True)))


def same(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Padding for an output of ceil(size / stride)."""
    missing = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return missing // 2, missing - missing // 2


def padded(x: Array, pads: Sequence[tuple[int, int]], fill: float) -> Array:
    return np.pad(x.astype(np.float64), [(0, 0), *pads, (0, 0)], constant_values=fill)


def windows(
    x: Array, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> dict[tuple[int, ...], Array]:
    """For each place in the kernel the numbers it meets: place → [batch, *out, channels]."""
    out = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(x.shape[1:-1], kernel, strides, dilation, strict=True)]
    found = {}
    for place in product(*map(range, kernel)):
        slices = [
            slice(p * d, p * d + (o - 1) * s + 1, s) for p, o, s, d in zip(place, out, strides, dilation, strict=True)
        ]
        found[place] = x[(slice(None), *slices)]
    return found


def conv(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Any = 1,
    dilation: Any = 1,
    pads: Any = 0,
    groups: int = 1,
) -> Array:
    """Cross-correlation; kernel (*spatial, in / groups, out)."""
    rank = x.ndim - 2
    strides, dilation = _each(strides, rank), _each(dilation, rank)
    x = padded(x, [(0, 0)] * rank if pads == 0 else pads, 0.0)
    per = x.shape[-1] // groups
    filters = kernel.shape[-1] // groups
    total = 0.0
    for place, part in windows(x, kernel.shape[:rank], strides, dilation).items():
        pieces = [
            part[..., i * per : (i + 1) * per] @ kernel[place].astype(np.float64)[:, i * filters : (i + 1) * filters]
            for i in range(groups)
        ]
        total = total + np.concatenate(pieces, axis=-1)
    return total if bias is None else total + bias


def depthwise(x: Array, kernel: Array, **geometry: Any) -> Array:
    """Kernel (*spatial, channels, multiplier); output channel c · multiplier + m."""
    channels, multiplier = kernel.shape[-2:]
    flat = kernel.reshape(*kernel.shape[:-2], 1, channels * multiplier)
    return conv(x, flat, groups=channels, **geometry)


def pool(x: Array, size: Sequence[int], strides: Sequence[int], pads: Any, reduce: Callable[..., Array]) -> Array:
    """`reduce` (nanmax, nanmean) over windows; padding does not count."""
    x = padded(x, pads, np.nan)
    return reduce(np.stack(list(windows(x, size, strides, [1] * len(size)).values())), axis=0)


def normalized(x: Array, axes: Any, epsilon: float = 1e-3) -> Array:
    x = x.astype(np.float64)
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x.astype(np.float64) - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def bilinear(x: Array, factor: int, axis: int) -> Array:
    """Interpolates along an axis; centres of pixels aligned, edges repeated."""
    n = x.shape[axis]
    where = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
    low = np.floor(where).astype(int)
    high = np.minimum(low + 1, n - 1)
    share = (where - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    return np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)
