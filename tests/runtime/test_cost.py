"""What `analyse` counts, against published figures, figures worked by hand, and counts of the products themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from striate.runtime.cost import NodeCost, Report, analyse
from striate.runtime.cost.flops import CONTROL, ELEMENTWISE, FLOPS, MOVES, UNCOUNTED
from striate.runtime.cost.macs import MACS
from striate.runtime.errors import InvalidInput, LimitExceeded
from striate.runtime.ops import registry
from striate.runtime.reader import read

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Shape = Sequence[int | str | None]
node = helper.make_node


def _value(name: str, shape: Shape | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _graph(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto] | None = None,
    outputs: Sequence[onnx.ValueInfoProto | str] = ("y",),
    weights: Mapping[str, Any] | None = None,
) -> onnx.GraphProto:
    """Weights are arrays, or shapes of float32 ones."""
    stored = {k: w if isinstance(w, np.ndarray) else np.ones(w, np.float32) for k, w in (weights or {}).items()}
    ends = [_value(v, None) if isinstance(v, str) else v for v in outputs]
    return helper.make_graph(nodes, "g", inputs or [], ends, [numpy_helper.from_array(a, k) for k, a in stored.items()])


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    weights: Mapping[str, Any] | None = None,
    outputs: Sequence[onnx.ValueInfoProto | str] = ("y",),
    opset: int = 21,
    functions: Sequence[onnx.FunctionProto] = (),
) -> bytes:
    graph = _graph(nodes, [_value(n, s) for n, s in inputs.items()], outputs, weights)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("f", 1), helper.make_opsetid("ai.onnx.ml", 5)]
    made = helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=10)
    return made.SerializeToString()


def _report(
    *args: Any, shapes: Mapping[str, Sequence[int]] | None = None, batch: int | None = None, **kw: Any
) -> Report:
    return analyse(read(_model(*args, **kw)), shapes, batch)


def _row(report: Report, name: str) -> NodeCost:
    (found,) = (n for n in report.nodes if n.name == name)
    return found


PUBLISHED = {
    # name: parameters, MACs and how close, from the papers or their authors' implementations
    "bvlc_alexnet": (60_965_224, 0.66e9, 0.02),
    "densenet121": (7_978_856 + 2 * 41_824, 2.83e9, 0.02),  # its batch normalisations have a second scale and shift
    "inception_v1": (6_998_552, 1.43e9, 0.02),
    "inception_v2": (11_214_888, 2.02e9, 0.02),
    "resnet50": (25_557_032, 4.09e9, 0.01),
    "shufflenet": (1_393_320, 0.124e9, 0.02),
    "squeezenet": (1_235_496, 0.349e9, 0.01),
    "vgg19": (143_667_240, 19.63e9, 0.001),
    "zfnet512": (87_250_536, 1.48e9, 0.01),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    parameters, macs, close = PUBLISHED[name]
    report = analyse(read(LIGHT / f"light_{name}.onnx"))
    assert report.parameters == parameters
    assert report.macs == pytest.approx(macs, rel=close)
    assert not report.uncounted
    assert not report.notes


def test_lenet5_by_hand() -> None:
    """C1 6@28×28, S2 14×14, C3 16@10×10, S4 5×5, then 120, 84 and 10 units."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "C1"),
        node("Tanh", ["c1"], ["t1"], "T1"),
        node("AveragePool", ["t1"], ["s2"], "S2", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["s2", "w3", "b3"], ["c3"], "C3"),
        node("MaxPool", ["c3"], ["s4"], "S4", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["s4"], ["f"], "flat"),
        *(
            node("Gemm", [a, f"w{i}", f"b{i}"], [y], f"F{i}")
            for a, i, y in (("f", 5, "h"), ("h", 6, "k"), ("k", 7, "y"))
        ),
    ]
    weights = {
        "w1": (6, 1, 5, 5), "b1": (6,), "w3": (16, 6, 5, 5), "b3": (16,),
        "w5": (400, 120), "b5": (120,), "w6": (120, 84), "b6": (84,), "w7": (84, 10), "b7": (10,),
    }  # fmt: skip
    report = _report(nodes, {"x": ("N", 1, 32, 32)}, weights)
    assert report.parameters == 156 + 2416 + 48_120 + 10_164 + 850
    assert report.weight_bytes == 4 * report.parameters
    assert report.macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert report.flops == 2 * report.macs + 28 * 28 * 6 + 14 * 14 * 6 * 4 + 5 * 5 * 16 * 4
    seen = {n.name: (n.field, n.stride, n.start) for n in report.nodes}
    assert seen == {
        "C1": ((5, 5), (1, 1), (2, 2)),
        "T1": ((5, 5), (1, 1), (2, 2)),
        "S2": ((6, 6), (2, 2), (2.5, 2.5)),
        "C3": ((14, 14), (2, 2), (6.5, 6.5)),
        "S4": ((16, 16), (4, 4), (7.5, 7.5)),
        **dict.fromkeys(("flat", "F5", "F6", "F7"), ((), (), ())),
    }
    assert _row(report, "C1").bytes_read == 4 * (32 * 32 + 156)
    assert report.peak_bytes == 4 * 2 * 6 * 28 * 28  # the input is gone when the activation is made
    assert "taken as 1" in report.notes[0]


