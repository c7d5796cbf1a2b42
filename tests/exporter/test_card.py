"""Model cards: every fact is in them, and what a stranger wrote into a file stays text."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from striate.exporter import card, write_card
from striate.runtime.errors import InvalidInput, ModelNotFound, NotAModel
from striate.trainer import Sequential, layers


def model() -> Sequential:
    made = Sequential(
        [layers.Conv2D(4, 3, input_shape=(8, 8, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")],
        name="little",
    )
    made.training_facts = {
        "dataset": "shapes",
        "classes": ["round", "square", "a|b"],
        "examples": 12_345,
        "epochs": 3,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "seed": 7,
        "loss": 0.25,
        "val_accuracy": 0.9375,
        "command": "striate train little --data shapes/",
    }
    return made


def rows(text: str) -> dict[str, str]:
    """Name → value of every line of a table, marks taken back."""
    found = {}
    for line in text.splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if len(cells) == 4:
            name, value = (re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells[1:3])
            found[name] = value
    return found


def test_all_that_is_known(tmp_path: Path) -> None:
    path = model().export(tmp_path / "m.onnx")
    written = write_card(path)
    assert written == tmp_path / "m.md"
    text = written.read_text(encoding="utf-8")
    assert "\n\n# little\n\nlittle, written by Striate" in text
    found = rows(text)
    assert found["SHA-256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["data"] == "shapes"
    assert found["examples"] == "12,345"
    assert found["seed"] == "7"
    assert found["command"] == "striate train little --data shapes/"
    assert found["accuracy, validation data"] == "0.9375"
    assert found["loss, training data"] == "0.25"
    assert found["in the order of outputs"] == "round, square, a|b"
    assert found["parameters"] == f"{4 * 9 + 4 + 6 * 6 * 4 * 3 + 3:,}"
    assert found["multiply-accumulates"] == f"{36 * 4 * 9 + 144 * 3:,}"
    assert found["output dense"] == "float, batch × 3"
    assert not list(tmp_path.glob(".*"))


def hostile() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "# name\n\n<script>",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, {"a|b": "c|d\n\n# e", "classes": "[" * 5000, "[l](http://x)": "*y*"})
    return made


def test_strangers_text_is_only_text(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(hostile(), path)
    text = card(path)
    assert next(line for line in text.splitlines() if line.startswith("#")) == "# \\# name \\<script\\>"
    assert rows(text)["a|b"] == "c|d # e"
    assert rows(text)["training"] == "unknown: the file does not say"
    assert "](" not in text.replace("\\]", "")
    assert max(map(len, text.splitlines())) < 3000


def test_other_files_are_not_replaced(tmp_path: Path) -> None:
    path = model().export(tmp_path / "m.onnx")
    write_card(path)
    write_card(path)
    (tmp_path / "m.md").write_text("# My own notes")
    with pytest.raises(InvalidInput, match="is not a model card that Striate wrote"):
        write_card(path)
    assert (tmp_path / "m.md").read_text() == "# My own notes"


def test_no_card_of_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        write_card(tmp_path / "none.onnx")
    (tmp_path / "x.onnx").write_bytes(b"no model at all")
    with pytest.raises(NotAModel):
        write_card(tmp_path / "x.onnx")
    assert not (tmp_path / "x.md").exists()
