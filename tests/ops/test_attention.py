"""What the case table cannot say of the attention family: blocks, roundings, subgraphs as callables, and errors."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import StriateError
from striate.runtime.ops import _attention, registry

from .table import ints, real

PREVIEW = "ai.onnx.preview"


def run(name: str, version: int, *inputs: Any, domain: str = "", **attributes: Any) -> Any:
    operator = registry.lookup(domain, name, version)
    with np.errstate(all="ignore"):
        return operator.kernel(np, *inputs, **operator.bind(attributes))


def inputs(q_heads: int = 4, length: int = 6, total: int = 9) -> tuple[np.ndarray, ...]:
    return (real(2, q_heads, length, 4), real(2, 2, total, 4, key="k"), real(2, 2, total, 3, key="v"))


BLOCKWISE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "plain": ((), {}),
    "causal": ((), {"is_causal": 1}),
    "lengths": ((ints(2, 4, 6, 9, high=2).astype(bool), None, None, np.array([3, 8])), {"is_causal": 1}),
    "window": ((real(1, 4, 1, 9),), {"left_window_size": 2, "right_window_size": 1}),
    "window, lengths": ((None, None, None, np.array([0, 9])), {"left_window_size": 1, "is_causal": 1}),
}


@pytest.mark.parametrize("block", [8, 200, 1000, 4000])
@pytest.mark.parametrize(("more", "attributes"), BLOCKWISE.values(), ids=BLOCKWISE)
def test_blocks_change_nothing(monkeypatch: Any, block: int, more: Any, attributes: Any) -> None:
    want = run("Attention", 25, *inputs(), *more, **attributes)
    operator = registry.lookup("", "Attention", 25)
    bound = operator.bind({**attributes, "qk_matmul_output_mode": 3})
    *_, weights = operator.kernel(np, *inputs(), *more, **bound, n_outputs=4)
    monkeypatch.setattr(_attention, "BLOCK_BYTES", block)
    np.testing.assert_allclose(run("Attention", 25, *inputs(), *more, **attributes), want, rtol=1e-12, atol=1e-14)
    *_, again = operator.kernel(np, *inputs(), *more, **bound, n_outputs=4)
    np.testing.assert_allclose(again, weights, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("limit", [1, 7, 60, 10**6])
def test_blocks_cover_everything_once(limit: int) -> None:
    seen = np.zeros((2, 3, 4, 5), int)
    for at in _attention.blocks(seen.shape, 6, limit):
        seen[at] += 1
        assert seen[at].size * 6 <= max(limit, 6)
    assert (seen == 1).all()


def test_memory_stays_far_below_that_of_all_scores(monkeypatch: Any) -> None:
    monkeypatch.setattr(_attention, "BLOCK_BYTES", 1 << 18)
    q = np.zeros((1, 4, 1024, 8), np.float32)
    tracemalloc.start()
    run("Attention", 23, q, q, q)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024 * 4 / 4


def test_keys_outside_the_window_are_not_read() -> None:
    q, k, v = inputs(length=1)
    v[:, :, 4:] = np.nan
    got = run("Attention", 24, q, k, v, None, None, None, np.array([4, 3]))
    want = run("Attention", 24, q, k[:, :, :4], v[:, :, :4], None, None, None, np.array([4, 3]))
    np.testing.assert_array_equal(got, want)


def test_masked_scores_leave_no_trace() -> None:
    q, k, v = inputs()
    k[:, :, 5] = np.inf
    mask = np.arange(9) != 5
    got = run("Attention", 23, q, k, v, mask)
    np.testing.assert_allclose(got, run("Attention", 23, q, k[:, :, mask], v[:, :, mask]), rtol=1e-12)


def test_half_precision_rounds_like_numpy() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = np.unique(halves[np.isfinite(halves)].astype(np.float32))
    middles = (halves[1:] + halves[:-1]) / 2
    beside = [np.nextafter(middles, np.float32(to)) for to in (-np.inf, np.inf)]
    edges = np.float32([65519.996, 65520, -65520, 1e30, np.inf, -np.inf, np.nan, 1e-40, 0.0])
    x = np.concatenate([halves, middles, *beside, edges])
    with np.errstate(over="ignore"):
        want = x.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(_attention.rounded(np, x, np.dtype(np.float16)), want)


def test_half_precision_rounds_each_step_of_the_softmax() -> None:
    """The specification names the precision softmax is computed in: here that of NumPy's own float16 arithmetic."""
    q = np.ones((1, 1, 1, 1), np.float16)
    k = real(1, 1, 50, 1).astype(np.float16)
    operator = registry.lookup("", "Attention", 23)
    *_, weights = operator.kernel(np, q, k, k, qk_matmul_output_mode=3, n_outputs=4)
    powers = np.exp(k.ravel() - k.max())
    want = powers / powers.sum(dtype=np.float32).astype(np.float16)
    assert want.dtype == np.float16
    np.testing.assert_array_equal(weights.ravel(), want)


