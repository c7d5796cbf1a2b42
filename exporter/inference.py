"""What only training needs leaves the graph; what it left behind is simplified by the runtime's passes."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from ..runtime.errors import InvalidGraph, UnsupportedOperator
from ..runtime.passes import batchnorm, cleanup, fold, identity, inline, pads, transposes

__all__ = ["inference_only", "simplify"]


def inference_only(model: ir.Model) -> None:
    """Dropout becomes nothing, batch normalisation uses its running statistics.

    Raises:
        InvalidGraph: if something reads what exists only in training, such as a dropout mask.
    """
    for node in list(model.graph):
        change = _TRAINING.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if change is None:
            continue
        used = next((v for v in node.outputs[1:] if v.uses() or v.is_graph_output()), None)
        if used is not None:
            raise InvalidGraph(
                f"node {node.name!r} ({node.op_type}): its output {used.name!r} is read, but exists only in training"
            )
        change(model.graph, node)


def simplify(model: ir.Model, *, fold_batchnorm: bool = True) -> None:
    """Calls are inlined, constants folded, transposes cancelled, padding and batch-norm put into convolutions.

    Raises:
        UnsupportedOperator: if a node remains that only Striate knows.
    """
    cleanup.drop_initializer_inputs(model)
    inline.run(model, lambda node, version: False)
    passes: list[Callable[[ir.Model], bool]] = [fold.run, identity.run, transposes.run, pads.run]
    if fold_batchnorm:
        passes.append(batchnorm.run)
    for run in (*passes, cleanup.run):
        run(model)
    for node in model.graph:
        if node.domain.split(".")[0] == "striate":
            raise UnsupportedOperator(
                f"node {node.name!r} ({node.op_type}) is of the domain {node.domain!r}, which only Striate knows; "
                "an exported graph must be made of ONNX operators"
            )


def _drop(graph: ir.Graph, node: ir.Node) -> None:
    source, value = node.inputs[0], node.outputs[0]
    assert source is not None
    if not value.is_graph_output():
        value.replace_all_uses_with(source)
        graph.remove(node, safe=True)
        return
    passed = ir.node("Identity", [source], name=node.name)
    graph.insert_before(node, passed)
    replacement = passed.outputs[0]
    replacement.type, replacement.shape = value.type, value.shape
    name, value.name = value.name, None
    replacement.name = name
    value.replace_all_uses_with(replacement, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _use_running_statistics(graph: ir.Graph, node: ir.Node) -> None:
    node.attributes.pop("training_mode", None)
    node.resize_outputs(1)


_TRAINING: dict[str, Callable[[ir.Graph, ir.Node], None]] = {
    "Dropout": _drop,
    "BatchNormalization": _use_running_statistics,
}
