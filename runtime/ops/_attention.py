"""Scaled dot-product attention, block by block: the scores of all queries need never be in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import copysign, inf, prod, sqrt
from typing import Any

import numpy as np

from ..dtypes import compute_dtype
from ..errors import InvalidGraph, InvalidInput

BLOCK_BYTES = 1 << 24
"""Blocks of scores are about so large; a single query's scores may be more."""

Block = tuple[slice, ...]


@dataclass(frozen=True)
class Recipe:
    """What happens between the scores and the weighted sum of the values.

    `precision` is the dtype of the softmax, `weights` that of its result when it meets the values. With `guarded` a
    query that may attend nothing gets zeros. `score_mod` and `prob_mod` change the scores before and after the softmax.
    """

    scale: float
    precision: np.dtype
    weights: np.dtype
    softcap: float = 0.0
    guarded: bool = False
    score_mod: Callable[..., Any] | None = None
    prob_mod: Callable[..., Any] | None = None

    @property
    def whole(self) -> bool:
        """Whether all scores are needed together."""
        return self.score_mod is not None or self.prob_mod is not None


@dataclass(frozen=True)
class Mask:
    """Which keys a query may attend, and what is added to its scores.

    Query i of a batch stands at position p = i + offset; it sees the keys p - left to p + right (-1: no bound), of
    those the first `lengths`. `given` broadcasts to [B, Hkv, G, L, S]: bool, or numbers to add. `offsets` and
    `lengths` lie on the host and have one entry, or one per batch.
    """

    offsets: np.ndarray
    left: int = -1
    right: int = -1
    lengths: np.ndarray | None = None
    given: Any = None

    def columns(self, at: Block, size: int) -> slice:
        """The keys outside of which no query of a block may attend any."""
        offsets = _of_batches(self.offsets, at[0])
        low, high = 0, size
        if self.left >= 0:
            low = max(low, int(offsets.min()) + at[3].start - self.left)
        if self.right >= 0:
            high = min(high, int(offsets.max()) + at[3].stop + self.right)
        if self.lengths is not None:
            high = min(high, int(_of_batches(self.lengths, at[0]).max()))
        return slice(low, max(low, high))

    def apply(self, xp: Any, scores: Any, at: Block, keys: slice, dtype: np.dtype) -> Any:
        """The scores of a block with the given numbers added, rounded to `dtype`, and -inf where nothing is seen."""
        seen = self._within_bounds(xp, at, keys)
        if self.given is not None:
            where = tuple(s if n > 1 else slice(None) for s, n in zip((*at, keys), self.given.shape, strict=True))
            given = self.given[where]
            if given.dtype != np.bool_:
                given = given.astype(dtype).astype(scores.dtype)
                scores += given
                scores = rounded(xp, scores, dtype)
                given = xp.not_equal(given, -inf)
            seen = given if seen is None else xp.logical_and(seen, given)
        if seen is not None:
            xp.copyto(scores, -inf, where=xp.logical_not(seen))
        return scores

    def _within_bounds(self, xp: Any, at: Block, keys: slice) -> Any:
        """bool [b, 1, 1, l, keys], or None if all is."""
        key = xp.arange(keys.start, keys.stop)
        position = xp.asarray(_of_batches(self.offsets, at[0]).reshape(-1, 1, 1, 1, 1))
        position = position + xp.arange(at[3].start, at[3].stop).reshape(-1, 1)
        seen = []
        if self.left >= 0:
            seen.append(key >= position - self.left)
        if self.right >= 0:
            seen.append(key <= position + self.right)
        if self.lengths is not None:
            seen.append(key < xp.asarray(_of_batches(self.lengths, at[0]).reshape(-1, 1, 1, 1, 1)))
        found = None
        for part in seen:
            found = part if found is None else xp.logical_and(found, part)
        return found


def _of_batches(values: np.ndarray, batches: slice) -> np.ndarray:
    return values[batches] if len(values) > 1 else values


