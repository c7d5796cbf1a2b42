"""Which convolutions of a network are computed by parts of rows, and what they take in."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper, parser

from striate.runtime.engines.native import lowering
from striate.runtime.engines.native.assembly import Assembly
from striate.runtime.engines.native.operators import convolution
from striate.runtime.executor import Executor
from striate.runtime.reader import read

HEAD = """<ir_version: 10, opset_import: ["" : 21]>
net (float[N, %s] x) => (%s) {
"""
LENET = ("conv 5×5, mean pool", "conv 5×5", "mean pool [2, 2]")
POOL = "<kernel_shape = [2, 2], strides = [2, 2]>"
NETWORKS: dict[str, tuple[str, str, str, dict[str, tuple[int, ...]], tuple[str, ...]]] = {
    # name: shape of x, outputs, body, weights, labels of convolutions and poolings
    "LeNet-5": (
        "32, 32, 1",
        "float[N, 10] y",
        f"""t = Transpose <perm = [0, 3, 1, 2]> (x)
        a = Conv (t, w1, b1) b = Tanh (a) c = AveragePool {POOL} (b)
        d = Conv (c, w2) e = Relu (d) f = AveragePool {POOL} (e) g = Flatten (f) y = Gemm (g, w3)""",
        {"w1": (6, 1, 5, 5), "b1": (6,), "w2": (16, 6, 5, 5), "w3": (400, 10)},
        LENET,
    ),
    "activation after pooling": (
        "1, 28, 28",
        "float[N, 10, 12, 12] y",
        f"a = Conv (x, w1) b = MaxPool {POOL} (a) y = Relu (b)",
        {"w1": (10, 1, 5, 5)},
        ("conv 5×5, max pool",),
    ),
    "activations before and after": (
        "1, 28, 28",
        "float[N, 10, 12, 12] y",
        f"a = Conv (x, w1) b = Relu (a) c = AveragePool {POOL} (b) y = Sigmoid (c)",
        {"w1": (10, 1, 5, 5)},
        ("conv 5×5, mean pool",),
    ),
    "no room for a second activation, nor for a second pooling": (
        "1, 40, 40",
        "float[N, 2, 9, 9] y",
        f"a = Conv (x, w1) b = MaxPool {POOL} (a) c = Tanh (b) d = Sigmoid (c) y = MaxPool {POOL} (d)",
        {"w1": (2, 1, 5, 5)},
        ("conv 5×5, max pool", "max pool [2, 2]"),
    ),
    "pooled twice": (
        "1, 40, 40",
        "float[N, 2, 9, 9] y",
        f"a = Conv (x, w1) b = MaxPool {POOL} (a) y = AveragePool {POOL} (b)",
        {"w1": (2, 1, 5, 5)},
        ("conv 5×5, max pool", "mean pool [2, 2]"),
    ),
    "odd sizes": (
        "3, 32, 25",
        "float[N, 2, 15, 11] y",
        f"a = Conv <pads = [1, 0, 0, 0]> (x, w1) y = MaxPool {POOL} (a)",
        {"w1": (2, 3, 3, 3)},
        ("conv 3×3, max pool",),
    ),
    "odd sizes rounded up": (
        "3, 32, 25",
        "float[N, 2, 16, 12] y",
        """a = Conv <pads = [1, 0, 0, 0]> (x, w1)
        y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (a)""",
        {"w1": (2, 3, 3, 3)},
        ("conv 3×3", "max pool [2, 2]"),
    ),
    "other pooling": (
        "3, 32, 32",
        "float[N, 2, 14, 14] y",
        "a = Conv (x, w1) y = AveragePool <kernel_shape = [3, 3], strides = [2, 2]> (a)",
        {"w1": (2, 3, 3, 3)},
        ("conv 3×3", "mean pool [3, 3]"),
    ),
    "padded pooling": (
        "3, 32, 32",
        "float[N, 2, 15, 15] y",
        "a = Conv (x, w1) y = AveragePool <kernel_shape = [2, 2], strides = [2, 2], pads = [1, 1, 0, 0]> (a)",
        {"w1": (2, 3, 3, 3)},
        ("conv 3×3", "mean pool [2, 2]"),
    ),
    "read before pooling": (
        "3, 32, 32",
        "float[N, 2, 15, 15] y, float[N, 2, 30, 30] a",
        f"a = Conv (x, w1) y = MaxPool {POOL} (a)",
        {"w1": (2, 3, 3, 3)},
        ("conv 3×3", "max pool [2, 2]"),
    ),
    "few of many, from blocks": (
        "3, 32, 32",
        "float[N, 2, 15, 15] y",
        f"a = Conv (x, w1) b = Relu (a) c = Conv <pads = [2, 2, 2, 2]> (b, w2) y = MaxPool {POOL} (c)",
        {"w1": (32, 3, 3, 3), "w2": (2, 32, 5, 5)},
        ("conv 3×3", "conv 5×5, max pool"),
    ),
    "with a residual": (
        "2, 30, 30",
        "float[N, 2, 15, 15] y",
        f"a = Conv <pads = [1, 1, 1, 1]> (x, w1) b = Add (a, x) c = Relu (b) y = MaxPool {POOL} (c)",
        {"w1": (2, 2, 3, 3)},
        ("conv 3×3", "max pool [2, 2]"),
    ),
    "an addition after pooling": (
        "2, 30, 30",
        "float[N, 2, 15, 15] y",
        f"c = MaxPool {POOL} (x) a = Conv <pads = [1, 1, 1, 1]> (x, w1) b = MaxPool {POOL} (a) y = Add (b, c)",
        {"w1": (2, 2, 3, 3)},
        ("max pool [2, 2]", "conv 3×3, max pool"),
    ),
    "joined to whole blocks": (
        "3, 20, 20",
        "float[N, 19, 20, 20] y",
        """a = Conv <pads = [1, 1, 1, 1]> (x, w1) b = Conv <pads = [1, 1, 1, 1]> (x, w2) c = Concat <axis = 1> (a, b)
        y = Relu (c)""",
        {"w1": (16, 3, 3, 3), "w2": (3, 3, 3, 3)},
        ("conv 3×3", "conv 3×3"),
    ),
    "lines": (
        "3, 50",
        "float[N, 2, 24] y",
        "a = Conv (x, w1) b = Relu (a) y = MaxPool <kernel_shape = [2], strides = [2]> (b)",
        {"w1": (2, 3, 3)},
        ("conv 1×3", "max pool [1, 2]"),
    ),
}


def labels_of(
    shape: str, outputs: str, body: str, weights: dict[str, tuple[int, ...]], batch: int, patch: pytest.MonkeyPatch
) -> list[str]:
    """Of the steps of convolutions and poolings, after a comparison of all outputs with those of the arrays engine."""
    model = parser.parse_model(f"{HEAD % (shape, outputs)}{body}\n}}")
    rng = np.random.default_rng(0)
    for key, size in weights.items():
        array = (rng.standard_normal(size) / np.sqrt(np.prod(size[1:]))).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, key))
    x = rng.standard_normal((batch, *map(int, shape.split(",")))).astype(np.float32)
    made: list[Assembly] = []
    patch.setattr(lowering, "Assembly", lambda *given: made.append(Assembly(*given)) or made[-1])
    read_model = read(model.SerializeToString())
    got = Executor(read_model, threads=2).run({"x": x})
    for y, want in zip(got, Executor(read_model).run({"x": x}), strict=True):
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)
    found = [step.label for asm in made for step in asm.steps]
    return [label for label in found if "conv" in label or "pool" in label]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    *network, labels = NETWORKS[name]
    assert labels_of(*network, batch, monkeypatch) == list(labels)


@pytest.mark.parametrize("m", [0, 4])
def test_where_winograd_pays(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution.winograd, "choose", lambda problem: m)
    body = f"a = Conv <pads = [1, 1, 1, 1]> (x, w1) y = MaxPool {POOL} (a)"
    found = labels_of("40, 30, 30", "float[N, 2, 15, 15] y", body, {"w1": (2, 40, 3, 3)}, 1, monkeypatch)
    assert ("conv 3×3, max pool" in found) == (m == 0)


@pytest.mark.parametrize("tile", [0, 2, 3, 4])
@pytest.mark.parametrize("batch", [1, 30])
def test_pooling_after_winograd(tile: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 2×2 lie in tiles of even size; if others are chosen after all, pooling has its own step."""
    monkeypatch.setattr(convolution.winograd, "choose", lambda problem: 4)
    monkeypatch.setattr(convolution, "way", lambda problem, settings: tile)
    body = f"""a = Conv <pads = [1, 1, 1, 1]> (x, w1) b = Relu (a) c = MaxPool {POOL} (b) d = Sigmoid (c)
    e = Conv (d, w2) r = Conv <pads = [1, 1, 1, 1]> (e, w3) f = Add (r, e) g = Tanh (f) y = AveragePool {POOL} (g)"""
    weights = {"w1": (40, 20, 3, 3), "w2": (35, 40, 3, 3), "w3": (35, 35, 3, 3)}
    found = labels_of("20, 31, 22", "float[N, 35, 6, 4] y", body, weights, batch, monkeypatch)
    inside = [label for label in found if label.startswith(f"winograd {tile}×{tile}")]
    beside = [label for label in found if label.startswith(("max pool", "mean pool"))]
    if tile in (2, 4):
        assert [label.split(", ")[1] for label in inside] == ["max pool", "mean pool"]
        assert not beside
    else:
        assert (inside, beside) == ([], ["max pool [2, 2]", "mean pool [2, 2]"])
