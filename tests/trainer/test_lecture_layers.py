"""Layers that the lecture has and Keras has not: against plain NumPy in float64, their gradients, weights and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from striate.exporter import export
from striate.runtime.autodiff import gradients
from striate.runtime.builder import Builder
from striate.runtime.executor import Executor
from striate.runtime.opset import LOWEST
from striate.runtime.passes import fold
from striate.trainer import Input, Model, Sequential, initializers, layers, optimizers
from striate.trainer.layers import Layer, deserialize

from . import reference as ref
from .reference import Array, outputs
from .test_layers import LECTURE, data, randomized

L = layers
Reference = Callable[..., Array]
TABLE = [[0, 2], [1], [2, 0, 1]]
LENET_C3 = [
    *([i % 6, (i + 1) % 6, (i + 2) % 6] for i in range(6)),
    *([i % 6, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6] for i in range(6)),
    *([i % 6, (i + 1) % 6, (i + 3) % 6, (i + 4) % 6] for i in range(3)),
    list(range(6)),
]


def local(
    x: Array,
    kernel: Array,
    bias: Any = 0.0,
    *,
    size: Any,
    strides: Any = None,
    pads: Any = None,
    fill: float = 0.0,
    table: Any = None,
) -> Array:
    """Each place of the output with its own kernel, one place after the other."""
    rank = x.ndim - 2
    strides, pads = strides or [1] * rank, pads or [(0, 0)] * rank
    x = ref.padded(x, pads, fill)
    if table is not None:
        kernel = dense(kernel, table, x.shape[-1]).reshape(len(kernel), -1, len(table))
    out = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], size, strides, strict=True)]
    made = []
    for number, place in enumerate(product(*map(range, out))):
        window = tuple(slice(p * s, p * s + k) for p, s, k in zip(place, strides, size, strict=True))
        made.append(x[(slice(None), *window)].reshape(len(x), -1) @ kernel[number].astype(np.float64))
    return np.stack(made, axis=1).reshape(len(x), *out, -1) + bias


def dense(kernel: Array, table: Any, channels: int) -> Array:
    """(…, connections) → (…, channels, filters), zeros where there is no connection."""
    full = np.zeros((*kernel.shape[:-1], channels, len(table)))
    pairs = [(m, f) for f, row in enumerate(table) for m in row]
    for place, (m, f) in enumerate(pairs):
        full[..., m, f] = kernel[..., place]
    return full


def subsampled(x: Array, c: Array, b: Array, reduce: Reference, size: Any = (2, 2), strides: Any = (2, 2)) -> Array:
    stacked = np.stack(list(ref.windows(x.astype(np.float64), size, strides, [1, 1]).values()))
    return c * reduce(stacked, axis=0) + b


def responses(x: Array, size: int, alpha: float, beta: float, bias: float) -> Array:
    padded = np.pad(x.astype(np.float64) ** 2, [(0, 0)] * 3 + [(size // 2, size // 2)])
    total = sum(padded[..., i : i + x.shape[-1]] for i in range(size))
    return x / (bias + alpha / size * total) ** beta


def squashed(x: Array) -> Array:
    return 1.7159 * np.tanh(2 * x / 3)


def norm(x: Array, axis: int) -> Array:
    return np.sqrt((x**2).sum(axis=axis))


def l2(x: Array, size: Any, strides: Any, pads: Any) -> Array:
    return norm(np.stack(list(ref.windows(ref.padded(x, pads, 0.0), size, strides, [1] * len(size)).values())), 0)


def shuffled(x: Array, groups: int) -> Array:
    order = [g * (x.shape[-1] // groups) + i for i in range(x.shape[-1] // groups) for g in range(groups)]
    return x[..., order]


# layer, shape of one sample (channels last), reference(x, *weights in Keras's layout)
ROWS: list[tuple[Layer, tuple[int, ...], Reference]] = [
    (L.LocallyConnected1D(3, 2), (5, 2), lambda x, w, b: local(x, w, b, size=[2])),
    (L.LocallyConnected1D(3, 3, strides=2, padding="same", activation="tanh", pad_value=-1.0), (6, 2),
     lambda x, w, b: np.tanh(local(x, w, b, size=[3], strides=[2], pads=[(0, 1)], fill=-1))),
    (L.LocallyConnected2D(3, (2, 3)), (4, 5, 2), lambda x, w, b: local(x, w, b, size=[2, 3])),
    (L.LocallyConnected2D(2, 3, strides=(2, 1), use_bias=False), (5, 4, 1),
     lambda x, w: local(x, w, size=[3, 3], strides=[2, 1])),
    (L.LocallyConnected2D(2, 5, strides=2, padding="same", pad_value=-1.0, activation="scaled_tanh"), (6, 6, 1),
     lambda x, w, b: squashed(local(x, w, b, size=[5, 5], strides=[2, 2], pads=[(1, 2)] * 2, fill=-1))),
    (L.LocallyConnected2D(3, 2, connections=TABLE), (3, 4, 3),
     lambda x, w, b: local(x, w, b, size=[2, 2], table=TABLE)),
    (L.Conv2DTable(TABLE, 2), (4, 5, 3), lambda x, w, b: ref.conv(x, dense(w, TABLE, 3), b)),
    (L.Conv2DTable([[1], [1, 0]], (3, 2), strides=2, padding="same", use_bias=False, activation="scaled_tanh"),
     (5, 4, 3), lambda x, w: squashed(ref.conv(x, dense(w, [[1], [1, 0]], 3), strides=2, pads=[(1, 1), (0, 0)]))),
    (L.Conv2DTable(TABLE, 3, padding="same", pad_value=-1.0), (4, 4, 3),
     lambda x, w, b: ref.conv(ref.padded(x, [(1, 1)] * 2, -1.0), dense(w, TABLE, 3), b)),
    (L.UnitBias(), (3, 2), lambda x, b: x + b),
    (L.UnitBias(activation="scaled_tanh"), (3, 4, 2), lambda x, b: squashed(x + b)),
    (L.Subsampling2D(), (4, 6, 3), lambda x, c, b: subsampled(x, c, b, np.sum)),
    (L.Subsampling2D((3, 2), 1, activation="scaled_tanh", mode="mean"), (5, 4, 3),
     lambda x, c, b: squashed(subsampled(x, c, b, np.mean, (3, 2), (1, 1)))),
    (L.Subsampling2D(2, padding="same"), (3, 4, 2),
     lambda x, c, b: subsampled(ref.padded(x, [(0, 1), (0, 0)], 0.0), c, b, np.sum)),
    (L.Subsampling2D(2, padding="same", mode="mean"), (3, 4, 2),
     lambda x, c, b: subsampled(ref.padded(x, [(0, 1), (0, 0)], np.nan), c, b, np.nanmean)),
    (L.L2Pooling1D(3, 2), (7, 2), lambda x: l2(x, [3], [2], [(0, 0)])),
    (L.L2Pooling2D(), (4, 6, 2), lambda x: l2(x, [2, 2], [2, 2], [(0, 0)] * 2)),
    (L.L2Pooling2D(3, 2, padding="same"), (5, 6, 2), lambda x: l2(x, [3, 3], [2, 2], [(1, 1), (0, 1)])),
    (L.LocalResponseNormalization(), (3, 2, 7), lambda x: responses(x, 5, 1e-4, 0.75, 1.0)),
    (L.LocalResponseNormalization(3, alpha=0.7, beta=0.5, bias=2.0), (3, 2, 4), lambda x: responses(x, 3, 0.7, 0.5, 2)),
    (L.LayerScale(0.5), (3, 2, 4), lambda x, s: x * s),
    (L.LayerScale(), (4,), lambda x, s: x * s),
    (L.RBF(3), (4,), lambda x, w: -((x[:, None].astype(np.float64) - w) ** 2).sum(-1)),
    (L.RBF(3), (2, 4), lambda x, w: -((x[:, :, None].astype(np.float64) - w) ** 2).sum(-1)),
    (L.ChannelShuffle(3), (2, 3, 6), lambda x: shuffled(x, 3)),
    (L.StochasticDepth(0.3), (2, 3), lambda x: x),
    (L.StochasticDepth(0.0), (2, 3), lambda x: x),
    (L.Activation("scaled_tanh"), (7,), squashed),
]  # fmt: skip
NAMES = [f"{i}-{type(r[0]).__name__}" for i, r in enumerate(ROWS)]
DETERMINED = [name for name, (layer, *_) in zip(NAMES, ROWS, strict=True) if not getattr(layer, "rate", 0)]
"""All but what drops at random while training."""
FIRST = [
    (layer, shape, reference)
    for layer, shape, reference in ROWS
    if "data_format" in layer.get_config() and len(shape) > 1
]
every_row = pytest.mark.parametrize(("layer", "shape", "reference"), ROWS, ids=NAMES)


def fresh(layer: Layer, **changes: Any) -> Layer:
    """The layer as a file would give it back."""
    config = layer.serialize()
    config["config"] |= changes
    return deserialize(json.loads(json.dumps(config)))


def model_of(layer: Layer, shape: tuple[int, ...]) -> Sequential:
    return randomized(Sequential([Input(shape), fresh(layer)]))


def nested(lists: Any) -> Iterator[Any]:
    for item in lists if isinstance(lists, (list, tuple)) else ():
        yield item
        yield from nested(item)


def test_every_layer_has_a_row() -> None:
    assert {type(layer).__name__ for layer, *_ in ROWS} == LECTURE | {"Activation"}


@every_row
def test_forward(layer: Layer, shape: tuple[int, ...], reference: Reference) -> None:
    model = model_of(layer, shape)
    x = data(3, *shape)
    (found,) = outputs(model, x)
    expected = reference(x, *model.get_weights())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    assert model.output_shape == (None, *expected.shape[1:])


@pytest.mark.parametrize(("layer", "shape", "reference"), FIRST, ids=[type(r[0]).__name__ for r in FIRST])
def test_channels_first_is_channels_last_transposed(layer: Layer, shape: tuple[int, ...], reference: Reference) -> None:
    turned = fresh(layer, data_format="channels_first")
    model = randomized(Sequential([Input((shape[-1], *shape[:-1])), turned]))
    x = data(3, *shape)
    (found,) = outputs(model, np.moveaxis(x, -1, 1))
    expected = reference(x, *model.get_weights())
    np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, rtol=1e-5, atol=1e-6)
    assert model.output_shape == (None, *found.shape[1:])


@pytest.mark.parametrize(
    ("layer", "shape", "reference"), [r for r in ROWS if not getattr(r[0], "rate", 0)], ids=DETERMINED
)
def test_a_training_step_follows_the_gradient(layer: Layer, shape: tuple[int, ...], reference: Reference) -> None:
    """One step of plain descent, against central differences of the reference; a bias before gives the input's."""
    model = randomized(Sequential([Input(shape), L.UnitBias(), fresh(layer), L.Flatten()]))
    model.compile(optimizers.SGD(1.0), "mse")
    x, before = data(4, *shape, seed=5), model.get_weights()
    y = data(4, *np.shape(model.predict(x))[1:], seed=6)
    model.fit(x, y, batch_size=4, verbose=0)

    def loss(weights: list[Array]) -> float:
        return float(np.mean((reference(x + weights[0], *weights[1:]).reshape(4, -1) - y) ** 2))

    for number, (old, new) in enumerate(zip(before, model.get_weights(), strict=True)):
        wanted = np.zeros(old.shape)
        for place in np.ndindex(old.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [w.astype(np.float64) for w in before]
                moved[number][place] += step
                sides.append(loss(moved))
            wanted[place] = (sides[0] - sides[1]) / 2e-5
        assert np.abs(wanted).max() > 1e-6
        np.testing.assert_allclose(old - new, wanted, rtol=2e-4, atol=2e-6)


def in_float64(model: Model) -> ir.Model:
    """The inference graph with every float32 made float64."""
    graph = model.to_ir().clone()
    for value in graph.graph.initializers.values():
        if value.dtype == ir.DataType.FLOAT:
            assert value.const_value is not None
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float64), name=value.name)
            value.dtype = ir.DataType.DOUBLE
    for value in graph.graph.inputs:
        value.dtype = ir.DataType.DOUBLE
    for node in graph.graph:
        for value in node.outputs:
            value.type = None
    fold.infer_types(graph)
    return graph


