"""Activations written as several nodes are found, computed as one, and join what is before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime.engines.native import lowering
from striate.runtime.engines.native.assembly import Assembly
from striate.runtime.engines.native.composed import INNER, compose
from striate.runtime.executor import Executor

from ..runtime.graphs import model, op_types, random

Build = Callable[[Any, ir.Value], Any]
ROOT, SCALE = 2.0**0.5, (2 / np.pi) ** 0.5


def erf(g: Any, x: ir.Value) -> ir.Value:
    return g.Add(g.Erf(g.Div(x, ROOT)), 1.0)


def cubic(g: Any, x: ir.Value) -> ir.Value:
    return g.Add(g.Mul(g.Pow(x, 3.0), 0.044715), x)


def tanh(g: Any, x: ir.Value, inside: ir.Value) -> ir.Value:
    return g.Add(1.0 + np.zeros(1, np.float32), g.Tanh(g.Mul(inside, SCALE)))


FORMS: dict[str, tuple[str, Build]] = {
    "sigmoid times x": ("Swish", lambda g, x: g.Mul(g.Sigmoid(x), x)),
    "x times sigmoid": ("Swish", lambda g, x: g.Mul(x, g.Sigmoid(x))),
    "x times hard sigmoid": ("HardSwish", lambda g, x: g.Mul(x, g.HardSigmoid(x, alpha=1 / 6))),
    "x times tanh of softplus": ("Mish", lambda g, x: g.Mul(x, g.Tanh(g.Softplus(x)))),
    "x times erf, then half": ("Gelu", lambda g, x: g.Mul(g.Mul(x, erf(g, x)), 0.5)),
    "half of x, then erf": ("Gelu", lambda g, x: g.Mul(erf(g, x), g.Mul(x, 0.5))),
    "half of erf": ("Gelu", lambda g, x: g.Mul(x, g.Mul(erf(g, x), 0.5))),
    "x times erf by 2": ("Gelu", lambda g, x: g.Div(g.Mul(x, erf(g, x)), 2.0)),
    "erf of a product": ("Gelu", lambda g, x: g.Mul(g.Mul(x, g.Add(g.Erf(g.Mul(x, 0.5**0.5)), 1.0)), 0.5)),
    "tanh of a cube": ("Gelu", lambda g, x: g.Mul(g.Mul(x, 0.5), tanh(g, x, cubic(g, x)))),
    "tanh of products": (
        "Gelu",
        lambda g, x: g.Mul(
            g.Mul(x, tanh(g, x, g.Add(x, g.Mul(g.Mul(x, g.Mul(x, x)), 0.044715)))),
            0.5,
        ),
    ),
    "tanh of x times a square": (
        "Gelu",
        lambda g, x: g.Mul(g.Mul(x, 0.5), tanh(g, x, g.Mul(x, g.Add(g.Mul(g.Mul(x, x), 0.044715), 1.0)))),
    ),
}
OTHERS: dict[str, Build] = {
    "sigmoid of something else": lambda g, x: g.Mul(x, g.Sigmoid(g.Neg(x))),
    "sigmoid that is read again": lambda g, x: (lambda s: g.Add(g.Mul(x, s), s))(g.Sigmoid(x)),
    "sigmoid that is an output": lambda g, x: (lambda s: (g.Mul(x, s), s))(g.Sigmoid(x)),
    "hard sigmoid of another slope": lambda g, x: g.Mul(x, g.HardSigmoid(x, alpha=0.2)),
    "another root": lambda g, x: g.Mul(g.Mul(x, g.Add(g.Erf(g.Div(x, 1.4142)), 1.0)), 0.5),
    "square of x": lambda g, x: g.Mul(x, x),
}


@pytest.mark.parametrize("name", FORMS)
def test_found(name: str) -> None:
    op, build = FORMS[name]
    made = model(build, {"x": [3, 40]})
    names = {v.name for n in made.graph for v in n.outputs} - {"y0"}
    assert compose(made.graph)
    assert op_types(made) == [op]
    (node,) = made.graph
    assert node.outputs[0].name == "y0"
    assert node.outputs[0].is_graph_output()
    assert set(node.meta[INNER]) == names
    assert not compose(made.graph)


@pytest.mark.parametrize("name", OTHERS)
def test_not_found(name: str) -> None:
    made = model(OTHERS[name], {"x": [3, 40]})
    before = op_types(made)
    assert not compose(made.graph)
    assert op_types(made) == before


def test_neither_other_types_nor_what_differs_at_infinity_where_that_counts() -> None:
    wide = model(FORMS["x times sigmoid"][1], {"x": [3, 40]}, dtype=ir.DataType.DOUBLE)
    assert not compose(wide.graph)
    for op, build in FORMS.values():
        made = model(build, {"x": [3, 40]})
        assert compose(made.graph, strict=True) == (op in ("Swish", "HardSwish"))


def labels_of(made: ir.Model, feeds: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the steps of a model are called; its results are those of the arrays engine."""
    assemblies: list[Assembly] = []
    original = lowering.stretch

    def noted(asm: Assembly, threads: int) -> Any:
        assemblies.append(asm)
        return original(asm, threads)

    monkeypatch.setattr(lowering, "stretch", noted)
    (want,) = Executor(made.clone()).run(feeds)
    one, two = (Executor(made.clone(), threads=threads).run(feeds)[0] for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, want, rtol=2e-5, atol=2e-6 * max(1.0, float(np.abs(want).max())))
    assert len(assemblies) == 2
    return [step.label for step in assemblies[0].steps]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("rank", [2, 4])
def test_joins_what_is_before_it(name: str, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution or a product, and its activation, are one step."""
    _, form = FORMS[name]

    def net(g: Any, x: ir.Value) -> ir.Value:
        y = g.MatMul(x, random(24, 33)) if rank == 2 else g.Conv(x, random(20, 24, 3, 3), pads=[1, 1, 1, 1])
        return form(g, y)

    made = model(net, {"x": [5, 24] if rank == 2 else [2, 24, 9, 11]})
    x = random(*(5, 24) if rank == 2 else (2, 24, 9, 11), seed=1)
    labels = labels_of(made, {"x": x}, monkeypatch)
    assert not any(label.startswith("chain") for label in labels), labels


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("channels", [20, 32])
def test_squeeze_and_excitation_stays_in_blocks(images: int, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One way in, one way out, whatever the number of images."""

    def net(g: Any, x: ir.Value) -> ir.Value:
        a = g.Conv(x, random(channels, 16, 3, 3) / 10, pads=[1, 1, 1, 1])
        a = g.Mul(a, g.Sigmoid(a))
        s = g.Relu(g.Conv(g.GlobalAveragePool(a), random(8, channels, 1, 1)))
        gate = g.Sigmoid(g.Conv(s, random(channels, 8, 1, 1)))
        return g.Conv(g.Mul(gate, a), random(24, channels, 3, 3) / 10, pads=[1, 1, 1, 1])

    labels = labels_of(model(net, {"x": [images, 16, 10, 12]}), {"x": random(images, 16, 10, 12)}, monkeypatch)
    assert sum(label.startswith("reorder") for label in labels) == 2, labels
    assert sum(label.startswith("chain_blocked") for label in labels) == 1, labels
