"""`check_nodes`: the node that is wrong is the one that is named, whatever kind of graph it stands in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from striate.exporter import verify
from striate.exporter.verify_html import page
from striate.exporter.verify_nodes import AGAINST, check_nodes
from striate.exporter.verify_passes import REUSE, guilty_of
from striate.exporter.verify_pieces import Pieces
from striate.exporter.verify_report import FORMAT, CheckReport
from striate.exporter.verify_reproducer import write_reproducer
from striate.exporter.verify_results import NodesReport
from striate.exporter.verify_runners import run_ours
from striate.runtime import passes as pipeline
from striate.runtime.errors import InvalidInput, RunFailed
from striate.runtime.ops import registry
from striate.runtime.reader import read

Break = Callable[..., None]


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any] | None]],
    outputs: list[str],
    *,
    opset: int = 18,
    functions: tuple[onnx.FunctionProto, ...] = (),
    domains: tuple[str, ...] = (),
    **weights: np.ndarray,
) -> bytes:
    """A model whose outputs' types are left to be inferred."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [onnx.numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)
    return made.SerializeToString()


def _tower(count: int = 6, title: str = "same", **more: Any) -> bytes:
    """Convolutions of two sizes, an activation behind each; nodes without names, or all of the same one."""
    nodes, weights, name = [], {}, "x"
    rng = np.random.default_rng(0)
    for i in range(count):
        channels, before = (4, 3)[i % 2], 3 if i == 0 else (4, 3)[(i - 1) % 2]
        weights[f"w{i}"] = rng.standard_normal((channels, before, 3, 3)).astype(np.float32) * 0.3
        nodes.append(helper.make_node("Conv", [name, f"w{i}"], [f"c{i}"], pads=[1] * 4, name=title if i % 2 else ""))
        nodes.append(helper.make_node("Tanh", [f"c{i}"], [f"t{i}"]))
        name = f"t{i}"
    return _model(nodes, {"x": (T.FLOAT, [1, 3, 8, 8])}, [name], **weights, **more)


