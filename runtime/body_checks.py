"""Whether what a node gives to its subgraphs, or to the function it calls, fits what these take and return."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from .errors import InvalidGraph

__all__ = ["check_bodies", "check_call"]

Bodies = Mapping[str, onnx.GraphProto]


def check_call(node: onnx.NodeProto, function: onnx.FunctionProto, label: str) -> None:
    """A call may leave out inputs and outputs at the end.

    Raises:
        InvalidGraph: if it has more.
    """
    for kind, found, most in (
        ("inputs", len(node.input), len(function.input)),
        ("outputs", len(node.output), len(function.output)),
    ):
        if found > most:
            raise InvalidGraph(f"{label} has {found} {kind}; the function {function.name} has {most}")


def check_bodies(node: onnx.NodeProto, version: int, label: str) -> None:
    """Counts the inputs and outputs of the subgraphs of a control-flow operator.

    Raises:
        InvalidGraph: if they do not fit the node.
    """
    check = _CHECKS.get(node.op_type) if not node.domain else None
    if check is not None:
        bodies = {a.name: a.g for a in node.attribute if a.HasField("g")}
        check(node, bodies, version, label)


def _exactly(label: str, name: str, graph: onnx.GraphProto, kind: str, wanted: int) -> None:
    found = len(getattr(graph, kind))
    if found != wanted:
        raise InvalidGraph(f"{label}: its subgraph {name!r} has {found} {kind}s; the node needs {wanted}")


def _at_least(label: str, name: str, graph: onnx.GraphProto, wanted: int) -> None:
    if len(graph.output) < wanted:
        raise InvalidGraph(
            f"{label}: its subgraph {name!r} has {len(graph.output)} outputs; the node needs at least {wanted}"
        )


def _if(node: onnx.NodeProto, bodies: Bodies, version: int, label: str) -> None:
    """A branch reads nothing of its own, and gives what the node gives."""
    for name, graph in bodies.items():
        _exactly(label, name, graph, "input", 0)
        _exactly(label, name, graph, "output", len(node.output))


def _loop(node: onnx.NodeProto, bodies: Bodies, version: int, label: str) -> None:
    """body(trip, condition, *carried) → (condition, *carried, *scanned)."""
    carried = max(0, len(node.input) - 2)
    for name, graph in bodies.items():
        _exactly(label, name, graph, "input", 2 + carried)
        _at_least(label, name, graph, 1 + max(carried, len(node.output)))


def _scan(node: onnx.NodeProto, bodies: Bodies, version: int, label: str) -> None:
    """body(*states, *slices) → (*states, *scanned); before opset 9 the lengths come first among the node's inputs."""
    inputs = len(node.input) - (version < 9)
    count = next((a.i for a in node.attribute if a.name == "num_scan_inputs" and not a.ref_attr_name), None)
    if count is not None and not 1 <= count <= inputs:
        raise InvalidGraph(f"{label}: num_scan_inputs is {count}; the node has {inputs} inputs to divide")
    for name, graph in bodies.items():
        _exactly(label, name, graph, "input", inputs)
        _at_least(label, name, graph, max(len(node.output), 0 if count is None else inputs - count))


def _sequence_map(node: onnx.NodeProto, bodies: Bodies, version: int, label: str) -> None:
    """body(*items) → items of the node's outputs."""
    for name, graph in bodies.items():
        _exactly(label, name, graph, "input", len(node.input))
        _at_least(label, name, graph, len(node.output))


_CHECKS: dict[str, Callable[[onnx.NodeProto, Bodies, int, str], None]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceMap": _sequence_map,
}
