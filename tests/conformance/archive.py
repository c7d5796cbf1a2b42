"""ONNX's node tests, made once and kept.

onnx computes their right answers in Python when they are asked for, which takes seconds; every process that runs or
lists tests would wait for it. The archive has the layout of ONNX's stored tests and lies in pytest's cache, one for
each version of onnx and NumPy; `pytest --cache-clear` removes it.
"""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

FOLDER = Path(__file__).resolve().parents[2] / ".pytest_cache" / "d" / "conformance"
ARCHIVE = FOLDER / f"node-onnx-{onnx.__version__}-numpy-{np.__version__}.zip"
INDEX = "index.json"

Entry = tuple[str, float, float, zipfile.Path]
"""Name, relative and absolute tolerance, the model's file."""


def node_tests() -> list[Entry]:
    """Every node test, by name."""
    file = _opened()
    root = zipfile.Path(file)
    return [(name, rtol, atol, root / name / "model.onnx") for name, rtol, atol in json.loads(file.read(INDEX))]


def _opened() -> zipfile.ZipFile:
    with suppress(OSError, zipfile.BadZipFile):
        return zipfile.ZipFile(ARCHIVE)
    content = _made()
    with suppress(OSError):  # a tree that cannot be written to does without
        _keep(content)
    return zipfile.ZipFile(BytesIO(content))


def _keep(content: bytes) -> None:
    """Another process sees the whole archive or none."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=FOLDER, delete=False) as file:
        file.write(content)
    Path(file.name).replace(ARCHIVE)


def _made() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators overflow on purpose
        cases = sorted(load_model_tests(kind="node"), key=lambda case: case.name)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(INDEX, json.dumps([(case.name, case.rtol, case.atol) for case in cases]))
        for case in cases:
            file.writestr(f"{case.name}/model.onnx", case.model.SerializeToString())
            for i, (inputs, outputs) in enumerate(case.data_sets):
                folder = f"{case.name}/test_data_set_{i}"
                _write(file, f"{folder}/input", inputs, case.model.graph.input)
                _write(file, f"{folder}/output", outputs, case.model.graph.output)
    return buffer.getvalue()


def _write(file: zipfile.ZipFile, stem: str, values: Any, infos: Any) -> None:
    for i, (value, info) in enumerate(zip(values, infos, strict=True)):
        file.writestr(f"{stem}_{i}.pb", _proto(value, info.type.WhichOneof("value")).SerializeToString())


def _proto(value: Any, kind: str) -> Any:
    """A value as the protobuf message that the declared type asks for."""
    if isinstance(value, onnx.TensorProto):
        return value
    if kind == "sequence_type":
        return numpy_helper.from_list(value)
    if kind == "optional_type":
        return numpy_helper.from_optional(value)
    array = np.asarray(value)
    return numpy_helper.from_array(array.astype(object) if array.dtype.kind in "ST" else array)
