"""Values moved between layouts: plain to blocks of channels and back, and from frame to frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.reorder import from_blocked, reframe, to_blocked
from striate.runtime.engines.native.layouts import Blocked, Plain
from striate.runtime.engines.native.program import aligned

from .guard import guarded, posix, survives
from .test_pool import filled, run

FRAMES = ((0, 0, 0, 0), (1, 2, 0, 3), (1, 0, 2, 0))
PLANES = ((1, 1), (1, 3), (2, 2), (3, 5), (1, 16), (4, 4), (1, 17), (7, 7), (14, 14), (2, 19), (40, 3), (65, 67))


def there_and_back(
    x: np.ndarray, layout: Blocked, room: Callable[[int, int], np.ndarray], threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """x in blocks whose memory was all rubbish, and plain again; room(bytes, alignment) gives memory."""
    plain, blocked, back = room(x.nbytes, 4), room(layout.nbytes, 64), room(x.nbytes, 4)
    plain[:] = x.reshape(-1).view(np.uint8)
    blocked[:] = 0x55
    run([to_blocked(Plain(x.shape), layout, 0, 1)], [plain, blocked], threads)
    run([from_blocked(layout, 0, 1)], [blocked, back], threads)
    return blocked, back.view(np.float32).reshape(x.shape)


def check(x: np.ndarray, layout: Blocked, blocked: np.ndarray, back: np.ndarray) -> None:
    want = aligned(layout.nbytes)
    layout.pack(x, want)
    np.testing.assert_array_equal(layout.array(blocked), layout.array(want))
    frame = np.full(layout.nbytes, 0x55, np.uint8)
    layout.array(frame)[...] = layout.array(blocked)
    np.testing.assert_array_equal(frame, blocked)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_there_and_back(plane: tuple[int, int], lanes: int, frame: tuple[int, int, int, int]) -> None:
    """The frame is left alone, channels beyond the last are zero."""
    for n, c in ((1, 1), (2, lanes), (3, 2 * lanes + 3)):
        x = np.random.default_rng(c).standard_normal((n, c, *plane)).astype(np.float32)
        layout = Blocked((n, c, *plane), lanes, *frame)
        check(x, layout, *there_and_back(x, layout, lambda nbytes, _: aligned(nbytes), threads=n))


def test_planes_cut_and_put_together() -> None:
    """More than one task for a plane, more than one plane for a task."""
    for shape in ((1, 20, 140, 61), (3, 70, 9, 9), (5, 300, 1, 1)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        layout = Blocked(shape, 4, 1, 1, 1, 1)
        tasks = to_blocked(Plain(shape), layout, 0, 1).tasks
        assert tasks != shape[0] * layout.blocks
        assert tasks > 0
        check(x, layout, *there_and_back(x, layout, lambda nbytes, _: aligned(nbytes), threads=3))


def test_nothing_to_move() -> None:
    shape = (0, 4, 3, 3)
    assert to_blocked(Plain(shape), Blocked(shape, 4), 0, 1).tasks == 0
    assert from_blocked(Blocked(shape, 4), 0, 1).tasks == 0


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_nothing_outside_is_touched(lanes: int, before: bool) -> None:
    def work() -> None:
        for plane in PLANES:
            for frame in FRAMES:
                shape = (2, lanes + 3, *plane)
                x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
                layout = Blocked(shape, lanes, *frame)
                there_and_back(x, layout, lambda nbytes, align: guarded(nbytes, align, before))

    assert survives(work)


def test_reframe_into_a_wider_value() -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 3, 5)).astype(np.float32)
    narrow, wide = Blocked((2, 8, 3, 5), 4, 1, 1, 1, 1), Blocked((2, 20, 3, 5), 4, 0, 2, 0, 0)
    source, target = filled(narrow, x), aligned(wide.nbytes)
    wide.pack(np.zeros(wide.shape), target)
    run([reframe(narrow, wide, 0, 1, first_block=2)], [source, target])
    want = np.zeros(wide.shape, np.float32)
    want[:, 8:16] = x
    np.testing.assert_array_equal(wide.unpack(target), want)