IMAGE = {"x": np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Makes a kernel wrong where `when(*inputs)` says so."""

    def wrong(op_type: str, when: Callable[..., bool], change: Callable[[Any], Any], opset: int = 18) -> None:
        operator = registry.lookup("", op_type, opset)
        right = operator.kernel

        def kernel(xp: Any, *inputs: Any, **attributes: Any) -> Any:
            result = right(xp, *inputs, **{k: v for k, v in attributes.items() if k != "out"})
            return change(result) if when(*inputs) else result

        monkeypatch.setattr(operator, "kernel", kernel)

    return wrong


def _bump(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y[0, 1, 2, 3] += np.float32(0.01)
    return y


def _wide_filter(x: np.ndarray, w: np.ndarray, *rest: Any) -> bool:
    return w.shape[1] == 4


@pytest.mark.parametrize("against", AGAINST)
def test_a_sound_model_agrees(against: str) -> None:
    report = check_nodes(_tower(), IMAGE, against=against)
    assert report.first is None
    assert [n.status for n in report.nodes] == ["agrees"] * 12
    assert [n.index for n in report.nodes] == list(range(12))
    assert report.max_abs < 1e-5
    for node in report.nodes:
        (output,) = node.outputs
        assert output.accumulated is not None
        assert output.ours.largest == pytest.approx(output.theirs.largest, rel=1e-5)
        assert output.kind == "float32"
        assert len(output.shape) == 4
    assert against == "reference" or any(
        o.accumulated.max_abs > o.local.max_abs for n in report.nodes for o in n.outputs if o.accumulated
    )


@pytest.mark.parametrize("against", ["onnxruntime", "reference"])
@pytest.mark.parametrize("memory", [1 << 30, 1, 3000])
def test_the_wrong_node_is_named(broken: Break, tmp_path: Path, against: str, memory: int) -> None:
    broken("Conv", _wide_filter, _bump)
    report = check_nodes(_tower(), IMAGE, against=against, memory=memory)
    assert report.first is not None
    assert (report.first.index, report.first.op_type, report.first.name) == (2, "Conv", "same")
    assert [n.index for n in report.nodes if not n.agrees] == [2, 6, 10]
    local = report.first.outputs[0].local
    assert local.max_abs == pytest.approx(0.01, abs=1e-5)
    assert local.worst == (0, 1, 2, 3)
    assert report.nodes[3].outputs[0].local.max_abs < 1e-6
    accumulated = report.nodes[3].outputs[0].accumulated
    assert accumulated is not None
    assert accumulated.max_abs > 1e-4
    assert ("ours is off by 0.01" in report.whose) is (against == "onnxruntime")  # no judge in its own case
    assert report.stretches == {1 << 30: 1, 1: 12, 3000: report.stretches}[memory]
    assert report.evidence is not None
    command = write_reproducer(report.evidence, tmp_path / "r", report.first.title)
    _reproduces(tmp_path / "r", command, against)


def _reproduces(folder: Path, command: str, against: str) -> NodesReport:
    """The reproducer is a checked model of one node; the fault shows in it, and its files are what they say."""
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert len(model.graph.node) == 1
    assert command in (folder / "README.txt").read_text(encoding="utf-8")
    feeds, saved = {}, folder / "test_data_set_0"
    for i, info in enumerate(model.graph.input):
        feeds[info.name] = onnx.numpy_helper.to_array(
            onnx.TensorProto.FromString((saved / f"input_{i}.pb").read_bytes())
        )
        if (folder / f"input_{i}.npy").exists():
            assert np.array_equal(feeds[info.name], np.load(folder / f"input_{i}.npy"), equal_nan=False)
            assert f"{info.name}={folder / f'input_{i}.npy'}" in command
    again = check_nodes(folder / "model.onnx", feeds, against=against)
    assert again.first is not None
    assert again.first.index == 0
    assert (folder / "expected_0.npy").exists()
    return again


def test_stretches_change_nothing(broken: Break) -> None:
    broken("Tanh", lambda x: x.shape[1] == 3, lambda y: y * np.float32(1.001))
    whole = check_nodes(_tower(), IMAGE)
    pieces = check_nodes(_tower(), IMAGE, memory=2000)
    assert pieces.stretches > whole.stretches == 1
    assert pieces.nodes == whole.nodes
    stopped = check_nodes(_tower(), IMAGE, memory=2000, stop_at_first=True)
    assert stopped.first == whole.first
    assert len(stopped.nodes) == 4
    assert stopped.total == 12


def test_a_difference_that_vanishes_is_found(broken: Break) -> None:
    """Behind it nothing differs any more, so that comparing what comes out would not find it."""
    broken("Neg", lambda x: True, lambda y: y - 1)
    nodes = [helper.make_node("Neg", ["a"], ["n"]), helper.make_node("Relu", ["n"], ["y"])]
    report = check_nodes(_model(nodes, {"a": (T.FLOAT, [3])}, ["y"]), {"a": np.float32([1, 2, 3])})
    assert report.first is not None
    assert report.first.op_type == "Neg"
    assert report.nodes[1].outputs[0].accumulated.max_abs == 0  # type: ignore[union-attr]


def test_a_kernel_that_fails(broken: Break, tmp_path: Path) -> None:
    def fail(y: Any) -> Any:
        raise ZeroDivisionError("oh")

    broken("Conv", _wide_filter, fail)
    report = check_nodes(_tower(), IMAGE)
    assert report.first is not None
    assert (report.first.index, report.first.status) == (2, "failed")
    assert "oh" in report.first.remark
    assert report.nodes[3].status == "agrees"
    assert report.evidence is not None
    command = write_reproducer(report.evidence, tmp_path / "r", report.first.title)
    assert _reproduces(tmp_path / "r", command, "onnxruntime").first.status == "failed"  # type: ignore[union-attr]
    assert not (tmp_path / "r" / "ours_0.npy").exists()


def test_other_shapes_and_dtypes_are_faults(broken: Break) -> None:
    broken("Tanh", lambda x: x.shape[1] == 4, lambda y: y[..., :4])
    report = check_nodes(_tower(), IMAGE)
    assert report.first is not None
    assert report.first.remark == "output 't0': shape [1, 4, 8, 4] here, [1, 4, 8, 8] there"
    assert [n.index for n in report.nodes if not n.agrees] == [1, 5, 9]


def _function() -> bytes:
    """A function that calls another, called twice."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    inner = helper.make_function("own", "Inner", ["a"], ["b"], [helper.make_node("Exp", ["a"], ["b"])], imports)
    outer_nodes = [helper.make_node("Inner", ["a"], ["e"], domain="own"), helper.make_node("Add", ["e", "k"], ["b"])]
    outer = helper.make_function("own", "Outer", ["a", "k"], ["b"], outer_nodes, imports)
    other = helper.make_function("own", "Unused", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], imports)
    nodes = [
        helper.make_node("Outer", ["x", "k"], ["h"], domain="own"),
        helper.make_node("Neg", ["h"], ["n"]),
        helper.make_node("Outer", ["n", "k"], ["y"], domain="own", name="second"),
    ]
    return _model(
        nodes,
        {"x": (T.FLOAT, [2, 3])},
        ["y"],
        functions=(inner, outer, other),
        domains=("own",),
        k=np.float32([1, 2, 3]),
    )


