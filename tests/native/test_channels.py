"""Channels of blocked values in another order against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.channels import channel_table, permute_channels
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.engines.native.program import aligned

from .guard import guarded, posix, survives
from .test_pool import run

SHUFFLES = ((8, 1), (8, 2), (17, 17), (24, 3), (30, 2), (32, 8), (48, 4), (68, 4), (136, 4), (64, 16), (160, 5))
"""Channels and groups."""
FRAMES = (((0, 0, 0, 0), (0, 0, 0, 0)), ((1, 1, 0, 2), (0, 1, 2, 0)))


def shuffled(channels: int, groups: int) -> np.ndarray:
    return np.arange(channels).reshape(groups, -1).T.ravel()


def check(
    x: np.ndarray, order: np.ndarray, lx: Blocked, ly: Blocked, room: Callable[[int], np.ndarray], threads: int = 1
) -> str:
    """The name of the kernel."""
    table = channel_table(lx, order.tolist())
    source, target, places = room(lx.nbytes), room(ly.nbytes), room(table.nbytes)
    lx.pack(x, source)
    target[:] = 0x55
    places[:] = table.reshape(-1).view(np.uint8)
    step = permute_channels(lx, ly, order.tolist(), 0, 1, 2)
    run([step], [source, target, places], threads)
    want = aligned(ly.nbytes)
    ly.pack(x[:, order], want)
    np.testing.assert_array_equal(target, want)
    return step.kernel.name


@pytest.mark.parametrize(("channels", "groups"), SHUFFLES)
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_shuffles(channels: int, groups: int, lanes: int) -> None:
    """Frame and channels beyond the last are zero."""
    x = np.random.default_rng(channels).standard_normal((2, channels, 3, 5)).astype(np.float32)
    for before, after in FRAMES:
        layouts = Blocked(x.shape, lanes, *before), Blocked(x.shape, lanes, *after)
        check(x, shuffled(channels, groups), *layouts, aligned, threads=2)


@pytest.mark.parametrize("channels", [1, 6, 17, 32])
@pytest.mark.parametrize("lanes", [4, 16])
def test_any_order(channels: int, lanes: int) -> None:
    """Also with channels left out and repeated."""
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((2, channels, 3, 5)).astype(np.float32)
    for count in (channels, 1, 2 * channels + 1):
        order = rng.permutation(channels) if count == channels else rng.integers(0, channels, count)
        layouts = Blocked(x.shape, lanes, 1, 1, 0, 2), Blocked((2, count, 3, 5), lanes, 0, 1, 1, 0)
        check(x, order, *layouts, aligned)


def test_runs_are_as_long_as_they_can_be() -> None:
    found = {}
    for channels, groups in ((272, 4), (136, 4), (128, 2), (24, 3), (32, 1), (64, 16)):
        x = np.random.default_rng(0).standard_normal((1, channels, 2, 2)).astype(np.float32)
        layout = Blocked(x.shape, 16)
        found[channels, groups] = check(x, shuffled(channels, groups), layout, layout, aligned).rsplit("_", 1)[-1]
    assert found == {
        (272, 4): "4x4",
        (136, 4): "4x2",
        (128, 2): "2x8",
        (24, 3): "1x1",
        (32, 1): "1x16",
        (64, 16): "1x1",
    }


@pytest.mark.parametrize("shape", [(1, 40, 90, 70), (3, 200, 4, 4), (2, 16, 1, 1)])
def test_planes_cut_and_put_together(shape: tuple[int, int, int, int]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    check(x, shuffled(shape[1], 8), Blocked(shape, 8), Blocked(shape, 8, 1, 1, 1, 1), aligned, threads=3)


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("lanes", [4, 16])
def test_nothing_outside_is_touched(lanes: int, before: bool) -> None:
    def work() -> None:
        for channels, groups in SHUFFLES:
            x = np.random.default_rng(0).standard_normal((1, channels, 2, 3)).astype(np.float32)
            layout = Blocked(x.shape, lanes)
            check(x, shuffled(channels, groups), layout, layout, lambda nbytes: guarded(nbytes, before=before))

    assert survives(work)
