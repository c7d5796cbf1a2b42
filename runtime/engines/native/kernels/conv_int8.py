"""Convolution of quantised images: bytes times int8 weights, summed exactly in int32, and bytes again.

    q = saturate(round((Σ (x − x_zero) · w + B) · scale[m]) + y_zero)

    problem = Convolution(x, y, kernel=(3, 3), pads=(1, 1, 1, 1))     # x, y: blocked bytes, x.fill its zero point
    constants = pack(problem, W, B, scale)                            # name → array, for slots of these names
    steps(problem, {"x": 0, "y": 1, **slots_of(constants)}, target)

x lies in a frame at least as wide as `problem.frame`, filled with its zero point: so Σ x_zero · w is the same at all
positions and is subtracted once. Weights: [unit][tap][run][block][lane][channel of the group], zeros for channels that
there are not. A unit is some consecutive blocks of output channels; the taps are (block of channels, kernel row), each
followed by the groups of channels of all kernel columns, or (block, row, column) where these do not lie side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import inf

import numpy as np

from ..host import host
from ..layouts import Blocked
from ..program import NO_SLOT, Step
from .conv_int8_tile import CACHE_LINE, DEPTH, RESIDUAL_FIELDS, Dot, Integer, kernel
from .conv_problem import Convolution, plane_arguments
from .conv_tiles import split_blocks, tiling
from .frames import frame_arguments, framed
from .requantise import Scale, float_bits, target_arguments

__all__ = ["Addition", "dot_of_host", "fits_int32", "pack", "steps", "supports"]

TASK_OPERATIONS = 4_000_000
MOST_TASKS = 64
_QUADS = {16: ("avx512vnni",), 8: ("avx512vnni", "avxvnni"), 4: ("avx512vnni", "avxvnni")}
"""Lanes → features of which one has to be there for the instruction that multiplies four pairs of bytes."""


@dataclass(frozen=True)
class Addition:
    """A residual: the convolution is quantised as `inner`, then (byte − zero) · scale of `other` is added."""

    layout: Blocked
    other: Scale
    inner: Scale
    lower: float = -inf
    upper: float = inf
    """Between which the convolution lies before it is quantised."""


def dot_of_host(lanes: int) -> Dot:
    """The best way to multiply bytes that this processor has."""
    features = set(host().features.split(","))
    return "quads" if any(f"+{name}" in features for name in _QUADS.get(lanes, ())) else "pairs"


def supports(problem: Convolution, W: np.ndarray, B: np.ndarray | None) -> bool:
    """Can `steps` compute it, without a sum that leaves int32?"""
    x, y = problem.x, problem.y
    if not isinstance(x, Blocked) or problem.groups != 1 or min(*problem.pads, 0) < 0 or 0 in (*x.shape, *y.shape):
        return False
    return x.lanes == y.lanes and x.lanes % 4 == 0 and fits_int32(W, B)


def fits_int32(W: np.ndarray, B: np.ndarray | None) -> bool:
    """Can no sum of bytes times weights [M, …], with a bias, leave int32, whatever the zero point of the bytes?"""
    most = 0 if B is None else int(np.abs(B.astype(np.int64)).max())
    if W[0].size * 128 * 255 + most < 1 << 31:
        return True
    return int(np.abs(W.astype(np.int64)).reshape(len(W), -1).sum(1).max()) * 255 + most < 1 << 31


@dataclass(frozen=True)
class _Walk:
    """How the input channels are passed: `channels` of each block in groups, and whether columns are taps."""

    channels: int
    columns_apart: bool
    run: int


@lru_cache(512)
def _walk(problem: Convolution, dot: Dot) -> _Walk:
    x = problem.x
    assert isinstance(x, Blocked)
    channels = x.lanes if x.blocks > 1 else -(-x.shape[1] // DEPTH[dot]) * DEPTH[dot]
    apart = channels < x.lanes or problem.dilations[1] > 1
    return _Walk(channels, apart, channels // DEPTH[dot] * (1 if apart else problem.kernel[1]))


def _flat(problem: Convolution, residual: Blocked | None) -> bool:
    """May a plane be taken for one long row?"""
    layouts = [layout for layout in (problem.x, problem.y, residual) if isinstance(layout, Blocked)]
    return problem.kernel == (1, 1) and problem.strides == (1, 1) and not any(map(framed, layouts))


@lru_cache(512)
def _units(problem: Convolution, dot: Dot, flat: bool) -> tuple[int, ...]:
    """Blocks of each unit."""
    _, _, height, width = problem.y.shape
    if flat:
        height, width = 1, height * width
    taps, x = _walk(problem, dot).run * _taps(problem, dot).size, problem.y
    return split_blocks(x.blocks, height, width, taps, 4 * x.lanes, problem.registers)


def _taps(problem: Convolution, dot: Dot) -> np.ndarray:
    """Offsets in bytes from the place in block 0 of x where a window begins."""
    x, (rows, columns) = problem.x, problem.kernel
    assert isinstance(x, Blocked)
    down, along = (problem.dilations[0] * x.row, problem.dilations[1] * x.pixel)
    many = columns if _walk(problem, dot).columns_apart else 1
    every = product(range(x.blocks), range(rows), range(many))
    return np.array([b * x.plane + r * down + s * along for b, r, s in every], np.int64)


def pack(
    problem: Convolution,
    W: np.ndarray,
    B: np.ndarray | None,
    scale: np.ndarray,
    residual: Blocked | None = None,
    dot: Dot | None = None,
) -> dict[str, np.ndarray]:
    """Constants of steps with the same residual, by name of the slot.

    Args:
        W: int8 [M, C, R, S]; B: int32 [M].
        scale: float32 [M], of x times that of the weights by that of the result.
        dot: by default what `dot_of_host` says.
    """
    x, y = problem.x, problem.y
    assert isinstance(x, Blocked)
    dot = dot or dot_of_host(y.lanes)
    depth, channels = DEPTH[dot], _walk(problem, dot).channels
    m, c, rows, columns = W.shape
    padded = np.zeros((y.blocks * y.lanes, x.blocks * channels, rows, columns), np.int8)
    padded[:m, :c] = W
    parts, first = [], 0
    for blocks in _units(problem, dot, _flat(problem, residual)):
        some = padded[first * y.lanes : (first + blocks) * y.lanes]
        some = some.reshape(blocks, y.lanes, x.blocks, channels // depth, depth, rows, columns)
        parts.append(some.transpose(2, 5, 6, 3, 0, 1, 4).ravel())
        first += blocks
    start, factor = np.zeros(y.blocks * y.lanes, np.int32), np.zeros(y.blocks * y.lanes, np.float32)
    sums = W.reshape(m, -1).sum(1, dtype=np.int64)
    start[:m] = (0 if B is None else B.astype(np.int64)) - x.fill * sums
    factor[:m] = scale
    return {"weights": np.concatenate(parts), "start": start, "scale": factor, "taps": _taps(problem, dot)}


def steps(
    problem: Convolution,
    slots: Mapping[str, int],
    target: Scale,
    lower: float = -inf,
    upper: float = inf,
    added: Addition | None = None,
    dot: Dot | None = None,
) -> list[Step]:
    """One step for each number of blocks that units have.

    Args:
        slots: of `x`, `y`, what `pack` gives, and of `residual` if something is added; it may not share memory with y.
        target: what the bytes of y stand for; values are cut off at `lower` and `upper` first.
    """
    dot = dot or dot_of_host(problem.y.lanes)
    flat = _flat(problem, added.layout if added else None)
    numbers = {**target_arguments(target, lower, upper), **_addition(added, target)}
    made, first = [], 0
    units = _units(problem, dot, flat)
    for blocks in dict.fromkeys(units):
        count = units.count(blocks)
        made.append(_step(problem, dot, flat, blocks, count, first, slots, numbers, added))
        first += blocks * count
    return made


def _addition(added: Addition | None, target: Scale) -> dict[str, int]:
    """For `RESIDUAL_FIELDS`."""
    if added is None:
        return dict.fromkeys(RESIDUAL_FIELDS, 0)
    inner, other = added.inner, added.other
    values = (*inner.bounds(added.lower, added.upper), inner.scale, other.zero, other.scale, target.scale)
    return {name: float_bits(v) for name, v in zip(RESIDUAL_FIELDS, values, strict=True)}


def _step(
    problem: Convolution,
    dot: Dot,
    flat: bool,
    blocks: int,
    count: int,
    first: int,
    slots: Mapping[str, int],
    numbers: Mapping[str, int],
    added: Addition | None,
) -> Step:
    x, y = problem.x, problem.y
    assert isinstance(x, Blocked)
    images, _, height, width = y.shape
    if flat:
        height, width = 1, height * width
    tile, run, taps = (
        tiling(height, width, blocks, problem.registers),
        _walk(problem, dot).run,
        _taps(problem, dot).size,
    )
    x_row = problem.strides[0] * x.row
    block_weights = taps * run * DEPTH[dot] * y.lanes
    operations = 2 * images * height * width * blocks * count * block_weights
    pieces = max(1, min(MOST_TASKS, operations // TASK_OPERATIONS) // (images * count))
    down, along = -(-height // tile.rows), -(-width // tile.columns)
    chunk_rows = -(-down // min(pieces, down)) * tile.rows if down > 1 else height
    chunk_columns = width if down > 1 else -(-along // min(pieces, along)) * tile.columns
    tiles = chunk_rows * chunk_columns // (tile.rows * tile.columns)
    spec = Integer(
        lanes=y.lanes,
        dot=dot,
        tiling=tile,
        column_step=problem.strides[1] * x.pixel,
        row_step=x_row if tile.rows > 1 else 0,
        framed=framed(y),
        residual=added is not None,
        ahead=tiles > 1,
    )
    row_chunks, column_chunks = -(-height // chunk_rows), -(-width // chunk_columns)
    loops = {"unit": count, "chunk": row_chunks * column_chunks, "image": images}
    arguments = {
        **{name: slots[name] for name in ("x", "weights", "start", "scale", "taps", "y")},
        "residual": slots["residual"] if added else NO_SLOT,
        **_order(loops, block_weights * blocks * count, (count - 1) * x.nbytes),
        "column_chunks": column_chunks,
        "chunk_rows": chunk_rows,
        "chunk_columns": chunk_columns,
        "height": height,
        "width": width,
        "tap_count": taps,
        "run": run,
        "first_block": first,
        "block_weights": block_weights,
        **_ahead(block_weights * blocks, taps * run, tiles),
        "x_origin": x.origin - problem.pads[0] * x.row - problem.pads[1] * x.pixel,
        "x_image": x.image,
        "x_row": x_row,
        **plane_arguments("y", y),
        **plane_arguments("residual", added.layout if added else None),
        **numbers,
        **frame_arguments(y),
    }
    label = f"conv int8 {problem.kernel[0]}×{problem.kernel[1]}"
    return Step(kernel(spec), arguments, images * count * row_chunks * column_chunks, operations, label)


def _ahead(unit: int, groups: int, tiles: int) -> dict[str, int]:
    """Where the weights that a task asks for begin, behind its own: chunks take turns if one has not enough groups.

    A task of one tile reads its weights in one stream, which the processor fetches better by itself.
    """
    fetched = CACHE_LINE * groups * max(1, tiles)
    return {"ahead": unit, "ahead_every": fetched, "ahead_count": max(1, -(-unit // fetched))}


def _order(loops: dict[str, int], weights: int, x_again: int) -> dict[str, int]:
    """Which of unit, image and chunk changes from task to task: what is read again should be in the cache."""
    passes = loops["image"] * loops["chunk"] - 1
    weights_again = passes * weights if weights > host().l2 // 2 else 0
    order = ("chunk", "image", "unit") if x_again < weights_again else ("unit", "chunk", "image")
    made: dict[str, int] = {}
    every = 1
    for name in order:
        made |= {f"{name}_every": every, f"{name}_count": loops[name]}
        every *= loops[name]
    return made
