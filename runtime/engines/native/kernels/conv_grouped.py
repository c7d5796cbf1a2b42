"""Convolution of many small groups, depthwise above all: one block of output channels sees one block of x.

With `inputs` and `outputs` channels in a group, and `outputs` a divisor of the lanes, a block of output channels has
lanes / outputs whole groups. Their input channels are `span` lanes of one block of x, and output lane l needs, one
after the other, channels l // outputs · inputs + k of them:

    task → image, rows, block of output channels
    for each tile, for each kernel row:
        for each position of x under the tile's windows: load its `span` lanes, once
            for each k < inputs: order the lanes; add the products to all sums that this position concerns

Weights: [block][kernel row][kernel column][k][lanes].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..emit import FLOAT, INT32, Function, Value, Variable, vector
from ..layouts import Blocked
from ..program import NO_SLOT, Kernel, Step, aligned
from .conv_problem import Convolution, plane_arguments
from .conv_tiles import Tiling, tiling
from .epilogues import Epilogue
from .frames import FRAME_FIELDS, frame_arguments, framed, zero_frame

__all__ = ["grouped_steps", "pack", "suits"]

FIELDS = (
    *("x", "weights", "bias", "y", "residual"),
    *("blocks", "chunks", "chunk_rows", "height", "width", "channels", "kernel_rows", "kernel_columns"),
    *("x_origin", "x_image", "x_plane", "x_row", "x_down"),
    *("y_origin", "y_image", "y_plane", "y_row"),
    *("residual_origin", "residual_image", "residual_plane", "residual_row"),
)
MOST_COLUMNS = 8
"""Of a kernel that are written out; of wider ones, each is passed alone."""
TASK_FLOPS = 250_000
MOST_TASKS = 64


@dataclass(frozen=True)
class Grouped:
    """What the machine code is specialised for.

    Attributes:
        inputs, outputs: channels of a group.
        columns: of the kernel, as far as they are written out.
        stride, dilation: along a row; `row_step`: bytes of x between rows of a tile.
        masked: the last block has lanes to be zeroed.
    """

    lanes: int
    tiling: Tiling
    inputs: int
    outputs: int
    columns: int
    stride: int
    dilation: int
    row_step: int
    masked: bool
    framed: bool
    epilogue: Epilogue

    @property
    def name(self) -> str:
        t = self.tiling
        return (
            f"conv_grouped{self.lanes}_{t.rows}x{t.columns}_{t.last_rows}x{t.last_columns}_{self.inputs}_{self.outputs}"
            f"_{self.columns}_{self.stride}_{self.dilation}_{self.row_step}"
            f"_{'m' * self.masked}{'f' * self.framed}_{self.epilogue.name}"
        )


def suits(problem: Convolution) -> bool:
    """Are these small groups of the kind that is meant here?"""
    inputs, outputs, lanes = problem.inputs, problem.outputs, problem.lanes
    if problem.groups == 1 or not isinstance(problem.x, Blocked) or lanes % outputs:
        return False
    span = lanes // outputs * inputs
    return span <= lanes and lanes % span == 0


def _tiling(problem: Convolution, columns: int) -> Tiling:
    _, _, height, width = problem.y.shape
    weights = min(columns * problem.inputs, problem.registers // 3)
    return tiling(height, width, 1, problem.registers - weights - problem.inputs.bit_length())


@cache
def kernel(spec: Grouped) -> Kernel:
    """The machine code."""
    f = Function(spec.name, [*FIELDS, *FRAME_FIELDS])
    _Emitter(f, spec).emit()
    return Kernel.of(f)


class _Emitter:
    """Fills the function of one kernel."""

    def __init__(self, f: Function, spec: Grouped) -> None:
        self.f, self.spec, t = f, spec, spec.tiling
        self.kind = vector(FLOAT, spec.lanes)
        n = self.number = {name: f.number(name) for name in FIELDS[5:]}
        self.block, rest = f.task % n["blocks"], f.task // n["blocks"]
        self.chunk, self.image = rest % n["chunks"], rest // n["chunks"]
        span = spec.lanes // spec.outputs * spec.inputs
        per_block = spec.lanes // span
        skipped = (self.block // per_block) * n["x_plane"] + (self.block % per_block) * (4 * span)
        self.span = vector(FLOAT, span)
        self.x = f.pointer("x") + (n["x_origin"] + self.image * n["x_image"] + skipped)
        taps = n["kernel_rows"] * n["kernel_columns"] * (spec.inputs * self.kind.size)
        self.w = f.pointer("weights") + self.block * taps
        self.bias = f.load(self.kind, f.pointer("bias") + self.block * self.kind.size, align=self.kind.size)
        self.y = self._plane("y")
        self.residual = self._plane("residual") if spec.epilogue.residual else None
        self.keep = self._mask() if spec.masked else None
        self.orders = [
            [lane // spec.outputs * spec.inputs + k for lane in range(spec.lanes)] for k in range(spec.inputs)
        ]
        self.rows = [(t.rows, False), *([(t.last_rows, True)] if t.last_rows else [])]

    def _plane(self, name: str) -> Value:
        n = self.number
        offset = n[f"{name}_origin"] + self.image * n[f"{name}_image"] + self.block * n[f"{name}_plane"]
        return self.f.pointer(name) + offset

    def _mask(self) -> Value:
        f, lanes = self.f, self.spec.lanes
        numbers = Value(f, vector(INT32, lanes), "<" + ", ".join(f"i32 {i}" for i in range(lanes)) + ">")
        return numbers < f.convert(self.number["channels"] - self.block * lanes, INT32)

    def emit(self) -> None:
        f, n, t = self.f, self.number, self.spec.tiling
        first = self.chunk * n["chunk_rows"]
        stop = f.minimum(first + n["chunk_rows"], n["height"])
        middle = first + (stop - first) // t.rows * t.rows
        whole = n["width"] // t.columns * t.columns if t.last_columns else n["width"]
        for top, bottom, rows in ((first, middle, t.rows), (middle, stop, t.last_rows)):
            if not rows:
                continue
            with f.range(top, bottom, rows) as i:
                with f.range(0, whole, t.columns) as j:
                    self._tile(i, j, rows, t.columns)
                if t.last_columns:
                    self._tile(i, whole, rows, t.last_columns)
        if self.spec.framed:
            zero_frame(f, self.y, self.spec.lanes, first, stop)

    def _tile(self, i: Value, j: Value, rows: int, columns: int) -> None:
        f, n, spec = self.f, self.number, self.spec
        pixel, size = 4 * spec.lanes, self.kind.size
        sums = {(r, c): f.variable(self.kind, self.bias) for r in range(rows) for c in range(columns)}
        x = self.x + (i * n["x_row"] + j * (spec.stride * pixel))
        w = f.variable(self.w.type, self.w)
        with f.range(n["kernel_rows"]) as r:
            across = x + r * n["x_down"]
            if spec.columns == 1:
                with f.range(n["kernel_columns"]) as s:
                    self._multiply(sums, across + s * (spec.dilation * pixel), w, rows, columns)
            else:
                self._multiply(sums, across, w, rows, columns)
        for row in range(rows):
            to = self.y + ((i + row) * n["y_row"] + j * size)
            other = self.residual
            if other is not None:
                other = other + ((i + row) * n["residual_row"] + j * size)
            for c in range(columns):
                if spec.epilogue.long:
                    f.store(sums[row, c].get(), to + c * size, align=size)
                else:
                    self._finish(sums[row, c].get(), to, other, c * size)
            if spec.epilogue.long:

                def finish(c: Value, to: Value = to, other: Value | None = other) -> None:
                    self._finish(f.load(self.kind, to + c * size, align=size), to, other, c * size)

                f.repeat(columns, finish)

    def _finish(self, total: Value, to: Value, other: Value | None, at: Value | int) -> None:
        """Stores the epilogue of a sum, `at` bytes behind the beginning of a tile's row."""
        f, size = self.f, self.kind.size
        added = None if other is None else f.load(self.kind, other + at, align=size)
        result = self.spec.epilogue.emit(f, total, added)
        if self.keep is not None:
            result = f.select(self.keep, result, 0.0)
        f.store(result, to + at, align=size)

    def _multiply(self, sums: dict, x: Value, w: Variable, rows: int, columns: int) -> None:
        """One row of the kernel, as many columns of it as are written out."""
        f, spec = self.f, self.spec
        at = w.get()
        taps = [(s, k) for s in range(spec.columns) for k in range(spec.inputs)]
        weights = {
            tap: f.load(self.kind, at + index * self.kind.size, align=self.kind.size) for index, tap in enumerate(taps)
        }
        w.set(at + len(taps) * self.kind.size)
        seen: dict[int, list[tuple[int, int]]] = {}
        for c in range(columns):
            for s in range(spec.columns):
                seen.setdefault(c * spec.stride + s * spec.dilation, []).append((c, s))
        for row in range(rows):
            for place, pairs in sorted(seen.items()):
                numbers = f.load(self.span, x + (row * spec.row_step + place * 4 * spec.lanes))
                for k, order in enumerate(self.orders):
                    ordered = numbers if order == list(range(spec.lanes)) else self._ordered(numbers, order)
                    for c, s in pairs:
                        sums[row, c].set(f.fma(ordered, weights[s, k], sums[row, c].get()))

    def _ordered(self, numbers: Value, order: list[int]) -> Value:
        if not numbers.type.lanes:
            return self.f.splat(numbers, self.spec.lanes)
        return self.f.shuffle(numbers, numbers, order)


