"""Each optimizer's graph against its published update rule, written down in NumPy float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime.builder import OPSET, Builder
from striate.runtime.errors import InvalidInput
from striate.runtime.executor import Executor
from striate.trainer import optimizers, schedules

W = np.array([0.5, -1.5, 2.0, 0.0])
GRADIENTS = [np.array([0.3, -0.2, 1.0, 0.1]), np.array([-0.1, 0.4, 0.5, 0.0]), np.array([0.2, 0.2, -0.7, 3.0])]


def run(optimizer: optimizers.Optimizer, w: np.ndarray = W) -> np.ndarray:
    """Three steps of the optimizer's own graph."""
    dtype = ir.DataType.DOUBLE
    inputs = {
        n: ir.Value(name=n, type=ir.TensorType(dtype), shape=ir.Shape(w.shape)) for n in ("w", "dw", *optimizer.slots)
    }
    rate = ir.Value(name="rate", type=ir.TensorType(dtype), shape=ir.Shape([]))
    step = ir.Value(name="step", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    graph = ir.Graph([*inputs.values(), rate, step], [], nodes=[], opset_imports={"": OPSET}, name="update")
    g = Builder(graph)
    shared = optimizer.prepare(g, rate, step)
    (dw,) = optimizer.clip(g, [inputs["dw"]])
    decayed = optimizer.decay(g, rate, inputs["w"])
    new_w, new_slots = optimizer.update(g, shared, decayed, dw, {n: inputs[n] for n in optimizer.slots})
    assert set(new_slots) == set(optimizer.slots)
    graph.outputs.extend([new_w, *new_slots.values()])
    executor = Executor(ir.Model(graph, ir_version=10))
    state: dict[str, Any] = {n: np.full(w.shape, v) for n, v in optimizer.slots.items()}
    for i, gradient in enumerate(GRADIENTS):
        feeds = state | {"w": w, "dw": gradient, "rate": np.float64(optimizer.rate(i)), "step": np.int64(i)}
        w, *new = executor.run(feeds)
        state = dict(zip(new_slots, new, strict=True))
    return w


def sgd(rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0) -> np.ndarray:
    w, m = W.copy(), np.zeros_like(W)
    for g in GRADIENTS:
        w = w - rate * decay * w
        m = momentum * m - rate * g
        w = w + (momentum * m - rate * g if nesterov else m)
    return w


def rmsprop(momentum: float = 0.0, centered: bool = False) -> np.ndarray:
    w, v, mean, m = W.copy(), np.zeros_like(W), np.zeros_like(W), np.zeros_like(W)
    for g in GRADIENTS:
        v = 0.9 * v + 0.1 * g * g
        mean = 0.9 * mean + 0.1 * g
        m = momentum * m + 0.001 * g / np.sqrt(v - (mean**2 if centered else 0.0) + 1e-7)
        w = w - m
    return w


def adagrad() -> np.ndarray:
    w, a = W.copy(), np.full_like(W, 0.1)
    for g in GRADIENTS:
        a = a + g * g
        w = w - 0.001 * g / np.sqrt(a + 1e-7)
    return w


def adam(decay: float = 0.0) -> np.ndarray:
    w, m, v = W.copy(), np.zeros_like(W), np.zeros_like(W)
    for t, g in enumerate(GRADIENTS, start=1):
        w = w - 0.001 * decay * w
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        w = w - 0.001 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return w


CASES = {
    "sgd": (optimizers.SGD(), sgd()),
    "momentum": (optimizers.SGD(0.1, momentum=0.9), sgd(0.1, 0.9)),
    "nesterov": (optimizers.SGD(0.1, momentum=0.9, nesterov=True), sgd(0.1, 0.9, True)),
    "sgd-decay": (optimizers.SGD(0.1, weight_decay=0.2), sgd(0.1, decay=0.2)),
    "rmsprop": (optimizers.RMSprop(), rmsprop()),
    "rmsprop-momentum": (optimizers.RMSprop(momentum=0.5), rmsprop(0.5)),
    "rmsprop-centered": (optimizers.RMSprop(centered=True), rmsprop(centered=True)),
    "adagrad": (optimizers.Adagrad(), adagrad()),
    "adam": (optimizers.Adam(), adam()),
    "adamw": (optimizers.AdamW(), adam(0.004)),
}


@pytest.mark.parametrize("name", CASES)
def test_three_steps_follow_the_published_rule(name: str) -> None:
    optimizer, expected = CASES[name]
    np.testing.assert_allclose(run(optimizer), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_configuration_survives(name: str) -> None:
    optimizer, _ = CASES[name]
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.slots == optimizer.slots


def test_clipping_bounds_the_gradient() -> None:
    step = GRADIENTS[0]
    norm = np.linalg.norm(step)
    for optimizer, expected in (
        (optimizers.SGD(1.0, clipvalue=0.15), [np.clip(g, -0.15, 0.15) for g in GRADIENTS]),
        (optimizers.SGD(1.0, clipnorm=0.5), [g * min(1.0, 0.5 / np.linalg.norm(g)) for g in GRADIENTS]),
        (optimizers.SGD(1.0, global_clipnorm=0.5), [g * min(1.0, 0.5 / np.linalg.norm(g)) for g in GRADIENTS]),
    ):
        np.testing.assert_allclose(run(optimizer), W - sum(expected), rtol=1e-12, atol=1e-15)
    assert norm > 0.5


def test_a_schedule_sets_the_rate_of_every_step() -> None:
    decay = schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    expected = W - 0.1 * GRADIENTS[0] - 0.05 * GRADIENTS[1] - 0.025 * GRADIENTS[2]
    np.testing.assert_allclose(run(optimizers.SGD(decay)), expected, rtol=1e-12)
    saved = optimizers.get(optimizers.serialize(optimizers.SGD(decay)))
    assert saved.learning_rate == decay


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda: optimizers.get("sdg"), "'sdg' is unknown"),
        (lambda: optimizers.SGD(learning_rate=-1.0), "learning_rate is -1.0"),
        (lambda: optimizers.SGD(momentum=2.0), "momentum is 2.0"),
        (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), "only one of"),
        (lambda: schedules.PiecewiseConstantDecay((1, 2), (0.1,)), "need 3 values"),
    ],
)
def test_bad_settings_are_refused(make: Any, fragment: str) -> None:
    with pytest.raises(InvalidInput, match=fragment):
        make()
