"""Control flow, functions, sequences and maps as whole models, beside onnxruntime where it takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, parser

from striate.runtime import GraphOptimizationLevel, InferenceSession, SessionOptions, passes
from striate.runtime.errors import (
    InvalidGraph,
    InvalidInput,
    LimitExceeded,
    StriateError,
    UnsupportedOperator,
)
from striate.runtime.executor import Executor
from striate.runtime.reader import Limits, read

HEAD = '<ir_version: 10, opset_import: ["" : 21, "local" : 1]>\n'
X = np.array([1.0, -2.0, 3.0], np.float32)
ONE = np.array(1, np.float32)
TRUE, FALSE = np.array(True), np.array(False)


def data(text: str) -> bytes:
    return parser.parse_model(HEAD + text).SerializeToString()


AGREE: dict[str, tuple[str, dict[str, Any]]] = {
    "captured values and constants": (
        """g (float[3] x, bool c) => (float[3] y) <float[3] w = {1, 2, 3}> {
             d = Mul (x, x)
             y = If (c) <then_branch = t () => (float[3] a) { a = Add (d, w) },
                         else_branch = e () => (float[3] b) { b = Sub (x, w) }> }""",
        {"x": X, "c": TRUE},
    ),
    "captured through two levels": (
        """g (float[3] x, bool c, int64 n) => (float[3] y) {
             d = Mul (x, x)
             y = If (c) <
               then_branch = t () => (float[3] a) {
                 go = Constant <value = bool {1}> ()
                 a = Loop (n, go, x) <body = l (int64 i, bool k, float[3] s) => (bool k2, float[3] s2) {
                   k2 = Identity (k)  s2 = Add (s, d) }> },
               else_branch = e () => (float[3] b) { b = Neg (d) }> }""",
        {"x": X, "c": TRUE, "n": np.array(3)},
    ),
    "an output that is used outside too": (
        """g (float[3] x, bool c) => (float[3] y, float[3] d, float[3] z) {
             d = Mul (x, x)
             y = If (c) <then_branch = t () => (float[3] a) { a = Identity (d) },
                         else_branch = e () => (float[3] b) { b = Identity (x) }>
             z = Add (y, d) }""",
        {"x": X, "c": FALSE},
    ),
    "one value as two outputs of a branch": (
        """g (float[3] x, bool c) => (float[3] y, float[3] z) {
             y, z = If (c) <then_branch = t () => (float[3] a, float[3] a2) { a = Relu (x)  a2 = Identity (a) },
                            else_branch = e () => (float[3] b, float[3] b2) { b = Neg (x)  b2 = Neg (b) }> }""",
        {"x": X, "c": TRUE},
    ),
    "a condition known before a run": (
        """g (float[3] x) => (float[3] y, float[3] z) {
             r = Shape (x)  one = Constant <value_ints = [3]> ()  e1 = Equal (r, one)  c = Squeeze (e1)
             y = If (c) <then_branch = t () => (float[3] a) { two = Constant <value_float = 2.0> ()  a = Mul (x, two) },
                         else_branch = e () => (float[3] b) { b = Neg (x) }>
             z = Exp (y) }""",
        {"x": X},
    ),
    "a function of the model inside a body": (
        """g (float[3] x, bool c, int64 n) => (float[3] y) {
             y = Loop (n, c, x) <body = l (int64 i, bool k, float[3] s) => (bool k2, float[3] s2) {
               k2 = Identity (k)  s2 = local.half <factor = 0.25> (s) }> }
           <domain: "local", opset_import: ["" : 21]>
           half <factor> (v) => (w) { f = Constant <value_float : float = @factor> ()  w = Mul (v, f) }""",
        {"x": X, "c": TRUE, "n": np.array(2)},
    ),
    "shapes that change from trip to trip": (
        """g (float[N] x, bool c, int64 n) => (float[M] y) {
             y = Loop (n, c, x) <body = l (int64 i, bool k, float[K] s) => (bool k2, float[L] s2) {
               k2 = Identity (k)  s2 = Concat <axis = 0> (s, x) }> }""",
        {"x": X, "c": TRUE, "n": np.array(12)},
    ),
    "a loop that its condition ends": (
        """g (float[3] x, bool c) => (float[3] y, float[K] s) {
             y, s = Loop (, c, x) <body = l (int64 i, bool k, float[3] v) => (bool k2, float[3] w, float m) {
               h = Constant <value_float = 0.5> ()  w = Mul (v, h)  m = ReduceMax <keepdims = 0> (w)
               l = Constant <value_float = 0.1> ()  k2 = Greater (m, l) }> }""",
        {"x": X, "c": TRUE},
    ),
    "a scan with two states": (
        """g (float[3] x, float[4, 3] q) => (float[3] y, float[3] p, float[4] s) {
             one = Constant <value_floats = [1.0, 1.0, 1.0]> ()
             y, p, s = Scan (x, one, q) <num_scan_inputs = 1,
               body = b (float[3] a, float[3] m, float[3] e) => (float[3] a2, float[3] m2, float t) {
                 a2 = Add (a, e)  m2 = Mul (m, e)  t = ReduceSum <keepdims = 0> (a2) }> }""",
        {"x": X, "q": np.random.default_rng(0).random((4, 3), np.float32)},
    ),
    "sequences": (
        """g (float[3] x) => (float[6] y, int64 n) {
             s = SequenceConstruct (x, x)  z = Neg (x)  i = Constant <value_int = 1> ()
             t = SequenceInsert (s, z, i)  u = SequenceErase (t)  n = SequenceLength (t)
             y = ConcatFromSequence <axis = 0> (u) }""",
        {"x": X},
    ),
}


@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "as it is"])
@pytest.mark.parametrize("name", AGREE)
def test_agrees_with_onnxruntime(name: str, optimize: bool) -> None:
    text, feeds = AGREE[name]
    options = SessionOptions()
    if not optimize:
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    session = InferenceSession(data(text), options)
    for _ in range(2):
        got = session.run(None, feeds)
        want = onnxruntime.InferenceSession(data(text)).run(None, feeds)
        for mine, right in zip(got, want, strict=True):
            assert (mine.dtype, mine.shape) == (right.dtype, right.shape)
            np.testing.assert_allclose(mine, right, rtol=1e-6)


def test_a_known_condition_leaves_no_branch() -> None:
    model = read(data(AGREE["a condition known before a run"][0]))
    passes.prepare(model)
    assert "If" not in {node.op_type for node in model.graph}
    assert [v.name for v in model.graph.outputs] == ["y", "z"]


def test_outputs_are_the_callers_own() -> None:
    """Neither another output, nor an input, nor what the next run uses."""
    text = """g (float[3] x, bool c) => (float[3] y, float[3] z) <float[3] w = {1, 2, 3}> {
                y, z = If (c) <then_branch = t () => (float[3] a, float[3] b) { a = Identity (x)  b = Identity (w) },
                               else_branch = e () => (float[3] f, float[3] h) { f = Neg (x)  h = Identity (f) }> }"""
    session = InferenceSession(data(text))
    x = X.copy()
    for condition in (TRUE, FALSE):
        first = session.run(None, {"x": x, "c": condition})
        kept = [y.copy() for y in first]
        assert not np.shares_memory(first[0], first[1])
        for y in first:
            assert not np.shares_memory(y, x)
            y[...] = 77
        for y, right in zip(session.run(None, {"x": x, "c": condition}), kept, strict=True):
            np.testing.assert_array_equal(y, right)


def test_bodies_with_shapes_without_end_make_few_plans() -> None:
    text, _ = AGREE["shapes that change from trip to trip"]
    executor = Executor(read(data(text)))
    feeds = {"x": X, "c": TRUE, "n": np.array(200)}
    (y,) = executor.run(feeds)
    assert y.shape == (603,)
    (step,) = [s for s in executor.plan_for(feeds).steps if s.op_type == "Loop"]
    assert step.outputs


VALUES: dict[str, tuple[onnx.TypeProto, Any]] = {
    "sequence": (
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None)),
        [X, np.zeros((2, 2), np.float32)],
    ),
    "empty sequence": (helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None)), []),
    "text": (
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.STRING, None)),
        [np.array(["a", "b"], object)],
    ),
}


def identity(kind: onnx.TypeProto) -> bytes:
    values = [helper.make_value_info(name, kind) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


@pytest.mark.parametrize("name", VALUES)
def test_sequences_are_fed_and_fetched_like_onnxruntimes(name: str) -> None:
    kind, value = VALUES[name]
    ours, theirs = InferenceSession(identity(kind)), onnxruntime.InferenceSession(identity(kind))
    assert [a.type for a in (*ours.get_inputs(), *ours.get_outputs())] == [
        a.type for a in (*theirs.get_inputs(), *theirs.get_outputs())
    ]
    (got,), (want,) = ours.run(None, {"x": value}), theirs.run(None, {"x": value})
    assert isinstance(got, list)
    for mine, right in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine, right)
        assert mine.dtype == right.dtype


def test_optional_values() -> None:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    session = InferenceSession(identity(kind))
    assert session.get_inputs()[0].type == "optional(tensor(float))"
    assert session.run(None, {"x": None}) == [None]
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], X)


def test_maps() -> None:
    """onnxruntime's classifiers end in a ZipMap; DictVectorizer takes maps."""
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    node = helper.make_node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", string_vocabulary=["b", "a"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_value_info("x", kind)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    ours, theirs = InferenceSession(model), onnxruntime.InferenceSession(model)
    assert ours.get_inputs()[0].type == theirs.get_inputs()[0].type == "map(string,tensor(float))"
    given = {"x": {"a": np.float32(2), "c": np.float32(9)}}
    np.testing.assert_array_equal(np.ravel(ours.run(None, given)[0]), [0, 2])
    with pytest.raises(InvalidInput, match="keys"):
        ours.run(None, {"x": {1: np.float32(2)}})


