"""When each task of a program began and ended, read inside of the run: same kernels, same threads, same results.

Every step is walked through a kernel that reads the processor's clock, calls the step's own kernel and reads the clock
again, some 20 ns per task. Nothing else of the run changes: it is one native call, with the barriers it always has.
"""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from . import compiler
from .host import host
from .program import Program, Step

__all__ = ["Clock", "StepTimes", "Traced", "clock"]

_CLOCK = "readsteadycounter" if platform.machine().lower() in ("aarch64", "arm64") else "readcyclecounter"
"""Programs may read ARM's cycle counter only where the system allows it; that of x86 runs at one rate on all cores."""

_TRACE = f"""
declare i64 @llvm.{_CLOCK}()

define void @trace(ptr %params, ptr %slots, i64 %task) {{
  %kernel = load ptr, ptr %params
  %p1 = getelementptr i8, ptr %params, i64 8
  %own = load ptr, ptr %p1
  %p2 = getelementptr i8, ptr %params, i64 16
  %log = load ptr, ptr %p2
  %p3 = getelementptr i8, ptr %params, i64 24
  %number = load i64, ptr %p3
  %p4 = getelementptr i8, ptr %params, i64 32
  %tasks = load i64, ptr %p4
  %pr = getelementptr i64, ptr %slots, i64 %number
  %round = load i64, ptr %pr
  %begin = call i64 @llvm.{_CLOCK}()
  call void %kernel(ptr %own, ptr %slots, i64 %task)
  %end = call i64 @llvm.{_CLOCK}()
  %before = mul i64 %round, %tasks
  %nth = add i64 %before, %task
  %at = mul i64 %nth, 16
  %first = getelementptr i8, ptr %log, i64 %at
  store i64 %begin, ptr %first
  %second = getelementptr i8, ptr %first, i64 8
  store i64 %end, ptr %second
  ret void
}}
"""

_NOW = f"""
declare i64 @llvm.{_CLOCK}()

define i64 @now() {{
  %t = call i64 @llvm.{_CLOCK}()
  ret i64 %t
}}
"""


@dataclass(frozen=True)
class Clock:
    """The processor's clock against Python's: `seconds` is `time.perf_counter` at the given reading."""

    reading: int
    second: float
    rate: float

    def now(self) -> Clock:
        """The same clock, compared anew: errors of the rate do not add up."""
        return Clock(_now()(), time.perf_counter(), self.rate)

    def seconds(self, readings: np.ndarray) -> np.ndarray:
        return self.second + (readings - self.reading) / self.rate


def clock(span: float = 0.05) -> Clock:
    """Compares both clocks over a span of seconds."""
    now = _now()
    first = now(), time.perf_counter()
    time.sleep(span)
    second = now(), time.perf_counter()
    return Clock(second[0], second[1], (second[0] - first[0]) / (second[1] - first[1]))


@cache
def _now() -> Callable[[], int]:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(compiler.address("now", _NOW))


@dataclass(frozen=True)
class StepTimes:
    """One step of one run.

    Attributes:
        begin, end: of each task, in readings of the clock; of a step that is walked in rounds, round after round.
        threads: that of each task.
        rounds: how often the step is walked.
    """

    step: Step
    begin: np.ndarray
    end: np.ndarray
    threads: np.ndarray
    rounds: int = 1


class Traced:
    """A program that writes down when its tasks begin and end.

    Attributes:
        program: to be run in place of the one it was made of.
    """

    def __init__(self, program: Program) -> None:
        self.program = copy(program)
        rounds, count = program.rounds, len(program.bound)
        looped = 0 if rounds is None else rounds.steps
        self._rounds = [1 if rounds is None or i >= looped else rounds.parts for i in range(count)]
        tasks = np.array([step.tasks for step in program.bound], np.int64)
        self._log = np.zeros((int(tasks @ np.array(self._rounds, np.int64)), 2), np.int64)
        self._starts = np.concatenate([[0], np.cumsum(tasks * self._rounds)])
        logs = self._log.ctypes.data + 16 * self._starts[:-1]
        numbers = [
            (0, 0) if often == 1 or rounds is None else (rounds.number, step.tasks)
            for often, step in zip(self._rounds, program.bound, strict=True)
        ]
        rows = [(step.kernel, step.table.ctypes.data) for step in program.bound]
        self._tables = np.column_stack([rows, logs, numbers]).astype(np.int64)
        at = self._tables.ctypes.data + self._tables.strides[0] * np.arange(count)
        trace = compiler.address("trace", _TRACE)
        self.program.walk([(trace, where, many) for where, many in zip(at.tolist(), tasks.tolist(), strict=True)])

    def times(self, threads: int) -> list[StepTimes]:
        """Of the last run, which was allowed so many threads."""
        count = min(threads, host().cores) if self.program.parallel else 1
        pieces = [self._log[a:b].copy() for a, b in pairwise(self._starts)]
        return [
            StepTimes(step, log[:, 0], log[:, 1], self._threads(step.tasks, often, count), often)
            for step, log, often in zip(self.program.steps, pieces, self._rounds, strict=True)
        ]

    def _threads(self, tasks: int, rounds: int, threads: int) -> np.ndarray:
        """Which thread does which task of a step, round after round."""
        teams = 1 if rounds == 1 or self.program.rounds is None else self.program.rounds.teams
        if teams == 1:
            return np.tile(_owners(tasks, threads), rounds)
        return np.repeat(_owners(teams, threads)[_owners(rounds, teams)], tasks)


def _owners(tasks: int, threads: int) -> np.ndarray:
    """Which thread does which task: as `team` divides them."""
    bounds = [tasks * thread // threads for thread in range(threads + 1)]
    return np.repeat(np.arange(threads), np.diff(bounds))