@every_row
def test_the_second_derivative(layer: Layer, shape: tuple[int, ...], reference: Reference) -> None:
    """d/dx of Σ v · dL/dx, L = Σ y²: against central differences of it along a direction, in float64."""
    graph = in_float64(model_of(layer, shape))
    g = Builder(graph.graph)
    x, y = graph.graph.inputs[0], graph.graph.outputs[0]
    (dx,) = gradients(g, [y], [x], [y])
    assert dx is not None
    directions = data(2, *shape, seed=8).astype(np.float64), data(2, *shape, seed=9).astype(np.float64)
    first = g.ReduceSum(g.Mul(dx, directions[0]), keepdims=0)
    (ddx,) = gradients(g, [first], [x])
    assert ddx is not None
    graph.graph.outputs.extend([first, ddx])
    at = data(2, *shape, seed=7).astype(np.float64)
    run = Executor(graph)
    step = 1e-5 * directions[1]
    sides = [run.run({str(x.name): at + sign * step})[1] for sign in (1, -1)]
    along = (run.run({str(x.name): at})[2] * directions[1]).sum()
    np.testing.assert_allclose(along, (sides[0] - sides[1]) / 2e-5, rtol=1e-6, atol=1e-7)


@every_row
@pytest.mark.parametrize("opset", [None, LOWEST])
def test_onnxruntime_agrees(
    layer: Layer, shape: tuple[int, ...], reference: Reference, opset: int | None, tmp_path: Path
) -> None:
    model = model_of(layer, shape)
    path = export(model, tmp_path / "m.onnx", opset=opset)
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    assert all(node.domain == "" for node in written.graph.node)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = data(batch, *shape)
        (found,) = session.run(None, {session.get_inputs()[0].name: x})
        np.testing.assert_allclose(found, outputs(model, x)[0], rtol=1e-5, atol=2e-6)


