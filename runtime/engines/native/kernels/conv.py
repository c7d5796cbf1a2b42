"""Convolution of float32 images into blocks of channels.

    problem = Convolution(x, y, kernel=(3, 3), pads=(1, 1, 1, 1))        # x, y: layouts
    if supports(problem):
        constants = pack(problem, W, B)                                   # name → array, for slots of these names
        steps(problem, {"x": 0, "y": 1, "weights": 2, "bias": 3, "table": 4}, Epilogue("relu"))

x is `Blocked`, in blocks as wide as those of y, in a frame at least as wide as `frame_needed(problem)`; or `Plain`, for
few channels. The steps write y whole: frame, and lanes beyond the last channel.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..layouts import FLOAT32, Blocked, Plain
from ..program import Step
from . import conv_grouped, conv_pack
from .conv_problem import Convolution
from .conv_steps import direct_steps, rows_apart
from .epilogues import Epilogue

__all__ = ["Convolution", "frame_needed", "pack", "scratch", "steps", "supports"]


def supports(problem: Convolution) -> bool:
    """Can `steps` compute it, in the layouts that it has?"""
    x, y = problem.x, problem.y
    if min(*problem.pads, 0) < 0 or problem.inputs == 0:
        return False
    if isinstance(x, Plain):
        return len(x.shape) == 4 and x.dtype == FLOAT32
    frame = (x.top, x.left, x.bottom, x.right)
    return x.lanes == y.lanes and all(have >= need for have, need in zip(frame, problem.frame, strict=True))


def frame_needed(problem: Convolution) -> tuple[int, int, int, int]:
    """Top, left, bottom, right: what the frame of a `Blocked` x has to have at least."""
    return problem.frame


def scratch(problem: Convolution) -> Blocked | None:
    """The layout for which the slot `scratch` must have room, if there has to be one."""
    return problem.source if problem.padded else None


def pack(
    problem: Convolution, W: np.ndarray, B: np.ndarray | None = None, residual: Blocked | None = None
) -> dict[str, np.ndarray]:
    """Weights [M, C/groups, R, S] and bias [M] as `steps` with the same residual wants them, by name of the slot."""
    if conv_grouped.suits(problem):
        return conv_grouped.pack(problem, W, B)
    return conv_pack.pack(problem, W, B, rows_apart(problem, residual))


def steps(
    problem: Convolution,
    slots: Mapping[str, int],
    epilogue: Epilogue | None = None,
    residual: Blocked | None = None,
) -> list[Step]:
    """y = epilogue(convolution of x).

    Args:
        slots: of `x`, `y`, what `pack` gives, `residual` if there is one, `scratch` if `scratch(problem)` says so. The
            residual may not share memory with y.
        residual: the layout of the epilogue's second value.
    """
    if 0 in problem.y.shape:
        return []
    if conv_grouped.suits(problem):
        return conv_grouped.grouped_steps(problem, slots, epilogue or Epilogue(), residual)
    return direct_steps(problem, slots, epilogue or Epilogue(), residual)