def _dot_products(op: str, x: tuple[int, ...], w: tuple[int, ...], **attributes: Any) -> int:
    """MACs found by letting every weight be 1: with inputs of 1 and no padding each result counts its products."""
    attrs = {"strides": (1, 1), "dilations": (1, 1), "group": 1, "kernel_shape": w[2:], **attributes}
    version = registry.lookup("", op, 21)
    kernel_attrs = {k: v for k, v in attrs.items() if k in version.attributes}
    made = version.kernel(np, np.ones(x), np.ones(w), **version.bind(kernel_attrs))
    return int(np.asarray(made).sum())


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize(("group", "stride", "dilation"), [(1, 1, 1), (2, 2, 1), (4, 1, 2), (1, 3, 2)])
def test_macs_of_convolutions(op: str, group: int, stride: int, dilation: int) -> None:
    w = (4, 4 // group, 3, 2) if op == "Conv" else (4, 6 // group if 6 % group == 0 else 1, 3, 2)
    attributes = {"strides": [stride] * 2, "dilations": [dilation] * 2, "group": group, "kernel_shape": [3, 2]}
    report = _report([node(op, ["x", "w"], ["y"], **attributes)], {"x": (2, 4, 9, 8)}, {"w": w})
    assert report.macs == _dot_products(op, (2, 4, 9, 8), w, **attributes) > 0


def _einsum(equation: str, *shapes: Shape) -> tuple[list[onnx.NodeProto], dict[str, Shape]]:
    names = [f"x{i}" for i in range(len(shapes))]
    return [node("Einsum", names, ["y"], equation=equation)], dict(zip(names, shapes, strict=True))


def _inputs(op: str, *shapes: Shape, outputs: int = 1, **attributes: Any) -> tuple[list[Any], dict[str, Shape]]:
    names = [f"x{i}" for i in range(len(shapes))]
    given = [n if s is not None else "" for n, s in zip(names, shapes, strict=True)]
    made = node(op, given, ["y", *(f"y{i}" for i in range(1, outputs))], **attributes)
    return [made], {n: s for n, s in zip(names, shapes, strict=True) if s is not None}


PRODUCTS: dict[str, tuple[tuple[list[Any], dict[str, Shape]], int, int]] = {
    # name: graph, MACs by hand, opset
    "Gemm": (_inputs("Gemm", (5, 3), (3, 7)), 5 * 3 * 7, 21),
    "Gemm, both turned": (_inputs("Gemm", (3, 5), (7, 3), transA=1, transB=1), 5 * 3 * 7, 21),
    "MatMul, stacked": (_inputs("MatMul", (2, 1, 5, 3), (4, 3, 7)), 2 * 4 * 5 * 3 * 7, 21),
    "MatMul, vectors": (_inputs("MatMul", (3,), (3,)), 3, 21),
    "RNN": (_inputs("RNN", (6, 2, 3), (1, 5, 3), (1, 5, 5), hidden_size=5), 6 * 2 * 5 * (3 + 5), 21),
    "GRU": (_inputs("GRU", (6, 2, 3), (1, 15, 3), (1, 15, 5), hidden_size=5), 6 * 2 * 3 * 5 * (3 + 5), 21),
    "LSTM, two ways": (
        _inputs("LSTM", (6, 2, 3), (2, 20, 3), (2, 20, 5), hidden_size=5, direction="bidirectional"),
        2 * 6 * 2 * 4 * 5 * (3 + 5),
        21,
    ),
    "Attention, heads apart": (
        _inputs("Attention", (2, 4, 6, 8), (2, 4, 7, 8), (2, 4, 7, 9)), 2 * 4 * 6 * 7 * (8 + 9), 23
    ),
    "Attention, fewer keys": (
        _inputs("Attention", (2, 6, 32), (2, 7, 16), (2, 7, 18), q_num_heads=4, kv_num_heads=2),
        2 * 4 * 6 * 7 * (8 + 9), 23
    ),
    "Attention, cached": (
        _inputs(
            "Attention", (2, 4, 1, 8), (2, 4, 1, 8), (2, 4, 1, 8), None, (2, 4, 5, 8), (2, 4, 5, 8), outputs=3
        ),
        2 * 4 * 1 * (1 + 5) * 16,
        23,
    ),
    "Einsum, matrices": (_einsum("ij,jk->ik", (5, 3), (3, 7)), 5 * 3 * 7, 21),
    "Einsum, implicit": (_einsum("bij,bjk", (2, 5, 3), (2, 3, 7)), 2 * 5 * 3 * 7, 21),
    "Einsum, dots": (_einsum("...ij,...jk->...ik", (2, 1, 5, 3), (4, 3, 7)), 2 * 4 * 5 * 3 * 7, 21),
    "Einsum, outer": (_einsum("i,j->ij", (5,), (7,)), 0, 21),
    "Einsum, turned": (_einsum("ij->ji", (5, 3)), 0, 21),
    "DeformConv": (_inputs("DeformConv", (1, 4, 5, 5), (6, 4, 3, 3), (1, 18, 3, 3)), 6 * 9 * 4 * 9, 19),
    "AffineGrid": (
        ([node("AffineGrid", ["t", "size"], ["y"])], {"t": (2, 2, 3)}), 2 * 4 * 5 * 2 * 3, 20
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_macs_by_hand(name: str) -> None:
    (nodes, inputs), macs, opset = PRODUCTS[name]
    weights = {"size": np.asarray([2, 3, 4, 5])} if name == "AffineGrid" else {}
    report = _report(nodes, inputs, weights, opset=opset)
    assert report.macs == macs
    assert not report.uncounted


def test_integer_products() -> None:
    x, one = np.ones((4, 3), np.int8), np.ones((), np.float32)
    zero = np.zeros((), np.int8)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        node("MatMulInteger", ["q", "w"], ["a"], "integer"),
        node("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["b"], "linear"),
        node("DequantizeLinear", ["w", "s", "z"], ["d"], "d"),
        node("MatMul", ["x", "d"], ["c"], "float"),
    ]
    report = _report(nodes, {"x": (5, 4)}, {"w": x, "s": one, "z": zero}, outputs=("a", "b", "c"))
    assert [_row(report, n).macs for n in ("integer", "linear", "float")] == [60, 60, 60]
    assert (report.parameters, report.weight_bytes, report.constants) == (12, 12, 2)
    assert _row(report, "d").engine == "folded"
    assert _row(report, "float").parameters == 12


def test_every_operator_of_the_specification_is_in_one_table() -> None:
    tables = [set(MACS), set(FLOPS), set(MOVES), set(CONTROL), set(UNCOUNTED)]
    for a, b in product(range(len(tables)), repeat=2):
        assert a == b or not tables[a] & tables[b]
    known = {(s.domain, s.name) for s in onnx.defs.get_all_schemas_with_history()}
    everything = set.union(*tables)
    assert not known - everything
    assert {key for key in everything - known if key[0] != "com.microsoft"} == set()
    assert set(ELEMENTWISE) <= set(FLOPS)


FLOPS_BY_HAND: dict[str, tuple[tuple[list[Any], dict[str, Shape]], int]] = {
    "Relu": (_inputs("Relu", (2, 3, 4)), 24),
    "Add, broadcast": (_inputs("Add", (2, 1, 4), (3, 1)), 24),
    "Sum of three": (_inputs("Sum", (4,), (4,), (4,)), 8),
    "MaxPool": (_inputs("MaxPool", (1, 2, 4, 4), kernel_shape=[2, 2], strides=[2, 2]), 2 * 4 * 4),
    "GlobalAveragePool": (_inputs("GlobalAveragePool", (1, 2, 4, 4)), 32),
    "Softmax": (_inputs("Softmax", (2, 3)), 30),
    "ReduceSum": (_inputs("ReduceSum", (2, 3)), 6),
    "LRN": (_inputs("LRN", (1, 4, 2, 2), size=3), 16 * 8),
    "Transpose": (_inputs("Transpose", (2, 3)), 0),
    "Det": (_inputs("Det", (2, 3, 3)), 36),
    "GridSample": (_inputs("GridSample", (1, 2, 4, 4), (1, 3, 3, 2)), 2 * 9 * 2 * 4),
}


@pytest.mark.parametrize("name", FLOPS_BY_HAND)
def test_flops_by_hand(name: str) -> None:
    (nodes, inputs), flops = FLOPS_BY_HAND[name]
    report = _report(nodes, inputs)
    assert (report.macs, report.flops) == (0, flops)


def _seen(nodes: list[onnx.NodeProto], size: int, weights: Mapping[str, Any]) -> tuple[int, int, int]:
    """Field, stride and first position of a graph along its last axis, by changing one input at a time."""
    from striate.runtime import InferenceSession

    inputs = {"x": (1, 1, 4, size)}
    session = InferenceSession(_model(nodes, inputs, weights))
    base = session.run(None, {"x": np.zeros((1, 1, 4, size), np.float32)})[0]
    touched = []
    for i in range(size):
        x = np.zeros((1, 1, 4, size), np.float32)
        x[..., i] = 1
        changed = (session.run(None, {"x": x})[0] != base).reshape(-1, base.shape[-1]).any(0)
        touched.append(changed)
    by_output = np.asarray(touched).T
    middle = by_output.shape[0] // 2
    first, after = (np.flatnonzero(by_output[i]) for i in (middle, middle + 1))
    stride = int(after[0] - first[0])
    return int(first[-1] - first[0] + 1), stride, int(first[0]) - middle * stride


CHAINS: dict[str, list[onnx.NodeProto]] = {
    "padded": [node("Conv", ["x", "w"], ["y"], pads=[1, 2, 1, 2])],
    "dilated": [node("Conv", ["x", "w"], ["y"], dilations=[1, 3], pads=[1, 0, 1, 0])],
    "same, even": [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[1, 2])],
    "same, lower": [node("AveragePool", ["x"], ["y"], auto_pad="SAME_LOWER", kernel_shape=[1, 4])],
    "three": [
        node("Conv", ["x", "w"], ["a"], strides=[1, 2], pads=[1, 1, 1, 1]),
        node("AveragePool", ["a"], ["b"], kernel_shape=[1, 3], strides=[1, 2]),
        node("Conv", ["b", "w"], ["y"], pads=[1, 1, 1, 1]),
    ],
    "branches": [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("AveragePool", ["x"], ["b"], kernel_shape=[1, 5], pads=[0, 2, 0, 2]),
        node("Concat", ["a", "b", "x"], ["y"], axis=1),
    ],
    "residual": [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "w"], ["b"], pads=[1, 1, 1, 1]),
        node("Add", ["b", "x"], ["y"]),
    ],
    "cut": [
        node("Slice", ["x", "from", "to", "axis", "step"], ["a"]),
        node("Conv", ["a", "w"], ["y"], pads=[1, 0, 1, 0]),
    ],
    "padding apart": [node("Pad", ["x", "pads"], ["a"]), node("Conv", ["a", "w"], ["y"], strides=[1, 2])],
    "turned": [
        node("Transpose", ["x"], ["a"], perm=[0, 1, 3, 2]),
        node("Conv", ["a", "w"], ["b"], pads=[1, 1, 1, 1], strides=[3, 1]),
        node("Transpose", ["b"], ["y"], perm=[0, 1, 3, 2]),
    ],
}