@pytest.mark.parametrize("against", AGAINST)
def test_functions(broken: Break, tmp_path: Path, against: str) -> None:
    feeds = {"x": np.float32([[1, 2, 3], [0, -1, -2]])}
    assert check_nodes(_function(), feeds, against=against, memory=1).first is None
    if against == "float64":
        return
    broken("Exp", lambda x: x.min() < -2, lambda y: y * 1.5)
    report = check_nodes(_function(), feeds, against=against)
    assert report.first is not None
    assert (report.first.name, report.first.domain) == ("second", "own")
    assert report.evidence is not None
    model = report.evidence.model()
    assert sorted(f.name for f in model.functions) == ["Inner", "Outer"]
    assert [t.name for t in model.graph.initializer] == ["k"]
    command = write_reproducer(report.evidence, tmp_path / "r", "second")
    _reproduces(tmp_path / "r", command, against)


def _branches() -> bytes:
    """An `If` whose branches read values from around it, inside a `Loop`, and a `Loop` that does so too."""

    def out(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, T.FLOAT, None)

    then = helper.make_graph([helper.make_node("Mul", ["h", "k"], ["tb"])], "then", [], [out("tb")])
    other = helper.make_graph([helper.make_node("Sin", ["h"], ["eb"])], "else", [], [out("eb")])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["keep"], ["keep_out"]),
            helper.make_node("Add", ["state", "h"], ["state_out"]),
            helper.make_node("Cos", ["state_out"], ["scan"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", T.INT64, []),
            helper.make_tensor_value_info("keep", T.BOOL, []),
            helper.make_tensor_value_info("state", T.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("keep_out", T.BOOL, []), out("state_out"), out("scan")],
    )
    nodes = [
        helper.make_node("Neg", ["x"], ["h"]),
        helper.make_node("If", ["c"], ["b"], then_branch=then, else_branch=other, name="choice"),
        helper.make_node("Loop", ["trips", "go", "b"], ["last", "all"], body=body, name="round"),
        helper.make_node("ReduceSum", ["all"], ["y"], keepdims=0),
    ]
    inputs = {"x": (T.FLOAT, [3]), "c": (T.BOOL, [])}
    return _model(nodes, inputs, ["y", "last"], k=np.float32([2, 3, 4]), trips=np.asarray(4), go=np.asarray(True))


@pytest.mark.parametrize("against", AGAINST)
@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_control_flow(against: str, memory: int) -> None:
    for condition in (True, False):
        feeds = {"x": np.float32([1, 2, 3]), "c": np.asarray(condition)}
        report = check_nodes(_branches(), feeds, against=against, memory=memory)
        assert [n.status for n in report.nodes] == ["agrees"] * 4
        assert report.nodes[1].inputs == (("c", "h", "k"))
        assert report.nodes[2].outputs[1].shape == (4, 3)


@pytest.mark.parametrize(("op_type", "name"), [("Sin", "choice"), ("Cos", "round")])
def test_a_fault_inside_control_flow(broken: Break, tmp_path: Path, op_type: str, name: str) -> None:
    broken(op_type, lambda x: True, lambda y: y + np.float32(0.25))
    report = check_nodes(_branches(), {"x": np.float32([1, 2, 3]), "c": np.asarray(False)})
    assert report.first is not None
    assert report.first.name == name
    assert report.evidence is not None
    command = write_reproducer(report.evidence, tmp_path / "r", name)
    assert "--input h=" in command
    _reproduces(tmp_path / "r", command, "onnxruntime")


def test_every_kind_of_value() -> None:
    """Whole numbers, truth values, text, sequences, optional values, narrow floats; NaN and infinities."""
    nodes = [
        helper.make_node("TopK", ["x", "two"], ["top", "where"]),
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
        helper.make_node("Cast", ["where"], ["text"], to=T.STRING),
        helper.make_node("Cast", ["x"], ["brief"], to=T.BFLOAT16),
        helper.make_node("Cast", ["x"], ["half"], to=T.FLOAT16),
        helper.make_node("Div", ["x", "zero"], ["edge"]),
        helper.make_node("SplitToSequence", ["x"], ["parts"], keepdims=0),
        helper.make_node("SequenceAt", ["parts", "one"], ["part"]),
        helper.make_node("Optional", ["x"], ["maybe"]),
        helper.make_node("OptionalGetElement", ["maybe"], ["surely"]),
        helper.make_node("Cast", ["brief"], ["long"], to=T.FLOAT),
        helper.make_node("MaxPool", ["image"], ["pooled"], kernel_shape=[2, 2]),
    ]
    inputs: dict[str, tuple[int, list[Any] | None]] = {"x": (T.FLOAT, [2, 3]), "image": (T.FLOAT, [1, 1, 4, 4])}
    outputs = ["top", "where", "positive", "text", "edge", "part", "surely", "long", "pooled", "half"]
    weights = {"two": np.int64([2]), "zero": np.float32(0), "one": np.asarray(1)}
    feeds = {
        "x": np.float32([[np.nan, np.inf, 0], [-1, 2.001, -np.inf]]),
        "image": np.random.default_rng(0).random((1, 1, 4, 4)).astype(np.float32),
    }
    model = _model(nodes, inputs, outputs, **weights)
    for memory in (1 << 30, 1):
        report = check_nodes(model, feeds, memory=memory)
        assert {n.op_type: n.remark for n in report.nodes if n.status != "agrees"} == {}
        kinds = {o.name: o.kind for n in report.nodes for o in n.outputs}
        expected = {"where": "int64", "positive": "bool", "text": "string", "brief": "bfloat16", "half": "float16"}
        assert {n: kinds[n] for n in expected} == expected
        assert kinds["parts"] == "sequence of 2"
        edge = next(o for n in report.nodes for o in n.outputs if o.name == "edge")
        assert edge.theirs.not_finite == 6
    assert report.stretches > 1


@pytest.mark.parametrize(
    ("op_type", "change"),
    [
        ("Greater", np.logical_not),
        ("Div", lambda y: np.nan_to_num(y, nan=0)),
        ("TopK", lambda y: (y[0], y[1] + 1)),
    ],
)
def test_values_that_are_no_ordinary_numbers_differ(broken: Break, op_type: str, change: Callable[[Any], Any]) -> None:
    nodes = [
        helper.make_node("TopK", ["x", "two"], ["top", "where"]),
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
        helper.make_node("Div", ["x", "zero"], ["edge"]),
    ]
    model = _model(nodes, {"x": (T.FLOAT, [3])}, ["where", "positive", "edge"], two=np.int64([2]), zero=np.float32([0]))
    broken(op_type, lambda *x: True, change)
    report = check_nodes(model, {"x": np.float32([0, 1, -1])})
    assert [n.op_type for n in report.nodes if not n.agrees] == [op_type]


def test_what_nobody_reads_is_not_judged(broken: Break) -> None:
    broken("TopK", lambda *x: True, lambda y: (y[0], y[1] + 1))
    nodes = [helper.make_node("TopK", ["x", "two"], ["top", "where"], name="best")]
    feeds = {"x": np.float32([1, 2, 3])}
    unread = check_nodes(_model(nodes, {"x": (T.FLOAT, [3])}, ["top"], two=np.int64([2])), feeds)
    assert unread.first is None
    assert [(o.read, o.local.agrees) for o in unread.nodes[0].outputs] == [(True, True), (False, False)]
    assert (
        check_nodes(_model(nodes, {"x": (T.FLOAT, [3])}, ["top", "where"], two=np.int64([2])), feeds).first is not None
    )


def test_optional_outputs_that_are_left_out() -> None:
    nodes = [helper.make_node("GRU", ["x", "w", "r"], ["", "h"], hidden_size=2), helper.make_node("Neg", ["h"], ["y"])]
    weights = {"w": np.ones((1, 6, 4), np.float32) / 8, "r": np.ones((1, 6, 2), np.float32) / 8}
    model = _model(nodes, {"x": (T.FLOAT, [3, 1, 4])}, ["y"], **weights)
    report = check_nodes(model, {"x": np.random.default_rng(0).random((3, 1, 4)).astype(np.float32)})
    assert report.first is None
    assert [o.name for o in report.nodes[0].outputs] == ["h"]


def test_random_nodes_are_not_compared_and_do_not_spread() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["s"]),
        helper.make_node("Dropout", ["s", "half", "yes"], ["y"]),
    ]
    model = _model(nodes, {"x": (T.FLOAT, [50])}, ["y"], yes=np.asarray(True), half=np.float32(0.5))
    for against in AGAINST:
        report = check_nodes(model, {"x": np.ones(50, np.float32)}, against=against)
        assert [n.status for n in report.nodes] == ["random", "agrees", "random"]


