"""Model cards: what is known of an exported model, in Markdown beside it (M. Mitchell et al., "Model Cards for Model
Reporting", 2019).

Everything is read from the file itself: shapes and costs from its graph, how it was trained from its metadata. What
nobody wrote down is said to be unknown.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from ..runtime.cost import Report, analyse
from ..runtime.errors import InvalidInput
from ..runtime.files import atomic_write
from ..runtime.reader import read

__all__ = ["card", "card_path", "write_card"]

TRAINING = {
    "dataset": "data",
    "examples": "examples",
    "epochs": "epochs",
    "batch_size": "batch size",
    "optimizer": "optimizer",
    "learning_rate": "learning rate",
    "augment": "augmentation",
    "seed": "seed",
    "validation": "share kept for validation",
    "split_seed": "seed of that split",
    "boosting": "boosted trees",
    "command": "command",
    "versions": "versions",
}
"""Keys of the metadata that `striate train` writes → what a card calls them."""
MARK = "<!-- A model card, written by Striate: it is written anew with the model. -->"
LISTED = 30
"""Names of classes that a card lists."""


def card_path(model: str | os.PathLike[str]) -> Path:
    """Where the card of a model lies: `m.onnx` → `m.md`."""
    return Path(model).with_suffix(".md")


def write_card(model: str | os.PathLike[str]) -> Path:
    """Writes the card of an ONNX file beside it, whole or not at all; an older card is replaced.

    Raises:
        InvalidInput: a file that is no such card has its name.
        StriateError: the model cannot be read; see `runtime.reader.read`.
        OSError: the card cannot be written.
    """
    path = card_path(model)
    text = card(model)
    if path.exists() and not path.read_bytes().startswith(MARK.encode()):
        raise InvalidInput(f"{path}: is not a model card that Striate wrote; move it away, or export without a card")
    atomic_write(path, text.encode())
    return path


def card(model: str | os.PathLike[str]) -> str:
    """The text of a card: Markdown, one level of headings, ending with a newline.

    Args:
        model: the path of an ONNX file.
    """
    path = Path(model)
    found = read(path)
    content = path.read_bytes()
    facts = {key: _plain(value) for key, value in found.metadata_props.items()}
    report = analyse(found)
    name = found.graph.name or path.stem
    parts = [
        MARK,
        f"# {_text(name)}",
        _text((found.doc_string or "").partition(" Training: ")[0]),
        _section("File", _file(path, content, found)),
        _section("Inputs and outputs", _values(report)),
        _section("Costs, for one example", _costs(report)),
        _section("Training", _training(facts)),
        _section("Measured", _measured(facts)),
        _section("Classes", _classes(facts)),
        _section("Further metadata", _others(facts)),
        "## Limits\n\nWhat is measured above holds for the data named above; on other data it may do better or worse.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = [f"| {_text(name)} | {_text(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *lines])


def _file(path: Path, content: bytes, model: ir.Model) -> dict[str, Any]:
    opsets = ", ".join(f"{domain or 'ai.onnx'} {number}" for domain, number in model.graph.opset_imports.items())
    return {
        "file": f"{path.name}, {len(content):,} bytes",
        "SHA-256": hashlib.sha256(content).hexdigest(),
        "producer": f"{model.producer_name or 'unknown'} {model.producer_version or ''}".strip(),
        "opset": opsets,
        "IR version": model.ir_version,
    }


def _values(report: Report) -> dict[str, str]:
    rows = {}
    for kind, values in (("input", report.inputs), ("output", report.outputs)):
        for value in values:
            shape = "unknown" if value.shape is None else " × ".join(map(str, value.shape)) or "scalar"
            rows[f"{kind} {value.name}"] = f"{value.dtype or 'unknown'}, {shape}"
    return rows


def _costs(report: Report) -> dict[str, str]:
    return {
        "parameters": f"{report.parameters:,}",
        "multiply-accumulates": f"{report.macs:,}",
        "memory of activations": f"{report.peak_bytes:,} bytes at the peak",
        "weights": f"{report.weight_bytes:,} bytes",
    }


def _training(facts: Mapping[str, Any]) -> dict[str, Any]:
    rows = {title: _written(facts[key]) for key, title in TRAINING.items() if key in facts}
    return rows or {"training": "unknown: the file does not say"}


def _measured(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Losses and metrics, those of validation data last."""
    numbers = {k: v for k, v in facts.items() if isinstance(v, float) and k not in TRAINING}
    return {_measure(k): f"{v:.6g}" for k, v in sorted(numbers.items(), key=lambda item: item[0].startswith("val_"))}


def _measure(name: str) -> str:
    part = "validation" if name.startswith("val_") else "test" if name.startswith("test_") else "training"
    return f"{name.removeprefix('val_').removeprefix('test_').replace('_', ' ')}, {part} data"


def _classes(facts: Mapping[str, Any]) -> dict[str, Any]:
    classes = facts.get("classes")
    if not isinstance(classes, list) or not classes:
        return {}
    more = f", … {len(classes):,} in all" if len(classes) > LISTED else ""
    return {"in the order of outputs": ", ".join(map(str, classes[:LISTED])) + more}


def _others(facts: Mapping[str, Any]) -> dict[str, Any]:
    taken = {*TRAINING, "classes"}
    return {k: _written(v) for k, v in facts.items() if k not in taken and not isinstance(v, float)}


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_written(v)}" for k, v in value.items())
    if isinstance(value, list):
        return _shortened(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000 else str(value)


def _shortened(items: Iterable[str]) -> str:
    listed = list(items)
    return ", ".join(listed[:LISTED]) + (f", … {len(listed):,} in all" if len(listed) > LISTED else "")


def _plain(value: str) -> Any:
    """Metadata are text; numbers, lists and the like were written as JSON."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _text(value: Any) -> str:
    """One line that Markdown takes for text and that fits a table; metadata may hold anything."""
    text = " ".join(str(value).split())
    for mark in "\\|<>[]*_#":
        text = text.replace(mark, "\\" + mark)
    return text if len(text) <= 1000 else f"{text[:1000]}…"
