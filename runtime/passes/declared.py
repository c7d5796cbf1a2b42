"""What a file says of the values inside its graph is forgotten: only what is inferred can be relied on.

Case 1: outputs of nodes, those that are outputs of the graph included.
Case 2: inputs of subgraphs.

The inputs of the main graph keep their types: what is fed is held against them.
"""

from __future__ import annotations

import onnx_ir as ir

from ..errors import InvalidGraph
from ..subgraphs import walk

DECLARED = "declared"
"""Under this key of a value's `meta` stand its declared (type, shape)."""


def run(model: ir.Model) -> bool:
    """Forgets what is described above."""
    changed = False
    for top in (model.graph, *(function.graph for function in model.functions.values())):
        for graph in walk(top):
            inputs = [] if graph is model.graph else graph.inputs
            for value in (*inputs, *(value for node in graph for value in node.outputs)):
                if value.type is not None or value.shape is not None:
                    value.meta[DECLARED] = value.type, value.shape
                    value.type = value.shape = None
                    changed = True
    return changed


def check(declared: ir.Graph, inferred: ir.Graph) -> None:
    """Holds the data types that a graph declares for its outputs against those that were inferred.

    Raises:
        InvalidGraph: if two differ.
    """
    for there, found in zip(declared.outputs, inferred.outputs, strict=True):
        if there.dtype is not None and found.dtype is not None and there.dtype != found.dtype:
            raise InvalidGraph(
                f"Type Error: output {there.name!r} is declared as {there.dtype.name}, but the graph gives "
                f"{found.dtype.name}"
            )
