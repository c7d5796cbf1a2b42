"""Models of a few hundred bytes that ask for too much memory or time, or for what is not there: one clear error each.

They run in a process of their own, which is stopped if it takes more memory or time than it may.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from striate import runtime
from striate.runtime import errors, limits, memory
from striate.runtime.engines.arrays import ArraysEngine
from striate.runtime.ops import registry
from tests.fuzz.watch import MEMORY, Outcome, watch
from tests.ops.strict import strict

from . import protos
from .hostile import INDICES, MAX, MIN, SIZES, Node

STRICT = ArraysEngine(strict, "strict")
HEAD = '<ir_version: 10, opset_import: ["": 21, "own": 1]>'
X = np.ones(3, np.float32)
TRIPS = 2000
"""Enough loops to see that they end."""


def run(data: bytes, feeds: dict[str, Any]) -> Outcome:
    """Loads and runs a model; an error that memory ran out is a crash, since it should not have been asked for."""
    options = runtime.SessionOptions()
    options.add_session_config_entry("striate.loop_trips", str(TRIPS))
    try:
        results = runtime.InferenceSession(data, options).run(None, feeds)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return Outcome("crash", "MemoryError", str(error))
            cause = cause.__cause__ or cause.__context__
        return Outcome.of("refused", error)
    return Outcome("ran", message=str([getattr(y, "shape", y) for y in results]))


def each(jobs: list[Callable[[], Outcome]]) -> list[Outcome]:
    return [outcome for _, outcome in sorted(watch(lambda number: jobs[number](), range(len(jobs)), workers=1))]


def alone(job: Callable[[], Outcome]) -> Outcome:
    return each([job])[0]


def _id(node: Node) -> str:
    return f"{node.op} {node.name}".strip()


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[int, bool], Outcome]:
    """Of each row of both tables, as constants and as inputs."""
    keys = [(id(node), constant) for node in (*SIZES, *INDICES) for constant in (False, True)]
    nodes = {id(node): node for node in (*SIZES, *INDICES)}
    jobs = [lambda key=key: run(*nodes[key[0]].model(constant=key[1])) for key in keys]
    return dict(zip(keys, each(jobs), strict=True))


@pytest.mark.parametrize("constant", [False, True], ids=["fed", "constant"])
@pytest.mark.parametrize("node", SIZES, ids=_id)
def test_size(node: Node, constant: bool, outcomes: dict[tuple[int, bool], Outcome]) -> None:
    outcome = outcomes[id(node), constant]
    assert outcome.kind == "refused", outcome
    assert outcome.error in ("LimitExceeded", "InvalidInput", "InvalidGraph"), outcome


@pytest.mark.parametrize("constant", [False, True], ids=["fed", "constant"])
@pytest.mark.parametrize("node", INDICES, ids=_id)
def test_index(node: Node, constant: bool, outcomes: dict[tuple[int, bool], Outcome]) -> None:
    outcome = outcomes[id(node), constant]
    assert outcome.kind == "refused", outcome
    assert outcome.error in ("InvalidInput", "InvalidGraph"), outcome


@pytest.mark.parametrize("node", INDICES, ids=_id)
def test_index_on_a_device(node: Node) -> None:
    """Where an index out of range would silently wrap around, the kernel itself refuses it."""
    operator = registry.lookup(node.domain, node.op, node.opset)
    attributes = {name: v.encode() if isinstance(v, str) else v for name, v in node.attributes.items()}
    call = STRICT.bind(operator, operator.bind(attributes), node.outputs)
    with pytest.raises(errors.StriateError):
        call(*map(STRICT.asarray, node.inputs))


# ---- graphs


def parsed(text: str) -> bytes:
    return onnx.parser.parse_model(HEAD + text).SerializeToString()


def loop(body: str, trips: str = "", before: str = "") -> bytes:
    return parsed(f"g (float[3] x) => (y) {{ {before} y = Loop ({trips}, , x) <body = {body}> }}")


NOT = "go = Not (no) no = Not (c)"
STEP = "b (int64 i, bool c, float[3] s) => (bool go, float[3] t)"
HUGE = f"n = Constant <value = int64 {{{MAX}}}> ()"
INNER = "z (int64 j, bool h, float[3] u) => (bool h2, float[3] v) { h2 = Identity (h) v = Add (u, u) }"
BIG = "k = Constant <value_ints = [10000000]> () big = ConstantOfShape (k)"

ENDLESS = {
    "constant condition": loop(f"{STEP} {{ go = Identity (c) t = Add (s, s) }}"),
    "computed condition": loop(f"{STEP} {{ {NOT} t = Add (s, s) }}"),
    "number of trips": loop(f"{STEP} {{ go = Identity (c) t = Add (s, s) }}", "n", HUGE),
    "loops in loops": loop(
        f"{STEP} {{ go = Identity (c) t = Loop (n, , s) <body = {INNER}> }}", "n", HUGE.replace(str(MAX), "1900")
    ),
    "growing tensor": loop(
        f"b (int64 i, bool c, float[N] s) => (bool go, float[M] t) {{ {NOT} t = Concat <axis = 0> (s, s) }}"
    ),
    "growing stack": parsed(
        "g (float[3] x) => (y, z) { y, z = Loop (, , x) <body = b (int64 i, bool c, float[3] s) => "
        f"(bool go, float[3] t, float[K] big) {{ {NOT} t = Neg (s) {BIG} }}> }}"
    ),
    "growing sequence": parsed(
        "g (float[3] x) => (y) { e = SequenceEmpty () y = Loop (, , e) <body = b (int64 i, bool c, seq(float) s) => "
        f"(bool go, seq(float) t) {{ {NOT} {BIG} t = SequenceInsert (s, big) }}> }}"
    ),
    "growing text": parsed(
        "g (float[3] x) => (y) { e = Cast <to = 8> (x) y = Loop (, , e) <body = b (int64 i, bool c, string[3] s) => "
        f"(bool go, string[3] t) {{ {NOT} t = StringConcat (s, s) }}> }}"
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless(name: str) -> None:
    def job() -> Outcome:
        limits.RUN_BYTES = memory.resident() + MEMORY // 4
        return run(ENDLESS[name], {"x": X})

    outcome = alone(job)
    assert (outcome.kind, outcome.error) == ("refused", "LimitExceeded"), outcome


def test_many_values_each_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty values of 40 MB live at once."""
    parts = " ".join(
        f"v{k} = Expand (w{k}, n) w{k} = Mul (x, f{k}) f{k} = Constant <value_float = {k}.5> () a{k} = Neg (v{k})"
        for k in range(20)
    )
    data = parsed(
        f"g (float[1] x) => (y) {{ k = Constant <value_ints = [10000000]> () n = Mul (k, one) one = Cast <to = 7> (x) "
        f"{parts} y = Sum ({', '.join(f'a{k}' for k in range(20))}) }}"
    )

    def job() -> Outcome:
        limits.RUN_BYTES = memory.resident() + MEMORY // 4
        return run(data, {"x": X[:1]})

    outcome = alone(job)
    assert (outcome.kind, outcome.error) == ("refused", "LimitExceeded"), outcome


