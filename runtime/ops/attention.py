"""Attention, rotary embedding, and convolution and attention that carry a state from step to step."""

from __future__ import annotations

from math import isfinite

import numpy as np

from ..dtypes import compute_dtype, is_float, numpy_dtype
from ..errors import InvalidGraph, InvalidInput
from ._attention import Mask, Recipe, apart, attend, default_scale, heads
from ._axes import bounded
from ._windows import check_indices
from .registry import op

_ACTIVATIONS = ("none", "silu", "swish")
_UPDATE_RULES = {"linear": (False, False), "gated": (True, False), "delta": (False, True), "gated_delta": (True, True)}
"""update_rule → whether it reads (decay, beta)."""


def _attention(
    xp, Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen=None, *, is_causal, kv_num_heads, q_num_heads,
    qk_matmul_output_mode, scale, softcap, softmax_precision, n_outputs, short_mask, left=-1, right=-1,
):  # fmt: skip
    """softmax(scale · Q Kᵀ + mask) V for each head; with a past, its keys and values stand before those given."""
    rank, dtype = Q.ndim, Q.dtype
    q, k, v = heads(Q, K, V, q_num_heads, kv_num_heads)
    k, v = _with_past(xp, k, v, past_key, past_value)
    batch, kv_heads, group, length, size = q.shape
    total, v_size = v.shape[2:]
    _check_bounds(left, right, qk_matmul_output_mode, softcap)
    offsets = np.zeros(1, np.int64) if past_key is None else np.full(1, past_key.shape[2])
    if nonpad_kv_seqlen is not None:
        _check_lengths(nonpad_kv_seqlen, batch, total, past_key)
        offsets = nonpad_kv_seqlen - length
    mask = Mask(
        offsets,
        min(left, length + total),
        0 if is_causal else min(right, length + total),
        nonpad_kv_seqlen,
        _mask_by_heads(xp, attn_mask, (batch, kv_heads, group, length, total), short_mask),
    )
    recipe = Recipe(
        _checked_scale(scale, size), _softmax_dtype(softmax_precision, dtype), dtype, softcap=softcap, guarded=True
    )
    Y, by_head = _room(xp, (batch, kv_heads, group, length, v_size), dtype, rank)
    qk, qk_by_head = None, None
    if n_outputs > 3:
        qk, qk_by_head = _room(xp, (batch, kv_heads, group, length, total), dtype, 4)
    if Y.size or n_outputs > 3:
        attend(xp, q, k, v, by_head, recipe, mask, qk_by_head, qk_matmul_output_mode)
    if n_outputs == 1:
        return Y
    return Y, *(x.copy() if past_key is None else x for x in (k, v)), qk


@op("Attention", since=23, differentiable=False)
def attention_23(
    xp, Q, K, V, attn_mask=None, past_key=None, past_value=None, *, is_causal=0, kv_num_heads=None, q_num_heads=None,
    qk_matmul_output_mode=0, scale=None, softcap=0.0, softmax_precision=None, n_outputs=1,
):  # fmt: skip
    """Y, the keys and the values with their past, and the scores at the stage `qk_matmul_output_mode` names."""
    return _attention(
        xp, Q, K, V, attn_mask, past_key, past_value, is_causal=is_causal, kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads, qk_matmul_output_mode=qk_matmul_output_mode, scale=scale, softcap=softcap,
        softmax_precision=softmax_precision, n_outputs=n_outputs, short_mask=False,
    )  # fmt: skip


@op("Attention", since=24, host=(6,), differentiable=False)
def attention_24(
    xp, Q, K, V, attn_mask=None, past_key=None, past_value=None, nonpad_kv_seqlen=None, *, is_causal=0,
    kv_num_heads=None, q_num_heads=None, qk_matmul_output_mode=0, scale=None, softcap=0.0, softmax_precision=None,
    n_outputs=1,
):  # fmt: skip
    """Like version 23; of each batch's keys only the first `nonpad_kv_seqlen` count, and a mask may be short."""
    return _attention(
        xp, Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen, is_causal=is_causal, kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads, qk_matmul_output_mode=qk_matmul_output_mode, scale=scale, softcap=softcap,
        softmax_precision=softmax_precision, n_outputs=n_outputs, short_mask=True,
    )  # fmt: skip


