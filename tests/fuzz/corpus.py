"""Valid small models to start mutations from, each with a set of inputs it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.conformance.suites import all_tests

LARGEST = 6000
"""Bytes of a model: mutations of larger ones mostly hit weights."""


@dataclass(frozen=True)
class Sample:
    name: str
    model: bytes
    feeds: dict[str, Any]


@cache
def samples() -> tuple[Sample, ...]:
    """ONNX's node tests, the small ones of its `simple` tests, and models with functions, subgraphs and sequences."""
    return (*_suite("node"), *_suite("simple"), *_by_hand())


def _suite(kind: str) -> Iterator[Sample]:
    for test in all_tests(kind):
        model = test.model
        data = model.SerializeToString()
        found = next(iter(test.data_sets()), None)
        if len(data) <= LARGEST and found is not None:
            yield Sample(test.name, data, dict(zip((v.name for v in model.graph.input), found[0], strict=False)))


def _model(text: str, **feeds: Any) -> Sample:
    proto = onnx.parser.parse_model(text)
    return Sample(proto.graph.name, proto.SerializeToString(), feeds)


def _by_hand() -> Iterator[Sample]:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for text in _TEXTS:
        yield _model(text, x=x, n=np.asarray(3, np.int64), c=np.asarray(True))
    yield _nested()
    yield _dictionary()
    sparse = onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 21]> s (float[2,3] x) => (y) {y = Add(x, w)}')
    stored = sparse.graph.sparse_initializer.add(dims=[2, 3])
    stored.values.CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "w"))
    stored.indices.CopyFrom(numpy_helper.from_array(np.array([1, 5])))
    yield Sample("sparse", sparse.SerializeToString(), {"x": x})


_TEXTS = (
    """<ir_version: 10, opset_import: ["": 21, "own": 1]>
    functions (float[2,3] x) => (float[N,M] y, z) {
        a = own.twice <slope = 0.5> (x)
        y = own.outer (a)
        z = Softmax <axis = -1> (y)
    }
    <domain: "own", opset_import: ["": 21]>
    twice <slope> (u) => (v) { w = LeakyRelu <alpha: float = @slope> (u)  v = Add(w, w) }
    <domain: "own", opset_import: ["": 21, "own": 1]>
    outer (u) => (v) { a = own.twice <slope = 2.0> (u)  b = Transpose(a)  v = MatMul(a, b) }
    """,
    """<ir_version: 10, opset_import: ["": 21]>
    sequences (float[2,3] x, int64 n) => (y, float[N] z, k) {
        s = SplitToSequence <axis = 0> (x, n1)
        t = SequenceInsert(s, x)
        zero = Constant <value = int64 {0}> ()
        e = SequenceErase(t, zero)
        y = ConcatFromSequence <axis = 0> (e)
        k = SequenceLength(e)
        o = Optional(x)
        h = OptionalHasElement(o)
        g = OptionalGetElement(o)
        z = Reshape(g, m)
        n1 = Sub(n, two)
        two = Constant <value = int64 {2}> ()
        m = Constant <value_ints = [-1]> ()
    }
    """,
    """<ir_version: 10, opset_import: ["": 21]>
    shapes (float[2,3] x) => (float[a,b] y, float[c] z) <float[4] w = {1, 2, 3, 4}, int64[2] r = {2, 1}> {
        s = Shape(x)
        t = Mul(s, r)
        e = Expand(w1, t)
        w1 = Constant <value = float[1] {3.0}> ()
        u = Tile(x, r)
        y = Concat <axis = 0> (e, u)
        q = NonZero(x)
        p = Gather <axis = 1> (q, zero)
        zero = Constant <value_ints = [0]> ()
        f = Cast <to = 1> (p)
        z = ReduceSum(f)
    }
    """,
    """<ir_version: 10, opset_import: ["": 21]>
    convolution (float[1,1,5,5] image) => (y)
    <float[2,1,3,3] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}, float[2] b = {0,1}> {
        a = Conv <kernel_shape = [3,3], strides = [1,1], pads = [1,1,1,1], dilations = [1,1]> (image, w, b)
        c = BatchNormalization (a, b, b, b, v)
        v = Constant <value_floats = [1.0, 2.0]> ()
        d = MaxPool <kernel_shape = [2,2], strides = [2,2]> (c)
        y = Flatten (d)
    }
    """,
    """<ir_version: 10, opset_import: ["": 21]>
    text (string[3] x_text) => (y, z, u) {
        y = StringConcat(x_text, x_text)
        z = StringNormalizer <case_change_action = "UPPER"> (x_text)
        u, w = StringSplit <delimiter = "a"> (x_text)
    }
    """,
)  # fmt: skip


def _info(name: str, dims: Any, code: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, code, dims)


def _nested() -> Sample:
    """A Loop with an If in it that reads from around both, then a Scan."""
    then = helper.make_graph([helper.make_node("Add", ["s", "x"], ["t"])], "then", [], [_info("t", [2, 3])])
    other = helper.make_graph([helper.make_node("Mul", ["s", "k"], ["t2"])], "else", [], [_info("t2", None)])
    body = helper.make_graph(
        [
            helper.make_node("If", ["c"], ["s_out"], then_branch=then, else_branch=other),
            helper.make_node("Less", ["i", "n"], ["going"]),
            helper.make_node("ReduceSum", ["s_out"], ["r"], keepdims=0),
        ],
        "body",
        [_info("i", [], 7), _info("going_in", [], 9), _info("s", [2, 3])],
        [_info("going", [], 9), _info("s_out", None), _info("r", [])],
        [numpy_helper.from_array(np.float32(2), "k")],
    )
    step = helper.make_graph(
        [helper.make_node("Add", ["p", "q"], ["p_out"]), helper.make_node("Identity", ["p_out"], ["o"])],
        "step",
        [_info("p", [3]), _info("q", [3])],
        [_info("p_out", [3]), _info("o", [3])],
    )
    nodes = [
        helper.make_node("Loop", ["n", "", "x"], ["last", "sums"], body=body),
        helper.make_node("ReduceSum", ["last", "zero"], ["start"], keepdims=0),
        helper.make_node("Scan", ["start", "last"], ["end", "steps"], body=step, num_scan_inputs=1),
    ]
    graph = helper.make_graph(
        nodes,
        "nested",
        [_info("x", [2, 3]), _info("n", [], 7), _info("c", [], 9)],
        [_info("sums", ["n"]), _info("end", None), _info("steps", None)],
        [numpy_helper.from_array(np.array([0]), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    feeds = {"x": np.ones((2, 3), np.float32), "n": np.asarray(3, np.int64), "c": np.asarray(True)}
    return Sample("nested", model.SerializeToString(), feeds)


def _dictionary() -> Sample:
    """ZipMap after a linear classifier."""
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[1.0, 2.0, 3.0, 0.5, 0.25, 0.125],
            intercepts=[0.0, 1.0],
            classlabels_ints=[0, 1],
            post_transform="SOFTMAX",
        ),
        helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
    ]
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, [])))
    graph = helper.make_graph(
        nodes, "maps", [_info("x", ["N", 3])], [_info("label", ["N"], 7), helper.make_value_info("maps", kind)]
    )
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    return Sample("maps", model.SerializeToString(), {"x": np.ones((2, 3), np.float32)})
