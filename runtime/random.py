"""The one generator of random numbers: Philox4x32-10, a function of (seed, stream, position) and of nothing else.

Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. Block b of a stream encrypts the
counter (b, stream), 64 bits each, under the key `seed`, and gives four 32-bit words. Element i of anything drawn here
depends on (seed, stream, i) alone: not on the shape, the device, the number of threads, or what was drawn before.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["bits", "derive", "normal", "permutation", "philox", "uniform"]

Array = Any
Shape = int | Sequence[int]

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_BLOCKS_IN_CACHE = 1 << 13
_BLOCKS_ON_DEVICE = 1 << 22
_PRECISION = {"float16": 11, "bfloat16": 8, "float32": 24}
"""Bits of a uniform number of that dtype: as many as it holds exactly just below 1."""


def derive(seed: int, *names: int | str) -> int:
    """A seed or stream of its own for each sequence of names, in [0, 2**63), the same in every process."""
    text = "".join(f"{len(part)}:{part}" for part in (str(operator.index(seed)), *map(_spelled, names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def bits(xp: Any, seed: int, stream: int | str, shape: Shape) -> Array:
    """Random 32-bit words.

    Args:
        xp: numpy or cupy; both give the same words.
        seed: its lowest 64 bits count.
        stream: likewise; or a name.
        shape: or a count.

    Returns:
        uint32 of `shape`.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    count = math.prod(shape)
    words = xp.empty((-(-count // 4), 4), xp.uint32)
    low, high = _halves(derive(0, stream) if isinstance(stream, str) else stream)
    step = _BLOCKS_IN_CACHE if xp is np else _BLOCKS_ON_DEVICE
    for start in range(0, len(words), step):
        stop = min(start + step, len(words))
        block = xp.arange(start, stop, dtype=xp.uint64)
        _philox(xp, (block & _LOW, block >> 32, low, high), _halves(seed), words[start:stop])
    return words.reshape(-1)[:count].reshape(shape)


def uniform(xp: Any, seed: int, stream: int | str, shape: Shape, dtype: Any = np.float32) -> Array:
    """Numbers in [0, 1), multiples of 2**-24 in float32 and 2**-53 in float64; the same bits on every device.

    Raises:
        ValueError: for a dtype other than float16, bfloat16, float32, float64.
    """
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if dtype == np.float64:
        words = bits(xp, seed, stream, (*shape, 2))
        return _fraction53(xp, words[..., 0], words[..., 1])
    if dtype.name not in _PRECISION:
        raise ValueError(
            f"uniform numbers of dtype {dtype} are not defined; use one of float64, {', '.join(_PRECISION)}"
        )
    precision = _PRECISION[dtype.name]
    words = bits(xp, seed, stream, shape)
    xp.right_shift(words, 32 - precision, out=words)
    result = words.view(xp.int32).astype(xp.float32)
    result *= 2.0**-precision
    return result if dtype == np.float32 else result.astype(dtype)


def normal(xp: Any, seed: int, stream: int | str, shape: Shape, dtype: Any = np.float32) -> Array:
    """Numbers with mean 0 and variance 1: Box and Muller's transform (1958) of pairs of uniform ones.

    The uniform numbers are the same bits on every device; logarithm, sine and cosine may differ in the last place.
    """
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    count = math.prod(shape)
    pairs = -(-count // 2)
    if dtype == np.float64:
        words = bits(xp, seed, stream, (pairs, 4))
        radius = 1.0 - _fraction53(xp, words[:, 0], words[:, 1])
        angle = _fraction53(xp, words[:, 2], words[:, 3])
    else:
        words = bits(xp, seed, stream, (pairs, 2))
        radius, angle = words[:, 0].astype(xp.float32), words[:, 1].astype(xp.float32)
        radius += 0.5
        radius *= 2.0**-32
        angle *= 2.0**-32
    xp.log(radius, out=radius)
    radius *= -2.0
    xp.sqrt(radius, out=radius)
    angle *= 2 * math.pi
    result = xp.empty((pairs, 2), radius.dtype)
    xp.multiply(radius, xp.cos(angle), out=result[:, 0])
    xp.multiply(radius, xp.sin(angle), out=result[:, 1])
    result = result.reshape(-1)[:count].reshape(shape)
    return result if result.dtype == dtype else result.astype(dtype)


def permutation(seed: int, stream: int | str, n: int) -> np.ndarray:
    """The numbers 0 … n−1 in random order: int64, on the host."""
    keys = bits(np, seed, stream, (n, 2)).astype(np.uint64)
    return np.argsort(keys[:, 0] << 32 | keys[:, 1], kind="stable")


def philox(xp: Any, counter: Sequence[Array | int], key: Sequence[int]) -> Array:
    """The bare function: four counter words (ints, or uint64 arrays of one length), two of key → uint32 [length, 4]."""
    length = max((len(c) for c in counter if not isinstance(c, int)), default=1)
    words = xp.empty((length, 4), xp.uint32)
    _philox(xp, counter, key, words)
    return words


def _philox(xp: Any, counter: Sequence[Array | int], key: Sequence[int], words: Array) -> None:
    """Words 1 and 3 stay whole 64-bit products until they are used: only their low halves count."""
    a, b, c, d, first, second = (xp.empty(len(words), xp.uint64) for _ in range(6))
    a[...], b[...], c[...], d[...] = counter
    key0, key1 = key
    for _ in range(_ROUNDS):
        xp.multiply(a, _MULTIPLIERS[0], out=first)
        xp.multiply(c, _MULTIPLIERS[1], out=second)
        for product, other, round_key, word in ((second, b, key0, a), (first, d, key1, c)):
            xp.right_shift(product, 32, out=word)
            xp.bitwise_xor(word, other, out=word)
            xp.bitwise_xor(word, round_key, out=word)
            xp.bitwise_and(word, _LOW, out=word)
        b, d, first, second = second, first, d, b
        key0, key1 = key0 + _KEY_STEPS[0] & _LOW, key1 + _KEY_STEPS[1] & _LOW
    for i, word in enumerate((a, b, c, d)):
        words[:, i] = word & _LOW


def _fraction53(xp: Any, first: Array, second: Array) -> Array:
    """53 bits of two words as a float64 in [0, 1)."""
    result = (first >> 5).astype(xp.float64)
    result *= 2.0**26
    result += second >> 6
    result *= 2.0**-53
    return result


def _halves(number: int) -> tuple[int, int]:
    number = operator.index(number)
    return number & _LOW, number >> 32 & _LOW


def _spelled(name: int | str) -> str:
    return f"s{name}" if isinstance(name, str) else f"i{operator.index(name)}"
