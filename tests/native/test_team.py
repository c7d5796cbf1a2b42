"""Programs on the team of threads: order, barriers, callers at once, sleep, fork."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from striate.runtime.engines.native import objects
from striate.runtime.engines.native.emit import INT, Function
from striate.runtime.engines.native.program import Kernel, Program, Step, aligned
from striate.runtime.engines.native.team import team

N = 1000


def adder() -> Kernel:
    """y[task] = x[tasks − 1 − task] + 1: every task reads what another task of the step before wrote."""
    f = Function("adder", ["x", "y", "last"])
    x, y, last = f.pointer("x"), f.pointer("y"), f.number("last")
    f.store(f.load(INT, x + (last - f.task) * 8) + 1, y + f.task * 8)
    return Kernel.of(f)


def chain(steps: int) -> Program:
    """x (slot 0) → … → y (slot 1) through two places in the arena."""
    kernel = adder()
    made = []
    for i in range(steps):
        source = 0 if i == 0 else 2 + (i - 1) % 2
        target = 1 if i == steps - 1 else 2 + i % 2
        made.append(Step(kernel, {"x": source, "y": target, "last": N - 1}, N))
    return Program(made, {}, {2: 0, 3: 8 * N}, 16 * N, 4)


def run(program: Program, x: np.ndarray, threads: int) -> np.ndarray:
    y = np.zeros(N, np.int64)
    program.run({0: x.ctypes.data, 1: y.ctypes.data}, threads)
    return y


@pytest.mark.parametrize("threads", [1, 2, 3, 64])
@pytest.mark.parametrize("steps", [1, 2, 51])
def test_steps_follow_each_other(steps: int, threads: int) -> None:
    program = chain(steps)
    x = np.random.default_rng(0).integers(0, 100, N)
    want = (x if steps % 2 == 0 else x[::-1]) + steps
    for _ in range(20):
        np.testing.assert_array_equal(run(program, x, threads), want)


def test_callers_at_once_do_not_disturb_each_other() -> None:
    program = chain(20)
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).integers(0, 100, N)
        for i in range(100):
            if (run(program, x, 1 + i % 2) != x + 20).any():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_idle_threads_take_no_time() -> None:
    program = chain(4)
    run(program, np.zeros(N, np.int64), 2)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.03
    np.testing.assert_array_equal(run(program, np.zeros(N, np.int64), 2), np.full(N, 4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_a_team_of_its_own() -> None:
    program = chain(5)
    x = np.arange(N)
    run(program, x, 2)
    child = os.fork()
    if child == 0:
        ok = (run(program, x, 2) == x[::-1] + 5).all()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(run(program, x, 2), x[::-1] + 5)


def test_the_team_grows_while_it_is_used() -> None:
    """A thread that comes late does not repeat what was done before it came."""
    program = chain(3)
    x = np.arange(N)
    for threads in (1, 2, 1, 3, 2, 3):
        for _ in range(50):
            np.testing.assert_array_equal(run(program, x, threads), x[::-1] + 3)
    assert team() is team()


def test_memory_is_aligned() -> None:
    assert all(aligned(n).ctypes.data % 64 == 0 for n in (1, 63, 64, 1000))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("direct", [True, False])
def test_arrays_are_found_by_machine_code_or_by_ctypes(
    threads: int, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Program.call` binds the arrays of a tuple in the order of `outside`."""
    assert objects.readable()
    if not direct:
        monkeypatch.setattr("striate.runtime.engines.native.program.readable", lambda: False)
    given = chain(5)
    made = Program(given.steps, {}, given.places, given.arena_bytes, given.slots, outside=[1, 0])
    for seed in range(3):
        room = np.random.default_rng(seed).integers(0, 100, 2 * N)
        x, y = room[N:], np.zeros((2, N), np.int64)[1]
        made.call((y, x), threads)
        np.testing.assert_array_equal(y, x[::-1] + 5)
