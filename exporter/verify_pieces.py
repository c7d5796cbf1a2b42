"""Any run of a model's nodes as a model of its own: what it reads from before becomes its inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from ..runtime.dtypes import NUMPY, onnx_dtype
from ..runtime.errors import InvalidInput
from ..runtime.ops import registry

__all__ = ["Pieces"]

SMALL = 1 << 12
"""Stored tensors up to this many elements stay stored in a piece: shapes, axes and the like. Larger ones are fed."""
OLDEST_IR = 4
"""The first IR version whose initializers need not be inputs."""


class Pieces:
    """The main graph's nodes, in order, and models made of stretches of them.

    Args:
        model: as `reader.read` returns it; functions are kept as calls.
        feeds: the inputs; what they do not give comes from the model's defaults.
    """

    def __init__(self, model: ir.Model, feeds: Mapping[str, Any]) -> None:
        self.model = model
        self.nodes = list(model.graph)
        self.protos = [_serialised(node) for node in self.nodes]
        self.reads = [_reads(proto) for proto in self.protos]
        self.writes = [tuple(name for name in proto.output if name) for proto in self.protos]
        self.outputs = [str(v.name) for v in model.graph.outputs]
        self.initializers = {n: v for n, v in model.graph.initializers.items() if n not in feeds}
        self.functions = {(f.domain, f.name, f.overload): f for f in model.functions.values()}
        self._function_protos: dict[tuple[str, str, str], onnx.FunctionProto] = {}
        self._last_read = {name: i for i, names in enumerate(self.reads) for name in names}
        self.last = self._last_uses()
        self.types = self._static_types(feeds)

    def _last_uses(self) -> dict[str, int]:
        """For each value the last node that writes or reads it; outputs of the model are read by the end."""
        last = {name: i for i, names in enumerate(self.writes) for name in names} | self._last_read
        return last | dict.fromkeys(self.outputs, len(self.nodes))

    def weight(self, name: str) -> np.ndarray:
        """A stored tensor."""
        tensor = self.initializers[name].const_value
        assert tensor is not None
        return np.asarray(tensor.numpy())

    def is_stored(self, name: str) -> bool:
        """Whether a piece stores the value, rather than being fed it."""
        value = self.initializers.get(name)
        if value is None or value.const_value is None:
            return False
        return value.const_value.size <= SMALL or value.const_value.dtype.value not in _FED

    def proto(self, start: int, stop: int, values: Mapping[str, Any], fetch: Sequence[str]) -> onnx.ModelProto:
        """The nodes from `start` to before `stop`.

        Args:
            values: what the piece is fed, by name: it needs those of `needs(start, stop)`.
            fetch: the outputs.
        """
        graph = onnx.GraphProto(name=self.model.graph.name or "graph")
        graph.node.extend(self.protos[start:stop])
        for name in self._outside(start, stop):
            if name not in values and self.is_stored(name):
                tensor = self.initializers[name].const_value
                assert tensor is not None
                graph.initializer.append(ir.serde.serialize_tensor(tensor))
                graph.initializer[-1].name = name
            else:
                graph.input.append(self.input_info(name, values[name]))
        for name in fetch:
            known = self.types.get(name)
            graph.output.append(onnx.ValueInfoProto(name=name) if known is None else _info(name, _without_shape(known)))
        made = onnx.ModelProto(ir_version=max(self.model.ir_version, OLDEST_IR), producer_name="striate", graph=graph)
        for domain, version in self.model.graph.opset_imports.items():
            made.opset_import.add(domain=domain, version=version)
        made.functions.extend(self._called(self.protos[start:stop]))
        return made

    def needs(self, start: int, stop: int) -> list[str]:
        """What a piece must be fed: values from before it, inputs, and large stored tensors."""
        return [name for name in self._outside(start, stop) if not self.is_stored(name)]

    def _outside(self, start: int, stop: int) -> list[str]:
        made: set[str] = set()
        found: dict[str, None] = {}
        for reads, writes in zip(self.reads[start:stop], self.writes[start:stop], strict=True):
            found |= dict.fromkeys(name for name in reads if name not in made)
            made |= set(writes)
        return list(found)

    def input_info(self, name: str, value: Any) -> onnx.ValueInfoProto:
        """The declaration of an input that takes exactly this value."""
        return _info(name, _type_of(value, self.types.get(name), name))

    def _called(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.FunctionProto]:
        """The functions that nodes call, and those that these call, each behind what it calls."""
        found: dict[tuple[str, str, str], onnx.FunctionProto] = {}

        def visit(body: Sequence[onnx.NodeProto]) -> None:
            for node in _all_nodes(body):
                identity = (node.domain, node.op_type, node.overload)
                if identity in self.functions and identity not in found:
                    visit(self._function(identity).node)
                    found[identity] = self._function(identity)

        visit(nodes)
        return list(found.values())

    def _function(self, identity: tuple[str, str, str]) -> onnx.FunctionProto:
        if identity not in self._function_protos:
            self._function_protos[identity] = ir.serde.serialize_function(self.functions[identity])
        return self._function_protos[identity]

    def is_composite(self, index: int) -> bool:
        """Whether the node calls a function of the model or holds graphs."""
        proto = self.protos[index]
        return (proto.domain, proto.op_type, proto.overload) in self.functions or any(True for _ in _graphs(proto))

    def draws(self, index: int) -> bool:
        """Whether the node, or anything inside it, draws random numbers."""
        return any(self._draws(node) for node in self._inside([self.protos[index]]))

    def _inside(self, nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        yield from _all_nodes(nodes)
        for function in self._called(nodes):
            yield from _all_nodes(function.node)

    def _draws(self, node: onnx.NodeProto) -> bool:
        operator = registry.find(node.domain, node.op_type, self.model.graph.opset_imports.get(node.domain, 1))
        if operator is None or operator.deterministic:
            return False
        return node.op_type != "Dropout" or self._trains(node)

    def _trains(self, node: onnx.NodeProto) -> bool:
        """Whether a Dropout may drop: its training mode is an input since opset 12, absent means no."""
        version = self.model.graph.opset_imports.get("", 1)
        if version < 7:
            return not any(a.name == "is_test" and a.i for a in node.attribute)
        mode = node.input[2] if len(node.input) > 2 else ""
        return bool(mode) and not (mode in self.initializers and not self.weight(mode).any())

    def _static_types(self, feeds: Mapping[str, Any]) -> dict[str, onnx.TypeProto]:
        """Types as ONNX's own inference finds them with the shapes that are fed; empty where it fails."""
        values = {n: feeds[n] if n in feeds else self.weight(n) for n in self._needed_by_all(feeds)}
        self.types = {str(v.name): _serialised_type(v) for v in self.model.graph.inputs if v.type is not None}
        proto = self.proto(0, len(self.nodes), values, self.outputs_of_nodes())
        try:
            proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        except Exception:  # types are then known where values are, and values before types
            return dict(self.types)
        known = {v.name: v.type for v in (*proto.graph.value_info, *proto.graph.output) if v.type.WhichOneof("value")}
        return self.types | known

    def outputs_of_nodes(self) -> list[str]:
        """The outputs of the model that a node computes."""
        written = {name for names in self.writes for name in names}
        return [name for name in self.outputs if name in written]

    def _needed_by_all(self, feeds: Mapping[str, Any]) -> list[str]:
        names = self.needs(0, len(self.nodes))
        for name in names:
            if name not in feeds and name not in self.initializers:
                raise InvalidInput(f"input {name!r} is missing; the inputs given are {sorted(feeds)}")
        return names

    def bytes_written(self, index: int) -> int | None:
        """What a node's outputs take, as far as types tell; None where they do not."""
        total = 0
        for name in self.writes[index]:
            kind = self.types.get(name)
            size = None if kind is None else _bytes(kind)
            if size is None:
                return None
            total += size
        return total

    def stretches(self, limit: int) -> list[tuple[int, int]]:
        """Consecutive stretches of nodes whose outputs take at most `limit` bytes each (a single node may take more).

        Between two stretches only tensors of types that any runtime can be fed are alive.
        """
        sizes = [self.bytes_written(i) for i in range(len(self.nodes))]
        unknown = max((s for s in sizes if s is not None), default=0)
        cuts, start, total, fit = [], 0, 0, self._cuttable()
        for i, size in enumerate(sizes):
            size = unknown if size is None else size
            if i > start and total + size > limit and fit[i]:
                cuts.append((start, i))
                start, total = i, 0
            total += size
        return [*cuts, (start, len(self.nodes))] if self.nodes else []

    def _cuttable(self) -> list[bool]:
        """For each node whether all that lives on from before it can be fed to any runtime."""
        fit = [True] * len(self.nodes)
        for i, names in enumerate(self.writes):
            for name in names:
                until = self._last_read.get(name, i)
                if until > i and not self._can_be_fed(name):
                    fit[i + 1 : until + 1] = [False] * (until - i)
        return fit

    def _can_be_fed(self, name: str) -> bool:
        kind = self.types.get(name)
        return kind is not None and kind.HasField("tensor_type") and kind.tensor_type.elem_type in _FED


