"""All that can be wrong with a model file, its graph, or what is fed to it: one clear error, and nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from striate import runtime
from striate.runtime import errors
from striate.runtime.reader import Limits, read

from . import protos

X = np.ones((2, 3), np.float32)
Proto = onnx.ModelProto
CAPI = runtime.capi.onnxruntime_pybind11_state


Change = Callable[[Proto, Path], Any]
"""Spoils a good model in place, or returns the file's bytes; the second argument is the folder the file will lie in."""

ORT = {
    errors.EmptyModel: CAPI.InvalidArgument,
    errors.InvalidGraph: CAPI.InvalidGraph,
    errors.InvalidModel: CAPI.Fail,
    errors.LimitExceeded: CAPI.Fail,
    errors.NotAModel: CAPI.InvalidProtobuf,
    errors.UndefinedValue: CAPI.InvalidArgument,
    errors.UnsupportedOperator: CAPI.InvalidGraph,
}
"""Which of onnxruntime's classes catches which of ours."""


def _with_attribute(**attributes: Any) -> Callable[[Proto, Path], None]:
    return lambda m, _: m.graph.node[0].attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())


def _einsum(**attributes: Any) -> Change:
    """Makes the first node an Einsum of x and w."""

    def change(m: Proto, _: Path) -> None:
        m.graph.node[0].CopyFrom(helper.make_node("Einsum", ["x", "w"], ["y"], name="dense", **attributes))

    return change


def _set(path: str, value: Any) -> Callable[[Proto, Path], None]:
    """Sets `a.b[0].c` of a model."""

    def change(m: Proto, _: Path) -> None:
        *parents, last = path.replace("[", ".[").split(".")
        target: Any = m
        for part in parents:
            target = target[int(part[1:-1])] if part.startswith("[") else getattr(target, part)
        if last.startswith("["):
            target[int(last[1:-1])] = value
        else:
            setattr(target, last, value)

    return change


def _external(location: str, content: bytes | None = None, **entries: Any) -> Callable[[Proto, Path], None]:
    def change(m: Proto, folder: Path) -> None:
        data = protos.make_external(m.graph.initializer[0], location, **entries)
        if content != b"absent":
            (folder / "weights.bin").write_bytes(data if content is None else content)

    return change


def _linked(link: Callable[[Path, Path], None]) -> Callable[[Proto, Path], None]:
    """External data at `link.bin`, which `link(real, link)` makes."""

    def change(m: Proto, folder: Path) -> None:
        real = folder.parent / f"{folder.name}-outside.bin"
        real.write_bytes(protos.make_external(m.graph.initializer[0], "link.bin"))
        link(real, folder / "link.bin")

    return change


