"""How the work of a direct convolution is divided: which bytes come from afar, and which are asked for in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from striate.runtime.engines.native.host import host
from striate.runtime.engines.native.kernels import conv_steps
from striate.runtime.engines.native.kernels.conv import Convolution
from striate.runtime.engines.native.kernels.conv_direct import CACHE_LINE
from striate.runtime.engines.native.kernels.conv_pack import parts, walk
from striate.runtime.engines.native.kernels.epilogues import Epilogue
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.engines.native.program import HUGE_PAGE, Step, aligned
from tests.native.test_conv import Case

L2 = 2 << 20
SLOTS = {name: i for i, name in enumerate(("x", "y", "weights", "bias", "table"))}
SHAPES = {
    "few positions, many channels": (512, 512, 7, (3, 3), (1, 1), 1),
    "of one picture in several": (512, 512, 7, (3, 3), (1, 1), 8),
    "every second row": (1024, 2048, 14, (1, 1), (2, 2), 1),
    "rows of another frame": (2048, 512, 7, (1, 1), (1, 1), 1),
    "few channels": (64, 64, 56, (1, 1), (1, 1), 1),
    "one position": (512, 1000, 1, (1, 1), (1, 1), 1),
}


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same second-level cache wherever this runs."""
    known = replace(host(), l2=L2)
    monkeypatch.setattr(conv_steps, "host", lambda: known)


def problem(c: int, m: int, size: int, kernel: tuple[int, int], strides: tuple[int, int], images: int) -> Convolution:
    pad = kernel[0] // 2
    out = (size + 2 * pad - kernel[0]) // strides[0] + 1
    x = Blocked((images, c, size, size), 16).framed(pad, pad, pad, pad)
    return Convolution(x, Blocked((images, m, out, out), 16), kernel, strides, (1, 1), (pad,) * 4, registers=32)


def first_step(p: Convolution) -> Step:
    return conv_steps.direct_steps(p, SLOTS, Epilogue(), None)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_byte_of_the_next_weights_is_asked_for(shape: str) -> None:
    """By the tasks that pass over the weights before them; one line with each number is the most that is asked."""
    p = problem(*SHAPES[shape])
    step = first_step(p)
    part, steps, a = parts(p, conv_steps.rows_apart(p, None))[0], walk(p), step.arguments
    t = part.tiling
    numbers = steps.run * steps.taps
    unit = 4 * p.lanes * t.blocks * numbers
    rows = min(a["chunk_rows"], a["height"])
    passed = numbers * -(-rows // t.rows) * -(-min(a["chunk_columns"], a["width"]) // t.columns)
    asked = sorted(a["ahead_every"] * (task % a["ahead_count"]) for task in range(a["unit_every"]))
    end = 0
    for start in asked:
        assert start <= end, "a gap between what two tasks ask for"
        end = start + passed * a["ahead_step"]
    assert end >= unit or a["ahead_step"] == CACHE_LINE
    assert end <= 2 * unit + passed, "asked for more than is needed"


def test_weights_that_few_positions_need_are_passed_once() -> None:
    """Their unit is the slowest to change, and strides leave x small enough for the cache."""
    for shape in ("few positions, many channels", "every second row"):
        p = problem(*SHAPES[shape])
        step = first_step(p)
        a = step.arguments
        assert a["unit_every"] * a["unit_count"] == step.tasks, shape


def test_what_is_too_large_for_the_cache_is_read_once() -> None:
    """A large x with few weights: all units pass over a part of it. Many weights with a small x: each is used up."""
    large = 8 * L2
    wide = first_step(problem(large // (4 * 64 * 64), 64, 64, (1, 1), (1, 1), 1)).arguments
    assert wide["unit_every"] == 1
    assert wide["chunk_every"] == wide["unit_count"] > 1
    deep = first_step(problem(512, large // (4 * 512 * 9), 14, (3, 3), (1, 1), 1)).arguments
    assert deep["unit_every"] == deep["chunk_count"] * deep["image_count"]


@pytest.mark.parametrize("shape", ["few positions, many channels", "every second row"])
def test_large_work_is_right(shape: str) -> None:
    c, m, size, kernel, strides, images = SHAPES[shape]
    Case((images, c, size, size), m // 8, kernel, strides=strides, pads=(kernel[0] // 2,) * 4).check()


@pytest.mark.parametrize("nbytes", [HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE // 2, 3 * HUGE_PAGE - 1])
def test_memory_is_all_there(nbytes: int) -> None:
    """Every byte, for as long as a part of it is known."""
    part = aligned(nbytes)
    assert part.shape == (nbytes,)
    assert part.ctypes.data % 64 == 0
    part[:] = np.arange(nbytes, dtype=np.uint32).astype(np.uint8)
    tail = part[-1000:]
    others = [aligned(nbytes) for _ in range(3)]
    for other in others:
        other[:] = 0
    del part
    np.testing.assert_array_equal(tail, np.arange(nbytes - 1000, nbytes).astype(np.uint8))


def test_memory_that_there_is_not() -> None:
    with pytest.raises(MemoryError):
        aligned(1 << 60)