@op("Attention", since=25, host=(6,), differentiable=False)
def attention_25(
    xp, Q, K, V, attn_mask=None, past_key=None, past_value=None, nonpad_kv_seqlen=None, *, is_causal=0,
    kv_num_heads=None, left_window_size=-1, q_num_heads=None, qk_matmul_output_mode=0, right_window_size=-1,
    scale=None, softcap=0.0, softmax_precision=None, n_outputs=1,
):  # fmt: skip
    """Like version 24; a query sees at most so many keys to its left and right."""
    return _attention(
        xp, Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen, is_causal=is_causal, kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads, qk_matmul_output_mode=qk_matmul_output_mode, scale=scale, softcap=softcap,
        softmax_precision=softmax_precision, n_outputs=n_outputs, short_mask=True, left=left_window_size,
        right=right_window_size,
    )  # fmt: skip


@op("FlexAttention", since=1, domain="ai.onnx.preview", differentiable=False)
def flex_attention(xp, Q, K, V, *, prob_mod=None, scale=None, score_mod=None, softmax_precision=None):
    """prob_mod(softmax(score_mod(scale · Q Kᵀ))) V; the subgraphs see the scores of all heads together."""
    if Q.ndim != 4:
        raise InvalidInput(f"Q has shape {list(Q.shape)}; expected [batch, heads, length, size]")
    q, k, v = heads(Q, K, V, None, None)
    batch, kv_heads, group, length, size = q.shape
    precision = compute_dtype(Q.dtype) if softmax_precision is None else _softmax_dtype(softmax_precision, Q.dtype)
    recipe = Recipe(_checked_scale(scale, size), precision, precision, score_mod=score_mod, prob_mod=prob_mod)
    if recipe.whole:
        bounded((batch, kv_heads, group, length, k.shape[2]), compute_dtype(precision))
    Y, by_head = _room(xp, (batch, kv_heads, group, length, v.shape[3]), V.dtype, 4)
    if Y.size:
        v = v.astype(precision) if precision.itemsize < v.dtype.itemsize else v
        attend(xp, q, k, v, by_head, recipe, Mask(np.zeros(1, np.int64)))
    return Y


def _with_past(xp, k, v, past_key, past_value):
    """The keys and values, those of the past first."""
    if (past_key is None) != (past_value is None):
        raise InvalidGraph("past_key and past_value must be given together, or neither")
    if past_key is None:
        return k, v
    for name, past, now in (("past_key", past_key, k), ("past_value", past_value, v)):
        if past.ndim != 4 or past.shape[:2] != now.shape[:2] or past.shape[3] != now.shape[3]:
            wanted = f"[{now.shape[0]}, {now.shape[1]}, past length, {now.shape[3]}]"
            raise InvalidInput(f"{name} has shape {list(past.shape)}; expected {wanted}")
    if past_key.shape[2] != past_value.shape[2]:
        raise InvalidInput(
            f"past_key has length {past_key.shape[2]} and past_value {past_value.shape[2]}; expected equal lengths"
        )
    return xp.concatenate((past_key, k), axis=2), xp.concatenate((past_value, v), axis=2)


