"""The graph of an untrusted model against the specification: names, order, operators, attributes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx

from . import dtypes
from .body_checks import check_bodies, check_call
from .errors import InvalidGraph, LimitExceeded, UndefinedValue, UnsupportedOperator
from .ops import registry

if TYPE_CHECKING:
    from .reader import Limits

AttributeProto, FormalParameter = onnx.AttributeProto, onnx.defs.OpSchema.FormalParameterOption
FunctionId = tuple[str, str, str]
_TERM = r"[a-zA-Z]*(\.\.\.)?[a-zA-Z]*"
_EQUATION = re.compile(rf"{_TERM}(,{_TERM})*(->{_TERM})?")
_HOLDS = {AttributeProto.TENSOR: "t", AttributeProto.GRAPH: "g", AttributeProto.TYPE_PROTO: "tp",
          AttributeProto.SPARSE_TENSOR: "sparse_tensor"}  # fmt: skip
"""Where attributes of a type lie that cannot be left out."""
LOWERED = {("ai.onnx.preview.training", "Gradient")}
"""Operators that have neither a kernel nor a function body: a pass replaces them."""
Body = onnx.GraphProto | onnx.FunctionProto
Schema = Any
"""An onnx.defs.OpSchema, whose stubs lack half of it."""


@dataclass
class _Context:
    """What the checks of one graph or function body know of the model around it."""

    where: str
    limits: Limits
    functions: Mapping[FunctionId, onnx.FunctionProto]
    versions: Mapping[str, int]
    references: frozenset[str] | None = None
    nodes: int = 0
    in_order: bool = True

    def label(self, node: onnx.NodeProto) -> str:
        return f"{self.where}: node {_title(node)}"


def normalise(proto: onnx.ModelProto, where: str, limits: Limits) -> None:
    """`ai.onnx` is another name of the default domain; a negative dimension of an input means it is unknown.

    Raises:
        LimitExceeded: graphs are nested too deeply for what comes after.
        InvalidGraph: a name is not text.
    """
    bodies: list[tuple[Iterable[onnx.NodeProto], int]] = [(f.node, 0) for f in (proto.graph, *proto.functions)]
    for imports in (proto.opset_import, *(f.opset_import for f in proto.functions)):
        for entry in imports:
            entry.domain = _domain(entry.domain)
    while bodies:
        nodes, depth = bodies.pop()
        if depth > limits.nesting:
            raise LimitExceeded(f"{where} has graphs nested more than {limits.nesting} deep")
        for node in nodes:
            if any(
                isinstance(text, bytes) for text in (node.name, node.op_type, node.domain, *node.input, *node.output)
            ):
                raise InvalidGraph(f"{where}: a name in node {node.name!r} ({node.op_type!r}) is not UTF-8")
            if node.domain == "ai.onnx":
                node.domain = ""
            bodies += [(graph.node, depth + 1) for graph in _subgraphs(node)]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ():
            if dim.HasField("dim_value") and dim.dim_value < 0:
                dim.ClearField("dim_value")


def check_opsets(imports: Iterable[onnx.OperatorSetIdProto], where: str) -> dict[str, int]:
    """The opset version of each imported domain.

    Raises:
        InvalidGraph: none is imported, or one twice.
        UnsupportedOperator: a version that does not exist (yet).
    """
    versions: dict[str, int] = {}
    known = onnx.defs.C.schema_version_map()
    for entry in imports:
        domain = _domain(entry.domain)
        if versions.setdefault(domain, entry.version) != entry.version:
            raise InvalidGraph(f"{where} imports opset {versions[domain]} and opset {entry.version} of {_show(domain)}")
        oldest, newest = known.get(domain, (1, entry.version))
        if not max(1, oldest) <= entry.version <= newest:
            raise UnsupportedOperator(
                f"{where} imports opset {entry.version} of {_show(domain)}; supported: {max(1, oldest)} to {newest}. "
                "Convert the model with onnx.version_converter"
            )
    if not versions:
        raise InvalidGraph(f"{where}: Missing opset in the model; opset_import must name at least one version")
    return versions


def check(proto: onnx.ModelProto, where: str, limits: Limits) -> bool:
    """Checks graph and functions; returns whether all nodes stand in a runnable order.

    Raises:
        InvalidGraph: undefined or repeated names, cycles, wrong attributes, wrong numbers of inputs.
        UnsupportedOperator: a node whose operator or domain nobody implements.
        LimitExceeded: too many nodes, or graphs nested too deeply.
    """
    functions = {_identity(f): f for f in proto.functions}
    context = _Context(where, limits, functions, check_opsets(proto.opset_import, where))
    _check_value_types(proto.graph, context)
    _check_inputs(proto.graph, context)
    _check_graph(proto.graph, (), context)
    repeated = Counter(_identity(f) for f in proto.functions)
    for identity, function in functions.items():
        name = f"{where}: function {_show(identity[0])}.{identity[1]}"
        if repeated[identity] > 1:
            raise InvalidGraph(f"{name} is defined {repeated[identity]} times")
        imports = check_opsets(function.opset_import, name) if function.opset_import else context.versions
        references = frozenset((*function.attribute, *(a.name for a in function.attribute_proto)))
        inner = _Context(name, limits, functions, imports, references, nodes=context.nodes)
        _check_nodes(function, _unique(function.input, "input", name), (), inner)
        context.nodes, context.in_order = inner.nodes, context.in_order and inner.in_order
    sizes = _sizes(functions, where)
    total = _size(proto.graph.node, sizes)
    if total > limits.nodes:
        raise LimitExceeded(
            f"{where} has {total:,} nodes when its functions are inlined; at most {limits.nodes:,} are allowed"
        )
    return context.in_order


def _check_graph(graph: onnx.GraphProto, outer: tuple[set[str], ...], context: _Context) -> set[str]:
    """Checks one graph; returns the names it takes from the graphs around it."""
    names = _unique([v.name for v in graph.input], "input", context.where)
    weights = _unique([t.name for t in graph.initializer], "initializer", context.where)
    return _check_nodes(graph, names | weights, outer, context)


def _check_nodes(body: Body, names: set[str], outer: tuple[set[str], ...], context: _Context) -> set[str]:
    context.nodes += len(body.node)
    if context.nodes > context.limits.nodes:
        raise LimitExceeded(f"{context.where} has more than {context.limits.nodes:,} nodes")
    producers: dict[str, int] = {}
    for i, node in enumerate(body.node):
        for name in filter(None, node.output):
            if name in producers or name in names:
                raise InvalidGraph(
                    f"{context.label(node)} produces {name!r}, which is already defined; names must be unique"
                )
            producers[name] = i
    local = names | producers.keys()
    scopes = (local, *outer)
    reads, captured = [], set()
    for node in body.node:
        _check_operator(node, context)
        used = set(filter(None, node.input))
        for name in node.input:
            if name and not any(name in scope for scope in scopes):
                raise UndefinedValue(
                    f"{context.where}: Invalid model. Node input {name!r} is not a graph input, initializer, or output "
                    f"of a previous node; it is read by node {_title(node)}"
                )
        for graph in _subgraphs(node):
            _check_value_types(graph, context)
            used |= _check_graph(graph, scopes, context)
        reads.append({producers[name] for name in used if name in producers})
        captured |= used - local
    _check_order(body.node, reads, context)
    outputs = body.output if isinstance(body, onnx.FunctionProto) else [v.name for v in body.output]
    for name in outputs:
        if name not in local:
            raise InvalidGraph(
                f"{context.where}: Graph output ({name}) does not exist in the graph; no node produces it"
            )
    return captured


def _check_order(nodes: Sequence[onnx.NodeProto], reads: list[set[int]], context: _Context) -> None:
    """`reads[i]` are the nodes whose outputs node i reads; nodes may stand in any order but not in a circle."""
    if all(j < i for i, before in enumerate(reads) for j in before):
        return
    context.in_order = False
    waiting = [len(before) for before in reads]
    readers: list[list[int]] = [[] for _ in reads]
    for i, before in enumerate(reads):
        for j in before:
            readers[j].append(i)
    ready = [i for i, count in enumerate(waiting) if count == 0]
    while ready:
        for i in readers[ready.pop()]:
            waiting[i] -= 1
            if waiting[i] == 0:
                ready.append(i)
    stuck = {i for i, count in enumerate(waiting) if count}
    if stuck:
        circle = " ← ".join(_title(nodes[i]) for i in _circle(reads, stuck))
        raise InvalidGraph(
            f"{context.where}: the graph is not acyclic: {circle}; each reads what the next one produces"
        )


def _circle(reads: list[set[int]], stuck: set[int]) -> list[int]:
    """Every stuck node reads another stuck one, so following them ends in a circle."""
    path, seen = [min(stuck)], {}
    while path[-1] not in seen:
        seen[path[-1]] = len(path) - 1
        path.append(min(reads[path[-1]] & stuck))
    circle = path[seen[path[-1]] :]
    return circle if len(circle) <= 9 else [*circle[:8], circle[-1]]


def _check_operator(node: onnx.NodeProto, context: _Context) -> None:
    label = context.label(node)
    given = [attribute.name for attribute in node.attribute]
    if len(set(given)) != len(given):
        repeated = [name for name, count in Counter(given).items() if count > 1]
        raise InvalidGraph(f"{label} has the attribute {repeated[0]!r} more than once")
    for attribute in node.attribute:
        if attribute.ref_attr_name and (
            context.references is None or attribute.ref_attr_name not in context.references
        ):
            raise InvalidGraph(
                f"{label} refers to the attribute {attribute.ref_attr_name!r}, which no function declares"
            )
        if not all(map(_is_text, (attribute.s, *attribute.strings))):
            raise InvalidGraph(f"{label}: the text of attribute {attribute.name!r} is not UTF-8")
        field = _HOLDS.get(attribute.type)
        if field is not None and not attribute.ref_attr_name and not attribute.HasField(field):
            raise InvalidGraph(f"{label}: the attribute {attribute.name!r} is empty")
        for kind in (*attribute.type_protos, *((attribute.tp,) if attribute.HasField("tp") else ())):
            _check_type(kind, f"{label}: attribute {attribute.name!r}", context.limits)
    called = context.functions.get((node.domain, node.op_type, node.overload))
    if called is not None:
        check_call(node, called, label)
        return
    version = context.versions.get(node.domain)
    if version is None:
        raise UnsupportedOperator(
            f"{label}: No opset import for domain {_show(node.domain)!r}; found {sorted(map(_show, context.versions))}"
        )
    operator = registry.find(node.domain, node.op_type, version)
    schema = _schema(node.op_type, version, node.domain)
    if schema is not None and schema.deprecated:
        raise UnsupportedOperator(
            f"{label}: Op registered for {node.op_type} is deprecated in domain_version of {version}"
        )
    lowered = (node.domain, node.op_type) in LOWERED
    if operator is None and not lowered and (schema is None or not _has_body(schema, version)):
        unknown = f"No Op registered for {node.op_type} with domain_version of {version}"
        detail = unknown if schema is None else f"operator {node.op_type!r} of opset {version} is not implemented"
        raise UnsupportedOperator(f"{label}: {detail} (domain {_show(node.domain)!r})")
    if schema is not None:
        _check_against(schema, node, label)
    check_bodies(node, version, label)
    if node.op_type == "Einsum":
        _check_equation(node, label)
    if operator is not None:
        try:
            operator.bind(dict.fromkeys(given))
        except InvalidGraph as error:
            raise InvalidGraph(f"{label}: {error}") from None


class _Formals(NamedTuple):
    """What the specification says of an operator, read from its schema once: attribute → type, the required ones,
    inputs as (name, whether it may be left out), how many inputs and outputs."""

    attributes: dict[str, str]
    required: frozenset[str]
    inputs: tuple[tuple[str, bool], ...]
    counts: tuple[int, int, int, int]


@cache
def _formals(schema: Schema) -> _Formals:
    attributes = schema.attributes
    return _Formals(
        {name: formal.type.name for name, formal in attributes.items()},
        frozenset(name for name, formal in attributes.items() if formal.required),
        tuple((formal.name, formal.option == FormalParameter.Optional) for formal in schema.inputs),
        (schema.min_input, schema.max_input, schema.min_output, schema.max_output),
    )


def _check_against(schema: Schema, node: onnx.NodeProto, label: str) -> None:
    formals = _formals(schema)
    for attribute in node.attribute:
        wanted = formals.attributes.get(attribute.name)
        if wanted is None:
            raise InvalidGraph(
                f"{label}: Unrecognized attribute: {attribute.name} for operator {node.op_type}; "
                f"it has {sorted(formals.attributes) or 'none'}"
            )
        found = AttributeProto.AttributeType.Name(attribute.type)
        if found != wanted:
            raise InvalidGraph(
                f"{label}: Mismatched attribute type in '{node.name} : {attribute.name}'. "
                f"Expected: '{wanted}', actual: '{found}'"
            )
    for name in sorted(formals.required.difference(attribute.name for attribute in node.attribute)):
        raise InvalidGraph(f"{label}: Required attribute '{name}' is missing; it is of type {formals.attributes[name]}")
    least_in, most_in, least_out, most_out = formals.counts
    for kind, found, least, most in (
        ("input", len(node.input), least_in, most_in),
        ("output", len(node.output), least_out, most_out),
    ):
        if not least <= found <= most:
            raise InvalidGraph(
                f"{label} with schema({schema.domain}::{schema.name}:{schema.since_version}) has {kind} size {found} "
                f"not in range [min={least}, max={most}]"
            )
    for i, name in enumerate(node.input):
        if not name:
            formal, optional = formals.inputs[min(i, len(formals.inputs) - 1)]
            if not optional:
                raise InvalidGraph(f"{label}: input {formal!r} is required but its name is empty")


def _check_equation(node: onnx.NodeProto, label: str) -> None:
    """ONNX's own shape inference does not end on some malformed equations, so none may reach it."""
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            raise UnsupportedOperator(
                f"{label}: the equation of an Einsum must stand in the node, not come from a function"
            )
        if not _EQUATION.fullmatch(attribute.s.decode().replace(" ", "")):
            raise InvalidGraph(
                f"{label}: {attribute.s.decode()!r} is not an equation; expected one such as 'ij,jk->ik'"
            )


