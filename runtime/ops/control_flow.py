"""If, Loop, Scan and SequenceMap. Kernels get their subgraphs as callables over arrays (`executor.Subgraph`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx_ir as ir

from ..builder import attributes
from ..errors import InvalidGraph, InvalidInput, LimitExceeded
from ..inference import annotate_graph
from ..subgraphs import graphs_of
from ._axes import axis_in, bounded
from .registry import op

# ---- If


def _if_types(node):
    """What both branches agree on."""
    graphs = [graph for _, graph in sorted(graphs_of(node).items())]
    for name, graph in graphs_of(node).items():
        _check_arity(name, graph, 0, len(node.outputs), exact=True)
        annotate_graph(graph)
    return [_common(*(graph.outputs[i] for graph in graphs)) for i in range(len(node.outputs))]


def _check_arity(name, graph, inputs, outputs, *, exact=False):
    """A subgraph takes what its node gives it, and gives at least what is expected of it, or exactly that."""
    found = len(graph.inputs), len(graph.outputs)
    if found[0] != inputs or found[1] < outputs or (exact and found[1] != outputs):
        raise InvalidGraph(
            f"{name} has {found[0]} inputs and {found[1]} outputs; expected {inputs} and "
            f"{'' if exact else 'at least '}{outputs}"
        )


def _common(a, b):
    if a.type is None or a.type != b.type:
        return None
    return ir.TypeAndShape(a.type, _common_shape(a.shape, b.shape))


def _common_shape(a, b):
    if a is None or b is None or len(a) != len(b):
        return None
    return ir.Shape([d if d == other and isinstance(d, int) else None for d, other in zip(a, b, strict=True)])


@op("If", since=1, host=(0,), differentiable=False, infer=_if_types)
def if_(xp, cond, *, then_branch, else_branch):
    """The outputs of one of two subgraphs."""
    return (then_branch if _truth(cond, "cond") else else_branch)()


def _truth(cond, name):
    if cond.size != 1:
        raise InvalidInput(f"{name} has shape {list(cond.shape)}; expected one boolean")
    return bool(cond.reshape(()))


# ---- Loop

_running = threading.local()


def _loop_types(node):
    """Carried values keep their type, scanned ones get an axis in front."""
    body = graphs_of(node)["body"]
    carried = node.inputs[2:]
    _check_arity("body", body, 2 + len(carried), 1 + max(len(carried), len(node.outputs)))
    scalar = ir.Shape([])
    known = [ir.TypeAndShape(ir.TensorType(dtype), scalar) for dtype in (ir.DataType.INT64, ir.DataType.BOOL)]
    _set_inputs(body, [*known, *(v and _type_only(v) for v in carried)])
    return [_type_only(v) for v in body.outputs[1 : 1 + len(carried)]] + [
        _scanned(v, 0) for v in body.outputs[1 + len(carried) :]
    ]


def _set_inputs(body, types):
    """Types of the body's inputs, where the file gives none; then those of everything inside."""
    for value, known in zip(body.inputs, types, strict=False):
        if value.type is None and known is not None:
            value.type, value.shape = known.type, known.shape
    annotate_graph(body)


def _type_only(value):
    """Shapes may change from trip to trip."""
    return None if value.type is None else ir.TypeAndShape(value.type, None)


def _scanned(value, axis):
    if value.type is None:
        return None
    dims = None if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
    if dims is not None:
        dims.insert(axis_in(axis, len(dims) + 1), None)
    return ir.TypeAndShape(value.type, None if dims is None else ir.Shape(dims))


@contextmanager
def _counted() -> Iterator[None]:
    """All loops inside one run count together, and only the outermost starts from zero."""
    outermost = not getattr(_running, "depth", 0)
    if outermost:
        _running.trips = 0
    _running.depth = 1 if outermost else _running.depth + 1
    try:
        yield
    finally:
        _running.depth -= 1


def _count(limit):
    _running.trips += 1
    if _running.trips > limit:
        raise LimitExceeded(
            f"the loops of this run have gone round {limit:,} times; raise the limit with the session's option "
            "striate.loop_trips if that is meant"
        )


