"""`striate check` and `striate run --save-all`: what they print, write and refuse, and their exit codes."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from striate.cli import progress as bar
from striate.cli.values import save_all
from striate.exporter.verify_nodes import check_nodes
from striate.exporter.verify_results import NodesReport
from striate.runtime import InferenceSession
from striate.runtime.ops import registry

from .conftest import Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a model of two convolutions whose names are no file names."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a/b"], pads=[1] * 4, name="first"),
        helper.make_node("Tanh", ["a/b"], ["../up"]),
        helper.make_node("Conv", ["../up", "v"], ["A_b"], pads=[1] * 4, name="second"),
        helper.make_node("Cast", ["A_b"], ["brief"], to=T.BFLOAT16),
        helper.make_node("Cast", ["brief"], ["y"], to=T.FLOAT),
        helper.make_node("SplitToSequence", ["y"], ["parts"], axis=1),
        helper.make_node("SequenceLength", ["parts"], ["n"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", T.FLOAT, ["N", 3, 6, 6])],
        [helper.make_tensor_value_info("y", T.FLOAT, None), helper.make_tensor_value_info("n", T.INT64, [])],
        [
            onnx.numpy_helper.from_array(rng.standard_normal((4, 3, 3, 3)).astype(np.float32), "w"),
            onnx.numpy_helper.from_array(rng.standard_normal((2, 4, 3, 3)).astype(np.float32), "v"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", rng.standard_normal((2, 3, 6, 6)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions of four channels are wrong in one place."""
    operator = registry.lookup("", "Conv", 18)
    right = operator.kernel

    def kernel(xp: Any, *inputs: Any, **attributes: Any) -> Any:
        y = right(xp, *inputs, **attributes)
        if inputs[1].shape[1] == 4:
            y[0, 1, 2, 3] += np.float32(0.5)
        return y

    monkeypatch.setattr(operator, "kernel", kernel)


@pytest.mark.parametrize("options", ["", "--input x.npy", "--against float64 --tolerance 0.05", "--bisect --memory 1"])
def test_a_sound_model(striate: Run, folder: Path, options: str) -> None:
    done = striate("check", "m.onnx", *options.split())
    assert done.code == 0, done.err
    assert "all 2 outputs agree within" in done.out
    assert "so do all 7 nodes" in done.out
    assert {p.name for p in folder.iterdir()} == {"m.onnx", "x.npy"}


