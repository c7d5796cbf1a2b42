"""Quantised graphs on the native engine beside the arrays engine, and which operators become integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from striate.runtime import InferenceSession, SessionOptions
from striate.runtime.engines.native import lowering
from striate.runtime.engines.native.assembly import Assembly, Op
from striate.runtime.engines.native.kernels import conv_int8
from striate.runtime.engines.native.kernels.conv_problem import Convolution
from striate.runtime.engines.native.layouts import BYTES, Blocked
from striate.runtime.engines.native.operators import quantized_products

Ops = list[Op]


class Net:
    """A graph in which every value is quantised, as onnxruntime's quantizer writes it.

    Of scales that are `powers` of two, float32 computes exactly what integers do.
    """

    def __init__(self, dtype: type = np.uint8, seed: int = 0, powers: bool = False) -> None:
        self.powers = powers
        self.dtype, self.rng = dtype, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.parameters: dict[str, tuple[str, str]] = {}
        self.count = 0

    def given(self, name: str, shape: Sequence[int], dtype: type = np.float32) -> str:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = self.fresh("c")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = self.fresh(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def scale(self, scale: float, zero: int | None = None) -> tuple[str, str]:
        """Names of a scale and a zero point; that is 3 away from the middle unless said otherwise."""
        middle = 131 if self.dtype is np.uint8 else 3
        return self.constant(np.float32(self.rounded(scale))), self.constant(
            np.array(middle if zero is None else zero, self.dtype)
        )

    def rounded(self, scale: Any) -> Any:
        return np.exp2(np.rint(np.log2(scale))) if self.powers else scale

    def q(self, x: str, scale: float, zero: int | None = None) -> str:
        """The bytes of a value."""
        parameters = self.scale(scale, zero)
        name = self.node("QuantizeLinear", x, *parameters)
        self.parameters[name] = parameters
        return name

    def dq(self, q: str) -> str:
        return self.node("DequantizeLinear", q, *self.parameters[q])

    def weights(self, shape: Sequence[int], axis: int | None = 0, dtype: type = np.int8, zero: int = 0) -> str:
        """A dequantised constant, with a scale for each position along an axis if there is one."""
        low = -127 if dtype is np.int8 else 0
        q = self.rng.integers(low, low + 255, shape).astype(dtype)
        size = () if axis is None else shape[axis]
        scale = self.rng.uniform(0.5, 1.5, size).astype(np.float32) / np.float32(60 * np.sqrt(np.prod(shape[1:])))
        scale = np.asarray(self.rounded(scale), np.float32)
        parameters = [self.constant(q), self.constant(scale)]
        parameters.append(self.constant(np.full(size, zero, dtype)))
        self.scales = scale
        return self.node("DequantizeLinear", *parameters, **({} if axis is None else {"axis": axis}))

    def bias(self, x_scale: float, channels: int) -> str:
        """int32 in steps of the scales of x and of the weights made last."""
        q = self.rng.integers(-900, 900, channels).astype(np.int32)
        scale = np.broadcast_to(np.float32(self.rounded(x_scale)) * self.scales, channels).astype(np.float32)
        return self.node("DequantizeLinear", self.constant(q), self.constant(scale), axis=0)

    def model(self, *outputs: str, opset: int = 21) -> bytes:
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        return bytes(onnx.shape_inference.infer_shapes(made).SerializeToString())


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Ops:
    """The ops of all stretches made during a test, in which integers are always worthwhile."""
    monkeypatch.setattr(quantized_products, "worthwhile", lambda problem: True)
    seen: Ops = []

    def noted(made: Ops, *rest: Any) -> Assembly:
        seen.extend(made)
        return Assembly(made, *rest)

    monkeypatch.setattr(lowering, "Assembly", noted)
    return seen


def names(ops: Ops) -> list[str]:
    """Module and class, the modules of quantised operators as one."""
    modules = [type(op).__module__.rpartition(".")[2].removesuffix("_products") for op in ops]
    return [f"{module}.{type(op).__name__}" for module, op in zip(modules, ops, strict=True)]


def session(model: bytes, engine: str) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("striate.engine", engine)
    return InferenceSession(model, options)


def both(model: bytes, feeds: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each output of the native and of the arrays engine."""
    got, want = (session(model, engine).run(None, feeds) for engine in ("native", "arrays"))
    assert [(y.dtype, y.shape) for y in got] == [(y.dtype, y.shape) for y in want]
    return list(zip(got, want, strict=True))