@op("Loop", since=1, host=(0, 1), differentiable=False, infer=_loop_types)
def loop(xp, M=None, cond=None, *v_initial, body, n_outputs):
    """Runs the body at most M times, and as long as its first output is true.

    body(iteration, cond, *carried) → (cond, *carried, *scanned). The outputs are the carried values after the last
    trip, then what each trip scanned, stacked along a new first axis.
    """
    carried = list(v_initial)
    trips = None if M is None else _trips(M)
    going = cond is None or _truth(cond, "cond")
    if going and (trips is None or trips > body.loop_trips) and body.forwards(0, 1):
        often = "for ever" if trips is None else f"{trips:,} times"
        raise LimitExceeded(
            f"the loop goes round {often}; at most {body.loop_trips:,} are allowed (the session's option "
            "striate.loop_trips)"
        )
    scanned = [[] for _ in range(len(body.types) - 1 - len(carried))]
    iteration = 0
    with _counted():
        while going and (trips is None or iteration < trips):
            _count(body.loop_trips)
            again, *results = body(xp.asarray(iteration, dtype=np.int64), xp.asarray(True), *carried)
            carried = results[: len(carried)]
            for kept, value in zip(scanned, results[len(carried) :], strict=True):
                kept.append(value)
            going = _truth(again, "the body's condition")
            iteration += 1
    if iteration == 0:
        carried = [_copied(value) for value in carried]
    types = body.types[1 + len(carried) :]
    stacks = [_stacked(xp, kept, known, 0) for kept, known in zip(scanned, types, strict=True)]
    return tuple([*carried, *stacks][:n_outputs])


def _copied(value):
    """Values that pass through unchanged are the node's inputs, which its outputs must not share memory with."""
    if isinstance(value, list):
        return [item.copy() for item in value]
    return value if value is None else value.copy()


def _trips(M):
    if M.size != 1:
        raise InvalidInput(f"M has shape {list(M.shape)}; expected one number of trips")
    return int(M.reshape(()))


def _stacked(xp, values, known, axis):
    """Values of equal shape along a new axis; of no values, an empty tensor of the type known for them."""
    if not values:
        dtype, dims = known
        shape = [0 if d is None else d for d in dims or ()]
        shape.insert(axis_in(axis, len(shape) + 1), 0)
        return xp.zeros(tuple(shape), dtype or np.float32)
    if len({value.shape for value in values}) > 1:
        found = sorted({tuple(value.shape) for value in values})
        raise InvalidInput(f"what is scanned must have the same shape in every trip; found {found}")
    axis = axis_in(axis, values[0].ndim + 1)
    bounded((len(values), *values[0].shape), values[0].dtype)
    return (np if values[0].dtype.kind == "O" else xp).stack(values, axis=axis)


# ---- Scan


def _scan_types(node):
    """States keep their type; what is scanned gets an axis."""
    body = graphs_of(node)["body"]
    count = attributes(node)["num_scan_inputs"]
    states = len(node.inputs) - count
    if not 0 < count <= len(node.inputs):
        raise InvalidGraph(f"num_scan_inputs is {count}; the node has {len(node.inputs)} inputs to divide")
    if node.graph is not None and node.graph.opset_imports.get("", 9) < 9:  # the first input is sequence_lens
        states -= 1
    _check_arity("body", body, states + count, max(states, len(node.outputs)))
    axes = attributes(node).get("scan_output_axes") or (0,) * (len(body.outputs) - states)
    _set_inputs(body, [v and _type_only(v) for v in node.inputs])
    found = [_type_only(v) for v in body.outputs[:states]]
    return found + [_scanned(v, axis) for v, axis in zip(body.outputs[states:], axes, strict=False)]


def _scan(xp, body, states, sequences, n_outputs, input_axes, input_directions, output_axes, output_directions):
    """Runs the body once for each slice of the sequences; states go from one run to the next."""
    scans = len(body.types) - len(states)
    input_axes = _each(input_axes, len(sequences), "scan_input_axes")
    input_directions = _each(input_directions, len(sequences), "scan_input_directions")
    output_axes = _each(output_axes, scans, "scan_output_axes")
    output_directions = _each(output_directions, scans, "scan_output_directions")
    axes = [axis_in(axis, x.ndim) for axis, x in zip(input_axes, sequences, strict=True)]
    lengths = {x.shape[axis] for x, axis in zip(sequences, axes, strict=True)}
    if len(lengths) != 1:
        raise InvalidInput(f"the sequences that are scanned must be equally long; found lengths {sorted(lengths)}")
    length = lengths.pop()
    collected = [[] for _ in range(scans)]
    with _counted():
        for t in range(length):
            slices = [
                x[(slice(None),) * axis + (length - 1 - t if backwards else t,)]
                for x, axis, backwards in zip(sequences, axes, input_directions, strict=True)
            ]
            results = body(*states, *slices)
            states = results[: len(states)]
            for kept, value in zip(collected, results[len(states) :], strict=True):
                kept.append(value)
    if length == 0:
        states = [_copied(value) for value in states]
    types = body.types[len(states) :]
    stacks = [
        _stacked(xp, kept[::-1] if backwards else kept, known, axis)
        for kept, known, axis, backwards in zip(collected, types, output_axes, output_directions, strict=True)
    ]
    return tuple([*states, *stacks][:n_outputs])