IF = "g (float[3] x, bool c) => (y) {{ y = If (c) <then_branch = t {} , else_branch = e () => (q) {{ q = Neg (x) }}> }}"
MISFITS = {
    "loop gives too little": loop("b (int64 i, bool c, float[3] s) => (bool go) { go = Not (c) }"),
    "loop takes too little": loop(
        "b (int64 i) => (bool go, float[3] t) { go = Constant <value = bool {0}> () t = Neg (x) }"
    ),
    "loop takes too much": loop(
        "b (int64 i, bool c, float[3] s, float[3] q) => (bool go, float[3] t) { go = Not (c) t = Neg (q) }"
    ),
    "loop without outputs": loop("b (int64 i, bool c, float[3] s) => () { go = Not (c) }"),
    "condition of three": loop(f"{STEP} {{ go = Cast <to = 9> (s) t = Neg (s) }}"),
    "two numbers of trips": loop(f"{STEP} {{ {NOT} t = Neg (s) }}", "n", "n = Constant <value_ints = [1, 2]> ()"),
    "branch gives too much": parsed(IF.format("() => (p, r) { p = Neg (x) r = Neg (x) }")),
    "branch takes something": parsed(IF.format("(float[3] k) => (p) { p = Neg (k) }")),
    "scan gives nothing": parsed(
        "g (float[3] x) => (y) { y = Scan <num_scan_inputs = 1, body = b (float p) => () { q = Neg (p) }> (x) }"
    ),
    "scan takes too much": parsed(
        "g (float[3] x) => (y) { y = Scan <num_scan_inputs = 1, "
        "body = b (float p, float r) => (q) { q = Add (p, r) }> (x) }"
    ),
    **{
        f"scan of {count}": parsed(
            f"g (float[3] x) => (y) {{ y = Scan <num_scan_inputs = {count}, "
            "body = b (float p) => (q) { q = Neg (p) }> (x) }"
        )
        for count in (0, MAX)
    },
    **{
        f"scan along {axis}": parsed(
            f"g (float[3] x) => (y) {{ y = Scan <num_scan_inputs = 1, scan_output_axes = [{axis}], "
            "body = b (float p) => (q) { q = Neg (p) }> (x) }"
        )
        for axis in (MAX, MIN)
    },
    "map takes too much": parsed(
        "g (float[3] x) => (y) { s = SequenceConstruct (x) "
        "y = SequenceMap (s) <body = b (float[3] p, float[3] q) => (float[3] r) { r = Add (p, q) }> }"
    ),
    "function takes too little": parsed(
        "g (float[3] x) => (y) { y = own.f (x, x) } "
        '<domain: "own", opset_import: ["": 21]> f (a) => (b) { b = Neg (a) }'
    ),
    "mixed types": parsed("g (float[3] x) => (y) { d = Cast <to = 11> (x) y = Add (x, d) }"),
    "type not taken": parsed("g (float[3] x) => (y) { n = Cast <to = 7> (x) y = Celu (n) }"),
    "sequence wanted": parsed("g (float[3] x) => (y) { y = SequenceLength (x) }"),
    "tensor wanted": parsed("g (float[3] x) => (y) { s = SequenceConstruct (x) y = Neg (s) }"),
    "declared type": parsed("g (float[3] x) => (double[3] y) { y = Neg (x) }"),
    "no such position": parsed(
        f"g (float[3] x) => (y) {{ s = SequenceConstruct (x) k = Constant <value = int64 {{{MIN}}}> () "
        "y = SequenceAt (s, k) }"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_misfit(name: str) -> None:
    feeds: dict[str, Any] = {"x": X}
    if b"then_branch" in MISFITS[name]:
        feeds["c"] = np.array(True)
    outcome = run(MISFITS[name], feeds)
    assert outcome.kind == "refused", outcome
    assert outcome.error in ("InvalidInput", "InvalidGraph"), outcome


def test_what_a_file_says_of_inner_values_is_not_believed() -> None:
    """The branches differ in type and shape, so nothing can be inferred; the file claims a third thing."""
    data = parsed(
        "g (float[1,3] x, bool c) => (y, k) <double[5,3] v> { v = If (c) "
        "<then_branch = t () => (float[1,3] a) { a = Neg (x) }, else_branch = e () => (b) { b = Cast <to = 11> (x) }> "
        "w = Relu (v) y = Neg (w) k = Shape (v) }"
    )
    x = np.array([[1, -1, 2]], np.float32)
    y, shape = runtime.InferenceSession(data).run(None, {"x": x, "c": np.array(True)})
    np.testing.assert_array_equal(y, np.minimum(x, 0))
    assert y.dtype == np.float32
    assert shape.tolist() == [1, 3]


def test_declared_types_of_loops_that_never_run() -> None:
    """Without a single trip only the file says what the stack would hold."""
    data = parsed(
        "g (seq(double[2]) s) => (z) { n = Constant <value = int64 {0}> () on = Constant <value = bool {1}> () "
        "z = Loop (n, on) <body = "
        "b (int64 i, bool c) => (bool go, double[2] e) { go = Identity (c) e = SequenceAt (s, i) }> }"
    )
    (z,) = runtime.InferenceSession(data).run(None, {"s": []})
    assert z.dtype == np.float64


def test_scalar_that_is_none() -> None:
    """Sessions take any shape for a declared scalar, but what was made of its shape would be wrong."""
    session = runtime.InferenceSession(parsed("g (float x) => (k) { k = Shape (x) }"))
    with pytest.raises(errors.InvalidInput, match=r"has shape \[3\]; the model declares \[\]"):
        session.run(None, {"x": X})


# ---- size of the graph itself


def chain(count: int, op: str = "Neg") -> onnx.ModelProto:
    names = ["x", *(f"v{k}" for k in range(count - 1)), "y"]
    nodes = [helper.make_node(op, [a], [b]) for a, b in pairwise(names)]
    return protos.model(nodes, [protos.tensor_info("x", [3])], [protos.tensor_info("y", [3])])


def functions(count: int, calls: int) -> onnx.ModelProto:
    """Function k calls function k - 1 `calls` times."""
    model = protos.model(
        [helper.make_node(f"f{count - 1}", ["x"], ["y"], domain="own")],
        [protos.tensor_info("x", [3])],
        [protos.tensor_info("y", [3])],
    )
    model.opset_import.add(domain="own", version=1)
    for k in range(count):
        names = ["a", *(f"c{j}" for j in range(calls - 1)), "b"]
        op, domain = ("Neg", "") if k == 0 else (f"f{k - 1}", "own")
        nodes = [helper.make_node(op, [a], [b], domain=domain) for a, b in pairwise(names)]
        model.functions.append(helper.make_function("own", f"f{k}", ["a"], ["b"], nodes, model.opset_import))
    return model


def test_long_graph() -> None:
    """Nothing calls itself for each node."""
    (y,) = runtime.InferenceSession(chain(3001).SerializeToString()).run(None, {"x": X})
    np.testing.assert_array_equal(y, -X)


def test_long_chain_of_functions() -> None:
    (y,) = runtime.InferenceSession(functions(1500, 1).SerializeToString()).run(None, {"x": X})
    np.testing.assert_array_equal(y, -X)


def test_functions_that_call_twice() -> None:
    (y,) = runtime.InferenceSession(functions(9, 2).SerializeToString()).run(None, {"x": X})
    np.testing.assert_array_equal(y, X)
    with pytest.raises(errors.LimitExceeded, match="when its functions are inlined"):
        runtime.InferenceSession(functions(60, 2).SerializeToString())


def test_circle_of_many_nodes() -> None:
    model = chain(5000)
    model.graph.node[0].input[0] = "y"
    with pytest.raises(errors.InvalidGraph, match="not acyclic"):
        runtime.InferenceSession(model.SerializeToString())


# ---- attributes and tensors


def _attribute(**fields: Any) -> bytes:
    model = protos.model(
        [helper.make_node("Flatten", ["x"], ["y"])], [protos.tensor_info("x", [3])], [protos.tensor_info("y", None)]
    )
    model.graph.node[0].attribute.add(name="axis", **fields)
    return model.SerializeToString()


A = onnx.AttributeProto


@pytest.mark.parametrize(
    "data",
    [
        *(_attribute(type=number) for number in A.AttributeType.values() if number != A.INT),
        _attribute(type=A.INT, ref_attr_name="nobody"),
        _attribute(type=A.INT, i=1).replace(b"\xa0\x01\x02", b"\xa0\x01\x63"),
    ],
    ids=[*(name for name in A.AttributeType.keys() if name != "INT"), "reference", "unknown"],  # noqa: SIM118
)
def test_attribute_of_another_type(data: bytes) -> None:
    with pytest.raises(errors.InvalidGraph):
        runtime.InferenceSession(data)


def test_data_in_the_wrong_field() -> None:
    model = protos.dense()
    model.graph.initializer[0].int64_data.extend(range(6))
    with pytest.raises(errors.InvalidGraph, match="has data in int64_data"):
        runtime.InferenceSession(model.SerializeToString())


@pytest.mark.parametrize(
    "name", ["a\0b", "../../etc/passwd", "n" * 100_000, "é" * 9], ids=["nul", "path", "long", "accents"]
)
def test_odd_names(name: str) -> None:
    model = chain(2)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for k, old in enumerate(names):
                names[k] = name if old == "v0" else old
    (y,) = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    np.testing.assert_array_equal(y, X)


def test_external_data_of_three_gigabytes(tmp_path: Path) -> None:
    """Of a file with holes only what is used is read."""
    rows = 3 << 28
    table = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[rows, 1], data_location=TensorProto.EXTERNAL)
    table.external_data.add(key="location", value="t.bin")
    with open(tmp_path / "t.bin", "wb") as file:
        file.truncate(4 * rows)
        file.seek(4 * (rows - 1))
        file.write(np.float32(7).tobytes())
    model = protos.model(
        [helper.make_node("Gather", ["t", "i"], ["y"])],
        [protos.tensor_info("i", [2], TensorProto.INT64)],
        [protos.tensor_info("y", [2, 1])],
        [table],
    )
    path = protos.save(model, tmp_path / "m.onnx")

    def job() -> Outcome:
        before = memory.resident()
        (y,) = runtime.InferenceSession(str(path)).run(None, {"i": np.array([0, rows - 1])})
        return Outcome("ran", message=f"{y.ravel().tolist()} {memory.resident() - before < 1 << 27}")

    ((_, outcome),) = watch(lambda _: job(), [0], workers=1, memory=4 << 30)
    assert outcome.message == "[0.0, 7.0] True", outcome


# ---- text forms


@pytest.mark.parametrize(
    "text",
    [
        b'<ir_version: 10, opset_import: ["": 21]> g (float[3] x) => (y) { y = Neg ' + b"(" * 50_000,
        b'<ir_version: 10, opset_import: ["": 21]> g ' + b"(seq(" * 90,
        b"<ir_version: 99999999999999999999999999, opset_import: [",
        b'<ir_version: 10, opset_import: ["": 21]> g (float[99999999999999999999999] x) => (y) { y = Neg (x) }',
        b'<ir_version: 10, opset_import: ["": 21]> g (float[3] x) => (y) { y = Neg <a = 1e999999> (x) }',
        b'<ir_version: 10, opset_import: ["": 21]> g (float[3] x) => (y) <float[4000000000] w = {1}> { y = Neg (x) }',
        b'<ir_version: 10, opset_import: ["": 21]> "\xff\xfe',
        b"<ir_version: 10\0",
        b"ir_version: 8 graph { " + b"node { attribute { g { " * 5000,
        b'ir_version: 8 graph { name: "\xff" }',
        b"ir_version: 123456789012345678901234567890",
        b'{"irVersion": "8", "graph": ' + b'{"node": [' * 5000,
        b'{"irVersion": 1e400}',
        b'{"irVersion": "8", "graph": {"name": "\xff"}}',
    ],
    ids=lambda text: text[:60].decode(errors="replace"),
)
def test_text(text: bytes) -> None:
    outcome = alone(lambda: run(text, {}))
    assert outcome.kind == "refused", outcome
