"""Rows with more than one graph: If, Loop, Scan, sequences, model-local functions, repeated nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import GraphProto, helper

from .graphs import FLOATS, Maker, Scope, Value, type_of
from .rows import add, row

DEEPEST = 2


def _body(
    g: Maker, name: str, inputs: list[Value], outputs: Callable[[], list[Value]], *, blind: bool, shapes: bool = False
) -> tuple[GraphProto, list[Value]]:
    """A subgraph of one to four nodes; `outputs` then makes the results, in its scope. `shapes`: state theirs."""
    g.scopes.append(Scope(values=list(inputs)))
    try:
        for _ in range(g.integer(1, 4)):
            add(g, blind=blind)
        results = outputs()
        scope = g.scope
    finally:
        g.scopes.pop()
    return helper.make_graph(
        scope.nodes,
        name,
        [
            helper.make_value_info(v.name, type_of(v.data, v.shape if not v.rank or g.chance(50) else None))
            for v in inputs
        ],
        [helper.make_value_info(v.name, type_of(v.data, v.shape if shapes else None)) for v in results],
        scope.initializers,
    ), results


def _own(g: Maker, value: Value) -> Value:
    """The value under a name of the innermost graph; a graph's outputs are made in it, each once."""
    made = g.node("Identity", [value])[0]
    assert made is not None
    return made


def _result(g: Maker, like: Value | None = None, types: tuple[str, ...] = ("float32", "int64", "bool")) -> Value:
    """A tensor made in the innermost graph, of the dtype and shape of `like`."""
    for v in reversed(g.scope.values):
        made = any(v.name in node.output for node in g.scope.nodes) and not v.is_sequence
        if made and (v.dtype in types if like is None else (v.dtype, v.shape) == (like.dtype, like.shape)):
            return v if g.chance(60) else _own(g, v)
    return _own(g, like or g.value(types))


@row("If", weight=2)
def if_(g: Maker, op: str) -> None:
    """Branches of one dtype; their shapes may differ."""
    if len(g.scopes) > DEEPEST:
        return
    condition = g.value(["bool"], rank=(0, 0), new=lambda t: g.new(t, ()))
    then, first = _body(g, "then", [], lambda: [_result(g)], blind=False)
    types = (first[0].dtype,)
    other, _ = _body(g, "else", [], lambda: [_result(g, types=types)], blind=False)
    branches = (then, other) if g.chance(50) else (other, then)
    g.node(op, [condition], 1, then_branch=branches[0], else_branch=branches[1])


@row("Loop")
def loop(g: Maker, op: str) -> None:
    """One state, one output per trip; ends by count or by a condition. Without a trip the outputs' shapes are open."""
    if len(g.scopes) > DEEPEST:
        return
    state = g.value(["float32", "float64", "int64"], rank=(0, 3), where=lambda v: v.data.size <= 60)
    trip = Value(g._name("i"), np.asarray(0, np.int64))
    going = Value(g._name("b"), np.asarray(True))
    inner = Value(g._name("s"), state.data)

    def outputs() -> list[Value]:
        after = _own(g, going)
        if g.chance(30):
            after = g.node("Less", [trip, g.source(np.asarray(g.integer(0, 3), np.int64), 0)])[0]
        return [after, _own(g, _result(g, inner)), _own(g, _result(g))]

    body, _ = _body(g, "body", [trip, going, inner], outputs, blind=True)
    count = g.source(np.asarray(g.integer(1, 4), np.int64), 25)
    condition = g.maybe(50, lambda: g.source(np.asarray(True), 25))
    g.node(op, [count, condition, state], 2, body=body)


@row("Scan")
def scan(g: Maker, op: str) -> None:
    """One state and one or two sequences, in either direction, along any axis."""
    if len(g.scopes) > DEEPEST:
        return
    x = g.value(FLOATS[:2], rank=(1, 3), where=lambda v: min(v.shape) > 0, new=lambda t: g.new(t, (3, 2)))
    state = g.new(x.dtype, g.shape(0, 2))
    axis = g.integer(0, x.rank - 1)
    inner = Value(g._name("s"), state.data)
    part = Value(g._name("p"), np.asarray(np.take(x.data, 0, axis)))
    body, results = _body(g, "body", [inner, part], lambda: [_own(g, _result(g, inner)), _own(g, _result(g))],
                          blind=True, shapes=True)  # fmt: skip
    g.node(op, [state, x], 2, body=body, num_scan_inputs=1, scan_input_axes=[axis],
           scan_input_directions=g.maybe(40, lambda: [g.integer(0, 1)]),
           scan_output_directions=g.maybe(40, lambda: [g.integer(0, 1)]),
           scan_output_axes=g.maybe(40, lambda: [g.integer(-results[1].rank - 1, results[1].rank)]))  # fmt: skip


