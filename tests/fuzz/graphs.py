"""Random valid models: a pool of values, and operators that take what they need from it or make it.

Every value is computed while its node is added, so a row (`rows.py`) may ask for what it needs of the contents: indices
in range, divisors that are not zero, numbers that a cast keeps. Hypothesis makes every choice; contents come from a
seed it draws. Choices shrink towards the first row, the fewest nodes and the plainest form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from striate.runtime import InferenceSession
from striate.runtime.builder import attributes
from striate.runtime.dtypes import onnx_dtype, onnx_name
from striate.runtime.engines import arrays
from striate.runtime.ops import registry

FLOATS = ("float32", "float64", "float16")
SIGNED = ("int64", "int32", "int8", "int16")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
DTYPES = (*FLOATS, *SIGNED, *UNSIGNED, "bool", "string")
WEIGHTS = {"float32": 8, "float64": 3, "float16": 3, "int64": 3, "int32": 2, "bool": 2}
"""How often a new value is of a dtype; 1 for the others."""
OPSETS = tuple(range(13, 29))
"""Up to the newest that onnxruntime 1.32 loads."""
LARGEST = 600
"""Elements of a value that an operator may take."""
MODERATE = 1e3
"""Numbers up to this size are taken further, unless the graph is to have wild ones."""
WILD = (np.nan, np.inf, -np.inf, 3e38, -1e30, 1e-40, -0.0)


@dataclass
class Value:
    """A tensor, or a sequence of them, with what it holds."""

    name: str
    data: Any

    @property
    def dtype(self) -> str:
        first = self.data[0] if self.is_sequence else self.data
        return "string" if first.dtype.kind in "OUST" else first.dtype.name

    @property
    def is_sequence(self) -> bool:
        return isinstance(self.data, list)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def rank(self) -> int:
        return self.data.ndim

    def within(self, low: float, high: float) -> bool:
        """Whether every number is, NaN excluded."""
        with np.errstate(invalid="ignore", over="ignore"):
            return bool(((self.data >= low) & (self.data <= high)).all())


@dataclass
class Scope:
    """One graph, subgraph or function body while it is made."""

    values: list[Value] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    closed: bool = False
    """A function body: it sees no outer values and has no initializers."""


@dataclass(frozen=True)
class Sample:
    """A model, what it is fed, and what the makers of its nodes gave (`refused`: the error of a node's kernel)."""

    model: onnx.ModelProto
    feeds: dict[str, Any]
    refused: str | None = None


class Refused(Exception):
    """A kernel of ours raised on a node that is meant to be valid; the graph ends there."""


Filter = Callable[[Value], bool]


class Maker:
    """Adds nodes; the methods are what rows are written with. `integer(low, high)` makes every choice."""

    def __init__(self, integer: Callable[[int, int], int]) -> None:
        self.integer = integer
        self.opset: int = self.choice(OPSETS[::-1])
        self.wild = self.chance(15)
        self.random = np.random.default_rng(self.integer(0, 2**32 - 1))
        self.scopes = [Scope()]
        self.inputs: dict[str, Value] = {}
        self.overridable: list[str] = []
        self.functions: list[onnx.FunctionProto] = []
        self.data_safe = False
        """Inside bodies that run on other contents than those seen here."""
        self._count = 0

    # ---- choices

    def choice(self, options: Sequence[Any]) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return self.integer(0, 99) >= 100 - percent

    def maybe(self, percent: int, make: Callable[[], Any]) -> Any:
        """What `make` gives, or None."""
        return make() if self.chance(percent) else None

    def some(self, options: Sequence[Any], least: int = 0) -> list[Any]:
        """A subset, in random order."""
        left, count = list(options), self.integer(least, len(options)) if options else 0
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(count)]

    def axis(self, rank: int) -> int:
        """An axis of a tensor of that rank, from the front or from the back."""
        return self.integer(-rank, rank - 1)

    def axes(self, rank: int, least: int = 0) -> list[int]:
        return [a - rank if self.chance(30) else a for a in self.some(range(rank), least)]

    def shape(self, low: int = 0, high: int = 4) -> tuple[int, ...]:
        """Sizes are mostly 1 to 4; an empty dimension now and then."""
        rank = self.integer(low, high)
        empty = self.chance(4)
        return tuple(self.integer(0 if empty else 1, 4 if rank > 2 else 6) for _ in range(rank))

    # ---- values

    @property
    def scope(self) -> Scope:
        return self.scopes[-1]

    def visible(self) -> Iterator[Value]:
        for scope in reversed(self.scopes):
            yield from reversed(scope.values)
            if scope.closed:
                return

    def of(self, op: str, index: int = 0, *, rank: tuple[int, int] = (0, 5), only: Sequence[str] = DTYPES,
           where: Filter = lambda v: True, new: Callable[[str], Value] | None = None) -> Value:  # fmt: skip
        """A value the operator takes as that input. What `where` refuses is made by `new`, or drawn plainly."""
        types = [t for t in taken(op, self.opset, index) if t in only]
        return self.value(types, rank=rank, where=where, new=new)

    def value(self, types: Sequence[str], *, rank: tuple[int, int] = (0, 5), where: Filter = lambda v: True,
              new: Callable[[str], Value] | None = None) -> Value:  # fmt: skip
        """One of the visible values, mostly a recent one, or a new one."""
        found = []
        if self.chance(85):
            for v in self.visible():
                fits = not v.is_sequence and v.dtype in types and rank[0] <= v.rank <= rank[1]
                if fits and v.data.size <= LARGEST and (self.wild or _is_moderate(v)) and where(v):
                    found.append(v)
        if found:
            return found[min(self.integer(0, len(found) - 1), self.integer(0, len(found) - 1))]
        weighted = [t for t in types for _ in range(WEIGHTS.get(t, 1))]
        dtype = self.choice(weighted)
        if new is not None:
            return new(dtype)
        return self.new(dtype, self.shape(rank[0], min(rank[1], 4)))

    def contents(self, dtype: str, shape: Sequence[int], low: float = -3, high: float = 3) -> np.ndarray:
        random, shape = self.random, tuple(shape)
        if dtype == "string":
            words = np.array(["", "a", "b", "ab", "é", "1", "-2.5", "A b"], object)
            return np.asarray(words[random.integers(0, len(words), shape)], object).reshape(shape)
        if dtype == "bool":
            return random.integers(0, 2, shape).astype(bool)
        if dtype not in FLOATS:
            least = max(low, 0) if dtype in UNSIGNED else low
            return random.integers(int(np.ceil(least)), int(high) + 1, shape).astype(dtype)
        data = random.uniform(low, high, shape)
        if self.chance(20):
            data = np.clip(np.round(data), low, high)  # ties, exact zeros
        data = np.asarray(data, dtype)
        if self.wild and data.size and self.chance(50):
            with np.errstate(over="ignore"):
                data.flat[random.integers(data.size)] = np.asarray(self.choice(WILD)).astype(dtype)
        return data

    def new(self, dtype: str, shape: Sequence[int], low: float = -3, high: float = 3) -> Value:
        return self.source(self.contents(dtype, shape, low, high))

    def source(self, data: Any, dynamic: int = 55) -> Value:
        """The array as a graph input, an initializer (with or without an input of its name) or a Constant."""
        data = np.asarray(data)
        closed = any(scope.closed for scope in self.scopes)
        if not closed and self.chance(dynamic):
            return self._input(data)
        way = 0 if closed else self.integer(0, 3)
        if way == 0:
            return self._constant(data)
        scope = self.scopes[self.integer(0, len(self.scopes) - 1)]
        value = self._named(data, scope)
        stored = data
        if way == 3 and scope is self.scopes[0]:
            self.overridable.append(value.name)
            if self.chance(50):  # fed, and the default is another one
                self.inputs[value.name] = value
                stored = self.contents(value.dtype, data.shape)
        scope.initializers.append(_tensor(stored, value.name, raw=self.chance(60)))
        return value

    def ints(self, numbers: Any, dtype: str = "int64") -> Value:
        """Small numbers that decide about shapes: constant for the most part."""
        return self.source(np.asarray(numbers, dtype), dynamic=25)

    def like(self, x: Value, **limits: float) -> Value:
        """A value of the same dtype that broadcasts with it, in either direction."""

        def fits(v: Value) -> bool:
            try:
                return bool(np.prod(np.broadcast_shapes(v.shape, x.shape)) <= LARGEST) and (
                    not limits or v.within(limits["low"], limits["high"])
                )
            except ValueError:
                return False

        def new(dtype: str) -> Value:
            shape = [1 if self.chance(25) else n for n in x.shape]
            shape = shape[self.integer(0, len(shape)) if self.chance(35) else 0 :]
            if len(shape) == x.rank < 4 and x.data.size <= LARGEST // 2 and self.chance(15):
                shape = [2, *shape]
            return self.new(dtype, shape, **limits)

        return self.value([x.dtype], where=fits, new=new)

    def same(self, x: Value, types: Sequence[str] = (), low: float = -3, high: float = 3) -> Value:
        """A value of the same shape, and the same dtype or one of `types`."""

        def fits(v: Value) -> bool:
            return v.shape == x.shape

        return self.value(types or [x.dtype], where=fits, new=lambda t: self.new(t, x.shape, low, high))

    # ---- nodes

    def node(self, op: str, inputs: Sequence[Value | None], outputs: int | Sequence[bool] = 1, domain: str = "",
             **attrs: Any) -> list[Value | None]:  # fmt: skip
        """Adds a node; an attribute that is None is left out. Results become visible values.

        Raises:
            Refused: our kernel raised; the node stays, as the last one.
        """
        wanted = [True] * outputs if isinstance(outputs, int) else list(outputs)
        names = [self._name("v") if present else "" for present in wanted]
        given = ["" if v is None else v.name for v in inputs]
        while given and not given[-1]:
            given.pop()
        node = helper.make_node(op, given, names, name=self._name("n"), domain=domain)
        for name, value in attrs.items():
            if value is not None:
                node.attribute.append(_attribute(op, self.opset, domain, name, value))
        return self.append(node)

    def append(self, node: onnx.NodeProto) -> list[Value | None]:
        self.scope.nodes.append(node)
        known = {v.name: v.data for v in self.visible()}
        try:
            results = _evaluate(node, known, self.opset, self.functions)
        except Exception as error:
            raise Refused(f"{node.op_type}: {type(error).__name__}: {error}") from error
        values = [Value(n, _owned(r)) if n else None for n, r in zip(node.output, results, strict=False)]
        self.scope.values += [v for v in values if v is not None and v.data is not None]
        return values

    def repeat(self) -> None:
        """A node once more: a shared subexpression."""
        nodes = [n for n in self.scope.nodes if n.op_type != "Constant"]
        if nodes:
            node = onnx.NodeProto()
            node.CopyFrom(self.choice(nodes))
            node.name = self._name("n")
            node.output[:] = [self._name("v") if name else "" for name in node.output]
            _rename_inner(node, self._name("r"))
            self.append(node)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _named(self, data: Any, scope: Scope) -> Value:
        value = Value(self._name("c"), data)
        scope.values.append(value)
        return value

    def _input(self, data: np.ndarray) -> Value:
        value = Value(self._name("x"), data)
        self.inputs[value.name] = value
        self.scopes[0].values.append(value)
        return value

    def _constant(self, data: np.ndarray) -> Value:
        """A Constant node in one of its forms."""
        value = self._named(data, self.scope)
        node = helper.make_node("Constant", [], [value.name], name=self._name("n"))
        form = {("float32", 0): "value_float", ("float32", 1): "value_floats", ("int64", 0): "value_int",
                ("int64", 1): "value_ints", ("string", 0): "value_string", ("string", 1): "value_strings",
                }.get((value.dtype, data.ndim))  # fmt: skip
        if form and data.size and self.chance(50):
            node.attribute.append(helper.make_attribute(form, data.tolist()))
        else:
            node.attribute.append(helper.make_attribute("value", _tensor(data, "", raw=self.chance(60))))
        self.scope.nodes.append(node)
        return value


