"""One node with what it was given, as a model and files that anybody can run."""

from __future__ import annotations

import io
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..runtime.dtypes import is_float
from ..runtime.errors import InvalidInput
from ..runtime.files import atomic_write
from .verify_pieces import Pieces

__all__ = ["Evidence", "write_reproducer"]

README = "README.txt"
_FIRST_LINE = "One node on which two runtimes differ, found by striate check."


@dataclass(frozen=True)
class Evidence:
    """A node, the inputs both sides were given, what the other side made of them, and what ours did."""

    pieces: Pieces
    index: int
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]
    found: Mapping[str, Any]
    against: str
    error: str = ""

    def model(self) -> onnx.ModelProto:
        """The node alone, with the shapes it has here."""
        pieces, names = self.pieces, self.pieces.writes[self.index]
        proto = pieces.proto(self.index, self.index + 1, self.inputs, names)
        for info in proto.graph.output:
            value = self.found[info.name] if info.name in self.found else self.expected.get(info.name)
            if value is not None:
                info.CopyFrom(pieces.input_info(info.name, value))
        return proto


def write_reproducer(evidence: Evidence, folder: str | os.PathLike[str], title: str) -> str:
    """Writes `model.onnx`, its inputs and what the other runtime computes, as .npy and as one of ONNX's test data sets.

    Args:
        folder: made whole or not at all; an earlier reproducer there is replaced.
        title: what to call the node.

    Returns:
        The command that checks it.

    Raises:
        InvalidInput: if something else is there.
    """
    target = Path(folder)
    if target.exists() and not _is_reproducer(target):
        raise InvalidInput(f"cannot write the reproducer to {target}: something else is there")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    (beside / "test_data_set_0").mkdir(parents=True)
    try:
        command = _fill(beside, target, evidence, title)
        old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
        if target.exists():
            os.replace(target, old)
        os.replace(beside, target)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return command


def _is_reproducer(folder: Path) -> bool:
    note = folder / README
    return note.is_file() and note.read_text(encoding="utf-8", errors="replace").startswith(_FIRST_LINE)


def _fill(beside: Path, target: Path, evidence: Evidence, title: str) -> str:
    proto = evidence.model()
    atomic_write(beside / "model.onnx", proto.SerializeToString())
    given = [(v.name, evidence.inputs[v.name]) for v in proto.graph.input]
    files = []
    for i, (name, value) in enumerate(given):
        _write_value(beside, f"input_{i}", name, value)
        files.append((name, f"input_{i}.npy"))
    for i, info in enumerate(proto.graph.output):
        if info.name in evidence.expected:
            value = _like(evidence.expected[info.name], evidence.found.get(info.name))
            _write_value(beside, f"output_{i}", info.name, value, npy=f"expected_{i}")
        if info.name in evidence.found:
            _write_npy(beside / f"ours_{i}.npy", evidence.found[info.name])
    options = [f"--input {_quoted(f'{n}={target / f}')}" for n, f in files if (beside / f).exists()]
    against = "" if evidence.against == "onnxruntime" else f"--against {evidence.against}"
    command = " ".join(filter(None, ["striate check", _quoted(str(target / "model.onnx")), *options, against]))
    side = "float64" if evidence.against == "float64" else evidence.against
    text = [
        _FIRST_LINE,
        "",
        f"node: {title}",
        *([f"our kernel fails: {evidence.error}"] if evidence.error else []),
        f"expected_*.npy and test_data_set_0 hold what {side} computes, ours_*.npy what Striate computes.",
        "",
        "Run it:",
        f"    {command}",
        "",
    ]
    atomic_write(beside / README, "\n".join(text).encode())
    return command


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _like(expected: Any, found: Any) -> Any:
    """float64 results in the dtype that the node has."""
    if isinstance(expected, np.ndarray) and isinstance(found, np.ndarray) and expected.dtype != found.dtype:
        return expected.astype(found.dtype) if is_float(expected.dtype) and is_float(found.dtype) else expected
    return expected


def _write_value(folder: Path, stem: str, name: str, value: Any, npy: str = "") -> None:
    proto = _proto(value, name)
    if proto is not None:
        atomic_write(folder / "test_data_set_0" / f"{stem}.pb", proto.SerializeToString())
    _write_npy(folder / f"{npy or stem}.npy", value)


def _proto(value: Any, name: str) -> Any:
    if isinstance(value, np.ndarray):
        return onnx.numpy_helper.from_array(value, name)
    if isinstance(value, list):
        return onnx.numpy_helper.from_list(value, name)
    return onnx.numpy_helper.from_optional(None, name) if value is None else None


def _write_npy(path: Path, value: Any) -> None:
    """Tensors of NumPy's own types; text as fixed-width text, which needs no pickle."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufcO":
        return
    buffer = io.BytesIO()
    np.save(buffer, value.astype(str) if value.dtype.hasobject else value, allow_pickle=False)
    atomic_write(path, buffer.getvalue())
