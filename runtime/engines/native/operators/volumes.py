"""Conv and pooling of volumes [N, C, D, H, W], and ConvTranspose, by what does the same to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import onnx_ir as ir

from ....inference import constant, is_constant
from ....ops._windows import Windows, windows
from ....ops.convolution import transposed_windows
from ..assembly import Assembly, Frame, Kind, Op, dims, picture
from ..host import host
from ..kernels import conv, winograd
from ..kernels.copies import Side, copy_box, side, zero_lanes
from ..kernels.epilogues import Epilogue
from ..kernels.pool import pool
from ..kernels.reorder import from_blocked, to_blocked
from ..layouts import Blocked, Plain
from ..program import Step
from ..settings import Settings
from ..tuning import way
from ._nodes import bound, epilogue_with, inhabited, is_float, planar
from .convolution import convolution, convolve
from .pictures import pooling

ZERO = Side(4, 0, (0,) * 5)
"""The same number at every index of five axes."""


@dataclass(eq=False)
class _Through(Op):
    """What is computed by a convolution of pictures, with the activation after it."""

    inputs: list[ir.Value]
    output: ir.Value
    weights: ir.Value
    bias: ir.Value | None
    where: Windows
    tile: int = 0
    epilogue: Epilogue = field(default_factory=Epilogue)

    def problem(self) -> conv.Convolution:
        """The convolution, its pictures without frames."""
        raise NotImplementedError

    def settle(self, settings: Settings) -> None:
        self.tile = way(self.problem(), settings)

    def needed(self) -> Frame:
        """The frame around the convolution's input."""
        problem = self.problem()
        return winograd.frame_needed(problem, self.tile) if self.tile else conv.frame_needed(problem)

    def merge(self, node: ir.Node, other: ir.Value | None) -> bool:
        longer = epilogue_with(self.epilogue, node)
        if longer is None:
            return False
        self.epilogue, self.output = longer, node.outputs[0]
        return True


@dataclass(eq=False)
class Volume(_Through):
    """Conv of plain volumes with constant weights, a picture for each depth of the result.

    The channels of such a picture are those of all depths that its window reaches, one depth after the other: the
    weights [M, C, KD, KH, KW] become [M, KD·C, KH, KW].
    """

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"], "plain"

    def problem(self) -> conv.Convolution:
        n, c, _, h, w = dims(self.inputs[0])
        images, lanes, v = n * self.where.out[0], host().lanes, self.where
        x = Blocked((images, v.kernel[0] * c, h, w), lanes)
        _, height, width = v.out
        y = Blocked((images, dims(self.weights)[0], height, width), lanes)
        (kernel, strides, dilations) = ((a, b) for _, a, b in (v.kernel, v.strides, v.dilations))
        return conv.Convolution(x, y, kernel, strides, dilations, (*v.begin[1:], *v.end[1:]))  # type: ignore[arg-type]

    def emit(self, asm: Assembly) -> None:
        n, c, d, h, w = dims(self.inputs[0])
        x_slot, y_slot = asm.read(self.inputs[0])[0], asm.write(self.output)[0]
        problem = self.problem()
        assert isinstance(problem.x, Blocked)
        source, target, v = problem.x.framed(*self.needed()), problem.y, self.where
        gathered, made, zero = asm.scratch(source.nbytes), asm.scratch(target.nbytes), asm.constant(np.zeros(1, "f4"))
        asm.zero_frame(gathered, source)
        if source.shape[1] % source.lanes:
            asm.add(*zero_lanes(source, gathered, zero))
        depths, plane = v.out[0], 4 * h * w
        strides = (c * d * plane, v.strides[0] * plane, d * plane, 4 * w, 4)
        for tap in range(v.kernel[0]):
            offset = tap * v.dilations[0] - v.begin[0]
            reached = [i for i in range(depths) if 0 <= i * v.strides[0] + offset < d]
            first, stop = (reached[0], reached[-1] + 1) if reached else (depths, depths)
            for low, high in ((0, first), (stop, depths)):
                asm.add(*copy_box(ZERO, _stack(source, low, depths, tap * c), (n, high - low, c, h, w), zero, gathered))
            box = Side(4, (first * v.strides[0] + offset) * plane, strides)
            place = _stack(source, first, depths, tap * c)
            asm.add(*copy_box(box, place, (n, stop - first, c, h, w), x_slot, gathered, label="gather depths"))
        slots = {"x": gathered, "y": made}
        weights = constant(self.weights)
        assert weights is not None
        joined = weights.transpose(0, 2, 1, 3, 4).reshape(weights.shape[0], -1, *weights.shape[3:])
        convolve(asm, problem.with_x(source), self.tile, slots, joined, constant(self.bias), self.epilogue)
        _, m, depths, height, width = dims(self.output)
        plane = 4 * height * width
        plain = Side(4, 0, (m * depths * plane, plane, depths * plane, 4 * width, 4))
        counts = (n, depths, m, height, width)
        asm.add(*copy_box(_stack(target, 0, depths, 0), plain, counts, made, y_slot, label="volume from pictures"))


