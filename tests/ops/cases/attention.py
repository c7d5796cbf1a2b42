"""Attention, RotaryEmbedding, LinearAttention, CausalConvWithState, and FlexAttention without subgraphs."""

from __future__ import annotations

import itertools

import numpy as np

from ..table import Case, case, ints, real

PREVIEW = "ai.onnx.preview"
NARROW = ("float64", "float32", "float16", "bfloat16")
SINGLE = ("float32", "float16", "bfloat16")
"""For operators that the specification does not give to float64: the reference computes those in float32."""
HALF = {"softmax_precision": 10, "dtypes": ("float16",)}


def qkv(q_heads=2, kv_heads=2, length=3, total=5, size=4, v_size=4, batch=2):
    return (
        real(batch, q_heads, length, size, key="q"),
        real(batch, kv_heads, total, size, key="k"),
        real(batch, kv_heads, total, v_size, key="v"),
    )


def packed(q_heads=2, kv_heads=2, length=3, total=5, size=4, v_size=4, batch=2):
    """The same with the heads side by side."""
    return tuple(
        x.transpose(0, 2, 1, 3).reshape(batch, x.shape[2], -1)
        for x in qkv(q_heads, kv_heads, length, total, size, v_size, batch)
    )


def past(kv_heads=2, length=2, size=4, v_size=4, batch=2):
    return real(batch, kv_heads, length, size, key="past k"), real(batch, kv_heads, length, v_size, key="past v")


def some(*shape, key=""):
    """A boolean mask in which every row lets something through."""
    mask = ints(*shape, high=2, key=key).astype(bool)
    mask[..., 0] = True
    return mask


def minus_inf(mask):
    return np.where(mask, real(*mask.shape), -np.inf)


def one_by_one(Q, K, V, mask=None, *_, scale=None, softcap=0.0, qk_matmul_output_mode=0, **attrs):
    """Attention from its formula, one query after the other: float64, and all three further outputs."""
    scale = Q.shape[3] ** -0.5 if scale is None else scale
    group = Q.shape[1] // K.shape[1]
    Y = np.zeros((*Q.shape[:3], V.shape[3]))
    stages = np.zeros((4, *Q.shape[:3], K.shape[2]))
    for at in itertools.product(*map(range, Q.shape[:3])):
        b, h = at[0], at[1] // group
        raw = scale * (K[b, h] @ Q[at])
        capped = softcap * np.tanh(raw / softcap) if softcap else raw
        masked = capped if mask is None else np.where(np.broadcast_to(mask, stages.shape[1:])[at], capped, -np.inf)
        weights = np.exp(masked - masked.max()) if np.isfinite(masked).any() else np.zeros(len(masked))
        weights /= weights.sum() or 1
        stages[(slice(None), *at)] = raw, capped, masked, weights
        Y[at] = weights @ V[b, h]
    return Y, K, V, stages[qk_matmul_output_mode]


def silu_of_sums(x, w, bias, past_state, **attrs):
    x = np.concatenate([past_state, x], 2)
    y = np.stack([np.convolve(row, taps[::-1], "valid") for row, taps in zip(x[0], w[:, 0], strict=True)])[None]
    y += bias[:, None]
    return y / (1 + np.exp(-y)), x[:, :, x.shape[2] - w.shape[2] + 1 :]


def turned_ones(x, cos, sin, **attrs):
    """For X of ones and halves: each pair (1, 1) becomes (cos - sin, cos + sin)."""
    return np.concatenate([cos - sin, cos + sin], -1)[:, None]


