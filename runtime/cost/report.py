"""What `analyse` finds: plain data, one entry per node and the totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

__all__ = ["DEFINITIONS", "NodeCost", "Report", "Result"]

Dims = tuple[int | str | None, ...]

DEFINITIONS = {
    "macs": "multiply-accumulates of convolutions, matrix products, recurrences and attention; nothing else has any",
    "flops": "2 per MAC, 1 per element of an elementwise result, more for normalisation and pooling; no data movement",
    "parameters": "elements of the stored weights; running statistics, scales, shapes and indices are other constants",
    "peak_bytes": "the most that inputs and results take at once, run in file order, each freed after its last use",
}
"""What the figures mean, in a line each."""


@dataclass(frozen=True, slots=True)
class Result:
    """The name, type and dimensions of a value; None where unknown."""

    name: str
    dtype: str | None
    shape: Dims | None


@dataclass(slots=True)
class NodeCost:
    """What is known of one node.

    Attributes:
        depth: how many bodies and functions it lies in; `body` names the innermost.
        parameters: elements of the weights it reads; weights that several nodes read count for each of them here.
        macs, flops: None where not known; a node with a body or function has the sum over that.
        bytes_out, bytes_read: of the results, and of the different inputs, weights included; None where not known.
        field, stride, start: of the first output with respect to the graph's input, one entry per spatial axis: how
            many positions one element sees (infinite: all), how far its neighbour's lie from them, and their middle for
            the first element. None for an axis, or empty, where that has no meaning.
        engine: what would run it; see `engine_of`.
        inside: how many of the nodes that follow in the list lie in it.
    """

    name: str
    domain: str
    op_type: str
    depth: int = 0
    body: str = ""
    outputs: tuple[Result, ...] = ()
    parameters: int = 0
    macs: int | None = None
    flops: int | None = None
    bytes_out: int | None = None
    bytes_read: int | None = None
    field: tuple[float | None, ...] = ()
    stride: tuple[int | None, ...] = ()
    start: tuple[float | None, ...] = ()
    engine: str = ""
    inside: int = 0

    @property
    def operator(self) -> str:
        """The operator with its domain, if that is not ONNX's own."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a field without end is `"all"`."""
        made = asdict(self)
        made["field"] = ["all" if size == inf else size for size in self.field]
        return made


@dataclass(slots=True)
class Report:
    """What is known of a model.

    Attributes:
        nodes: in file order, those of bodies and functions behind the node that they belong to.
        parameters, constants: elements of weights and of all other stored tensors, each counted once.
        weight_bytes, constant_bytes: the same in bytes.
        peak_bytes: see `DEFINITIONS`; `unsized` values of unknown size are not in it.
        uncounted: operator → how many of its nodes have no known MACs or FLOPs.
        operators: (operator, engine) → how many nodes.
        notes: what to keep in mind when reading the figures.
    """

    inputs: tuple[Result, ...] = ()
    outputs: tuple[Result, ...] = ()
    nodes: list[NodeCost] = field(default_factory=list)
    parameters: int = 0
    constants: int = 0
    weight_bytes: int = 0
    constant_bytes: int = 0
    macs: int = 0
    flops: int = 0
    peak_bytes: int = 0
    unsized: int = 0
    uncounted: Counter[str] = field(default_factory=Counter)
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def largest(self, count: int, by: str = "macs") -> list[NodeCost]:
        """The nodes with the largest `macs`, `parameters` or `bytes_out`, but none that hold others or are folded."""
        leaves = (n for n in self.nodes if not n.inside and n.engine != "folded")
        return sorted(leaves, key=lambda n: -(getattr(n, by) or 0))[:count]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "definitions": DEFINITIONS,
            "inputs": [asdict(v) for v in self.inputs],
            "outputs": [asdict(v) for v in self.outputs],
            "totals": {
                name: getattr(self, name)
                for name in (
                    "parameters", "constants", "weight_bytes", "constant_bytes", "macs", "flops", "peak_bytes",
                    "unsized",
                )
            },
            "uncounted": dict(self.uncounted),
            "operators": [
                {"operator": name, "engine": engine, "count": count}
                for (name, engine), count in self.operators.most_common()
            ],
            "notes": list(self.notes),
            "nodes": [node.as_dict() for node in self.nodes],
        }  # fmt: skip
