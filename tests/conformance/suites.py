"""ONNX's own backend tests as data: models, inputs, right outputs, and what counts as equal."""

from __future__ import annotations

import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from striate.runtime.dtypes import is_float

from . import archive
from .draws import check_draws

DATA = Path(onnx.backend.test.__file__).parent / "data"
LIGHT = DATA / "light"
STORED = ("simple", "pytorch-operator", "pytorch-converted")
KINDS = ("node", *STORED, "light")
XFAIL: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("xfail.toml").read_text(encoding="utf-8"))
RANDOM = XFAIL.pop("random")
"""Node tests of random numbers: the values are open, what `draws` asks of them is not."""

NARROW = {"bfloat16": 2.0**-6}
"""Two units in the last place, as onnx's own runner allows: the tests' tolerance is less than one."""

DataSet = tuple[list[Any], list[Any]]
File = Path | zipfile.Path


@dataclass(frozen=True)
class BackendCase:
    """One backend test; its model and values are read when asked for."""

    kind: str
    name: str
    rtol: float
    atol: float
    path: File = field(repr=False)
    """The model; other than for `light`, the values are in folders beside it."""

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.ModelProto.FromString(self.path.read_bytes())

    def data_sets(self) -> Iterator[DataSet]:
        """(inputs, right outputs), as arrays or lists of arrays."""
        if self.kind == "light":
            yield _light_data(self)
            return
        graph = self.model.graph
        for i in count():
            folder = self.path.parent / f"test_data_set_{i}"
            if not (folder / "output_0.pb").exists():
                return
            yield list(_stored(folder, "input", graph.input)), list(_stored(folder, "output", graph.output))


@cache
def all_tests(kind: str) -> tuple[BackendCase, ...]:
    """Every backend test of a kind, by name."""
    if kind == "node":
        return tuple(BackendCase(kind, *entry) for entry in archive.node_tests())
    if kind == "light":
        return tuple(BackendCase(kind, path.stem, 1e-3, 1e-7, path) for path in sorted(LIGHT.glob("*.onnx")))
    cases = sorted(load_model_tests(kind=kind), key=lambda case: case.name)
    return tuple(BackendCase(kind, c.name, c.rtol, c.atol, Path(c.model_dir, "model.onnx")) for c in cases)


def compare(test: BackendCase, inputs: list[Any], got: Sequence[Any], right: list[Any]) -> None:
    """Raises AssertionError where a result is not what the test asks for."""
    assert len(got) == len(right), f"{len(got)} outputs for {len(right)}"
    if test.name in RANDOM:
        check_draws(test.model, inputs, list(got), right)
        return
    for y, want in zip(got, right, strict=True):
        assert_similar(y, want, test.rtol, test.atol)


def assert_similar(got: Any, want: Any, rtol: float, atol: float) -> None:
    """Equal kind, shape and dtype; floating-point values within the tolerance, all others exactly.

    Raises:
        AssertionError: if not.
    """
    if isinstance(want, list):
        assert isinstance(got, list), f"{type(got).__name__} for a list"
        assert len(got) == len(want), f"a list of {len(got)} for {len(want)}"
        for item, right in zip(got, want, strict=True):
            assert_similar(item, right, rtol, atol)
        return
    if want is None:
        assert got is None, f"{type(got).__name__} for an empty optional value"
        return
    assert hasattr(got, "dtype"), f"{type(got).__name__} for an array"
    assert got.shape == want.shape, f"shape {got.shape} for {want.shape}"
    if want.dtype.kind in "OSUT":
        np.testing.assert_array_equal(got.astype(object), want.astype(object))
        return
    assert got.dtype == want.dtype, f"dtype {got.dtype} for {want.dtype}"
    if not is_float(want.dtype) and want.dtype.kind != "c":
        np.testing.assert_array_equal(got, want)
        return
    rtol = max(rtol, NARROW.get(want.dtype.name, 0.0))
    if want.dtype.kind != "c":
        got, want = got.astype(np.float64), want.astype(np.float64)
    np.testing.assert_allclose(got, want, rtol, atol)


def _stored(folder: File, stem: str, values: Sequence[onnx.ValueInfoProto]) -> Iterator[Any]:
    """The values `stem_0.pb`, `stem_1.pb`, ... of a folder, of the types the model gives them."""
    for i, value in enumerate(values):
        file = folder / f"{stem}_{i}.pb"
        if not file.exists():
            return
        kind = value.type.WhichOneof("value")
        if kind == "sequence_type":
            yield numpy_helper.to_list(onnx.SequenceProto.FromString(file.read_bytes()))
        elif kind == "optional_type":
            yield numpy_helper.to_optional(onnx.OptionalProto.FromString(file.read_bytes()))
        else:
            yield numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))


def _light_data(test: BackendCase) -> DataSet:
    """The ramp the stored outputs of the light models were computed from, and those outputs."""
    model = test.model
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = []
    for value in model.graph.input:
        if value.name not in weights:
            shape = [d.dim_value if d.HasField("dim_value") else 1 for d in value.type.tensor_type.shape.dim]
            size = int(np.prod(shape))
            inputs.append((np.arange(size).reshape(shape) / size).astype(np.float32))
    stored = [test.path.parent / f"{test.name}_output_{i}.pb" for i in range(len(model.graph.output))]
    return inputs, [numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes())) for file in stored]
