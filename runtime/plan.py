"""A graph and concrete input shapes become a Plan: bound kernels over numbered slots, with lifetimes and one arena."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import onnx_ir as ir

from . import dtypes, limits, passes
from .builder import attributes
from .engines.arrays import ArraysEngine
from .errors import InvalidInput, LimitExceeded, StriateError
from .inference import dims
from .ops import registry
from .prepared import Whole
from .subgraphs import close, graphs_of

ALIGNMENT = 64
OPERATOR = "striate.operator"
"""A node may bring the operator that computes it, under this key of its `meta`."""
DIRECT = "striate.direct"
"""And under this one an object whose function `direct` makes a tuple of all outputs of a tuple of all inputs: arrays of
exactly the declared dtypes and shapes, C-contiguous and aligned."""

Signature = tuple[tuple[str, np.dtype | None, tuple[int, ...] | None], ...]
"""Name, dtype and shape of each input, by name; None where it is left open, or the input is no tensor."""
Body = Callable[[ir.Model], Any]
"""Makes of a subgraph that has become a model of its own what kernels call (`executor.Subgraph`)."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """A place in the arena."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(slots=True)
class Step:
    """One node: `call(*inputs)` fills the slots `outputs`; afterwards the slots `frees` are forgotten.

    `out` is the index of an arena buffer, or the negative of (1 + slot) whose array is overwritten, or None.
    """

    node: str
    op_type: str
    call: Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    out: int | None = None
    frees: tuple[int, ...] = ()


@dataclass(slots=True)
class Plan:
    """What the executor runs: no operator names matter any more.

    `values` holds the constants in their slots and None elsewhere (slot 0 is the absent input). `copied` are the
    outputs whose memory belongs to somebody else; `donated` pairs the slots of an input and the output to be written
    over it at the end. The first `guarded` steps compute the guarded output and write over no donated input. `whole` is
    there if all of the plan is the call of one node with `DIRECT`.
    """

    feeds: dict[str, int]
    fetches: dict[str, int]
    values: list[Any]
    steps: list[Step]
    buffers: list[Buffer]
    arena_bytes: int
    copied: frozenset[str]
    donated: list[tuple[int, int]]
    guarded: int
    whole: Whole | None = None
    arenas: list[list[Any]] = field(default_factory=list)


def plan(
    model: ir.Model,
    signature: Signature,
    engine: ArraysEngine,
    *,
    donate: Mapping[str, str] | None = None,
    guard: str | None = None,
    reuse: bool = True,
    optimize: bool = True,
    body: Body,
    lower: Callable[[ir.Model], bool] | None = None,
) -> Plan:
    """Specialises `model` (left untouched) to the given inputs and lays it out for `engine`.

    Args:
        signature: name, dtype and shape of every input that will be fed.
        donate: input name → output name; the output is written over the input's array.
        guard: an output to be computed before any donated input is overwritten.
        reuse: share buffers between values whose lifetimes do not meet.
        body: makes subgraphs callable.
        lower: puts stretches of the specialised graph into nodes that bring their operator along (`OPERATOR`).

    Raises:
        InvalidGraph: if the shapes contradict an operator.
        LimitExceeded: if a value would be larger than `limits.VALUE_BYTES`.
    """
    special = specialise(model, signature, optimize=optimize)
    if lower is not None:
        try:
            lower(special)
        except (StriateError, MemoryError):
            raise
        except Exception as error:  # a fault of ours, which need not stop anybody
            text = (
                f"the native engine failed to prepare a model, and NumPy computes all of it; please report: {error!r}"
            )
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            special = specialise(model, signature, optimize=optimize)
    return _Layout(special, engine, dict(donate or {}), reuse, body).plan(guard)


def specialise(model: ir.Model, signature: Signature, *, optimize: bool = True) -> ir.Model:
    """A copy of `model` for exactly these inputs: shapes bound, constants folded, passes run."""
    settled = passes.settled(model)
    model = model.clone()
    graph = model.graph
    given = {name: (dtype, shape) for name, dtype, shape in signature}
    changed = False
    for value in list(graph.inputs):
        assert value.name is not None
        if value.name in given:
            dtype, shape = given[value.name]
            _check_fed(value, shape)
            known = value.shape is not None and value.shape.is_static() and value.name not in graph.initializers
            changed |= not known or dtype is None or value.dtype != ir.DataType(dtypes.onnx_dtype(dtype))
            value.shape = None if shape is None else ir.Shape(shape)
            if dtype is not None:
                value.type = ir.TensorType(ir.DataType(dtypes.onnx_dtype(dtype)))
            graph.initializers.pop(value.name, None)
            value.const_value = None
        elif value.name in graph.initializers:
            graph.inputs.remove(value)
            changed = True
    if changed or not (settled and optimize):
        passes.specialise(model, optimize=optimize)
    return model