def test_half_precision_survives_more_keys_than_it_can_count() -> None:
    q = np.zeros((1, 1, 1, 1), np.float16)
    k = np.zeros((1, 1, 70_000, 1), np.float16)
    np.testing.assert_allclose(run("Attention", 23, q, k, k + np.float16(1)), 1, rtol=0.02)


def test_score_mod_and_prob_mod_see_all_heads() -> None:
    q, k, v = (x.astype(np.float16) for x in inputs())
    seen = []

    def score_mod(scores: np.ndarray) -> tuple[np.ndarray]:
        seen.append((scores.shape, scores.dtype))
        return (np.where(np.arange(9) <= np.arange(6)[:, None], scores, np.float32(-np.inf)),)

    def prob_mod(weights: np.ndarray) -> tuple[np.ndarray]:
        seen.append((weights.shape, weights.dtype))
        return (weights * np.float32(2),)

    got = run("FlexAttention", 1, q, k, v, domain=PREVIEW, score_mod=score_mod, prob_mod=prob_mod)
    assert seen == [((2, 4, 6, 9), np.float32)] * 2
    assert got.dtype == np.float16
    wide = [x.astype(np.float64) for x in (q, k, v)]
    np.testing.assert_allclose(got, 2 * run("Attention", 23, *wide, is_causal=1), rtol=4e-3, atol=2e-3)


def test_subgraph_results_are_not_overwritten() -> None:
    constant = real(2, 4, 6, 9)
    kept = constant.copy()
    change = {"score_mod": lambda scores: (constant,), "prob_mod": lambda weights: (constant,)}
    got = run("FlexAttention", 1, *inputs(), domain=PREVIEW, **change)
    np.testing.assert_array_equal(constant, kept)
    np.testing.assert_allclose(got, constant @ inputs()[2].repeat(2, 1), rtol=1e-12)


def test_mod_precision() -> None:
    def widened(x: np.ndarray) -> tuple[np.ndarray]:
        assert x.dtype == np.float16
        return (x,)

    got = run("FlexAttention", 1, *inputs(), domain=PREVIEW, softmax_precision=10, score_mod=widened, prob_mod=widened)
    np.testing.assert_allclose(got, run("Attention", 23, *inputs()), rtol=2e-2, atol=4e-3)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


Q4, Q3 = ones(1, 2, 3, 4), ones(1, 3, 8)
PAST = ones(1, 2, 5, 4)
HEADS = {"q_num_heads": 2, "kv_num_heads": 2}
LINEAR = {**HEADS, "update_rule": "linear"}
X3, W3 = ones(2, 3, 5), ones(3, 1, 4)