def test_float64_measures_rounding(broken: Break) -> None:
    nodes = [helper.make_node("Sub", ["x", "k"], ["d"]), helper.make_node("Mul", ["d", "big"], ["y"])]
    model = _model(nodes, {"x": (T.FLOAT, [2])}, ["y"], k=np.float32([1e-9, 1]), big=np.float32([1e6, 1]))
    report = check_nodes(model, {"x": np.float32([1, 2])}, against="float64")
    assert report.first is None
    (first,) = report.nodes[0].outputs
    assert first.local.max_abs == pytest.approx(1e-9, rel=1e-2)
    (second,) = report.nodes[1].outputs
    assert second.local.max_abs == 0
    assert second.accumulated is not None
    assert second.accumulated.max_abs == pytest.approx(1e-3, rel=1e-2)


def test_float64_widens_constants_and_casts() -> None:
    nodes = [
        helper.make_node("Constant", [], ["tenth"], value_float=0.1),
        helper.make_node("Cast", ["x"], ["h"], to=T.FLOAT16),
        helper.make_node("Cast", ["h"], ["f"], to=T.FLOAT),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Sum", ["f", "tenth", "zeros"], ["y"]),
    ]
    model = _model(nodes, {"x": (T.FLOAT, [1])}, ["y"], shape=np.int64([1]))
    proto = onnx.ModelProto.FromString(model)
    (y,) = run_ours(proto, {"x": np.float64([1 / 3])}, in_float64=True).values()
    assert y.dtype == np.float64
    assert y[0] == pytest.approx(1 / 3 + float(np.float32(0.1)), abs=1e-15)
    report = check_nodes(model, {"x": np.float32([1 / 3])}, against="float64")
    half = report.nodes[1].outputs[0]
    assert 1e-5 < half.local.max_abs < 1e-3
    assert report.nodes[1].status == "differs"  # a cast to float16 rounds, which float64 does not


