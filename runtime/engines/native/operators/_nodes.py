"""What all files of this folder ask of a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ....builder import attributes
from ....inference import constant
from ....ops import registry
from ....ops._windows import Windows, windows
from ....plan import OPERATOR
from ..assembly import dims
from ..kernels.epilogues import Epilogue

FUSABLE: dict[str, Callable[[dict[str, Any]], tuple[str, tuple[float, ...]] | None]] = {
    "Relu": lambda a: ("relu", ()),
    "LeakyRelu": lambda a: ("leaky_relu", (a["alpha"],)),
    "HardSigmoid": lambda a: ("hard_sigmoid", (a["alpha"], a["beta"])),
    "HardSwish": lambda a: ("hard_swish", ()),
    "Sigmoid": lambda a: ("sigmoid", ()),
    "Swish": lambda a: ("swish", ()) if a["alpha"] == 1 else None,
    "Tanh": lambda a: ("tanh", ()),
    "Elu": lambda a: ("elu", (a["alpha"],)),
    "Softplus": lambda a: ("softplus", ()),
    "Mish": lambda a: ("mish", ()),
    "Gelu": lambda a: ("gelu_tanh" if a["approximate"] == "tanh" else "gelu", ()),
}
"""Activations that an epilogue can hold: operator → its attributes → (activation, constants), or None."""

SUMS = ("Add", "Sum")
"""Of two values they are the same."""


def bound(node: ir.Node) -> dict[str, Any]:
    assert isinstance(node.graph, ir.Graph)
    own = node.meta.get(OPERATOR)
    operator = own or registry.lookup(node.domain, node.op_type, node.graph.opset_imports[node.domain])
    return operator.bind(attributes(node))


def is_float(*values: ir.Value | None) -> bool:
    return all(v is not None and v.dtype == ir.DataType.FLOAT for v in values)


def only_reader(value: ir.Value, wanted: set[ir.Value]) -> ir.Node | None:
    """The node of the same stretch that alone reads a value; `wanted` are values that others read."""
    uses = tuple(value.uses())
    return uses[0].node if len(uses) == 1 and value not in wanted and not uses[0].node.domain else None


def windows_of(value: ir.Value, kernel: Sequence[int], a: dict[str, Any], *, ceil_mode: int = 0) -> Windows:
    """Along height and width; of lines [N, C, W] the height is 1."""
    return planar(windows(dims(value)[2:], kernel, a["strides"], a["dilations"], a["pads"], a["auto_pad"], ceil_mode))


def planar(where: Windows) -> Windows:
    """Windows along a line as windows along the only row of a picture; others as they are."""
    if where.rank > 1:
        return where
    ones = {name: (1, *getattr(where, name)) for name in ("spatial", "kernel", "strides", "dilations", "out")}
    return Windows(**ones, begin=(0, *where.begin), end=(0, *where.end))


def inhabited(where: Windows) -> bool:
    """Does every window touch the input? One that does not is a fault, which the arrays engine words."""
    return all((count > 0).all() for count in where.counts)


def epilogue_with(given: Epilogue, node: ir.Node) -> Epilogue | None:
    """The epilogue followed by the activation that a node is, or None."""
    if given.activation != "none":
        return None
    found: tuple[str, tuple[float, ...]] | None = None
    if node.op_type in FUSABLE:
        found = FUSABLE[node.op_type](bound(node))
    elif node.op_type == "Clip" and (bounds := clip_bounds(node)) is not None:
        found = "clip", bounds
    if found is None:
        return None
    activation, constants = found
    return Epilogue(activation, tuple(map(float, constants)), given.residual)


def clip_bounds(node: ir.Node) -> tuple[float, float] | None:
    a = attributes(node)
    found = []
    for i, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        value = node.inputs[i] if i < len(node.inputs) else None
        known = constant(value)
        if value is not None and known is None:
            return None
        found.append(float(a.get(name, default)) if known is None else float(known.reshape(())))
    return found[0], found[1]
