"""Convolution of 3×3 kernels by Winograd's minimal filtering.

Each 4×4 positions of y take 36 products per channel instead of 144 (m = 4), each 3×3 take 25 instead of 81 (m = 3), or
each 2×2 take 16 instead of 36 (m = 2).

    m = choose(problem)                                     # 0 if direct convolution is expected to be faster
    if m and supports(problem, m):
        constants = pack(problem, m, W, B)                  # name → array, for slots of these names
        steps = steps(problem, m, {"x": 0, "y": 1, "weights": 2, "bias": 3, "scratch": 4}, Epilogue("relu"))

x is `Blocked` in a frame at least as wide as `frame_needed(problem, m)`: the padding, and zeros for the tiles at the
right and at the bottom. The steps write y whole: frame, and lanes beyond the last channel. `scratch` needs
`scratch_bytes(problem, m)`. See `winograd_products` for what the steps do, `winograd_cost` for the choice.

Rounding errors are some times those of direct convolution. NaN and infinity become NaN in every position of the tiles
that read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ..host import host
from ..layouts import Blocked
from ..program import NO_SLOT, Step, aligned
from .conv_problem import Convolution
from .epilogues import Epilogue, Pooling
from .frames import frame_arguments, framed
from .winograd_cost import choose, fits
from .winograd_products import PLACES, Spec, Stage, kernel
from .winograd_transforms import transform_weights

__all__ = ["Pooled", "choose", "frame_needed", "pack", "pools", "scratch_bytes", "steps", "supports"]

MOST_TASKS = 48
"""Divides evenly among most numbers of threads."""
TASK_FLOPS = 500_000
"""Of one task at least, some five microseconds."""
FEWEST_BATCHES = 12
"""Of groups of tiles, for one step whose tasks do all for their batches; for fewer there are three steps."""


def supports(problem: Convolution, m: int) -> bool:
    """Can `steps` compute it, in the layouts that it has?"""
    x = problem.x
    if not fits(problem) or not isinstance(x, Blocked):
        return False
    frame = (x.top, x.left, x.bottom, x.right)
    return all(have >= need for have, need in zip(frame, frame_needed(problem, m), strict=True))


def frame_needed(problem: Convolution, m: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right: what the frame of x has to have at least, so that all tiles can be read whole."""
    top, left = problem.pads[:2]
    _, _, height, width = problem.x.shape
    down, along = _tiles(problem, m)
    return top, left, max(0, down * m + 2 - top - height), max(0, along * m + 2 - left - width)