def _each(given, count, name):
    """An attribute with one number for each of `count` values, by default 0."""
    given = (0,) * count if given is None else given
    if len(given) != count:
        raise InvalidInput(f"{name} has {len(given)} numbers; expected {count}")
    return given


def _check_scan_inputs(values, num_scan_inputs):
    if not 1 <= num_scan_inputs <= len(values):
        raise InvalidInput(f"num_scan_inputs is {num_scan_inputs}; the node has {len(values)} inputs to divide")


@op("Scan", since=9, differentiable=False, infer=_scan_types)
def scan(
    xp,
    *initial_state_and_scan_inputs,
    body,
    num_scan_inputs,
    scan_input_axes=None,
    scan_input_directions=None,
    scan_output_axes=None,
    scan_output_directions=None,
    n_outputs,
):
    """Runs the body once for each slice of the last `num_scan_inputs` inputs; the others are the first states.

    body(*states, *slices) → (*states, *scanned).
    """
    _check_scan_inputs(initial_state_and_scan_inputs, num_scan_inputs)
    states = initial_state_and_scan_inputs[:-num_scan_inputs]
    return _scan(
        xp,
        body,
        states,
        initial_state_and_scan_inputs[-num_scan_inputs:],
        n_outputs,
        scan_input_axes,
        scan_input_directions,
        scan_output_axes,
        scan_output_directions,
    )


@op("Scan", since=8, host=(0,), differentiable=False)
def scan_8(xp, sequence_lens=None, *initial_state_and_scan_inputs, body, num_scan_inputs, directions=None, n_outputs):
    """For each entry of the batch, which is the first axis of all inputs, a scan along the second axis.

    Behind the length of an entry's sequence the outputs are zero.
    """
    _check_scan_inputs(initial_state_and_scan_inputs, num_scan_inputs)
    batch = {x.shape[0] if x.ndim else None for x in initial_state_and_scan_inputs}
    if len(batch) != 1 or None in batch:
        raise InvalidInput("all inputs must have the batch as first axis; found sizes " + ", ".join(map(str, batch)))
    entries = batch.pop()
    longest = initial_state_and_scan_inputs[-1].shape[1]
    lengths = [longest] * entries if sequence_lens is None else sequence_lens.reshape(-1).tolist()
    if len(lengths) != entries or not all(0 <= n <= longest for n in lengths):
        raise InvalidInput(f"sequence_lens is {lengths}; expected {entries} numbers of 0 to {longest}")
    results = []
    for i, length in enumerate(lengths):
        states = [x[i] for x in initial_state_and_scan_inputs[:-num_scan_inputs]]
        sequences = [x[i][:length] for x in initial_state_and_scan_inputs[-num_scan_inputs:]]
        found = _scan(xp, body, states, sequences, n_outputs, None, directions, None, None)
        kept = found[: len(states)]
        results.append((*kept, *(_padded(xp, y, longest) for y in found[len(states) :])))
    return tuple(xp.stack(values) for values in zip(*results, strict=True))


def _padded(xp, y, length):
    if y.shape[0] == length:
        return y
    whole = xp.zeros((length, *y.shape[1:]), y.dtype)
    whole[: y.shape[0]] = y
    return whole


# ---- SequenceMap


def _map_types(node):
    """Every output is a sequence of what the body gives."""
    body = graphs_of(node)["body"]
    _check_arity("body", body, len(node.inputs), len(node.outputs))
    _set_inputs(body, [_element_type(v) for v in node.inputs])
    return [
        None if v.type is None else ir.TypeAndShape(ir.SequenceType(v.type), None)
        for v in body.outputs[: len(node.outputs)]
    ]


def _element_type(value):
    if value is None or value.type is None:
        return None
    kind = value.type
    return ir.TypeAndShape(kind.elem_type if isinstance(kind, ir.SequenceType) else kind, None)


@op("SequenceMap", since=17, differentiable=False, infer=_map_types)
def sequence_map(xp, input_sequence, *additional_inputs, body, n_outputs):
    """Runs the body once for each item of the sequences; tensors among the other inputs are the same each time."""
    lengths = {len(x) for x in (input_sequence, *additional_inputs) if isinstance(x, list)}
    if len(lengths) > 1:
        raise InvalidInput(f"the sequences must be equally long; found lengths {sorted(lengths)}")
    results = [[] for _ in range(n_outputs)]
    for i in range(len(input_sequence)):
        given = [x[i] if isinstance(x, list) else x for x in (input_sequence, *additional_inputs)]
        for items, value in zip(results, body(*given), strict=False):
            items.append(value)
    return tuple(results)