def _rename_inner(node: onnx.NodeProto, prefix: str) -> None:
    """Names inside a copied node's subgraphs must be new ones: the file's names are assigned once."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            graph = attribute.g
            made = {v.name for v in graph.input} | {t.name for t in graph.initializer}
            made |= {n for inner in graph.node for n in inner.output if n}
            _rename(graph, {n: prefix + n for n in made})


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for item in (*graph.input, *graph.output, *graph.initializer):
        item.name = names.get(item.name, item.name)
    for node in graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename(attribute.g, names)


def _is_moderate(v: Value) -> bool:
    return v.dtype in ("bool", "string") or v.within(-MODERATE, MODERATE)


def _owned(result: Any) -> Any:
    if isinstance(result, list):
        return [_owned(item) for item in result]
    return None if result is None else np.array(result)


def _tensor(data: np.ndarray, name: str, *, raw: bool) -> onnx.TensorProto:
    if data.dtype.kind in "OU":
        return helper.make_tensor(name, onnx.TensorProto.STRING, data.shape, [s.encode() for s in data.ravel()])
    if raw:
        return numpy_helper.from_array(np.ascontiguousarray(data).reshape(data.shape), name)
    return helper.make_tensor(name, onnx_dtype(data.dtype), data.shape, data.ravel())


def _attribute(op: str, opset: int, domain: str, name: str, value: Any) -> onnx.AttributeProto:
    if isinstance(value, np.ndarray):
        value = _tensor(value, "", raw=True)
    kind = None
    if (schema := schema_of(op, opset, domain)) is not None and name in schema.attributes:
        kind = schema.attributes[name].type.value
    if kind == onnx.AttributeProto.FLOAT:
        value = float(value)
    if kind == onnx.AttributeProto.INT:
        value = int(value)
    return helper.make_attribute(name, value, attr_type=kind)


@cache
def schema_of(op: str, opset: int, domain: str = "") -> Any:
    """The operator's schema in that opset, or None."""
    try:
        schema = onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        return None
    return None if schema.deprecated else schema