@pytest.mark.parametrize("name", CHAINS)
def test_receptive_fields_are_what_outputs_react_to(name: str) -> None:
    weights = {
        "w": np.ones((1, 1, 3, 3), np.float32), "from": np.asarray([3]), "to": np.asarray([100]),
        "axis": np.asarray([3]), "step": np.asarray([2]), "pads": np.asarray([0, 0, 0, 2, 0, 0, 0, 1]),
    }  # fmt: skip
    used = {n for step in CHAINS[name] for n in step.input}
    weights = {k: v for k, v in weights.items() if k in used}
    row = _report(CHAINS[name], {"x": (1, 1, 4, 40)}, weights).nodes[-1]
    size, stride, first = _seen(CHAINS[name], 40, weights)
    assert (row.field[-1], row.stride[-1]) == (size, stride)
    assert row.start[-1] == first + (size - 1) / 2


def test_receptive_fields_without_meaning_or_end() -> None:
    nodes = [
        node("Relu", ["x"], ["r"], "before"),
        node("Conv", ["r", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", ["c"], ["g"], "pool"),
        node("Mul", ["c", "g"], ["m"], "gate"),
        node("MaxPool", ["c"], ["p"], "down", kernel_shape=[2, 2], strides=[2, 1], pads=[0, 0, 0, 1]),
        node("Slice", ["c", "zero", "half", "axis"], ["h"], "half"),
        node("Add", ["p", "h"], ["u"], "uneven"),
        node("ConvTranspose", ["c", "w"], ["y"], "up", strides=[2, 2]),
    ]
    weights = {"w": (2, 2, 3, 3), "zero": np.asarray([0]), "half": np.asarray([4]), "axis": np.asarray([2])}
    report = _report(nodes, {"x": (1, 2, 8, 8)}, weights, outputs=("m", "u", "y"))
    assert _row(report, "before").field == ()
    assert _row(report, "conv").field == (3, 3)
    assert _row(report, "pool").field == _row(report, "gate").field == (inf, inf)
    assert _row(report, "gate").as_dict()["field"] == ["all", "all"]
    assert _row(report, "uneven").field == (None, 4)
    assert _row(report, "uneven").stride == (None, 1)
    assert _row(report, "up").field == ()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("bvlc_alexnet", 195),  # as Araujo et al. give it
        ("vgg19", 212 + 8 + 16 + 32),  # their VGG-16, and a 3×3 convolution more at the jumps 4, 8 and 16
        ("resnet50", 11 + 3 * 8 + (8 + 3 * 16) + (16 + 5 * 32) + (32 + 2 * 64)),  # strides in the 3×3 convolutions
    ],
)
def test_published_receptive_fields(name: str, field: int) -> None:
    report = analyse(read(LIGHT / f"light_{name}.onnx"))
    last = [n for n in report.nodes if n.op_type in ("Conv", "MaxPool")][-1]
    assert (last.field, last.stride) == ((field, field), (32, 32))