REFUSED_FEEDS = {
    "a tensor for a sequence": ("sequence", X, "expected a list"),
    "a wrong dtype inside": ("sequence", [X.astype(np.float64)], r"tensor\(double\)"),
}


@pytest.mark.parametrize("name", REFUSED_FEEDS)
def test_refused_feeds(name: str) -> None:
    kind, value, message = REFUSED_FEEDS[name]
    with pytest.raises(InvalidInput, match=message):
        InferenceSession(identity(VALUES[kind][0])).run(None, {"x": value})


ENDLESS = {
    "a condition that is always true": "k2 = Identity (k)",
    "a condition that never becomes false": "z = Constant <value_int = -1> ()  k2 = Greater (i, z)",
}


@pytest.mark.parametrize("condition", ENDLESS.values(), ids=ENDLESS)
def test_loops_without_end(condition: str) -> None:
    text = """g (float x, bool c) => (float y) { y = Loop (, c, x) <body =
              l (int64 i, bool k, float a) => (bool k2, float b) { b = Add (a, x)  CONDITION }> }"""
    options = SessionOptions()
    options.add_session_config_entry("striate.loop_trips", "2000")
    session = InferenceSession(data(text.replace("CONDITION", condition)), options)
    with pytest.raises(LimitExceeded, match=r"striate\.loop_trips"):
        session.run(None, {"x": ONE, "c": TRUE})