@row("*function", weight=2)
def function(g: Maker, op: str) -> None:
    """A call of a new model-local function; calls of it again come from repeated nodes."""
    if len(g.scopes) > 1 or len(g.functions) > 3:
        return
    outer = [g.value(["float32", "float64", "int64"], rank=(0, 4)) for _ in range(g.integer(1, 2))]
    inputs = [Value(g._name("f"), v.data) for v in outer]
    g.scopes.append(Scope(values=list(inputs), closed=True))
    try:
        for _ in range(g.integer(1, 4)):
            add(g)
        if g.chance(30):
            x = g.value(["float32"], new=lambda t: g.new(t, g.shape()))
            g.node("Elu", [x])
            node = g.scope.nodes[-1]
            del node.attribute[:]
            reference = node.attribute.add(name="alpha", type=1, ref_attr_name="a")
            assert reference.ref_attr_name
        results = [_own(g, _result(g))]
        scope = g.scope
    finally:
        g.scopes.pop()
    name = g._name("F")
    used = any(a.ref_attr_name for node in scope.nodes for a in node.attribute)
    g.functions.append(
        helper.make_function("local", name, [v.name for v in inputs], [v.name for v in results], scope.nodes,
                             [helper.make_opsetid("", g.opset)], attributes=["a"] if used else []))  # fmt: skip
    g.node(name, outer, 1, "local", a=1.0 if used else None)


@row("*repeat", weight=3)
def repeat(g: Maker, op: str) -> None:
    g.repeat()


def _sequence(g: Maker) -> Value:
    """A visible sequence of tensors, or a new one."""
    for v in g.visible():
        if v.is_sequence and v.data and g.chance(60):
            return v
    x = g.value(["float32", "int64", "float64"], where=lambda v: v.data.size <= 60)
    parts = [x, *(g.value([x.dtype], where=lambda v: v.data.size <= 60) for _ in range(g.integer(0, 2)))]
    made = g.node("SequenceConstruct", parts)[0]
    assert made is not None
    return made


@row("SequenceConstruct", "SequenceAt", "SequenceInsert", "SequenceErase", "SequenceLength", exact=True)
def sequence(g: Maker, op: str) -> None:
    s = _sequence(g)
    n = len(s.data)
    if op == "SequenceConstruct":
        return
    if op == "SequenceLength":
        g.node(op, [s])
        return
    if op == "SequenceErase" and n < 2:
        return
    low, high = (-n, n) if op == "SequenceInsert" else (-n, n - 1)
    at = g.ints(g.integer(low, high))
    if op == "SequenceInsert":
        g.node(op, [s, g.value([s.dtype]), g.maybe(70, lambda: at)])
    else:
        g.node(op, [s, at if op == "SequenceAt" or g.chance(70) else None])


@row("SplitToSequence", exact=True)
def split_to_sequence(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 4), only=[*FLOATS[:2], "int64"], where=lambda v: v.data.size > 0,
             new=lambda t: g.new(t, (g.integer(1, 4), 2)))  # fmt: skip
    axis = g.axis(x.rank)
    lengths = g.maybe(40, lambda: g.ints(g.integer(1, x.shape[axis])))
    g.node(op, [x, lengths], axis=axis, keepdims=None if lengths else g.choice([None, 0, 1]))


@row("ConcatFromSequence", exact=True)
def concat_from_sequence(g: Maker, op: str) -> None:
    x = g.value(FLOATS[:2], rank=(1, 3), where=lambda v: v.data.size > 0, new=lambda t: g.new(t, (2, 3)))
    s = g.node("SequenceConstruct", [x, g.same(x)])[0]
    g.node(op, [s], axis=g.axis(x.rank), new_axis=g.choice([None, 0, 1]))