def test_channel_shuffle_keeps_the_field() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Reshape", ["c", "apart"], ["a"]),
        node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["t", "together"], ["s"]),
        node("Conv", ["s", "w"], ["y"]),
    ]
    weights = {"w": (4, 4, 3, 3), "apart": np.asarray([0, 2, 2, 7, 6]), "together": np.asarray([0, -1, 7, 6])}
    assert _report(nodes, {"x": (1, 4, 9, 8)}, weights).nodes[-1].field == (5, 5)


def test_shared_and_statistical_weights() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"], "one", pads=[1, 1, 1, 1]),
        node("Conv", ["a", "w"], ["b"], "two", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["b", "v", "v2", "m", "s"], ["c"], "norm"),
        node("Transpose", ["k"], ["kt"], "turn"),
        node("MatMul", ["c", "kt"], ["d"], "matmul"),
        node("Div", ["d", "two55"], ["e"], "scale"),
        node("Clip", ["e", "low"], ["y"], "clip"),
    ]
    weights = {
        "w": (2, 2, 3, 3), "v": (2,), "v2": (2,), "m": (2,), "s": (2,), "k": (7, 5),
        "two55": np.full((), 255, np.float32), "low": np.zeros((), np.float32), "unused": np.asarray(["text"], object),
    }  # fmt: skip
    report = _report(nodes, {"x": (1, 2, 5, 5)}, weights)
    assert report.parameters == 36 + 4 + 35
    assert report.constants == 2 + 2 + 1 + 1 + 1
    assert {n.name: n.parameters for n in report.nodes if n.parameters} == {
        "one": 36,
        "two": 36,
        "norm": 4,
        "matmul": 35,
    }
    assert _row(report, "turn").engine == "folded"