CASES: list[Case] = [
    case("Attention", *qkv(), opset=23, dtypes=NARROW),
    case("Attention", *qkv(size=3, v_size=5), opset=23, scale=0.25, name="sizes"),
    case("Attention", *qkv(q_heads=6), opset=23, dtypes=NARROW, name="groups"),
    case("Attention", *qkv(q_heads=3, kv_heads=1), opset=23, is_causal=1, name="one key head"),
    case("Attention", *packed(q_heads=4, v_size=3), opset=23, q_num_heads=4, kv_num_heads=2, outputs=3, name="packed"),
    case("Attention", *qkv(length=5), some(5, 5), opset=23, is_causal=1, dtypes=NARROW, name="causal bool mask"),
    case("Attention", *qkv(), some(2, 1, 3, 5), opset=23, name="mask of batches"),
    case("Attention", *qkv(q_heads=4), some(4, 1, 5), opset=23, name="mask of heads"),
    case("Attention", *qkv(q_heads=4), real(2, 4, 3, 5), opset=23, dtypes=NARROW, name="mask to add"),
    case("Attention", *qkv(), minus_inf(some(3, 5)), opset=23, softcap=1.5, name="mask to add, -inf"),
    case("Attention", *qkv(), some(1, 5), opset=23, name="mask of keys"),
    case("Attention", *qkv(), some(3, 1) & np.array([[True], [False], [True]]), opset=23, expect=one_by_one,
         name="mask of queries"),
    case("Attention", *qkv(), np.zeros((3, 5), bool), opset=23, outputs=4, qk_matmul_output_mode=3,
         name="nothing seen"),
    case("Attention", *qkv(), None, *past(), opset=23, is_causal=1, outputs=3, dtypes=NARROW, name="past"),
    case("Attention", *qkv(length=1), None, *past(), opset=23, is_causal=1, name="past of one query"),
    case("Attention", *packed(), some(3, 7), *past(), opset=23, q_num_heads=2, kv_num_heads=2, outputs=4,
         name="packed past"),
    *(
        case("Attention", *qkv(q_heads=4), some(3, 5), opset=23, softcap=0.75, outputs=4, expect=one_by_one,
             qk_matmul_output_mode=mode, name=f"scores {mode}")  # the reference has the softcap in mode 0
        for mode in range(4)
    ),
    case("Attention", *qkv(), opset=23, softcap=2.0, dtypes=NARROW, name="softcap"),
    case("Attention", *qkv(), opset=23, softmax_precision=11, dtypes=("float32", "float16"), name="softmax double"),
    case("Attention", *qkv(), opset=23, outputs=4, qk_matmul_output_mode=3, softmax_precision=1,
         dtypes=("float16", "bfloat16"), name="softmax float"),
    case("Attention", *qkv(), opset=23, **HALF, name="softmax half"),
    case("Attention", *qkv(total=1, length=1, batch=1), opset=23, name="single"),
    case("Attention", *qkv(total=0), opset=23, expect=lambda Q, *_: np.zeros_like(Q), name="no keys"),
    case("Attention", *qkv(length=0), opset=23, name="no queries"),
    case("Attention", *qkv(batch=0), opset=23, expect=lambda Q, *_: Q, name="no batch"),
    case("Attention", *qkv(size=0), opset=23, expect=lambda Q, K, V: V.mean(2, keepdims=True).repeat(3, 2),
         name="no size"),
    case("Attention", *qkv(), scale=0.0, opset=23, expect=lambda Q, K, V, scale: V.mean(2, keepdims=True).repeat(3, 2),
         name="scale 0"),
    case("Attention", *qkv(), scale=-0.5, opset=23, dtypes=NARROW, expect=lambda *x, **a: one_by_one(*x, **a)[0],
         name="negative scale"),  # no root of it: the reference gives NaN
    case("Attention", *qkv(), None, None, None, [3, 5], opset=24, name="lengths"),
    case("Attention", *qkv(), None, None, None, [2, 5], opset=24, is_causal=1, dtypes=NARROW, name="causal lengths"),
    case("Attention", *qkv(), some(2, 1, 3, 4), None, None, [4, 3], opset=24, name="short mask"),
    case("Attention", *qkv(), real(3, 4), None, None, [1, 4], opset=24, is_causal=1, outputs=4,
         qk_matmul_output_mode=2, name="short mask to add"),
    case("Attention", *packed(q_heads=4), None, None, None, [0, 4], opset=24, q_num_heads=4, kv_num_heads=2,
         name="packed lengths"),
    case("Attention", *qkv(), None, *past(), opset=24, is_causal=1, outputs=3, name="past"),
    *(
        case("Attention", *qkv(length=5, total=6), opset=25, left_window_size=left, right_window_size=right,
             name=f"window {left} {right}")
        for left, right in ((2, -1), (-1, 1), (1, 1), (0, 0))
    ),
    case("Attention", *qkv(length=5, total=6), opset=25, left_window_size=2, right_window_size=3, is_causal=1,
         dtypes=NARROW, name="causal window"),
    case("Attention", *qkv(), some(5), *past(length=0), opset=25, left_window_size=2, outputs=4,
         qk_matmul_output_mode=3, name="window mask"),
    case("Attention", *qkv(), None, *past(), opset=25, left_window_size=2, right_window_size=0, outputs=3,
         name="window past"),
    case("Attention", *qkv(q_heads=4), some(4, 3, 5), None, None, [3, 5], opset=25, left_window_size=1, is_causal=1,
         name="window lengths"),
    case("Attention", *qkv(), opset=25, left_window_size=2**62, right_window_size=2**62, name="wide window"),
    case("FlexAttention", *qkv(q_heads=4, v_size=3), domain=PREVIEW, opset=1, dtypes=SINGLE),
    case("FlexAttention", *qkv(), domain=PREVIEW, opset=1, scale=0.25, dtypes=NARROW, name="scale"),
    case("FlexAttention", *qkv(), domain=PREVIEW, opset=1, softmax_precision=11, dtypes=("float16",), name="double"),
    case("FlexAttention", *qkv(), domain=PREVIEW, opset=1, **HALF, name="half"),
    case("FlexAttention", *qkv(length=0), domain=PREVIEW, opset=1, name="no queries"),
    *(
        case("RotaryEmbedding", real(2, 3, 4, 8), real(9, 4 - cut), real(9, 4 - cut, key="sin"),
             ints(2, 4, high=9), opset=23, interleaved=interleaved, rotary_embedding_dim=cut and 8 - 2 * cut,
             dtypes=SINGLE, name=f"{interleaved} {cut}")
        for interleaved, cut in itertools.product((0, 1), (0, 1))
    ),
    case("RotaryEmbedding", real(2, 4, 24), real(2, 4, 4), real(2, 4, 4, key="sin"), opset=23, num_heads=3,
         dtypes=SINGLE, name="packed"),
    case("RotaryEmbedding", real(2, 4, 24), real(9, 2), real(9, 2, key="sin"), ints(2, 4, high=9), opset=23,
         num_heads=3, rotary_embedding_dim=4, interleaved=1, dtypes=SINGLE, name="packed in part"),
    case("RotaryEmbedding", np.ones((1, 1, 3, 4)), np.cos(real(1, 3, 2)), np.sin(real(1, 3, 2)), opset=23,
         expect=turned_ones, dtypes=SINGLE, name="ones"),
    case("RotaryEmbedding", real(2, 3, 0, 4), real(2, 0, 2), real(2, 0, 2), opset=23, dtypes=SINGLE, name="empty"),
    *(
        case("LinearAttention", real(2, 5, 12, key="q"), real(2, 5, 6, key="k"), real(2, 5, 8, key="v"),
             real(2, 2, 3, 4) if start else None,
             real(2, 5, decay, low=-1, high=0) if "gated" in rule else None,
             real(2, 5, beta, low=0, high=1) if "delta" in rule else None,
             opset=27, q_num_heads=4, kv_num_heads=2, update_rule=rule, outputs=2, dtypes=SINGLE,
             name=f"{rule} {decay} {beta}")
        for rule, decay, beta, start in (
            ("linear", 0, 0, True), ("gated", 2, 0, False), ("gated", 6, 0, True), ("delta", 0, 2, True),
            ("delta", 0, 1, False), ("gated_delta", 2, 1, True), ("gated_delta", 6, 2, False),
        )
    ),
    case("LinearAttention", real(1, 3, 4, key="q"), real(1, 3, 4, key="k"), real(1, 3, 4, key="v"), None,
         real(1, 3, 1, low=-1, high=0), real(1, 3, 1, low=0, high=1), opset=27, q_num_heads=1, kv_num_heads=1,
         scale=2.0, chunk_size=2, outputs=2, dtypes=("float32",), name="defaults"),
    case("LinearAttention", *[np.array([[[1.0], [2.0]]])] * 3, opset=27, q_num_heads=1, kv_num_heads=1,
         update_rule="linear", outputs=2, expect=lambda *_, **a: ([[[1.0], [10.0]]], [[[[5.0]]]]), dtypes=SINGLE,
         name="by hand"),
    case("LinearAttention", real(2, 0, 4), real(2, 0, 4), real(2, 0, 6), real(2, 2, 2, 3), opset=27, q_num_heads=2,
         kv_num_heads=2, update_rule="linear", outputs=2, dtypes=("float32",), name="no steps"),
    *(
        case("CausalConvWithState", real(2, 3, 5), real(3, 1, size), real(3) if bias else None,
             real(2, 3, size - 1) if state else None, opset=27, outputs=2, dtypes=SINGLE, activation=activation,
             name=f"{size} {bias} {state} {activation}")
        for size, bias, state, activation in (
            (3, 0, 0, "none"), (4, 1, 1, "silu"), (4, 0, 1, "swish"), (1, 1, 0, "none"), (8, 1, 0, "none"),
        )
    ),
    case("CausalConvWithState", real(1, 2, 4), real(2, 1, 3), real(2), real(1, 2, 2), opset=27, outputs=2,
         activation="silu", expect=silu_of_sums, dtypes=SINGLE, name="by rows"),
    case("CausalConvWithState", real(2, 3, 0), real(3, 1, 3), None, real(2, 3, 2), opset=27, outputs=2,
         expect=lambda x, w, _, past_state: (x, past_state), dtypes=SINGLE, name="empty"),
]  # fmt: skip
