"""Convolution of every channel of quantised images by itself: Conv whose groups are channels, on bytes.

    q = saturate(round((Σ (x − x_zero) · w + B) · scale[c]) + y_zero)

    problem = Convolution(x, y, kernel=(3, 3), groups=channels)       # x, y: blocked bytes, x.fill its zero point
    constants = pack(problem, W, B, scale)                            # name → array, for slots of these names
    steps(problem, {"x": 0, "y": 1, **slots_of(constants)}, target)

Sums are exact, in int32. A tile is some positions of a row, whose windows share what they read; weights are
[block][tap][lane], 16 bits wide, so that products need no more than one instruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import inf

import numpy as np

from ..emit import BYTE, FLOAT, INT32, Function, Type, Value, vector
from ..host import host
from ..layouts import Blocked
from ..program import Kernel, Step
from .conv_int8 import fits_int32
from .conv_problem import Convolution, plane_arguments
from .conv_tiles import tiling
from .frames import FRAME_FIELDS, frame_arguments, framed, zero_frame
from .requantise import (
    TARGET_FIELDS,
    Scale,
    clamped,
    exactly,
    float_number,
    nearest,
    store_bytes,
    target_arguments,
    unsigned,
)

__all__ = ["pack", "steps", "supports"]

TASK = 1 << 14
"""Bytes written in a task, about."""
MOST_TAPS = 25
SHORT = Type("i16", 2)
_FIELDS = (
    *("x", "weights", "start", "scale", "y", "blocks", "chunks", "chunk", "down", "between"),
    *(f"{side}_{what}" for side in "xy" for what in ("origin", "image", "plane", "row")),
    *TARGET_FIELDS,
    *FRAME_FIELDS,
)


def supports(problem: Convolution, W: np.ndarray, B: np.ndarray | None) -> bool:
    """Can `steps` compute it?"""
    x, y = problem.x, problem.y
    if not isinstance(x, Blocked) or min(*problem.pads, 0) < 0 or 0 in (*x.shape, *y.shape):
        return False
    if not problem.groups == x.shape[1] == y.shape[1] or W[0].size > MOST_TAPS:
        return False
    return x.lanes == y.lanes and fits_int32(W, B)


def pack(problem: Convolution, W: np.ndarray, B: np.ndarray | None, scale: np.ndarray) -> dict[str, np.ndarray]:
    """Constants, by name of the slot; W int8 [C, 1, R, S], B int32 [C], scale float32 [C] as for `conv_int8`."""
    x, y = problem.x, problem.y
    assert isinstance(x, Blocked)
    c, width = len(W), y.blocks * y.lanes
    weights = np.zeros((width, W[0].size), np.int16)
    start, factor = np.zeros(width, np.int32), np.zeros(width, np.float32)
    weights[:c] = W.reshape(c, -1)
    start[:c] = (0 if B is None else B.astype(np.int64)) - x.fill * weights[:c].astype(np.int64).sum(1)
    factor[:c] = scale
    weights = weights.reshape(y.blocks, y.lanes, -1).transpose(0, 2, 1)
    return {"weights": np.ascontiguousarray(weights), "start": start, "scale": factor}


def steps(
    problem: Convolution, slots: Mapping[str, int], target: Scale, lower: float = -inf, upper: float = inf
) -> list[Step]:
    """One step; values are cut off at `lower` and `upper` before they are quantised."""
    x, y = problem.x, problem.y
    assert isinstance(x, Blocked)
    n, _, height, width = y.shape
    cut = tiling(1, width, 1, 10 if host().registers >= 32 else 6)
    spec = _Spec(
        y.lanes, problem.kernel, problem.strides[1], problem.dilations[1], cut.columns, cut.last_columns, framed(y)
    )
    chunk = max(1, min(height, TASK // (width * y.lanes)))
    chunks = -(-height // chunk)
    places = {**plane_arguments("x", x), **plane_arguments("y", y)}
    places["x_origin"] -= problem.pads[0] * x.row + problem.pads[1] * x.pixel
    arguments = {
        **{name: slots[name] for name in _FIELDS[:5]},
        **places,
        "blocks": y.blocks,
        "chunks": chunks,
        "chunk": chunk,
        "down": problem.strides[0] * x.row,
        "between": problem.dilations[0] * x.row,
        **target_arguments(target, lower, upper),
        **frame_arguments(y),
    }
    label = f"depthwise int8 {problem.kernel[0]}×{problem.kernel[1]}"
    return [Step(_kernel(spec), arguments, n * y.blocks * chunks, problem.flops, label)]


@dataclass(frozen=True)
class _Spec:
    """What the machine code is specialised for; columns are positions of a tile."""

    lanes: int
    kernel: tuple[int, int]
    stride: int
    dilation: int
    columns: int
    last_columns: int
    framed: bool

    @property
    def name(self) -> str:
        rows, columns = self.kernel
        tile = f"{self.columns}_{self.last_columns}{'_framed' if self.framed else ''}"
        return f"depthwise_int8_{self.lanes}_{rows}x{columns}_{self.stride}_{self.dilation}_{tile}"


@cache
def _kernel(spec: _Spec) -> Kernel:
    f = exactly(Function(spec.name, list(_FIELDS)))
    lanes, taps = spec.lanes, spec.kernel[0] * spec.kernel[1]
    chunk, plane = f.task % f.number("chunks"), f.task // f.number("chunks")
    block, image = plane % f.number("blocks"), plane // f.number("blocks")
    x, y = (
        f.pointer(side)
        + (f.number(f"{side}_origin") + image * f.number(f"{side}_image") + block * f.number(f"{side}_plane"))
        for side in "xy"
    )
    start, scale = (
        f.load(kind, f.pointer(name) + block * kind.size, align=kind.size)
        for name, kind in (("start", vector(INT32, lanes)), ("scale", vector(FLOAT, lanes)))
    )
    short = vector(SHORT, lanes)
    at = f.pointer("weights") + block * (taps * short.size)
    weights = [f.convert(f.load(short, at + t * short.size, align=short.size), INT32) for t in range(taps)]
    low, high = float_number(f, "low"), float_number(f, "high")
    zero = f.convert(f.number("zero"), BYTE)
    height, width = f.number("frame_height"), f.number("frame_width")
    first = chunk * f.number("chunk")
    stop = f.minimum(first + f.number("chunk"), height)
    whole = width // spec.columns * spec.columns if spec.last_columns else width
    with f.range(first, stop) as i:
        for begin, end, columns in ((f.value(0, width.type), whole, spec.columns), (whole, width, spec.last_columns)):
            if columns:
                with f.range(begin, end, columns) as j:
                    source = x + (i * f.number("down") + j * (spec.stride * lanes))
                    sums = _sums(f, spec, source, weights, start, columns)
                    numbers = [nearest(f, clamped(f, f.convert(s, FLOAT) * scale, low, high)) for s in sums]
                    store_bytes(f, numbers, y + (i * f.number("y_row") + j * lanes), zero)
    if spec.framed:
        zero_frame(f, y, lanes, first, stop, zero)
    return Kernel.of(f)


def _sums(f: Function, spec: _Spec, source: Value, weights: list[Value], start: Value, columns: int) -> list[Value]:
    """Of positions side by side; what lies under several windows is read once."""
    sums = [start] * columns
    register = vector(BYTE, spec.lanes)
    for r in range(spec.kernel[0]):
        row = source + f.number("between") * r if r else source
        seen: dict[int, Value] = {}
        for s in range(spec.kernel[1]):
            for column in range(columns):
                at = column * spec.stride + s * spec.dilation
                if at not in seen:
                    seen[at] = unsigned(f, f.load(register, row + at * spec.lanes, align=spec.lanes))
                sums[column] = sums[column] + seen[at] * weights[r * spec.kernel[1] + s]
    return sums