def test_symbolic_dimensions() -> None:
    nodes = [node("Shape", ["x"], ["s"], "shape", end=1), node("Conv", ["x", "w"], ["c"], "conv")]
    nodes += [node("Concat", ["s", "rest"], ["t"], "cat", axis=0), node("Reshape", ["c", "t"], ["y"], "flat")]
    args = nodes, {"x": ("N", 3, "H", "W")}, {"w": (4, 3, 3, 3), "rest": np.asarray([-1])}
    open_ = _report(*args)
    assert open_.macs == 0
    assert open_.uncounted == {"Conv": 1}
    assert "give --shape x=1x3x?x?" in open_.notes[1]
    assert open_.inputs[0].shape == ("N", 3, "H", "W")
    bound = _report(*args, shapes={"x": (2, 3, 5, 6)})
    assert bound.macs == 2 * 4 * 3 * 4 * 27
    assert not bound.notes
    assert _row(bound, "flat").outputs[0].shape == (2, 4 * 3 * 4)
    assert _row(bound, "cat").engine == "folded"
    batch = _report([node("MatMul", ["x", "w"], ["y"])], {"x": ("N", 3)}, {"w": (3, 4)}, batch=5)
    assert batch.macs == 60


@pytest.mark.parametrize(
    ("shapes", "batch", "match"),
    [
        ({"z": (1,)}, None, "no input 'z'"),
        ({"x": (1, 3)}, None, "has 3 dimensions; 1×3 has 2"),
        ({"x": (1, 4, 2)}, None, "dimension 1 is 3; 1×4×2 has 4"),
        ({"x": (1, 3, 2), "u": (4,)}, None, r"dimension 0 \(L\) is 2; 4 has 4"),
        ({"x": (1, 3, 2)}, 7, "no input has an open first dimension"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], batch: int | None, match: str) -> None:
    nodes = [node("Add", ["x", "u"], ["y"])]
    with pytest.raises(InvalidInput, match=match):
        _report(nodes, {"x": (None, 3, "L"), "u": ("L",)}, shapes=shapes, batch=batch)


def test_loops_and_branches() -> None:
    body = _graph(
        [node("MatMul", ["h", "w"], ["h2"], "inner"), node("Identity", ["go"], ["more"], "id")],
        [_value("i", (), INT64), _value("go", (), BOOL), _value("h", (2, 4))],
        [_value("more", (), BOOL), "h2", "h2"],
        {"w": (4, 4)},
    )
    branches = {
        "then_branch": _graph([node("MatMul", ["x", "big"], ["t"], "then")], None, ["t"], {"big": (4, 9)}),
        "else_branch": _graph([node("Relu", ["x"], ["e"], "else")], None, ["e"]),
    }
    nodes = [
        node("Loop", ["trips", "", "x"], ["z", "all"], "loop", body=body),
        node("ReduceMax", ["x"], ["top"], keepdims=0),
        node("Greater", ["top", "zero"], ["cond"]),
        node("If", ["cond"], ["y"], "if", **branches),
    ]
    weights = {"trips": np.asarray(3), "zero": np.zeros((), np.float32)}
    report = _report(nodes, {"x": (2, 4)}, weights, outputs=("z", "all", "y"))
    assert report.parameters == 16 + 36
    assert (_row(report, "loop").macs, _row(report, "if").macs) == (32, 72)
    assert report.macs == 32 + 72
    assert [(n.name, n.depth, n.body) for n in report.nodes if n.depth] == [
        ("inner", 1, "body"), ("id", 1, "body"), ("else", 1, "else_branch"), ("then", 1, "then_branch")
    ]  # fmt: skip
    assert _row(report, "loop").inside == 2
    assert _row(report, "loop").outputs[0].shape == (2, 4)
    assert any("body of a loop is counted once" in n for n in report.notes)
    assert any("branches of an If" in n for n in report.notes)
    assert "loop" not in [n.name for n in report.largest(9)]


def test_scan_sees_one_step() -> None:
    body = _graph(
        [node("Add", ["s", "e"], ["s2"]), node("MatMul", ["s2", "w"], ["o"], "inner")],
        [_value("s", (4,)), _value("e", (4,))],
        ["s2", "o"],
    )
    nodes = [node("Scan", ["s0", "x"], ["end", "y"], "scan", body=body, num_scan_inputs=1)]
    report = _report(nodes, {"s0": (4,), "x": (7, 4)}, {"w": (4, 3)}, outputs=("end", "y"))
    assert _row(report, "inner").macs == 12
    assert report.parameters == 12
    assert [v.shape for v in _row(report, "scan").outputs] == [(4,), (7, 3)]


def _function(name: str, nodes: list[onnx.NodeProto], attributes: Sequence[str] = ()) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("f", 1)]
    return helper.make_function("f", name, ["a", "w"], ["b"], nodes, imports, attributes)


