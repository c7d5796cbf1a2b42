"""Direct convolution: steps, and how their work is divided into tasks."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

from ..host import host
from ..layouts import Blocked, Plain
from ..program import NO_SLOT, Step
from .conv_direct import CACHE_LINE, UNIT_FIELDS, Direct, kernel
from .conv_pack import Part, flat, own_lanes, parts, walk
from .conv_problem import Convolution, plane_arguments
from .epilogues import Epilogue
from .frames import frame_arguments, framed, pad_step

__all__ = ["direct_steps", "rows_apart"]

TASK_FLOPS = 400_000
"""Of one task at least, some ten microseconds."""
MOST_TASKS, FEW_TASKS = 64, 16
"""Enough for an even division among many threads; among some, where tasks gain from passing whole planes."""
CHAIN, SHORT_CHAIN = 384, 80
"""So many products make a sum of their own; the fewer, the smaller the error, the more there is to add up. The first
gives the error of NumPy's products of matrices."""
FEW_SUMS, FEW_FLOPS = 8, 4_000_000
"""Of a tile, of an image: up to that, chains are short. There NumPy adds up in many parts too."""


def rows_apart(problem: Convolution, residual: Blocked | None) -> bool:
    """Are planes passed row by row?"""
    return not flat(problem) or (residual is not None and framed(residual))


def direct_steps(
    problem: Convolution, slots: Mapping[str, int], epilogue: Epilogue, residual: Blocked | None
) -> list[Step]:
    """One step per number of blocks that units have, after one that frames a plain x where padding asks for it."""
    made = []
    x = slots["x"]
    if problem.padded and isinstance(problem.x, Plain):
        made.append(pad_step(problem.x, problem.source, x, slots["scratch"]))
        x = slots["scratch"]
    apart = rows_apart(problem, residual)
    return made + [_step(problem, part, apart, {**slots, "x": x}, epilogue, residual) for part in parts(problem, apart)]