def _check_fed(value: ir.Value, shape: tuple[int, ...] | None) -> None:
    """What was prepared for the declared shape of an input is wrong for another.

    Raises:
        InvalidInput: if it is another.
    """
    if value.shape is None or shape is None:
        return
    declared = dims(value.shape)
    if len(declared) != len(shape) or any(isinstance(d, int) and d != n for d, n in zip(declared, shape, strict=True)):
        raise InvalidInput(f"input {value.name!r} has shape {list(shape)}; the model declares {list(declared)}")


class _Layout:
    """Numbers the values of a specialised graph and decides whose memory each one uses."""

    def __init__(self, model: ir.Model, engine: ArraysEngine, donate: dict[str, str], reuse: bool, body: Body) -> None:
        self.graph = graph = model.graph
        self.engine = engine
        self.reuse = reuse
        self.body = body
        self.slots: dict[ir.Value, int] = {}
        self.nodes = list(graph)
        self.operators = [_operator_of(node, graph) for node in self.nodes]
        closed = {n: {name: close(g, model.ir_version) for name, g in graphs_of(n).items()} for n in self.nodes}
        self.bodies = {n: {name: inner for name, (inner, _) in found.items()} for n, found in closed.items()}
        self.captured = {n: {name: values for name, (_, values) in found.items()} for n, found in closed.items()}
        self.roots: dict[ir.Value, ir.Value] = {}
        inputs = {v.name: v for v in graph.inputs}
        outputs = {v.name: v for v in graph.outputs}
        self.donate = {outputs[o]: inputs[i] for i, o in donate.items()}

    def plan(self, guard: str | None) -> Plan:
        feeds = {str(v.name): self._slot(v) for v in self.graph.inputs}
        constants = {v: self._slot(v) for v in self.graph.initializers.values()}
        for node, operator in zip(self.nodes, self.operators, strict=True):
            for value in node.outputs:
                self._slot(value)
                source = node.inputs[0] if operator.view and node.inputs else None
                self.roots[value] = self._root(source) if source is not None else value
        last = self._last_uses()
        buffers, outs, arena_bytes, in_place = self._assign(last)
        steps = self._steps(last, outs)
        fetches = {str(v.name): self.slots[v] for v in self.graph.outputs}
        owned = {v for node, op in zip(self.nodes, self.operators, strict=True) if not op.view for v in node.outputs}
        owned -= {self._root(v) for v in self.graph.outputs if self._root(v) is not v}
        copied = frozenset(str(v.name) for v in self.graph.outputs if self._root(v) not in owned)
        donated = [(self.slots[i], self.slots[o]) for o, i in self.donate.items() if o not in in_place]
        values: list[Any] = [None] * (len(self.slots) + 1)
        on_host = self._host_only()
        for value, slot in constants.items():
            assert value.const_value is not None
            array = value.const_value.numpy()
            values[slot] = array if value in on_host else self.engine.asarray(array)
        guarded = self._guarded(guard)
        return Plan(feeds, fetches, values, steps, buffers, arena_bytes, copied, donated, guarded, self._whole())

    def _whole(self) -> Whole | None:
        call = self.nodes[0].meta.get(DIRECT) if len(self.nodes) == 1 else None
        if call is None or self.donate:
            return None
        (node,), graph = self.nodes, self.graph
        places = {v: i for i, v in enumerate(node.outputs)}
        if not (set(node.inputs) <= set(graph.inputs) and set(graph.outputs) <= set(places)):
            return None
        return Whole(call, [str(v.name) for v in node.inputs if v], {str(v.name): places[v] for v in graph.outputs})

    def _guarded(self, guard: str | None) -> int:
        """How many steps it takes to compute the guarded output."""
        producers = {v.name: i for i, node in enumerate(self.nodes) for v in node.outputs}
        return producers.get(guard, -1) + 1 if guard is not None else 0

    def _slot(self, value: ir.Value) -> int:
        return self.slots.setdefault(value, len(self.slots) + 1)

    def _root(self, value: ir.Value) -> ir.Value:
        return self.roots.get(value, value)

    def _reads(self, node: ir.Node) -> list[ir.Value | None]:
        """The node's inputs, then what its subgraphs take from around them."""
        return [*node.inputs, *(value for values in self.captured[node].values() for value in values)]

    def _last_uses(self) -> dict[ir.Value, int]:
        """For each root value the index of the last step that reads it or a view of it; outputs live for ever."""
        last: dict[ir.Value, int] = {}
        for i, node in enumerate(self.nodes):
            for value in (*self._reads(node), *node.outputs):
                if value is not None:
                    last[self._root(value)] = i
        for value in self.graph.outputs:
            last[self._root(value)] = len(self.nodes)
        return last

    def _assign(self, last: dict[ir.Value, int]) -> tuple[list[Buffer], list[int | None], int, set[ir.Value]]:
        """Gives each step that can write into given memory a place in the arena, or the memory of its donated input.

        Places are taken first-fit among the gaps left by values alive at the same time.
        """
        buffers: list[Buffer] = []
        outs: list[int | None] = [None] * len(self.nodes)
        live: dict[ir.Value, Buffer] = {}
        in_place: set[ir.Value] = set()
        top = 0
        for i, (node, operator) in enumerate(zip(self.nodes, self.operators, strict=True)):
            wanted = [self._wanted(v) for v in node.outputs]
            value = node.outputs[0]
            writes = operator.takes_out and not operator.view and len(node.outputs) == 1
            buffer = wanted[0] if writes else None
            target = self.donate.get(value)
            if buffer is None:
                pass
            elif (
                target is not None and last.get(target, -1) <= i and self._may_overwrite(operator, node, target, buffer)
            ):
                outs[i] = -1 - self.slots[target]
                in_place.add(value)
            elif self.reuse and last[value] < len(self.nodes):
                dying = (v for v in live if last[v] == i and self._may_overwrite(operator, node, v, buffer))
                reused = next(dying, None)
                offset = _first_fit(buffer.nbytes, live.values()) if reused is None else live.pop(reused).offset
                live[value] = buffer = Buffer(offset, buffer.shape, buffer.dtype)
                outs[i] = len(buffers)
                buffers.append(buffer)
                top = max(top, buffer.offset + buffer.nbytes)
            for finished in [v for v in live if last[v] <= i]:
                del live[finished]
        return buffers, outs, top, in_place

    def _may_overwrite(self, operator: registry.Operator, node: ir.Node, target: ir.Value, buffer: Buffer) -> bool:
        """Whether the node may write its result over `target`: same layout, and no input is another view of it."""
        if not operator.inplace or target.shape is None or target.dtype is None:
            return False
        if tuple(target.shape) != buffer.shape or target.dtype.numpy() != buffer.dtype:
            return False
        return all(v is target for v in self._reads(node) if v is not None and self._root(v) is target)

    def _wanted(self, value: ir.Value) -> Buffer | None:
        """Shape and dtype of a value's buffer, or None where they are not known or an arena cannot hold them."""
        if value.shape is None or not value.shape.is_static() or not isinstance(value.type, ir.TensorType):
            return None
        buffer = Buffer(0, tuple(int(d) for d in value.shape.numpy()), value.type.dtype.numpy())
        if buffer.nbytes > limits.VALUE_BYTES:
            raise LimitExceeded(
                f"value {value.name!r} of shape {list(buffer.shape)} would take {buffer.nbytes:,} bytes; "
                f"at most {limits.VALUE_BYTES:,} are allowed"
            )
        return None if value.dtype == ir.DataType.STRING else buffer

    def _steps(self, last: dict[ir.Value, int], outs: list[int | None]) -> list[Step]:
        frees: list[list[int]] = [[] for _ in range(len(self.nodes) + 1)]
        kept = {*self.graph.initializers.values(), *self.graph.inputs}
        for value, slot in self.slots.items():
            if value not in kept:
                frees[last[self._root(value)]].append(slot)
        steps = []
        for i, (node, operator) in enumerate(zip(self.nodes, self.operators, strict=True)):
            call = self._call(node, operator)
            inputs = tuple(0 if v is None else self.slots[v] for v in self._reads(node))
            outputs = tuple(self.slots[v] for v in node.outputs)
            steps.append(Step(node.name or "", node.op_type, call, inputs, outputs, outs[i], tuple(frees[i])))
        return steps

    def _call(self, node: ir.Node, operator: registry.Operator) -> Callable[..., Any]:
        """The kernel with the node's attributes bound, to be called with what the node reads."""
        try:
            bound = operator.bind(attributes(node))
            bodies = {name: self.body(model) for name, model in self.bodies[node].items()}
        except StriateError as error:
            raise type(error)(f"node {node.name!r}: {error}") from error
        if not bodies:
            return self.engine.bind(operator, bound, len(node.outputs))
        captured, own = self.captured[node], len(node.inputs)

        def call(*values: Any) -> Any:
            outer = iter(values[own:])
            closed = {name: body.over(tuple(islice(outer, len(captured[name])))) for name, body in bodies.items()}
            return self.engine.bind(operator, {**bound, **closed}, len(node.outputs))(*values[:own])

        return call

    def _host_only(self) -> set[ir.Value]:
        """Constants read only as shapes, axes and the like: they stay on the host whatever the device."""
        host: set[ir.Value] = set()
        device: set[ir.Value] = set(self.graph.outputs)
        for node, operator in zip(self.nodes, self.operators, strict=True):
            for i, value in enumerate(node.inputs):
                if value is not None:
                    (host if i in operator.host else device).add(value)
        return host - device


def _operator_of(node: ir.Node, graph: ir.Graph) -> registry.Operator:
    own = node.meta.get(OPERATOR)
    return own or registry.lookup(node.domain, node.op_type, graph.opset_imports[node.domain])


def _first_fit(nbytes: int, taken: Iterable[Buffer]) -> int:
    offset = 0
    for buffer in sorted(taken, key=lambda b: b.offset):
        if offset + nbytes <= buffer.offset:
            break
        offset = max(offset, -(-(buffer.offset + buffer.nbytes) // ALIGNMENT) * ALIGNMENT)
    return offset