def _stack(layout: Blocked, depth: int, depths: int, channel: int) -> Side:
    """Images [N · depths] as two axes, the second from `depth` on, with channels from `channel` on."""
    strides = (depths * layout.image, layout.image, 0, layout.row, layout.pixel)
    return Side(4, layout.origin + depth * layout.image, strides, 2, channel, layout.lanes, layout.plane)


@dataclass(eq=False)
class Transposed(_Through):
    """ConvTranspose with constant weights [C, M, KH, KW].

    Results that lie a stride apart are sums of the same taps. For each such phase there is a convolution of stride 1,
    all of them in one: the phases are groups of its output channels, from which they are copied into their places.
    Groups fill whole blocks, unless that takes more of them.

    Attributes:
        where: of the convolution whose adjoint it is: `spatial` is the size of the result, `out` that of x.
    """

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"], "blocked"

    def frame(self, index: int) -> Frame:
        return self.needed()

    @property
    def exact(self) -> bool:
        """Else some phases have fewer taps than others, and zeros in their places."""
        w = self.where
        return w.dilations == (1, 1) and all(r % s == 0 for r, s in zip(w.reach, w.strides, strict=True))

    @property
    def alone(self) -> bool:
        """Is there one phase only, which is the result?"""
        return self.where.strides == (1, 1)

    def _axis(self, axis: int) -> tuple[int, int, int, int, int]:
        """Of the convolution along an axis: taps, the first result and how many, in strides; padding before, behind."""
        w = self.where
        size, given, stride, before = w.spatial[axis], w.out[axis], w.strides[axis], w.begin[axis]
        taps = -(-w.reach[axis] // stride)
        first, last = before // stride, (size - 1 + before) // stride
        return taps, first, last - first + 1, taps - 1 - first, last - given + 1

    def problem(self) -> conv.Convolution:
        x = picture(self.inputs[0], host().lanes)
        (th, _, height, top, bottom), (tw, _, width, left, right) = (self._axis(i) for i in (0, 1))
        m, phases = dims(self.weights)[1], self.where.strides[0] * self.where.strides[1]
        whole = -(-m // x.lanes) * x.lanes
        dense = self.alone or -(-phases * m // x.lanes) * x.lanes < phases * whole
        y = Blocked((x.shape[0], phases * (m if dense else whole), height, width), x.lanes)
        return conv.Convolution(x, y, (th, tw), pads=(top, left, bottom, right))

    def emit(self, asm: Assembly) -> None:
        (x_slot, x), (y_slot, y) = asm.read(self.inputs[0], "blocked"), asm.write(self.output, "blocked")
        assert isinstance(x, Blocked)
        assert isinstance(y, Blocked)
        problem = self.problem().with_x(x)
        weights, bias = self._phases(problem)
        if self.alone:
            problem = replace(problem, y=y)
            convolve(asm, problem, self.tile, {"x": x_slot, "y": y_slot}, weights, bias, self.epilogue)
            return
        made = asm.scratch(problem.y.nbytes)
        convolve(asm, problem, self.tile, {"x": x_slot, "y": made}, weights, bias, self.epilogue)
        asm.zero_frame(y_slot, y)
        if y.shape[1] % y.lanes:
            asm.add(*zero_lanes(y, y_slot, asm.constant(np.zeros(1, np.float32))))
        each = problem.y.shape[1] // (self.where.strides[0] * self.where.strides[1])
        for i, phase in enumerate(self._each_phase()):
            start, to, counts = zip(*(self._places(axis, phase[axis]) for axis in (0, 1)), strict=True)
            box = side(problem.y, (0, i * each, *start))
            place = side(y, (0, 0, *to), (1, 1, *self.where.strides))
            asm.add(*copy_box(box, place, (*y.shape[:2], *counts), made, y_slot, label="interleave"))

    def _each_phase(self) -> list[tuple[int, ...]]:
        return list(product(*(range(s) for s in self.where.strides)))

    def _places(self, axis: int, phase: int) -> tuple[int, int, int]:
        """Of a phase along an axis: where the convolution's results begin to count, where they go, how many do."""
        w = self.where
        _, first, _, _, _ = self._axis(axis)
        stride, before = w.strides[axis], w.begin[axis]
        start = max(-(-(before - phase) // stride), first)
        to = start * stride + phase - before
        return start - first, to, max(0, -(-(w.spatial[axis] - to) // stride))

    def _phases(self, problem: conv.Convolution) -> tuple[np.ndarray, np.ndarray | None]:
        """Weights [phases · M, C, TH, TW], M filled up to the size of a group, and the bias of each."""
        w, (c, m), given, added = self.where, dims(self.weights)[:2], constant(self.weights), constant(self.bias)
        assert given is not None
        (th, tw), each = problem.kernel, problem.y.shape[1] // len(self._each_phase())
        room = np.zeros((c, m, th * w.strides[0], tw * w.strides[1]), np.float32)
        room[:, :, : w.reach[0] : w.dilations[0], : w.reach[1] : w.dilations[1]] = given.reshape(c, m, *w.kernel)
        split = room.reshape(c, m, th, w.strides[0], tw, w.strides[1])[:, :, ::-1, :, ::-1]
        packed = np.zeros((*w.strides, each, c, th, tw), np.float32)
        packed[:, :, :m] = split.transpose(3, 5, 1, 0, 2, 4)
        bias = None
        if added is not None:
            bias = np.tile(np.pad(added, (0, each - m)), len(self._each_phase()))
        return packed.reshape(-1, c, th, tw), bias


@dataclass(eq=False)
class VolumePool(Op):
    """MaxPool and AveragePool of plain volumes: along the depth, then within what are pictures by then.

    Blocks [N, C/lanes, D, H, W, lanes] are those of a picture [N, C, D, H·W], and of one with D times as many blocks of
    channels. The mean of means is the mean, as each takes in the same number of elements.
    """

    inputs: list[ir.Value]
    output: ir.Value
    kind: str
    where: Windows
    include_pad: bool

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"], "plain"

    def emit(self, asm: Assembly) -> None:
        (n, c, d, h, w), (_, _, depths, height, width) = dims(self.inputs[0]), dims(self.output)
        x_slot, y_slot, lanes = asm.read(self.inputs[0])[0], asm.write(self.output)[0], asm.lanes
        source, half = Blocked((n, c, d, h * w), lanes), Blocked((n, c, depths, h * w), lanes)
        channels = half.blocks * depths * lanes
        planes, pooled = Blocked((n, channels, h, w), lanes), Blocked((n, channels, height, width), lanes)
        given, middle, made = (asm.scratch(layout.nbytes) for layout in (source, half, pooled))
        asm.add(to_blocked(Plain((n, c, d, h * w)), source, x_slot, given))
        asm.add(self._pool(source, half, given, middle, (0,)), self._pool(planes, pooled, middle, made, (1, 2)))
        asm.add(from_blocked(Blocked((n, c, depths, height * width), lanes), made, y_slot))

    def _pool(self, x: Blocked, y: Blocked, x_slot: int, y_slot: int, axes: Sequence[int]) -> Step:
        """Along some axes of the volume; a single one is the first of the picture."""
        v = self.where
        kernel, strides, dilations, begin, end = (
            [*(given[i] for i in axes), other][:2]
            for given, other in ((v.kernel, 1), (v.strides, 1), (v.dilations, 1), (v.begin, 0), (v.end, 0))
        )
        options = {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": (*begin, *end)}
        return pool(self.kind, x, y, x_slot, y_slot, include_pad=self.include_pad, **options)


def any_pooling(node: ir.Node) -> Op | None:
    """MaxPool and AveragePool of lines, pictures and volumes."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or len(dims(x)) != 5 or len(node.outputs) > 1 or not is_float(x, y):
        return pooling(node)
    a = {"dilations": None, "ceil_mode": 0, **bound(node)}
    options = (a["strides"], a["dilations"], a["pads"], a["auto_pad"], a["ceil_mode"])
    where = windows(dims(x)[2:], a["kernel_shape"], *options)
    if not inhabited(where):
        return None
    kind = "max" if node.op_type == "MaxPool" else "mean"
    return VolumePool([x], y, kind, where, bool(a.get("count_include_pad", 0)))


def _operands(node: ir.Node) -> tuple[ir.Value, ir.Value, ir.Value | None] | None:
    """x, and constant weights and bias."""
    x, w = node.inputs[:2]
    b = node.inputs[2] if len(node.inputs) > 2 else None
    if x is None or w is None or not is_float(x, w, *node.outputs):
        return None
    return (x, w, b) if is_constant(w) and (b is None or is_constant(b)) else None


def any_convolution(node: ir.Node) -> Op | None:
    """Conv of lines, pictures and, in one group, volumes."""
    given = _operands(node)
    if given is None or len(dims(given[0])) != 5:
        return convolution(node)
    a, (x, w, b) = bound(node), given
    where = windows(dims(x)[2:], dims(w)[2:], a["strides"], a["dilations"], a["pads"], a["auto_pad"])
    if a["group"] != 1 or min(where.begin + where.end) < 0:
        return None
    return Volume([x], node.outputs[0], w, b, where)


def transposed_convolution(node: ir.Node) -> Op | None:
    """ConvTranspose of lines and pictures in one group."""
    given, a = _operands(node), bound(node)
    if given is None or len(dims(given[0])) not in (3, 4) or a["group"] != 1:
        return None
    x, w, b = given
    options = {name: a[name] for name in ("strides", "dilations", "pads", "auto_pad", "output_padding", "output_shape")}
    made = Transposed([x], node.outputs[0], w, b, planar(transposed_windows(dims(x)[2:], dims(w)[2:], **options)))
    return made if min(n for axis in (0, 1) for n in made._axis(axis)[3:]) >= 0 else None
