"""Conv with constant weights, and what follows it: in blocks of channels, or of few channels by parts of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from ....inference import constant, is_constant
from ....ops._windows import Windows
from ..assembly import NO_FRAME, Assembly, Frame, Kind, Op, dims, picture, pictured
from ..host import host
from ..kernels import conv, conv_wide, winograd
from ..kernels.epilogues import Epilogue, Pooling
from ..kernels.pool import pool
from ..layouts import Blocked, Plain
from ..settings import Settings
from ..tuning import way
from ._nodes import SUMS, bound, epilogue_with, is_float, windows_of
from .pictures import pooling

FEW = 4
"""Input channels: a picture of so many is always better read as it is than spread over registers."""


@dataclass(eq=False)
class Convolve(Op):
    """Conv with constant weights, and what follows it."""

    inputs: list[ir.Value]
    output: ir.Value
    weights: ir.Value
    bias: ir.Value | None
    where: Windows
    groups: int
    tile: int = 0
    """Of Winograd's algorithm, 0 for the direct one."""
    epilogue: Epilogue = field(default_factory=Epilogue)
    pool: Pooling = ""
    """What windows of 2×2 become, if they do."""
    after: Epilogue = field(default_factory=Epilogue)
    """What follows pooling; only of `wide` ones."""

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        if self.wide() is not None:
            return ["plain"], "plain"
        few = kinds[0] == "plain" and self.reads_plain()
        others: list[Kind] = ["blocked"] * (len(self.inputs) - 1)
        return ["plain" if few else "blocked", *others], "blocked"

    def settle(self, settings: Settings) -> None:
        direct = self.wide() is not None or (self.groups == 1 and dims(self.weights)[1] <= FEW)
        self.tile = 0 if direct else way(self.problem(picture(self.inputs[0], host().lanes)), settings)

    @property
    def growth(self) -> float:
        """Winograd's method multiplies transformed weights."""
        return (self.tile + 2) ** 2 / 9 if self.tile else 1

    def reads_plain(self) -> bool:
        """Channels too few to fill a register need not be brought together."""
        return self.groups == 1 and not self.tile and dims(self.weights)[1] < host().lanes

    def wide(self) -> conv_wide.Wide | None:
        """The convolution of plain pictures into plain ones that it is, if it has few outputs.

        Where Winograd's method pays and channels fill registers, it is faster still.
        """
        x, lanes = self.inputs[0], host().lanes
        problem = self.problem(Plain(dims(x)))
        if not conv_wide.suits(problem, lanes):
            return None
        if 2 * problem.inputs > lanes and winograd.choose(self.problem(picture(x, lanes))):
            return None
        return conv_wide.Wide(problem, lanes, self.pool, self.epilogue, self.after)

    def frame(self, index: int) -> Frame:
        if index:
            return NO_FRAME
        problem = self.problem(picture(self.inputs[0], host().lanes))
        return winograd.frame_needed(problem, self.tile) if self.tile else conv.frame_needed(problem)

    def problem(self, x: Blocked | Plain, y: Blocked | None = None) -> conv.Convolution:
        w, x = self.where, replace(x, shape=pictured(x.shape))
        y = y or Blocked(self._shape(), x.lanes if isinstance(x, Blocked) else 1)
        (top, left), (bottom, right) = w.begin, w.end
        (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.strides, w.dilations
        return conv.Convolution(x, y, (kh, kw), (sh, sw), (dh, dw), (top, left, bottom, right), self.groups)

    def _shape(self) -> tuple[int, int, int, int]:
        """Of the results, before pooling."""
        height, width = self.where.out
        return dims(self.inputs[0])[0], dims(self.weights)[0], height, width

    def emit(self, asm: Assembly) -> None:
        wide = self.wide()
        if wide is not None:
            self._emit_wide(asm, wide)
            return
        few = self.wants([asm.kind(self.inputs[0])])[0][0] == "plain"
        x_slot, x = asm.read(self.inputs[0], "plain" if few else "blocked")
        slots, residual = {"x": x_slot}, None
        if len(self.inputs) > 1:
            slots["residual"], residual = asm.read(self.inputs[1], "blocked")
        assert residual is None or isinstance(residual, Blocked)
        separate = bool(self.pool) and not winograd.pools(self.tile)
        results, pooled = Blocked(self._shape(), asm.lanes), None
        if separate:
            slots["y"] = asm.scratch(results.nbytes)
        else:
            slots["y"], y = asm.write(self.output, "blocked")
            assert isinstance(y, Blocked)
            results, pooled = (results, winograd.Pooled(self.pool, y)) if self.pool else (y, None)
        problem = self.problem(x, results)
        convolve(asm, problem, self.tile, slots, self._weights(), constant(self.bias), self.epilogue, residual, pooled)
        if separate:
            target, y = asm.write(self.output, "blocked")
            assert isinstance(y, Blocked)
            asm.zero_frame(target, y)
            asm.add(pool(self.pool, results, y, slots["y"], target, kernel=(2, 2), strides=(2, 2)))

    def _weights(self) -> np.ndarray:
        weights = constant(self.weights)
        assert weights is not None
        return weights.reshape(*weights.shape[:2], *self.where.kernel)

    def _emit_wide(self, asm: Assembly, wide: conv_wide.Wide) -> None:
        slots = {"x": asm.read(self.inputs[0])[0], "y": asm.write(self.output)[0]}
        packed = conv_wide.pack(wide, self._weights(), constant(self.bias))
        slots |= {name: asm.constant(array) for name, array in packed.items()}
        room = conv.scratch(wide.problem)
        if room is not None:
            slots["scratch"] = asm.scratch(room.nbytes)
        asm.add(*conv_wide.steps(wide, slots))

    def merge(self, node: ir.Node, other: ir.Value | None) -> bool:
        """Takes an activation, pooling, or an addition of `other`, if there is room for it."""
        if node.op_type in ("MaxPool", "AveragePool"):
            if not self._pools(node):
                return False
        elif node.op_type in SUMS and other is not None:
            taken = self.epilogue != Epilogue() or bool(self.pool) or self.wide() is not None
            if taken or dims(other) != dims(self.output) or is_constant(other):
                return False
            self.epilogue = Epilogue("none", (), "before")
            self.inputs.append(other)
        else:
            longer = epilogue_with(self.after if self.pool else self.epilogue, node)
            if longer is None or (self.pool and self.wide() is None):
                return False
            if self.pool:
                self.after = longer
            else:
                self.epilogue = longer
        self.output = node.outputs[0]
        return True

    def _pools(self, node: ir.Node) -> bool:
        """Takes pooling in if its windows are of 2×2 and lie side by side, where all results of one are at hand."""
        tile = winograd.choose(self.problem(picture(self.inputs[0], host().lanes)))
        at_hand = self.wide() is not None or winograd.pools(tile)
        found = pooling(node) if at_hand and not self.pool else None
        if found is None:
            return False
        w = found.where
        beside = (w.kernel, w.strides, w.dilations, w.pads) == ((2, 2), (2, 2), (1, 1), (0, 0, 0, 0))
        if not beside or w.out != tuple(size // 2 for size in self.where.out):
            return False
        self.pool = "max" if found.kind == "max" else "mean"
        return True


def convolve(
    asm: Assembly,
    problem: conv.Convolution,
    tile: int,
    slots: dict[str, int],
    weights: np.ndarray,
    bias: np.ndarray | None,
    epilogue: Epilogue,
    residual: Blocked | None = None,
    pooled: winograd.Pooled | None = None,
) -> None:
    """Adds the steps of a convolution of what is in `slots`; weights are packed, and scratch memory is found."""
    if tile:
        packed = winograd.pack(problem, tile, weights, bias)
        slots |= {name: asm.constant(array) for name, array in packed.items()}
        slots["scratch"] = asm.scratch(winograd.scratch_bytes(problem, tile))
        asm.add(*winograd.steps(problem, tile, slots, epilogue, residual, pooled))
        return
    packed = conv.pack(problem, weights, bias, residual)
    slots |= {name: asm.constant(array) for name, array in packed.items()}
    room = conv.scratch(problem)
    if room is not None:
        slots["scratch"] = asm.scratch(room.nbytes)
    asm.add(*conv.steps(problem, slots, epilogue, residual))


def convolution(node: ir.Node) -> Op | None:
    x, w = node.inputs[:2]
    b = node.inputs[2] if len(node.inputs) > 2 else None
    if x is None or w is None or not is_float(x, w, *node.outputs) or not is_constant(w):
        return None
    if b is not None and not is_constant(b):
        return None
    if len(dims(x)) not in (3, 4):
        return None
    a, where = bound(node), windows_of(x, dims(w)[2:], bound(node))
    made = Convolve([x], node.outputs[0], w, b, where, a["group"])
    problem = made.problem(picture(x, host().lanes))
    if not conv.supports(problem.with_x(picture(x, host().lanes).framed(*conv.frame_needed(problem)))):
        return None
    return made
