"""Native sessions among threads, processes, signals and strange arrays."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from striate.bench.machine import resident
from striate.runtime import InferenceSession
from striate.runtime.engines.native import compiler, team
from striate.runtime.engines.native.host import host

from .busy import BUSY, busy, convolution, options
from .guard import posix, survives
from .test_lowering import X, net

quiet = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
"""Forking with the team's threads alive is what these tests are about."""
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def cores(count: int) -> Iterator[None]:
    """As if the processor had so many; for a process that has no team yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(team, "host", lambda: replace(host(), cores=count))
        yield


# ---- threads


@posix
@quiet
@pytest.mark.parametrize("numerics", ["fast", "strict"])
def test_the_same_bits_for_any_team(numerics: str) -> None:
    """Also of more threads than there are cores."""
    want = busy(1, numerics).run(None, {"x": BUSY})[0].tobytes()

    def work() -> None:
        with cores(5):
            team._forget()
            for threads in (1, 2, 3, 5, 2):
                session = busy(threads, numerics)
                for _ in range(20):
                    assert session.run(None, {"x": BUSY})[0].tobytes() == want
            assert len(team.team()._beds) == 4

    assert survives(work)


def callers(count: int, runs: int) -> int:
    """How many results were wrong: callers with inputs of their own, in three shapes, on one session without a plan."""
    session, alone = busy(), busy(1)
    inputs = [np.roll(BUSY, i, 3)[:, :, : 14 - i % 3] for i in range(count)]
    want = [alone.run(None, {"x": x})[0].tobytes() for x in inputs]
    wrong: list[int] = []
    together = threading.Barrier(count)

    def work(i: int) -> None:
        together.wait()
        for _ in range(runs):
            if session.run(None, {"x": inputs[i]})[0].tobytes() != want[i]:
                wrong.append(i)

    run_threads([threading.Thread(target=work, args=(i,)) for i in range(count)])
    return len(wrong)


def run_threads(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_eight_callers_who_begin_at_once() -> None:
    assert callers(8, 50) == 0


def test_several_sessions_at_once() -> None:
    sessions = [busy(threads) for threads in (1, 2, 2, 2)] + [InferenceSession(net(), options("native", 2))]
    inputs = [BUSY] * 4 + [X]
    want = [s.run(None, {"x": x})[0].tobytes() for s, x in zip(sessions, inputs, strict=True)]
    with ThreadPoolExecutor(5) as pool:
        for _ in range(40):
            results = pool.map(lambda s, x: s.run(None, {"x": x})[0].tobytes(), sessions, inputs)
            assert list(results) == want


def test_a_thread_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a run does without it, and so do those after it."""
    want = busy(1).run(None, {"x": BUSY})[0]
    monkeypatch.setattr(team, "_team", None)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        session = busy()
        for _ in range(2):
            np.testing.assert_array_equal(session.run(None, {"x": BUSY})[0], want)
    np.testing.assert_array_equal(session.run(None, {"x": BUSY})[0], want)


def test_idle_sessions_take_no_time() -> None:
    session = busy()
    session.run(None, {"x": BUSY})
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


# ---- memory


def test_a_session_that_is_gone_has_freed_its_memory() -> None:
    content = convolution(512, 512, 3)  # 9 MB of weights
    x = np.zeros((1, 512, 8, 8), np.float32)
    InferenceSession(content, options("native", 2)).run(None, {"x": x})
    gc.collect()
    before = resident()
    if before is None:
        pytest.skip("the system does not tell how much memory a process has")
    for _ in range(4):
        session = InferenceSession(content, options("native", 2))
        session.run(None, {"x": x})
        held = (resident() or 0) - before
        del session
        gc.collect()
    assert held > 9e6
    assert (resident() or 0) - before < 5e6


def test_concurrent_runs_leave_no_memory_behind() -> None:
    """Each concurrent run has an arena; there are no more of them than there were callers at once."""
    session = busy()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: session.run(None, {"x": BUSY}), range(50)))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            session.run(None, {"x": BUSY})
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


# ---- processes


@posix
@quiet
def test_parent_and_child_both_run_after_a_fork() -> None:
    session = busy()
    want = session.run(None, {"x": BUSY})[0].tobytes()

    def work() -> None:
        assert all(session.run(None, {"x": BUSY})[0].tobytes() == want for _ in range(5))
        assert InferenceSession(net(), options("native", 2)).run(None, {"x": X})[0].shape == (2, 10)
        assert survives(lambda: session.run(None, {"x": BUSY}) and None)

    for _ in range(3):
        assert survives(work)
        assert session.run(None, {"x": BUSY})[0].tobytes() == want


@posix
@quiet
def test_forks_while_other_threads_run_and_compile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever lock another thread holds at that moment, the child does not wait for it."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    session = busy()
    want = session.run(None, {"x": BUSY})[0].tobytes()
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            session.run(None, {"x": BUSY})

    def compile_() -> None:
        for i in range(10_000):
            if stop.is_set():
                return
            compiler.address(f"f{i}", f"define void @f{i}(ptr %a, ptr %b, i64 %c) {{\n  ret void\n}}\n")

    def work() -> None:
        signal.alarm(20)
        assert busy().run(None, {"x": BUSY})[0].tobytes() == want

    others = [threading.Thread(target=target) for target in (run, compile_)]
    for other in others:
        other.start()
    try:
        assert all(survives(work) for _ in range(15))
    finally:
        stop.set()
        for other in others:
            other.join()


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code that finds what `busy.py` has."""
    head = "import sys, threading, time, os, signal\nfrom tests.native.busy import *\n"
    command = [sys.executable, "-c", head + code, *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


@posix
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    code = """
import multiprocessing
want = busy().run(None, {"x": BUSY})[0].tobytes()
with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
    print(pool.map(elsewhere, [convolution(64, 64, 3)] * 3) == [want] * 3)
"""
    done = python(code, method)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


EXITS = {
    "normal": "busy().run(None, {'x': BUSY})",
    "a daemon runs": "s = busy(); s.run(None, {'x': BUSY})\n"
    "def work():\n  while True: s.run(None, {'x': BUSY})\n"
    "for _ in range(3): threading.Thread(target=work, daemon=True).start()\n"
    "time.sleep(0.05)",
    "a daemon compiles": "def work():\n  while True: busy().run(None, {'x': BUSY})\n"
    "threading.Thread(target=work, daemon=True).start()\ntime.sleep(0.1)",
    "in a hook": "import atexit\ns = busy()\natexit.register(lambda: s.run(None, {'x': BUSY}))",
    "first run in a hook": "import atexit\natexit.register(lambda: busy().run(None, {'x': BUSY}))",
}


@pytest.mark.parametrize("name", EXITS)
def test_the_interpreter_ends(name: str) -> None:
    done = python(EXITS[name])
    assert (done.returncode, done.stderr) == (0, "")


@posix
def test_an_interrupted_run_leaves_the_session_whole() -> None:
    """KeyboardInterrupt comes when it wants; the next run is right."""
    code = """
import random
s = busy(); want = s.run(None, {'x': BUSY})[0].tobytes()
armed = False
def interrupt(*_):
    if armed: raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
count = 0
for _ in range(300):
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 5e-4))
    try:
        armed = True
        for _ in range(20): s.run(None, {'x': BUSY})
        armed = False
    except KeyboardInterrupt:
        armed = False
        count += 1
    assert s.run(None, {'x': BUSY})[0].tobytes() == want
print(count)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