def _mask_by_heads(xp, mask, shape, short):
    """`mask` with the axes [B, Hkv, G, L, S], each of its size or 1; with `short` missing keys are masked out."""
    if mask is None:
        return None
    batch, kv_heads, group, length, total = shape
    wanted = (batch, kv_heads * group, length, total)
    found = (1,) * (4 - mask.ndim) + mask.shape
    short = short and mask.ndim > 0 and found[-1] < total
    if len(found) > 4 or any(n not in (1, m) for n, m in zip(found[:3] if short else found, wanted, strict=False)):
        raise InvalidInput(f"attn_mask has shape {list(mask.shape)}; expected one that broadcasts to {list(wanted)}")
    by_head = (kv_heads, group) if found[1] > 1 else (1, 1)
    mask = mask.reshape(found[0], *by_head, *found[2:])
    if not short:
        return mask
    rest = xp.zeros((*mask.shape[:4], total - found[-1]), mask.dtype)
    if mask.dtype != np.bool_:
        rest = xp.full(rest.shape, -np.inf, np.float32).astype(mask.dtype)
    return xp.concatenate((mask, rest), axis=-1)


def _room(xp, shape, dtype, rank):
    """A result, and a view of it as [B, Hkv, G, L, size]: by head, or for rank 3 with the heads side by side."""
    batch, kv_heads, group, length, size = shape
    if rank == 4:
        Y = xp.empty(bounded((batch, kv_heads * group, length, size), dtype), dtype)
        return Y, Y.reshape(shape)
    Y = xp.empty(bounded((batch, length, kv_heads * group * size), dtype), dtype)
    return Y, Y.reshape(batch, length, kv_heads, group, size).transpose(0, 2, 3, 1, 4)


def _checked_scale(scale, size):
    if scale is not None and not isfinite(scale):
        raise InvalidGraph(f"scale is {scale}; expected a finite number")
    return default_scale(size) if scale is None else scale


def _softmax_dtype(code, dtype):
    if code is None:
        return dtype
    precision = numpy_dtype(code)
    if not is_float(precision) or precision.itemsize < 2:
        raise InvalidGraph(f"softmax_precision is {precision}; expected float16, bfloat16, float32 or float64")
    return precision


def _check_bounds(left, right, mode, softcap):
    for name, bound in (("left_window_size", left), ("right_window_size", right)):
        if bound < -1:
            raise InvalidGraph(f"{name} is {bound}; expected -1, or how many keys are seen on that side")
    if mode not in range(4):
        raise InvalidGraph(f"qk_matmul_output_mode is {mode}; expected 0, 1, 2 or 3")
    if not 0 <= softcap < np.inf:
        raise InvalidGraph(f"softcap is {softcap}; expected a positive number, or 0 for none")


def _check_lengths(lengths, batch, total, past_key):
    if past_key is not None:
        raise InvalidGraph("nonpad_kv_seqlen cannot be used together with past_key and past_value")
    if lengths.shape != (batch,) or ((lengths < 0) | (lengths > total)).any():
        raise InvalidInput(
            f"nonpad_kv_seqlen is {lengths.tolist() if lengths.size < 20 else list(lengths.shape)}; "
            f"expected {batch} numbers from 0 to {total}"
        )