def test_loops_inside_loops_count_together() -> None:
    text = """g (float x, bool c, int64 n) => (float y) { y = Loop (n, c, x) <body =
              l (int64 i, bool k, float a) => (bool k2, float b) { k2 = Identity (k)  b = Loop (n, c, a) <body =
                m (int64 j, bool p, float d) => (bool p2, float e) { p2 = Identity (p)  e = Add (d, x) }> }> }"""
    options = SessionOptions()
    options.add_session_config_entry("striate.loop_trips", "120")
    session = InferenceSession(data(text), options)
    for _ in range(2):
        (y,) = session.run(None, {"x": ONE, "c": TRUE, "n": np.array(10)})
        assert y == 101
    with pytest.raises(LimitExceeded):
        session.run(None, {"x": ONE, "c": TRUE, "n": np.array(11)})
    (y,) = session.run(None, {"x": ONE, "c": TRUE, "n": np.array(10)})
    assert y == 101


def test_a_wrong_limit_is_refused() -> None:
    options = SessionOptions()
    options.add_session_config_entry("striate.loop_trips", "many")
    with pytest.raises(StriateError, match="many"):
        InferenceSession(data(AGREE["sequences"][0]), options)


def test_a_tower_of_functions_is_counted_before_it_is_inlined() -> None:
    """40 functions that call each other twice are 2⁴⁰ nodes."""
    text = ["g (float[3] x) => (float[3] y) { y = local.f39 (x) }"]
    text += ['<domain: "local", opset_import: ["" : 21]> f0 (a) => (b) { b = Neg (a) }']
    for i in range(1, 40):
        text.append(
            f'<domain: "local", opset_import: ["" : 21, "local" : 1]> f{i} (a) => (c) '
            f"{{ b = local.f{i - 1} (a)  c = local.f{i - 1} (b) }}"
        )
    with pytest.raises(LimitExceeded, match="inlined"):
        read(data("\n".join(text)))
    small = read(data("\n".join([text[0].replace("f39", "f3"), *text[1:5]])), limits=Limits(nodes=100))
    (y,) = Executor(small).run({"x": X})
    np.testing.assert_array_equal(y, X)