@cache
def taken(op: str, opset: int, index: int = 0) -> tuple[str, ...]:
    """The dtypes, of those drawn here, that the operator takes as an input."""
    schema = schema_of(op, opset)
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    kinds = {f"tensor({onnx_name(onnx_dtype(np.dtype(t)))})" if t != "string" else "tensor(string)": t for t in DTYPES}
    return tuple(t for kind, t in kinds.items() if kind in formal.types)


def _evaluate(
    node: onnx.NodeProto, known: dict[str, Any], opset: int, functions: Sequence[onnx.FunctionProto]
) -> list[Any]:
    """The node's outputs: from its kernel, or for bodies and functions from a session of one node."""
    has_body = any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute)
    operator = registry.find(node.domain, node.op_type, opset)
    if operator is None or has_body:
        return _session(node, known, opset, functions)
    alone = onnx.NodeProto(op_type=node.op_type, domain=node.domain, attribute=node.attribute)
    bound = operator.bind(attributes(ir.serde.deserialize_node(alone)))
    call = arrays.engine("cpu").bind(operator, bound, len(node.output))
    with np.errstate(all="ignore"):
        result = call(*(known[n] if n else None for n in node.input))
    return list(result) if isinstance(result, tuple) else [result]


def _session(node: onnx.NodeProto, known: dict[str, Any], opset: int, functions: Sequence[Any]) -> list[Any]:
    read = [n for n in dict.fromkeys(names_read(node)) if n in known]
    inputs = [helper.make_value_info(n, type_of(known[n], None)) for n in read]
    outputs = [onnx.ValueInfoProto(name=n) for n in node.output if n]
    graph = helper.make_graph([node], "node", inputs, outputs)
    session = InferenceSession(model_of(graph, opset, functions).SerializeToString())
    results = dict(zip((v.name for v in outputs), session.run(None, {n: known[n] for n in read}), strict=True))
    return [results.get(n) for n in node.output]