@op("RotaryEmbedding", since=23, differentiable=False)
def rotary_embedding(
    xp, X, cos_cache, sin_cache, position_ids=None, *, interleaved=0, num_heads=None, rotary_embedding_dim=0
):
    """Turns each pair (a, b) of a head into (a·cos - b·sin, a·sin + b·cos); the angles depend on the position.

    The pairs are the two halves of the first `rotary_embedding_dim` elements (0: all) or, interleaved, neighbours.
    """
    if X.ndim not in (3, 4):
        raise InvalidInput(f"X has shape {list(X.shape)}; expected rank 3 or 4")
    if X.ndim == 3 and num_heads is None:
        raise InvalidGraph("an input of rank 3 needs the attribute num_heads")
    x = X if X.ndim == 4 else apart(X, num_heads, "X")
    turned = rotary_embedding_dim or x.shape[3]
    if turned % 2 or not 0 <= turned <= x.shape[3]:
        raise InvalidGraph(f"{turned} elements of heads of size {x.shape[3]} cannot be turned; expected an even number")
    heads_axis, length = (1, x.shape[2]) if X.ndim == 4 else (2, x.shape[1])
    shape = (x.shape[0], length, turned // 2)
    cos, sin = (
        xp.expand_dims(_angles(cache, position_ids, shape, name), heads_axis).astype(compute_dtype(X.dtype))
        for name, cache in (("cos_cache", cos_cache), ("sin_cache", sin_cache))
    )
    half = turned // 2
    a, b = (slice(0, turned, 2), slice(1, turned, 2)) if interleaved else (slice(0, half), slice(half, turned))
    result = xp.array(x, order="C")
    wide = x[..., :turned].astype(cos.dtype, copy=False)
    result[..., a] = (wide[..., a] * cos - wide[..., b] * sin).astype(X.dtype)
    result[..., b] = (wide[..., a] * sin + wide[..., b] * cos).astype(X.dtype)
    return result.reshape(X.shape)


def _angles(cache, position_ids, shape, name):
    """The cosines or sines of each position, [B, L, half]."""
    if position_ids is None:
        if cache.shape != shape:
            raise InvalidInput(f"{name} has shape {list(cache.shape)}; without position_ids expected {list(shape)}")
        return cache
    if cache.ndim != 2 or cache.shape[1] != shape[2]:
        raise InvalidInput(f"{name} has shape {list(cache.shape)}; expected [positions, {shape[2]}]")
    check_indices(position_ids, shape[:2], cache.shape[0])
    return cache[position_ids]


@op("LinearAttention", since=27, differentiable=False)
def linear_attention(
    xp, query, key, value, past_state=None, decay=None, beta=None, *, chunk_size=64, kv_num_heads, q_num_heads,
    scale=0.0, update_rule="gated_delta",
):  # fmt: skip
    """o_t = scale · q_tᵀ S_t with a state S [B, Hkv, dk, dv] that each step decays and adds k_t ⊗ v_t to.

    Gated rules first multiply S by exp(decay_t); delta rules replace v_t by beta_t · (v_t - Sᵀ k_t).
    """
    if update_rule not in _UPDATE_RULES:
        raise InvalidGraph(f"update_rule is {update_rule!r}; expected one of {', '.join(_UPDATE_RULES)}")
    for name, given, wanted in zip(("decay", "beta"), (decay, beta), _UPDATE_RULES[update_rule], strict=True):
        if (given is not None) != wanted:
            raise InvalidGraph(f"update_rule {update_rule!r} {'needs' if wanted else 'does not read'} the input {name}")
    q, k, v = _split_heads(query, key, value, q_num_heads, kv_num_heads)
    wide = compute_dtype(query.dtype)
    q = q.astype(wide) * (scale if scale and _checked_scale(scale, 1) else default_scale(q.shape[-1]))
    k, v = k.astype(wide, copy=False), v.astype(wide, copy=False)
    batch, length, count, size = k.shape
    S = _first_state(xp, past_state, (batch, count, size, v.shape[3]), wide)
    if decay is not None:
        decay = xp.exp(_gate(decay, "decay", (batch, length), (count, count * size), count).astype(wide))
    if beta is not None:
        beta = _gate(beta, "beta", (batch, length), (count, 1), beta.shape[-1]).astype(wide)
    Y = xp.zeros(bounded((*q.shape[:4], v.shape[3]), wide), wide)
    for t in range(length if S.size else 0):
        new = v[:, t]
        if decay is not None:
            S *= decay[:, t, :, :, None]
        if beta is not None:
            new = (new - xp.matmul(k[:, t, :, None, :], S)[:, :, 0]) * beta[:, t]
        S += k[:, t, :, :, None] * new[:, :, None, :]
        Y[:, t] = xp.matmul(q[:, t], S)
    kept = query.dtype if past_state is None else past_state.dtype
    return Y.reshape(batch, length, q_num_heads * v.shape[3]).astype(query.dtype, copy=False), S.astype(kept)


def _split_heads(query, key, value, q_num_heads, kv_num_heads):
    """q [B, T, Hkv, G, dk], k [B, T, Hkv, dk], v [B, T, Hkv, dv]."""
    if {query.ndim, key.ndim, value.ndim} != {3}:
        raise InvalidInput(
            f"query, key and value have ranks {query.ndim}, {key.ndim}, {value.ndim}; expected 3: [B, T, heads · size]"
        )
    if kv_num_heads <= 0 or q_num_heads <= 0 or q_num_heads % kv_num_heads:
        raise InvalidGraph(f"q_num_heads is {q_num_heads}; expected a multiple of kv_num_heads, {kv_num_heads}")
    q, k = apart(query, q_num_heads, "query"), apart(key, kv_num_heads, "key")
    v = apart(value, kv_num_heads, "value")
    if q.shape[:2] != k.shape[:2] or k.shape[:2] != v.shape[:2] or q.shape[3] != k.shape[3]:
        raise InvalidInput(
            f"query {list(query.shape)}, key {list(key.shape)} and value {list(value.shape)} do not fit: "
            "expected equal batches and lengths, and heads of one size in query and key"
        )
    return q.reshape(*k.shape[:3], q_num_heads // kv_num_heads, q.shape[3]), k, v


def _first_state(xp, past_state, shape, dtype):
    if past_state is None:
        return xp.zeros(bounded(shape, dtype), dtype)
    if past_state.shape != shape:
        raise InvalidInput(f"past_state has shape {list(past_state.shape)}; expected {list(shape)}")
    return past_state.astype(dtype)


def _gate(x, name, lead, last, count):
    """decay or beta as [B, T, count, ·]; `last` are the sizes its last axis may have."""
    if x.ndim != 3 or x.shape[:2] != lead or x.shape[2] not in last:
        raise InvalidInput(
            f"{name} has shape {list(x.shape)}; expected [{lead[0]}, {lead[1]}, {' or '.join(map(str, last))}]"
        )
    return x.reshape(*lead, count, x.shape[2] // count)


@op("CausalConvWithState", since=27, differentiable=False)
def causal_conv_with_state(xp, input, weight, bias=None, past_state=None, *, activation="none"):
    """Y[b, c, t] = activation(Σ_i weight[c, 0, i] · X[b, c, t + i] + bias[c]), with X the input after k - 1 others.

    Those are the past state, or zeros. Returns Y and the next state, the last k - 1 values of X.
    """
    if activation not in _ACTIVATIONS:
        raise InvalidGraph(f"activation is {activation!r}; expected one of {', '.join(_ACTIVATIONS)}")
    if input.ndim != 3 or weight.ndim != 3 or weight.shape[:2] != (input.shape[1], 1) or weight.shape[2] == 0:
        raise InvalidInput(
            f"input {list(input.shape)} and weight {list(weight.shape)} do not fit; "
            "expected [batch, channels, length] and [channels, 1, k]"
        )
    batch, channels, length = input.shape
    size = weight.shape[2]
    state = (batch, channels, size - 1)
    if past_state is None:
        past_state = xp.zeros(bounded(state, input.dtype), input.dtype)
    if past_state.shape != state or (bias is not None and bias.shape != (channels,)):
        raise InvalidInput(
            f"past_state {list(past_state.shape)} or bias {'' if bias is None else list(bias.shape)} does not fit; "
            f"expected {list(state)} and [{channels}]"
        )
    wide = compute_dtype(input.dtype)
    X = xp.concatenate((past_state, input), axis=2)
    x, w = X.astype(wide, copy=False), weight[:, 0].astype(wide, copy=False)
    Y = x[:, :, :length] * w[:, :1]
    for i in range(1, size):
        Y += x[:, :, i : i + length] * w[:, i : i + 1]
    if bias is not None:
        Y += bias.astype(wide, copy=False)[:, None]
    Y = Y.astype(input.dtype, copy=False)
    if activation != "none":
        y = Y.astype(wide, copy=False)
        Y = (y / (xp.exp(-y) + 1)).astype(input.dtype, copy=False)
    return Y, X[:, :, length:].copy()