def _sizes(functions: Mapping[FunctionId, onnx.FunctionProto], where: str) -> dict[FunctionId, int]:
    """How many nodes a call of each function becomes, since functions are inlined.

    Raises:
        InvalidGraph: if a function calls itself, over any number of others.
    """
    calls = {key: [c for c in _calls(f.node) if c in functions] for key, f in functions.items()}
    done: dict[FunctionId, int] = {}
    for start in functions:
        path: dict[FunctionId, Iterator[FunctionId]] = {start: iter(calls[start])}
        while path:
            current = next(reversed(path))
            callee = next(path[current], None)
            if callee is None:
                done[current] = _size(functions[current].node, done)
                del path[current]
            elif callee in path:
                raise InvalidGraph(f"{where}: function {_show(callee[0])}.{callee[1]} calls itself")
            elif callee not in done:
                path[callee] = iter(calls[callee])
    return done


def _size(nodes: Iterable[onnx.NodeProto], sizes: Mapping[FunctionId, int]) -> int:
    return sum(sizes.get(call, 1) for call in _calls(nodes))


def _calls(nodes: Iterable[onnx.NodeProto]) -> Iterator[FunctionId]:
    for node in nodes:
        yield node.domain, node.op_type, node.overload
        for graph in _subgraphs(node):
            yield from _calls(graph.node)