def names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Names a node and its subgraphs read, those of the subgraphs' own values among them."""
    yield from (n for n in node.input if n)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield from (v.name for v in attribute.g.output)
            for inner in attribute.g.node:
                yield from names_read(inner)


def type_of(data: Any, shape: Sequence[Any] | None) -> onnx.TypeProto:
    """The ONNX type, of this shape (None: of no stated shape)."""
    if isinstance(data, list):
        return helper.make_sequence_type_proto(type_of(data[0], None))
    code = onnx.TensorProto.STRING if data.dtype.kind in "OUST" else onnx_dtype(data.dtype)
    return helper.make_tensor_type_proto(code, shape)


def model_of(graph: onnx.GraphProto, opset: int, functions: Sequence[onnx.FunctionProto] = ()) -> onnx.ModelProto:
    """A model of the lowest IR version that the opset and functions allow, as exporters write them."""
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid("local", 1)] * bool(functions)
    version = max(helper.find_min_ir_version_for(imports[:1]), 8 if functions else 4)
    return helper.make_model(graph, opset_imports=imports, ir_version=version, functions=list(functions))


@st.composite
def samples(draw: Callable[[Any], Any]) -> Sample:
    """Models with their inputs, as hypothesis chooses and shrinks them."""
    return make(lambda low, high: int(draw(st.integers(low, high))))


