"""ONNX's own backend tests: what there is, and which of it only needs operators that are registered."""

from __future__ import annotations

import tomllib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test
import onnx_ir as ir
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from striate.runtime.errors import StriateError
from striate.runtime.ops import registry
from striate.runtime.passes import inline

DATA = Path(onnx.backend.test.__file__).parent / "data"
LIGHT = DATA / "light"
STORED = ("simple", "pytorch-operator", "pytorch-converted")
KINDS = ("node", *STORED, "light")
XFAIL: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("xfail.toml").read_text(encoding="utf-8"))
RANDOM = XFAIL.pop("random")
"""Node tests of random numbers: the values are open, shapes and dtypes are not."""

NAMED = 15
"""So many obstacles are named in a summary."""

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
            for folder in sorted(self.path.parent.glob("test_data_set_*")):
                yield list(_stored(folder, "input")), list(_stored(folder, "output"))


@cache
def all_tests(kind: str) -> tuple[BackendCase, ...]:
    """Every backend test of a kind, by name."""
    if kind == "light":
        return tuple(BackendCase(kind, path.stem, 1e-3, 1e-7, path) for path in sorted(LIGHT.glob("*.onnx")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators of ONNX's node tests overflow on purpose
        cases = load_model_tests(kind=kind)
    return tuple(sorted((BackendCase(kind, c.name, c.rtol, c.atol, c) for c in cases), key=lambda test: test.name))


@cache
def obstacles(kind: str) -> dict[str, str]:
    """The tests of a kind that are not in scope → what they need that is not there."""
    found = {test.name: _obstacle(test.model) for test in all_tests(kind)}
    return {name: obstacle for name, obstacle in found.items() if obstacle is not None}


def in_scope(kind: str) -> list[BackendCase]:
    """The tests of a kind all of whose operators, after inlining functions, are registered."""
    return [test for test in all_tests(kind) if test.name not in obstacles(kind)]


def summary(kind: str) -> str:
    """One line: how many tests are in scope, and what the others wait for."""
    total, waiting = len(all_tests(kind)), Counter(obstacles(kind).values())
    needs = ", ".join(f"{what} ({count})" for what, count in waiting.most_common(NAMED))
    if len(waiting) > NAMED:
        needs += f" and {len(waiting) - NAMED} more"
    line = f"{kind}: {total - waiting.total()} of {total} in scope, {len(XFAIL.get(kind, {}))} known disagreements"
    return line + (f"; not in scope yet: {needs}" if needs else "")


def _obstacle(model: onnx.ModelProto) -> str | None:
    for value in (*model.graph.input, *model.graph.output):
        if value.type.WhichOneof("value") not in ("tensor_type", None):
            return f"values of {value.type.WhichOneof('value')}"
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if not model.functions and _first_missing(_proto_nodes(model.graph), versions) is None:
        return None
    inlined = ir.from_proto(model)
    try:
        inline.run(inlined)
    except (StriateError, ir.serde.SerdeError, ValueError) as error:
        name = _first_missing(_proto_nodes(model.graph), versions) or "function of the model"
        return f"{name} ({type(error).__name__} from its body)"
    nodes = ((n.domain, n.op_type) for n in inlined.graph.all_nodes())
    return _first_missing(nodes, inlined.graph.opset_imports)


def _first_missing(nodes: Iterable[tuple[str, str]], versions: dict[str, int]) -> str | None:
    for domain, name in nodes:
        version = versions.get(domain, versions.get("ai.onnx", 1) if domain == "" else 1)
        if registry.find(domain, name, version) is None:
            return f"{domain}.{name}" if domain else name
    return None


def _proto_nodes(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    for node in graph.node:
        yield node.domain, node.op_type
        for attribute in node.attribute:
            for subgraph in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
                yield from _proto_nodes(subgraph)


def _array(x: Any) -> Any:
    if isinstance(x, onnx.TensorProto):
        return numpy_helper.to_array(x)
    return x if isinstance(x, (list, type(None))) else np.asarray(x)


def _stored(folder: Path, stem: str) -> Iterator[np.ndarray]:
    """The tensors `stem_0.pb`, `stem_1.pb`, ... of a folder."""
    for i in range(len(list(folder.glob(f"{stem}_*.pb")))):
        yield _read_tensor(folder / f"{stem}_{i}.pb")


def _read_tensor(path: Path) -> np.ndarray:
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def _light_data(path: Path, model: onnx.ModelProto) -> DataSet:
    """The ramp the stored outputs of the light models were computed from, and those outputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = []
    for value in model.graph.input:
        if value.name not in weights:
            shape = [d.dim_value if d.HasField("dim_value") else 1 for d in value.type.tensor_type.shape.dim]
            size = int(np.prod(shape))
            inputs.append((np.arange(size).reshape(shape) / size).astype(np.float32))
    return inputs, [_read_tensor(path.with_name(f"{path.stem}_output_{i}.pb")) for i in range(len(model.graph.output))]
