"""The numbers of the lecture on convolutional networks, through the real layers and gradients, to the printed digit."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime.autodiff import gradients
from striate.runtime.builder import Builder
from striate.runtime.executor import Executor
from striate.trainer import Input, Sequential, layers
from striate.trainer.losses import SparseCategoricalCrossentropy

SCRIPT = """
from striate.trainer import Sequential
from striate.trainer import layers

model = Sequential()
model.add(layers.Conv2D(filters=6, kernel_size=(5, 5), activation='relu', input_shape=(32, 32, 1)))
model.add(layers.AveragePooling2D())
model.add(layers.Conv2D(filters=16, kernel_size=(5, 5), activation='relu'))
model.add(layers.AveragePooling2D())
model.add(layers.Flatten())
model.add(layers.Dense(units=120, activation='relu'))
model.add(layers.Dense(units=84, activation='relu'))
model.add(layers.Dense(units=10, activation = 'softmax'))
"""
"""The slide prints (3, 3) for the second kernel; its summary and its figures are those of (5, 5)."""


@pytest.fixture
def script_model(tmp_path: Path) -> Sequential:
    """What the script, run as a file, leaves in `model`."""
    path = tmp_path / "lecture.py"
    path.write_text(SCRIPT)
    model = runpy.run_path(str(path))["model"]
    assert isinstance(model, Sequential)
    return model


def test_the_script_prints_the_lecture_s_summary(script_model: Sequential, capsys: pytest.CaptureFixture[str]) -> None:
    script_model.summary()
    printed = capsys.readouterr().out
    rows = [
        ("conv2d (Conv2D)", "(None, 28, 28, 6)", "156"),
        ("average_pooling2d", "(None, 14, 14, 6)", "0"),
        ("conv2d_1 (Conv2D)", "(None, 10, 10, 16)", "2,416"),
        ("average_pooling2d_1", "(None, 5, 5, 16)", "0"),
        ("flatten (Flatten)", "(None, 400)", "0"),
        ("dense (Dense)", "(None, 120)", "48,120"),
        ("dense_1 (Dense)", "(None, 84)", "10,164"),
        ("dense_2 (Dense)", "(None, 10)", "850"),
    ]
    lines = printed.splitlines()
    for name, shape, count in rows:
        found = [line for line in lines if name in line and shape in line]
        assert found, f"{name} with {shape} is not in\n{printed}"
        assert found[0].replace("│", " ").split()[-1] == count
    for total in ("Total params: 61,706", "Trainable params: 61,706", "Non-trainable params: 0"):
        assert total in printed


def test_the_script_s_model_runs_on_a_batch(script_model: Sequential) -> None:
    probabilities = script_model.predict(np.random.default_rng(0).random((3, 32, 32, 1), np.float32))
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)


def convolve(image: list[list[int]], kernel: list[list[int]], **arguments: object) -> np.ndarray:
    """A Conv2D layer with one filter, without bias."""
    x, k = np.array(image, np.float32), np.array(kernel, np.float32)
    padded = arguments.pop("padding", 0)
    model = Sequential([Input((*x.shape, 1))])
    if padded:
        model.add(layers.ZeroPadding2D(padded))
    model.add(layers.Conv2D(1, k.shape, use_bias=False, **arguments))
    model.set_weights([k[:, :, None, None]])
    return model.predict(x[None, :, :, None])[0, :, :, 0]


def test_convolution_stage() -> None:
    result = convolve([[1, 7, 2], [11, 1, 23], [2, 2, 2]], [[1, 1], [0, 1]])
    np.testing.assert_array_equal(result, [[9, 32], [14, 26]])


IMAGE = [[2, 2, 3, 3, 3], [0, 1, 3, 0, 3], [2, 3, 0, 1, 3], [3, 3, 2, 1, 2], [3, 3, 0, 2, 3]]
KERNEL = [[2, 0, 1], [1, 0, 0], [0, 1, 1]]


def test_stride_and_padding() -> None:
    """V = (5 − 3 + 2·1)/2 + 1 = 3 and (5 − 3 + 2·1)/1 + 1 = 5.

    The 3×3 grid that the slide prints beside stride 2 holds the first three rows and columns of the map of stride 1;
    the map of stride 2 takes every second of its values.
    """
    single = convolve(IMAGE, KERNEL, padding=1)
    double = convolve(IMAGE, KERNEL, padding=1, strides=2)
    assert single.shape == (5, 5)
    assert double.shape == (3, 3)
    np.testing.assert_array_equal(single[:3, :3], [[1, 6, 5], [7, 10, 9], [7, 10, 8]])
    np.testing.assert_array_equal(double, single[::2, ::2])
    np.testing.assert_array_equal(double, [[1, 5, 6], [7, 8, 3], [3, 10, 4]])


@pytest.mark.parametrize(
    ("image", "filters", "kernel", "volume"),
    [((3, 3, 3), 1, 2, (2, 2, 1)), ((3, 3, 2), 3, 2, (2, 2, 3)), ((32, 32, 3), 10, 5, (28, 28, 10))],
)
def test_output_dimensions(image: tuple[int, ...], filters: int, kernel: int, volume: tuple[int, ...]) -> None:
    model = Sequential([Input(image), layers.Conv2D(filters, kernel)])
    assert model.output_shape == (None, *volume)
    assert model.predict(np.zeros((1, *image), np.float32)).shape == (1, *volume)


# The network of the backpropagation example: convolution with two filters, ReLU, max pooling to X2 = (118, 102), a
# hidden layer whose first unit gives 118·1 + 102·3 = 424 and whose second is off, and ten outputs. The slides' image is
# a picture; any image with these two maxima gives the same gradients from X2 on.
PROBABILITIES = (
    "9.855923e-01 1.419998e-02 2.045877e-04 2.947614e-06 4.246805e-08 "
    "6.118620e-10 8.815459e-12 6.118620e-10 4.246805e-08"
)
"""Of the nine wrong classes."""
W3 = [
    [0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.04, 0.05, 0.01],
    [0.02, 0.03, 0.03, 0.02, 0.01, 0.02, 0.07, 0.08, 0.05, 0.01],
]
TARGET = 9


def lecture_network() -> tuple[Sequential, np.ndarray]:
    image = np.array([[10, 20, 30], [40, 9, 21], [51, 7, 59]], np.float32)[None, :, :, None]
    model = Sequential(
        [
            Input((3, 3, 1)),
            layers.Conv2D(2, 2, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(2, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    first = np.array([[0, 0], [0, 2]])
    second = np.array([[0, 0], [2, 0]])
    kernel = np.stack([first, second], axis=-1)[:, :, None, :]
    dense = np.array([[1, -1], [3, -1]])
    model.set_weights([kernel, np.zeros(2), dense, np.zeros(2), np.array(W3), np.zeros(10)])
    return model, image


def gradients_of_example() -> dict[str, np.ndarray]:
    """Loss, outputs, and the gradient of the loss with respect to every parameter and inner value, in float64."""
    model, image = lecture_network()
    made = in_float64(model.to_ir())
    graph = made.graph
    g = Builder(graph)
    labels = g.constant(np.array([TARGET]))
    softmax = graph.outputs[0]
    inner = {node.op_type: node.outputs[0] for node in graph}
    loss = SparseCategoricalCrossentropy()(g, labels, softmax)
    relus = [node.outputs[0] for node in graph if node.op_type == "Relu"]
    wanted = {
        "net": softmax.producer().inputs[0],
        "relu2": relus[1],
        "net2": relus[1].producer().inputs[0],
        "net1": relus[0].producer().inputs[0],
        **dict(graph.initializers),
    }
    wanted = {
        n: v for n, v in wanted.items() if v is not None and v.dtype == ir.DataType.DOUBLE and not n.startswith("const")
    }
    found = gradients(g, [loss], list(wanted.values()))
    outputs = {"loss": loss, "softmax": softmax, "X2": inner["MaxPool"], "relu2 value": relus[1]}
    outputs |= {f"d {n}": d for n, d in zip(wanted, found, strict=True) if d is not None}
    names = {n: g.Identity(v) for n, v in outputs.items()}
    graph.outputs[:] = list(names.values())
    results = Executor(made).run({graph.inputs[0].name: image.astype(np.float64)})
    return dict(zip(names, results, strict=True))


def in_float64(model: ir.Model) -> ir.Model:
    """The same model with weights and values in float64."""
    values = [*model.graph.inputs, *model.graph.initializers.values(), *(v for n in model.graph for v in n.outputs)]
    for value in values:
        if value.dtype == ir.DataType.FLOAT:
            if value.const_value is not None:
                value.const_value = ir.tensor(value.const_value.numpy().astype(np.float64), name=value.name)
            value.dtype = ir.DataType.DOUBLE
    return model


@pytest.fixture(scope="module")
def example() -> dict[str, np.ndarray]:
    return gradients_of_example()


def assert_prints(values: np.ndarray, printed: str) -> None:
    """Each value is the printed number, up to half a unit of its last digit and a few roundings of float32.

    The lecture computed in float32, where a logit near 38 is only good to 2e-6: its probabilities add up to 0.9999999.
    """
    numbers = printed.split()
    assert np.size(values) == len(numbers)
    for value, text in zip(np.ravel(values).tolist(), numbers, strict=True):
        mantissa, _, exponent = text.lower().partition("e")
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        assert abs(value - float(text)) <= 0.5 * unit + 2.0**-21 * abs(value), f"{value!r} is not {text}"


def test_forward_propagation(example: dict[str, np.ndarray]) -> None:
    assert np.ravel(example["X2"]).tolist() == [118.0, 102.0]
    assert np.ravel(example["relu2 value"]).tolist() == [424.0, 0.0]
    assert_prints(example["softmax"], f"{PROBABILITIES} 1.829901e-15")
    assert_prints(example["loss"], "33.93")


def test_gradient_of_the_output_units(example: dict[str, np.ndarray]) -> None:
    assert_prints(example["d net"], f"{PROBABILITIES} -1")


def test_gradient_of_w3(example: dict[str, np.ndarray]) -> None:
    assert_prints(
        example["d dense_1/bias"],
        "9.86E-01 1.42E-02 2.05E-04 2.95E-06 4.25E-08 6.12E-10 8.82E-12 6.12E-10 4.25E-08 -1.00E+00",
    )
    kernel = example["d dense_1/kernel"]
    assert_prints(
        kernel[0], "4.18E+02 6.02E+00 8.67E-02 1.25E-03 1.80E-05 2.59E-07 3.74E-09 2.59E-07 1.80E-05 -4.24E+02"
    )
    assert not kernel[1].any()


def test_gradient_of_x3(example: dict[str, np.ndarray]) -> None:
    """The lecture lists ∂E/∂X3 as 0 for the bias and 0.079854: the second unit is off and gets nothing."""
    assert_prints(example["d net2"], "0.079854 0")


def test_gradient_of_w2(example: dict[str, np.ndarray]) -> None:
    assert_prints(example["d dense/bias"], "0.0799 0")
    assert_prints(example["d dense/kernel"], "9.4227 0 8.1451 0")


def test_delta_b1(example: dict[str, np.ndarray]) -> None:
    assert_prints(example["d conv2d/bias"], "0.07985382 0.23956146")
    assert_prints(example["d net1"].sum(axis=(0, 2, 3)), "0.07985382 0.23956146")
