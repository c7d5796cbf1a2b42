"""Layers against plain NumPy; their configurations, layouts of weights, and what they say to inputs that do not fit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput
from striate.trainer import Input, Model, Sequential, layers
from striate.trainer.layers import BUILTIN, Layer, deserialize
from striate.trainer.naming import snake_case

from . import reference as ref
from .reference import Array, outputs

L = layers


def data(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def randomized(model: Model) -> Model:
    """All weights replaced by random ones; variances positive."""
    values = [data(*w.shape, seed=i) * 0.5 for i, w in enumerate(model.get_weights())]
    names = [p.local_name for p in model.parameters]
    model.set_weights([abs(v) + 0.5 if n == "moving_variance" else v for n, v in zip(names, values, strict=True)])
    return model


Reference = Callable[..., Array]
relu: Reference = lambda x: np.maximum(x, 0)  # noqa: E731

# layer, shape of one sample, reference(x, *weights)
FORWARD: list[tuple[Layer, tuple[int, ...], Reference]] = [
    (L.Dense(3), (4,), lambda x, w, b: x @ w + b),
    (L.Dense(3, activation="relu", use_bias=False), (4,), lambda x, w: relu(x @ w)),
    (L.Dense(3), (2, 5, 4), lambda x, w, b: x @ w + b),
    (L.Conv1D(3, 3), (7, 2), ref.conv),
    (L.Conv1D(3, 3, padding="causal", dilation_rate=2), (7, 2),
     lambda x, w, b: ref.conv(x, w, b, dilation=2, pads=[(4, 0)])),
    (L.Conv2D(3, 2), (5, 4, 2), ref.conv),
    (L.Conv2D(3, (3, 2), strides=(2, 1), activation="relu"), (6, 5, 2),
     lambda x, w, b: relu(ref.conv(x, w, b, strides=(2, 1)))),
    (L.Conv2D(3, 2, strides=2, padding="same", use_bias=False), (5, 6, 2),
     lambda x, w: ref.conv(x, w, strides=2, pads=[(0, 1), (0, 0)])),
    (L.Conv2D(2, 3, padding="SAME", dilation_rate=2), (6, 5, 1),
     lambda x, w, b: ref.conv(x, w, b, dilation=2, pads=[(2, 2)] * 2)),
    (L.Conv2D(6, 3, groups=3), (5, 5, 6), lambda x, w, b: ref.conv(x, w, b, groups=3)),
    (L.Conv2D(3, 1, activation="softmax"), (3, 3, 2), lambda x, w, b: ref.softmax(ref.conv(x, w, b))),
    (L.Conv3D(2, 2), (3, 4, 3, 2), ref.conv),
    (L.DepthwiseConv1D(3), (6, 2), lambda x, w, b: ref.depthwise(x, w) + b),
    (L.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 3), lambda x, w, b: ref.depthwise(x, w) + b),
    (L.DepthwiseConv2D(3, strides=2, padding="same"), (6, 5, 3),
     lambda x, w, b: ref.depthwise(x, w, strides=2, pads=[(0, 1), (1, 1)]) + b),
    (L.SeparableConv1D(4, 3), (6, 2), lambda x, d, p, b: ref.conv(ref.depthwise(x, d), p, b)),
    (L.SeparableConv2D(4, 3, depth_multiplier=2), (5, 5, 3), lambda x, d, p, b: ref.conv(ref.depthwise(x, d), p, b)),
    (L.MaxPooling1D(), (7, 2), lambda x: ref.pool(x, [2], [2], [(0, 0)], np.nanmax)),
    (L.MaxPooling2D(), (5, 6, 2), lambda x: ref.pool(x, [2, 2], [2, 2], [(0, 0)] * 2, np.nanmax)),
    (L.MaxPooling2D(3, 2, "same"), (5, 6, 2), lambda x: ref.pool(x, [3, 3], [2, 2], [(1, 1), (0, 1)], np.nanmax)),
    (L.MaxPooling3D(2), (4, 3, 2, 2), lambda x: ref.pool(x, [2] * 3, [2] * 3, [(0, 0)] * 3, np.nanmax)),
    (L.AveragePooling1D(3, 1), (7, 2), lambda x: ref.pool(x, [3], [1], [(0, 0)], np.nanmean)),
    (L.AveragePooling2D(), (5, 6, 2), lambda x: ref.pool(x, [2, 2], [2, 2], [(0, 0)] * 2, np.nanmean)),
    (L.AveragePooling2D(3, 2, padding="same"), (5, 6, 2),
     lambda x: ref.pool(x, [3, 3], [2, 2], [(1, 1), (0, 1)], np.nanmean)),
    (L.AveragePooling3D(2), (4, 3, 2, 2), lambda x: ref.pool(x, [2] * 3, [2] * 3, [(0, 0)] * 3, np.nanmean)),
    (L.GlobalAveragePooling1D(), (5, 2), lambda x: x.mean(axis=1)),
    (L.GlobalAveragePooling2D(), (4, 3, 2), lambda x: x.mean(axis=(1, 2))),
    (L.GlobalAveragePooling2D(keepdims=True), (4, 3, 2), lambda x: x.mean(axis=(1, 2), keepdims=True)),
    (L.GlobalAveragePooling3D(), (4, 3, 2, 2), lambda x: x.mean(axis=(1, 2, 3))),
    (L.GlobalMaxPooling1D(), (5, 2), lambda x: x.max(axis=1)),
    (L.GlobalMaxPooling2D(), (4, 3, 2), lambda x: x.max(axis=(1, 2))),
    (L.GlobalMaxPooling3D(keepdims=True), (4, 3, 2, 2), lambda x: x.max(axis=(1, 2, 3), keepdims=True)),
    (L.Flatten(), (3, 2, 4), lambda x: x.reshape(len(x), -1)),
    (L.Flatten(data_format="channels_first"), (3, 2, 4), lambda x: np.moveaxis(x, 1, -1).reshape(len(x), -1)),
    (L.Reshape((4, -1)), (3, 2, 4), lambda x: x.reshape(len(x), 4, 6)),
    (L.Permute((3, 1, 2)), (3, 2, 4), lambda x: x.transpose(0, 3, 1, 2)),
    (L.Activation("tanh"), (3, 2), np.tanh),
    (L.ReLU(), (9,), relu),
    (L.ReLU(max_value=0.5), (9,), lambda x: np.clip(x, 0, 0.5)),
    (L.ReLU(max_value=0.5, negative_slope=0.1), (9,), lambda x: np.minimum(np.where(x > 0, x, 0.1 * x), 0.5)),
    (L.ReLU(threshold=0.2, negative_slope=0.5), (9,), lambda x: np.where(x > 0.2, x, 0.5 * (x - 0.2))),
    (L.LeakyReLU(), (9,), lambda x: np.where(x > 0, x, 0.3 * x)),
    (L.PReLU(), (3, 4), lambda x, a: np.where(x > 0, x, a * x)),
    (L.PReLU(shared_axes=[1, 2]), (3, 4, 2), lambda x, a: np.where(x > 0, x, a * x)),
    (L.ELU(0.7), (9,), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
    (L.Softmax(), (3, 4), ref.softmax),
    (L.Softmax(axis=1), (3, 4), lambda x: ref.softmax(x, 1)),
    (L.Dropout(0.5), (9,), lambda x: x),
    (L.Dropout(0.0), (9,), lambda x: x),
    (L.BatchNormalization(), (4,), lambda x, g, b, m, v: (x - m) / np.sqrt(v + 1e-3) * g + b),
    (L.BatchNormalization(epsilon=0.1), (3, 2, 4), lambda x, g, b, m, v: (x - m) / np.sqrt(v + 0.1) * g + b),
    (L.BatchNormalization(axis=1, scale=False), (4, 3, 2),
     lambda x, b, m, v: np.moveaxis((np.moveaxis(x, 1, -1) - m) / np.sqrt(v + 1e-3) + b, -1, 1)),
    (L.BatchNormalization(center=False), (3, 4), lambda x, g, m, v: (x - m) / np.sqrt(v + 1e-3) * g),
    (L.LayerNormalization(), (3, 4), lambda x, g, b: ref.normalized(x, -1) * g + b),
    (L.LayerNormalization(axis=[1, 2], center=False), (3, 4), lambda x, g: ref.normalized(x, (1, 2)) * g),
    (L.LayerNormalization(axis=1, scale=False), (3, 4), lambda x, b: ref.normalized(x, 1) + b[:, None]),
    (L.GroupNormalization(2), (3, 5, 4),
     lambda x, g, b: ref.normalized(x.reshape(-1, 3, 5, 2, 2), (1, 2, 4)).reshape(x.shape) * g + b),
    (L.GroupNormalization(-1, axis=1, scale=False, center=False), (4, 3, 2), lambda x: ref.normalized(x, (2, 3))),
    (L.ZeroPadding1D((1, 2)), (3, 2), lambda x: np.pad(x, [(0, 0), (1, 2), (0, 0)])),
    (L.ZeroPadding2D(), (3, 3, 2), lambda x: np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])),
    (L.ZeroPadding2D(((1, 2), (0, 3))), (3, 3, 2), lambda x: np.pad(x, [(0, 0), (1, 2), (0, 3), (0, 0)])),
    (L.ZeroPadding3D((1, 0, 2)), (2, 2, 2, 1), lambda x: np.pad(x, [(0, 0), (1, 1), (0, 0), (2, 2), (0, 0)])),
    (L.Cropping1D((1, 0)), (4, 2), lambda x: x[:, 1:]),
    (L.Cropping2D(((1, 2), (0, 1))), (5, 4, 2), lambda x: x[:, 1:-2, :-1]),
    (L.Cropping3D(), (3, 4, 3, 1), lambda x: x[:, 1:-1, 1:-1, 1:-1]),
    (L.UpSampling1D(3), (3, 2), lambda x: x.repeat(3, 1)),
    (L.UpSampling2D((2, 3)), (3, 2, 2), lambda x: x.repeat(2, 1).repeat(3, 2)),
    (L.UpSampling2D(interpolation="bilinear"), (3, 4, 2), lambda x: ref.bilinear(ref.bilinear(x, 2, 1), 2, 2)),
    (L.UpSampling3D(), (2, 3, 2, 1), lambda x: x.repeat(2, 1).repeat(2, 2).repeat(2, 3)),
    (L.Rescaling(0.5, offset=-1), (3, 2), lambda x: x * 0.5 - 1),
    (L.Rescaling([1.0, 2.0]), (3, 2), lambda x: x * [1, 2]),
]  # fmt: skip


LECTURE = {
    "ChannelShuffle", "Conv2DTable", "L2Pooling1D", "L2Pooling2D", "LayerScale", "LocalResponseNormalization",
    "LocallyConnected1D", "LocallyConnected2D", "RBF", "StochasticDepth", "Subsampling2D", "UnitBias",
}  # fmt: skip
"""Layers that `test_lecture_layers.py` looks at."""
TREES = {"TreeEnsemble", "Decision"}
"""Layers that `test_boosting.py` looks at."""


def test_forward_rows_cover_every_single_input_layer() -> None:
    tested_elsewhere = {"InputLayer", "Embedding", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"}
    merging = {name for name, cls in BUILTIN.items() if cls.takes_many}
    assert {
        type(layer).__name__ for layer, *_ in FORWARD
    } == BUILTIN.keys() - tested_elsewhere - LECTURE - TREES - merging


@pytest.mark.parametrize(
    ("layer", "shape", "reference"), FORWARD, ids=[f"{i}-{type(r[0]).__name__}" for i, r in enumerate(FORWARD)]
)
def test_forward(layer: Layer, shape: tuple[int, ...], reference: Reference) -> None:
    fresh = deserialize(json.loads(json.dumps(layer.serialize())))
    model = randomized(Sequential([Input(shape), fresh]))
    x = data(3, *shape)
    (found,) = outputs(model, x)
    np.testing.assert_allclose(found, reference(x, *model.get_weights()), rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    assert model.output_shape == (None, *found.shape[1:])


SPATIAL = [
    row
    for row in FORWARD
    if "data_format" in row[0].get_config() and row[0].get_config().get("activation") != "softmax"
]
SPATIAL = [row for row in SPATIAL if not isinstance(row[0], L.Flatten)]


@pytest.mark.parametrize(("layer", "shape", "reference"), SPATIAL, ids=[type(r[0]).__name__ for r in SPATIAL])
def test_channels_first_is_channels_last_transposed(layer: Layer, shape: tuple[int, ...], reference: Reference) -> None:
    config = layer.get_config() | {"data_format": "channels_first"}
    model = randomized(Sequential([Input((shape[-1], *shape[:-1])), type(layer).from_config(config)]))
    x = data(3, *shape)
    (found,) = outputs(model, np.moveaxis(x, -1, 1))
    expected = reference(x, *model.get_weights())
    np.testing.assert_allclose(np.moveaxis(found, 1, -1) if found.ndim > 2 else found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ({"kernel_size": 3, "strides": 2}, 9),
        ({"kernel_size": 2, "strides": 3}, 12),
        ({"kernel_size": 3, "strides": 2, "padding": "same"}, 8),
        ({"kernel_size": 1, "strides": 2, "padding": "same"}, 8),
        ({"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 0}, 7),
        ({"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1}, 8),
        ({"kernel_size": 3, "strides": 2, "output_padding": 1}, 10),
        ({"kernel_size": 3, "strides": 1, "dilation_rate": 2}, 8),
    ],
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolution_is_as_long_as_keras_says(rank: int, arguments: dict[str, Any], length: int) -> None:
    cls = {1: L.Conv1DTranspose, 2: L.Conv2DTranspose, 3: L.Conv3DTranspose}[rank]
    model = Sequential([Input((*(4,) * rank, 2)), cls(3, **arguments)])
    assert model.output_shape == (None, *(length,) * rank, 3)
    assert outputs(model, data(2, *(4,) * rank, 2))[0].shape == (2, *(length,) * rank, 3)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (8, 3, 2, "same"),
        (9, 3, 2, "valid"),
        (6, 2, 1, "same"),
        (6, 4, 3, "same"),
        (7, 3, 1, "valid"),
        (8, 1, 2, "same"),
    ],
)
def test_transposed_convolution_is_the_adjoint_of_convolution(
    size: int, kernel: int, stride: int, padding: str
) -> None:
    """⟨conv(x), y⟩ = ⟨x, transposed(y)⟩ for the same kernel array."""
    forward = Sequential([Input((size, size, 2)), L.Conv2D(3, kernel, stride, padding, use_bias=False)])
    steps = forward.output_shape[1]
    backward = Sequential([Input((steps, steps, 3)), L.Conv2DTranspose(2, kernel, stride, padding, use_bias=False)])
    weights = data(kernel, kernel, 2, 3)
    forward.set_weights([weights])
    backward.set_weights([weights])
    x, y = data(1, size, size, 2), data(1, steps, steps, 3)
    left, right = outputs(forward, x)[0] * y, x * outputs(backward, y)[0]
    assert left.sum(dtype=np.float64) == pytest.approx(right.sum(dtype=np.float64), rel=1e-4)


MERGING: list[tuple[Layer, list[tuple[int, ...]], Reference]] = [
    (L.Add(), [(3, 2)] * 3, lambda a, b, c: a + b + c),
    (L.Add(), [(4, 3, 2), (1, 1, 2)], lambda a, b: a + b),
    (L.Subtract(), [(3, 2)] * 2, lambda a, b: a - b),
    (L.Multiply(), [(3, 2)] * 3, lambda a, b, c: a * b * c),
    (L.Multiply(), [(5, 2), (2,)], lambda a, b: a * b[:, None]),
    (L.Average(), [(3, 2)] * 3, lambda a, b, c: (a + b + c) / 3),
    (L.Maximum(), [(3, 2)] * 2, np.maximum),
    (L.Minimum(), [(3, 2)] * 2, np.minimum),
    (L.Concatenate(), [(3, 2), (3, 1), (3, 4)], lambda *x: np.concatenate(x, -1)),
    (L.Concatenate(axis=1), [(3, 2), (1, 2)], lambda *x: np.concatenate(x, 1)),
]


@pytest.mark.parametrize(("layer", "shapes", "reference"), MERGING, ids=[type(r[0]).__name__ for r in MERGING])
def test_merging(layer: Layer, shapes: list[tuple[int, ...]], reference: Reference) -> None:
    inputs = [Input(shape) for shape in shapes]
    model = Model(inputs, deserialize(layer.serialize())(inputs))
    arrays = [data(3, *shape, seed=i) for i, shape in enumerate(shapes)]
    (found,) = outputs(model, *arrays)
    np.testing.assert_allclose(found, reference(*arrays), rtol=1e-5, atol=1e-6)
    assert model.output_shape == (None, *found.shape[1:])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_embedding(dtype: str) -> None:
    model = Sequential([Input((4,), dtype=dtype), L.Embedding(7, 3)])
    indices = np.array([[0, 6, 3, 3], [1, 2, 0, 5]], dtype)
    np.testing.assert_array_equal(outputs(model, indices)[0], model.get_weights()[0][indices.astype(int)])
    assert model.output_shape == (None, 4, 3)


def test_rescaling_takes_bytes() -> None:
    model = Sequential([Input((3,), dtype="uint8"), L.Rescaling(1 / 255)])
    np.testing.assert_allclose(outputs(model, np.array([[0, 51, 255]], np.uint8))[0], [[0, 0.2, 1]], rtol=1e-6)


erf = np.vectorize(math.erf, otypes=[float])
ACTIVATIONS: dict[str, Reference] = {
    "linear": lambda x: x,
    "relu": relu,
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softmax": ref.softmax,
    "log_softmax": lambda x: np.log(ref.softmax(x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "exponential": np.exp,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    x = np.linspace(-7, 7, 30, dtype=np.float32).reshape(3, 10)
    (found,) = outputs(Sequential([Input((10,)), L.Activation(name)]), x)
    np.testing.assert_allclose(found, ACTIVATIONS[name](x.astype(np.float64)), rtol=1e-5, atol=1e-6)


def test_activations_of_the_user_see_keras_s_dimensions() -> None:
    def first_channel(g: Any, x: Any) -> Any:
        return g.Slice(x, [0], [1], [-1])

    kernel = L.Conv2D(3, 2, activation=first_channel)
    model = Sequential([Input((4, 4, 2)), kernel])
    assert model.output_shape == (None, 3, 3, 1)
    with pytest.raises(InvalidInput, match=r"activation .* cannot be saved"):
        kernel.get_config()


def test_a_layer_can_be_an_activation() -> None:
    layer = deserialize(L.Dense(3, activation=L.LeakyReLU(0.1), use_bias=False).serialize())
    model = Sequential([Input((4,)), layer])
    x = data(2, 4)
    y = x @ model.get_weights()[0]
    np.testing.assert_allclose(outputs(model, x)[0], np.where(y > 0, y, 0.1 * y), rtol=1e-5, atol=1e-6)
    with pytest.raises(InvalidInput, match="has weights"):
        Sequential([Input((4,)), L.Dense(3, activation=L.PReLU())])


def test_softmax_of_a_channels_first_convolution_runs_along_the_last_dimension_as_in_keras() -> None:
    model = Sequential([Input((2, 3, 4)), L.Conv2D(3, 1, activation="softmax", data_format="channels_first")])
    np.testing.assert_allclose(outputs(model, data(1, 2, 3, 4))[0].sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "sample", "keras", "stored"),
    [
        (L.Conv1D(5, 3), (9, 2), (3, 2, 5), (5, 2, 3)),
        (L.Conv2D(5, (3, 4)), (9, 9, 2), (3, 4, 2, 5), (5, 2, 3, 4)),
        (L.Conv2D(6, 3, groups=2), (9, 9, 4), (3, 3, 2, 6), (6, 2, 3, 3)),
        (L.Conv3D(5, (2, 3, 4)), (9, 9, 9, 2), (2, 3, 4, 2, 5), (5, 2, 2, 3, 4)),
        (L.Conv2DTranspose(5, (3, 4)), (9, 9, 2), (3, 4, 5, 2), (2, 5, 3, 4)),
        (L.DepthwiseConv2D((3, 4), depth_multiplier=5), (9, 9, 2), (3, 4, 2, 5), (10, 1, 3, 4)),
        (L.Dense(5), (2,), (2, 5), (2, 5)),
    ],
)
def test_weights_are_shown_as_keras_does_and_stored_as_onnx_does(
    layer: Layer, sample: tuple[int, ...], keras: tuple[int, ...], stored: tuple[int, ...]
) -> None:
    Sequential([Input(sample), layer])
    kernel, bias = layer.get_weights()
    assert kernel.shape == keras
    assert layer.kernel.shape == layer.kernel.value.shape == stored
    assert layer.kernel.value.flags.c_contiguous
    assert bias.tolist() == [0.0] * len(bias)
    new = data(*keras)
    layer.set_weights([new, bias])
    np.testing.assert_array_equal(layer.get_weights()[0], new)
    np.testing.assert_array_equal(layer.kernel.numpy(), new)


def test_open_dimensions() -> None:
    model = randomized(Sequential([Input((None, None, 2)), L.Conv2D(3, 3, 2, "same"), L.GlobalAveragePooling2D()]))
    assert model.layers[0].output.shape == (None, None, None, 3)
    for height, width in ((5, 6), (8, 7)):
        x = data(2, height, width, 2)
        pads = [ref.same(height, 3, 2), ref.same(width, 3, 2)]
        expected = ref.conv(x, *model.get_weights(), strides=2, pads=pads).mean(axis=(1, 2))
        np.testing.assert_allclose(outputs(model, x)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Conv2D", "conv2d"),
        ("MaxPooling2D", "max_pooling2d"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("DepthwiseConv2D", "depthwise_conv2d"),
        ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ("ReLU", "re_lu"),
        ("PReLU", "p_re_lu"),
        ("LeakyReLU", "leaky_re_lu"),
        ("ELU", "elu"),
        ("UpSampling2D", "up_sampling2d"),
        ("InputLayer", "input_layer"),
    ],
)
def test_names_are_keras_s(name: str, snake: str) -> None:
    assert snake_case(name) == snake


def test_a_layer_of_one_s_own() -> None:
    class Scale(Layer):
        def __init__(self, start: float = 1.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.start = start

        def build(self, input_shape: Any) -> None:
            self.factor = self.add_weight("factor", (input_shape[-1],), "ones")

        def emit(self, g: Any, *inputs: Any) -> Any:
            return g.Mul(g.Mul(inputs[0], self.factor), self.start)

    model = randomized(Sequential([Input((4,)), Scale(start=2.0)]))
    x = data(2, 4)
    np.testing.assert_allclose(outputs(model, x)[0], x * model.get_weights()[0] * 2, rtol=1e-6)
    again = Sequential.from_config(model.get_config(), {"Scale": Scale})
    assert again.get_config() == model.get_config()
    assert again.parameters[0].name == "scale/factor"
    with pytest.raises(InvalidInput, match="layer class 'Scale' is unknown; give your own classes in custom_objects"):
        Sequential.from_config(model.get_config())


def test_a_shared_layer_keeps_to_its_first_input_shape() -> None:
    dense, conv = L.Dense(2), L.Conv2D(2, 3)
    dense(Input((4,)))
    conv(Input((9, 9, 3)))
    with pytest.raises(
        InvalidInput, match=r"layer 'dense' \(Dense\): its input shape is \(None, 5\), its kernel expects 4"
    ):
        dense(Input((5,)))
    with pytest.raises(InvalidInput, match=r"layer 'conv2d' .* its kernel expects 3 channels"):
        conv(Input((9, 9, 4)))


MISFITS: list[tuple[Callable[[], Any], str]] = [
    (lambda: L.Conv2D(1, 5)(Input((3, 3, 1))),
     r"layer 'conv2d' \(Conv2D\): its kernel 5×5 is larger than its input 3×3"),
    (lambda: L.Conv2D(1, 3, dilation_rate=2)(Input((4, 9, 1))), "kernel 5×5 is larger than its input 4×9"),
    (lambda: L.MaxPooling2D(4)(Input((3, 9, 1))), r"'max_pooling2d' .* its window 4×4 is larger than its input 3×9"),
    (lambda: L.Conv2D(1, 5)(Input((30, 30))), r"input shape is \(None, 30, 30\), expected 4 dimensions"),
    (lambda: L.Conv1D(1, 5)(Input((30, 30, 1))), r"expected 3 dimensions: \(batch, steps, channels\)"),
    (lambda: L.GlobalMaxPooling2D(data_format="channels_first")(Input((3,))), r"\(batch, channels, height, width\)"),
    (lambda: L.Conv2D(1, 3)(Input((9, 9, None))), "the number of channels must be known"),
    (lambda: L.Conv2D(4, 3, groups=2)(Input((9, 9, 3))), "3 channels cannot be divided into 2 groups"),
    (lambda: L.Conv2D(3, 3, groups=2), "3 filters cannot be divided into 2 groups"),
    (lambda: L.Conv2D(0, 3), "filters is 0, expected an integer of at least 1"),
    (lambda: L.Conv2D(2.5, 3), "filters is 2.5, expected an integer of at least 1"),
    (lambda: L.Conv2D(1, (3, 3, 3)), r"kernel_size is \(3, 3, 3\), expected an integer or 2 of them"),
    (lambda: L.Conv2D(1, 3, strides=0), "strides is 0"),
    (lambda: L.Conv2D(1, 3, padding="full"), "padding is 'full', expected 'valid' or 'same'"),
    (lambda: L.MaxPooling2D(padding=1), "padding is 1, expected 'valid' or 'same'"),
    (lambda: L.Conv2D(1, 3, data_format="NCHW"), "data_format is 'NCHW', expected 'channels_last' or 'channels_first'"),
    (lambda: L.Conv2D(1, 3, activation="rellu"), "activation 'rellu' is unknown; expected one of: linear, relu"),
    (lambda: L.Conv2D(1, 3, kernel_initializer="glorot"), "initializer 'glorot' is unknown"),
    (lambda: L.Conv2D(1, 3, kernel_regularizer="l3"), "regularizer 'l3' is unknown"),
    (lambda: L.Conv2D(1, 3, kernel_constraint=object()), "kernel_constraint is not supported; leave it out"),
    (lambda: L.Conv2D(1, 3, stride=2), "it has no argument 'stride'; its arguments are: filters, kernel_size, strides"),
    (lambda: L.Conv2D(1, 3, dtype="float16"), "dtype 'float16' is not supported; expected 'float32'"),
    (lambda: L.Conv2D(1, 3, name="a/b"), "layer name 'a/b' does not fit"),
    (lambda: L.Conv2DTranspose(1, 3, 2, output_padding=2),
     r"output_padding is 2, expected 2 integers from 0 up to below"),
    (lambda: L.Conv2D(1, 3)(Input((9, 9, 1), dtype="uint8")),
     "has dtype uint8, expected float32; put a Rescaling layer before it"),
    (lambda: L.Dense(1)(Input((None,))), r"its input shape is \(None, None\), expected at least 2 dimensions"),
    (lambda: L.Dense(1)(np.zeros((2, 3))), "it was called on ndarray; layers are called on the tensors that Input"),
    (lambda: L.Dense(1)([Input((2,)), Input((2,))]), "it was called on 2 tensors, expected one"),
    (lambda: L.Add()([Input((2,)), Input((3,))]), r"its input shapes \(None, 2\), \(None, 3\) do not match"),
    (lambda: L.Add()(Input((2,))), "it was called on 1 tensors, expected a list of at least 2"),
    (lambda: L.Subtract()([Input((2,))] * 3), "it was called on 3 tensors, expected a list of 2"),
    (lambda: L.Concatenate()([Input((2, 4)), Input((3, 4))]), "may differ in dimension 2 only, not in 1"),
    (lambda: L.Concatenate()([Input((2,)), Input((3, 4))]), "differ in rank"),
    (lambda: L.Concatenate(axis=3)([Input((2,)), Input((3,))]), "axis is 3, but its inputs have 2 dimensions"),
    (lambda: L.Concatenate(axis=0), "axis is 0, expected an integer other than 0"),
    (lambda: L.Reshape((5, 3))(Input((4, 4))),
     r"has 16 numbers per sample, which cannot be arranged as target_shape \(5, 3\)"),
    (lambda: L.Reshape((5, -1))(Input((4, 4))), "cannot be arranged"),
    (lambda: L.Reshape((-1, -1)), "of which one may be -1"),
    (lambda: L.Permute((1, 3)), "expected an order of the numbers 1 to 2"),
    (lambda: L.Permute((2, 1))(Input((3,))), r"expected 3 dimensions for dims \(2, 1\)"),
    (lambda: L.Dropout(1.0), "rate is 1.0, expected a number from 0 up to below 1"),
    (lambda: L.Dropout(0.5, noise_shape=(1,)), "noise_shape is not supported"),
    (lambda: L.BatchNormalization(axis=0)(Input((3,))), "axis is 0, expected one of the dimensions 1 to 1"),
    (lambda: L.BatchNormalization()(Input((None,))), "dimension -1 must be known"),
    (lambda: L.BatchNormalization(momentum=2), "momentum is 2, expected a number from 0 to 1"),
    (lambda: L.LayerNormalization(epsilon=0), "epsilon is 0, expected a number above 0"),
    (lambda: L.GroupNormalization(3)(Input((4, 4))), "4 channels cannot be divided into 3 groups"),
    (lambda: L.Cropping2D(2)(Input((4, 9, 1))), "would leave nothing of it"),
    (lambda: L.ZeroPadding2D(-1), "padding is -1, expected integers of at least 0"),
    (lambda: L.ZeroPadding2D((1, 2, 3)), "expected integers of at least 0: one, 2, or 2 pairs"),
    (lambda: L.UpSampling2D(interpolation="bicubic"), "interpolation is 'bicubic', expected 'nearest' or 'bilinear'"),
    (lambda: L.PReLU()(Input((None, 3))), "dimensions that are not in shared_axes must be known"),
    (lambda: L.PReLU(shared_axes=[3])(Input((4, 3))), r"shared_axes is \(3,\), expected numbers from 1 to 2"),
    (lambda: L.Softmax(axis=4)(Input((3,))), "axis is 4, but its input has 2 dimensions"),
    (lambda: L.ReLU(negative_slope=-1), "negative_slope is -1, expected a number of at least 0"),
    (lambda: L.Embedding(3, 2, mask_zero=True), "mask_zero=True is not supported"),
    (lambda: L.Rescaling("a"), "scale is 'a', expected a number or a list of numbers"),
    (lambda: L.Rescaling([1.0, 2.0, 3.0])(Input((4,))),
     r"'rescaling' \(Rescaling\): it does not fit the input shape \(None, 4\)"),
    (lambda: Input(), r"layer 'input_layer' \(InputLayer\): it has no shape"),
    (lambda: Input((0, 3)), "a dimension of shape is 0, expected an integer of at least 1"),
    (lambda: Input((3,), dtype="float33"), "dtype 'float33' is not known"),
    (lambda: Input((3,), dtype="complex64"), "dtype 'complex64' is not numeric"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), MISFITS, ids=[m for _, m in MISFITS])
def test_what_does_not_fit_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()


def test_set_weights_changes_all_or_nothing() -> None:
    model = Sequential([Input((4,)), L.Dense(3)])
    before = model.get_weights()
    for wrong in ([before[0]], [before[0] + 1, np.zeros(4)], [before[0] + 1, np.array(["a", "b", "c"])]):
        with pytest.raises(InvalidInput):
            model.set_weights(wrong)
        with pytest.raises(InvalidInput):
            model.layers[0].set_weights(wrong)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