def test_the_wrong_node_is_named_and_its_reproducer_runs(
    striate: Run, folder: Path, broken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = striate("check", "m.onnx", "--json", "r.json", "--html", "r.html", "--all")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "node #2 second (Conv) is the first that differs from onnxruntime: output 'A_b' by up to 0.5" in line
    assert "ours is off by 0.5 on 'A_b'" in line
    assert "7 of 7 nodes" in done.out
    assert "▶" in done.out
    report = json.loads((folder / "r.json").read_text())
    assert (report["agrees"], report["first"]) == (False, 2)
    assert [n["status"] for n in report["nodes"]] == ["agrees", "agrees", "differs", *["agrees"] * 4]
    assert "second" in (folder / "r.html").read_text(encoding="utf-8")
    (command,) = (text for text in done.out.splitlines() if "striate check" in text)
    again = striate(*shlex.split(command.partition("striate ")[2]))
    assert again.code == 1
    assert "node #0 second (Conv)" in again.err
    model = onnx.load(folder / "m.reproducer" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [v.name for v in model.graph.input] == ["../up"]


def test_only_the_worst_are_shown_unless_asked(striate: Run, folder: Path, broken: None) -> None:
    shown = striate("check", "m.onnx", "--worst", 0, "--reproducer", "elsewhere")
    assert "1 of 7 nodes" in shown.out
    assert (folder / "elsewhere" / "model.onnx").is_file()
    assert not (folder / "m.reproducer").exists()
    stopped = striate("check", "m.onnx", "--bisect", "--all")
    assert stopped.code == 1
    assert "3 of 7 nodes" in stopped.out


def test_the_table_lines_up_on_narrow_screens(striate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from striate.exporter import verify
    from striate.exporter.verify_report import CheckReport

    feeds = {"x": np.load(folder / "x.npy")}
    report = CheckReport(verify(folder / "m.onnx", feeds), check_nodes(folder / "m.onnx", feeds))
    for width in (80, 120):
        console = Console(width=width, record=True, file=open(folder / "out.txt", "w"))  # noqa: SIM115
        console.print(report.table(None, width))
        lines = [line.rstrip() for line in console.export_text().splitlines() if line.strip()]
        console.file.close()
        assert len(lines) == 3 + 7
        assert lines[1].endswith("from start")
        assert ("bfloat16" in " ".join(lines)) is (width == 120)
        assert all(len(line) <= width for line in lines)


def test_a_tolerance_replaces_the_table(striate: Run, folder: Path, broken: None) -> None:
    assert striate("check", "m.onnx", "--tolerance", 1).code == 0
    assert striate("check", "m.onnx", "--tolerance", 0).code == 1


def test_an_error_that_only_optimisation_makes(striate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.runtime import passes

    def spoil(model: Any) -> bool:
        for node in model.graph:
            node.op_type = "Sin" if node.op_type == "Tanh" else node.op_type
        return True

    spoil.__module__ = "striate.runtime.passes.spoiler"
    monkeypatch.setattr(passes, "PIPELINE", (*passes.PIPELINE, spoil))
    monkeypatch.setattr("striate.exporter.verify_passes.PIPELINE", passes.PIPELINE)
    done = striate("check", "m.onnx")
    assert done.code == 1
    assert "output 'y' differs from onnxruntime" in done.err
    assert "not without pass 'spoiler'" in done.err
    assert not (folder / "m.reproducer").exists()


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("check m.onnx --against guesswork", 2, "guesswork"),
        ("check m.onnx --json no/r.json", 1, "there is no folder 'no'"),
        ("check m.onnx --html .", 1, "it is a folder"),
        ("check m.onnx --input z=x.npy", 1, "no such input"),
        ("check m.onnx --memory 0", 2, "memory"),
        ("run m.onnx -i x.npy --save-all no/values", 1, "no folder"),
        ("run m.onnx -i x.npy --save-all m.onnx", 1, "something else is there"),
        ("run m.onnx -i x.npy --save-all .", 1, "something else is there"),
    ],
)
def test_refusals(striate: Run, folder: Path, line: str, code: int, message: str) -> None:
    done = striate(*line.split())
    assert done.code == code
    assert message in done.err
    assert {p.name for p in folder.iterdir()} == {"m.onnx", "x.npy"}


def test_without_the_other_runtime(striate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = striate("check", "m.onnx")
    assert done.code == 1
    assert "pip install 'striate[check]'" in done.err
    assert striate("check", "m.onnx", "--against", "reference").code == 0


def test_values_in_a_folder(striate: Run, folder: Path) -> None:
    for _ in range(2):
        done = striate("run", "m.onnx", "-i", "x.npy", "--save-all", "values")
        assert done.code == 0, done.err
    assert "wrote 9 values" in done.out
    index = json.loads((folder / "values" / "index.json").read_text())
    files = {entry["name"]: entry["file"] for entry in index["values"]}
    assert list(files) == ["x", "a/b", "../up", "A_b", "brief", "y", "parts[0]", "parts[1]", "n"]
    assert files["a/b"] == "a_b.npy"
    assert files["A_b"] == "A_b_2.npy"
    assert files["../up"] == "_up.npy"
    assert sorted(p.name for p in (folder / "values").iterdir()) == sorted([*files.values(), "index.json"])
    kinds = {entry["name"]: entry["dtype"] for entry in index["values"]}
    assert (kinds["brief"], kinds["n"]) == ("bfloat16", "int64")
    read = {name: np.load(folder / "values" / file) for name, file in files.items()}
    (y, n) = InferenceSession("m.onnx").run(None, {"x": np.load("x.npy")})
    np.testing.assert_allclose(read["y"], y, rtol=1e-2)
    assert np.array_equal(read["brief"].view(ml_dtypes.bfloat16).astype(np.float32), read["y"])
    np.testing.assert_allclose(read["../up"], np.tanh(read["a/b"]), rtol=1e-6)
    assert read["n"] == n == 2
    assert index["values"][3]["node"] == "#2 second"


def test_values_in_an_archive(striate: Run, folder: Path) -> None:
    assert striate("run", "m.onnx", "-i", "x.npy", "--save-all", "values.npz").code == 0
    with np.load(folder / "values.npz") as archive:
        assert {"x", "a_b", "A_b_2", "y", "n", "index.json"} <= set(archive.files)
        assert archive["y"].shape == (2, 2, 6, 6)
    assert {p.name for p in folder.iterdir()} == {"m.onnx", "x.npy", "values.npz"}


@pytest.mark.parametrize("target", ["values", "values.npz"])
def test_values_are_bounded(folder: Path, target: str) -> None:
    from striate.runtime.errors import LimitExceeded

    with pytest.raises(LimitExceeded, match="--save-limit"):
        save_all(folder / "m.onnx", {"x": np.load("x.npy")}, folder / target, 2000)
    assert {p.name for p in folder.iterdir()} == {"m.onnx", "x.npy"}


def test_progress_waits_and_goes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with bar.progress("work") as update:
        update(1, 2)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with bar.progress("work") as update:
        update(1, 2)
    assert "work" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(bar, "PATIENCE", -1.0)
    with bar.progress("work") as update:
        update(1, 2)
    assert "work" in capsys.readouterr().out


def test_progress_is_told(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = check_nodes(folder / "m.onnx", {"x": np.load("x.npy")}, progress=lambda *at: seen.append(at))
    assert isinstance(report, NodesReport)
    assert seen == [(i, 7) for i in range(1, 8)]
