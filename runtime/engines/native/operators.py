"""Nodes as the native engine computes them: which it can, and what each becomes.

`op_of(node)` gives an `Op` (see `assembly`) or None. The table `OPERATORS` maps an operator's name to the function that
looks at a node; it says no by returning None, whatever the reason: the node then stays with the arrays engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx_ir as ir

from ...builder import attributes
from ...inference import constant
from ...ops import registry
from ...ops._windows import Windows, windows
from .assembly import NO_FRAME, Assembly, Frame, Kind, Op, dims
from .kernels import conv
from .kernels.epilogues import Epilogue
from .kernels.pool import pool
from .kernels.reorder import reframe
from .layouts import Blocked, Plain

__all__ = ["FUSABLE", "Convolve", "op_of"]

FUSABLE = {
    "Relu": lambda a: ("relu", ()),
    "LeakyRelu": lambda a: ("leaky_relu", (a["alpha"],)),
    "HardSigmoid": lambda a: ("hard_sigmoid", (a["alpha"], a["beta"])),
    "HardSwish": lambda a: ("hard_swish", ()),
}
"""Activations that an epilogue can hold: operator → its attributes → (activation, constants)."""


def op_of(node: ir.Node) -> Op | None:
    """What a node of known shapes becomes, or None if this engine does not compute it."""
    if node.domain or not node.outputs or any(v.type is None or v.shape is None for v in node.outputs):
        return None
    make = OPERATORS.get(node.op_type)
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    if make is None or not all(v.shape is not None and v.shape.is_static() for v in values):
        return None
    if 0 in (d for v in values for d in dims(v)):
        return None
    return make(node)


def _attributes(node: ir.Node) -> dict:
    assert isinstance(node.graph, ir.Graph)
    operator = registry.lookup(node.domain, node.op_type, node.graph.opset_imports[node.domain])
    return operator.bind(attributes(node))


def _is_float(*values: ir.Value | None) -> bool:
    return all(v is not None and v.dtype == ir.DataType.FLOAT for v in values)


def _windows_of(value: ir.Value, kernel: Sequence[int], a: dict, *, ceil_mode: int = 0) -> Windows:
    """Along height and width; a signal [N, C, L] counts as a picture of one row."""
    return windows(dims(value)[2:], kernel, a["strides"], a["dilations"], a["pads"], a["auto_pad"], ceil_mode)


# ---- convolution


@dataclass(eq=False)
class Convolve:
    """Conv with constant weights, and what follows it."""

    inputs: list[ir.Value]
    output: ir.Value
    weights: np.ndarray
    bias: np.ndarray | None
    where: Windows
    groups: int
    epilogue: Epilogue = field(default_factory=Epilogue)

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        few = self.groups == 1 and kinds[0] == "plain" and self.weights.shape[1] <= 4
        return ["plain" if few else "blocked", *(["blocked"] if len(self.inputs) > 1 else [])], "blocked"

    def frame(self, index: int) -> Frame:
        return conv.frame_needed(self._problem(Blocked(dims(self.inputs[0]), 1))) if index == 0 else NO_FRAME

    def _problem(self, x: Blocked | Plain, y: Blocked | None = None) -> conv.Convolution:
        w = self.where
        y = y or Blocked(dims(self.output), x.lanes if isinstance(x, Blocked) else 1)
        pads = (w.begin[0], w.begin[1], w.end[0], w.end[1])
        return conv.Convolution(x, y, w.kernel, w.strides, w.dilations, pads, self.groups)

    def emit(self, asm: Assembly) -> None:
        few = self.wants([asm.kind(self.inputs[0])])[0][0] == "plain"
        x_slot, x = asm.read(self.inputs[0], "plain" if few else "blocked")
        slots, residual = {"x": x_slot}, None
        if len(self.inputs) > 1:
            slots["residual"], residual = asm.read(self.inputs[1], "blocked")
        slots["y"], y = asm.write(self.output, "blocked")
        assert isinstance(y, Blocked)
        assert residual is None or isinstance(residual, Blocked)
        problem = self._problem(x, y)
        packed = conv.pack(problem, self.weights, self.bias, residual)
        slots |= {name: asm.constant(array) for name, array in packed.items()}
        room = conv.scratch(problem)
        if room is not None:
            slots["scratch"] = asm.scratch(room.nbytes)
        asm.add(*conv.steps(problem, slots, self.epilogue, residual))

    def merge(self, node: ir.Node, other: ir.Value | None) -> bool:
        """Takes an activation, or an addition of `other`, into the epilogue if there is room for it."""
        given = self.epilogue
        if node.op_type == "Add" and other is not None:
            if given != Epilogue() or dims(other) != dims(self.output) or len(dims(other)) != 4:
                return False
            self.epilogue = Epilogue("none", (), "before")
            self.inputs.append(other)
        elif node.op_type in FUSABLE and given.activation == "none":
            activation, constants = FUSABLE[node.op_type](_attributes(node))
            self.epilogue = Epilogue(activation, tuple(map(float, constants)), given.residual)
        elif node.op_type == "Clip" and given.activation == "none":
            bounds = _clip_bounds(node)
            if bounds is None:
                return False
            self.epilogue = Epilogue("clip", bounds, given.residual)
        else:
            return False
        self.output = node.outputs[0]
        return True


def _clip_bounds(node: ir.Node) -> tuple[float, float] | None:
    a = attributes(node)
    known = [constant(v) if v is not None else None for v in (*node.inputs[1:], None, None)][:2]
    if any(v is not None and k is None for v, k in zip(node.inputs[1:], known, strict=False)):
        return None
    low = float(known[0]) if known[0] is not None else a.get("min", -np.inf)
    high = float(known[1]) if known[1] is not None else a.get("max", np.inf)
    return float(low), float(high)


def _convolve(node: ir.Node) -> Op | None:
    x, w = node.inputs[:2]
    b = node.inputs[2] if len(node.inputs) > 2 else None
    weights, bias = constant(w), constant(b)
    if x is None or not _is_float(x, w, *node.outputs) or weights is None or (b is not None and bias is None):
        return None
    if len(dims(x)) != 4:
        return None
    a = _attributes(node)
    made = Convolve([x], node.outputs[0], weights, bias, _windows_of(x, weights.shape[2:], a), a["group"])
    lanes = 4  # whether it can be computed does not depend on how many
    problem = made._problem(Blocked(dims(x), lanes).framed(*made.frame(0)))
    return made if conv.supports(problem) else None


# ---- pooling


@dataclass(eq=False)
class Pool:
    """MaxPool, AveragePool and their global forms."""

    inputs: list[ir.Value]
    output: ir.Value
    kind: str
    where: Windows
    include_pad: bool = False

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"], "blocked"

    def frame(self, index: int) -> Frame:
        return NO_FRAME

    def emit(self, asm: Assembly) -> None:
        (x_slot, x), (y_slot, y), w = asm.read(self.inputs[0], "blocked"), asm.write(self.output, "blocked"), self.where
        assert isinstance(x, Blocked)
        assert isinstance(y, Blocked)
        asm.zero_frame(y_slot, y)
        step = pool(
            self.kind,
            x,
            y,
            x_slot,
            y_slot,
            kernel=w.kernel,
            strides=w.strides,
            dilations=w.dilations,
            pads=(w.begin[0], w.begin[1], w.end[0], w.end[1]),
            include_pad=self.include_pad,
        )
        asm.add(step)


def _pool(node: ir.Node) -> Op | None:
    x = node.inputs[0]
    if not _is_float(x, node.outputs[0]) or x is None or len(dims(x)) != 4 or len(node.outputs) != 1:
        return None
    a = {"dilations": None, "ceil_mode": 0, **_attributes(node)}
    kind = "max" if node.op_type == "MaxPool" else "mean"
    where = _windows_of(x, a["kernel_shape"], a, ceil_mode=a["ceil_mode"])
    return Pool([x], node.outputs[0], kind, where, bool(a.get("count_include_pad", 0)))


def _global_pool(node: ir.Node) -> Op | None:
    x = node.inputs[0]
    if not _is_float(x, node.outputs[0]) or x is None or len(dims(x)) != 4:
        return None
    kind = "max" if node.op_type == "GlobalMaxPool" else "mean"
    return Pool([x], node.outputs[0], kind, windows(dims(x)[2:], dims(x)[2:]))


# ---- the same elements in another shape


@dataclass(eq=False)
class View:
    """Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout: the plain memory is the same."""

    inputs: list[ir.Value]
    output: ir.Value

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"], "plain"

    def frame(self, index: int) -> Frame:
        return NO_FRAME

    def emit(self, asm: Assembly) -> None:
        asm.alias(self.output, asm.read(self.inputs[0])[0])


def _view(node: ir.Node) -> Op | None:
    x = node.inputs[0]
    used = [v for v in node.outputs[1:] if v.uses() or v.is_graph_output()]
    if not _is_float(x, node.outputs[0]) or x is None or used or prod(dims(x)) != prod(dims(node.outputs[0])):
        return None
    if node.op_type == "Dropout" and len(node.inputs) > 2 and not _never(node.inputs[2]):
        return None
    return View([x], node.outputs[0])


def _never(training: ir.Value | None) -> bool:
    known = constant(training)
    return training is None or (known is not None and not known)


# ---- joining


@dataclass(eq=False)
class Join:
    """Concat along the channels of blocked values, where every part but the last fills whole blocks."""

    inputs: list[ir.Value]
    output: ir.Value

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"] * len(self.inputs), "blocked"

    def frame(self, index: int) -> Frame:
        return NO_FRAME

    def emit(self, asm: Assembly) -> None:
        y_slot, y = asm.write(self.output, "blocked")
        assert isinstance(y, Blocked)
        asm.zero_frame(y_slot, y)
        block = 0
        for value in self.inputs:
            x_slot, x = asm.read(value, "blocked")
            assert isinstance(x, Blocked)
            asm.add(reframe(x, y, x_slot, y_slot, first_block=block))
            block += x.blocks


def _join(node: ir.Node) -> Op | None:
    from .host import host

    values = [v for v in node.inputs if v is not None]
    axis = _attributes(node)["axis"]
    if not _is_float(*values) or len(dims(node.outputs[0])) != 4 or axis % 4 != 1:
        return None
    if any(constant(v) is not None for v in values) or any(dims(v)[1] % host().lanes for v in values[:-1]):
        return None
    return Join(values, node.outputs[0])


OPERATORS: dict[str, Callable[[ir.Node], Op | None]] = {
    "Conv": _convolve,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"), _view),
    "Concat": _join,
}