def pack(problem: Convolution, m: int, W: np.ndarray, B: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Weights [M, C, 3, 3] as [pair of blocks][element][C][2·lanes] if one step does all, else as [element][pair]…, in
    which order they are read; and bias [M]; aligned."""
    problem, lanes, (outputs, inputs) = _part(problem, m), problem.lanes, W.shape[:2]
    blocks, elements = problem.y.blocks, (m + 2) ** 2
    weights = aligned(4 * elements * inputs * blocks * lanes).view(np.float32)
    for first in range(0, blocks, 2):
        width = min(2, blocks - first) * lanes
        some = np.zeros((width, inputs, 3, 3))
        part = W[first * lanes : first * lanes + width]
        some[: len(part)] = part
        packed = transform_weights(m, some).transpose(2, 1, 0)
        if _work(problem, m).batches:
            start = first * lanes * elements * inputs
            weights[start : start + packed.size] = packed.ravel()
        else:
            whole = weights.reshape(elements, -1)
            start = first * lanes * inputs
            whole[:, start : start + width * inputs] = packed.reshape(elements, -1)
    bias = aligned(4 * blocks * lanes).view(np.float32)
    bias[:] = 0
    if B is not None:
        bias[:outputs] = B
    return {"weights": weights, "bias": bias}


def pools(m: int) -> bool:
    """Do tiles of m×m consist of windows of 2×2, so that `steps` can pool them? Not where there are none, m = 0."""
    return m > 0 and m % 2 == 0


def scratch_bytes(problem: Convolution, m: int) -> int:
    """Bytes that the slot `scratch` must have."""
    return _work(_part(problem, m), m).scratch


def steps(
    problem: Convolution,
    m: int,
    slots: Mapping[str, int],
    epilogue: Epilogue | None = None,
    residual: Blocked | None = None,
    pooled: Pooled | None = None,
) -> list[Step]:
    """y = epilogue(convolution of x), or what pooling makes of it.

    Args:
        slots: of `x`, `y`, `weights`, `bias`, `scratch`, and `residual` if there is one; no two may share memory.
        residual: the layout of the epilogue's second value.
        pooled: for even m.
    """
    if 0 in problem.y.shape:
        return []
    if pooled is not None and not pools(m):
        raise ValueError(f"tiles of {m}×{m} do not consist of windows of 2×2")
    part = _part(problem, m)
    count = part.y.shape[0]
    made: list[Step] = []
    for first in range(0, problem.y.shape[0], count):
        made += _steps_of_part(part, m, slots, epilogue or Epilogue(), residual, pooled, first)
    return made


def _steps_of_part(
    problem: Convolution,
    m: int,
    slots: Mapping[str, int],
    epilogue: Epilogue,
    residual: Blocked | None,
    pooled: Pooled | None,
    first: int,
) -> list[Step]:
    """The images from `first` on, as many as `problem` has."""
    work, y = _work(problem, m), pooled.y if pooled else problem.y
    given = {**_geometry(problem, m, work), **_places("y", y), **_places("residual", residual), **frame_arguments(y)}
    given |= {name: slots[name] for name in ("x", "y", "weights", "bias", "scratch")}
    given["residual"] = slots["residual"] if residual else NO_SLOT
    for name, layout in (("x", problem.x), ("y", y), ("residual", residual)):
        given[f"{name}_origin"] += first * layout.image if isinstance(layout, Blocked) else 0

    output = {
        "ragged": y.shape[1] % y.lanes != 0,
        "framed": framed(y),
        "epilogue": epilogue,
        "pool": pooled.kind if pooled else "",
    }
    products = {"uneven": work.uneven, "single": y.blocks % 2 == 1}
    special: dict[Stage, dict[str, Any]] = {
        "input": {},
        "products": products,
        "inverse": output,
        "all": {"together": work.together, **products, **output},
    }

    def step(stage: Stage, tasks: int) -> Step:
        code = kernel(Spec(stage, y.lanes, m, work.tiles, **special[stage]))
        arguments = {name: {**given, "tasks": tasks}[name] for name in code.fields}
        flops = problem.flops if stage in ("products", "all") else 0
        after = f", {pooled.kind} pool" if pooled and stage in ("inverse", "all") else ""
        return Step(code, arguments, tasks, flops, f"winograd {m}×{m} {stage}{after}")

    return [step(stage, tasks) for stage, tasks in work.stages]


@dataclass(frozen=True)
class Pooled:
    """Windows of 2×2 of the results become one value each of `y`, which has half as many rows and columns."""

    kind: Pooling
    y: Blocked


@cache
def _part(problem: Convolution, m: int) -> Convolution:
    """For so many images as are passed together: all of them if the weights stay in the cache; else as many as leave
    room for one element of their transform, which all products of the element read."""
    n, inputs = problem.x.shape[0], problem.inputs
    down, along = _tiles(problem, m)
    weights = 4 * (m + 2) ** 2 * inputs * problem.y.blocks * problem.lanes
    if n == 0 or weights <= host().l2 // 2:
        return problem
    most = max(1, host().l2 // 4 // (4 * down * along * inputs))
    count = max(k for k in range(1, n + 1) if n % k == 0 and k <= most)
    assert isinstance(problem.x, Blocked)
    return replace(problem, x=_images(problem.x, count), y=_images(problem.y, count))


def _images(layout: Blocked, count: int) -> Blocked:
    """Of so many images."""
    _, c, h, w = layout.shape
    return replace(layout, shape=(count, c, h, w))


@dataclass(frozen=True)
class _Work:
    """How the work is divided.

    Attributes:
        groups: of tiles, of `tiles` each, or one less if `uneven`.
        batches: of up to `together` groups, of which a task passes some; 0 if there are three steps.
        v_bytes: of transformed x: of a batch if one task does all of it, else of the whole.
        scratch: bytes in all.
        stages: and the number of tasks of each.
    """

    groups: int
    tiles: int
    uneven: bool
    batches: int
    together: int
    v_bytes: int
    scratch: int
    stages: tuple[tuple[Stage, int], ...]


@cache
def _work(problem: Convolution, m: int) -> _Work:
    down, along = _tiles(problem, m)
    tiles, pairs = problem.x.shape[0] * down * along, -(-problem.y.blocks // 2)
    groups = -(-tiles // _most_tiles(problem))
    largest = -(-tiles // max(groups, 1))
    blocks, elements = -(-problem.inputs // problem.lanes), (m + 2) ** 2
    v_group = 4 * elements * blocks * problem.lanes * largest
    p_group = 8 * elements * problem.lanes * largest
    transform = 8 * (m + 2) ** 3 * tiles * problem.lanes
    multiply = 2 * elements * tiles * problem.inputs * problem.outputs

    def tasks(most: int, flops: int) -> int:
        return max(1, min(MOST_TASKS, most, flops // TASK_FLOPS))

    uneven = bool(groups and tiles % groups)
    weights = 4 * elements * problem.inputs * problem.y.blocks * problem.lanes
    batches = _batches(groups, weights, groups * (v_group + pairs * p_group))
    if batches:
        together, count = -(-groups // batches), tasks(batches, multiply)
        stage: tuple[Stage, int] = ("all", count)
        return _Work(
            groups, largest, uneven, batches, together, together * v_group, count * together * v_group, (stage,)
        )
    stages: tuple[tuple[Stage, int], ...] = (
        ("input", tasks(groups * blocks, transform * blocks)),
        ("products", tasks(pairs * elements, multiply)),
        ("inverse", tasks(pairs * groups, 2 * transform * pairs)),
    )
    return _Work(groups, largest, uneven, 0, 1, groups * v_group, groups * (v_group + pairs * p_group), stages)


def _batches(groups: int, weights_bytes: int, between_bytes: int) -> int:
    """In how many batches whole tasks divide the groups; 0 if these are too few, or if the weights, which each batch
    reads again, take longer to read than what three steps write for one another and read."""
    large = weights_bytes > host().l2 // 2
    batches = -(-groups // (2 if large and groups >= 2 * FEWEST_BATCHES else 1))
    if groups < FEWEST_BATCHES or (large and batches * weights_bytes > 4 * between_bytes):
        return 0
    return batches


def _tiles(problem: Convolution, m: int) -> tuple[int, int]:
    _, _, height, width = problem.y.shape
    return -(-height // m), -(-width // m)


def _most_tiles(problem: Convolution) -> int:
    """Of a group: with two blocks, two vectors of weights and one number of x, all registers."""
    return max(1, (problem.registers - 3) // 2)


def _geometry(problem: Convolution, m: int, work: _Work) -> dict[str, int]:
    x, y = problem.x, problem.y
    assert isinstance(x, Blocked)
    down, along = _tiles(problem, m)
    return {
        "groups": work.groups,
        "tiles": x.shape[0] * down * along,
        "tiles_down": down,
        "tiles_along": along,
        "blocks_in": x.blocks,
        "x_origin": x.origin - problem.pads[0] * x.row - problem.pads[1] * x.pixel,
        "x_image": x.image,
        "x_plane": x.plane,
        "x_row": x.row,
        "channels": problem.inputs,
        "pairs": -(-y.blocks // 2),
        "batches": work.batches,
        "products": work.v_bytes,
        **_strides(problem, m, work),
        "blocks_out": y.blocks,
        "lanes_last": y.shape[1] - (y.blocks - 1) * y.lanes,
        "height": y.shape[2],
        "width": y.shape[3],
        "scratch_task": work.v_bytes,
    }


def _strides(problem: Convolution, m: int, work: _Work) -> dict[str, int]:
    """Bytes from one pair of blocks to the next among the weights, and from one element to the next: see `pack`. Within
    a last pair of one block elements are half as far apart."""
    unit = 8 * problem.inputs * problem.lanes
    if work.batches:
        return {"w_pair": unit * (m + 2) ** 2, "w_element": unit, "w_element_last": unit // (1 + problem.y.blocks % 2)}
    element = 4 * problem.inputs * problem.lanes * problem.y.blocks
    return {"w_pair": unit, "w_element": element, "w_element_last": element}


def _places(name: str, layout: Blocked | None) -> dict[str, int]:
    return {f"{name}_{place}": getattr(layout, place) if layout else 0 for place in PLACES}
