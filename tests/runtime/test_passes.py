"""Each pass does what its cases say, leaves the results as they were, and finds nothing to do the second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from striate.runtime.executor import Executor
from striate.runtime.passes import batchnorm, cleanup, fold, identity, inline, pads, transposes

from .graphs import model, op_types, random

IMAGE = {"x": ["N", 3, 6, 6]}
BACK, FORTH = [0, 3, 1, 2], [0, 2, 3, 1]


def statistics() -> list[np.ndarray]:
    return [random(4, seed=1), random(4, seed=2), random(4, seed=3), np.abs(random(4, seed=4)) + 0.5]


def conv(g: Any, x: ir.Value) -> ir.Value:
    return g.Conv(x, random(4, 3, 3, 3, seed=9))


def shape_arithmetic(g: Any, x: ir.Value) -> ir.Value:
    batch = g.Gather(g.Shape(x), np.array([0]))
    return g.Relu(g.Reshape(x, g.Concat(batch, np.array([-1]), axis=0)))


def between_transposes(operation: Callable[..., ir.Value]) -> Callable[..., ir.Value]:
    return lambda g, x: g.Transpose(operation(g, g.Transpose(x, perm=FORTH)), perm=BACK)


def two_branches(g: Any, x: ir.Value) -> ir.Value:
    left, right = (g.Transpose(f(x), perm=FORTH) for f in (g.Relu, g.Neg))
    return g.Transpose(g.Concat(g.Add(left, right), left, axis=-1), perm=BACK)


def zeros(reader: Callable[..., ir.Value] = lambda g, x: x) -> Callable[..., ir.Value]:
    """What reads a picture with 0 and 1 rows, 2 and 1 columns of zeros around it."""
    return lambda g, x: reader(g, g.Pad(x, np.array([1, 2, 2, 1]), None, np.array([-1, 2])))


def zeros_outside(g: Any, x: ir.Value) -> ir.Value:
    padded = g.Pad(x, np.array([0, 1, 2, 0, 0, 3, 0, 0]), 0.0)
    return g.Conv(g.Transpose(padded, perm=BACK), random(4, 3, 3, 3))


Pass = Callable[[ir.Model], bool]

# id: (pass, graph, its inputs, operators expected afterwards)
CASES: dict[str, tuple[Pass, Any, Any, list[str]]] = {
    "fold-constants": (fold.run, lambda g, x: g.Add(x, g.Mul(g.constant(random(6)), 2.0)), IMAGE, ["Add"]),
    "fold-shape": (fold.run, shape_arithmetic, {"x": [2, 3, 6, 6]}, ["Reshape", "Relu"]),
    "identity": (identity.run, lambda g, x: g.Relu(g.Identity(x)), IMAGE, ["Relu"]),
    "dropout": (identity.run, lambda g, x: g.Relu(g.Dropout(x, 0.3)), IMAGE, ["Relu"]),
    "dropout-in-training-stays": (
        identity.run,
        lambda g, x: g.Relu(g.Dropout(x, 0.0, np.array(True))),
        IMAGE,
        ["Dropout", "Relu"],
    ),
    "cast": (identity.run, lambda g, x: g.Relu(g.Cast(x, to=1)), IMAGE, ["Relu"]),
    "reshape-to-same": (identity.run, lambda g, x: g.Relu(g.Reshape(x, [2, 3])), {"x": [2, 3]}, ["Relu"]),
    "slice-whole": (identity.run, lambda g, x: g.Relu(g.Slice(x, [0], [9], [0])), {"x": [2, 3]}, ["Relu"]),
    "slice-backwards-stays": (
        identity.run,
        lambda g, x: g.Relu(g.Slice(x, [-1], [-9], [0], [-1])),
        {"x": [2, 3]},
        ["Slice", "Relu"],
    ),
    "pad-nothing": (identity.run, lambda g, x: g.Relu(g.Pad(x, [0, 0, 0, 0])), {"x": [2, 3]}, ["Relu"]),
    "pad-that-shifts-stays": (
        identity.run,
        lambda g, x: g.Relu(g.Pad(x, [0, 1, 0, -1])),
        {"x": [2, 3]},
        ["Pad", "Relu"],
    ),
    "concat-of-one": (identity.run, lambda g, x: g.Relu(g.Concat(x, axis=0)), IMAGE, ["Relu"]),
    "output-stays": (identity.run, lambda g, x: g.Identity(x), IMAGE, ["Identity"]),
    "transposes-cancel": (
        transposes.run,
        lambda g, x: g.Relu(g.Transpose(g.Transpose(x, perm=FORTH), perm=BACK)),
        IMAGE,
        ["Relu"],
    ),
    "transposes-merge": (
        transposes.run,
        lambda g, x: g.Relu(g.Transpose(g.Transpose(x, perm=BACK), perm=BACK)),
        IMAGE,
        ["Relu", "Transpose"],
    ),
    "past-unary": (transposes.run, between_transposes(lambda g, x: g.Relu(x)), IMAGE, ["Relu", "Transpose"]),
    "past-constant": (
        transposes.run,
        between_transposes(lambda g, x: g.Add(x, random(3))),
        IMAGE,
        ["Add", "Transpose"],
    ),
    "past-softmax": (
        transposes.run,
        between_transposes(lambda g, x: g.Softmax(x, axis=-1)),
        IMAGE,
        ["Softmax", "Transpose"],
    ),
    "past-branches": (transposes.run, two_branches, IMAGE, ["Relu", "Neg", "Add", "Concat", "Transpose"]),
    "batchnorm-conv": (
        batchnorm.run,
        lambda g, x: g.Relu(g.BatchNormalization(conv(g, x), *statistics())),
        IMAGE,
        ["Conv", "Relu"],
    ),
    "scale-shift-conv": (
        batchnorm.run,
        lambda g, x: g.Relu(g.Add(g.Mul(conv(g, x), random(4, 1, 1)), random(1, 4, 1, 1))),
        IMAGE,
        ["Conv", "Relu"],
    ),
    "batchnorm-transposed": (
        batchnorm.run,
        lambda g, x: g.Relu(g.BatchNormalization(g.ConvTranspose(x, random(3, 4, 3, 3)), *statistics())),
        IMAGE,
        ["ConvTranspose", "Relu"],
    ),
    "scale-batchnorm": (
        batchnorm.run,
        lambda g, x: g.Relu(g.Mul(g.BatchNormalization(g.Relu(x), *statistics()), random(4, 1, 1))),
        {"x": ["N", 4, 6, 6]},
        ["Relu", "BatchNormalization", "Relu"],
    ),
    "batchnorm-two-readers": (
        batchnorm.run,
        lambda g, x: (lambda c: g.Relu(g.Add(g.BatchNormalization(c, *statistics()), c)))(conv(g, x)),
        IMAGE,
        ["Conv", "BatchNormalization", "Add", "Relu"],
    ),
    "pad-conv": (pads.run, zeros(lambda g, x: g.Conv(x, random(4, 3, 3, 3), strides=[2, 2])), IMAGE, ["Conv"]),
    "pad-padded-conv": (
        pads.run,
        zeros(lambda g, x: g.Conv(x, random(4, 3, 3, 3), pads=[1, 0, 2, 1])),
        IMAGE,
        ["Conv"],
    ),
    "pad-transposed-conv": (pads.run, zeros_outside, {"x": ["N", 6, 6, 3]}, ["Transpose", "Conv"]),
    "pad-two-readers": (
        pads.run,
        lambda g, x: (lambda p: g.Add(g.Conv(p, random(4, 3, 3, 3)), g.ReduceSum(p, keepdims=0)))(zeros()(g, x)),
        IMAGE,
        ["Pad", "Conv", "ReduceSum", "Add"],
    ),
    "pad-mean": (
        pads.run,
        zeros(lambda g, x: g.AveragePool(x, kernel_shape=[3, 4], strides=[2, 1])),
        IMAGE,
        ["AveragePool"],
    ),
    "pad-padded-mean-stays": (
        pads.run,
        zeros(lambda g, x: g.AveragePool(x, kernel_shape=[3, 4], pads=[1, 1, 1, 1])),
        IMAGE,
        ["Pad", "AveragePool"],
    ),
    "pad-max-of-relu": (
        pads.run,
        lambda g, x: zeros(lambda g, p: g.MaxPool(p, kernel_shape=[3, 4], strides=[2, 2]))(g, g.Relu(x)),
        IMAGE,
        ["Relu", "MaxPool"],
    ),
    "pad-max-stays": (pads.run, zeros(lambda g, x: g.MaxPool(x, kernel_shape=[3, 4])), IMAGE, ["Pad", "MaxPool"]),
    "pad-max-of-zeros-alone-stays": (
        pads.run,
        lambda g, x: zeros(lambda g, p: g.MaxPool(p, kernel_shape=[2, 2]))(g, g.Relu(x)),
        IMAGE,
        ["Relu", "Pad", "MaxPool"],
    ),
    "pad-by-ones-stays": (
        pads.run,
        lambda g, x: g.Conv(g.Pad(x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), 1.0), random(4, 3, 3, 3)),
        IMAGE,
        ["Pad", "Conv"],
    ),
    "pad-of-channels-stays": (
        pads.run,
        lambda g, x: g.Conv(g.Pad(x, np.array([0, 1, 1, 1, 0, 0, 1, 1])), random(4, 4, 3, 3)),
        IMAGE,
        ["Pad", "Conv"],
    ),
    "pad-that-cuts-stays": (
        pads.run,
        lambda g, x: g.Conv(g.Pad(x, np.array([0, 0, 1, 1, 0, 0, -1, 1])), random(4, 3, 3, 3)),
        IMAGE,
        ["Pad", "Conv"],
    ),
    "pad-that-reflects-stays": (
        pads.run,
        lambda g, x: g.Conv(g.Pad(x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect"), random(4, 3, 3, 3)),
        IMAGE,
        ["Pad", "Conv"],
    ),
    "pad-same-conv-stays": (
        pads.run,
        zeros(lambda g, x: g.Conv(x, random(4, 3, 3, 3), auto_pad="SAME_UPPER")),
        IMAGE,
        ["Pad", "Conv"],
    ),
    "dead": (cleanup.run, lambda g, x: (g.Exp(x), g.Relu(x))[1], IMAGE, ["Relu"]),
    "equal": (cleanup.run, lambda g, x: g.Add(g.Relu(x), g.Relu(x)), IMAGE, ["Relu", "Add"]),
}


@pytest.mark.parametrize("name", CASES)
def test_pass(name: str) -> None:
    run, build, inputs, expected = CASES[name]
    before = model(build, inputs)
    x = random(*(2 if d == "N" else d for d in inputs["x"]))
    reference = Executor(before, optimize=False).run({"x": x})
    after = before.clone()
    run(after)
    cleanup.run(after)
    assert sorted(op_types(after)) == sorted(expected)
    result = Executor(after, optimize=False).run({"x": x})
    np.testing.assert_allclose(result[0], reference[0], rtol=2e-5, atol=2e-6)
    assert result[0].shape == reference[0].shape
    again = after.clone()
    run(again)
    assert op_types(again) == op_types(after)


def test_an_optional_output_that_nobody_asked_for_is_not_folded() -> None:
    def pooled(g: Any, x: ir.Value) -> ir.Value:
        values, places = g.MaxPool(g.constant(random(1, 1, 2, 2)), kernel_shape=[2, 2], outputs=2)
        places.name = None
        return g.Add(x, values)

    made = model(pooled, {"x": [1]})
    assert fold.run(made)
    assert op_types(made) == ["Add"]


@pytest.mark.parametrize("run", [transposes.run, batchnorm.run])
def test_the_broadcasting_of_old_opsets_is_left_alone(run: Pass) -> None:
    text = """
    <ir_version: 3, opset_import: ["" : 6]>
    agraph (float[4, 3, 5, 5] x, float[4, 3, 1, 1] w, float[4, 1, 1] b) => (float[4, 4, 5, 5] y) {
        c = Conv(x, w)
        t = Transpose <perm = [0, 2, 3, 1]> (c)
        a = Add <axis = 0, broadcast = 1> (t, b)
        u = Transpose <perm = [0, 3, 1, 2]> (a)
        v = Conv(x, w)
        s = Mul <axis = 0, broadcast = 1> (v, b)
        y = Add (u, s)
    }
    """
    made = ir.from_proto(onnx.parser.parse_model(text))
    for name, array in (("w", random(4, 3, 1, 1)), ("b", random(4, 1, 1, seed=1))):
        value = next(v for v in made.graph.inputs if v.name == name)
        made.graph.inputs.remove(value)
        value.const_value = ir.tensor(array, name=name)
        made.graph.register_initializer(value)
    fold.infer_types(made)
    x = random(4, 3, 5, 5)
    (expected,) = Executor(made, optimize=False).run({"x": x})
    run(made)
    np.testing.assert_allclose(Executor(made, optimize=False).run({"x": x})[0], expected, rtol=1e-5, atol=1e-6)


def test_a_default_that_the_caller_may_replace_is_not_folded() -> None:
    made = model(lambda g, x: g.Add(x, g.initializer(np.ones(3, np.float32), "w")), {"x": [3]})
    made.graph.inputs.append(made.graph.initializers["w"])
    executor = Executor(made)
    x = np.zeros(3, np.float32)
    np.testing.assert_array_equal(executor.run({"x": x})[0], [1, 1, 1])
    np.testing.assert_array_equal(executor.run({"x": x, "w": np.full(3, 5, np.float32)})[0], [5, 5, 5])
    np.testing.assert_array_equal(executor.run({"x": x})[0], [1, 1, 1])


def test_functions_of_the_model_are_inlined() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 21, "own" : 1]>
    agraph (float[N, 3] x) => (float[N, 3] y) { y = own.twice_scaled <alpha = 0.5> (x) }
    <opset_import: ["" : 21, "own" : 1], domain: "own">
    twice_scaled <alpha> (x) => (y) { a = own.scaled <alpha: float = @alpha> (x)
        y = own.scaled <alpha: float = @alpha> (a) }
    <opset_import: ["" : 21], domain: "own">
    scaled <alpha> (x) => (y) { y = LeakyRelu <alpha: float = @alpha> (x) }
    """
    made = ir.from_proto(onnx.parser.parse_model(text))
    assert inline.run(made)
    assert op_types(made) == ["LeakyRelu", "LeakyRelu"]
    x = np.array([[-4.0, 2.0, -1.0]], np.float32)
    np.testing.assert_allclose(Executor(made).run({"x": x})[0], [[-1.0, 2.0, -0.25]])


def test_operators_without_a_kernel_run_through_their_function_body() -> None:
    made = model(lambda g, x: g.Softsign(x), {"x": ["N", 3]})
    node = made.graph[0]
    assert inline.run(made, wanted=lambda n, version: n is node)
    assert "Softsign" not in op_types(made)
    x = random(2, 3)
    np.testing.assert_allclose(Executor(made).run({"x": x})[0], x / (1 + np.abs(x)), rtol=1e-6)