def _folder_link(m: Proto, folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside"
    outside.mkdir()
    (outside / "w.bin").write_bytes(protos.make_external(m.graph.initializer[0], "sub/w.bin"))
    (folder / "sub").symlink_to(outside, target_is_directory=True)


def _fifo(m: Proto, folder: Path) -> None:
    protos.make_external(m.graph.initializer[0], "pipe")
    os.mkfifo(folder / "pipe")


def _function(m: Proto, *nodes: onnx.NodeProto, calls: str = "f", **kwargs: Any) -> None:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    m.functions.append(helper.make_function("own", "f", ["a"], ["b"], list(nodes), imports, **kwargs))
    m.opset_import.append(helper.make_opsetid("own", 1))
    m.graph.node[1].domain, m.graph.node[1].op_type = "own", calls


def _sparse(dims: list[int], indices: list[int]) -> Callable[[Proto, Path], None]:
    def change(m: Proto, _: Path) -> None:
        sparse = m.graph.sparse_initializer.add(dims=dims)
        sparse.values.CopyFrom(numpy_helper.from_array(np.ones(len(indices), np.float32), "w"))
        sparse.indices.CopyFrom(numpy_helper.from_array(np.asarray(indices, np.int64)))
        del m.graph.initializer[0]

    return change


def row(id: str, kind: type[errors.StriateError], change: Change, *fragments: str) -> Any:
    """The error's class, and what must be in its message or notes."""
    return pytest.param(change, kind, fragments, id=id)


E = errors
# fmt: off
FILES = [
    # the file
    row("empty file", E.EmptyModel, lambda m, _: b"", "No graph was found", "0 bytes", "bad.onnx"),
    row("text", E.NotAModel, lambda m, _: b"hello, world", "Protobuf parsing failed", "not an ONNX file"),
    row("a picture", E.NotAModel, lambda m, _: b"\x89PNG\r\n\x1a\n" + bytes(64), "not an ONNX file"),
    row("zeros", E.NotAModel, lambda m, _: bytes(64), "not an ONNX file, or damaged at byte 0"),
    row("truncated", E.NotAModel, lambda m, _: m.SerializeToString()[:-60], "truncated", "bytes are missing"),
    row("another protobuf", E.NotAModel, lambda m, _: m.graph.node[0].SerializeToString(), "bad.onnx"),
    row("nested 25 deep", E.LimitExceeded, lambda m, _: protos.nested(25), "nested more than 24 deep"),
    row("nested 120 deep", E.LimitExceeded, lambda m, _: protos.nested(120), "nested too deeply", "24"),
    row("nested 5000 deep", E.LimitExceeded, lambda m, _: protos.nested(5000), "nested too deeply"),
    # the header
    row("IR version of the future", E.UnsupportedOperator, _set("ir_version", 99), "IR version: 99", "3 to"),
    row("IR version 1", E.UnsupportedOperator, _set("ir_version", 1), "IR version: 1"),
    row("opset of the future", E.UnsupportedOperator, _set("opset_import[0].version", 99), "opset 99", "1 to"),
    row("opset 0", E.UnsupportedOperator, _set("opset_import[0].version", 0), "opset 0 of ai.onnx"),
    row("opset -1", E.UnsupportedOperator, _set("opset_import[0].version", -1), "opset -1 of ai.onnx"),
    row("no opset", E.InvalidGraph, lambda m, _: m.ClearField("opset_import"), "Missing opset"),
    row("two opsets", E.InvalidGraph, lambda m, _: m.opset_import.add(version=3), "opset 21", "opset 3"),
    # the graph
    row("no graph", E.EmptyModel, lambda m, _: m.ClearField("graph"), "No graph was found"),
    row("empty graph", E.InvalidGraph, lambda m, _: m.graph.Clear(), "graph is empty", "0 nodes"),
    row("no outputs", E.InvalidGraph, lambda m, _: m.graph.ClearField("output"), "2 nodes and no outputs"),
    row("no nodes", E.InvalidGraph, lambda m, _: m.graph.ClearField("node"), "Graph output (z) does not exist"),
    row("cycle", E.InvalidGraph, _set("graph.node[0].input[0]", "z"),
        "not acyclic", "'dense' (Gemm)", "'relu' (Relu)"),
    row("cycle of one", E.InvalidGraph, _set("graph.node[1].input[0]", "z"), "not acyclic", "'relu' (Relu)"),
    row("undefined input", E.UndefinedValue, _set("graph.node[0].input[0]", "nobody"), "'nobody'", "'dense' (Gemm)"),
    row("undefined output", E.InvalidGraph, _set("graph.output[0].name", "nobody"), "Graph output (nobody)"),
    row("name defined twice", E.InvalidGraph, _set("graph.node[1].output[0]", "y"), "'relu' (Relu)", "'y'", "unique"),
    row("input named twice", E.InvalidGraph, lambda m, _: m.graph.input.append(m.graph.input[0]),
        "(x)", "two inputs"),
    row("weight named twice", E.InvalidGraph, _set("graph.initializer[1].name", "w"), "(w)", "two initializers"),
    row("weight without a name", E.InvalidGraph, _set("graph.initializer[1].name", ""), "no name"),
    row("input without a type", E.InvalidGraph, lambda m, _: m.graph.input[0].ClearField("type"),
        "'x'", "without a type"),
    row("input of type 0", E.InvalidGraph, _set("graph.input[0].type.tensor_type.elem_type", 0), "'x'", "data type"),
    row("input of type 77", E.InvalidGraph, _set("graph.input[0].type.tensor_type.elem_type", 77), "'x'", "77"),
    # the operators
    row("unknown operator", E.UnsupportedOperator, _set("graph.node[1].op_type", "Rellu"),
        "'relu' (Rellu)", "No Op registered"),
    row("unknown domain", E.UnsupportedOperator, _set("graph.node[1].domain", "com.acme"),
        "'relu'", "'com.acme'", "opset"),
    row("deprecated operator", E.UnsupportedOperator, _set("graph.node[1].op_type", "Upsample"),
        "'relu'", "deprecated"),
    row("attribute of the wrong type", E.InvalidGraph, _with_attribute(transA="yes"),
        "'dense", "transA", "'INT'", "'STRING'"),
    row("unknown attribute", E.InvalidGraph, _with_attribute(colour=1), "'dense' (Gemm)", "colour", "alpha"),
    row("attribute twice", E.InvalidGraph, lambda m, _: [_with_attribute(alpha=a)(m, _) for a in (1.0, 2.0)],
        "'alpha'"),
    row("attribute not text", E.InvalidGraph, _with_attribute(auto_pad=b"\xff"), "'dense'", "auto_pad", "UTF-8"),
    row("operator not text", E.InvalidGraph,
        lambda m, _: m.SerializeToString().replace(b"Relu", b"R\xff\xfeu"), "'relu'", "UTF-8"),
    row("malformed equation", E.InvalidGraph, _einsum(equation="é..ii,...jk->...,k"), "'dense'", "is not an equation"),
    row("too many inputs", E.InvalidGraph, lambda m, _: m.graph.node[1].input.append("x"),
        "'relu'", "input size 2", "max=1"),
    row("too few inputs", E.InvalidGraph,
        lambda m, _: [m.graph.node[0].input.pop() for _ in "bw"],
        "'dense'", "input size 1"),
    row("too many outputs", E.InvalidGraph, lambda m, _: m.graph.node[1].output.append("q"),
        "'relu'", "output size 2"),
    row("required input left out", E.InvalidGraph, _set("graph.node[0].input[1]", ""), "'dense'", "'B'", "required"),
    row("shapes that do not fit", E.InvalidGraph, _set("graph.input[0].type.tensor_type.shape.dim[1].dim_value", 4),
        "'dense' (Gemm)"),
    row("dtypes that do not fit", E.InvalidGraph, _set("graph.input[0].type.tensor_type.elem_type", 11),
        "'dense' (Gemm)"),
    # functions
    row("function that calls itself", E.InvalidGraph,
        lambda m, _: _function(m, helper.make_node("f", ["a"], ["b"], domain="own")),
        "own.f", "itself"),
    row("function with an unknown operator", E.UnsupportedOperator,
        lambda m, _: _function(m, helper.make_node("Nope", ["a"], ["b"])),
        "own.f", "Nope"),
    row("function that is not there", E.UnsupportedOperator,
        lambda m, _: _function(m, helper.make_node("Relu", ["a"], ["b"]), calls="g"),
        "'relu' (g)"),
    # stored tensors
    row("raw data too short", E.InvalidGraph, _set("graph.initializer[0].raw_data", b"abc"), "'w'", "3 bytes", "24"),
    row("dims contradict data", E.InvalidGraph, _set("graph.initializer[0].dims[0]", 4), "'w'", "[4, 2]", "32"),
    row("negative dims", E.InvalidGraph, _set("graph.initializer[0].dims[0]", -3), "'w'", "negative dimension -3"),
    row("dims overflow", E.LimitExceeded, lambda m, _: m.graph.initializer[0].dims.extend([2**40, 2**40]),
        "'w'", "bytes"),
    row("dims overflow behind a zero", E.LimitExceeded, lambda m, _: m.graph.initializer[0].dims.extend([0, 2**62]),
        "'w'"),
    row("70 dims", E.LimitExceeded, lambda m, _: m.graph.initializer[0].dims.extend([1] * 68),
        "'w'", "70 dimensions"),
    row("unknown data type", E.InvalidGraph, _set("graph.initializer[0].data_type", 99), "'w'", "99"),
    row("text in raw data", E.InvalidGraph, _set("graph.initializer[0].data_type", 8), "'w'", "text"),
    row("sparse tensor of a terabyte", E.LimitExceeded, _sparse([2**20, 2**18], [0]), "'w'"),
    row("sparse tensor, bad index", E.InvalidGraph, _sparse([3, 2], [6]), "'w'", "index"),
    # external data
    row("external data missing", E.InvalidModel, _external("weights.bin", b"absent"),
        "'w'", "is missing", "weights.bin"),
    row("external data above the folder", E.InvalidModel, _external("../weights.bin"),
        "'w'", "leaves the model's folder"),
    row("external data through ..", E.InvalidModel, _external("a/../weights.bin"),
        "'w'", "leaves the model's folder"),
    row("external data, Windows ..", E.InvalidModel, _external("..\\weights.bin"),
        "'w'", "leaves the model's folder"),
    row("external data, absolute", E.InvalidModel, _external("/etc/passwd"), "'w'", "absolute", "/etc/passwd"),
    row("external data, Windows absolute", E.InvalidModel, _external("C:\\weights.bin"), "'w'", "absolute"),
    row("external data without a name", E.InvalidModel, _external(""), "'w'", "names no file"),
    row("external data too short", E.InvalidModel, _external("weights.bin", bytes(23)),
        "'w'", "bytes 0 to 24", "has 23"),
    row("external offset past the end", E.InvalidModel, _external("weights.bin", offset=10**12),
        "'w'", "1,000,000,000,000"),
    row("external offset negative", E.InvalidModel, _external("weights.bin", offset=-4), "'w'", "offset '-4'"),
    row("external length wrong", E.InvalidModel, _external("weights.bin", length=20), "'w'", "20 bytes", "24"),
    row("external data is a folder", E.InvalidModel, _external("."), "'w'"),
    row("external symlink", E.InvalidModel, _linked(lambda real, link: link.symlink_to(real)), "'w'", "symlink"),
    row("external symlinked folder", E.InvalidModel, _folder_link, "'w'", "symlink"),
    row("external hardlink", E.InvalidModel, _linked(lambda real, link: os.link(real, link)), "'w'", "hardlink"),
    row("external pipe", E.InvalidModel, _fifo, "'w'", "not a regular file"),
]
# fmt: on


@pytest.mark.parametrize(("change", "kind", "fragments"), FILES)
def test_bad_file(change: Change, kind: type[errors.StriateError], fragments: tuple[str, ...], tmp_path: Path) -> None:
    proto = protos.dense()
    folder = tmp_path / "model"
    folder.mkdir()
    data = change(proto, folder)
    path = protos.save(data if isinstance(data, bytes) else proto, folder / "bad.onnx")
    before = _snapshot(tmp_path)
    with pytest.raises(errors.StriateError) as caught:
        runtime.InferenceSession(str(path))
    _assert_says(caught.value, kind, "bad.onnx", *fragments)
    assert isinstance(caught.value, ORT[kind])
    assert _snapshot(tmp_path) == before


RUNS: dict[str, tuple[Callable[[Any], Any], type[errors.StriateError], tuple[str, ...]]] = {
    "missing input": (lambda s: s.run(None, {}), E.InvalidInput, ("['x']", "missing from input feed ([])")),
    "unknown input": (lambda s: s.run(None, {"x": X, "q": X}), E.InvalidInput, ("Invalid input name: q", "['x']")),
    "unknown output": (lambda s: s.run(["q"], {"x": X}), E.InvalidInput, ("Invalid output name:q", "['z', 'y']")),
    "wrong rank": (lambda s: s.run(None, {"x": X[0]}), E.InvalidInput, ("rank", "input: x", "Got: 1", "Expected: 2")),
    "wrong shape": (
        lambda s: s.run(None, {"x": X[:, :2]}),
        E.InvalidInput,
        ("input: x", "index: 1 Got: 2 Expected: 3"),
    ),
    "wrong dtype": (
        lambda s: s.run(None, {"x": X.astype(int)}),
        E.InvalidInput,
        ("int64", "tensor(float)", "'x'", "astype"),
    ),
    "text": (lambda s: s.run(None, {"x": X.astype(str)}), E.InvalidInput, ("tensor(string)", "tensor(float)", "'x'")),
    "dates": (lambda s: s.run(None, {"x": X.astype("M8[s]")}), E.InvalidInput, ("datetime64", "tensor(float)", "'x'")),
    "None": (lambda s: s.run(None, {"x": None}), E.InvalidInput, ("Missing Input: x",)),
    "a number": (lambda s: s.run(None, {"x": 1.0}), E.InvalidInput, ("float", "'x'")),
    "a ragged list": (lambda s: s.run(None, {"x": [[1.0], [1.0, 2.0]]}), E.InvalidInput, ("list", "'x'")),
    "no dict": (lambda s: s.run(None, X), E.InvalidInput, ("ndarray", "dict")),
}


@pytest.mark.parametrize("name", RUNS)
def test_bad_run(name: str) -> None:
    call, kind, fragments = RUNS[name]
    session = runtime.InferenceSession(protos.dense().SerializeToString())
    with pytest.raises(errors.StriateError) as caught:
        call(session)
    _assert_says(caught.value, kind, *fragments)


def test_node_that_fails_is_named() -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], name="reshape")]
    proto = protos.model(
        nodes, [protos.tensor_info("x", ["N"]), protos.tensor_info("shape", [1], 7)], [protos.tensor_info("y", None)]
    )
    session = runtime.InferenceSession(proto.SerializeToString())
    with pytest.raises(errors.StriateError, match=r"'reshape' \(Reshape\)"):
        session.run(None, {"x": X.reshape(-1), "shape": np.array([4])})