def _step(
    problem: Convolution,
    part: Part,
    apart: bool,
    slots: Mapping[str, int],
    epilogue: Epilogue,
    residual: Blocked | None,
) -> Step:
    source, y, steps, tiling = problem.source, problem.y, walk(problem), part.tiling
    images, channels, height, width = y.shape
    blocks = sum(unit.blocks for unit in part.units)
    flops = 2 * images * height * width * blocks * y.lanes * problem.inputs * problem.kernel[0] * problem.kernel[1]
    tap_bytes = 4 * y.lanes * tiling.blocks * steps.run
    if not apart:
        height, width = 1, height * width
    sweeps = -(-steps.taps * tap_bytes // (host().l2 // 8))
    together = -(-steps.taps // sweeps)
    divided = together < steps.taps and not own_lanes(problem) and height * width > tiling.rows * tiling.columns
    x_row = problem.strides[0] * source.row
    small = tiling.rows * tiling.columns * tiling.blocks <= FEW_SUMS or flops < FEW_FLOPS * images
    chain = max(SHORT_CHAIN if small else CHAIN, isqrt(steps.taps * steps.run))
    spec = Direct(
        lanes=y.lanes,
        tiling=tiling,
        column_step=problem.strides[1] * source.pixel,
        row_step=x_row if tiling.rows > 1 else 0,
        single=steps.run == 1,
        divided=divided,
        chained=steps.taps * steps.run > 2 * chain,
        lanes_written="own" if own_lanes(problem) else "zeros" if channels % y.lanes else "all",
        framed=framed(y),
        epilogue=epilogue,
    )
    wanted = min(FEW_TASKS if sweeps > 1 else MOST_TASKS, flops // TASK_FLOPS)
    chunk_rows, chunk_columns = _chunk(part, problem, height, width, wanted)
    row_chunks, column_chunks = -(-height // chunk_rows), -(-width // chunk_columns)
    chunks = row_chunks * column_chunks
    every = _order(problem, part, images, chunks)
    start = source.origin - problem.pads[0] * source.row - problem.pads[1] * source.pixel
    arguments = {
        **{name: slots[name] for name in ("x", "weights", "bias", "table", "y")},
        "residual": slots["residual"] if residual else NO_SLOT,
        "units": part.first * 8 * len(UNIT_FIELDS),
        **every,
        "column_chunks": column_chunks,
        "chunk_rows": chunk_rows,
        "chunk_columns": chunk_columns,
        "height": height,
        "width": width,
        "taps": steps.taps,
        "taps_together": together,
        "chain": max(1, chain // steps.run),
        "run": steps.run,
        **_ahead(
            part,
            numbers=steps.taps * steps.run,
            together=together * steps.run,
            positions=chunk_rows * chunk_columns,
            lanes=y.lanes,
            turns=every["unit_every"],
        ),
        "x_origin": start,
        "x_image": source.image,
        "x_row": x_row,
        **plane_arguments("y", y),
        **plane_arguments("residual", residual),
        **frame_arguments(y),
    }
    label = f"conv {problem.kernel[0]}×{problem.kernel[1]}"
    return Step(kernel(spec), arguments, images * len(part.units) * chunks, flops, label)


def _ahead(part: Part, numbers: int, together: int, positions: int, lanes: int, turns: int) -> dict[str, int]:
    """Which weights a task asks for while it multiplies: those that follow, evenly, a piece with each number.

    `turns` tasks, one after the other, pass over a unit's weights: each asks for a part of the next unit's. A task that
    is alone passes over `together` numbers at a time, and asks for those after them: fewer wait in the cache.
    """
    tiling = part.tiling
    number = 4 * lanes * tiling.blocks
    share = -(-number * numbers // turns)
    passed = numbers * -(-positions // (tiling.rows * tiling.columns))
    return {
        "ahead": number * (numbers if turns > 1 else together),
        "ahead_every": share,
        "ahead_count": turns,
        "ahead_step": min(CACHE_LINE, -(-share // passed)),
    }


def _chunk(part: Part, problem: Convolution, height: int, width: int, wanted: int) -> tuple[int, int]:
    """Rows and columns of a task, multiples of a tile's: enough tasks, and what they read of x stays in the cache while
    the units pass."""
    tiling, units = part.tiling, len(part.units)
    cached = -(-_read(problem) // (host().l2 // 4)) if units > 1 else 1
    pieces = max(1, wanted // (problem.y.shape[0] * units), cached)
    down = -(-height // tiling.rows)
    if down > 1:
        return -(-down // min(pieces, down)) * tiling.rows, width
    along = -(-width // tiling.columns)
    return height, -(-along // min(pieces, along)) * tiling.columns


def _read(problem: Convolution) -> int:
    """Bytes of an image for which the cache needs room: strides pass over rows. (Where they pass over columns, places
    in the cache stay empty.)"""
    rows, down = problem.kernel[0], problem.strides[0]
    return problem.source.image * min(rows, down) // down


def _order(problem: Convolution, part: Part, images: int, chunks: int) -> dict[str, int]:
    """Which of unit, image and chunk changes from task to task: the order in which fewest bytes come from afar. What is
    too large for the cache is read again. What changes last divides the work among threads: they share the other, x,
    half of which another core has written, or the weights. Among equals, the one that reads its weights most evenly."""
    units, steps, image = len(part.units), walk(problem), _read(problem)
    weights = 4 * problem.lanes * part.tiling.blocks * steps.run * steps.taps * units

    def far(nbytes: int, times: int) -> int:
        return nbytes * (times if nbytes > host().l2 // 2 else 1)

    x = images * image
    reads = {
        ("chunk", "image", "unit"): far(x, units) + weights,
        ("chunk", "unit", "image"): images * far(image, units) + far(weights, images),
        ("unit", "chunk", "image"): x + far(weights, images * chunks),
    }
    counts = {"unit": units, "image": images, "chunk": chunks}

    def price(order: tuple[str, str, str]) -> int:
        dividing = next((name for name in reversed(order) if counts[name] > 1), "")
        return reads[order] + (x if dividing == "unit" else weights)

    made: dict[str, int] = {}
    every = 1
    for name in min(reads, key=price):
        made |= {f"{name}_every": every, f"{name}_count": counts[name]}
        every *= counts[name]
    return made
