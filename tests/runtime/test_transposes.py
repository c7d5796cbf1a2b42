"""Transposes in graphs as layers write them, and in random ones: same results, fewer transposes, an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from striate import models
from striate.exporter.export import exported
from striate.runtime.executor import Executor
from striate.runtime.passes import cleanup, fold, transposes

from .graphs import model, op_types, random

BACK, FORTH = [0, 3, 1, 2], [0, 2, 3, 1]


def conv(g: Any, x: ir.Value, out: int = 3, size: int = 1, **more: Any) -> ir.Value:
    """As a layer writes it: channels last outside, first inside."""
    channels = x.shape[3]  # type: ignore[index]
    inside = g.Conv(g.Transpose(x, perm=BACK), random(out, channels, size, size, seed=out), **more)
    return g.Transpose(inside, perm=FORTH)


def swish(g: Any, x: ir.Value) -> ir.Value:
    return g.Mul(x, g.Sigmoid(x))


def squeeze_and_excitation(g: Any, x: ir.Value) -> ir.Value:
    pooled = g.Transpose(g.GlobalAveragePool(g.Transpose(x, perm=BACK)), perm=FORTH)
    return g.Mul(x, g.Sigmoid(conv(g, g.Relu(conv(g, pooled, 2)))))


def inverted_residual(g: Any, x: ir.Value) -> ir.Value:
    return g.Add(conv(g, squeeze_and_excitation(g, swish(g, conv(g, x)))), x)


def two_readers(g: Any, x: ir.Value) -> ir.Value:
    """One reader goes on in this layout, the other in the other."""
    r = g.Relu(conv(g, x))
    return g.Concat(r, conv(g, conv(g, r, size=3, pads=[1, 1, 1, 1])), axis=3)


def padded(g: Any, x: ir.Value) -> ir.Value:
    return g.Pad(x, np.array([0, 1, 2, 0, 0, 3, 0, 0]))


def named_pads(g: Any, x: ir.Value) -> ir.Value:
    return g.Pad(x, np.array([1, 2, 3, 0]), np.float32(1.5), np.array([2, -1]))


def halves(g: Any, x: ir.Value) -> ir.Value:
    left, right = g.Split(x, axis=-2, num_outputs=2, outputs=2)
    return g.Mul(left, g.Tanh(right))


def reduced(g: Any, x: ir.Value) -> ir.Value:
    return g.Mul(x, g.ReduceMean(x, np.array([1, -2]), keepdims=1))


def bound_by_a_number(g: Any, x: ir.Value) -> ir.Value:
    return g.Clip(x, g.ReduceMin(x, keepdims=0), np.float32(0.25))


LAYERS: dict[str, tuple[Callable[[Any, ir.Value], ir.Value], int]] = {
    # what stands between two layers, and how many transposes are left there
    "swish": (swish, 0),
    "hard swish of a sum": (lambda g, x: g.HardSwish(g.Add(x, random(3))), 0),
    "gate": (squeeze_and_excitation, 0),
    "block": (inverted_residual, 0),
    "blocks": (lambda g, x: inverted_residual(g, inverted_residual(g, x)), 0),
    "two readers": (two_readers, 0),
    "pad": (padded, 0),
    "pad of named axes": (named_pads, 0),
    "slice": (lambda g, x: g.Slice(x, [1, 0], [5, 4], [2, -3], [1, 2]), 0),
    "slice of the first axes": (lambda g, x: g.Slice(x, [0, 1], [1, 5]), 0),
    "split": (halves, 0),
    "mean": (reduced, 0),
    "softmax": (lambda g, x: g.Softmax(x, axis=-1), 0),
    "concat": (lambda g, x: g.Concat(x, g.Neg(x), random(2, 6, 6, 2), axis=-1), 0),
    "one number": (bound_by_a_number, 0),
    "norm": (lambda g, x: g.LayerNormalization(x, random(3), axis=-1), 2),
    "another order": (lambda g, x: g.Transpose(g.Relu(x), perm=[0, 2, 1, 3]), 1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_between_two_layers(name: str) -> None:
    build, left = LAYERS[name]
    before = model(lambda g, x: g.Neg(conv(g, build(g, conv(g, x)), 2)), {"x": [2, 6, 6, 3]})
    x = random(2, 6, 6, 3)
    after = before.clone()
    transposes.run(after)
    assert op_types(after).count("Transpose") - 2 == left  # the way in and the way out
    same(before, after, {"x": x})


def same(before: ir.Model, after: ir.Model, feeds: dict[str, np.ndarray]) -> None:
    """Results stay, types are those that follow from the inputs, names are unique; a second time changes nothing."""
    want = Executor(before, optimize=False).run(feeds)
    for y, right in zip(Executor(after, optimize=False).run(feeds), want, strict=True):
        assert y.shape == right.shape
        np.testing.assert_allclose(y, right, rtol=1e-4, atol=1e-5)
    names = [v.name for node in after.graph for v in node.outputs if v.name]
    assert len(names) == len(set(names))
    written = {v.name: v.shape for node in after.graph for v in node.outputs}
    fresh = after.clone()
    for node in fresh.graph:
        for v in node.outputs:
            v.shape = None
    fold.infer_types(fresh)
    assert {v.name: v.shape for node in fresh.graph for v in node.outputs} == written
    again = after.clone()
    assert not transposes.run(again)
    assert op_types(again) == op_types(after)


# ---- random graphs


def unary(g: Any, x: ir.Value, rng: np.random.Generator) -> ir.Value:
    return getattr(g, rng.choice(["Relu", "Sigmoid", "Neg", "Tanh", "Abs"]))(x)


def with_constant(g: Any, x: ir.Value, rng: np.random.Generator) -> ir.Value:
    kept = int(rng.integers(0, 5))
    shape = [int(d) if rng.integers(2) else 1 for d in x.shape][4 - kept :]  # type: ignore[union-attr]
    operands = [x, random(*shape, seed=int(rng.integers(99)))]
    return getattr(g, rng.choice(["Add", "Mul", "Sub", "Max"]))(*(operands if rng.integers(2) else operands[::-1]))


def along(g: Any, x: ir.Value, rng: np.random.Generator) -> ir.Value:
    axis = int(rng.integers(-4, 4))
    size = int(x.shape[axis])  # type: ignore[index]
    kind = rng.integers(5)
    if kind == 0:
        return g.Softmax(x, axis=axis)
    if kind == 1:
        return g.Mul(x, g.ReduceMean(x, np.array([axis]), keepdims=1))
    if kind == 2:
        return g.Concat(x, g.Tanh(x), axis=axis) if size < 6 else g.Neg(x)
    if kind == 3:
        return g.Slice(x, [0], [max(size - 1, 1)], [axis])
    pads = np.zeros(8, np.int64)
    pads[[axis % 4, 4 + axis % 4]] = rng.integers(0, 2, 2)
    return g.Pad(x, pads)


def turned(g: Any, x: ir.Value, rng: np.random.Generator) -> ir.Value:
    perms = [BACK, FORTH, [int(i) for i in rng.permutation(4)]]
    return g.Transpose(x, perm=perms[int(rng.integers(3))])


def random_graph(seed: int) -> ir.Model:
    """Values of four axes; half of what is combined was turned by the same permutations."""
    rng = np.random.default_rng(seed)

    def build(g: Any, x: ir.Value) -> tuple[ir.Value, ...]:
        values = [x, g.Transpose(x, perm=FORTH)]
        for _ in range(int(rng.integers(4, 22))):
            a = values[-1 - int(rng.integers(0, min(4, len(values))))]
            like = [v for v in values if v.shape == a.shape and v is not a]
            kind = rng.integers(7)
            if kind < 2:
                values.append(turned(g, a, rng))
            elif kind == 2 and like:
                values.append(getattr(g, rng.choice(["Add", "Mul"]))(a, like[int(rng.integers(len(like)))]))
            elif kind == 3:
                values.append(with_constant(g, a, rng))
            elif kind == 4:
                values.append(along(g, a, rng))
            else:
                values.append(unary(g, a, rng))
        picked = [values[int(i)] for i in rng.choice(len(values) - 2, int(rng.integers(0, 2)), replace=False) + 2]
        last = g.ReduceSum(g.Relu(values[-1]), np.array([int(rng.integers(4))]), keepdims=int(rng.integers(2)))
        return tuple(dict.fromkeys([v for v in picked if v is not last] + [last]))

    return model(build, {"x": shape_of(seed)})


def shape_of(seed: int) -> list[int]:
    """Different sizes, which show an axis taken for another, or equal ones, which fit each other however turned."""
    return [2, 3, 4, 5] if seed % 2 else [3, 3, 3, 3]


@pytest.mark.parametrize("block", range(10))
def test_random_graphs(block: int) -> None:
    moved = 0
    for seed in range(30 * block, 30 * block + 30):
        before = random_graph(seed)
        cleanup.run(before)
        after = before.clone()
        moved += transposes.run(after)
        assert op_types(after).count("Transpose") <= op_types(before).count("Transpose"), seed
        same(before, after, {"x": random(*shape_of(seed), seed=seed)})
    assert moved > 10


@pytest.mark.parametrize("later", [False, True])
def test_a_transpose_of_what_a_region_gives_is_not_one_of_its_sources(later: bool) -> None:
    """`turned` is transposed alike, but of a value that the region changes."""

    def build(g: Any, x: ir.Value) -> tuple[ir.Value, ...]:
        two = g.Transpose(g.Neg(x), perm=FORTH) if later else None  # a region begins at the first
        one = g.Transpose(x, perm=FORTH)
        two = two or g.Transpose(g.Neg(x), perm=FORTH)
        inner = g.Relu(one)
        turned = g.Transpose(inner, perm=FORTH)
        made = [g.Sub(turned, two), g.Add(one, two), g.Mul(inner, two)]
        return tuple(g.Neg(g.Transpose(v, perm=BACK)) for v in made)

    before = model(build, {"x": [3, 3, 3, 3]})
    after = before.clone()
    transposes.run(after)
    same(before, after, {"x": random(3, 3, 3, 3)})


def test_a_subgraph_reads_what_it_read() -> None:
    """What a branch reads from around it is no node beside the others."""

    def build(g: Any, x: ir.Value) -> ir.Value:
        t = g.Transpose(x, perm=FORTH)
        r = g.Relu(t)
        inner = ir.node("Transpose", [r], {"perm": BACK}, name="inner")
        inner.outputs[0].name = "inner_y"
        other = ir.node("Neg", [x], name="other")
        other.outputs[0].name = "other_y"
        branches = [
            ir.Graph([], [n.outputs[0]], nodes=[n], opset_imports=dict(g.graph.opset_imports), name=n.name)
            for n in (inner, other)
        ]
        condition = g.Greater(g.ReduceSum(x, keepdims=0), np.float32(0))
        return g.If(condition, then_branch=branches[0], else_branch=branches[1])

    before = model(build, {"x": [2, 3, 4, 5]})
    after = before.clone()
    transposes.run(after)
    assert op_types(after).count("Transpose") <= 1
    for x in (random(2, 3, 4, 5) + 3, random(2, 3, 4, 5) - 3):
        (want,), (got,) = (Executor(m, optimize=False).run({"x": x}) for m in (before, after))
        np.testing.assert_array_equal(got, want)


SHUFFLED = ("shufflenet_v1", "shufflenet_v2")
"""Channels that change places do so by a transpose."""


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "mobilenet_v3_small", "resnet18", "unet", "densenet121", *SHUFFLED]
)
def test_no_transpose_between_the_convolutions_of_an_exported_model(name: str) -> None:
    """Nor zeros that a convolution could add itself."""
    nodes = list(exported(models.get(name)).graph)
    places = [i for i, node in enumerate(nodes) if node.op_type in ("Conv", "ConvTranspose")]
    between = nodes[places[0] : places[-1]]
    assert all(len(n.attributes["perm"].as_ints()) == 5 for n in between if n.op_type == "Transpose")
    assert not any(n.op_type == "Transpose" for n in between) or name in SHUFFLED
    assert not any(n.op_type == "Pad" for n in nodes)