def test_large_weights_are_fed_and_small_ones_stored() -> None:
    model = _tower(2)
    proto = onnx.ModelProto.FromString(model)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((100, 100), np.float32), "large"))
    proto.graph.node.append(helper.make_node("MatMul", ["large", "large"], ["z"]))
    proto.graph.output.append(onnx.ValueInfoProto(name="z"))
    pieces = Pieces(read(proto.SerializeToString()), IMAGE)
    assert pieces.needs(0, len(pieces.nodes)) == ["x", "large"]
    made = pieces.proto(0, 5, {**IMAGE, "large": pieces.weight("large")}, ["z"])
    assert [t.name for t in made.graph.initializer] == ["w0", "w1"]
    assert check_nodes(proto.SerializeToString(), IMAGE).first is None


def test_old_models_and_defaults_of_inputs() -> None:
    proto = onnx.ModelProto.FromString(_tower(2, opset=9))
    proto.ir_version = 3
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, T.FLOAT, tensor.dims))
    assert check_nodes(proto.SerializeToString(), IMAGE).first is None
    proto.ir_version = 8
    other = {"w0": np.zeros((4, 3, 3, 3), np.float32)}
    report = check_nodes(proto.SerializeToString(), IMAGE | other)
    assert report.first is None
    assert report.nodes[0].outputs[0].ours.largest == report.nodes[0].outputs[0].theirs.largest == 0


