"""Bodies of control flow and of functions: what goes in, what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ..inference import constant, dims

__all__ = ["bodies", "call_body", "feed", "results"]

Dim = int | str | None
Shape = Sequence[Dim] | None


def bodies(node: ir.Node) -> dict[str, ir.Graph]:
    """The graphs of a node by attribute."""
    found = {}
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            found[name] = attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            found |= {f"{name}[{i}]": graph for i, graph in enumerate(attribute.as_graphs())}
    return found


def feed(node: ir.Node, graphs: Mapping[str, ir.Graph]) -> None:
    """Writes onto the inputs of the bodies what they get: of `Loop` and `Scan` that of the first iteration."""
    body = graphs.get("body")
    if body is None:
        return
    if node.op_type == "Loop":
        for given, value in zip((None, None, *node.inputs[2:]), body.inputs, strict=False):
            if given is not None:
                _copy(value, given, _shape(given))
        for value, dtype in zip(body.inputs[:2], (ir.DataType.INT64, ir.DataType.BOOL), strict=False):
            value.type, value.shape = ir.TensorType(dtype), ir.Shape(())
    elif node.op_type == "Scan":
        states = len(body.inputs) - _scanned(node)
        axes = _axes(node, "scan_input_axes", _scanned(node))
        for i, (given, value) in enumerate(zip(node.inputs, body.inputs, strict=False)):
            shape: Shape = _shape(given)
            if given is not None and i >= states and shape:
                axis = axes[i - states] % len(shape)
                shape = (*shape[:axis], *shape[axis + 1 :])
            if given is not None:
                _copy(value, given, shape)


def results(node: ir.Node, graphs: Mapping[str, ir.Graph]) -> None:
    """Writes onto the outputs what the bodies say of them, where nothing better is known."""
    made: list[tuple[ir.Value, Shape]] = []
    if node.op_type == "If" and {"then_branch", "else_branch"} <= graphs.keys():
        pairs = zip(graphs["then_branch"].outputs, graphs["else_branch"].outputs, strict=False)
        made += [(a, _common(_shape(a), _shape(b))) for a, b in pairs]
    elif node.op_type == "Loop" and "body" in graphs:
        carried = len(node.inputs) - 2
        trips = _trips(node)
        for i, value in enumerate(graphs["body"].outputs[1:]):
            shape: Shape = _shape(value)
            before = _shape(node.inputs[2 + i]) if i < carried else None
            stacked = None if shape is None else (trips, *shape)
            made.append((value, _common(shape, before) if i < carried else stacked))
    elif node.op_type == "Scan" and "body" in graphs:
        made = _scan_results(node, graphs["body"])
    for value, (source, shape) in zip(node.outputs, made, strict=False):
        if value.shape is None or not value.shape.is_static():
            _copy(value, source, shape)


def call_body(node: ir.Node, function: ir.Function) -> tuple[ir.Function, list[ir.Value | None]]:
    """A copy of a function's body that reads the values and attributes of one call, and what its outputs are."""
    body = function.clone()
    for inner in body.all_nodes():
        for name, attribute in list(inner.attributes.items()):
            if not attribute.is_ref():
                continue
            wanted = str(attribute.ref_attr_name)
            given = node.attributes.get(wanted) or function.attributes.get(wanted)
            if given is None or given.is_ref() or given.value is None:
                del inner.attributes[name]
            else:
                inner.attributes[name] = ir.Attr(name, given.type, given.value)
    actual: dict[ir.Value, ir.Value | None] = dict.fromkeys(body.inputs)
    actual |= dict(zip(body.inputs, node.inputs, strict=False))
    for formal, value in actual.items():
        for use in list(formal.uses()):
            use.node.replace_input_with(use.idx, value)
    return body, [actual.get(v, v) for v in body.outputs]


def _scan_results(node: ir.Node, body: ir.Graph) -> list[tuple[ir.Value, Shape]]:
    states = len(body.inputs) - _scanned(node)
    axes = _axes(node, "scan_output_axes", len(body.outputs) - states)
    in_axes = _axes(node, "scan_input_axes", _scanned(node))
    first = _shape(node.inputs[states]) if states < len(node.inputs) else None
    length = first[in_axes[0] % len(first)] if first else None
    made: list[tuple[ir.Value, Shape]] = []
    for i, value in enumerate(body.outputs):
        shape: Shape = _shape(value)
        if i >= states and shape is not None:
            axis = axes[i - states] % (len(shape) + 1)
            shape = (*shape[:axis], length, *shape[axis:])
        made.append((value, shape))
    return made


def _scanned(node: ir.Node) -> int:
    found = node.attributes.get("num_scan_inputs")
    return int(found.value) if found is not None else 0


def _axes(node: ir.Node, name: str, count: int) -> list[int]:
    found = node.attributes.get(name)
    return list(found.value) if found is not None and len(found.value) == count else [0] * count


def _trips(node: ir.Node) -> int | None:
    """How often a loop goes round, if it is counted and nothing can stop it before."""
    condition = node.inputs[1] if len(node.inputs) > 1 else None
    body = node.attributes["body"].as_graph()
    stays = condition is None or body.outputs[0].producer() is None
    count = constant(node.inputs[0]) if node.inputs and stays else None
    return int(count.reshape(-1)[0]) if count is not None and count.size == 1 else None


def _shape(value: ir.Value | None) -> tuple[Dim, ...] | None:
    return None if value is None or value.shape is None else dims(value.shape)


def _copy(target: ir.Value, source: ir.Value, shape: Shape) -> None:
    if source.type is not None:
        target.type = source.type
    if shape is not None:
        target.shape = ir.Shape(shape)


def _common(a: Shape, b: Shape) -> Shape:
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else None for x, y in zip(a, b, strict=True))
