"""ONNX's own backend tests as data: models, inputs, right outputs, and what counts as equal."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from striate.runtime.dtypes import is_float

DATA = Path(onnx.backend.test.__file__).parent / "data"
LIGHT = DATA / "light"
STORED = ("simple", "pytorch-operator", "pytorch-converted")
KINDS = ("node", *STORED, "light")
XFAIL: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("xfail.toml").read_text(encoding="utf-8"))
RANDOM = XFAIL.pop("random")
"""Node tests of random numbers: the values are open, shapes and dtypes are not."""

NARROW = {"bfloat16": 2.0**-6}
"""Two units in the last place, as onnx's own runner allows: the tests' tolerance is less than one."""

DataSet = tuple[list[Any], list[Any]]


@dataclass(frozen=True)
class BackendCase:
    """One backend test; `model` and `data_sets` of stored tests are read when asked for."""

    kind: str
    name: str
    rtol: float
    atol: float
    source: Any = field(repr=False)

    @property
    def model(self) -> onnx.ModelProto:
        return self.source.model if self.kind == "node" else onnx.load(self.path)

    @property
    def path(self) -> Path:
        return self.source if self.kind == "light" else Path(self.source.model_dir, "model.onnx")

    def data_sets(self) -> Iterator[DataSet]:
        """(inputs, right outputs), as arrays or lists of arrays."""
        if self.kind == "node":
            for inputs, outputs in self.source.data_sets:
                yield [_array(x) for x in inputs], [_array(y) for y in outputs]
        elif self.kind == "light":
            yield _light_data(self.path, self.model)
        else:
            graph = self.model.graph
            for folder in sorted(self.path.parent.glob("test_data_set_*")):
                yield list(_stored(folder, "input", graph.input)), list(_stored(folder, "output", graph.output))


@cache
def all_tests(kind: str) -> tuple[BackendCase, ...]:
    """Every backend test of a kind, by name."""
    if kind == "light":
        return tuple(BackendCase(kind, path.stem, 1e-3, 1e-7, path) for path in sorted(LIGHT.glob("*.onnx")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators of ONNX's node tests overflow on purpose
        cases = load_model_tests(kind=kind)
    return tuple(sorted((BackendCase(kind, c.name, c.rtol, c.atol, c) for c in cases), key=lambda test: test.name))


def assert_similar(got: Any, want: Any, rtol: float, atol: float) -> None:
    """Equal kind, shape and dtype; floating-point values within the tolerance, all others exactly.

    Raises:
        AssertionError: if not.
    """
    if isinstance(want, list):
        assert isinstance(got, list)
        assert len(got) == len(want)
        for item, right in zip(got, want, strict=True):
            assert_similar(item, right, rtol, atol)
        return
    if want is None:
        assert got is None
        return
    assert got.shape == want.shape
    if want.dtype.kind in "OSUT":
        np.testing.assert_array_equal(got.astype(object), want.astype(object))
        return
    assert got.dtype == want.dtype
    if not is_float(want.dtype) and want.dtype.kind != "c":
        np.testing.assert_array_equal(got, want)
        return
    rtol = max(rtol, NARROW.get(want.dtype.name, 0.0))
    if want.dtype.kind != "c":
        got, want = got.astype(np.float64), want.astype(np.float64)
    np.testing.assert_allclose(got, want, rtol, atol)


def _array(x: Any) -> Any:
    if isinstance(x, onnx.TensorProto):
        return numpy_helper.to_array(x)
    return x if isinstance(x, (list, type(None))) else np.asarray(x)


def _stored(folder: Path, stem: str, values: Sequence[onnx.ValueInfoProto]) -> Iterator[Any]:
    """The values `stem_0.pb`, `stem_1.pb`, ... of a folder, of the types the model gives them."""
    for i, value in enumerate(values[: len(list(folder.glob(f"{stem}_*.pb")))]):
        content = (folder / f"{stem}_{i}.pb").read_bytes()
        kind = value.type.WhichOneof("value")
        if kind == "sequence_type":
            yield numpy_helper.to_list(onnx.SequenceProto.FromString(content))
        elif kind == "optional_type":
            yield numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
        else:
            yield numpy_helper.to_array(onnx.TensorProto.FromString(content))


def _light_data(path: Path, model: onnx.ModelProto) -> DataSet:
    """The ramp the stored outputs of the light models were computed from, and those outputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = []
    for value in model.graph.input:
        if value.name not in weights:
            shape = [d.dim_value if d.HasField("dim_value") else 1 for d in value.type.tensor_type.shape.dim]
            size = int(np.prod(shape))
            inputs.append((np.arange(size).reshape(shape) / size).astype(np.float32))
    stored = [path.with_name(f"{path.stem}_output_{i}.pb") for i in range(len(model.graph.output))]
    return inputs, [numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes())) for file in stored]
