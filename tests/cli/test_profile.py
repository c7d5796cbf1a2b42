"""`striate profile`: what it prints and writes of a small model, in processes of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.cells import cell_len

from striate.bench.profile_report import chrome_trace, lines, shares, totals
from striate.runtime.profile import NodeTime, Piece, Profile, Span

from .conftest import Run

node = helper.make_node


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a matrix product as machine code, a cumulative sum as NumPy; batch and size are open."""
    rng = np.random.default_rng(0)
    nodes = [
        node("Conv", ["x", "w"], ["c"], "first/conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], "first/relu"),
        node("CumSum", ["r", "axis"], ["s"], "sum"),
        node("GlobalAveragePool", ["s"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flat"),
        node("Gemm", ["f", "g"], ["y"], "scores"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [
            numpy_helper.from_array(rng.standard_normal((8, 3, 3, 3), np.float32), "w"),
            numpy_helper.from_array(rng.standard_normal((8, 5), np.float32), "g"),
            numpy_helper.from_array(np.asarray(2, np.int64), "axis"),
        ],
    )
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def test_everything(striate: Run, net: Path, tmp_path: Path) -> None:
    done = striate(
        "profile", net, "--input", "x=2x3x32x32", "--threads", 2, "--runs", 3, "--top", 2,
        "--json", tmp_path / "p.json",
        "--trace", tmp_path / "t.json", "--png", tmp_path / "p.png",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "2 of 5 nodes" in done.out or "2 of 6 nodes" in done.out
    assert "2×3×32×32" in done.out
    found = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    nodes = {n["name"]: n for n in found["nodes"]}
    conv = nodes["first/conv"]
    assert (conv["operators"], conv["engine"]) == (["Conv", "Relu"], "native")
    assert conv["flops"] == 2 * (2 * 8 * 32 * 32) * 27 + 2 * 8 * 32 * 32
    assert (nodes["sum"]["engine"], nodes["scores"]["engine"]) == ("arrays", "native")
    assert sum(n["share"] for n in nodes.values()) == pytest.approx(1)
    for n in nodes.values():
        assert 0 < n["min"] <= n["median"]
        assert all(step["label"] for step in n["steps"])
    for group in ("by_operator", "by_engine"):
        assert sum(s["seconds"] for s in found[group]) == pytest.approx(sum(n["median"] for n in nodes.values()))
    assert {s["name"] for s in found["by_engine"]} == {"native", "arrays"}
    assert (found["run"]["runs"], found["threads"]) == (3, 2)
    assert found["flops_per_second"] > 1e9
    trace = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["traceEvents"]
    lanes = {e["tid"]: e["args"]["name"] for e in trace if e["name"] == "thread_name"}
    assert lanes[0] == "nodes"
    events = [e for e in trace if e["ph"] == "X"]
    assert {e["name"] for e in events if e["tid"] == 0} == set(nodes)
    assert {e["args"]["node"] for e in events if e["tid"] == 1} == set(nodes)
    assert all(e["tid"] in lanes and e["ts"] >= 0 and e["dur"] >= 0 for e in events)
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 50


def test_on_numpy(striate: Run, net: Path) -> None:
    done = striate("profile", net, "--input", "1x3x8x8", "--engine", "arrays", "--runs", 1, "--threads", 1)
    assert done.code == 0, done.err
    (engines,) = (line for line in done.out.splitlines() if line.split()[:2] == ["arrays", "6"])
    assert "100.0%" in engines


WRONG: dict[str, tuple[list[object], str]] = {
    "no file": (["nothing.onnx"], "nothing.onnx: does not exist"),
    "open size": (["net.onnx"], "--input x=1x3x?x?"),
    "another input": (["net.onnx", "--input", "z=1x3x8x8"], "no input 'z'"),
    "no folder": (["net.onnx", "--trace", "nowhere/t.json"], "no folder 'nowhere'"),
    "a folder": (["net.onnx", "--png", "."], "it is a folder"),
    "too slow": (["net.onnx", "--input", "x=1x3x8x8", "--runs", 1_000_000, "--timeout", 2], "no answer within 2 s"),
    "it fails": (["fails.onnx", "--threads", 1], "Reshape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_faults_are_one_sentence(striate: Run, net: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(net.parent)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, [3])
    graph = helper.make_graph([node("Reshape", ["x", "shape"], ["y"], "turn")], "g", [x, shape], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), "fails.onnx")
    np.save("shape.npy", np.asarray([4, 4, 4]))
    arguments, match = WRONG[name]
    more = ["--input", "shape=shape.npy"] if name == "it fails" else []
    done = striate("profile", *arguments, *more)
    assert done.code == 1
    assert match in done.err
    assert len(done.err.splitlines()) == 1


def _profile() -> Profile:
    nodes = [
        NodeTime(
            "a/very/long/name/" * 9 + "conv", ["Conv", "Relu"], "Conv", "native", 2_000_000, 1 << 20, [4e-5, 2e-5, 3e-5]
        ),
        NodeTime("sum\x1b[31m", ["CumSum"], "CumSum", "arrays", None, None, [1e-5, 1e-5, 1e-5]),
        NodeTime("copy", ["Reshape", "Transpose"], "Transpose", "native", 0, 4096, [0.0, 0.0, 0.0]),
    ]
    nodes[0].pieces = [Piece("small", [1e-6] * 3), Piece("large", [2e-5] * 3)]
    trace = [
        Span(0, "large", 0, 0.0, 2e-5, 3), Span(0, "large", 1, 1e-6, 2.1e-5, 4), Span(1, "", 0, 3e-5, 4e-5, 1),
        Span(0, "small", 0, 5e-5, 6e-5, 1),
    ]  # fmt: skip
    return Profile(2, nodes, [1e-3, 3e-3, 2e-3], [1e-3], trace, 5e10, 1e10)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_lines_fit_and_line_up(width: int) -> None:
    _, head, rule, *rows, _ = lines(_profile(), 3, width)
    assert {cell_len(head), cell_len(rule)} == {cell_len(rule)}
    assert cell_len(rule) <= max(width, 78)
    assert len(rows) == 3
    assert all(
        row.index(text) == head.index("operator") for row, text in zip(rows, ("Conv", "CumSum", "Reshape"), strict=True)
    )
    assert rows[0].split()[0].endswith("conv")
    assert "\x1b" not in "".join(rows)
    assert ("native: large" in rows[0]) == (width >= 110)
    assert {"0.030", "75.0%", "66.7", "133%"} <= set(rows[0].split())
    assert "2 of 3 nodes; the others take 0.0000 ms" in lines(_profile(), 2, width)[-2]


def test_totals() -> None:
    text = "\n".join(totals(_profile(), 120))
    assert "a run takes 2.00 ms on 2 threads (median of 3" in text
    assert "its nodes 0.0400 ms" in text
    assert "50 GFLOP/s" in text
    assert "10.0 GB/s" in text
    assert "above 100 %" in text
    found = {s.name: (s.count, s.flops) for s in shares(_profile(), lambda n: n.engine)}
    assert found == {"native": (2, 2_000_000), "arrays": (1, None)}


def test_trace_has_a_line_for_nodes_and_one_for_each_thread() -> None:
    events = chrome_trace("m.onnx", _profile())["traceEvents"]
    assert [e["args"]["name"] for e in events if e["name"] == "thread_name"] == ["nodes", "thread 0", "thread 1"]
    spans = [(e["tid"], e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    conv = _profile().nodes[0].name
    assert spans[:3] == [(0, conv, 0, 21), (0, "sum\x1b[31m", 30, 10), (0, conv, 50, 10)]
    assert (2, "large", 1, 20) in spans
    assert (1, "CumSum", 30, 10) in spans