def test_functions_are_counted_for_every_call() -> None:
    pooled = node("AveragePool", ["c"], ["b"], "pool", kernel_shape=[2, 2])
    strides = pooled.attribute.add(name="strides", type=onnx.AttributeProto.INTS)
    strides.ref_attr_name = "steps"
    halve = _function("Block", [node("Conv", ["a", "w"], ["c"], "conv"), pooled], ["steps"])
    nodes = [
        node("Block", ["x", "w1"], ["h"], "first", domain="f", steps=[2, 2]),
        node("Block", ["h", "w2"], ["y"], "second", domain="f"),
    ]
    report = _report(nodes, {"x": (1, 2, 12, 12)}, {"w1": (3, 2, 3, 3), "w2": (2, 3, 3, 3)}, functions=[halve])
    assert [_row(report, n).outputs[0].shape for n in ("first", "second")] == [(1, 3, 5, 5), (1, 2, 2, 2)]
    assert report.macs == 100 * 3 * 18 + 9 * 2 * 27
    assert report.parameters == 2 * 54
    assert [n.engine for n in report.nodes] == ["function body", "native", "native"] * 2
    assert _row(report, "second").field == (4 + 2 * 3, 4 + 2 * 3)
    assert report.peak_bytes == 4 * (2 * 144 + 3 * 100 + 3 * 25)