def attend(xp: Any, Q: Any, K: Any, V: Any, Y: Any, recipe: Recipe, mask: Mask, qk: Any = None, mode: int = 0) -> None:
    """Y = softmax(scale · Q Kᵀ + mask) V, written to Y.

    Q [B, Hkv, G, L, D], K [B, Hkv, S, D], V [B, Hkv, S, Dv], Y [B, Hkv, G, L, Dv]: each key head serves G query heads.
    `qk` [B, Hkv, G, L, S] receives the scores as they are (0), after the softcap (1), after the mask (2) or after the
    softmax (3). Narrow floats are computed in float32 and rounded where the specification's function body holds a
    tensor of their dtype; the softmax, each step of it, to its own precision.
    """
    size = K.shape[2]
    wide = np.promote_types(compute_dtype(recipe.weights), compute_dtype(V.dtype))
    step = prod(Q.shape[:4]) * size if recipe.whole else BLOCK_BYTES // compute_dtype(Q.dtype).itemsize
    for at in blocks(Q.shape[:4], size, step):
        keys = mask.columns(at, size) if qk is None and not recipe.whole else slice(0, size)
        if keys.start == keys.stop:
            Y[at] = 0
            continue
        stages = _stages(xp, Q[at], K[(*at[:2], keys)], recipe, mask, at, keys)
        for number, weights in enumerate(stages):
            if qk is not None and number == mode:
                qk[at] = weights.astype(qk.dtype)
        b, h, g, n = weights.shape[:4]
        rows = weights.reshape(b, h, g * n, -1).astype(wide, copy=False)
        found = xp.matmul(rows, V[(*at[:2], keys)].astype(wide, copy=False))
        Y[at] = found.reshape(b, h, g, n, -1).astype(Y.dtype)


def _stages(xp: Any, Q: Any, K: Any, recipe: Recipe, mask: Mask, at: Block, keys: slice) -> Iterator[Any]:
    """The scores of a block as they become weights; each stage may overwrite the one before."""
    scores = _scores(xp, Q, K, recipe.scale)
    yield scores
    if recipe.softcap > 0:
        scores = _capped(xp, scores, recipe.softcap, Q.dtype)
    yield scores
    scores = mask.apply(xp, scores, at, keys, Q.dtype)
    yield scores
    if recipe.score_mod is not None:
        scores = _modified(recipe.score_mod, "score_mod", scores, recipe.precision)
    weights = _softmax(xp, scores, recipe.precision, recipe.guarded)
    if recipe.prob_mod is not None:
        weights = _modified(recipe.prob_mod, "prob_mod", weights, recipe.precision)
    yield rounded(xp, weights, recipe.weights)


