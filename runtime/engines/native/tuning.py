"""Which way to compute a convolution is fastest here: measured once, remembered beside the compiled code.

A way is measured on random numbers, with so many copies of its weights in turn that they come from memory, as they do
in a network. Results are kept by what decides them: the convolution, the threads, the processor, this file's version.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np

from ...files import atomic_write
from .compiler import cache_folder
from .host import host
from .kernels import conv, winograd
from .kernels.winograd_cost import WAYS, choose, fits
from .layouts import Blocked
from .program import Program, aligned
from .settings import Settings

__all__ = ["fastest", "way"]

FORMAT = "striate tuning 2"
COPIES_BYTES = 96 << 20
"""Of weights, at most; beyond what most caches give to one process."""
SECONDS = 0.03
"""For each way at least, and three runs."""


def way(problem: conv.Convolution, settings: Settings) -> int:
    """The m of Winograd's method for a convolution, or 0 for the direct one."""
    if settings.strict or not fits(problem):
        return 0
    return fastest(problem, settings.threads) if settings.tune else choose(problem)


@cache
def fastest(problem: conv.Convolution, threads: int) -> int:
    """The way that takes the least time."""
    name = hashlib.blake2b(repr((FORMAT, host(), problem, threads)).encode(), digest_size=20).hexdigest()
    known = _remembered(name)
    if known is not None:
        return known
    found = min(WAYS, key=lambda m: _seconds(problem, m, threads))
    _remember(name, found)
    return found


def _remembered(name: str) -> int | None:
    folder = cache_folder()
    try:
        text = "" if folder is None else (folder / "tuned" / name).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return {str(m): m for m in WAYS}.get(text)


def _remember(name: str, m: int) -> None:
    folder = cache_folder()
    if folder is None:
        return
    try:
        (folder / "tuned").mkdir(parents=True, exist_ok=True)
        atomic_write(folder / "tuned" / name, str(m).encode(), durable=False)
    except OSError:
        return  # it will be measured again


def _seconds(problem: conv.Convolution, m: int, threads: int) -> float:
    """The shortest of some runs."""
    program, places, _kept = _alone(problem, m)
    runs: list[float] = []
    begin = time.perf_counter()
    for place in cycle(places):
        started = time.perf_counter()
        program.run(place, threads)
        now = time.perf_counter()
        runs.append(now - started)
        if len(runs) > 3 and now - begin > SECONDS:
            break
    return min(runs[1:])


def _alone(problem: conv.Convolution, m: int) -> tuple[Program, list[dict[int, int]], Any]:
    """The convolution as a program; addresses for its runs, each with other weights; what has to stay alive."""
    rng = np.random.default_rng(0)
    assert isinstance(problem.x, Blocked)
    frame = winograd.frame_needed(problem, m) if m else conv.frame_needed(problem)
    problem = problem.with_x(problem.x.framed(*frame))
    x, y = problem.x, problem.y
    assert isinstance(x, Blocked)
    W = rng.standard_normal((y.shape[1], problem.inputs, *problem.kernel), np.float32)
    packed = winograd.pack(problem, m, W) if m else conv.pack(problem, W)
    buffers = {"x": aligned(x.nbytes), "y": aligned(y.nbytes), **packed}
    x.pack(rng.standard_normal(x.shape, np.float32), buffers["x"])
    if m:
        buffers["scratch"] = aligned(winograd.scratch_bytes(problem, m))
    slots = {name: i for i, name in enumerate(buffers)}
    steps = winograd.steps(problem, m, slots) if m else conv.steps(problem, slots)
    weights = packed["weights"].view(np.uint8).ravel()
    copies = [weights]
    for _ in range(COPIES_BYTES // max(weights.nbytes, 1) if weights.nbytes > host().l2 // 4 else 0):
        copies.append(aligned(weights.nbytes))
        copies[-1][:] = weights
    fixed = {slots[name]: buffer.ctypes.data for name, buffer in buffers.items()}
    places = [fixed | {slots["weights"]: copy.ctypes.data} for copy in copies]
    return Program(steps, {}, {}, 0, len(slots)), places, (buffers, copies)