WRONG: dict[str, tuple[str, int, tuple[Any, ...], dict[str, Any], str]] = {
    "ranks": ("Attention", 23, (Q4, Q3, Q3), {}, "ranks 4, 3, 3"),
    "no head counts": ("Attention", 23, (Q3, Q3, Q3), {}, "need the attributes q_num_heads"),
    "head count 0": ("Attention", 23, (Q3, Q3, Q3), {"q_num_heads": 0, "kv_num_heads": 1}, "divided into 0 heads"),
    "head count": ("Attention", 23, (Q3, Q3, Q3), {"q_num_heads": 3, "kv_num_heads": 2}, "divided into 3 heads"),
    "other head count": ("Attention", 25, (Q4, Q4, Q4), {"q_num_heads": 4}, "q_num_heads is 4"),
    "groups": ("Attention", 23, (ones(1, 3, 3, 4), Q4, Q4), {}, "expected a multiple"),
    "no key heads": ("Attention", 23, (Q4, ones(1, 0, 3, 4), ones(1, 0, 3, 4)), {}, "expected a multiple"),
    "head size": ("Attention", 23, (Q4, ones(1, 2, 3, 5), Q4), {}, "do not fit"),
    "batch": ("Attention", 23, (Q4, ones(2, 2, 3, 4), ones(2, 2, 3, 4)), {}, "do not fit"),
    "value length": ("Attention", 23, (Q4, Q4, PAST), {}, "do not fit"),
    "mask": ("Attention", 23, (Q4, Q4, Q4, ones(2, 3)), {}, r"broadcasts to \[1, 2, 3, 3\]"),
    "mask rank": ("Attention", 23, (Q4, Q4, Q4, ones(1, 1, 1, 3, 3)), {}, "broadcasts to"),
    "short mask": ("Attention", 23, (Q4, Q4, Q4, ones(3, 2)), {}, "broadcasts to"),
    "long mask": ("Attention", 24, (Q4, Q4, Q4, ones(3, 4)), {}, "broadcasts to"),
    "half a past": ("Attention", 23, (Q4, Q4, Q4, None, PAST), {}, "together, or neither"),
    "past": ("Attention", 23, (Q4, Q4, Q4, None, PAST, ones(1, 2, 5, 3)), {}, "past_value has shape"),
    "past lengths": ("Attention", 23, (Q4, Q4, Q4, None, PAST, ones(1, 2, 6, 4)), {}, "equal lengths"),
    "past and lengths": ("Attention", 24, (Q4, Q4, Q4, None, PAST, PAST, np.array([2])), {}, "together with past_key"),
    "lengths": ("Attention", 24, (Q4, Q4, Q4, None, None, None, np.array([4])), {}, "numbers from 0 to 3"),
    "negative lengths": ("Attention", 24, (Q4, Q4, Q4, None, None, None, np.array([-1])), {}, "numbers from 0 to 3"),
    "number of lengths": ("Attention", 24, (Q4, Q4, Q4, None, None, None, np.array([1, 2])), {}, "expected 1 numbers"),
    "window": ("Attention", 25, (Q4, Q4, Q4), {"left_window_size": -2}, "left_window_size is -2"),
    "mode": ("Attention", 23, (Q4, Q4, Q4), {"qk_matmul_output_mode": 4}, "expected 0, 1, 2 or 3"),
    "softcap": ("Attention", 23, (Q4, Q4, Q4), {"softcap": -1.0}, "softcap is -1"),
    "softcap nan": ("Attention", 23, (Q4, Q4, Q4), {"softcap": float("nan")}, "softcap is nan"),
    "scale": ("Attention", 23, (Q4, Q4, Q4), {"scale": float("inf")}, "scale is inf"),
    "precision": ("Attention", 23, (Q4, Q4, Q4), {"softmax_precision": 7}, "softmax_precision is int64"),
    "tiny precision": ("Attention", 23, (Q4, Q4, Q4), {"softmax_precision": 17}, "softmax_precision is float8"),
    "huge": ("Attention", 23, (ones(1, 1, 2**30, 0), ones(1, 1, 1, 0), ones(1, 1, 1, 2**14)), {},
             "would take"),
    "flex rank": ("FlexAttention", 1, (Q3, Q3, Q3), {}, "expected .batch, heads"),
    "flex outputs": ("FlexAttention", 1, (Q4, Q4, Q4), {"score_mod": lambda x: (x, x)}, "score_mod has 2 outputs"),
    "flex shape": ("FlexAttention", 1, (Q4, Q4, Q4), {"prob_mod": lambda x: (x[:, :1],)}, r"prob_mod gives .*\[1, 1"),
    "flex dtype": ("FlexAttention", 1, (Q4, Q4, Q4), {"score_mod": lambda x: (x > 0,)}, "score_mod gives bool"),
    "rotary rank": ("RotaryEmbedding", 23, (ones(2, 3), Q4, Q4), {}, "expected rank 3 or 4"),
    "rotary heads": ("RotaryEmbedding", 23, (Q3, ones(1, 3, 2), ones(1, 3, 2)), {}, "needs the attribute num_heads"),
    "rotary odd": ("RotaryEmbedding", 23, (Q4, Q4, Q4), {"rotary_embedding_dim": 3}, "cannot be turned"),
    "rotary much": ("RotaryEmbedding", 23, (Q4, Q4, Q4), {"rotary_embedding_dim": 6}, "cannot be turned"),
    "rotary negative": ("RotaryEmbedding", 23, (Q4, Q4, Q4), {"rotary_embedding_dim": -2}, "cannot be turned"),
    "rotary cache": ("RotaryEmbedding", 23, (Q4, ones(1, 3, 2), ones(1, 2, 2)), {}, "sin_cache has shape"),
    "rotary positions": ("RotaryEmbedding", 23, (Q4, ones(9, 2), ones(9, 2), np.array([[0, 1, 9]])), {}, "0 to 8"),
    "rotary before": ("RotaryEmbedding", 23, (Q4, ones(9, 2), ones(9, 2), np.array([[0, -1, 8]])), {}, "0 to 8"),
    "rotary table": ("RotaryEmbedding", 23, (Q4, ones(9, 3), ones(9, 3), np.array([[0, 1, 2]])), {}, "cos_cache has"),
    "linear rule": ("LinearAttention", 27, (Q3, Q3, Q3), {**HEADS, "update_rule": "rnn"}, "update_rule is 'rnn'"),
    "linear decay": ("LinearAttention", 27, (Q3, Q3, Q3), {**HEADS, "update_rule": "gated"}, "needs the input decay"),
    "linear beta": ("LinearAttention", 27, (Q3, Q3, Q3, None, None, Q3), LINEAR, "does not read the input beta"),
    "linear rank": ("LinearAttention", 27, (Q4, Q4, Q4), LINEAR, "expected 3"),
    "linear heads": ("LinearAttention", 27, (Q3, Q3, Q3), {**LINEAR, "q_num_heads": 3}, "expected a multiple"),
    "linear sizes": ("LinearAttention", 27, (Q3, ones(1, 3, 6), Q3), LINEAR, "do not fit"),
    "linear state": ("LinearAttention", 27, (Q3, Q3, Q3, PAST), LINEAR, r"expected \[1, 2, 4, 4\]"),
    "linear gate": ("LinearAttention", 27, (Q3, Q3, Q3, None, ones(1, 3, 4)), {**HEADS, "update_rule": "gated"},
                    "decay has shape"),
    "linear huge": ("LinearAttention", 27, (ones(1, 0, 2**20), ones(1, 0, 2**20), ones(1, 0, 2**20)),
                    {"q_num_heads": 1, "kv_num_heads": 1, "update_rule": "linear"}, "would take"),
    "conv activation": ("CausalConvWithState", 27, (X3, W3), {"activation": "relu"}, "activation is 'relu'"),
    "conv weight": ("CausalConvWithState", 27, (X3, ones(2, 1, 4)), {}, "do not fit"),
    "conv no weight": ("CausalConvWithState", 27, (X3, ones(3, 1, 0)), {}, "do not fit"),
    "conv rank": ("CausalConvWithState", 27, (ones(3, 5), W3), {}, "do not fit"),
    "conv state": ("CausalConvWithState", 27, (X3, W3, None, ones(2, 3, 4)), {}, "does not fit"),
    "conv bias": ("CausalConvWithState", 27, (X3, W3, ones(1)), {}, "does not fit"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[str, int, tuple[Any, ...], dict[str, Any], str]) -> None:
    name, version, given, attributes, message = wrong
    with pytest.raises(StriateError, match=message):
        run(name, version, *given, domain=PREVIEW if name == "FlexAttention" else "", **attributes)
