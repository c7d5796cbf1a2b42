"""Loops of generated code: which turns they take."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.emit import INT, TOGETHER, Function, Value
from striate.runtime.engines.native.program import Kernel, Step, call

ROOM = 40


def turns(f: Function, *numbers: int) -> list[int]:
    """How often each place of x was counted, after `f` with fields x, a, b."""
    x = np.zeros(ROOM, np.int64)
    step = Step(Kernel.of(f), {"x": 0, "a": numbers[0], "b": numbers[1]}, 1)
    table, slots = step.table(), np.array([x.ctypes.data], np.int64)
    call(step.kernel)(table.ctypes.data, slots.ctypes.data, 0)
    return x.tolist()


def count(f: Function, i: Value) -> None:
    place = f.pointer("x") + i * 8
    f.store(f.load(INT, place) + 1, place)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (9, 2), (0, 1), (2, 9), (3, 12), (0, ROOM)])
def test_range(start: int, stop: int, step: int) -> None:
    f = Function(f"count_range_{step}", ["x", "a", "b"])
    with f.range(f.number("a"), f.number("b"), step) as i:
        count(f, i)
    assert turns(f, start, stop) == [int(i in range(start, stop, step)) for i in range(ROOM)]


@pytest.mark.parametrize("times", [1, 2, 7, 8, 13, TOGETHER * 3])
def test_repeat(times: int) -> None:
    f = Function(f"count_repeat_{times}", ["x", "a", "b"])
    assert f.number("a").type == f.number("b").type == INT
    f.repeat(times, lambda i: count(f, i))
    assert turns(f, 0, 0) == [int(i < times) for i in range(ROOM)]
