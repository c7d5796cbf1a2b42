"""Counting by hand: the lecture's figures, and every layer against weights and connections counted one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate import models
from striate.trainer import Model, Sequential, layers
from striate.trainer.counting import Window, count, output_size


def by_name(model: Model) -> dict[str, Any]:
    return {row.name: row for row in count(model)}


def test_net3_of_the_lecture() -> None:
    rows = count(models.get("lecun1989_net3"))
    assert [row.neurons for row in rows if row.neurons] == [256, 64, 16, 10]
    assert [row.weights for row in rows if row.weights] == [640, 416, 170]
    assert sum(row.unshared or 0 for row in rows) == 1226


@pytest.mark.parametrize(("bias", "weights"), [("map", 8_824), ("unit", 9_760)])
def test_zip_codes(bias: str, weights: int) -> None:
    rows = count(models.get("lecun1989_zipcode", bias=bias))
    assert sum(row.weights for row in rows) == weights
    assert sum(row.unshared or 0 for row in rows) == 19_968 + 38_592 + 5_790 + 310


def test_lenet5() -> None:
    keras, paper = by_name(models.lenet5()), by_name(models.get("lenet5_1998"))
    assert (keras["conv2d"].connections, keras["conv2d"].weights) == (122_304, 156)
    assert keras["conv2d_1"].connections == 241_600
    assert (paper["S2"].connections, paper["S2"].weights) == (5_880, 12)
    assert (paper["C3"].connections, paper["C3"].weights) == (151_600, 1_516)
    assert (keras["conv2d_1"].field, keras["conv2d_1"].stride) == ((14, 14), (2, 2))
    assert paper["RBF"].trainable == 0


IMAGE, LINE = (7, 8, 4), (9, 4)
TABLE = [[0, 1], [2], [0, 2, 3]]
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "dense": (lambda: layers.Dense(3), (5,)),
    "dense without bias": (lambda: layers.Dense(3, use_bias=False), (5,)),
    "conv1d": (lambda: layers.Conv1D(3, 4, strides=2), LINE),
    "conv2d": (lambda: layers.Conv2D(6, (2, 3), strides=2), IMAGE),
    "grouped": (lambda: layers.Conv2D(6, 3, groups=2, use_bias=False), IMAGE),
    "channels first": (lambda: layers.Conv2D(6, (2, 3), data_format="channels_first"), (4, 7, 8)),
    "conv3d": (lambda: layers.Conv3D(2, 2), (3, 4, 5, 2)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), IMAGE),
    "local": (lambda: layers.LocallyConnected2D(3, 3, strides=2), IMAGE),
    "local with a table": (lambda: layers.LocallyConnected2D(3, 3, connections=TABLE), IMAGE),
    "table": (lambda: layers.Conv2DTable(TABLE, 3), IMAGE),
    "radial": (lambda: layers.RBF(5), (6,)),
}


def unshared_twin(layer: Any, x: np.ndarray) -> tuple[int, int]:
    """Inputs that each output depends on, counted by moving one at a time; and how many outputs there are."""
    inputs = layers.Input(x.shape)
    model = Model(inputs, layer(inputs))
    base = model.predict(x[None])[0]
    moved = np.stack([x.ravel()] * x.size) + np.eye(x.size, dtype=np.float32) * 0.5
    outputs = model.predict(moved.reshape(-1, *x.shape), batch_size=x.size)
    return int((outputs != base).sum()), base.size


@pytest.mark.parametrize("name", LAYERS)
def test_connections_are_what_outputs_depend_on(name: str) -> None:
    make, shape = LAYERS[name]
    layer = make()
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    depends, neurons = unshared_twin(layer, x)
    row = count(Sequential([layers.Input(shape), make()]))[1]
    biases = neurons * bool(getattr(layer, "use_bias", False))
    assert row.neurons == neurons
    assert row.connections == row.unshared == depends + biases
    assert row.weights == layer.count_params()


@pytest.mark.parametrize(
    "layer", [layers.MaxPooling2D(2), layers.AveragePooling2D(3, strides=2), layers.L2Pooling2D(2)]
)
def test_pooling_has_connections_and_no_weights(layer: Any) -> None:
    row = count(Sequential([layers.Input((9, 8, 3)), layer]))[1]
    assert row.neurons == np.prod(row.output)
    assert row.connections == row.neurons * np.prod(layer.pool_size)
    assert (row.weights, row.unshared) == (0, 0)


def test_transposed_and_separable_are_sums() -> None:
    row = count(Sequential([layers.Input((4, 5, 2)), layers.Conv2DTranspose(3, 2, strides=2)]))[1]
    assert row.connections == 4 * 5 * 2 * 2 * 2 * 3 + 8 * 10 * 3
    row = count(Sequential([layers.Input((6, 6, 2)), layers.SeparableConv2D(5, 3)]))[1]
    assert row.neurons == 16 * 2 + 16 * 5
    assert row.connections == 16 * 2 * 9 + 16 * 5 * (2 + 1)


def test_a_bias_per_unit_belongs_to_the_layer_before() -> None:
    rows = count(Sequential([layers.Input((6, 6, 1)), layers.Conv2D(2, 3, use_bias=False), layers.UnitBias()]))
    assert [row.neurons for row in rows] == [36, 32, 0]
    assert rows[1].connections + rows[2].connections == 32 * 10
    assert rows[2].weights == 32


def test_a_layer_called_twice_has_its_weights_once() -> None:
    shared = layers.Dense(4)
    x = layers.Input((4,))
    rows = count(Model(x, shared(shared(x))))
    assert [row.weights for row in rows] == [0, 20, 0]
    assert [row.connections for row in rows] == [0, 20, 20]


def test_open_dimensions_are_not_guessed() -> None:
    x = layers.Input((None, None, 3))
    row = count(Model(x, layers.Conv2D(2, 3)(x)))[1]
    assert (row.neurons, row.connections, row.unshared, row.weights) == (None, None, None, 56)


def test_frozen_weights_are_not_trainable() -> None:
    made = Sequential([layers.Input((4,)), layers.Dense(3, trainable=False), layers.BatchNormalization()])
    assert [row.trainable for row in count(made)] == [0, 0, 6]


GOODFELLOW = Window(height=280, width=320, channels=1, kernel=(1, 2))


def test_the_books_example() -> None:
    assert GOODFELLOW.output == (280, 319, 1)
    assert GOODFELLOW.operations == 267_960
    assert GOODFELLOW.dense_weights == 320 * 280 * 319 * 280 > 8e9


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [(5, 3, 2, 1, 3), (5, 3, 1, 1, 5), (3, 2, 1, 0, 2), (32, 5, 1, 0, 28), (28, 2, 2, 0, 14), (14, 5, 1, 0, 10)],
)
def test_output_sizes_of_the_lecture(size: int, kernel: int, stride: int, padding: int, expected: int) -> None:
    assert output_size(size, kernel, stride, padding) == expected


def test_window_counts_as_a_layer_does() -> None:
    window = Window(9, 8, 3, (2, 3), filters=4, stride=2)
    row = count(Sequential([layers.Input((9, 8, 3)), layers.Conv2D(4, (2, 3), strides=2)]))[1]
    assert (window.output, window.neurons, window.weights) == (row.output, row.neurons, row.weights)
    assert (window.unshared, window.connections) == (row.unshared, row.connections)
