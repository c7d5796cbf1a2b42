"""`striate summary` of ONNX files: figures, shapes given by hand, tables at every width, JSON, missing weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.cells import cell_len

from striate.cli import main
from striate.cli.tables import bytes_text, number

from .conftest import Run

node = helper.make_node


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """conv 3 → 4, batch normalisation, pooling over everything, 4 → 5 scores; size and batch are open."""
    nodes = [
        node("Conv", ["image", "w"], ["c"], "a_rather_long_name_for_a/convolution", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["c", "s", "s", "m", "v"], ["n"], "norm"),
        node("GlobalAveragePool", ["n"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flat"),
        node("Gemm", ["f", "k"], ["y"], "scores"),
    ]
    ones = {"w": (4, 3, 3, 3), "s": (4,), "m": (4,), "v": (4,), "k": (4, 5)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in ones.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], producer_name="someone")
    helper.set_model_props(model, {"classes": "five"})
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


CONV = 4 * 8 * 8 * 27


def _facts(out: str) -> dict[str, str]:
    pairs = (line.strip().split("  ", 1) for line in out.splitlines() if "  " in line.strip())
    return {pair[0]: pair[1].strip() for pair in pairs}


def test_totals(striate: Run, net: Path) -> None:
    done = striate("summary", net, "--shape", "image=1x3x16x16")
    assert done.code == 0, done.err
    found = _facts(done.out)
    assert found["parameters"] == f"{108 + 4 + 20} ({132 * 4} B)"
    assert found["other constants"] == "8 (32 B)"
    assert found["MACs"] == f"{CONV + 20:,}"
    assert found["producer"] == "someone"
    assert found["opset"] == "ai.onnx 21"
    assert found["run by"] == "native 5"
    assert found["classes"] == "five"
    assert "note:" not in done.out


def test_open_dimensions_are_told(striate: Run, net: Path) -> None:
    out = striate("summary", net).out
    assert "image=1x3x?x?" in out
    assert _facts(out)["MACs"].startswith("at least 20")
    batch = striate("summary", net, "--shape", "image=4x3x16x16").out
    assert f"{4 * (CONV + 20):,}" in _facts(batch)["MACs"]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_lines_fit_and_line_up(
    net: Path, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "argv", ["striate", "summary", str(net), "--shape", "image=1x3x16x16", "--nodes"])
    with pytest.raises(SystemExit):
        main()
    lines = capsys.readouterr().out.splitlines()
    (head,) = (i for i, line in enumerate(lines) if line.split()[:2] == ["node", "operator"])
    table = lines[head : head + 7]
    assert max(map(cell_len, table)) <= width
    starts = {
        line.index(name) for line, name in zip(table[2:], ("Conv", "Batch", "Global", "Flatten", "Gemm"), strict=True)
    }
    assert len(starts) == 1
    assert table[0].index("operator") in starts
    assert table[2].split()[0].endswith("convolution")
    assert ("engine" in table[0]) == ("stride" in table[0]) == (width >= 110)
    assert table[2].split()[1:4] == ["Conv", "1×4×8×8"] + (["float"] if width >= 110 else ["108"])


def test_pipe_without_a_width_has_every_column(
    net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "argv", ["striate", "summary", str(net)])
    with pytest.raises(SystemExit):
        main()
    assert "engine" in capsys.readouterr().out


def test_sort_and_top(striate: Run, net: Path) -> None:
    def names(*options: object) -> list[str]:
        lines = striate("summary", net, "--shape", "image=1x3x16x16", *options).out.splitlines()
        (head,) = (i for i, line in enumerate(lines) if line.split()[:2] == ["node", "operator"])
        return [line.split()[0].rpartition("/")[2] for line in lines[head + 2 :] if line.strip()]

    assert names("--sort", "macs", "--top", 2)[:2] == ["convolution", "scores"]
    assert names("--sort", "params", "--top", 3)[:3] == ["convolution", "scores", "norm"]
    assert names("--sort", "memory")[:5] == ["convolution", "norm", "scores", "pool", "flat"]
    assert "2 of 5 nodes" in striate("summary", net, "--top", 2).out


def test_json_holds_everything(striate: Run, net: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.json"
    assert striate("summary", net, "--shape", "image=1x3x16x16", "--json", file, "--no-nodes").code == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["totals"]["macs"] == CONV + 20
    assert found["totals"]["peak_bytes"] == 4 * max(3 * 256 + 256, 2 * 256)
    assert found["model"]["opset"] == "ai.onnx 21"
    assert found["metadata"] == {"classes": "five"}
    assert found["inputs"] == [{"name": "image", "dtype": "float", "shape": [1, 3, 16, 16]}]
    conv, _, pool, *_ = found["nodes"]
    assert (conv["field"], conv["stride"], conv["start"], conv["engine"]) == ([3, 3], [2, 2], [0, 0], "native")
    assert pool["field"] == ["all", "all"]
    assert set(found["definitions"]) >= {"macs", "flops", "parameters"}


def test_external_weights_may_be_missing(striate: Run, net: Path, tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(onnx.load(net), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    done = striate("summary", path, "--shape", "image=1x3x16x16")
    assert done.code == 0, done.err
    assert "external data" in done.out
    assert f"{CONV + 20:,}" in _facts(done.out)["MACs"]
    assert _facts(done.out)["parameters"].startswith("132 ")


def test_graph_of_an_architecture(striate: Run, trained: Path) -> None:
    for what in ("lenet5", trained / "run" / "lenet5.striate"):
        done = striate("summary", what, "--graph")
        assert done.code == 0, done.err
        assert "416,520" in _facts(done.out)["MACs"]
        assert _facts(done.out)["parameters"].startswith("61,706 ")


WRONG = {
    "no number": (["--shape", "image=1x3xax4"], "expected NAME=SHAPE"),
    "no name": (["--shape", "1x3x4x4"], "expected NAME=SHAPE"),
    "twice": (["--shape", "image=1x3x4x4", "--shape", "image=1x3x4x4"], "twice"),
    "another input": (["--shape", "picture=1x3x4x4"], "no input 'picture'"),
    "another size": (["--shape", "image=1x4x4x4"], "dimension 1 is 3"),
    "no folder for JSON": (["--json", "nowhere/net.json"], "nowhere"),
}


@pytest.mark.parametrize("name", WRONG)
def test_faults_are_one_sentence(striate: Run, net: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(net.parent)
    options, match = WRONG[name]
    done = striate("summary", "net.onnx", *options)
    assert done.code == 1
    assert match in done.err
    assert len(done.err.splitlines()) == 1


def test_figures_of_a_graph_need_one(striate: Run) -> None:
    done = striate("summary", "lenet5", "--top", 3)
    assert done.code == 1
    assert "--graph" in done.err


def test_names_cannot_write_to_the_terminal(striate: Run, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("Relu", ["x"], ["y"], "red\x1b[31m[bold]")],
        "g\x1b[2J",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["\x1b[5m", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["\x1b[5m", 2])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), tmp_path / "m.onnx")
    out = striate("summary", tmp_path / "m.onnx").out
    assert "\x1b" not in out
    assert "red·[31m[bold]" in out


@pytest.mark.parametrize(
    ("count", "text", "size"),
    [
        (0, "0", "0 B"),
        (9_999, "9999", "9.76 KiB"),
        (10_000, "10.0 k", "9.77 KiB"),
        (999_949, "999.9 k", "976.5 KiB"),
        (999_950, "1.00 M", "976.5 KiB"),
        (3_860_000_000, "3.86 G", "3.59 GiB"),
        (None, "–", "–"),
    ],
)
def test_numbers(count: int | None, text: str, size: str) -> None:
    assert (number(count), bytes_text(count)) == (text, size)