def blocks(shape: Sequence[int], width: int, limit: int) -> Iterator[Block]:
    """Cuts an array of this shape, each element of which stands for `width` values, into parts of `limit` values."""
    inner = prod(shape[1:]) * width
    step = max(1, limit // max(1, inner))
    for start in range(0, shape[0], step):
        first = slice(start, min(start + step, shape[0]))
        if inner <= limit or len(shape) == 1:
            yield (first, *(slice(0, n) for n in shape[1:]))
        else:
            yield from ((first, *rest) for rest in blocks(shape[1:], width, limit))


def rounded(xp: Any, x: Any, dtype: np.dtype) -> Any:
    """x with its values rounded to those of a narrower dtype."""
    if dtype.itemsize >= x.dtype.itemsize:
        return x
    return _halved(xp, x) if (x.dtype, dtype) == (np.float32, np.float16) else x.astype(dtype).astype(x.dtype)


def _halved(xp: Any, x: Any) -> Any:
    """float32 with the values of float16, to which NumPy converts small weights very slowly.

    Adding 3/2 · 2ᵉ⁺¹³ to a value between 2ᵉ and 2ᵉ⁺¹ leaves float32 no more digits for it than float16 has.
    """
    unit = xp.bitwise_and(x.view(np.int32), 0x7F800000).view(np.float32)
    xp.maximum(unit, 2.0**-14, out=unit)
    xp.minimum(unit, 2.0**15, out=unit)
    unit *= 1.5 * 2**13
    y = x + unit
    y -= unit
    xp.copyto(y, xp.copysign(inf, x), where=xp.absolute(x) >= 65520)
    return y


def _scores(xp: Any, Q: Any, K: Any, scale: float) -> Any:
    """scale · Q Kᵀ [b, h, g, l, s]; to narrow floats √scale is applied on either side, which keeps them in range."""
    b, h, g, n, depth = Q.shape
    dtype, wide = Q.dtype, compute_dtype(Q.dtype)
    if dtype == wide:
        Q = Q * scale
    else:
        root = float(dtype.type(sqrt(abs(scale))))
        Q = rounded(xp, Q.astype(wide) * copysign(root, scale), dtype)
        K = rounded(xp, K.astype(wide) * root, dtype)
    scores = xp.matmul(Q.reshape(b, h, g * n, depth), xp.swapaxes(K, -1, -2))
    return rounded(xp, scores, dtype).reshape(b, h, g, n, -1)


def _capped(xp: Any, scores: Any, softcap: float, dtype: np.dtype) -> Any:
    """softcap · tanh(scores / softcap)"""
    scores /= softcap
    scores = rounded(xp, scores, dtype)
    scores = rounded(xp, xp.tanh(scores, out=scores), dtype)
    scores *= softcap
    return rounded(xp, scores, dtype)


def _softmax(xp: Any, scores: Any, precision: np.dtype, guarded: bool) -> Any:
    """Softmax along the last axis; may overwrite the scores."""
    scores = rounded(xp, scores.astype(compute_dtype(precision), copy=False), precision)
    largest = scores.max(-1, keepdims=True)
    if guarded:
        largest = xp.where(xp.isneginf(largest), xp.zeros_like(largest), largest)
    scores -= largest
    scores = rounded(xp, scores, precision)
    scores = rounded(xp, xp.exp(scores, out=scores), precision)
    total = scores.sum(-1, keepdims=True)
    # Equal scores of more keys than float16 can count must not become a division by infinity.
    narrow = rounded(xp, total, precision)
    total = xp.where(xp.isfinite(narrow), narrow, total)
    if guarded:
        total = xp.where(total == 0, xp.ones_like(total), total)
    scores /= total
    return rounded(xp, scores, precision)


def _modified(change: Callable[..., Any], name: str, x: Any, precision: np.dtype) -> Any:
    """What the subgraph makes of x; it sees the heads on one axis, [B, Hq, L, S], in the dtype of the softmax."""
    b, h, g, *rest = x.shape
    results = change(x.reshape(b, h * g, *rest).astype(precision))
    if len(results) != 1:
        raise InvalidGraph(f"{name} has {len(results)} outputs; expected one")
    found, shape = results[0], (b, h * g, *rest)
    if found.shape != shape or found.dtype != precision:
        raise InvalidInput(
            f"{name} gives {found.dtype} {list(found.shape)}; expected {precision} {list(shape)}, like its input"
        )
    return found.astype(x.dtype if x.dtype == compute_dtype(precision) else compute_dtype(precision)).reshape(x.shape)


def heads(Q: Any, K: Any, V: Any, q_num_heads: int | None, kv_num_heads: int | None) -> tuple[Any, Any, Any]:
    """Q as [B, Hkv, G, L, D], K and V as [B, Hkv, S, ·]; 3-D inputs hold the heads side by side in their last axis.

    Raises:
        InvalidInput: if the shapes do not fit together.
        InvalidGraph: if the numbers of heads do not fit the shapes.
    """
    ranks = {Q.ndim, K.ndim, V.ndim}
    if ranks not in ({3}, {4}):
        raise InvalidInput(f"Q, K and V have ranks {Q.ndim}, {K.ndim}, {V.ndim}; expected 3 or 4, the same for all")
    if Q.ndim == 3:
        if q_num_heads is None or kv_num_heads is None:
            raise InvalidGraph("inputs of rank 3 need the attributes q_num_heads and kv_num_heads")
        Q = apart(Q, q_num_heads, "Q").transpose(0, 2, 1, 3)
        K = apart(K, kv_num_heads, "K").transpose(0, 2, 1, 3)
        V = apart(V, kv_num_heads, "V").transpose(0, 2, 1, 3)
    for name, count, x in (("q_num_heads", q_num_heads, Q), ("kv_num_heads", kv_num_heads, K)):
        if count is not None and count != x.shape[1]:
            raise InvalidGraph(f"{name} is {count}, but the input has {x.shape[1]} heads")
    if K.shape[:3] != V.shape[:3] or Q.shape[0] != K.shape[0] or Q.shape[3] != K.shape[3]:
        raise InvalidInput(
            f"Q {list(Q.shape)}, K {list(K.shape)} and V {list(V.shape)}, as [batch, heads, length, size], do not fit: "
            "expected one batch size, one head size of Q and K, and as many heads and as long sequences in K as in V"
        )
    batch, q_heads, length, size = Q.shape
    kv_heads = K.shape[1]
    if q_heads != kv_heads and (kv_heads == 0 or q_heads % kv_heads):
        raise InvalidInput(f"Q has {q_heads} heads, K {kv_heads}; expected a multiple")
    group = q_heads // kv_heads if kv_heads else 1
    return Q.reshape(batch, kv_heads, group, length, size), K, V


def apart(x: Any, count: int, name: str) -> Any:
    """[B, L, count · size] as [B, L, count, size].

    Raises:
        InvalidGraph: if there are not so many heads.
    """
    if count <= 0 or x.shape[2] % count:
        raise InvalidGraph(f"{name} {list(x.shape)} cannot be divided into {count} heads along its last axis")
    return x.reshape(*x.shape[:2], count, x.shape[2] // count)


def default_scale(size: int) -> float:
    """1/√size for heads of this size."""
    return 1 / sqrt(size) if size else 1.0