_FED = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13))
"""Data types that NumPy has itself."""


def _serialised(node: ir.Node) -> onnx.NodeProto:
    return ir.serde.serialize_node(node)


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _all_nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        yield node
        for graph in _graphs(node):
            pending += graph.node


def _reads(node: onnx.NodeProto) -> tuple[str, ...]:
    """What a node reads, its graphs included, in order and once each."""
    found = dict.fromkeys(name for name in node.input if name)
    for graph in _graphs(node):
        found |= dict.fromkeys(_free(graph))
    return tuple(found)


def _free(graph: onnx.GraphProto) -> Iterator[str]:
    """The names a graph takes from around it."""
    own = {v.name for v in (*graph.input, *graph.initializer)} | {t.values.name for t in graph.sparse_initializer}
    for node in graph.node:
        yield from (name for name in _reads(node) if name not in own)
        own |= set(node.output)
    yield from (v.name for v in graph.output if v.name not in own)


def _info(name: str, kind: onnx.TypeProto) -> onnx.ValueInfoProto:
    made = onnx.ValueInfoProto(name=name)
    made.type.CopyFrom(kind)
    return made


def _serialised_type(value: ir.Value) -> onnx.TypeProto:
    info = ir.serde.serialize_value(value)
    return info.type


def _without_shape(kind: onnx.TypeProto) -> onnx.TypeProto:
    """Sizes stay unsaid: an output is as large as it turns out to be."""
    if not kind.HasField("tensor_type"):
        return kind
    bare = onnx.TypeProto()
    bare.tensor_type.elem_type = kind.tensor_type.elem_type
    return bare


def _type_of(value: Any, known: onnx.TypeProto | None, name: str) -> onnx.TypeProto:
    if isinstance(value, np.ndarray):
        if known is not None and known.HasField("optional_type"):
            return known
        return onnx.helper.make_tensor_type_proto(onnx_dtype(value.dtype), value.shape)
    if known is not None and known.WhichOneof("value"):
        return known
    if isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
        return onnx.helper.make_sequence_type_proto(
            onnx.helper.make_tensor_type_proto(onnx_dtype(value[0].dtype), None)
        )
    raise InvalidInput(f"value {name!r}: its type is not known and cannot be told from what it holds")


def _bytes(kind: onnx.TypeProto) -> int | None:
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.tensor_type.shape.dim]
    if any(d is None for d in dims) or kind.tensor_type.elem_type not in NUMPY:
        return None
    return math.prod(d for d in dims if d is not None) * NUMPY[kind.tensor_type.elem_type].itemsize