def assert_near(got: np.ndarray, want: np.ndarray) -> None:
    """Bytes one apart at most, and that in isolated places."""
    assert np.unique(want).size > min(8, want.size // 2), "the test distinguishes nothing"
    apart = np.abs(got.astype(int) - want.astype(int))
    assert apart.max() <= 1
    assert (apart > 0).sum() <= 1 + apart.size // 100


def numbers(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


Q = "quantized."


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("axis", [None, 0])
def test_a_network_of_residual_blocks(dtype: type, axis: int | None, ops: Ops) -> None:
    """Bit for bit."""
    net = Net(dtype, powers=True)
    x = net.dq(net.q(net.given("x", [2, 3, 21, 19]), 0.02))
    c = net.q(
        net.node("Relu", net.node("Conv", x, net.weights((24, 3, 5, 5), axis), net.bias(0.02, 24), pads=[2] * 4)), 0.02
    )
    pool = net.node("MaxPool", net.dq(c), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    p = net.node("QuantizeLinear", pool, *net.parameters[c])
    net.parameters[p] = net.parameters[c]
    shared = net.dq(p)
    a = net.node("Conv", shared, net.weights((40, 24, 1, 1), axis), net.bias(0.02, 40))
    a = net.q(net.node("Clip", a, net.constant(np.float32(-1)), net.constant(np.float32(1.5))), 0.012)
    b = net.q(net.node("Conv", net.dq(a), net.weights((24, 40, 3, 3), axis), net.bias(0.012, 24), pads=[1] * 4), 0.011)
    s = net.q(net.node("Relu", net.node("Add", net.dq(b), shared)), 0.019)
    d = net.q(net.node("Conv", net.dq(s), net.weights((56, 24, 3, 3), axis), strides=[2, 2], pads=[1] * 4), 0.01)
    e = net.q(net.node("Conv", net.dq(s), net.weights((56, 24, 1, 1), axis), strides=[2, 2]), 0.01)
    t = net.q(net.node("Add", net.dq(d), net.dq(e)), 0.02)
    u = net.q(net.node("Add", net.dq(t), net.dq(t)), 0.04)
    g = net.q(net.node("GlobalAveragePool", net.dq(u)), 0.005)
    f = net.node("QuantizeLinear", net.node("Flatten", net.dq(g)), *net.parameters[g])
    net.parameters[f] = net.parameters[g]
    y = net.q(net.node("Gemm", net.dq(f), net.weights((37, 56), axis), net.bias(0.005, 37), transB=1), 0.002)
    model = net.model(y, net.dq(y), s, u)
    pairs = both(model, {"x": numbers((2, 3, 21, 19))})
    want = [
        Q + n for n in ("Quantize", "Convolve", "Pool", "Convolve", "Convolve", "Convolve", "Convolve", "Sum", "Mean")
    ]
    assert names(ops) == [*want, Q + "View", Q + "Convolve", Q + "Dequantize"]
    assert [getattr(op, "added", None) is not None for op in ops].count(True) == 2
    for got, right in pairs:
        assert np.unique(right).size > 20
        np.testing.assert_array_equal(got, right)


def test_a_network_of_inverted_residuals(ops: Ops) -> None:
    """Channels by themselves between wider and narrower pictures; bit for bit."""
    net = Net(powers=True)
    x = net.dq(net.q(net.given("x", [2, 20, 15, 13]), 0.02))
    w = net.q(net.node("Conv", x, net.weights((72, 20, 1, 1)), net.bias(0.02, 72)), 0.02, 0)
    d = net.node("Conv", net.dq(w), net.weights((72, 1, 3, 3)), net.bias(0.02, 72), pads=[1] * 4, group=72)
    d = net.q(net.node("Clip", d, net.constant(np.float32(0)), net.constant(np.float32(6))), 0.02, 0)
    n = net.q(net.node("Conv", net.dq(d), net.weights((20, 72, 1, 1)), net.bias(0.02, 20)), 0.02)
    s = net.q(net.node("Add", x, net.dq(n)), 0.02)
    e = net.node("Conv", net.dq(s), net.weights((20, 1, 5, 5), None), pads=[2] * 4, strides=[2, 2], group=20)
    t = net.q(e, 0.02)
    for got, want in both(net.model(t, w), {"x": numbers((2, 20, 15, 13))}):
        assert np.unique(want).size > 20
        np.testing.assert_array_equal(got, want)
    assert names(ops) == [Q + "Quantize", *[Q + "Convolve"] * 4]


@pytest.mark.parametrize("batch", [1, 5])
def test_products_with_matrices(batch: int, ops: Ops) -> None:
    net = Net(np.int8)
    x = net.dq(net.q(net.given("x", [batch, 100]), 0.02))
    m = net.q(net.node("Relu", net.node("MatMul", x, net.weights((100, 50), 1))), 0.008)
    g = net.node("Gemm", net.dq(m), net.weights((50, 33), 1), net.constant(numbers((33,))))
    y = net.q(g, 0.01)
    for got, want in both(net.model(y), {"x": numbers((batch, 100))}):
        assert_near(got, want)
    assert names(ops) == [Q + "Quantize", Q + "Convolve", Q + "Convolve"]


def test_a_bias_for_each_row(ops: Ops) -> None:
    """As many rows as columns: what is added is no bias of channels."""
    net = Net()
    x = net.dq(net.q(net.given("x", [30, 20]), 0.02))
    y = net.q(net.node("Gemm", x, net.weights((20, 30), 1), net.constant(numbers((30, 1)))), 0.02)
    for got, want in both(net.model(y), {"x": numbers((30, 20))}):
        assert_near(got, want)
    assert Q + "Convolve" not in names(ops)


def test_bytes_come_and_go(ops: Ops) -> None:
    """Inputs and outputs of bytes; a value that is read as bytes, and as float32 by an operator without a pattern."""
    net = Net(np.int8)
    net.given("x", [1, 20, 6, 7], np.int8)
    net.parameters["x"] = net.scale(0.02)
    shared = net.dq("x")
    y = net.q(net.node("Conv", shared, net.weights((8, 20, 3, 3)), pads=[1] * 4), 0.01)
    z = net.node("Sigmoid", shared)
    x = np.random.default_rng(0).integers(-128, 128, (1, 20, 6, 7)).astype(np.int8)
    (got, want), (got_z, want_z), (got_d, want_d) = both(net.model(y, z, shared), {"x": x})
    assert_near(got, want)
    np.testing.assert_allclose(got_z, want_z, rtol=1e-6)
    np.testing.assert_array_equal(got_d, want_d)
    assert Q + "Convolve" in names(ops)


def test_a_view_of_points_in_a_frame(ops: Ops) -> None:
    """The convolution wants a frame around what the product reads without one."""
    net = Net()
    x = net.dq(net.q(net.given("x", [2, 20, 6, 6]), 0.02))
    g = net.q(net.node("GlobalAveragePool", x), 0.002)
    f = net.node("QuantizeLinear", net.node("Flatten", net.dq(g)), *net.parameters[g])
    net.parameters[f] = net.parameters[g]
    y = net.q(net.node("Gemm", net.dq(f), net.weights((37, 20)), transB=1), 0.002)
    z = net.q(net.node("Conv", net.dq(g), net.weights((37, 20, 3, 3)), pads=[1] * 4), 0.001)
    for got, want in both(net.model(y, z), {"x": numbers((2, 20, 6, 6))}):
        assert_near(got, want)
    assert names(ops).count(Q + "Convolve") == 2


def test_lines(ops: Ops) -> None:
    net = Net()
    x = net.dq(net.q(net.given("x", [2, 20, 50]), 0.02))
    y = net.q(net.node("Conv", x, net.weights((24, 20, 5)), net.bias(0.02, 24), pads=[2, 2], strides=[2]), 0.01)
    for got, want in both(net.model(y), {"x": numbers((2, 20, 50))}):
        assert_near(got, want)
    assert Q + "Convolve" in names(ops)


def test_concatenation(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    x = net.dq(net.q(net.given("x", [1, 16, 6, 6]), 0.02))
    a = net.q(net.node("Conv", x, net.weights((32, 16, 1, 1))), 0.01)
    b = net.q(net.node("Conv", x, net.weights((20, 16, 3, 3)), pads=[1] * 4), 0.013)
    j = net.q(net.node("Concat", net.dq(a), net.dq(b), axis=1), 0.012)
    y = net.q(net.node("Conv", net.dq(j), net.weights((16, 52, 3, 3)), pads=[1] * 4), 0.011)
    for got, want in both(net.model(y, j), {"x": numbers((1, 16, 6, 6))}):
        assert_near(got, want)
    assert names(ops) == [Q + "Quantize", Q + "Convolve", Q + "Convolve", Q + "Join", Q + "Convolve"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("weights", [np.int8, np.uint8])
def test_qlinear_conv(dtype: type, weights: type, ops: Ops) -> None:
    """Bit for bit: the specification leaves nothing open here."""
    net, rng = Net(dtype), np.random.default_rng(0)
    net.given("x", [2, 20, 9, 8], dtype)
    info = np.iinfo(weights)
    w = rng.integers(info.min, info.max + 1, (24, 20, 3, 3)).astype(weights)
    scales = rng.uniform(0.5, 1.5, 24).astype(np.float32) * np.float32(1e-3)
    zero = np.full(24, 128 if weights is np.uint8 else 0, weights)
    b = rng.integers(-4000, 4000, 24).astype(np.int32)
    parameters = [net.constant(a) for a in (w, scales, zero)]
    y = net.node(
        "QLinearConv", "x", *net.scale(0.02), *parameters, *net.scale(0.04), net.constant(b), pads=[1, 2, 0, 1]
    )
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max + 1, (2, 20, 9, 8)).astype(dtype)
    ((got, want),) = both(net.model(y), {"x": x})
    assert np.unique(want).size > 100
    np.testing.assert_array_equal(got, want)
    assert names(ops) == [Q + "Convolve"]


class Refused:
    """Graphs in which a convolution of float32 has to stay one, by what forbids the integers."""

    @staticmethod
    def groups(net: Net, q: str) -> str:
        return net.q(net.node("Conv", net.dq(q), net.weights((32, 8, 3, 3)), group=2), 0.01)

    @staticmethod
    def weights_that_int8_does_not_hold(net: Net, q: str) -> str:
        return net.q(net.node("Conv", net.dq(q), net.weights((32, 16, 3, 3), dtype=np.uint8, zero=90)), 0.01)

    @staticmethod
    def weights_along_another_axis(net: Net, q: str) -> str:
        return net.q(net.node("Conv", net.dq(q), net.weights((32, 16, 3, 3), 1)), 0.01)

    @staticmethod
    def bias_between_steps(net: Net, q: str) -> str:
        wide = net.node("DequantizeLinear", q, *net.scale(0.5))
        w = net.node("DequantizeLinear", net.constant(np.ones((32, 16, 1, 1), np.int8)), net.constant(np.float32(0.1)))
        return net.q(net.node("Conv", wide, w, net.constant(numbers((32,)))), 0.05)

    @staticmethod
    def two_zero_points_in_one_frame(net: Net, q: str) -> str:
        w = net.weights((32, 16, 3, 3))
        other = net.node("DequantizeLinear", q, *net.scale(0.02, 90))
        one, two = (net.node("Conv", x, w, pads=[1] * 4) for x in (net.dq(q), other))
        net.extra = net.q(two, 0.02)
        return net.q(one, 0.01)

    @staticmethod
    def scales_of_channels(net: Net, q: str) -> str:
        c = net.node("Conv", net.dq(q), net.weights((32, 16, 3, 3)))
        scale = np.linspace(0.01, 0.02, 32, dtype=np.float32)
        return net.node("QuantizeLinear", c, net.constant(scale), net.constant(np.full(32, 120, np.uint8)), axis=1)


@pytest.mark.parametrize("name", [n for n in vars(Refused) if not n.startswith("_")])
def test_what_integers_cannot_do_stays_float(name: str, ops: Ops) -> None:
    net = Net()
    net.extra = ""
    y = getattr(Refused, name)(net, net.q(net.given("x", [1, 16, 8, 8]), 0.02))
    outputs = [y, *([net.extra] if net.extra else [])]
    for got, want in both(net.model(*outputs), {"x": numbers((1, 16, 8, 8))}):
        assert_near(got, want)
    assert Q + "Convolve" not in names(ops)
    assert ops


def test_other_scales_stop_the_pooling_of_bytes(ops: Ops) -> None:
    net = Net()
    x = net.dq(net.q(net.given("x", [1, 16, 8, 8]), 0.02))
    c = net.q(net.node("Conv", x, net.weights((32, 16, 3, 3))), 0.01)
    y = net.q(net.node("MaxPool", net.dq(c), kernel_shape=[2, 2]), 0.012)
    for got, want in both(net.model(y), {"x": numbers((1, 16, 8, 8))}):
        assert_near(got, want)
    assert "pictures.Pool" in names(ops)
    assert Q + "Pool" not in names(ops)


def test_another_zero_point_than_the_writer_has(ops: Ops) -> None:
    """Legal if strange: bytes read with a zero point, and a scale, that they were not written with."""
    net = Net()
    q = net.q(net.given("x", [1, 16, 8, 8]), 0.02)
    other = net.node("DequantizeLinear", q, *net.scale(0.03, 100))
    y = net.q(net.node("Conv", other, net.weights((32, 16, 3, 3)), pads=[1] * 4), 0.02)
    z = net.q(net.node("Conv", other, net.weights((32, 16, 3, 3))), 0.02)
    for got, want in both(net.model(y, z), {"x": numbers((1, 16, 8, 8))}):
        assert_near(got, want)
    assert names(ops).count(Q + "Convolve") == 1


def test_processors_without_the_instruction_prefer_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (1, 64, 56, 56)
    x, y = (Blocked(shape, 16, 1, 1, 1, 1, dtype=BYTES) for _ in range(2))
    large, small = Convolution(x, y, (3, 3), pads=(1, 1, 1, 1)), Convolution(x, y, (1, 1))
    monkeypatch.setattr(conv_int8, "dot_of_host", lambda lanes: "quads")
    assert quantized_products.worthwhile(large)
    monkeypatch.setattr(conv_int8, "dot_of_host", lambda lanes: "pairs")
    assert not quantized_products.worthwhile(large)
    assert quantized_products.worthwhile(small)
