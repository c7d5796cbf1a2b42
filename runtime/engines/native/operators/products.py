"""Gemm and MatMul of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from ....inference import constant, is_constant
from ..assembly import Assembly, Kind, Op, dims
from ..kernels import gemm
from ..kernels.epilogues import Epilogue
from ._nodes import SUMS, bound, epilogue_with, is_float


@dataclass(eq=False)
class Multiply(Op):
    """Gemm and MatMul of plain values, with what is added and the activation after."""

    inputs: list[ir.Value]
    output: ir.Value
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    weights: ir.Value | None
    added: np.ndarray | None = None
    options: dict[str, Any] = field(default_factory=dict)
    epilogue: Epilogue = field(default_factory=Epilogue)

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"] * len(kinds), "plain"

    def product(self) -> gemm.Product:
        """Raises ValueError if shapes do not fit, or are not compiled."""
        c = None if self.added is None else self.added.shape
        return gemm.product(*self.shapes, c, constant=self.weights is not None, **self.options)

    def emit(self, asm: Assembly) -> None:
        product = self.product()
        values = iter(self.inputs)
        slots: dict[str, Any] = {"a": asm.read(next(values))[0]}
        weights = constant(self.weights)
        slots["b"] = asm.read(next(values))[0] if weights is None else asm.constant(gemm.pack(product, weights))
        if self.added is not None:
            slots["c"] = asm.constant(self.added)
        if self.epilogue.residual:
            slots["residual"] = asm.read(next(values))[0]
        slots["y"] = asm.write(self.output)[0]
        room = gemm.scratch_bytes(product)
        if room:
            slots["scratch"] = asm.scratch(room)
        asm.add(*gemm.steps(product, epilogue=self.epilogue, **slots))

    def merge(self, node: ir.Node, other: ir.Value | None) -> bool:
        """Takes in the addition of a constant row or of a value of the same shape, and an activation."""
        known = constant(other)
        if node.op_type in SUMS and other is not None and dims(node.outputs[0]) == dims(self.output):
            plain = self.epilogue == Epilogue()
            if plain and self.added is None and known is not None and known.shape == dims(self.output)[-1:]:
                self.added = known
            elif plain and known is None and dims(other) == dims(self.output):
                self.epilogue = Epilogue("none", (), "before")
                self.inputs.append(other)
            else:
                return False
        else:
            longer = epilogue_with(self.epilogue, node)
            if longer is None:
                return False
            self.epilogue = longer
        self.output = node.outputs[0]
        return True


def product(node: ir.Node) -> Op | None:
    a, b, *rest = node.inputs
    c = rest[0] if rest else None
    if a is None or b is None or not is_float(a, b, *node.outputs) or is_constant(a):
        return None
    added = constant(c)
    if c is not None and (added is None or not is_float(c)):
        return None
    options: dict[str, Any] = {}
    if node.op_type == "Gemm":
        given = bound(node)
        options = {"alpha": given["alpha"], "beta": given["beta"]}
        options |= {name: bool(given[name]) for name in ("transA", "transB")}
    weights = b if is_constant(b) else None
    inputs = [a] if weights is not None else [a, b]
    made = Multiply(inputs, node.outputs[0], (dims(a), dims(b)), weights, added, options)
    try:
        made.product()
    except ValueError:
        return None
    return made