def test_faults_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="against"):
        check_nodes(_tower(), IMAGE, against="guesswork")
    with pytest.raises(InvalidInput, match="'x' is missing"):
        check_nodes(_tower(), {})
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    report = check_nodes(_tower(), IMAGE, tolerance=0)
    assert report.first is not None
    assert report.evidence is not None
    with pytest.raises(InvalidInput, match="something else is there"):
        write_reproducer(report.evidence, tmp_path / "taken", "x")
    assert (tmp_path / "taken" / "thesis.txt").read_text() == "mine"
    write_reproducer(report.evidence, tmp_path / "r", "first")
    write_reproducer(report.evidence, tmp_path / "r", "again")
    assert "again" in (tmp_path / "r" / "README.txt").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"r", "taken"}


def test_a_model_the_other_runtime_does_not_run() -> None:
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=T.BFLOAT16), helper.make_node("Sin", ["h"], ["y"])]
    model = _model(nodes, {"x": (T.FLOAT, [2])}, ["y"], opset=22)
    feeds = {"x": np.float32([1, 2])}
    with pytest.raises(RunFailed, match=r"onnxruntime does not run the model node by node.*'float64'"):
        check_nodes(model, feeds)
    assert [n.op_type for n in check_nodes(model, feeds, against="float64").nodes] == ["Cast", "Sin"]


def _report(path: Path, feeds: dict[str, np.ndarray], **options: Any) -> CheckReport:
    return CheckReport(verify(path, feeds), check_nodes(path, feeds, **options))


def test_a_wrong_pass_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_tower(title=""))

    def spoil(model: Any) -> bool:
        for node in model.graph:
            if node.op_type == "Tanh":
                node.op_type = "Sin"
        return True

    spoil.__module__ = "striate.runtime.passes.spoiler"
    monkeypatch.setattr(pipeline, "PIPELINE", (*pipeline.PIPELINE, spoil))
    monkeypatch.setattr("striate.exporter.verify_passes.PIPELINE", pipeline.PIPELINE)
    report = _report(path, IMAGE)
    assert report.nodes.first is None
    assert [row.name for row in report.differing_outputs()] == ["t5"]
    assert guilty_of(path, IMAGE, report) == ("pass 'spoiler'",)
    assert REUSE not in guilty_of(path, IMAGE, report)
    blamed = CheckReport(report.outputs, report.nodes, None, ("pass 'spoiler'",))
    assert "not without pass 'spoiler'" in blamed.verdict()


def test_json_holds_everything(broken: Break, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_tower(title=""))
    broken("Conv", _wide_filter, lambda y: y * np.float32(np.inf))
    found = json.loads(json.dumps(_report(path, IMAGE).as_json(), allow_nan=False))
    assert found["format"] == FORMAT
    assert (found["agrees"], found["first"], found["nodes_in_graph"]) == (False, 2, 12)
    assert set(found) == {
        "format", "model", "against", "tolerance", "agrees", "first", "whose_error", "passes", "seconds", "stretches",
        "nodes_in_graph", "outputs", "nodes",
    }  # fmt: skip
    node = found["nodes"][2]
    assert set(node) == {"index", "name", "op_type", "domain", "status", "remark", "inputs", "outputs"}
    assert (node["status"], node["inputs"]) == ("differs", ["t0", "w1"])
    output = node["outputs"][0]
    assert set(output) == {"name", "type", "shape", "read", "local", "accumulated", "ours", "theirs"}
    assert output["local"]["max_abs"] == "Infinity"
    assert output["shape"] == [1, 3, 8, 8]
    assert output["ours"]["not_finite"] == 192
    assert output["theirs"]["not_finite"] == 0


def test_the_page_is_one_file_and_text_stays_text(tmp_path: Path) -> None:
    name = "</script><img src=x onerror=alert(1)>&"
    nodes = [helper.make_node("Neg", ["x"], [name], name=name)]
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(nodes, {"x": (T.FLOAT, [2])}, [name]))
    report = _report(path, {"x": np.float32([1, 2])})
    text = page(report.as_json(), f"verdict {name}")
    assert name not in text
    assert "<img" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert "default-src 'none'" in text
    data = text.split('id="data">')[1].split("</script>")[0]
    assert json.loads(data)["nodes"][0]["name"] == name
