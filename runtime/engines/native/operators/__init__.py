"""Nodes as the native engine computes them: which it can, and what each becomes.

`ops_of(node)` gives `Op`s (see `assembly`), one for each output, or none. The table `OPERATORS` maps the name of an
operator to the function that looks at a node; it says no by returning None, whatever the reason: the node then stays
with the arrays engine. An `Op` whose value has a single reader may take that reader in: `merge`. `PATTERNS` know ops
that are several nodes from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from ....inference import is_constant
from ..assembly import Op, dims, too_large
from ..kernels.operators import OPERATORS as ELEMENTWISE
from . import boxes, elementwise, movement, pictures, products, quantized, quantized_products, rows, scaling, volumes

__all__ = ["OPERATORS", "PATTERNS", "ops_of"]


def ops_of(node: ir.Node) -> list[Op]:
    """What a node of known shapes becomes; nothing if this engine does not compute it."""
    make = OPERATORS.get(node.op_type)
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    if node.domain or make is None or not node.outputs:
        return []
    if not all(isinstance(v.type, ir.TensorType) and v.shape is not None and v.shape.is_static() for v in values):
        return []
    empty = any(0 in dims(v) for v in values if not is_constant(v))
    found = None if empty or any(too_large(v) for v in values) else make(node)
    return found if isinstance(found, list) else [] if found is None else [found]


def _concat(node: ir.Node) -> Op | list[Op] | None:
    plain = boxes.concat(node)
    return plain if plain is None or isinstance(plain, list) else pictures.joining(node, plain) or plain


def _transpose(node: ir.Node) -> Op | list[Op] | None:
    return pictures.standing(node) or boxes.transposition(node)


OPERATORS: dict[str, Callable[[ir.Node], Op | list[Op] | None]] = {
    **dict.fromkeys(ELEMENTWISE, elementwise.chain),
    "BatchNormalization": elementwise.normalization,
    "Gemm": products.product,
    "MatMul": products.product,
    "LRN": pictures.response,
    "Conv": volumes.any_convolution,
    "ConvTranspose": volumes.transposed_convolution,
    "MaxPool": volumes.any_pooling,
    "AveragePool": volumes.any_pooling,
    "GlobalAveragePool": rows.global_pooling,
    "GlobalMaxPool": rows.global_pooling,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"), pictures.view),
    "Concat": _concat,
    "Split": boxes.split,
    "Slice": boxes.cut,
    "Pad": boxes.pad,
    "Expand": boxes.expand,
    "Tile": boxes.tile,
    "Transpose": _transpose,
    "DepthToSpace": boxes.depth_to_space,
    "SpaceToDepth": boxes.space_to_depth,
    "Gather": movement.gather,
    "Resize": scaling.scaling,
    "Upsample": scaling.scaling,
    "Softmax": rows.softmax,
    "LogSoftmax": rows.softmax,
    "LayerNormalization": rows.layer_normalization,
    "RMSNormalization": rows.layer_normalization,
    "InstanceNormalization": rows.group_normalization,
    "GroupNormalization": rows.group_normalization,
    "LpNormalization": rows.lp_normalization,
    "ArgMax": rows.place,
    "ArgMin": rows.place,
    **dict.fromkeys(rows.REDUCTIONS, rows.reduction),
    "QuantizeLinear": quantized.quantization,
    "DequantizeLinear": quantized.dequantization,
    "QLinearConv": quantized_products.qlinear,
}

PATTERNS: tuple[Callable[[ir.Node, set[ir.Value]], tuple[Op, Sequence[ir.Node]] | None], ...] = (
    movement.shuffle,
    *quantized.PATTERNS,
)
"""Each looks at a node and the values that are read outside of its stretch, and gives an op and the nodes behind this
one that the op is too, in order, or None."""