@every_row
def test_saved_and_loaded_it_is_the_same(
    layer: Layer, shape: tuple[int, ...], reference: Reference, tmp_path: Path
) -> None:
    model = model_of(layer, shape)
    model.save(tmp_path / "m.striate")
    again = Model.load(tmp_path / "m.striate")
    assert again.layers[0].get_config() == model.layers[0].get_config()
    for old, new in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    x = data(2, *shape)
    np.testing.assert_array_equal(model.predict(x), again.predict(x))


def test_a_table_is_written_as_plain_lists() -> None:
    for layer in (L.Conv2DTable(np.array([[0, 2], [1, 0]]), 3), L.LocallyConnected2D(2, 3, connections=((0, 2), (1,)))):
        written = layer.get_config()["connections"]
        assert written[0] == [0, 2]
        assert {type(item) for item in nested([written])} == {list, int}


# layer, shape of one sample, number of parameters
COUNTS: list[tuple[Layer, tuple[int, ...], int]] = [
    (L.LocallyConnected2D(1, 3, strides=2, padding="same"), (16, 16, 1), 8 * 8 * (3 * 3 + 1)),
    (L.LocallyConnected2D(1, 5), (8, 8, 1), 4 * 4 * (5 * 5 + 1)),
    (L.LocallyConnected2D(1, 3), (5, 5, 1), 90),
    (L.LocallyConnected2D(12, 5, strides=2, padding="same"), (16, 16, 1), 19_968),
    (L.LocallyConnected2D(12, 5, strides=2, padding="same", connections=[list(range(8))] * 12), (8, 8, 12), 38_592),
    (L.LocallyConnected1D(4, 3), (10, 2), 8 * 4 * (3 * 2 + 1)),
    (L.Conv2DTable(LENET_C3, 5), (14, 14, 6), 1_516),
    (L.Subsampling2D(), (28, 28, 6), 12),
    (L.UnitBias(), (8, 8, 12), 768),
    (L.RBF(10, trainable=False), (84,), 840),
    (L.LayerScale(), (7, 7, 96), 96),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape", "count"), COUNTS, ids=[f"{type(r[0]).__name__}-{r[2]}" for r in COUNTS])
def test_parameters_are_counted_as_the_lecture_does(layer: Layer, shape: tuple[int, ...], count: int) -> None:
    model = Sequential([Input(shape), fresh(layer)])
    assert model.count_params() == count
    assert sum(w.size for w in model.get_weights()) == count
    assert bool(model.trainable_weights) is layer.trainable


def test_net_3_of_the_lecture_has_1226_weights() -> None:
    model = Sequential(
        [
            L.LocallyConnected2D(1, 3, strides=2, padding="same", activation="scaled_tanh", input_shape=(16, 16, 1)),
            L.LocallyConnected2D(1, 5, activation="scaled_tanh"),
            L.Flatten(),
            L.Dense(10, activation="scaled_tanh"),
        ]
    )
    assert [layer.count_params() for layer in model.layers if layer.count_params()] == [640, 416, 170]
    assert model.count_params() == 1226


def test_what_is_not_connected_does_not_matter() -> None:
    for layer in (L.Conv2DTable([[0], [0, 2]], 3), L.LocallyConnected2D(2, 3, connections=[[0], [0, 2]])):
        model = randomized(Sequential([Input((5, 5, 3)), layer]))
        x = data(2, 5, 5, 3)
        other, seen = x.copy(), x.copy()
        other[..., 1] += 1
        seen[..., 2] += 1
        np.testing.assert_array_equal(outputs(model, x)[0], outputs(model, other)[0])
        np.testing.assert_array_equal(outputs(model, x)[0][..., 0], outputs(model, seen)[0][..., 0])
        assert (outputs(model, x)[0][..., 1] != outputs(model, seen)[0][..., 1]).all()


def test_a_table_is_exported_as_one_ordinary_convolution(tmp_path: Path) -> None:
    model = randomized(Sequential([Input((3, 14, 14)), L.Conv2DTable(TABLE, 5, data_format="channels_first")]))
    written = onnx.load(export(model, tmp_path / "m.onnx"))
    assert [n.op_type for n in written.graph.node] == ["Conv"]
    kernel = next(onnx.numpy_helper.to_array(i) for i in written.graph.initializer if len(i.dims) == 4)
    np.testing.assert_array_equal(kernel, model.layers[0].dense_kernel().transpose(3, 2, 0, 1))
    assert np.count_nonzero(kernel) == 6 * 25


def test_the_same_kernel_at_every_place_is_a_convolution() -> None:
    shared = randomized(Sequential([Input((7, 6, 2)), L.Conv2D(3, 3, strides=2)]))
    kernel, bias = shared.get_weights()
    free = Sequential([Input((7, 6, 2)), L.LocallyConnected2D(3, 3, strides=2)])
    places = free.output_shape[1:3]
    free.set_weights([np.tile(kernel.reshape(1, -1, 3), (np.prod(places), 1, 1)), np.tile(bias, (*places, 1))])
    x = data(4, 7, 6, 2)
    np.testing.assert_allclose(outputs(free, x)[0], outputs(shared, x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "limits"),
    [
        (L.LocallyConnected2D(2, 5, kernel_initializer="lecun1989_uniform"), 2.4 / (25 * 3)),
        (L.LocallyConnected2D(2, 5, kernel_initializer="lecun_uniform"), np.sqrt(3 / (25 * 3))),
        (L.LocallyConnected2D(2, 5), np.sqrt(6 / (25 * 3 + 25 * 2))),
        (L.LocallyConnected2D(2, 5, kernel_initializer="lecun1989_uniform", connections=[[0], [0, 1, 2]]),
         2.4 / (25 * np.array([1, 3, 3, 3]))),
        (L.Conv2DTable([[0], [0, 1, 2]], 5, kernel_initializer="lecun1989_uniform"),
         2.4 / (25 * np.array([1, 3, 3, 3]))),
        (L.Conv2DTable([[0], [0, 1, 2]], 5), np.sqrt(6 / (25 * np.array([1 + 2, 3 + 2, 3 + 1, 3 + 1])))),
    ],
    ids=["lecun1989", "lecun", "glorot", "lecun1989-table", "table-lecun1989", "table-glorot"],
)  # fmt: skip
def test_weights_begin_as_large_as_what_a_unit_sees_allows(layer: Layer, limits: Any) -> None:
    Sequential([Input((24, 24, 3)), fresh(layer)])
    model = Sequential([Input((24, 24, 3)), fresh(layer)])
    kernel = abs(model.get_weights()[0])
    shares = (kernel / limits).reshape(-1, kernel.shape[-1])
    assert (shares.max(axis=0) <= 1 + 1e-6).all()
    assert (shares.max(axis=0) > 0.85).all()
    assert shares.mean() == pytest.approx(0.5, abs=0.1)


def test_lecun_1989_uniform_of_a_dense_kernel() -> None:
    kernel = initializers.get("lecun1989_uniform")((48, 200))
    assert 0.99 * 2.4 / 48 < abs(kernel).max() <= 2.4 / 48


def test_given_centres_are_kept_while_training_and_in_the_file(tmp_path: Path) -> None:
    centres = np.sign(data(3, 4)).tolist()
    model = Sequential([Input((4,)), L.Dense(4), L.RBF(3, initializers.Constant(centres), trainable=False)])
    model.compile(optimizers.SGD(0.01), "mse")
    model.fit(data(8, 4), data(8, 3), verbose=0)
    model.save(tmp_path / "m.striate")
    for found in (model, Model.load(tmp_path / "m.striate")):
        np.testing.assert_array_equal(found.layers[1].get_weights()[0], centres)
        assert [w.name for w in found.trainable_weights] == ["dense/kernel", "dense/bias"]
    (there,) = outputs(Sequential([Input((4,)), fresh(model.layers[1])]), np.asarray(centres, np.float32))
    np.testing.assert_array_equal(there.argmax(axis=1), range(3))
    np.testing.assert_array_equal(np.diag(there), 0)


def test_subsampling_begins_as_the_mean() -> None:
    model = Sequential([Input((4, 4, 2)), L.Subsampling2D()])
    x = data(2, 4, 4, 2)
    mean = ref.pool(x, [2, 2], [2, 2], [(0, 0)] * 2, np.nanmean)
    np.testing.assert_allclose(outputs(model, x)[0], mean, rtol=1e-5, atol=1e-6)


def test_stochastic_depth_drops_whole_samples_anew_in_each_step_and_none_when_predicting() -> None:
    """The loss of outputs kept/0.75 or 0 tells how many samples were kept, and that none was kept in part."""
    model = Sequential([Input((3, 2)), L.StochasticDepth(0.25), L.UnitBias(), L.Flatten()])
    model.compile(optimizers.SGD(1e-12), "mse")
    x = np.ones((400, 3, 2), np.float32)
    losses = [model.fit(x, np.zeros((400, 6)), batch_size=400, verbose=0).history["loss"][0] for _ in range(4)]
    kept = np.asarray(losses) * 0.75**2 * 400
    np.testing.assert_allclose(kept, kept.round(), atol=1e-2)
    assert len(set(kept.round())) > 1
    assert (abs(kept - 300) < 45).all()
    np.testing.assert_array_equal(model.predict(x[:4]), np.ones((4, 6)))


def test_stochastic_depth_with_the_same_seed_gives_the_same_bits() -> None:
    def trained(seed: int) -> Array:
        model = Sequential([Input((4,)), L.Dense(4), L.StochasticDepth(0.5), L.Dense(1)], seed=seed)
        model.set_weights([np.ones_like(w) for w in model.get_weights()])
        model.compile(optimizers.SGD(0.001), "mse")
        model.fit(data(16, 4), data(16, 1), batch_size=8, epochs=2, verbose=0)
        return model.get_weights()[0]

    np.testing.assert_array_equal(trained(1), trained(1))
    assert (trained(1) != trained(2)).any()


def test_open_dimensions_of_layers_that_allow_them() -> None:
    x = data(2, 5, 7, 4)
    for layer in (L.ChannelShuffle(2), L.L2Pooling2D(2), L.LocalResponseNormalization(3), L.Subsampling2D(2)):
        config = layer.serialize()
        wide = randomized(Sequential([Input((None, None, 4)), deserialize(config)]))
        known = randomized(Sequential([Input((5, 7, 4)), deserialize(config)]))
        np.testing.assert_array_equal(outputs(wide, x)[0], outputs(known, x)[0])
        assert wide.output_shape == (None, None, None, 4)