def test_constants_in_functions_count_once() -> None:
    constant = node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones((4, 4), np.float32)))
    twice = _function("Twice", [constant, node("MatMul", ["a", "k"], ["b"])])
    nodes = [node("Twice", ["x"], ["h"], domain="f"), node("Twice", ["h"], ["y"], domain="f")]
    report = _report(nodes, {"x": (2, 4)}, functions=[twice])
    assert (report.macs, report.parameters) == (64, 16)


def test_functions_cannot_multiply_without_end() -> None:
    """Twenty-four functions, each of which calls the next twice: sixteen million nodes in two kilobytes."""
    functions = []
    for i in range(24):
        calls = [node(f"F{i + 1}", ["a", "w"], ["m"], domain="f"), node(f"F{i + 1}", ["m", "w"], ["b"], domain="f")]
        functions.append(_function(f"F{i}", calls))
    functions.append(_function("F24", [node("Add", ["a", "w"], ["b"])]))
    model = _model([node("F0", ["x", "x"], ["y"], domain="f")], {"x": (1,)}, functions=functions)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(LimitExceeded, match="more than 500 nodes"):
        patch.setattr("striate.runtime.cost.analysis.MAX_NODES", 500)
        analyse(ir.from_proto(onnx.load_from_string(model)))


def test_peak_of_branches_and_views() -> None:
    """x, a, b of 4 elements; a and its view live on: x, a, b; a, b, c(8); a, c, d(1); a, d, y(4); a, y, z(4)."""
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Exp", ["x"], ["b"]),
        node("Reshape", ["a", "flat"], ["v"]),
        node("Concat", ["b", "b"], ["c"], axis=0),
        node("ReduceSum", ["c", "axes"], ["d"], keepdims=0),
        node("Mul", ["v", "d"], ["y"]),
        node("Neg", ["a"], ["z"]),
    ]
    weights = {"flat": np.asarray([4]), "axes": np.asarray([0, 1])}
    report = _report(nodes, {"x": (2, 2)}, weights, outputs=("y", "z"))
    assert report.peak_bytes == 4 * max(4 + 4 + 4, 4 + 4 + 8, 4 + 8 + 1, 4 + 1 + 4, 4 + 4 + 4)
    assert report.constants == 3
    assert not report.notes


