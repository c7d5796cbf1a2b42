"""Types and constants, in one walk along the graph.

Case 1: every input of a node is constant — its outputs become initializers.
Case 2: a node only looks at the shape of its input (`Shape`, `Size`), and that shape is known — likewise.
Case 3: neither — the node's output types are inferred from what is known by now.

What a DequantizeLinear was made of stays known: see `inference.dequantised`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import onnx_ir as ir

from ..builder import attributes
from ..dtypes import onnx_dtype
from ..errors import InvalidGraph, StriateError
from ..inference import FOLDED, annotate, constant, dequantised, is_constant
from ..lazy import lazy
from ..ops import registry
from ..subgraphs import graphs_of

MAX_FOLDED_BYTES = 1 << 31
"""Constants made by one run of this pass take at most this much memory; nodes beyond it stay nodes."""

KEPT_BYTES = 1 << 20
"""Larger results are not kept."""

MAX_ELEMENTS = 1 << 58
"""NumPy does not even describe larger arrays; no input has as many."""


def run(model: ir.Model) -> bool:
    """Folds constants and infers types; see the cases above."""
    budget = MAX_FOLDED_BYTES
    changed = False
    for node in list(model.graph):
        version = model.graph.opset_imports[node.domain]
        operator = registry.find(node.domain, node.op_type, version)
        annotate(node, version)
        foldable = operator is not None and operator.deterministic and not graphs_of(node)
        inputs = _known_inputs(node, operator) if operator is not None and foldable else None
        size = _output_bytes(node)
        if operator is None or inputs is None or size is None or size > budget:
            continue
        budget -= size
        _replace(
            model.graph, node, _evaluate(node, operator, inputs), None if operator.inert else _again(node, operator)
        )
        changed = True
    return changed


def infer_types(model: ir.Model) -> bool:
    """Case 3 alone."""
    for node in model.graph:
        annotate(node, model.graph.opset_imports[node.domain])
    return False


def _known_inputs(node: ir.Node, operator: registry.Operator) -> list[np.ndarray | None] | None:
    """The node's inputs as arrays, or None if one is not known."""
    if operator.inert:
        source = node.inputs[0]
        if source is None or source.shape is None or not source.shape.is_static() or source.dtype is None:
            return None
        if math.prod(d for d in source.shape.numpy() if d) > MAX_ELEMENTS:
            return None
        return [np.broadcast_to(np.zeros((), source.dtype.numpy()), source.shape.numpy())]
    if not all(value is None or is_constant(value) for value in node.inputs):
        return None
    return [constant(value) for value in node.inputs]


def _output_bytes(node: ir.Node) -> int | None:
    total = 0
    for value in node.outputs:
        if value.shape is None or not value.shape.is_static() or not isinstance(value.type, ir.TensorType):
            return None
        total += int(np.prod(value.shape.numpy(), dtype=np.float64)) * value.type.dtype.numpy().itemsize
    return total


def _evaluate(node: ir.Node, operator: registry.Operator, inputs: list[np.ndarray | None]) -> tuple[np.ndarray, ...]:
    try:
        keywords = operator.bind(attributes(node))
        if operator.takes_n_outputs:
            keywords["n_outputs"] = len(node.outputs)
        with np.errstate(all="ignore"):
            result = operator.kernel(np, *inputs, **keywords)
    except StriateError as error:
        raise type(error)(f"node {node.name!r} ({node.op_type}): {error}") from error
    except Exception as error:
        raise InvalidGraph(f"node {node.name!r} ({node.op_type}) fails on its constant inputs: {error}") from error
    return result if isinstance(result, tuple) else (result,)


def _again(node: ir.Node, operator: registry.Operator) -> Callable[[int], np.ndarray]:
    """Output i of a node of constant inputs, computed anew; the node itself may be gone by then."""
    tensors = [None if v is None else v.const_value for v in node.inputs]
    keywords = operator.bind(attributes(node)) | ({"n_outputs": len(node.outputs)} if operator.takes_n_outputs else {})

    def compute(i: int) -> np.ndarray:
        with np.errstate(all="ignore"):
            result = operator.kernel(np, *(None if t is None else t.numpy() for t in tensors), **keywords)
        array = result[i] if isinstance(result, tuple) else result
        return np.ascontiguousarray(array).reshape(array.shape)

    return compute


def _replace(
    graph: ir.Graph, node: ir.Node, arrays: tuple[np.ndarray, ...], again: Callable[[int], np.ndarray] | None
) -> None:
    """Initializers for the outputs; a large one is computed again when it is needed, rather than kept."""
    for i, (value, array) in enumerate(zip(node.outputs, arrays, strict=False)):
        name = value.name
        if not name:  # an optional output that nobody asked for
            continue
        value.name, origin = None, dequantised(value)
        if array.dtype != object and array.nbytes > KEPT_BYTES and again is not None:
            kind = ir.DataType(onnx_dtype(array.dtype))
            tensor: ir.TensorProtocol = lazy(partial(again, i), kind, ir.Shape(array.shape), name)
        else:
            tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        folded = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        if origin is not None:
            folded.meta[FOLDED] = origin
        graph.register_initializer(folded)
        value.replace_all_uses_with(folded, replace_graph_outputs=True)
    graph.remove(node, safe=True)
