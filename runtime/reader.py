"""From a path or bytes to a checked `onnx_ir.Model`. Every limit on untrusted files is set here.

The road: `read` opens the file, `_parse` turns bytes into a ModelProto, `_header` checks versions, `tensor_checks` and
`graph_checks` hold the contents against the specification, onnx_ir builds the graph. Nothing is executed or written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from . import graph_checks, tensor_checks, text_forms, wire
from .dtypes import type_name
from .errors import (
    EmptyModel,
    InvalidGraph,
    InvalidModel,
    LimitExceeded,
    ModelNotFound,
    NotAModel,
    StriateError,
    UnsupportedOperator,
)

__all__ = ["Limits", "read"]

OLDEST_IR = 3
LIFTED_ABOVE = 1 << 24
"""Of files of more bytes the large weights never pass through protobuf."""

Weights = dict[str, wire.Payload]


@dataclass(frozen=True)
class Limits:
    """What a file may ask for; beyond it reading stops with `LimitExceeded`.

    Attributes:
        model_bytes: of the model file itself; protobuf cannot hold more than 2 GiB.
        nesting: of graphs inside graphs (branches and loop bodies).
        nodes: in all graphs and functions together.
        rank: dimensions of a tensor; NumPy has no more than 64.
        tensor_bytes: of any single stored tensor.
        sparse_bytes: a sparse tensor may unpack to; a tiny file can name a huge one.
    """

    model_bytes: int = (1 << 31) - 1
    nesting: int = 24
    nodes: int = 1_000_000
    rank: int = 64
    tensor_bytes: int = 1 << 36
    sparse_bytes: int = 1 << 30


DEFAULT_LIMITS = Limits()


def read(
    source: str | os.PathLike[str] | bytes,
    *,
    base_dir: str | os.PathLike[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> ir.Model:
    """Reads and checks a model.

    Args:
        source: a path, or the file's content.
        base_dir: where external data of a model given as bytes lies; for a path it is always the file's folder.
        limits: see `Limits`.

    Returns:
        The model, nodes in a runnable order, external data mapped into memory. `meta["path"]` is the path (None for
        bytes), `meta["training_info"]` the list of TrainingInfoProto, which onnx_ir has no place for, `meta["types"]`
        the types of inputs and outputs that are or hold maps, likewise, in onnxruntime's spelling. `meta["external"]`
        tells whether weights lie in other files.

    Raises:
        ModelNotFound: no such file.
        NotAModel, EmptyModel: not an ONNX file, truncated or damaged; no graph.
        InvalidModel, InvalidGraph: it breaks the specification.
        UnsupportedOperator: an operator, domain, opset or IR version that is not implemented.
        LimitExceeded: it asks for more than `limits` allow.
    """
    if isinstance(source, bytes):
        where, path = "the model given as bytes", None
        folder = None if base_dir is None else Path(base_dir)
        data, weights = _take(BytesIO(source), len(source), where, limits)
    else:
        path = os.fspath(source)
        where, folder = repr(path), Path(path).parent
        data, weights = _open(path, where, limits)
    with _no_other_errors(where):
        proto = _parse(data, where, limits)
        del data
        _header(proto, where)
        graph_checks.normalise(proto, where, limits)
        external = tensor_checks.check(proto, folder, where, limits, weights)
        in_order = graph_checks.check(proto, where, limits)
        maps = _take_maps(proto.graph)
        model = ir.serde.deserialize_model(proto)
        tensor_checks.attach(model, external)
        if not in_order:
            model.graph.sort()
            for function in model.functions.values():
                function.sort()
    model.meta["path"] = path
    model.meta["training_info"] = list(proto.training_info)
    model.meta["types"] = maps
    model.meta["external"] = bool(external.files)
    return model


def _open(path: str, where: str, limits: Limits) -> tuple[bytes, Weights]:
    if os.path.isdir(path):
        raise NotAModel(f"{where} is a directory; expected an ONNX file")
    try:
        file = open(path, "rb")  # noqa: SIM115 - weights are read from it later
        taken = None
        try:
            taken = _take(file, os.fstat(file.fileno()).st_size, where, limits)
        finally:
            if taken is None or not taken[1]:
                file.close()
        return taken
    except LimitExceeded:
        raise
    except FileNotFoundError:
        raise ModelNotFound(f"there is no file {where}; check the path") from None
    except (OSError, ValueError) as error:
        raise InvalidModel(f"{where} cannot be read: {error}") from None


def _take(file: BinaryIO, size: int, where: str, limits: Limits) -> tuple[bytes, Weights]:
    """The content of a file, and the large weights that have been taken out of it."""
    if size <= limits.model_bytes:
        lifted = wire.lift(file, size) if size > LIFTED_ABOVE else None
        if lifted is not None:
            return lifted
        file.seek(0)
        data = file.read(limits.model_bytes + 1)
        size = len(data)
        if size <= limits.model_bytes:
            return data, {}
    raise LimitExceeded(
        f"{where} is {size:,} bytes long; at most {limits.model_bytes:,} are allowed. "
        "Large weights belong in external data"
    )


@contextmanager
def _no_other_errors(where: str) -> Iterator[None]:
    """What onnx, protobuf or onnx_ir raise on a damaged model becomes one of our errors."""
    try:
        yield
    except StriateError:
        raise
    except MemoryError:
        raise LimitExceeded(f"{where} does not fit into memory") from None
    except Exception as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise InvalidModel(f"{where} is damaged: {reason[:500]}") from error


def _parse(data: bytes, where: str, limits: Limits) -> onnx.ModelProto:
    if not data:
        raise EmptyModel(f"{where}: No graph was found in the protobuf. It is empty (0 bytes)")
    written = text_forms.parse(data, where)
    if written is not None:
        return written
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        if "depth" in str(error).lower() or "recursion" in str(error).lower():
            raise LimitExceeded(
                f"{where} has graphs nested too deeply to be parsed; at most {limits.nesting} levels are allowed"
            ) from None
        raise NotAModel(f"{where} cannot be parsed: {_what_is_wrong(data)}") from None
    if not proto.ir_version and not proto.HasField("graph"):
        raise NotAModel(f"{where} is not an ONNX model: it has neither an IR version nor a graph")
    return proto


def _what_is_wrong(data: bytes) -> str:
    """Walks the top-level fields of a protobuf message to tell a truncated model from something else."""
    position = 0
    while position < len(data):
        start = position
        key, position = _varint(data, position)
        size: int | None = {0: 0, 1: 8, 2: 0, 5: 4}.get(key & 7)
        if size is None or not 1 <= key >> 3 <= 100:
            return f"it is not an ONNX file, or damaged at byte {start}"
        if key & 7 in (0, 2):
            number, position = _varint(data, position)
            size = number if key & 7 == 2 else 0
        if position + size > len(data):
            missing = position + size - len(data)
            return f"it is truncated, or not an ONNX file: {missing:,} bytes are missing after byte {len(data):,}"
        position += size
    return "it is damaged, or not an ONNX file"


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and where it ends; past the end of the data if it is cut off."""
    value = 0
    for i in range(10):
        if position + i >= len(data):
            return value, len(data) + 1
        value |= (data[position + i] & 0x7F) << (7 * i)
        if data[position + i] < 0x80:
            return value, position + i + 1
    return value, position + 10


def _take_maps(graph: onnx.GraphProto) -> dict[str, str]:
    """Types of values with maps in them, by name; what cannot stand in an onnx_ir graph is removed from the proto."""
    found = {}
    for values in (graph.input, graph.output, graph.value_info):
        for value in values:
            name = type_name(value.type)
            if "map(" in name:
                found[value.name] = name
                value.ClearField("type")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
                _take_maps(inner)
    return found


def _header(proto: onnx.ModelProto, where: str) -> None:
    if not OLDEST_IR <= proto.ir_version <= onnx.IR_VERSION:
        raise UnsupportedOperator(
            f"{where}: Unsupported model IR version: {proto.ir_version}; expected {OLDEST_IR} to {onnx.IR_VERSION}"
        )
    if not proto.HasField("graph"):
        raise EmptyModel(f"{where}: No graph was found in the protobuf.")
    if not proto.graph.output:
        raise InvalidGraph(f"{where}: the graph is empty: it has {len(proto.graph.node)} nodes and no outputs")
    graph_checks.check_opsets(proto.opset_import, where)
