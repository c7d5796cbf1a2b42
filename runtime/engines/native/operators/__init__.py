"""Nodes as the native engine computes them: which it can, and what each becomes.

`op_of(node)` gives an `Op` (see `assembly`) or None. The table `OPERATORS` maps an operator's name to the function that
looks at a node; it says no by returning None, whatever the reason: the node then stays with the arrays engine. An `Op`
whose value has a single reader may take that reader in: `merge`.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from ..assembly import Op, dims
from ..kernels.operators import OPERATORS as ELEMENTWISE
from . import convolution, elementwise, movement, pictures, products, rows

__all__ = ["OPERATORS", "op_of"]


def op_of(node: ir.Node) -> Op | None:
    """What a node of known shapes becomes, or None if this engine does not compute it."""
    make = OPERATORS.get(node.op_type)
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    if node.domain or make is None or not node.outputs:
        return None
    if not all(isinstance(v.type, ir.TensorType) and v.shape is not None and v.shape.is_static() for v in values):
        return None
    return None if 0 in (d for v in values for d in dims(v)) else make(node)


OPERATORS: dict[str, Callable[[ir.Node], Op | None]] = {
    **dict.fromkeys(ELEMENTWISE, elementwise.chain),
    "BatchNormalization": elementwise.normalization,
    "Gemm": products.product,
    "MatMul": products.product,
    "LRN": pictures.response,
    "Conv": convolution.convolution,
    "MaxPool": pictures.pooling,
    "AveragePool": pictures.pooling,
    "GlobalAveragePool": pictures.global_pooling,
    "GlobalMaxPool": pictures.global_pooling,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"), pictures.view),
    "Concat": pictures.joining,
    "Transpose": movement.transposition,
    "Softmax": rows.softmax,
    "LogSoftmax": rows.softmax,
    "LayerNormalization": rows.layer_normalization,
    "RMSNormalization": rows.layer_normalization,
    **dict.fromkeys(rows.REDUCTIONS, rows.reduction),
}