def numbered(seed: int, number: int) -> Sample:
    """One of an endless row of samples, by independent even choices: what long runs use."""
    random = np.random.default_rng((seed, number))
    return make(lambda low, high: int(random.integers(low, high, endpoint=True)))


def make(integer: Callable[[int, int], int], least: int = 3, most: int = 25) -> Sample:
    """A model of 3 to 25 nodes, constants and the nodes of bodies not counted."""
    from .rows import add

    g, refused = Maker(integer), None
    try:
        for _ in range(g.integer(least, most)):
            add(g)
    except Refused as error:
        refused = str(error)
    return finish(g, refused)


def finish(g: Maker, refused: str | None) -> Sample:
    """Chooses outputs, and how much of the inputs' and outputs' types the file states."""
    root = g.scopes[0]
    del g.scopes[1:]
    if refused is not None:
        outputs = [onnx.ValueInfoProto(name=n) for n in root.nodes[-1].output if n]
    else:
        made = {n for node in root.nodes if node.op_type != "Constant" for n in node.output}
        read = {n for node in root.nodes for n in names_read(node)}
        ends = [v for v in root.values if v.name in made and v.name not in read and not _is_empty(v)]
        others = [v for v in root.values if v not in ends and not _is_empty(v)]
        chosen = [v for v in ends if not g.chance(10)]  # what is left out is a dead node
        chosen += [v for v in others if g.chance(5)]
        outputs = [_stated(g, v) for v in chosen or others[-1:]]
    inputs = [_stated(g, v) for v in g.inputs.values() if v.name not in g.overridable]
    constants = {t.name: t for t in root.initializers}
    inputs += [helper.make_tensor_value_info(n, constants[n].data_type, constants[n].dims) for n in g.overridable]
    graph = helper.make_graph(root.nodes, "random", inputs, outputs, root.initializers)
    return Sample(model_of(graph, g.opset, g.functions), {n: v.data for n, v in g.inputs.items()}, refused)


def _is_empty(v: Value) -> bool:
    return v.is_sequence and not v.data


def _stated(g: Maker, v: Value) -> onnx.ValueInfoProto:
    """With every size, some under a name, some unknown, or without a shape."""
    if v.is_sequence:
        return helper.make_value_info(v.name, type_of(v.data, None))
    if g.chance(10):
        return helper.make_value_info(v.name, type_of(v.data, None))
    symbolic = g.chance(40)
    sizes: list[Any] = [(f"n{n}" if g.chance(70) else None) if symbolic and g.chance(60) else n for n in v.shape]
    return helper.make_value_info(v.name, type_of(v.data, sizes))
