"""Models run twice: as always, and with guard pages around every buffer. The bits must be the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from striate.runtime import InferenceSession

from ..conformance.suites import LIGHT
from ..ops.table import Case
from .busy import options
from .geometries import draw
from .guard import Guards
from .trials import TABLE, everything_lowered, network, pictures, row

__all__ = ["NETWORKS", "Task", "run_guarded", "tasks"]

NETWORKS: list[Path] = sorted(LIGHT.glob("*.onnx"))
THREADS = 2
Task = tuple[str, Callable[[], dict[str, int]]]
"""A name; what it does, which returns figures."""


def run_guarded(content: bytes, inputs: dict[str, np.ndarray], before: bool) -> dict[str, int]:
    """How many programs ran within guards, and how many buffers they had.

    Raises:
        AssertionError: results depend on what lies in memory before a run.
    """
    with everything_lowered():
        want = InferenceSession(content, options("native", THREADS)).run(None, inputs)
        with Guards(before) as guards:
            got = InferenceSession(content, options("native", THREADS)).run(None, inputs)
    for y, right in zip(got, want, strict=True):
        assert (y.dtype, y.shape) == (right.dtype, right.shape)
        assert y.dtype == object or y.tobytes() == right.tobytes()
    return {"programs": guards.runs, "buffers": guards.buffers}


def tasks(what: str, count: int = 0) -> list[Task]:
    """Tasks for `table`, `networks`, or so many draws of a kind, each with the page behind and before the buffers."""
    work: list[tuple[str, Callable[[bool], dict[str, int]]]]
    if what == "table":
        work = [(f"{c.id}{' constants' * k}", partial(_row, c, k)) for c, k in TABLE]
    elif what == "networks":
        work = [(path.stem, partial(_network, path)) for path in NETWORKS]
    else:
        work = [(f"{what} {seed}", partial(_draw, what, seed)) for seed in range(count)]
    sides = {"behind": False, "before": True}
    return [(f"{name}, page {side}", partial(do, b)) for name, do in work for side, b in sides.items()]


def _row(case: Case, constants: bool, before: bool) -> dict[str, int]:
    model, inputs = row(case, constants)
    return run_guarded(model.SerializeToString(), inputs, before)


def _network(path: Path, before: bool) -> dict[str, int]:
    model = network(path)
    return run_guarded(model.SerializeToString(), pictures(model), before)


def _draw(kind: str, seed: int, before: bool) -> dict[str, int]:
    drawn = draw(kind, seed)
    return run_guarded(drawn.content, drawn.inputs, before)