def _columns(problem: Convolution) -> int:
    return problem.kernel[1] if problem.kernel[1] <= MOST_COLUMNS else 1


def pack(problem: Convolution, W: np.ndarray, B: np.ndarray | None) -> dict[str, np.ndarray]:
    """The constants `weights` and `bias`."""
    lanes, blocks, channels = problem.lanes, problem.y.blocks, problem.y.shape[1]
    padded = np.zeros((blocks * lanes, problem.inputs, *problem.kernel), np.float32)
    padded[:channels] = W
    weights = aligned(padded.nbytes).view(np.float32)
    order = padded.reshape(blocks, lanes, problem.inputs, *problem.kernel).transpose(0, 3, 4, 2, 1)
    weights[:] = order.ravel()
    bias = aligned(4 * blocks * lanes).view(np.float32)
    bias[:] = 0
    if B is not None:
        bias[:channels] = B
    return {"weights": weights, "bias": bias}


def grouped_steps(
    problem: Convolution, slots: Mapping[str, int], epilogue: Epilogue, residual: Blocked | None
) -> list[Step]:
    """One step."""
    x, y = problem.source, problem.y
    images, channels, height, width = y.shape
    columns = _columns(problem)
    tiles = _tiling(problem, columns)
    x_row = problem.strides[0] * x.row
    spec = Grouped(
        lanes=y.lanes,
        tiling=tiles,
        inputs=problem.inputs,
        outputs=problem.outputs,
        columns=columns,
        stride=problem.strides[1],
        dilation=problem.dilations[1],
        row_step=x_row if tiles.rows > 1 else 0,
        masked=bool(channels % y.lanes) and not epilogue.keeps_zero,
        framed=framed(y),
        epilogue=epilogue,
    )
    pieces = max(1, min(MOST_TASKS, problem.flops // TASK_FLOPS) // (images * y.blocks))
    down = -(-height // tiles.rows)
    chunk_rows = -(-down // min(pieces, down)) * tiles.rows
    chunks = -(-height // chunk_rows)
    arguments = {
        **{name: slots[name] for name in ("x", "weights", "bias", "y")},
        "residual": slots["residual"] if residual else NO_SLOT,
        "blocks": y.blocks,
        "chunks": chunks,
        "chunk_rows": chunk_rows,
        "height": height,
        "width": width,
        "channels": channels,
        "kernel_rows": problem.kernel[0],
        "kernel_columns": problem.kernel[1],
        "x_origin": x.origin - problem.pads[0] * x.row - problem.pads[1] * x.pixel,
        "x_image": x.image,
        "x_plane": x.plane,
        "x_row": x_row,
        "x_down": problem.dilations[0] * x.row,
        **plane_arguments("y", y),
        **plane_arguments("residual", residual),
        **frame_arguments(y),
    }
    label = f"conv {problem.kernel[0]}×{problem.kernel[1]} in {problem.groups} groups"
    return [Step(kernel(spec), arguments, images * y.blocks * chunks, problem.flops, label)]