def test_unknown_operators_are_told() -> None:
    graph = _graph(
        [
            node("Magic", ["x"], ["h"], "magic", domain="elsewhere"),
            node("FusedConv", ["h", "w"], ["c"], "fused", domain="com.microsoft", pads=[1, 1, 1, 1]),
            node("Mish", ["c"], ["y"], "body"),
        ],
        [_value("x", ("N", 2, 4, 4))],
        ["y"],
        {"w": (3, 2, 3, 3)},
    )
    graph.value_info.extend([_value("h", ("N", 2, 4, 4)), _value("c", ("N", 3, 4, 4))])
    imports = [
        helper.make_opsetid("", 21),
        helper.make_opsetid("elsewhere", 1),
        helper.make_opsetid("com.microsoft", 1),
    ]
    report = analyse(ir.from_proto(helper.make_model(graph, opset_imports=imports)), batch=2)
    assert [n.engine for n in report.nodes[:2]] == ["not supported"] * 2
    assert _row(report, "magic").macs is None
    assert _row(report, "magic").outputs[0].shape == (2, 2, 4, 4)
    assert report.macs == 2 * 3 * 16 * 18
    assert report.parameters == 54
    assert report.uncounted == {"elsewhere.Magic": 1}
    assert prod(report.nodes[-1].outputs[0].shape or ()) == 96


def test_folded_weights_without_data_are_counted() -> None:
    nodes = [
        node("ConstantOfShape", ["shape"], ["w"], "made"),
        node("Unsqueeze", ["w", "axis"], ["u"], "wide"),
        node("Mul", ["x", "u"], ["y"], "mul"),
    ]
    report = _report(nodes, {"x": (2, 3, 5)}, {"shape": np.asarray([3]), "axis": np.asarray([1])})
    assert (report.parameters, report.weight_bytes, report.constants) == (3, 12, 2)
    assert _row(report, "mul").parameters == 3
    assert [n.engine for n in report.nodes] == ["folded", "folded", "arrays"]


def test_where_nodes_run() -> None:
    """Machine code for stretches that hold a convolution or product; nothing else, and no body of an If."""
    then = _graph([node("Conv", ["q", "w"], ["a"], "in a body")], outputs=["a"])
    other = _graph([node("Identity", ["q"], ["b"])], outputs=["b"])
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("Dropout", ["c"], ["d", "mask"], "idle"),
        node("Relu", ["d"], ["r"], "relu"),
        node("CumSum", ["r", "axis"], ["s"], "sum"),
        node("Sqrt", ["s"], ["q"], "alone"),
        node("ReduceMax", ["q"], ["top"], "most", keepdims=0),
        node("Greater", ["top", "zero"], ["cond"], "positive"),
        node("If", ["cond"], ["y"], "if", then_branch=then, else_branch=other),
    ]
    weights = {"w": (3, 3, 3, 3), "axis": np.asarray(2, np.int64), "zero": np.zeros((), np.float32)}
    model = read(_model(nodes, {"x": (1, 3, 8, 8)}, weights))
    found = {n.name: n.engine for n in analyse(model).nodes}
    assert found.pop("b") == "arrays"
    assert found == {
        "conv": "native", "idle": "native", "relu": "native", "sum": "arrays", "alone": "arrays", "if": "arrays",
        "in a body": "arrays", "most": "arrays", "positive": "arrays",
    }  # fmt: skip


def test_missing_weights_do_not_change_where_nodes_run(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], "conv")]
    path = tmp_path / "m.onnx"
    content = onnx.load_from_string(_model(nodes, {"x": (1, 3, 8, 8)}, {"w": (3, 3, 3, 3)}))
    onnx.save(content, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    model = ir.from_proto(onnx.load(path, load_external_data=False))
    assert [n.engine for n in analyse(model).nodes] == ["native"]
    assert model.graph.initializers["w"].const_value is None
