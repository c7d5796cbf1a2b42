"""What a session tells of its model: inputs, outputs and metadata, in onnxruntime's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import dtypes

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ModelMetadata", "NodeArg"]


class NodeArg:
    """An input or output: `name`, `type` such as `tensor(float)`, `shape` of ints, names and None.

    A scalar and a tensor of unknown rank both have the shape `[]`.
    """

    __slots__ = ("_name", "_shape", "_type")

    def __init__(self, name: str, type: str, shape: Sequence[int | str | None]) -> None:
        self._name, self._type, self._shape = name, type, list(shape)

    @property
    def name(self) -> str:
        return self._name

    @property
    def type(self) -> str:
        return self._type

    @property
    def shape(self) -> list[int | str | None]:
        return list(self._shape)

    def __str__(self) -> str:
        return f"NodeArg(name={self._name!r}, type={self._type!r}, shape={self._shape!r})"

    __repr__ = __str__


@dataclass
class ModelMetadata:
    """Who made the model and what they say about it."""

    custom_metadata_map: dict[str, str] = field(default_factory=dict)
    description: str = ""
    domain: str = ""
    graph_description: str = ""
    graph_name: str = ""
    producer_name: str = ""
    version: int = 0


def metadata(model: ir.Model) -> ModelMetadata:
    """The metadata of a model."""
    return ModelMetadata(
        custom_metadata_map=dict(model.metadata_props),
        description=model.doc_string or "",
        domain=model.domain or "",
        graph_description=model.graph.doc_string or "",
        graph_name=model.graph.name or "",
        producer_name=model.producer_name or "",
        version=model.model_version or 0,
    )


def argument(value: ir.Value, inferred: ir.Value | None = None, kind: str | None = None) -> NodeArg:
    """What is known of a value; where the file is silent about a type or dimension, what inference found.

    `kind` names a type that onnx_ir cannot hold.
    """
    if kind is not None:
        return NodeArg(value.name or "", kind, [])
    known_type = value.type if value.type is not None or inferred is None else inferred.type
    dims = _dims(value)
    known = _dims(inferred) if inferred is not None else None
    if dims is None:
        dims = known
    elif known is not None and len(known) == len(dims):
        dims = [there if here is None else here for here, there in zip(dims, known, strict=True)]
    return NodeArg(value.name or "", _type_name(known_type), dims or [])


def _dims(value: ir.Value) -> list[int | str | None] | None:
    import onnx_ir as ir

    if value.shape is None or isinstance(value.type, ir.SequenceType):
        return None
    return [d if isinstance(d, int) else d.value or None for d in value.shape]


def _type_name(kind: ir.TypeProtocol | None) -> str:
    import onnx_ir as ir

    if isinstance(kind, ir.SequenceType):
        return f"seq({_type_name(kind.elem_type)})"
    if isinstance(kind, ir.OptionalType):
        return f"optional({_type_name(kind.elem_type)})"
    if kind is None or kind.dtype.value not in dtypes.NAMES:
        return ""
    name = dtypes.onnx_name(kind.dtype.value)
    return f"sparse_tensor({name})" if isinstance(kind, ir.SparseTensorType) else f"tensor({name})"
