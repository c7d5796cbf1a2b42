"""The command line: each subcommand does its work; each fault is one line, an exit code, and nothing half-written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from striate.cli.sources import image_input
from striate.cli.training import file_name
from striate.trainer import Model

from .conftest import Run

COMMANDS = (
    "demo", "train", "evaluate", "export", "run", "check", "summary", "bench", "profile", "boost", "cache", "models",
    "explain conv", "plot kernels", "experiment sharing",
)  # fmt: skip


def test_train_writes_model_log_and_curves(trained: Path) -> None:
    names = sorted(p.name for p in (trained / "run").iterdir())
    assert names == ["curves.png", "history.csv", "lenet5.striate", "run.toml"]
    heading, row = (trained / "run" / "history.csv").read_text().splitlines()
    assert heading.split(",")[:3] == ["epoch", "loss", "accuracy"]
    assert len(row.split(",")) == len(heading.split(","))


def test_training_goes_on(striate: Run, trained: Path, tmp_path: Path) -> None:
    done = striate(
        "train", trained / "run" / "lenet5.striate", "--data", trained / "few.npz", "--epochs", 1,
        "--out", tmp_path, "--learning-rate", "0.0005",
    )  # fmt: skip
    assert done.code == 0, done.err
    shown = striate("summary", tmp_path / "lenet5.striate")
    assert "61,706" in shown.out
    assert re.search(r"^ *epochs +2 *$", shown.out, re.MULTILINE)


def test_same_seed_same_bits(striate: Run, trained: Path, tmp_path: Path) -> None:
    for name in "ab":
        assert (
            striate("train", "lenet5", "--data", trained / "few.npz", "--epochs", 1, "--out", tmp_path / name).code == 0
        )
    first, second = (Model.load(tmp_path / name / "lenet5.striate").get_weights() for name in "ab")
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("file", ["run/lenet5.striate", "m.onnx"])
def test_evaluate(striate: Run, trained: Path, file: str) -> None:
    done = striate("evaluate", trained / file, "--data", trained / "few.npz")
    assert done.code == 0, done.err
    assert "digit 9" in done.out
    assert "cross-entropy" in done.out


def test_evaluate_agrees_between_file_kinds(striate: Run, trained: Path) -> None:
    said = [striate("evaluate", trained / f, "--part", "test").out for f in ("run/lenet5.striate", "m.onnx")]
    figures = [line for text in said for line in text.splitlines() if line.strip().startswith("accuracy")]
    assert len(figures) == 2
    assert figures[0] == figures[1]
    assert "359 examples" in said[0]


def test_export_options(striate: Run, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.onnx"
    done = striate(
        "export", trained / "run" / "lenet5.striate", "--out", path, "--opset", 13, "--no-fold", "--batch", 2,
        "--metadata", "author=me",
    )  # fmt: skip
    assert done.code == 0, done.err
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    assert written.opset_import[0].version == 13
    assert written.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    facts = {p.key: p.value for p in written.metadata_props}
    assert facts["author"] == "me"
    assert facts["optimizer"] == "adam"
    assert float(facts["loss"]) > 0


def test_run(striate: Run, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    done = striate("run", trained / "m.onnx", "--input", trained / "x.npy", "--output", out, "--top", 2)
    assert done.code == 0, done.err
    (scores,) = np.load(out).values()
    assert scores.shape == (3, 10)
    assert f"digit {scores[0].argmax()}" in done.out
    name = onnx.load(trained / "m.onnx").graph.input[0].name
    for picture in (trained / "zero.png", f"{name}={trained / 'large.png'}"):
        done = striate("run", trained / "m.onnx", "--input", picture)
        assert done.code == 0, done.err
        assert "1×10" in done.out


def test_check(striate: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what differs is written here
    done = striate("check", trained / "m.onnx")
    assert done.code == 0, done.err
    assert "max |diff|" in done.out
    assert striate("check", trained / "m.onnx", "--input", trained / "x.npy", "--against", "reference").code == 0
    strict = striate("check", trained / "m.onnx", "--tolerance", 0)
    assert (strict.code, len(strict.err.splitlines())) in ((1, 1), (0, 0))


@pytest.mark.parametrize("what", ["lenet5", "run/lenet5.striate", "m.onnx"])
def test_summary(striate: Run, trained: Path, what: str) -> None:
    done = striate("summary", what if what == "lenet5" else trained / what)
    assert done.code == 0, done.err
    assert "61,706" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(striate: Run, command: str) -> None:
    done = striate(*command.split(), "--help")
    assert done.code == 0
    assert f"striate {command}" in done.out.split("Examples:")[1]


def test_version_and_no_arguments(striate: Run) -> None:
    assert striate("--version").out.startswith("striate 0.")
    assert striate().code == 2


def test_help_is_light() -> None:
    code = (
        "import sys; from striate.cli import app; "
        "print([m for m in ('numpy', 'onnx', 'onnx_ir', 'matplotlib', 'onnxruntime', 'sklearn') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _two_inputs(folder: Path) -> None:
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in "aby"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), folder / "two.onnx")


def _labels_out_of_range(folder: Path) -> None:
    np.savez(folder / "bad.npz", x=np.zeros((4, 32, 32, 1), np.float32), y=np.asarray([0, 1, -1, 2]))


def _many_classes(folder: Path) -> None:
    np.savez(folder / "many.npz", x=np.zeros((24, 32, 32, 1), np.float32), y=np.arange(24) % 12)


def _truncated(folder: Path) -> None:
    (folder / "cut.onnx").write_bytes((folder / "m.onnx").read_bytes()[:2000])
    (folder / "cut.striate").write_bytes((folder / "lenet5.striate").read_bytes()[:2000])


def nothing(folder: Path) -> None:
    """The case needs no files of its own."""


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no such model": (nothing, "train lenet6 --data few.npz --out new", "'lenet6' is neither the name of one"),
    "train an onnx file": (nothing, "train m.onnx --out new", "expected a .striate file"),
    "no such data": (nothing, "train lenet5 --data nope --out new", "'nope' is neither"),
    "labels out of range": (_labels_out_of_range, "train lenet5 --data bad.npz --out new", "label -1 of example 2"),
    "more classes than outputs": (_many_classes, "train lenet5.striate --data many.npz --out new", "has 10 outputs"),
    "unknown optimizer": (nothing, "train lenet5 --data few.npz --optimizer magic --out new", "magic"),
    "learning rate of nothing": (nothing, "train lenet5 --data few.npz --learning-rate 0 --out new", "learning rate 0"),
    "loss becomes NaN": (
        nothing,
        "train lenet5 --data few.npz --optimizer sgd --learning-rate 1e30 --out new",
        "finite",
    ),
    "no such device": (nothing, "train lenet5 --data few.npz --device tpu --out new", "'tpu' is unknown"),
    "out is a file": (nothing, "train lenet5 --data few.npz --out few.npz", "is a file; expected a folder"),
    "evaluate nothing": (nothing, "evaluate nope.onnx", "nope.onnx: does not exist"),
    "evaluate a folder": (nothing, "evaluate .", "is a folder"),
    "evaluate two inputs": (_two_inputs, "evaluate two.onnx", "expected one"),
    "evaluate on other shapes": (_write("d.npz", b"x"), "evaluate m.onnx --data d.npz", "cannot be read as an .npz"),
    "export nothing": (nothing, "export nope.striate", "does not exist"),
    "export to no folder": (nothing, "export lenet5.striate --out no/m.onnx", "no folder"),
    "export for no opset": (nothing, "export lenet5.striate --out new.onnx --opset 999", "opset 999"),
    "export odd metadata": (nothing, "export lenet5.striate --out new.onnx --metadata x", "expected KEY=VALUE"),
    "striate file cut": (_truncated, "export cut.striate --out new.onnx", "cut.striate"),
    "onnx file cut": (_truncated, "summary cut.onnx", "cut.onnx"),
    "not an onnx file": (_write("text.onnx", b"hello"), "check text.onnx", "text.onnx"),
    "empty onnx file": (_write("empty.onnx", b""), "check empty.onnx", "empty.onnx"),
    "not a striate file": (_write("text.striate", b"hello, world"), "summary text.striate", "text.striate"),
    "input of a wrong rank": (nothing, "run m.onnx --input wrong.npy", "32"),
    "input of no file": (nothing, "run m.onnx --input nope.npy", "'nope.npy' does not exist"),
    "input of no such name": (nothing, "run m.onnx --input colour=x.npy", "colour"),
    "input twice": (nothing, "run m.onnx --input x.npy --input x.npy", "no such input"),
    "input not an array": (_write("bad.npy", b"hello"), "run m.onnx --input bad.npy", "is not a NumPy array"),
    "input not a picture": (_write("bad.png", b"hello"), "run m.onnx --input bad.png", "cannot be read as a picture"),
    "input missing": (_two_inputs, "run two.onnx --input wrong.npy", "b"),
    "picture for a vector": (_two_inputs, "run two.onnx --input zero.png", "a picture needs four dimensions"),
    "output to no folder": (nothing, "run m.onnx --input x.npy --output no/out.npz", "no folder"),
    "summary of nothing": (nothing, "summary nope.onnx", "does not exist"),
    "summary of no name": (nothing, "summary nope", "neither the name"),
}


@pytest.mark.parametrize(("prepare", "line", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(
    striate: Run,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Path], object],
    line: str,
    message: str,
) -> None:
    for file in (*trained.iterdir(), trained / "run" / "lenet5.striate"):
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {p.name for p in tmp_path.iterdir()}
    done = striate(*line.split())
    assert done.code == 1, done.out
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert "Traceback" not in done.err
    assert "fault of Striate" not in done.err
    new = {p.name for p in tmp_path.iterdir()} - before
    assert new <= {"new"}
    assert not list(tmp_path.glob("new/*.striate"))


@pytest.mark.parametrize(
    "line",
    ["nonsense", "train", "train lenet5 --epochs 0", "train lenet5 --epochs many", "run m.onnx", "demo --seed -1"],
)
def test_wrong_usage_is_exit_code_2(striate: Run, line: str) -> None:
    done = striate(*line.split())
    assert done.code == 2
    assert "Usage" in done.err
    assert "Traceback" not in done.err


def test_interrupt_and_unexpected_errors(striate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate import models

    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    def broken() -> list[str]:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(models, "names", interrupted)
    assert striate("summary", "lenet5").code == 130
    monkeypatch.setattr(models, "names", broken)
    done = striate("summary", "lenet5")
    assert done.code == 1
    assert "fault of Striate" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("shape", "size", "channels", "first"),
    [
        ([None, 32, 32, 1], (32, 32), 1, False),
        (["N", 3, 224, 224], (224, 224), 3, True),
        (["N", 3, "H", "W"], None, 3, True),
        ([1, 64, 48, 3], (64, 48), 3, False),
    ],
)
def test_image_layouts(shape: list[int | str | None], size: tuple[int, int] | None, channels: int, first: bool) -> None:
    found = image_input(shape)
    assert found is not None
    assert (found.size, found.channels, found.channels_first) == (size, channels, first)
    assert image_input([None, 10]) is None


def test_a_name_from_a_file_stays_in_the_folder() -> None:
    assert file_name("lenet5") == "lenet5"
    assert file_name("../../etc/passwd") == "_.._etc_passwd"
    assert file_name("..") == "model"
