"""The networks that come trained: each file is what its card says, and does what its card says."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from striate import models
from striate.exporter import card, verify
from striate.runtime import InferenceSession
from striate.runtime.errors import InvalidInput
from striate.trainer import data
from tests.cli.conftest import Run, striate  # noqa: F401
from tools import pretrain, questions

TOLERANCE = 1e-5
LIMIT = 3 << 20
LEAST = {"lenet5": 0.99, "lenet5_1998": 0.98, "text_cnn": 0.9}
NETS = {f"lecun1989_net{i}" for i in range(1, 6)}
NAMES = sorted({*LEAST, *NETS})


def _facts(name: str) -> dict[str, str]:
    return {p.key: p.value for p in onnx.load(models.pretrained(name)).metadata_props}


def _examples(name: str, session: InferenceSession) -> data.Dataset:
    """The test part, as the network takes it."""
    shape = session.get_inputs()[0].shape
    if len(shape) == 4:
        return data.load("digits", tuple(shape[1:3]), 1, "test")
    texts = data.load(questions.FOLDER / "questions_test.tsv")
    vocabulary = data.Vocabulary.from_facts(_facts(name), name)
    assert vocabulary is not None
    return data.Dataset(vocabulary.encode(texts.x, "refuse").ids, texts.y, texts.classes)


def test_the_names() -> None:
    assert models.pretrained_names() == NAMES == sorted(pretrain.RECIPES)
    assert set(NAMES) <= set(models.names())
    with pytest.raises(InvalidInput, match=r"'lenet6'; there are: lecun1989_net1, .*text_cnn"):
        models.pretrained("lenet6")
    with pytest.raises(InvalidInput, match="there are: "):
        models.pretrained("../pretrained/lenet5")


def test_the_files_are_small_and_complete() -> None:
    folder = models.pretrained("lenet5").parent
    files = {p.name for p in folder.iterdir() if p.is_file() and p.suffix != ".py"}
    assert files == {f"{name}{suffix}" for name in NAMES for suffix in (".onnx", ".md")}
    assert sum((folder / name).stat().st_size for name in files) < LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_the_one_of_its_card(name: str) -> None:
    path = models.pretrained(name)
    onnx.checker.check_model(str(path), full_check=True)
    written = path.with_suffix(".md").read_text(encoding="utf-8")
    found = re.search(r"\| SHA-256 \| ([0-9a-f]{64}) \|", written)
    assert found is not None
    assert found[1] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert written == card(path)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_and_agreement(name: str) -> None:
    path = models.pretrained(name)
    session = InferenceSession(str(path))
    test, facts = _examples(name, session), _facts(name)
    feeds = {session.get_inputs()[0].name: test.x}
    scores = session.run(None, feeds)[0]
    measured = float((scores.argmax(1) == test.y).mean())
    assert measured == pytest.approx(float(facts["test_accuracy"]), abs=1e-9)
    assert int(facts["test_examples"]) == len(test)
    assert json.loads(facts["classes"]) == list(test.classes)
    assert f"| accuracy, test data | {measured:.6g} |" in path.with_suffix(".md").read_text(encoding="utf-8")
    assert measured >= LEAST.get(name, 0.93)
    report = verify(path, feeds)
    assert report.against.startswith("onnxruntime")
    assert report.max_abs <= TOLERANCE
    assert all(row.argmax_equal == row.argmax_total for row in report.rows)


def test_free_parameters_as_published() -> None:
    """Sharing and missing connections are in the weights: the graph may hold more numbers than were free."""
    free = {**dict(zip(sorted(NETS), (2570, 3214, 1226, 1132, 1060), strict=True)), "lenet5": 61_706}
    assert {name: int(_facts(name)["parameters"]) for name in free} == free


@pytest.mark.parametrize("name", ["lenet5", "lecun1989_net5"])
def test_evaluate(striate: Run, name: str) -> None:
    result = striate("evaluate", f"pretrained:{name}", "--data", "digits")
    assert result.code == 0, result.err
    assert f"{float(_facts(name)['test_accuracy']):.2%}" in result.out
    assert "359 examples" in result.out


def test_texts(striate: Run) -> None:
    for text, answer in (
        ("Who painted the narrow bridge?", "person"),
        ("where can I find the golden piano", "place"),
        ("in which year did the strike begin", "time"),
        ("how many apples did the zookeeper buy", "number"),
    ):
        result = striate("run", "pretrained:text_cnn", "--input", text)
        assert result.code == 0, result.err
        assert re.search(rf"^\s+0\s+{answer} 0\.[5-9]|^\s+0\s+{answer} 1\.", result.out, re.MULTILINE), result.out
    table = questions.FOLDER / "questions_test.tsv"
    assert striate("evaluate", "pretrained:text_cnn", "--data", table).code == 0


def test_other_commands(striate: Run, tmp_path: Path) -> None:
    spec = "pretrained:lecun1989_net4"
    values = tmp_path / "values"
    np.save(tmp_path / "x.npy", data.load("digits", 16, 1, "test").x[:2])
    for arguments in (
        ("summary", spec),
        ("check", spec),
        ("run", spec, "-i", tmp_path / "x.npy", "--save-all", values),
        ("plot", "architecture", spec, "--out", tmp_path / "a.png"),
        ("plot", "confusion", spec, "--data", "digits", "--out", tmp_path / "c.png"),
    ):
        result = striate(*arguments)
        assert result.code == 0, (arguments, result.out, result.err)
    assert (values / "index.json").is_file()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("evaluate", "pretrained:lenet6"), "no trained network is called 'lenet6'; there are: lecun1989_net1"),
        (("run", "pretrained:", "-i", "x.npy"), "no trained network is called ''; there are: "),
        (("train", "pretrained:lenet5"), "is an ONNX file; expected a .striate file"),
        (("evaluate", "lenet5"), "there is a trained one: pretrained:lenet5"),
        (("summary", "pretrained:lenet5", "--count"), "layers are counted of an architecture"),
    ],
)
def test_refused(striate: Run, command: tuple[str, ...], message: str) -> None:
    result = striate(*command)
    assert result.code == 1
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_the_questions() -> None:
    parts = {part: questions.questions(part) for part in questions.PARTS}
    assert not {text for _, text in parts["train"]} & {text for _, text in parts["test"]}
    lines = [_templates(templates) for templates, _ in questions.PARTS.values()]
    assert not lines[0] & lines[1]
    for part, rows in parts.items():
        assert {label for label, _ in rows} == {"person", "place", "time", "number"}
        table = data.load(questions.FOLDER / f"questions_{part}.tsv")
        assert [(table.classes[y], text) for text, y in zip(table.x, table.y, strict=True)] == rows


def _templates(by_class: dict[str, str]) -> set[str]:
    return {line.strip() for block in by_class.values() for line in block.splitlines() if line.strip()}


def test_training_again_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of a short recipe: the same file, byte for byte; and what it says of itself is so."""
    recipe = pretrain.Recipe(pretrain.NET_16, 1, 0.005)
    monkeypatch.setitem(pretrain.RECIPES, "lecun1989_net5", recipe)
    made: list[dict[str, Any]] = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        made.append(pretrain.pretrain("lecun1989_net5", folder))
    first, second = ((tmp_path / f / "lecun1989_net5.onnx").read_bytes() for f in "ab")
    assert first == second
    assert made[0] == made[1]
    assert made[0]["parameters"] == 1060
    assert card(tmp_path / "a" / "lecun1989_net5.onnx") == (tmp_path / "a" / "lecun1989_net5.md").read_text("utf-8")


def test_a_network_that_disagrees_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pretrain.RECIPES, "lecun1989_net1", pretrain.Recipe(pretrain.NET_16, 1, 0.005))
    monkeypatch.setattr(pretrain, "TOLERANCE", -1.0)
    with pytest.raises(InvalidInput, match="differs from onnxruntime by"):
        pretrain.pretrain("lecun1989_net1", tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_recipe(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tools.pretrain", "lenet6", "--out", str(tmp_path)],
        cwd=questions.FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "no recipe for 'lenet6'; there are: lecun1989_net1" in result.stderr
    assert "Traceback" not in result.stderr
