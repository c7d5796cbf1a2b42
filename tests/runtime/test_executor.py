"""Plans: buffers, aliasing, donation, the cache; and what the executor says when something fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime import limits
from striate.runtime.errors import InvalidInput, LimitExceeded, NonFiniteLoss, RunFailed
from striate.runtime.executor import Executor

from .graphs import model, random


def chain(g: Any, x: ir.Value) -> ir.Value:
    """Views, in-place candidates, values read late, and a branch."""
    a = g.Relu(x)
    b = g.Transpose(a, perm=[1, 0])
    c = g.Exp(g.Neg(a))
    d = g.MatMul(c, b)
    e = g.Add(g.Tanh(d), g.MatMul(a, g.Reshape(b, [0, -1])))
    return g.Softmax(g.Sub(g.Mul(e, e), d), axis=-1)


def test_reusing_buffers_changes_no_bit() -> None:
    made = model(chain, {"x": ["N", 5]})
    reusing, plain = Executor(made), Executor(made, reuse=False)
    for rows in (3, 7, 3, 1):
        x = random(rows, 5, seed=rows)
        np.testing.assert_array_equal(reusing.run({"x": x})[0], plain.run({"x": x})[0])


def test_an_arena_is_smaller_than_all_values_together() -> None:
    def deep(g: Any, x: ir.Value) -> ir.Value:
        for i in range(10):
            x = g.MatMul(x, random(64, 64, seed=i))
        return x

    executor = Executor(model(deep, {"x": ["N", 64]}))
    plan = executor.plan_for({"x": random(64, 64)})
    assert plan.arena_bytes == 2 * 64 * 64 * 4
    assert len(plan.buffers) == 9


def test_elementwise_chains_work_in_place() -> None:
    plan = Executor(model(lambda g, x: g.Relu(g.Exp(g.Neg(g.Abs(x)))), {"x": [1000]})).plan_for({"x": random(1000)})
    assert plan.arena_bytes == 4000


def test_outputs_belong_to_the_caller() -> None:
    def views(g: Any, x: ir.Value) -> tuple[ir.Value, ...]:
        y = g.Relu(x)
        return y, g.Reshape(y, [-1]), g.Transpose(x), g.Identity(g.constant(np.arange(3.0)))

    executor = Executor(model(views, {"x": [2, 3]}))
    x = np.abs(random(2, 3))
    first = executor.run({"x": x})
    for i, a in enumerate(first):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in (x, *first[:i]))
    kept = [a.copy() for a in first]
    for a in first:
        a[...] = -1
    for a, b in zip(executor.run({"x": x}), kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_donated_inputs_receive_their_outputs() -> None:
    def update(g: Any, w: ir.Value, x: ir.Value) -> tuple[ir.Value, ...]:
        loss = g.ReduceSum(g.Mul(w, x), keepdims=0)
        return loss, g.Sub(w, g.Mul(x, 0.5))

    made = model(update, {"w": [4], "x": [4]})
    executor = Executor(made, donate={"w": "y1"})
    w, x = random(4, seed=1), random(4, seed=2)
    expected, before = w - 0.5 * x, w.copy()
    (loss,) = executor.run({"w": w, "x": x})
    np.testing.assert_allclose(loss, (before * x).sum(), rtol=1e-6)
    np.testing.assert_array_equal(w, expected)


def test_a_donated_input_still_needed_is_overwritten_last() -> None:
    def update(g: Any, w: ir.Value) -> tuple[ir.Value, ...]:
        new = g.Mul(w, 2.0)
        return g.Add(w, new), new

    executor = Executor(model(update, {"w": [3]}), donate={"w": "y1"})
    w = np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(executor.run({"w": w})[0], [3, 6, 9])
    np.testing.assert_array_equal(w, [2, 4, 6])


def test_donated_inputs_are_updated_by_kernels_that_make_their_own_array() -> None:
    executor = Executor(model(lambda g, w: g.Where(g.Greater(w, 1.5), g.Neg(w), w), {"w": [3]}), donate={"w": "y0"})
    w = np.array([1, 2, 3], np.float32)
    executor.run({"w": w})
    np.testing.assert_array_equal(w, [1, -2, -3])


def test_a_result_shows_a_donated_input_as_it_was() -> None:
    executor = Executor(model(lambda g, w: (g.Identity(w), g.Mul(w, 2.0)), {"w": [2]}), donate={"w": "y1"})
    w = np.array([1, 2], np.float32)
    np.testing.assert_array_equal(executor.run({"w": w})[0], [1, 2])
    np.testing.assert_array_equal(w, [2, 4])


def test_the_guard_stops_before_anything_is_overwritten() -> None:
    def update(g: Any, w: ir.Value) -> tuple[ir.Value, ...]:
        return g.ReduceSum(g.Log(w), keepdims=0), g.Mul(w, 2.0)

    executor = Executor(model(update, {"w": [2]}), donate={"w": "y1"}, guard="y0")
    w = np.array([1, -1], np.float32)
    with pytest.raises(NonFiniteLoss, match="y0"):
        executor.run({"w": w})
    np.testing.assert_array_equal(w, [1, -1])


def test_the_plan_cache_is_bounded() -> None:
    executor = Executor(model(lambda g, x: g.Relu(x), {"x": ["N", 2]}), plan_cache=3)
    plans = {n: executor.plan_for({"x": random(n, 2)}) for n in (1, 2, 3)}
    assert executor.plan_for({"x": random(1, 2)}) is plans[1]
    executor.plan_for({"x": random(4, 2)})
    assert executor.plan_for({"x": random(1, 2)}) is plans[1]
    assert executor.plan_for({"x": random(2, 2)}) is not plans[2]


def test_concurrent_runs_do_not_share_buffers() -> None:
    executor = Executor(model(chain, {"x": ["N", 5]}))
    feeds = [{"x": random(9, 5, seed=i)} for i in range(8)]
    alone = [executor.run(f)[0] for f in feeds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda f: [executor.run(f)[0] for _ in range(20)], feeds))
    for expected, results in zip(alone, together, strict=True):
        for result in results:
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("feeds", "fetch", "fragment"),
    [
        ({}, None, "input 'x' is missing"),
        ({"x": random(2, 2), "z": random(1)}, None, "no input 'z'"),
        ({"x": random(2, 2)}, ["nothing"], "no output 'nothing'"),
    ],
)
def test_wrong_names_are_refused(feeds: Any, fetch: Any, fragment: str) -> None:
    with pytest.raises(InvalidInput, match=fragment):
        Executor(model(lambda g, x: g.Relu(x), {"x": ["N", 2]})).run(feeds, fetch)


def test_a_failing_node_is_named() -> None:
    executor = Executor(model(lambda g, x, i: g.Reshape(x, i), {"x": [6], "i": [None]}, dtype=ir.DataType.INT64))
    with pytest.raises((RunFailed, InvalidInput), match=r"node 'Reshape' \(Reshape\)"):
        executor.run({"x": np.arange(6), "i": np.array([4, 2])})


def test_huge_values_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VALUE_BYTES", 1 << 20)
    executor = Executor(model(lambda g, x: g.MatMul(x, g.Transpose(x)), {"x": ["N", 1]}))
    with pytest.raises(LimitExceeded, match=r"shape \[1024, 1024\]"):
        executor.run({"x": np.ones((1024, 1), np.float32)})