def test_functions_of_another_opset() -> None:
    same = """g (float[3] x) => (float[3] y) { y = local.f (x) }
              <domain: "local", opset_import: ["" : 18]> f (a) => (b) { b = Relu (a) }"""
    (y,) = InferenceSession(data(same)).run(None, {"x": X})
    np.testing.assert_array_equal(y, np.maximum(X, 0))
    other = same.replace("b = Relu (a)", "b = ReduceSum <axes = [0]> (a)").replace('"" : 18', '"" : 11')
    with pytest.raises(UnsupportedOperator, match="ReduceSum of opset 11"):
        InferenceSession(data(other))


BROKEN = {
    "branches of different lengths": (
        """g (float[3] x, bool c) => (float[3] y) { y = If (c) <
             then_branch = t () => (float[3] a) { a = Neg (x) },
             else_branch = e () => (float[3] b, float[3] d) { b = Neg (x)  d = Neg (b) }> }""",
        {"x": X, "c": FALSE},
    ),
    "a body without enough outputs": (
        """g (float[3] x, bool c, int64 n) => (float[3] y) { y = Loop (n, c, x) <body =
             l (int64 i, bool k, float[3] a) => (bool k2) { k2 = Identity (k) }> }""",
        {"x": X, "c": TRUE, "n": np.array(2)},
    ),
    "a body without enough inputs": (
        """g (float[3] x, bool c, int64 n) => (float[3] y) { y = Loop (n, c, x) <body =
             l (int64 i, bool k) => (bool k2, float[3] b) { k2 = Identity (k)  b = Neg (x) }> }""",
        {"x": X, "c": TRUE, "n": np.array(2)},
    ),
    "a condition of two elements": (
        """g (float[3] x, bool[N] c) => (float[3] y) { y = If (c) <
             then_branch = t () => (float[3] a) { a = Neg (x) },
             else_branch = e () => (float[3] b) { b = Abs (x) }> }""",
        {"x": X, "c": np.array([True, False])},
    ),
    "scans of unequal lengths": (
        """g (float[N] x, float[M] q) => (float[K] y) { y = Scan (x, q) <num_scan_inputs = 2,
             body = b (float a, float e) => (float d) { d = Add (a, e) }> }""",
        {"x": X, "q": X[:2]},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_control_flow(name: str) -> None:
    text, feeds = BROKEN[name]
    with pytest.raises(StriateError) as caught:
        InferenceSession(data(text)).run(None, feeds)
    assert isinstance(caught.value, (InvalidGraph, InvalidInput)), repr(caught.value)


def test_seeds_reach_subgraphs() -> None:
    """Nodes that draw inside a body are seeded like the others: runs of a seeded session repeat."""
    text = """g (bool c) => (float[3] y) { y = If (c) <
                then_branch = t () => (float[3] a) { a = RandomNormal <shape = [3], seed = 3.0> () },
                else_branch = e () => (float[3] b) { b = RandomNormal <shape = [3], seed = 4.0> () }> }"""
    session = InferenceSession(data(text))
    first, again, other = (session.run(None, {"c": c})[0] for c in (TRUE, TRUE, FALSE))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_the_model_that_was_read_is_left_alone() -> None:
    model = read(data(AGREE["captured through two levels"][0]))
    before = ir.to_proto(model).SerializeToString()
    Executor(model).run(AGREE["captured through two levels"][1])
    assert ir.to_proto(model).SerializeToString() == before