@pytest.mark.parametrize("source", [None, 3, bytearray(b"x")], ids=repr)
def test_neither_path_nor_bytes(source: Any) -> None:
    with pytest.raises(TypeError, match="Unable to load from type"):
        runtime.InferenceSession(source)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.onnx") as caught:
        runtime.InferenceSession(tmp_path / "none.onnx")
    assert isinstance(caught.value, errors.ModelNotFound)
    assert isinstance(caught.value, CAPI.NoSuchFile)


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(CAPI.InvalidProtobuf) as caught:
        runtime.InferenceSession(tmp_path)
    _assert_says(caught.value, errors.NotAModel, "is a directory")


def test_external_data_of_bytes() -> None:
    proto = protos.dense()
    protos.make_external(proto.graph.initializer[0], "w.bin")
    with pytest.raises(errors.InvalidModel, match=r"'w' has no folder.*bytes"):
        read(proto.SerializeToString())


@pytest.mark.parametrize(
    ("limits", "fragment"),
    [
        (Limits(model_bytes=100), "bytes long; at most 100"),
        (Limits(nodes=1), "more than 1 nodes"),
        (Limits(rank=1), "2 dimensions; at most 1"),
        (Limits(tensor_bytes=20), "24 bytes; allowed are 20"),
    ],
    ids=["model_bytes", "nodes", "rank", "tensor_bytes"],
)
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "bytes"])
def test_limits(limits: Limits, fragment: str, as_file: bool, tmp_path: Path) -> None:
    data = protos.dense().SerializeToString()
    with pytest.raises(errors.LimitExceeded, match=fragment):
        read(protos.save(data, tmp_path / "m.onnx") if as_file else data, limits=limits)


def test_truncated_anywhere() -> None:
    data = protos.dense().SerializeToString()
    outcomes = {_outcome(data[:length]) for length in range(len(data))}
    assert errors.NotAModel in outcomes


def test_damaged_anywhere() -> None:
    """Random bytes changed: it either still loads and runs, or raises one of our errors."""
    data = protos.dense().SerializeToString()
    random = np.random.default_rng(0)
    for _ in range(600):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[random.integers(0, len(data), random.integers(1, 4))] = random.integers(0, 256)
        _outcome(damaged.tobytes())


def _outcome(data: bytes) -> type[Exception] | None:
    """The error a model gives when it is loaded and run; anything but ours passes through."""
    try:
        runtime.InferenceSession(data).run(None, {"x": X})
    except errors.StriateError as error:
        return next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return None


def _assert_says(error: BaseException, kind: type[Exception], *fragments: str) -> None:
    """Class, and fragments in the message or its notes."""
    assert isinstance(error, kind), f"{type(error).__mro__}: {error}"
    text = "\n".join([str(error), *getattr(error, "__notes__", [])])
    for fragment in fragments:
        assert fragment in text, f"{fragment!r} is not in: {text}"


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*")}
