"""Which constants look like weights that were trained, and which are statistics, scales, shapes or indices."""

from __future__ import annotations

import onnx_ir as ir

from ..dtypes import is_float
from ..ops import registry

__all__ = ["is_weight"]

WEIGHT_INPUTS: dict[str, frozenset[int]] = {
    name: frozenset(inputs)
    for name, inputs in {
        "BatchNormalization": (1, 2),
        "Clip": (0,),
        "ConvInteger": (1,),
        "DequantizeLinear": (0,),
        "Dropout": (0,),
        "DynamicQuantizeLinear": (0,),
        "MatMulInteger": (0, 1),
        "MatMulNBits": (1,),
        "Pad": (0,),
        "Pow": (0,),
        "QLinearConv": (3, 8),
        "QLinearMatMul": (0, 3),
        "QuantizeLinear": (0,),
        "Resize": (0,),
        "Upsample": (0,),
        "Where": (1, 2),
    }.items()
}
"""The inputs that can hold weights, of the operators with other parameters beside them."""
INTEGER_WEIGHTS = frozenset(
    {"ConvInteger", "DequantizeLinear", "MatMulInteger", "MatMulNBits", "QLinearConv", "QLinearMatMul"}
)
"""The operators whose weights are integers."""


def is_weight(node: ir.Node, index: int, operator: registry.Operator | None, *, any_type: bool = False) -> bool:
    """Whether a constant at this input looks like a trained weight.

    Scalars are settings, and so are inputs that a kernel wants on the host (shapes, axes, limits).

    Args:
        any_type: do not ask whether it holds floating-point numbers, as when a folded node unpacks integers.
    """
    value = node.inputs[index]
    if value is None or value.shape is None or len(value.shape) == 0:
        return False
    if index not in WEIGHT_INPUTS.get(node.op_type, (index,)) or (operator is not None and index in operator.host):
        return False
    if any_type or node.op_type in INTEGER_WEIGHTS:
        return True
    return value.dtype is not None and value.dtype != ir.DataType.STRING and is_float(value.dtype.numpy())