def _check_value_types(graph: onnx.GraphProto, context: _Context) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        _check_type(value.type, f"{context.where}: value {value.name!r}", context.limits)


def _check_type(kind: onnx.TypeProto, label: str, limits: Limits) -> None:
    """The data types and ranks of a type and of those inside it; it may be left open."""
    for name in ("sequence_type", "optional_type"):
        if kind.HasField(name):
            _check_type(getattr(kind, name).elem_type, label, limits)
    if kind.HasField("map_type"):
        _check_type(kind.map_type.value_type, label, limits)
    for name in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(kind, name)
        if tensor.elem_type not in dtypes.NUMPY and tensor.elem_type != onnx.TensorProto.UNDEFINED:
            raise InvalidGraph(f"{label} does not have valid data type: {tensor.elem_type} is not one of ONNX's")
        if len(tensor.shape.dim) > limits.rank:
            raise LimitExceeded(f"{label} has {len(tensor.shape.dim)} dimensions; at most {limits.rank} are allowed")


def _check_inputs(graph: onnx.GraphProto, context: _Context) -> None:
    for value in graph.input:
        if value.type.WhichOneof("value") is None:
            raise InvalidGraph(f"{context.where}: value {value.name!r} is a graph input without a type")
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type == onnx.TensorProto.UNDEFINED:
            raise InvalidGraph(f"{context.where}: value {value.name!r} is a graph input without a data type")


def _unique(names: Iterable[str], kind: str, where: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise InvalidGraph(f"{where}: an {kind} has no name")
        if name in seen:
            raise InvalidGraph(f"{where}: Duplicate definition-site for ({name}): two {kind}s have that name")
        seen.add(name)
    return seen


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [g for a in node.attribute for g in (*a.graphs, *((a.g,) if a.HasField("g") else ()))]


@cache
def _schema(name: str, version: int, domain: str) -> Schema | None:
    try:
        return onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None


def _has_body(schema: Schema, version: int) -> bool:
    return any(
        v <= version for v in (*schema.function_opset_versions, *schema.context_dependent_function_opset_versions)
    )


def _is_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _identity(function: onnx.FunctionProto) -> FunctionId:
    return _domain(function.domain), function.name, function.overload


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _show(domain: str) -> str:
    return domain or "ai.onnx"


def _title(node: onnx.NodeProto) -> str:
    """A node's name and operator; the name of its first output where it has no name."""
    name = node.name or next(iter(node.output), "")
    return f"{name!r} ({node.op_type})"
